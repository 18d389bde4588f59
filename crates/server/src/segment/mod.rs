//! Segments: what carries which network. ML2's type drivers are a file each: [`local`], [`flat`],
//! [`vlan`], and [`tunnel`] for vxlan, gre and geneve.
//!
//! The segments that networks have are all that is stored. The store lets no two networks have the
//! same one, so whoever inserts it has it, and it is free again when its row goes. What is free is
//! found by looking for a gap ([`pool`]): a range of millions costs nothing.

mod flat;
mod local;
mod pool;
mod ranges;
mod resource;
mod table;
mod tunnel;
mod vlan;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::NetworkType;
use neutron::{object, rest};
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

pub(crate) use self::table::table;
use self::tunnel::Tunnel;
use crate::config::SegmentConfig;
use crate::error::ApiError;
use crate::store::Unit;
use crate::time::Timestamp;

/// One broadcast domain that carries a network.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Segment {
    pub(crate) id: String,
    pub(crate) network_id: String,
    pub(crate) network_type: String,
    pub(crate) physical_network: Option<String>,
    pub(crate) segmentation_id: Option<u32>,
    segment_index: u32,
    name: Option<String>,
    description: Option<String>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A segment that is asked for and that there can be. What is open, the server chooses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Wanted {
    Local,
    Flat(flat::Wanted),
    Vlan(vlan::Wanted),
    Tunnel(tunnel::Wanted),
}

/// Who is to have a segment, and what is said of it.
#[derive(Debug)]
struct Owner<'a> {
    id: String,
    network: &'a str,
    /// Its place among the segments of the network.
    index: u32,
    name: Option<String>,
    description: Option<String>,
}

/// Gives a new network its segments: those that are asked for, or one of the first type of the
/// project network types that has one left.
pub(crate) async fn allocate(
    unit: &mut Unit,
    network: &str,
    requests: &[rest::ProviderSegment],
) -> Result<(), ApiError> {
    let config = Arc::clone(unit.config());
    let wanted: Vec<_> = requests
        .iter()
        .map(|request| check(&config.segments, request))
        .collect::<Result<_, _>>()?;
    let mut whole = HashSet::new();
    if wanted.iter().filter(|wanted| wanted.is_whole()).any(|wanted| !whole.insert(wanted)) {
        return Err(rest::Error::SegmentsContainDuplicateEntry {}.into());
    }
    if wanted.is_empty() {
        return allocate_any(unit, &config.segments, &Owner::new(network, 0)).await;
    }
    for (wanted, index) in wanted.into_iter().zip(0..) {
        reserve(unit, &config.segments, &Owner::new(network, index), wanted).await?;
    }
    Ok(())
}

/// Gives the VLAN of a network another number. Its ports stay where they are.
pub(crate) async fn renumber(
    unit: &mut Unit,
    segments: &[Segment],
    number: i64,
) -> Result<(), ApiError> {
    let segment = match segments {
        [segment] => segment,
        [] => return Err(invalid(ONLY_VLAN)),
        _ => {
            return Err(invalid(
                "Provider network attributes can be updated only in provider networks with a \
                 single segment.",
            ));
        }
    };
    if segment.network_type.parse() != Ok(NetworkType::Vlan) {
        return Err(invalid(ONLY_VLAN));
    }
    let physical_network = segment.physical_network.clone().unwrap_or_default();
    let vlan = vlan::tag(number)?;
    // As in Neutron, a number that the network has itself is in use too.
    let moved = sqlx::query(
        "UPDATE OR IGNORE segments SET segmentation_id = ?2, updated_at = ?3,
            revision_number = revision_number + 1
         WHERE id = ?1 AND segmentation_id <> ?2",
    )
    .bind(&segment.id)
    .bind(vlan.get())
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    match moved.rows_affected() {
        0 => Err(rest::Error::VlanIdInUse { vlan: vlan.get().into(), physical_network }.into()),
        _ => Ok(()),
    }
}

