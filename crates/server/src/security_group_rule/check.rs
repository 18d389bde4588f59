//! What a rule allows: what is no rule, and which rules mean the same.

use model::{IpProtocol, Prefix};
use neutron::rest;

use crate::error::ApiError;

/// Protocols of IPv6 alone.
const IPV6_PROTOCOLS: [IpProtocol; 6] = [
    IpProtocol(41),
    IpProtocol(44),
    IpProtocol::ICMPV6,
    IpProtocol(59),
    IpProtocol(60),
    IpProtocol(43),
];

/// The permission in the form that is kept: ICMP of IPv6 and all ports can be said in old ways.
///
/// Refused are values that make no rule together.
pub(crate) fn canonical(mut permission: rest::Permission) -> Result<rest::Permission, ApiError> {
    if permission.ethertype == "IPv6" {
        match permission.protocol.as_deref() {
            Some("icmp" | "icmpv6") => permission.protocol = Some("ipv6-icmp".to_owned()),
            Some("1") => permission.protocol = Some("58".to_owned()),
            _ => {}
        }
    }
    if (permission.port_range_min, permission.port_range_max) == (Some(1), Some(65535)) {
        (permission.port_range_min, permission.port_range_max) = (None, None);
    }
    refuse_impossible(&permission)?;
    Ok(permission)
}

/// What the rule allows, in one form: a protocol by its number, an any-prefix as no prefix. A
/// prefix keeps its host bits, so that what Neutron takes for two rules are two rules here.
pub(crate) fn meaning(permission: &rest::Permission) -> String {
    let protocol = permission.protocol.as_deref().and_then(number).map(|protocol| protocol.0);
    let is_any = |text: &str| prefix(text).is_ok_and(|prefix| prefix.is_any());
    let remotes = (
        &permission.remote_ip_prefix,
        &permission.remote_group_id,
        &permission.remote_address_group_id,
    );
    let remote = match remotes {
        (Some(text), ..) if is_any(text) => "any".to_owned(),
        (Some(text), ..) => text.clone(),
        (None, Some(group), _) => format!("group {group}"),
        (None, None, Some(group)) => format!("address group {group}"),
        (None, None, None) => "any".to_owned(),
    };
    let shown = |number: Option<u16>| number.map_or("-".to_owned(), |number| number.to_string());
    format!(
        "{} {} {} {} {} {remote}",
        permission.direction,
        permission.ethertype,
        shown(protocol.map(u16::from)),
        shown(permission.port_range_min),
        shown(permission.port_range_max),
    )
}

/// Refuses values that make no rule together.
fn refuse_impossible(permission: &rest::Permission) -> Result<(), ApiError> {
    refuse_ports(permission)?;
    if let Some(text) = &permission.remote_ip_prefix
        && prefix(text)?.ethertype().to_string() != permission.ethertype
    {
        return Err(rest::Error::SecurityGroupRuleParameterConflict {
            ethertype: permission.ethertype.clone(),
            cidr: text.clone(),
        }
        .into());
    }
    if let Some(text) = &permission.protocol
        && permission.ethertype == "IPv4"
        && number(text).is_some_and(|protocol| IPV6_PROTOCOLS.contains(&protocol))
    {
        return Err(rest::Error::SecurityGroupEthertypeConflictWithProtocol {
            ethertype: permission.ethertype.clone(),
            protocol: text.clone(),
        }
        .into());
    }
    let remotes = [
        &permission.remote_ip_prefix,
        &permission.remote_group_id,
        &permission.remote_address_group_id,
    ];
    match remotes.into_iter().flatten().count() {
        0 | 1 => Ok(()),
        _ => Err(rest::Error::SecurityGroupMultipleRemoteEntities {}.into()),
    }
}

fn refuse_ports(permission: &rest::Permission) -> Result<(), ApiError> {
    let (low, high) = (permission.port_range_min, permission.port_range_max);
    if low.is_none() && high.is_none() {
        return Ok(());
    }
    let Some(text) = &permission.protocol else {
        return Err(rest::Error::SecurityGroupProtocolRequiredWithPorts {}.into());
    };
    match number(text) {
        Some(protocol) if protocol.has_ports() => match (low, high) {
            (Some(0), _) => Err(port_value("port_range_min", 0)),
            (_, Some(0)) => Err(port_value("port_range_max", 0)),
            (Some(low), Some(high)) if low <= high => Ok(()),
            _ => Err(rest::Error::SecurityGroupInvalidPortRange {}.into()),
        },
        Some(IpProtocol::ICMP | IpProtocol::ICMPV6) => {
            refuse_icmp("type", "port_range_min", low)?;
            refuse_icmp("code", "port_range_max", high)?;
            match (low, high) {
                (None, Some(code)) => {
                    Err(rest::Error::SecurityGroupMissingIcmpType { value: code.into() }.into())
                }
                _ => Ok(()),
            }
        }
        _ => {
            let protocol = text.clone();
            Err(rest::Error::SecurityGroupInvalidProtocolForPort { protocol }.into())
        }
    }
}

fn refuse_icmp(
    field: &'static str,
    attribute: &'static str,
    value: Option<u16>,
) -> Result<(), ApiError> {
    match value {
        Some(value) if value > 255 => {
            let value = value.into();
            Err(rest::Error::SecurityGroupInvalidIcmpValue { field, attribute, value }.into())
        }
        _ => Ok(()),
    }
}

fn port_value(attribute: &'static str, port: u16) -> ApiError {
    rest::Error::SecurityGroupInvalidPortValue { attribute, port: port.to_string() }.into()
}

fn number(text: &str) -> Option<IpProtocol> {
    text.parse().ok()
}

pub(super) fn prefix(text: &str) -> Result<Prefix, ApiError> {
    text.parse().map_err(|_| rest::Error::InvalidCIDR { input: text.to_owned() }.into())
}
