//! Small words in which the pipeline is written.

use std::sync::Arc;

use model::{OfPort, VlanTag};
use openflow::{
    Action, Ct, Field, Flow, Learn, LearnSpec, Match, PortNo, Priority, Subfield, TableId, Zone,
};

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
    Flow { table, priority, cookie, matches, actions }
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

/// Off to table 193 with a reason.
pub(super) fn refuse(reason: DropReason) -> Vec<Action> {
    vec![load(layout::REASON, reason.number()), goto(layout::DROPPED)]
}

/// The same from a table behind table 193.
pub(super) fn refuse_back(reason: DropReason) -> Vec<Action> {
    vec![load(layout::REASON, reason.number()), resubmit(layout::DROPPED)]
}

/// Out of a port; a frame that came in by it goes nowhere.
pub(super) fn output(port: OfPort) -> Action {
    Action::Output(if port == OfPort::LOCAL { PortNo::LOCAL } else { PortNo(port.get().into()) })
}

/// Out of the uplink with the tag of the network.
pub(super) fn to_uplink(vlan: VlanTag, uplink: OfPort) -> Vec<Action> {
    vec![Action::PushVlan(VLAN_ETHERTYPE), set_vlan(vlan), output(uplink)]
}

/// Writes the local VLAN to the tag of the frame.
pub(super) fn set_vlan(vlan: VlanTag) -> Action {
    const PRESENT: u16 = 0x1000;
    load(Subfield::whole(Field::VLAN_VID), PRESENT | vlan.get())
}

/// How learned flows are kept.
pub(super) struct Memory {
    /// Whose they are. They go when the last flow goes that learns for it.
    pub(super) owner: Owner,
    /// For how many seconds after the last frame; 0 for good.
    pub(super) seconds: u16,
    /// How many there are at most; 0 for any number.
    pub(super) most: u32,
}

/// Learns that who sent this frame is at the port that it came in by: the learned flow finds
/// frames of the network that are for them, and writes that port to `reg5`.
pub(super) fn learn(table: TableId, memory: Memory) -> Action {
    let in_port = Subfield::new(Field::IN_PORT, 0, 15);
    let whole = Subfield::whole;
    Action::Learn(Box::new(Learn {
        table,
        priority: layout::priority::PORT,
        cookie: memory.owner.cookie(),
        idle_timeout: 0,
        hard_timeout: memory.seconds,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        send_flow_rem: false,
        delete_learned: true,
        limit: memory.most,
        specs: vec![
            LearnSpec::Match { dst: layout::NETWORK, src: layout::NETWORK },
            LearnSpec::Match { dst: whole(Field::ETH_DST), src: whole(Field::ETH_SRC) },
            LearnSpec::Load { dst: layout::PORT_NUMBER, src: in_port },
        ],
    }))
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

/// 802.1Q.
pub(super) const VLAN_ETHERTYPE: u16 = 0x8100;
pub(super) const ARP: u16 = 0x0806;
pub(super) const RARP: u16 = 0x8035;
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const UDP: u8 = 17;

/// Whether it is only a part of an IP packet.
pub(super) const IS_FRAGMENT: Subfield = Subfield::new(Field::IP_FRAG, 0, 0);

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
