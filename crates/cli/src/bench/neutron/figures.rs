//! What was measured of either agent, and the table of it.

use serde::Serialize;

use super::{
    super::{
        goal,
        statistic::{median, quantile},
    },
    Size,
};
use crate::output::table;

/// What was measured: of each run, and the medians.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    #[serde(flatten)]
    size: Size,
    weir: Measured,
    neutron: Option<Measured>,
    weir_runs: Vec<Measured>,
    neutron_runs: Vec<Measured>,
}

/// What was measured of an agent.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) fetch: Fetch,
    /// Nothing where it was stopped before.
    pub(super) start: Option<Start>,
    /// Nothing where none was created.
    pub(super) rules: Option<Rules>,
}

/// To learn what there is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Fetch {
    /// From the first request to the last answer.
    pub(super) seconds: f64,
    pub(super) calls: usize,
}

/// Until all ports are up.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Start {
    /// From the start of the process to the server's last answer about a port.
    pub(super) seconds: f64,
    /// Of that, while at least one answer of the server was waited for.
    pub(super) waiting_seconds: f64,
    /// From the first report of ports to the last answer.
    pub(super) report_seconds: f64,
    pub(super) report_calls: usize,
    /// While no answer was waited for.
    pub(super) own_seconds: f64,
    /// Processor time of the agent.
    pub(super) cpu_seconds: f64,
    /// The most memory that was resident.
    pub(super) peak_rss_bytes: u64,
}

/// Rules that were created one after the other.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Rules {
    /// How many came into the switch.
    pub(super) created: usize,
    /// From the server's message to the last flow of the rule.
    pub(super) median_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) longest_ms: f64,
}

/// The node that the goals are for.
const FULL: u16 = 400;
/// How much of the time of Neutron's agent fetching may take.
const PART: f64 = 1.0 / 3.0;

/// A line of the table: a figure, how it is written, and the most that Weir's may be.
struct Line {
    name: &'static str,
    figure: fn(&Measured) -> Option<f64>,
    decimals: usize,
    goal: Option<f64>,
}

impl Line {
    const fn new(
        name: &'static str,
        decimals: usize,
        figure: fn(&Measured) -> Option<f64>,
    ) -> Self {
        Self { name, figure, decimals, goal: None }
    }

    const fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    fn text(&self, of: Option<&Measured>) -> String {
        let figure = of.and_then(self.figure);
        figure.map_or("-".to_owned(), |figure| format!("{figure:.*}", self.decimals))
    }
}

/// The table.
const LINES: [Line; 13] = [
    Line::new("start until every port is ACTIVE, s", 2, |it| Some(it.start?.seconds)),
    Line::new("of it, waiting for the server, s", 2, |it| Some(it.start?.waiting_seconds)),
    Line::new("the agent's own: not waiting, s", 3, |it| Some(it.start?.own_seconds)).at_most(1.0),
    Line::new("the agent's own: processor, s", 2, |it| Some(it.start?.cpu_seconds)).at_most(1.0),
    Line::new("peak resident memory, MB", 1, |it| Some(it.start?.peak_rss_bytes as f64 / 1e6))
        .at_most(100.0),
    Line::new("fetching, s", 2, |it| Some(it.fetch.seconds)),
    Line::new("calls to fetch", 0, |it| Some(it.fetch.calls as f64)),
    Line::new("reporting ports, s", 2, |it| Some(it.start?.report_seconds)),
    Line::new("calls to report", 0, |it| Some(it.start?.report_calls as f64)),
    Line::new("rules created one by one", 0, |it| Some(it.rules?.created as f64)),
    Line::new("message to flow, median, ms", 1, |it| Some(it.rules?.median_ms)),
    Line::new("message to flow, p99, ms", 1, |it| Some(it.rules?.p99_ms)).at_most(50.0),
    Line::new("message to flow, longest, ms", 1, |it| Some(it.rules?.longest_ms)),
];

impl Rules {
    /// Of what each took, in milliseconds.
    pub(super) fn of(milliseconds: &[f64]) -> Self {
        let quantile = |percent| quantile(milliseconds.iter().copied(), percent);
        Self {
            created: milliseconds.len(),
            median_ms: quantile(50),
            p99_ms: quantile(99),
            longest_ms: quantile(100),
        }
    }
}

impl Measured {
    /// The median of each figure.
    fn medians(runs: &[Self]) -> Option<Self> {
        let last = runs.last()?;
        let fetch = |figure: fn(&Fetch) -> f64| median(runs.iter().map(|run| figure(&run.fetch)));
        let starts: Vec<&Start> = runs.iter().filter_map(|run| run.start.as_ref()).collect();
        let start = |figure: fn(&Start) -> f64| median(starts.iter().map(|start| figure(start)));
        Some(Self {
            fetch: Fetch {
                seconds: fetch(|it| it.seconds),
                calls: median(runs.iter().map(|run| run.fetch.calls)),
            },
            start: last.start.map(|_| Start {
                seconds: start(|it| it.seconds),
                waiting_seconds: start(|it| it.waiting_seconds),
                report_seconds: start(|it| it.report_seconds),
                report_calls: median(starts.iter().map(|start| start.report_calls)),
                own_seconds: start(|it| it.own_seconds),
                cpu_seconds: start(|it| it.cpu_seconds),
                peak_rss_bytes: median(starts.iter().map(|start| start.peak_rss_bytes)),
            }),
            // They are created in one run alone.
            rules: last.rules,
        })
    }
}

