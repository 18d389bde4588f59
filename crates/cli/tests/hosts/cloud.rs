//! Hosts that share a server: on each a private Open vSwitch and an agent, in this process, with
//! the bus that `weir up` has. What a test does to one of them is what an operator or a fault
//! would do.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use agent::{Agent, TunnelConfig, status::Status};
use model::NetworkType;
use neutron::bus::{ServerEnd, local::LocalBus};
use serde_json::{Value, json};
use server::{FlatNetworks, MtuConfig, SegmentConfig, Server};
use testkit::{Fabric, IpNet, Nic, Outcome, Switch, Underlay, Vm, eventually, frame::Mac};
use tokio::runtime::{Builder, Runtime};

use crate::{machine::http, scene::Kind};

/// How long anything may take that happens at once on a machine that is not busy.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
/// The physical network, its bridge on each host, and the wire in it.
const PHYSICAL_NETWORK: &str = "physnet1";
pub(crate) const PHYSICAL_BRIDGE: &str = "br-phys";
pub(crate) const TRUNK: &str = "trunk";

/// A server and its hosts.
pub(crate) struct Cloud {
    // Dropped in this order.
    pub(crate) hosts: Vec<Host>,
    server: Option<Server>,
    runtime: Runtime,
    _fabric: Fabric,
    pub(crate) bus: LocalBus,
    pub(crate) kind: Kind,
    config: server::Config,
    /// The server's end of the bus, while there is no server.
    end: Option<ServerEnd>,
}

/// A host.
pub(crate) struct Host {
    /// The agent, and what carries it: dropped together, they are a process that is killed.
    running: Option<(Agent, Runtime)>,
    pub(crate) switch: Switch,
    pub(crate) name: String,
    bus: LocalBus,
    tunnel: Option<TunnelConfig>,
    /// For questions to the agent.
    asking: Runtime,
}

/// A network with a subnet of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) id: String,
    /// Its VLAN, VNI or key.
    pub(crate) segment: u32,
    /// Its number among the networks of the test.
    pub(crate) number: u16,
    /// The longest packet that gets through everywhere.
    pub(crate) mtu: u16,
}

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) vm: Vm,
    /// The port's id.
    pub(crate) port: String,
    /// The interface in the switch.
    pub(crate) device: String,
    pub(crate) mac: Mac,
    pub(crate) network: Network,
    /// The number of its host.
    pub(crate) host: usize,
}

