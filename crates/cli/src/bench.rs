//! `weir bench`: measurements that anybody can repeat.

mod churn;
mod cloud;
mod drivers;
mod goal;
mod interface;
mod neutron;
mod node;
mod progress;
mod scale;
mod statistic;
mod wire;

use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;

use crate::{
    output::Format,
    signal::{Interrupted, Termination},
};

/// Where every measurement takes place, as its help says.
const SCENE: &str = "Everything runs on a private Open vSwitch with the userspace datapath, which \
                     is removed at the end, also after Ctrl-C. Needs root.";

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// What a change costs on a node with many ports: flow modifications, and time
    Churn(churn::Options),
    /// What filters cost: plain switching and each firewall driver, with the same policy
    Drivers(drivers::Options),
    /// How fast an agent starts with a real Neutron, and how soon rules are in the switch
    Neutron(neutron::Options),
    /// How fast an agent starts with many ports and rules, and what it needs for that
    Scale(scale::Options),
    /// How much of a large node is verified, and how long that takes
    Verify(scale::verify::Options),
    /// How long it takes from an interface to a port that is up
    Wire(wire::Options),
}

/// Measures it.
///
/// # Errors
/// When the scene cannot be set.
pub(crate) async fn run(what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::Churn(options) => churn::run(options).await,
        What::Drivers(options) => drivers::run(options).await,
        What::Neutron(options) => neutron::run(options).await,
        What::Scale(options) => scale::run(options).await,
        What::Verify(options) => scale::verify::run(options).await,
        What::Wire(options) => wire::run(options).await,
    }
}

/// Prints what was measured, unless somebody interrupts. The scene goes with `measurement`.
async fn report<T: Serialize>(
    format: Format,
    measurement: impl Future<Output = anyhow::Result<T>>,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::listen()?;
    let figures = tokio::select! {
        figures = measurement => figures?,
        () = termination.came() => return Err(Interrupted.into()),
    };
    format.print(&figures, text)?;
    Ok(ExitCode::SUCCESS)
}
