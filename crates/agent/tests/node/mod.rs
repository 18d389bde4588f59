//! A node for tests: the agent on a real switch, with a server that answers from a list.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

pub(crate) mod feed;
pub(crate) mod moving;
pub(crate) mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::admin::AskError;
use agent::journal::Journal;
use agent::rewire::{Migrate, MoveStatus};
use agent::status::Status;
use agent::trace::{Question, Trace};
use agent::verify::Report;
use agent::{Agent, Config, Extensions, Firewall, Forwarding, PermittedEtherType, TunnelConfig};
use neutron::bus::local::LocalBus;
use neutron::bus::{Caster, ServerEnd};
use neutron::object::{
    IpAllocation, NetworkSegment, Object, Port, PortBinding, PortBindingLevel, ResourceType, Trunk,
};
use neutron::rpc::{
    AgentStatus, BoundSubport, Cast, DeviceListResult, EventType, FdbEntries, Request, TunnelEnd,
    Tunnels, UpdateSubportBindings,
};
use testkit::{Namespace, Switch, eventually};

/// The name of the node.
pub(crate) const HOST: &str = "node1";
/// How long anything may take that should happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The id of object `n`.
pub(crate) fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// The MAC address of port `n`.
pub(crate) fn mac(n: u32) -> String {
    let [_, a, b, c] = n.to_be_bytes();
    format!("fa:16:3e:{a:02x}:{b:02x}:{c:02x}")
}

/// A VLAN of the physical network that the node has a bridge for.
pub(crate) fn vlan(tag: u32) -> NetworkSegment {
    NetworkSegment {
        id: id(0x8100),
        network_type: "vlan".to_owned(),
        physical_network: Some("physnet1".to_owned()),
        segmentation_id: Some(tag),
        ..NetworkSegment::default()
    }
}

/// Port `n` of a network, bound to the node, which carries it by this segment, in one group. Its
/// address is 10.0 and the low half of its number.
pub(crate) fn bound(n: u32, network: u32, segment: NetworkSegment, group: u32) -> Port {
    let [_, _, high, low] = n.to_be_bytes();
    let ip_address = format!("10.0.{high}.{low}");
    let (host, vif_type) = (HOST.to_owned(), "ovs".to_owned());
    let segment = Some(segment);
    Port {
        id: id(n),
        network_id: id(network),
        mac_address: mac(n),
        admin_state_up: true,
        bindings: vec![PortBinding { host: host.clone(), vif_type, ..PortBinding::default() }],
        binding_levels: vec![PortBindingLevel { host, segment, ..PortBindingLevel::default() }],
        fixed_ips: vec![IpAllocation { ip_address, ..IpAllocation::default() }],
        security_group_ids: vec![id(group)],
        revision_number: 1,
        ..Port::default()
    }
}

/// A server that knows what it is given.
#[derive(Clone)]
pub(crate) struct Server {
    objects: Arc<Mutex<BTreeMap<String, Object>>>,
    /// The ports that were reported up, and not down since.
    up: Arc<Mutex<BTreeSet<String>>>,
    /// What it was asked for.
    asked: Arc<Mutex<BTreeSet<ResourceType>>>,
    /// What it was told of trunks: the subports to bind, and statuses.
    told: Arc<Mutex<Vec<String>>>,
    /// Whether it leaves questions for objects unanswered.
    silent: Arc<AtomicBool>,
    /// Where tunnels end; it does not answer while nobody has said.
    ends: Arc<Mutex<Option<Vec<String>>>>,
    /// What it tells who asks for all that is behind tunnels.
    population: Arc<Mutex<Option<FdbEntries>>>,
    pub(crate) caster: Caster,
}

