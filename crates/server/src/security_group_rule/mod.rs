//! Rules of security groups.

mod check;

use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use serde::Deserialize;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use self::check::prefix;
pub(crate) use self::check::{canonical, meaning};
use crate::address_group;
use crate::error::ApiError;
use crate::quota;
use crate::resource::{Resource, Selection};
use crate::security_group;
use crate::store::Unit;
use crate::time::Timestamp;

/// The selected rules, each with whether its group is a default one.
const QUERY: &str = "SELECT * FROM (
    SELECT rules.rowid, rules.*, is_default AS belongs_to_default_sg
    FROM security_group_rules AS rules
    JOIN security_groups ON security_groups.id = security_group_id)";

/// The same, packed: the fields of a [`Rule`] in their order.
const PACKED: &str = "SELECT json_group_array(json_array(
        id, project_id, security_group_id, description, direction, ethertype, protocol,
        port_range_min, port_range_max, remote_ip_prefix, remote_group_id,
        remote_address_group_id, json(iif(is_default, 'true', 'false')), revision_number,
        created_at, updated_at))
    FROM (SELECT rules.*, is_default FROM security_group_rules AS rules
        JOIN security_groups ON security_groups.id = security_group_id)";

/// A rule.
#[derive(Debug, Clone, FromRow, Deserialize)]
pub(crate) struct Rule {
    id: String,
    project_id: String,
    pub(crate) security_group_id: String,
    description: String,
    direction: String,
    ethertype: String,
    protocol: Option<String>,
    port_range_min: Option<u16>,
    port_range_max: Option<u16>,
    remote_ip_prefix: Option<String>,
    remote_group_id: Option<String>,
    remote_address_group_id: Option<String>,
    belongs_to_default_sg: bool,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for Rule {
    const REST: &'static rest::Resource = &rest::SECURITY_GROUP_RULE;
    const INDEXED: &'static [&'static str] =
        &["id", "security_group_id", "remote_group_id", "project_id"];
    type Body = rest::SecurityGroupRule;
    type Create = rest::SecurityGroupRuleCreate;
    type Update = rest::SecurityGroupRuleUpdate;

    async fn create(
        unit: &mut Unit,
        mut request: rest::SecurityGroupRuleCreate,
    ) -> Result<String, ApiError> {
        quota::check(unit, "security_group_rule", &request.project_id).await?;
        request.permission = canonical(request.permission)?;
        security_group::refuse_missing(unit, &request.security_group_id).await?;
        if let Some(id) = &request.permission.remote_group_id {
            security_group::refuse_missing(unit, id).await?;
        }
        if let Some(id) = &request.permission.remote_address_group_id {
            address_group::refuse_missing(unit, id).await?;
        }
        let id = insert(unit, &request).await?;
        security_group::touch(unit, &request.security_group_id).await?;
        tell(unit, &id).await?;
        Ok(id)
    }

    async fn update(
        unit: &mut Unit,
        id: &str,
        request: rest::SecurityGroupRuleUpdate,
    ) -> Result<(), ApiError> {
        let rule = get(unit.connection(), id).await?;
        sqlx::query(
            "UPDATE security_group_rules SET description = ?2,
                revision_number = revision_number + 1, updated_at = ?3
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.description.unwrap_or(rule.description))
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        tell(unit, id).await
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        let rule = get(unit.connection(), id).await?;
        unit.remove("security_group_rules", id).await?;
        unit.deleted(ResourceType::SecurityGroupRule, id);
        security_group::touch(unit, &rule.security_group_id).await
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::SecurityGroupRule>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(Rule::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::SecurityGroupRuleNotFound { id: id.to_owned() }
    }
}

/// The selected rules.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Rule>, ApiError> {
    Ok(selection.rows(connection, QUERY).await?)
}

