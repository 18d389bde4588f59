//! `weir bench`: measurements that anybody can repeat.

mod churn;
mod interface;
mod progress;
mod scale;
mod statistic;

use std::process::ExitCode;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// What a change costs on a node with many ports: flow modifications, and time
    Churn(churn::Options),
    /// How fast an agent starts with many ports and rules, and what it needs for that
    Scale(scale::Options),
    /// How much of a large node is verified, and how long that takes
    Verify(scale::verify::Options),
}

/// Measures it.
///
/// # Errors
/// When the scene cannot be set.
pub(crate) async fn run(what: What) -> anyhow::Result<ExitCode> {
    match what {
        What::Churn(options) => churn::run(options).await,
        What::Scale(options) => scale::run(options).await,
        What::Verify(options) => scale::verify::run(options).await,
    }
}
