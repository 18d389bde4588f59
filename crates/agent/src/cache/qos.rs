//! QoS policies, and whose they are. Pure.
//!
//! A network says its policy, and so do its ports when they are described; the server tells of
//! either when it changes. What was learned last counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{NetworkId, QosPolicy, QosPolicyId};
use neutron::convert::{ConvertError, QosChoice};
use neutron::object;

use super::{Entry, store};

/// QoS policies that are known, and networks that have told theirs.
#[derive(Debug, Default)]
pub(super) struct QosSet {
    policies: BTreeMap<QosPolicyId, Entry<Result<Arc<QosPolicy>, ConvertError>>>,
    networks: BTreeMap<NetworkId, Entry<Option<QosPolicyId>>>,
}

impl QosSet {
    /// Stores a policy that is not older than what is there. Tells whether it did.
    pub(super) fn store(
        &mut self,
        id: QosPolicyId,
        revision: u64,
        learned: u64,
        policy: &object::QosPolicy,
    ) -> bool {
        let value = policy.to_model().map(Arc::new);
        store(&mut self.policies, id, Entry { revision, learned, value })
    }

    /// Stores the policy of a network. Tells whether it did.
    pub(super) fn store_network(
        &mut self,
        id: NetworkId,
        revision: u64,
        learned: u64,
        policy: Option<QosPolicyId>,
    ) -> bool {
        store(&mut self.networks, id, Entry { revision, learned, value: policy })
    }

    pub(super) fn remove(&mut self, id: QosPolicyId) -> bool {
        self.policies.remove(&id).is_some()
    }

    pub(super) fn remove_network(&mut self, id: NetworkId) -> bool {
        self.networks.remove(&id).is_some()
    }

    /// Forgets the policy, unless it was learned after a question that did not find it.
    pub(super) fn drop_absent(&mut self, id: QosPolicyId, asked: u64, is_seen: bool) {
        if !is_seen && self.policies.get(&id).is_some_and(|entry| entry.learned <= asked) {
            self.policies.remove(&id);
        }
    }

    /// Forgets what `policy` and `network` say no to.
    pub(super) fn retain(
        &mut self,
        policy: impl Fn(QosPolicyId) -> bool,
        network: impl Fn(NetworkId) -> bool,
    ) {
        self.policies.retain(|id, _| policy(*id));
        self.networks.retain(|id, _| network(*id));
    }

    /// The policy with this id, as far as it is known.
    pub(super) fn policy(&self, id: QosPolicyId) -> Option<&Result<Arc<QosPolicy>, ConvertError>> {
        self.policies.get(&id).map(|entry| &entry.value)
    }

    /// Which policy a port of this network has that was described at this moment.
    pub(super) fn choose(
        &self,
        choice: QosChoice,
        network: NetworkId,
        learned: u64,
    ) -> Option<QosPolicyId> {
        let told = self.networks.get(&network).filter(|entry| entry.learned > learned);
        choice.with_network(told.map_or(choice.network, |entry| entry.value))
    }
}
