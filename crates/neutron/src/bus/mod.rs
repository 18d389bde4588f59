//! The bus: a pair of channel ends. What lies between them is a transport, which neither a server
//! nor an agent can see: [`local`] within a process, [`rabbit`] between hosts.
//!
//! ```text
//! agent: Caller ── Request ──> [transport] ── Request ──> ServerEnd   :server
//!        Casts  <── Cast ───── [transport] <── Cast ───── Caster
//! ```
//!
//! Both queues are bounded. A caller waits where the queue of requests is full, at most until its
//! deadline. A server never waits: an agent that takes its casts too slowly loses the oldest and
//! is told so ([`Cast::Lagged`]).

mod link;
pub mod local;
pub mod rabbit;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::Instant;

pub use self::link::Cut;
use self::link::Link;
use crate::rpc::{Call, Cast, Failure, RESPONSE_TIMEOUT, Request, Responder};

/// An agent's end.
#[derive(Debug)]
pub struct AgentEnd {
    caller: Caller,
    casts: Casts,
}

/// Makes calls. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Caller {
    requests: mpsc::Sender<Asked>,
    link: Link,
    /// How long to wait for answers, where that is not said of a call itself.
    response_timeout: Duration,
}

/// A request on its way.
#[derive(Debug)]
struct Asked {
    request: Request,
    /// When its caller gives up.
    until: Instant,
}

/// Receives what the server tells agents.
#[derive(Debug)]
pub struct Casts {
    host: String,
    casts: broadcast::Receiver<Arc<Addressed>>,
    link: Link,
    /// How often the link had come back when casts were last listened for.
    returns: u64,
}

/// A server's end.
#[derive(Debug)]
pub struct ServerEnd {
    requests: mpsc::Receiver<Asked>,
    caster: Caster,
}

/// Tells agents. Clones share the connection.
#[derive(Debug, Clone)]
pub struct Caster {
    casts: broadcast::Sender<Arc<Addressed>>,
}

/// A cast, and for whom it is.
#[derive(Debug, Clone)]
struct Addressed {
    /// The host of the agent; every agent if there is none.
    host: Option<String>,
    cast: Cast,
}

/// A call that has no reply.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer came in time. The server may have acted all the same.
    #[error("{method}: no answer within {seconds} s")]
    Timeout {
        /// What was called.
        method: &'static str,
        /// How long the caller waited.
        seconds: u64,
    },
    /// The server, or the way to it, has gone.
    #[error("{method}: the server has gone")]
    Disconnected {
        /// What was called.
        method: &'static str,
    },
    /// The server could not do it.
    #[error("{method}: the server failed")]
    Failure {
        /// What was called.
        method: &'static str,
        /// What it said.
        #[source]
        failure: Failure,
    },
}

impl AgentEnd {
    /// The same end, with calls that wait so long for their answers (`rpc_response_timeout`).
    /// Heartbeats wait as long as ever.
    #[must_use]
    pub fn with_response_timeout(mut self, limit: Duration) -> Self {
        self.caller.response_timeout = limit;
        self
    }

    /// What makes calls, for who calls before there is an agent.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// The two directions, for two tasks.
    pub fn split(self) -> (Caller, Casts) {
        (self.caller, self.casts)
    }
}

impl Caller {
    /// Calls the server and waits for the answer, at most [`Call::DEADLINE`], or what stands in its
    /// place ([`AgentEnd::with_response_timeout`]).
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    pub async fn call<C: Call>(&self, call: C) -> Result<C::Reply, CallError> {
        let method = C::METHOD;
        let is_usual = C::DEADLINE == RESPONSE_TIMEOUT;
        let limit = if is_usual { self.response_timeout } else { C::DEADLINE };
        let until = Instant::now() + limit;
        let answer = async {
            self.link.established().await;
            let (responder, answer) = Responder::new();
            let asked = Asked { request: call.into_request(responder), until };
            self.requests.send(asked).await.map_err(|_| CallError::Disconnected { method })?;
            let answer = answer.await;
            self.link.established().await;
            answer
                .map_err(|_| CallError::Disconnected { method })?
                .map_err(|failure| CallError::Failure { method, failure })
        };
        tokio::time::timeout_at(until, answer)
            .await
            .map_err(|_| CallError::Timeout { method, seconds: limit.as_secs() })?
    }
}

impl Casts {
    /// Waits for the next cast; `None` once the server has gone.
    pub async fn recv(&mut self) -> Option<Cast> {
        loop {
            let returns = self.link.established().await;
            if returns != self.returns {
                self.returns = returns;
                self.casts = self.casts.resubscribe();
                return Some(Cast::Lagged);
            }
            let next = tokio::select! {
                biased;
                () = self.link.broken(returns) => continue,
                next = self.casts.recv() => next,
            };
            match next {
                Ok(addressed) if addressed.is_for(&self.host) => {
                    return Some(Arc::unwrap_or_clone(addressed).cast);
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Some(Cast::Lagged),
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl ServerEnd {
    /// Waits for the next request; `None` once nobody can make one any more.
    pub async fn next_request(&mut self) -> Option<Request> {
        self.requests.recv().await.map(|asked| asked.request)
    }

    /// What tells agents.
    pub fn caster(&self) -> Caster {
        self.caster.clone()
    }
}

impl Caster {
    /// Tells every agent that is there. Never waits.
    pub fn cast(&self, cast: Cast) {
        self.send(Addressed { host: None, cast });
    }

    /// Tells the agent of this host alone, if it is there. Never waits. What is told to one and to
    /// all arrives in the order in which it was told.
    pub fn cast_to(&self, host: &str, cast: Cast) {
        self.send(Addressed { host: Some(host.to_owned()), cast });
    }

    fn send(&self, addressed: Addressed) {
        // An error means that there is no agent; one that comes later pulls what it needs.
        let _ = self.casts.send(Arc::new(addressed));
    }
}

impl Addressed {
    fn is_for(&self, host: &str) -> bool {
        self.host.as_ref().is_none_or(|wanted| wanted == host)
    }
}
