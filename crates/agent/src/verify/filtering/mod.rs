//! Whether the chains and sets that netfilter holds do what the security groups say, at the ports that
//! it filters.
//!
//! The packets are those that flows are held to ([`Packets`]), and some for what holds whatever the
//! rules (`machine`); each goes through the chains in everything that conntrack can say of it. What
//! should become of it says [`Meaning::expected`], which knows no chain. Rules that are there and should
//! not be, or the other way round, make packets of their own: no other may come near them.

mod machine;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dataplane::hybrid::verdict::{Packet, State, Tracking as Kept, Verdict, tracking, verdict};
use dataplane::hybrid::{
    self, Fault, Meaning, Met, Netfilter, Node, Passage, Reason, TableName, desired, passage,
};
use model::{Direction, EtherType, HybridDevices, PortId, PortSecurity, SecurityGroupId};

use self::subject::{Subject, subjects};
use super::expect::Expected;
use super::report::{Difference, Filtered};
use super::{TOLD, difference};
use crate::probe::{self, Tracking};

/// The part of the time that odd rules may take, and what holds whatever the rules.
const PART: u32 = 3;
/// At how many ports an odd rule is looked at.
const ODD_PORTS: usize = 2;
const FAMILIES: [EtherType; 2] = [EtherType::Ipv4, EtherType::Ipv6];
const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];
/// Everything that conntrack can say of a packet and that netfilter tells apart.
const TRACKED: [Tracking; 5] = [
    NEW,
    Tracking { state: probe::State::Established, revoked: false },
    Tracking { state: probe::State::Established, revoked: true },
    Tracking { state: probe::State::Related, revoked: false },
    Tracking { state: probe::State::Invalid, revoked: false },
];
/// How many verdicts there are of a port in the tables beside filter.
const TABLES_BESIDE: u64 = 8;
const NEW: Tracking = Tracking { state: probe::State::New, revoked: false };

/// Sends packets through the installed chains until all are through or the time is up. `clock` says how
/// much time has passed.
pub(crate) fn verify(
    node: &Node,
    installed: &Netfilter,
    time: Duration,
    mut clock: impl FnMut() -> Duration,
) -> Filtered {
    let desired = desired(node);
    let sets: BTreeSet<&BTreeSet<SecurityGroupId>> = node
        .ports
        .iter()
        .filter(|(id, _)| desired.policies.contains_key(id))
        .map(|(_, port)| &port.port.groups)
        .collect();
    let meaning = |set: &BTreeSet<SecurityGroupId>| {
        let groups = set.iter().filter_map(|id| node.groups.get(id));
        Meaning::of(groups.map(AsRef::as_ref), &node.members, node.strict_equivalence)
    };
    let meanings: BTreeMap<_, _> = sets.into_iter().map(|set| (set, meaning(set))).collect();
    let machines = machines(node, &desired, &meanings);
    let subjects = subjects(node, &machines, &installed.odd_members(&desired.netfilter));
    let mut verifier =
        Verifier { installed, desired: &desired.netfilter, report: Filtered::default() };
    verifier.report.rules = installed.rules();
    verifier.report.ports = machines.len();

    let begin = clock();
    let mut passed = || clock().saturating_sub(begin);
    verifier.odd(&machines, || passed() < time / PART);
    let odd = passed();
    verifier.machines(&machines, || passed().saturating_sub(odd) < time / PART);
    verifier.policies(&subjects, || passed() < time);
    verifier.report
}

/// A port, and how its packets should go.
#[derive(Clone, Copy)]
struct Machine<'a> {
    port: &'a hybrid::Port,
    ruling: Ruling<'a>,
}

#[derive(Clone, Copy)]
enum Ruling<'a> {
    /// By the rules of its groups.
    Rules(&'a Meaning<'a>),
    /// All of them pass.
    Open,
    /// None passes.
    Closed,
}

/// The ports, without those whose devices have the names of another's.
fn machines<'a>(
    node: &'a Node,
    desired: &hybrid::Desired,
    meanings: &'a BTreeMap<&BTreeSet<SecurityGroupId>, Meaning<'a>>,
) -> Vec<Machine<'a>> {
    let is_shadowed = |fault: &Fault| match fault {
        Fault::Name { port, other } if HybridDevices::of(*port) == HybridDevices::of(*other) => {
            Some(*port)
        }
        _ => None,
    };
    let shadowed: BTreeSet<PortId> = desired.faults.iter().filter_map(is_shadowed).collect();
    let machine = |(id, port): (&PortId, &'a hybrid::Port)| {
        let meaning = || meanings.get(&port.port.groups);
        let ruling = match desired.policies.contains_key(id).then(meaning).flatten() {
            Some(meaning) => Ruling::Rules(meaning),
            None if port.port.security == PortSecurity::Disabled => Ruling::Open,
            None => Ruling::Closed,
        };
        Machine { port, ruling }
    };
    node.ports.iter().filter(|(id, _)| !shadowed.contains(id)).map(machine).collect()
}

