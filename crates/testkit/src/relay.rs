//! A way out of a namespace, to one server.

use std::{
    io,
    net::{self, SocketAddr},
    sync::Arc,
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinSet,
};

use crate::{Error, Namespace, Result};

/// How many bytes are read at once where somebody looks on.
const CHUNK: usize = 64 * 1024;

/// Bytes that a [`Relay`] has carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Counts the connections.
    pub connection: u64,
    /// Where to.
    pub toward: Toward,
    /// When they came in.
    pub at: Instant,
    /// What came, as it came: a message may stand in several of these.
    pub bytes: Vec<u8>,
}

/// A direction of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Toward {
    /// From the one who connects.
    Server,
    /// To the one who connects.
    Client,
}

/// Somebody who looks on.
type Watch = Arc<dyn Fn(Carried) + Send + Sync>;

/// Lets those in a namespace reach a TCP server outside, at the address that it has outside. The
/// address must be one of the loopback's, so that the namespace has it too.
///
/// It can be cut, as a cable can be. Dropping it ends its connections.
#[derive(Debug)]
pub struct Relay {
    runtime: Option<Runtime>,
    open: watch::Sender<bool>,
}

impl Relay {
    /// Listens in the namespace at the address of the server, which is reached from the namespace
    /// of the calling thread and need not listen yet.
    ///
    /// # Errors
    /// When somebody in the namespace has that address already.
    pub fn start(namespace: &Namespace, server: SocketAddr) -> Result<Self> {
        Self::open(namespace, server, None)
    }

    /// As [`Relay::start`], with somebody who is told of all that passes before it goes on, and so
    /// must be quick.
    ///
    /// # Errors
    /// As [`Relay::start`].
    pub fn watched(
        namespace: &Namespace,
        server: SocketAddr,
        watch: impl Fn(Carried) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::open(namespace, server, Some(Arc::new(watch)))
    }

    fn open(namespace: &Namespace, server: SocketAddr, watch: Option<Watch>) -> Result<Self> {
        let listener = namespace.inside(|| {
            let listener = net::TcpListener::bind(server)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        let (open, opened) = watch::channel(true);
        // The thread of this runtime is in the namespace of the one that makes it.
        let start = |listener: io::Result<net::TcpListener>| {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
            let listener = {
                let _context = runtime.enter();
                TcpListener::from_std(listener?)?
            };
            runtime.spawn(accept(listener, server, opened, watch));
            Ok(runtime)
        };
        let runtime = start(listener).map_err(|source| Error::Socket {
            action: format!("listen at {server}"),
            name: namespace.name().to_owned(),
            source,
        })?;
        Ok(Self { runtime: Some(runtime), open })
    }

    /// Ends all connections and lets nobody through until [`Relay::mend`].
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets everybody through again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Also from within a runtime of somebody else's.
            runtime.shutdown_background();
        }
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    open: watch::Receiver<bool>,
    watch: Option<Watch>,
) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    while let Ok((inside, _)) = listener.accept().await {
        number += 1;
        let (mut open, watch) = (open.clone(), watch.clone());
        connections.spawn(async move {
            tokio::select! {
                _ = open.wait_for(|open| !open) => {}
                () = carry(inside, server, number, watch) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut inside: TcpStream, server: SocketAddr, connection: u64, watch: Option<Watch>) {
    let Ok(mut outside) = TcpStream::connect(server).await else { return };
    let _no_delay = [inside.set_nodelay(true), outside.set_nodelay(true)];
    let Some(watch) = watch else {
        let _ended = copy_bidirectional(&mut inside, &mut outside).await;
        return;
    };
    let (from_client, to_client) = inside.split();
    let (from_server, to_server) = outside.split();
    let tell = |toward| {
        let watch = Arc::clone(&watch);
        move |bytes: &[u8]| {
            let (at, bytes) = (Instant::now(), bytes.to_vec());
            watch(Carried { connection, toward, at, bytes });
        }
    };
    let _ended = tokio::join!(
        pump(from_client, to_server, tell(Toward::Server)),
        pump(from_server, to_client, tell(Toward::Client)),
    );
}

/// Carries one direction to its end.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    tell: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await?;
        let Some(bytes) = chunk.get(..length).filter(|bytes| !bytes.is_empty()) else {
            return to.shutdown().await;
        };
        tell(bytes);
        to.write_all(bytes).await?;
    }
}
