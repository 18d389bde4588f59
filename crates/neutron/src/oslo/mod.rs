//! oslo.messaging over RabbitMQ, as values: what a message is inside, which exchanges and queues
//! there are, and what an option does to them. The format is that of oslo.messaging 18 (envelope
//! 2.0); stock peers are told nothing that they would not hear from each other.
//!
//! No I/O, no clock and no randomness here: whoever sends brings the ids. `bus::rabbit` does it.

mod context;
mod duplicates;
mod envelope;
mod failure;
mod queue_options;
#[cfg(test)]
mod tests;
mod topology;

pub use self::duplicates::Duplicates;
pub use self::envelope::{EnvelopeError, Invocation, Reply, ReplyTo, call, cast, reply};
pub use self::queue_options::{Memory, QueueNames, QueueOptions, QueueOptionsError};
pub use self::topology::{
    Argument, Binding, Consumed, Exchange, ExchangeKind, Interests, Queue, Topology, agent,
    fanout_exchange, server,
};
