//! The event loop: takes note of events, asks `plan` what to do, and has [`execute`] do it.
//!
//! | task | takes | gives |
//! | --- | --- | --- |
//! | the loop ([`Node::run`]) | [`Event`]s | everything below |
//! | `switch::keep`, for each bridge | | [`Event::Switch`] |
//! | `database` | OVSDB events | [`Event::Database`] |
//! | `casts` | casts of the bus | [`Event::Cast`] |
//! | `path::watch` | rtnetlink | [`Event::Devices`] |
//! | `admin::serve` | connections of `weir status` and its like | [`Event::Status`], [`Event::Journal`], [`Event::View`] |
//! | one for each call, transaction, bundle and look at connections | | its result as an event |
//!
//! The loop never waits for a peer: what takes time runs in a task of its own and comes back as
//! an event. At most one bundle for each bridge, one change of tags, one report and one look at connections are
//! under way at a time, so their order is the order of the plans. The queue of events is bounded.
//! The tasks end when the loop does.

mod execute;
mod report;
mod rest;
mod rewire;
#[cfg(test)]
mod tests;
mod trunk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dataplane::FlowSet;
use dataplane::bridge::layout::Owner;
use model::{NetworkId, NetworkType, PortId, VlanTag};
use neutron::bus::{CallError, Caller, Casts};
use neutron::rpc::{AgentStatus, Cast, Tunnels};
use openflow::{BundleError, Command, FlowMod, Meter, RefusedChange, RequestError};
use peer::chain;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use self::rest::Rests;
use crate::bridge::{AnyBridge, BridgeId, Observed, Refused};
use crate::config::Config;
use crate::conntrack::{self, Affected, CutError};
use crate::control;
use crate::event::{Cut, Event, Peer, Reported, View};
use crate::inventory::{Inventory, PhysicalBridge, Report, Tagging, TunnelBridge, Wired};
use crate::journal::{Journal, Recorder};
use crate::netfilter;
use crate::overlay::Tunnelled;
use crate::plan::{Handover, Plan};
use crate::rewire::{Migrate, MoveStatus, Start, Step};
use crate::status::{Connections, Status, UnderlayStatus};
use crate::switch;

/// How long the switch may go by verdicts that it has cached, and how often connections without a
/// rule are looked for in a row.
const CACHED: Duration = Duration::from_millis(500);
const LAST_PASS: u32 = 5;

/// How much longer events are gathered while they come without a pause.
const LONGEST_GATHER: Duration = Duration::from_millis(48);

/// How long the policy of a set of groups that no port has any more stays at least: longer than
/// ovs-vswitchd takes to revalidate its cached verdicts (`max-revalidator`, 500 ms) while it has
/// nothing else to do. Then it is asked whether it has.
const LINGER: Duration = Duration::from_secs(1);

/// How much later than its answer what the server has told before it may come: they take different
/// ways. Until then nothing is taken away, so it may be long.
const OVERTAKEN: Duration = Duration::from_secs(5);

/// How long an agent that is told to stop waits for a machine that is being plugged in anew: longer
/// than that may take, and then to undo it.
const LONGEST_SWAP: Duration = Duration::from_secs(15);

/// What a server says that is asked for a type of objects which it does not have.
const NO_SUCH_RESOURCE: &str = "CallbackNotFound";

/// The agent's loop and what it owns.
pub(crate) struct Node {
    config: Arc<Config>,
    events: mpsc::Sender<Event>,
    database: ovsdb::Client,
    caller: Caller,
    sessions: BTreeMap<BridgeId, Session>,
    /// The bridge whose fail mode ovs-vswitchd has yet to apply, and `next_cfg` of it.
    securing: Option<(BridgeId, i64)>,
    /// `next_cfg` of the ports of bridges that ovs-vswitchd has yet to make.
    wiring: Option<i64>,
    /// `next_cfg` of the limits of ports that the replica has yet to show.
    limiting: Option<i64>,
    inventory: Inventory,
    plan: Plan,
    busy: Busy,
    rests: Rests,
    /// When netfilter is looked at again.
    looks: netfilter::Pace,
    affected: Affected,
    connections: Connections,
    recorder: Recorder,
    /// Whether the server has taken a heartbeat.
    started: bool,
    /// Whether the last heartbeat found no server, so that the next does not wait for its time.
    unheard: bool,
    /// Whether the flows of the integration bridge are being read for the first time.
    reading: bool,
}

/// The session with a bridge.
#[derive(Debug)]
struct Session {
    /// `None` while there is none.
    client: Option<openflow::Client>,
    /// Takes bundles; what became of them comes as [`switch::Change::Bundled`].
    bundles: Option<openflow::InOrder>,
    /// The bundle that is under way.
    sent: Option<Sent>,
    /// `ok`, or why not.
    state: String,
    /// Has `switch::keep` read the flows again.
    again: Arc<Notify>,
}

