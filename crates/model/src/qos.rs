//! QoS policies: what the traffic of a port gets, and what it is limited to.

use std::collections::BTreeMap;

use crate::{Direction, NumberError, QosPolicyId};

/// A QoS policy as a node applies it to each port that has it. What only a scheduler looks at (the
/// minimum packet rate) is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QosPolicy {
    /// Its id.
    pub id: QosPolicyId,
    /// How much may pass, for each direction that has a limit.
    pub bandwidth: BTreeMap<Direction, BandwidthLimit>,
    /// How many packets may pass, for each direction that has a limit.
    pub packet_rate: BTreeMap<Direction, PacketRateLimit>,
    /// How much is set aside, for each direction that has something.
    pub minimum_bandwidth: BTreeMap<Direction, Kbps>,
    /// The mark of every IP packet that the port sends.
    pub dscp: Option<Dscp>,
}

/// Thousands of bits a second, or thousands of bits, more than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kbps(u32);

/// A limit of bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BandwidthLimit {
    /// How much may pass in the long run.
    pub rate: Kbps,
    /// How much may pass at once, in kilobits; nothing where the policy leaves it to the node.
    pub burst: Option<Kbps>,
}

/// A limit of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketRateLimit {
    /// Packets a second, more than 0.
    pub rate: u32,
    /// How many may pass at once; nothing where the policy leaves it to the switch.
    pub burst: Option<u32>,
}

/// A differentiated services code point, 0 to 63 (RFC 2474): the upper six bits of the traffic class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dscp(u8);

impl Kbps {
    /// So many thousands; nothing for 0, which limits and guarantees nothing.
    pub const fn new(value: u32) -> Option<Self> {
        match value {
            0 => None,
            value => Some(Self(value)),
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Dscp {
    /// # Errors
    ///
    /// More than 63.
    pub const fn new(value: u32) -> Result<Self, NumberError> {
        match value {
            0..=63 => Ok(Self(value as u8)),
            _ => Err(NumberError { value, kind: "DSCP mark", low: 0, high: 63 }),
        }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl QosPolicy {
    /// The policy that limits and marks nothing.
    pub const fn empty(id: QosPolicyId) -> Self {
        Self {
            id,
            bandwidth: BTreeMap::new(),
            packet_rate: BTreeMap::new(),
            minimum_bandwidth: BTreeMap::new(),
            dscp: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(Kbps::new(0), None);
        assert_eq!(Kbps::new(u32::MAX).map(Kbps::get), Some(u32::MAX));
        assert_eq!(Dscp::new(63).map(Dscp::get), Ok(63));
        assert_eq!(Dscp::new(64).unwrap_err().to_string(), "64 is not a DSCP mark (0 to 63)");
    }
}
