//! What is in netfilter, from what the tools print.
//!
//! Chains of ours are kept whole, and those of Neutron's other programs, which may be called before
//! ours; of a chain that others have rules in too, every rule is kept in its place, because ours have to
//! come first. Rules are text, which is compared with the text of
//! [`super::Rule`]. Only protocols are brought to one name, because the tools take theirs from the
//! machine's `/etc/protocols`, which differs from one distribution to the next, and MAC addresses
//! to lower case, which the tools have not always had.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{EtherType, IpProtocol, Prefix};

use super::name::{NEUTRON, NEW, PREFIX, SetName};
use super::netfilter::TableName;
use super::rule::ProtocolText;

/// What is in netfilter at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    pub(super) ipv4: InstalledTables,
    pub(super) ipv6: InstalledTables,
    /// The sets that are named as ours are.
    pub(super) sets: BTreeMap<SetName, InstalledSet>,
    /// Sets that were to be swapped with one of ours, and are left over.
    pub(super) unswapped: BTreeSet<String>,
}

/// The tables of one family that we may have chains in.
pub(super) type InstalledTables = BTreeMap<TableName, InstalledTable>;

/// The chains of one table.
pub(super) type InstalledTable = BTreeMap<String, Arc<Vec<String>>>;

/// One set of addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InstalledSet {
    pub(super) prefixes: BTreeSet<Prefix>,
    /// How many entries it may have.
    pub(super) room: usize,
    /// Whether every entry is a prefix and nothing else.
    pub(super) is_plain: bool,
}

/// What the tools print.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listing<'a> {
    /// Of `iptables-save`.
    pub ipv4: &'a str,
    /// Of `ip6tables-save`.
    pub ipv6: &'a str,
    /// Of `ipset save`.
    pub sets: &'a str,
    /// The content of `/etc/protocols`; nothing where there is no such file.
    pub protocols: &'a str,
}

impl Installed {
    /// What is listed.
    pub fn parse(listing: Listing<'_>) -> Self {
        let protocols = Protocols::parse(listing.protocols);
        let mut installed = Self {
            ipv4: parse_tables(listing.ipv4, &protocols),
            ipv6: parse_tables(listing.ipv6, &protocols),
            ..Self::default()
        };
        installed.parse_sets(listing.sets);
        installed
    }

    /// Takes the sets of what was listed since. Tells whether they are others.
    pub fn take_sets(&mut self, listed: Self) -> bool {
        let Self { sets, unswapped, .. } = listed;
        let are_others = (&self.sets, &self.unswapped) != (&sets, &unswapped);
        (self.sets, self.unswapped) = (sets, unswapped);
        are_others
    }

    /// Whether anything of ours is there.
    pub fn is_empty(&self) -> bool {
        let mut chains = self.ipv4.values().chain(self.ipv6.values()).flat_map(BTreeMap::keys);
        !chains.any(|name| name.starts_with(PREFIX))
            && self.sets.is_empty()
            && self.unswapped.is_empty()
    }

    /// The chains of a family.
    pub(super) fn tables(&self, family: EtherType) -> &InstalledTables {
        match family {
            EtherType::Ipv4 => &self.ipv4,
            EtherType::Ipv6 => &self.ipv6,
        }
    }

    pub(super) fn tables_mut(&mut self, family: EtherType) -> &mut InstalledTables {
        match family {
            EtherType::Ipv4 => &mut self.ipv4,
            EtherType::Ipv6 => &mut self.ipv6,
        }
    }

    fn parse_sets(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["create", name, options @ ..] => {
                    if let Some(name) = SetName::parse(name) {
                        let room = options.windows(2).find_map(|pair| match pair {
                            ["maxelem", number] => number.parse().ok(),
                            _ => None,
                        });
                        let room = room.unwrap_or(0);
                        self.sets.insert(
                            name,
                            InstalledSet { prefixes: BTreeSet::new(), room, is_plain: true },
                        );
                    } else if name.strip_suffix(NEW).is_some_and(|n| SetName::parse(n).is_some()) {
                        self.unswapped.insert((*name).to_owned());
                    }
                }
                ["add", name, entry, more @ ..] => {
                    let Some(set) = self.sets.get_mut(*name) else { continue };
                    match entry.parse() {
                        Ok(prefix) if more.is_empty() => {
                            set.prefixes.insert(prefix);
                        }
                        _ => set.is_plain = false,
                    }
                }
                _ => {}
            }
        }
    }
}

fn parse_tables(text: &str, protocols: &Protocols<'_>) -> InstalledTables {
    let mut tables = InstalledTables::new();
    let mut current = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(name) = line.strip_prefix('*') {
            current = TableName::ALL.into_iter().find(|table| table.name() == name);
        }
        let Some(table) = current.map(|table| tables.entry(table).or_default()) else { continue };
        let (name, rule) = if let Some(chain) = line.strip_prefix(':') {
            (chain.split(' ').next().unwrap_or(chain), None)
        } else if let Some((chain, rule)) = rule(line) {
            (chain, Some(rule))
        } else {
            continue;
        };
        if !is_relevant(name) {
            continue;
        }
        let rules: &mut Arc<Vec<String>> = table.entry(name.to_owned()).or_default();
        Arc::make_mut(rules).extend(rule.map(|rule| in_lower_case(protocols.rename(rule))));
    }
    tables
}

