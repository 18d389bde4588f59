//! Security groups to a canonical policy.
//!
//! The rules of one family and remote are united (see [`crate::space`]), and two halves of a
//! prefix that admit the same become that prefix ([`join_halves`]). What a wider remote admits
//! too, anybody or a covering prefix, is not required again: it may be left out or taken in,
//! whichever makes fewer terms. The choice is a function of the union, so the order of rules and
//! groups, duplicates, and ids do not matter:
//!
//! - Where the rules of a remote admit a whole (an ICMP type, a protocol, everything), or the
//!   whole is admitted together with wider remotes and saves a term, the whole is one term.
//! - Otherwise what is required, and no more than saves a term, is matched by parts: protocol by
//!   protocol, ICMP type by type, code by code.
//! - Ports are cut into prefixes by [`cover()`], the fewest there are.
//!
//! Members are not known here: a group is never assumed to lie in a prefix or another group.

use model::{Direction, EtherType, IpProtocol, Remote, SecurityGroup};

use crate::cover::cover;
use crate::halves::join_halves;
use crate::range_set::{Range, RangeSet};
use crate::{Policy, Term, TermMatch, space};

/// What the groups admit in one direction, in as few terms as the rule above gives.
pub fn compile<'a>(
    groups: impl IntoIterator<Item = &'a SecurityGroup>,
    direction: Direction,
) -> Policy {
    let rules = groups.into_iter().flat_map(|group| &group.rules);
    let rules = rules.filter(|rule| rule.direction() == direction);
    let mut ranges: Vec<((EtherType, Remote), Range)> = rules
        .map(|rule| {
            let range = space::of_rule(rule.ethertype(), rule.transport());
            ((rule.ethertype(), rule.remote()), range)
        })
        .collect();
    ranges.sort_unstable();
    let united = ranges.chunk_by(|(one, _), (other, _)| one == other).filter_map(|same| {
        let (key, _) = same.first()?;
        Some((*key, same.iter().map(|(_, range)| *range).collect()))
    });

    let mut terms = Vec::new();
    // Anybody sorts before prefixes, and a prefix before those that it covers, so the wider
    // remotes of the one at hand are the ones on the stack.
    let mut wider: Vec<(EtherType, Remote, RangeSet)> = Vec::new();
    let nothing = RangeSet::default();
    for ((ethertype, remote), own) in join_halves(united) {
        while wider.pop_if(|(e, r, _)| *e != ethertype || !covers(*r, remote)).is_some() {}
        let elsewhere = wider.last().map_or(&nothing, |(_, _, admitted)| admitted);
        let required = own.minus(elsewhere);
        if required.is_empty() {
            continue;
        }
        let allowed = if elsewhere.is_empty() { own.clone() } else { own.union(elsewhere) };
        let demand = Demand { ethertype, own, required, allowed };
        let parts = demand.everything().into_iter();
        terms.extend(parts.map(|transport| Term { ethertype, remote, transport }));
        wider.push((ethertype, remote, demand.allowed));
    }
    Policy { terms: terms.into_iter().collect() }
}

/// Whether every packet of the second remote is one of the first, whoever the members are.
pub(crate) fn covers(wide: Remote, narrow: Remote) -> bool {
    match (wide, narrow) {
        (Remote::Any, _) => true,
        (Remote::Prefix(wide), Remote::Prefix(narrow)) => wide.covers(&narrow),
        _ => wide == narrow,
    }
}

/// What the terms of one remote have to admit.
struct Demand {
    ethertype: EtherType,
    /// What the rules of this remote say.
    own: RangeSet,
    /// The part that no wider remote admits.
    required: RangeSet,
    /// What this and the wider remotes admit together.
    allowed: RangeSet,
}

impl Demand {
    fn everything(&self) -> Vec<TermMatch> {
        self.whole_or(space::EVERYTHING, TermMatch::Any, || {
            let mut protocols: Vec<u8> = Vec::new();
            for range in self.required.iter() {
                protocols.extend((range.low >> 16) as u8..=(range.high >> 16) as u8);
            }
            protocols.dedup();
            protocols.into_iter().flat_map(|number| self.protocol(IpProtocol(number))).collect()
        })
    }

    fn protocol(&self, protocol: IpProtocol) -> Vec<TermMatch> {
        let whole = TermMatch::Protocol(protocol);
        self.whole_or(space::of_protocol(protocol), whole, || {
            if protocol.has_ports() {
                self.ports(protocol)
            } else if protocol == self.ethertype.icmp() {
                (0..=u8::MAX).flat_map(|kind| self.kind(kind)).collect()
            } else {
                vec![whole]
            }
        })
    }

    fn ports(&self, protocol: IpProtocol) -> Vec<TermMatch> {
        cover(&self.required, &self.allowed, space::of_protocol(protocol).low, 16)
            .into_iter()
            .map(|pair| match (pair.value as u16, pair.mask as u16) {
                (_, 0) => TermMatch::Protocol(protocol),
                (value, mask) => TermMatch::Port { protocol, value, mask },
            })
            .collect()
    }

    fn kind(&self, kind: u8) -> Vec<TermMatch> {
        let range = space::of_kind(self.ethertype, kind);
        self.whole_or(range, TermMatch::Icmp { kind, code: None }, || {
            self.required
                .within(range)
                .flat_map(|codes| codes.low as u8..=codes.high as u8)
                .map(|code| TermMatch::Icmp { kind, code: Some(code) })
                .collect()
        })
    }

    /// The whole of a range as one term, where the rules of this remote say so or where it is
    /// admitted anyway and saves a term; its parts otherwise; nothing where none is required.
    fn whole_or(
        &self,
        range: Range,
        whole: TermMatch,
        parts: impl FnOnce() -> Vec<TermMatch>,
    ) -> Vec<TermMatch> {
        if self.required.within(range).next().is_none() {
            return Vec::new();
        }
        if self.own.holds(range) {
            return vec![whole];
        }
        let parts = parts();
        if parts.len() > 1 && self.allowed.holds(range) { vec![whole] } else { parts }
    }
}

#[cfg(test)]
mod tests;
