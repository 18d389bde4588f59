//! What others do to the flows of a bridge, and how soon it is mended. Pure: it is told the time.
//!
//! Damage is mended at once. Whoever does it again and again is answered ever later, up to
//! `LAST`, so that two who do not agree do not keep the switch busy; everything else that the
//! bridge needs goes on meanwhile.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{Damage, FlowSet};
use openflow::{Flow, RemovedReason};
use tokio::time::Instant;

use crate::status::ForeignStatus;

/// So many times in a row damage is mended at once.
const FREE: u32 = 3;
/// How long it waits then, at first and at most.
const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_millis(600);
/// After so long without damage the next is the first.
const CALM: Duration = Duration::from_secs(5);

/// What others have done to the flows of a bridge.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    removed: u64,
    changed: u64,
    added: u64,
    mended: u64,
    /// What is not mended yet, by the keys of the flows.
    damaged: FlowSet,
    last: Option<Last>,
    /// How often it was mended in a row, and from when on it may be again.
    times: u32,
    next: Option<Instant>,
    /// Whether what is damaged is left as it is for now.
    held: bool,
    /// Why the switch does not tell, where it does not.
    deaf: Option<String>,
}

/// What somebody has done.
#[derive(Debug, Clone)]
pub struct Deed {
    /// In what way it is wrong now.
    pub damage: Damage,
    /// The flow as it is there, or as it was.
    pub flow: Arc<Flow>,
    /// Why it has gone, if it has.
    pub reason: Option<RemovedReason>,
}

#[derive(Debug, Clone)]
struct Last {
    deed: Deed,
    at: Instant,
}

impl Foreign {
    /// The switch has been reached. It tells of changes, or says why it does not.
    pub fn connect(&mut self, deaf: Option<String>) {
        self.disconnect();
        self.deaf = deaf;
    }

    /// The switch cannot be reached: what was damaged is not known any more.
    pub fn disconnect(&mut self) {
        self.damaged = FlowSet::new();
        self.held = false;
    }

    /// Somebody has done this. Tells how long it is left as it is: nothing where it is not, or
    /// where that was told before.
    pub fn note(&mut self, deed: Deed, now: Instant) -> Option<Duration> {
        let count = match deed.damage {
            Damage::Removed => &mut self.removed,
            Damage::Changed => &mut self.changed,
            Damage::Added => &mut self.added,
        };
        *count = count.saturating_add(1);
        self.damaged.replace(Arc::clone(&deed.flow));
        self.last = Some(Last { deed, at: now });
        let wait = self.next?.checked_duration_since(now).filter(|wait| !wait.is_zero())?;
        (!std::mem::replace(&mut self.held, true)).then_some(wait)
    }

    /// It has been left for long enough.
    pub fn release(&mut self) {
        self.held = false;
    }

