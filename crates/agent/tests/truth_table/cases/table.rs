//! The truth table. Managed ports are those with port security; "own" is what the port may use.

mod membership;
mod stateless;
mod strict;
mod uplink;

use std::net::Ipv4Addr;
use std::time::Duration;

use dataplane::bridge::layout::DropReason::{
    EtherType, Invalid, NoDestination, NoEgressRule, NoIngressRule, ServerInGuest, SpoofedAddress,
    SpoofedNeighbour, Tagged, UnknownSource,
};
use testkit::frame::{flag, number, tagged};

use crate::cases::machine::{
    ALICE, BOB, CAROL, DAVE, ERIN, FRANK, Family, GRACE, HEIDI, IVAN, JUDY, KATE, LIAM, LONE,
    MALLORY, Machine, NINA, OLIVIA, PAIR_MAC, PEGGY, PERMITTED, QUINN, SAM, TRENT, VICTOR, WALTER,
    XAVIER, YVONNE, link_local, shared,
};
use crate::cases::packet::{
    BROADCAST, Path, arp, arp_in, fresh, gratuitous, other, path, rarp, to_group, to_many,
};
use crate::cases::row::{Act, Change, Netfilter, Row, Section, Step, both, row, stories};
use crate::cases::run::PATIENCE;

/// A MAC address that nobody has.
const NOBODY: [u8; 6] = [0xfa, 0x16, 0x3e, 0xff, 0xff, 0xff];
/// Multicast and broadcast of both families.
const MANY: [&str; 4] = ["255.255.255.255", "224.0.0.251", "239.1.2.3", "ff02::fb"];
const DAD: [&str; 1] = ["ff02::1:ff00:1"];

/// Who may hear everything: of the first network, and of that with unmanaged ports.
static HEAR_ALL: [&Machine; 2] = [&LONE, &SAM];
static UNMANAGED: [&Machine; 2] = [&FRANK, &GRACE];

/// A MAC address that not even a spoofed frame has.
const UNHEARD_OF: [u8; 6] = [0xfa, 0x16, 0x3e, 0xff, 0xff, 0xfe];

/// A MAC address of somebody behind an unmanaged port.
fn heard(family: Family, n: u8) -> [u8; 6] {
    let family = match family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    [0xfa, 0x16, 0x3e, 0xff, family, n]
}

/// Everything, in the order in which it is run.
pub(crate) fn acts() -> Vec<Act> {
    let act = |change, sections| Act { change, within: Duration::ZERO, sections };
    vec![
        act(
            None,
            vec![
                arp_section(),
                dhcp(),
                neighbour_discovery(),
                multicast_listeners(),
                sources(),
                pairs(),
                rules(),
                remotes(),
                connections(),
                many(),
                other_frames(),
                unmanaged(),
                networks(),
                uplink::section(),
                sharing(),
                fragments(),
                stateless::section(),
            ],
        ),
        act(
            None,
            vec![Section { title: "Port security switched off and on", rows: vec![secured()] }],
        ),
        act(
            Some(Change::Security(&WALTER, false)),
            vec![Section { title: "Port security switched off and on", rows: vec![unsecured()] }],
        ),
        act(
            Some(Change::Security(&WALTER, true)),
            vec![Section {
                title: "Port security switched off and on",
                rows: vec![secured_again()],
            }],
        ),
    ]
    .into_iter()
    .chain(changes())
    .chain(stateless::changes())
    .chain(membership::changes())
    .chain([act(None, vec![server_in_fragments()])])
    .collect()
}

/// What a node with the option `strict_equivalence` does otherwise.
pub(crate) fn strict() -> Vec<Act> {
    strict::acts()
}

fn arp_section() -> Section {
    let alice = (ALICE.mac(), ALICE.v4());
    let bob = (BOB.mac(), BOB.v4());
    let anybody = |address: Ipv4Addr| ([0; 6], address);
    let rows = vec![
        row(
            "ARP request, own MAC and address",
            [ALICE.sends(arp(1, alice, anybody(bob.1))).floods()],
        ),
        row("ARP reply, own MAC and address", [ALICE.sends(arp(2, alice, bob)).reaches(&BOB)]),
        row(
            "ARP with another sender address",
            [
                ALICE.sends(arp(1, (alice.0, bob.1), anybody(bob.1))).refused(SpoofedAddress),
                ALICE.sends(arp(2, (alice.0, JUDY.v4()), bob)).refused(SpoofedAddress),
            ],
        ),
        row(
            "ARP probe (sender address 0.0.0.0)",
            [ALICE
                .sends(arp(1, (alice.0, Ipv4Addr::UNSPECIFIED), anybody(alice.1)))
                .refused(SpoofedAddress)],
        ),
        row(
            "ARP with another source MAC",
            [
                ALICE.sends(arp(1, (NOBODY, alice.1), anybody(bob.1))).refused(UnknownSource),
                ALICE.sends(arp(1, (BOB.mac(), bob.1), anybody(alice.1))).refused(UnknownSource),
            ],
        ),
        row(
            "ARP with own source MAC and another one in the packet",
            [ALICE
                .sends(arp_in(alice.0, number::ARP, 1, (NOBODY, alice.1), anybody(bob.1)))
                .floods()],
        ),
        row(
            "Gratuitous ARP for an address of an allowed pair",
            [
                DAVE.sends(gratuitous(DAVE.mac(), "10.8.4.200")).floods(),
                DAVE.sends(gratuitous(PAIR_MAC, "10.8.5.200")).floods(),
                ERIN.sends(gratuitous(ERIN.mac(), "198.51.100.1")).floods(),
            ],
        ),
        row(
            "Gratuitous ARP for an address outside the pairs",
            [DAVE.sends(gratuitous(DAVE.mac(), "10.8.6.1")).refused(SpoofedAddress)],
        ),
        row(
            "Gratuitous ARP for the address of a pair, with the MAC of another",
            [
                DAVE.sends(gratuitous(DAVE.mac(), "10.8.5.200")).refused(SpoofedAddress),
                DAVE.sends(gratuitous(PAIR_MAC, "10.8.4.200")).refused(SpoofedAddress),
            ],
        )
        .netfilter(Netfilter::Floods),
        row(
            "RARP with a MAC that has an IPv4 address",
            [ALICE.sends(rarp(ALICE.mac())).floods(), DAVE.sends(rarp(PAIR_MAC)).floods()],
        ),
        row(
            "RARP from a port without an IPv4 address",
            [LONE.sends(rarp(LONE.mac())).refused(SpoofedAddress)],
        )
        .netfilter(Netfilter::Floods),
        row("RARP with another MAC", [ALICE.sends(rarp(NOBODY)).refused(UnknownSource)]),
    ];
    Section { title: "ARP and RARP", rows }
}

