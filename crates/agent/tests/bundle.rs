//! A switch that does not carry bundles out, for no fault of a flow: the agent gives it time. And one
//! that carries out a part.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::thread;

use neutron::object::{Object, Port, ResourceType, SecurityGroup, SecurityGroupRule};
use testkit::{Nic, Switch, Vm, eventually};

use crate::node::{Node, PATIENCE, bound, id, vlan};

/// OpenFlow 1.4.1 § 7.1: types of messages.
const ERROR: u8 = 1;
const MULTIPART_REQUEST: u8 = 18;
const BUNDLE_CONTROL: u8 = 33;
const BUNDLE_ADD: u8 = 34;
/// § 7.5.4: the bundle failed, for a reason that is not known.
const BUNDLE_FAILED: [u8; 4] = [0, 17, 0, 0];
/// § 7.3.9: the bundle control that opens one.
const OPEN: [u8; 2] = [0, 0];

/// Where the table and the command are in a flow modification within a message that adds it to a
/// bundle, behind that message's header: §§ 7.3.9.4 and 7.3.4.1.
const TABLE_OF_ADD: usize = 32;
const COMMAND_OF_ADD: usize = 33;
/// One that no switch knows.
const NO_COMMAND: u8 = 99;

/// Stands between the agent and the bridge, and refuses bundles while it is told to, or has the
/// bridge refuse what is about one table.
#[derive(Clone, Default)]
struct StandIn {
    refuses: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
    /// Whether requests for a part of its state, as for its flows, wait.
    holds: Arc<AtomicBool>,
    /// What is about this table is made something that the switch does not know; 0 for none.
    misled: Arc<AtomicU8>,
}

impl StandIn {
    /// The directory with its socket.
    fn listen(&self, switch: &Switch) -> PathBuf {
        let directory = switch.run_dir().join("stand-in");
        std::fs::create_dir(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("br-int.mgmt")).unwrap();
        // It stands before one bridge alone.
        let other = "br-phys.mgmt";
        symlink(switch.run_dir().join(other), directory.join(other)).unwrap();
        let bridge = switch.mgmt_socket("br-int");
        let stand_in = self.clone();
        thread::spawn(move || {
            for agent in listener.incoming() {
                // The bridge may not be there yet: the agent comes again.
                let Ok(bridge) = UnixStream::connect(&bridge) else { continue };
                stand_in.relay(agent.unwrap(), bridge);
            }
        });
        directory
    }

    /// Passes everything on, and answers what is about bundles itself while it refuses them.
    fn relay(&self, agent: UnixStream, bridge: UnixStream) {
        let mut answers = (bridge.try_clone().unwrap(), agent.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut answers.0, &mut answers.1));
        let stand_in = self.clone();
        thread::spawn(move || stand_in.take(agent, bridge));
    }

    fn take(&self, mut agent: UnixStream, mut bridge: UnixStream) {
        let mut header = [0; 8];
        while agent.read_exact(&mut header).is_ok() {
            let [version, kind, high, low, xid @ ..] = header;
            let mut body = vec![0; usize::from(u16::from_be_bytes([high, low])) - header.len()];
            agent.read_exact(&mut body).unwrap();
            while kind == MULTIPART_REQUEST && self.holds.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let about_bundles = [BUNDLE_CONTROL, BUNDLE_ADD].contains(&kind);
            let misled = self.misled.load(Ordering::Relaxed);
            let is_misled = misled != 0 && body.get(TABLE_OF_ADD) == Some(&misled);
            if kind == BUNDLE_ADD
                && is_misled
                && let Some(command) = body.get_mut(COMMAND_OF_ADD)
            {
                *command = NO_COMMAND;
            }
            if !about_bundles || !self.refuses.load(Ordering::Relaxed) {
                bridge.write_all(&[&header[..], &body].concat()).unwrap();
            } else if kind == BUNDLE_CONTROL {
                self.refused
                    .fetch_add(usize::from(body.get(4..6) == Some(&OPEN[..])), Ordering::Relaxed);
                let error = [&[version, ERROR, 0, 12], &xid[..], &BUNDLE_FAILED].concat();
                agent.write_all(&error).unwrap();
            }
        }
    }
}

#[test]
fn a_bundle_that_failed_is_not_sent_again_by_every_event() {
    const EVENTS: u64 = 1000;
    let port =
        |revision_number| Object::Port(Port { id: id(1), revision_number, ..Port::default() });
    let stand_in = StandIn::default();
    stand_in.refuses.store(true, Ordering::Relaxed);
    let node = Node::start_behind(vec![port(0)], |switch| stand_in.listen(switch));
    node.wait("the failure is told", |status| status.connections.switch.contains("bundle"));
    node.plug("tap1", &id(1));
    node.wait("the port is asked about", |status| !status.ports.is_empty());
    for revision in 1..=EVENTS {
        node.server.add(port(revision));
        node.status();
    }
    // Each rest is twice as long as the one before, so these are few however slow the machine is.
    let refused = stand_in.refused.load(Ordering::Relaxed);
    assert!(refused < 12, "{refused} bundles for {EVENTS} events");

    stand_in.refuses.store(false, Ordering::Relaxed);
    node.wait("it goes on", |status| status.connections.switch == "ok");
    eventually(PATIENCE, || node.flows().len() > 50).unwrap();
}

