//! The admin socket: how `weir status` and its like ask a running agent.
//!
//! One request a connection: a `Request` in JSON on a line, answered by an `Answer` in JSON.
//! The socket is readable and writable for its owner alone.
//!
//! `verify` and `trace` read the flows back over a connection of their own, and netfilter where that
//! filters ports, and compute in a thread of their own, so the loop is only asked for its snapshot.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dataplane::FlowSet;
use dataplane::hybrid::{Installed, Node};
use openflow::{Client, FlowStats, Target};
use peer::chain;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Config;
use crate::control::{Commander, ControlError};
use crate::event::{Event, View};
use crate::journal::Journal;
use crate::netfilter::{self, NetfilterError};
use crate::node;
use crate::rewire::{Migrate, MoveStatus};
use crate::show::{self, ShownBridge, Whose};
use crate::status::Status;
use crate::trace::{self, Trace};
use crate::verify::{self, Filtered, Given, Report, Sample, Traced};

/// How long one exchange may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long one report takes at most, but for what must be prepared and what the switch traces.
const VERIFY_TIME: Duration = Duration::from_secs(3);
/// How long the switch is asked to trace packets for one report, and how many differences are told.
const TRACE_TIME: Duration = Duration::from_secs(1);
const TRACES_TOLD: usize = 5;
/// How often it is looked again where something differs and has changed meanwhile.
const VERIFY_TRIES: usize = 3;
/// How long a bundle is given before it is looked again.
const VERIFY_REST: Duration = Duration::from_millis(200);
/// The longest request, in bytes.
const LONGEST_REQUEST: u64 = 0x10_0000;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    /// How the node is: a [`Status`].
    Status,
    /// What the bundles after the one with this number have cost: a [`Journal`].
    Journal(u64),
    /// Whether the flows do what the security groups say: a [`Report`].
    Verify,
    /// What becomes of a packet: a [`Trace`].
    Trace(trace::Question),
    /// The flows of a bridge in words: a [`ShownBridge`].
    Flows(String),
    /// Ports are to be moved to another firewall driver: how their moves go.
    Migrate(Migrate),
    /// How all moves go: a list of [`MoveStatus`].
    Moves,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer<T> {
    /// This.
    Ok(T),
    /// Why nothing.
    Error(String),
}

/// An agent that could not be asked.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens on the socket.
    #[error("no agent listens on {socket}; is 'weir up' running with this --state-dir?")]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or took too long.
    #[error("the agent on {socket} did not answer")]
    Exchange {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The agent said why it cannot answer.
    #[error("{message}")]
    Refused {
        /// What it said.
        message: String,
    },
    /// The answer makes no sense; the agent may be of another version.
    #[error("the agent on {socket} answered something else than expected")]
    Answer {
        /// The socket.
        socket: PathBuf,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// Asks the agent that listens on `socket` how its node is.
///
/// # Errors
///
/// See [`AskError`].
pub async fn status(socket: &Path) -> Result<Status, AskError> {
    ask(socket, &Request::Status).await
}

/// Asks the agent that listens on `socket` what its bundles after the one with this number, and
/// all in sum, have cost.
///
/// # Errors
///
/// See [`AskError`].
pub async fn journal(socket: &Path, after: u64) -> Result<Journal, AskError> {
    ask(socket, &Request::Journal(after)).await
}

/// Has the agent that listens on `socket` check the flows of its switch.
///
/// # Errors
///
/// See [`AskError`].
pub async fn verify(socket: &Path) -> Result<Report, AskError> {
    ask(socket, &Request::Verify).await
}

/// Has the agent that listens on `socket` follow a packet through the flows of its switch.
///
/// # Errors
///
/// See [`AskError`].
pub async fn trace(socket: &Path, question: trace::Question) -> Result<Trace, AskError> {
    ask(socket, &Request::Trace(question)).await
}

/// Has the agent that listens on `socket` explain the flows of a bridge that it looks after.
///
/// # Errors
///
/// See [`AskError`].
pub async fn flows(socket: &Path, bridge: &str) -> Result<ShownBridge, AskError> {
    ask(socket, &Request::Flows(bridge.to_owned())).await
}

/// Has the agent that listens on `socket` move ports to another firewall driver. Gives the moves of
/// these ports, as they begin; [`moves`] tells how they go.
///
/// # Errors
///
/// See [`AskError`].
pub async fn migrate(socket: &Path, migrate: Migrate) -> Result<Vec<MoveStatus>, AskError> {
    ask(socket, &Request::Migrate(migrate)).await
}

/// Asks the agent that listens on `socket` how the moves of ports go, those that have ended included.
///
/// # Errors
///
/// See [`AskError`].
pub async fn moves(socket: &Path) -> Result<Vec<MoveStatus>, AskError> {
    ask(socket, &Request::Moves).await
}

async fn ask<T: DeserializeOwned>(socket: &Path, request: &Request) -> Result<T, AskError> {
    let named = || socket.to_owned();
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AskError::Connect { socket: named(), source })?;
    let answer = tokio::time::timeout(DEADLINE, exchange(stream, request))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| AskError::Exchange { socket: named(), source })?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Ok(value)) => Ok(value),
        Ok(Answer::Error(message)) => Err(AskError::Refused { message }),
        Err(source) => Err(AskError::Answer { socket: named(), source }),
    }
}

