//! What a monitor reports: rows that came, changed or went, in the two forms that servers use
//! (RFC 7047 section 4.1.6, and `update2` of `ovsdb-server(7)`).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::datum::{ParseRowIdError, RowId, excerpt};
use crate::row::{ColumnError, Row};

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowChange {
    /// It is there, with these columns; those that are missing have their defaults.
    Set(Row),
    /// It was there already and differs in these columns.
    Modify(Row),
    /// It is gone.
    Delete,
}

/// Changed rows by table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Table, row, change.
    pub tables: BTreeMap<String, BTreeMap<RowId, RowChange>>,
}

impl Update {
    /// Reads a `<table-updates>`: what `monitor` answers and `update` brings.
    ///
    /// # Errors
    /// When the JSON has another form.
    pub fn from_table_updates(json: &Value) -> Result<Self, UpdateError> {
        Self::read(json, |row| match row.get("new") {
            Some(new) => Row::from_json(new).map(RowChange::Set).map(Some),
            None => Ok(row.get("old").map(|_| RowChange::Delete)),
        })
    }

    /// Reads a `<table-updates2>`: what `monitor_cond` answers and `update2` brings.
    ///
    /// # Errors
    /// When the JSON has another form.
    pub fn from_table_updates2(json: &Value) -> Result<Self, UpdateError> {
        Self::read(json, |row| {
            if let Some(set) = row.get("initial").or_else(|| row.get("insert")) {
                Row::from_json(set).map(RowChange::Set).map(Some)
            } else if let Some(difference) = row.get("modify") {
                Row::from_json(difference).map(RowChange::Modify).map(Some)
            } else {
                Ok(row.get("delete").map(|_| RowChange::Delete))
            }
        })
    }

    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(BTreeMap::is_empty)
    }

    fn read(
        json: &Value,
        change: impl Fn(&Value) -> Result<Option<RowChange>, ColumnError>,
    ) -> Result<Self, UpdateError> {
        let form = |json: &Value| UpdateError::Form { json: excerpt(json) };
        let mut update = Self::default();
        for (table, rows) in json.as_object().ok_or_else(|| form(json))? {
            let changes = update.tables.entry(table.clone()).or_default();
            for (row, json) in rows.as_object().ok_or_else(|| form(rows))? {
                let id = row
                    .parse()
                    .map_err(|source| UpdateError::RowId { table: table.clone(), source })?;
                let change = change(json).map_err(|source| UpdateError::Row {
                    table: table.clone(),
                    row: id,
                    source,
                })?;
                changes.insert(id, change.ok_or_else(|| form(json))?);
            }
        }
        Ok(update)
    }
}

/// JSON that is no report of changed rows.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// Something that is not an object, or one without the members that it must have.
    #[error("no table update: {json}")]
    Form {
        /// What stood there, shortened.
        json: String,
    },
    /// A row under a name that is no UUID.
    #[error("a row of table {table} has no identity")]
    RowId {
        /// The table.
        table: String,
        /// What is wrong with it.
        source: ParseRowIdError,
    },
    /// A row that cannot be read.
    #[error("cannot read row {row} of table {table}")]
    Row {
        /// The table.
        table: String,
        /// The row.
        row: RowId,
        /// What is wrong with it.
        source: ColumnError,
    },
}

#[cfg(test)]
mod tests;
