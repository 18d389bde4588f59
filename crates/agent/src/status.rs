//! How the node is, for people and for machines: what `weir status` shows.

use dataplane::{Filter, LocalPort};
use serde::{Deserialize, Serialize};

use crate::inventory::Inventory;
use crate::plan::{Plan, State, TrunkState, TrunkView};

/// How a node is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The host name under which the server knows it.
    pub host: String,
    /// Its connections.
    pub connections: Connections,
    /// The integration bridge.
    pub bridge: BridgeStatus,
    /// What carries networks to other nodes.
    pub underlays: Vec<UnderlayStatus>,
    /// Its networks, by local VLAN.
    pub networks: Vec<NetworkStatus>,
    /// Its ports, by interface name.
    pub ports: Vec<PortStatus>,
    /// Its trunks, by the name of their bridge.
    #[serde(default)]
    pub trunks: Vec<TrunkStatus>,
    /// What the switch has refused.
    pub refused: Vec<RefusedStatus>,
}

/// What the agent is connected to; each is `ok`, or says why not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// The Open vSwitch database.
    pub ovsdb: String,
    /// The management socket of the integration bridge.
    pub switch: String,
    /// The server.
    pub server: String,
    /// Whoever keeps the connections that virtual machines have open.
    pub conntrack: String,
}

/// The integration bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeStatus {
    /// Its name.
    pub name: String,
    /// How many flows it holds, those of others included.
    pub flows: usize,
    /// How many flow modifications the agent has sent since it started.
    pub flow_mods: u64,
    /// In how many bundles.
    pub bundles: u64,
    /// What others have done to its flows.
    pub foreign: ForeignStatus,
}

/// What others have done to the flows of a bridge since the agent started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignStatus {
    /// `ok`, or why nobody would see it.
    pub watched: String,
    /// How many flows they have deleted.
    pub removed: u64,
    /// How many they have changed.
    pub changed: u64,
    /// How many they have added under cookies of Weir's.
    pub added: u64,
    /// How many of all that have been mended.
    pub mended: u64,
    /// How many have not.
    pub damaged: usize,
    /// Whether they are left for a moment, because somebody does it again and again.
    pub held: bool,
    /// What was done last.
    pub last: Option<String>,
    /// How many seconds ago.
    pub last_seconds_ago: Option<u64>,
}

/// Something that carries networks to other nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderlayStatus {
    /// The physical network, or `tunnels`.
    pub name: String,
    /// The bridge that leads there.
    pub bridge: String,
    /// `ok`, or why the bridge cannot be reached.
    pub state: String,
    /// How many flows it holds, those of others included.
    pub flows: usize,
    /// What others have done to them.
    pub foreign: ForeignStatus,
}

/// A network that has ports here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkStatus {
    /// Its id.
    pub id: String,
    /// Its local VLAN, which is its conntrack zone too.
    pub vlan: u16,
    /// How it is carried.
    pub network_type: String,
    /// Its physical network.
    pub physical_network: Option<String>,
    /// Its VLAN tag, VNI or key.
    pub segmentation_id: Option<u32>,
    /// How many ports it has here.
    pub ports: usize,
}

/// A port that is plugged in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Its id, as the interface has it.
    pub id: String,
    /// Its interface.
    pub interface: String,
    /// Its port number (ofport).
    pub ofport: Option<u16>,
    /// Its network.
    pub network: Option<String>,
    /// Who applies its security groups: `flows`, `netfilter` or `nobody`; nothing before that is so.
    #[serde(default)]
    pub filtered_by: Option<String>,
    /// Whether it carries traffic and the server knows.
    pub up: bool,
    /// Where it stands; for a port that is not up, why.
    pub state: String,
    /// What does not work although it is up.
    pub warnings: Vec<String>,
}

impl PortStatus {
    /// An interface that nothing is asked about, because what it says of itself cannot be right.
    fn closed(id: &str, interface: &str, state: &str) -> Self {
        Self {
            id: id.to_owned(),
            interface: interface.to_owned(),
            ofport: None,
            network: None,
            filtered_by: None,
            up: false,
            state: state.to_owned(),
            warnings: Vec::new(),
        }
    }
}

/// Who applies the security groups of a port.
fn filtered_by(local: &LocalPort) -> &'static str {
    match local.filter {
        Filter::Netfilter => "netfilter",
        Filter::Flows if local.is_managed() => "flows",
        Filter::Flows | Filter::Nothing => "nobody",
    }
}

