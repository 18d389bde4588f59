//! Tables 72 and 82, the policies, and 74 and 84 before them, the classes of remote addresses.
//!
//! Both directions are one piece of code with two sets of tables ([`Side`]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use model::{Direction, EtherType, IpProtocol, Prefix, Remote, SecurityGroup, SecurityGroupId};
use openflow::{Action, CtState, Field, Match, Priority, Subfield, TableId};
use policy::{ClassEntry, Classes, Policy, PolicyId, RemoteSet, Term, TermMatch};

use super::build::{IPV4, IPV6, goto, load, put, refuse, resubmit, revoke};
use super::layout::{
    self, ACCEPT_OR_INGRESS, DELIVER, DropReason, MARK_REVOKED, MARK_VALID, Owner, REMOTE_EGRESS,
    REMOTE_INGRESS, RULES_EGRESS, RULES_INGRESS, priority,
};
use super::{Desired, Fault, Resolved};
use crate::{FlowSet, Snapshot};

/// The tables of one direction.
struct Side {
    direction: Direction,
    remote: TableId,
    rules: TableId,
    accepted: TableId,
    /// Connections do not matter to the port.
    stateless: Subfield,
    no_rule: DropReason,
}

const SIDES: [Side; 2] = [
    Side {
        direction: Direction::Egress,
        remote: REMOTE_EGRESS,
        rules: RULES_EGRESS,
        accepted: ACCEPT_OR_INGRESS,
        stateless: layout::STATELESS_SENDER,
        no_rule: DropReason::NoEgressRule,
    },
    Side {
        direction: Direction::Ingress,
        remote: REMOTE_INGRESS,
        rules: RULES_INGRESS,
        accepted: DELIVER,
        stateless: layout::STATELESS_RECEIVER,
        no_rule: DropReason::NoIngressRule,
    },
];

/// Protocols whose ports OpenFlow cannot match.
const NO_PORTS: [IpProtocol; 2] = [IpProtocol::DCCP, IpProtocol::UDPLITE];

/// Whether it is only a part of an IP packet.
const IS_FRAGMENT: Subfield = Subfield::new(Field::IP_FRAG, 0, 0);

/// What surrounds the rules: connections that need none, and what happens without one.
pub(super) fn base(flows: &mut FlowSet) {
    let tracked = CtState::TRK;
    for side in &SIDES {
        // What is tracked for the sender's sake is nothing to a stateless receiver.
        let state = |set, unset| Match::new().field(side.stateless, 0).ct_state(set, unset);
        let mut add = |table, priority, matches, actions| {
            put(flows, Owner::BASE, table, priority, matches, actions);
        };
        let no_class = vec![load(layout::CLASS, 0_u8), resubmit(side.rules)];
        add(side.remote, priority::MISS, Match::new(), no_class);

        let invalid = state(tracked | CtState::INV, CtState(0));
        add(side.rules, priority::INVALID, invalid, refuse(DropReason::Invalid));
        let reply = state(tracked | CtState::EST | CtState::RPL, CtState::REL);
        let related = state(tracked | CtState::REL, CtState::NEW | CtState::EST | CtState::INV);
        for needs_no_rule in [reply, related] {
            let valid = needs_no_rule.clone().ct_mark(MARK_VALID);
            add(side.rules, priority::REPLY, valid, vec![goto(side.accepted)]);
            let revoked = needs_no_rule.ct_mark(MARK_REVOKED);
            add(side.rules, priority::REPLY, revoked, refuse(DropReason::Revoked));
        }
        for ethertype in [IPV4, IPV6] {
            let unruled = state(tracked | CtState::EST, CtState(0)).eth_type(ethertype);
            let mut cut = vec![revoke()];
            cut.extend(refuse(side.no_rule));
            add(side.rules, priority::UNRULED, unruled, cut);
        }
        add(side.rules, priority::LAST, Match::new(), refuse(side.no_rule));
    }
}

