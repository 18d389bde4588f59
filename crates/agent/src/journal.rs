//! What each change of the bridge has cost: the last bundles one by one, and sums over all.
//!
//! `Recorder` is told by the event loop what happens when; it reads no clock itself. Moments
//! are microseconds since the agent started, so that those of two bundles can be compared.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// How many bundles are remembered.
const LAST: usize = 4096;

/// What the changes of the bridge have cost since the agent started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// How many flow modifications were sent.
    pub flow_mods: u64,
    /// In how many bundles.
    pub bundles: u64,
    /// Whether something has come that the bridge may not have followed yet.
    pub pending: bool,
    /// The last bundles that the switch has answered, oldest first.
    pub recent: VecDeque<Entry>,
}

/// A bundle that the switch has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts the bundles, from 1.
    pub number: u64,
    /// How many flow modifications were in it.
    pub flow_mods: u64,
    /// How many of them put right what others had done.
    pub mends: u64,
    /// When the first event came that the bridge had not followed yet, in microseconds since the
    /// agent started. What comes by the bus counts from there, not from the queue.
    pub woken_us: u64,
    /// When the bundle was sent, in microseconds since the agent started.
    pub sent_us: u64,
    /// When the switch answered, in microseconds since the agent started.
    pub answered_us: u64,
    /// Whether the switch has carried it out.
    pub carried_out: bool,
}

/// Keeps the [`Journal`].
#[derive(Debug)]
pub(crate) struct Recorder {
    flow_mods: u64,
    bundles: u64,
    recent: VecDeque<Entry>,
    start: Instant,
    woken: Option<Instant>,
    under_way: Option<Entry>,
}

impl Recorder {
    /// Nothing was sent yet.
    pub(crate) fn new(start: Instant) -> Self {
        let recent = VecDeque::new();
        Self { flow_mods: 0, bundles: 0, recent, start, woken: None, under_way: None }
    }

    /// An event that the bridge may have to follow has come.
    pub(crate) fn woken(&mut self, at: Instant) {
        self.woken.get_or_insert(at);
    }

    /// The bridge lacks nothing.
    pub(crate) fn settled(&mut self) {
        self.woken = None;
    }

    /// A bundle is on its way.
    pub(crate) fn sent(&mut self, flow_mods: usize, mends: usize, at: Instant) {
        let count = |number| u64::try_from(number).unwrap_or(u64::MAX);
        let (flow_mods, mends) = (count(flow_mods), count(mends));
        self.flow_mods = self.flow_mods.saturating_add(flow_mods);
        self.bundles = self.bundles.saturating_add(1);
        let woken = self.woken.take().unwrap_or(at);
        self.under_way = Some(Entry {
            number: self.bundles,
            flow_mods,
            mends,
            woken_us: self.micros(woken),
            sent_us: self.micros(at),
            answered_us: 0,
            carried_out: false,
        });
    }

    /// The switch has answered, or the way to it broke.
    pub(crate) fn answered(&mut self, carried_out: bool, at: Instant) {
        let Some(entry) = self.under_way.take() else { return };
        if self.recent.len() >= LAST {
            self.recent.pop_front();
        }
        let answered_us = self.micros(at);
        self.recent.push_back(Entry { answered_us, carried_out, ..entry });
    }

    /// What was written down, with those bundles alone that came after the one with this number.
    pub(crate) fn journal(&self, after: u64) -> Journal {
        Journal {
            flow_mods: self.flow_mods,
            bundles: self.bundles,
            pending: self.woken.is_some() || self.under_way.is_some(),
            recent: self.recent.iter().filter(|entry| entry.number > after).copied().collect(),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bundle_counts_from_the_first_event_that_led_to_it() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut recorder = Recorder::new(start);
        recorder.woken(at(10));
        recorder.settled();
        recorder.woken(at(20));
        recorder.woken(at(25));
        recorder.sent(3, 0, at(30));
        assert!(recorder.journal(0).pending);
        // While it is on its way the next one is due.
        recorder.woken(at(35));
        recorder.answered(true, at(40));
        recorder.woken(at(40));
        recorder.sent(1, 1, at(41));
        recorder.answered(false, at(50));

        let first = Entry {
            number: 1,
            flow_mods: 3,
            mends: 0,
            woken_us: 20,
            sent_us: 30,
            answered_us: 40,
            carried_out: true,
        };
        let second = Entry {
            number: 2,
            flow_mods: 1,
            mends: 1,
            woken_us: 35,
            sent_us: 41,
            answered_us: 50,
            carried_out: false,
        };
        let both = [first, second].into();
        let both = Journal { flow_mods: 4, bundles: 2, pending: false, recent: both };
        assert_eq!(recorder.journal(0), both);
        assert_eq!(recorder.journal(1), Journal { recent: [second].into(), ..both });
    }

    #[test]
    fn old_bundles_are_forgotten_and_still_counted() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start);
        for _ in 0..=LAST {
            recorder.sent(2, 0, start);
            recorder.answered(true, start);
        }
        let journal = recorder.journal(0);
        assert_eq!((journal.recent.len(), journal.bundles), (LAST, 4097));
        assert_eq!((journal.recent[0].number, journal.flow_mods), (2, 8194));
    }
}
