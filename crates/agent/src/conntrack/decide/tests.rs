//! Connections of a small node, before and after it lost a rule.

use dataplane::Filter;
use model::{MacAddr, PortSecurity, Remote, SecurityGroupRule, Transport};

use super::super::sample::{
    group, group_id, network_id, node, pair, port, port_id, rule, udp, uuid, zone,
};
use super::*;

fn connection(src: &str, dst: &str, protocol: IpProtocol, transport: CtTransport) -> Entry {
    let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
    Entry { original: CtTuple { src, dst, protocol: protocol.0, transport }, mark: 0, id: None }
}

fn udp_connection(src: &str, dst: &str, port: u16) -> Entry {
    connection(src, dst, IpProtocol::UDP, CtTransport::Ports { src: 40_000, dst: port })
}

fn is_cut(snapshot: &Snapshot, entry: Entry) -> bool {
    is_cut_after(&Affected::default(), snapshot, entry)
}

fn is_cut_after(affected: &Affected, snapshot: &Snapshot, entry: Entry) -> bool {
    let entries = Entries::from([(zone(5), vec![entry])]);
    !unruled(affected, snapshot, entries).is_empty()
}

#[test]
fn both_sides_must_admit_it() {
    let node = node(&[rule(Direction::Ingress, udp(53), Remote::Any)]);
    assert!(!is_cut(&node, udp_connection("10.0.0.1", "10.0.0.2", 53)));
    assert!(is_cut(&node, udp_connection("10.0.0.1", "10.0.0.2", 54)), "no ingress rule");
    assert!(is_cut(&node, udp_connection("10.0.0.2", "10.0.0.1", 53)), "no egress rule");
    assert!(!is_cut(&node, udp_connection("192.0.2.1", "10.0.0.2", 53)), "from elsewhere");
    assert!(is_cut(&node, udp_connection("192.0.2.1", "10.0.0.2", 54)));
    assert!(!is_cut(&node, udp_connection("10.0.0.1", "192.0.2.1", 54)), "to elsewhere");
    assert!(is_cut(&node, udp_connection("10.0.0.2", "192.0.2.1", 54)));
}

#[test]
fn what_is_not_ours_stays() {
    let node = node(&[]);
    let mut foreign = udp_connection("192.0.2.1", "192.0.2.2", 53);
    assert!(!is_cut(&node, foreign.clone()));
    foreign.mark = MARK_REVOKED;
    assert!(!is_cut(&node, foreign));
}

#[test]
fn a_stateless_port_has_no_connections() {
    let mut node = node(&[]);
    let from_elsewhere = || udp_connection("192.0.2.1", "10.0.0.2", 53);
    let from_a_neighbour = || udp_connection("10.0.0.1", "10.0.0.2", 53);
    let to_a_neighbour = || udp_connection("10.0.0.2", "10.0.0.1", 53);
    assert!(
        [from_elsewhere(), from_a_neighbour(), to_a_neighbour()]
            .into_iter()
            .all(|entry| is_cut(&node, entry))
    );
    let changed = node.groups.get_mut(&group_id(2)).unwrap();
    Arc::make_mut(changed).stateful = false;
    assert!(!is_cut(&node, from_elsewhere()), "a leftover");
    assert!(!is_cut(&node, from_a_neighbour()), "the sender's, who may send it");
    assert!(!is_cut(&node, to_a_neighbour()), "the receiver's, who may open one back");
    let mut marked = from_a_neighbour();
    marked.mark = MARK_REVOKED;
    assert!(is_cut(&node, marked), "the sender's");
    // With a stateful group besides, which the API never gives it, it is stateful.
    node.groups.insert(group_id(9), group(9, &[]).into());
    Arc::make_mut(&mut node.ports.get_mut(&port_id(2)).unwrap().port).groups.insert(group_id(9));
    assert!(is_cut(&node, from_elsewhere()));
}

#[test]
fn marked_ones_go_even_if_a_rule_admits_them_again() {
    let node = node(&[rule(Direction::Ingress, udp(53), Remote::Any)]);
    let mut marked = udp_connection("10.0.0.1", "10.0.0.2", 53);
    marked.mark = MARK_REVOKED;
    assert!(is_cut(&node, marked));
}