impl Server {
    fn start(mut end: ServerEnd, objects: Vec<Object>) -> Self {
        let objects = objects.into_iter().map(|object| (object.id().to_owned(), object)).collect();
        let objects = Arc::new(Mutex::new(objects));
        let asked = Arc::default();
        let (up, silent, told) = (Arc::default(), Arc::default(), Arc::default());
        let (ends, population) = (Arc::default(), Arc::default());
        let caster = end.caster();
        let server = Self { objects, up, asked, told, silent, ends, population, caster };
        let answering = server.clone();
        tokio::spawn(async move {
            while let Some(request) = end.next_request().await {
                answering.answer(request);
            }
        });
        server
    }

    fn answer(&self, request: Request) {
        match request {
            Request::ReportState(_, responder) => responder.reply(AgentStatus::Alive),
            Request::BulkPull(..) if self.silent.load(Ordering::Relaxed) => {}
            Request::BulkPull(pull, responder) => {
                self.asked.lock().unwrap().insert(pull.resource);
                let objects = self.objects.lock().unwrap();
                let (field, values) = pull.filter.first_key_value().unwrap();
                let matches = |object: &&Object| match (object, field.as_str()) {
                    (Object::Port(port), "security_group_ids") => {
                        port.security_group_ids.iter().any(|id| values.contains(id))
                    }
                    (Object::SecurityGroupRule(rule), _) => {
                        values.contains(&rule.security_group_id)
                    }
                    (other, _) => values.iter().any(|id| id == other.id()),
                };
                let of_type = objects.values().filter(|object| object.resource() == pull.resource);
                responder.reply(of_type.filter(matches).cloned().collect());
            }
            Request::Pull(call, responder) => {
                let objects = self.objects.lock().unwrap();
                let is_it = |object: &&Object| match object {
                    Object::Trunk(trunk) => trunk.port_id == call.id,
                    other => other.id() == call.id,
                };
                let mut of_type = objects.values().filter(|it| it.resource() == call.resource);
                responder.reply(of_type.find(is_it).cloned());
            }
            Request::UpdateSubportBindings(call, responder) => {
                responder.reply(self.bind_subports(call));
            }
            Request::UpdateTrunkStatus(call, responder) => {
                self.told.lock().unwrap().push(call.status.clone());
                self.change_trunk(&call.trunk_id, |trunk| trunk.status = call.status);
                responder.reply(());
            }
            Request::UpdateDeviceList(call, responder) => {
                let mut up = self.up.lock().unwrap();
                up.retain(|device| !call.devices_down.contains(device));
                up.extend(call.devices_up.iter().cloned());
                if call.refresh_tunnels {
                    let table = self.population.lock().unwrap().clone();
                    table.into_iter().for_each(|table| {
                        self.caster.cast_to(HOST, Cast::AddFdbEntries(table));
                    });
                }
                let devices_up = call.devices_up;
                responder.reply(DeviceListResult { devices_up, ..DeviceListResult::default() });
            }
            Request::TunnelSync(call, responder) => {
                let Some(ends) = self.ends.lock().unwrap().clone() else { return };
                let end = |ip_address: &String| TunnelEnd {
                    ip_address: ip_address.clone(),
                    udp_port: None,
                    host: ip_address.clone(),
                };
                let tunnels = ends.iter().chain([&call.tunnel_ip]).map(end).collect();
                responder.reply(Tunnels { tunnels });
            }
            other => panic!("unexpected {}", other.method()),
        }
    }

    /// Binds those that it knows to the node.
    fn bind_subports(&self, call: UpdateSubportBindings) -> BTreeMap<String, Vec<BoundSubport>> {
        let mut bound: BTreeMap<String, Vec<BoundSubport>> = BTreeMap::new();
        for subport in call.subports {
            self.told.lock().unwrap().push(format!("bind {}", subport.port_id));
            self.change_trunk(&subport.trunk_id, |trunk| trunk.status = "BUILD".to_owned());
            let of_trunk = bound.entry(subport.trunk_id).or_default();
            let known = self.objects.lock().unwrap().get(&subport.port_id).cloned();
            let Some(Object::Port(mut port)) = known else { continue };
            port.bindings.iter_mut().for_each(|it| it.host = HOST.to_owned());
            port.binding_levels.iter_mut().for_each(|it| it.host = HOST.to_owned());
            port.revision_number += 1;
            let (id, mac_address) = (port.id.clone(), port.mac_address.clone());
            of_trunk.push(BoundSubport { id, mac_address, extra: Default::default() });
            self.add(Object::Port(port));
        }
        bound
    }