fn dhcp() -> Section {
    let unspecified = |from| to_many(from, "255.255.255.255").source_ip("0.0.0.0");
    let servers = |from| to_group(from, "ff02::1:2");
    let rows = vec![
        row(
            "DHCPv4 discovery or request from 0.0.0.0, own MAC",
            [
                ALICE.sends(unspecified(&ALICE).udp(68, 67)).floods(),
                HEIDI.sends(unspecified(&HEIDI).udp(68, 67)).floods(),
                LONE.sends(unspecified(&LONE).udp(68, 67)).floods(),
            ],
        )
        .netfilter(Netfilter::Admits(&HEAR_ALL)),
        row(
            "DHCPv4 request from 0.0.0.0 with the MAC of a pair",
            [DAVE
                .sends(unspecified(&DAVE).source_mac(PAIR_MAC).udp(68, 67))
                .refused(SpoofedAddress)],
        )
        .netfilter(Netfilter::Admits(&HEAR_ALL)),
        row(
            "DHCP renewal from an own address, without any rule",
            [
                VICTOR.sends(path(Family::V4, &VICTOR, &GRACE).udp(68, 67)).reaches(&GRACE),
                VICTOR.sends(path(Family::V6, &VICTOR, &GRACE).udp(546, 547)).reaches(&GRACE),
            ],
        ),
        row(
            "DHCPv6 from the own link-local address",
            [
                ALICE.sends(servers(&ALICE).udp(546, 547)).floods(),
                HEIDI.sends(servers(&HEIDI).udp(546, 547)).floods(),
            ],
        )
        .netfilter(Netfilter::Admits(&HEAR_ALL)),
        row(
            "DHCP request from another address",
            [
                ALICE
                    .sends(unspecified(&ALICE).source_ip("10.0.0.2").udp(68, 67))
                    .refused(SpoofedAddress),
                ALICE
                    .sends(servers(&ALICE).source_ip("fe80::1").udp(546, 547))
                    .refused(SpoofedAddress),
                ALICE.sends(servers(&ALICE).source_ip("::").udp(546, 547)).refused(SpoofedAddress),
            ],
        ),
        row(
            "DHCP server in a machine, from whatever address",
            [
                SAM.sends(path(Family::V4, &SAM, &BOB).udp(67, 68)).refused(ServerInGuest),
                SAM.sends(path(Family::V6, &SAM, &BOB).udp(547, 546)).refused(ServerInGuest),
                SAM.sends(path(Family::V4, &SAM, &BOB).source_ip("10.0.0.254").udp(67, 68))
                    .refused(ServerInGuest),
                ERIN.sends(path(Family::V6, &ERIN, &BOB).source_ip("fe80::1").udp(547, 546))
                    .refused(ServerInGuest),
            ],
        ),
        row(
            "DHCP reply to a managed port, without any rule",
            [
                GRACE.sends(path(Family::V4, &GRACE, &VICTOR).udp(67, 68)).reaches(&VICTOR),
                GRACE.sends(path(Family::V6, &GRACE, &VICTOR).udp(547, 546)).reaches(&VICTOR),
            ],
        ),
        row(
            "DHCPv4 reply by broadcast",
            [GRACE.sends(to_many(&GRACE, "255.255.255.255").udp(67, 68)).floods()],
        ),
    ];
    Section { title: "DHCP", rows }
}

/// This goes last. Its first fragments are refused by their ports, and the others wait for them in
/// conntrack; after 15 seconds the userspace datapath sends those on with whatever passes then.
fn server_in_fragments() -> Section {
    let rows = vec![row(
        "DHCP server in a machine, in fragments",
        [
            SAM.sends_in_fragments(path(Family::V4, &SAM, &BOB).large_udp(67, 68))
                .refused(ServerInGuest),
            SAM.sends_in_fragments(path(Family::V6, &SAM, &BOB).large_udp(547, 546))
                .refused(ServerInGuest),
        ],
    )];
    Section { title: "A DHCP server in fragments", rows }
}

