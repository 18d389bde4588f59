//! What to do: a function of what is. Pure.
//!
//! [`plan`] follows every port of the integration bridge along its way, each by itself:
//!
//! ```text
//! interface with iface-id -> ofport -> server knows it -> bound here -> wanted up
//!   -> its groups and their members known -> local VLAN -> zone cleared -> tag applied
//!   -> netfilter, where it filters the port -> flows -> up
//! ```
//!
//! Where a port stands is its [`State`]; a state that needs somebody to act says who and what.
//! Ports that have come as far as their tag are in the snapshot, and so in the flows.

pub(crate) mod apart;
pub(crate) mod datapath;
mod filter;
mod forwarding;
mod handover;
pub(crate) mod physical;
mod qos;
mod rewire;
mod stale;
pub(crate) mod trunk;
mod tunnel;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::bridge::layout::{self, Kind, Owner};
use dataplane::{Filter, LocalNetwork, LocalPort, Snapshot, Underlay};
use model::{
    NetworkId, OfPort, Port, PortId, PortSecurity, SecurityGroupId, Segment, TrunkId, VlanTag,
};
use openflow::{Command, Flow, FlowMod, MeterMod};
use ovsdb::{Replica, RowId};
use peer::chain;
use policy::RemoteSet;

pub use self::handover::Handover;
use self::qos::Policies;
pub use self::qos::QosChange;
use self::stale::is_stale;
pub use self::trunk::{Bound, TrunkCall, TrunkState, TrunkView};
use crate::bridge::{AnyBridge, BridgeId};
use crate::cache::{Binding, KnownPort, Query};
use crate::conntrack::Carry;
use crate::inventory::{Inventory, Report, Tagging, Wired};
use crate::links::{End, Links};
use crate::netfilter::NetfilterChange;
use crate::overlay::Tunnelled;
use crate::plugged::{Plug, Plugged, Record};
use crate::rewire::Rewiring;
use crate::vlan;

/// What a port on standby warns of.
const STANDBY: &str = "its virtual machine is active on another host; frames for it go there until \
                       it sends from here";

/// What to do next. There is no choice left in it, and doing it twice is harmless.
#[derive(Debug, Default)]
pub struct Plan {
    /// What must be known of the server.
    pub queries: BTreeSet<Query>,
    /// Tags to write to the database.
    pub tags: Vec<TagChange>,
    /// Networks that are to have a local VLAN of which nobody knows whose it was: its connections
    /// must go before a port of theirs may use it.
    pub clearing: BTreeMap<NetworkId, VlanTag>,
    /// Ports of bridges to make or to set.
    pub wiring: Vec<Wiring>,
    /// Limits of ports to write to the database.
    pub qos: Vec<QosChange>,
    /// A change of netfilter.
    pub netfilter: Option<NetfilterChange>,
    /// Sets of groups that are in force until the ports that have them are complete, because an agent
    /// before this one had flows apply their rules.
    pub handed_over: BTreeSet<BTreeSet<SecurityGroupId>>,
    /// Connections that flows are to know before they filter the ports that have them.
    pub(crate) carries: Vec<Carry>,
    /// What moves of ports need next.
    pub(crate) rewiring: Vec<Rewiring>,
    /// Ports that are behind Linux bridges, where netfilter filters them, or is to.
    behind_bridges: BTreeMap<PortId, Arc<Port>>,
    /// Changes of the integration bridge's meters. What flows need of them comes before the flows, and
    /// what none needs any more goes behind them.
    pub meters: Vec<MeterMod>,
    /// Changes of each bridge; there is none for a bridge that lacks nothing.
    pub bundles: BTreeMap<BridgeId, Vec<FlowMod>>,
    /// Whose flows on the integration bridge are not yet as they should be, those that the switch
    /// has refused included.
    pub lacking: BTreeSet<Owner>,
    /// Ports that the integration bridge's bundle completes.
    pub wires: BTreeMap<PortId, Arc<Wired>>,
    /// Networks whose population the report is to ask for.
    pub refresh: BTreeSet<Tunnelled>,
    /// Ports to report up.
    pub up: BTreeSet<PortId>,
    /// Ports to report down because they have gone.
    pub gone: BTreeSet<PortId>,
    /// Ports to report down although they are plugged in, because they carry nothing.
    pub down: BTreeSet<PortId>,
    /// What the server is to hear of trunks.
    pub trunk_calls: BTreeMap<TrunkId, TrunkCall>,
    /// Where each trunk stands, by the name of its bridge.
    pub trunks: BTreeMap<String, TrunkView>,
    /// Where each port stands.
    pub ports: BTreeMap<PortId, PortView>,
    /// Interfaces that are closed because another one has the same iface-id.
    pub duplicates: BTreeMap<String, PortId>,
    /// Interfaces that are closed because their iface-id, which is given, is not the id of a port.
    pub misnamed: BTreeMap<String, String>,
    /// The local VLAN and the segment of each network.
    pub networks: BTreeMap<NetworkId, LocalNetwork>,
    /// Groups that the server has not described yet, or whose members.
    pub unknown_groups: BTreeSet<SecurityGroupId>,
    /// Whether nothing that was plugged in waits for the server any more.
    pub warm: bool,
    /// What the bundles lead to.
    pub snapshot: Arc<Snapshot>,
}

