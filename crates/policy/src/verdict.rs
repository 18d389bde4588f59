//! The reference verdict: what security groups mean, rule by rule, with nothing clever about it.

use model::{Direction, SecurityGroup, SecurityGroupRule, SecurityGroupRuleId, Transport};

use crate::{L4, Members, Packet};

/// The first rule that admits the packet, or `None` where no rule does and it is to be dropped.
/// Connections are not looked at: replies pass without a rule in stateful groups.
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
