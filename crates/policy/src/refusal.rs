//! Rules that a driver cannot apply.
//!
//! OpenFlow matches no ports of DCCP and UDP-Lite; iptables does. A policy says such ports
//! exactly, and the driver that cannot match them takes them out here: the rule does not apply,
//! and somebody is told. It is never widened to the whole protocol.

use std::collections::BTreeSet;
use std::fmt;

use model::{Direction, IpProtocol, SecurityGroup, SecurityGroupRuleId, Transport};

use crate::compile::covers;
use crate::{Policy, TermMatch};

/// A rule that does not apply, because the ports of its protocol cannot be matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refusal {
    /// The rule.
    pub rule: SecurityGroupRuleId,
    /// Its protocol.
    pub protocol: IpProtocol,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} does not apply: ports of {} cannot be matched", self.rule, self.protocol)
    }
}

impl Policy {
    /// Takes out the terms with ports of these protocols, and gives the rules that are lost by
    /// it: not those that a term for the whole protocol admits. `groups` and `direction` are
    /// what the policy was compiled from.
    pub fn refuse_ports<'a>(
        &mut self,
        protocols: &[IpProtocol],
        groups: impl IntoIterator<Item = &'a SecurityGroup>,
        direction: Direction,
    ) -> BTreeSet<Refusal> {
        let before = self.terms.len();
        self.terms.retain(|term| {
            !matches!(term.transport, TermMatch::Port { protocol, .. } if protocols.contains(&protocol))
        });
        if self.terms.len() == before {
            return BTreeSet::new();
        }
        groups
            .into_iter()
            .flat_map(|group| &group.rules)
            .filter(|rule| rule.direction() == direction)
            .filter_map(|rule| match rule.transport() {
                Transport::Ports { protocol, .. } if protocols.contains(&protocol) => {
                    let admitted = self.terms.iter().any(|term| {
                        term.ethertype == rule.ethertype()
                            && covers(term.remote, rule.remote())
                            && (term.transport == TermMatch::Any
                                || term.transport == TermMatch::Protocol(protocol))
                    });
                    (!admitted).then_some(Refusal { rule: rule.id(), protocol })
                }
                _ => None,
            })
            .collect()
    }
}
