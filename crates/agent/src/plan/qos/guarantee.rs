//! Minimum bandwidth: what is set aside on the wire for what ports send. Pure.
//!
//! As in Neutron's agent, the network devices of all physical bridges share one QoS, in which each
//! such port has a queue with the number of the port (ofport); flows put what it sends there. What is
//! set aside for what a port gets, and for what leaves by tunnels, is for a scheduler alone to count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::Underlay;
use model::{Direction, Kbps, PortId, QosPolicy};
use ovsdb::{Port, Qos, Queue, Replica, RowId, RowOr};

use super::{
    HTB, ID, KILO, Limits, MINIMUM_BANDWIDTH, MOST, PORT, QUEUE_NUMBER, QosChange, TYPE_OF_QOS,
    TYPE_OF_QUEUE, map,
};
use crate::cache::Binding;
use crate::inventory::Inventory;
use crate::plugged::Plug;

/// Settings of queues.
const LEAST_RATE: &str = "min-rate";
const MOST_RATE: &str = "max-rate";
/// Types of interfaces that are network devices of the host.
const DEVICES: [&str; 2] = ["", "system"];

/// What the ports of the node ask for.
#[derive(Debug)]
pub(super) struct Wished {
    /// What a new QoS is called.
    id: String,
    /// The physical bridges.
    bridges: Vec<String>,
    /// Ports that something is to be set aside for: their numbers (ofport), and how much.
    pub(super) ports: BTreeMap<PortId, (i64, Kbps)>,
    /// Plugged ports of which that is not known yet.
    unknown: BTreeSet<String>,
    /// Whether everything else is known.
    warm: bool,
}

/// How much of what a port sends the policy sets aside.
pub(super) fn of(policy: &QosPolicy) -> Option<Kbps> {
    policy.minimum_bandwidth.get(&Direction::Egress).copied()
}

/// Whether a QoS is one of this kind.
pub(super) fn is_guarantee(qos: &Qos) -> bool {
    let kind = qos.external_ids.get(TYPE_OF_QOS);
    qos.kind == HTB && kind.is_some_and(|kind| kind == MINIMUM_BANDWIDTH)
}

/// What the policies that are known ask for.
pub(super) fn wished(
    inventory: &Inventory,
    plugged: &BTreeMap<PortId, Plug>,
    settled: &BTreeMap<PortId, Option<Arc<QosPolicy>>>,
    warm: bool,
) -> Wished {
    let ports = settled.iter().filter_map(|(id, policy)| {
        let least = of(policy.as_ref()?)?;
        let number = plugged.get(id)?.ofport?.get();
        let known = inventory.cache.port(*id)?.as_ref().ok()?;
        let (Binding::Here(segment) | Binding::Standby(segment)) = &known.binding else {
            return None;
        };
        let on_wire = matches!(Underlay::of(segment), Some(Underlay::Physical(_)));
        on_wire.then_some((*id, (number.into(), least)))
    });
    let unknown = plugged.keys().filter(|id| !settled.contains_key(id));
    let replica = inventory.replica.as_ref();
    let bridge = replica.and_then(|replica| replica.bridge(&inventory.integration_bridge));
    Wished {
        id: bridge.map(|(row, _)| row.to_string()).unwrap_or_default(),
        bridges: inventory.physical.iter().map(|it| it.name.clone()).collect(),
        ports: ports.collect(),
        unknown: unknown.map(PortId::to_string).collect(),
        warm,
    }
}