/// A port of the integration bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortView {
    /// The name of its interface.
    pub interface: Arc<str>,
    /// Its port number (ofport), once it has one.
    pub ofport: Option<OfPort>,
    /// Its network, once the server has said it.
    pub network: Option<NetworkId>,
    /// Where it stands.
    pub state: State,
    /// What does not work although the port is up.
    pub warnings: Vec<String>,
}

/// Where a port stands on its way to being up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum State {
    /// It carries traffic and the server knows.
    #[error("up")]
    Up,
    /// It carries traffic; the server has not confirmed that it knows.
    #[error("wired; the server has not taken note of it yet")]
    Wired,
    /// Open vSwitch has given the interface no port.
    #[error("Open vSwitch has no port for the interface{}", reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default())]
    NoOfPort {
        /// `Interface.error`.
        reason: Option<String>,
    },
    /// The server has not answered yet.
    #[error("waiting for the server to describe {0}")]
    Asking(Asked),
    /// The server has no such port.
    #[error("the server has no port with this id; external_ids:iface-id may be wrong")]
    Unknown,
    /// What the server says of it makes no sense.
    #[error("the server's description cannot be used: {0}")]
    Unusable(String),
    /// It is bound to another host or to none.
    #[error("the port is not bound to this host; set its host with 'openstack port set --host'")]
    NotBoundHere,
    /// No segment of its network can be carried here.
    #[error(
        "binding failed: no segment of the port's network can be carried by this host, which has {abilities}"
    )]
    BindingFailed {
        /// What it can carry.
        abilities: String,
    },
    /// Its owner wants it down.
    #[error("the port is administratively down")]
    AdminDown,
    /// All local VLANs are in use.
    #[error("no local VLAN is free on this host (4094 networks are in use)")]
    NoVlan,
    /// What an earlier network on the local VLAN has left is not gone yet.
    #[error("waiting until no connection of an earlier network on local VLAN {0} is left")]
    Clearing(VlanTag),
    /// The tag has been decided, and is not in force yet.
    #[error("waiting for Open vSwitch to apply VLAN tag {0}")]
    Tagging(VlanTag),
    /// Netfilter is to have the rules, and has not taken them yet.
    #[error("waiting for netfilter to take the rules of the port")]
    Filtering,
    /// Netfilter has not taken the rules.
    #[error("netfilter does not filter the port: {0}")]
    NotFiltered(String),
    /// The flows have been decided, and are not in force yet.
    #[error("waiting for the switch to confirm the flows")]
    Flows,
    /// What carries the port's network to other nodes is not ready.
    #[error("{0}")]
    Underlay(String),
    /// The bridge cannot be reached.
    #[error("the management socket of the bridge does not answer; is ovs-vswitchd running?")]
    NoSwitch,
    /// It is closed.
    #[error("{0}")]
    Closed(String),
    /// The switch has refused its flows.
    #[error("the switch refused its flows: {0}")]
    Refused(String),
}

impl State {
    /// Whether the port carries nothing, and will not before somebody acts. Of ports that are not
    /// bound here the server does not hear from us.
    fn is_closed(&self) -> bool {
        match self {
            Self::NoOfPort { .. }
            | Self::Unusable(_)
            | Self::AdminDown
            | Self::NoVlan
            | Self::NotFiltered(_)
            | Self::Closed(_)
            | Self::Refused(_) => true,
            Self::Up
            | Self::Wired
            | Self::Asking(_)
            | Self::Unknown
            | Self::NotBoundHere
            | Self::BindingFailed { .. }
            | Self::Clearing(_)
            | Self::Tagging(_)
            | Self::Filtering
            | Self::Flows
            | Self::Underlay(_)
            | Self::NoSwitch => false,
        }
    }
}

/// What the server was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Asked {
    /// The port itself.
    #[error("the port")]
    Port,
    /// Its security groups and their members.
    #[error("its security groups")]
    Groups,
}