    /// What the bridge lacks goes to it. Tells how much of that is damage.
    pub fn sent(&mut self, now: Instant) -> usize {
        if self.damaged.is_empty() || self.held {
            return 0;
        }
        let is_calm = self.next.is_none_or(|next| now > next + CALM);
        self.times = if is_calm { 1 } else { self.times.saturating_add(1) };
        let wait = match self.times.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(more) => FIRST.saturating_mul(1 << (more - 1).min(16)).min(LAST),
        };
        self.next = Some(now + wait);
        self.damaged.len()
    }

    /// Forgets damage where the flows are as they should be again.
    pub fn settle(&mut self, differs: impl Fn(&Arc<Flow>) -> bool) {
        let mended: Vec<_> = self.damaged.iter().filter(|flow| !differs(flow)).cloned().collect();
        for flow in mended {
            self.damaged.remove(&flow);
            self.mended = self.mended.saturating_add(1);
        }
    }

    /// Whether the change of this flow is to wait.
    pub fn holds(&self, flow: &Arc<Flow>) -> bool {
        self.held && self.damaged.get(flow).is_some()
    }

    /// What was done last, in words; empty before anything was.
    pub fn last(&self) -> String {
        self.last.as_ref().map(|last| last.deed.to_string()).unwrap_or_default()
    }

    /// For `weir status`.
    pub fn status(&self, now: Instant) -> ForeignStatus {
        ForeignStatus {
            watched: self.deaf.clone().unwrap_or_else(|| "ok".to_owned()),
            removed: self.removed,
            changed: self.changed,
            added: self.added,
            mended: self.mended,
            damaged: self.damaged.len(),
            held: self.held,
            last: self.last.as_ref().map(|last| last.deed.to_string()),
            last_seconds_ago: self.last.as_ref().map(|last| (now - last.at).as_secs()),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.damage, self.reason) {
            (Damage::Removed, None | Some(RemovedReason::DELETE)) => f.write_str("deleted")?,
            (Damage::Removed, Some(reason)) => write!(f, "gone ({reason})")?,
            (Damage::Changed, _) => f.write_str("changed into")?,
            (Damage::Added, _) => f.write_str("added under a cookie of Weir's")?,
        }
        write!(f, ": {}", self.flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(n: u32) -> Deed {
        let flow = format!("cookie=0x7, table=160, priority={n} actions=drop");
        Deed { damage: Damage::Removed, flow: Arc::new(flow.parse().unwrap()), reason: None }
    }

    #[test]
    fn who_does_it_again_and_again_waits_and_nobody_else() {
        let start = Instant::now();
        let mut foreign = Foreign::default();
        let mut now = start;
        let mut waits = Vec::new();
        let mut mends = 0;
        while now < start + Duration::from_secs(20) {
            if let Some(wait) = foreign.note(deed(1), now) {
                assert!(foreign.holds(&deed(1).flow));
                assert_eq!(foreign.sent(now), 0, "it is left as it is");
                assert_eq!(foreign.note(deed(2), now), None, "that is waited for already");
                assert!(foreign.holds(&deed(2).flow) && !foreign.holds(&deed(3).flow));
                waits.push(wait);
                now += wait;
                foreign.release();
            }
            assert!(!foreign.holds(&deed(1).flow));
            assert!(foreign.sent(now) > 0);
            foreign.settle(|_| false);
            assert_eq!(foreign.sent(now), 0, "nothing is damaged");
            mends += 1;
            now += Duration::from_millis(10);
        }
        assert_eq!(waits[0], FIRST - Duration::from_millis(10));
        assert_eq!(waits.iter().max(), Some(&(LAST - Duration::from_millis(10))));
        assert!(mends < 50, "{mends} in 20 s");
        // Who comes after a while is answered at once.
        assert_eq!(foreign.note(deed(1), now + LAST), None);
        foreign.sent(now + LAST);
        now += LAST + LAST + CALM + CALM;
        for _ in 0..FREE {
            assert_eq!(foreign.note(deed(1), now), None);
            foreign.sent(now);
        }
    }

    #[test]
    fn what_is_as_it_should_be_again_is_mended() {
        let now = Instant::now();
        let mut foreign = Foreign::default();
        assert_eq!(
            foreign.status(now),
            ForeignStatus { watched: "ok".to_owned(), ..Default::default() }
        );
        (1..=3).for_each(|n| assert_eq!(foreign.note(deed(n), now), None));
        foreign.settle(|flow| *flow == deed(2).flow);
        let expected = ForeignStatus {
            watched: "ok".to_owned(),
            removed: 3,
            mended: 2,
            damaged: 1,
            last: Some("deleted: cookie=0x7, table=160, priority=3 actions=drop".to_owned()),
            last_seconds_ago: Some(4),
            ..ForeignStatus::default()
        };
        assert_eq!(foreign.status(now + Duration::from_secs(4)), expected);
        // Without the switch nobody knows.
        foreign.disconnect();
        foreign.settle(|_| false);
        foreign.connect(Some("it is too old".to_owned()));
        let watched = "it is too old".to_owned();
        let expected = ForeignStatus { watched, damaged: 0, ..expected };
        assert_eq!(foreign.status(now + Duration::from_secs(4)), expected);
    }

    #[test]
    fn a_deed_is_told_in_words() {
        let gone = Deed { reason: Some(RemovedReason::IDLE_TIMEOUT), ..deed(1) };
        assert!(gone.to_string().starts_with("gone (its idle timeout was over): cookie=0x7"));
        let added = Deed { damage: Damage::Added, ..deed(1) };
        assert!(added.to_string().starts_with("added under a cookie of Weir's: "));
    }
}
