//! Carrying a plan out. Everything here hands work to a task and returns at once; what comes of
//! it is an [`Event`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use neutron::object::ResourceType;
use neutron::rpc::{AgentState, Configurations, OvsCapabilities, ReportState, TunnelSync};
use ovsdb::{
    Bridge, Condition, Datum, Interface, OpResult, Port, Qos, Queue, Row, TableRow as _,
    Transaction,
};
use tokio::time::Instant;

use super::report::send_report;
use super::{Node, Sent};
use crate::bridge::BridgeId;
use crate::cache::{Asking, Query};
use crate::conntrack::{self, Affected, Datapath, Rules};
use crate::control;
use crate::event::{Cut, Event, Peer, Reported};
use crate::inventory::Tagging;
use crate::links::PATCH;
use crate::netfilter;
use crate::plan::{Handover, Plan, QosChange, Wiring, apart, datapath, plan};
use crate::tunnel::TunnelConfig;

/// The fail mode of a bridge that drops what no flow matches.
const SECURE: &str = "secure";
/// The mode of a port that is in one VLAN alone.
const ACCESS: &str = "access";

impl Node {
    /// Decides what to do, and does it.
    pub(super) fn reconcile(&mut self) {
        self.decide();
        self.ask();
        self.tell_of_trunks();
        self.secure_bridges();
        self.wire_bridges();
        self.write_tags();
        self.write_limits();
        self.change_meters();
        self.change_netfilter();
        self.hand_over();
        let settled = !self.plan.bundles.contains_key(&BridgeId::Integration);
        self.send_bundles();
        if settled && self.settle() {
            self.decide();
        }
        self.cut_connections();
        self.clear_zones();
        self.rewire();
        self.report();
    }

    fn decide(&mut self) {
        self.plan = plan(&mut self.inventory);
        if self.plan.warm && !self.inventory.warm {
            tracing::debug!("everything that is plugged in is known");
        }
        self.inventory.warm |= self.plan.warm;
        self.inventory.forget_settled(&self.plan);
        if self.plan.warm {
            self.inventory.cache.keep_only(&self.plan.queries);
        }
    }

    fn ask(&mut self) {
        if self.rests.is_resting(Peer::Server) {
            return;
        }
        // Rules become flows, and those that are there already need not be made a second time.
        let mut early = BTreeSet::new();
        let wanted = if self.reading {
            let can_wait = |query: &&Query| matches!(query, Query::Rules(_));
            early.extend(self.plan.queries.iter().filter(|query| !can_wait(query)));
            &early
        } else {
            &self.plan.queries
        };
        for question in self.inventory.cache.ask(wanted) {
            let Some(call) = question.call() else { continue };
            let caller = self.caller.clone();
            self.spawn(async move {
                let answer = match call {
                    Asking::Bulk(call) => caller.call(call).await,
                    Asking::One(call) => caller.call(call).await.map(Vec::from_iter),
                };
                Event::Answered(question, answer)
            });
        }
        self.ask_for_ends();
    }

    /// Makes the integration bridge and the tunnel bridge where they are missing; the others are for
    /// their owners to make.
    /// Every bridge is made secure: in fail mode standalone ovs-vswitchd would let everybody reach
    /// everybody whenever it starts before the agent. One at a time.
    fn secure_bridges(&mut self) {
        let Some(replica) = &self.inventory.replica else { return };
        if self.busy.bridge
            || self.rests.is_resting(Peer::Database)
            || replica.open_vswitch.is_empty()
        {
            return;
        }
        let database = self.database.clone();
        let tunnels = self.config.tunnel.iter().map(|tunnel| &tunnel.bridge);
        let mut own = std::iter::once(&self.config.integration_bridge).chain(tunnels);
        if let Some(name) = own.find(|name| replica.bridge(name).is_none()) {
            tracing::info!(bridge = name, "making the bridge");
            self.busy.bridge = true;
            let datapath_type = &self.config.datapath_type;
            let transaction = Transaction::new().add_bridge(name, datapath_type, Some(SECURE));
            self.spawn(async move {
                Event::BridgeMade(database.transact(transaction).await.map(|_| ()))
            });
            return;
        }
        let insecure = self.inventory.bridges().find_map(|(bridge, name)| {
            let (row, it) = replica.bridge(name)?;
            (it.fail_mode.as_deref() != Some(SECURE)).then_some((bridge, name, row))
        });
        if let Some((bridge, name, row)) = insecure {
            tracing::warn!(bridge = name, "setting the bridge's fail mode to secure");
            self.busy.bridge = true;
            let secure = Row::new().with("fail_mode", SECURE);
            let transaction = Transaction::new()
                .update(Bridge::TABLE, vec![Condition::row(row)], secure)
                .bump_next_cfg();
            self.spawn(async move {
                let result = database.transact(transaction).await;
                Event::BridgeSecured(bridge, result.map(|results| configuration(&results)))
            });
        }
    }

