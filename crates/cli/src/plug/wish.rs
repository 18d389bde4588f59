//! What the API wants an interface to be like.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use neutron::rest::{Network, Port, Subnet};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::place::Place;
use crate::api::Api;

/// What the API wants the interface of a port to be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// The port's id, as the API writes it.
    pub(super) port_id: String,
    /// What it is for: the id of a virtual machine, or the port's own.
    pub(super) vm_id: String,
    /// Whether its owner wants it up.
    pub(super) admin_up: bool,
    /// The host that it is bound to; empty for none.
    pub(super) host: String,
    /// Its MAC address.
    pub(super) mac: String,
    /// Its addresses with their prefix lengths.
    pub(super) addresses: Vec<String>,
    /// Its default routes, at most one of each family.
    pub(super) gateways: Vec<IpAddr>,
    /// The largest IP packet of its network, in bytes.
    pub(super) mtu: u32,
    /// Whether a Linux bridge must be between its interface and the switch.
    pub(super) hybrid: bool,
    /// The bridge of its trunk, if it is the parent port of one.
    pub(super) trunk_bridge: Option<String>,
}

/// What in the details of the interface says which bridge it is plugged into.
const BRIDGE_NAME: &str = "bridge_name";

/// What in them says whether a Linux bridge must be between.
const HYBRID: &str = "ovs_hybrid_plug";

impl Wish {
    /// Asks the API.
    ///
    /// # Errors
    /// When it has no such port or cannot be asked.
    pub(super) async fn read(api: &mut Api, port_id: Uuid) -> anyhow::Result<Self> {
        let port: Port = api.get(&path(&port_id.to_string()), "port").await?;
        let network: Network =
            api.get(&format!("/v2.0/networks/{}", port.network_id), "network").await?;
        let mut subnets = Vec::new();
        for ip in &port.fixed_ips {
            let subnet = api.get(&format!("/v2.0/subnets/{}", ip.subnet_id), "subnet").await?;
            subnets.push((ip.ip_address.clone(), subnet));
        }
        Self::new(port, &network, &subnets)
    }

    /// Puts it together from the port, its network, and its addresses with their subnets.
    fn new(port: Port, network: &Network, addresses: &[(String, Subnet)]) -> anyhow::Result<Self> {
        let bridge = port.vif_details.get(BRIDGE_NAME).and_then(|name| name.as_str());
        let trunk_bridge = port.trunk_details.as_ref().and(bridge).map(str::to_owned);
        let mut wish = Self {
            hybrid: is_hybrid(&port.vif_details),
            trunk_bridge,
            vm_id: if port.device_id.is_empty() { port.id.clone() } else { port.device_id },
            port_id: port.id,
            admin_up: port.admin_state_up,
            host: port.host,
            mac: port.mac_address,
            addresses: Vec::new(),
            gateways: Vec::new(),
            mtu: network.mtu,
        };
        for (address, subnet) in addresses {
            let (_, length) = subnet
                .cidr
                .split_once('/')
                .with_context(|| format!("the API says that a subnet is '{}'", subnet.cidr))?;
            wish.addresses.push(format!("{address}/{length}"));
            let Some(gateway) = &subnet.gateway_ip else { continue };
            let gateway: IpAddr = gateway
                .parse()
                .with_context(|| format!("the API says that a gateway is '{gateway}'"))?;
            let first = wish.gateways.iter().all(|other| other.is_ipv4() != gateway.is_ipv4());
            // Whoever is the gateway has no way through itself.
            let others = address.parse() != Ok(gateway);
            if first && others {
                wish.gateways.push(gateway);
            }
        }
        Ok(wish)
    }

    /// Refuses to wait for what cannot happen.
    ///
    /// # Errors
    /// When the port is not bound to this host, or shall be down.
    pub(super) fn check(&self, place: &Place) -> anyhow::Result<()> {
        let port = &self.port_id;
        match &place.host {
            Some(host) if *host != self.host => {
                let bound = match self.host.as_str() {
                    "" => "to no host".to_owned(),
                    other => format!("to host {other}"),
                };
                bail!(
                    "port {port} is bound {bound}, and this is {host}; \
                     'openstack port set --host {host} {port}' binds it here"
                )
            }
            _ if !self.admin_up => bail!(
                "port {port} is administratively down; 'openstack port set --enable {port}' wants \
                 it up"
            ),
            _ => Ok(()),
        }
    }
}

/// Whether the details of an interface want a Linux bridge between it and the switch. Neutron's server
/// says null where the agent of the host has not said.
fn is_hybrid(details: &Map<String, Value>) -> bool {
    details.get(HYBRID).and_then(Value::as_bool).unwrap_or_default()
}

/// Where the API has a port.
pub(super) fn path(port_id: &str) -> String {
    format!("/v2.0/ports/{port_id}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_api_says_whether_there_is_a_linux_bridge() {
        for (details, expected) in [
            (json!({ "ovs_hybrid_plug": true, "port_filter": true }), true),
            (json!({ "ovs_hybrid_plug": false }), false),
            (json!({ "ovs_hybrid_plug": null }), false),
            (json!({}), false),
        ] {
            assert_eq!(is_hybrid(details.as_object().unwrap()), expected, "{details}");
        }
    }
}
