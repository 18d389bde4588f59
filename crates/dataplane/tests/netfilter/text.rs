//! The tools take every rule, and print it as it was written: what is compared is equal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::hybrid::{Netfilter, Node, desired, zones};
use model::{AddressPair, CtZone, PortSecurity, SecurityGroup};
use policy::{Member, Members};
use testkit::Namespace;

use crate::sample::{address_group_id, group, group_id, mac, node, port, prefix};
use crate::tools::{FORMS, Tools};

/// Rules of every form, and every protocol.
fn rules() -> String {
    let mut rules = String::new();
    for direction in ["ingress", "egress"] {
        for family in ["IPv4", "IPv6"] {
            let mut rule = |rest: String| rules += &format!("{direction} {family} {rest}\n");
            // All of them from different places, so that no rule covers another.
            let place = |number: u16| match family {
                "IPv4" => format!("10.{}.{}.0/24", number >> 8, number & 0xff),
                _ => format!("2001:db8:{number:x}::/64"),
            };
            (1..=255).for_each(|number| rule(format!("{} {number}", place(number))));
            for (number, protocol) in (300..).zip(["tcp", "udp", "sctp", "dccp", "udplite"]) {
                rule(format!("{} {protocol} 0", place(number)));
                rule(format!("{} {protocol} 65535", place(number + 10)));
                rule(format!("{} {protocol} 0-65534", place(number + 20)));
                rule(format!("{} {protocol} 1-65535", place(number + 30)));
                for port in 0..40 {
                    rule(format!("{} {protocol} {}", place(number + 40), 10 * port));
                    rule(format!(
                        "{} {protocol} {}-{}",
                        place(number + 50),
                        10 * port,
                        10 * port + 3
                    ));
                }
            }
            for kind in (0..=255).step_by(5).chain([8, 254]) {
                rule(format!("{} type {kind}", place(500)));
                rule(format!("{} type {kind} code 0", place(501)));
                rule(format!("{} type {kind} code 255", place(502)));
            }
            rule("group:2 tcp 5".to_owned());
            rule("addresses:1 any".to_owned());
            rule("anybody tcp 7".to_owned());
        }
    }
    for place in [
        "::1.2.3.4",
        "::1:2",
        "::1",
        "::ffff:1.2.3.4",
        "64:ff9b::1.2.3.4",
        "1:0:0:2:3:0:0:4",
        "fe80::/10",
        "::/1",
        "1:0:2:3:4:5:6:7",
    ] {
        rules += &format!("ingress IPv6 {place} tcp 99\n");
    }
    rules
}

fn rich() -> Node {
    let mut several = port(2, &[1, 2]);
    let pair = |text: &str| AddressPair { mac: mac(9), prefix: prefix(text) };
    let pairs = ["0.0.0.0/0", "10.7.0.0/16", "::/0", "fd01::/48", "::5.6.7.8"].map(pair);
    Arc::make_mut(&mut several.port).pairs.extend(pairs);
    let mut open = port(3, &[]);
    Arc::make_mut(&mut open.port).security = PortSecurity::Disabled;
    let mut without_addresses = port(4, &[3]);
    Arc::make_mut(&mut without_addresses.port).pairs.clear();
    let closed = port(5, &[9]);
    let stateless = SecurityGroup { stateful: false, ..group(3, "ingress IPv4 anybody any") };
    let ports = [port(1, &[1]), several, open, without_addresses, closed];
    let mut node = node(ports, [group(1, &rules()), group(2, ""), stateless]);
    let members = ["0.0.0.0/0", "10.0.0.1", "10.3.0.0/16", "fd00::1", "::9.8.7.6", "::/0"];
    let members = members.map(|text| Member::new(prefix(text), Some(mac(7))));
    let addresses = ["0.0.0.0/0", "::/0", "10.5.0.0/16", "fd00::/64"].map(prefix);
    node.members = Members {
        groups: BTreeMap::from([(group_id(2), members.into_iter().collect())]),
        address_groups: BTreeMap::from([(address_group_id(1), addresses.into_iter().collect())]),
    };
    node
}

