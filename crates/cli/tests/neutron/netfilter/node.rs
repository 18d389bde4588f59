//! Random nodes, and what Neutron's driver is told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::hybrid::{Node, Port};
use model::{
    AddressGroupId, AddressPair, CtZone, Direction, EtherType, IpProtocol, MacAddr, NetworkId,
    PortId, PortRange, PortSecurity, Prefix, Remote, SecurityGroup, SecurityGroupId,
    SecurityGroupRule, SecurityGroupRuleId, Transport,
};
use policy::{Member, Members, RemoteSet};
use serde_json::{Value, json};
use uuid::Uuid;

/// Numbers that look random, the same for the same seed.
pub(super) struct Random(u64);

pub(super) fn mac(number: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, number])
}

fn group_id(number: u8) -> SecurityGroupId {
    SecurityGroupId::new(Uuid::from_u128(u128::from(number) << 120 | 1))
}

fn address_group_id() -> AddressGroupId {
    AddressGroupId::new(Uuid::from_u128(0xaa << 120))
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// One port with one or two groups, and members that it does not know.
    pub(super) fn node(&mut self) -> Node {
        let stateful = !self.chance(4);
        let groups: Vec<SecurityGroup> = (1..=2)
            .map(|number| SecurityGroup { id: group_id(number), rules: self.rules(), stateful })
            .collect();
        let port = self.port();
        let members = Members {
            groups: [1, 2].map(|number| (group_id(number), self.members())).into(),
            address_groups: BTreeMap::from([(address_group_id(), self.addresses())]),
        };
        Node {
            ports: BTreeMap::from([(port.port.id, port)]),
            groups: groups.into_iter().map(|group| (group.id, Arc::new(group))).collect(),
            members,
            strict_equivalence: false,
            ipset: self.chance(2),
        }
    }

    /// With addresses of both families or with none; pairs have other MAC addresses.
    fn port(&mut self) -> Port {
        let mut pairs = BTreeSet::new();
        if !self.chance(4) {
            let own = ["10.0.0.1", "2001:db8::1"].map(|text| (mac(1), prefix(text)));
            pairs.extend(own);
        }
        for text in ["10.9.0.0/16", "10.9.0.5", "fd09::/64", "10.0.0.1", "0.0.0.0/0", "::/0"] {
            if self.chance(4) {
                pairs.insert((mac(self.pick(&[7, 8])), prefix(text)));
            }
        }
        let port = model::Port {
            id: PortId::new(Uuid::from_u128(0x0123_4567 << 96 | 0x4000 << 64)),
            network: NetworkId::new(Uuid::from_u128(1)),
            mac: mac(1),
            pairs: pairs.into_iter().map(|(mac, prefix)| AddressPair { mac, prefix }).collect(),
            security: PortSecurity::Enabled,
            groups: [1, 2].map(group_id).into(),
            admin_up: true,
        };
        Port { port: Arc::new(port), zone: Some(CtZone::new(4097)) }
    }

    fn rules(&mut self) -> BTreeSet<SecurityGroupRule> {
        (0..self.below(14)).map(|_| self.rule()).collect()
    }

    fn rule(&mut self) -> SecurityGroupRule {
        let direction = self.pick(&[Direction::Ingress, Direction::Egress]);
        let remote_prefix = self.prefix();
        let family = remote_prefix.ethertype();
        let remote = match self.below(8) {
            0..=2 => Remote::Any,
            3..=5 => Remote::Prefix(remote_prefix),
            6 => Remote::Group(group_id(self.pick(&[1, 2]))),
            _ => Remote::AddressGroup(address_group_id()),
        };
        let transport = self.transport();
        let id = SecurityGroupRuleId::new(Uuid::from_u128(self.next().into()));
        SecurityGroupRule::new(id, direction, family, transport, remote).unwrap()
    }

    fn transport(&mut self) -> Transport {
        let with_ports = [6, 17, 33, 132, 136].map(IpProtocol);
        match self.below(12) {
            0 => Transport::Any,
            1 | 2 => Transport::Protocol(IpProtocol(self.pick(&[0, 1, 6, 17, 47, 51, 58, 112]))),
            3..=5 => {
                let kind = self.pick(&[0, 3, 8, 128, 134, 254]);
                let code = self.pick(&[None, None, Some(0), Some(4), Some(255)]);
                Transport::Icmp { kind, code }
            }
            _ => {
                let low = self.pick(&[0, 1, 67, 80, 81, 83, 90, 65_534]);
                let high = u16::saturating_add(low, self.pick(&[0, 0, 1, 7]));
                let range = PortRange::new(low, high).unwrap();
                Transport::Ports { protocol: self.pick(&with_ports), range }
            }
        }
    }

    fn prefix(&mut self) -> Prefix {
        prefix(self.pick(&[
            "10.0.0.2",
            "10.0.0.3",
            "10.0.0.4/30",
            "10.0.0.0/24",
            "128.0.0.0/1",
            "0.0.0.0/0",
            "2001:db8::2",
            "2001:db8::/64",
            "fd00::/8",
            "::/0",
            "fe80::1",
        ]))
    }

    /// None with any address: those are everybody in Neutron.
    fn members(&mut self) -> policy::SharedSet<Member> {
        let prefixes = (0..self.below(5)).map(|_| self.prefix()).collect::<Vec<_>>();
        let some = prefixes.into_iter().filter(|prefix| !prefix.is_any());
        some.map(|prefix| Member::new(prefix, Some(mac(20)))).collect()
    }

    fn addresses(&mut self) -> policy::SharedSet<Prefix> {
        (0..self.below(4)).map(|_| self.prefix()).collect()
    }
}

