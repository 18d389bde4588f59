//! Reads actions.

use super::{ParseFlowError, parse_learn, parse_nat, parse_value};
use crate::{
    action::{Action, Controller, Ct, Zone, settable},
    field::{Field, Format},
    number::{PortNo, TableId},
    subfield::Subfield,
};
use std::str::FromStr;

/// A list of actions; `drop` is none.
pub(super) fn list(text: &str) -> Result<Vec<Action>, ParseFlowError> {
    if text.trim().is_empty() || text.trim() == "drop" {
        return Ok(Vec::new());
    }
    split(text)?.into_iter().map(action).collect()
}

/// Parts between commas that are not within parentheses.
pub(super) fn split(text: &str) -> Result<Vec<&str>, ParseFlowError> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or_else(|| ParseFlowError::Parentheses { text: text.to_owned() })?;
            }
            ',' if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    if depth != 0 {
        return Err(ParseFlowError::Parentheses { text: text.to_owned() });
    }
    parts.push(text.get(start..).unwrap_or_default().trim());
    parts.retain(|part| !part.is_empty());
    Ok(parts)
}

impl FromStr for Action {
    type Err = ParseFlowError;

    fn from_str(text: &str) -> Result<Self, ParseFlowError> {
        action(text)
    }
}

fn action(text: &str) -> Result<Action, ParseFlowError> {
    let unknown = || ParseFlowError::UnknownAction { text: text.to_owned() };
    if let Some((name, arguments)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        return with_arguments(name, arguments)?.ok_or_else(unknown);
    }
    if let Some((name, argument)) = text.split_once(':') {
        return with_argument(name, argument)?.ok_or_else(unknown);
    }
    Ok(match text {
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "ct_clear" => Action::CtClear,
        "ct" => Ct { commit: false, ..Ct::commit(0) }.into(),
        "nat" => Action::Nat(Box::default()),
        "pop_queue" => Action::PopQueue,
        "dec_ttl" => Action::DecTtl,
        word => match parse_value::port("output", word) {
            Ok(PortNo::CONTROLLER) => Action::Controller(Controller::default()),
            Ok(port) => Action::Output(port),
            Err(_) => return Err(unknown()),
        },
    })
}

/// `name:argument`.
fn with_argument(name: &str, argument: &str) -> Result<Option<Action>, ParseFlowError> {
    Ok(Some(match name {
        "output" if argument.contains('[') => Action::OutputField(parse_value::subfield(argument)?),
        "output" => match parse_value::port(name, argument)? {
            PortNo::CONTROLLER => Action::Controller(Controller::default()),
            port => Action::Output(port),
        },
        "CONTROLLER" | "controller" => {
            let max_len = parse_value::fitting(name, argument)?;
            Action::Controller(Controller { max_len, ..Controller::default() })
        }
        "group" => Action::Group(parse_value::fitting(name, argument)?),
        "goto_table" => Action::GotoTable(TableId(parse_value::fitting(name, argument)?)),
        "meter" => Action::Meter(parse_value::fitting(name, argument)?),
        "push_vlan" => Action::PushVlan(parse_value::fitting(name, argument)?),
        "set_queue" => Action::SetQueue(parse_value::fitting(name, argument)?),
        "set_tunnel" => {
            Action::set(Field::TUN_ID, parse_value::fitting::<u64>(name, argument)?.into())
        }
        "mod_dl_src" => set_field(&format!("{argument}->eth_src"))?,
        "mod_dl_dst" => set_field(&format!("{argument}->eth_dst"))?,
        "set_field" => set_field(argument)?,
        "load" => load(argument)?,
        "move" => {
            let (src, dst) = arrow(name, argument)?;
            let (src, dst) = (parse_value::subfield(src)?, parse_value::subfield(dst)?);
            if src.bits() != dst.bits() {
                return Err(ParseFlowError::value(name, argument));
            }
            Action::Move { src, dst }
        }
        "write_metadata" => {
            let (value, mask) =
                argument.split_once('/').unwrap_or((argument, "0xffffffffffffffff"));
            let (value, mask) =
                (parse_value::fitting(name, value)?, parse_value::fitting(name, mask)?);
            Action::WriteMetadata { value, mask }
        }
        "note" => {
            let bytes = argument.split('.').map(|byte| u8::from_str_radix(byte, 16));
            let bytes: Result<Vec<u8>, _> = bytes.collect();
            Action::note(&bytes.map_err(|_| ParseFlowError::value(name, argument))?)
        }
        "resubmit" => return Ok(None),
        "action" => Action::Foreign(parse_value::hex_bytes(name, argument)?),
        "instruction" => Action::ForeignInstruction(parse_value::hex_bytes(name, argument)?),
        _ => return Ok(None),
    }))
}

