//! `weir plug`, `unplug`, `status` and `show` against a real switch.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod machine;

use std::process::{Command, Output};

use machine::{Machine, WAIT, text};
use serde_json::json;
use testkit::{Namespace, Outcome, PATIENCE, eventually};

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn two_machines_are_plugged_and_reach_each_other() {
    let machine = Machine::new();
    let network = machine.network();
    let ports = [machine.port(&network, json!({})), machine.port(&network, json!({}))];
    let [one, two] = ports.each_ref().map(|port| machine.vm(port));

    // Both are in the default group, whose members may reach each other.
    two.listen_tcp(80).unwrap();
    assert_eq!(one.connect_tcp(two.v4(80).unwrap(), PATIENCE), Outcome::Reached);

    for port in &ports {
        let shown = machine.port_status(port).unwrap();
        assert_eq!((&shown["up"], &shown["state"]), (&json!(true), &json!("up")));
    }
    let status = machine.weir(&["status"]);
    assert!(status.status.success(), "{status:?}");
    let printed = stdout(&status);
    for word in ["br-int", &network, text(&ports[0], "id"), "physnet1"] {
        assert!(printed.contains(word), "no {word} in\n{printed}");
    }
    let segments = machine.json(&["show", "segments"]);
    let used: Vec<_> = segments["segments"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|segment| !segment["network_id"].is_null())
        .collect();
    assert_eq!(used.len(), 1, "{used:?}");
    assert_eq!(used[0]["network_id"], json!(network));
    assert_eq!(used[0]["in_range"], json!(true));
}