#[test]
fn every_rule_comes_back_as_it_was_written() {
    for form in FORMS {
        let namespace = Namespace::create("netfilter").unwrap();
        let tools = Tools { namespace: &namespace, form };
        for (strict_equivalence, ipset) in [(false, true), (true, false), (false, true)] {
            let node = Node { strict_equivalence, ipset, ..rich() };
            assert!(!tools.apply(&desired(&node).netfilter).is_empty());
        }
        assert!(!tools.installed().is_empty());
        tools.apply(&Netfilter::default());
        assert!(tools.installed().is_empty());
        assert!(!tools.run("iptables-save", &[], "").contains("neutron"));
    }
}

#[test]
fn rules_of_others_and_counters_stay() {
    for form in FORMS {
        let namespace = Namespace::create("netfilter").unwrap();
        let tools = Tools { namespace: &namespace, form };
        let foreign = "*filter\n:OURS - [0:0]\n-A INPUT -s 192.0.2.1/32 -j DROP\n\
                       -A FORWARD -m conntrack --ctstate INVALID -j DROP\n-A OURS -j RETURN\n\
                       COMMIT\n*nat\n-A PREROUTING -s 192.0.2.7/32 -j ACCEPT\nCOMMIT\n";
        tools.run("iptables-restore", &["--noflush", "-w", "20"], foreign);
        let first = "ingress IPv4 10.1.0.0/16 tcp 1\ningress IPv4 10.2.0.0/16 tcp 2\n\
                     ingress IPv4 10.4.0.0/16 tcp 4\ningress IPv4 10.5.0.0/16 tcp 5";
        let made = desired(&node([port(1, &[1])], [group(1, first)])).netfilter;
        tools.apply(&made);
        let lines = |text: &str| {
            let rules = text.lines().filter(|line| line.contains("-A "));
            rules.map(str::to_owned).collect::<Vec<_>>()
        };
        // Every rule has counted something of its own.
        let counted: Vec<String> = lines(&tools.run("iptables-save", &["-t", "filter"], ""))
            .iter()
            .zip(1..)
            .map(|(line, number)| line.replace("-A ", &format!("[{number}:{}] -A ", 100 * number)))
            .collect();
        let counted = format!("*filter\n{}\nCOMMIT\n", counted.join("\n"));
        let saved = tools.run("iptables-save", &["-t", "filter"], "");
        let chains = saved.lines().filter(|line| line.starts_with(':')).collect::<Vec<_>>();
        let counted = counted.replace("*filter\n", &format!("*filter\n{}\n", chains.join("\n")));
        tools.run("iptables-restore", &["--counters", "-w", "20"], &counted);
        let before = lines(&tools.run("iptables-save", &["-c", "-t", "filter"], ""));
        assert!(before.iter().all(|line| !line.starts_with("[0:0]")), "{before:#?}");

        let second = "ingress IPv4 10.1.0.0/16 tcp 1\ningress IPv4 10.3.0.0/16 tcp 3\n\
                      ingress IPv4 10.4.0.0/16 tcp 4\ningress IPv4 10.6.0.0/16 tcp 6";
        let node = node([port(1, &[1]), port(2, &[1])], [group(1, second)]);
        tools.apply(&desired(&node).netfilter);
        let after = lines(&tools.run("iptables-save", &["-c", "-t", "filter"], ""));
        let gone: Vec<&String> = before.iter().filter(|line| !after.contains(line)).collect();
        // What is gone is what the rules lost, and nothing else began to count anew.
        assert_eq!(gone.len(), 2, "{form}: {gone:#?}");
        assert!(gone.iter().all(|line| line.contains("10.2.0.0") || line.contains("10.5.0.0")));
        tools.apply(&Netfilter::default());
        let left = lines(&tools.run("iptables-save", &[], ""));
        let written: Vec<&str> = foreign.lines().filter(|line| line.starts_with("-A")).collect();
        assert_eq!(left.len(), written.len());
        assert!(written.iter().all(|line| left.iter().any(|rule| rule == line)), "{left:#?}");
    }
}

