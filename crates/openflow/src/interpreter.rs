//! What flows do with a packet: flow tables carried out on a [`Packet`] as a switch would do it.
//!
//! [`Tables`] holds flows and finds the one that a packet matches; [`run`] sends a packet through
//! them and returns a [`Run`]: what becomes of it (its [`Effect`]s) and which flow of which table
//! it met in which order (its [`Step`]s). Nothing is changed by it: what a flow learns or commits
//! is an effect, and what connection tracking would find is for the caller's [`Conntrack`] to
//! say.
//!
//! It knows no ports, no addresses learnt by NORMAL, no groups and no meters; these are for the
//! caller. Address translation is left out: a packet keeps its addresses. Facts: OpenFlow 1.4.1
//! § 5, ovs-fields(7), ovs-actions(7).
//!
//! ```
//! use openflow::{Flow, PortNo, interpreter::{Effect, Packet, Tables, Untracked, run}};
//!
//! let flows: Vec<Flow> = [
//!     "priority=1,in_port=1 actions=set_field:0x7->reg5,resubmit(,71)",
//!     "table=71, priority=1,tcp,tp_dst=22 actions=output:NXM_NX_REG5[]",
//! ]
//! .iter()
//! .map(|line| line.parse())
//! .collect::<Result<_, _>>()?;
//! let tables = Tables::new(&flows);
//! let packet = Packet::new(PortNo(1)).ipv4([10, 0, 0, 1], [10, 0, 0, 2]).tcp(1024, 22);
//! let run = run(&tables, packet, &mut Untracked);
//! assert!(matches!(run.effects[..], [Effect::Output { port: PortNo(7), .. }]));
//! assert_eq!(run.steps.len(), 2);
//! # Ok::<(), openflow::ParseFlowError>(())
//! ```

mod build;
mod execute;
mod learn;
mod packet;
mod table;
#[cfg(test)]
mod tests;

pub use build::{Arp, Fragment};
pub use execute::run;
pub use packet::Packet;
pub use table::Tables;

use crate::{
    action::Controller,
    flow::Flow,
    matching::CtState,
    number::{Cookie, PortNo, TableId},
};

/// What connection tracking knows, as the caller would have it.
pub trait Conntrack {
    /// What `ct` in a zone finds out about a packet.
    fn lookup(&mut self, zone: u16, packet: &Packet) -> CtEntry;
}

impl<F: FnMut(u16, &Packet) -> CtEntry> Conntrack for F {
    fn lookup(&mut self, zone: u16, packet: &Packet) -> CtEntry {
        self(zone, packet)
    }
}

/// Connection tracking that knows no connection: every packet is a new one's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Untracked;

impl Conntrack for Untracked {
    fn lookup(&mut self, _zone: u16, _packet: &Packet) -> CtEntry {
        CtEntry::new(CtState::NEW)
    }
}

/// What connection tracking says of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct CtEntry {
    /// Its state; that it is tracked goes without saying.
    pub state: CtState,
    /// The mark of the connection.
    pub mark: u32,
    /// The label of the connection.
    pub label: u128,
}

impl CtEntry {
    /// A packet in this state, of a connection without mark and label.
    pub fn new(state: CtState) -> Self {
        Self { state, mark: 0, label: 0 }
    }

    /// With a mark.
    #[must_use]
    pub fn mark(self, mark: u32) -> Self {
        Self { mark, ..self }
    }
}

/// What became of a packet that went through the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Run<'t> {
    /// What was done, in order. [`Effect::Drop`] comes last, and only where it went nowhere.
    pub effects: Vec<Effect>,
    /// The lookups, in order.
    pub steps: Vec<Step<'t>>,
    /// Why a pass ended before its time; all that is left of that pass is what it learned.
    pub fault: Option<Fault>,
}

impl Run<'_> {
    /// Whether the packet went nowhere: no port, no NORMAL, no controller, no group.
    pub fn is_dropped(&self) -> bool {
        !self.effects.iter().any(Effect::sends)
    }

    /// The ports that it was sent out of, in order.
    pub fn ports(&self) -> impl Iterator<Item = PortNo> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Output { port, .. } => Some(*port),
            _ => None,
        })
    }
}

/// Something that is done with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// It leaves by a port; by several with `PortNo::FLOOD` and `PortNo::ALL`.
    Output {
        /// Which port; never the one that it came in by, unless a flow says `IN_PORT`.
        port: PortNo,
        /// As it leaves.
        packet: Packet,
    },
    /// It is forwarded as a learning switch does, in the network of its [`Packet::vlan_vid`].
    Normal {
        /// As it is then.
        packet: Packet,
    },
    /// Its connection is made known, or changed.
    Commit {
        /// In which zone.
        zone: u16,
        /// The mark written. Where only some bits are, the others are those of the packet's mark.
        mark: Option<u32>,
        /// The label written, likewise.
        label: Option<u128>,
        /// A connection in the other direction goes.
        force: bool,
    },
    /// It goes to the controller.
    Controller {
        /// How.
        how: Controller,
        /// As it is then.
        packet: Packet,
    },
    /// It goes to a group.
    Group {
        /// Which group.
        group: u32,
        /// As it is then.
        packet: Packet,
    },
    /// A flow would be added.
    Learn(Flow),
    /// It went nowhere.
    Drop,
}

impl Effect {
    fn sends(&self) -> bool {
        match self {
            Self::Output { .. }
            | Self::Normal { .. }
            | Self::Controller { .. }
            | Self::Group { .. } => true,
            Self::Commit { .. } | Self::Learn(_) | Self::Drop => false,
        }
    }
}

/// One lookup in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step<'t> {
    /// Which table.
    pub table: TableId,
    /// The flow that was found.
    pub flow: Option<&'t Flow>,
    /// How often the packet had come back from connection tracking.
    pub pass: usize,
    /// How many resubmits this lookup is within; the first of a pass is within none.
    pub depth: usize,
    /// The packet's tracking state, 0 where it was not tracked.
    pub ct_state: CtState,
    /// The registers when the next lookup began, or at the end.
    pub registers: [u32; 16],
}

/// Why a switch would stop, or why we have to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// As a switch: resubmits that go back, within each other.
    #[error("table {table}: resubmits go back {} times within each other", execute::MAX_DEPTH)]
    TooDeep {
        /// To which table the last one went.
        table: TableId,
    },
    /// As a switch.
    #[error("table {table}: more than {} resubmits", execute::MAX_RESUBMITS)]
    TooManyResubmits {
        /// To which table the last one went.
        table: TableId,
    },
    /// As a switch: the packet keeps coming back from connection tracking.
    #[error("table {table}: the packet comes back from connection tracking too often")]
    TooManyPasses {
        /// To which table it should have gone.
        table: TableId,
    },
    /// A flow matches on fields that this crate does not know.
    #[error("table {table}: flow {cookie} matches on a field that is not known")]
    ForeignMatch {
        /// Its table.
        table: TableId,
        /// Its cookie.
        cookie: Cookie,
    },
    /// A flow has an action that this crate does not know.
    #[error("table {table}: flow {cookie} has an action that is not known")]
    ForeignAction {
        /// Its table.
        table: TableId,
        /// Its cookie.
        cookie: Cookie,
    },
}