#[test]
fn the_interface_is_as_the_api_says() {
    let machine = Machine::new();
    let network = machine.network();
    let port = machine.port(&network, json!({ "device_id": "vm-7" }));
    let id = text(&port, "id");
    let mac = text(&port, "mac_address");
    let namespace = Namespace::create("vm").unwrap();

    let plugged = machine.json(&["plug", id, "--netns", namespace.name(), "--interface", "ens3"]);
    let tap = format!("tap{}", &id[..11]);
    assert_eq!(plugged["interface"], json!(tap));
    assert_eq!(plugged["already"], json!(false));

    let shown = ip(namespace.name(), &["-json", "address", "show", "dev", "ens3"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown[0]["address"], json!(mac));
    assert_eq!(shown[0]["mtu"], json!(1500));
    let address = &shown[0]["addr_info"][0];
    assert_eq!(address["local"], port["fixed_ips"][0]["ip_address"]);
    assert_eq!(address["prefixlen"], json!(24));
    let route = ip(namespace.name(), &["route", "show", "default"]);
    assert!(route.starts_with("default via 10.0.0.1 dev ens3"), "{route}");

    for (key, value) in
        [("iface-id", id), ("iface-status", "active"), ("attached-mac", mac), ("vm-id", "vm-7")]
    {
        let column = format!("external_ids:{key}");
        let found = machine.switch.vsctl(&["get", "Interface", &tap, &column]).unwrap();
        assert_eq!(found.trim().trim_matches('"'), value, "{key}");
    }
}

#[test]
fn plugging_and_unplugging_twice_is_no_error() {
    let machine = Machine::new();
    let network = machine.network();
    let port = machine.port(&network, json!({}));
    let id = text(&port, "id");
    let tap = format!("tap{}", &id[..11]);

    // The namespace is made; its name must be nobody else's.
    let netns = format!("{}-made", machine.switch.namespace().name());
    let first = machine.json(&["plug", id, "--netns", &netns]);
    let second = machine.json(&["plug", id, "--netns", &netns]);
    assert_eq!((&first["already"], &second["already"]), (&json!(false), &json!(true)));

    let first = machine.json(&["unplug", id]);
    let second = machine.json(&["unplug", id]);
    assert_eq!((&first["interfaces"], &second["interfaces"]), (&json!([tap]), &json!([])));
    assert_eq!(machine.plugged(), [""; 0]);
    assert!(!machine.switch.namespace().interfaces().unwrap().contains(&tap));
    eventually(WAIT, || machine.port_status(&port).is_none()).unwrap();

    // Without a namespace it is an interface of the bridge.
    machine.json(&["plug", id]);
    let get = |column| machine.switch.vsctl(&["get", "Interface", &tap, column]).unwrap();
    assert_eq!(get("type").trim(), "internal");
    assert_eq!(get("mac_in_use").trim().trim_matches('"'), text(&port, "mac_address"));

    // Also when nobody is left to ask.
    let mut machine = machine;
    machine.stop_weir();
    assert_eq!(machine.json(&["unplug", id])["interfaces"], json!([tap]));
    let delete = Command::new("ip").args(["netns", "delete", &netns]).status().unwrap();
    assert!(delete.success());
}

#[test]
fn what_cannot_be_plugged_is_told_and_leaves_nothing() {
    let machine = Machine::new();
    let network = machine.network();
    let before = machine.switch.namespace().interfaces().unwrap();
    let elsewhere = machine.port(&network, json!({ "binding:host_id": "elsewhere" }));
    let down = machine.port(&network, json!({ "admin_state_up": false }));
    let stranger = json!({ "id": "6f0a9c2e-7e55-4f0c-9d3e-3a1f1c9d2b11" });
    for (port, why) in [
        (&elsewhere, "is bound to host elsewhere, and this is machine"),
        (&down, "is administratively down"),
        (&stranger, "could not be found"),
    ] {
        let output = machine.weir(&["plug", text(port, "id"), "--netns", "nowhere"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(stderr(&output).contains(why), "{output:?}");
    }

    // Names that are taken: of a cut off plug, and of a port that is somebody else's.
    let port = machine.port(&network, json!({}));
    let tap = format!("tap{}", &text(&port, "id")[..11]);
    let plug = ["plug", text(&port, "id"), "--netns", "nowhere"];
    machine.switch.namespace().ip(&format!("link add name {tap} type veth peer name x")).unwrap();
    let output = machine.weir(&plug);
    assert!(stderr(&output).contains("weir unplug"), "{output:?}");
    machine.json(&["unplug", text(&port, "id")]);
    assert_eq!(machine.switch.namespace().interfaces().unwrap(), before);
    machine
        .switch
        .vsctl(&["add-port", "br-int", &tap, "--", "set", "Interface", &tap, "type=internal"])
        .unwrap();
    let output = machine.weir(&plug[..2]);
    assert!(stderr(&output).contains("ovs-vsctl del-port"), "{output:?}");
    machine.switch.vsctl(&["del-port", &tap]).unwrap();

    // Far into it: the name is taken in the namespace.
    let namespace = Namespace::create("taken").unwrap();
    namespace.ip("link add name eth0 type veth peer name eth1").unwrap();
    let plug = ["plug", text(&port, "id"), "--netns", namespace.name()];
    let output = machine.weir(&plug);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("'ip link add"), "{output:?}");

    // At the end of it: nobody wires the port.
    machine.switch.stop_vswitchd().unwrap();
    namespace.ip("link delete dev eth0").unwrap();
    let output = machine.weir(&[&plug[..], &["--timeout", "1"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("is not up after 1 s: "), "{output:?}");

    machine.switch.start_vswitchd().unwrap();
    assert_eq!(machine.plugged(), [""; 0]);
    eventually(WAIT, || machine.switch.namespace().interfaces().unwrap() == before).unwrap();
    assert!(namespace.interfaces().unwrap().is_empty());
}

#[test]
fn wrong_usage_is_told_apart_from_failure() {
    let machine = Machine::without_weir();
    for (args, code, why) in [
        (&["plug", "not-a-uuid"][..], 2, "PORT_ID"),
        (&["up", "--bridge-mappings", "physnet1"], 2, "PHYSICAL_NETWORK:BRIDGE"),
        (&["up", "--vxlan-vni-ranges", "1:16777216"], 2, "not from 1 to 16777215"),
        (&["up", "--gre-tunnel-id-ranges", "7"], 2, "not LOW:HIGH"),
        (&["up", "--project-network-types", "token-ring"], 2, "not a network type"),
        (&["up", "--physical-network-mtus", "physnet1:67"], 2, "PHYSICAL_NETWORK:BYTES"),
        (&["up", "--overlay-ip-version", "5"], 2, "neither 4 nor 6"),
        (&["up", "--ovsdb", "nowhere"], 2, "unix:, tcp: or ssl:"),
        (&["status"], 1, "is 'weir up' running"),
        (&["show", "segments"], 1, "no 'weir up' has run"),
        (&["unplug", "6f0a9c2e-7e55-4f0c-9d3e-3a1f1c9d2b11"], 1, "no 'weir up' has run"),
    ] {
        let output = machine.weir(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        assert!(stderr(&output).contains(why), "{args:?}: {output:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

#[test]
fn a_state_directory_has_one_weir() {
    let machine = Machine::new();
    let output = machine.weir(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("another 'weir up' runs on"), "{output:?}");
    assert!(machine.is_ready());
}

fn ip(namespace: &str, args: &[&str]) -> String {
    let output = Command::new("ip").args(["-netns", namespace]).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    stdout(&output)
}

#[test]
fn the_parent_port_of_a_trunk_is_plugged_into_the_bridge_of_the_trunk() {
    let machine = Machine::new();
    let network = machine.network();
    let blue = machine.create("network", json!({ "name": "blue" }));
    let unbound = |network: &str| machine.create("port", json!({ "network_id": network }));
    let (parent, subport) = (unbound(&network), unbound(text(&blue, "id")));
    let subports = json!([{
        "port_id": subport["id"], "segmentation_type": "vlan", "segmentation_id": 101,
    }]);
    let trunk = machine.create("trunk", json!({ "port_id": parent["id"], "sub_ports": subports }));
    let id = text(&parent, "id");
    let parent = machine.set("port", id, json!({ "binding:host_id": machine::HOST }));
    let other = machine.port(&network, json!({}));
    let [one, two] = [&parent, &other].map(|port| machine.vm(port));
    two.listen_tcp(80).unwrap();
    assert_eq!(one.connect_tcp(two.v4(80).unwrap(), PATIENCE), Outcome::Reached);

    let bridge = format!("tbr-{:.10}", text(&trunk, "id"));
    let device = format!("tap{id:.11}");
    assert_eq!(machine.switch.vsctl(&["port-to-br", &device]).unwrap().trim(), bridge);
    eventually(WAIT, || machine.is_ready()).unwrap_or_else(|_| panic!("{:#}", machine.status()));
    let status = machine.status();
    let expected = json!([{
        "bridge": bridge, "id": trunk["id"], "parent": id, "up": true, "state": "up",
        "subports": [{ "id": subport["id"], "vlan": 101 }],
    }]);
    assert_eq!(status["trunks"], expected);
    assert_eq!(status["ports"].as_array().unwrap().len(), 3, "{status:#}");
    let printed = stdout(&machine.weir(&["status"]));
    assert!(printed.contains(&bridge), "{printed}");
    let again = machine.json(&["plug", id]);
    assert_eq!((&again["already"], &again["interface"]), (&json!(true), &json!(device)));

    machine.json(&["unplug", id]);
    let bridges = machine.switch.vsctl(&["list-br"]).unwrap();
    assert!(!bridges.contains("tbr-"), "{bridges}");
    eventually(WAIT, || machine.plugged().len() == 1).unwrap();
    let status = machine.status();
    assert_eq!(status["trunks"], json!([]));
}
