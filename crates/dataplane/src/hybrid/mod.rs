//! What netfilter should hold on a node that filters its ports as Neutron's `iptables_hybrid`
//! driver does, where each machine is behind a Linux bridge of its own.
//!
//! [`desired`] is the whole of it as a function of a [`Node`]; [`Installed`] is what the tools
//! print of what is there; [`Netfilter::changes`] gives the input of the tools that makes the one
//! the other. [`zones`] finds the conntrack zone of each port. [`verdict`] walks the chains as the
//! kernel does, [`passage()`] tells the rules that a packet meets, and [`Installed::netfilter`] makes of
//! what is installed what can be walked. Nothing here runs anything, and nothing outside names a
//! chain or a set.
//!
//! A packet takes this way. `docs/hybrid.md` tells it, and lists what differs from Neutron's driver,
//! and from [`crate::bridge`] without [`Node::strict_equivalence`]; `tests/strict.rs` has a test
//! for each of the latter.
//!
//! ```text
//! raw PREROUTING   zone of the port
//! filter FORWARD   -> sg-chain -+-> o… (source, DHCP, ICMPv6) -> go-… (rules)
//!                               +-> i… (DHCP, ICMPv6)         -> gi-… (rules)
//! filter INPUT     -> o…
//! ```
//!
//! A policy is written once for each direction and family, and the ports with the same set of
//! groups share it (`policy_chain`); the chains of a port have what is its own (`port_chain`).
//!
//! The modules: `name`, `rule`, `netfilter` and `set` are the values; `skeleton` is what there is
//! without ports; `installed`, `edit` and `changes` are the difference; `parse` and `passage` explain
//! what is installed; `meaning` and `reference` know no chain, and say what should become of a packet;
//! `odd` has the packets that a rule of somebody else makes a difference to.

mod changes;
mod edit;
mod fault;
mod installed;
mod meaning;
mod name;
mod netfilter;
mod odd;
mod parse;
mod passage;
mod policy_chain;
mod port_chain;
mod reference;
mod rule;
mod set;
mod skeleton;
#[cfg(test)]
mod tests;
pub mod verdict;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    CtZone, Direction, EtherType, HybridDevices, PortId, PortSecurity, SecurityGroup,
    SecurityGroupId,
};
use policy::{Members, PolicyId, RemoteSet};

pub use self::changes::Changes;
pub use self::fault::{Fault, Unmatched};
pub use self::installed::{Installed, Listing};
pub use self::meaning::Meaning;
pub use self::name::{ChainName, SetName};
pub use self::netfilter::{AddressSet, Netfilter, Table, TableName, Tables};
pub use self::odd::OddRule;
pub use self::passage::{Met, Passage, Reason, passage};
use self::policy_chain::Lowering;
use self::port_chain::{Filtered, PortChains};
pub use self::reference::Expected;
pub use self::rule::{Multiport, Rule, RuleMatch, Target};
use self::set::SetMembers;
pub use self::zone::zones;

/// The families; each has tables of its own.
const FAMILIES: [EtherType; 2] = [EtherType::Ipv4, EtherType::Ipv6];
const DIRECTIONS: [Direction; 2] = [Direction::Ingress, Direction::Egress];

/// Everything that decides what netfilter should hold, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The ports that are behind a Linux bridge here, those that may not talk yet included: a port
    /// that is not named is not filtered.
    pub ports: BTreeMap<PortId, Port>,
    /// The security groups that those ports name.
    pub groups: BTreeMap<SecurityGroupId, Arc<SecurityGroup>>,
    /// Who is in the groups that rules name as the remote.
    pub members: Members,
    /// Whether every packet gets the verdict of the other driver.
    pub strict_equivalence: bool,
    /// Whether remote groups are sets of addresses; each member has rules of its own otherwise.
    pub ipset: bool,
}

/// A port of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// What the API says of it.
    pub port: Arc<model::Port>,
    /// Its conntrack zone ([`zones`]). Without one it is closed, unless nothing of it is tracked.
    pub zone: Option<CtZone>,
}

/// What netfilter should hold, and what could not be put into it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// The chains and the sets.
    pub netfilter: Netfilter,
    /// What was left out, and why.
    pub faults: Vec<Fault>,
    /// The policy of each port that is filtered.
    pub policies: BTreeMap<PortId, PolicyId>,
}

/// Everything that netfilter should hold.
pub fn desired(node: &Node) -> Desired {
    desired_since(node, None)
}

/// The same, given what it was for another node: where its ports are the same, so are their chains,
/// which are most of it where many ports share few policies.
pub fn desired_since(node: &Node, before: Option<(&Node, &Desired)>) -> Desired {
    let mut desired = Desired::default();
    let resolved = resolve(node, &mut desired.faults);
    let sets: BTreeSet<BTreeSet<SecurityGroupId>> = resolved
        .iter()
        .filter(|resolved| resolved.way == Way::Filtered)
        .map(|resolved| resolved.port.port.groups.clone())
        .collect();
    let policies = policy::policy_ids(&sets);
    // A policy has another number only where there are other sets of groups, and so other ports.
    let before = before.filter(|(before, _)| {
        // Without ports there may have been nothing at all.
        !before.ports.is_empty()
            && before.strict_equivalence == node.strict_equivalence
            && resolve(before, &mut Vec::new()) == resolved
    });
    match before {
        Some((_, before)) => {
            desired.netfilter.ipv4 = before.netfilter.ipv4.without_policies();
            desired.netfilter.ipv6 = before.netfilter.ipv6.without_policies();
            desired.policies = before.policies.clone();
        }
        None => put_ports(node, &resolved, &policies, &mut desired),
    }
    for (groups, id) in &policies {
        let holders = desired.policies.iter().filter(|(_, policy)| *policy == id);
        let holders: Vec<PortId> = holders.map(|(port, _)| *port).collect();
        put_policy(node, groups, *id, &holders, &mut desired);
    }
    desired
}

