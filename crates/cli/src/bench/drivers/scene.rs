//! A switch with ports, two of them virtual machines, and an agent where there are rules.

use std::time::{Duration, Instant};

use agent::rewire::Migrate;
use anyhow::{Context as _, bail};
use model::HybridDevices;
use neutron::{
    bus::local::LocalBus,
    object::{Port, SecurityGroupRule},
};
use testkit::{Nic, Switch, Vm};
use tokio::time::{sleep, timeout};

use super::{
    super::{
        cloud::{Cloud, OWN_RULES, PHYSICAL_BRIDGE, SERVED},
        node::{INTEGRATION_BRIDGE, Node},
        progress::Step,
    },
    Way,
    figures::{Moved, Spread},
    traffic,
};

/// How long all ports may take to come up.
const START: Duration = Duration::from_secs(600);
/// The first of the UDP ports that rules admit to one after the other.
const OPENED: u16 = 8000;
/// How many ports are plugged in with one command.
const BATCH: usize = 50;
/// How often the agent is asked how far moves are.
const PAUSE: Duration = Duration::from_millis(20);
/// How long it is asked in vain before a rule comes.
const REFUSED: Duration = Duration::from_millis(50);

/// One way, with what there is on it.
pub(super) struct Scene {
    // Dropped in this order.
    node: Option<Node>,
    pub(super) client: Vm,
    pub(super) server: Vm,
    switch: Switch,
    way: Way,
    cloud: Cloud,
    bus: LocalBus,
    /// The ids of all ports.
    ports: Vec<String>,
}

impl Scene {
    /// A switch with so many ports in a group of so many rules.
    ///
    /// # Errors
    /// When the kernel or the switch refuses.
    pub(super) fn set(way: Way, ports: u16, rules: u16) -> anyhow::Result<Self> {
        let _step = Step::begin(&format!("{}, {ports} ports: scene", way.name()), 1);
        let switch = Switch::start().context("cannot start a private Open vSwitch")?;
        for bridge in [INTEGRATION_BRIDGE, PHYSICAL_BRIDGE] {
            switch.add_bridge(bridge)?;
        }
        let (bus, end) = LocalBus::new();
        // One more lets the client open connections.
        let cloud = Cloud::start(end, rules.saturating_sub(1).max(OWN_RULES));
        cloud.put_rule(cloud.served_rule("tcp", SERVED));
        let client = cloud.local_port(0, &[&cloud.remote]);
        let others: Vec<Port> =
            (1..ports).map(|number| cloud.local_port(number, &[&cloud.all])).collect();
        cloud.fill(others.iter().chain([&client]).cloned());
        let ids = others.iter().chain([&client]).map(|port| port.id.clone()).collect();
        let (server, idle) = others.split_first().context("there is one port alone")?;

        plug_idle(&switch, way, idle)?;
        let [client, server] = [&client, server].map(|port| boot(&switch, way, port));
        let (client, server) = (client?, server?);
        server.listen_udp(SERVED)?;
        if way == Way::Plain {
            switch.ofctl(&["add-flow", INTEGRATION_BRIDGE, "actions=NORMAL"])?;
        }
        Ok(Self { node: None, client, server, switch, way, cloud, bus, ports: ids })
    }

    /// Starts the agent, if there is one on this way. Gives how long it took until the last port was
    /// up.
    ///
    /// # Errors
    /// When it does not start, or a port does not come up.
    pub(super) async fn start(&mut self) -> anyhow::Result<Option<Duration>> {
        let Some(firewall) = self.way.firewall() else { return Ok(None) };
        let step = format!("{}, {} ports: start", self.way.name(), self.ports.len());
        let _step = Step::begin(&step, 1);
        let start = tokio::time::Instant::now();
        self.node = Some(Node::start_with(&self.switch, &self.bus, firewall)?);
        let up = timeout(START, self.cloud.all_up(&self.ports)).await;
        Ok(Some(up.context("a port does not come up")? - start))
    }

