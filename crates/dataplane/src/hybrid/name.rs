//! Names of chains and sets: those of Neutron where Neutron has the chain, so that either agent
//! finds what the other left; all of them begin alike, so that what is ours is known by its name.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use model::{Direction, EtherType, PortId};
use policy::{PolicyId, RemoteSet};

/// What the name of each chain of ours begins with: the first 16 characters of
/// `neutron-openvswitch-agent`, and a hyphen.
pub(super) const PREFIX: &str = "neutron-openvswi-";
/// What the name of each chain of any of Neutron's programs begins with.
pub(super) const NEUTRON: &str = "neutron-";
/// How long what follows may be: a name has 28 characters at most.
const SUFFIX: usize = 11;
/// The one chain that Neutron's programs share. Each has a rule of its own in it.
pub(super) const TOP: &str = "neutron-filter-top";
/// What all ports go through.
pub(super) const SG_CHAIN: &str = "sg-chain";
/// What no rule admits.
pub(super) const SG_FALLBACK: &str = "sg-fallback";
/// How long the name of a set may be, with room for what a new set has behind it while it is filled.
const SET: usize = 29;
/// What the name of a set begins with, and its family behind it.
const SET_PREFIX: &str = "N";
/// What stands behind the name of a set that is to be swapped with the one in use.
pub(super) const NEW: &str = "-n";

/// The name of a chain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainName(Arc<str>);

/// What a chain of ours in table filter is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChainKind {
    /// What is forwarded.
    Forward,
    /// All ports that are filtered go through it.
    Ports,
    /// It drops.
    Fallback,
    /// What one port sends or gets.
    Port(Direction),
    /// What one port may send from.
    Sources,
    /// What a policy admits.
    Policy(Direction),
}

/// The name of a set of addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetName(Arc<str>);

impl ChainName {
    /// A chain with exactly this name.
    pub(super) fn exactly(name: &str) -> Self {
        Self(name.into())
    }

    /// A chain of ours.
    pub(super) fn ours(name: &str) -> Self {
        Self(format!("{PREFIX}{name}").into())
    }

    /// A chain of one port: `kind` is `i` (towards the machine), `o` (from it) or `s` (its
    /// sources). Ports share one if their ids begin alike: see [`super::Fault::Name`].
    pub(super) fn of_port(kind: char, port: PortId) -> Self {
        let name: String = format!("{kind}{port}").chars().take(SUFFIX).collect();
        Self::ours(&name)
    }

    /// What a policy admits in one direction.
    pub(super) fn of_policy(direction: Direction, policy: PolicyId) -> Self {
        let kind = match direction {
            Direction::Ingress => 'i',
            Direction::Egress => 'o',
        };
        Self::ours(&format!("g{kind}-{:08x}", policy.0))
    }

    /// What it is for; `None` for one that is not of these kinds, or not ours.
    pub(super) fn kind(&self) -> Option<ChainKind> {
        let name = self.0.strip_prefix(PREFIX)?;
        Some(match name {
            "FORWARD" => ChainKind::Forward,
            SG_CHAIN => ChainKind::Ports,
            SG_FALLBACK => ChainKind::Fallback,
            _ if name.starts_with("gi-") => ChainKind::Policy(Direction::Ingress),
            _ if name.starts_with("go-") => ChainKind::Policy(Direction::Egress),
            _ if name.len() != SUFFIX => return None,
            _ if name.starts_with('i') => ChainKind::Port(Direction::Ingress),
            _ if name.starts_with('o') => ChainKind::Port(Direction::Egress),
            _ if name.starts_with('s') => ChainKind::Sources,
            _ => return None,
        })
    }

    /// Whether it is what a policy admits.
    pub(super) fn is_of_policy(&self) -> bool {
        let kind = self.0.strip_prefix(PREFIX);
        kind.is_some_and(|kind| kind.starts_with("gi-") || kind.starts_with("go-"))
    }

    /// Whether it is not one of the kernel's, which are always there.
    pub(super) fn is_made(&self) -> bool {
        self.0.starts_with(PREFIX) || &*self.0 == TOP
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SetName {
    /// The set of the addresses that a rule's remote stands for, of one family.
    pub(super) fn of(set: RemoteSet, family: EtherType) -> Self {
        let name = match set {
            RemoteSet::Group(id) => format!("{SET_PREFIX}{family}{id}"),
            RemoteSet::AddressGroup(id) => format!("{SET_PREFIX}{family}{id}"),
        };
        Self(name.chars().take(SET).collect::<String>().into())
    }

    /// The name that an installed set has, if it is one of those that this module gives.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let id = name.strip_prefix(SET_PREFIX)?;
        let id = id.strip_prefix("IPv4").or_else(|| id.strip_prefix("IPv6"))?;
        let is_id = id.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        (name.len() == SET && is_id).then(|| Self(name.into()))
    }

    /// Whether its addresses are of IPv6.
    pub(super) fn is_ipv6(&self) -> bool {
        self.0.starts_with("NIPv6")
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )*};
}

text!(ChainName, SetName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_neutron() {
        let id = "ed8602cf-6514-4314-b53b-c91d7fe1c7e8";
        let chain = ChainName::of_port('i', id.parse().unwrap());
        assert_eq!(chain.as_str(), "neutron-openvswi-ied8602cf-6");
        assert_eq!(chain.as_str().len(), 28);
        let group = RemoteSet::Group(id.parse().unwrap());
        let name = SetName::of(group, EtherType::Ipv6);
        assert_eq!(name.as_str(), "NIPv6ed8602cf-6514-4314-b53b-");
        assert_eq!(SetName::parse(name.as_str()), Some(name));
        let policy = ChainName::of_policy(Direction::Egress, PolicyId(u32::MAX));
        assert_eq!(policy.as_str(), "neutron-openvswi-go-ffffffff");
        assert_eq!(policy.as_str().len(), 28);
    }

    #[test]
    fn other_sets_are_not_ours() {
        for name in
            ["N", "NIPv4", "NIPv4ed8602cf-6514-4314-b53b--n", "NIPv4kube-6514-4314-b53b-0000"]
        {
            assert_eq!(SetName::parse(name), None, "{name}");
        }
    }
}
