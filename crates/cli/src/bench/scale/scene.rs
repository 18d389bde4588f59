//! The switch, with the ports plugged in, and a Weir that runs on it from time to time.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use neutron::rest::Agent;
use testkit::Switch;
use tokio::time::{sleep, timeout};

use super::{
    super::interface::{self, Interface},
    Size,
    fill::{Made, fill},
    node::Node,
};
use crate::{api::Api, state_dir::StateDir};

/// The integration bridge.
pub(super) const INTEGRATION_BRIDGE: &str = "br-int";
/// The bridge that stands for the wire of the physical network.
const PHYSICAL_BRIDGE: &str = "br-phys";
/// The name by which ports are bound to this machine.
pub(super) const HOST: &str = "bench";
/// The bridge that ovs-ofctl fills.
const EMPTY_BRIDGE: &str = "br-load";
/// How long ovs-ofctl may take, in seconds.
const LOAD: &str = "300";
/// How long Weir may take until it answers for the first time.
const START: Duration = Duration::from_secs(30);

/// A private switch, and the state of a Weir that runs on it from time to time.
#[derive(Debug)]
pub(super) struct Scene {
    switch: Switch,
    state_dir: PathBuf,
}

impl Scene {
    /// Starts the switch with its two bridges.
    ///
    /// # Errors
    /// When we are not root, or Open vSwitch is not installed.
    pub(super) fn set() -> anyhow::Result<Self> {
        let switch = Switch::start().context("cannot start a private Open vSwitch")?;
        for bridge in [INTEGRATION_BRIDGE, PHYSICAL_BRIDGE] {
            switch.add_bridge(bridge)?;
        }
        let state_dir = switch.run_dir().join("weir");
        Ok(Self { switch, state_dir })
    }

    /// Fills the store through the API of a `weir up`, which is stopped again: nothing is plugged
    /// yet, so its agent has wired nothing.
    ///
    /// # Errors
    /// When the API refuses or does not answer.
    pub(super) async fn fill(&self, size: Size) -> anyhow::Result<Made> {
        let mut node = self.start()?;
        let mut api = self.api(&mut node).await?;
        let made = fill(&mut api, size).await?;
        node.stop()?;
        Ok(made)
    }

    /// The memory that is resident in a `weir up` with the store filled and nothing plugged in.
    ///
    /// # Errors
    /// When it does not start or stop.
    pub(super) async fn idle_rss_bytes(&self) -> anyhow::Result<u64> {
        let mut node = self.start()?;
        node.connected().await?;
        let bytes = node.rss_bytes()?;
        node.stop()?;
        Ok(bytes)
    }

    /// Seconds that ovs-ofctl takes to put the flows of the integration bridge into an empty
    /// bridge of the same switch, in one bundle. The integration bridge has none afterwards.
    ///
    /// # Errors
    /// When the switch refuses.
    pub(super) fn load_seconds(&self) -> anyhow::Result<f64> {
        let patience = ["--timeout", LOAD];
        let flows = self
            .switch
            .ofctl(&[&patience[..], &["--no-stats", "dump-flows", INTEGRATION_BRIDGE]].concat())?;
        let file = self.switch.run_dir().join("flows");
        fs::write(&file, flows)?;
        self.switch.ofctl(&["del-flows", INTEGRATION_BRIDGE])?;
        self.switch.add_bridge(EMPTY_BRIDGE)?;
        let file = file.display().to_string();
        let start = Instant::now();
        self.switch
            .ofctl(&[&patience[..], &["--bundle", "add-flows", EMPTY_BRIDGE, &file]].concat())?;
        let seconds = start.elapsed().as_secs_f64();
        self.switch.vsctl(&["del-br", EMPTY_BRIDGE])?;
        Ok(seconds)
    }

    /// Plugs the ports in as interfaces of the bridge, each in the dead VLAN.
    ///
    /// # Errors
    /// When the switch refuses.
    pub(super) fn plug(&self, interfaces: &[Interface]) -> anyhow::Result<()> {
        interface::plug(&self.switch, INTEGRATION_BRIDGE, interfaces)
    }

    /// Makes the switch forget what an agent has done: no flows, and every port in the dead VLAN.
    ///
    /// # Errors
    /// When the switch refuses.
    pub(super) fn forget(&self, interfaces: &[Interface]) -> anyhow::Result<()> {
        self.switch.ofctl(&["del-flows", INTEGRATION_BRIDGE])?;
        interface::forget(&self.switch, interfaces)
    }

    /// Starts `weir up`. The clock runs from here.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub(super) fn start(&self) -> anyhow::Result<Node> {
        let args = [
            ("--state-dir", self.state_dir.display().to_string()),
            ("--ovsdb", self.switch.db_remote()),
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--host", HOST.to_owned()),
            ("--integration-bridge", INTEGRATION_BRIDGE.to_owned()),
            ("--datapath-type", "netdev".to_owned()),
            ("--bridge-mappings", format!("physnet1:{PHYSICAL_BRIDGE}")),
            ("--network-vlan-ranges", "physnet1:100:199".to_owned()),
        ];
        Node::start(&args, self.log(), StateDir::at(self.state_dir.clone()).admin_socket())
    }

    /// The switch.
    pub(super) fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The API, once it answers and an agent has reported to it.
    async fn api(&self, node: &mut Node) -> anyhow::Result<Api> {
        timeout(START, self.answering(node))
            .await
            .with_context(|| format!("'weir up' does not answer; its log: {}", self.log_tail()))?
    }

    async fn answering(&self, node: &mut Node) -> anyhow::Result<Api> {
        let state_dir = StateDir::at(self.state_dir.clone());
        loop {
            node.check()?;
            if let Ok(up) = state_dir.up() {
                let mut api = Api::new(up.api()?);
                let agents: Vec<Agent> = api.get("/v2.0/agents", "agents").await?;
                if agents.iter().any(|agent| agent.alive) {
                    return Ok(api);
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn log(&self) -> PathBuf {
        self.switch.run_dir().join("weir.log")
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }
}
