//! `weir bench scale`: many ports, groups of many rules, and an agent that starts.
//!
//! Ports and rules are there before the agent starts. It starts twice: with an empty integration
//! bridge, and once more with nothing changed. Then ovs-ofctl loads the same flows into an empty
//! bridge of the same switch, for comparison.
//!
//! `shape` says what the rules are like; the first shape is the scenario that Neutron's
//! documentation warns of. `fill` puts them into the store, `scene` is the switch with the ports,
//! `node` the `weir up` that is measured, `figures` what comes of it.

mod figures;
mod fill;
mod node;
mod scene;
mod shape;
pub(super) mod verify;

use std::process::ExitCode;

use anyhow::ensure;
use serde::Serialize;

use self::{
    figures::{Figures, Run},
    scene::Scene,
    shape::Shape,
};
use super::progress::Step;
use crate::output::Format;

/// How much of it.
#[derive(Debug, clap::Args)]
#[command(after_help = super::SCENE)]
pub(crate) struct Options {
    #[command(flatten)]
    size: Size,
    /// How often to measure; medians are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    #[command(flatten)]
    format: Format,
}

/// What the agent has to cope with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::Args)]
struct Size {
    /// What the rules are like
    #[arg(long, value_name = "SHAPE", value_enum, default_value_t = Shape::Merged)]
    shape: Shape,
    /// Ports, all on this host
    #[arg(long, value_name = "NUMBER", default_value_t = 400,
        value_parser = clap::value_parser!(u16).range(1..=4000))]
    ports: u16,
    /// Rules of each group
    #[arg(long, value_name = "NUMBER", default_value_t = 1000,
        value_parser = clap::value_parser!(u16).range(1..=60000))]
    rules: u16,
}

impl Size {
    /// # Errors
    /// There are not as many rules of the shape.
    fn check(self) -> anyhow::Result<()> {
        let most = self.shape.most_rules();
        ensure!(self.rules <= most, "of this shape there are at most {most} rules; give fewer");
        Ok(())
    }
}

/// Measures and prints.
///
/// # Errors
/// When the scene cannot be set, for example because we are not root.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    super::report(options.format, measure(&options), Figures::text).await
}

async fn measure(options: &Options) -> anyhow::Result<Figures> {
    testkit::remove_leftovers()?;
    let Options { size, runs, .. } = *options;
    size.check()?;
    let step = Step::begin("starting Open vSwitch", 1);
    let scene = Scene::set()?;
    drop(step);
    let made = scene.fill(size).await?;
    let idle_rss_bytes = scene.idle_rss_bytes().await?;
    scene.plug(&made.interfaces)?;

    let ports = made.interfaces.len();
    let mut measured = Vec::new();
    for number in 1..=runs {
        let step = Step::begin(&format!("run {number} of {runs}: start"), ports);
        scene.forget(&made.interfaces)?;
        let first = scene.start()?.measure(&scene, ports, &step).await?;
        drop(step);
        let step = Step::begin(&format!("run {number} of {runs}: restart"), ports);
        let second = scene.start()?.measure(&scene, ports, &step).await?;
        drop(step);
        let _step = Step::begin(&format!("run {number} of {runs}: ovs-ofctl"), 1);
        measured.push(Run {
            seconds_to_ready: first.seconds,
            flows: first.flows,
            restart_flow_mods: second.flow_mods,
            restart_seconds: second.seconds,
            ready_rss_bytes: first.rss_bytes,
            peak_rss_bytes: first.peak_rss_bytes.max(second.peak_rss_bytes),
            load_seconds: scene.load_seconds()?,
        });
    }
    Ok(Figures {
        size,
        rules_seconds: made.rules_seconds,
        ports_seconds: made.ports_seconds,
        idle_rss_bytes,
        medians: Run::medians(&measured),
        runs: measured,
    })
}
