//! Remote groups and address groups as sets of addresses.
//!
//! A member with any address counts for packets with its own MAC address alone
//! ([`policy::Member`]). A set of addresses cannot say that, so such members are not in it:
//! [`Remote`] tells them apart, and they get rules besides those of the set. Neutron puts them
//! into the set, which then admits everybody.

use std::collections::BTreeSet;

use model::{EtherType, MacAddr, Prefix};
use policy::{Members, RemoteSet};

use super::netfilter::AddressSet;

/// Who a set stands for, in one family.
pub(super) struct SetMembers {
    /// Any MAC address goes with these.
    pub(super) prefixes: BTreeSet<Prefix>,
    /// Any address goes with these.
    pub(super) macs: BTreeSet<MacAddr>,
}

impl SetMembers {
    pub(super) fn of(set: RemoteSet, family: EtherType, members: &Members) -> Self {
        let mut found = Self { prefixes: BTreeSet::new(), macs: BTreeSet::new() };
        for member in members.of(set).filter(|member| member.prefix().ethertype() == family) {
            match member.mac() {
                Some(mac) => found.macs.insert(mac),
                None => found.prefixes.insert(member.prefix()),
            };
        }
        found
    }

    /// The prefixes as a set may hold them: not the one of length 0, but its halves.
    pub(super) fn into_set(self, family: EtherType) -> AddressSet {
        let halves = |prefix: Prefix| match prefix.length() {
            0 => halves_of_everything(family).into_iter().flatten().collect(),
            _ => vec![prefix],
        };
        AddressSet { family, prefixes: self.prefixes.into_iter().flat_map(halves).collect() }
    }
}

fn halves_of_everything(family: EtherType) -> [Option<Prefix>; 2] {
    let halves = match family {
        EtherType::Ipv4 => [[0, 0, 0, 0].into(), [128, 0, 0, 0].into()],
        EtherType::Ipv6 => [[0_u16; 8].into(), [0x8000, 0, 0, 0, 0, 0, 0, 0_u16].into()],
    };
    halves.map(|address| Prefix::new(address, 1))
}