/// A bundle that is under way.
#[derive(Debug)]
struct Sent {
    changes: Vec<FlowMod>,
    /// Ports that are complete with it.
    wires: BTreeMap<PortId, Arc<Wired>>,
}

/// What is under way.
#[derive(Debug, Default)]
struct Busy {
    tags: bool,
    /// A bridge is being made, or its fail mode set.
    bridge: bool,
    wiring: bool,
    limits: bool,
    meters: bool,
    netfilter: bool,
    report: bool,
    cut: bool,
    clearing: bool,
}

impl Node {
    pub(crate) fn new(
        config: Arc<Config>,
        events: mpsc::Sender<Event>,
        database: ovsdb::Client,
        caller: Caller,
    ) -> Self {
        let mut inventory = Inventory::new(&config.host, &config.integration_bridge);
        let mappings = config.bridge_mappings.iter();
        inventory.physical = mappings.map(|(name, it)| PhysicalBridge::new(name, it)).collect();
        inventory.tunnels = config.tunnel.clone().map(TunnelBridge::new);
        inventory.permitted_ethertypes.clone_from(&config.permitted_ethertypes);
        inventory.firewall = config.firewall;
        inventory.enable_ipset = config.enable_ipset;
        inventory.strict_equivalence = config.strict_equivalence;
        inventory.forwarding = config.forwarding.clone();
        inventory.extensions = config.extensions;
        let waiting = || "not connected yet".to_owned();
        let session = || Session {
            client: None,
            bundles: None,
            sent: None,
            state: waiting(),
            again: Arc::new(Notify::new()),
        };
        Self {
            sessions: inventory.bridges().map(|(bridge, _)| (bridge, session())).collect(),
            inventory,
            config,
            events,
            database,
            caller,
            securing: None,
            wiring: None,
            limiting: None,
            plan: Plan::default(),
            busy: Busy::default(),
            rests: Rests::default(),
            looks: netfilter::Pace::new(Instant::now()),
            affected: Affected::everywhere(),
            connections: Connections {
                ovsdb: waiting(),
                switch: String::new(),
                server: waiting(),
                conntrack: "ok".to_owned(),
            },
            recorder: Recorder::new(Instant::now()),
            started: false,
            unheard: false,
            reading: true,
        }
    }

    /// The bridges to keep sessions with, and what tells that the flows of one are to be read again.
    pub(crate) fn bridges(&self) -> Vec<(BridgeId, &str, Arc<Notify>)> {
        let bridges = self.inventory.bridges();
        let again = |id| self.sessions.get(&id).map(|session| Arc::clone(&session.again));
        bridges.filter_map(|(id, name)| Some((id, name, again(id)?))).collect()
    }

