//! The machine of the demo: a private Open vSwitch and `weir up` in one network namespace.

use std::{
    env, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, bail};
use serde_json::Value;
use testkit::{Daemon, Switch};

use super::{api::Api, interrupt::Interrupt, scene};

/// The integration bridge, which the machines are plugged into.
const INTEGRATION_BRIDGE: &str = "br-int";
/// The bridge that stands for the wire of the physical network.
const PHYSICAL_BRIDGE: &str = "br-phys";
/// Everything has a namespace of its own, so Neutron's port is always free.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9696);

/// The name of the host that the machines' ports are bound to.
pub(super) const HOST: &str = "demo";

/// A running switch with a running Weir. Dropping it ends both and leaves nothing.
#[derive(Debug)]
pub(super) struct Node {
    // Dropped in this order.
    weir: Daemon,
    switch: Switch,
    program: PathBuf,
}

impl Node {
    /// Starts the switch with its two bridges, and `weir up` beside it.
    ///
    /// # Errors
    /// When we are not root, or Open vSwitch is not installed.
    pub(super) fn start() -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot find the program that runs")?;
        let switch = Switch::start().context("cannot start a private Open vSwitch")?;
        for bridge in [INTEGRATION_BRIDGE, PHYSICAL_BRIDGE] {
            switch.add_bridge(bridge)?;
        }
        let mut up = switch.namespace().command(&program);
        up.arg("up")
            .arg("--state-dir")
            .arg(state_dir(&switch))
            .args(["--ovsdb", &switch.db_remote()])
            .args(["--listen", &LISTEN.to_string()])
            .args(["--host", HOST])
            .arg("--bridge-mappings")
            .arg(format!("{}:{PHYSICAL_BRIDGE}", scene::PHYSICAL_NETWORK))
            .arg("--network-vlan-ranges")
            .arg(format!("{}:100:199", scene::PHYSICAL_NETWORK));
        let weir = Daemon::spawn_logged("weir up", up, switch.run_dir().join("weir.log"))?;
        Ok(Self { weir, switch, program })
    }

    /// Waits until the API answers and an agent has reported to it.
    ///
    /// # Errors
    /// When Weir ends or does not come up in time.
    pub(super) fn wait_until_ready(&mut self, interrupt: &Interrupt) -> anyhow::Result<()> {
        let mut api = Api::new(self.switch.namespace(), &endpoint())?;
        interrupt.until("an agent that reports to the server", || {
            if let Some(status) = self.weir.ended() {
                bail!("weir up has ended by itself ({status})");
            }
            // As long as it starts, nobody answers.
            let agents = api.get("/v2.0/agents", "agents").unwrap_or_default();
            Ok(agents.pointer("/0/alive").and_then(Value::as_bool).filter(|alive| *alive))
        })?;
        Ok(())
    }

    /// A user of the API.
    ///
    /// # Errors
    /// When the system refuses what a client needs.
    pub(super) fn api(&self) -> anyhow::Result<Api<'_>> {
        Api::new(self.switch.namespace(), &endpoint())
    }

    /// Plugs a port into a namespace, as a user does.
    ///
    /// # Errors
    /// What `weir plug` says when it refuses.
    pub(super) fn plug(&self, port: &str, namespace: &str) -> anyhow::Result<()> {
        let mut plug = self.switch.namespace().command(&self.program);
        plug.args(["plug", port, "--netns", namespace])
            .arg("--state-dir")
            .arg(state_dir(&self.switch))
            // A terminal's Ctrl-C is for us, who clean up.
            .process_group(0);
        run(plug).with_context(|| format!("weir plug {port}"))
    }

    /// The switch.
    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// Where Weir keeps its state.
    pub(super) fn state_dir(&self) -> PathBuf {
        state_dir(&self.switch)
    }

    /// The program that runs, by its whole path.
    pub(super) fn program(&self) -> String {
        self.program.display().to_string()
    }

    /// The end of Weir's log.
    pub(super) fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.switch.run_dir().join("weir.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }
}

/// Where the API is, inside the namespace.
pub(super) fn endpoint() -> String {
    format!("http://{LISTEN}")
}

fn state_dir(switch: &Switch) -> PathBuf {
    switch.run_dir().join("weir")
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let output = command.output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
