//! Somebody else changes the flows of a bridge: what is the agent's is mended at once and told,
//! what is theirs is left alone.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use agent::status::ForeignStatus;
use neutron::object::{Object, ResourceType, SecurityGroup, SecurityGroupRule};
use openflow::{Client, Flow, FlowMod, Target};
use testkit::{Nic, Pace, Switch, Vm, eventually};

use crate::node::{Node, PATIENCE, bound, id, mac, vlan};

const GROUP: u32 = 0x9000;
/// Packets may be lost for less than this.
const ALLOWED: Duration = Duration::from_secs(1);

fn port(n: u32) -> Object {
    Object::Port(bound(n, 0x8000, vlan(117), GROUP))
}

/// A rule for this UDP port.
fn rule(n: u32, direction: &str, udp: u32) -> Object {
    Object::SecurityGroupRule(SecurityGroupRule {
        id: id(n),
        security_group_id: id(GROUP),
        direction: direction.to_owned(),
        ethertype: "IPv4".to_owned(),
        protocol: Some("udp".to_owned()),
        port_range_min: Some(udp),
        port_range_max: Some(udp),
        revision_number: 1,
        ..SecurityGroupRule::default()
    })
}

/// The group that every port has, with what it permits.
fn rules() -> Vec<Object> {
    let group = SecurityGroup { id: id(GROUP), stateful: true, ..SecurityGroup::default() };
    vec![Object::SecurityGroup(group), rule(0x100, "egress", 80), rule(0x101, "ingress", 80)]
}

fn vm(node: &Node, n: u32) -> Vm {
    let nic = Nic {
        mac: Some(mac(n)),
        addresses: vec![format!("10.0.0.{n}/24").parse().unwrap()],
        ..Nic::default()
    };
    let device = format!("tap{n}");
    let vm = Vm::cabled(&node.switch, &device, &nic).unwrap();
    node.plug(&device, &id(n));
    vm
}

/// What others have done to the integration bridge, as the status says it.
fn foreign(node: &Node) -> ForeignStatus {
    node.status().bridge.foreign
}

/// Nobody else has done anything.
fn quiet() -> ForeignStatus {
    ForeignStatus { watched: "ok".to_owned(), ..ForeignStatus::default() }
}

