//! A private Open vSwitch: database, switch, run directory and network namespace of its own.

use std::{
    env,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{
    Daemon, Namespace, Result,
    daemon::{finish, guarded, lock},
    leftover::{RunDir, Token},
};

/// How long a daemon may take until it answers; on a busy or an emulated machine a second is not much.
const START: Duration = Duration::from_secs(60);
/// How long the ovs-* programs wait for an answer, in seconds.
const ANSWER: &str = "60";

/// The environment variable with the datapath type of all bridges, where the kernel has
/// Open vSwitch and its datapath is to be tested: `system`. Without it, it is `netdev`.
const DATAPATH: &str = "TESTKIT_DATAPATH";

/// How a [`Switch`] is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The database's schema file.
    pub schema: PathBuf,
    /// Leave the run directory with database and logs behind on drop, to look at.
    pub keep_run_dir: bool,
}

impl Default for Options {
    /// Debian's schema, nothing kept.
    fn default() -> Self {
        let schema = PathBuf::from("/usr/share/openvswitch/vswitch.ovsschema");
        Self { schema, keep_run_dir: false }
    }
}

/// A private ovsdb-server and ovs-vswitchd.
///
/// Its bridges have the userspace datapath, or the one that the environment asks for:
/// `TESTKIT_DATAPATH=system` is the kernel's. See [`Switch::datapath_type`].
///
/// The switch runs in a network namespace of its own ([`Switch::namespace`]), so bridges and
/// interfaces of many switches may have the same names. Its sockets lie in the file system and
/// are reached from any namespace; but an interface that is to be plugged into it must be made
/// inside. A program that plugs (`weir plug`) is therefore run by [`Namespace::command`], code
/// that plugs by [`Namespace::inside`].
#[derive(Debug)]
pub struct Switch {
    // Dropped in this order: the switch first, then what it stands on.
    vswitchd: Mutex<Option<Daemon>>,
    ovsdb: Mutex<Option<Daemon>>,
    namespace: Namespace,
    run_dir: RunDir,
    token: Token,
    starts: AtomicU32,
    datapath_type: String,
}

impl Switch {
    /// Starts a switch without bridges and waits until it answers.
    ///
    /// # Errors
    /// When a program is missing, we are not root, or a daemon does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// As [`Switch::start`], with options.
    ///
    /// # Errors
    /// As [`Switch::start`].
    pub fn start_with(options: &Options) -> Result<Self> {
        let token = Token::next();
        let switch = Self {
            vswitchd: Mutex::new(None),
            ovsdb: Mutex::new(None),
            namespace: Namespace::named(token.to_string())?,
            run_dir: RunDir::create(&token, options.keep_run_dir)?,
            token,
            starts: AtomicU32::new(0),
            datapath_type: env::var(DATAPATH).unwrap_or_else(|_| "netdev".to_owned()),
        };
        let mut create = Command::new("ovsdb-tool");
        finish(create.arg("create").arg(switch.database()).arg(&options.schema), None)?;
        switch.start_ovsdb()?;
        switch.vsctl_no_wait(&["init"])?;
        // One thread each: with many switches at once the machine has other work to do.
        switch.vsctl_no_wait(&[
            "set",
            "Open_vSwitch",
            ".",
            "other_config:n-handler-threads=1",
            "other_config:n-revalidator-threads=1",
        ])?;
        switch.start_vswitchd()?;
        Ok(switch)
    }

    /// Adds a bridge of this switch's datapath type, with fail mode `secure`: it forwards nothing
    /// until it has flows.
    ///
    /// # Errors
    /// When ovs-vsctl refuses.
    pub fn add_bridge(&self, name: &str) -> Result<()> {
        let datapath_type = format!("datapath_type={}", self.datapath_type);
        let set = ["set", "bridge", name, &datapath_type, "fail_mode=secure"];
        self.vsctl(&[&["add-br", name, "--"], &set[..]].concat()).map(drop)
    }

