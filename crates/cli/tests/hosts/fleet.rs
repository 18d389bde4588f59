//! Two hosts joined by VXLAN, with RabbitMQ between them: on the first `weir up` as the process that a
//! user runs, server and agent in one; on the second an agent alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use agent::{Agent, TunnelConfig};
use model::NetworkType;
use neutron::{
    bus::rabbit::{self, Member, RabbitOptions},
    oslo::Interests,
};
use serde_json::{Value, json};
use testkit::{
    Broker, Daemon, Fabric, Nic, Outcome, Pace, Steady, Switch, Underlay, Vm, eventually, guarded,
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    machine::{WAIT, http, text},
    outage,
};

const HOSTS: [&str; 2] = ["host1", "host2"];

struct Fleet {
    // Dropped in this order.
    weir: Option<Daemon>,
    agent: Option<(Agent, Member, Runtime)>,
    switches: [Switch; 2],
    broker: Broker,
    _fabric: Fabric,
    api: SocketAddr,
}

impl Fleet {
    /// Both hosts, known to the server.
    fn start() -> Self {
        let fabric = Fabric::start().unwrap();
        let switches = [1, 2].map(|number| {
            let switch = Switch::start().unwrap();
            fabric.underlay(&switch, &Underlay::of_host(number)).unwrap();
            switch
        });
        let api = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (weir, agent, broker) = (None, None, Broker::start().unwrap());
        let mut fleet = Self { weir, agent, switches, broker, _fabric: fabric, api };
        fleet.start_weir();
        fleet.start_agent();
        fleet.wait_ready();
        fleet
    }

    /// Starts `weir up` and waits until its API answers. It is not in the namespace of its switch:
    /// RabbitMQ is not either.
    fn start_weir(&mut self) {
        let [switch, _] = &self.switches;
        let mut up = guarded(env!("CARGO_BIN_EXE_weir"));
        up.args(["up", "--ovsdb", &switch.db_remote(), "--host", HOSTS[0]])
            .args(["--datapath-type", switch.datapath_type(), "--listen", &self.api.to_string()])
            .args(["--local-ip", &end(1).to_string(), "--tunnel-types", "vxlan"])
            .args(["--vxlan-vni-ranges", "100:199", "--transport-url", &self.broker.url()])
            .arg("--state-dir")
            .arg(switch.run_dir().join("weir"));
        let log = switch.run_dir().join("weir.log");
        let mut weir = Daemon::spawn_logged("weir up", up, log).unwrap();
        let api = self.api;
        weir.wait_until(WAIT, || TcpStream::connect(api).is_ok()).unwrap();
        self.weir = Some(weir);
    }

    fn start_agent(&mut self) {
        let [_, switch] = &self.switches;
        let config = agent::Config {
            host: HOSTS[1].to_owned(),
            ovsdb: switch.db_remote().parse().unwrap(),
            ovs_run_dir: switch.run_dir().to_owned(),
            vswitchd_socket: None,
            integration_bridge: "br-int".to_owned(),
            datapath_type: switch.datapath_type().to_owned(),
            bridge_mappings: BTreeMap::new(),
            tunnel: Some(TunnelConfig::new(end(2), [NetworkType::Vxlan])),
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
            admin_socket: switch.run_dir().join("agent.sock"),
        };
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let options = RabbitOptions {
            first_retry: Duration::from_millis(200),
            retry_step: Duration::from_millis(200),
            longest_retry: Duration::from_secs(1),
            ..RabbitOptions::new(self.broker.url().parse().unwrap(), "test")
        };
        let (agent, member) = runtime.block_on(async {
            let (end, member) = rabbit::join(options, HOSTS[1], Interests::default()).unwrap();
            (Agent::start(config, end).unwrap(), member)
        });
        self.agent = Some((agent, member, runtime));
    }

    /// Waits until everything is up on the first host, and the server hears of both.
    fn wait_ready(&self) {
        let mut last = Value::Null;
        let ready = eventually(WAIT, || {
            last = self.request("GET", "/v2.0/agents", &Value::Null).1;
            let agents = last["agents"].as_array().unwrap();
            let alive = agents.iter().filter(|agent| agent["alive"] == true).count();
            alive == HOSTS.len() && self.is_up()
        });
        assert!(ready.is_ok(), "{last:#}\n{}", self.log());
    }

