//! The subports of trunks: which port can be one, and how they join and leave.

use model::{TrunkStatus, VlanTag};
use neutron::object::{self, Object};
use neutron::rest;
use neutron::rpc::EventType;
use sqlx::{FromRow, SqliteConnection};

use super::{get, push, set_status};
use crate::error::ApiError;
use crate::network;
use crate::port;
use crate::store::Unit;

/// A port that a trunk reaches under a tag.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct SubPort {
    pub(super) port_id: String,
    pub(super) trunk_id: String,
    segmentation_type: String,
    segmentation_id: u32,
    /// Of the port.
    mac_address: String,
}

/// A subport that can join.
#[derive(Debug)]
pub(super) struct Joining {
    port: String,
    tag: VlanTag,
}

/// Has subports join a trunk. It is DOWN until they are wired.
pub(crate) async fn add(unit: &mut Unit, id: &str, wanted: rest::SubPorts) -> Result<(), ApiError> {
    let trunk = get(unit.connection(), id).await?;
    let joining = check(unit, &trunk.row.port_id, &wanted.sub_ports).await?;
    trunk.refuse_disabled()?;
    if trunk.row.status == TrunkStatus::Error.name() {
        return Err(rest::Error::TrunkInErrorState { id: id.to_owned() }.into());
    }
    insert(unit, id, &joining).await?;
    set_status(unit, id, TrunkStatus::Down).await?;
    let is_new = |it: &SubPort| joining.iter().any(|joining| joining.port == it.port_id);
    let subports = get(unit.connection(), id).await?.subports;
    let new = subports.into_iter().filter(is_new).map(|it| Object::SubPort(it.object())).collect();
    push(unit, EventType::Created, new);
    Ok(())
}

/// Has subports leave a trunk. It is DOWN until they are not wired any more.
pub(crate) async fn remove(
    unit: &mut Unit,
    id: &str,
    unwanted: rest::SubPorts,
) -> Result<(), ApiError> {
    let trunk = get(unit.connection(), id).await?;
    trunk.refuse_disabled()?;
    let mut gone = Vec::new();
    for rest::RequestedSubPort { port_id: port, .. } in unwanted.sub_ports {
        let found = trunk.subports.iter().find(|it| it.port_id == port);
        let not_found = rest::Error::SubPortNotFound { port: port.clone(), trunk: id.to_owned() };
        gone.push(Object::SubPort(found.cloned().ok_or(not_found)?.object()));
        sqlx::query("DELETE FROM subports WHERE port_id = ?")
            .bind(&port)
            .execute(unit.connection())
            .await?;
    }
    set_status(unit, id, TrunkStatus::Down).await?;
    push(unit, EventType::Deleted, gone);
    Ok(())
}

/// Which of these can join the trunk with this parent port, and under which tag.
pub(super) async fn check(
    unit: &mut Unit,
    parent: &str,
    wanted: &[rest::RequestedSubPort],
) -> Result<Vec<Joining>, ApiError> {
    let parent_port = port::show(unit.connection(), parent).await?;
    let trunk_mtu = network::get(unit.connection(), &parent_port.network_id).await?.row.mtu;
    let mut joining = Vec::new();
    for request in wanted {
        let port = &request.port_id;
        if port == parent {
            return Err(rest::Error::ParentPortInUse { port: port.clone() }.into());
        }
        let found = port::show(unit.connection(), port).await?;
        let network = network::get(unit.connection(), &found.network_id).await?;
        if network.row.mtu > trunk_mtu {
            return Err(rest::Error::SubPortMtuGreaterThanTrunkPortMtu {
                mtu: network.row.mtu,
                port: port.clone(),
                trunk_mtu,
                trunk: parent.to_owned(),
            }
            .into());
        }
        let (kind, number) = match &request.segmentation_type {
            Some(kind) if kind == rest::INHERIT => {
                let segment = network.segments.first();
                let number = segment.and_then(|it| it.segmentation_id).map(i64::from);
                (segment.map(|it| it.network_type.clone()), number)
            }
            kind => (kind.clone(), request.segmentation_id),
        };
        let (Some(kind), Some(number)) = (kind, number) else {
            return Err(request.incomplete().into());
        };
        joining.push(Joining { port: port.clone(), tag: tag(&kind, number)? });
        refuse_used(unit, port).await?;
        if !found.device_id.is_empty() {
            let (network, device) = (found.network_id, found.device_id);
            return Err(rest::Error::PortInUse { port: port.clone(), network, device }.into());
        }
    }
    Ok(joining)
}