/// `name(arguments)`.
fn with_arguments(name: &str, arguments: &str) -> Result<Option<Action>, ParseFlowError> {
    let wrong = || ParseFlowError::value(name, arguments);
    Ok(Some(match name {
        "resubmit" => {
            let table = arguments.strip_prefix(',').ok_or_else(wrong)?;
            Action::Resubmit(TableId(parse_value::fitting(name, table)?))
        }
        "conjunction" => {
            let (id, clause) = arguments.split_once(',').ok_or_else(wrong)?;
            let (clause, clauses) = clause.split_once('/').ok_or_else(wrong)?;
            Action::Conjunction {
                id: parse_value::fitting(name, id.trim())?,
                clause: parse_value::fitting(name, clause.trim())?,
                clauses: parse_value::fitting(name, clauses.trim())?,
            }
        }
        "ct" => ct(arguments)?.into(),
        "nat" => Action::Nat(Box::new(parse_nat::nat(arguments)?)),
        "learn" => Action::Learn(Box::new(parse_learn::learn(arguments)?)),
        "controller" => Action::Controller(controller(arguments)?),
        "dec_ttl" if arguments == "0" || arguments.is_empty() => Action::DecTtl,
        _ => return Ok(None),
    }))
}

/// `0x1->NXM_NX_REG5[0..15]`.
pub(super) fn load(argument: &str) -> Result<Action, ParseFlowError> {
    let (value, dst) = arrow("load", argument)?;
    let dst = parse_value::subfield(dst)?;
    let value = parse_value::number("load", value)?;
    if value & !dst.full_value() != 0 {
        return Err(ParseFlowError::value("load", argument));
    }
    Ok(Action::SetField { dst, value })
}

/// `1.2.3.4->tun_dst`, `0x1/0xff->reg5`.
fn set_field(argument: &str) -> Result<Action, ParseFlowError> {
    let wrong = || ParseFlowError::value("set_field", argument);
    let (text, name) = arrow("set_field", argument)?;
    let field = Field::from_name(name)
        .ok_or_else(|| ParseFlowError::UnknownField { key: name.to_owned() })?;
    let whole = Subfield::whole(field);
    let bits = if settable(whole) == field.full_mask() { field.match_bits() } else { field.bits() };
    let (value, mask) = parse_value::masked(name, field, bits, text)?;
    if mask == settable(whole) {
        return Ok(Action::SetField { dst: whole, value });
    }
    let lo = u8::try_from(mask.trailing_zeros()).map_err(|_| wrong())?;
    let hi = u8::try_from(127 - mask.leading_zeros().min(127)).map_err(|_| wrong())?;
    match Subfield::checked(field, lo, hi) {
        Some(dst) if dst.mask() == mask && !matches!(field.format(), Format::CtState) => {
            Ok(Action::SetField { dst, value: (value & mask) >> lo })
        }
        _ => Err(wrong()),
    }
}

pub(super) fn arrow<'a>(key: &str, text: &'a str) -> Result<(&'a str, &'a str), ParseFlowError> {
    text.split_once("->").ok_or_else(|| ParseFlowError::value(key, text))
}

fn ct(arguments: &str) -> Result<Ct, ParseFlowError> {
    let mut ct = Ct { commit: false, ..Ct::commit(0) };
    let mut nat = None;
    for part in split(arguments)? {
        if let Some(exec) = part.strip_prefix("exec(").and_then(|text| text.strip_suffix(')')) {
            ct.exec = list(exec)?;
        } else if part == "nat" || part.starts_with("nat(") {
            nat = Some(action(part)?);
        } else {
            match part.split_once('=') {
                None if part == "commit" => ct.commit = true,
                None if part == "force" => ct.force = true,
                Some(("table", table)) => {
                    ct.table = Some(TableId(parse_value::fitting("table", table)?));
                }
                Some(("zone", zone)) => {
                    ct.zone = match parse_value::fitting("zone", zone) {
                        Ok(zone) => Zone::Immediate(zone),
                        Err(_) => Zone::Field(parse_value::subfield(zone)?),
                    };
                }
                Some(("alg", "ftp")) => ct.alg = 21,
                Some(("alg", "tftp")) => ct.alg = 69,
                Some(("alg", port)) => ct.alg = parse_value::fitting("alg", port)?,
                _ => return Err(ParseFlowError::value("ct", part)),
            }
        }
    }
    ct.exec.splice(0..0, nat);
    Ok(ct)
}

fn controller(arguments: &str) -> Result<Controller, ParseFlowError> {
    let mut controller = Controller::default();
    for part in split(arguments)? {
        match part.split_once('=') {
            Some(("max_len", len)) => controller.max_len = parse_value::fitting("max_len", len)?,
            Some(("id", id)) => controller.id = parse_value::fitting("id", id)?,
            Some(("reason", "action")) => controller.reason = Controller::ACTION,
            Some(("reason", "no_match")) => controller.reason = 0,
            Some(("reason", "invalid_ttl")) => controller.reason = 2,
            Some(("reason", other)) => {
                controller.reason = parse_value::fitting("reason", other)?;
            }
            _ => return Err(ParseFlowError::value("controller", part)),
        }
    }
    Ok(controller)
}
