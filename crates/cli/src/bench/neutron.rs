//! `weir bench neutron`: `weir agent` on a large node of a real Neutron, and Neutron's own agent
//! beside it.
//!
//! A private Neutron with its database and its broker has the scenario; each agent starts on a
//! fresh host with all ports plugged in. A relay on its way to the broker tells what it asks and
//! when it is answered, so both agents are measured from outside, in the same way. What is left of
//! the time while no answer is waited for is the agent's own.

mod exchange;
mod figures;
mod host;
mod rules;
mod scene;
mod timeline;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use serde::Serialize;

use self::{
    figures::{Fetch, Figures, Measured, Rules, Start},
    host::{Host, Kind},
    scene::Scene,
    timeline::Purpose,
};
use crate::output::Format;

/// How long an agent may take until all ports are up. Neutron's takes half an hour with a thousand
/// rules.
const START: Duration = Duration::from_secs(3600);
/// How long the server may take to hear of an agent.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked whether something is done.
const POLL: Duration = Duration::from_millis(50);
/// What everything takes place on.
const SCENE: &str = "Needs root, and Neutron as 'scripts/neutron' installs it. MariaDB, RabbitMQ, \
                     Neutron and Open vSwitch are private ones, which are removed at the end, also \
                     after Ctrl-C.";

/// How much of it.
#[derive(Debug, clap::Args)]
#[command(after_help = SCENE)]
pub(crate) struct Options {
    #[command(flatten)]
    size: Size,
    /// How often each agent is started; medians are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Measure Neutron's own agent beside: all, which takes an hour with 400 ports and 1000 rules,
    /// or until it has fetched what there is
    #[arg(long, value_name = "HOW_FAR", num_args = 0..=1, default_missing_value = "all")]
    peer: Option<Peer>,
    /// The directory of Neutron's programs [default: neutron/bin in the target directory]
    #[arg(long, value_name = "DIR", env = "WEIR_NEUTRON")]
    neutron: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// How far Neutron's own agent is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
enum Peer {
    /// Until all ports are up, and with rules that are created
    All,
    /// Until it has fetched what there is
    Fetch,
}

/// The scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::Args)]
struct Size {
    /// Ports of the host
    #[arg(long, value_name = "NUMBER", default_value_t = 400,
        value_parser = clap::value_parser!(u16).range(1..=2000))]
    ports: u16,
    /// Rules of the one security group of all ports
    #[arg(long, value_name = "NUMBER", default_value_t = 1000,
        value_parser = clap::value_parser!(u16).range(1..=10000))]
    rules: u16,
    /// Rules that are created one after the other while all ports are up
    #[arg(long, value_name = "NUMBER", default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(0..=i64::from(rules::MOST)))]
    created: u16,
    /// Processes of the server that answer agents
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=64))]
    rpc_workers: u16,
}

/// Measures and prints.
///
/// # Errors
/// When the scene cannot be set, for example because we are not root or Neutron is not installed.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options { size, runs, peer, neutron, format } = options;
    let programs = scene::programs(neutron)?;
    super::report(format, measure(programs, size, runs, peer), Figures::text).await
}

async fn measure(
    programs: PathBuf,
    size: Size,
    runs: u16,
    peer: Option<Peer>,
) -> anyhow::Result<Figures> {
    testkit::remove_leftovers()?;
    let mut scene = Scene::start(&programs, size.rpc_workers).await?;
    // Ports are bound to hosts whose agent is alive.
    let empty = Host::start(&scene, Kind::Weir)?;
    scene.agent_alive().await?;
    scene.fill(size).await?;
    empty.stop()?;

    let (mut weir, mut neutron) = (Vec::new(), Vec::new());
    for run in 1..=runs {
        // What is created changes what is fetched, so it is created at the end.
        let created = if run == runs { size.created } else { 0 };
        if let Some(peer) = peer {
            neutron.push(neutron_agent(&scene, peer, created).await?);
        }
        weir.push(one(&scene, Kind::Weir, created).await?);
    }
    Figures::of(size, weir, neutron).context("nothing was measured")
}

/// Measures Neutron's own agent as far as it is wanted.
async fn neutron_agent(scene: &Scene, peer: Peer, created: u16) -> anyhow::Result<Measured> {
    if peer == Peer::All {
        return one(scene, Kind::Neutron, created).await;
    }
    let mut host = Host::start(scene, Kind::Neutron)?;
    host.fetched().await?;
    let fetch = fetch(&host);
    host.stop()?;
    // It may have gone on to wire ports.
    if scene.active().await? > 0 {
        scene.take_down().await?;
    }
    Ok(Measured { fetch, start: None, rules: None })
}

/// Starts an agent, and creates rules when all ports are up. Leaves the server as it was.
async fn one(scene: &Scene, kind: Kind, created: u16) -> anyhow::Result<Measured> {
    let mut host = Host::start(scene, kind)?;
    host.all_active(scene).await?;
    let usage = host.usage()?;
    let timeline = &host.timeline;
    let end = timeline.last_report().context("no port was reported")?;
    let seconds = end.saturating_duration_since(host.started);
    let waiting = timeline.waited(host.started, end);
    let start = Start {
        seconds: seconds.as_secs_f64(),
        waiting_seconds: waiting.as_secs_f64(),
        report_seconds: timeline.span(Purpose::Report).as_secs_f64(),
        report_calls: timeline.count(Purpose::Report),
        own_seconds: seconds.saturating_sub(waiting).as_secs_f64(),
        cpu_seconds: usage.cpu_seconds,
        peak_rss_bytes: usage.peak_rss_bytes,
    };
    let fetch = fetch(&host);
    let mut rules = None;
    if created > 0 {
        let made = rules::create(scene, &mut host, kind, created).await?;
        let took: Vec<f64> = made.iter().filter_map(|rule| rule.milliseconds).collect();
        rules = Some(Rules::of(&took));
        host.stop()?;
        scene.delete_rules(made.iter().map(|rule| rule.id.as_str())).await?;
    } else {
        host.stop()?;
    }
    scene.take_down().await?;
    Ok(Measured { fetch, start: Some(start), rules })
}

fn fetch(host: &Host) -> Fetch {
    Fetch {
        seconds: host.timeline.span(Purpose::Fetch).as_secs_f64(),
        calls: host.timeline.count(Purpose::Fetch),
    }
}