fn neighbour_discovery() -> Section {
    let everybody = |from| to_group(from, "ff02::1");
    let routers = |from| to_group(from, "ff02::2");
    let solicited = |from| to_group(from, "ff02::1:ff00:2");
    let rows = vec![
        row(
            "Router solicitation from the own link-local address",
            [HEIDI.sends(routers(&HEIDI).message(133)).floods()],
        )
        .netfilter(Netfilter::Admits(&HEAR_ALL)),
        row(
            "Neighbour solicitation from an own address",
            [
                HEIDI.sends(solicited(&HEIDI).neighbour(135, BOB.v6().into())).floods(),
                HEIDI
                    .sends(
                        solicited(&HEIDI).source_ip("2001:db8::8").neighbour(135, BOB.v6().into()),
                    )
                    .floods(),
                DAVE.sends(
                    solicited(&DAVE).source_ip("2001:db8:8:4::1").neighbour(135, BOB.v6().into()),
                )
                .floods(),
            ],
        ),
        row(
            "Neighbour solicitation by unicast, to a port without rules",
            [ALICE
                .sends(path(Family::V6, &ALICE, &HEIDI).neighbour(135, HEIDI.v6().into()))
                .reaches(&HEIDI)],
        ),
        row(
            "Solicitation from another address",
            [
                ALICE
                    .sends(routers(&ALICE).source_ip("fe80::1").message(133))
                    .refused(SpoofedAddress),
                ALICE
                    .sends(
                        solicited(&ALICE).source_ip("2001:db8::2").neighbour(135, BOB.v6().into()),
                    )
                    .refused(SpoofedAddress),
            ],
        ),
        row(
            "Solicitation from the link-local address that the MAC of a pair would have",
            [DAVE
                .sends(
                    solicited(&DAVE)
                        .source_mac(PAIR_MAC)
                        .source_ip(&link_local(PAIR_MAC).to_string())
                        .neighbour(135, BOB.v6().into()),
                )
                .refused(SpoofedAddress)],
        )
        .netfilter(Netfilter::Floods),
        row(
            "Duplicate address detection (from ::)",
            DAD.map(|group| {
                HEIDI
                    .sends(
                        to_group(&HEIDI, group).source_ip("::").neighbour(135, HEIDI.v6().into()),
                    )
                    .floods()
            }),
        )
        .neutron("dropped"),
        row(
            "Neighbour solicitation from :: by unicast",
            [ALICE
                .sends(
                    path(Family::V6, &ALICE, &BOB).source_ip("::").neighbour(135, BOB.v6().into()),
                )
                .refused(SpoofedAddress)],
        ),
        row(
            "Neighbour advertisement for an own address",
            [
                HEIDI.sends(everybody(&HEIDI).neighbour(136, HEIDI.v6().into())).floods(),
                HEIDI.sends(everybody(&HEIDI).neighbour(136, HEIDI.link_local().into())).floods(),
                DAVE.sends(everybody(&DAVE).neighbour(136, "2001:db8:8:4::1".parse().unwrap()))
                    .floods(),
            ],
        ),
        row(
            "Neighbour advertisement for an own address, from another MAC and address",
            [HEIDI
                .sends(
                    everybody(&HEIDI)
                        .source_mac(NOBODY)
                        .source_ip("fe80::1")
                        .neighbour(136, HEIDI.v6().into()),
                )
                .floods()],
        )
        .netfilter(Netfilter::Drops),
        row(
            "Neighbour advertisement by unicast, to a port without rules",
            [ALICE
                .sends(path(Family::V6, &ALICE, &HEIDI).neighbour(136, ALICE.v6().into()))
                .reaches(&HEIDI)],
        ),
        row(
            "Neighbour advertisement for another address",
            [
                ALICE
                    .sends(everybody(&ALICE).neighbour(136, BOB.v6().into()))
                    .refused(SpoofedNeighbour),
                DAVE.sends(everybody(&DAVE).neighbour(136, "2001:db8:8:6::1".parse().unwrap()))
                    .refused(SpoofedNeighbour),
            ],
        ),
        row(
            "Router advertisement of a machine, from whatever address",
            [
                SAM.sends(everybody(&SAM).message(134)).refused(ServerInGuest),
                SAM.sends(everybody(&SAM).source_ip("fe80::1").message(134)).refused(ServerInGuest),
            ],
        ),
        row(
            "Router advertisement to a port without rules",
            [GRACE.sends(path(Family::V6, &GRACE, &VICTOR).message(134)).reaches(&VICTOR)],
        ),
        row(
            "Router advertisement to everybody",
            [GRACE.sends(everybody(&GRACE).message(134)).floods()],
        ),
        row(
            "Redirect",
            [SAM.sends(path(Family::V6, &SAM, &BOB).neighbour(137, JUDY.v6().into()))
                .refused(Invalid)],
        ),
    ];
    Section { title: "Neighbour discovery", rows }
}

fn multicast_listeners() -> Section {
    let everybody = |from| to_group(from, "ff02::1");
    let reports = |from| to_group(from, "ff02::16");
    let rows = vec![
        row(
            "MLD query from an own address",
            [HEIDI.sends(everybody(&HEIDI).message(130)).floods()],
        ),
        row(
            "MLD report, done or version 2 report",
            [
                HEIDI.sends(reports(&HEIDI).message(131)).floods(),
                HEIDI.sends(to_group(&HEIDI, "ff02::2").message(132)).floods(),
                HEIDI.sends(reports(&HEIDI).message(143)).floods(),
            ],
        )
        .neutron("dropped")
        .netfilter(Netfilter::Admits(&HEAR_ALL)),
        row(
            "MLD report from ::",
            [
                HEIDI.sends(reports(&HEIDI).source_ip("::").message(131)).floods(),
                HEIDI.sends(reports(&HEIDI).source_ip("::").message(143)).floods(),
            ],
        )
        .neutron("dropped")
        .netfilter(Netfilter::Admits(&HEAR_ALL)),
        row(
            "MLD from another address",
            [
                ALICE
                    .sends(everybody(&ALICE).source_ip("fe80::1").message(130))
                    .refused(SpoofedAddress),
                ALICE
                    .sends(reports(&ALICE).source_ip("fe80::1").message(143))
                    .refused(SpoofedAddress),
            ],
        ),
        row(
            "MLD query by unicast, to a port without rules",
            [GRACE.sends(path(Family::V6, &GRACE, &VICTOR).message(130)).reaches(&VICTOR)],
        ),
        row(
            "MLD report by unicast",
            [
                GRACE.sends(path(Family::V6, &GRACE, &TRENT).message(131)).refused(Invalid),
                SAM.sends(path(Family::V6, &SAM, &BOB).message(143)).refused(Invalid),
            ],
        ),
    ];
    Section { title: "Multicast listener discovery", rows }
}

fn sources() -> Section {
    let spoofed = |family| match family {
        Family::V4 => "10.0.0.9",
        Family::V6 => "2001:db8::9",
    };
    let none = |family| match family {
        Family::V4 => "0.0.0.0",
        Family::V6 => "::",
    };
    let alice_to_bob = |family| path(family, &ALICE, &BOB);
    let rows = vec![
        row(
            "Own MAC and address",
            both(|family| ALICE.sends(alice_to_bob(family).udp(fresh(), 9)).reaches(&BOB)),
        ),
        row(
            "From the own link-local address",
            [SAM.sends(
                path(Family::V6, &SAM, &LONE)
                    .source_ip(&SAM.link_local().to_string())
                    .udp(fresh(), 9),
            )
            .reaches(&LONE)],
        ),
        row(
            "Another source address",
            both(|family| {
                ALICE
                    .sends(alice_to_bob(family).source_ip(spoofed(family)).udp(fresh(), 9))
                    .refused(SpoofedAddress)
            }),
        ),
        row(
            "No source address, and not one of the packets above",
            both(|family| {
                ALICE
                    .sends(alice_to_bob(family).source_ip(none(family)).udp(fresh(), 9))
                    .refused(SpoofedAddress)
            }),
        ),
        row(
            "Another source MAC",
            both(|family| {
                ALICE
                    .sends(alice_to_bob(family).source_mac(NOBODY).udp(fresh(), 9))
                    .refused(UnknownSource)
            }),
        ),
        row(
            "Source MAC and address of a neighbour",
            both(|family| {
                ALICE.sends(path(family, &JUDY, &BOB).udp(fresh(), 9)).refused(UnknownSource)
            }),
        ),
        row(
            "IPv4 from a port without an address",
            [LONE.sends(path(Family::V4, &LONE, &SAM).udp(fresh(), 9)).refused(SpoofedAddress)],
        )
        .netfilter(Netfilter::Delivers),
        row(
            "IPv6 link-local from a port without an address",
            [LONE
                .sends(
                    path(Family::V6, &LONE, &SAM)
                        .source_ip(&LONE.link_local().to_string())
                        .udp(fresh(), 9),
                )
                .reaches(&SAM)],
        ),
    ];
    Section { title: "Sources of IP packets", rows }
}

