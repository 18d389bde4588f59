//! Logs: lines on standard error, for people and journald.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Logs from now on what `directives` let through.
///
/// # Errors
/// When they are no directives.
pub(crate) fn start(directives: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(directives).with_context(|| {
        format!("--log '{directives}' is neither a level such as 'debug' nor a list of directives")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
