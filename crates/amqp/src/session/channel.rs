//! One channel: who waits for which answer, who consumes, what was published.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use tokio::sync::mpsc::error::TrySendError;

use crate::{
    Delivery, DeliveryTag, Error, Fault, Properties, Refusal, ReplyCode,
    frame::put_method,
    message::Confirmation,
    method::Method,
    session::{
        ChannelKey, End, Opened, Outgoing, Reply, Sink, Stalled,
        confirm::Confirms,
        content::{Content, Progress, Whole},
    },
    wire::{Flags, ShortString},
};

/// Class and number of the methods that no answer is waited for, as the broker names them when it
/// closes the channel because of one.
const PUBLISH: (u16, u16) = (60, 40);
const ACKNOWLEDGE: [(u16, u16); 3] = [(60, 80), (60, 90), (60, 120)];

/// A channel.
#[derive(Debug)]
pub(super) struct State {
    key: ChannelKey,
    end: End,
    most_bytes: u64,
    /// Those who wait. The broker answers in their order, except what it leaves to queues: the
    /// answers about consumers come when they come, each with its tag.
    waiting: VecDeque<Waiting>,
    consumers: HashMap<String, Sink>,
    content: Option<Content>,
    confirms: Option<Confirms>,
    /// It was closed from here; the broker does not know yet.
    closing: bool,
}

#[derive(Debug)]
struct Waiting {
    method: Method,
    action: String,
    waiter: Waiter,
    /// The consumer that is cancelled: its tag may be another's by the time of the answer.
    cancelled: Option<End>,
}

/// Who waits for an answer.
#[derive(Debug)]
pub(super) enum Waiter {
    Answer(Reply<Method>),
    Opened(Reply<Opened>, Opened),
    Consumer(Reply<Method>, Sink),
    /// Nobody does, but the answer comes all the same.
    Nobody,
}

/// What a frame did to its channel.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Stalled(Box<Stalled>),
    /// It is no more.
    Closed,
}

impl State {
    pub(super) fn new(opened: &Opened, most_bytes: u64) -> Self {
        Self {
            key: opened.key,
            end: opened.end.clone(),
            most_bytes,
            waiting: VecDeque::new(),
            consumers: HashMap::new(),
            content: None,
            confirms: None,
            closing: false,
        }
    }

    /// Whether it is that one, and open.
    pub(super) fn is(&self, key: ChannelKey) -> bool {
        self.key == key && !self.closing
    }

    /// Sends a method that is answered.
    pub(super) fn call(
        &mut self,
        method: &Method,
        action: String,
        waiter: Waiter,
        out: &mut Vec<u8>,
    ) {
        put_method(out, self.key.number, method);
        let cancelled = match method {
            Method::BasicCancel { tag, .. } => self.consumers.get(tag.as_str()),
            _ => None,
        };
        let cancelled = cancelled.map(|sink| sink.end.clone());
        self.waiting.push_back(Waiting { method: method.clone(), action, waiter, cancelled });
        if matches!(method, Method::ChannelClose { .. }) {
            self.closing = true;
        }
    }

