//! The session without a connection: what it says, and what it makes of what it hears.

use super::{
    BundleFailure, Handshake, HandshakeError, Heard, Outcome, Progress, ProtocolError, Refusal,
    Reply, Session, Unity,
};
use crate::{
    conntrack::{CtTransport, CtTuple},
    flow::{Flow, FlowMod},
    monitor::FlowUpdate,
    number::TableId,
    wire::{
        Features, Write,
        header::{self, Frame, Kind},
    },
};

const LIMIT: usize = 4096;

fn message(kind: Kind, xid: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    header::encode(&mut out, kind, xid, |out| out.extend_from_slice(body));
    out
}

fn error(xid: u32, kind: u16, code: u16) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u16(kind);
    body.put_u16(code);
    message(Kind::ERROR, xid, &body)
}

fn control(xid: u32, bundle: u32, kind: u16) -> Vec<u8> {
    let mut body = Vec::new();
    body.put_u32(bundle);
    body.put_u16(kind);
    body.put_u16(0);
    message(Kind::BUNDLE_CONTROL, xid, &body)
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame::decode(bytes).unwrap().unwrap().0
}

/// Kind and number of each message of some bytes.
fn said(out: &mut Vec<u8>) -> Vec<(Kind, u32)> {
    let mut messages = Vec::new();
    let mut rest = out.as_slice();
    while let Some((frame, len)) = Frame::decode(rest).unwrap() {
        messages.push((frame.kind, frame.xid));
        rest = &rest[len..];
    }
    assert!(rest.is_empty());
    out.clear();
    messages
}

fn hear(session: &mut Session, bytes: &[u8], out: &mut Vec<u8>) -> Option<Outcome> {
    match session.receive(frame(bytes), out).unwrap() {
        Some(Heard::Outcome(outcome)) => Some(outcome),
        None => None,
        Some(heard) => panic!("{heard:?}"),
    }
}

fn mods(count: usize) -> Vec<FlowMod> {
    let flow: Flow = "table=1,reg5=1,actions=output:1".parse().unwrap();
    vec![FlowMod::add(flow); count]
}

#[test]
fn hello_and_features_make_a_session() {
    let mut out = Vec::new();
    let handshake = Handshake::start(&mut out);
    // As ovs-ofctl says it.
    assert_eq!(out, [5, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 0x20]);
    out.clear();

    let hello = message(Kind::HELLO, 0xb7, &[0, 1, 0, 8, 0, 0, 0, 0x20]);
    let Ok(Progress::Waiting(handshake)) = handshake.receive(frame(&hello), &mut out) else {
        panic!("hello is not enough");
    };
    assert_eq!(said(&mut out), [(Kind::FEATURES_REQUEST, 2)]);
    let mut body = Vec::new();
    body.put_u64(0x1234);
    body.put_u32(0);
    body.put_u32(0xfe00_0000);
    body.put_u64(0x24f << 32);
    let reply = message(Kind::FEATURES_REPLY, 2, &body);
    let Ok(Progress::Ready(_, features)) = handshake.receive(frame(&reply), &mut out) else {
        panic!("hello and features are enough");
    };
    assert_eq!(features, Features { datapath_id: 0x1234, n_tables: 254, capabilities: 0x24f });
}

#[test]
fn versions_are_agreed_on_or_not() {
    let greet = |version, bitmap: &[u8]| {
        let mut hello = message(Kind::HELLO, 1, bitmap);
        hello[0] = version;
        let mut out = Vec::new();
        Handshake::start(&mut out).receive(frame(&hello), &mut out).map(drop)
    };
    let bitmap = |versions: u8| [0, 1, 0, 8, 0, 0, 0, versions];
    assert_eq!(greet(5, &[]), Ok(()));
    assert_eq!(greet(6, &[]), Ok(()));
    assert_eq!(greet(4, &[]), Err(HandshakeError::Version { offered: 4 }));
    assert_eq!(greet(6, &bitmap(0x60)), Ok(()));
    assert_eq!(greet(6, &bitmap(0x40)), Err(HandshakeError::Version { offered: 6 }));
    let refusal = error(1, 0, 0);
    let mut out = Vec::new();
    let result = Handshake::start(&mut out).receive(frame(&refusal), &mut out).map(drop);
    assert_eq!(result.unwrap_err().to_string(), "the switch refused: OFPHFC_INCOMPATIBLE");
}