    /// Whether the bridge drops what no flow matches.
    fn is_secure(&self, bridge: BridgeId) -> bool {
        let Some(replica) = &self.inventory.replica else { return false };
        let row = replica.bridge(&self.name(bridge));
        row.is_some_and(|(_, bridge)| bridge.fail_mode.as_deref() == Some(SECURE))
    }

    /// Makes and sets the ports that join bridges.
    fn wire_bridges(&mut self) {
        let nothing = self.plan.wiring.is_empty() || self.busy.wiring;
        if nothing || self.rests.is_resting(Peer::Database) {
            return;
        }
        let mut transaction = Transaction::new().comment("weir: ports between bridges");
        for change in std::mem::take(&mut self.plan.wiring) {
            transaction = match change {
                Wiring::Add { bridge, port, kind, options } => {
                    transaction.add_port(bridge, &port, &kind, &options, &BTreeMap::new())
                }
                Wiring::Remove { bridge, port } => transaction.del_port(bridge, port),
                Wiring::Set { interface, options } => {
                    transaction.set_keys::<Interface>(interface, "options", &options)
                }
                Wiring::SetBridge { bridge, snooping, other_config } => {
                    let of_bridge = || vec![Condition::row(bridge)];
                    let snoops = |snoops: bool| Row::new().with("mcast_snooping_enable", snoops);
                    let snooping = snooping.map(snoops);
                    let transaction = snooping
                        .into_iter()
                        .fold(transaction, |it, row| it.update(Bridge::TABLE, of_bridge(), row));
                    transaction.set_keys::<Bridge>(bridge, "other_config", &other_config)
                }
                Wiring::SetPort { port, other_config } => {
                    transaction.set_keys::<Port>(port, "other_config", &other_config)
                }
                Wiring::AddEnd { bridge, port, tag, is_access, options, external_ids } => {
                    let mode = if is_access { ACCESS.into() } else { Datum::empty() };
                    let row = Row::new().with("tag", tag).with("vlan_mode", mode);
                    let added = vec![Condition::equal("name", port.as_str())];
                    transaction.add_port(bridge, &port, PATCH, &options, &external_ids).update(
                        Port::TABLE,
                        added,
                        row,
                    )
                }
                Wiring::SetAccess { port, tag } => {
                    let row = Row::new().with("tag", tag).with("vlan_mode", ACCESS);
                    transaction.update(Port::TABLE, vec![Condition::row(port)], row)
                }
                Wiring::Note { interface, external_ids } => {
                    transaction.set_keys::<Interface>(interface, "external_ids", &external_ids)
                }
                Wiring::NoteBridge { bridge, external_ids } => {
                    transaction.set_keys::<Bridge>(bridge, "external_ids", &external_ids)
                }
                Wiring::Identify { bridge, datapath_id } => {
                    tracing::warn!(datapath_id, "two bridges have one datapath id; changing it");
                    let id = BTreeMap::from([(datapath::KEY.to_owned(), datapath_id)]);
                    transaction.set_keys::<Bridge>(bridge, "other_config", &id)
                }
            };
        }
        transaction = transaction.bump_next_cfg();
        self.busy.wiring = true;
        let database = self.database.clone();
        self.spawn(async move {
            let result = database.transact(transaction).await;
            Event::BridgesWired(result.map(|results| configuration(&results)))
        });
    }

    fn write_tags(&mut self) {
        if self.busy.tags || self.rests.is_resting(Peer::Database) || self.plan.tags.is_empty() {
            return;
        }
        let mut transaction = Transaction::new().comment("weir: VLAN tags");
        let mut rows = Vec::with_capacity(self.plan.tags.len());
        for change in std::mem::take(&mut self.plan.tags) {
            self.inventory.tagging.insert(change.row, Tagging::Sent);
            rows.push(change.row);
            transaction = transaction.set_port_tag(change.row, change.tag, &change.record);
        }
        transaction = transaction.bump_next_cfg();
        self.busy.tags = true;
        let database = self.database.clone();
        self.spawn(async move {
            let result = database.transact(transaction).await;
            Event::Tagged(rows, result.map(|results| configuration(&results)))
        });
    }

