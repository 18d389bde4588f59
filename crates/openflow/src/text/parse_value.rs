//! Reads values of fields, and subfields.

use super::{ParseFlowError, value::TCP_FLAG_NAMES};
use crate::{
    field::{Field, Format, ones},
    matching::{CtState, from_bytes},
    number::PortNo,
    subfield::Subfield,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A number, decimal or with `0x`.
pub(super) fn number(key: &str, text: &str) -> Result<u128, ParseFlowError> {
    let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u128::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| ParseFlowError::value(key, text))
}

/// A number that fits.
pub(super) fn fitting<T: TryFrom<u128>>(key: &str, text: &str) -> Result<T, ParseFlowError> {
    T::try_from(number(key, text)?).map_err(|_| ParseFlowError::value(key, text))
}

/// A port's number or name.
pub(super) fn port(key: &str, text: &str) -> Result<PortNo, ParseFlowError> {
    match PortNo::from_name(text) {
        Some(port) => Ok(port),
        None => fitting(key, text).map(PortNo),
    }
}

/// A value and perhaps a mask (else all ones), as they stand behind `field=`, of so many bits.
pub(super) fn masked(
    key: &str,
    field: Field,
    bits: u8,
    text: &str,
) -> Result<(u128, u128), ParseFlowError> {
    let wrong = || ParseFlowError::value(key, text);
    if let Some(flags) = signed_flags(field.format(), text) {
        return flags.ok_or_else(wrong);
    }
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (exact(key, field, value)?, Some(mask)),
        None => (exact(key, field, text)?, None),
    };
    let mask = match mask {
        None => ones(bits),
        Some(text) if matches!(field.format(), Format::Ipv4 | Format::Ipv6) => {
            match text.parse::<u8>() {
                Ok(len) if len <= bits => ones(bits) & !ones(bits - len),
                Ok(_) => return Err(wrong()),
                Err(_) => exact(key, field, text)?,
            }
        }
        Some(text) => exact(key, field, text)?,
    };
    if value & !ones(bits) != 0 || mask & !ones(bits) != 0 {
        return Err(wrong());
    }
    Ok((value, mask))
}

/// A value without a mask.
pub(super) fn exact(key: &str, field: Field, text: &str) -> Result<u128, ParseFlowError> {
    let wrong = |_| ParseFlowError::value(key, text);
    match field.format() {
        Format::OfPort => port(key, text).map(|port| port.0.into()),
        Format::Mac => mac(text).ok_or_else(|| ParseFlowError::value(key, text)),
        Format::Ipv4 => {
            text.parse::<Ipv4Addr>().map(|address| address.to_bits().into()).map_err(wrong)
        }
        Format::Ipv6 => text.parse::<Ipv6Addr>().map(Ipv6Addr::to_bits).map_err(wrong),
        Format::CtState | Format::TcpFlags => match named_flags(field.format(), text) {
            Some(flags) => Ok(flags),
            None => number(key, text),
        },
        Format::Hex | Format::Decimal | Format::Port | Format::Frag => number(key, text),
    }
}

/// An Ethernet address.
fn mac(text: &str) -> Option<u128> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then(|| from_bytes(&bytes))
}

fn flag_names(format: Format) -> &'static [&'static str] {
    match format {
        Format::CtState => &CtState::NAMES,
        Format::TcpFlags => &TCP_FLAG_NAMES,
        _ => &[],
    }
}

fn flag(format: Format, name: &str) -> Option<u128> {
    flag_names(format).iter().position(|known| *known == name).map(|bit| 1 << bit)
}

/// `+trk-new`, if it is of that form at all.
fn signed_flags(format: Format, text: &str) -> Option<Option<(u128, u128)>> {
    if flag_names(format).is_empty() || !text.starts_with(['+', '-']) {
        return None;
    }
    let all = text.split_inclusive(['+', '-']).skip(1);
    let signs = text.chars().filter(|c| matches!(c, '+' | '-'));
    let mut flags = (0, 0);
    for (sign, name) in signs.zip(all) {
        let Some(bit) = flag(format, name.trim_end_matches(['+', '-'])) else {
            return Some(None);
        };
        flags.1 |= bit;
        if sign == '+' {
            flags.0 |= bit;
        }
    }
    Some(Some(flags))
}

/// `trk|new`.
fn named_flags(format: Format, text: &str) -> Option<u128> {
    text.split('|').try_fold(0, |all, name| Some(all | flag(format, name)?))
}

/// `NXM_NX_REG5[0..15]`, or a field's name for all of it.
pub(super) fn subfield(text: &str) -> Result<Subfield, ParseFlowError> {
    let (name, range) = match text.split_once('[') {
        Some((name, range)) => (name, range.strip_suffix(']')),
        None => (text, Some("")),
    };
    let field = Field::from_name(name)
        .ok_or_else(|| ParseFlowError::UnknownField { key: name.to_owned() })?;
    let wrong = || ParseFlowError::value(name, text);
    let range = range.ok_or_else(wrong)?;
    if range.is_empty() {
        return Ok(Subfield::whole(field));
    }
    let (lo, hi) = range.split_once("..").unwrap_or((range, range));
    let bit = |text: &str| text.parse::<u8>().map_err(|_| wrong());
    Subfield::checked(field, bit(lo)?, bit(hi)?).ok_or_else(wrong)
}

/// Bytes in hexadecimal.
pub(super) fn hex_bytes(key: &str, text: &str) -> Result<Vec<u8>, ParseFlowError> {
    let wrong = || ParseFlowError::value(key, text);
    if !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    (0..text.len())
        .step_by(2)
        .map(|at| text.get(at..at + 2).and_then(|byte| u8::from_str_radix(byte, 16).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)
}
