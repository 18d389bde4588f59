//! Meters of the integration bridge: which ones there are, whose they are, and which number each port
//! has for what. Pure.
//!
//! Others may have meters on the bridge, too. Ours are those that this agent has made, that ports
//! have recorded, and that flows of Weir's send packets through.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use dataplane::FlowSet;
use dataplane::bridge::layout;
use model::{BandwidthLimit, Direction, Kbps, MeterId, PacketRateLimit, PortId};
use openflow::{Action, Flow, Meter, MeterMod};

use crate::plugged::Plug;

/// What is known of meters.
#[derive(Debug, Default)]
pub struct Meters {
    /// Those that the switch has; `None` while that is not known.
    pub installed: Option<BTreeMap<MeterId, Meter>>,
    /// The numbers that were given away, recorded or not.
    pub assigned: BTreeMap<Use, MeterId>,
    /// Why the switch has refused one.
    pub refused: Option<String>,
    /// Those that are ours to delete.
    ours: BTreeSet<MeterId>,
}

/// What a meter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The port.
    pub port: PortId,
    /// What is counted.
    pub unit: Unit,
    /// Which way it goes.
    pub direction: Direction,
}

/// What a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Packets.
    Packets,
    /// Kilobits.
    Kilobits,
}

/// How much a meter lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Units a second.
    pub rate: u32,
    /// Units at once; nothing where that is left to the switch.
    pub burst: Option<u32>,
}

/// Meters as they should be, by what each is for.
pub type Wanted = BTreeMap<Use, (MeterId, Limit)>;

impl From<PacketRateLimit> for Limit {
    fn from(limit: PacketRateLimit) -> Self {
        Self { rate: limit.rate, burst: limit.burst }
    }
}

impl From<BandwidthLimit> for Limit {
    fn from(limit: BandwidthLimit) -> Self {
        Self { rate: limit.rate.get(), burst: limit.burst.map(Kbps::get) }
    }
}

impl Unit {
    const ALL: [Self; 2] = [Self::Packets, Self::Kilobits];

    /// What a key of `Port.other_config` begins with that holds the number of such a meter.
    const fn key(self) -> &'static str {
        match self {
            Self::Packets => "pps_",
            Self::Kilobits => "bps_",
        }
    }

    /// Such a meter.
    fn meter(self, id: MeterId, limit: Limit) -> Meter {
        match self {
            Self::Packets => Meter::packets(id.get(), limit.rate, limit.burst),
            Self::Kilobits => Meter::kilobits(id.get(), limit.rate, limit.burst),
        }
    }
}

impl Use {
    /// From the first to the last use of a port.
    pub fn every(port: PortId) -> RangeInclusive<Self> {
        let first = Self { port, unit: Unit::Packets, direction: Direction::Ingress };
        let last = Self { port, unit: Unit::Kilobits, direction: Direction::Egress };
        first..=last
    }

    /// The key of `Port.other_config` under which Neutron keeps the number of the meter.
    pub fn key(self) -> String {
        let Self { port, unit, direction } = self;
        format!("{}{port}_{direction}", unit.key())
    }
}

/// Whether this is such a key, of whatever port.
pub fn is_key(key: &str) -> bool {
    Unit::ALL.iter().any(|unit| key.starts_with(unit.key()))
}

impl Meters {
    /// The switch has these meters and flows.
    pub fn connect(&mut self, meters: Vec<Meter>, flows: &FlowSet) {
        let ours = flows.iter().filter(|flow| layout::is_weir(flow.cookie));
        self.ours.extend(ours.filter_map(|flow| named_by(flow)));
        self.read(meters);
    }

    /// The switch cannot be reached.
    pub fn disconnect(&mut self) {
        self.installed = None;
    }

    /// The switch has these meters.
    pub fn read(&mut self, meters: Vec<Meter>) {
        let by_id = |meter: Meter| Some((MeterId::new(meter.number).ok()?, meter));
        let installed: BTreeMap<_, _> = meters.into_iter().filter_map(by_id).collect();
        self.ours.retain(|id| installed.contains_key(id));
        self.installed = Some(installed);
    }

    /// Whether the switch has this one.
    pub fn has(&self, id: MeterId) -> bool {
        self.installed.as_ref().is_some_and(|installed| installed.contains_key(&id))
    }

