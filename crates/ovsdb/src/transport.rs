//! Byte streams to a [`Remote`]: Unix sockets, TCP, and TLS over it.

use std::io;

use peer::tls::{self, Identity, Trust};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::remote::Remote;

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
            let trust = Trust::Authority { ca: files.ca.clone() };
            let identity = Identity { cert: files.cert.clone(), key: files.key.clone() };
            let (config, name) = tls::config(&trust, Some(&identity), host).await?;
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
    /// TLS cannot be spoken with what was given.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}
