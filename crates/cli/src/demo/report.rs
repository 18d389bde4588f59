//! Tells what happened: text for people as it goes, or one JSON document at the end.

use std::{
    io::{self, Write},
    time::Duration,
};

use comfy_table::{Table, presets};
use indicatif::ProgressBar;
use serde_json::{Value, json};
use testkit::Outcome;

use super::{
    act::{Cell, Change, DATABASE, HOLDER, NEWCOMER},
    cast::Cast,
    cloud::{Cloud, Host, endpoint},
    scene::{
        Carrier, DATABASE_FROM_ADMIN, DATABASE_FROM_WEB, MACHINES, PHYSICAL_NETWORK, RULES,
        SERVICES, SUBNET,
    },
};

/// What came of the demo.
#[derive(Debug)]
pub(super) struct Report {
    /// Whether everything was as the rules say.
    pub(super) agrees: bool,
    /// Probes that agreed, of all.
    agreed: (usize, usize),
    seconds: f64,
    document: Value,
}

impl Report {
    /// Puts the parts together.
    pub(super) fn new(
        (cloud, cast): (&Cloud, &Cast),
        before: Vec<Cell>,
        change: Change,
        after: Vec<Cell>,
        took: Duration,
    ) -> Self {
        let cells = before.iter().chain(&after);
        let agreed = (cells.clone().filter(|cell| cell.agrees()).count(), cells.count());
        let agrees = agreed.0 == agreed.1 && change.agrees();
        let seconds = took.as_secs_f64();
        let document = json!({
            "agrees": agrees,
            "seconds": seconds,
            "network": {
                "type": cloud.carrier().name(),
                "segmentation_id": cast.segment(),
                "subnet": SUBNET,
            },
            "hosts": cloud.hosts().iter().map(Host::name).collect::<Vec<_>>(),
            "machines": MACHINES.each_ref().map(|machine| machine.document(cast.host(machine))),
            "rules": RULES.map(|rule| rule.to_string()),
            "cells": documents(&before),
            "change": {
                "removed": DATABASE_FROM_WEB.to_string(),
                "added": DATABASE_FROM_ADMIN.to_string(),
                "effect": change,
                "cells": documents(&after),
            },
        });
        Self { agrees, agreed, seconds, document }
    }
}

fn documents(cells: &[Cell]) -> Vec<Value> {
    let document = |cell: &Cell| {
        json!({
            "from": cell.from.name,
            "to": cell.to.name,
            "service": cell.service.to_string(),
            "rule": cell.rule.map(|rule| rule.to_string()),
            "outcome": cell.outcome.to_string(),
            "agrees": cell.agrees(),
        })
    };
    cells.iter().map(document).collect()
}

/// Writes to standard output, and what is going on to standard error while that is a terminal.
#[derive(Debug)]
pub(super) struct Teller<W> {
    json: bool,
    out: W,
    spinner: ProgressBar,
}

impl<W: Write> Teller<W> {
    /// Tells it as JSON, or else as text.
    pub(super) fn new(json: bool, out: W) -> Self {
        let spinner = if json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self { json, out, spinner }
    }

    /// What is going on, until something else is said.
    pub(super) fn doing(&self, step: &str) {
        self.spinner.set_message(step.to_owned());
    }

    /// What will be shown.
    pub(super) fn title(&mut self, hosts: u8, carrier: Carrier) -> io::Result<()> {
        let switches = match hosts {
            1 => "One Open vSwitch".to_owned(),
            hosts => format!("{hosts} hosts with an Open vSwitch each"),
        };
        self.say(&format!(
            "{switches}, one {} network, four machines in three security groups.\n",
            carrier.title()
        ))
    }

    /// Where it runs.
    pub(super) fn cloud(&mut self, cloud: &Cloud) -> io::Result<()> {
        self.say(&format!("  API       {}", endpoint()))?;
        for host in cloud.hosts() {
            let (name, switch) = (host.name(), host.switch());
            let (run_dir, namespace) = (switch.run_dir().display(), switch.namespace().name());
            self.say(&format!("  {name:<8}  switch in {run_dir}, namespace {namespace}"))?;
        }
        Ok(())
    }

    /// Who is there.
    pub(super) fn cast(&mut self, cloud: &Cloud, cast: &Cast) -> io::Result<()> {
        let (carrier, segment) = (cloud.carrier().title(), cast.segment());
        let place = match cloud.carrier() {
            Carrier::Vlan => format!("on {PHYSICAL_NETWORK}"),
            Carrier::Vxlan | Carrier::Gre | Carrier::Geneve => "between the hosts".to_owned(),
        };
        self.say(&format!("  network   {SUBNET}, {carrier} {segment} {place}\n"))?;
        for machine in &MACHINES {
            let (name, group, host) = (machine.name, machine.group, cast.host(machine));
            let address = machine.address;
            self.say(&format!("  {name:<8}  {address:<12}  in group {group:<5}  on {host}"))?;
        }
        self.say("")?;
        for rule in RULES {
            self.say(&format!(
                "  {:<6} admits {:<9} from {}",
                rule.group, rule.service, rule.remote
            ))?;
        }
        self.say("")
    }

