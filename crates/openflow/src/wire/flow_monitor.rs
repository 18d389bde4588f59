//! Flow monitors: the request, and what the switch says of changes. OpenFlow 1.4.1 § 7.3.5.16.
//!
//! Open vSwitch has them in sessions of OpenFlow 1.4 from 3.0 on; before, it had Nicira's form of them
//! in sessions of OpenFlow 1.0 alone. Updates are multipart replies with transaction number 0.

use super::{DecodeError, Reader, Write, instruction, oxm};
use crate::{
    flow::Flow,
    matching::Match,
    monitor::{FlowUpdate, RemovedReason},
    number::{Cookie, PortNo, Priority, TableId},
};
use std::{collections::BTreeSet, sync::Arc};

/// The multipart type.
pub(crate) const FLOW_MONITOR: u16 = 16;

const ANY_GROUP: u32 = u32::MAX;
const COMMAND_ADD: u8 = 0;

// What is told, and how.
const ADDED: u16 = 1 << 1;
const REMOVED: u16 = 1 << 2;
const MODIFIED: u16 = 1 << 3;
const INSTRUCTIONS: u16 = 1 << 4;

/// Length and event.
const HEADER_LEN: usize = 4;

/// Appends the body of a request for a monitor of each of these tables.
///
/// Without "initial": a dump behind it tells what there is. Without "no abbreviations" and "only
/// own": what this connection changes is told as abbreviations, what others change in full.
pub(crate) fn encode_request(out: &mut Vec<u8>, tables: &BTreeSet<TableId>) {
    out.put_u16(FLOW_MONITOR);
    out.put_u16(0);
    out.put_zeros(4);
    for table in tables {
        out.put_u32(table.0.into()); // the monitor's own number
        out.put_u32(PortNo::ANY.0);
        out.put_u32(ANY_GROUP);
        out.put_u16(ADDED | REMOVED | MODIFIED | INSTRUCTIONS);
        out.put_u8(table.0);
        out.put_u8(COMMAND_ADD);
        oxm::encode(out, &Match::new());
    }
}

/// Whether a multipart reply is of monitors.
pub(crate) fn is_reply(body: &[u8]) -> bool {
    Reader::new("multipart reply", body).u16() == Ok(FLOW_MONITOR)
}

/// Reads a reply: nothing in it where it takes note of a request.
pub(crate) fn decode_reply(body: &[u8]) -> Result<Vec<FlowUpdate>, DecodeError> {
    let mut reader = Reader::new("flow updates", body);
    let kind = reader.u16()?;
    if kind != FLOW_MONITOR {
        return Err(DecodeError::Value { what: "multipart type", value: kind.into() });
    }
    reader.skip(6)?; // flags, padding
    let mut updates = Vec::new();
    while !reader.is_empty() {
        let length = usize::from(reader.u16()?);
        let event = reader.u16()?;
        let rest = length
            .checked_sub(HEADER_LEN)
            .ok_or(DecodeError::Length { what: "flow update", length })?;
        let mut update = reader.part("flow update", rest)?;
        updates.push(decode_update(event, &mut update)?);
        update.finish()?;
    }
    Ok(updates)
}

fn decode_update(event: u16, reader: &mut Reader<'_>) -> Result<FlowUpdate, DecodeError> {
    Ok(match event {
        // "Initial" is not asked for; it would say the same.
        0 | 1 => {
            let (flow, _, idle_timeout, hard_timeout) = decode_flow(reader)?;
            FlowUpdate::Added { flow, idle_timeout, hard_timeout }
        }
        2 => {
            let (flow, reason, ..) = decode_flow(reader)?;
            FlowUpdate::Removed { flow, reason }
        }
        3 => {
            let (flow, _, idle_timeout, hard_timeout) = decode_flow(reader)?;
            FlowUpdate::Modified { flow, idle_timeout, hard_timeout }
        }
        4 => FlowUpdate::Own { xid: reader.u32()? },
        5 | 6 => {
            reader.skip(4)?;
            if event == 5 { FlowUpdate::Paused } else { FlowUpdate::Missed }
        }
        value => return Err(DecodeError::Value { what: "flow update event", value: value.into() }),
    })
}

/// The flow, why it has gone, and its timeouts.
fn decode_flow(
    reader: &mut Reader<'_>,
) -> Result<(Arc<Flow>, RemovedReason, u16, u16), DecodeError> {
    let table = TableId(reader.u8()?);
    let reason = RemovedReason(reader.u8()?);
    let (idle_timeout, hard_timeout) = (reader.u16()?, reader.u16()?);
    let priority = Priority(reader.u16()?);
    reader.skip(4)?;
    let cookie = Cookie(reader.u64()?);
    let matches = oxm::decode(reader)?;
    let actions = instruction::decode(reader)?.into();
    let flow = Arc::new(Flow { table, priority, cookie, matches, actions });
    Ok((flow, reason, idle_timeout, hard_timeout))
}