fn pairs() -> Section {
    let of = |family, v4: &'static str, v6: &'static str| match family {
        Family::V4 => v4,
        Family::V6 => v6,
    };
    let dave = |family| path(family, &DAVE, &BOB);
    let rows = vec![
        row(
            "From the prefix of a pair",
            both(|family| {
                let source = of(family, "10.8.4.77", "2001:db8:8:4::77");
                DAVE.sends(dave(family).source_ip(source).udp(fresh(), 9)).reaches(&BOB)
            }),
        ),
        row(
            "From beside the prefix",
            both(|family| {
                let source = of(family, "10.8.6.77", "2001:db8:8:6::77");
                DAVE.sends(dave(family).source_ip(source).udp(fresh(), 9)).refused(SpoofedAddress)
            }),
        ),
        row(
            "From the MAC of a pair, and its prefix",
            both(|family| {
                let source = of(family, "10.8.5.77", "2001:db8:8:5::77");
                DAVE.sends(dave(family).source_mac(PAIR_MAC).source_ip(source).udp(fresh(), 9))
                    .reaches(&BOB)
            }),
        ),
        row(
            "From the MAC of a pair, and an address of another one",
            both(|family| {
                DAVE.sends(dave(family).source_mac(PAIR_MAC).udp(fresh(), 9))
                    .refused(SpoofedAddress)
            }),
        ),
        row(
            "From the link-local address that the MAC of a pair would have",
            [DAVE
                .sends(
                    dave(Family::V6)
                        .source_mac(PAIR_MAC)
                        .source_ip(&link_local(PAIR_MAC).to_string())
                        .udp(fresh(), 9),
                )
                .refused(SpoofedAddress)],
        ),
        row(
            "To the MAC of a pair",
            both(|family| {
                ALICE
                    .sends(
                        dave(family)
                            .back()
                            .source_mac(ALICE.mac())
                            .target_mac(PAIR_MAC)
                            .source_ip(of(family, "10.0.0.1", "2001:db8::1"))
                            .udp(fresh(), 9),
                    )
                    .reaches(&DAVE)
            }),
        ),
        row(
            "From anywhere, with the pair 0.0.0.0/0 or ::/0",
            both(|family| {
                let source = of(family, "203.0.113.5", "2001:db8:ffff::5");
                ERIN.sends(path(family, &ERIN, &SAM).source_ip(source).udp(fresh(), 9))
                    .reaches(&SAM)
            }),
        ),
        row(
            "From anywhere with another MAC",
            both(|family| {
                let source = of(family, "203.0.113.5", "2001:db8:ffff::5");
                ERIN.sends(
                    path(family, &ERIN, &SAM).source_mac(NOBODY).source_ip(source).udp(fresh(), 9),
                )
                .refused(UnknownSource)
            }),
        ),
    ];
    Section { title: "Allowed address pairs", rows }
}

/// A path to Carol from an address that no other row uses, for protocols whose connections have
/// nothing but addresses in the userspace datapath.
fn unshared(family: Family) -> Path {
    let n = fresh() % 60_000;
    let source = match family {
        Family::V4 => format!("10.7.{}.{}", n / 250, n % 250 + 1),
        Family::V6 => format!("2001:db8:7::{n:x}"),
    };
    path(family, &ERIN, &CAROL).source_ip(&source)
}

fn rules() -> Section {
    let carol = |family| path(family, &ALICE, &CAROL);
    let tcp = |port| both(|family| ALICE.sends(carol(family).tcp(fresh(), port)));
    let udp = |port| both(|family| ALICE.sends(carol(family).udp(fresh(), port)));
    let sctp = |port| both(|family| ERIN.sends(unshared(family).sctp(port)));
    let rows = vec![
        row(
            "TCP to a port of the range",
            [80, 85, 90].map(tcp).into_iter().flatten().map(|sent| sent.reaches(&CAROL)),
        ),
        row(
            "TCP to a port beside the range",
            [79, 91].map(tcp).into_iter().flatten().map(|sent| sent.refused(NoIngressRule)),
        ),
        row(
            "UDP to a port of the range",
            [1000, 1499, 2000].map(udp).into_iter().flatten().map(|sent| sent.reaches(&CAROL)),
        ),
        row(
            "UDP to a port beside the range",
            [80, 999, 2001].map(udp).into_iter().flatten().map(|sent| sent.refused(NoIngressRule)),
        ),
        row(
            "SCTP to a port of the range",
            [5000, 5010].map(sctp).into_iter().flatten().map(|sent| sent.reaches(&CAROL)),
        ),
        row(
            "SCTP to a port beside the range",
            [4999, 5011].map(sctp).into_iter().flatten().map(|sent| sent.refused(NoIngressRule)),
        ),
        row(
            "ICMP or ICMPv6 of the type and code",
            both(|family| ALICE.sends(carol(family).echo_request(fresh())).reaches(&CAROL)),
        ),
        row(
            "ICMP of another type",
            [ALICE.sends(carol(Family::V4).icmp(13, 0, &[0; 16])).refused(NoIngressRule)],
        ),
        row(
            "ICMP or ICMPv6 where only ports are allowed",
            both(|family| {
                ALICE
                    .sends(path(family, &ALICE, &IVAN).echo_request(fresh()))
                    .refused(NoIngressRule)
            }),
        ),
        row(
            "Another protocol, by number or name",
            both(|family| {
                [112, number::GRE]
                    .map(|protocol| ERIN.sends(unshared(family).protocol(protocol)).reaches(&CAROL))
            })
            .into_iter()
            .flatten(),
        ),
        row(
            "Another protocol without a rule",
            both(|family| ERIN.sends(unshared(family).protocol(113)).refused(NoIngressRule)),
        ),
        row(
            "DCCP to a port of the range: the rule does not apply, and the port's status says so",
            both(|family| ERIN.sends(unshared(family).dccp_request(5000)).refused(NoIngressRule)),
        )
        .neutron("delivered, and so is the rest of the protocol")
        .netfilter(Netfilter::Delivers),
        // Linux 6.1 calls it invalid, whatever rules say.
        row(
            "UDP-Lite to a port of the range: likewise",
            both(|family| ERIN.sends(unshared(family).udplite(5000)).refused(NoIngressRule)),
        )
        .neutron("delivered, and so is the rest of the protocol")
        .netfilter(Netfilter::Delivers)
        .on("netdev"),
        row(
            "Any of several groups allows it",
            both(|family| {
                let ivan = path(family, &ALICE, &IVAN);
                [
                    ALICE.sends(ivan.tcp(fresh(), 80)).reaches(&IVAN),
                    ALICE.sends(ivan.udp(fresh(), 53)).reaches(&IVAN),
                ]
            })
            .into_iter()
            .flatten(),
        ),
        row(
            "None of several groups allows it",
            both(|family| {
                let ivan = path(family, &ALICE, &IVAN);
                [
                    ALICE.sends(ivan.tcp(fresh(), 53)).refused(NoIngressRule),
                    ALICE.sends(ivan.udp(fresh(), 80)).refused(NoIngressRule),
                ]
            })
            .into_iter()
            .flatten(),
        ),
        row(
            "From a port without an egress rule",
            both(|family| {
                CAROL.sends(path(family, &CAROL, &SAM).udp(fresh(), 9)).refused(NoEgressRule)
            }),
        ),
        row(
            "From a port without groups",
            both(|family| {
                HEIDI.sends(path(family, &HEIDI, &SAM).udp(fresh(), 9)).refused(NoEgressRule)
            }),
        ),
        row(
            "To a port without groups",
            both(|family| {
                ALICE.sends(path(family, &ALICE, &HEIDI).udp(fresh(), 9)).refused(NoIngressRule)
            }),
        ),
        row(
            "To a MAC that nobody has",
            both(|family| {
                ALICE
                    .sends(path(family, &ALICE, &BOB).target_mac(NOBODY).udp(fresh(), 9))
                    .refused(NoDestination)
            }),
        )
        .neutron("to everybody on the network"),
    ];
    Section { title: "Rules", rows }
}

