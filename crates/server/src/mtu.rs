//! How large the IP packets of a network may be: what the underlay of its segments carries, less
//! the headers of tunnels. Pure.
//!
//! Facts: `get_mtu` of Neutron's type drivers, `IP_HEADER_LENGTH` and `…_ENCAP_OVERHEAD` of
//! neutron-lib.

use model::NetworkType;
use neutron::rest;

use crate::config::{IpVersion, MtuConfig};
use crate::error::ApiError;
use crate::segment::Segment;

/// UDP, VXLAN and the Ethernet header inside.
const VXLAN_OVERHEAD: u32 = 8 + 8 + 14;
/// GRE with a key, and the Ethernet header inside.
const GRE_OVERHEAD: u32 = 8 + 14;
/// Below this a link cannot carry IPv4 at all (RFC 791).
const LEAST_FOR_IPV4: u32 = 68;
/// The same of IPv6 (RFC 8200).
const LEAST_FOR_IPV6: u32 = 1280;

/// The MTU of a network with these segments: what is wanted, or the most that they carry where 0 is
/// wanted.
pub(crate) fn choose(
    config: &MtuConfig,
    segments: &[Segment],
    wanted: u32,
) -> Result<u32, ApiError> {
    let kinds = segments.iter().filter_map(|segment| {
        Some((segment.network_type.parse().ok()?, segment.physical_network.as_deref()))
    });
    let most = most(config, kinds);
    match wanted {
        0 => Ok(most),
        _ if wanted > most => {
            let reason = format!("Requested MTU is too big, maximum is {most}");
            Err(rest::Error::InvalidInput { reason }.into())
        }
        _ => Ok(wanted),
    }
}

/// Refuses an MTU that is too small for the IP versions of a network's subnets.
pub(crate) fn refuse_too_small(
    network: &str,
    mtu: u32,
    ip_versions: impl IntoIterator<Item = u8>,
) -> Result<(), ApiError> {
    let least = ip_versions.into_iter().map(|version| match version {
        6 => LEAST_FOR_IPV6,
        _ => LEAST_FOR_IPV4,
    });
    match least.max().filter(|least| mtu < *least) {
        // What is too small for IPv4 is said first, whatever the subnets are.
        Some(least) => {
            let least = if mtu < LEAST_FOR_IPV4 { LEAST_FOR_IPV4 } else { least };
            Err(rest::Error::NetworkMtuSubnetConflict { id: network.to_owned(), least }.into())
        }
        None => Ok(()),
    }
}

/// The least that any of the segments carries; those of local networks carry anything.
fn most<'a>(
    config: &MtuConfig,
    segments: impl Iterator<Item = (NetworkType, Option<&'a str>)>,
) -> u32 {
    let carried = segments.filter_map(|(kind, physical_network)| {
        let global = config.global_physnet_mtu;
        match kind {
            NetworkType::Local => None,
            NetworkType::Flat | NetworkType::Vlan => {
                let own = physical_network.and_then(|name| config.physical_network_mtus.get(name));
                Some(own.map_or(global, |own| global.min(*own)))
            }
            NetworkType::Vxlan => Some(inside(config, VXLAN_OVERHEAD)),
            NetworkType::Gre => Some(inside(config, GRE_OVERHEAD)),
            NetworkType::Geneve => Some(inside(config, config.geneve_max_header_size)),
        }
    });
    carried.min().unwrap_or(config.global_physnet_mtu)
}

/// What fits into a tunnel whose headers behind that of IP have this length.
fn inside(config: &MtuConfig, overhead: u32) -> u32 {
    let ip_header = match config.overlay_ip_version {
        IpVersion::V4 => 20,
        IpVersion::V6 => 40,
    };
    let path = config.path_mtu.unwrap_or(u32::MAX).min(config.global_physnet_mtu);
    path.saturating_sub(ip_header).saturating_sub(overhead)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> MtuConfig {
        MtuConfig {
            physical_network_mtus: [("slow".to_owned(), 1400), ("fast".to_owned(), 9000)].into(),
            ..MtuConfig::ethernet()
        }
    }

    fn of(config: &MtuConfig, kind: NetworkType, physical_network: Option<&str>) -> u32 {
        most(config, [(kind, physical_network)].into_iter())
    }

    #[test]
    fn each_type_has_its_overhead() {
        use NetworkType::{Flat, Geneve, Gre, Local, Vlan, Vxlan};
        let six = MtuConfig { overlay_ip_version: IpVersion::V6, ..config() };
        for (kind, physical_network, over_ipv4, over_ipv6) in [
            (Local, None, 1500, 1500),
            (Flat, Some("wire"), 1500, 1500),
            (Flat, Some("slow"), 1400, 1400),
            (Vlan, Some("slow"), 1400, 1400),
            // What the underlay carries as a whole is a limit of each physical network.
            (Vlan, Some("fast"), 1500, 1500),
            (Vxlan, None, 1450, 1430),
            (Gre, None, 1458, 1438),
            (Geneve, None, 1450, 1430),
        ] {
            assert_eq!(of(&config(), kind, physical_network), over_ipv4, "{kind} {over_ipv4}");
            assert_eq!(of(&six, kind, physical_network), over_ipv6, "{kind} {over_ipv6}");
        }
        let long = MtuConfig { geneve_max_header_size: 38, ..config() };
        assert_eq!(of(&long, Geneve, None), 1442);
    }

    #[test]
    fn tunnels_are_limited_by_their_path() {
        for (path_mtu, vxlan) in [(None, 1450), (Some(1400), 1350), (Some(9000), 1450)] {
            let config = MtuConfig { path_mtu, ..config() };
            assert_eq!(of(&config, NetworkType::Vxlan, None), vxlan, "{path_mtu:?}");
            assert_eq!(of(&config, NetworkType::Vlan, Some("wire")), 1500);
        }
        let jumbo = MtuConfig { global_physnet_mtu: 9000, path_mtu: Some(8000), ..config() };
        assert_eq!(of(&jumbo, NetworkType::Gre, None), 7958);
        let tiny = MtuConfig { path_mtu: Some(1), ..config() };
        assert_eq!(of(&tiny, NetworkType::Vxlan, None), 0);
    }

    #[test]
    fn the_narrowest_segment_decides() {
        let segments = [
            (NetworkType::Local, None),
            (NetworkType::Vlan, Some("slow")),
            (NetworkType::Vxlan, None),
        ];
        assert_eq!(most(&config(), segments.into_iter()), 1400);
        assert_eq!(most(&config(), [].into_iter()), 1500);
    }

    #[test]
    fn subnets_need_a_least_mtu() {
        for (mtu, versions, least) in [
            (1, vec![], None),
            (67, vec![4], Some(68)),
            (67, vec![6], Some(68)),
            (68, vec![4], None),
            (1279, vec![4], None),
            (1279, vec![4, 6], Some(1280)),
            (1280, vec![4, 6], None),
        ] {
            let refused = refuse_too_small("n", mtu, versions).map_err(|error| error.to_string());
            let wanted = least.map_or(Ok(()), |least| {
                Err(format!("MTU of n is not valid, subnet requires a minimum of {least}"))
            });
            assert_eq!(refused, wanted, "{mtu}");
        }
    }
}