    /// Changes a trunk, and tells nobody.
    pub(crate) fn change_trunk(&self, id: &str, change: impl FnOnce(&mut Trunk)) {
        if let Some(Object::Trunk(trunk)) = self.objects.lock().unwrap().get_mut(id) {
            change(trunk);
            trunk.revision_number += 1;
        }
    }

    /// What it was told of trunks since it was asked last.
    pub(crate) fn told_of_trunks(&self) -> Vec<String> {
        std::mem::take(&mut *self.told.lock().unwrap())
    }

    /// Whether it has heard that the port is up.
    pub(crate) fn thinks_up(&self, port: &str) -> bool {
        self.up.lock().unwrap().contains(port)
    }

    /// Whether it was asked for such objects since [`Self::forget_questions`].
    pub(crate) fn was_asked(&self, resource: ResourceType) -> bool {
        self.asked.lock().unwrap().contains(&resource)
    }

    pub(crate) fn forget_questions(&self) {
        self.asked.lock().unwrap().clear();
    }

    /// From now on it answers no question for objects, or does again.
    pub(crate) fn keep_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// Where tunnels end, beside those of who asks; `None` to leave the question unanswered.
    pub(crate) fn set_ends(&self, ends: Option<&[&str]>) {
        let ends = ends.map(|ends| ends.iter().map(|end| (*end).to_owned()).collect());
        *self.ends.lock().unwrap() = ends;
    }

    /// What it tells who asks for all that is behind tunnels.
    pub(crate) fn set_population(&self, table: Option<FdbEntries>) {
        *self.population.lock().unwrap() = table;
    }

    pub(crate) fn add(&self, object: Object) {
        self.objects.lock().unwrap().insert(object.id().to_owned(), object.clone());
        self.caster.cast(Cast::Push { event: EventType::Updated, objects: vec![object] });
    }

    /// As [`Server::add`], without a word to anybody.
    pub(crate) fn add_silently(&self, object: Object) {
        self.objects.lock().unwrap().insert(object.id().to_owned(), object);
    }

    pub(crate) fn delete(&self, resource: ResourceType, id: &str) {
        self.objects.lock().unwrap().remove(id);
        let objects = vec![Object::deleted(resource, id.to_owned())];
        self.caster.cast(Cast::Push { event: EventType::Deleted, objects });
    }
}

/// A node: a private switch, an agent, a server.
pub(crate) struct Node {
    runtime: tokio::runtime::Runtime,
    bus: LocalBus,
    pub(crate) server: Server,
    agent: Option<Agent>,
    pub(crate) switch: Switch,
    settings: Settings,
    /// Where the agent finds the management socket of the bridge; that of the switch if `None`.
    management: Option<PathBuf>,
}

/// What a node is configured to do.
#[derive(Default)]
pub(crate) struct Settings {
    /// The native one where it is not said.
    pub(crate) firewall: Option<Firewall>,
    pub(crate) permitted_ethertypes: BTreeSet<PermittedEtherType>,
    pub(crate) strict_equivalence: bool,
    pub(crate) forwarding: Forwarding,
    pub(crate) drop_flows_on_start: bool,
    pub(crate) tunnel: Option<TunnelConfig>,
    pub(crate) meters_bandwidth: bool,
    /// Whether netfilter has a rule for each member of a group, and no sets.
    pub(crate) without_sets: bool,
    /// Where the agent is; with the switch if `None`.
    pub(crate) namespace: Option<Namespace>,
}

impl Node {
    pub(crate) fn start(objects: Vec<Object>) -> Self {
        Self::start_with(objects, Settings::default())
    }

