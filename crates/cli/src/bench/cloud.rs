//! The server of a measurement: it plays Neutron on the bus, from a list in memory, so that ten
//! thousand members need not be created through an API and a message is on the bus when it is sent.
//!
//! Three groups: every port of the node is in *all*, whose rules admit the members of *remote*;
//! nobody names *other*. Each rule of *all* is one flow: none can be merged with another one.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use neutron::{
    bus::{Caster, ServerEnd},
    object::{
        IpAllocation, NetworkSegment, Object, Port, PortBinding, PortBindingLevel, ResourceType,
        SecurityGroup, SecurityGroupRule,
    },
    rpc::{AgentStatus, Cast, DeviceDown, DeviceListResult, EventType, Request},
};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

/// The name by which ports are bound to this node.
pub(super) const HOST: &str = "bench";
/// The physical network of all ports.
pub(super) const PHYSICAL_NETWORK: &str = "physnet1";
/// The bridge that leads there.
pub(super) const PHYSICAL_BRIDGE: &str = "br-phys";
/// The UDP port that members of *remote* may reach.
pub(super) const SERVED: u16 = 7000;
/// How many rules of *all* are not like the others: members may come, members may be gone to.
pub(super) const OWN_RULES: u16 = 2;
/// The first addresses of ports of this node and of other members.
const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 10);
const MEMBERS: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 0);

/// A server that knows what it was given. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Cloud {
    known: Arc<Mutex<Known>>,
    caster: Caster,
    /// When each port was last reported up.
    up: Arc<watch::Sender<BTreeMap<String, Instant>>>,
    network: String,
    /// The group of every port.
    pub(super) all: String,
    /// The group whose members its rules admit.
    pub(super) remote: String,
    /// A group without any.
    pub(super) other: String,
}

#[derive(Debug, Default)]
struct Known {
    ports: BTreeMap<String, Port>,
    groups: BTreeMap<String, SecurityGroup>,
    rules: BTreeMap<String, SecurityGroupRule>,
    revision: u64,
}

impl Cloud {
    /// A server with the three groups and this many rules in *all*, whose end of the bus is
    /// answered from now on.
    pub(super) fn start(mut end: ServerEnd, rules: u16) -> Self {
        let id = || Uuid::new_v4().to_string();
        let cloud = Self {
            known: Arc::default(),
            caster: end.caster(),
            up: Arc::new(watch::Sender::new(BTreeMap::new())),
            network: id(),
            all: id(),
            remote: id(),
            other: id(),
        };
        {
            let mut known = cloud.known();
            for group in [&cloud.all, &cloud.remote, &cloud.other] {
                let security_group =
                    SecurityGroup { id: group.clone(), stateful: true, ..SecurityGroup::default() };
                known.groups.insert(group.clone(), security_group);
            }
            let from_members = cloud.served_rule("udp", SERVED);
            let to_members = SecurityGroupRule {
                remote_group_id: Some(cloud.remote.clone()),
                ..rule(&cloud.all, "egress")
            };
            let own = [from_members, to_members, rule(&cloud.remote, "egress")];
            let own = own.into_iter().chain([rule(&cloud.other, "egress")]);
            let many = (OWN_RULES..rules).map(|number| cloud.distinct_rule(number));
            for rule in own.chain(many) {
                known.rules.insert(rule.id.clone(), rule);
            }
        }
        let answering = cloud.clone();
        tokio::spawn(async move {
            while let Some(request) = end.next_request().await {
                answering.answer(request);
            }
        });
        cloud
    }

    /// A rule of *all* that admits the members of *remote* to a port.
    pub(super) fn served_rule(&self, protocol: &str, port: u16) -> SecurityGroupRule {
        SecurityGroupRule {
            protocol: Some(protocol.to_owned()),
            port_range_min: Some(port.into()),
            port_range_max: Some(port.into()),
            remote_group_id: Some(self.remote.clone()),
            ..rule(&self.all, "ingress")
        }
    }

    /// A rule of *all* that lets members of *remote* ping.
    pub(super) fn pinged_rule(&self) -> SecurityGroupRule {
        SecurityGroupRule {
            protocol: Some("icmp".to_owned()),
            remote_group_id: Some(self.remote.clone()),
            ..rule(&self.all, "ingress")
        }
    }

    /// A rule of *all* that no other one makes superfluous or can be merged with.
    pub(super) fn distinct_rule(&self, number: u16) -> SecurityGroupRule {
        let port = 1000 + 2 * (u32::from(number) % 30_000);
        let prefix = format!("172.{}.0.0/16", 16 + number % 16);
        SecurityGroupRule {
            protocol: Some("tcp".to_owned()),
            port_range_min: Some(port),
            port_range_max: Some(port),
            remote_ip_prefix: Some(prefix.clone()),
            normalized_cidr: Some(prefix),
            ..rule(&self.all, "ingress")
        }
    }

    /// A port of this node, with an address of its own.
    pub(super) fn local_port(&self, number: u16, groups: &[&str]) -> Port {
        let segment = NetworkSegment {
            id: self.network.clone(),
            network_type: "vlan".to_owned(),
            physical_network: Some(PHYSICAL_NETWORK.to_owned()),
            segmentation_id: Some(100),
            ..NetworkSegment::default()
        };
        let host = HOST.to_owned();
        let vif_type = "ovs".to_owned();
        Port {
            bindings: vec![PortBinding { host: host.clone(), vif_type, ..PortBinding::default() }],
            binding_levels: vec![PortBindingLevel {
                host,
                segment: Some(segment),
                ..PortBindingLevel::default()
            }],
            ..self.port(LOCAL, 0, u32::from(number), groups)
        }
    }

