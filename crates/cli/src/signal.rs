//! Signals that ask a command to end, or a service to read its files again.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A command was asked to end before it was done.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// SIGINT, SIGTERM and SIGHUP. They no longer end the process once this exists.
#[derive(Debug)]
pub(crate) struct Termination {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Termination {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process may not.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the first of them. May be cancelled at any time.
    pub(crate) async fn came(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

/// What a signal asks of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end.
    End,
    /// To read its files again.
    Reload,
}

/// The signals of a service: SIGINT and SIGTERM end it, SIGHUP does not.
#[derive(Debug)]
pub(crate) struct Service(Termination);

impl Service {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process may not.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Termination::listen().map(Self)
    }

    /// Waits for the next of them. May be cancelled at any time.
    pub(crate) async fn asked(&mut self) -> Asked {
        tokio::select! {
            _ = self.0.interrupt.recv() => Asked::End,
            _ = self.0.terminate.recv() => Asked::End,
            _ = self.0.hangup.recv() => Asked::Reload,
        }
    }
}
