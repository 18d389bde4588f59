//! What can go wrong while the kit sets a scene.

use std::{io, path::PathBuf, time::Duration};

/// The outcome of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kit could not do what was asked. What a probe found out is not an error but an
/// [`Outcome`](crate::Outcome).
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be run at all.
    #[error("cannot run {program} (needs root; scripts/setup installs it)")]
    Spawn {
        /// The program's name.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program ran and refused.
    #[error("{command}: {message}")]
    Command {
        /// The command line.
        command: String,
        /// What it wrote to standard error, or its exit status.
        message: String,
    },
    /// A daemon ended although nobody asked it to.
    #[error("{program} ended by itself ({status}); its log: {log}")]
    Ended {
        /// The program's name.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The last lines of its log.
        log: String,
    },
    /// A file of the run directory, or of /proc, could not be read or written.
    #[error("cannot access {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A namespace could not be entered.
    #[error("cannot enter network namespace {name}")]
    Enter {
        /// The namespace's name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A socket inside a namespace refused what was asked of it.
    #[error("cannot {action} in network namespace {name}")]
    Socket {
        /// What was tried, with its address.
        action: String,
        /// The namespace's name.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was waited for did not come.
    #[error("not within {within:?}")]
    Deadline {
        /// How long it was waited for.
        within: Duration,
    },
}