fn remotes() -> Section {
    let of = |family, v4: &'static str, v6: &'static str| match family {
        Family::V4 => v4,
        Family::V6 => v6,
    };
    let mallory = |family, to: &'static Machine| path(family, &MALLORY, to);
    let judy = |v4: &'static str, v6: &'static str, port| {
        both(move |family| {
            let from = mallory(family, &JUDY).source_ip(of(family, v4, v6));
            MALLORY.sends(from.tcp(fresh(), port))
        })
    };
    let rows = vec![
        row(
            "From a member of the remote group",
            both(|family| ALICE.sends(path(family, &ALICE, &BOB).tcp(fresh(), 22)).reaches(&BOB)),
        ),
        row(
            "From somebody who is not a member",
            both(|family| {
                MALLORY.sends(mallory(family, &BOB).tcp(fresh(), 22)).refused(NoIngressRule)
            }),
        ),
        row(
            "From the address of a member on another network",
            both(|family| {
                let peggy = PEGGY.ip(family).to_string();
                MALLORY
                    .sends(mallory(family, &BOB).source_ip(&peggy).tcp(fresh(), 22))
                    .reaches(&BOB)
            }),
        ),
        row(
            "From an address beside that",
            both(|family| {
                let source = of(family, "10.0.1.200", "2001:db8:0:1::200");
                MALLORY
                    .sends(mallory(family, &BOB).source_ip(source).tcp(fresh(), 22))
                    .refused(NoIngressRule)
            }),
        ),
        row(
            "From the pair of a member",
            both(|family| {
                let source = of(family, "10.8.4.78", "2001:db8:8:4::78");
                DAVE.sends(path(family, &DAVE, &BOB).source_ip(source).tcp(fresh(), 22))
                    .reaches(&BOB)
            }),
        ),
        row(
            "From anywhere, by a member with the pair 0.0.0.0/0 or ::/0",
            both(|family| {
                let source = of(family, "203.0.113.6", "2001:db8:ffff::6");
                ERIN.sends(path(family, &ERIN, &BOB).source_ip(source).tcp(fresh(), 22))
                    .reaches(&BOB)
            }),
        ),
        row(
            "From an address that only such a pair covers, by somebody else",
            both(|family| {
                let source = of(family, "10.9.3.3", "2001:db8:9:3::3");
                MALLORY
                    .sends(mallory(family, &BOB).source_ip(source).tcp(fresh(), 22))
                    .refused(NoIngressRule)
            }),
        ),
        row(
            "To the own address, with egress to the own group",
            both(|family| {
                let own = OLIVIA.ip(family).to_string();
                OLIVIA
                    .sends(path(family, &OLIVIA, &SAM).target_ip(&own).udp(fresh(), 9))
                    .reaches(&SAM)
            }),
        ),
        row(
            "To somebody who is not in the own group",
            both(|family| {
                OLIVIA.sends(path(family, &OLIVIA, &SAM).udp(fresh(), 9)).refused(NoEgressRule)
            }),
        ),
        row(
            "From a group without members",
            judy("10.9.3.3", "2001:db8:9:3::3", 3).map(|sent| sent.refused(NoIngressRule)),
        ),
        row(
            "From an address group",
            judy("10.9.1.3", "2001:db8:9:1::3", 1).map(|sent| sent.reaches(&JUDY)),
        ),
        row(
            "From beside the address group",
            judy("10.9.2.3", "2001:db8:9:2::3", 1).map(|sent| sent.refused(NoIngressRule)),
        ),
        row(
            "From a remote prefix",
            judy("10.9.2.3", "2001:db8:9:2::3", 2).map(|sent| sent.reaches(&JUDY)),
        ),
        row(
            "From beside the remote prefix",
            judy("10.9.1.3", "2001:db8:9:1::3", 2).map(|sent| sent.refused(NoIngressRule)),
        ),
    ];
    Section { title: "Remote groups, address groups and prefixes", rows }
}

