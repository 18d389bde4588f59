//! The security groups, their rules, and the address group.

use std::ops::RangeInclusive;

use crate::cases::machine::Family;

/// The default group of a project: egress to anybody, ingress from the same group.
pub(crate) const DEFAULT: u32 = 0x9000;
/// Ingress of many protocols, no egress.
pub(crate) const SERVER: u32 = 0x9001;
/// Egress to anybody, no ingress.
pub(crate) const EGRESS: u32 = 0x9002;
/// Everything.
pub(crate) const ANY: u32 = 0x9003;
pub(crate) const WEB: u32 = 0x9004;
pub(crate) const DNS: u32 = 0x9005;
/// Ingress by address group, prefix, and a group without members.
pub(crate) const REMOTES: u32 = 0x9006;
/// Egress to its own members.
pub(crate) const SELF: u32 = 0x9007;
pub(crate) const NOBODY: u32 = 0x9008;
/// Ingress by rules that go and come back.
pub(crate) const CHANGING: u32 = 0x9009;
/// Stateless: egress to anybody, ingress of a few services.
pub(crate) const STATELESS: u32 = 0x900a;
/// Stateless: ingress of everything, no egress.
pub(crate) const SINK: u32 = 0x900b;
/// Egress to anybody; members of it may talk to those in [`CIRCLE`].
pub(crate) const FRIENDS: u32 = 0x900c;
pub(crate) const CIRCLE: u32 = 0x900d;
pub(crate) const ADDRESSES: u32 = 0xa000;

/// Every group.
pub(crate) const GROUPS: RangeInclusive<u32> = DEFAULT..=CIRCLE;

/// The families, each with its EtherType's name.
pub(crate) const FAMILIES: [(Family, &str); 2] = [(Family::V4, "IPv4"), (Family::V6, "IPv6")];

/// What is in the address group at all times.
pub(crate) const OWN_ADDRESSES: [&str; 2] = ["10.9.1.0/24", "2001:db8:9:1::/64"];

/// A protocol with ports, or with type and code.
pub(crate) type Transport = (&'static str, Option<u32>, Option<u32>);

/// A rule: its group, direction, protocol, and remote.
pub(crate) struct Rule(
    pub(crate) u32,
    pub(crate) &'static str,
    pub(crate) Option<Transport>,
    pub(crate) To,
);

/// The other side of a rule.
#[derive(Clone, Copy)]
pub(crate) enum To {
    Anybody,
    Prefix(&'static str),
    Group(u32),
    Addresses,
}

/// Whether a group is stateful at first.
pub(crate) fn is_stateful(group: u32) -> bool {
    ![STATELESS, SINK].contains(&group)
}

fn ports(protocol: &'static str, low: u32, high: u32) -> Option<Transport> {
    Some((protocol, Some(low), Some(high)))
}

fn whole(protocol: &'static str) -> Option<Transport> {
    Some((protocol, None, None))
}

/// The rules of IPv4; unless they say otherwise, IPv6 has the same.
pub(crate) fn rules(family: Family) -> Vec<Rule> {
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