    /// A port elsewhere that is a member of *remote*. No two addresses are neighbours.
    pub(super) fn member(&self, number: u32) -> Port {
        let remote = self.remote.clone();
        Port { ..self.port(MEMBERS, 1, number * 3, &[&remote]) }
    }

    fn port(&self, first: Ipv4Addr, kind: u8, number: u32, groups: &[&str]) -> Port {
        let address = Ipv4Addr::from(u32::from(first) + number);
        let [_, high, middle, low] = number.to_be_bytes();
        Port {
            id: Uuid::new_v4().to_string(),
            network_id: self.network.clone(),
            mac_address: format!("fa:16:{kind:02x}:{high:02x}:{middle:02x}:{low:02x}"),
            admin_state_up: true,
            fixed_ips: vec![IpAllocation {
                ip_address: address.to_string(),
                ..IpAllocation::default()
            }],
            security_group_ids: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Port::default()
        }
    }

    /// Takes ports in before an agent is there.
    pub(super) fn fill(&self, ports: impl IntoIterator<Item = Port>) {
        let ports = ports.into_iter().map(|port| (port.id.clone(), port));
        self.known().ports.extend(ports);
    }

    /// Creates or changes a port, and tells agents.
    pub(super) fn put_port(&self, mut port: Port) {
        let mut known = self.known();
        known.revision += 1;
        port.revision_number = known.revision;
        known.ports.insert(port.id.clone(), port.clone());
        drop(known);
        self.tell(EventType::Updated, Object::Port(port));
    }

    /// Deletes a port, and tells agents.
    pub(super) fn delete_port(&self, id: &str) {
        self.known().ports.remove(id);
        self.tell(EventType::Deleted, Object::deleted(ResourceType::Port, id));
    }

    /// Waits until these ports are up: when the last of them was reported.
    pub(super) async fn all_up(&self, ports: &[String]) -> Instant {
        let mut up = self.up.subscribe();
        let last = |up: &BTreeMap<String, Instant>| {
            ports
                .iter()
                .map(|port| up.get(port).copied())
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .max()
        };
        // The other end is `self`, so it is there.
        let reported = up.wait_for(|up| last(up).is_some()).await;
        reported.ok().and_then(|up| last(&up)).unwrap_or_else(Instant::now)
    }

    /// Waits until none of these ports is up.
    pub(super) async fn none_up(&self, ports: &[String]) {
        let mut up = self.up.subscribe();
        let _ = up.wait_for(|up| !ports.iter().any(|port| up.contains_key(port))).await;
    }

    /// Creates a rule, and tells agents.
    pub(super) fn put_rule(&self, mut rule: SecurityGroupRule) {
        let mut known = self.known();
        known.revision += 1;
        rule.revision_number = known.revision;
        known.rules.insert(rule.id.clone(), rule.clone());
        drop(known);
        self.tell(EventType::Updated, Object::SecurityGroupRule(rule));
    }

    /// Deletes a rule, and tells agents.
    pub(super) fn delete_rule(&self, id: &str) {
        self.known().rules.remove(id);
        self.tell(EventType::Deleted, Object::deleted(ResourceType::SecurityGroupRule, id));
    }

    fn tell(&self, event: EventType, object: Object) {
        self.caster.cast(Cast::Push { event, objects: vec![object] });
    }

    fn answer(&self, request: Request) {
        match request {
            Request::HasAliveNeutronServer(_, responder) => responder.reply(true),
            Request::ReportState(_, responder) => responder.reply(AgentStatus::Alive),
            Request::BulkPull(pull, responder) => {
                let values = pull.filter.values().next().map(Vec::as_slice).unwrap_or_default();
                responder.reply(self.known().select(pull.resource, values));
            }
            Request::UpdateDeviceList(call, responder) => {
                let now = Instant::now();
                self.up.send_modify(|up| {
                    up.retain(|port, _| !call.devices_down.contains(port));
                    up.extend(call.devices_up.iter().map(|port| (port.clone(), now)));
                });
                let devices_up = call.devices_up;
                responder.reply(DeviceListResult { devices_up, ..DeviceListResult::default() });
            }
            Request::UpdateDeviceDown(call, responder) => {
                responder.reply(DeviceDown { device: call.device, exists: true });
            }
            // Nothing else is asked here; whoever asks hears that the server has gone.
            _ => {}
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What agents ask for: ports by id or by group, rules by group, anything else by id.
    fn select(&self, resource: ResourceType, values: &[String]) -> Vec<Object> {
        let named = |id: &String| values.contains(id);
        match resource {
            ResourceType::Port => {
                let by_id = values.iter().filter_map(|id| self.ports.get(id));
                let in_group = self
                    .ports
                    .values()
                    .filter(|port| !values.is_empty() && port.security_group_ids.iter().any(named));
                by_id.chain(in_group).cloned().map(Object::Port).collect()
            }
            ResourceType::SecurityGroup => {
                let groups = self.groups.values().filter(|group| named(&group.id));
                groups.cloned().map(Object::SecurityGroup).collect()
            }
            ResourceType::SecurityGroupRule => {
                let rules = self.rules.values().filter(|rule| named(&rule.security_group_id));
                rules.cloned().map(Object::SecurityGroupRule).collect()
            }
            ResourceType::AddressGroup
            | ResourceType::Network
            | ResourceType::Subnet
            | ResourceType::QosPolicy
            | ResourceType::Trunk
            | ResourceType::SubPort => Vec::new(),
        }
    }
}

/// A rule that allows everything in one direction.
fn rule(group: &str, direction: &str) -> SecurityGroupRule {
    SecurityGroupRule {
        id: Uuid::new_v4().to_string(),
        security_group_id: group.to_owned(),
        direction: direction.to_owned(),
        ethertype: "IPv4".to_owned(),
        ..SecurityGroupRule::default()
    }
}
