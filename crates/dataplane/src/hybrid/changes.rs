//! From what is in netfilter to what should be, as input of the tools.
//!
//! Each table is changed in one transaction, so the order of the lines means nothing to packets; that
//! of the tables does. Table raw says where a port's packets are tracked: what it says of a new port
//! is there before table filter decides on them, and what it says of one that goes stays until table
//! filter has let go of it. Between the two an answer would be nobody's answer, and be dropped. A
//! chain that does not change is not mentioned, nor is a rule that stays in one that does: their
//! counters go on. In chains that others have rules in too, ours come first, behind calls of
//! Neutron's other programs; no rule of others is touched.
//!
//! Sets are made and brought up to date before the rules, and those that no rule names any more
//! are destroyed after them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use model::EtherType;

use super::FAMILIES;
use super::edit::{Step, steps};
use super::installed::{Installed, InstalledSet, InstalledTable};
use super::name::{NEUTRON, NEW, PREFIX, SetName, TOP};
use super::netfilter::{AddressSet, Netfilter, Table, TableName};
use super::rule::Rule;

/// From how many changes on a set is filled anew and swapped, not changed entry by entry.
const SWAP_FROM: usize = 5;
/// How many entries the kernel gives a set room for where nothing is said.
const ROOM: usize = 65_536;

/// The input of the tools, in the order in which they run. One without input is not run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// For `ipset restore -exist`.
    pub sets_before: String,
    /// For `iptables-restore --noflush`.
    pub ipv4: String,
    /// For `ip6tables-restore --noflush`.
    pub ipv6: String,
    /// For `ipset restore -exist`.
    pub sets_after: String,
    /// What is installed then, if nobody else changes anything.
    pub after: Installed,
}

impl Changes {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }

    /// Whether nothing goes that may have admitted packets.
    pub fn only_adds(&self) -> bool {
        let additions = [":", "-A ", "-I ", "create ", "add "];
        self.lines().all(|line| additions.iter().any(|start| line.starts_with(start)))
    }

    /// All that is done, in its order: the lines of the inputs that do something.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let Self { sets_before, ipv4, ipv6, sets_after, after: _ } = self;
        let texts = [sets_before, ipv4, ipv6, sets_after].into_iter();
        let frames = |line: &&str| line.starts_with('*') || *line == "COMMIT";
        texts.flat_map(|text| text.lines()).filter(move |line| !frames(line))
    }
}

impl Netfilter {
    /// What makes this of what is installed.
    pub fn changes(&self, installed: &Installed) -> Changes {
        self.changes_since(&Self::default(), installed)
    }

    /// The same, where what is installed is what it has become by the changes to another one. Chains
    /// that are the same in both are not looked at.
    pub fn changes_since(&self, before: &Self, installed: &Installed) -> Changes {
        let mut changes = Changes::default();
        for family in FAMILIES {
            let text = match family {
                EtherType::Ipv4 => &mut changes.ipv4,
                EtherType::Ipv6 => &mut changes.ipv6,
            };
            let mut last = String::new();
            for name in TableName::ALL {
                let nothing = (Table::default(), InstalledTable::new());
                let [desired, before] =
                    [self, before].map(|it| it.family(family).0.get(&name).unwrap_or(&nothing.0));
                let found = installed.tables(family).get(&name);
                let is_there = found.is_some();
                let found = found.unwrap_or(&nothing.1);
                let outcome = Outcome::of(desired, before, found);
                if name == TableName::Raw {
                    let first = outcome.with_what_goes(found);
                    commit(text, name, &first.lines(found));
                    last = outcome.lines(&first.chains);
                } else {
                    commit(text, name, &outcome.lines(found));
                }
                if is_there || !outcome.chains.is_empty() {
                    changes.after.tables_mut(family).insert(name, outcome.chains);
                }
            }
            commit(text, TableName::Raw, &last);
        }
        for name in &installed.unswapped {
            let _ = writeln!(changes.sets_before, "destroy {name}");
        }
        for (name, set) in &self.sets {
            let found = installed.sets.get(name);
            let room = update(name, set, found, &mut changes.sets_before);
            let prefixes = set.prefixes.clone();
            changes
                .after
                .sets
                .insert(name.clone(), InstalledSet { prefixes, room, is_plain: true });
        }
        for name in installed.sets.keys().filter(|name| !self.sets.contains_key(*name)) {
            let _ = writeln!(changes.sets_after, "destroy {name}");
        }
        changes
    }
}

