//! What should become of a packet: the reference, with no flow in it.
//!
//! [`policy::allows`] says what rules mean. Here is what surrounds them: who may send what, what
//! passes without a rule, and what connection tracking decides. The packets are those of
//! [`crate::probe`], whose source port is never one of DHCP.

use std::net::{IpAddr, Ipv6Addr};

use dataplane::bridge::layout::{MARK_REVOKED, MARK_VALID};
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
    /// No rule admits it.
    Unruled,
    /// It does not pass, whatever rules say.
    Refused,
}

/// What the rules of a port say of a packet, whoever has them and whatever became before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// The rule that admits it.
    pub(crate) rule: Option<SecurityGroupRuleId>,
    /// Whether connections do not count.
    pub(crate) stateless: bool,
}

impl Ruling {
    /// What these groups say.
    pub(crate) fn of<'a, G: IntoIterator<Item = &'a SecurityGroup>>(
        groups: impl Fn() -> G,
        members: &Members,
        direction: Direction,
        packet: &Packet,
    ) -> Self {
        Self {
            rule: allows(groups(), members, direction, packet),
            stateless: are_stateless(groups()),
        }
    }
}

impl Expected {
    /// Whether it passes.
    pub(crate) fn is_accepted(self) -> bool {
        matches!(self, Self::ByRule(_) | Self::WithoutRule)
    }

    /// What connection tracking should be told of the connection: nothing, or that it is there,
    /// with a mark where that is to be another one.
    pub(crate) fn commit(self, tracking: Tracking) -> Option<Option<u32>> {
        match (self, tracking.state) {
            (Self::ByRule(_), State::New) => Some(None),
            (Self::ByRule(_), State::Established) if tracking.revoked => Some(Some(MARK_VALID)),
            (Self::Unruled, State::Established) => Some(Some(MARK_REVOKED)),
            _ => None,
        }
    }
}

/// Whether a port may be this source.
pub(crate) fn may_be(port: &Port, end: End) -> bool {
    let own = end.mac == port.mac && end.address == IpAddr::V6(port.mac.link_local());
    own || port.pairs.iter().any(|pair| pair.mac == end.mac && pair.prefix.contains(end.address))
}

/// What should become of an IP packet that a port sends or is to receive; `own` is the port's end
/// of it, `ruling` what its rules say.
pub(crate) fn expected(
    port: &Port,
    ruling: Ruling,
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
    let by_rule = ruling.rule.map_or(Expected::Unruled, Expected::ByRule);
    if ruling.stateless {
        return by_rule;
    }
    match tracking.state {
        State::Invalid => Expected::Refused,
        State::Reply | State::Related if tracking.revoked => Expected::Refused,
        State::Reply | State::Related => Expected::WithoutRule,
        State::New | State::Established => by_rule,
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
