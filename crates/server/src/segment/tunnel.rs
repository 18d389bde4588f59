//! Networks in tunnels: VXLAN and Geneve by VNI, GRE by key. Each type has numbers of its own.

use model::NetworkType;
use neutron::rest;

use super::pool::{self, Pool};
use super::ranges::Ranges;
use super::{Owner, insert, invalid};
use crate::config::{KeyRange, SegmentConfig, VniRange};
use crate::error::ApiError;
use crate::store::Unit;

/// A type of tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Tunnel {
    Vxlan,
    Gre,
    Geneve,
}

/// A network in tunnels that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    tunnel: Tunnel,
    /// Any free one of the ranges, if it is not this.
    pub(super) number: Option<u32>,
}

/// Neutron does not look whether the header of the tunnel has room for the number. Nobody could
/// send what has none, so here it is refused.
pub(super) fn check(
    tunnel: Tunnel,
    physical_network: Option<&str>,
    segmentation_id: Option<i64>,
) -> Result<Wanted, ApiError> {
    if physical_network.is_some() {
        let name = tunnel.network_type();
        return Err(invalid(format!("provider:physical_network specified for {name} network")));
    }
    let number = segmentation_id.map(|number| tunnel.number(number)).transpose()?;
    Ok(Wanted { tunnel, number })
}

pub(super) async fn reserve(
    unit: &mut Unit,
    config: &SegmentConfig,
    owner: &Owner<'_>,
    wanted: Wanted,
) -> Result<(), ApiError> {
    let Wanted { tunnel, number } = wanted;
    let Some(number) = number else {
        return take_any(unit, config, owner, tunnel)
            .await?
            .map_err(|why| rest::Error::NoNetworkAvailable { why }.into());
    };
    match insert(unit, owner, tunnel.network_type(), None, Some(number)).await? {
        true => Ok(()),
        false => Err(rest::Error::TunnelIdInUse { number }.into()),
    }
}

/// Takes a free number of the ranges of this type. Says why there is none.
pub(super) async fn take_any(
    unit: &mut Unit,
    config: &SegmentConfig,
    owner: &Owner<'_>,
    tunnel: Tunnel,
) -> Result<Result<(), String>, ApiError> {
    let (network_type, ranges) = (tunnel.network_type(), tunnel.ranges(config));
    if ranges.is_empty() {
        return Ok(Err(format!("no ranges are configured for {network_type}")));
    }
    let pool = Pool { network_type, physical_network: None, ranges };
    match pool::take(unit, owner, &pool).await? {
        true => Ok(Ok(())),
        false => Ok(Err(format!("every number of the {network_type} ranges is in use"))),
    }
}

impl Tunnel {
    pub(super) const ALL: [Self; 3] = [Self::Vxlan, Self::Gre, Self::Geneve];

    pub(super) const fn network_type(self) -> NetworkType {
        match self {
            Self::Vxlan => NetworkType::Vxlan,
            Self::Gre => NetworkType::Gre,
            Self::Geneve => NetworkType::Geneve,
        }
    }

    /// What is given to networks whose creator does not say.
    pub(super) fn ranges(self, config: &SegmentConfig) -> Ranges {
        match self {
            Self::Vxlan => Ranges::new(config.vxlan_vni_ranges.iter().map(|range| range.ends())),
            Self::Gre => Ranges::new(config.gre_tunnel_id_ranges.iter().map(|range| range.ends())),
            Self::Geneve => Ranges::new(config.geneve_vni_ranges.iter().map(|range| range.ends())),
        }
    }

    /// This number, if there is one.
    fn number(self, number: i64) -> Result<u32, ApiError> {
        let most = match self {
            Self::Vxlan | Self::Geneve => VniRange::MOST,
            Self::Gre => KeyRange::MOST,
        };
        u32::try_from(number)
            .ok()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| invalid(format!("segmentation_id out of range (1 through {most})")))
    }
}
