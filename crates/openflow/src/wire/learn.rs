//! Nicira's `learn` action: a flow mod with holes, as `nx_action_learn`; with a limit, as
//! `nx_action_learn2`.

use super::{DecodeError, Reader, Write, action::subfield, oxm};
use crate::{
    action::{Learn, LearnSpec},
    matching::{from_bytes, wire_bytes},
    number::{Cookie, Priority, TableId},
    subfield::Subfield,
};

const SEND_FLOW_REM: u16 = 1;
const DELETE_LEARNED: u16 = 1 << 1;
/// Where the outcome is written to, which is nowhere here; with padding.
const RESULT: usize = 4;

const BITS: u16 = 0x7ff;
const DST: u16 = 3 << 11;
const DST_MATCH: u16 = 0;
const DST_LOAD: u16 = 1 << 11;
const DST_OUTPUT: u16 = 2 << 11;
const SRC_IMMEDIATE: u16 = 1 << 13;

/// Appends everything behind the subtype.
pub(super) fn encode(out: &mut Vec<u8>, learn: &Learn) {
    out.put_u16(learn.idle_timeout);
    out.put_u16(learn.hard_timeout);
    out.put_u16(learn.priority.0);
    out.put_u64(learn.cookie.0);
    let send = if learn.send_flow_rem { SEND_FLOW_REM } else { 0 };
    let delete = if learn.delete_learned { DELETE_LEARNED } else { 0 };
    out.put_u16(send | delete);
    out.put_u8(learn.table.0);
    out.put_u8(0);
    out.put_u16(learn.fin_idle_timeout);
    out.put_u16(learn.fin_hard_timeout);
    if learn.limit != 0 {
        out.put_u32(learn.limit);
        out.put_zeros(RESULT);
    }
    for spec in &learn.specs {
        match *spec {
            LearnSpec::Match { dst, src } => {
                out.put_u16(u16::from(dst.bits()) | DST_MATCH);
                encode_subfield(out, src);
                encode_subfield(out, dst);
            }
            LearnSpec::MatchValue { dst, value } => {
                out.put_u16(u16::from(dst.bits()) | DST_MATCH | SRC_IMMEDIATE);
                encode_value(out, dst.bits(), value);
                encode_subfield(out, dst);
            }
            LearnSpec::Load { dst, src } => {
                out.put_u16(u16::from(dst.bits()) | DST_LOAD);
                encode_subfield(out, src);
                encode_subfield(out, dst);
            }
            LearnSpec::LoadValue { dst, value } => {
                out.put_u16(u16::from(dst.bits()) | DST_LOAD | SRC_IMMEDIATE);
                encode_value(out, dst.bits(), value);
                encode_subfield(out, dst);
            }
            LearnSpec::Output(src) => {
                out.put_u16(u16::from(src.bits()) | DST_OUTPUT);
                encode_subfield(out, src);
            }
        }
    }
}

fn encode_subfield(out: &mut Vec<u8>, subfield: Subfield) {
    oxm::encode_subfield_header(out, subfield);
    out.put_u16(subfield.lo().into());
}

fn encode_value(out: &mut Vec<u8>, bits: u8, value: u128) {
    out.extend_from_slice(wire_bytes(&value.to_be_bytes(), value_len(bits.into())));
}

/// Bytes of an immediate value: whole 16-bit words.
fn value_len(bits: u16) -> usize {
    2 * usize::from(bits.div_ceil(16))
}

/// Reads everything behind the subtype; nothing where it has a part that is not known.
pub(super) fn decode(body: &mut Reader<'_>, limited: bool) -> Result<Option<Learn>, DecodeError> {
    let (idle_timeout, hard_timeout) = (body.u16()?, body.u16()?);
    let priority = Priority(body.u16()?);
    let cookie = Cookie(body.u64()?);
    let flags = body.u16()?;
    let table = TableId(body.u8()?);
    body.skip(1)?;
    let (fin_idle_timeout, fin_hard_timeout) = (body.u16()?, body.u16()?);
    if flags & !(SEND_FLOW_REM | DELETE_LEARNED) != 0 {
        return Ok(None);
    }
    let mut limit = 0;
    if limited {
        limit = body.u32()?;
        body.skip(RESULT)?;
    }
    let mut specs = Vec::new();
    // Zeros fill the rest of the last 8 bytes; a spec of no bits is that padding.
    while body.rest().len() >= 2 {
        let head = body.u16()?;
        if head == 0 {
            break;
        }
        match decode_spec(body, head)? {
            Some(spec) => specs.push(spec),
            None => return Ok(None),
        }
    }
    Ok(Some(Learn {
        table,
        priority,
        cookie,
        idle_timeout,
        hard_timeout,
        fin_idle_timeout,
        fin_hard_timeout,
        send_flow_rem: flags & SEND_FLOW_REM != 0,
        delete_learned: flags & DELETE_LEARNED != 0,
        limit,
        specs,
    }))
}

fn decode_spec(body: &mut Reader<'_>, head: u16) -> Result<Option<LearnSpec>, DecodeError> {
    let bits = head & BITS;
    if head & SRC_IMMEDIATE != 0 {
        let len = value_len(bits);
        let value = body.take(len)?;
        if len > 16 {
            return Ok(None);
        }
        let Some(dst) = decode_subfield(body, bits)? else {
            return Ok(None);
        };
        let value = from_bytes(value) & dst.full_value();
        return Ok(match head & DST {
            DST_MATCH => Some(LearnSpec::MatchValue { dst, value }),
            DST_LOAD => Some(LearnSpec::LoadValue { dst, value }),
            _ => None,
        });
    }
    let Some(src) = decode_subfield(body, bits)? else {
        return Ok(None);
    };
    if head & DST == DST_OUTPUT {
        return Ok(Some(LearnSpec::Output(src)));
    }
    let Some(dst) = decode_subfield(body, bits)? else {
        return Ok(None);
    };
    Ok(match head & DST {
        DST_MATCH => Some(LearnSpec::Match { dst, src }),
        DST_LOAD => Some(LearnSpec::Load { dst, src }),
        _ => None,
    })
}

fn decode_subfield(body: &mut Reader<'_>, bits: u16) -> Result<Option<Subfield>, DecodeError> {
    let field = oxm::decode_subfield_field(body)?;
    let lo = body.u16()?;
    Ok(subfield(field, lo, bits))
}
