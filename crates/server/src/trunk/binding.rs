//! Where subports are: on the host of their parent port. They are bound there when the agent of that
//! host asks for it, and when the parent port becomes active.

use model::TrunkStatus;
use neutron::object::SubPort;
use neutron::rest;
use neutron::rpc::{BoundSubport, BoundSubports};
use serde_json::{Map, Value};

use super::{Trunk, get, of_parents, set_status, subport};
use crate::binding;
use crate::error::ApiError;
use crate::port::{self, Port};
use crate::resource::Resource as _;
use crate::store::Unit;

/// The owner of ports that are subports of a wired trunk.
const OWNER: &str = "trunk:subport";
/// In the profile of a parent port whose virtual machine moves: where to.
const MIGRATING_TO: &str = "migrating_to";

/// Binds subports to the hosts of their parent ports. The trunk is in BUILD then, until the agent
/// says how far it has come; or in ERROR where a subport cannot be bound.
pub(crate) async fn bind(
    unit: &mut Unit,
    subports: Vec<SubPort>,
) -> Result<BoundSubports, ApiError> {
    let mut bound = BoundSubports::new();
    for SubPort { trunk_id, port_id, .. } in subports {
        bound.entry(trunk_id).or_default().push(asked(port_id));
    }
    for (id, asked) in &mut bound {
        let trunk = match get(unit.connection(), id).await {
            Ok(trunk) => trunk,
            Err(ApiError::Refused(_)) => {
                asked.clear();
                continue;
            }
            Err(error) => return Err(error),
        };
        *asked = bind_of(unit, &trunk, std::mem::take(asked)).await?;
    }
    bound.retain(|_, ports| !ports.is_empty());
    Ok(bound)
}

async fn bind_of(
    unit: &mut Unit,
    trunk: &Trunk,
    asked: Vec<BoundSubport>,
) -> Result<Vec<BoundSubport>, ApiError> {
    let parent = port::show(unit.connection(), &trunk.row.port_id).await?;
    let target = parent.profile.get(MIGRATING_TO).and_then(Value::as_str);
    let host = target.map_or(parent.host, str::to_owned);
    let mut status = TrunkStatus::Build;
    let mut bound = Vec::new();
    for BoundSubport { id, .. } in asked {
        if !trunk.subports.iter().any(|it| it.port_id == id) {
            status = TrunkStatus::Degraded;
            continue;
        }
        let port = bind_one(unit, &id, &host).await?;
        if port.vif_type == binding::FAILED {
            status = TrunkStatus::Error;
            bound.clear();
            break;
        }
        let (id, mac_address) = (port.id.clone(), port.mac_address.clone());
        bound.push(BoundSubport { id, mac_address, extra: rest_of(&port)? });
    }
    set_status(unit, &trunk.row.id, status).await?;
    Ok(bound)
}

/// These ports have become active: where they are parents, their subports come along.
pub(crate) async fn follow(unit: &mut Unit, ports: &[String]) -> Result<(), ApiError> {
    for trunk in of_parents(unit.connection(), ports).await? {
        let parent = port::show(unit.connection(), &trunk.row.port_id).await?;
        for subport in &trunk.subports {
            bind_one(unit, &subport.port_id, &parent.host).await?;
        }
    }
    Ok(())
}

/// This port runs nowhere any more: nothing is wired of the trunk that it is the parent of.
pub(crate) async fn unbound(unit: &mut Unit, port: &String) -> Result<(), ApiError> {
    for trunk in of_parents(unit.connection(), std::slice::from_ref(port)).await? {
        set_status(unit, &trunk.row.id, TrunkStatus::Down).await?;
    }
    Ok(())
}

/// Refuses to delete a port that a trunk needs.
pub(crate) async fn refuse_needed(unit: &mut Unit, port: &String) -> Result<(), ApiError> {
    if let Some(trunk) = subport::of_port(unit.connection(), port).await? {
        return Err(rest::Error::PortInUseAsSubPort { port: port.clone(), trunk }.into());
    }
    match of_parents(unit.connection(), std::slice::from_ref(port)).await?.pop() {
        Some(Trunk { row, .. }) => {
            Err(rest::Error::PortInUseAsTrunkParent { port: port.clone(), trunk: row.id }.into())
        }
        None => Ok(()),
    }
}

/// Nothing is said to agents of a subport that is there already.
async fn bind_one(unit: &mut Unit, port: &str, host: &str) -> Result<rest::Port, ApiError> {
    let found = port::show(unit.connection(), port).await?;
    let is_there = found.host == host && found.device_owner == OWNER;
    if is_there && (host.is_empty() || binding::is_bound(&found.vif_type)) {
        return Ok(found);
    }
    let (host, device_owner) = (Some(host.to_owned()), Some(OWNER.to_owned()));
    let request = rest::PortUpdate { host, device_owner, ..Default::default() };
    Port::update(unit, port, request).await?;
    port::show(unit.connection(), port).await
}

fn asked(id: String) -> BoundSubport {
    BoundSubport { id, mac_address: String::new(), extra: Map::new() }
}

/// What the API shows of a port besides its id and its MAC address.
fn rest_of(port: &rest::Port) -> Result<Map<String, Value>, ApiError> {
    let broken =
        |error: serde_json::Error| ApiError::Broken { what: "port", value: error.to_string() };
    let value = serde_json::to_value(port).map_err(broken)?;
    let Value::Object(mut shown) = value else { return Ok(Map::new()) };
    shown.remove("id");
    shown.remove("mac_address");
    Ok(shown)
}
