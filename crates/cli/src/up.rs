//! `weir up`: the API server and the agent of this machine in one process, joined by a local bus.
//! Agents on other hosts may call over RabbitMQ.
//!
//! `weir demo` runs the same parts, with a server on one host and agents on all: [`serve`] and
//! [`join`].

mod firewall;
mod forwarding;
mod limits;
mod segments;
mod tunnel;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{self, ExitCode},
    str::FromStr,
    time::Duration,
};

use agent::{Agent, Identity};
use anyhow::Context as _;
use config::{Settings, Sources};
use neutron::bus::{
    local::LocalBus,
    rabbit::{self, Member, RabbitOptions, TransportUrl},
};
use server::Server;

use self::{
    firewall::FirewallOptions, forwarding::ForwardingOptions, segments::SegmentOptions,
    tunnel::TunnelOptions,
};
use crate::{
    drop_in::bus::{self, Process},
    files::ConfigFiles,
    output::Format,
    signal::Termination,
    state_dir::{Lock, StateDir, Up},
};

/// How long the agent gathers events that come in a series.
pub(crate) const GATHER: Duration = Duration::from_millis(2);
/// How often the agent tells the server that it is alive.
pub(crate) const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// Where Open vSwitch has its sockets when nothing else is known.
const OVS_RUN_DIR: &str = "/var/run/openvswitch";

/// What an operator decides.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) state_dir: StateDir,
    /// Where the API listens; it asks nobody for a password, so think before opening it to others
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "WEIR_LISTEN",
        default_value = "127.0.0.1:9696"
    )]
    listen: SocketAddr,
    /// The RabbitMQ over which agents on other hosts call, Neutron's own among them:
    /// rabbit://USER:PASSWORD@HOST:PORT/VIRTUAL_HOST; what `[oslo_messaging_rabbit]` of the files says
    /// of it counts
    #[arg(long, value_name = "URL", env = "WEIR_TRANSPORT_URL", hide_env_values = true)]
    transport_url: Option<TransportUrl>,
    /// The Open vSwitch database: unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT
    #[arg(
        long,
        value_name = "REMOTE",
        env = "WEIR_OVSDB",
        default_value = "unix:/var/run/openvswitch/db.sock"
    )]
    ovsdb: ovsdb::Remote,
    /// The directory with the management sockets of the bridges [default: that of the database's
    /// socket]
    #[arg(long, value_name = "DIR", env = "WEIR_OVS_RUN_DIR")]
    ovs_run_dir: Option<PathBuf>,
    /// The control socket of ovs-vswitchd, ovs-vswitchd.PID.ctl [default: that in the directory]
    #[arg(long, value_name = "PATH", env = "WEIR_VSWITCHD_SOCKET")]
    vswitchd_socket: Option<PathBuf>,
    /// The name by which ports are bound to this machine [default: its host name]
    #[arg(long, value_name = "NAME", env = "WEIR_HOST")]
    host: Option<String>,
    /// The bridge that ports are plugged into; made if it is not there
    #[arg(long, value_name = "NAME", env = "WEIR_INTEGRATION_BRIDGE", default_value = "br-int")]
    integration_bridge: String,
    /// The datapath of bridges that have to be made: in the kernel or in user space
    #[arg(long, value_name = "TYPE", env = "WEIR_DATAPATH_TYPE", default_value = "system")]
    datapath_type: DatapathType,
    /// The bridge of each physical network: physnet1:br-phys,...
    #[arg(
        long,
        value_name = "PHYSICAL_NETWORK:BRIDGE",
        env = "WEIR_BRIDGE_MAPPINGS",
        value_delimiter = ','
    )]
    bridge_mappings: Vec<BridgeMapping>,
    #[command(flatten)]
    tunnel: TunnelOptions,
    #[command(flatten)]
    firewall: FirewallOptions,
    /// EtherTypes that pass ports with port security without a check: 0x88cc,...
    #[arg(
        long,
        value_name = "ETHERTYPE",
        env = "WEIR_PERMITTED_ETHERTYPES",
        value_delimiter = ','
    )]
    permitted_ethertypes: Vec<agent::PermittedEtherType>,
    /// Let security groups filter IP multicast and broadcast into ports with port security, as
    /// Neutron's iptables_hybrid driver does
    #[arg(long, env = "WEIR_STRICT_EQUIVALENCE")]
    strict_equivalence: bool,
    /// Delete all flows of every bridge at the start, also those of others: a clean slate that
    /// interrupts everybody
    #[arg(long, env = "WEIR_DROP_FLOWS_ON_START")]
    drop_flows_on_start: bool,
    #[command(flatten)]
    forwarding: ForwardingOptions,
    #[command(flatten)]
    segments: SegmentOptions,
    #[command(flatten)]
    files: ConfigFiles,
    #[command(flatten)]
    format: Format,
}

