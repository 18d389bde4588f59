//! The wire forms, in the shapes that Neutron 29.0.0 sends.

use serde_json::{Value, json};

use super::*;

const PORT: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e01";
const NETWORK: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e02";
const GROUP: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e03";

fn wrapped(name: &str, version: &str, data: Value) -> Value {
    json!({
        "versioned_object.name": name,
        "versioned_object.namespace": "versionedobjects",
        "versioned_object.version": version,
        "versioned_object.data": data,
    })
}

fn segment() -> Value {
    wrapped(
        "NetworkSegment",
        "1.0",
        json!({
            "id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e04", "network_id": NETWORK,
            "network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 151,
            "is_dynamic": false, "segment_index": 0, "hosts": [], "revision_number": 1,
            "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:06Z",
        }),
    )
}

fn port() -> Value {
    wrapped(
        "Port",
        "1.11",
        json!({
            "id": PORT, "project_id": "d6a1", "name": "web", "network_id": NETWORK,
            "mac_address": "fa:16:3e:00:00:01", "admin_state_up": true, "device_id": "vm",
            "device_owner": "compute:nova", "status": "ACTIVE",
            "allowed_address_pairs": [wrapped("AllowedAddressPair", "1.0", json!({
                "port_id": PORT, "mac_address": "fa:16:3e:00:00:02", "ip_address": "10.1.0.0/24",
            }))],
            "bindings": [wrapped("PortBinding", "1.0", json!({
                "port_id": PORT, "host": "node1", "profile": "{}", "vif_type": "ovs",
                "vif_details": "{\"bridge_name\":\"br-int\",\"port_filter\":true}",
                "vnic_type": "normal", "status": "ACTIVE",
            }))],
            "data_plane_status": null, "dhcp_options": [], "distributed_bindings": [],
            "dns": null,
            "fixed_ips": [wrapped("IPAllocation", "1.0", json!({
                "port_id": PORT, "subnet_id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e05",
                "network_id": NETWORK, "ip_address": "10.0.0.8",
            }))],
            "hints": null,
            "security": wrapped("PortSecurity", "1.0", json!({
                "id": PORT, "port_security_enabled": true,
            })),
            "security_group_ids": [GROUP], "pvlan_type": null, "pvlan_community": null,
            "qos_policy_id": null, "qos_network_policy_id": null,
            "binding_levels": [wrapped("PortBindingLevel", "1.1", json!({
                "port_id": PORT, "host": "node1", "level": 0, "driver": "openvswitch",
                "segment": segment(), "segment_id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e04",
            }))],
            "revision_number": 108, "description": "", "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:06Z",
        }),
    )
}

fn rule() -> Value {
    wrapped(
        "SecurityGroupRule",
        "1.3",
        json!({
            "id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e06", "project_id": "d6a1",
            "security_group_id": GROUP, "direction": "ingress", "ethertype": "IPv4",
            "protocol": "tcp", "port_range_min": 8000, "port_range_max": 8100,
            "remote_ip_prefix": "192.0.2.1/24", "normalized_cidr": "192.0.2.0/24",
            "belongs_to_default_sg": false, "revision_number": 0, "description": "",
            "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:06Z",
        }),
    )
}

