//! What is: everything that the agent knows at one moment, from which `plan` decides. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::bridge::Follower;
use dataplane::bridge::physical::Physical;
use dataplane::bridge::tunnel::{self, Tunnels};
use dataplane::{FlowSet, LocalNetwork, LocalPort, PermittedEtherType, Underlay};
use model::{NetworkId, PortId, SecurityGroupId, TrunkId, VlanTag};
use neutron::object::{self, Object};
use ovsdb::{Replica, RowId};

use crate::bridge::{AnyBridge, Bridge, BridgeId};
use crate::cache::Cache;
use crate::config::{Extensions, Forwarding};
use crate::firewall::Firewall;
use crate::links::Links;
use crate::meter::Meters;
use crate::netfilter::Netfilter;
use crate::overlay::{Overlay, Tunnelled};
use crate::path::Sight;
use crate::plan::{Bound, Handover, Plan, State};
use crate::plugged::Plugged;
use crate::rewire::Moves;
use crate::trunks::Trunks;
use crate::tunnel::TunnelConfig;

/// Everything that the agent knows.
#[derive(Debug)]
pub struct Inventory {
    /// The name of the integration bridge.
    pub integration_bridge: String,
    /// Who applies the rules of security groups.
    pub firewall: Firewall,
    /// Whether addresses of remote groups are in sets of addresses, not in rules, where netfilter
    /// applies them.
    pub enable_ipset: bool,
    /// Frames that pass managed ports without a check.
    pub permitted_ethertypes: BTreeSet<PermittedEtherType>,
    /// Whether the rules of managed ports filter IP multicast and broadcast.
    pub strict_equivalence: bool,
    /// How bridges forward where flows say NORMAL.
    pub forwarding: Forwarding,
    /// What the agent does besides wiring and filtering.
    pub extensions: Extensions,
    /// The database; `None` until it was read for the first time.
    pub replica: Option<Arc<Replica>>,
    /// Its interfaces that name a port of the API, as the last plan has read them.
    pub(crate) plugged: Arc<Plugged>,
    /// Its ports that belong to the bridges themselves, likewise.
    links: Arc<Links>,
    /// Its trunks, likewise.
    trunks: Arc<Trunks>,
    /// What the server has told.
    pub cache: Cache,
    /// The integration bridge.
    pub integration: Bridge<Follower>,
    /// Its meters.
    pub meters: Meters,
    /// Netfilter, as far as it filters ports.
    pub netfilter: Netfilter,
    /// Connections of ports that flows filter, and netfilter did for an agent before this one.
    pub handover: Handover,
    /// The Linux bridges between machines and the integration bridge.
    pub devices: Sight,
    /// Ports that are moved from one firewall driver to the other.
    pub moves: Moves,
    /// The bridges of physical networks.
    pub physical: Vec<PhysicalBridge>,
    /// The bridge of tunnels, where this node takes part in any.
    pub tunnels: Option<TunnelBridge>,
    /// Whether everything that was plugged in when the agent started has been asked about. Until
    /// then the flows of the agent before this one stay.
    pub warm: bool,
    /// Ports whose flows the switch has confirmed, as they were then. A lost connection leaves
    /// it: what was confirmed last is what the switch goes by, or goes by again.
    pub wired: BTreeMap<PortId, Arc<Wired>>,
    /// Whether `wired` is of this connection to the switch.
    pub confirmed: bool,
    /// Sets of groups that ports had until a moment ago; see `dataplane::Snapshot::in_force`.
    /// With each, how many times it was left and has not faded.
    pub lingering: BTreeMap<BTreeSet<SecurityGroupId>, u32>,
    /// What the server has been told of each port.
    pub reported: BTreeMap<PortId, Report>,
    /// Ports that the server has called down since the last report was sent.
    pub doubted: BTreeSet<PortId>,
    /// The subports of each trunk that the server was asked to bind.
    pub trunks_bound: BTreeMap<TrunkId, Bound>,
    /// Trunks of which the server is being told something.
    pub trunk_calls: BTreeSet<TrunkId>,
    /// Rows of table Port whose tag was written and is not known to be in force.
    pub tagging: BTreeMap<RowId, Tagging>,
    /// Local VLANs of networks that have no record of them yet, with nothing left in their zones
    /// of whoever had them before.
    pub cleared: BTreeMap<NetworkId, VlanTag>,
}

