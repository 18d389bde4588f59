//! One open connection without its I/O: commands and frames in, bytes and answers out.
//!
//! Answers go through one-shot channels, deliveries through bounded ones, so nothing here waits.
//! What a full channel has no room for is handed back ([`Received::Stalled`]).

use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, OnceLock},
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot, watch,
};

use crate::{
    Delivery, Error, Fault, Refusal, ReplyCode, Result,
    frame::{Frame, put_content, put_heartbeat, put_method},
    handshake::Tuned,
    message::Confirmation,
    method::Method,
    wire::{Flags, ShortString},
};

/// As much room for output is kept when there is none.
const KEPT: usize = 1 << 16;

mod channel;
mod confirm;
mod content;

pub(crate) use channel::close as close_channel;
use channel::{Outcome, State, Waiter};
pub(crate) use confirm::Outgoing;

/// A channel, told from others that had its number before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChannelKey {
    number: u16,
    serial: u64,
}

/// Why a channel or a consumer ended, once it has.
pub(crate) type End = Arc<OnceLock<Error>>;

/// A channel that is open.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) key: ChannelKey,
    pub(crate) end: End,
}

/// Where a consumer's deliveries go.
#[derive(Debug, Clone)]
pub(crate) struct Sink {
    pub(crate) queue: String,
    pub(crate) no_ack: bool,
    pub(crate) deliveries: mpsc::Sender<Delivery>,
    pub(crate) end: End,
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Another channel.
    Open { reply: Reply<Opened> },
    /// A method that the broker answers. The action is for messages.
    Call { key: ChannelKey, method: Method, action: String, reply: Reply<Method> },
    /// The same for a consumer.
    Consume { key: ChannelKey, method: Method, action: String, sink: Sink, reply: Reply<Method> },
    /// A method that is not answered.
    Tell { key: ChannelKey, method: Method },
    /// A message.
    Publish { key: ChannelKey, message: Box<Outgoing>, reply: Reply<Confirmation> },
    /// The end.
    Close { reply: Reply<()> },
}

/// A handle that is gone.
#[derive(Debug)]
pub(crate) enum Dropped {
    Channel(ChannelKey),
    /// With what was delivered and not looked at.
    Consumer {
        key: ChannelKey,
        tag: String,
        unread: Vec<u64>,
    },
}

/// A delivery for which its consumer has no room.
#[derive(Debug)]
pub(crate) struct Stalled {
    pub(crate) key: ChannelKey,
    pub(crate) sender: mpsc::Sender<Delivery>,
    pub(crate) no_ack: bool,
    pub(crate) delivery: Delivery,
}

impl Stalled {
    /// Delivers it, now that there is room; or gives it back, because nobody is there.
    pub(crate) fn deliver(self, session: &mut Session) {
        if let Err(TrySendError::Closed(delivery) | TrySendError::Full(delivery)) =
            self.sender.try_send(self.delivery)
            && !self.no_ack
        {
            let flags = Flags::of([true]);
            let method = Method::BasicReject { delivery: delivery.tag.0, flags };
            session.command(Command::Tell { key: self.key, method });
        }
    }
}

/// What became of a frame.
#[derive(Debug)]
pub(crate) enum Received {
    /// It was taken in.
    Done,
    /// Nothing more can be taken in until this consumer has room.
    Stalled(Box<Stalled>),
    /// The connection is over; what is to be sent still is.
    Ended(Error),
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Session {
    peer: String,
    limits: Limits,
    out: Vec<u8>,
    /// How much of it is on its way.
    sent: usize,
    channels: BTreeMap<u16, State>,
    serials: u64,
    blocked: watch::Sender<Option<String>>,
    /// Those who wait for the end, once it was asked for.
    closing: Option<Vec<Reply<()>>>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    frame_max: usize,
    channel_max: u16,
    most_bytes: u64,
}

impl Session {
    pub(crate) fn new(
        peer: String,
        tuned: Tuned,
        most_bytes: u64,
        blocked: watch::Sender<Option<String>>,
    ) -> Self {
        let frame_max = usize::try_from(tuned.frame_max).unwrap_or(usize::MAX);
        let limits = Limits { frame_max, channel_max: tuned.channel_max, most_bytes };
        Self {
            peer,
            limits,
            out: Vec::new(),
            sent: 0,
            channels: BTreeMap::new(),
            serials: 0,
            blocked,
            closing: None,
        }
    }

