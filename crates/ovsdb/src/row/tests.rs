//! Columns as Rust types, and differences. The differences are those that a real ovsdb-server 3.1
//! sent for these changes.

use serde_json::json;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::*;

proptest! {
    /// Differences are made here by the letter of `ovsdb-server(7)`.
    #[test]
    fn the_difference_of_two_rows_leads_from_one_to_the_other(
        sets in [btree_set(0_u16..8, 0..6), btree_set(0_u16..8, 0..6)],
        maps in [btree_map("[a-d]", "[xy]", 0..4), btree_map("[a-d]", "[xy]", 0..4)],
    ) {
        let [old_set, new_set] = sets;
        let [old_map, new_map] = maps;
        let row = |set: &BTreeSet<u16>, map: &BTreeMap<String, String>| {
            Row::new().with("trunks", set.clone()).with("other_config", map.clone())
        };
        let members = old_set.symmetric_difference(&new_set).copied().collect();
        let gone = old_map.iter().filter(|(key, _)| !new_map.contains_key(*key));
        let come = new_map.iter().filter(|(key, value)| old_map.get(*key) != Some(value));
        let pairs = gone.chain(come).map(|(key, value)| (key.clone(), value.clone())).collect();

        let mut changed = row(&old_set, &old_map);
        changed.apply_difference(&row(&members, &pairs), kind).unwrap();
        prop_assert_eq!(changed, row(&new_set, &new_map));
    }
}

fn row(json: Value) -> Row {
    Row::from_json(&json).unwrap()
}

fn kind(column: &str) -> Option<ColumnKind> {
    match column {
        "name" => Some(String::KIND),
        "tag" => Some(Option::<u16>::KIND),
        "trunks" => Some(BTreeSet::<u16>::KIND),
        "other_config" => Some(BTreeMap::<String, String>::KIND),
        _ => None,
    }
}

#[track_caller]
fn check(before: Value, difference: Value, after: Value) {
    let mut changed = row(before);
    changed.apply_difference(&row(difference), kind).unwrap();
    assert_eq!(changed, row(after));
}

#[test]
fn a_scalar_is_replaced() {
    check(json!({"name": "a"}), json!({"name": "b"}), json!({"name": "b"}));
}

#[test]
fn an_optional_value_is_replaced_and_not_toggled() {
    check(json!({"tag": 5}), json!({"tag": 7}), json!({"tag": 7}));
    check(json!({"tag": 7}), json!({"tag": ["set", []]}), json!({"tag": ["set", []]}));
    check(json!({"tag": ["set", []]}), json!({"tag": 9}), json!({"tag": 9}));
}

#[test]
fn members_of_a_set_come_and_go() {
    let trunks = |members: &[i64]| json!({"trunks": ["set", members]});
    check(trunks(&[1, 2]), trunks(&[1, 3]), trunks(&[2, 3]));
    check(trunks(&[2, 3]), trunks(&[2, 3]), trunks(&[]));
    check(trunks(&[]), json!({"trunks": 4}), trunks(&[4]));
    check(json!({}), trunks(&[1]), trunks(&[1]));
}

#[test]
fn pairs_of_a_map_come_go_and_change() {
    let config = |pairs: &[(&str, &str)]| json!({"other_config": ["map", pairs]});
    check(
        config(&[("a", "1")]),
        config(&[("a", "2"), ("b", "1")]),
        config(&[("a", "2"), ("b", "1")]),
    );
    check(config(&[("a", "1"), ("b", "1")]), config(&[("a", "1")]), config(&[("b", "1")]));
    check(json!({}), config(&[("a", "1")]), config(&[("a", "1")]));
}

#[test]
fn a_difference_of_the_wrong_kind_is_refused() {
    for (column, json) in [
        ("name", json!(["map", []])),
        ("trunks", json!(["map", [[1, 2]]])),
        ("other_config", json!(["set", []])),
    ] {
        let difference = row(json!({column: json}));
        let before = row(json!({"other_config": ["map", []], "trunks": 1}));
        let error = before.clone().apply_difference(&difference, kind).unwrap_err();
        assert!(matches!(error, ColumnError::Type { .. }), "{error}");
    }
    let error = Row::new().apply_difference(&row(json!({"mtu": 1})), kind).unwrap_err();
    assert_eq!(error, ColumnError::Unknown { column: "mtu".to_owned() });
}

#[test]
fn columns_are_read_into_types_and_missing_ones_have_defaults() {
    let row = row(json!({"n": 4095, "s": ["set", ["a", "b"]], "m": ["map", [["k", true]]]}));
    assert_eq!(row.get("n"), Ok(4095_u16));
    assert_eq!(row.get("n"), Ok(Some(4095_i64)));
    assert_eq!(row.get("n"), Ok(BTreeSet::from([4095_u16])));
    assert_eq!(row.get("s"), Ok(BTreeSet::from(["a".to_owned(), "b".to_owned()])));
    assert_eq!(row.get("m"), Ok(BTreeMap::from([("k".to_owned(), true)])));
    assert_eq!(row.get("none"), Ok(String::new()));
    assert_eq!(row.get("none"), Ok(None::<RowId>));
}

#[test]
fn a_value_that_does_not_fit_its_type_is_refused() {
    let row = row(json!({"n": 65536, "minus": -1, "s": ["set", [1, 2]], "e": ["set", []]}));
    assert!(row.get::<u16>("n").is_err());
    assert!(row.get::<u16>("minus").is_err());
    assert!(row.get::<String>("n").is_err());
    assert!(row.get::<Option<i64>>("s").is_err());
    assert!(row.get::<i64>("e").is_err());
    assert!(row.get::<BTreeMap<i64, i64>>("s").is_err());
    let error = row.get::<bool>("n").unwrap_err();
    assert_eq!(error, ColumnError::Type { column: "n".to_owned(), json: "65536".to_owned() });
}
