//! Cuts a stream of bytes into JSON texts. RFC 7047 puts nothing between them, so the braces are
//! counted. Every byte is looked at once, however the stream is cut into reads.

use serde_json::Value;

/// The longest text that is accepted. The first answer of a switch with 10 000 ports has 10 MiB.
const LONGEST: usize = 256 << 20;

/// The bytes that have come and are not read yet, and how far they have been looked at.
#[derive(Debug, Default)]
pub(crate) struct Framer {
    bytes: Vec<u8>,
    /// Where the next text begins.
    start: usize,
    /// The first byte that was not looked at.
    seen: usize,
    /// Braces that are open.
    depth: usize,
    place: Place,
}

/// Where the scanner stands.
#[derive(Debug, Clone, Copy, Default)]
enum Place {
    #[default]
    Plain,
    String,
    Escape,
}

impl Framer {
    /// Takes the bytes of one read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole text, or `None` when more bytes are needed. After an error the stream cannot
    /// be read any further.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, FramingError> {
        for &byte in self.bytes.get(self.seen..).unwrap_or_default() {
            self.seen += 1;
            match (self.place, byte) {
                (Place::Escape, _) => self.place = Place::String,
                (Place::String, b'\\') => self.place = Place::Escape,
                (Place::String, b'"') => self.place = Place::Plain,
                (Place::String, _) => {}
                (Place::Plain, b'{') => self.depth += 1,
                (Place::Plain, b'}') if self.depth > 1 => self.depth -= 1,
                (Place::Plain, b'}') if self.depth == 1 => {
                    self.depth = 0;
                    let text = self.bytes.get(self.start..self.seen).unwrap_or_default();
                    self.start = self.seen;
                    return serde_json::from_slice(text).map(Some).map_err(FramingError::Json);
                }
                (Place::Plain, b' ' | b'\t' | b'\r' | b'\n') if self.depth == 0 => {
                    self.start = self.seen;
                }
                (Place::Plain, _) if self.depth == 0 => {
                    return Err(FramingError::Between { byte });
                }
                (Place::Plain, b'"') => self.place = Place::String,
                (Place::Plain, _) => {}
            }
        }
        if self.seen - self.start > LONGEST {
            return Err(FramingError::TooLong);
        }
        Ok(None)
    }
}

/// Bytes that are no stream of JSON objects.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FramingError {
    /// Something between two objects that is not white space.
    #[error("byte {byte:#04x} where a JSON object must begin")]
    Between {
        /// The byte.
        byte: u8,
    },
    /// An object whose braces are balanced and that is no JSON all the same.
    #[error("a message is not JSON")]
    Json(#[source] serde_json::Error),
    /// An object without end.
    #[error("a message is longer than {LONGEST} bytes")]
    TooLong,
}

#[cfg(test)]
mod tests;
