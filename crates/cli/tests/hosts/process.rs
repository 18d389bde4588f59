//! `weir up` as the process that a user runs, ended politely and killed, while a machine of its
//! host talks to one that is behind the wire of the physical network.

use serde_json::json;
use testkit::{Fabric, Nic, Pace, Switch, Vm, eventually};

use crate::{
    machine::{Machine, WAIT, text},
    outage,
};

/// A machine on the wire, where somebody else has put it on the VLAN.
fn beyond(fabric: &Fabric, vlan: u64, mac: &str, address: &str) -> (Vm, Switch) {
    let switch = Switch::start().unwrap();
    switch.add_bridge("br0").unwrap();
    fabric.trunk(&switch, "trunk").unwrap();
    switch.vsctl(&["add-port", "br0", "trunk"]).unwrap();
    let addresses = vec![format!("{address}/24").parse().unwrap()];
    let nic = Nic { mac: Some(mac.to_owned()), addresses, ..Nic::default() };
    let vm = Vm::plugged(&switch, "br0", "vm", &nic).unwrap();
    switch.vsctl(&["set", "port", "vm", &format!("tag={vlan}")]).unwrap();
    switch.ofctl(&["add-flow", "br0", "actions=NORMAL"]).unwrap();
    (vm, switch)
}

#[test]
fn a_process_that_ends_is_not_missed() {
    let fabric = Fabric::start().unwrap();
    let mut machine = Machine::without_weir();
    fabric.trunk(&machine.switch, "trunk").unwrap();
    machine.switch.vsctl(&["add-port", "br-phys", "trunk"]).unwrap();
    machine.start_weir();
    eventually(WAIT, || machine.is_ready()).unwrap_or_else(|_| panic!("{}", machine.log()));

    let network = machine.create("network", json!({ "name": "red" }));
    let vlan = network["provider:segmentation_id"].as_u64().unwrap();
    let network = text(&network, "id");
    let subnet = json!({ "network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24" });
    machine.create("subnet", subnet);
    let here = machine.vm(&machine.port(network, json!({})));
    // The server knows the port, and so its address is among the members of the group.
    let there = machine.create("port", json!({ "network_id": network }));
    let address = text(&there["fixed_ips"][0], "ip_address");
    let (there, _switch) = beyond(&fabric, vlan, text(&there, "mac_address"), address);

    // Both ways, so that each side has a connection that it has opened itself.
    for vm in [&here, &there] {
        vm.listen_udp(7).unwrap();
    }
    let steady = [(&here, &there), (&there, &here)].map(|(asking, answering)| {
        let to = answering.v4(7).unwrap();
        eventually(WAIT, || asking.ask_udp(to, testkit::PATIENCE).passed())
            .unwrap_or_else(|_| panic!("{:#}", machine.status()));
        asking.steady_udp(to, Pace::HUNDRED_PER_SECOND).unwrap()
    });
    for end in [Machine::stop_weir, Machine::kill_weir] {
        end(&mut machine);
        let goal = steady[0].sent() + outage().as_millis() as usize / 10;
        eventually(outage() + WAIT, || steady[0].sent() >= goal).unwrap();
        machine.start_weir();
        eventually(WAIT, || machine.is_ready()).unwrap_or_else(|_| panic!("{}", machine.log()));
    }
    for steady in steady {
        let delivery = steady.stop();
        eprintln!("{delivery}");
        assert!(delivery.sent > 0);
        assert_eq!(delivery.lost, 0, "{delivery}");
    }
}