#[test]
fn answers_and_errors_find_their_request() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    let one = session.barrier(&mut out);
    let two = session.barrier(&mut out);
    let dump = session.dump_flows(&mut out);
    assert_eq!(
        said(&mut out),
        [(Kind::BARRIER_REQUEST, 10), (Kind::BARRIER_REQUEST, 11), (Kind::MULTIPART_REQUEST, 12)]
    );
    // An error for nothing that we asked, then one for the second barrier.
    assert_eq!(hear(&mut session, &error(99, 1, 1), &mut out), None);
    let outcome = hear(&mut session, &error(11, 1, 5), &mut out).unwrap();
    assert_eq!(outcome.id, two);
    let Err(Refusal::Request(error)) = outcome.result else { panic!("{outcome:?}") };
    assert_eq!(error.name(), Some("OFPBRC_EPERM"));
    // A reply of another kind with the right number is not the reply.
    assert_eq!(hear(&mut session, &message(Kind::BARRIER_REPLY, 12, &[]), &mut out), None);
    let outcome = hear(&mut session, &message(Kind::BARRIER_REPLY, 10, &[]), &mut out);
    assert_eq!(outcome, Some(Outcome { id: one, result: Ok(Reply::Barrier) }));
    assert_eq!(hear(&mut session, &message(Kind::BARRIER_REPLY, 10, &[]), &mut out), None);
    // A dump in two parts.
    let part = |more| message(Kind::MULTIPART_REPLY, 12, &[0, 1, 0, more, 0, 0, 0, 0]);
    let first = part(1);
    assert_eq!(session.receive(frame(&first), &mut out), Ok(Some(Heard::Flows(dump, Vec::new()))));
    let outcome = hear(&mut session, &part(0), &mut out);
    assert_eq!(outcome, Some(Outcome { id: dump, result: Ok(Reply::Flows(Vec::new())) }));
    assert_eq!(said(&mut out), []);
}

#[test]
fn echo_is_answered_with_its_bytes() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    let request = message(Kind::ECHO_REQUEST, 77, b"abc");
    assert_eq!(hear(&mut session, &request, &mut out), None);
    assert_eq!(out, message(Kind::ECHO_REPLY, 77, b"abc"));
    out.clear();
    let ours = session.echo(&mut out);
    let outcome = hear(&mut session, &message(Kind::ECHO_REPLY, 10, &[]), &mut out);
    assert_eq!(outcome, Some(Outcome { id: ours, result: Ok(Reply::Echo) }));
}

#[test]
fn nonsense_ends_it() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    let mut other = message(Kind::BARRIER_REPLY, 10, &[]);
    other[0] = 4;
    assert_eq!(
        session.receive(frame(&other), &mut out),
        Err(ProtocolError::Version { version: 4 })
    );
    let short = message(Kind::ERROR, 10, &[0]);
    let error = session.receive(frame(&short), &mut out).unwrap_err();
    assert_eq!(error.to_string(), "a message of type 1 cannot be read");
}

