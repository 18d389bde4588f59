//! A private RabbitMQ: node, ports, directories and users of its own.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    Daemon, Error, Result,
    daemon::{finish, guarded, lock},
    leftover::{RunDir, Token},
};

/// How long the broker may take until it answers. It is 3 s on an idle machine, and tests start
/// many at once.
const START: Duration = Duration::from_secs(120);
/// How long a connection may take to be answered.
const ANSWER: Duration = Duration::from_secs(5);
/// What an AMQP client says first; the broker answers with a method frame, whose type is 1.
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
const METHOD_FRAME: u8 = 1;

/// Where Debian has RabbitMQ. The programs in /usr/sbin are wrappers that change the user.
const HOME: &str = "/usr/lib/rabbitmq";
const USER: &str = "weir";
const PASSWORD: &str = "secret";
const VHOST: &str = "weir";

/// How a [`Broker`] is started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerOptions {
    /// Listen for TLS too, with these files.
    pub tls: Option<BrokerTls>,
    /// The bytes of memory from which on it takes in no more messages. With 1 it takes none.
    pub memory_limit: Option<u64>,
    /// Leave the run directory with data and log behind on drop, to look at.
    pub keep_run_dir: bool,
}

/// The files of a broker that speaks TLS, in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerTls {
    /// The authorities that clients' certificates may come from.
    pub ca: PathBuf,
    /// The broker's certificate.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Refuse clients without a certificate.
    pub client_must_have_one: bool,
}

/// A private RabbitMQ, with one user who may do everything in two virtual hosts, `weir` and `/`.
///
/// It listens on an address of the loopback that no other process's brokers have, and no
/// port mapper (epmd) is involved: any number run beside each other and beside the system's. Its
/// address stays the same when it is stopped and started again, and so does what is durable.
#[derive(Debug)]
pub struct Broker {
    daemon: Mutex<Option<Daemon>>,
    run_dir: RunDir,
    address: Ipv4Addr,
    first_port: u16,
    tls: AtomicBool,
}

impl Broker {
    /// Starts a broker and waits until it answers.
    ///
    /// # Errors
    /// When RabbitMQ is missing or does not come up.
    pub fn start() -> Result<Self> {
        let broker = Self::prepare(&BrokerOptions::default())?;
        broker.run()?;
        Ok(broker)
    }

    /// Sets everything up but starts nothing: its address is known, so certificates can be made.
    /// [`Broker::run`] starts it.
    ///
    /// # Errors
    /// When RabbitMQ is missing or a file cannot be written.
    pub fn prepare(options: &BrokerOptions) -> Result<Self> {
        let token = Token::next();
        let broker = Self {
            daemon: Mutex::new(None),
            run_dir: RunDir::create(&token, options.keep_run_dir)?,
            address: Token::loopback(),
            first_port: token.ports(),
            tls: AtomicBool::new(options.tls.is_some()),
        };
        broker.write("definitions.json", &definitions())?;
        broker.write("enabled_plugins", "[].\n")?;
        broker.write("rabbitmq.config", &broker.config(options))?;
        broker.write(".erlang.cookie", &token.to_string())?;
        let cookie = broker.file(".erlang.cookie");
        fs::set_permissions(&cookie, fs::Permissions::from_mode(0o400)).map_err(at(&cookie))?;
        broker.link_plugin()?;
        Ok(broker)
    }