/// One object of each type, with every field that Neutron sends.
fn recorded() -> Vec<Value> {
    vec![
        port(),
        wrapped(
            "Network",
            "1.3",
            json!({
                "id": NETWORK, "project_id": "d6a1", "name": "net", "status": "ACTIVE",
                "admin_state_up": true, "shared": false, "mtu": 1500,
                "security": wrapped("NetworkPortSecurity", "1.0", json!({
                    "id": NETWORK, "port_security_enabled": true,
                })),
                "segments": [segment()], "pvlan": null, "dns_domain": null,
                "qos_policy_id": null, "revision_number": 3, "description": "",
                "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:06Z",
            }),
        ),
        wrapped(
            "Subnet",
            "1.2",
            json!({
                "id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e05", "project_id": "d6a1", "name": "v4",
                "network_id": NETWORK, "ip_version": 4, "cidr": "10.0.0.0/24",
                "gateway_ip": "10.0.0.1",
                "allocation_pools": [wrapped("IPAllocationPool", "1.0", json!({
                    "id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e07",
                    "subnet_id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e05",
                    "start": "10.0.0.2", "end": "10.0.0.254",
                }))],
                "enable_dhcp": true, "shared": false, "dns_nameservers": [],
                "dns_publish_fixed_ip": false, "host_routes": [], "service_types": [],
                "external": false, "revision_number": 0, "description": "",
                "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:06Z",
            }),
        ),
        wrapped(
            "SecurityGroup",
            "1.6",
            json!({
                "id": GROUP, "name": "web", "project_id": "d6a1", "shared": false,
                "stateful": true, "is_default": false, "rules": [rule()], "revision_number": 1,
                "description": "first", "created_at": "2026-01-02T03:04:05Z",
                "updated_at": "2026-01-02T03:04:06Z",
            }),
        ),
        rule(),
        wrapped(
            "AddressGroup",
            "1.2",
            json!({
                "id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e08", "name": "office",
                "project_id": "d6a1", "shared": false,
                "addresses": [wrapped("AddressAssociation", "1.0", json!({
                    "address": "203.0.113.0/24",
                    "address_group_id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e08",
                }))],
                "revision_number": 4, "description": "", "created_at": "2026-01-02T03:04:05Z",
                "updated_at": "2026-01-02T03:04:06Z",
            }),
        ),
        qos_policy(),
        trunk(),
        subport(),
    ]
}

const TRUNK: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e0a";

fn trunk() -> Value {
    wrapped(
        "Trunk",
        "1.1",
        json!({
            "admin_state_up": true, "id": TRUNK, "project_id": "d6a1", "name": "trunk",
            "port_id": PORT, "status": "DOWN", "sub_ports": [subport()], "revision_number": 3,
            "description": "", "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:06Z",
        }),
    )
}

fn subport() -> Value {
    wrapped(
        "SubPort",
        "1.0",
        json!({
            "port_id": GROUP, "trunk_id": TRUNK, "segmentation_type": "vlan",
            "segmentation_id": 101,
        }),
    )
}

const POLICY: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e09";

/// With a rule of each type, and one of a type that nobody knows yet.
fn qos_policy() -> Value {
    let rule = |name, rest: Value| {
        let mut data = json!({ "id": PORT, "qos_policy_id": POLICY });
        data.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        wrapped(name, "1.5", data)
    };
    let rules = [
        rule(
            "QosBandwidthLimitRule",
            json!({ "max_kbps": 3000, "max_burst_kbps": 300, "direction": "ingress" }),
        ),
        rule("QosDscpMarkingRule", json!({ "dscp_mark": 26 })),
        rule("QosMinimumBandwidthRule", json!({ "min_kbps": 100, "direction": "egress" })),
        rule("QosMinimumPacketRateRule", json!({ "min_kpps": 1, "direction": "any" })),
        rule(
            "QosPacketRateLimitRule",
            json!({ "max_kpps": 2, "max_burst_kpps": 0, "direction": "egress" }),
        ),
        rule("QosColourRule", json!({ "colour": "red" })),
    ];
    wrapped(
        "QosPolicy",
        "1.10",
        json!({
            "id": POLICY, "project_id": "d6a1", "name": "gold", "shared": false, "rules": rules,
            "is_default": false, "revision_number": 2, "description": "",
            "created_at": "2026-01-02T03:04:05Z", "updated_at": "2026-01-02T03:04:06Z",
        }),
    )
}

