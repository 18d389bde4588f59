//! Checks of single values: what `neutron_lib.api.validators` and `converters` do, one function
//! for each kind of value that a table of attributes names.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use model::MacAddr;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Error, Permission};

type Checked = Result<Value, Error>;

/// Neutron's limit of names and descriptions, in characters.
const TEXT: usize = 255;

/// Text of at most 255 characters.
pub(super) fn text(attribute: &'static str, value: Value) -> Checked {
    text_within(TEXT, attribute, value)
}

/// Text, or null, which is the empty text.
pub(super) fn text_or_null(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() { Ok(Value::from("")) } else { text(attribute, value) }
}

/// The name of a host.
pub(super) fn host(attribute: &'static str, value: Value) -> Checked {
    match text(attribute, value)? {
        Value::String(text) if text.is_empty() => invalid(attribute, "'' is not a host".to_owned()),
        value => Ok(value),
    }
}

/// Text or null, which are not the same.
pub(super) fn null_or_text(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() { Ok(value) } else { text(attribute, value) }
}

/// What may be the type of a network.
pub(super) fn network_type(attribute: &'static str, value: Value) -> Checked {
    text_within(32, attribute, value)
}

/// What may be the name of a physical network.
pub(super) fn physical_network(attribute: &'static str, value: Value) -> Checked {
    text_within(64, attribute, value)
}

/// True or false, also as text or 0 and 1.
pub(super) fn boolean(attribute: &'static str, value: Value) -> Checked {
    let boolean = match &value {
        Value::Bool(value) => Some(*value),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    };
    match boolean {
        Some(value) => Ok(value.into()),
        None => invalid(attribute, format!("'{}' cannot be converted to boolean", shown(&value))),
    }
}

/// A whole number, also as text.
pub(super) fn integer(attribute: &'static str, value: Value) -> Checked {
    let number = match &value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) => Ok(number.into()),
        None => invalid(attribute, format!("'{}' is not an integer", shown(&value))),
    }
}

/// A whole number or null.
pub(super) fn integer_or_null(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() { Ok(value) } else { integer(attribute, value) }
}

/// 4 or 6.
pub(super) fn ip_version(attribute: &'static str, value: Value) -> Checked {
    match integer(attribute, value)?.as_i64() {
        Some(version @ (4 | 6)) => Ok(version.into()),
        other => invalid(attribute, format!("'{}' is not in [4, 6]", other.unwrap_or_default())),
    }
}

/// The largest IP packet of a network, in bytes; 0 for the server's choice. Whether the network can
/// carry it, and its subnets can do with it, is not known here.
pub(super) fn mtu(attribute: &'static str, value: Value) -> Checked {
    match integer(attribute, value)?.as_i64() {
        Some(mtu @ 0..=65535) => Ok(mtu.into()),
        Some(mtu @ ..0) => invalid(attribute, format!("'{mtu}' should be non-negative")),
        other => invalid(
            attribute,
            format!(
                "'{}' is too large - must be no larger than '65535'",
                other.unwrap_or_default()
            ),
        ),
    }
}

/// A UUID.
pub(super) fn uuid(attribute: &'static str, value: Value) -> Checked {
    match value.as_str().map(Uuid::try_parse) {
        Some(Ok(uuid)) => Ok(uuid.to_string().into()),
        _ => invalid(attribute, format!("'{}' is not a valid UUID", shown(&value))),
    }
}

/// A UUID or null.
pub(super) fn uuid_or_null(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() { Ok(value) } else { uuid(attribute, value) }
}

/// A list of UUIDs without repetition.
pub(super) fn uuids(attribute: &'static str, value: Value) -> Checked {
    let uuids: Vec<_> = list(attribute, value)?
        .into_iter()
        .map(|value| uuid(attribute, value))
        .collect::<Result<_, _>>()?;
    match repeated(&uuids) {
        Some(value) => {
            invalid(attribute, format!("Duplicate items in the list: '{}'", shown(value)))
        }
        None => Ok(uuids.into()),
    }
}