    /// Puts a Linux bridge between a device `tap` of this machine and the switch, where netfilter sees
    /// what passes: `tap -> qbr -> qvb -> qvo`, of which the last waits to be plugged into a bridge of
    /// the switch. All names end in `suffix`, of which there may be eleven characters.
    ///
    /// What is added stays as long as the switch does.
    ///
    /// # Errors
    /// When there is no such tap, or one of the others is there.
    pub fn add_linux_bridge(&self, suffix: &str, mtu: Option<u16>) -> Result<()> {
        let mtu = mtu.map(|mtu| format!(" mtu {mtu}")).unwrap_or_default();
        self.namespace.ip(&format!(
            "link add name qbr{suffix} type bridge ageing_time 0 stp_state 0 mcast_snooping 0\n\
             link add name qvb{suffix}{mtu} type veth peer name qvo{suffix}{mtu}\n\
             link set dev qbr{suffix} addrgenmode none\n\
             link set dev qvb{suffix} addrgenmode none master qbr{suffix}\n\
             link set dev qvo{suffix} addrgenmode none promisc on\n\
             link set dev tap{suffix} master qbr{suffix}{mtu}\n\
             link set dev qvb{suffix} up\n\
             link set dev qvo{suffix} up\n\
             link set dev qbr{suffix} up\n"
        ))
    }

