//! `weir bench wire`: how long it takes from an interface to a port that is up.
//!
//! Ports are plugged one by one, then all at once, on a node where nothing else is plugged in. The
//! time counts from the moment when the interface appears in the database with its port number
//! until the server hears that the port is up; before that, ovs-vswitchd makes the interface.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use neutron::{bus::local::LocalBus, object::Port};
use ovsdb::{Condition, Port as PortRow, Row, RowId, TableRow as _, Transaction};
use serde::Serialize;
use testkit::Switch;
use tokio::time::{Instant, timeout};

use super::{
    cloud::{Cloud, PHYSICAL_BRIDGE},
    goal,
    interface::Interface,
    node::{INTEGRATION_BRIDGE, Node},
    progress::Step,
    statistic::{median, quantile},
};
use crate::output::{Format, table};

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The VLAN that a port is in until the agent has a better one.
const DEAD_VLAN: u16 = 4095;

/// How much of it.
#[derive(Debug, clap::Args)]
#[command(after_help = super::SCENE)]
pub(crate) struct Options {
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    format: Format,
}

/// How many ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::Args)]
struct Size {
    /// Ports that are plugged one by one, each when the one before is up
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(1..=2000))]
    single: u16,
    /// Ports that are plugged at once
    #[arg(long, value_name = "NUMBER", default_value_t = 400,
        value_parser = clap::value_parser!(u16).range(1..=2000))]
    ports: u16,
    /// Rules of the one security group of all ports
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(2..=20000))]
    rules: u16,
}

/// The number of ports that the goal is for.
const FULL: u16 = 400;

/// What was measured. Times are in milliseconds.
#[derive(Debug, Serialize)]
struct Figures {
    #[serde(flatten)]
    size: Size,
    /// One port: from its interface to the server's hearing that it is up.
    single_median_ms: f64,
    single_p99_ms: f64,
    /// One port: from the transaction until ovs-vswitchd has made the interface.
    single_interface_ms: f64,
    /// All ports: from the first interface to the last port.
    all_ms: f64,
    /// All ports: from the transaction until ovs-vswitchd has made the first interface.
    all_interface_ms: f64,
}

/// Measures and prints.
///
/// # Errors
/// When the scene cannot be set, for example because we are not root.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    super::report(options.format, measure(options.size), text).await
}

async fn measure(size: Size) -> anyhow::Result<Figures> {
    testkit::remove_leftovers()?;
    let step = Step::begin("starting Open vSwitch", 1);
    let switch = Switch::start().context("cannot start a private Open vSwitch")?;
    for bridge in [INTEGRATION_BRIDGE, PHYSICAL_BRIDGE] {
        switch.add_bridge(bridge)?;
    }
    drop(step);
    let (bus, end) = LocalBus::new();
    let cloud = Cloud::start(end, size.rules);
    let ports = |from, count| -> Vec<Port> {
        (from..from + count).map(|number| cloud.local_port(number, &[&cloud.all])).collect()
    };
    // The first one brings the network and the policy.
    let (first, single) = (ports(0, 1), ports(1, size.single));
    let many = ports(1 + size.single, size.ports);
    cloud.fill([&first, &single, &many].into_iter().flatten().cloned());
    let node = Node::start(&switch, &bus)?;
    let mut plugger = Plugger::start(&switch).await?;
    plugger.plug(&cloud, &first).await?;

    let step = Step::begin("plugging ports one by one", single.len());
    let mut times = Vec::with_capacity(single.len());
    for (done, port) in single.chunks(1).enumerate() {
        times.push(plugger.plug(&cloud, port).await?);
        step.reached(done + 1);
    }
    drop(step);
    plugger.unplug(&cloud, &single).await?;

    let step = Step::begin("plugging ports at once", many.len());
    let all = plugger.plug(&cloud, &many).await?;
    drop(step);
    node.stop().await;
    Ok(Figures {
        size,
        single_median_ms: median(times.iter().map(|time| time.up)),
        single_p99_ms: quantile(times.iter().map(|time| time.up), 99),
        single_interface_ms: median(times.iter().map(|time| time.interface)),
        all_ms: all.up,
        all_interface_ms: all.interface,
    })
}

/// How long ports took, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// From the transaction to the first interface.
    interface: f64,
    /// From the first interface to the last port.
    up: f64,
}

/// Plugs interfaces as os-vif does, without a program in between.
struct Plugger {
    database: ovsdb::Client,
    events: ovsdb::Events,
    bridge: RowId,
}

