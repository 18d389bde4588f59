//! What a flow does with a packet: OpenFlow actions, Nicira's, and the few instructions that
//! behave like actions (`goto_table`, `meter`, `write_metadata`).
//!
//! Each effect has one form here, whatever forms the wire and ovs-ofctl have for it.

use crate::{
    field::{Field, ones},
    matching::from_bytes,
    number::{Cookie, PortNo, Priority, TableId},
    subfield::Subfield,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// One action. An empty list of them drops the packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Out of a port. The switch tells of `PortNo::CONTROLLER` as [`Action::Controller`].
    Output(PortNo),
    /// Out of the port whose number a field holds: `output:NXM_NX_REG5[]`.
    OutputField(Subfield),
    /// To the controller.
    Controller(Controller),
    /// To a group.
    Group(u32),
    /// Looks the packet up in another table, then goes on here.
    Resubmit(TableId),
    /// Goes on in a later table; only as the last action.
    GotoTable(TableId),
    /// Through a meter; only as the first action.
    Meter(u32),
    /// Adds a VLAN tag of this ethertype, e.g. 0x8100.
    PushVlan(u16),
    /// Takes the outer VLAN tag off; the flow must match on one.
    PopVlan,
    /// Writes a value to bits of a field.
    SetField {
        /// Which bits. A whole `VLAN_VID` has bit 0x1000 too.
        dst: Subfield,
        /// What to write, not shifted; bits past the width are not sent.
        value: u128,
    },
    /// Copies bits between fields; both sides have the same width.
    Move {
        /// From.
        src: Subfield,
        /// To.
        dst: Subfield,
    },
    /// Writes bits of the metadata (the instruction of OpenFlow 1.4).
    WriteMetadata {
        /// The bits' values.
        value: u64,
        /// Which bits.
        mask: u64,
    },
    /// Through connection tracking.
    Ct(Box<Ct>),
    /// Address translation; only in [`Ct::exec`]. `ct(nat)` is one with nothing set.
    Nat(Box<Nat>),
    /// Forgets the packet's connection tracking state.
    CtClear,
    /// Takes part in a conjunctive match.
    Conjunction {
        /// Number of the conjunction.
        id: u32,
        /// Which of its clauses, from 1.
        clause: u8,
        /// How many clauses it has, 2 to 64.
        clauses: u8,
    },
    /// Adds a flow made from the packet.
    Learn(Box<Learn>),
    /// Sets the queue for output.
    SetQueue(u32),
    /// Back to the default queue.
    PopQueue,
    /// Lowers the time to live; an expired packet goes to the controller.
    DecTtl,
    /// Does nothing; bytes for whoever reads the flow. See [`Action::note`].
    Note(Vec<u8>),
    /// An action that this crate does not know, as its bytes.
    Foreign(Vec<u8>),
    /// An instruction that this crate does not know, as its bytes.
    ForeignInstruction(Vec<u8>),
}

impl Action {
    /// Writes a whole field.
    pub const fn set(field: Field, value: u128) -> Self {
        Self::SetField { dst: Subfield::whole(field), value }
    }

    /// Writes a whole field that holds an Ethernet address.
    pub fn set_mac(field: Field, mac: [u8; 6]) -> Self {
        Self::set(field, from_bytes(&mac))
    }

    /// Writes a VLAN number to the outer tag.
    pub fn set_vlan(vlan: u16) -> Self {
        Self::set(Field::VLAN_VID, (vlan | 0x1000).into())
    }

    /// A note in the length that the wire has for it: 6 bytes more than a multiple of 8, filled
    /// up with zeros.
    pub fn note(bytes: &[u8]) -> Self {
        let mut note = bytes.to_vec();
        note.resize(note_len(bytes.len()), 0);
        Self::Note(note)
    }
}

/// The length that a note has on the wire.
pub(crate) const fn note_len(len: usize) -> usize {
    (len + 2).next_multiple_of(8).saturating_sub(2)
}

/// The widest value that [`Action::SetField`] takes: a VLAN number brings its 13th bit.
pub(crate) const fn settable(dst: Subfield) -> u128 {
    if dst.is_whole() && dst.field().match_bits() == 13 { ones(13) } else { dst.full_value() }
}

/// Whether ovs-ofctl and the wire have `set_field` for it, not `load`.
pub(crate) fn is_set_field(dst: Subfield) -> bool {
    dst.is_whole() && dst.field() != Field::IN_PORT
}

/// How a packet goes to the controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Controller {
    /// How many bytes of it at most.
    pub max_len: u16,
    /// To the controllers of this number; 0 is the usual.
    pub id: u16,
    /// Reason given: 0 no match, 1 action, 2 invalid TTL.
    pub reason: u8,
}

impl Controller {
    /// The reason "action", which is the usual.
    pub const ACTION: u8 = 1;
}

