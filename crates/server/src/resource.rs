//! What every resource of the API is to the rest of the server: how it is made, changed, removed
//! and found. `network` is the example that the others follow.

use neutron::rest;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, SqliteConnection};

use crate::error::ApiError;
use crate::store::{Unit, json_list};

/// A kind of resource.
pub(crate) trait Resource: 'static {
    /// Its names and attributes.
    const REST: &'static rest::Resource;
    /// Attributes by which the store finds it faster than by reading all: columns of that name.
    const INDEXED: &'static [&'static str];

    /// How it is shown.
    type Body: Serialize + Send;
    /// How a new one is asked for.
    type Create: DeserializeOwned + Send;
    /// How a change is asked for.
    type Update: DeserializeOwned + Send;

    /// Makes one, tells agents of it, and gives its id.
    fn create(
        unit: &mut Unit,
        request: Self::Create,
    ) -> impl Future<Output = Result<String, ApiError>> + Send;

    /// Changes the one with this id and tells agents of it.
    fn update(
        unit: &mut Unit,
        id: &str,
        request: Self::Update,
    ) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Removes the one with this id and tells agents so.
    fn delete(unit: &mut Unit, id: &str) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Those that are selected, oldest first.
    fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> impl Future<Output = Result<Vec<Self::Body>, ApiError>> + Send;

    /// What is said where there is none with this id.
    fn not_found(id: &str) -> rest::Error;

    /// Whether a list is complete for this project, or something must be made for it first.
    fn is_ready(
        _connection: &mut SqliteConnection,
        _project: &str,
    ) -> impl Future<Output = Result<bool, ApiError>> + Send {
        async { Ok(true) }
    }

    /// Makes what a list for this project must show.
    fn make_ready(
        _unit: &mut Unit,
        _project: &str,
    ) -> impl Future<Output = Result<(), ApiError>> + Send {
        async { Ok(()) }
    }
}

/// Which rows of a table are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Selection<'a> {
    /// Every row.
    All,
    /// The rows whose column has one of the values.
    Where { column: &'static str, values: &'a [String] },
}

impl<'a> Selection<'a> {
    /// The rows with these ids.
    pub(crate) fn ids(values: &'a [String]) -> Self {
        Self::Where { column: "id", values }
    }

    /// The row with this id.
    pub(crate) fn id(value: &'a String) -> Self {
        Self::ids(std::slice::from_ref(value))
    }

    /// The selected rows of `query`, a SELECT without WHERE, oldest first.
    pub(crate) async fn rows<T>(
        self,
        connection: &mut SqliteConnection,
        query: &'static str,
    ) -> Result<Vec<T>, sqlx::Error>
    where
        T: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        match self {
            Self::All => {
                let sql = format!("{query} ORDER BY created_at, rowid");
                sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await
            }
            Self::Where { column, values } => {
                let sql = format!(
                    "{query} WHERE {column} IN (SELECT value FROM json_each(?)) \
                     ORDER BY created_at, rowid"
                );
                let values = json_list(values.iter().map(String::as_str));
                sqlx::query_as(AssertSqlSafe(sql)).bind(values).fetch_all(connection).await
            }
        }
    }

    /// As [`Self::rows`], for very many rows and in no order. Each row that SQLite gives crosses
    /// threads by itself and costs an allocation for each of its columns, so `query` packs many
    /// into one: what it selects is a JSON array of rows, one array for each value of `by`.
    pub(crate) async fn packed<T: DeserializeOwned>(
        self,
        connection: &mut SqliteConnection,
        query: &'static str,
        by: &'static str,
    ) -> Result<Vec<T>, sqlx::Error> {
        let arrays: Vec<String> = match self {
            Self::All => {
                let sql = format!("{query} GROUP BY {by}");
                sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await?
            }
            Self::Where { column, values } => {
                let sql = format!(
                    "{query} WHERE {column} IN (SELECT value FROM json_each(?)) GROUP BY {by}"
                );
                let values = json_list(values.iter().map(String::as_str));
                sqlx::query_scalar(AssertSqlSafe(sql)).bind(values).fetch_all(connection).await?
            }
        };
        let mut rows = Vec::new();
        for array in arrays {
            let unpacked: Vec<T> = serde_json::from_str(&array)
                .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            rows.extend(unpacked);
        }
        Ok(rows)
    }
}