    /// Runs until it is told to stop, or nobody is left who could tell. What waits in the queue is
    /// left there then, however much it is, and the data plane stays as it is; but no machine is left
    /// that is being plugged in anew.
    pub(crate) async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let mut heartbeat = tokio::time::interval(self.config.report_interval);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut planned: Option<Instant> = None;
        loop {
            let first = tokio::select! {
                _ = &mut stop => return self.leave(events).await,
                event = events.recv() => event,
                _ = heartbeat.tick() => {
                    self.send_heartbeat();
                    continue;
                }
                () = tokio::time::sleep_until(self.looks.next()) => {
                    self.looks.put_off(Instant::now());
                    self.read_netfilter();
                    continue;
                }
            };
            // A change that comes alone is not held up. What comes in a series belongs together: a
            // burst is one plan.
            let now = Instant::now();
            let gather = self.config.gather;
            let alone = planned.is_none_or(|planned| now > planned + gather);
            let deadline = if alone { now } else { now + gather };
            let mut next = first;
            let mut changed = false;
            while let Some(event) = next {
                if stop.try_recv() != Err(TryRecvError::Empty) {
                    return self.leave(events).await;
                }
                let came = event.came(Instant::now());
                if self.take(event) {
                    self.recorder.woken(came);
                    changed = true;
                }
                if Instant::now() > deadline + LONGEST_GATHER {
                    break;
                }
                next = match events.try_recv() {
                    Ok(event) => Some(event),
                    // Not with a deadline that is over: a timer takes a millisecond all the same.
                    Err(_) if changed && !alone => {
                        tokio::time::timeout_at(deadline, events.recv()).await.ok().flatten()
                    }
                    Err(_) => None,
                };
            }
            if changed {
                self.reconcile();
                planned = Some(Instant::now());
            }
        }
    }

    /// Waits until no machine is cut off by a move. Nothing else is done any more.
    async fn leave(mut self, mut events: mpsc::Receiver<Event>) {
        let deadline = Instant::now() + LONGEST_SWAP;
        while self.inventory.moves.is_any_swapping() {
            match tokio::time::timeout_at(deadline, events.recv()).await {
                Ok(Some(event)) => self.take(event),
                Ok(None) | Err(_) => return,
            };
        }
    }

    /// Takes note of an event. Tells whether the plan may be another one now.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Database(event) => self.take_database(event),
            Event::Switch(bridge, change) => self.take_switch(bridge, change),
            Event::Cast(Cast::Push { event, objects }, _) => {
                self.inventory.hear(&objects);
                self.inventory.cache.push(event, objects)
            }
            Event::Cast(Cast::Lagged, _) => {
                tracing::warn!("fell behind the server's messages; asking for everything again");
                self.distrust();
                true
            }
            Event::Cast(
                cast @ (Cast::TunnelUpdate(_)
                | Cast::TunnelDelete(_)
                | Cast::AddFdbEntries(_)
                | Cast::RemoveFdbEntries(_)
                | Cast::UpdateFdbEntries(_)),
                _,
            ) => self.inventory.tunnels.as_mut().is_some_and(|it| it.overlay.take(cast)),
            Event::Ends(kind, result) => self.take_ends(kind, result),
            Event::Told(told) => {
                if let Some(it) = &mut self.inventory.tunnels {
                    it.overlay.settle(&told);
                }
                true
            }
            Event::BusClosed => {
                "the server has gone".clone_into(&mut self.connections.server);
                false
            }
            Event::Answered(question, Ok(objects)) => {
                self.rests.succeeded(Peer::Server);
                self.inventory.hear(&objects);
                self.inventory.cache.answer(&question, objects);
                true
            }
            // A server without the service plugin says so of every trunk.
            Event::Answered(question, Err(CallError::Failure { failure, .. }))
                if question.is_for_trunk() && failure.class == NO_SUCH_RESOURCE =>
            {
                tracing::warn!(%failure, "the server does not know trunks");
                self.inventory.cache.answer(&question, Vec::new());
                true
            }
            Event::Answered(question, Err(error)) => {
                self.inventory.cache.unanswered(&question);
                self.server_failed(&error);
                false
            }
            Event::Heartbeat(result) => self.take_heartbeat(result),
            Event::Reported(reported) => self.take_report(reported),
            Event::SubportsBound(trunk, result) => self.take_bound(trunk, result),
            Event::TrunkTold(trunk, status, result) => self.take_trunk(trunk, status, result),
            Event::Tagged(rows, result) => self.take_tags(rows, result),
            Event::BridgeMade(result) => {
                self.busy.bridge = false;
                if let Err(error) = result {
                    tracing::warn!(error = chain(&error), "cannot make the integration bridge");
                    self.retry_later(Peer::Database);
                }
                false
            }
            Event::BridgeSecured(bridge, Ok(configuration)) => {
                self.securing = Some((bridge, configuration));
                self.take_applied()
            }
            Event::BridgeSecured(bridge, Err(error)) => {
                self.busy.bridge = false;
                let bridge = self.name(bridge);
                tracing::warn!(bridge, error = chain(&error), "cannot set the fail mode");
                self.retry_later(Peer::Database);
                false
            }
            Event::BridgesWired(Ok(configuration)) => {
                self.wiring = Some(configuration);
                self.take_applied()
            }
            Event::BridgesWired(Err(error)) => {
                self.busy.wiring = false;
                tracing::warn!(error = chain(&error), "cannot make the ports between bridges");
                self.retry_later(Peer::Database);
                false
            }
            Event::Limited(Ok(configuration)) => {
                self.limiting = Some(configuration);
                self.take_limited()
            }
            Event::Limited(Err(error)) => {
                self.busy.limits = false;
                tracing::warn!(error = chain(&error), "cannot write the limits of ports");
                self.retry_later(Peer::Database);
                false
            }
            Event::Metered(result, meters) => self.take_meters(result, meters),
            Event::Devices(sight) => self.inventory.devices.take(sight),
            Event::NetfilterRead(look) => {
                self.busy.netfilter = false;
                let is_other = self.inventory.netfilter.read(look);
                self.looks.end(Instant::now(), self.inventory.netfilter.is_counted());
                self.take_netfilter();
                // A change may have waited for it.
                is_other || self.plan.netfilter.is_some()
            }
            Event::LeftoversRead(installed) => {
                self.busy.netfilter = false;
                // Meanwhile it may have been given something to do, and is read otherwise then.
                if !self.inventory.netfilter.is_engaged() {
                    self.inventory.netfilter.read(Ok(installed));
                }
                true
            }
            Event::NetfilterChanged(changed) => {
                self.busy.netfilter = false;
                self.looks.put_off(Instant::now());
                if let Ok(count @ 1..) = self.inventory.netfilter.take(changed) {
                    tracing::info!(count, "judged connections of ports behind Linux bridges anew");
                }
                self.take_netfilter();
                true
            }
            Event::HandedOver(result) => {
                match result {
                    Ok(carried) => tracing::info!(carried, "flows go on with connections"),
                    Err(error) => {
                        let error = chain(&error);
                        tracing::warn!(error, "flows do not know the connections of netfilter");
                    }
                }
                self.inventory.handover = Handover::Done;
                true
            }
            Event::Mend(bridge) => {
                if let Some(bridge) = self.inventory.bridge_mut(bridge) {
                    bridge.foreign.release();
                }
                true
            }
            Event::Cut(cut) => {
                self.take_cut(cut);
                false
            }
            Event::Cleared(zones, result) => self.take_cleared(zones, result),
            Event::CutAgain(affected) => {
                self.affected.merge(affected);
                self.cut_connections();
                false
            }
            Event::LookedForHalves => {
                self.inventory.moves.start = Start::Clean;
                true
            }
            Event::Rewired => true,
            Event::Prepared(port, result) => self.take_step(port, result, Step::Doubling),
            Event::Settled(port, result) => self.take_step(port, result, Step::Ready),
            Event::Swapped(port, result) => self.take_swapped(port, result),
            Event::Migrate(migrate, reply) => {
                let result = self.migrate(&migrate);
                let changed = result.is_ok();
                let _ = reply.send(result);
                changed
            }
            Event::Moves(reply) => {
                let _ = reply.send(self.moves(|_| true));
                false
            }
            Event::Status(reply) => {
                // Whoever asked may have gone away; that is no matter of ours.
                let _ = reply.send(self.status());
                false
            }
            Event::Journal(after, reply) => {
                let _ = reply.send(self.recorder.journal(after));
                false
            }
            Event::Faded(sets) => {
                self.inventory.fade(&sets);
                self.inventory.integration.fade();
                true
            }
            Event::View(reply) => {
                let snapshot = Arc::clone(&self.plan.snapshot);
                let names = self.inventory.cache.names();
                let desired = self.inventory.integration.flows.desired().clone();
                let netfilter = &self.inventory.netfilter;
                let filtered = netfilter.node().map(Arc::clone);
                let changes = filtered.is_some() && !netfilter.is_as_desired();
                let busy = self.inventory.integration.bundling || changes;
                let _ = reply.send(View { snapshot, desired, names, filtered, busy });
                false
            }
            Event::Retry(peer) => {
                self.rests.over(peer);
                if peer == Peer::Server && self.unheard {
                    self.send_heartbeat();
                }
                if let Peer::Refusals(bridge) = peer
                    && let Some(bridge) = self.inventory.bridge_mut(bridge)
                {
                    for refused in bridge.refused.values_mut() {
                        refused.retry = true;
                    }
                }
                true
            }
        }
    }

    fn take_database(&mut self, event: ovsdb::Event) -> bool {
        match event {
            ovsdb::Event::Connected => "ok".clone_into(&mut self.connections.ovsdb),
            ovsdb::Event::Disconnected { reason, .. } => {
                tracing::warn!(reason, "lost the Open vSwitch database");
                self.connections.ovsdb = reason;
                return false;
            }
            ovsdb::Event::Changed => {}
        }
        self.inventory.replica = Some(self.database.replica());
        self.inventory.forget_applied_tags();
        self.take_applied();
        self.take_limited();
        true
    }

    /// Takes note of the meters that the switch has now. What it has refused is tried again later.
    fn take_meters(
        &mut self,
        result: Result<(), RequestError>,
        meters: Result<Vec<Meter>, RequestError>,
    ) -> bool {
        // Those of a connection that is gone were forgotten with it.
        let Ok(meters) = meters else { return false };
        self.busy.meters = false;
        self.inventory.meters.read(meters);
        self.inventory.meters.refused = result.err().map(|error| chain(&error));
        match &self.inventory.meters.refused {
            Some(error) => {
                tracing::warn!(error, "the switch refused a meter");
                self.retry_later(Peer::Meters);
            }
            None => self.rests.succeeded(Peer::Meters),
        }
        true
    }

    /// Takes note of whether netfilter is as it should be. What failed is tried again later.
    fn take_netfilter(&mut self) {
        match &self.inventory.netfilter.trouble {
            None => self.rests.succeeded(Peer::Netfilter),
            Some(trouble) => {
                tracing::warn!(trouble, "netfilter is not as it should be");
                self.retry_later(Peer::Netfilter);
            }
        }
    }

    /// Takes note that the replica shows the limits that were written last: from then on the plan
    /// knows what is still to be written.
    fn take_limited(&mut self) -> bool {
        let requested = self.inventory.requested();
        let is_shown = self.limiting.take_if(|configuration| *configuration <= requested).is_some();
        if is_shown {
            self.busy.limits = false;
        }
        is_shown
    }

    /// Takes note of what ovs-vswitchd has applied. With the fail mode of a bridge it takes all its
    /// flows away, so then they are read again.
    fn take_applied(&mut self) -> bool {
        let applied = self.inventory.applied();
        let is_wired = self.wiring.take_if(|configuration| *configuration <= applied).is_some();
        if is_wired {
            self.busy.wiring = false;
        }
        let secured = self.securing.take_if(|(_, configuration)| *configuration <= applied);
        if let Some((bridge, _)) = secured {
            self.busy.bridge = false;
            self.inventory.reconnect(bridge, None);
            if let Some(session) = self.sessions.get_mut(&bridge) {
                (session.client, session.bundles) = (None, None);
                session.again.notify_one();
            }
        }
        is_wired || secured.is_some()
    }

    fn take_switch(&mut self, bridge: BridgeId, change: switch::Change) -> bool {
        if bridge == BridgeId::Integration {
            self.reading = false;
        }
        match change {
            switch::Change::Up { client, bundles, installed, meters, deaf } => {
                if bridge == BridgeId::Integration {
                    self.busy.meters = false;
                    self.inventory.meters.connect(meters, &installed);
                }
                self.take_session(bridge, client, bundles, installed, deaf);
                true
            }
            switch::Change::Updated(updates) => {
                let it = self.inventory.bridge_mut(bridge);
                let observed = it.map(|it| it.observe(updates, Instant::now()));
                self.take_observed(bridge, observed.unwrap_or_default())
            }
            switch::Change::Read(installed) => {
                let it = self.inventory.bridge_mut(bridge);
                let observed = it.map(|it| it.read_again(&installed, Instant::now()));
                self.take_observed(bridge, observed.unwrap_or_default())
            }
            switch::Change::Bundled(result) => {
                let sent = self.sessions.get_mut(&bridge).and_then(|session| session.sent.take());
                sent.is_some_and(|sent| self.take_bundle(bridge, sent, result))
            }
            switch::Change::Down { reason } => {
                tracing::warn!(bridge = self.name(bridge), reason, "no connection to the bridge");
                self.end_session(bridge);
                self.inventory.reconnect(bridge, None);
                if bridge == BridgeId::Integration {
                    self.inventory.meters.disconnect();
                }
                self.set_state(bridge, &reason);
                true
            }
        }
    }

    fn take_session(
        &mut self,
        bridge: BridgeId,
        client: openflow::Client,
        bundles: openflow::InOrder,
        installed: FlowSet,
        deaf: Option<String>,
    ) {
        let name = self.name(bridge);
        tracing::info!(bridge = name, flows = installed.len(), "connected to the bridge");
        if let Some(trouble) = &deaf {
            tracing::warn!(bridge = name, trouble, "the flows are not watched");
        }
        self.end_session(bridge);
        if bridge == BridgeId::Integration {
            self.affected = Affected::everywhere();
        }
        self.inventory.reconnect(bridge, Some(installed));
        if let Some(it) = self.inventory.bridge_mut(bridge) {
            it.foreign.connect(deaf);
        }
        if let Some(session) = self.sessions.get_mut(&bridge) {
            (session.client, session.bundles) = (Some(client), Some(bundles));
        }
        self.set_state(bridge, "ok");
    }

    /// What became of a bundle that is under way will not be told any more.
    fn end_session(&mut self, bridge: BridgeId) {
        let Some(session) = self.sessions.get_mut(&bridge) else { return };
        (session.client, session.bundles) = (None, None);
        if session.sent.take().is_some() {
            if let Some(it) = self.inventory.bridge_mut(bridge) {
                it.bundling = false;
            }
            if bridge == BridgeId::Integration {
                self.recorder.answered(false, Instant::now());
            }
        }
    }

    /// Others have done something to the flows.
    fn take_observed(&mut self, bridge: BridgeId, observed: Observed) -> bool {
        if let Some(wait) = observed.wait {
            tracing::warn!(
                bridge = self.name(bridge),
                "somebody changes the flows again and again; they are mended ever later"
            );
            let events = self.events.clone();
            tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let _ = events.send(Event::Mend(bridge)).await;
            });
        }
        observed.mend
    }

    /// What people call a bridge.
    fn name(&self, bridge: BridgeId) -> String {
        self.inventory.name(bridge).to_owned()
    }

    fn set_state(&mut self, bridge: BridgeId, state: &str) {
        if let Some(session) = self.sessions.get_mut(&bridge) {
            state.clone_into(&mut session.state);
        }
    }

    fn take_heartbeat(&mut self, result: Result<AgentStatus, CallError>) -> bool {
        match result {
            Ok(status) => {
                "ok".clone_into(&mut self.connections.server);
                self.unheard = false;
                // What was not taken has to be said again.
                self.started |= status != AgentStatus::Ignored;
                if status == AgentStatus::Revived {
                    tracing::info!(
                        "the server took this agent for dead; checking everything again"
                    );
                    self.distrust();
                    self.inventory.reported.clear();
                    return true;
                }
                false
            }
            Err(error) => {
                self.unheard = true;
                self.server_failed(&error);
                false
            }
        }
    }

    /// Everything that the server has told may be out of date.
    fn distrust(&mut self) {
        self.inventory.cache.distrust();
        if let Some(it) = &mut self.inventory.tunnels {
            it.overlay.distrust();
        }
    }

    fn take_ends(&mut self, kind: NetworkType, result: Result<Tunnels, CallError>) -> bool {
        let Some(it) = &mut self.inventory.tunnels else { return false };
        match result {
            Ok(Tunnels { tunnels }) => {
                let ends = tunnels.iter().filter_map(|end| end.ip_address.parse().ok());
                it.overlay.answer(kind, Some(ends.collect()));
                self.rests.succeeded(Peer::Server);
                true
            }
            Err(error) => {
                it.overlay.answer(kind, None);
                self.server_failed(&error);
                false
            }
        }
    }

    /// The server was asked for the population of these networks. What it told before it answered
    /// may be on its way to the loop still, so it counts as told a while later.
    fn take_refreshed(&mut self, networks: &BTreeSet<Tunnelled>, answered: bool) {
        let Some(it) = &mut self.inventory.tunnels else { return };
        let told = it.overlay.refreshed(networks, answered);
        if told.networks.is_empty() {
            return;
        }
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(OVERTAKEN).await;
            let _ = events.send(Event::Told(told)).await;
        });
    }

    fn take_report(&mut self, reported: Reported) -> bool {
        self.busy.report = false;
        self.take_refreshed(&reported.refresh, reported.result.is_ok());
        let failed: BTreeSet<_> = match reported.result {
            Ok(failed) => failed.into_iter().collect(),
            Err(error) => {
                self.server_failed(&error);
                return false;
            }
        };
        let told = |id: &PortId| !failed.contains(id);
        self.inventory.reported_up(reported.up.into_iter().filter(told));
        for id in reported.down.into_iter().filter(told) {
            self.inventory.reported.insert(id, Report::Down);
        }
        for id in reported.gone.iter().filter(|id| told(id)) {
            self.inventory.reported.remove(id);
        }
        if failed.is_empty() {
            return true;
        }
        tracing::warn!(ports = failed.len(), "the server could not take note of some ports");
        self.retry_later(Peer::Server);
        false
    }

    fn take_tags(
        &mut self,
        rows: Vec<ovsdb::RowId>,
        result: Result<i64, ovsdb::TransactError>,
    ) -> bool {
        self.busy.tags = false;
        match result {
            Ok(configuration) => {
                let written = Tagging::Written { configuration };
                self.inventory.tagging.extend(rows.into_iter().map(|row| (row, written)));
                self.inventory.forget_applied_tags();
                true
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "cannot write VLAN tags");
                for row in rows {
                    self.inventory.tagging.remove(&row);
                }
                self.retry_later(Peer::Database);
                false
            }
        }
    }

    fn take_bundle(
        &mut self,
        bridge: BridgeId,
        sent: Sent,
        result: Result<(), BundleError>,
    ) -> bool {
        let Sent { changes, wires } = sent;
        let is_integration = bridge == BridgeId::Integration;
        if is_integration {
            self.recorder.answered(result.is_ok(), Instant::now());
        }
        let Some(it) = self.inventory.bridge_mut(bridge) else { return false };
        it.bundling = false;
        match result {
            Ok(()) => {
                self.rests.succeeded(Peer::Switch(bridge));
                // A delete says nothing of what was refused.
                for change in changes.iter().filter(|it| it.command != Command::DeleteStrict) {
                    if let Some(owner) = Owner::of(change.flow.cookie) {
                        it.refused.remove(&owner);
                    }
                }
                if it.refused.is_empty() {
                    self.rests.succeeded(Peer::Refusals(bridge));
                }
                if !self.made(bridge, &changes) {
                    return true;
                }
                if is_integration {
                    self.confirm(wires);
                } else {
                    self.set_state(bridge, "ok");
                }
                true
            }
            // Ports that are complete with it are so when the rest has been taken, too.
            Err(BundleError::Partly { refused }) => {
                let is_refused = |index| refused.iter().any(|it| it.index == index);
                let made = changes.iter().enumerate().filter(|(index, _)| !is_refused(*index));
                let made: Vec<FlowMod> = made.map(|(_, change)| change.clone()).collect();
                self.made(bridge, &made);
                for RefusedChange { index, error } in &refused {
                    let flow_mod = changes.get(*index).map(ToString::to_string);
                    let message = format!("{error}: {}", flow_mod.unwrap_or_default());
                    self.refused(bridge, &changes, *index, message);
                }
                true
            }
            Err(BundleError::Refused { index, error, flow_mod }) => {
                self.refused(bridge, &changes, index, format!("{error}: {flow_mod}"))
            }
            Err(error @ BundleError::TooLong { index, .. }) => {
                self.refused(bridge, &changes, index, chain(&error))
            }
            Err(error) => {
                let (name, trouble) = (self.name(bridge), chain(&error));
                tracing::warn!(bridge = name, error = trouble, "the bundle was not carried out");
                self.set_state(bridge, &trouble);
                self.retry_later(Peer::Switch(bridge));
                false
            }
        }
    }

    /// The switch has made these changes. Tells whether it is still there.
    fn made(&mut self, bridge: BridgeId, changes: &[FlowMod]) -> bool {
        let is_there = |it: &AnyBridge| it.flows.installed().is_some();
        if !self.inventory.bridge(bridge).is_some_and(is_there) {
            return false;
        }
        if bridge == BridgeId::Integration {
            self.note_removed(changes);
        }
        if let Some(it) = self.inventory.bridge_mut(bridge) {
            it.flows.apply(changes);
            it.settle();
        }
        true
    }

    /// Notes where connections may have lost their rule by these changes, which are about to be
    /// applied.
    fn note_removed(&mut self, changes: &[FlowMod]) {
        if let Some(installed) = self.inventory.integration.flows.installed() {
            let (before, snapshot) = (&self.inventory.wired, &self.plan.snapshot);
            self.affected.merge(conntrack::removed(changes, installed, before, snapshot));
        }
    }

    /// The switch takes one of the changes from nobody. Its owner waits; everybody else goes on at
    /// once.
    fn refused(
        &mut self,
        bridge: BridgeId,
        changes: &[FlowMod],
        index: usize,
        message: String,
    ) -> bool {
        let name = self.name(bridge);
        tracing::error!(
            bridge = name,
            message,
            "the switch refused a flow; its owner keeps what it had"
        );
        let owner = changes.get(index).and_then(|change| Owner::of(change.flow.cookie));
        let Some(owner) = owner else {
            self.retry_later(Peer::Switch(bridge));
            return false;
        };
        self.retry_later(Peer::Refusals(bridge));
        let Some(it) = self.inventory.bridge_mut(bridge) else { return false };
        let times = it.refused.get(&owner).map_or(0, |refused| refused.times);
        let refused = Refused { message, times: times.saturating_add(1), retry: false };
        it.refused.insert(owner, refused);
        true
    }

    /// The switch holds what these ports need. What they had before lingers for a while, and so does
    /// what packets met before this agent's flows were there.
    fn confirm(&mut self, wires: BTreeMap<PortId, Arc<Wired>>) {
        self.set_state(BridgeId::Integration, "ok");
        let handed_over = std::mem::take(&mut self.plan.handed_over);
        let left = self.inventory.confirm(wires, handed_over);
        if self.inventory.integration.has_just_left() || !left.is_empty() {
            let events = self.events.clone();
            let control = self.config.control();
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                // A switch under load may take longer.
                let asked = move || control::revalidated(&control.socket());
                if let Ok(Err(error)) = tokio::task::spawn_blocking(asked).await {
                    tracing::debug!(error = chain(&error), "cached verdicts are taken to be gone");
                }
                let _ = events.send(Event::Faded(left)).await;
            });
        }
    }

    /// Where connections were cut, it is looked again when the switch has no cached verdict left.
    fn take_cut(&mut self, cut: Cut) {
        self.busy.cut = false;
        let Cut { mut affected, result } = cut;
        let trouble = match result {
            Ok(0) => {
                self.rests.succeeded(Peer::Conntrack);
                "ok".clone_into(&mut self.connections.conntrack);
                return self.cut_connections();
            }
            Ok(count) => {
                tracing::info!(count, "cut connections that no rule admits any more");
                affected.passes = affected.passes.saturating_add(1);
                if affected.passes < LAST_PASS {
                    self.cut_later(affected, CACHED);
                    return self.cut_connections();
                }
                format!("{count} connections come back although no rule admits them")
            }
            Err(error) => chain(&error),
        };
        if self.connections.conntrack != trouble {
            tracing::warn!(trouble, "connections without a rule may go on");
            self.connections.conntrack = trouble;
        }
        self.affected.merge(affected);
        self.retry_later(Peer::Conntrack);
    }

    fn take_cleared(
        &mut self,
        zones: BTreeMap<NetworkId, VlanTag>,
        result: Result<(), CutError>,
    ) -> bool {
        self.busy.clearing = false;
        match result {
            Ok(()) => {
                self.inventory.cleared.extend(zones);
                if self.affected.is_empty() {
                    self.rests.succeeded(Peer::Conntrack);
                    "ok".clone_into(&mut self.connections.conntrack);
                }
                true
            }
            Err(error) => {
                let trouble = chain(&error);
                if self.connections.conntrack != trouble {
                    tracing::warn!(trouble, "ports of networks that are new here have to wait");
                    self.connections.conntrack = trouble;
                }
                self.retry_later(Peer::Conntrack);
                false
            }
        }
    }

    fn server_failed(&mut self, error: &CallError) {
        let text = chain(error);
        if self.connections.server != text {
            tracing::warn!(error = text, "the server does not answer");
            self.connections.server = text;
        }
        self.retry_later(Peer::Server);
    }

    /// Leaves a peer alone for a while, which is never the same on two nodes.
    fn retry_later(&mut self, peer: Peer) {
        let Some(wait) = self.rests.failed(peer) else { return };
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let jitter = wait.mul_f64(f64::from(u8::try_from(random >> 56).unwrap_or(0)) / 512.0);
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait + jitter).await;
            let _ = events.send(Event::Retry(peer)).await;
        });
    }

    fn status(&self) -> Status {
        let now = Instant::now();
        let mut status = Status::new(&self.config.host, &self.inventory, &self.plan);
        let state = |id| self.sessions.get(&id).map(|it| it.state.clone()).unwrap_or_default();
        let switch = state(BridgeId::Integration);
        status.connections = Connections { switch, ..self.connections.clone() };
        let physical = self.inventory.physical.iter().enumerate();
        let physical =
            physical.map(|(place, it)| (it.physical_network.as_str(), BridgeId::Physical(place)));
        let tunnels = self.inventory.tunnels.iter().map(|_| ("tunnels", BridgeId::Tunnel));
        let underlay = |(name, id): (&str, BridgeId)| {
            let it = self.inventory.bridge(id);
            let installed = it.and_then(|it| it.flows.installed());
            UnderlayStatus {
                name: name.to_owned(),
                bridge: self.name(id),
                state: state(id),
                flows: installed.map_or(0, FlowSet::len),
                foreign: it.map(|it| it.foreign.status(now)).unwrap_or_default(),
            }
        };
        status.underlays = physical.chain(tunnels).map(underlay).collect();
        status.bridge.foreign = self.inventory.integration.foreign.status(now);
        let journal = self.recorder.journal(u64::MAX);
        status.bridge.flow_mods = journal.flow_mods;
        status.bridge.bundles = journal.bundles;
        status
    }
}

