//! The server over real HTTP, with a real store, and an agent that is nothing but its end of the
//! bus: what is made, shown, changed and removed, and what agents are told of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use neutron::object::{Object, ResourceType};
use neutron::rpc::{
    AgentStatus, EventType, GetNetworkDetails, HasAliveNeutronServer, UpdateDeviceDown,
    UpdateDeviceList, agent_id,
};
use serde_json::{Value, json};
use support::{Answer, Client, FakeAgent, Fixture, id};

#[test]
fn a_network_is_made_shown_changed_and_removed() {
    let mut fixture = Fixture::new();
    let made = fixture.make("networks", "network", json!({ "name": "blue" }));
    assert_eq!(made["provider:network_type"], "vlan");
    assert_eq!(made["provider:physical_network"], "physnet1");
    assert_eq!(made["provider:segmentation_id"], 100);
    assert_eq!((&made["mtu"], &made["status"]), (&json!(1500), &json!("ACTIVE")));
    assert_eq!((&made["project_id"], &made["tenant_id"]), (&json!("default"), &json!("default")));

    let path = format!("networks/{}", id(&made));
    assert_eq!(fixture.api.get(&path).body["network"], made);
    let changed = fixture.api.put(&path, json!({ "network": { "name": "red", "mtu": 1400 } }));
    assert_eq!(changed.status, 200);
    assert_eq!(changed.body["network"]["name"], "red");
    assert_eq!(changed.body["network"]["mtu"], 1400);
    assert_eq!(changed.body["network"]["revision_number"], 2);

    assert_eq!(fixture.api.delete(&path).status, 204);
    let gone = fixture.api.get(&path);
    assert_eq!((gone.status, &gone.body["NeutronError"]["type"]), (404, &json!("NetworkNotFound")));
    assert_eq!(fixture.api.get("networks").body, json!({ "networks": [] }));
}

#[test]
fn vlans_are_given_and_come_back() {
    let mut fixture = Fixture::new();
    let vlan = |fixture: &mut Fixture, values: Value| {
        fixture.make("networks", "network", values)["provider:segmentation_id"].clone()
    };
    let wanted = |physical: &str, vlan: Option<u16>| {
        json!({
            "provider:network_type": "vlan",
            "provider:physical_network": physical,
            "provider:segmentation_id": vlan,
        })
    };
    assert_eq!(vlan(&mut fixture, wanted("physnet1", Some(101))), 101);
    assert_eq!(vlan(&mut fixture, wanted("physnet1", Some(4094))), 4094);
    assert_eq!(vlan(&mut fixture, json!({})), 100);
    assert_eq!(vlan(&mut fixture, wanted("physnet1", None)), 102);
    assert_eq!(vlan(&mut fixture, json!({})), 103);
    let full = fixture.api.post("networks", json!({ "network": {} }));
    assert_eq!(full.status, 503);
    assert_eq!(full.body["NeutronError"]["type"], "NoNetworkAvailable");

    let networks = fixture.api.get("networks?provider:segmentation_id=102").body;
    let freed = id(&networks["networks"][0]);
    assert_eq!(fixture.api.delete(&format!("networks/{freed}")).status, 204);
    assert_eq!(vlan(&mut fixture, json!({ "name": "again" })), 102);

    let table = fixture.api.get("weir/segments").body;
    let rows: Vec<_> = table["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let (vlan, used) = (&row["segmentation_id"], !row["network_id"].is_null());
            format!(
                "{} {vlan} {used} {}",
                row["physical_network"].as_str().unwrap(),
                row["in_range"]
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            "physnet1 100 true true",
            "physnet1 101 true true",
            "physnet1 102 true true",
            "physnet1 103 true true",
            "physnet1 4094 true false",
        ]
    );
    assert_eq!(table["segments"][2]["network_name"], "again");
}

