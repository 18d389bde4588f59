//! Neutron's own agent with Weir's server instead of Neutron's: `weir up` on one host, the agent on
//! another, a broker between them.

use std::net::TcpStream;

use serde_json::{Value, json};
use testkit::{
    AgentOptions, Broker, Daemon, NeutronAgent, Nic, Outcome, Relay, Switch, Vm, eventually,
    guarded,
};

use crate::{
    cloud::{WAIT, http, programs},
    trunk,
};

/// `weir up` on a host of its own.
struct Controller {
    // Dropped in this order.
    _weir: Daemon,
    _relay: Relay,
    switch: Switch,
}

impl Controller {
    fn start(broker: &Broker) -> Self {
        let switch = Switch::start().unwrap();
        let relay = Relay::start(switch.namespace(), broker.address()).unwrap();
        let ml2 = switch.run_dir().join("ml2_conf.ini");
        std::fs::write(&ml2, "[ml2_type_vlan]\nnetwork_vlan_ranges = physnet1:100:199\n").unwrap();
        let mut up = guarded("nsenter");
        up.arg(format!("--net={}", switch.namespace().path().display()));
        up.args([env!("CARGO_BIN_EXE_weir"), "up", "--host", "controller"]);
        up.args(["--ovsdb", &switch.db_remote(), "--datapath-type", "netdev"]);
        up.args(["--config-file", ml2.to_str().unwrap(), "--transport-url", &broker.url()]);
        up.arg("--state-dir").arg(switch.run_dir().join("weir"));
        let weir = Daemon::spawn_logged("weir up", up, switch.run_dir().join("weir.log")).unwrap();
        let controller = Self { _weir: weir, _relay: relay, switch };
        eventually(WAIT, || controller.connect().is_some()).unwrap();
        controller
    }

    fn connect(&self) -> Option<TcpStream> {
        let connect = || TcpStream::connect(("127.0.0.1", 9696));
        self.switch.namespace().inside(connect).unwrap().ok()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        http::request(self.connect().unwrap(), method, path, body)
    }

    fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").1
    }

    fn create(&self, kind: &str, resource: Value) -> Value {
        let path = format!("/v2.0/{}s", kind.replace('_', "-"));
        let (status, mut answer) = self.ask("POST", &path, &json!({ kind: resource }).to_string());
        assert_eq!(status, 201, "POST {path}: {answer}");
        answer[kind].take()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.switch.run_dir().join("weir.log")).unwrap_or_default()
    }
}

/// A machine with a port of the network and the group on the host, plugged in as Nova does it.
fn machine(
    controller: &Controller,
    switch: &Switch,
    network: &Value,
    group: &Value,
) -> (Vm, Value) {
    let port = controller.create(
        "port",
        json!({
            "network_id": network, "binding:host_id": "host1", "device_owner": "compute:nova",
            "device_id": "machine", "security_groups": [group],
        }),
    );
    let text = |key: &str| port[key].as_str().unwrap().to_owned();
    let address = port["fixed_ips"][0]["ip_address"].as_str().unwrap();
    let nic = Nic {
        mac: Some(text("mac_address")),
        addresses: vec![format!("{address}/24").parse().unwrap()],
        ..Nic::default()
    };
    let suffix = &text("id")[..11];
    let (vm, device) = match is_hybrid(&port) {
        true => (Vm::behind_bridge(switch, suffix, &nic).unwrap(), format!("qvo{suffix}")),
        false => {
            let device = format!("tap{suffix}");
            (Vm::cabled(switch, &device, &nic).unwrap(), device)
        }
    };
    vm.listen_tcp(7).unwrap();
    let external = [
        format!("external_ids:iface-id={}", text("id")),
        format!("external_ids:attached-mac=\"{}\"", text("mac_address")),
        "external_ids:iface-status=active".to_owned(),
    ];
    let mut add = vec!["add-port", "br-int", &device, "--", "set", "Interface", &device];
    add.extend(external.iter().map(String::as_str));
    switch.vsctl(&add).unwrap();
    (vm, port["id"].clone())
}

