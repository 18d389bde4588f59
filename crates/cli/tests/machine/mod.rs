//! A machine with a private Open vSwitch, on which `weir up` runs as a user would run it.
#![allow(dead_code, reason = "each test file uses what it needs")]

pub(crate) mod http;

use std::{
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{Daemon, Namespace, Nic, Switch, Vm, eventually, guarded};

/// How long anything may take that happens at once on a machine that is not busy.
pub(crate) const WAIT: Duration = Duration::from_secs(30);
/// The name by which ports are bound to the machine.
pub(crate) const HOST: &str = "machine";
/// Every machine has a namespace of its own, so Neutron's port is free.
const PORT: u16 = 9696;

/// A machine. Dropping it ends everything that runs on it and leaves nothing.
pub(crate) struct Machine {
    weir: Option<Daemon>,
    /// What the files of its server say besides.
    files: &'static str,
    pub(crate) switch: Switch,
}

impl Machine {
    /// A machine on which Open vSwitch runs and Weir does not.
    pub(crate) fn without_weir() -> Self {
        let switch = Switch::start().unwrap();
        switch.add_bridge("br-phys").unwrap();
        Self { weir: None, files: "", switch }
    }

    /// A machine on which Weir runs and has brought its bridge up.
    pub(crate) fn new() -> Self {
        Self::with_files("")
    }

    /// The same with more lines in the files of its server.
    pub(crate) fn with_files(more: &'static str) -> Self {
        let mut machine = Self { files: more, ..Self::without_weir() };
        machine.start_weir();
        eventually(WAIT, || machine.is_ready()).unwrap_or_else(|_| panic!("{}", machine.log()));
        machine
    }

    /// Starts `weir up` and waits until its API answers.
    pub(crate) fn start_weir(&mut self) {
        // Options and files are one configuration.
        let ml2 = self.switch.run_dir().join("ml2_conf.ini");
        let ranges = "[ml2_type_vlan]\nnetwork_vlan_ranges = physnet1:100:199\n";
        std::fs::write(&ml2, format!("{ranges}{}", self.files)).unwrap();
        let mut up = guarded("nsenter");
        up.args(self.entered(&[
            "up",
            "--ovsdb",
            &self.switch.db_remote(),
            "--host",
            HOST,
            "--datapath-type",
            "netdev",
            "--bridge-mappings",
            "physnet1:br-phys",
            "--config-file",
            ml2.to_str().unwrap(),
        ]));
        let log = self.switch.run_dir().join("weir.log");
        let mut weir = Daemon::spawn_logged("weir up", up, log).unwrap();
        // The API and the agent begin to listen side by side.
        let socket = self.state_dir().join("agent.sock");
        let listens = || self.connect().is_some() && UnixStream::connect(&socket).is_ok();
        weir.wait_until(WAIT, listens).unwrap();
        self.weir = Some(weir);
    }

    /// Asks `weir up` to end, as systemd does, and waits until it has.
    pub(crate) fn stop_weir(&mut self) {
        self.weir.take().unwrap().stop().unwrap();
    }

    /// Kills `weir up`, as the kernel does when memory runs out.
    pub(crate) fn kill_weir(&mut self) {
        self.weir.take().unwrap().kill();
    }

    /// Runs `weir` to its end.
    pub(crate) fn weir(&self, args: &[&str]) -> Output {
        let mut weir = Command::new("nsenter");
        weir.args(self.entered(args)).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs `weir` beside what else happens.
    pub(crate) fn begin(&self, args: &[&str]) -> Child {
        let mut weir = Command::new("nsenter");
        weir.args(self.entered(args)).stdin(Stdio::null()).stdout(Stdio::null());
        weir.stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs `weir` and returns what it prints with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.weir(&[args, &["--json"]].concat());
        assert!(output.status.success(), "weir {args:?}: {output:?}\n{}", self.log());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What `weir status --json` prints, whatever its exit status.
    pub(crate) fn status(&self) -> Value {
        let output = self.weir(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    /// The devices that are plugged into the integration bridge.
    pub(crate) fn plugged(&self) -> Vec<String> {
        let ports = self.switch.vsctl(&["list-ports", "br-int"]).unwrap();
        ports.lines().filter(|port| !port.starts_with("int-")).map(str::to_owned).collect()
    }

    /// Whether everything is up.
    pub(crate) fn is_ready(&self) -> bool {
        self.weir(&["status"]).status.success()
    }

    /// The port's entry of `weir status`.
    pub(crate) fn port_status(&self, port: &Value) -> Option<Value> {
        let status = self.status();
        let ports = status["ports"].as_array().unwrap();
        ports.iter().find(|entry| entry["id"] == port["id"]).cloned()
    }

    /// Creates a resource through the API and returns it.
    pub(crate) fn create(&self, kind: &str, resource: Value) -> Value {
        let path = format!("/v2.0/{}s", kind.replace('_', "-"));
        let body = json!({ kind: resource }).to_string();
        let connection = self.connect().expect("the API listens");
        let (status, mut answer) = http::request(connection, "POST", &path, &body);
        assert_eq!(status, 201, "POST {path} {body}: {answer}");
        answer[kind].take()
    }

    /// Changes a resource through the API and returns it.
    pub(crate) fn set(&self, kind: &str, id: &str, values: Value) -> Value {
        let path = format!("/v2.0/{}s/{id}", kind.replace('_', "-"));
        let body = json!({ kind: values }).to_string();
        let connection = self.connect().expect("the API listens");
        let (status, mut answer) = http::request(connection, "PUT", &path, &body);
        assert_eq!(status, 200, "PUT {path} {body}: {answer}");
        answer[kind].take()
    }

    /// Deletes a resource through the API.
    pub(crate) fn delete(&self, kind: &str, id: &str) {
        let path = format!("/v2.0/{}s/{id}", kind.replace('_', "-"));
        let connection = self.connect().expect("the API listens");
        let (status, answer) = http::request(connection, "DELETE", &path, "");
        assert_eq!(status, 204, "DELETE {path}: {answer}");
    }

    /// A network with the subnet 10.0.0.0/24; its id.
    pub(crate) fn network(&self) -> String {
        let network = self.create("network", json!({ "name": "red" }));
        let subnet = json!({ "network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.0/24" });
        self.create("subnet", subnet);
        text(&network, "id").to_owned()
    }

    /// A port that is bound to this machine, with `more` attributes.
    pub(crate) fn port(&self, network: &str, more: Value) -> Value {
        let mut port = json!({ "network_id": network, "binding:host_id": HOST });
        port.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.create("port", port)
    }

    /// A virtual machine that was plugged by `weir plug`.
    pub(crate) fn vm(&self, port: &Value) -> Vm {
        let id = text(port, "id");
        let namespace = Namespace::create(&id[..4]).unwrap();
        self.json(&["plug", id, "--netns", namespace.name()]);
        let address = text(&port["fixed_ips"][0], "ip_address");
        let nic =
            Nic { addresses: vec![format!("{address}/24").parse().unwrap()], ..Nic::default() };
        Vm::adopt(namespace, "eth0", &nic).unwrap()
    }

    /// The flows of the integration bridge without what counts and changes by itself.
    pub(crate) fn flows(&self) -> Vec<String> {
        let dump = self.switch.ofctl(&["--no-stats", "dump-flows", "br-int"]).unwrap();
        let mut flows: Vec<String> = dump
            .lines()
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty() && !line.starts_with("cookie=0x3e1706"))
            .collect();
        flows.sort();
        flows
    }

    /// Where Weir keeps its state.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.switch.run_dir().join("weir")
    }

    /// What `weir up` has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.switch.run_dir().join("weir.log")).unwrap_or_default()
    }

    fn connect(&self) -> Option<std::net::TcpStream> {
        let connect = || std::net::TcpStream::connect(("127.0.0.1", PORT));
        self.switch.namespace().inside(connect).unwrap().ok()
    }

    /// The arguments of nsenter that run `weir` with these. Not `ip netns exec`: that would keep
    /// namespaces that `weir plug` makes to itself.
    fn entered(&self, args: &[&str]) -> Vec<String> {
        let namespace = self.switch.namespace().path();
        let mut all =
            vec![format!("--net={}", namespace.display()), env!("CARGO_BIN_EXE_weir").to_owned()];
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        all.extend(["--state-dir".to_owned(), self.state_dir().display().to_string()]);
        all
    }
}

/// A text attribute.
pub(crate) fn text<'a>(resource: &'a Value, attribute: &str) -> &'a str {
    resource[attribute].as_str().unwrap_or_else(|| panic!("no {attribute} in {resource}"))
}
