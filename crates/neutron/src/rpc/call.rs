//! The calls that an agent makes, each a type with its arguments, and their replies.
//!
//! Topics, their namespaces, methods, versions (that an agent asks for, and the last that a server
//! speaks) and deadlines in seconds stand in one table at the end; [`Request`] is made of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    AgentState, AgentStatus, JsonReply, JsonResponder, Message, MessageError, Responder, reply,
};
use crate::object::{Object, ResourceType, SubPort};

/// How long an agent waits for the answer to most calls.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// A call of an agent to the server.
pub trait Call: Serialize + DeserializeOwned + Send + 'static {
    /// What the server answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// The topic that the server listens on.
    const TOPIC: &'static str;
    /// The method.
    const METHOD: &'static str;
    /// The version of the interface that is asked for: the oldest that has it.
    const VERSION: &'static str;
    /// How long the agent waits for the answer.
    const DEADLINE: Duration;

    /// The request as the server receives it.
    fn into_request(self, responder: Responder<Self::Reply>) -> Request;
}

/// Is a server there? Answered true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Nothing", into = "Nothing")]
pub struct HasAliveNeutronServer;

/// The heartbeat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportState {
    /// What the agent says of itself.
    #[serde(with = "wrapped_state")]
    pub agent_state: AgentState,
    /// When, in UTC without zone: `2026-11-21T06:51:27.090023`.
    pub time: String,
}

/// Tells the server of an end of tunnels and asks for the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelSync {
    /// The address that the agent's tunnels end at.
    pub tunnel_ip: String,
    /// vxlan, gre or geneve.
    pub tunnel_type: String,
    /// The host of the agent.
    pub host: String,
}

/// The answer to [`TunnelSync`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnels {
    /// All ends, the agent's own too.
    pub tunnels: Vec<TunnelEnd>,
}

/// A tunnel end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelEnd {
    /// The address.
    pub ip_address: String,
    /// The UDP port, for VXLAN and Geneve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_port: Option<u16>,
    /// The host.
    #[serde(default)]
    pub host: String,
}

/// Asks for objects. Answered with every object that has, for each field of the filter, one of
/// the values; an empty filter is met by all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "BulkPullArgs", try_from = "BulkPullArgs")]
pub struct BulkPull {
    /// The type.
    pub resource: ResourceType,
    /// Field and values, `id` or `security_group_id` for instance.
    pub filter: BTreeMap<String, Vec<String>>,
}

/// Asks for one object by its id, for a trunk by that of its parent port. Answered with nothing if
/// there is none. Neutron answers so only for some types: of those that are here, for QoS policies and
/// trunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "PullArgs", try_from = "PullArgs")]
pub struct Pull {
    /// The type.
    pub resource: ResourceType,
    /// UUID of the object; of a trunk, of its parent port.
    pub id: String,
}

/// Asks how a network is carried. Answered with nothing if there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetNetworkDetails {
    /// UUID of the network.
    pub network: String,
    /// [`agent_id`] of the host.
    pub agent_id: String,
    /// The host of the agent.
    pub host: String,
}

/// The answer to [`GetNetworkDetails`]: the network as the API shows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NetworkDetails {
    /// UUID.
    pub id: String,
    /// The largest IP packet, in bytes.
    #[serde(default)]
    pub mtu: u32,
    /// local, flat, vlan, vxlan, gre or geneve.
    #[serde(rename = "provider:network_type")]
    pub network_type: String,
    /// The physical network, for flat and vlan.
    #[serde(rename = "provider:physical_network", default)]
    pub physical_network: Option<String>,
    /// The VLAN tag, VNI or key, for all but local and flat.
    #[serde(rename = "provider:segmentation_id", default)]
    pub segmentation_id: Option<u32>,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Says which ports have been wired and which have gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateDeviceList {
    /// UUIDs of ports that carry traffic now.
    #[serde(default)]
    pub devices_up: Vec<String>,
    /// UUIDs of ports that do not any more.
    #[serde(default)]
    pub devices_down: Vec<String>,
    /// [`agent_id`] of the host.
    pub agent_id: String,
    /// The host of the agent.
    pub host: String,
    /// Whether the agent wants to hear again of all that is behind tunnels.
    #[serde(default)]
    pub refresh_tunnels: bool,
}

/// The answer to [`UpdateDeviceList`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceListResult {
    /// UUIDs of the ports that are up.
    pub devices_up: Vec<String>,
    /// UUIDs that could not be set up; the agent tries again.
    pub failed_devices_up: Vec<String>,
    /// The ports that are down.
    pub devices_down: Vec<DeviceDown>,
    /// UUIDs that could not be set down; the agent tries again.
    pub failed_devices_down: Vec<String>,
}