/// What Neutron's driver is told of the node.
pub(super) fn tell(node: &Node) -> Value {
    let sets = node.members.groups.keys().map(|id| (id.to_string(), RemoteSet::Group(*id)));
    let address_groups = node.members.address_groups.keys();
    let address_groups = address_groups.map(|id| (id.to_string(), RemoteSet::AddressGroup(*id)));
    let members = sets.chain(address_groups).map(|(id, set)| {
        let of = |family| {
            let members = node.members.of(set).filter(move |m| m.prefix().ethertype() == family);
            let pair = |member: Member| json!([member.prefix().to_string(), mac(20).to_string()]);
            members.map(pair).collect::<Vec<_>>()
        };
        (id, json!({ "IPv4": of(EtherType::Ipv4), "IPv6": of(EtherType::Ipv6) }))
    });
    json!({
        "ipset": node.ipset,
        "members": members.collect::<serde_json::Map<_, _>>(),
        "groups": node.groups.values().map(|group| json!({
            "id": group.id.to_string(),
            "stateful": group.stateful,
            "rules": group.rules.iter().map(tell_rule).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "ports": node.ports.values().map(|port| tell_port(&port.port)).collect::<Vec<_>>(),
    })
}

fn tell_port(port: &model::Port) -> Value {
    let (own, pairs): (Vec<&AddressPair>, Vec<&AddressPair>) =
        port.pairs.iter().partition(|pair| pair.mac == port.mac);
    json!({
        "id": port.id.to_string(),
        "network": port.network.to_string(),
        "mac": port.mac.to_string(),
        "fixed_ips": own.iter().map(|pair| pair.prefix.address().to_string()).collect::<Vec<_>>(),
        "pairs": pairs.iter().map(|pair| json!({
            "mac_address": pair.mac.to_string(),
            "ip_address": pair.prefix.to_string(),
        })).collect::<Vec<_>>(),
        "groups": port.groups.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn tell_rule(rule: &SecurityGroupRule) -> Value {
    let icmp = rule.ethertype().icmp();
    let (protocol, min, max) = match rule.transport() {
        Transport::Any => (None, None, None),
        Transport::Protocol(protocol) => (Some(protocol), None, None),
        Transport::Ports { protocol, range } => {
            (Some(protocol), Some(range.low()), Some(range.high()))
        }
        Transport::Icmp { kind, code } => (Some(icmp), Some(kind.into()), code.map(u16::from)),
    };
    let name = |protocol: IpProtocol| match protocol.0 {
        0 => "0".to_owned(),
        _ => protocol.to_string(),
    };
    let (mut prefix, mut group, mut addresses) = (None, None, None);
    match rule.remote() {
        Remote::Any => {}
        Remote::Prefix(only) => prefix = Some(only.to_string()),
        Remote::Group(id) => group = Some(id.to_string()),
        Remote::AddressGroup(id) => addresses = Some(id.to_string()),
    }
    json!({
        "direction": rule.direction().to_string(),
        "ethertype": rule.ethertype().to_string(),
        "protocol": protocol.map(name),
        "min": min,
        "max": max,
        "prefix": prefix,
        "remote_group_id": group,
        "remote_address_group_id": addresses,
    })
}
