//! What agents say of the ports of their hosts: the status of ports follows from it, and what leads
//! to them over tunnels.

use std::collections::BTreeSet;

use super::{Status, touch};
use crate::error::ApiError;
use crate::l2pop;
use crate::store::{Unit, json_list};
use crate::trunk;

/// What an agent says of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// They carry traffic. The agent may want to hear again of all that is behind tunnels.
    Up { refresh_tunnels: bool },
    /// They do not any more.
    Down,
}

/// The agent of this host has wired these ports, or has them no more. Says which of them there
/// are. Agents are told of those whose status has really changed, and of no other: Neutron's
/// agents answer such a push with the next report.
pub(crate) async fn report(
    unit: &mut Unit,
    ids: &[String],
    host: &str,
    report: Report,
) -> Result<BTreeSet<String>, ApiError> {
    let known = l2pop::entries(unit.connection(), ids).await?;
    let status = match report {
        Report::Up { .. } => Status::Active,
        Report::Down => Status::Down,
    };
    let list = json_list(ids.iter().map(String::as_str));
    let announced = sqlx::query(
        "UPDATE ports SET announced = ?3
         WHERE id IN (SELECT value FROM json_each(?1)) AND host = ?2 AND announced <> ?3
            AND (admin_state_up OR NOT ?3)",
    )
    .bind(&list)
    .bind(host)
    .bind(status == Status::Active)
    .execute(unit.connection())
    .await?;
    let changed: Vec<String> = sqlx::query_scalar(
        "UPDATE ports SET status = ?3
         WHERE id IN (SELECT value FROM json_each(?1)) AND host = ?2 AND status <> ?3
            AND (admin_state_up OR NOT ?4)
         RETURNING id",
    )
    .bind(&list)
    .bind(host)
    .bind(status.name())
    .bind(status == Status::Active)
    .fetch_all(unit.connection())
    .await?;
    let told = match announced.rows_affected() {
        0 => BTreeSet::new(),
        _ => l2pop::follow(unit, ids, &known).await?,
    };
    if let Report::Up { refresh_tunnels } = report {
        l2pop::wired(unit, host, ids, refresh_tunnels, &told).await?;
    }
    if !changed.is_empty() {
        touch(unit, &changed).await?;
        if status == Status::Active {
            trunk::binding::follow(unit, &changed).await?;
        }
    }
    let known: Vec<String> =
        sqlx::query_scalar("SELECT id FROM ports WHERE id IN (SELECT value FROM json_each(?))")
            .bind(&list)
            .fetch_all(unit.connection())
            .await?;
    Ok(known.into_iter().collect())
}
