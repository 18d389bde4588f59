//! What holds for every port whatever its rules: who it may be, and what passes without any.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dataplane::{LocalPort, Snapshot};
use model::{Direction, EtherType, IpProtocol, MacAddr};
use openflow::interpreter::{self, Arp};
use policy::L4;

use super::expect::may_be;
use crate::probe::{End, STRANGER, carrying, end_of, from_elsewhere, from_port};

/// Addresses that no port has (RFC 5737, RFC 3849).
const NOBODY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 66);
const NOBODY_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x66);
/// To which neighbour solicitations and MLD reports go.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: MacAddr = MacAddr::new([0x33, 0x33, 0, 0, 0, 1]);
/// Somebody who is asked for everything, and answers.
const SOMEBODY: End = End { mac: STRANGER, address: IpAddr::V4(NOBODY) };
const SOMEBODY_V6: End = End { mac: STRANGER, address: IpAddr::V6(NOBODY_V6) };
const EVERYBODY_V6: End = End { mac: ALL_NODES_MAC, address: IpAddr::V6(ALL_NODES) };

/// The ports of DHCP servers and clients, and of those of DHCPv6.
const DHCP: [u16; 2] = [67, 68];
const DHCP_V6: [u16; 2] = [547, 546];
/// ICMPv6 types.
const MLD_QUERY: u8 = 130;
const ROUTER_ADVERTISEMENT: u8 = 134;
const MLD_V2_REPORT: u8 = 143;
/// Reverse ARP, and one that no firewall knows (IEEE 802.1AB).
const RARP: u16 = 0x8035;
const LLDP: u16 = 0x88cc;
/// A tag with which no virtual machine may send.
const TAG: u16 = 7;
/// One that says a priority and no VLAN.
const PRIORITY_TAG: u16 = 0;

/// A frame and what should become of it. Connection tracking is never told of it.
pub(super) struct Check {
    pub(super) direction: Direction,
    pub(super) frame: interpreter::Packet,
    pub(super) accepted: bool,
}

/// The checks of a port.
pub(super) fn checks(snapshot: &Snapshot, local: &LocalPort) -> Vec<Check> {
    let mut checks = Checks { snapshot, local, list: Vec::new() };
    if local.is_managed() {
        checks.sources();
        checks.sources_v6();
        checks.neighbours();
        checks.frames();
        checks.delivered();
    } else if local.is_checked() {
        checks.checked();
        checks.not_filtered();
    } else {
        checks.unmanaged();
        checks.not_filtered();
    }
    checks.list
}

struct Checks<'a> {
    snapshot: &'a Snapshot,
    local: &'a LocalPort,
    list: Vec<Check>,
}

