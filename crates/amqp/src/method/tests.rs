//! Every method, there and back, and as a broker and another client write it.

use std::collections::BTreeSet;

use super::*;
use crate::table::tests::every_type;

fn short(text: &str) -> ShortString {
    ShortString::cut(text)
}

/// One of each.
pub(crate) fn samples() -> Vec<Method> {
    let flags = Flags::of([true, false, true]);
    let text = || short("NOT_FOUND - no queue 'ünï'");
    let (queue, exchange, routing_key) = (|| short("queue"), || short("exchange"), || short("key"));
    let tag = || short("1");
    vec![
        Method::ConnectionStart {
            version_major: 0,
            version_minor: 9,
            server_properties: every_type(),
            mechanisms: LongString(b"PLAIN AMQPLAIN".to_vec()),
            locales: LongString(b"en_US".to_vec()),
        },
        Method::ConnectionStartOk {
            client_properties: every_type(),
            mechanism: short("AMQPLAIN"),
            response: LongString(vec![0, 255]),
            locale: short("en_US"),
        },
        Method::ConnectionTune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 },
        Method::ConnectionTuneOk { channel_max: u16::MAX, frame_max: u32::MAX, heartbeat: 0 },
        Method::ConnectionOpen {
            virtual_host: short("/"),
            reserved_1: short(""),
            reserved_2: flags,
        },
        Method::ConnectionOpenOk { reserved: short("") },
        Method::ConnectionClose { code: 320, text: text(), class: 0, method: 0 },
        Method::ConnectionCloseOk {},
        Method::ConnectionBlocked { reason: short("low on memory") },
        Method::ConnectionUnblocked {},
        Method::ChannelOpen { reserved: short("") },
        Method::ChannelOpenOk { reserved: LongString::default() },
        Method::ChannelClose { code: 404, text: text(), class: 50, method: 10 },
        Method::ChannelCloseOk {},
        Method::ExchangeDeclare {
            reserved: 0,
            exchange: exchange(),
            kind: short("topic"),
            flags,
            arguments: every_type(),
        },
        Method::ExchangeDeclareOk {},
        Method::ExchangeDelete { reserved: 0, exchange: exchange(), flags },
        Method::ExchangeDeleteOk {},
        Method::QueueDeclare { reserved: 0, queue: queue(), flags, arguments: every_type() },
        Method::QueueDeclareOk { queue: queue(), messages: u32::MAX, consumers: 1 },
        Method::QueueBind {
            reserved: 0,
            queue: queue(),
            exchange: exchange(),
            routing_key: routing_key(),
            flags,
            arguments: every_type(),
        },
        Method::QueueBindOk {},
        Method::QueuePurge { reserved: 0, queue: queue(), flags },
        Method::QueuePurgeOk { messages: 7 },
        Method::QueueDelete { reserved: 0, queue: queue(), flags },
        Method::QueueDeleteOk { messages: 7 },
        Method::QueueUnbind {
            reserved: 0,
            queue: queue(),
            exchange: exchange(),
            routing_key: routing_key(),
            arguments: every_type(),
        },
        Method::QueueUnbindOk {},
        Method::BasicQos { prefetch_size: 0, prefetch_count: 1000, flags },
        Method::BasicQosOk {},
        Method::BasicConsume {
            reserved: 0,
            queue: queue(),
            tag: tag(),
            flags,
            arguments: every_type(),
        },
        Method::BasicConsumeOk { tag: tag() },
        Method::BasicCancel { tag: tag(), flags },
        Method::BasicCancelOk { tag: tag() },
        Method::BasicPublish {
            reserved: 0,
            exchange: exchange(),
            routing_key: routing_key(),
            flags,
        },
        Method::BasicReturn {
            code: 312,
            text: short("NO_ROUTE"),
            exchange: exchange(),
            routing_key: routing_key(),
        },
        Method::BasicDeliver {
            tag: tag(),
            delivery: u64::MAX,
            flags,
            exchange: exchange(),
            routing_key: routing_key(),
        },
        Method::BasicAck { delivery: 1, flags },
        Method::BasicReject { delivery: 1, flags },
        Method::BasicNack { delivery: 1, flags },
        Method::ConfirmSelect { flags },
        Method::ConfirmSelectOk {},
    ]
}

fn bytes(method: &Method) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode(&mut out);
    out
}

#[test]
fn the_samples_are_all() {
    let sampled: BTreeSet<_> = samples().iter().map(Method::key).collect();
    assert_eq!(sampled, Method::KEYS.iter().copied().collect());
}

