//! `weir show segments`: what carries networks, as the server has it.

use std::process::ExitCode;

use neutron::rest::Allocation;
use serde::Serialize;

use super::ServerOptions;
use crate::output::{Format, table};

/// Whom to ask, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    format: Format,
}

/// The answer, as JSON.
#[derive(Debug, Serialize)]
struct Segments {
    segments: Vec<Allocation>,
}

/// Shows them.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let mut api = options.server.client()?;
    let segments = api.get("/v2.0/weir/segments", "segments").await?;
    options.format.print(&Segments { segments }, |answer| text(&answer.segments))?;
    Ok(ExitCode::SUCCESS)
}

/// One line for each segment in use, and one for each run of free ones.
fn text(segments: &[Allocation]) -> String {
    if segments.is_empty() {
        return "no segments: 'weir up' was given no ranges, and no network has one".to_owned();
    }
    let rows = segments.iter().map(|segment| {
        let number = match (segment.segmentation_id, segment.through) {
            (Some(low), Some(high)) if low < high => format!("{low}-{high}"),
            (Some(number), _) => number.to_string(),
            (None, _) => "-".to_owned(),
        };
        let range = if segment.in_range { "in range" } else { "outside" };
        [
            segment.network_type.clone(),
            segment.physical_network.clone().unwrap_or_else(|| "-".to_owned()),
            number,
            range.to_owned(),
            segment.network_id.clone().unwrap_or_else(|| "free".to_owned()),
            segment.network_name.clone().unwrap_or_default(),
        ]
    });
    let heading = ["type", "physical network", "segment", "range", "network", "name"];
    table(heading, rows.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_free_segments_are_one_line() {
        let free = |kind: &str, physical_network: Option<&str>, low, high| Allocation {
            network_type: kind.to_owned(),
            physical_network: physical_network.map(str::to_owned),
            segmentation_id: Some(low),
            through: Some(high),
            in_range: true,
            network_id: None,
            network_name: None,
        };
        let used = |kind: &str, physical_network, number: Option<u32>, in_range| Allocation {
            segmentation_id: number,
            through: number,
            in_range,
            network_id: Some(format!("id{}", number.unwrap_or_default())),
            network_name: Some("red".to_owned()),
            ..free(kind, physical_network, 0, 0)
        };
        let segments = [
            used("flat", Some("p1"), None, false),
            free("vlan", Some("p1"), 1, 2),
            used("vlan", Some("p1"), Some(3), true),
            free("vlan", Some("p1"), 4, 4),
            used("vlan", Some("p1"), Some(9), false),
            free("vxlan", None, 1, 16_777_215),
        ];
        expect_test::expect![[r#"
            TYPE   PHYSICAL NETWORK  SEGMENT     RANGE     NETWORK  NAME
            flat   p1                -           outside   id0      red
            vlan   p1                1-2         in range  free
            vlan   p1                3           in range  id3      red
            vlan   p1                4           in range  free
            vlan   p1                9           outside   id9      red
            vxlan  -                 1-16777215  in range  free
        "#]]
        .assert_eq(&text(&segments));
    }
}
