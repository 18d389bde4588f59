//! Actions, standard and Nicira's. OpenFlow 1.4.1 § 7.2.5; Nicira's as in Open vSwitch's headers.

use super::{DecodeError, Reader, Write, learn, oxm};
use crate::{
    action::{
        Action, Controller, Ct, Nat, NatPick, NatRange, NatSide, Zone, is_set_field, note_len,
        settable,
    },
    field::Field,
    number::{PortNo, TableId},
    subfield::Subfield,
};

pub(super) const NICIRA: u32 = 0x0000_2320;
const EXPERIMENTER: u16 = 0xffff;
const IN_PORT_16: u16 = 0xfff8;
const NO_TABLE: u8 = 0xff;

/// Types of standard actions.
mod standard {
    pub(super) const OUTPUT: u16 = 0;
    pub(super) const PUSH_VLAN: u16 = 17;
    pub(super) const POP_VLAN: u16 = 18;
    pub(super) const SET_QUEUE: u16 = 21;
    pub(super) const GROUP: u16 = 22;
    pub(super) const SET_TTL: u16 = 23;
    pub(super) const DEC_TTL: u16 = 24;
    pub(super) const SET_FIELD: u16 = 25;
}

/// Subtypes of Nicira's actions.
pub(super) mod nicira {
    pub(crate) const POP_QUEUE: u16 = 5;
    pub(crate) const REG_MOVE: u16 = 6;
    pub(crate) const REG_LOAD: u16 = 7;
    pub(crate) const NOTE: u16 = 8;
    pub(crate) const RESUBMIT_TABLE: u16 = 14;
    pub(crate) const OUTPUT_REG: u16 = 15;
    pub(crate) const LEARN: u16 = 16;
    pub(crate) const CONTROLLER: u16 = 20;
    pub(crate) const REG_LOAD2: u16 = 33;
    pub(crate) const CONJUNCTION: u16 = 34;
    pub(crate) const CT: u16 = 35;
    pub(crate) const NAT: u16 = 36;
    pub(crate) const CT_CLEAR: u16 = 43;
    pub(crate) const LEARN2: u16 = 45;
}

const CT_COMMIT: u16 = 1;
const CT_FORCE: u16 = 1 << 1;

const NAT_SRC: u16 = 1;
const NAT_DST: u16 = 1 << 1;
const NAT_PERSISTENT: u16 = 1 << 2;
const NAT_HASH: u16 = 1 << 3;
const NAT_RANDOM: u16 = 1 << 4;

const RANGE_V4_MIN: u16 = 1;
const RANGE_V4_MAX: u16 = 1 << 1;
const RANGE_V6_MIN: u16 = 1 << 2;
const RANGE_V6_MAX: u16 = 1 << 3;
const RANGE_PORT_MIN: u16 = 1 << 4;
const RANGE_PORT_MAX: u16 = 1 << 5;

/// Appends an action. Those that are instructions are left out.
pub(crate) fn encode(out: &mut Vec<u8>, action: &Action) {
    match action {
        Action::Output(port) => {
            output(out, *port, if *port == PortNo::CONTROLLER { u16::MAX } else { 0 })
        }
        Action::Controller(Controller { max_len, id: 0, reason: Controller::ACTION }) => {
            output(out, PortNo::CONTROLLER, *max_len);
        }
        Action::Controller(controller) => extension(out, nicira::CONTROLLER, |out| {
            out.put_u16(controller.max_len);
            out.put_u16(controller.id);
            out.put_u8(controller.reason);
            out.put_u8(0);
        }),
        Action::OutputField(src) => extension(out, nicira::OUTPUT_REG, |out| {
            out.put_u16(offset_and_bits(*src));
            oxm::encode_subfield_header(out, *src);
            out.put_u16(u16::MAX);
            out.put_zeros(6);
        }),
        Action::Group(group) => plain(out, standard::GROUP, |out| out.put_u32(*group)),
        Action::SetQueue(queue) => plain(out, standard::SET_QUEUE, |out| out.put_u32(*queue)),
        Action::PushVlan(tag) => plain(out, standard::PUSH_VLAN, |out| out.put_u16(*tag)),
        Action::PopVlan => plain(out, standard::POP_VLAN, |_| {}),
        Action::DecTtl => plain(out, standard::DEC_TTL, |_| {}),
        Action::Resubmit(table) => extension(out, nicira::RESUBMIT_TABLE, |out| {
            out.put_u16(IN_PORT_16);
            out.put_u8(table.0);
            out.put_zeros(3);
        }),
        Action::SetField { dst, value } => set_field(out, *dst, *value),
        Action::Move { src, dst } => extension(out, nicira::REG_MOVE, |out| {
            out.put_u16(src.bits().into());
            out.put_u16(src.lo().into());
            out.put_u16(dst.lo().into());
            oxm::encode_subfield_header(out, *src);
            oxm::encode_subfield_header(out, *dst);
        }),
        Action::Ct(ct) => extension(out, nicira::CT, |out| encode_ct(out, ct)),
        Action::Nat(nat) => extension(out, nicira::NAT, |out| encode_nat(out, nat)),
        Action::CtClear => extension(out, nicira::CT_CLEAR, |_| {}),
        Action::PopQueue => extension(out, nicira::POP_QUEUE, |_| {}),
        Action::Conjunction { id, clause, clauses } => {
            extension(out, nicira::CONJUNCTION, |out| {
                out.put_u8(clause.wrapping_sub(1));
                out.put_u8(*clauses);
                out.put_u32(*id);
            });
        }
        Action::Learn(learn) => {
            let subtype = if learn.limit == 0 { nicira::LEARN } else { nicira::LEARN2 };
            extension(out, subtype, |out| learn::encode(out, learn));
        }
        Action::Note(note) => extension(out, nicira::NOTE, |out| {
            out.extend_from_slice(note);
            out.put_zeros(note_len(note.len()) - note.len());
        }),
        Action::Foreign(bytes) => out.extend_from_slice(bytes),
        Action::GotoTable(_)
        | Action::Meter(_)
        | Action::WriteMetadata { .. }
        | Action::ForeignInstruction(_) => {}
    }
}

