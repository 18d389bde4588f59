//! What the tests of the server share: a real server on a store of its own, a small HTTP client,
//! and an agent that is nothing but its end of the bus.

#![allow(dead_code, reason = "no test uses all of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use neutron::bus::local::LocalBus;
use neutron::bus::{CallError, Caller, Casts};
use neutron::object::Object;
use neutron::rpc::{
    AgentState, AgentStatus, BulkPull, Cast, Configurations, EventType, ReportState,
    UpdateDeviceList, agent_id,
};
use serde_json::{Value, json};
use server::{Config, FlatNetworks, Limits, MtuConfig, SegmentConfig, Server};

/// A server, its store in a directory of its own, and the runtime that both live in.
pub(crate) struct Fixture {
    runtime: tokio::runtime::Runtime,
    server: Option<Server>,
    bus: LocalBus,
    config: Config,
    pub(crate) api: Client,
}

/// An agent: what it may call, and what it hears.
pub(crate) struct FakeAgent<'a> {
    runtime: &'a tokio::runtime::Runtime,
    pub(crate) caller: Caller,
    pub(crate) casts: Casts,
    pub(crate) host: String,
}

/// A client that keeps its connection.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer: its status, and its body or null.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Fixture {
    /// A server that has VLANs 100 to 103 of physnet1, any of physnet2 on request, and flat
    /// networks on physnet3.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A server with another configuration.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = std::env::temp_dir().join(format!("weir-server-{}", uuid::Uuid::new_v4()));
        let mut config = config(&directory);
        change(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (bus, server) = start(&runtime, config.clone());
        let api = Client::new(server.address());
        Self { runtime, server: Some(server), bus, config, api }
    }

    /// Stops the server and starts another on the same store.
    pub(crate) fn restart(&mut self) {
        self.restart_with(|_| {});
    }

    /// Stops the server and starts another on the same store, with another configuration.
    pub(crate) fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        let server = self.server.take().unwrap();
        self.runtime.block_on(server.stop());
        change(&mut self.config);
        let (bus, server) = start(&self.runtime, self.config.clone());
        self.api = Client::new(server.address());
        (self.bus, self.server) = (bus, Some(server));
    }

    /// Another connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address()
    }

    /// Runs something while another process has the store open for writing.
    pub(crate) fn hold_store(&mut self, work: impl FnOnce(&mut Client)) {
        let mut other = self.store();
        self.runtime.block_on(sqlx::query("BEGIN IMMEDIATE").execute(&mut other)).unwrap();
        work(&mut self.api);
        self.runtime.block_on(sqlx::query("ROLLBACK").execute(&mut other)).unwrap();
    }

    /// From now on SQLite gives up every change that makes a network of this name, by itself, as
    /// it does when the disk is full.
    pub(crate) fn refuse_in_store(&mut self, name: &str) {
        let trigger = format!(
            "CREATE TRIGGER refuse BEFORE INSERT ON networks WHEN new.name = '{name}'
             BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
        );
        let mut other = self.store();
        let trigger = sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(&mut other);
        self.runtime.block_on(trigger).unwrap();
    }

    fn store(&self) -> sqlx::SqliteConnection {
        use sqlx::Connection as _;
        let url = format!("sqlite://{}/weir.sqlite", self.config.state_dir.display());
        self.runtime.block_on(sqlx::SqliteConnection::connect(&url)).unwrap()
    }

    /// Changes the store behind the server's back.
    pub(crate) fn change_store(&self, sql: String) {
        let mut store = self.store();
        let change = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut store);
        self.runtime.block_on(change).unwrap();
    }

    /// An agent that has not reported.
    pub(crate) fn agent(&self, host: &str) -> FakeAgent<'_> {
        let (caller, casts) = self.bus.join(host).split();
        FakeAgent { runtime: &self.runtime, caller, casts, host: host.to_owned() }
    }

    /// POST of one resource; gives it, or panics with the refusal.
    pub(crate) fn make(&mut self, path: &str, name: &str, values: Value) -> Value {
        let answer = self.api.post(path, json!({ name: values }));
        assert_eq!(answer.status, 201, "{path}: {}", answer.body);
        answer.body[name].clone()
    }

    /// A network, by default on a VLAN.
    pub(crate) fn network(&mut self, values: Value) -> String {
        id(&self.make("networks", "network", values))
    }

    /// A network that is carried by VXLAN, with a subnet.
    pub(crate) fn vxlan_network(&mut self, vni: u32) -> String {
        let network = self.network(json!({
            "provider:network_type": "vxlan", "provider:segmentation_id": vni,
        }));
        self.subnet(&network, json!({}));
        network
    }

    /// An IPv4 subnet of 10.0.0.0/24 unless the values say otherwise.
    pub(crate) fn subnet(&mut self, network: &str, values: Value) -> String {
        let mut subnet = json!({ "network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24" });
        extend(&mut subnet, values);
        id(&self.make("subnets", "subnet", subnet))
    }

    pub(crate) fn port(&mut self, network: &str, values: Value) -> Value {
        let mut port = json!({ "network_id": network });
        extend(&mut port, values);
        self.make("ports", "port", port)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.stop());
        }
        std::fs::remove_dir_all(&self.config.state_dir).unwrap();
    }
}

