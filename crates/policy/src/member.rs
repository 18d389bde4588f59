//! Who belongs to the groups that rules name as their remote.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::{AddressGroupId, AddressPair, MacAddr, Prefix, Remote, SecurityGroupId};

use crate::{Demand, Packet, SharedSet};

/// An address of a member of a security group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    prefix: Prefix,
    mac: Option<MacAddr>,
}

/// A remote that stands for a changing set of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemoteSet {
    /// The members of a security group.
    Group(SecurityGroupId),
    /// The addresses of an address group.
    AddressGroup(AddressGroupId),
}

/// Who is in which group. A group that is not listed has nobody in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// The members of security groups.
    pub groups: BTreeMap<SecurityGroupId, SharedSet<Member>>,
    /// The addresses of address groups.
    pub address_groups: BTreeMap<AddressGroupId, SharedSet<Prefix>>,
}

impl Member {
    /// The member with this prefix. The Ethernet address counts for an any-address prefix
    /// (0.0.0.0/0, ::/0) alone: without it, one such pair would admit everybody
    /// (Launchpad bug 1867119). For any other prefix it is dropped.
    pub fn new(prefix: Prefix, mac: Option<MacAddr>) -> Self {
        Self { prefix, mac: mac.filter(|_| prefix.is_any()) }
    }

    /// Its addresses.
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }

    /// The Ethernet address that an any-address prefix is tied to.
    pub fn mac(&self) -> Option<MacAddr> {
        self.mac
    }

    fn holds(&self, address: IpAddr, mac: Option<MacAddr>) -> bool {
        self.prefix.contains(address) && (self.mac.is_none() || self.mac == mac)
    }
}

impl From<AddressPair> for Member {
    fn from(pair: AddressPair) -> Self {
        Self::new(pair.prefix, Some(pair.mac))
    }
}

impl RemoteSet {
    /// The set that a rule's remote names, if it names one.
    pub fn of(remote: Remote) -> Option<Self> {
        match remote {
            Remote::Any | Remote::Prefix(_) => None,
            Remote::Group(id) => Some(Self::Group(id)),
            Remote::AddressGroup(id) => Some(Self::AddressGroup(id)),
        }
    }
}

impl Members {
    /// Whether an address belongs to the set.
    pub fn holds(&self, set: RemoteSet, address: IpAddr, mac: Option<MacAddr>) -> bool {
        self.of(set).any(|member| member.holds(address, mac))
    }

    /// Whether the other side of a packet is this remote.
    pub fn is_remote(&self, remote: Remote, packet: &Packet) -> bool {
        match remote {
            Remote::Any => true,
            Remote::Prefix(prefix) => prefix.contains(packet.remote),
            Remote::Group(id) => self.holds(RemoteSet::Group(id), packet.remote, packet.remote_mac),
            Remote::AddressGroup(id) => {
                self.holds(RemoteSet::AddressGroup(id), packet.remote, packet.remote_mac)
            }
        }
    }

    /// The sets that are listed.
    pub(crate) fn sets(&self) -> impl Iterator<Item = RemoteSet> {
        let groups = self.groups.keys().copied().map(RemoteSet::Group);
        groups.chain(self.address_groups.keys().copied().map(RemoteSet::AddressGroup))
    }

    /// The sets that rules name, shared with these.
    pub(crate) fn only(&self, demand: &Demand) -> Self {
        let mut only = Self::default();
        for (set, _) in demand.iter() {
            match set {
                RemoteSet::Group(id) => {
                    only.groups.extend(self.groups.get(&id).map(|set| (id, set.clone())));
                }
                RemoteSet::AddressGroup(id) => {
                    let listed = self.address_groups.get(&id);
                    only.address_groups.extend(listed.map(|set| (id, set.clone())));
                }
            }
        }
        only
    }

    /// The members of a set; those of an address group are tied to no Ethernet address.
    pub fn of(&self, set: RemoteSet) -> impl Iterator<Item = Member> {
        let (members, prefixes) = match set {
            RemoteSet::Group(id) => (self.groups.get(&id), None),
            RemoteSet::AddressGroup(id) => (None, self.address_groups.get(&id)),
        };
        let prefixes = prefixes.into_iter().flat_map(|prefixes| prefixes.iter());
        let free = prefixes.map(|prefix| Member::new(*prefix, None));
        members.into_iter().flat_map(|members| members.iter()).copied().chain(free)
    }
}