/// Where packets are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DatapathType {
    /// In the kernel.
    System,
    /// In user space.
    Netdev,
}

/// The bridge of a physical network: `physnet1:br-phys`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BridgeMapping {
    physical_network: String,
    bridge: String,
}

/// Text that is no [`BridgeMapping`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not PHYSICAL_NETWORK:BRIDGE")]
struct ParseBridgeMappingError {
    text: String,
}

impl FromStr for BridgeMapping {
    type Err = ParseBridgeMappingError;

    fn from_str(text: &str) -> Result<Self, ParseBridgeMappingError> {
        match text.trim().split_once(':') {
            Some((network, bridge))
                if !network.is_empty() && !bridge.is_empty() && !bridge.contains(':') =>
            {
                Ok(Self { physical_network: network.to_owned(), bridge: bridge.to_owned() })
            }
            _ => Err(ParseBridgeMappingError { text: text.to_owned() }),
        }
    }
}

/// Runs until a signal comes. Ending leaves the data plane as it is.
///
/// # Errors
/// When the state directory is in use, or something cannot be listened on.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    // From here on a signal waits until it can be answered properly.
    let mut termination = Termination::listen()?;
    let lock = options.state_dir.claim()?;
    if !options.listen.ip().is_loopback() {
        tracing::warn!(
            listen = %options.listen,
            "the API asks nobody for a password: whoever reaches it rules the network"
        );
    }

    let (server, bus) = serve(&options).await?;
    let member = options.broker(&bus)?;
    let joined = join(&options, lock, &bus, server.address())?;
    options.format.print(&joined.up, |up| {
        let api = up.api.as_deref().unwrap_or_default();
        format!("weir is up: API at {api}, state in {}", options.state_dir.path().display())
    })?;

    termination.came().await;
    tracing::info!("asked to stop; the data plane stays as it is");
    joined.agent.stop().await;
    if let Some(member) = member {
        member.leave().await;
    }
    server.stop().await;
    Ok(ExitCode::SUCCESS)
}

impl Options {
    /// Has the server of this bus answer on RabbitMQ, too, if the command line says so. The URL of
    /// the files alone does not: these may be those of a server that runs, and two would share the
    /// calls of its agents.
    fn broker(&self, bus: &LocalBus) -> anyhow::Result<Option<Member>> {
        let Some(url) = self.transport_url.clone() else { return Ok(None) };
        let host = self.host.clone().map_or_else(host_name, Ok)?;
        let options = rabbit_options(&self.files.read(None)?, url, &host)?;
        Ok(Some(rabbit::serve(options, bus)?))
    }
}

/// Starts the server. Its state directory must be claimed.
///
/// # Errors
/// When it cannot listen, or the options contradict each other.
pub(crate) async fn serve(options: &Options) -> anyhow::Result<(Server, LocalBus)> {
    let mappings = mappings(&options.bridge_mappings)?;
    let (bus, end) = LocalBus::new();
    let server = Server::start(server_config(options, &mappings)?, end).await?;
    Ok((server, bus))
}