#[test]
fn every_method_is_read_as_it_was_written() {
    for method in samples() {
        let whole = bytes(&method);
        assert_eq!(Method::decode(&whole), Ok(method.clone()));
        for length in 0..whole.len() {
            let cut = Method::decode(&whole[..length]);
            assert_eq!(cut, Err(Fault::Truncated), "{length} bytes of {method:?}");
        }
        let longer = [&whole[..], &[0]].concat();
        assert_eq!(Method::decode(&longer), Err(Fault::Trailing), "{method:?}");
    }
}

/// Payloads of frames between py-amqp 5.4.2 and RabbitMQ 3.10.8.
#[test]
fn as_a_broker_and_another_client_write_them() {
    let none = Table::new;
    let recorded: [(&[u8], Method); 14] = [
        (
            b"\x00\n\x00\x1e\x07\xff\x00\x02\x00\x00\x00<",
            Method::ConnectionTune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 },
        ),
        (
            b"\x00\n\x00(\x04weir\x00\x00",
            Method::ConnectionOpen {
                virtual_host: short("weir"),
                reserved_1: short(""),
                reserved_2: Flags::default(),
            },
        ),
        (b"\x00\n\x00)\x00", Method::ConnectionOpenOk { reserved: short("") }),
        (
            b"\x00\x14\x00\x0b\x00\x00\x00\x00",
            Method::ChannelOpenOk { reserved: LongString::default() },
        ),
        (
            b"\x00(\x00\n\x00\x00\x01e\x05topic\x00\x00\x00\x00\x00",
            Method::ExchangeDeclare {
                reserved: 0,
                exchange: short("e"),
                kind: short("topic"),
                flags: Flags::default(),
                arguments: none(),
            },
        ),
        (
            b"\x002\x00\n\x00\x00\x01q\x00\x00\x00\x00\x0f\tx-expiresI\x00\x1bw@",
            Method::QueueDeclare {
                reserved: 0,
                queue: short("q"),
                flags: Flags::default(),
                arguments: none().with("x-expires", 1_800_000),
            },
        ),
        (
            b"\x002\x00\n\x00\x00\x01q\x02\x00\x00\x00\x00",
            Method::QueueDeclare {
                reserved: 0,
                queue: short("q"),
                flags: Flags::of([false, true, false, false, false]),
                arguments: none(),
            },
        ),
        (
            b"\x002\x00\x0b\x01q\x00\x00\x00\x01\x00\x00\x00\x00",
            Method::QueueDeclareOk { queue: short("q"), messages: 1, consumers: 0 },
        ),
        (
            b"\x002\x00\x14\x00\x00\x01q\x01e\x01k\x00\x00\x00\x00\x00",
            Method::QueueBind {
                reserved: 0,
                queue: short("q"),
                exchange: short("e"),
                routing_key: short("k"),
                flags: Flags::default(),
                arguments: none(),
            },
        ),
        (
            b"\x00<\x00\x14\x00\x00\x01q\x00\x00\x00\x00\x00\x00",
            Method::BasicConsume {
                reserved: 0,
                queue: short("q"),
                tag: short(""),
                flags: Flags::default(),
                arguments: none(),
            },
        ),
        (
            b"\x00<\x00(\x00\x00\x00\x04none\x01",
            Method::BasicPublish {
                reserved: 0,
                exchange: short(""),
                routing_key: short("none"),
                flags: Flags::of([true, false]),
            },
        ),
        (
            b"\x00<\x002\x018\x08NO_ROUTE\x00\x04none",
            Method::BasicReturn {
                code: 312,
                text: short("NO_ROUTE"),
                exchange: short(""),
                routing_key: short("none"),
            },
        ),
        (
            b"\x00<\x00<\x04ctag\x00\x00\x00\x00\x00\x00\x00\x01\x01\x01e\x01k",
            Method::BasicDeliver {
                tag: short("ctag"),
                delivery: 1,
                flags: Flags::of([true]),
                exchange: short("e"),
                routing_key: short("k"),
            },
        ),
        (
            b"\x00<\x00P\x00\x00\x00\x00\x00\x00\x00\x02\x00",
            Method::BasicAck { delivery: 2, flags: Flags::default() },
        ),
    ];
    for (payload, method) in recorded {
        assert_eq!(Method::decode(payload), Ok(method.clone()));
        assert_eq!(bytes(&method), payload, "{method:?}");
    }
}

#[test]
fn unknown_methods_are_refused() {
    let unknown = Method::decode(b"\x00\x3c\x00\x46");
    assert_eq!(unknown, Err(Fault::Method { class: 60, method: 70 }));
}

#[test]
fn names_that_are_not_utf_8_are_read_all_the_same() {
    let payload = b"\x00<\x00<\x01t\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01e\x02k\xff";
    let Method::BasicDeliver { routing_key, .. } = Method::decode(payload).unwrap() else {
        panic!("another method");
    };
    assert_eq!(routing_key.as_str(), "k\u{fffd}");
}
