//! Who is there: a node with all the machines that the rows need, one wire each.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;

use neutron::object::{
    AddressAssociation, AddressGroup, AllowedAddressPair, IpAllocation, NetworkSegment, Object,
    Port, PortBinding, PortBindingLevel, PortSecurity, SecurityGroup, SecurityGroupRule,
};
use testkit::frame::Mac;
use testkit::{Wire, eventually};

use crate::node::{HOST, Node, PATIENCE, Settings, id};

/// An IP family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

/// A machine with one port. Number `n` on network `k` has 10.0.k.n and 2001:db8:0:k::n.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    n: u8,
    pub(crate) network: u8,
    /// The last byte of its MAC address.
    mac: u8,
    groups: &'static [u32],
    kind: Kind,
}

/// What is special about a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// Allowed address pairs: MAC address (its own where there is none) and prefix.
    Pairs(&'static [(Option<&'static str>, &'static str)]),
    WithoutAddress,
    WithoutSecurity,
    Trusted,
    /// It runs on another node, and its wire is one of the physical network's.
    Beyond,
}

/// The default group of a project: egress to anybody, ingress from the same group.
const DEFAULT: u32 = 0x9000;
/// Ingress of many protocols, no egress.
const SERVER: u32 = 0x9001;
/// Egress to anybody, no ingress.
pub(crate) const EGRESS: u32 = 0x9002;
/// Everything.
const ANY: u32 = 0x9003;
const WEB: u32 = 0x9004;
const DNS: u32 = 0x9005;
/// Ingress by address group, prefix, and a group without members.
const REMOTES: u32 = 0x9006;
/// Egress to its own members.
const SELF: u32 = 0x9007;
const NOBODY: u32 = 0x9008;
/// Ingress by the rules of [`changing_rules`].
const CHANGING: u32 = 0x9009;
/// Stateless: egress to anybody, ingress of a few services.
pub(crate) const STATELESS: u32 = 0x900a;
/// Stateless: ingress of everything, no egress.
pub(crate) const SINK: u32 = 0x900b;
/// Egress to anybody; members of it may talk to those in [`CIRCLE`].
pub(crate) const FRIENDS: u32 = 0x900c;
const CIRCLE: u32 = 0x900d;
const ADDRESSES: u32 = 0xa000;

/// The network of the node with the option `strict_equivalence`.
const STRICT: u8 = 6;
/// Networks that leave the node: with an unmanaged port here, and without.
const OPEN: u8 = 8;
const CLOSED: u8 = 9;
/// One that nobody has here.
const STRANGE: u8 = 10;

/// The EtherType that the node permits.
pub(crate) const PERMITTED: u16 = 0x88b6;
/// The MAC address that one pair of Dave has.
pub(crate) const PAIR_MAC: Mac = [0xfa, 0x16, 0x3e, 0, 1, 4];

