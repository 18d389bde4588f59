//! The task that owns the connection: connects, serves a session until it is lost, backs off.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use peer::chain;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use uuid::Uuid;

use super::{Command, Options, State};
use crate::outcome::TransactError;
use crate::remote::Remote;
use crate::replica::{Replica, ReplicaError};
use crate::session::{Incoming, Session, SessionError};
use crate::transport::{ConnectError, Stream, connect};
use crate::update::Update;

/// Transactions without an answer, and bytes not sent, beyond which no more are taken on.
const MOST_WAITING: usize = 256;
const MOST_UNSENT: usize = 1 << 20;

/// How much is read at once.
const READ: usize = 64 << 10;

/// Runs until the last client is dropped.
pub(super) async fn run(
    remote: Remote,
    options: Options,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<State>,
) {
    let mut connection = Connection { options, commands, state, last_transaction: None };
    let mut failures = 0;
    loop {
        let before = connection.state.borrow().counts.connections;
        let Err(loss) = connection.attempt(&remote).await else { return };
        if connection.state.borrow().counts.connections != before {
            failures = 0;
        }
        let retry_in = connection.options.retry_delay(failures);
        failures = failures.saturating_add(1);
        connection.publish_loss(&loss, retry_in);
        if connection.refusing(sleep(retry_in)).await.is_none() {
            return;
        }
    }
}

struct Connection {
    options: Options,
    commands: mpsc::Receiver<Command>,
    state: watch::Sender<State>,
    /// The last transaction that the replica has seen, if the server tells.
    last_transaction: Option<Uuid>,
}

type Waiting = HashMap<u64, oneshot::Sender<Result<Value, TransactError>>>;

impl Connection {
    /// Connects and serves. Returns well when the last client is dropped.
    async fn attempt(&mut self, remote: &Remote) -> Result<(), Loss> {
        let limit = self.options.connect_deadline;
        match self.refusing(timeout(limit, connect(remote))).await {
            None => Ok(()),
            Some(Err(_)) => Err(Loss::ConnectDeadline { remote: remote.to_string(), limit }),
            Some(Ok(stream)) => self.serve(stream?).await,
        }
    }

    /// Does `work` while there is no connection. `None` when the last client is dropped.
    async fn refusing<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                command = self.commands.recv() => {
                    // The caller may have gone away meanwhile.
                    let _ = command?.reply.send(Err(TransactError::NotConnected));
                }
            }
        }
    }

    /// Serves a session. Transactions without an answer fail when this returns, because the ends
    /// of their channels in `waiting` are dropped.
    async fn serve(&mut self, stream: Box<dyn Stream>) -> Result<(), Loss> {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut session = Session::new(&self.options.database, self.last_transaction);
        let mut waiting = Waiting::new();
        let mut buffer = vec![0; READ];
        let mut unflushed = false;
        let probe = self.options.inactivity_probe;
        let mut probed = false;
        let mut silent_until = Instant::now() + probe;
        loop {
            let unsent = session.output().len();
            tokio::select! {
                read = reader.read(&mut buffer) => {
                    let count = read.map_err(Loss::Read)?;
                    if count == 0 {
                        return Err(Loss::Closed);
                    }
                    session.receive(buffer.get(..count).unwrap_or_default());
                    while let Some(incoming) = session.next()? {
                        self.take(incoming, &mut waiting)?;
                    }
                    probed = false;
                    silent_until = Instant::now() + probe;
                }
                written = write(&mut writer, session.output()), if unsent > 0 || unflushed => {
                    let count = written.map_err(Loss::Write)?;
                    session.sent(count);
                    unflushed = count > 0;
                }
                command = self.commands.recv(),
                    if waiting.len() < MOST_WAITING && unsent < MOST_UNSENT =>
                {
                    let Some(Command { params, reply }) = command else { return Ok(()) };
                    if !self.state.borrow().connected {
                        // Without a replica its answer could not be in the replica. The caller
                        // may have gone away meanwhile.
                        let _ = reply.send(Err(TransactError::NotConnected));
                    } else if !reply.is_closed() {
                        // One that nobody waits for any more has passed its deadline.
                        waiting.insert(session.transact(&params), reply);
                    }
                }
                () = sleep_until(silent_until), if !probe.is_zero() => {
                    if probed {
                        return Err(Loss::Silent { period: probe * 2 });
                    }
                    session.probe();
                    probed = true;
                    silent_until = Instant::now() + probe;
                }
            }
        }
    }

    /// Carries out what the server said.
    fn take(&mut self, incoming: Incoming, waiting: &mut Waiting) -> Result<(), Loss> {
        match incoming {
            Incoming::Initial { update, transaction } => {
                let replica = Replica::from_initial(&update)?;
                self.last_transaction = transaction;
                self.state.send_modify(|state| {
                    if *state.replica != replica {
                        state.replica = Arc::new(replica);
                        state.counts.changes += 1;
                    }
                    state.connected = true;
                    state.counts.connections += 1;
                });
            }
            Incoming::Resumed { update, transaction } => {
                self.apply(&update, transaction)?;
                self.state.send_modify(|state| {
                    state.connected = true;
                    state.counts.connections += 1;
                });
            }
            Incoming::Changed { update, transaction } => self.apply(&update, transaction)?,
            Incoming::Answer { id, result } => {
                if let Some(reply) = waiting.remove(&id) {
                    let refused =
                        |error: Value| TransactError::Refused { error: error.to_string() };
                    // The caller may have gone away meanwhile.
                    let _ = reply.send(result.map_err(refused));
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, update: &Update, transaction: Option<Uuid>) -> Result<(), ReplicaError> {
        // Until it is applied the replica is at no known transaction.
        self.last_transaction = None;
        let mut applied = Ok(());
        self.state.send_if_modified(|state| {
            if update.is_empty() {
                return false;
            }
            // Copies the replica only when somebody still holds the one before.
            applied = Arc::make_mut(&mut state.replica).apply(update);
            state.counts.changes += u64::from(applied.is_ok());
            applied.is_ok()
        });
        applied?;
        self.last_transaction = transaction;
        Ok(())
    }

    fn publish_loss(&self, loss: &Loss, retry_in: Duration) {
        let reason = chain(loss);
        tracing::debug!(%reason, ?retry_in, "no connection to the database");
        self.state.send_modify(|state| {
            state.connected = false;
            state.reason = reason;
            state.retry_in = retry_in;
            state.counts.losses += 1;
        });
    }
}

impl Options {
    /// How long to wait after this many failures before. Random, so that the clients of a server
    /// that comes back do not all come at once.
    fn retry_delay(&self, failures: u32) -> Duration {
        let doubled = self.first_retry.saturating_mul(2_u32.saturating_pow(failures));
        let longest = doubled.min(self.longest_retry);
        let [random, ..] = Uuid::new_v4().into_bytes();
        longest.mul_f64(1.0 - f64::from(random) / 512.0)
    }
}

/// Sends some of the bytes, or flushes when there are none. Nothing is lost when it is cancelled.
async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(bytes).await {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    }
}

/// Why there is no connection any more.
#[derive(Debug, thiserror::Error)]
enum Loss {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("no connection to {remote} within {limit:?}")]
    ConnectDeadline { remote: String, limit: Duration },
    #[error("the server closed the connection")]
    Closed,
    #[error("cannot read from the server")]
    Read(#[source] io::Error),
    #[error("cannot write to the server")]
    Write(#[source] io::Error),
    #[error("the server was silent for {period:?}")]
    Silent { period: Duration },
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the replica and the server have gone apart")]
    Replica(#[from] ReplicaError),
}

#[cfg(test)]
mod tests;
