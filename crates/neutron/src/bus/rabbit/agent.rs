//! What an agent does on a connection: calls, answers, casts.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use amqp::{Channel, Confirmation, Connection, Error, Publisher};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::publication::{expiring, publication};
use super::supervisor::{Over, Role};
use super::wiring::{self, Incoming};
use crate::bus::{Addressed, Asked};
use crate::oslo::{self, Duplicates, Invocation, QueueOptions, Reply, ReplyTo, Topology};
use crate::rpc::{Cast, JsonResponder, Message};

/// How many calls may be on their way to the broker at a time.
const PUBLISHING: usize = 64;
/// How often calls are forgotten that nobody waits for any more.
const TIDY: Duration = Duration::from_secs(10);

/// An agent, with what outlives a connection.
pub(super) struct Agent {
    topology: Topology,
    options: QueueOptions,
    asked: mpsc::Receiver<Asked>,
    casts: broadcast::Sender<Arc<Addressed>>,
    /// The calls that wait for their answer, by id.
    waiting: HashMap<String, Waiting>,
    duplicates: Duplicates,
    /// Whether it has been on the bus.
    joined: bool,
}

struct Waiting {
    responder: JsonResponder,
    method: &'static str,
    until: Instant,
}

/// What became of a call at the broker.
type Published = (String, Result<Confirmation, Error>);

/// The calls that are on their way to the broker.
#[derive(Default)]
struct Publishing {
    tasks: JoinSet<Published>,
    calls: HashSet<String>,
}

impl Agent {
    pub(super) fn new(
        topology: Topology,
        options: QueueOptions,
        asked: mpsc::Receiver<Asked>,
        casts: broadcast::Sender<Arc<Addressed>>,
    ) -> Self {
        Self {
            topology,
            options,
            asked,
            casts,
            waiting: HashMap::new(),
            duplicates: Duplicates::default(),
            joined: false,
        }
    }

    /// Serves until the connection fails or nobody needs it.
    async fn serve(&mut self, connection: &Connection, publishing: &mut Publishing) -> Over {
        let established = async {
            let kept = !self.joined || wiring::is_there(connection, &self.topology).await?;
            let wiring = wiring::wire(connection, &self.topology, &self.options).await?;
            let publisher = connection.channel().await?.confirm().await?;
            Ok((kept, wiring, publisher))
        };
        let (kept, mut wiring, publisher) = match established.await {
            Ok(established) => established,
            Err(error) => return Over::Refused(error),
        };
        tracing::info!(broker = connection.peer(), "on the message bus");
        if !kept {
            tracing::warn!("the broker has lost the queues; messages of the server may be missing");
            // With them it has lost the answers.
            self.waiting.clear();
            self.tell(Cast::Lagged);
        }
        self.joined = true;
        let mut tidy = tokio::time::interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asks = true;
        loop {
            tokio::select! {
                error = connection.closed() => return Over::Failed(error),
                incoming = wiring.incoming.recv() => {
                    let taken = match incoming {
                        Some(incoming) => self.take(&wiring.channel, incoming).await,
                        None => Err(Error::Finished),
                    };
                    if let Err(error) = taken {
                        return Over::Failed(error);
                    }
                }
                asked = self.asked.recv(), if asks && publishing.calls.len() < PUBLISHING => {
                    match asked {
                        Some(asked) => self.call(&publisher, publishing, asked),
                        None => asks = false,
                    }
                }
                Some(Ok((id, result))) = publishing.tasks.join_next() => {
                    publishing.calls.remove(&id);
                    if let Err(error) = self.published(&id, result) {
                        return Over::Failed(error);
                    }
                }
                _ = tidy.tick() => {
                    let now = Instant::now();
                    self.waiting.retain(|_, waiting| waiting.until > now);
                }
                () = self.casts.closed(), if !asks => return Over::Done,
            }
        }
    }