/// Adds the transaction of a table, if there is anything to do.
fn commit(text: &mut String, name: TableName, lines: &str) {
    if !lines.is_empty() {
        let _ = write!(text, "*{name}\n{lines}COMMIT\n");
    }
}

/// What becomes of one table.
struct Outcome<'a> {
    /// The chains that there are then, those that nothing happens to included.
    chains: InstalledTable,
    /// Those that go.
    gone: Vec<&'a String>,
}

impl<'a> Outcome<'a> {
    fn of(desired: &Table, before: &Table, found: &'a InstalledTable) -> Self {
        let leaves_top =
            desired.chain(TOP).is_none() && found.get(TOP).is_none_or(|rules| !has_others(rules));
        let text = |rules: &[Rule]| rules.iter().map(ToString::to_string).collect();
        let (mut chains, mut gone) = (Vec::with_capacity(found.len()), Vec::new());
        for (name, rules) in found {
            let after = match desired.shared_chain(name) {
                None if is_own(name) || name == TOP && leaves_top => {
                    gone.push(name);
                    continue;
                }
                // As it was, and so it is there.
                Some(wanted) if before.shared_chain(name) == Some(wanted) => Arc::clone(rules),
                Some(wanted) if is_own(name) => Arc::new(text(wanted)),
                wanted => {
                    let ours = wanted.map(|rules| text(rules)).unwrap_or_default();
                    Arc::new(with_others(ours, rules, leaves_top))
                }
            };
            chains.push((name.clone(), after));
        }
        let made = desired.chains().filter(|(name, _)| !found.contains_key(name.as_str()));
        chains.extend(made.map(|(name, rules)| (name.as_str().to_owned(), Arc::new(text(rules)))));
        let chains = chains.into_iter().collect();
        Self { chains, gone }
    }

    /// The same with all that goes from what was found.
    fn with_what_goes(&self, found: &InstalledTable) -> Self {
        let mut chains = found.clone();
        for (name, after) in &self.chains {
            let rules = match found.get(name) {
                Some(before) if before != after => Arc::new(joined(before, after)),
                _ => Arc::clone(after),
            };
            chains.insert(name.clone(), rules);
        }
        Outcome { chains, gone: Vec::new() }
    }

    /// The lines that make it of what was found.
    fn lines(&self, found: &InstalledTable) -> String {
        let mut lines = String::new();
        // The kernel's chains are there in any case.
        for name in self.chains.keys().filter(|name| is_own(name) || *name == TOP) {
            if !found.contains_key(name) {
                let _ = writeln!(lines, ":{name} - [0:0]");
            }
        }
        for (name, after) in &self.chains {
            let before = found.get(name);
            if before == Some(after) {
                continue;
            }
            let before = before.map(|rules| texts(rules)).unwrap_or_default();
            for step in steps(&before, &texts(after)) {
                let _ = match step {
                    Step::Delete(at) => writeln!(lines, "-D {name} {at}"),
                    Step::Insert(at, rule) => writeln!(lines, "-I {name} {at} {rule}"),
                    Step::Append(rule) => writeln!(lines, "-A {name} {rule}"),
                };
            }
        }
        // They may call each other.
        for how in ["-F", "-X"] {
            for name in &self.gone {
                let _ = writeln!(lines, "{how} {name}");
            }
        }
        lines
    }
}

