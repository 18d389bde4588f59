//! `weir agent` over a real broker, told by Neutron's files and called by the name of Neutron's
//! agent.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "machine/http.rs"]
mod http;

use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::fs::symlink,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use neutron::bus::{
    local::LocalBus,
    rabbit::{self, Member, RabbitOptions},
};
use serde_json::{Value, json};
use server::{FlatNetworks, Limits, MtuConfig, SegmentConfig, Server};
use testkit::{Broker, Daemon, Relay, Switch, eventually};
use tokio::runtime::Runtime;

const WAIT: Duration = Duration::from_secs(60);
const PROGRAM: &str = "neutron-openvswitch-agent";

/// What the files of a node say of its firewall, where they say it.
const FLOWS: &str = "[securitygroup]\nfirewall_driver = openvswitch\n";

/// A cloud: a broker, a server on it that names netfilter to agents that are told none, and a node
/// with a switch.
struct Cloud {
    switch: Switch,
    broker: Broker,
    _relay: Relay,
    runtime: Runtime,
    server: Option<(Server, Member)>,
}

impl Cloud {
    fn new() -> Self {
        let mut cloud = Self::without_server();
        cloud.serve();
        cloud
    }

    fn without_server() -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge("br-phys").unwrap();
        let broker = Broker::start().unwrap();
        let relay = Relay::start(switch.namespace(), broker.address()).unwrap();
        Self { switch, broker, _relay: relay, runtime: Runtime::new().unwrap(), server: None }
    }

    fn serve(&mut self) {
        let config = server::Config {
            listen: ([127, 0, 0, 1], 0).into(),
            state_dir: self.switch.run_dir().join("server"),
            segments: SegmentConfig {
                project_network_types: vec![model::NetworkType::Vlan],
                network_vlan_ranges: vec!["physnet1:100:199".parse().unwrap()],
                vlan_networks: BTreeSet::new(),
                flat_networks: FlatNetworks::Any,
                vxlan_vni_ranges: Vec::new(),
                geneve_vni_ranges: Vec::new(),
                gre_tunnel_id_ranges: Vec::new(),
            },
            mtu: MtuConfig::ethernet(),
            limits: Limits::without_quotas(),
            firewall_driver: "iptables_hybrid".to_owned(),
        };
        let url = self.broker.url().parse().unwrap();
        let server = self.runtime.block_on(async {
            let (bus, end) = LocalBus::new();
            let server = Server::start(config, end).await.unwrap();
            (server, rabbit::serve(RabbitOptions::new(url, "server"), &bus).unwrap())
        });
        self.server = Some(server);
    }

    /// Writes the files of the node; `debug` is the value of that option, `firewall` the group.
    fn write_files(&self, debug: &str, firewall: &str) {
        let neutron = format!(
            "[DEFAULT]\nhost = node-1\ndebug = {debug}\nlog_dir = {}\ntransport_url = {}\n",
            self.switch.run_dir().display(),
            self.broker.url(),
        );
        fs::write(self.file("neutron.conf"), neutron).unwrap();
        let agent = format!(
            "[ovs]\ndatapath_type = netdev\nbridge_mappings = physnet1:br-phys\n\
             resource_provider_bandwidths = br-phys:1000:2000\n\
             [agent]\nreport_interval = 1\npolling_interval = 3\n{firewall}"
        );
        fs::write(self.file("openvswitch_agent.ini"), agent).unwrap();
    }

    /// Starts the agent as a unit file would.
    fn start_agent(&self) -> Daemon {
        let program = self.file(PROGRAM);
        if !program.exists() {
            symlink(env!("CARGO_BIN_EXE_weir"), &program).unwrap();
        }
        let mut agent = self.switch.namespace().command(&program);
        agent.arg("--config-file").arg(self.file("neutron.conf"));
        agent.arg("--config-file").arg(self.file("openvswitch_agent.ini"));
        agent.arg("--ovs-run-dir").arg(self.switch.run_dir());
        agent.arg("--state-dir").arg(self.file("state"));
        Daemon::spawn_logged(PROGRAM, agent, self.file("stderr.log")).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.switch.run_dir().join(name)
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.file(name)).unwrap_or_default();
        read(&format!("{PROGRAM}.log")) + &read("stderr.log")
    }

    fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().0.address()
    }

    fn get(&self, path: &str) -> Value {
        let connection = TcpStream::connect(self.address()).unwrap();
        http::request(connection, "GET", path, "").1
    }

    fn create(&self, resource: &str, body: Value) -> Value {
        let connection = TcpStream::connect(self.address()).unwrap();
        let (path, body) = (format!("/v2.0/{resource}s"), json!({ resource: body }).to_string());
        let (status, answer) = http::request(connection, "POST", &path, &body);
        assert_eq!(status, 201, "{answer}");
        answer[resource].clone()
    }

    /// A port that is bound to the node.
    fn port(&self) -> Value {
        let network = self.create("network", json!({ "name": "n" }));
        let subnet = json!({
            "network_id": network["id"], "cidr": "10.0.0.0/24", "ip_version": 4,
            "enable_dhcp": false,
        });
        self.create("subnet", subnet);
        let port = json!({
            "network_id": network["id"], "device_owner": "compute:nova",
            "binding:host_id": "node-1",
        });
        self.create("port", port)
    }

    fn status_of(&self, port: &Value) -> Value {
        self.get(&format!("/v2.0/ports/{}", text(port, "id")))["port"]["status"].clone()
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

#[test]
fn it_takes_the_place_of_neutrons_agent() {
    let cloud = Cloud::new();
    cloud.write_files("false", FLOWS);
    let mut daemon = cloud.start_agent();
    let agent = || cloud.get("/v2.0/agents")["agents"][0].clone();
    daemon.wait_until(WAIT, || agent()["alive"] == true).unwrap_or_else(|error| {
        panic!("{error}\n{}", cloud.log());
    });
    let seen = agent();
    assert_eq!((text(&seen, "binary"), text(&seen, "host")), (PROGRAM, "node-1"));
    assert_eq!(text(&seen, "agent_type"), "Open vSwitch agent");
    let bandwidths = &seen["configurations"]["resource_provider_bandwidths"];
    assert_eq!(bandwidths, &json!({ "br-phys": { "egress": 1000, "ingress": 2000 } }));
    // What the files say counts, whatever the server's.
    assert_eq!(seen["configurations"]["ovs_hybrid_plug"], false);

    // A port that is plugged in comes up.
    let port = cloud.port();
    let (id, mac) = (text(&port, "id"), text(&port, "mac_address"));
    let tap = ["add-port", "br-int", "tap0", "--", "set", "Interface", "tap0", "type=internal"];
    let iface_id = format!("external_ids:iface-id={id}");
    let attached_mac = format!("external_ids:attached-mac=\"{mac}\"");
    let plug = [&tap[..], &[&iface_id, &attached_mac, "external_ids:iface-status=active"]].concat();
    eventually(WAIT, || cloud.switch.vsctl(&["br-exists", "br-int"]).is_ok()).unwrap();
    cloud.switch.vsctl(&plug).unwrap();
    daemon.wait_until(WAIT, || cloud.status_of(&port) == "ACTIVE").unwrap_or_else(|error| {
        panic!("{error}\n{}", cloud.log());
    });

    // What is not needed is said once, with its line.
    let log = cloud.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("polling_interval")).collect();
    assert!(matches!(told[..], [line] if line.contains("openvswitch_agent.ini:7")), "{told:?}");

    // SIGHUP reads the files again; bad ones change nothing.
    let hang_up = || {
        let hup = Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status();
        assert!(hup.unwrap().success());
    };
    let says = |words: &str| eventually(WAIT, || cloud.log().contains(words));
    assert!(!cloud.log().contains("DEBUG"));
    cloud.write_files("true", FLOWS);
    hang_up();
    says("this option is changed").expect("the changed option is named");
    says("DEBUG").expect("more is logged");
    cloud.write_files("perhaps", FLOWS);
    hang_up();
    says("everything goes on as it was").expect("a bad file is refused");
    says("neutron.conf:3: [DEFAULT] debug: 'perhaps' is neither").expect("its line is named");

    // The end of the agent leaves the data plane as it is, and it is taken up again.
    let flows = || {
        let flows = cloud.switch.ofctl(&["--no-stats", "dump-flows", "br-int"]).unwrap();
        let mut flows: Vec<_> = flows.lines().map(str::to_owned).collect();
        flows.sort();
        flows
    };
    let before = flows();
    daemon.stop().unwrap();
    assert!(cloud.log().contains("the data plane stays as it is"), "{}", cloud.log());
    assert_eq!(flows(), before);
    cloud.write_files("false", FLOWS);
    let mut daemon = cloud.start_agent();
    let is_ready = || {
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.args(["status", "--state-dir"]).arg(cloud.file("state"));
        weir.output().unwrap().status.success()
    };
    daemon.wait_until(WAIT, is_ready).unwrap_or_else(|error| panic!("{error}\n{}", cloud.log()));
    assert_eq!(flows(), before);
    daemon.stop().unwrap();
}

