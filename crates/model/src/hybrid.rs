//! The devices between a virtual machine and the integration bridge where a Linux bridge of its
//! own is in between, so that iptables sees its packets.
//!
//! The machine's tap and `qvb` are ports of the bridge `qbr`; `qvb` and `qvo` are the ends of one
//! veth pair, and `qvo` is plugged into the integration bridge. os-vif makes them and the agents
//! of Neutron find them, so nobody is free to name them otherwise.

use crate::PortId;

/// How long a device's name may be for os-vif and Neutron: one less than Linux allows.
const DEVICE_NAME: usize = 14;

/// The names of the devices of one port that is plugged this way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HybridDevices {
    /// The device of the virtual machine, a port of the Linux bridge.
    pub tap: String,
    /// The Linux bridge.
    pub qbr: String,
    /// The end of the veth pair that is a port of the Linux bridge.
    pub qvb: String,
    /// The other end, which is an interface of the integration bridge.
    pub qvo: String,
}

impl HybridDevices {
    /// The devices of the port: each name ends with the first eleven characters of its id.
    pub fn of(port: PortId) -> Self {
        let name = |kind| format!("{kind}{port}").chars().take(DEVICE_NAME).collect();
        Self { tap: name("tap"), qbr: name("qbr"), qvb: name("qvb"), qvo: name("qvo") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_os_vif() {
        let devices = HybridDevices::of("ed8602cf-6514-4314-b53b-c91d7fe1c7e8".parse().unwrap());
        assert_eq!(devices.tap, "taped8602cf-65");
        assert_eq!(devices.qbr, "qbred8602cf-65");
        assert_eq!(devices.qvb, "qvbed8602cf-65");
        assert_eq!(devices.qvo, "qvoed8602cf-65");
    }
}
