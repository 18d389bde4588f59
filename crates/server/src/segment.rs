//! Segments: which VLAN or physical network carries which network (ML2's type drivers local, flat
//! and vlan).
//!
//! A VLAN is taken by one UPDATE of its row, so that two networks can never have the same.

use std::collections::{BTreeMap, HashMap};

use model::{NetworkType, VlanTag};
use neutron::{object, rest};
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::error::ApiError;
use crate::store::Unit;

/// One broadcast domain that carries a network.
#[derive(Debug, Clone, Default, FromRow)]
pub(crate) struct Segment {
    pub(crate) id: String,
    pub(crate) network_id: String,
    pub(crate) network_type: String,
    pub(crate) physical_network: Option<String>,
    pub(crate) segmentation_id: Option<u32>,
}

/// What the creator of a network says of its segment.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) network_type: Option<String>,
    pub(crate) physical_network: Option<String>,
    pub(crate) segmentation_id: Option<i64>,
}

/// Brings the table of VLANs in line with the configured ranges. What networks have stays theirs.
pub(crate) async fn sync(unit: &mut Unit) -> Result<(), ApiError> {
    let mut ranges: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for range in &unit.config().network_vlan_ranges {
        let vlans = ranges.entry(range.physical_network.clone()).or_default();
        vlans.extend(range.vlans.into_iter().flat_map(|(low, high)| low.get()..=high.get()));
    }
    sqlx::query("UPDATE vlan_allocations SET in_range = FALSE").execute(unit.connection()).await?;
    for (physical_network, vlans) in ranges {
        sqlx::query(
            "INSERT INTO vlan_allocations (physical_network, vlan, in_range)
             SELECT ?, value, TRUE FROM json_each(?) WHERE TRUE
             ON CONFLICT (physical_network, vlan) DO UPDATE SET in_range = TRUE",
        )
        .bind(physical_network)
        .bind(serde_json::Value::from(vlans).to_string())
        .execute(unit.connection())
        .await?;
    }
    forget_outside(unit).await
}

/// Gives a network its segment: the one that is wanted, or the first type of the tenant network
/// types that has one left.
pub(crate) async fn allocate(
    unit: &mut Unit,
    network: &str,
    wanted: Wanted,
) -> Result<(), ApiError> {
    let Wanted { network_type, physical_network, segmentation_id } = wanted;
    let Some(network_type) = network_type else {
        if physical_network.is_some() || segmentation_id.is_some() {
            return Err(invalid("provider:network_type required"));
        }
        return allocate_any(unit, network).await;
    };
    match network_type.parse() {
        Ok(NetworkType::Local) => {
            if physical_network.is_some() {
                return Err(invalid(
                    "provider:physical_network prohibited for local provider network",
                ));
            }
            refuse_segmentation_id(segmentation_id, "local")?;
            insert(unit, network, NetworkType::Local, None, None).await
        }
        Ok(NetworkType::Flat) => {
            refuse_segmentation_id(segmentation_id, "flat")?;
            allocate_flat(unit, network, physical_network).await
        }
        Ok(NetworkType::Vlan) => {
            allocate_vlan(unit, network, physical_network, segmentation_id).await
        }
        Ok(NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve) | Err(_) => {
            Err(invalid(format!("provider:network_type value '{network_type}' not supported")))
        }
    }
}

/// Gives a network's segments back. They go when the network goes.
pub(crate) async fn release(unit: &mut Unit, network: &str) -> Result<(), ApiError> {
    sqlx::query("UPDATE vlan_allocations SET network_id = NULL WHERE network_id = ?")
        .bind(network)
        .execute(unit.connection())
        .await?;
    forget_outside(unit).await
}

