//! Multicast and broadcast on a node with the option `strict_equivalence`: who hears them.
//!
//! Gina may hear everything, Ida UDP to ports 1000 to 2000, Mona, who is stateless, UDP to ports
//! 5000 to 5009, Hugo and Leo nothing. Jack is not managed.

use std::time::Duration;

use dataplane::bridge::layout::DropReason::{NoEgressRule, NoIngressRule, SpoofedAddress};

use super::MANY;
use crate::cases::machine::{GINA, HUGO, IDA, JACK, LEO, MONA, Machine, PERMITTED};
use crate::cases::packet::{BROADCAST, arp, fresh, other, path, to_group, to_many};
use crate::cases::row::{Act, Netfilter, Section, both, row, stories};

static ONLY_JACK: [&Machine; 1] = [&JACK];
static HUGO_AND_JACK: [&Machine; 2] = [&HUGO, &JACK];
static IDA_AND_JACK: [&Machine; 2] = [&IDA, &JACK];
static MONA_AND_JACK: [&Machine; 2] = [&MONA, &JACK];
static GINA_AND_JACK: [&Machine; 2] = [&GINA, &JACK];
static GINA_AND_IDA: [&Machine; 2] = [&GINA, &IDA];
static GINA_IDA_AND_JACK: [&Machine; 3] = [&GINA, &IDA, &JACK];

pub(super) fn acts() -> Vec<Act> {
    vec![Act { change: None, within: Duration::ZERO, sections: vec![section()] }]
}

fn section() -> Section {
    let to = |from: &'static Machine, port| {
        MANY.map(|to| from.sends(to_many(from, to).udp(fresh(), port)))
    };
    let everybody = |from| to_group(from, "ff02::1");
    let rows = vec![
        row(
            "Multicast or broadcast that rules of some allow",
            to(&GINA, 1000)
                .map(|sent| sent.admitted(&IDA_AND_JACK, 2))
                .into_iter()
                .chain(to(&GINA, 5000).map(|sent| sent.admitted(&MONA_AND_JACK, 2)))
                .chain(to(&HUGO, 1000).map(|sent| sent.admitted(&GINA_IDA_AND_JACK, 2)))
                .chain(to(&MONA, 9).map(|sent| sent.admitted(&GINA_AND_JACK, 3))),
        ),
        row(
            "Multicast or broadcast from an unmanaged port",
            to(&JACK, 1000).map(|sent| sent.admitted(&GINA_AND_IDA, 2)),
        ),
        row(
            "Multicast or broadcast without an egress rule",
            to(&IDA, 1000).map(|sent| sent.refused(NoEgressRule)),
        ),
        row(
            "Multicast from another source address",
            [HUGO
                .sends(to_many(&HUGO, "224.0.0.251").source_ip("10.0.6.99").udp(fresh(), 1000))
                .refused(SpoofedAddress)],
        ),
        row(
            "MLD report",
            [HUGO.sends(to_group(&HUGO, "ff02::16").message(143)).admitted(&GINA_AND_JACK, 3)],
        ),
        row(
            "DHCP request",
            [HUGO
                .sends(to_many(&HUGO, "255.255.255.255").source_ip("0.0.0.0").udp(68, 67))
                .admitted(&GINA_AND_JACK, 3)],
        ),
        stories(
            "Reply of an open connection in a group frame",
            both(|family| {
                let (there, port) = (path(family, &HUGO, &GINA), fresh());
                vec![
                    HUGO.sends(there.udp(port, 9)).reaches(&GINA),
                    GINA.sends(there.back().target_mac(BROADCAST).udp(9, port))
                        .admitted(&ONLY_JACK, 3),
                ]
            }),
        )
        .netfilter(Netfilter::Answers(&HUGO_AND_JACK)),
        row(
            "Neighbour discovery, MLD query, router advertisement, DHCP reply",
            [
                HUGO.sends(everybody(&HUGO).neighbour(135, LEO.v6().into())).floods(),
                HUGO.sends(everybody(&HUGO).neighbour(136, HUGO.v6().into())).floods(),
                HUGO.sends(everybody(&HUGO).message(130)).floods(),
                JACK.sends(everybody(&JACK).message(134)).floods(),
                JACK.sends(to_many(&JACK, "255.255.255.255").udp(67, 68)).floods(),
            ],
        ),
        row(
            "ARP request, permitted EtherType",
            [
                HUGO.sends(arp(1, (HUGO.mac(), HUGO.v4()), ([0; 6], LEO.v4()))).floods(),
                HUGO.sends(other(HUGO.mac(), BROADCAST, PERMITTED)).floods(),
            ],
        ),
        row(
            "Unicast without a rule",
            both(|family| {
                GINA.sends(path(family, &GINA, &HUGO).udp(fresh(), 9)).refused(NoIngressRule)
            }),
        ),
        row(
            "Unicast with a rule",
            both(|family| GINA.sends(path(family, &GINA, &IDA).udp(fresh(), 1000)).reaches(&IDA)),
        ),
        row(
            "Router solicitation",
            [HUGO.sends(to_group(&HUGO, "ff02::2").message(133)).admitted(&GINA_AND_JACK, 3)],
        ),
    ];
    Section { title: "Multicast and broadcast with the option `strict_equivalence`", rows }
}
