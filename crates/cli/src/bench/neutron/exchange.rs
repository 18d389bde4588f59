//! What passed between an agent and the broker: bytes of many connections to messages. Pure.
//!
//! Of AMQP 0-9-1 only what lies around a body is read: frames (section 4.2.3 of the specification)
//! and the size in the header of a content. What is in a body is for `neutron::oslo`.

use std::{collections::BTreeMap, time::Instant};

use ::neutron::oslo::{Invocation, Reply};
use serde_json::{Map, Value};
use testkit::{Carried, Toward};

/// The types of frames that make up a content, and the length of what precedes a payload.
const HEADER: u8 = 2;
const BODY: u8 = 3;
const PREFIX: usize = 7;
/// What a client says before its first frame.
const GREETING: &[u8] = b"AMQP\x00\x00\x09\x01";
/// Where the size of the body stands in a header: behind class and weight.
const SIZE: std::ops::Range<usize> = 4..12;

/// A message, and when the last of it passed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    pub(super) at: Instant,
    pub(super) said: Said,
}

/// What was said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    /// The agent has called.
    Call {
        /// By which its answer is known.
        id: String,
        method: String,
        args: Map<String, Value>,
    },
    /// The server has answered the call.
    Answer { id: String },
    /// The server has told without being asked.
    Told { method: String, args: Map<String, Value> },
}

/// Reads what passes.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    directions: BTreeMap<(u64, Toward), Direction>,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Direction {
    bytes: Vec<u8>,
    /// The contents that are not complete, by channel: the size, and what has come.
    contents: BTreeMap<u16, (usize, Vec<u8>)>,
}

impl Exchange {
    /// Takes in what passed. Gives the messages that are complete with it.
    pub(super) fn take(&mut self, carried: &Carried) -> Vec<Message> {
        let toward = carried.toward;
        let direction = self.directions.entry((carried.connection, toward)).or_default();
        let bodies = direction.take(&carried.bytes);
        let said = bodies.iter().filter_map(|body| read(toward, body));
        said.map(|said| Message { at: carried.at, said }).collect()
    }
}

impl Direction {
    /// Gives the bodies that are complete with these bytes.
    fn take(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.bytes.extend_from_slice(bytes);
        let mut from = 0;
        if self.bytes.starts_with(GREETING) {
            from = GREETING.len();
        }
        let mut bodies = Vec::new();
        while let Some((kind, channel, payload)) = frame(self.bytes.get(from..).unwrap_or(&[])) {
            match kind {
                HEADER => {
                    let size = payload.get(SIZE).and_then(|size| size.try_into().ok());
                    let size = size.map_or(0, u64::from_be_bytes);
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    self.contents.insert(channel, (size, Vec::new()));
                }
                BODY => {
                    if let Some((_, body)) = self.contents.get_mut(&channel) {
                        body.extend_from_slice(payload);
                    }
                }
                _ => {}
            }
            if self.contents.get(&channel).is_some_and(|(size, body)| body.len() >= *size) {
                bodies.extend(self.contents.remove(&channel).map(|(_, body)| body));
            }
            // The end of a frame is one byte.
            from += PREFIX + payload.len() + 1;
        }
        self.bytes.drain(..from);
        bodies
    }
}

/// The type, the channel and the payload of the frame that these bytes begin with, if all of it is
/// there.
fn frame(bytes: &[u8]) -> Option<(u8, u16, &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
    let [kind, channel @ .., a, b, c, d] = *prefix;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let payload = rest.get(..length)?;
    rest.get(length)?;
    Some((kind, u16::from_be_bytes(channel), payload))
}

/// What a body says; nothing, where it is not a message of oslo.messaging.
fn read(toward: Toward, body: &[u8]) -> Option<Said> {
    if toward == Toward::Client
        && let Ok(reply) = Reply::read(body)
    {
        return reply.ending.then_some(Said::Answer { id: reply.msg_id });
    }
    let Invocation { message, reply_to, .. } = Invocation::read(body).ok()?;
    let (method, args) = (message.method, message.args);
    match (toward, reply_to) {
        (Toward::Server, Some(reply_to)) => Some(Said::Call { id: reply_to.msg_id, method, args }),
        (Toward::Server, None) => None,
        (Toward::Client, _) => Some(Said::Told { method, args }),
    }
}

#[cfg(test)]
mod tests {
    use ::neutron::{
        oslo::{self, ReplyTo},
        rpc::Message as Invoked,
    };
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn put(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap();
        [&[kind][..], &channel.to_be_bytes(), &length.to_be_bytes(), payload, &[0xce]].concat()
    }

    fn content(channel: u16, body: &[u8], parts: usize) -> Vec<u8> {
        let size = u64::try_from(body.len()).unwrap().to_be_bytes();
        let mut bytes = put(1, channel, &[0, 60, 0, 40, 0, 0]);
        bytes.extend(put(2, channel, &[&[0, 60, 0, 0][..], &size, &[0, 0]].concat()));
        let parts = body.chunks(body.len().div_ceil(parts));
        bytes.extend(parts.flat_map(|part| put(3, channel, part)));
        bytes
    }

    fn invoked(method: &str) -> Invoked {
        let args = json!({ "host": "a" }).as_object().unwrap().clone();
        Invoked { namespace: None, method: method.to_owned(), version: "1.1".to_owned(), args }
    }

    #[test]
    fn messages_are_found_wherever_the_bytes_are_cut() {
        let id = "0123".to_owned();
        let reply_to = ReplyTo { msg_id: id.clone(), queue: "reply".to_owned() };
        let call = oslo::call(invoked("bulk_pull"), &reply_to, Uuid::nil());
        let cast = oslo::cast(invoked("push"), Uuid::nil());
        let answer = oslo::reply(&id, Uuid::nil(), Ok(json!([1, 2]))).unwrap();
        let heartbeat = put(8, 0, &[]);
        let to_server = [GREETING, &content(1, &call, 2), &content(1, &cast, 1)].concat();
        let to_client = [content(1, &answer, 3), heartbeat, content(2, &cast, 1)].concat();

        let args = invoked("").args;
        let method = "bulk_pull".to_owned();
        let called = Said::Call { id: id.clone(), method, args: args.clone() };
        let told = Said::Told { method: "push".to_owned(), args };
        for size in [1, 7, 50, 100_000] {
            for (toward, bytes, expected) in [
                (Toward::Server, &to_server, vec![called.clone()]),
                (Toward::Client, &to_client, vec![Said::Answer { id: id.clone() }, told.clone()]),
            ] {
                let mut exchange = Exchange::default();
                let at = Instant::now();
                let carried = bytes.chunks(size).map(|bytes| Carried {
                    connection: 1,
                    toward,
                    at,
                    bytes: bytes.to_vec(),
                });
                let messages: Vec<Message> = carried.flat_map(|it| exchange.take(&it)).collect();
                let said: Vec<Said> = messages.into_iter().map(|message| message.said).collect();
                assert_eq!(said, expected, "{size}");
            }
        }
    }
}
