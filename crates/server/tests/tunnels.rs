//! What agents are told of tunnel ends, and of what is behind them (`l2population`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use neutron::bus::CallError;
use neutron::rpc::{AgentStatus, Failure, TunnelSync};
use serde_json::{Value, json};
use server::IpVersion;
use support::{FakeAgent, Fixture, id};

const FLOOD: [&str; 2] = ["00:00:00:00:00:00", "0.0.0.0"];

fn sync(agent: &FakeAgent<'_>, tunnel_ip: &str, tunnel_type: &str) -> Vec<String> {
    let (tunnel_ip, tunnel_type) = (tunnel_ip.to_owned(), tunnel_type.to_owned());
    let ends = agent.call(TunnelSync { tunnel_ip, tunnel_type, host: agent.host.clone() }).tunnels;
    let end = |end: &neutron::rpc::TunnelEnd| {
        let port = end.udp_port.map_or(String::new(), |port| format!(" {port}"));
        format!("{} {}{port}", end.host, end.ip_address)
    };
    ends.iter().map(end).collect()
}

fn tunnel(method: &str, tunnel_ip: &str, tunnel_type: &str) -> Value {
    json!({ method: { "tunnel_ip": tunnel_ip, "tunnel_type": tunnel_type } })
}

#[test]
fn every_agent_learns_the_tunnel_ends_of_all() {
    let fixture = Fixture::new();
    let [mut a, mut b] = ["host-a", "host-b"].map(|host| fixture.agent(host));
    assert_eq!(sync(&a, "192.0.2.1", "vxlan"), ["host-a 192.0.2.1 4789"]);
    assert_eq!(sync(&b, "192.0.2.2", "vxlan"), ["host-a 192.0.2.1 4789", "host-b 192.0.2.2 4789"]);
    // Each type has its own; only VXLAN's have a port.
    assert_eq!(sync(&b, "192.0.2.3", "geneve"), ["host-b 192.0.2.3"]);
    assert_eq!(sync(&b, "192.0.2.2", "gre"), ["host-b 192.0.2.2"]);
    let told = [
        tunnel("tunnel_update", "192.0.2.1", "vxlan"),
        tunnel("tunnel_update", "192.0.2.2", "vxlan"),
        tunnel("tunnel_update", "192.0.2.3", "geneve"),
        tunnel("tunnel_update", "192.0.2.2", "gre"),
    ];
    assert_eq!(a.heard_of_tunnels(), told);
    assert_eq!(b.heard_of_tunnels(), told);

    // Nothing new, nothing told.
    sync(&a, "192.0.2.1", "vxlan");
    assert_eq!(b.heard_of_tunnels(), [Value::Null; 0]);

    // Another address: the old one has gone.
    assert_eq!(sync(&a, "192.0.2.9", "vxlan"), ["host-b 192.0.2.2 4789", "host-a 192.0.2.9 4789"]);
    assert_eq!(
        b.heard_of_tunnels(),
        [
            tunnel("tunnel_delete", "192.0.2.1", "vxlan"),
            tunnel("tunnel_update", "192.0.2.9", "vxlan"),
        ]
    );
}

#[test]
fn an_address_goes_to_the_host_that_came_last() {
    let mut fixture = Fixture::new();
    {
        let [a, b] = ["host-a", "host-b"].map(|host| fixture.agent(host));
        sync(&a, "192.0.2.1", "vxlan");
        sync(&b, "192.0.2.2", "vxlan");
    }
    fixture.restart();
    let [mut other, b] = ["host-c", "host-b"].map(|host| fixture.agent(host));
    assert_eq!(sync(&b, "192.0.2.1", "vxlan"), ["host-b 192.0.2.1 4789"]);
    assert_eq!(
        other.heard_of_tunnels(),
        [
            tunnel("tunnel_delete", "192.0.2.2", "vxlan"),
            tunnel("tunnel_update", "192.0.2.1", "vxlan"),
        ]
    );
}

