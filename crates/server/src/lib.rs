//! The server: the API, ML2 (segments, addresses, port binding), the store, and the RPC endpoint
//! that agents call.
//!
//! A request goes from `http` to the module of its resource (`network` is the one to read first),
//! which changes the store in one unit of work and says which objects agents must hear of; the
//! store tells them once the change is written. What agents say comes in at `endpoint`.
//!
//! Tasks: one serves HTTP (in: the listener; out: answers), one for each connection and each
//! change; one answers agents (in: requests from the bus; out: answers). Both end with
//! [`Server::stop`], or when the [`Server`] is dropped.

mod address_group;
mod agent;
mod binding;
mod config;
mod default_security_group_rule;
mod endpoint;
mod error;
mod http;
mod ipam;
mod l2pop;
mod mtu;
mod network;
mod port;
mod qos_policy;
mod query;
mod quota;
mod resource;
mod security_group;
mod security_group_rule;
mod segment;
mod store;
mod subnet;
mod tag;
mod time;
mod trunk;
mod tunnel;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use neutron::bus::ServerEnd;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use self::config::{
    Config, FlatNetworks, IpVersion, KeyRange, Limits, MtuConfig, ParseIpVersionError,
    ParseTunnelRangeError, ParseVlanRangeError, SegmentConfig, TunnelRange, VlanRange, VniRange,
};
use self::store::Store;

/// How long open connections may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    store: Store,
    stop: Stop,
    api: Task<()>,
    endpoint: Task<ServerEnd>,
}

/// What tells the tasks to end. They end as well when it is dropped.
#[derive(Debug)]
struct Stop {
    api: oneshot::Sender<()>,
    endpoint: oneshot::Sender<()>,
}

/// Why a server does not start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be made.
    #[error("cannot make the state directory {}", path.display())]
    StateDir {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be opened or brought up to date.
    #[error("cannot open the store in {}", path.display())]
    Store {
        /// The state directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody can listen there.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Server {
    /// Opens the store, listens, and answers agents on the bus.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start(config: Config, bus: ServerEnd) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let path = || config.state_dir.clone();
        std::fs::create_dir_all(&config.state_dir)
            .map_err(|source| StartError::StateDir { path: path(), source })?;
        let store = Store::open(Arc::clone(&config), bus.caster())
            .await
            .map_err(|error| StartError::Store { path: path(), source: error.into() })?;
        let address = config.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop_api, api_stopped) = oneshot::channel();
        let (stop_endpoint, endpoint_stopped) = oneshot::channel();
        let stop = Stop { api: stop_api, endpoint: stop_endpoint };
        let serve = axum::serve(listener, http::router(store.clone()))
            .with_graceful_shutdown(async { drop(api_stopped.await) });
        let api = Task::spawn(async move { drop(serve.await) });
        let endpoint = Task::spawn(endpoint::serve(bus, store.clone(), endpoint_stopped));
        Ok(Self { address, store, stop, api, endpoint })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, finishes what was begun, and closes the store. Gives back its end of the bus,
    /// on which another server may answer what agents have asked meanwhile; nothing if what was
    /// begun did not end.
    pub async fn stop(self) -> Option<ServerEnd> {
        let Self { store, stop, mut api, mut endpoint, .. } = self;
        // An error means that it has stopped already.
        let _ = stop.api.send(());
        let _ = tokio::time::timeout(PATIENCE, &mut api.0).await;
        // Changes that the API has made are told by now.
        let _ = stop.endpoint.send(());
        let end = tokio::time::timeout(PATIENCE, &mut endpoint.0).await;
        drop(endpoint);
        store.close().await;
        end.ok()?.ok()
    }
}

/// A task that ends when its handle is dropped.
#[derive(Debug)]
struct Task<T>(JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    fn spawn(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
