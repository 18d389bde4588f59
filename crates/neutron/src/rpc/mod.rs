//! What server and agents say to each other: calls of agents ([`Call`], [`Request`]) and casts of
//! the server ([`Cast`]).
//!
//! At both ends they are typed values. [`Message`] is their form on a wire, exactly Neutron's (what only
//! Weir has is in a namespace of its own); a transport that has a wire puts it into its own envelope.

mod agent_state;
mod call;
mod cast;
mod fdb;
mod message;
mod reply;
#[cfg(test)]
mod tests;

pub use self::agent_state::{AgentState, AgentStatus, Configurations, OvsCapabilities};
pub(crate) use self::call::RESPONSE_TIMEOUT;
pub use self::call::{
    BoundSubport, BoundSubports, BulkPull, Call, DeviceDown, DeviceListResult, GetFirewallDriver,
    GetNetworkDetails, HasAliveNeutronServer, NetworkDetails, Pull, ReportState, Request,
    TunnelEnd, TunnelSync, Tunnels, UpdateDeviceDown, UpdateDeviceList, UpdateSubportBindings,
    UpdateTrunkStatus, agent_id,
};
pub use self::cast::{Cast, EventType, TunnelAddress};
pub use self::fdb::{ChangedEntries, FdbEntries, FdbUpdate, NetworkFdb, PortInfo};
pub use self::message::{Failure, Message, MessageError};
pub(crate) use self::message::{NO_METHOD, NO_VERSION};
pub use self::reply::{JsonReply, JsonResponder, Responder};