/// Says that a port is down because its owner wants it so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateDeviceDown {
    /// UUID of the port.
    pub device: String,
    /// [`agent_id`] of the host.
    pub agent_id: String,
    /// The host of the agent.
    pub host: String,
}

/// A port that is down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceDown {
    /// UUID of the port.
    pub device: String,
    /// Whether there is such a port. Neutron says so of unknown ones too.
    pub exists: bool,
}

/// Has subports bound to the host of the parent port of their trunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateSubportBindings {
    /// The subports, without the wrapper that objects have.
    pub subports: Vec<SubPort>,
}

/// The answer to [`UpdateSubportBindings`]: of each trunk, by its UUID, the ports that could be bound.
pub type BoundSubports = BTreeMap<String, Vec<BoundSubport>>;

/// A subport that was bound: the port as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundSubport {
    /// UUID.
    pub id: String,
    /// Its MAC address.
    pub mac_address: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Says how far a trunk has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateTrunkStatus {
    /// UUID of the trunk.
    pub trunk_id: String,
    /// ACTIVE, DEGRADED or ERROR.
    pub status: String,
}

/// Asks which firewall an agent has whose files name none, as `[securitygroup] firewall_driver` would.
/// Only a Weir server tells: the namespace is not Neutron's ([`Failure::is_not_served`]).
///
/// [`Failure::is_not_served`]: super::Failure::is_not_served
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetFirewallDriver {
    /// The host of the agent.
    pub host: String,
}

/// How calls name an agent.
pub fn agent_id(host: &str) -> String {
    format!("ovs-agent-{host}")
}

#[derive(Serialize, Deserialize)]
struct Nothing {}

impl From<Nothing> for HasAliveNeutronServer {
    fn from(Nothing {}: Nothing) -> Self {
        Self
    }
}

impl From<HasAliveNeutronServer> for Nothing {
    fn from(HasAliveNeutronServer: HasAliveNeutronServer) -> Self {
        Self {}
    }
}

/// `{"agent_state": {..}}`, which itself is the argument `agent_state`.
mod wrapped_state {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::AgentState;

    #[derive(Serialize, Deserialize)]
    struct Wrapper<T> {
        agent_state: T,
    }

    pub(super) fn serialize<S: Serializer>(
        agent_state: &AgentState,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Wrapper { agent_state }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<AgentState, D::Error> {
        Wrapper::deserialize(deserializer).map(|wrapper| wrapper.agent_state)
    }
}

#[derive(Serialize, Deserialize)]
struct BulkPullArgs {
    resource_type: String,
    version: String,
    #[serde(default)]
    filter_kwargs: BTreeMap<String, Vec<String>>,
}

impl From<BulkPull> for BulkPullArgs {
    fn from(BulkPull { resource, filter }: BulkPull) -> Self {
        Self {
            resource_type: resource.name().to_owned(),
            version: resource.oldest().to_owned(),
            filter_kwargs: filter,
        }
    }
}

impl TryFrom<BulkPullArgs> for BulkPull {
    type Error = String;

    /// The version is that of the answer on the wire, see [`Request::from_message`].
    fn try_from(args: BulkPullArgs) -> Result<Self, String> {
        let BulkPullArgs { resource_type, version, filter_kwargs: filter } = args;
        Ok(Self { resource: spoken(&resource_type, &version)?, filter })
    }
}

#[derive(Serialize, Deserialize)]
struct PullArgs {
    resource_type: String,
    version: String,
    resource_id: String,
}

impl From<Pull> for PullArgs {
    fn from(Pull { resource, id }: Pull) -> Self {
        Self {
            resource_type: resource.name().to_owned(),
            version: resource.version().to_owned(),
            resource_id: id,
        }
    }
}

impl TryFrom<PullArgs> for Pull {
    type Error = String;

