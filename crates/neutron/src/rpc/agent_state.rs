//! What an agent says of itself in `report_state`, and what it is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// What an agent says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentState {
    /// [`AgentState::OPEN_VSWITCH`].
    pub agent_type: String,
    /// The program.
    pub binary: String,
    /// The host: the key of the agent together with its type.
    pub host: String,
    /// `N/A`.
    pub topic: String,
    /// What it can do, and how much it has.
    pub configurations: Configurations,
    /// Whether the process has just started.
    #[serde(default, skip_serializing_if = "is_false")]
    pub start_flag: bool,
    /// The versions of the objects that it takes pushes of; left out after the first report.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_versions: BTreeMap<String, String>,
    /// New with every report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// What an agent can do, and how much it has.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Configurations {
    /// The bridge of each physical network.
    pub bridge_mappings: BTreeMap<String, String>,
    /// The tunnels that it can end.
    pub tunnel_types: Vec<String>,
    /// The address that its tunnels end at.
    pub tunneling_ip: Option<String>,
    /// The bridge that ports are plugged into.
    pub integration_bridge: String,
    /// `system` or `netdev`.
    pub datapath_type: String,
    /// What the switch can do.
    pub ovs_capabilities: OvsCapabilities,
    /// Whether a Linux bridge must be put between the port and the switch.
    pub ovs_hybrid_plug: bool,
    /// How many ports it has.
    pub devices: u64,
    /// The extensions that it has loaded.
    pub extensions: Vec<String>,
    /// Whether it wants to be told of addresses behind tunnels.
    pub l2_population: bool,
    /// Whether it answers ARP for addresses behind tunnels.
    pub arp_responder_enabled: bool,
    /// Whether it routes.
    pub enable_distributed_routing: bool,
    /// Whether the server shall log its reports.
    pub log_agent_heartbeats: bool,
    /// Where sockets of virtual machines are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vhostuser_socket_dir: Option<String>,
    /// Every other key, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a switch can do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OvsCapabilities {
    /// `Open_vSwitch.datapath_types`.
    pub datapath_types: Vec<String>,
    /// `Open_vSwitch.iface_types`.
    pub iface_types: Vec<String>,
}

/// How a server knew the agent when it reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentStatus {
    /// Not at all.
    New,
    /// As alive.
    Alive,
    /// As down: the agent must check everything that it has.
    Revived,
    /// The server did not take the report (null on the wire).
    Ignored,
}

impl AgentState {
    /// The type of an agent that wires ports to Open vSwitch.
    pub const OPEN_VSWITCH: &'static str = "Open vSwitch agent";
    /// The topic that such an agent reports.
    pub const NO_TOPIC: &'static str = "N/A";
}

impl AgentStatus {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::New => Some("new"),
            Self::Alive => Some("alive"),
            Self::Revived => Some("revived"),
            Self::Ignored => None,
        }
    }
}

impl Serialize for AgentStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AgentStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        [Self::New, Self::Alive, Self::Revived, Self::Ignored]
            .into_iter()
            .find(|status| status.name() == text.as_deref())
            .ok_or_else(|| {
                let text = text.unwrap_or_default();
                serde::de::Error::custom(format!("'{text}' is not new, alive, revived or null"))
            })
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
