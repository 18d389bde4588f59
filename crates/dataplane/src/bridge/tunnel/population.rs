//! What the server says of who is where: one flow of table 20 for each Ethernet address, and those
//! that answer for its IP addresses.

use std::net::IpAddr;

use model::MacAddr;
use openflow::Flow;

use super::super::build::flow;
use super::super::layout::Owner;
use super::super::layout::tunnel::{POPULATED, UCAST_TO_TUN};
use super::{Place, Population, Responder, responder};

/// Everything that a network has of it.
pub(super) fn all(place: &Place<'_>, population: &Population) -> Vec<Flow> {
    let unicast = population.unicast.iter().filter_map(|(mac, end)| unicast(place, *mac, *end));
    let neighbours = population.neighbours.iter();
    let answers = neighbours.flat_map(|(address, mac)| neighbour(place, *address, *mac));
    unicast.chain(answers).collect()
}

/// The way to an Ethernet address. Where no port leads to its end yet, it is searched for like one
/// that nobody has heard of.
pub(super) fn unicast(place: &Place<'_>, mac: MacAddr, end: IpAddr) -> Option<Flow> {
    let end = place.end(end).filter(|_| !mac.is_group())?;
    let frame = place.frame().eth_dst(mac.octets());
    let actions = place.send([end]);
    Some(flow(Owner::population(place.vlan), UCAST_TO_TUN, POPULATED, frame, actions))
}

/// What answers for an IP address, if that is wanted.
pub(super) fn neighbour(place: &Place<'_>, address: IpAddr, mac: MacAddr) -> Vec<Flow> {
    match (place.responder, address) {
        (Responder::Off, _) | (Responder::Arp, IpAddr::V6(_)) => Vec::new(),
        (Responder::Arp | Responder::ArpAndNd, IpAddr::V4(address)) => {
            responder::ipv4(place, address, mac).into()
        }
        (Responder::ArpAndNd, IpAddr::V6(address)) => {
            responder::ipv6(place, address, mac).into_iter().collect()
        }
    }
}