    fn try_from(args: PullArgs) -> Result<Self, String> {
        let PullArgs { resource_type, version, resource_id: id } = args;
        Ok(Self { resource: spoken(&resource_type, &version)?, id })
    }
}

/// The type of this name, in a version that is spoken.
fn spoken(name: &str, version: &str) -> Result<ResourceType, String> {
    match ResourceType::from_name(name) {
        None => Err(format!("resource_type '{name}' is not known")),
        Some(resource) if !resource.speaks(version) => {
            let (from, to) = (resource.oldest(), resource.version());
            Err(format!("{name} is spoken in versions {from} to {to}, not {version}"))
        }
        Some(resource) => Ok(resource),
    }
}

/// The version of the objects that the answer is to have, where it has any.
fn objects_asked(message: &Message) -> Option<String> {
    let version = match message.method.as_str() {
        BulkPull::METHOD | Pull::METHOD => message.args.get("version")?.as_str()?,
        _ => return None,
    };
    Some(version.to_owned())
}

macro_rules! namespace {
    () => {
        None
    };
    ($namespace:literal) => {
        Some($namespace)
    };
}

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident -> $reply:ty: $topic:literal $(in $namespace:literal)? $method:literal
       $asked:literal..$spoken:literal $seconds:literal;)*) => {
        $(
            impl Call for $name {
                type Reply = $reply;
                const TOPIC: &'static str = $topic;
                const METHOD: &'static str = $method;
                const VERSION: &'static str = $asked;
                const DEADLINE: Duration = Duration::from_secs($seconds);

                fn into_request(self, responder: Responder<$reply>) -> Request {
                    Request::$name(self, responder)
                }
            }
        )*

        /// What a server is asked: the arguments of a call, and where its answer goes.
        #[derive(Debug)]
        #[expect(clippy::large_enum_variant, reason = "few wait at a time")]
        pub enum Request {
            $($(#[$doc])* $name($name, Responder<$reply>),)*
        }

        impl Request {
            /// Reads a request from the wire, and gives what its answer will be on the wire.
            ///
            /// # Errors
            ///
            /// The method, its version or its arguments are not known here.
            pub fn from_message(message: Message) -> Result<(Self, JsonReply), MessageError> {
                let objects = objects_asked(&message);
                match message.method.as_str() {
                    $($method => {
                        let call: $name = message.arguments_in(namespace!($($namespace)?), $spoken)?;
                        let (responder, answer) = Responder::new();
                        Ok((call.into_request(responder), reply::to_json(answer, objects)))
                    })*
                    _ => Err(MessageError::Method { method: message.method }),
                }
            }

            /// The wire form, and what to do with the answer from the wire.
            ///
            /// # Errors
            ///
            /// [`MessageError::Encode`].
            pub fn into_message(self) -> Result<(Message, JsonResponder), MessageError> {
                match self {
                    $(Self::$name(call, responder) => {
                        let message = Message::new($method, $asked, &call)?;
                        let message = message.in_namespace(namespace!($($namespace)?));
                        Ok((message, responder.from_json()))
                    })*
                }
            }

            /// The method.
            pub fn method(&self) -> &'static str {
                match self {
                    $(Self::$name(..) => $method,)*
                }
            }

            /// How long its caller waits for the answer.
            pub fn deadline(&self) -> Duration {
                match self {
                    $(Self::$name(..) => Duration::from_secs($seconds),)*
                }
            }

            /// The topic that the server listens on.
            pub fn topic(&self) -> &'static str {
                match self {
                    $(Self::$name(..) => $topic,)*
                }
            }
        }
    };
}

calls! {
    /// Is a server there?
    HasAliveNeutronServer -> bool: "q-reports-plugin" "has_alive_neutron_server" "1.2".."1.4" 60;
    /// The heartbeat.
    ReportState -> AgentStatus: "q-reports-plugin" "report_state" "1.2".."1.4" 30;
    /// A tunnel end asks for the others.
    TunnelSync -> Tunnels: "q-plugin" "tunnel_sync" "1.4".."1.9" 60;
    /// Objects are asked for.
    BulkPull -> Vec<Object>: "q-plugin" "bulk_pull" "1.1".."1.1" 60;
    /// One object is asked for.
    Pull -> Option<Object>: "q-plugin" "pull" "1.1".."1.1" 60;
    /// How a network is carried.
    GetNetworkDetails -> Option<NetworkDetails>: "q-plugin" "get_network_details" "1.6".."1.9" 60;
    /// Ports have been wired, or have gone.
    UpdateDeviceList -> DeviceListResult: "q-plugin" "update_device_list" "1.9".."1.9" 60;
    /// A port is down because its owner wants it so.
    UpdateDeviceDown -> DeviceDown: "q-plugin" "update_device_down" "1.9".."1.9" 60;
    /// Subports are to be bound.
    UpdateSubportBindings -> BoundSubports: "trunk" in "trunk" "update_subport_bindings" "1.0".."1.0" 60;
    /// How far a trunk has come.
    UpdateTrunkStatus -> (): "trunk" in "trunk" "update_trunk_status" "1.0".."1.0" 60;
    /// An agent whose files name no firewall asks for the server's.
    GetFirewallDriver -> String: "q-plugin" in "weir" "get_firewall_driver" "1.0".."1.0" 60;
}
