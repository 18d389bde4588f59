//! The transport for one process: the channels of both ends are the same, and typed values cross
//! it as they are.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};

use super::{Addressed, AgentEnd, Caller, Caster, Casts, ServerEnd};
use crate::rpc::Request;

/// How many requests may wait for the server.
const REQUESTS: usize = 256;
/// How many casts an agent may be behind.
const CASTS: usize = 4096;

/// Where agents of this process join. Clones are the same bus.
#[derive(Debug, Clone)]
pub struct LocalBus {
    requests: mpsc::Sender<Request>,
    /// Weak, so that agents see the server go.
    casts: broadcast::WeakSender<Arc<Addressed>>,
}

impl LocalBus {
    /// A bus, and the server's end of it.
    pub fn new() -> (Self, ServerEnd) {
        Self::with_capacity(REQUESTS, CASTS)
    }

    pub(crate) fn with_capacity(requests: usize, casts: usize) -> (Self, ServerEnd) {
        let (request_sender, requests) = mpsc::channel(requests);
        let (casts, _) = broadcast::channel(casts);
        let bus = Self { requests: request_sender, casts: casts.downgrade() };
        (bus, ServerEnd { requests, caster: Caster { casts } })
    }

    /// The end of an agent on this host. Everything that is cast from now on reaches it.
    pub fn join(&self, host: &str) -> AgentEnd {
        tracing::debug!(host, "agent joins the local bus");
        let casts = match self.casts.upgrade() {
            Some(sender) => sender.subscribe(),
            // The server has gone: a channel whose sender is dropped at once says so.
            None => broadcast::channel(1).1,
        };
        let casts = Casts { host: host.to_owned(), casts };
        AgentEnd { caller: Caller { requests: self.requests.clone() }, casts }
    }
}
