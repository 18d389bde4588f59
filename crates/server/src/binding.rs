//! Port binding (ML2's mechanism driver `openvswitch`): on a host, a port is carried by the first
//! segment of its network that the living agent of the host can carry.
//!
//! A port that cannot be bound is kept as `binding_failed`, and tried again when the agent of its
//! host comes, comes back, or can do other things.

use std::collections::BTreeMap;

use neutron::rest;
use serde_json::{Map, Value, json};
use sqlx::types::Json;

use crate::agent::{self, Ability};
use crate::error::ApiError;
use crate::network::{self, Network};
use crate::port;
use crate::segment::Segment;
use crate::store::{Unit, json_list};

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
/// The only kind of device that can be bound: not one that is passed through to hardware.
const VNIC_TYPE: &str = "normal";
/// How long a profile may be, as JSON text.
const PROFILE: usize = 4095;

/// Binds a port of this network to this host; to none where the host is empty.
pub(crate) async fn bind(
    unit: &mut Unit,
    network: &Network,
    host: &str,
    vnic_type: &str,
) -> Result<Binding, ApiError> {
    if host.is_empty() {
        return Ok(Binding::without_segment(UNBOUND));
    }
    let ability = agent::of_host(unit.connection(), host).await?;
    let binding = ability
        .filter(|_| vnic_type == VNIC_TYPE)
        .and_then(|ability| choose(&ability, &network.segments));
    Ok(binding.unwrap_or_else(|| Binding::without_segment(FAILED)))
}

/// Tries the ports of this host again that could not be bound. All ports of a network come to the
/// same, so it takes a few queries for each network, however many ports there are.
pub(crate) async fn retry(unit: &mut Unit, host: &str) -> Result<(), ApiError> {
    let failed: Vec<(String, String)> = sqlx::query_as(
        "SELECT network_id, id FROM ports WHERE host = ? AND vif_type = ? AND vnic_type = ?",
    )
    .bind(host)
    .bind(FAILED)
    .bind(VNIC_TYPE)
    .fetch_all(unit.connection())
    .await?;
    let mut by_network: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (network, port) in failed {
        by_network.entry(network).or_default().push(port);
    }
    for (network, ports) in by_network {
        let network = network::get(unit.connection(), &network).await?;
        let binding = bind(unit, &network, host, VNIC_TYPE).await?;
        if binding.vif_type != FAILED {
            store(unit, &ports, &binding).await?;
            port::touch(unit, &ports).await?;
        }
    }
    Ok(())
}

/// The first of the segments that an agent with this ability can carry.
fn choose(ability: &Ability, segments: &[Segment]) -> Option<Binding> {
    let segment = segments.iter().find(|segment| ability.carries(segment))?;
    let vif_details = Map::from_iter([
        ("connectivity".to_owned(), json!("l2")),
        ("port_filter".to_owned(), json!(true)),
        ("ovs_hybrid_plug".to_owned(), json!(ability.hybrid_plug)),
        ("datapath_type".to_owned(), json!(ability.datapath_type)),
        ("bridge_name".to_owned(), json!(ability.integration_bridge)),
    ]);
    Some(Binding { vif_type: OVS, vif_details, segment: Some(segment.id.clone()) })
}

/// Writes what the binding of these ports has come to.
pub(crate) async fn store(
    unit: &mut Unit,
    ports: &[String],
    binding: &Binding,
) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE ports SET vif_type = ?2, vif_details = ?3, segment_id = ?4
         WHERE id IN (SELECT value FROM json_each(?1))",
    )
    .bind(json_list(ports.iter().map(String::as_str)))
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

/// Refuses a profile that is too long.
pub(crate) fn check_profile(profile: &Map<String, Value>) -> Result<(), ApiError> {
    match serde_json::to_string(profile) {
        Ok(text) if text.len() <= PROFILE => Ok(()),
        Ok(_) | Err(_) => {
            let reason = "binding:profile value too large".to_owned();
            Err(rest::Error::InvalidInput { reason }.into())
        }
    }
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

impl Binding {
    fn without_segment(vif_type: &'static str) -> Self {
        Self { vif_type, vif_details: Map::new(), segment: None }
    }
}
