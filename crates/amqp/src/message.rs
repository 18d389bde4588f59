//! Messages, on their way out and in.

use crate::{Properties, Refusal};

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Publication {
    /// The exchange; empty for the default one, which routes to the queue that is called as the
    /// routing key.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The broker sends it back if it reaches no queue.
    pub mandatory: bool,
    /// What it says about itself.
    pub properties: Properties,
    /// Its content.
    pub body: Vec<u8>,
}

/// What became of a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirmation {
    /// The broker has it, or it was not mandatory and reached no queue.
    Acked,
    /// The broker could not take it.
    Nacked,
    /// It was mandatory and reached no queue.
    Returned(Refusal),
}

/// A message that the broker delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// What it is acknowledged by, on the channel that it came on.
    pub tag: DeliveryTag,
    /// It may have been delivered before, to this consumer or another.
    pub redelivered: bool,
    /// The exchange that it was published to.
    pub exchange: String,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// What it says about itself.
    pub properties: Properties,
    /// Its content.
    pub body: Vec<u8>,
}

/// The number of a delivery on its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryTag(pub(crate) u64);
