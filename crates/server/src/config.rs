//! What an operator decides: where the API listens, where the state lies, which segments there are.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use model::{NetworkType, NumberError, VlanTag};

/// What an operator decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the API listens. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// The directory of the database; made if it is missing.
    pub state_dir: PathBuf,
    /// The VLANs of each physical network.
    pub network_vlan_ranges: Vec<VlanRange>,
    /// The physical networks that may carry a flat network.
    pub flat_networks: Vec<String>,
    /// What carries a network whose creator does not say: the first type that has a segment left.
    pub tenant_network_types: Vec<NetworkType>,
    /// The largest IP packet of a network whose creator does not say, in bytes.
    pub mtu: u32,
}

/// VLANs of a physical network: `physnet1:100:200`, or `physnet1` for one whose VLANs are only
/// used on request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VlanRange {
    /// The physical network.
    pub physical_network: String,
    /// The lowest and the highest VLAN that is given to networks whose creator does not say.
    pub vlans: Option<(VlanTag, VlanTag)>,
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

impl FromStr for VlanRange {
    type Err = ParseVlanRangeError;

    fn from_str(text: &str) -> Result<Self, ParseVlanRangeError> {
        let form = || ParseVlanRangeError::Form { text: text.to_owned() };
        let tag = |end: &str| {
            let number = end.parse().map_err(|_| form())?;
            VlanTag::new(number)
                .map_err(|source| ParseVlanRangeError::Tag { text: text.to_owned(), source })
        };
        let mut parts = text.split(':');
        let physical_network = parts.next().filter(|name| !name.is_empty()).ok_or_else(form)?;
        let vlans = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(low), Some(high), None) => Some((tag(low)?, tag(high)?)),
            _ => return Err(form()),
        };
        if vlans.is_some_and(|(low, high)| low > high) {
            return Err(ParseVlanRangeError::Reversed { text: text.to_owned() });
        }
        Ok(Self { physical_network: physical_network.to_owned(), vlans })
    }
}

impl fmt::Display for VlanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.physical_network)?;
        match self.vlans {
            Some((low, high)) => write!(f, ":{low}:{high}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vlan_ranges() {
        for text in ["physnet1", "physnet1:1:4094", "p:7:7"] {
            assert_eq!(text.parse::<VlanRange>().unwrap().to_string(), text);
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
}
