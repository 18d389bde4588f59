//! The flows of the integration bridge, br-int; below it [`physical`] bridges and the [`tunnel`]
//! bridge.
//!
//! [`desired`] is the specification: the whole flow set as a function of a [`Snapshot`].
//! [`Follower`] gives the same for one snapshot after the other, at the cost of what changed. A
//! frame takes this way (`docs/pipeline.md` draws it):
//!
//! ```text
//! 0, 100 to 160 -+-> 171 -> 175 -> 174 -> 172 -+-> 173 -+-> 181 -> 184 -> 182 -> 185
//!                |   source        class  rules|        |   ARP, ND,      rules  output
//!                |   checks                    |        |   DHCP   class
//!                +-----------------------------+        +-> 191 -> 194 -> port, uplink, NORMAL
//!                 uplinks, unmanaged ports
//! ```
//!
//! The modules follow it: `switching` (0 to 160, 173, 191 to 194), `qos` (158, 159, 180), `egress`
//! (171, 175), `rules` (172, 174, 182, 184), `ingress` (181, 185), `learning` (163, 195, 196),
//! `sharing` (176, 179); `group_frames` and `ethertypes` filter what `strict_equivalence` asks for (194, 185; 171, 181).

mod build;
mod egress;
mod ethertypes;
mod follow;
mod group_frames;
mod ingress;
pub mod layout;
mod learning;
pub mod physical;
mod qos;
mod rules;
mod sharing;
mod switching;
#[cfg(test)]
mod tests;
pub mod tunnel;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{NetworkId, PortId, PortSecurity, SecurityGroupId};
use policy::PolicyId;

pub use self::follow::Follower;
use crate::{FlowSet, LocalNetwork, LocalPort, Snapshot};

/// What the bridge should hold, and what could not be put into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// The flows.
    pub flows: FlowSet,
    /// What was left out, and why.
    pub faults: Vec<Fault>,
    /// The policy of each managed port.
    pub policies: BTreeMap<PortId, PolicyId>,
}

/// Something that the snapshot asks for and that is not in the flows. Each closes something.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// The port stays closed, because its network is not known here.
    #[error("port {port} is closed: its network {network} has no local VLAN")]
    Network {
        /// The port.
        port: PortId,
        /// Its network.
        network: NetworkId,
    },
    /// The port stays closed, because a group of it is not known.
    #[error("port {port} is closed: its security group {group} is not known")]
    Group {
        /// The port.
        port: PortId,
        /// The group.
        group: SecurityGroupId,
    },
    /// A rule does not apply, because OpenFlow cannot match what it says.
    #[error("port {port}: {refusal}")]
    Rule {
        /// A port that has the rule.
        port: PortId,
        /// The rule, and what OpenFlow cannot match.
        refusal: policy::Refusal,
    },
}

impl Fault {
    /// The port that it is about.
    pub fn port(&self) -> PortId {
        match self {
            Self::Network { port, .. } | Self::Group { port, .. } | Self::Rule { port, .. } => {
                *port
            }
        }
    }

    /// Whether the port gets no flows at all.
    pub fn closes_port(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Group { .. })
    }
}

/// The part of [`Desired`] that no rule and no member has a share in.
struct Frame {
    desired: Desired,
    /// The policies that there are to be, by what they are made from.
    policies: BTreeMap<BTreeSet<SecurityGroupId>, PolicyId>,
}

/// A port with everything of the snapshot that its flows depend on.
struct Resolved<'a> {
    local: &'a LocalPort,
    network: &'a LocalNetwork,
    /// The number of its policy; `None` for a port whose rules are no business of flows.
    policy: Option<PolicyId>,
    /// Whether its rules judge every packet by itself.
    stateless: bool,
}

/// The whole flow set of the bridge.
pub fn desired(snapshot: &Snapshot) -> Desired {
    let mut follower = Follower::default();
    follower.follow(&Arc::new(snapshot.clone()));
    follower.into_desired()
}

/// What policies and classes are built into: the frame of the pipeline, the networks and the ports.
fn frame(snapshot: &Snapshot) -> Frame {
    let mut desired = Desired::default();
    let mut ports = resolve(snapshot, &mut desired.faults);
    let sets: BTreeSet<BTreeSet<SecurityGroupId>> = ports
        .iter()
        .filter(|resolved| resolved.is_managed())
        .map(|resolved| resolved.local.port.groups.clone())
        .chain(snapshot.in_force.iter().cloned())
        .filter(|set| set.iter().all(|id| snapshot.groups.contains_key(id)))
        .collect();
    let policies = policy::policy_ids(&sets);
    for resolved in ports.iter_mut().filter(|resolved| resolved.is_managed()) {
        resolved.policy = policies.get(&resolved.local.port.groups).copied();
    }
    desired.policies = ports
        .iter()
        .filter_map(|resolved| Some((resolved.local.port.id, resolved.policy?)))
        .collect();

    switching::base(&mut desired.flows);
    learning::base(&mut desired.flows);
    egress::base(&mut desired.flows);
    ingress::base(&mut desired.flows);
    rules::base(&mut desired.flows);
    switching::networks(snapshot, &ports, &mut desired.flows);
    if snapshot.strict_equivalence {
        group_frames::filter(snapshot, &ports, &mut desired.flows);
        ethertypes::filter(snapshot, &ports, &mut desired.flows);
    }
    switching::ports(&ports, &mut desired.flows);
    qos::ports(&ports, &mut desired.flows);
    for ethertype in &snapshot.permitted_ethertypes {
        egress::permitted(*ethertype, &ports, &mut desired.flows);
        ingress::permitted(*ethertype, &mut desired.flows);
    }
    egress::ports(&ports, &mut desired.flows);
    Frame { desired, policies }
}

impl Resolved<'_> {
    fn is_managed(&self) -> bool {
        self.local.is_managed()
    }

    /// Whether it may send as anybody, and gets what is for anybody.
    fn is_unmanaged(&self) -> bool {
        self.local.port.security == PortSecurity::Disabled
    }
}

/// The ports that can have flows; the others are closed, and a fault says why.
fn resolve<'a>(snapshot: &'a Snapshot, faults: &mut Vec<Fault>) -> Vec<Resolved<'a>> {
    let mut ports = Vec::with_capacity(snapshot.ports.len());
    for (id, local) in &snapshot.ports {
        let Some(network) = snapshot.networks.get(&local.port.network) else {
            faults.push(Fault::Network { port: *id, network: local.port.network });
            continue;
        };
        let stateless = snapshot.is_stateless(&local.port.groups);
        let resolved = Resolved { local, network, policy: None, stateless };
        let unknown = local.port.groups.iter().find(|id| !snapshot.groups.contains_key(id));
        match unknown {
            Some(group) if resolved.is_managed() => {
                faults.push(Fault::Group { port: *id, group: *group });
            }
            _ => ports.push(resolved),
        }
    }
    ports
}
