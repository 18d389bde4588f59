//! A server, a client that may reach it and a stranger that may not, on a node with either firewall.

use std::process::Output;
use std::time::Duration;

use agent::Firewall;
use neutron::object::{IpAllocation, Object, Port, SecurityGroup, SecurityGroupRule};
use testkit::{Nic, Vm};

use super::{Node, Settings, bound, id, mac, vlan};

/// How a machine is plugged into the integration bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiring {
    /// By its own device.
    Direct,
    /// By a Linux bridge, as os-vif does it.
    BehindBridge,
}

/// How long a packet may take that gets there.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// How long nothing is waited for.
pub(crate) const NEVER: Duration = Duration::from_millis(500);

pub(crate) const CLIENTS: u32 = 0x9000;
pub(crate) const SERVERS: u32 = 0x9001;
pub(crate) const TO_ANYBODY: u32 = 0xa000;
pub(crate) const FROM_CLIENTS: u32 = 0xa010;
pub(crate) const ECHO: u16 = 7;

/// The id of port or group `n`, of which the first digits count.
pub(crate) fn unique(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

pub(crate) fn port(n: u32, group: u32) -> Object {
    let fixed = |ip_address| IpAllocation { ip_address, ..IpAllocation::default() };
    Object::Port(Port {
        id: unique(n),
        fixed_ips: vec![fixed(format!("10.0.0.{n}")), fixed(format!("2001:db8::{n}"))],
        security_group_ids: vec![unique(group)],
        ..bound(n, 0x8000, vlan(100), group)
    })
}

pub(crate) fn group(n: u32) -> Object {
    Object::SecurityGroup(SecurityGroup {
        id: unique(n),
        stateful: true,
        ..SecurityGroup::default()
    })
}

pub(crate) fn rules(n: u32, rule: &SecurityGroupRule) -> [Object; 2] {
    [("IPv4", n), ("IPv6", n + 0x100)].map(|(ethertype, n)| {
        Object::SecurityGroupRule(SecurityGroupRule {
            id: id(n),
            ethertype: ethertype.to_owned(),
            revision_number: 1,
            ..rule.clone()
        })
    })
}

/// What members of a group may send: everything.
pub(crate) fn egress(n: u32, group: u32) -> [Object; 2] {
    let direction = "egress".to_owned();
    rules(
        n,
        &SecurityGroupRule { security_group_id: unique(group), direction, ..Default::default() },
    )
}

/// What servers may get: UDP and TCP to one port, from clients.
pub(crate) fn from_clients(protocol: &str) -> [Object; 2] {
    let port = Some(u32::from(ECHO));
    let n = if protocol == "udp" { FROM_CLIENTS } else { FROM_CLIENTS + 1 };
    rules(
        n,
        &SecurityGroupRule {
            security_group_id: unique(SERVERS),
            direction: "ingress".to_owned(),
            protocol: Some(protocol.to_owned()),
            port_range_min: port,
            port_range_max: port,
            remote_group_id: Some(unique(CLIENTS)),
            ..Default::default()
        },
    )
}

/// Clients may ping servers.
fn pings() -> Object {
    let [ipv4, _] = rules(
        FROM_CLIENTS + 2,
        &SecurityGroupRule {
            security_group_id: unique(SERVERS),
            direction: "ingress".to_owned(),
            protocol: Some("icmp".to_owned()),
            remote_group_id: Some(unique(CLIENTS)),
            ..Default::default()
        },
    );
    ipv4
}

/// A node with a server and two machines, of which the first is a client.
pub(crate) struct Scene {
    pub(crate) node: Node,
    pub(crate) server: Vm,
    pub(crate) client: Vm,
    pub(crate) stranger: Vm,
}

impl Scene {
    /// All of them behind Linux bridges, where netfilter filters them.
    pub(crate) fn start() -> Self {
        Self::start_with(Firewall::IptablesHybrid, Wiring::BehindBridge)
    }

    pub(crate) fn start_with(firewall: Firewall, wiring: Wiring) -> Self {
        Self::start_as(Settings { firewall: Some(firewall), ..Settings::default() }, wiring)
    }

    /// With these settings.
    pub(crate) fn start_as(settings: Settings, wiring: Wiring) -> Self {
        let mut objects = vec![group(CLIENTS), group(SERVERS), pings()];
        objects.extend([port(1, SERVERS), port(2, CLIENTS), port(3, SERVERS)]);
        objects.extend(egress(TO_ANYBODY, CLIENTS));
        objects.extend(egress(TO_ANYBODY + 1, SERVERS));
        objects.extend(from_clients("udp"));
        objects.extend(from_clients("tcp"));
        let node = Node::start_with(objects, settings);
        let [server, client, stranger] = [1, 2, 3].map(|n| plugged(&node, n, wiring));
        node.wait_up(3);
        for vm in [&server, &client] {
            vm.listen_udp(ECHO).unwrap();
            vm.listen_tcp(ECHO).unwrap();
        }
        Self { node, server, client, stranger }
    }

    /// Whether the server answers both families.
    pub(crate) fn answers(&self, who: &Vm, within: Duration) -> Vec<bool> {
        let to = [self.server.v4(ECHO).unwrap(), self.server.v6(ECHO).unwrap()];
        let udp = to.map(|to| who.ask_udp(to, within).passed());
        let tcp = to.map(|to| who.connect_tcp(to, within).passed());
        [udp, tcp].concat()
    }

    /// What a program prints that runs where the switch does.
    pub(crate) fn run(&self, command: &str) -> String {
        let mut words = command.split(' ');
        let program = words.next().unwrap();
        let Output { status, stdout, stderr } =
            self.node.switch.namespace().command(program).args(words).output().unwrap();
        assert!(status.success(), "{command}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// All rules and sets, without what changes by itself.
    pub(crate) fn netfilter(&self) -> String {
        let listings = ["iptables-save", "ip6tables-save", "ipset save"].map(|it| self.run(it));
        let listings = listings.concat();
        listings.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }
}

/// The name of a device of port `n`.
pub(crate) fn device(kind: &str, n: u32) -> String {
    format!("{kind}{}", &unique(n)[..11])
}

/// Machine `n`, plugged in with the names of os-vif.
pub(crate) fn plugged(node: &Node, n: u32, wiring: Wiring) -> Vm {
    let suffix = device("", n);
    match wiring {
        Wiring::Direct => plugged_as(node, n, &device("tap", n)),
        Wiring::BehindBridge => {
            let vm = Vm::behind_bridge(&node.switch, &suffix, &nic(n)).unwrap();
            node.plug(&device("qvo", n), &unique(n));
            vm
        }
    }
}

/// Machine `n`, plugged in by a device of that name.
pub(crate) fn plugged_as(node: &Node, n: u32, device: &str) -> Vm {
    let vm = Vm::cabled(&node.switch, device, &nic(n)).unwrap();
    node.plug(device, &unique(n));
    vm
}

fn nic(n: u32) -> Nic {
    Nic {
        mac: Some(mac(n)),
        addresses: vec![
            format!("10.0.0.{n}/24").parse().unwrap(),
            format!("2001:db8::{n}/64").parse().unwrap(),
        ],
        ..Nic::default()
    }
}
