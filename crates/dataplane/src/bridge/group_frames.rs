//! IP frames to group addresses, where the rules of managed ports filter them.
//!
//! Without the option `strict_equivalence`, NORMAL takes group frames to every port of the
//! network, as Neutron's native driver has it. With it they go, as with `iptables_hybrid`, only to
//! those managed ports whose rules let them in; what needs no rule still goes to all.
//!
//! Rules do not look at the port, so a network's ports with one policy are asked once: table 194
//! sends the frame to 184 for each policy of the network, and where a rule of 182 lets it in, a flow
//! of 185 delivers it to all of them. Connection tracking has no say: what no rule admits is no
//! reply to anybody here, because replies come to the address of a machine.

use std::collections::{BTreeMap, BTreeSet};

use model::{NetworkId, OfPort};
use openflow::{Action, Match, PortNo};
use policy::PolicyId;

use super::Resolved;
use super::build::{IPV4, IPV6, load, output, put, resubmit, to_uplink};
use super::ingress::{forget_sets, without_rules};
use super::layout::{self, ACCEPTED_EGRESS_NORMAL, DELIVER, Owner, REMOTE_INGRESS, priority};
use super::switching::to_group;
use crate::{FlowSet, LocalNetwork, Snapshot};

/// Who is on a network.
#[derive(Default)]
struct Receivers {
    managed: BTreeMap<PolicyId, BTreeSet<OfPort>>,
    unmanaged: BTreeSet<OfPort>,
}

/// The flows that filter group frames.
pub(super) fn filter(snapshot: &Snapshot, ports: &[Resolved<'_>], flows: &mut FlowSet) {
    let table = ACCEPTED_EGRESS_NORMAL;
    for needs_no_rule in without_rules() {
        let frame = to_group(needs_no_rule);
        let flood = vec![Action::Output(PortNo::NORMAL)];
        put(flows, Owner::BASE, table, priority::EARLY, frame, flood);
    }
    let mut by_network: BTreeMap<NetworkId, Receivers> = BTreeMap::new();
    for resolved in ports {
        let receivers = by_network.entry(resolved.local.port.network).or_default();
        let same = match resolved.policy {
            Some(policy) => receivers.managed.entry(policy).or_default(),
            None => &mut receivers.unmanaged,
        };
        same.insert(resolved.local.ofport);
    }
    for (id, receivers) in &by_network {
        if let Some(network) = snapshot.networks.get(id) {
            let uplink = snapshot.uplink(network);
            receivers.filter(network, uplink, flows);
        }
    }
}

impl Receivers {
    fn filter(&self, network: &LocalNetwork, uplink: Option<OfPort>, flows: &mut FlowSet) {
        let owner = Owner::network(network.vlan);
        let here = || Match::new().field(layout::NETWORK, network.vlan.get().into());
        for ethertype in [IPV4, IPV6] {
            let frame = |from_uplink| {
                to_group(here().eth_type(ethertype)).field(layout::FROM_UPLINK, from_uplink)
            };
            let mut add = |frame, actions| {
                put(flows, owner, ACCEPTED_EGRESS_NORMAL, priority::GROUP, frame, actions);
            };
            let mut from_here = self.deliver();
            if let Some(uplink) = uplink {
                from_here.extend(to_uplink(network.vlan, uplink));
                // It comes with the tag of its local VLAN.
                let from_uplink = [vec![Action::PopVlan], self.deliver()].concat();
                add(frame(1).vlan_present(), from_uplink);
            }
            add(frame(0), from_here);
        }
        for (policy, ports) in &self.managed {
            let admitted =
                here().field(layout::GROUP_FRAME, 1).field(layout::POLICY, policy.0.into());
            put(flows, owner, DELIVER, priority::FIRST, admitted, outputs(ports));
        }
    }

    /// To everybody on this node who may hear it. The switch sends nothing back to where it came
    /// from.
    fn deliver(&self) -> Vec<Action> {
        let mut actions = outputs(&self.unmanaged);
        actions.extend([load(layout::GROUP_FRAME, 1_u8), load(layout::STATELESS_RECEIVER, 1_u8)]);
        actions.extend(forget_sets());
        for policy in self.managed.keys() {
            actions.extend([load(layout::POLICY, policy.0), resubmit(REMOTE_INGRESS)]);
        }
        actions
    }
}

fn outputs(ports: &BTreeSet<OfPort>) -> Vec<Action> {
    ports.iter().copied().map(output).collect()
}
