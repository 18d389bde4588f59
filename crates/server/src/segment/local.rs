//! Local networks: carried by nothing, each within one host. There are as many as are wanted.

use model::NetworkType;

use super::{Owner, insert, invalid};
use crate::error::ApiError;
use crate::store::Unit;

/// A local network has no place outside.
pub(super) fn check(
    physical_network: Option<&str>,
    segmentation_id: Option<i64>,
) -> Result<(), ApiError> {
    match (physical_network, segmentation_id) {
        (Some(_), _) => Err(invalid("physical_network prohibited for local provider network")),
        (None, Some(_)) => Err(invalid("segmentation_id prohibited for local provider network")),
        (None, None) => Ok(()),
    }
}

pub(super) async fn reserve(unit: &mut Unit, owner: &Owner<'_>) -> Result<(), ApiError> {
    insert(unit, owner, NetworkType::Local, None, None).await?;
    Ok(())
}
