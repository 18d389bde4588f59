//! Whether the flows that a switch holds do what the security groups say. Pure.
//!
//! Rules cut the packets into atoms ([`policy::atoms`]). One packet of each is sent through the
//! installed flows by the interpreter, from each port and to each port, in everything that
//! connection tracking can say of it, and what becomes of it and of its connection is compared
//! with `expect`, which knows no flow. `witness` chooses the packets where the atoms are too many,
//! and adds some that tell foreign flows apart. What no rule decides is in `base`.
//!
//! Where that is more than there is time for, every policy and every port gets its share: the
//! packets in an order that leaps, the ports in turn, so that what was not looked at is spread
//! evenly (`subject`).
//!
//! Of ports that netfilter filters the same is asked of its chains, in `filtering`.

mod base;
mod difference;
pub(crate) mod expect;
pub(crate) mod filtering;
mod report;
mod sample;
mod subject;
mod witness;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dataplane::bridge::{Desired, Fault, layout};
use dataplane::{FlowSet, LocalPort, Snapshot};
use model::{Direction, PortId};
use openflow::interpreter::{self, Effect, Run};
use openflow::{Flow, TableId};
use policy::Packet;

pub use self::report::{Difference, Filtered, Report, TraceDifference, Traced};
pub use self::sample::Sample;

use self::expect::{Expected, Ruling, expected};
use self::sample::Samples;
use self::subject::Subject;
use crate::probe::{
    Bridge, End, STRANGER, State, Tracking, Verdict, carrying, end_of, from_elsewhere, from_port,
    group_of,
};

/// How many differences are told.
const TOLD: usize = 20;
/// The part of the time that what holds whatever the rules may take.
const BASE_PART: u32 = 3;
/// The part of the time that there is for packets, however long it took to prepare them.
const LEAST_PART: u32 = 3;

/// What is verified, and what it should be by.
#[derive(Debug, Clone)]
pub struct Given<'a> {
    /// By which the flows should be.
    pub snapshot: &'a Snapshot,
    /// The flows as they are computed from it. Verdicts do not depend on them; they tell where a
    /// wrong verdict comes from, and which flows are foreign.
    pub desired: &'a Desired,
    /// The flows that the switch holds.
    pub installed: FlowSet,
}

/// Sends packets through the installed flows until all are through or the time is up. `clock`
/// says how much time has passed. Gives some of the packets for the switch to trace.
pub fn verify(
    given: Given<'_>,
    time: Duration,
    mut clock: impl FnMut() -> Duration,
) -> (Report, Vec<Sample>) {
    let Given { snapshot, desired, installed } = given;
    // What the switch has learned says where somebody is, and by itself admits nobody anywhere.
    let known = installed.iter().filter(|flow| !layout::is_learned(flow));
    let installed: FlowSet = known.cloned().collect();
    let only_in = |one: &'_ FlowSet, other: &'_ FlowSet| -> Vec<Arc<Flow>> {
        one.iter().filter(|flow| other.get(flow) != Some(flow)).cloned().collect()
    };
    let odd = [only_in(&installed, &desired.flows), only_in(&desired.flows, &installed)].concat();
    let landmarks = witness::landmarks(odd.iter().map(Arc::as_ref));
    let unreachable = unreachable(snapshot);
    let closed = desired.faults.iter().filter(|fault| fault.closes_port()).map(Fault::port);
    let closed: BTreeSet<PortId> = closed.collect();
    let ports: Vec<&LocalPort> =
        snapshot.ports.values().filter(|local| !closed.contains(&local.port.id)).collect();
    let report = Report { flows: installed.len(), ports: ports.len(), ..Report::default() };
    let mut verifier = Verifier {
        snapshot,
        desired,
        installed: Bridge::new(&installed),
        as_desired: None,
        samples: Samples::of(ports.len()),
        report,
    };

    // What was prepared is not what was checked: some time there is in any case.
    let begin = clock();
    let time = time.saturating_sub(begin).max(time / LEAST_PART);
    let mut passed = || clock().saturating_sub(begin);
    verifier.base(&ports, &unreachable, || passed() < time / BASE_PART);
    let managed = ports.iter().filter(|local| desired.policies.contains_key(&local.port.id));
    let subjects =
        subject::subjects(snapshot, &desired.faults, managed.copied(), &unreachable, &landmarks);
    verifier.policies(&subjects, || passed() < time);
    (verifier.report, verifier.samples.list())
}

