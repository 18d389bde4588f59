//! `weir agent`: an agent of this node on a cloud's bus, told by Neutron's files.
//!
//! SIGTERM ends it and leaves the data plane as it is. SIGHUP reads the files again.

use std::{fmt::Display, path::PathBuf, process, process::ExitCode, time::Duration};

use agent::Agent;
use config::{Setting, Settings, table::default};
use neutron::{
    bus::rabbit::{self, RabbitOptions},
    oslo::Interests,
};

use super::{
    PROGRAM, SERVICE,
    bus::{self, Process},
    firewall,
    host::HostOptions,
    node,
    reading::Reading,
    service::ServiceArguments,
};
use crate::{
    log::{Destination, Log},
    signal::{Asked, Service},
    state_dir::{StateDir, Up},
};

/// The arguments of Neutron's agent, and where things of this host are.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It takes the arguments and the files of neutron-openvswitch-agent, and looks for \
                  files where that looks for them. 'weir doctor' says beforehand what will differ. \
                  Where they name no firewall_driver, it takes that of its server, if that is \
                  Weir's. SIGTERM ends it and leaves the data plane as it is; SIGHUP reads the \
                  files again and opens the log anew."
)]
pub(crate) struct Options {
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    state_dir: StateDir,
}

/// What the files make of a node.
struct Node {
    reading: Reading,
    agent: agent::Config,
    bus: RabbitOptions,
}

/// Runs until a signal comes. `log` is what the command line says of the log; it counts more than
/// `debug` of the files.
///
/// # Errors
/// When the files say what Weir cannot do, or the state directory is in use.
pub(crate) async fn run(options: Options, log: Option<&str>) -> anyhow::Result<ExitCode> {
    // From here on a signal waits until it can be answered properly.
    let mut signals = Service::listen()?;
    let node = read(&options)?;
    let mut settings = node.reading.settings.clone();
    let written = Log::start(log.unwrap_or(level(&settings)), destination(&settings))?;
    node.reading.log();
    node.reading.log_values();
    let lock = options.state_dir.claim()?;
    let up = Up {
        pid: process::id(),
        api: None,
        ovsdb: node.agent.ovsdb.to_string(),
        integration_bridge: node.agent.integration_bridge.clone(),
        host: node.agent.host.clone(),
        admin_socket: node.agent.admin_socket.clone(),
    };
    let tunnel = node.agent.tunnel.as_ref();
    let interests = Interests {
        tunnels: tunnel.is_some(),
        population: tunnel.is_some_and(|tunnel| tunnel.l2_population),
    };
    tracing::info!(host = up.host, bus = %node.bus.url, "the agent starts");
    let (end, member) = rabbit::join(node.bus, &up.host, interests)?;
    let end = end.with_response_timeout(response_timeout(&settings));
    let mut config = node.agent;
    if firewall::named(&settings).is_none() {
        let caller = end.caller();
        tokio::select! {
            told = firewall::of_server(&caller, &up.host) => config.firewall = told?,
            () = ended(&mut signals, &written) => {
                tracing::info!("asked to stop; nothing has been touched");
                member.leave().await;
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    let agent = Agent::start(config, end)?;
    options.state_dir.publish(&lock, &up)?;

    while signals.asked().await == Asked::Reload {
        written.reopen();
        match read(&options) {
            Ok(new) => {
                reload(&written, log, &settings, &new.reading.settings);
                new.reading.log_values();
                settings = new.reading.settings;
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the files are not taken; everything goes on as it was");
            }
        }
    }
    tracing::info!("asked to stop; the data plane stays as it is");
    agent.stop().await;
    member.leave().await;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the agent is to end that has not started yet. Until then a reload opens the log anew,
/// and does no more.
async fn ended(signals: &mut Service, log: &Log) {
    while signals.asked().await == Asked::Reload {
        log.reopen();
        tracing::warn!("the agent waits for its server; changed files count when it starts anew");
    }
}

/// How long calls wait for their answers.
fn response_timeout(settings: &Settings) -> Duration {
    let seconds = settings.get(&default::RPC_RESPONSE_TIMEOUT);
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default().max(1))
}

/// Reads the files and makes what an agent is told of them.
fn read(options: &Options) -> anyhow::Result<Node> {
    let reading = Reading::of(&options.service.0.read(Some(SERVICE))?);
    all_of(&reading.errors)?;
    all_of(&reading.refusals())?;
    let host = options.host.look(&reading.settings, &options.state_dir)?;
    let agent = match node::config(&reading.settings, &host) {
        Ok(config) => config,
        Err(errors) => return Err(together(errors.into_iter().map(anyhow::Error::from))),
    };
    let process = Process { host: &host.name, program: PROGRAM };
    let bus = bus::options(&reading.settings, process)?;
    Ok(Node { reading, agent, bus })
}

/// Says what is other than before; what can be changed while the agent runs is changed.
fn reload(log: &Log, level_option: Option<&str>, old: &Settings, new: &Settings) {
    tracing::info!("the files are read again");
    for (old, new) in old.iter().zip(new.iter()).filter(|(old, new)| old.value != new.value) {
        let Setting { definition, place, .. } = new;
        let (group, name) = (definition.group, definition.name);
        if **definition == default::DEBUG.definition {
            tracing::info!(%place, group, name, "this option is changed");
        } else if old.definition.part != config::Part::NotNeeded {
            tracing::warn!(%place, group, name, "this option changes when the agent starts anew");
        }
    }
    log.set(level_option.unwrap_or(level(new)));
}

/// What is logged.
fn level(settings: &Settings) -> &'static str {
    if settings.get(&default::DEBUG) { "debug" } else { "info" }
}

/// Where it is logged.
fn destination(settings: &Settings) -> Destination {
    let directory = settings.get(&default::LOG_DIR).map(PathBuf::from);
    let file = match (settings.get(&default::LOG_FILE), directory) {
        (Some(file), directory) => Some(directory.unwrap_or_default().join(file)),
        (None, Some(directory)) => Some(directory.join(format!("{PROGRAM}.log"))),
        (None, None) => None,
    };
    Destination { file, stderr: settings.get(&default::USE_STDERR) }
}

/// Fails with all of them, if there are any.
fn all_of<E>(errors: &[E]) -> anyhow::Result<()>
where
    E: std::error::Error + Clone + Send + Sync + 'static,
{
    match errors {
        [] => Ok(()),
        errors => Err(together(errors.iter().cloned().map(anyhow::Error::from))),
    }
}

/// One error that says them all, each on a line.
fn together(errors: impl Iterator<Item = impl Display>) -> anyhow::Error {
    let lines: Vec<String> = errors.map(|error| format!("{error:#}")).collect();
    anyhow::anyhow!("{}", lines.join("\n")).context("the agent cannot start with these files")
}
