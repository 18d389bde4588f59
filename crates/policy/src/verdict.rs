//! The reference verdict: what security groups mean, rule by rule, with nothing clever about it.

use model::{Direction, SecurityGroup, SecurityGroupRule, SecurityGroupRuleId, Transport};

use crate::{L4, Members, Packet};

/// The first rule that admits the packet, or `None` where no rule does and it is to be dropped.
/// Connections are not looked at: replies pass without a rule unless [`are_stateless`] says no.
pub fn allows<'a>(
    groups: impl IntoIterator<Item = &'a SecurityGroup>,
    members: &Members,
    direction: Direction,
    packet: &Packet,
) -> Option<SecurityGroupRuleId> {
    groups
        .into_iter()
        .flat_map(|group| &group.rules)
        .filter(|rule| rule.direction() == direction)
        .find(|rule| admits(rule, members, packet))
        .map(SecurityGroupRule::id)
}

/// Whether a port with these groups is stateless: its connections are not tracked, and its rules
/// judge every packet by itself, replies too.
///
/// It is if all of them are. Neutron's API gives a port either kind and never both; where they are
/// mixed all the same, the port is stateful, and so it is without groups.
pub fn are_stateless<'a>(groups: impl IntoIterator<Item = &'a SecurityGroup>) -> bool {
    let mut groups = groups.into_iter().peekable();
    groups.peek().is_some() && groups.all(|group| !group.stateful)
}

fn admits(rule: &SecurityGroupRule, members: &Members, packet: &Packet) -> bool {
    rule.ethertype() == packet.ethertype()
        && is_transport(rule.transport(), packet)
        && members.is_remote(rule.remote(), packet)
}

fn is_transport(transport: Transport, packet: &Packet) -> bool {
    match transport {
        Transport::Any => true,
        Transport::Protocol(protocol) => packet.protocol == protocol,
        Transport::Ports { protocol, range } => {
            packet.protocol == protocol
                && matches!(packet.l4, L4::Ports { dst } if range.contains(dst))
        }
        Transport::Icmp { kind, code } => {
            packet.protocol == packet.ethertype().icmp()
                && matches!(packet.l4, L4::Icmp { kind: k, code: c }
                    if k == kind && code.is_none_or(|code| code == c))
        }
    }
}

#[cfg(test)]
mod tests {

    use model::{IpProtocol, MacAddr};

    use super::*;
    use crate::{Member, sample};

    /// Which rule, counted from 1, admits a packet that comes in.
    fn verdict(rules: &str, remote: &str, protocol: u8, l4: L4) -> Option<SecurityGroupRuleId> {
        from_mac(rules, None, remote, protocol, l4)
    }

    fn from_mac(
        rules: &str,
        remote_mac: Option<MacAddr>,
        remote: &str,
        protocol: u8,
        l4: L4,
    ) -> Option<SecurityGroupRuleId> {
        let mut members = Members::default();
        let member = |text: &str| Member::new(text.parse().unwrap(), Some(sample::mac(1)));
        let group = ["192.0.2.1", "192.0.2.128/25", "::/0"].map(member);
        members.groups.insert(sample::group_id(1), group.into());
        let addresses = ["198.51.100.0/24".parse().unwrap()];
        members.address_groups.insert(sample::address_group_id(1), addresses.into());
        let remote = remote.parse().unwrap();
        let packet = Packet { remote, remote_mac, protocol: IpProtocol(protocol), l4 };
        allows([&sample::group(rules)], &members, Direction::Ingress, &packet)
    }

    fn port(dst: u16) -> L4 {
        L4::Ports { dst }
    }

    fn icmp(kind: u8, code: u8) -> L4 {
        L4::Icmp { kind, code }
    }