#[test]
fn a_bundle_is_closed_before_it_is_committed() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    let id = session.bundle(mods(2), Unity::Atomic);
    assert_eq!(said(&mut out), []);
    session.fill(&mut out, LIMIT);
    assert_eq!(
        said(&mut out),
        [
            (Kind::BUNDLE_CONTROL, 10),
            (Kind::BUNDLE_ADD, 11),
            (Kind::BUNDLE_ADD, 12),
            (Kind::BUNDLE_CONTROL, 13)
        ]
    );
    assert_eq!(hear(&mut session, &control(10, 10, 1), &mut out), None);
    assert_eq!(said(&mut out), []);
    assert_eq!(hear(&mut session, &control(13, 10, 3), &mut out), None);
    assert_eq!(out, [5, 33, 0, 16, 0, 0, 0, 14, 0, 0, 0, 10, 0, 4, 0, 3]);
    out.clear();
    let outcome = hear(&mut session, &control(14, 10, 5), &mut out);
    assert_eq!(outcome, Some(Outcome { id, result: Ok(Reply::Bundle) }));
    // The next request does not share a number with it.
    session.barrier(&mut out);
    assert_eq!(said(&mut out), [(Kind::BARRIER_REQUEST, 15)]);
}

#[test]
fn a_bundle_with_a_refused_change_is_discarded() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    session.bundle(mods(3), Unity::Atomic);
    session.fill(&mut out, LIMIT);
    out.clear();
    // The second change, then the third as well: the first of them is the reason.
    assert_eq!(hear(&mut session, &error(12, 4, 9), &mut out), None);
    assert_eq!(hear(&mut session, &error(13, 4, 8), &mut out), None);
    assert_eq!(hear(&mut session, &control(14, 10, 3), &mut out), None);
    assert_eq!(out, [5, 33, 0, 16, 0, 0, 0, 15, 0, 0, 0, 10, 0, 6, 0, 3]);
    let outcome = hear(&mut session, &control(15, 10, 7), &mut out).unwrap();
    let Err(Refusal::Bundle(BundleFailure::Refused { index, error, .. })) = outcome.result else {
        panic!("{outcome:?}");
    };
    assert_eq!((index, error.name()), (1, Some("OFPBMC_BAD_PREREQ")));
}

#[test]
fn a_bundle_that_fails_as_it_is_committed_names_the_change() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    session.bundle(mods(1), Unity::Atomic);
    session.fill(&mut out, LIMIT);
    hear(&mut session, &control(12, 10, 3), &mut out);
    assert_eq!(hear(&mut session, &error(11, 2, 9), &mut out), None);
    let outcome = hear(&mut session, &error(13, 17, 13), &mut out).unwrap();
    let Err(Refusal::Bundle(BundleFailure::Refused { index: 0, error, .. })) = outcome.result
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.name(), Some("OFPBAC_BAD_OUT_GROUP"));
}

#[test]
fn a_bundle_of_one_change_is_committed_in_the_same_breath() {
    let all = [Kind::BUNDLE_CONTROL, Kind::BUNDLE_ADD, Kind::BUNDLE_CONTROL, Kind::BUNDLE_CONTROL];
    let mut session = Session::new(10);
    let mut out = Vec::new();
    let id = session.bundle(mods(1), Unity::Atomic);
    session.fill(&mut out, LIMIT);
    assert_eq!(said(&mut out), all.into_iter().zip(10..).collect::<Vec<_>>());
    assert_eq!(hear(&mut session, &control(12, 10, 3), &mut out), None);
    let outcome = hear(&mut session, &control(13, 10, 5), &mut out);
    assert_eq!(outcome, Some(Outcome { id, result: Ok(Reply::Bundle) }));
    assert_eq!(said(&mut out), []);

    // The change is refused as it is added, and what is committed is empty.
    session.bundle(mods(1), Unity::Atomic);
    session.fill(&mut out, LIMIT);
    out.clear();
    assert_eq!(hear(&mut session, &error(15, 4, 9), &mut out), None);
    assert_eq!(hear(&mut session, &control(16, 14, 3), &mut out), None);
    let outcome = hear(&mut session, &control(17, 14, 5), &mut out).unwrap();
    let Err(Refusal::Bundle(BundleFailure::Refused { index: 0, .. })) = outcome.result else {
        panic!("{outcome:?}");
    };
    assert_eq!(said(&mut out), []);
}

