//! Interfaces of the system, made and changed by programs such as `ip`.
//!
//! Whoever asks is shown, and changes, those of the network namespace that its thread is in.

use std::io;

use tokio::{fs, process::Command};

/// The list of the interfaces. Not /sys/class/net, nor /proc/net, which may be of another network
/// namespace than that of this thread.
const LIST: &str = "/proc/thread-self/net/dev";

/// What could not be done with an interface.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The interfaces cannot be listed.
    #[error("cannot read {LIST}")]
    List(#[source] io::Error),
    /// A program could not be run.
    #[error("cannot run '{line}'; is {program} installed?")]
    Run {
        /// Its name.
        program: String,
        /// The command line.
        line: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program failed.
    #[error("'{line}' failed: {said}")]
    Refused {
        /// The command line.
        line: String,
        /// What it says, or how it ended.
        said: String,
    },
}

/// Whether there is an interface of that name.
///
/// # Errors
/// When the list of interfaces cannot be read.
pub async fn exists(name: &str) -> Result<bool, DeviceError> {
    let list = fs::read_to_string(LIST).await.map_err(DeviceError::List)?;
    let mut names = list.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    Ok(names.any(|there| there == name))
}

/// Runs `ip`. Gives what it prints.
///
/// # Errors
/// When it cannot be run, or refuses.
pub async fn ip(args: &[&str]) -> Result<String, DeviceError> {
    run("ip", args).await
}

/// Runs a program to its end. Gives what it prints.
///
/// # Errors
/// When it cannot be run, or fails.
pub async fn run(program: &str, args: &[&str]) -> Result<String, DeviceError> {
    let line = || format!("{program} {}", args.join(" "));
    let output = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|source| DeviceError::Run { program: program.to_owned(), line: line(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = match String::from_utf8_lossy(&output.stderr).trim() {
        "" => output.status.to_string(),
        said => said.to_owned(),
    };
    Err(DeviceError::Refused { line: line(), said })
}
