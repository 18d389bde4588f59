//! Tables 171 and 175: whether a port may be the source of a frame, and what passes without rules.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use model::Prefix;
use openflow::{Action, CtState, Field, Match, Subfield};

use super::Resolved;
use super::build::{
    ARP, IPV4, IPV6, IS_FRAGMENT, RARP, UDP, icmpv6, load, neighbour, put, refuse, resubmit, track,
    udp,
};
use super::layout::{
    self, BASE_EGRESS, DropReason, Owner, REMOTE_EGRESS, RULES_EGRESS, TRACK_EGRESS, TRANSIENT,
    priority,
};
use super::switching::{accepted, from_any_mac, macs};
use crate::{FlowSet, PermittedEtherType};

/// Link-local multicast, ff02::/16.
const LINK_LOCAL_GROUPS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0);
const LINK_LOCAL_GROUPS_LENGTH: u8 = 16;

/// MLD query, router solicitation, neighbour solicitation: to anybody.
const SOLICITATIONS: [u8; 3] = [130, 133, 135];
/// MLD report, MLD done, MLDv2 report: conntrack calls them invalid, so they pass before it.
const MLD_REPORTS: [u8; 3] = [131, 132, 143];
/// What a host without an address says: MLD report, duplicate address detection, MLDv2 report.
const FROM_UNSPECIFIED: [u8; 3] = [131, 135, 143];

/// UDP from one port to another.
#[derive(Clone, Copy)]
struct Udp {
    ethertype: u16,
    from: u16,
    to: u16,
}

const DHCP_SERVERS: [Udp; 2] =
    [Udp { ethertype: IPV4, from: 67, to: 68 }, Udp { ethertype: IPV6, from: 547, to: 546 }];

impl Udp {
    fn packet(self) -> Match {
        udp(self.ethertype, self.from, self.to)
    }

    /// The first fragment of a packet that opens a connection, where conntrack leaves it one. The
    /// others are nothing without it.
    fn fragment(self) -> Match {
        let whole = Subfield::whole;
        Match::new()
            .eth_type(self.ethertype)
            .ct_state(CtState::TRK, CtState::INV)
            .field(IS_FRAGMENT, 1)
            .field(whole(Field::CT_NW_PROTO), UDP.into())
            .field(whole(Field::CT_TP_SRC), self.from.into())
            .field(whole(Field::CT_TP_DST), self.to.into())
    }
}

fn to_link_local_groups(packet: Match) -> Match {
    packet.ipv6_dst(LINK_LOCAL_GROUPS, LINK_LOCAL_GROUPS_LENGTH)
}

/// What is the same for every port.
pub(super) fn base(flows: &mut FlowSet) {
    let mut add = |table, priority, matches, actions| {
        put(flows, Owner::BASE, table, priority, matches, actions);
    };
    let any = Match::new;

    let tracked = any().ct_state(CtState::TRK, CtState(0));
    let again = vec![Action::CtClear, resubmit(BASE_EGRESS)];
    add(BASE_EGRESS, priority::EARLY, tracked, again);
    let rarp = any().eth_type(RARP).field(layout::HAS_IPV4, 1);
    add(BASE_EGRESS, priority::UNTRACKED, rarp, accepted());
    for kind in FROM_UNSPECIFIED {
        let probe = to_link_local_groups(icmpv6(kind)).ipv6_src(Ipv6Addr::UNSPECIFIED, 128);
        add(BASE_EGRESS, priority::UNTRACKED, probe, accepted());
    }
    let discover = udp(IPV4, 68, 67).ipv4_src([0, 0, 0, 0].into(), 32).field(layout::OWN_MAC, 1);
    add(BASE_EGRESS, priority::HOUSEKEEPING, discover, accepted());
    for server in DHCP_SERVERS.map(Udp::packet).into_iter().chain([icmpv6(134)]) {
        add(BASE_EGRESS, priority::FORBIDDEN, server, refuse(DropReason::ServerInGuest));
    }
    // Once more behind `ct`, which has put fragments together, or knows the ports of the whole.
    for server in DHCP_SERVERS {
        for packet in [server.packet(), server.fragment()] {
            add(RULES_EGRESS, priority::FIRST, packet, refuse(DropReason::ServerInGuest));
        }
    }
    let foreign_target = || refuse(DropReason::SpoofedNeighbour);
    let foreign_address = || refuse(DropReason::SpoofedAddress);
    add(BASE_EGRESS, priority::FORBIDDEN, icmpv6(136), foreign_target());
    add(BASE_EGRESS, priority::MISS, any(), foreign_address());

    let checked = |frame: Match| frame.field(layout::CHECKED_SENDER, 1);
    add(BASE_EGRESS, priority::CHECKED, checked(any().eth_type(ARP)), foreign_address());
    add(BASE_EGRESS, priority::CHECKED, checked(icmpv6(136)), foreign_target());
    add(BASE_EGRESS, priority::FILTERED_ELSEWHERE, checked(any()), accepted());

    for client in [udp(IPV4, 68, 67), udp(IPV6, 546, 547)] {
        add(TRACK_EGRESS, priority::HOUSEKEEPING, client, accepted());
    }
    for kind in SOLICITATIONS {
        add(TRACK_EGRESS, priority::HOUSEKEEPING, icmpv6(kind), accepted());
    }
    for kind in MLD_REPORTS {
        let report = to_link_local_groups(icmpv6(kind));
        add(TRACK_EGRESS, priority::HOUSEKEEPING, report, accepted());
    }
    for ethertype in [IPV4, IPV6] {
        let packet =
            |stateless| any().eth_type(ethertype).field(layout::STATELESS_SENDER, stateless);
        add(TRACK_EGRESS, priority::IP, packet(0), vec![track(REMOTE_EGRESS)]);
        add(TRACK_EGRESS, priority::IP, packet(1), vec![resubmit(REMOTE_EGRESS)]);
    }
    add(TRACK_EGRESS, priority::MISS, any(), refuse(DropReason::SpoofedAddress));
}

