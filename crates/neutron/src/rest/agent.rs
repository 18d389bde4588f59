//! Agents: the extension `agent`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Attribute, Resource, check};

/// The attributes of an agent.
pub const AGENT: Resource = Resource {
    name: "agent",
    plural: "agents",
    path: "agents",
    attributes: &[
        Attribute::shown("id"),
        Attribute::shown("agent_type"),
        Attribute::shown("binary"),
        Attribute::shown("host"),
        Attribute::shown("topic"),
        Attribute::later("admin_state_up", check::boolean),
        Attribute::later("description", check::text_or_null),
        Attribute::shown("alive"),
        Attribute::shown("availability_zone"),
        Attribute::shown("configurations"),
        Attribute::shown("created_at"),
        Attribute::shown("started_at"),
        Attribute::shown("heartbeat_timestamp"),
        Attribute::shown("resources_synced"),
    ],
};

/// An agent as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// UUID.
    pub id: String,
    /// `Open vSwitch agent`.
    pub agent_type: String,
    /// The program.
    pub binary: String,
    /// The host that it runs on.
    pub host: String,
    /// `N/A`.
    pub topic: String,
    /// Whether ports may be bound to it.
    pub admin_state_up: bool,
    /// Free text.
    pub description: String,
    /// Whether it has reported of late.
    pub alive: bool,
    /// Null.
    pub availability_zone: Option<String>,
    /// What it said that it can do.
    pub configurations: Map<String, Value>,
    /// When it first reported: `YYYY-MM-DD hh:mm:ss`.
    pub created_at: String,
    /// When its process started.
    pub started_at: String,
    /// When it last reported.
    pub heartbeat_timestamp: String,
    /// Null.
    pub resources_synced: Option<bool>,
}

/// What is to change of an agent; what is missing stays.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AgentUpdate {
    /// Whether ports may be bound to it.
    pub admin_state_up: Option<bool>,
    /// Free text.
    pub description: Option<String>,
}
