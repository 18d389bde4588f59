//! `l2population` of a real server: what each of three hosts knows of who is where, as its tunnel
//! bridge shows it, and that a change touches nothing but what it is about.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::{Sniffer, Underlay, Way, eventually};

use crate::cloud::{Cloud, Machine, Told, WAIT};

/// Who is where, in words.
type Entries = BTreeSet<String>;

/// The tables of the tunnel bridge that hold what the server has said, as Neutron numbers them.
const UNICAST: &str = "20";
const ANSWERS: &str = "21";
const FLOOD: &str = "22";

#[test]
fn every_host_knows_who_is_where_and_no_more() {
    let told = Told { agent_ini: "arp_responder = true\n", ..Told::NOTHING };
    let mut cloud = Cloud::start_told(3, &told);
    for host in 0..3 {
        cloud.start_weir_agent(host);
    }
    cloud.wait_alive();
    cloud.openstack.all([
        "security group create ping",
        "security group rule create --protocol icmp ping",
        "network create red --provider-network-type vxlan",
        "subnet create red --network red --subnet-range 10.0.0.0/24",
        "network create blue --provider-network-type vxlan",
        "subnet create blue --network blue --subnet-range 10.0.1.0/24",
    ]);
    let port = |cloud: &Cloud, network: &str, host: u8, name: &str| {
        cloud.openstack.one(&format!(
            "port create --network {network} --host host{host} --device-owner compute:nova \
             --security-group ping {name}"
        ))
    };
    let plug = |cloud: &Cloud, network, host, name| {
        let port = port(cloud, network, host, name);
        let machine = cloud.plug(&port);
        cloud.wait_active(&[&machine]);
        // The server tells of a port again while it answers the agent.
        cloud.hosts[machine.host].wait_ready();
        Inhabitant::new(&port, machine)
    };
    let mut red: Vec<Inhabitant> = [(1, "one"), (2, "two"), (3, "three")]
        .map(|(host, name)| plug(&cloud, "red", host, name))
        .into();
    let mut blue: Vec<Inhabitant> =
        [(1, "four"), (2, "five")].map(|(host, name)| plug(&cloud, "blue", host, name)).into();
    settle(&cloud, &[&red, &blue]);

    // Nobody is asked who has an address: each host answers for the others.
    let [one, two, three] = &red[..] else { panic!("three") };
    for inhabitant in &red {
        inhabitant.machine.vm.namespace().ip("neighbour flush all\n").unwrap();
    }
    let sniffers: Vec<_> = red
        .iter()
        .map(|it| {
            let switch = &cloud.hosts[it.machine.host].switch;
            Sniffer::start(switch.namespace(), &it.machine.device()).unwrap()
        })
        .collect();
    for (from, to) in [(one, two), (two, three), (three, one)] {
        eventually(WAIT, || from.machine.pings(&to.machine)).unwrap();
    }
    for sniffer in sniffers {
        let sightings = sniffer.stop();
        let told: Vec<_> = sightings.iter().filter(|it| it.way == Way::Out).collect();
        let is_question = |frame: &[u8]| frame[0] == 0xff && frame[12..14] == [0x08, 0x06];
        assert!(told.iter().any(|it| it.frame[12..14] == [0x08, 0x00]), "no ping came");
        assert!(!told.iter().any(|it| is_question(&it.frame)), "a question was flooded");
    }

    // One more comes to a host that has the network, and leaves; then one to a host that has not.
    for (network, host) in [("red", 2), ("blue", 3)] {
        let before = flows(&cloud);
        let more = plug(&cloud, network, host, "more");
        let inhabitants = if network == "red" { &mut red } else { &mut blue };
        inhabitants.push(more);
        settle(&cloud, &[&red, &blue]);
        let inhabitants = if network == "red" { &mut red } else { &mut blue };
        let more = inhabitants.pop().unwrap();
        let path = format!("/v2.0/ports/{}", more.machine.port);
        cloud.ask("DELETE", &path, &Value::Null);
        cloud.unplug(&more.machine);
        settle(&cloud, &[&red, &blue]);
        assert_kept(&before, &flows(&cloud));
    }

    // One gets another address, which is nobody's business but of those who answer for it.
    let before = flows(&cloud);
    let fixed = json!({ "port": { "fixed_ips": [{ "ip_address": "10.0.0.99" }] } });
    cloud.ask("PUT", &format!("/v2.0/ports/{}", red[0].machine.port), &fixed);
    red[0].address = "10.0.0.99".to_owned();
    settle(&cloud, &[&red, &blue]);
    assert_kept(&before, &flows(&cloud));

    // An agent starts anew, and another is killed: what they find is as it should be.
    let before = flows(&cloud);
    cloud.stop_agent(0);
    cloud.kill_agent(1);
    cloud.start_weir_agent(0);
    cloud.start_weir_agent(1);
    cloud.wait_ready();
    settle(&cloud, &[&red, &blue]);
    assert_kept(&before, &flows(&cloud));

    // The last one of a network leaves a host, without a word to the server but the agent's.
    let last = blue.pop().unwrap();
    cloud.unplug(&last.machine);
    settle(&cloud, &[&red, &blue]);
}