    fn write_limits(&mut self) {
        if self.busy.limits || self.rests.is_resting(Peer::Database) || self.plan.qos.is_empty() {
            return;
        }
        let mut transaction = Transaction::new().comment("weir: limits of ports");
        for change in std::mem::take(&mut self.plan.qos) {
            transaction = match change {
                QosChange::Police { interface, rate, burst } => {
                    let row = Row::new()
                        .with("ingress_policing_rate", rate)
                        .with("ingress_policing_burst", burst);
                    transaction.update(Interface::TABLE, vec![Condition::row(interface)], row)
                }
                QosChange::Shape { ports, qos, queues } => {
                    transaction.set_qos(&ports, &qos, &queues)
                }
                QosChange::Unshape { port } => {
                    let row = Row::new().with("qos", Datum::empty());
                    transaction.update(Port::TABLE, vec![Condition::row(port)], row)
                }
                QosChange::SetQos { qos, other_config } => {
                    let row = Row::new().with("other_config", other_config);
                    transaction.update(Qos::TABLE, vec![Condition::row(qos)], row)
                }
                QosChange::SetQueue { queue, other_config } => {
                    let row = Row::new().with("other_config", other_config);
                    transaction.update(Queue::TABLE, vec![Condition::row(queue)], row)
                }
                QosChange::Record { port, set, remove } => {
                    let column = "other_config";
                    let transaction = transaction.remove_keys::<Port>(port, column, remove);
                    transaction.set_keys::<Port>(port, column, &set)
                }
                QosChange::RemoveQos(row) => {
                    transaction.delete(Qos::TABLE, vec![Condition::row(row)])
                }
                QosChange::RemoveQueue(row) => {
                    transaction.delete(Queue::TABLE, vec![Condition::row(row)])
                }
            };
        }
        transaction = transaction.bump_next_cfg();
        self.busy.limits = true;
        let database = self.database.clone();
        self.spawn(async move {
            let result = database.transact(transaction).await;
            Event::Limited(result.map(|results| configuration(&results)))
        });
    }

    /// Makes, changes and deletes meters, and looks which there are then.
    fn change_meters(&mut self) {
        let nothing = self.plan.meters.is_empty() || self.busy.meters;
        if nothing || self.rests.is_resting(Peer::Meters) {
            return;
        }
        let Some(switch) = self.client(BridgeId::Integration) else { return };
        self.busy.meters = true;
        let changes = std::mem::take(&mut self.plan.meters);
        tracing::debug!(changes = changes.len(), "changing meters");
        self.spawn(async move {
            let result = switch.change_meters(changes).await;
            Event::Metered(result, switch.dump_meters().await)
        });
    }

    /// Makes a change of netfilter.
    fn change_netfilter(&mut self) {
        if self.busy.netfilter || self.rests.is_resting(Peer::Netfilter) {
            return;
        }
        if !self.inventory.netfilter.is_read() {
            self.read_netfilter();
            self.look_for_leftovers();
            return;
        }
        let Some(change) = self.plan.netfilter.take() else { return };
        self.busy.netfilter = true;
        self.inventory.netfilter.begin();
        tracing::debug!("changing netfilter");
        // Where it leaves ports to flows, the switch may still have verdicts cached that let
        // everything through, because netfilter decided.
        let control = change.lets_go().then(|| self.config.control());
        let datapath = self.datapath();
        self.spawn(async move {
            if let Some(control) = control {
                control::wait_revalidated(control).await;
            }
            Event::NetfilterChanged(change.make(datapath).await)
        });
    }

    /// Has flows know the connections of ports that netfilter has filtered until now.
    fn hand_over(&mut self) {
        let carries = std::mem::take(&mut self.plan.carries);
        if carries.is_empty() {
            return;
        }
        self.inventory.handover = Handover::UnderWay;
        let (datapath, rules) = (self.datapath(), Rules::of(&self.plan.snapshot));
        self.spawn(async move {
            Event::HandedOver(conntrack::hand_over(datapath, carries, rules).await)
        });
    }

    /// Looks once what netfilter holds where it is not to filter ports.
    fn look_for_leftovers(&mut self) {
        if self.busy.netfilter {
            return;
        }
        self.busy.netfilter = true;
        self.spawn(async move { Event::LeftoversRead(netfilter::leftovers().await) });
    }

    /// Looks what netfilter holds, where it is to filter ports: others may have changed it.
    pub(super) fn read_netfilter(&mut self) {
        if !self.inventory.netfilter.is_engaged()
            || self.busy.netfilter
            || self.rests.is_resting(Peer::Netfilter)
        {
            return;
        }
        self.busy.netfilter = true;
        self.looks.begin(Instant::now());
        let known = self.inventory.netfilter.known();
        self.spawn(async move { Event::NetfilterRead(netfilter::look(known).await) });
    }

