use std::sync::Arc;

use dataplane::hybrid::{Installed, Listing, Port};
use model::{
    AddressPair, CtZone, IpProtocol, MacAddr, NetworkId, PortRange, Prefix, Remote, SecurityGroup,
    SecurityGroupRule, SecurityGroupRuleId, Transport,
};
use policy::Member;
use uuid::Uuid;

use super::*;

fn id(number: u8) -> Uuid {
    Uuid::from_u128(u128::from(number) << 120 | 0x4000 << 64)
}

fn group_id(number: u8) -> SecurityGroupId {
    SecurityGroupId::new(id(number))
}

fn mac(last: u8) -> MacAddr {
    MacAddr::new([0xfa, 0x16, 0x3e, 0, 0, last])
}

/// Port `n` with two addresses, and the zone 4096 + n.
fn port(n: u8, groups: &[u8]) -> Port {
    let pair = |text: String| AddressPair { mac: mac(n), prefix: text.parse().unwrap() };
    let port = model::Port {
        id: PortId::new(id(n)),
        network: NetworkId::new(Uuid::nil()),
        mac: mac(n),
        pairs: [pair(format!("10.0.0.{n}")), pair(format!("2001:db8::{n:x}"))].into(),
        security: if groups.is_empty() { PortSecurity::Disabled } else { PortSecurity::Enabled },
        groups: groups.iter().map(|group| group_id(*group)).collect(),
        admin_up: true,
    };
    Port { port: Arc::new(port), zone: Some(CtZone::new(4096 + u16::from(n))) }
}

type Shape = (Direction, EtherType, Transport, Remote);

fn group(number: u8, shapes: &[Shape]) -> Arc<SecurityGroup> {
    let rule = |(n, (direction, family, transport, remote)): (u8, &Shape)| {
        let id = SecurityGroupRuleId::new(id(16 * number + n));
        SecurityGroupRule::new(id, *direction, *family, *transport, *remote).unwrap()
    };
    let rules = (0..).zip(shapes).map(rule).collect();
    Arc::new(SecurityGroup { id: group_id(number), rules, stateful: true })
}

fn tcp(port: u16) -> Transport {
    let range = PortRange::new(port, port).unwrap();
    Transport::Ports { protocol: IpProtocol::TCP, range }
}

/// Two web servers; one of them a database for the other; a port without port security, and one that
/// is closed.
fn node() -> Node {
    let (ingress, egress) = (Direction::Ingress, Direction::Egress);
    let web = [
        (ingress, EtherType::Ipv4, tcp(80), Remote::Any),
        (ingress, EtherType::Ipv6, tcp(80), Remote::Any),
        (egress, EtherType::Ipv4, Transport::Any, Remote::Any),
    ];
    let database = [(ingress, EtherType::Ipv4, tcp(5432), Remote::Group(group_id(1)))];
    let ports = [port(1, &[1]), port(2, &[1, 2]), port(3, &[]), port(4, &[9])];
    let mut node = Node {
        ports: ports.into_iter().map(|port| (port.port.id, port)).collect(),
        groups: [group(1, &web), group(2, &database)].into_iter().map(|it| (it.id, it)).collect(),
        ipset: true,
        ..Node::default()
    };
    let member = |text: &str| Member::new(text.parse::<Prefix>().unwrap(), None);
    let members = ["10.0.0.1", "10.0.0.2"].map(member).into_iter().collect();
    node.members.groups.insert(group_id(1), members);
    node
}

/// What the tools would print of what there should be.
#[derive(Clone)]
struct Texts {
    ipv4: String,
    ipv6: String,
    sets: String,
}

impl Texts {
    fn of(node: &Node) -> Self {
        let netfilter = desired(node).netfilter;
        let sets = netfilter.changes(&Installed::default()).sets_before;
        Self { ipv4: netfilter.ipv4.to_string(), ipv6: netfilter.ipv6.to_string(), sets }
    }

    /// Without the first line of IPv4 that begins so, and ends so.
    fn without(mut self, begin: &str, end: &str) -> Self {
        let is_it = |line: &&str| line.starts_with(begin) && line.ends_with(end);
        let line = self.ipv4.lines().find(is_it).unwrap().to_owned();
        self.ipv4 = self.ipv4.replacen(&format!("{line}\n"), "", 1);
        self
    }

