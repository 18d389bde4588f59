//! Quotas: how many of each resource a project may have. Without a word there is the limit of the
//! configuration, or none.

use std::collections::BTreeMap;

use neutron::rest::{self, QUOTA_RESOURCES};
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::config::Limits;
use crate::error::ApiError;
use crate::store::Unit;

/// The limit that is none.
const UNLIMITED: i64 = -1;

/// Refuses one more of this resource where the project has as many as it may.
pub(crate) async fn check(
    unit: &mut Unit,
    resource: &'static str,
    project: &str,
) -> Result<(), ApiError> {
    let limit: Option<i64> =
        sqlx::query_scalar("SELECT hard_limit FROM quotas WHERE project_id = ? AND resource = ?")
            .bind(project)
            .bind(resource)
            .fetch_optional(unit.connection())
            .await?;
    let limit = limit.unwrap_or_else(|| unit.config().limits.quota(resource));
    if limit == UNLIMITED {
        return Ok(());
    }
    match used(unit.connection(), resource, project).await? < limit {
        true => Ok(()),
        false => Err(rest::Error::OverQuota { resource }.into()),
    }
}

/// The limits of a project.
pub(crate) async fn limits(
    connection: &mut SqliteConnection,
    project: &str,
    otherwise: &Limits,
) -> Result<BTreeMap<&'static str, i64>, ApiError> {
    let stored: Vec<(String, i64)> =
        sqlx::query_as("SELECT resource, hard_limit FROM quotas WHERE project_id = ?")
            .bind(project)
            .fetch_all(connection)
            .await?;
    let stored: BTreeMap<_, _> = stored.into_iter().collect();
    let limit = |name| (name, stored.get(name).copied().unwrap_or_else(|| otherwise.quota(name)));
    Ok(QUOTA_RESOURCES.into_iter().map(limit).collect())
}

/// How many of this resource a project has.
pub(crate) async fn used(
    connection: &mut SqliteConnection,
    resource: &'static str,
    project: &str,
) -> Result<i64, ApiError> {
    // The resources are a closed list, and each has the table of its name in the plural.
    let sql = format!("SELECT count(*) FROM {resource}s WHERE project_id = ?");
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).bind(project).fetch_one(connection).await?)
}

/// The projects that have limits of their own.
pub(crate) async fn projects(connection: &mut SqliteConnection) -> Result<Vec<String>, ApiError> {
    let projects = sqlx::query_scalar("SELECT DISTINCT project_id FROM quotas ORDER BY project_id")
        .fetch_all(connection)
        .await?;
    Ok(projects)
}

/// Sets limits of a project.
pub(crate) async fn set(
    unit: &mut Unit,
    project: &str,
    update: &rest::QuotaUpdate,
) -> Result<(), ApiError> {
    for (resource, limit) in &update.limits {
        sqlx::query(
            "INSERT INTO quotas (project_id, resource, hard_limit) VALUES (?1, ?2, ?3)
             ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit = ?3",
        )
        .bind(project)
        .bind(resource)
        .bind(limit)
        .execute(unit.connection())
        .await?;
    }
    Ok(())
}

/// Forgets the limits of a project.
pub(crate) async fn reset(unit: &mut Unit, project: &str) -> Result<(), ApiError> {
    sqlx::query("DELETE FROM quotas WHERE project_id = ?")
        .bind(project)
        .execute(unit.connection())
        .await?;
    Ok(())
}
