//! Address groups: named sets of prefixes that rules can have on their other side.

use std::collections::HashSet;

use neutron::object::{self, Object, ResourceType};
use neutron::rest;
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use crate::error::ApiError;
use crate::resource::{Resource, Selection};
use crate::store::Unit;
use crate::time::Timestamp;

/// An address group.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct AddressGroup {
    id: String,
    project_id: String,
    name: String,
    description: String,
    /// Prefixes with host bits zero, each once, in the order in which they came.
    addresses: Json<Vec<String>>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Resource for AddressGroup {
    const REST: &'static rest::Resource = &rest::ADDRESS_GROUP;
    const INDEXED: &'static [&'static str] = &["id", "name", "project_id"];
    type Body = rest::AddressGroup;
    type Create = rest::AddressGroupCreate;
    type Update = rest::AddressGroupUpdate;

    async fn create(
        unit: &mut Unit,
        request: rest::AddressGroupCreate,
    ) -> Result<String, ApiError> {
        let id = Uuid::new_v4().to_string();
        sqlx::query(
            "INSERT INTO address_groups (id, project_id, name, description, addresses,
                revision_number, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6)",
        )
        .bind(&id)
        .bind(&request.project_id)
        .bind(&request.name)
        .bind(&request.description)
        .bind(Json(&request.addresses))
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        tell(unit, &id).await?;
        Ok(id)
    }

    async fn update(
        unit: &mut Unit,
        id: &str,
        request: rest::AddressGroupUpdate,
    ) -> Result<(), ApiError> {
        let mut group = get(unit.connection(), id).await?;
        group.name = request.name.unwrap_or(group.name);
        group.description = request.description.unwrap_or(group.description);
        set(unit, group).await
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        get(unit.connection(), id).await?;
        let used: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM security_group_rules
                WHERE remote_address_group_id = ?1)
             OR EXISTS (SELECT 1 FROM default_security_group_rules
                WHERE remote_address_group_id = ?1)",
        )
        .bind(id)
        .fetch_one(unit.connection())
        .await?;
        if used {
            return Err(rest::Error::AddressGroupInUse { id: id.to_owned() }.into());
        }
        unit.remove("address_groups", id).await?;
        unit.deleted(ResourceType::AddressGroup, id);
        Ok(())
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::AddressGroup>, ApiError> {
        Ok(load(connection, selection).await?.into_iter().map(AddressGroup::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::AddressGroupNotFound { id: id.to_owned() }
    }
}

/// The selected groups.
pub(crate) async fn load(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<AddressGroup>, ApiError> {
    Ok(selection.rows(connection, "SELECT * FROM address_groups").await?)
}

/// Adds addresses. None of them may be there.
pub(crate) async fn add(
    unit: &mut Unit,
    id: &str,
    wanted: rest::Addresses,
) -> Result<(), ApiError> {
    let mut group = get(unit.connection(), id).await?;
    let there: HashSet<_> = group.addresses.iter().collect();
    let known: Vec<_> = wanted.addresses.iter().filter(|one| there.contains(one)).collect();
    if !known.is_empty() {
        let addresses = quoted(&known);
        return Err(rest::Error::AddressesAlreadyExist { addresses, id: id.to_owned() }.into());
    }
    group.addresses.extend(wanted.addresses);
    set(unit, group).await
}

/// Removes addresses. All of them must be there.
pub(crate) async fn remove(
    unit: &mut Unit,
    id: &str,
    unwanted: rest::Addresses,
) -> Result<(), ApiError> {
    let mut group = get(unit.connection(), id).await?;
    let there: HashSet<_> = group.addresses.iter().collect();
    let unknown: Vec<_> = unwanted.addresses.iter().filter(|one| !there.contains(one)).collect();
    if !unknown.is_empty() {
        let addresses = quoted(&unknown);
        return Err(rest::Error::AddressesNotFound { addresses, id: id.to_owned() }.into());
    }
    let unwanted: HashSet<_> = unwanted.addresses.into_iter().collect();
    group.addresses.retain(|one| !unwanted.contains(one));
    set(unit, group).await
}

/// Refuses an id that no address group has.
pub(crate) async fn refuse_missing(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    match unit.has("address_groups", id).await? {
        true => Ok(()),
        false => Err(AddressGroup::not_found(id).into()),
    }
}

/// Stores what has changed of a group, counts the change, and tells agents of it.
async fn set(unit: &mut Unit, group: AddressGroup) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE address_groups SET name = ?2, description = ?3, addresses = ?4,
            revision_number = revision_number + 1, updated_at = ?5
         WHERE id = ?1",
    )
    .bind(&group.id)
    .bind(&group.name)
    .bind(&group.description)
    .bind(&group.addresses)
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    tell(unit, &group.id).await
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<AddressGroup, ApiError> {
    let found = load(connection, Selection::id(&id.to_owned())).await?;
    found.into_iter().next().ok_or_else(|| AddressGroup::not_found(id).into())
}

async fn tell(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    let group = get(unit.connection(), id).await?;
    unit.updated(vec![Object::AddressGroup(group.object())]);
    Ok(())
}

/// Addresses in a message.
fn quoted(addresses: &[&String]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|address| format!("'{address}'")).collect();
    quoted.join(", ")
}

impl AddressGroup {
    /// As the API shows it.
    fn body(self) -> rest::AddressGroup {
        rest::AddressGroup {
            id: self.id,
            project_id: self.project_id,
            name: self.name,
            description: self.description,
            addresses: self.addresses.0,
            revision_number: self.revision_number.unsigned_abs(),
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
        }
    }

    /// As agents are told of it.
    pub(crate) fn object(self) -> object::AddressGroup {
        let address = |address: &String| object::AddressAssociation {
            address: address.clone(),
            address_group_id: self.id.clone(),
            ..Default::default()
        };
        object::AddressGroup {
            addresses: self.addresses.iter().map(address).collect(),
            id: self.id.clone(),
            name: Some(self.name),
            project_id: self.project_id,
            shared: false,
            revision_number: self.revision_number.unsigned_abs(),
            description: Some(self.description),
            created_at: Some(self.created_at.to_string()),
            updated_at: Some(self.updated_at.to_string()),
            ..Default::default()
        }
    }
}
