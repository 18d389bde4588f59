//! Who of one network is behind which end.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::bridge::tunnel::Population;
use model::MacAddr;

use super::Entry;

/// Who of one network is behind which end, and whether that is all.
#[derive(Debug)]
pub(super) struct Behind {
    /// Ends of nodes that have the network, each with when it was told.
    flood: BTreeMap<IpAddr, u64>,
    /// Ports by Ethernet address, IP address and end, each with when it was told.
    ports: BTreeMap<(MacAddr, IpAddr, IpAddr), u64>,
    /// Made of them, once it was asked for.
    population: Option<Arc<Population>>,
    /// What was told at this time or before may be out of date.
    stale: u64,
    state: State,
}

/// How far the question for all of it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unasked,
    Asked,
    /// Answered at this time, and the casts that came before the answer may not have been taken note
    /// of yet.
    Answered(u64),
    Settled,
}

impl Behind {
    pub(super) fn new(clock: u64) -> Self {
        Self {
            flood: BTreeMap::new(),
            ports: BTreeMap::new(),
            population: None,
            stale: clock,
            state: State::Unasked,
        }
    }

    pub(super) fn distrust(&mut self, clock: u64) {
        self.stale = clock;
        self.state = State::Unasked;
    }

    pub(super) fn wants_refresh(&self) -> bool {
        self.state == State::Unasked
    }

    pub(super) fn is_settled(&self) -> bool {
        self.state == State::Settled
    }

    pub(super) fn refreshing(&mut self) {
        if self.state == State::Unasked {
            self.state = State::Asked;
        }
    }

    /// Tells whether the answer is that to the last question.
    pub(super) fn refreshed(&mut self, answered: Option<u64>) -> bool {
        if self.state != State::Asked {
            return false;
        }
        self.state = answered.map_or(State::Unasked, State::Answered);
        answered.is_some()
    }

    /// What was not told again by the question that was answered at this time is gone.
    pub(super) fn settle(&mut self, answered: u64) {
        if self.state != State::Answered(answered) {
            return;
        }
        self.state = State::Settled;
        let stale = self.stale;
        self.flood.retain(|_, told| *told > stale);
        self.ports.retain(|_, told| *told > stale);
        self.population = None;
    }

    /// Tells whether it makes a difference.
    pub(super) fn note(&mut self, end: IpAddr, entry: Entry, is_there: bool, now: u64) -> bool {
        let before = match (entry, is_there) {
            (Entry::Flood, true) => self.flood.insert(end, now),
            (Entry::Flood, false) => self.flood.remove(&end),
            (Entry::Port(mac, address), true) => self.ports.insert((mac, address, end), now),
            (Entry::Port(mac, address), false) => self.ports.remove(&(mac, address, end)),
            (Entry::Nothing, _) => return false,
        };
        // One that is told again may stand above another now.
        let changed = is_there || before.is_some();
        if changed {
            self.population = None;
        }
        changed
    }

    /// All ends that there are.
    pub(super) fn ends(&self) -> impl Iterator<Item = IpAddr> {
        self.flood.keys().copied().chain(self.ports.keys().map(|(_, _, end)| *end))
    }

    /// Of several ends or addresses that are told of one, the last that was told.
    pub(super) fn population(&mut self, local_ip: IpAddr) -> Arc<Population> {
        let (flood, ports) = (&self.flood, &self.ports);
        let population = self.population.get_or_insert_with(|| {
            let mut population = Population::default();
            population.flood.extend(flood.keys().filter(|end| **end != local_ip));
            let mut told: Vec<_> = ports.iter().filter(|((.., end), _)| *end != local_ip).collect();
            told.sort_by_key(|(_, when)| **when);
            for ((mac, address, end), _) in told {
                population.unicast.insert(*mac, *end);
                population.neighbours.insert(*address, *mac);
            }
            Arc::new(population)
        });
        Arc::clone(population)
    }
}
