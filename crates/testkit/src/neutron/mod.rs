//! A private Neutron, as it is: the server with its database and its broker, and Neutron's own
//! agent, to be compared with.
//!
//! The programs are what `scripts/neutron` installs, or another script for another release:
//! 2024.1 has one server for its API and its agents. Everything listens on addresses of the
//! loopback that no other process of the kit uses; a host has the same addresses by a [`Relay`].

mod agent;
mod database;

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

pub use agent::{AgentOptions, NeutronAgent};
use database::Database;

use crate::{
    Broker, Carried, Daemon, Error, Namespace, Relay, Result,
    daemon::{finish, guarded, lock},
    leftover::{RunDir, Token},
};

/// How long the server may take until it answers. On an idle machine it is 10 s.
const START: Duration = Duration::from_secs(180);
/// How long a request may take.
const ANSWER: Duration = Duration::from_secs(60);
/// The program for everything that older releases have.
const OLD_SERVER: &str = "neutron-server";
/// The queues that agents send their calls to.
const QUEUES: [&str; 2] = ["q-plugin", "q-reports-plugin"];

/// How a [`Neutron`] is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeutronOptions {
    /// The directory of Neutron's programs.
    pub programs: PathBuf,
    /// Lines of `neutron.conf` that come last, with section headings: they win.
    pub neutron_conf: String,
    /// The same of `ml2_conf.ini`.
    pub ml2_conf: String,
}

impl NeutronOptions {
    /// Networks of every type, with the identifiers 100 to 199, `physnet1` for VLANs and for a flat
    /// network, port security, `l2population`, QoS and trunks.
    pub fn new(programs: PathBuf) -> Self {
        Self { programs, neutron_conf: String::new(), ml2_conf: String::new() }
    }
}

/// A private Neutron server, with one process for its API and one for its agents, a MariaDB and a
/// RabbitMQ. Everybody who asks is an administrator, and Nova.
///
/// Its address and its URLs stay the same when parts of it are stopped and started again.
#[derive(Debug)]
pub struct Neutron {
    // Dropped in this order: those who ask before those who are asked.
    api: Mutex<Option<Daemon>>,
    /// What serves agents, where that is a program of its own.
    rpc: Mutex<Option<Daemon>>,
    broker: Broker,
    database: Database,
    run_dir: RunDir,
    address: SocketAddr,
    options: NeutronOptions,
}