impl FakeAgent<'_> {
    /// Calls the server.
    pub(crate) fn call<C: neutron::rpc::Call>(&self, call: C) -> C::Reply {
        self.runtime.block_on(self.caller.call(call)).unwrap()
    }

    /// Calls the server, which may refuse.
    pub(crate) fn try_call<C: neutron::rpc::Call>(&self, call: C) -> Result<C::Reply, CallError> {
        self.runtime.block_on(self.caller.call(call))
    }

    /// Reports, with bridges for these physical networks.
    pub(crate) fn report(&self, physical_networks: &[&str]) -> AgentStatus {
        let mappings =
            physical_networks.iter().map(|name| (name.to_string(), format!("br-{name}")));
        self.report_that(Configurations {
            bridge_mappings: mappings.collect(),
            ..Configurations::default()
        })
    }

    /// Reports, with a bridge for this physical network, and whether a Linux bridge must be put
    /// between a port and the switch.
    pub(crate) fn report_firewall(&self, physical_network: &str, ovs_hybrid_plug: bool) {
        let bridge_mappings = [(physical_network.to_owned(), "br-phys".to_owned())].into();
        self.report_that(Configurations {
            bridge_mappings,
            ovs_hybrid_plug,
            ..Configurations::default()
        });
    }

    /// Reports, with tunnels of these types that end at this address.
    pub(crate) fn report_tunnels(&self, tunneling_ip: &str, types: &[&str]) -> AgentStatus {
        self.report_that(Configurations {
            tunneling_ip: Some(tunneling_ip.to_owned()),
            tunnel_types: types.iter().map(|name| name.to_string()).collect(),
            l2_population: true,
            ..Configurations::default()
        })
    }

    fn report_that(&self, configurations: Configurations) -> AgentStatus {
        let configurations = Configurations {
            integration_bridge: "br-int".to_owned(),
            datapath_type: "netdev".to_owned(),
            ..configurations
        };
        let agent_state = AgentState {
            agent_type: AgentState::OPEN_VSWITCH.to_owned(),
            binary: "weir".to_owned(),
            host: self.host.clone(),
            topic: AgentState::NO_TOPIC.to_owned(),
            configurations,
            start_flag: true,
            resource_versions: Default::default(),
            uuid: None,
        };
        self.call(ReportState { agent_state, time: "2026-11-21T00:00:00.000000".to_owned() })
    }

    /// Says which ports it has wired and which have gone.
    pub(crate) fn wire(&self, up: &[&str], down: &[&str], refresh_tunnels: bool) {
        let ids = |ids: &[&str]| ids.iter().map(|id| id.to_string()).collect();
        self.call(UpdateDeviceList {
            devices_up: ids(up),
            devices_down: ids(down),
            agent_id: agent_id(&self.host),
            host: self.host.clone(),
            refresh_tunnels,
        });
    }

    /// Objects whose field has one of the values.
    pub(crate) fn pull(
        &self,
        resource: neutron::object::ResourceType,
        field: &str,
        values: &[&str],
    ) -> Vec<Object> {
        let values = values.iter().map(|value| value.to_string()).collect();
        self.call(BulkPull { resource, filter: [(field.to_owned(), values)].into() })
    }

    /// The next push.
    pub(crate) fn hear(&mut self) -> (EventType, Vec<Object>) {
        let next = async {
            tokio::time::timeout(Duration::from_secs(10), self.casts.recv()).await.unwrap()
        };
        match self.runtime.block_on(next) {
            Some(Cast::Push { event, objects }) => (event, objects),
            other => panic!("{other:?}"),
        }
    }

    /// Everything that has been pushed so far, as `updated Port 3`: event, type and revision.
    pub(crate) fn heard(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        for cast in self.all() {
            let Cast::Push { event, objects } = cast else { panic!("{cast:?}") };
            heard.extend(objects.iter().map(|object| {
                format!("{event:?} {} {}", object.resource(), object.revision_number())
            }));
        }
        heard
    }

    /// Everything that has been said of tunnels so far and of what is behind them: method and
    /// arguments.
    pub(crate) fn heard_of_tunnels(&mut self) -> Vec<Value> {
        let mut heard = Vec::new();
        for cast in self.all() {
            if matches!(cast, Cast::Push { .. }) {
                continue;
            }
            for (_, message) in cast.to_messages().unwrap() {
                heard.push(json!({ message.method: message.args }));
            }
        }
        heard
    }

    /// Everything that has been said so far.
    pub(crate) fn all(&mut self) -> Vec<Cast> {
        // Casts are sent before the answer to the request that caused them.
        let mut all = Vec::new();
        let now = |casts: &mut Casts| {
            self.runtime.block_on(async {
                tokio::time::timeout(Duration::ZERO, casts.recv()).await.ok().flatten()
            })
        };
        while let Some(cast) = now(&mut self.casts) {
            all.push(cast);
        }
        all
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, "")
    }

    pub(crate) fn post(&mut self, path: &str, body: Value) -> Answer {
        self.request("POST", path, &body.to_string())
    }

    pub(crate) fn put(&mut self, path: &str, body: Value) -> Answer {
        self.request("PUT", path, &body.to_string())
    }

    pub(crate) fn delete(&mut self, path: &str) -> Answer {
        self.request("DELETE", path, "")
    }

    /// One request. A path without a slash at its start is one below `/v2.0/`.
    pub(crate) fn request(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/v2.0/{path}"),
        };
        let stream = self.stream.get_or_insert_with(|| {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            BufReader::new(stream)
        });
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        read_answer(stream)
    }
}

