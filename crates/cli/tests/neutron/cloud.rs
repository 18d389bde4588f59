//! A Neutron server and hosts for agents of either kind: on each a private Open vSwitch, a wire to
//! the physical network, an address for tunnels, and a way to the broker.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    sync::Mutex,
    time::Duration,
};

use agent::status::Status;
use serde_json::Value;
use testkit::{
    AgentOptions, Daemon, Fabric, Neutron, NeutronAgent, NeutronOptions, Nic, Outcome, Relay,
    Switch, Underlay, Vm, eventually,
};
use tokio::runtime::Builder;

#[path = "../machine/http.rs"]
pub(crate) mod http;

use crate::openstack::Openstack;

/// How long anything may take that happens at once on a machine that is not busy. Neutron's own
/// agent takes its time.
pub(crate) const WAIT: Duration = Duration::from_secs(300);
/// The physical network's bridge on each host, and the wire in it.
const PHYSICAL_BRIDGE: &str = "br-phys";
const TRUNK: &str = "trunk";

/// A server and its hosts.
pub(crate) struct Cloud {
    // Dropped in this order.
    pub(crate) hosts: Vec<Host>,
    _fabric: Fabric,
    pub(crate) openstack: Openstack,
    pub(crate) neutron: Neutron,
    /// The MTU of each network that was asked for: machines are plugged in while the server is away.
    mtus: Mutex<BTreeMap<String, u16>>,
}

/// A host, on which no agent runs at first.
pub(crate) struct Host {
    agent: Option<Running>,
    pub(crate) name: String,
    /// Its way to the broker.
    pub(crate) relay: Relay,
    pub(crate) switch: Switch,
    options: AgentOptions,
}

/// Which server there is, and what it and the agents of its hosts are told beside the usual.
pub(crate) struct Told {
    /// The script that installs it.
    pub(crate) release: &'static str,
    /// Lines of the server's `neutron.conf`, with section headings.
    pub(crate) neutron_conf: &'static str,
    /// Lines of each host's `openvswitch_agent.ini`, with section headings.
    pub(crate) agent_ini: &'static str,
}

impl Told {
    /// The newest release, told nothing.
    pub(crate) const NOTHING: Self = Self { release: "neutron", neutron_conf: "", agent_ini: "" };
}

/// An agent that runs.
enum Running {
    Neutron(NeutronAgent),
    Weir(Daemon),
}

/// A virtual machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) vm: Vm,
    /// The port's id.
    pub(crate) port: String,
    pub(crate) host: usize,
    /// Its interface on the integration bridge.
    device: String,
}

impl Cloud {
    /// A server with so many hosts.
    pub(crate) fn start(hosts: u8) -> Self {
        Self::start_told(hosts, &Told::NOTHING)
    }

    /// The same, told more.
    pub(crate) fn start_told(hosts: u8, told: &Told) -> Self {
        let options = NeutronOptions {
            neutron_conf: told.neutron_conf.to_owned(),
            ..NeutronOptions::new(programs(told.release))
        };
        let neutron = Neutron::start(&options).unwrap();
        let fabric = Fabric::start().unwrap();
        let host = |number| Host::start(number, &fabric, &neutron, told);
        let hosts = (1..=hosts).map(host).collect();
        let server = neutron.address();
        let openstack = Openstack { program: programs("neutron").join("openstack"), server };
        Self { hosts, _fabric: fabric, openstack, neutron, mtus: Mutex::default() }
    }

    /// Adds lines to the `openvswitch_agent.ini` of a host, with section headings.
    pub(crate) fn configure(&mut self, host: usize, ini: &str) {
        self.hosts[host].options.ini += ini;
    }

    /// Starts Neutron's own agent on a host.
    pub(crate) fn start_neutron_agent(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        let agent = NeutronAgent::start(&self.neutron, &host.switch, &host.options).unwrap();
        host.agent = Some(Running::Neutron(agent));
    }

    /// Starts Weir's agent on a host.
    pub(crate) fn start_weir_agent(&mut self, host: usize) {
        let agent = self.hosts[host].weir_agent(&self.neutron);
        self.hosts[host].agent = Some(Running::Weir(agent));
    }

    /// Ends the agent of a host politely, whichever it is.
    pub(crate) fn stop_agent(&mut self, host: usize) {
        match self.hosts[host].agent.take().unwrap() {
            Running::Neutron(agent) => agent.stop().unwrap(),
            Running::Weir(agent) => agent.stop().unwrap(),
        }
    }