impl Neutron {
    /// Starts everything and waits until the API answers and agents are served.
    ///
    /// # Errors
    /// When a program is missing or something does not come up.
    pub fn start(options: &NeutronOptions) -> Result<Self> {
        let token = Token::next();
        let address = SocketAddr::new(IpAddr::V4(Token::loopback()), token.ports());
        let (database, broker) = std::thread::scope(|scope| {
            let database = scope.spawn(|| migrated(options));
            let broker = Broker::start();
            (database.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), broker)
        });
        let neutron = Self {
            api: Mutex::new(None),
            rpc: Mutex::new(None),
            broker: broker?,
            database: database?,
            run_dir: RunDir::create(&token, false)?,
            address,
            options: options.clone(),
        };
        write_conf(neutron.run_dir(), options, &neutron.broker.url(), &neutron.database, address)?;
        neutron.run()?;
        Ok(neutron)
    }

    /// Starts the server's two processes and waits until they answer. Does nothing for one that
    /// runs.
    ///
    /// # Errors
    /// When one does not come up.
    pub fn run(&self) -> Result<()> {
        let (mut api, mut rpc) = (lock(&self.api), lock(&self.rpc));
        let serves_both = self.program(OLD_SERVER).exists();
        let fresh = if serves_both { api.is_none() } else { rpc.is_none() };
        if rpc.is_none() && !serves_both {
            let mut command = contained(&self.program("neutron-rpc-server"));
            command.args(conf_files(self.run_dir()));
            let log = self.run_dir().join("rpc.log");
            *rpc = Some(Daemon::spawn_logged("neutron-rpc-server", command, log)?);
        }
        if api.is_none() {
            *api = Some(if serves_both { self.spawn_old_server()? } else { self.spawn_api()? });
        }
        if let Some(api) = api.as_mut() {
            api.wait_until(START, || self.answers())?;
        }
        let serving = if serves_both { api.as_mut() } else { rpc.as_mut() };
        if let Some(serving) = serving.filter(|_| fresh) {
            serving.wait_until(START, || self.serves_agents())?;
        }
        Ok(())
    }

    /// Asks the server's two processes to end, and kills what has not ended in time: that which
    /// serves agents may wait for threads of its own for ever, which systemd makes short work of.
    /// Broker and database go on.
    pub fn stop(&self) {
        for process in [&self.api, &self.rpc] {
            let _killed = lock(process).take().map(Daemon::stop);
        }
    }

    /// The same for the process that serves agents; the API goes on.
    pub fn stop_rpc(&self) {
        let _killed = lock(&self.rpc).take().map(Daemon::stop);
    }

    /// Where its API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its broker.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// Lets those in the namespace reach its broker, at the address that [`Broker::url`] says.
    ///
    /// # Errors
    /// When they have such a way already.
    pub fn relay(&self, namespace: &Namespace) -> Result<Relay> {
        Relay::start(namespace, self.broker.address())
    }

    /// The same with somebody who looks on ([`Relay::watched`]).
    ///
    /// # Errors
    /// When they have such a way already.
    pub fn watched_relay(
        &self,
        namespace: &Namespace,
        watch: impl Fn(Carried) + Send + Sync + 'static,
    ) -> Result<Relay> {
        Relay::watched(namespace, self.broker.address(), watch)
    }

    /// One of Neutron's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.options.programs.join(name)
    }

    /// The directory of Neutron's programs.
    pub fn programs(&self) -> &Path {
        &self.options.programs
    }

    /// The directory of its configuration and its logs.
    pub fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// What its two processes have logged.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.run_dir().join(name)).unwrap_or_default();
        format!("{}\n{}", read("rpc.log"), read("api.log"))
    }

    fn spawn_api(&self) -> Result<Daemon> {
        let mut command = contained(&self.program("uwsgi"));
        let home = self.options.programs.parent().unwrap_or(Path::new("/"));
        command
            .args(["--module", "neutron.wsgi.api:application", "--need-app", "--lazy-apps"])
            .args(["--master", "--die-on-term", "--workers", "1", "--threads", "4"])
            .args(["--enable-threads", "--disable-logging", "--buffer-size", "65535"])
            .arg("--http-socket")
            .arg(self.address.to_string())
            .arg("--virtualenv")
            .arg(home)
            // It closes every connection; the client must know.
            .args(["--add-header", "Connection: close"])
            // The names of some queues have it in them.
            .args(["--set", "start-time=0"])
            .env("OS_NEUTRON_CONFIG_DIR", self.run_dir())
            .env("OS_NEUTRON_CONFIG_FILES", CONF_FILES.join(";"));
        Daemon::spawn_logged("uwsgi", command, self.run_dir().join("api.log"))
    }

    /// The server of a release that has one program for everything.
    fn spawn_old_server(&self) -> Result<Daemon> {
        let mut command = contained(&self.program(OLD_SERVER));
        command.args(conf_files(self.run_dir()));
        let log = self.run_dir().join("api.log");
        Daemon::spawn_logged(OLD_SERVER, command, log)
    }

    fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&self.address, ANSWER)?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(b"GET /v2.0/agents HTTP/1.0\r\n\r\n")?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            std::io::Result::Ok(status)
        };
        ask().is_ok_and(|status| status.ends_with(b" 200"))
    }

    fn serves_agents(&self) -> bool {
        let vhost = self.broker.vhost();
        let listed = self.broker.ctl(&["list_queues", "--vhost", vhost, "name", "consumers"]);
        let listed = listed.unwrap_or_default();
        let served = |queue: &&str| {
            listed.lines().any(|line| {
                let mut words = line.split_whitespace();
                words.next() == Some(queue) && words.next().is_some_and(|count| count != "0")
            })
        };
        QUEUES.iter().all(served)
    }
}

/// The configuration, in the order in which it is read.
const CONF_FILES: [&str; 2] = ["neutron.conf", "ml2_conf.ini"];

/// Who may do what, where that is not as it is by default.
const POLICY_FILE: &str = "policy.yaml";
/// What Nova alone may do, as a service.
const NOVAS: [&str; 4] =
    ["create_port_binding", "delete_port_binding", "activate", "update_port:binding:profile"];