fn connections() -> Section {
    let carol = |family| path(family, &ALICE, &CAROL);
    let rows = vec![
        stories(
            "Reply, from a port without egress rules",
            both(|family| {
                let (out, back) = (carol(family), carol(family).back());
                let (udp, tcp, id) = (fresh(), fresh(), fresh());
                [
                    vec![
                        ALICE.sends(out.udp(udp, 1000)).reaches(&CAROL),
                        CAROL.sends(back.udp(1000, udp)).reaches(&ALICE),
                    ],
                    vec![
                        ALICE.sends(out.tcp(tcp, 80)).reaches(&CAROL),
                        CAROL.sends(back.segment(80, tcp, flag::SYN | flag::ACK)).reaches(&ALICE),
                    ],
                    vec![
                        ALICE.sends(out.echo_request(id)).reaches(&CAROL),
                        CAROL.sends(back.echo_reply(id)).reaches(&ALICE),
                    ],
                ]
            })
            .into_iter()
            .flatten(),
        ),
        stories(
            "Packet of the open connection, in its direction",
            both(|family| {
                let port = fresh();
                let packet = || ALICE.sends(carol(family).udp(port, 1001)).reaches(&CAROL);
                vec![
                    packet(),
                    CAROL.sends(carol(family).back().udp(1001, port)).reaches(&ALICE),
                    packet(),
                ]
            }),
        ),
        stories(
            "ICMP error about an open connection, from a port without egress rules",
            both(|family| {
                let sent = carol(family).udp(fresh(), 1000);
                vec![
                    ALICE.sends(sent.clone()).reaches(&CAROL),
                    CAROL.sends(carol(family).back().unreachable(&sent)).reaches(&ALICE),
                ]
            }),
        ),
        stories(
            "GRE, and its reply to a port that has no rule for it",
            both(|family| {
                let there = path(family, &MALLORY, &CAROL);
                // No options; an empty packet of the family is in it.
                let packet = [&[0, 0][..], &there.ethertype().to_be_bytes()].concat();
                vec![
                    MALLORY.sends(there.carry(number::GRE, &packet)).reaches(&CAROL),
                    CAROL.sends(there.back().carry(number::GRE, &packet)).reaches(&MALLORY),
                ]
            }),
        ),
        stories(
            "FTP data connection that the control connection announces: no helper is assigned",
            both(|family| {
                let (there, control, data) = (path(family, &MALLORY, &SAM), fresh(), fresh());
                vec![
                    MALLORY.sends(there.tcp(control, 21)).reaches(&SAM),
                    SAM.sends(there.back().segment(21, control, flag::SYN | flag::ACK))
                        .reaches(&MALLORY),
                    MALLORY.sends(there.ftp_announcement(control, data)).reaches(&SAM),
                    SAM.sends(there.back().tcp(20, data)).refused(NoIngressRule),
                ]
            }),
        ),
        row(
            "ICMP error about nothing",
            both(|family| {
                let never_sent = path(family, &BOB, &ALICE).udp(fresh(), 9);
                ALICE.sends(path(family, &ALICE, &BOB).unreachable(&never_sent)).refused(Invalid)
            }),
        )
        .netfilter(Netfilter::Delivers),
        row(
            "TCP answer to a connection that nobody opened",
            both(|family| {
                let packet = path(family, &ALICE, &BOB).segment(80, fresh(), flag::SYN | flag::ACK);
                ALICE.sends(packet).refused(Invalid)
            }),
        )
        .netfilter(Netfilter::Delivers),
        row(
            "The same, from an unmanaged port",
            both(|family| {
                let packet =
                    path(family, &FRANK, &TRENT).segment(80, fresh(), flag::SYN | flag::ACK);
                FRANK.sends(packet).refused(Invalid)
            }),
        ),
        row(
            "Echo reply that nobody asked for",
            both(|family| {
                ALICE.sends(path(family, &ALICE, &BOB).echo_reply(fresh())).refused(Invalid)
            }),
        )
        .netfilter(Netfilter::Delivers),
    ];
    Section { title: "Connections", rows }
}

fn many() -> Section {
    let udp = |from: &'static Machine| MANY.map(|to| from.sends(to_many(from, to).udp(fresh(), 9)));
    let rows = vec![
        row(
            "Multicast or broadcast with an egress rule; whatever rules the others have",
            udp(&MALLORY).map(|sent| sent.floods()),
        )
        .netfilter(Netfilter::Admits(&HEAR_ALL)),
        row(
            "Multicast or broadcast without an egress rule",
            udp(&CAROL).map(|sent| sent.refused(NoEgressRule)),
        ),
        row("Multicast from an unmanaged port", udp(&FRANK).map(|sent| sent.floods()))
            .netfilter(Netfilter::Admits(&UNMANAGED)),
    ];
    Section { title: "Multicast and broadcast", rows }
}

fn other_frames() -> Section {
    const EXPERIMENT: u16 = 0x88b5;
    let lldp = [1, 0x80, 0xc2, 0, 0, 0x0e];
    let rows = vec![
        row(
            "Another EtherType (LLDP, EAPOL)",
            [
                SAM.sends(other(SAM.mac(), lldp, 0x88cc)).refused(SpoofedAddress),
                SAM.sends(other(SAM.mac(), BOB.mac(), 0x888e)).refused(SpoofedAddress),
            ],
        )
        .netfilter(Netfilter::Delivers),
        row(
            "Another EtherType to a managed port",
            [FRANK.sends(other(FRANK.mac(), TRENT.mac(), EXPERIMENT)).refused(EtherType)],
        )
        .netfilter(Netfilter::Delivers),
        row(
            "A permitted EtherType, to one or to everybody",
            [
                HEIDI.sends(other(HEIDI.mac(), ALICE.mac(), PERMITTED)).reaches(&ALICE),
                FRANK.sends(other(FRANK.mac(), TRENT.mac(), PERMITTED)).reaches(&TRENT),
                HEIDI.sends(other(HEIDI.mac(), BROADCAST, PERMITTED)).floods(),
            ],
        ),
        row(
            "A permitted EtherType, from another MAC",
            [
                HEIDI.sends(other(NOBODY, ALICE.mac(), PERMITTED)).reaches(&ALICE),
                HEIDI.sends(other(NOBODY, BROADCAST, PERMITTED)).floods(),
            ],
        )
        .netfilter(Netfilter::Drops),
        row(
            "Frame with a VLAN tag",
            [
                SAM.sends(tagged(117, &path(Family::V4, &SAM, &BOB).udp(fresh(), 9)))
                    .refused(Tagged),
                SAM.sends(tagged(1, &path(Family::V6, &SAM, &BOB).udp(fresh(), 9))).refused(Tagged),
                FRANK
                    .sends(tagged(1, &path(Family::V4, &FRANK, &GRACE).udp(fresh(), 9)))
                    .refused(Tagged),
                // One within a priority tag is one all the same.
                SAM.sends(tagged(0, &tagged(117, &path(Family::V4, &SAM, &BOB).udp(fresh(), 9))))
                    .refused(Tagged),
                FRANK
                    .sends(tagged(0, &tagged(1, &path(Family::V4, &FRANK, &GRACE).udp(fresh(), 9))))
                    .refused(Tagged),
            ],
        ),
        row(
            "Frame with a priority tag (VLAN 0), like one without a tag",
            both(|family| {
                let packet = path(family, &ALICE, &BOB).udp(fresh(), 9);
                ALICE.sends(tagged(0, &packet)).heard_as(packet).reaches(&BOB)
            }),
        )
        .netfilter(Netfilter::Drops),
        row("The same, from an unmanaged port", {
            let packet = path(Family::V4, &FRANK, &GRACE).udp(fresh(), 9);
            [FRANK.sends(tagged(0, &packet)).heard_as(packet).reaches(&GRACE)]
        }),
        row(
            "Frame with a priority tag and another source address",
            both(|family| {
                let spoofed = match family {
                    Family::V4 => "10.0.0.77",
                    Family::V6 => "2001:db8::77",
                };
                let packet = path(family, &ALICE, &BOB).source_ip(spoofed).udp(fresh(), 9);
                ALICE.sends(tagged(0, &packet)).refused(SpoofedAddress)
            }),
        ),
    ];
    Section { title: "Other frames", rows }
}

