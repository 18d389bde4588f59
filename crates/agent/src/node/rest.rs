//! Who has failed, and so is left alone for a while: each time longer, and each by itself. No I/O
//! and no clock: it says how long, and is told when that is over.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::event::Peer;

/// How long somebody rests at first, and at most.
const FIRST: Duration = Duration::from_millis(200);
const LAST: Duration = Duration::from_secs(30);

/// Everybody who rests, or has failed lately.
#[derive(Debug, Default)]
pub(super) struct Rests {
    peers: BTreeMap<Peer, Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    resting: bool,
    failures: u32,
}

impl Rests {
    /// Somebody has failed: how long to leave it alone, which doubles with each failure in a row.
    /// `None` where it rests already.
    pub(super) fn failed(&mut self, peer: Peer) -> Option<Duration> {
        let rest = self.peers.entry(peer).or_default();
        if std::mem::replace(&mut rest.resting, true) {
            return None;
        }
        let wait = FIRST.saturating_mul(1 << rest.failures.min(16)).min(LAST);
        rest.failures = rest.failures.saturating_add(1);
        Some(wait)
    }

    /// It has rested long enough.
    pub(super) fn over(&mut self, peer: Peer) {
        if let Some(rest) = self.peers.get_mut(&peer) {
            rest.resting = false;
        }
    }

    /// It has done what it was asked: its next failure is the first one.
    pub(super) fn succeeded(&mut self, peer: Peer) {
        if let Some(rest) = self.peers.get_mut(&peer) {
            rest.failures = 0;
        }
    }

    /// Whether it is to be left alone.
    pub(super) fn is_resting(&self, peer: Peer) -> bool {
        self.peers.get(&peer).is_some_and(|rest| rest.resting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::BridgeId;

    const SWITCH: Peer = Peer::Switch(BridgeId::Integration);

    #[test]
    fn each_rests_by_itself_and_longer_each_time() {
        let mut rests = Rests::default();
        let mut waits = Vec::new();
        for _ in 0..20 {
            waits.extend(rests.failed(SWITCH));
            assert_eq!(rests.failed(SWITCH), None, "it rests already");
            assert!(rests.is_resting(SWITCH) && !rests.is_resting(Peer::Server));
            rests.over(SWITCH);
            assert!(!rests.is_resting(SWITCH));
        }
        assert_eq!(waits[..3], [FIRST, FIRST * 2, FIRST * 4]);
        assert_eq!(waits[19], LAST);
        rests.succeeded(SWITCH);
        assert_eq!(rests.failed(SWITCH), Some(FIRST));
    }
}