impl Machine<'_> {
    fn expected(&self, direction: Direction, packet: &Packet) -> Expected {
        let meaning = match self.ruling {
            Ruling::Rules(meaning) => meaning,
            Ruling::Open => return Expected::WithoutRule,
            Ruling::Closed => return Expected::Refused,
        };
        match meaning.expected(&self.port.port, direction, packet) {
            hybrid::Expected::ByRule(rule) => Expected::ByRule(rule),
            hybrid::Expected::WithoutRule => Expected::WithoutRule,
            hybrid::Expected::Unruled => Expected::Unruled,
            hybrid::Expected::Refused => Expected::Refused,
        }
    }

    /// Where its connections should be kept; nothing where that is no matter.
    fn kept(&self) -> Option<Kept> {
        let Ruling::Rules(meaning) = self.ruling else { return None };
        match self.port.zone {
            _ if meaning.is_stateless() => Some(Kept::Off),
            zone => zone.map(Kept::Zone),
        }
    }

    /// What conntrack can say of its packets, and how netfilter and people call it.
    fn states(&self) -> Vec<(State, String)> {
        match self.kept() {
            Some(Kept::Off) => vec![(State::Untracked, "untracked".to_owned())],
            _ => TRACKED.iter().map(|it| (it.in_netfilter(), it.to_string())).collect(),
        }
    }
}

/// Sends packets, and keeps count.
struct Verifier<'a> {
    installed: &'a Netfilter,
    desired: &'a Netfilter,
    report: Filtered,
}

/// A packet of a port, in one state.
struct Case<'a> {
    machine: &'a Machine<'a>,
    direction: Direction,
    packet: Packet,
    /// What people call its state.
    state: String,
}