/// The segments of the networks in a JSON list of ids, by network, each in its place.
pub(crate) async fn of_networks(
    connection: &mut SqliteConnection,
    networks: &str,
) -> Result<HashMap<String, Vec<Segment>>, ApiError> {
    let segments: Vec<Segment> = sqlx::query_as(
        "SELECT * FROM segments WHERE network_id IN (SELECT value FROM json_each(?))
         ORDER BY segment_index, rowid",
    )
    .bind(networks)
    .fetch_all(connection)
    .await?;
    let mut by_network: HashMap<_, Vec<_>> = HashMap::new();
    for segment in segments {
        by_network.entry(segment.network_id.clone()).or_default().push(segment);
    }
    Ok(by_network)
}

const ONLY_VLAN: &str = "Only VLAN type networks can be updated.";

/// Says what is wrong with a segment that is asked for, before any is taken.
fn check(config: &SegmentConfig, request: &rest::ProviderSegment) -> Result<Wanted, ApiError> {
    let rest::ProviderSegment { network_type, physical_network, segmentation_id } = request;
    let Some(network_type) = network_type else {
        return Err(invalid("network_type required"));
    };
    let physical_network = physical_network.as_deref().filter(|name| !name.is_empty());
    match network_type.parse() {
        Ok(NetworkType::Local) => {
            local::check(physical_network, *segmentation_id).map(|()| Wanted::Local)
        }
        Ok(NetworkType::Flat) => {
            flat::check(config, physical_network, *segmentation_id).map(Wanted::Flat)
        }
        Ok(NetworkType::Vlan) => {
            vlan::check(config, physical_network, *segmentation_id).map(Wanted::Vlan)
        }
        Ok(NetworkType::Vxlan) => {
            tunnel::check(Tunnel::Vxlan, physical_network, *segmentation_id).map(Wanted::Tunnel)
        }
        Ok(NetworkType::Gre) => {
            tunnel::check(Tunnel::Gre, physical_network, *segmentation_id).map(Wanted::Tunnel)
        }
        Ok(NetworkType::Geneve) => {
            tunnel::check(Tunnel::Geneve, physical_network, *segmentation_id).map(Wanted::Tunnel)
        }
        Err(_) => Err(invalid(format!("network_type value '{network_type}' not supported"))),
    }
}

async fn reserve(
    unit: &mut Unit,
    config: &SegmentConfig,
    owner: &Owner<'_>,
    wanted: Wanted,
) -> Result<(), ApiError> {
    match wanted {
        Wanted::Local => local::reserve(unit, owner).await,
        Wanted::Flat(wanted) => flat::reserve(unit, owner, wanted).await,
        Wanted::Vlan(wanted) => vlan::reserve(unit, config, owner, wanted).await,
        Wanted::Tunnel(wanted) => tunnel::reserve(unit, config, owner, wanted).await,
    }
}

async fn allocate_any(
    unit: &mut Unit,
    config: &SegmentConfig,
    owner: &Owner<'_>,
) -> Result<(), ApiError> {
    let mut shortages = Vec::new();
    for network_type in &config.project_network_types {
        let tried = match network_type {
            NetworkType::Local => {
                local::reserve(unit, owner).await?;
                Ok(())
            }
            NetworkType::Flat => Err(flat::ON_REQUEST.to_owned()),
            NetworkType::Vlan => vlan::take_any(unit, config, owner, None).await?,
            NetworkType::Vxlan => tunnel::take_any(unit, config, owner, Tunnel::Vxlan).await?,
            NetworkType::Gre => tunnel::take_any(unit, config, owner, Tunnel::Gre).await?,
            NetworkType::Geneve => tunnel::take_any(unit, config, owner, Tunnel::Geneve).await?,
        };
        match tried {
            Ok(()) => return Ok(()),
            Err(shortage) => shortages.push(shortage),
        }
    }
    if shortages.is_empty() {
        shortages.push("no project network types are configured".to_owned());
    }
    Err(rest::Error::NoNetworkAvailable { why: shortages.join("; ") }.into())
}

/// Gives the owner this segment, unless another network has it.
async fn insert(
    unit: &mut Unit,
    owner: &Owner<'_>,
    network_type: NetworkType,
    physical_network: Option<&str>,
    segmentation_id: Option<u32>,
) -> Result<bool, ApiError> {
    let inserted = sqlx::query(
        "INSERT INTO segments (id, network_id, network_type, physical_network, segmentation_id,
            segment_index, name, description, revision_number, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, ?9)
         ON CONFLICT DO NOTHING",
    )
    .bind(&owner.id)
    .bind(owner.network)
    .bind(network_type.name())
    .bind(physical_network)
    .bind(segmentation_id)
    .bind(owner.index)
    .bind(&owner.name)
    .bind(&owner.description)
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    Ok(inserted.rows_affected() > 0)
}

