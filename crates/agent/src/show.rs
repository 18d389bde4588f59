//! The flows of a bridge, each with whom it is there for and what it does, for somebody who has
//! never seen them. Pure.

use std::collections::BTreeMap;

use dataplane::bridge::Desired;
use dataplane::bridge::layout::{self, DropReason, Kind, Owner, Table};
use dataplane::{LocalPort, Snapshot};
use model::SecurityGroupId;
use openflow::{Action, Flow, FlowStats};
use serde::{Deserialize, Serialize};

use crate::cache::Names;

/// The flows of a bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownBridge {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: String,
    /// Its tables that hold flows, in the order of their numbers.
    pub tables: Vec<ShownTable>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownTable {
    /// Its number.
    pub number: u8,
    /// Its name; none for one that Weir does not use.
    pub name: Option<String>,
    /// What it decides.
    pub about: Option<String>,
    /// Its flows, the highest priority first.
    pub flows: Vec<ShownFlow>,
}

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownFlow {
    /// Its priority.
    pub priority: u16,
    /// Packets that it took.
    pub packets: u64,
    /// Bytes that it took.
    pub bytes: u64,
    /// Whom it is there for.
    pub owner: String,
    /// What it does, where that can be said in a few words.
    pub purpose: Option<String>,
    /// What it matches, in ovs-ofctl syntax; empty for everything.
    pub matches: String,
    /// What it does, in ovs-ofctl syntax with names of tables.
    pub actions: String,
}

/// By which owners are known.
pub(crate) struct Whose<'a> {
    /// The node's ports and networks.
    pub(crate) snapshot: &'a Snapshot,
    /// Which port has which policy.
    pub(crate) desired: &'a Desired,
    /// What people call the groups.
    pub(crate) names: &'a Names,
    /// The interface of each port.
    pub(crate) interfaces: &'a BTreeMap<String, String>,
}

/// The tables of a bridge with these flows.
pub(crate) fn tables(known: &[Table], stats: &[FlowStats], whose: &Whose<'_>) -> Vec<ShownTable> {
    let mut tables: BTreeMap<u8, Vec<&FlowStats>> = BTreeMap::new();
    for stat in stats {
        tables.entry(stat.flow.table.0).or_default().push(stat);
    }
    let shown = tables.into_iter().map(|(number, mut stats)| {
        stats.sort_by(|a, b| {
            let order = |it: &FlowStats| (std::cmp::Reverse(it.flow.priority), it.flow.cookie);
            order(a).cmp(&order(b)).then_with(|| a.flow.to_string().cmp(&b.flow.to_string()))
        });
        let table = known.iter().find(|table| table.id.0 == number);
        ShownTable {
            number,
            name: table.map(|table| table.name.to_owned()),
            about: table.map(|table| plain(table.about)),
            flows: stats.into_iter().map(|stat| flow(known, stat, whose)).collect(),
        }
    });
    shown.collect()
}

/// Documentation without its marks.
fn plain(about: &str) -> String {
    about.trim().replace("[`", "").replace("`]", "")
}

fn flow(known: &[Table], stat: &FlowStats, whose: &Whose<'_>) -> ShownFlow {
    let text = layout::with_names_of(known, &stat.flow);
    let (head, actions) = text.split_once(" actions=").unwrap_or((&text, ""));
    let priority = format!("priority={}", stat.flow.priority.0);
    let matches = head.split_once(&priority).map_or(head, |(_, rest)| rest);
    ShownFlow {
        priority: stat.flow.priority.0,
        packets: stat.packets,
        bytes: stat.bytes,
        owner: whose.owner(&stat.flow),
        purpose: purpose(&stat.flow),
        matches: matches.trim_start_matches(',').to_owned(),
        actions: actions.to_owned(),
    }
}