/// A port whose flows the switch has confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wired {
    /// The port, by which its flows were computed.
    pub local: LocalPort,
    /// Its network.
    pub network: LocalNetwork,
}

/// How far a tag has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagging {
    /// On its way to the database.
    Sent,
    /// In the database. ovs-vswitchd has applied it when `Open_vSwitch.cur_cfg` has come as far.
    Written {
        /// `next_cfg` after the transaction.
        configuration: i64,
    },
}

/// What the server has been told of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// It carries traffic.
    Up,
    /// It does not, although it is plugged in.
    Down,
}

/// The bridge of a physical network.
#[derive(Debug, Clone)]
pub struct PhysicalBridge {
    /// The physical network.
    pub physical_network: String,
    /// The name of the bridge.
    pub name: String,
    /// Its flows.
    pub bridge: Bridge<FlowSet>,
    /// What they are computed from.
    pub(crate) by: Option<Physical>,
}

impl PhysicalBridge {
    /// One that nothing is known of yet.
    pub fn new(physical_network: &str, name: &str) -> Self {
        Self {
            physical_network: physical_network.to_owned(),
            name: name.to_owned(),
            bridge: Bridge::default(),
            by: None,
        }
    }
}

/// The bridge of tunnels.
#[derive(Debug)]
pub struct TunnelBridge {
    /// How this node takes part in tunnels.
    pub config: TunnelConfig,
    /// What the server has told of them.
    pub overlay: Overlay,
    /// Its flows.
    pub bridge: Bridge<tunnel::Follower>,
    /// Networks that tunnels carry from here, by local VLAN.
    pub carried: BTreeMap<VlanTag, Tunnelled>,
    /// What its flows are computed from.
    pub(crate) by: Option<Tunnels>,
}

impl TunnelBridge {
    /// One that nothing is known of yet.
    pub fn new(config: TunnelConfig) -> Self {
        let types = config.types.iter().copied();
        Self {
            overlay: Overlay::new(config.local_ip, types, config.l2_population),
            config,
            bridge: Bridge::default(),
            carried: BTreeMap::new(),
            by: None,
        }
    }
}

impl Inventory {
    /// What an agent that has just started knows.
    pub fn new(host: &str, integration_bridge: &str) -> Self {
        Self {
            integration_bridge: integration_bridge.to_owned(),
            permitted_ethertypes: BTreeSet::new(),
            firewall: Firewall::OpenVswitch,
            enable_ipset: true,
            strict_equivalence: false,
            forwarding: Forwarding::default(),
            extensions: Extensions::default(),
            replica: None,
            plugged: Arc::default(),
            links: Arc::default(),
            trunks: Arc::default(),
            cache: Cache::new(host),
            integration: Bridge::default(),
            meters: Meters::default(),
            netfilter: Netfilter::default(),
            handover: Handover::default(),
            devices: Sight::default(),
            moves: Moves::default(),
            physical: Vec::new(),
            tunnels: None,
            warm: false,
            wired: BTreeMap::new(),
            confirmed: false,
            lingering: BTreeMap::new(),
            reported: BTreeMap::new(),
            doubted: BTreeSet::new(),
            trunks_bound: BTreeMap::new(),
            trunk_calls: BTreeSet::new(),
            tagging: BTreeMap::new(),
            cleared: BTreeMap::new(),
        }
    }

    /// The bridges that are looked after, with their names.
    pub fn bridges(&self) -> impl Iterator<Item = (BridgeId, &str)> {
        let physical = self.physical.iter().enumerate();
        let physical = physical.map(|(place, it)| (BridgeId::Physical(place), it.name.as_str()));
        let tunnels = self.tunnels.iter().map(|it| (BridgeId::Tunnel, it.config.bridge.as_str()));
        let integration = (BridgeId::Integration, self.integration_bridge.as_str());
        std::iter::once(integration).chain(physical).chain(tunnels)
    }

