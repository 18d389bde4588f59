//! Keeps a session with a bridge.
//!
//! The one task here, of which there is one for each bridge, connects to the bridge's management socket, reads the flows back, hands the
//! session to the event loop, waits for its end, or until the loop wants the flows read again, and
//! starts again: first after [`FIRST_RETRY`], then ever later up to [`LAST_RETRY`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dataplane::FlowSet;
use dataplane::bridge::layout;
use openflow::{Client, Target};
use tokio::sync::{Notify, mpsc};

use crate::bridge::BridgeId;
use crate::causes::chain;
use crate::event::Event;

const FIRST_RETRY: Duration = Duration::from_millis(20);
const LAST_RETRY: Duration = Duration::from_millis(500);

/// A change of the connection.
#[derive(Debug)]
pub(crate) enum Change {
    /// A session has begun.
    Up {
        /// The session.
        client: Client,
        /// What the bridge held then.
        installed: FlowSet,
    },
    /// There is no session.
    Down {
        /// Why not.
        reason: String,
    },
}

/// Keeps a session until nobody listens any more.
pub(crate) async fn keep(
    bridge: BridgeId,
    socket: PathBuf,
    again: Arc<Notify>,
    events: mpsc::Sender<Event>,
) {
    let target = Target::Unix(socket);
    let mut wait = FIRST_RETRY;
    let mut told = None;
    loop {
        let reason = match open(&target).await {
            Ok((client, installed)) => {
                wait = FIRST_RETRY;
                let up = Change::Up { client: client.clone(), installed };
                if events.send(Event::Switch(bridge, up)).await.is_err() {
                    return;
                }
                tokio::select! {
                    () = client.closed() => "the switch closed the connection".to_owned(),
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

async fn open(target: &Target) -> Result<(Client, FlowSet), String> {
    let client = Client::connect(target).await.map_err(|error| chain(&error))?;
    let flows = client.dump_flows().await.map_err(|error| chain(&error))?;
    // What the switch has learned by itself is its own to keep.
    let flows = flows.into_iter().map(|stats| stats.flow);
    Ok((client, flows.filter(|flow| !layout::is_learned(flow)).collect()))
}
