//! What QoS policies do to ports: bandwidth limits, as rows of the database or as meters; what is set
//! aside for them ([`guarantee`]); meters of packets; and what flows are to do. Pure.
//!
//! Rows, keys and units are those of Neutron's agent, so that either finds what the other has
//! written: what a virtual machine sends is policed at its interface; what it gets is shaped by a
//! queue of its port (`linux-htb`), or policed where Open vSwitch itself moves the packets of the
//! interface (`egress-policer`).
//!
//! A port whose policy is not known yet keeps what it has, and so does everybody until the server
//! has described what is plugged in.

mod guarantee;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dataplane::{PortMeters, PortQos};
use model::{BandwidthLimit, Direction, PortId, QosPolicy};
use ovsdb::{Interface, Qos, Queue, Replica, RowId, RowOr};
use peer::chain;

use super::Plan;
use crate::cache::{Binding, Query};
use crate::inventory::Inventory;
use crate::meter::{self, Limit, Unit, Use, Wanted};
use crate::plugged::Plug;

/// Keys and values of `external_ids`.
const ID: &str = "id";
const TYPE_OF_QOS: &str = "_type";
const TYPE_OF_QUEUE: &str = "type";
const PORT: &str = "port";
const QUEUE_NUMBER: &str = "queue-num";
const BANDWIDTH_LIMIT: &str = "bandwidth_limit";
const MINIMUM_BANDWIDTH: &str = "minimum_bandwidth";
/// The queue that everything is in which is in no other.
const DEFAULT_QUEUE: i64 = 0;
/// Types of QoS.
const HTB: &str = "linux-htb";
const POLICER: &str = "egress-policer";
/// The rate of a QoS that only its queues limit, in bits a second.
const MOST: u64 = (1 << 35) - 1;
/// Types of interfaces whose packets never pass the kernel.
const VHOST: [&str; 2] = ["dpdkvhostuser", "dpdkvhostuserclient"];
const KILO: u64 = 1000;
const BITS: u64 = 8;

/// A change of what limits a port, or of what did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QosChange {
    /// What comes in by an interface is policed otherwise; by 0 not at all.
    Police {
        /// The interface.
        interface: RowId,
        /// Kilobits a second.
        rate: i64,
        /// Kilobits.
        burst: i64,
    },
    /// What leaves by ports gets a QoS.
    Shape {
        /// The ports that do not have it yet.
        ports: BTreeSet<RowId>,
        /// The QoS.
        qos: RowOr<Qos>,
        /// All its queues by their numbers.
        queues: BTreeMap<i64, RowOr<Queue>>,
    },
    /// What leaves by a port has no QoS any more.
    Unshape {
        /// The port.
        port: RowId,
    },
    /// A QoS has other settings.
    SetQos {
        /// The QoS.
        qos: RowId,
        /// All its settings.
        other_config: BTreeMap<String, String>,
    },
    /// A queue has other settings.
    SetQueue {
        /// The queue.
        queue: RowId,
        /// All its settings.
        other_config: BTreeMap<String, String>,
    },
    /// A port has other meters.
    Record {
        /// The port.
        port: RowId,
        /// Keys of its `other_config` that get these values.
        set: BTreeMap<String, String>,
        /// Keys of it that go.
        remove: BTreeSet<String>,
    },
    /// A QoS of ours that no port has.
    RemoveQos(RowId),
    /// A queue of ours that no QoS has.
    RemoveQueue(RowId),
}

/// The QoS policies of ports.
#[derive(Debug, Default)]
pub(super) struct Policies {
    /// Of each port for which it is known, the policy, if it has one.
    settled: BTreeMap<PortId, Option<Arc<QosPolicy>>>,
    /// Ports whose policy makes no sense, and why.
    broken: Vec<(PortId, String)>,
    /// The meters that they need.
    meters: Wanted,
}

