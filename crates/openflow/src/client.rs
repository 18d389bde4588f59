//! A connection to a switch, for anybody to use: the shell around the session.
//!
//! One task owns the connection (`run`): requests come to it over a bounded channel, each with
//! a one-shot channel for its answer. It ends when the last [`Client`] is dropped, when the
//! connection breaks, or when the switch breaks the protocol; requests that wait are then told.
//! It holds what one read and one write need, plus the changes of bundles that were handed to it.

mod monitor;
mod task;

pub use monitor::{FlowMonitor, InOrder, Told};

use crate::{
    conntrack::CtTuple,
    flow::{FlowMod, FlowStats},
    meter::{Meter, MeterMod},
    number::TableId,
    session::{
        BundleFailure, Handshake, HandshakeError, Progress, ProtocolError, Refusal, RefusedChange,
        Reply, Unity,
    },
    wire::{ErrorMessage, Features, header::Deframer},
};
use std::{
    collections::BTreeSet,
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use task::{Answer, Order, Request, Transport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    sync::{mpsc, oneshot},
};

/// How long connecting may take, hello and features included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that may wait for the task to take them.
const BACKLOG: usize = 16;

/// Where a switch listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// At a local socket, e.g. the management socket of a bridge, `<rundir>/br-int.mgmt`.
    Unix(PathBuf),
    /// At an address and port.
    Tcp(SocketAddr),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The socket did not come about or broke.
    #[error("cannot talk to the switch at {target}")]
    Io {
        /// Where.
        target: Target,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The switch closed the connection before it was ready.
    #[error("the switch at {target} closed the connection during the handshake")]
    Closed {
        /// Where.
        target: Target,
    },
    /// No agreement with the switch.
    #[error("no OpenFlow session with the switch at {target}")]
    Handshake {
        /// Where.
        target: Target,
        /// Why.
        #[source]
        source: HandshakeError,
    },
    /// The switch took too long.
    #[error("the switch at {target} did not answer for {} s", .after.as_secs())]
    Timeout {
        /// Where.
        target: Target,
        /// After how long.
        after: Duration,
    },
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The switch refused it.
    #[error("the switch refused the request: {0}")]
    Refused(ErrorMessage),
    /// The connection has a flow monitor already.
    #[error("the flows are monitored already")]
    Monitored,
    /// The connection is gone.
    #[error("the connection to the switch is gone")]
    Closed,
}

/// Why a bundle was not committed: the switch has what it had, unless the connection was lost or
/// the changes were [independent](InOrder::independent).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The switch refused one of the changes.
    #[error("the switch refused change {index}, '{flow_mod}': {error}")]
    Refused {
        /// Which one, from 0.
        index: usize,
        /// The change.
        flow_mod: Box<FlowMod>,
        /// What the switch said.
        error: ErrorMessage,
    },
    /// One of the changes does not fit into an OpenFlow message.
    #[error("change {index} is longer than an OpenFlow message: '{flow_mod}'")]
    TooLong {
        /// Which one, from 0.
        index: usize,
        /// The change.
        flow_mod: Box<FlowMod>,
    },
    /// The switch refused some changes and made the others.
    #[error("the switch refused {} changes of a bundle and made the others", refused.len())]
    Partly {
        /// Those that it refused.
        refused: Vec<RefusedChange>,
    },
    /// The switch refused the bundle as such.
    #[error("the switch refused the bundle: {0}")]
    Bundle(ErrorMessage),
    /// The connection is gone; the bundle may or may not have been committed.
    #[error("the connection to the switch is gone")]
    Closed,
}

/// A connection to a switch. Clones share it; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct Client {
    features: Arc<Features>,
    requests: mpsc::Sender<Request>,
    monitored: Arc<AtomicBool>,
}

