//! The bindings of a port, as a resource of their own (extension `binding-extended`).
//!
//! For a live migration Nova binds the port to the host that the machine will move to, has it
//! plugged in there, and activates that binding when the machine runs there. Agents hear of every
//! binding as soon as there is one, so that the new host is wired before the machine comes, and of
//! the activation by one push. What leads to the port over tunnels turns with it.

use neutron::{object, rest};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{FromRow, SqliteConnection};

use super::{Port, Row, Status, get, touch};
use crate::binding;
use crate::error::ApiError;
use crate::l2pop;
use crate::network;
use crate::resource::Resource as _;
use crate::store::Unit;

/// Owners whose ports can have several bindings begin like this.
const MOVABLE: [&str; 2] = ["compute:", "manila:"];

/// A binding to a host that the port does not run on.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Inactive {
    pub(super) port_id: String,
    pub(super) host: String,
    vnic_type: String,
    profile: Json<Map<String, Value>>,
    vif_type: String,
    vif_details: Json<Map<String, Value>>,
    pub(super) segment_id: Option<String>,
}

/// All bindings of a port, the active one first.
pub(crate) async fn list(
    connection: &mut SqliteConnection,
    port: &str,
) -> Result<Vec<rest::PortBinding>, ApiError> {
    let Port { row, inactive, .. } = movable(connection, port).await?;
    let inactive = inactive.into_iter().map(|(binding, _)| binding.body());
    Ok(std::iter::once(active(row)).chain(inactive).collect())
}

/// The binding of a port to a host.
pub(crate) async fn show(
    connection: &mut SqliteConnection,
    port: &str,
    host: &str,
) -> Result<rest::PortBinding, ApiError> {
    let bindings = list(connection, port).await?;
    bindings.into_iter().find(|binding| binding.host == host).ok_or_else(|| not_found(port, host))
}

/// Binds a port to one more host.
pub(crate) async fn create(
    unit: &mut Unit,
    port: &str,
    request: rest::PortBindingCreate,
) -> Result<rest::PortBinding, ApiError> {
    let rest::PortBindingCreate { host, vnic_type, profile } = request;
    let found = movable(unit.connection(), port).await?;
    if found.is_bound_to(&host) {
        return Err(already_exists(port, &host));
    }
    let binding = bind(unit, &found.row, &host, &vnic_type, profile).await?;
    insert(unit, &binding).await?;
    touch(unit, &[found.row.id]).await?;
    Ok(binding.body())
}

/// Changes the binding of a port to a host.
pub(crate) async fn update(
    unit: &mut Unit,
    port: &str,
    host: &str,
    request: rest::PortBindingUpdate,
) -> Result<rest::PortBinding, ApiError> {
    let found = movable(unit.connection(), port).await?;
    let new = request.host.clone().unwrap_or_else(|| host.to_owned());
    if new != host && found.is_bound_to(&new) {
        return Err(already_exists(port, &new));
    }
    if found.row.host == host {
        let rest::PortBindingUpdate { vnic_type, profile, .. } = request;
        let host = Some(new.clone());
        let request = rest::PortUpdate { host, vnic_type, profile, ..Default::default() };
        Port::update(unit, port, request).await?;
        let binding = show(unit.connection(), port, &new).await?;
        return match binding.vif_type.as_str() {
            binding::FAILED => Err(cannot_bind(port, &new)),
            _ => Ok(binding),
        };
    }
    let old = found.inactive(host).ok_or_else(|| not_found(port, host))?;
    let vnic_type = request.vnic_type.unwrap_or(old.vnic_type);
    let profile = request.profile.unwrap_or(old.profile.0);
    let binding = bind(unit, &found.row, &new, &vnic_type, profile).await?;
    forget(unit, port, host).await?;
    insert(unit, &binding).await?;
    touch(unit, &[found.row.id]).await?;
    Ok(binding.body())
}

/// The port runs on this host from now on. Where it ran, its binding stays until it is deleted, but
/// carries nothing.
///
/// The status is DOWN until the agent of the host reports it. Over tunnels it is to be reached there
/// at once: it cannot be any more where it was.
pub(crate) async fn activate(
    unit: &mut Unit,
    port: &str,
    host: &str,
) -> Result<rest::PortBinding, ApiError> {
    let found = movable(unit.connection(), port).await?;
    if found.row.host == host {
        let (port, host) = (port.to_owned(), host.to_owned());
        return Err(rest::Error::PortBindingAlreadyActive { port, host }.into());
    }
    let mut target = found.inactive(host).ok_or_else(|| not_found(port, host))?;
    let Row { id, host: source, vnic_type, profile, announced, .. } = found.row.clone();
    let ids = [id];
    let known = l2pop::entries(unit.connection(), &ids).await?;
    if target.segment_id.is_none() {
        // It has been left before, and is come back to; or the segment has gone meanwhile.
        target = bind(unit, &found.row, host, &target.vnic_type, target.profile.0).await?;
    }
    forget(unit, port, host).await?;
    if !source.is_empty() {
        let left = Inactive {
            port_id: port.to_owned(),
            host: source,
            vnic_type,
            profile,
            vif_type: binding::UNBOUND.to_owned(),
            vif_details: Json(Map::new()),
            segment_id: None,
        };
        insert(unit, &left).await?;
    }
    sqlx::query(
        "UPDATE ports SET host = ?2, vnic_type = ?3, profile = ?4, vif_type = ?5, vif_details = ?6,
            segment_id = ?7, status = ?8, announced = ?9
         WHERE id = ?1",
    )
    .bind(port)
    .bind(host)
    .bind(&target.vnic_type)
    .bind(&target.profile)
    .bind(&target.vif_type)
    .bind(&target.vif_details)
    .bind(&target.segment_id)
    .bind(Status::Down.name())
    .bind(announced)
    .execute(unit.connection())
    .await?;
    l2pop::follow(unit, &ids, &known).await?;
    touch(unit, &ids).await?;
    show(unit.connection(), port, host).await
}

