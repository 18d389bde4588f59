//! Updates change all of the replica or none of it.

use serde_json::{Value, json};

use super::*;

const PORT: &str = "1aa78cb0-afb3-4471-a2e2-2550ee015a04";
const OTHER: &str = "299bcbbe-8ec5-48d0-bb46-e8f667b247f4";

fn update(json: Value) -> Update {
    Update::from_table_updates2(&json).unwrap()
}

fn replica() -> Replica {
    let row = json!({"name": "p0", "tag": 5, "other_config": ["map", [["a", "1"]]]});
    Replica::from_initial(&update(json!({"Port": {PORT: {"initial": row}}}))).unwrap()
}

#[test]
fn rows_come_change_and_go() {
    let mut replica = replica();
    let difference = json!({"tag": 7, "other_config": ["map", [["a", "1"], ["b", "2"]]]});
    replica
        .apply(&update(json!({"Port": {
            PORT: {"modify": difference}, OTHER: {"insert": {"name": "p1"}},
        }})))
        .unwrap();
    let (_, port) = replica.port("p0").unwrap();
    assert_eq!(port.tag, Some(7));
    assert_eq!(port.other_config, BTreeMap::from([("b".to_owned(), "2".to_owned())]));
    assert_eq!(replica.port("p1").unwrap().1, &Port { name: "p1".to_owned(), ..Port::default() });
    replica.apply(&update(json!({"Port": {PORT: {"delete": null}}}))).unwrap();
    assert_eq!(replica.port("p0"), None);
    assert_eq!(replica.ports.len(), 1);
}

#[test]
fn an_update_that_does_not_fit_changes_nothing() {
    let fits = json!({"insert": {"name": "p1"}});
    for (json, expected) in [
        (json!({"Port": {OTHER: fits}, "Mirror": {PORT: fits}}), "table Mirror is not monitored"),
        (
            json!({"Port": {PORT: {"delete": null}, OTHER: {"modify": {"tag": 1}}}}),
            "row 299bcbbe-8ec5-48d0-bb46-e8f667b247f4 of table Port was modified but never seen",
        ),
        (
            json!({"Bridge": {OTHER: fits}, "Port": {PORT: {"modify": {"tag": 70000}}}}),
            "cannot read row 1aa78cb0-afb3-4471-a2e2-2550ee015a04 of table Port",
        ),
        (
            json!({"Bridge": {OTHER: fits}, "Interface": {PORT: {"insert": {"name": 5}}}}),
            "cannot read row 1aa78cb0-afb3-4471-a2e2-2550ee015a04 of table Interface",
        ),
    ] {
        let mut changed = replica();
        let error = changed.apply(&update(json)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(changed, replica());
    }
}

#[test]
fn a_row_read_and_written_is_the_same() {
    let replica = replica();
    let (_, port) = replica.port("p0").unwrap();
    assert_eq!(Port::try_from(&port.to_row()).as_ref(), Ok(port));
    assert_eq!(Interface::try_from(&Interface::default().to_row()), Ok(Interface::default()));
}
