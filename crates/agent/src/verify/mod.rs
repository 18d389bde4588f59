//! Whether the flows that a switch holds do what the security groups say. Pure.
//!
//! Rules cut the packets into atoms ([`policy::atoms`]). One packet of each is sent through the
//! installed flows by the interpreter, from each port and to each port, in everything that
//! connection tracking can say of it, and what becomes of it is compared with `expect`, which
//! knows no flow. `witness` adds packets that tell foreign flows apart. What no rule decides is
//! in `base`.
//!
//! Where that is more than there is time for, every policy gets its share: its packets in an
//! order that leaps, its ports in turn, so that what was not looked at is spread evenly.

mod base;
pub(crate) mod expect;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use dataplane::bridge::{self, Fault, layout};
use dataplane::{LocalPort, Snapshot};
use model::{Direction, PortId, SecurityGroup, SecurityGroupId, SecurityGroupRuleId};
use openflow::interpreter::{self, Run, Step};
use openflow::{Flow, TableId};
use policy::Packet;
use serde::{Deserialize, Serialize};

use self::expect::{Expected, expected};
use self::witness::Landmark;
use crate::probe::{
    Bridge, End, STRANGER, State, Tracking, Verdict, carrying, end_of, from_elsewhere, from_port,
};

/// How many differences are told.
const TOLD: usize = 20;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many verdicts were checked.
    pub checked: u64,
    /// How many there are. Where it is more, time was up.
    pub of: u64,
    /// How many of those checked differ from what the security groups say.
    pub differ: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// How many flows the switch holds.
    pub flows: usize,
    /// How many ports with port security there are.
    pub ports: usize,
}

/// A verdict that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The port that sends the packet or is to receive it.
    pub port: String,
    /// `egress` or `ingress`.
    pub direction: String,
    /// The packet, as `ovs-appctl ofproto/trace` takes it.
    pub packet: String,
    /// What connection tracking says of it.
    pub state: String,
    /// What should become of it.
    pub expected: String,
    /// What becomes of it.
    pub found: String,
    /// The table in which it takes another way than it should.
    pub table: String,
    /// The flow that it meets there, if any.
    pub flow: Option<String>,
    /// The flow that it should meet there, if any.
    pub should_be: Option<String>,
}

/// Sends packets through the installed flows until all are through or `has_time` says no.
pub fn verify(
    snapshot: &Snapshot,
    installed: &[Flow],
    mut has_time: impl FnMut() -> bool,
) -> Report {
    let desired = bridge::desired(snapshot);
    let flows: Vec<Flow> = desired.flows.iter().map(|flow| (**flow).clone()).collect();
    // What the switch has learned says where somebody is, and by itself admits nobody anywhere.
    let installed = || installed.iter().filter(|flow| !layout::is_learned(flow));
    let mut verifier = Verifier {
        installed: Bridge::new(installed()),
        desired: Bridge::new(&flows),
        report: Report {
            flows: installed().count(),
            ports: desired.policies.len(),
            ..Report::default()
        },
    };
    verifier.base(snapshot, desired.policies.keys(), &mut has_time);
    let should_be: BTreeSet<&Flow> = flows.iter().collect();
    let landmarks = witness::landmarks(installed().filter(|flow| !should_be.contains(flow)));
    let subjects = subjects(snapshot, &desired.faults, desired.policies.keys(), &landmarks);
    verifier.policies(snapshot, &subjects, &mut has_time);
    verifier.report
}

/// A policy in one direction, and who has it.
struct Subject<'a> {
    direction: Direction,
    groups: Vec<SecurityGroup>,
    ports: Vec<&'a LocalPort>,
    packets: Vec<Packet>,
}

impl Subject<'_> {
    fn verdicts(&self) -> u64 {
        let product = self.ports.len() * self.packets.len() * Tracking::ALL.len();
        u64::try_from(product).unwrap_or(u64::MAX)
    }

    /// The packet whose turn it is, and the port for it in this round.
    fn pick(&self, round: usize, turn: usize) -> Option<(&LocalPort, &Packet)> {
        if round >= self.ports.len() || turn >= self.packets.len() {
            return None;
        }
        let packet = self.packets.get(turn * stride(self.packets.len()) % self.packets.len())?;
        let port = self.ports.get((round + turn) % self.ports.len())?;
        Some((port, packet))
    }
}

