//! The wire forms of calls and casts, and the way of a request through a transport with a wire.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::object::{Object, ResourceType};

const PORT: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e01";
const TRUNK: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e04";
const AGENT: &str = "ovs-agent-node1";
const FDB_TOPIC: &str = "q-agent-notifier-l2population-update";

fn message(method: &str, version: &str, args: Value) -> Message {
    serde_json::from_value(json!({"method": method, "version": version, "args": args})).unwrap()
}

/// What concerns trunks has a namespace.
fn in_trunk(method: &str, args: Value) -> Message {
    Message { namespace: Some("trunk".to_owned()), ..message(method, "1.0", args) }
}

/// What Neutron does not have, has Weir's.
fn in_weir(method: &str, args: Value) -> Message {
    Message { namespace: Some("weir".to_owned()), ..message(method, "1.0", args) }
}

/// Each call as Neutron's agent makes it, with its topic and a reply of Neutron's server.
fn recorded() -> Vec<(Message, &'static str, Value)> {
    let configurations = json!({
        "bridge_mappings": {"physnet1": "br-ex"}, "tunnel_types": ["vxlan"],
        "tunneling_ip": "192.0.2.7", "integration_bridge": "br-int", "datapath_type": "netdev",
        "ovs_capabilities": {"datapath_types": ["netdev"], "iface_types": ["tap", "vxlan"]},
        "ovs_hybrid_plug": false, "devices": 3, "extensions": ["qos"], "l2_population": true,
        "arp_responder_enabled": true, "enable_distributed_routing": false,
        "log_agent_heartbeats": false, "vhostuser_socket_dir": "/var/run/openvswitch",
        "resource_provider_inventory_defaults": {"allocation_ratio": 1.0, "reserved": 0},
        "baremetal_smartnic": false, "in_distributed_mode": false,
    });
    let state = json!({
        "agent_type": "Open vSwitch agent", "binary": "neutron-openvswitch-agent",
        "host": "node1", "topic": "N/A", "configurations": configurations,
        "start_flag": true, "resource_versions": {"Port": "1.11", "Network": "1.3"},
        "uuid": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e09",
    });
    let mut later = state.clone();
    later
        .as_object_mut()
        .unwrap()
        .retain(|key, _| key != "start_flag" && key != "resource_versions");
    let report = |state: Value| {
        let args = json!({"agent_state": {"agent_state": state}, "time": "2026-01-02T03:04:05.6"});
        message("report_state", "1.2", args)
    };
    vec![
        (message("has_alive_neutron_server", "1.2", json!({})), "q-reports-plugin", json!(true)),
        (report(state), "q-reports-plugin", json!("new")),
        (report(later.clone()), "q-reports-plugin", json!("revived")),
        (report(later), "q-reports-plugin", Value::Null),
        (
            message(
                "tunnel_sync",
                "1.4",
                json!({"tunnel_ip": "192.0.2.7", "tunnel_type": "vxlan", "host": "node1"}),
            ),
            "q-plugin",
            json!({"tunnels": [{"ip_address": "192.0.2.7", "udp_port": 4789, "host": "node1"}]}),
        ),
        (
            message(
                "bulk_pull",
                "1.1",
                json!({
                    "resource_type": "SecurityGroupRule", "version": "1.3",
                    "filter_kwargs": {"security_group_id": [PORT]},
                }),
            ),
            "q-plugin",
            json!([]),
        ),
        (
            message(
                "pull",
                "1.1",
                json!({"resource_type": "QosPolicy", "version": "1.10", "resource_id": PORT}),
            ),
            "q-plugin",
            Value::Null,
        ),
        (
            message(
                "get_network_details",
                "1.6",
                json!({"network": PORT, "agent_id": AGENT, "host": "node1"}),
            ),
            "q-plugin",
            json!({
                "id": PORT, "name": "net", "mtu": 1500, "router:external": false,
                "provider:network_type": "vxlan", "provider:physical_network": null,
                "provider:segmentation_id": 77,
            }),
        ),
        (
            message(
                "update_device_list",
                "1.9",
                json!({
                    "devices_up": [], "devices_down": [PORT], "agent_id": AGENT, "host": "node1",
                    "refresh_tunnels": false,
                }),
            ),
            "q-plugin",
            json!({
                "devices_up": [], "failed_devices_up": [],
                "devices_down": [{"device": PORT, "exists": true}], "failed_devices_down": [],
            }),
        ),
        (
            message(
                "update_device_down",
                "1.9",
                json!({"device": PORT, "agent_id": AGENT, "host": "node1"}),
            ),
            "q-plugin",
            json!({"device": PORT, "exists": true}),
        ),
        (
            in_trunk(
                "update_subport_bindings",
                json!({"subports": [{
                    "port_id": PORT, "trunk_id": TRUNK, "segmentation_type": "vlan",
                    "segmentation_id": 101,
                }]}),
            ),
            "trunk",
            json!({TRUNK: [{
                "id": PORT, "mac_address": "fa:16:3e:00:00:01", "binding:host_id": "node1",
                "device_owner": "trunk:subport",
            }]}),
        ),
        (
            in_trunk("update_trunk_status", json!({"trunk_id": TRUNK, "status": "ACTIVE"})),
            "trunk",
            Value::Null,
        ),
        (
            in_weir("get_firewall_driver", json!({"host": "node1"})),
            "q-plugin",
            json!("iptables_hybrid"),
        ),
    ]
}

