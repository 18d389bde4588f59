//! What the machines do: everyone asks everyone, and one holds a connection while its rule goes.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde::Serialize;
use testkit::{Outcome, PATIENCE, Probe, Question};

use super::{
    api::Api,
    cast::Cast,
    cloud::Cloud,
    interrupt::Interrupt,
    scene::{DATABASE_FROM_ADMIN, DATABASE_FROM_WEB, MACHINES, Machine, Rule, SERVICES, Service},
};

/// Who holds the connection, who gets one later, and with whom.
pub(super) const HOLDER: &str = "web1";
/// Who is admitted by the change.
pub(super) const NEWCOMER: &str = "admin1";
/// The machine whose rule changes.
pub(super) const DATABASE: &str = "db1";
/// The port that the rule is about.
const PORT: u16 = 5432;
/// A connection that brings no echo for so long is cut.
const SILENCE: Duration = Duration::from_millis(250);
/// How long the newcomer first waits for an answer.
const FIRST_TRY: Duration = Duration::from_millis(5);

/// One machine asking another for one service.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) from: &'static Machine,
    pub(super) to: &'static Machine,
    pub(super) service: Service,
    /// The rule that admits it, or none: then it must be filtered.
    pub(super) rule: Option<Rule>,
    pub(super) outcome: Outcome,
}

/// What the change of a rule did. Times count from the API's answer to the change.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Change {
    /// Whether the connection worked before.
    pub(super) held_before: bool,
    /// Whether the newcomer was kept out before.
    pub(super) filtered_before: bool,
    /// Milliseconds within which the open connection brought nothing through any more.
    pub(super) cut_within_ms: Option<u128>,
    /// Milliseconds within which the newcomer was admitted.
    pub(super) admitted_within_ms: Option<u128>,
}

impl Cell {
    /// Whether the packets did what the rules say.
    pub(super) fn agrees(&self) -> bool {
        self.outcome == if self.rule.is_some() { Outcome::Reached } else { Outcome::Filtered }
    }
}

impl Change {
    /// Whether the one was cut and the other admitted, and not before.
    pub(super) fn agrees(&self) -> bool {
        self.held_before
            && self.filtered_before
            && self.cut_within_ms.is_some()
            && self.admitted_within_ms.is_some()
    }
}

/// Lets every machine ask every other for every service, all at once.
///
/// # Errors
/// When a machine is missing.
pub(super) fn probe(cloud: &Cloud, cast: &Cast, rules: &[Rule]) -> anyhow::Result<Vec<Cell>> {
    // The datapaths follow the flows some milliseconds behind; this is not about those.
    cloud.settle()?;
    let mut cells = Vec::new();
    let mut probes = Vec::new();
    for to in &MACHINES {
        for service in SERVICES {
            for from in MACHINES.iter().filter(|from| *from != to) {
                let question = match service {
                    Service::Tcp(port) => Question::Tcp((to.address, port).into()),
                    Service::Ping => Question::Ping(to.address),
                };
                probes.push(Probe { from: cast.vm(from.name)?, question });
                let rule = rules.iter().find(|rule| rule.admits(from, to, service)).copied();
                cells.push(Cell { from, to, service, rule, outcome: Outcome::Filtered });
            }
        }
    }
    for (cell, outcome) in cells.iter_mut().zip(testkit::probe_all(&probes)) {
        cell.outcome = outcome;
    }
    Ok(cells)
}

/// Opens a connection to the database, replaces the rule that admits it by one that admits
/// somebody else, and watches both.
///
/// # Errors
/// When the API refuses, or the connection cannot be opened at all.
pub(super) fn change(
    cast: &mut Cast,
    api: &mut Api<'_>,
    interrupt: &Interrupt,
) -> anyhow::Result<Change> {
    let database = MACHINES.iter().find(|machine| machine.name == DATABASE);
    let to = SocketAddr::new(database.context("no database among the machines")?.address, PORT);
    let mut held = cast.vm(HOLDER)?.open_stream(to, PATIENCE)?;
    let held_before = held.exchange(PATIENCE) == Outcome::Reached;
    let filtered_before = cast.vm(NEWCOMER)?.connect_tcp(to, PATIENCE) == Outcome::Filtered;

    cast.add_rule(api, DATABASE_FROM_ADMIN)?;
    cast.delete_rule(api, DATABASE_FROM_WEB)?;
    let changed = Instant::now();
    let newcomer = cast.vm(NEWCOMER)?;
    let (cut, admitted) = std::thread::scope(|scope| {
        let cut = scope.spawn(|| {
            interrupt.until("the connection to be cut", || {
                let asked = changed.elapsed();
                Ok((held.exchange(SILENCE) != Outcome::Reached).then_some(asked))
            })
        });
        let admitted = interrupt.until("the newcomer to be admitted", || {
            // Short tries at first, so that one that comes too early costs little time.
            let patience = changed.elapsed().max(FIRST_TRY);
            let reached = newcomer.connect_tcp(to, patience) == Outcome::Reached;
            Ok(reached.then(|| changed.elapsed()))
        });
        (cut.join(), admitted)
    });
    let Ok(cut) = cut else { bail!("the thread that held the connection has panicked") };
    interrupt.check()?;
    // It must stay cut, not only falter.
    let stays_cut = held.exchange(SILENCE) != Outcome::Reached;
    Ok(Change {
        held_before,
        filtered_before,
        cut_within_ms: cut.ok().filter(|_| stays_cut).map(whole_ms),
        admitted_within_ms: admitted.ok().map(whole_ms),
    })
}

/// Milliseconds, a begun one counted whole.
fn whole_ms(time: Duration) -> u128 {
    time.as_micros().div_ceil(1000)
}
