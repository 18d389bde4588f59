//! What is installed becomes what is desired, and nothing else changes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::golden::small;
use super::*;
use crate::Snapshot;
use crate::hybrid::{Changes, Installed, Listing, Netfilter, desired_since};
use crate::sample::{Edit, edit};

/// The tables of one family, as the kernel keeps them: what `iptables-restore --noflush` does to
/// them, and what `iptables-save` prints of them.
#[derive(Debug, Clone, Default, PartialEq)]
struct Kernel(BTreeMap<String, BTreeMap<String, Vec<String>>>);

impl Kernel {
    fn with(rules: &[(&str, &str, &str)]) -> Self {
        let mut kernel = Self::default();
        for (table, chain, rule) in rules {
            let chains = kernel.0.entry((*table).to_owned()).or_default();
            chains.entry((*chain).to_owned()).or_default().push((*rule).to_owned());
        }
        kernel
    }

    fn restore(&mut self, text: &str) {
        let mut table = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name.to_owned();
                continue;
            }
            let chains = self.0.entry(table.clone()).or_default();
            if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split(' ').next().unwrap().to_owned();
                assert!(chains.insert(name, Vec::new()).is_none(), "it is there: {line}");
                continue;
            }
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let is_of_kernel = words
                .get(1)
                .is_some_and(|chain| ["INPUT", "OUTPUT", "FORWARD", "PREROUTING"].contains(chain));
            if is_of_kernel {
                chains.entry(words[1].to_owned()).or_default();
            }
            let rules = words.get(1).map(|chain| chains.get_mut(*chain).unwrap());
            match (words[0], rules) {
                ("-A", Some(rules)) => rules.push(words[2..].join(" ")),
                ("-I", Some(rules)) => {
                    rules.insert(words[2].parse::<usize>().unwrap() - 1, words[3].to_owned());
                }
                ("-D", Some(rules)) => {
                    rules.remove(words[2].parse::<usize>().unwrap() - 1);
                }
                ("-F", Some(rules)) => rules.clear(),
                ("-X", Some(rules)) => {
                    assert!(rules.is_empty(), "it has rules: {line}");
                    chains.remove(words[1]);
                }
                ("COMMIT", None) => {
                    for rule in chains.values().flatten() {
                        let target = rule.rsplit(' ').next().unwrap();
                        let is_there =
                            !target.starts_with("neutron") || chains.contains_key(target);
                        assert!(is_there, "nowhere to go: {rule}");
                    }
                }
                _ => panic!("{line}"),
            }
        }
    }

    fn save(&self) -> String {
        let mut text = String::new();
        for (table, chains) in &self.0 {
            text += &format!("*{table}\n");
            for chain in chains.keys() {
                text += &format!(":{chain} - [0:0]\n");
            }
            for (chain, rules) in chains {
                for rule in rules {
                    text += &format!("-A {chain} {rule}\n");
                }
            }
            text += "COMMIT\n";
        }
        text
    }

    /// The rules that say where packets are tracked.
    fn tracking(&self) -> BTreeSet<String> {
        let chains = self.0.get("raw").into_iter().flat_map(BTreeMap::values);
        let rules = chains.flatten().filter(|rule| rule.contains("--physdev-in"));
        rules.cloned().collect()
    }

    /// The rules that are not ours.
    fn foreign(&self) -> Vec<String> {
        let text = self.save();
        let rules = text.lines().filter(|line| line.starts_with("-A "));
        let foreign = rules.filter(|line| {
            !line.contains("neutron-openvswi-") && !line.ends_with("neutron-filter-top")
        });
        foreign.map(str::to_owned).collect()
    }
}

/// The sets as the kernel keeps them.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sets(BTreeMap<String, BTreeSet<String>>);

