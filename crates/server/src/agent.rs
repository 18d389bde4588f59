//! Agents: who has reported from where, and whether it still lives.

use model::NetworkType;
use neutron::rest;
use neutron::rpc::{AgentState, AgentStatus, Configurations};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::binding;
use crate::error::ApiError;
use crate::l2pop;
use crate::resource::{Resource, Selection};
use crate::segment::Segment;
use crate::store::Unit;
use crate::time::Timestamp;
use crate::tunnel;

/// An agent.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Agent {
    id: String,
    agent_type: String,
    binary: String,
    host: String,
    topic: String,
    description: String,
    admin_state_up: bool,
    configurations: Json<Map<String, Value>>,
    created_at: Timestamp,
    started_at: Timestamp,
    heartbeat_at: Timestamp,
    /// How long after a report it counts as alive, in seconds.
    down_after: i64,
}

impl Resource for Agent {
    const REST: &'static rest::Resource = &rest::AGENT;
    const INDEXED: &'static [&'static str] = &["id", "host"];
    type Body = rest::Agent;
    type Create = serde::de::IgnoredAny;
    type Update = rest::AgentUpdate;

    async fn create(_: &mut Unit, _: serde::de::IgnoredAny) -> Result<String, ApiError> {
        // An agent comes into being when it reports.
        Err(rest::Error::MethodNotAllowed {}.into())
    }

    async fn update(unit: &mut Unit, id: &str, request: rest::AgentUpdate) -> Result<(), ApiError> {
        let agent = get(unit.connection(), id).await?;
        sqlx::query("UPDATE agents SET admin_state_up = ?2, description = ?3 WHERE id = ?1")
            .bind(id)
            .bind(request.admin_state_up.unwrap_or(agent.admin_state_up))
            .bind(request.description.unwrap_or(agent.description))
            .execute(unit.connection())
            .await?;
        binding::retry(unit, &agent.host).await
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        let agent = get(unit.connection(), id).await?;
        let ports = l2pop::announced(unit.connection(), &agent.host).await?;
        let known = l2pop::entries(unit.connection(), &ports).await?;
        unit.remove("agents", id).await?;
        l2pop::follow(unit, &ports, &known).await?;
        if agent.agent_type == AgentState::OPEN_VSWITCH {
            tunnel::retain(unit, &agent.host, &[]).await?;
        }
        Ok(())
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::Agent>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(Agent::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::AgentNotFound { id: id.to_owned() }
    }
}

/// Takes an agent's report. Ports that could not be bound on its host are tried again when it is
/// new or back, or can do other things than before. Tunnel ends of types that it has no more are
/// forgotten, and others hear where its tunnels end when that is another address than before.
pub(crate) async fn report(unit: &mut Unit, state: AgentState) -> Result<AgentStatus, ApiError> {
    let now = Timestamp::now();
    let down_after = unit.config().limits.down_after();
    let values = std::slice::from_ref(&state.host);
    let known = load(unit.connection(), Selection::Where { column: "host", values })
        .await?
        .into_iter()
        .find(|agent| agent.agent_type == state.agent_type);
    let status = match &known {
        None => AgentStatus::New,
        Some(agent) if agent.is_alive() => AgentStatus::Alive,
        Some(_) => AgentStatus::Revived,
    };
    let ability = known.as_ref().and_then(|agent| agent.abilities().ok());
    let same_ip = ability
        .as_ref()
        .is_some_and(|ability| ability.tunneling_ip == state.configurations.tunneling_ip);
    let moved = match same_ip {
        true => Vec::new(),
        false => l2pop::announced(unit.connection(), &state.host).await?,
    };
    let reached = l2pop::entries(unit.connection(), &moved).await?;
    let started_at = known.as_ref().map(|agent| agent.started_at).filter(|_| !state.start_flag);
    let configurations = Json(as_map(&state.configurations)?);
    sqlx::query(
        "INSERT INTO agents (id, agent_type, binary, host, topic, description, admin_state_up,
            configurations, created_at, started_at, heartbeat_at, down_after)
         VALUES (?1, ?2, ?3, ?4, ?5, '', TRUE, ?6, ?7, ?8, ?7, ?9)
         ON CONFLICT (agent_type, host) DO UPDATE SET binary = ?3, topic = ?5,
            configurations = ?6, started_at = ?8, heartbeat_at = ?7",
    )
    .bind(Uuid::new_v4().to_string())
    .bind(&state.agent_type)
    .bind(&state.binary)
    .bind(&state.host)
    .bind(&state.topic)
    .bind(&configurations)
    .bind(now)
    .bind(started_at.unwrap_or(now))
    .bind(down_after)
    .execute(unit.connection())
    .await?;
    l2pop::follow(unit, &moved, &reached).await?;
    if ability.as_ref() != Some(&Ability::of(&state.configurations))
        && state.agent_type == AgentState::OPEN_VSWITCH
    {
        tunnel::retain(unit, &state.host, &state.configurations.tunnel_types).await?;
    }
    if status != AgentStatus::Alive || ability.as_ref() != Some(&Ability::of(&state.configurations))
    {
        binding::retry(unit, &state.host).await?;
    }
    Ok(status)
}

