//! Bytes of OpenFlow 1.4: framing, flow mods, flow dumps, flow monitors, bundles, meters, connections to
//! forget, errors.
//!
//! Every part has `encode` (appends to a buffer, cannot fail) and `decode` (reads from a
//! [`Reader`], refuses what is not whole). Facts: OpenFlow 1.4.1 § 7, and for Nicira's actions
//! the headers of Open vSwitch. What the crate has no name for is kept as bytes, so that flows
//! of others survive a dump.

pub(crate) mod action;
pub(crate) mod bundle;
pub(crate) mod ct_flush;
pub(crate) mod error;
pub(crate) mod features;
pub(crate) mod flow_mod;
pub(crate) mod flow_monitor;
pub(crate) mod flow_stats;
pub(crate) mod header;
pub(crate) mod instruction;
mod learn;
pub(crate) mod meter;
pub(crate) mod oxm;
pub(crate) mod reader;
#[cfg(test)]
pub(crate) mod tests;

pub use error::ErrorMessage;
pub use features::Features;
pub use reader::DecodeError;

pub(crate) use reader::Reader;

/// Appends to a message under construction.
pub(crate) trait Write {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_zeros(&mut self, count: usize);
    /// Zeros until what began at `start` is a multiple of 8 bytes.
    fn pad_from(&mut self, start: usize);
    /// Gives what began at `start` its length, which stands behind a 16-bit type.
    fn write_len(&mut self, start: usize);
}

impl Write for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_zeros(&mut self, count: usize) {
        self.resize(self.len() + count, 0);
    }

    fn pad_from(&mut self, start: usize) {
        self.resize(start + (self.len() - start).next_multiple_of(8), 0);
    }

    fn write_len(&mut self, start: usize) {
        // What is longer is refused by whoever sends it.
        let len = u16::try_from(self.len() - start).unwrap_or(u16::MAX);
        if let Some(place) = self.get_mut(start + 2..start + 4) {
            place.copy_from_slice(&len.to_be_bytes());
        }
    }
}