/// Which policy each port has, as far as the server has said. Asks for policies that are not known.
/// Until they are, flows of an earlier agent that carry out what they say are to stay.
pub(super) fn policies(
    inventory: &Inventory,
    plugged: &BTreeMap<PortId, Plug>,
    plan: &mut Plan,
) -> Policies {
    let mut policies = Policies::default();
    if !inventory.extensions.qos {
        return policies;
    }
    let cache = &inventory.cache;
    for id in plugged.keys() {
        let Some(Ok(known)) = cache.port(*id) else { continue };
        if known.binding == Binding::Elsewhere {
            continue;
        }
        let Some(policy) = cache.qos_policy_of(*id) else {
            policies.settled.insert(*id, None);
            continue;
        };
        let query = Query::QosPolicy(policy);
        plan.queries.insert(query);
        match cache.qos_policy(policy) {
            Some(Ok(policy)) => {
                policies.settled.insert(*id, Some(Arc::clone(policy)));
            }
            Some(Err(error)) => policies.broken.push((*id, chain(error))),
            // Deleted meanwhile.
            None if cache.is_known(query) => {
                policies.settled.insert(*id, None);
            }
            None => plan.warm = false,
        }
    }
    let mut limits = BTreeMap::new();
    for (port, policy) in &policies.settled {
        let Some(policy) = policy else { continue };
        let port = *port;
        for (direction, limit) in &policy.packet_rate {
            let at = Use { port, unit: Unit::Packets, direction: *direction };
            limits.insert(at, Limit::from(*limit));
        }
        if !inventory.extensions.meters_bandwidth {
            continue;
        }
        for (direction, limit) in &policy.bandwidth {
            let at = Use { port, unit: Unit::Kilobits, direction: *direction };
            limits.insert(at, Limit::from(*limit));
        }
    }
    policies.meters = inventory.meters.assign(&limits, plugged);
    policies
}

impl Policies {
    /// What flows are to do to the traffic of a port. Until its policy is known, what they did.
    pub(super) fn in_flows(&self, inventory: &Inventory, id: PortId) -> PortQos {
        // A flow that names a meter which is not there is refused.
        let meter = |unit, direction| {
            let (meter, _) = self.meters.get(&Use { port: id, unit, direction })?;
            inventory.meters.has(*meter).then_some(*meter)
        };
        let meters = |direction| PortMeters {
            packets: meter(Unit::Packets, direction),
            bandwidth: meter(Unit::Kilobits, direction),
        };
        match self.settled.get(&id) {
            Some(policy) => PortQos {
                dscp: policy.as_ref().and_then(|policy| policy.dscp),
                queue: policy.as_ref().is_some_and(|policy| guarantee::of(policy).is_some()),
                egress: meters(Direction::Egress),
                ingress: meters(Direction::Ingress),
            },
            None => inventory.wired.get(&id).map(|wired| wired.local.qos).unwrap_or_default(),
        }
    }
}

/// Plans what the database has otherwise, and the meters of the switch. Of the inventory, it takes
/// note of which meter is whose.
pub(super) fn limit(
    inventory: &mut Inventory,
    replica: &Replica,
    plugged: &BTreeMap<PortId, Plug>,
    policies: Policies,
    plan: &mut Plan,
) {
    if !inventory.extensions.qos {
        return;
    }
    for (id, error) in policies.broken {
        let warning = format!("its QoS policy does not apply: {error}");
        plan.ports.entry(id).and_modify(|view| view.warnings.push(warning));
    }
    let mut limits = Limits::new(replica);
    let none = BTreeMap::new();
    for (id, policy) in &policies.settled {
        let Some(plug) = plugged.get(id) else { continue };
        let bandwidth = policy.as_ref().map(|policy| &policy.bandwidth);
        let in_rows = bandwidth.filter(|_| !inventory.extensions.meters_bandwidth);
        limits.port(plug, in_rows.unwrap_or(&none));
        limits.record(*id, plug, &policies.meters);
    }
    let warm = inventory.warm || plan.warm;
    let wished = guarantee::wished(inventory, plugged, &policies.settled, warm);
    if !limits.guarantee(&wished) {
        for id in wished.ports.keys() {
            let warning = "nothing is set aside for it: no physical bridge has a network device";
            plan.ports.entry(*id).and_modify(|view| view.warnings.push(warning.to_owned()));
        }
    }
    if warm {
        limits.clean_up();
    }
    plan.qos = limits.changes;

    let meters = policies.meters;
    if let Some(refused) = &inventory.meters.refused {
        let lacking = meters.iter().filter(|(_, (meter, _))| !inventory.meters.has(*meter));
        for (Use { port, direction, .. }, _) in lacking {
            let warning = format!("the switch refused the meter of its {direction}: {refused}");
            plan.ports.entry(*port).and_modify(|view| view.warnings.push(warning));
        }
    }
    let flows = &inventory.integration.flows;
    let installed = flows.installed().into_iter().flat_map(|flows| flows.iter());
    let all = installed.chain(flows.desired().flows.iter()).map(|flow| &**flow);
    let may_delete = warm && !inventory.integration.bundling;
    plan.meters = inventory.meters.changes(&meters, may_delete, all);
    inventory.meters.assigned = meters.into_iter().map(|(at, (meter, _))| (at, meter)).collect();
}

