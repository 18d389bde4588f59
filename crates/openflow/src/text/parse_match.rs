//! Reads matches, and the settings that stand among them in a flow.

use super::{ParseFlowError, format_match::SHORTHANDS, parse_value};
use crate::{
    field::{Field, Format},
    matching::Match,
};
use std::str::FromStr;

const VLAN_PRESENT: u128 = 0x1000;

impl FromStr for Match {
    type Err = ParseFlowError;

    fn from_str(text: &str) -> Result<Self, ParseFlowError> {
        terms(words(text))
    }
}

/// Words of the part before the actions.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

/// A match from its words, in any order.
pub(super) fn terms<'a>(words: impl Iterator<Item = &'a str>) -> Result<Match, ParseFlowError> {
    let mut matches = Match::new();
    let mut values = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some((key, value)) => values.push((key, value)),
            None => shorthand(&mut matches, word)?,
        }
    }
    // What a name such as tp_dst means depends on the protocol, so that goes first.
    for (key, value) in &values {
        match *key {
            "dl_type" | "eth_type" => set(&mut matches, key, Field::ETH_TYPE, value)?,
            "nw_proto" | "ip_proto" => set(&mut matches, key, Field::IP_PROTO, value)?,
            _ => {}
        }
    }
    for (key, value) in values {
        term(&mut matches, key, value)?;
    }
    Ok(matches)
}

fn shorthand(matches: &mut Match, word: &str) -> Result<(), ParseFlowError> {
    if let Some(hex) = word.strip_prefix("oxm:") {
        matches.add_foreign(&parse_value::hex_bytes("oxm", hex)?);
        return Ok(());
    }
    let (eth_type, proto, _) = SHORTHANDS
        .iter()
        .find(|(_, _, known)| *known == word)
        .ok_or_else(|| ParseFlowError::UnknownField { key: word.to_owned() })?;
    matches.set(Field::ETH_TYPE, u128::from(*eth_type), u128::MAX);
    if let Some(proto) = proto {
        matches.set(Field::IP_PROTO, u128::from(*proto), u128::MAX);
    }
    Ok(())
}

fn term(matches: &mut Match, key: &str, value: &str) -> Result<(), ParseFlowError> {
    match key {
        "dl_type" | "eth_type" | "nw_proto" | "ip_proto" => Ok(()),
        "dl_vlan" => {
            let vlan: u16 = parse_value::fitting(key, value)?;
            if vlan == 0xffff {
                matches.set(Field::VLAN_VID, 0, u128::MAX);
            } else if vlan > 0xfff {
                return Err(ParseFlowError::value(key, value));
            } else {
                matches.set(Field::VLAN_VID, u128::from(vlan) | VLAN_PRESENT, u128::MAX);
            }
            Ok(())
        }
        "dl_vlan_pcp" => {
            if matches.get(Field::VLAN_VID).is_none() {
                matches.set(Field::VLAN_VID, VLAN_PRESENT, VLAN_PRESENT);
            }
            set(matches, key, Field::VLAN_PCP, value)
        }
        "nw_tos" => {
            let tos: u8 = parse_value::fitting(key, value)?;
            matches.set(Field::IP_DSCP, u128::from(tos >> 2), u128::MAX);
            Ok(())
        }
        "nw_frag" | "ip_frag" => {
            let (value, mask) = match value {
                "no" => (0, 3),
                "yes" => (1, 1),
                "first" => (1, 3),
                "later" => (3, 3),
                "not_later" => (0, 2),
                _ => return Err(ParseFlowError::value(key, value)),
            };
            matches.set(Field::IP_FRAG, value, mask);
            Ok(())
        }
        _ => set(matches, key, field(matches, key)?, value),
    }
}

fn set(matches: &mut Match, key: &str, field: Field, text: &str) -> Result<(), ParseFlowError> {
    let (value, mask) = parse_value::masked(key, field, field.match_bits(), text)?;
    if !field.is_maskable() && mask != field.full_mask() {
        return Err(ParseFlowError::value(key, text));
    }
    // A flag that the mask leaves out is no contradiction; a bit elsewhere is one.
    if value & !mask != 0 && field.format() == Format::CtState {
        return Err(ParseFlowError::value(key, text));
    }
    matches.set(field, value, mask);
    Ok(())
}

/// The field of a name, given the protocol.
fn field(matches: &Match, key: &str) -> Result<Field, ParseFlowError> {
    let is = |field, value: u128| matches.exact(field) == Some(value);
    let by_proto = |tcp, udp, sctp| match matches.exact(Field::IP_PROTO) {
        Some(6) => Ok(tcp),
        Some(17) => Ok(udp),
        Some(132) => Ok(sctp),
        _ => Err(ParseFlowError::Prerequisite { key: key.to_owned() }),
    };
    let icmp6 = is(Field::ETH_TYPE, 0x86dd);
    Ok(match key {
        "tp_src" => by_proto(Field::TCP_SRC, Field::UDP_SRC, Field::SCTP_SRC)?,
        "tp_dst" => by_proto(Field::TCP_DST, Field::UDP_DST, Field::SCTP_DST)?,
        "icmp_type" if icmp6 => Field::ICMPV6_TYPE,
        "icmp_code" if icmp6 => Field::ICMPV6_CODE,
        "dl_src" => Field::ETH_SRC,
        "dl_dst" => Field::ETH_DST,
        "nw_src" => Field::IPV4_SRC,
        "nw_dst" => Field::IPV4_DST,
        "tunnel_id" => Field::TUN_ID,
        "ip_ecn" => Field::IP_ECN,
        _ => Field::from_name(key)
            .ok_or_else(|| ParseFlowError::UnknownField { key: key.to_owned() })?,
    })
}
