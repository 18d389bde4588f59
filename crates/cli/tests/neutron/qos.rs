//! QoS policies of a real Neutron, on a host of its own agent and on one of Weir's: both switches are
//! to hold the same.

use serde_json::{Value, json};
use testkit::eventually;

use crate::{
    cloud::{Cloud, Machine, Told, WAIT, http},
    database::Database,
};

/// What agents are told.
const WITH_QOS: &str = "[agent]\nextensions = qos\n";
const WITH_METERS: &str = "[agent]\nextensions = qos\n[ovs]\nqos_meter_bandwidth = true\n";
/// The row of table Port that leads to the physical network.
const WIRE: &str = "trunk";

/// What a port is shaped by.
fn shape(database: &Database, port: &str) -> Value {
    let port = database.find("Port", "name", &json!(port)).unwrap();
    let Some(qos) = database.find("QoS", "_uuid", &port["qos"]) else { return Value::Null };
    let queue = |(number, row): (&String, &Value)| {
        let queue = database.find("Queue", "_uuid", row).unwrap();
        (number.clone(), json!([queue["other_config"], queue["external_ids"]]))
    };
    let queues = qos["queues"].as_object().unwrap().iter().map(queue).collect();
    json!([qos["type"], qos["other_config"], qos["external_ids"], Value::Object(queues)])
}

/// What limits and guarantees there are for the machine, with what differs by nature between two
/// ports or two agents left out: names, numbers and identities.
fn treatment(cloud: &Cloud, machine: &Machine) -> Value {
    let switch = &cloud.hosts[machine.host].switch;
    let device = device(machine);
    let database = Database::of(switch);
    let interface = database.find("Interface", "name", &json!(device)).unwrap();
    let port = database.find("Port", "name", &json!(device)).unwrap();
    let kept = port["other_config"].as_object().unwrap().keys();
    let kept: Vec<_> = kept.filter(|key| key.contains("ps_")).collect();
    let meters = switch.ofctl(&["-O", "OpenFlow13", "dump-meters", "br-int"]).unwrap();
    let mut meters: Vec<String> = meters
        .split("meter=")
        .skip(1)
        .map(|meter| meter.split_whitespace().skip(1).collect::<Vec<_>>().join(" "))
        .collect();
    meters.sort();
    let found = json!({
        "policed": [interface["ingress_policing_rate"], interface["ingress_policing_burst"]],
        "shaped": shape(&database, &device),
        "wire": shape(&database, WIRE),
        "kept": kept,
        "meters": meters,
    });
    let number = interface["ofport"].to_string();
    let mut found = found.to_string().replace(&device, "DEVICE").replace(&machine.port, "PORT");
    for (before, after) in [("{\"", "\":"), ("\"queue-num\":\"", "\"")] {
        let named = format!("{before}{number}{after}");
        found = found.replace(&named, &format!("{before}N{after}"));
    }
    let mut found: Value = serde_json::from_str(&found).unwrap();
    if let Some(name) = found["wire"].pointer_mut("/2/id") {
        *name = json!("ANY");
    }
    found
}

fn device(machine: &Machine) -> String {
    format!("tap{}", &machine.port[..11])
}

/// Waits until both hosts treat their machines alike, and as expected.
fn wait_alike(cloud: &Cloud, machines: &[Machine; 2], expected: &Value) {
    let found = || machines.each_ref().map(|machine| treatment(cloud, machine));
    let waited = eventually(WAIT, || found().iter().all(|it| it == expected));
    if waited.is_err() {
        let [neutron, weir] = found();
        panic!("Neutron: {neutron:#}\nWeir: {weir:#}\nexpected: {expected:#}");
    }
}

fn nothing() -> Value {
    json!({ "policed": [0, 0], "shaped": null, "wire": null, "kept": [], "meters": [] })
}

