//! Who is there: a node with all the machines that the rows need, one wire each.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;

use agent::Firewall;
use neutron::object::{
    AddressAssociation, AddressGroup, AllowedAddressPair, IpAllocation, NetworkSegment, Object,
    Port, PortBinding, PortBindingLevel, PortSecurity, SecurityGroup, SecurityGroupRule,
};
use testkit::{Switch, Wire, eventually};

use crate::cases::group::{
    self, ADDRESSES, CHANGING, FAMILIES, GROUPS, OWN_ADDRESSES, Rule, To, is_stateful,
};
use crate::cases::machine::{CAROL, Kind, MACHINES, Machine, PERMITTED, STRICT};
use crate::cases::row::{Act, Change};
use crate::cases::run::{Driver, Stage};
use crate::node::{HOST, Node, PATIENCE, Settings};

/// An id of which both ends count: devices and sets are named after its first digits, flows after its
/// last.
fn id(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-{n:012x}")
}

/// The id of a machine's port.
fn id_of(machine: &Machine) -> String {
    id(machine.n.into())
}

/// What the devices of a machine's port are named after.
fn suffix_of(machine: &Machine) -> String {
    id_of(machine).chars().take(11).collect()
}

/// The port of a machine.
fn port(machine: &Machine, security: bool) -> Object {
    port_in(machine, machine.groups, security)
}

fn port_in(machine: &Machine, groups: &[u32], security: bool) -> Object {
    let id_of_segment = id(0x8100 + u32::from(machine.network));
    // Where a network leaves the node, so does what nobody here is meant by.
    let segment = if let Some(vlan) = machine.vlan() {
        NetworkSegment {
            id: id_of_segment,
            network_type: "vlan".to_owned(),
            physical_network: Some("physnet1".to_owned()),
            segmentation_id: Some(vlan),
            ..NetworkSegment::default()
        }
    } else {
        NetworkSegment {
            id: id_of_segment,
            network_type: "local".to_owned(),
            ..NetworkSegment::default()
        }
    };
    let host = if machine.kind == Kind::Beyond { "node2" } else { HOST }.to_owned();
    let binding =
        PortBinding { host: host.clone(), vif_type: "ovs".to_owned(), ..PortBinding::default() };
    let level = PortBindingLevel { host, segment: Some(segment), ..PortBindingLevel::default() };
    let fixed = |ip: IpAddr| IpAllocation { ip_address: ip.to_string(), ..IpAllocation::default() };
    let pairs = match machine.kind {
        Kind::Pairs(pairs) => pairs,
        _ => &[],
    };
    let pair = |&(mac, prefix): &(Option<&str>, &str)| AllowedAddressPair {
        mac_address: mac.map_or_else(|| machine.mac_text(), str::to_owned),
        ip_address: prefix.to_owned(),
        ..AllowedAddressPair::default()
    };
    let port_security_enabled = security && machine.kind != Kind::WithoutSecurity;
    let owner = if machine.kind == Kind::Trusted { "network:dhcp" } else { "compute:nova" };
    let mut fixed_ips = vec![fixed(machine.v4().into()), fixed(machine.v6().into())];
    if machine.kind == Kind::WithoutAddress {
        fixed_ips.clear();
    }
    Object::Port(Port {
        id: id_of(machine),
        network_id: id(0x8000 + u32::from(machine.network)),
        mac_address: machine.mac_text(),
        admin_state_up: true,
        device_owner: owner.to_owned(),
        allowed_address_pairs: pairs.iter().map(pair).collect(),
        bindings: vec![binding],
        binding_levels: vec![level],
        fixed_ips,
        security: Some(PortSecurity { port_security_enabled, ..PortSecurity::default() }),
        security_group_ids: groups.iter().copied().map(id).collect(),
        ..Port::default()
    })
}

fn rule_objects() -> Vec<SecurityGroupRule> {
    let mut objects = Vec::new();
    for ((family, ethertype), first) in FAMILIES.into_iter().zip([0x100, 0x200]) {
        for (n, Rule(group, direction, transport, to)) in (first..).zip(group::rules(family)) {
            let mut rule = SecurityGroupRule {
                id: id(n),
                security_group_id: id(group),
                direction: direction.to_owned(),
                ethertype: ethertype.to_owned(),
                ..SecurityGroupRule::default()
            };
            if let Some((protocol, low, high)) = transport {
                rule.protocol = Some(protocol.to_owned());
                rule.port_range_min = low;
                rule.port_range_max = high;
            }
            match to {
                To::Anybody => {}
                To::Prefix(prefix) => rule.remote_ip_prefix = Some(prefix.to_owned()),
                To::Group(group) => rule.remote_group_id = Some(id(group)),
                To::Addresses => rule.remote_address_group_id = Some(id(ADDRESSES)),
            }
            objects.push(rule);
        }
    }
    objects
}

fn group(n: u32, stateful: bool) -> Object {
    Object::SecurityGroup(SecurityGroup { id: id(n), stateful, ..SecurityGroup::default() })
}

/// The address group, with these addresses besides its own.
fn address_group(others: &[&str]) -> Object {
    let address = |text: &&str| AddressAssociation {
        address: (*text).to_owned(),
        ..AddressAssociation::default()
    };
    Object::AddressGroup(AddressGroup {
        id: id(ADDRESSES),
        addresses: OWN_ADDRESSES.iter().chain(others).map(address).collect(),
        ..AddressGroup::default()
    })
}

fn objects() -> Vec<Object> {
    let groups = GROUPS.map(|n| group(n, is_stateful(n)));
    let addresses = address_group(&[]);
    let ports = MACHINES.iter().map(|machine| port(machine, true));
    let rules = rule_objects().into_iter().map(Object::SecurityGroupRule);
    ports.chain(groups).chain([addresses]).chain(rules).collect()
}

