//! Values of fields in ovs-ofctl's notation.

use crate::{
    field::{Field, Format},
    matching::CtState,
    number::PortNo,
};
use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

pub(super) const TCP_FLAG_NAMES: [&str; 12] =
    ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns", "[9]", "[10]", "[11]"];

/// An exact value of a field.
pub(crate) fn exact(f: &mut fmt::Formatter<'_>, format: Format, value: u128) -> fmt::Result {
    match format {
        Format::Hex => hex(f, value),
        Format::Decimal | Format::Port | Format::Frag => write!(f, "{value}"),
        Format::OfPort => match u32::try_from(value) {
            Ok(port) => write!(f, "{}", PortNo(port)),
            Err(_) => hex(f, value),
        },
        Format::Mac => mac(f, value),
        Format::Ipv4 => write!(f, "{}", ipv4(value)),
        Format::Ipv6 => write!(f, "{}", Ipv6Addr::from_bits(value)),
        Format::CtState => flags(f, &CtState::NAMES, value),
        Format::TcpFlags => flags(f, &TCP_FLAG_NAMES, value),
    }
}

/// Value and mask of a field, not exact.
pub(super) fn masked(
    f: &mut fmt::Formatter<'_>,
    field: Field,
    value: u128,
    mask: u128,
) -> fmt::Result {
    match field.format() {
        Format::Hex | Format::Decimal | Format::Port | Format::OfPort | Format::Frag => {
            masked_hex(f, value, mask)
        }
        Format::Mac => {
            mac(f, value)?;
            f.write_str("/")?;
            mac(f, mask)
        }
        Format::Ipv4 => {
            write!(f, "{}/", ipv4(value))?;
            match prefix_len(mask, 32) {
                Some(len) => write!(f, "{len}"),
                None => write!(f, "{}", ipv4(mask)),
            }
        }
        Format::Ipv6 => {
            write!(f, "{}/", Ipv6Addr::from_bits(value))?;
            match prefix_len(mask, 128) {
                Some(len) => write!(f, "{len}"),
                None => write!(f, "{}", Ipv6Addr::from_bits(mask)),
            }
        }
        Format::CtState => signed_flags(f, &CtState::NAMES, value, mask),
        Format::TcpFlags => signed_flags(f, &TCP_FLAG_NAMES, value, mask),
    }
}

/// A value over a mask, both hexadecimal.
pub(super) fn masked_hex(f: &mut fmt::Formatter<'_>, value: u128, mask: u128) -> fmt::Result {
    hex(f, value)?;
    f.write_str("/")?;
    hex(f, mask)
}

/// Hexadecimal as C's `%#x`: 0 is plain.
pub(super) fn hex(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    if value == 0 { f.write_str("0") } else { write!(f, "{value:#x}") }
}

fn mac(f: &mut fmt::Formatter<'_>, value: u128) -> fmt::Result {
    let [.., a, b, c, d, e, g] = value.to_be_bytes();
    write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
}

fn ipv4(value: u128) -> Ipv4Addr {
    let [.., a, b, c, d] = value.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

fn prefix_len(mask: u128, bits: u32) -> Option<u32> {
    let mask = mask << (128 - bits);
    (mask.leading_ones() == mask.count_ones()).then(|| mask.count_ones())
}

fn flags(f: &mut fmt::Formatter<'_>, names: &[&str], value: u128) -> fmt::Result {
    if value == 0 {
        return f.write_str("0");
    }
    let mut separator = "";
    for (bit, name) in names.iter().enumerate() {
        if value >> bit & 1 == 1 {
            write!(f, "{separator}{name}")?;
            separator = "|";
        }
    }
    Ok(())
}

fn signed_flags(
    f: &mut fmt::Formatter<'_>,
    names: &[&str],
    value: u128,
    mask: u128,
) -> fmt::Result {
    for (bit, name) in names.iter().enumerate() {
        if mask >> bit & 1 == 1 {
            write!(f, "{}{name}", if value >> bit & 1 == 1 { '+' } else { '-' })?;
        }
    }
    Ok(())
}