    /// How long each of so many rules takes from its message until packets pass by it.
    ///
    /// # Errors
    /// When packets do not pass.
    pub(super) async fn changes(&self, count: u16) -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::new();
        if self.node.is_none() {
            return Ok(took);
        }
        let what = format!("{}, {} ports: rules", self.way.name(), self.ports.len());
        let step = Step::begin(&what, count.into());
        for number in 0..count {
            let port = OPENED + number;
            self.server.listen_udp(port)?;
            let answered = traffic::first_answer(&self.client, &self.server, port)?;
            sleep(REFUSED).await;
            let rule: SecurityGroupRule = self.cloud.served_rule("udp", port);
            let id = rule.id.clone();
            let told = Instant::now();
            self.cloud.put_rule(rule);
            let took_so_long = answered.await?.checked_duration_since(told);
            took.push(took_so_long.context("packets pass that no rule admits")?);
            self.cloud.delete_rule(&id);
            step.reached(usize::from(number) + 1);
        }
        Ok(took)
    }

    /// Moves all ports to the other driver.
    ///
    /// # Errors
    /// When one cannot be moved.
    pub(super) async fn move_all(&self) -> anyhow::Result<Option<Moved>> {
        let Some((node, to)) = self.node.as_ref().zip(self.way.other()) else { return Ok(None) };
        let what = format!("{}, {} ports: to {to}", self.way.name(), self.ports.len());
        let step = Step::begin(&what, self.ports.len());
        let begin = Instant::now();
        let migrate = Migrate { to: to.to_string(), ports: Vec::new() };
        let mut moves = agent::admin::migrate(&node.socket, migrate).await?;
        while moves.iter().any(|it| it.is_under_way) {
            sleep(PAUSE).await;
            moves = agent::admin::moves(&node.socket).await?;
            step.reached(moves.iter().filter(|it| !it.is_under_way).count());
        }
        let seconds = begin.elapsed().as_secs_f64();
        if let Some(left) = moves.iter().find(|it| it.is_undone) {
            bail!("port {} could not be moved: {}", left.port, left.step);
        }
        let cut_off = Spread::of(moves.iter().filter_map(|it| it.cut_off_ms));
        Ok(cut_off.map(|cut_off_ms| Moved { seconds, cut_off_ms }))
    }

    /// Stops the agent.
    pub(super) async fn stop(mut self) {
        if let Some(node) = self.node.take() {
            node.stop().await;
        }
    }
}

/// Ports that nobody uses, with devices as hypervisors have them, wired as the way wants it.
fn plug_idle(switch: &Switch, way: Way, ports: &[Port]) -> anyhow::Result<()> {
    let step = Step::begin("plugging interfaces", ports.len());
    let mut plugged = 0;
    for batch in ports.chunks(BATCH) {
        let (mut links, mut devices) = (String::new(), Vec::new());
        for port in batch {
            let HybridDevices { tap, qbr, qvb, qvo } = HybridDevices::of(port.id.parse()?);
            links += &format!(
                "tuntap add dev {tap} mode tap\n\
                 link set dev {tap} addrgenmode none promisc on up\n"
            );
            if way == Way::Hybrid {
                links += &format!(
                    "link add name {qbr} type bridge ageing_time 0 stp_state 0 mcast_snooping 0\n\
                     link add name {qvb} type veth peer name {qvo}\n\
                     link set dev {qbr} addrgenmode none up\n\
                     link set dev {tap} master {qbr}\n\
                     link set dev {qvb} addrgenmode none master {qbr} up\n\
                     link set dev {qvo} addrgenmode none promisc on up\n"
                );
            }
            devices.push((if way == Way::Hybrid { qvo } else { tap }, port));
        }
        switch.namespace().ip(&links)?;
        plug(switch, way, &devices)?;
        plugged += batch.len();
        step.reached(plugged);
    }
    Ok(())
}

/// A virtual machine with the addresses of the port, wired as the way wants it.
fn boot(switch: &Switch, way: Way, port: &Port) -> anyhow::Result<Vm> {
    let addresses = port.fixed_ips.iter().map(|fixed| format!("{}/16", fixed.ip_address).parse());
    let nic = Nic {
        mac: Some(port.mac_address.clone()),
        addresses: addresses.collect::<Result<_, _>>()?,
        ..Nic::default()
    };
    let HybridDevices { tap, qvo, .. } = HybridDevices::of(port.id.parse()?);
    let (vm, device) = match (way, tap.strip_prefix("tap")) {
        (Way::Hybrid, Some(suffix)) => (Vm::behind_bridge(switch, suffix, &nic)?, qvo),
        _ => (Vm::cabled(switch, &tap, &nic)?, tap),
    };
    plug(switch, way, &[(device, port)])?;
    Ok(vm)
}

/// Plugs devices in: in the dead VLAN, where an agent takes them out of it.
fn plug(switch: &Switch, way: Way, devices: &[(String, &Port)]) -> anyhow::Result<()> {
    let tag = if way == Way::Plain { "tag=1" } else { "tag=4095" };
    let mut command: Vec<String> = Vec::new();
    for (device, port) in devices {
        let [iface_id, attached_mac] = [
            format!("external_ids:iface-id={}", port.id),
            format!("external_ids:attached-mac=\"{}\"", port.mac_address),
        ];
        let add = ["--", "add-port", INTEGRATION_BRIDGE, device, tag];
        let set = ["--", "set", "Interface", device, &iface_id, &attached_mac];
        command.extend([&add[..], &set].concat().into_iter().map(str::to_owned));
    }
    switch.vsctl(&command.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(())
}
