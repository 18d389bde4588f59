//! Some of the packets for the switch to trace: the interpreter that gives the verdicts must find
//! the flows that the switch finds. Pure; `admin` asks the switch.
//!
//! A switch traces what comes in by a port that it has. So for a network without an uplink, a
//! packet for a port is sent by a neighbour of it.

use std::collections::BTreeMap;

use dataplane::bridge::layout;
use dataplane::{LocalPort, Snapshot};
use model::{Direction, PortId};
use openflow::interpreter::{self, Run};
use openflow::{Cookie, Field, Priority, TableId};
use policy::Packet;

use super::report::TraceDifference;
use super::table;
use crate::probe::{Bridge, State, Tracking, carrying, end_of, from_port, is_from_elsewhere};

/// How many packets are traced, about.
const SAMPLES: usize = 256;
/// How often connection tracking is asked at most: by the sender's side and the receiver's.
const PASSES: usize = 2;

/// The lookups that a packet meets: the table, and the flow that is found there.
type Steps = Vec<(TableId, Option<(Priority, Cookie)>)>;

/// A packet that is traced.
#[derive(Debug, Clone)]
pub struct Sample {
    packet: interpreter::Packet,
    state: State,
    steps: Steps,
}

/// The samples, spread over the ports.
pub(super) struct Samples {
    list: Vec<Sample>,
    for_each_port: usize,
    taken: BTreeMap<PortId, usize>,
}

impl Samples {
    /// None of so many ports yet.
    pub(super) fn of(ports: usize) -> Self {
        let for_each_port = (SAMPLES / ports.max(1)).max(1);
        Self { list: Vec::new(), for_each_port, taken: BTreeMap::new() }
    }

    /// Takes a frame of a port, if that one has not had its share.
    pub(super) fn take(
        &mut self,
        bridge: &Bridge,
        local: &LocalPort,
        frame: &interpreter::Packet,
        tracking: Tracking,
    ) {
        let taken = self.taken.entry(local.port.id).or_default();
        if is_from_elsewhere(frame) || *taken >= self.for_each_port || self.list.len() >= SAMPLES {
            return;
        }
        *taken += 1;
        // A trace knows of no connection, so the packet brings the mark along.
        let mark = if tracking.revoked { layout::MARK_REVOKED } else { layout::MARK_VALID };
        let packet = frame.clone().with(Field::CT_MARK, mark.into());
        let run = bridge.run(packet.clone(), tracking);
        self.list.push(Sample { packet, state: tracking.state, steps: steps(&run) });
    }

    /// Takes a packet of a policy, in a state that changes from one to the next.
    pub(super) fn take_packet(
        &mut self,
        bridge: &Bridge,
        (snapshot, local): (&Snapshot, &LocalPort),
        (direction, frame, packet): (Direction, &interpreter::Packet, &Packet),
    ) {
        let Some(tracking) = Tracking::ALL.get(self.list.len() % Tracking::ALL.len()) else {
            return;
        };
        if direction == Direction::Egress || !is_from_elsewhere(frame) {
            return self.take(bridge, local, frame, *tracking);
        }
        let mut others = snapshot.ports.values().filter(|other| {
            other.port.network == local.port.network && other.port.id != local.port.id
        });
        let Some(other) = others.next() else { return };
        let [from, to] = [other, local].map(|local| end_of(local, packet.ethertype()));
        let frame = carrying(from_port(other.ofport), from, to, packet.protocol, packet.l4);
        self.take(bridge, local, &frame, *tracking);
    }

    pub(super) fn list(self) -> Vec<Sample> {
        self.list
    }
}

impl Sample {
    /// What `ofproto/trace` is asked of it on this bridge.
    pub fn arguments(&self, bridge: &str) -> Vec<String> {
        let state = match self.state {
            State::New => "trk,new",
            State::Established => "trk,est",
            State::Reply => "trk,est,rpl",
            State::Related => "trk,rel",
            State::Invalid => "trk,inv",
        };
        let mut arguments = vec![bridge.to_owned(), self.packet.to_string()];
        for _ in 0..PASSES {
            arguments.extend(["--ct-next".to_owned(), state.to_owned()]);
        }
        arguments
    }

    /// Whether the switch found the same flows, as it says.
    ///
    /// # Errors
    ///
    /// It did not.
    pub fn compare(&self, trace: &str) -> Result<(), Box<TraceDifference>> {
        let theirs: Steps = before_learned(of_this_bridge(trace).filter_map(step));
        if theirs == self.steps {
            return Ok(());
        }
        Err(Box::new(TraceDifference {
            packet: self.packet.to_string(),
            state: self.state.to_string(),
            interpreter: words(&self.steps),
            switch: words(&theirs),
        }))
    }
}

fn steps(run: &Run<'_>) -> Steps {
    let found = |step: &interpreter::Step<'_>| step.flow.map(|flow| (flow.priority, flow.cookie));
    before_learned(run.steps.iter().map(|step| (step.table, found(step))))
}

