//! Instructions, and how a list of actions is split into them. OpenFlow 1.4.1 § 7.2.4.
//!
//! A list goes out as at most one of each: meter, actions, metadata, table; it comes back in that
//! order.

use super::{DecodeError, Reader, Write, action};
use crate::{action::Action, number::TableId};

const GOTO_TABLE: u16 = 1;
const WRITE_METADATA: u16 = 2;
const APPLY_ACTIONS: u16 = 4;
const METER: u16 = 6;

/// Appends the instructions that a list of actions is.
pub(crate) fn encode(out: &mut Vec<u8>, actions: &[Action]) {
    for action in actions {
        if let Action::Meter(meter) = action {
            instruction(out, METER, |out| out.put_u32(*meter));
        }
    }
    if !actions.iter().all(is_instruction) {
        instruction(out, APPLY_ACTIONS, |out| {
            out.put_zeros(4);
            actions.iter().for_each(|action| action::encode(out, action));
        });
    }
    for action in actions {
        if let Action::ForeignInstruction(bytes) = action {
            out.extend_from_slice(bytes);
        }
    }
    for action in actions {
        if let Action::WriteMetadata { value, mask } = action {
            instruction(out, WRITE_METADATA, |out| {
                out.put_zeros(4);
                out.put_u64(*value);
                out.put_u64(*mask);
            });
        }
    }
    for action in actions {
        if let Action::GotoTable(table) = action {
            instruction(out, GOTO_TABLE, |out| {
                out.put_u8(table.0);
                out.put_zeros(3);
            });
        }
    }
}

fn is_instruction(action: &Action) -> bool {
    matches!(
        action,
        Action::Meter(_)
            | Action::ForeignInstruction(_)
            | Action::WriteMetadata { .. }
            | Action::GotoTable(_)
    )
}

fn instruction(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u16(kind);
    out.put_u16(0);
    body(out);
    out.write_len(start);
}

/// Reads instructions until the bytes end.
pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    let mut meter = None;
    let mut actions = Vec::new();
    let mut foreign = Vec::new();
    let mut metadata = None;
    let mut table = None;
    while !reader.is_empty() {
        let whole = reader.rest();
        let kind = reader.u16()?;
        let len = usize::from(reader.u16()?);
        if len < 8 || !len.is_multiple_of(8) {
            return Err(DecodeError::Length { what: "instruction", length: len });
        }
        let mut body = reader.part("instruction", len - 4)?;
        match kind {
            METER => meter = Some(Action::Meter(body.u32()?)),
            APPLY_ACTIONS => {
                body.skip(4)?;
                actions = action::decode_list(&mut body)?;
            }
            WRITE_METADATA => {
                body.skip(4)?;
                let (value, mask) = (body.u64()?, body.u64()?);
                metadata = Some(Action::WriteMetadata { value, mask });
            }
            GOTO_TABLE => table = Some(Action::GotoTable(TableId(body.u8()?))),
            _ => {
                let bytes = whole.get(..len).unwrap_or_default();
                foreign.push(Action::ForeignInstruction(bytes.to_vec()));
            }
        }
    }
    if meter.is_none() && foreign.is_empty() && metadata.is_none() && table.is_none() {
        return Ok(actions);
    }
    let all = meter.into_iter().chain(actions).chain(foreign).chain(metadata).chain(table);
    Ok(all.collect())
}
