//! What Neutron's own agent leaves in bridges, as its release 29 does: how it is told from the
//! flows of others, and what is to go when Weir takes its place.
//!
//! Its cookies are random, so it is known by flows that nobody else has reason to make. In the
//! tables that are its own it takes away whatever it has not made itself when it starts; who takes
//! its place does so too. What others have in other tables stays.

use std::ops::RangeInclusive;

use openflow::{Cookie, Field, Flow, Match, Priority, TableId};

use super::{ENTRY, is_weir};

/// A flow that gives it away: without actions, and without a match but for the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sign {
    table: TableId,
    priority: Priority,
    in_port: bool,
}

/// What it leaves in a kind of bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    sign: Sign,
    tables: &'static [RangeInclusive<u8>],
    /// Whether Weir has nothing in its tables but the first.
    is_apart: bool,
}

/// In the integration bridge: the canary tells it whether the switch has lost its flows.
pub const INTEGRATION: Predecessor = Predecessor {
    sign: Sign { table: TableId(23), priority: Priority(0), in_port: false },
    // It forgets to clean table 94 itself.
    tables: &[0..=2, 23..=25, 30..=31, 58..=62, 71..=73, 77..=78, 81..=82, 91..=94],
    is_apart: true,
};

/// In the bridge of a physical network: what comes from an unknown local VLAN ends.
pub const PHYSICAL: Predecessor = Predecessor {
    sign: Sign { table: TableId(0), priority: Priority(2), in_port: true },
    tables: &[0..=3, 80..=80, 87..=87, 90..=91],
    is_apart: false,
};

/// In the bridge of tunnels: what is flooded to nobody ends.
pub const TUNNEL: Predecessor = Predecessor {
    sign: Sign { table: TableId(22), priority: Priority(0), in_port: false },
    tables: &[0..=4, 6..=6, 9..=10, 20..=22],
    is_apart: false,
};

impl Predecessor {
    /// Whether such a flow says that Neutron's agent has been here.
    pub fn is_sign(&self, flow: &Flow) -> bool {
        let Sign { table, priority, in_port } = self.sign;
        let signed = flow.cookie != Cookie(0) && !is_weir(flow.cookie);
        let place = (flow.table, flow.priority) == (table, priority) && flow.actions.is_empty();
        let port = flow.matches.exact(Field::IN_PORT).filter(|_| in_port);
        let expected = Match::new();
        let expected = match port {
            Some(port) => expected.with(Field::IN_PORT, port),
            None => expected,
        };
        let matches = flow.matches == expected && port.is_some() == in_port;
        signed && place && matches
    }

    /// Whether a flow of somebody else's is to go with it.
    pub fn goes(&self, flow: &Flow) -> bool {
        let TableId(table) = flow.table;
        !is_weir(flow.cookie) && self.tables.iter().any(|tables| tables.contains(&table))
    }

    /// Whether such a flow may stay when Weir's way in is there, because only packets that went the
    /// other way before still meet it.
    pub fn may_linger(&self, flow: &Flow) -> bool {
        self.is_apart && flow.table != ENTRY
    }
}