/// Somebody who deletes a flow without a pause.
struct Deleting {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Deleting {
    fn start(node: &Node, key: &str) -> Self {
        let flow: Flow = format!("{key} actions=drop").parse().unwrap();
        let target = Target::Unix(node.switch.mgmt_socket("br-int"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let work = async move {
            let client = Client::connect(&target).await.unwrap();
            let mut times = 0;
            while !stopped.load(Ordering::Relaxed) {
                client.bundle(vec![FlowMod::delete_strict(flow.key())]).await.unwrap();
                times += 1;
            }
            times
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { stop, thread: thread::spawn(move || runtime.block_on(work)) }
    }

    /// Tells how often it has done so.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// What a dumped flow matches, and what it does.
fn split(flow: &str) -> (String, &str) {
    let (matches, actions) = flow.split_once(" actions=").unwrap();
    let (_cookie, matches) = matches.split_once(", ").unwrap();
    (matches.replace(", ", ","), actions)
}

/// All of the agent's flows in a table; the table is written as the dump has it.
fn of_table<'a>(flows: &'a [String], table: &str) -> Vec<&'a String> {
    flows.iter().filter(|flow| flow.contains(table)).collect()
}

#[test]
fn what_others_do_to_its_flows_is_mended_while_packets_flow() {
    let node = Node::start([vec![port(1), port(2)], rules()].concat());
    let (client, server) = (vm(&node, 1), vm(&node, 2));
    node.wait_up(2);
    server.listen_udp(80).unwrap();
    let flows = node.flows();
    assert_eq!(foreign(&node), quiet(), "what the agent does itself is nobody else's");

    // Under a cookie of theirs it is theirs, whatever becomes of its neighbours.
    let theirs = "cookie=0x5,table=160,priority=7,dl_type=0x88b5,actions=drop";
    node.switch.ofctl(&["add-flow", "br-int", theirs]).unwrap();
    let is_theirs = |flow: &String| flow.contains("cookie=0x5,");
    let steady = client.steady_udp(server.v4(80).unwrap(), Pace::HUNDRED_PER_SECOND).unwrap();

    let (to_first, what) = split(of_table(&flows, "table=173,")[0]);
    let changed = format!("{to_first},actions=drop");
    let (cookie, _) = flows[0].trim().split_once(',').unwrap();
    let added = format!("{cookie},table=182,priority=1000,ip,actions=drop");
    let expiring = format!("idle_timeout=300,{cookie},{to_first},actions={what}");
    let policies = of_table(&flows, "table=182,");
    let policies = policies.iter().filter(|flow| !flow.ends_with("actions=drop")).count();
    assert!(policies > 1, "{flows:#?}");
    // Each deed, how many flows it damages, and how the last of them is told.
    let deeds: [(&[&str], usize, &str); 7] = [
        (&["--strict", "del-flows", "br-int", &to_first], 1, "deleted: "),
        (&["del-flows", "br-int", "table=171"], of_table(&flows, "table=171,").len(), "deleted: "),
        (&["--strict", "mod-flows", "br-int", &changed], 1, "changed into: "),
        (&["mod-flows", "br-int", "table=182,actions=drop"], policies, "changed into: "),
        (&["add-flow", "br-int", &added], 1, "added under a cookie of Weir's: "),
        (&["add-flow", "br-int", &expiring], 1, "deleted: "),
        (&["del-flows", "br-int"], flows.len(), "deleted: "),
    ];
    let mut mended = 0;
    for (deed, damaged, told) in deeds {
        let all = deed == ["del-flows", "br-int"];
        assert_eq!(node.flows().iter().filter(|flow| is_theirs(flow)).count(), 1, "{deed:?}");
        node.switch.ofctl(deed).unwrap();
        mended += u64::try_from(damaged).unwrap();
        node.wait(&format!("{deed:?}: {mended} mended"), |status| {
            let ForeignStatus { mended: count, damaged, .. } = status.bridge.foreign;
            count == mended && damaged == 0
        });
        let there = node.flows();
        assert_eq!(there.iter().any(is_theirs), !all, "who deletes everything deletes theirs too");
        assert_eq!(there.into_iter().filter(|flow| !is_theirs(flow)).collect::<Vec<_>>(), flows);
        let last = foreign(&node).last.unwrap();
        assert!(last.starts_with(told), "{deed:?}: {last}");
    }
    let delivery = steady.stop();
    eprintln!("{delivery}");
    assert!(delivery.longest_gap() < ALLOWED, "{delivery}");

    let ForeignStatus { removed, changed, added, .. } = foreign(&node);
    assert_eq!((removed + changed + added, added), (mended, 1));
    let mends: u64 = node.journal(0).recent.iter().map(|entry| entry.mends).sum();
    assert_eq!(mends, mended);
    assert!(node.status().ports.iter().all(|port| port.up));
}

#[test]
fn who_deletes_a_flow_again_and_again_does_not_keep_the_agent_busy() {
    let node = Node::start([vec![port(1)], rules()].concat());
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let flows = node.flows();
    let (mine, _) = split(of_table(&flows, "table=173,")[0]);
    let (other, _) = split(of_table(&flows, "table=171,")[0]);
    let (start, before) = (Instant::now(), node.journal(0).bundles);
    // As fast as the switch allows, so that the next time comes while the agent mends the last one.
    let deleting = Deleting::start(&node, &mine);
    let held = eventually(PATIENCE, || foreign(&node).held);
    assert!(held.is_ok(), "{:?}", foreign(&node));
    eventually(PATIENCE, || foreign(&node).removed > 10).unwrap();
    assert!(deleting.stop() > 10);
    // Three times at once, then after 50, 100, 200, 400 and each 600 milliseconds.
    let most = 3 + 4 + 1 + start.elapsed().as_millis() / 600;
    let bundles = node.journal(0).bundles - before;
    assert!(u128::from(bundles) <= most, "{bundles} bundles of {most}");
    // What the server changes is not held up by that.
    node.server.add(rule(0x102, "ingress", 53));
    eventually(PATIENCE, || node.flows().iter().any(|flow| flow.contains("tp_dst=53"))).unwrap();
    node.server.delete(ResourceType::SecurityGroupRule, &id(0x102));
    // And it is mended in the end, with what was damaged meanwhile.
    node.switch.ofctl(&["--strict", "del-flows", "br-int", &other]).unwrap();
    eventually(PATIENCE, || node.flows() == flows).unwrap();
    node.wait("all is mended", |status| {
        let ForeignStatus { removed, mended, damaged, .. } = status.bridge.foreign;
        (removed, damaged) == (mended, 0)
    });
}

#[test]
fn thousands_of_flows_that_go_at_once_come_back() {
    const RULES: u32 = 3000;
    // Ports that cannot be merged: a flow for each rule.
    let many = (0..RULES).map(|n| rule(0x1000 + n, "ingress", 2 * n + 1));
    let node = Node::start([vec![port(1)], rules()].concat().into_iter().chain(many).collect());
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let flows = node.flows();
    let policies = of_table(&flows, "table=182,").len();
    assert!(policies > 3000, "{policies}");
    assert_eq!(foreign(&node), quiet());

    // More than the switch tells in one go: what it did not tell is read again.
    for deed in [&["del-flows", "br-int", "table=182"][..], &["del-flows", "br-int"]] {
        node.switch.ofctl(deed).unwrap();
        eventually(PATIENCE, || node.flows() == flows).unwrap();
    }
    let expected = u64::try_from(policies + flows.len()).unwrap();
    node.wait("all is mended", |status| {
        let ForeignStatus { removed, mended, damaged, .. } = status.bridge.foreign;
        (removed, mended, damaged) == (expected, expected, 0)
    });
    // Nor is it anybody else's that all of them go by our own doing.
    for n in 0..RULES {
        node.server.delete(ResourceType::SecurityGroupRule, &id(0x1000 + n));
    }
    eventually(PATIENCE, || of_table(&node.flows(), "table=182,").len() < 100).unwrap();
    let ForeignStatus { removed, changed, added, .. } = foreign(&node);
    assert_eq!((removed, changed, added), (expected, 0, 0));
}

/// Stands between the agent and the bridges, and refuses flow monitors as Open vSwitch before 3.0
/// does. The directory with its sockets.
fn old_switch(switch: &Switch) -> PathBuf {
    let directory = switch.run_dir().join("old");
    std::fs::create_dir(&directory).unwrap();
    for name in ["br-int.mgmt", "br-phys.mgmt"] {
        let listener = UnixListener::bind(directory.join(name)).unwrap();
        let bridge = switch.run_dir().join(name);
        thread::spawn(move || {
            for agent in listener.incoming() {
                // The bridge may not be there yet: the agent comes again.
                let Ok(bridge) = UnixStream::connect(&bridge) else { continue };
                relay(agent.unwrap(), bridge);
            }
        });
    }
    directory
}

/// Passes on everything but requests for monitors (OpenFlow 1.4.1 § 7.3.5.16).
fn relay(mut agent: UnixStream, mut bridge: UnixStream) {
    const MULTIPART_REQUEST: u8 = 18;
    const FLOW_MONITOR: [u8; 2] = [0, 16];
    const BAD_MULTIPART: [u8; 4] = [0, 1, 0, 2];
    let mut answers = (bridge.try_clone().unwrap(), agent.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut answers.0, &mut answers.1));
    thread::spawn(move || {
        let mut header = [0; 8];
        while agent.read_exact(&mut header).is_ok() {
            let [version, kind, high, low, xid @ ..] = header;
            let mut body = vec![0; usize::from(u16::from_be_bytes([high, low])) - header.len()];
            agent.read_exact(&mut body).unwrap();
            if kind == MULTIPART_REQUEST && body.starts_with(&FLOW_MONITOR) {
                agent
                    .write_all(&[&[version, 1, 0, 12], &xid[..], &BAD_MULTIPART].concat())
                    .unwrap();
            } else {
                bridge.write_all(&[&header[..], &body].concat()).unwrap();
            }
        }
    });
}

#[test]
fn a_switch_that_does_not_tell_is_read_again() {
    let node = Node::start_behind([vec![port(1)], rules()].concat(), old_switch);
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let flows = node.flows();
    assert!(foreign(&node).watched.contains("before 3.0"), "{:?}", foreign(&node));
    node.switch.ofctl(&["del-flows", "br-int"]).unwrap();
    let count = u64::try_from(flows.len()).unwrap();
    node.wait("all is mended", |status| {
        let ForeignStatus { removed, mended, damaged, .. } = status.bridge.foreign;
        (removed, mended, damaged) == (count, count, 0)
    });
    assert_eq!(node.flows(), flows);
}

/// A table whose owner has it evict flows when it is full takes none of the agent's, which have no
/// timeout: the new flow is refused, as by a table that does not evict, and told.
#[test]
fn a_full_table_evicts_none_of_its_flows() {
    let node = Node::start([vec![port(1)], rules()].concat());
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let flows = node.flows();
    let limit = format!("flow_limit={}", of_table(&flows, "table=182,").len());
    let create = ["--id=@full", "create", "Flow_Table", &limit, "overflow_policy=evict"];
    let set = ["--", "set", "Bridge", "br-int", "flow_tables:182=@full"];
    node.switch.vsctl(&[&["--"], &create[..], &set].concat()).unwrap();

    node.server.add(rule(0x102, "ingress", 53));
    node.wait("a refusal", |status| !status.refused.is_empty());
    let there = node.flows();
    assert_eq!(of_table(&there, "table=182,"), of_table(&flows, "table=182,"));
    assert_eq!(foreign(&node).removed, 0);

    node.switch.vsctl(&["clear", "Bridge", "br-int", "flow_tables"]).unwrap();
    eventually(PATIENCE, || node.flows().iter().any(|flow| flow.contains("tp_dst=53"))).unwrap();
}

#[test]
fn flows_of_a_physical_bridge_are_mended_too() {
    let node = Node::start([vec![port(1)], rules()].concat());
    let _vm = vm(&node, 1);
    node.wait_up(1);
    let flows = || node.switch.ofctl(&["--no-stats", "dump-flows", "br-phys"]).unwrap();
    let is_translated = || flows().contains(",dl_vlan=");
    eventually(PATIENCE, is_translated).unwrap();
    let before = flows();
    node.switch.ofctl(&["del-flows", "br-phys"]).unwrap();
    let count = u64::try_from(before.lines().count()).unwrap();
    node.wait("all is mended", |status| {
        let ForeignStatus { removed, mended, damaged, .. } = status.underlays[0].foreign;
        (removed, mended, damaged) == (count, count, 0)
    });
    assert_eq!(flows(), before);
    assert_eq!(foreign(&node), quiet());
}
