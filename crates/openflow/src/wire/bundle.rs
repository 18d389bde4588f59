//! Bundles: changes that the switch makes all or none. OpenFlow 1.4.1 § 7.3.9.

use super::{
    DecodeError, Reader, Write, flow_mod,
    header::{self, Kind},
};
use crate::flow::FlowMod;

const ATOMIC: u16 = 1;
const ORDERED: u16 = 1 << 1;

/// What a control message asks or answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Control(pub(crate) u16);

impl Control {
    pub(crate) const OPEN: Self = Self(0);
    pub(crate) const CLOSE: Self = Self(2);
    pub(crate) const CLOSED: Self = Self(3);
    pub(crate) const COMMIT: Self = Self(4);
    pub(crate) const COMMITTED: Self = Self(5);
    pub(crate) const DISCARD: Self = Self(6);
    pub(crate) const DISCARDED: Self = Self(7);
}

/// Appends the message that controls a bundle.
pub(crate) fn encode_control(out: &mut Vec<u8>, xid: u32, bundle: u32, control: Control) {
    header::encode(out, Kind::BUNDLE_CONTROL, xid, |out| {
        out.put_u32(bundle);
        out.put_u16(control.0);
        out.put_u16(ATOMIC | ORDERED);
    });
}

/// Appends the message that adds a change to a bundle.
pub(crate) fn encode_add(out: &mut Vec<u8>, xid: u32, bundle: u32, flow_mod: &FlowMod) {
    header::encode(out, Kind::BUNDLE_ADD, xid, |out| {
        out.put_u32(bundle);
        out.put_zeros(2);
        out.put_u16(ATOMIC | ORDERED);
        // The change has the number of the message around it.
        header::encode(out, Kind::FLOW_MOD, xid, |out| flow_mod::encode(out, flow_mod));
    });
}

/// Reads the body of a control message.
pub(crate) fn decode_control(body: &[u8]) -> Result<(u32, Control), DecodeError> {
    let mut reader = Reader::new("bundle control", body);
    Ok((reader.u32()?, Control(reader.u16()?)))
}
