//! The server and an agent with a real RabbitMQ between them and a real switch under the agent:
//! ports are wired and filtered, whatever becomes of the broker, the connections and the server.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "machine/http.rs"]
mod http;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use agent::{Agent, Forwarding};
use neutron::{
    bus::{
        local::LocalBus,
        rabbit::{self, Member, RabbitOptions},
    },
    oslo::Interests,
};
use serde_json::{Value, json};
use server::Server;
use testkit::{Broker, Nic, Outcome, Switch, Vm, eventually};
use tokio::runtime::Runtime;

/// How long anything may take that should happen.
const WAIT: Duration = Duration::from_secs(60);
const HOST: &str = "node1";

/// A server, a broker, and an agent on a switch.
struct Cloud {
    // Dropped in this order.
    agent: Option<Agent>,
    _agent_member: Member,
    server_member: Option<Member>,
    _server: Server,
    bus: LocalBus,
    api: SocketAddr,
    network: String,
    broker: Broker,
    switch: Switch,
    /// In the namespace of the switch; the other is not.
    inside: Runtime,
    runtime: Runtime,
}

impl Cloud {
    fn start() -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge("br-phys").unwrap();
        let broker = Broker::start().unwrap();
        let runtime = Runtime::new().unwrap();
        let inside = switch.namespace().inside(Runtime::new).unwrap().unwrap();
        let (bus, end) = LocalBus::new();
        let server = server::Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            state_dir: switch.run_dir().join("server"),
            segments: server::SegmentConfig {
                project_network_types: vec!["vlan".parse().unwrap()],
                network_vlan_ranges: vec!["physnet1:100:199".parse().unwrap()],
                vlan_networks: BTreeSet::new(),
                flat_networks: server::FlatNetworks::Any,
                vxlan_vni_ranges: Vec::new(),
                geneve_vni_ranges: Vec::new(),
                gre_tunnel_id_ranges: Vec::new(),
            },
            mtu: server::MtuConfig {
                global_physnet_mtu: 1500,
                physical_network_mtus: BTreeMap::new(),
                path_mtu: None,
                overlay_ip_version: server::IpVersion::V4,
                geneve_max_header_size: 30,
            },
            limits: server::Limits::without_quotas(),
            firewall_driver: "openvswitch".to_owned(),
        };
        let server = runtime.block_on(Server::start(server, end)).unwrap();
        let api = server.address();
        let (server_member, (end, agent_member)) = {
            let _entered = runtime.enter();
            let member = rabbit::serve(options(&broker), &bus).unwrap();
            (member, rabbit::join(options(&broker), HOST, Interests::default()).unwrap())
        };
        let config = agent::Config {
            host: HOST.to_owned(),
            ovsdb: switch.db_remote().parse().unwrap(),
            ovs_run_dir: switch.run_dir().to_owned(),
            vswitchd_socket: None,
            integration_bridge: "br-int".to_owned(),
            datapath_type: switch.datapath_type().to_owned(),
            bridge_mappings: BTreeMap::from([("physnet1".to_owned(), "br-phys".to_owned())]),
            tunnel: None,
            permitted_ethertypes: BTreeSet::new(),
            firewall: agent::Firewall::OpenVswitch,
            enable_ipset: true,
            strict_equivalence: false,
            extensions: agent::Extensions::ALL,
            forwarding: Forwarding::default(),
            drop_flows_on_start: false,
            gather: Duration::from_millis(2),
            report_interval: Duration::from_secs(2),
            identity: agent::Identity::weir(),
            admin_socket: switch.run_dir().join("agent.sock"),
        };
        // The agent's thread is to be in the switch's namespace, as those of this runtime are.
        let started = inside.spawn(async { Agent::start(config, end) });
        let agent = inside.block_on(started).unwrap().unwrap();
        let mut cloud = Self {
            agent: Some(agent),
            _agent_member: agent_member,
            server_member: Some(server_member),
            _server: server,
            bus,
            api,
            network: String::new(),
            broker,
            switch,
            inside,
            runtime,
        };
        eventually(WAIT, || {
            let agents = cloud.ask("GET", "/v2.0/agents", &Value::Null).1;
            agents["agents"].as_array().is_some_and(|agents| !agents.is_empty())
        })
        .unwrap();
        cloud.network = id(&cloud.create("network", json!({ "name": "red" })));
        let subnet = json!({ "network_id": cloud.network, "ip_version": 4, "cidr": "10.0.0.0/24" });
        cloud.create("subnet", subnet);
        cloud
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(TcpStream::connect(self.api).unwrap(), method, path, &body)
    }

    fn create(&self, kind: &str, resource: Value) -> Value {
        let path = format!("/v2.0/{}s", kind.replace('_', "-"));
        let (status, mut answer) = self.ask("POST", &path, &json!({ kind: resource }));
        assert_eq!(status, 201, "POST {path}: {answer}");
        answer[kind].take()
    }

    /// A machine with a port in this group, plugged in.
    fn machine(&self, group: &str) -> (Vm, String) {
        let port = self.create(
            "port",
            json!({
                "network_id": self.network, "binding:host_id": HOST,
                "device_owner": "compute:nova", "security_groups": [group],
            }),
        );
        let id = id(&port);
        let address = port["fixed_ips"][0]["ip_address"].as_str().unwrap();
        let nic = Nic {
            mac: Some(port["mac_address"].as_str().unwrap().to_owned()),
            addresses: vec![format!("{address}/24").parse().unwrap()],
            ..Nic::default()
        };
        let device = format!("tap{}", &id[..11]);
        let vm = Vm::cabled(&self.switch, &device, &nic).unwrap();
        vm.listen_tcp(7).unwrap();
        let iface_id = format!("external_ids:iface-id={id}");
        let add = ["add-port", "br-int", &device, "--", "set", "Interface", &device, &iface_id];
        self.switch.vsctl(&add).unwrap();
        (vm, id)
    }

    /// Waits until the server says that the port is active.
    fn is_active(&self, port: &str) {
        let path = format!("/v2.0/ports/{port}");
        let mut last = Value::Null;
        let waited = eventually(WAIT, || {
            last = self.ask("GET", &path, &Value::Null).1;
            last["port"]["status"] == "ACTIVE"
        });
        let status = || self.inside.block_on(agent::admin::status(&self.admin_socket()));
        assert!(waited.is_ok(), "{last:#}\n{:#?}", status());
    }

    fn admin_socket(&self) -> std::path::PathBuf {
        self.switch.run_dir().join("agent.sock")
    }

    /// A group that admits nothing; its id.
    fn group(&self, name: &str) -> String {
        id(&self.create("security_group", json!({ "name": name })))
    }

    /// Lets everybody connect to this TCP port of members of the group; the id of the rule.
    fn admit(&self, group: &str, port: u16) -> String {
        id(&self.create(
            "security_group_rule",
            json!({
                "security_group_id": group, "direction": "ingress", "protocol": "tcp",
                "port_range_min": port, "port_range_max": port,
            }),
        ))
    }

    fn take_back(&self, rule: &str) {
        let path = format!("/v2.0/security-group-rules/{rule}");
        assert_eq!(self.ask("DELETE", &path, &Value::Null).0, 204);
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(agent) = self.agent.take() {
            self.inside.block_on(agent.stop());
        }
    }
}

