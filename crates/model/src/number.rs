//! Numbers that have a range or a unit of their own.

use std::fmt;

/// A number outside the range of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{value} is not a {kind} ({low} to {high})")]
pub struct NumberError {
    /// What was given.
    pub value: u32,
    /// What it should have been.
    pub kind: &'static str,
    /// The lowest legal value.
    pub low: u32,
    /// The highest legal value.
    pub high: u32,
}

/// The number of a port of a bridge (ofport): 1 to 0xfeff, or 0xfffe for the bridge's own port (LOCAL).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfPort(u16);

impl OfPort {
    /// The bridge's own port.
    pub const LOCAL: Self = Self(0xfffe);

    /// # Errors
    ///
    /// 0, and the reserved numbers from 0xff00 on except LOCAL, are refused.
    pub const fn new(value: u32) -> Result<Self, NumberError> {
        match value {
            1..=0xfeff => Ok(Self(value as u16)),
            0xfffe => Ok(Self::LOCAL),
            _ => Err(NumberError { value, kind: "port number (ofport)", low: 1, high: 0xfeff }),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// A VLAN tag on this node, 1 to 4094: the local VLAN of a network, or a VLAN segment's id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanTag(u16);

impl VlanTag {
    /// The lowest legal tag.
    pub const MIN: Self = Self(1);
    /// The highest legal tag.
    pub const MAX: Self = Self(4094);
    /// The tag of ports that must not talk yet; not a legal `VlanTag` of a network.
    pub const DEAD: u16 = 4095;

    /// # Errors
    ///
    /// Anything but 1 to 4094 is refused.
    pub const fn new(value: u32) -> Result<Self, NumberError> {
        match value {
            1..=4094 => Ok(Self(value as u16)),
            _ => Err(NumberError { value, kind: "VLAN tag", low: 1, high: 4094 }),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The conntrack zone of the network that has this local VLAN.
    pub const fn zone(self) -> CtZone {
        CtZone(self.0)
    }
}

/// A conntrack zone. Each network of a node has the one with the number of its local VLAN; a port
/// that iptables filters has one of its own above those.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtZone(u16);

impl CtZone {
    /// The zone with this number.
    pub const fn new(value: u16) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The id of a segment in its underlay: a VLAN tag, a VNI or a GRE key. 0 to 2^32-1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentationId(u32);

impl SegmentationId {
    /// The id with this number.
    pub const fn new(value: u32) -> Self {
        Self(value)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The number of a meter of a switch: 1 to 0xffff0000.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeterId(u32);

impl MeterId {
    /// # Errors
    ///
    /// 0, and the reserved numbers above 0xffff0000, are refused.
    pub const fn new(value: u32) -> Result<Self, NumberError> {
        match value {
            1..=0xffff_0000 => Ok(Self(value)),
            _ => Err(NumberError { value, kind: "meter number", low: 1, high: 0xffff_0000 }),
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

macro_rules! show {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

show!(OfPort, VlanTag, CtZone, SegmentationId, MeterId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for bad in [0, 4095, 4096, u32::MAX] {
            assert!(VlanTag::new(bad).is_err(), "{bad}");
        }
        assert_eq!(VlanTag::new(1), Ok(VlanTag::MIN));
        assert_eq!(VlanTag::new(4094), Ok(VlanTag::MAX));
        for bad in [0, 0xff00, 0xfffd, 0xffff, 0x1_0001, u32::MAX] {
            assert!(OfPort::new(bad).is_err(), "{bad}");
        }
        assert_eq!(OfPort::new(0xfffe), Ok(OfPort::LOCAL));
        assert_eq!(OfPort::new(0xfeff).map(OfPort::get), Ok(0xfeff));
        for bad in [0, 0xffff_0001, u32::MAX] {
            assert!(MeterId::new(bad).is_err(), "{bad}");
        }
        assert_eq!(MeterId::new(0xffff_0000).map(MeterId::get), Ok(0xffff_0000));
        assert_eq!(VlanTag::new(0).unwrap_err().to_string(), "0 is not a VLAN tag (1 to 4094)");
    }
}
