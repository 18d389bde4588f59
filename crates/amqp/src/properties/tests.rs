//! Properties, there and back.

use super::*;

/// Every property.
pub(crate) fn everything() -> Properties {
    let text = |text: &str| Some(text.to_owned());
    Properties {
        content_type: text("application/json"),
        content_encoding: text("utf-8"),
        headers: Some(crate::table::tests::every_type()),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: text("c"),
        reply_to: text("reply"),
        expiration: text("60000"),
        message_id: text(""),
        timestamp: Some(u64::MAX),
        kind: text("kind"),
        user_id: text("user"),
        app_id: text(&"a".repeat(255)),
        cluster_id: text("ünï"),
    }
}

fn bytes(properties: &Properties) -> Vec<u8> {
    let mut out = Vec::new();
    properties.put(&mut out).unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Properties, Fault> {
    let mut from = Reader::new(bytes);
    let properties = Properties::read(&mut from)?;
    from.finish()?;
    Ok(properties)
}

#[test]
fn as_another_client_writes_them() {
    let properties = Properties {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        delivery_mode: Some(2),
        priority: Some(0),
        expiration: Some("60000".to_owned()),
        ..Properties::default()
    };
    let expected = b"\xd9\x00\x10application/json\x05utf-8\x02\x00\x0560000";
    assert_eq!(bytes(&properties), expected);
    assert_eq!(read(expected), Ok(properties));
}

#[test]
fn all_and_none_are_read_as_they_were_written() {
    for properties in [Properties::default(), everything()] {
        let whole = bytes(&properties);
        assert_eq!(read(&whole), Ok(properties));
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), Err(Fault::Truncated), "{length} bytes");
        }
        assert_eq!(read(&[&whole[..], &[0]].concat()), Err(Fault::Trailing));
    }
}

#[test]
fn flags_without_meaning_are_refused() {
    for flags in [1_u16, 2, 3] {
        assert_eq!(read(&flags.to_be_bytes()), Err(Fault::Properties { flags }));
    }
}

#[test]
fn a_text_that_is_too_long_is_named() {
    let long = "x".repeat(256);
    let properties = Properties { reply_to: Some(long.clone()), ..Properties::default() };
    assert_eq!(properties.put(&mut Vec::new()), Err(long));
}
