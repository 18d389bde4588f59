//! `weir bench scale`: many ports that share a group of many rules, and an agent that starts.
//!
//! The scenario is the one that Neutron's documentation warns of: one VLAN network, all ports in
//! one security group whose rules are port ranges with a common beginning, 3000-3000, 3000-3001
//! and so on. Ports and rules are there before the agent starts. It starts twice: with an empty
//! integration bridge, and once more with nothing changed.
//!
//! `scene` makes the switch, the network and the ports, `node` is the `weir up` that is measured.

mod node;
mod scene;

use std::process::ExitCode;

use serde::Serialize;

use self::scene::Scene;
use super::{progress::Step, statistic::median};
use crate::{
    output::{Format, table},
    signal::{Interrupted, Termination},
};

/// How much of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Everything runs on a private Open vSwitch with the userspace datapath, \
                        which is removed at the end, also after Ctrl-C. Needs root.")]
pub(crate) struct Options {
    /// Ports, all on this host and in one security group
    #[arg(long, value_name = "NUMBER", default_value_t = 400,
        value_parser = clap::value_parser!(u16).range(1..=4000))]
    ports: u16,
    /// Rules of that group
    #[arg(long, value_name = "NUMBER", default_value_t = 1000,
        value_parser = clap::value_parser!(u16).range(1..=60000))]
    rules: u16,
    /// How often to measure; medians are shown
    #[arg(long, value_name = "NUMBER", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    #[command(flatten)]
    format: Format,
}

/// What was measured: medians over the runs.
#[derive(Debug, Serialize)]
struct Figures {
    ports: u16,
    rules: u16,
    /// To create all rules through the API, one by one.
    rules_seconds: f64,
    /// To create all ports through the API, one by one.
    ports_seconds: f64,
    #[serde(flatten)]
    medians: Run,
    runs: Vec<Run>,
}

/// One run: a start with an empty bridge, and a start with nothing changed.
#[derive(Debug, Clone, Serialize)]
struct Run {
    /// From the start of the process until the last port is up, the bridge being empty.
    seconds_to_ready: f64,
    /// Flows of the integration bridge then.
    flows: u64,
    /// Flow modifications sent after the restart.
    restart_flow_mods: u64,
    /// From the restart of the process until the last port is up.
    restart_seconds: f64,
    /// The most memory that either process has had resident.
    peak_rss_bytes: u64,
}

/// What is to be reached with 400 ports and 1000 rules on two cores.
const GOALS: Goals = Goals {
    rules_seconds: 2.0,
    seconds_to_ready: 1.0,
    flows: 2600,
    restart_flow_mods: 0,
    restart_seconds: 0.5,
    peak_rss_bytes: 60_000_000,
};

struct Goals {
    rules_seconds: f64,
    seconds_to_ready: f64,
    flows: u64,
    restart_flow_mods: u64,
    restart_seconds: f64,
    peak_rss_bytes: u64,
}

/// Measures and prints.
///
/// # Errors
/// When the scene cannot be set, for example because we are not root.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut termination = Termination::listen()?;
    let figures = tokio::select! {
        figures = measure(&options) => figures?,
        // The scene goes with the future that was measuring.
        () = termination.came() => return Err(Interrupted.into()),
    };
    options.format.print(&figures, text)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options) -> anyhow::Result<Figures> {
    testkit::remove_leftovers()?;
    let step = Step::begin("starting Open vSwitch", 1);
    let mut scene = Scene::set()?;
    drop(step);
    let made = scene.fill(options.ports, options.rules).await?;
    scene.plug(&made.interfaces)?;

    let mut runs = Vec::new();
    for number in 1..=options.runs {
        let step =
            Step::begin(&format!("run {number} of {}: start", options.runs), made.interfaces.len());
        scene.forget(&made.interfaces)?;
        let first = scene.start()?;
        let first = first.measure(&scene, made.interfaces.len(), &step).await?;
        drop(step);
        let step = Step::begin(
            &format!("run {number} of {}: restart", options.runs),
            made.interfaces.len(),
        );
        let second = scene.start()?;
        let second = second.measure(&scene, made.interfaces.len(), &step).await?;
        runs.push(Run {
            seconds_to_ready: first.seconds,
            flows: first.flows,
            restart_flow_mods: second.flow_mods,
            restart_seconds: second.seconds,
            peak_rss_bytes: first.peak_rss_bytes.max(second.peak_rss_bytes),
        });
    }
    Ok(Figures {
        ports: options.ports,
        rules: options.rules,
        rules_seconds: made.rules_seconds,
        ports_seconds: made.ports_seconds,
        medians: medians(&runs),
        runs,
    })
}