/// A list of UUIDs without repetition, or null.
pub(super) fn uuids_or_null(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() { Ok(value) } else { uuids(attribute, value) }
}

/// A MAC address of one station.
pub(super) fn mac(attribute: &'static str, value: Value) -> Checked {
    match value.as_str().map(str::parse::<MacAddr>) {
        Some(Ok(mac)) if !mac.is_group() && mac.octets() != [0; 6] => Ok(mac.to_string().into()),
        _ => invalid(attribute, format!("'{}' is not a valid MAC address", shown(&value))),
    }
}

/// An IP address.
pub(super) fn address(attribute: &'static str, value: Value) -> Checked {
    match value.as_str().map(str::parse::<IpAddr>) {
        Some(Ok(address)) => Ok(address.to_string().into()),
        _ => invalid(attribute, format!("'{}' is not a valid IP address", shown(&value))),
    }
}

/// An IP address or null.
pub(super) fn address_or_null(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() { Ok(value) } else { address(attribute, value) }
}

/// A list of IP addresses without repetition; null is the empty list.
pub(super) fn addresses(attribute: &'static str, value: Value) -> Checked {
    let addresses: Vec<_> = list(attribute, value)?
        .into_iter()
        .map(|value| address(attribute, value))
        .collect::<Result<_, _>>()?;
    match repeated(&addresses) {
        Some(value) => invalid(attribute, format!("Duplicate nameserver '{}'", shown(value))),
        None => Ok(addresses.into()),
    }
}

/// The prefix of a subnet. Host bits are cut off, as Neutron does.
pub(super) fn subnet(attribute: &'static str, value: Value) -> Checked {
    match value.as_str().map(str::parse::<IpNet>) {
        Some(Ok(net)) => Ok(net.trunc().to_string().into()),
        _ => invalid(attribute, format!("'{}' is not a valid IP subnet", shown(&value))),
    }
}

/// The prefix of a rule, with its host bits as they were written, or null.
pub(super) fn rule_prefix(_: &'static str, value: Value) -> Checked {
    let text = match &value {
        Value::Null => return Ok(Value::Null),
        Value::String(text) if text.is_empty() => return Ok(Value::Null),
        Value::String(text) => text.as_str(),
        other => return Err(Error::InvalidCIDR { input: shown(other) }),
    };
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(|net| net.to_string().into())
        .map_err(|_| Error::InvalidCIDR { input: text.to_owned() })
}

/// `slaac`, `dhcpv6-stateful`, `dhcpv6-stateless`, or null.
pub(super) fn ipv6_mode(attribute: &'static str, value: Value) -> Checked {
    match value.as_str() {
        Some("slaac" | "dhcpv6-stateful" | "dhcpv6-stateless") => Ok(value),
        _ if value.is_null() => Ok(value),
        _ => invalid(
            attribute,
            format!(
                "'{}' is not in ['dhcpv6-stateful', 'dhcpv6-stateless', 'slaac']",
                shown(&value)
            ),
        ),
    }
}

/// A list of pools: `[{"start": "10.0.0.2", "end": "10.0.0.9"}]`.
pub(super) fn pools(attribute: &'static str, value: Value) -> Checked {
    objects(attribute, value, &[("start", address), ("end", address)], &[])
}

/// A list of routes: `[{"destination": "10.1.0.0/16", "nexthop": "10.0.0.1"}]`.
pub(super) fn routes(attribute: &'static str, value: Value) -> Checked {
    objects(attribute, value, &[("destination", subnet), ("nexthop", address)], &[])
}

/// A list of addresses of a port: `[{"subnet_id": "..", "ip_address": ".."}]`, either or both.
pub(super) fn fixed_ips(attribute: &'static str, value: Value) -> Checked {
    let value = objects(attribute, value, &[], &[("subnet_id", uuid), ("ip_address", address)])?;
    let addresses: Vec<_> =
        value.as_array().into_iter().flatten().filter_map(|ip| ip.get("ip_address")).collect();
    match repeated(&addresses) {
        Some(value) => invalid(attribute, format!("Duplicate IP address '{}'", shown(value))),
        None => Ok(value),
    }
}