/// An agent that has joined a server.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) agent: Agent,
    /// Where everything is, as the state directory says it.
    pub(crate) up: Up,
    _lock: Lock,
}

/// Starts the agent of the machine, and lets other commands know where everything is.
///
/// # Errors
/// When the agent cannot be started, or the options contradict each other.
pub(crate) fn join(
    options: &Options,
    lock: Lock,
    bus: &LocalBus,
    api: SocketAddr,
) -> anyhow::Result<Joined> {
    let host = options.host.clone().map_or_else(host_name, Ok)?;
    let mappings = mappings(&options.bridge_mappings)?;
    let config = agent_config(options, &host, mappings)?;
    let up = Up {
        pid: process::id(),
        api: Some(format!("http://{api}")),
        ovsdb: options.ovsdb.to_string(),
        integration_bridge: options.integration_bridge.clone(),
        admin_socket: config.admin_socket.clone(),
        host: host.clone(),
    };
    let agent = Agent::start(config, bus.join(&host))?;
    options.state_dir.publish(&lock, &up)?;
    Ok(Joined { agent, up, _lock: lock })
}

fn server_config(
    options: &Options,
    mappings: &BTreeMap<String, String>,
) -> anyhow::Result<server::Config> {
    let files = settings(&options.files)?;
    if !options.files.is_empty() {
        warn_of_strays(&options.files.read(None)?);
    }
    Ok(server::Config {
        listen: options.listen,
        state_dir: options.state_dir.path().to_owned(),
        segments: options.segments.segments(mappings.keys(), &files)?,
        mtu: options.segments.mtu(&files)?,
        limits: limits::of(&files),
        firewall_driver: firewall::of_server(&files)?.to_string(),
    })
}

/// What the files say of the brokers at this URL.
fn rabbit_options(files: &Sources, url: TransportUrl, host: &str) -> anyhow::Result<RabbitOptions> {
    let with_url = bus::with_options_of(files, &url, 1);
    let sources = with_url.as_ref().unwrap_or(files);
    let (settings, errors) = Settings::read(sources, config::table::server());
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    Ok(bus::options_at(&settings, url, Process { host, program: "weir" })?)
}

/// What `ml2_conf.ini` and `neutron.conf` say of the server.
fn settings(files: &ConfigFiles) -> anyhow::Result<Settings> {
    if files.is_empty() {
        return Ok(Settings::default());
    }
    let sources = files.read(None)?;
    let (settings, errors) = Settings::read(&sources, config::table::server());
    if let Some(error) = errors.into_iter().next() {
        return Err(error.into());
    }
    Ok(settings)
}

/// Says which keys nobody knows.
fn warn_of_strays(sources: &Sources) {
    for stray in config::verdict::strays(sources) {
        tracing::warn!(place = %stray.place, group = stray.group, key = stray.key, "nobody knows this option");
    }
}

fn agent_config(
    options: &Options,
    host: &str,
    bridge_mappings: BTreeMap<String, String>,
) -> anyhow::Result<agent::Config> {
    let ovs_run_dir = options.ovs_run_dir.clone().unwrap_or_else(|| run_dir(&options.ovsdb));
    // Other commands run in other directories.
    let admin_socket = std::path::absolute(options.state_dir.admin_socket())
        .context("cannot tell where the state directory is")?;
    let files = settings(&options.files)?;
    Ok(agent::Config {
        host: host.to_owned(),
        ovsdb: options.ovsdb.clone(),
        ovs_run_dir,
        vswitchd_socket: options.vswitchd_socket.clone(),
        integration_bridge: options.integration_bridge.clone(),
        datapath_type: match options.datapath_type {
            DatapathType::System => "system",
            DatapathType::Netdev => "netdev",
        }
        .to_owned(),
        bridge_mappings,
        tunnel: options.tunnel.config(),
        firewall: options.firewall.config(&files)?,
        enable_ipset: firewall::enable_ipset(&files),
        permitted_ethertypes: options.permitted_ethertypes.iter().copied().collect(),
        strict_equivalence: options.strict_equivalence,
        extensions: agent::Extensions::ALL,
        forwarding: options.forwarding.config(),
        drop_flows_on_start: options.drop_flows_on_start,
        gather: GATHER,
        report_interval: REPORT_INTERVAL,
        identity: Identity {
            extensions: agent::Extensions::ALL.names().map(str::to_owned).collect(),
            ..Identity::weir()
        },
        admin_socket,
    })
}

