//! Port binding (ML2's mechanism driver `openvswitch`): on a host, a port is carried by the first
//! segment of its network that the living agent of the host can carry.
//!
//! A port that cannot be bound is kept as `binding_failed`, and tried again when the agent of its
//! host comes, comes back, or can do other things.

use neutron::rest;
use serde_json::{Map, Value, json};
use sqlx::types::Json;

use crate::agent;
use crate::error::ApiError;
use crate::network;
use crate::port;
use crate::store::Unit;

/// What a binding comes to: the columns of a port that say how it is plugged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Binding {
    pub(crate) vif_type: &'static str,
    pub(crate) vif_details: Map<String, Value>,
    pub(crate) segment: Option<String>,
}

pub(crate) const UNBOUND: &str = "unbound";
pub(crate) const FAILED: &str = "binding_failed";
const OVS: &str = "ovs";

/// Binds a port of this network to this host; to none where the host is empty.
pub(crate) async fn bind(
    unit: &mut Unit,
    network: &network::Network,
    host: &str,
) -> Result<Binding, ApiError> {
    let without = |vif_type| Binding { vif_type, vif_details: Map::new(), segment: None };
    if host.is_empty() {
        return Ok(without(UNBOUND));
    }
    let Some(ability) = agent::of_host(unit.connection(), host).await? else {
        return Ok(without(FAILED));
    };
    let Some(segment) = network.segments.iter().find(|segment| ability.carries(segment)) else {
        return Ok(without(FAILED));
    };
    let vif_details = Map::from_iter([
        ("connectivity".to_owned(), json!("l2")),
        ("port_filter".to_owned(), json!(true)),
        ("ovs_hybrid_plug".to_owned(), json!(ability.hybrid_plug)),
        ("datapath_type".to_owned(), json!(ability.datapath_type)),
        ("bridge_name".to_owned(), json!(ability.integration_bridge)),
    ]);
    Ok(Binding { vif_type: OVS, vif_details, segment: Some(segment.id.clone()) })
}

/// Tries the ports of this host again that could not be bound.
pub(crate) async fn retry(unit: &mut Unit, host: &str) -> Result<(), ApiError> {
    let failed: Vec<(String, String)> =
        sqlx::query_as("SELECT id, network_id FROM ports WHERE host = ? AND vif_type = ?")
            .bind(host)
            .bind(FAILED)
            .fetch_all(unit.connection())
            .await?;
    for (port, network) in failed {
        let network = network::get(unit.connection(), &network).await?;
        let binding = bind(unit, &network, host).await?;
        if binding.vif_type != FAILED {
            store(unit, &port, &binding).await?;
            port::touch(unit, &port).await?;
        }
    }
    Ok(())
}

/// Writes what a port's binding has come to.
pub(crate) async fn store(unit: &mut Unit, port: &str, binding: &Binding) -> Result<(), ApiError> {
    sqlx::query("UPDATE ports SET vif_type = ?2, vif_details = ?3, segment_id = ?4 WHERE id = ?1")
        .bind(port)
        .bind(binding.vif_type)
        .bind(Json(&binding.vif_details))
        .bind(&binding.segment)
        .execute(unit.connection())
        .await?;
    Ok(())
}

/// Whether what the API calls this is a binding that an agent has wired or will wire.
pub(crate) fn is_bound(vif_type: &str) -> bool {
    ![UNBOUND, FAILED].contains(&vif_type)
}

/// Refuses another MAC address for a port that is plugged.
pub(crate) fn refuse_new_mac(
    id: &str,
    vif_type: &str,
    old: &str,
    new: &str,
) -> Result<(), ApiError> {
    if old == new || !is_bound(vif_type) {
        return Ok(());
    }
    Err(rest::Error::PortBound {
        id: id.to_owned(),
        vif_type: vif_type.to_owned(),
        old: old.to_owned(),
        new: new.to_owned(),
    }
    .into())
}
