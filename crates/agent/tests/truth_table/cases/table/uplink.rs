//! Frames from and to a physical network. Beyond the node nothing is checked: whoever sends from
//! there was checked where it runs, or is no machine of the cloud.

use dataplane::bridge::layout::DropReason::{
    NoEgressRule, NoIngressRule, SpoofedAddress, UnknownSource,
};

use super::{NOBODY, UNHEARD_OF};
use crate::cases::machine::{Family, Machine, OTTO, PIA, ROSA, SVEN, VERA, WENDY, XENIA};
use crate::cases::packet::{Path, arp, fresh, path, to_group, to_many};
use crate::cases::row::{Netfilter, Row, Section, Step, both, row, stories};

static ONLY_XENIA: [&Machine; 1] = [&XENIA];

/// UDP to this port is let in by Vera's rules.
const SERVED: u16 = 1500;

/// One packet of each family.
fn each(
    what: &'static str,
    from: &'static Machine,
    to: &'static Machine,
    make: impl Fn(Path) -> Vec<u8>,
    gets: impl Fn(crate::cases::row::Sent) -> Step,
) -> Row {
    row(what, both(|family| gets(from.sends(make(path(family, from, to))))))
}

/// A request and its answer.
fn exchange(what: &'static str, client: &'static Machine, server: &'static Machine) -> Row {
    stories(
        what,
        both(|family| {
            let (there, port) = (path(family, client, server), fresh());
            vec![
                client.sends(there.udp(port, SERVED)).reaches(server),
                server.sends(there.back().udp(SERVED, port)).reaches(client),
            ]
        }),
    )
}

pub(super) fn section() -> Section {
    let udp = |port: u16| move |path: Path| path.udp(fresh(), port);
    let rows = vec![
        each("From beyond the node, with a rule", &OTTO, &VERA, udp(SERVED), |it| {
            it.reaches(&VERA)
        }),
        each("From beyond the node, without a rule", &OTTO, &VERA, udp(9), |it| {
            it.refused(NoIngressRule)
        }),
        each("From beyond the node, to an unmanaged port", &OTTO, &XENIA, udp(9), |it| {
            it.reaches(&XENIA)
        }),
        each(
            "From beyond the node, by a member of a group that is let in",
            &ROSA,
            &PIA,
            udp(9),
            |it| it.reaches(&PIA),
        ),
        exchange("Reply to who asked from beyond the node", &OTTO, &VERA),
        exchange("Reply from beyond the node to who asked there", &WENDY, &OTTO),
        each("To beyond the node, without a rule", &VERA, &OTTO, udp(9), |it| {
            it.refused(NoEgressRule)
        }),
        row(
            "To beyond the node, with another source address",
            both(|family| {
                let source = match family {
                    Family::V4 => "10.0.8.99",
                    Family::V6 => "2001:db8:0:8::99",
                };
                let spoofed = path(family, &WENDY, &OTTO).source_ip(source);
                WENDY.sends(spoofed.udp(fresh(), 9)).refused(SpoofedAddress)
            }),
        ),
        each(
            "To beyond the node, with another source MAC",
            &WENDY,
            &OTTO,
            |path| path.source_mac(NOBODY).udp(fresh(), 9),
            |it| it.refused(UnknownSource),
        ),
        stories(
            "From an unmanaged port, to beyond the node, once it was heard from there",
            both(|family| {
                let there = path(family, &XENIA, &OTTO);
                vec![
                    OTTO.sends(there.back().udp(fresh(), 9)).reaches(&XENIA),
                    XENIA.sends(there.udp(fresh(), 9)).reaches(&OTTO),
                ]
            }),
        ),
        each(
            "To a MAC that nobody here has, on a network without an unmanaged port: beyond the node",
            &PIA,
            &ROSA,
            |path| path.target_mac(UNHEARD_OF).udp(fresh(), 9),
            |it| it.reaches(&ROSA),
        ),
        row(
            "ARP and router advertisement from beyond the node",
            [
                OTTO.sends(arp(1, (OTTO.mac(), OTTO.v4()), ([0; 6], VERA.v4()))).floods(),
                OTTO.sends(to_group(&OTTO, "ff02::1").message(134)).floods(),
            ],
        ),
        row(
            "Multicast from beyond the node",
            [OTTO.sends(to_many(&OTTO, "239.1.2.3").udp(fresh(), 9)).floods()],
        )
        .netfilter(Netfilter::Admits(&ONLY_XENIA)),
        row(
            "DHCP server beyond the node",
            [OTTO.sends(path(Family::V4, &OTTO, &WENDY).udp(67, 68)).reaches(&WENDY)],
        ),
        each(
            "In the VLAN of a network that the node does not have",
            &SVEN,
            &VERA,
            udp(SERVED),
            |it| it.stays_outside(),
        ),
    ];
    Section { title: "Frames from and to a physical network", rows }
}
