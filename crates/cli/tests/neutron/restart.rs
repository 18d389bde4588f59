//! Agents, the broker and Neutron's server go and come back, one after the other, while machines on
//! two hosts talk, a hundred packets per second and direction: nothing is lost, no port is touched
//! in Neutron, and what is changed meanwhile is followed as soon as that can be known.
//!
//! An outage lasts as many seconds as `WEIR_TEST_OUTAGE` says, or two, and at least until those who
//! are cut off have noticed.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Pace, Steady, eventually};

use crate::cloud::{Cloud, Host, Machine, Told, WAIT, ask};

/// An agent is dead for the server after 15 seconds. The shortest time that anybody waits for a
/// sign of the broker is the one that counts.
const TOLD: Told = Told {
    neutron_conf: "[DEFAULT]\nagent_down_time = 15\n\
                   [oslo_messaging_rabbit]\nheartbeat_timeout_threshold = 6\n",
    agent_ini: "[oslo_messaging_rabbit]\nheartbeat_timeout_threshold = 6\n",
    ..Told::NOTHING
};
/// For so long after a port was plugged in a packet of a tunnel may be lost: ovs-vswitchd does that
/// in the userspace datapath, also where no agent runs.
const DISTURBANCE: Duration = Duration::from_millis(50);

/// Machines that talk, and one whose group changes.
struct Story {
    cloud: Cloud,
    machines: Vec<[Machine; 3]>,
    /// Who is reached by pings from the first machine while its group says so.
    door: Machine,
    group: String,
    /// The rule that opens the door, while it is there.
    rule: Option<String>,
    /// Whether the switch was seen to let pings through the door.
    was_open: bool,
    steady: Vec<Steady>,
    /// While ovs-vswitchd took ports in.
    disturbed: Vec<RangeInclusive<Instant>>,
    /// Each port as the server knew it when everything was well.
    ports: BTreeMap<String, Value>,
}

#[test]
fn whatever_starts_anew_is_not_noticed() {
    let mut story = Story::start();
    let both = [0, 1];

    // Agents, ended politely and killed.
    for end in [Cloud::stop_agent, Cloud::kill_agent] {
        both.iter().for_each(|&host| end(&mut story.cloud, host));
        story.change();
        story.go_on();
        story.assert_unchanged("no agent runs");
        both.iter().for_each(|&host| story.cloud.start_weir_agent(host));
        story.assert_followed("the agents run again");
    }

    // The way of the hosts to the broker, until the server takes the agents for dead.
    story.cloud.hosts.iter().for_each(|host| host.relay.cut());
    story.change();
    story.go_on();
    eventually(WAIT, || story.alive().is_empty()).unwrap();
    story.assert_unchanged("the hosts are cut off");
    story.cloud.hosts.iter().for_each(|host| host.relay.mend());
    eventually(WAIT, || story.alive().len() == 2).unwrap();
    story.assert_followed("the hosts are reached again");

    // The broker, ended politely, killed, and hanging. It forgets all queues when it ends.
    story.without_broker("ended", |cloud| cloud.neutron.broker().stop().unwrap());
    story.without_broker("killed", |cloud| cloud.neutron.broker().kill());
    let noticed = |cloud: &Cloud| cloud.hosts.iter().map(losses).collect::<Vec<_>>();
    let before = noticed(&story.cloud);
    story.without_broker("frozen", |cloud| {
        cloud.neutron.broker().freeze();
        let all = || noticed(cloud).iter().zip(&before).all(|(now, before)| now > before);
        eventually(WAIT, all).unwrap();
    });

    // The server, while a machine is plugged in.
    let late = story.port("vlan", 2, "door", "late");
    story.cloud.neutron.stop();
    let late = story.plug(&late);
    story.go_on();
    let one = &story.machines[0][0];
    assert!(!one.pings(&late), "nobody has said what it may get");
    story.cloud.neutron.run().unwrap();
    story.cloud.wait_active(&[&late]);
    if story.rule.is_none() {
        story.change();
    }
    story.assert_followed("the server runs again");
    eventually(WAIT, || story.machines[0][0].pings(&late)).unwrap();

    // Only what serves agents.
    story.cloud.neutron.stop_rpc();
    story.change();
    story.go_on();
    story.cloud.neutron.run().unwrap();
    story.assert_followed("agents are served again");

    story.end();
}

