//! The figures as an SVG drawing: a panel for each, a group of bars for each number of ports, a bar
//! for each way. Pure.

use std::fmt::Write as _;

use super::{
    Way,
    figures::{Figures, Measured, short},
};

/// A panel, with the space around it.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 220.0;
/// The area of bars in it, from its left upper corner.
const LEFT: f64 = 20.0;
const TOP: f64 = 60.0;
const BARS_WIDTH: f64 = 285.0;
const BARS_HEIGHT: f64 = 120.0;
/// Panels in a row.
const COLUMNS: usize = 3;

/// One figure.
struct Panel {
    title: &'static str,
    unit: &'static str,
    of: fn(&Measured) -> Option<f64>,
}

const PANELS: [Panel; 5] = [
    Panel {
        title: "Agent's start until all ports are up",
        unit: "s, less is better",
        of: |it| it.ready_seconds,
    },
    Panel {
        title: "A rule comes until packets pass",
        unit: "ms, less is better",
        of: |it| it.change.map(|it| it.median),
    },
    Panel {
        title: "One TCP connection",
        unit: "Gbit/s, more is better",
        of: |it| Some(it.bits_per_second / 1e9),
    },
    Panel {
        title: "A datagram and its answer",
        unit: "µs, less is better",
        of: |it| it.latency.map(|it| it.median),
    },
    Panel {
        title: "New TCP connections",
        unit: "per second, more is better",
        of: |it| Some(it.connections_per_second),
    },
];

impl Way {
    /// Told apart also by those who see no red or green.
    fn color(self) -> &'static str {
        match self {
            Self::Plain => "#999999",
            Self::Native => "#0072b2",
            Self::Hybrid => "#e69f00",
        }
    }
}

/// Draws them.
pub(super) fn draw(figures: &Figures) -> String {
    let (columns, rows) = (COLUMNS as f64, (PANELS.len() + 1).div_ceil(COLUMNS) as f64);
    let (width, height) = (columns * WIDTH, rows * HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#222222\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for (place, panel) in PANELS.iter().enumerate() {
        open(&mut svg, place);
        panel.draw(figures, &mut svg);
        svg += "</g>\n";
    }
    open(&mut svg, PANELS.len());
    legend(figures, &mut svg);
    svg + "</g>\n</svg>\n"
}

/// Begins what is drawn at this place.
fn open(svg: &mut String, place: usize) {
    let (x, y) = ((place % COLUMNS) as f64 * WIDTH, (place / COLUMNS) as f64 * HEIGHT);
    // Writing to a string does not fail.
    let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
}

fn text(svg: &mut String, [x, y]: [f64; 2], more: &str, said: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\"{more}>{said}</text>");
}

impl Panel {
    fn draw(&self, figures: &Figures, svg: &mut String) {
        text(svg, [LEFT, 24.0], " font-size=\"13\" font-weight=\"bold\"", self.title);
        text(svg, [LEFT, 40.0], "", self.unit);
        let values = figures.measured.iter().filter_map(self.of);
        let most = values.fold(f64::MIN_POSITIVE, f64::max);
        let sizes = &figures.size.ports;
        let group = BARS_WIDTH / sizes.len().max(1) as f64;
        let bar = group * 0.8 / Way::ALL.len() as f64;
        let ground = TOP + BARS_HEIGHT;
        for (place, ports) in sizes.iter().enumerate() {
            let left = LEFT + group * place as f64 + group * 0.1;
            for (order, way) in Way::ALL.into_iter().enumerate() {
                let one = figures.measured.iter().find(|it| it.ports == *ports && it.way == way);
                let Some(value) = one.and_then(self.of) else { continue };
                let (x, height) = (left + bar * order as f64, BARS_HEIGHT * value / most);
                let (y, color) = (ground - height, way.color());
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" \
                     fill=\"{color}\"/>",
                    bar * 0.9
                );
                let middle = " text-anchor=\"middle\" font-size=\"9\"";
                text(svg, [x + bar * 0.45, y - 3.0], middle, &short(value));
            }
            let middle = [left + group * 0.4, ground + 16.0];
            text(svg, middle, " text-anchor=\"middle\"", &format!("{ports} ports"));
        }
        let right = LEFT + BARS_WIDTH;
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {ground}H{right}\" stroke=\"#222222\" stroke-width=\"1\"/>"
        );
    }
}

fn legend(figures: &Figures, svg: &mut String) {
    for (order, way) in Way::ALL.into_iter().enumerate() {
        let y = TOP + 22.0 * order as f64;
        let color = way.color();
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{y}\" width=\"14\" height=\"14\" fill=\"{color}\"/>"
        );
        text(svg, [LEFT + 22.0, y + 11.0], "", way.name());
    }
    let rules = format!("one group of {} rules", figures.size.rules);
    text(svg, [LEFT, 24.0], "", &rules);
    text(svg, [LEFT, 40.0], "", "two of the ports talk, userspace datapath");
}

#[cfg(test)]
mod tests {
    use super::{super::Size, super::figures::Spread, *};

    #[test]
    fn every_figure_has_a_bar() {
        let spread = |median| Some(Spread { median, p99: median });
        let one = |way, ports, ready_seconds| Measured {
            way,
            ports,
            ready_seconds,
            change: ready_seconds.and(spread(3.0)),
            bits_per_second: 2.5e9,
            latency: spread(71.0),
            connections_per_second: 4321.0,
            moved: None,
        };
        let size = Size { ports: vec![10, 400], rules: 1000, changes: 1, runs: 1, seconds: 1 };
        let runs = vec![
            one(Way::Plain, 10, None),
            one(Way::Native, 10, Some(0.25)),
            one(Way::Hybrid, 10, Some(0.75)),
            one(Way::Plain, 400, None),
            one(Way::Native, 400, Some(0.5)),
            one(Way::Hybrid, 400, Some(8.0)),
        ];
        let svg = draw(&Figures::of(size, runs));
        // The ground, one for each way in the legend, and the bars.
        let bars = 2 * 4 + 3 * 6;
        assert_eq!(svg.matches("<rect").count(), 1 + Way::ALL.len() + bars);
        for text in [">0.25<", ">8.00<", ">2.50<", ">71.0<", ">4321<", ">400 ports<"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        // The longest bar is as high as there is room for.
        assert!(svg.contains("y=\"60.0\"") && svg.contains("height=\"120.0\""));
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }
}