    fn is_up(&self) -> bool {
        let mut status = Command::new(env!("CARGO_BIN_EXE_weir"));
        status.args(["status", "--state-dir"]).arg(self.switches[0].run_dir().join("weir"));
        status.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.switches[0].run_dir().join("weir.log")).unwrap_or_default()
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(TcpStream::connect(self.api).unwrap(), method, path, &body)
    }

    fn create(&self, kind: &str, resource: Value) -> Value {
        let path = format!("/v2.0/{kind}s");
        let (status, mut answer) = self.request("POST", &path, &json!({ kind: resource }));
        assert_eq!(status, 201, "POST {path}: {answer}");
        answer[kind].take()
    }

    /// A network that VXLAN carries; its id.
    fn network(&self) -> String {
        let network = json!({ "name": "red", "provider:network_type": "vxlan" });
        let network = text(&self.create("network", network), "id").to_owned();
        for (version, cidr) in [(4, "10.0.0.0/24"), (6, "fd00::/64")] {
            let subnet = json!({ "network_id": network, "ip_version": version, "cidr": cidr });
            self.create("subnet", subnet);
        }
        network
    }

    /// A machine on a host that serves UDP port 7, with the id of its port.
    fn machine(&self, network: &str, host: usize) -> (Vm, String) {
        let port = json!({ "network_id": network, "binding:host_id": HOSTS[host] });
        let port = self.create("port", port);
        let id = text(&port, "id").to_owned();
        let addresses = port["fixed_ips"].as_array().unwrap().iter().map(|fixed| {
            let address: IpAddr = text(fixed, "ip_address").parse().unwrap();
            testkit::IpNet::new(address, if address.is_ipv4() { 24 } else { 64 }).unwrap()
        });
        let mac = Some(text(&port, "mac_address").to_owned());
        let nic = Nic { mac, addresses: addresses.collect(), ..Nic::default() };
        let device = format!("tap{}", &id[..11]);
        let vm = Vm::cabled(&self.switches[host], &device, &nic).unwrap();
        vm.listen_udp(7).unwrap();
        let iface_id = format!("external_ids:iface-id={id}");
        let add = ["add-port", "br-int", &device, "tag=4095"];
        let set = ["--", "set", "Interface", &device, &iface_id];
        self.switches[host].vsctl(&[&add[..], &set].concat()).unwrap();
        (vm, id)
    }

    fn is_active(&self, port: &str) -> bool {
        let (_, answer) = self.request("GET", &format!("/v2.0/ports/{port}"), &Value::Null);
        answer["port"]["status"] == "ACTIVE"
    }
}

/// Where the tunnels of a host end.
fn end(number: u8) -> IpAddr {
    Underlay::of_host(number).address(IpAddr::from([0; 4])).unwrap()
}

/// Server and first agent end together, politely and killed, and the second agent is killed too: of
/// what machines of the two hosts say to each other nothing is lost.
#[test]
fn a_process_that_ends_is_missed_by_no_host() {
    let mut fleet = Fleet::start();
    let network = fleet.network();
    let machines = [0, 1].map(|host| fleet.machine(&network, host));
    let active = || machines.iter().all(|(_, port)| fleet.is_active(port));
    eventually(WAIT, active).unwrap_or_else(|_| panic!("{}", fleet.log()));
    let [(here, _), (there, _)] = &machines;
    let ways = [(here, there), (there, here)].into_iter().flat_map(|(asking, answering)| {
        [answering.v4(7), answering.v6(7)].map(|to| (asking, to.unwrap()))
    });
    let steady: Vec<Steady> = ways
        .map(|(asking, to)| {
            let reached = || asking.ask_udp(to, testkit::PATIENCE) == Outcome::Reached;
            eventually(WAIT, reached).unwrap_or_else(|_| panic!("{to}: {}", fleet.log()));
            asking.steady_udp(to, Pace::HUNDRED_PER_SECOND).unwrap()
        })
        .collect();
    let go_on = || {
        let goal = steady[0].sent() + outage().as_millis() as usize / 10;
        eventually(outage() + WAIT, || steady[0].sent() >= goal).unwrap();
    };
    for kill in [false, true] {
        let weir = fleet.weir.take().unwrap();
        if kill {
            weir.kill();
        } else {
            weir.stop().unwrap();
        }
        go_on();
        fleet.agent = None;
        go_on();
        fleet.start_weir();
        fleet.start_agent();
        fleet.wait_ready();
        go_on();
    }
    for steady in steady {
        let delivery = steady.stop();
        eprintln!("{delivery}");
        assert!(delivery.sent > 0);
        assert_eq!(delivery.lost, 0, "{delivery}: {:#?}", delivery.gaps);
    }
}
