//! `weir verify` and `weir trace` against a real switch.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod machine;

use machine::{Machine, WAIT, text};
use serde_json::{Value, json};
use testkit::eventually;

#[test]
fn flows_are_checked_and_packets_traced() {
    let machine = Machine::new();
    let network = machine.network();
    let group = machine.create("security_group", json!({ "name": "web" }));
    let rule = machine.create(
        "security_group_rule",
        json!({
            "security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4",
            "protocol": "tcp", "port_range_min": 80, "port_range_max": 80,
        }),
    );
    let more = json!({ "security_groups": [group["id"]] });
    let ports = [machine.port(&network, more.clone()), machine.port(&network, more)];
    let _vms = ports.each_ref().map(|port| machine.vm(port));
    let [one, two] = ports.each_ref().map(|port| text(port, "id"));
    let address = text(&ports[1]["fixed_ips"][0], "ip_address");

    let right = machine.json(&["verify"]);
    assert_eq!((&right["differ"], &right["ports"]), (&json!(0), &json!(2)), "{right}");
    assert_eq!(right["checked"], right["of"]);
    let traced = &right["switch"];
    assert_eq!((&traced["differ"], &traced["trouble"]), (&json!(0), &Value::Null), "{traced}");
    assert!(traced["traced"].as_u64().unwrap() > 30, "{traced}");

    let allowed = machine.json(&["trace", one, "--to", address, "--tcp", "80"]);
    assert_eq!(allowed["accepted"], json!(true), "{allowed}");
    let admitted = allowed["rules"].as_array().unwrap().last().unwrap();
    assert_eq!((&admitted["rule"], &admitted["group"]), (&rule["id"], &group["id"]));
    assert_eq!(admitted["port"], json!(two));
    assert_eq!(admitted["group_name"], json!("web"));
    assert_eq!(admitted["says"], json!("ingress IPv4 tcp port 80 from anybody"));
    let refused = machine.weir(&["trace", one, "--to", address, "--udp", "80"]);
    assert!(refused.status.success());
    let printed = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(printed.contains("no ingress rule allows it"), "{printed}");
    let nobody = machine.weir(&["trace", text(&group, "id"), "--to", address]);
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");

    // Nobody there to trace packets is told, and no fault of the flows.
    let control = machine.switch.vswitchd_ctl();
    let hidden = control.with_extension("hidden");
    std::fs::rename(&control, &hidden).unwrap();
    let untraced = machine.json(&["verify"]);
    assert_eq!((&untraced["differ"], &untraced["switch"]["traced"]), (&json!(0), &json!(0)));
    let trouble = text(&untraced["switch"], "trouble");
    assert!(trouble.starts_with(&control.display().to_string()), "{trouble}");
    std::fs::rename(&hidden, &control).unwrap();

    let flows = machine.flows();
    let http = flows.iter().find(|it| it.contains("table=182,") && it.contains("tp_dst=80"));
    assert!(http.is_some(), "{flows:#?}");
    // Somebody else's flow goes before it. The agent mends its own flows and leaves others alone.
    let spoil = format!("cookie=0x5,{},actions=drop", ahead(http.unwrap()));
    machine.switch.ofctl(&["add-flow", "br-int", &spoil]).unwrap();
    let mut found = Value::Null;
    eventually(WAIT, || {
        let output = machine.weir(&["verify", "--json"]);
        found = serde_json::from_slice(&output.stdout).unwrap_or_default();
        output.status.code() == Some(4)
    })
    .unwrap_or_else(|_| panic!("{found}"));
    let first = &found["differences"][0];
    assert_eq!(first["direction"], json!("ingress"), "{found}");
    assert_eq!(first["table"], json!("182 RULES_INGRESS"), "{found}");
    assert!(text(first, "expected").contains(text(&rule, "id")), "{found}");
    assert!(text(first, "should_be").contains("tp_dst=80"), "{found}");
}

/// The table and the match of a flow of a dump, with the highest priority.
fn ahead(flow: &str) -> String {
    let (matches, _) = flow.split_once(" actions=").unwrap();
    let is_kept = |it: &&str| !["", "cookie", "priority"].contains(&it.split('=').next().unwrap());
    let words: Vec<_> = matches.split([' ', ',']).filter(is_kept).collect();
    format!("{},priority=65535", words.join(","))
}
