//! Every type of value, there and back.

use proptest::prelude::*;

use super::*;

/// A value of every type.
pub(crate) fn every_type() -> Table {
    let inner = Table::new().with("", Value::Void).with("deep", Table::new());
    Table::new()
        .with("bool", true)
        .with("i8", Value::I8(-8))
        .with("u8", Value::U8(200))
        .with("i16", Value::I16(i16::MIN))
        .with("u16", Value::U16(u16::MAX))
        .with("i32", i32::MIN)
        .with("u32", Value::U32(u32::MAX))
        .with("i64", i64::MIN)
        .with("f32", Value::F32(1.5))
        .with("f64", Value::F64(-0.1))
        .with("decimal", Value::Decimal(2, 314))
        .with("text", "ünï")
        .with("bytes", Value::Bytes(vec![0, 255]))
        .with("timestamp", Value::Timestamp(u64::MAX))
        .with("array", Value::Array(vec![false.into(), Value::Array(Vec::new())]))
        .with("table", inner)
        .with("void", Value::Void)
}

fn bytes(table: &Table) -> Vec<u8> {
    let mut out = Vec::new();
    table.put(&mut out);
    out
}

fn read(bytes: &[u8]) -> Result<Table, Fault> {
    let mut from = Reader::new(bytes);
    let table = Table::read(&mut from, 0)?;
    from.finish()?;
    Ok(table)
}

#[test]
fn every_type_is_read_as_it_was_written() {
    let table = every_type();
    assert_eq!(read(&bytes(&table)), Ok(table));
}

#[test]
fn as_another_client_writes_it() {
    let table = Table::new().with("x-expires", 1_800_000_i64);
    assert_eq!(bytes(&table), b"\x00\x00\x00\x0f\tx-expiresI\x00\x1bw@");
    let large = Table::new().with("n", 1_i64 << 31);
    assert_eq!(bytes(&large), b"\x00\x00\x00\x0b\x01nl\x00\x00\x00\x00\x80\x00\x00\x00");
    let login = Table::new().with("LOGIN", "weir").with("PASSWORD", "secret");
    assert_eq!(
        bytes(&login),
        b"\x00\x00\x00\x23\x05LOGINS\x00\x00\x00\x04weir\x08PASSWORDS\x00\x00\x00\x06secret"
    );
}

#[test]
fn a_table_that_is_cut_short_or_too_long_is_refused() {
    let whole = bytes(&every_type());
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]), Err(Fault::Truncated), "{length} bytes");
    }
    assert_eq!(read(&[&whole[..], &[0]].concat()), Err(Fault::Trailing));
}

#[test]
fn unknown_types_are_refused() {
    assert_eq!(read(b"\0\0\0\x02\0?"), Err(Fault::ValueType { letter: b'?' }));
}

#[test]
fn tables_may_lie_only_so_deep_in_each_other() {
    let nested = |depth| {
        (0..depth).fold(Table::new(), |inner, level| match level % 2 {
            0 => Table::new().with("t", inner),
            _ => Table::new().with("a", Value::Array(vec![inner.into()])),
        })
    };
    let fits = nested(10);
    assert_eq!(read(&bytes(&fits)), Ok(fits));
    assert_eq!(read(&bytes(&nested(12))), Err(Fault::Depth));

    // So deep that reading all of it would need more stack than there is.
    let deep = (0..100_000_u32).rev().fold(Vec::new(), |mut bytes, level| {
        let length = 6 * (99_999 - level);
        bytes.extend(length.to_be_bytes().iter().rev().chain(b"F\0"));
        bytes
    });
    let outermost = 6 * 100_000_u32;
    let deep: Vec<_> = outermost.to_be_bytes().into_iter().chain(deep.into_iter().rev()).collect();
    assert_eq!(read(&deep), Err(Fault::Depth));
}

#[test]
fn a_name_that_is_too_long_is_left_out() {
    let table = Table::new().with(&"x".repeat(256), 1).with("kept", 2);
    assert_eq!(read(&bytes(&table)), Ok(Table::new().with("kept", 2)));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let length = u32::try_from(bytes.len()).unwrap();
        let _ = read(&[&length.to_be_bytes()[..], &bytes].concat());
        let _ = read(&bytes);
    }

    #[test]
    fn one_wrong_byte_does_not_panic(place in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes(&every_type());
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let _ = read(&bytes);
    }
}
