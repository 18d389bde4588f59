//! Tables 21 and 23: ARP requests and neighbour solicitations for somebody at another node are
//! answered here, so that they need not be flooded. Neutron answers broadcast ARP alone; here
//! unicast ARP and neighbour solicitations get their answer too.
//!
//! Not answered, but sent on as any other frame:
//!
//! - requests without a sender's address (ARP probes, duplicate address detection): if somebody
//!   has the address, they object themselves; and a virtual machine that has just moved here,
//!   while the server still has it elsewhere, must not be told that its address is taken;
//! - gratuitous ARP: it asks for the address that it comes from, and is meant for everybody;
//! - solicitations without the sender's Ethernet address: there is no room for ours in the answer;
//! - solicitations for link-local addresses: it may be the one that a router advertises from, and
//!   an answer without the router flag would take the default route from the one who asked (RFC
//!   4861 § 7.2.5).
//!
//! The kernel's datapath can write ARP replies alone ([`Responder::Arp`]). There neighbour
//! solicitations are sent on as any other frame.

use std::net::{Ipv4Addr, Ipv6Addr};

use model::MacAddr;
use openflow::{Action, Field, Flow, Match, PortNo, Subfield};

use super::super::build::{ARP, flow, goto, neighbour, put, resubmit};
use super::super::layout::Owner;
use super::super::layout::tunnel::{
    ARP_RESPONDER, KNOWN, MISS, ND_REPLY, NO_ANSWER, OWN, PATCH_LV_TO_TUN, UCAST_TO_TUN,
};
use super::{Place, Responder};
use crate::FlowSet;

const ARP_REQUEST: u128 = 1;
const ARP_REPLY: u128 = 2;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Type of the option with the Ethernet address of the target.
const TARGET_ADDRESS: u128 = 2;
/// Flags of an advertisement: solicited, and it overrides what was known; not a router.
const SOLICITED_OVERRIDE: u128 = 0x6000_0000;

/// What is the same for every network.
pub(super) fn base(responder: Responder, flows: &mut FlowSet) {
    match responder {
        Responder::Off => {}
        Responder::Arp => base_of_arp(flows),
        Responder::ArpAndNd => {
            base_of_arp(flows);
            base_of_nd(flows);
        }
    }
}

fn base_of_arp(flows: &mut FlowSet) {
    let mut add = |table, priority, matches, actions| {
        put(flows, Owner::BASE, table, priority, matches, actions);
    };
    let request = || Match::new().eth_type(ARP).with(Field::ARP_OP, ARP_REQUEST);
    add(PATCH_LV_TO_TUN, KNOWN, request(), vec![goto(ARP_RESPONDER)]);
    add(ARP_RESPONDER, NO_ANSWER, request().arp_spa(Ipv4Addr::UNSPECIFIED, 32), on());
    add(ARP_RESPONDER, MISS, Match::new(), on());
}

fn base_of_nd(flows: &mut FlowSet) {
    let mut add = |table, priority, matches, actions| {
        put(flows, Owner::BASE, table, priority, matches, actions);
    };
    let solicitation = || neighbour(SOLICITATION);
    add(PATCH_LV_TO_TUN, KNOWN, solicitation(), vec![goto(ARP_RESPONDER)]);
    add(ARP_RESPONDER, NO_ANSWER, solicitation().ipv6_src(Ipv6Addr::UNSPECIFIED, 128), on());
    add(ARP_RESPONDER, NO_ANSWER, solicitation().with(Field::ND_SLL, 0), on());

    // An advertisement has fields that a solicitation has not: in two steps.
    let advertise = vec![
        copy(Field::IPV6_SRC, Field::IPV6_DST),
        copy(Field::ND_TARGET, Field::IPV6_SRC),
        Action::set(Field::ICMPV6_TYPE, ADVERTISEMENT.into()),
        Action::set(Field::ND_OPTIONS_TYPE, TARGET_ADDRESS),
        Action::set(Field::ND_RESERVED, SOLICITED_OVERRIDE),
        resubmit(ND_REPLY),
    ];
    add(ND_REPLY, KNOWN, solicitation(), advertise);
    let back = vec![copy(Field::ETH_SRC, Field::ND_TLL), Action::Output(PortNo::IN_PORT)];
    add(ND_REPLY, KNOWN, neighbour(ADVERTISEMENT), back);
}

/// Answers for an IPv4 address; the second lets pass what its owner says of itself.
pub(super) fn ipv4(place: &Place<'_>, address: Ipv4Addr, mac: MacAddr) -> [Flow; 2] {
    let asked = || {
        let request = place.frame().eth_type(ARP);
        request.with(Field::ARP_TPA, address.to_bits().into())
    };
    let mut answer = vec![
        Action::set(Field::ARP_OP, ARP_REPLY),
        copy(Field::ARP_SHA, Field::ARP_THA),
        copy(Field::ARP_SPA, Field::ARP_TPA),
        Action::set_mac(Field::ARP_SHA, mac.octets()),
        Action::set(Field::ARP_SPA, address.to_bits().into()),
    ];
    answer.extend(from(mac));
    answer.push(Action::Output(PortNo::IN_PORT));
    let own = asked().arp_spa(address, 32);
    [
        flow(Owner::population(place.vlan), ARP_RESPONDER, KNOWN, asked(), answer),
        flow(Owner::population(place.vlan), ARP_RESPONDER, OWN, own, on()),
    ]
}

/// Answers for an IPv6 address, where that may be.
pub(super) fn ipv6(place: &Place<'_>, address: Ipv6Addr, mac: MacAddr) -> Option<Flow> {
    let asked = neighbour(SOLICITATION).vlan_vid(place.vlan.get()).nd_target(address, 128);
    let mut answer = Vec::from(from(mac));
    answer.push(goto(ND_REPLY));
    let may = !address.is_unicast_link_local();
    may.then(|| flow(Owner::population(place.vlan), ARP_RESPONDER, KNOWN, asked, answer))
}

/// The frame goes back to its sender, from this address.
fn from(mac: MacAddr) -> [Action; 2] {
    [copy(Field::ETH_SRC, Field::ETH_DST), Action::set_mac(Field::ETH_SRC, mac.octets())]
}

/// On as any other frame. What is for many is nowhere in table 20 and goes on to 22.
fn on() -> Vec<Action> {
    vec![resubmit(UCAST_TO_TUN)]
}

fn copy(src: Field, dst: Field) -> Action {
    Action::Move { src: Subfield::whole(src), dst: Subfield::whole(dst) }
}
