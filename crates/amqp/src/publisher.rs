//! Publishing with confirmations.

use tokio::sync::oneshot;

use crate::{
    Channel, Confirmation, Error, Publication, Result,
    channel::short,
    method::Method,
    session::{Command, Outgoing},
    wire::Flags,
};

/// A channel on which every message is confirmed. Clones share it.
#[derive(Debug, Clone)]
pub struct Publisher {
    channel: Channel,
}

impl Publisher {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Publishes a message and waits for what becomes of it. Several may be under way at once; they
    /// go out in the order in which they were first polled.
    ///
    /// # Errors
    /// 404 when the exchange does not exist; when the connection or the channel ends first it is
    /// not known whether the broker has the message.
    pub async fn publish(&self, publication: Publication) -> Result<Confirmation> {
        let Publication { exchange, routing_key, mandatory, properties, body } = publication;
        let mut bytes = Vec::new();
        properties.put(&mut bytes).map_err(|text| Error::too_long(&text))?;
        let method = Method::BasicPublish {
            reserved: 0,
            exchange: short(&exchange)?,
            routing_key: short(&routing_key)?,
            flags: Flags::of([mandatory, false]),
        };
        let message = Box::new(Outgoing { method, properties: bytes, body, mandatory });
        let (reply, answer) = oneshot::channel();
        let key = self.channel.key();
        self.channel.send(Command::Publish { key, message, reply }).await?;
        let confirmed = answer.await.map_err(|_| self.channel.error())?;
        confirmed.map_err(|error| self.channel.reason(error))
    }

    /// The channel, for everything else.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}
