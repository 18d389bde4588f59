//! Remote groups and address groups that change while connections are open.

use std::time::Duration;

use dataplane::bridge::layout::DropReason::NoIngressRule;

use crate::cases::group::{EGRESS, FRIENDS};
use crate::cases::machine::{Family, JUDY, MALLORY, Machine, OSCAR, PAUL, RUTH};
use crate::cases::packet::{Path, fresh, path};
use crate::cases::row::{Act, Change, Row, Section, both, row, stories};
use crate::cases::run::PATIENCE;

/// The ways of two connections for each family: one whose client goes on, one whose client is
/// silent after its first packet.
struct Connections {
    client: &'static Machine,
    server: &'static Machine,
    active: [Connection; 2],
    silent: [Connection; 2],
}

/// The way of its client's packets, and the ports.
#[derive(Clone, Copy)]
struct Connection {
    there: Path,
    ports: [u16; 2],
}

impl Connections {
    fn new(
        client: &'static Machine,
        server: &'static Machine,
        service: u16,
        there: impl Fn(Family) -> Path,
    ) -> Self {
        let make = || both(|family| Connection { there: there(family), ports: [fresh(), service] });
        Self { client, server, active: make(), silent: make() }
    }

    fn asks(&self, Connection { there, ports: [from, to] }: Connection) -> crate::cases::row::Sent {
        self.client.sends(there.udp(from, to))
    }

    fn answers(
        &self,
        Connection { there, ports: [from, to] }: Connection,
    ) -> crate::cases::row::Sent {
        self.server.sends(there.back().udp(to, from))
    }

    fn refused(&self, what: &'static str) -> Row {
        let attempts = both(|family| {
            let [v4, v6] = self.active;
            let Connection { there, ports: [_, service] } = match family {
                Family::V4 => v4,
                Family::V6 => v6,
            };
            self.client.sends(there.udp(fresh(), service)).refused(NoIngressRule)
        });
        row(what, attempts)
    }

    /// All of them, or those with an active client.
    fn exchange(&self, what: &'static str, all: bool) -> Row {
        let silent = self.silent.into_iter().filter(|_| all);
        let connections = self.active.into_iter().chain(silent);
        stories(
            what,
            connections.map(|one| {
                vec![self.asks(one).reaches(self.server), self.answers(one).reaches(self.client)]
            }),
        )
    }

    fn next_packet(&self, what: &'static str) -> Row {
        row(what, self.active.map(|one| self.asks(one).refused(NoIngressRule)))
    }

    fn silent_replies(&self, what: &'static str) -> Row {
        row(what, self.silent.map(|one| self.answers(one).cut()))
            .neutron("delivered until the client says something")
    }
}

fn act(title: &'static str, change: Option<Change>, row: Row) -> Act {
    let sections = vec![Section { title, rows: vec![row] }];
    Act { change, within: Duration::ZERO, sections }
}

pub(super) fn changes() -> Vec<Act> {
    remote_group().into_iter().chain(address_group()).collect()
}

fn remote_group() -> Vec<Act> {
    let it = Connections::new(&OSCAR, &PAUL, 7000, |family| path(family, &OSCAR, &PAUL));
    let act = |change, row| act("A member that joins and leaves a remote group", change, row);
    vec![
        act(None, it.refused("Not a member yet")),
        act(
            Some(Change::Groups(&OSCAR, FRIENDS)),
            it.exchange("A member now: request and reply", true),
        ),
        act(
            Some(Change::Groups(&RUTH, EGRESS)),
            it.exchange("Another member has left: the open connection goes on", false),
        ),
        act(
            Some(Change::Groups(&OSCAR, EGRESS)),
            it.next_packet("No member any more: the next packet of an open connection"),
        ),
        Act {
            within: PATIENCE,
            ..act(
                None,
                it.silent_replies("No member any more: a reply, to a client that says nothing"),
            )
        },
        act(
            Some(Change::Groups(&OSCAR, FRIENDS)),
            it.exchange("A member again: the open connection goes on", false)
                .neutron("blocked for good"),
        ),
    ]
}

fn address_group() -> Vec<Act> {
    let it = Connections::new(&MALLORY, &JUDY, 1, |family| {
        path(family, &MALLORY, &JUDY).source_ip(match family {
            Family::V4 => "10.9.4.3",
            Family::V6 => "2001:db8:9:4::3",
        })
    });
    let act = |change, row| act("An address group that changes", change, row);
    vec![
        act(None, it.refused("Not in the address group yet")),
        act(
            Some(Change::Addresses(&["10.9.4.0/24", "2001:db8:9:4::/64"])),
            it.exchange("In the address group now: request and reply", true),
        ),
        act(
            Some(Change::Addresses(&[])),
            it.next_packet("Taken out of it: the next packet of an open connection"),
        ),
        Act {
            within: PATIENCE,
            ..act(
                None,
                it.silent_replies("Taken out of it: a reply, to a client that says nothing"),
            )
        },
    ]
}
