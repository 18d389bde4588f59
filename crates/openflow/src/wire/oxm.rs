//! Matches as OXM terms, `ofp_match`. OpenFlow 1.4.1 § 7.2.3; Nicira's classes nicira-ext(7).

use super::{DecodeError, Reader, Write};
use crate::{
    field::{Code, Field},
    matching::{Match, from_bytes, wire_bytes},
    subfield::Subfield,
};

const OXM_MATCH: u16 = 1;
const EXPERIMENTER_CLASS: u16 = 0xffff;
/// `OXM_OF_PACKET_TYPE`. The switch writes it, as "Ethernet", into matches that do not imply it.
const PACKET_TYPE: Code = Code { class: 0x8000, number: 44 };
/// `ONFOXM_ET_TCP_FLAGS`: 42 of the Open Networking Foundation, which OpenFlow 1.5 made standard.
const ONF: u32 = 0x4f4e_4600;
const ONF_TCP_FLAGS: u8 = 42;

/// Appends a match, padded.
pub(crate) fn encode(out: &mut Vec<u8>, matches: &Match) {
    let start = out.len();
    out.put_u16(OXM_MATCH);
    out.put_u16(0);
    for term in matches {
        if term.field == Field::TCP_FLAGS {
            encode_tcp_flags(out, term.value, term.mask, term.is_exact());
        } else {
            // The wire has room for 32 bits of state, but only 8 have a meaning: say which.
            let masked = !term.is_exact() || term.field == Field::CT_STATE;
            let mask = masked.then_some(term.mask);
            encode_term(out, term.field, term.value, mask);
        }
    }
    out.extend_from_slice(matches.foreign());
    out.write_len(start);
    out.pad_from(start);
}

/// Appends one term.
pub(crate) fn encode_term(out: &mut Vec<u8>, field: Field, value: u128, mask: Option<u128>) {
    let bytes = field.match_bytes();
    let len = if mask.is_some() { 2 * bytes } else { bytes };
    out.put_u32(header(field.code(), mask.is_some(), u8::try_from(len).unwrap_or(u8::MAX)));
    out.extend_from_slice(wire_bytes(&value.to_be_bytes(), bytes));
    if let Some(mask) = mask {
        out.extend_from_slice(wire_bytes(&mask.to_be_bytes(), bytes));
    }
}

fn encode_tcp_flags(out: &mut Vec<u8>, value: u128, mask: u128, exact: bool) {
    let code = Code { class: EXPERIMENTER_CLASS, number: ONF_TCP_FLAGS };
    out.put_u32(header(code, !exact, if exact { 6 } else { 8 }));
    out.put_u32(ONF);
    out.extend_from_slice(wire_bytes(&value.to_be_bytes(), 2));
    if !exact {
        out.extend_from_slice(wire_bytes(&mask.to_be_bytes(), 2));
    }
}

/// Appends the header that names the field of a subfield.
pub(crate) fn encode_subfield_header(out: &mut Vec<u8>, subfield: Subfield) {
    let field = subfield.field();
    out.put_u32(header(field.subfield_code(), false, field.subfield_bytes()));
}

/// Reads a match and its padding.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Match, DecodeError> {
    let kind = reader.u16()?;
    if kind != OXM_MATCH {
        return Err(DecodeError::Value { what: "match type", value: kind.into() });
    }
    let len = usize::from(reader.u16()?);
    let terms_len = len.checked_sub(4).ok_or(DecodeError::Length { what: "match", length: len })?;
    let mut terms = reader.part("match", terms_len)?;
    reader.skip(len.next_multiple_of(8) - len)?;

    let mut matches = Match::new();
    while !terms.is_empty() {
        let whole = terms.rest();
        let (code, masked, payload) = decode_header(&mut terms)?;
        let mut bytes = terms.part("match field", payload)?;
        if let Some((field, value, mask)) = decode_term(code, masked, &mut bytes)? {
            matches.set(field, value, mask);
        } else if code != PACKET_TYPE || bytes.rest() != [0; 4] {
            matches.add_foreign(whole.get(..4 + payload).unwrap_or_default());
        }
    }
    Ok(matches)
}

/// A term on a field that is known, with a payload of its length.
fn decode_term(
    code: Code,
    masked: bool,
    bytes: &mut Reader<'_>,
) -> Result<Option<(Field, u128, u128)>, DecodeError> {
    let mut payload = *bytes;
    let field = if code.class == EXPERIMENTER_CLASS {
        if code.number != ONF_TCP_FLAGS || payload.u32() != Ok(ONF) {
            return Ok(None);
        }
        Field::TCP_FLAGS
    } else {
        let Some(field) = Field::from_code(code) else {
            return Ok(None);
        };
        field
    };
    let len = field.match_bytes();
    if payload.rest().len() != if masked { 2 * len } else { len } {
        return Ok(None);
    }
    let value = from_bytes(payload.take(len)?);
    let mask = if masked { from_bytes(payload.take(len)?) } else { u128::MAX };
    Ok(Some((field, value, mask)))
}

/// Reads one term, as `set_field` and `reg_load2` have it: field, value and mask.
pub(crate) fn decode_single(
    reader: &mut Reader<'_>,
) -> Result<Option<(Field, u128, u128)>, DecodeError> {
    let (code, masked, payload) = decode_header(reader)?;
    let mut bytes = reader.part("field value", payload)?;
    decode_term(code, masked, &mut bytes)
}

/// Reads the header that names a subfield's field.
pub(crate) fn decode_subfield_field(reader: &mut Reader<'_>) -> Result<Option<Field>, DecodeError> {
    let (code, _, _) = decode_header(reader)?;
    if code == Field::IN_PORT_OXM.subfield_code() {
        return Ok(Some(Field::IN_PORT_OXM));
    }
    Ok(Field::from_code(code))
}

fn decode_header(reader: &mut Reader<'_>) -> Result<(Code, bool, usize), DecodeError> {
    let class = reader.u16()?;
    let number = reader.u8()?;
    let len = reader.u8()?;
    Ok((Code { class, number: number >> 1 }, number & 1 == 1, len.into()))
}

fn header(code: Code, masked: bool, len: u8) -> u32 {
    u32::from(code.class) << 16
        | u32::from(code.number) << 9
        | u32::from(masked) << 8
        | u32::from(len)
}