    /// Gives each limit a meter: the one that is recorded with the port, or that it has been given,
    /// or else the lowest number that nobody has, once it is known which there are.
    pub fn assign(
        &self,
        limits: &BTreeMap<Use, Limit>,
        plugged: &BTreeMap<PortId, Plug>,
    ) -> Wanted {
        let recorded = plugged.values().flat_map(|plug| &plug.record.other_config);
        let recorded = recorded.filter(|(key, _)| is_key(key)).filter_map(|(_, it)| number(it));
        let mut taken: BTreeSet<MeterId> =
            recorded.chain(self.assigned.values().copied()).collect();
        taken.extend(self.installed.iter().flat_map(BTreeMap::keys));
        let is_known = self.installed.is_some();
        let mut wanted = Wanted::new();
        let mut given = BTreeSet::new();
        for (at, limit) in limits {
            let config = plugged.get(&at.port).map(|plug| &plug.record.other_config);
            let recorded = config.and_then(|it| number(it.get(&at.key())?));
            let kept = recorded.or(self.assigned.get(at).copied());
            // Two ports may name one meter only by a mistake; the second gets another.
            let kept = kept.filter(|id| !given.contains(id));
            let mut numbers = (1..).map_while(|number| MeterId::new(number).ok());
            let mut new = || numbers.find(|id| !taken.contains(id)).filter(|_| is_known);
            let Some(id) = kept.or_else(&mut new) else { continue };
            taken.insert(id);
            given.insert(id);
            wanted.insert(*at, (id, *limit));
        }
        wanted
    }

    /// What brings the switch to the meters that are wanted. Those of ours that are not wanted any
    /// more go when nothing sends packets through them, because flows would go with them.
    pub fn changes<'a>(
        &mut self,
        wanted: &Wanted,
        may_delete: bool,
        flows: impl Iterator<Item = &'a Flow>,
    ) -> Vec<MeterMod> {
        self.ours.extend(wanted.values().map(|(id, _)| *id));
        let Some(installed) = &self.installed else { return Vec::new() };
        let mut changes = Vec::new();
        for (at, (id, limit)) in wanted {
            let meter = at.unit.meter(*id, *limit);
            match installed.get(id) {
                None => changes.push(MeterMod::Add(meter)),
                Some(there) if !meter.is_like(there) => changes.push(MeterMod::Modify(meter)),
                Some(_) => {}
            }
        }
        let is_wanted = |id: &MeterId| wanted.values().any(|(wanted, _)| wanted == id);
        let mut unwanted: BTreeSet<MeterId> =
            self.ours.iter().filter(|id| may_delete && !is_wanted(id)).copied().collect();
        unwanted.retain(|id| installed.contains_key(id));
        if !unwanted.is_empty() {
            flows.filter_map(named_by).for_each(|id| {
                unwanted.remove(&id);
            });
        }
        changes.extend(unwanted.into_iter().map(|id| MeterMod::Delete(id.get())));
        changes
    }
}

/// The meter that a flow sends packets through.
fn named_by(flow: &Flow) -> Option<MeterId> {
    flow.actions.iter().find_map(|action| match action {
        Action::Meter(number) => MeterId::new(*number).ok(),
        _ => None,
    })
}

