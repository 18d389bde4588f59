//! `weir show`: what the server has, beyond what the `openstack` client can list.

use std::process::ExitCode;

use clap::Subcommand;
use neutron::rest::Segment;
use serde::Serialize;

use crate::{
    api::{Api, Endpoint},
    output::{Format, table},
    state_dir::StateDir,
};

/// What to show.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Segments by physical network and VLAN: which are free, and which network has the others
    Segments(Options),
}

/// Whom to ask, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    format: Format,
}

/// Which server to ask.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerOptions {
    #[command(flatten)]
    pub(crate) state_dir: StateDir,
    /// The API [default: that of the 'weir up' of the state directory]
    #[arg(long, value_name = "URL", env = "WEIR_API")]
    pub(crate) api: Option<Endpoint>,
}

/// The answer, as JSON.
#[derive(Debug, Serialize)]
struct Segments {
    segments: Vec<Segment>,
}

/// Shows it.
///
/// # Errors
/// When the server cannot be asked.
pub(crate) async fn run(what: What) -> anyhow::Result<ExitCode> {
    let What::Segments(options) = what;
    let mut api = options.server.client()?;
    let segments = api.get("/v2.0/weir/segments", "segments").await?;
    options.format.print(&Segments { segments }, |answer| text(&answer.segments))?;
    Ok(ExitCode::SUCCESS)
}

impl ServerOptions {
    /// A client of that server.
    ///
    /// # Errors
    /// When nobody has said where it is.
    pub(crate) fn client(&self) -> anyhow::Result<Api> {
        let endpoint = match &self.api {
            Some(endpoint) => endpoint.clone(),
            None => self.state_dir.up()?.api.parse()?,
        };
        Ok(Api::new(endpoint))
    }
}

/// One line for each segment in use, and one for each run of free ones.
fn text(segments: &[Segment]) -> String {
    if segments.is_empty() {
        return "no segments: 'weir up' was given no --network-vlan-ranges".to_owned();
    }
    let runs = segments.chunk_by(|a, b| is_free(a) && is_free(b) && follows(a, b));
    let rows = runs.filter_map(|run| {
        let (first, last) = (run.first()?, run.last()?);
        let number = match (first.segmentation_id, last.segmentation_id) {
            (Some(low), Some(high)) if low < high => format!("{low}-{high}"),
            (Some(number), _) => number.to_string(),
            (None, _) => "-".to_owned(),
        };
        let range = if first.in_range { "in range" } else { "outside" };
        Some([
            first.physical_network.clone(),
            first.network_type.clone(),
            number,
            range.to_owned(),
            first.network_id.clone().unwrap_or_else(|| "free".to_owned()),
            first.network_name.clone().unwrap_or_default(),
        ])
    });
    let heading = ["physical network", "type", "segment", "range", "network", "name"];
    table(heading, rows.collect())
}

fn is_free(segment: &Segment) -> bool {
    segment.network_id.is_none()
}

/// Whether `b` is the next number of the same kind.
fn follows(a: &Segment, b: &Segment) -> bool {
    let next = a.segmentation_id.and_then(|number| number.checked_add(1));
    next.is_some()
        && next == b.segmentation_id
        && (&a.physical_network, &a.network_type, a.in_range)
            == (&b.physical_network, &b.network_type, b.in_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_free_segments_are_one_line() {
        let free = |physical_network: &str, number| Segment {
            network_type: "vlan".to_owned(),
            physical_network: physical_network.to_owned(),
            segmentation_id: Some(number),
            in_range: true,
            network_id: None,
            network_name: None,
        };
        let used = |number, in_range| Segment {
            in_range,
            network_id: Some(format!("id{number}")),
            network_name: Some("red".to_owned()),
            ..free("p1", number)
        };
        let segments = [
            free("p1", 1),
            free("p1", 2),
            used(3, true),
            free("p1", 4),
            free("p2", 5),
            used(9, false),
        ];
        expect_test::expect![[r#"
            PHYSICAL NETWORK  TYPE  SEGMENT  RANGE     NETWORK  NAME
            p1                vlan  1-2      in range  free
            p1                vlan  3        in range  id3      red
            p1                vlan  4        in range  free
            p2                vlan  5        in range  free
            p1                vlan  9        outside   id9      red
        "#]]
        .assert_eq(&text(&segments));
    }
}
