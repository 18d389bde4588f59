//! What carries networks, over real HTTP with a real store: which segments are given in which
//! order, how large packets may be, several segments of one network, and other numbers for networks
//! that are in use.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::collections::BTreeSet;

use model::NetworkType;
use neutron::object::Object;
use neutron::rpc::{EventType, GetNetworkDetails, agent_id};
use serde_json::{Value, json};
use server::{Config, FlatNetworks, IpVersion};
use support::{FakeAgent, Fixture, id};

/// What a network is asked for with.
fn provider(kind: &str) -> Value {
    json!({ "provider:network_type": kind })
}

fn numbered(kind: &str, number: u32) -> Value {
    json!({ "provider:network_type": kind, "provider:segmentation_id": number })
}

fn vlan(physical_network: &str, number: u32) -> Value {
    json!({
        "provider:network_type": "vlan", "provider:physical_network": physical_network,
        "provider:segmentation_id": number,
    })
}

/// The parts of a network that say what carries it: `vlan physnet1 100`.
fn place(network: &Value) -> String {
    let text = |name: &str| match &network[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (kind, physical) = (text("provider:network_type"), text("provider:physical_network"));
    format!("{kind} {physical} {}", text("provider:segmentation_id"))
}

/// Makes a network and says what carries it.
fn made(fixture: &mut Fixture, values: Value) -> String {
    place(&fixture.make("networks", "network", values))
}

fn delete(fixture: &mut Fixture, path: &str) {
    assert_eq!(fixture.api.delete(path).status, 204, "{path}");
}

/// The list of all segments, free or in use: `vxlan null 1-99 free`.
fn table(fixture: &mut Fixture) -> Vec<String> {
    let table = fixture.api.get("weir/segments").body;
    let row = |row: &Value| {
        let text = |name: &str| match &row[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let range = if row["in_range"] == true { "" } else { " outside" };
        let used = if row["network_id"].is_null() { "free" } else { "used" };
        let (kind, physical) = (text("network_type"), text("physical_network"));
        let (low, high) = (text("segmentation_id"), text("through"));
        format!("{kind} {physical} {low}-{high} {used}{range}")
    };
    table["segments"].as_array().unwrap().iter().map(row).collect()
}

/// All types, with ranges of the largest size.
fn tunnels(config: &mut Config) {
    let segments = &mut config.segments;
    segments.vxlan_vni_ranges = vec!["1:16777215".parse().unwrap()];
    segments.geneve_vni_ranges = vec!["5:6".parse().unwrap(), "8:9".parse().unwrap()];
    segments.gre_tunnel_id_ranges = vec!["1:4294967295".parse().unwrap()];
    segments.project_network_types = vec![NetworkType::Geneve, NetworkType::Gre];
}

#[test]
fn every_type_has_its_segments() {
    let mut fixture = Fixture::with(tunnels);
    for (wanted, given) in [
        (provider("local"), "local null null"),
        (provider("local"), "local null null"),
        (
            json!({ "provider:network_type": "flat", "provider:physical_network": "physnet3" }),
            "flat physnet3 null",
        ),
        (provider("vlan"), "vlan physnet1 100"),
        (vlan("physnet2", 100), "vlan physnet2 100"),
        (provider("vxlan"), "vxlan null 1"),
        (provider("gre"), "gre null 1"),
        (provider("geneve"), "geneve null 5"),
        // In a range or not, who names a number gets it.
        (numbered("vxlan", 16_777_215), "vxlan null 16777215"),
        (numbered("gre", u32::MAX), "gre null 4294967295"),
        (numbered("geneve", 16_777_215), "geneve null 16777215"),
    ] {
        assert_eq!(made(&mut fixture, wanted), given);
    }
    assert_eq!(
        table(&mut fixture),
        [
            "flat physnet3 null-null used outside",
            "geneve null 5-5 used",
            "geneve null 6-6 free",
            "geneve null 8-9 free",
            "geneve null 16777215-16777215 used outside",
            "gre null 1-1 used",
            "gre null 2-4294967294 free",
            "gre null 4294967295-4294967295 used",
            "local null null-null used outside",
            "local null null-null used outside",
            "vlan physnet1 100-100 used",
            "vlan physnet1 101-103 free",
            "vlan physnet2 100-100 used outside",
            "vxlan null 1-1 used",
            "vxlan null 2-16777214 free",
            "vxlan null 16777215-16777215 used",
        ]
    );
    let found = fixture.api.get("networks?provider:segmentation_id=16777215&fields=id").body;
    assert_eq!(found["networks"].as_array().unwrap().len(), 2);
}

#[test]
fn project_networks_take_the_first_type_that_has_one_left() {
    let mut fixture = Fixture::with(|config| {
        tunnels(config);
        config.segments.gre_tunnel_id_ranges = vec!["7:7".parse().unwrap()];
        config.segments.project_network_types =
            vec![NetworkType::Flat, NetworkType::Geneve, NetworkType::Gre, NetworkType::Vlan];
        config.segments.network_vlan_ranges =
            ["wire:9:9", "physnet1:100:100"].map(|range| range.parse().unwrap()).to_vec();
    });
    let mut given = Vec::new();
    for _ in 0..7 {
        given.push(made(&mut fixture, json!({})));
    }
    assert_eq!(
        given,
        [
            "geneve null 5",
            "geneve null 6",
            "geneve null 8",
            "geneve null 9",
            "gre null 7",
            "vlan wire 9",
            "vlan physnet1 100",
        ]
    );
    let full = fixture.api.post("networks", json!({ "network": {} }));
    assert_eq!(full.status, 503);
    assert_eq!(
        full.body["NeutronError"]["message"],
        "Unable to create the network. No project network is available for allocation. \
         (flat networks are only made on request; every number of the geneve ranges is in use; \
         every number of the gre ranges is in use; every VLAN of the ranges of wire, physnet1 is \
         in use)"
    );
    assert_eq!(fixture.api.get("networks").body["networks"].as_array().unwrap().len(), 7);

    fixture.restart_with(|config| config.segments.project_network_types.clear());
    let none = fixture.api.post("networks", json!({ "network": {} }));
    let said = none.body["NeutronError"]["message"].as_str().unwrap();
    assert!(said.ends_with("(no project network types are configured)"), "{said}");
    fixture.restart_with(|config| {
        config.segments.project_network_types = vec![NetworkType::Geneve, NetworkType::Local];
    });
    assert_eq!(made(&mut fixture, json!({})), "local null null");
}

#[test]
fn a_number_that_has_come_free_rests_as_long_as_it_can() {
    let mut fixture = Fixture::with(tunnels);
    let geneve = provider("geneve");
    let mut round = Vec::new();
    for _ in 0..5 {
        let network = fixture.make("networks", "network", geneve.clone());
        round.push(place(&network));
        delete(&mut fixture, &format!("networks/{}", id(&network)));
    }
    assert_eq!(
        round,
        ["geneve null 5", "geneve null 6", "geneve null 8", "geneve null 9", "geneve null 5"]
    );
    // What is taken is passed over, also over the end of a range.
    fixture.network(numbered("geneve", 6));
    fixture.network(numbered("geneve", 9));
    assert_eq!(made(&mut fixture, geneve.clone()), "geneve null 8");
    assert_eq!(made(&mut fixture, geneve.clone()), "geneve null 5");
    assert_eq!(fixture.api.post("networks", json!({ "network": geneve })).status, 503);
    // It is remembered over a restart.
    let mut fixture = Fixture::with(tunnels);
    let network = fixture.network(geneve.clone());
    delete(&mut fixture, &format!("networks/{network}"));
    fixture.restart();
    assert_eq!(made(&mut fixture, geneve), "geneve null 6");
}

#[test]
fn networks_keep_their_segments_when_ranges_change() {
    let mut fixture = Fixture::with(tunnels);
    fixture.network(json!({}));
    fixture.network(vlan("physnet1", 101));
    fixture.restart_with(|config| {
        config.segments.network_vlan_ranges = vec!["physnet1:102:103".parse().unwrap()];
        config.segments.geneve_vni_ranges = vec!["4:7".parse().unwrap()];
        config.segments.vxlan_vni_ranges.clear();
        config.segments.gre_tunnel_id_ranges.clear();
    });
    assert_eq!(
        table(&mut fixture),
        [
            "geneve null 4-4 free",
            "geneve null 5-5 used",
            "geneve null 6-7 free",
            "vlan physnet1 101-101 used outside",
            "vlan physnet1 102-103 free",
        ]
    );
    assert_eq!(made(&mut fixture, json!({})), "geneve null 6");
    assert_eq!(made(&mut fixture, provider("vlan")), "vlan physnet1 102");
}

#[test]
fn any_physical_network_may_be_flat() {
    let mut fixture = Fixture::with(|config| config.segments.flat_networks = FlatNetworks::Any);
    let flat = json!({ "provider:network_type": "flat", "provider:physical_network": "any" });
    assert_eq!(made(&mut fixture, flat.clone()), "flat any null");
    fixture.restart_with(|config| {
        config.segments.flat_networks = FlatNetworks::Only(BTreeSet::new());
    });
    let refused = fixture.api.post("networks", json!({ "network": flat }));
    let said = refused.body["NeutronError"]["message"].as_str().unwrap();
    assert!(said.contains("Flat provider networks are disabled"), "{said}");
}

#[test]
fn many_clients_at_once_never_get_the_same_segment() {
    let mut fixture = Fixture::with(tunnels);
    // One client names numbers that the others come to.
    let clients = (0..4_u32).map(|client| {
        let mut api = fixture.client();
        std::thread::spawn(move || -> Vec<String> {
            let network = |number: u32| match client {
                0 => numbered("vxlan", number),
                _ => provider("vxlan"),
            };
            let answers =
                (1..=20).map(|number| api.post("networks", json!({ "network": network(number) })));
            let answers: Vec<_> = answers.collect();
            answers
                .iter()
                .filter(|answer| match answer.status {
                    201 => true,
                    // Only a number that is named can be in use.
                    409 if client == 0 => false,
                    _ => panic!("{answer:?}"),
                })
                .map(|answer| place(&answer.body["network"]))
                .collect()
        })
    });
    let clients: Vec<_> = clients.collect();
    let given: Vec<_> = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
    let distinct: BTreeSet<_> = given.iter().collect();
    assert!(given.len() >= 60, "{}", given.len());
    assert_eq!(distinct.len(), given.len());
    let used = table(&mut fixture).iter().filter(|row| row.ends_with("used")).count();
    assert_eq!(used, given.len());
}

#[test]
fn packets_are_as_large_as_the_underlay_carries() {
    let mut fixture = Fixture::with(|config| {
        tunnels(config);
        config.mtu.global_physnet_mtu = 9000;
        config.mtu.path_mtu = Some(1500);
        config.mtu.physical_network_mtus = [("physnet2".to_owned(), 1400)].into();
    });
    let mtu = |fixture: &mut Fixture, values: Value| {
        fixture.make("networks", "network", values)["mtu"].clone()
    };
    for (wanted, carried) in [
        (provider("local"), 9000),
        (provider("vlan"), 9000),
        (vlan("physnet2", 7), 1400),
        (provider("vxlan"), 1450),
        (provider("gre"), 1458),
        (provider("geneve"), 1450),
        (json!({ "segments": [provider("vlan"), provider("gre"), vlan("physnet2", 8)] }), 1400),
        (json!({ "segments": [provider("local"), provider("gre")] }), 1458),
    ] {
        assert_eq!(mtu(&mut fixture, wanted), carried);
    }
    let refused = |fixture: &mut Fixture, mut values: Value, mtu: u32| {
        values["mtu"] = json!(mtu);
        let answer = fixture.api.post("networks", json!({ "network": values }));
        assert_eq!(answer.status, 400);
        answer.body["NeutronError"]["message"].clone()
    };
    for (wanted, most) in [(provider("vxlan"), 1450), (vlan("physnet2", 9), 1400)] {
        let said = refused(&mut fixture, wanted.clone(), most + 1);
        let message =
            format!("Invalid input for operation: Requested MTU is too big, maximum is {most}.");
        assert_eq!(said, json!(message));
        let mut fits = wanted;
        fits["mtu"] = json!(most);
        assert_eq!(mtu(&mut fixture, fits), most);
    }
    // 0 is the most that there is, also later.
    let small = fixture.network(json!({ "provider:network_type": "gre", "mtu": 1000 }));
    let path = format!("networks/{small}");
    let put = |fixture: &mut Fixture, mtu: u32| {
        fixture.api.put(&path, json!({ "network": { "mtu": mtu } })).body["network"]["mtu"].clone()
    };
    assert_eq!(put(&mut fixture, 0), 1458);
    // A network without subnets may have any.
    assert_eq!(put(&mut fixture, 20), 20);

    fixture.restart_with(|config| config.mtu.overlay_ip_version = IpVersion::V6);
    assert_eq!(mtu(&mut fixture, provider("vxlan")), 1430);
}

#[test]
fn a_network_has_several_segments() {
    let mut fixture = Fixture::with(tunnels);
    let segments =
        json!([provider("vxlan"), vlan("physnet2", 7), provider("vlan"), provider("vlan")]);
    let network = fixture.make("networks", "network", json!({ "segments": segments }));
    let places = |network: &Value| -> Vec<String> {
        network["segments"].as_array().unwrap().iter().map(place).collect()
    };
    let wanted = ["vxlan null 1", "vlan physnet2 7", "vlan physnet1 100", "vlan physnet1 101"];
    assert_eq!(places(&network), wanted);
    for name in ["network_type", "physical_network", "segmentation_id"] {
        assert_eq!(network.get(format!("provider:{name}")), None);
    }
    let shown = fixture.api.get(&format!("networks/{}", id(&network))).body["network"].clone();
    assert_eq!(shown, network);
    // It is found by each of its segments.
    let other = fixture.make("networks", "network", provider("gre"));
    assert_eq!(other.get("segments"), None);
    for (query, found) in [
        ("provider:network_type=vxlan", 1),
        ("provider:physical_network=physnet2", 1),
        ("provider:segmentation_id=7&provider:network_type=vlan", 1),
        ("provider:segmentation_id=1", 2),
        ("provider:network_type=flat", 0),
    ] {
        let listed = fixture.api.get(&format!("networks?{query}")).body;
        assert_eq!(listed["networks"].as_array().unwrap().len(), found, "{query}");
    }

    // A host carries the first of them that it can.
    let mut api = fixture.client();
    let mut agent = fixture.agent("host-a");
    agent.report(&["physnet1"]);
    let port = json!({ "network_id": network["id"], "binding:host_id": "host-a" });
    assert_eq!(api.post("ports", json!({ "port": port })).status, 201);
    let heard = std::iter::repeat_with(|| agent.hear());
    let port = heard
        .filter_map(|(_, objects)| match objects.as_slice() {
            [Object::Port(port)] => Some(port.clone()),
            _ => None,
        })
        .next()
        .unwrap();
    let segment = port.binding_levels[0].segment.as_ref().unwrap();
    assert_eq!((segment.segmentation_id, segment.segment_index), (Some(100), 2));
    // An agent that asks for the network is told of that one too, and who carries none of them of
    // the first.
    let told = |agent: &FakeAgent<'_>| {
        let (network, host) = (id(&network), agent.host.clone());
        let asked = GetNetworkDetails { network, agent_id: agent_id(&host), host };
        let details = agent.call(asked).unwrap();
        (details.network_type, details.segmentation_id)
    };
    assert_eq!(told(&agent), ("vlan".to_owned(), Some(100)));
    let other = fixture.agent("host-b");
    other.report(&["physnet3"]);
    assert_eq!(told(&other), ("vxlan".to_owned(), Some(1)));
}

#[test]
fn segments_come_and_go() {
    let mut fixture = Fixture::with(tunnels);
    let network = fixture.make("networks", "network", provider("geneve"));
    let of_network = format!("segments?network_id={}", id(&network));
    let listed = fixture.api.get(&of_network).body["segments"].clone();
    let first = listed[0].clone();
    assert_eq!((&first["network_type"], &first["segmentation_id"]), (&json!("geneve"), &json!(5)));
    assert_eq!((&first["name"], &first["physical_network"]), (&Value::Null, &Value::Null));

    let port = fixture.port(&id(&network), json!({ "binding:host_id": "host-a" }));
    let mut api = fixture.client();
    fixture.agent("host-a").report(&["physnet1"]);
    let port = format!("ports/{}", id(&port));
    let vif_type =
        |fixture: &mut Fixture| fixture.api.get(&port).body["port"]["binding:vif_type"].clone();
    assert_eq!(vif_type(&mut fixture), "binding_failed");

    // A further segment, which the host can carry.
    let mut agent = fixture.agent("host-b");
    let second = json!({
        "network_id": network["id"], "network_type": "vlan", "physical_network": "physnet1",
        "name": "wire", "description": "d",
    });
    let second = api.post("segments", json!({ "segment": second })).body["segment"].clone();
    assert_eq!(second["segmentation_id"], 100);
    assert_eq!(agent.heard(), ["Updated Network 2", "Updated Port 2"]);
    assert_eq!(vif_type(&mut fixture), "ovs");
    let shown = fixture.api.get(&format!("networks/{}", id(&network))).body["network"].clone();
    assert_eq!(shown["segments"].as_array().unwrap().len(), 2);

    let path = format!("segments/{}", id(&second));
    assert_eq!(fixture.api.get(&path).body["segment"], second);
    let renamed = json!({ "segment": { "name": null, "description": "e" } });
    let renamed = fixture.api.put(&path, renamed).body["segment"].clone();
    assert_eq!((&renamed["name"], &renamed["description"]), (&Value::Null, &json!("e")));
    assert_eq!(renamed["revision_number"], 1);
    let named = fixture.api.get("segments?network_type=vlan&physical_network=physnet1").body;
    assert_eq!(named["segments"], json!([renamed]));

    // The port has it; without the port it may go, and is free again.
    assert_eq!(fixture.api.delete(&path).status, 409);
    delete(&mut fixture, &port);
    delete(&mut fixture, &path);
    delete(&mut fixture, &format!("segments/{}", id(&first)));
    let shown = fixture.api.get(&format!("networks/{}", id(&network))).body["network"].clone();
    assert_eq!(place(&shown), "null null null");
    assert!(table(&mut fixture).iter().all(|row| row.ends_with("free")));
    // Nothing carries it, so no agent can do anything with it.
    let details = GetNetworkDetails {
        network: id(&network),
        agent_id: agent_id("host-a"),
        host: "host-a".to_owned(),
    };
    assert_eq!(fixture.agent("host-a").call(details), None);
    delete(&mut fixture, &format!("networks/{}", id(&network)));
}

#[test]
fn a_network_in_use_gets_another_vlan() {
    let mut fixture = Fixture::new();
    let network = fixture.network(vlan("physnet1", 100));
    fixture.agent("host-a").report(&["physnet1"]);
    fixture.agent("host-b").report(&["physnet1"]);
    let on_host = json!({ "binding:host_id": "host-a", "device_owner": "compute:nova" });
    let bound: Vec<_> = (0..2).map(|_| id(&fixture.port(&network, on_host.clone()))).collect();
    for port in &bound {
        let further = json!({ "binding": { "host": "host-b" } });
        assert_eq!(fixture.api.post(&format!("ports/{port}/bindings"), further).status, 201);
    }
    fixture.port(&network, json!({}));
    let mut api = fixture.client();
    let mut agent = fixture.agent("host-a");
    let path = format!("networks/{network}");
    let number = |number: u32| json!({ "network": { "provider:segmentation_id": number } });
    let moved = api.put(&path, number(3000));
    assert_eq!(moved.status, 200, "{}", moved.body);
    assert_eq!(place(&moved.body["network"]), "vlan physnet1 3000");

    // Agents hear of the network and of the ports that have it.
    let (event, objects) = agent.hear();
    let [Object::Network(told)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!((event, told.segments[0].segmentation_id), (EventType::Updated, Some(3000)));
    let (event, objects) = agent.hear();
    assert_eq!((event, objects.len()), (EventType::Updated, 2));
    for object in objects {
        let Object::Port(port) = object else { panic!("{object:?}") };
        assert!(bound.contains(&port.id));
        assert_eq!(port.revision_number, 3);
        assert_eq!(port.bindings[0].vif_type, "ovs");
        // On the host that it is on, and on the one that it may move to.
        let levels = port.binding_levels.iter().map(|level| {
            let segment = level.segment.as_ref().unwrap();
            (level.host.as_str(), segment.segmentation_id)
        });
        assert_eq!(levels.collect::<Vec<_>>(), [("host-a", Some(3000)), ("host-b", Some(3000))]);
    }
    assert_eq!(agent.heard(), Vec::<String>::new());

    // The old number is free, the new one is not; with the place as it is, nothing else is asked.
    let whole = json!({ "network": {
        "provider:network_type": "vlan", "provider:physical_network": "physnet1",
        "provider:segmentation_id": 101, "name": "moved",
    } });
    let moved = api.put(&path, whole).body["network"].clone();
    assert_eq!((place(&moved).as_str(), &moved["name"]), ("vlan physnet1 101", &json!("moved")));
    assert_eq!(
        table(&mut fixture),
        ["vlan physnet1 100-100 free", "vlan physnet1 101-101 used", "vlan physnet1 102-103 free"]
    );
    let taken = fixture.api.post("networks", json!({ "network": vlan("physnet1", 101) }));
    assert_eq!((taken.status, &taken.body["NeutronError"]["type"]), (409, &json!("VlanIdInUse")));
}
