//! What netfilter does with a packet on the Linux bridge of one port.

use dataplane::hybrid::verdict::{Packet, State, Tracking as Kept, Verdict, tracking};
use dataplane::hybrid::{Meaning, Netfilter, Reason, TableName, passage};
use dataplane::{LocalPort, Snapshot};
use model::Direction;
use serde::{Deserialize, Serialize};

use super::{Admission, STATELESS};
use crate::cache::Names;
use crate::probe::Tracking;

/// What netfilter does with a packet on the Linux bridge of a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtering {
    /// The port.
    pub port: String,
    /// `egress` or `ingress`.
    pub direction: String,
    /// Where conntrack keeps its connection: `zone 4097`, `untracked`, or `the host's zone`.
    pub tracking: String,
    /// The rules of table filter that it meets, in order.
    pub rules: Vec<Met>,
    /// `accepted`, `dropped`, `undecided` where no rule of Weir's decides, or `unknown` where that
    /// cannot be told.
    pub verdict: String,
    /// What decides.
    pub reason: String,
}

/// A rule of netfilter that a packet meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Met {
    /// The chain.
    pub chain: String,
    /// The rule, as `iptables-save` prints it.
    pub rule: String,
}

/// What netfilter does with a packet, and the rule of a security group that admits it there.
pub(super) struct Judged {
    pub(super) filtering: Filtering,
    pub(super) admission: Option<Admission>,
    /// The reason, where it is to be told beside that.
    pub(super) told: Option<String>,
    /// Whether the packet passes because of its connection.
    pub(super) is_known: bool,
}

/// By what a packet is judged.
pub(super) struct Inspection<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) names: &'a Names,
    pub(super) netfilter: Option<&'a Result<Netfilter, String>>,
}

const ACCEPTED: &str = "accepted";
const DROPPED: &str = "dropped";
const UNKNOWN: &str = "unknown";

impl Filtering {
    /// Whether the packet ends there.
    pub(super) fn is_dropped(&self) -> bool {
        self.verdict == DROPPED
    }
}

impl Inspection<'_> {
    /// What becomes of this packet at a port.
    pub(super) fn judge(
        &self,
        local: &LocalPort,
        direction: Direction,
        packet: Packet,
        state: Tracking,
    ) -> Judged {
        match self.netfilter {
            Some(Ok(netfilter)) => self.follow(netfilter, local, direction, packet, state),
            Some(Err(why)) => {
                untold(local, direction, format!("what netfilter does is not known: {why}"))
            }
            None => untold(local, direction, "netfilter was not asked".to_owned()),
        }
    }

    fn follow(
        &self,
        netfilter: &Netfilter,
        local: &LocalPort,
        direction: Direction,
        mut packet: Packet,
        state: Tracking,
    ) -> Judged {
        let kept = tracking(netfilter, &packet);
        packet.state = match kept {
            Some(Kept::Off) => State::Untracked,
            _ => state.in_netfilter(),
        };
        let passage = passage(netfilter, TableName::Filter, &packet);
        let (verdict, why) = (passage.verdict(), passage.reason());
        let admission = match why {
            Reason::Rule(_) => self.admission(local, direction, &packet),
            _ => None,
        };
        let mut reason = why.text().to_owned();
        let is_unfounded = matches!(why, Reason::Rule(_)) && admission.is_none();
        if is_unfounded {
            reason += ", and no rule of the port's security groups says so; see 'weir verify'";
        }
        if matches!(why, Reason::NoRule(_)) && kept == Some(Kept::Off) {
            reason += STATELESS;
        }
        let rules = passage
            .met
            .iter()
            .map(|met| Met { chain: met.chain.to_string(), rule: met.rule.to_string() });
        let filtering = Filtering {
            port: local.port.id.to_string(),
            direction: direction.to_string(),
            tracking: match kept {
                Some(Kept::Zone(zone)) => format!("zone {zone}"),
                Some(Kept::Off) => "untracked".to_owned(),
                None => "the host's zone".to_owned(),
            },
            rules: rules.collect(),
            verdict: match verdict {
                Verdict::Accepted => ACCEPTED,
                Verdict::Dropped => DROPPED,
                Verdict::Undecided => "undecided",
                Verdict::Unknown => UNKNOWN,
            }
            .to_owned(),
            reason,
        };
        let is_odd = is_unfounded || matches!(why, Reason::Foreign | Reason::Nothing);
        let told = (filtering.is_dropped() || is_odd).then(|| filtering.reason.clone());
        Judged { filtering, admission, told, is_known: why == Reason::Known }
    }

    /// The rule that admits a packet at the port.
    fn admission(
        &self,
        local: &LocalPort,
        direction: Direction,
        packet: &Packet,
    ) -> Option<Admission> {
        let groups: Vec<_> =
            self.snapshot.groups_of(&local.port.groups).map(AsRef::as_ref).collect();
        let (members, strict) = (&self.snapshot.members, self.snapshot.strict_equivalence);
        let meaning = Meaning::of(groups.iter().copied(), members, strict);
        let id = meaning.rule_at_bridge(direction, packet)?;
        let group = groups.iter().find(|group| group.rules.iter().any(|rule| rule.id() == id))?;
        Some(Admission::of(local, direction, id, group, self.names))
    }
}

fn untold(local: &LocalPort, direction: Direction, reason: String) -> Judged {
    let filtering = Filtering {
        port: local.port.id.to_string(),
        direction: direction.to_string(),
        tracking: String::new(),
        rules: Vec::new(),
        verdict: UNKNOWN.to_owned(),
        reason: reason.clone(),
    };
    Judged { filtering, admission: None, told: Some(reason), is_known: false }
}
