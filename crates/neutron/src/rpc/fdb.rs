//! What a server tells agents of addresses behind tunnels (`l2population`).
//!
//! Everything is under the address that the tunnels of a host end at. An entry is a MAC address
//! and one of its IP addresses; the flood entry says that the host has ports of the network at
//! all, so that frames for everybody go there too.
//!
//! Every agent hears of each change. What is told to one host alone is all that others have of a
//! network: when the host gets its first port there, and for the networks of the ports that it
//! reports up with `refresh_tunnels`. The latter is told before that report is answered, and says
//! nothing where others have nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The entries of some networks, by the UUID of the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FdbEntries {
    /// By network.
    pub fdb_entries: BTreeMap<String, NetworkFdb>,
}

/// The entries of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFdb {
    /// The VNI or key of the segment that carries it.
    pub segment_id: Option<u32>,
    /// vxlan, gre or geneve.
    pub network_type: String,
    /// By tunnel end.
    pub ports: BTreeMap<String, Vec<PortInfo>>,
}

/// An entry: a MAC address and an IP address that is reached by it. A pair on the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(String, String)", into = "(String, String)")]
pub struct PortInfo {
    /// The MAC address.
    pub mac_address: String,
    /// The IP address.
    pub ip_address: String,
}

/// Ports that have other IP addresses than before.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "UpdateArgs", into = "UpdateArgs")]
pub struct FdbUpdate {
    /// By network and by tunnel end.
    pub chg_ip: BTreeMap<String, BTreeMap<String, ChangedEntries>>,
}

/// The entries that go and those that come. What is the same before and after is in neither.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChangedEntries {
    /// Those that go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<PortInfo>,
    /// Those that come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<PortInfo>,
}

impl PortInfo {
    /// An entry.
    pub fn new(mac_address: impl Into<String>, ip_address: impl Into<String>) -> Self {
        Self { mac_address: mac_address.into(), ip_address: ip_address.into() }
    }

    /// The entry that says that frames for everybody go there too.
    pub fn flood() -> Self {
        Self::new("00:00:00:00:00:00", "0.0.0.0")
    }

    /// Whether it is the flood entry.
    pub fn is_flood(&self) -> bool {
        *self == Self::flood()
    }
}

impl From<(String, String)> for PortInfo {
    fn from((mac_address, ip_address): (String, String)) -> Self {
        Self { mac_address, ip_address }
    }
}

impl From<PortInfo> for (String, String) {
    fn from(PortInfo { mac_address, ip_address }: PortInfo) -> Self {
        (mac_address, ip_address)
    }
}

/// `{"fdb_entries": {"chg_ip": {..}}}`.
#[derive(Serialize, Deserialize)]
struct UpdateArgs {
    fdb_entries: Changes,
}

#[derive(Serialize, Deserialize)]
struct Changes {
    #[serde(default)]
    chg_ip: BTreeMap<String, BTreeMap<String, ChangedEntries>>,
}

impl From<UpdateArgs> for FdbUpdate {
    fn from(UpdateArgs { fdb_entries: Changes { chg_ip } }: UpdateArgs) -> Self {
        Self { chg_ip }
    }
}

impl From<FdbUpdate> for UpdateArgs {
    fn from(FdbUpdate { chg_ip }: FdbUpdate) -> Self {
        Self { fdb_entries: Changes { chg_ip } }
    }
}
