//! From what a node has to what its switch should hold.
//!
//! Data flows one way: [`Snapshot`] -> [`bridge::desired`] -> [`FlowSet`] -> [`FlowSet::diff`]
//! -> flow modifications. All of it is a function of values: no I/O, no clock, no history, so
//! the order of the events that led to a snapshot cannot matter.
//!
//! Only [`bridge`] names a table, a register, a conntrack zone or a cookie bit.
//!
//! [`hybrid`] is the same for ports that netfilter filters: a node to chains and sets, and the
//! difference from what is installed.

pub mod bridge;
mod flow_set;
pub mod hybrid;
mod permitted;
mod reconciliation;
#[cfg(test)]
mod sample;
mod snapshot;

pub use flow_set::{Conflict, FlowSet};
pub use permitted::{PermittedError, PermittedEtherType};
pub use reconciliation::{Damage, Reconciliation};
pub use snapshot::{Filter, LocalNetwork, LocalPort, PortMeters, PortQos, Snapshot, Underlay};
