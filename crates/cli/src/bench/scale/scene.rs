//! The switch, the network, its group and its ports.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use neutron::rest::{Agent, Port};
use serde_json::{Value, json};
use testkit::Switch;
use tokio::time::{sleep, timeout};

use super::{
    super::{
        interface::{self, Interface},
        progress::Step,
    },
    node::Node,
};
use crate::{api::Api, state_dir::StateDir};

/// The integration bridge.
pub(super) const INTEGRATION_BRIDGE: &str = "br-int";
/// The bridge that stands for the wire of the physical network.
const PHYSICAL_BRIDGE: &str = "br-phys";
/// The name by which ports are bound to this machine.
const HOST: &str = "bench";
/// The lowest port of every rule's range.
const FIRST_PORT: u32 = 3000;
/// How long Weir may take until it answers for the first time.
const START: Duration = Duration::from_secs(30);

/// A private switch, and the state of a Weir that runs on it from time to time.
#[derive(Debug)]
pub(super) struct Scene {
    switch: Switch,
    state_dir: PathBuf,
}

/// What the API has.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) interfaces: Vec<Interface>,
    pub(super) rules_seconds: f64,
    pub(super) ports_seconds: f64,
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

    /// Creates network, subnet, group, rules and ports through the API of a `weir up`, which is
    /// stopped again: nothing is plugged yet, so its agent has wired nothing.
    ///
    /// # Errors
    /// When the API refuses or does not answer.
    pub(super) async fn fill(&mut self, ports: u16, rules: u16) -> anyhow::Result<Made> {
        let mut node = self.start()?;
        let mut api = timeout(START, self.api(&mut node)).await.with_context(|| {
            format!("'weir up' does not answer; its log: {}", self.log_tail())
        })??;
        let network: Value = create(
            &mut api,
            "network",
            json!({
                "name": "bench",
                "provider:network_type": "vlan",
                "provider:physical_network": "physnet1",
                "provider:segmentation_id": 100,
            }),
        )
        .await?;
        let network = id(&network)?;
        let subnet = json!({ "network_id": network, "ip_version": 4, "cidr": "10.20.0.0/16" });
        let _subnet: Value = create(&mut api, "subnet", subnet).await?;
        let group: Value = create(&mut api, "security_group", json!({ "name": "bench" })).await?;
        let group = id(&group)?;

        let step = Step::begin("creating rules", rules.into());
        let start = Instant::now();
        for number in 0..rules {
            let rule = json!({
                "security_group_id": group,
                "direction": "ingress",
                "ethertype": "IPv4",
                "protocol": "tcp",
                "port_range_min": FIRST_PORT,
                "port_range_max": FIRST_PORT + u32::from(number),
            });
            let _rule: Value = create(&mut api, "security_group_rule", rule).await?;
            step.reached(usize::from(number) + 1);
        }
        let rules_seconds = start.elapsed().as_secs_f64();
        drop(step);

        let step = Step::begin("creating ports", ports.into());
        let start = Instant::now();
        let mut made = Vec::new();
        for number in 0..ports {
            let port = json!({
                "name": format!("bench-{number}"),
                "network_id": network,
                "security_groups": [group],
                "device_owner": "compute:bench",
                "binding:host_id": HOST,
            });
            let port: Port = create(&mut api, "port", port).await?;
            made.push(Interface { port: port.id, mac: port.mac_address });
            step.reached(made.len());
        }
        let ports_seconds = start.elapsed().as_secs_f64();
        node.stop()?;
        Ok(Made { interfaces: made, rules_seconds, ports_seconds })
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
        let state_dir = StateDir::at(self.state_dir.clone());
        loop {
            node.check()?;
            if let Ok(up) = state_dir.up() {
                let mut api = Api::new(up.api.parse()?);
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
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(10)..).unwrap_or_default().join("\n")
    }
}

async fn create<T: serde::de::DeserializeOwned>(
    api: &mut Api,
    kind: &str,
    resource: Value,
) -> anyhow::Result<T> {
    let path = format!("/v2.0/{}s", kind.replace('_', "-"));
    Ok(api.create(&path, kind, &resource).await?)
}

fn id(resource: &Value) -> anyhow::Result<String> {
    let id = resource.get("id").and_then(Value::as_str);
    Ok(id.with_context(|| format!("no id in {resource}"))?.to_owned())
}