    /// Kills the agent of a host, whichever it is.
    pub(crate) fn kill_agent(&mut self, host: usize) {
        match self.hosts[host].agent.take().unwrap() {
            Running::Neutron(agent) => drop(agent),
            Running::Weir(agent) => agent.kill(),
        }
    }

    /// A machine on the port, plugged in as Nova does it where the port is bound.
    pub(crate) fn plug(&self, port: &Value) -> Machine {
        let bound = &port["binding_host_id"];
        let host = self.hosts.iter().position(|host| *bound == *host.name).unwrap();
        let addresses = addresses(port).iter().map(|it| it.parse().unwrap()).collect();
        let mac = Some(port["mac_address"].as_str().unwrap().to_owned());
        // What DHCP would tell it: a longer packet gets lost in a tunnel, and nobody says so.
        let mtu = self.mtu(port["network_id"].as_str().unwrap());
        self.plug_on(host, port, &Nic { mac, addresses, mtu: Some(mtu), ..Nic::default() })
    }

    fn mtu(&self, network: &str) -> u16 {
        let mut mtus = self.mtus.lock().unwrap();
        *mtus.entry(network.to_owned()).or_insert_with(|| {
            let network = self.get(&format!("/v2.0/networks/{network}"));
            network["network"]["mtu"].as_u64().unwrap().try_into().unwrap()
        })
    }

    /// The same on a host where it need not be bound, with this interface.
    pub(crate) fn plug_on(&self, host: usize, port: &Value, nic: &Nic) -> Machine {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (id, mac) = (text(&port["id"]), text(&port["mac_address"]));
        let switch = &self.hosts[host].switch;
        let suffix = &id[..11];
        let (vm, device) = match port["binding_vif_details"]["ovs_hybrid_plug"] == true {
            true => (Vm::behind_bridge(switch, suffix, nic).unwrap(), format!("qvo{suffix}")),
            false => {
                let device = format!("tap{suffix}");
                (Vm::cabled(switch, &device, nic).unwrap(), device)
            }
        };
        vm.listen_tcp(7).unwrap();
        vm.listen_udp(7).unwrap();
        let [iface_id, attached_mac] =
            [format!("iface-id={id}"), format!("attached-mac=\"{mac}\"")];
        let external = |pair: &str| format!("external_ids:{pair}");
        switch
            .vsctl(&[
                "add-port",
                "br-int",
                &device,
                "--",
                "set",
                "Interface",
                &device,
                &external(&iface_id),
                &external(&attached_mac),
                &external("iface-status=active"),
            ])
            .unwrap();
        Machine { vm, port: id, host, device }
    }

    /// Takes the machine's interface off its host, and says nothing to the server.
    pub(crate) fn unplug(&self, machine: &Machine) {
        let device = machine.device();
        self.hosts[machine.host].switch.vsctl(&["del-port", "br-int", &device]).unwrap();
    }

    /// Waits until the server says that these ports are active.
    pub(crate) fn wait_active(&self, machines: &[&Machine]) {
        let waiting = || machines.iter().find(|it| self.port(it)["status"] != "ACTIVE");
        if eventually(WAIT, || waiting().is_none()).is_err()
            && let Some(machine) = waiting()
        {
            panic!("not active: {:#}\n{}", self.port(machine), self.log_of(machine.host));
        }
    }

    /// Waits until the server says that the agents of all hosts are alive.
    pub(crate) fn wait_alive(&self) {
        let alive = |host: &Host| {
            let agents = self.get(&format!("/v2.0/agents?host={}", host.name));
            agents["agents"].as_array().unwrap().iter().any(|agent| agent["alive"] == true)
        };
        if eventually(WAIT, || self.hosts.iter().all(alive)).is_err() {
            let log = self.hosts.iter().map(Host::log).collect::<String>();
            panic!("{:#}\n{log}\n{}", self.get("/v2.0/agents"), self.neutron.log());
        }
    }

    /// Waits until the agents of all hosts have nothing left to do.
    pub(crate) fn wait_ready(&self) {
        self.hosts.iter().for_each(Host::wait_ready);
    }

    /// The port as the server knows it.
    pub(crate) fn port(&self, machine: &Machine) -> Value {
        self.get(&format!("/v2.0/ports/{}", machine.port))["port"].take()
    }

    /// What lies under the path. This is for what is asked often; the client does the rest.
    pub(crate) fn get(&self, path: &str) -> Value {
        self.ask("GET", path, &Value::Null)
    }

    /// What the server answers, which must be no refusal.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        ask(self.neutron.address(), method, path, body)
    }

    /// The end of what the agent of a host has logged.
    pub(crate) fn log_of(&self, host: usize) -> String {
        self.hosts[host].log()
    }
}