    /// As [`Node::start`], with these settings.
    pub(crate) fn start_with(objects: Vec<Object>, settings: Settings) -> Self {
        let node = Self::start_on(Switch::start().unwrap(), objects, settings, None);
        node.wait("the bridge", |status| status.connections.switch == "ok");
        eventually(PATIENCE, || node.is_joined()).unwrap();
        node
    }

    /// As [`Node::start_with`], without waiting, with a server that is told first what it knows of
    /// tunnels.
    pub(crate) fn start_told(
        objects: Vec<Object>,
        settings: Settings,
        tell: impl FnOnce(&Switch, &Server),
    ) -> Self {
        Self::start_in_steps(Switch::start().unwrap(), objects, settings, None, tell)
    }

    /// As [`Node::start`], with the management socket in the directory that `stand_in` makes.
    pub(crate) fn start_behind(
        objects: Vec<Object>,
        stand_in: impl FnOnce(&Switch) -> PathBuf,
    ) -> Self {
        let switch = Switch::start().unwrap();
        let management = stand_in(&switch);
        Self::start_on(switch, objects, Settings::default(), Some(management))
    }

    fn start_on(
        switch: Switch,
        objects: Vec<Object>,
        settings: Settings,
        management: Option<PathBuf>,
    ) -> Self {
        Self::start_in_steps(switch, objects, settings, management, |_, _| {})
    }

    fn start_in_steps(
        switch: Switch,
        objects: Vec<Object>,
        settings: Settings,
        management: Option<PathBuf>,
        tell: impl FnOnce(&Switch, &Server),
    ) -> Self {
        switch.add_bridge("br-phys").unwrap();
        // The kernel keeps connections for each namespace; a thread sees those of its own.
        let namespace = settings.namespace.as_ref().unwrap_or_else(|| switch.namespace());
        let runtime = namespace.inside(tokio::runtime::Runtime::new).unwrap().unwrap();
        let (bus, end) = LocalBus::new();
        let server = runtime.block_on(async { Server::start(end, objects) });
        tell(&switch, &server);
        let agent = None;
        let mut node = Self { runtime, bus, server, agent, switch, settings, management };
        node.start_agent();
        node
    }

    /// Whether frames pass between the integration bridge and the physical one.
    fn is_joined(&self) -> bool {
        let peer = |end: &str| {
            self.switch.vsctl(&["--if-exists", "get", "Interface", end, "options:peer"])
        };
        [("int-br-phys", "phy-br-phys"), ("phy-br-phys", "int-br-phys")]
            .into_iter()
            .all(|(end, other)| peer(end).is_ok_and(|peer| peer.trim() == other))
    }

    pub(crate) fn start_agent(&mut self) {
        let config = Config {
            host: HOST.to_owned(),
            ovsdb: self.switch.db_remote().parse().unwrap(),
            ovs_run_dir: self.management.as_deref().unwrap_or(self.switch.run_dir()).to_owned(),
            vswitchd_socket: self.management.as_ref().map(|_| self.switch.vswitchd_ctl()),
            integration_bridge: "br-int".to_owned(),
            datapath_type: self.switch.datapath_type().to_owned(),
            bridge_mappings: BTreeMap::from([("physnet1".to_owned(), "br-phys".to_owned())]),
            tunnel: self.settings.tunnel.clone(),
            permitted_ethertypes: self.settings.permitted_ethertypes.clone(),
            firewall: self.settings.firewall.unwrap_or(Firewall::OpenVswitch),
            enable_ipset: !self.settings.without_sets,
            strict_equivalence: self.settings.strict_equivalence,
            extensions: Extensions {
                meters_bandwidth: self.settings.meters_bandwidth,
                ..Extensions::ALL
            },
            forwarding: self.settings.forwarding.clone(),
            drop_flows_on_start: self.settings.drop_flows_on_start,
            gather: Duration::from_millis(2),
            report_interval: Duration::from_secs(30),
            identity: agent::Identity::weir(),
            admin_socket: self.admin_socket(),
        };
        let end = self.bus.join(HOST);
        // Its thread is to be in the same namespace as those of the runtime.
        let started = self.runtime.spawn(async { Agent::start(config, end) });
        self.agent = Some(self.runtime.block_on(started).unwrap().unwrap());
    }

