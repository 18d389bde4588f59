//! Addresses: what a subnet may hand out, and which ones a port gets (Neutron's internal IPAM).
//!
//! The arithmetic is pure; that no two ports get the same address is the primary key of
//! `ip_allocations`. Free addresses are given lowest first.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use model::MacAddr;
use neutron::rest;

use crate::error::ApiError;
use crate::store::Unit;
use crate::subnet::Subnet;

/// Addresses of one family from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: IpAddr,
    pub(crate) last: IpAddr,
}

impl Range {
    /// The range from one address to another; `None` where they are of two families or reversed.
    pub(crate) fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// Whether the address lies in it; never for the other family.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether they share an address.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// The lowest address that is not taken.
    pub(crate) fn lowest_free(&self, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let mut candidate = self.first;
        for address in taken.range(self.first..=self.last) {
            if *address != candidate {
                break;
            }
            if candidate == self.last {
                return None;
            }
            candidate = step(candidate, 1);
        }
        Some(candidate)
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// The addresses that ports can have: all but the network's own, and but IPv4's broadcast.
pub(crate) fn hosts(net: IpNet) -> Range {
    let (first, last) = (net.network(), net.broadcast());
    match net {
        IpNet::V4(net) if net.prefix_len() <= 30 => {
            Range { first: step(first, 1), last: step(last, -1) }
        }
        IpNet::V6(net) if net.prefix_len() < 128 => Range { first: step(first, 1), last },
        _ => Range { first, last },
    }
}

/// The pools of a subnet that was made without: all its hosts but the gateway.
pub(crate) fn default_pools(net: IpNet, gateway: Option<IpAddr>) -> Vec<Range> {
    let hosts = hosts(net);
    let is_one = hosts.first == hosts.last;
    let Some(gateway) = gateway.filter(|gateway| hosts.contains(*gateway) && !is_one) else {
        return vec![hosts];
    };
    let below =
        (gateway > hosts.first).then(|| Range { first: hosts.first, last: step(gateway, -1) });
    let above = (gateway < hosts.last).then(|| Range { first: step(gateway, 1), last: hosts.last });
    below.into_iter().chain(above).collect()
}

/// The gateway of a subnet that was made without: its first host.
pub(crate) fn default_gateway(net: IpNet) -> IpAddr {
    if net.network() == net.broadcast() { net.network() } else { step(net.network(), 1) }
}

/// Whether a port may have this address of the subnet.
pub(crate) fn is_host(net: IpNet, address: IpAddr) -> bool {
    match net {
        IpNet::V4(v4) if v4.prefix_len() <= 30 => hosts(net).contains(address),
        _ => net.contains(&address),
    }
}

/// The address that a station with this MAC forms itself in a /64 (RFC 4862, modified EUI-64).
pub(crate) fn eui64(net: IpNet, mac: MacAddr) -> IpAddr {
    let IpAddr::V6(network) = net.network() else { return net.network() };
    let interface = u128::from(mac.link_local()) & u128::from(u64::MAX);
    IpAddr::V6(Ipv6Addr::from(u128::from(network) & !u128::from(u64::MAX) | interface))
}

/// Gives a port on a network with these subnets its addresses, each with its subnet: those that
/// are wanted; without a wish one IPv4 and one IPv6 address; and every automatic one.
pub(crate) async fn allocate(
    unit: &mut Unit,
    port: &str,
    network: &str,
    subnets: &[Subnet],
    mac: MacAddr,
    wanted: Option<&[rest::RequestedIp]>,
) -> Result<(), ApiError> {
    let (automatic, ordinary): (Vec<_>, Vec<_>) =
        subnets.iter().partition(|subnet| subnet.is_automatic());
    match wanted {
        None => {
            for version in [4, 6] {
                let candidates: Vec<_> =
                    ordinary.iter().filter(|subnet| subnet.version() == version).copied().collect();
                if !candidates.is_empty() {
                    allocate_lowest(unit, port, network, &candidates).await?;
                }
            }
        }
        Some(wanted) => {
            for wish in wanted {
                allocate_wish(unit, port, network, subnets, mac, wish).await?;
            }
        }
    }
    // Stations form these addresses themselves, so the port has them whatever was asked for;
    // except that who asks for no address at all gets none.
    if wanted.is_none_or(|wanted| !wanted.is_empty()) {
        for subnet in automatic {
            // A wish may have named this very address.
            insert(unit, port, subnet, eui64(subnet.net(), mac)).await?;
        }
    }
    Ok(())
}

/// The automatic addresses of a port follow its MAC address.
pub(crate) async fn follow(
    unit: &mut Unit,
    port: &str,
    subnets: &[Subnet],
    mac: MacAddr,
) -> Result<(), ApiError> {
    for subnet in subnets.iter().filter(|subnet| subnet.is_automatic()) {
        sqlx::query(
            "UPDATE ip_allocations SET ip_address = ?3 WHERE subnet_id = ?1 AND port_id = ?2",
        )
        .bind(subnet.id())
        .bind(port)
        .bind(eui64(subnet.net(), mac).to_string())
        .execute(unit.connection())
        .await?;
    }
    Ok(())
}

async fn allocate_wish(
    unit: &mut Unit,
    port: &str,
    network: &str,
    subnets: &[Subnet],
    mac: MacAddr,
    wish: &rest::RequestedIp,
) -> Result<(), ApiError> {
    let address: Option<IpAddr> = wish.ip_address.as_deref().and_then(|text| text.parse().ok());
    if subnets.is_empty() {
        let reason = "IP allocation (fixed_ips) requires subnets for network".to_owned();
        return Err(rest::Error::InvalidInput { reason }.into());
    }
    let subnet = match (&wish.subnet_id, address) {
        (Some(id), _) => subnets.iter().find(|subnet| subnet.id() == id).ok_or_else(|| {
            let reason = format!(
                "Failed to create port on network {network}, because fixed_ips included \
                     invalid subnet {id}"
            );
            rest::Error::InvalidInput { reason }
        })?,
        (None, Some(address)) => subnets
            .iter()
            .find(|subnet| is_host(subnet.net(), address))
            .ok_or_else(|| rest::Error::InvalidIpForNetwork { address: address.to_string() })?,
        (None, None) => {
            let reason = "IP allocation (fixed_ips) requires subnet_id or ip_address".to_owned();
            return Err(rest::Error::InvalidInput { reason }.into());
        }
    };
    let Some(address) = address else {
        return match subnet.is_automatic() {
            true => Ok(()),
            false => allocate_lowest(unit, port, network, &[subnet]).await,
        };
    };
    let shown = || address.to_string();
    if !is_host(subnet.net(), address) {
        return Err(rest::Error::InvalidIpForSubnet { address: shown() }.into());
    }
    if subnet.is_automatic() && address != eui64(subnet.net(), mac) {
        let subnet = subnet.id().to_owned();
        return Err(rest::Error::AllocationOnAutoAddressSubnet { address: shown(), subnet }.into());
    }
    match insert(unit, port, subnet, address).await? {
        true => Ok(()),
        false => {
            let subnet = subnet.id().to_owned();
            Err(rest::Error::IpAddressAlreadyAllocated { address: shown(), subnet }.into())
        }
    }
}

/// Takes the lowest free address of the first subnet that has one.
async fn allocate_lowest(
    unit: &mut Unit,
    port: &str,
    network: &str,
    subnets: &[&Subnet],
) -> Result<(), ApiError> {
    for subnet in subnets {
        let taken: Vec<String> =
            sqlx::query_scalar("SELECT ip_address FROM ip_allocations WHERE subnet_id = ?")
                .bind(subnet.id())
                .fetch_all(unit.connection())
                .await?;
        let taken = taken.iter().filter_map(|text| text.parse().ok()).collect();
        let free = subnet.pools()?.iter().find_map(|pool| pool.lowest_free(&taken));
        if let Some(address) = free
            && insert(unit, port, subnet, address).await?
        {
            return Ok(());
        }
    }
    Err(rest::Error::IpAddressGenerationFailure { network: network.to_owned() }.into())
}

/// Whether the port has the address now; not if another has it.
async fn insert(
    unit: &mut Unit,
    port: &str,
    subnet: &Subnet,
    address: IpAddr,
) -> Result<bool, ApiError> {
    let inserted = sqlx::query(
        "INSERT INTO ip_allocations (subnet_id, ip_address, port_id) VALUES (?1, ?2, ?3)
         ON CONFLICT (subnet_id, ip_address) DO UPDATE SET port_id = ?3 WHERE port_id = ?3",
    )
    .bind(subnet.id())
    .bind(address.to_string())
    .bind(port)
    .execute(unit.connection())
    .await?;
    Ok(inserted.rows_affected() > 0)
}

/// The address so many further on, within its family.
fn step(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let number = u32::from(address).wrapping_add_signed(i32::from(by));
            IpAddr::V4(Ipv4Addr::from(number))
        }
        IpAddr::V6(address) => {
            let number = u128::from(address).wrapping_add_signed(i128::from(by));
            IpAddr::V6(Ipv6Addr::from(number))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools(net: &str, gateway: &str) -> String {
        let pools = default_pools(net.parse().unwrap(), gateway.parse().ok());
        pools.iter().map(Range::to_string).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn default_pools_leave_out_what_hosts_cannot_have() {
        for (net, gateway, wanted) in [
            ("10.0.0.0/24", "10.0.0.1", "10.0.0.2-10.0.0.254"),
            ("10.0.0.0/24", "10.0.0.254", "10.0.0.1-10.0.0.253"),
            ("10.0.0.0/29", "10.0.0.3", "10.0.0.1-10.0.0.2 10.0.0.4-10.0.0.6"),
            ("10.0.0.0/24", "", "10.0.0.1-10.0.0.254"),
            ("10.0.0.0/24", "10.9.9.9", "10.0.0.1-10.0.0.254"),
            ("10.0.0.0/30", "10.0.0.1", "10.0.0.2-10.0.0.2"),
            ("10.0.0.0/31", "", "10.0.0.0-10.0.0.1"),
            ("10.0.0.5/32", "10.0.0.5", "10.0.0.5-10.0.0.5"),
            ("255.255.255.0/24", "", "255.255.255.1-255.255.255.254"),
            ("fd00::/64", "fd00::1", "fd00::2-fd00::ffff:ffff:ffff:ffff"),
            ("fd00::/64", "", "fd00::1-fd00::ffff:ffff:ffff:ffff"),
            ("fd00::1/128", "", "fd00::1-fd00::1"),
        ] {
            assert_eq!(pools(net, gateway), wanted, "{net} {gateway}");
        }
    }

    #[test]
    fn the_lowest_free_address_is_found() {
        let range = |first: &str, last: &str| {
            Range::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
        };
        let free = |range: Range, taken: &[&str]| {
            let taken = taken.iter().map(|text| text.parse().unwrap()).collect();
            range.lowest_free(&taken).map(|address| address.to_string())
        };
        let pool = range("10.0.0.2", "10.0.0.4");
        assert_eq!(free(pool, &[]).as_deref(), Some("10.0.0.2"));
        assert_eq!(free(pool, &["10.0.0.1", "10.0.0.2", "10.0.0.4"]).as_deref(), Some("10.0.0.3"));
        assert_eq!(free(pool, &["10.0.0.2", "10.0.0.3", "10.0.0.4"]), None);
        let end = range("255.255.255.255", "255.255.255.255");
        assert_eq!(free(end, &["255.255.255.255"]), None);
        assert!(Range::new("10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap()).is_none());
        assert!(Range::new("10.0.0.2".parse().unwrap(), "::1".parse().unwrap()).is_none());
    }

    #[test]
    fn eui64_is_that_of_rfc_4291() {
        let mac = "fa:16:3e:5c:30:0c".parse().unwrap();
        let address = eui64("fd00:10::/64".parse().unwrap(), mac);
        assert_eq!(address.to_string(), "fd00:10::f816:3eff:fe5c:300c");
    }
}
