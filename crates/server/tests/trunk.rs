//! Trunks over real HTTP: what is made, shown, refused and removed, where subports are bound, and what
//! agents are told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use neutron::object::{Object, ResourceType, SubPort};
use neutron::rpc::{EventType, Pull, UpdateSubportBindings, UpdateTrunkStatus};
use serde_json::{Value, json};
use support::{Answer, Client, FakeAgent, Fixture, id};

/// Networks for a parent port and for two subports.
struct Scene {
    fixture: Fixture,
    networks: [String; 3],
    parent: String,
    subports: [String; 2],
}

impl Scene {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let networks = [(); 3].map(|()| fixture.network(json!({})));
        let owner = json!({ "device_owner": "compute:nova", "device_id": "vm" });
        let parent = id(&fixture.port(&networks[0], owner));
        let subports = [1, 2].map(|n: usize| id(&fixture.port(&networks[n], json!({}))));
        Self { fixture, networks, parent, subports }
    }

    fn trunk(&mut self, subports: Value) -> String {
        let values = json!({ "name": "t", "port_id": self.parent, "sub_ports": subports });
        id(&self.fixture.make("trunks", "trunk", values))
    }
}

fn tagged(port: &str, tag: u16) -> Value {
    json!({ "port_id": port, "segmentation_type": "vlan", "segmentation_id": tag })
}

/// What a refused request is told: status, type and message.
fn refusal(answer: &Answer) -> (u16, &str, &str) {
    let error = &answer.body["NeutronError"];
    (answer.status, error["type"].as_str().unwrap(), error["message"].as_str().unwrap())
}

fn bind_parent(client: &mut Client, parent: &str, host: &str) -> Answer {
    client.put(&format!("ports/{parent}"), json!({ "port": { "binding:host_id": host } }))
}

fn subports_of(trunk: &str, ports: &[String]) -> Vec<SubPort> {
    let subport = |port: &String| SubPort {
        port_id: port.clone(),
        trunk_id: trunk.to_owned(),
        segmentation_type: "vlan".to_owned(),
        segmentation_id: 101,
        ..SubPort::default()
    };
    ports.iter().map(subport).collect()
}

