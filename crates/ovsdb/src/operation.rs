//! The operations of a transaction (RFC 7047 section 5.2) and their parts.

use serde_json::{Value, json};

use crate::datum::{Atom, Datum, RowId};
use crate::row::Row;

/// A test of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The column that is tested.
    pub column: String,
    /// How it is compared.
    pub function: Function,
    /// What it is compared with.
    pub value: Datum,
}

impl Condition {
    /// The row with this identity.
    pub fn row(row: RowId) -> Self {
        Self {
            column: "_uuid".to_owned(),
            function: Function::Equal,
            value: Atom::Uuid(row).into(),
        }
    }

    /// Rows whose `column` is `value`.
    pub fn equal(column: &str, value: impl Into<Datum>) -> Self {
        Self { column: column.to_owned(), function: Function::Equal, value: value.into() }
    }

    /// Rows whose `column` includes `value`: its members, or its pairs.
    pub fn includes(column: &str, value: impl Into<Datum>) -> Self {
        Self { column: column.to_owned(), function: Function::Includes, value: value.into() }
    }

    fn to_json(&self) -> Value {
        json!([self.column, self.function.as_str(), self.value.to_json()])
    }
}

/// How a condition compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Less than.
    Less,
    /// Less than or equal to.
    LessOrEqual,
    /// Equal to.
    Equal,
    /// Not equal to.
    NotEqual,
    /// Greater than or equal to.
    GreaterOrEqual,
    /// Greater than.
    Greater,
    /// Has all of the given members or pairs.
    Includes,
    /// Has none of the given members or pairs.
    Excludes,
}

impl Function {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
            Self::Includes => "includes",
            Self::Excludes => "excludes",
        }
    }
}

/// A change of a column that depends on what the column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// The column that changes.
    pub column: String,
    /// How it changes.
    pub mutator: Mutator,
    /// By what.
    pub value: Datum,
}

impl Mutation {
    /// Adds a number.
    pub fn add(column: &str, number: i64) -> Self {
        Self { column: column.to_owned(), mutator: Mutator::Add, value: number.into() }
    }

    /// Adds members to a set, or pairs to a map; keys that a map has already keep their values.
    pub fn insert(column: &str, value: impl Into<Datum>) -> Self {
        Self { column: column.to_owned(), mutator: Mutator::Insert, value: value.into() }
    }

    /// Removes members from a set; from a map the pairs of a map, or the keys of a set.
    pub fn delete(column: &str, value: impl Into<Datum>) -> Self {
        Self { column: column.to_owned(), mutator: Mutator::Delete, value: value.into() }
    }

    fn to_json(&self) -> Value {
        json!([self.column, self.mutator.as_str(), self.value.to_json()])
    }
}

/// How a mutation changes a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutator {
    /// Adds a number.
    Add,
    /// Subtracts a number.
    Subtract,
    /// Multiplies by a number.
    Multiply,
    /// Divides by a number.
    Divide,
    /// The remainder of a division by a number.
    Remainder,
    /// Adds members or pairs.
    Insert,
    /// Removes members, pairs or keys.
    Delete,
}

impl Mutator {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+=",
            Self::Subtract => "-=",
            Self::Multiply => "*=",
            Self::Divide => "/=",
            Self::Remainder => "%=",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// That the rows are the given ones.
    Equal,
    /// That the rows are not the given ones.
    NotEqual,
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Adds a row.
    Insert {
        /// The table.
        table: String,
        /// The name by which other operations of the transaction refer to the row.
        name: Option<String>,
        /// Its columns; the others get their defaults.
        row: Row,
    },
    /// Sets columns.
    Update {
        /// The table.
        table: String,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// The columns and their new values.
        row: Row,
    },
    /// Changes columns.
    Mutate {
        /// The table.
        table: String,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// The changes, in order.
        mutations: Vec<Mutation>,
    },
    /// Removes rows.
    Delete {
        /// The table.
        table: String,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
    },
    /// Fails the transaction unless rows are, or are not, as given. Never blocks.
    Wait {
        /// The table.
        table: String,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// The columns that are compared.
        columns: Vec<String>,
        /// Whether they must equal `rows`.
        until: Until,
        /// What they are compared with.
        rows: Vec<Row>,
    },
    /// Reads rows.
    Select {
        /// The table.
        table: String,
        /// Which rows: those that meet all conditions.
        conditions: Vec<Condition>,
        /// The columns that are read, `_uuid` among them; none stands for all that there are.
        columns: Vec<String>,
    },
    /// A remark for the database's log.
    Comment(String),
}

impl Operation {
    /// The operation as RFC 7047 writes it.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Insert { table, name: Some(name), row } => {
                json!({"op": "insert", "table": table, "uuid-name": name, "row": row.to_json()})
            }
            Self::Insert { table, name: None, row } => {
                json!({"op": "insert", "table": table, "row": row.to_json()})
            }
            Self::Update { table, conditions, row } => json!({
                "op": "update", "table": table, "where": where_clause(conditions),
                "row": row.to_json(),
            }),
            Self::Mutate { table, conditions, mutations } => json!({
                "op": "mutate", "table": table, "where": where_clause(conditions),
                "mutations": mutations.iter().map(Mutation::to_json).collect::<Vec<_>>(),
            }),
            Self::Delete { table, conditions } => {
                json!({"op": "delete", "table": table, "where": where_clause(conditions)})
            }
            Self::Wait { table, conditions, columns, until, rows } => json!({
                "op": "wait", "table": table, "where": where_clause(conditions),
                "columns": columns, "timeout": 0,
                "until": match until { Until::Equal => "==", Until::NotEqual => "!=" },
                "rows": rows.iter().map(Row::to_json).collect::<Vec<_>>(),
            }),
            Self::Select { table, conditions, columns } if columns.is_empty() => {
                json!({"op": "select", "table": table, "where": where_clause(conditions)})
            }
            Self::Select { table, conditions, columns } => json!({
                "op": "select", "table": table, "where": where_clause(conditions),
                "columns": columns,
            }),
            Self::Comment(comment) => json!({"op": "comment", "comment": comment}),
        }
    }

    /// The operation and its table, for messages: `insert into Port`.
    pub fn summary(&self) -> String {
        match self {
            Self::Insert { table, .. } => format!("insert into {table}"),
            Self::Update { table, .. } => format!("update of {table}"),
            Self::Mutate { table, .. } => format!("mutate of {table}"),
            Self::Delete { table, .. } => format!("delete from {table}"),
            Self::Wait { table, .. } => format!("wait on {table}"),
            Self::Select { table, .. } => format!("select from {table}"),
            Self::Comment(_) => "comment".to_owned(),
        }
    }
}

fn where_clause(conditions: &[Condition]) -> Value {
    conditions.iter().map(Condition::to_json).collect()
}
