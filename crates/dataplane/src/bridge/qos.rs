//! Tables 158, 159 and 180, and the meters of 173 and 179: what QoS policies do to the traffic of a
//! port besides limits of bandwidth and queues that are the business of the switch's database.
//!
//! What a port sends is metered first, whatever it is, then put into a queue and marked. What it gets
//! is metered where its way is found, so that nothing that is for somebody else counts. A flow can
//! send packets through one meter, so a second limit of what a port gets has a table of its own.

use model::MeterId;
use openflow::{Action, Field, Match, Subfield, TableId};

use super::Resolved;
use super::build::{IPV4, IPV6, goto, load, put};
use super::layout::{
    self, BANDWIDTH_RATE_LIMIT, INGRESS_BANDWIDTH, Owner, PACKET_RATE_LIMIT, TRANSIENT, priority,
};
use super::switching::delivering;
use crate::{FlowSet, PortMeters, Underlay};

/// What is done to what ports send.
pub(super) fn ports(ports: &[Resolved<'_>], flows: &mut FlowSet) {
    for resolved in ports {
        let owner = Owner::port(resolved.local.port.id);
        let from_port = || Match::new().in_port(resolved.local.ofport.get().into());
        let qos = &resolved.local.qos;
        if let Some(meter) = qos.egress.packets {
            let actions = vec![Action::Meter(meter.get()), goto(BANDWIDTH_RATE_LIMIT)];
            put(flows, owner, PACKET_RATE_LIMIT, priority::PORT, from_port(), actions);
        }
        let mut treated: Vec<Action> = Vec::new();
        treated.extend(qos.egress.bandwidth.map(|meter| Action::Meter(meter.get())));
        if qos.queue && leaves_by_the_wire(resolved) {
            treated.push(Action::SetQueue(resolved.local.ofport.get().into()));
        }
        if let Some(mark) = qos.dscp {
            for ethertype in [IPV4, IPV6] {
                let packet = from_port().eth_type(ethertype);
                let mut actions = treated.clone();
                let set = load(Subfield::whole(Field::IP_DSCP), mark.get());
                actions.extend([set, goto(TRANSIENT)]);
                put(flows, owner, BANDWIDTH_RATE_LIMIT, priority::PORT, packet, actions);
            }
        }
        if !treated.is_empty() {
            treated.push(goto(TRANSIENT));
            put(flows, owner, BANDWIDTH_RATE_LIMIT, priority::LAST, from_port(), treated);
        }
        if let Some(meter) = second(resolved) {
            let to_port = Match::new().field(layout::PORT, resolved.local.ofport.get().into());
            let actions = vec![Action::Meter(meter.get()), goto(delivering(resolved))];
            put(flows, owner, INGRESS_BANDWIDTH, priority::PORT, to_port, actions);
        }
    }
}

/// Whether a physical network carries what the port sends; in a tunnel, a queue would be that of
/// whatever the tunnel leaves by.
fn leaves_by_the_wire(resolved: &Resolved<'_>) -> bool {
    matches!(Underlay::of(&resolved.network.segment), Some(Underlay::Physical(_)))
}

/// What is done to what a port gets, before anything else.
pub(super) fn to_port(resolved: &Resolved<'_>) -> Vec<Action> {
    let PortMeters { packets, bandwidth } = resolved.local.qos.ingress;
    let meter = packets.or(bandwidth);
    meter.map(|meter| Action::Meter(meter.get())).into_iter().collect()
}

/// On to the table where the way of the port goes on, by its second meter where it has one.
pub(super) fn onward(resolved: &Resolved<'_>, table: TableId) -> Action {
    goto(if second(resolved).is_some() { INGRESS_BANDWIDTH } else { table })
}

/// The second meter of what a port gets.
fn second(resolved: &Resolved<'_>) -> Option<MeterId> {
    let PortMeters { packets, bandwidth } = resolved.local.qos.ingress;
    bandwidth.filter(|_| packets.is_some())
}
