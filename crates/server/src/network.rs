//! Networks. The first resource: the others are made in the same way.
//!
//! A row of the store, with what other tables say of it, is a [`Network`]; [`Network::body`] is
//! what the API shows and [`Network::object`] what agents are told.

use std::collections::HashMap;
use std::sync::Arc;

use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use neutron::rpc::NetworkDetails;
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::agent::Ability;
use crate::error::ApiError;
use crate::mtu;
use crate::port;
use crate::qos_policy;
use crate::quota;
use crate::resource::{Resource, Selection};
use crate::segment::{self, Segment};
use crate::store::{Unit, json_list};
use crate::time::Timestamp;

/// A network with its segments and subnets.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) row: Row,
    pub(crate) segments: Vec<Segment>,
    subnets: Vec<String>,
}

#[derive(Debug, Clone, FromRow)]
pub(crate) struct Row {
    pub(crate) id: String,
    project_id: String,
    name: String,
    description: String,
    admin_state_up: bool,
    shared: bool,
    pub(crate) mtu: u32,
    pub(crate) port_security_enabled: bool,
    qos_policy_id: Option<String>,
    tags: Json<Vec<String>>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for Network {
    const REST: &'static rest::Resource = &rest::NETWORK;
    const INDEXED: &'static [&'static str] = &["id", "name", "project_id"];
    type Body = rest::Network;
    type Create = rest::NetworkCreate;
    type Update = rest::NetworkUpdate;

    async fn create(unit: &mut Unit, request: rest::NetworkCreate) -> Result<String, ApiError> {
        quota::check(unit, "network", &request.project_id).await?;
        let qos_policy = match request.qos_policy_id {
            Some(policy) => Some(policy),
            None => qos_policy::default_of(unit, &request.project_id).await?,
        };
        qos_policy::refuse_missing(unit, qos_policy.as_deref()).await?;
        let id = Uuid::new_v4().to_string();
        sqlx::query(
            "INSERT INTO networks (id, project_id, name, description, admin_state_up, shared, mtu,
                port_security_enabled, qos_policy_id, tags, revision_number, created_at,
                updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, '[]', 1, ?9, ?9)",
        )
        .bind(&id)
        .bind(&request.project_id)
        .bind(&request.name)
        .bind(&request.description)
        .bind(request.admin_state_up)
        .bind(request.shared)
        .bind(request.port_security_enabled)
        .bind(&qos_policy)
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        let segments = requested(request.provider, request.segments)?;
        segment::allocate(unit, &id, &segments).await?;
        // What carries it decides how large its packets may be.
        let config = Arc::clone(unit.config());
        let Network { segments, .. } = get(unit.connection(), &id).await?;
        sqlx::query("UPDATE networks SET mtu = ?2 WHERE id = ?1")
            .bind(&id)
            .bind(mtu::choose(&config.mtu, &segments, request.mtu)?)
            .execute(unit.connection())
            .await?;
        tell(unit, &id).await?;
        Ok(id)
    }

    async fn update(
        unit: &mut Unit,
        id: &str,
        request: rest::NetworkUpdate,
    ) -> Result<(), ApiError> {
        let config = Arc::clone(unit.config());
        let Network { row, segments, .. } = get(unit.connection(), id).await?;
        refuse_other_place(&segments, &request.provider)?;
        let mtu = match request.mtu {
            Some(wanted) => {
                let mtu = mtu::choose(&config.mtu, &segments, wanted)?;
                let versions: Vec<u8> =
                    sqlx::query_scalar("SELECT ip_version FROM subnets WHERE network_id = ?")
                        .bind(id)
                        .fetch_all(unit.connection())
                        .await?;
                mtu::refuse_too_small(id, mtu, versions)?;
                mtu
            }
            None => row.mtu,
        };
        if let Some(number) = request.provider.segmentation_id {
            segment::renumber(unit, &segments, number).await?;
        }
        let qos_policy = request.qos_policy_id.unwrap_or_else(|| row.qos_policy_id.clone());
        qos_policy::refuse_missing(unit, qos_policy.as_deref()).await?;
        sqlx::query(
            "UPDATE networks SET name = ?2, description = ?3, admin_state_up = ?4, shared = ?5,
                mtu = ?6, port_security_enabled = ?7, qos_policy_id = ?8
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.name.unwrap_or(row.name))
        .bind(request.description.unwrap_or(row.description))
        .bind(request.admin_state_up.unwrap_or(row.admin_state_up))
        .bind(request.shared.unwrap_or(row.shared))
        .bind(mtu)
        .bind(request.port_security_enabled.unwrap_or(row.port_security_enabled))
        .bind(&qos_policy)
        .execute(unit.connection())
        .await?;
        touch(unit, id).await?;
        // Agents wire a port by the segment that it came with. Neutron tells them of the network
        // alone, and its own agent then goes back and forth between the two numbers.
        if request.provider.segmentation_id.is_some() {
            for segment in &segments {
                let ports = segment.ports(unit.connection()).await?;
                port::touch(unit, &ports).await?;
            }
        }
        Ok(())
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        get(unit.connection(), id).await?;
        let ports: Vec<String> = sqlx::query_scalar("SELECT id FROM ports WHERE network_id = ?")
            .bind(id)
            .fetch_all(unit.connection())
            .await?;
        if !ports.is_empty() {
            let ports = ports.join(", ");
            return Err(rest::Error::NetworkInUse { id: id.to_owned(), ports }.into());
        }
        let subnets: Vec<String> =
            sqlx::query_scalar("SELECT id FROM subnets WHERE network_id = ?")
                .bind(id)
                .fetch_all(unit.connection())
                .await?;
        for subnet in subnets {
            unit.deleted(ResourceType::Subnet, &subnet);
        }
        unit.remove("networks", id).await?;
        unit.deleted(ResourceType::Network, id);
        Ok(())
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::Network>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(Network::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::NetworkNotFound { id: id.to_owned() }
    }
}