    #[test]
    fn families_are_apart() {
        let rules = "IPv6 anybody any";
        assert_eq!(verdict(rules, "10.0.0.1", 6, port(80)), None);
        assert_eq!(verdict(rules, "2001:db8::1", 6, port(80)), Some(sample::rule_id(1)));
        assert_eq!(verdict(rules, "2001:db8::1", 1, L4::None), Some(sample::rule_id(1)));
    }

    #[test]
    fn directions_are_apart() {
        let group = sample::group("IPv4 anybody any");
        let remote = [10, 0, 0, 1].into();
        let packet = Packet { remote, remote_mac: None, protocol: IpProtocol(0), l4: L4::None };
        let members = Members::default();
        assert!(allows([&group], &members, Direction::Ingress, &packet).is_some());
        assert!(allows([&group], &members, Direction::Egress, &packet).is_none());
    }

    #[test]
    fn protocols_and_ports() {
        let rules = "IPv4 anybody tcp 80-90
                     IPv4 anybody gre
                     IPv4 anybody 0
                     IPv4 anybody dccp 5-5";
        let admitted = [(6, port(80), 1), (6, port(90), 1), (47, L4::None, 2), (0, L4::None, 3)];
        for (protocol, l4, rule) in admitted {
            let rule = Some(sample::rule_id(rule));
            assert_eq!(verdict(rules, "10.0.0.1", protocol, l4), rule, "{protocol} {l4:?}");
        }
        assert_eq!(verdict(rules, "10.0.0.1", 33, port(5)), Some(sample::rule_id(4)));
        let dropped =
            [(6, port(79)), (6, port(91)), (17, port(80)), (33, port(6)), (1, icmp(0, 0))];
        for (protocol, l4) in dropped {
            assert_eq!(verdict(rules, "10.0.0.1", protocol, l4), None, "{protocol} {l4:?}");
        }
    }

    #[test]
    fn icmp_types_and_codes() {
        let rules = "IPv4 anybody type 8
                     IPv4 anybody type 3 code 4
                     IPv6 anybody type 128
                     IPv6 anybody icmp";
        assert_eq!(verdict(rules, "10.0.0.1", 1, icmp(8, 7)), Some(sample::rule_id(1)));
        assert_eq!(verdict(rules, "10.0.0.1", 1, icmp(3, 4)), Some(sample::rule_id(2)));
        assert_eq!(verdict(rules, "10.0.0.1", 1, icmp(3, 3)), None);
        assert_eq!(verdict(rules, "10.0.0.1", 58, L4::None), None);
        assert_eq!(verdict(rules, "2001:db8::1", 58, icmp(1, 0)), Some(sample::rule_id(4)));
        assert_eq!(verdict(rules, "2001:db8::1", 1, L4::None), None);
    }

    #[test]
    fn remotes() {
        let rules = "IPv4 10.0.0.0/30 any
                     IPv4 group:1 any
                     IPv4 addresses:1 any
                     IPv4 group:2 any";
        let admitted = [
            ("10.0.0.0", 1),
            ("10.0.0.3", 1),
            ("192.0.2.1", 2),
            ("192.0.2.128", 2),
            ("192.0.2.255", 2),
            ("198.51.100.9", 3),
        ];
        for (remote, rule) in admitted {
            let rule = Some(sample::rule_id(rule));
            assert_eq!(verdict(rules, remote, 6, port(1)), rule, "{remote}");
        }
        for remote in ["10.0.0.4", "192.0.2.127", "198.51.101.0", "2001:db8::1"] {
            assert_eq!(verdict(rules, remote, 6, port(1)), None, "{remote}");
        }
    }

    #[test]
    fn any_address_of_a_member_needs_its_mac() {
        let from =
            |last| from_mac("IPv6 group:1 any", Some(sample::mac(last)), "2001:db8::9", 6, port(1));
        assert_eq!(from(1), Some(sample::rule_id(1)));
        assert_eq!(from(2), None);
        assert_eq!(verdict("IPv6 group:1 any", "2001:db8::9", 6, port(1)), None);
    }
}
