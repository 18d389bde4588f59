//! `weir plug --hybrid` and `weir unplug`: a Linux bridge between a machine and a real switch.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod machine;

use std::process::Output;

use machine::{Machine, WAIT, text};
use serde_json::{Value, json};
use testkit::{Namespace, Nic, Outcome, PATIENCE, Vm, eventually};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The devices of the port: tap, qbr, qvb and qvo.
fn devices(id: &str) -> [String; 4] {
    ["tap", "qbr", "qvb", "qvo"].map(|kind| format!("{kind}{id:.11}"))
}

/// What `ip` says of an interface of the machine.
fn link(machine: &Machine, name: &str) -> Value {
    let mut ip = machine.switch.namespace().command("ip");
    let output = ip.args(["-details", "-json", "link", "show", "dev", name]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    shown[0].clone()
}

/// A parameter of an interface of the machine.
fn sysctl(machine: &Machine, path: &str) -> String {
    let path = format!("/proc/sys/net/{path}");
    let read = || std::fs::read_to_string(&path);
    let text = machine.switch.namespace().inside(read).unwrap();
    text.unwrap_or_else(|error| panic!("{path}: {error}")).trim().to_owned()
}

/// A virtual machine whose port is plugged behind a Linux bridge.
fn vm(machine: &Machine, port: &Value) -> Vm {
    let namespace = Namespace::create("hybrid").unwrap();
    machine.json(&["plug", text(port, "id"), "--hybrid", "--netns", namespace.name()]);
    let address = text(&port["fixed_ips"][0], "ip_address");
    let nic = Nic { addresses: vec![format!("{address}/24").parse().unwrap()], ..Nic::default() };
    Vm::adopt(namespace, "eth0", &nic).unwrap()
}

#[test]
fn machines_behind_linux_bridges_and_others_reach_each_other_as_their_groups_say() {
    let machine = Machine::new();
    let network = machine.network();
    let ports = [(); 3].map(|()| machine.port(&network, json!({})));
    let others = machine.create("security_group", json!({ "name": "others" }));
    let stranger = machine.port(&network, json!({ "security_groups": [others["id"]] }));
    let [one, two] = [&ports[0], &ports[1]].map(|port| vm(&machine, port));
    let [direct, stranger] = [&ports[2], &stranger].map(|port| machine.vm(port));
    for server in [&two, &direct] {
        server.listen_tcp(80).unwrap();
    }
    for server in [&two, &direct] {
        assert_eq!(one.connect_tcp(server.v4(80).unwrap(), PATIENCE), Outcome::Reached);
    }
    assert_eq!(direct.connect_tcp(two.v4(80).unwrap(), PATIENCE), Outcome::Reached);
    assert_ne!(stranger.connect_tcp(two.v4(80).unwrap(), PATIENCE), Outcome::Reached);
    assert!(machine.is_ready());
}

/// The agent has no firewall of its own in mind, so it takes that of the server's files.
#[test]
fn where_netfilter_filters_the_api_asks_for_linux_bridges() {
    let machine = Machine::with_files("[securitygroup]\nfirewall_driver = iptables_hybrid\n");
    let network = machine.network();
    let ports = [(); 2].map(|()| machine.port(&network, json!({})));
    let others = machine.create("security_group", json!({ "name": "others" }));
    let stranger = machine.port(&network, json!({ "security_groups": [others["id"]] }));
    let [one, two] = ports.each_ref().map(|port| machine.vm(port));
    let elsewhere = text(&stranger, "id");
    let stranger = machine.vm(&stranger);
    assert!(machine.plugged().iter().all(|name| name.starts_with("qvo")));
    for port in &ports {
        let status = machine.port_status(port).unwrap();
        assert_eq!((&status["up"], &status["warnings"]), (&json!(true), &json!([])), "{status}");
    }
    two.listen_tcp(80).unwrap();
    let server = two.v4(80).unwrap();
    assert_eq!(one.connect_tcp(server, PATIENCE), Outcome::Reached);
    assert_eq!(stranger.connect_tcp(server, PATIENCE), Outcome::Filtered);

    // It can be said why, and that all else is right.
    let address = server.ip().to_string();
    let refused = machine.json(&["trace", elsewhere, "--to", &address, "--tcp", "80"]);
    assert_eq!(
        (&refused["accepted"], &refused["sent"]["verdict"]),
        (&json!(false), &json!("accepted"))
    );
    assert_eq!(refused["received"]["verdict"], json!("dropped"), "{refused}");
    assert_eq!(refused["reason"], json!("no ingress rule allows it"));
    let verified = &machine.json(&["verify"])["netfilter"];
    assert_eq!((&verified["differ"], &verified["ports"]), (&json!(0), &json!(3)), "{verified}");
    assert_eq!(verified["trouble"], Value::Null);

    // Nothing that filtered it is left of a port that has gone.
    let rules = || {
        let output = machine.switch.namespace().command("iptables-save").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let [tap, ..] = devices(text(&ports[0], "id"));
    assert!(rules().contains(&tap));
    machine.json(&["unplug", text(&ports[0], "id")]);
    eventually(WAIT, || !rules().contains(&tap)).unwrap();

    let namespace = machine.switch.namespace();
    namespace.write_sysctl("net/bridge/bridge-nf-call-iptables", "0").unwrap();
    let unseen = machine.weir(&["verify"]);
    assert_eq!(unseen.status.code(), Some(4), "{unseen:?}");
    let printed = String::from_utf8_lossy(&unseen.stdout).into_owned();
    assert!(printed.contains("2 ports that netfilter is to filter are not checked"), "{printed}");
}

#[test]
fn the_devices_are_those_of_os_vif() {
    let machine = Machine::new();
    let network = machine.create("network", json!({ "name": "small", "mtu": 1400 }));
    let network = text(&network, "id");
    let subnet = json!({ "network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24" });
    machine.create("subnet", subnet);
    let before = machine.switch.namespace().interfaces().unwrap();
    let port = machine.port(network, json!({ "device_id": "vm-7" }));
    let id = text(&port, "id");
    let [tap, qbr, qvb, qvo] = devices(id);
    let namespace = Namespace::create("vm").unwrap();
    let plug = ["plug", id, "--hybrid", "--netns", namespace.name()];
    let plugged = machine.json(&plug);
    assert_eq!((&plugged["interface"], &plugged["linux_bridge"]), (&json!(qvo), &json!(qbr)));
    assert_eq!(machine.plugged(), [&*qvo]);

    for name in [&tap, &qbr, &qvb, &qvo] {
        let shown = link(&machine, name);
        assert_eq!(shown["mtu"], 1400, "{shown}");
        assert!(shown["flags"].as_array().unwrap().contains(&json!("UP")), "{shown}");
        assert_eq!(sysctl(&machine, &format!("ipv6/conf/{name}/disable_ipv6")), "1");
    }
    for name in [&tap, &qvb] {
        assert_eq!(link(&machine, name)["master"], json!(qbr));
    }
    let bridge = link(&machine, &qbr)["linkinfo"]["info_data"].clone();
    for (key, value) in [("ageing_time", 0), ("stp_state", 0), ("mcast_snooping", 0)] {
        assert_eq!(bridge[key], value, "{key}: {bridge}");
    }
    assert_eq!(sysctl(&machine, &format!("ipv4/conf/{qbr}/arp_ignore")), "1");
    assert_eq!(sysctl(&machine, &format!("ipv4/conf/{qbr}/arp_announce")), "2");
    let mac = text(&port, "mac_address");
    for (key, value) in
        [("iface-id", id), ("iface-status", "active"), ("attached-mac", mac), ("vm-id", "vm-7")]
    {
        let column = format!("external_ids:{key}");
        let found = machine.switch.vsctl(&["get", "Interface", &qvo, &column]).unwrap();
        assert_eq!(found.trim().trim_matches('"'), value, "{key}");
    }

    let again = machine.json(&plug);
    assert_eq!((&again["already"], &again["interface"]), (&json!(true), &json!(qvo)));
    let mut removed: Vec<String> =
        serde_json::from_value(machine.json(&["unplug", id])["interfaces"].clone()).unwrap();
    removed.sort();
    // With one end of a pair the other goes.
    let mut all = vec![qbr, qvb, qvo, tap];
    all.sort();
    assert_eq!(removed, all);
    assert_eq!(machine.switch.namespace().interfaces().unwrap(), before);
    assert_eq!(machine.json(&["unplug", id])["interfaces"], json!([]));
}

#[test]
fn without_a_namespace_the_tap_is_for_a_hypervisor() {
    let machine = Machine::new();
    let network = machine.network();
    let before = machine.switch.namespace().interfaces().unwrap();
    let port = machine.port(&network, json!({}));
    let id = text(&port, "id");
    let [tap, qbr, ..] = devices(id);
    machine.json(&["plug", id, "--hybrid"]);
    let shown = link(&machine, &tap);
    assert_eq!((&shown["linkinfo"]["info_kind"], &shown["master"]), (&json!("tun"), &json!(qbr)));
    machine.json(&["unplug", id]);
    assert_eq!(machine.switch.namespace().interfaces().unwrap(), before);
}

#[test]
fn what_fails_half_way_leaves_nothing() {
    let machine = Machine::new();
    let network = machine.network();
    let before = machine.switch.namespace().interfaces().unwrap();
    let port = machine.port(&network, json!({}));
    let id = text(&port, "id");
    let [tap, qbr, qvb, qvo] = devices(id);
    let namespace = Namespace::create("vm").unwrap();
    let plug = ["plug", id, "--hybrid", "--netns", namespace.name()];
    let host = machine.switch.namespace();

    for name in [&tap, &qbr, &qvb, &qvo] {
        host.ip(&format!("link add name {name} type veth peer name other")).unwrap();
        let output = machine.weir(&plug);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(&format!("there is an interface {name} already")));
        assert!(host.interfaces().unwrap().contains(name), "it is somebody else's");
        host.ip(&format!("link delete dev {name}\n")).unwrap();
        assert_eq!(host.interfaces().unwrap(), before);
        assert!(namespace.interfaces().unwrap().is_empty());
    }

    // A port of the switch has the name, and no interface does.
    machine.switch.vsctl_no_wait(&["add-port", "br-int", &qvo]).unwrap();
    let output = machine.weir(&plug);
    assert!(stderr(&output).contains("ovs-vsctl del-port"), "{output:?}");
    machine.switch.vsctl(&["del-port", &qvo]).unwrap();
    assert_eq!(host.interfaces().unwrap(), before);

    // At the end of it: nobody wires the port.
    machine.switch.stop_vswitchd().unwrap();
    let output = machine.weir(&[&plug[..], &["--timeout", "1"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("is not up after 1 s: "), "{output:?}");
    machine.switch.start_vswitchd().unwrap();
    assert_eq!(machine.plugged(), [""; 0]);
    eventually(WAIT, || host.interfaces().unwrap() == before).expect("nothing is left");
    assert!(namespace.interfaces().unwrap().is_empty());
}
