//! Security groups, and the default group that every project has.

use std::collections::HashMap;

use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::default_security_group_rule;
use crate::error::ApiError;
use crate::quota;
use crate::resource::{Resource, Selection};
use crate::security_group_rule::{self, Rule};
use crate::store::Unit;
use crate::time::Timestamp;

/// A security group with its rules.
#[derive(Debug, Clone)]
pub(crate) struct SecurityGroup {
    row: Row,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, FromRow)]
struct Row {
    id: String,
    project_id: String,
    name: String,
    description: String,
    stateful: bool,
    is_default: bool,
    tags: Json<Vec<String>>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for SecurityGroup {
    const REST: &'static rest::Resource = &rest::SECURITY_GROUP;
    const INDEXED: &'static [&'static str] = &["id", "name", "project_id"];
    type Body = rest::SecurityGroup;
    type Create = rest::SecurityGroupCreate;
    type Update = rest::SecurityGroupUpdate;

    async fn create(
        unit: &mut Unit,
        request: rest::SecurityGroupCreate,
    ) -> Result<String, ApiError> {
        ensure_default(unit, &request.project_id).await?;
        quota::check(unit, "security_group", &request.project_id).await?;
        insert(unit, request, Kind::Ordinary).await
    }

    async fn update(
        unit: &mut Unit,
        id: &str,
        request: rest::SecurityGroupUpdate,
    ) -> Result<(), ApiError> {
        let Self { row, .. } = get(unit.connection(), id).await?;
        let stateful = request.stateful.unwrap_or(row.stateful);
        if row.is_default && request.name.is_some() {
            return Err(rest::Error::SecurityGroupCannotUpdateDefault {}.into());
        }
        if stateful != row.stateful && is_used(unit, id).await? {
            return Err(rest::Error::SecurityGroupInUse { id: id.to_owned() }.into());
        }
        sqlx::query(
            "UPDATE security_groups SET name = ?2, description = ?3, stateful = ?4,
                revision_number = revision_number + 1, updated_at = ?5
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.name.unwrap_or(row.name))
        .bind(request.description.unwrap_or(row.description))
        .bind(stateful)
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        tell(unit, id).await
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        let group = get(unit.connection(), id).await?;
        if group.row.is_default {
            return Err(rest::Error::SecurityGroupCannotRemoveDefault {}.into());
        }
        if is_used(unit, id).await? {
            return Err(rest::Error::SecurityGroupInUse { id: id.to_owned() }.into());
        }
        security_group_rule::delete_of_group(unit, id).await?;
        default_security_group_rule::delete_naming(unit, id).await?;
        unit.remove("security_groups", id).await?;
        unit.deleted(ResourceType::SecurityGroup, id);
        Ok(())
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::SecurityGroup>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(SecurityGroup::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::SecurityGroupNotFound { id: id.to_owned() }
    }

    async fn is_ready(connection: &mut SqliteConnection, project: &str) -> Result<bool, ApiError> {
        Ok(default_of(connection, project).await?.is_some())
    }

    async fn make_ready(unit: &mut Unit, project: &str) -> Result<(), ApiError> {
        ensure_default(unit, project).await.map(|_| ())
    }
}

/// The selected groups.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<SecurityGroup>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM security_groups").await?;
    let ids: Vec<_> = rows.iter().map(|row| row.id.clone()).collect();
    let of_groups = Selection::Where { column: "security_group_id", values: &ids };
    let mut rules: HashMap<String, Vec<Rule>> = HashMap::new();
    for rule in security_group_rule::load(connection, of_groups).await? {
        rules.entry(rule.security_group_id.clone()).or_default().push(rule);
    }
    let group = |row: Row| SecurityGroup { rules: rules.remove(&row.id).unwrap_or_default(), row };
    Ok(rows.into_iter().map(group).collect())
}

/// The selected groups as agents pull them: without their rules, which they pull beside them.
/// With hundreds of thousands of rules once is enough.
pub(crate) async fn objects(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Object>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM security_groups").await?;
    let bare = |row| SecurityGroup { row, rules: Vec::new() };
    Ok(rows.into_iter().map(|row| Object::SecurityGroup(bare(row).object())).collect())
}

