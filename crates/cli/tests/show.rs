//! `weir show` explains a node to somebody who has never seen it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod machine;

use machine::{Machine, text};
use serde_json::{Value, json};

/// The flows of a bridge, each with the name of its table.
fn flows(machine: &Machine, args: &[&str]) -> Vec<(Value, Value)> {
    let bridge = machine.json(&[&["show", "flows"], args].concat());
    let tables = bridge["tables"].as_array().unwrap();
    let flows = tables.iter().flat_map(|table| {
        let flows = table["flows"].as_array().unwrap();
        flows.iter().map(|flow| (table["name"].clone(), flow.clone()))
    });
    flows.collect()
}

#[test]
fn a_node_is_explained() {
    let machine = Machine::new();
    let network = machine.network();
    let group = machine.create("security_group", json!({ "name": "web" }));
    machine.create(
        "security_group_rule",
        json!({
            "security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4",
            "protocol": "tcp", "port_range_min": 80, "port_range_max": 80,
        }),
    );
    let plugged = machine.port(&network, json!({ "security_groups": [group["id"]] }));
    let _vm = machine.vm(&plugged);
    let [port, group] = [&plugged, &group].map(|it| text(it, "id").to_owned());

    let networks = machine.json(&["show", "networks"]);
    let shown = &networks["networks"][0];
    assert_eq!((&shown["id"], &shown["leaves_by"]), (&json!(network), &json!("br-phys")));
    assert_eq!(shown["ports"].as_array().unwrap().len(), 1);
    let interface = shown["ports"][0].as_str().unwrap();

    let bridges = machine.json(&["show", "bridges"]);
    let names: Vec<&str> =
        bridges["bridges"].as_array().unwrap().iter().map(|it| text(it, "name")).collect();
    assert_eq!(names, ["br-int", "br-phys"]);

    // Every flow is of a known table, and somebody's who is there.
    machine.switch.ofctl(&["add-flow", "br-int", "table=200,cookie=7,actions=drop"]).unwrap();
    for bridge in names {
        for (table, flow) in flows(&machine, &[bridge]) {
            let owner = text(&flow, "owner");
            let is_foreign = owner == "not Weir (cookie 0x7)";
            assert_eq!(is_foreign, table.is_null(), "{flow}");
            let [of_port, of_network, of_group] =
                [(&port, interface), (&network, "local VLAN 1"), (&group, "web")]
                    .map(|(id, more)| owner.contains(id.as_str()) && owner.contains(more));
            let is_known = of_port || of_network || of_group || owner == "every node";
            assert!(is_foreign || is_known, "{flow}");
        }
    }
    assert_eq!(flows(&machine, &["br-int", "--owner", "not Weir"]).len(), 1);
    let of_port = flows(&machine, &["br-int", "--owner", &port]);
    assert_eq!(of_port.len(), 6, "{of_port:?}");
    let dropped = flows(&machine, &["br-int", "--table", "DROPPED"]);
    assert!(dropped.iter().any(|(_, flow)| {
        flow["purpose"] == json!("counts what is refused: no ingress rule allows it")
    }));
    assert_eq!(dropped.len(), flows(&machine, &["br-int", "--table", "193"]).len());

    for (args, message) in [
        (
            ["show", "flows", "br-ex"],
            "does not look after a bridge br-ex; it does: br-int, br-phys",
        ),
        (["show", "flows", "br-int --table 7"], "does not look after a bridge br-int --table 7"),
    ] {
        let refused = machine.weir(&args);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let stderr = String::from_utf8_lossy(&refused.stderr);
        assert!(stderr.contains(message), "{stderr}");
    }
    let empty = machine.weir(&["show", "flows", "br-int", "--table", "7"]);
    assert!(String::from_utf8_lossy(&empty.stderr).contains("no flows in a table 7"), "{empty:?}");
}