/// The mappings by physical network.
fn mappings(list: &[BridgeMapping]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut mappings = BTreeMap::new();
    for BridgeMapping { physical_network, bridge } in list {
        if mappings.insert(physical_network.clone(), bridge.clone()).is_some() {
            anyhow::bail!("--bridge-mappings names {physical_network} twice; name one bridge");
        }
    }
    Ok(mappings)
}

/// Where the bridges' sockets are when the database is there.
fn run_dir(ovsdb: &ovsdb::Remote) -> PathBuf {
    let beside = match ovsdb {
        ovsdb::Remote::Unix(socket) => socket.parent(),
        _ => None,
    };
    beside.unwrap_or(Path::new(OVS_RUN_DIR)).to_owned()
}

/// The host name of this machine.
pub(crate) fn host_name() -> anyhow::Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname")
        .context("cannot tell this machine's host name; give --host")?;
    Ok(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use config::Source;
    use neutron::oslo::QueueNames;

    use super::*;

    #[test]
    fn bridge_mappings() {
        let parse = |text: &str| text.parse::<BridgeMapping>();
        let mapping = parse("physnet1:br-phys").unwrap();
        assert_eq!((&*mapping.physical_network, &*mapping.bridge), ("physnet1", "br-phys"));
        for text in ["", "physnet1", "physnet1:", ":br-phys", "a:b:c"] {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("'{text}' is not PHYSICAL_NETWORK:BRIDGE")
            );
        }
        let twice = [mapping.clone(), mapping.clone()];
        assert!(mappings(&twice).unwrap_err().to_string().contains("physnet1 twice"));
        assert_eq!(mappings(&[mapping]).unwrap().len(), 1);
    }

    #[test]
    fn what_files_say_of_rabbitmq_counts() {
        let told = |text: &str, url: &str| {
            let file = config::File::parse("neutron.conf".into(), text).unwrap();
            let files = Sources { ordered: vec![Source::File(file)], ..Sources::default() };
            rabbit_options(&files, url.parse().unwrap(), "controller")
        };
        let url = "rabbit://u:p@one/v";
        let without = told("[DEFAULT]\ntransport_url = rabbit://other/\n", url).unwrap();
        assert_eq!(without, RabbitOptions::new(url.parse().unwrap(), "weir"));

        let file = "[oslo_messaging_rabbit]\namqp_durable_queues = true\nssl = true\n\
                    heartbeat_timeout_threshold = 5\nuse_queue_manager = true\n";
        let all = told(file, "rabbit://u:p@one/v?rabbit_quorum_queue=1").unwrap();
        assert!(all.queues.durable && all.queues.quorum && all.tls.is_some());
        assert_eq!(all.heartbeat, Duration::from_secs(5));
        let (host, process) = ("controller".to_owned(), "weir".to_owned());
        assert_eq!(all.queues.names, QueueNames::Managed { host, process });

        let error = told("[oslo_messaging_rabbit]\nssl_key_file = /key\nssl = 1\n", url);
        assert!(error.unwrap_err().to_string().starts_with("neutron.conf:2: "));
    }

    #[test]
    fn sockets_lie_beside_the_database() {
        let run_dir = |text: &str| run_dir(&text.parse().unwrap());
        assert_eq!(run_dir("unix:/tmp/x/db.sock"), Path::new("/tmp/x"));
        assert_eq!(run_dir("tcp:127.0.0.1:6640"), Path::new("/var/run/openvswitch"));
    }
}
