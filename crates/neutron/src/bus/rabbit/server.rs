//! What a server does on a connection: it takes requests, and sends answers and casts.
//!
//! Answers and casts that a broker has not confirmed are sent again on the next connection, with
//! the same id. Casts that are too many while there is none are lost, and those that a server has
//! not sent when it ends; then each agent is told with the answer to its next heartbeat that it was
//! taken for dead, and so asks for everything again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqp::{Channel, Confirmation, Connection, Error, Publication, Publisher, ReplyCode};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::publication::publication;
use super::supervisor::{Over, Role};
use super::wiring::{self, Incoming, Wiring};
use crate::bus::local::LocalBus;
use crate::bus::{Addressed, Asked};
use crate::oslo::{self, Duplicates, Exchange, Invocation, QueueOptions, ReplyTo, Topology};
use crate::rpc::{AgentStatus, Failure, Request};

/// How many answers may wait to be sent.
const ANSWERS: usize = 1024;
/// How long a server may take to answer; no caller waits longer.
const LONGEST: Duration = Duration::from_mins(10);
/// How long an answer is tried to be given to a queue that is not there, and how often: its owner
/// may be on its way back.
const MISSING: Duration = Duration::from_secs(60);
const MISSING_RETRY: Duration = Duration::from_millis(250);

/// A server, with what outlives a connection.
pub(super) struct Server {
    topology: Topology,
    options: QueueOptions,
    requests: mpsc::Sender<Asked>,
    casts: broadcast::Receiver<Arc<Addressed>>,
    answers: mpsc::Receiver<Publication>,
    answer: mpsc::Sender<Publication>,
    /// Answers that were being sent.
    unanswered: VecDeque<Publication>,
    /// Casts that have not been confirmed, in their order.
    untold: VecDeque<Told>,
    duplicates: Duplicates,
    lost: Arc<Lost>,
}

/// A cast on its way. With an exchange that is to be there, if it is not the control exchange.
struct Told {
    fanout: Option<Exchange>,
    publication: Publication,
}

/// Who has to hear that casts may have been lost.
#[derive(Debug)]
struct Lost {
    /// How often that was.
    times: AtomicU64,
    /// How often that was when a host was told last.
    told: Mutex<HashMap<String, u64>>,
}

impl Server {
    pub(super) fn new(topology: Topology, options: QueueOptions, bus: &LocalBus) -> Self {
        let (requests, casts) = bus.attach();
        let (answer, answers) = mpsc::channel(ANSWERS);
        Self {
            topology,
            options,
            requests,
            casts,
            answers,
            answer,
            unanswered: VecDeque::new(),
            untold: VecDeque::new(),
            duplicates: Duplicates::default(),
            // Nobody knows what the server before could not tell any more.
            lost: Arc::new(Lost { times: AtomicU64::new(1), told: Mutex::default() }),
        }
    }
}

impl Role for Server {
    async fn work(&mut self, connection: &Connection) -> Over {
        let established = async {
            let wiring = wiring::wire(connection, &self.topology, &self.options).await?;
            let publisher = connection.channel().await?.confirm().await?;
            Ok((wiring, publisher))
        };
        let (wiring, publisher) = match established.await {
            Ok(established) => established,
            Err(error) => return Over::Refused(error),
        };
        tracing::info!(broker = connection.peer(), "agents may call over the message bus");
        let Self { requests, answer, duplicates, .. } = self;
        let lost = &self.lost;
        let mut listener = Listener { requests, answer, duplicates, lost };
        let listen = pin!(listener.listen(wiring));
        let reply = pin!(reply(publisher, &mut self.answers, &mut self.unanswered));
        let caster = Caster { connection, options: &self.options, lost };
        let tell = pin!(caster.tell(&mut self.casts, &mut self.untold));
        tokio::select! {
            error = connection.closed() => Over::Failed(error),
            over = listen => over,
            error = reply => Over::Failed(error),
            over = tell => over,
        }
    }

    async fn leave(&mut self, _: &Connection) -> Result<(), Error> {
        // The queues of a server are those of every other, too.
        Ok(())
    }
}

/// Takes requests.
struct Listener<'a> {
    requests: &'a mpsc::Sender<Asked>,
    answer: &'a mpsc::Sender<Publication>,
    duplicates: &'a mut Duplicates,
    lost: &'a Arc<Lost>,
}