#[test]
fn of_independent_changes_every_refused_one_is_named() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    session.bundle(mods(3), Unity::Independent);
    session.fill(&mut out, LIMIT);
    let kinds: Vec<Kind> = said(&mut out).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds[4..], [Kind::BUNDLE_CONTROL; 2], "closed and committed without waiting");
    hear(&mut session, &error(11, 4, 9), &mut out);
    hear(&mut session, &error(13, 4, 8), &mut out);
    assert_eq!(hear(&mut session, &control(14, 10, 3), &mut out), None);
    let outcome = hear(&mut session, &control(15, 10, 5), &mut out).unwrap();
    let Err(Refusal::Bundle(BundleFailure::Partly(refused))) = outcome.result else {
        panic!("{outcome:?}");
    };
    let refused: Vec<_> = refused.iter().map(|it| (it.index, it.error.name())).collect();
    assert_eq!(refused, [(0, Some("OFPBMC_BAD_PREREQ")), (2, Some("OFPBMC_BAD_MASK"))]);

    // What fails at the commit is taken back, the others with it.
    session.bundle(mods(2), Unity::Independent);
    session.fill(&mut out, LIMIT);
    out.clear();
    hear(&mut session, &control(19, 16, 3), &mut out);
    hear(&mut session, &error(18, 2, 9), &mut out);
    let outcome = hear(&mut session, &error(20, 17, 13), &mut out).unwrap();
    let Err(Refusal::Bundle(BundleFailure::Refused { index: 1, .. })) = outcome.result else {
        panic!("{outcome:?}");
    };

    // What is refused before all of it is sent, or cannot be sent, is not committed at all.
    session.bundle(mods(1000), Unity::Independent);
    session.fill(&mut out, LIMIT);
    out.clear();
    hear(&mut session, &error(22, 4, 9), &mut out);
    session.fill(&mut out, usize::MAX);
    assert_eq!(said(&mut out), [(Kind::BUNDLE_CONTROL, 1022)]);
    hear(&mut session, &control(1022, 21, 3), &mut out);
    assert_eq!(out, [5, 33, 0, 16, 0, 0, 3, 255, 0, 0, 0, 21, 0, 6, 0, 3], "discarded");
    let outcome = hear(&mut session, &control(1023, 21, 7), &mut out).unwrap();
    let Err(Refusal::Bundle(BundleFailure::Refused { index: 0, .. })) = outcome.result else {
        panic!("{outcome:?}");
    };
}

#[test]
fn what_a_bundle_did_that_was_refused_and_committed_is_not_known() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    session.bundle(mods(2), Unity::Independent);
    session.fill(&mut out, LIMIT);
    // It has timed out on its way, and what came later was taken for another one.
    assert_eq!(hear(&mut session, &error(10, 17, 10), &mut out), None);
    assert_eq!(hear(&mut session, &control(13, 10, 3), &mut out), None);
    let committed = control(14, 10, 5);
    assert_eq!(session.receive(frame(&committed), &mut out), Err(ProtocolError::Committed));
}

#[test]
fn a_bundle_that_may_not_open_ends_with_that_reason() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    session.bundle(mods(2), Unity::Atomic);
    session.fill(&mut out, LIMIT);
    out.clear();
    assert_eq!(hear(&mut session, &error(10, 17, 5), &mut out), None);
    assert_eq!(hear(&mut session, &error(13, 17, 2), &mut out), None);
    assert_eq!(said(&mut out), [(Kind::BUNDLE_CONTROL, 14)]);
    let outcome = hear(&mut session, &error(14, 17, 2), &mut out).unwrap();
    let Err(Refusal::Bundle(BundleFailure::Bundle(error))) = outcome.result else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.name(), Some("OFPBFC_OUT_OF_BUNDLES"));
}

