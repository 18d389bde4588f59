//! `weir status`: how this machine is, as its agent says.

use std::process::ExitCode;

use agent::status::{ForeignStatus, PortStatus, Status, TrunkStatus, UnderlayStatus};

use crate::{
    output::{Format, pairs, table},
    state_dir::StateDir,
};

/// Something is not up.
const NOT_UP: u8 = 3;

/// Whom to ask, and how to print.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit status: 0 if everything is up, 3 if something is not, 1 if the agent \
                        cannot be asked."
)]
pub(crate) struct Options {
    #[command(flatten)]
    state_dir: StateDir,
    #[command(flatten)]
    format: Format,
}

/// Prints the status. The exit code tells whether everything is up.
///
/// # Errors
/// When the agent cannot be asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let status = agent::admin::status(&options.state_dir.admin_socket()).await?;
    options.format.print(&status, text)?;
    Ok(if everything_is_up(&status) { ExitCode::SUCCESS } else { ExitCode::from(NOT_UP) })
}

fn everything_is_up(status: &Status) -> bool {
    let connections = &status.connections;
    let agent::status::Connections { ovsdb, switch, server, conntrack } = connections;
    [ovsdb, switch, server, conntrack].iter().all(|it| *it == "ok")
        && status.underlays.iter().all(|underlay| underlay.state == "ok")
        && foreign(status).all(|(_, foreign)| foreign.damaged == 0)
        && status.refused.is_empty()
        && status.ports.iter().all(|port| port.up)
        && status.trunks.iter().all(|trunk| trunk.up)
}

/// What others have done to the flows of each bridge.
fn foreign(status: &Status) -> impl Iterator<Item = (&str, &ForeignStatus)> {
    let integration = (status.bridge.name.as_str(), &status.bridge.foreign);
    let underlays = status.underlays.iter().map(|it| (it.bridge.as_str(), &it.foreign));
    std::iter::once(integration).chain(underlays)
}

/// Where others have done anything, or it would not be seen: what, and what became of it.
fn changes_by_others(foreign: &ForeignStatus) -> Option<[String; 3]> {
    let ForeignStatus { watched, removed, changed, added, mended, damaged, held, .. } = foreign;
    let trouble = (watched != "ok").then(|| format!("({watched})"));
    let Some(last) = &foreign.last else { return Some([none(), none(), trouble?]) };
    let done = [(removed, "deleted"), (changed, "changed"), (added, "added")];
    let done = done.iter().filter(|(count, _)| **count > 0);
    let done: Vec<_> = done.map(|(count, what)| format!("{count} {what}")).collect();
    let rest = match (damaged, held) {
        (0, _) => String::new(),
        (rest, false) => format!(", {rest} not yet"),
        (rest, true) => format!(", {rest} not yet: somebody does it again and again"),
    };
    let ago = foreign.last_seconds_ago.unwrap_or_default();
    let trouble = trouble.map(|trouble| format!(" {trouble}")).unwrap_or_default();
    Some([done.join(", "), format!("{mended}{rest}"), format!("{ago} s ago {last}{trouble}")])
}

