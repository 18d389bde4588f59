//! Somebody else deletes bridges, makes them again, gives two of them one identity, or changes the
//! VLAN of a port.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod node;

use neutron::object::{Object, SecurityGroup};
use testkit::eventually;

use crate::node::{Node, PATIENCE, bound, id, vlan};

const GROUP: u32 = 0x9000;
const PORT: u32 = 1;
const DEVICE: &str = "tap1";

/// A port of a VLAN network, and its group.
fn port() -> Vec<Object> {
    let group = SecurityGroup { id: id(GROUP), stateful: true, ..SecurityGroup::default() };
    let port = bound(PORT, 0x8000, vlan(117), GROUP);
    vec![Object::Port(port), Object::SecurityGroup(group)]
}

/// A node whose one port is up. Its device is one that ovs-vswitchd makes itself.
fn node() -> Node {
    let node = Node::start(port());
    plug(&node);
    node.wait_up(1);
    node
}

fn plug(node: &Node) {
    node.plug(DEVICE, &id(PORT));
    node.switch.vsctl(&["set", "Interface", DEVICE, "type=internal"]).unwrap();
}

/// What a column of a row holds, nothing while there is no such row.
fn column(node: &Node, table: &str, row: &str, column: &str) -> Option<String> {
    let value = node.switch.vsctl(&["get", table, row, column]).ok()?;
    Some(value.trim().trim_matches('"').to_owned())
}

/// The flows of a bridge, those with port numbers among them.
fn flows(node: &Node, bridge: &str) -> Vec<String> {
    let dump = ["--no-stats", "--no-names", "dump-flows", bridge];
    let dump = node.switch.ofctl(&dump).unwrap_or_default();
    let mut flows: Vec<String> = dump.lines().map(str::to_owned).collect();
    flows.sort();
    flows
}

/// Whether the patch ports between the two bridges lead to each other.
fn is_patched(node: &Node) -> bool {
    let ends = ["int-br-phys", "phy-br-phys"];
    let [ours, theirs] = ends.map(|end| column(node, "Interface", end, "options:peer"));
    (ours.as_deref(), theirs.as_deref()) == (Some(ends[1]), Some(ends[0]))
}

#[test]
fn a_physical_bridge_that_is_made_again_gets_its_flows_and_its_patch_back() {
    let node = node();
    eventually(PATIENCE, || is_patched(&node)).unwrap();
    let translates = |bridge: &str, in_port: &str, vlan: &str| {
        let in_port = column(&node, "Interface", in_port, "ofport");
        let matches = format!("in_port={},dl_vlan={vlan}", in_port.unwrap_or_default());
        flows(&node, bridge).iter().any(|flow| flow.contains(&matches))
    };
    // To the segment's VLAN there, and back from it here.
    let is_joined = || {
        is_patched(&node)
            && translates("br-phys", "phy-br-phys", "1 ")
            && translates("br-int", "int-br-phys", "117 ")
    };
    eventually(PATIENCE, is_joined).unwrap();
    node.switch.vsctl(&["del-br", "br-phys"]).unwrap();
    node.wait("the loss is told", |status| status.underlays[0].state != "ok");
    node.switch.add_bridge("br-phys").unwrap();
    eventually(PATIENCE, is_joined).unwrap();
    node.wait("it is told", |status| status.underlays[0].state == "ok");
}

#[test]
fn an_integration_bridge_that_is_deleted_is_made_again() {
    let node = node();
    node.switch.vsctl(&["del-br", "br-int"]).unwrap();
    node.wait("its port has gone", |status| status.ports.is_empty());
    eventually(PATIENCE, || column(&node, "Bridge", "br-int", "fail_mode").is_some()).unwrap();
    plug(&node);
    node.wait_up(1);
    eventually(PATIENCE, || is_patched(&node)).unwrap();
    let count = node.flows().len();
    assert!(count > 50, "{count}");
}

#[test]
fn a_tag_that_somebody_takes_or_changes_comes_back() {
    let node = node();
    let tag = || column(&node, "Port", DEVICE, "tag");
    assert_eq!(tag().as_deref(), Some("1"));
    for other in [&["clear", "Port", DEVICE, "tag"][..], &["set", "Port", DEVICE, "tag=77"]] {
        node.switch.vsctl(other).unwrap();
        eventually(PATIENCE, || tag().as_deref() == Some("1")).unwrap();
        node.wait_up(1);
    }
}

#[test]
fn no_two_bridges_keep_one_datapath_id() {
    let node = node();
    let datapath = |bridge: &str| column(&node, "Bridge", bridge, "datapath_id").unwrap();
    let first = datapath("br-int");
    let same = format!("other_config:datapath-id={first}");
    node.switch.vsctl(&["set", "Bridge", "br-phys", &same]).unwrap();
    // The same MAC address, and other digits above it.
    let repaired = || {
        let (one, other) = (datapath("br-int"), datapath("br-phys"));
        one == first && other != first && other[4..] == first[4..]
    };
    eventually(PATIENCE, repaired).unwrap();
    node.wait_up(1);
}
