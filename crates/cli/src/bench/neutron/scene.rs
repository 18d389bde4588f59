//! A real Neutron with the scenario: one network, one group with many rules, many ports bound to
//! one host.

use std::path::{Path, PathBuf};

use ::neutron::{
    bus::rabbit,
    oslo::Interests,
    rest::Port,
    rpc::{UpdateDeviceList, agent_id},
};
use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testkit::{Neutron, NeutronOptions};
use tokio::time::{Instant, sleep};

use super::{
    super::{interface::Interface, progress::Step},
    PATIENCE, POLL, Size,
};
use crate::api::Api;

/// The host that the ports are bound to.
pub(super) const HOST: &str = "bench";
/// Whose everything is.
const PROJECT: &str = "00000000000000000000000000000001";
/// How many rules and ports are created with one request, which a busy machine must answer in time,
/// and how many ports are reported down with one call.
const RULES: usize = 50;
const PORTS: usize = 5;
const REPORTED: usize = 20;
/// The first port number of the rules that are there from the beginning.
const FIRST: u16 = 3000;
/// The program that is looked for to tell whether Neutron is there.
const SERVER: &str = "neutron-rpc-server";

/// The server with what it has been told to make.
#[derive(Debug)]
pub(super) struct Scene {
    neutron: Neutron,
    network: String,
    group: String,
    /// The ports, not plugged in yet.
    pub(super) interfaces: Vec<Interface>,
}

/// The directory of Neutron's programs: the one that is said, or where `scripts/neutron` puts them
/// beside this program.
///
/// # Errors
/// When they are not there.
pub(super) fn programs(said: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let beside = || {
        let program = std::env::current_exe().ok()?;
        Some(program.parent()?.parent()?.join("neutron").join("bin"))
    };
    let programs = said.or_else(beside).context("cannot find the program that runs")?;
    let programs = std::path::absolute(programs)?;
    if !programs.join(SERVER).is_file() {
        bail!(
            "no Neutron in {}: 'scripts/neutron' installs it under the target directory and prints \
             the directory to give with --neutron",
            programs.display()
        );
    }
    Ok(programs)
}

impl Scene {
    /// Starts the server.
    ///
    /// # Errors
    /// When something of it does not come up.
    pub(super) async fn start(programs: &Path, rpc_workers: u16) -> anyhow::Result<Self> {
        let _step = Step::begin("starting MariaDB, RabbitMQ, Neutron", 1);
        let mut options = NeutronOptions::new(programs.to_owned());
        options.neutron_conf = format!("[DEFAULT]\nrpc_workers = {rpc_workers}\n");
        let started = tokio::task::spawn_blocking(move || Neutron::start(&options)).await?;
        let neutron = started.context("cannot start a private Neutron")?;
        let (network, group) = (String::new(), String::new());
        Ok(Self { neutron, network, group, interfaces: Vec::new() })
    }

    /// Creates network, group, rules and ports. An agent must be alive on the host.
    ///
    /// # Errors
    /// When the API refuses.
    pub(super) async fn fill(&mut self, size: Size) -> anyhow::Result<()> {
        let mut api = self.api()?;
        let network = json!({
            "name": "bench",
            "project_id": PROJECT,
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
        });
        self.network = id(&create(&mut api, "network", network).await?)?;
        let subnet = json!({
            "network_id": self.network, "project_id": PROJECT, "ip_version": 4,
            "cidr": "10.20.0.0/16",
        });
        let _subnet: Value = create(&mut api, "subnet", subnet).await?;
        let group = json!({ "name": "bench", "project_id": PROJECT });
        self.group = id(&create(&mut api, "security_group", group).await?)?;

        let step = Step::begin("creating rules", size.rules.into());
        let rules: Vec<Value> =
            (0..size.rules).map(|more| self.rule(FIRST, FIRST.saturating_add(more))).collect();
        let mut made = 0;
        for rules in rules.chunks(RULES) {
            let _rules: Vec<Value> = create_all(&mut api, "security_group_rule", rules).await?;
            made += rules.len();
            step.reached(made);
        }
        drop(step);

        let step = Step::begin("creating ports", size.ports.into());
        let port = |number| {
            json!({
                "name": format!("bench-{number}"), "project_id": PROJECT,
                "network_id": self.network, "security_groups": [self.group],
                "device_owner": "compute:bench", "device_id": format!("bench-{number}"),
                "binding:host_id": HOST,
            })
        };
        let ports: Vec<Value> = (0..size.ports).map(port).collect();
        for ports in ports.chunks(PORTS) {
            let ports: Vec<Port> = create_all(&mut api, "port", ports).await?;
            let interfaces =
                ports.into_iter().map(|it| Interface { port: it.id, mac: it.mac_address });
            self.interfaces.extend(interfaces);
            step.reached(self.interfaces.len());
        }
        Ok(())
    }

