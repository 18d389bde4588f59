//! What should become of a packet: the reference, with no flow in it.
//!
//! [`policy::allows`] says what rules mean. Here is what surrounds them: who may send what, what
//! passes without a rule, and what connection tracking decides. The packets are those of
//! [`crate::probe`], whose source port is never one of DHCP.

use std::net::{IpAddr, Ipv6Addr};

use model::{Direction, EtherType, IpProtocol, Port, SecurityGroup, SecurityGroupRuleId};
use policy::{L4, Members, Packet, allows, are_stateless};

use crate::probe::{End, State, Tracking};

const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// MLD query, router and neighbour solicitation leave any port.
const SOLICITATIONS: [u8; 3] = [130, 133, 135];
/// MLD reports leave any port for link-local groups.
const MLD_REPORTS: [u8; 3] = [131, 132, 143];
/// MLD query, router advertisement, neighbour solicitation and advertisement reach any port.
const HOUSEKEEPING: [u8; 4] = [130, ROUTER_ADVERTISEMENT, 135, NEIGHBOUR_ADVERTISEMENT];

/// What should become of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A rule admits it.
    ByRule(SecurityGroupRuleId),
    /// It passes, and needs no rule for that.
    WithoutRule,
    /// It does not pass.
    Refused,
}

impl Expected {
    /// Whether it passes.
    pub(crate) fn is_accepted(self) -> bool {
        self != Self::Refused
    }
}

/// Whether a port may be this source.
pub(crate) fn may_be(port: &Port, end: End) -> bool {
    let own = end.mac == port.mac && end.address == IpAddr::V6(port.mac.link_local());
    own || port.pairs.iter().any(|pair| pair.mac == end.mac && pair.prefix.contains(end.address))
}

/// What should become of an IP packet that a port with these groups sends or is to receive; `own`
/// is the port's end of it.
pub(crate) fn expected(
    port: &Port,
    groups: &[SecurityGroup],
    members: &Members,
    direction: Direction,
    own: End,
    packet: &Packet,
    tracking: Tracking,
) -> Expected {
    if direction == Direction::Egress && !may_be(port, own) {
        return Expected::Refused;
    }
    if let Some(settled) = without_rules(direction, packet) {
        return settled;
    }
    let by_rule =
        || allows(groups, members, direction, packet).map_or(Expected::Refused, Expected::ByRule);
    if are_stateless(groups) {
        return by_rule();
    }
    match tracking.state {
        State::Invalid => Expected::Refused,
        State::Reply | State::Related if tracking.revoked => Expected::Refused,
        State::Reply | State::Related => Expected::WithoutRule,
        State::New | State::Established => by_rule(),
    }
}

/// What ICMPv6 gets whatever rules and connection tracking say.
fn without_rules(direction: Direction, packet: &Packet) -> Option<Expected> {
    let L4::Icmp { kind, code } = packet.l4 else { return None };
    if packet.ethertype() != EtherType::Ipv6 || packet.protocol != IpProtocol::ICMPV6 {
        return None;
    }
    let accepted = match direction {
        Direction::Ingress => HOUSEKEEPING.contains(&kind).then_some(true),
        Direction::Egress => match kind {
            ROUTER_ADVERTISEMENT => Some(false),
            // With another code it is none, and says nothing of whose address it is about.
            NEIGHBOUR_ADVERTISEMENT => Some(code == 0),
            kind if SOLICITATIONS.contains(&kind) => Some(true),
            kind if MLD_REPORTS.contains(&kind) && is_link_local_group(packet.remote) => Some(true),
            _ => None,
        },
    };
    accepted.map(|it| if it { Expected::WithoutRule } else { Expected::Refused })
}

/// Whether it lies in ff02::/16.
fn is_link_local_group(address: IpAddr) -> bool {
    let scope = |address: Ipv6Addr| address.segments().first() == Some(&0xff02);
    matches!(address, IpAddr::V6(address) if scope(address))
}
