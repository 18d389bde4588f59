//! Messages from the broker, put together of method, header and body frames.

use crate::{Fault, Properties, method::Method};

/// Room is made for no more than this before the bytes are there.
const TRUST: u64 = 1 << 20;

/// A message of which the method has come.
#[derive(Debug)]
pub(super) struct Content {
    method: Method,
    header: Option<Header>,
}

#[derive(Debug)]
struct Header {
    size: u64,
    properties: Box<Properties>,
    body: Vec<u8>,
}

/// What there is after another frame.
#[derive(Debug)]
pub(super) enum Progress {
    Partial(Content),
    Whole(Whole),
}

/// A message that is whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) method: Method,
    pub(super) properties: Box<Properties>,
    pub(super) body: Vec<u8>,
}

impl Content {
    pub(super) fn new(method: Method) -> Self {
        Self { method, header: None }
    }

    /// Takes the header in; a message without a body is whole then.
    pub(super) fn header(
        self,
        size: u64,
        properties: Box<Properties>,
        limit: u64,
    ) -> Result<Progress, Fault> {
        if self.header.is_some() {
            return Err(Fault::Content);
        }
        if size > limit {
            return Err(Fault::MessageSize { size, limit });
        }
        let room = usize::try_from(size.min(TRUST)).unwrap_or_default();
        let body = Vec::with_capacity(room);
        Ok(Self { header: Some(Header { size, properties, body }), ..self }.whole())
    }

    /// Takes a part of the body in.
    pub(super) fn body(mut self, part: &[u8]) -> Result<Progress, Fault> {
        let header = self.header.as_mut().ok_or(Fault::Content)?;
        header.body.extend_from_slice(part);
        if length(&header.body) > header.size {
            return Err(Fault::Content);
        }
        Ok(self.whole())
    }

    fn whole(self) -> Progress {
        match self.header {
            Some(Header { size, properties, body }) if length(&body) == size => {
                Progress::Whole(Whole { method: self.method, properties, body })
            }
            header => Progress::Partial(Self { header, ..self }),
        }
    }
}

fn length(body: &[u8]) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}
