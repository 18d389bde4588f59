//! Keeps a session with a bridge.
//!
//! The one task here, of which there is one for each bridge, connects to the bridge's management
//! socket, has the switch tell of changes, reads the flows back, and hands the session to the event
//! loop. From then on it passes on what the switch says, in the order in which the switch did it:
//! changes by others, and the answers to bundles. So nobody can take a change that came before a
//! bundle for one that came after it. When the session ends, or the loop wants the flows read again,
//! it starts again: first after [`FIRST_RETRY`], then ever later up to [`LAST_RETRY`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dataplane::FlowSet;
use dataplane::bridge::layout;
use openflow::{
    BundleError, Client, FlowMod, FlowMonitor, FlowStats, FlowUpdate, InOrder, Meter, RequestError,
    Target, Told,
};
use peer::chain;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::bridge::BridgeId;
use crate::event::Event;

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);

/// Where the switch does not tell of changes, the flows are read again after so long at least, and
/// after so many times as long as that takes: a hundredth of the switch's time is spent on it.
const REREAD: Duration = Duration::from_secs(1);
const REREAD_PACE: u32 = 100;

/// A change of the connection.
#[derive(Debug)]
pub(crate) enum Change {
    /// A session has begun.
    Up {
        /// The session.
        client: Client,
        /// For bundles.
        bundles: InOrder,
        /// What the bridge held then.
        installed: FlowSet,
        /// Its meters, if it is the integration bridge.
        meters: Vec<Meter>,
        /// Why the switch does not tell of changes, where it does not.
        deaf: Option<String>,
    },
    /// Others have changed flows.
    Updated(Vec<FlowUpdate>),
    /// The flows were read again, because not every change was told.
    Read(FlowSet),
    /// The switch took the bundle that was sent last, or did not.
    Bundled(Result<(), BundleError>),
    /// There is no session.
    Down {
        /// Why not.
        reason: String,
    },
}

/// Keeps a session until nobody listens any more. The first one begins with the deletion of all flows
/// where that is wanted.
pub(crate) async fn keep(
    bridge: BridgeId,
    socket: PathBuf,
    mut drop_flows: bool,
    again: Arc<Notify>,
    events: mpsc::Sender<Event>,
) {
    let target = Target::Unix(socket);
    let mut wait = FIRST_RETRY;
    let mut told = None;
    loop {
        let reason = match open(&target, bridge, drop_flows).await {
            Ok((mut monitor, up)) => {
                wait = FIRST_RETRY;
                drop_flows = false;
                if events.send(Event::Switch(bridge, up)).await.is_err() {
                    return;
                }
                tokio::select! {
                    reason = listen(&mut monitor, bridge, &events) => reason,
                    () = again.notified() => "its flows are read again".to_owned(),
                }
            }
            Err(reason) => reason,
        };
        if told.as_ref() != Some(&reason) || wait == FIRST_RETRY {
            let down = Change::Down { reason: reason.clone() };
            if events.send(Event::Switch(bridge, down)).await.is_err() {
                return;
            }
            told = Some(reason);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_RETRY);
    }
}

async fn open(
    target: &Target,
    bridge: BridgeId,
    drop_flows: bool,
) -> Result<(FlowMonitor, Change), String> {
    let client = Client::connect(target).await.map_err(|error| chain(&error))?;
    if drop_flows {
        tracing::warn!(?bridge, "deleting all flows of the bridge, as drop_flows_on_start says");
        client.bundle(vec![FlowMod::delete_all()]).await.map_err(|error| chain(&error))?;
    }
    let monitor = client.monitor_flows(bridge.tables()).await;
    let mut monitor = monitor.map_err(|error| chain(&error))?;
    monitor.requests().dump_flows().await;
    let mut installed = FlowSet::new();
    loop {
        match monitor.next().await {
            Some(Told::Part(flows)) => extend(&mut installed, flows),
            Some(Told::Flows(flows)) => {
                extend(&mut installed, flows.map_err(|error| chain(&error))?);
                break;
            }
            // What was told before is in it.
            Some(Told::Updates(_) | Told::Bundle(_)) => {}
            None => return Err(chain(&RequestError::Closed)),
        }
    }
    let deaf = monitor.refusal().map(|error| {
        format!(
            "Open vSwitch before 3.0 does not tell of changes ({error}); all flows are read again"
        )
    });
    let bundles = monitor.requests().clone();
    let meters = match bridge {
        BridgeId::Integration => client.dump_meters().await,
        BridgeId::Physical(_) | BridgeId::Tunnel => Ok(Vec::new()),
    };
    let meters = match meters {
        Err(RequestError::Closed) => return Err(chain(&RequestError::Closed)),
        Err(error) => {
            tracing::warn!(error = chain(&error), "the switch tells of no meters");
            Vec::new()
        }
        Ok(meters) => meters,
    };
    Ok((monitor, Change::Up { client, bundles, installed, meters, deaf }))
}

/// Passes on what the switch says. Tells why it does not say more.
async fn listen(
    monitor: &mut FlowMonitor,
    bridge: BridgeId,
    events: &mpsc::Sender<Event>,
) -> String {
    let is_deaf = monitor.refusal().is_some();
    let mut read = Instant::now();
    let mut again = read + REREAD;
    let mut waiting = false;
    let mut dumped = FlowSet::new();
    loop {
        let told = tokio::select! {
            told = monitor.next() => told,
            () = tokio::time::sleep_until(again), if is_deaf && !waiting => {
                read = Instant::now();
                // When the answer comes it is known when to ask again.
                waiting = true;
                monitor.requests().dump_flows().await;
                continue;
            }
        };
        let Some(told) = told else { break };
        let change = match told {
            Told::Updates(mut updates) => {
                updates.retain(|update| !is_learned(update));
                if updates.contains(&FlowUpdate::Missed) {
                    monitor.requests().dump_flows().await;
                }
                let own = |update: &FlowUpdate| matches!(update, FlowUpdate::Own { .. });
                if updates.iter().all(own) {
                    continue;
                }
                Change::Updated(updates)
            }
            Told::Part(flows) => {
                extend(&mut dumped, flows);
                continue;
            }
            Told::Flows(Ok(flows)) => {
                waiting = false;
                again = Instant::now() + (read.elapsed() * REREAD_PACE).max(REREAD);
                extend(&mut dumped, flows);
                Change::Read(std::mem::take(&mut dumped))
            }
            Told::Flows(Err(error)) => return chain(&error),
            Told::Bundle(result) => Change::Bundled(result),
        };
        if events.send(Event::Switch(bridge, change)).await.is_err() {
            break;
        }
    }
    "the switch closed the connection".to_owned()
}

fn is_learned(update: &FlowUpdate) -> bool {
    match update {
        FlowUpdate::Added { flow, .. }
        | FlowUpdate::Modified { flow, .. }
        | FlowUpdate::Removed { flow, .. } => layout::is_learned(flow),
        FlowUpdate::Own { .. } | FlowUpdate::Paused | FlowUpdate::Missed => false,
    }
}

/// Puts a part of a dump to the others. What the switch has learned by itself is its own to keep.
fn extend(set: &mut FlowSet, flows: Vec<FlowStats>) {
    for flow in flows.into_iter().map(|stats| stats.flow) {
        if !layout::is_learned(&flow) {
            set.replace(flow);
        }
    }
}
