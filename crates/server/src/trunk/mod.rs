//! Trunks: a parent port, and subports that are reached under tags. How subports join and leave is in
//! [`subport`], how they are bound in [`binding`].
//!
//! A trunk is DOWN when what is asked for and what is wired are not the same. The agent of the parent's
//! host has its subports bound (BUILD) and says what came of it.

pub(crate) mod binding;
pub(crate) mod subport;

use std::collections::HashMap;

use model::TrunkStatus;
use neutron::object::{self, Object};
use neutron::rest;
use neutron::rpc::{Cast, EventType};
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use self::subport::SubPort;
use crate::error::ApiError;
use crate::port;
use crate::resource::{Resource, Selection};
use crate::store::{Unit, json_list};
use crate::time::Timestamp;

/// A trunk with its subports.
#[derive(Debug, Clone)]
pub(crate) struct Trunk {
    row: Row,
    subports: Vec<SubPort>,
}

#[derive(Debug, Clone, FromRow)]
struct Row {
    id: String,
    project_id: String,
    name: String,
    description: String,
    admin_state_up: bool,
    port_id: String,
    status: String,
    tags: Json<Vec<String>>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for Trunk {
    const REST: &'static rest::Resource = &rest::TRUNK;
    const INDEXED: &'static [&'static str] = &["id", "port_id", "name", "project_id"];
    type Body = rest::Trunk;
    type Create = rest::TrunkCreate;
    type Update = rest::TrunkUpdate;

    async fn create(unit: &mut Unit, request: rest::TrunkCreate) -> Result<String, ApiError> {
        let port = &request.port_id;
        let parent = port::show(unit.connection(), port).await?;
        subport::refuse_used(unit, port).await?;
        if !parent.host.is_empty() {
            return Err(rest::Error::ParentPortInUse { port: port.clone() }.into());
        }
        let subports = subport::check(unit, port, &request.sub_ports).await?;
        let id = Uuid::new_v4().to_string();
        sqlx::query(
            "INSERT INTO trunks (id, project_id, name, description, admin_state_up, port_id, status,
                tags, revision_number, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, '[]', 1, ?8, ?8)",
        )
        .bind(&id)
        .bind(&request.project_id)
        .bind(&request.name)
        .bind(&request.description)
        .bind(request.admin_state_up)
        .bind(port)
        .bind(TrunkStatus::Down.name())
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        subport::insert(unit, &id, &subports).await?;
        let trunk = get(unit.connection(), &id).await?;
        push(unit, EventType::Created, vec![Object::Trunk(trunk.object())]);
        Ok(id)
    }

    /// Agents need not hear of what it is called.
    async fn update(unit: &mut Unit, id: &str, request: rest::TrunkUpdate) -> Result<(), ApiError> {
        let Self { row, .. } = get(unit.connection(), id).await?;
        sqlx::query(
            "UPDATE trunks SET name = ?2, description = ?3, admin_state_up = ?4,
                revision_number = revision_number + 1, updated_at = ?5
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.name.unwrap_or(row.name))
        .bind(request.description.unwrap_or(row.description))
        .bind(request.admin_state_up.unwrap_or(row.admin_state_up))
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        Ok(())
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        let trunk = get(unit.connection(), id).await?;
        trunk.refuse_disabled()?;
        let parent = port::show(unit.connection(), &trunk.row.port_id).await?;
        if !parent.host.is_empty() {
            return Err(rest::Error::TrunkInUse { id: id.to_owned() }.into());
        }
        unit.remove("trunks", id).await?;
        push(unit, EventType::Deleted, vec![Object::Trunk(trunk.object())]);
        Ok(())
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::Trunk>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(Trunk::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::TrunkNotFound { id: id.to_owned() }
    }
}

/// The selected trunks.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<Trunk>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM trunks").await?;
    let ids = json_list(rows.iter().map(|row| row.id.as_str()));
    let mut subports: HashMap<String, Vec<SubPort>> = HashMap::new();
    if !rows.is_empty() {
        for subport in subport::of_trunks(connection, &ids).await? {
            subports.entry(subport.trunk_id.clone()).or_default().push(subport);
        }
    }
    let trunk = |row: Row| Trunk { subports: subports.remove(&row.id).unwrap_or_default(), row };
    Ok(rows.into_iter().map(trunk).collect())
}

/// The trunk with this id.
pub(crate) async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Trunk, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| Trunk::not_found(id).into())
}

/// The trunks whose parents are among these ports.
pub(crate) async fn of_parents(
    connection: &mut SqliteConnection,
    ports: &[String],
) -> Result<Vec<Trunk>, ApiError> {
    load(connection, Selection::Where { column: "port_id", values: ports }).await
}

/// What these ports show of the trunks that they are parents of.
pub(crate) async fn details(
    connection: &mut SqliteConnection,
    ports: &[String],
) -> Result<HashMap<String, rest::TrunkDetails>, ApiError> {
    let trunks = of_parents(connection, ports).await?;
    let details = trunks.into_iter().map(|Trunk { row, subports }| {
        let sub_ports = subports.into_iter().map(SubPort::details).collect();
        (row.port_id, rest::TrunkDetails { trunk_id: row.id, sub_ports })
    });
    Ok(details.collect())
}

/// Gives a trunk another status.
pub(crate) async fn set_status(
    unit: &mut Unit,
    id: &str,
    status: TrunkStatus,
) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE trunks SET status = ?2, revision_number = revision_number + 1, updated_at = ?3
         WHERE id = ?1",
    )
    .bind(id)
    .bind(status.name())
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    Ok(())
}

/// Agents are to hear of these.
fn push(unit: &mut Unit, event: EventType, objects: Vec<Object>) {
    unit.cast(Cast::Push { event, objects });
}

impl Trunk {
    /// Nothing may be changed of one whose owner has set it down.
    fn refuse_disabled(&self) -> Result<(), ApiError> {
        match self.row.admin_state_up {
            true => Ok(()),
            false => Err(rest::Error::TrunkDisabled { id: self.row.id.clone() }.into()),
        }
    }

    /// As the API shows it.
    fn body(self) -> rest::Trunk {
        let Self { row, subports } = self;
        rest::Trunk {
            id: row.id,
            project_id: row.project_id,
            name: row.name,
            description: row.description,
            admin_state_up: row.admin_state_up,
            port_id: row.port_id,
            status: row.status,
            sub_ports: subports.into_iter().map(SubPort::body).collect(),
            tags: row.tags.0,
            revision_number: row.revision_number.unsigned_abs(),
            created_at: row.created_at.to_string(),
            updated_at: row.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::Trunk {
        let Self { row, subports } = self;
        object::Trunk {
            id: row.id,
            admin_state_up: row.admin_state_up,
            project_id: row.project_id,
            name: row.name,
            port_id: row.port_id,
            status: row.status,
            sub_ports: subports.into_iter().map(SubPort::object).collect(),
            revision_number: row.revision_number.unsigned_abs(),
            description: Some(row.description),
            created_at: Some(row.created_at.to_string()),
            updated_at: Some(row.updated_at.to_string()),
            ..Default::default()
        }
    }
}
