//! `weir demo`: the main job, shown on a private switch with real packets.
//!
//! It starts an Open vSwitch of its own and `weir up` beside it, makes a network and four virtual
//! machines through the API as any user would, lets every machine try to reach every other, and
//! sets what happened against what the rules say. Then it changes a rule under an open
//! connection. Whatever ends it, a signal too, everything it made is removed.
//!
//! `scene` says what is shown and what the rules mean, `node` runs the switch and Weir, `cast`
//! brings the machines onto the network, `act` probes them, `report` tells it to people or
//! programs. The demo knows Weir from outside only: its command line and its API.

mod act;
mod api;
mod cast;
mod interrupt;
mod node;
mod report;
mod scene;

use std::{io, process::ExitCode, time::Instant};

use self::{
    cast::Cast,
    interrupt::Interrupt,
    node::Node,
    report::{Report, Teller},
};
use crate::signal::Interrupted;

/// How the demo ends and speaks.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Options {
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
/// When the scene cannot be set, for example because we are not root, or [`Interrupted`].
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::on_signals()?;
    // Everything below waits for processes and packets, so it has a thread of its own.
    tokio::task::spawn_blocking(move || show(options, &interrupt)).await?
}

fn show(options: Options, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let mut teller = Teller::new(options.json, io::stdout());
    testkit::remove_leftovers()?;
    teller.title()?;
    teller.doing("starting Open vSwitch and Weir");
    let mut node = Node::start()?;
    let played = play(&mut node, &mut teller, interrupt, start);
    let (report, cast) = played.inspect_err(|error| {
        if !error.is::<Interrupted>() {
            teller.log(&node.log_tail());
        }
    })?;
    teller.finish(&report)?;
    if options.keep {
        teller.invitation(&node, &cast)?;
        interrupt.wait();
    }
    Ok(if report.agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn play(
    node: &mut Node,
    teller: &mut Teller<io::Stdout>,
    interrupt: &Interrupt,
    start: Instant,
) -> anyhow::Result<(Report, Cast)> {
    teller.doing("waiting for the API");
    node.wait_until_ready(interrupt)?;
    let node = &*node;
    let mut api = node.api()?;
    teller.node(node)?;
    let mut cast = Cast::call(node, &mut api, interrupt, |step| teller.doing(step))?;
    teller.cast(&cast)?;

    teller.doing("probing");
    let cells = act::probe(node, &cast, &scene::RULES)?;
    teller.cells(&cells)?;
    interrupt.check()?;

    teller.doing("changing a rule");
    let change = act::change(&mut cast, &mut api, interrupt)?;
    interrupt.check()?;
    let cells_after = act::probe(node, &cast, &scene::rules_after())?;
    teller.change(&change, &cells_after)?;

    let report = Report::new(cells, change, cells_after, start.elapsed());
    Ok((report, cast))
}
