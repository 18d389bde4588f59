//! A way out of a namespace, to one server.

use std::{
    io,
    net::{self, SocketAddr},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinSet,
};

use crate::{Error, Namespace, Result};

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
            runtime.spawn(accept(listener, server, opened));
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

async fn accept(listener: TcpListener, server: SocketAddr, open: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((inside, _)) = listener.accept().await {
        let mut open = open.clone();
        connections.spawn(async move {
            tokio::select! {
                _ = open.wait_for(|open| !open) => {}
                () = carry(inside, server) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn carry(mut inside: TcpStream, server: SocketAddr) {
    if let Ok(mut outside) = TcpStream::connect(server).await {
        let _no_delay = [inside.set_nodelay(true), outside.set_nodelay(true)];
        let _ended = copy_bidirectional(&mut inside, &mut outside).await;
    }
}
