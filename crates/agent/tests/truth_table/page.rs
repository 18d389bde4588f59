//! `docs/firewall.md`, printed from the table.

use std::fmt::Write as _;
use std::path::Path;

use dataplane::bridge::layout::DropReason;

use crate::cases::row::{Act, Netfilter, Row, Verdict};

const HEAD: &str = "\
# What the firewall does with every class of packet

Every row is a test: `crates/agent/tests/truth_table` sends the packets between machines on a real
switch and listens at every port. `crates/cli/tests/neutron/firewall` does the same on two hosts that
a real Neutron describes, for all rows but those with the option `strict_equivalence`, which no
file of Neutron's has. This page is printed from the table that both run;
`UPDATE_EXPECT=1 cargo test -p weir-agent --test truth_table` rewrites it.

\"Own\" is what a port may use: its MAC address with its fixed addresses and its IPv6 link-local
address, and its allowed address pairs. A refused packet is counted in table 193 under the reason
that the row gives. What is delivered reaches the machine that it is for and no other. Where the
family is not named, the row holds for IPv4 and IPv6. \"Beyond the node\" is whoever is on the wire of
a physical network, in the VLAN of a network that this node has.
";

/// Differences that are not in what a packet gets: the case, Neutron, Weir.
const DIFFERENCES: [[&str; 3]; 2] = [
    [
        "The two differences between Neutron's own drivers: packets that conntrack calls invalid, \
         and multicast and broadcast into a port",
        "refused, and delivered to everybody; with `iptables_hybrid`, delivered where a rule \
         matches",
        "the same; with the option `strict_equivalence`, invalid packets are refused, and \
         multicast and broadcast delivered where a rule matches",
    ],
    [
        "A port that cannot be set up",
        "given up after five failures, with a line in the log",
        "tried again, each time later; `weir status` says why",
    ],
];

const NETFILTER: &str = "
## Where netfilter filters

On a node with `iptables_hybrid` ([hybrid.md](hybrid.md)) all machines of the table are behind Linux
bridges, and every row is a test there, too, with a real Neutron as well. What netfilter drops is counted by its rules, and not in
table 193. These rows are other than above:

| packet | `openvswitch` | `iptables_hybrid` |
| --- | --- | --- |
";

/// Compares the page with the file, or rewrites the file.
pub(crate) fn check(acts: &[Act]) {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/firewall.md"));
    let printed = print(acts);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    let file = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        file == printed,
        "docs/firewall.md is not what the table says; UPDATE_EXPECT=1 rewrites it"
    );
}

fn print(acts: &[Act]) -> String {
    let mut page = HEAD.to_owned();
    let mut title = "";
    for section in acts.iter().flat_map(|act| &act.sections) {
        if section.title != title {
            title = section.title;
            write!(page, "\n## {title}\n\n| packet | verdict |\n| --- | --- |\n").unwrap();
        }
        for row in &section.rows {
            writeln!(page, "| {} | {} |", what(row), verdict(row)).unwrap();
        }
    }
    page.push_str("\n## Differences from Neutron\n\n");
    page.push_str("| case | Neutron's native driver | Weir |\n| --- | --- | --- |\n");
    for section in acts.iter().flat_map(|act| &act.sections) {
        for row in &section.rows {
            if let Some(neutron) = row.neutron {
                let (title, what, weir) = (section.title, what(row), verdict(row));
                writeln!(page, "| {title}: {what} | {neutron} | {weir} |").unwrap();
            }
        }
    }
    for [case, neutron, weir] in DIFFERENCES {
        writeln!(page, "| {case} | {neutron} | {weir} |").unwrap();
    }
    page.push_str(NETFILTER);
    for section in acts.iter().flat_map(|act| &act.sections) {
        for row in &section.rows {
            if let Some(netfilter) = row.netfilter {
                let (title, what, flows) = (section.title, what(row), verdict(row));
                let netfilter = verdict_of_netfilter(netfilter);
                writeln!(page, "| {title}: {what} | {flows} | {netfilter} |").unwrap();
            }
        }
    }
    page
}

fn verdict_of_netfilter(verdict: Netfilter) -> &'static str {
    match verdict {
        Netfilter::Delivers => "delivered",
        Netfilter::Floods => "to everybody on the network",
        Netfilter::Admits(_) => "to those whose rules allow it, and to unmanaged ports",
        Netfilter::Answers(_) => "to unmanaged ports, and to whoever has asked",
        Netfilter::Drops => "dropped",
    }
}

fn what(row: &Row) -> String {
    match row.datapath {
        None => row.what.to_owned(),
        Some("netdev") => format!("{} (userspace datapath)", row.what),
        Some(_) => format!("{} (kernel datapath)", row.what),
    }
}

fn verdict(row: &Row) -> String {
    match row.verdict() {
        Verdict::Reaches(_) => "delivered".to_owned(),
        Verdict::Floods => "to everybody on the network".to_owned(),
        Verdict::Strays => "to the unmanaged ports of the network, and beyond the node".to_owned(),
        Verdict::Admitted(..) => "to those whose rules allow it, and to unmanaged ports".to_owned(),
        Verdict::Refused(reason) => format!("refused: {}", reason.text()),
        Verdict::Outside => "dropped where it comes in".to_owned(),
        Verdict::Cut => format!("refused: {}", DropReason::Revoked.text()),
    }
}
