//! The event loop: takes events, asks `plan` what to do, does it.
//!
//! | task | takes | gives |
//! | --- | --- | --- |
//! | the loop ([`Node::run`]) | [`Event`]s | everything below |
//! | `switch::keep` | | sessions with the integration bridge |
//! | `database` | OVSDB events | [`Event::Database`] |
//! | `casts` | casts of the bus | [`Event::Cast`] |
//! | `admin::serve` | connections of `weir status` | [`Event::Status`] |
//! | one for each call, transaction and bundle | | its result as an event |
//!
//! The loop never waits for a peer: what takes time runs in a task of its own and comes back as
//! an event. At most one bundle, one change of tags and one report are under way at a time, so
//! their order is the order of the plans. The queue of events is bounded. The tasks end when the
//! loop does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dataplane::bridge::layout::Owner;
use neutron::bus::{CallError, Caller, Casts};
use neutron::rpc::{
    AgentState, AgentStatus, Cast, Configurations, OvsCapabilities, ReportState, UpdateDeviceDown,
    UpdateDeviceList, agent_id,
};
use openflow::BundleError;
use ovsdb::{OpResult, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use crate::causes::chain;
use crate::config::Config;
use crate::event::{Bundled, Event, Peer, Reported};
use crate::inventory::{Inventory, Refused, Report, Tagging};
use crate::plan::{Plan, plan};
use crate::status::Status;
use crate::switch;

/// How long a failed call or bundle rests at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// The agent's loop and what it owns.
pub(crate) struct Node {
    config: Arc<Config>,
    events: mpsc::Sender<Event>,
    database: ovsdb::Client,
    caller: Caller,
    switch: Option<openflow::Client>,
    inventory: Inventory,
    plan: Plan,
    busy: Busy,
    server: Rest,
    ovsdb: Rest,
    bridge: Rest,
    connections: crate::status::Connections,
    sent: Sent,
    started: bool,
}

/// What is under way.
#[derive(Debug, Default)]
struct Busy {
    bundle: bool,
    tags: bool,
    bridge: bool,
    report: bool,
}

/// A peer that failed rests, each time longer.
#[derive(Debug, Default)]
struct Rest {
    resting: bool,
    failures: u32,
}

/// What has been sent since the start.
#[derive(Debug, Default)]
struct Sent {
    flow_mods: u64,
    bundles: u64,
}

impl Node {
    pub(crate) fn new(
        config: Arc<Config>,
        events: mpsc::Sender<Event>,
        database: ovsdb::Client,
        caller: Caller,
    ) -> Self {
        let waiting = || "not connected yet".to_owned();
        Self {
            inventory: Inventory::new(&config.host, &config.integration_bridge),
            config,
            events,
            database,
            caller,
            switch: None,
            plan: Plan::default(),
            busy: Busy::default(),
            server: Rest::default(),
            ovsdb: Rest::default(),
            bridge: Rest::default(),
            connections: crate::status::Connections {
                ovsdb: waiting(),
                switch: waiting(),
                server: waiting(),
            },
            sent: Sent::default(),
            started: false,
        }
    }

    /// Runs until it is told to stop. The data plane stays as it is then.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut heartbeat = tokio::time::interval(self.config.report_interval);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let first = tokio::select! {
                event = events.recv() => event,
                _ = heartbeat.tick() => {
                    self.send_heartbeat();
                    continue;
                }
            };
            // What belongs together comes together: a burst is one plan.
            let deadline = Instant::now() + self.config.gather;
            let mut next = first;
            let mut changed = false;
            while let Some(event) = next {
                if matches!(event, Event::Stop) {
                    return;
                }
                changed |= self.take(event);
                next = match events.try_recv() {
                    Ok(event) => Some(event),
                    Err(_) if changed => {
                        tokio::time::timeout_at(deadline, events.recv()).await.ok().flatten()
                    }
                    Err(_) => None,
                };
            }
            if changed {
                self.reconcile();
            }
        }
    }

    /// Takes note of an event. Tells whether the plan may be another one now.
    fn take(&mut self, event: Event) -> bool {
        match event {
            Event::Database(event) => self.take_database(event),
            Event::Switch(change) => self.take_switch(change),
            Event::Cast(Cast::Push { event, objects }) => self.inventory.cache.push(event, objects),
            Event::Cast(Cast::Lagged) => {
                tracing::warn!("fell behind the server's messages; asking for everything again");
                self.inventory.cache.distrust();
                true
            }
            Event::Cast(Cast::TunnelUpdate(_) | Cast::TunnelDelete(_)) => false,
            Event::BusClosed => {
                "the server has gone".clone_into(&mut self.connections.server);
                false
            }
            Event::Answered(question, Ok(objects)) => {
                self.server.failures = 0;
                self.inventory.cache.answer(&question, objects);
                true
            }
            Event::Answered(question, Err(error)) => {
                self.inventory.cache.unanswered(&question);
                self.server_failed(&error);
                false
            }
            Event::Heartbeat(result) => self.take_heartbeat(result),
            Event::Reported(reported) => self.take_report(reported),
            Event::Tagged(rows, result) => self.take_tags(rows, result),
            Event::BridgeMade(result) => {
                self.busy.bridge = false;
                if let Err(error) = result {
                    tracing::warn!(error = chain(&error), "cannot make the integration bridge");
                    self.retry_later(Peer::Database);
                }
                false
            }
            Event::Bundled(bundled) => self.take_bundle(bundled),
            Event::Status(reply) => {
                // Whoever asked may have gone away; that is no matter of ours.
                let _ = reply.send(self.status());
                false
            }
            Event::Retry(peer) => {
                self.rest(peer).resting = false;
                if peer == Peer::Switch {
                    for refused in self.inventory.refused.values_mut() {
                        refused.retry = true;
                    }
                }
                true
            }
            Event::Stop => false,
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
        true
    }

    fn take_switch(&mut self, change: switch::Change) -> bool {
        match change {
            switch::Change::Up { client, installed } => {
                tracing::info!(flows = installed.len(), "connected to the integration bridge");
                "ok".clone_into(&mut self.connections.switch);
                self.switch = Some(client);
                self.inventory.installed = Some(installed);
            }
            switch::Change::Down { reason } => {
                tracing::warn!(reason, "no connection to the integration bridge");
                self.connections.switch = reason;
                self.switch = None;
                self.inventory.installed = None;
            }
        }
        self.inventory.wired.clear();
        true
    }

    fn take_heartbeat(&mut self, result: Result<AgentStatus, CallError>) -> bool {
        match result {
            Ok(status) => {
                "ok".clone_into(&mut self.connections.server);
                self.started = true;
                if status == AgentStatus::Revived {
                    tracing::info!(
                        "the server took this agent for dead; checking everything again"
                    );
                    self.inventory.cache.distrust();
                    self.inventory.reported.clear();
                    return true;
                }
                false
            }
            Err(error) => {
                self.server_failed(&error);
                false
            }
        }
    }

    fn take_report(&mut self, reported: Reported) -> bool {
        self.busy.report = false;
        let failed: BTreeSet<_> = match reported.result {
            Ok(failed) => failed.into_iter().collect(),
            Err(error) => {
                self.server_failed(&error);
                return false;
            }
        };
        let told = |id: &model::PortId| !failed.contains(id);
        for id in reported.up.into_iter().filter(told) {
            self.inventory.reported.insert(id, Report::Up);
        }
        for id in reported.admin_down.into_iter().filter(told) {
            self.inventory.reported.insert(id, Report::AdminDown);
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

    fn take_bundle(&mut self, bundled: Bundled) -> bool {
        self.busy.bundle = false;
        let Bundled { changes, wires, result } = bundled;
        match result {
            Ok(()) => {
                self.bridge.failures = 0;
                for change in &changes {
                    if let Some(owner) = Owner::of(change.flow.cookie) {
                        self.inventory.refused.remove(&owner);
                    }
                }
                if let Some(installed) = &mut self.inventory.installed {
                    for change in changes {
                        installed.apply(change);
                    }
                    self.inventory.wired = wires;
                }
                true
            }
            Err(BundleError::Refused { index, error, flow_mod }) => {
                let owner = changes.get(index).and_then(|change| Owner::of(change.flow.cookie));
                let message = format!("{error}: {flow_mod}");
                tracing::error!(message, "the switch refused a flow; its owner keeps what it had");
                self.retry_later(Peer::Switch);
                let Some(owner) = owner else { return false };
                let times = self.inventory.refused.get(&owner).map_or(0, |refused| refused.times);
                let refused = Refused { message, times: times.saturating_add(1), retry: false };
                self.inventory.refused.insert(owner, refused);
                true
            }
            Err(error) => {
                tracing::warn!(error = chain(&error), "the bundle was not carried out");
                self.retry_later(Peer::Switch);
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

    fn rest(&mut self, peer: Peer) -> &mut Rest {
        match peer {
            Peer::Server => &mut self.server,
            Peer::Database => &mut self.ovsdb,
            Peer::Switch => &mut self.bridge,
        }
    }

    /// Lets a peer rest for a while that doubles with each failure in a row, and is never the
    /// same on two nodes.
    fn retry_later(&mut self, peer: Peer) {
        let rest = self.rest(peer);
        if std::mem::replace(&mut rest.resting, true) {
            return;
        }
        let wait = FIRST_RETRY.saturating_mul(1 << rest.failures.min(16)).min(LAST_RETRY);
        rest.failures = rest.failures.saturating_add(1);
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        let jitter = wait.mul_f64(f64::from(u8::try_from(random >> 56).unwrap_or(0)) / 512.0);
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait + jitter).await;
            let _ = events.send(Event::Retry(peer)).await;
        });
    }

    /// Decides what to do, and does it.
    fn reconcile(&mut self) {
        self.decide();
        self.ask();
        self.make_bridge();
        self.write_tags();
        if self.send_bundle() {
            self.decide();
        }
        self.report();
    }

    fn decide(&mut self) {
        self.plan = plan(&self.inventory);
        if self.plan.warm && !self.inventory.warm {
            tracing::debug!("everything that is plugged in is known");
        }
        self.inventory.warm |= self.plan.warm;
        if self.plan.warm {
            self.inventory.cache.keep_only(&self.plan.queries);
        }
    }

    fn ask(&mut self) {
        if self.server.resting {
            return;
        }
        for question in self.inventory.cache.ask(&self.plan.queries) {
            let Some(call) = question.call() else { continue };
            let caller = self.caller.clone();
            self.spawn(async move { Event::Answered(question, caller.call(call).await) });
        }
    }

    fn make_bridge(&mut self) {
        let Some(replica) = &self.inventory.replica else { return };
        let name = &self.config.integration_bridge;
        let exists = replica.bridges.values().any(|bridge| &bridge.name == name);
        if exists || self.busy.bridge || self.ovsdb.resting || replica.open_vswitch.is_empty() {
            return;
        }
        tracing::info!(bridge = name, "making the integration bridge");
        self.busy.bridge = true;
        let datapath_type = &self.config.datapath_type;
        let transaction = Transaction::new().add_bridge(name, datapath_type, Some("secure"));
        let database = self.database.clone();
        self.spawn(
            async move { Event::BridgeMade(database.transact(transaction).await.map(|_| ())) },
        );
    }

    fn write_tags(&mut self) {
        if self.busy.tags || self.ovsdb.resting || self.plan.tags.is_empty() {
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

    /// Sends what the bridge lacks. Where it lacks nothing, its ports are wired: tells whether
    /// that is news.
    fn send_bundle(&mut self) -> bool {
        let Some(switch) = self.switch.clone() else { return false };
        if self.busy.bundle {
            return false;
        }
        let changes = std::mem::take(&mut self.plan.flows);
        let wires = std::mem::take(&mut self.plan.wires);
        if changes.is_empty() {
            let news = self.inventory.wired != wires;
            self.inventory.wired = wires;
            return news;
        }
        self.busy.bundle = true;
        self.sent.bundles += 1;
        self.sent.flow_mods += u64::try_from(changes.len()).unwrap_or(u64::MAX);
        tracing::debug!(changes = changes.len(), "sending a bundle");
        self.spawn(async move {
            let result = switch.bundle(changes.clone()).await;
            Event::Bundled(Bundled { changes, wires, result })
        });
        false
    }

    fn report(&mut self) {
        let Plan { up, gone, admin_down, .. } = &self.plan;
        let nothing = up.is_empty() && gone.is_empty() && admin_down.is_empty();
        if nothing || self.busy.report || self.server.resting {
            return;
        }
        self.busy.report = true;
        let caller = self.caller.clone();
        let host = self.config.host.clone();
        let mut reported = Reported {
            up: up.iter().copied().collect(),
            gone: gone.iter().copied().collect(),
            admin_down: admin_down.iter().copied().collect(),
            result: Ok(Vec::new()),
        };
        self.spawn(async move {
            reported.result = send_report(&caller, &host, &reported).await;
            Event::Reported(reported)
        });
    }

    fn send_heartbeat(&self) {
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
        AgentState {
            agent_type: AgentState::OPEN_VSWITCH.to_owned(),
            binary: "weir".to_owned(),
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
                devices: u64::try_from(self.plan.ports.len()).unwrap_or(u64::MAX),
                ..Configurations::default()
            },
            start_flag: !self.started,
            resource_versions: if self.started {
                BTreeMap::new()
            } else {
                neutron::object::ResourceType::ALL
                    .into_iter()
                    .map(|kind| (kind.name().to_owned(), kind.version().to_owned()))
                    .collect()
            },
            uuid: Some(uuid::Uuid::new_v4().to_string()),
        }
    }

    fn status(&self) -> Status {
        let mut status = Status::new(&self.config.host, &self.inventory, &self.plan);
        status.connections = self.connections.clone();
        status.bridge.flow_mods = self.sent.flow_mods;
        status.bridge.bundles = self.sent.bundles;
        status
    }

    fn spawn(&self, work: impl Future<Output = Event> + Send + 'static) {
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

async fn send_report(
    caller: &Caller,
    host: &str,
    reported: &Reported,
) -> Result<Vec<model::PortId>, CallError> {
    let text = |ids: &[model::PortId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut failed = Vec::new();
    if !reported.up.is_empty() || !reported.gone.is_empty() {
        let call = UpdateDeviceList {
            devices_up: text(&reported.up),
            devices_down: text(&reported.gone),
            agent_id: agent_id(host),
            host: host.to_owned(),
            refresh_tunnels: false,
        };
        let result = caller.call(call).await?;
        failed.extend(result.failed_devices_up);
        failed.extend(result.failed_devices_down);
    }
    for id in &reported.admin_down {
        let device = id.to_string();
        let call = UpdateDeviceDown { device, agent_id: agent_id(host), host: host.to_owned() };
        caller.call(call).await?;
    }
    Ok(failed.iter().filter_map(|id| id.parse().ok()).collect())
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
        if events.send(Event::Cast(cast)).await.is_err() {
            return;
        }
    }
    let _ = events.send(Event::BusClosed).await;
}

/// Asks the loop how the node is.
pub(crate) async fn ask_status(events: &mpsc::Sender<Event>) -> Option<Status> {
    let (reply, answer) = oneshot::channel();
    events.send(Event::Status(reply)).await.ok()?;
    answer.await.ok()
}