/// The id of a resource.
pub(crate) fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

/// Puts the members of one object into another.
pub(crate) fn extend(object: &mut Value, with: Value) {
    let Value::Object(with) = with else { panic!("not an object: {with}") };
    object.as_object_mut().unwrap().extend(with);
}

fn config(directory: &Path) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        state_dir: directory.to_owned(),
        segments: SegmentConfig {
            project_network_types: vec![model::NetworkType::Vlan],
            network_vlan_ranges: vec!["physnet1:100:103".parse().unwrap()],
            vlan_networks: ["physnet2".to_owned()].into(),
            flat_networks: FlatNetworks::Only(["physnet3".to_owned()].into()),
            vxlan_vni_ranges: Vec::new(),
            geneve_vni_ranges: Vec::new(),
            gre_tunnel_id_ranges: Vec::new(),
        },
        mtu: MtuConfig::ethernet(),
        // No agent is down because the machine has other work.
        limits: Limits {
            agent_down_time: Duration::from_secs(24 * 60 * 60),
            ..Limits::without_quotas()
        },
        firewall_driver: "iptables_hybrid".to_owned(),
    }
}

fn start(runtime: &tokio::runtime::Runtime, config: Config) -> (LocalBus, Server) {
    let (bus, end) = LocalBus::new();
    (bus, runtime.block_on(Server::start(config, end)).unwrap())
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> Answer {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Answer { status, body }
}