    /// What a bridge is called.
    pub fn name(&self, id: BridgeId) -> &str {
        match id {
            BridgeId::Integration => &self.integration_bridge,
            BridgeId::Physical(place) => self.physical.get(place).map_or("", |it| &it.name),
            BridgeId::Tunnel => self.tunnels.as_ref().map_or("", |it| &it.config.bridge),
        }
    }

    /// A bridge by what it is.
    pub fn bridge(&self, id: BridgeId) -> Option<&AnyBridge> {
        match id {
            BridgeId::Integration => Some(&self.integration),
            BridgeId::Physical(place) => self.physical.get(place).map(|it| &it.bridge as _),
            BridgeId::Tunnel => self.tunnels.as_ref().map(|it| &it.bridge as _),
        }
    }

    /// A bridge by what it is.
    pub fn bridge_mut(&mut self, id: BridgeId) -> Option<&mut AnyBridge> {
        match id {
            BridgeId::Integration => Some(&mut self.integration),
            BridgeId::Physical(place) => self.physical.get_mut(place).map(|it| &mut it.bridge as _),
            BridgeId::Tunnel => self.tunnels.as_mut().map(|it| &mut it.bridge as _),
        }
    }

    /// The bridge that carries an underlay.
    pub fn carrier(&self, underlay: &Underlay) -> Option<BridgeId> {
        match underlay {
            Underlay::Physical(name) => {
                let mut physical = self.physical.iter();
                physical.position(|it| it.physical_network == *name).map(BridgeId::Physical)
            }
            Underlay::Tunnels => self.tunnels.as_ref().map(|_| BridgeId::Tunnel),
        }
    }

    /// Whether the database has a bridge of this name.
    pub fn has_bridge(&self, name: &str) -> bool {
        self.replica.as_ref().is_some_and(|replica| replica.bridge(name).is_some())
    }

    /// Whether a bridge beside the integration bridge has its port that leads there.
    pub fn is_patched(&self, id: BridgeId) -> bool {
        match id {
            BridgeId::Integration => false,
            BridgeId::Physical(place) => {
                let by = self.physical.get(place).and_then(|it| it.by.as_ref());
                by.is_some_and(|by| by.patch.is_some())
            }
            BridgeId::Tunnel => {
                let by = self.tunnels.as_ref().and_then(|it| it.by.as_ref());
                by.is_some_and(|by| by.patch.is_some())
            }
        }
    }

    /// A bridge holds these flows; `None` where it cannot be reached, or is about to lose them. No
    /// port counts as wired until the integration bridge has confirmed that it lacks nothing.
    pub fn reconnect(&mut self, id: BridgeId, installed: Option<FlowSet>) {
        if let Some(bridge) = self.bridge_mut(id) {
            bridge.reconnect(installed, id.predecessor());
        }
        if id == BridgeId::Integration {
            self.confirmed = false;
        }
    }

    /// The interfaces of this replica that name a port of the API.
    pub fn plugged(&mut self, replica: &Arc<Replica>) -> Arc<Plugged> {
        if !self.plugged.is_of(replica) {
            let own = self.bridges().map(|(_, name)| name).collect();
            let plugged = Plugged::read(replica, &self.integration_bridge, &own);
            self.plugged = Arc::new(plugged);
        }
        Arc::clone(&self.plugged)
    }

    /// The ports of this replica that belong to the bridges themselves.
    pub fn links(&mut self, replica: &Arc<Replica>) -> Arc<Links> {
        if !self.links.is_of(replica) {
            self.links = Arc::new(Links::read(replica, self));
        }
        Arc::clone(&self.links)
    }

    /// The trunks of this replica.
    pub fn trunks(&mut self, replica: &Arc<Replica>) -> Arc<Trunks> {
        if !self.trunks.is_of(replica) {
            self.trunks = Arc::new(Trunks::read(replica, &self.integration_bridge));
        }
        Arc::clone(&self.trunks)
    }

    /// Forgets tags that ovs-vswitchd has applied.
    pub fn forget_applied_tags(&mut self) {
        let applied = self.applied();
        self.tagging.retain(|_, tagging| match tagging {
            Tagging::Sent => true,
            Tagging::Written { configuration } => *configuration > applied,
        });
    }