/// A list of further sources: `[{"ip_address": "10.0.0.0/24", "mac_address": ".."}]`. Which of
/// them are the same is only known with the MAC address of the port.
pub(super) fn address_pairs(attribute: &'static str, value: Value) -> Checked {
    let pair = |value| {
        let known: [Member; 2] = [("ip_address", pair_address), ("mac_address", mac)];
        let pair = members(attribute, value, &known)?;
        match pair.contains_key("ip_address") {
            true => Ok(Value::Object(pair)),
            false => Err(Error::AllowedAddressPairsMissingIp {}),
        }
    };
    list(attribute, value)?.into_iter().map(pair).collect()
}

/// A list of prefixes without repetition; null is the empty list. Host bits are cut off, and what
/// is the same then is there once, as Neutron does.
pub(super) fn prefixes(attribute: &'static str, value: Value) -> Checked {
    let prefixes = list(attribute, value)?;
    match repeated(&prefixes) {
        Some(value) => {
            invalid(attribute, format!("Duplicate items in the list: '{}'", shown(value)))
        }
        None => distinct(prefixes.into_iter().map(|value| subnet(attribute, value))),
    }
}

/// A list of addresses and prefixes, each as a prefix and once, with host bits cut off.
pub(super) fn addresses_or_prefixes(attribute: &'static str, value: Value) -> Checked {
    let prefix = |value: Value| match value.as_str().map(str::parse::<IpAddr>) {
        Some(Ok(address)) => Ok(IpNet::from(address).to_string().into()),
        _ => subnet(attribute, value),
    };
    distinct(list(attribute, value)?.into_iter().map(prefix))
}

/// The kind of a port's device, by Neutron's names.
pub(super) fn vnic_type(attribute: &'static str, value: Value) -> Checked {
    match value.as_str() {
        Some(
            "normal"
            | "direct"
            | "macvtap"
            | "baremetal"
            | "direct-physical"
            | "virtio-forwarder"
            | "smart-nic"
            | "vdpa"
            | "accelerator-direct"
            | "accelerator-direct-physical"
            | "remote-managed",
        ) => Ok(value),
        _ => invalid(attribute, format!("'{}' is not a kind of device", shown(&value))),
    }
}

/// A list of segments: `[{"provider:network_type": "vlan", ..}]`, or null. What is 0 or empty in one
/// is as if it were missing.
pub(super) fn segments(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() {
        return Ok(value);
    }
    let segment = |value| {
        let Value::Object(mut given) = value else {
            return invalid(attribute, format!("'{}' is not a dictionary", shown(&value)));
        };
        let known: [Member; 3] = [
            ("provider:network_type", network_type),
            ("provider:physical_network", physical_network),
            ("provider:segmentation_id", integer),
        ];
        let empty = |value: &Value| matches!(value, Value::Null) || *value == 0 || *value == "";
        let mut segment = Map::new();
        for (name, check) in known {
            match given.remove(name) {
                Some(value) if !empty(&value) => {
                    segment.insert(name.to_owned(), check(attribute, value)?);
                }
                Some(_) | None => {}
            }
        }
        match given.keys().next() {
            Some(_) => {
                let unknown: Vec<_> = given.keys().map(String::as_str).collect();
                Err(Error::Unrecognized { attributes: unknown.join(", ") })
            }
            None => Ok(Value::Object(segment)),
        }
    };
    list(attribute, value)?.into_iter().map(segment).collect()
}

/// An object; null is the empty one.
pub(super) fn object(attribute: &'static str, value: Value) -> Checked {
    match value {
        Value::Object(_) => Ok(value),
        Value::Null => Ok(Map::new().into()),
        other => invalid(attribute, format!("'{}' is not a dictionary", shown(&other))),
    }
}