    /// Sends a call, unless its caller has given up.
    fn call(&mut self, publisher: &Publisher, publishing: &mut Publishing, asked: Asked) {
        let Asked { request, until } = asked;
        let left = until.saturating_duration_since(Instant::now());
        let Some(queue) = self.topology.reply_queue.clone().filter(|_| !left.is_zero()) else {
            return;
        };
        let (method, topic) = (request.method(), request.topic());
        let (message, responder) = match request.into_message() {
            Ok(sent) => sent,
            // Its caller is told that nobody answers.
            Err(error) => return tracing::error!(method, %error, "cannot write a call"),
        };
        let reply_to = ReplyTo { msg_id: Uuid::new_v4().simple().to_string(), queue };
        let id = reply_to.msg_id.clone();
        let body = oslo::call(message, &reply_to, Uuid::new_v4());
        let mut call = publication(&self.options.control_exchange, topic, body);
        // Nobody who listens is heard of at once, instead of after a minute.
        call.mandatory = true;
        let call = expiring(call, left);
        self.waiting.insert(id.clone(), Waiting { responder, method, until });
        publishing.calls.insert(id.clone());
        let publisher = publisher.clone();
        publishing.tasks.spawn(async move { (id, publisher.publish(call).await) });
    }

    /// A call has reached the broker, or not.
    fn published(&mut self, id: &str, result: Result<Confirmation, Error>) -> Result<(), Error> {
        let trouble = match result {
            Ok(Confirmation::Acked) => return Ok(()),
            Ok(Confirmation::Nacked) => "the broker could not take it".to_owned(),
            Ok(Confirmation::Returned(refusal)) => refusal.to_string(),
            Err(error) => {
                self.waiting.remove(id);
                return Err(error);
            }
        };
        // Its caller is told by the loss of the responder.
        if let Some(waiting) = self.waiting.remove(id) {
            tracing::warn!(method = waiting.method, trouble, "no server takes the call");
        }
        Ok(())
    }

    /// Takes what came.
    async fn take(&mut self, channel: &Channel, incoming: Incoming) -> Result<(), Error> {
        let Incoming { queue, delivery } = incoming;
        let delivery = delivery?;
        let is_reply = self.topology.reply_queue.as_deref() == Some(&*queue);
        let read = match is_reply {
            true => Reply::read(&delivery.body).map(Came::Reply),
            false => Invocation::read(&delivery.body).map(Came::Told),
        };
        match read {
            Ok(came) => {
                channel.ack(delivery.tag).await?;
                self.note(came, &queue);
                Ok(())
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%queue, %error, cause, "refused a message that cannot be read");
                channel.reject(delivery.tag, false).await
            }
        }
    }

    fn note(&mut self, came: Came, queue: &str) {
        let unique_id = match &came {
            Came::Reply(reply) => reply.unique_id.as_deref(),
            Came::Told(invocation) => invocation.unique_id.as_deref(),
        };
        if unique_id.is_some_and(|id| self.duplicates.is_repeated(id)) {
            tracing::debug!(queue, "a message came again");
            return;
        }
        match came {
            // A sign of life before the answer, which nobody here asks for.
            Came::Reply(reply) if !reply.ending => {}
            Came::Reply(reply) => match self.waiting.remove(&reply.msg_id) {
                Some(waiting) => waiting.responder.send(reply.result),
                None => tracing::debug!(queue, "an answer that nobody waits for any more"),
            },
            Came::Told(invocation) => self.told(invocation.message, queue),
        }
    }

    fn told(&self, message: Message, queue: &str) {
        match Cast::from_message(message) {
            Ok(cast) => self.tell(cast),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(queue, %error, cause, "the server said what is not understood");
            }
        }
    }

    fn tell(&self, cast: Cast) {
        // An error means that nobody listens any more.
        let _ = self.casts.send(Arc::new(Addressed { host: None, cast }));
    }
}

/// What a message turned out to be.
enum Came {
    Reply(Reply),
    Told(Invocation),
}

impl Role for Agent {
    async fn work(&mut self, connection: &Connection) -> Over {
        let mut publishing = Publishing::default();
        let over = self.serve(connection, &mut publishing).await;
        // It is not known whether these have arrived, and they are not sent again: their callers
        // had better know.
        for id in publishing.calls {
            self.waiting.remove(&id);
        }
        over
    }

    async fn leave(&mut self, connection: &Connection) -> Result<(), Error> {
        let channel = connection.channel().await?;
        for queue in self.topology.queues.iter().filter(|queue| queue.own) {
            channel.delete_queue(&queue.name).await?;
        }
        Ok(())
    }
}