fn number(text: &str) -> Option<MeterId> {
    MeterId::new(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plugged::Record;

    fn id(n: u32) -> MeterId {
        MeterId::new(n).unwrap()
    }

    fn port(n: u32) -> PortId {
        crate::fixture::id(n).parse().unwrap()
    }

    fn limit(rate: u32) -> Limit {
        Limit { rate, burst: None }
    }

    fn packets(n: u32, direction: Direction) -> Use {
        Use { port: port(n), unit: Unit::Packets, direction }
    }

    /// A port with these numbers recorded for what it sends and gets.
    fn plug(n: u32, recorded: &[(Direction, &str)]) -> (PortId, Plug) {
        let recorded =
            recorded.iter().map(|(it, number)| (packets(n, *it).key(), (*number).to_owned()));
        let record = Record { other_config: recorded.collect(), network: None };
        let plug = Plug {
            row: crate::fixture::row(n),
            interface: "tap".into(),
            ofport: None,
            error: None,
            tag: None,
            driver: None,
            is_moved: false,
            record: Arc::new(record),
        };
        (port(n), plug)
    }

    fn through(cookie: u64, meter: u32) -> Flow {
        // Each from a port of its own.
        format!("cookie={cookie:#x},table=158,in_port={meter} actions=meter:{meter},goto_table:159")
            .parse()
            .unwrap()
    }

    const WEIR: u64 = 0x3e17_0200_0000_0001;

    #[test]
    fn a_port_keeps_its_meters_and_a_new_one_takes_what_is_free() {
        use Direction::{Egress, Ingress};
        let plugged = BTreeMap::from([
            plug(1, &[(Egress, "3"), (Ingress, "x")]),
            plug(2, &[]),
            plug(3, &[(Egress, "3")]),
        ]);
        let mut meters = Meters::default();
        meters.read(vec![Meter::packets(1, 5, None)]);
        meters.assigned.insert(packets(2, Egress), id(4));
        let limits = [(1, Egress), (1, Ingress), (2, Egress), (2, Ingress), (3, Egress)];
        let limits = limits.map(|(n, direction)| (packets(n, direction), limit(9)));
        let mut limits = BTreeMap::from(limits);
        let kilobits = Use { unit: Unit::Kilobits, ..packets(1, Egress) };
        limits.insert(kilobits, limit(9));
        let wanted = meters.assign(&limits, &plugged);
        let numbers: Vec<u32> = wanted.values().map(|(id, _)| id.get()).collect();
        // In the order of the ports, packets first, and of them ingress.
        assert_eq!(numbers, [2, 3, 5, 6, 4, 7]);
        assert_eq!(packets(1, Egress).key(), format!("pps_{}_egress", port(1)));
        assert_eq!(kilobits.key(), format!("bps_{}_egress", port(1)));
        assert!(is_key(&kilobits.key()) && !is_key("tag"));
        let of_first: Vec<Use> = wanted.range(Use::every(port(1))).map(|(at, _)| *at).collect();
        assert_eq!(of_first, [packets(1, Ingress), packets(1, Egress), kilobits]);
    }

    #[test]
    fn meters_are_made_changed_and_deleted_when_nothing_goes_through() {
        let mut meters = Meters::default();
        let at = packets(1, Direction::Egress);
        let wanted = |rate| Wanted::from([(at, (id(7), limit(rate)))]);
        let none: [Flow; 0] = [];
        assert_eq!(meters.changes(&wanted(5), true, none.iter()), []);

        meters.connect(vec![Meter::packets(8, 1, None)], &FlowSet::new());
        let five = Meter::packets(7, 5, None);
        assert_eq!(meters.changes(&wanted(5), true, none.iter()), [MeterMod::Add(five.clone())]);
        meters.read(vec![five.clone(), Meter::packets(8, 1, None)]);
        assert_eq!(meters.changes(&wanted(5), true, none.iter()), []);
        let six = MeterMod::Modify(Meter::packets(7, 6, None));
        assert_eq!(meters.changes(&wanted(6), true, none.iter()), [six]);

        // The same numbers of something else are another limit.
        let kilobits = Use { unit: Unit::Kilobits, ..at };
        let wanted = Wanted::from([(kilobits, (id(7), limit(5)))]);
        let counted = MeterMod::Modify(Meter::kilobits(7, 5, None));
        assert_eq!(meters.changes(&wanted, true, none.iter()), [counted]);

        let nobody = Wanted::new();
        assert_eq!(meters.changes(&nobody, false, none.iter()), []);
        let used = [through(WEIR, 7)];
        assert_eq!(meters.changes(&nobody, true, used.iter()), []);
        assert_eq!(meters.changes(&nobody, true, none.iter()), [MeterMod::Delete(7)]);
        meters.read(Vec::new());
        assert_eq!(meters.changes(&nobody, true, none.iter()), []);
    }

    #[test]
    fn a_meter_of_ours_is_known_by_its_flows_and_others_are_left() {
        let mut meters = Meters::default();
        let flows = [through(WEIR, 7), through(1, 8)].map(Arc::new);
        let there = [7, 8, 9].map(|number| Meter::packets(number, 1, None));
        meters.connect(there.into(), &flows.into_iter().collect());
        let gone: [Flow; 0] = [];
        assert_eq!(meters.changes(&Wanted::new(), true, gone.iter()), [MeterMod::Delete(7)]);
        meters.disconnect();
        assert!(!meters.has(id(7)));
    }
}
