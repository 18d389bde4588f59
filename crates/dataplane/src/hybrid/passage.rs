//! The way of a packet through netfilter, rule by rule, and what decides on it in words.
//!
//! The words rest on the names of the chains. Where something is there that is not ours, they say no
//! more than that a rule decides.

use model::Direction;

use super::name::{ChainKind, ChainName};
use super::netfilter::{Netfilter, TableName};
use super::rule::{Rule, RuleMatch, Target};
use super::verdict::{End, Packet, Tracking, Verdict, walk};
use crate::bridge::layout::DropReason;

/// The way of a packet through a table.
#[derive(Debug, Clone)]
pub struct Passage<'a> {
    /// The rules that it meets, in order.
    pub met: Vec<Met<'a>>,
    end: End<'a>,
}

/// A rule that a packet meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met<'a> {
    /// The chain that the rule is in.
    pub chain: &'a ChainName,
    /// The rule.
    pub rule: &'a Rule,
}

/// Why a packet passes, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A rule of its security groups admits it.
    Rule(Direction),
    /// It belongs to a connection, or to one because of another.
    Known,
    /// It needs no rule.
    NoneNeeded,
    /// The port has no port security.
    Open,
    /// The port may not be its source.
    Source,
    /// It is a DHCP server's, or a router's.
    Server,
    /// Its connection has lost its rule.
    Revoked,
    /// Conntrack cannot say what it belongs to.
    Invalid,
    /// No rule of its security groups admits it.
    NoRule(Direction),
    /// Nothing passes at the port.
    Closed,
    /// A rule that is not one of ours.
    Foreign,
    /// No rule.
    Nothing,
}

/// The way of a packet through a table.
pub fn passage<'a>(netfilter: &'a Netfilter, table: TableName, packet: &Packet) -> Passage<'a> {
    let mut met = Vec::new();
    let end = walk(netfilter, table, packet, |chain, rule| met.push(Met { chain, rule }));
    Passage { met, end }
}

impl Passage<'_> {
    /// What becomes of the packet, by what is in the table.
    pub fn verdict(&self) -> Verdict {
        self.end.verdict()
    }

    /// Where the connection of the packet is kept, where this is the table that says so.
    pub fn tracking(&self) -> Option<Tracking> {
        self.end.tracking()
    }

    /// What decides, in table filter.
    pub fn reason(&self) -> Reason {
        let mut last = self.met.iter().rev();
        let Some(Met { chain, rule }) = last.next() else { return Reason::Nothing };
        let before = last.next().map(|met| (met.chain.kind(), met.rule));
        let asks = |rule: &Rule, what: &RuleMatch| rule.matches.contains(what);
        match (self.verdict(), chain.kind(), &rule.target) {
            (Verdict::Undecided, ..) => Reason::Nothing,
            (_, Some(ChainKind::Fallback), Target::Drop) => match before {
                Some((Some(ChainKind::Policy(direction)), _)) => Reason::NoRule(direction),
                _ => Reason::Closed,
            },
            (_, Some(ChainKind::Ports), Target::Accept) => match before {
                Some((Some(ChainKind::Policy(direction)), _)) => Reason::Rule(direction),
                Some((Some(ChainKind::Port(_)), rule)) if asks(rule, &RuleMatch::Known) => {
                    Reason::Known
                }
                Some((Some(ChainKind::Port(_)), _)) => Reason::NoneNeeded,
                _ => Reason::Foreign,
            },
            (_, Some(ChainKind::Forward), Target::Accept) => Reason::Open,
            (_, Some(ChainKind::Sources), Target::Drop) => Reason::Source,
            (_, Some(ChainKind::Port(_)), Target::Drop) if asks(rule, &RuleMatch::Revoked) => {
                Reason::Revoked
            }
            (_, Some(ChainKind::Port(Direction::Egress)), Target::Drop)
                if rule.protocol.is_some() =>
            {
                Reason::Server
            }
            (_, Some(ChainKind::Policy(_)), Target::Drop) if asks(rule, &RuleMatch::Invalid) => {
                Reason::Invalid
            }
            _ => Reason::Foreign,
        }
    }
}

impl Reason {
    /// What to tell a person: what flows say of the same, where they do.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Rule(_) => "a rule admits it",
            Self::Known => "replies and what is related to a connection need no rule",
            Self::NoneNeeded => "it needs no rule",
            Self::Open => "the port has no port security",
            Self::Source => "the port may not use this source address with this MAC address",
            Self::Server => DropReason::ServerInGuest.text(),
            Self::Revoked => DropReason::Revoked.text(),
            Self::Invalid => DropReason::Invalid.text(),
            Self::NoRule(Direction::Egress) => DropReason::NoEgressRule.text(),
            Self::NoRule(Direction::Ingress) => DropReason::NoIngressRule.text(),
            Self::Closed => "the port is closed; 'weir status' says why",
            Self::Foreign => "a rule of netfilter that is not Weir's decides",
            Self::Nothing => "no rule of Weir's decides, and others may let it pass",
        }
    }
}