#[test]
fn flat_and_local_networks_are_made_on_request() {
    let mut fixture = Fixture::new();
    let flat = json!({
        "provider:network_type": "flat", "provider:physical_network": "physnet3",
    });
    fixture.network(flat.clone());
    let again = fixture.api.post("networks", json!({ "network": flat }));
    assert_eq!(again.status, 409);
    assert_eq!(again.body["NeutronError"]["type"], "FlatNetworkInUse");
    let local = fixture.make("networks", "network", json!({ "provider:network_type": "local" }));
    assert_eq!(local["provider:physical_network"], Value::Null);
}

#[test]
fn subnets_have_gateways_and_pools() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    let made = fixture.make(
        "subnets",
        "subnet",
        json!({ "network_id": network, "ip_version": 4, "cidr": "10.0.0.7/24" }),
    );
    assert_eq!((&made["cidr"], &made["gateway_ip"]), (&json!("10.0.0.0/24"), &json!("10.0.0.1")));
    assert_eq!(made["allocation_pools"], json!([{ "start": "10.0.0.2", "end": "10.0.0.254" }]));
    assert_eq!(made["enable_dhcp"], true);
    let shown = fixture.api.get(&format!("networks/{network}")).body;
    assert_eq!(shown["network"]["subnets"], json!([made["id"]]));

    let pools = json!([{ "start": "10.1.0.10", "end": "10.1.0.11" }]);
    let other = fixture.subnet(
        &network,
        json!({ "cidr": "10.1.0.0/24", "gateway_ip": null, "allocation_pools": pools }),
    );
    let changed = fixture.api.put(
        &format!("subnets/{other}"),
        json!({ "subnet": { "gateway_ip": "10.1.0.1", "name": "x", "dns_nameservers": ["9.9.9.9"],
            "host_routes": [{ "destination": "10.9.0.0/16", "nexthop": "10.1.0.2" }] } }),
    );
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(changed.body["subnet"]["gateway_ip"], "10.1.0.1");
    assert_eq!(changed.body["subnet"]["dns_nameservers"], json!(["9.9.9.9"]));
    assert_eq!(fixture.api.delete(&format!("subnets/{other}")).status, 204);
}

#[test]
fn ports_get_addresses_and_the_default_group() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    let subnet = fixture.subnet(&network, json!({}));
    let six = fixture.subnet(
        &network,
        json!({ "ip_version": 6, "cidr": "fd00:10::/64",
        "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac" }),
    );
    let port = fixture.port(&network, json!({ "mac_address": "FA:16:3E:5C:30:0C" }));
    assert_eq!(port["mac_address"], "fa:16:3e:5c:30:0c");
    let addresses = |port: &Value| {
        let mut ips: Vec<_> = port["fixed_ips"]
            .as_array()
            .unwrap()
            .iter()
            .map(|ip| {
                format!(
                    "{} {}",
                    ip["subnet_id"].as_str().unwrap(),
                    ip["ip_address"].as_str().unwrap()
                )
            })
            .collect();
        ips.sort_by_key(|ip| ip.contains("::"));
        ips
    };
    let eui = format!("{six} fd00:10::f816:3eff:fe5c:300c");
    assert_eq!(addresses(&port), [format!("{subnet} 10.0.0.2"), eui.clone()]);
    assert_eq!((&port["status"], &port["binding:vif_type"]), (&json!("DOWN"), &json!("unbound")));

    // Another MAC address has another automatic address.
    let path = format!("ports/{}", id(&port));
    let mac = json!({ "port": { "mac_address": "fa:16:3e:00:00:01" } });
    let moved = fixture.api.put(&path, mac).body["port"].clone();
    let eui = format!("{six} fd00:10::f816:3eff:fe00:1");
    assert_eq!(addresses(&moved), [format!("{subnet} 10.0.0.2"), eui]);

    let groups = fixture.api.get("security-groups?name=default").body;
    assert_eq!(port["security_groups"], json!([groups["security_groups"][0]["id"]]));

    // Lowest first, around what is taken.
    let wish = json!({ "fixed_ips": [{ "ip_address": "10.0.0.4" }] });
    fixture.port(&network, wish);
    assert_eq!(addresses(&fixture.port(&network, json!({})))[0], format!("{subnet} 10.0.0.3"));
    assert_eq!(addresses(&fixture.port(&network, json!({})))[0], format!("{subnet} 10.0.0.5"));
    let both = json!({ "fixed_ips": [
        { "subnet_id": subnet }, { "subnet_id": subnet, "ip_address": "10.0.0.77" },
    ] });
    let port = fixture.port(&network, both);
    assert_eq!(
        addresses(&port)[..2].iter().collect::<std::collections::BTreeSet<_>>(),
        [&format!("{subnet} 10.0.0.6"), &format!("{subnet} 10.0.0.77")].into()
    );
    let none = fixture.port(&network, json!({ "fixed_ips": [] }));
    assert_eq!(
        (&none["fixed_ips"], &none["security_groups"]),
        (&json!([]), &port["security_groups"])
    );

    // Other addresses: the old ones are free again.
    let path = format!("ports/{}", id(&port));
    let moved =
        fixture.api.put(&path, json!({ "port": { "fixed_ips": [{ "ip_address": "10.0.0.88" }] } }));
    assert_eq!(addresses(&moved.body["port"])[0], format!("{subnet} 10.0.0.88"));
    assert_eq!(addresses(&fixture.port(&network, json!({})))[0], format!("{subnet} 10.0.0.6"));
}

