//! Networks that are carried by other segments than their ports say. Pure.
//!
//! When an operator changes the segmentation id of a network, Neutron tells agents of the network
//! alone. Its ports, which say by what they are carried, are the same object at the same revision,
//! and only who asks for them again is told the new number.

use std::collections::{BTreeMap, BTreeSet};

use model::{NetworkId, Segment};
use neutron::object::Network;

/// What networks said while answers were under way that may be older.
#[derive(Debug, Default)]
pub(super) struct Moved {
    networks: BTreeMap<NetworkId, (u64, BTreeSet<Segment>)>,
}

impl Moved {
    /// A network said this at that moment of the cache. Gives its segments, if it has any that are
    /// legal.
    pub(super) fn hear(
        &mut self,
        network: &Network,
        now: u64,
    ) -> Option<(NetworkId, BTreeSet<Segment>)> {
        let id = network.id.parse().ok()?;
        let segments: Result<BTreeSet<Segment>, _> =
            network.segments.iter().map(|segment| segment.to_model()).collect();
        let segments = segments.ok().filter(|segments| !segments.is_empty())?;
        self.networks.insert(id, (now, segments.clone()));
        Some((id, segments))
    }

    /// Whether a port of the network that is carried by this segment, as an answer says that was
    /// asked for at that moment, may be as it was before the network moved.
    pub(super) fn doubts(&self, network: NetworkId, segment: &Segment, asked: u64) -> bool {
        let said = self.networks.get(&network);
        said.is_some_and(|(at, segments)| *at > asked && !segments.contains(segment))
    }

    /// Whether no network said anything.
    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// No answer is under way.
    pub(super) fn forget(&mut self) {
        self.networks.clear();
    }
}
