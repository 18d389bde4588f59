//! What an agent says of itself besides what it knows of the switch.

use serde_json::{Map, Value};

/// What an agent says of itself besides what it knows of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The program, as the server shows it.
    pub binary: String,
    /// The extensions that it has loaded.
    pub extensions: Vec<String>,
    /// Whether the server shall log its reports.
    pub log_heartbeats: bool,
    /// Where the sockets of virtual machines are.
    pub vhostuser_socket_dir: Option<String>,
    /// Further configurations, as they are reported.
    pub further: Map<String, Value>,
}

impl Identity {
    /// Weir's own, without anything that an operator may add.
    pub fn weir() -> Self {
        Self {
            binary: "weir".to_owned(),
            extensions: Vec::new(),
            log_heartbeats: false,
            vhostuser_socket_dir: None,
            further: Map::new(),
        }
    }
}
