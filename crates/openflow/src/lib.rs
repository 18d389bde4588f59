//! OpenFlow 1.4 with the Nicira extensions of Open vSwitch: flows as values, as text in the
//! syntax of ovs-ofctl, and as bytes; a session; and a client on top of it.
//!
//! A [`Flow`] has one form in memory, whatever forms the wire and the text have for it: what was
//! sent to a switch and is then dumped again compares equal, so that "is it installed?" is `==`.
//!
//! From the inside out: [`Field`], [`Subfield`], [`Match`], [`Action`] and [`Flow`] are values;
//! `text` prints and reads them; `wire` encodes and decodes them; `session` is the protocol as a
//! state machine without I/O; [`Client`] runs one over a socket; [`interpreter`] tells what flows
//! do with a packet. The crate knows nothing of what flows are for.
//!
//! ```no_run
//! use openflow::{Client, Flow, FlowMod, Target};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let switch = Client::connect(&Target::Unix("/run/openvswitch/br-int.mgmt".into())).await?;
//! let flow: Flow = "table=72, priority=70,tcp,reg7=0x1,tp_dst=22 actions=resubmit(,73)".parse()?;
//! switch.bundle(vec![FlowMod::add(flow.clone())]).await?;
//! assert!(switch.dump_flows().await?.iter().any(|installed| *installed.flow == flow));
//! # Ok(()) }
//! ```

mod action;
mod client;
mod conntrack;
mod field;
mod flow;
pub mod interpreter;
mod matching;
mod meter;
mod monitor;
mod number;
mod session;
mod subfield;
mod text;
mod wire;

pub use action::{Action, Controller, Ct, Learn, LearnSpec, Nat, NatPick, NatRange, NatSide, Zone};
pub use client::{
    BundleError, Client, ConnectError, FlowMonitor, InOrder, RequestError, Target, Told,
};
pub use conntrack::{CtTransport, CtTuple};
pub use field::Field;
pub use flow::{Command, Flow, FlowFlags, FlowKey, FlowMod, FlowStats};
pub use matching::{CtState, Match, Term, Terms};
pub use meter::{Meter, MeterBand, MeterBandKind, MeterFlags, MeterMod};
pub use monitor::{FlowUpdate, RemovedReason};
pub use number::{Cookie, PortNo, Priority, TableId};
pub use session::{HandshakeError, ProtocolError, RefusedChange};
pub use subfield::Subfield;
pub use text::ParseFlowError;
pub use wire::{DecodeError, ErrorMessage, Features};
