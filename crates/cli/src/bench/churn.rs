//! `weir bench churn`: what a change costs on a node with many ports.
//!
//! All ports are in one group of many rules, one of which names a remote group of many members.
//! Rules and members come and go, ports change their groups, members come and go in bursts. Of
//! each change it is told how many flow modifications it costs, in how many bundles, and how long
//! it takes from the message on the bus until the switch has confirmed.
//!
//! `change` makes the changes, `traffic` sends packets meanwhile.

mod change;
mod traffic;

use std::process::ExitCode;

use anyhow::Context as _;
use neutron::{bus::local::LocalBus, object::Port};
use serde::Serialize;
use testkit::Switch;

use self::{
    change::{CLASS_TABLES, Costs, Stage},
    traffic::{Machines, Passed},
};
use super::{
    cloud::{Cloud, PHYSICAL_BRIDGE},
    goal::verdict,
    interface::{self, Interface},
    node::{Cost, INTEGRATION_BRIDGE, Node},
    progress::Step,
    statistic::{median, quantile},
};
use crate::output::{Format, table};

/// How many flows a port has at most that depend on its groups.
const PORT_FLOWS: u64 = 6;

/// How much of it.
#[derive(Debug, clap::Args)]
#[command(after_help = super::SCENE)]
pub(crate) struct Options {
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    format: Format,
}

/// The size of the node and of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::Args)]
struct Size {
    /// Ports, all on this host and in one security group
    #[arg(long, value_name = "NUMBER", default_value_t = 400,
        value_parser = clap::value_parser!(u16).range(2..=4000))]
    ports: u16,
    /// Rules of that group
    #[arg(long, value_name = "NUMBER", default_value_t = 1000,
        value_parser = clap::value_parser!(u16).range(2..=20000))]
    rules: u16,
    /// Members of the remote group
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    members: u32,
    /// How often to make each single change
    #[arg(long, value_name = "NUMBER", default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    repeat: u16,
    /// Members that join, and leave, in a burst
    #[arg(long, value_name = "NUMBER", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=4000))]
    burst: u32,
    /// Bursts
    #[arg(long, value_name = "NUMBER", default_value_t = 5,
        value_parser = clap::value_parser!(u16).range(1..=100))]
    bursts: u16,
    /// How often a port that is sent to changes its groups
    #[arg(long, value_name = "NUMBER", default_value_t = 100,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    switches: u16,
}

/// The size that the goals are for; of repetitions there may be any number.
const FULL: (u16, u16, u32, u32) = (400, 1000, 10_000, 1000);

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    #[serde(flatten)]
    size: Size,
    changes: Vec<Change>,
    /// Packets while nothing changes: what the machine loses by itself.
    during_nothing: Passed,
    /// Packets during the bursts.
    during_bursts: Passed,
    /// Packets while the groups of the port that they go to changed.
    during_switches: Passed,
}

/// One kind of change.
#[derive(Debug, Serialize)]
struct Change {
    name: &'static str,
    description: &'static str,
    repetitions: usize,
    /// Medians over the repetitions.
    flow_mods: u64,
    bundles: u64,
    /// The most that any repetition took.
    most_flow_mods: u64,
    /// From the message on the bus to the switch's confirmation.
    median_ms: f64,
    p99_ms: f64,
    /// The part of the median that the bundles were under way.
    switch_median_ms: f64,
    goal_flow_mods: u64,
    goal_ms: Option<f64>,
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
    let ports: Vec<Port> =
        (0..size.ports).map(|number| cloud.local_port(number, &[&cloud.all])).collect();
    let (server, idle) = ports.split_first().context("there is no port")?;
    let client = cloud.local_port(size.ports, &[&cloud.remote]);
    let stranger = cloud.local_port(size.ports + 1, &[&cloud.other]);
    // The client is a member too.
    cloud.fill((1..size.members).map(|number| cloud.member(number - 1)));
    cloud.fill(ports.iter().chain([&client, &stranger]).cloned());

    let interfaces: Vec<Interface> = idle.iter().map(Interface::of).collect();
    interface::plug(&switch, INTEGRATION_BRIDGE, &interfaces)?;
    let machines = Machines::boot(&switch, server, &client, &stranger)?;
    let node = Node::start(&switch, &bus)?;
    node.ready(ports.len() + 2).await?;
    let port = idle.first().context("there is no second port")?;
    let stage = Stage { cloud: &cloud, node: &node, machines: &machines, port, server };
    let costs = stage.measure(size).await?;
    node.stop().await;
    Ok(Figures {
        size,
        changes: changes(size, &costs),
        during_nothing: costs.during_nothing,
        during_bursts: costs.during_bursts,
        during_switches: costs.during_switches,
    })
}