impl Plugger {
    /// A connection to the switch's database.
    ///
    /// # Errors
    /// When there is none, or the bridge is missing.
    async fn start(switch: &Switch) -> anyhow::Result<Self> {
        let remote = switch.db_remote().parse()?;
        let (database, mut events) = ovsdb::Client::start(remote, ovsdb::Options::default());
        let connected = async {
            loop {
                if let Some((bridge, _)) = database.replica().bridge(INTEGRATION_BRIDGE) {
                    return Some(bridge);
                }
                events.next().await?;
            }
        };
        let bridge = timeout(PATIENCE, connected).await.ok().flatten();
        let bridge = bridge.context("the database does not show the integration bridge")?;
        Ok(Self { database, events, bridge })
    }

    /// Plugs all of them with one transaction, and waits until they are up.
    ///
    /// # Errors
    /// When the database refuses, or it takes too long.
    async fn plug(&mut self, cloud: &Cloud, ports: &[Port]) -> anyhow::Result<Times> {
        let mut transaction = Transaction::new();
        let mut devices = Vec::with_capacity(ports.len());
        for port in ports {
            let interface = Interface::of(port);
            let device = interface.device();
            let external_ids = BTreeMap::from([
                ("iface-id".to_owned(), interface.port),
                ("attached-mac".to_owned(), interface.mac),
            ]);
            let dead = Row::new().with("tag", DEAD_VLAN);
            let named = vec![Condition::equal("name", device.as_str())];
            transaction = transaction
                .add_port(self.bridge, &device, "internal", &BTreeMap::new(), &external_ids)
                .update(PortRow::TABLE, named, dead);
            devices.push(device);
        }
        let sent = Instant::now();
        self.database.transact(transaction.bump_next_cfg()).await?;
        let appeared = timeout(PATIENCE, self.appeared(&devices)).await;
        let appeared = appeared.context("ovs-vswitchd makes no interface")??;
        let ids: Vec<String> = ports.iter().map(|port| port.id.clone()).collect();
        let up = timeout(PATIENCE, cloud.all_up(&ids)).await.context("a port does not come up")?;
        let milliseconds = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
        Ok(Times { interface: milliseconds(sent, appeared), up: milliseconds(appeared, up) })
    }

    /// When the first of these devices has a port number.
    async fn appeared(&mut self, devices: &[String]) -> anyhow::Result<Instant> {
        loop {
            let replica = self.database.replica();
            let mut interfaces = replica.interfaces.values();
            if interfaces.any(|it| it.ofport.is_some_and(|it| it > 0) && devices.contains(&it.name))
            {
                return Ok(Instant::now());
            }
            if self.events.next().await.is_none() {
                bail!("the connection to the database has ended");
            }
        }
    }

    /// Takes them out again, and waits until the server has heard that they are gone.
    ///
    /// # Errors
    /// When the database refuses, or it takes too long.
    async fn unplug(&self, cloud: &Cloud, ports: &[Port]) -> anyhow::Result<()> {
        let replica = self.database.replica();
        let mut transaction = Transaction::new();
        for port in ports {
            if let Some((row, _)) = replica.port(&Interface::of(port).device()) {
                transaction = transaction.del_port(self.bridge, row);
            }
        }
        self.database.transact(transaction.bump_next_cfg()).await?;
        let ids: Vec<String> = ports.iter().map(|port| port.id.clone()).collect();
        timeout(PATIENCE, cloud.none_up(&ids)).await.context("a port does not go")
    }
}

fn text(figures: &Figures) -> String {
    let Size { single, ports, rules } = figures.size;
    let milliseconds = |value: f64| format!("{value:.1}");
    let goal = |reached: bool, most: &str| Some((format!("<= {most}"), reached));
    let all = (ports == FULL).then(|| goal(figures.all_ms <= 1000.0, "1000")).flatten();
    let rows = vec![
        goal::row("one port, median, ms", milliseconds(figures.single_median_ms), None),
        goal::row(
            "one port, p99, ms",
            milliseconds(figures.single_p99_ms),
            goal(figures.single_p99_ms <= 30.0, "30"),
        ),
        goal::row(
            "before that, until the interface is made, ms",
            milliseconds(figures.single_interface_ms),
            None,
        ),
        goal::row(&format!("{ports} ports at once, ms"), milliseconds(figures.all_ms), all),
        goal::row(
            "before that, until the first interface is made, ms",
            milliseconds(figures.all_interface_ms),
            None,
        ),
    ];
    format!(
        "{single} ports one by one, then {ports} at once, in one group of {rules} rules; from the \
         interface to up\n\n{}",
        table(["figure", "value", "goal", ""], rows)
    )
}