    /// Closes it without anybody waiting.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        self.call(&close(), "close the channel".to_owned(), Waiter::Nobody, out);
    }

    /// Cancels a consumer that nobody listens to any more, and gives back what it has not seen.
    pub(super) fn cancel(&mut self, tag: String, unread: Vec<u64>, out: &mut Vec<u8>) {
        for delivery in unread {
            self.give_back(delivery, out);
        }
        if let Some(short) = self.consumers.get(&tag).and_then(|_| ShortString::new(tag)) {
            let method = Method::BasicCancel { tag: short, flags: Flags::of([false]) };
            self.call(&method, "cancel a consumer".to_owned(), Waiter::Nobody, out);
        }
    }

    /// A message was sent.
    pub(super) fn published(&mut self, message: Outgoing, reply: Reply<Confirmation>) {
        match &mut self.confirms {
            Some(confirms) => confirms.published(message, reply),
            // Who publishes has asked for confirmations before.
            None => drop(reply),
        }
    }

    pub(super) fn method(&mut self, method: Method, out: &mut Vec<u8>) -> Result<Outcome, Fault> {
        if self.content.is_some() {
            return Err(Fault::Content);
        }
        match method {
            Method::ChannelClose { code, text, class, method } => {
                put_method(out, self.key.number, &Method::ChannelCloseOk {});
                let refusal = Refusal { code: ReplyCode(code), text: text.into_string() };
                self.refused((class, method), refusal);
                Ok(Outcome::Closed)
            }
            Method::BasicDeliver { .. } | Method::BasicReturn { .. } => {
                self.content = Some(Content::new(method));
                Ok(Outcome::Done)
            }
            Method::BasicCancel { tag, flags } => {
                self.cancelled(tag, flags, out);
                Ok(Outcome::Done)
            }
            Method::BasicAck { delivery, flags } => {
                let confirms = self.confirms.as_mut();
                let confirms = confirms.ok_or(Fault::Unexpected { method: "BasicAck" })?;
                confirms.acked(delivery, flags.has(0));
                Ok(Outcome::Done)
            }
            Method::BasicNack { delivery, flags } => {
                let confirms = self.confirms.as_mut();
                let confirms = confirms.ok_or(Fault::Unexpected { method: "BasicNack" })?;
                confirms.nacked(delivery, flags.has(0));
                Ok(Outcome::Done)
            }
            answer => self.answered(answer, out),
        }
    }

    pub(super) fn header(
        &mut self,
        size: u64,
        properties: Box<Properties>,
        out: &mut Vec<u8>,
    ) -> Result<Outcome, Fault> {
        let content = self.content.take().ok_or(Fault::Content)?;
        let content = content.header(size, properties, self.most_bytes)?;
        Ok(self.assemble(content, out))
    }

    pub(super) fn body(&mut self, part: &[u8], out: &mut Vec<u8>) -> Result<Outcome, Fault> {
        let content = self.content.take().ok_or(Fault::Content)?;
        let content = content.body(part)?;
        Ok(self.assemble(content, out))
    }

    /// Tells everybody that it has ended for this reason.
    pub(super) fn end(self, error: &Error) {
        // Only the first reason counts.
        let _earlier = self.end.set(error.clone());
        for Waiting { method, waiter, .. } in self.waiting {
            waiter.end(&method, error);
        }
        for sink in self.consumers.into_values() {
            let _earlier = sink.end.set(error.clone());
        }
        if let Some(confirms) = self.confirms {
            confirms.end(error);
        }
    }

    fn answered(&mut self, answer: Method, out: &mut Vec<u8>) -> Result<Outcome, Fault> {
        let unexpected = Fault::Unexpected { method: answer.name() };
        let place = self.waiting.iter().position(|waiting| answer.answers(&waiting.method));
        let Some(Waiting { waiter, cancelled, .. }) =
            place.and_then(|place| self.waiting.remove(place))
        else {
            // Both sides may have closed the channel that had this number before.
            let late = matches!(answer, Method::ChannelCloseOk {});
            return if late { Ok(Outcome::Done) } else { Err(unexpected) };
        };
        match &answer {
            Method::ConfirmSelectOk {} => drop(self.confirms.get_or_insert_default()),
            Method::BasicCancelOk { tag } => {
                let same = |sink: &Sink| cancelled.is_some_and(|end| Arc::ptr_eq(&end, &sink.end));
                if self.consumers.get(tag.as_str()).is_some_and(same) {
                    self.consumers.remove(tag.as_str());
                }
            }
            _ => {}
        }
        let closed = matches!(answer, Method::ChannelCloseOk {});
        match waiter {
            // Who asked may be gone.
            Waiter::Answer(reply) => drop(reply.send(Ok(answer))),
            Waiter::Opened(reply, opened) => {
                if reply.send(Ok(opened)).is_err() {
                    self.close(out);
                }
            }
            Waiter::Consumer(reply, sink) => {
                let Method::BasicConsumeOk { tag } = &answer else { return Err(unexpected) };
                let tag = tag.as_str().to_owned();
                self.consumers.insert(tag.clone(), sink);
                if reply.send(Ok(answer)).is_err() {
                    self.cancel(tag, Vec::new(), out);
                }
            }
            Waiter::Nobody => {}
        }
        if closed {
            self.finish(&Error::Finished);
            return Ok(Outcome::Closed);
        }
        Ok(Outcome::Done)
    }

    /// The broker closes the channel because of that method.
    fn refused(&mut self, method: (u16, u16), refusal: Refusal) {
        if self.closing {
            return self.finish(&Error::Finished);
        }
        let waiting = self.waiting.iter().find(|waiting| waiting.method.key() == method);
        let action = match waiting {
            Some(waiting) => waiting.action.clone(),
            None if method == PUBLISH => "publish".to_owned(),
            None if ACKNOWLEDGE.contains(&method) => "acknowledge".to_owned(),
            None => "go on with the channel".to_owned(),
        };
        self.finish(&Error::Refused { action, refusal });
    }

    fn finish(&mut self, error: &Error) {
        let opened = Opened { key: self.key, end: self.end.clone() };
        std::mem::replace(self, Self::new(&opened, 0)).end(error);
    }

    /// The broker takes a consumer back.
    fn cancelled(&mut self, tag: ShortString, flags: Flags, out: &mut Vec<u8>) {
        if let Some(sink) = self.consumers.remove(tag.as_str()) {
            let (queue, tag) = (sink.queue, tag.as_str().to_owned());
            let _earlier = sink.end.set(Error::Cancelled { queue, tag });
        }
        let no_wait = flags.has(0);
        if !no_wait {
            put_method(out, self.key.number, &Method::BasicCancelOk { tag });
        }
    }

    fn assemble(&mut self, content: Progress, out: &mut Vec<u8>) -> Outcome {
        match content {
            Progress::Whole(whole) => self.whole(whole, out),
            Progress::Partial(partial) => {
                self.content = Some(partial);
                Outcome::Done
            }
        }
    }

    fn whole(&mut self, whole: Whole, out: &mut Vec<u8>) -> Outcome {
        let Whole { method, properties, body } = whole;
        match method {
            Method::BasicReturn { code, text, exchange, routing_key } => {
                let refusal = Refusal { code: ReplyCode(code), text: text.into_string() };
                if let Some(confirms) = &mut self.confirms {
                    confirms.returned(exchange.as_str(), routing_key.as_str(), &body, refusal);
                }
                Outcome::Done
            }
            Method::BasicDeliver { tag, delivery, flags, exchange, routing_key } => {
                let delivery = Delivery {
                    tag: DeliveryTag(delivery),
                    redelivered: flags.has(0),
                    exchange: exchange.into_string(),
                    routing_key: routing_key.into_string(),
                    properties: *properties,
                    body,
                };
                self.deliver(tag.as_str(), delivery, out)
            }
            _ => Outcome::Done,
        }
    }

    fn deliver(&mut self, tag: &str, delivery: Delivery, out: &mut Vec<u8>) -> Outcome {
        if self.closing {
            // The broker takes back what it thinks it has delivered.
            return Outcome::Done;
        }
        let Some(sink) = self.sink(tag) else { return Outcome::Done };
        match sink.deliveries.try_send(delivery) {
            Ok(()) => Outcome::Done,
            Err(TrySendError::Full(delivery)) => {
                let (key, sender, no_ack) = (self.key, sink.deliveries.clone(), sink.no_ack);
                Outcome::Stalled(Box::new(Stalled { key, sender, no_ack, delivery }))
            }
            Err(TrySendError::Closed(delivery)) => {
                if !sink.no_ack {
                    self.give_back(delivery.tag.0, out);
                }
                Outcome::Done
            }
        }
    }

    /// Where deliveries of that consumer go. Some come before the answer that it has been started.
    fn sink(&self, wanted: &str) -> Option<&Sink> {
        let starting = || {
            self.waiting.iter().find_map(|waiting| match (&waiting.method, &waiting.waiter) {
                (Method::BasicConsume { tag, .. }, Waiter::Consumer(_, sink)) => {
                    (tag.as_str() == wanted).then_some(sink)
                }
                _ => None,
            })
        };
        self.consumers.get(wanted).or_else(starting)
    }

    fn give_back(&self, delivery: u64, out: &mut Vec<u8>) {
        let method = Method::BasicReject { delivery, flags: Flags::of([true]) };
        put_method(out, self.key.number, &method);
    }
}

impl Waiter {
    /// It will not be answered. Who asked for the end has it.
    fn end(self, method: &Method, error: &Error) {
        match self {
            Self::Answer(reply) if matches!(method, Method::ChannelClose { .. }) => {
                drop(reply.send(Ok(Method::ChannelCloseOk {})));
            }
            other => other.refuse(error.clone()),
        }
    }

    pub(super) fn refuse(self, error: Error) {
        // Who asked may be gone.
        match self {
            Self::Answer(reply) => drop(reply.send(Err(error))),
            Self::Opened(reply, _) => drop(reply.send(Err(error))),
            Self::Consumer(reply, sink) => {
                let _earlier = sink.end.set(error.clone());
                drop(reply.send(Err(error)));
            }
            Self::Nobody => {}
        }
    }
}

/// What closes a channel.
pub(crate) fn close() -> Method {
    Method::ChannelClose {
        code: ReplyCode::SUCCESS.0,
        text: ShortString::cut("done"),
        class: 0,
        method: 0,
    }
}