fn invalid(reason: impl Into<String>) -> ApiError {
    rest::Error::InvalidInput { reason: reason.into() }.into()
}

impl Wanted {
    /// Whether it can only be one.
    fn is_whole(&self) -> bool {
        match self {
            Self::Local | Self::Flat(_) => true,
            Self::Vlan(wanted) => matches!(wanted, vlan::Wanted::One { .. }),
            Self::Tunnel(wanted) => wanted.number.is_some(),
        }
    }
}

impl<'a> Owner<'a> {
    fn new(network: &'a str, index: u32) -> Self {
        Self { id: Uuid::new_v4().to_string(), network, index, name: None, description: None }
    }
}

impl Segment {
    /// The ports that it carries, on the host that they are on or on one that they may move to.
    pub(crate) async fn ports(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<String>, ApiError> {
        let ports = sqlx::query_scalar(
            "SELECT id FROM ports WHERE segment_id = ?1
             UNION SELECT port_id FROM inactive_bindings WHERE segment_id = ?1",
        )
        .bind(&self.id)
        .fetch_all(connection)
        .await?;
        Ok(ports)
    }

    /// As the API shows it where networks are shown.
    pub(crate) fn provider(&self) -> rest::ProviderSegment {
        rest::ProviderSegment {
            network_type: Some(self.network_type.clone()),
            physical_network: self.physical_network.clone(),
            segmentation_id: self.segmentation_id.map(i64::from),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(&self) -> object::NetworkSegment {
        object::NetworkSegment {
            id: self.id.clone(),
            network_id: self.network_id.clone(),
            name: self.name.clone(),
            network_type: self.network_type.clone(),
            physical_network: self.physical_network.clone(),
            segmentation_id: self.segmentation_id,
            segment_index: self.segment_index,
            revision_number: self.revision_number.unsigned_abs(),
            description: self.description.clone(),
            created_at: Some(self.created_at.to_string()),
            updated_at: Some(self.updated_at.to_string()),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;
    use sqlx::migrate::Migrator;

    use super::*;

    /// Stores of before had a table for the VLANs and one for the flat networks.
    #[tokio::test]
    async fn a_store_of_before_keeps_its_segments() {
        let mut store = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let now = sqlx::migrate!();
        let before =
            Migrator { migrations: now.migrations[..2].to_vec().into(), ..sqlx::migrate!() };
        before.run(&mut store).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO networks SELECT value, 'p', '', '', TRUE, FALSE, 1500, TRUE, '[]', 1, 7, 8
                FROM json_each('[\"a\", \"b\"]');
             INSERT INTO segments VALUES ('s', 'a', 'vlan', 'wire', 100), ('t', 'b', 'flat', 'wire', NULL);
             INSERT INTO vlan_allocations VALUES ('wire', 100, TRUE, 'a'), ('wire', 101, TRUE, NULL);
             INSERT INTO flat_allocations VALUES ('wire', 'b');",
        )
        .execute(&mut store)
        .await
        .unwrap();
        now.run(&mut store).await.unwrap();

        let kept = of_networks(&mut store, "[\"a\", \"b\"]").await.unwrap();
        let vlan = &kept["a"][0];
        assert_eq!(
            (vlan.id.as_str(), vlan.segmentation_id, vlan.segment_index),
            ("s", Some(100), 0)
        );
        assert_eq!(vlan.created_at.to_string(), "1970-01-01T00:00:07Z");
        assert_eq!(kept["b"][0].network_type, "flat");
        // Nobody else gets what they have.
        for same in ["'vlan', 'wire', 100", "'flat', 'wire', NULL"] {
            let again = format!(
                "INSERT INTO segments (id, network_id, network_type, physical_network, \
                    segmentation_id) VALUES ('u', 'a', {same})"
            );
            let again = sqlx::raw_sql(sqlx::AssertSqlSafe(again)).execute(&mut store).await;
            assert!(again.unwrap_err().to_string().contains("UNIQUE"), "{same}");
        }
    }
}