#[test]
fn a_pool_runs_dry_and_fills_again() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    let pools = json!([{ "start": "10.0.0.9", "end": "10.0.0.10" }]);
    fixture.subnet(&network, json!({ "allocation_pools": pools }));
    let first = fixture.port(&network, json!({}));
    fixture.port(&network, json!({}));
    let full = fixture.api.post("ports", json!({ "port": { "network_id": network } }));
    assert_eq!(
        (full.status, &full.body["NeutronError"]["type"]),
        (409, &json!("IpAddressGenerationFailure"))
    );
    assert_eq!(fixture.api.delete(&format!("ports/{}", id(&first))).status, 204);
    let next = fixture.port(&network, json!({}));
    assert_eq!(next["fixed_ips"][0]["ip_address"], "10.0.0.9");
}

#[test]
fn security_groups_have_the_rules_of_neutron() {
    let mut fixture = Fixture::new();
    let summary = |group: &Value| {
        let mut rules: Vec<_> = group["security_group_rules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|rule| {
                let itself = rule["remote_group_id"] == group["id"];
                format!(
                    "{} {} {itself}",
                    rule["direction"].as_str().unwrap(),
                    rule["ethertype"].as_str().unwrap()
                )
            })
            .collect();
        rules.sort();
        rules.join(", ")
    };
    let groups = fixture.api.get("security-groups").body["security_groups"].clone();
    assert_eq!((&groups[0]["name"], &groups[0]["is_default"]), (&json!("default"), &json!(true)));
    assert_eq!(
        summary(&groups[0]),
        "egress IPv4 false, egress IPv6 false, ingress IPv4 true, ingress IPv6 true"
    );
    let made = fixture.make("security-groups", "security_group", json!({ "name": "web" }));
    assert_eq!(summary(&made), "egress IPv4 false, egress IPv6 false");

    let rule = |values: Value| {
        let mut rule = json!({ "security_group_id": made["id"], "direction": "ingress" });
        support::extend(&mut rule, values);
        rule
    };
    let http = rule(json!({ "protocol": "tcp", "port_range_min": 80, "port_range_max": "80",
        "remote_ip_prefix": "10.0.0.9/8" }));
    let http = fixture.make("security-group-rules", "security_group_rule", http);
    assert_eq!((&http["protocol"], &http["port_range_max"]), (&json!("tcp"), &json!(80)));
    assert_eq!(http["remote_ip_prefix"], "10.0.0.9/8");
    assert_eq!(http["normalized_cidr"], "10.0.0.0/8");
    // The same by other words.
    let again = rule(json!({ "protocol": 6, "port_range_min": 80, "port_range_max": 80,
        "remote_ip_prefix": "10.0.0.9/8" }));
    let again = fixture.api.post("security-group-rules", json!({ "security_group_rule": again }));
    assert_eq!(again.status, 409);
    let message = format!("Security group rule already exists. Rule id is {}.", id(&http));
    assert_eq!(again.body["NeutronError"]["message"], message);

    let icmp = rule(json!({ "ethertype": "IPv6", "protocol": "icmp", "port_range_min": 128 }));
    let icmp = fixture.make("security-group-rules", "security_group_rule", icmp);
    assert_eq!((&icmp["protocol"], &icmp["port_range_max"]), (&json!("ipv6-icmp"), &Value::Null));
    let all = rule(json!({ "protocol": "udp", "port_range_min": 1, "port_range_max": 65535 }));
    let all = fixture.make("security-group-rules", "security_group_rule", all);
    assert_eq!(all["port_range_min"], Value::Null);

    let path = format!("security-groups/{}", id(&made));
    let group = fixture.api.get(&path).body["security_group"].clone();
    assert_eq!(group["security_group_rules"].as_array().unwrap().len(), 5);
    assert_eq!(group["revision_number"], 4);
    let listed = format!("security-group-rules?security_group_id={}&protocol=tcp", id(&made));
    assert_eq!(fixture.api.get(&listed).body["security_group_rules"], json!([http]));
    assert_eq!(fixture.api.delete(&format!("security-group-rules/{}", id(&http))).status, 204);
    let renamed = fixture.api.put(&path, json!({ "security_group": { "name": "shop" } }));
    assert_eq!(renamed.body["security_group"]["name"], "shop");
    assert_eq!(fixture.api.delete(&path).status, 204);
    assert_eq!(fixture.api.get(&path).status, 404);
}

