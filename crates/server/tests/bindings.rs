//! Several bindings of a port: what Nova asks for when a machine moves, and what agents are told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use neutron::object::{Object, Port, ResourceType};
use serde_json::{Value, json};
use support::{Client, FakeAgent, Fixture, id};

/// A machine's port on host-a, which host-b can take over.
struct World {
    fixture: Fixture,
    port: String,
}

impl World {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        for host in ["host-a", "host-b"] {
            fixture.agent(host).report(&["physnet1"]);
        }
        let network = fixture.network(json!({}));
        fixture.subnet(&network, json!({}));
        let port = machine(&mut fixture, &network);
        Self { fixture, port }
    }

    /// The same on a network that tunnels carry.
    fn with_tunnels() -> (Self, String) {
        let mut fixture = Fixture::new();
        for (host, ip) in [("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "192.0.2.3")] {
            fixture.agent(&format!("host-{host}")).report_tunnels(ip, &["vxlan"]);
        }
        let network = fixture.vxlan_network(77);
        let port = machine(&mut fixture, &network);
        (Self { fixture, port }, network)
    }

    fn path(&self, below: &str) -> String {
        format!("ports/{}/bindings{below}", self.port)
    }

    /// Binds the port to host-b too, and gives the binding.
    fn bind_ahead(&self) -> Value {
        let wanted = json!({ "binding": { "host": "host-b" } });
        let made = self.fixture.client().post(&self.path(""), wanted);
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["binding"].clone()
    }

    /// Host and status of each binding.
    fn bindings(&self) -> Vec<String> {
        let listed = self.fixture.client().get(&self.path("")).body;
        let word = |binding: &Value, name: &str| binding[name].as_str().unwrap().to_owned();
        let listed = listed["bindings"].as_array().unwrap().iter();
        let words = ["host", "status", "vif_type"];
        listed.map(|binding| words.map(|name| word(binding, name)).join(" ")).collect()
    }

    fn shown(&self) -> Value {
        self.fixture.client().get(&format!("ports/{}", self.port)).body["port"].clone()
    }

    fn refuses(&mut self, request: (&str, &str, Value), status: u16, kind: &str, message: &str) {
        let (method, below, body) = request;
        let before = (self.bindings(), self.shown());
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.fixture.api.request(method, &self.path(below), &body);
        let error = &answer.body["NeutronError"];
        assert_eq!((answer.status, &error["type"]), (status, &json!(kind)), "{}", answer.body);
        let message = message.replace("PORT", &self.port);
        assert_eq!(error["message"], message);
        assert_eq!((self.bindings(), self.shown()), before);
    }
}

/// A port of a machine on host-a. Gives its id.
fn machine(fixture: &mut Fixture, network: &str) -> String {
    let wanted = json!({
        "binding:host_id": "host-a", "device_owner": "compute:nova", "device_id": "vm",
        "mac_address": "fa:16:3e:00:00:11", "fixed_ips": [{ "ip_address": "10.0.0.11" }],
    });
    id(&fixture.port(network, wanted))
}

/// The pushes of ports so far.
fn pushes(agent: &mut FakeAgent<'_>) -> Vec<Port> {
    let mut ports = Vec::new();
    for cast in agent.all() {
        if let neutron::rpc::Cast::Push { objects, .. } = cast {
            ports.extend(objects.into_iter().map(|object| match object {
                Object::Port(port) => port,
                other => panic!("{other:?}"),
            }));
        }
    }
    ports
}

