//! What comes out of a verification.

use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many verdicts were checked.
    pub checked: u64,
    /// How many there are. Where it is more, time was up.
    pub of: u64,
    /// How many of those checked differ from what the security groups say.
    pub differ: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// How many flows the switch holds.
    pub flows: usize,
    /// How many ports there are.
    pub ports: usize,
    /// How many of them were looked at.
    pub ports_checked: usize,
    /// How many policies there are: sets of security groups, in one direction.
    pub policies: usize,
    /// How many of them were looked at.
    pub policies_checked: usize,
    /// What the switch itself says of some of the packets.
    pub switch: Traced,
    /// What netfilter does, where it is to filter ports.
    pub netfilter: Option<Filtered>,
}

/// What was found of netfilter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// How many verdicts were checked.
    pub checked: u64,
    /// How many there are. Where it is more, time was up.
    pub of: u64,
    /// How many of those checked differ from what the security groups say.
    pub differ: u64,
    /// Some of them, one for each rule that is to blame; chains stand for tables, rules for flows.
    pub differences: Vec<Difference>,
    /// How many rules there are in the chains that packets of ports may come to.
    pub rules: usize,
    /// How many ports netfilter is to filter.
    pub ports: usize,
    /// How many of them were looked at.
    pub ports_checked: usize,
    /// How many policies they have: sets of security groups, in one direction.
    pub policies: usize,
    /// How many of them were looked at.
    pub policies_checked: usize,
    /// Why nothing is known of it, or nothing filtered.
    pub trouble: Option<String>,
}

impl Report {
    /// Whether nothing is wrong, as far as it was checked.
    pub fn is_right(&self) -> bool {
        let filtered =
            self.netfilter.as_ref().is_none_or(|it| it.differ == 0 && it.trouble.is_none());
        self.differ == 0 && self.switch.differ == 0 && filtered
    }
}

/// Packets that the switch has traced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    /// How many.
    pub traced: u64,
    /// How many of them met other flows than the interpreter found, which gives the verdicts.
    pub differ: u64,
    /// The first of them.
    pub differences: Vec<TraceDifference>,
    /// Why there are no more.
    pub trouble: Option<String>,
}

/// A packet that meets other flows in the switch than in the interpreter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceDifference {
    /// The packet, as `ovs-appctl ofproto/trace` takes it.
    pub packet: String,
    /// What connection tracking says of it.
    pub state: String,
    /// The flows that the interpreter found, in order.
    pub interpreter: Vec<String>,
    /// The flows that the switch found.
    pub switch: Vec<String>,
}

/// A verdict that is not what it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The port that sends the packet or is to receive it.
    pub port: String,
    /// `egress` or `ingress`.
    pub direction: String,
    /// The packet, as `ovs-appctl ofproto/trace` takes it.
    pub packet: String,
    /// What connection tracking says of it.
    pub state: String,
    /// What should become of it, and of its connection where that is what differs.
    pub expected: String,
    /// What becomes of it.
    pub found: String,
    /// The table in which it takes another way than it should; of netfilter, its table and the chain.
    pub table: String,
    /// The flow that it meets there, if any; of netfilter, the rule as `iptables-save` prints it.
    pub flow: Option<String>,
    /// The flow, or the rule, that it should meet there, if any.
    pub should_be: Option<String>,
}
