//! The agent on a real switch, with a server that answers from a list.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent::status::Status;
use agent::{Agent, Config};
use neutron::bus::local::LocalBus;
use neutron::bus::{Caster, ServerEnd};
use neutron::object::{
    IpAllocation, NetworkSegment, Object, Port, PortBinding, PortBindingLevel, ResourceType,
    SecurityGroup, SecurityGroupRule,
};
use neutron::rpc::{AgentStatus, Cast, DeviceListResult, EventType, Request};
use testkit::{Nic, Outcome, Switch, Vm, eventually};

const HOST: &str = "node1";
const GROUP: u32 = 0x9000;
const PATIENCE: Duration = Duration::from_secs(20);

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

fn mac(n: u32) -> String {
    format!("fa:16:3e:00:00:{n:02x}")
}

fn port(n: u32) -> Object {
    let segment = NetworkSegment {
        id: id(0x8001),
        network_type: "vlan".to_owned(),
        physical_network: Some("physnet1".to_owned()),
        segmentation_id: Some(117),
        ..NetworkSegment::default()
    };
    let host = HOST.to_owned();
    let vif_type = "ovs".to_owned();
    let ip_address = format!("10.0.0.{n}");
    Object::Port(Port {
        id: id(n),
        network_id: id(0x8000),
        mac_address: mac(n),
        admin_state_up: true,
        bindings: vec![PortBinding { host: host.clone(), vif_type, ..PortBinding::default() }],
        binding_levels: vec![PortBindingLevel {
            host,
            segment: Some(segment),
            ..PortBindingLevel::default()
        }],
        fixed_ips: vec![IpAllocation { ip_address, ..IpAllocation::default() }],
        security_group_ids: vec![id(GROUP)],
        revision_number: 1,
        ..Port::default()
    })
}

fn rule(n: u32, direction: &str, tcp: Option<u32>) -> Object {
    Object::SecurityGroupRule(SecurityGroupRule {
        id: id(n),
        security_group_id: id(GROUP),
        direction: direction.to_owned(),
        ethertype: "IPv4".to_owned(),
        protocol: tcp.map(|_| "tcp".to_owned()),
        port_range_min: tcp,
        port_range_max: tcp,
        revision_number: 1,
        ..SecurityGroupRule::default()
    })
}

fn group() -> Object {
    let group = SecurityGroup { id: id(GROUP), stateful: true, ..SecurityGroup::default() };
    Object::SecurityGroup(group)
}

/// A server that knows what it is given.
#[derive(Clone)]
struct Server {
    objects: Arc<Mutex<BTreeMap<String, Object>>>,
    caster: Caster,
}

impl Server {
    fn start(mut end: ServerEnd, objects: Vec<Object>) -> Self {
        let objects = objects.into_iter().map(|object| (object.id().to_owned(), object)).collect();
        let server = Self { objects: Arc::new(Mutex::new(objects)), caster: end.caster() };
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
            Request::BulkPull(pull, responder) => {
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
            Request::UpdateDeviceList(call, responder) => responder.reply(DeviceListResult {
                devices_up: call.devices_up,
                ..DeviceListResult::default()
            }),
            other => panic!("unexpected {}", other.method()),
        }
    }

    fn add(&self, object: Object) {
        self.objects.lock().unwrap().insert(object.id().to_owned(), object.clone());
        self.caster.cast(Cast::Push { event: EventType::Updated, objects: vec![object] });
    }

    fn delete(&self, resource: ResourceType, n: u32) {
        self.objects.lock().unwrap().remove(&id(n));
        let objects = vec![Object::deleted(resource, id(n))];
        self.caster.cast(Cast::Push { event: EventType::Deleted, objects });
    }
}

/// A node: a private switch, an agent, a server.
struct Node {
    runtime: tokio::runtime::Runtime,
    bus: LocalBus,
    server: Server,
    agent: Option<Agent>,
    switch: Switch,
}

impl Node {
    fn start(objects: Vec<Object>) -> Self {
        let switch = Switch::start().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (bus, end) = LocalBus::new();
        let server = runtime.block_on(async { Server::start(end, objects) });
        let mut node = Self { runtime, bus, server, agent: None, switch };
        node.start_agent();
        node.wait("the bridge", |status| status.connections.switch == "ok");
        node
    }

