//! Tables 172 and 182, the policies, and 174 and 184 before them, the classes of remote addresses.
//!
//! Both directions are one piece of code with two sets of tables ([`Side`]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use model::{Direction, EtherType, IpProtocol, Prefix, Remote, SecurityGroup};
use openflow::{Action, CtState, Flow, Match, Priority, Subfield, TableId};
use policy::{
    ClassEntry, Classes, Demand, Policy, PolicyId, Refusal, RemoteSet, Selector, Term, TermMatch,
};

use super::build::{IPV4, IPV6, IS_FRAGMENT, flow, goto, load, put, refuse, resubmit, revoke};
use super::layout::{
    self, ACCEPT_OR_INGRESS, DELIVER, DropReason, MARK_REVOKED, MARK_VALID, Owner, REMOTE_EGRESS,
    REMOTE_INGRESS, RULES_EGRESS, RULES_INGRESS, priority,
};
use crate::FlowSet;

/// The tables of one direction.
#[derive(Debug)]
pub(super) struct Side {
    direction: Direction,
    remote: TableId,
    rules: TableId,
    accepted: TableId,
    /// Connections do not matter to the port.
    stateless: Subfield,
    no_rule: DropReason,
}

pub(super) const SIDES: [Side; 2] = [
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
            // Rules cannot see the ports of a fragment. The kernel's conntrack leaves none; that of
            // the userspace datapath knows whose connection it is, which whole packets open and cut.
            let fragment = unruled.clone().field(IS_FRAGMENT, 1).ct_mark(MARK_VALID);
            add(side.rules, priority::FRAGMENT, fragment, vec![goto(side.accepted)]);
            let mut cut = vec![revoke()];
            cut.extend(refuse(side.no_rule));
            add(side.rules, priority::UNRULED, unruled, cut);
        }
        add(side.rules, priority::LAST, Match::new(), refuse(side.no_rule));
    }
}

/// A policy in one direction, compiled.
pub(super) struct Compiled {
    policy: Policy,
    /// Rules that OpenFlow cannot match; the policy is without them.
    pub(super) refused: BTreeSet<Refusal>,
}

impl Side {
    /// Compiles the policy of these groups.
    pub(super) fn compile(&self, groups: &[Arc<SecurityGroup>]) -> Compiled {
        let groups = || groups.iter().map(Arc::as_ref);
        let mut policy = policy::compile(groups(), self.direction);
        let refused = policy.refuse_ports(&NO_PORTS, groups(), self.direction);
        Compiled { policy, refused }
    }

    /// The rule flows of a policy.
    pub(super) fn rules(&self, id: PolicyId, compiled: &Compiled, classes: &Classes) -> FlowSet {
        self.terms(id, &compiled.policy.terms, classes)
    }

    /// The rule flows of some terms of a policy.
    pub(super) fn terms<'a>(
        &self,
        id: PolicyId,
        terms: impl IntoIterator<Item = &'a Term>,
        classes: &Classes,
    ) -> FlowSet {
        let mut flows = FlowSet::new();
        // All of them do the same.
        let accept: Arc<[Action]> = [goto(self.accepted)].into();
        for term in terms {
            for matches in self.matches(id, term, classes) {
                let owner = Owner::policy(id);
                put(&mut flows, owner, self.rules, priority::RULE, matches, Arc::clone(&accept));
            }
        }
        flows
    }

    /// The flow that finds the class and the bits of an address.
    pub(super) fn class(&self, entry: &ClassEntry) -> Flow {
        let mut packet = remote_prefix(self, entry.prefix);
        let mut base = priority::CLASS;
        if let Some(mac) = entry.mac {
            base = priority::CLASS_WITH_MAC;
            packet = match self.direction {
                Direction::Egress => packet.eth_dst(mac.octets()),
                Direction::Ingress => packet.eth_src(mac.octets()),
            };
        }
        let priority = Priority(base + u16::from(entry.prefix.length()));
        let mut actions = vec![load(layout::CLASS, entry.class.0)];
        let words = layout::SETS.into_iter().zip(entry.bits.words());
        actions.extend(words.filter(|(_, bits)| *bits != 0).map(|(word, bits)| load(word, bits)));
        actions.push(resubmit(self.rules));
        flow(Owner::class(entry.class), self.remote, priority, packet, actions)
    }

    fn matches(&self, id: PolicyId, term: &Term, classes: &Classes) -> Vec<Match> {
        let ethertype = match term.ethertype {
            EtherType::Ipv4 => IPV4,
            EtherType::Ipv6 => IPV6,
        };
        let policy = Match::new().field(layout::POLICY, id.0.into());
        let remotes: Vec<Match> = match term.remote {
            Remote::Any => vec![policy.eth_type(ethertype)],
            Remote::Prefix(prefix) => {
                vec![remote_prefix(self, prefix).field(layout::POLICY, id.0.into())]
            }
            Remote::Group(_) | Remote::AddressGroup(_) => RemoteSet::of(term.remote)
                .into_iter()
                .flat_map(|set| classes.of(set))
                .map(|selector| {
                    let packet = policy.clone().eth_type(ethertype);
                    match selector {
                        Selector::Class(class) => packet.field(layout::CLASS, class.0.into()),
                        Selector::Bit(bit) => packet.field(layout::set_bit(bit), 1),
                    }
                })
                .collect(),
        };
        remotes.into_iter().map(|remote| transport(remote, ethertype, term)).collect()
    }
}

impl Compiled {
    /// The sets whose members the policy depends on.
    pub(super) fn demand(&self) -> Demand {
        Demand::of(&self.policy)
    }

    /// The terms that the policy had before and has no more, and those that it has now alone.
    /// Nothing where their flows could be those of other terms too: sets that share a class do.
    pub(super) fn since(&self, before: &Self) -> Option<[Vec<Term>; 2]> {
        let less = |one: &Self, other: &Self| -> Vec<Term> {
            one.policy.terms.difference(&other.policy.terms).copied().collect()
        };
        let changed = [less(before, self), less(self, before)];
        let names_a_set = |term: &Term| RemoteSet::of(term.remote).is_some();
        (!changed.iter().flatten().any(names_a_set)).then_some(changed)
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
