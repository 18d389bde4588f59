//! Names that tell whose they are, and removal of what a killed owner left behind.
//!
//! Every namespace and run directory is called `weirkit-<pid>-<n>` with an optional label, where
//! `<pid>` is its maker. Interfaces need no such care: they live in these namespaces and go with
//! them.

use std::{
    fmt::{self, Display},
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Result, daemon::run};

const PREFIX: &str = "weirkit-";
const NAMESPACES: &str = "/run/netns";
/// TMPDIR may be long; /tmp is not.
const RUN_DIRS: &str = "/tmp";

/// A name that nobody else on this machine has: the process id and a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    number: u32,
    short: String,
}

impl Token {
    /// The next unused name of this process.
    pub fn next() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // A pid has at most 22 bits, so this leaves 5 of an interface name's 15 characters to
        // the caller.
        let short = format!("{:x}z{number:x}", process::id());
        Self { number, short }
    }

    /// The name in at most ten characters (for the first 4096 of a process), to build interface
    /// names from.
    pub fn short(&self) -> &str {
        &self.short
    }

    /// The directory of that name. Its path is short because a Unix socket's may have only 108
    /// bytes.
    pub(crate) fn directory(&self) -> PathBuf {
        Path::new(RUN_DIRS).join(self.to_string())
    }
}

impl Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}", process::id(), self.number)
    }
}

/// Removes namespaces and run directories whose maker no longer lives, and returns their names.
/// What belongs to a living process is left alone.
///
/// # Errors
/// When a namespace cannot be removed. A directory that is already gone is no error.
pub fn remove_leftovers() -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for name in orphans(Path::new(NAMESPACES)) {
        match run("ip", &["netns", "delete", &name]) {
            Ok(_) => removed.push(name),
            // Another run may remove the same at the same time.
            Err(error) if Path::new(NAMESPACES).join(&name).exists() => return Err(error),
            Err(_) => {}
        }
    }
    for name in orphans(Path::new(RUN_DIRS)) {
        if fs::remove_dir_all(Path::new(RUN_DIRS).join(&name)).is_ok() {
            removed.push(name);
        }
    }
    Ok(removed)
}

/// The names of the namespaces and run directories that are there and whose maker is the process
/// with this id, living or not.
pub fn made_by(pid: u32) -> Vec<String> {
    let there =
        [RUN_DIRS, NAMESPACES].into_iter().flat_map(|directory| names(Path::new(directory)));
    there.filter(|name| maker(name) == Some(pid)).collect()
}

fn orphans(directory: &Path) -> impl Iterator<Item = String> {
    let lives = |pid: u32| Path::new(&format!("/proc/{pid}")).exists();
    names(directory).filter(move |name| maker(name).is_some_and(|pid| !lives(pid)))
}

fn names(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}

fn maker(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}