/// The selected networks.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Network>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM networks").await?;
    let ids = json_list(rows.iter().map(|row| row.id.as_str()));
    let mut subnets: HashMap<String, Vec<String>> = HashMap::new();
    let pairs: Vec<(String, String)> = sqlx::query_as(
        "SELECT network_id, id FROM subnets
         WHERE network_id IN (SELECT value FROM json_each(?)) ORDER BY created_at, rowid",
    )
    .bind(&ids)
    .fetch_all(&mut *connection)
    .await?;
    for (network, subnet) in pairs {
        subnets.entry(network).or_default().push(subnet);
    }
    let mut segments = segment::of_networks(connection, &ids).await?;
    let network = |row: Row| Network {
        subnets: subnets.remove(&row.id).unwrap_or_default(),
        segments: segments.remove(&row.id).unwrap_or_default(),
        row,
    };
    Ok(rows.into_iter().map(network).collect())
}

/// The network with this id.
pub(crate) async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Network, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| Network::not_found(id).into())
}

/// Counts a change of the network, and tells agents of it.
pub(crate) async fn touch(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    unit.count_change("networks", id).await?;
    tell(unit, id).await
}

async fn tell(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    let network = get(unit.connection(), id).await?;
    unit.updated(vec![Object::Network(network.object())]);
    Ok(())
}

/// The segments that a creator names, by either of two ways.
fn requested(
    provider: rest::ProviderSegment,
    segments: Option<Vec<rest::ProviderSegment>>,
) -> Result<Vec<rest::ProviderSegment>, ApiError> {
    let single = provider != rest::ProviderSegment::default();
    match segments {
        Some(_) if single => Err(rest::Error::SegmentsSetInConjunctionWithProviders {}.into()),
        Some(segments) => Ok(segments),
        None if single => Ok(vec![provider]),
        None => Ok(Vec::new()),
    }
}

/// Refuses to put a network elsewhere: only its number can change.
fn refuse_other_place(segments: &[Segment], asked: &rest::ProviderSegment) -> Result<(), ApiError> {
    let current = match segments {
        [segment] => segment.provider(),
        _ => rest::ProviderSegment::default(),
    };
    let differs = |asked: &Option<String>, current| asked.is_some() && *asked != current;
    if differs(&asked.network_type, current.network_type)
        || differs(&asked.physical_network, current.physical_network)
    {
        let reason = "Plugin does not support updating the following provider network attributes: \
                      provider:network_type, provider:physical_network";
        return Err(rest::Error::InvalidInput { reason: reason.to_owned() }.into());
    }
    Ok(())
}

impl Network {
    /// As the API shows it.
    pub(crate) fn body(self) -> rest::Network {
        let Self { row, segments, subnets } = self;
        let segments = match segments.as_slice() {
            [] => rest::Segments::One(rest::ProviderSegment::default()),
            [segment] => rest::Segments::One(segment.provider()),
            many => rest::Segments::Many { segments: many.iter().map(Segment::provider).collect() },
        };
        rest::Network {
            id: row.id,
            project_id: row.project_id,
            name: row.name,
            description: row.description,
            admin_state_up: row.admin_state_up,
            status: "ACTIVE".to_owned(),
            shared: row.shared,
            mtu: row.mtu,
            port_security_enabled: row.port_security_enabled,
            segments,
            subnets,
            external: false,
            availability_zone_hints: Vec::new(),
            availability_zones: Vec::new(),
            ipv4_address_scope: None,
            ipv6_address_scope: None,
            qos_policy_id: row.qos_policy_id,
            tags: row.tags.0,
            revision_number: row.revision_number.unsigned_abs(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::Network {
        let Self { row, segments, .. } = self;
        let security = object::NetworkPortSecurity {
            id: row.id.clone(),
            port_security_enabled: row.port_security_enabled,
            ..Default::default()
        };
        object::Network {
            id: row.id,
            project_id: Some(row.project_id),
            name: Some(row.name),
            status: Some("ACTIVE".to_owned()),
            admin_state_up: Some(row.admin_state_up),
            shared: row.shared,
            mtu: row.mtu,
            security: Some(security),
            segments: segments.iter().map(Segment::object).collect(),
            qos_policy_id: row.qos_policy_id,
            revision_number: row.revision_number.unsigned_abs(),
            description: Some(row.description),
            created_at: Some(row.created_at.to_string()),
            updated_at: Some(row.updated_at.to_string()),
            ..Default::default()
        }
    }

    /// As an agent that can do so much is answered when it asks for details: as the API shows it,
    /// but of several segments with the one that the agent carries. Neutron's agent wires by what
    /// it is told here, so a segment of other hosts would lead it astray. A network that nothing
    /// carries is of no use to an agent.
    pub(crate) fn details(
        self,
        ability: Option<&Ability>,
    ) -> Result<Option<NetworkDetails>, ApiError> {
        let carried = ability
            .and_then(|ability| self.segments.iter().find(|segment| ability.carries(segment)));
        let Some(segment) = carried.or(self.segments.first()).map(Segment::provider) else {
            return Ok(None);
        };
        let id = self.row.id.clone();
        let body = rest::Network { segments: rest::Segments::One(segment), ..self.body() };
        serde_json::to_value(body)
            .and_then(serde_json::from_value)
            .map_err(|_| ApiError::Broken { what: "network", value: id })
    }
}