impl Client {
    /// Connects, says hello and asks what the switch is.
    ///
    /// # Errors
    ///
    /// [`ConnectError`] where no session comes about within 10 seconds.
    pub async fn connect(target: &Target) -> Result<Self, ConnectError> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Self::greet(target)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout { target: target.clone(), after: CONNECT_TIMEOUT }),
        }
    }

    async fn greet(target: &Target) -> Result<Self, ConnectError> {
        let io_error = |source| ConnectError::Io { target: target.clone(), source };
        let mut transport = open(target).await.map_err(io_error)?;
        let mut deframer = Deframer::default();
        let mut out = Vec::new();
        let mut handshake = Handshake::start(&mut out);
        loop {
            transport.writer.write_all(&out).await.map_err(io_error)?;
            out.clear();
            if transport.reader.read_buf(deframer.buffer()).await.map_err(io_error)? == 0 {
                return Err(ConnectError::Closed { target: target.clone() });
            }
            let refused = |source| ConnectError::Handshake { target: target.clone(), source };
            while let Some(frame) =
                deframer.next().map_err(|error| refused(ProtocolError::from(error).into()))?
            {
                match handshake.receive(frame, &mut out).map_err(refused)? {
                    Progress::Waiting(next) => handshake = next,
                    Progress::Ready(session, features) => {
                        let (requests, inbox) = mpsc::channel(BACKLOG);
                        tokio::spawn(task::run(transport, deframer, session, out, inbox));
                        return Ok(Self {
                            features: Arc::new(features),
                            requests,
                            monitored: Arc::default(),
                        });
                    }
                }
            }
        }
    }

    /// What the switch said of itself.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Resolves once the switch has done everything that was asked before.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where the switch refuses or is gone.
    pub async fn barrier(&self) -> Result<(), RequestError> {
        self.request(Order::Barrier).await.map(drop)
    }

    /// Every flow of every table.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where the switch refuses or is gone.
    pub async fn dump_flows(&self) -> Result<Vec<FlowStats>, RequestError> {
        match self.request(Order::DumpFlows).await? {
            Reply::Flows(flows) => Ok(flows),
            _ => Err(RequestError::Closed),
        }
    }

    /// Has the switch tell of changes of these tables from now on, but not of those in others;
    /// [`TableId::ALL`] is all of them. What there is already is told by a dump that is asked for
    /// [in order](FlowMonitor::requests): no change falls between the two.
    ///
    /// Open vSwitch up to 3.1 at least does not survive a request that it has to refuse, so that
    /// none is sent for a table that it has not, nor a second one.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where the switch is gone or the connection has a monitor. A switch that knows
    /// no monitors is no error: see [`FlowMonitor::refusal`].
    pub async fn monitor_flows(
        &self,
        mut tables: BTreeSet<TableId>,
    ) -> Result<FlowMonitor, RequestError> {
        let n_tables = self.features.n_tables;
        tables.retain(|table| table.0 < n_tables || *table == TableId::ALL);
        if self.monitored.swap(true, Ordering::Relaxed) {
            return Err(RequestError::Monitored);
        }
        let (listener, told) = mpsc::channel(monitor::CHANNEL);
        let (answer, answered) = oneshot::channel();
        let answer = Answer::Monitor(answer, listener);
        let request = Request { order: Order::MonitorFlows(tables), answer };
        self.requests.send(request).await.map_err(|_| RequestError::Closed)?;
        match answered.await {
            Ok(Ok(_)) => Ok(FlowMonitor::new(self.clone(), told, None)),
            Ok(Err(Refusal::Request(error))) => {
                Ok(FlowMonitor::new(self.clone(), told, Some(error)))
            }
            Ok(Err(Refusal::Bundle(_))) | Err(_) => Err(RequestError::Closed),
        }
    }

    /// Makes changes in this order, all of them or none, visible to packets at once. Resolves when
    /// the switch says that it has committed them, which it says behind the fact, so that no
    /// barrier is needed. Dropping the future does not take the bundle back.
    ///
    /// # Errors
    ///
    /// [`BundleError`] says which change was refused and why.
    pub async fn bundle(&self, mods: Vec<FlowMod>) -> Result<(), BundleError> {
        match self.send(Order::Bundle(mods, Unity::Atomic)).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(Refusal::Request(error))) => Err(BundleError::Bundle(error)),
            Some(Err(Refusal::Bundle(failure))) => Err(failure.into()),
            None => Err(BundleError::Closed),
        }
    }

    /// Changes meters, in this order. Resolves when the switch has. Where it refuses one, those before
    /// are changed, and those behind may be.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where the switch refuses a change or is gone.
    pub async fn change_meters(&self, changes: Vec<MeterMod>) -> Result<(), RequestError> {
        self.request(Order::ChangeMeters(changes)).await.map(drop)
    }

    /// Every meter.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where the switch refuses or is gone.
    pub async fn dump_meters(&self) -> Result<Vec<Meter>, RequestError> {
        match self.request(Order::DumpMeters).await? {
            Reply::Meters(meters) => Ok(meters),
            _ => Err(RequestError::Closed),
        }
    }

    /// Has conntrack forget these connections of a zone, each named by its original direction;
    /// those that it does not know are no error. Resolves when it has.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where the switch is gone or refuses, as one before Open vSwitch 3.1 does.
    pub async fn flush_conntrack(
        &self,
        zone: u16,
        connections: Vec<CtTuple>,
    ) -> Result<(), RequestError> {
        self.request(Order::FlushConntrack { zone, connections }).await.map(drop)
    }

    /// Has conntrack forget everything in these zones. Resolves when it has.
    ///
    /// For the userspace datapath: a kernel before 6.8 may ignore the zone and forget everything.
    ///
    /// # Errors
    ///
    /// [`RequestError`] where the switch is gone or refuses, as one before Open vSwitch 2.6 does.
    pub async fn flush_conntrack_zones(&self, zones: Vec<u16>) -> Result<(), RequestError> {
        self.request(Order::FlushConntrackZones(zones)).await.map(drop)
    }

    /// Resolves when the connection is gone.
    pub async fn closed(&self) {
        self.requests.closed().await;
    }

    /// Whether the connection is gone.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    async fn request(&self, order: Order) -> Result<Reply, RequestError> {
        match self.send(order).await {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(Refusal::Request(error))) => Err(RequestError::Refused(error)),
            Some(Err(Refusal::Bundle(_))) | None => Err(RequestError::Closed),
        }
    }

    /// Hands an order to the task and waits; nothing where the task is gone.
    async fn send(&self, order: Order) -> Option<Result<Reply, Refusal>> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { order, answer: Answer::Alone(answer) }).await.ok()?;
        answered.await.ok()
    }
}

impl From<BundleFailure> for BundleError {
    fn from(failure: BundleFailure) -> Self {
        match failure {
            BundleFailure::Refused { index, flow_mod, error } => {
                Self::Refused { index, flow_mod, error }
            }
            BundleFailure::TooLong { index, flow_mod } => Self::TooLong { index, flow_mod },
            BundleFailure::Partly(refused) => Self::Partly { refused },
            BundleFailure::Bundle(error) => Self::Bundle(error),
        }
    }
}

async fn open(target: &Target) -> io::Result<Transport> {
    Ok(match target {
        Target::Unix(path) => {
            let (reader, writer) = UnixStream::connect(path).await?.into_split();
            Transport { reader: Box::new(reader), writer: Box::new(writer) }
        }
        Target::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            Transport { reader: Box::new(reader), writer: Box::new(writer) }
        }
    })
}
