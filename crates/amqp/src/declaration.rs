//! What a client asks the broker to have: exchanges, queues, bindings, consumers.

use crate::Table;

/// An exchange to declare.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Only ask whether it exists.
    pub passive: bool,
    /// It outlives the broker.
    pub durable: bool,
    /// It goes with its last binding.
    pub auto_delete: bool,
    /// Further arguments.
    pub arguments: Table,
}

impl Exchange {
    /// An exchange with none of the flags and no arguments.
    pub fn new(name: impl Into<String>, kind: ExchangeKind) -> Self {
        let (name, arguments) = (name.into(), Table::new());
        Self { name, kind, passive: false, durable: false, auto_delete: false, arguments }
    }
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeKind(pub &'static str);

impl ExchangeKind {
    /// To the queues that are bound with the routing key.
    pub const DIRECT: Self = Self("direct");
    /// To all queues that are bound.
    pub const FANOUT: Self = Self("fanout");
    /// To the queues that are bound with a pattern that fits the routing key.
    pub const TOPIC: Self = Self("topic");
    /// To the queues that are bound with headers that fit.
    pub const HEADERS: Self = Self("headers");
}

/// A queue to declare.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Its name; empty for one that the broker makes up.
    pub name: String,
    /// Only ask whether it exists.
    pub passive: bool,
    /// It outlives the broker.
    pub durable: bool,
    /// For this connection alone, and gone with it.
    pub exclusive: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
    /// Further arguments, such as `x-expires` and `x-queue-type`.
    pub arguments: Table,
}

impl Queue {
    /// A queue with none of the flags and no arguments.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: Table::new(),
        }
    }
}

/// A queue that the broker has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// The messages that wait in it.
    pub messages: u32,
    /// Those who consume it.
    pub consumers: u32,
}

/// What leads from an exchange to a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// The queue.
    pub queue: String,
    /// The exchange.
    pub exchange: String,
    /// The routing key, or a pattern.
    pub routing_key: String,
    /// Further arguments.
    pub arguments: Table,
}

impl Binding {
    /// A binding without arguments.
    pub fn new(
        queue: impl Into<String>,
        exchange: impl Into<String>,
        routing_key: impl Into<String>,
    ) -> Self {
        let (queue, exchange) = (queue.into(), exchange.into());
        Self { queue, exchange, routing_key: routing_key.into(), arguments: Table::new() }
    }
}

/// A consumer to start.
#[derive(Debug, Clone, PartialEq)]
pub struct Consume {
    /// The queue.
    pub queue: String,
    /// The consumer's tag, unlike those of others on the channel; empty for one that is made up.
    pub tag: String,
    /// The broker forgets a message as soon as it has sent it.
    pub no_ack: bool,
    /// Nobody else may consume the queue.
    pub exclusive: bool,
    /// Further arguments, such as `x-stream-offset`.
    pub arguments: Table,
}

impl Consume {
    /// A consumer with none of the flags and no arguments.
    pub fn new(queue: impl Into<String>, tag: impl Into<String>) -> Self {
        let (queue, tag) = (queue.into(), tag.into());
        Self { queue, tag, no_ack: false, exclusive: false, arguments: Table::new() }
    }
}