/// Refuses a port that is in a trunk, as a subport or as its parent.
pub(super) async fn refuse_used(unit: &mut Unit, port: &str) -> Result<(), ApiError> {
    if of_port(unit.connection(), port).await?.is_some() {
        return Err(rest::Error::TrunkPortInUse { port: port.to_owned() }.into());
    }
    let parent: Option<String> = sqlx::query_scalar("SELECT id FROM trunks WHERE port_id = ?")
        .bind(port)
        .fetch_optional(unit.connection())
        .await?;
    match parent {
        Some(_) => Err(rest::Error::ParentPortInUse { port: port.to_owned() }.into()),
        None => Ok(()),
    }
}

/// The trunk that this port is a subport of.
pub(crate) async fn of_port(
    connection: &mut SqliteConnection,
    port: &str,
) -> Result<Option<String>, ApiError> {
    let trunk = sqlx::query_scalar("SELECT trunk_id FROM subports WHERE port_id = ?")
        .bind(port)
        .fetch_optional(connection)
        .await?;
    Ok(trunk)
}

/// The subports of the trunks in a JSON list of ids, by tag.
pub(super) async fn of_trunks(
    connection: &mut SqliteConnection,
    trunks: &str,
) -> Result<Vec<SubPort>, ApiError> {
    let query =
        "SELECT subports.*, ports.mac_address FROM subports JOIN ports ON ports.id = port_id
         WHERE trunk_id IN (SELECT value FROM json_each(?)) ORDER BY segmentation_id";
    Ok(sqlx::query_as(query).bind(trunks).fetch_all(connection).await?)
}

/// Writes subports of a trunk, each of which may join it by itself.
pub(super) async fn insert(
    unit: &mut Unit,
    trunk: &str,
    joining: &[Joining],
) -> Result<(), ApiError> {
    for Joining { port, tag } in joining {
        let inserted = sqlx::query(
            "INSERT INTO subports (port_id, trunk_id, segmentation_type, segmentation_id)
             VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(port)
        .bind(trunk)
        .bind(rest::VLAN)
        .bind(tag.get())
        .execute(unit.connection())
        .await?;
        if inserted.rows_affected() == 0 {
            return Err(rest::Error::DuplicateSubPort {
                kind: rest::VLAN.to_owned(),
                number: tag.get().into(),
                trunk: trunk.to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

fn tag(kind: &str, number: i64) -> Result<VlanTag, ApiError> {
    if kind != rest::VLAN {
        let reason = format!("Unknown segmentation_type '{kind}'");
        return Err(rest::Error::InvalidInput { reason }.into());
    }
    let tag = u32::try_from(number).ok().and_then(|number| VlanTag::new(number).ok());
    tag.ok_or_else(|| {
        let reason = format!("Segmentation ID '{number}' is not in range");
        rest::Error::InvalidInput { reason }.into()
    })
}

impl SubPort {
    /// As the API shows it.
    pub(super) fn body(self) -> rest::SubPort {
        rest::SubPort {
            port_id: self.port_id,
            segmentation_type: self.segmentation_type,
            segmentation_id: self.segmentation_id,
        }
    }

    /// As the parent port shows it.
    pub(super) fn details(self) -> rest::SubPortDetails {
        rest::SubPortDetails {
            port_id: self.port_id,
            segmentation_type: self.segmentation_type,
            segmentation_id: self.segmentation_id,
            mac_address: self.mac_address,
        }
    }

    /// As agents are told of it.
    pub(super) fn object(self) -> object::SubPort {
        object::SubPort {
            port_id: self.port_id,
            trunk_id: self.trunk_id,
            segmentation_type: self.segmentation_type,
            segmentation_id: self.segmentation_id,
            ..Default::default()
        }
    }
}
