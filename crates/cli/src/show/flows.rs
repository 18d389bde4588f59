//! `weir show flows`: the flows of a bridge table by table, for somebody who has never seen them.

use std::{fmt::Write as _, process::ExitCode};

use agent::show::{ShownBridge, ShownTable};
use anyhow::bail;

use crate::{
    output::{Format, table},
    state_dir::StateDir,
};

/// Which flows, and how to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The bridge, such as br-int
    #[arg(value_name = "BRIDGE")]
    bridge: String,
    /// One table alone, by its number or its name
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    /// Only flows whose owner has this text in it: an id, an interface, 'not Weir'
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    #[command(flatten)]
    state_dir: StateDir,
    #[command(flatten)]
    format: Format,
}

/// Shows them.
///
/// # Errors
/// When the agent cannot be asked, does not look after the bridge, or the bridge has no such table.
pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let socket = options.state_dir.admin_socket();
    let mut bridge = agent::admin::flows(&socket, &options.bridge).await?;
    if let Some(wanted) = &options.table {
        let is_wanted = |table: &ShownTable| {
            table.number.to_string() == *wanted || table.name.as_ref() == Some(wanted)
        };
        bridge.tables.retain(is_wanted);
        if bridge.tables.is_empty() {
            bail!("bridge {} has no flows in a table {wanted}", bridge.name);
        }
    }
    if let Some(text) = &options.owner {
        for table in &mut bridge.tables {
            table.flows.retain(|flow| flow.owner.contains(text));
        }
        bridge.tables.retain(|table| !table.flows.is_empty());
    }
    options.format.print(&bridge, text)?;
    Ok(ExitCode::SUCCESS)
}

fn text(bridge: &ShownBridge) -> String {
    let flows: usize = bridge.tables.iter().map(|table| table.flows.len()).sum();
    let mut text = format!("{} ({}), {flows} flows\n", bridge.name, bridge.role);
    for ShownTable { number, name, about, flows } in &bridge.tables {
        let name = name.as_deref().unwrap_or("(not Weir's)");
        // A string takes everything.
        let _ = writeln!(text, "\ntable {number} {name}");
        if let Some(about) = about {
            let _ = writeln!(text, "{about}");
        }
        let rows = flows.iter().map(|flow| {
            let matches = if flow.matches.is_empty() { "everything" } else { &flow.matches };
            [
                flow.priority.to_string(),
                flow.packets.to_string(),
                flow.owner.clone(),
                flow.purpose.clone().unwrap_or_default(),
                format!("{matches} -> {}", flow.actions),
            ]
        });
        text += &table(["priority", "packets", "for", "what", "flow"], rows.collect());
    }
    text
}

#[cfg(test)]
mod tests {
    use agent::show::ShownFlow;

    use super::*;

    #[test]
    fn for_people() {
        let flow = ShownFlow {
            priority: 0,
            packets: 3,
            bytes: 180,
            owner: "every node".to_owned(),
            purpose: Some("refuses: no rule".to_owned()),
            matches: String::new(),
            actions: "drop".to_owned(),
        };
        let foreign = ShownFlow {
            owner: "not Weir (cookie 0x1)".to_owned(),
            purpose: None,
            matches: "in_port=2".to_owned(),
            ..flow.clone()
        };
        let named = ShownTable {
            number: 160,
            name: Some("TRANSIENT".to_owned()),
            about: Some("Where a frame comes from.".to_owned()),
            flows: vec![flow],
        };
        let other = ShownTable { number: 161, name: None, about: None, flows: vec![foreign] };
        let bridge = ShownBridge {
            name: "br-int".to_owned(),
            role: "integration".to_owned(),
            tables: vec![named, other],
        };
        expect_test::expect![[r#"
            br-int (integration), 2 flows

            table 160 TRANSIENT
            Where a frame comes from.
            PRIORITY  PACKETS  FOR         WHAT              FLOW
            0         3        every node  refuses: no rule  everything -> drop

            table 161 (not Weir's)
            PRIORITY  PACKETS  FOR                    WHAT  FLOW
            0         3        not Weir (cookie 0x1)        in_port=2 -> drop
        "#]]
        .assert_eq(&text(&bridge));
    }
}