/// A database with Neutron's tables. They are made once for each installation, and copied.
fn migrated(options: &NeutronOptions) -> Result<Database> {
    let home = options.programs.parent().unwrap_or(Path::new("/"));
    let tables = home.join("database");
    let path = home.join("database.lock");
    let at = |source| Error::File { path: path.clone(), source };
    let locked = File::create(&path).map_err(at)?;
    locked.lock().map_err(at)?;
    if !tables.exists() {
        let run_dir = RunDir::create(&Token::next(), false)?;
        let database = Database::start(None)?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        write_conf(run_dir.path(), options, "rabbit://", &database, nowhere)?;
        let mut upgrade = Command::new(options.programs.join("neutron-db-manage"));
        upgrade.args(conf_files(run_dir.path())).args(["upgrade", "head"]);
        finish(&mut upgrade, None)?;
        database.stop()?;
        let unfinished = home.join("database.unfinished");
        // Of somebody who was killed here.
        let _none = fs::remove_dir_all(&unfinished);
        database.save(&unfinished)?;
        fs::rename(&unfinished, &tables).map_err(at)?;
    }
    drop(locked);
    Database::start(Some(&tables))
}

fn conf_files(directory: &Path) -> impl Iterator<Item = String> + '_ {
    CONF_FILES.iter().map(|name| format!("--config-file={}", directory.join(name).display()))
}

fn write_conf(
    run_dir: &Path,
    options: &NeutronOptions,
    transport_url: &str,
    database: &Database,
    address: SocketAddr,
) -> Result<()> {
    let home = options.programs.parent().unwrap_or(Path::new("/"));
    let neutron = format!(
        "[DEFAULT]\n\
         core_plugin = ml2\n\
         service_plugins = qos,trunk\n\
         auth_strategy = noauth\n\
         transport_url = {transport_url}\n\
         notify_nova_on_port_status_changes = false\n\
         notify_nova_on_port_data_changes = false\n\
         state_path = {run_dir}\n\
         api_paste_config = {home}/etc/neutron/api-paste.ini\n\
         rpc_workers = 1\n\
         rpc_state_report_workers = 1\n\
         api_workers = 1\n\
         bind_host = {ip}\n\
         bind_port = {port}\n\
         graceful_shutdown_timeout = 5\n\
         [quotas]\n\
         quota_port = -1\n\
         quota_network = -1\n\
         quota_subnet = -1\n\
         quota_security_group = -1\n\
         quota_security_group_rule = -1\n\
         [database]\n\
         connection = {url}\n\
         [oslo_concurrency]\n\
         lock_path = {run_dir}/lock\n\
         [oslo_policy]\n\
         policy_file = {run_dir}/{POLICY_FILE}\n\
         {more}",
        run_dir = run_dir.display(),
        home = home.display(),
        url = database.url(),
        ip = address.ip(),
        port = address.port(),
        more = options.neutron_conf,
    );
    let ml2 = format!(
        "[ml2]\n\
         type_drivers = local,flat,vlan,vxlan,gre,geneve\n\
         tenant_network_types = vlan\n\
         mechanism_drivers = openvswitch,l2population\n\
         extension_drivers = port_security,qos\n\
         [ml2_type_flat]\n\
         flat_networks = *\n\
         [ml2_type_vlan]\n\
         network_vlan_ranges = physnet1:100:199\n\
         [ml2_type_vxlan]\n\
         vni_ranges = 100:199\n\
         [ml2_type_gre]\n\
         tunnel_id_ranges = 100:199\n\
         [ml2_type_geneve]\n\
         vni_ranges = 100:199\n\
         max_header_size = 38\n\
         {}",
        options.ml2_conf
    );
    let policy = NOVAS.map(|rule| format!("\"{rule}\": \"@\"\n")).concat();
    for (name, text) in CONF_FILES.into_iter().chain([POLICY_FILE]).zip([neutron, ml2, policy]) {
        let path = run_dir.join(name);
        fs::write(&path, text).map_err(|source| Error::File { path, source })?;
    }
    Ok(())
}

/// A command in a process namespace of its own: all that it starts ends with it, also what has
/// left its process group.
fn contained(program: &Path) -> Command {
    contain(guarded("unshare"), program)
}

fn contain(mut unshare: Command, program: &Path) -> Command {
    unshare.args(["--pid", "--mount-proc", "--fork", "--kill-child=KILL", "--"]).arg(program);
    unshare
}
