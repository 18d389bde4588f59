//! `weir bench drivers`: the same policy and the same machines behind each way to the integration
//! bridge, in one run.
//!
//! Each way has a switch of its own with as many ports, two of which are virtual machines that talk.
//! Plain switching is the measure of the others: no agent, no rules, one flow. `scene` sets it up,
//! `traffic` is what the machines do, `pings` what they lose while they move, `figures` what comes of
//! it, `chart` a drawing of that.

mod chart;
mod figures;
mod pings;
mod scene;
mod traffic;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use agent::Firewall;
use anyhow::Context as _;
use serde::Serialize;

use self::{
    figures::{Figures, Measured},
    scene::Scene,
};
use super::progress::Step;
use crate::output::Format;

/// How much of it.
#[derive(Debug, clap::Args)]
#[command(after_help = super::SCENE)]
pub(crate) struct Options {
    #[command(flatten)]
    size: Size,
    /// Draw a chart into this file, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, clap::Args)]
struct Size {
    /// Ports, all on this host and in one security group; several numbers with commas
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "10,100,400",
        value_parser = clap::value_parser!(u16).range(2..=2000))]
    ports: Vec<u16>,
    /// Rules of that group
    #[arg(long, value_name = "NUMBER", default_value_t = 1000,
        value_parser = clap::value_parser!(u16).range(4..=20000))]
    rules: u16,
    /// Rules that come one after the other
    #[arg(long, value_name = "NUMBER", default_value_t = 20,
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    changes: u16,
    /// How often to measure all of it; medians are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// Seconds of each load
    #[arg(long, value_name = "SECONDS", default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..=30))]
    seconds: u8,
}

/// How frames get from one machine to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    /// The switch learns who is where; nobody filters.
    Plain,
    /// Flows of the integration bridge filter.
    Native,
    /// Netfilter filters, on a Linux bridge between each port and the integration bridge.
    Hybrid,
}

impl Way {
    const ALL: [Self; 3] = [Self::Plain, Self::Native, Self::Hybrid];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain switching",
            Self::Native => "openvswitch",
            Self::Hybrid => "iptables_hybrid",
        }
    }

    /// The driver that its ports move to, once all else is measured.
    fn other(self) -> Option<Firewall> {
        match self {
            Self::Plain => None,
            Self::Native => Some(Firewall::IptablesHybrid),
            Self::Hybrid => Some(Firewall::OpenVswitch),
        }
    }

    /// Who filters; nobody is told to without an agent.
    fn firewall(self) -> Option<Firewall> {
        match self {
            Self::Plain => None,
            Self::Native => Some(Firewall::OpenVswitch),
            Self::Hybrid => Some(Firewall::IptablesHybrid),
        }
    }
}

/// Measures and prints.
///
/// # Errors
/// When the scene cannot be set, for example because we are not root, or the chart cannot be written.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let Options { size, svg, format } = options;
    let measurement = async {
        let figures = measure(size).await?;
        if let Some(path) = svg {
            let written = std::fs::write(&path, chart::draw(&figures));
            written.with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(figures)
    };
    super::report(format, measurement, Figures::text).await
}

async fn measure(size: Size) -> anyhow::Result<Figures> {
    testkit::remove_leftovers()?;
    let mut runs = Vec::new();
    for _ in 0..size.runs {
        for ports in &size.ports {
            for way in Way::ALL {
                runs.push(one(&size, way, *ports).await?);
            }
        }
    }
    Ok(Figures::of(size, runs))
}

async fn one(size: &Size, way: Way, ports: u16) -> anyhow::Result<Measured> {
    let mut scene = Scene::set(way, ports, size.rules)?;
    let ready = scene.start().await?;
    let step = Step::begin(&format!("{}, {ports} ports: loads", way.name()), 3);
    let load = Duration::from_secs(size.seconds.into());
    let client = &scene.client;
    let latency = traffic::latency(client, &scene.server, load).await?;
    step.reached(1);
    let bits_per_second = traffic::throughput(client, &scene.server, load).await?;
    step.reached(2);
    let connections_per_second = traffic::connections(client, &scene.server, load).await?;
    drop(step);
    let changes = scene.changes(size.changes).await?;
    let moved = scene.move_all().await?;
    scene.stop().await;
    Ok(Measured {
        way,
        ports,
        ready_seconds: ready.map(|it| it.as_secs_f64()),
        change: figures::Spread::of(changes.iter().map(|it| it.as_secs_f64() * 1e3)),
        bits_per_second,
        latency: figures::Spread::of(latency.iter().map(|it| it.as_secs_f64() * 1e6)),
        connections_per_second,
        moved,
    })
}
