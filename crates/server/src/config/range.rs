//! Ranges of numbers as an operator writes them.

use std::fmt;
use std::str::FromStr;

use model::{NumberError, VlanTag};

/// VLANs of a physical network: `physnet1:100:200`, or `physnet1` for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VlanRange {
    /// The physical network.
    pub physical_network: String,
    /// The lowest.
    pub low: VlanTag,
    /// The highest.
    pub high: VlanTag,
}

/// Text that is not a range of VLANs.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseVlanRangeError {
    /// It has another form.
    #[error("'{text}' is neither PHYSICAL_NETWORK nor PHYSICAL_NETWORK:LOW:HIGH")]
    Form {
        /// What was given.
        text: String,
    },
    /// An end is not a VLAN tag.
    #[error("an end of VLAN range '{text}' is no VLAN tag")]
    Tag {
        /// What was given.
        text: String,
        /// What is wrong with it.
        #[source]
        source: NumberError,
    },
    /// It ends before it begins.
    #[error("VLAN range '{text}' ends before it begins")]
    Reversed {
        /// What was given.
        text: String,
    },
}

/// Numbers of tunnels: `1:1000`. `MOST` is the highest that the header of the tunnel can carry; 0
/// is no number of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelRange<const MOST: u32> {
    low: u32,
    high: u32,
}

/// VNIs of VXLAN or Geneve.
pub type VniRange = TunnelRange<0xff_ffff>;
/// Keys of GRE.
pub type KeyRange = TunnelRange<{ u32::MAX }>;

/// Text that is not a range of numbers of tunnels.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseTunnelRangeError {
    /// It has another form.
    #[error("'{text}' is not LOW:HIGH")]
    Form {
        /// What was given.
        text: String,
    },
    /// An end cannot be the number of a tunnel.
    #[error("an end of range '{text}' is not from 1 to {most}")]
    End {
        /// What was given.
        text: String,
        /// The highest that there is.
        most: u32,
    },
    /// It ends before it begins.
    #[error("range '{text}' ends before it begins")]
    Reversed {
        /// What was given.
        text: String,
    },
}

impl FromStr for VlanRange {
    type Err = ParseVlanRangeError;

    fn from_str(text: &str) -> Result<Self, ParseVlanRangeError> {
        let form = || ParseVlanRangeError::Form { text: text.to_owned() };
        let tag = |end: &str| {
            let number = end.trim().parse().map_err(|_| form())?;
            VlanTag::new(number)
                .map_err(|source| ParseVlanRangeError::Tag { text: text.to_owned(), source })
        };
        let mut parts = text.trim().split(':');
        let physical_network = parts.next().filter(|name| !name.is_empty()).ok_or_else(form)?;
        let (low, high) = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => (VlanTag::MIN, VlanTag::MAX),
            (Some(low), Some(high), None) => (tag(low)?, tag(high)?),
            _ => return Err(form()),
        };
        if low > high {
            return Err(ParseVlanRangeError::Reversed { text: text.to_owned() });
        }
        Ok(Self { physical_network: physical_network.to_owned(), low, high })
    }
}

impl fmt::Display for VlanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.physical_network, self.low, self.high)
    }
}

impl<const MOST: u32> TunnelRange<MOST> {
    /// The highest number that there is.
    pub const MOST: u32 = MOST;

    /// The lowest and the highest number.
    pub const fn ends(self) -> (u32, u32) {
        (self.low, self.high)
    }
}

impl<const MOST: u32> FromStr for TunnelRange<MOST> {
    type Err = ParseTunnelRangeError;

    fn from_str(text: &str) -> Result<Self, ParseTunnelRangeError> {
        let form = || ParseTunnelRangeError::Form { text: text.to_owned() };
        let end = |end: &str| {
            let number: u64 = end.trim().parse().map_err(|_| form())?;
            u32::try_from(number)
                .ok()
                .filter(|number| (1..=MOST).contains(number))
                .ok_or_else(|| ParseTunnelRangeError::End { text: text.to_owned(), most: MOST })
        };
        let (low, high) = text.split_once(':').ok_or_else(form)?;
        let (low, high) = (end(low)?, end(high)?);
        if low > high {
            return Err(ParseTunnelRangeError::Reversed { text: text.to_owned() });
        }
        Ok(Self { low, high })
    }
}

impl<const MOST: u32> fmt::Display for TunnelRange<MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlan_ranges() {
        for (text, shown) in [
            ("physnet1", "physnet1:1:4094"),
            ("physnet1:1:4094", "physnet1:1:4094"),
            (" p:7:7 ", "p:7:7"),
        ] {
            assert_eq!(text.parse::<VlanRange>().unwrap().to_string(), shown);
        }
        for (bad, message) in [
            ("", "'' is neither PHYSICAL_NETWORK nor PHYSICAL_NETWORK:LOW:HIGH"),
            ("p:1", "'p:1' is neither PHYSICAL_NETWORK nor PHYSICAL_NETWORK:LOW:HIGH"),
            ("p:1:2:3", "'p:1:2:3' is neither PHYSICAL_NETWORK nor PHYSICAL_NETWORK:LOW:HIGH"),
            ("p:a:2", "'p:a:2' is neither PHYSICAL_NETWORK nor PHYSICAL_NETWORK:LOW:HIGH"),
            ("p:0:2", "an end of VLAN range 'p:0:2' is no VLAN tag"),
            ("p:1:4095", "an end of VLAN range 'p:1:4095' is no VLAN tag"),
            ("p:9:8", "VLAN range 'p:9:8' ends before it begins"),
        ] {
            assert_eq!(bad.parse::<VlanRange>().unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn tunnel_ranges() {
        for text in ["1:16777215", "7:7"] {
            assert_eq!(text.parse::<VniRange>().unwrap().to_string(), text);
        }
        assert_eq!("1:4294967295".parse::<KeyRange>().unwrap().ends(), (1, u32::MAX));
        for (bad, message) in [
            ("", "'' is not LOW:HIGH"),
            ("1", "'1' is not LOW:HIGH"),
            ("1:2:3", "'1:2:3' is not LOW:HIGH"),
            ("1:x", "'1:x' is not LOW:HIGH"),
            ("-1:2", "'-1:2' is not LOW:HIGH"),
            ("0:2", "an end of range '0:2' is not from 1 to 16777215"),
            ("1:16777216", "an end of range '1:16777216' is not from 1 to 16777215"),
            ("9:8", "range '9:8' ends before it begins"),
        ] {
            assert_eq!(bad.parse::<VniRange>().unwrap_err().to_string(), message);
        }
        let over = "1:4294967296".parse::<KeyRange>().unwrap_err().to_string();
        assert_eq!(over, "an end of range '1:4294967296' is not from 1 to 4294967295");
    }
}
