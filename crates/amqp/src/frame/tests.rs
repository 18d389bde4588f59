//! Streams cut in every way give the same frames.

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::{method::tests::samples, properties::tests::everything};

const FRAME_MAX: usize = 4096;

/// A stream of all methods, a message, and heartbeats.
fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    for (channel, method) in (0..).zip(samples()) {
        put_method(&mut out, channel, &method);
    }
    put_heartbeat(&mut out);
    let mut properties = Vec::new();
    everything().put(&mut properties).unwrap();
    put_content(&mut out, 7, &properties, &[42; 10_000], FRAME_MAX);
    put_heartbeat(&mut out);
    out
}

fn frames() -> Vec<Frame> {
    let mut frames: Vec<_> =
        (0..).zip(samples()).map(|(channel, method)| Frame::Method(channel, method)).collect();
    frames.push(Frame::Heartbeat);
    frames.push(Frame::Header(7, 10_000, Box::new(everything())));
    for length in [4088, 4088, 1824] {
        frames.push(Frame::Body(7, vec![42; length]));
    }
    frames.push(Frame::Heartbeat);
    frames
}

/// All frames that come of these reads.
fn read(reads: &[&[u8]]) -> Result<Vec<Frame>, Fault> {
    let mut decoder = Decoder::new(FRAME_MAX);
    let mut frames = Vec::new();
    for read in reads {
        decoder.buffer().extend_from_slice(read);
        while let Some(frame) = decoder.next()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

#[test]
fn one_read_may_hold_many_frames() {
    assert_eq!(read(&[&stream()]), Ok(frames()));
}

#[test]
fn a_stream_may_come_byte_by_byte() {
    let stream = stream();
    let reads: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(&reads), Ok(frames()));
}

#[test]
fn no_frame_is_longer_than_agreed() {
    let mut out = Vec::new();
    put_content(&mut out, 1, &[0, 0], &[0; 4088], FRAME_MAX);
    let header = 8 + 14;
    assert_eq!(out.len(), header + FRAME_MAX);
    out.clear();
    put_content(&mut out, 1, &[0, 0], &[], FRAME_MAX);
    assert_eq!(out.len(), header, "no body, no frame");
}

/// Frames between py-amqp 5.4.2 and RabbitMQ 3.10.8.
#[test]
fn as_a_broker_and_another_client_write_them() {
    let mut out = Vec::new();
    let header = b"\x02\x00\x01\x00\x00\x00-\x00<\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02";
    let properties = b"\xd9\x00\x10application/json\x05utf-8\x02\x00\x0560000";
    let body = b"\x03\x00\x01\x00\x00\x00\x02{}\xce";
    let recorded = [&header[..], properties, b"\xce", body].concat();
    put_content(&mut out, 1, properties, b"{}", FRAME_MAX);
    assert_eq!(out, recorded);

    out.clear();
    put_method(&mut out, 0, &Method::ConnectionCloseOk {});
    assert_eq!(out, b"\x01\x00\x00\x00\x00\x00\x04\x00\n\x003\xce");
    out.clear();
    put_heartbeat(&mut out);
    assert_eq!(out, b"\x08\x00\x00\x00\x00\x00\x00\xce");
}

#[test]
fn what_is_no_frame_is_refused() {
    assert_eq!(read(&[b"HTTP"]), Err(Fault::FrameType { kind: b'H' }));
    assert_eq!(read(&[b"\x08\0\0\0\0\0\0\0"]), Err(Fault::FrameEnd { found: 0 }));
    let long = [&[BODY, 0, 1][..], &4089_u32.to_be_bytes()].concat();
    assert_eq!(read(&[&long]), Err(Fault::FrameSize { size: 4089, limit: 4088 }));
    let class = b"\x02\0\x01\0\0\0\x0e\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0\xce";
    assert_eq!(read(&[class]), Err(Fault::Content));
}

proptest! {
    #[test]
    fn a_stream_may_be_cut_anywhere(mut cuts in vec(any::<Index>(), 0..10)) {
        let stream = stream();
        cuts.sort_by_key(|cut| cut.index(stream.len()));
        let mut reads = Vec::new();
        let mut start = 0;
        for cut in cuts {
            let end = cut.index(stream.len());
            reads.push(&stream[start..end]);
            start = end;
        }
        reads.push(&stream[start..]);
        prop_assert_eq!(read(&reads), Ok(frames()));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read(&[&bytes]);
    }

    #[test]
    fn wrong_bytes_do_not_panic(wrong in vec((any::<Index>(), any::<u8>()), 1..20)) {
        let mut stream = stream();
        for (place, byte) in wrong {
            let place = place.index(stream.len());
            stream[place] = byte;
        }
        let _ = read(&[&stream]);
    }
}