#[test]
fn a_long_bundle_goes_out_bit_by_bit() {
    let mut session = Session::new(u32::MAX - 50);
    let mut out = Vec::new();
    session.bundle(mods(1000), Unity::Atomic);
    let (mut rounds, mut messages) = (0, 0);
    loop {
        session.fill(&mut out, LIMIT);
        assert!(out.len() < LIMIT + 0x1_0000);
        let said = said(&mut out);
        if said.is_empty() {
            break;
        }
        rounds += 1;
        messages += said.len();
    }
    assert_eq!(messages, 1002);
    assert!(rounds > 10, "all of it at once");
    // Numbers wrap around; the answers still find it.
    let close = (u32::MAX - 50).wrapping_add(1001);
    assert_eq!(hear(&mut session, &control(close, u32::MAX - 50, 3), &mut out), None);
    assert_eq!(said(&mut out), [(Kind::BUNDLE_CONTROL, close + 1)]);
}

#[test]
fn connections_are_forgotten_before_the_barrier() {
    let connection = CtTuple {
        src: [10, 0, 0, 1].into(),
        dst: [10, 0, 0, 2].into(),
        protocol: 6,
        transport: CtTransport::Ports { src: 1000, dst: 80 },
    };
    let mut session = Session::new(10);
    let mut out = Vec::new();
    let done = session.flush_conntrack(5, &[connection, connection], &mut out);
    let (flush, barrier) = ((Kind::EXPERIMENTER, 10), (Kind::BARRIER_REQUEST, 10));
    assert_eq!(said(&mut out), [flush, flush, barrier]);
    let outcome = hear(&mut session, &message(Kind::BARRIER_REPLY, 10, &[]), &mut out);
    assert_eq!(outcome, Some(Outcome { id: done, result: Ok(Reply::Barrier) }));

    let done = session.flush_conntrack_zones(&[5, 6], &mut out);
    let (flush, barrier) = ((Kind::EXPERIMENTER, 11), (Kind::BARRIER_REQUEST, 11));
    assert_eq!(said(&mut out), [flush, flush, barrier]);
    let outcome = hear(&mut session, &message(Kind::BARRIER_REPLY, 11, &[]), &mut out);
    assert_eq!(outcome, Some(Outcome { id: done, result: Ok(Reply::Barrier) }));

    // A switch that does not know the message refuses it, and answers the barrier all the same.
    let refused = session.flush_conntrack(5, &[connection], &mut out);
    let outcome = hear(&mut session, &error(12, 1, 3), &mut out).unwrap();
    assert_eq!(outcome.id, refused);
    assert!(matches!(outcome.result, Err(Refusal::Request(_))));
    assert_eq!(hear(&mut session, &message(Kind::BARRIER_REPLY, 12, &[]), &mut out), None);
}

#[test]
fn updates_are_told_between_the_answers() {
    let mut session = Session::new(10);
    let mut out = Vec::new();
    let id = session.monitor_flows(&[TableId(1)].into(), &mut out);
    assert_eq!(said(&mut out), [(Kind::MULTIPART_REQUEST, 10)]);
    // What comes before the answer is told; what looks like a dump's part is none.
    let updates = [0, 16, 0, 0, 0, 0, 0, 0, 0, 8, 0, 4, 0, 0, 0, 7];
    let told = Some(Heard::Updates(vec![FlowUpdate::Own { xid: 7 }]));
    let update = message(Kind::MULTIPART_REPLY, 0, &updates);
    assert_eq!(session.receive(frame(&update), &mut out), Ok(told));
    let noted = message(Kind::MULTIPART_REPLY, 10, &updates[..8]);
    let outcome = hear(&mut session, &noted, &mut out);
    assert_eq!(outcome, Some(Outcome { id, result: Ok(Reply::Monitor) }));
    assert_eq!(hear(&mut session, &noted, &mut out), None);

    let broken = message(Kind::MULTIPART_REPLY, 0, &updates[..12]);
    assert!(session.receive(frame(&broken), &mut out).is_err());
}