#[test]
fn every_project_has_a_default_group_of_its_own() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    fixture.subnet(&network, json!({}));
    let mine = fixture.port(&network, json!({}));
    let theirs = fixture.port(&network, json!({ "project_id": "theirs" }));
    assert_ne!(mine["security_groups"], theirs["security_groups"]);
    let listed = fixture.api.get("security-groups?project_id=theirs").body;
    assert_eq!(theirs["security_groups"], json!([listed["security_groups"][0]["id"]]));
    let trusted = fixture.port(&network, json!({ "device_owner": "network:dhcp" }));
    assert_eq!(trusted["security_groups"], json!([]));
}

#[test]
fn a_port_waits_for_its_agent_and_becomes_active() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    fixture.subnet(&network, json!({}));
    let port =
        fixture.port(&network, json!({ "binding:host_id": "host-a", "device_owner": "compute:x" }));
    assert_eq!(port["binding:vif_type"], "binding_failed");
    let path = format!("ports/{}", id(&port));
    let vif_type = |api: &mut Client| api.get(&path).body["port"]["binding:vif_type"].clone();

    let mut api = fixture.client();
    let mut agent = fixture.agent("host-a");
    assert!(agent.call(HasAliveNeutronServer));
    assert_eq!(agent.report(&["physnet2"]), AgentStatus::New);
    assert_eq!(vif_type(&mut api), "binding_failed");
    assert_eq!(agent.report(&["physnet1"]), AgentStatus::Alive);
    assert_eq!(vif_type(&mut api), "ovs");

    let (event, objects) = agent.hear();
    let [Object::Port(pushed)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!((event, pushed.revision_number), (EventType::Updated, 2));
    assert_eq!(pushed.bindings[0].host, "host-a");
    assert_eq!(pushed.bindings[0].vif_type, "ovs");
    let details = pushed.bindings[0].vif_details.as_ref().unwrap();
    assert_eq!(details["port_filter"], true);
    assert_eq!(details["bridge_name"], "br-int");
    let segment = pushed.binding_levels[0].segment.as_ref().unwrap();
    assert_eq!(
        (segment.segmentation_id, segment.physical_network.as_deref()),
        (Some(100), Some("physnet1"))
    );

    let status = |api: &mut Client| api.get(&path).body["port"]["status"].clone();
    let up = |agent: &FakeAgent<'_>, devices_up: Vec<String>, devices_down: Vec<String>| {
        agent.call(UpdateDeviceList {
            devices_up,
            devices_down,
            agent_id: agent_id(&agent.host),
            host: agent.host.clone(),
            refresh_tunnels: false,
        })
    };
    let device = id(&port);
    assert_eq!(up(&agent, vec![device.clone()], vec![]).devices_up, [device.as_str()]);
    assert_eq!(agent.heard(), ["Updated Port 3"]);
    assert_eq!(status(&mut api), "ACTIVE");
    // Said again, nothing has changed, so nobody is told.
    up(&agent, vec![device.clone()], vec![]);
    assert_eq!(agent.heard(), Vec::<String>::new());
    // Another host has no say.
    let other = fixture.agent("host-b");
    up(&other, vec![], vec![device.clone()]);
    assert_eq!(status(&mut api), "ACTIVE");
    let down = up(&agent, vec![], vec![device.clone(), "unknown".to_owned()]);
    assert_eq!(down.devices_down.iter().map(|down| down.exists).collect::<Vec<_>>(), [true, false]);
    assert_eq!(agent.heard(), ["Updated Port 4"]);
    assert_eq!(status(&mut api), "DOWN");
    let down = UpdateDeviceDown { device, agent_id: agent_id("host-a"), host: "host-a".to_owned() };
    assert!(agent.call(down).exists);
    assert_eq!(agent.heard(), Vec::<String>::new());

    let agents = api.get("agents").body["agents"].clone();
    assert_eq!((&agents[0]["host"], &agents[0]["alive"]), (&json!("host-a"), &json!(true)));
    assert_eq!(
        agents[0]["configurations"]["bridge_mappings"],
        json!({ "physnet1": "br-physnet1" })
    );
}

