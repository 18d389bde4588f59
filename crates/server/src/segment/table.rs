//! Every segment there is, free or in use, as the operator sees it: `/v2.0/weir/segments`.

use neutron::rest;
use sqlx::{FromRow, SqliteConnection};

use super::ranges::Ranges;
use super::tunnel::Tunnel;
use super::vlan;
use crate::config::SegmentConfig;
use crate::error::ApiError;

/// A segment that a network has.
#[derive(Debug, FromRow)]
struct Used {
    network_type: String,
    physical_network: Option<String>,
    segmentation_id: Option<u32>,
    network_id: String,
    network_name: String,
}

/// The segments that networks have, and what is free beside them, in runs.
pub(crate) async fn table(
    connection: &mut SqliteConnection,
    config: &SegmentConfig,
) -> Result<Vec<rest::Allocation>, ApiError> {
    let used: Vec<Used> = sqlx::query_as(
        "SELECT network_type, physical_network, segmentation_id, network_id,
            networks.name AS network_name
         FROM segments JOIN networks ON networks.id = network_id
         ORDER BY network_type, physical_network, segmentation_id",
    )
    .fetch_all(connection)
    .await?;
    let mut ranges = Vec::new();
    for name in vlan::physical_networks(config) {
        ranges.push((("vlan", Some(name)), vlan::ranges(config, name)));
    }
    for tunnel in Tunnel::ALL {
        ranges.push(((tunnel.network_type().name(), None), tunnel.ranges(config)));
    }
    let mut rows: Vec<_> =
        ranges.iter().flat_map(|(place, ranges)| free(*place, ranges, &used)).collect();
    rows.extend(used.into_iter().map(|used| {
        let in_range = used.segmentation_id.is_some_and(|number| {
            ranges.iter().any(|(place, ranges)| *place == used.place() && ranges.contains(number))
        });
        used.row(in_range)
    }));
    rows.sort_by(|a, b| place(a).cmp(&place(b)));
    Ok(rows)
}

/// The runs of these ranges that no network has.
fn free(
    (network_type, physical_network): (&str, Option<&str>),
    ranges: &Ranges,
    used: &[Used],
) -> Vec<rest::Allocation> {
    let taken: Vec<u32> = used
        .iter()
        .filter(|used| used.place() == (network_type, physical_network))
        .filter_map(|used| used.segmentation_id)
        .collect();
    let row = |(low, high)| rest::Allocation {
        network_type: network_type.to_owned(),
        physical_network: physical_network.map(str::to_owned),
        segmentation_id: Some(low),
        through: Some(high),
        in_range: true,
        network_id: None,
        network_name: None,
    };
    ranges.without(&taken).into_iter().map(row).collect()
}

fn place(row: &rest::Allocation) -> (&str, Option<&str>, Option<u32>) {
    (&row.network_type, row.physical_network.as_deref(), row.segmentation_id)
}

impl Used {
    fn place(&self) -> (&str, Option<&str>) {
        (&self.network_type, self.physical_network.as_deref())
    }

    fn row(self, in_range: bool) -> rest::Allocation {
        rest::Allocation {
            network_type: self.network_type,
            physical_network: self.physical_network,
            segmentation_id: self.segmentation_id,
            through: self.segmentation_id,
            in_range,
            network_id: Some(self.network_id),
            network_name: Some(self.network_name),
        }
    }
}