impl Host {
    fn start(number: u8, fabric: &Fabric, neutron: &Neutron, told: &Told) -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge(PHYSICAL_BRIDGE).unwrap();
        fabric.trunk(&switch, TRUNK).unwrap();
        switch.vsctl(&["add-port", PHYSICAL_BRIDGE, TRUNK]).unwrap();
        let underlay = Underlay::of_host(number);
        fabric.underlay(&switch, &underlay).unwrap();
        let local_ip = underlay.address([0; 4].into()).unwrap();
        let ini = format!(
            "[ovs]\n\
             bridge_mappings = physnet1:{PHYSICAL_BRIDGE}\n\
             local_ip = {local_ip}\n\
             [agent]\n\
             tunnel_types = vxlan,gre,geneve\n\
             l2_population = true\n\
             report_interval = 2\n\
             {}",
            told.agent_ini
        );
        let name = format!("host{number}");
        let relay = neutron.relay(switch.namespace()).unwrap();
        let options = AgentOptions { host: name.clone(), ini };
        Self { agent: None, name, relay, switch, options }
    }

    /// Whether its agent has done what there was to do when it started.
    fn is_ready(&self) -> bool {
        match self.agent.as_ref().unwrap() {
            Running::Neutron(agent) => agent.is_through(),
            Running::Weir(..) => {
                let status = self.status();
                let connections = &status.connections;
                let connections = [&connections.ovsdb, &connections.switch, &connections.server];
                connections.iter().all(|it| *it == "ok")
                    && status.refused.is_empty()
                    && !status.ports.is_empty()
                    && status.ports.iter().all(|port| port.up)
            }
        }
    }

    /// Waits until its agent has nothing left to do.
    pub(crate) fn wait_ready(&self) {
        eventually(WAIT, || self.is_ready()).unwrap_or_else(|_| panic!("{}", self.log()));
    }

    /// What Weir's agent says of itself.
    pub(crate) fn status(&self) -> Status {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let socket = self.switch.run_dir().join("weir/agent.sock");
        runtime.block_on(agent::admin::status(&socket)).unwrap_or_default()
    }

    /// Starts `weir agent` with the files of Neutron's agent.
    fn weir_agent(&self, neutron: &Neutron) -> Daemon {
        let files = NeutronAgent::configure(neutron, &self.switch, &self.options).unwrap();
        let mut command = self.switch.namespace().command(env!("CARGO_BIN_EXE_weir"));
        command.arg("agent");
        for file in files {
            command.arg("--config-file").arg(file);
        }
        command.arg("--ovs-run-dir").arg(self.switch.run_dir());
        command.arg("--state-dir").arg(self.switch.run_dir().join("weir"));
        let log = self.switch.run_dir().join("weir.log");
        Daemon::spawn_logged("weir agent", command, log).unwrap()
    }

    /// The end of what its agent has logged.
    pub(crate) fn log(&self) -> String {
        let log = match &self.agent {
            None => String::new(),
            Some(Running::Neutron(agent)) => agent.log(),
            Some(Running::Weir(..)) => {
                let log = std::fs::read_to_string(self.switch.run_dir().join("weir.log"));
                format!("{}{:#?}", log.unwrap_or_default(), self.status())
            }
        };
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Machine {
    /// Its interface on the host.
    pub(crate) fn device(&self) -> String {
        self.device.clone()
    }

    /// Its address, on the port that it serves.
    pub(crate) fn served(&self) -> SocketAddr {
        self.vm.v4(7).unwrap()
    }

    /// Whether a ping is answered now.
    pub(crate) fn pings(&self, other: &Self) -> bool {
        self.vm.ping(other.served().ip(), testkit::PATIENCE) == Outcome::Reached
    }
}

/// The addresses of a port, with the lengths that the tests' subnets have.
pub(crate) fn addresses(port: &Value) -> Vec<String> {
    let addresses = port["fixed_ips"].as_array().unwrap().iter().map(|fixed| {
        let address = fixed["ip_address"].as_str().unwrap();
        let length = if address.contains(':') { 64 } else { 24 };
        format!("{address}/{length}")
    });
    addresses.collect()
}

/// What the server there answers, which must be no refusal.
pub(crate) fn ask(server: SocketAddr, method: &str, path: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let connection = TcpStream::connect(server).unwrap();
    let (status, answer) = http::request(connection, method, path, &body);
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

/// The directory of the programs that a script of the project installs.
pub(crate) fn programs(script: &str) -> PathBuf {
    let script = format!("{}/../../scripts/{script}", env!("CARGO_MANIFEST_DIR"));
    let made = Command::new(script).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().into()
}