/// The rules of both, those of `after` in their order. Those that it lacks are where they were, behind
/// what is new there: of two for one packet the new one counts.
fn joined(before: &[String], after: &[String]) -> Vec<String> {
    let stay: HashSet<&String> = after.iter().collect();
    let mut ahead: HashMap<&String, Vec<&String>> = HashMap::new();
    let mut going = Vec::new();
    for rule in before {
        if stay.contains(rule) {
            ahead.entry(rule).or_default().append(&mut going);
        } else {
            going.push(rule);
        }
    }
    let with_those_ahead =
        |rule| ahead.remove(rule).into_iter().flatten().chain(std::iter::once(rule));
    let joined = after.iter().flat_map(with_those_ahead).cloned().collect::<Vec<_>>();
    joined.into_iter().chain(going.into_iter().cloned()).collect()
}

fn texts(rules: &[String]) -> Vec<&str> {
    rules.iter().map(String::as_str).collect()
}

fn is_own(chain: &str) -> bool {
    chain.starts_with(PREFIX)
}

/// Our rules and those of others in one chain. Where ours are all among the calls of Neutron's
/// programs that the chain begins with, they stay where they are; otherwise they come first.
fn with_others(ours: Vec<String>, before: &[String], leaves_top: bool) -> Vec<String> {
    let is_ours = |rule: &&String| {
        ours.contains(rule) || goes_to(rule, PREFIX) || leaves_top && **rule == call(TOP)
    };
    let there: Vec<&String> = before.iter().filter(is_ours).collect();
    let first = before.iter().take_while(|rule| goes_to(rule, NEUTRON) && rule.starts_with("-j"));
    let are_first = first.filter(is_ours).count() == there.len();
    if there.iter().copied().eq(&ours) && are_first {
        return before.to_vec();
    }
    ours.iter().chain(before.iter().filter(|rule| !is_ours(rule))).cloned().collect()
}

/// Whether others have rules in the chain too.
fn has_others(rules: &[String]) -> bool {
    !rules.iter().all(|rule| goes_to(rule, PREFIX))
}

fn call(chain: &str) -> String {
    format!("-j {chain}")
}

/// Whether the rule goes on in a chain whose name begins so.
fn goes_to(rule: &str, prefix: &str) -> bool {
    let mut words = rule.rsplit(' ');
    let (target, how) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    ["-j", "-g"].contains(&how) && target.starts_with(prefix)
}

/// Adds the lines that bring one set up to date. Tells how many entries it has room for then.
fn update(
    name: &SetName,
    set: &AddressSet,
    found: Option<&InstalledSet>,
    lines: &mut String,
) -> usize {
    let Some(found) = found else { return fill(name.as_str(), set, lines) };
    if found.is_plain && found.prefixes == set.prefixes {
        return found.room;
    }
    let (more, less) = (&set.prefixes - &found.prefixes, &found.prefixes - &set.prefixes);
    let has_room = found.prefixes.len() + more.len() <= found.room;
    if found.is_plain && has_room && more.len() + less.len() < SWAP_FROM {
        // First in, then out: an address that is in another prefix now is never outside.
        for prefix in more {
            let _ = writeln!(lines, "add {name} {prefix}");
        }
        for prefix in less {
            let _ = writeln!(lines, "del {name} {prefix}");
        }
        return found.room;
    }
    let new = format!("{name}{NEW}");
    let room = fill(&new, set, lines);
    let _ = writeln!(lines, "swap {new} {name}\ndestroy {new}");
    room
}

/// Adds the lines that make a set. Tells how many entries it has room for.
fn fill(name: &str, set: &AddressSet, lines: &mut String) -> usize {
    let family = match set.family {
        EtherType::Ipv4 => "inet",
        EtherType::Ipv6 => "inet6",
    };
    let room = set.prefixes.len().next_power_of_two().max(ROOM);
    let _ = writeln!(lines, "create {name} hash:net family {family} maxelem {room}");
    for prefix in &set.prefixes {
        let _ = writeln!(lines, "add {name} {prefix}");
    }
    room
}
