//! Segments as a resource of their own: a network gets a further one, or loses one.

use std::sync::Arc;

use neutron::rest;
use sqlx::SqliteConnection;

use super::{Owner, Segment, check, reserve};
use crate::binding;
use crate::error::ApiError;
use crate::mtu;
use crate::network;
use crate::resource::{Resource, Selection};
use crate::store::Unit;
use crate::time::Timestamp;

impl Resource for Segment {
    const REST: &'static rest::Resource = &rest::SEGMENT;
    const INDEXED: &'static [&'static str] = &["id", "network_id"];
    type Body = rest::Segment;
    type Create = rest::SegmentCreate;
    type Update = rest::SegmentUpdate;

    async fn create(unit: &mut Unit, request: rest::SegmentCreate) -> Result<String, ApiError> {
        let config = Arc::clone(unit.config());
        let network = network::get(unit.connection(), &request.network_id).await?;
        let last = network.segments.iter().map(|segment| segment.segment_index).max();
        let owner = Owner {
            name: request.name,
            description: Some(request.description),
            ..Owner::new(&request.network_id, last.map_or(0, |last| last.saturating_add(1)))
        };
        let wanted = rest::ProviderSegment {
            network_type: Some(request.network_type),
            physical_network: request.physical_network,
            segmentation_id: request.segmentation_id,
        };
        let wanted = check(&config.segments, &wanted)?;
        reserve(unit, &config.segments, &owner, wanted).await?;
        let segments = network::get(unit.connection(), &request.network_id).await?.segments;
        mtu::choose(&config.mtu, &segments, network.row.mtu)?;
        network::touch(unit, &request.network_id).await?;
        retry_bindings(unit, &request.network_id).await?;
        Ok(owner.id)
    }

    async fn update(
        unit: &mut Unit,
        id: &str,
        request: rest::SegmentUpdate,
    ) -> Result<(), ApiError> {
        let segment = get(unit.connection(), id).await?;
        sqlx::query(
            "UPDATE segments SET name = ?2, description = ?3, updated_at = ?4,
                revision_number = revision_number + 1
             WHERE id = ?1",
        )
        .bind(id)
        .bind(request.name.unwrap_or(segment.name))
        .bind(request.description.or(segment.description))
        .bind(Timestamp::now())
        .execute(unit.connection())
        .await?;
        Ok(())
    }

    async fn delete(unit: &mut Unit, id: &str) -> Result<(), ApiError> {
        let segment = get(unit.connection(), id).await?;
        let bound = segment.ports(unit.connection()).await?.len();
        if bound > 0 {
            let reason = format!("The segment is still bound with {bound} port(s)");
            return Err(rest::Error::SegmentInUse { id: id.to_owned(), reason }.into());
        }
        unit.remove("segments", id).await?;
        network::touch(unit, &segment.network_id).await
    }

    async fn find(
        connection: &mut SqliteConnection,
        selection: Selection<'_>,
    ) -> Result<Vec<rest::Segment>, ApiError> {
        let segments: Vec<Self> = selection.rows(connection, "SELECT * FROM segments").await?;
        Ok(segments.into_iter().map(Self::body).collect())
    }

    fn not_found(id: &str) -> rest::Error {
        rest::Error::SegmentNotFound { id: id.to_owned() }
    }
}

/// Tries the ports of the network again that could not be bound: their hosts may carry the new
/// segment.
async fn retry_bindings(unit: &mut Unit, network: &str) -> Result<(), ApiError> {
    let hosts: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT host FROM ports WHERE network_id = ? AND vif_type = ?")
            .bind(network)
            .bind(binding::FAILED)
            .fetch_all(unit.connection())
            .await?;
    for host in hosts {
        binding::retry(unit, &host).await?;
    }
    Ok(())
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Segment, ApiError> {
    let found: Vec<Segment> =
        Selection::id(&id.to_owned()).rows(connection, "SELECT * FROM segments").await?;
    found.into_iter().next().ok_or_else(|| Segment::not_found(id).into())
}

impl Segment {
    /// As the API shows it.
    fn body(self) -> rest::Segment {
        rest::Segment {
            id: self.id,
            network_id: self.network_id,
            network_type: self.network_type,
            physical_network: self.physical_network,
            segmentation_id: self.segmentation_id,
            name: self.name,
            description: self.description,
            revision_number: self.revision_number.unsigned_abs(),
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
        }
    }
}