fn plain(out: &mut Vec<u8>, kind: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u16(kind);
    out.put_u16(0);
    body(out);
    out.pad_from(start);
    out.write_len(start);
}

fn extension(out: &mut Vec<u8>, subtype: u16, body: impl FnOnce(&mut Vec<u8>)) {
    plain(out, EXPERIMENTER, |out| {
        out.put_u32(NICIRA);
        out.put_u16(subtype);
        body(out);
    });
}

fn output(out: &mut Vec<u8>, port: PortNo, max_len: u16) {
    plain(out, standard::OUTPUT, |out| {
        out.put_u32(port.0);
        out.put_u16(max_len);
        out.put_zeros(6);
    });
}

fn set_field(out: &mut Vec<u8>, dst: Subfield, value: u128) {
    let value = value & settable(dst);
    if is_set_field(dst) {
        plain(out, standard::SET_FIELD, |out| oxm::encode_term(out, dst.field(), value, None));
    } else if let (Ok(value), true) = (u64::try_from(value), dst.bits() <= 64) {
        extension(out, nicira::REG_LOAD, |out| {
            out.put_u16(offset_and_bits(dst));
            oxm::encode_subfield_header(out, dst);
            out.put_u64(value);
        });
    } else {
        extension(out, nicira::REG_LOAD2, |out| {
            oxm::encode_term(out, dst.field(), value << dst.lo(), Some(dst.mask()));
        });
    }
}

fn encode_ct(out: &mut Vec<u8>, ct: &Ct) {
    let commit = if ct.commit { CT_COMMIT } else { 0 };
    let force = if ct.force { CT_FORCE } else { 0 };
    out.put_u16(commit | force);
    match ct.zone {
        Zone::Immediate(zone) => {
            out.put_u32(0);
            out.put_u16(zone);
        }
        Zone::Field(subfield) => {
            oxm::encode_subfield_header(out, subfield);
            out.put_u16(offset_and_bits(subfield));
        }
    }
    out.put_u8(ct.table.map_or(NO_TABLE, |table| table.0));
    out.put_zeros(3);
    out.put_u16(ct.alg);
    for action in &ct.exec {
        encode(out, action);
    }
}

fn encode_nat(out: &mut Vec<u8>, nat: &Nat) {
    let side = match nat.side {
        None => 0,
        Some(NatSide::Src) => NAT_SRC,
        Some(NatSide::Dst) => NAT_DST,
    };
    let pick = match nat.pick {
        NatPick::Any => 0,
        NatPick::Hash => NAT_HASH,
        NatPick::Random => NAT_RANDOM,
    };
    out.put_zeros(2);
    out.put_u16(side | pick | if nat.persistent { NAT_PERSISTENT } else { 0 });
    let present_at = out.len();
    out.put_u16(0);
    let mut present = 0;
    match nat.addresses {
        NatRange::None => {}
        NatRange::V4(first, last) => {
            present |= RANGE_V4_MIN;
            out.put_u32(first.to_bits());
            if last != first {
                present |= RANGE_V4_MAX;
                out.put_u32(last.to_bits());
            }
        }
        NatRange::V6(first, last) => {
            present |= RANGE_V6_MIN;
            out.extend_from_slice(&first.octets());
            if last != first {
                present |= RANGE_V6_MAX;
                out.extend_from_slice(&last.octets());
            }
        }
    }
    if nat.ports.0 != 0 {
        present |= RANGE_PORT_MIN;
        out.put_u16(nat.ports.0);
        if nat.ports.1 != nat.ports.0 && nat.ports.1 != 0 {
            present |= RANGE_PORT_MAX;
            out.put_u16(nat.ports.1);
        }
    }
    if let Some(place) = out.get_mut(present_at..present_at + 2) {
        place.copy_from_slice(&u16::to_be_bytes(present));
    }
}