/// The policies of these ports.
fn subjects<'a>(
    snapshot: &'a Snapshot,
    faults: &[Fault],
    ports: impl Iterator<Item = &'a PortId>,
    landmarks: &BTreeSet<Landmark>,
) -> Vec<Subject<'a>> {
    let refused: BTreeSet<SecurityGroupRuleId> = faults
        .iter()
        .filter_map(|fault| match fault {
            Fault::Rule { refusal, .. } => Some(refusal.rule),
            _ => None,
        })
        .collect();
    let mut sets: BTreeMap<&BTreeSet<SecurityGroupId>, Vec<&LocalPort>> = BTreeMap::new();
    for local in ports.filter_map(|id| snapshot.ports.get(id)) {
        sets.entry(&local.port.groups).or_default().push(local);
    }

    let mut subjects = Vec::with_capacity(sets.len() * 2);
    for (set, ports) in sets {
        let groups = set.iter().filter_map(|id| snapshot.groups.get(id));
        let mut groups: Vec<SecurityGroup> = groups.map(|group| (**group).clone()).collect();
        for group in &mut groups {
            group.rules.retain(|rule| !refused.contains(&rule.id()));
        }
        for direction in [Direction::Egress, Direction::Ingress] {
            let policy = policy::compile(&groups, direction);
            let all: Vec<&SecurityGroup> = groups.iter().collect();
            let atoms = policy::atoms(&all, &snapshot.members, direction, &policy);
            let packets = witness::packets(atoms, landmarks, direction);
            let mut ports = ports.clone();
            if direction == Direction::Ingress {
                ports.retain(|local| is_reachable(snapshot, local));
            }
            subjects.push(Subject { direction, groups: groups.clone(), ports, packets });
        }
    }
    subjects
}

/// Whether frames for its MAC address reach it, as long as nothing was learned: of two ports that
/// have one for their own, the lower id gets them.
fn is_reachable(snapshot: &Snapshot, local: &LocalPort) -> bool {
    let port = &local.port;
    !snapshot.ports.values().any(|LocalPort { port: other, .. }| {
        (other.network, other.mac) == (port.network, port.mac) && other.id < port.id
    })
}

/// Sends packets, and keeps count.
struct Verifier {
    installed: Bridge,
    desired: Bridge,
    report: Report,
}

