//! Names that tell whose they are, and removal of what a killed owner left behind.
//!
//! Every namespace and run directory is called `weirkit-<pid>-<n>` with an optional label, where
//! `<pid>` is its maker. Interfaces need no such care: they live in these namespaces and go with
//! them.

use std::{
    fmt::{self, Display},
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{Error, Result, daemon::run};

const PREFIX: &str = "weirkit-";
const NAMESPACES: &str = "/run/netns";
/// TMPDIR may be long; /tmp is not.
const RUN_DIRS: &str = "/tmp";

/// How many ports a name has to itself.
const PORTS: u16 = 4;

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

    /// An address of the loopback that belongs to this process alone: `127.64.0.0/10` with the 22
    /// bits of its id.
    pub(crate) fn loopback() -> Ipv4Addr {
        let [_, high, middle, low] = process::id().to_be_bytes();
        Ipv4Addr::new(127, 64 | (high & 0x3f), middle, low)
    }

    /// The first of the four ports that belong to this name alone among those of this process,
    /// below the range that the kernel gives away.
    pub(crate) fn ports(&self) -> u16 {
        const FIRST: u16 = 20_000;
        const ROOM: u16 = 12_000;
        let number = u16::try_from(self.number % u32::from(ROOM / PORTS)).unwrap_or_default();
        FIRST + number * PORTS
    }
}

impl Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}", process::id(), self.number)
    }
}

/// The directory with a [`Token`]'s name, removed on drop unless it is to be kept. Its path is short
/// because a Unix socket's may have only 108 bytes.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    keep: bool,
}

impl RunDir {
    pub(crate) fn create(token: &Token, keep: bool) -> Result<Self> {
        let path = Path::new(RUN_DIRS).join(token.to_string());
        fs::create_dir(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        Ok(Self { path, keep })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !self.keep {
            // Nobody is left to tell; `remove_leftovers` takes what stays.
            let _removed = fs::remove_dir_all(&self.path);
        }
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
