//! What a switch says of its flow tables while they are monitored.

use crate::flow::Flow;
use std::{fmt, sync::Arc};

/// A change of a flow table, told by the switch behind the fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowUpdate {
    /// A flow was added, in place of one with its key if there was one.
    Added {
        /// The flow.
        flow: Arc<Flow>,
        /// Goes after so many seconds without a packet; 0 never.
        idle_timeout: u16,
        /// Goes after so many seconds; 0 never.
        hard_timeout: u16,
    },
    /// A flow got other actions or another cookie.
    Modified {
        /// The flow, as it is now.
        flow: Arc<Flow>,
        /// Goes after so many seconds without a packet; 0 never.
        idle_timeout: u16,
        /// Goes after so many seconds; 0 never.
        hard_timeout: u16,
    },
    /// A flow has gone.
    Removed {
        /// The flow as it was; the switch may leave out its actions.
        flow: Arc<Flow>,
        /// Why.
        reason: RemovedReason,
    },
    /// A change by this connection, one or many of one bundle, took effect here.
    Own {
        /// The transaction number of the message that made it, or the first of them.
        xid: u32,
    },
    /// The switch has more to say than is taken off it: until [`Missed`](Self::Missed) it tells of
    /// removals alone.
    Paused,
    /// Some changes were not told. Whoever needs to know what there is must read it again.
    Missed,
}

/// Why a flow has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemovedReason(pub u8);

impl RemovedReason {
    /// No packet came for as long as its idle timeout.
    pub const IDLE_TIMEOUT: Self = Self(0);
    /// Its hard timeout was over.
    pub const HARD_TIMEOUT: Self = Self(1);
    /// Somebody deleted it.
    pub const DELETE: Self = Self(2);
    /// Somebody deleted a group that it uses.
    pub const GROUP_DELETE: Self = Self(3);
    /// Somebody deleted a meter that it uses.
    pub const METER_DELETE: Self = Self(4);
    /// It had to make room.
    pub const EVICTION: Self = Self(5);
}

impl fmt::Display for RemovedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IDLE_TIMEOUT => f.write_str("its idle timeout was over"),
            Self::HARD_TIMEOUT => f.write_str("its hard timeout was over"),
            Self::DELETE => f.write_str("deleted"),
            Self::GROUP_DELETE => f.write_str("its group was deleted"),
            Self::METER_DELETE => f.write_str("its meter was deleted"),
            Self::EVICTION => f.write_str("evicted to make room"),
            Self(reason) => write!(f, "reason {reason}"),
        }
    }
}