/// The default group of a project, made now if it is not there yet.
pub(crate) async fn ensure_default(unit: &mut Unit, project: &str) -> Result<String, ApiError> {
    if let Some(id) = default_of(unit.connection(), project).await? {
        return Ok(id);
    }
    let request = rest::SecurityGroupCreate {
        project_id: project.to_owned(),
        name: "default".to_owned(),
        description: "Default security group".to_owned(),
        stateful: true,
    };
    insert(unit, request, Kind::Default).await
}

/// Refuses what no port can have: groups that are not there, or that differ in being stateful.
pub(crate) async fn refuse_unusable(unit: &mut Unit, ids: &[String]) -> Result<(), ApiError> {
    let rows: Vec<Row> =
        Selection::ids(ids).rows(unit.connection(), "SELECT * FROM security_groups").await?;
    if let Some(id) = ids.iter().find(|id| rows.iter().all(|row| row.id != **id)) {
        return Err(SecurityGroup::not_found(id).into());
    }
    let stateful = rows.iter().filter(|row| row.stateful).count();
    if stateful != 0 && stateful != rows.len() {
        let reason = "Cannot apply both stateful and stateless security groups (security_groups) \
                      on the same port at the same time"
            .to_owned();
        return Err(rest::Error::SecurityGroupConflict { reason }.into());
    }
    Ok(())
}

/// Refuses an id that no group has.
pub(crate) async fn refuse_missing(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    match unit.has("security_groups", id).await? {
        true => Ok(()),
        false => Err(SecurityGroup::not_found(id).into()),
    }
}

/// Counts a change of the group's rules. Agents are told of the rules themselves.
pub(crate) async fn touch(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    unit.count_change("security_groups", id).await
}

/// Which rules a new group has from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One that somebody asked for.
    Ordinary,
    /// The default group of a project.
    Default,
}

async fn insert(
    unit: &mut Unit,
    request: rest::SecurityGroupCreate,
    kind: Kind,
) -> Result<String, ApiError> {
    let id = Uuid::new_v4().to_string();
    sqlx::query(
        "INSERT INTO security_groups (id, project_id, name, description, stateful, is_default,
            tags, revision_number, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, '[]', 1, ?7, ?7)",
    )
    .bind(&id)
    .bind(&request.project_id)
    .bind(&request.name)
    .bind(&request.description)
    .bind(request.stateful)
    .bind(kind == Kind::Default)
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    for permission in default_security_group_rule::permissions(unit, kind, &id).await? {
        let rule = rest::SecurityGroupRuleCreate {
            project_id: request.project_id.clone(),
            security_group_id: id.clone(),
            permission,
            description: String::new(),
        };
        security_group_rule::insert(unit, &rule).await?;
    }
    tell(unit, &id).await?;
    Ok(id)
}

async fn default_of(
    connection: &mut SqliteConnection,
    project: &str,
) -> Result<Option<String>, ApiError> {
    let id =
        sqlx::query_scalar("SELECT id FROM security_groups WHERE project_id = ? AND is_default")
            .bind(project)
            .fetch_optional(connection)
            .await?;
    Ok(id)
}

async fn is_used(unit: &mut Unit, id: &str) -> Result<bool, ApiError> {
    let used = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM port_security_groups WHERE security_group_id = ?)",
    )
    .bind(id)
    .fetch_one(unit.connection())
    .await?;
    Ok(used)
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<SecurityGroup, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| SecurityGroup::not_found(id).into())
}

async fn tell(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    let group = get(unit.connection(), id).await?;
    unit.updated(vec![Object::SecurityGroup(group.object())]);
    Ok(())
}

impl SecurityGroup {
    /// As the API shows it.
    fn body(self) -> rest::SecurityGroup {
        let Self { row, rules } = self;
        rest::SecurityGroup {
            id: row.id,
            project_id: row.project_id,
            name: row.name,
            description: row.description,
            stateful: row.stateful,
            shared: false,
            is_default: row.is_default,
            security_group_rules: rules.into_iter().map(Rule::body).collect(),
            tags: row.tags.0,
            revision_number: row.revision_number.unsigned_abs(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::SecurityGroup {
        let Self { row, rules } = self;
        object::SecurityGroup {
            id: row.id,
            name: Some(row.name),
            project_id: Some(row.project_id),
            shared: false,
            stateful: row.stateful,
            is_default: row.is_default,
            rules: rules.into_iter().map(Rule::object).collect(),
            revision_number: row.revision_number.unsigned_abs(),
            description: Some(row.description),
            created_at: Some(row.created_at.to_string()),
            updated_at: Some(row.updated_at.to_string()),
            ..Default::default()
        }
    }
}