/// A tag to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagChange {
    /// The row of table Port.
    pub row: RowId,
    /// The tag, 1 to 4095.
    pub tag: u16,
    /// What `other_config` shall hold of the network; empty for a port that has none.
    pub record: BTreeMap<String, String>,
}

/// A change of a port that belongs to the bridges themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wiring {
    /// A port that is to be made, with one interface of the same name.
    Add {
        /// The bridge.
        bridge: RowId,
        /// The name.
        port: String,
        /// The type of the interface.
        kind: String,
        /// The options of the interface.
        options: BTreeMap<String, String>,
    },
    /// An end of a pair of a trunk that is to be made, with one interface of the same name.
    AddEnd {
        /// The bridge.
        bridge: RowId,
        /// The name.
        port: String,
        /// The VLAN that it is in.
        tag: u16,
        /// Whether it is in that VLAN alone, also without a tag.
        is_access: bool,
        /// The options of the interface.
        options: BTreeMap<String, String>,
        /// What is noted with the interface.
        external_ids: BTreeMap<String, String>,
    },
    /// A port that is to be in this VLAN alone.
    SetAccess {
        /// The port.
        port: RowId,
        /// The tag; 0 for frames without one.
        tag: u16,
    },
    /// What is to be noted with an interface; the rest stays.
    Note {
        /// The interface.
        interface: RowId,
        /// Keys of its `external_ids`.
        external_ids: BTreeMap<String, String>,
    },
    /// What is to be noted with a bridge; the rest stays.
    NoteBridge {
        /// The bridge.
        bridge: RowId,
        /// Keys of its `external_ids`.
        external_ids: BTreeMap<String, String>,
    },
    /// A bridge that is to have another datapath id.
    Identify {
        /// The bridge.
        bridge: RowId,
        /// Its datapath id, 16 hexadecimal digits.
        datapath_id: String,
    },
    /// A bridge that is to forward otherwise.
    SetBridge {
        /// The bridge.
        bridge: RowId,
        /// Whether it is to snoop for multicast; nothing where that is as it is.
        snooping: Option<bool>,
        /// Keys of its `other_config`; the others stay.
        other_config: BTreeMap<String, String>,
    },
    /// A port that multicast is to be forwarded to otherwise.
    SetPort {
        /// The port.
        port: RowId,
        /// Keys of its `other_config`; the others stay.
        other_config: BTreeMap<String, String>,
    },
    /// A port that is to be removed.
    Remove {
        /// The bridge.
        bridge: RowId,
        /// The port.
        port: RowId,
    },
    /// Options of an interface that are to be set; the others stay.
    Set {
        /// The interface.
        interface: RowId,
        /// The options.
        options: BTreeMap<String, String>,
    },
}

/// A network that has a port here.
struct Carried {
    id: NetworkId,
    network: LocalNetwork,
    /// What its ports carry in the database, once its zone is clear.
    record: Option<BTreeMap<String, String>>,
    /// What the last of its ports carries that has all of it.
    recorded: Option<Arc<Record>>,
}

impl Plan {
    /// A bridge is to have this port with these options: made, or set, unless there is one already
    /// that has them.
    fn provide(
        &mut self,
        bridge: RowId,
        port: &str,
        kind: &str,
        options: BTreeMap<String, String>,
        there: Option<&End>,
    ) {
        self.wiring.extend(match there {
            None => {
                let (port, kind) = (port.to_owned(), kind.to_owned());
                Some(Wiring::Add { bridge, port, kind, options })
            }
            Some(end) if end.has(&options) => None,
            Some(end) => Some(Wiring::Set { interface: end.interface, options }),
        });
    }
}

impl Wired {
    /// Whether the interface still has the port number.
    fn is_at(&self, plug: &Plug) -> bool {
        plug.ofport == Some(self.local.ofport)
    }
}

