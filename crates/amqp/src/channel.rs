//! The handle on a channel: declarations, acknowledgements, consumers.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicU32, Ordering},
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    Binding, Consume, Consumer, Declared, DeliveryTag, Error, Exchange, Publisher, Queue, Result,
    connection::Link,
    method::Method,
    session::{Command, Dropped, End, Opened, Sink, close_channel},
    wire::{Flags, ShortString},
};

/// The most deliveries that are under way to a consumer when [`Channel::qos`] was not asked for.
const PREFETCH: u16 = 1000;

/// A channel of a connection. Clones share it; it is closed when the last of them, of its consumers
/// and of its publishers is dropped.
///
/// A refusal of the broker closes the channel; from then on everything on it fails with that
/// refusal.
#[derive(Debug, Clone)]
pub struct Channel {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    opened: Opened,
    link: Link,
    prefetch: AtomicU16,
    /// How many consumers have got a tag from here.
    tags: AtomicU32,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.opened.end.get().is_none() {
            self.link.dropped(Dropped::Channel(self.opened.key));
        }
    }
}

impl Channel {
    pub(crate) fn new(opened: Opened, link: Link) -> Self {
        Self {
            shared: Arc::new(Shared {
                opened,
                link,
                prefetch: AtomicU16::new(0),
                tags: AtomicU32::new(0),
            }),
        }
    }

    /// Declares an exchange: makes it, or checks that the one that exists was declared so.
    ///
    /// # Errors
    /// 404 when it was asked for passively and does not exist, 406 when it exists but was declared
    /// otherwise.
    pub async fn declare_exchange(&self, exchange: &Exchange) -> Result<()> {
        let Exchange { name, kind, passive, durable, auto_delete, arguments } = exchange;
        let method = Method::ExchangeDeclare {
            reserved: 0,
            exchange: short(name)?,
            kind: short(kind.0)?,
            flags: Flags::of([*passive, *durable, *auto_delete, false, false]),
            arguments: arguments.clone(),
        };
        self.call(method, format!("declare the exchange '{name}'")).await.map(drop)
    }

