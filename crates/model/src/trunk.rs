//! Trunks: ports by which a virtual machine reaches several networks, one of them without a tag and
//! each of the others under a VLAN tag of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::{PortId, TrunkId, VlanTag};

/// How the names of the bridges of trunks begin.
pub const TRUNK_BRIDGE: &str = "tbr-";
/// How long they are.
const BRIDGE_NAME: usize = 14;

/// A trunk, as a node wires it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// The port whose frames have no tag.
    pub parent: PortId,
    /// How far it has come, by the word of the server.
    pub status: TrunkStatus,
    /// The tag of each subport. No two have the same.
    pub subports: BTreeMap<PortId, VlanTag>,
}

/// How far a trunk has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrunkStatus {
    /// All of it is wired.
    Active,
    /// What is asked for and what is wired are not the same.
    Down,
    /// Its subports are being bound.
    Build,
    /// A part of it is wired.
    Degraded,
    /// It cannot be wired; somebody must change it.
    Error,
}

/// Text that is no status of a trunk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a status of a trunk")]
pub struct ParseTrunkStatusError {
    /// What was given.
    pub text: String,
}

impl TrunkStatus {
    const ALL: [Self; 5] = [Self::Active, Self::Down, Self::Build, Self::Degraded, Self::Error];

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Down => "DOWN",
            Self::Build => "BUILD",
            Self::Degraded => "DEGRADED",
            Self::Error => "ERROR",
        }
    }
}

impl fmt::Display for TrunkStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TrunkStatus {
    type Err = ParseTrunkStatusError;

    fn from_str(text: &str) -> Result<Self, ParseTrunkStatusError> {
        let found = Self::ALL.into_iter().find(|status| status.name() == text);
        found.ok_or_else(|| ParseTrunkStatusError { text: text.to_owned() })
    }
}

/// The name of the bridge that the device of a virtual machine is plugged into whose trunk has this
/// id: Nova and the agents of Neutron know the same one.
pub fn trunk_bridge(trunk: impl fmt::Display) -> String {
    format!("{TRUNK_BRIDGE}{trunk}").chars().take(BRIDGE_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_bridge_is_that_of_neutron() {
        let id: TrunkId = "ed8602cf-6514-4314-b53b-c91d7fe1c7e8".parse().unwrap();
        assert_eq!(trunk_bridge(id), "tbr-ed8602cf-6");
    }

    #[test]
    fn statuses_are_read_as_they_are_shown() {
        for status in TrunkStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        let refused = "active".parse::<TrunkStatus>().unwrap_err();
        assert_eq!(refused.to_string(), "'active' is not a status of a trunk");
    }
}