impl Cloud {
    /// So many hosts, whose agents have reported to the server.
    pub(crate) fn start(kind: Kind, hosts: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fabric = Fabric::start().unwrap();
        let switches: Vec<Switch> = (0..hosts).map(|_| Switch::start().unwrap()).collect();
        let (bus, end) = LocalBus::new();
        let config = server::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            state_dir: switches[0].run_dir().join("server"),
            segments: SegmentConfig {
                project_network_types: vec![NetworkType::Vlan],
                network_vlan_ranges: vec![format!("{PHYSICAL_NETWORK}:100:199").parse().unwrap()],
                vlan_networks: BTreeSet::new(),
                flat_networks: FlatNetworks::Any,
                vxlan_vni_ranges: vec!["100:199".parse().unwrap()],
                geneve_vni_ranges: vec!["100:199".parse().unwrap()],
                gre_tunnel_id_ranges: vec!["100:199".parse().unwrap()],
            },
            mtu: MtuConfig { overlay_ip_version: kind.ip_version(), ..MtuConfig::ethernet() },
            limits: server::Limits::without_quotas(),
            firewall_driver: "openvswitch".to_owned(),
        };
        let server = runtime.block_on(Server::start(config.clone(), end)).unwrap();
        let hosts = (1..)
            .zip(switches)
            .map(|(number, switch)| {
                switch.add_bridge(PHYSICAL_BRIDGE).unwrap();
                fabric.trunk(&switch, TRUNK).unwrap();
                switch.vsctl(&["add-port", PHYSICAL_BRIDGE, TRUNK]).unwrap();
                let underlay = Underlay::of_host(number);
                let tunnel = kind.is_tunnel().then(|| {
                    fabric.underlay(&switch, &underlay).unwrap();
                    tunnel_config(kind, &underlay)
                });
                Host::start(switch, format!("host{number}"), bus.clone(), tunnel)
            })
            .collect();
        let (server, end) = (Some(server), None);
        let cloud = Self { hosts, server, runtime, _fabric: fabric, bus, kind, config, end };
        cloud.wait_for_agents();
        cloud
    }

    fn wait_for_agents(&self) {
        let alive = || {
            let (_, agents) = self.request("GET", "/v2.0/agents", &Value::Null);
            let agents = agents["agents"].as_array().unwrap();
            agents.iter().filter(|agent| agent["alive"] == true).count()
        };
        eventually(WAIT, || alive() == self.hosts.len()).unwrap();
        for host in &self.hosts {
            host.wait("its connections", Host::is_connected);
        }
    }

    /// A network of the kind that the test is about, with the subnets 10.0.NUMBER.0/24 and
    /// fd00:0:0:NUMBER::/64.
    pub(crate) fn network(&self, number: u16) -> Network {
        let mut network = json!({
            "name": format!("network{number}"),
            "provider:network_type": self.kind.name(),
        });
        if !self.kind.is_tunnel() {
            network["provider:physical_network"] = PHYSICAL_NETWORK.into();
        }
        let network = self.create("network", network);
        let id = network["id"].as_str().unwrap().to_owned();
        for (version, cidr) in
            [(4, format!("10.0.{number}.0/24")), (6, format!("fd00:0:0:{number:x}::/64"))]
        {
            self.create(
                "subnet",
                json!({
                    "network_id": id,
                    "ip_version": version,
                    "cidr": cidr,
                    "gateway_ip": null,
                    "enable_dhcp": false,
                }),
            );
        }
        let segment = network["provider:segmentation_id"].as_u64().unwrap().try_into().unwrap();
        let mtu = network["mtu"].as_u64().unwrap().try_into().unwrap();
        Network { id, segment, number, mtu }
    }

    /// A machine of the network on the host, not plugged in yet.
    pub(crate) fn cabled(&self, network: &Network, host: usize, more: Value) -> Machine {
        let Host { switch, name, .. } = &self.hosts[host];
        let mut port = json!({ "network_id": network.id, "binding:host_id": name });
        port.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let port = self.create("port", port);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (id, mac) = (text(&port["id"]), text(&port["mac_address"]));
        let fixed = port["fixed_ips"].as_array().unwrap().iter();
        let addresses = fixed.map(|fixed| {
            let address: IpAddr = text(&fixed["ip_address"]).parse().unwrap();
            IpNet::new(address, if address.is_ipv4() { 24 } else { 64 }).unwrap()
        });
        let device = format!("tap{}", &id[..11]);
        let nic = Nic {
            mac: Some(mac.clone()),
            addresses: addresses.collect(),
            mtu: Some(network.mtu),
            ..Nic::default()
        };
        let vm = Vm::cabled(switch, &device, &nic).unwrap();
        let mac: Vec<u8> =
            mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let (mac, network) = (mac.try_into().unwrap(), network.clone());
        Machine { vm, port: id, device, mac, network, host }
    }

    /// Plugs machines of one host in, all at once, on the dead VLAN as os-vif does it.
    pub(crate) fn plug(&self, machines: &[&Machine]) {
        let mut command: Vec<String> = Vec::new();
        for Machine { device, port, .. } in machines {
            let iface_id = format!("external_ids:iface-id={port}");
            let add = ["--", "add-port", "br-int", device, "tag=4095"];
            let set = ["--", "set", "Interface", device, &iface_id];
            command.extend([&add[..], &set].concat().into_iter().map(str::to_owned));
        }
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let host = machines.first().unwrap().host;
        assert!(machines.iter().all(|machine| machine.host == host));
        self.hosts[host].switch.vsctl(&command).unwrap();
    }

    /// A machine that is plugged in and serves UDP port 7, where its groups admit it.
    pub(crate) fn machine(&self, network: &Network, host: usize) -> Machine {
        let machine = self.cabled(network, host, json!({}));
        machine.vm.listen_udp(7).unwrap();
        self.plug(&[&machine]);
        machine
    }

    /// Waits until the server says that these ports are active.
    pub(crate) fn wait_active(&self, machines: &[&Machine]) {
        let waiting = || {
            let status = |port: &str| {
                let (_, answer) = self.request("GET", &format!("/v2.0/ports/{port}"), &Value::Null);
                answer["port"]["status"].clone()
            };
            let mut waiting = machines.iter().filter(|machine| status(&machine.port) != "ACTIVE");
            waiting.next().map(|machine| machine.host)
        };
        if eventually(WAIT, || waiting().is_none()).is_err()
            && let Some(host) = waiting()
        {
            panic!("a port is not active: {:#?}", self.hosts[host].status());
        }
    }

    /// Stops the agents of all hosts. It is a fault for the data plane to notice.
    pub(crate) fn stop_agents(&mut self) {
        self.hosts.iter_mut().for_each(Host::stop_agent);
    }

    /// Starts them again.
    pub(crate) fn start_agents(&mut self) {
        self.hosts.iter_mut().for_each(Host::start_agent);
    }

    /// Stops the server: what agents ask waits, as it does in a broker.
    pub(crate) fn stop_server(&mut self) {
        let server = self.server.take().expect("a server that runs");
        self.end = self.runtime.block_on(server.stop());
    }

    /// Starts another one on the same store. Its API is at another address.
    pub(crate) fn start_server(&mut self) {
        let end = self.end.take().expect("the end that a server has given back");
        let server = self.runtime.block_on(Server::start(self.config.clone(), end));
        self.server = Some(server.unwrap());
    }

    /// Waits until nothing is left to do on any host.
    pub(crate) fn wait_ready(&self) {
        for host in &self.hosts {
            host.wait("everything up", |status| {
                Host::is_connected(status)
                    && status.refused.is_empty()
                    && status.ports.iter().all(|port| port.up)
            });
        }
    }

    /// Creates a resource through the API and returns it.
    pub(crate) fn create(&self, kind: &str, resource: Value) -> Value {
        let path = format!("/v2.0/{}s", kind.replace('_', "-"));
        let body = json!({ kind: resource });
        let (status, mut answer) = self.request("POST", &path, &body);
        assert_eq!(status, 201, "POST {path} {body}: {answer}");
        answer[kind].take()
    }

    /// Deletes what lies under the path.
    pub(crate) fn delete(&self, path: &str) {
        let (status, answer) = self.request("DELETE", path, &Value::Null);
        assert_eq!(status, 204, "DELETE {path}: {answer}");
    }

    /// A request to the API: the status and the body of its answer.
    pub(crate) fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let api = self.server.as_ref().expect("a server that runs").address();
        let connection = TcpStream::connect(api).unwrap();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(connection, method, path, &body)
    }
}

