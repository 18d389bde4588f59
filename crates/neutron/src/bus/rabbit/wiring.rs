//! Has a broker have what a process needs: exchanges, then queues, bindings and consumers.
//!
//! What exists with other flags than the options say is used as it is, and said: to go on is better
//! for everybody than not to. A queue that a broker does not get at any more is made anew, once.

use std::sync::Arc;

use amqp::{Channel, Connection, Consume, Consumer, Delivery, Error, ReplyCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::publication;
use crate::oslo::{Exchange, Queue, QueueOptions, Topology};

/// How many deliveries wait for the supervisor.
const WAITING: usize = 256;

/// All that is read, on one channel.
pub(super) struct Wiring {
    pub(super) channel: Channel,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    /// They end with this.
    _readers: JoinSet<()>,
}

/// A message of a queue, or why there are no more.
pub(super) struct Incoming {
    pub(super) queue: Arc<str>,
    pub(super) delivery: Result<Delivery, Error>,
}

/// Declares all of it, and reads.
pub(super) async fn wire(
    connection: &Connection,
    topology: &Topology,
    options: &QueueOptions,
) -> Result<Wiring, Error> {
    let mut channel = connection.channel().await?;
    for exchange in &topology.exchanges {
        channel = declare_exchange(connection, channel, exchange).await?;
    }
    for queue in &topology.queues {
        channel = declare_queue(connection, channel, queue).await?;
    }
    for binding in &topology.bindings {
        channel.bind(&publication::binding(binding)).await?;
    }
    channel.qos(options.prefetch).await?;
    let (sender, incoming) = mpsc::channel(WAITING);
    let mut readers = JoinSet::new();
    for (tag, consumed) in (1..).zip(&topology.consumed) {
        let arguments = publication::table(&consumed.arguments);
        let consume = Consume::new(consumed.queue.as_str(), i32::to_string(&tag));
        let consumer = channel.consume(&Consume { arguments, ..consume }).await?;
        readers.spawn(read(consumer, consumed.queue.as_str().into(), sender.clone()));
    }
    Ok(Wiring { channel, incoming, _readers: readers })
}

/// Whether the queues that this process reads are all still there, and with them what came
/// meanwhile.
pub(super) async fn is_there(connection: &Connection, topology: &Topology) -> Result<bool, Error> {
    let channel = connection.channel().await?;
    for queue in &topology.queues {
        // A stream is there for everybody, and read from now on: what came meanwhile is lost.
        let is_stream = !queue.own && queue.durable && queue.name.ends_with("_fanout");
        if is_stream {
            return Ok(false);
        }
        let asked = amqp::Queue { passive: true, ..publication::queue(queue) };
        match channel.declare_queue(&asked).await {
            Ok(_) => {}
            Err(error) if is(&error, ReplyCode::NOT_FOUND) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Declares an exchange. Gives the channel to go on with.
pub(super) async fn declare_exchange(
    connection: &Connection,
    channel: Channel,
    exchange: &Exchange,
) -> Result<Channel, Error> {
    match channel.declare_exchange(&publication::exchange(exchange)).await {
        Ok(()) => Ok(channel),
        Err(error) if is(&error, ReplyCode::PRECONDITION_FAILED) => {
            tracing::warn!(
                exchange = exchange.name,
                %error,
                "the exchange exists with other flags and is used as it is; \
                 look at amqp_durable_queues, rabbit_quorum_queue, amqp_auto_delete and \
                 rabbit_transient_quorum_queue, which are to be the same everywhere"
            );
            connection.channel().await
        }
        Err(error) => Err(error),
    }
}

/// Declares a queue. Gives the channel to go on with.
async fn declare_queue(
    connection: &Connection,
    channel: Channel,
    queue: &Queue,
) -> Result<Channel, Error> {
    let wanted = publication::queue(queue);
    match channel.declare_queue(&wanted).await {
        Ok(_) => Ok(channel),
        Err(error) if is(&error, ReplyCode::PRECONDITION_FAILED) => {
            tracing::warn!(
                queue = queue.name,
                %error,
                "the queue exists with other flags and is used as it is; look at \
                 amqp_durable_queues, rabbit_quorum_queue, rabbit_ha_queues, \
                 rabbit_transient_quorum_queue and rabbit_transient_queues_ttl, which are to be the \
                 same everywhere"
            );
            connection.channel().await
        }
        Err(error) if is(&error, ReplyCode::NOT_FOUND) => {
            tracing::warn!(queue = queue.name, %error, "the queue is out of reach; making it anew");
            let channel = connection.channel().await?;
            channel.delete_queue(&queue.name).await?;
            channel.declare_queue(&wanted).await?;
            Ok(channel)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn is(error: &Error, code: ReplyCode) -> bool {
    error.refusal().is_some_and(|refusal| refusal.code == code)
}

/// Passes on what comes, until nothing does any more.
async fn read(mut consumer: Consumer, queue: Arc<str>, sender: mpsc::Sender<Incoming>) {
    loop {
        let delivery = consumer.next().await;
        let is_over = delivery.is_err();
        let incoming = Incoming { queue: Arc::clone(&queue), delivery };
        if sender.send(incoming).await.is_err() || is_over {
            return;
        }
    }
}