#[test]
fn what_the_receiver_may_open_again_is_left_to_the_mark() {
    let mut node = node(&[rule(Direction::Egress, Transport::Any, Remote::Any)]);
    let from_elsewhere = || udp_connection("192.0.2.1", "10.0.0.2", 53);
    assert!(!is_cut(&node, from_elsewhere()), "the receiver's next packet would open it again");
    let mut marked = from_elsewhere();
    marked.mark = MARK_REVOKED;
    assert!(!is_cut(&node, marked), "the mark stops both directions");
    assert!(is_cut(&node, udp_connection("10.0.0.1", "10.0.0.2", 53)), "not into 10.0.0.1");
    let echo = CtTransport::Icmp { id: 7, kind: 8, code: 0 };
    let echo = connection("192.0.2.1", "10.0.0.2", IpProtocol::ICMP, echo);
    assert!(is_cut(&node, echo), "a reply opens nothing");

    // What the receiver may open depends on the port that it came from.
    let changed = node.groups.get_mut(&group_id(2)).unwrap();
    *Arc::make_mut(changed) = group(2, &[rule(Direction::Egress, udp(40_000), Remote::Any)]);
    assert!(!is_cut(&node, from_elsewhere()));
    let changed = node.groups.get_mut(&group_id(2)).unwrap();
    *Arc::make_mut(changed) = group(2, &[rule(Direction::Egress, udp(53), Remote::Any)]);
    assert!(is_cut(&node, from_elsewhere()));
}

#[test]
fn members_count_by_their_address() {
    let friends = group_id(0x77);
    let mut node = node(&[rule(Direction::Ingress, udp(53), Remote::Group(friends))]);
    let entry = || udp_connection("10.0.0.1", "10.0.0.2", 53);
    assert!(is_cut(&node, entry()), "nobody is in it");
    let mut members = |prefix: &str, mac| {
        let member = Member::new(prefix.parse().unwrap(), mac);
        node.members.groups.insert(friends, [member].into());
        is_cut(&node, entry())
    };
    assert!(!members("10.0.0.1", None));
    assert!(!members("10.0.0.0/24", None));
    assert!(members("10.0.0.2", None));
    // The entry does not say which Ethernet address it has: the flows know.
    assert!(!members("0.0.0.0/0", Some(MacAddr::new([2, 0, 0, 0, 0, 9]))));

    let id = uuid(0x78).parse().unwrap();
    let mut node =
        super::super::sample::node(&[rule(Direction::Ingress, udp(53), Remote::AddressGroup(id))]);
    node.members.address_groups.insert(id, ["10.0.0.0/31".parse().unwrap()].into());
    assert!(!is_cut(&node, entry()));
    node.members.address_groups.insert(id, ["10.0.0.2/31".parse().unwrap()].into());
    assert!(is_cut(&node, entry()));
}

#[test]
fn a_connection_whose_ports_conntrack_does_not_know_is_left_to_the_flows() {
    let node = node(&[rule(Direction::Ingress, udp(53), Remote::Any)]);
    let between = |protocol| connection("10.0.0.1", "10.0.0.2", protocol, CtTransport::None);
    assert!(!is_cut(&node, between(IpProtocol::SCTP)));
    assert!(is_cut(&node, between(IpProtocol(47))), "GRE has none");
}

#[test]
fn echoes_are_judged_by_the_request() {
    let icmp = Transport::Icmp { kind: 8, code: Some(0) };
    let node = node(&[rule(Direction::Ingress, icmp, Remote::Any)]);
    let echo = |kind| CtTransport::Icmp { id: 7, kind, code: 0 };
    assert!(!is_cut(&node, connection("10.0.0.1", "10.0.0.2", IpProtocol::ICMP, echo(8))));
    assert!(is_cut(&node, connection("10.0.0.1", "10.0.0.2", IpProtocol::ICMP, echo(13))));
}

#[test]
fn an_address_of_several_ports_is_admitted_if_one_of_them_admits() {
    let mut node = node(&[]);
    let entry = || udp_connection("192.0.2.1", "10.0.0.2", 53);
    assert!(is_cut(&node, entry()));
    let mut other = port(3);
    Arc::make_mut(&mut other.port).security = PortSecurity::Disabled;
    Arc::make_mut(&mut other.port).pairs = [pair(other.port.mac, "10.0.0.2")].into();
    node.ports.insert(other.port.id, other);
    assert!(!is_cut(&node, entry()));
}

#[test]
fn a_port_that_is_filtered_elsewhere_cuts_nothing() {
    let mut node = node(&[]);
    let entry = || udp_connection("192.0.2.1", "10.0.0.2", 53);
    assert!(is_cut(&node, entry()));
    for filter in [Filter::Netfilter, Filter::Nothing] {
        node.ports.get_mut(&port_id(2)).unwrap().filter = filter;
        assert!(!is_cut(&node, entry()));
    }
}