/// Whether the port is to be plugged behind a Linux bridge.
fn is_hybrid(port: &Value) -> bool {
    port["binding:vif_details"]["ovs_hybrid_plug"].as_bool().unwrap()
}

#[test]
fn neutrons_own_agent_wires_ports_of_weirs_server_and_filters_them() {
    wires_and_filters("neutron", "openvswitch");
}

/// Its host wants ports behind Linux bridges, and says so.
#[test]
fn neutrons_own_agent_filters_ports_of_weirs_server_by_netfilter() {
    wires_and_filters("neutron", "iptables_hybrid");
}

/// The agent of the oldest release that Weir speaks with.
#[test]
fn neutrons_agent_of_2024_1_wires_ports_of_weirs_server_and_filters_them() {
    wires_and_filters("neutron-2024.1", "openvswitch");
}

/// Neutron's agent on `host1`, with a controller that it knows.
struct Scene {
    // Dropped in this order.
    agent: NeutronAgent,
    _relay: Relay,
    switch: Switch,
    controller: Controller,
    _broker: Broker,
}

impl Scene {
    /// The agent is that of the release which this script installs, with this firewall.
    fn start(release: &str, firewall_driver: &str) -> Self {
        let programs = programs(release);
        let broker = Broker::start().unwrap();
        let controller = Controller::start(&broker);
        let switch = Switch::start().unwrap();
        switch.add_bridge("br-phys").unwrap();
        let relay = Relay::start(switch.namespace(), broker.address()).unwrap();
        let ini = format!(
            "report_interval = 2\n[ovs]\nbridge_mappings = physnet1:br-phys\n[securitygroup]\n\
             firewall_driver = {firewall_driver}\n"
        );
        let options = AgentOptions { host: "host1".to_owned(), ini };
        let agent = NeutronAgent::start_for(&programs, &broker, &switch, &options).unwrap();
        let scene = Self { agent, _relay: relay, switch, controller, _broker: broker };
        // It is known under its own name.
        let alive = || {
            let agents = scene.controller.get("/v2.0/agents?host=host1");
            agents["agents"].as_array().unwrap().iter().any(|agent| {
                agent["alive"] == true && agent["binary"] == "neutron-openvswitch-agent"
            })
        };
        assert!(eventually(WAIT, alive).is_ok(), "{}", scene.log());
        scene
    }

    fn log(&self) -> String {
        let log = self.agent.log();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(60)..].join("\n");
        format!("{last}\n{}", self.controller.log())
    }

    /// Waits until what lies there is active.
    fn wait_active(&self, kind: &str, id: &Value) {
        let path = format!("/v2.0/{kind}s/{}", id.as_str().unwrap());
        let found = || self.controller.get(&path)[kind].take();
        let waited = eventually(WAIT, || found()["status"] == "ACTIVE");
        assert!(waited.is_ok(), "{:#}\n{}", found(), self.log());
    }

    /// A network with a subnet.
    fn network(&self, name: &str, cidr: &str) -> Value {
        let network = self.controller.create("network", json!({ "name": name }))["id"].take();
        let subnet = json!({ "network_id": network, "ip_version": 4, "cidr": cidr });
        self.controller.create("subnet", subnet);
        network
    }

    fn group(&self, name: &str) -> Value {
        self.controller.create("security_group", json!({ "name": name }))["id"].take()
    }

    fn rule(&self, group: &Value, protocol: &str) -> Value {
        let ingress = json!({
            "security_group_id": group, "direction": "ingress", "protocol": protocol,
        });
        self.controller.create("security_group_rule", ingress)["id"].take()
    }
}