    /// The server says these objects. A port that it takes for down is reported again, whatever it
    /// was told before: its virtual machine may have come from another host, where it was on standby
    /// here and reported as such.
    pub fn hear(&mut self, objects: &[Object]) {
        for object in objects {
            if let Object::Port(port) = object
                && port.status == object::Port::DOWN
                && let Ok(id) = port.id.parse()
                && self.wired.contains_key(&id)
            {
                self.doubted.insert(id);
                if self.reported.get(&id) == Some(&Report::Up) {
                    self.reported.remove(&id);
                }
            }
        }
    }

    /// The server has taken note of these ports as up. One that it has called down since it was told
    /// may be what it was told before.
    pub fn reported_up(&mut self, ids: impl IntoIterator<Item = PortId>) {
        for id in ids {
            if !self.doubted.contains(&id) {
                self.reported.insert(id, Report::Up);
            }
        }
    }

    /// Forgets what the plan has found to be settled: reports of ports that the server has taken
    /// away since, local VLANs of networks that have gone, and refusals of flows that are not wanted
    /// any more.
    pub fn forget_settled(&mut self, plan: &Plan) {
        self.trunks_bound.retain(|id, bound| {
            let mut views = plan.trunks.values();
            let view = views.find(|view| view.trunk == Some(*id));
            view.map(|view| bound.keep_only(&view.subports)).is_some()
        });
        self.cleared
            .retain(|id, tag| plan.networks.get(id).is_some_and(|network| network.vlan == *tag));
        self.reported.retain(|id, report| match plan.ports.get(id).map(|view| &view.state) {
            Some(State::Unknown | State::NotBoundHere | State::BindingFailed { .. }) => false,
            Some(_) => true,
            None => *report == Report::Up,
        });
        if plan.warm {
            let ids: Vec<BridgeId> = self.bridges().map(|(id, _)| id).collect();
            for bridge in ids {
                if let Some(bridge) = self.bridge_mut(bridge) {
                    bridge.forget_settled();
                }
            }
        }
    }

    /// The sets of groups by which the switch may be judging packets.
    pub fn sets_in_force(&self) -> BTreeSet<BTreeSet<SecurityGroupId>> {
        let wired = self.wired.values().map(|wired| &wired.local);
        let managed = wired.filter(|local| local.is_managed()).map(|local| &local.port);
        // Many ports have the same set.
        let sets: BTreeSet<_> =
            managed.map(|port| &port.groups).chain(self.lingering.keys()).collect();
        sets.into_iter().cloned().collect()
    }

    /// Takes note of what the switch has confirmed. Gives the sets of groups that no port has any
    /// more, those included that were `handed_over`; they linger until [`Self::fade`].
    pub fn confirm(
        &mut self,
        wires: BTreeMap<PortId, Arc<Wired>>,
        handed_over: BTreeSet<BTreeSet<SecurityGroupId>>,
    ) -> BTreeSet<BTreeSet<SecurityGroupId>> {
        self.confirmed = true;
        // As after most plans.
        if self.wired == wires {
            return BTreeSet::new();
        }
        let mut before = self.sets_in_force();
        before.extend(handed_over);
        self.wired = wires;
        let after = self.sets_in_force();
        let left: BTreeSet<_> = before.difference(&after).cloned().collect();
        for set in &left {
            *self.lingering.entry(set.clone()).or_default() += 1;
        }
        left
    }

    /// No packet can be on its way under these sets any more.
    pub fn fade(&mut self, sets: &BTreeSet<BTreeSet<SecurityGroupId>>) {
        for set in sets {
            if let Some(times) = self.lingering.get_mut(set) {
                *times = times.saturating_sub(1);
            }
        }
        self.lingering.retain(|_, times| *times > 0);
    }

    /// The last configuration that the replica has, as `next_cfg` counts them.
    pub fn requested(&self) -> i64 {
        let rows = self.replica.iter().flat_map(|replica| replica.open_vswitch.values());
        rows.map(|row| row.next_cfg).min().unwrap_or(0)
    }

    /// The last configuration that ovs-vswitchd has applied, as `next_cfg` counts them.
    pub fn applied(&self) -> i64 {
        let rows = self.replica.iter().flat_map(|replica| replica.open_vswitch.values());
        rows.map(|row| row.cur_cfg).min().unwrap_or(0)
    }
}