impl Default for Controller {
    fn default() -> Self {
        Self { max_len: u16::MAX, id: 0, reason: Self::ACTION }
    }
}

/// What connection tracking does with a packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ct {
    /// Makes the connection known.
    pub commit: bool,
    /// With [`commit`](Self::commit): an existing connection in the other direction goes.
    pub force: bool,
    /// In which zone.
    pub zone: Zone,
    /// Sends a tracked copy on to this table.
    pub table: Option<TableId>,
    /// What to do with the connection: its mark and label, [`Action::Nat`] first.
    pub exec: Vec<Action>,
    /// The port of the application protocol to follow: 21 FTP, 69 TFTP, 0 none.
    pub alg: u16,
}

impl Ct {
    /// Tracks, then goes on in a table with `ct_state` set.
    pub fn track(zone: impl Into<Zone>, table: TableId) -> Self {
        Self { commit: false, table: Some(table), ..Self::commit(zone) }
    }

    /// Makes the connection known.
    pub fn commit(zone: impl Into<Zone>) -> Self {
        Self {
            commit: true,
            force: false,
            zone: zone.into(),
            table: None,
            exec: Vec::new(),
            alg: 0,
        }
    }

    /// And does this with the connection.
    #[must_use]
    pub fn exec(mut self, action: Action) -> Self {
        self.exec.push(action);
        self
    }

    /// And translates its addresses.
    #[must_use]
    pub fn nat(mut self, nat: Nat) -> Self {
        self.exec.insert(0, Action::Nat(Box::new(nat)));
        self
    }
}

impl From<Ct> for Action {
    fn from(ct: Ct) -> Self {
        Self::Ct(Box::new(ct))
    }
}

/// A connection tracking zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Zone {
    /// This one.
    Immediate(u16),
    /// The one that a field holds, of 16 bits.
    Field(Subfield),
}

impl From<u16> for Zone {
    fn from(zone: u16) -> Self {
        Self::Immediate(zone)
    }
}

impl From<Subfield> for Zone {
    fn from(subfield: Subfield) -> Self {
        Self::Field(subfield)
    }
}

/// Address translation of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nat {
    /// Which side, if a new connection is translated; else an existing translation is applied.
    pub side: Option<NatSide>,
    /// To which addresses.
    pub addresses: NatRange,
    /// To which ports, first and last (the same for one); 0 and 0 where not given.
    pub ports: (u16, u16),
    /// Keeps the choice over restarts.
    pub persistent: bool,
    /// How a port is picked.
    pub pick: NatPick,
}

/// Which address is translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatSide {
    /// The source.
    Src,
    /// The destination.
    Dst,
}

/// The addresses to translate to, first and last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatRange {
    /// None given.
    #[default]
    None,
    /// IPv4.
    V4(Ipv4Addr, Ipv4Addr),
    /// IPv6.
    V6(Ipv6Addr, Ipv6Addr),
}

/// How a port is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatPick {
    /// As the datapath likes.
    #[default]
    Any,
    /// By a hash of the addresses.
    Hash,
    /// At random.
    Random,
}

/// A flow to make from the packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Learn {
    /// Into which table.
    pub table: TableId,
    /// Its priority.
    pub priority: Priority,
    /// Its cookie.
    pub cookie: Cookie,
    /// Goes after so many seconds without a packet; 0 never.
    pub idle_timeout: u16,
    /// Goes after so many seconds; 0 never.
    pub hard_timeout: u16,
    /// Idle timeout once a TCP FIN or RST was seen; 0 none.
    pub fin_idle_timeout: u16,
    /// Hard timeout once a TCP FIN or RST was seen; 0 none.
    pub fin_hard_timeout: u16,
    /// Tells the controller when it goes.
    pub send_flow_rem: bool,
    /// Goes with the flow that made it.
    pub delete_learned: bool,
    /// How many flows with its cookie its table may have; beyond that nothing is added, and none
    /// is changed. 0 is any number.
    pub limit: u32,
    /// What it matches and does.
    pub specs: Vec<LearnSpec>,
}

/// One thing that a learned flow matches or does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LearnSpec {
    /// Matches a field on what the packet has in a field, perhaps another.
    Match {
        /// The field matched.
        dst: Subfield,
        /// Where its value is taken from.
        src: Subfield,
    },
    /// Matches a field on a value.
    MatchValue {
        /// The field matched.
        dst: Subfield,
        /// Its value.
        value: u128,
    },
    /// Writes what the packet has in a field.
    Load {
        /// The field written.
        dst: Subfield,
        /// Where its value is taken from.
        src: Subfield,
    },
    /// Writes a value.
    LoadValue {
        /// The field written.
        dst: Subfield,
        /// The value.
        value: u128,
    },
    /// Outputs to the port that the packet has in a field.
    Output(Subfield),
}
