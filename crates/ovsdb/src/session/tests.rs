//! What a session makes of servers that do not keep to the protocol. How it gets on with one that
//! does is tested against the real one.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn no_bytes_make_a_session_panic(
        method in "update|update2|update3|echo|.*",
        params in r#"[\[\]{}",:0-9a-z ]{0,40}"#,
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        for stream in [format!(r#"{{"method":"{method}","params":[{params}]}}"#).as_bytes(), &bytes] {
            let mut session = session();
            session.receive(stream);
            while let Ok(Some(_)) = session.next() {}
        }
    }
}

/// A session that has sent its first request, under id 1.
fn session() -> Session {
    let mut session = Session::new("Open_vSwitch", None);
    session.sent(session.output().len());
    session
}

fn say(session: &mut Session, json: &Value) -> Result<Option<Incoming>, SessionError> {
    session.receive(json.to_string().as_bytes());
    session.next()
}

#[test]
fn the_first_request_resumes_where_the_replica_stopped() {
    let transaction = Uuid::from_u128(7);
    let session = Session::new("Open_vSwitch", Some(transaction));
    let request: Value = serde_json::from_slice(session.output()).unwrap();
    assert_eq!(request["method"], "monitor_cond_since");
    assert_eq!(request["params"][3], transaction.to_string());
    assert_eq!(request["params"][2]["Port"][0]["columns"][0], "name");
}

#[test]
fn requests_of_the_server_are_answered_at_once() {
    let mut session = session();
    let echo = json!({"id": "echo", "method": "echo", "params": [1, "x"]});
    assert_eq!(say(&mut session, &echo).unwrap(), None);
    let reply: Value = serde_json::from_slice(session.output()).unwrap();
    assert_eq!(reply, json!({"id": "echo", "result": [1, "x"], "error": null}));
    session.sent(session.output().len());

    let unknown = json!({"id": 9, "method": "dance", "params": []});
    assert_eq!(say(&mut session, &unknown).unwrap(), None);
    let reply: Value = serde_json::from_slice(session.output()).unwrap();
    assert_eq!(reply, json!({"id": 9, "result": null, "error": "unknown method"}));
}

#[test]
fn answers_go_to_their_requests_in_any_order() {
    let mut session = session();
    let (first, second) = (session.transact(&json!([])), session.transact(&json!([])));
    session.probe();
    for id in [second, first] {
        let answer = json!({"id": id, "result": [id], "error": null});
        let incoming = say(&mut session, &answer).unwrap();
        assert_eq!(incoming, Some(Incoming::Answer { id, result: Ok(json!([id])) }));
    }
    let again = json!({"id": first, "result": [], "error": null});
    let error = say(&mut session, &again).unwrap_err();
    assert!(matches!(error, SessionError::UnknownAnswer { .. }), "{error}");
}

#[test]
fn an_update_carries_its_transaction() {
    let mut session = session();
    let transaction = Uuid::from_u128(7);
    let update3 = json!({"id": null, "method": "update3", "params": ["replica", transaction.to_string(), {}]});
    let expected = Incoming::Changed { update: Update::default(), transaction: Some(transaction) };
    assert_eq!(say(&mut session, &update3).unwrap(), Some(expected));
    let locked = json!({"id": null, "method": "locked", "params": ["lock"]});
    assert_eq!(say(&mut session, &locked).unwrap(), None);
}

#[test]
fn a_server_that_knows_no_monitor_is_given_up() {
    let mut session = session();
    for id in 1..=2 {
        let unknown = json!({"id": id, "result": null, "error": "unknown method"});
        assert_eq!(say(&mut session, &unknown).unwrap(), None);
    }
    let error = say(&mut session, &json!({"id": 3, "error": "unknown method"})).unwrap_err();
    assert_eq!(error.to_string(), "the server refused monitor: \"unknown method\"");
}

#[test]
fn messages_of_another_form_end_the_session() {
    for json in [
        json!({}),
        json!({"id": "mine", "result": []}),
        json!({"id": 1, "result": {}}),
        json!({"id": 1, "result": [false, "x", {}]}),
        json!({"id": 1, "result": [false, "00000000-0000-0000-0000-000000000000", []]}),
        json!({"id": null, "method": "update3", "params": ["replica", {}]}),
        json!({"id": null, "method": "update2", "params": {}}),
        json!({"id": null, "method": "update", "params": ["replica", {"Port": 5}]}),
        json!({"id": null, "method": "monitor_canceled", "params": ["replica"]}),
    ] {
        assert!(say(&mut session(), &json).is_err(), "{json}");
    }
}