    /// Does what a handle asks for.
    pub(crate) fn command(&mut self, command: Command) {
        if self.closing.is_some() && !matches!(command, Command::Close { .. }) {
            return command.refuse(Error::Finished);
        }
        match command {
            Command::Open { reply } => self.open(reply),
            Command::Call { key, method, action, reply } => {
                self.call(key, method, action, Waiter::Answer(reply));
            }
            Command::Consume { key, method, action, sink, reply } => {
                self.call(key, method, action, Waiter::Consumer(reply, sink));
            }
            Command::Tell { key, method } => {
                if self.is_open(key) {
                    put_method(&mut self.out, key.number, &method);
                }
            }
            Command::Publish { key, message, reply } => self.publish(key, *message, reply),
            Command::Close { reply } => self.close(Some(reply)),
        }
    }

    /// Asks the broker to end the connection. Everybody else is told that it is over.
    pub(crate) fn close(&mut self, reply: Option<Reply<()>>) {
        if self.closing.is_none() {
            let method = Method::ConnectionClose {
                code: ReplyCode::SUCCESS.0,
                text: ShortString::cut("done"),
                class: 0,
                method: 0,
            };
            put_method(&mut self.out, 0, &method);
            self.fail_channels(&Error::Finished);
        }
        self.closing.get_or_insert_default().extend(reply);
    }

    /// Cleans up after a handle.
    pub(crate) fn dropped(&mut self, dropped: Dropped) {
        let key = match &dropped {
            Dropped::Channel(key) | Dropped::Consumer { key, .. } => *key,
        };
        let Some(channel) = self.channels.get_mut(&key.number).filter(|channel| channel.is(key))
        else {
            return;
        };
        match dropped {
            Dropped::Channel(_) => channel.close(&mut self.out),
            Dropped::Consumer { tag, unread, .. } => channel.cancel(tag, unread, &mut self.out),
        }
    }

    /// Takes a frame in.
    ///
    /// # Errors
    /// [`Error::Peer`] when the broker must not send it.
    pub(crate) fn receive(&mut self, frame: Frame) -> Result<Received> {
        self.take(frame).map_err(|fault| Error::Peer { peer: self.peer.clone(), fault })
    }

    /// Ends everything for this reason.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.fail_channels(error);
        for reply in self.closing.take().unwrap_or_default() {
            // Who asked for the end has it.
            let _gone = reply.send(Ok(()));
        }
    }

    /// Adds a heartbeat.
    pub(crate) fn heartbeat(&mut self) {
        put_heartbeat(&mut self.out);
    }

    /// The first so many bytes of the output are on their way.
    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.out.len() {
            self.out.clear();
            self.sent = 0;
            // No room is kept for a large message.
            self.out.shrink_to(KEPT);
        } else if self.sent > self.out.len() / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// What is to be sent.
    pub(crate) fn output(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// Whether that channel is there and not being closed.
    pub(crate) fn is_open(&self, key: ChannelKey) -> bool {
        self.channels.get(&key.number).is_some_and(|channel| channel.is(key))
    }

    /// Whether the end was asked for.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    fn open(&mut self, reply: Reply<Opened>) {
        let most = self.limits.channel_max;
        let taken = self.channels.keys().zip(1..).take_while(|(number, free)| **number == *free);
        let free = taken.last().map_or(Some(1), |(number, _)| number.checked_add(1));
        let Some(number) = free.filter(|number| *number <= most) else {
            // Who asked may be gone.
            let _gone = reply.send(Err(Error::NoChannel { most }));
            return;
        };
        self.serials += 1;
        let key = ChannelKey { number, serial: self.serials };
        let opened = Opened { key, end: End::default() };
        self.channels.insert(number, State::new(&opened, self.limits.most_bytes));
        let method = Method::ChannelOpen { reserved: ShortString::default() };
        self.call(key, method, "open a channel".to_owned(), Waiter::Opened(reply, opened));
    }