/// What to do next. Of the inventory, it brings what the bridge should have up to date.
pub fn plan(inventory: &mut Inventory) -> Plan {
    let mut plan = Plan { warm: true, ..Plan::default() };
    let Some(replica) = inventory.replica.clone() else { return Plan::default() };
    let plugged = inventory.plugged(&replica);
    close(&plugged, &mut plan);
    let links = inventory.links(&replica);
    let trunks = inventory.trunks(&replica);
    trunk::wire(inventory, &replica, &trunks, &mut plan);
    let policies = qos::policies(inventory, &plugged.ports, &mut plan);
    let mut snapshot = snapshot(inventory, &replica, &links, &plugged.ports, &policies, &mut plan);
    handover::to_flows(inventory, &replica, &snapshot, &mut plan);
    filter::follow(inventory, &replica, &mut snapshot, &mut plan);
    plan.handed_over = filter::handed_over(inventory, &snapshot);
    snapshot.in_force.extend(plan.handed_over.iter().cloned());
    let snapshot = Arc::new(snapshot);
    inventory.integration.flows.follow(&snapshot);
    physical::follow(inventory, &links, &snapshot);
    physical::wire(inventory, &replica, &links, &mut plan);
    tunnel::follow(inventory, &links, &snapshot);
    tunnel::wire(inventory, &replica, &links, &mut plan);
    datapath::repair(inventory, &replica, &mut plan);
    forwarding::set(inventory, &replica, &mut plan);
    qos::limit(inventory, &replica, &plugged.ports, policies, &mut plan);
    flows(inventory, &snapshot, &mut plan);
    rewire::follow(inventory, &replica, &plugged, &snapshot, &mut plan);
    reports(inventory, &plugged, &mut plan);
    tunnel::refresh(inventory, &snapshot, &mut plan);
    plan.snapshot = snapshot;
    plan
}

/// What the bridge should be like: every port goes as far on its way as it can.
fn snapshot(
    inventory: &Inventory,
    replica: &Replica,
    links: &Links,
    plugged: &BTreeMap<PortId, Plug>,
    policies: &Policies,
    plan: &mut Plan,
) -> Snapshot {
    plan.queries.extend(plugged.keys().copied().map(Query::Port));

    let mut candidates = Vec::with_capacity(plugged.len());
    let mut confirmed = Vec::new();
    for (id, plug) in plugged {
        match candidate(inventory, *id, plug, plan) {
            Ok((known, segment, ofport)) => {
                candidates.push((*id, plug, known, segment, ofport));
            }
            Err(state) => {
                // What was confirmed last goes on until the server has answered.
                let wired = inventory.wired.get(id);
                let asking = matches!(state, State::Asking(_));
                confirmed.extend(wired.filter(|wired| asking && wired.is_at(plug)));
                set_state(plan, *id, plug, state);
            }
        }
    }

    let wanted: BTreeSet<NetworkId> =
        candidates.iter().map(|(_, _, known, ..)| known.port.network).collect();
    let recorded = plugged.values().filter_map(|plug| plug.record.network);
    // A record is written when the zone is clear.
    let cleared = inventory.cleared.iter().map(|(id, tag)| (*id, *tag));
    let cleared = cleared.filter(|(id, _)| wanted.contains(id));
    let mut clear: Vec<(NetworkId, VlanTag)> = recorded.chain(cleared).collect();
    clear.dedup();
    let tags = vlan::assign(clear.iter().copied(), &wanted);

    let in_force = inventory.sets_in_force();
    for set in &in_force {
        ask_for_groups(inventory, set, plan);
    }
    let mut uplinks = physical::uplinks(inventory, links);
    uplinks.extend(tunnel::uplink(inventory, links));
    let mut snapshot = Snapshot {
        uplinks,
        in_force,
        groups: inventory.cache.security_groups(),
        members: inventory.cache.members(),
        permitted_ethertypes: inventory.permitted_ethertypes.clone(),
        strict_equivalence: inventory.strict_equivalence,
        ..Snapshot::default()
    };
    let kept = handover::Kept::of(inventory, plugged);
    let mut carried: Option<Carried> = None;
    for (id, plug, known, segment, ofport) in candidates {
        let filter = filter::of(inventory, id, plug);
        let is_doubled = inventory.moves.is_doubled(id, inventory.netfilter.filters(id));
        let is_kept = || filter == Filter::Flows && kept.keeps(inventory, id);
        if filter == Filter::Netfilter || is_doubled || is_kept() {
            plan.behind_bridges.insert(id, Arc::clone(&known.port));
        }
        let Some(tag) = tags.get(&known.port.network).copied() else {
            set_state(plan, id, plug, State::NoVlan);
            continue;
        };
        // Many ports are in one network: what follows from it is made once.
        let id_of_network = known.port.network;
        let is_this = |it: &Carried| (it.id, &it.network.segment) == (id_of_network, segment);
        if !carried.as_ref().is_some_and(is_this) {
            let network = LocalNetwork { vlan: tag, segment: segment.clone() };
            plan.networks.insert(known.port.network, network.clone());
            let record = if clear.contains(&(known.port.network, tag)) {
                Some(vlan::record(known.port.network, segment, tag))
            } else {
                if may_clear(inventory, tag) {
                    plan.clearing.insert(known.port.network, tag);
                }
                None
            };
            carried = Some(Carried { id: id_of_network, network, record, recorded: None });
        }
        let Some(Carried { network, record: Some(record), recorded, .. }) = &mut carried else {
            isolate(plug, plan);
            send_ahead(known, filter, &mut snapshot);
            set_state(plan, id, plug, State::Clearing(tag));
            continue;
        };
        // And many have the same recorded.
        if !recorded.as_ref().is_some_and(|recorded| Arc::ptr_eq(recorded, &plug.record)) {
            let has_all = plug.record.holds(record);
            *recorded = has_all.then(|| Arc::clone(&plug.record));
        }
        if plug.tag != Some(tag.get()) || recorded.is_none() {
            plan.tags.push(TagChange { row: plug.row, tag: tag.get(), record: record.clone() });
        }
        if plug.tag != Some(tag.get()) || !tag_is_applied(inventory, replica, plug) {
            send_ahead(known, filter, &mut snapshot);
            set_state(plan, id, plug, State::Tagging(tag));
            continue;
        }
        if filter == Filter::Netfilter
            && let Some(state) = filter::waiting(inventory, id)
        {
            set_state(plan, id, plug, state);
            continue;
        }
        if snapshot.networks.get(&known.port.network) != Some(network) {
            snapshot.networks.insert(known.port.network, network.clone());
        }
        let standby = matches!(known.binding, Binding::Standby(_));
        let (port, qos) = (Arc::clone(&known.port), policies.in_flows(inventory, id));
        snapshot.ports.insert(id, LocalPort { ofport, port, standby, filter, qos });
        set_state(plan, id, plug, State::Flows);
    }
    for wired in confirmed {
        let Wired { local, network } = &**wired;
        if local.filter == Filter::Netfilter {
            plan.behind_bridges.insert(local.port.id, Arc::clone(&local.port));
        }
        snapshot.networks.entry(local.port.network).or_insert_with(|| network.clone());
        snapshot.ports.insert(local.port.id, local.clone());
    }
    snapshot
}