impl Listener<'_> {
    async fn listen(&mut self, mut wiring: Wiring) -> Over {
        loop {
            let Some(Incoming { queue, delivery }) = wiring.incoming.recv().await else {
                return Over::Failed(Error::Finished);
            };
            let taken = async {
                let delivery = delivery?;
                let invocation = match Invocation::read(&delivery.body) {
                    Ok(invocation) => invocation,
                    Err(error) => {
                        tracing::warn!(%queue, %error, "refused a message that cannot be read");
                        wiring.channel.reject(delivery.tag, false).await?;
                        return Ok(None);
                    }
                };
                wiring.channel.ack(delivery.tag).await?;
                Ok(Some(invocation))
            };
            match taken.await {
                Ok(Some(invocation)) => {
                    if self.take(&queue, invocation).await.is_err() {
                        return Over::Done;
                    }
                }
                Ok(None) => {}
                Err(error) => return Over::Failed(error),
            }
        }
    }

    /// Passes a request on. An error means that there is no server any more.
    async fn take(&mut self, topic: &str, invocation: Invocation) -> Result<(), ()> {
        let Invocation { message, reply_to, unique_id } = invocation;
        if unique_id.is_some_and(|id| self.duplicates.is_repeated(&id)) {
            tracing::debug!(topic, "a request came again");
            return Ok(());
        }
        let method = message.method.clone();
        let (request, reply) = match Request::from_message(message) {
            Ok(understood) => understood,
            Err(error) => {
                let failure = Failure::from(error);
                tracing::warn!(topic, method, %failure, "refused a call");
                if let Some(body) = reply_to.and_then(|to| answer(&to, Err(failure))) {
                    // The receiver is in the same task.
                    let _ = self.answer.try_send(body);
                }
                return Ok(());
            }
        };
        let host = match &request {
            Request::ReportState(report, _) => Some(report.agent_state.host.clone()),
            _ => None,
        };
        let until = Instant::now() + LONGEST;
        self.requests.send(Asked { request, until }).await.map_err(|_| ())?;
        let (sender, lost) = (self.answer.clone(), Arc::clone(self.lost));
        tokio::spawn(async move {
            let Ok(mut result) = tokio::time::timeout_at(until, reply).await else { return };
            if let (Some(host), Ok(status)) = (host, &mut result) {
                lost.say(&host, status);
            }
            if let Some(body) = reply_to.and_then(|to| answer(&to, result)) {
                // There is nobody to send it once the server has left the bus.
                let _ = sender.send(body).await;
            }
        });
        Ok(())
    }
}

/// The answer to a call.
fn answer(to: &ReplyTo, result: Result<Value, Failure>) -> Option<Publication> {
    match oslo::reply(&to.msg_id, Uuid::new_v4(), result) {
        Ok(body) => {
            let mut answer = publication("", &to.queue, body);
            answer.mandatory = true;
            Some(answer)
        }
        Err(error) => {
            tracing::error!(%error, "cannot write an answer");
            None
        }
    }
}

/// Sends answers until the connection fails. What is not confirmed by then stays in `unanswered`.
async fn reply(
    publisher: Publisher,
    answers: &mut mpsc::Receiver<Publication>,
    unanswered: &mut VecDeque<Publication>,
) -> Error {
    let mut under_way = JoinSet::new();
    let mut sending: BTreeMap<u64, Publication> = BTreeMap::new();
    let mut begun: BTreeSet<u64> = BTreeSet::new();
    let mut count = 0_u64;
    for publication in unanswered.drain(..) {
        count += 1;
        sending.insert(count, publication);
    }
    let error = loop {
        for (number, publication) in &sending {
            if begun.insert(*number) {
                let (number, publication) = (*number, publication.clone());
                let publisher = publisher.clone();
                under_way.spawn(async move { (number, deliver(&publisher, publication).await) });
            }
        }
        tokio::select! {
            Some(publication) = answers.recv(), if sending.len() < ANSWERS => {
                count += 1;
                sending.insert(count, publication);
            }
            Some(Ok((number, result))) = under_way.join_next() => match result {
                Ok(()) => {
                    sending.remove(&number);
                    begun.remove(&number);
                }
                Err(error) => break error,
            }
        }
    };
    unanswered.extend(sending.into_values());
    error
}