    /// With this line before the first of IPv4 that begins so.
    fn with(mut self, before: &str, line: &str) -> Self {
        let found = self.ipv4.lines().find(|line| line.starts_with(before)).unwrap().to_owned();
        let found = format!("\n{found}\n");
        assert!(self.ipv4.contains(&found));
        self.ipv4 = self.ipv4.replacen(&found, &format!("\n{line}{found}"), 1);
        self
    }

    fn found(&self, node: &Node) -> Filtered {
        let Self { ipv4, ipv6, sets } = self;
        let installed = Installed::parse(Listing { ipv4, ipv6, sets, protocols: "" }).netfilter();
        verify(node, &installed, Duration::from_secs(1), || Duration::ZERO)
    }
}

fn first(report: &Filtered) -> &Difference {
    report.differences.first().unwrap()
}

#[test]
fn what_there_should_be_is_right() {
    for (strict_equivalence, ipset) in [(false, true), (true, true), (false, false)] {
        let node = Node { strict_equivalence, ipset, ..node() };
        let report = Texts::of(&node).found(&node);
        assert_eq!(report.differences, []);
        assert_eq!((report.differ, report.checked), (0, report.of));
        assert!(report.checked > 1500, "{}", report.checked);
        assert_eq!((report.ports, report.ports_checked), (4, 4));
        assert_eq!((report.policies, report.policies_checked), (4, 4));
    }
}

#[test]
fn stateless_groups_are_checked_packet_by_packet() {
    let mut node = node();
    for group in node.groups.values_mut() {
        Arc::make_mut(group).stateful = false;
    }
    let report = Texts::of(&node).found(&node);
    assert_eq!(report.differences, []);
    let tracked = Texts::of(&node).without("-A neutron-openvswi-PREROUTING", "--notrack");
    let report = tracked.found(&node);
    assert_eq!(first(&report).expected, "it is not tracked");
    assert_eq!(first(&report).table, "raw neutron-openvswi-PREROUTING");
}

#[test]
fn a_rule_that_is_missing_is_found() {
    let node = node();
    let report =
        Texts::of(&node).without("-A neutron-openvswi-gi-", "--dports 80 -j RETURN").found(&node);
    let difference = first(&report);
    assert!(difference.expected.starts_with("accepted by rule"), "{difference:?}");
    assert_eq!(difference.found, "refused: no ingress rule allows it");
    assert!(difference.table.starts_with("filter neutron-openvswi-gi-"));
    assert_eq!(difference.flow.as_deref(), Some("-j neutron-openvswi-sg-fallback"));
    assert_eq!(difference.should_be.as_deref(), Some("-p tcp -m multiport --dports 80 -j RETURN"));
    assert!(difference.packet.ends_with("tp_dst=80"), "{difference:?}");
}

#[test]
fn a_rule_of_somebody_else_is_found_where_nothing_else_comes_near_it() {
    let node = node();
    let telnet = "-s 203.0.113.9/32 -p tcp -m tcp --sport 99 --dport 2323";
    for (chain, target, found) in [
        ("neutron-openvswi-gi-", "RETURN", "accepted"),
        (
            "neutron-openvswi-i",
            "ACCEPT",
            "accepted: a rule of netfilter that is not Weir's decides",
        ),
        ("FORWARD", "ACCEPT", "accepted: a rule of netfilter that is not Weir's decides"),
    ] {
        let texts = Texts::of(&node);
        let before = format!("-A {chain}");
        let name = texts.ipv4.lines().find(|line| line.starts_with(&before)).unwrap();
        let name = name.split(' ').nth(1).unwrap().to_owned();
        let line = format!("-A {name} {telnet} -j {target}");
        let report = texts.with(&before, &line).found(&node);
        let difference = first(&report);
        assert_eq!(difference.found, found, "{difference:?}");
        assert_eq!(difference.table, format!("filter {name}"));
        assert_eq!(difference.flow.as_deref(), Some(&*format!("{telnet} -j {target}")));
        assert_eq!(difference.expected, "refused: no rule admits it");
        assert!(difference.packet.ends_with("tp_src=99,tp_dst=2323"), "{difference:?}");
    }
}

