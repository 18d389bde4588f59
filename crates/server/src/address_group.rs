//! Address groups, as far as rules and agents name them. There is no API for them yet.

use neutron::object;
use neutron::rest;
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};

use crate::error::ApiError;
use crate::resource::Selection;
use crate::store::Unit;
use crate::time::Timestamp;

#[derive(Debug, FromRow)]
struct Row {
    id: String,
    project_id: String,
    name: String,
    description: String,
    addresses: Json<Vec<String>>,
    revision_number: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// The selected groups as agents are told of them.
pub(crate) async fn objects(
    connection: &mut SqliteConnection,
    selection: Selection<'_>,
) -> Result<Vec<object::AddressGroup>, ApiError> {
    let rows: Vec<Row> = selection.rows(connection, "SELECT * FROM address_groups").await?;
    Ok(rows.into_iter().map(Row::object).collect())
}

/// Refuses an id that no address group has.
pub(crate) async fn refuse_missing(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
    let there: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM address_groups WHERE id = ?)")
            .bind(id)
            .fetch_one(unit.connection())
            .await?;
    match there {
        true => Ok(()),
        false => Err(rest::Error::AddressGroupNotFound { id: id.to_owned() }.into()),
    }
}

impl Row {
    fn object(self) -> object::AddressGroup {
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
