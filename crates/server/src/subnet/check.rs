//! What can be a subnet: checks of its prefix, gateway, pools and modes. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use neutron::rest;

use crate::error::ApiError;
use crate::ipam::{self, Range};

/// Neutron's limits of name servers and routes of one subnet.
const MOST_NAME_SERVERS: usize = 5;
const MOST_ROUTES: usize = 20;

/// The prefix that is asked for.
pub(super) fn net(request: &rest::SubnetCreate) -> Result<IpNet, ApiError> {
    let broken = || ApiError::Broken { what: "cidr", value: request.cidr.clone() };
    let net: IpNet = request.cidr.parse().map_err(|_| broken())?;
    if version(net) != request.ip_version {
        return Err(invalid(format!(
            "cidr '{net}' does not match the ip_version '{}'",
            request.ip_version
        )));
    }
    if net.prefix_len() == 0 {
        return Err(invalid("0 is not allowed as CIDR prefix length (cidr)"));
    }
    if let IpNet::V6(v6) = net
        && v6.network().is_unspecified()
    {
        return Err(invalid("IPv6 subnet '::' is not supported (cidr)"));
    }
    Ok(net)
}

pub(super) fn refuse_modes(net: IpNet, request: &rest::SubnetCreate) -> Result<(), ApiError> {
    let modes = [
        ("ipv6_ra_mode", &request.ipv6_ra_mode),
        ("ipv6_address_mode", &request.ipv6_address_mode),
    ];
    let Some((name, _)) = modes.iter().find(|(_, mode)| mode.is_some()) else { return Ok(()) };
    if version(net) == 4 {
        return Err(invalid(format!("{name} is not valid when ip_version is 4")));
    }
    if !request.enable_dhcp {
        return Err(invalid(format!("{name} cannot be set when enable_dhcp is set to False")));
    }
    if let (Some(ra), Some(address)) = (&request.ipv6_ra_mode, &request.ipv6_address_mode)
        && ra != address
    {
        return Err(invalid(format!(
            "ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. \
             If both attributes are set, they must be the same value"
        )));
    }
    if is_automatic(&request.ipv6_ra_mode, &request.ipv6_address_mode) && net.prefix_len() != 64 {
        return Err(invalid(format!(
            "Invalid CIDR {net} for IPv6 address mode. OpenStack uses the EUI-64 address format, \
             which requires the prefix to be /64 (cidr)"
        )));
    }
    Ok(())
}

/// What cannot be served by DHCP.
pub(super) fn refuse_dhcp(net: IpNet, enable_dhcp: bool) -> Result<(), ApiError> {
    let most = if version(net) == 4 { 30 } else { 126 };
    let reason = match net.network() {
        _ if !enable_dhcp => return Ok(()),
        _ if net.prefix_len() > most => {
            "Subnet has a prefix length (cidr) that is incompatible with DHCP service enabled"
        }
        address if address.is_multicast() => {
            "Multicast IP subnet (cidr) is not supported if enable_dhcp is True"
        }
        address if address.is_loopback() => {
            "Loopback IP subnet (cidr) is not supported if enable_dhcp is True"
        }
        IpAddr::V4(address) if address.is_unspecified() => {
            "First IP '0.0.0.0' of network (cidr) is not supported if enable_dhcp is True."
        }
        _ => return Ok(()),
    };
    Err(invalid(reason))
}

pub(super) fn gateway(net: IpNet, text: &str) -> Result<IpAddr, ApiError> {
    let broken = || ApiError::Broken { what: "gateway_ip", value: text.to_owned() };
    let address: IpAddr = text.parse().map_err(|_| broken())?;
    refuse_version(net, "gateway_ip", address)?;
    let inside_but_no_host = net.contains(&address)
        && address.is_ipv4()
        && [net.network(), net.broadcast()].contains(&address);
    match inside_but_no_host && net.prefix_len() <= 30 {
        true => Err(invalid("Gateway is not valid on subnet (gateway_ip)")),
        false => Ok(address),
    }
}

pub(super) fn pools(net: IpNet, given: &[rest::Pool]) -> Result<Vec<Range>, ApiError> {
    let hosts = ipam::hosts(net);
    let mut pools: Vec<Range> = Vec::new();
    for rest::Pool { start, end } in given {
        let text = format!("{start}-{end} (allocation_pools)");
        let range = match (start.parse(), end.parse()) {
            (Ok(first), Ok(last)) => Range::new(first, last),
            _ => None,
        };
        let Some(range) = range.filter(|range| range.first.is_ipv4() == hosts.first.is_ipv4())
        else {
            return Err(rest::Error::InvalidAllocationPool { pool: text }.into());
        };
        if !hosts.contains(range.first) || !hosts.contains(range.last) {
            let cidr = net.to_string();
            return Err(rest::Error::OutOfBoundsAllocationPool { pool: text, cidr }.into());
        }
        if let Some(other) = pools.iter().find(|other| other.overlaps(&range)) {
            return Err(rest::Error::OverlappingAllocationPools {
                first: other.to_string(),
                second: text,
                cidr: net.to_string(),
            }
            .into());
        }
        pools.push(range);
    }
    Ok(pools)
}

pub(super) fn refuse_gateway_in_pools(
    gateway: Option<IpAddr>,
    pools: &[Range],
) -> Result<(), ApiError> {
    let Some(gateway) = gateway else { return Ok(()) };
    match pools.iter().find(|pool| pool.contains(gateway)) {
        Some(pool) => Err(rest::Error::GatewayConflictWithAllocationPools {
            address: gateway.to_string(),
            pool: pool.to_string(),
        }
        .into()),
        None => Ok(()),
    }
}

pub(super) fn refuse_extras(
    net: IpNet,
    subnet: &str,
    name_servers: &[String],
    routes: &[rest::HostRoute],
) -> Result<(), ApiError> {
    let subnet = subnet.to_owned();
    if name_servers.len() > MOST_NAME_SERVERS {
        let quota = MOST_NAME_SERVERS;
        return Err(rest::Error::DnsNameServersExhausted { subnet, quota }.into());
    }
    if routes.len() > MOST_ROUTES {
        return Err(rest::Error::HostRoutesExhausted { subnet, quota: MOST_ROUTES }.into());
    }
    for address in name_servers.iter().filter_map(|text| text.parse().ok()) {
        refuse_version(net, "dns_nameservers", address)?;
    }
    for route in routes {
        let destination = route.destination.parse().ok().map(|net: IpNet| net.network());
        for address in destination.into_iter().chain(route.nexthop.parse().ok()) {
            refuse_version(net, "host_routes", address)?;
        }
    }
    Ok(())
}

fn refuse_version(net: IpNet, name: &str, address: IpAddr) -> Result<(), ApiError> {
    match address.is_ipv4() == (version(net) == 4) {
        true => Ok(()),
        false => Err(invalid(format!(
            "{name} '{address}' does not match the ip_version '{}'",
            version(net)
        ))),
    }
}

pub(super) fn version(net: IpNet) -> u8 {
    match net {
        IpNet::V4(_) => 4,
        IpNet::V6(_) => 6,
    }
}

/// Whether stations form their own addresses.
pub(super) fn is_automatic(ra_mode: &Option<String>, address_mode: &Option<String>) -> bool {
    [ra_mode, address_mode]
        .into_iter()
        .any(|mode| matches!(mode.as_deref(), Some("slaac" | "dhcpv6-stateless")))
}

pub(super) fn invalid(reason: impl Into<String>) -> ApiError {
    rest::Error::InvalidInput { reason: reason.into() }.into()
}