/// What is to change, as far as ports were looked at.
struct Limits<'a> {
    replica: &'a Replica,
    /// Ports that leave their QoS.
    leaving: BTreeSet<RowId>,
    /// The QoS of what is set aside, where it gets other queues.
    requeued: Option<RowId>,
    /// Queues that it has then and that are there.
    kept: BTreeSet<RowId>,
    changes: Vec<QosChange>,
}

impl<'a> Limits<'a> {
    fn new(replica: &'a Replica) -> Self {
        Self {
            replica,
            leaving: BTreeSet::new(),
            requeued: None,
            kept: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    fn port(&mut self, plug: &Plug, bandwidth: &BTreeMap<Direction, BandwidthLimit>) {
        let Some(port) = self.replica.ports.get(&plug.row) else { return };
        let mut interfaces = port.interfaces.iter();
        let found = interfaces.find_map(|row| {
            let interface = self.replica.interfaces.get(row)?;
            (*interface.name == *plug.interface).then_some((*row, interface))
        });
        let Some((row, interface)) = found else { return };
        self.police(row, interface, bandwidth.get(&Direction::Egress));

        let there = port.qos.and_then(|row| Some((row, self.replica.qos.get(&row)?)));
        let there = there.filter(|(_, qos)| is_of(qos, &port.name));
        match bandwidth.get(&Direction::Ingress) {
            Some(limit) => {
                let (qos, queues) = wanted(interface, &port.name, *limit);
                let adjusted = there.is_some_and(|(row, it)| self.adjust(row, it, &qos, &queues));
                if !adjusted {
                    self.leaving.insert(plug.row);
                    let (ports, qos) = (BTreeSet::from([plug.row]), RowOr::New(qos));
                    let new = |(number, queue)| (number, RowOr::New(queue));
                    let queues = queues.into_iter().map(new).collect();
                    self.changes.push(QosChange::Shape { ports, qos, queues });
                }
            }
            None => {
                if there.is_some() {
                    self.leaving.insert(plug.row);
                    self.changes.push(QosChange::Unshape { port: plug.row });
                }
            }
        }
    }

    /// The numbers of its meters, for the next agent.
    fn record(&mut self, id: PortId, plug: &Plug, meters: &Wanted) {
        let there = &plug.record.other_config;
        let of_port = meters.range(Use::every(id));
        let wanted: BTreeMap<String, String> =
            of_port.map(|(at, (meter, _))| (at.key(), meter.to_string())).collect();
        let remove: BTreeSet<String> = there
            .keys()
            .filter(|key| meter::is_key(key) && !wanted.contains_key(*key))
            .cloned()
            .collect();
        let set: BTreeMap<_, _> =
            wanted.into_iter().filter(|(key, value)| there.get(key) != Some(value)).collect();
        if !remove.is_empty() || !set.is_empty() {
            self.changes.push(QosChange::Record { port: plug.row, set, remove });
        }
    }

    /// What the virtual machine sends comes in here.
    fn police(&mut self, row: RowId, interface: &Interface, limit: Option<&BandwidthLimit>) {
        let (rate, burst) = limit.map_or((0, 0), |limit| (limit.rate.get(), burst(*limit)));
        let (rate, burst) = (i64::from(rate), i64::from(burst));
        let there = (interface.ingress_policing_rate, interface.ingress_policing_burst);
        if there != (rate, burst) {
            self.changes.push(QosChange::Police { interface: row, rate, burst });
        }
    }

    /// Brings a QoS that is there to what is wanted. Tells whether it can be.
    fn adjust(
        &mut self,
        row: RowId,
        there: &Qos,
        qos: &Qos,
        queues: &BTreeMap<i64, Queue>,
    ) -> bool {
        if there.kind != qos.kind || !there.queues.keys().eq(queues.keys()) {
            return false;
        }
        let pairs = there.queues.values().zip(queues.values());
        let pairs = pairs.map(|(row, queue)| Some((*row, self.replica.queues.get(row)?, queue)));
        let Some(pairs) = pairs.collect::<Option<Vec<_>>>() else { return false };
        if there.other_config != qos.other_config {
            let other_config = qos.other_config.clone();
            self.changes.push(QosChange::SetQos { qos: row, other_config });
        }
        for (queue, there, wanted) in pairs {
            if there.other_config != wanted.other_config {
                let other_config = wanted.other_config.clone();
                self.changes.push(QosChange::SetQueue { queue, other_config });
            }
        }
        true
    }

    /// Rows of ours that nobody refers to would stay for good.
    fn clean_up(&mut self) {
        let stay = self.replica.ports.iter().filter(|(row, _)| !self.leaving.contains(row));
        let referred: BTreeSet<RowId> = stay.filter_map(|(_, port)| port.qos).collect();
        let rows = self.replica.qos.iter();
        let gone: BTreeSet<RowId> = rows
            .filter(|(row, qos)| !referred.contains(row) && is_ours(qos))
            .map(|(row, _)| *row)
            .collect();
        let is_kept = |row: &RowId| !gone.contains(row) && self.requeued != Some(*row);
        let kept = self.replica.qos.iter().filter(|(row, _)| is_kept(row));
        let mut kept: BTreeSet<RowId> =
            kept.flat_map(|(_, qos)| qos.queues.values().copied()).collect();
        kept.extend(&self.kept);
        let queues = self.replica.queues.iter();
        let queues = queues.filter(|(row, queue)| !kept.contains(row) && is_ours_too(queue));
        let queues: Vec<RowId> = queues.map(|(row, _)| *row).collect();
        self.changes.extend(gone.into_iter().map(QosChange::RemoveQos));
        self.changes.extend(queues.into_iter().map(QosChange::RemoveQueue));
    }
}

/// Whether a QoS is the bandwidth limit of a port of this name.
fn is_of(qos: &Qos, port: &str) -> bool {
    let noted = |key: &str| qos.external_ids.get(key).map(String::as_str);
    let ours = qos.kind == POLICER || noted(TYPE_OF_QOS) == Some(BANDWIDTH_LIMIT);
    ours && noted(ID) == Some(port)
}

/// Whether a QoS is of a kind that only agents like this one make.
fn is_ours(qos: &Qos) -> bool {
    let of_port = qos.external_ids.get(ID).is_some_and(|port| is_of(qos, port));
    of_port || guarantee::is_guarantee(qos)
}

/// The same of a queue.
fn is_ours_too(queue: &Queue) -> bool {
    let kind = queue.external_ids.get(TYPE_OF_QUEUE);
    kind.is_some_and(|kind| kind == BANDWIDTH_LIMIT || kind == MINIMUM_BANDWIDTH)
}

/// How much may come at once, in kilobits: 80 percent of the rate where nobody says, as in Neutron.
fn burst(limit: BandwidthLimit) -> u32 {
    let rate = limit.rate.get();
    limit.burst.map_or(rate / 5 * 4 + rate % 5 * 4 / 5, model::Kbps::get)
}

/// The QoS of a port that gets no more than this.
fn wanted(interface: &Interface, port: &str, limit: BandwidthLimit) -> (Qos, BTreeMap<i64, Queue>) {
    let rate = u64::from(limit.rate.get()) * KILO;
    let burst = limit.burst.map_or(0, |burst| u64::from(burst.get()) * KILO);
    if VHOST.contains(&interface.kind.as_str()) {
        let qos = Qos {
            kind: POLICER.to_owned(),
            other_config: map([("cir", rate / BITS), ("cbs", burst / BITS)]),
            external_ids: map([(ID, port)]),
            ..Qos::default()
        };
        return (qos, BTreeMap::new());
    }
    let qos = Qos {
        kind: HTB.to_owned(),
        other_config: map([("max-rate", MOST)]),
        external_ids: map([(ID, port), (TYPE_OF_QOS, BANDWIDTH_LIMIT)]),
        ..Qos::default()
    };
    let number = DEFAULT_QUEUE.to_string();
    let queue = Queue {
        other_config: map([("max-rate", rate), ("burst", burst)]),
        external_ids: map([
            (PORT, port),
            (TYPE_OF_QUEUE, BANDWIDTH_LIMIT),
            (QUEUE_NUMBER, number.as_str()),
        ]),
    };
    (qos, BTreeMap::from([(DEFAULT_QUEUE, queue)]))
}

fn map<V: ToString, const N: usize>(pairs: [(&str, V); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_string())).collect()
}

#[cfg(test)]
mod tests;