/// A machine, as other hosts know it.
struct Inhabitant {
    machine: Machine,
    mac: String,
    address: String,
}

impl Inhabitant {
    fn new(port: &Value, machine: Machine) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let address = text(&port["fixed_ips"][0]["ip_address"]);
        Self { machine, mac: text(&port["mac_address"]), address }
    }
}

/// Waits until every host knows these, and nobody else.
fn settle(cloud: &Cloud, networks: &[&Vec<Inhabitant>]) {
    let wrong = || {
        (0..cloud.hosts.len()).find_map(|host| {
            let (wanted, found) = (wanted(host, networks), found(cloud, host));
            (wanted != found).then(|| format!("host {host}: {wanted:#?}, but {found:#?}"))
        })
    };
    if eventually(WAIT, || wrong().is_none()).is_err()
        && let Some(wrong) = wrong()
    {
        panic!("{wrong}");
    }
}

/// What a host has to know: of each network that it has, who is at the other hosts.
fn wanted(host: usize, networks: &[&Vec<Inhabitant>]) -> Entries {
    let here = networks.iter().filter(|it| it.iter().any(|it| it.machine.host == host));
    here.flat_map(|inhabitants| {
        let others = || inhabitants.iter().filter(|it| it.machine.host != host);
        let tunnels: BTreeSet<_> = others().map(|it| tunnel(it.machine.host)).collect();
        let flood = format!("many to {}", Vec::from_iter(tunnels).join(" "));
        let known = others().flat_map(|it| {
            let Inhabitant { machine, mac, address } = it;
            [format!("{mac} to {}", tunnel(machine.host)), format!("{address} is {mac}")]
        });
        known.chain([flood]).collect::<Vec<_>>()
    })
    .filter(|entry| entry != "many to ")
    .collect()
}

/// What a host knows.
fn found(cloud: &Cloud, host: usize) -> Entries {
    flows_of(cloud, host)
        .into_keys()
        .filter_map(|Flow { table, matched, actions }| {
            let outputs = || {
                let actions = actions.split(',');
                let outputs = actions.filter_map(|it| it.strip_prefix("output:"));
                let outputs: BTreeSet<_> = outputs.map(|it| it.trim_matches('"')).collect();
                Vec::from_iter(outputs).join(" ")
            };
            let value = |key: &str| matched.split(',').find_map(|it| it.strip_prefix(key));
            match table.as_str() {
                UNICAST => Some(format!("{} to {}", value("dl_dst=")?, outputs())),
                FLOOD => Some(format!("many to {}", outputs())).filter(|_| !outputs().is_empty()),
                ANSWERS if matched.contains("priority=1,") => {
                    let mac = actions.split("->arp_sha").next()?.rsplit("set_field:").next()?;
                    Some(format!("{} is {mac}", value("arp_tpa=")?))
                }
                _ => None,
            }
        })
        .collect()
}

/// A flow of a tunnel bridge.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    table: String,
    matched: String,
    actions: String,
}

/// The flows of each host that say who is where, with how many seconds each has been there.
fn flows(cloud: &Cloud) -> Vec<BTreeMap<Flow, f64>> {
    (0..cloud.hosts.len()).map(|host| flows_of(cloud, host)).collect()
}

fn flows_of(cloud: &Cloud, host: usize) -> BTreeMap<Flow, f64> {
    let dump = cloud.hosts[host].switch.ofctl(&["--names", "dump-flows", "br-tun"]).unwrap();
    let flow = |line: &str| {
        let (head, actions) = line.trim().split_once(" actions=")?;
        let value = |key: &str| Some(head.split_once(key)?.1.split(',').next()?.to_owned());
        let table = value(" table=")?;
        let matched = head.rsplit(' ').next()?.to_owned();
        let is_learned = head.contains("hard_timeout=");
        let is_population = [UNICAST, ANSWERS, FLOOD].contains(&table.as_str());
        let lasted = value(" duration=")?.trim_end_matches('s').parse().ok()?;
        let flow = Flow { table, matched, actions: actions.to_owned() };
        (is_population && !is_learned).then_some((flow, lasted))
    };
    dump.lines().filter_map(flow).collect()
}

/// What is as it was before was not touched in between.
fn assert_kept(before: &[BTreeMap<Flow, f64>], after: &[BTreeMap<Flow, f64>]) {
    for (host, (before, after)) in before.iter().zip(after).enumerate() {
        let kept = before.iter().filter_map(|(flow, old)| Some((flow, old, after.get(flow)?)));
        let mut unicast = 0;
        for (flow, old, new) in kept {
            // A flow of many is another one while there is one more to send to.
            if flow.table != FLOOD {
                assert!(new > old, "host {host} has made {flow:?} anew");
                unicast += usize::from(flow.table == UNICAST);
            }
        }
        assert!(unicast > 0, "host {host} has kept nothing: {before:#?}, then {after:#?}");
    }
}

/// The name of the tunnel's port that leads to the host.
fn tunnel(host: usize) -> String {
    let number = u8::try_from(host + 1).unwrap();
    match Underlay::of_host(number).address([0; 4].into()) {
        Some(std::net::IpAddr::V4(address)) => format!("vxlan-{:08x}", address.to_bits()),
        other => panic!("{other:?}"),
    }
}
