//! Neutron's own agent on a host of the kit.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{Neutron, contain};
use crate::{Broker, Daemon, Error, Result, Switch, eventually};

/// How long it may take to end: it waits for answers of the server.
const END: Duration = Duration::from_secs(60);

/// How Neutron's agent is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOptions {
    /// The name of its host.
    pub host: String,
    /// Lines of `openvswitch_agent.ini`, with section headings.
    pub ini: String,
}

/// `neutron-openvswitch-agent` with the firewall driver `openvswitch` unless it is told another one, on a [`Switch`] that a
/// [`Relay`](crate::Relay) connects with the broker. Dropping it kills it with all its helpers.
#[derive(Debug)]
pub struct NeutronAgent {
    daemon: Daemon,
    log: PathBuf,
}

impl NeutronAgent {
    /// Starts it, and waits for nothing: the server says when it is alive.
    ///
    /// # Errors
    /// When its configuration cannot be written or it cannot be started.
    pub fn start(neutron: &Neutron, switch: &Switch, options: &AgentOptions) -> Result<Self> {
        Self::start_for(neutron.programs(), neutron.broker(), switch, options)
    }

    /// The same for another server than Neutron's: with Neutron's programs, for whoever is asked at
    /// that broker.
    ///
    /// # Errors
    /// As [`NeutronAgent::start`].
    pub fn start_for(
        programs: &Path,
        broker: &Broker,
        switch: &Switch,
        options: &AgentOptions,
    ) -> Result<Self> {
        let files = write(broker, switch, options)?;
        let unshare = switch.namespace().command("unshare");
        let mut command = contain(unshare, &programs.join("neutron-openvswitch-agent"));
        // It is root already; its helpers are found on the path, and find the switch by themselves.
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display());
        command.env("PATH", path).env("OVS_RUNDIR", switch.run_dir());
        command.args(files.iter().map(|file| format!("--config-file={}", file.display())));
        let log = switch.run_dir().join("neutron-openvswitch-agent.log");
        // What it says is of this run alone.
        let _none = fs::remove_file(&log);
        let daemon = Daemon::spawn_logged("neutron-openvswitch-agent", command, log.clone())?;
        Ok(Self { daemon, log })
    }

    /// Writes the configuration that it is started with, and gives the files in the order in which
    /// they are read.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn configure(
        neutron: &Neutron,
        switch: &Switch,
        options: &AgentOptions,
    ) -> Result<[PathBuf; 2]> {
        write(neutron.broker(), switch, options)
    }

    /// Asks it alone to end, not its helpers, waits until it has left its loop, and kills what is
    /// left: 29.0.0 may wait for threads of its own for ever, which systemd makes short work of.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(mut self) -> Result<()> {
        if let Some(pid) = self.pid() {
            // It may have ended by itself, which is as good.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        eventually(END, || {
            self.daemon.ended().is_some() || self.log().contains("quitting daemon loop")
        })
    }

    /// Whether it has gone once through everything that was there when it started.
    pub fn is_through(&self) -> bool {
        self.log().contains("iteration:0 completed")
    }

    /// The process id of the agent itself, as seen from outside, while it runs.
    pub fn pid(&self) -> Option<i32> {
        // It is the child of what made its process namespace.
        let parent = self.daemon.pid();
        let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        children.ok()?.split_whitespace().next()?.parse().ok()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Writes the configuration, and gives the files in the order in which they are read.
fn write(broker: &Broker, switch: &Switch, options: &AgentOptions) -> Result<[PathBuf; 2]> {
    let run_dir = switch.run_dir();
    let conf = format!(
        "[DEFAULT]\n\
         host = {host}\n\
         transport_url = {url}\n\
         state_path = {run_dir}/neutron\n\
         [oslo_concurrency]\n\
         lock_path = {run_dir}/neutron/lock\n",
        host = options.host,
        url = broker.url(),
        run_dir = run_dir.display(),
    );
    let ini = format!(
        "[ovs]\n\
         datapath_type = {datapath_type}\n\
         ovsdb_connection = {ovsdb}\n\
         [securitygroup]\n\
         firewall_driver = openvswitch\n\
         [agent]\n\
         root_helper = env\n\
         {more}",
        datapath_type = switch.datapath_type(),
        ovsdb = switch.db_remote(),
        more = options.ini,
    );
    let files = ["neutron.conf", "openvswitch_agent.ini"].map(|name| run_dir.join(name));
    for (path, text) in files.iter().zip([conf, ini]) {
        fs::write(path, text).map_err(|source| Error::File { path: path.clone(), source })?;
    }
    Ok(files)
}
