//! Tables 58 and 59, and the meters of 73 and 79: what QoS policies do to the traffic of a port
//! besides limiting its bandwidth, which is the business of the switch's database.
//!
//! What a port sends is metered first, whatever it is, and then marked. What it gets is metered
//! where its way is found, so that nothing that is for somebody else counts.

use openflow::{Action, Field, Match, Subfield};

use super::Resolved;
use super::build::{IPV4, IPV6, goto, load, put};
use super::layout::{BANDWIDTH_RATE_LIMIT, Owner, PACKET_RATE_LIMIT, TRANSIENT, priority};
use crate::FlowSet;

/// What is done to what ports send.
pub(super) fn ports(ports: &[Resolved<'_>], flows: &mut FlowSet) {
    for resolved in ports {
        let owner = Owner::port(resolved.local.port.id);
        let from_port = || Match::new().in_port(resolved.local.ofport.get().into());
        let qos = &resolved.local.qos;
        if let Some(meter) = qos.egress_meter {
            let actions = vec![Action::Meter(meter.get()), goto(BANDWIDTH_RATE_LIMIT)];
            put(flows, owner, PACKET_RATE_LIMIT, priority::PORT, from_port(), actions);
        }
        if let Some(mark) = qos.dscp {
            for ethertype in [IPV4, IPV6] {
                let packet = from_port().eth_type(ethertype);
                let set = load(Subfield::whole(Field::IP_DSCP), mark.get());
                let actions = vec![set, goto(TRANSIENT)];
                put(flows, owner, BANDWIDTH_RATE_LIMIT, priority::PORT, packet, actions);
            }
        }
    }
}

/// What is done to what a port gets, before anything else.
pub(super) fn to_port(resolved: &Resolved<'_>) -> Vec<Action> {
    let meter = resolved.local.qos.ingress_meter;
    meter.map(|meter| Action::Meter(meter.get())).into_iter().collect()
}