#[test]
fn a_port_moves_to_another_host() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    let mut api = fixture.client();
    let port = fixture.port(&network, json!({ "binding:host_id": "host-a" }));
    let path = format!("ports/{}", id(&port));
    fixture.agent("host-a").report(&["physnet1"]);
    fixture.agent("host-b").report(&["physnet1"]);
    let host = |host: &str| json!({ "port": { "binding:host_id": host } });
    let moved = api.put(&path, host("host-b")).body["port"].clone();
    assert_eq!(
        (&moved["binding:host_id"], &moved["binding:vif_type"]),
        (&json!("host-b"), &json!("ovs"))
    );
    let gone = api.put(&path, host("")).body["port"].clone();
    assert_eq!(
        (&gone["binding:vif_type"], &gone["binding:vif_details"]),
        (&json!("unbound"), &json!({}))
    );
}

#[test]
fn agents_hear_of_every_change_in_order() {
    let fixture = Fixture::new();
    let mut api = fixture.client();
    let mut agent = fixture.agent("host-a");
    let mut said = |answer: Answer| {
        assert!(answer.status < 300, "{}", answer.body);
        (answer.body, agent.heard().join(", "))
    };
    let (network, heard) = said(api.post("networks", json!({ "network": {} })));
    assert_eq!(heard, "Updated Network 1");
    let network = &network["network"]["id"];
    let subnet = json!({ "network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24" });
    let (subnet, heard) = said(api.post("subnets", json!({ "subnet": subnet })));
    assert_eq!(heard, "Updated Subnet 0, Updated Network 2");
    let (group, heard) =
        said(api.post("security-groups", json!({ "security_group": { "name": "g" } })));
    assert_eq!(heard, "Updated SecurityGroup 1, Updated SecurityGroup 1");
    let group = group["security_group"]["id"].as_str().unwrap();
    let rule =
        json!({ "security_group_id": group, "direction": "ingress", "remote_group_id": group });
    let (rule, heard) =
        said(api.post("security-group-rules", json!({ "security_group_rule": rule })));
    assert_eq!(heard, "Updated SecurityGroupRule 0");
    let port = json!({ "network_id": network, "security_groups": [group] });
    let (port, heard) = said(api.post("ports", json!({ "port": port })));
    assert_eq!(heard, "Updated Port 1");
    let port = format!("ports/{}", id(&port["port"]));
    let (_, heard) = said(api.put(&port, json!({ "port": { "security_groups": [] } })));
    assert_eq!(heard, "Updated Port 2");
    assert_eq!(said(api.delete(&port)).1, "Deleted Port 0");
    let rule = format!("security-group-rules/{}", id(&rule["security_group_rule"]));
    assert_eq!(said(api.delete(&rule)).1, "Deleted SecurityGroupRule 0");
    let heard = said(api.delete(&format!("security-groups/{group}"))).1;
    assert!(heard.ends_with("Deleted SecurityGroup 0"), "{heard}");
    let heard = said(api.delete(&format!("subnets/{}", id(&subnet["subnet"])))).1;
    assert_eq!(heard, "Deleted Subnet 0, Updated Network 3");
    let heard = said(api.delete(&format!("networks/{}", network.as_str().unwrap()))).1;
    assert_eq!(heard, "Deleted Network 0");
}

