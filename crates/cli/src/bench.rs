//! `weir bench`: measurements that anybody can repeat.

mod progress;
mod scale;

use std::process::ExitCode;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// How fast an agent starts with many ports and rules, and what it needs for that
    Scale(scale::Options),
}

/// Measures it.
///
/// # Errors
/// When the scene cannot be set.
pub(crate) async fn run(what: What) -> anyhow::Result<ExitCode> {
    let What::Scale(options) = what;
    scale::run(options).await
}
