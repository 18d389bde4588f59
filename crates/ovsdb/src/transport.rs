//! Byte streams to a [`Remote`]: Unix sockets, TCP, and TLS over it.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::remote::Remote;

mod tls;

/// A connection, whatever carries it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects.
pub(crate) async fn connect(remote: &Remote) -> Result<Box<dyn Stream>, ConnectError> {
    let socket = |source| ConnectError::Socket { remote: remote.to_string(), source };
    match remote {
        Remote::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(socket)?)),
        Remote::Tcp(host, port) => Ok(Box::new(tcp(host, *port).await.map_err(socket)?)),
        Remote::Tls { host, port, files } => {
            let config = tls::config(files).await?;
            let name = tls::server_name(host)?;
            let stream = tcp(host, *port).await.map_err(socket)?;
            let connector = tokio_rustls::TlsConnector::from(config);
            Ok(Box::new(connector.connect(name, stream).await.map_err(socket)?))
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // A transaction is one small message that waits for its answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Why a database could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The socket, or the TLS handshake on it, failed.
    #[error("cannot connect to {remote}")]
    Socket { remote: String, source: io::Error },
    /// A file that TLS needs cannot be read.
    #[error("cannot read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A file that TLS needs holds no certificate or key.
    #[error("cannot use {}", path.display())]
    Pem { path: PathBuf, source: rustls::pki_types::pem::Error },
    /// The key and the certificates do not go together.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The host is neither a name nor an address.
    #[error("'{host}' is neither a host name nor an address")]
    Host { host: String },
}
