//! Ports whose groups are stateless. All are on one network, and so in one conntrack zone.

use std::time::Duration;

use dataplane::bridge::layout::DropReason::{Invalid, NoEgressRule, NoIngressRule, SpoofedAddress};
use testkit::frame::flag;

use crate::cases::group::{EGRESS, SINK, STATELESS};
use crate::cases::machine::{ADA, BEN, CLEO, DAN, EVE, Family, Machine, ZOE};
use crate::cases::packet::{fresh, path};
use crate::cases::row::{Act, Change, Netfilter, Section, Step, both, row, stories};

const IGNORED: &str = "delivered: the flag is ignored";

/// A request to a port, and what becomes of the reply.
fn exchange(
    client: &'static Machine,
    server: &'static Machine,
    ports: impl Fn() -> [u16; 2],
    reply: impl Fn(crate::cases::row::Sent) -> Step,
) -> [Vec<Step>; 2] {
    both(|family| {
        let [from, to] = ports();
        let there = path(family, client, server);
        vec![
            client.sends(there.udp(from, to)).reaches(server),
            reply(server.sends(there.back().udp(to, from))),
        ]
    })
}

pub(super) fn section() -> Section {
    let service = || [fresh(), 5000];
    let rows = vec![
        row(
            "To a stateless port, as a rule allows; from a stateless and from a stateful one",
            both(|family| {
                [&BEN, &ZOE].map(|from| {
                    from.sends(path(family, from, &ADA).udp(fresh(), 5000)).reaches(&ADA)
                })
            })
            .into_iter()
            .flatten(),
        ),
        row(
            "To a stateless port without a rule; from a stateless and from a stateful one",
            both(|family| {
                [&BEN, &ZOE].map(|from| {
                    let packet = path(family, from, &ADA).udp(fresh(), 4999);
                    from.sends(packet).refused(NoIngressRule)
                })
            })
            .into_iter()
            .flatten(),
        ),
        stories(
            "Reply to a stateless port without a rule for it, by a stateless port",
            exchange(&BEN, &ADA, service, |reply| reply.refused(NoIngressRule)),
        )
        .neutron(IGNORED),
        stories(
            "Reply to a stateless port without a rule for it, by a stateful port",
            exchange(&ADA, &CLEO, || [fresh(), 9], |reply| reply.refused(NoIngressRule)),
        )
        .neutron(IGNORED),
        stories(
            "Reply to a stateless port with a rule for it",
            exchange(&ADA, &CLEO, || [5001, fresh()], |reply| reply.reaches(&ADA)),
        ),
        stories(
            "Reply to a stateful port, which needs no rule, by a stateless port",
            exchange(&ZOE, &ADA, service, |reply| reply.reaches(&ZOE)),
        ),
        stories(
            "Reply of a stateless port without an egress rule",
            exchange(&ZOE, &DAN, || [fresh(), 9], |reply| reply.refused(NoEgressRule)),
        )
        .neutron(IGNORED),
        stories(
            "Echo reply to a stateless port without a rule for it",
            both(|family| {
                let (there, id) = (path(family, &BEN, &ADA), fresh());
                vec![
                    BEN.sends(there.echo_request(id)).reaches(&ADA),
                    ADA.sends(there.back().echo_reply(id)).refused(NoIngressRule),
                ]
            }),
        )
        .neutron(IGNORED),
        stories(
            "ICMP error to a stateless port without a rule for it",
            both(|family| {
                let there = path(family, &ADA, &CLEO);
                let sent = there.udp(fresh(), 9);
                vec![
                    ADA.sends(sent.clone()).reaches(&CLEO),
                    CLEO.sends(there.back().unreachable(&sent)).refused(NoIngressRule),
                ]
            }),
        )
        .neutron(IGNORED),
        row(
            "TCP answer to a connection that nobody opened, between stateless ports, by a rule",
            both(|family| {
                let answer = path(family, &BEN, &ADA).segment(fresh(), 80, flag::SYN | flag::ACK);
                BEN.sends(answer).reaches(&ADA)
            }),
        )
        .neutron("refused: invalid"),
        row(
            "TCP answer to a connection that nobody opened, by a stateless port to a stateful one",
            both(|family| {
                let answer = path(family, &BEN, &CLEO).segment(80, fresh(), flag::SYN | flag::ACK);
                BEN.sends(answer).refused(Invalid)
            }),
        )
        .netfilter(Netfilter::Delivers),
        row(
            "UDP in fragments to a stateless port that allows the port of it",
            both(|family| {
                let packet = path(family, &BEN, &ADA).large_udp(fresh(), 5000);
                BEN.sends_in_fragments(packet).refused(NoIngressRule)
            }),
        )
        .neutron("delivered: conntrack puts it together")
        .netfilter(Netfilter::Delivers),
        row(
            "In fragments, to a stateless port that allows everything, or for IPv4 the protocol",
            [(Family::V4, &ADA), (Family::V4, &DAN), (Family::V6, &DAN)].map(|(family, to)| {
                BEN.sends_in_fragments(path(family, &BEN, to).large(112)).reaches(to)
            }),
        ),
        row(
            "Another source address of a stateless port",
            both(|family| {
                let source = match family {
                    Family::V4 => "10.0.4.99",
                    Family::V6 => "2001:db8:0:4::99",
                };
                let packet = path(family, &ADA, &BEN).source_ip(source).udp(fresh(), 5000);
                ADA.sends(packet).refused(SpoofedAddress)
            }),
        ),
        row(
            "Neighbour discovery of stateless ports, which needs no rule",
            [
                ADA.sends(path(Family::V6, &ADA, &BEN).neighbour(135, BEN.v6().into()))
                    .reaches(&BEN),
                DAN.sends(path(Family::V6, &DAN, &BEN).neighbour(136, DAN.v6().into()))
                    .reaches(&BEN),
            ],
        ),
    ];
    Section { title: "Stateless security groups", rows }
}

