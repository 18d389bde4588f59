//! The admin socket: how `weir status` and its like ask a running agent.
//!
//! One request a connection: a line with the command, answered by one JSON document. The socket
//! is readable and writable for its owner alone.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::event::Event;
use crate::node;
use crate::status::Status;

/// How long one exchange may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// The longest request, in bytes.
const LONGEST_REQUEST: u64 = 256;

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
    let named = || socket.to_owned();
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| AskError::Connect { socket: named(), source })?;
    let answer = tokio::time::timeout(DEADLINE, exchange(stream))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| AskError::Exchange { socket: named(), source })?;
    serde_json::from_slice(&answer).map_err(|source| AskError::Answer { socket: named(), source })
}

async fn exchange(mut stream: UnixStream) -> io::Result<Vec<u8>> {
    stream.write_all(b"status\n").await?;
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
pub(crate) async fn serve(listener: UnixListener, events: mpsc::Sender<Event>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let events = events.clone();
                tokio::spawn(async move {
                    let served = tokio::time::timeout(DEADLINE, answer(stream, &events)).await;
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

async fn answer(mut stream: UnixStream, events: &mpsc::Sender<Event>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST_REQUEST)).read_line(&mut line).await?;
    let answer = match line.trim() {
        "status" => match node::ask_status(events).await {
            Some(status) => serde_json::to_vec(&status)?,
            None => return Ok(()),
        },
        other => serde_json::to_vec(&serde_json::json!({
            "error": format!("unknown command '{other}'; there is: status"),
        }))?,
    };
    writer.write_all(&answer).await
}