/// The median of each figure.
fn medians(runs: &[Run]) -> Run {
    let number = |figure: fn(&Run) -> u64| median(runs.iter().map(figure));
    let seconds = |figure: fn(&Run) -> f64| median(runs.iter().map(figure));
    Run {
        seconds_to_ready: seconds(|run| run.seconds_to_ready),
        flows: number(|run| run.flows),
        restart_flow_mods: number(|run| run.restart_flow_mods),
        restart_seconds: seconds(|run| run.restart_seconds),
        peak_rss_bytes: number(|run| run.peak_rss_bytes),
    }
}

fn text(figures: &Figures) -> String {
    let Figures { ports, rules, medians, .. } = figures;
    // The goals are for one size only.
    let goals = (*ports, *rules) == (400, 1000);
    let seconds = |name: &str, value: f64, goal: f64| {
        row(name, format!("{value:.3}"), goals.then(|| format!("{goal}")), value <= goal)
    };
    let count = |name: &str, value: u64, goal: u64| {
        row(name, value.to_string(), goals.then(|| goal.to_string()), value <= goal)
    };
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    let rows = vec![
        seconds(
            "start until the last port is up, s",
            medians.seconds_to_ready,
            GOALS.seconds_to_ready,
        ),
        count("flows in br-int", medians.flows, GOALS.flows),
        count(
            "flow modifications after a restart",
            medians.restart_flow_mods,
            GOALS.restart_flow_mods,
        ),
        seconds(
            "restart until the last port is up, s",
            medians.restart_seconds,
            GOALS.restart_seconds,
        ),
        row(
            "peak resident memory, MB",
            megabytes(medians.peak_rss_bytes),
            goals.then(|| megabytes(GOALS.peak_rss_bytes)),
            medians.peak_rss_bytes <= GOALS.peak_rss_bytes,
        ),
        seconds(
            "creating the rules through the API, s",
            figures.rules_seconds,
            GOALS.rules_seconds,
        ),
        row(
            "creating the ports through the API, s",
            format!("{:.3}", figures.ports_seconds),
            None,
            true,
        ),
    ];
    let of = match figures.runs.len() {
        1 => String::new(),
        runs => format!(", medians of {runs} runs"),
    };
    format!(
        "{ports} ports, {rules} rules{of}\n\n{}",
        table(["figure", "measured", "goal", ""], rows)
    )
}

fn row(name: &str, value: String, goal: Option<String>, reached: bool) -> [String; 4] {
    let verdict = match (&goal, reached) {
        (None, _) => "",
        (Some(_), true) => "reached",
        (Some(_), false) => "missed",
    };
    let goal = goal.map_or_else(|| "-".to_owned(), |goal| format!("<= {goal}"));
    [name.to_owned(), value, goal, verdict.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: f64, flows: u64) -> Run {
        Run {
            seconds_to_ready: seconds,
            flows,
            restart_flow_mods: 0,
            restart_seconds: seconds / 4.0,
            peak_rss_bytes: 30_000_000,
        }
    }

    #[test]
    fn medians_of_runs() {
        let medians = medians(&[run(0.9, 3), run(0.5, 1), run(0.7, 2)]);
        assert_eq!((medians.seconds_to_ready, medians.flows), (0.7, 2));
    }

    #[test]
    fn goals_stand_beside_the_figures_they_are_for() {
        let mut figures = Figures {
            ports: 400,
            rules: 1000,
            rules_seconds: 2.5,
            ports_seconds: 3.25,
            medians: run(0.8, 2442),
            runs: vec![run(0.8, 2442)],
        };
        expect_test::expect![[r#"
            400 ports, 1000 rules

            FIGURE                                 MEASURED  GOAL
            start until the last port is up, s     0.800     <= 1     reached
            flows in br-int                        2442      <= 2600  reached
            flow modifications after a restart     0         <= 0     reached
            restart until the last port is up, s   0.200     <= 0.5   reached
            peak resident memory, MB               30.0      <= 60.0  reached
            creating the rules through the API, s  2.500     <= 2     missed
            creating the ports through the API, s  3.250     -
        "#]]
        .assert_eq(&text(&figures));
        figures.ports = 10;
        assert!(!text(&figures).contains("<="));
    }

    #[test]
    fn the_figures_stand_at_the_top_of_the_json() {
        let figures = Figures {
            ports: 1,
            rules: 2,
            rules_seconds: 0.5,
            ports_seconds: 0.5,
            medians: run(1.0, 3),
            runs: vec![],
        };
        let json = serde_json::to_value(figures).unwrap();
        for key in [
            "seconds_to_ready",
            "flows",
            "restart_flow_mods",
            "restart_seconds",
            "peak_rss_bytes",
            "ports",
            "rules",
            "rules_seconds",
            "ports_seconds",
        ] {
            assert!(json[key].is_number(), "{key}");
        }
    }
}
