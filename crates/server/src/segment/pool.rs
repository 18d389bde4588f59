//! Numbers that the server chooses: the lowest free one above the one that it gave last, and from
//! the start again at the end.
//!
//! So a number that has come free rests as long as there are others. A node that is cut off when a
//! network goes still carries it; were its number the next one to be given, ports of two networks
//! would meet there. Neutron chooses at random, and only makes that unlikely.
//!
//! A unit of work is alone in writing, so a gap that it has found is there when it fills it; and if
//! it were not, the store would not let two networks have the same.

use model::NetworkType;

use super::ranges::Ranges;
use super::{Owner, insert};
use crate::error::ApiError;
use crate::store::Unit;

/// The numbers of a type, or of a type on a physical network.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    pub(super) network_type: NetworkType,
    pub(super) physical_network: Option<&'a str>,
    pub(super) ranges: Ranges,
}

/// Gives the owner a free number, if there is one.
pub(super) async fn take(
    unit: &mut Unit,
    owner: &Owner<'_>,
    pool: &Pool<'_>,
) -> Result<bool, ApiError> {
    let last = last(unit, pool).await?;
    for (low, high) in pool.ranges.after(last) {
        let Some(number) = lowest_free(unit, pool, low, high).await? else { continue };
        let kind = pool.network_type;
        if insert(unit, owner, kind, pool.physical_network, Some(number)).await? {
            remember(unit, pool, number).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The lowest number from `low` to `high` that no network has: `low` itself, or else the one behind
/// the first in use that has nobody behind it.
async fn lowest_free(
    unit: &mut Unit,
    pool: &Pool<'_>,
    low: u32,
    high: u32,
) -> Result<Option<u32>, ApiError> {
    let taken: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM segments
            WHERE network_type = ?1 AND physical_network IS ?2 AND segmentation_id = ?3)",
    )
    .bind(pool.network_type.name())
    .bind(pool.physical_network)
    .bind(low)
    .fetch_one(unit.connection())
    .await?;
    if !taken {
        return Ok(Some(low));
    }
    let behind = sqlx::query_scalar(
        "SELECT segmentation_id + 1 FROM segments AS used
         WHERE network_type = ?1 AND physical_network IS ?2
            AND segmentation_id >= ?3 AND segmentation_id < ?4
            AND NOT EXISTS (SELECT 1 FROM segments AS next
                WHERE next.network_type = ?1 AND next.physical_network IS ?2
                    AND next.segmentation_id = used.segmentation_id + 1)
         ORDER BY segmentation_id LIMIT 1",
    )
    .bind(pool.network_type.name())
    .bind(pool.physical_network)
    .bind(low)
    .bind(high)
    .fetch_optional(unit.connection())
    .await?;
    Ok(behind)
}

async fn last(unit: &mut Unit, pool: &Pool<'_>) -> Result<u32, ApiError> {
    let last = sqlx::query_scalar(
        "SELECT last FROM segment_pools WHERE network_type = ? AND physical_network = ?",
    )
    .bind(pool.network_type.name())
    .bind(pool.physical_network.unwrap_or_default())
    .fetch_optional(unit.connection())
    .await?;
    Ok(last.unwrap_or(0))
}

async fn remember(unit: &mut Unit, pool: &Pool<'_>, number: u32) -> Result<(), ApiError> {
    sqlx::query(
        "INSERT INTO segment_pools (network_type, physical_network, last) VALUES (?1, ?2, ?3)
         ON CONFLICT (network_type, physical_network) DO UPDATE SET last = ?3",
    )
    .bind(pool.network_type.name())
    .bind(pool.physical_network.unwrap_or_default())
    .bind(number)
    .execute(unit.connection())
    .await?;
    Ok(())
}