fn fragments() -> Section {
    let to_port = |port| {
        both(|family| {
            ALICE.sends_in_fragments(path(family, &ALICE, &CAROL).large_udp(fresh(), port))
        })
    };
    let rows = vec![
        row("UDP in fragments, to a port of the range", to_port(1000).map(|it| it.reaches(&CAROL)))
            .on("system"),
        row(
            "UDP in fragments, to a port of the range",
            to_port(1000).map(|it| it.refused(NoIngressRule)),
        )
        .netfilter(Netfilter::Delivers)
        .on("netdev"),
        row(
            "UDP in fragments, to a port beside the range",
            to_port(999).map(|it| it.refused(NoIngressRule)),
        ),
        stories(
            "UDP in fragments, of an open connection, both ways",
            both(|family| {
                let (there, port) = (path(family, &ALICE, &CAROL), fresh());

                vec![
                    ALICE.sends(there.udp(port, 1000)).reaches(&CAROL),
                    CAROL.sends(there.back().udp(1000, port)).reaches(&ALICE),
                    ALICE.sends_in_fragments(there.large_udp(port, 1000)).reaches(&CAROL),
                    CAROL.sends_in_fragments(there.back().large_udp(1000, port)).reaches(&ALICE),
                    ALICE.sends(there.udp(port, 1000)).reaches(&CAROL),
                ]
            }),
        )
        .neutron("delivered; in the userspace datapath refused, and the connection is cut"),
        row(
            "In fragments, where everything is allowed",
            both(|family| {
                ALICE
                    .sends_in_fragments(path(family, &ALICE, &SAM).large_udp(fresh(), 9))
                    .reaches(&SAM)
            }),
        ),
        row(
            "In fragments, from another source address",
            both(|family| {
                let path = path(family, &ALICE, &SAM).source_ip(match family {
                    Family::V4 => "10.0.0.9",
                    Family::V6 => "2001:db8::9",
                });
                ALICE.sends_in_fragments(path.large_udp(fresh(), 9)).refused(SpoofedAddress)
            }),
        ),
    ];
    Section { title: "Fragments", rows }
}

fn unmanaged() -> Section {
    let rows = vec![
        row(
            "From an unmanaged port with whatever source, to another",
            both(|family| {
                let spoofed = path(family, &ALICE, &GRACE).source_mac(NOBODY);
                FRANK.sends(spoofed.udp(fresh(), 9)).reaches(&GRACE)
            }),
        ),
        row(
            "To an unmanaged port, by anything",
            both(|family| {
                TRENT.sends(path(family, &TRENT, &FRANK).udp(fresh(), 9)).reaches(&FRANK)
            }),
        ),
        row(
            "From an unmanaged or trusted port, to a managed one without a rule",
            both(|family| {
                [&FRANK, &GRACE].map(|from| {
                    from.sends(path(family, from, &TRENT).udp(fresh(), 9)).refused(NoIngressRule)
                })
            })
            .into_iter()
            .flatten(),
        ),
        row(
            "ARP with whatever sender, from an unmanaged port",
            [
                FRANK.sends(gratuitous(FRANK.mac(), "10.0.2.254")).floods(),
                FRANK.sends(gratuitous(NOBODY, "10.0.2.254")).floods(),
            ],
        ),
        row(
            "DHCP server and router behind an unmanaged port",
            [
                FRANK.sends(path(Family::V4, &FRANK, &VICTOR).udp(67, 68)).reaches(&VICTOR),
                FRANK.sends(to_group(&FRANK, "ff02::1").message(134)).floods(),
            ],
        ),
        row(
            "To a MAC that nobody is known to have, on a network with an unmanaged port",
            both(|family| {
                let unknown = path(family, &TRENT, &FRANK).target_mac(UNHEARD_OF);
                TRENT.sends(unknown.udp(fresh(), 9)).strays()
            })
            .into_iter()
            .chain(both(|family| {
                let unknown = path(family, &FRANK, &TRENT).target_mac(UNHEARD_OF);
                FRANK.sends(unknown.udp(fresh(), 9)).strays()
            })),
        )
        .neutron("to everybody on the network"),
        stories(
            "To a MAC that an unmanaged port has sent from",
            both(|family| {
                let said = path(family, &GRACE, &FRANK).source_mac(heard(family, 1));
                let asked = path(family, &TRENT, &FRANK).target_mac(heard(family, 1));
                vec![
                    GRACE.sends(said.udp(fresh(), 9)).reaches(&FRANK),
                    TRENT.sends(asked.udp(fresh(), 9)).reaches(&GRACE),
                ]
            }),
        ),
        stories(
            "To a MAC that has moved to another unmanaged port",
            both(|family| {
                let before = path(family, &GRACE, &FRANK).source_mac(heard(family, 2));
                let after = path(family, &FRANK, &GRACE).source_mac(heard(family, 2));
                let asked = path(family, &TRENT, &GRACE).target_mac(heard(family, 2));
                vec![
                    GRACE.sends(before.udp(fresh(), 9)).reaches(&FRANK),
                    FRANK.sends(after.udp(fresh(), 9)).reaches(&GRACE),
                    TRENT.sends(asked.udp(fresh(), 9)).reaches(&FRANK),
                ]
            }),
        ),
        stories(
            "To a managed port whose MAC an unmanaged port has sent from",
            [vec![
                FRANK
                    .sends(path(Family::V6, &FRANK, &GRACE).source_mac(VICTOR.mac()).message(134))
                    .reaches(&GRACE),
                GRACE.sends(path(Family::V6, &GRACE, &VICTOR).message(134)).reaches(&VICTOR),
            ]],
        ),
    ];
    Section { title: "Ports without port security, and trusted ports (`network:*`)", rows }
}

