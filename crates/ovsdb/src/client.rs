//! The client: a handle, and the task behind it that owns the connection.
//!
//! | task | takes | gives |
//! | --- | --- | --- |
//! | connection (one per client, in `connection`) | transactions (bounded channel), bytes | the replica and the state of the connection (watched), answers |
//!
//! The task ends when the last [`Client`] is dropped.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::outcome::{OpResult, TransactError, read_results};
use crate::remote::Remote;
use crate::replica::Replica;
use crate::transaction::Transaction;

mod connection;

/// Transactions that wait to be sent, before callers have to wait themselves.
const QUEUE: usize = 64;

/// How a client behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The database.
    pub database: String,
    /// How long the server may be silent before it is asked for a sign of life; after as long
    /// again without one the connection is given up. Zero: for ever.
    pub inactivity_probe: Duration,
    /// How long a connection may take to come about.
    pub connect_deadline: Duration,
    /// How long a transaction may take.
    pub transact_deadline: Duration,
    /// How long the first attempt to reconnect is put off; each further one twice as long, less
    /// up to a half at random.
    pub first_retry: Duration,
    /// The longest time that an attempt is put off.
    pub longest_retry: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            database: "Open_vSwitch".to_owned(),
            inactivity_probe: Duration::from_secs(5),
            connect_deadline: Duration::from_secs(5),
            transact_deadline: Duration::from_secs(10),
            first_retry: Duration::from_millis(50),
            longest_retry: Duration::from_secs(1),
        }
    }
}

/// A handle on the database. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Client {
    database: Arc<str>,
    deadline: Duration,
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
}

impl Client {
    /// Starts a client. It connects by itself, and again whenever the connection is lost.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(remote: Remote, options: Options) -> (Self, Events) {
        let (commands, queue) = mpsc::channel(QUEUE);
        let (publisher, state) = watch::channel(State::default());
        let client = Self {
            database: options.database.as_str().into(),
            deadline: options.transact_deadline,
            commands,
            state: state.clone(),
        };
        tokio::spawn(connection::run(remote, options, queue, publisher));
        (client, Events { state, seen: Counts::default() })
    }

    /// Carries out a transaction: one result for each operation. Whatever it changed is in the
    /// replica when this returns.
    ///
    /// # Errors
    /// When the server refuses it, or cannot be asked, or does not answer in time.
    pub async fn transact(&self, transaction: Transaction) -> Result<Vec<OpResult>, TransactError> {
        let (reply, answer) = oneshot::channel();
        let command = Command { params: transaction.to_params(&self.database), reply };
        let exchange = async {
            // The task is gone only when the runtime shuts down.
            self.commands.send(command).await.map_err(|_| TransactError::NotConnected)?;
            answer.await.map_err(|_| TransactError::Disconnected)?
        };
        let answer = tokio::time::timeout(self.deadline, exchange)
            .await
            .map_err(|_| TransactError::Deadline { limit: self.deadline })??;
        read_results(transaction.operations(), &answer)
    }

    /// The newest replica. While there is no connection it is the last one; before the first
    /// connection it is empty.
    pub fn replica(&self) -> Arc<Replica> {
        self.state.borrow().replica.clone()
    }

    /// Waits until something is to be found in the replica, which is looked at now and after each
    /// change. May be cancelled at any time; there is no deadline.
    pub async fn find<T>(&self, mut look: impl FnMut(&Replica) -> Option<T>) -> T {
        let mut state = self.state.clone();
        loop {
            let replica = state.borrow_and_update().replica.clone();
            if let Some(found) = look(&replica) {
                return found;
            }
            drop(replica);
            if state.changed().await.is_err() {
                // The task is gone only when the runtime shuts down.
                return std::future::pending().await;
            }
        }
    }

    /// Whether there is a connection, and the replica is therefore up to date.
    pub fn is_connected(&self) -> bool {
        self.state.borrow().connected
    }
}

/// Something happened to the connection or the replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a connection, for the first time or again, and the replica is up to date.
    Connected,
    /// The connection was lost or did not come about.
    Disconnected {
        /// Why.
        reason: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The replica has changed, once or many times.
    Changed,
}

/// What happens to a client. Events that nobody has asked for yet are merged, so the stream takes
/// no room however slowly it is read: a later `Disconnected` replaces an earlier one.
#[derive(Debug)]
pub struct Events {
    state: watch::Receiver<State>,
    seen: Counts,
}

impl Events {
    /// The next event, or `None` when the client is gone. May be cancelled at any time.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.unseen() {
                return Some(event);
            }
            self.state.changed().await.ok()?;
        }
    }

    /// What happened first among what was not told yet. The last word on the connection is always
    /// how it stands.
    fn unseen(&mut self) -> Option<Event> {
        let state = self.state.borrow_and_update();
        let (seen, now) = (&mut self.seen, state.counts);
        let lost = seen.losses != now.losses;
        let connected = seen.connections != now.connections;
        if lost && (state.connected || !connected) {
            seen.losses = now.losses;
            Some(Event::Disconnected { reason: state.reason.clone(), retry_in: state.retry_in })
        } else if connected {
            seen.connections = now.connections;
            Some(Event::Connected)
        } else if seen.changes != now.changes {
            seen.changes = now.changes;
            Some(Event::Changed)
        } else {
            None
        }
    }
}

/// A transaction on its way to the task.
#[derive(Debug)]
struct Command {
    params: Value,
    reply: oneshot::Sender<Result<Value, TransactError>>,
}

/// What the task shows to the handles.
#[derive(Debug, Default)]
struct State {
    replica: Arc<Replica>,
    connected: bool,
    /// Why the connection was last lost, and when the next attempt is made.
    reason: String,
    retry_in: Duration,
    counts: Counts,
}

/// How often each event has happened.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    connections: u64,
    losses: u64,
    changes: u64,
}

#[cfg(test)]
mod tests;
