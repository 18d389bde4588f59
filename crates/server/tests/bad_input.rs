//! What cannot be is refused: Neutron's status and error type, a message that names the field, and
//! nothing stored.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use serde_json::{Value, json};
use support::{Fixture, extend, id};

/// What everything is refused against.
struct World {
    fixture: Fixture,
    network: String,
    subnet: String,
    port: Value,
    group: String,
}

impl World {
    /// A network with an IPv4 and an automatic IPv6 subnet, a group, and a port in it that has
    /// 10.0.0.2 and is bound to host-a.
    fn new() -> Self {
        let mut fixture = Fixture::new();
        fixture.agent("host-a").report(&["physnet1"]);
        let network = fixture.network(json!({}));
        let subnet = fixture.subnet(&network, json!({}));
        fixture.subnet(
            &network,
            json!({ "ip_version": 6, "cidr": "fd00::/64", "ipv6_address_mode": "slaac" }),
        );
        let group = fixture.make("security-groups", "security_group", json!({ "name": "g" }));
        let group = id(&group);
        let port = json!({
            "security_groups": [group], "binding:host_id": "host-a",
            "mac_address": "fa:16:3e:00:00:01",
        });
        let port = fixture.port(&network, port);
        Self { fixture, network, subnet, port, group }
    }

    /// Everything that is stored, but for the agent's clock.
    fn everything(&mut self) -> Vec<Value> {
        let paths = [
            "networks",
            "segments",
            "subnets",
            "ports",
            "security-groups",
            "security-group-rules",
            "default-security-group-rules",
            "address-groups",
            "weir/segments",
            "quotas",
        ];
        paths.into_iter().map(|path| self.fixture.api.get(path).body).collect()
    }

    /// The request is refused like this, and changes nothing.
    fn refuses(&mut self, request: (&str, &str, &str), status: u16, kind: &str, message: &str) {
        let before = self.everything();
        let (method, path, body) = request;
        let answer = self.fixture.api.request(method, path, body);
        let error = &answer.body["NeutronError"];
        let said = error["message"].as_str().unwrap_or_default();
        assert_eq!(
            (answer.status, error["type"].as_str().unwrap_or_default()),
            (status, kind),
            "{method} {path} {body}: {said}"
        );
        assert!(said.contains(message), "{method} {path} {body}: {said}");
        assert_eq!(error["detail"], "");
        assert_eq!(self.everything(), before, "{method} {path} {body} changed something");
    }

    fn refuses_post(&mut self, path: &str, body: Value, status: u16, kind: &str, message: &str) {
        self.refuses(("POST", path, &body.to_string()), status, kind, message);
    }

    fn refuses_put(&mut self, path: &str, body: Value, status: u16, kind: &str, message: &str) {
        self.refuses(("PUT", path, &body.to_string()), status, kind, message);
    }
}