/// `ingress` or `egress`.
pub(super) fn direction(attribute: &'static str, value: Value) -> Checked {
    match value.as_str() {
        Some("ingress" | "egress") => Ok(value),
        _ => invalid(attribute, format!("'{}' is not in ['ingress', 'egress']", shown(&value))),
    }
}

/// `ingress`, `egress` or `any`.
pub(super) fn direction_or_any(attribute: &'static str, value: Value) -> Checked {
    match value.as_str() {
        Some("ingress" | "egress" | "any") => Ok(value),
        _ => invalid(
            attribute,
            format!("'{}' is not in ['any', 'ingress', 'egress']", shown(&value)),
        ),
    }
}

/// The largest amount of a QoS rule.
pub(super) const MOST: u32 = 0x7fff_ffff;

/// How much of something a QoS rule speaks of.
pub(super) fn amount(attribute: &'static str, value: Value) -> Checked {
    match integer(attribute, value)?.as_i64() {
        Some(amount) if (0..=i64::from(MOST)).contains(&amount) => Ok(amount.into()),
        Some(amount @ ..0) => {
            invalid(attribute, format!("'{amount}' is too small - must be at least '0'"))
        }
        other => invalid(
            attribute,
            format!(
                "'{}' is too large - must be no larger than '{MOST}'",
                other.unwrap_or_default()
            ),
        ),
    }
}

/// The DSCP marks that Neutron lets be set: the default, the class selectors and the classes of
/// assured and expedited forwarding.
pub(super) const DSCP_MARKS: [i64; 22] =
    [0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 44, 46, 48, 56];

/// One of [`DSCP_MARKS`].
pub(super) fn dscp_mark(attribute: &'static str, value: Value) -> Checked {
    match integer(attribute, value)?.as_i64() {
        Some(mark) if DSCP_MARKS.contains(&mark) => Ok(mark.into()),
        other => {
            let mark = other.unwrap_or_default();
            invalid(attribute, format!("'{mark}' is not in {DSCP_MARKS:?}"))
        }
    }
}

/// `IPv4` or `IPv6` in any case.
pub(super) fn ethertype(_: &'static str, value: Value) -> Checked {
    match value.as_str().map(str::to_lowercase).as_deref() {
        Some("ipv4") => Ok("IPv4".into()),
        Some("ipv6") => Ok("IPv6".into()),
        _ => Err(Error::SecurityGroupRuleInvalidEtherType { ethertype: shown(&value) }),
    }
}

/// A protocol by name or number, as text; null and `any` are null.
pub(super) fn protocol(_: &'static str, value: Value) -> Checked {
    let text = match &value {
        Value::Null => return Ok(value),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.to_lowercase(),
        other => {
            return Err(Error::SecurityGroupRuleInvalidProtocol { protocol: shown(other) });
        }
    };
    match text.parse::<model::IpProtocol>() {
        _ if text == "any" => Ok(Value::Null),
        Ok(_) => Ok(text.into()),
        Err(_) => Err(Error::SecurityGroupRuleInvalidProtocol { protocol: text }),
    }
}

/// A port, or an ICMP type or code: a number from 0 to 65535 or null.
pub(super) fn rule_port(attribute: &'static str, value: Value) -> Checked {
    if value.is_null() {
        return Ok(value);
    }
    let wrong = Error::SecurityGroupInvalidPortValue { attribute, port: shown(&value) };
    match integer(attribute, value).ok().and_then(|number| number.as_i64()) {
        Some(port @ 0..=65535) => Ok(port.into()),
        _ => Err(wrong),
    }
}

/// The UUID of a security group, `PARENT`, or null.
pub(super) fn group_or_parent(attribute: &'static str, value: Value) -> Checked {
    match value.as_str() {
        Some(Permission::PARENT) => Ok(value),
        _ => uuid_or_null(attribute, value),
    }
}

/// The name of a security group, which must not be that of the project's default one.
pub(super) fn group_name(attribute: &'static str, value: Value) -> Checked {
    let value = text(attribute, value)?;
    match value.as_str() {
        Some(name) if name.eq_ignore_ascii_case("default") => {
            Err(Error::SecurityGroupDefaultAlreadyExists {})
        }
        _ => Ok(value),
    }
}

