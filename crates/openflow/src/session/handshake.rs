//! Hello and features: what must be said before a session is one. OpenFlow 1.4.1 § 6.3.1.

use super::{ProtocolError, Session};
use crate::wire::{
    DecodeError, ErrorMessage, Features, Reader, Write, error, features,
    header::{self, Frame, Kind, VERSION},
};

const HELLO_XID: u32 = 1;
const FEATURES_XID: u32 = 2;
const VERSION_BITMAP: u16 = 1;

/// Waits for the switch's hello, then for what it is.
#[derive(Debug)]
pub(crate) struct Handshake {
    greeted: bool,
}

/// Where a message left the handshake.
#[derive(Debug)]
pub(crate) enum Progress {
    /// More must come.
    Waiting(Handshake),
    /// It is done.
    Ready(Session, Features),
}

/// Why no session came about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The switch does not speak OpenFlow 1.4 here.
    #[error("the switch offers OpenFlow version {offered:#04x}, not 0x05 (1.4)")]
    Version {
        /// The version byte that it offered.
        offered: u8,
    },
    /// The switch refused.
    #[error("the switch refused: {0}")]
    Refused(ErrorMessage),
    /// The switch broke the protocol.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

impl Handshake {
    /// Begins: says hello, and that only this version will do.
    pub(crate) fn start(out: &mut Vec<u8>) -> Self {
        header::encode(out, Kind::HELLO, HELLO_XID, |out| {
            out.put_u16(VERSION_BITMAP);
            out.put_u16(8);
            out.put_u32(1 << VERSION);
        });
        Self { greeted: false }
    }

    /// Takes a message in.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] where it means that there will be no session.
    pub(crate) fn receive(
        self,
        frame: Frame<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, HandshakeError> {
        let unreadable = |source: DecodeError| {
            HandshakeError::Protocol(ProtocolError::Message { kind: frame.kind.0, source })
        };
        match frame.kind {
            Kind::HELLO => {
                // Without a bitmap the lower of both sides' highest versions is spoken.
                let common = versions(frame.body)
                    .map_or(frame.version >= VERSION, |versions| versions >> VERSION & 1 == 1);
                if !common {
                    return Err(HandshakeError::Version { offered: frame.version });
                }
                header::encode(out, Kind::FEATURES_REQUEST, FEATURES_XID, |_| {});
                Ok(Progress::Waiting(Self { greeted: true }))
            }
            Kind::ERROR => {
                let error = error::decode(frame.body).map_err(unreadable)?;
                Err(HandshakeError::Refused(error))
            }
            _ if frame.version != VERSION => {
                Err(HandshakeError::Version { offered: frame.version })
            }
            Kind::FEATURES_REPLY if self.greeted => {
                let features = features::decode(frame.body).map_err(unreadable)?;
                Ok(Progress::Ready(Session::new(FEATURES_XID + 1), features))
            }
            Kind::ECHO_REQUEST => {
                let body = |out: &mut Vec<u8>| out.extend_from_slice(frame.body);
                header::encode(out, Kind::ECHO_REPLY, frame.xid, body);
                Ok(Progress::Waiting(self))
            }
            _ => Ok(Progress::Waiting(self)),
        }
    }
}

/// The bitmap of versions among a hello's elements.
fn versions(body: &[u8]) -> Option<u32> {
    let mut reader = Reader::new("hello", body);
    loop {
        let kind = reader.u16().ok()?;
        let len = usize::from(reader.u16().ok()?);
        let mut element = reader.part("hello element", len.checked_sub(4)?).ok()?;
        if kind == VERSION_BITMAP {
            return element.u32().ok();
        }
        reader.skip(len.next_multiple_of(8) - len).ok()?;
    }
}
