//! Byte streams to an [`Endpoint`]: TCP, and TLS over it.

use std::{io, sync::Arc};

use peer::tls;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{Endpoint, Error, Result};

/// A connection, whatever carries it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connects.
pub(crate) async fn connect(endpoint: &Endpoint) -> Result<Box<dyn Stream>> {
    let failed = |source| Error::Connect { peer: endpoint.to_string(), source: Arc::new(source) };
    let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await;
    let stream = stream.map_err(failed)?;
    // Most messages are small and somebody waits for their answer.
    stream.set_nodelay(true).map_err(failed)?;
    let Some(settings) = &endpoint.tls else { return Ok(Box::new(stream)) };
    let (config, name) =
        tls::config(&settings.trust, settings.identity.as_ref(), &endpoint.host).await?;
    let connector = tokio_rustls::TlsConnector::from(config);
    let stream = connector.connect(name, stream).await;
    let stream = stream.map_err(|error| handshake_error(endpoint, error))?;
    Ok(Box::new(stream))
}

/// Says whether it was the certificate.
fn handshake_error(endpoint: &Endpoint, error: io::Error) -> Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let untrusted = matches!(cause, Some(rustls::Error::InvalidCertificate(_)));
    let (peer, source) = (endpoint.to_string(), Arc::new(error));
    if untrusted { Error::Untrusted { peer, source } } else { Error::Connect { peer, source } }
}