/// The policy of a port that has to wait for its tag is most of what it needs, and nothing leads
/// there before the port's own flows do: it goes to the switch meanwhile.
fn send_ahead(known: &KnownPort, filter: Filter, snapshot: &mut Snapshot) {
    let groups = &known.port.groups;
    let is_managed = known.port.security == PortSecurity::Enabled && filter == Filter::Flows;
    if is_managed && !snapshot.in_force.contains(groups) {
        snapshot.in_force.insert(groups.clone());
    }
}

/// Whether no flow of ours leads into the zone any more, so that nothing comes back that is
/// cleared, and none of another bridge takes the tag for that of the network that had it before.
fn may_clear(inventory: &Inventory, tag: VlanTag) -> bool {
    let into_zone =
        |flow: &Flow| layout::is_weir(flow.cookie) && layout::network(flow) == Some(tag);
    let owners = [Owner::network(tag), Owner::population(tag)];
    let of_network =
        |flow: &Flow| Owner::of(flow.cookie).is_some_and(|owner| owners.contains(&owner));
    inventory.bridges().all(|(id, name)| {
        let bridge = inventory.bridge(id).filter(|bridge| !bridge.bundling);
        match bridge.and_then(|bridge| bridge.flows.installed()) {
            Some(there) => !there.iter().any(|flow| into_zone(flow) || of_network(flow)),
            // What is not there translates nothing.
            None => id != BridgeId::Integration && !inventory.has_bridge(name),
        }
    })
}

/// What names no port of the API by itself is in the dead VLAN.
fn close(plugged: &Plugged, plan: &mut Plan) {
    for (id, plug) in &plugged.duplicates {
        plan.duplicates.insert(plug.interface.to_string(), *id);
        bury(plug, plan);
    }
    for (text, plug) in &plugged.misnamed {
        plan.misnamed.insert(plug.interface.to_string(), text.clone());
        bury(plug, plan);
    }
}

/// The port, if it may be wired; else where it stands.
fn candidate<'a>(
    inventory: &'a Inventory,
    id: PortId,
    plug: &Plug,
    plan: &mut Plan,
) -> Result<(&'a KnownPort, &'a Segment, OfPort), State> {
    let cache = &inventory.cache;
    if !cache.is_known(Query::Port(id)) {
        plan.warm = false;
        isolate(plug, plan);
        return Err(State::Asking(Asked::Port));
    }
    let known = match cache.port(id) {
        None => Err(State::Unknown),
        Some(Err(error)) => Err(State::Unusable(chain(error))),
        Some(Ok(known)) => match &known.binding {
            Binding::Elsewhere => Err(State::NotBoundHere),
            Binding::Failed => Err(State::BindingFailed { abilities: abilities(inventory) }),
            Binding::Here(_) | Binding::Standby(_) if !known.port.admin_up => Err(State::AdminDown),
            Binding::Here(segment) | Binding::Standby(segment) => Ok((known, segment)),
        },
    };
    let (known, segment) = known.inspect_err(|_| bury(plug, plan))?;
    if !ask_for_groups(inventory, &known.port.groups, plan) {
        plan.warm = false;
        isolate(plug, plan);
        return Err(State::Asking(Asked::Groups));
    }
    // That of a port that is being moved stays.
    let ofport = plug.ofport.or_else(|| inventory.moves.ofport(id));
    let no_ofport = || State::NoOfPort { reason: plug.error.clone() };
    Ok((known, segment, ofport.ok_or_else(no_ofport)?))
}