/// What comes before a table in which the switch learns: what is there comes and goes.
fn before_learned(steps: impl Iterator<Item = (TableId, Option<(Priority, Cookie)>)>) -> Steps {
    steps.take_while(|(table, _)| !layout::LEARNING.contains(table)).collect()
}

/// The lines of a trace without those of other bridges, where a patch port has led. Such a part is
/// headed by the name of its bridge, and what follows it stands further out or has a heading.
fn of_this_bridge(trace: &str) -> impl Iterator<Item = &str> {
    let heading = |line: &str| line.trim_start().starts_with("bridge(\"");
    let here = trace.lines().find(|line| heading(line)).map(str::trim_start);
    let mut elsewhere: Option<usize> = None;
    trace.lines().filter(move |line| {
        let indent = line.len() - line.trim_start().len();
        if heading(line) {
            elsewhere = (Some(line.trim_start()) != here).then_some(indent);
        } else if elsewhere.is_some_and(|from| indent < from && !line.trim().is_empty()) {
            elsewhere = None;
        }
        elsewhere.is_none()
    })
}

/// A line such as ` 5. ip,reg6=0x1, priority 1, cookie 0x2`, ` 9. priority 0` or ` 9. No match.`.
fn step(line: &str) -> Option<(TableId, Option<(Priority, Cookie)>)> {
    let (table, rest) = line.trim_start().split_once(". ")?;
    let table = TableId(table.parse().ok()?);
    if rest == "No match." {
        return Some((table, None));
    }
    let (_, rest) = rest.rsplit_once("priority ")?;
    let (priority, cookie) = rest.split_once(", cookie 0x").unwrap_or((rest, "0"));
    let cookie = Cookie(u64::from_str_radix(cookie, 16).ok()?);
    Some((table, Some((Priority(priority.parse().ok()?), cookie))))
}

fn words(steps: &Steps) -> Vec<String> {
    let word = |(id, flow): &(TableId, Option<(Priority, Cookie)>)| match flow {
        Some((priority, cookie)) => {
            format!("{}: priority {}, cookie {:#x}", table(*id), priority.0, cookie.0)
        }
        None => format!("{}: no flow", table(*id)),
    };
    steps.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_trace() {
        let flow = |priority, cookie| Some((Priority(priority), Cookie(cookie)));
        for (line, expected) in [
            (
                " 0. priority 0, cookie 0x3e17010000000000",
                Some((0, flow(0, 0x3e17_0100_0000_0000))),
            ),
            (
                "160. in_port=1,dl_src=02:00:00:00:00:01, priority 100, cookie 0x2",
                Some((160, flow(100, 2))),
            ),
            ("    171. No match.", Some((171, None))),
            (" 5. ip, priority 32768", Some((5, flow(32768, 0)))),
            ("    goto_table:158", None),
            ("Final flow: unchanged", None),
            (
                " -> Resume conntrack with default ct_state=trk|new. Use --ct-next to customize",
                None,
            ),
        ] {
            assert_eq!(
                step(line),
                expected.map(|(table, found)| (TableId(table), found)),
                "{line}"
            );
        }
    }

    #[test]
    fn what_happens_on_another_bridge_is_left_out() {
        let trace = "\
bridge(\"br-int\")
----------------
 0. in_port=2, priority 1, cookie 0x1
    output:1

    bridge(\"br-phys\")
    -----------------
         0. in_port=7, priority 4, cookie 0x9
            NORMAL
             -> no learned MAC for destination, flooding
    resubmit(,3)
 3. priority 2, cookie 0x2
    output:1

bridge(\"br-phys\")
-----------------
 0. in_port=7, priority 4, cookie 0x9
    NORMAL

Final flow: unchanged

bridge(\"br-int\")
----------------
160. priority 5, cookie 0x3
";
        let found: Vec<_> = of_this_bridge(trace).filter_map(step).collect();
        let flow =
            |table, priority, cookie| (TableId(table), Some((Priority(priority), Cookie(cookie))));
        assert_eq!(found, [flow(0, 1, 1), flow(3, 2, 2), flow(160, 5, 3)]);
    }

    #[test]
    fn another_way_is_a_difference() {
        let steps = vec![(TableId(0), Some((Priority(0), Cookie(2)))), (TableId(160), None)];
        let packet = interpreter::Packet::new(openflow::PortNo(1));
        let sample = Sample { packet, state: State::New, steps };
        let right = " 0. priority 0, cookie 0x2\n    goto_table:160\n160. No match.\n    drop\n";
        assert_eq!(sample.compare(right), Ok(()));
        let difference = sample.compare(" 0. priority 0, cookie 0x2\n").unwrap_err();
        assert_eq!(difference.switch, ["0 ENTRY: priority 0, cookie 0x2"]);
        assert_eq!(difference.interpreter[1], "160 TRANSIENT: no flow");
        let learned = "195. reg6=0x1, priority 5, cookie 0x9\n";
        assert_eq!(sample.compare(&format!("{right}{learned}")), Ok(()));
    }
}