    /// Creates one more rule, for this port number alone. Gives its id.
    ///
    /// # Errors
    /// When the API refuses.
    pub(super) async fn add_rule(&self, api: &mut Api, number: u16) -> anyhow::Result<String> {
        id(&create(api, "security_group_rule", self.rule(number, number)).await?)
    }

    /// Deletes rules.
    ///
    /// # Errors
    /// When the API refuses.
    pub(super) async fn delete_rules(
        &self,
        rules: impl ExactSizeIterator<Item = &str>,
    ) -> anyhow::Result<()> {
        let step = Step::begin("deleting these rules", rules.len());
        let mut api = self.api()?;
        for (deleted, rule) in (1..).zip(rules) {
            api.delete(&format!("/v2.0/security-group-rules/{rule}")).await?;
            step.reached(deleted);
        }
        Ok(())
    }

    /// Waits until the server takes the agent of the host for alive.
    ///
    /// # Errors
    /// When it does not in time.
    pub(super) async fn agent_alive(&self) -> anyhow::Result<()> {
        let mut api = self.api()?;
        let start = Instant::now();
        loop {
            let path = format!("/v2.0/agents?host={HOST}");
            let agents: Vec<Value> = api.get(&path, "agents").await?;
            if agents.iter().any(|agent| agent["alive"] == true) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!("the server has not heard of the agent after {PATIENCE:?}");
            }
            sleep(POLL).await;
        }
    }

    /// How many ports are active.
    ///
    /// # Errors
    /// When the API refuses.
    pub(super) async fn active(&self) -> anyhow::Result<usize> {
        let path = format!("/v2.0/ports?network_id={}&status=ACTIVE&fields=id", self.network);
        let active: Vec<Value> = self.api()?.get(&path, "ports").await?;
        Ok(active.len())
    }

    /// Reports all ports down, as the agent of the host does it when they are unplugged.
    ///
    /// # Errors
    /// When the server does not take note.
    pub(super) async fn take_down(&self) -> anyhow::Result<()> {
        let step = Step::begin("taking ports down", self.interfaces.len());
        let options =
            rabbit::RabbitOptions::new(self.neutron.broker().url().parse()?, "weir-bench");
        let interests = Interests { tunnels: false, population: false };
        let (end, member) = rabbit::join(options, "bench-down", interests)?;
        let (caller, _casts) = end.split();
        let mut down = 0;
        for ports in self.interfaces.chunks(REPORTED) {
            let call = UpdateDeviceList {
                devices_up: Vec::new(),
                devices_down: ports.iter().map(|interface| interface.port.clone()).collect(),
                agent_id: agent_id(HOST),
                host: HOST.to_owned(),
                refresh_tunnels: false,
            };
            caller.call(call).await?;
            down += ports.len();
            step.reached(down);
        }
        member.leave().await;
        match self.active().await? {
            0 => Ok(()),
            active => bail!("{active} ports are active although all were reported down"),
        }
    }

    /// A user of the API.
    ///
    /// # Errors
    /// None, as the server's address is one.
    pub(super) fn api(&self) -> anyhow::Result<Api> {
        Ok(Api::new(format!("http://{}", self.neutron.address()).parse()?))
    }

    /// The server itself.
    pub(super) fn neutron(&self) -> &Neutron {
        &self.neutron
    }

    fn rule(&self, first: u16, last: u16) -> Value {
        json!({
            "security_group_id": self.group, "project_id": PROJECT, "direction": "ingress",
            "ethertype": "IPv4", "protocol": "tcp",
            "port_range_min": first, "port_range_max": last,
        })
    }
}

async fn create(api: &mut Api, kind: &str, resource: Value) -> anyhow::Result<Value> {
    Ok(api.create(&path(kind), kind, &resource).await?)
}

async fn create_all<T: DeserializeOwned>(
    api: &mut Api,
    kind: &str,
    resources: &[Value],
) -> anyhow::Result<Vec<T>> {
    Ok(api.create(&path(kind), &format!("{kind}s"), &resources).await?)
}

fn path(kind: &str) -> String {
    format!("/v2.0/{}s", kind.replace('_', "-"))
}

fn id(resource: &Value) -> anyhow::Result<String> {
    let id = resource.get("id").and_then(Value::as_str);
    Ok(id.with_context(|| format!("no id in {resource}"))?.to_owned())
}
