//! Trunks, by their parent ports. Pure.
//!
//! The server tells of subports that come and go, without saying which of two messages is the newer
//! one. So what it tells is a hint: the trunk is asked for again, and the answer counts.

use std::collections::{BTreeMap, BTreeSet};

use model::{PortId, Trunk, TrunkId, TrunkStatus};
use neutron::convert::ConvertError;
use neutron::object;

use super::{Entry, store};

/// Trunks that are known.
#[derive(Debug, Default)]
pub(super) struct TrunkSet {
    trunks: BTreeMap<PortId, Entry<Result<Trunk, ConvertError>>>,
    /// Those whose answer is under way and may be older than what was told since.
    doubted: BTreeSet<PortId>,
}

impl TrunkSet {
    /// Stores a trunk that is not older than what is there. Tells whether it did.
    pub(super) fn store(
        &mut self,
        parent: PortId,
        revision: u64,
        learned: u64,
        trunk: &object::Trunk,
    ) -> bool {
        store(&mut self.trunks, parent, Entry { revision, learned, value: trunk.to_model() })
    }

    /// Forgets the trunk, unless it was learned after a question that did not find it.
    pub(super) fn drop_absent(&mut self, parent: PortId, asked: u64, is_seen: bool) {
        if !is_seen && self.trunks.get(&parent).is_some_and(|entry| entry.learned <= asked) {
            self.trunks.remove(&parent);
        }
    }

    /// Forgets those whose parent `wanted` says no to.
    pub(super) fn retain(&mut self, wanted: impl Fn(PortId) -> bool) {
        self.trunks.retain(|parent, _| wanted(*parent));
    }

    /// The trunk with this parent, as far as it is known.
    pub(super) fn trunk(&self, parent: PortId) -> Option<&Result<Trunk, ConvertError>> {
        self.trunks.get(&parent).map(|entry| &entry.value)
    }

    /// The parent of a trunk.
    pub(super) fn parent(&self, trunk: TrunkId) -> Option<PortId> {
        let is_it = |entry: &Entry<Result<Trunk, _>>| {
            entry.value.as_ref().is_ok_and(|known: &Trunk| known.id == trunk)
        };
        self.trunks.iter().find(|(_, entry)| is_it(entry)).map(|(parent, _)| *parent)
    }

    /// The server has this status for a trunk now. Tells whether that is news.
    pub(super) fn set_status(&mut self, trunk: TrunkId, status: TrunkStatus) -> bool {
        let parent = self.parent(trunk);
        let entry = parent.and_then(|parent| self.trunks.get_mut(&parent));
        match entry.map(|entry| &mut entry.value) {
            Some(Ok(trunk)) if trunk.status != status => {
                trunk.status = status;
                true
            }
            _ => false,
        }
    }

    /// The answer that is under way may be older than what was told just now.
    pub(super) fn doubt(&mut self, parent: PortId) {
        self.doubted.insert(parent);
    }

    /// Whether the answer that has come is such a one.
    pub(super) fn was_doubted(&mut self, parent: PortId) -> bool {
        self.doubted.remove(&parent)
    }
}