/// What a flow of Weir's does with a packet that ends by it.
fn purpose(flow: &Flow) -> Option<String> {
    if !layout::is_weir(flow.cookie) {
        return None;
    }
    let reason =
        |number: u128| DropReason::ALL.iter().find(|reason| u128::from(reason.number()) == number);
    let refuses = flow.actions.iter().find_map(|action| match action {
        Action::SetField { dst, value } if *dst == layout::REASON => reason(*value),
        _ => None,
    });
    if let Some(reason) = refuses {
        return Some(format!("refuses: {}", reason.text()));
    }
    if flow.actions.is_empty() {
        let counted = flow.matches.exact(layout::REASON.field()).and_then(reason);
        return Some(match counted {
            Some(reason) if flow.table == layout::DROPPED => {
                format!("counts what is refused: {}", reason.text())
            }
            _ => "ends here".to_owned(),
        });
    }
    let says = |action: &Action| match action {
        Action::Learn(_) => Some("learns from it"),
        Action::Ct(ct) if ct.commit => Some("opens or changes a connection"),
        Action::Ct(_) => Some("looks up its connection"),
        Action::Output(_) | Action::OutputField(_) => Some("sends it out"),
        _ => None,
    };
    let mut words: Vec<&str> = flow.actions.iter().filter_map(says).collect();
    words.dedup();
    (!words.is_empty()).then(|| words.join(", then "))
}

impl Whose<'_> {
    fn owner(&self, flow: &Flow) -> String {
        let Some(owner) = Owner::of(flow.cookie) else {
            let whose = if layout::is_weir(flow.cookie) { "another version" } else { "not Weir" };
            return format!("{whose} (cookie {:#x})", flow.cookie.0);
        };
        let object = owner.object;
        match owner.kind {
            Kind::Base => "every node".to_owned(),
            Kind::Port => self.port(owner),
            Kind::Policy => self.policy(owner),
            Kind::Network => self.network(object),
            Kind::Learned => format!("learned by the switch for {}", self.network(object)),
            kind => format!("{} {object}", kind.name()),
        }
    }

    fn port(&self, owner: Owner) -> String {
        let mut ids = self.snapshot.ports.keys().filter(|id| Owner::port(**id) == owner);
        let Some(id) = ids.next() else {
            return format!("a port that has gone ({:010x})", owner.object);
        };
        let id = id.to_string();
        match self.interfaces.get(&id) {
            Some(interface) => format!("port {id} ({interface})"),
            None => format!("port {id}"),
        }
    }

    fn policy(&self, owner: Owner) -> String {
        let has = |local: &&LocalPort| {
            let policy = self.desired.policies.get(&local.port.id);
            policy.is_some_and(|policy| Owner::policy(*policy) == owner)
        };
        let Some(local) = self.snapshot.ports.values().find(has) else {
            return "groups that no port has any more".to_owned();
        };
        let name = |id: &SecurityGroupId| match self.names.groups.get(id) {
            Some(name) => format!("{name} ({id})"),
            None => id.to_string(),
        };
        let groups: Vec<String> = local.port.groups.iter().map(name).collect();
        match groups.as_slice() {
            [] => "ports without groups".to_owned(),
            [one] => format!("group {one}"),
            several => format!("groups {}", several.join(", ")),
        }
    }

    fn network(&self, vlan: u64) -> String {
        let mut networks = self.snapshot.networks.iter();
        match networks.find(|(_, network)| u64::from(network.vlan.get()) == vlan) {
            Some((id, _)) => format!("network {id} (local VLAN {vlan})"),
            None => format!("local VLAN {vlan}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_flow_does_in_words() {
        for (flow, words) in [
            (
                "cookie=0x3e17010000000000, table=160, priority=0 \
                 actions=load:0x1->NXM_NX_REG9[],goto_table:193",
                Some("refuses: the port is not known, or may not use this source MAC address"),
            ),
            (
                "cookie=0x3e17010000000000, table=193, priority=100,reg9=0x9 actions=drop",
                Some("counts what is refused: no ingress rule allows it"),
            ),
            ("cookie=0x3e17010000000000, table=193, priority=0 actions=drop", Some("ends here")),
            ("cookie=0x3e17010000000000, table=100, priority=0 actions=goto_table:158", None),
            (
                "cookie=0x3e17010000000000, table=185, priority=0 \
                 actions=ct(commit,zone=1),output:NXM_NX_REG5[]",
                Some("opens or changes a connection, then sends it out"),
            ),
            ("cookie=0x7, table=0, priority=0 actions=drop", None),
        ] {
            let flow: Flow = flow.parse().unwrap();
            assert_eq!(purpose(&flow).as_deref(), words, "{flow}");
        }
    }

    #[test]
    fn documentation_is_text() {
        assert_eq!(plain(" What [`LEARN`] has learned."), "What LEARN has learned.");
    }
}