/// Removes the binding of a port to a host. A port that runs there runs nowhere then.
pub(crate) async fn delete(unit: &mut Unit, port: &str, host: &str) -> Result<(), ApiError> {
    let found = movable(unit.connection(), port).await?;
    if found.row.host == host {
        let request = rest::PortUpdate { host: Some(String::new()), ..Default::default() };
        return Port::update(unit, port, request).await;
    }
    found.inactive(host).ok_or_else(|| not_found(port, host))?;
    forget(unit, port, host).await?;
    touch(unit, &[found.row.id]).await
}

/// The inactive bindings of the ports in a JSON list of ids.
pub(super) async fn inactive(
    connection: &mut SqliteConnection,
    ports: &str,
) -> Result<Vec<Inactive>, ApiError> {
    let query = "SELECT * FROM inactive_bindings
         WHERE port_id IN (SELECT value FROM json_each(?)) ORDER BY port_id, host";
    Ok(sqlx::query_as(query).bind(ports).fetch_all(connection).await?)
}

/// Removes the inactive binding of a port to a host, if there is one.
pub(super) async fn forget(unit: &mut Unit, port: &str, host: &str) -> Result<(), ApiError> {
    sqlx::query("DELETE FROM inactive_bindings WHERE port_id = ? AND host = ?")
        .bind(port)
        .bind(host)
        .execute(unit.connection())
        .await?;
    Ok(())
}

async fn insert(unit: &mut Unit, binding: &Inactive) -> Result<(), ApiError> {
    sqlx::query(
        "INSERT INTO inactive_bindings
            (port_id, host, vnic_type, profile, vif_type, vif_details, segment_id)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&binding.port_id)
    .bind(&binding.host)
    .bind(&binding.vnic_type)
    .bind(&binding.profile)
    .bind(&binding.vif_type)
    .bind(&binding.vif_details)
    .bind(&binding.segment_id)
    .execute(unit.connection())
    .await?;
    Ok(())
}

/// What the binding of a port to this host comes to.
async fn bind(
    unit: &mut Unit,
    row: &Row,
    host: &str,
    vnic_type: &str,
    profile: Map<String, Value>,
) -> Result<Inactive, ApiError> {
    binding::check_profile(&profile)?;
    let network = network::get(unit.connection(), &row.network_id).await?;
    let binding = binding::bind(unit, &network, host, vnic_type).await?;
    if binding.vif_type == binding::FAILED {
        return Err(cannot_bind(&row.id, host));
    }
    Ok(Inactive {
        port_id: row.id.clone(),
        host: host.to_owned(),
        vnic_type: vnic_type.to_owned(),
        profile: Json(profile),
        vif_type: binding.vif_type.to_owned(),
        vif_details: Json(binding.vif_details),
        segment_id: binding.segment,
    })
}

/// The port, if it is one that can have several bindings.
async fn movable(connection: &mut SqliteConnection, id: &str) -> Result<Port, ApiError> {
    let port = get(connection, id).await?;
    match MOVABLE.iter().any(|owner| port.row.device_owner.starts_with(owner)) {
        true => Ok(port),
        false => Err(rest::Error::SingleBinding { port: id.to_owned() }.into()),
    }
}

fn active(row: Row) -> rest::PortBinding {
    rest::PortBinding {
        host: row.host,
        vnic_type: row.vnic_type,
        profile: row.profile.0,
        vif_type: row.vif_type,
        vif_details: row.vif_details.0,
        status: object::PortBinding::ACTIVE.to_owned(),
    }
}

fn not_found(port: &str, host: &str) -> ApiError {
    let (port, host) = (port.to_owned(), host.to_owned());
    rest::Error::PortBindingNotFound { port, host }.into()
}

fn already_exists(port: &str, host: &str) -> ApiError {
    let (port, host) = (port.to_owned(), host.to_owned());
    rest::Error::PortBindingAlreadyExists { port, host }.into()
}

fn cannot_bind(port: &str, host: &str) -> ApiError {
    let (port, host) = (port.to_owned(), host.to_owned());
    rest::Error::PortBindingError { port, host }.into()
}

impl Port {
    fn is_bound_to(&self, host: &str) -> bool {
        self.row.host == host || self.inactive.iter().any(|(binding, _)| binding.host == host)
    }

    fn inactive(&self, host: &str) -> Option<Inactive> {
        self.inactive.iter().map(|(binding, _)| binding).find(|it| it.host == host).cloned()
    }
}

impl Inactive {
    pub(super) fn vif_details(&mut self) -> &mut Map<String, Value> {
        &mut self.vif_details.0
    }

    fn body(self) -> rest::PortBinding {
        rest::PortBinding {
            host: self.host,
            vnic_type: self.vnic_type,
            profile: self.profile.0,
            vif_type: self.vif_type,
            vif_details: self.vif_details.0,
            status: object::PortBinding::INACTIVE.to_owned(),
        }
    }

    /// As agents are told of it.
    pub(super) fn object(self) -> object::PortBinding {
        object::PortBinding {
            port_id: self.port_id,
            host: self.host,
            profile: self.profile.0,
            vif_details: Some(self.vif_details.0).filter(|_| binding::is_bound(&self.vif_type)),
            vif_type: self.vif_type,
            vnic_type: self.vnic_type,
            status: Some(object::PortBinding::INACTIVE.to_owned()),
            ..Default::default()
        }
    }
}
