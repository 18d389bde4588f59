//! A session with a broker that is written here, for what a real one does rarely or never.

use proptest::{collection::vec, prelude::*, sample::Index};
use tokio::sync::oneshot::{Receiver, channel as reply, error::TryRecvError};

use super::*;
use crate::{method::tests::samples, properties::tests::everything, wire::LongString};

const TUNED: Tuned =
    Tuned { channel_max: 3, frame_max: 4096, heartbeat: std::time::Duration::ZERO };

fn session() -> Session {
    let (blocked, _) = watch::channel(None);
    Session::new("peer".to_owned(), TUNED, 1 << 20, blocked)
}

fn short(text: &str) -> ShortString {
    ShortString::cut(text)
}

/// The frames that the session wants to send.
fn sent(session: &mut Session) -> Vec<Frame> {
    let mut decoder = crate::frame::Decoder::new(4096);
    decoder.buffer().extend_from_slice(session.output());
    session.sent(session.output().len());
    std::iter::from_fn(|| decoder.next().unwrap()).collect()
}

fn receive(session: &mut Session, channel: u16, method: Method) -> Received {
    session.receive(Frame::Method(channel, method)).unwrap()
}

fn open(session: &mut Session) -> Opened {
    let (ask, mut answer) = reply();
    session.command(Command::Open { reply: ask });
    let number = match sent(session).pop() {
        Some(Frame::Method(number, Method::ChannelOpen { .. })) => number,
        frame => panic!("{frame:?}"),
    };
    receive(session, number, Method::ChannelOpenOk { reserved: LongString::default() });
    answer.try_recv().unwrap().unwrap()
}

fn call(session: &mut Session, key: ChannelKey, method: Method) -> Receiver<Result<Method>> {
    let (reply, answer) = reply();
    session.command(Command::Call { key, method, action: "act".to_owned(), reply });
    answer
}

fn consume(session: &mut Session, key: ChannelKey, room: usize) -> (mpsc::Receiver<Delivery>, End) {
    let (deliveries, receiver) = mpsc::channel(room);
    let end = End::default();
    let queue = "queue".to_owned();
    let sink = Sink { queue, no_ack: false, deliveries, end: end.clone() };
    let method = Method::BasicConsume {
        reserved: 0,
        queue: short("queue"),
        tag: short("1"),
        flags: Flags::default(),
        arguments: crate::Table::new(),
    };
    let (reply, mut answer) = reply();
    let action = "consume".to_owned();
    session.command(Command::Consume { key, method, action, sink, reply });
    receive(session, key.number, Method::BasicConsumeOk { tag: short("1") });
    answer.try_recv().unwrap().unwrap();
    sent(session);
    (receiver, end)
}

/// A delivery with a body of one byte.
fn deliver(session: &mut Session, number: u16, delivery: u64) -> Result<Received> {
    let (tag, exchange, routing_key) = (short("1"), short(""), short("queue"));
    let flags = Flags::default();
    let method = Method::BasicDeliver { tag, delivery, flags, exchange, routing_key };
    receive(session, number, method);
    session.receive(Frame::Header(number, 1, Box::default()))?;
    session.receive(Frame::Body(number, vec![0]))
}

fn publish(
    session: &mut Session,
    key: ChannelKey,
    body: &[u8],
    mandatory: bool,
) -> Receiver<Result<Confirmation>> {
    let method = Method::BasicPublish {
        reserved: 0,
        exchange: short(""),
        routing_key: short("key"),
        flags: Flags::of([mandatory, false]),
    };
    let (properties, body) = (vec![0, 0], body.to_vec());
    let message = Box::new(Outgoing { method, properties, body, mandatory });
    let (reply, answer) = reply();
    session.command(Command::Publish { key, message, reply });
    answer
}

fn confirming(session: &mut Session) -> ChannelKey {
    let Opened { key, .. } = open(session);
    let mut selected = call(session, key, Method::ConfirmSelect { flags: Flags::default() });
    receive(session, key.number, Method::ConfirmSelectOk {});
    selected.try_recv().unwrap().unwrap();
    key
}