/// Which networks the node can carry, in words.
fn abilities(inventory: &Inventory) -> String {
    let physical: Vec<&str> =
        inventory.physical.iter().map(|it| it.physical_network.as_str()).collect();
    let tunnels = inventory.tunnels.iter().flat_map(|it| it.config.types.iter().copied());
    let tunnels: Vec<&str> = tunnels.map(model::NetworkType::name).collect();
    let bridges = match physical.as_slice() {
        [] => "no bridge mappings".to_owned(),
        names => format!("bridge mappings for {}", names.join(", ")),
    };
    match tunnels.as_slice() {
        [] => format!("{bridges} and no tunnels"),
        types => format!("{bridges} and tunnels of type {}", types.join(", ")),
    }
}

/// A port without a tag is a trunk: NORMAL would show it the group frames of every network. One
/// with a tag keeps it, so that a restart of the agent is not felt.
fn isolate(plug: &Plug, plan: &mut Plan) {
    if plug.tag.is_none() {
        bury(plug, plan);
    }
}

/// Plans the dead VLAN for a port that is not in it.
fn bury(plug: &Plug, plan: &mut Plan) {
    if plug.tag != Some(VlanTag::DEAD) {
        let record = BTreeMap::new();
        plan.tags.push(TagChange { row: plug.row, tag: VlanTag::DEAD, record });
    }
}

/// Asks for these groups and for whom their rules name; tells whether all is known.
fn ask_for_groups(
    inventory: &Inventory,
    groups: &BTreeSet<SecurityGroupId>,
    plan: &mut Plan,
) -> bool {
    let mut known = true;
    for group in groups {
        // Many ports have the group; one has asked for all that follows from it.
        if plan.queries.contains(&Query::Group(*group)) {
            known &= !plan.unknown_groups.contains(group);
            continue;
        }
        let remotes = inventory.cache.remote_sets(*group).map(|set| match set {
            RemoteSet::Group(id) => Query::Members(id),
            RemoteSet::AddressGroup(id) => Query::AddressGroup(id),
        });
        let mut group_is_known = true;
        for query in [Query::Group(*group), Query::Rules(*group)].into_iter().chain(remotes) {
            group_is_known &= inventory.cache.is_known(query);
            plan.queries.insert(query);
        }
        if !group_is_known {
            plan.unknown_groups.insert(*group);
            known = false;
        }
    }
    known
}

/// Whether ovs-vswitchd has applied the tag that was last written for the port.
fn tag_is_applied(inventory: &Inventory, replica: &Replica, plug: &Plug) -> bool {
    match inventory.tagging.get(&plug.row) {
        None => true,
        Some(Tagging::Sent) => false,
        Some(Tagging::Written { configuration }) => {
            replica.open_vswitch.values().all(|row| row.cur_cfg >= *configuration)
        }
    }
}

fn set_state(plan: &mut Plan, id: PortId, plug: &Plug, state: State) {
    let view = PortView {
        interface: Arc::clone(&plug.interface),
        ofport: plug.ofport,
        network: plug.record.network.map(|(network, _)| network),
        state,
        warnings: Vec::new(),
    };
    plan.ports.insert(id, view);
}