/// A machine that becomes stateless, and stateful again, in the middle of a connection.
pub(super) fn changes() -> Vec<Act> {
    let clients = both(|family| (family, fresh()));
    let ask = |&(family, port): &(Family, u16)| EVE.sends(path(family, &EVE, &CLEO).udp(port, 9));
    let answer =
        |&(family, port): &(Family, u16)| CLEO.sends(path(family, &CLEO, &EVE).udp(9, port));
    let sink = both(|family| (family, fresh()));
    let ask_sink =
        |&(family, port): &(Family, u16)| CLEO.sends(path(family, &CLEO, &DAN).udp(port, 9));
    let answer_of_sink =
        |&(family, port): &(Family, u16)| DAN.sends(path(family, &DAN, &CLEO).udp(9, port));
    let act = |change, row| {
        let title = "A port that becomes stateless, and stateful again";
        let sections = vec![Section { title, rows: vec![row] }];
        Act { change, within: Duration::ZERO, sections }
    };
    vec![
        act(
            None,
            stories(
                "Stateful: request and reply",
                clients
                    .each_ref()
                    .map(|client| vec![ask(client).reaches(&CLEO), answer(client).reaches(&EVE)]),
            ),
        ),
        act(
            Some(Change::Groups(&EVE, STATELESS)),
            row(
                "The port has become stateless: a reply of the open connection",
                clients.each_ref().map(|client| answer(client).refused(NoIngressRule)),
            )
            .neutron(IGNORED),
        ),
        act(
            Some(Change::Groups(&EVE, EGRESS)),
            row(
                "The port is stateful again: a reply of the open connection",
                clients.each_ref().map(|client| answer(client).reaches(&EVE)),
            ),
        ),
        act(
            Some(Change::Stateful(SINK, true)),
            stories(
                "A stateless group has become stateful: reply of a port without an egress rule",
                sink.each_ref().map(|one| {
                    vec![ask_sink(one).reaches(&DAN), answer_of_sink(one).reaches(&CLEO)]
                }),
            ),
        ),
        act(
            Some(Change::Stateful(SINK, false)),
            row(
                "The group is stateless again: a reply of the open connection",
                sink.each_ref().map(|one| answer_of_sink(one).refused(NoEgressRule)),
            )
            .neutron(IGNORED),
        ),
    ]
}