/// How often the agent of the host has lost the broker.
fn losses(host: &Host) -> usize {
    let log = fs::read_to_string(host.switch.run_dir().join("weir.log")).unwrap();
    log.matches("lost the message bus").count()
}

fn outage() -> Duration {
    let seconds = env::var("WEIR_TEST_OUTAGE").map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(2))
}

impl Story {
    /// Two hosts, a VLAN and a VXLAN network, and everybody talks.
    fn start() -> Self {
        let mut cloud = Cloud::start_told(2, &TOLD);
        for host in 0..2 {
            cloud.start_weir_agent(host);
        }
        cloud.wait_alive();
        let [.., group] = cloud.openstack.all([
            "security group create echo",
            "security group rule create --protocol tcp --dst-port 7 echo",
            "security group rule create --protocol udp --dst-port 7 echo",
            "network create vlan --provider-network-type vlan",
            "subnet create vlan --network vlan --subnet-range 10.0.0.0/24",
            "network create vxlan --provider-network-type vxlan",
            "subnet create vxlan --network vxlan --subnet-range 10.0.1.0/24",
            "security group create door",
        ]);
        let mut story = Self {
            door: cloud.plug(&port(&cloud, "vlan", 2, "door", "door")),
            machines: Vec::new(),
            group: group["id"].as_str().unwrap().to_owned(),
            rule: None,
            was_open: false,
            steady: Vec::new(),
            disturbed: Vec::new(),
            ports: BTreeMap::new(),
            cloud,
        };
        for network in ["vlan", "vxlan"] {
            let places = [(1, "one"), (1, "beside"), (2, "beyond")];
            let machines = places.map(|(host, name)| {
                story.cloud.plug(&story.port(network, host, "echo", &format!("{network}-{name}")))
            });
            story.machines.push(machines);
        }
        let everybody = story.machines.iter().flatten().chain([&story.door]);
        story.cloud.wait_active(&everybody.collect::<Vec<_>>());
        story.ports = story.ports_now();
        let pairs = story.machines.iter();
        let pairs =
            pairs.flat_map(|[one, beside, beyond]| [(one, beside), (one, beyond), (beyond, one)]);
        let steady = pairs.flat_map(|(from, to)| {
            eventually(WAIT, || from.vm.ask_udp(to.served(), testkit::PATIENCE).passed()).unwrap();
            let pace = Pace::HUNDRED_PER_SECOND;
            [from.vm.steady_udp(to.served(), pace), from.vm.steady_tcp(to.served(), pace)]
        });
        story.steady = steady.map(Result::unwrap).collect();
        story
    }

    fn port(&self, network: &str, host: u8, group: &str, name: &str) -> Value {
        port(&self.cloud, network, host, group, name)
    }

    /// Plugs a machine in while others talk.
    fn plug(&mut self, port: &Value) -> Machine {
        let begin = Instant::now();
        let machine = self.cloud.plug(port);
        self.disturbed.push(begin..=Instant::now() + DISTURBANCE);
        machine
    }

    /// Opens the door, or closes it.
    fn change(&mut self) {
        let server = self.cloud.neutron.address();
        self.rule = toggle(server, &self.group, self.rule.take());
    }

    /// The broker goes in this way, and comes back. The server cannot tell anybody of a change
    /// meanwhile, and may answer whoever asks for one only after.
    fn without_broker(&mut self, how: &str, go: impl FnOnce(&Cloud)) {
        go(&self.cloud);
        let (server, group) = (self.cloud.neutron.address(), self.group.clone());
        let rule = self.rule.take();
        let change = thread::spawn(move || toggle(server, &group, rule));
        self.go_on();
        self.assert_unchanged(&format!("the broker is {how}"));
        self.cloud.neutron.broker().thaw();
        self.cloud.neutron.broker().run().unwrap();
        self.rule = change.join().unwrap();
        self.assert_followed(&format!("the broker was {how}"));
    }

