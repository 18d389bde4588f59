//! The flow dump: a multipart request and the parts of its reply. OpenFlow 1.4.1 § 7.3.5.2.

use super::{DecodeError, Reader, Write, instruction, oxm};
use crate::{
    action::Action,
    flow::{Flow, FlowFlags, FlowStats},
    matching::Match,
    number::{Cookie, PortNo, Priority, TableId},
};
use std::{sync::Arc, time::Duration};

const FLOW: u16 = 1;
const MORE: u16 = 1;
const ANY_GROUP: u32 = u32::MAX;

/// Appends the body of a request for every flow of every table.
pub(crate) fn encode_request(out: &mut Vec<u8>) {
    out.put_u16(FLOW);
    out.put_u16(0);
    out.put_zeros(4);
    out.put_u8(TableId::ALL.0);
    out.put_zeros(3);
    out.put_u32(PortNo::ANY.0);
    out.put_u32(ANY_GROUP);
    out.put_zeros(4);
    out.put_u64(0);
    out.put_u64(0);
    oxm::encode(out, &Match::new());
}

/// Reads one part of the reply, and whether more follow.
pub(crate) fn decode_reply(body: &[u8]) -> Result<(Vec<FlowStats>, bool), DecodeError> {
    let mut reader = Reader::new("flow dump", body);
    let kind = reader.u16()?;
    if kind != FLOW {
        return Err(DecodeError::Value { what: "multipart type", value: kind.into() });
    }
    let more = reader.u16()? & MORE != 0;
    reader.skip(4)?;
    let mut flows: Vec<FlowStats> = Vec::new();
    while !reader.is_empty() {
        let len = usize::from(reader.u16()?);
        let rest = len.checked_sub(2).ok_or(DecodeError::Length { what: "flow", length: len })?;
        let before = flows.last().map(|before| &before.flow.actions);
        let stats = decode_flow(&mut reader.part("flow", rest)?, before)?;
        flows.push(stats);
    }
    Ok((flows, more))
}

/// `before` is what the flow before it does.
fn decode_flow(
    reader: &mut Reader<'_>,
    before: Option<&Arc<[Action]>>,
) -> Result<FlowStats, DecodeError> {
    let table = TableId(reader.u8()?);
    reader.skip(1)?;
    let (seconds, nanoseconds) = (reader.u32()?, reader.u32()?);
    let priority = Priority(reader.u16()?);
    let (idle_timeout, hard_timeout) = (reader.u16()?, reader.u16()?);
    let flags = FlowFlags(reader.u16()?);
    reader.skip(4)?; // importance, padding
    let cookie = Cookie(reader.u64()?);
    let (packets, bytes) = (reader.u64()?, reader.u64()?);
    let matches = oxm::decode(reader)?;
    let actions = instruction::decode(reader)?;
    // Neighbours mostly do the same, and it is kept once.
    let same = before.filter(|before| before[..] == actions[..]);
    let actions = same.map_or_else(|| actions.into(), Arc::clone);
    Ok(FlowStats {
        flow: Arc::new(Flow { table, priority, cookie, matches, actions }),
        packets,
        bytes,
        duration: Duration::from_secs(seconds.into()) + Duration::from_nanos(nanoseconds.into()),
        idle_timeout,
        hard_timeout,
        flags,
    })
}