/// Frames of this EtherType leave managed ports unchecked, as in Neutron whatever their source.
pub(super) fn permitted(
    ethertype: PermittedEtherType,
    ports: &[Resolved<'_>],
    flows: &mut FlowSet,
) {
    let frame = Match::new().eth_type(ethertype.get());
    put(flows, Owner::BASE, TRANSIENT, priority::ANY_MAC, frame.clone(), from_any_mac());
    for resolved in ports.iter().filter(|resolved| resolved.policy.is_some()) {
        let owner = Owner::port(resolved.local.port.id);
        let frame = frame.clone().field(layout::PORT, resolved.local.ofport.get().into());
        let mut actions = vec![load(layout::NETWORK, resolved.network.vlan.get())];
        actions.extend(accepted());
        put(flows, owner, BASE_EGRESS, priority::UNTRACKED, frame, actions);
    }
}

/// The addresses of each port that is somebody in particular.
pub(super) fn ports(ports: &[Resolved<'_>], flows: &mut FlowSet) {
    for resolved in ports.iter().filter(|resolved| resolved.local.is_checked()) {
        checked(resolved, flows);
    }
    for resolved in ports.iter().filter(|resolved| resolved.policy.is_some()) {
        let port = &resolved.local.port;
        let link_local = Prefix::host(IpAddr::V6(port.mac.link_local()));
        let own = (port.mac, link_local);
        let pairs = port.pairs.iter().map(|pair| (pair.mac, pair.prefix));
        for (mac, prefix) in pairs.chain([own]) {
            address(resolved, mac.octets(), prefix, flows);
        }
    }
}

fn address(resolved: &Resolved<'_>, mac: [u8; 6], prefix: Prefix, flows: &mut FlowSet) {
    let owner = Owner::port(resolved.local.port.id);
    let mut add = |priority, matches, actions| {
        put(flows, owner, BASE_EGRESS, priority, matches, actions);
    };
    let port = Match::new().field(layout::PORT, resolved.local.ofport.get().into());
    let frame = port.clone().eth_src(mac);
    let length = prefix.length();
    match prefix.address() {
        IpAddr::V4(address) => {
            let arp = frame.clone().eth_type(ARP).arp_spa(address, length);
            add(priority::UNTRACKED, arp, accepted());
            let packet = frame.eth_type(IPV4).ipv4_src(address, length);
            add(priority::ADDRESS, packet, vec![resubmit(TRACK_EGRESS)]);
        }
        IpAddr::V6(address) => {
            let packet = frame.eth_type(IPV6).ipv6_src(address, length);
            add(priority::ADDRESS, packet, vec![resubmit(TRACK_EGRESS)]);
            claim(resolved, neighbour(136).nd_target(address, length), flows);
        }
    }
}

/// The advertisement is for an address of the port. It passes whatever its source MAC, so the
/// network is not known yet (see table 160).
fn claim(resolved: &Resolved<'_>, advertisement: Match, flows: &mut FlowSet) {
    let owner = Owner::port(resolved.local.port.id);
    let advertisement = advertisement.field(layout::PORT, resolved.local.ofport.get().into());
    let mut actions = vec![load(layout::NETWORK, resolved.network.vlan.get())];
    actions.extend(accepted());
    put(flows, owner, BASE_EGRESS, priority::UNTRACKED, advertisement, actions);
}

/// The addresses of a port that is filtered elsewhere. As in Neutron, an address may be used with
/// any of its MAC addresses, which table 160 has looked at; whoever filters it knows the pairs.
fn checked(resolved: &Resolved<'_>, flows: &mut FlowSet) {
    let owner = Owner::port(resolved.local.port.id);
    let port = &resolved.local.port;
    let link_local = macs(resolved).into_iter().map(|mac| Prefix::host(mac.link_local().into()));
    let own: BTreeSet<Prefix> =
        port.pairs.iter().map(|pair| pair.prefix).chain(link_local).collect();
    let is_any = |prefix: &Prefix| prefix.address().is_ipv6() && prefix.length() == 0;
    let may_claim_any = own.iter().any(is_any);
    for prefix in own {
        match (prefix.address(), prefix.length()) {
            (IpAddr::V4(address), length) => {
                let ofport = resolved.local.ofport.get().into();
                let arp = Match::new().field(layout::PORT, ofport).eth_type(ARP);
                let arp = arp.arp_spa(address, length);
                put(flows, owner, BASE_EGRESS, priority::UNTRACKED, arp, accepted());
            }
            // Who may claim anything may do so from no MAC address but its own.
            (IpAddr::V6(_), 0) => {
                claim(resolved, neighbour(136).field(layout::CHECKED_SENDER, 1), flows);
            }
            (IpAddr::V6(_), _) if may_claim_any => {}
            (IpAddr::V6(address), length) => {
                claim(resolved, neighbour(136).nd_target(address, length), flows);
            }
        }
    }
}
