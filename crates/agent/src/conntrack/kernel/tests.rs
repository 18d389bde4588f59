//! Against the kernel's own conntrack, in a network namespace of its own.

use std::net::IpAddr;
use std::process::Command;

use openflow::{CtTransport, CtTuple};
use testkit::Namespace;

use super::*;

fn zone(n: u16) -> CtZone {
    CtZone::new(n)
}

/// Makes a connection with the program `conntrack`.
fn insert_line(namespace: &Namespace, line: &str) {
    let mut command = namespace.command("conntrack");
    command.args(["-I", "-t", "120", "-u", "SEEN_REPLY"]).args(line.split(' '));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
}

fn udp(last: u8, port: u16) -> CtTuple {
    let address = |last| IpAddr::from([10, 0, 0, last]);
    let transport = CtTransport::Ports { src: 40_000, dst: port };
    CtTuple { src: address(last), dst: address(2), protocol: 17, transport }
}

fn insert_udp(namespace: &Namespace, zone: u16, tuple: CtTuple, mark: u32) {
    let CtTransport::Ports { src, dst } = tuple.transport else { panic!("{tuple}") };
    insert_line(
        namespace,
        &format!(
            "-w {zone} -s {} -d {} -p udp --sport {src} --dport {dst} -m {mark}",
            tuple.src, tuple.dst
        ),
    );
}

fn listed(namespace: &Namespace, zones: &[u16]) -> Vec<(u16, CtTuple, u32)> {
    let zones: Vec<CtZone> = zones.iter().map(|n| zone(*n)).collect();
    let entries = namespace.inside(|| list(zones.into_iter())).unwrap().unwrap();
    let mut flat: Vec<_> = entries
        .into_iter()
        .flat_map(|(zone, entries)| {
            entries.into_iter().map(move |entry| (zone.get(), entry.original, entry.mark))
        })
        .collect();
    flat.sort();
    flat
}

#[test]
fn connections_are_listed_by_zone_and_deleted_one_by_one() {
    let namespace = Namespace::create("ct").unwrap();
    // The same connections in three zones, and in none.
    for zone in [0, 5, 6, 7] {
        insert_udp(&namespace, zone, udp(1, 53), 1);
        insert_udp(&namespace, zone, udp(1, 54), 0);
        insert_udp(&namespace, zone, udp(3, 53), 0);
    }
    let of = |zone| [(zone, udp(1, 53), 1), (zone, udp(1, 54), 0), (zone, udp(3, 53), 0)];
    assert_eq!(listed(&namespace, &[5]), of(5));
    assert_eq!(listed(&namespace, &[5, 6]), [of(5), of(6)].concat());
    assert_eq!(listed(&namespace, &[8]), []);

    let entries = namespace.inside(|| list([zone(5)].into_iter())).unwrap().unwrap();
    let doomed: Vec<Entry> =
        entries[&zone(5)].iter().filter(|it| it.original == udp(1, 53)).cloned().collect();
    assert_eq!(doomed.len(), 1);
    namespace.inside(|| delete(zone(5), &doomed)).unwrap().unwrap();
    assert_eq!(listed(&namespace, &[5, 6, 7]), [&of(5)[1..], &of(6), &of(7)].concat());
    assert_eq!(count(&namespace), 11, "nor is anything gone outside of the zones");

    // Once more: it has gone already.
    namespace.inside(|| delete(zone(5), &doomed)).unwrap().unwrap();
    // One with another number is another connection.
    let mut other = entries[&zone(5)].clone();
    other.retain(|it| it.original == udp(1, 54));
    for entry in &mut other {
        entry.id = entry.id.map(|id| id.map(|octet| !octet));
    }
    namespace.inside(|| delete(zone(5), &other)).unwrap().unwrap();
    assert_eq!(listed(&namespace, &[5]).len(), 2);
}

#[test]
fn every_kind_of_connection_can_be_named() {
    let namespace = Namespace::create("ct").unwrap();
    for line in [
        "-w 5 -s 10.0.0.1 -d 10.0.0.2 -p tcp --sport 40000 --dport 80 --state ESTABLISHED",
        "-w 5 -s 2001:db8::1 -d 2001:db8::2 -p tcp --sport 40000 --dport 80 --state ESTABLISHED",
        "-w 5 -s 2001:db8::1 -d 2001:db8::2 -p udp --sport 40000 --dport 53",
        "-w 5 -s 10.0.0.1 -d 10.0.0.2 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 7",
        "-w 5 -s 2001:db8::1 -d 2001:db8::2 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 7",
        "-w 5 -s 10.0.0.1 -d 10.0.0.2 -p gre --srckey 1 --dstkey 2",
    ] {
        insert_line(&namespace, line);
    }
    let all = listed(&namespace, &[5]);
    let named: Vec<String> = all.iter().map(|(_, tuple, _)| tuple.to_string()).collect();
    assert_eq!(
        named,
        [
            "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=1,icmp_id=7,icmp_type=8,icmp_code=0",
            "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=6,ct_tp_src=40000,ct_tp_dst=80",
            "ct_nw_src=10.0.0.1,ct_nw_dst=10.0.0.2,ct_nw_proto=47,ct_tp_src=1,ct_tp_dst=2",
            "ct_ipv6_src=2001:db8::1,ct_ipv6_dst=2001:db8::2,ct_nw_proto=6,ct_tp_src=40000,ct_tp_dst=80",
            "ct_ipv6_src=2001:db8::1,ct_ipv6_dst=2001:db8::2,ct_nw_proto=17,ct_tp_src=40000,ct_tp_dst=53",
            "ct_ipv6_src=2001:db8::1,ct_ipv6_dst=2001:db8::2,ct_nw_proto=58,icmp_id=7,icmp_type=128,icmp_code=0",
        ]
    );
    let entries = namespace.inside(|| list([zone(5)].into_iter())).unwrap().unwrap();
    namespace.inside(|| delete(zone(5), &entries[&zone(5)])).unwrap().unwrap();
    assert_eq!(listed(&namespace, &[5]), []);
}

