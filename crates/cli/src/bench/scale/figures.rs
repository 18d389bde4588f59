//! What was measured, and what is to be reached.

use serde::Serialize;

use super::{
    super::{goal, statistic::median},
    Size,
    shape::Shape,
};
use crate::output::table;

/// What was measured: medians over the runs.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    #[serde(flatten)]
    pub(super) size: Size,
    /// To create all rules through the API, in the first shape one by one, else in lists.
    pub(super) rules_seconds: f64,
    /// To create all ports through the API, one by one.
    pub(super) ports_seconds: f64,
    /// The memory that is resident in a process with nothing plugged in.
    pub(super) idle_rss_bytes: u64,
    #[serde(flatten)]
    pub(super) medians: Run,
    pub(super) runs: Vec<Run>,
}

/// One run: a start with an empty bridge, and a start with nothing changed.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Run {
    /// From the start of the process until the last port is up, the bridge being empty.
    pub(super) seconds_to_ready: f64,
    /// Flows of the integration bridge then.
    pub(super) flows: u64,
    /// Flow modifications sent after the restart.
    pub(super) restart_flow_mods: u64,
    /// From the restart of the process until the last port is up.
    pub(super) restart_seconds: f64,
    /// The memory that was resident when the last port was up for the first time.
    pub(super) ready_rss_bytes: u64,
    /// The most memory that either process has had resident.
    pub(super) peak_rss_bytes: u64,
    /// What ovs-ofctl takes for the same flows.
    pub(super) load_seconds: f64,
}

/// What is to be reached, where there is a goal.
#[derive(Debug, Clone, Copy, Default)]
struct Goals {
    seconds_to_ready: Option<f64>,
    /// In what ovs-ofctl takes for the same flows.
    loads_to_ready: Option<f64>,
    flows: Option<u64>,
    restart_flow_mods: Option<u64>,
    restart_seconds: Option<f64>,
    peak_rss_bytes: Option<u64>,
    bytes_for_a_flow: Option<u64>,
    rules_seconds: Option<f64>,
}

impl Goals {
    /// With 400 ports and 1000 rules on two cores; for other sizes there are none.
    fn of(size: Size) -> Self {
        let none = Self::default();
        if (size.ports, size.rules) != (400, 1000) {
            return none;
        }
        let restart_flow_mods = Some(0);
        match size.shape {
            Shape::Merged => Self {
                seconds_to_ready: Some(1.0),
                flows: Some(2600),
                restart_flow_mods,
                restart_seconds: Some(0.5),
                peak_rss_bytes: Some(60_000_000),
                rules_seconds: Some(2.0),
                ..none
            },
            Shape::Distinct => Self { seconds_to_ready: Some(1.5), restart_flow_mods, ..none },
            Shape::Unshared => Self {
                loads_to_ready: Some(1.5),
                restart_flow_mods,
                bytes_for_a_flow: Some(400),
                ..none
            },
        }
    }
}

impl Run {
    /// The median of each figure.
    pub(super) fn medians(runs: &[Self]) -> Self {
        let number = |figure: fn(&Self) -> u64| median(runs.iter().map(figure));
        let seconds = |figure: fn(&Self) -> f64| median(runs.iter().map(figure));
        Self {
            seconds_to_ready: seconds(|run| run.seconds_to_ready),
            flows: number(|run| run.flows),
            restart_flow_mods: number(|run| run.restart_flow_mods),
            restart_seconds: seconds(|run| run.restart_seconds),
            ready_rss_bytes: number(|run| run.ready_rss_bytes),
            peak_rss_bytes: number(|run| run.peak_rss_bytes),
            load_seconds: seconds(|run| run.load_seconds),
        }
    }
}

impl Figures {
    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { size: Size { shape, ports, rules }, medians, .. } = self;
        let goals = Goals::of(self.size);
        let loads = medians.seconds_to_ready / medians.load_seconds;
        let mut rows = vec![
            seconds(
                "start until the last port is up, s",
                medians.seconds_to_ready,
                goals.seconds_to_ready,
            ),
            seconds("ovs-ofctl for the same flows, s", medians.load_seconds, None),
            seconds("the start, in what ovs-ofctl takes", loads, goals.loads_to_ready),
            count("flows in br-int", medians.flows, goals.flows),
            count(
                "flow modifications after a restart",
                medians.restart_flow_mods,
                goals.restart_flow_mods,
            ),
            seconds(
                "restart until the last port is up, s",
                medians.restart_seconds,
                goals.restart_seconds,
            ),
            megabytes("resident memory, nothing plugged in, MB", self.idle_rss_bytes, None),
            megabytes("resident memory, all ports up, MB", medians.ready_rss_bytes, None),
            megabytes("peak resident memory, MB", medians.peak_rss_bytes, goals.peak_rss_bytes),
        ];
        if *shape == Shape::Unshared {
            let each = |bytes: u64| {
                bytes.saturating_sub(self.idle_rss_bytes).checked_div(medians.flows).unwrap_or(0)
            };
            let (ready, peak) = (each(medians.ready_rss_bytes), each(medians.peak_rss_bytes));
            rows.push(count("all ports up, more bytes for a flow", ready, goals.bytes_for_a_flow));
            rows.push(count("peak, more bytes for a flow", peak, goals.bytes_for_a_flow));
        }
        rows.push(seconds(
            "creating the rules through the API, s",
            self.rules_seconds,
            goals.rules_seconds,
        ));
        rows.push(seconds("creating the ports through the API, s", self.ports_seconds, None));
        let groups = match shape {
            Shape::Merged => format!("one group of {rules} rules that become one"),
            Shape::Distinct => format!("one group of {rules} rules that cannot be merged"),
            Shape::Unshared => format!("each with a group of {rules} rules that cannot be merged"),
        };
        let of = match self.runs.len() {
            1 => String::new(),
            runs => format!(", medians of {runs} runs"),
        };
        format!(
            "{ports} ports, {groups}{of}\n\n{}",
            table(["figure", "measured", "goal", ""], rows)
        )
    }
}