/// Reads actions until the bytes end.
pub(crate) fn decode_list(reader: &mut Reader<'_>) -> Result<Vec<Action>, DecodeError> {
    let mut actions = Vec::new();
    while !reader.is_empty() {
        actions.push(decode(reader)?);
    }
    Ok(actions)
}

fn decode(reader: &mut Reader<'_>) -> Result<Action, DecodeError> {
    let whole = reader.rest();
    let kind = reader.u16()?;
    let len = usize::from(reader.u16()?);
    if len < 8 || !len.is_multiple_of(8) {
        return Err(DecodeError::Length { what: "action", length: len });
    }
    let mut body = reader.part("action", len - 4)?;
    let known = if kind == EXPERIMENTER {
        if body.u32()? == NICIRA {
            let subtype = body.u16()?;
            decode_nicira(subtype, &mut body)?
        } else {
            None
        }
    } else {
        decode_standard(kind, &mut body)?
    };
    let foreign = || Action::Foreign(whole.get(..len).unwrap_or_default().to_vec());
    Ok(known.unwrap_or_else(foreign))
}

fn decode_standard(kind: u16, body: &mut Reader<'_>) -> Result<Option<Action>, DecodeError> {
    Ok(Some(match kind {
        standard::OUTPUT => match (PortNo(body.u32()?), body.u16()?) {
            (PortNo::CONTROLLER, max_len) => {
                Action::Controller(Controller { max_len, ..Controller::default() })
            }
            (port, _) => Action::Output(port),
        },
        standard::PUSH_VLAN => Action::PushVlan(body.u16()?),
        standard::POP_VLAN => Action::PopVlan,
        standard::SET_QUEUE => Action::SetQueue(body.u32()?),
        standard::GROUP => Action::Group(body.u32()?),
        standard::SET_TTL => Action::set(Field::IP_TTL, body.u8()?.into()),
        standard::DEC_TTL => Action::DecTtl,
        standard::SET_FIELD => match oxm::decode_single(body)? {
            Some((field, value, _)) => {
                let dst = Subfield::whole(field);
                Action::SetField { dst, value: value & settable(dst) }
            }
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

fn decode_nicira(subtype: u16, body: &mut Reader<'_>) -> Result<Option<Action>, DecodeError> {
    Ok(Some(match subtype {
        nicira::RESUBMIT_TABLE => match (body.u16()?, body.u8()?) {
            (IN_PORT_16, table) => Action::Resubmit(TableId(table)),
            _ => return Ok(None),
        },
        nicira::OUTPUT_REG => {
            let range = body.u16()?;
            match decode_subfield(body, range)? {
                Some(src) => Action::OutputField(src),
                None => return Ok(None),
            }
        }
        nicira::REG_LOAD => {
            let range = body.u16()?;
            let dst = decode_subfield(body, range)?;
            let value = body.u64()?;
            match dst {
                Some(dst) => Action::SetField { dst, value: u128::from(value) & settable(dst) },
                None => return Ok(None),
            }
        }
        nicira::REG_LOAD2 => match oxm::decode_single(body)?.and_then(masked_set_field) {
            Some(action) => action,
            None => return Ok(None),
        },
        nicira::REG_MOVE => {
            let bits = body.u16()?;
            let (src_lo, dst_lo) = (body.u16()?, body.u16()?);
            let src = oxm::decode_subfield_field(body)?;
            let dst = oxm::decode_subfield_field(body)?;
            match (subfield(src, src_lo, bits), subfield(dst, dst_lo, bits)) {
                (Some(src), Some(dst)) => Action::Move { src, dst },
                _ => return Ok(None),
            }
        }
        nicira::CONTROLLER => {
            let (max_len, id, reason) = (body.u16()?, body.u16()?, body.u8()?);
            Action::Controller(Controller { max_len, id, reason })
        }
        nicira::CT => match decode_ct(body)? {
            Some(ct) => ct.into(),
            None => return Ok(None),
        },
        nicira::NAT => match decode_nat(body)? {
            Some(nat) => Action::Nat(Box::new(nat)),
            None => return Ok(None),
        },
        nicira::CT_CLEAR => Action::CtClear,
        nicira::POP_QUEUE => Action::PopQueue,
        nicira::CONJUNCTION => {
            let (clause, clauses, id) = (body.u8()?, body.u8()?, body.u32()?);
            Action::Conjunction { id, clause: clause.wrapping_add(1), clauses }
        }
        nicira::LEARN | nicira::LEARN2 => match learn::decode(body, subtype == nicira::LEARN2)? {
            Some(learn) => Action::Learn(Box::new(learn)),
            None => return Ok(None),
        },
        nicira::NOTE => Action::Note(body.rest().to_vec()),
        _ => return Ok(None),
    }))
}

/// A write under a mask, where the mask is one run of bits.
fn masked_set_field((field, value, mask): (Field, u128, u128)) -> Option<Action> {
    let mask = mask & field.full_mask();
    let lo = u8::try_from(mask.trailing_zeros()).ok()?;
    let bits = u8::try_from(mask.count_ones()).ok()?;
    let dst = if mask == field.full_mask() {
        Subfield::whole(field)
    } else {
        Subfield::checked(field, lo, lo.checked_add(bits)?.checked_sub(1)?)?
    };
    let value = value & mask;
    let run = dst.is_whole() || dst.mask() == mask;
    run.then(|| Action::SetField { dst, value: value >> dst.lo() & settable(dst) })
}

fn decode_ct(body: &mut Reader<'_>) -> Result<Option<Ct>, DecodeError> {
    let flags = body.u16()?;
    let mut zone_field = body.part("ct zone", 4)?;
    let zone = body.u16()?;
    let table = body.u8()?;
    body.skip(3)?;
    let alg = body.u16()?;
    let zone = if zone_field.rest() == [0; 4] {
        Zone::Immediate(zone)
    } else {
        match decode_subfield(&mut zone_field, zone)? {
            Some(subfield) => Zone::Field(subfield),
            None => return Ok(None),
        }
    };
    if flags & !(CT_COMMIT | CT_FORCE) != 0 {
        return Ok(None);
    }
    Ok(Some(Ct {
        commit: flags & CT_COMMIT != 0,
        force: flags & CT_FORCE != 0,
        zone,
        table: (table != NO_TABLE).then_some(TableId(table)),
        exec: decode_list(body)?,
        alg,
    }))
}

fn decode_nat(body: &mut Reader<'_>) -> Result<Option<Nat>, DecodeError> {
    body.skip(2)?;
    let flags = body.u16()?;
    let present = body.u16()?;
    let has = |bit| present & bit != 0;
    let side = match flags & (NAT_SRC | NAT_DST) {
        0 => None,
        NAT_SRC => Some(NatSide::Src),
        NAT_DST => Some(NatSide::Dst),
        _ => return Ok(None),
    };
    let pick = match flags & (NAT_HASH | NAT_RANDOM) {
        0 => NatPick::Any,
        NAT_HASH => NatPick::Hash,
        NAT_RANDOM => NatPick::Random,
        _ => return Ok(None),
    };
    let addresses = if has(RANGE_V4_MIN) {
        let first = body.u32()?;
        let last = if has(RANGE_V4_MAX) { body.u32()? } else { first };
        NatRange::V4(first.into(), last.into())
    } else if has(RANGE_V6_MIN) {
        let first = body.array::<16>()?;
        let last = if has(RANGE_V6_MAX) { body.array::<16>()? } else { first };
        NatRange::V6(first.into(), last.into())
    } else if has(RANGE_V4_MAX | RANGE_V6_MAX) {
        return Ok(None);
    } else {
        NatRange::None
    };
    let first = if has(RANGE_PORT_MIN) { body.u16()? } else { 0 };
    let last = if has(RANGE_PORT_MAX) { body.u16()? } else { first };
    let persistent = flags & NAT_PERSISTENT != 0;
    Ok(Some(Nat { side, addresses, ports: (first, last), persistent, pick }))
}

fn offset_and_bits(subfield: Subfield) -> u16 {
    u16::from(subfield.lo()) << 6 | u16::from(subfield.bits() - 1)
}

/// Reads the header of a subfield whose range was read before it.
fn decode_subfield(reader: &mut Reader<'_>, range: u16) -> Result<Option<Subfield>, DecodeError> {
    let field = oxm::decode_subfield_field(reader)?;
    Ok(subfield(field, range >> 6, (range & 0x3f) + 1))
}

pub(super) fn subfield(field: Option<Field>, lo: u16, bits: u16) -> Option<Subfield> {
    let hi = lo.checked_add(bits)?.checked_sub(1)?;
    Subfield::checked(field?, u8::try_from(lo).ok()?, u8::try_from(hi).ok()?)
}