async fn exchange(mut stream: UnixStream, request: &Request) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

/// Makes the socket. One that nobody listens on any more is replaced.
///
/// # Errors
///
/// The directory is not writable, or another agent listens there.
pub(crate) fn bind(socket: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(socket).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent listens there"));
    }
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(socket)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers whoever connects.
pub(crate) async fn serve(
    listener: UnixListener,
    config: Arc<Config>,
    events: mpsc::Sender<Event>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Desk { config: Arc::clone(&config), events: events.clone() };
                tokio::spawn(async move {
                    let served = tokio::time::timeout(DEADLINE, desk.serve(stream)).await;
                    if let Ok(Err(error)) = served {
                        tracing::debug!(%error, "an admin connection broke");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: it passes or it does not.
                tracing::warn!(%error, "cannot accept on the admin socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// What netfilter was found to hold.
type Found = Result<Installed, NetfilterError>;

/// Answers one connection.
struct Desk {
    config: Arc<Config>,
    events: mpsc::Sender<Event>,
}

impl Desk {
    async fn serve(&self, mut stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.split();
        let mut line = String::new();
        BufReader::new(reader.take(LONGEST_REQUEST)).read_line(&mut line).await?;
        let answer = match serde_json::from_str(line.trim()) {
            Ok(Request::Status) => serde_json::to_vec(&answer(self.status().await)),
            Ok(Request::Journal(after)) => serde_json::to_vec(&answer(self.journal(after).await)),
            Ok(Request::Verify) => serde_json::to_vec(&answer(self.verify().await)),
            Ok(Request::Trace(question)) => serde_json::to_vec(&answer(self.trace(question).await)),
            Ok(Request::Migrate(migrate)) => {
                let answered = node::ask_migrate(&self.events, migrate).await;
                serde_json::to_vec(&answer(answered.unwrap_or_else(|| Err(stopping()))))
            }
            Ok(Request::Moves) => serde_json::to_vec(&answer(
                node::ask_moves(&self.events).await.ok_or_else(stopping),
            )),
            Ok(Request::Flows(bridge)) => serde_json::to_vec(&answer(self.flows(bridge).await)),
            Err(error) => {
                let text = format!("the agent does not know this request: {error}");
                serde_json::to_vec(&Answer::<()>::Error(text))
            }
        };
        writer.write_all(&answer?).await
    }

    async fn status(&self) -> Result<Status, String> {
        node::ask_status(&self.events).await.ok_or_else(stopping)
    }

    async fn journal(&self, after: u64) -> Result<Journal, String> {
        node::ask_journal(&self.events, after).await.ok_or_else(stopping)
    }

    async fn verify(&self) -> Result<Report, String> {
        let asked = Instant::now();
        let mut tries = 1;
        loop {
            let begin = Instant::now();
            let (view, installed, found) = self.look().await?;
            let View { snapshot, desired, filtered, busy, .. } = view;
            let looked_at = Arc::clone(&snapshot);
            let config = Arc::clone(&self.config);
            let work = move || {
                let (snapshot, desired) = (&*looked_at, &desired);
                let given = Given { snapshot, desired, installed };
                let (report, samples) = verify::verify(given, VERIFY_TIME, || begin.elapsed());
                Report { switch: traced(&config, &samples), ..report }
            };
            let report = computed(work).await?;
            let netfilter = match (&filtered, found) {
                (Some(node), Some(found)) => Some(verified(Arc::clone(node), found).await?),
                _ => None,
            };
            let report = Report { netfilter, ..report };
            let now = node::ask_view(&self.events).await.ok_or_else(stopping)?;
            let is_same = match (&filtered, &now.filtered) {
                (Some(before), Some(now)) => Arc::ptr_eq(before, now),
                (before, now) => before.is_none() && now.is_none(),
            };
            let moved = busy || now.busy || !is_same || !Arc::ptr_eq(&snapshot, &now.snapshot);
            // Another look takes as long again, and somebody waits.
            let is_late = asked.elapsed() > DEADLINE / 3;
            if report.is_right() || !moved || is_late || tries == VERIFY_TRIES {
                return Ok(report);
            }
            tries += 1;
            tokio::time::sleep(VERIFY_REST).await;
        }
    }

    async fn trace(&self, question: trace::Question) -> Result<Trace, String> {
        let (view, flows, found) = self.look().await?;
        let work = move || {
            let read = |found: Found| match found {
                Ok(installed) => Ok(installed.netfilter()),
                Err(error @ NetfilterError::Unfiltered(_)) => Err(chain(&error)),
                Err(error) => Err(format!("netfilter cannot be read: {}", chain(&error))),
            };
            let installed = trace::Installed { flows, netfilter: found.map(read) };
            trace::trace(&view.snapshot, &view.names, &installed, &question)
        };
        computed(work).await?.map_err(|error| chain(&error))
    }

    async fn flows(&self, name: String) -> Result<ShownBridge, String> {
        let Some((role, known)) = self.config.role(&name) else {
            let names: Vec<&str> = self.config.bridges().collect();
            let names = names.join(", ");
            return Err(format!(
                "this agent does not look after a bridge {name}; it does: {names}"
            ));
        };
        let view = node::ask_view(&self.events).await.ok_or_else(stopping)?;
        let status = self.status().await?;
        let stats = self.dump(&name).await?;
        let work = move || {
            let interfaces = status.ports.into_iter().map(|port| (port.id, port.interface));
            let (interfaces, View { snapshot, desired, names, .. }) = (interfaces.collect(), &view);
            let whose = Whose { snapshot, desired, names, interfaces: &interfaces };
            show::tables(known, &stats, &whose)
        };
        Ok(ShownBridge { name, role, tables: computed(work).await? })
    }

    /// What the flows of the integration bridge should be by, the flows, and what netfilter holds where it
    /// is to filter ports.
    async fn look(&self) -> Result<(View, FlowSet, Option<Found>), String> {
        let view = node::ask_view(&self.events).await.ok_or_else(stopping)?;
        let flows = self.dump(&self.config.integration_bridge).await?;
        let found = match view.filtered.is_some() {
            true => Some(netfilter::read().await),
            false => None,
        };
        Ok((view, flows.into_iter().map(|stats| stats.flow).collect(), found))
    }

    /// The flows of a bridge, over a connection of its own.
    async fn dump(&self, bridge: &str) -> Result<Vec<FlowStats>, String> {
        let target = Target::Unix(self.config.management_socket(bridge));
        let client = Client::connect(&target).await.map_err(|error| chain(&error))?;
        client.dump_flows().await.map_err(|error| chain(&error))
    }
}

/// What netfilter was found to hold is held to what it is to do.
async fn verified(node: Arc<Node>, found: Found) -> Result<Filtered, String> {
    match found {
        Ok(installed) => {
            let begin = Instant::now();
            let clock = move || begin.elapsed();
            let work = move || {
                verify::filtering::verify(&node, &installed.netfilter(), VERIFY_TIME, clock)
            };
            computed(work).await
        }
        Err(error) => {
            let (ports, trouble) = (node.ports.len(), Some(chain(&error)));
            Ok(Filtered { ports, trouble, ..Filtered::default() })
        }
    }
}

/// Has the switch trace the samples. Blocks.
fn traced(config: &Config, samples: &[Sample]) -> Traced {
    let mut traced = Traced::default();
    let socket = config.control().socket();
    let trace = |traced: &mut Traced| -> Result<(), ControlError> {
        let until = Instant::now() + TRACE_TIME;
        let mut switch = Commander::connect(&socket)?;
        for sample in samples.iter().take_while(|_| Instant::now() < until) {
            let arguments = sample.arguments(&config.integration_bridge);
            let trace = switch.command("ofproto/trace", &arguments)?;
            traced.traced += 1;
            if let Err(difference) = sample.compare(&trace) {
                traced.differ += 1;
                if traced.differences.len() < TRACES_TOLD {
                    traced.differences.push(*difference);
                }
            }
        }
        Ok(())
    };
    if let Err(error) = trace(&mut traced) {
        traced.trouble = Some(format!("{}: {}", socket.display(), chain(&error)));
    }
    traced
}

fn answer<T>(result: Result<T, String>) -> Answer<T> {
    result.map_or_else(Answer::Error, Answer::Ok)
}

async fn computed<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| chain(&error))
}

fn stopping() -> String {
    "the agent is stopping".to_owned()
}