#[test]
fn what_is_no_tunnel_end_is_refused_as_neutron_does() {
    let fixture = Fixture::new();
    let agent = fixture.agent("host-a");
    let refused = |tunnel_ip: &str, tunnel_type: &str| {
        let (tunnel_ip, tunnel_type) = (tunnel_ip.to_owned(), tunnel_type.to_owned());
        let host = "host-a".to_owned();
        match agent.try_call(TunnelSync { tunnel_ip, tunnel_type, host }) {
            Err(CallError::Failure { failure: Failure { class, message }, .. }) => {
                assert_eq!(class, "InvalidInput");
                message.strip_prefix("Invalid input for operation: ").unwrap().to_owned()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused("", "vxlan"), "Tunnel IP value needed by the ML2 plugin.");
    assert_eq!(refused("192.0.2.1", ""), "Network type value needed by the ML2 plugin.");
    for other in ["vlan", "stt"] {
        assert_eq!(
            refused("192.0.2.1", other),
            format!(
                "Network type value {other} not supported, host: host-a with tunnel IP: 192.0.2.1."
            )
        );
    }
    assert_eq!(
        refused("192.0.2.1/24", "vxlan"),
        "Tunnel IP '192.0.2.1/24' is no IP address, host: host-a."
    );
    assert_eq!(
        refused("2001:db8::1", "vxlan"),
        "Tunnel IP version does not match ML2 overlay_ip_version: 4, host: host-a, tunnel_ip: \
         2001:db8::1."
    );
    assert_eq!(sync(&agent, "192.0.2.1", "vxlan"), ["host-a 192.0.2.1 4789"]);
}

#[test]
fn tunnels_run_over_ipv6_where_the_server_says_so() {
    let fixture = Fixture::with(|config| config.mtu.overlay_ip_version = IpVersion::V6);
    let agent = fixture.agent("host-a");
    assert_eq!(sync(&agent, "2001:DB8::1", "vxlan"), ["host-a 2001:db8::1 4789"]);
    let (tunnel_ip, tunnel_type) = ("192.0.2.1".to_owned(), "vxlan".to_owned());
    let host = "host-a".to_owned();
    assert!(agent.try_call(TunnelSync { tunnel_ip, tunnel_type, host }).is_err());
}

#[test]
fn an_agent_that_goes_takes_its_tunnel_ends_with_it() {
    let fixture = Fixture::new();
    let mut api = fixture.client();
    let [a, mut b] = ["host-a", "host-b"].map(|host| fixture.agent(host));
    assert_eq!(a.report_tunnels("192.0.2.1", &["vxlan", "gre"]), AgentStatus::New);
    b.report_tunnels("192.0.2.2", &["vxlan"]);
    for kind in ["gre", "vxlan"] {
        sync(&a, "192.0.2.1", kind);
    }
    sync(&b, "192.0.2.2", "vxlan");
    b.all();
    // One that has a type no more.
    a.report_tunnels("192.0.2.1", &["vxlan"]);
    assert_eq!(b.heard_of_tunnels(), [tunnel("tunnel_delete", "192.0.2.1", "gre")]);

    let agents = api.get("agents?host=host-a").body;
    let path = format!("agents/{}", id(&agents["agents"][0]));
    assert_eq!(api.delete(&path).status, 204);
    assert_eq!(b.heard_of_tunnels(), [tunnel("tunnel_delete", "192.0.2.1", "vxlan")]);
    assert_eq!(sync(&b, "192.0.2.2", "vxlan"), ["host-b 192.0.2.2 4789"]);
}

/// A port on a host with the last octet of its MAC and IP address. Gives its id.
fn port(fixture: &mut Fixture, network: &str, host: &str, octet: u8) -> String {
    let wanted = json!({
        "binding:host_id": host, "device_owner": "compute:nova", "mac_address": mac(octet),
        "fixed_ips": [{ "ip_address": ip(octet) }],
    });
    let port = fixture.port(network, wanted);
    assert_eq!(port["binding:vif_type"], "ovs");
    id(&port)
}

fn mac(octet: u8) -> String {
    format!("fa:16:3e:00:00:{octet:02x}")
}

fn ip(octet: u8) -> String {
    format!("10.0.0.{octet}")
}

fn pair(octet: u8) -> [String; 2] {
    [mac(octet), ip(octet)]
}

fn fdb(method: &str, network: &str, vni: u32, ports: Value) -> Value {
    let network =
        json!({ network: { "segment_id": vni, "network_type": "vxlan", "ports": ports } });
    json!({ method: { "fdb_entries": network } })
}

/// A server with three hosts that have tunnels.
fn hosts() -> Fixture {
    let fixture = Fixture::new();
    for (host, ip) in [("a", "192.0.2.1"), ("b", "192.0.2.2"), ("c", "2001:db8::3")] {
        fixture.agent(&format!("host-{host}")).report_tunnels(ip, &["vxlan"]);
    }
    fixture
}

#[test]
fn a_port_that_comes_up_is_told_to_all_and_all_others_to_its_host() {
    let mut fixture = hosts();
    let network = fixture.vxlan_network(77);
    let first = port(&mut fixture, &network, "host-a", 11);
    let second = port(&mut fixture, &network, "host-b", 12);
    let third = port(&mut fixture, &network, "host-b", 13);
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|host| fixture.agent(&format!("host-{host}")));

    a.wire(&[&first], &[], true);
    let add = |ports: Value| fdb("add_fdb_entries", &network, 77, ports);
    let come = add(json!({ "192.0.2.1": [FLOOD, pair(11)] }));
    assert_eq!(a.heard_of_tunnels(), std::slice::from_ref(&come), "nobody else has a port");
    assert_eq!(c.heard_of_tunnels(), std::slice::from_ref(&come));
    b.all();

    // The host of the first port of a network hears of all the others; nobody else does.
    b.wire(&[&second], &[], false);
    let came = add(json!({ "192.0.2.2": [FLOOD, pair(12)] }));
    assert_eq!(b.heard_of_tunnels(), [come, came.clone()]);
    assert_eq!(a.heard_of_tunnels(), [came]);

    // The next one is one entry, and the status is said once.
    b.wire(&[&third], &[], false);
    b.wire(&[&third], &[], false);
    let one = add(json!({ "192.0.2.2": [pair(13)] }));
    assert_eq!(b.heard_of_tunnels(), std::slice::from_ref(&one));
    assert_eq!(a.heard_of_tunnels(), [one]);

    // An agent that starts again asks for what others have, and nobody else needs to hear of it.
    a.wire(&[&first], &[], true);
    let all = add(json!({ "192.0.2.2": [FLOOD, pair(12), pair(13)] }));
    assert_eq!(a.heard_of_tunnels(), [all]);
    assert_eq!(b.heard_of_tunnels(), [Value::Null; 0]);
}

#[test]
fn a_port_that_goes_down_is_told_to_all() {
    let mut fixture = hosts();
    let network = fixture.vxlan_network(78);
    let [first, second, third] =
        [11, 12, 13].map(|octet| port(&mut fixture, &network, "host-c", octet));
    let mut api = fixture.client();
    let [mut a, c] = ["a", "c"].map(|host| fixture.agent(&format!("host-{host}")));
    c.wire(&[&first, &second, &third], &[], true);
    let entries = json!({ "2001:db8::3": [FLOOD, pair(11), pair(12), pair(13)] });
    assert_eq!(a.heard_of_tunnels(), [fdb("add_fdb_entries", &network, 78, entries)]);

    let remove = |ports: Value| fdb("remove_fdb_entries", &network, 78, ports);
    c.wire(&[], &[&first], false);
    assert_eq!(a.heard_of_tunnels(), [remove(json!({ "2001:db8::3": [pair(11)] }))]);
    // To another host, with the flood entry once the last one goes.
    let moved = json!({ "port": { "binding:host_id": "host-b" } });
    assert_eq!(api.put(&format!("ports/{second}"), moved).status, 200);
    assert_eq!(a.heard_of_tunnels(), [remove(json!({ "2001:db8::3": [pair(12)] }))]);
    assert_eq!(api.delete(&format!("ports/{third}")).status, 204);
    assert_eq!(a.heard_of_tunnels(), [remove(json!({ "2001:db8::3": [FLOOD, pair(13)] }))]);
    // What was down already leaves nothing.
    assert_eq!(api.delete(&format!("ports/{first}")).status, 204);
    c.wire(&[], &[&third], false);
    assert_eq!(a.heard_of_tunnels(), [Value::Null; 0]);
}

#[test]
fn other_addresses_of_a_port_are_told_to_all() {
    let mut fixture = hosts();
    let network = fixture.vxlan_network(79);
    let first = port(&mut fixture, &network, "host-a", 11);
    let mut api = fixture.client();
    let [a, mut b] = ["a", "b"].map(|host| fixture.agent(&format!("host-{host}")));
    let path = format!("ports/{first}");
    let readdress = |api: &mut support::Client, octets: &[u8]| {
        let ips: Vec<_> = octets.iter().map(|octet| json!({ "ip_address": ip(*octet) })).collect();
        let answer = api.put(&path, json!({ "port": { "fixed_ips": ips } }));
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    // Nobody knows of it yet.
    readdress(&mut api, &[11, 21]);
    assert_eq!(b.heard_of_tunnels(), [Value::Null; 0]);
    a.wire(&[&first], &[], false);
    b.all();

    readdress(&mut api, &[11, 22]);
    let change = |changes: Value| {
        let changes = json!({ &network: { "192.0.2.1": changes } });
        json!({ "update_fdb_entries": { "fdb_entries": { "chg_ip": changes } } })
    };
    let ips =
        |octets: &[u8]| -> Vec<_> { octets.iter().map(|octet| [mac(11), ip(*octet)]).collect() };
    let changed = change(json!({ "before": ips(&[21]), "after": ips(&[22]) }));
    assert_eq!(b.heard_of_tunnels(), [changed]);
    readdress(&mut api, &[22]);
    assert_eq!(b.heard_of_tunnels(), [change(json!({ "before": ips(&[11]) }))]);
    readdress(&mut api, &[22]);
    let name = json!({ "port": { "name": "web" } });
    assert_eq!(api.put(&path, name).status, 200);
    assert_eq!(b.heard_of_tunnels(), [Value::Null; 0]);
}

#[test]
fn entries_follow_the_end_of_the_tunnels() {
    let mut fixture = hosts();
    let network = fixture.vxlan_network(80);
    let first = port(&mut fixture, &network, "host-a", 11);
    let mut api = fixture.client();
    let [a, mut b] = ["a", "b"].map(|host| fixture.agent(&format!("host-{host}")));
    a.wire(&[&first], &[], false);
    b.all();
    a.report_tunnels("192.0.2.9", &["vxlan"]);
    let entry = |method: &str, ip: &str| {
        fdb(method, &network, 80, json!({ ip: [json!(FLOOD), json!(pair(11))] }))
    };
    assert_eq!(
        b.heard_of_tunnels(),
        [entry("remove_fdb_entries", "192.0.2.1"), entry("add_fdb_entries", "192.0.2.9")]
    );
    a.report_tunnels("192.0.2.9", &["vxlan"]);
    assert_eq!(b.heard_of_tunnels(), [Value::Null; 0]);

    let agents = api.get("agents?host=host-a").body;
    let path = format!("agents/{}", id(&agents["agents"][0]));
    assert_eq!(api.delete(&path).status, 204);
    assert_eq!(b.heard_of_tunnels(), [entry("remove_fdb_entries", "192.0.2.9")]);
    a.report_tunnels("192.0.2.9", &["vxlan"]);
    assert_eq!(b.heard_of_tunnels(), [entry("add_fdb_entries", "192.0.2.9")]);
}

#[test]
fn nothing_is_told_of_networks_without_tunnels() {
    let mut fixture = Fixture::new();
    let network = fixture.network(json!({ "provider:network_type": "local" }));
    fixture.subnet(&network, json!({}));
    fixture.agent("host-a").report_tunnels("192.0.2.1", &["vxlan"]);
    let port = id(&fixture.port(&network, json!({ "binding:host_id": "host-a" })));
    let mut api = fixture.client();
    let mut a = fixture.agent("host-a");
    a.wire(&[&port], &[], true);
    let ips = json!({ "port": { "fixed_ips": [{ "ip_address": "10.0.0.9" }] } });
    assert_eq!(api.put(&format!("ports/{port}"), ips).status, 200);
    assert_eq!(api.delete(&format!("ports/{port}")).status, 204);
    assert_eq!(a.heard_of_tunnels(), [Value::Null; 0]);
}

/// Entries are of one segment: what another one carries is not behind these tunnels.
#[test]
fn each_segment_of_a_network_has_entries_of_its_own() {
    let mut fixture = hosts();
    fixture.agent("host-d").report(&["physnet1"]);
    fixture.agent("host-e").report_tunnels("192.0.2.5", &["gre"]);
    let segments = json!([
        { "provider:network_type": "vxlan", "provider:segmentation_id": 77 },
        { "provider:network_type": "gre", "provider:segmentation_id": 78 },
        { "provider:network_type": "vlan", "provider:physical_network": "physnet1",
            "provider:segmentation_id": 100 },
    ]);
    let network = fixture.network(json!({ "segments": segments }));
    fixture.subnet(&network, json!({}));
    let hosts = ["host-a", "host-b", "host-d", "host-e"];
    let ports: Vec<_> =
        (11..).zip(hosts).map(|(octet, host)| port(&mut fixture, &network, host, octet)).collect();
    let mut hears = fixture.agent("host-b");
    for (host, port) in hosts.iter().zip(&ports).filter(|(host, _)| **host != "host-b") {
        fixture.agent(host).wire(&[port], &[], false);
    }
    let add = |kind: &str, number: u32, ports: Value| {
        let network =
            json!({ &network: { "segment_id": number, "network_type": kind, "ports": ports } });
        json!({ "add_fdb_entries": { "fdb_entries": network } })
    };
    let by_vxlan = add("vxlan", 77, json!({ "192.0.2.1": [FLOOD, pair(11)] }));
    let by_gre = add("gre", 78, json!({ "192.0.2.5": [FLOOD, pair(14)] }));
    assert_eq!(hears.heard_of_tunnels(), [by_vxlan.clone(), by_gre]);
    hears.wire(&[&ports[1]], &[], false);
    let own = add("vxlan", 77, json!({ "192.0.2.2": [FLOOD, pair(12)] }));
    assert_eq!(hears.heard_of_tunnels(), [by_vxlan, own]);
}

/// 10 000 ports of one network over 100 hosts: one more is one entry for the others, and the table
/// for its host if it is the first one there.
#[test]
fn one_of_very_many_ports_costs_only_itself() {
    let mut fixture = Fixture::new();
    let network = fixture.vxlan_network(81);
    for host in 0..100 {
        let agent = fixture.agent(&format!("host-{host}"));
        agent.report_tunnels(&format!("192.0.2.{host}"), &["vxlan"]);
    }
    let pattern = port(&mut fixture, &network, "host-0", 2);
    // Ports are copied in the store: through the API they would take longer than the test.
    fixture.change_store(format!(
        "CREATE TEMP TABLE numbers AS WITH RECURSIVE n (i) AS
            (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) SELECT i FROM n;
         CREATE TEMP TABLE copies AS SELECT i, ports.* FROM numbers, ports
            WHERE ports.id = '{pattern}';
         UPDATE copies SET id = printf('%08x-0000-4000-8000-000000000000', i), announced = TRUE,
            host = 'host-' || (i % 99), status = 'ACTIVE',
            mac_address = printf('fa:16:3e:01:%02x:%02x', i / 256, i % 256);
         ALTER TABLE copies DROP COLUMN i;
         INSERT INTO ports SELECT * FROM copies;
         INSERT INTO ip_allocations SELECT subnet_id,
            printf('10.0.%d.%d', 1 + i / 256, i % 256),
            printf('%08x-0000-4000-8000-000000000000', i)
            FROM numbers, ip_allocations WHERE port_id = '{pattern}'"
    ));
    let mut own = fixture.agent("host-0");
    own.wire(&[&pattern], &[], false);
    let one = json!({ "192.0.2.0": [pair(2)] });
    assert_eq!(own.heard_of_tunnels(), [fdb("add_fdb_entries", &network, 81, one)]);

    let first = port(&mut fixture, &network, "host-99", 3);
    let mut new = fixture.agent("host-99");
    new.wire(&[&first], &[], false);
    let heard = new.heard_of_tunnels();
    let [table, own_entry] = &heard[..] else { panic!("{heard:?}") };
    let own = json!({ "192.0.2.99": [FLOOD, pair(3)] });
    assert_eq!(*own_entry, fdb("add_fdb_entries", &network, 81, own));
    let ports = &table["add_fdb_entries"]["fdb_entries"][&network]["ports"];
    let ports: Vec<_> =
        ports.as_object().unwrap().values().map(|list| list.as_array().unwrap()).collect();
    assert!(ports.iter().all(|list| list[0] == json!(FLOOD)));
    let entries: usize = ports.iter().map(|list| list.len() - 1).sum();
    assert_eq!((ports.len(), entries), (99, 10_001));

    let mut hears = fixture.agent("host-0");
    fixture.agent("host-1").wire(&[], &["00000001-0000-4000-8000-000000000000"], false);
    let gone = json!({ "192.0.2.1": [["fa:16:3e:01:00:01", "10.0.1.1"]] });
    assert_eq!(hears.heard_of_tunnels(), [fdb("remove_fdb_entries", &network, 81, gone)]);
}
