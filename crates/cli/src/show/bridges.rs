//! `weir show bridges`: what each bridge is for, and how it is.

use std::process::ExitCode;

use agent::status::{ForeignStatus, Status};
use serde::Serialize;

use crate::{
    output::{Format, table},
    state_dir::StateDir,
};

/// Whom to ask, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    state_dir: StateDir,
    #[command(flatten)]
    format: Format,
}

/// The answer, as JSON.
#[derive(Debug, Serialize)]
struct Bridges {
    bridges: Vec<Bridge>,
}

/// A bridge.
#[derive(Debug, Serialize)]
struct Bridge {
    name: String,
    role: String,
    /// `ok`, or why it cannot be reached.
    state: String,
    /// Those of others included.
    flows: usize,
    /// What others have done to its flows.
    foreign: ForeignStatus,
}

/// Shows them.
///
/// # Errors
/// When the agent cannot be asked.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let status = agent::admin::status(&options.state_dir.admin_socket()).await?;
    options.format.print(&bridges(status), text)?;
    Ok(ExitCode::SUCCESS)
}

fn bridges(status: Status) -> Bridges {
    let Status { connections, bridge, underlays, .. } = status;
    let integration = Bridge {
        name: bridge.name,
        role: "every port is plugged in here".to_owned(),
        state: connections.switch,
        flows: bridge.flows,
        foreign: bridge.foreign,
    };
    let others = underlays.into_iter().map(|underlay| Bridge {
        name: underlay.bridge,
        role: format!("carries {}", underlay.name),
        state: underlay.state,
        flows: underlay.flows,
        foreign: underlay.foreign,
    });
    Bridges { bridges: std::iter::once(integration).chain(others).collect() }
}

fn text(answer: &Bridges) -> String {
    let rows = answer.bridges.iter().map(|bridge| {
        let Bridge { name, role, state, flows, foreign } = bridge;
        let by_others = foreign.removed + foreign.changed + foreign.added;
        [
            name.clone(),
            role.clone(),
            state.clone(),
            flows.to_string(),
            by_others.to_string(),
            foreign.mended.to_string(),
        ]
    });
    let heading = ["bridge", "what for", "state", "flows", "changed by others", "mended"];
    table(heading, rows.collect())
}

#[cfg(test)]
mod tests {
    use agent::status::{BridgeStatus, UnderlayStatus};

    use super::*;

    #[test]
    fn for_people() {
        let mut status = Status {
            bridge: BridgeStatus { name: "br-int".to_owned(), flows: 40, ..Default::default() },
            underlays: vec![UnderlayStatus {
                name: "physnet1".to_owned(),
                bridge: "br-phys".to_owned(),
                state: "no socket".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        status.connections.switch = "ok".to_owned();
        status.bridge.foreign = ForeignStatus { removed: 2, mended: 2, ..Default::default() };
        expect_test::expect![[r#"
            BRIDGE   WHAT FOR                       STATE      FLOWS  CHANGED BY OTHERS  MENDED
            br-int   every port is plugged in here  ok         40     2                  2
            br-phys  carries physnet1               no socket  0      0                  0
        "#]]
        .assert_eq(&text(&bridges(status)));
    }
}
