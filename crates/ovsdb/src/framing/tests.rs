//! Streams cut in every way give the same texts.

use serde_json::json;

use super::*;

const STREAM: &str = concat!(
    r#"{"a":1}"#,
    " \r\n\t",
    r#"{"braces":"}{][","quote":"\"}","backslash":"\\"}{"n":{"m":[{"o":[]}]}}"#,
    r#"{"ü":"\u007d"}"#,
);

fn texts() -> Vec<Value> {
    vec![
        json!({"a": 1}),
        json!({"braces": "}{][", "quote": "\"}", "backslash": "\\"}),
        json!({"n": {"m": [{"o": []}]}}),
        json!({"ü": "}"}),
    ]
}

/// All texts that come of these reads.
fn read(reads: &[&[u8]]) -> Result<Vec<Value>, FramingError> {
    let mut framer = Framer::default();
    let mut texts = Vec::new();
    for read in reads {
        framer.push(read);
        while let Some(text) = framer.next()? {
            texts.push(text);
        }
    }
    Ok(texts)
}

#[test]
fn one_read_may_hold_many_texts() {
    assert_eq!(read(&[STREAM.as_bytes()]).unwrap(), texts());
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    for cut in 0..=STREAM.len() {
        let (before, after) = STREAM.as_bytes().split_at(cut);
        assert_eq!(read(&[before, after]).unwrap(), texts(), "cut at {cut}");
    }
}

#[test]
fn a_stream_may_come_byte_by_byte() {
    let reads: Vec<&[u8]> = STREAM.as_bytes().chunks(1).collect();
    assert_eq!(read(&reads).unwrap(), texts());
}

#[test]
fn a_text_is_not_looked_at_twice() {
    let mut framer = Framer::default();
    let mut pushed = 0;
    for read in [r#"{"key":""#.as_bytes(), &[b'x'; 1000], &[b'y'; 1000]] {
        framer.push(read);
        pushed += read.len();
        assert!(framer.next().unwrap().is_none());
        assert_eq!(framer.seen, pushed);
    }
}

#[test]
fn a_truncated_text_waits_for_more() {
    let text = br#"{"a":{"b":"}"}}"#;
    for end in 0..text.len() {
        assert_eq!(read(&[&text[..end]]).unwrap(), Vec::<Value>::new(), "cut at {end}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for stream in ["x", "[1]", "1", "\"a\"", "}", "{}]", "{} null"] {
        let error = read(&[stream.as_bytes()]).unwrap_err();
        assert!(matches!(error, FramingError::Between { .. }), "{stream}: {error}");
    }
    for stream in ["{a}", "{]}", "{\"a\":1,}", "{\"a\":[}"] {
        let error = read(&[stream.as_bytes()]).unwrap_err();
        assert!(matches!(error, FramingError::Json(_)), "{stream}: {error}");
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    assert!(read(&[deep.as_bytes()]).is_err());
}