/// Tunnels of this kind that end at this underlay.
fn tunnel_config(kind: Kind, underlay: &Underlay) -> TunnelConfig {
    TunnelConfig {
        l2_population: kind.is_told(),
        arp_responder: kind.is_told(),
        ..TunnelConfig::new(kind.end(underlay), [kind.name().parse().unwrap()])
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.hosts.clear();
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
    }
}

impl Host {
    fn start(switch: Switch, name: String, bus: LocalBus, tunnel: Option<TunnelConfig>) -> Self {
        let asking = Builder::new_current_thread().enable_all().build().unwrap();
        let mut host = Self { running: None, switch, name, bus, tunnel, asking };
        host.start_agent();
        host
    }

    /// Starts the agent.
    pub(crate) fn start_agent(&mut self) {
        let config = agent::Config {
            host: self.name.clone(),
            ovsdb: self.switch.db_remote().parse().unwrap(),
            ovs_run_dir: self.switch.run_dir().to_owned(),
            vswitchd_socket: None,
            integration_bridge: "br-int".to_owned(),
            datapath_type: self.switch.datapath_type().to_owned(),
            bridge_mappings: BTreeMap::from([(
                PHYSICAL_NETWORK.to_owned(),
                PHYSICAL_BRIDGE.to_owned(),
            )]),
            tunnel: self.tunnel.clone(),
            permitted_ethertypes: BTreeSet::new(),
            firewall: agent::Firewall::OpenVswitch,
            enable_ipset: true,
            strict_equivalence: false,
            extensions: agent::Extensions::ALL,
            forwarding: agent::Forwarding::default(),
            drop_flows_on_start: false,
            gather: Duration::from_millis(2),
            report_interval: Duration::from_secs(1),
            identity: agent::Identity::weir(),
            admin_socket: self.switch.run_dir().join("agent.sock"),
        };
        // The kernel keeps connections for each namespace; a thread sees those of its own.
        let runtime = self
            .switch
            .namespace()
            .inside(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
        let runtime = runtime.unwrap();
        // A child that another test has just forked may hold the socket of the agent before.
        let agent = eventually(WAIT, || {
            let end = self.bus.join(&self.name);
            runtime.block_on(async { Agent::start(config.clone(), end) }).ok()
        });
        let agent = agent.unwrap();
        self.running = Some((agent, runtime));
    }

    /// Ends the agent in the middle of whatever it does.
    pub(crate) fn stop_agent(&mut self) {
        self.running = None;
    }

    /// What the agent says of itself.
    pub(crate) fn status(&self) -> Status {
        let socket = self.switch.run_dir().join("agent.sock");
        self.asking.block_on(agent::admin::status(&socket)).unwrap_or_default()
    }

    /// Waits until what the agent says of itself is like that.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        let mut last = Status::default();
        let waited = eventually(WAIT, || {
            last = self.status();
            condition(&last)
        });
        assert!(waited.is_ok(), "{}: {what}: {last:#?}", self.name);
    }

    fn is_connected(status: &Status) -> bool {
        let connections = &status.connections;
        [&connections.ovsdb, &connections.switch, &connections.server].iter().all(|it| *it == "ok")
    }
}

impl Machine {
    /// Where it serves, by IPv4 and by IPv6.
    pub(crate) fn served(&self) -> [SocketAddr; 2] {
        [self.vm.v4(7).unwrap(), self.vm.v6(7).unwrap()]
    }

    /// Whether it is reached from there now by IPv4, waiting for a moment at most.
    pub(crate) fn is_reached_from(&self, other: &Self) -> bool {
        let [served, _] = self.served();
        other.vm.ask_udp(served, testkit::PATIENCE) == Outcome::Reached
    }

    /// Whether it is reached from there now by IPv4 and by IPv6.
    pub(crate) fn is_reached_twice_from(&self, other: &Self) -> bool {
        let reached = |to| other.vm.ask_udp(to, testkit::PATIENCE) == Outcome::Reached;
        self.served().into_iter().all(reached)
    }
}