#[test]
fn a_rule_of_a_policy_says_by_its_name_what_it_is() {
    let Object::QosPolicy(policy) = read(&qos_policy()) else { panic!("not a policy") };
    let [QosRule::BandwidthLimit(limit), QosRule::DscpMarking(mark), _, _, _, other] =
        policy.rules.as_slice()
    else {
        panic!("{:?}", policy.rules)
    };
    assert_eq!((limit.max_kbps, limit.direction.as_str()), (Some(3000), "ingress"));
    assert_eq!(mark.dscp_mark, 26);
    assert!(matches!(other, QosRule::Other(_)));
    let mut later = qos_policy();
    later["versioned_object.data"]["rules"][0]["versioned_object.version"] = json!("1.6");
    let refused = "QosBandwidthLimitRule has version 1.6, at most 1.5 is understood";
    assert_eq!(refusal(later), format!("QosPolicy {POLICY}: {refused}"));
    let nameless = wrapped("QosPolicy", "1.10", json!({ "id": POLICY, "rules": [{}] }));
    assert_eq!(refusal(nameless), format!("QosPolicy {POLICY}: a rule of a QosPolicy has no name"));
}

fn read(value: &Value) -> Object {
    serde_json::from_value(value.clone()).unwrap()
}

fn refusal(value: Value) -> String {
    serde_json::from_value::<Object>(value).unwrap_err().to_string()
}

#[test]
fn every_type_comes_back_as_it_was() {
    for (wire, resource) in recorded().iter().zip(ResourceType::ALL) {
        let object = read(wire);
        assert_eq!(object.resource(), resource);
        let data = &wire["versioned_object.data"];
        let id = if resource == ResourceType::SubPort { "port_id" } else { "id" };
        assert_eq!(data[id], object.id());
        assert_eq!(data["revision_number"].as_u64().unwrap_or(0), object.revision_number());
        assert_eq!(serde_json::to_value(&object).unwrap(), *wire);
    }
}

#[test]
fn resource_types_have_names_and_topics() {
    let topics = ResourceType::ALL.map(|resource| resource.topic(resource.version()));
    assert_eq!(
        topics,
        [
            "neutron-vo-Port-1.11",
            "neutron-vo-Network-1.3",
            "neutron-vo-Subnet-1.2",
            "neutron-vo-SecurityGroup-1.6",
            "neutron-vo-SecurityGroupRule-1.3",
            "neutron-vo-AddressGroup-1.2",
            "neutron-vo-QosPolicy-1.10",
            "neutron-vo-Trunk-1.1",
            "neutron-vo-SubPort-1.0",
        ]
    );
    for resource in ResourceType::ALL {
        assert_eq!(ResourceType::from_name(resource.name()), Some(resource));
    }
    assert_eq!(ResourceType::from_name("Router"), None);
}

#[test]
fn resource_types_have_the_versions_since_2024_1() {
    let versions = |resource: ResourceType| resource.versions().collect::<Vec<_>>();
    assert_eq!(versions(ResourceType::Port), ["1.9", "1.10", "1.11"]);
    assert_eq!(versions(ResourceType::Subnet), ["1.1", "1.2"]);
    assert_eq!(versions(ResourceType::SecurityGroup), ["1.6"]);
    for resource in ResourceType::ALL {
        assert_eq!(versions(resource).first().map(String::as_str), Some(resource.oldest()));
        assert_eq!(versions(resource).last().map(String::as_str), Some(resource.version()));
        assert!(versions(resource).iter().all(|version| resource.speaks(version)));
    }
    assert!(!ResourceType::Port.speaks("1.8") && !ResourceType::Port.speaks("1.12"));
}

#[test]
fn unknown_fields_survive() {
    let mut wire = port();
    wire["versioned_object.data"]["colour"] = json!({"red": [1, null]});
    let level = &mut wire["versioned_object.data"]["binding_levels"][0];
    level["versioned_object.data"]["segment"]["versioned_object.data"]["depth"] = json!(3);
    assert_eq!(serde_json::to_value(read(&wire)).unwrap(), wire);
}

#[test]
fn what_may_be_missing_may_be_missing() {
    let wire = wrapped(
        "Port",
        "1.11",
        json!({
            "id": PORT, "network_id": NETWORK, "mac_address": "fa:16:3e:00:00:01",
            "admin_state_up": true, "bindings": null, "security_group_ids": null,
        }),
    );
    let Object::Port(port) = read(&wire) else { panic!("not a port") };
    assert_eq!(port.bindings, []);
    assert_eq!(port.security, None);
    let sent = serde_json::to_value(Object::Port(port)).unwrap();
    let data = sent["versioned_object.data"].as_object().unwrap();
    assert_eq!(data["security"], Value::Null, "a computed field is sent as null");
    assert_eq!(data["dhcp_options"], json!([]), "Neutron's agent needs it");
    assert!(!data.contains_key("description"), "a column that is null is left out");
}

