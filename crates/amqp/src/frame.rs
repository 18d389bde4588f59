//! Frames: how methods, content headers and bodies stand in the stream (section 4.2.3).

use crate::{
    Fault, Properties,
    method::Method,
    wire::{Field, Reader, put_block},
};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
const END: u8 = 0xce;
/// Type, channel and length in front, and the end.
const OVERHEAD: usize = 8;
const PREFIX: usize = 7;
/// The only class with contents.
const BASIC: u16 = 60;

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Frame {
    Method(u16, Method),
    /// The size of the body that follows, and the properties.
    Header(u16, u64, Box<Properties>),
    Body(u16, Vec<u8>),
    Heartbeat,
}

impl Frame {
    fn decode(kind: u8, channel: u16, payload: &[u8]) -> Result<Self, Fault> {
        match kind {
            METHOD => Ok(Self::Method(channel, Method::decode(payload)?)),
            HEADER => {
                let mut from = Reader::new(payload);
                let (class, _weight) = (u16::decode(&mut from)?, u16::decode(&mut from)?);
                if class != BASIC {
                    return Err(Fault::Content);
                }
                let size = u64::decode(&mut from)?;
                let properties = Box::new(Properties::read(&mut from)?);
                from.finish()?;
                Ok(Self::Header(channel, size, properties))
            }
            BODY => Ok(Self::Body(channel, payload.to_vec())),
            HEARTBEAT => Ok(Self::Heartbeat),
            kind => Err(Fault::FrameType { kind }),
        }
    }
}

/// Appends a frame with a method.
pub(crate) fn put_method(out: &mut Vec<u8>, channel: u16, method: &Method) {
    put(out, METHOD, channel, |out| method.encode(out));
}

/// Appends a content: its header with properties that are bytes already, and its body in frames
/// that are no longer than `frame_max` with everything.
pub(crate) fn put_content(
    out: &mut Vec<u8>,
    channel: u16,
    properties: &[u8],
    body: &[u8],
    frame_max: usize,
) {
    put(out, HEADER, channel, |out| {
        BASIC.encode(out);
        0_u16.encode(out);
        // A body is a slice of memory.
        u64::try_from(body.len()).unwrap_or(u64::MAX).encode(out);
        out.extend_from_slice(properties);
    });
    for part in body.chunks(frame_max.saturating_sub(OVERHEAD).max(1)) {
        put(out, BODY, channel, |out| out.extend_from_slice(part));
    }
}

/// Appends a heartbeat.
pub(crate) fn put_heartbeat(out: &mut Vec<u8>) {
    put(out, HEARTBEAT, 0, |_| {});
}

fn put(out: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    channel.encode(out);
    put_block(out, payload);
    out.push(END);
}

/// Room for so many bytes is made before the stream is read.
const READ: usize = 1 << 14;

/// Makes frames of the bytes of a stream, however it is cut.
#[derive(Debug)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    /// What lies before this place has been read.
    start: usize,
    /// The longest payload.
    limit: usize,
}

impl Decoder {
    pub(crate) fn new(frame_max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, limit: frame_max.saturating_sub(OVERHEAD) }
    }

    /// Takes the length that was agreed.
    pub(crate) fn set_frame_max(&mut self, frame_max: usize) {
        self.limit = frame_max.saturating_sub(OVERHEAD);
    }

    /// The buffer, with room, to append what is read to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start.min(self.buffer.len()));
        self.start = 0;
        self.buffer.reserve(READ);
        &mut self.buffer
    }

    /// The next frame that is there as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Fault> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let mut from = Reader::new(rest);
        let Ok(kind) = u8::decode(&mut from) else { return Ok(None) };
        if !matches!(kind, METHOD | HEADER | BODY | HEARTBEAT) {
            return Err(Fault::FrameType { kind });
        }
        let (Ok(channel), Ok(size)) = (u16::decode(&mut from), u32::decode(&mut from)) else {
            return Ok(None);
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > self.limit {
            return Err(Fault::FrameSize { size, limit: self.limit });
        }
        let (Ok(payload), Ok(end)) = (from.take(size), u8::decode(&mut from)) else {
            return Ok(None);
        };
        if end != END {
            return Err(Fault::FrameEnd { found: end });
        }
        let frame = Frame::decode(kind, channel, payload)?;
        self.start += PREFIX + size + 1;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests;
