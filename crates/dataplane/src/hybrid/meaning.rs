//! What the rules of a set of groups mean where netfilter applies them: the reference, with no chain
//! in it.
//!
//! [`policy::allows`] says what rules mean. Here is what this driver makes of some, by
//! `docs/hybrid.md`: rules that iptables cannot match do not apply, and protocol 0 is any protocol.

use model::{
    Direction, EtherType, IpProtocol, SecurityGroup, SecurityGroupRule, SecurityGroupRuleId,
    Transport,
};
use policy::{L4, Members, Policy, allows, are_stateless};

use super::fault;
use super::verdict::{Header, Packet};

/// The rules of a set of groups, as they are meant.
#[derive(Debug, Clone)]
pub struct Meaning<'a> {
    members: &'a Members,
    /// Whether every packet gets the verdict of the other driver.
    pub(super) strict: bool,
    stateless: bool,
    /// Without what does not apply by itself.
    groups: Vec<SecurityGroup>,
    /// Where there are rules that do not apply by themselves: beside others they may make up a whole,
    /// which can be matched.
    besides: Option<Besides>,
}

#[derive(Debug, Clone)]
struct Besides {
    /// With those rules.
    groups: Vec<SecurityGroup>,
    /// What can be matched of it, in either direction.
    ingress: Policy,
    egress: Policy,
}

impl<'a> Meaning<'a> {
    /// Those of these groups, with `strict_equivalence` or without.
    pub fn of<'g>(
        groups: impl IntoIterator<Item = &'g SecurityGroup>,
        members: &'a Members,
        strict: bool,
    ) -> Self {
        let all: Vec<&SecurityGroup> = groups.into_iter().collect();
        let each = |meant: fn(&SecurityGroupRule, bool) -> Option<Transport>| {
            let meant = |rule: &SecurityGroupRule| {
                let (direction, family) = (rule.direction(), rule.ethertype());
                let transport = meant(rule, strict)?;
                SecurityGroupRule::new(rule.id(), direction, family, transport, rule.remote()).ok()
            };
            let meant = |group: &&SecurityGroup| SecurityGroup {
                rules: group.rules.iter().filter_map(meant).collect(),
                ..(*group).clone()
            };
            all.iter().map(meant).collect::<Vec<SecurityGroup>>()
        };
        let (groups, widened) = (each(applied), each(widened));
        let compiled = |direction| fault::compile(&all, direction, strict).policy;
        let besides = (groups != widened).then(|| Besides {
            groups: widened,
            ingress: compiled(Direction::Ingress),
            egress: compiled(Direction::Egress),
        });
        Self { members, strict, stateless: are_stateless(all), groups, besides }
    }

    /// The rules that apply by themselves.
    pub fn groups(&self) -> &[SecurityGroup] {
        &self.groups
    }

    /// Whether every packet is judged by itself.
    pub fn is_stateless(&self) -> bool {
        self.stateless
    }

    /// The rule that admits the packet.
    pub fn rule(
        &self,
        direction: Direction,
        packet: &policy::Packet,
    ) -> Option<SecurityGroupRuleId> {
        let by = |groups| allows(groups, self.members, direction, packet);
        by(&self.groups).or_else(|| {
            let besides = self.besides.as_ref()?;
            let matched = match direction {
                Direction::Ingress => &besides.ingress,
                Direction::Egress => &besides.egress,
            };
            matched.admits(self.members, packet)?;
            by(&besides.groups)
        })
    }

    /// The same for a packet on the Linux bridge of a port that sends it or gets it.
    pub fn rule_at_bridge(
        &self,
        direction: Direction,
        packet: &Packet,
    ) -> Option<SecurityGroupRuleId> {
        let (remote, remote_mac) = match direction {
            Direction::Ingress => (packet.source, packet.source_mac),
            Direction::Egress => (packet.destination, packet.destination_mac),
        };
        let l4 = match packet.header {
            Header::Ports { to, .. } => L4::Ports { dst: to },
            Header::Icmp { kind, code } => L4::Icmp { kind, code },
            Header::Other => L4::None,
        };
        let (remote_mac, protocol) = (Some(remote_mac), packet.protocol);
        self.rule(direction, &policy::Packet { remote, remote_mac, protocol, l4 })
    }
}

/// What a rule asks of the packets of its protocol; `None` where it does not apply.
fn applied(rule: &SecurityGroupRule, strict: bool) -> Option<Transport> {
    match rule.transport() {
        Transport::Protocol(IpProtocol(0)) if strict => None,
        Transport::Ports { protocol: IpProtocol::DCCP | IpProtocol::UDPLITE, .. } if strict => None,
        Transport::Icmp { kind: 255, .. } if rule.ethertype() == EtherType::Ipv4 => None,
        _ => widened(rule, strict),
    }
}

/// The same, applied or not.
#[expect(clippy::unnecessary_wraps, reason = "it is one of two")]
fn widened(rule: &SecurityGroupRule, strict: bool) -> Option<Transport> {
    Some(match rule.transport() {
        Transport::Protocol(IpProtocol(0)) if !strict => Transport::Any,
        other => other,
    })
}
