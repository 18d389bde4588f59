//! Who is there: the machines of the truth table on two hosts, with what Neutron must know of them.
//!
//! A network whose rows speak of one node has its machines on one; the others are on both, and
//! what lies between is a VLAN or a tunnel. Whoever is beyond the nodes has an access port of the
//! second host's physical bridge.

use std::{
    collections::BTreeMap,
    slice, thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testkit::{Wire, eventually};

use crate::{
    cases::{
        group::{
            self, ADDRESSES, CHANGING, FAMILIES, FRIENDS, GROUPS, OWN_ADDRESSES, Rule, To,
            is_stateful,
        },
        machine::{
            CAROL, CLOSED, DAN, JUDY, KATE, Kind, LIAM, MACHINES, Machine, OPEN, PAUL, PERMITTED,
            STRANGE, STRICT, YVONNE,
        },
        packet::barrier,
        row::{Act, Change},
        run::{Driver, Stage},
    },
    cloud::{Cloud, Told, WAIT},
};

/// The networks that there are, each with its type.
const NETWORKS: [(u8, &str); 9] = [
    (0, "vlan"),
    (1, "local"),
    (2, "vlan"),
    (3, "gre"),
    (4, "vxlan"),
    (5, "vlan"),
    (7, "geneve"),
    (OPEN, "vlan"),
    (CLOSED, "vlan"),
];

/// The part of `::/0` that the rows use: Neutron takes no pair with multicast addresses in it, and one
/// that is not `/0` counts as addresses of the group's members.
const ANYWHERE: [&str; 3] = ["2001:db8:7::/48", "2001:db8:ffff::/48", "fe80::/10"];

/// The same without link-local addresses: where netfilter filters, rules decide who hears group frames
/// that come from those, and nobody is to be let in as a member.
const ANYWHERE_ELSE: [&str; 2] = ["2001:db8:7::/48", "2001:db8:ffff::/48"];

/// Tables that change with ports, with sets of members, and with rules.
const PORTS: u8 = 160;
const MEMBERS: u8 = 184;
const RULES: u8 = 182;

/// How long a frame may take where the way is open.
const SOON: Duration = Duration::from_millis(200);

/// How long the server may take until it has taken note of all the ports. On an idle machine it is
/// some seconds; a busy one lets calls expire, which are then repeated.
const ALL_ACTIVE: Duration = Duration::from_secs(300);

/// Two hosts with every machine wired and up.
pub(super) struct Scene {
    driver: Driver,
    // Dropped in this order.
    wires: Vec<(&'static Machine, Wire)>,
    cloud: Cloud,
    /// The server's ids: of networks, of groups, of ports by the number of their machines.
    networks: BTreeMap<u8, String>,
    groups: BTreeMap<u32, String>,
    ports: BTreeMap<u8, String>,
}

/// On which host a machine is.
fn host(machine: &Machine) -> usize {
    match machine.network {
        1 | 5 | OPEN | CLOSED => 0,
        2 => 1,
        _ => usize::from(machine.n.is_multiple_of(2)),
    }
}

fn is_beyond(machine: &Machine) -> bool {
    machine.kind == Kind::Beyond
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

impl Scene {
    pub(super) fn start(driver: Driver) -> Self {
        assert_eq!(PERMITTED, 0x88b6, "the agents are told so");
        let agent_ini = match driver {
            Driver::Flows => "[securitygroup]\npermitted_ethertypes = 0x88b6\n",
            Driver::Netfilter => {
                "[securitygroup]\npermitted_ethertypes = 0x88b6\nfirewall_driver = iptables_hybrid\n"
            }
        };
        let mut cloud = Cloud::start_told(2, &Told { agent_ini, ..Told::NOTHING });
        for host in 0..2 {
            cloud.start_weir_agent(host);
        }
        cloud.wait_alive();
        let (networks, groups, ports) = Default::default();
        let mut scene = Self { driver, wires: Vec::new(), cloud, networks, groups, ports };
        scene.create_networks();
        scene.create_groups();
        scene.create_ports();
        scene.plug();
        scene.wait_connected();
        scene
    }

    /// What rules do not apply is said for the port that has them.
    pub(super) fn check_status(&self) {
        let status = self.cloud.hosts[host(&CAROL)].status();
        let carol = self.port(&CAROL);
        let port = status.ports.into_iter().find(|port| port.id == carol).unwrap();
        for protocol in ["dccp", "udplite"] {
            let says = format!("does not apply: ports of {protocol} cannot be matched");
            let warned = port.warnings.iter().any(|warning| warning.contains(&says));
            assert!(warned, "{:?}", port.warnings);
        }
    }

    /// Makes the change of the act, runs its rows, and says what differs.
    pub(super) fn run(&self, act: &Act) -> Vec<String> {
        self.stage().run(act, |change| self.change(change))
    }

    fn stage(&self) -> Stage<'_> {
        let switches = self.cloud.hosts.iter().map(|host| &host.switch).collect();
        Stage { wires: &self.wires, switches, driver: self.driver }
    }

    /// The ids of what is made with one request, in the order in which it was asked for.
    fn create(&self, path: &str, kind: &str, objects: &[Value]) -> Vec<String> {
        let made = self.cloud.ask("POST", path, &json!({ kind: objects }));
        made[kind].as_array().unwrap().iter().map(|object| text(&object["id"])).collect()
    }

    fn create_networks(&mut self) {
        let network = |&(n, kind): &(u8, &str)| {
            let mut network =
                json!({ "name": format!("network {n}"), "provider:network_type": kind });
            if kind == "vlan" {
                network["provider:physical_network"] = json!("physnet1");
                network["provider:segmentation_id"] = json!(100 + u32::from(n));
            }
            network
        };
        let networks: Vec<Value> = NETWORKS.iter().map(network).collect();
        let ids = self.create("/v2.0/networks", "networks", &networks);
        self.networks = NETWORKS.iter().map(|(n, _)| *n).zip(ids).collect();
        let subnets = self.networks.iter().flat_map(|(n, id)| {
            let subnet = |version: u8, cidr: String| {
                json!({
                    "network_id": id, "ip_version": version, "cidr": cidr, "gateway_ip": null,
                    "enable_dhcp": false,
                })
            };
            [subnet(4, format!("10.0.{n}.0/24")), subnet(6, format!("2001:db8:0:{n:x}::/64"))]
        });
        self.create("/v2.0/subnets", "subnets", &subnets.collect::<Vec<_>>());
    }

    fn create_groups(&mut self) {
        // New groups have no rules but those that the table gives them.
        let templates = self.cloud.get("/v2.0/default-security-group-rules");
        for template in templates["default_security_group_rules"].as_array().unwrap() {
            let path = format!("/v2.0/default-security-group-rules/{}", text(&template["id"]));
            self.cloud.ask("DELETE", &path, &Value::Null);
        }
        let group = |n| json!({ "name": format!("{n:x}"), "stateful": is_stateful(n) });
        let groups: Vec<Value> = GROUPS.map(group).collect();
        let ids = self.create("/v2.0/security-groups", "security_groups", &groups);
        self.groups = GROUPS.zip(ids).collect();
        let addresses = json!({ "address_group": { "name": "", "addresses": OWN_ADDRESSES } });
        let made = self.cloud.ask("POST", "/v2.0/address-groups", &addresses);
        self.groups.insert(ADDRESSES, text(&made["address_group"]["id"]));
        // One request may be about one group alone.
        for group in GROUPS {
            let rules = self.rules(group);
            if !rules.is_empty() {
                self.create("/v2.0/security-group-rules", "security_group_rules", &rules);
            }
        }
    }

    fn rules(&self, group: u32) -> Vec<Value> {
        let mut bodies = Vec::new();
        for (family, ethertype) in FAMILIES {
            let rules = group::rules(family).into_iter().filter(|Rule(of, ..)| *of == group);
            for Rule(group, direction, transport, to) in rules {
                let mut rule = json!({
                    "security_group_id": self.groups[&group], "direction": direction,
                    "ethertype": ethertype,
                });
                if let Some((protocol, low, high)) = transport {
                    rule["protocol"] = json!(protocol);
                    rule["port_range_min"] = json!(low);
                    rule["port_range_max"] = json!(high);
                }
                match to {
                    To::Anybody => {}
                    To::Prefix(prefix) => rule["remote_ip_prefix"] = json!(prefix),
                    To::Group(group) => rule["remote_group_id"] = json!(self.groups[&group]),
                    To::Addresses => {
                        rule["remote_address_group_id"] = json!(self.groups[&ADDRESSES]);
                    }
                }
                bodies.push(rule);
            }
        }
        bodies
    }

    fn create_ports(&mut self) {
        let machines: Vec<&Machine> = machines().filter(|it| it.network != STRANGE).collect();
        let bodies: Vec<Value> = machines.iter().map(|machine| self.port_body(machine)).collect();
        let ids = self.create("/v2.0/ports", "ports", &bodies);
        self.ports = machines.iter().map(|machine| machine.n).zip(ids).collect();
        // The table says which of the two has the lower id.
        while self.port(&LIAM) < self.port(&KATE) {
            self.cloud.ask("DELETE", &format!("/v2.0/ports/{}", self.port(&LIAM)), &Value::Null);
            let [id] = &self.create("/v2.0/ports", "ports", &[self.port_body(&LIAM)])[..] else {
                panic!("one port was asked for");
            };
            self.ports.insert(LIAM.n, id.clone());
        }
    }

    fn port_body(&self, machine: &Machine) -> Value {
        let fixed_ips = [machine.v4().to_string(), machine.v6().to_string()];
        let fixed_ips = fixed_ips.map(|address| json!({ "ip_address": address }));
        let trusted = machine.kind == Kind::Trusted;
        let mut port = json!({
            "name": machine.name, "network_id": self.networks[&machine.network],
            "mac_address": machine.mac_text(), "fixed_ips": fixed_ips,
            "device_owner": if trusted { "network:dhcp" } else { "compute:nova" },
        });
        if !is_beyond(machine) {
            port["binding:host_id"] = json!(self.cloud.hosts[host(machine)].name);
        }
        match machine.kind {
            Kind::WithoutSecurity => port["port_security_enabled"] = json!(false),
            Kind::Trusted => {}
            Kind::WithoutAddress => port["fixed_ips"] = json!([]),
            Kind::Pairs(pairs) => {
                let pair = |mac: Option<&str>, prefix: &str| match mac {
                    None => json!({ "ip_address": prefix }),
                    Some(mac) => json!({ "ip_address": prefix, "mac_address": mac }),
                };
                let pairs = pairs.iter().flat_map(|(mac, prefix)| {
                    let prefixes = match (*prefix, self.driver) {
                        ("::/0", Driver::Flows) => &ANYWHERE[..],
                        ("::/0", Driver::Netfilter) => &ANYWHERE_ELSE[..],
                        _ => slice::from_ref(prefix),
                    };
                    prefixes.iter().map(|prefix| pair(*mac, prefix))
                });
                port["allowed_address_pairs"] = pairs.collect();
            }
            Kind::Plain | Kind::Beyond => {}
        }
        if !matches!(machine.kind, Kind::WithoutSecurity | Kind::Trusted) {
            port["security_groups"] = self.ids(machine.groups);
        }
        port
    }

    fn ids(&self, groups: &[u32]) -> Value {
        groups.iter().map(|group| json!(self.groups[group])).collect()
    }

    /// The id of a machine's port.
    fn port(&self, machine: &Machine) -> &str {
        &self.ports[&machine.n]
    }

    /// Cables all machines and plugs them in as Nova does it, and waits until their ports are
    /// active.
    fn plug(&mut self) {
        let hosts = &self.cloud.hosts;
        let cable = |machine: &'static Machine| {
            let switch = &hosts[if is_beyond(machine) { 1 } else { host(machine) }].switch;
            if is_beyond(machine) || self.driver == Driver::Flows {
                let wire = Wire::cabled(switch, &machine.device(), &machine.mac_text());
                return (machine, wire.unwrap());
            }
            let suffix = &self.port(machine)[..11];
            let wire = Wire::cabled(switch, &format!("tap{suffix}"), &machine.mac_text());
            switch.add_linux_bridge(suffix, None).unwrap();
            (machine, wire.unwrap())
        };
        self.wires = thread::scope(|scope| {
            let threads: Vec<_> =
                machines().map(|machine| scope.spawn(move || cable(machine))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        for machine in machines().filter(|it| is_beyond(it)) {
            let tag = format!("tag={}", machine.vlan().unwrap());
            hosts[1].switch.vsctl(&["add-port", "br-phys", &machine.device(), &tag]).unwrap();
        }
        for (n, at) in hosts.iter().enumerate() {
            let here = machines().filter(|it| !is_beyond(it) && host(it) == n);
            let add = |machine: &Machine| {
                let (mac, port) = (machine.mac_text(), self.port(machine));
                let device = match self.driver {
                    Driver::Flows => machine.device(),
                    Driver::Netfilter => format!("qvo{}", &port[..11]),
                };
                let add = ["--", "add-port", "br-int", &device, "--", "set", "Interface", &device];
                let external = [
                    format!("external_ids:iface-id={port}"),
                    format!("external_ids:attached-mac=\"{mac}\""),
                    "external_ids:iface-status=active".to_owned(),
                ];
                add.map(str::to_owned).into_iter().chain(external).collect::<Vec<_>>()
            };
            let command: Vec<String> = here.flat_map(add).collect();
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            at.switch.vsctl(&command).unwrap();
        }
        let mut waiting: Vec<String> = Vec::new();
        let all_active = eventually(ALL_ACTIVE, || {
            let listed = self.cloud.get("/v2.0/ports?status=DOWN&status=BUILD&fields=name");
            let names = listed["ports"].as_array().unwrap().iter().map(|port| text(&port["name"]));
            let is_here = |name: &String| machines().any(|it| it.name == name && !is_beyond(it));
            waiting = names.filter(is_here).collect();
            waiting.is_empty()
        });
        let logs = || hosts.iter().map(|host| host.log()).collect::<String>();
        assert!(all_active.is_ok(), "not active: {waiting:?}\n{}", logs());
    }

    /// Waits until everybody hears what everybody else of the network says to all: what is at the
    /// other ends of tunnels is told by and by.
    fn wait_connected(&self) {
        for (from, wire) in &self.wires {
            let mut silent: Vec<&(&Machine, Wire)> = self
                .wires
                .iter()
                .filter(|(other, _)| other.network == from.network && other != from)
                .collect();
            let connected = eventually(WAIT, || {
                let greeting = barrier(from);
                wire.send(&greeting).unwrap();
                silent.retain(|(_, other)| !hears(other, &greeting));
                silent.is_empty()
            });
            let silent: Vec<&str> = silent.iter().map(|(machine, _)| machine.name).collect();
            assert!(connected.is_ok(), "{silent:?} do not hear {}", from.name);
        }
        // What has come late is nobody's answer.
        for (_, wire) in &self.wires {
            while wire.hear(Instant::now()).unwrap().is_some() {}
        }
    }

    /// Makes the change and waits until the switches follow it.
    fn change(&self, change: Change) {
        match change {
            Change::Security(machine, on) => {
                let groups = if on { self.ids(machine.groups) } else { json!([]) };
                let body = json!({ "port_security_enabled": on, "security_groups": groups });
                self.awaiting(&[(machine, PORTS)], || self.update_port(machine, body));
            }
            Change::Groups(machine, group) => {
                let mut what = vec![(machine, PORTS)];
                // Those who let in its members see who comes and goes.
                let now = self.cloud.get(&format!("/v2.0/ports/{}", self.port(machine)));
                let was = text(&now["port"]["security_groups"][0]);
                if [was, self.groups[&group].clone()].contains(&self.groups[&FRIENDS]) {
                    what.push((&PAUL, MEMBERS));
                }
                let body = json!({ "security_groups": self.ids(&[group]) });
                self.awaiting(&what, || self.update_port(machine, body));
            }
            Change::Stateful(group, stateful) => self.set_stateful(group, stateful),
            Change::Addresses(others) => self.awaiting(&[(&JUDY, MEMBERS)], || {
                let path = format!("/v2.0/address-groups/{}", self.groups[&ADDRESSES]);
                let now = self.cloud.get(&path);
                let wanted: Vec<&str> = OWN_ADDRESSES.iter().chain(others).copied().collect();
                let there: Vec<String> = now["address_group"]["addresses"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(text)
                    .collect();
                let new: Vec<&&str> =
                    wanted.iter().filter(|it| !there.iter().any(|other| other == **it)).collect();
                let old: Vec<&String> =
                    there.iter().filter(|it| !wanted.contains(&it.as_str())).collect();
                for (verb, addresses) in
                    [("add_addresses", json!(new)), ("remove_addresses", json!(old))]
                {
                    if addresses != json!([]) {
                        let body = json!({ "addresses": addresses });
                        self.cloud.ask("PUT", &format!("{path}/{verb}"), &body);
                    }
                }
            }),
            Change::RulesGo => {
                let group = &self.groups[&CHANGING];
                let path = format!("/v2.0/security-group-rules?security_group_id={group}");
                let rules = self.cloud.get(&path);
                for rule in rules["security_group_rules"].as_array().unwrap() {
                    let path = format!("/v2.0/security-group-rules/{}", text(&rule["id"]));
                    self.awaiting(&[(&YVONNE, RULES)], || {
                        self.cloud.ask("DELETE", &path, &Value::Null);
                    });
                }
            }
            Change::RulesComeBack => {
                for rule in self.rules(CHANGING) {
                    let body = json!({ "security_group_rule": rule });
                    self.awaiting(&[(&YVONNE, RULES)], || {
                        self.cloud.ask("POST", "/v2.0/security-group-rules", &body);
                    });
                }
            }
        }
        self.cloud.hosts.iter().for_each(|host| host.switch.settle().unwrap());
    }

    /// Neutron changes the flag of a group only while no port has it.
    fn set_stateful(&self, group: u32, stateful: bool) {
        assert_eq!(DAN.groups, [group], "Dan alone is in the group");
        let of_dan = [(&DAN, PORTS)];
        let before = self.flows(&of_dan);
        self.awaiting(&of_dan, || self.update_port(&DAN, json!({ "security_groups": [] })));
        let path = format!("/v2.0/security-groups/{}", self.groups[&group]);
        let body = json!({ "security_group": { "stateful": stateful } });
        self.cloud.ask("PUT", &path, &body);
        let between = self.flows(&of_dan);
        self.update_port(&DAN, json!({ "security_groups": self.ids(&[group]) }));
        if self.driver == Driver::Flows {
            eventually(WAIT, || ![&before, &between].contains(&&self.flows(&of_dan))).unwrap();
        }
    }

    fn update_port(&self, machine: &Machine, body: Value) {
        let path = format!("/v2.0/ports/{}", self.port(machine));
        self.cloud.ask("PUT", &path, &json!({ "port": body }));
    }

    /// Does something, and waits until these tables are others, each where its machine is.
    fn awaiting(&self, what: &[(&Machine, u8)], act: impl FnOnce()) {
        let before = self.flows(what);
        let begin = Instant::now();
        act();
        // Of netfilter nobody knows when it is through; its rows are run until they hold.
        if self.driver == Driver::Netfilter {
            return;
        }
        let differ = || self.flows(what).iter().zip(&before).all(|(now, before)| now != before);
        if eventually(WAIT, differ).is_err() {
            let log = self.cloud.hosts.iter().map(|host| host.log()).collect::<String>();
            panic!("{what:?} unchanged after {:?}\n{log}", begin.elapsed());
        }
    }

    fn flows(&self, what: &[(&Machine, u8)]) -> Vec<Vec<String>> {
        let dump = |(machine, table): &(&Machine, u8)| {
            let switch = &self.cloud.hosts[host(machine)].switch;
            let table = format!("table={table}");
            let dump = switch.ofctl(&["--no-stats", "dump-flows", "br-int", &table]).unwrap();
            let mut flows: Vec<String> = dump.lines().map(str::to_owned).collect();
            flows.sort();
            flows
        };
        what.iter().map(dump).collect()
    }
}

/// Whether a frame comes soon.
fn hears(wire: &Wire, frame: &[u8]) -> bool {
    let deadline = Instant::now() + SOON;
    loop {
        match wire.hear(deadline).unwrap() {
            Some(heard) if heard == frame => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

/// All machines, without those of a node that Neutron's files cannot describe.
fn machines() -> impl Iterator<Item = &'static Machine> {
    MACHINES.iter().copied().filter(|machine| machine.network != STRICT)
}
