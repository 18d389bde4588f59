//! Reads `nat(src=10.0.0.1-10.0.0.9:1024-2048,random)`.

use super::{ParseFlowError, parse_action::split, parse_value};
use crate::action::{Nat, NatPick, NatRange, NatSide};
use std::net::IpAddr;

/// What stands within the parentheses.
pub(super) fn nat(arguments: &str) -> Result<Nat, ParseFlowError> {
    let mut nat = Nat::default();
    for part in split(arguments)? {
        let (key, range) = match part.split_once('=') {
            Some((key, range)) => (key, Some(range)),
            None => (part, None),
        };
        match key {
            "src" => nat.side = Some(NatSide::Src),
            "dst" => nat.side = Some(NatSide::Dst),
            "persistent" => nat.persistent = true,
            "hash" => nat.pick = NatPick::Hash,
            "random" => nat.pick = NatPick::Random,
            _ => return Err(ParseFlowError::value("nat", part)),
        }
        if let Some(range) = range {
            set_range(&mut nat, range)?;
        }
    }
    Ok(nat)
}

fn set_range(nat: &mut Nat, text: &str) -> Result<(), ParseFlowError> {
    let wrong = || ParseFlowError::value("nat", text);
    let (first, rest) = address(text).ok_or_else(wrong)?;
    let (last, rest) = match rest.strip_prefix('-') {
        Some(rest) => address(rest).ok_or_else(wrong)?,
        None => (first, rest),
    };
    nat.addresses = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => NatRange::V4(first, last),
        (IpAddr::V6(first), IpAddr::V6(last)) => NatRange::V6(first, last),
        _ => return Err(wrong()),
    };
    if let Some(ports) = rest.strip_prefix(':') {
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        nat.ports = (parse_value::fitting("nat", first)?, parse_value::fitting("nat", last)?);
    } else if !rest.is_empty() {
        return Err(wrong());
    }
    Ok(())
}

/// The address that a text begins with, perhaps in brackets, and what follows it.
fn address(text: &str) -> Option<(IpAddr, &str)> {
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return Some((address.parse().ok()?, rest));
    }
    let end = text.find('-').unwrap_or(text.len());
    let (head, rest) = text.split_at(end);
    if let Ok(address) = head.parse() {
        return Some((address, rest));
    }
    let (address, _) = head.split_once(':')?;
    Some((address.parse().ok()?, text.get(address.len()..)?))
}
