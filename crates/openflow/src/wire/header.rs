//! The header that every message has, and cutting a stream of bytes into messages.
//!
//! OpenFlow 1.4.1 § 7.1.

use super::{DecodeError, Reader, Write};

/// The version byte of OpenFlow 1.4.
pub(crate) const VERSION: u8 = 5;

const HEADER_LEN: usize = 8;

/// What kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) u8);

impl Kind {
    pub(crate) const HELLO: Self = Self(0);
    pub(crate) const ERROR: Self = Self(1);
    pub(crate) const ECHO_REQUEST: Self = Self(2);
    pub(crate) const ECHO_REPLY: Self = Self(3);
    pub(crate) const EXPERIMENTER: Self = Self(4);
    pub(crate) const FEATURES_REQUEST: Self = Self(5);
    pub(crate) const FEATURES_REPLY: Self = Self(6);
    pub(crate) const FLOW_MOD: Self = Self(14);
    pub(crate) const MULTIPART_REQUEST: Self = Self(18);
    pub(crate) const MULTIPART_REPLY: Self = Self(19);
    pub(crate) const BARRIER_REQUEST: Self = Self(20);
    pub(crate) const BARRIER_REPLY: Self = Self(21);
    pub(crate) const METER_MOD: Self = Self(29);
    pub(crate) const BUNDLE_CONTROL: Self = Self(33);
    pub(crate) const BUNDLE_ADD: Self = Self(34);
}

/// One message, its body not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) version: u8,
    pub(crate) kind: Kind,
    pub(crate) xid: u32,
    pub(crate) body: &'a [u8],
}

/// Appends a message whose body `body` appends.
pub(crate) fn encode(out: &mut Vec<u8>, kind: Kind, xid: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u8(VERSION);
    out.put_u8(kind.0);
    out.put_u16(0);
    out.put_u32(xid);
    body(out);
    out.write_len(start);
}

impl<'a> Frame<'a> {
    /// The first message of some bytes and how long it is; nothing while it is not whole.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        let mut reader = Reader::new("header", bytes);
        if bytes.len() < HEADER_LEN {
            return Ok(None);
        }
        let version = reader.u8()?;
        let kind = Kind(reader.u8()?);
        let len = usize::from(reader.u16()?);
        let xid = reader.u32()?;
        let Some(body_len) = len.checked_sub(HEADER_LEN) else {
            return Err(DecodeError::Length { what: "message", length: len });
        };
        match reader.take(body_len) {
            Ok(body) => Ok(Some((Self { version, kind, xid, body }, len))),
            Err(_) => Ok(None),
        }
    }
}

/// Bytes that arrived, cut into messages. Holds one message and one read at most.
#[derive(Debug, Default)]
pub(crate) struct Deframer {
    buffer: Vec<u8>,
    taken: usize,
}

impl Deframer {
    /// Where to read to: append.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        &mut self.buffer
    }

    /// The next whole message.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, DecodeError> {
        let bytes = self.buffer.get(self.taken..).unwrap_or_default();
        let Some((frame, len)) = Frame::decode(bytes)? else {
            return Ok(None);
        };
        self.taken += len;
        Ok(Some(frame))
    }
}
