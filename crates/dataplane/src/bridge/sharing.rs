//! Tables 76 and 79: which port gets unicast for a MAC address that several ports may use, such as
//! the virtual one of a redundant router.
//!
//! It is the port that has sent from that address last, of those that may (76, learned in 73 from
//! frames that the source checks have passed). Until one has sent: a port whose own address it is
//! goes before one that has it by an allowed pair, then the lower id.
//!
//! A learned flow says the number of a port and nothing else. What a port is and which policy it
//! has is said by flows that are ours (79), so nothing need be learned anew when that changes, and
//! a port that has gone or has lost the address gets nothing by it.

use std::collections::BTreeMap;

use model::{MacAddr, VlanTag};
use openflow::Match;

use super::Resolved;
use super::build::{Memory, goto, learn, load, put, resubmit};
use super::layout::{self, ACCEPT_OR_INGRESS, LAST_SENDER, Owner, SHARED_MAC, priority};
use super::switching::{delivery, macs};
use crate::FlowSet;

/// The ports that may use each MAC address of each network: who has it for their own comes first,
/// then they come by id. There is one at least.
pub(super) type Claims<'a> = BTreeMap<(VlanTag, MacAddr), Vec<&'a Resolved<'a>>>;

/// Who may use which address; the ports come by id.
pub(super) fn claims<'a>(ports: &'a [Resolved<'a>]) -> Claims<'a> {
    let mut claims = Claims::new();
    for own in [true, false] {
        for resolved in ports {
            let of_port = resolved.local.port.mac;
            for mac in macs(resolved).into_iter().filter(|mac| (*mac == of_port) == own) {
                claims.entry((resolved.network.vlan, mac)).or_default().push(resolved);
            }
        }
    }
    claims
}

/// Whether frames that the port sends from the address say where that is now.
pub(super) fn is_shared(claims: &Claims<'_>, vlan: VlanTag, mac: MacAddr) -> bool {
    claims.get(&(vlan, mac)).is_some_and(|ports| ports.len() > 1)
}

/// The way to an address that these ports share, by precedence.
pub(super) fn destination(
    vlan: VlanTag,
    mac: MacAddr,
    ports: &[&Resolved<'_>],
    flows: &mut FlowSet,
) {
    let network = Owner::network(vlan);
    let here = Match::new().field(layout::NETWORK, vlan.get().into());

    let memory = Memory { owner: Owner::learned(vlan), seconds: 0, most: 0 };
    let sent = here.clone().field(layout::SHARED_SOURCE, 1);
    let note = vec![
        load(layout::SHARED_SOURCE, 0_u8),
        learn(LAST_SENDER, memory),
        resubmit(ACCEPT_OR_INGRESS),
    ];
    put(flows, network, ACCEPT_OR_INGRESS, priority::FIRST, sent, note);

    let frame = here.eth_dst(mac.octets());
    let look_up = vec![load(layout::PORT, 0_u8), resubmit(LAST_SENDER), goto(SHARED_MAC)];
    put(flows, network, ACCEPT_OR_INGRESS, priority::PORT, frame.clone(), look_up);
    for resolved in ports {
        let owner = Owner::port(resolved.local.port.id);
        let last = frame.clone().field(layout::PORT, resolved.local.ofport.get().into());
        put(flows, owner, SHARED_MAC, priority::PORT, last, delivery(resolved));
    }
    if let Some(first) = ports.first() {
        let owner = Owner::port(first.local.port.id);
        put(flows, owner, SHARED_MAC, priority::LAST, frame, delivery(first));
    }
}