    /// Who reaches whom.
    pub(super) fn cells(&mut self, cells: &[Cell]) -> io::Result<()> {
        let agreed = cells.iter().filter(|cell| cell.agrees()).count();
        let total = cells.len();
        self.say(&format!("Who reaches whom: {agreed} of {total} probes as the rules say.\n"))?;
        self.say(&table(cells))?;
        self.say("")
    }

    /// What the change did.
    pub(super) fn change(&mut self, change: &Change, after: &[Cell]) -> io::Result<()> {
        let (removed, added) = (DATABASE_FROM_WEB, DATABASE_FROM_ADMIN);
        let agreed = after.iter().filter(|cell| cell.agrees()).count();
        let total = after.len();
        self.say(&format!("A rule changes while {HOLDER} holds a connection to {DATABASE}.\n"))?;
        let held = if change.held_before { "answers" } else { "does NOT answer" };
        let kept_out = if change.filtered_before { "is filtered" } else { "is NOT filtered" };
        self.say(&format!("  before    the connection {held}, {NEWCOMER} {kept_out}"))?;
        self.say(&format!("  removed   {removed}"))?;
        self.say(&format!("  added     {added}"))?;
        let cut = within_ms("is cut", "is NOT cut", change.cut_within_ms);
        let admitted = within_ms("is admitted", "is NOT admitted", change.admitted_within_ms);
        self.say(&format!("  after     the connection {cut}, {NEWCOMER} {admitted}"))?;
        self.say(&format!("  again     {agreed} of {total} probes as the rules now say\n"))?;
        if agreed < total { self.say(&format!("{}\n", table(after))) } else { Ok(()) }
    }

    /// The end of it.
    pub(super) fn finish(&mut self, report: &Report) -> io::Result<()> {
        self.spinner.finish_and_clear();
        if self.json {
            return writeln!(self.out, "{:#}", report.document);
        }
        let (agreed, total) = report.agreed;
        let verdict = if report.agrees { "All as the rules say" } else { "NOT as the rules say" };
        self.say(&format!("{verdict}: {agreed} of {total} probes, {:.1} s.", report.seconds))
    }

    /// How to talk to what is left running.
    pub(super) fn invitation(&mut self, cloud: &Cloud, cast: &Cast) -> io::Result<()> {
        let machine = MACHINES.first().and_then(|machine| cast.vm(machine.name).ok());
        let machine = machine.map_or("NAME", |vm| vm.namespace().name());
        let to = MACHINES.last().map_or_else(String::new, |machine| machine.address.to_string());
        let mut text = "\nIt is still running. In another terminal:\n".to_owned();
        for host in cloud.hosts() {
            let switch = host.switch();
            text += &format!(
                "\n  ip netns exec {} bash    # {}\n  \
                 export OS_AUTH_TYPE=none OS_ENDPOINT={} OVS_RUNDIR={} WEIR_STATE_DIR={}\n",
                switch.namespace().name(),
                host.name(),
                endpoint(),
                switch.run_dir().display(),
                host.state_dir().display(),
            );
        }
        text += &format!(
            "\nand there\n\n  \
             openstack port list\n  \
             {} status\n  \
             ovs-ofctl -O OpenFlow14 dump-flows br-int\n  \
             ip netns exec {machine} ping {to}\n\n\
             Ctrl-C here, or kill {}, ends it and removes everything.",
            cloud.program(),
            std::process::id(),
        );
        // With --json standard output holds one document and nothing else.
        if self.json { writeln!(io::stderr(), "{text}") } else { self.say(&text) }
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let out = &mut self.out;
        self.spinner.suspend(|| writeln!(out, "{line}"))
    }
}

fn within_ms(yes: &str, no: &str, ms: Option<u128>) -> String {
    ms.map_or_else(|| no.to_owned(), |ms| format!("{yes} within {ms} ms"))
}

/// One line for each machine and service, one column for each machine that asks.
fn table(cells: &[Cell]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let names = MACHINES.iter().map(|machine| machine.name);
    table.set_header(["to", "service"].into_iter().chain(names).chain(["admitted by"]));
    for to in &MACHINES {
        for service in SERVICES {
            let row: Vec<&Cell> =
                cells.iter().filter(|cell| cell.to == to && cell.service == service).collect();
            let name = if SERVICES.first() == Some(&service) { to.name } else { "" };
            let mut line = vec![name.to_owned(), service.to_string()];
            line.extend(MACHINES.iter().map(|from| {
                row.iter()
                    .find(|cell| cell.from == from)
                    .map_or_else(String::new, |cell| mark(cell))
            }));
            let rule = row.iter().find_map(|cell| cell.rule);
            line.push(rule.map_or_else(String::new, |rule| format!("from {}", rule.remote)));
            table.add_row(line);
        }
    }
    let lines = table.lines().map(|line| format!(" {}", line.trim_end()));
    lines.collect::<Vec<_>>().join("\n")
}

fn mark(cell: &Cell) -> String {
    let outcome = match cell.outcome {
        Outcome::Filtered if cell.agrees() => "·".to_owned(),
        outcome => outcome.to_string(),
    };
    if cell.agrees() { outcome } else { format!("{outcome} (WRONG)") }
}