/// Whether rules of ours may be in the chain, or a packet may come through it before them: it is one
/// of Neutron's programs', or one of the kernel.
fn is_relevant(chain: &str) -> bool {
    chain.starts_with(NEUTRON) || is_of_kernel(chain)
}

/// Whether the kernel calls the chain.
fn is_of_kernel(chain: &str) -> bool {
    ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"].contains(&chain)
}

/// The chain and the rest of a line that appends a rule. Counters may stand before it.
fn rule(line: &str) -> Option<(&str, &str)> {
    let line = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ")?.1,
        None => line,
    };
    let line = line.strip_prefix("-A ")?;
    Some(line.split_once(' ').unwrap_or((line, "")))
}

/// The rule with its MAC address in lower case.
fn in_lower_case(rule: String) -> String {
    let Some((before, rest)) = rule.split_once(MAC_SOURCE) else { return rule };
    let (mac, behind) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    format!("{before}{MAC_SOURCE}{}{behind}", mac.to_lowercase())
}

/// What stands before a MAC address.
const MAC_SOURCE: &str = "--mac-source ";

/// What a machine calls the protocols.
struct Protocols<'a>(BTreeMap<&'a str, IpProtocol>);

impl<'a> Protocols<'a> {
    /// One protocol a line: its name, its number, other names.
    fn parse(text: &'a str) -> Self {
        let mut names = BTreeMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or(line);
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let Some(number) = words.next().and_then(|number| number.parse().ok()) else {
                continue;
            };
            for name in std::iter::once(name).chain(words) {
                names.entry(name).or_insert(IpProtocol(number));
            }
        }
        Self(names)
    }

    /// The rule with its protocol as [`super::Rule`] writes it.
    fn rename(&self, rule: &str) -> String {
        let from = match rule.find(" -p ") {
            Some(at) => at + 4,
            None if rule.starts_with("-p ") => 3,
            None => return rule.to_owned(),
        };
        let Some((before, rest)) = rule.split_at_checked(from) else { return rule.to_owned() };
        let (name, behind) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        match self.number(name) {
            Some(protocol) => format!("{before}{}{behind}", ProtocolText(protocol)),
            None => rule.to_owned(),
        }
    }

    fn number(&self, name: &str) -> Option<IpProtocol> {
        self.0.get(name).copied().or_else(|| name.parse().ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_one_name() {
        let protocols = Protocols::parse("ipencap 4 IP-ENCAP # IP in IP\nipv6 41\nigmp\t2\tIGMP\n");
        let rename = |rule| protocols.rename(rule);
        assert_eq!(rename("-s 10.0.0.0/8 -p ipencap -j RETURN"), "-s 10.0.0.0/8 -p 4 -j RETURN");
        assert_eq!(rename("-p IGMP"), "-p 2");
        assert_eq!(rename("-p tcp -m tcp --dport 80 -j X"), "-p tcp -m tcp --dport 80 -j X");
        assert_eq!(rename("-p vrrp -j RETURN"), "-p 112 -j RETURN");
        assert_eq!(rename("-p nonsense -j RETURN"), "-p nonsense -j RETURN");
        assert_eq!(rename("-j RETURN"), "-j RETURN");
    }

    #[test]
    fn mac_addresses_are_in_lower_case() {
        let rule = |mac| format!("-s 10.0.0.1/32 -m mac --mac-source {mac} -j RETURN");
        assert_eq!(in_lower_case(rule("FA:16:3E:00:00:0A")), rule("fa:16:3e:00:00:0a"));
        assert_eq!(in_lower_case("-j ACCEPT".to_owned()), "-j ACCEPT");
    }

    #[test]
    fn chains_of_others_are_not_kept() {
        let text = "# comment\n*filter\n:INPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n\
                    :neutron-openvswi-local - [0:0]\n[3:180] -A INPUT -s 10.0.0.1/32 -j DROP\n\
                    -A DOCKER -j RETURN\n-A neutron-openvswi-local\nCOMMIT\n*mangle\n\
                    :INPUT ACCEPT [0:0]\nCOMMIT\n";
        let installed = Installed::parse(Listing { ipv4: text, ..Listing::default() });
        let filter = installed.ipv4.get(&TableName::Filter).unwrap();
        assert_eq!(**filter.get("INPUT").unwrap(), ["-s 10.0.0.1/32 -j DROP"]);
        assert_eq!(**filter.get("neutron-openvswi-local").unwrap(), [""]);
        assert_eq!(filter.len(), 2);
        assert_eq!(installed.ipv4.len(), 1);
        assert!(!installed.is_empty());
        assert!(Installed::default().is_empty());
    }
}