#[test]
fn a_rule_that_is_not_understood_is_found() {
    let node = node();
    let odd = "-A FORWARD -i br0 -m recent --rcheck -j DROP";
    let report = Texts::of(&node).with("-A FORWARD", odd).found(&node);
    assert_eq!(first(&report).found, "not known: a rule of netfilter that is not Weir's decides");
}

#[test]
fn rules_of_others_behind_ours_are_no_matter() {
    let node = node();
    let behind = "-A OUTPUT -j neutron-filter-top";
    let texts = Texts::of(&node)
        .with(behind, "-A FORWARD -i br0 -j DROP")
        .with("-A OUTPUT -j neutron-filter-top", "-A INPUT -p tcp -j DROP");
    assert_eq!(texts.found(&node).differences, []);
}

#[test]
fn what_keeps_a_machine_from_being_another_is_found_to_be_missing() {
    let node = node();
    let report = Texts::of(&node).without("-A neutron-openvswi-s01", "-j DROP").found(&node);
    let difference = first(&report);
    assert_eq!(
        (difference.expected.as_str(), difference.direction.as_str()),
        ("refused", "egress")
    );
    // Nothing of what it sends to this host is looked at.
    let input = "-A neutron-openvswi-INPUT";
    let report = Texts::of(&node).without(input, "").found(&node);
    let difference = first(&report);
    assert!(difference.state.ends_with(", for this host"), "{difference:?}");
    assert!(difference.found.starts_with("undecided"), "{difference:?}");
}

#[test]
fn a_member_that_is_missing_or_not_one_is_found() {
    let node = node();
    let mut texts = Texts::of(&node);
    let some = |texts: &Texts| {
        let report = texts.found(&node);
        let difference = first(&report).clone();
        (difference.found, difference.packet)
    };
    let set = texts.sets.clone();
    let line = set.lines().find(|line| line.ends_with(" 10.0.0.1/32")).unwrap();
    texts.sets = set.replace(&format!("{line}\n"), "");
    let (found, packet) = some(&texts);
    assert!(found == "refused: no ingress rule allows it" && packet.contains("nw_src=10.0.0.1,"));
    texts.sets = format!("{set}{}\n", line.replace("10.0.0.1", "192.0.2.77"));
    let (found, packet) = some(&texts);
    assert!(found == "accepted" && packet.contains("nw_src=192.0.2.77,"), "{found} {packet}");
}

#[test]
fn a_zone_of_another_port_and_translation_are_found() {
    let node = node();
    let mut texts = Texts::of(&node);
    texts.ipv4 = texts.ipv4.replace("--zone 4098", "--zone 4097");
    let report = texts.found(&node);
    assert_eq!(first(&report).expected, "its connection is in zone 4098");
    assert_eq!(first(&report).found, "its connection is in zone 4097");
    let begin = "-A neutron-openvswi-PREROUTING -m physdev --physdev-in tap01";
    let report = Texts::of(&node).without(begin, "-j ACCEPT").found(&node);
    assert_eq!((report.differ, first(&report).expected.as_str()), (1, "not translated"));
}

#[test]
fn an_open_port_is_open_and_a_closed_one_is_closed() {
    let node = node();
    let report = Texts::of(&node).without("-A neutron-openvswi-FORWARD", "-j ACCEPT").found(&node);
    assert_eq!(first(&report).expected, "accepted without a rule");
    let sg_chain = "-A neutron-openvswi-sg-chain";
    let report = Texts::of(&node).without(sg_chain, "-j neutron-openvswi-sg-fallback").found(&node);
    assert_eq!(first(&report).expected, "refused");
    assert!(first(&report).port.starts_with("04"));
}

#[test]
fn everybody_gets_a_share_of_the_time() {
    let node = node();
    let mut looks = 0;
    let clock = || {
        looks += 1;
        Duration::from_millis(looks)
    };
    let report = verify(&node, &desired(&node).netfilter, Duration::from_millis(30), clock);
    assert!(report.checked < report.of, "{report:?}");
    assert_eq!((report.ports_checked, report.policies_checked), (4, 4));
}
