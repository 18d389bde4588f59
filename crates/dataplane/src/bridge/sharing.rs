//! Tables 176 and 179: which port gets unicast for a MAC address that several ports may use, such as
//! the virtual one of a redundant router.
//!
//! The same goes for a port on standby, which shares its addresses with itself on the node where its
//! virtual machine is active: frames leave for there until the machine sends from here, as it does
//! when it resumes (RARP).
//!
//! It is the port that has sent from that address last, of those that may (176, learned in 173 from
//! frames that the source checks have passed). Until one has sent: a port whose own address it is
//! goes before one that has it by an allowed pair, then the lower id.
//!
//! A learned flow says the number of a port and nothing else. What a port is and which policy it
//! has is said by flows that are ours (179), so nothing need be learned anew when that changes, and
//! a port that has gone or has lost the address gets nothing by it.

use std::collections::BTreeMap;

use model::{MacAddr, VlanTag};
use openflow::Match;

use super::Resolved;
use super::build::{Memory, goto, learn, load, put, resubmit};
use super::layout::{
    self, ACCEPT_OR_INGRESS, ACCEPTED_EGRESS, LAST_SENDER, Owner, SHARED_MAC, priority,
};
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
    claims.get(&(vlan, mac)).is_some_and(|ports| match ports.as_slice() {
        [only] => only.local.standby,
        _ => true,
    })
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

    let note = |owner| {
        let memory = Memory { owner, seconds: 0, most: 0 };
        let learn = learn(LAST_SENDER, memory);
        vec![load(layout::SHARED_SOURCE, 0_u8), learn, resubmit(ACCEPT_OR_INGRESS)]
    };
    let sent = here.clone().field(layout::SHARED_SOURCE, 1);
    let learned = note(Owner::learned(vlan));
    put(flows, network, ACCEPT_OR_INGRESS, priority::FIRST, sent.clone(), learned);
    for resolved in ports.iter().filter(|resolved| resolved.local.standby) {
        let id = resolved.local.port.id;
        let sent = sent.clone().field(layout::PORT, resolved.local.ofport.get().into());
        // What was learned goes with the standby: when the machine has left, it must not lead here.
        let learned = note(Owner::learned_of(id));
        put(flows, Owner::port(id), ACCEPT_OR_INGRESS, priority::STANDBY, sent, learned);
    }

    let frame = here.eth_dst(mac.octets());
    let look_up = vec![load(layout::PORT, 0_u8), resubmit(LAST_SENDER), goto(SHARED_MAC)];
    put(flows, network, ACCEPT_OR_INGRESS, priority::PORT, frame.clone(), look_up);
    for resolved in ports {
        let owner = Owner::port(resolved.local.port.id);
        let last = frame.clone().field(layout::PORT, resolved.local.ofport.get().into());
        put(flows, owner, SHARED_MAC, priority::PORT, last, delivery(resolved));
    }
    match ports.iter().find(|resolved| !resolved.local.standby) {
        Some(first) => {
            let owner = Owner::port(first.local.port.id);
            put(flows, owner, SHARED_MAC, priority::LAST, frame, delivery(first));
        }
        None => {
            let elsewhere = vec![goto(ACCEPTED_EGRESS)];
            put(flows, network, SHARED_MAC, priority::LAST, frame, elsewhere);
        }
    }
}
