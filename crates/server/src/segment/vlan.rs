//! VLAN networks: a VLAN of a physical network. Those of the ranges are given to networks whose
//! creator does not say; who names one may name any.

use model::{NetworkType, VlanTag};
use neutron::rest;

use super::pool::{self, Pool};
use super::ranges::Ranges;
use super::{Owner, insert, invalid};
use crate::config::SegmentConfig;
use crate::error::ApiError;
use crate::store::Unit;

/// A VLAN that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// A free one of any physical network.
    Any,
    /// A free one of this.
    On { physical_network: String },
    /// This.
    One { physical_network: String, vlan: VlanTag },
}

pub(super) fn check(
    config: &SegmentConfig,
    physical_network: Option<&str>,
    segmentation_id: Option<i64>,
) -> Result<Wanted, ApiError> {
    let Some(name) = physical_network else {
        return match segmentation_id {
            None => Ok(Wanted::Any),
            Some(_) => {
                Err(invalid("segmentation_id requires physical_network for VLAN provider network"))
            }
        };
    };
    let known = config.vlan_networks.contains(name)
        || config.network_vlan_ranges.iter().any(|range| range.physical_network == name);
    if !known {
        return Err(invalid(format!(
            "physical_network '{name}' unknown for VLAN provider network"
        )));
    }
    let physical_network = name.to_owned();
    match segmentation_id {
        None => Ok(Wanted::On { physical_network }),
        Some(number) => Ok(Wanted::One { physical_network, vlan: tag(number)? }),
    }
}

/// The VLAN with this number.
pub(super) fn tag(number: i64) -> Result<VlanTag, ApiError> {
    let tag = u32::try_from(number).ok().and_then(|number| VlanTag::new(number).ok());
    tag.ok_or_else(|| {
        let (low, high) = (VlanTag::MIN, VlanTag::MAX);
        invalid(format!("segmentation_id out of range ({low} through {high})"))
    })
}

pub(super) async fn reserve(
    unit: &mut Unit,
    config: &SegmentConfig,
    owner: &Owner<'_>,
    wanted: Wanted,
) -> Result<(), ApiError> {
    let physical_network = match wanted {
        Wanted::Any => None,
        Wanted::On { physical_network } => Some(physical_network),
        Wanted::One { physical_network, vlan } => {
            let number = vlan.get().into();
            let kind = NetworkType::Vlan;
            return match insert(unit, owner, kind, Some(&physical_network), Some(number)).await? {
                true => Ok(()),
                false => {
                    Err(rest::Error::VlanIdInUse { vlan: number.into(), physical_network }.into())
                }
            };
        }
    };
    take_any(unit, config, owner, physical_network.as_deref())
        .await?
        .map_err(|why| rest::Error::NoNetworkAvailable { why }.into())
}

/// Takes a free VLAN of the ranges of this physical network, or of any, in the order in which they
/// are configured. Says why there is none.
pub(super) async fn take_any(
    unit: &mut Unit,
    config: &SegmentConfig,
    owner: &Owner<'_>,
    physical_network: Option<&str>,
) -> Result<Result<(), String>, ApiError> {
    let mut tried = Vec::new();
    for name in physical_networks(config) {
        if physical_network.is_some_and(|wanted| wanted != name) {
            continue;
        }
        let ranges = ranges(config, name);
        let pool = Pool { network_type: NetworkType::Vlan, physical_network: Some(name), ranges };
        if pool::take(unit, owner, &pool).await? {
            return Ok(Ok(()));
        }
        tried.push(name);
    }
    Ok(Err(match (tried.as_slice(), physical_network) {
        ([], Some(name)) => format!("physical network {name} has no VLAN ranges"),
        ([], None) => "no VLAN ranges are configured".to_owned(),
        (names, _) => {
            format!("every VLAN of the ranges of {} is in use", names.join(", "))
        }
    }))
}

/// The physical networks that have ranges, each once, in the order of the configuration.
pub(super) fn physical_networks(config: &SegmentConfig) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for range in &config.network_vlan_ranges {
        if !names.contains(&range.physical_network.as_str()) {
            names.push(&range.physical_network);
        }
    }
    names
}

/// The VLANs of this physical network that are given to networks whose creator does not say.
pub(super) fn ranges(config: &SegmentConfig, physical_network: &str) -> Ranges {
    let ranges = config.network_vlan_ranges.iter();
    let ranges = ranges.filter(|range| range.physical_network == physical_network);
    Ranges::new(ranges.map(|range| (range.low.get().into(), range.high.get().into())))
}