    /// Takes other options, from the next [`Broker::run`] on.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn configure(&self, options: &BrokerOptions) -> Result<()> {
        self.tls.store(options.tls.is_some(), Ordering::Relaxed);
        self.write("rabbitmq.config", &self.config(options))
    }

    /// Starts it and waits until it answers AMQP. Does nothing when it runs.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn run(&self) -> Result<()> {
        let mut daemon = lock(&self.daemon);
        if daemon.is_some() {
            return Ok(());
        }
        let mut command = guarded(format!("{HOME}/bin/rabbitmq-server"));
        self.environment(&mut command);
        let arguments = format!("-noinput -name {} {} +S 1:1 +A 2", self.node(), self.no_epmd());
        command
            // Otherwise a shell stays between us and the broker.
            .env("RABBITMQ_ALLOW_INPUT", "1")
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", arguments);
        let mut started = Daemon::spawn_logged("rabbitmq-server", command, self.log())?;
        started.wait_until(START, || self.answers())?;
        *daemon = Some(started);
        Ok(())
    }

    /// Asks it to end: it closes its connections and writes what is durable. Does nothing when it
    /// does not run.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&self) -> Result<()> {
        lock(&self.daemon).take().map_or(Ok(()), Daemon::stop)
    }

    /// Kills it (SIGKILL), as a crash would.
    pub fn kill(&self) {
        if let Some(daemon) = lock(&self.daemon).take() {
            daemon.kill();
        }
    }

    /// Stops it where it is (SIGSTOP): its connections stay open and silent.
    pub fn freeze(&self) {
        if let Some(daemon) = &*lock(&self.daemon) {
            daemon.freeze();
        }
    }

    /// Lets it go on after [`Broker::freeze`].
    pub fn thaw(&self) {
        if let Some(daemon) = &*lock(&self.daemon) {
            daemon.thaw();
        }
    }

    /// Runs rabbitmqctl and returns what it prints. It takes a second or two.
    ///
    /// # Errors
    /// [`Error::Command`] with its message when it refuses.
    pub fn ctl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(format!("{HOME}/bin/rabbitmqctl"));
        self.environment(&mut command);
        let own = format!("{} -dist_listen false", self.no_epmd());
        command.env("RABBITMQ_CTL_ERL_ARGS", own).arg("--quiet").args(args);
        finish(&mut command, None)
    }

    /// Where it listens for AMQP.
    pub fn address(&self) -> SocketAddr {
        self.port(0)
    }

    /// Where it listens for AMQP with TLS, when its options say so.
    pub fn tls_address(&self) -> SocketAddr {
        self.port(1)
    }

    /// The name of its user.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// The password of its user.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// One of its virtual hosts; the other is `/`.
    pub fn vhost(&self) -> &'static str {
        VHOST
    }

    /// The value of OpenStack's `transport_url` for it.
    pub fn url(&self) -> String {
        format!("rabbit://{USER}:{PASSWORD}@{}/{VHOST}", self.address())
    }

    /// What it has logged.
    pub fn log(&self) -> PathBuf {
        self.file("broker.log")
    }

    /// The directory of its data, its configuration and its log.
    pub fn run_dir(&self) -> &Path {
        self.run_dir.path()
    }

    /// AMQP, AMQP with TLS, what [`Broker::ctl`] talks to, and one that nobody listens on.
    fn port(&self, number: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), self.first_port + number)
    }

    fn node(&self) -> String {
        format!("rabbit@{}", self.address)
    }

    /// Nodes usually find each other's ports by a daemon (epmd) that all of a machine share and
    /// that stays. Here everybody is told the port instead.
    fn no_epmd(&self) -> String {
        let [a, b, c, d] = self.address.octets();
        let port = self.port(2).port();
        format!(
            "-start_epmd false -erl_epmd_port {port} -kernel inet_dist_use_interface \
             {{{a},{b},{c},{d}}} -kernel inet_dist_listen_min {port} -kernel inet_dist_listen_max \
             {port}"
        )
    }

    fn environment(&self, command: &mut Command) {
        command
            .env_clear()
            .current_dir(self.run_dir())
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.run_dir())
            .env("RABBITMQ_NODENAME", self.node())
            .env("RABBITMQ_USE_LONGNAME", "true")
            .env("RABBITMQ_DIST_PORT", self.port(2).port().to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            // The broker starts a port mapper once a minute by starting itself again. This way it
            // does not, and what it asks one is asked where none is.
            .env("ERL_ZFLAGS", "-start_epmd false")
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .env("ERL_EPMD_PORT", self.port(3).port().to_string());
        for (variable, name) in [
            ("CONFIG_FILE", "rabbitmq.config"),
            ("ADVANCED_CONFIG_FILE", "advanced.config"),
            ("ENABLED_PLUGINS_FILE", "enabled_plugins"),
            ("PLUGINS_DIR", "plugins"),
            ("MNESIA_BASE", "mnesia"),
            ("LOG_BASE", "log"),
            ("SCHEMA_DIR", "schema"),
            ("GENERATED_CONFIG_DIR", "config"),
            ("PID_FILE", "pid"),
        ] {
            command.env(format!("RABBITMQ_{variable}"), self.file(name));
        }
    }

    /// Whether it answers an AMQP client's greeting, and listens for TLS, which it does last.
    fn answers(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&self.address(), ANSWER)?;
            stream.set_read_timeout(Some(ANSWER))?;
            stream.write_all(GREETING)?;
            let mut kind = [0];
            stream.read_exact(&mut kind)?;
            if self.tls.load(Ordering::Relaxed) {
                TcpStream::connect_timeout(&self.tls_address(), ANSWER)?;
            }
            io::Result::Ok(kind)
        };
        ask().is_ok_and(|kind| kind == [METHOD_FRAME])
    }

    fn config(&self, options: &BrokerOptions) -> String {
        let listener =
            |address: SocketAddr| format!("[{{\"{}\", {}}}]", address.ip(), address.port());
        let mut terms = vec![
            format!("{{tcp_listeners, {}}}", listener(self.address())),
            format!("{{load_definitions, {}}}", text(&self.file("definitions.json"))),
            "{loopback_users, []}".to_owned(),
            "{disk_free_limit, 1000000}".to_owned(),
            "{log, [{console, [{enabled, true}]}, {file, [{file, false}]}]}".to_owned(),
        ];
        if let Some(bytes) = options.memory_limit {
            terms.push(format!("{{vm_memory_high_watermark, {{absolute, {bytes}}}}}"));
        }
        if let Some(tls) = &options.tls {
            terms.push(format!("{{ssl_listeners, {}}}", listener(self.tls_address())));
            let verify = if tls.client_must_have_one { "verify_peer" } else { "verify_none" };
            terms.push(format!(
                "{{ssl_options, [{{cacertfile, {}}}, {{certfile, {}}}, {{keyfile, {}}}, \
                 {{verify, {verify}}}, {{fail_if_no_peer_cert, {}}}]}}",
                text(&tls.ca),
                text(&tls.cert),
                text(&tls.key),
                tls.client_must_have_one,
            ));
        }
        format!("[{{rabbit, [\n  {}\n]}}].\n", terms.join(",\n  "))
    }

    /// It reads every plugin's description when it starts, enabled or not. Here it finds one: its
    /// own.
    fn link_plugin(&self) -> Result<()> {
        let home = PathBuf::from(HOME).join("lib");
        let plugins = entry(&home, "rabbitmq_server-")?.join("plugins");
        let rabbit = entry(&plugins, "rabbit-")?;
        let name = rabbit.file_name().unwrap_or_default();
        let ours = self.file("plugins");
        fs::create_dir(&ours).and_then(|()| symlink(&rabbit, ours.join(name))).map_err(at(&ours))
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.file(name);
        fs::write(&path, content).map_err(at(&path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.run_dir().join(name)
    }
}

/// Users, virtual hosts and permissions in the form that the broker imports when it starts.
fn definitions() -> String {
    let vhosts = [VHOST, "/"];
    let list = |item: &dyn Fn(&str) -> String| vhosts.map(item).join(", ");
    let all = r#""configure": ".*", "write": ".*", "read": ".*""#;
    format!(
        r#"{{"users": [{{"name": "{USER}", "password": "{PASSWORD}", "tags": "administrator"}}],
"vhosts": [{}],
"permissions": [{}]}}
"#,
        list(&|vhost| format!(r#"{{"name": "{vhost}"}}"#)),
        list(&|vhost| format!(r#"{{"user": "{USER}", "vhost": "{vhost}", {all}}}"#)),
    )
}

/// A path as Erlang writes a text.
fn text(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

/// The entry of the directory whose name begins so.
fn entry(directory: &Path, prefix: &str) -> Result<PathBuf> {
    let found = fs::read_dir(directory).map_err(at(directory))?.find_map(|entry| {
        let entry = entry.ok()?;
        entry.file_name().to_str()?.starts_with(prefix).then(|| entry.path())
    });
    found.ok_or_else(|| at(&directory.join(prefix))(io::ErrorKind::NotFound.into()))
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::File { path: path.to_owned(), source }
}
