//! Reads numbers and slices off the front of some bytes.

/// Bytes that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They end too early.
    #[error("{what} ends after {have} bytes, it needs {need}")]
    Truncated {
        /// Of what.
        what: &'static str,
        /// Bytes that were needed next.
        need: usize,
        /// Bytes that were left.
        have: usize,
    },
    /// A length that cannot be.
    #[error("{what} gives its length as {length}")]
    Length {
        /// Of what.
        what: &'static str,
        /// The length given.
        length: usize,
    },
    /// A value that cannot be.
    #[error("{what} has the value {value:#x}")]
    Value {
        /// Of what.
        what: &'static str,
        /// The value.
        value: u64,
    },
    /// Bytes are left over.
    #[error("{count} bytes follow {what}")]
    Trailing {
        /// After what.
        what: &'static str,
        /// How many.
        count: usize,
    },
}

/// What is left to read, and of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, rest)) = self.rest.split_at_checked(count) else {
            let have = self.rest.len();
            return Err(DecodeError::Truncated { what: self.what, need: count, have });
        };
        self.rest = rest;
        Ok(head)
    }

    /// The next `count` bytes as something with a name of its own.
    pub(crate) fn part(
        &mut self,
        what: &'static str,
        count: usize,
    ) -> Result<Reader<'a>, DecodeError> {
        Ok(Reader { what, rest: self.take(count)? })
    }

    pub(crate) fn skip(&mut self, count: usize) -> Result<(), DecodeError> {
        self.take(count).map(drop)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((head, rest)) = self.rest.split_first_chunk() else {
            let have = self.rest.len();
            return Err(DecodeError::Truncated { what: self.what, need: N, have });
        };
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing { what: self.what, count: self.rest.len() })
        }
    }
}
