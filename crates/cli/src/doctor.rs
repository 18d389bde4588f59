//! `weir doctor`: what will differ when Weir takes the place of Neutron's agent on this node, told
//! from its files and a look at the switch. Nothing is changed.

mod firewall;
mod switch;

use std::{fmt::Write as _, process::ExitCode};

use config::verdict::{Stray, Verdict};
use serde::Serialize;

use crate::{
    drop_in::{
        self, PROGRAM, SERVICE,
        bus::{self, Process},
        host::HostOptions,
        node,
        reading::Reading,
        service::ServiceArguments,
    },
    output::{Format, table},
    state_dir::StateDir,
};

/// Something will differ.
const DIFFERS: u8 = 1;
/// The agent would not start.
const WOULD_NOT_START: u8 = 2;

/// Which files, which host, and how to print.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Give it the arguments that neutron-openvswitch-agent has on this node. Nothing is \
                  changed.\n\n\
                  Exit status: 0 if nothing will differ, 1 if something will, 2 if 'weir agent' \
                  would not start."
)]
pub(crate) struct Options {
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    host: HostOptions,
    #[command(flatten)]
    state_dir: StateDir,
    #[command(flatten)]
    format: Format,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    outlook: Outlook,
    /// The files that were read.
    files: Vec<String>,
    /// The name under which the server will know the node.
    host: Option<String>,
    /// What the agent will not start with.
    errors: Vec<String>,
    options: Vec<Finding>,
    /// Keys that are no options.
    strays: Vec<String>,
    checks: Vec<Check>,
}

/// What is to be expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outlook {
    /// Nothing will differ.
    #[default]
    Fine,
    /// Something will.
    Differs,
    /// The agent would not start.
    WouldNotStart,
}

/// An option that is set, or that is refused.
#[derive(Debug, Serialize)]
struct Finding {
    place: String,
    group: &'static str,
    name: &'static str,
    value: String,
    verdict: String,
    says: &'static str,
}

/// Something that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    outlook: Outlook,
    says: String,
}

impl Check {
    fn new(what: impl Into<String>, outlook: Outlook, says: impl Into<String>) -> Self {
        Self { what: what.into(), outlook, says: says.into() }
    }
}

/// Prints what will differ. The exit code says whether anything will.
///
/// # Errors
/// When the report cannot be printed.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    if let Err(error) = examine(&options, &mut report).await {
        report.errors.push(format!("{error:#}"));
    }
    report.outlook = report.outlook();
    options.format.print(&report, text)?;
    Ok(match report.outlook {
        Outlook::Fine => ExitCode::SUCCESS,
        Outlook::Differs => ExitCode::from(DIFFERS),
        Outlook::WouldNotStart => ExitCode::from(WOULD_NOT_START),
    })
}

async fn examine(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let sources = options.service.0.read(Some(SERVICE))?;
    report.files = sources.files().map(|file| file.path.display().to_string()).collect();
    let reading = Reading::of(&sources);
    report.options = reading
        .findings()
        .map(|finding| Finding {
            place: finding.place.to_string(),
            group: finding.definition.group,
            name: finding.definition.name,
            value: finding.value,
            verdict: finding.verdict.to_string(),
            says: finding.definition.says,
        })
        .collect();
    report.strays = reading.strays.iter().map(stray).collect();
    report.errors =
        reading.errors.into_iter().map(|it| format!("{:#}", anyhow::Error::from(it))).collect();
    let host = options.host.look(&reading.settings, &options.state_dir)?;
    report.host = Some(node::host_name(&reading.settings, &host));
    let process = Process { host: &host.name, program: PROGRAM };
    if let Err(error) = bus::options(&reading.settings, process) {
        report.errors.push(format!("{:#}", anyhow::Error::from(error)));
    }
    match node::config(&reading.settings, &host) {
        Ok(config) => {
            let named = drop_in::firewall::named(&reading.settings);
            report.checks = switch::look(&config, named.as_deref()).await;
            report.checks.extend(named.is_none().then(firewall::not_said));
        }
        Err(errors) => {
            let errors = errors.into_iter().map(|it| format!("{:#}", anyhow::Error::from(it)));
            report.errors.extend(errors);
        }
    }
    Ok(())
}

fn stray(stray: &Stray) -> String {
    let Stray { place, group, key, is_removed } = stray;
    let says =
        if *is_removed { "is no option any more" } else { "is no option that anybody knows" };
    format!("{place}: [{group}] {key} {says}")
}

impl Report {
    fn outlook(&self) -> Outlook {
        let is = |verdict: Verdict| self.options.iter().any(|it| it.verdict == verdict.to_string());
        let checks = self.checks.iter().map(|check| check.outlook).max().unwrap_or_default();
        if !self.errors.is_empty() || is(Verdict::Refused) {
            Outlook::WouldNotStart
        } else if is(Verdict::Differs) {
            checks.max(Outlook::Differs)
        } else {
            checks
        }
    }
}

fn text(report: &Report) -> String {
    let mut text = match report.outlook {
        Outlook::Fine => "Nothing will differ.\n",
        Outlook::Differs => "'weir agent' would start, and something would differ.\n",
        Outlook::WouldNotStart => "'weir agent' would not start.\n",
    }
    .to_owned();
    for error in &report.errors {
        // A String takes everything.
        let _ = write!(text, "\nerror: {error}");
    }
    if !report.errors.is_empty() {
        text.push('\n');
    }
    let mut options: Vec<&Finding> = report.options.iter().collect();
    options.sort_by_key(|it| match it.verdict.as_str() {
        "refused" => 0,
        "differs" => 1,
        "not needed" => 2,
        _ => 3,
    });
    if !options.is_empty() {
        let rows = options.into_iter().map(|it| {
            let honoured = it.verdict == Verdict::Honoured.to_string();
            let says = if honoured { "" } else { it.says };
            [
                it.verdict.clone(),
                format!("[{}] {}", it.group, it.name),
                it.value.clone(),
                it.place.clone(),
                says.to_owned(),
            ]
        });
        text.push('\n');
        text += &table(["verdict", "option", "value", "where", "Weir"], rows.collect());
    }
    for stray in &report.strays {
        let _ = write!(text, "\n{stray}");
    }
    if !report.strays.is_empty() {
        text.push('\n');
    }
    if !report.checks.is_empty() {
        let rows = report.checks.iter().map(|Check { what, outlook, says }| {
            let outlook = match outlook {
                Outlook::Fine => "fine",
                Outlook::Differs => "differs",
                Outlook::WouldNotStart => "wrong",
            };
            [outlook.to_owned(), what.clone(), says.clone()]
        });
        text.push('\n');
        text += &table(["check", "what", "found"], rows.collect());
    }
    if report.files.is_empty() {
        text += "\nNo file was given, and none was found where the agent looks for them.\n";
    }
    text
}