#[test]
fn bodies_and_urls() {
    let mut world = World::new();
    for (method, path, body, status, kind, message) in [
        ("POST", "networks", "", 400, "HTTPBadRequest", "Resource body required"),
        ("POST", "networks", "{", 400, "HTTPBadRequest", "Body contains invalid data"),
        ("POST", "networks", "[]", 400, "HTTPBadRequest", "Body contains invalid data"),
        ("POST", "networks", "{}", 400, "HTTPBadRequest", "Unable to find 'network'"),
        ("POST", "networks", r#"{"network": 7}"#, 400, "HTTPBadRequest", "Object 'network'"),
        ("POST", "ports", r#"{"ports": []}"#, 400, "HTTPBadRequest", "Resources required"),
        ("GET", "nonsense", "", 404, "HTTPNotFound", "could not be found"),
        ("GET", "networks/%ff", "", 404, "HTTPNotFound", "could not be found"),
        ("GET", "/elsewhere", "", 404, "HTTPNotFound", "could not be found"),
        ("PATCH", "networks", "", 405, "HTTPMethodNotAllowed", "not allowed"),
        ("GET", "networks/x", "", 404, "NetworkNotFound", "Network x could not be found."),
        ("DELETE", "subnets/x", "", 404, "SubnetNotFound", "Subnet x could not be found."),
        ("DELETE", "ports/x", "", 404, "PortNotFound", "Port x could not be found."),
        ("DELETE", "security-groups/x", "", 404, "SecurityGroupNotFound", "x does not exist"),
        ("DELETE", "security-group-rules/x", "", 404, "SecurityGroupRuleNotFound", "rule x"),
        ("DELETE", "agents/x", "", 404, "AgentNotFound", "Agent x could not be found"),
        ("GET", "networks?colour=red", "", 400, "HTTPBadRequest", "'colour'"),
        ("GET", "networks?sort_key=colour", "", 400, "HTTPBadRequest", "colour"),
        ("GET", "networks?limit=many", "", 400, "BadRequest", "many"),
        ("GET", "extensions/router", "", 404, "HTTPNotFound", "Extension with alias router"),
        ("PUT", "quotas/p", r#"{"quota": {"router": 1}}"#, 400, "HTTPBadRequest", "router"),
        ("PUT", "quotas/p", r#"{"quota": {"port": -2}}"#, 400, "HTTPBadRequest", "port"),
        ("PUT", "networks/x/tags", r#"{"tags": 1}"#, 400, "HTTPBadRequest", "tags"),
    ] {
        world.refuses((method, path, body), status, kind, message);
    }
    let large = "x".repeat(2 << 20);
    assert_eq!(world.fixture.client().request("POST", "networks", &large).status, 413);
}

#[test]
fn networks() {
    let mut world = World::new();
    let path = format!("networks/{}", world.network);
    let provider = |kind: Value, physical: Value, id: Value| {
        json!({
            "provider:network_type": kind,
            "provider:physical_network": physical,
            "provider:segmentation_id": id,
        })
    };
    let vlan = |physical: &str, id: Value| provider("vlan".into(), physical.into(), id);
    for (network, status, kind, message) in [
        (json!({ "colour": 1 }), 400, "HTTPBadRequest", "Unrecognized attribute(s) 'colour'"),
        (json!({ "id": "x" }), 400, "HTTPBadRequest", "Attribute 'id' not allowed in POST"),
        (json!({ "status": "x" }), 400, "HTTPBadRequest", "'status' not allowed"),
        (json!({ "admin_state_up": "maybe" }), 400, "HTTPBadRequest", "admin_state_up"),
        (json!({ "name": "n".repeat(256) }), 400, "HTTPBadRequest", "name"),
        (json!({ "name": null }), 400, "HTTPBadRequest", "name"),
        (json!({ "mtu": 1501 }), 400, "InvalidInput", "Requested MTU is too big, maximum is 1500"),
        (json!({ "mtu": -1 }), 400, "HTTPBadRequest", "mtu"),
        (json!({ "mtu": 9_000_000_000_u64 }), 400, "HTTPBadRequest", "mtu"),
        (vlan("physnet1", json!(100)), 409, "VlanIdInUse", "VLAN 100 on physical network physnet1"),
        (vlan("physnet1", json!(0)), 400, "InvalidInput", "segmentation_id"),
        (vlan("physnet1", json!(4095)), 400, "InvalidInput", "segmentation_id"),
        (vlan("physnet1", json!("x")), 400, "HTTPBadRequest", "segmentation_id"),
        (vlan("nowhere", json!(7)), 400, "InvalidInput", "physical_network 'nowhere'"),
        (vlan("physnet2", json!(null)), 503, "NoNetworkAvailable", "available"),
        (
            json!({ "provider:network_type": "vlan", "provider:segmentation_id": 7 }),
            400,
            "InvalidInput",
            "segmentation_id requires physical_network",
        ),
        (json!({ "provider:segmentation_id": 7 }), 400, "InvalidInput", "network_type required"),
        (json!({ "provider:network_type": "token-ring" }), 400, "InvalidInput", "token-ring"),
        (json!({ "provider:network_type": "flat" }), 400, "InvalidInput", "physical_network"),
        (provider(json!("flat"), json!("physnet1"), json!(null)), 400, "InvalidInput", "physnet1"),
        (
            provider(json!("flat"), json!("physnet3"), json!(7)),
            400,
            "InvalidInput",
            "segmentation_id",
        ),
        (
            provider(json!("local"), json!("physnet3"), json!(null)),
            400,
            "InvalidInput",
            "physical_network",
        ),
    ] {
        // A member that is null says what is missing.
        let mut network = network;
        if network.get("provider:segmentation_id") == Some(&Value::Null) {
            network.as_object_mut().unwrap().remove("provider:segmentation_id");
        }
        world.refuses_post("networks", json!({ "network": network }), status, kind, message);
    }
    world.fixture.network(vlan("physnet1", json!(101)));
    let number = |id: Value| json!({ "provider:segmentation_id": id });
    for (network, status, kind, message) in [
        (json!({ "id": "x" }), 400, "HTTPBadRequest", "Cannot update read-only attribute id"),
        (json!({ "segments": [] }), 400, "HTTPBadRequest", "read-only attribute segments"),
        (json!({ "mtu": 1501 }), 400, "InvalidInput", "Requested MTU is too big, maximum is 1500"),
        (json!({ "mtu": 67 }), 409, "NetworkMTUSubnetConflict", "requires a minimum of 68"),
        (json!({ "mtu": 1279 }), 409, "NetworkMTUSubnetConflict", "requires a minimum of 1280"),
        (number(json!("x")), 400, "HTTPBadRequest", "segmentation_id"),
        (number(json!(4095)), 400, "InvalidInput", "segmentation_id out of range"),
        (number(json!(100)), 409, "VlanIdInUse", "The VLAN 100 on physical network physnet1"),
        (number(json!(101)), 409, "VlanIdInUse", "The VLAN 101 on physical network physnet1"),
        (
            json!({ "provider:network_type": "flat" }),
            400,
            "InvalidInput",
            "Plugin does not support updating the following provider network attributes: \
             provider:network_type, provider:physical_network",
        ),
        (
            json!({ "provider:physical_network": "physnet2" }),
            400,
            "InvalidInput",
            "does not support updating",
        ),
    ] {
        world.refuses_put(&path, json!({ "network": network }), status, kind, message);
    }
    let port = id(&world.port);
    world.refuses(("DELETE", &path, ""), 409, "NetworkInUse", &port);
}

#[test]
fn tunnels() {
    let mut world = World::new();
    let tunnel = |kind: &str, id: Value| json!({ "provider:network_type": kind, "provider:segmentation_id": id });
    world.fixture.network(tunnel("vxlan", json!(7)));
    // Each type has numbers of its own.
    let gre = world.fixture.network(tunnel("gre", json!(7)));
    let invalid = "InvalidInput";
    for (network, status, kind, message) in [
        (tunnel("vxlan", json!(7)), 409, "TunnelIdInUse", "The tunnel ID 7 is in use."),
        (tunnel("gre", json!(7)), 409, "TunnelIdInUse", "The tunnel ID 7 is in use."),
        (tunnel("vxlan", json!(0)), 400, invalid, "out of range (1 through 16777215)"),
        (tunnel("geneve", json!(16_777_216)), 400, invalid, "out of range (1 through 16777215)"),
        (tunnel("gre", json!(4_294_967_296_u64)), 400, invalid, "(1 through 4294967295)"),
        (tunnel("gre", json!(-1)), 400, invalid, "segmentation_id out of range"),
        (tunnel("local", json!(1)), 400, invalid, "segmentation_id prohibited for local"),
        (
            json!({ "provider:network_type": "vxlan", "provider:physical_network": "physnet1" }),
            400,
            invalid,
            "provider:physical_network specified for vxlan network",
        ),
        (
            json!({ "provider:network_type": "geneve" }),
            503,
            "NoNetworkAvailable",
            "No project network is available for allocation. \
             (no ranges are configured for geneve)",
        ),
        (
            json!({ "provider:network_type": "v".repeat(33) }),
            400,
            "HTTPBadRequest",
            "provider:network_type",
        ),
    ] {
        world.refuses_post("networks", json!({ "network": network }), status, kind, message);
    }
    let number = json!({ "network": { "provider:segmentation_id": 8 } });
    let path = format!("networks/{gre}");
    world.refuses_put(&path, number, 400, invalid, "Only VLAN type networks can be updated.");
}

#[test]
fn several_segments() {
    let mut world = World::new();
    let vlan = |id: u16| {
        json!({
            "provider:network_type": "vlan", "provider:physical_network": "physnet2",
            "provider:segmentation_id": id,
        })
    };
    let many = |segments: &[Value]| json!({ "segments": segments });
    let local = json!({ "provider:network_type": "local" });
    let (bad, invalid) = ("HTTPBadRequest", "InvalidInput");
    let duplicate = "SegmentsContainDuplicateEntry";
    let mut both = vlan(7);
    extend(&mut both, many(&[vlan(8)]));
    for (network, status, kind, message) in [
        (both, 400, "SegmentsSetInConjunctionWithProviders", "cannot both be set"),
        (json!({ "segments": "x" }), 400, bad, "segments"),
        (many(&[json!("x")]), 400, bad, "segments"),
        (many(&[json!({ "colour": 1 })]), 400, bad, "Unrecognized attribute(s) 'colour'"),
        (many(&[json!({})]), 400, invalid, "network_type required"),
        (many(&[vlan(7), vlan(7)]), 400, duplicate, "Duplicate segment entry in request."),
        (many(&[local.clone(), local]), 400, duplicate, "Duplicate segment entry in request."),
        // The first segment is free again when the second cannot be had.
        (many(&[vlan(7), vlan(4095)]), 400, invalid, "segmentation_id out of range"),
        (
            many(&[
                vlan(7),
                json!({ "provider:network_type": "vlan", "provider:physical_network": "physnet2" }),
            ]),
            503,
            "NoNetworkAvailable",
            "physical network physnet2 has no VLAN ranges",
        ),
    ] {
        world.refuses_post("networks", json!({ "network": network }), status, kind, message);
    }
    let network = world.fixture.network(many(&[vlan(7), vlan(8)]));
    let number = json!({ "network": { "provider:segmentation_id": 9 } });
    let path = format!("networks/{network}");
    world.refuses_put(&path, number, 400, invalid, "provider networks with a single segment");
}

#[test]
fn segments() {
    let mut world = World::new();
    let network = world.network.clone();
    let segment = |values: Value| {
        let mut segment = json!({ "network_id": network, "network_type": "vxlan" });
        extend(&mut segment, values);
        segment
    };
    let unknown = "5b9cd421-2a55-4a5b-9a36-6d2a2ba9b4e4";
    let (bad, invalid) = ("HTTPBadRequest", "InvalidInput");
    for (segment, status, kind, message) in [
        (json!({ "network_type": "local" }), 400, bad, "network_id"),
        (json!({ "network_id": network }), 400, bad, "network_type"),
        (segment(json!({ "network_id": unknown })), 404, "NetworkNotFound", unknown),
        (segment(json!({ "network_type": "token-ring" })), 400, invalid, "token-ring"),
        (segment(json!({ "physical_network": "physnet1" })), 400, invalid, "physical_network"),
        (segment(json!({ "physical_network": null })), 400, bad, "physical_network"),
        (segment(json!({ "segmentation_id": 0 })), 400, invalid, "segmentation_id"),
        (segment(json!({ "segmentation_id": "x" })), 400, bad, "segmentation_id"),
        (segment(json!({ "description": null })), 400, bad, "description"),
        (segment(json!({ "hosts": [] })), 400, bad, "hosts"),
        (segment(json!({})), 503, "NoNetworkAvailable", "no ranges are configured for vxlan"),
        (
            segment(json!({
                "network_type": "vlan", "physical_network": "physnet1", "segmentation_id": 100,
            })),
            409,
            "VlanIdInUse",
            "The VLAN 100",
        ),
        // The network has the MTU of a VLAN, which does not fit into a tunnel.
        (segment(json!({ "segmentation_id": 7 })), 400, invalid, "maximum is 1450"),
    ] {
        world.refuses_post("segments", json!({ "segment": segment }), status, kind, message);
    }
    let listed = world.fixture.api.get("segments").body;
    let id = id(&listed["segments"][0]);
    let path = format!("segments/{id}");
    world.refuses_put(
        &path,
        json!({ "segment": { "segmentation_id": 7 } }),
        400,
        bad,
        "Cannot update read-only attribute segmentation_id",
    );
    let used =
        format!("Segment '{id}' cannot be deleted: The segment is still bound with 1 port(s).");
    world.refuses(("DELETE", &path, ""), 409, "SegmentInUse", &used);
    for method in ["GET", "DELETE"] {
        let missing = "Segment x could not be found.";
        world.refuses((method, "segments/x", ""), 404, "SegmentNotFound", missing);
    }
}

#[test]
fn subnets() {
    let mut world = World::new();
    let network = world.network.clone();
    let four = |values: Value| {
        let mut subnet = json!({ "network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24" });
        extend(&mut subnet, values);
        subnet
    };
    let six = |values: Value| {
        let mut subnet = json!({ "network_id": network, "ip_version": 6, "cidr": "fd01::/64" });
        extend(&mut subnet, values);
        subnet
    };
    let pool = |start: &str, end: &str| json!({ "start": start, "end": end });
    let pools = |pools: &[Value]| four(json!({ "allocation_pools": pools }));
    let unknown = "5b9cd421-2a55-4a5b-9a36-6d2a2ba9b4e4";
    let invalid = "InvalidInput";
    let bad = "HTTPBadRequest";
    for (subnet, status, kind, message) in [
        (json!({ "cidr": "10.1.0.0/24", "ip_version": 4 }), 400, bad, "network_id"),
        (json!({ "network_id": network, "ip_version": 4 }), 400, bad, "cidr"),
        (four(json!({ "network_id": "x" })), 400, bad, "network_id"),
        (four(json!({ "network_id": unknown })), 404, "NetworkNotFound", unknown),
        (four(json!({ "cidr": "10.1.0.0" })), 400, bad, "cidr"),
        (four(json!({ "cidr": "10.1.0.0/33" })), 400, bad, "cidr"),
        (four(json!({ "cidr": "nonsense" })), 400, bad, "cidr"),
        (four(json!({ "cidr": "0.0.0.0/0" })), 400, invalid, "cidr"),
        (four(json!({ "cidr": "fd01::/64" })), 400, invalid, "cidr 'fd01::/64' does not match"),
        (four(json!({ "ip_version": 5 })), 400, bad, "ip_version"),
        (four(json!({ "cidr": "10.0.0.0/24" })), 400, invalid, "overlaps with another subnet"),
        (four(json!({ "cidr": "10.0.0.0/8" })), 400, invalid, "overlaps with another subnet"),
        (four(json!({ "cidr": "10.0.0.64/26" })), 400, invalid, "overlaps with another subnet"),
        (four(json!({ "cidr": "10.1.0.0/31" })), 400, invalid, "prefix length"),
        (four(json!({ "cidr": "224.0.0.0/24" })), 400, invalid, "Multicast"),
        (four(json!({ "cidr": "127.0.0.0/24" })), 400, invalid, "Loopback"),
        (four(json!({ "gateway_ip": "x" })), 400, bad, "gateway_ip"),
        (four(json!({ "gateway_ip": "fd01::1" })), 400, invalid, "gateway_ip"),
        (four(json!({ "gateway_ip": "10.1.0.0" })), 400, invalid, "gateway_ip"),
        (four(json!({ "gateway_ip": "10.1.0.255" })), 400, invalid, "gateway_ip"),
        (pools(&[pool("10.1.0.9", "10.1.0.8")]), 400, "InvalidAllocationPool", "allocation_pools"),
        (pools(&[pool("fd01::1", "fd01::2")]), 400, "InvalidAllocationPool", "allocation_pools"),
        (
            pools(&[pool("10.1.0.9", "10.2.0.8")]),
            400,
            "OutOfBoundsAllocationPool",
            "allocation_pools",
        ),
        (
            pools(&[pool("10.1.0.0", "10.1.0.8")]),
            400,
            "OutOfBoundsAllocationPool",
            "allocation_pools",
        ),
        (
            pools(&[pool("10.1.0.2", "10.1.0.8"), pool("10.1.0.8", "10.1.0.9")]),
            409,
            "OverlappingAllocationPools",
            "allocation_pools",
        ),
        (
            pools(&[pool("10.1.0.1", "10.1.0.8")]),
            409,
            "GatewayConflictWithAllocationPools",
            "10.1.0.1",
        ),
        (four(json!({ "allocation_pools": "x" })), 400, bad, "allocation_pools"),
        (four(json!({ "dns_nameservers": ["x"] })), 400, bad, "dns_nameservers"),
        (four(json!({ "dns_nameservers": ["9.9.9.9", "9.9.9.9"] })), 400, bad, "dns_nameservers"),
        (four(json!({ "dns_nameservers": ["fd01::1"] })), 400, invalid, "dns_nameservers"),
        (
            four(json!({ "dns_nameservers":
            ["9.9.9.1", "9.9.9.2", "9.9.9.3", "9.9.9.4", "9.9.9.5", "9.9.9.6"] })),
            400,
            "DNSNameServersExhausted",
            "dns_nameservers",
        ),
        (
            four(json!({ "host_routes": [{ "destination": "10.9.0.0/16" }] })),
            400,
            bad,
            "host_routes",
        ),
        (
            four(json!({ "host_routes": [{ "destination": "fd02::/64", "nexthop": "10.1.0.2" }] })),
            400,
            invalid,
            "host_routes",
        ),
        (four(json!({ "ipv6_ra_mode": "slaac" })), 400, invalid, "ipv6_ra_mode"),
        (six(json!({ "ipv6_address_mode": "x" })), 400, bad, "ipv6_address_mode"),
        (six(json!({ "ipv6_address_mode": "slaac", "cidr": "fd01::/72" })), 400, invalid, "/64"),
        (
            six(json!({ "ipv6_address_mode": "slaac", "ipv6_ra_mode": "dhcpv6-stateful" })),
            400,
            invalid,
            "ipv6_ra_mode",
        ),
        (
            six(json!({ "ipv6_address_mode": "slaac", "enable_dhcp": false })),
            400,
            invalid,
            "enable_dhcp",
        ),
        (six(json!({ "cidr": "::/64" })), 400, invalid, "'::' is not supported"),
        (four(json!({ "subnetpool_id": unknown })), 400, bad, "subnetpool_id"),
    ] {
        world.refuses_post("subnets", json!({ "subnet": subnet }), status, kind, message);
    }
    // What the network carries is too small for the subnet.
    let small = "NetworkMTUSubnetConflict";
    for (mtu, values, least) in [(67, four(json!({})), 68), (1279, six(json!({})), 1280)] {
        let narrow = world.fixture.network(json!({ "provider:network_type": "local", "mtu": mtu }));
        let mut subnet = values;
        extend(&mut subnet, json!({ "network_id": narrow }));
        let message = format!("MTU of {narrow} is not valid, subnet requires a minimum of {least}");
        world.refuses_post("subnets", json!({ "subnet": subnet }), 409, small, &message);
    }
    let path = format!("subnets/{}", world.subnet);
    for (subnet, status, kind, message) in [
        (json!({ "cidr": "10.9.0.0/24" }), 400, bad, "read-only attribute cidr"),
        (
            json!({ "gateway_ip": "10.0.0.9" }),
            409,
            "GatewayConflictWithAllocationPools",
            "10.0.0.9",
        ),
        (json!({ "gateway_ip": "fd00::1" }), 400, invalid, "gateway_ip"),
        (
            json!({ "allocation_pools": [pool("10.0.0.1", "10.0.0.9")] }),
            409,
            "GatewayConflictWithAllocationPools",
            "10.0.0.1",
        ),
    ] {
        world.refuses_put(&path, json!({ "subnet": subnet }), status, kind, message);
    }
    world.refuses(("DELETE", &path, ""), 409, "SubnetInUse", "IP allocation");
}

#[test]
fn ports() {
    let mut world = World::new();
    let network = world.network.clone();
    let subnet = world.subnet.clone();
    let port = |values: Value| {
        let mut port = json!({ "network_id": network });
        extend(&mut port, values);
        port
    };
    let ips = |ips: Value| port(json!({ "fixed_ips": [ips] }));
    let pairs = |pair: Value| port(json!({ "allowed_address_pairs": [pair] }));
    let unknown = "5b9cd421-2a55-4a5b-9a36-6d2a2ba9b4e4";
    let bad = "HTTPBadRequest";
    let pair = json!({ "ip_address": "10.0.0.0/24", "mac_address": "fa:16:3e:00:00:09" });
    for (port, status, kind, message) in [
        (json!({}), 400, bad, "network_id"),
        (port(json!({ "network_id": unknown })), 404, "NetworkNotFound", unknown),
        (port(json!({ "status": "ACTIVE" })), 400, bad, "status"),
        (port(json!({ "binding:vif_type": "ovs" })), 400, bad, "binding:vif_type"),
        (port(json!({ "mac_address": "x" })), 400, bad, "mac_address"),
        (port(json!({ "mac_address": "01:00:5e:00:00:01" })), 400, bad, "mac_address"),
        (port(json!({ "mac_address": "00:00:00:00:00:00" })), 400, bad, "mac_address"),
        (
            port(json!({ "mac_address": "FA:16:3E:00:00:01" })),
            409,
            "MacAddressInUse",
            "mac_address",
        ),
        (ips(json!({ "ip_address": "10.0.0.2" })), 409, "IpAddressAlreadyAllocated", "10.0.0.2"),
        (ips(json!({ "ip_address": "10.9.0.2" })), 400, "InvalidIpForNetwork", "10.9.0.2"),
        (ips(json!({ "ip_address": "10.0.0.0" })), 400, "InvalidIpForNetwork", "10.0.0.0"),
        (ips(json!({ "ip_address": "10.0.0.255" })), 400, "InvalidIpForNetwork", "10.0.0.255"),
        (
            ips(json!({ "ip_address": "10.9.0.2", "subnet_id": subnet })),
            400,
            "InvalidIpForSubnet",
            "fixed_ips",
        ),
        (
            ips(json!({ "ip_address": "fd00::9" })),
            400,
            "AllocationOnAutoAddressSubnet",
            "fixed_ips",
        ),
        (ips(json!({ "ip_address": "x" })), 400, bad, "fixed_ips"),
        (ips(json!({ "subnet_id": unknown })), 400, "InvalidInput", "fixed_ips"),
        (ips(json!({})), 400, "InvalidInput", "fixed_ips"),
        (ips(json!({ "colour": 1 })), 400, bad, "fixed_ips"),
        (port(json!({ "fixed_ips": "x" })), 400, bad, "fixed_ips"),
        (
            port(json!({ "fixed_ips": [{ "ip_address": "10.0.0.9" }, { "ip_address": "10.0.0.9",
            "subnet_id": subnet }] })),
            400,
            bad,
            "fixed_ips",
        ),
        (port(json!({ "security_groups": [unknown] })), 404, "SecurityGroupNotFound", unknown),
        (port(json!({ "security_groups": ["x"] })), 400, bad, "security_groups"),
        (
            port(json!({ "security_groups": [world.group], "port_security_enabled": false })),
            400,
            "PortSecurityAndIPRequiredForSecurityGroups",
            "port_security_enabled",
        ),
        (
            port(json!({ "allowed_address_pairs": [pair], "port_security_enabled": false })),
            409,
            "AddressPairAndPortSecurityRequired",
            "allowed_address_pairs",
        ),
        (
            port(json!({ "allowed_address_pairs": [pair, pair] })),
            400,
            "DuplicateAddressPairInRequest",
            "allowed_address_pairs",
        ),
        (
            port(json!({ "mac_address": "fa:16:3e:00:00:09",
            "allowed_address_pairs": [pair, { "ip_address": "10.0.0.0/24" }] })),
            400,
            "DuplicateAddressPairInRequest",
            "allowed_address_pairs",
        ),
        (
            port(json!({ "allowed_address_pairs": [{ "ip_address": "x" }] })),
            400,
            bad,
            "allowed_address_pairs",
        ),
        (
            port(json!({ "allowed_address_pairs": [{ "mac_address": "fa:16:3e:00:00:09" }] })),
            400,
            "AllowedAddressPairsMissingIP",
            "allowed_address_pairs",
        ),
        (pairs(json!({ "ip_address": "10.0.0.0/33" })), 400, bad, "not a valid IP subnet"),
        (pairs(json!({ "ip_address": "224.0.0.1" })), 400, bad, "multicast range"),
        (pairs(json!({ "ip_address": "10.0.0.9", "x": 1 })), 400, bad, "allowed_address_pairs"),
        (pairs(json!("10.0.0.9")), 400, bad, "not a dictionary"),
        (
            pairs(json!({ "ip_address": "10.0.0.9", "mac_address": "01:00:5e:00:00:01" })),
            400,
            bad,
            "allowed_address_pairs",
        ),
        (port(json!({ "allowed_address_pairs": "x" })), 400, bad, "not a list"),
        (
            port(json!({ "allowed_address_pairs":
            (1..12).map(|n| json!({ "ip_address": format!("10.0.0.{n}") })).collect::<Vec<_>>() })),
            400,
            "AllowedAddressPairExhausted",
            "allowed_address_pairs",
        ),
        (port(json!({ "binding:profile": 7 })), 400, bad, "binding:profile"),
        (port(json!({ "binding:vnic_type": "x" })), 400, bad, "binding:vnic_type"),
        (port(json!({ "device_id": 7 })), 400, bad, "device_id"),
    ] {
        world.refuses_post("ports", json!({ "port": port }), status, kind, message);
    }
    let path = format!("ports/{}", id(&world.port));
    let stateless = json!({ "name": "fast", "stateful": false });
    let stateless = id(&world.fixture.make("security-groups", "security_group", stateless));
    for (port, status, kind, message) in [
        (json!({ "network_id": unknown }), 400, bad, "read-only attribute network_id"),
        (json!({ "mac_address": "fa:16:3e:00:00:02" }), 409, "PortBound", "fa:16:3e:00:00:02"),
        (
            json!({ "port_security_enabled": false }),
            409,
            "PortSecurityPortHasSecurityGroup",
            "port_security_enabled",
        ),
        (
            json!({ "fixed_ips": [{ "ip_address": "10.9.0.1" }] }),
            400,
            "InvalidIpForNetwork",
            "fixed_ips",
        ),
        (json!({ "security_groups": [unknown] }), 404, "SecurityGroupNotFound", unknown),
        (
            json!({ "port_security_enabled": false, "security_groups": [world.group] }),
            400,
            "PortSecurityAndIPRequiredForSecurityGroups",
            "port_security_enabled",
        ),
        (
            json!({ "port_security_enabled": false, "security_groups": [],
            "allowed_address_pairs": [pair] }),
            409,
            "AddressPairAndPortSecurityRequired",
            "allowed_address_pairs",
        ),
        (
            json!({ "security_groups": [world.group, stateless] }),
            409,
            "SecurityGroupConflict",
            "both stateful and stateless",
        ),
    ] {
        world.refuses_put(&path, json!({ "port": port }), status, kind, message);
    }
    // Pairs that the port has count as those that are asked for.
    let open = json!({ "port": { "security_groups": [], "allowed_address_pairs": [pair] } });
    assert_eq!(world.fixture.api.put(&path, open).status, 200);
    let off = json!({ "port": { "port_security_enabled": false } });
    let kind = "AddressPairAndPortSecurityRequired";
    world.refuses_put(&path, off, 409, kind, "allowed_address_pairs");
}

#[test]
fn security_groups() {
    let mut world = World::new();
    let unknown = "5b9cd421-2a55-4a5b-9a36-6d2a2ba9b4e4";
    let bad = "HTTPBadRequest";
    for (group, status, kind, message) in [
        (json!({ "name": "Default" }), 409, "SecurityGroupDefaultAlreadyExists", "name"),
        (json!({ "name": 7 }), 400, bad, "name"),
        (json!({ "stateful": "x" }), 400, bad, "stateful"),
        (json!({ "security_group_rules": [] }), 400, bad, "security_group_rules"),
    ] {
        let body = json!({ "security_group": group });
        world.refuses_post("security-groups", body, status, kind, message);
    }
    let path = format!("security-groups/{}", world.group);
    world.refuses(("DELETE", &path, ""), 409, "SecurityGroupInUse", &world.group.clone());
    let stateless = json!({ "security_group": { "stateful": false } });
    world.refuses_put(&path, stateless, 409, "SecurityGroupInUse", "in use");
    let groups = world.fixture.api.get("security-groups?name=default").body;
    let default = format!("security-groups/{}", id(&groups["security_groups"][0]));
    let kind = "SecurityGroupCannotRemoveDefault";
    world.refuses(("DELETE", &default, ""), 409, kind, "default security group");
    let renamed = json!({ "security_group": { "name": "x" } });
    world.refuses_put(&default, renamed, 409, "SecurityGroupCannotUpdateDefault", "default");

    let group = world.group.clone();
    let rule = |values: Value| {
        let mut rule = json!({ "security_group_id": group, "direction": "ingress" });
        extend(&mut rule, values);
        rule
    };
    let ports = |protocol: &str, low: Value, high: Value| {
        rule(json!({ "protocol": protocol, "port_range_min": low, "port_range_max": high }))
    };
    for (rule, status, kind, message) in [
        (json!({ "direction": "ingress" }), 400, bad, "security_group_id"),
        (json!({ "security_group_id": group }), 400, bad, "direction"),
        (rule(json!({ "security_group_id": unknown })), 404, "SecurityGroupNotFound", unknown),
        (rule(json!({ "direction": "up" })), 400, bad, "direction"),
        (rule(json!({ "ethertype": "IPX" })), 400, "SecurityGroupRuleInvalidEtherType", "IPX"),
        (rule(json!({ "protocol": "x" })), 400, "SecurityGroupRuleInvalidProtocol", "protocol x"),
        (rule(json!({ "protocol": 256 })), 400, "SecurityGroupRuleInvalidProtocol", "256"),
        (
            ports("tcp", json!(2), json!(1)),
            400,
            "SecurityGroupInvalidPortRange",
            "port_range_min must be <= port_range_max",
        ),
        (
            ports("udp", json!(2), json!(null)),
            400,
            "SecurityGroupInvalidPortRange",
            "port_range_max",
        ),
        (
            ports("tcp", json!(1), json!(65536)),
            400,
            "SecurityGroupInvalidPortValue",
            "port_range_max",
        ),
        (ports("tcp", json!(-1), json!(5)), 400, "SecurityGroupInvalidPortValue", "port_range_min"),
        (ports("tcp", json!(0), json!(5)), 400, "SecurityGroupInvalidPortValue", "port_range_min"),
        (
            ports("tcp", json!("x"), json!(5)),
            400,
            "SecurityGroupInvalidPortValue",
            "port_range_min",
        ),
        (ports("gre", json!(1), json!(5)), 400, "SecurityGroupInvalidProtocolForPort", "gre"),
        (
            rule(json!({ "port_range_min": 1, "port_range_max": 5 })),
            400,
            "SecurityGroupProtocolRequiredWithPorts",
            "protocol",
        ),
        (
            ports("icmp", json!(256), json!(null)),
            400,
            "SecurityGroupInvalidIcmpValue",
            "port_range_min",
        ),
        (
            ports("icmp", json!(8), json!(256)),
            400,
            "SecurityGroupInvalidIcmpValue",
            "port_range_max",
        ),
        (
            ports("icmp", json!(null), json!(0)),
            400,
            "SecurityGroupMissingIcmpType",
            "port-range-min",
        ),
        (
            rule(json!({ "protocol": "ipv6-icmp" })),
            400,
            "SecurityGroupEthertypeConflictWithProtocol",
            "ethertype IPv4",
        ),
        (rule(json!({ "remote_ip_prefix": "x" })), 400, "InvalidCIDR", "remote_ip_prefix"),
        (
            rule(json!({ "remote_ip_prefix": "10.0.0.0/33" })),
            400,
            "InvalidCIDR",
            "remote_ip_prefix",
        ),
        (
            rule(json!({ "remote_ip_prefix": "fd00::/8" })),
            400,
            "SecurityGroupRuleParameterConflict",
            "remote_ip_prefix",
        ),
        (
            rule(json!({ "ethertype": "IPv6", "remote_ip_prefix": "10.0.0.0/8" })),
            400,
            "SecurityGroupRuleParameterConflict",
            "remote_ip_prefix",
        ),
        (
            rule(json!({ "remote_ip_prefix": "10.0.0.0/8", "remote_group_id": group })),
            400,
            "SecurityGroupMultipleRemoteEntites",
            "remote_group_id",
        ),
        (rule(json!({ "remote_group_id": unknown })), 404, "SecurityGroupNotFound", unknown),
        (rule(json!({ "remote_group_id": "x" })), 400, bad, "remote_group_id"),
        (rule(json!({ "remote_address_group_id": unknown })), 404, "AddressGroupNotFound", unknown),
        (rule(json!({ "direction": "egress" })), 409, "SecurityGroupRuleExists", "already exists"),
        (
            rule(json!({ "direction": "egress", "remote_ip_prefix": "0.0.0.0/0" })),
            409,
            "SecurityGroupRuleExists",
            "already exists",
        ),
    ] {
        let body = json!({ "security_group_rule": rule });
        world.refuses_post("security-group-rules", body, status, kind, message);
    }
    let twice = json!({ "security_group_rules": [rule(json!({})), rule(json!({}))] });
    world.refuses_post("security-group-rules", twice, 409, "SecurityGroupRuleExists", "Rule id");
    let egress = format!("security-group-rules?security_group_id={group}&fields=id");
    let rules = world.fixture.api.get(&egress).body;
    let path = format!("security-group-rules/{}", id(&rules["security_group_rules"][0]));
    let protocol = json!({ "security_group_rule": { "protocol": "tcp" } });
    world.refuses_put(&path, protocol, 400, bad, "read-only attribute protocol");
}

#[test]
fn address_groups() {
    let mut world = World::new();
    let bad = "HTTPBadRequest";
    for (group, message) in [
        (json!({ "name": 7 }), "name"),
        (json!({ "id": "x" }), "'id' not allowed"),
        (json!({ "addresses": "10.0.0.0/8" }), "not a list"),
        (json!({ "addresses": ["10.0.0.1"] }), "'10.0.0.1' is not a valid IP subnet"),
        (json!({ "addresses": ["10.0.0.0/33"] }), "addresses"),
        (json!({ "addresses": [7] }), "addresses"),
        (json!({ "addresses": ["10.0.0.0/8", "10.0.0.0/8"] }), "Duplicate items in the list"),
    ] {
        let body = json!({ "address_group": group });
        world.refuses_post("address-groups", body, 400, bad, message);
    }
    let wanted = json!({ "addresses": ["10.0.0.0/8", "10.1.0.0/16"] });
    let made = id(&world.fixture.make("address-groups", "address_group", wanted));
    let path = format!("address-groups/{made}");
    let addresses = json!({ "address_group": { "addresses": [] } });
    world.refuses_put(&path, addresses, 400, bad, "read-only attribute addresses");
    let (add, remove) = (format!("{path}/add_addresses"), format!("{path}/remove_addresses"));
    let exist = "AddressesAlreadyExist";
    for (path, body, status, kind, message) in [
        (&add, json!({}), 400, bad, "'addresses' not specified"),
        (&add, json!({ "addresses": 7 }), 400, bad, "not a list"),
        (&add, json!({ "addresses": ["123456"] }), 400, bad, "'123456'"),
        (&add, json!({ "addresses": ["11.0.0.0/8", "10.0.0.9/8"] }), 400, exist, "['10.0.0.0/8']"),
        (&remove, json!({ "addresses": [null] }), 400, bad, "addresses"),
        (
            &remove,
            json!({ "addresses": ["10.0.0.0/8", "11.0.0.0/8"] }),
            404,
            "AddressesNotFound",
            "['11.0.0.0/8']",
        ),
        (
            &"address-groups/x/add_addresses".to_owned(),
            json!({ "addresses": [] }),
            404,
            "AddressGroupNotFound",
            "Address group x could not be found.",
        ),
    ] {
        world.refuses_put(path, body, status, kind, message);
    }
    world.refuses(("DELETE", "address-groups/x", ""), 404, "AddressGroupNotFound", "group x");

    let rule = json!({ "security_group_id": world.group, "direction": "ingress",
        "remote_address_group_id": made });
    let rule = world.fixture.make("security-group-rules", "security_group_rule", rule);
    world.refuses(("DELETE", &path, ""), 409, "AddressGroupInUse", &made);
    let rule = format!("security-group-rules/{}", id(&rule));
    assert_eq!(world.fixture.api.delete(&rule).status, 204);
    let rule = json!({ "direction": "ingress", "remote_address_group_id": made });
    world.fixture.make("default-security-group-rules", "default_security_group_rule", rule);
    world.refuses(("DELETE", &path, ""), 409, "AddressGroupInUse", &made);
}

#[test]
fn default_security_group_rules() {
    let mut world = World::new();
    let unknown = "5b9cd421-2a55-4a5b-9a36-6d2a2ba9b4e4";
    let bad = "HTTPBadRequest";
    let exists = "DefaultSecurityGroupRuleExists";
    let path = "default-security-group-rules";
    for (rule, status, kind, message) in [
        (json!({}), 400, bad, "direction"),
        (json!({ "direction": "up" }), 400, bad, "direction"),
        (json!({ "direction": "egress", "security_group_id": unknown }), 400, bad, "Unrecognized"),
        (json!({ "direction": "egress", "used_in_default_sg": "x" }), 400, bad, "used_in_default"),
        (json!({ "direction": "ingress", "remote_group_id": "x" }), 400, bad, "remote_group_id"),
        (
            json!({ "direction": "ingress", "remote_group_id": unknown }),
            404,
            "SecurityGroupNotFound",
            unknown,
        ),
        (
            json!({ "direction": "ingress", "remote_address_group_id": unknown }),
            404,
            "AddressGroupNotFound",
            unknown,
        ),
        (
            json!({ "direction": "ingress", "port_range_min": 1, "port_range_max": 2 }),
            400,
            "SecurityGroupProtocolRequiredWithPorts",
            "protocol",
        ),
        (
            json!({ "direction": "ingress", "remote_ip_prefix": "fd00::/8" }),
            400,
            "SecurityGroupRuleParameterConflict",
            "remote_ip_prefix",
        ),
        (
            json!({ "direction": "ingress", "remote_ip_prefix": "10.0.0.0/8",
            "remote_group_id": "PARENT" }),
            400,
            "SecurityGroupMultipleRemoteEntites",
            "remote_group_id",
        ),
        (json!({ "direction": "egress" }), 409, exists, "Rule id is"),
        (
            json!({ "direction": "ingress", "remote_group_id": "PARENT",
            "used_in_default_sg": true }),
            409,
            exists,
            "Rule id is",
        ),
    ] {
        let body = json!({ "default_security_group_rule": rule });
        world.refuses_post(path, body, status, kind, message);
    }
    let kind = "DefaultSecurityGroupRuleNotFound";
    let one = format!("{path}/{unknown}");
    world.refuses(("DELETE", &one, ""), 404, kind, unknown);
    let changed = json!({ "default_security_group_rule": { "description": "x" } });
    world.refuses_put(&one, changed, 400, bad, "read-only attribute description");
    let nothing = json!({ "default_security_group_rule": {} });
    world.refuses_put(&one, nothing, 405, "HTTPMethodNotAllowed", "not allowed");
}

#[test]
fn a_store_that_cannot_be_written() {
    let mut world = World::new();
    let before = world.everything();
    // Another writer holds the store longer than anyone waits.
    world.fixture.hold_store(|api| {
        let answer = api.post("networks", json!({ "network": {} }));
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.body["NeutronError"]["type"], "HTTPServiceUnavailable");
    });
    assert_eq!(world.everything(), before);
    world.fixture.network(json!({}));
}

#[test]
fn a_store_that_gives_a_change_up() {
    let mut world = World::new();
    world.fixture.refuse_in_store("cursed");
    let before = world.everything();
    let two = json!({ "networks": [{ "name": "blessed" }, { "name": "cursed" }] });
    let answer = world.fixture.api.post("networks", two);
    assert_eq!((answer.status, world.everything()), (500, before));
    world.fixture.network(json!({ "name": "blessed" }));
}
