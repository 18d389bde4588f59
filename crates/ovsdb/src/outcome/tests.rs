//! Answers to transactions. The errors are those of a real ovsdb-server 3.1.

use serde_json::json;

use super::*;
use crate::operation::Until;
use crate::transaction::Transaction;

fn operations() -> Vec<Operation> {
    let wait = Operation::Wait {
        table: "Port".to_owned(),
        conditions: Vec::new(),
        columns: vec!["name".to_owned()],
        until: Until::Equal,
        rows: Vec::new(),
    };
    let transaction = Transaction::new().then(wait).insert("Port", None, Row::new());
    transaction
        .delete("Port", Vec::new())
        .select("Port", Vec::new(), &["name"])
        .operations()
        .to_vec()
}

#[test]
fn results_are_read_by_operation() {
    let id = "1aa78cb0-afb3-4471-a2e2-2550ee015a04";
    let answer = json!([{}, {"uuid": ["uuid", id]}, {"count": 2}, {"rows": [{"name": "p0"}]}]);
    assert_eq!(
        read_results(&operations(), &answer),
        Ok(vec![
            OpResult::Done,
            OpResult::Inserted(id.parse().unwrap()),
            OpResult::Counted(2),
            OpResult::Selected(vec![Row::new().with("name", "p0")]),
        ])
    );
}

#[test]
fn an_error_belongs_to_its_operation() {
    let error = json!({"details": "\"where\" clause test failed", "error": "timed out"});
    assert_eq!(
        read_results(&operations(), &json!([error, null, null, null])),
        Err(TransactError::WaitFailed { index: 0, operation: "wait on Port".to_owned() })
    );
    let error = json!({"syntax": "5", "details": "expected string", "error": "syntax error"});
    assert_eq!(
        read_results(&operations(), &json!([{}, error])).unwrap_err().to_string(),
        "insert into Port (operation 1) failed: syntax error: expected string (at 5)"
    );
}

#[test]
fn an_error_after_the_last_operation_is_of_the_commit() {
    let error = json!({"details": "no", "error": "constraint violation"});
    let answer = json!([{}, {"uuid": ["uuid", "x"]}, {"count": 2}, {"rows": []}, error]);
    assert_eq!(
        read_results(&operations(), &answer).unwrap_err().to_string(),
        "cannot commit: constraint violation: no"
    );
}

#[test]
fn an_answer_of_another_form_is_refused() {
    let id = json!(["uuid", "1aa78cb0-afb3-4471-a2e2-2550ee015a04"]);
    for answer in [
        json!(null),
        json!([]),
        json!([{}, {"uuid": id}, {"count": 2}]),
        json!([{}, {"uuid": 5}, {"count": 2}, {"rows": []}]),
        json!([{}, {"uuid": id}, {"count": -1}, {"rows": []}]),
        json!([{}, {"uuid": id}, {"count": 2}, {}]),
    ] {
        let error = read_results(&operations(), &answer).unwrap_err();
        assert!(matches!(error, TransactError::Malformed { .. }), "{answer}: {error}");
    }
}