fn text(status: &Status) -> String {
    let Status { host, connections, bridge, underlays, networks, ports, trunks, refused } = status;
    let flows = format!(
        "{}: {} flows; {} sent in {} bundles since the start",
        bridge.name, bridge.flows, bridge.flow_mods, bridge.bundles
    );
    let mut text = pairs(vec![
        ["host".to_owned(), host.clone()],
        ["ovsdb".to_owned(), connections.ovsdb.clone()],
        ["switch".to_owned(), connections.switch.clone()],
        ["server".to_owned(), connections.server.clone()],
        ["conntrack".to_owned(), connections.conntrack.clone()],
        ["bridge".to_owned(), flows],
    ]);
    if !underlays.is_empty() {
        let rows = underlays.iter().map(|underlay| {
            let UnderlayStatus { name, bridge, state, flows, foreign: _ } = underlay;
            [name.clone(), bridge.clone(), flows.to_string(), state.clone()]
        });
        let heading = ["underlay", "bridge", "flows", "state"];
        text = text + "\n" + &table(heading, rows.collect());
    }
    if !networks.is_empty() {
        let rows = networks.iter().map(|network| {
            [
                network.id.clone(),
                network.vlan.to_string(),
                network.network_type.clone(),
                network.physical_network.clone().unwrap_or_else(none),
                network.segmentation_id.map_or_else(none, |id| id.to_string()),
                network.ports.to_string(),
            ]
        });
        let heading = ["network", "local vlan", "type", "physical network", "segment", "ports"];
        text = text + "\n" + &table(heading, rows.collect());
    }
    if !ports.is_empty() {
        let rows = ports.iter().map(|port| {
            [
                port.id.clone(),
                port.interface.clone(),
                port.ofport.map_or_else(none, |ofport| ofport.to_string()),
                port.network.clone().unwrap_or_else(none),
                port.filtered_by.clone().unwrap_or_else(none),
                state(port),
            ]
        });
        let heading = ["port", "interface", "ofport", "network", "filtered by", "state"];
        text = text + "\n" + &table(heading, rows.collect());
    }
    if !trunks.is_empty() {
        let rows = trunks.iter().map(|trunk| {
            let TrunkStatus { bridge, id, parent, subports, up, state } = trunk;
            let word = if *up { "" } else { "not up: " };
            let vlans: Vec<String> = subports.iter().map(|it| it.vlan.to_string()).collect();
            let vlans = if vlans.is_empty() { none() } else { vlans.join(" ") };
            let id = id.clone().unwrap_or_else(none);
            [id, bridge.clone(), parent.clone(), vlans, format!("{word}{state}")]
        });
        let heading = ["trunk", "bridge", "parent port", "vlans", "state"];
        text = text + "\n" + &table(heading, rows.collect());
    }
    let rows = foreign(status).filter_map(|(bridge, foreign)| {
        let [done, mended, last] = changes_by_others(foreign)?;
        Some([bridge.to_owned(), done, mended, last])
    });
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        let heading = ["flows others changed on", "how many", "mended", "the last one"];
        text = text + "\n" + &table(heading, rows);
    }
    if !refused.is_empty() {
        let rows = refused.iter().map(|refused| {
            let whose = format!("{} {} {:#x}", refused.bridge, refused.kind, refused.object);
            [whose, refused.times.to_string(), refused.message.clone()]
        });
        text =
            text + "\n" + &table(["refused flows of", "times", "the switch says"], rows.collect());
    }
    text
}

