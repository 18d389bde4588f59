//! Transactions as they go over the wire.

use serde_json::json;

use super::*;

const BRIDGE: &str = "064047e5-706c-4738-b472-67498a0e76de";
const PORT: &str = "1aa78cb0-afb3-4471-a2e2-2550ee015a04";

#[track_caller]
fn check(transaction: &Transaction, operations: &Value) {
    let mut expected = vec![json!("Open_vSwitch")];
    expected.extend(operations.as_array().unwrap().iter().cloned());
    assert_eq!(transaction.to_params("Open_vSwitch"), Value::Array(expected));
}

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_port_is_added_with_a_name_of_its_own() {
    let options = strings(&[("peer", "phy")]);
    let ids = strings(&[("iface-id", "x")]);
    let transaction =
        Transaction::new().add_port(BRIDGE.parse().unwrap(), "int", "patch", &options, &ids);
    check(
        &transaction,
        &json!([
            {"op": "wait", "table": "Bridge", "where": [["_uuid", "==", ["uuid", BRIDGE]]],
             "columns": ["name"], "timeout": 0, "until": "!=", "rows": []},
            {"op": "wait", "table": "Port", "where": [["name", "==", "int"]],
             "columns": ["name"], "timeout": 0, "until": "==", "rows": []},
            {"op": "insert", "table": "Interface", "uuid-name": "new_interface_2", "row": {
                "name": "int", "type": "patch", "options": ["map", [["peer", "phy"]]],
                "external_ids": ["map", [["iface-id", "x"]]]}},
            {"op": "insert", "table": "Port", "uuid-name": "new_port_1", "row": {
                "name": "int", "interfaces": ["named-uuid", "new_interface_2"]}},
            {"op": "mutate", "table": "Bridge", "where": [["_uuid", "==", ["uuid", BRIDGE]]],
             "mutations": [["ports", "insert", ["named-uuid", "new_port_1"]]]},
        ]),
    );
}

#[test]
fn a_tag_is_set_beside_its_keys() {
    let keys = strings(&[("net_uuid", "n"), ("tag", "3")]);
    check(
        &Transaction::new().comment("tag").set_port_tag(PORT.parse().unwrap(), 3, &keys),
        &json!([
            {"op": "comment", "comment": "tag"},
            {"op": "update", "table": "Port", "where": [["_uuid", "==", ["uuid", PORT]]],
             "row": {"tag": 3}},
            {"op": "mutate", "table": "Port", "where": [["_uuid", "==", ["uuid", PORT]]],
             "mutations": [
                ["other_config", "delete", ["set", ["net_uuid", "tag"]]],
                ["other_config", "insert", ["map", [["net_uuid", "n"], ["tag", "3"]]]]]},
        ]),
    );
}

#[test]
fn conditions_and_mutations_are_written_as_the_rfc_has_them() {
    let port: RowId = PORT.parse().unwrap();
    let trunks = BTreeSet::from([1_u16, 2]);
    check(
        &Transaction::new()
            .delete("Port", vec![Condition::includes("trunks", trunks.clone())])
            .mutate("Port", vec![Condition::row(port)], vec![Mutation::delete("trunks", trunks)])
            .bump_next_cfg(),
        &json!([
            {"op": "delete", "table": "Port", "where": [["trunks", "includes", ["set", [1, 2]]]]},
            {"op": "mutate", "table": "Port", "where": [["_uuid", "==", ["uuid", PORT]]],
             "mutations": [["trunks", "delete", ["set", [1, 2]]]]},
            {"op": "mutate", "table": "Open_vSwitch", "where": [],
             "mutations": [["next_cfg", "+=", 1]]},
            {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]},
        ]),
    );
}

#[test]
fn rows_that_are_added_together_have_different_names() {
    let transaction =
        Transaction::new().add_bridge("a", "netdev", None).add_bridge("b", "netdev", None);
    let mut names: Vec<_> = transaction
        .operations()
        .iter()
        .filter_map(|operation| match operation {
            Operation::Insert { name, .. } => name.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(names.len(), 6);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 6);
}