/// Gives an answer to its queue. One that is not there may be on its way back.
async fn deliver(publisher: &Publisher, answer: Publication) -> Result<(), Error> {
    let until = Instant::now() + MISSING;
    loop {
        match publisher.publish(answer.clone()).await? {
            Confirmation::Acked => return Ok(()),
            Confirmation::Returned(_) | Confirmation::Nacked if Instant::now() < until => {
                tokio::time::sleep(MISSING_RETRY).await;
            }
            Confirmation::Returned(_) | Confirmation::Nacked => {
                tracing::warn!(queue = answer.routing_key, "nobody takes an answer");
                return Ok(());
            }
        }
    }
}

/// Tells agents.
struct Caster<'a> {
    connection: &'a Connection,
    options: &'a QueueOptions,
    lost: &'a Lost,
}

impl Caster<'_> {
    /// Sends casts in their order until the connection fails. What is not confirmed by then stays
    /// in `untold`.
    async fn tell(
        &self,
        casts: &mut broadcast::Receiver<Arc<Addressed>>,
        untold: &mut VecDeque<Told>,
    ) -> Over {
        let mut publisher: Option<Publisher> = None;
        let mut declared: BTreeSet<String> = BTreeSet::new();
        loop {
            let Some(told) = untold.front() else {
                match casts.recv().await {
                    Ok(addressed) => untold.extend(self.messages(&addressed)),
                    Err(RecvError::Lagged(count)) => {
                        tracing::warn!(count, "messages to agents were lost; each will be told");
                        self.lost.times.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(RecvError::Closed) => return Over::Done,
                }
                continue;
            };
            let sent = async {
                let publisher = match &mut publisher {
                    Some(publisher) => publisher,
                    none => none.insert(self.publisher(self.connection.channel().await?).await?),
                };
                if let Some(exchange) = &told.fanout
                    && !declared.contains(&exchange.name)
                {
                    let channel = publisher.channel().clone();
                    let channel =
                        wiring::declare_exchange(self.connection, channel, exchange).await?;
                    *publisher = self.publisher(channel).await?;
                    declared.insert(exchange.name.clone());
                }
                publisher.publish(told.publication.clone()).await
            };
            match sent.await {
                Ok(Confirmation::Acked | Confirmation::Returned(_)) => {
                    untold.pop_front();
                }
                Ok(Confirmation::Nacked) => {
                    tracing::warn!("the broker could not take a message to agents; once more");
                    tokio::time::sleep(MISSING_RETRY).await;
                }
                // The last of its listeners has gone, and the exchange with it.
                Err(error) if wiring::is(&error, ReplyCode::NOT_FOUND) => {
                    declared.clear();
                    publisher = None;
                }
                Err(error) => return Over::Failed(error),
            }
        }
    }

    async fn publisher(&self, channel: Channel) -> Result<Publisher, Error> {
        channel.confirm().await
    }

    fn messages(&self, addressed: &Addressed) -> Vec<Told> {
        let messages = match addressed.cast.to_messages() {
            Ok(messages) => messages,
            Err(error) => {
                tracing::error!(%error, "cannot write a message to agents");
                return Vec::new();
            }
        };
        let told = |(topic, message): (String, _)| {
            let body = oslo::cast(message, Uuid::new_v4());
            match &addressed.host {
                Some(host) => {
                    let key = format!("{topic}.{host}");
                    let exchange = &self.options.control_exchange;
                    Told { fanout: None, publication: publication(exchange, &key, body) }
                }
                None => {
                    let exchange = oslo::fanout_exchange(self.options, &topic);
                    let publication = publication(&exchange.name, "", body);
                    Told { fanout: Some(exchange), publication }
                }
            }
        };
        messages.into_iter().map(told).collect()
    }
}

impl Lost {
    /// Makes the answer to a heartbeat say so, if this host does not know it yet.
    fn say(&self, host: &str, status: &mut Value) {
        let times = self.times.load(Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = told.insert(host.to_owned(), times);
        let missed = known.unwrap_or(0) < times;
        if missed && *status == serde_json::json!(AgentStatus::Alive) {
            *status = serde_json::json!(AgentStatus::Revived);
        }
    }
}
