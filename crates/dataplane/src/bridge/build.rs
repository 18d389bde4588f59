//! Small words in which the pipeline is written.

use std::sync::Arc;

use openflow::{Action, Ct, Field, Flow, Match, Priority, Subfield, TableId, Zone};

use super::layout::{self, DropReason, MARK_REVOKED, MARK_VALID, Owner};
use crate::FlowSet;

/// Adds the flow. Keys are unique by construction, which the tests check; should two flows ever
/// claim one key, the first stays and nothing opens that neither asked for.
pub(super) fn put(
    flows: &mut FlowSet,
    owner: Owner,
    table: TableId,
    priority: Priority,
    matches: Match,
    actions: impl Into<Arc<[Action]>>,
) {
    let added = flows.add(flow(owner, table, priority, matches, actions));
    debug_assert_eq!(added, Ok(()));
}

/// The flow.
pub(super) fn flow(
    owner: Owner,
    table: TableId,
    priority: Priority,
    matches: Match,
    actions: impl Into<Arc<[Action]>>,
) -> Flow {
    let (cookie, actions) = (owner.cookie(), actions.into());
    Flow { table, priority, cookie, matches: matches.shrunk(), actions }
}

/// `field := value`.
pub(super) fn load(field: Subfield, value: impl Into<u128>) -> Action {
    Action::SetField { dst: field, value: value.into() }
}

/// On to a later table.
pub(super) fn goto(table: TableId) -> Action {
    Action::GotoTable(table)
}

/// On to any table.
pub(super) fn resubmit(table: TableId) -> Action {
    Action::Resubmit(table)
}

/// Off to table 93 with a reason.
pub(super) fn refuse(reason: DropReason) -> Vec<Action> {
    vec![load(layout::REASON, reason.number()), goto(layout::DROPPED)]
}

/// Looks the packet up in its network's zone and goes on in `table`.
pub(super) fn track(table: TableId) -> Action {
    Action::Ct(Box::new(Ct::track(Zone::Field(layout::ZONE), table)))
}

/// Commits the connection to its network's zone.
pub(super) fn commit() -> Action {
    Action::Ct(Box::new(Ct::commit(Zone::Field(layout::ZONE))))
}

/// Commits the connection with the mark that cuts it.
pub(super) fn revoke() -> Action {
    commit_with_mark(MARK_REVOKED)
}

/// Commits the connection with the mark taken away.
pub(super) fn reinstate() -> Action {
    commit_with_mark(MARK_VALID)
}

fn commit_with_mark(mark: u32) -> Action {
    let set_mark = load(Subfield::whole(Field::CT_MARK), mark);
    Action::Ct(Box::new(Ct::commit(Zone::Field(layout::ZONE)).exec(set_mark)))
}

pub(super) const ARP: u16 = 0x0806;
pub(super) const RARP: u16 = 0x8035;
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const UDP: u8 = 17;

/// UDP over this EtherType from one port to another.
pub(super) fn udp(ethertype: u16, from: u16, to: u16) -> Match {
    let packet = Match::new().eth_type(ethertype).ip_proto(UDP);
    packet.tp_src(UDP, from, u16::MAX).tp_dst(UDP, to, u16::MAX)
}

/// ICMPv6 of this type.
pub(super) fn icmpv6(kind: u8) -> Match {
    Match::new().eth_type(IPV6).ip_proto(58).icmp(IPV6, kind, None)
}

/// Neighbour solicitation (135) or advertisement (136), whose code is 0 (RFC 4861).
pub(super) fn neighbour(kind: u8) -> Match {
    Match::new().eth_type(IPV6).ip_proto(58).icmp(IPV6, kind, Some(0))
}