/// Where a port stands, and what does not work although it is up.
fn state(port: &PortStatus) -> String {
    let warnings = port.warnings.iter().map(|warning| format!("; {warning}"));
    let word = if port.up { "" } else { "not up: " };
    format!("{word}{}{}", port.state, warnings.collect::<String>())
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use agent::status::{BridgeStatus, Connections, NetworkStatus, RefusedStatus, SubPortStatus};

    use super::*;

    fn healthy() -> Status {
        let ok = || "ok".to_owned();
        Status {
            host: "node1".to_owned(),
            connections: Connections { ovsdb: ok(), switch: ok(), server: ok(), conntrack: ok() },
            bridge: BridgeStatus {
                name: "br-int".to_owned(),
                flows: 40,
                flow_mods: 39,
                bundles: 2,
                foreign: unharmed(),
            },
            underlays: vec![UnderlayStatus {
                name: "physnet1".to_owned(),
                bridge: "br-phys".to_owned(),
                state: ok(),
                flows: 3,
                foreign: unharmed(),
            }],
            networks: vec![NetworkStatus {
                id: "net".to_owned(),
                vlan: 1,
                network_type: "vlan".to_owned(),
                physical_network: Some("physnet1".to_owned()),
                segmentation_id: Some(100),
                ports: 1,
            }],
            ports: vec![PortStatus {
                id: "port".to_owned(),
                interface: "tapport".to_owned(),
                ofport: Some(7),
                network: Some("net".to_owned()),
                filtered_by: Some("flows".to_owned()),
                up: true,
                state: "up".to_owned(),
                warnings: vec!["no IPv6".to_owned()],
            }],
            trunks: vec![TrunkStatus {
                bridge: "tbr-trunk".to_owned(),
                id: Some("trunk".to_owned()),
                parent: "port".to_owned(),
                subports: [101, 102]
                    .map(|vlan| SubPortStatus { id: "sub".to_owned(), vlan })
                    .into(),
                up: true,
                state: "up".to_owned(),
            }],
            refused: Vec::new(),
        }
    }

    #[test]
    fn for_people() {
        let mut status = healthy();
        status.refused.push(RefusedStatus {
            bridge: "br-int".to_owned(),
            kind: "port".to_owned(),
            object: 16,
            message: "table full".to_owned(),
            times: 2,
        });
        expect_test::expect![[r#"
            host       node1
            ovsdb      ok
            switch     ok
            server     ok
            conntrack  ok
            bridge     br-int: 40 flows; 39 sent in 2 bundles since the start

            UNDERLAY  BRIDGE   FLOWS  STATE
            physnet1  br-phys  3      ok

            NETWORK  LOCAL VLAN  TYPE  PHYSICAL NETWORK  SEGMENT  PORTS
            net      1           vlan  physnet1          100      1

            PORT  INTERFACE  OFPORT  NETWORK  FILTERED BY  STATE
            port  tapport    7       net      flows        up; no IPv6

            TRUNK  BRIDGE     PARENT PORT  VLANS    STATE
            trunk  tbr-trunk  port         101 102  up

            REFUSED FLOWS OF  TIMES  THE SWITCH SAYS
            br-int port 0x10  2      table full
        "#]]
        .assert_eq(&text(&status));
    }

    fn unharmed() -> ForeignStatus {
        ForeignStatus { watched: "ok".to_owned(), ..ForeignStatus::default() }
    }

    #[test]
    fn what_others_did_is_told() {
        let mut status = healthy();
        let before = text(&status);
        let last = Some("deleted: cookie=0x7, table=160 actions=drop".to_owned());
        status.bridge.foreign = ForeignStatus {
            removed: 3,
            added: 1,
            mended: 4,
            last: last.clone(),
            last_seconds_ago: Some(7),
            ..unharmed()
        };
        assert!(everything_is_up(&status));
        let watched = "it does not tell".to_owned();
        status.underlays[0].foreign = ForeignStatus { watched, ..unharmed() };
        let told = text(&status);
        expect_test::expect![[r#"

            FLOWS OTHERS CHANGED ON  HOW MANY            MENDED  THE LAST ONE
            br-int                   3 deleted, 1 added  4       7 s ago deleted: cookie=0x7, table=160 actions=drop
            br-phys                  -                   -       (it does not tell)
        "#]].assert_eq(told.strip_prefix(&before).unwrap());
        status.underlays.clear();
        let foreign = &mut status.bridge.foreign;
        (foreign.damaged, foreign.held) = (2, true);
        assert!(!everything_is_up(&status));
        expect_test::expect!["4, 2 not yet: somebody does it again and again"]
            .assert_eq(&changes_by_others(&status.bridge.foreign).unwrap()[1]);
    }

    #[test]
    fn one_thing_that_is_not_up_is_enough() {
        assert!(everything_is_up(&healthy()));
        let mut status = healthy();
        status.connections.switch = "no socket".to_owned();
        assert!(!everything_is_up(&status));
        let mut status = healthy();
        status.underlays[0].state = "no socket".to_owned();
        assert!(!everything_is_up(&status));
        let mut status = healthy();
        status.ports[0].up = false;
        assert!(!everything_is_up(&status));
        assert_eq!(state(&status.ports[0]), "not up: up; no IPv6");
        let mut status = healthy();
        status.trunks[0].up = false;
        assert!(!everything_is_up(&status));
    }
}