impl Verifier {
    fn base<'a>(
        &mut self,
        snapshot: &Snapshot,
        ports: impl Iterator<Item = &'a PortId>,
        has_time: &mut impl FnMut() -> bool,
    ) {
        let tracking = Tracking { state: State::New, revoked: false };
        for local in ports.filter_map(|id| snapshot.ports.get(id)) {
            for base::Check { direction, frame, accepted } in base::checks(snapshot, local) {
                if direction == Direction::Ingress && !is_reachable(snapshot, local) {
                    continue;
                }
                let expected = if accepted { Expected::WithoutRule } else { Expected::Refused };
                self.report.of += 1;
                if has_time() {
                    self.compare(local, direction, frame, tracking, expected);
                }
            }
        }
    }

    fn policies(
        &mut self,
        snapshot: &Snapshot,
        subjects: &[Subject<'_>],
        has_time: &mut impl FnMut() -> bool,
    ) {
        self.report.of += subjects.iter().map(Subject::verdicts).sum::<u64>();
        let rounds = subjects.iter().map(|subject| subject.ports.len()).max().unwrap_or(0);
        let turns = subjects.iter().map(|subject| subject.packets.len()).max().unwrap_or(0);
        for round in 0..rounds {
            for turn in 0..turns {
                if !has_time() {
                    return;
                }
                for subject in subjects {
                    let Some((local, packet)) = subject.pick(round, turn) else { continue };
                    let (own, frame) = probe(snapshot, local, subject.direction, packet);
                    for tracking in Tracking::ALL {
                        let expected = expected(
                            &local.port,
                            &subject.groups,
                            &snapshot.members,
                            subject.direction,
                            own,
                            packet,
                            tracking,
                        );
                        self.compare(local, subject.direction, frame.clone(), tracking, expected);
                    }
                }
            }
        }
    }

    fn compare(
        &mut self,
        local: &LocalPort,
        direction: Direction,
        frame: interpreter::Packet,
        tracking: Tracking,
        expected: Expected,
    ) {
        let run = self.installed.run(frame.clone(), tracking);
        let found = Verdict::of(&run, direction, local);
        self.report.checked += 1;
        if expected.is_accepted() == (found == Verdict::Accepted) {
            return;
        }
        self.report.differ += 1;
        if self.report.differences.len() >= TOLD {
            return;
        }
        let as_desired = self.desired.run(frame.clone(), tracking);
        let (step, other) = parting(&run, &as_desired);
        let flow = |step: Option<&Step<'_>>| step?.flow.map(layout::with_names);
        self.report.differences.push(Difference {
            port: local.port.id.to_string(),
            direction: direction.to_string(),
            packet: frame.to_string(),
            state: tracking.to_string(),
            expected: told(expected),
            found: match found {
                Verdict::Accepted => "accepted".to_owned(),
                Verdict::Refused(Some(reason)) => format!("refused: {}", reason.text()),
                Verdict::Refused(None) => "lost: no flow takes it further".to_owned(),
            },
            table: step.or(other).map_or_else(String::new, |step| table(step.table)),
            flow: flow(step),
            should_be: flow(other),
        });
    }
}

/// A packet as it comes in, and the port's end of it.
fn probe(
    snapshot: &Snapshot,
    local: &LocalPort,
    direction: Direction,
    packet: &Packet,
) -> (End, interpreter::Packet) {
    let own = end_of(local, packet.ethertype());
    let remote = End { mac: packet.remote_mac.unwrap_or(STRANGER), address: packet.remote };
    let Packet { protocol, l4, .. } = *packet;
    let frame = match direction {
        Direction::Egress => carrying(from_port(local.ofport), own, remote, protocol, l4),
        Direction::Ingress => carrying(from_elsewhere(snapshot, local), remote, own, protocol, l4),
    };
    (own, frame)
}

/// Where two runs part: the first lookups that found different flows. Where they never do, the
/// flows are as they should be and decide wrongly; then it is the last lookup that decided.
fn parting<'a>(
    run: &'a Run<'a>,
    desired: &'a Run<'a>,
) -> (Option<&'a Step<'a>>, Option<&'a Step<'a>>) {
    let does = |step: &Step<'_>| step.flow.map(|flow| (flow.key(), flow.actions.clone()));
    let mut others = desired.steps.iter();
    for step in &run.steps {
        let other = others.next();
        if other.is_none_or(|other| (step.table, does(step)) != (other.table, does(other))) {
            return (Some(step), other.filter(|other| other.table == step.table));
        }
    }
    match others.next() {
        Some(other) => (None, Some(other)),
        None => {
            let decided = run.steps.iter().rfind(|step| step.table != layout::DROPPED);
            (decided, decided)
        }
    }
}

fn told(expected: Expected) -> String {
    match expected {
        Expected::ByRule(rule) => format!("accepted by rule {rule}"),
        Expected::WithoutRule => "accepted without a rule".to_owned(),
        Expected::Refused => "refused".to_owned(),
    }
}

/// A table by number and name.
pub(crate) fn table(id: TableId) -> String {
    layout::table_name(id).map_or_else(|| id.to_string(), |name| format!("{id} {name}"))
}

/// A step that leads through all of so many places, in leaps.
fn stride(len: usize) -> usize {
    let common = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    // Near the golden section, so that what has been visited is spread evenly at any time.
    let near = len / 1000 * 618 + len % 1000 * 618 / 1000;
    (near.max(1)..=len.max(1)).find(|step| common(*step, len) == 1).unwrap_or(1)
}

#[cfg(test)]
mod tests;
