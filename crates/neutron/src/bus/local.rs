//! The transport for one process: the channels of both ends are the same, and typed values cross
//! it as they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{broadcast, mpsc};

use super::{Addressed, AgentEnd, Asked, Caller, Caster, Casts, Cut, Link, ServerEnd};
use crate::rpc::RESPONSE_TIMEOUT;

/// How many requests may wait for the server.
const REQUESTS: usize = 256;
/// How many casts an agent may be behind.
const CASTS: usize = 4096;

/// Where agents of this process join. Clones are the same bus.
#[derive(Debug, Clone)]
pub struct LocalBus {
    requests: mpsc::Sender<Asked>,
    /// Weak, so that agents see the server go.
    casts: broadcast::WeakSender<Arc<Addressed>>,
    /// By host. An agent that joins again has the link of the one before.
    links: Arc<Mutex<HashMap<String, Link>>>,
}

impl LocalBus {
    /// A bus, and the server's end of it.
    pub fn new() -> (Self, ServerEnd) {
        Self::with_capacity(REQUESTS, CASTS)
    }

    pub(crate) fn with_capacity(requests: usize, casts: usize) -> (Self, ServerEnd) {
        let (request_sender, requests) = mpsc::channel(requests);
        let (casts, _) = broadcast::channel(casts);
        let bus =
            Self { requests: request_sender, casts: casts.downgrade(), links: Arc::default() };
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
        let link = self.link(host);
        let returns = link.returns();
        AgentEnd {
            caller: Caller {
                requests: self.requests.clone(),
                link: link.clone(),
                response_timeout: RESPONSE_TIMEOUT,
            },
            casts: Casts { host: host.to_owned(), casts, link, returns },
        }
    }

    /// Holds the agent of this host off the bus, now or when it joins, as if its broker were out
    /// of reach: its calls wait, until their deadlines; casts are lost, and it is told so on its
    /// return, when what this gives is dropped.
    pub fn cut(&self, host: &str) -> Cut {
        self.link(host).cut()
    }

    /// Both directions of the server, for another transport to the same server.
    pub(super) fn attach(&self) -> (mpsc::Sender<Asked>, broadcast::Receiver<Arc<Addressed>>) {
        let casts = match self.casts.upgrade() {
            Some(sender) => sender.subscribe(),
            // As in [`LocalBus::join`].
            None => broadcast::channel(1).1,
        };
        (self.requests.clone(), casts)
    }

    fn link(&self, host: &str) -> Link {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.entry(host.to_owned()).or_insert_with(Link::new).clone()
    }
}