    fn start_agent(&mut self) {
        let config = Config {
            host: HOST.to_owned(),
            ovsdb: self.switch.db_remote().parse().unwrap(),
            ovs_run_dir: self.switch.run_dir().to_owned(),
            vswitchd_socket: None,
            integration_bridge: "br-int".to_owned(),
            datapath_type: self.switch.datapath_type().to_owned(),
            bridge_mappings: BTreeMap::from([("physnet1".to_owned(), "br-phys".to_owned())]),
            gather: Duration::from_millis(2),
            report_interval: Duration::from_secs(30),
            admin_socket: self.admin_socket(),
        };
        let end = self.bus.join(HOST);
        let started = self.runtime.block_on(async { Agent::start(config, end) });
        self.agent = Some(started.unwrap());
    }

    fn stop_agent(&mut self) {
        let agent = self.agent.take().unwrap();
        self.runtime.block_on(agent.stop());
    }

    fn admin_socket(&self) -> PathBuf {
        self.switch.run_dir().join("agent.sock")
    }

    fn status(&self) -> Status {
        self.runtime.block_on(agent::admin::status(&self.admin_socket())).unwrap()
    }

    fn wait(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        let mut last = None;
        let waited = eventually(PATIENCE, || {
            let status = self.status();
            let holds = condition(&status);
            last = Some(status);
            holds
        });
        assert!(waited.is_ok(), "{what}: {last:#?}");
    }

    fn vm(&self, n: u32) -> Vm {
        let nic = Nic {
            mac: Some(mac(n)),
            addresses: vec![format!("10.0.0.{n}/24").parse().unwrap()],
            ..Nic::default()
        };
        let device = format!("tap{n}");
        let vm = Vm::cabled(&self.switch, &device, &nic).unwrap();
        let iface_id = format!("external_ids:iface-id={}", id(n));
        let add = ["add-port", "br-int", &device, "tag=4095", "--", "set", "Interface", &device];
        self.switch.vsctl(&[&add[..], &[iface_id.as_str()]].concat()).unwrap();
        vm
    }

    fn wait_up(&self, ports: usize) {
        self.wait("all ports up", |status| {
            status.ports.len() == ports && status.ports.iter().all(|port| port.up)
        });
    }

    fn flows(&self) -> Vec<String> {
        let dump = self.switch.ofctl(&["--no-stats", "dump-flows", "br-int"]).unwrap();
        let mut flows: Vec<String> = dump.lines().map(str::to_owned).collect();
        flows.sort();
        flows
    }
}

fn address(vm: &Vm, port: u16) -> SocketAddr {
    vm.v4(port).unwrap()
}

fn quick() -> Duration {
    Duration::from_millis(700)
}

#[test]
fn packets_follow_the_rules_as_they_change() {
    let objects = vec![
        port(1),
        port(2),
        group(),
        rule(0x100, "egress", None),
        rule(0x101, "ingress", Some(80)),
    ];
    let node = Node::start(objects);
    let (client, server) = (node.vm(1), node.vm(2));
    node.wait_up(2);
    server.listen_tcp(80).unwrap();
    server.listen_tcp(81).unwrap();
    server.listen_udp(80).unwrap();

    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Reached);
    assert_eq!(client.connect_tcp(address(&server, 81), quick()), Outcome::Filtered);
    assert_eq!(client.ask_udp(address(&server, 80), quick()), Outcome::Filtered);
    let server_ip: IpAddr = address(&server, 0).ip();
    assert_eq!(client.ping(server_ip, quick()), Outcome::Filtered);

    let mut open = client.open_stream(address(&server, 80), quick()).unwrap();
    assert_eq!(open.exchange(quick()), Outcome::Reached);
    node.server.add(rule(0x102, "ingress", Some(81)));
    eventually(PATIENCE, || client.connect_tcp(address(&server, 81), quick()) == Outcome::Reached)
        .unwrap();
    assert_eq!(open.exchange(quick()), Outcome::Reached, "another rule is no matter of its");

    node.server.delete(ResourceType::SecurityGroupRule, 0x101);
    eventually(PATIENCE, || open.exchange(quick()) == Outcome::Filtered).unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);

    // The permission comes back, and with it the connection.
    node.server.add(rule(0x103, "ingress", Some(80)));
    eventually(PATIENCE, || open.exchange(quick()) == Outcome::Reached).unwrap();
}

