//! What holds for every port whatever its rules: who it may be, and what passes without any.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::{LocalPort, Snapshot};
use model::{Direction, EtherType, IpProtocol, MacAddr};
use openflow::interpreter::{self, Arp};
use policy::L4;

use super::expect::may_be;
use crate::probe::{End, STRANGER, carrying, end_of, from_elsewhere, from_port};

/// An address that no port has (RFC 5737).
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// A frame and what should become of it.
pub(super) struct Check {
    pub(super) direction: Direction,
    pub(super) frame: interpreter::Packet,
    pub(super) accepted: bool,
}

/// The checks of a managed port.
pub(super) fn checks(snapshot: &Snapshot, local: &LocalPort) -> Vec<Check> {
    let port = &local.port;
    let own = end_of(local, EtherType::Ipv4);
    let owns = may_be(port, own);
    let somebody = End { mac: STRANGER, address: NOBODY.into() };
    let out = || from_port(local.ofport);
    let sent = |from: End, protocol, l4| carrying(out(), from, somebody, protocol, l4);
    let echo = |from| sent(from, IpProtocol::ICMP, L4::Icmp { kind: 8, code: 0 });
    let dhcp = |frame: interpreter::Packet, from, to| frame.udp(from, to);
    let egress = |frame, accepted| Check { direction: Direction::Egress, frame, accepted };
    let ingress = |frame, accepted| Check { direction: Direction::Ingress, frame, accepted };

    let mut checks = Vec::new();
    // Whether rules admit the echo is no matter here; nobody may send it from these.
    let foreign = [
        End { address: NOBODY.into(), ..own },
        End { mac: STRANGER, ..own },
        End { mac: STRANGER, address: NOBODY.into() },
    ];
    let foreign = foreign.into_iter().filter(|end| !may_be(port, *end));
    checks.extend(foreign.map(|end| egress(echo(end), false)));

    for address in [own.address, NOBODY.into()] {
        let end = End { address, ..own };
        checks.push(egress(arp(out(), end, MacAddr::BROADCAST), may_be(port, end)));
    }
    let server = dhcp(echo(own), DHCP_SERVER, DHCP_CLIENT);
    checks.push(egress(server, false));
    let client = dhcp(echo(own), DHCP_CLIENT, DHCP_SERVER);
    checks.push(egress(client, owns));
    let unspecified = End { address: Ipv4Addr::UNSPECIFIED.into(), ..own };
    checks.push(egress(dhcp(echo(unspecified), DHCP_CLIENT, DHCP_SERVER), true));

    let to_port = || from_elsewhere(snapshot, local);
    checks.push(ingress(arp(to_port(), somebody, port.mac), true));
    let answer = carrying(to_port(), somebody, own, IpProtocol::UDP, L4::None);
    checks.push(ingress(dhcp(answer, DHCP_SERVER, DHCP_CLIENT), true));
    checks
}

fn arp(frame: interpreter::Packet, from: End, to: MacAddr) -> interpreter::Packet {
    let spa = match from.address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let (sha, tha) = (from.mac.octets(), [0; 6]);
    frame.eth_src(sha).eth_dst(to.octets()).arp(Arp { op: 1, sha, spa, tha, tpa: NOBODY })
}