/// Host, status and vif_type of each binding, and the hosts with a segment.
fn places(port: &Port) -> (Vec<String>, Vec<String>) {
    let bindings = port.bindings.iter().map(|binding| {
        format!("{} {} {}", binding.host, binding.status.as_deref().unwrap(), binding.vif_type)
    });
    let levels = port.binding_levels.iter().filter(|level| level.segment.is_some());
    (bindings.collect(), levels.map(|level| level.host.clone()).collect())
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

/// Nova's calls, one by one, and what the agents of both hosts hear.
#[test]
fn a_live_migration_goes_as_nova_asks_for_it() {
    let world = World::new();
    let mut api = world.fixture.client();
    let [a, mut b] = ["host-a", "host-b"].map(|host| world.fixture.agent(host));
    let port = world.port.as_str();
    a.wire(&[port], &[], true);
    assert_eq!(pushes(&mut b).len(), 1);
    assert_eq!(api.get("extensions/binding-extended").status, 200);

    // conductor: a binding to the host that it will be on.
    let wanted = json!({ "binding": {
        "host": "host-b", "vnic_type": "normal", "profile": { "os_vif_delegation": true },
    } });
    let made = api.post(&world.path(""), wanted);
    assert_eq!(made.status, 201, "{}", made.body);
    let ahead = json!({
        "host": "host-b", "status": "INACTIVE", "vnic_type": "normal", "vif_type": "ovs",
        "profile": { "os_vif_delegation": true },
        "vif_details": {
            "connectivity": "l2", "port_filter": true, "ovs_hybrid_plug": false,
            "datapath_type": "netdev", "bridge_name": "br-int",
        },
    });
    assert_eq!(made.body, json!({ "binding": ahead }));
    assert_eq!(world.bindings(), ["host-a ACTIVE ovs", "host-b INACTIVE ovs"]);
    let told = pushes(&mut b);
    let both = strings(&["host-a", "host-b"]);
    let before = strings(&["host-a ACTIVE ovs", "host-b INACTIVE ovs"]);
    assert_eq!(places(&told[0]), (before.clone(), both.clone()));
    assert!(told.len() == 1 && told[0].status == "ACTIVE");
    let pulled = b.pull(ResourceType::Port, "id", &[port]);
    assert_eq!(pulled, [Object::Port(told[0].clone())]);

    // pre_live_migration: the profile says where it goes. Nothing of the port changes by that.
    let migrating = json!({ "port": { "binding:profile": { "migrating_to": "host-b" } } });
    assert_eq!(api.put(&format!("ports/{port}"), migrating).status, 200);
    let told = pushes(&mut b);
    assert_eq!(told[0].bindings[0].profile["migrating_to"], "host-b");
    assert_eq!(places(&told[0]), (before, both));
    assert!(told.len() == 1 && told[0].status == "ACTIVE");
    assert_eq!(world.shown()["status"], "ACTIVE");

    // The target's agent wires it. The port still runs on the other host.
    b.wire(&[port], &[], false);
    assert_eq!((pushes(&mut b).len(), &world.shown()["status"]), (0, &json!("ACTIVE")));

    // migrate_instance_start: the binding is looked at, and activated without a body.
    let shown = api.get(&world.path("/host-b"));
    assert_eq!((shown.status, shown.body), (200, json!({ "binding": ahead })));
    let activated = api.request("PUT", &world.path("/host-b/activate"), "");
    let mut active = ahead;
    active["status"] = json!("ACTIVE");
    assert_eq!((activated.status, activated.body), (200, active));
    let told = pushes(&mut b);
    let after = strings(&["host-b ACTIVE ovs", "host-a INACTIVE unbound"]);
    assert_eq!(places(&told[0]), (after, strings(&["host-b"])));
    assert!(told.len() == 1 && told[0].status == "DOWN");
    let moved = world.shown();
    assert_eq!(
        (&moved["binding:host_id"], &moved["binding:profile"], &moved["binding:vif_type"]),
        (&json!("host-b"), &json!({ "os_vif_delegation": true }), &json!("ovs"))
    );

    // Both agents report; the one that has the port counts.
    a.wire(&[], &[port], false);
    assert_eq!(pushes(&mut b).len(), 0);
    b.wire(&[port], &[], false);
    assert_eq!(pushes(&mut b)[0].status, "ACTIVE");

    // post_live_migration: what is left of the old host goes, and agents hear of it.
    assert_eq!(api.delete(&world.path("/host-a")).status, 204);
    assert_eq!(world.bindings(), ["host-b ACTIVE ovs"]);
    let told = pushes(&mut b);
    assert_eq!(places(&told[0]).0, ["host-b ACTIVE ovs"]);
    assert!(told.len() == 1 && told[0].status == "ACTIVE");

    // migrate_instance_finish says what is so already.
    let finish = json!({ "port": {
        "binding:host_id": "host-b", "device_owner": "compute:nova", "binding:profile": {},
    } });
    assert_eq!(api.put(&format!("ports/{port}"), finish).status, 200);
    let told = pushes(&mut b);
    assert!(told.len() == 1 && told[0].status == "ACTIVE");
    assert_eq!(world.bindings(), ["host-b ACTIVE ovs"]);
}

#[test]
fn a_migration_that_is_given_up_leaves_nothing() {
    let world = World::new();
    let mut a = world.fixture.agent("host-a");
    a.wire(&[&world.port], &[], true);
    a.all();
    world.bind_ahead();
    assert_eq!(world.fixture.client().delete(&world.path("/host-b")).status, 204);
    assert_eq!(world.bindings(), ["host-a ACTIVE ovs"]);
    let told = pushes(&mut a);
    assert_eq!(places(&told[1]), (strings(&["host-a ACTIVE ovs"]), strings(&["host-a"])));
    assert_eq!(told[1].status, "ACTIVE");
}

#[test]
fn a_binding_says_how_the_agent_of_its_host_wants_ports_plugged() {
    let mut fixture = Fixture::new();
    fixture.agent("host-a").report_firewall("physnet1", true);
    fixture.agent("host-b").report_firewall("physnet1", false);
    let network = fixture.network(json!({}));
    fixture.subnet(&network, json!({}));
    let port = machine(&mut fixture, &network);
    let world = World { fixture, port };
    let is_hybrid = |binding: &Value| binding["ovs_hybrid_plug"].as_bool().unwrap();
    let here = || is_hybrid(&world.shown()["binding:vif_details"]);
    assert!(here());
    // Each binding has its own, so a machine may move between hosts with different firewalls.
    let ahead = world.bind_ahead();
    assert!(!is_hybrid(&ahead["vif_details"]));

    // What is plugged stays as it is when the host gets another firewall; what comes is as it is now.
    world.fixture.agent("host-a").report_firewall("physnet1", false);
    assert!(here());
    let activate = |host: &str| {
        world.fixture.client().request("PUT", &world.path(&format!("/{host}/activate")), "").status
    };
    assert_eq!(activate("host-b"), 200);
    assert!(!here());
    assert_eq!(activate("host-a"), 200);
    assert!(!here());
}

#[test]
fn a_port_goes_and_comes_back() {
    let mut world = World::new();
    world.bind_ahead();
    let activate = |world: &mut World, host: &str| {
        world.fixture.api.request("PUT", &world.path(&format!("/{host}/activate")), "").status
    };
    assert_eq!(activate(&mut world, "host-b"), 200);
    assert_eq!(world.bindings(), ["host-b ACTIVE ovs", "host-a INACTIVE unbound"]);
    assert_eq!(activate(&mut world, "host-a"), 200);
    assert_eq!(world.bindings(), ["host-a ACTIVE ovs", "host-b INACTIVE unbound"]);
    world.fixture.restart();
    assert_eq!(world.bindings(), ["host-a ACTIVE ovs", "host-b INACTIVE unbound"]);

    // Moved in the old way to where it has been: that binding is the active one now.
    let path = format!("ports/{}", world.port);
    let moved = json!({ "port": { "binding:host_id": "host-b" } });
    assert_eq!(world.fixture.api.put(&path, moved).status, 200);
    assert_eq!(world.bindings(), ["host-b ACTIVE ovs"]);

    // Without the active one it runs nowhere.
    assert_eq!(world.fixture.api.delete(&world.path("/host-b")).status, 204);
    assert_eq!(world.bindings(), [" ACTIVE unbound"]);
    // And the bindings go with the port.
    world.bind_ahead();
    assert_eq!(world.fixture.api.delete(&path).status, 204);
    assert_eq!(world.fixture.api.get(&world.path("")).status, 404);
}

#[test]
fn a_binding_is_changed() {
    let mut world = World::new();
    world.fixture.agent("host-c").report(&["physnet1"]);
    world.bind_ahead();
    let change = |world: &mut World, host: &str, values: Value| {
        let path = world.path(&format!("/{host}"));
        let answer = world.fixture.api.put(&path, json!({ "binding": values }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["binding"].clone()
    };
    let changed = change(&mut world, "host-b", json!({ "profile": { "x": 1 } }));
    assert_eq!((&changed["profile"], &changed["status"]), (&json!({ "x": 1 }), &json!("INACTIVE")));
    let changed = change(&mut world, "host-b", json!({ "host": "host-c" }));
    assert_eq!((&changed["profile"], &changed["vif_type"]), (&json!({ "x": 1 }), &json!("ovs")));
    assert_eq!(world.bindings(), ["host-a ACTIVE ovs", "host-c INACTIVE ovs"]);

    let changed = change(&mut world, "host-a", json!({ "profile": { "y": 2 } }));
    assert_eq!(changed["status"], "ACTIVE");
    assert_eq!(world.shown()["binding:profile"], json!({ "y": 2 }));

    let names = |answer: support::Answer| answer.body["bindings"].as_array().unwrap().len();
    let list = |api: &mut Client, path: String| api.get(&path);
    let path = world.path("?status=INACTIVE&fields=host");
    let listed = list(&mut world.fixture.api, path);
    assert_eq!(listed.body, json!({ "bindings": [{ "host": "host-c" }] }));
    let path = world.path("?host=host-a&host=host-c");
    assert_eq!(names(list(&mut world.fixture.api, path)), 2);
}

#[test]
fn what_cannot_be_is_refused_as_neutron_does() {
    let mut world = World::new();
    world.fixture.agent("host-d").report(&["physnet2"]);
    world.bind_ahead();
    let binding = |host: &str| json!({ "binding": { "host": host } });
    for host in ["host-a", "host-b"] {
        let message = format!("Binding for port PORT on host {host} already exists.");
        world.refuses(("POST", "", binding(host)), 409, "PortBindingAlreadyExists", &message);
    }
    // No agent, and one that cannot carry the network.
    for host in ["host-x", "host-d"] {
        let message =
            format!("Binding for port PORT on host {host} could not be created or updated.");
        world.refuses(("POST", "", binding(host)), 500, "PortBindingError", &message);
        for old in ["host-a", "host-b"] {
            let request = ("PUT", format!("/{old}"), binding(host));
            world.refuses((request.0, &request.1, request.2), 500, "PortBindingError", &message);
        }
    }
    let message = "Binding for port PORT on host host-b already exists.";
    world.refuses(("PUT", "/host-a", binding("host-b")), 409, "PortBindingAlreadyExists", message);
    let message = "Binding for port PORT on host host-a is already active.";
    world.refuses(
        ("PUT", "/host-a/activate", Value::Null),
        409,
        "PortBindingAlreadyActive",
        message,
    );
    let message = "Binding for port PORT for host host-x could not be found.";
    for (method, below, body) in [
        ("PUT", "/host-x/activate", Value::Null),
        ("GET", "/host-x", Value::Null),
        ("PUT", "/host-x", json!({ "binding": {} })),
        ("DELETE", "/host-x", Value::Null),
    ] {
        world.refuses((method, below, body), 404, "PortBindingNotFound", message);
    }

    let bad = "HTTPBadRequest";
    for (values, message) in [
        (json!({}), "Failed to parse request. Required attribute 'host' not specified"),
        (json!({ "host": "" }), "Invalid input for host. Reason: '' is not a host."),
        (json!({ "host": 7 }), "Invalid input for host. Reason: '7' is not a valid string."),
        (json!({ "host": "host-x", "status": "ACTIVE" }), "Attribute 'status' not allowed in POST"),
        (
            json!({ "host": "host-x", "vnic_type": "wooden" }),
            "Invalid input for vnic_type. Reason: 'wooden' is not a kind of device.",
        ),
        (
            json!({ "host": "host-x", "profile": "x" }),
            "Invalid input for profile. Reason: 'x' is not a dictionary.",
        ),
        (json!({ "host": "host-x", "colour": 1 }), "Unrecognized attribute(s) 'colour'"),
    ] {
        world.refuses(("POST", "", json!({ "binding": values })), 400, bad, message);
    }
    let long = json!({ "binding": { "host": "host-x", "profile": { "x": "y".repeat(4096) } } });
    let message = "Invalid input for operation: binding:profile value too large.";
    world.refuses(("POST", "", long), 400, "InvalidInput", message);
    let read_only = json!({ "binding": { "vif_type": "ovs" } });
    let message = "Cannot update read-only attribute vif_type";
    world.refuses(("PUT", "/host-b", read_only), 400, bad, message);
    world.refuses(
        ("GET", "?colour=red", Value::Null),
        400,
        bad,
        "['colour'] is invalid attribute for filtering",
    );
}

#[test]
fn only_ports_of_machines_have_several_bindings() {
    let mut world = World::new();
    world.bind_ahead();
    let path = format!("ports/{}", world.port);
    let owner = |owner: &str| json!({ "port": { "device_owner": owner } });
    assert_eq!(world.fixture.api.put(&path, owner("network:dhcp")).status, 200);
    let message = format!(
        "Bad port request: Invalid port {}. Operation only valid on compute and shared filesystem \
         ports.",
        world.port
    );
    for (method, below, body) in [
        ("GET", "", ""),
        ("POST", "", r#"{"binding": {"host": "host-c"}}"#),
        ("GET", "/host-b", ""),
        ("PUT", "/host-b", r#"{"binding": {}}"#),
        ("PUT", "/host-b/activate", ""),
        ("DELETE", "/host-b", ""),
    ] {
        let answer = world.fixture.api.request(method, &world.path(below), body);
        let error = &answer.body["NeutronError"];
        assert_eq!(
            (answer.status, &error["type"], &error["message"]),
            (400, &json!("BadRequest"), &json!(message)),
            "{method} {below}"
        );
    }
    assert_eq!(world.fixture.api.put(&path, owner("manila:share")).status, 200);
    assert_eq!(world.bindings(), ["host-a ACTIVE ovs", "host-b INACTIVE ovs"]);
    let nowhere = "ports/00000000-0000-4000-8000-000000000000/bindings";
    let answer = world.fixture.api.get(nowhere);
    assert_eq!(
        (answer.status, &answer.body["NeutronError"]["type"]),
        (404, &json!("PortNotFound"))
    );
}

/// Over tunnels others reach the machine where it is, from the moment of its activation.
#[test]
fn what_leads_to_a_machine_over_tunnels_turns_with_it() {
    let (mut world, network) = World::with_tunnels();
    let other = world.fixture.port(
        &network,
        json!({
            "binding:host_id": "host-c", "device_owner": "compute:nova",
            "mac_address": "fa:16:3e:00:00:13", "fixed_ips": [{ "ip_address": "10.0.0.13" }],
        }),
    );
    let mut api = world.fixture.client();
    let [mut a, mut b, mut c] =
        ["a", "b", "c"].map(|host| world.fixture.agent(&format!("host-{host}")));
    let port = world.port.as_str();
    a.wire(&[port], &[], false);
    c.wire(&[&id(&other)], &[], false);
    world.bind_ahead();
    for agent in [&mut a, &mut b, &mut c] {
        agent.all();
    }
    let flood = json!(["00:00:00:00:00:00", "0.0.0.0"]);
    let own = json!(["fa:16:3e:00:00:11", "10.0.0.11"]);
    let fdb = |method: &str, ports: Value| {
        let network =
            json!({ &network: { "segment_id": 77, "network_type": "vxlan", "ports": ports } });
        json!({ method: { "fdb_entries": network } })
    };

    // The target's agent wires it, and can reach everybody before the machine comes.
    b.wire(&[port], &[], false);
    let table = fdb(
        "add_fdb_entries",
        json!({
            "192.0.2.1": [flood, own],
            "192.0.2.3": [flood, ["fa:16:3e:00:00:13", "10.0.0.13"]],
        }),
    );
    assert_eq!(b.heard_of_tunnels(), [table]);
    assert_eq!(c.heard_of_tunnels(), [Value::Null; 0]);

    assert_eq!(api.request("PUT", &world.path("/host-b/activate"), "").status, 200);
    let turn = [
        fdb("remove_fdb_entries", json!({ "192.0.2.1": [flood, own] })),
        fdb("add_fdb_entries", json!({ "192.0.2.2": [flood, own] })),
    ];
    assert_eq!(c.heard_of_tunnels(), turn);
    // What the agents report afterwards is nothing new.
    a.wire(&[], &[port], false);
    b.wire(&[port], &[], false);
    assert_eq!(api.delete(&world.path("/host-a")).status, 204);
    assert_eq!(c.heard_of_tunnels(), [Value::Null; 0]);
    b.wire(&[], &[port], false);
    assert_eq!(
        c.heard_of_tunnels(),
        [fdb("remove_fdb_entries", json!({ "192.0.2.2": [flood, own] }))]
    );
}

/// An agent that asks for all of a network is told, whichever of its ports it asks by.
#[test]
fn a_target_hears_all_of_the_network_when_it_asks() {
    let (mut world, network) = World::with_tunnels();
    let other = json!({ "binding:host_id": "host-b", "device_owner": "compute:nova" });
    let other = id(&world.fixture.port(&network, other));
    let [a, mut b] = ["a", "b"].map(|host| world.fixture.agent(&format!("host-{host}")));
    a.wire(&[&world.port], &[], false);
    b.wire(&[&other], &[], false);
    world.bind_ahead();
    b.all();
    b.wire(&[&world.port], &[], false);
    assert_eq!(b.heard_of_tunnels(), [Value::Null; 0], "it knows, by its other port");
    b.wire(&[&world.port], &[], true);
    let [heard] = &b.heard_of_tunnels()[..] else { panic!("one table") };
    let ports = &heard["add_fdb_entries"]["fdb_entries"][&network]["ports"];
    assert_eq!(ports["192.0.2.1"].as_array().unwrap().len(), 2, "{heard}");
}

/// A machine that is off is reached nowhere, until its new host reports it.
#[test]
fn what_is_down_is_not_announced_by_its_activation() {
    let (world, network) = World::with_tunnels();
    let mut api = world.fixture.client();
    let [b, mut c] = ["b", "c"].map(|host| world.fixture.agent(&format!("host-{host}")));
    world.bind_ahead();
    assert_eq!(api.request("PUT", &world.path("/host-b/activate"), "").status, 200);
    assert_eq!(c.heard_of_tunnels(), [Value::Null; 0]);
    b.wire(&[&world.port], &[], false);
    let heard = c.heard_of_tunnels();
    assert_eq!(heard.len(), 1);
    let ports = &heard[0]["add_fdb_entries"]["fdb_entries"][&network]["ports"];
    assert_eq!(ports["192.0.2.2"].as_array().unwrap().len(), 2);
}

/// A target whose agent says that it has lost the port takes back what its activation said.
#[test]
fn a_target_that_cannot_wire_is_reached_no_more() {
    let (world, _) = World::with_tunnels();
    let mut api = world.fixture.client();
    let [a, b, mut c] = ["a", "b", "c"].map(|host| world.fixture.agent(&format!("host-{host}")));
    a.wire(&[&world.port], &[], false);
    world.bind_ahead();
    assert_eq!(api.request("PUT", &world.path("/host-b/activate"), "").status, 200);
    c.all();
    b.wire(&[], &[&world.port], false);
    let [heard] = &c.heard_of_tunnels()[..] else { panic!("one removal") };
    assert!(heard.get("remove_fdb_entries").is_some(), "{heard}");
    assert_eq!(world.shown()["status"], "DOWN");
}