/// The policies of the ports and the classes that their rules need.
pub(super) fn policies(
    snapshot: &Snapshot,
    ports: &[Resolved<'_>],
    ids: &BTreeMap<BTreeSet<SecurityGroupId>, PolicyId>,
    desired: &mut Desired,
) {
    for side in &SIDES {
        let mut policies: Vec<(PolicyId, Policy)> = Vec::with_capacity(ids.len());
        for (set, id) in ids {
            let mut policy = policy::compile(groups(snapshot, set), side.direction);
            let refused = policy.refuse_ports(&NO_PORTS, groups(snapshot, set), side.direction);
            for resolved in ports.iter().filter(|resolved| resolved.policy == Some(*id)) {
                let port = resolved.local.port.id;
                let faults = refused.iter().map(|refusal| Fault::Rule { port, refusal: *refusal });
                desired.faults.extend(faults);
            }
            policies.push((*id, policy));
        }
        let used = policies.iter().flat_map(|(_, policy)| policy.remote_sets()).collect();
        let classes = Classes::build(&used, &snapshot.members);
        for entry in classes.entries() {
            class(side, &entry, &mut desired.flows);
        }
        for (id, policy) in &policies {
            for term in &policy.terms {
                rule(side, *id, term, &classes, &mut desired.flows);
            }
        }
    }
}

fn groups<'a>(
    snapshot: &'a Snapshot,
    set: &'a BTreeSet<SecurityGroupId>,
) -> impl Iterator<Item = &'a SecurityGroup> {
    set.iter().filter_map(|id| snapshot.groups.get(id)).map(Arc::as_ref)
}

fn class(side: &Side, entry: &ClassEntry, flows: &mut FlowSet) {
    let mut packet = remote_prefix(side, entry.prefix);
    let mut base = priority::CLASS;
    if let Some(mac) = entry.mac {
        base = priority::CLASS_WITH_MAC;
        packet = match side.direction {
            Direction::Egress => packet.eth_dst(mac.octets()),
            Direction::Ingress => packet.eth_src(mac.octets()),
        };
    }
    let priority = Priority(base + u16::from(entry.prefix.length()));
    let actions = vec![load(layout::CLASS, entry.class.0), resubmit(side.rules)];
    put(flows, Owner::class(entry.class), side.remote, priority, packet, actions);
}

fn rule(side: &Side, id: PolicyId, term: &Term, classes: &Classes, flows: &mut FlowSet) {
    let ethertype = match term.ethertype {
        EtherType::Ipv4 => IPV4,
        EtherType::Ipv6 => IPV6,
    };
    let policy = Match::new().field(layout::POLICY, id.0.into());
    let remotes: Vec<Match> = match term.remote {
        Remote::Any => vec![policy.eth_type(ethertype)],
        Remote::Prefix(prefix) => {
            vec![remote_prefix(side, prefix).field(layout::POLICY, id.0.into())]
        }
        Remote::Group(_) | Remote::AddressGroup(_) => RemoteSet::of(term.remote)
            .into_iter()
            .flat_map(|set| classes.of(set))
            .map(|class| policy.clone().eth_type(ethertype).field(layout::CLASS, class.0.into()))
            .collect(),
    };
    for remote in remotes {
        let matches = transport(remote, ethertype, term);
        let actions: Vec<Action> = vec![goto(side.accepted)];
        put(flows, Owner::policy(id), side.rules, priority::RULE, matches, actions);
    }
}

/// The other side is in the prefix: the destination on egress, the source on ingress.
fn remote_prefix(side: &Side, prefix: Prefix) -> Match {
    let length = prefix.length();
    match (prefix.address(), side.direction) {
        (IpAddr::V4(address), Direction::Egress) => {
            Match::new().eth_type(IPV4).ipv4_dst(address, length)
        }
        (IpAddr::V4(address), Direction::Ingress) => {
            Match::new().eth_type(IPV4).ipv4_src(address, length)
        }
        (IpAddr::V6(address), Direction::Egress) => {
            Match::new().eth_type(IPV6).ipv6_dst(address, length)
        }
        (IpAddr::V6(address), Direction::Ingress) => {
            Match::new().eth_type(IPV6).ipv6_src(address, length)
        }
    }
}

fn transport(packet: Match, ethertype: u16, term: &Term) -> Match {
    // To a switch, every fragment has port 0, and ICMP type and code 0.
    let (packet, like_a_fragment) = match term.transport {
        TermMatch::Any => (packet, false),
        TermMatch::Protocol(protocol) => (packet.ip_proto(protocol.0), false),
        TermMatch::Port { protocol, value, mask } => {
            (packet.ip_proto(protocol.0).tp_dst(protocol.0, value, mask), value == 0)
        }
        TermMatch::Icmp { kind, code } => {
            let packet = packet.ip_proto(term.ethertype.icmp().0).icmp(ethertype, kind, code);
            (packet, kind == 0 && code.is_none_or(|code| code == 0))
        }
    };
    if like_a_fragment { packet.field(IS_FRAGMENT, 0) } else { packet }
}