/// The changes of the bridge, and where its ports stand by them.
fn flows(inventory: &Inventory, snapshot: &Snapshot, plan: &mut Plan) {
    let integration = &inventory.integration;
    let desired = integration.flows.desired();
    let mut closed = BTreeSet::new();
    for fault in &desired.faults {
        let Some(view) = plan.ports.get_mut(&fault.port()) else { continue };
        if fault.closes_port() {
            closed.insert(fault.port());
            view.state = State::Closed(fault.to_string());
        } else {
            view.warnings.push(fault.to_string());
        }
    }
    for (id, local) in &snapshot.ports {
        let broken =
            local.port.groups.iter().flat_map(|group| inventory.cache.broken_rules(*group));
        if let Some(view) = plan.ports.get_mut(id) {
            view.network = Some(local.port.network);
            if local.standby {
                view.warnings.push(STANDBY.to_owned());
            }
            view.warnings
                .extend(broken.map(|error| format!("a rule does not apply: {}", chain(error))));
        }
    }

    for (id, _) in inventory.bridges().filter(|(id, _)| *id != BridgeId::Integration) {
        let Some(bridge) = inventory.bridge(id).filter(|bridge| !bridge.bundling) else { continue };
        let mut changes =
            changes(bridge, may_add(inventory, bridge.vacant, plan.warm), &BTreeSet::new());
        if let (BridgeId::Tunnel, Some(tunnels)) = (id, &inventory.tunnels) {
            tunnel::hold(tunnels, &mut changes);
            tunnel::forget(&mut changes);
        }
        if !changes.is_empty() {
            plan.bundles.insert(id, changes);
        }
    }
    if integration.flows.installed().is_none() {
        for id in snapshot.ports.keys() {
            if let Some(view) = plan.ports.get_mut(id) {
                view.state = State::NoSwitch;
            }
        }
        return;
    }
    plan.lacking = integration.flows.lacking().collect();
    let may_add = may_add(inventory, integration.vacant, plan.warm);
    // While a bundle is under way the differences are what it mends; nothing can be sent anyway.
    if !integration.bundling {
        let gone = if may_add { BTreeSet::new() } else { gone(plan) };
        let changes = changes(integration, may_add, &gone);
        if !changes.is_empty() {
            plan.bundles.insert(BridgeId::Integration, changes);
        }
    }
    let is_lacking = |owner: Option<Owner>| owner.is_some_and(|it| plan.lacking.contains(&it));

    let networks = snapshot.networks.iter();
    let carriages: BTreeMap<&NetworkId, Carriage> =
        networks.map(|(id, network)| (id, carriage(inventory, snapshot, network))).collect();
    for (id, local) in &snapshot.ports {
        let policy = desired.policies.get(id).map(|policy| Owner::policy(*policy));
        let own = Owner::port(*id);
        let refusal = refusal(inventory, &plan.lacking, own, policy);
        let wired = inventory.wired.get(id).filter(|_| inventory.confirmed);
        let wired = wired.is_some_and(|wired| wired.local.ofport == local.ofport);
        let Some(view) = plan.ports.get_mut(id) else { continue };
        match refusal {
            _ if closed.contains(id) => continue,
            Some(Refusal::Shared(message)) if wired => {
                view.warnings.push(State::Refused(message).to_string());
            }
            Some(Refusal::Own(message) | Refusal::Shared(message)) => {
                view.state = State::Refused(message);
                continue;
            }
            // Its flows are held back.
            None if !may_add && (is_lacking(Some(own)) || is_lacking(policy)) => {
                continue;
            }
            None => {}
        }
        if let Some(network) = snapshot.networks.get(&local.port.network) {
            // What was confirmed before goes on, for those who talk within the node.
            let is_new = !inventory.wired.contains_key(id);
            match carriages.get(&local.port.network) {
                Some(Carriage::Soon) if is_new => continue,
                Some(Carriage::Trouble(trouble)) if is_new => {
                    view.state = State::Underlay(trouble.clone());
                    continue;
                }
                Some(Carriage::Trouble(trouble)) => view.warnings.push(trouble.clone()),
                _ => {}
            }
            let before = inventory.wired.get(id);
            let as_before = before.filter(|it| it.local == *local && it.network == *network);
            let wired = as_before.map_or_else(
                || Arc::new(Wired { local: local.clone(), network: network.clone() }),
                Arc::clone,
            );
            plan.wires.insert(*id, wired);
        }
        if wired {
            if let State::Asking(asked) = &view.state {
                view.warnings.push(format!("{asked} may have changed; the last known goes on"));
            }
            let up = inventory.reported.get(id) == Some(&Report::Up);
            view.state = if up { State::Up } else { State::Wired };
        }
    }
}

/// How far what carries a network to other nodes has come.
enum Carriage {
    /// It does.
    Ready,
    /// It will when the switch has confirmed its flows.
    Soon,
    /// It does not, and why.
    Trouble(String),
}