#[test]
fn agents_pull_what_they_ask_for() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    fixture.subnet(&network, json!({}));
    let group = fixture.make("security-groups", "security_group", json!({ "name": "g" }));
    let group = id(&group);
    let member = fixture.port(&network, json!({ "security_groups": [group] }));
    let secured = json!({ "port_security_enabled": false, "security_groups": [] });
    let other = fixture.port(&network, secured);
    let mut api = fixture.client();
    let mut agent = fixture.agent("host-a");
    let ids = |objects: Vec<Object>| -> Vec<String> {
        objects.iter().map(|object| object.id().to_owned()).collect()
    };
    assert_eq!(ids(agent.pull(ResourceType::Port, "security_group_ids", &[&group])), [id(&member)]);
    assert_eq!(
        ids(agent.pull(ResourceType::Port, "id", &[&id(&member), "x", &id(&other)])),
        [id(&member), id(&other)]
    );
    let [Object::Port(open)] = &agent.pull(ResourceType::Port, "id", &[&id(&other)])[..] else {
        panic!("one port")
    };
    assert!(!open.security.as_ref().unwrap().port_security_enabled);
    assert_eq!(open.fixed_ips[0].ip_address, "10.0.0.3");
    let rules = agent.pull(ResourceType::SecurityGroupRule, "security_group_id", &[&group]);
    assert_eq!(rules.len(), 2);
    for rule in [
        json!({ "protocol": "tcp", "port_range_min": 1, "port_range_max": 2,
            "remote_ip_prefix": "10.0.0.1/8", "description": "a \"quoted\" \u{1}\u{20ac}" }),
        json!({ "protocol": "icmp", "port_range_min": 8, "remote_group_id": group }),
    ] {
        let mut rule = rule;
        rule["security_group_id"] = json!(group);
        rule["direction"] = json!("ingress");
        let made = api.post("security-group-rules", json!({ "security_group_rule": rule }));
        let made = made.body["security_group_rule"].clone();
        let pulled = agent.pull(ResourceType::SecurityGroupRule, "id", &[&id(&made)]);
        assert_eq!(agent.hear(), (EventType::Updated, pulled), "pulled as it was told");
    }
    assert_eq!(agent.pull(ResourceType::AddressGroup, "id", &["x"]).len(), 0);
    let none = agent.pull(ResourceType::SecurityGroupRule, "remote_address_group_id", &["x"]);
    assert_eq!(none.len(), 0);
    let groups = agent.pull(ResourceType::SecurityGroup, "id", &[&group]);
    let [Object::SecurityGroup(pulled)] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((pulled.rules.len(), pulled.stateful), (0, true), "rules are pulled beside it");
    let networks = agent.pull(ResourceType::Network, "id", &[&network]);
    let [Object::Network(pulled)] = &networks[..] else { panic!("{networks:?}") };
    assert_eq!(pulled.segments[0].segmentation_id, Some(100));
    let details = |network: &str| {
        agent.call(GetNetworkDetails {
            network: network.to_owned(),
            agent_id: agent_id("host-a"),
            host: "host-a".to_owned(),
        })
    };
    let shown = details(&network).unwrap();
    assert_eq!((shown.network_type.as_str(), shown.segmentation_id), ("vlan", Some(100)));
    assert_eq!(details("x"), None);
}