#[test]
fn of_members_that_come_or_go_those_that_are_taken_are_in_force() {
    const GROUP: u32 = 0x9000;
    const REMOTE: u32 = 0x9001;
    let group = |n| SecurityGroup { id: id(n), stateful: true, ..SecurityGroup::default() };
    let rule = |n, direction: &str| {
        Object::SecurityGroupRule(SecurityGroupRule {
            id: id(n),
            security_group_id: id(GROUP),
            remote_group_id: Some(id(REMOTE)),
            direction: direction.to_owned(),
            ethertype: "IPv4".to_owned(),
            revision_number: 1,
            ..SecurityGroupRule::default()
        })
    };
    let member = |n| Object::Port(bound(n, 0x8000, vlan(117), REMOTE));
    let objects = vec![
        Object::Port(bound(1, 0x8000, vlan(117), GROUP)),
        Object::SecurityGroup(group(GROUP)),
        Object::SecurityGroup(group(REMOTE)),
        rule(0x100, "egress"),
        rule(0x101, "ingress"),
        member(2),
    ];
    let stand_in = StandIn::default();
    let node = Node::start_behind(objects, |switch| stand_in.listen(switch));
    let _vm = Vm::cabled(&node.switch, "tap1", &Nic::default()).unwrap();
    node.plug("tap1", &id(1));
    node.wait_up(1);
    let tables = |address: &str| {
        let flows = node.flows();
        [("table=174,", "nw_dst"), ("table=184,", "nw_src")].map(|(table, field)| {
            let about = format!("{field}={address} ");
            flows.iter().any(|flow| flow.contains(table) && flow.contains(&about))
        })
    };
    eventually(PATIENCE, || tables("10.0.0.2") == [true; 2]).unwrap();
    let before = node.journal(u64::MAX).flow_mods;

    // The bridge refuses one of the two flows of a new member, and has committed the other.
    stand_in.misled.store(184, Ordering::Relaxed);
    node.server.add(member(3));
    node.wait("the refusal is shown", |status| !status.refused.is_empty());
    assert_eq!(tables("10.0.0.3"), [true, false]);
    let status = node.status();
    let refused = &status.refused[0];
    assert!(refused.message.contains("table=184"), "{}", refused.message);
    assert!(status.ports.iter().all(|port| port.up), "it goes on as it was: {:#?}", status.ports);
    stand_in.misled.store(0, Ordering::Relaxed);
    eventually(PATIENCE, || tables("10.0.0.3") == [true; 2]).unwrap();
    node.wait("nothing is refused any more", |status| status.refused.is_empty());

    // Likewise where one goes.
    stand_in.misled.store(174, Ordering::Relaxed);
    node.server.delete(ResourceType::Port, &id(3));
    node.wait("the refusal is shown", |status| !status.refused.is_empty());
    assert_eq!(tables("10.0.0.3"), [true, false]);
    stand_in.misled.store(0, Ordering::Relaxed);
    eventually(PATIENCE, || tables("10.0.0.3") == [false; 2]).unwrap();
    node.wait("nothing is refused any more", |status| status.refused.is_empty());

    // What was taken was not sent again; of refused ones each attempt counts.
    let journal = node.journal(0);
    let refusals: u64 = journal.recent.iter().map(|entry| u64::from(!entry.carried_out)).sum();
    assert_eq!(journal.flow_mods - before, 4 + refusals, "{journal:#?}");
}

#[test]
fn rules_are_asked_for_when_it_is_known_which_flows_are_there() {
    let group = SecurityGroup { id: id(0x9000), stateful: true, ..SecurityGroup::default() };
    let port = bound(1, 0x8000, vlan(117), 0x9000);
    let stand_in = StandIn::default();
    let objects = vec![Object::Port(port), Object::SecurityGroup(group)];
    let mut node = Node::start_behind(objects, |switch| stand_in.listen(switch));
    let _vm = Vm::cabled(&node.switch, "tap1", &Nic::default()).unwrap();
    node.plug("tap1", &id(1));
    node.wait_up(1);
    node.stop_agent();
    node.server.forget_questions();

    stand_in.holds.store(true, Ordering::Relaxed);
    node.start_agent();
    // The group and its rules are questions of the same moment.
    eventually(PATIENCE, || node.server.was_asked(ResourceType::SecurityGroup)).unwrap();
    node.wait("it waits for its group", |status| {
        status.ports.iter().any(|port| port.state.contains("security groups"))
    });
    assert!(!node.server.was_asked(ResourceType::SecurityGroupRule));
    stand_in.holds.store(false, Ordering::Relaxed);
    node.wait_up(1);
    assert!(node.server.was_asked(ResourceType::SecurityGroupRule));
    assert_eq!(node.journal(0).flow_mods, 0);
}
