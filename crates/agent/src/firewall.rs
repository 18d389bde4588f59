//! Who applies the rules of security groups on a node: Neutron's option `firewall_driver`.

use std::fmt;

use dataplane::Filter;

/// Who applies the rules of security groups: flows, where nobody says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Firewall {
    /// Flows of the integration bridge.
    #[default]
    OpenVswitch,
    /// Netfilter, on a Linux bridge between each port and the integration bridge.
    IptablesHybrid,
    /// Nobody.
    Noop,
}

/// A firewall that there is not.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirewallError {
    /// Nobody knows it.
    #[error("'{0}' is none of openvswitch, iptables_hybrid, iptables and noop")]
    Unknown(String),
}

impl Firewall {
    /// That of this name, which may be the path of Neutron's class.
    ///
    /// `iptables` is the same as `iptables_hybrid`: where a port is no device of a Linux bridge, its
    /// rules would never see a packet.
    ///
    /// # Errors
    ///
    /// The name says none that there is.
    pub fn named(name: &str) -> Result<Self, FirewallError> {
        Ok(match name {
            "openvswitch"
            | "neutron.agent.linux.openvswitch_firewall:OVSFirewallDriver"
            | "neutron.agent.linux.openvswitch_firewall.OVSFirewallDriver"
            | "neutron.agent.linux.openvswitch_firewall.firewall:OVSFirewallDriver"
            | "neutron.agent.linux.openvswitch_firewall.firewall.OVSFirewallDriver" => {
                Self::OpenVswitch
            }
            "iptables_hybrid"
            | "iptables"
            | "neutron.agent.linux.iptables_firewall:OVSHybridIptablesFirewallDriver"
            | "neutron.agent.linux.iptables_firewall.OVSHybridIptablesFirewallDriver"
            | "neutron.agent.linux.iptables_firewall:IptablesFirewallDriver"
            | "neutron.agent.linux.iptables_firewall.IptablesFirewallDriver" => {
                Self::IptablesHybrid
            }
            "noop"
            | "neutron.agent.firewall:NoopFirewallDriver"
            | "neutron.agent.firewall.NoopFirewallDriver" => Self::Noop,
            _ => return Err(FirewallError::Unknown(name.to_owned())),
        })
    }

    /// Whether a Linux bridge must be put between a port and the integration bridge.
    pub fn is_hybrid(self) -> bool {
        self == Self::IptablesHybrid
    }

    /// Who applies the rules of a port.
    pub fn filter(self) -> Filter {
        match self {
            Self::OpenVswitch => Filter::Flows,
            Self::IptablesHybrid => Filter::Netfilter,
            Self::Noop => Filter::Nothing,
        }
    }
}

impl fmt::Display for Firewall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenVswitch => "openvswitch",
            Self::IptablesHybrid => "iptables_hybrid",
            Self::Noop => "noop",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_has_short_names_and_long_ones() {
        let native = "neutron.agent.linux.openvswitch_firewall.OVSFirewallDriver";
        for name in ["openvswitch", native] {
            assert_eq!(Firewall::named(name), Ok(Firewall::OpenVswitch));
        }
        for name in ["noop", "neutron.agent.firewall:NoopFirewallDriver"] {
            assert_eq!(Firewall::named(name), Ok(Firewall::Noop));
        }
        let hybrid = "neutron.agent.linux.iptables_firewall.OVSHybridIptablesFirewallDriver";
        for name in ["iptables", "iptables_hybrid", hybrid] {
            assert_eq!(Firewall::named(name), Ok(Firewall::IptablesHybrid));
        }
        for name in ["", "Noop", "hybrid"] {
            let unknown = FirewallError::Unknown(name.to_owned());
            assert_eq!(Firewall::named(name), Err(unknown));
        }
    }
}