fn seconds(name: &str, value: f64, goal: Option<f64>) -> [String; 4] {
    row(name, format!("{value:.3}"), goal.map(|goal| (goal.to_string(), value <= goal)))
}

fn count(name: &str, value: u64, goal: Option<u64>) -> [String; 4] {
    row(name, value.to_string(), goal.map(|goal| (goal.to_string(), value <= goal)))
}

fn megabytes(name: &str, value: u64, goal: Option<u64>) -> [String; 4] {
    let text = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    row(name, text(value), goal.map(|goal| (text(goal), value <= goal)))
}

/// The goal is the most that the figure may be.
fn row(name: &str, value: String, goal: Option<(String, bool)>) -> [String; 4] {
    goal::row(name, value, goal.map(|(goal, reached)| (format!("<= {goal}"), reached)))
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
            ready_rss_bytes: 25_000_000,
            peak_rss_bytes: 30_000_000,
            load_seconds: seconds / 2.0,
        }
    }

    fn figures(shape: Shape, run: Run) -> Figures {
        Figures {
            size: Size { shape, ports: 400, rules: 1000 },
            rules_seconds: 2.5,
            ports_seconds: 3.25,
            idle_rss_bytes: 20_000_000,
            medians: run.clone(),
            runs: vec![run],
        }
    }

    #[test]
    fn medians_of_runs() {
        let medians = Run::medians(&[run(0.9, 3), run(0.5, 1), run(0.7, 2)]);
        assert_eq!((medians.seconds_to_ready, medians.flows), (0.7, 2));
    }

    #[test]
    fn goals_stand_beside_the_figures_they_are_for() {
        let mut figures = figures(Shape::Merged, run(0.8, 2442));
        expect_test::expect![[r#"
            400 ports, one group of 1000 rules that become one

            FIGURE                                   MEASURED  GOAL
            start until the last port is up, s       0.800     <= 1     reached
            ovs-ofctl for the same flows, s          0.400     -
            the start, in what ovs-ofctl takes       2.000     -
            flows in br-int                          2442      <= 2600  reached
            flow modifications after a restart       0         <= 0     reached
            restart until the last port is up, s     0.200     <= 0.5   reached
            resident memory, nothing plugged in, MB  20.0      -
            resident memory, all ports up, MB        25.0      -
            peak resident memory, MB                 30.0      <= 60.0  reached
            creating the rules through the API, s    2.500     <= 2     missed
            creating the ports through the API, s    3.250     -
        "#]]
        .assert_eq(&figures.text());
        figures.size.ports = 10;
        assert!(!figures.text().contains("<="));
    }

    #[test]
    fn unshared_flows_are_compared_with_ovs_ofctl_and_weighed() {
        let figures = figures(Shape::Unshared, run(8.0, 20_000));
        expect_test::expect![[r#"
            400 ports, each with a group of 1000 rules that cannot be merged

            FIGURE                                   MEASURED  GOAL
            start until the last port is up, s       8.000     -
            ovs-ofctl for the same flows, s          4.000     -
            the start, in what ovs-ofctl takes       2.000     <= 1.5  missed
            flows in br-int                          20000     -
            flow modifications after a restart       0         <= 0    reached
            restart until the last port is up, s     2.000     -
            resident memory, nothing plugged in, MB  20.0      -
            resident memory, all ports up, MB        25.0      -
            peak resident memory, MB                 30.0      -
            all ports up, more bytes for a flow      250       <= 400  reached
            peak, more bytes for a flow              500       <= 400  missed
            creating the rules through the API, s    2.500     -
            creating the ports through the API, s    3.250     -
        "#]]
        .assert_eq(&figures.text());
    }

    #[test]
    fn the_figures_stand_at_the_top_of_the_json() {
        let json = serde_json::to_value(figures(Shape::Distinct, run(1.0, 3))).unwrap();
        assert_eq!(json["shape"], "distinct");
        for key in [
            "seconds_to_ready",
            "flows",
            "restart_flow_mods",
            "restart_seconds",
            "idle_rss_bytes",
            "ready_rss_bytes",
            "peak_rss_bytes",
            "load_seconds",
            "ports",
            "rules",
            "rules_seconds",
            "ports_seconds",
        ] {
            assert!(json[key].is_number(), "{key}");
        }
    }
}