/// The chains that there are for ports.
fn put_ports(
    node: &Node,
    resolved: &[Resolved<'_>],
    policies: &BTreeMap<BTreeSet<SecurityGroupId>, PolicyId>,
    desired: &mut Desired,
) {
    for family in FAMILIES {
        let tables = desired.netfilter.family_mut(family);
        *tables = skeleton::tables();
        for Resolved { port, way, stateless } in resolved {
            let devices = HybridDevices::of(port.port.id);
            skeleton::port(tables, port, *way, &devices, *stateless);
            let Some(policy) = policies.get(&port.port.groups).filter(|_| *way == Way::Filtered)
            else {
                continue;
            };
            desired.policies.insert(port.port.id, *policy);
            let filtered = Filtered {
                port: &port.port,
                policy: *policy,
                stateless: *stateless,
                strict: node.strict_equivalence,
            };
            let chains = PortChains::of(port.port.id);
            let filter = tables.0.entry(TableName::Filter).or_default();
            filter.own.insert(chains.ingress, Arc::new(filtered.ingress(family)));
            filter.own.insert(chains.egress, Arc::new(filtered.egress(family)));
            filter.own.insert(chains.sources, Arc::new(filtered.sources(family)));
        }
        skeleton::close(tables);
    }
}

/// A port, and what its chains depend on besides.
#[derive(Debug, PartialEq, Eq)]
struct Resolved<'a> {
    port: &'a Port,
    way: Way,
    /// Whether nothing of it is tracked.
    stateless: bool,
}

/// How the packets of a port go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By its chains.
    Filtered,
    /// All of them pass.
    Open,
    /// None passes.
    Closed,
}

/// The way of each port; a fault says why one is closed.
fn resolve<'a>(node: &'a Node, faults: &mut Vec<Fault>) -> Vec<Resolved<'a>> {
    let mut names: BTreeMap<ChainName, PortId> = BTreeMap::new();
    let mut resolved = Vec::with_capacity(node.ports.len());
    for (id, port) in &node.ports {
        let stateless = node.is_stateless(port);
        if port.port.security == PortSecurity::Disabled {
            resolved.push(Resolved { port, way: Way::Open, stateless });
            continue;
        }
        let unknown = port.port.groups.iter().find(|id| !node.groups.contains_key(id));
        let fault = match unknown {
            Some(group) => Some(Fault::Group { port: *id, group: *group }),
            None if port.zone.is_none() && !stateless => Some(Fault::Zone { port: *id }),
            None => {
                let other = *names.entry(PortChains::of(*id).ingress).or_insert(*id);
                (other != *id).then_some(Fault::Name { port: *id, other })
            }
        };
        if let Some(Fault::Name { other, .. }) = fault {
            // Devices of the same names are the other port's.
            if HybridDevices::of(other) == HybridDevices::of(*id) {
                faults.extend(fault);
                continue;
            }
        }
        let way = if fault.is_some() { Way::Closed } else { Way::Filtered };
        resolved.push(Resolved { port, way, stateless });
        faults.extend(fault);
    }
    resolved
}

/// The chains of a policy, and the sets that they name.
fn put_policy(
    node: &Node,
    groups: &BTreeSet<SecurityGroupId>,
    id: PolicyId,
    holders: &[PortId],
    desired: &mut Desired,
) {
    let known: Vec<&SecurityGroup> =
        groups.iter().filter_map(|id| node.groups.get(id)).map(Arc::as_ref).collect();
    for direction in DIRECTIONS {
        let compiled = fault::compile(&known, direction, node.strict_equivalence);
        for (rule, unmatched) in &compiled.refused {
            let fault =
                |port: &PortId| Fault::Rule { port: *port, rule: *rule, unmatched: *unmatched };
            desired.faults.extend(holders.iter().map(fault));
        }
        for family in FAMILIES {
            let lowering = Lowering {
                direction,
                family,
                members: &node.members,
                ipset: node.ipset,
                stateless: policy::are_stateless(known.iter().copied()),
                invalid_first: node.strict_equivalence,
                fallback: &skeleton::fallback(),
            };
            let (rules, sets) = lowering.chain(&compiled.policy);
            let tables = desired.netfilter.family_mut(family);
            let filter = tables.0.entry(TableName::Filter).or_default();
            filter.own.insert(ChainName::of_policy(direction, id), Arc::new(rules));
            for set in sets {
                put_set(node, set, family, &mut desired.netfilter);
            }
        }
    }
}

fn put_set(node: &Node, set: RemoteSet, family: EtherType, netfilter: &mut Netfilter) {
    let made = || SetMembers::of(set, family, &node.members).into_set(family);
    netfilter.sets.entry(SetName::of(set, family)).or_insert_with(made);
}

impl Node {
    fn is_stateless(&self, port: &Port) -> bool {
        let groups = port.port.groups.iter().filter_map(|id| self.groups.get(id));
        policy::are_stateless(groups.map(Arc::as_ref))
    }
}
