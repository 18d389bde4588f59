//! A network namespace of our own.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use nix::sched::{CloneFlags, setns};

use crate::{
    Error, Result,
    daemon::{finish, guarded, run},
    leftover::Token,
};

/// A named network namespace (as `ip netns` lists them), deleted on drop with the interfaces in
/// it. New interfaces in it do no duplicate address detection, so that addresses work at once.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace called `weirkit-<pid>-<n>-<label>`, with its loopback up.
    ///
    /// # Errors
    /// When `ip` refuses, for example because we are not root.
    pub fn create(label: &str) -> Result<Self> {
        Self::named(format!("{}-{label}", Token::next()))
    }

    pub(crate) fn named(name: String) -> Result<Self> {
        run("ip", &["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip("link set lo up")?;
        namespace.write_sysctl("net/ipv6/conf/default/accept_dad", "0")?;
        namespace.write_sysctl("net/ipv6/conf/default/router_solicitations", "0")?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec NAME` and `weir plug --netns NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that stands for it.
    pub fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs `work` inside, on a thread of its own, and returns what it returns. Sockets opened
    /// there stay in the namespace wherever they are used later; /proc/sys/net is its own.
    ///
    /// # Errors
    /// [`Error::Enter`] when the namespace cannot be entered.
    ///
    /// # Panics
    /// When `work` panics.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let enter = || -> io::Result<()> {
            setns(File::open(self.path())?, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
        };
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                enter().map_err(|source| Error::Enter { name: self.name.clone(), source })?;
                Ok(work())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A command that runs `program` inside and is killed when its starter ends: for
    /// [`Daemon::spawn`](crate::Daemon::spawn), or to run to the end.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = guarded("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs lines of `ip` inside, each without the leading word `ip`, as one batch.
    ///
    /// # Errors
    /// When one line is refused; those before it have been done.
    pub fn ip(&self, batch: &str) -> Result<()> {
        let mut ip = Command::new("ip");
        finish(ip.args(["-netns", &self.name, "-batch", "-"]), Some(batch)).map(drop)
    }

    /// The names of the interfaces in it, except the loopback.
    ///
    /// # Errors
    /// When it cannot be entered.
    pub fn interfaces(&self) -> Result<Vec<String>> {
        let path = Path::new("/proc/thread-self/net/dev");
        let listed = self
            .inside(|| std::fs::read_to_string(path))?
            .map_err(|source| Error::File { path: path.to_owned(), source })?;
        let names = listed.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
        Ok(names.filter(|name| *name != "lo").map(str::to_owned).collect())
    }

    /// Sets a kernel parameter that each namespace has for itself: `net/ipv4/ip_forward`.
    ///
    /// # Errors
    /// When there is none of this name, or it does not take the value.
    pub fn write_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.inside(|| std::fs::write(&path, value))?
            .map_err(|source| Error::File { path: path.clone(), source })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody is left to tell; `remove_leftovers` takes what stays.
        let _deleted = run("ip", &["netns", "delete", &self.name]);
    }
}