/// MAC addresses that Kate and Liam share, with their prefixes.
const SHARED: &[(Option<&str>, &str)] = &[
    (Some("fa:16:3e:00:02:00"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:00"), "2001:db8:7::/48"),
    (Some("fa:16:3e:00:02:01"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:02"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:03"), "10.7.0.0/16"),
    (Some("fa:16:3e:00:02:11"), "2001:db8:7::/48"),
    (Some("fa:16:3e:00:02:12"), "2001:db8:7::/48"),
    (Some("fa:16:3e:00:02:13"), "2001:db8:7::/48"),
];

/// The shared MAC address of this number, with an address that may be used with it: 0 for both
/// families, 1 to 3 for this one.
pub(crate) fn shared(family: Family, n: u8) -> (Mac, &'static str) {
    let (base, address) = match family {
        Family::V4 => (0, "10.7.0.1"),
        Family::V6 => (0x10, "2001:db8:7::1"),
    };
    ([0xfa, 0x16, 0x3e, 0, 2, if n == 0 { 0 } else { base + n }], address)
}

macro_rules! machines {
    ($($name:ident, $n:literal, $network:expr, $mac:literal, $groups:expr, $kind:expr;)*) => {
        $(pub(crate) static $name: Machine = Machine {
            name: stringify!($name),
            n: $n,
            network: $network,
            mac: $mac,
            groups: &$groups,
            kind: $kind,
        };)*
        pub(crate) static MACHINES: &[&Machine] = &[$(&$name),*];
    };
}

machines! {
    ALICE,    1, 0,  1, [DEFAULT], Kind::Plain;
    BOB,      2, 0,  2, [DEFAULT], Kind::Plain;
    CAROL,    3, 0,  3, [SERVER], Kind::Plain;
    DAVE,     4, 0,  4, [DEFAULT], Kind::Pairs(&[
        (None, "10.8.4.0/24"),
        (None, "2001:db8:8:4::/64"),
        (Some("fa:16:3e:00:01:04"), "10.8.5.0/24"),
        (Some("fa:16:3e:00:01:04"), "2001:db8:8:5::/64"),
    ]);
    ERIN,     5, 0,  5, [DEFAULT], Kind::Pairs(&[(None, "0.0.0.0/0"), (None, "::/0")]);
    MALLORY,  6, 0,  6, [EGRESS], Kind::Pairs(&[
        (None, "10.0.1.0/24"),
        (None, "2001:db8:0:1::/64"),
        (None, "10.9.0.0/16"),
        (None, "2001:db8:9::/48"),
    ]);
    SAM,      7, 0,  7, [ANY], Kind::Plain;
    HEIDI,    8, 0,  8, [], Kind::Plain;
    IVAN,     9, 0,  9, [WEB, DNS], Kind::Plain;
    JUDY,    10, 0, 10, [REMOTES], Kind::Plain;
    OLIVIA,  11, 0, 11, [SELF], Kind::Plain;
    LONE,    12, 0, 12, [ANY], Kind::WithoutAddress;
    YVONNE,  13, 0, 13, [CHANGING], Kind::Plain;
    PEGGY,   14, 1,  1, [DEFAULT], Kind::Plain;
    QUINN,   15, 1, 15, [DEFAULT], Kind::Plain;
    FRANK,   16, 2, 16, [], Kind::WithoutSecurity;
    GRACE,   17, 2, 17, [], Kind::Trusted;
    TRENT,   18, 2, 18, [DEFAULT], Kind::Plain;
    VICTOR,  19, 2, 19, [], Kind::Plain;
    WALTER,  20, 3, 20, [DEFAULT], Kind::Plain;
    XAVIER,  21, 3, 21, [ANY], Kind::Plain;
    ZOE,     22, 4, 22, [EGRESS], Kind::Plain;
    ADA,     23, 4, 23, [STATELESS], Kind::Plain;
    BEN,     24, 4, 24, [STATELESS], Kind::Plain;
    CLEO,    25, 4, 25, [ANY], Kind::Plain;
    DAN,     26, 4, 26, [SINK], Kind::Plain;
    EVE,     27, 4, 27, [EGRESS], Kind::Plain;
    KATE,    28, 5, 28, [ANY], Kind::Pairs(SHARED);
    LIAM,    29, 5, 29, [ANY], Kind::Pairs(SHARED);
    NINA,    30, 5, 30, [ANY], Kind::Plain;
    GINA,    31, STRICT, 31, [ANY], Kind::Plain;
    HUGO,    32, STRICT, 32, [EGRESS], Kind::Plain;
    IDA,     33, STRICT, 33, [SERVER], Kind::Plain;
    JACK,    34, STRICT, 34, [], Kind::WithoutSecurity;
    MONA,    35, STRICT, 35, [STATELESS], Kind::Plain;
    LEO,     36, STRICT, 36, [EGRESS], Kind::Plain;
    OSCAR,   37, 7, 37, [EGRESS], Kind::Plain;
    PAUL,    38, 7, 38, [CIRCLE], Kind::Plain;
    RUTH,    39, 7, 39, [FRIENDS], Kind::Plain;
    OTTO,    40, OPEN, 40, [], Kind::Beyond;
    VERA,    41, OPEN, 41, [SERVER], Kind::Plain;
    WENDY,   42, OPEN, 42, [EGRESS], Kind::Plain;
    XENIA,   43, OPEN, 43, [], Kind::WithoutSecurity;
    PIA,     44, CLOSED, 44, [DEFAULT], Kind::Plain;
    ROSA,    45, CLOSED, 45, [DEFAULT], Kind::Beyond;
    SVEN,    46, STRANGE, 46, [], Kind::Beyond;
}

impl Machine {
    pub(crate) fn mac(&self) -> Mac {
        [0xfa, 0x16, 0x3e, 0, 0, self.mac]
    }

    pub(crate) fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, self.network, self.n)
    }

    pub(crate) fn v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, self.network.into(), 0, 0, 0, self.n.into())
    }

    pub(crate) fn ip(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4().into(),
            Family::V6 => self.v6().into(),
        }
    }

    pub(crate) fn link_local(&self) -> Ipv6Addr {
        link_local(self.mac())
    }

    fn mac_text(&self) -> String {
        format!("fa:16:3e:00:00:{:02x}", self.mac)
    }

    fn device(&self) -> String {
        format!("tap{}", self.n)
    }

    /// Every other machine on its network.
    pub(crate) fn neighbours(&'static self) -> impl Iterator<Item = &'static Self> {
        let others = MACHINES.iter().copied().filter(move |other| other.n != self.n);
        others.filter(|other| other.network == self.network)
    }

    pub(crate) fn is_managed(&self) -> bool {
        !matches!(self.kind, Kind::WithoutSecurity | Kind::Trusted | Kind::Beyond)
    }

    /// The VLAN of its network on the wire, where that leaves the node.
    fn vlan(&self) -> Option<u32> {
        let leaves = [STRICT, OPEN, CLOSED, STRANGE].contains(&self.network);
        leaves.then(|| 100 + u32::from(self.network))
    }

    fn port(&self, security: bool) -> Object {
        self.port_in(self.groups, security)
    }

    fn port_in(&self, groups: &[u32], security: bool) -> Object {
        let id_of_segment = id(0x8100 + u32::from(self.network));
        // Where a network leaves the node, so does what nobody here is meant by.
        let segment = if let Some(vlan) = self.vlan() {
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
        let host = if self.kind == Kind::Beyond { "node2" } else { HOST }.to_owned();
        let binding = PortBinding {
            host: host.clone(),
            vif_type: "ovs".to_owned(),
            ..PortBinding::default()
        };
        let level =
            PortBindingLevel { host, segment: Some(segment), ..PortBindingLevel::default() };
        let fixed =
            |ip: IpAddr| IpAllocation { ip_address: ip.to_string(), ..IpAllocation::default() };
        let pairs = match self.kind {
            Kind::Pairs(pairs) => pairs,
            _ => &[],
        };
        let pair = |&(mac, prefix): &(Option<&str>, &str)| AllowedAddressPair {
            mac_address: mac.map_or_else(|| self.mac_text(), str::to_owned),
            ip_address: prefix.to_owned(),
            ..AllowedAddressPair::default()
        };
        let port_security_enabled = security && self.kind != Kind::WithoutSecurity;
        let owner = if self.kind == Kind::Trusted { "network:dhcp" } else { "compute:nova" };
        let mut fixed_ips = vec![fixed(self.v4().into()), fixed(self.v6().into())];
        if self.kind == Kind::WithoutAddress {
            fixed_ips.clear();
        }
        Object::Port(Port {
            id: id(self.n.into()),
            network_id: id(0x8000 + u32::from(self.network)),
            mac_address: self.mac_text(),
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
}

/// The link-local address that belongs to a MAC address.
pub(crate) fn link_local(mac: Mac) -> Ipv6Addr {
    model::MacAddr::new(mac).link_local()
}

/// A rule: its group, direction, protocol with ports (or type and code), and remote.
struct Rule(u32, &'static str, Option<(&'static str, Option<u32>, Option<u32>)>, To);

/// The other side of a rule.
#[derive(Clone, Copy)]
enum To {
    Anybody,
    Prefix(&'static str),
    Group(u32),
    Addresses,
}

fn ports(
    protocol: &'static str,
    low: u32,
    high: u32,
) -> Option<(&'static str, Option<u32>, Option<u32>)> {
    Some((protocol, Some(low), Some(high)))
}

fn whole(protocol: &'static str) -> Option<(&'static str, Option<u32>, Option<u32>)> {
    Some((protocol, None, None))
}

/// The rules of IPv4; unless they say otherwise, IPv6 has the same.
fn rules(family: Family) -> Vec<Rule> {
    let (icmp, echo, prefix) = match family {
        Family::V4 => ("icmp", 8, "10.9.2.0/24"),
        Family::V6 => ("ipv6-icmp", 128, "2001:db8:9:2::/64"),
    };
    vec![
        Rule(DEFAULT, "egress", None, To::Anybody),
        Rule(DEFAULT, "ingress", None, To::Group(DEFAULT)),
        Rule(SERVER, "ingress", ports("tcp", 80, 90), To::Anybody),
        Rule(SERVER, "ingress", ports("udp", 1000, 2000), To::Anybody),
        Rule(SERVER, "ingress", ports("sctp", 5000, 5010), To::Anybody),
        Rule(SERVER, "ingress", ports("dccp", 5000, 5010), To::Anybody),
        Rule(SERVER, "ingress", ports("udplite", 5000, 5010), To::Anybody),
        Rule(SERVER, "ingress", ports(icmp, echo, 0), To::Anybody),
        Rule(SERVER, "ingress", whole("112"), To::Anybody),
        Rule(SERVER, "ingress", whole("gre"), To::Anybody),
        Rule(EGRESS, "egress", None, To::Anybody),
        Rule(ANY, "egress", None, To::Anybody),
        Rule(ANY, "ingress", None, To::Anybody),
        Rule(WEB, "ingress", ports("tcp", 80, 80), To::Anybody),
        Rule(DNS, "ingress", ports("udp", 53, 53), To::Anybody),
        Rule(REMOTES, "ingress", ports("tcp", 1, 1), To::Addresses),
        Rule(REMOTES, "ingress", ports("udp", 1, 1), To::Addresses),
        Rule(REMOTES, "ingress", ports("tcp", 2, 2), To::Prefix(prefix)),
        Rule(REMOTES, "ingress", ports("tcp", 3, 3), To::Group(NOBODY)),
        Rule(SELF, "egress", None, To::Group(SELF)),
        Rule(CHANGING, "ingress", ports("udp", 5000, 5000), To::Anybody),
        Rule(STATELESS, "egress", None, To::Anybody),
        Rule(STATELESS, "ingress", ports("udp", 5000, 5009), To::Anybody),
        Rule(STATELESS, "ingress", ports("tcp", 80, 80), To::Anybody),
        Rule(STATELESS, "ingress", ports(icmp, echo, 0), To::Anybody),
        Rule(STATELESS, "ingress", whole("112"), To::Anybody),
        Rule(SINK, "ingress", None, To::Anybody),
        Rule(FRIENDS, "egress", None, To::Anybody),
        Rule(CIRCLE, "ingress", ports("udp", 7000, 7000), To::Group(FRIENDS)),
    ]
}

const FAMILIES: [(Family, &str, u32); 2] =
    [(Family::V4, "IPv4", 0x100), (Family::V6, "IPv6", 0x200)];

fn rule_objects() -> Vec<SecurityGroupRule> {
    let mut objects = Vec::new();
    for (family, ethertype, first) in FAMILIES {
        for (n, Rule(group, direction, transport, to)) in (first..).zip(rules(family)) {
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
    let own = ["10.9.1.0/24", "2001:db8:9:1::/64"];
    Object::AddressGroup(AddressGroup {
        id: id(ADDRESSES),
        addresses: own.iter().chain(others).map(address).collect(),
        ..AddressGroup::default()
    })
}

fn objects() -> Vec<Object> {
    let groups = (DEFAULT..=CIRCLE).map(|n| group(n, ![STATELESS, SINK].contains(&n)));
    let addresses = address_group(&[]);
    let ports = MACHINES.iter().map(|machine| machine.port(true));
    let rules = rule_objects().into_iter().map(Object::SecurityGroupRule);
    ports.chain(groups).chain([addresses]).chain(rules).collect()
}

/// What changes between two acts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// Port security of a machine, off or on.
    Security(&'static Machine, bool),
    /// The groups of a machine.
    Groups(&'static Machine, u32),
    /// Whether a group is stateful.
    Stateful(u32, bool),
    /// What is in the address group besides its own addresses.
    Addresses(&'static [&'static str]),
    /// The rules of Yvonne's group go.
    RulesGo,
    /// The rules of Yvonne's group come back.
    RulesComeBack,
}

/// A node with every machine wired and up.
pub(crate) struct Scene {
    pub(crate) wires: Vec<(&'static Machine, Wire)>,
    pub(crate) node: Node,
}

impl Scene {
    /// The node of the truth table.
    pub(crate) fn start() -> Self {
        Self::start_with(|machine| machine.network != STRICT, false)
    }

    /// A node with the option `strict_equivalence`, and the machines of one network.
    pub(crate) fn start_strict() -> Self {
        Self::start_with(|machine| machine.network == STRICT, true)
    }

    fn start_with(here: impl Fn(&Machine) -> bool, strict_equivalence: bool) -> Self {
        let permitted = agent::PermittedEtherType::new(PERMITTED).unwrap();
        let permitted_ethertypes = BTreeSet::from([permitted]);
        let settings = Settings { permitted_ethertypes, strict_equivalence, ..Settings::default() };
        let node = Node::start_with(objects(), settings);
        let cable = |machine: &'static Machine| {
            (machine, Wire::cabled(&node.switch, &machine.device(), &machine.mac_text()).unwrap())
        };
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
        let ports = here.iter().map(|machine| (machine.device(), id(machine.n.into())));
        node.plug_all(&ports.collect::<Vec<_>>());
        node.wait_up(here.len());
        node.switch.settle().unwrap();
        Self { wires, node }
    }

    /// What rules do not apply is said for the port that has them.
    pub(crate) fn check_status(&self) {
        let status = self.node.status();
        let carol = id(CAROL.n.into());
        let port = status.ports.into_iter().find(|port| port.id == carol).unwrap();
        for protocol in ["dccp", "udplite"] {
            let says = format!("does not apply: ports of {protocol} cannot be matched");
            let warned = port.warnings.iter().any(|warning| warning.contains(&says));
            assert!(warned, "{:?}", port.warnings);
        }
    }

    /// Makes the change and waits until the switch follows it.
    pub(crate) fn change(&self, change: Change) {
        let changing = || {
            let of_group = |rule: &SecurityGroupRule| rule.security_group_id == id(CHANGING);
            rule_objects().into_iter().filter(of_group).map(Object::SecurityGroupRule)
        };
        let server = &self.node.server;
        let steps: Vec<Box<dyn Fn() + '_>> = match change {
            Change::Security(machine, on) => vec![Box::new(move || server.add(machine.port(on)))],
            Change::Groups(machine, group) => {
                vec![Box::new(move || server.add(machine.port_in(&[group], true)))]
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
            eventually(PATIENCE, || flows() != before).unwrap();
        }
        self.node.switch.settle().unwrap();
    }
}
