//! What a message says about itself beside its body: the content header of class basic
//! (section 4.2.6.1).

use crate::{
    Fault, Table,
    wire::{Field, Reader, ShortString},
};

/// Properties of a message. Texts have at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Properties {
    /// The MIME type of the body.
    pub content_type: Option<String>,
    /// The MIME encoding of the body.
    pub content_encoding: Option<String>,
    /// Whatever the application wants.
    pub headers: Option<Table>,
    /// 1: may be lost with the broker; 2: kept on disk in durable queues.
    pub delivery_mode: Option<u8>,
    /// From 0 to 9.
    pub priority: Option<u8>,
    /// What it answers.
    pub correlation_id: Option<String>,
    /// The queue that answers go to.
    pub reply_to: Option<String>,
    /// After how many milliseconds it is of no use any more, as text.
    pub expiration: Option<String>,
    /// Its own id.
    pub message_id: Option<String>,
    /// Seconds since 1970.
    pub timestamp: Option<u64>,
    /// What kind of message it is.
    pub kind: Option<String>,
    /// The user that sends it; the broker checks.
    pub user_id: Option<String>,
    /// The application that sends it.
    pub app_id: Option<String>,
    /// Deprecated.
    pub cluster_id: Option<String>,
}

/// The places of the properties in the flags, in the order in which they stand.
const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const KIND: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;
/// One has no meaning, the other says that more flags follow, of which there are none.
const UNKNOWN: u16 = 0b11;

impl Properties {
    /// Writes flags and values.
    ///
    /// # Errors
    /// The text that is too long.
    pub(crate) fn put(&self, out: &mut Vec<u8>) -> Result<(), String> {
        let mut flags = 0_u16;
        let mut values = Vec::new();
        let text = |flag: u16, value: &Option<String>, values: &mut Vec<u8>| {
            let Some(value) = value else { return Ok(0) };
            let short = ShortString::new(value.as_str()).ok_or_else(|| value.clone())?;
            short.encode(values);
            Ok::<u16, String>(flag)
        };
        fn other(flag: u16, value: &Option<impl Field>, values: &mut Vec<u8>) -> u16 {
            let Some(value) = value else { return 0 };
            value.encode(values);
            flag
        }
        flags |= text(CONTENT_TYPE, &self.content_type, &mut values)?;
        flags |= text(CONTENT_ENCODING, &self.content_encoding, &mut values)?;
        flags |= other(HEADERS, &self.headers, &mut values);
        flags |= other(DELIVERY_MODE, &self.delivery_mode, &mut values);
        flags |= other(PRIORITY, &self.priority, &mut values);
        flags |= text(CORRELATION_ID, &self.correlation_id, &mut values)?;
        flags |= text(REPLY_TO, &self.reply_to, &mut values)?;
        flags |= text(EXPIRATION, &self.expiration, &mut values)?;
        flags |= text(MESSAGE_ID, &self.message_id, &mut values)?;
        flags |= other(TIMESTAMP, &self.timestamp, &mut values);
        flags |= text(KIND, &self.kind, &mut values)?;
        flags |= text(USER_ID, &self.user_id, &mut values)?;
        flags |= text(APP_ID, &self.app_id, &mut values)?;
        flags |= text(CLUSTER_ID, &self.cluster_id, &mut values)?;
        flags.encode(out);
        out.append(&mut values);
        Ok(())
    }

    /// Reads flags and values.
    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, Fault> {
        fn value<T: Field>(there: bool, from: &mut Reader<'_>) -> Result<Option<T>, Fault> {
            there.then(|| T::decode(from)).transpose()
        }
        fn text(there: bool, from: &mut Reader<'_>) -> Result<Option<String>, Fault> {
            Ok(value::<ShortString>(there, from)?.map(ShortString::into_string))
        }
        let flags = u16::decode(from)?;
        if flags & UNKNOWN != 0 {
            return Err(Fault::Properties { flags });
        }
        let has = |flag: u16| flags & flag != 0;
        Ok(Self {
            content_type: text(has(CONTENT_TYPE), from)?,
            content_encoding: text(has(CONTENT_ENCODING), from)?,
            headers: value(has(HEADERS), from)?,
            delivery_mode: value(has(DELIVERY_MODE), from)?,
            priority: value(has(PRIORITY), from)?,
            correlation_id: text(has(CORRELATION_ID), from)?,
            reply_to: text(has(REPLY_TO), from)?,
            expiration: text(has(EXPIRATION), from)?,
            message_id: text(has(MESSAGE_ID), from)?,
            timestamp: value(has(TIMESTAMP), from)?,
            kind: text(has(KIND), from)?,
            user_id: text(has(USER_ID), from)?,
            app_id: text(has(APP_ID), from)?,
            cluster_id: text(has(CLUSTER_ID), from)?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
