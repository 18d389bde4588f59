//! What became of a transaction (RFC 7047 section 4.1.3).

use std::time::Duration;

use serde_json::Value;

use crate::datum::{Atom, RowId, excerpt};
use crate::operation::Operation;
use crate::row::{ColumnError, Row};

/// What an operation brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// Nothing to tell: a wait or a comment.
    Done,
    /// An insert: the identity of the new row.
    Inserted(RowId),
    /// An update, mutate or delete: how many rows met the conditions.
    Counted(u64),
    /// A select: the rows.
    Selected(Vec<Row>),
}

impl OpResult {
    /// The row that was inserted.
    pub const fn inserted(&self) -> Option<RowId> {
        if let Self::Inserted(row) = self { Some(*row) } else { None }
    }

    /// How many rows met the conditions.
    pub const fn counted(&self) -> Option<u64> {
        if let Self::Counted(count) = self { Some(*count) } else { None }
    }
}

/// A transaction that was not carried out, or may not have been. None of it was, or all of it.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactError {
    /// There is no connection; nothing was sent.
    #[error("not connected to the database")]
    NotConnected,
    /// The connection was lost before the answer; the transaction may have been carried out.
    #[error("lost the connection to the database before it answered")]
    Disconnected,
    /// No answer came in time; the transaction may still be carried out.
    #[error("the database did not answer within {limit:?}")]
    Deadline {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server refused one operation, and with it the transaction.
    #[error("{operation} (operation {index}) failed: {error}: {details}")]
    Operation {
        /// Its place in the transaction, from 0.
        index: usize,
        /// What it was, such as `insert into Port`.
        operation: String,
        /// The error of RFC 7047, such as `constraint violation`.
        error: String,
        /// What the server says about it.
        details: String,
    },
    /// A wait found other rows than it was to find.
    #[error("{operation} (operation {index}) found other rows than it must")]
    WaitFailed {
        /// Its place in the transaction, from 0.
        index: usize,
        /// What it was, such as `wait on Port`.
        operation: String,
    },
    /// Every operation was good, but the database as a whole would not have been.
    #[error("cannot commit: {error}: {details}")]
    Commit {
        /// The error of RFC 7047, such as `referential integrity violation`.
        error: String,
        /// What the server says about it.
        details: String,
    },
    /// The server refused the request as a whole.
    #[error("the database refused the transaction: {error}")]
    Refused {
        /// The error, as JSON.
        error: String,
    },
    /// An answer that does not fit the transaction.
    #[error("the database answered the transaction with {json}")]
    Malformed {
        /// The answer, shortened.
        json: String,
    },
    /// A row in the answer that cannot be read.
    #[error("cannot read a selected row")]
    Row(#[from] ColumnError),
}

impl TransactError {
    /// Whether the connection is to blame, and not the transaction: the same may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::NotConnected | Self::Disconnected | Self::Deadline { .. })
    }
}

/// Reads the answer to a transaction.
pub(crate) fn read_results(
    operations: &[Operation],
    json: &Value,
) -> Result<Vec<OpResult>, TransactError> {
    let malformed = || TransactError::Malformed { json: excerpt(json) };
    let results = json.as_array().ok_or_else(malformed)?;
    for (index, result) in results.iter().enumerate() {
        let Some(error) = result.get("error").and_then(Value::as_str) else { continue };
        let error = error.to_owned();
        let details = detail(result);
        return Err(match operations.get(index) {
            None => TransactError::Commit { error, details },
            Some(wait @ Operation::Wait { .. }) if error == "timed out" => {
                TransactError::WaitFailed { index, operation: wait.summary() }
            }
            Some(operation) => {
                TransactError::Operation { index, operation: operation.summary(), error, details }
            }
        });
    }
    if results.len() != operations.len() {
        return Err(malformed());
    }
    operations.iter().zip(results).map(|(operation, json)| read_result(operation, json)).collect()
}

fn read_result(operation: &Operation, json: &Value) -> Result<OpResult, TransactError> {
    let malformed = || TransactError::Malformed { json: excerpt(json) };
    match operation {
        Operation::Comment(_) | Operation::Wait { .. } => Ok(OpResult::Done),
        Operation::Insert { .. } => match json.get("uuid").map(Atom::from_json) {
            Some(Ok(Atom::Uuid(row))) => Ok(OpResult::Inserted(row)),
            _ => Err(malformed()),
        },
        Operation::Update { .. } | Operation::Mutate { .. } | Operation::Delete { .. } => {
            json.get("count").and_then(Value::as_u64).map(OpResult::Counted).ok_or_else(malformed)
        }
        Operation::Select { .. } => {
            let rows = json.get("rows").and_then(Value::as_array).ok_or_else(malformed)?;
            let rows = rows.iter().map(Row::from_json).collect::<Result<_, _>>()?;
            Ok(OpResult::Selected(rows))
        }
    }
}

/// What the server says about an error: its details, and the piece of JSON that it refers to.
fn detail(error: &Value) -> String {
    let details = error.get("details").and_then(Value::as_str).unwrap_or("no details");
    match error.get("syntax").and_then(Value::as_str) {
        Some(syntax) => format!("{details} (at {syntax})"),
        None => details.to_owned(),
    }
}

#[cfg(test)]
mod tests;