/// What tells everybody that an address is at this MAC address, sent from there.
fn announcement(family: Family, mac: [u8; 6], address: &str) -> Vec<u8> {
    match family {
        Family::V4 => gratuitous(mac, address),
        Family::V6 => {
            let target = address.parse().unwrap();
            let everybody = to_group(&KATE, "ff02::1").source_mac(mac).source_ip(address);
            everybody.neighbour(136, target)
        }
    }
}

fn sharing() -> Section {
    let announces = |machine: &'static Machine, family, n| {
        let (mac, address) = shared(family, n);
        machine.sends(announcement(family, mac, address)).floods()
    };
    let to_shared = |family, n| {
        let (mac, address) = shared(family, n);
        NINA.sends(path(family, &NINA, &KATE).target_mac(mac).target_ip(address).udp(fresh(), 9))
    };
    let rows = vec![
        stories(
            "To a shared MAC before anybody has sent from it: the port with the lower id",
            both(|family| vec![to_shared(family, 0).reaches(&KATE)]),
        )
        .neutron("to the port that was written last"),
        stories(
            "To a shared MAC after a gratuitous ARP or an advertisement of the other port: that one",
            both(|family| vec![announces(&LIAM, family, 1), to_shared(family, 1).reaches(&LIAM)]),
        )
        .neutron("to the port that was written last"),
        stories(
            "To a shared MAC after the first has announced it again: the first",
            both(|family| {
                vec![
                    announces(&LIAM, family, 2),
                    announces(&KATE, family, 2),
                    to_shared(family, 2).reaches(&KATE),
                ]
            }),
        )
        .neutron("to the port that was written last"),
        stories(
            "To a shared MAC after a refused announcement: where it was",
            both(|family| {
                let (mac, _) = shared(family, 3);
                let (foreign, reason) = match family {
                    Family::V4 => ("10.0.5.30", SpoofedAddress),
                    Family::V6 => ("2001:db8:0:5::1e", SpoofedNeighbour),
                };
                vec![
                    announces(&LIAM, family, 3),
                    KATE.sends(announcement(family, mac, foreign)).refused(reason),
                    to_shared(family, 3).reaches(&LIAM),
                ]
            }),
        ),
        row(
            "Broadcast on the network of ports that share a MAC",
            [NINA.sends(to_many(&NINA, "255.255.255.255").udp(fresh(), 9)).floods()],
        ),
    ];
    Section { title: "A MAC that several ports of a network and node share", rows }
}

fn networks() -> Section {
    let rows = vec![
        row(
            "To a MAC that a machine on this and one on another network have",
            both(|family| {
                [
                    BOB.sends(path(family, &BOB, &ALICE).udp(fresh(), 9)).reaches(&ALICE),
                    QUINN.sends(path(family, &QUINN, &PEGGY).udp(fresh(), 9)).reaches(&PEGGY),
                ]
            })
            .into_iter()
            .flatten(),
        ),
        row(
            "From that MAC",
            both(|family| {
                [
                    ALICE.sends(path(family, &ALICE, &BOB).udp(fresh(), 9)).reaches(&BOB),
                    PEGGY.sends(path(family, &PEGGY, &QUINN).udp(fresh(), 9)).reaches(&QUINN),
                ]
            })
            .into_iter()
            .flatten(),
        ),
        row(
            "To a machine on another network",
            both(|family| {
                QUINN.sends(path(family, &QUINN, &BOB).udp(fresh(), 9)).refused(NoDestination)
            }),
        ),
    ];
    Section { title: "Several networks on one node", rows }
}

fn spoofing_walter(make: impl Fn(crate::cases::row::Sent) -> Step) -> [Step; 2] {
    both(|family| {
        let source = match family {
            Family::V4 => "10.0.3.99",
            Family::V6 => "2001:db8:0:3::99",
        };
        make(WALTER.sends(path(family, &WALTER, &XAVIER).source_ip(source).udp(fresh(), 9)))
    })
}

fn secured() -> Row {
    row("On: another source address", spoofing_walter(|sent| sent.refused(SpoofedAddress)))
}

fn unsecured() -> Row {
    let to_walter = both(|family| {
        XAVIER.sends(path(family, &XAVIER, &WALTER).udp(fresh(), 9)).reaches(&WALTER)
    });
    let from_walter = spoofing_walter(|sent| sent.reaches(&XAVIER));
    row(
        "Switched off: another source address, and what no rule allows",
        from_walter.into_iter().chain(to_walter),
    )
}

fn secured_again() -> Row {
    row(
        "Switched on again: another source address",
        spoofing_walter(|sent| sent.refused(SpoofedAddress)),
    )
}

/// A connection to Yvonne whose rule goes and comes back.
fn changes() -> Vec<Act> {
    let clients = both(|family| (family, fresh()));
    let ask = |&(family, port): &(Family, u16)| {
        ALICE.sends(path(family, &ALICE, &YVONNE).udp(port, 5000))
    };
    let answer = |&(family, port): &(Family, u16)| {
        YVONNE.sends(path(family, &YVONNE, &ALICE).udp(5000, port))
    };
    // Its clients say nothing after the first packet.
    let silent = both(|family| (family, fresh()));
    let act = |change, rows| {
        let sections = vec![Section { title: "A rule that goes and comes back", rows }];
        Act { change, within: Duration::ZERO, sections }
    };
    let open = |clients: &[(Family, u16); 2]| {
        clients
            .each_ref()
            .map(|client| vec![ask(client).reaches(&YVONNE), answer(client).reaches(&ALICE)])
    };
    let only_replies = row(
        "The rule is gone: a reply, of a connection whose client says nothing",
        silent.each_ref().map(|client| answer(client).cut()),
    );
    vec![
        act(
            None,
            vec![stories(
                "With the rule: request and reply",
                open(&clients).into_iter().chain(open(&silent)),
            )],
        ),
        act(
            Some(Change::RulesGo),
            vec![row(
                "The rule is gone: the next packet of an open connection",
                clients.each_ref().map(|client| ask(client).refused(NoIngressRule)),
            )],
        ),
        act(
            None,
            vec![row(
                "The rule is gone: a reply after that",
                clients.each_ref().map(|client| answer(client).cut()),
            )],
        ),
        Act {
            within: PATIENCE,
            ..act(None, vec![only_replies.neutron("delivered until the client says something")])
        },
        act(
            Some(Change::RulesComeBack),
            vec![
                stories("The rule is back: the open connection goes on", open(&clients))
                    .neutron("blocked for good"),
            ],
        ),
    ]
}
