//! The rules that new security groups have from the start. Agents do not know them.

use neutron::rest::{self, Permission};
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::address_group;
use crate::error::ApiError;
use crate::resource::{Resource, Selection};
use crate::security_group::{self, Kind};
use crate::security_group_rule::{canonical, meaning};
use crate::store::Unit;
use crate::time::Timestamp;

/// A default rule.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct DefaultRule {
    id: String,
    description: String,
    direction: String,
    ethertype: String,
    protocol: Option<String>,
    port_range_min: Option<u16>,
    port_range_max: Option<u16>,
    remote_ip_prefix: Option<String>,
    remote_group_id: Option<String>,
    remote_address_group_id: Option<String>,
    used_in_default_sg: bool,
    used_in_non_default_sg: bool,
}

impl Resource for DefaultRule {
    const REST: &'static rest::Resource = &rest::DEFAULT_SECURITY_GROUP_RULE;
    const INDEXED: &'static [&'static str] = &["id"];
    type Body = rest::DefaultSecurityGroupRule;
    type Create = rest::DefaultSecurityGroupRuleCreate;
    type Update = serde::de::IgnoredAny;

    async fn create(
        unit: &mut Unit,
        request: rest::DefaultSecurityGroupRuleCreate,
    ) -> Result<String, ApiError> {
        let permission = canonical(request.permission)?;
        if let Some(id) =
            permission.remote_group_id.as_deref().filter(|id| *id != Permission::PARENT)
        {
            security_group::refuse_missing(unit, id).await?;
        }
        if let Some(id) = &permission.remote_address_group_id {
            address_group::refuse_missing(unit, id).await?;
        }
        let id = Uuid::new_v4().to_string();
        let meaning = meaning(&permission);
        let inserted = sqlx::query(
            "INSERT INTO default_security_group_rules (id, description, direction, ethertype,
                protocol, port_range_min, port_range_max, remote_ip_prefix, remote_group_id,
                remote_address_group_id, meaning, used_in_default_sg, used_in_non_default_sg,
                created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT DO NOTHING",
        )
        .bind(&id)
        .bind(&request.description)
        .bind(&permission.direction)
        .bind(&permission.ethertype)
        .bind(&permission.protocol)
        .bind(permission.port_range_min)
        .bind(permission.port_range_max)
        .bind(&permission.remote_ip_prefix)
        .bind(&permission.remote_group_id)
        .bind(&permission.remote_address_group_id)
        .bind(&meaning)
        .bind(request.used_in_default_sg)
        .bind(request.used_in_non_default_sg)
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        if inserted.rows_affected() == 0 {
            let id = sqlx::query_scalar(
                "SELECT id FROM default_security_group_rules WHERE meaning = ?1
                    AND (used_in_default_sg AND ?2 OR used_in_non_default_sg AND ?3)",
            )
            .bind(&meaning)
            .bind(request.used_in_default_sg)
            .bind(request.used_in_non_default_sg)
            .fetch_one(unit.connection())
            .await?;
            return Err(rest::Error::DefaultSecurityGroupRuleExists { id }.into());
        }
        Ok(id)
    }

    async fn update(_: &mut Unit, _: &str, _: serde::de::IgnoredAny) -> Result<(), ApiError> {
        Err(rest::Error::MethodNotAllowed {}.into())
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        match unit.remove("default_security_group_rules", id).await? {
            true => Ok(()),
            false => Err(Self::not_found(id).into()),
        }
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::DefaultSecurityGroupRule>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(DefaultRule::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::DefaultSecurityGroupRuleNotFound { id: id.to_owned() }
    }
}

/// What a new group of this kind allows from the start.
pub(crate) async fn permissions(
    unit: &mut Unit,
    kind: Kind,
    group: &str,
) -> Result<Vec<Permission>, ApiError> {
    let mut rules = load(unit.connection(), Selection::All).await?;
    rules.retain(|rule| match kind {
        Kind::Ordinary => rule.used_in_non_default_sg,
        Kind::Default => rule.used_in_default_sg,
    });
    let permission = |rule: DefaultRule| {
        let mut permission = rule.body().permission;
        if permission.remote_group_id.as_deref() == Some(Permission::PARENT) {
            permission.remote_group_id = Some(group.to_owned());
        }
        permission
    };
    Ok(rules.into_iter().map(permission).collect())
}

/// Removes the rules that name this group: it goes.
pub(crate) async fn delete_naming(unit: &mut Unit, group: &str) -> Result<(), ApiError> {
    sqlx::query("DELETE FROM default_security_group_rules WHERE remote_group_id = ?")
        .bind(group)
        .execute(unit.connection())
        .await?;
    Ok(())
}

async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<DefaultRule>, ApiError> {
    Ok(selection.rows(connection, "SELECT * FROM default_security_group_rules").await?)
}

impl DefaultRule {
    /// As the API shows it.
    fn body(self) -> rest::DefaultSecurityGroupRule {
        rest::DefaultSecurityGroupRule {
            id: self.id,
            permission: Permission {
                direction: self.direction,
                ethertype: self.ethertype,
                protocol: self.protocol,
                port_range_min: self.port_range_min,
                port_range_max: self.port_range_max,
                remote_ip_prefix: self.remote_ip_prefix,
                remote_group_id: self.remote_group_id,
                remote_address_group_id: self.remote_address_group_id,
            },
            description: self.description,
            used_in_default_sg: self.used_in_default_sg,
            used_in_non_default_sg: self.used_in_non_default_sg,
        }
    }
}
