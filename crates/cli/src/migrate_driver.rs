//! `weir migrate-driver`: moves virtual machines that run from one firewall driver to the other.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use agent::rewire::{Migrate, MoveStatus};
use clap::ValueEnum as _;

use crate::{
    output::{Format, table},
    state_dir::StateDir,
};

/// A port could not be moved.
const UNDONE: u8 = 5;
/// How often the agent is asked how far it is.
const PAUSE: Duration = Duration::from_millis(200);

/// Whom to ask, what to move where, and how to print.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The machine keeps its connections. Flows and netfilter both filter the port while it \
                  is plugged in anew; what fails is undone. A port keeps the driver that it was moved \
                  to, whatever the firewall_driver of the node.\n\n\
                  Moves that have begun go on when this command is interrupted; 'weir status' shows \
                  them.\n\n\
                  Exit status: 0 if all are moved, 5 if one could not be and is as it was, 1 if the \
                  agent cannot be asked."
)]
pub(crate) struct Options {
    /// The driver that the ports are to have
    #[arg(long, value_enum)]
    to: Driver,
    /// Ids of ports or names of their interfaces [default: all ports of this machine that can be moved]
    #[arg(value_name = "PORT")]
    ports: Vec<String>,
    #[command(flatten)]
    state_dir: StateDir,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Driver {
    /// Flows filter; there is no Linux bridge
    Openvswitch,
    /// Netfilter filters, on a Linux bridge
    #[value(name = "iptables_hybrid")]
    IptablesHybrid,
}

/// Moves ports, waits until that is over, and prints what became of each.
///
/// # Errors
/// When the agent cannot be asked, or takes nothing of it.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let socket = options.state_dir.admin_socket();
    let to = options.to.to_possible_value().map(|value| value.get_name().to_owned());
    let migrate = Migrate { to: to.unwrap_or_default(), ports: options.ports };
    let mut moves = agent::admin::migrate(&socket, migrate).await?;
    let ports: BTreeSet<String> = moves.iter().map(|it| it.port.clone()).collect();
    let mut told = 0;
    while moves.iter().any(|it| it.is_under_way) {
        tokio::time::sleep(PAUSE).await;
        moves = moves_of(&socket, &ports).await?;
        let over = moves.iter().filter(|it| !it.is_under_way).count();
        if over > told {
            told = over;
            // There is no one else to tell when standard error is closed.
            let _told = writeln!(io::stderr(), "{over} of {} ports are done", ports.len());
        }
    }
    options.format.print(&moves, |moves| text(moves))?;
    let is_any_undone = moves.iter().any(|it| it.is_undone);
    Ok(if is_any_undone { ExitCode::from(UNDONE) } else { ExitCode::SUCCESS })
}

async fn moves_of(socket: &Path, ports: &BTreeSet<String>) -> anyhow::Result<Vec<MoveStatus>> {
    let mut moves = agent::admin::moves(socket).await?;
    moves.retain(|it| ports.contains(&it.port));
    Ok(moves)
}

fn text(moves: &[MoveStatus]) -> String {
    if moves.is_empty() {
        return "there is nothing to move".to_owned();
    }
    let row = |it: &MoveStatus| {
        let step = if it.is_undone { format!("as it was: {}", it.step) } else { it.step.clone() };
        [it.port.clone(), it.interface.clone(), it.to.clone(), step]
    };
    table(["port", "interface", "driver", "move"], moves.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        assert_eq!(text(&[]), "there is nothing to move");
        let moved = MoveStatus {
            port: "6a0e".to_owned(),
            interface: "tap6a0e".to_owned(),
            to: "openvswitch".to_owned(),
            is_under_way: false,
            step: "done; the machine was cut off for 17 ms at most".to_owned(),
            is_undone: false,
            cut_off_ms: Some(17.0),
        };
        let undone = MoveStatus {
            port: "77".to_owned(),
            step: "qbr77 is there already".to_owned(),
            is_undone: true,
            cut_off_ms: None,
            ..moved.clone()
        };
        assert_eq!(
            text(&[moved, undone]),
            "PORT  INTERFACE  DRIVER       MOVE\n\
             6a0e  tap6a0e    openvswitch  done; the machine was cut off for 17 ms at most\n\
             77    tap6a0e    openvswitch  as it was: qbr77 is there already\n"
        );
    }
}
