//! `weir show networks`: which networks have ports here, and how their frames leave.

use std::{collections::BTreeMap, process::ExitCode};

use agent::status::{NetworkStatus, PortStatus, Status};
use serde::{Deserialize, Serialize};

use super::ServerOptions;
use crate::output::{Format, table};

/// Whom to ask, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    format: Format,
}

/// The answer, as JSON.
#[derive(Debug, Serialize)]
struct Networks {
    networks: Vec<Network>,
}

/// A network with ports here.
#[derive(Debug, Serialize)]
struct Network {
    id: String,
    /// Where the server can be asked.
    name: Option<String>,
    /// Which is the conntrack zone too.
    local_vlan: u16,
    network_type: String,
    physical_network: Option<String>,
    segmentation_id: Option<u32>,
    /// The bridge that frames leave this machine by.
    leaves_by: Option<String>,
    /// Interfaces.
    ports: Vec<String>,
}

/// What is asked of the server.
#[derive(Debug, Deserialize)]
struct Named {
    id: String,
    name: String,
}

/// Shows them.
///
/// # Errors
/// When the agent cannot be asked. Without the server, networks have no names.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let socket = options.server.state_dir.admin_socket();
    let status = agent::admin::status(&socket).await?;
    let names: Vec<Named> = match options.server.client() {
        Ok(mut api) => {
            let named = api.get("/v2.0/networks?fields=id&fields=name", "networks");
            named.await.unwrap_or_default()
        }
        Err(_) => Vec::new(),
    };
    let names = names.into_iter().map(|Named { id, name }| (id, name)).collect();
    options.format.print(&networks(status, &names), text)?;
    Ok(ExitCode::SUCCESS)
}

fn networks(status: Status, names: &BTreeMap<String, String>) -> Networks {
    let Status { networks, ports, underlays, .. } = status;
    let networks = networks.into_iter().map(|network| {
        let NetworkStatus { id, vlan, network_type, physical_network, segmentation_id, .. } =
            network;
        let is_here = |port: &&PortStatus| port.network.as_ref() == Some(&id);
        let underlay = match (&physical_network, segmentation_id) {
            (Some(name), _) => Some(name.as_str()),
            // What is numbered and on no physical network is in tunnels.
            (None, Some(_)) => Some("tunnels"),
            (None, None) => None,
        };
        let carrier = underlays.iter().find(|it| Some(it.name.as_str()) == underlay);
        let leaves_by = carrier.map(|it| it.bridge.clone());
        Network {
            name: names.get(&id).cloned(),
            local_vlan: vlan,
            network_type,
            physical_network,
            segmentation_id,
            leaves_by,
            ports: ports.iter().filter(is_here).map(|port| port.interface.clone()).collect(),
            id,
        }
    });
    Networks { networks: networks.collect() }
}

fn text(answer: &Networks) -> String {
    if answer.networks.is_empty() {
        return "no network has a port on this machine\n".to_owned();
    }
    let rows = answer.networks.iter().map(|network| {
        let none = || "-".to_owned();
        [
            network.id.clone(),
            network.name.clone().unwrap_or_default(),
            network.local_vlan.to_string(),
            network.network_type.clone(),
            network.physical_network.clone().unwrap_or_else(none),
            network.segmentation_id.map_or_else(none, |id| id.to_string()),
            network.leaves_by.clone().unwrap_or_else(|| "stays here".to_owned()),
            network.ports.join(" "),
        ]
    });
    let heading = [
        "network",
        "name",
        "local vlan",
        "type",
        "physical network",
        "segment",
        "leaves by",
        "ports here",
    ];
    table(heading, rows.collect())
}

#[cfg(test)]
mod tests {
    use agent::status::UnderlayStatus;

    use super::*;

    #[test]
    fn for_people() {
        let network = |id: &str, vlan, network_type: &str, physical: Option<&str>| NetworkStatus {
            id: id.to_owned(),
            vlan,
            network_type: network_type.to_owned(),
            physical_network: physical.map(str::to_owned),
            segmentation_id: physical.map(|_| 117),
            ports: 0,
        };
        let port = |interface: &str| PortStatus {
            filtered_by: None,
            id: "port".to_owned(),
            interface: interface.to_owned(),
            ofport: None,
            network: Some("net1".to_owned()),
            up: true,
            state: "up".to_owned(),
            warnings: Vec::new(),
        };
        let status = Status {
            networks: vec![
                network("net1", 1, "vlan", Some("physnet1")),
                network("net2", 2, "local", None),
            ],
            underlays: vec![UnderlayStatus {
                name: "physnet1".to_owned(),
                bridge: "br-phys".to_owned(),
                ..Default::default()
            }],
            ports: vec![port("tap1"), port("tap2")],
            ..Default::default()
        };
        let names = BTreeMap::from([("net1".to_owned(), "red".to_owned())]);
        expect_test::expect![[r#"
            NETWORK  NAME  LOCAL VLAN  TYPE   PHYSICAL NETWORK  SEGMENT  LEAVES BY   PORTS HERE
            net1     red   1           vlan   physnet1          117      br-phys     tap1 tap2
            net2           2           local  -                 -        stays here
        "#]]
        .assert_eq(&text(&networks(status, &names)));
        assert_eq!(
            text(&networks(Status::default(), &names)),
            "no network has a port on this machine\n"
        );
    }
}
