//! What was measured.

use serde::Serialize;

use super::{
    super::statistic::{median, quantile},
    Size, Way,
    pings::Pinged,
};
use crate::output::table;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    #[serde(flatten)]
    pub(super) size: Size,
    /// For each number of ports, each way: medians over the runs.
    pub(super) measured: Vec<Measured>,
    pub(super) runs_measured: Vec<Measured>,
}

/// One way with so many ports.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Measured {
    pub(super) way: Way,
    pub(super) ports: u16,
    /// From the start of the agent until the last port is up; none without an agent.
    pub(super) ready_seconds: Option<f64>,
    /// From the message that a rule has come until packets pass by it, in milliseconds.
    #[serde(rename = "change_ms")]
    pub(super) change: Option<Spread>,
    /// What one TCP connection carries.
    pub(super) bits_per_second: f64,
    /// From a datagram to its answer, in microseconds.
    #[serde(rename = "latency_us")]
    pub(super) latency: Option<Spread>,
    /// TCP connections that are opened and closed.
    pub(super) connections_per_second: f64,
    /// What it takes to move all ports to the other driver; none without an agent.
    pub(super) moved: Option<Moved>,
}

/// All ports were moved to the other driver, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Moved {
    /// How long all of them took.
    pub(super) seconds: f64,
    /// How long each was cut off at most, in milliseconds.
    pub(super) cut_off_ms: Spread,
    /// What became of pings, for each machine of a sample: of all runs, not a median.
    pub(super) pings: Vec<Pinged>,
}

/// Many measurements of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) p99: f64,
}

impl Spread {
    /// None of none.
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        values.clone().next()?;
        Some(Self { median: median(values.clone()), p99: quantile(values, 99) })
    }
}

/// The median of each figure that there is.
fn medians(spreads: impl Iterator<Item = Option<Spread>>) -> Option<Spread> {
    let known: Vec<Spread> = spreads.flatten().collect();
    known.first()?;
    let each = |figure: fn(&Spread) -> f64| median(known.iter().map(figure));
    Some(Spread { median: each(|it| it.median), p99: each(|it| it.p99) })
}

/// The median of each figure that there is.
fn moves<'a>(moves: impl Iterator<Item = &'a Moved> + Clone) -> Option<Moved> {
    Some(Moved {
        cut_off_ms: medians(moves.clone().map(|it| Some(it.cut_off_ms)))?,
        seconds: median(moves.clone().map(|it| it.seconds)),
        pings: moves.flat_map(|it| it.pings.iter().copied()).collect(),
    })
}

impl Measured {
    /// The median of each figure over runs of the same.
    fn median(runs: &[&Self]) -> Option<Self> {
        let Self { way, ports, .. } = **runs.first()?;
        let each = |figure: fn(&Self) -> f64| median(runs.iter().map(|it| figure(it)));
        let ready: Vec<f64> = runs.iter().filter_map(|it| it.ready_seconds).collect();
        Some(Self {
            way,
            ports,
            ready_seconds: ready.first().map(|_| median(ready.iter().copied())),
            change: medians(runs.iter().map(|it| it.change)),
            bits_per_second: each(|it| it.bits_per_second),
            latency: medians(runs.iter().map(|it| it.latency)),
            connections_per_second: each(|it| it.connections_per_second),
            moved: moves(runs.iter().filter_map(|it| it.moved.as_ref())),
        })
    }

    /// How all ports were moved, if they were.
    fn row_of_moves(&self) -> Option<[String; 10]> {
        let Moved { seconds, cut_off_ms, pings } = self.moved.as_ref()?;
        let longest = |of: fn(&Pinged) -> f64| pings.iter().map(of).fold(0.0, f64::max);
        let to = self.way.other()?;
        Some([
            self.ports.to_string(),
            self.way.name().to_owned(),
            to.to_string(),
            short(*seconds),
            short(cut_off_ms.median),
            short(cut_off_ms.p99),
            pings.len().to_string(),
            pings.iter().map(|it| it.lost).max().unwrap_or_default().to_string(),
            pings.iter().map(|it| it.lost).sum::<usize>().to_string(),
            short(longest(|it| it.longest_gap_ms)),
        ])
    }

    fn row(&self) -> [String; 9] {
        let known = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
        let (change, latency) = (self.change, self.latency);
        [
            self.ports.to_string(),
            self.way.name().to_owned(),
            known(self.ready_seconds),
            known(change.map(|it| it.median)),
            known(change.map(|it| it.p99)),
            short(self.bits_per_second / 1e9),
            known(latency.map(|it| it.median)),
            known(latency.map(|it| it.p99)),
            short(self.connections_per_second),
        ]
    }
}

/// Three digits, or as many as there are before the point.
pub(super) fn short(value: f64) -> String {
    match value {
        _ if value < 0.0995 => format!("{value:.3}"),
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

impl Figures {
    /// Of all runs, in the order in which they were made.
    pub(super) fn of(size: Size, runs_measured: Vec<Measured>) -> Self {
        let mut measured = Vec::new();
        for ports in &size.ports {
            for way in Way::ALL {
                let same = runs_measured.iter().filter(|it| it.ports == *ports && it.way == way);
                measured.extend(Measured::median(&same.collect::<Vec<_>>()));
            }
        }
        Self { size, measured, runs_measured }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let heading = [
            "ports",
            "driver",
            "ready s",
            "rule ms",
            "p99 ms",
            "tcp gbit/s",
            "latency us",
            "p99 us",
            "connections/s",
        ];
        let rows = self.measured.iter().map(Measured::row).collect();
        let moves = [
            "ports",
            "moved from",
            "to",
            "all s",
            "cut off ms",
            "p99 ms",
            "pinged",
            "lost by one",
            "by all",
            "gap ms",
        ];
        let moved = self.measured.iter().filter_map(Measured::row_of_moves).collect();
        format!(
            "one group of {} rules; two of the ports talk over the userspace datapath\n\n{}\n{}",
            self.size.rules,
            table(heading, rows),
            table(moves, moved)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let said = [0.01234, 0.1234, 1.234, 12.34, 123.4, 1234.5].map(short);
        assert_eq!(said, ["0.012", "0.12", "1.23", "12.3", "123", "1234"]);
        assert_eq!(short(9.999), "10.0");
    }

    #[test]
    fn nothing_has_no_median() {
        assert_eq!(Spread::of(std::iter::empty()), None);
        assert_eq!(Spread::of([1.0, 9.0].into_iter()), Some(Spread { median: 1.0, p99: 9.0 }));
    }
}