#[test]
fn dictionaries_are_text_and_may_be_objects() {
    let mut wire = port();
    let binding = &mut wire["versioned_object.data"]["bindings"][0]["versioned_object.data"];
    binding["profile"] = json!({"migrating_to": "node2"});
    binding["vif_details"] = Value::Null;
    let object = read(&wire);
    let Object::Port(port) = &object else { panic!("not a port") };
    assert_eq!(port.bindings[0].profile["migrating_to"], "node2");
    assert_eq!(port.bindings[0].vif_details, None);
    let sent = serde_json::to_value(&object).unwrap();
    let binding = &sent["versioned_object.data"]["bindings"][0]["versioned_object.data"];
    assert_eq!(binding["profile"], json!(r#"{"migrating_to":"node2"}"#));
    assert_eq!(binding["vif_details"], Value::Null);

    wire["versioned_object.data"]["bindings"][0]["versioned_object.data"]["profile"] =
        json!("{oops");
    assert!(refusal(wire).starts_with(&format!("Port {PORT}: key must be a string")));
}

#[test]
fn deleted_objects_are_ids() {
    let whole = |it: &ResourceType| matches!(it, ResourceType::Trunk | ResourceType::SubPort);
    for resource in ResourceType::ALL.into_iter().filter(|it| !whole(it)) {
        let object = Object::deleted(resource, PORT);
        let wire = object.to_deleted().unwrap();
        assert_eq!(wire["versioned_object.data"], json!({"id": PORT}));
        assert_eq!(wire["versioned_object.changes"], json!(["id"]));
        assert_eq!(Object::from_deleted(wire).unwrap(), object);
    }
    for wire in [trunk(), subport()] {
        let object = Object::from_deleted(wire.clone()).unwrap();
        assert_eq!((&object, object.to_deleted().unwrap()), (&read(&wire), wire));
    }
    // Neutron sends some computed fields too.
    let mut wire = wrapped("Port", "1.11", json!({"id": PORT, "security_group_ids": null}));
    wire["versioned_object.changes"] = json!(["security_group_ids", "id"]);
    let object = Object::from_deleted(wire).unwrap();
    assert_eq!(object, Object::deleted(ResourceType::Port, PORT));
}

#[test]
fn refusals_name_what_is_wrong() {
    let mut wire = port();
    wire["versioned_object.data"].as_object_mut().unwrap().remove("mac_address");
    assert_eq!(refusal(wire), format!("Port {PORT}: missing field `mac_address`"));

    let router = wrapped("Router", "1.1", json!({"id": PORT}));
    assert_eq!(refusal(router), "'Router' is not a known resource type");

    let later = wrapped("Port", "1.12", json!({"id": PORT}));
    assert_eq!(refusal(later), "Port has version 1.12, at most 1.11 is understood");

    let mut foreign = port();
    foreign["versioned_object.namespace"] = json!("nova");
    assert_eq!(refusal(foreign), "Port has the namespace 'nova', not 'versionedobjects'");

    let mut nested = port();
    nested["versioned_object.data"]["fixed_ips"] = json!([segment()]);
    assert!(refusal(nested).starts_with(&format!("Port {PORT}: ")));
    assert!(Object::from_deleted(json!({})).is_err());
    assert!(Object::from_deleted(wrapped("Port", "2.0", json!({"id": PORT}))).is_err());
}

#[test]
fn versions_cover_lower_minors() {
    for (known, asked, understood) in [
        ("1.11", "1.11", true),
        ("1.11", "1.9", true),
        ("1.11", "1.12", false),
        ("1.11", "2.0", false),
        ("2.0", "1.0", false),
        ("1.0", "1", false),
        ("1.0", "1.x", false),
        ("1.0", "", false),
    ] {
        assert_eq!(covers(known, asked), understood, "{known} {asked}");
    }
}