impl Sets {
    fn restore(&mut self, text: &str) {
        for line in text.lines() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["create", name, ..] => {
                    assert!(self.0.insert((*name).to_owned(), BTreeSet::new()).is_none());
                }
                ["add", name, entry] => {
                    assert!(self.0.get_mut(*name).unwrap().insert((*entry).to_owned()));
                }
                ["del", name, entry] => assert!(self.0.get_mut(*name).unwrap().remove(*entry)),
                ["destroy", name] => assert!(self.0.remove(*name).is_some()),
                ["swap", one, other] => {
                    let [a, b] = [one, other].map(|name| self.0.remove(*name).unwrap());
                    self.0.extend([((*one).to_owned(), b), ((*other).to_owned(), a)]);
                }
                _ => panic!("{line}"),
            }
        }
    }

    fn save(&self) -> String {
        let mut text = String::new();
        for (name, entries) in &self.0 {
            text += &format!("create {name} hash:net family inet hashsize 1024 maxelem 65536\n");
            for entry in entries {
                text += &format!("add {name} {entry}\n");
            }
        }
        text
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Machine {
    ipv4: Kernel,
    ipv6: Kernel,
    sets: Sets,
}

impl Machine {
    fn installed(&self) -> Installed {
        let (ipv4, ipv6, sets) = (self.ipv4.save(), self.ipv6.save(), self.sets.save());
        Installed::parse(Listing { ipv4: &ipv4, ipv6: &ipv6, sets: &sets, protocols: "" })
    }

    fn become_this(&mut self, desired: &Netfilter) -> Changes {
        let changes = desired.changes(&self.installed());
        self.sets.restore(&changes.sets_before);
        self.ipv4.restore(&changes.ipv4);
        self.ipv6.restore(&changes.ipv6);
        self.sets.restore(&changes.sets_after);
        assert_eq!(changes.after, self.installed(), "as was to be expected");
        changes
    }
}

fn foreign() -> Kernel {
    Kernel::with(&[
        ("filter", "INPUT", "-s 192.0.2.1/32 -j DROP"),
        ("filter", "FORWARD", "-j DOCKER-USER"),
        ("filter", "FORWARD", "-m physdev --physdev-is-bridged -j ACCEPT"),
        ("filter", "DOCKER-USER", "-j RETURN"),
        ("nat", "PREROUTING", "-p tcp -m tcp --dport 6443 -j REDIRECT"),
        ("mangle", "POSTROUTING", "-j CHECKSUM"),
    ])
}

#[test]
fn nothing_is_done_twice() {
    let mut machine = Machine { ipv4: foreign(), ..Machine::default() };
    let desired = desired(&small()).netfilter;
    let changes = machine.become_this(&desired);
    assert!(!changes.is_empty());
    assert!(desired.changes(&machine.installed()).is_empty());
    assert_eq!(machine.ipv4.foreign(), foreign().foreign());
    let forward = &machine.ipv4.0["filter"]["FORWARD"];
    assert_eq!(forward[..2], ["-j neutron-filter-top", "-j neutron-openvswi-FORWARD"]);
}

#[test]
fn nothing_of_ours_stays() {
    let mut before = Machine { ipv4: foreign(), ..Machine::default() };
    before.ipv4.0.get_mut("filter").unwrap().insert("OUTPUT".to_owned(), Vec::new());
    before.ipv4.0.insert("raw".to_owned(), BTreeMap::new());
    let mut machine = before.clone();
    machine.become_this(&desired(&small()).netfilter);
    assert!(!machine.installed().is_empty());
    machine.become_this(&Netfilter::default());
    assert!(machine.installed().is_empty());
    for tables in machine.ipv4.0.values_mut().chain(machine.ipv6.0.values_mut()) {
        tables.retain(|_, rules| !rules.is_empty());
    }
    assert_eq!(machine.ipv4.foreign(), foreign().foreign());
    assert!(machine.ipv6.foreign().is_empty() && machine.sets.0.is_empty());
    assert!(!machine.ipv4.save().contains("neutron"));
    assert!(Netfilter::default().changes(&machine.installed()).is_empty());
}

#[test]
fn what_neutrons_programs_share_stays_for_the_others() {
    let others = [
        ("filter", "FORWARD", "-j neutron-filter-top"),
        ("filter", "FORWARD", "-j neutron-l3-agent-FORWARD"),
        ("filter", "OUTPUT", "-j neutron-filter-top"),
        ("filter", "neutron-filter-top", "-j neutron-l3-agent-local"),
        ("filter", "neutron-l3-agent-local", ""),
        ("filter", "neutron-l3-agent-FORWARD", ""),
    ];
    let mut machine = Machine { ipv4: Kernel::with(&others), ..Machine::default() };
    let desired = desired(&small()).netfilter;
    machine.become_this(&desired);
    assert!(desired.changes(&machine.installed()).is_empty());
    let filter = |machine: &Machine, chain: &str| machine.ipv4.0["filter"][chain].clone();
    let top = ["-j neutron-openvswi-local", "-j neutron-l3-agent-local"];
    assert_eq!(filter(&machine, "neutron-filter-top"), top);
    machine.become_this(&Netfilter::default());
    assert!(machine.installed().is_empty());
    assert_eq!(filter(&machine, "neutron-filter-top"), ["-j neutron-l3-agent-local"]);
    let forward = ["-j neutron-filter-top", "-j neutron-l3-agent-FORWARD"];
    assert_eq!(filter(&machine, "FORWARD"), forward);
}

#[test]
fn rules_of_neutrons_programs_may_be_before_ours_and_no_others() {
    let mut machine = Machine::default();
    let desired = desired(&small()).netfilter;
    machine.become_this(&desired);
    let forward = |machine: &mut Machine, rule: &str| {
        machine
            .ipv4
            .0
            .get_mut("filter")
            .unwrap()
            .get_mut("FORWARD")
            .unwrap()
            .insert(0, rule.to_owned());
    };
    forward(&mut machine, "-j neutron-l3-agent-FORWARD");
    let filter = machine.ipv4.0.get_mut("filter").unwrap();
    filter.insert("neutron-l3-agent-FORWARD".to_owned(), Vec::new());
    assert!(desired.changes(&machine.installed()).is_empty());
    forward(&mut machine, "-j ACCEPT");
    let changes = machine.become_this(&desired);
    assert!(changes.ipv6.is_empty() && changes.sets_before.is_empty());
    let rules = &machine.ipv4.0["filter"]["FORWARD"];
    assert_eq!(
        rules[..],
        [
            "-j neutron-filter-top",
            "-j neutron-openvswi-FORWARD",
            "-j ACCEPT",
            "-j neutron-l3-agent-FORWARD"
        ]
    );
}

#[test]
fn what_somebody_else_did_to_our_chains_is_undone() {
    let mut machine = Machine::default();
    let desired = desired(&small()).netfilter;
    machine.become_this(&desired);
    let good = machine.clone();
    let filter = machine.ipv4.0.get_mut("filter").unwrap();
    filter.get_mut("neutron-openvswi-sg-chain").unwrap().insert(0, "-j ACCEPT".to_owned());
    filter.get_mut("neutron-openvswi-s01000000-0").unwrap().clear();
    filter.insert("neutron-openvswi-iforgotten".to_owned(), vec!["-j RETURN".to_owned()]);
    machine.ipv6.0.get_mut("raw").unwrap().remove("neutron-openvswi-OUTPUT");
    machine.ipv6.0.get_mut("raw").unwrap().get_mut("OUTPUT").unwrap().clear();
    machine.sets.0.values_mut().next().unwrap().insert("192.0.2.0/24".to_owned());
    machine.sets.0.insert("NIPv400000009-0000-6000-0000-".to_owned(), BTreeSet::new());
    machine.sets.0.insert("NIPv400000009-0000-6000-0000--n".to_owned(), BTreeSet::new());
    machine.become_this(&desired);
    assert_eq!(machine, good);
}

#[test]
fn answers_are_known_while_a_port_goes_and_another_comes() {
    let mut machine = Machine::default();
    let mut node = small();
    let (id, port) = node.ports.pop_first().unwrap();
    machine.become_this(&desired(&node).netfilter);
    let is_tracked = |id: &PortId| machine.ipv4.save().contains(&HybridDevices::of(*id).tap);
    let gone = node.ports.keys().copied().find(is_tracked).unwrap();
    node.ports.remove(&gone);
    node.ports.insert(id, port);
    let changes = machine.become_this(&desired(&node).netfilter);
    let [new, old] = [id, gone].map(|id| format!("--physdev-in {}", HybridDevices::of(id).tap));
    let tables: Vec<&str> = changes.ipv4.split_inclusive("COMMIT\n").collect();
    let names: Vec<&str> = tables.iter().filter_map(|it| it.lines().next()).collect();
    assert_eq!(names, ["*raw", "*filter", "*nat", "*raw"]);
    assert!(tables[0].contains(&new) && !tables[0].contains("-D "), "{}", tables[0]);
    assert!(tables[3].contains("-D ") && !tables[3].contains("-j CT"), "{}", tables[3]);
    assert!(!machine.ipv4.save().contains(&old));
}

#[test]
fn one_rule_more_is_one_line() {
    let mut machine = Machine::default();
    let mut node = small();
    machine.become_this(&desired(&node).netfilter);
    let rules = &mut Arc::make_mut(node.groups.get_mut(&group_id(1)).unwrap()).rules;
    rules.insert(rule(rule_id(99), "ingress IPv4 10.2.0.0/16 tcp 1"));
    let changes = machine.become_this(&desired(&node).netfilter);
    expect_test::expect![[r#"
        *filter
        -I neutron-openvswi-gi-64bacd92 4 -s 10.2.0.0/16 -p tcp -m multiport --dports 1 -j RETURN
        COMMIT
    "#]]
    .assert_eq(&changes.ipv4);
    assert!(changes.ipv6.is_empty() && changes.sets_before.is_empty());
    assert!(changes.sets_after.is_empty());
}

#[test]
fn few_members_are_told_and_many_are_swapped() {
    let mut machine = Machine::default();
    let mut node = small();
    machine.become_this(&desired(&node).netfilter);
    let mut join = |machine: &mut Machine, addresses: &[&str]| {
        node.members.groups.insert(group_id(2), members(addresses));
        let changes = machine.become_this(&desired(&node).netfilter);
        assert!(changes.ipv4.is_empty() && changes.ipv6.is_empty());
        changes.sets_before
    };
    expect_test::expect![[r#"
        add NIPv400000002-0000-6000-0000- 10.0.0.4/32
        add NIPv400000002-0000-6000-0000- 10.0.1.0/24
        del NIPv400000002-0000-6000-0000- 10.0.0.3/32
    "#]]
    .assert_eq(&join(&mut machine, &["10.0.0.4", "10.0.1.0/24"]));
    expect_test::expect![[r#"
        create NIPv400000002-0000-6000-0000--n hash:net family inet maxelem 65536
        add NIPv400000002-0000-6000-0000--n 10.0.0.5/32
        add NIPv400000002-0000-6000-0000--n 10.0.0.6/32
        add NIPv400000002-0000-6000-0000--n 10.0.0.7/32
        swap NIPv400000002-0000-6000-0000--n NIPv400000002-0000-6000-0000-
        destroy NIPv400000002-0000-6000-0000--n
    "#]]
    .assert_eq(&join(&mut machine, &["10.0.0.5", "10.0.0.6", "10.0.0.7"]));
    assert!(join(&mut machine, &["10.0.0.7", "10.0.0.6", "10.0.0.5"]).is_empty());
}

#[test]
fn a_set_that_is_too_small_is_made_anew() {
    let name = "NIPv400000002-0000-6000-0000-";
    let listed = format!("create {name} hash:net family inet maxelem 1\nadd {name} 10.0.0.3\n");
    let mut node = small();
    node.members.groups.insert(group_id(2), members(&["10.0.0.3", "10.0.0.4"]));
    let installed = Installed::parse(Listing { sets: &listed, ..Listing::default() });
    let changes = desired(&node).netfilter.changes(&installed);
    assert!(changes.sets_before.contains(&format!("swap {name}-n {name}\n")));
    // So is one with an entry that says more than a prefix.
    let listed =
        format!("create {name} hash:net family inet maxelem 9\nadd {name} 10.0.0.0/24 nomatch\n");
    let installed = Installed::parse(Listing { sets: &listed, ..Listing::default() });
    let changes = desired(&small()).netfilter.changes(&installed);
    assert!(changes.sets_before.contains(&format!("swap {name}-n {name}\n")));
}

/// The ports of a snapshot as if they were behind Linux bridges.
fn as_node(snapshot: &Snapshot, ipset: bool) -> Node {
    let ports = (1..).zip(snapshot.ports.values()).map(|(number, local)| {
        let id = port_id(number);
        let port = model::Port { id, ..(*local.port).clone() };
        let zone = Some(CtZone::new(4096 + u16::from(number)));
        (id, Port { port: Arc::new(port), zone })
    });
    Node {
        ports: ports.collect(),
        groups: snapshot.groups.clone(),
        members: snapshot.members.clone(),
        strict_equivalence: snapshot.strict_equivalence,
        ipset,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_node_becomes_any_other(steps in vec((edit(), any::<bool>()), 1..24)) {
        let mut snapshot = Snapshot::default();
        let mut machine = Machine { ipv4: foreign(), ..Machine::default() };
        let mut last = (Node::default(), Desired::default());
        for (edit, ipset) in steps {
            let edit: Edit = edit;
            edit.apply(&mut snapshot);
            let node = as_node(&snapshot, ipset);
            let whole = desired(&node);
            let (was, had) = &last;
            prop_assert_eq!(&desired_since(&node, Some((was, had))), &whole, "step by step");
            let installed = machine.installed();
            let since = whole.netfilter.changes_since(&had.netfilter, &installed);
            prop_assert_eq!(&since, &whole.netfilter.changes(&installed), "step by step");
            last = (node, whole.clone());
            let desired = whole.netfilter;
            let before = machine.clone();
            let changes = machine.become_this(&desired);
            prop_assert!(desired.changes(&machine.installed()).is_empty());
            prop_assert_eq!(machine.ipv4.foreign(), foreign().foreign());
            // While the tables differ, packets are tracked where they were, and where they will be.
            for (before, after, text) in [
                (&before.ipv4, &machine.ipv4, &changes.ipv4),
                (&before.ipv6, &machine.ipv6, &changes.ipv6),
            ] {
                let (mut between, at) = (before.clone(), text.find("*filter"));
                between.restore(&text[..at.unwrap_or(0)]);
                for rule in before.tracking().union(&after.tracking()).filter(|_| at.is_some()) {
                    prop_assert!(between.tracking().contains(rule), "{} in\n{}", rule, text);
                }
            }
            // What is the same is not mentioned, and what is there is all that there should be.
            for (chain, rules) in &before.ipv4.0["filter"] {
                if machine.ipv4.0["filter"].get(chain) == Some(rules) {
                    let changed = changes.ipv4.split("*filter").nth(1).unwrap_or_default();
                    let changed = changed.split("COMMIT").next().unwrap();
                    let mentions = |line: &str| line.split(' ').nth(1) == Some(chain);
                    prop_assert!(!changed.lines().any(mentions), "{} in\n{}", chain, changed);
                }
            }
            let ours: usize = [&machine.ipv4, &machine.ipv6]
                .iter()
                .flat_map(|kernel| kernel.0.values().flat_map(BTreeMap::values))
                .map(Vec::len)
                .sum();
            prop_assert_eq!(ours, desired.rules() + foreign().foreign().len());
        }
    }
}