#[test]
fn a_source_that_is_not_the_ports_does_not_pass() {
    let objects =
        vec![port(1), port(2), group(), rule(0x100, "egress", None), rule(0x101, "ingress", None)];
    let node = Node::start(objects);
    let (client, server) = (node.vm(1), node.vm(2));
    node.wait_up(2);
    server.listen_tcp(80).unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Reached);

    let device = client.device();
    client
        .namespace()
        .ip(&format!("address flush dev {device}\naddress add 10.0.0.77/24 dev {device}\n"))
        .unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);
    client
        .namespace()
        .ip(&format!("address flush dev {device}\naddress add 10.0.0.1/24 dev {device}\n"))
        .unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Reached);
    client.namespace().ip(&format!("link set dev {device} address fa:16:3e:00:00:78\n")).unwrap();
    assert_eq!(client.connect_tcp(address(&server, 80), quick()), Outcome::Filtered);
}

#[test]
fn a_restart_with_nothing_changed_sends_nothing() {
    let objects = vec![port(1), port(2), group(), rule(0x100, "egress", None)];
    let mut node = Node::start(objects);
    let _vms = (node.vm(1), node.vm(2));
    node.wait_up(2);
    let before = node.flows();
    node.stop_agent();
    assert_eq!(node.flows(), before, "the data plane stays as it is");
    node.start_agent();
    node.wait_up(2);
    assert_eq!(node.status().bridge.flow_mods, 0);
    assert_eq!(node.flows(), before);
}

#[test]
fn flows_come_back_with_vswitchd() {
    let objects = vec![port(1), group(), rule(0x100, "egress", None)];
    let node = Node::start(objects);
    let _vm = node.vm(1);
    node.wait_up(1);
    let before = node.flows();
    node.switch.kill_vswitchd();
    node.wait("the loss is seen", |status| status.connections.switch != "ok");
    node.switch.start_vswitchd().unwrap();
    node.wait_up(1);
    eventually(PATIENCE, || node.flows() == before).unwrap();
}

#[test]
fn a_port_that_has_gone_leaves_nothing() {
    let node = Node::start(vec![port(1), group()]);
    let empty = node.flows().len();
    let vm = node.vm(1);
    node.wait_up(1);
    assert_eq!(node.flows().len(), empty + 6);
    node.switch.vsctl(&["del-port", "br-int", "tap1"]).unwrap();
    drop(vm);
    node.wait("the port is gone", |status| status.ports.is_empty());
    eventually(PATIENCE, || node.flows().len() == empty).unwrap();
}

#[test]
fn what_the_switch_refuses_holds_up_nobody_else() {
    let node = Node::start(vec![port(1), port(2), group(), rule(0x100, "egress", None)]);
    let _first = node.vm(1);
    node.wait_up(1);
    // Table 60 has room for what it holds and nothing more.
    let held = node.flows().iter().filter(|flow| flow.contains("table=60,")).count();
    let limit = format!("flow_limit={held}");
    let table = ["--id=@t", "create", "Flow_Table", limit.as_str(), "overflow_policy=refuse"];
    let bridge = ["--", "set", "Bridge", "br-int", "flow_tables:60=@t"];
    node.switch.vsctl(&[&["--"], &table[..], &bridge].concat()).unwrap();

    let before = node.flows();
    let _second = node.vm(2);
    node.wait("the refusal is shown", |status| {
        let refused = status.ports.iter().find(|port| port.interface == "tap2");
        refused.is_some_and(|port| !port.up && port.state.contains("refused"))
            && !status.refused.is_empty()
    });
    let status = node.status();
    assert!(status.ports.iter().any(|port| port.interface == "tap1" && port.up));
    assert_eq!(node.flows(), before, "the bundle fails whole");

    node.switch.vsctl(&["clear", "Bridge", "br-int", "flow_tables"]).unwrap();
    node.wait_up(2);
}

#[test]
fn a_database_that_comes_late_is_waited_for() {
    let mut node = Node::start(vec![port(1), group()]);
    let _vm = node.vm(1);
    node.wait_up(1);
    node.stop_agent();
    node.switch.stop_ovsdb().unwrap();
    node.start_agent();
    node.wait("it says so", |status| status.connections.ovsdb != "ok");
    node.switch.start_ovsdb().unwrap();
    node.wait_up(1);
}