/// Over the wire and back: what the agent's transport sends is what the server's transport got,
/// and the server's answer reaches the agent's wire unchanged.
#[tokio::test]
async fn every_call_and_reply_comes_back_as_it_was() {
    for (wire, topic, answer) in recorded() {
        let (request, reply) = Request::from_message(wire.clone()).unwrap();
        assert_eq!((request.topic(), request.method()), (topic, wire.method.as_str()));
        let (sent, responder) = request.into_message().unwrap();
        assert_eq!(sent, wire);
        responder.send(Ok(answer.clone()));
        assert_eq!(reply.await.unwrap(), answer, "{}", wire.method);
    }
}

#[tokio::test]
async fn a_failure_crosses_the_wire() {
    for (wire, ..) in recorded() {
        let (request, reply) = Request::from_message(wire).unwrap();
        let (_, responder) = request.into_message().unwrap();
        let failure = Failure::new("NetworkNotFound", "no such network");
        responder.send(Err(failure.clone()));
        assert_eq!(reply.await.unwrap_err(), failure);
    }
}

#[tokio::test]
async fn a_reply_of_the_wrong_shape_is_a_failure() {
    let (wire, ..) = recorded().remove(0);
    let (request, reply) = Request::from_message(wire).unwrap();
    request.into_message().unwrap().1.send(Ok(json!("yes")));
    let failure = reply.await.unwrap_err();
    assert_eq!(failure.class, "ValueError");
    assert!(failure.message.contains("expected a boolean"), "{}", failure.message);
}

#[tokio::test]
async fn a_request_that_is_dropped_is_a_failure() {
    let (wire, ..) = recorded().remove(0);
    let (request, reply) = Request::from_message(wire).unwrap();
    drop(request);
    assert_eq!(reply.await.unwrap_err().message, "the server dropped the request");
}

#[test]
fn calls_that_are_not_spoken_are_refused_as_neutron_does() {
    let failure = |message| {
        Failure::from(Request::from_message(message).map(|(request, _)| request).unwrap_err())
    };

    let unknown = failure(message("no_such_method", "1.0", json!({})));
    assert_eq!(unknown.to_string(), "NoSuchMethod: there is no method 'no_such_method'");

    let later = failure(message("bulk_pull", "1.2", json!({})));
    assert_eq!(
        later.to_string(),
        "UnsupportedVersion: method 'bulk_pull' is spoken in version 1.1, not 1.2"
    );

    let mut foreign = message("has_alive_neutron_server", "1.0", json!({}));
    foreign.namespace = Some("state".to_owned());
    assert_eq!(failure(foreign).class, "UnsupportedVersion");
    let args = json!({"trunk_id": TRUNK, "status": "ACTIVE"});
    let bare = failure(message("update_trunk_status", "1.0", args));
    assert_eq!(bare.class, "UnsupportedVersion");

    let missing = failure(message("update_device_down", "1.0", json!({"device": PORT})));
    assert_eq!(
        missing.to_string(),
        "TypeError: arguments of 'update_device_down' cannot be read: missing field `agent_id`"
    );

    let pull = |resource: &str, version: &str| {
        failure(message(
            "bulk_pull",
            "1.1",
            json!({"resource_type": resource, "version": version, "filter_kwargs": {}}),
        ))
        .message
    };
    assert!(pull("Router", "1.1").ends_with("resource_type 'Router' is not known"));
    for version in ["1.8", "1.12", "2.0", ""] {
        let refused = format!("Port is spoken in versions 1.9 to 1.11, not {version}");
        assert!(pull("Port", version).ends_with(&refused), "{version}");
    }
}

