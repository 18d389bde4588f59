//! Reads `learn(table=20,…,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])`.

use super::{
    ParseFlowError,
    parse_action::{arrow, split},
    parse_value,
};
use crate::{
    action::{Learn, LearnSpec},
    field::Field,
    number::{Cookie, Priority, TableId},
    subfield::Subfield,
};

/// What stands within the parentheses.
pub(super) fn learn(arguments: &str) -> Result<Learn, ParseFlowError> {
    let mut learn = Learn {
        table: TableId(1),
        priority: Priority::DEFAULT,
        cookie: Cookie(0),
        idle_timeout: 0,
        hard_timeout: 0,
        fin_idle_timeout: 0,
        fin_hard_timeout: 0,
        send_flow_rem: false,
        delete_learned: false,
        limit: 0,
        specs: Vec::new(),
    };
    for part in split(arguments)? {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key {
            "table" => learn.table = TableId(parse_value::fitting(key, value)?),
            "priority" => learn.priority = Priority(parse_value::fitting(key, value)?),
            "cookie" => learn.cookie = Cookie(parse_value::fitting(key, value)?),
            "idle_timeout" => learn.idle_timeout = parse_value::fitting(key, value)?,
            "hard_timeout" => learn.hard_timeout = parse_value::fitting(key, value)?,
            "fin_idle_timeout" => learn.fin_idle_timeout = parse_value::fitting(key, value)?,
            "fin_hard_timeout" => learn.fin_hard_timeout = parse_value::fitting(key, value)?,
            "send_flow_rem" => learn.send_flow_rem = true,
            "delete_learned" => learn.delete_learned = true,
            "limit" => learn.limit = parse_value::fitting(key, value)?,
            _ => learn.specs.push(spec(part)?),
        }
    }
    Ok(learn)
}

fn spec(part: &str) -> Result<LearnSpec, ParseFlowError> {
    if let Some(src) = part.strip_prefix("output:") {
        return Ok(LearnSpec::Output(parse_value::subfield(src)?));
    }
    if let Some(load) = part.strip_prefix("load:") {
        let (src, dst) = arrow("load", load)?;
        let dst = parse_value::subfield(dst)?;
        return match parse_value::number("load", src) {
            Ok(value) if value & !dst.full_value() == 0 => Ok(LearnSpec::LoadValue { dst, value }),
            Ok(_) => Err(ParseFlowError::value("load", load)),
            Err(_) => {
                let src = parse_value::subfield(src)?;
                same_width(part, dst, src)?;
                Ok(LearnSpec::Load { dst, src })
            }
        };
    }
    let Some((dst, src)) = part.split_once('=') else {
        let dst = parse_value::subfield(part)?;
        return Ok(LearnSpec::Match { dst, src: dst });
    };
    let dst = parse_value::subfield(dst)?;
    if src.contains('[') || Field::from_name(src).is_some() {
        let src = parse_value::subfield(src)?;
        same_width(part, dst, src)?;
        return Ok(LearnSpec::Match { dst, src });
    }
    let value = if dst.is_whole() {
        parse_value::exact(part, dst.field(), src)?
    } else {
        parse_value::number(part, src)?
    };
    if value & !dst.full_value() != 0 {
        return Err(ParseFlowError::value(part, src));
    }
    Ok(LearnSpec::MatchValue { dst, value })
}

fn same_width(part: &str, dst: Subfield, src: Subfield) -> Result<(), ParseFlowError> {
    if dst.bits() == src.bits() { Ok(()) } else { Err(ParseFlowError::value("learn", part)) }
}