/// A trunk whose virtual machine is plugged in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrunkStatus {
    /// Its bridge.
    pub bridge: String,
    /// Its id, once the server has said it.
    pub id: Option<String>,
    /// The port whose frames have no tag.
    pub parent: String,
    /// Its subports.
    pub subports: Vec<SubPortStatus>,
    /// Whether all of it is wired and the server knows.
    pub up: bool,
    /// Where it stands; if it is not up, why.
    pub state: String,
}

/// A subport of a trunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubPortStatus {
    /// The port.
    pub id: String,
    /// Its tag.
    pub vlan: u16,
}

impl TrunkStatus {
    fn new(bridge: &str, view: &TrunkView) -> Self {
        let subports = view.subports.iter();
        let subports =
            subports.map(|(id, tag)| SubPortStatus { id: id.to_string(), vlan: tag.get() });
        Self {
            bridge: bridge.to_owned(),
            id: view.trunk.map(|id| id.to_string()),
            parent: view.parent.to_string(),
            subports: subports.collect(),
            up: view.state == TrunkState::Up,
            state: view.state.to_string(),
        }
    }
}

/// Flows that the switch has refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedStatus {
    /// The bridge.
    pub bridge: String,
    /// `port`, `policy`, `class`, `network` or `base`.
    pub kind: String,
    /// The object in the flows' cookie.
    pub object: u64,
    /// What the switch said.
    pub message: String,
    /// How often in a row.
    pub times: u32,
}

impl Status {
    /// The status by the last plan.
    pub(crate) fn new(host: &str, inventory: &Inventory, plan: &Plan) -> Self {
        let ports: Vec<PortStatus> = plan
            .ports
            .iter()
            .map(|(id, view)| PortStatus {
                id: id.to_string(),
                interface: view.interface.to_string(),
                ofport: view.ofport.map(model::OfPort::get),
                network: view.network.map(|id| id.to_string()),
                filtered_by: plan.snapshot.ports.get(id).map(|local| filtered_by(local).to_owned()),
                up: view.state == State::Up,
                state: view.state.to_string(),
                warnings: view.warnings.clone(),
            })
            .chain(plan.duplicates.iter().map(|(interface, id)| {
                let state = "another interface has the same external_ids:iface-id; remove one";
                PortStatus::closed(&id.to_string(), interface, state)
            }))
            .chain(plan.misnamed.iter().map(|(interface, id)| {
                let state = "external_ids:iface-id of the interface is not the id of a port (a \
                             UUID); 'weir plug' sets it";
                PortStatus::closed(id, interface, state)
            }))
            .collect();
        let mut networks: Vec<NetworkStatus> = plan
            .networks
            .iter()
            .map(|(id, network)| NetworkStatus {
                id: id.to_string(),
                vlan: network.vlan.get(),
                network_type: network.segment.network_type.to_string(),
                physical_network: network.segment.physical_network.clone(),
                segmentation_id: network.segment.segmentation_id.map(model::SegmentationId::get),
                ports: plan.ports.values().filter(|view| view.network == Some(*id)).count(),
            })
            .collect();
        networks.sort_by_key(|network| network.vlan);
        let bridges = inventory
            .bridges()
            .filter_map(|(id, name)| Some((name, &inventory.bridge(id)?.refused)));
        let refused = bridges
            .flat_map(|(name, refused)| refused.iter().map(move |(owner, it)| (name, owner, it)))
            .map(|(name, owner, refused)| RefusedStatus {
                bridge: name.to_owned(),
                kind: owner.kind.name().to_owned(),
                object: owner.object,
                message: refused.message.clone(),
                times: refused.times,
            })
            .collect();
        let mut status = Self {
            host: host.to_owned(),
            connections: Connections::default(),
            bridge: BridgeStatus {
                name: inventory.integration_bridge.clone(),
                flows: inventory.integration.flows.installed().map_or(0, dataplane::FlowSet::len),
                ..BridgeStatus::default()
            },
            underlays: Vec::new(),
            networks,
            ports,
            trunks: plan.trunks.iter().map(|(name, view)| TrunkStatus::new(name, view)).collect(),
            refused,
        };
        status.ports.sort_by(|a, b| a.interface.cmp(&b.interface));
        status
    }
}
