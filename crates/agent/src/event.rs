//! Everything that can wake the agent, in one closed enumeration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dataplane::Snapshot;
use dataplane::bridge::Desired;
use dataplane::hybrid::Node;
use model::{NetworkId, NetworkType, PortId, SecurityGroupId, TrunkId, TrunkStatus, VlanTag};
use neutron::bus::CallError;
use neutron::object::Object;
use neutron::rpc::{AgentStatus, Cast, Tunnels};
use openflow::{Meter, RequestError};
use ovsdb::RowId;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bridge::BridgeId;
use crate::cache::{Names, Question};
use crate::conntrack::{Affected, CutError};
use crate::journal::Journal;
use crate::netfilter::{Changed, Look, NetfilterError};
use crate::overlay::{Told, Tunnelled};
use crate::path::Sight;
use crate::plan::Bound;
use crate::rewire::act::RewireError;
use crate::rewire::{Migrate, MoveStatus};
use crate::status::Status;
use crate::switch;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// The database connection, or its contents, changed.
    Database(ovsdb::Event),
    /// The connection to a bridge changed, or the bridge said something.
    Switch(BridgeId, switch::Change),
    /// The server told something, at this moment.
    Cast(Cast, Instant),
    /// The server has gone for good.
    BusClosed,
    /// The server answered a question, or did not.
    Answered(Question, Result<Vec<Object>, CallError>),
    /// The server took a heartbeat, or did not.
    Heartbeat(Result<AgentStatus, CallError>),
    /// The server told of the ends of all tunnels of a type, or did not.
    Ends(NetworkType, Result<Tunnels, CallError>),
    /// What the server has told of these networks has been taken note of.
    Told(Told),
    /// The server took a report of ports, or did not.
    Reported(Reported),
    /// The server was asked to bind subports of a trunk, and did so as far as it could, or did not
    /// answer.
    SubportsBound(TrunkId, Result<Bound, CallError>),
    /// The server took the status of a trunk, or did not.
    TrunkTold(TrunkId, TrunkStatus, Result<(), CallError>),
    /// The database took tags, or did not: `next_cfg` after them.
    Tagged(Vec<RowId>, Result<i64, ovsdb::TransactError>),
    /// The database took a new integration bridge, or did not.
    BridgeMade(Result<(), ovsdb::TransactError>),
    /// The database took the fail mode of a bridge, or did not: `next_cfg` after it.
    BridgeSecured(BridgeId, Result<i64, ovsdb::TransactError>),
    /// The database took ports of bridges, or did not: `next_cfg` after them.
    BridgesWired(Result<i64, ovsdb::TransactError>),
    /// The database took limits of ports, or did not: `next_cfg` after them.
    Limited(Result<i64, ovsdb::TransactError>),
    /// The integration bridge took changes of meters, or did not; and the meters that it has now.
    Metered(Result<(), RequestError>, Result<Vec<Meter>, RequestError>),
    /// Devices between machines and the integration bridge are others, or are not known.
    Devices(Sight),
    /// What netfilter holds was read, which is to filter ports, or could not be.
    NetfilterRead(Result<Look, NetfilterError>),
    /// What netfilter holds was read, which is to filter nothing.
    LeftoversRead(Look),
    /// Netfilter took a change, or did not.
    NetfilterChanged(Changed),
    /// Flows know the connections of ports that they are to filter from now on, or could not be given them.
    HandedOver(Result<usize, CutError>),
    /// What others have damaged on the bridge was left for long enough.
    Mend(BridgeId),
    /// Connections without a rule were cut, or could not be.
    Cut(Cut),
    /// The zones that these networks are to have were cleared, or could not be.
    Cleared(BTreeMap<NetworkId, VlanTag>, Result<(), CutError>),
    /// It is worth looking for connections without a rule again.
    CutAgain(Affected),
    /// What an agent before this one had left half done has been looked for, and is done.
    LookedForHalves,
    /// A step of a move was taken.
    Rewired,
    /// The devices of a port that is to be moved are ready, or cannot be.
    Prepared(PortId, Result<(), RewireError>),
    /// All is ready to plug a port in anew, or cannot be.
    Settled(PortId, Result<(), RewireError>),
    /// A port is plugged in anew, and was cut off for so long, or is as it was.
    Swapped(PortId, Result<Duration, RewireError>),
    /// Somebody wants ports moved.
    Migrate(Migrate, oneshot::Sender<Result<Vec<MoveStatus>, String>>),
    /// Somebody asks how the moves of ports go.
    Moves(oneshot::Sender<Vec<MoveStatus>>),
    /// Somebody asks how the node is.
    Status(oneshot::Sender<Status>),
    /// No packet can be on its way under these sets of groups any more, nor by flows of Neutron's
    /// agent if they had been left.
    Faded(BTreeSet<BTreeSet<SecurityGroupId>>),
    /// Somebody asks what the bundles after the one with this number have cost.
    Journal(u64, oneshot::Sender<Journal>),
    /// Somebody asks what the flows should be by.
    View(oneshot::Sender<View>),
    /// A peer has rested long enough: what failed may be tried again.
    Retry(Peer),
}

impl Event {
    /// When it came, given that it is taken off the queue now.
    pub(crate) fn came(&self, now: Instant) -> Instant {
        match self {
            Self::Cast(_, came) => *came,
            _ => now,
        }
    }
}

/// What the flows should be by, at one moment.
#[derive(Debug)]
pub(crate) struct View {
    /// From what they are computed.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The flows that are computed from it.
    pub(crate) desired: Desired,
    /// What people call the groups in it.
    pub(crate) names: Names,
    /// By what netfilter is to filter ports, where there are such.
    pub(crate) filtered: Option<Arc<Node>>,
    /// Whether the switch has not confirmed all of it yet, or netfilter is being changed.
    pub(crate) busy: bool,
}

/// Somebody who may fail, and then rests without holding up the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// The server.
    Server,
    /// The database.
    Database,
    /// A bridge of the switch.
    Switch(BridgeId),
    /// A bridge, as far as it has refused flows: their owners rest, not the bridge.
    Refusals(BridgeId),
    /// The integration bridge, as far as it has refused meters.
    Meters,
    /// Whoever keeps the connections: the switch or the kernel.
    Conntrack,
    /// Netfilter.
    Netfilter,
}

/// A report of ports.
#[derive(Debug)]
pub(crate) struct Reported {
    /// Ports that carry traffic.
    pub(crate) up: Vec<PortId>,
    /// Ports that have gone.
    pub(crate) gone: Vec<PortId>,
    /// Ports that are plugged in and carry nothing.
    pub(crate) down: Vec<PortId>,
    /// Networks whose population it asks for.
    pub(crate) refresh: BTreeSet<Tunnelled>,
    /// Ports that the server could not take note of; all of them where the call failed.
    pub(crate) result: Result<Vec<PortId>, CallError>,
}

/// A look for connections without a rule.
#[derive(Debug)]
pub(crate) struct Cut {
    /// Where.
    pub(crate) affected: Affected,
    /// How many there were.
    pub(crate) result: Result<usize, CutError>,
}
