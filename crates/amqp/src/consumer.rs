//! Receiving what the broker delivers.

use std::{collections::VecDeque, pin::pin};

use tokio::sync::mpsc;

use crate::{
    Channel, Delivery, Error, Result,
    method::Method,
    session::{Dropped, End},
    wire::Flags,
};

/// A consumer of a queue. Dropping it cancels it; what it was delivered and did not hand out goes
/// back to the queue.
#[derive(Debug)]
pub struct Consumer {
    channel: Channel,
    tag: String,
    no_ack: bool,
    deliveries: mpsc::Receiver<Delivery>,
    /// What came while it was cancelled.
    left: VecDeque<Delivery>,
    end: End,
}

impl Consumer {
    pub(crate) fn new(
        channel: Channel,
        tag: String,
        no_ack: bool,
        deliveries: mpsc::Receiver<Delivery>,
        end: End,
    ) -> Self {
        Self { channel, tag, no_ack, deliveries, left: VecDeque::new(), end }
    }

    /// The next message. May be cancelled at any time without losing one.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the broker takes the consumer back; else what ended the channel
    /// or the connection. What came before that is handed out first.
    pub async fn next(&mut self) -> Result<Delivery> {
        if let Some(delivery) = self.left.pop_front() {
            return Ok(delivery);
        }
        let delivery = self.deliveries.recv().await;
        delivery.ok_or_else(|| self.end.get().cloned().unwrap_or_else(|| self.channel.error()))
    }

    /// Asks the broker to deliver nothing more. What it had delivered by then is still handed out
    /// by [`Consumer::next`], and then [`Error::Finished`].
    ///
    /// # Errors
    /// When the connection or the channel is over.
    pub async fn cancel(&mut self) -> Result<()> {
        let tag = crate::channel::short(&self.tag)?;
        let method = Method::BasicCancel { tag, flags: Flags::of([false]) };
        let cancelled = self.channel.call(method, format!("cancel the consumer '{}'", self.tag));
        let mut cancelled = pin!(cancelled);
        loop {
            tokio::select! {
                cancelled = &mut cancelled => break drop(cancelled?),
                // If it had no room, the broker's answer would wait behind what it is delivered.
                Some(delivery) = self.deliveries.recv() => self.left.push_back(delivery),
            }
        }
        // The broker's own reason, if it was quicker.
        let _earlier = self.end.set(Error::Finished);
        Ok(())
    }

    /// The tag, unlike those of others on the channel.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The channel, to acknowledge on.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.deliveries.close();
        let mut unread: Vec<_> = self.left.drain(..).map(|delivery| delivery.tag.0).collect();
        while let Ok(delivery) = self.deliveries.try_recv() {
            unread.push(delivery.tag.0);
        }
        if self.no_ack {
            unread.clear();
        }
        if self.end.get().is_none() || !unread.is_empty() {
            let (key, tag) = (self.channel.key(), self.tag.clone());
            self.channel.dropped(Dropped::Consumer { key, tag, unread });
        }
    }
}