#[test]
fn what_may_be_missing_in_a_reply_may_be_missing() {
    let result: DeviceListResult = serde_json::from_value(json!({})).unwrap();
    assert_eq!(result, DeviceListResult::default());
    let details: Option<NetworkDetails> = serde_json::from_value(Value::Null).unwrap();
    assert_eq!(details, None);
    assert!(serde_json::from_value::<AgentStatus>(json!("dead")).is_err());
}

#[test]
fn every_cast_comes_back_as_it_was() {
    let wrapped = |data: Value| {
        json!({
            "versioned_object.name": "AddressGroup",
            "versioned_object.namespace": "versionedobjects",
            "versioned_object.version": "1.2",
            "versioned_object.data": data,
        })
    };
    let group = wrapped(json!({
        "id": PORT, "name": "office", "project_id": "d6a1", "shared": false, "addresses": [],
        "revision_number": 0, "description": "", "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
    }));
    let mut gone = wrapped(json!({"id": PORT}));
    gone["versioned_object.changes"] = json!(["id"]);
    let (port, moved) = (["fa:16:3e:ed:17:79", "10.20.0.97"], ["fa:16:3e:ed:17:79", "fd00::7b"]);
    let entries = json!({PORT: {
        "segment_id": 77, "network_type": "vxlan",
        "ports": {"192.0.2.7": [["00:00:00:00:00:00", "0.0.0.0"], port], "2001:db8::8": [moved]},
    }});
    let changes = json!({PORT: {
        "192.0.2.7": {"before": [port], "after": [moved]}, "192.0.2.8": {"after": [port]},
    }});
    let fdb =
        |method: &str, entries: Value| message(method, "1.0", json!({"fdb_entries": entries}));
    let tunnel = json!({"tunnel_ip": "192.0.2.7", "tunnel_type": "vxlan"});
    let push = |object: &Value, event: &str| {
        message("push", "1.1", json!({"resource_list": [object], "event_type": event}))
    };
    for (wire, topic) in [
        (push(&group, "created"), "neutron-vo-AddressGroup-1.2"),
        (push(&group, "updated"), "neutron-vo-AddressGroup-1.2"),
        (push(&gone, "deleted"), "neutron-vo-AddressGroup-1.2"),
        (message("tunnel_update", "1.0", tunnel.clone()), "q-agent-notifier-tunnel-update"),
        (message("tunnel_delete", "1.0", tunnel), "q-agent-notifier-tunnel-delete"),
        (fdb("add_fdb_entries", entries.clone()), FDB_TOPIC),
        (fdb("remove_fdb_entries", entries), FDB_TOPIC),
        (fdb("update_fdb_entries", json!({"chg_ip": changes})), FDB_TOPIC),
    ] {
        let cast = Cast::from_message(wire.clone()).unwrap();
        assert_eq!(cast.to_messages().unwrap(), [(topic.to_owned(), wire)]);
    }
    assert_eq!(Cast::Lagged.to_messages().unwrap(), []);
    let nothing = Cast::Push { event: EventType::Updated, objects: Vec::new() };
    assert_eq!(nothing.to_messages().unwrap(), []);
}