    /// Sends to each bridge what it lacks.
    fn send_bundles(&mut self) {
        for (bridge, changes) in std::mem::take(&mut self.plan.bundles) {
            let bundles = self.sessions.get(&bridge).and_then(|session| session.bundles.clone());
            let Some(bundles) = bundles else { continue };
            if self.rests.is_resting(Peer::Switch(bridge)) || !self.may_send(bridge) {
                continue;
            }
            let Some(it) = self.inventory.bridge_mut(bridge) else { continue };
            it.bundling = true;
            let now = Instant::now();
            let damaged = it.foreign.sent(now);
            if damaged > 0 {
                let last = it.foreign.last();
                let bridge = self.inventory.name(bridge);
                tracing::warn!(bridge, damaged, last, "somebody has changed flows; mending them");
            }
            tracing::debug!(?bridge, changes = changes.len(), "sending a bundle");
            let wires = if bridge == BridgeId::Integration {
                self.recorder.sent(changes.len(), damaged, now);
                std::mem::take(&mut self.plan.wires)
            } else {
                BTreeMap::new()
            };
            if let Some(session) = self.sessions.get_mut(&bridge) {
                session.sent = Some(Sent { changes: changes.clone(), wires });
            }
            tokio::spawn(async move {
                if apart::may_come_apart(&changes) {
                    bundles.independent(changes).await;
                } else {
                    bundles.bundle(changes).await;
                }
            });
        }
    }

    /// Where the integration bridge lacks nothing that it may have, its ports are wired. Tells
    /// whether that is news.
    fn settle(&mut self) -> bool {
        let bridge = BridgeId::Integration;
        if self.client(bridge).is_none() || !self.may_send(bridge) {
            return false;
        }
        self.recorder.settled();
        let wires = std::mem::take(&mut self.plan.wires);
        let news = !self.inventory.confirmed || self.inventory.wired != wires;
        self.confirm(wires);
        news
    }

    /// Whether the bridge takes flows now. Those that are sent before the fail mode is applied go
    /// with it.
    fn may_send(&self, bridge: BridgeId) -> bool {
        let bundling = self.inventory.bridge(bridge).is_none_or(|it| it.bundling);
        !bundling && !self.busy.bridge && self.is_secure(bridge)
    }

    fn client(&self, bridge: BridgeId) -> Option<openflow::Client> {
        self.sessions.get(&bridge)?.client.clone()
    }

    /// Looks for connections that have lost their rule, where there may be some. Before everything
    /// that is plugged in is known, nobody can tell.
    pub(super) fn cut_connections(&mut self) {
        let Some(switch) = self.client(BridgeId::Integration) else { return };
        let nothing = self.affected.is_empty() || !self.inventory.warm;
        if nothing || self.busy.cut || self.rests.is_resting(Peer::Conntrack) {
            return;
        }
        self.busy.cut = true;
        let affected = std::mem::take(&mut self.affected);
        let datapath = self.datapath();
        let snapshot = Arc::clone(&self.plan.snapshot);
        self.spawn(async move {
            let result = conntrack::cut(datapath, switch, snapshot, affected.clone()).await;
            Event::Cut(Cut { affected, result })
        });
    }

    /// Clears zones that networks are to have.
    fn clear_zones(&mut self) {
        let Some(switch) = self.client(BridgeId::Integration) else { return };
        let nothing = self.plan.clearing.is_empty() || self.busy.clearing;
        if nothing || self.rests.is_resting(Peer::Conntrack) {
            return;
        }
        self.busy.clearing = true;
        let clearing = std::mem::take(&mut self.plan.clearing);
        let datapath = self.datapath();
        self.spawn(async move {
            let zones = clearing.values().map(|vlan| vlan.zone()).collect();
            let result = conntrack::clear(datapath, switch, zones).await;
            Event::Cleared(clearing, result)
        });
    }

    /// Has [`Self::cut_connections`] look there again.
    pub(super) fn cut_later(&self, affected: Affected, wait: Duration) {
        self.spawn(async move {
            tokio::time::sleep(wait).await;
            Event::CutAgain(affected)
        });
    }

    pub(super) fn datapath(&self) -> Datapath {
        let name = &self.config.integration_bridge;
        let replica = self.inventory.replica.as_ref();
        let bridge = replica
            .and_then(|replica| replica.bridges.values().find(|bridge| &bridge.name == name));
        let kind = bridge.map_or("", |bridge| bridge.datapath_type.as_str());
        Datapath::of(kind, self.config.control())
    }