fn fault(received: Result<Received>) -> Fault {
    match received {
        Err(Error::Peer { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_go_to_those_who_asked_in_their_order() {
    let mut session = session();
    let (one, two) = (open(&mut session).key, open(&mut session).key);
    let delete = |queue: &str| Method::QueueDelete {
        reserved: 0,
        queue: short(queue),
        flags: Flags::default(),
    };
    let mut first = call(&mut session, one, delete("a"));
    let mut second = call(&mut session, one, delete("b"));
    let mut other = call(&mut session, two, delete("c"));
    receive(&mut session, two.number, Method::QueueDeleteOk { messages: 3 });
    receive(&mut session, one.number, Method::QueueDeleteOk { messages: 1 });
    assert_eq!(second.try_recv().unwrap_err(), TryRecvError::Empty);
    receive(&mut session, one.number, Method::QueueDeleteOk { messages: 2 });
    for (answer, messages) in [(&mut first, 1), (&mut second, 2), (&mut other, 3)] {
        let expected = Method::QueueDeleteOk { messages };
        assert_eq!(answer.try_recv().unwrap().unwrap(), expected);
    }
    let late = session.receive(Frame::Method(1, Method::QueueDeleteOk { messages: 4 }));
    assert_eq!(fault(late), Fault::Unexpected { method: "QueueDeleteOk" });
}

/// Queues answer these themselves, each when it gets round to it.
#[test]
fn answers_about_consumers_may_come_late_and_in_any_order() {
    let mut session = session();
    let Opened { key, .. } = open(&mut session);
    let consumer = |session: &mut Session, tag: &str| {
        let (deliveries, receiver) = mpsc::channel(1);
        let (queue, end) = (tag.to_owned(), End::default());
        let sink = Sink { queue, no_ack: false, deliveries, end };
        let (queue, tag, flags) = (short(tag), short(tag), Flags::default());
        let arguments = crate::Table::new();
        let method = Method::BasicConsume { reserved: 0, queue, tag, flags, arguments };
        let (reply, answer) = reply();
        session.command(Command::Consume {
            key,
            method,
            action: "consume".to_owned(),
            sink,
            reply,
        });
        (answer, receiver)
    };
    let (mut one, mut of_one) = consumer(&mut session, "1");
    let (mut two, mut of_two) = consumer(&mut session, "2");
    let mut limited = call(
        &mut session,
        key,
        Method::BasicQos { prefetch_size: 0, prefetch_count: 1, flags: Flags::default() },
    );
    receive(&mut session, key.number, Method::BasicQosOk {});
    assert_eq!(limited.try_recv().unwrap().unwrap(), Method::BasicQosOk {});
    receive(&mut session, key.number, Method::BasicConsumeOk { tag: short("2") });
    assert!(two.try_recv().unwrap().is_ok());
    assert_eq!(one.try_recv().unwrap_err(), TryRecvError::Empty);
    // What it is delivered may be quicker than the answer.
    deliver(&mut session, key.number, 1).unwrap();
    assert!(of_one.try_recv().is_ok());
    receive(&mut session, key.number, Method::BasicConsumeOk { tag: short("1") });
    assert!(one.try_recv().unwrap().is_ok());
    deliver(&mut session, key.number, 2).unwrap();
    assert!(of_one.try_recv().is_ok());
    assert!(of_two.try_recv().is_err());

    let cancel = |tag: &str| Method::BasicCancel { tag: short(tag), flags: Flags::default() };
    let mut first = call(&mut session, key, cancel("1"));
    let mut second = call(&mut session, key, cancel("2"));
    receive(&mut session, key.number, Method::BasicCancelOk { tag: short("2") });
    assert!(second.try_recv().unwrap().is_ok());
    // And the tag may belong to another by then.
    let (mut third, mut of_third) = consumer(&mut session, "1");
    receive(&mut session, key.number, Method::BasicConsumeOk { tag: short("1") });
    assert!(third.try_recv().unwrap().is_ok());
    receive(&mut session, key.number, Method::BasicCancelOk { tag: short("1") });
    assert!(first.try_recv().unwrap().is_ok());
    deliver(&mut session, key.number, 3).unwrap();
    assert!(of_third.try_recv().is_ok());
}

#[test]
fn a_confirmation_may_speak_for_many() {
    let mut session = session();
    let key = confirming(&mut session);
    let mut answers: Vec<_> =
        (0..6).map(|number| publish(&mut session, key, &[number], false)).collect();
    let ack = |delivery, multiple| Method::BasicAck { delivery, flags: Flags::of([multiple]) };
    receive(&mut session, key.number, ack(2, false));
    receive(&mut session, key.number, ack(3, true));
    let nack = Method::BasicNack { delivery: 5, flags: Flags::of([false, false]) };
    receive(&mut session, key.number, nack);
    receive(&mut session, key.number, ack(2, false));
    receive(&mut session, key.number, ack(99, false));
    let known: Vec<_> =
        answers.iter_mut().map(|answer| answer.try_recv().ok().map(Result::unwrap)).collect();
    let (acked, nacked) = (Some(Confirmation::Acked), Some(Confirmation::Nacked));
    assert_eq!(known, [acked.clone(), acked.clone(), acked.clone(), None, nacked, None]);
    receive(&mut session, key.number, ack(0, true));
    for number in [3, 5] {
        assert_eq!(answers[number].try_recv().unwrap().unwrap(), Confirmation::Acked);
    }
}

/// The broker sends a message back before it confirms those that went before.
#[test]
fn a_message_that_comes_back_is_told_from_others() {
    let mut session = session();
    let key = confirming(&mut session);
    let mut answers: Vec<_> = [(b"a", true), (b"b", true), (b"b", false), (b"b", true)]
        .map(|(body, mandatory)| publish(&mut session, key, body, mandatory))
        .into();
    for _ in 0..2 {
        let (text, exchange, routing_key) = (short("NO_ROUTE"), short(""), short("key"));
        let method = Method::BasicReturn { code: 312, text, exchange, routing_key };
        receive(&mut session, key.number, method);
        session.receive(Frame::Header(key.number, 1, Box::default())).unwrap();
        session.receive(Frame::Body(key.number, b"b".to_vec())).unwrap();
    }
    let flags = Flags::of([true]);
    receive(&mut session, key.number, Method::BasicAck { delivery: 4, flags });
    let known: Vec<_> =
        answers.iter_mut().map(|answer| answer.try_recv().unwrap().unwrap()).collect();
    let text = "NO_ROUTE".to_owned();
    let back = Confirmation::Returned(Refusal { code: ReplyCode::NO_ROUTE, text });
    assert_eq!(known, [Confirmation::Acked, back.clone(), Confirmation::Acked, back]);
}

#[test]
fn a_full_consumer_stalls_and_goes_on() {
    let mut session = session();
    let Opened { key, .. } = open(&mut session);
    let (mut deliveries, _end) = consume(&mut session, key, 1);
    assert!(matches!(deliver(&mut session, key.number, 1), Ok(Received::Done)));
    let Ok(Received::Stalled(stalled)) = deliver(&mut session, key.number, 2) else {
        panic!("there is no room");
    };
    assert_eq!(deliveries.try_recv().unwrap().tag.0, 1);
    stalled.deliver(&mut session);
    assert_eq!(deliveries.try_recv().unwrap().tag.0, 2);

    // With nobody there, it goes back to the queue.
    assert!(matches!(deliver(&mut session, key.number, 3), Ok(Received::Done)));
    let Ok(Received::Stalled(stalled)) = deliver(&mut session, key.number, 4) else {
        panic!("there is no room");
    };
    drop(deliveries);
    stalled.deliver(&mut session);
    deliver(&mut session, key.number, 5).unwrap();
    let back = |delivery| {
        Frame::Method(key.number, Method::BasicReject { delivery, flags: Flags::of([true]) })
    };
    assert_eq!(sent(&mut session), [back(4), back(5)]);
}

#[test]
fn a_refusal_ends_the_channel_for_everybody_on_it() {
    let mut session = session();
    let Opened { key, end } = open(&mut session);
    let (mut deliveries, consumer) = consume(&mut session, key, 1);
    let mut purge = call(
        &mut session,
        key,
        Method::QueuePurge { reserved: 0, queue: short("q"), flags: Flags::default() },
    );
    let text = short("NOT_FOUND - no queue");
    receive(
        &mut session,
        key.number,
        Method::ChannelClose { code: 404, text, class: 50, method: 30 },
    );
    let expected = "cannot act: 404 NOT_FOUND - no queue";
    assert_eq!(purge.try_recv().unwrap().unwrap_err().to_string(), expected);
    assert_eq!(end.get().unwrap().to_string(), expected);
    assert_eq!(consumer.get().unwrap().to_string(), expected);
    assert_eq!(deliveries.try_recv().unwrap_err(), mpsc::error::TryRecvError::Disconnected);
    let last = sent(&mut session).pop();
    assert_eq!(last, Some(Frame::Method(key.number, Method::ChannelCloseOk {})));

    // Its number is free, and the old key is not taken for the new channel.
    let new = open(&mut session).key;
    assert_eq!(new.number, key.number);
    let mut stale = call(&mut session, key, Method::ConfirmSelect { flags: Flags::default() });
    assert!(matches!(stale.try_recv().unwrap(), Err(Error::Finished)));
    assert_eq!(sent(&mut session), []);
}

#[test]
fn both_sides_may_close_a_channel_at_once() {
    let mut session = session();
    let Opened { key, .. } = open(&mut session);
    let mut closed = call(&mut session, key, close_channel());
    let text = short("NOT_FOUND");
    receive(
        &mut session,
        key.number,
        Method::ChannelClose { code: 404, text, class: 0, method: 0 },
    );
    assert_eq!(closed.try_recv().unwrap().unwrap(), Method::ChannelCloseOk {});
    receive(&mut session, key.number, Method::ChannelCloseOk {});
    let new = open(&mut session).key;
    assert_eq!(new.number, key.number);
    receive(&mut session, key.number, Method::ChannelCloseOk {});
}

#[test]
fn a_channel_that_nobody_waits_for_any_more_is_closed() {
    let mut session = session();
    let (ask, answer) = reply();
    session.command(Command::Open { reply: ask });
    drop(answer);
    sent(&mut session);
    receive(&mut session, 1, Method::ChannelOpenOk { reserved: LongString::default() });
    assert_eq!(sent(&mut session), [Frame::Method(1, close_channel())]);
    receive(&mut session, 1, Method::ChannelCloseOk {});
    assert_eq!(open(&mut session).key.number, 1);
}

#[test]
fn the_parts_of_a_message_come_in_order_and_are_not_too_large() {
    let header = |size| Frame::Header(1, size, Box::default());
    let method =
        || Frame::Method(1, samples().into_iter().find(|method| method.key() == (60, 60)).unwrap());
    let body = |length| Frame::Body(1, vec![0; length]);
    let cases = [
        (vec![header(1)], Fault::Content),
        (vec![body(1)], Fault::Content),
        (vec![method(), body(1)], Fault::Content),
        (vec![method(), method()], Fault::Content),
        (vec![method(), header(1), header(1)], Fault::Content),
        (vec![method(), header(1), body(2)], Fault::Content),
        (vec![method(), header(0), body(1)], Fault::Content),
        (vec![method(), header(u64::MAX)], Fault::MessageSize { size: u64::MAX, limit: 1 << 20 }),
        (vec![Frame::Method(2, Method::BasicQosOk {})], Fault::Channel { channel: 2 }),
        (vec![Frame::Method(0, Method::BasicQosOk {})], Fault::Unexpected { method: "BasicQosOk" }),
    ];
    for (frames, expected) in cases {
        let mut session = session();
        open(&mut session);
        let last = frames.into_iter().map(|frame| session.receive(frame)).last().unwrap();
        assert_eq!(fault(last), expected);
    }
}

#[test]
fn nothing_is_taken_up_while_the_connection_is_being_closed() {
    let mut session = session();
    let Opened { key, end } = open(&mut session);
    let (ask, mut closed) = reply();
    session.command(Command::Close { reply: ask });
    assert!(matches!(end.get(), Some(Error::Finished)));
    let mut late = call(&mut session, key, close_channel());
    assert!(matches!(late.try_recv().unwrap(), Err(Error::Finished)));
    assert!(matches!(deliver(&mut session, key.number, 1), Ok(Received::Done)));
    let ended = receive(&mut session, 0, Method::ConnectionCloseOk {});
    assert!(matches!(ended, Received::Ended(Error::Finished)));
    session.fail(&Error::Finished);
    closed.try_recv().unwrap().unwrap();
}

#[test]
fn much_output_may_leave_in_small_pieces() {
    let mut session = session();
    let key = confirming(&mut session);
    sent(&mut session);
    let body: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    drop(publish(&mut session, key, &body, false));
    let whole = session.output().to_vec();
    let mut pieces = Vec::new();
    while !session.output().is_empty() {
        let piece = session.output().iter().copied().take(10_000).collect::<Vec<_>>();
        session.sent(piece.len());
        pieces.extend(piece);
    }
    assert!(pieces == whole);
}

/// A frame that a broker might send, at a time when it should not.
fn frame() -> impl Strategy<Value = Frame> {
    let method = any::<Index>().prop_map(|index| {
        let samples = samples();
        samples[index.index(samples.len())].clone()
    });
    prop_oneof![
        (0..4_u16, method).prop_map(|(channel, method)| Frame::Method(channel, method)),
        (0..4_u16, 0..3_u64).prop_map(|(channel, size)| Frame::Header(
            channel,
            size,
            Box::new(everything())
        )),
        (0..4_u16, 0..3_usize).prop_map(|(channel, size)| Frame::Body(channel, vec![0; size])),
        Just(Frame::Heartbeat),
    ]
}

proptest! {
    #[test]
    fn no_frames_panic(frames in vec(frame(), 0..40)) {
        let mut session = session();
        let key = confirming(&mut session);
        let (_deliveries, _end) = consume(&mut session, key, 2);
        let other = open(&mut session);
        let mut answers: Vec<_> =
            (0..3).map(|number| publish(&mut session, key, &[number], true)).collect();
        let mut called = call(
            &mut session,
            other.key,
            Method::BasicQos { prefetch_size: 0, prefetch_count: 1, flags: Flags::default() },
        );
        let mut over = Error::Finished;
        for frame in frames {
            match session.receive(frame) {
                Ok(Received::Done) => {}
                Ok(Received::Stalled(stalled)) => stalled.deliver(&mut session),
                Ok(Received::Ended(error)) | Err(error) => {
                    over = error;
                    break;
                }
            }
        }
        // Whatever came, nobody waits for ever.
        session.fail(&over);
        for answer in &mut answers {
            prop_assert!(answer.try_recv().is_ok());
        }
        prop_assert!(called.try_recv().is_ok());
        prop_assert!(other.end.get().is_some());
    }
}