#[test]
fn trunks_come_change_and_go() {
    let mut scene = Scene::new();
    let [one, two] = scene.subports.clone();
    let trunk = scene.trunk(json!([tagged(&one, 101)]));
    let path = format!("trunks/{trunk}");
    let api = &mut scene.fixture.api;
    let shown = api.get(&path).body["trunk"].clone();
    for (key, value) in [
        ("name", json!("t")),
        ("description", json!("")),
        ("admin_state_up", json!(true)),
        ("port_id", json!(scene.parent)),
        ("status", json!("DOWN")),
        ("sub_ports", json!([tagged(&one, 101)])),
        ("tags", json!([])),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert_eq!(shown["tenant_id"], shown["project_id"]);

    let added = api.put(&format!("{path}/add_subports"), json!({ "sub_ports": [tagged(&two, 7)] }));
    assert_eq!(added.body["sub_ports"], json!([tagged(&two, 7), tagged(&one, 101)]));
    let listed = api.get(&format!("{path}/get_subports")).body;
    assert_eq!(listed, json!({ "sub_ports": added.body["sub_ports"] }));
    let less = json!({ "sub_ports": [{ "port_id": one }] });
    let removed = api.put(&format!("{path}/remove_subports"), less.clone());
    assert_eq!(removed.body["sub_ports"], json!([tagged(&two, 7)]));
    let again = api.put(&format!("{path}/remove_subports"), less);
    assert_eq!(refusal(&again).1, "SubPortNotFound");

    let details = api.get(&format!("ports/{}", scene.parent)).body["port"]["trunk_details"].clone();
    let mac = api.get(&format!("ports/{two}")).body["port"]["mac_address"].clone();
    let mut of_subport = tagged(&two, 7);
    support::extend(&mut of_subport, json!({ "mac_address": mac }));
    assert_eq!(details, json!({ "trunk_id": trunk, "sub_ports": [of_subport] }));
    assert_eq!(api.get(&format!("ports/{two}")).body["port"].get("trunk_details"), None);

    let change = json!({ "trunk": { "name": "u", "description": "d", "admin_state_up": false } });
    let changed = api.put(&path, change).body["trunk"].clone();
    assert_eq!((&changed["name"], &changed["description"]), (&json!("u"), &json!("d")));
    for answer in [
        api.put(&format!("{path}/add_subports"), json!({ "sub_ports": [tagged(&one, 8)] })),
        api.put(&format!("{path}/remove_subports"), json!({ "sub_ports": [{ "port_id": two }] })),
        api.delete(&path),
    ] {
        assert_eq!((refusal(&answer).0, refusal(&answer).1), (409, "TrunkDisabled"));
    }
    for (port, kind) in [(&scene.parent, "PortInUseAsTrunkParent"), (&two, "PortInUseAsSubPort")] {
        let answer = api.delete(&format!("ports/{port}"));
        assert_eq!((refusal(&answer).0, refusal(&answer).1), (409, kind));
    }
    assert_eq!(api.put(&format!("{path}/tags/red"), json!({})).status, 201);
    assert_eq!(api.get("trunks?tags=red").body["trunks"][0]["id"], json!(trunk));
    api.put(&path, json!({ "trunk": { "admin_state_up": true } }));
    assert_eq!(api.delete(&path).status, 204);
    assert_eq!(refusal(&api.get(&path)).1, "TrunkNotFound");
    assert_eq!(api.delete(&format!("ports/{two}")).status, 204);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut scene = Scene::new();
    let [one, two] = scene.subports.clone();
    let parent = scene.parent.clone();
    let large = scene.fixture.network(json!({ "mtu": 1400 }));
    let small = id(&scene.fixture.port(&large, json!({})));
    let other = json!({ "device_id": "router" });
    let used = id(&scene.fixture.port(&scene.networks[1], other));
    let trunk = scene.trunk(json!([tagged(&one, 101)]));
    let api = &mut scene.fixture.api;
    let add = format!("trunks/{trunk}/add_subports");
    let nobody = uuid::Uuid::new_v4().to_string();
    for (subports, status, kind, says) in [
        (json!("x"), 400, "InvalidInput", "is not a list"),
        (json!(["x"]), 400, "InvalidInput", "is not a dict"),
        (json!([{}]), 400, "InvalidInput", "A valid port UUID must be specified"),
        (json!([{ "port_id": "x" }]), 400, "InvalidInput", "Invalid UUID for subport"),
        (json!([tagged(&two, 1), tagged(&two, 2)]), 400, "InvalidInput", "Non unique UUID"),
        (json!([tagged(&two, 1), tagged(&used, 1)]), 400, "InvalidInput", "is not unique"),
        (json!([{ "port_id": two }]), 400, "InvalidInput", "missing segmentation information"),
        (
            json!([{ "port_id": two, "segmentation_id": 1 }]),
            400,
            "InvalidInput",
            "missing segmentation information",
        ),
        (json!([tagged(&two, 0)]), 400, "InvalidInput", "'0' is not in range"),
        (json!([tagged(&two, 4095)]), 400, "InvalidInput", "'4095' is not in range"),
        (
            json!([{ "port_id": two, "segmentation_type": "vxlan", "segmentation_id": 1 }]),
            400,
            "InvalidInput",
            "Unknown segmentation_type 'vxlan'",
        ),
        (json!([tagged(&nobody, 1)]), 404, "PortNotFound", "could not be found"),
        (json!([tagged(&parent, 1)]), 409, "ParentPortInUse", "not eligible"),
        (json!([tagged(&one, 1)]), 409, "TrunkPortInUse", "is in use by another trunk"),
        (json!([tagged(&used, 1)]), 409, "PortInUse", "attached device router"),
        (json!([tagged(&two, 101)]), 409, "DuplicateSubPort", "101 already in use on trunk"),
    ] {
        let answer = api.put(&add, json!({ "sub_ports": subports }));
        let (found, name, message) = refusal(&answer);
        assert_eq!((found, name), (status, kind), "{subports}: {message}");
        assert!(message.contains(says), "{message}");
    }
    for (values, status, kind) in [
        (json!({}), 400, "HTTPBadRequest"),
        (json!({ "port_id": nobody }), 404, "PortNotFound"),
        (json!({ "port_id": one }), 409, "TrunkPortInUse"),
        (json!({ "port_id": parent }), 409, "ParentPortInUse"),
        (json!({ "port_id": two, "sub_ports": [{}] }), 400, "HTTPBadRequest"),
        (json!({ "port_id": two, "status": "ACTIVE" }), 400, "HTTPBadRequest"),
        // Frames of the subport's network would not fit through.
        (
            json!({ "port_id": small, "sub_ports": [tagged(&two, 1)] }),
            409,
            "SubPortMtuGreaterThanTrunkPortMtu",
        ),
    ] {
        let answer = api.post("trunks", json!({ "trunk": values }));
        assert_eq!((refusal(&answer).0, refusal(&answer).1), (status, kind), "{values}");
    }
    let read_only = api.put(&format!("trunks/{trunk}"), json!({ "trunk": { "sub_ports": [] } }));
    assert_eq!(read_only.status, 400);
    // Nothing has been changed.
    let shown = api.get(&format!("trunks/{trunk}")).body;
    assert_eq!(shown["trunk"]["sub_ports"], json!([tagged(&one, 101)]));

    // What runs already cannot get a trunk, nor lose it.
    bind_parent(api, &parent, "node1");
    assert_eq!(refusal(&api.delete(&format!("trunks/{trunk}"))).1, "TrunkInUse");
    bind_parent(api, &two, "node1");
    let late = api.post("trunks", json!({ "trunk": { "port_id": two } }));
    assert_eq!(refusal(&late).1, "ParentPortInUse");
    bind_parent(api, &parent, "");
    assert_eq!(api.delete(&format!("trunks/{trunk}")).status, 204);
}

#[test]
fn a_subport_can_inherit_the_tag_of_its_network() {
    let mut scene = Scene::new();
    let network = scene.fixture.network(json!({
        "provider:network_type": "vlan", "provider:physical_network": "physnet1",
        "provider:segmentation_id": 155,
    }));
    let port = id(&scene.fixture.port(&network, json!({})));
    let inherits = |port: &str| json!([{ "port_id": port, "segmentation_type": "inherit" }]);
    let trunk = scene.trunk(inherits(&port));
    let shown = scene.fixture.api.get(&format!("trunks/{trunk}")).body;
    assert_eq!(shown["trunk"]["sub_ports"], json!([tagged(&port, 155)]));
    let vxlan = scene.fixture.vxlan_network(77);
    let port = id(&scene.fixture.port(&vxlan, json!({})));
    let add = format!("trunks/{trunk}/add_subports");
    let answer = scene.fixture.api.put(&add, json!({ "sub_ports": inherits(&port) }));
    assert!(refusal(&answer).2.contains("Unknown segmentation_type 'vxlan'"));
}

fn pull(agent: &FakeAgent<'_>, parent: &str) -> Option<Object> {
    agent.call(Pull { resource: ResourceType::Trunk, id: parent.to_owned() })
}

#[test]
fn agents_hear_of_trunks_bind_subports_and_tell_how_far_they_are() {
    let scene = Scene::new();
    let [one, two] = scene.subports.clone();
    let parent = scene.parent.clone();
    let mut client = scene.fixture.client();
    let mut agent = scene.fixture.agent("node1");
    agent.report(&["physnet1"]);
    agent.heard();

    let values = json!({ "trunk": { "port_id": parent, "sub_ports": [tagged(&one, 101)] } });
    let trunk = id(&client.post("trunks", values).body["trunk"]);
    let (event, objects) = agent.hear();
    let [Object::Trunk(told)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!((event, &told.id, &told.port_id), (EventType::Created, &trunk, &parent));
    assert_eq!(pull(&agent, &parent), Some(Object::Trunk(told.clone())));
    assert_eq!(pull(&agent, &trunk), None, "it is known by its parent");

    // Its device belongs into a bridge of its own.
    let bound = bind_parent(&mut client, &parent, "node1").body["port"].clone();
    assert_eq!(bound["binding:vif_details"]["bridge_name"], json!(format!("tbr-{trunk:.10}")));
    agent.heard();
    let port =
        |client: &mut Client, port: &str| client.get(&format!("ports/{port}")).body["port"].clone();
    let status = |client: &mut Client| {
        client.get(&format!("trunks/{trunk}")).body["trunk"]["status"].clone()
    };
    assert_eq!(port(&mut client, &one)["binding:host_id"], "");
    let answer = agent
        .call(UpdateSubportBindings { subports: subports_of(&trunk, std::slice::from_ref(&one)) });
    let [subport] = answer[&trunk].as_slice() else { panic!("{answer:?}") };
    let shown = port(&mut client, &one);
    assert_eq!((&subport.id, &json!(subport.mac_address)), (&one, &shown["mac_address"]));
    assert_eq!(shown["binding:host_id"], "node1");
    assert_eq!(shown["device_owner"], "trunk:subport");
    assert_eq!(shown["binding:vif_details"]["bridge_name"], "br-int");
    assert_eq!(status(&mut client), "BUILD");
    assert_eq!(agent.heard().len(), 1, "of the subport");
    agent.call(UpdateTrunkStatus { trunk_id: trunk.clone(), status: "ACTIVE".to_owned() });
    assert_eq!(status(&mut client), "ACTIVE");
    let nonsense = UpdateTrunkStatus { trunk_id: trunk.clone(), status: "UP".to_owned() };
    assert!(agent.try_call(nonsense).is_err());
    // A second time it is bound there already.
    agent.call(UpdateSubportBindings { subports: subports_of(&trunk, std::slice::from_ref(&one)) });
    assert_eq!(agent.heard(), Vec::<String>::new());

    let add = format!("trunks/{trunk}/add_subports");
    client.put(&add, json!({ "sub_ports": [tagged(&two, 102)] }));
    let (event, objects) = agent.hear();
    let [Object::SubPort(told)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!((event, &told.port_id, told.segmentation_id), (EventType::Created, &two, 102));
    assert_eq!((&told.trunk_id, status(&mut client)), (&trunk, json!("DOWN")));
    // The parent becomes active, and its subports come along.
    agent.wire(&[&parent], &[], false);
    assert_eq!(port(&mut client, &two)["binding:host_id"], "node1");
    agent.heard();
    let remove = format!("trunks/{trunk}/remove_subports");
    client.put(&remove, json!({ "sub_ports": [{ "port_id": two }] }));
    let (event, objects) = agent.hear();
    let [Object::SubPort(told)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!((event, &told.port_id), (EventType::Deleted, &two));

    // What cannot be bound is an error, until somebody takes it out.
    let host = json!({ "port": { "binding:vnic_type": "direct" } });
    client.put(&format!("ports/{two}"), host);
    client.put(&add, json!({ "sub_ports": [tagged(&two, 102)] }));
    let both = subports_of(&trunk, &[one.clone(), two.clone()]);
    assert_eq!(agent.call(UpdateSubportBindings { subports: both }).len(), 0);
    assert_eq!(status(&mut client), "ERROR");
    let more = client.put(&add, json!({ "sub_ports": [] }));
    assert_eq!(refusal(&more).1, "TrunkInErrorState");
    client.put(&remove, json!({ "sub_ports": [{ "port_id": two }] }));
    assert_eq!(status(&mut client), "DOWN");
    // One that is in no trunk is nobody's to bind.
    let stranger = subports_of(&trunk, std::slice::from_ref(&two));
    assert_eq!(agent.call(UpdateSubportBindings { subports: stranger }).len(), 0);
    assert_eq!(status(&mut client), "DEGRADED");
    let unknown = subports_of(&two, std::slice::from_ref(&one));
    assert_eq!(agent.call(UpdateSubportBindings { subports: unknown }).len(), 0);

    // The virtual machine goes, and then the trunk.
    agent.call(UpdateTrunkStatus { trunk_id: trunk.clone(), status: "ACTIVE".to_owned() });
    bind_parent(&mut client, &parent, "");
    assert_eq!(status(&mut client), "DOWN");
    agent.heard();
    assert_eq!(client.delete(&format!("trunks/{trunk}")).status, 204);
    let (event, objects) = agent.hear();
    let [Object::Trunk(told)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!((event, &told.port_id), (EventType::Deleted, &parent), "all of it is told");
    assert_eq!(pull(&agent, &parent), None);
}
