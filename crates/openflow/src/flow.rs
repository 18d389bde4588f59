//! Flows, what a switch says of them, and changes to them.

use crate::{
    action::Action,
    matching::Match,
    number::{Cookie, PortNo, Priority, TableId},
};
use std::sync::Arc;

/// A flow: where it stands, what it matches and what it does.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// In which table.
    pub table: TableId,
    /// How it ranks there.
    pub priority: Priority,
    /// The controller's own number on it.
    pub cookie: Cookie,
    /// What it matches.
    pub matches: Match,
    /// What it does; nothing is a drop. Many flows do the same, so they can share it.
    pub actions: Arc<[Action]>,
}

/// What makes a flow that flow: a switch has one with it at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// In which table.
    pub table: TableId,
    /// How it ranks there.
    pub priority: Priority,
    /// What it matches.
    pub matches: Match,
}

impl Flow {
    /// What makes it this flow.
    pub fn key(&self) -> FlowKey {
        FlowKey { table: self.table, priority: self.priority, matches: self.matches.clone() }
    }
}

/// A flow as a switch reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowStats {
    /// The flow. Whoever reads very many keeps it and drops the rest.
    pub flow: Arc<Flow>,
    /// Packets that it took.
    pub packets: u64,
    /// Bytes that it took.
    pub bytes: u64,
    /// How long it has been there.
    pub duration: std::time::Duration,
    /// Goes after so many seconds without a packet; 0 never.
    pub idle_timeout: u16,
    /// Goes after so many seconds; 0 never.
    pub hard_timeout: u16,
    /// Its flags, see [`FlowFlags`].
    pub flags: FlowFlags,
}

/// Flags of a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowFlags(pub u16);

impl FlowFlags {
    /// Tells the controller when the flow goes.
    pub const SEND_FLOW_REM: Self = Self(1);
    /// Refused if it overlaps one of the same priority.
    pub const CHECK_OVERLAP: Self = Self(1 << 1);
    /// Sets the counters back.
    pub const RESET_COUNTS: Self = Self(1 << 2);
    /// Packets need not be counted.
    pub const NO_PACKET_COUNTS: Self = Self(1 << 3);
    /// Bytes need not be counted.
    pub const NO_BYTE_COUNTS: Self = Self(1 << 4);
}

/// How a flow table is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// Adds the flow; one with its key is replaced and loses its counters.
    Add,
    /// Gives the actions to all flows that the match covers.
    Modify,
    /// Gives the actions to the flow with exactly this key. The cookie of the flow stays.
    ModifyStrict,
    /// Deletes all flows that the match covers; where the flow that says so has an output, only those
    /// that have the same one, perhaps among others.
    Delete,
    /// Deletes the flow with exactly this key.
    DeleteStrict,
}

/// A change to a flow table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowMod {
    /// Which change.
    pub command: Command,
    /// The flow; deleting looks at its key, at an output where many go, and at the cookie as far as
    /// [`cookie_mask`](Self::cookie_mask) says. Whoever keeps track of what a switch holds shares it.
    pub flow: Arc<Flow>,
    /// Goes after so many seconds without a packet; 0 never.
    pub idle_timeout: u16,
    /// Goes after so many seconds; 0 never.
    pub hard_timeout: u16,
    /// Flags of the flow.
    pub flags: FlowFlags,
    /// Only flows with these bits of the cookie are modified or deleted; 0 is any.
    pub cookie_mask: u64,
}

impl FlowMod {
    /// A change of a flow without timeouts, whatever its cookie.
    pub fn new(command: Command, flow: impl Into<Arc<Flow>>) -> Self {
        Self {
            command,
            flow: flow.into(),
            idle_timeout: 0,
            hard_timeout: 0,
            flags: FlowFlags::default(),
            cookie_mask: 0,
        }
    }

    /// Adds a flow.
    pub fn add(flow: impl Into<Arc<Flow>>) -> Self {
        Self::new(Command::Add, flow)
    }

    /// Deletes the flow with this key.
    pub fn delete_strict(key: FlowKey) -> Self {
        let FlowKey { table, priority, matches } = key;
        let flow = Flow { table, priority, matches, ..Flow::default() };
        Self::new(Command::DeleteStrict, flow)
    }

    /// Deletes every flow of a table that sends packets to this port, and has these bits of the
    /// cookie.
    pub fn delete_to(port: PortNo, table: TableId, cookie: Cookie, cookie_mask: u64) -> Self {
        let actions = [Action::Output(port)].into();
        let flow = Flow { table, cookie, actions, ..Flow::default() };
        Self { cookie_mask, ..Self::new(Command::Delete, flow) }
    }

    /// Deletes every flow of every table.
    pub fn delete_all() -> Self {
        Self::new(Command::Delete, Flow { table: TableId::ALL, ..Flow::default() })
    }
}