#[test]
fn without_a_firewall_of_its_own_it_takes_that_of_the_server() {
    let mut cloud = Cloud::without_server();
    cloud.write_files("false", "[DEFAULT]\nrpc_response_timeout = 2\n");
    let says = |cloud: &Cloud, words: &str| {
        eventually(WAIT, || cloud.log().contains(words))
            .unwrap_or_else(|error| panic!("{error}\n{}", cloud.log()));
    };
    // It waits, touches nothing, and can be ended.
    let daemon = cloud.start_agent();
    says(&cloud, "it is asked again");
    assert!(cloud.switch.vsctl(&["br-exists", "br-int"]).is_err(), "{}", cloud.log());
    daemon.stop().unwrap();
    says(&cloud, "nothing has been touched");

    let daemon = cloud.start_agent();
    cloud.serve();
    says(&cloud, "the server has said its firewall_driver");
    let agent = || cloud.get("/v2.0/agents")["agents"][0].clone();
    eventually(WAIT, || agent()["alive"] == true)
        .unwrap_or_else(|error| panic!("{error}\n{}", cloud.log()));
    assert_eq!(agent()["configurations"]["ovs_hybrid_plug"], true, "{}", agent());
    // So Nova is told to plug machines in with a Linux bridge.
    let port = cloud.port();
    assert_eq!(port["binding:vif_details"]["ovs_hybrid_plug"], true, "{port}");
    daemon.stop().unwrap();
}

#[test]
fn it_does_not_start_with_what_it_cannot_honour() {
    let switch = Switch::start().unwrap();
    for (text, line) in [
        (
            "[securitygroup]\nfirewall_driver = nftables\n",
            "agent.ini:2: [securitygroup] firewall_driver = nftables",
        ),
        ("[agent]\nextensions = qos, log\n", "agent.ini:2: [agent] extensions = qos,log"),
        (
            "[agent]\n\npolling_interval = 0\n",
            "agent.ini:3: [agent] polling_interval: 0 is less than 1",
        ),
        ("[agent\n", "agent.ini:1: a group's line must end with ']'"),
    ] {
        let file = switch.run_dir().join("agent.ini");
        fs::write(&file, text).unwrap();
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.args(["agent", "--config-file"]).arg(&file);
        weir.arg("--state-dir").arg(switch.run_dir().join("state"));
        weir.arg("--ovs-run-dir").arg(switch.run_dir());
        let output = weir.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(line), "{error}");
    }
}