    /// Tells the server where the tunnels of this node end, and asks for the others.
    fn ask_for_ends(&mut self) {
        let Some(it) = &mut self.inventory.tunnels else { return };
        let kinds = it.overlay.ask();
        let tunnel_ip = it.config.local_ip.to_string();
        for kind in kinds {
            let call = TunnelSync {
                tunnel_ip: tunnel_ip.clone(),
                tunnel_type: kind.name().to_owned(),
                host: self.config.host.clone(),
            };
            let caller = self.caller.clone();
            self.spawn(async move { Event::Ends(kind, caller.call(call).await) });
        }
    }

    fn report(&mut self) {
        let Plan { up, gone, down, .. } = &self.plan;
        let nothing = up.is_empty() && gone.is_empty() && down.is_empty();
        if nothing || self.busy.report || self.rests.is_resting(Peer::Server) {
            return;
        }
        self.busy.report = true;
        self.inventory.doubted.clear();
        let caller = self.caller.clone();
        let host = self.config.host.clone();
        let mut reported = Reported {
            up: up.iter().copied().collect(),
            gone: gone.iter().copied().collect(),
            down: down.iter().copied().collect(),
            refresh: self.plan.refresh.clone(),
            result: Ok(Vec::new()),
        };
        if let Some(it) = &mut self.inventory.tunnels {
            it.overlay.refreshing(&reported.refresh);
        }
        self.spawn(async move {
            reported.result = send_report(&caller, &host, &reported).await;
            Event::Reported(reported)
        });
    }

    pub(super) fn send_heartbeat(&self) {
        let caller = self.caller.clone();
        let call = ReportState { agent_state: self.agent_state(), time: crate::clock::utc_now() };
        self.spawn(async move { Event::Heartbeat(caller.call(call).await) });
    }

    fn agent_state(&self) -> AgentState {
        let types = |select: fn(&ovsdb::OpenVswitch) -> &BTreeSet<String>| {
            let replica = self.inventory.replica.as_ref();
            let row = replica.and_then(|replica| replica.open_vswitch.values().next());
            row.map(|row| select(row).iter().cloned().collect()).unwrap_or_default()
        };
        let identity = &self.config.identity;
        let tunnel = self.config.tunnel.as_ref();
        let types_of = |tunnel: Option<&TunnelConfig>| {
            let types = tunnel.into_iter().flat_map(|it| &it.types);
            types.map(|kind| kind.name().to_owned()).collect()
        };
        AgentState {
            agent_type: AgentState::OPEN_VSWITCH.to_owned(),
            binary: identity.binary.clone(),
            host: self.config.host.clone(),
            topic: AgentState::NO_TOPIC.to_owned(),
            configurations: Configurations {
                bridge_mappings: self.config.bridge_mappings.clone(),
                integration_bridge: self.config.integration_bridge.clone(),
                datapath_type: self.config.datapath_type.clone(),
                ovs_capabilities: OvsCapabilities {
                    datapath_types: types(|row| &row.datapath_types),
                    iface_types: types(|row| &row.iface_types),
                },
                tunnel_types: types_of(tunnel),
                tunneling_ip: tunnel.map(|it| it.local_ip.to_string()),
                l2_population: tunnel.is_some_and(|it| it.l2_population),
                arp_responder_enabled: tunnel.is_some_and(|it| it.arp_responder),
                ovs_hybrid_plug: self.config.firewall.is_hybrid(),
                devices: u64::try_from(self.plan.ports.len()).unwrap_or(u64::MAX),
                extensions: identity.extensions.clone(),
                log_agent_heartbeats: identity.log_heartbeats,
                vhostuser_socket_dir: identity.vhostuser_socket_dir.clone(),
                extra: identity.further.clone(),
                ..Configurations::default()
            },
            start_flag: !self.started,
            resource_versions: if self.started {
                BTreeMap::new()
            } else {
                // A server that is told of a version that it does not have pushes none any more.
                ResourceType::ALL
                    .into_iter()
                    .filter(|kind| kind.oldest() == kind.version())
                    .map(|kind| (kind.name().to_owned(), kind.version().to_owned()))
                    .collect()
            },
            uuid: Some(uuid::Uuid::new_v4().to_string()),
        }
    }

    pub(super) fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
        let events = self.events.clone();
        tokio::spawn(async move {
            // The loop may have ended meanwhile; then nobody needs the result.
            let _ = events.send(work.await).await;
        });
    }
}

/// The `next_cfg` that the select at the end of a transaction read.
fn configuration(results: &[OpResult]) -> i64 {
    results
        .iter()
        .rev()
        .find_map(|result| match result {
            OpResult::Selected(rows) => rows.first()?.get("next_cfg").ok(),
            _ => None,
        })
        .unwrap_or(0)
}