fn carriage(inventory: &Inventory, snapshot: &Snapshot, network: &LocalNetwork) -> Carriage {
    let Some(underlay) = Underlay::of(&network.segment) else { return Carriage::Ready };
    let found = inventory.carrier(&underlay).and_then(|id| Some((id, inventory.bridge(id)?)));
    let Some((id, bridge)) = found else {
        let trouble = format!("no bridge carries {underlay} on this node (see bridge mappings)");
        return Carriage::Trouble(trouble);
    };
    let name = inventory.name(id);
    let owners = [Owner::BASE, Owner::network(network.vlan)];
    let mut refused = owners.iter().filter_map(|owner| bridge.refused.get(owner));
    Carriage::Trouble(if let Some(refused) = refused.next() {
        format!("bridge {name} refused its flows: {}", refused.message)
    } else if !inventory.has_bridge(name) {
        format!("bridge {name}, which carries {underlay}, is not there; make it")
    } else if bridge.flows.installed().is_none() {
        format!("the management socket of bridge {name} does not answer")
    } else if snapshot.uplink(network).is_none() || !inventory.is_patched(id) {
        format!("waiting for the patch ports to bridge {name}")
    } else if bridge.holds(&owners) {
        return Carriage::Ready;
    } else {
        return Carriage::Soon;
    })
}

/// What the switch refused that a port needs, and what it said.
enum Refusal {
    /// Flows of its own, or of its policy.
    Own(String),
    /// Flows that all ports share.
    Shared(String),
}

fn refusal(
    inventory: &Inventory,
    lacking: &BTreeSet<Owner>,
    port: Owner,
    policy: Option<Owner>,
) -> Option<Refusal> {
    let own = [Some(port), policy].into_iter().flatten();
    let mut own = own.filter_map(|owner| inventory.integration.refused.get(&owner));
    if let Some(refused) = own.next() {
        return Some(Refusal::Own(refused.message.clone()));
    }
    let mut shared = inventory
        .integration
        .refused
        .iter()
        .filter(|(owner, _)| !matches!(owner.kind, Kind::Port | Kind::Policy))
        .filter(|(owner, _)| lacking.contains(owner));
    shared.next().map(|(_, refused)| Refusal::Shared(refused.message.clone()))
}

/// What of a bridge's differences may be mended now. Not flows whose owner had one refused; and
/// until everything has been asked about, nothing that the agent before this one has installed,
/// except flows of ports that are `gone`.
fn changes(bridge: &AnyBridge, may_add: bool, gone: &BTreeSet<Owner>) -> Vec<FlowMod> {
    // There may be very many, and they come step by step.
    if !may_add && gone.is_empty() {
        return Vec::new();
    }
    let held = bridge.held();
    let desired = bridge.flows.flows();
    let mut changes =
        bridge.flows.differences(|cookie| layout::is_weir(cookie) || bridge.inherited.is_some());
    changes.retain(|change| {
        let is_delete = change.command == Command::DeleteStrict;
        if is_delete && !layout::is_weir(change.flow.cookie) {
            // What replaces it comes with it.
            let inherited = bridge.inherited.as_ref();
            return may_add && inherited.is_some_and(|it| it.goes(&change.flow));
        }
        let Some(owner) = Owner::of(change.flow.cookie) else { return may_add };
        // A permission that was taken away goes, whatever becomes of the others.
        let is_held = held.contains(&owner) && !(is_delete && is_stale(&change.flow, desired));
        !is_held
            && !bridge.foreign.holds(&change.flow)
            && (may_add || (is_delete && gone.contains(&owner)))
    });
    changes
}

/// Ports that have flows and are not plugged in any more.
fn gone(plan: &Plan) -> BTreeSet<Owner> {
    let plugged: BTreeSet<Owner> = plan.ports.keys().map(|id| Owner::port(*id)).collect();
    let ports = plan.lacking.iter().filter(|owner| owner.kind == Kind::Port);
    ports.filter(|owner| !plugged.contains(owner)).copied().collect()
}

/// Whether there is nothing of an earlier agent that is still to be understood.
fn may_add(inventory: &Inventory, vacant: bool, warm: bool) -> bool {
    inventory.warm || vacant || warm
}

/// What the server should hear.
fn reports(inventory: &Inventory, plugged: &Plugged, plan: &mut Plan) {
    let is_up = |id: &PortId| inventory.reported.get(id) == Some(&Report::Up);
    plan.up = plugged.ancillary.iter().filter(|id| !is_up(id)).copied().collect();
    for (id, view) in &plan.ports {
        let reported = inventory.reported.get(id).copied();
        match view.state {
            State::Wired => {
                plan.up.insert(*id);
            }
            // The server set it down when it was made; it is told again only of a change.
            State::NoOfPort { .. } if reported != Some(Report::Up) => {}
            _ if view.state.is_closed() && reported != Some(Report::Down) => {
                plan.down.insert(*id);
            }
            _ => {}
        }
    }
    plan.gone = inventory
        .reported
        .iter()
        .filter(|(_, report)| **report == Report::Up)
        .filter(|(id, _)| !plugged.ports.contains_key(id) && !plugged.ancillary.contains(id))
        .map(|(id, _)| *id)
        .collect();
}

#[cfg(test)]
mod tests;
