//! Reports of changed rows in both forms.

use serde_json::json;

use super::*;

const ID: &str = "1aa78cb0-afb3-4471-a2e2-2550ee015a04";

fn only_change(update: Update) -> RowChange {
    let mut rows = update.tables.into_values().next().unwrap();
    rows.remove(&ID.parse().unwrap()).unwrap()
}

#[test]
fn the_form_of_rfc_7047_is_read() {
    let read = |row: Value| Update::from_table_updates(&json!({"Port": {ID: row}})).unwrap();
    let row = Row::new().with("name", "p0");
    assert_eq!(only_change(read(json!({"new": {"name": "p0"}}))), RowChange::Set(row.clone()));
    assert_eq!(
        only_change(read(json!({"old": {"name": "p"}, "new": {"name": "p0"}}))),
        RowChange::Set(row)
    );
    assert_eq!(only_change(read(json!({"old": {"name": "p0"}}))), RowChange::Delete);
}

#[test]
fn the_second_form_is_read() {
    let read = |row: Value| Update::from_table_updates2(&json!({"Port": {ID: row}})).unwrap();
    let row = Row::new().with("name", "p0");
    for kind in ["initial", "insert"] {
        assert_eq!(only_change(read(json!({kind: {"name": "p0"}}))), RowChange::Set(row.clone()));
    }
    assert_eq!(only_change(read(json!({"modify": {"name": "p0"}}))), RowChange::Modify(row));
    assert_eq!(only_change(read(json!({"delete": null}))), RowChange::Delete);
}

#[test]
fn nothing_changed_is_empty() {
    assert!(Update::from_table_updates2(&json!({})).unwrap().is_empty());
    assert!(Update::from_table_updates2(&json!({"Port": {}})).unwrap().is_empty());
}

#[test]
fn other_forms_are_refused() {
    for json in [json!(null), json!([]), json!({"Port": []}), json!({"Port": {ID: {"x": {}}}})] {
        for read in [Update::from_table_updates, Update::from_table_updates2] {
            let error = read(&json).unwrap_err();
            assert!(matches!(error, UpdateError::Form { .. }), "{json}: {error}");
        }
    }
    let error = Update::from_table_updates2(&json!({"Port": {"x": {}}})).unwrap_err();
    assert!(matches!(error, UpdateError::RowId { .. }), "{error}");
    for row in [json!({"insert": []}), json!({"modify": {"name": null}})] {
        let error = Update::from_table_updates2(&json!({"Port": {ID: row}})).unwrap_err();
        assert!(matches!(error, UpdateError::Row { .. }), "{error}");
    }
}
