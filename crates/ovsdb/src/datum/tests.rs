//! Values on the wire.

use proptest::prelude::*;

use super::*;

fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![
        any::<i64>().prop_map(Atom::Integer),
        any::<bool>().prop_map(Atom::Boolean),
        any::<f64>().prop_filter_map("finite", |value| Real::new(value).map(Atom::Real)),
        ".*".prop_map(Atom::String),
        any::<u128>().prop_map(|bits| Atom::Uuid(RowId::new(Uuid::from_u128(bits)))),
        "[a-z_]+".prop_map(Atom::NamedUuid),
    ]
}

fn datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        proptest::collection::btree_set(atom(), 0..4).prop_map(Datum::Set),
        proptest::collection::btree_map(atom(), atom(), 0..4).prop_map(Datum::Map),
    ]
}

proptest! {
    #[test]
    fn every_value_survives_the_wire(datum in datum()) {
        let text = datum.to_json().to_string();
        let json: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Datum::from_json(&json), Ok(datum), "{}", text);
    }
}

#[test]
fn a_set_of_one_is_its_member() {
    let five = Datum::from(5_i64);
    for json in [json!(5), json!(["set", [5]]), json!(["set", [5, 5]])] {
        assert_eq!(Datum::from_json(&json), Ok(five.clone()), "{json}");
    }
    assert_eq!(five.to_json(), json!(5));
    assert_eq!(Datum::empty().to_json(), json!(["set", []]));
    assert_ne!(Datum::from_json(&json!(["map", []])), Ok(Datum::empty()));
}

#[test]
fn what_is_no_value_is_refused() {
    for json in [
        json!(null),
        json!({}),
        json!([]),
        json!(["set"]),
        json!(["set", 5]),
        json!(["set", [["set", []]]]),
        json!(["uuid", "x"]),
        json!(["uuid", 5]),
        json!(["uuid"]),
    ] {
        let error = Datum::from_json(&json).unwrap_err();
        assert!(matches!(error, DatumError::Atom { .. }), "{json}: {error}");
    }
    for json in [json!(["map", [1]]), json!(["map", [[1]]]), json!(["map", [[1, 2, 3]]])] {
        let error = Datum::from_json(&json).unwrap_err();
        assert!(matches!(error, DatumError::Pair { .. }), "{json}: {error}");
    }
    let error = Datum::from_json(&json!(["map", [["k", 1], ["k", 2]]])).unwrap_err();
    assert_eq!(error, DatumError::DuplicateKey { json: "\"k\"".to_owned() });
}

#[test]
fn a_real_has_one_zero_and_no_infinity() {
    assert_eq!(Real::new(-0.0), Real::new(0.0));
    assert_eq!((Real::new(f64::INFINITY), Real::new(f64::NAN)), (None, None));
}

#[test]
fn an_excerpt_is_short_and_cuts_no_character() {
    assert_eq!(excerpt(&json!({"a": 1})), r#"{"a":1}"#);
    let long = excerpt(&json!("ü".repeat(1000)));
    assert_eq!(long.chars().count(), 81);
}