impl Figures {
    /// Of the runs of each agent.
    pub(super) fn of(size: Size, weir: Vec<Measured>, neutron: Vec<Measured>) -> Option<Self> {
        Some(Self {
            size,
            weir: Measured::medians(&weir)?,
            neutron: Measured::medians(&neutron),
            weir_runs: weir,
            neutron_runs: neutron,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Size { ports, rules, rpc_workers, .. } = self.size;
        let is_full = ports == FULL;
        let peer = self.neutron.as_ref();
        let goal = |figure: Option<f64>, goal: Option<f64>, text: String| {
            let (figure, goal) = figure.zip(goal).filter(|_| is_full)?;
            Some((format!("<= {text}"), figure <= goal))
        };
        let mut rows: Vec<[String; 5]> = LINES
            .iter()
            .map(|line| {
                let most = line.goal.map(|goal| goal.to_string()).unwrap_or_default();
                let goal = goal((line.figure)(&self.weir), line.goal, most);
                let [name, weir, goal, verdict] =
                    goal::row(line.name, line.text(Some(&self.weir)), goal);
                [name, weir, goal, verdict, line.text(peer)]
            })
            .collect();
        if let Some(peer) = peer {
            let part = self.weir.fetch.seconds / peer.fetch.seconds;
            let goal = goal(Some(part), Some(PART), "1/3".to_owned());
            let name = "fetching, part of Neutron's agent";
            let [name, weir, goal, verdict] = goal::row(name, format!("{part:.3}"), goal);
            rows.push([name, weir, goal, verdict, "1".to_owned()]);
        }
        let table = match peer {
            Some(_) => table(["figure", "weir", "goal", "", "neutron"], rows),
            None => {
                let rows = rows
                    .into_iter()
                    .map(|[name, weir, goal, verdict, _]| [name, weir, goal, verdict]);
                table(["figure", "weir", "goal", ""], rows.collect())
            }
        };
        let of = match self.weir_runs.len() {
            1 => String::new(),
            runs => format!(", medians of {runs} runs"),
        };
        format!(
            "{ports} ports of one host, one group of {rules} rules, Neutron 29.0.0 with \
             {rpc_workers} RPC worker(s){of}\n\n{table}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(seconds: f64) -> Measured {
        Measured {
            fetch: Fetch { seconds, calls: 5 },
            start: Some(Start {
                seconds: seconds * 10.0,
                waiting_seconds: seconds * 9.5,
                report_seconds: seconds * 8.0,
                report_calls: 20,
                own_seconds: seconds / 2.0,
                cpu_seconds: seconds / 4.0,
                peak_rss_bytes: 25_000_000,
            }),
            rules: Some(Rules::of(&[5.0, 3.0, 60.0])),
        }
    }

    fn size(ports: u16) -> Size {
        Size { ports, rules: 1000, created: 3, rpc_workers: 1 }
    }

    #[test]
    fn medians_of_runs() {
        let runs = [0.9, 0.5, 0.7].map(measured).to_vec();
        let figures = Figures::of(size(400), runs, Vec::new()).unwrap();
        assert_eq!(figures.weir.fetch.seconds, 0.7);
        assert_eq!(figures.weir.start.unwrap().seconds, 7.0);
        assert_eq!(figures.weir.rules.unwrap().median_ms, 5.0);
        assert!(Figures::of(size(400), Vec::new(), Vec::new()).is_none());
    }

    #[test]
    fn goals_are_for_weir_on_a_full_node() {
        let neutron = Measured { start: None, rules: None, ..measured(9.0) };
        let figures = Figures::of(size(400), vec![measured(1.5)], vec![neutron]).unwrap();
        expect_test::expect![[r#"
            400 ports of one host, one group of 1000 rules, Neutron 29.0.0 with 1 RPC worker(s)

            FIGURE                               WEIR   GOAL             NEUTRON
            start until every port is ACTIVE, s  15.00  -                -
            of it, waiting for the server, s     14.25  -                -
            the agent's own: not waiting, s      0.750  <= 1    reached  -
            the agent's own: processor, s        0.38   <= 1    reached  -
            peak resident memory, MB             25.0   <= 100  reached  -
            fetching, s                          1.50   -                9.00
            calls to fetch                       5      -                5
            reporting ports, s                   12.00  -                -
            calls to report                      20     -                -
            rules created one by one             3      -                -
            message to flow, median, ms          5.0    -                -
            message to flow, p99, ms             60.0   <= 50   missed   -
            message to flow, longest, ms         60.0   -                -
            fetching, part of Neutron's agent    0.167  <= 1/3  reached  1
        "#]]
        .assert_eq(&figures.text());
        let small = Figures::of(size(10), vec![measured(1.5)], Vec::new()).unwrap();
        assert!(!small.text().contains("<=") && !small.text().contains("NEUTRON "));
    }

    #[test]
    fn the_figures_of_each_agent_stand_in_the_json() {
        let figures = Figures::of(size(400), vec![measured(1.0)], vec![measured(3.0)]).unwrap();
        let json = serde_json::to_value(figures).unwrap();
        assert_eq!(json["ports"], 400);
        for agent in ["weir", "neutron"] {
            assert_eq!(json[agent]["rules"]["created"], 3);
            assert!(json[agent]["start"]["own_seconds"].is_number());
            assert!(json[agent]["fetch"]["seconds"].is_number());
        }
    }
}