#[test]
fn a_restart_keeps_everything() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({ "name": "kept" }));
    fixture.subnet(&network, json!({}));
    fixture.port(
        &network,
        json!({ "binding:profile": { "a": 1 }, "allowed_address_pairs":
        [{ "ip_address": "10.0.0.0/24" }] }),
    );
    let everything = |fixture: &mut Fixture| -> Vec<Value> {
        ["networks", "subnets", "ports", "security-groups", "security-group-rules", "weir/segments"]
            .into_iter()
            .map(|path| fixture.api.get(path).body)
            .collect()
    };
    let before = everything(&mut fixture);
    assert_eq!(before[2]["ports"][0]["allowed_address_pairs"][0]["ip_address"], "10.0.0.0/24");
    fixture.restart();
    assert_eq!(everything(&mut fixture), before);
    fixture.port(&network, json!({}));
}

#[test]
fn lists_are_filtered_sorted_and_paged() {
    let mut fixture = Fixture::new();
    for name in ["b", "c", "a"] {
        fixture.network(json!({ "name": name }));
    }
    let names = |fixture: &mut Fixture, query: &str| {
        let body = fixture.api.get(&format!("networks?{query}")).body;
        let names: Vec<_> = body["networks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|network| network["name"].as_str().unwrap().to_owned())
            .collect();
        (names.join(" "), body["networks_links"].clone())
    };
    assert_eq!(names(&mut fixture, "name=a&name=b").0, "b a");
    let (first, links) = names(&mut fixture, "sort_key=name&limit=2");
    assert_eq!((first.as_str(), &links[0]["rel"]), ("a b", &json!("next")));
    let next = links[0]["href"].as_str().unwrap().split_once('?').unwrap().1.to_owned();
    let (second, links) = names(&mut fixture, &next);
    assert_eq!((second.as_str(), &links[0]["rel"]), ("c", &json!("previous")));
    let fields = fixture.api.get("networks?name=a&fields=name&fields=mtu").body;
    assert_eq!(fields, json!({ "networks": [{ "name": "a", "mtu": 1500 }] }));
}

#[test]
fn many_are_made_at_once_or_none() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    fixture.subnet(&network, json!({}));
    let port = |ip: &str| json!({ "network_id": network, "fixed_ips": [{ "ip_address": ip }] });
    let bad = json!({ "ports": [port("10.0.0.9"), port("10.0.0.9")] });
    assert_eq!(fixture.api.post("ports", bad).status, 409);
    assert_eq!(fixture.api.get("ports").body, json!({ "ports": [] }));
    let good = json!({ "ports": [port("10.0.0.9"), port("10.0.0.8")] });
    let made = fixture.api.post("ports", good);
    assert_eq!((made.status, made.body["ports"].as_array().unwrap().len()), (201, 2));
}

#[test]
fn tags_and_quotas() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    let tags = format!("networks/{network}/tags");
    let put = fixture.api.put(&tags, json!({ "tags": ["red", "blue"] }));
    assert_eq!(put.status, 200);
    assert_eq!(fixture.api.put(&format!("{tags}/green"), json!(null)).status, 201);
    assert_eq!(fixture.api.delete(&format!("{tags}/red")).status, 204);
    let shown = fixture.api.get(&format!("networks/{network}")).body;
    assert_eq!(shown["network"]["tags"], json!(["blue", "green"]));
    let found = fixture.api.get("networks?tags=blue,green&fields=id").body;
    assert_eq!(found, json!({ "networks": [{ "id": network }] }));

    let set = fixture.api.put("quotas/default", json!({ "quota": { "network": 1 } }));
    assert_eq!(set.body["quota"]["network"], 1);
    let over = fixture.api.post("networks", json!({ "network": {} }));
    assert_eq!((over.status, &over.body["NeutronError"]["type"]), (409, &json!("OverQuota")));
    assert_eq!(fixture.api.delete("quotas/default").status, 204);
    fixture.network(json!({}));
    assert_eq!(fixture.api.get("quotas/default").body["quota"]["network"], -1);
}

