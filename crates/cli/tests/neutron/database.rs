//! The database of a switch, read at once.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::Switch;

/// Columns of a row.
pub(crate) type Row = BTreeMap<String, Value>;

/// The rows of a switch's database of one moment, by table: rows that were read one after another
/// may refer to one that is gone meanwhile. References are the texts of row identities.
pub(crate) struct Database(BTreeMap<&'static str, Vec<Row>>);

impl Database {
    pub(crate) fn of(switch: &Switch) -> Self {
        let tables = ["Interface", "Port", "QoS", "Queue"];
        let mut words = vec!["--format=json"];
        for table in tables {
            words.extend(["--", "list", table]);
        }
        let listed = switch.vsctl(&words).unwrap();
        let listed = serde_json::Deserializer::from_str(&listed).into_iter::<Value>();
        let listed = listed.map(|table| rows(&table.unwrap()));
        let found: BTreeMap<_, _> = tables.into_iter().zip(listed).collect();
        assert_eq!(found.len(), tables.len());
        Self(found)
    }

    /// The rows of a table.
    pub(crate) fn rows(&self, table: &str) -> &[Row] {
        &self.0[table]
    }

    /// The row with this value in a column.
    pub(crate) fn find(&self, table: &str, column: &str, value: &Value) -> Option<&Row> {
        self.rows(table).iter().find(|row| row[column] == *value)
    }
}

fn rows(listed: &Value) -> Vec<Row> {
    let headings: Vec<&str> =
        listed["headings"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    let row = |row: &Value| {
        let cells = row.as_array().unwrap().iter().map(plain);
        headings.iter().map(|&heading| heading.to_owned()).zip(cells).collect()
    };
    listed["data"].as_array().unwrap().iter().map(row).collect()
}

/// What a cell says, without the words of the protocol.
fn plain(cell: &Value) -> Value {
    let tagged = |tag: &str| {
        let pair = cell.as_array().filter(|it| it.len() == 2 && it[0] == tag)?;
        Some(&pair[1])
    };
    if let Some(identity) = tagged("uuid") {
        return identity.clone();
    }
    if let Some(set) = tagged("set") {
        return set.as_array().unwrap().iter().map(plain).collect();
    }
    let Some(map) = tagged("map") else { return cell.clone() };
    let name = |key: &Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
    let pairs = map.as_array().unwrap().iter();
    Value::Object(pairs.map(|pair| (name(&pair[0]), plain(&pair[1]))).collect())
}