    /// As [`Node::start_agent`], with another firewall from now on.
    pub(crate) fn start_agent_with(&mut self, firewall: Firewall) {
        self.settings.firewall = Some(firewall);
        self.start_agent();
    }

    pub(crate) fn stop_agent(&mut self) {
        let agent = self.agent.take().unwrap();
        self.runtime.block_on(agent.stop());
    }

    fn admin_socket(&self) -> PathBuf {
        self.switch.run_dir().join("agent.sock")
    }

    pub(crate) fn status(&self) -> Status {
        self.runtime.block_on(agent::admin::status(&self.admin_socket())).unwrap()
    }

    /// Wants ports moved to another driver, as `weir migrate-driver` does.
    pub(crate) fn migrate(&self, to: &str, ports: &[String]) -> Result<Vec<MoveStatus>, AskError> {
        let migrate = Migrate { to: to.to_owned(), ports: ports.to_vec() };
        self.runtime.block_on(agent::admin::migrate(&self.admin_socket(), migrate))
    }

    pub(crate) fn journal(&self, after: u64) -> Journal {
        self.runtime.block_on(agent::admin::journal(&self.admin_socket(), after)).unwrap()
    }

    pub(crate) fn verify(&self) -> Report {
        self.runtime.block_on(agent::admin::verify(&self.admin_socket())).unwrap()
    }

    pub(crate) fn trace(&self, question: Question) -> Trace {
        self.runtime.block_on(agent::admin::trace(&self.admin_socket(), question)).unwrap()
    }

    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        self.wait_within(PATIENCE, what, condition);
    }

    pub(crate) fn wait_within(
        &self,
        time: Duration,
        what: &str,
        condition: impl Fn(&Status) -> bool,
    ) {
        let mut last = None;
        let waited = eventually(time, || {
            let status = self.status();
            let holds = condition(&status);
            last = Some(status);
            holds
        });
        assert!(waited.is_ok(), "{what}: {last:#?}");
    }

    /// Plugs a device in as the port with this id, on the dead VLAN, as os-vif does it.
    pub(crate) fn plug(&self, device: &str, port: &str) {
        let iface_id = format!("external_ids:iface-id={port}");
        let add = ["add-port", "br-int", device, "tag=4095", "--", "set", "Interface", device];
        self.switch.vsctl(&[&add[..], &[iface_id.as_str()]].concat()).unwrap();
    }

    /// As [`Node::plug`], all of them at once.
    pub(crate) fn plug_all(&self, ports: &[(String, String)]) {
        let mut command: Vec<String> = Vec::new();
        for (device, port) in ports {
            let iface_id = format!("external_ids:iface-id={port}");
            let add = ["--", "add-port", "br-int", device, "tag=4095"];
            let set = ["--", "set", "Interface", device, &iface_id];
            command.extend([&add[..], &set].concat().into_iter().map(str::to_owned));
        }
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        self.switch.vsctl(&command).unwrap();
    }

    pub(crate) fn wait_up(&self, ports: usize) {
        // Of many, netfilter may take a change after the other; an emulated processor is slow at it.
        self.wait_within(3 * PATIENCE, "all ports up", |status| {
            status.ports.len() == ports && status.ports.iter().all(|port| port.up)
        });
    }

    pub(crate) fn flows(&self) -> Vec<String> {
        self.flows_of("br-int")
    }

    pub(crate) fn flows_of(&self, bridge: &str) -> Vec<String> {
        let dump = self.switch.ofctl(&["--no-stats", "dump-flows", bridge]).unwrap();
        // What the switch has learned comes and goes by itself.
        let learned = |line: &&str| line.trim().starts_with("cookie=0x3e1706");
        let kept = dump.lines().filter(|line| !learned(line));
        let mut flows: Vec<String> = kept.map(str::to_owned).collect();
        flows.sort();
        flows
    }
}