    /// Starts ovsdb-server on the database as it is and waits until it answers. Does nothing when
    /// it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_ovsdb(&self) -> Result<()> {
        let mut ovsdb = lock(&self.ovsdb);
        if ovsdb.is_some() {
            return Ok(());
        }
        let mut command = guarded("ovsdb-server");
        command
            .arg(self.database())
            .arg(format!("--remote=p{}", self.db_remote()))
            .arg("--remote=db:Open_vSwitch,Open_vSwitch,manager_options")
            .arg(format!("--unixctl={}", self.socket("ovsdb-server.ctl").display()))
            .args(["-vconsole:warn", "-vsyslog:off"])
            .env("OVS_RUNDIR", self.run_dir());
        let log = self.run_dir().join("ovsdb-server.log");
        let mut daemon = Daemon::spawn_logged("ovsdb-server", command, log)?;
        daemon.wait_until(START, || UnixStream::connect(self.db_socket()).is_ok())?;
        *ovsdb = Some(daemon);
        Ok(())
    }

    /// Asks ovsdb-server to end. Does nothing when it does not run.
    ///
    /// The switch goes on forwarding, but ovs-vswitchd 3.1 answers no OpenFlow request until its
    /// database is back.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop_ovsdb(&self) -> Result<()> {
        lock(&self.ovsdb).take().map_or(Ok(()), Daemon::stop)
    }

    /// Starts ovs-vswitchd and waits until it has made the bridges of the database. Does nothing
    /// when it runs. ovsdb-server must run.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_vswitchd(&self) -> Result<()> {
        let mut vswitchd = lock(&self.vswitchd);
        if vswitchd.is_some() {
            return Ok(());
        }
        let mut command = self.namespace.command("ovs-vswitchd");
        command
            .arg(self.db_remote())
            .arg(format!("--unixctl={}", self.vswitchd_ctl().display()))
            .args(["-vconsole:warn", "-vsyslog:off"])
            .env("OVS_RUNDIR", self.run_dir());
        let log = self.run_dir().join("ovs-vswitchd.log");
        let mut daemon = Daemon::spawn_logged("ovs-vswitchd", command, log)?;
        daemon.wait_until(START, || UnixStream::connect(self.vswitchd_ctl()).is_ok())?;
        *vswitchd = Some(daemon);
        drop(vswitchd);
        // ovs-vsctl waits for the switch only when it changes something.
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let mark = format!("external_ids:testkit-start={start}");
        self.vsctl(&["set", "Open_vSwitch", ".", &mark]).map(drop)
    }

    /// Asks ovs-vswitchd to end. Does nothing when it does not run.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop_vswitchd(&self) -> Result<()> {
        lock(&self.vswitchd).take().map_or(Ok(()), Daemon::stop)
    }

    /// Kills ovs-vswitchd (SIGKILL), as a crash would.
    pub fn kill_vswitchd(&self) {
        if let Some(daemon) = lock(&self.vswitchd).take() {
            daemon.kill();
        }
    }

    /// The process id of ovs-vswitchd while it runs.
    pub fn vswitchd_pid(&self) -> Option<u32> {
        lock(&self.vswitchd).as_ref().map(Daemon::pid)
    }

    /// Runs ovs-vsctl and returns what it prints; it waits until the switch has followed.
    ///
    /// # Errors
    /// [`Error::Command`](crate::Error::Command) with its message when it refuses or the switch does not answer.
    pub fn vsctl(&self, args: &[&str]) -> Result<String> {
        self.ovs(
            "ovs-vsctl",
            &[&[&format!("--db={}", self.db_remote()), "--timeout", ANSWER], args].concat(),
        )
    }

    /// As [`Switch::vsctl`] but does not wait for the switch: for when it does not run.
    ///
    /// # Errors
    /// As [`Switch::vsctl`].
    pub fn vsctl_no_wait(&self, args: &[&str]) -> Result<String> {
        self.vsctl(&[&["--no-wait"], args].concat())
    }

    /// Runs ovs-ofctl with OpenFlow 1.4 and returns what it prints; a bridge is given by its name.
    ///
    /// # Errors
    /// [`Error::Command`](crate::Error::Command) with its message when it refuses.
    pub fn ofctl(&self, args: &[&str]) -> Result<String> {
        self.ovs("ovs-ofctl", &[&["-O", "OpenFlow14", "--timeout", ANSWER], args].concat())
    }

    /// Runs ovs-appctl against ovs-vswitchd and returns what it prints.
    ///
    /// # Errors
    /// [`Error::Command`](crate::Error::Command) with its message when it refuses.
    pub fn appctl(&self, args: &[&str]) -> Result<String> {
        let target = self.vswitchd_ctl().display().to_string();
        self.ovs("ovs-appctl", &[&["--target", &target, "--timeout", ANSWER], args].concat())
    }

    /// Makes the datapath follow the flow tables as they are now. By itself it does so some
    /// milliseconds after a change, and until then packets get the old verdict.
    ///
    /// # Errors
    /// When the switch does not run.
    pub fn settle(&self) -> Result<()> {
        self.appctl(&["revalidator/purge"]).map(drop)
    }

    /// The directory of its sockets, its database and its logs.
    pub fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// The socket that ovsdb-server listens on.
    pub fn db_socket(&self) -> PathBuf {
        self.socket("db.sock")
    }

    /// The same as an OVSDB connection method: `unix:<path>`.
    pub fn db_remote(&self) -> String {
        format!("unix:{}", self.db_socket().display())
    }

    /// The control socket of ovs-vswitchd.
    pub fn vswitchd_ctl(&self) -> PathBuf {
        self.socket("ovs-vswitchd.ctl")
    }

    /// The OpenFlow management socket of a bridge.
    pub fn mgmt_socket(&self, bridge: &str) -> PathBuf {
        self.socket(&format!("{bridge}.mgmt"))
    }

    /// The network namespace that its bridges and interfaces live in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The datapath type of its bridges, `netdev` or `system`: for code that makes its own bridge.
    pub fn datapath_type(&self) -> &str {
        &self.datapath_type
    }

    /// A word of at most ten characters that no other switch has.
    pub fn unique(&self) -> &str {
        self.token.short()
    }

    fn ovs(&self, program: &str, args: &[&str]) -> Result<String> {
        finish(Command::new(program).args(args).env("OVS_RUNDIR", self.run_dir()), None)
    }

    fn database(&self) -> PathBuf {
        self.run_dir().join("conf.db")
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.run_dir().join(name)
    }
}