/// What Neutron's agent has for port 1, in short: with comments, with the rules of its groups in the
/// chain of the port, and with rules that hold for no packet.
const OF_NEUTRON: &str = "\
*raw
:neutron-openvswi-PREROUTING - [0:0]
-I PREROUTING -j neutron-openvswi-PREROUTING
-A neutron-openvswi-PREROUTING -m physdev --physdev-in qvb01000000-00 -m comment --comment \"Set zone for 01000000-0000-0000-0000-000000000000\" -j CT --zone 4242
-A neutron-openvswi-PREROUTING -i qvb01000000-00 -m comment --comment \"Set zone for 01000000-0000-0000-0000-000000000000\" -j CT --zone 4242
-A neutron-openvswi-PREROUTING -m physdev --physdev-in tap01000000-00 -m comment --comment \"Set zone for 01000000-0000-0000-0000-000000000000\" -j CT --zone 4242
COMMIT
*filter
:neutron-filter-top - [0:0]
:neutron-openvswi-FORWARD - [0:0]
:neutron-openvswi-INPUT - [0:0]
:neutron-openvswi-local - [0:0]
:neutron-openvswi-i01000000-0 - [0:0]
:neutron-openvswi-o01000000-0 - [0:0]
:neutron-openvswi-i99999999-9 - [0:0]
:neutron-openvswi-sg-chain - [0:0]
:neutron-openvswi-sg-fallback - [0:0]
-I FORWARD -j neutron-openvswi-FORWARD
-I FORWARD -j neutron-filter-top
-I INPUT -j neutron-openvswi-INPUT
-A neutron-filter-top -j neutron-openvswi-local
-A neutron-openvswi-FORWARD -m physdev --physdev-out tap01000000-00 --physdev-is-bridged -m comment --comment \"Direct traffic from the VM interface to the security group chain.\" -j neutron-openvswi-sg-chain
-A neutron-openvswi-sg-chain -m physdev --physdev-out tap01000000-00 --physdev-is-bridged -m comment --comment \"Jump to the VM specific chain.\" -j neutron-openvswi-i01000000-0
-A neutron-openvswi-sg-chain -m physdev --physdev-out tap99999999-99 --physdev-is-bridged -j neutron-openvswi-i99999999-9
-A neutron-openvswi-sg-chain -j ACCEPT
-A neutron-openvswi-i01000000-0 -m state --state RELATED,ESTABLISHED -j RETURN
-A neutron-openvswi-i01000000-0 -p tcp -m tcp -m multiport --dports 80:90 -m set --match-set NIPv400000002-0000-0000-0000- src -j RETURN
-A neutron-openvswi-i01000000-0 -j neutron-openvswi-sg-fallback
-A neutron-openvswi-i99999999-9 -m set --match-set NIPv499999999-0000-0000-0000- src -j RETURN
-A neutron-openvswi-sg-fallback -m comment --comment \"Default drop rule for unmatched traffic.\" -j DROP
COMMIT
";

#[test]
fn what_neutrons_agent_has_left_is_taken_over() {
    for form in FORMS {
        let namespace = Namespace::create("netfilter").unwrap();
        let tools = Tools { namespace: &namespace, form };
        let sets = "create NIPv400000002-0000-0000-0000- hash:net family inet\n\
                    add NIPv400000002-0000-0000-0000- 10.0.0.2\n\
                    create NIPv499999999-0000-0000-0000- hash:net family inet\n";
        tools.run("ipset", &["restore"], sets);
        tools.run("iptables-restore", &["--noflush", "-w", "20"], OF_NEUTRON);
        let mut server = port(1, &[1]);
        let ports = BTreeSet::from([server.port.id]);
        server.zone =
            zones(&ports, &BTreeMap::new(), &tools.installed()).get(&server.port.id).copied();
        assert_eq!(server.zone.map(CtZone::get), Some(4242), "{form}");
        let mut node = node([server], [group(1, "ingress IPv4 group:2 tcp 80-90")]);
        let member = Member::new(prefix("10.0.0.2"), None);
        node.members.groups.insert(group_id(2), [member].into_iter().collect());
        let changes = tools.apply(&desired(&node).netfilter);
        // Its set is the same, and so is how packets get into our chains.
        assert_eq!(changes.sets_before, "", "{form}");
        assert!(!changes.ipv4.contains(" FORWARD "), "{form}: {}", changes.ipv4);
        let left = [tools.run("iptables-save", &[], ""), tools.run("ipset", &["save"], "")];
        for text in left {
            assert!(!text.contains("comment") && !text.contains("99999999"), "{form}: {text}");
        }
    }
}