/// What is expected of a port with such a limit of what it gets.
fn shaped(rate: u64, burst: u64) -> Value {
    let queue = json!([
        { "max-rate": rate.to_string(), "burst": burst.to_string() },
        { "port": "DEVICE", "type": "bandwidth_limit", "queue-num": "0" },
    ]);
    let most = json!({ "max-rate": "34359738367" });
    json!(["linux-htb", most, { "id": "DEVICE", "_type": "bandwidth_limit" }, { "0": queue }])
}

/// What is expected of the wire when something is set aside.
fn set_aside(rate: u64) -> Value {
    let most = "34359738367";
    let queue = json!([
        { "min-rate": rate.to_string(), "max-rate": most },
        { "port": "PORT", "type": "minimum_bandwidth", "queue-num": "N" },
    ]);
    let ids = json!({ "id": "ANY", "_type": "minimum_bandwidth" });
    json!(["linux-htb", { "max-rate": most }, ids, { "N": queue }])
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

/// A rule that the client knows no word for.
fn limit_packets(cloud: &Cloud, policy: &Value, direction: &str, kilo: u32) {
    let path = format!("/v2.0/qos/policies/{}/packet_rate_limit_rules", id(policy));
    let rule = json!({ "max_kpps": kilo, "max_burst_kpps": 0, "direction": direction });
    let body = json!({ "packet_rate_limit_rule": rule }).to_string();
    let connection = std::net::TcpStream::connect(cloud.neutron.address()).unwrap();
    let (status, answer) = http::request(connection, "POST", &path, &body);
    assert_eq!(status, 201, "{answer}");
}

#[test]
fn both_agents_make_the_same_of_a_policy() {
    let mut cloud = Cloud::start_told(2, &Told { agent_ini: WITH_QOS, ..Told::NOTHING });
    cloud.start_neutron_agent(0);
    cloud.start_weir_agent(1);
    cloud.wait_alive();
    let rule = |policy: &str, rule: &str| format!("network qos rule create {policy} --type {rule}");
    let rules = [
        "bandwidth-limit --max-kbps 3000 --max-burst-kbits 300 --egress",
        "bandwidth-limit --max-kbps 5000 --ingress",
        "dscp-marking --dscp-mark 26",
        "minimum-bandwidth --min-kbps 1000 --egress",
        "minimum-packet-rate --min-kpps 1 --egress",
    ];
    let rules = rules.map(|it| rule("gold", it));
    let silver = rule("silver", "bandwidth-limit --max-kbps 700 --ingress");
    let port =
        |host: u8| format!("port create --network net --host host{host} --qos-policy gold p{host}");
    let (first, second) = (port(1), port(2));
    let [a, b, c, d, e] = rules.each_ref().map(String::as_str);
    let [gold, _, _, egress, _, _, minimum, _] = cloud.openstack.all([
        "network qos policy create gold",
        "network qos policy create silver",
        &silver,
        a,
        b,
        c,
        d,
        e,
    ]);
    limit_packets(&cloud, &gold, "egress", 2);
    limit_packets(&cloud, &gold, "ingress", 3);
    let [.., one, two] = cloud.openstack.all([
        "network create net --provider-network-type vlan --provider-physical-network physnet1",
        "subnet create net --network net --subnet-range 10.0.0.0/24",
        &first,
        &second,
    ]);
    let machines = [cloud.plug(&one), cloud.plug(&two)];
    cloud.wait_active(&machines.each_ref());
    let mut expected = json!({
        "policed": [3000, 300],
        "shaped": shaped(5_000_000, 0),
        "wire": set_aside(1_000_000),
        "kept": ["pps_PORT_egress", "pps_PORT_ingress"],
        "meters": ["pktps bands= type=drop rate=2000", "pktps bands= type=drop rate=3000"],
    });
    wait_alike(&cloud, &machines, &expected);
    let marked = |host: usize| {
        let flows = cloud.hosts[host].switch.ofctl(&["dump-flows", "br-int"]).unwrap();
        flows.contains("mod_nw_tos:104") || flows.contains("set_field:26->ip_dscp")
    };
    assert!(marked(0) && marked(1));

    // It changes while ports have it.
    let (limit, minimum) = (id(&egress).to_owned(), id(&minimum).to_owned());
    let change = format!("network qos rule set gold {limit} --max-kbps 4000 --max-burst-kbits 0");
    let drop = format!("network qos rule delete gold {minimum}");
    cloud.openstack.quiet(&[&change, &drop]);
    expected["policed"] = json!([4000, 3200]);
    expected["wire"] = Value::Null;
    wait_alike(&cloud, &machines, &expected);

    // A port without a policy has that of its network.
    cloud.openstack.quiet(&[
        "network set --qos-policy silver net",
        "port unset --qos-policy p1",
        "port unset --qos-policy p2",
    ]);
    let mut of_network = nothing();
    of_network["shaped"] = shaped(700_000, 0);
    wait_alike(&cloud, &machines, &of_network);
    assert!(!marked(0) && !marked(1));
    cloud.openstack.quiet(&["network set --no-qos-policy net"]);
    wait_alike(&cloud, &machines, &nothing());

    // Who takes over finds the rows, and they stay.
    let again = rule("gold", "minimum-bandwidth --min-kbps 2000 --egress");
    cloud.openstack.all([&*again]);
    cloud.openstack.quiet(&["port set --qos-policy gold p1", "port set --qos-policy gold p2"]);
    expected["wire"] = set_aside(2_000_000);
    wait_alike(&cloud, &machines, &expected);
    let host = machines[0].host;
    let identities = |cloud: &Cloud| {
        let database = Database::of(&cloud.hosts[host].switch);
        ["QoS", "Queue"].map(|table| {
            let mut rows: Vec<_> =
                database.rows(table).iter().map(|row| row["_uuid"].to_string()).collect();
            rows.sort();
            rows
        })
    };
    let before = identities(&cloud);
    cloud.stop_agent(host);
    cloud.start_weir_agent(host);
    cloud.wait_ready();
    wait_alike(&cloud, &machines, &expected);
    assert_eq!(identities(&cloud), before);
}

#[test]
fn both_agents_limit_bandwidth_by_meters() {
    let mut cloud = Cloud::start_told(2, &Told { agent_ini: WITH_METERS, ..Told::NOTHING });
    cloud.start_neutron_agent(0);
    cloud.start_weir_agent(1);
    cloud.wait_alive();
    let [gold, ..] = cloud.openstack.all([
        "network qos policy create gold",
        "network qos rule create gold --type bandwidth-limit --max-kbps 3000 --max-burst-kbits 300 \
         --egress",
        "network qos rule create gold --type bandwidth-limit --max-kbps 5000 --ingress",
    ]);
    limit_packets(&cloud, &gold, "ingress", 2);
    let [.., one, two] = cloud.openstack.all([
        "network create net --provider-network-type vlan --provider-physical-network physnet1",
        "subnet create net --network net --subnet-range 10.0.0.0/24",
        "port create --network net --host host1 --qos-policy gold p1",
        "port create --network net --host host2 --qos-policy gold p2",
    ]);
    let machines = [cloud.plug(&one), cloud.plug(&two)];
    cloud.wait_active(&machines.each_ref());
    let mut expected = nothing();
    expected["kept"] = json!(["bps_PORT_egress", "bps_PORT_ingress", "pps_PORT_ingress"]);
    expected["meters"] = json!([
        "kbps bands= type=drop rate=5000",
        "kbps burst bands= type=drop rate=3000 burst_size=300",
        "pktps bands= type=drop rate=2000",
    ]);
    wait_alike(&cloud, &machines, &expected);
    cloud.openstack.quiet(&["port unset --qos-policy p1", "port unset --qos-policy p2"]);
    wait_alike(&cloud, &machines, &nothing());
}