/// Each kind of change, with its goal.
fn changes(size: Size, costs: &Costs) -> Vec<Change> {
    let policy = u64::from(size.rules) + OTHER_RULES;
    let burst = CLASS_TABLES * u64::from(size.burst);
    let single = Some(5.0);
    let many = Some(500.0);
    vec![
        Change::of("rule_added", "a rule comes", &costs.rule_added, 1, single),
        Change::of("rule_removed", "a rule goes", &costs.rule_removed, 1, single),
        Change::of("member_joins", "a member joins", &costs.member_joins, CLASS_TABLES, single),
        Change::of("member_leaves", "a member leaves", &costs.member_leaves, CLASS_TABLES, single),
        Change::of("port_moves", "a port gets known groups", &costs.port_moves, PORT_FLOWS, None),
        Change::of(
            "policy_comes",
            "a port gets a new set of groups",
            &costs.policy_comes,
            PORT_FLOWS + policy,
            None,
        ),
        Change::of("policy_goes", "a second after a set is left", &costs.policy_goes, policy, None),
        Change::of("burst_joins", "members join in a burst", &costs.burst_joins, burst, many),
        Change::of("burst_leaves", "members leave in a burst", &costs.burst_leaves, burst, many),
    ]
}

/// The other group has one rule.
const OTHER_RULES: u64 = 1;

impl Change {
    fn of(
        name: &'static str,
        description: &'static str,
        costs: &[Cost],
        goal_flow_mods: u64,
        goal_ms: Option<f64>,
    ) -> Self {
        let milliseconds = || costs.iter().map(|cost| cost.milliseconds);
        Self {
            name,
            description,
            repetitions: costs.len(),
            flow_mods: median(costs.iter().map(|cost| cost.flow_mods)),
            bundles: median(costs.iter().map(|cost| cost.bundles)),
            most_flow_mods: quantile(costs.iter().map(|cost| cost.flow_mods), 100),
            median_ms: median(milliseconds()),
            p99_ms: quantile(milliseconds(), 99),
            switch_median_ms: median(costs.iter().map(|cost| cost.in_switch)),
            goal_flow_mods,
            goal_ms,
        }
    }

    /// As a row of the table. Times have goals for one size only.
    fn row(&self, full: bool) -> [String; 8] {
        let goal_ms = self.goal_ms.filter(|_| full);
        let reached = self.most_flow_mods <= self.goal_flow_mods
            && goal_ms.is_none_or(|goal| self.median_ms <= goal);
        let goal_ms = goal_ms.map(|goal| format!(", {goal} ms")).unwrap_or_default();
        let milliseconds = |value: f64| format!("{value:.1}");
        [
            self.description.to_owned(),
            self.flow_mods.to_string(),
            self.bundles.to_string(),
            milliseconds(self.median_ms),
            milliseconds(self.p99_ms),
            milliseconds(self.switch_median_ms),
            format!("<= {}{goal_ms}", self.goal_flow_mods),
            verdict(reached),
        ]
    }
}

impl Passed {
    fn row(self, during: String) -> [String; 6] {
        let Self { sent, lost, tried, admitted } = self;
        let reached = (lost, admitted) == (0, 0);
        let [sent, lost, tried, admitted] = [sent, lost, tried, admitted].map(|n| n.to_string());
        [during, sent, lost, tried, admitted, verdict(reached)]
    }
}

fn text(figures: &Figures) -> String {
    let Size { ports, rules, members, burst, bursts, switches, .. } = figures.size;
    let full = (ports, rules, members, burst) == FULL;
    let changes = figures.changes.iter().map(|change| change.row(full)).collect();
    let heading =
        ["change", "flow mods", "bundles", "median ms", "p99 ms", "in switch ms", "goal", ""];
    let packets = vec![
        figures.during_nothing.row("nothing changes".to_owned()),
        figures.during_bursts.row(format!("{bursts} times {burst} members join and leave")),
        figures.during_switches.row(format!("{switches} switches of the receiver's groups")),
    ];
    let of = ["packets while", "sent", "lost", "stranger's", "admitted", "goal: none"];
    format!(
        "{ports} ports in one group of {rules} rules, {members} members of a remote group\n\n{}\n{}",
        table(heading, changes),
        table(of, packets)
    )
}
