//! `weir demo`: the main job, shown on private switches with real packets.
//!
//! It starts an Open vSwitch of its own for each host, a server, and an agent beside each switch,
//! makes a network and four virtual machines through the API as any user would, lets every machine
//! try to reach every other, and sets what happened against what the rules say. Then it changes a
//! rule under an open connection. Whatever ends it, a signal too, everything it made is removed.
//!
//! `scene` says what is shown and what the rules mean, `cloud` runs the switches and Weir, `cast`
//! brings the machines onto the network, `act` probes them, `report` tells it to people or
//! programs. Server and agents are those of `weir up`, with its options; beyond that the demo
//! knows Weir from outside only: its command line and its API.

mod act;
mod api;
mod cast;
mod cloud;
mod interrupt;
mod report;
mod scene;

use std::{io, process::ExitCode, time::Instant};

use self::{
    cast::Cast,
    cloud::Cloud,
    interrupt::Interrupt,
    report::{Report, Teller},
    scene::Carrier,
};

/// What is shown, and how the demo ends and speaks.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// How many hosts there are; the machines take turns
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) hosts: u8,
    /// What carries the network from host to host
    #[arg(long = "type", value_name = "TYPE", default_value = "vlan")]
    pub(crate) carrier: Carrier,
    /// Leave everything running at the end, tell how to talk to it, and wait for Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shows the demo. The exit code is 0 only if every probe agreed with the rules, 1 if one did
/// not.
///
/// # Errors
/// When the scene cannot be set, for example because we are not root, or somebody interrupts.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    // Everything below waits for processes and packets, so it has a thread of its own.
    tokio::task::spawn_blocking(move || show(options, &interrupt)).await?
}

fn show(options: Options, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let mut teller = Teller::new(options.json, io::stdout());
    testkit::remove_leftovers()?;
    teller.title(options.hosts, options.carrier)?;
    teller.doing("starting Open vSwitch and Weir");
    let cloud = Cloud::start(options.hosts, options.carrier)?;
    let (report, cast) = play(&cloud, &mut teller, interrupt, start)?;
    teller.finish(&report)?;
    if options.keep {
        teller.invitation(&cloud, &cast)?;
        interrupt.wait();
    }
    Ok(if report.agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(
    cloud: &Cloud,
    teller: &mut Teller<io::Stdout>,
    interrupt: &Interrupt,
    start: Instant,
) -> anyhow::Result<(Report, Cast)> {
    teller.doing("waiting for the agents");
    cloud.wait_until_ready(interrupt)?;
    let mut api = cloud.api()?;
    teller.cloud(cloud)?;
    let mut cast = Cast::call(cloud, &mut api, interrupt, |step| teller.doing(step))?;
    teller.cast(cloud, &cast)?;

    teller.doing("probing");
    let cells = act::probe(cloud, &cast, &scene::RULES)?;
    teller.cells(&cells)?;
    interrupt.check()?;

    teller.doing("changing a rule");
    let change = act::change(&mut cast, &mut api, interrupt)?;
    interrupt.check()?;
    let cells_after = act::probe(cloud, &cast, &scene::rules_after())?;
    teller.change(&change, &cells_after)?;

    let report = Report::new((cloud, &cast), cells, change, cells_after, start.elapsed());
    Ok((report, cast))
}
