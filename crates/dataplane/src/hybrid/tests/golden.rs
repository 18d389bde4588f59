//! The text of one node, as `iptables-save` prints it.

use expect_test::expect_file;

use super::*;

/// Web servers and a database behind them, one port that is not filtered, one that may not talk.
pub(super) fn small() -> Node {
    let web = "ingress IPv4 anybody tcp 80\ningress IPv4 anybody tcp 443\n\
               ingress IPv4 anybody icmp\ningress IPv4 10.1.0.0/16 tcp 8000-8010\n\
               ingress IPv6 anybody tcp 80\n\
               egress IPv4 anybody any\negress IPv6 anybody any";
    let database = "ingress IPv4 group:1 tcp 5432\ningress IPv6 group:1 tcp 5432\n\
                    ingress IPv4 addresses:1 tcp 22\ningress IPv4 group:2 any\n\
                    ingress IPv4 anybody type 8 code 0\n\
                    egress IPv4 addresses:1 udp 53\negress IPv4 group:1 type 8";
    let mut open = port(4, &[]);
    Arc::make_mut(&mut open.port).security = PortSecurity::Disabled;
    let router = with_pairs(
        port(2, &[1]),
        &[pair(2, "10.0.0.2"), pair(2, "2001:db8::2"), pair(9, "0.0.0.0/0")],
    );
    let ports = [port(1, &[1]), router, port(3, &[2]), open, port(5, &[9])];
    let mut node = node(ports, [group(1, web), group(2, database)]);
    let any = Member::new(prefix("0.0.0.0/0"), Some(mac(9)));
    let mut members_of_web = members(&["10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"]);
    members_of_web.insert(any);
    node.members.groups =
        BTreeMap::from([(group_id(1), members_of_web), (group_id(2), members(&["10.0.0.3"]))]);
    let office = ["198.51.100.0/24", "203.0.113.7"].map(prefix);
    node.members.address_groups = one(address_group_id(1), office.into_iter().collect());
    node
}

fn text(desired: &Desired) -> String {
    let mut text = format!("# iptables-save\n{}", desired.netfilter.ipv4);
    text += &format!("# ip6tables-save\n{}# ipset save\n", desired.netfilter.ipv6);
    text += &desired.netfilter.changes(&Installed::default()).sets_before;
    for fault in &desired.faults {
        text += &format!("# {fault}\n");
    }
    text
}

#[test]
fn a_small_node() {
    expect_file!["../golden/small.txt"].assert_eq(&text(&desired(&small())));
}

#[test]
fn a_small_node_with_strict_equivalence_and_without_sets() {
    let node = Node { strict_equivalence: true, ipset: false, ..small() };
    expect_file!["../golden/strict.txt"].assert_eq(&text(&desired(&node)));
}