/// The segments of the networks in a JSON list of ids, by network.
pub(crate) async fn of_networks(
    connection: &mut SqliteConnection,
    networks: &str,
) -> Result<HashMap<String, Vec<Segment>>, ApiError> {
    let segments: Vec<Segment> = sqlx::query_as(
        "SELECT * FROM segments WHERE network_id IN (SELECT value FROM json_each(?))
         ORDER BY rowid",
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

/// Every segment of a physical network, free or in use.
pub(crate) async fn table(
    connection: &mut SqliteConnection,
) -> Result<Vec<rest::Segment>, ApiError> {
    #[derive(FromRow)]
    struct Row {
        network_type: String,
        physical_network: String,
        vlan: Option<u32>,
        in_range: bool,
        network_id: Option<String>,
        network_name: Option<String>,
    }
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT 'vlan' AS network_type, physical_network, vlan, in_range, network_id,
            networks.name AS network_name
         FROM vlan_allocations LEFT JOIN networks ON networks.id = network_id
         UNION ALL
         SELECT 'flat', physical_network, NULL, FALSE, network_id, networks.name
         FROM flat_allocations JOIN networks ON networks.id = network_id
         ORDER BY physical_network, vlan",
    )
    .fetch_all(connection)
    .await?;
    let segment = |row: Row| rest::Segment {
        network_type: row.network_type,
        physical_network: row.physical_network,
        segmentation_id: row.vlan,
        in_range: row.in_range,
        network_id: row.network_id,
        network_name: row.network_name,
    };
    Ok(rows.into_iter().map(segment).collect())
}

async fn allocate_any(unit: &mut Unit, network: &str) -> Result<(), ApiError> {
    for network_type in unit.config().tenant_network_types.clone() {
        match network_type {
            NetworkType::Local => {
                return insert(unit, network, NetworkType::Local, None, None).await;
            }
            NetworkType::Vlan => {
                if let Some((physical_network, vlan)) = take_lowest(unit, network, None).await? {
                    return insert_vlan(unit, network, physical_network, vlan).await;
                }
            }
            // Flat networks are only made on request.
            _ => {}
        }
    }
    Err(rest::Error::NoNetworkAvailable {}.into())
}

async fn allocate_flat(
    unit: &mut Unit,
    network: &str,
    physical_network: Option<String>,
) -> Result<(), ApiError> {
    let Some(name) = physical_network else {
        return Err(invalid("provider:physical_network required for flat provider network"));
    };
    if !unit.config().flat_networks.contains(&name) {
        return Err(invalid(format!(
            "provider:physical_network '{name}' unknown for flat provider network"
        )));
    }
    let taken = sqlx::query(
        "INSERT INTO flat_allocations (physical_network, network_id) VALUES (?, ?)
         ON CONFLICT DO NOTHING",
    )
    .bind(&name)
    .bind(network)
    .execute(unit.connection())
    .await?;
    if taken.rows_affected() == 0 {
        return Err(rest::Error::FlatNetworkInUse { physical_network: name }.into());
    }
    insert(unit, network, NetworkType::Flat, Some(name), None).await
}

async fn allocate_vlan(
    unit: &mut Unit,
    network: &str,
    physical_network: Option<String>,
    segmentation_id: Option<i64>,
) -> Result<(), ApiError> {
    let ranges = &unit.config().network_vlan_ranges;
    if let Some(name) = &physical_network
        && !ranges.iter().any(|range| range.physical_network == *name)
    {
        return Err(invalid(format!(
            "provider:physical_network '{name}' unknown for VLAN provider network"
        )));
    }
    let (physical_network, vlan) = match (physical_network, segmentation_id) {
        (Some(name), Some(number)) => {
            let vlan = u32::try_from(number).ok().and_then(|number| VlanTag::new(number).ok());
            let vlan = vlan.ok_or_else(|| {
                invalid(format!("provider:segmentation_id {number} out of range (1 through 4094)"))
            })?;
            take(unit, network, &name, vlan).await?;
            (name, vlan.get())
        }
        (None, Some(_)) => {
            return Err(invalid(
                "provider:segmentation_id requires provider:physical_network for VLAN provider \
                 network",
            ));
        }
        (name, None) => {
            take_lowest(unit, network, name).await?.ok_or(rest::Error::NoNetworkAvailable {})?
        }
    };
    insert_vlan(unit, network, physical_network, vlan).await
}

/// Takes this VLAN, in the ranges or not.
async fn take(
    unit: &mut Unit,
    network: &str,
    physical_network: &str,
    vlan: VlanTag,
) -> Result<(), ApiError> {
    let taken = sqlx::query(
        "INSERT INTO vlan_allocations (physical_network, vlan, in_range, network_id)
         VALUES (?1, ?2, FALSE, ?3)
         ON CONFLICT (physical_network, vlan)
         DO UPDATE SET network_id = ?3 WHERE network_id IS NULL",
    )
    .bind(physical_network)
    .bind(vlan.get())
    .bind(network)
    .execute(unit.connection())
    .await?;
    if taken.rows_affected() == 0 {
        let physical_network = physical_network.to_owned();
        return Err(rest::Error::VlanIdInUse { vlan: vlan.get().into(), physical_network }.into());
    }
    Ok(())
}

/// Takes the lowest free VLAN of the ranges, on this physical network or on any.
async fn take_lowest(
    unit: &mut Unit,
    network: &str,
    physical_network: Option<String>,
) -> Result<Option<(String, u16)>, ApiError> {
    let taken = sqlx::query_as(
        "UPDATE vlan_allocations SET network_id = ?1
         WHERE (physical_network, vlan) IN (
            SELECT physical_network, vlan FROM vlan_allocations
            WHERE network_id IS NULL AND in_range AND (?2 IS NULL OR physical_network = ?2)
            ORDER BY physical_network, vlan LIMIT 1)
         RETURNING physical_network, vlan",
    )
    .bind(network)
    .bind(physical_network)
    .fetch_optional(unit.connection())
    .await?;
    Ok(taken)
}

async fn insert_vlan(
    unit: &mut Unit,
    network: &str,
    physical_network: String,
    vlan: u16,
) -> Result<(), ApiError> {
    insert(unit, network, NetworkType::Vlan, Some(physical_network), Some(vlan)).await
}

async fn insert(
    unit: &mut Unit,
    network: &str,
    network_type: NetworkType,
    physical_network: Option<String>,
    segmentation_id: Option<u16>,
) -> Result<(), ApiError> {
    sqlx::query(
        "INSERT INTO segments (id, network_id, network_type, physical_network, segmentation_id)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(Uuid::new_v4().to_string())
    .bind(network)
    .bind(network_type.name())
    .bind(physical_network)
    .bind(segmentation_id)
    .execute(unit.connection())
    .await?;
    Ok(())
}

/// Forgets the free VLANs outside the ranges.
async fn forget_outside(unit: &mut Unit) -> Result<(), ApiError> {
    sqlx::query("DELETE FROM vlan_allocations WHERE NOT in_range AND network_id IS NULL")
        .execute(unit.connection())
        .await?;
    Ok(())
}

fn refuse_segmentation_id(given: Option<i64>, network_type: &str) -> Result<(), ApiError> {
    match given {
        None => Ok(()),
        Some(_) => Err(invalid(format!(
            "provider:segmentation_id prohibited for {network_type} provider network"
        ))),
    }
}

fn invalid(reason: impl Into<String>) -> ApiError {
    rest::Error::InvalidInput { reason: reason.into() }.into()
}

impl Segment {
    /// As agents are told of it.
    pub(crate) fn object(&self) -> object::NetworkSegment {
        object::NetworkSegment {
            id: self.id.clone(),
            network_id: self.network_id.clone(),
            network_type: self.network_type.clone(),
            physical_network: self.physical_network.clone(),
            segmentation_id: self.segmentation_id,
            ..Default::default()
        }
    }
}
