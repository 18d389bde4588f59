//! What netfilter should hold: tables of chains of rules, and sets of addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use model::{EtherType, Prefix};

use super::name::{ChainName, SetName};
use super::rule::Rule;

/// Everything of ours in netfilter. The empty one is what a node has that filters otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Netfilter {
    /// What `iptables` manages.
    pub ipv4: Tables,
    /// What `ip6tables` manages.
    pub ipv6: Tables,
    /// What `ipset` manages.
    pub sets: BTreeMap<SetName, AddressSet>,
}

/// The tables of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables(pub BTreeMap<TableName, Table>);

/// One of the tables that we have chains in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableName {
    /// Before connection tracking.
    Raw,
    /// What passes.
    Filter,
    /// The translation of addresses.
    Nat,
}

/// What is ours in one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Our rules in chains that others have rules in too: they come first.
    pub shared: BTreeMap<ChainName, Arc<Vec<Rule>>>,
    /// Our own chains.
    pub own: BTreeMap<ChainName, Arc<Vec<Rule>>>,
}

/// The addresses of one family that a remote stands for, as prefixes that an ipset can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressSet {
    /// The family.
    pub family: EtherType,
    /// The addresses. There is no any-address prefix: its two halves are here in its place.
    pub prefixes: BTreeSet<Prefix>,
}

impl Netfilter {
    /// The tables of a family.
    pub fn family(&self, family: EtherType) -> &Tables {
        match family {
            EtherType::Ipv4 => &self.ipv4,
            EtherType::Ipv6 => &self.ipv6,
        }
    }

    pub(super) fn family_mut(&mut self, family: EtherType) -> &mut Tables {
        match family {
            EtherType::Ipv4 => &mut self.ipv4,
            EtherType::Ipv6 => &mut self.ipv6,
        }
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        let tables = self.ipv4.0.values().chain(self.ipv6.0.values());
        tables.flat_map(|table| table.chains()).map(|(_, rules)| rules.len()).sum()
    }
}

impl Tables {
    /// Without the chains of policies.
    pub(super) fn without_policies(&self) -> Self {
        let mut tables = self.clone();
        for table in tables.0.values_mut() {
            table.own.retain(|name, _| !name.is_of_policy());
        }
        tables
    }
}

impl Table {
    /// The chains with rules of ours.
    pub fn chains(&self) -> impl Iterator<Item = (&ChainName, &Arc<Vec<Rule>>)> {
        self.shared.iter().chain(&self.own)
    }

    /// Our rules in this chain.
    pub fn chain(&self, name: &str) -> Option<&[Rule]> {
        Some(self.named(name)?.1)
    }

    /// The same, to be compared with that of another table.
    pub(super) fn shared_chain(&self, name: &str) -> Option<&Arc<Vec<Rule>>> {
        self.own.get(name).or_else(|| self.shared.get(name))
    }

    /// The same, with its name.
    pub(super) fn named(&self, name: &str) -> Option<(&ChainName, &[Rule])> {
        let found = self.own.get_key_value(name).or_else(|| self.shared.get_key_value(name));
        found.map(|(name, rules)| (name, rules.as_slice()))
    }
}

impl TableName {
    /// The tables, in the order in which they are changed: a kernel that cannot translate addresses
    /// filters all the same.
    pub const ALL: [Self; 3] = [Self::Raw, Self::Filter, Self::Nat];

    /// What `iptables` calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Nat => "nat",
            Self::Filter => "filter",
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Tables {
    /// As `iptables-save` prints them, without counters and without what is not ours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, table) in &self.0 {
            writeln!(f, "*{name}")?;
            for (chain, _) in table.chains().filter(|(chain, _)| chain.is_made()) {
                writeln!(f, ":{chain} - [0:0]")?;
            }
            for (chain, rules) in table.chains() {
                for rule in rules.iter() {
                    writeln!(f, "-A {chain} {rule}")?;
                }
            }
            writeln!(f, "COMMIT")?;
        }
        Ok(())
    }
}
