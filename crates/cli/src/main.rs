//! The binary `weir`: every command is a module, and this file only tells them apart.

mod api;
mod bench;
mod demo;
mod doctor;
mod drop_in;
mod files;
mod log;
mod migrate_driver;
mod output;
mod plug;
mod show;
mod signal;
mod state_dir;
mod status;
mod trace;
mod up;
mod verify;

use std::{
    env,
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use clap::{Parser, Subcommand};

use crate::signal::Interrupted;

/// Connects virtual machines to Open vSwitch and firewalls them there
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXIT_STATUS, propagate_version = true)]
struct Cli {
    /// What is logged to standard error: error, warn, info, debug, trace, off, or directives such
    /// as 'info,agent=debug' [default: info for 'up', warn for the others]
    #[arg(long, global = true, value_name = "LEVEL", env = "WEIR_LOG", hide_env_values = true)]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// The exit statuses that all commands share.
const EXIT_STATUS: &str = "Exit status:\n  \
    0  it is done\n  \
    1  it could not be done; standard error says why\n  \
    2  wrong usage\n  \
    3  'status': something is not up\n  \
    4  'verify': a verdict is not what the security groups say\n  \
    5  'migrate-driver': a port could not be moved, and is as it was\n  \
    1, 2  'doctor': something will differ; 'weir agent' would not start\n  \
    130  interrupted by a signal; what was made has been removed";

/// As a shell reports a program that SIGINT has ended.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the API server and the agent of this machine in one process
    Up(Box<up::Options>),
    /// Make the interface of a port and plug it into Open vSwitch
    Plug(plug::Options),
    /// Unplug a port and remove its interface
    Unplug(plug::unplug::Options),
    /// Show how this machine is: connections, networks, ports, and why a port is not up
    Status(status::Options),
    /// Check that the flows of the switch do what the security groups say
    Verify(verify::Options),
    /// Follow one packet: table by table, and the rule or check that decides it
    Trace(trace::Options),
    /// Move running machines between the firewall drivers openvswitch and iptables_hybrid
    MigrateDriver(migrate_driver::Options),
    /// Show what the server has
    #[command(subcommand)]
    Show(show::What),
    /// Run the agent of this machine in the place of neutron-openvswitch-agent, with its files
    Agent(Box<drop_in::run::Options>),
    /// Say what will differ when Weir takes the place of neutron-openvswitch-agent on this machine
    Doctor(Box<doctor::Options>),
    /// Show the main job on a private switch, with real packets
    Demo(demo::Options),
    /// Measure
    #[command(subcommand)]
    Bench(bench::What),
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(called(env::args_os()));
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            // There is no one else to tell when standard error is closed.
            let _told = writeln!(io::stderr(), "weir: {error:#}");
            if error.is::<Interrupted>() { ExitCode::from(INTERRUPTED) } else { ExitCode::FAILURE }
        }
    }
}

/// The arguments; under the name of Neutron's agent `weir` is `weir agent`.
fn called(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let name = arguments.first().and_then(|first| Path::new(first).file_name());
    if name.is_some_and(|name| name == drop_in::PROGRAM) {
        arguments.insert(1, "agent".into());
    }
    arguments
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let default = if matches!(cli.command, Command::Up(_)) { "info" } else { "warn" };
    // An agent logs as its files say.
    if !matches!(cli.command, Command::Agent(_)) {
        log::start(cli.log.as_deref().unwrap_or(default))?;
    }
    // One thread carries all of it but the agent: both wait far more than they compute, and every
    // further thread costs memory for an allocator of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.command {
            Command::Up(options) => up::run(*options).await,
            Command::Plug(options) => plug::run(options).await,
            Command::Unplug(options) => plug::unplug::run(options).await,
            Command::Status(options) => status::run(options).await,
            Command::Verify(options) => verify::run(options).await,
            Command::Trace(options) => trace::run(options).await,
            Command::MigrateDriver(options) => migrate_driver::run(options).await,
            Command::Show(what) => show::run(what).await,
            Command::Agent(options) => drop_in::run::run(*options, cli.log.as_deref()).await,
            Command::Doctor(options) => doctor::run(*options).await,
            Command::Demo(options) => demo::run(options).await,
            Command::Bench(what) => bench::run(what).await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn under_the_name_of_neutrons_agent_it_is_one() {
        let called = |line: &str| {
            let words = called(line.split(' ').map(OsString::from));
            words.join(std::ffi::OsStr::new(" ")).into_string().unwrap()
        };
        assert_eq!(
            called("/usr/bin/neutron-openvswitch-agent --config-file a"),
            "/usr/bin/neutron-openvswitch-agent agent --config-file a"
        );
        assert_eq!(called("/usr/bin/weir status"), "/usr/bin/weir status");
    }

    #[test]
    fn no_two_options_of_a_command_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