impl Checks<'_> {
    /// IPv4, ARP, RARP and DHCP that the port sends.
    fn sources(&mut self) {
        let port = &self.local.port;
        let own = end_of(self.local, EtherType::Ipv4);
        let unspecified = End { address: Ipv4Addr::UNSPECIFIED.into(), ..own };
        // Whether rules admit the echo is no matter here; nobody may send it from these.
        for end in foreign(own, NOBODY.into()).filter(|end| !may_be(port, *end)) {
            self.sends(self.echo(end, SOMEBODY), false);
            self.sends(udp(self.echo(end, SOMEBODY), DHCP, Role::Client), false);
            self.sends(arp(self.out(), end, MacAddr::BROADCAST), false);
        }
        for end in [own, unspecified] {
            let accepted = may_be(port, end);
            self.sends(arp(self.out(), end, MacAddr::BROADCAST), accepted);
        }
        let has_ipv4 = port
            .pairs
            .iter()
            .any(|pair| pair.mac == port.mac && pair.prefix.ethertype() == EtherType::Ipv4);
        self.sends(arp(self.out(), own, MacAddr::BROADCAST).eth_type(RARP), has_ipv4);
        self.sends(arp(self.out(), SOMEBODY, MacAddr::BROADCAST).eth_type(RARP), {
            port.pairs
                .iter()
                .any(|pair| pair.mac == STRANGER && pair.prefix.ethertype() == EtherType::Ipv4)
        });

        self.sends(udp(self.echo(own, SOMEBODY), DHCP, Role::Client), may_be(port, own));
        self.sends(udp(self.echo(unspecified, SOMEBODY), DHCP, Role::Client), true);
        self.sends(udp(self.echo(own, SOMEBODY), DHCP, Role::Server), false);
    }

    /// IPv6 and DHCPv6 that the port sends.
    fn sources_v6(&mut self) {
        let port = &self.local.port;
        let own = end_of(self.local, EtherType::Ipv6);
        let link_local = End { mac: port.mac, address: port.mac.link_local().into() };
        for end in foreign(own, NOBODY_V6.into()).filter(|end| !may_be(port, *end)) {
            self.sends(self.echo(end, SOMEBODY_V6), false);
            self.sends(udp(self.echo(end, SOMEBODY_V6), DHCP_V6, Role::Client), false);
            self.sends(self.solicitation(end, EVERYBODY_V6), false);
            self.sends(self.icmpv6(end, EVERYBODY_V6, MLD_V2_REPORT), false);
        }
        for end in [own, link_local] {
            self.sends(udp(self.echo(end, SOMEBODY_V6), DHCP_V6, Role::Client), true);
            self.sends(self.solicitation(end, EVERYBODY_V6), true);
            self.sends(self.icmpv6(end, EVERYBODY_V6, MLD_V2_REPORT), true);
            self.sends(udp(self.echo(end, SOMEBODY_V6), DHCP_V6, Role::Server), false);
            self.sends(self.icmpv6(end, EVERYBODY_V6, ROUTER_ADVERTISEMENT), false);
        }
    }

    /// Duplicate address detection, and neighbour advertisements.
    fn neighbours(&mut self) {
        let port = &self.local.port;
        let own = end_of(self.local, EtherType::Ipv6);
        let unspecified = End { address: Ipv6Addr::UNSPECIFIED.into(), ..own };
        self.sends(self.solicitation(unspecified, EVERYBODY_V6), true);
        self.sends(self.icmpv6(unspecified, EVERYBODY_V6, MLD_V2_REPORT), true);
        let by_unicast = self.solicitation(unspecified, SOMEBODY_V6);
        self.sends(by_unicast, may_be(port, unspecified));

        // Judged by the target alone, whoever sends it.
        let may_claim = |target: IpAddr| {
            let is_link_local = target == IpAddr::V6(port.mac.link_local());
            is_link_local || port.pairs.iter().any(|pair| pair.prefix.contains(target))
        };
        let link_local = IpAddr::V6(port.mac.link_local());
        for target in [own.address, link_local, NOBODY_V6.into()] {
            for sender in [own, SOMEBODY_V6] {
                let frame = self.icmpv6(sender, EVERYBODY_V6, 0);
                let frame = frame.neighbour_advertisement(v6(target), sender.mac.octets());
                self.sends(frame, may_claim(target));
            }
        }
    }

    /// Frames that are not IP, or have a tag.
    fn frames(&mut self) {
        let own = end_of(self.local, EtherType::Ipv4);
        let lldp = self.out().eth_src(own.mac.octets()).eth_dst(STRANGER.octets()).eth_type(LLDP);
        let permitted = self.permits(LLDP);
        self.sends(lldp, permitted);
        self.sends(arp(self.out(), own, MacAddr::BROADCAST).vlan(TAG), false);
    }

    /// What reaches the port without a rule.
    fn delivered(&mut self) {
        let (own, own_v6) =
            (end_of(self.local, EtherType::Ipv4), end_of(self.local, EtherType::Ipv6));
        self.gets(arp(self.to(), SOMEBODY, own.mac), true);
        let answer = carrying(self.to(), SOMEBODY, own, IpProtocol::UDP, L4::None);
        self.gets(udp(answer, DHCP, Role::Server), true);
        let answer = carrying(self.to(), SOMEBODY_V6, own_v6, IpProtocol::UDP, L4::None);
        self.gets(udp(answer, DHCP_V6, Role::Server), true);
        for kind in [MLD_QUERY, ROUTER_ADVERTISEMENT] {
            let l4 = L4::Icmp { kind, code: 0 };
            let frame = carrying(self.to(), SOMEBODY_V6, own_v6, IpProtocol::ICMPV6, l4);
            self.gets(frame.clone(), true);
            let (target, mac) = (v6(own_v6.address), STRANGER.octets());
            self.gets(frame.clone().neighbour_solicitation(target, mac), true);
            self.gets(frame.neighbour_advertisement(NOBODY_V6, mac), true);
        }
        let lldp = self.to().eth_src(STRANGER.octets()).eth_dst(own.mac.octets()).eth_type(LLDP);
        let permitted = self.permits(LLDP);
        self.gets(lldp, permitted);
    }

    /// A port that is filtered elsewhere has a MAC address of its own, asks and answers for itself,
    /// and sends what it wants.
    fn checked(&mut self) {
        let port = &self.local.port;
        let own = end_of(self.local, EtherType::Ipv4);
        let own_v6 = end_of(self.local, EtherType::Ipv6);
        let may_use = |mac| mac == port.mac || port.pairs.iter().any(|pair| pair.mac == mac);
        let may_have = |address| port.pairs.iter().any(|pair| pair.prefix.contains(address));
        for end in [own].into_iter().chain(foreign(own, NOBODY.into())) {
            let accepted = may_use(end.mac);
            self.sends(self.echo(end, SOMEBODY), accepted);
            self.sends(udp(self.echo(end, SOMEBODY), DHCP, Role::Server), accepted);
            let lldp = arp(self.out(), end, MacAddr::BROADCAST).eth_type(LLDP);
            let passes = accepted && self.takes(LLDP);
            self.sends(lldp, passes);
            let announces = accepted && may_have(end.address);
            self.sends(arp(self.out(), end, MacAddr::BROADCAST), announces);
        }
        for end in [own_v6].into_iter().chain(foreign(own_v6, NOBODY_V6.into())) {
            let accepted = may_use(end.mac);
            self.sends(self.echo(end, SOMEBODY_V6), accepted);
            self.sends(self.solicitation(end, EVERYBODY_V6), accepted);
            self.sends(self.icmpv6(end, EVERYBODY_V6, ROUTER_ADVERTISEMENT), accepted);
            let may_claim =
                match port.pairs.iter().any(|pair| {
                    (pair.prefix.ethertype(), pair.prefix.length()) == (EtherType::Ipv6, 0)
                }) {
                    true => accepted,
                    false => may_have(end.address) || end.address == port.mac.link_local(),
                };
            let frame = self.icmpv6(end, EVERYBODY_V6, 0);
            let frame = frame.neighbour_advertisement(v6(end.address), end.mac.octets());
            self.sends(frame, may_claim);
        }
        self.sends(self.echo(own, SOMEBODY).vlan(TAG), false);
        let is_seen = !self.local.is_behind_netfilter();
        self.sends(self.echo(own, SOMEBODY).vlan(PRIORITY_TAG), is_seen);
    }

    /// A port without port security is whoever it wants to be.
    fn unmanaged(&mut self) {
        let own = end_of(self.local, EtherType::Ipv4);
        let own_v6 = end_of(self.local, EtherType::Ipv6);
        for end in [own].into_iter().chain(foreign(own, NOBODY.into())) {
            self.sends(self.echo(end, SOMEBODY), true);
            self.sends(udp(self.echo(end, SOMEBODY), DHCP, Role::Server), true);
            self.sends(arp(self.out(), end, MacAddr::BROADCAST), true);
        }
        for end in [own_v6].into_iter().chain(foreign(own_v6, NOBODY_V6.into())) {
            self.sends(self.echo(end, SOMEBODY_V6), true);
            self.sends(self.icmpv6(end, EVERYBODY_V6, ROUTER_ADVERTISEMENT), true);
        }
        self.sends(self.echo(own, SOMEBODY).vlan(TAG), false);
    }

    /// Nothing is filtered towards the port.
    fn not_filtered(&mut self) {
        let own = end_of(self.local, EtherType::Ipv4);
        let own_v6 = end_of(self.local, EtherType::Ipv6);
        self.gets(arp(self.to(), SOMEBODY, own.mac), true);
        for (from, to) in [(SOMEBODY, own), (SOMEBODY_V6, own_v6)] {
            let syn = carrying(self.to(), from, to, IpProtocol::TCP, L4::Ports { dst: 22 });
            self.gets(syn, true);
        }
        let lldp = self.to().eth_src(STRANGER.octets()).eth_dst(own.mac.octets()).eth_type(LLDP);
        let taken = self.takes(LLDP);
        self.gets(lldp, taken);
    }

    fn sends(&mut self, frame: interpreter::Packet, accepted: bool) {
        self.list.push(Check { direction: Direction::Egress, frame, accepted });
    }

    fn gets(&mut self, frame: interpreter::Packet, accepted: bool) {
        self.list.push(Check { direction: Direction::Ingress, frame, accepted });
    }

    /// Whether frames that are neither IP nor ARP pass a port that flows do not filter.
    fn takes(&self, ethertype: u16) -> bool {
        let is_strict = self.snapshot.strict_equivalence && self.local.is_behind_netfilter();
        !is_strict || self.permits(ethertype)
    }

    fn permits(&self, ethertype: u16) -> bool {
        self.snapshot.permitted_ethertypes.iter().any(|permitted| permitted.get() == ethertype)
    }

    /// A frame that the port sends.
    fn out(&self) -> interpreter::Packet {
        from_port(self.local.ofport)
    }

    /// A frame for the port.
    fn to(&self) -> interpreter::Packet {
        from_elsewhere(self.snapshot, self.local)
    }

    /// An echo request that the port sends.
    fn echo(&self, from: End, to: End) -> interpreter::Packet {
        let (protocol, kind) = match from.address {
            IpAddr::V4(_) => (IpProtocol::ICMP, 8),
            IpAddr::V6(_) => (IpProtocol::ICMPV6, 128),
        };
        carrying(self.out(), from, to, protocol, L4::Icmp { kind, code: 0 })
    }

    fn icmpv6(&self, from: End, to: End, kind: u8) -> interpreter::Packet {
        carrying(self.out(), from, to, IpProtocol::ICMPV6, L4::Icmp { kind, code: 0 })
    }

    fn solicitation(&self, from: End, to: End) -> interpreter::Packet {
        self.icmpv6(from, to, 0).neighbour_solicitation(NOBODY_V6, from.mac.octets())
    }
}

/// An end with another address, with another MAC address, and with both.
fn foreign(own: End, address: IpAddr) -> impl Iterator<Item = End> {
    [End { address, ..own }, End { mac: STRANGER, ..own }, End { mac: STRANGER, address }]
        .into_iter()
}

/// Who speaks DHCP.
enum Role {
    Client,
    Server,
}

/// The same packet as one of DHCP.
fn udp(frame: interpreter::Packet, [server, client]: [u16; 2], from: Role) -> interpreter::Packet {
    match from {
        Role::Client => frame.udp(client, server),
        Role::Server => frame.udp(server, client),
    }
}

fn arp(frame: interpreter::Packet, from: End, to: MacAddr) -> interpreter::Packet {
    let spa = match from.address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let (sha, tha) = (from.mac.octets(), [0; 6]);
    frame.eth_src(sha).eth_dst(to.octets()).arp(Arp { op: 1, sha, spa, tha, tpa: NOBODY })
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(address) => address.to_ipv6_mapped(),
    }
}
