//! What rtnetlink says of network devices. Facts from the kernel's linux/rtnetlink.h and linux/if_link.h.

use super::{array, attribute, find};

/// There is a device, or it is another way.
pub(crate) const NEW: u16 = 16;
/// A device has gone.
pub(crate) const DELETE: u16 = 17;
/// Asks for devices.
pub(crate) const GET: u16 = 18;
/// Asks to have a device another way.
pub(crate) const SET: u16 = 19;

/// How long the header of the family is.
pub(crate) const HEADER: usize = 16;

/// The name of a device, which ends with a zero.
pub(crate) const NAME: u16 = 3;
/// The index of the device that one is a port of; 0 for none.
pub(crate) const MASTER: u16 = 10;

const MASK: u16 = 29;
/// No counters, which are most of a message.
const SKIP_STATISTICS: u32 = 1 << 3;

/// Appends that counters are not asked for.
pub(crate) fn without_counters(out: &mut Vec<u8>) {
    attribute(out, MASK, |out| out.extend(SKIP_STATISTICS.to_ne_bytes()));
}

/// The header of the family, the index of the device, and what is said of it.
pub(crate) fn device(body: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let (header, attributes) = body.split_at_checked(HEADER)?;
    let index = header.get(4..8).and_then(array).map(u32::from_ne_bytes)?;
    Some((header, index, attributes))
}

/// The index of the device that one is a port of.
pub(crate) fn master(attributes: &[u8]) -> Option<u32> {
    find(attributes, MASTER).and_then(array).map(u32::from_ne_bytes)
}
