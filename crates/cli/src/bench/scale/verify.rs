//! `weir bench verify`: how much of a large node `weir verify` looks at, and how long that takes.
//!
//! The scene is that of `weir bench scale`, with all ports up.

use std::{process::ExitCode, time::Instant};

use agent::verify::Report;
use serde::Serialize;

use super::{Scene, Size};
use crate::{
    bench::{self, goal, progress::Step, statistic::median},
    output::{Format, table},
};

/// How long it may take until the answer is there, in seconds.
const GOAL: f64 = 5.0;

/// How much of it.
#[derive(Debug, clap::Args)]
#[command(after_help = bench::SCENE)]
pub(crate) struct Options {
    #[command(flatten)]
    size: Size,
    /// How often to measure; medians are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    #[command(flatten)]
    format: Format,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Figures {
    #[serde(flatten)]
    size: Size,
    /// From the question until the answer was there, the median.
    seconds: f64,
    /// Medians.
    verdicts: u64,
    traced: u64,
    /// Of all runs.
    differ: u64,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    seconds: f64,
    report: Report,
}

/// Measures and prints.
///
/// # Errors
/// When the scene cannot be set, for example because we are not root.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    bench::report(options.format, measure(&options), text).await
}

async fn measure(options: &Options) -> anyhow::Result<Figures> {
    testkit::remove_leftovers()?;
    let Options { size, runs, .. } = *options;
    size.check()?;
    let step = Step::begin("starting Open vSwitch", 1);
    let scene = Scene::set()?;
    drop(step);
    let made = scene.fill(size).await?;
    scene.plug(&made.interfaces)?;
    let step = Step::begin("starting", made.interfaces.len());
    let mut node = scene.start()?;
    node.ready(made.interfaces.len(), &step).await?;
    drop(step);

    let step = Step::begin("verifying", runs.into());
    let mut measured = Vec::new();
    for number in 1..=runs {
        let start = Instant::now();
        let report = agent::admin::verify(node.admin_socket()).await?;
        measured.push(Run { seconds: start.elapsed().as_secs_f64(), report });
        step.reached(number.into());
    }
    node.stop()?;
    Ok(Figures {
        size,
        seconds: median(measured.iter().map(|run| run.seconds)),
        verdicts: median(measured.iter().map(|run| run.report.checked)),
        traced: median(measured.iter().map(|run| run.report.switch.traced)),
        differ: measured.iter().map(|run| run.report.differ + run.report.switch.differ).sum(),
        runs: measured,
    })
}

fn text(figures: &Figures) -> String {
    let Figures { size: Size { shape, ports, rules }, seconds, verdicts, traced, .. } = figures;
    let least = |figure: fn(&Report) -> usize| {
        figures.runs.iter().map(|run| figure(&run.report)).min().unwrap_or(0)
    };
    let share = |name: &str, checked: usize, all: usize| {
        goal::row(name, checked.to_string(), Some((format!("{all}"), checked >= all)))
    };
    let goal = Some((format!("<= {GOAL}"), *seconds <= GOAL));
    let rows = vec![
        goal::row("until the answer is there, s", format!("{seconds:.3}"), goal),
        goal::row("verdicts checked", verdicts.to_string(), None),
        goal::row(
            "of these differ",
            figures.differ.to_string(),
            Some(("0".to_owned(), figures.differ == 0)),
        ),
        share(
            "ports looked at",
            least(|report| report.ports_checked),
            least(|report| report.ports),
        ),
        share(
            "policies looked at",
            least(|report| report.policies_checked),
            least(|report| report.policies),
        ),
        goal::row("packets that the switch traced", traced.to_string(), None),
    ];
    let shape = format!("{shape:?}").to_lowercase();
    format!(
        "{ports} ports, {rules} rules ({shape}), medians of {} runs\n\n{}",
        figures.runs.len(),
        table(["figure", "measured", "goal", ""], rows)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_stand_beside_the_figures() {
        let report = Report {
            ports: 400,
            ports_checked: 400,
            policies: 2,
            policies_checked: 1,
            ..Report::default()
        };
        let figures = Figures {
            size: Size { shape: super::super::Shape::Merged, ports: 400, rules: 1000 },
            seconds: 3.25,
            verdicts: 500_000,
            traced: 256,
            differ: 0,
            runs: vec![Run { seconds: 3.25, report }],
        };
        expect_test::expect![[r#"
            400 ports, 1000 rules (merged), medians of 1 runs

            FIGURE                          MEASURED  GOAL
            until the answer is there, s    3.250     <= 5  reached
            verdicts checked                500000    -
            of these differ                 0         0     reached
            ports looked at                 400       400   reached
            policies looked at              1         2     missed
            packets that the switch traced  256       -
        "#]]
        .assert_eq(&text(&figures));
    }
}