#[test]
fn a_mark_is_set_bit_by_bit() {
    let namespace = Namespace::create("ct").unwrap();
    for zone in [5, 6] {
        insert_udp(&namespace, zone, udp(1, 53), 6);
        insert_udp(&namespace, zone, udp(1, 54), 6);
    }
    let entries = namespace.inside(|| list([zone(5)].into_iter())).unwrap().unwrap();
    let one: Vec<Entry> =
        entries[&zone(5)].iter().filter(|it| it.original == udp(1, 53)).cloned().collect();
    let set = |value| namespace.inside(|| mark(zone(5), &one, value, 1)).unwrap().unwrap();
    let others = [(5, udp(1, 54), 6), (6, udp(1, 53), 6), (6, udp(1, 54), 6)];
    for (value, found) in [(1, 7), (1, 7), (0, 6)] {
        set(value);
        assert_eq!(listed(&namespace, &[5, 6]), [&[(5, udp(1, 53), found)], &others[..]].concat());
    }
    namespace.inside(|| delete(zone(5), &one)).unwrap().unwrap();
    set(1);
    assert_eq!(listed(&namespace, &[5, 6]), others, "none is made");
}

/// What the program `conntrack` prints of a zone, without what differs by nature.
fn printed(namespace: &Namespace, zone: u16) -> Vec<String> {
    let mut command = namespace.command("conntrack");
    command.args(["-L", "-w", &zone.to_string()]);
    let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let words = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.remove(2);
        let passing = ["zone=", "use=", "[ASSURED]"];
        words.retain(|word| !passing.iter().any(|it| word.starts_with(it)));
        words.join(" ")
    };
    let mut lines: Vec<String> = output.lines().map(words).collect();
    lines.sort();
    lines
}

#[test]
fn connections_go_on_in_another_zone() {
    let namespace = Namespace::create("ct").unwrap();
    for line in [
        "-w 5 -s 10.0.0.1 -d 10.0.0.2 -p tcp --sport 40000 --dport 80 --state ESTABLISHED -m 6",
        "-w 5 -s 2001:db8::2 -d 2001:db8::1 -p tcp --sport 40000 --dport 80 --state FIN_WAIT",
        "-w 5 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 40000 --dport 53",
        "-w 5 -s 10.0.0.1 -d 10.0.0.2 -p icmp --icmp-type 8 --icmp-code 0 --icmp-id 7",
        "-w 5 -s 2001:db8::1 -d 2001:db8::2 -p icmpv6 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 7",
        "-w 6 -s 10.0.0.1 -d 10.0.0.2 -p udp --sport 40000 --dport 54",
    ] {
        insert_line(&namespace, line);
    }
    let known = namespace.inside(|| connections([zone(5)].into_iter())).unwrap().unwrap();
    let known = &known[&zone(5)];
    assert_eq!(known.len(), 5);
    // Once more: they are there already.
    for _ in 0..2 {
        namespace.inside(|| insert(zone(4097), known)).unwrap().unwrap();
        assert_eq!(printed(&namespace, 4097), printed(&namespace, 5));
        assert_eq!(printed(&namespace, 4097).len(), 5);
    }
    assert_eq!(listed(&namespace, &[6]).len(), 1);
}

/// A kernel before 6.8 answers the question for one zone with all of them.
#[test]
fn what_another_zone_is_listed_for_is_not_taken() {
    let namespace = Namespace::create("ct").unwrap();
    for zone in [5, 6] {
        insert_udp(&namespace, zone, udp(1, 53), 0);
    }
    let entries = namespace
        .inside(|| {
            let mut socket = Socket::open().unwrap();
            let mut seen = Vec::new();
            socket.ask(|n| message::list(n, None), |zone, _| seen.push(zone)).unwrap();
            seen.sort();
            (seen, list([zone(5)].into_iter()).unwrap())
        })
        .unwrap();
    assert_eq!(entries.0, [zone(5), zone(6)]);
    assert_eq!(entries.1.keys().copied().collect::<Vec<_>>(), [zone(5)]);
    assert_eq!(entries.1[&zone(5)].len(), 1);
}

#[test]
fn nothing_is_read_from_less_than_all_of_it() {
    let entry = Entry { original: udp(1, 53), mark: 1, id: Some([1, 2, 3, 4]) };
    let Request(mut bytes) = message::delete(7, zone(5), &entry);
    // The kernel's own messages about a connection are called "new".
    bytes[4] = 0;
    let (message, sequence, rest) = message::decode(&bytes).unwrap();
    assert_eq!((sequence, rest.len()), (7, 0));
    let entry = Entry { mark: 0, ..entry };
    let known = Connection { entry, reply: None, replied: false, tcp: None, timeout: 0 };
    assert_eq!(message, Message::Connection(zone(5), known));
    for length in 0..bytes.len() {
        assert_eq!(message::decode(&bytes[..length]), None, "{length}");
    }
    // Damage is refused or read, but never a panic.
    for at in 4..bytes.len() {
        for value in [0, 1, 3, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            let _read = message::decode(&damaged);
        }
    }
}

fn count(namespace: &Namespace) -> usize {
    let run = |mut command: Command| String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut command = namespace.command("conntrack");
    command.arg("-C");
    run(command).trim().parse().unwrap()
}
