//! Flat networks: untagged on a physical network, one on each, and only on request.

use model::NetworkType;
use neutron::rest;

use super::{Owner, insert, invalid};
use crate::config::{FlatNetworks, SegmentConfig};
use crate::error::ApiError;
use crate::store::Unit;

/// Why a project network is not flat.
pub(super) const ON_REQUEST: &str = "flat networks are only made on request";

/// A flat network that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    physical_network: String,
}

pub(super) fn check(
    config: &SegmentConfig,
    physical_network: Option<&str>,
    segmentation_id: Option<i64>,
) -> Result<Wanted, ApiError> {
    let Some(name) = physical_network else {
        return Err(invalid("physical_network required for flat provider network"));
    };
    match &config.flat_networks {
        FlatNetworks::Only(names) if names.is_empty() => {
            return Err(invalid("Flat provider networks are disabled"));
        }
        FlatNetworks::Only(names) if !names.contains(name) => {
            return Err(invalid(format!(
                "physical_network '{name}' unknown for flat provider network"
            )));
        }
        FlatNetworks::Only(_) | FlatNetworks::Any => {}
    }
    match segmentation_id {
        Some(_) => Err(invalid("segmentation_id prohibited for flat provider network")),
        None => Ok(Wanted { physical_network: name.to_owned() }),
    }
}

pub(super) async fn reserve(
    unit: &mut Unit,
    owner: &Owner<'_>,
    wanted: Wanted,
) -> Result<(), ApiError> {
    let Wanted { physical_network } = wanted;
    match insert(unit, owner, NetworkType::Flat, Some(&physical_network), None).await? {
        true => Ok(()),
        false => Err(rest::Error::FlatNetworkInUse { physical_network }.into()),
    }
}