/// Text of at most so many characters.
fn text_within(most: usize, attribute: &'static str, value: Value) -> Checked {
    match &value {
        Value::String(text) if text.chars().count() > most => {
            invalid(attribute, format!("'{text}' exceeds maximum length of {most}"))
        }
        Value::String(_) => Ok(value),
        other => invalid(attribute, format!("'{}' is not a valid string", shown(other))),
    }
}

/// An address or a prefix of single stations, with its host bits as they were written. Neutron
/// refuses `::/0` for the multicast addresses in it, but not `0.0.0.0/0`; here both are taken.
fn pair_address(attribute: &'static str, value: Value) -> Checked {
    let text = value.as_str().unwrap_or_default();
    let Ok(net) = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)) else {
        let what = if text.contains('/') { "subnet" } else { "address" };
        return invalid(attribute, format!("'{}' is not a valid IP {what}", shown(&value)));
    };
    let group = match net {
        IpNet::V4(_) => IpNet::new_assert(Ipv4Addr::new(224, 0, 0, 0).into(), 4),
        IpNet::V6(_) => IpNet::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
    };
    let overlaps = group.contains(&net) || net.contains(&group);
    match overlaps && net.prefix_len() != 0 {
        true => invalid(attribute, format!("'{text}' overlaps with multicast range {group}")),
        false => Ok(value),
    }
}

type Member = (&'static str, fn(&'static str, Value) -> Checked);

/// A list of objects with these members and no others, without repetition.
fn objects(
    attribute: &'static str,
    value: Value,
    required: &[Member],
    optional: &[Member],
) -> Checked {
    let known = [required, optional].concat();
    let mut objects = Vec::new();
    for value in list(attribute, value)? {
        let object = members(attribute, value, &known)?;
        if let Some((name, _)) = required.iter().find(|(name, _)| !object.contains_key(*name)) {
            return invalid(attribute, format!("'{name}' is missing"));
        }
        objects.push(Value::Object(object));
    }
    match repeated(&objects) {
        Some(value) => {
            invalid(attribute, format!("Duplicate items in the list: '{}'", shown(value)))
        }
        None => Ok(objects.into()),
    }
}

/// An object with any of these members and no others.
fn members(
    attribute: &'static str,
    value: Value,
    known: &[Member],
) -> Result<Map<String, Value>, Error> {
    let Value::Object(mut given) = value else {
        return invalid(attribute, format!("'{}' is not a dictionary", shown(&value)));
    };
    let mut object = Map::new();
    for (name, check) in known {
        if let Some(value) = given.remove(*name) {
            object.insert((*name).to_owned(), check(attribute, value)?);
        }
    }
    match given.keys().next() {
        Some(key) => invalid(attribute, format!("Unexpected keys supplied: {key}")),
        None => Ok(object),
    }
}

/// The values in their order, each once.
fn distinct(values: impl Iterator<Item = Checked>) -> Checked {
    let mut seen = HashSet::new();
    let is_new = |value: &Checked| match value {
        Ok(value) => seen.insert(value.clone()),
        Err(_) => true,
    };
    values.filter(is_new).collect()
}

/// The members of a list; null is the empty list.
fn list(attribute: &'static str, value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::Array(members) => Ok(members),
        Value::Null => Ok(Vec::new()),
        other => {
            Err(Error::Invalid { attribute, reason: format!("'{}' is not a list", shown(&other)) })
        }
    }
}

/// The first value that was there before.
fn repeated<T: Eq + Hash>(values: &[T]) -> Option<&T> {
    let mut seen = HashSet::new();
    values.iter().find(|value| !seen.insert(*value))
}

fn invalid<T>(attribute: &'static str, reason: String) -> Result<T, Error> {
    Err(Error::Invalid { attribute, reason })
}

/// A value in a message: text without its quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}
