//! The transport over RabbitMQ, in oslo.messaging's form: stock agents and servers at the other end
//! see no difference.
//!
//! | task | takes | gives |
//! | --- | --- | --- |
//! | supervisor of an agent ([`join`]) | requests of [`Caller`]s; answers and casts from the broker | calls to the broker; answers; casts |
//! | supervisor of a server ([`serve`]) | requests from the broker; casts of the server | requests; answers and casts to the broker |
//! | readers, one for each queue | deliveries | the same, to the supervisor |
//! | one for each request of a server that is under way | its answer | the same, to the supervisor |
//!
//! A supervisor has one connection. When it is lost, or anything on it fails, all of it is built
//! anew, with the same names: hosts in turn, with back-off. The tasks end with [`Member::leave`],
//! which deletes the queues that are the process's own, or when the ends or the [`Member`] are
//! dropped.
//!
//! Everything is done at most once. A message is acknowledged before it is looked at, and known
//! when it comes again; a call is never sent a second time. What got lost on the way is the
//! caller's to know: a call fails when it is clear that no answer can come, and whoever may have
//! missed casts is told so.

mod agent;
mod options;
mod publication;
mod server;
mod supervisor;
mod wiring;

pub use amqp::{Identity, Mechanism, ParseUrlError, TransportUrl};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

pub use self::options::{RabbitOptions, TlsOptions};
use super::link::Link;
use super::local::LocalBus;
use super::{AgentEnd, Asked, Caller, Casts};
use crate::oslo::{self, Interests, QueueOptionsError};
use crate::rpc::RESPONSE_TIMEOUT;

/// How many requests may wait for the broker.
const REQUESTS: usize = 256;
/// How many casts an agent may be behind.
const CASTS: usize = 4096;

/// A process that is on the bus. Dropping it takes the process off without a word.
#[derive(Debug)]
#[must_use = "the process is taken off the bus when this is dropped"]
pub struct Member {
    stop: watch::Sender<bool>,
    supervisor: JoinHandle<()>,
}

/// Puts the agent of this host on the bus. It connects by itself, again and again.
///
/// # Errors
///
/// The options contradict each other.
///
/// # Panics
///
/// Outside of a Tokio runtime.
pub fn join(
    options: RabbitOptions,
    host: &str,
    interests: Interests,
) -> Result<(AgentEnd, Member), QueueOptionsError> {
    options.queues.check()?;
    let unique = || Uuid::new_v4().simple().to_string();
    let topology = oslo::agent(&options.queues, host, interests, unique);
    let (requests, asked) = mpsc::channel::<Asked>(REQUESTS);
    let (caster, casts) = broadcast::channel(CASTS);
    let link = Link::new();
    let returns = link.returns();
    let role = agent::Agent::new(topology, options.queues.clone(), asked, caster);
    let member = Member::start(options, role);
    let end = AgentEnd {
        caller: Caller { requests, link: link.clone(), response_timeout: RESPONSE_TIMEOUT },
        casts: Casts { host: host.to_owned(), casts, link, returns },
    };
    Ok((end, member))
}

/// Has the server of a bus answer agents on RabbitMQ, too: the stock ones and those of [`join`].
///
/// # Errors
///
/// The options contradict each other.
///
/// # Panics
///
/// Outside of a Tokio runtime.
pub fn serve(options: RabbitOptions, bus: &LocalBus) -> Result<Member, QueueOptionsError> {
    options.queues.check()?;
    let topology = oslo::server(&options.queues);
    let role = server::Server::new(topology, options.queues.clone(), bus);
    Ok(Member::start(options, role))
}

impl Member {
    fn start(options: RabbitOptions, role: impl supervisor::Role + 'static) -> Self {
        let (stop, stopped) = watch::channel(false);
        let supervisor = tokio::spawn(supervisor::run(options, role, stopped));
        Self { stop, supervisor }
    }

    /// Takes the process off the bus, and its queues with it.
    pub async fn leave(mut self) {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.supervisor).await {
            tracing::error!(%error, "the supervisor of the bus has failed");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}
