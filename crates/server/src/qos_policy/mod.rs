//! QoS policies: what ports get and are limited to. Their rules are in [`rule`].

pub(crate) mod rule;

use std::collections::HashMap;

use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use self::rule::Rule;
use crate::error::ApiError;
use crate::resource::{Resource, Selection};
use crate::store::{Unit, json_list};
use crate::time::Timestamp;

/// A QoS policy with its rules.
#[derive(Debug, Clone)]
pub(crate) struct QosPolicy {
    row: Row,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, FromRow)]
struct Row {
    id: String,
    project_id: String,
    name: String,
    description: String,
    shared: bool,
    is_default: bool,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for QosPolicy {
    const REST: &'static rest::Resource = &rest::QOS_POLICY;
    const INDEXED: &'static [&'static str] = &["id", "name", "project_id"];
    type Body = rest::QosPolicy;
    type Create = rest::QosPolicyCreate;
    type Update = rest::QosPolicyUpdate;

    /// Nobody can have it yet, so agents need not hear of it.
    async fn create(unit: &mut Unit, request: rest::QosPolicyCreate) -> Result<String, ApiError> {
        if request.is_default {
            refuse_second_default(unit, &request.project_id, "").await?;
        }
        let id = Uuid::new_v4().to_string();
        sqlx::query(
            "INSERT INTO qos_policies (id, project_id, name, description, shared, is_default,
                revision_number, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?7)",
        )
        .bind(&id)
        .bind(&request.project_id)
        .bind(&request.name)
        .bind(&request.description)
        .bind(request.shared)
        .bind(request.is_default)
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        Ok(id)
    }

    async fn update(
        unit: &mut Unit,
        id: &str,
        request: rest::QosPolicyUpdate,
    ) -> Result<(), ApiError> {
        let Self { row, .. } = get(unit.connection(), id).await?;
        let is_default = request.is_default.unwrap_or(row.is_default);
        if is_default {
            refuse_second_default(unit, &row.project_id, id).await?;
        }
        sqlx::query(
            "UPDATE qos_policies SET name = ?2, description = ?3, shared = ?4, is_default = ?5
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.name.unwrap_or(row.name))
        .bind(request.description.unwrap_or(row.description))
        .bind(request.shared.unwrap_or(row.shared))
        .bind(is_default)
        .execute(unit.connection())
        .await?;
        touch(unit, id).await
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        get(unit.connection(), id).await?;
        for (kind, sql) in [
            ("port", "SELECT id FROM ports WHERE qos_policy_id = ? LIMIT 1"),
            ("network", "SELECT id FROM networks WHERE qos_policy_id = ? LIMIT 1"),
        ] {
            let user: Option<String> =
                sqlx::query_scalar(sql).bind(id).fetch_optional(unit.connection()).await?;
            if let Some(user) = user {
                return Err(rest::Error::QosPolicyInUse { id: id.to_owned(), kind, user }.into());
            }
        }
        unit.remove("qos_policies", id).await?;
        unit.deleted(ResourceType::QosPolicy, id);
        Ok(())
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::QosPolicy>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(QosPolicy::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::QosPolicyNotFound { id: id.to_owned() }
    }
}

/// The selected policies.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<QosPolicy>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM qos_policies").await?;
    let ids = json_list(rows.iter().map(|row| row.id.as_str()));
    let mut rules: HashMap<String, Vec<Rule>> = HashMap::new();
    for rule in rule::of_policies(connection, &ids).await? {
        rules.entry(rule.policy().to_owned()).or_default().push(rule);
    }
    let policy = |row: Row| QosPolicy { rules: rules.remove(&row.id).unwrap_or_default(), row };
    Ok(rows.into_iter().map(policy).collect())
}

/// The policy with this id.
pub(crate) async fn get(
    connection: &mut SqliteConnection,
    id: &str,
) -> Result<QosPolicy, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| QosPolicy::not_found(id).into())
}

/// Refuses an id that no policy has.
pub(crate) async fn refuse_missing(unit: &mut Unit, id: Option<&str>) -> Result<(), ApiError> {
    let Some(id) = id else { return Ok(()) };
    if unit.has("qos_policies", id).await? { Ok(()) } else { Err(QosPolicy::not_found(id).into()) }
}

/// The policy that new networks of this project have.
pub(crate) async fn default_of(unit: &mut Unit, project: &str) -> Result<Option<String>, ApiError> {
    let id = sqlx::query_scalar("SELECT id FROM qos_policies WHERE project_id = ? AND is_default")
        .bind(project)
        .fetch_optional(unit.connection())
        .await?;
    Ok(id)
}

/// The policies of these networks; those that have none are left out.
pub(crate) async fn of_networks(
    connection: &mut SqliteConnection,
    networks: &str,
) -> Result<HashMap<String, String>, ApiError> {
    let pairs: Vec<(String, String)> = sqlx::query_as(
        "SELECT id, qos_policy_id FROM networks
         WHERE qos_policy_id IS NOT NULL AND id IN (SELECT value FROM json_each(?))",
    )
    .bind(networks)
    .fetch_all(connection)
    .await?;
    Ok(pairs.into_iter().collect())
}

/// Counts a change of the policy, and tells agents of it.
async fn touch(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    unit.count_change("qos_policies", id).await?;
    let policy = get(unit.connection(), id).await?;
    unit.updated(vec![Object::QosPolicy(policy.object())]);
    Ok(())
}

/// A project has one default policy at most; this one may be it.
async fn refuse_second_default(unit: &mut Unit, project: &str, id: &str) -> Result<(), ApiError> {
    match default_of(unit, project).await? {
        Some(other) if other != id => {
            let project = project.to_owned();
            Err(rest::Error::QosPolicyDefaultAlreadyExists { project }.into())
        }
        _ => Ok(()),
    }
}

impl QosPolicy {
    /// As the API shows it.
    fn body(self) -> rest::QosPolicy {
        let Self { row, rules } = self;
        rest::QosPolicy {
            id: row.id,
            project_id: row.project_id,
            name: row.name,
            description: row.description,
            shared: row.shared,
            is_default: row.is_default,
            rules: rules.iter().map(Rule::body_in_policy).collect(),
            tags: Vec::new(),
            revision_number: row.revision_number.unsigned_abs(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::QosPolicy {
        let Self { row, rules } = self;
        object::QosPolicy {
            id: row.id,
            project_id: row.project_id,
            name: row.name,
            shared: row.shared,
            rules: rules.into_iter().map(Rule::object).collect(),
            is_default: row.is_default,
            revision_number: row.revision_number.unsigned_abs(),
            description: Some(row.description),
            created_at: Some(row.created_at.to_string()),
            updated_at: Some(row.updated_at.to_string()),
            ..Default::default()
        }
    }
}