    fn call(&mut self, key: ChannelKey, method: Method, action: String, waiter: Waiter) {
        match self.channels.get_mut(&key.number).filter(|channel| channel.is(key)) {
            Some(channel) => channel.call(&method, action, waiter, &mut self.out),
            None => waiter.refuse(Error::Finished),
        }
    }

    fn publish(&mut self, key: ChannelKey, message: Outgoing, reply: Reply<Confirmation>) {
        let Some(channel) = self.channels.get_mut(&key.number).filter(|channel| channel.is(key))
        else {
            // Who asked may be gone.
            let _gone = reply.send(Err(Error::Finished));
            return;
        };
        put_method(&mut self.out, key.number, &message.method);
        let frame_max = self.limits.frame_max;
        put_content(&mut self.out, key.number, &message.properties, &message.body, frame_max);
        channel.published(message, reply);
    }

    fn take(&mut self, frame: Frame) -> Result<Received, Fault> {
        match frame {
            Frame::Heartbeat => Ok(Received::Done),
            Frame::Method(0, method) => self.take_connection(method),
            Frame::Method(number, method) => {
                let out = &mut self.out;
                let Some(channel) = self.channels.get_mut(&number) else {
                    // Both sides may close a channel at once.
                    let late = matches!(method, Method::ChannelCloseOk {});
                    return if late { Ok(Received::Done) } else { self.stray(number) };
                };
                let outcome = channel.method(method, out)?;
                Ok(self.settle(number, outcome))
            }
            Frame::Header(number, size, properties) => {
                let Some(channel) = self.channels.get_mut(&number) else {
                    return self.stray(number);
                };
                let outcome = channel.header(size, properties, &mut self.out)?;
                Ok(self.settle(number, outcome))
            }
            Frame::Body(number, part) => {
                let Some(channel) = self.channels.get_mut(&number) else {
                    return self.stray(number);
                };
                let outcome = channel.body(&part, &mut self.out)?;
                Ok(self.settle(number, outcome))
            }
        }
    }

    /// A frame on a channel that is not open. While the connection is being closed, channels are
    /// forgotten before the broker knows.
    fn stray(&self, channel: u16) -> Result<Received, Fault> {
        if self.is_closing() { Ok(Received::Done) } else { Err(Fault::Channel { channel }) }
    }

    fn settle(&mut self, number: u16, outcome: Outcome) -> Received {
        match outcome {
            Outcome::Done => Received::Done,
            Outcome::Stalled(stalled) => Received::Stalled(stalled),
            Outcome::Closed => {
                self.channels.remove(&number);
                Received::Done
            }
        }
    }

    fn take_connection(&mut self, method: Method) -> Result<Received, Fault> {
        match method {
            Method::ConnectionClose { code, text, .. } => {
                put_method(&mut self.out, 0, &Method::ConnectionCloseOk {});
                let refusal = Refusal { code: ReplyCode(code), text: text.into_string() };
                Ok(Received::Ended(Error::Closed { peer: self.peer.clone(), refusal }))
            }
            Method::ConnectionCloseOk {} if self.is_closing() => {
                Ok(Received::Ended(Error::Finished))
            }
            Method::ConnectionBlocked { reason } => {
                self.blocked.send_replace(Some(reason.into_string()));
                Ok(Received::Done)
            }
            Method::ConnectionUnblocked {} => {
                self.blocked.send_replace(None);
                Ok(Received::Done)
            }
            method => Err(Fault::Unexpected { method: method.name() }),
        }
    }

    fn fail_channels(&mut self, error: &Error) {
        for (_, channel) in mem::take(&mut self.channels) {
            channel.end(error);
        }
    }
}

impl Command {
    /// Answers with this error.
    pub(crate) fn refuse(self, error: Error) {
        // Who asked may be gone.
        match self {
            Self::Open { reply } => drop(reply.send(Err(error))),
            Self::Call { reply, .. } | Self::Consume { reply, .. } => {
                drop(reply.send(Err(error)));
            }
            Self::Publish { reply, .. } => drop(reply.send(Err(error))),
            Self::Close { reply } => drop(reply.send(Err(error))),
            Self::Tell { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests;