#[test]
fn a_port_that_may_use_any_address_does_not_speak_for_that_of_another() {
    let mut node = node(&[]);
    let mut other = port(3);
    Arc::make_mut(&mut other.port).security = PortSecurity::Disabled;
    Arc::make_mut(&mut other.port).pairs = [pair(other.port.mac, "0.0.0.0/0")].into();
    node.ports.insert(other.port.id, other);
    assert!(is_cut(&node, udp_connection("192.0.2.1", "10.0.0.2", 53)));
    assert!(!is_cut(&node, udp_connection("192.0.2.1", "198.51.100.9", 53)));
}

#[test]
fn ports_of_other_zones_do_not_speak_for_it() {
    let mut node = node(&[]);
    Arc::make_mut(&mut node.ports.get_mut(&port_id(2)).unwrap().port).network = network_id(6);
    assert!(!is_cut(&node, udp_connection("10.0.0.1", "10.0.0.2", 53)));
}

#[test]
fn an_address_that_its_port_lost_is_nobodys() {
    let node = node(&[]);
    let gone = "10.0.0.9";
    let entry = || udp_connection(gone, "10.0.0.1", 53);
    let mut egress = udp_connection("10.0.0.1", gone, 53);
    assert!(!is_cut(&node, egress.clone()));
    let affected =
        Affected { lost: [(zone(5), gone.parse().unwrap())].into(), ..Affected::default() };
    assert!(is_cut_after(&affected, &node, egress.clone()));
    assert!(is_cut_after(&affected, &node, entry()));
    egress.original.dst = "10.0.0.10".parse().unwrap();
    assert!(!is_cut_after(&affected, &node, egress));
}

/// What becomes of a connection of port 2, which may receive what these rules say and send what
/// those say, with this mark.
fn sentence(rules: &[SecurityGroupRule], mark: u32) -> [usize; 3] {
    let groups = [(group_id(2), Arc::new(group(2, rules)))].into();
    let port = port(2).port;
    let rules = Rules { groups, members: Members::default() };
    let zones = Zones { ports: [(zone(9), port)].into(), rules };
    let entry = Entry { mark, ..udp_connection("10.0.0.1", "10.0.0.2", 53) };
    let entries = Entries::from([(zone(9), vec![entry.clone()]), (zone(8), vec![entry])]);
    let mut sentences = sentences(&zones, entries);
    assert_eq!(sentences.remove(&zone(8)), None, "it is the zone of nobody");
    let it = sentences.remove(&zone(9)).unwrap_or_default();
    [it.forget.len(), it.revoke.len(), it.reinstate.len()]
}

/// A neighbour's rules admit what it sends to a port that netfilter filters, so the zone of their network
/// has a connection which that port refuses.
#[test]
fn what_a_port_refuses_does_not_go_on_elsewhere() {
    let node = node(&[rule(Direction::Ingress, udp(53), Remote::Any)]);
    let rules = Rules::of(&node);
    let whole = |original: Entry| Connection {
        reply: reversed(&original.original),
        replied: true,
        tcp: None,
        timeout: 60,
        entry: original,
    };
    let go_on = |entry: Entry| {
        let mut connections = vec![whole(entry)];
        retain_admitted(
            (&rules, &rules.index()),
            &node.ports[&port_id(2)].port,
            zone(5),
            &mut connections,
        );
        !connections.is_empty()
    };
    assert!(go_on(udp_connection("10.0.0.1", "10.0.0.2", 53)));
    assert!(!go_on(udp_connection("10.0.0.1", "10.0.0.2", 54)), "no ingress rule");
    assert!(!go_on(udp_connection("10.0.0.2", "10.0.0.1", 53)), "no egress rule");
    assert!(!go_on(udp_connection("192.0.2.1", "10.0.0.2", 54)), "from elsewhere");
}

#[test]
fn connections_of_a_zone_of_its_own_are_forgotten_or_marked() {
    let may_receive = || rule(Direction::Ingress, udp(53), Remote::Any);
    let may_answer = || rule(Direction::Egress, Transport::Any, Remote::Any);
    for mark in [0, 6] {
        assert_eq!(sentence(&[may_receive()], mark), [0, 0, 0]);
        assert_eq!(sentence(&[], mark), [1, 0, 0]);
        assert_eq!(sentence(&[may_answer()], mark), [0, 1, 0], "it would open it again");
    }
    for mark in [1, 7] {
        assert_eq!(sentence(&[may_receive()], mark), [0, 0, 1]);
        assert_eq!(sentence(&[], mark), [1, 0, 0]);
        assert_eq!(sentence(&[may_answer()], mark), [0, 0, 0], "it is marked");
    }
}