    /// Lets them talk for a while: until each has said what takes so long.
    fn go_on(&self) {
        let messages = outage().div_duration_f64(Pace::HUNDRED_PER_SECOND.every).ceil() as usize;
        let goals: Vec<_> = self.steady.iter().map(|steady| steady.sent() + messages).collect();
        let said = || self.steady.iter().zip(&goals).all(|(steady, goal)| steady.sent() >= *goal);
        eventually(outage() + WAIT, said).unwrap();
    }

    /// The door is as it was before the last change.
    fn assert_unchanged(&self, when: &str) {
        assert_eq!(self.machines[0][0].pings(&self.door), self.was_open, "{when}");
    }

    /// Everything is well again, and the door is as it should be.
    fn assert_followed(&mut self, when: &str) {
        let is_open = self.rule.is_some();
        let follows = || self.machines[0][0].pings(&self.door) == is_open;
        let logs = || self.cloud.hosts.iter().map(Host::log).collect::<String>();
        eventually(WAIT, follows).unwrap_or_else(|_| panic!("{when}, open {is_open}\n{}", logs()));
        self.was_open = is_open;
        self.cloud.wait_ready();
        let before = self.heard();
        let heard = || self.heard().iter().all(|(host, at)| before.get(host) < Some(at));
        eventually(WAIT, heard).unwrap_or_else(|_| panic!("{when}: silence\n{}", logs()));
        assert_eq!(self.alive(), ["host1", "host2"], "{when}");
        assert_eq!(self.ports_now(), self.ports, "{when}");
        eprintln!("{when}: well again");
    }

    /// When the server has heard of each host's agent, on its own clock.
    fn heard(&self) -> BTreeMap<String, String> {
        let text = |agent: &Value, key: &str| agent[key].as_str().unwrap().to_owned();
        let agents = self.cloud.get("/v2.0/agents");
        let agents = agents["agents"].as_array().unwrap().iter();
        agents.map(|agent| (text(agent, "host"), text(agent, "heartbeat_timestamp"))).collect()
    }

    /// The hosts whose agents are alive for the server.
    fn alive(&self) -> Vec<String> {
        let agents = self.cloud.get("/v2.0/agents");
        let agents = agents["agents"].as_array().unwrap().iter();
        let alive = agents.filter(|agent| agent["alive"] == true);
        let mut hosts: Vec<_> =
            alive.map(|agent| agent["host"].as_str().unwrap().to_owned()).collect();
        hosts.sort();
        hosts
    }

    /// The state of each port, and the number that every change of it raises.
    fn ports_now(&self) -> BTreeMap<String, Value> {
        let machines = self.machines.iter().flatten().chain([&self.door]);
        let state = |machine: &Machine| {
            let port = self.cloud.port(machine);
            let state = json!([port["status"], port["revision_number"], port["updated_at"]]);
            (machine.port.clone(), state)
        };
        machines.map(state).collect()
    }

    /// Nothing of what they have said may be lost, but for what a plug has disturbed.
    fn end(self) {
        let mut lost = 0;
        for steady in self.steady {
            let delivery = steady.stop();
            eprintln!("{delivery}");
            assert!(delivery.sent > 0);
            lost += delivery.lost_outside(&self.disturbed);
        }
        assert_eq!(lost, 0);
    }
}

/// A port, bound to the host.
fn port(cloud: &Cloud, network: &str, host: u8, group: &str, name: &str) -> Value {
    cloud.openstack.one(&format!(
        "port create --network {network} --host host{host} --device-owner compute:nova \
         --security-group {group} {name}"
    ))
}

/// Takes the rule from the group, or gives it one that admits pings.
fn toggle(server: SocketAddr, group: &str, rule: Option<String>) -> Option<String> {
    if let Some(rule) = rule {
        ask(server, "DELETE", &format!("/v2.0/security-group-rules/{rule}"), &Value::Null);
        return None;
    }
    let rule = json!({
        "security_group_id": group, "direction": "ingress", "protocol": "icmp",
        "project_id": "",
    });
    let body = json!({ "security_group_rule": rule });
    let rule = ask(server, "POST", "/v2.0/security-group-rules", &body);
    Some(rule["security_group_rule"]["id"].as_str().unwrap().to_owned())
}
