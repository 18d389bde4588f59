//! Telling the server of trunks: which subports to bind, and how far each trunk has come.

use std::collections::BTreeSet;

use model::{PortId, TrunkId, TrunkStatus};
use neutron::bus::CallError;
use neutron::object::SubPort;
use neutron::rpc::{UpdateSubportBindings, UpdateTrunkStatus};

use super::Node;
use crate::event::{Event, Peer};
use crate::plan::{Bound, TrunkCall};

impl Node {
    /// Makes the calls of the plan, at most one for each trunk at a time.
    pub(super) fn tell_of_trunks(&mut self) {
        if self.rests.is_resting(Peer::Server) {
            return;
        }
        for (trunk, call) in std::mem::take(&mut self.plan.trunk_calls) {
            self.inventory.trunk_calls.insert(trunk);
            let caller = self.caller.clone();
            match call {
                TrunkCall::Bind { subports, is_active } => {
                    let asked: BTreeSet<PortId> = subports.keys().copied().collect();
                    let subports = subports.iter();
                    let subports = subports.map(|(port, tag)| SubPort::new(trunk, *port, *tag));
                    let call = UpdateSubportBindings { subports: subports.collect() };
                    self.spawn(async move {
                        let answer = caller.call(call).await.map(|mut bound| {
                            let bound = bound.remove(&trunk.to_string()).unwrap_or_default();
                            let bound: BTreeSet<PortId> =
                                bound.iter().filter_map(|port| port.id.parse().ok()).collect();
                            let failed = asked.difference(&bound).copied().collect();
                            Bound { asked, is_active, failed }
                        });
                        Event::SubportsBound(trunk, answer)
                    });
                }
                TrunkCall::Tell(status) => {
                    let (trunk_id, name) = (trunk.to_string(), status.to_string());
                    let call = UpdateTrunkStatus { trunk_id, status: name };
                    self.spawn(
                        async move { Event::TrunkTold(trunk, status, caller.call(call).await) },
                    );
                }
            }
        }
    }

    /// Where the server could bind none of them, it calls the trunk an error.
    pub(super) fn take_bound(&mut self, trunk: TrunkId, result: Result<Bound, CallError>) -> bool {
        self.inventory.trunk_calls.remove(&trunk);
        match result {
            Ok(bound) => {
                self.rests.succeeded(Peer::Server);
                let Bound { asked, failed, .. } = &bound;
                if !failed.is_empty() {
                    let (trunk, failed) = (trunk.to_string(), failed.len());
                    tracing::warn!(trunk, failed, "the server could not bind subports");
                }
                let none = asked == failed;
                let status = if none { TrunkStatus::Error } else { TrunkStatus::Build };
                self.inventory.cache.set_trunk_status(trunk, status);
                self.inventory.trunks_bound.insert(trunk, bound);
                true
            }
            Err(error) => {
                self.server_failed(&error);
                false
            }
        }
    }

    /// Takes note that the server has this status for a trunk now.
    pub(super) fn take_trunk(
        &mut self,
        trunk: TrunkId,
        status: TrunkStatus,
        result: Result<(), CallError>,
    ) -> bool {
        self.inventory.trunk_calls.remove(&trunk);
        match result {
            Ok(()) => {
                self.rests.succeeded(Peer::Server);
                self.inventory.cache.set_trunk_status(trunk, status);
                true
            }
            Err(error) => {
                self.server_failed(&error);
                false
            }
        }
    }
}
