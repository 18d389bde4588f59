//! What the rules are like: as many in every shape, and very different in what they cost.

use serde::Serialize;
use serde_json::{Value, json};

/// The lowest port of the ranges of [`Shape::Merged`].
const FIRST_PORT: u32 = 3000;
/// How many different ports the rules of the other shapes have: every other one, so that no two
/// are a range.
const PORTS: u16 = 30_000;

/// What the rules are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum Shape {
    /// One group for all ports; its rules are port ranges that begin alike, and become one
    Merged,
    /// One group for all ports; no two of its rules can be merged
    Distinct,
    /// A group for each port; no two of its rules can be merged, and no two groups are alike
    Unshared,
}

impl Shape {
    /// How many groups these ports have.
    pub(super) fn groups(self, ports: u16) -> u16 {
        match self {
            Self::Merged | Self::Distinct => 1,
            Self::Unshared => ports,
        }
    }

    /// How many groups are remote groups of rules, and of no port that is plugged in.
    pub(super) fn remote_groups(self) -> u16 {
        match self {
            Self::Merged => 0,
            Self::Distinct | Self::Unshared => 4,
        }
    }

    /// The most rules that a group can have.
    pub(super) fn most_rules(self) -> u16 {
        match self {
            Self::Merged => u16::MAX,
            Self::Distinct | Self::Unshared => PORTS,
        }
    }

    /// Rule `number` of group `of`, whose id is `group`, for the API.
    pub(super) fn rule(self, (of, group): (u16, &str), remotes: &[String], number: u16) -> Value {
        let rank = number / 10 % self.remote_groups().max(1);
        let (number, of) = (u32::from(number), u32::from(of));
        let port = 1 + 2 * ((number + 7 * of) % u32::from(PORTS));
        let (low, high) = match self {
            Self::Merged => (FIRST_PORT, FIRST_PORT + number),
            Self::Distinct | Self::Unshared => (port, port),
        };
        // Of ten rules, four are for anybody, five for a prefix and one for a remote group.
        let (mut prefix, mut remote) = (None, None);
        match (self, number % 10) {
            (Self::Merged, _) | (_, 0..4) => {}
            (_, 9) => remote = remotes.iter().cycle().nth(usize::from(rank)),
            _ => prefix = Some(format!("10.{}.{}.0/24", 32 + number % 200, of % 250)),
        }
        json!({
            "security_group_id": group,
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": "tcp",
            "port_range_min": low,
            "port_range_max": high,
            "remote_ip_prefix": prefix,
            "remote_group_id": remote,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_rules_are_alike_or_neighbours() {
        let remotes = ["a", "b", "c", "d"].map(str::to_owned);
        let rules: Vec<Value> =
            (0..1000).map(|number| Shape::Distinct.rule((0, "g"), &remotes, number)).collect();
        let ports: BTreeSet<u64> =
            rules.iter().map(|rule| rule["port_range_min"].as_u64().unwrap()).collect();
        assert_eq!(ports.len(), 1000);
        assert!(ports.iter().zip(ports.iter().skip(1)).all(|(low, high)| high - low == 2));
        let used: BTreeSet<&str> =
            rules.iter().filter_map(|rule| rule["remote_group_id"].as_str()).collect();
        assert_eq!(used.len(), 4);
    }

    #[test]
    fn no_two_groups_are_alike() {
        let first = |of| Shape::Unshared.rule((of, "g"), &[], 0);
        let different: BTreeSet<String> = (0..4000).map(|of| first(of).to_string()).collect();
        assert_eq!(different.len(), 4000);
    }
}
