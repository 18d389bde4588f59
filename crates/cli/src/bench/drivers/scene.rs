//! A switch with ports, two of them virtual machines, and an agent where there are rules.

use std::time::{Duration, Instant};

use agent::rewire::Migrate;
use anyhow::{Context as _, bail, ensure};
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
    pings::Pings,
    traffic,
};

/// How long all ports may take to come up, or to move.
const START: Duration = Duration::from_secs(600);
/// The first of the UDP ports that rules admit to one after the other.
const OPENED: u16 = 8000;
/// How many ports are plugged in with one command.
const BATCH: usize = 50;
/// How often the agent is asked how far moves are.
const PAUSE: Duration = Duration::from_millis(20);
/// How many machines are pinged while all ports move.
const PINGED: usize = 8;
/// How the devices of the machines begin that ping them. No port that moves has one of such a name.
const WATCHER: &str = "watcher";
/// How long it is asked in vain before a rule comes.
const REFUSED: Duration = Duration::from_millis(50);

/// One way, with what there is on it.
pub(super) struct Scene {
    // Dropped in this order.
    node: Option<Node>,
    pub(super) client: Vm,
    pub(super) server: Vm,
    /// More machines, in the order in which they move; the server is the next.
    machines: Vec<Vm>,
    /// Those that ping them, and do not move.
    watchers: Vec<Vm>,
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
        // Two more let the client open connections, and others ping.
        let cloud = Cloud::start(end, rules.saturating_sub(2).max(OWN_RULES));
        cloud.put_rule(cloud.served_rule("tcp", SERVED));
        cloud.put_rule(cloud.pinged_rule());
        let client = cloud.local_port(0, &[&cloud.remote]);
        let mut others: Vec<Port> =
            (1..ports).map(|number| cloud.local_port(number, &[&cloud.all])).collect();
        // So they move.
        others.sort_by(|one, other| one.id.cmp(&other.id));
        let (sample, idle) = sample(&others, PINGED);
        // One for each: many pings a second by one device would wait behind each other.
        let watchers: Vec<Port> = (ports..)
            .map(|number| cloud.local_port(number, &[&cloud.remote]))
            .take(sample.len())
            .collect();
        cloud.fill(others.iter().chain([&client]).chain(&watchers).cloned());
        let ids = others.iter().chain([&client]).map(|port| port.id.clone()).collect();

        plug_idle(&switch, way, &idle)?;
        let boot = |port| boot(&switch, way, port);
        let mut machines = sample.into_iter().map(boot).collect::<Result<Vec<_>, _>>()?;
        let server = machines.pop().context("there is one port alone")?;
        let client = boot(&client)?;
        let watch = |(number, port): (usize, &Port)| {
            boot_at(&switch, way, &format!("{WATCHER}{number}"), port)
        };
        let watchers = watchers.iter().enumerate().map(watch).collect::<Result<Vec<_>, _>>()?;
        server.listen_udp(SERVED)?;
        if way == Way::Plain {
            switch.ofctl(&["add-flow", INTEGRATION_BRIDGE, "actions=NORMAL"])?;
        }
        Ok(Self {
            node: None,
            client,
            server,
            machines,
            watchers,
            switch,
            way,
            cloud,
            bus,
            ports: ids,
        })
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

    /// Moves all ports to the other driver, while some of the machines are pinged.
    ///
    /// # Errors
    /// When one cannot be moved.
    pub(super) async fn move_all(&self) -> anyhow::Result<Option<Moved>> {
        let Some((node, to)) = self.node.as_ref().zip(self.way.other()) else { return Ok(None) };
        let what = format!("{}, {} ports: to {to}", self.way.name(), self.ports.len());
        let step = Step::begin(&what, self.ports.len());
        let machines: Vec<&Vm> = self.machines.iter().chain([&self.server]).collect();
        let pings = Pings::start(&self.watchers, &machines).await?;
        let begin = Instant::now();
        let migrate = Migrate { to: to.to_string(), ports: Vec::new() };
        let mut moves = agent::admin::migrate(&node.socket, migrate).await?;
        while moves.iter().any(|it| it.is_under_way) {
            sleep(PAUSE).await;
            moves = agent::admin::moves(&node.socket).await?;
            let over = moves.iter().filter(|it| !it.is_under_way).count();
            step.reached(over);
            ensure!(begin.elapsed() < START, "{over} ports are moved after {START:?}");
        }
        let seconds = begin.elapsed().as_secs_f64();
        let pings = pings.stop().await?;
        if let Some(left) = moves.iter().find(|it| it.is_undone) {
            bail!("port {} could not be moved: {}", left.port, left.step);
        }
        let cut_off = Spread::of(moves.iter().filter_map(|it| it.cut_off_ms));
        Ok(cut_off.map(|cut_off_ms| Moved { seconds, cut_off_ms, pings }))
    }

    /// Stops the agent.
    pub(super) async fn stop(mut self) {
        if let Some(node) = self.node.take() {
            node.stop().await;
        }
    }
}

/// So many of the ports, or all, spread over them, the last one among them; and the others.
fn sample(ports: &[Port], count: usize) -> (Vec<&Port>, Vec<&Port>) {
    let before = |number: usize| number * count.min(ports.len()) / ports.len();
    let (sample, idle): (Vec<_>, Vec<_>) =
        ports.iter().enumerate().partition(|(number, _)| before(number + 1) > before(*number));
    let ports = |numbered: Vec<(usize, _)>| numbered.into_iter().map(|(_, port)| port).collect();
    (ports(sample), ports(idle))
}

/// Ports that nobody uses, with devices as hypervisors have them, wired as the way wants it.
fn plug_idle(switch: &Switch, way: Way, ports: &[&Port]) -> anyhow::Result<()> {
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
            devices.push((if way == Way::Hybrid { qvo } else { tap }, *port));
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
    let nic = nic(port)?;
    let HybridDevices { tap, qvo, .. } = HybridDevices::of(port.id.parse()?);
    let (vm, device) = match (way, tap.strip_prefix("tap")) {
        (Way::Hybrid, Some(suffix)) => (Vm::behind_bridge(switch, suffix, &nic)?, qvo),
        _ => (Vm::cabled(switch, &tap, &nic)?, tap),
    };
    plug(switch, way, &[(device, port)])?;
    Ok(vm)
}

/// The same without a Linux bridge, by a device of this name.
fn boot_at(switch: &Switch, way: Way, device: &str, port: &Port) -> anyhow::Result<Vm> {
    let vm = Vm::cabled(switch, device, &nic(port)?)?;
    plug(switch, way, &[(device.to_owned(), port)])?;
    Ok(vm)
}

/// With the addresses of the port.
fn nic(port: &Port) -> anyhow::Result<Nic> {
    let addresses = port.fixed_ips.iter().map(|fixed| format!("{}/16", fixed.ip_address).parse());
    Ok(Nic {
        mac: Some(port.mac_address.clone()),
        addresses: addresses.collect::<Result<_, _>>()?,
        ..Nic::default()
    })
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