/// The selected rules as agents pull them, hundreds of thousands perhaps.
pub(crate) async fn objects(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Object>, ApiError> {
    let rules: Vec<Rule> = selection.packed(connection, PACKED, "security_group_id").await?;
    Ok(rules.into_iter().map(|rule| Object::SecurityGroupRule(rule.object())).collect())
}

/// Stores a rule that is known to be one, unless the group has one that means the same.
pub(crate) async fn insert(
    unit: &mut Unit,
    rule: &rest::SecurityGroupRuleCreate,
) -> Result<String, ApiError> {
    let id = Uuid::new_v4().to_string();
    let rest::SecurityGroupRuleCreate { permission, .. } = rule;
    let meaning = meaning(permission);
    let inserted = sqlx::query(
        "INSERT INTO security_group_rules (id, project_id, security_group_id, description,
            direction, ethertype, protocol, port_range_min, port_range_max, remote_ip_prefix,
            remote_group_id, remote_address_group_id, meaning, revision_number, created_at,
            updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, 0, ?14, ?14)
         ON CONFLICT (security_group_id, meaning) DO NOTHING",
    )
    .bind(&id)
    .bind(&rule.project_id)
    .bind(&rule.security_group_id)
    .bind(&rule.description)
    .bind(&permission.direction)
    .bind(&permission.ethertype)
    .bind(&permission.protocol)
    .bind(permission.port_range_min)
    .bind(permission.port_range_max)
    .bind(&permission.remote_ip_prefix)
    .bind(&permission.remote_group_id)
    .bind(&permission.remote_address_group_id)
    .bind(&meaning)
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    if inserted.rows_affected() == 0 {
        let id = sqlx::query_scalar(
            "SELECT id FROM security_group_rules WHERE security_group_id = ? AND meaning = ?",
        )
        .bind(&rule.security_group_id)
        .bind(&meaning)
        .fetch_one(unit.connection())
        .await?;
        return Err(rest::Error::SecurityGroupRuleExists { id }.into());
    }
    Ok(id)
}

/// Removes the rules of a group, and those of other groups that name it.
pub(crate) async fn delete_of_group(unit: &mut Unit, group: &str) -> Result<(), ApiError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "DELETE FROM security_group_rules WHERE security_group_id = ?1 OR remote_group_id = ?1
         RETURNING id",
    )
    .bind(group)
    .fetch_all(unit.connection())
    .await?;
    for id in ids {
        unit.deleted(ResourceType::SecurityGroupRule, &id);
    }
    Ok(())
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Rule, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| Rule::not_found(id).into())
}

async fn tell(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    let rule = get(unit.connection(), id).await?;
    unit.updated(vec![Object::SecurityGroupRule(rule.object())]);
    Ok(())
}

impl Rule {
    /// The prefix with its host bits zero.
    fn normalized(&self) -> Option<String> {
        let prefix = self.remote_ip_prefix.as_deref().and_then(|text| prefix(text).ok());
        prefix.map(|prefix| prefix.to_string())
    }

    /// As the API shows it.
    pub(crate) fn body(self) -> rest::SecurityGroupRule {
        rest::SecurityGroupRule {
            normalized_cidr: self.normalized(),
            id: self.id,
            project_id: self.project_id,
            security_group_id: self.security_group_id,
            direction: self.direction,
            ethertype: self.ethertype,
            protocol: self.protocol,
            port_range_min: self.port_range_min,
            port_range_max: self.port_range_max,
            remote_ip_prefix: self.remote_ip_prefix,
            remote_group_id: self.remote_group_id,
            remote_address_group_id: self.remote_address_group_id,
            belongs_to_default_sg: self.belongs_to_default_sg,
            description: self.description,
            revision_number: self.revision_number.unsigned_abs(),
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::SecurityGroupRule {
        object::SecurityGroupRule {
            normalized_cidr: self.normalized(),
            id: self.id,
            project_id: Some(self.project_id),
            security_group_id: self.security_group_id,
            remote_group_id: self.remote_group_id,
            direction: self.direction,
            ethertype: self.ethertype,
            protocol: self.protocol,
            port_range_min: self.port_range_min.map(u32::from),
            port_range_max: self.port_range_max.map(u32::from),
            remote_ip_prefix: self.remote_ip_prefix,
            remote_address_group_id: self.remote_address_group_id,
            belongs_to_default_sg: self.belongs_to_default_sg,
            revision_number: self.revision_number.unsigned_abs(),
            description: Some(self.description),
            created_at: Some(self.created_at.to_string()),
            updated_at: Some(self.updated_at.to_string()),
            ..Default::default()
        }
    }
}