/// Ports that frames for their MAC address do not reach, as long as nothing was learned: those on
/// standby, and of two that have one for their own that with the higher id.
fn unreachable(snapshot: &Snapshot) -> BTreeSet<PortId> {
    let mut holders = BTreeSet::new();
    let mut is_reached =
        |local: &LocalPort| !local.standby && holders.insert((local.port.network, local.port.mac));
    let ports = snapshot.ports.values().filter(|local| !is_reached(local));
    ports.map(|local| local.port.id).collect()
}

/// A frame on its way from or to a port.
struct Case<'a> {
    local: &'a LocalPort,
    direction: Direction,
    frame: interpreter::Packet,
}

/// Sends packets, and keeps count.
struct Verifier<'a> {
    snapshot: &'a Snapshot,
    desired: &'a Desired,
    installed: Bridge,
    /// Made when it is needed for the first time.
    as_desired: Option<Bridge>,
    report: Report,
    samples: Samples,
}

impl Verifier<'_> {
    /// What holds whatever the rules.
    fn base(
        &mut self,
        ports: &[&LocalPort],
        unreachable: &BTreeSet<PortId>,
        mut has_time: impl FnMut() -> bool,
    ) {
        for (number, local) in ports.iter().enumerate() {
            let checks = base::checks(self.snapshot, local);
            let is_reached =
                |direction| direction == Direction::Egress || !unreachable.contains(&local.port.id);
            let checks: Vec<_> =
                checks.into_iter().filter(|check| is_reached(check.direction)).collect();
            self.report.of += u64::try_from(checks.len()).unwrap_or(u64::MAX);
            if !has_time() {
                continue;
            }
            self.report.ports_checked += 1;
            let tracking = Tracking { state: State::New, revoked: false };
            // Of some ports another one each; the packets of policies take the rest of the sample.
            if let Some(check) = checks.get(number % (4 * checks.len().max(1))) {
                self.samples.take(&self.installed, local, &check.frame, tracking);
            }
            for base::Check { direction, frame, accepted } in checks {
                let expected = if accepted { Expected::WithoutRule } else { Expected::Refused };
                let case = Case { local, direction, frame };
                let run = self.installed.run(case.frame.clone(), tracking);
                let found = Found::of(&run, &case);
                self.count(&case, &found, tracking, expected, false);
            }
        }
    }

    /// What the rules decide.
    fn policies(&mut self, subjects: &[Subject<'_>], mut has_time: impl FnMut() -> bool) {
        self.report.policies = subjects.len();
        let filters = self.snapshot.strict_equivalence;
        self.report.of += subjects.iter().map(|subject| subject.verdicts(filters)).sum::<u64>();
        let rounds = subjects.iter().map(|subject| subject.ports.len()).max().unwrap_or(0);
        let turns = subjects.iter().map(|subject| subject.packets.len()).max().unwrap_or(0);
        for (round, turn) in (0..rounds).flat_map(|round| (0..turns).map(move |it| (round, it))) {
            for subject in subjects {
                let Some((local, packet)) = subject.pick(round, turn) else { continue };
                if !has_time() {
                    return;
                }
                self.report.policies_checked += usize::from((round, turn) == (0, 0));
                self.packet(subject, local, &packet);
            }
        }
    }

    /// One packet of a policy, in everything that connection tracking can say of it.
    fn packet(&mut self, subject: &Subject<'_>, local: &LocalPort, packet: &Packet) {
        let direction = subject.direction;
        let ruling = subject.ruling(&self.snapshot.members, packet);
        let (own, frame) = probe(self.snapshot, local, direction, packet);
        let what = (direction, &frame, packet);
        self.samples.take_packet(&self.installed, (self.snapshot, local), what);
        let case = Case { local, direction, frame };
        let mut last: Option<Found> = None;
        for tracking in Tracking::ALL {
            let expected = expected(&local.port, ruling, direction, own, packet, tracking);
            let found = match last.take() {
                // Nobody asked connection tracking, so nothing depends on what it says.
                Some(found) if !found.is_tracked => found,
                _ => {
                    let (run, is_tracked) = self.installed.run_asking(case.frame.clone(), tracking);
                    Found { is_tracked, ..Found::of(&run, &case) }
                }
            };
            self.count(&case, &found, tracking, expected, !ruling.stateless);
            last = Some(found);
        }
        if direction == Direction::Ingress && self.snapshot.strict_equivalence {
            self.group_frame(local, ruling, packet);
        }
    }

    /// The same packet to a group address, where rules filter that. Nobody asks connection
    /// tracking, so it is judged as a new one.
    fn group_frame(&mut self, local: &LocalPort, ruling: Ruling, packet: &Packet) {
        let tracking = Tracking { state: State::New, revoked: false };
        let direction = Direction::Ingress;
        let own = end_of(local, packet.ethertype());
        let expected = expected(&local.port, ruling, direction, own, packet, tracking);
        let remote = End { mac: packet.remote_mac.unwrap_or(STRANGER), address: packet.remote };
        let frame = from_elsewhere(self.snapshot, local);
        let group = group_of(packet.ethertype());
        let frame = carrying(frame, remote, group, packet.protocol, packet.l4);
        let case = Case { local, direction, frame };
        let run = self.installed.run(case.frame.clone(), tracking);
        let mut found = Found::of(&run, &case);
        if run.effects.iter().any(|effect| matches!(effect, Effect::Normal { .. })) {
            found.verdict = Verdict::Accepted;
        }
        self.count(&case, &found, tracking, expected, false);
    }

    /// Counts a verdict, and tells of it where it is wrong.
    fn count(
        &mut self,
        case: &Case<'_>,
        found: &Found,
        tracking: Tracking,
        expected: Expected,
        is_tracked: bool,
    ) {
        self.report.checked += 1;
        let zone = self.snapshot.networks.get(&case.local.port.network).map(|it| it.vlan.get());
        let commit = expected.commit(tracking).filter(|_| is_tracked);
        let commits: Vec<Commit> =
            commit.and_then(|mark| Some((zone?, mark))).into_iter().collect();
        let is_right = expected.is_accepted() == (found.verdict == Verdict::Accepted);
        let is_committed = found.commits.as_ref().is_none_or(|found| *found == commits);
        if is_right && is_committed {
            return;
        }
        self.report.differ += 1;
        if self.report.differences.len() >= TOLD {
            return;
        }
        let flows = &self.desired.flows;
        let as_desired = self.as_desired.get_or_insert_with(|| Bridge::new(flows));
        let run = self.installed.run(case.frame.clone(), tracking);
        let should_run = as_desired.run(case.frame.clone(), tracking);
        let mut difference = difference::between(&run, &should_run);
        difference.port = case.local.port.id.to_string();
        difference.direction = case.direction.to_string();
        difference.packet = case.frame.to_string();
        difference.state = tracking.to_string();
        difference.expected = difference::expected(expected);
        difference.found = difference::found(found.verdict);
        if is_right {
            difference.expected += &difference::commits(&commits);
            difference.found += &difference::commits(found.commits.as_deref().unwrap_or_default());
        }
        self.report.differences.push(difference);
    }
}

/// What a flow writes to a connection: in which zone, and the mark where it is written.
type Commit = (u16, Option<u32>);

/// What became of a case.
struct Found {
    verdict: Verdict,
    /// What was written to its connection; `None` where another port has a say in that.
    commits: Option<Vec<Commit>>,
    /// Whether connection tracking was asked.
    is_tracked: bool,
}

impl Found {
    fn of(run: &Run<'_>, case: &Case<'_>) -> Self {
        let commits = run.effects.iter().filter_map(|effect| match effect {
            Effect::Commit { zone, mark, .. } => Some((*zone, *mark)),
            _ => None,
        });
        let goes_on = case.direction == Direction::Egress
            && run.steps.iter().any(|step| step.table == layout::BASE_INGRESS);
        Self {
            verdict: Verdict::of(run, case.direction, case.local),
            commits: (!goes_on).then(|| commits.collect()),
            is_tracked: true,
        }
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

/// A table by number and name.
pub(crate) fn table(id: TableId) -> String {
    layout::table_name(id).map_or_else(|| id.to_string(), |name| format!("{id} {name}"))
}

#[cfg(test)]
mod tests;
