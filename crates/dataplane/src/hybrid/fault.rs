//! What netfilter cannot do, and the policies without it.

use std::collections::BTreeSet;
use std::fmt;

use model::{
    Direction, EtherType, IpProtocol, PortId, SecurityGroup, SecurityGroupId, SecurityGroupRule,
    SecurityGroupRuleId, Transport,
};
use policy::{Policy, TermMatch};

/// Something that the node asks for and that is not in netfilter. Each closes something.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// The port stays closed, because a group of it is not known.
    #[error("port {port} is closed: its security group {group} is not known")]
    Group {
        /// The port.
        port: PortId,
        /// The group.
        group: SecurityGroupId,
    },
    /// The port stays closed, because every conntrack zone has a port.
    #[error("port {port} is closed: no conntrack zone is free")]
    Zone {
        /// The port.
        port: PortId,
    },
    /// The port stays closed, because another one has the same names of chains: those have the
    /// first ten characters of the id.
    #[error("port {port} is closed: the id of port {other} begins alike")]
    Name {
        /// The port.
        port: PortId,
        /// The port that has the chains.
        other: PortId,
    },
    /// A rule does not apply, because iptables cannot match what it says.
    #[error("port {port}: rule {rule} does not apply: {unmatched}")]
    Rule {
        /// A port that has the rule.
        port: PortId,
        /// The rule.
        rule: SecurityGroupRuleId,
        /// What it says.
        unmatched: Unmatched,
    },
}

/// What a rule says that cannot be matched.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmatched {
    /// ICMP type 255, which iptables takes for every type.
    IcmpType,
    /// The protocol with number 0, which iptables takes for every protocol. Without
    /// `strict_equivalence` the rule says just that.
    ProtocolZero,
    /// Ports of this protocol, which the other driver cannot match: with `strict_equivalence`.
    Ports(IpProtocol),
}

impl Fault {
    /// The port that it is about.
    pub fn port(&self) -> PortId {
        match self {
            Self::Group { port, .. }
            | Self::Zone { port }
            | Self::Name { port, .. }
            | Self::Rule { port, .. } => *port,
        }
    }

    /// Whether the port is closed.
    pub fn closes_port(&self) -> bool {
        !matches!(self, Self::Rule { .. })
    }
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IcmpType => f.write_str("ICMP type 255 cannot be matched"),
            Self::ProtocolZero => f.write_str("protocol 0 cannot be matched"),
            Self::Ports(protocol) => write!(f, "ports of {protocol} cannot be matched"),
        }
    }
}

/// A policy with everything that netfilter can match of it.
pub(super) struct Compiled {
    pub(super) policy: Policy,
    /// The rules that are lost.
    pub(super) refused: BTreeSet<(SecurityGroupRuleId, Unmatched)>,
}

/// The type that iptables takes for any.
const ANY_ICMP_TYPE: u8 = 255;
const ZERO: IpProtocol = IpProtocol(0);
/// Protocols whose ports the other driver cannot match.
const PORTS_OF: [IpProtocol; 2] = [IpProtocol::DCCP, IpProtocol::UDPLITE];

/// What the groups admit in one direction.
pub(super) fn compile(groups: &[&SecurityGroup], direction: Direction, strict: bool) -> Compiled {
    let widened: Vec<SecurityGroup>;
    let groups: Vec<&SecurityGroup> = if strict || !groups.iter().any(|group| has_zero(group)) {
        groups.to_vec()
    } else {
        widened = groups.iter().map(|group| without_zero(group)).collect();
        widened.iter().collect()
    };
    let mut policy = policy::compile(groups.iter().copied(), direction);
    let mut refused = BTreeSet::new();
    let mut refuse = |unmatched, is_it: fn(&SecurityGroupRule) -> bool| {
        let rules = groups.iter().flat_map(|group| &group.rules);
        let lost = rules.filter(|rule| rule.direction() == direction && is_it(rule));
        refused.extend(lost.map(|rule| (rule.id(), unmatched)));
    };
    if take_out(&mut policy, EtherType::Ipv4, |transport| {
        matches!(transport, TermMatch::Icmp { kind: ANY_ICMP_TYPE, .. })
    }) {
        refuse(Unmatched::IcmpType, |rule| {
            rule.ethertype() == EtherType::Ipv4
                && matches!(rule.transport(), Transport::Icmp { kind: ANY_ICMP_TYPE, .. })
        });
    }
    let is_zero = |transport| transport == TermMatch::Protocol(ZERO);
    let taken =
        [EtherType::Ipv4, EtherType::Ipv6].map(|family| take_out(&mut policy, family, is_zero));
    if taken.contains(&true) {
        refuse(Unmatched::ProtocolZero, |rule| rule.transport() == Transport::Protocol(ZERO));
    }
    if strict {
        let ports = policy.refuse_ports(&PORTS_OF, groups.iter().copied(), direction);
        refused.extend(ports.iter().map(|lost| (lost.rule, Unmatched::Ports(lost.protocol))));
    }
    Compiled { policy, refused }
}

/// Takes terms out of the policy, and says whether there were any.
fn take_out(policy: &mut Policy, family: EtherType, is_it: impl Fn(TermMatch) -> bool) -> bool {
    let before = policy.terms.len();
    policy.terms.retain(|term| term.ethertype != family || !is_it(term.transport));
    policy.terms.len() != before
}

fn has_zero(group: &SecurityGroup) -> bool {
    group.rules.iter().any(|rule| rule.transport() == Transport::Protocol(ZERO))
}

/// The group with rules for any protocol where it has rules for protocol 0.
fn without_zero(group: &SecurityGroup) -> SecurityGroup {
    let widened = |rule: &SecurityGroupRule| {
        if rule.transport() != Transport::Protocol(ZERO) {
            return rule.clone();
        }
        let (direction, family, any) = (rule.direction(), rule.ethertype(), Transport::Any);
        let made = SecurityGroupRule::new(rule.id(), direction, family, any, rule.remote());
        made.unwrap_or_else(|_| rule.clone())
    };
    SecurityGroup { rules: group.rules.iter().map(widened).collect(), ..group.clone() }
}