#[test]
fn objects_are_pushed_in_every_version_that_somebody_may_listen_to() {
    let objects = vec![Object::deleted(ResourceType::Port, PORT)];
    let push = Cast::Push { event: EventType::Deleted, objects };
    let messages = push.to_messages().unwrap();
    let versions: Vec<_> = messages
        .iter()
        .map(|(topic, message)| {
            let object = &message.args["resource_list"][0];
            (topic.as_str(), object["versioned_object.version"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        versions,
        [
            ("neutron-vo-Port-1.9", "1.9"),
            ("neutron-vo-Port-1.10", "1.10"),
            ("neutron-vo-Port-1.11", "1.11"),
        ]
    );
    for (_, message) in messages {
        assert_eq!(Cast::from_message(message).unwrap(), push);
    }
}

#[tokio::test]
async fn objects_are_answered_in_the_version_that_was_asked_for() {
    for version in ["1.1", "1.2", "1.3"] {
        let wire = message(
            "bulk_pull",
            "1.1",
            json!({"resource_type": "Network", "version": version, "filter_kwargs": {}}),
        );
        let (request, reply) = Request::from_message(wire).unwrap();
        let Request::BulkPull(_, responder) = request else { panic!("{request:?}") };
        responder.reply(vec![Object::deleted(ResourceType::Network, PORT)]);
        let answer = reply.await.unwrap();
        assert_eq!(answer[0]["versioned_object.version"], version);
        let objects: Vec<Object> = serde_json::from_value(answer).unwrap();
        assert_eq!(objects[0].id(), PORT);
    }
}

#[test]
fn casts_that_are_not_spoken_are_refused() {
    let refusal = |method: &str, version: &str, args: Value| {
        Failure::from(Cast::from_message(message(method, version, args)).unwrap_err()).to_string()
    };
    let push = |event: &str, list: Value| json!({"resource_list": list, "event_type": event});
    assert_eq!(
        refusal("port_update", "1.4", json!({})),
        "NoSuchMethod: there is no method 'port_update'"
    );
    assert!(refusal("push", "1.2", push("updated", json!([]))).starts_with("UnsupportedVersion"));
    assert!(refusal("push", "1.1", push("moved", json!([]))).contains("unknown variant `moved`"));
    assert!(refusal("push", "1.1", push("updated", json!([{}]))).starts_with("TypeError"));
    assert!(refusal("push", "1.1", push("deleted", json!([{}]))).starts_with("TypeError"));
}

#[test]
fn forwarding_entries_are_pairs_of_text_on_the_wire() {
    let add = |entries: Value| {
        Cast::from_message(message("add_fdb_entries", "1.0", json!({"fdb_entries": entries})))
    };
    let network =
        |ports: Value| json!({PORT: {"segment_id": 77, "network_type": "vxlan", "ports": ports}});
    let known = network(json!({"192.0.2.7": [["00:00:00:00:00:00", "0.0.0.0"]]}));
    let Ok(Cast::AddFdbEntries(known)) = add(known) else { panic!("a flood entry") };
    let flood = &known.fdb_entries[PORT].ports["192.0.2.7"];
    assert_eq!(flood, &[PortInfo::flood()]);
    assert!(flood[0].is_flood());
    assert!(!PortInfo::new("00:00:00:00:00:00", "10.0.0.1").is_flood());

    let three = network(json!({"192.0.2.7": [["fa:16:3e:ed:17:79", "10.0.0.1", "x"]]}));
    for wrong in [three, network(json!({"192.0.2.7": [["fa:16:3e:ed:17:79"]]})), json!([])] {
        assert!(matches!(add(wrong), Err(MessageError::Arguments { .. })));
    }
    // Neutron knows no other kind of update; one that comes is none that matters here.
    let other = json!({"fdb_entries": {"other": {}}});
    let other = Cast::from_message(message("update_fdb_entries", "1.0", other)).unwrap();
    assert_eq!(other, Cast::UpdateFdbEntries(FdbUpdate::default()));
}

#[test]
fn a_pull_asks_for_a_version_that_every_server_has() {
    let filter = BTreeMap::from([("id".to_owned(), vec![PORT.to_owned()])]);
    let call = BulkPull { resource: ResourceType::Port, filter };
    let args = serde_json::to_value(&call).unwrap();
    assert_eq!(args["version"], "1.9");
    assert_eq!(serde_json::from_value::<BulkPull>(args).unwrap(), call);
    let objects: Vec<Object> = serde_json::from_value(json!([])).unwrap();
    assert!(objects.is_empty());
}

#[test]
fn agents_have_neutrons_names() {
    assert_eq!(agent_id("node1"), AGENT);
}