/// The wire of a machine, which ends where the node's firewall wants it.
fn cable(switch: &Switch, driver: Driver, machine: &Machine) -> Wire {
    if driver == Driver::Flows || machine.kind == Kind::Beyond {
        return Wire::cabled(switch, &machine.device(), &machine.mac_text()).unwrap();
    }
    let suffix = suffix_of(machine);
    let wire = Wire::cabled(switch, &format!("tap{suffix}"), &machine.mac_text()).unwrap();
    switch.add_linux_bridge(&suffix, None).unwrap();
    wire
}

/// A node with every machine wired and up.
pub(crate) struct Scene {
    wires: Vec<(&'static Machine, Wire)>,
    node: Node,
    driver: Driver,
}

impl Scene {
    /// The node of the truth table.
    pub(crate) fn start(driver: Driver) -> Self {
        Self::start_with(driver, |machine| machine.network != STRICT, false)
    }

    /// A node with the option `strict_equivalence`, and the machines of one network.
    pub(crate) fn start_strict(driver: Driver) -> Self {
        Self::start_with(driver, |machine| machine.network == STRICT, true)
    }

    fn start_with(
        driver: Driver,
        here: impl Fn(&Machine) -> bool,
        strict_equivalence: bool,
    ) -> Self {
        let permitted = agent::PermittedEtherType::new(PERMITTED).unwrap();
        let settings = Settings {
            firewall: Some(match driver {
                Driver::Flows => Firewall::OpenVswitch,
                Driver::Netfilter => Firewall::IptablesHybrid,
            }),
            permitted_ethertypes: BTreeSet::from([permitted]),
            strict_equivalence,
            ..Settings::default()
        };
        let node = Node::start_with(objects(), settings);
        let cable = |machine: &'static Machine| (machine, cable(&node.switch, driver, machine));
        let machines: Vec<_> = MACHINES.iter().copied().filter(|it| here(it)).collect();
        let wires: Vec<(&'static Machine, Wire)> = thread::scope(|scope| {
            let threads: Vec<_> =
                machines.iter().map(|machine| scope.spawn(|| cable(machine))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let (beyond, here): (Vec<_>, Vec<_>) =
            machines.into_iter().partition(|machine| machine.kind == Kind::Beyond);
        for machine in beyond {
            let vlan = format!("tag={}", machine.vlan().unwrap());
            node.switch.vsctl(&["add-port", "br-phys", &machine.device(), &vlan]).unwrap();
        }
        let device = |machine: &Machine| match driver {
            Driver::Flows => machine.device(),
            Driver::Netfilter => format!("qvo{}", suffix_of(machine)),
        };
        let ports = here.iter().map(|machine| (device(machine), id_of(machine)));
        node.plug_all(&ports.collect::<Vec<_>>());
        node.wait_up(here.len());
        node.switch.settle().unwrap();
        Self { wires, node, driver }
    }

    /// What rules do not apply is said for the port that has them.
    pub(crate) fn check_status(&self) {
        let status = self.node.status();
        let carol = id_of(&CAROL);
        let port = status.ports.into_iter().find(|port| port.id == carol).unwrap();
        for protocol in ["dccp", "udplite"] {
            let says = format!("does not apply: ports of {protocol} cannot be matched");
            let warned = port.warnings.iter().any(|warning| warning.contains(&says));
            assert!(warned, "{:?}", port.warnings);
        }
    }

    /// Makes the change of the act, runs its rows, and says what differs.
    pub(crate) fn run(&self, act: &Act) -> Vec<String> {
        let switches = vec![&self.node.switch];
        let stage = Stage { wires: &self.wires, switches, driver: self.driver };
        stage.run(act, |change| self.change(change))
    }

    /// Makes the change and waits until the switch follows it.
    fn change(&self, change: Change) {
        let changing = || {
            let of_group = |rule: &SecurityGroupRule| rule.security_group_id == id(CHANGING);
            rule_objects().into_iter().filter(of_group).map(Object::SecurityGroupRule)
        };
        let server = &self.node.server;
        let steps: Vec<Box<dyn Fn() + '_>> = match change {
            Change::Security(machine, on) => vec![Box::new(move || server.add(port(machine, on)))],
            Change::Groups(machine, group) => {
                vec![Box::new(move || server.add(port_in(machine, &[group], true)))]
            }
            Change::Stateful(n, stateful) => vec![Box::new(move || server.add(group(n, stateful)))],
            Change::Addresses(others) => {
                vec![Box::new(move || server.add(address_group(others)))]
            }
            Change::RulesGo => changing()
                .map(|rule| -> Box<dyn Fn()> {
                    Box::new(move || server.delete(rule.resource(), rule.id()))
                })
                .collect(),
            Change::RulesComeBack => changing()
                .map(|rule| -> Box<dyn Fn()> { Box::new(move || server.add(rule.clone())) })
                .collect(),
        };
        // Other tables may change at the same time: the switch learns, and policies linger.
        let table = match change {
            Change::Security(..) | Change::Groups(..) | Change::Stateful(..) => "table=160,",
            Change::Addresses(_) => "table=184,",
            Change::RulesGo | Change::RulesComeBack => "table=182,",
        };
        let flows = || {
            let mut flows = self.node.flows();
            flows.retain(|flow| flow.contains(table));
            flows
        };
        for step in steps {
            let before = flows();
            step();
            // Of netfilter nobody knows when it is through; its rows are run until they hold.
            if self.driver == Driver::Flows {
                eventually(PATIENCE, || flows() != before).unwrap();
            }
        }
        self.node.switch.settle().unwrap();
    }
}
