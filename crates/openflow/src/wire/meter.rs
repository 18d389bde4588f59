//! Changes of meters, and the dump of their values. OpenFlow 1.4.1 § 7.3.4.5 and § 7.3.5.12.

use super::{DecodeError, Reader, Write};
use crate::meter::{Meter, MeterBand, MeterBandKind, MeterFlags, MeterMod};

const ADD: u16 = 0;
const MODIFY: u16 = 1;
const DELETE: u16 = 2;

const CONFIG: u16 = 10;
const MORE: u16 = 1;
const ALL: u32 = u32::MAX;

const BAND_LEN: u16 = 16;
/// Of a band in front of what only some kinds have.
const BAND_HEADER: usize = 12;

/// Appends the body of a change.
pub(crate) fn encode(out: &mut Vec<u8>, change: &MeterMod) {
    let (command, number, meter) = match change {
        MeterMod::Add(meter) => (ADD, meter.number, Some(meter)),
        MeterMod::Modify(meter) => (MODIFY, meter.number, Some(meter)),
        MeterMod::Delete(number) => (DELETE, *number, None),
    };
    out.put_u16(command);
    out.put_u16(meter.map_or(0, |meter| meter.flags.0));
    out.put_u32(number);
    for band in meter.into_iter().flat_map(|meter| &meter.bands) {
        out.put_u16(band.kind.0);
        out.put_u16(BAND_LEN);
        out.put_u32(band.rate);
        out.put_u32(band.burst);
        out.put_zeros(4);
    }
}

/// Appends the body of a request for the values of every meter.
pub(crate) fn encode_request(out: &mut Vec<u8>) {
    out.put_u16(CONFIG);
    out.put_u16(0);
    out.put_zeros(4);
    out.put_u32(ALL);
    out.put_zeros(4);
}

/// Reads one part of the reply; whether more follow.
pub(crate) fn decode_reply(body: &[u8], meters: &mut Vec<Meter>) -> Result<bool, DecodeError> {
    let mut reader = Reader::new("meter dump", body);
    let kind = reader.u16()?;
    if kind != CONFIG {
        return Err(DecodeError::Value { what: "multipart type", value: kind.into() });
    }
    let more = reader.u16()? & MORE != 0;
    reader.skip(4)?;
    while !reader.is_empty() {
        let len = usize::from(reader.u16()?);
        let rest = len.checked_sub(2).ok_or(DecodeError::Length { what: "meter", length: len })?;
        meters.push(decode_meter(&mut reader.part("meter", rest)?)?);
    }
    Ok(more)
}

fn decode_meter(reader: &mut Reader<'_>) -> Result<Meter, DecodeError> {
    let flags = MeterFlags(reader.u16()?);
    let number = reader.u32()?;
    let mut bands = Vec::new();
    while !reader.is_empty() {
        let kind = MeterBandKind(reader.u16()?);
        let len = usize::from(reader.u16()?);
        let short = DecodeError::Length { what: "meter band", length: len };
        let more = len.checked_sub(BAND_HEADER).ok_or(short)?;
        let (rate, burst) = (reader.u32()?, reader.u32()?);
        reader.skip(more)?;
        bands.push(MeterBand { kind, rate, burst });
    }
    Ok(Meter { number, flags, bands })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().collect();
        let pairs = digits.chunks(2).map(|pair| pair.iter().collect::<String>());
        pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap()).collect()
    }

    #[test]
    fn changes() {
        let encoded = |change: &MeterMod| {
            let mut out = Vec::new();
            encode(&mut out, change);
            hex(&out)
        };
        assert_eq!(
            encoded(&MeterMod::Add(Meter::packets(7, 1000, Some(200)))),
            "0000000600000007 00010010 000003e8 000000c8 00000000".replace(' ', "")
        );
        assert_eq!(
            encoded(&MeterMod::Modify(Meter::packets(7, 1000, None))),
            "0001000200000007 00010010 000003e8 00000000 00000000".replace(' ', "")
        );
        assert_eq!(encoded(&MeterMod::Delete(7)), "0002000000000007");
    }

    #[test]
    fn a_dump_of_two_meters_and_no_less() {
        let first = "0018000600000007 00010010000003e8000000c800000000";
        // A band of a kind that drops nothing.
        let second = "0018000100000009 000200100000000a0000000001000000";
        let body = bytes(&format!("000a000000000000{first}{second}").replace(' ', ""));
        let mut meters = Vec::new();
        assert_eq!(decode_reply(&body, &mut meters), Ok(false));
        let remark = MeterBand { kind: MeterBandKind(2), rate: 10, burst: 0 };
        let foreign = Meter { number: 9, flags: MeterFlags::KBPS, bands: vec![remark] };
        assert_eq!(meters, [Meter::packets(7, 1000, Some(200)), foreign]);
        let whole = [8, 32, 56];
        for length in 0..body.len() {
            let read = decode_reply(&body[..length], &mut Vec::new());
            assert_eq!(read.is_ok(), whole.contains(&length), "{length}");
        }
        let more = bytes("000a000100000000");
        assert_eq!(decode_reply(&more, &mut Vec::new()), Ok(true));
        assert!(decode_reply(&bytes("0001000000000000"), &mut Vec::new()).is_err());
        assert!(decode_reply(&bytes("000a00000000000000010000"), &mut Vec::new()).is_err());
    }

    #[test]
    fn a_burst_that_nobody_asked_for_is_no_difference() {
        let asked = Meter::packets(7, 1000, None);
        let mut there = asked.clone();
        there.bands[0].burst = 1000;
        there.flags = there.flags.with(MeterFlags::STATS);
        assert!(asked.is_like(&there));
        assert!(!asked.is_like(&Meter::packets(7, 1001, None)));
        assert!(!asked.is_like(&Meter::packets(7, 1000, Some(1000))));
        assert!(!Meter::packets(7, 9, Some(1)).is_like(&Meter::packets(7, 9, Some(2))));
    }
}