fn options(broker: &Broker) -> RabbitOptions {
    RabbitOptions {
        first_retry: Duration::from_millis(200),
        retry_step: Duration::from_millis(200),
        longest_retry: Duration::from_secs(1),
        ..RabbitOptions::new(broker.url().parse().unwrap(), "test")
    }
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

fn connects(from: &Vm, to: &Vm) -> bool {
    from.connect_tcp(to.v4(7).unwrap(), testkit::PATIENCE) == Outcome::Reached
}

#[test]
fn ports_are_wired_and_filtered_whatever_becomes_of_the_bus() {
    let mut cloud = Cloud::start();
    let group = cloud.group("web");
    let rule = cloud.admit(&group, 7);
    let (one, port) = cloud.machine(&group);
    cloud.is_active(&port);
    let (two, port) = cloud.machine(&group);
    cloud.is_active(&port);
    eventually(WAIT, || connects(&one, &two)).unwrap();
    cloud.take_back(&rule);
    eventually(WAIT, || !connects(&one, &two)).unwrap();

    // Every connection is cut; what is told meanwhile is not lost.
    cloud.broker.ctl(&["close_all_connections", "test"]).unwrap();
    let rule = cloud.admit(&group, 7);
    eventually(WAIT, || connects(&one, &two)).unwrap();

    // The broker goes, and what is told meanwhile with it. What was there stays as it was.
    cloud.broker.kill();
    cloud.take_back(&rule);
    assert!(connects(&one, &two));
    let (three, port) = cloud.machine(&group);
    cloud.broker.run().unwrap();
    cloud.is_active(&port);
    eventually(WAIT, || !connects(&one, &two)).unwrap();

    // The server goes and comes back. What it did not tell meanwhile, nobody hears of but by the
    // answer to a heartbeat.
    let member = cloud.server_member.take().unwrap();
    cloud.runtime.block_on(member.leave());
    let _rule = cloud.admit(&group, 7);
    let (four, port) = cloud.machine(&group);
    let back = cloud.runtime.block_on(async { rabbit::serve(options(&cloud.broker), &cloud.bus) });
    cloud.server_member = Some(back.unwrap());
    cloud.is_active(&port);
    eventually(WAIT, || connects(&four, &three) && connects(&one, &two)).unwrap();
}
