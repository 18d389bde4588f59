//! Tags: words that a user puts on a network, subnet, port, security group or trunk.

use neutron::rest;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::error::ApiError;
use crate::store::Unit;
use crate::time::Timestamp;

/// The tags of a resource in this table; nothing where there is no such resource.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    table: &'static str,
    id: &str,
) -> Result<Option<Vec<String>>, ApiError> {
    let sql = format!("SELECT tags FROM {table} WHERE id = ?");
    let tags: Option<Json<Vec<String>>> =
        sqlx::query_scalar(AssertSqlSafe(sql)).bind(id).fetch_optional(connection).await?;
    Ok(tags.map(|tags| tags.0))
}

/// Sets the tags of a resource in this table.
pub(crate) async fn set(
    unit: &mut Unit,
    table: &'static str,
    id: &str,
    mut tags: Vec<String>,
) -> Result<(), ApiError> {
    tags.sort();
    tags.dedup();
    let sql = format!(
        "UPDATE {table} SET tags = ?2, revision_number = revision_number + 1, updated_at = ?3
         WHERE id = ?1"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(id)
        .bind(Json(tags))
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
    Ok(())
}

/// Reads `{"tags": ["red", "blue"]}`.
pub(crate) fn from_body(body: &[u8]) -> Result<Vec<String>, rest::Error> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| rest::Error::InvalidBody { reason: error.to_string() })?;
    let invalid = || rest::Error::Invalid {
        attribute: "tags",
        reason: format!("'{}' is not a list of words", body.get("tags").unwrap_or(&Value::Null)),
    };
    let tags = body.get("tags").and_then(Value::as_array).ok_or_else(invalid)?;
    tags.iter().map(|tag| tag.as_str().map(str::to_owned).ok_or_else(invalid)).collect()
}

/// The body that shows them.
pub(crate) fn body(tags: &[String]) -> Value {
    json!({ "tags": tags })
}