fn wires_and_filters(release: &str, firewall_driver: &str) {
    let scene = Scene::start(release, firewall_driver);
    let Scene { controller, switch, .. } = &scene;
    let network = scene.network("red", "10.0.0.0/24");
    let group = scene.group("ping");
    let ping = scene.rule(&group, "icmp");
    let machines = [0; 2].map(|_| machine(controller, switch, &network, &group));
    for (_, port) in &machines {
        scene.wait_active("port", port);
        let path = format!("/v2.0/ports/{}", port.as_str().unwrap());
        let bound = controller.get(&path)["port"].take();
        assert_eq!(is_hybrid(&bound), firewall_driver == "iptables_hybrid");
    }

    let [(one, _), (two, _)] = &machines;
    let served = two.v4(7).unwrap();
    let pings = || one.ping(served.ip(), testkit::PATIENCE) == Outcome::Reached;
    let connects = || one.connect_tcp(served, testkit::PATIENCE);
    assert!(eventually(WAIT, pings).is_ok(), "{}", scene.log());
    assert_eq!(connects(), Outcome::Filtered);

    // What changes is told.
    scene.rule(&group, "tcp");
    assert!(eventually(WAIT, || connects() == Outcome::Reached).is_ok(), "{}", scene.log());
    let path = format!("/v2.0/security-group-rules/{}", ping.as_str().unwrap());
    assert_eq!(controller.ask("DELETE", &path, "").0, 204);
    assert!(eventually(WAIT, || !pings()).is_ok(), "{}", scene.log());
    assert_eq!(connects(), Outcome::Reached);
}

#[test]
fn neutrons_own_agent_wires_a_trunk_of_weirs_server() {
    let scene = Scene::start("neutron", "openvswitch");
    let Scene { controller, switch, .. } = &scene;
    let kinds = [("plain", "10.0.0.0/24", "icmp"), ("red", "10.0.1.0/24", "tcp")];
    let kinds = kinds.map(|(name, cidr, protocol)| {
        let (network, group) = (scene.network(name, cidr), scene.group(protocol));
        scene.rule(&group, protocol);
        (network, group)
    });
    let port = |(network, group): &(Value, Value)| {
        let port = json!({ "network_id": network, "security_groups": [group] });
        controller.create("port", port)["id"].take()
    };
    let [parent, subport] = kinds.each_ref().map(port);
    let subports = json!([{
        "port_id": subport, "segmentation_type": "vlan", "segmentation_id": 101,
    }]);
    let trunk = controller.create("trunk", json!({ "port_id": parent, "sub_ports": subports }));
    let path = |port: &Value| format!("/v2.0/ports/{}", port.as_str().unwrap());
    let bind = json!({ "port": { "binding:host_id": "host1", "device_owner": "compute:nova" } });
    assert_eq!(controller.ask("PUT", &path(&parent), &bind.to_string()).0, 200);
    let ports = [&parent, &subport].map(|port| controller.get(&path(port))["port"].take());
    let [plain, red] = &ports;
    let bridge = plain["binding:vif_details"]["bridge_name"].as_str().unwrap();
    let interfaces = trunk::plug(switch, bridge, &[(plain, None), (red, Some(101))]);
    scene.wait_active("trunk", &trunk["id"]);

    // Each is reached in its network as its own group says.
    for (place, (network, group)) in kinds.iter().enumerate() {
        let (other, port) = machine(controller, switch, network, group);
        scene.wait_active("port", &port);
        let to = interfaces[place].v4(7).unwrap();
        let wanted = [Outcome::Reached, Outcome::Filtered];
        let wanted = if place == 0 { wanted } else { [wanted[1], wanted[0]] };
        let found = || {
            let ping = other.ping(to.ip(), testkit::PATIENCE);
            [ping, other.connect_tcp(to, testkit::PATIENCE)]
        };
        let waited = eventually(WAIT, || found() == wanted);
        assert!(waited.is_ok(), "{place}: {:?}\n{}", found(), scene.log());
    }
}