/// Passes the events of the database on.
pub(crate) async fn database(mut changes: ovsdb::Events, events: mpsc::Sender<Event>) {
    while let Some(event) = changes.next().await {
        if events.send(Event::Database(event)).await.is_err() {
            return;
        }
    }
}

/// Passes the casts of the bus on.
pub(crate) async fn casts(mut casts: Casts, events: mpsc::Sender<Event>) {
    while let Some(cast) = casts.recv().await {
        if events.send(Event::Cast(cast, Instant::now())).await.is_err() {
            return;
        }
    }
    let _ = events.send(Event::BusClosed).await;
}

/// Asks the loop how the node is.
pub(crate) async fn ask_status(events: &mpsc::Sender<Event>) -> Option<Status> {
    ask(events, Event::Status).await
}

/// Asks the loop what its bundles after the one with this number have cost.
pub(crate) async fn ask_journal(events: &mpsc::Sender<Event>, after: u64) -> Option<Journal> {
    ask(events, |reply| Event::Journal(after, reply)).await
}

/// Asks the loop to move ports.
pub(crate) async fn ask_migrate(
    events: &mpsc::Sender<Event>,
    migrate: Migrate,
) -> Option<Result<Vec<MoveStatus>, String>> {
    ask(events, |reply| Event::Migrate(migrate, reply)).await
}

/// Asks the loop how the moves of ports go.
pub(crate) async fn ask_moves(events: &mpsc::Sender<Event>) -> Option<Vec<MoveStatus>> {
    ask(events, Event::Moves).await
}

/// Asks the loop what the flows should be by.
pub(crate) async fn ask_view(events: &mpsc::Sender<Event>) -> Option<View> {
    ask(events, Event::View).await
}

/// Nothing where the loop has ended.
async fn ask<T>(
    events: &mpsc::Sender<Event>,
    question: impl FnOnce(oneshot::Sender<T>) -> Event,
) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    events.send(question(reply)).await.ok()?;
    answer.await.ok()
}