#[test]
fn limits_of_the_configuration() {
    let mut fixture = Fixture::with(|config| {
        config.limits.quotas.insert("network".to_owned(), 1);
        config.limits.default_quota = 7;
        config.limits.allowed_address_pairs = 1;
    });
    let network = fixture.network(json!({}));
    let over = fixture.api.post("networks", json!({ "network": {} }));
    assert_eq!((over.status, &over.body["NeutronError"]["type"]), (409, &json!("OverQuota")));
    for path in ["quotas/p", "quotas/p/default"] {
        let quota = fixture.api.get(path).body["quota"].clone();
        assert_eq!((&quota["network"], &quota["port"]), (&json!(1), &json!(7)), "{path}");
    }
    // What is set for a project counts more.
    fixture.api.put("quotas/default", json!({ "quota": { "network": 2 } }));
    fixture.network(json!({}));

    let pairs = |count: usize| -> Vec<Value> {
        (1..=count).map(|last| json!({ "ip_address": format!("192.0.2.{last}") })).collect()
    };
    let port =
        |count| json!({ "port": { "network_id": network, "allowed_address_pairs": pairs(count) } });
    assert_eq!(fixture.api.post("ports", port(1)).status, 201);
    let over = fixture.api.post("ports", port(2));
    let expected = json!("AllowedAddressPairExhausted");
    assert_eq!((over.status, &over.body["NeutronError"]["type"]), (400, &expected));

    // An agent is down when it has been silent for as long as the configuration says.
    fixture.agent("host-a").report(&[]);
    let is_alive =
        |fixture: &mut Fixture| fixture.api.get("agents").body["agents"][0]["alive"].clone();
    let ago = "UPDATE agents SET heartbeat_at = heartbeat_at - 60";
    fixture.change_store(ago.to_owned());
    assert_eq!(is_alive(&mut fixture), true);
    let seconds = std::time::Duration::from_secs;
    fixture.restart_with(|config| config.limits.agent_down_time = seconds(50));
    assert_eq!(is_alive(&mut fixture), false);
    fixture.agent("host-a").report(&[]);
    assert_eq!(is_alive(&mut fixture), true);
    fixture.change_store(ago.to_owned());
    assert_eq!(is_alive(&mut fixture), false);
}

#[test]
fn the_api_describes_itself() {
    let mut fixture = Fixture::new();
    let versions = fixture.api.get("/").body;
    assert_eq!(versions["versions"][0]["id"], "v2.0");
    let resources = fixture.api.get("/v2.0/").body;
    assert_eq!(resources["resources"][0]["collection"], "networks");
    let extensions = fixture.api.get("extensions").body;
    assert!(extensions["extensions"].as_array().unwrap().len() > 10);
    assert_eq!(fixture.api.get("extensions/security-group").status, 200);
    assert_eq!(fixture.api.get("extensions/router").status, 404);
}

#[test]
fn many_clients_at_once_never_get_the_same() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({}));
    fixture.subnet(&network, json!({}));
    let clients = (0..4).map(|_| {
        let mut client = fixture.client();
        let port = json!({ "port": { "network_id": network } });
        std::thread::spawn(move || -> Vec<String> {
            let address = |answer: Answer| {
                assert_eq!(answer.status, 201, "{}", answer.body);
                let port = &answer.body["port"];
                port["fixed_ips"][0]["ip_address"].as_str().unwrap().to_owned()
            };
            (0..10).map(|_| address(client.post("ports", port.clone()))).collect()
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut addresses: Vec<_> =
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 40);
}