impl Verifier<'_> {
    /// Rules that are there and should not be, and those that are not and should be.
    fn odd(&mut self, machines: &[Machine<'_>], mut has_time: impl FnMut() -> bool) {
        let (installed, desired) = (self.installed, self.desired);
        let at_all = |machine| DIRECTIONS.map(|direction| (machine, direction));
        for odd in installed.odd_rules(desired) {
            let mut left = ODD_PORTS;
            for (machine, direction) in machines.iter().flat_map(at_all) {
                if left == 0 || !has_time() {
                    break;
                }
                let some = machine::some_packet(&machine.port.port, direction, odd.family);
                let packet = odd.meet(&some, installed);
                let meets = |netfilter| {
                    let passage = passage(netfilter, TableName::Filter, &packet);
                    passage.met.contains(&Met { chain: odd.chain, rule: odd.rule })
                };
                if meets(installed) || meets(desired) {
                    left -= 1;
                    self.report.of += verdicts(machine, direction);
                    self.packet(machine, direction, &packet);
                }
            }
        }
    }

    /// What holds whatever the rules.
    fn machines(&mut self, machines: &[Machine<'_>], mut has_time: impl FnMut() -> bool) {
        for machine in machines {
            let packets = machine::packets(&machine.port.port);
            let each = |(direction, _): &(Direction, Packet)| verdicts(machine, *direction);
            let count: u64 = packets.iter().map(each).sum();
            self.report.of += count + TABLES_BESIDE;
            if !has_time() {
                continue;
            }
            self.report.ports_checked += 1;
            for (direction, packet) in packets {
                self.packet(machine, direction, &packet);
            }
            for (direction, family) in
                DIRECTIONS.into_iter().flat_map(|it| FAMILIES.map(|family| (it, family)))
            {
                self.beside(machine, direction, family);
            }
        }
    }

    /// What the rules decide.
    fn policies(&mut self, subjects: &[Subject<'_>], mut has_time: impl FnMut() -> bool) {
        self.report.policies = subjects.len();
        self.report.of += subjects.iter().map(Subject::verdicts).sum::<u64>();
        let rounds = subjects.iter().map(|subject| subject.machines.len()).max().unwrap_or(0);
        let turns = subjects.iter().map(|subject| subject.packets.len()).max().unwrap_or(0);
        for (round, turn) in (0..rounds).flat_map(|round| (0..turns).map(move |it| (round, it))) {
            for subject in subjects {
                let Some((machine, packet)) = subject.pick(round, turn) else { continue };
                if !has_time() {
                    return;
                }
                self.report.policies_checked += usize::from((round, turn) == (0, 0));
                self.packet(machine, subject.direction, &packet);
            }
        }
    }

    /// A packet in everything that conntrack can say of it; and what a machine sends, as a packet for
    /// this host, too.
    fn packet(&mut self, machine: &Machine<'_>, direction: Direction, packet: &Packet) {
        for (number, (state, name)) in machine.states().into_iter().enumerate() {
            let packet = Packet { state, ..packet.clone() };
            let expected = machine.expected(direction, &packet);
            let case = Case { machine, direction, packet, state: name };
            self.bridged(&case, expected);
            if number == 0 && direction == Direction::Egress {
                self.delivered(case, expected);
            }
        }
    }

    fn bridged(&mut self, case: &Case<'_>, expected: Expected) {
        let found = verdict(self.installed, &case.packet);
        let right = if expected.is_accepted() { Verdict::Accepted } else { Verdict::Dropped };
        self.count(
            case,
            TableName::Filter,
            found == right,
            || difference::expected(expected),
            found_of,
        );
    }

    /// What this host gets goes on to the rules that it has for itself.
    fn delivered(&mut self, case: Case<'_>, expected: Expected) {
        let packet = Packet { output: None, ..case.packet };
        let passage = passage(self.installed, TableName::Filter, &packet);
        let is_right = match expected.is_accepted() {
            true => matches!(passage.reason(), Reason::Nothing | Reason::Foreign),
            false => passage.verdict() == Verdict::Dropped,
        };
        let state = format!("{}, for this host", case.state);
        let case = Case { packet, state, ..case };
        self.count(&case, TableName::Filter, is_right, || difference::expected(expected), found_of);
    }

    /// Where the connections of a port are kept, and that its packets are not translated.
    fn beside(&mut self, machine: &Machine<'_>, direction: Direction, family: EtherType) {
        let packet = machine::some_packet(&machine.port.port, direction, family);
        let case = Case { machine, direction, packet, state: NEW.to_string() };
        let wanted = machine.kept();
        let is_kept = wanted.is_none() || tracking(self.installed, &case.packet) == wanted;
        let kept_of = |passage: &Passage<'_>| kept(passage.tracking());
        self.count(&case, TableName::Raw, is_kept, || kept(wanted), kept_of);
        // A kernel without the table translates nothing.
        let translates = self.installed.family(family).0.contains_key(&TableName::Nat);
        let is_left = passage(self.installed, TableName::Nat, &case.packet).verdict();
        let is_left = !translates || is_left == Verdict::Accepted;
        let wanted = || "not translated".to_owned();
        let found = |_: &Passage<'_>| "translated if this host's rules say so".to_owned();
        self.count(&case, TableName::Nat, is_left, wanted, found);
    }

    /// Counts a verdict, and tells of it where it is wrong.
    fn count(
        &mut self,
        case: &Case<'_>,
        table: TableName,
        is_right: bool,
        expected: impl FnOnce() -> String,
        found: impl FnOnce(&Passage<'_>) -> String,
    ) {
        self.report.checked += 1;
        if is_right {
            return;
        }
        self.report.differ += 1;
        if self.report.differences.len() >= TOLD {
            return;
        }
        let through = |netfilter| passage(netfilter, table, &case.packet);
        let (passage, should_be) = (through(self.installed), through(self.desired));
        let (met, other) = parting(&passage, &should_be);
        let text = |met: Option<&Met<'_>>| met.map(|met| met.rule.to_string());
        let (rule, other_rule) = (text(met), text(other));
        let chain = met.or(other).map(|met| format!("{table} {}", met.chain));
        let place = chain.unwrap_or_else(|| table.to_string());
        // One packet is enough to tell of a rule.
        let is_told = |told: &Difference| {
            told.table == place && told.flow == rule && told.should_be == other_rule
        };
        if self.report.differences.iter().any(is_told) {
            return;
        }
        self.report.differences.push(Difference {
            port: case.machine.port.port.id.to_string(),
            direction: case.direction.to_string(),
            packet: case.packet.to_string(),
            state: case.state.clone(),
            expected: expected(),
            found: found(&passage),
            table: place,
            flow: rule,
            should_be: other_rule,
        });
    }
}

/// How many verdicts there are on a packet.
fn verdicts(machine: &Machine<'_>, direction: Direction) -> u64 {
    let states = match machine.kept() {
        Some(Kept::Off) => 1,
        _ => TRACKED.len(),
    };
    u64::try_from(states + usize::from(direction == Direction::Egress)).unwrap_or(u64::MAX)
}

/// Where two passages part: the first rules that are not the same. Where they never do, the rules are
/// as they should be and decide wrongly; then it is the last one.
fn parting<'a>(
    passage: &'a Passage<'_>,
    should_be: &'a Passage<'_>,
) -> (Option<&'a Met<'a>>, Option<&'a Met<'a>>) {
    let mut others = should_be.met.iter();
    for met in &passage.met {
        let other = others.next();
        if other != Some(met) {
            return (Some(met), other.filter(|other| other.chain == met.chain));
        }
    }
    match others.next() {
        Some(other) => (None, Some(other)),
        None => (passage.met.last(), passage.met.last()),
    }
}

/// What becomes of a packet.
fn found_of(passage: &Passage<'_>) -> String {
    let reason = passage.reason();
    match passage.verdict() {
        Verdict::Accepted if reason == Reason::Foreign => format!("accepted: {}", reason.text()),
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Dropped => format!("refused: {}", reason.text()),
        Verdict::Undecided => format!("undecided: {}", reason.text()),
        Verdict::Unknown => format!("not known: {}", reason.text()),
    }
}

/// Where connections are kept, in words.
fn kept(kept: Option<Kept>) -> String {
    match kept {
        Some(Kept::Zone(zone)) => format!("its connection is in zone {zone}"),
        Some(Kept::Off) => "it is not tracked".to_owned(),
        None => "its connection is with those of this host".to_owned(),
    }
}

#[cfg(test)]
mod tests;