impl Limits<'_> {
    /// Plans what the uplinks have otherwise. Tells whether there is one for what is wished.
    pub(super) fn guarantee(&mut self, wished: &Wished) -> bool {
        let replica = self.replica;
        let uplinks = uplinks(replica, &wished.bridges);
        let holders: BTreeMap<RowId, (RowId, &Qos)> = replica
            .ports
            .iter()
            .filter_map(|(port, it)| Some((*port, (it.qos?, replica.qos.get(&it.qos?)?))))
            .filter(|(_, (_, qos))| is_guarantee(qos))
            .collect();
        let there = uplinks.keys().find_map(|port| holders.get(port)).copied();
        let queues = if uplinks.is_empty() { BTreeMap::new() } else { self.queues(wished, there) };
        if queues.is_empty() {
            let holders = holders.keys().filter(|_| wished.warm);
            self.unshape(holders);
            return !uplinks.is_empty() || wished.ports.is_empty();
        }
        let others = holders.keys().filter(|port| wished.warm && !uplinks.contains_key(port));
        self.unshape(others);

        let row = there.map(|(row, _)| row);
        let lacking = |port: &&Port| row.is_none() || port.qos != row;
        let ports: BTreeSet<RowId> =
            uplinks.iter().filter(|(_, port)| lacking(port)).map(|(row, _)| *row).collect();
        let same = there.is_some_and(|(_, qos)| {
            let rows = qos.queues.iter().map(|(number, row)| (*number, RowOr::Row(*row)));
            rows.eq(queues.iter().map(|(number, queue)| (*number, queue.clone())))
        });
        if !same || !ports.is_empty() {
            self.requeued = row;
            self.kept = queues.values().filter_map(row_of).collect();
            self.leaving.extend(&ports);
            let new = || Qos {
                kind: HTB.to_owned(),
                other_config: map([(MOST_RATE, MOST)]),
                external_ids: map([(ID, &*wished.id), (TYPE_OF_QOS, MINIMUM_BANDWIDTH)]),
                ..Qos::default()
            };
            let qos = row.map_or_else(|| RowOr::New(new()), RowOr::Row);
            self.changes.push(QosChange::Shape { ports, qos, queues });
        }
        true
    }

    /// The queues that there are to be. One that is there stays as long as nobody can tell whether
    /// its port still wants it; others in the QoS are none of our business.
    fn queues(
        &mut self,
        wished: &Wished,
        there: Option<(RowId, &Qos)>,
    ) -> BTreeMap<i64, RowOr<Queue>> {
        let replica = self.replica;
        let stays = |queue: &Queue| {
            let kind = queue.external_ids.get(TYPE_OF_QUEUE);
            let ours = kind.is_some_and(|kind| kind == MINIMUM_BANDWIDTH);
            let port = queue.external_ids.get(PORT);
            !ours || !wished.warm || port.is_some_and(|port| wished.unknown.contains(port))
        };
        let old = there.into_iter().flat_map(|(_, qos)| &qos.queues);
        let old = old.filter(|(_, row)| replica.queues.get(row).is_some_and(stays));
        let mut queues: BTreeMap<i64, RowOr<Queue>> =
            old.map(|(number, row)| (*number, RowOr::Row(*row))).collect();
        if wished.ports.is_empty() {
            return queues;
        }
        let known: BTreeMap<&BTreeMap<String, String>, RowId> =
            replica.queues.iter().map(|(row, queue)| (&queue.external_ids, *row)).collect();
        for (id, (number, least)) in &wished.ports {
            let wanted = queue(*id, *number, *least);
            let found = known.get(&wanted.external_ids);
            let found = found.and_then(|row| Some((*row, replica.queues.get(row)?)));
            let entry = match found {
                Some((row, there)) => {
                    self.adjust_queue(row, there, &wanted);
                    RowOr::Row(row)
                }
                None => RowOr::New(wanted),
            };
            queues.insert(*number, entry);
        }
        queues
    }

    /// What somebody else has set of the queue stays.
    fn adjust_queue(&mut self, row: RowId, there: &Queue, wanted: &Queue) {
        let mut other_config = wanted.other_config.clone();
        let others = there.other_config.iter().filter(|(key, _)| *key != LEAST_RATE);
        other_config.extend(others.map(|(key, value)| (key.clone(), value.clone())));
        if there.other_config != other_config {
            self.changes.push(QosChange::SetQueue { queue: row, other_config });
        }
    }

    fn unshape<'p>(&mut self, ports: impl Iterator<Item = &'p RowId>) {
        for port in ports {
            self.leaving.insert(*port);
            self.changes.push(QosChange::Unshape { port: *port });
        }
    }
}

/// The ports of physical bridges that are network devices of the host.
fn uplinks<'r>(replica: &'r Replica, bridges: &[String]) -> BTreeMap<RowId, &'r Port> {
    let bridges = bridges.iter().filter_map(|name| Some(replica.bridge(name)?.1));
    let ports = bridges.flat_map(|bridge| &bridge.ports);
    let ports = ports.filter_map(|row| Some((*row, replica.ports.get(row)?)));
    let is_device = |row: &RowId| {
        replica.interfaces.get(row).is_some_and(|it| DEVICES.contains(&it.kind.as_str()))
    };
    ports
        .filter(|(_, port)| !port.interfaces.is_empty() && port.interfaces.iter().all(is_device))
        .collect()
}

/// The queue of a port.
fn queue(id: PortId, number: i64, least: Kbps) -> Queue {
    let (id, number) = (id.to_string(), number.to_string());
    Queue {
        other_config: map([(LEAST_RATE, u64::from(least.get()) * KILO), (MOST_RATE, MOST)]),
        external_ids: map([
            (PORT, &*id),
            (TYPE_OF_QUEUE, MINIMUM_BANDWIDTH),
            (QUEUE_NUMBER, &*number),
        ]),
    }
}

fn row_of(queue: &RowOr<Queue>) -> Option<RowId> {
    match queue {
        RowOr::Row(row) => Some(*row),
        RowOr::New(_) => None,
    }
}