    /// Deletes an exchange, if it is there.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete_exchange(&self, name: &str) -> Result<()> {
        let flags = Flags::of([false, false]);
        let method = Method::ExchangeDelete { reserved: 0, exchange: short(name)?, flags };
        self.call(method, format!("delete the exchange '{name}'")).await.map(drop)
    }

    /// Declares a queue: makes it, or checks that the one that exists was declared so.
    ///
    /// # Errors
    /// 404 when it was asked for passively and does not exist, 405 when another connection has it
    /// for itself, 406 when it exists but was declared otherwise.
    pub async fn declare_queue(&self, queue: &Queue) -> Result<Declared> {
        let Queue { name, passive, durable, exclusive, auto_delete, arguments } = queue;
        let method = Method::QueueDeclare {
            reserved: 0,
            queue: short(name)?,
            flags: Flags::of([*passive, *durable, *exclusive, *auto_delete, false]),
            arguments: arguments.clone(),
        };
        match self.call(method, format!("declare the queue '{name}'")).await? {
            Method::QueueDeclareOk { queue, messages, consumers } => {
                Ok(Declared { name: queue.into_string(), messages, consumers })
            }
            // The answer is the one that was waited for.
            _ => Err(Error::Finished),
        }
    }

    /// Leads messages from an exchange to a queue.
    ///
    /// # Errors
    /// 404 when one of them does not exist.
    pub async fn bind(&self, binding: &Binding) -> Result<()> {
        let Binding { queue, exchange, routing_key, arguments } = binding;
        let method = Method::QueueBind {
            reserved: 0,
            queue: short(queue)?,
            exchange: short(exchange)?,
            routing_key: short(routing_key)?,
            flags: Flags::default(),
            arguments: arguments.clone(),
        };
        let action = format!("bind the queue '{queue}' to the exchange '{exchange}'");
        self.call(method, action).await.map(drop)
    }

    /// Takes a binding away, if it is there.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn unbind(&self, binding: &Binding) -> Result<()> {
        let Binding { queue, exchange, routing_key, arguments } = binding;
        let method = Method::QueueUnbind {
            reserved: 0,
            queue: short(queue)?,
            exchange: short(exchange)?,
            routing_key: short(routing_key)?,
            arguments: arguments.clone(),
        };
        let action = format!("unbind the queue '{queue}' from the exchange '{exchange}'");
        self.call(method, action).await.map(drop)
    }

    /// Empties a queue and says how many messages were in it.
    ///
    /// # Errors
    /// 404 when it does not exist.
    pub async fn purge_queue(&self, name: &str) -> Result<u32> {
        let method =
            Method::QueuePurge { reserved: 0, queue: short(name)?, flags: Flags::default() };
        match self.call(method, format!("empty the queue '{name}'")).await? {
            Method::QueuePurgeOk { messages } => Ok(messages),
            _ => Err(Error::Finished),
        }
    }

    /// Deletes a queue, if it is there, and says how many messages were in it.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete_queue(&self, name: &str) -> Result<u32> {
        let flags = Flags::of([false, false, false]);
        let method = Method::QueueDelete { reserved: 0, queue: short(name)?, flags };
        match self.call(method, format!("delete the queue '{name}'")).await? {
            Method::QueueDeleteOk { messages } => Ok(messages),
            _ => Err(Error::Finished),
        }
    }

    /// Sets how many deliveries may be under way to each consumer that is started from now on
    /// without being acknowledged. Zero, and as long as nobody asks: 1000. So many have room on
    /// this side, and therefore one who reads slowly holds up nobody else.
    ///
    /// # Errors
    /// When the connection or the channel is over.
    pub async fn qos(&self, prefetch: u16) -> Result<()> {
        let prefetch_count = if prefetch == 0 { PREFETCH } else { prefetch };
        let flags = Flags::of([false]);
        let method = Method::BasicQos { prefetch_size: 0, prefetch_count, flags };
        self.call(method, "limit what is under way".to_owned()).await?;
        self.shared.prefetch.store(prefetch_count, Ordering::Relaxed);
        Ok(())
    }

    /// Starts a consumer.
    ///
    /// One that does not acknowledge (`no_ack`) should read quickly: nobody limits what is under
    /// way to it, and while there is no room for it the whole connection is not read.
    ///
    /// # Errors
    /// 404 when the queue does not exist, 403 or 405 when somebody else has it for himself.
    pub async fn consume(&self, consume: &Consume) -> Result<Consumer> {
        let Consume { queue, tag, no_ack, exclusive, arguments } = consume;
        if self.shared.prefetch.load(Ordering::Relaxed) == 0 {
            self.qos(PREFETCH).await?;
        }
        let room = usize::from(self.shared.prefetch.load(Ordering::Relaxed)).max(1);
        let (sender, deliveries) = mpsc::channel(room);
        let end = End::default();
        let sink =
            Sink { queue: queue.clone(), no_ack: *no_ack, deliveries: sender, end: end.clone() };
        let method = Method::BasicConsume {
            reserved: 0,
            queue: short(queue)?,
            tag: self.tag(tag)?,
            flags: Flags::of([false, *no_ack, *exclusive, false]),
            arguments: arguments.clone(),
        };
        let action = format!("consume the queue '{queue}'");
        let (reply, answer) = oneshot::channel();
        let key = self.shared.opened.key;
        self.send(Command::Consume { key, method, action, sink, reply }).await?;
        match answer.await.map_err(|_| self.error())?? {
            Method::BasicConsumeOk { tag } => {
                let tag = tag.into_string();
                Ok(Consumer::new(self.clone(), tag, *no_ack, deliveries, end))
            }
            _ => Err(Error::Finished),
        }
    }

    /// Lets publish with confirmations. May be asked more than once.
    ///
    /// # Errors
    /// When the connection or the channel is over.
    pub async fn confirm(&self) -> Result<Publisher> {
        let method = Method::ConfirmSelect { flags: Flags::default() };
        self.call(method, "ask for confirmations".to_owned()).await?;
        Ok(Publisher::new(self.clone()))
    }

    /// Says that a delivery has been dealt with.
    ///
    /// # Errors
    /// When the connection or the channel is over. A tag that was acknowledged before closes the
    /// channel (406), which the next call will say.
    pub async fn ack(&self, tag: DeliveryTag) -> Result<()> {
        self.tell(Method::BasicAck { delivery: tag.0, flags: Flags::of([false]) }).await
    }

    /// Says that a delivery and all before it on this channel have been dealt with.
    ///
    /// # Errors
    /// As [`Channel::ack`].
    pub async fn ack_up_to(&self, tag: DeliveryTag) -> Result<()> {
        self.tell(Method::BasicAck { delivery: tag.0, flags: Flags::of([true]) }).await
    }

    /// Refuses a delivery: the broker delivers it again, perhaps to somebody else, or throws it
    /// away.
    ///
    /// # Errors
    /// As [`Channel::ack`].
    pub async fn reject(&self, tag: DeliveryTag, requeue: bool) -> Result<()> {
        self.tell(Method::BasicReject { delivery: tag.0, flags: Flags::of([requeue]) }).await
    }

    /// Refuses a delivery and all before it on this channel.
    ///
    /// # Errors
    /// As [`Channel::ack`].
    pub async fn reject_up_to(&self, tag: DeliveryTag, requeue: bool) -> Result<()> {
        self.tell(Method::BasicNack { delivery: tag.0, flags: Flags::of([true, requeue]) }).await
    }

    /// Closes the channel for all who share it.
    ///
    /// # Errors
    /// When it was closed before.
    pub async fn close(&self) -> Result<()> {
        self.call(close_channel(), "close the channel".to_owned()).await.map(drop)
    }

    pub(crate) async fn call(&self, method: Method, action: String) -> Result<Method> {
        let (reply, answer) = oneshot::channel();
        let key = self.shared.opened.key;
        self.send(Command::Call { key, method, action, reply }).await?;
        answer.await.map_err(|_| self.error())?.map_err(|error| self.reason(error))
    }

    /// Hands a command to the task, unless the channel is over.
    pub(crate) async fn send(&self, command: Command) -> Result<()> {
        if let Some(error) = self.shared.opened.end.get() {
            return Err(error.clone());
        }
        self.shared.link.send(command).await
    }

    /// Why nothing more is answered.
    pub(crate) fn error(&self) -> Error {
        self.reason(self.shared.link.error())
    }

    /// What the channel ended with, if it ended; else what is given.
    pub(crate) fn reason(&self, error: Error) -> Error {
        self.shared.opened.end.get().cloned().unwrap_or(error)
    }

    pub(crate) fn key(&self) -> crate::session::ChannelKey {
        self.shared.opened.key
    }

    pub(crate) fn dropped(&self, dropped: Dropped) {
        self.shared.link.dropped(dropped);
    }

    /// The tag, or one that nobody else has. The broker could make one up, too, but nobody could
    /// tell then whose it is.
    fn tag(&self, wanted: &str) -> Result<ShortString> {
        if !wanted.is_empty() {
            return short(wanted);
        }
        let number = self.shared.tags.fetch_add(1, Ordering::Relaxed);
        short(&format!("untitled-{number}"))
    }

    async fn tell(&self, method: Method) -> Result<()> {
        self.send(Command::Tell { key: self.key(), method }).await
    }
}

pub(crate) fn short(text: &str) -> Result<ShortString> {
    ShortString::new(text).ok_or_else(|| Error::too_long(text))
}
