//! Tunnel ends: where the tunnels of each host end. Every host has tunnels to all the others.

use std::net::IpAddr;

use model::NetworkType;
use neutron::rest;
use neutron::rpc::{Cast, TunnelAddress, TunnelEnd, TunnelSync, Tunnels};
use sqlx::FromRow;

use crate::config::IpVersion;
use crate::error::ApiError;
use crate::store::{Unit, json_list};

/// The UDP port that VXLAN tunnels end at. An agent does not say at which its own end.
const VXLAN_PORT: u16 = 4789;

#[derive(Debug, FromRow)]
struct End {
    tunnel_type: String,
    ip_address: String,
    host: String,
}

/// Takes note of the end of a host, tells agents of it if it is new, and gives all ends of its
/// type.
///
/// A host that has another address than before has only the new one. An address that was another
/// host's is now this one's, as in Neutron: a host that got another name keeps its address.
pub(crate) async fn sync(unit: &mut Unit, call: TunnelSync) -> Result<Tunnels, ApiError> {
    let TunnelSync { tunnel_ip, tunnel_type, host } = call;
    let version = unit.config().mtu.overlay_ip_version;
    let ip_address = check(&tunnel_ip, version, &tunnel_type, &host)?.to_string();
    let before: Vec<End> = sqlx::query_as(
        "SELECT * FROM tunnel_endpoints WHERE tunnel_type = ?1 AND (ip_address = ?2 OR host = ?3)",
    )
    .bind(&tunnel_type)
    .bind(&ip_address)
    .bind(&host)
    .fetch_all(unit.connection())
    .await?;
    let known = before.iter().any(|end| end.ip_address == ip_address && end.host == host);
    if !known {
        for end in &before {
            if end.host != host {
                let (old, ip) = (&end.host, &end.ip_address);
                tracing::warn!(old, new = host, ip, "a tunnel end goes to another host");
            }
        }
        sqlx::query(
            "DELETE FROM tunnel_endpoints
             WHERE tunnel_type = ?1 AND (ip_address = ?2 OR host = ?3)",
        )
        .bind(&tunnel_type)
        .bind(&ip_address)
        .bind(&host)
        .execute(unit.connection())
        .await?;
        sqlx::query(
            "INSERT INTO tunnel_endpoints (tunnel_type, ip_address, host) VALUES (?, ?, ?)",
        )
        .bind(&tunnel_type)
        .bind(&ip_address)
        .bind(&host)
        .execute(unit.connection())
        .await?;
        for end in before.into_iter().filter(|end| end.ip_address != ip_address) {
            unit.cast(Cast::TunnelDelete(end.address()));
        }
        let tunnel_type = tunnel_type.clone();
        unit.cast(Cast::TunnelUpdate(TunnelAddress { tunnel_ip: ip_address, tunnel_type }));
    }
    let ends: Vec<End> =
        sqlx::query_as("SELECT * FROM tunnel_endpoints WHERE tunnel_type = ? ORDER BY ip_address")
            .bind(&tunnel_type)
            .fetch_all(unit.connection())
            .await?;
    let udp_port = (tunnel_type == NetworkType::Vxlan.name()).then_some(VXLAN_PORT);
    let end = |End { ip_address, host, .. }| TunnelEnd { ip_address, udp_port, host };
    Ok(Tunnels { tunnels: ends.into_iter().map(end).collect() })
}

/// Forgets the ends of a host that are not of these types, and tells agents so.
pub(crate) async fn retain(unit: &mut Unit, host: &str, types: &[String]) -> Result<(), ApiError> {
    let gone: Vec<End> = sqlx::query_as(
        "DELETE FROM tunnel_endpoints
         WHERE host = ? AND tunnel_type NOT IN (SELECT value FROM json_each(?)) RETURNING *",
    )
    .bind(host)
    .bind(json_list(types.iter().map(String::as_str)))
    .fetch_all(unit.connection())
    .await?;
    for end in gone {
        unit.cast(Cast::TunnelDelete(end.address()));
    }
    Ok(())
}

fn check(
    tunnel_ip: &str,
    version: IpVersion,
    tunnel_type: &str,
    host: &str,
) -> Result<IpAddr, ApiError> {
    let invalid = |reason: String| ApiError::from(rest::Error::InvalidInput { reason });
    if tunnel_ip.is_empty() {
        return Err(invalid("Tunnel IP value needed by the ML2 plugin".to_owned()));
    }
    let address: IpAddr = tunnel_ip
        .parse()
        .map_err(|_| invalid(format!("Tunnel IP '{tunnel_ip}' is no IP address, host: {host}")))?;
    let overlay = match version {
        IpVersion::V4 => 4,
        IpVersion::V6 => 6,
    };
    if address.is_ipv4() != (version == IpVersion::V4) {
        return Err(invalid(format!(
            "Tunnel IP version does not match ML2 overlay_ip_version: {overlay}, host: {host}, \
             tunnel_ip: {tunnel_ip}"
        )));
    }
    if tunnel_type.is_empty() {
        return Err(invalid("Network type value needed by the ML2 plugin".to_owned()));
    }
    match tunnel_type.parse() {
        Ok(NetworkType::Vxlan | NetworkType::Gre | NetworkType::Geneve) => Ok(address),
        Ok(NetworkType::Local | NetworkType::Flat | NetworkType::Vlan) | Err(_) => {
            Err(invalid(format!(
                "Network type value {tunnel_type} not supported, host: {host} with tunnel IP: \
                 {tunnel_ip}"
            )))
        }
    }
}

impl End {
    fn address(self) -> TunnelAddress {
        TunnelAddress { tunnel_ip: self.ip_address, tunnel_type: self.tunnel_type }
    }
}