/// The living agent of this host that wires ports to Open vSwitch, with what it can do.
pub(crate) async fn of_host(
    connection: &mut SqliteConnection,
    host: &str,
) -> Result<Option<Ability>, ApiError> {
    let values = &[host.to_owned()];
    let agents = load(connection, Selection::Where { column: "host", values }).await?;
    let usable = |agent: &Agent| {
        agent.agent_type == AgentState::OPEN_VSWITCH && agent.admin_state_up && agent.is_alive()
    };
    agents.into_iter().find(usable).map(|agent| agent.abilities()).transpose()
}

/// What an agent said that it can do, as far as binding a port goes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ability {
    physical_networks: Vec<String>,
    tunnel_types: Vec<String>,
    tunneling_ip: Option<String>,
    pub(crate) integration_bridge: String,
    pub(crate) datapath_type: String,
    pub(crate) hybrid_plug: bool,
}

impl Ability {
    fn of(configurations: &Configurations) -> Self {
        Self {
            physical_networks: configurations.bridge_mappings.keys().cloned().collect(),
            tunnel_types: configurations.tunnel_types.clone(),
            tunneling_ip: configurations.tunneling_ip.clone(),
            integration_bridge: configurations.integration_bridge.clone(),
            datapath_type: configurations.datapath_type.clone(),
            hybrid_plug: configurations.ovs_hybrid_plug,
        }
    }

    /// Whether it can carry the segment.
    pub(crate) fn carries(&self, segment: &Segment) -> bool {
        match segment.network_type.parse() {
            Ok(NetworkType::Local) => true,
            Ok(NetworkType::Flat | NetworkType::Vlan) => segment
                .physical_network
                .as_ref()
                .is_some_and(|name| self.physical_networks.contains(name)),
            Ok(NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve) => {
                self.tunnel_types.contains(&segment.network_type)
            }
            Err(_) => false,
        }
    }
}

async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Agent>, ApiError> {
    Ok(selection.rows(connection, "SELECT * FROM agents").await?)
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Agent, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| Agent::not_found(id).into())
}

fn as_map(configurations: &Configurations) -> Result<Map<String, Value>, ApiError> {
    serde_json::to_value(configurations)
        .and_then(serde_json::from_value)
        .map_err(|error| ApiError::Broken { what: "configurations", value: error.to_string() })
}

impl Agent {
    fn is_alive(&self) -> bool {
        Timestamp::now().seconds_since(self.heartbeat_at) <= self.down_after
    }

    fn abilities(&self) -> Result<Ability, ApiError> {
        let configurations: Configurations =
            serde_json::from_value(Value::Object(self.configurations.0.clone())).map_err(|_| {
                ApiError::Broken { what: "configurations of agent", value: self.id.clone() }
            })?;
        Ok(Ability::of(&configurations))
    }

    /// As the API shows it.
    fn body(self) -> rest::Agent {
        rest::Agent {
            alive: self.is_alive(),
            id: self.id,
            agent_type: self.agent_type,
            binary: self.binary,
            host: self.host,
            topic: self.topic,
            admin_state_up: self.admin_state_up,
            description: self.description,
            availability_zone: None,
            configurations: self.configurations.0,
            created_at: self.created_at.spaced(),
            started_at: self.started_at.spaced(),
            heartbeat_timestamp: self.heartbeat_at.spaced(),
            resources_synced: None,
        }
    }
}
