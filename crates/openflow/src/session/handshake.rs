//! Hello and features: what must be said before a session is one. OpenFlow 1.4.1 § 6.3.1.

use super::{ProtocolError, Session};
use crate::wire::{
    DecodeError, ErrorMessage, Features, Write, error, features,
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
                // With bitmaps the common version may be below both maxima; without ours being
                // the peer's maximum, its bitmap must say that it has it.
                if frame.version != VERSION && !bitmap_has_version(frame.body) {
                    return Err(HandshakeError::Version { offered: frame.version });
                }
                header::encode(out, Kind::FEATURES_REQUEST, FEATURES_XID, |_| {});
                Ok(Progress::Waiting(Self { greeted: true }))
            }
            Kind::ERROR => {
                let error = error::decode(frame.body).map_err(unreadable)?;
                Err(HandshakeError::Refused(error))
            }
            _ if frame.version != VERSION => Err(HandshakeError::Version { offered: frame.version }),
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

/// Whether a hello's elements say that version 1.4 is spoken.
fn bitmap_has_version(body: &[u8]) -> bool {
    let mut reader = crate::wire::Reader::new("hello", body);
    while let (Ok(kind), Ok(len)) = (reader.u16(), reader.u16()) {
        let len = usize::from(len);
        let Some(Ok(mut element)) = len.checked_sub(4).map(|len| reader.part("hello", len)) else {
            return false;
        };
        if kind == VERSION_BITMAP {
            return element.u32().is_ok_and(|versions| versions >> VERSION & 1 == 1);
        }
        if reader.skip(len.next_multiple_of(8) - len).is_err() {
            return false;
        }
    }
    false
}
