//! What the firewall is told through the API: address groups, the rules that new groups have,
//! stateless groups, port security and address pairs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use neutron::object::{Object, ResourceType};
use neutron::rpc::EventType;
use serde_json::{Value, json};
use support::{Fixture, id};

#[test]
fn addresses_join_and_leave_an_address_group() {
    let fixture = Fixture::new();
    let mut api = fixture.client();
    let mut agent = fixture.agent("host-a");
    let wanted = json!({ "name": "dns", "addresses": ["10.0.0.9/24", "2001:DB8::1/128"] });
    let made = api.post("address-groups", json!({ "address_group": wanted }));
    assert_eq!(made.status, 201, "{}", made.body);
    let made = made.body["address_group"].clone();
    assert_eq!(made["addresses"], json!(["10.0.0.0/24", "2001:db8::1/128"]));
    assert_eq!((&made["tenant_id"], &made["description"]), (&json!("default"), &json!("")));

    let path = format!("address-groups/{}", id(&made));
    let twice = json!({ "addresses": ["10.1.0.0/16", "10.1.0.1/16", "10.2.0.1"] });
    let added = api.put(&format!("{path}/add_addresses"), twice);
    assert_eq!(added.status, 200, "{}", added.body);
    let all = json!(["10.0.0.0/24", "2001:db8::1/128", "10.1.0.0/16", "10.2.0.1/32"]);
    assert_eq!(added.body["address_group"]["addresses"], all);
    let two = json!({ "addresses": ["10.0.0.0/24", "10.1.0.0/16"] });
    let removed = api.put(&format!("{path}/remove_addresses"), two).body["address_group"].clone();
    assert_eq!(removed["addresses"], json!(["2001:db8::1/128", "10.2.0.1/32"]));
    let renamed = api.put(&path, json!({ "address_group": { "name": "names" } }));
    assert_eq!(renamed.body["address_group"]["revision_number"], 4);
    assert_eq!(
        api.get("address-groups?name=names").body["address_groups"],
        json!([renamed.body["address_group"]])
    );

    let pulled = agent.pull(ResourceType::AddressGroup, "id", &[&id(&made)]);
    let heard: Vec<_> = (0..4).map(|_| agent.hear()).collect();
    assert_eq!(heard.last(), Some(&(EventType::Updated, pulled)));
    let told: Vec<_> = heard
        .iter()
        .map(|(_, objects)| match &objects[..] {
            [Object::AddressGroup(group)] => (group.revision_number, group.addresses.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(1, 2), (2, 4), (3, 2), (4, 2)]);

    assert_eq!(api.delete(&path).status, 204);
    assert_eq!(agent.heard(), ["Deleted AddressGroup 0"]);
    assert_eq!(api.get(&path).status, 404);
}

/// Direction, family and other side of each rule of a group; `itself` is the group.
fn summary(group: &Value) -> Vec<String> {
    let rules = group["security_group_rules"].as_array().unwrap();
    let mut rules: Vec<_> = rules
        .iter()
        .map(|rule| {
            let other = match &rule["remote_group_id"] {
                Value::Null => rule["remote_ip_prefix"].as_str().unwrap_or("any"),
                group_id if *group_id == group["id"] => "itself",
                _ => "a group",
            };
            let words = (rule["direction"].as_str().unwrap(), rule["ethertype"].as_str().unwrap());
            format!("{} {} {other}", words.0, words.1)
        })
        .collect();
    rules.sort();
    rules
}

#[test]
fn new_groups_have_the_default_rules() {
    let mut fixture = Fixture::new();
    let path = "default-security-group-rules";
    let listed = fixture.api.get(path).body;
    let listed = listed["default_security_group_rules"].as_array().unwrap();
    let seeds: Vec<_> = listed
        .iter()
        .map(|rule| {
            let text = |name: &str| rule[name].as_str().unwrap_or("-").to_owned();
            let used = (&rule["used_in_default_sg"], &rule["used_in_non_default_sg"]);
            let other = text("remote_group_id");
            format!("{} {} {other} {} {}", text("direction"), text("ethertype"), used.0, used.1)
        })
        .collect();
    assert_eq!(
        seeds,
        [
            "egress IPv4 - true true",
            "egress IPv6 - true true",
            "ingress IPv4 PARENT true false",
            "ingress IPv6 PARENT true false",
        ]
    );

    let mut make = |rule: Value| fixture.make(path, "default_security_group_rule", rule);
    let dns = make(json!({
        "direction": "ingress", "protocol": "udp", "port_range_min": 53, "port_range_max": 53,
        "remote_ip_prefix": "10.0.0.0/8", "description": "names",
    }));
    assert_eq!(
        (&dns["used_in_default_sg"], &dns["used_in_non_default_sg"], &dns["ethertype"]),
        (&json!(false), &json!(true), &json!("IPv4"))
    );
    // The same in groups of the other kind is another rule.
    let other = make(json!({
        "direction": "ingress", "protocol": 17, "port_range_min": 53, "port_range_max": 53,
        "remote_ip_prefix": "10.0.0.0/8", "used_in_default_sg": true,
        "used_in_non_default_sg": false,
    }));
    make(json!({ "direction": "ingress", "remote_group_id": "PARENT" }));
    let egress = format!("{path}/{}", id(&listed[1]));
    assert_eq!(fixture.api.delete(&egress).status, 204);

    let made = fixture.make("security-groups", "security_group", json!({ "name": "web" }));
    assert_eq!(
        summary(&made),
        ["egress IPv4 any", "ingress IPv4 10.0.0.0/8", "ingress IPv4 itself"]
    );
    let groups = fixture.api.get("security-groups?name=default").body;
    assert_eq!(
        summary(&groups["security_groups"][0]),
        [
            "egress IPv4 any",
            "ingress IPv4 10.0.0.0/8",
            "ingress IPv4 itself",
            "ingress IPv6 itself"
        ]
    );

    // Groups that are there keep their rules, and so do the default rules over a restart.
    assert_eq!(fixture.api.delete(&format!("{path}/{}", id(&other))).status, 204);
    fixture.restart();
    let shown = fixture.api.get(&format!("{path}/{}", id(&dns))).body;
    assert_eq!(shown["default_security_group_rule"], dns);
    let shown = fixture.api.get(&format!("security-groups/{}", id(&made))).body;
    assert_eq!(summary(&shown["security_group"]), summary(&made));

    // A rule about a group that goes, goes with it.
    let from_web = json!({ "direction": "ingress", "remote_group_id": made["id"] });
    let from_web = fixture.make(path, "default_security_group_rule", from_web);
    assert_eq!(fixture.api.delete(&format!("security-groups/{}", id(&made))).status, 204);
    assert_eq!(fixture.api.get(&format!("{path}/{}", id(&from_web))).status, 404);
}

#[test]
fn a_group_that_no_port_has_becomes_stateless() {
    let mut fixture = Fixture::new();
    let stateless = json!({ "name": "fast", "stateful": false });
    let made = fixture.make("security-groups", "security_group", stateless);
    assert_eq!(made["stateful"], false);
    let listed = fixture.api.get("security-groups?stateful=false").body;
    assert_eq!(listed["security_groups"][0]["id"], made["id"]);
    let path = format!("security-groups/{}", id(&made));
    let mut agent = fixture.agent("host-a");
    let mut api = fixture.client();
    let changed = api.put(&path, json!({ "security_group": { "stateful": true } }));
    assert_eq!(changed.body["security_group"]["stateful"], true);
    let (event, objects) = agent.hear();
    let [Object::SecurityGroup(told)] = &objects[..] else { panic!("{objects:?}") };
    assert!(event == EventType::Updated && told.stateful && told.revision_number == 2);
}

#[test]
fn ports_are_secured_as_their_network_says() {
    let mut fixture = Fixture::new();
    let open = fixture.network(json!({ "port_security_enabled": false }));
    let port = fixture.port(&open, json!({}));
    assert_eq!(
        (&port["port_security_enabled"], &port["security_groups"]),
        (&json!(false), &json!([]))
    );
    let secured = json!({ "port_security_enabled": true, "security_groups": null });
    let port = fixture.port(&open, secured);
    let default = port["security_groups"].clone();
    assert_eq!(default.as_array().unwrap().len(), 1);

    // A network that is secured later leaves its ports as they are.
    let secured = json!({ "network": { "port_security_enabled": true } });
    assert_eq!(fixture.api.put(&format!("networks/{open}"), secured).status, 200);
    let ports = fixture.api.get("ports?port_security_enabled=false").body;
    assert_eq!(ports["ports"].as_array().unwrap().len(), 1);
    let pairs = json!([{ "ip_address": "10.0.0.0/24" }, { "ip_address": "::/0",
        "mac_address": "FA:16:3E:00:00:09" }]);
    let port = fixture.port(&open, json!({ "allowed_address_pairs": pairs }));
    assert_eq!(
        (&port["port_security_enabled"], &port["security_groups"]),
        (&json!(true), &default)
    );
    let mac = &port["mac_address"];
    assert_eq!(
        port["allowed_address_pairs"],
        json!([{ "ip_address": "10.0.0.0/24", "mac_address": mac },
            { "ip_address": "::/0", "mac_address": "fa:16:3e:00:00:09" }])
    );

    // Off, once there is nothing left that needs it; and on again.
    let path = format!("ports/{}", id(&port));
    let off = json!({ "port": { "port_security_enabled": false, "security_groups": null,
        "allowed_address_pairs": null } });
    let off = fixture.api.put(&path, off).body["port"].clone();
    assert_eq!(
        (&off["port_security_enabled"], &off["allowed_address_pairs"]),
        (&json!(false), &json!([]))
    );
    let on = json!({ "port": { "port_security_enabled": true, "security_groups": default } });
    assert_eq!(fixture.api.put(&path, on).body["port"]["security_groups"], default);

    // Neutron's own ports are trusted.
    let own = json!({ "device_owner": "network:dhcp", "port_security_enabled": true });
    let own = fixture.port(&open, own);
    assert_eq!(
        (&own["port_security_enabled"], &own["security_groups"]),
        (&json!(false), &json!([]))
    );
}
