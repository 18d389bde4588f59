//! QoS policies: what a port gets, and by whose word.

use model::{BandwidthLimit, Direction, Dscp, Kbps, NetworkId, PacketRateLimit, QosPolicyId};

use super::{ConvertError, FieldError, Subject};
use crate::object::{Network, Port, QosPolicy, QosRule};

/// Owners of ports that a network's policy is not for: routers, DHCP servers and the like.
const NETWORK_DEVICES: [&str; 2] = ["network:", "neutron:"];
/// Those of them that lead out of the cloud; for these it is.
const GATEWAYS: [&str; 2] = ["network:router_gateway", "network:floatingip_agent_gateway"];
/// Neutron counts packets in thousands.
const KILO: u32 = 1000;

/// By whose word a port has a QoS policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QosChoice {
    /// The policy of the port itself.
    pub own: Option<QosPolicyId>,
    /// The policy of its network, as the server had it when it described the port.
    pub network: Option<QosPolicyId>,
    /// Whether the port is one that the policy of its network is for.
    pub follows_network: bool,
}

impl QosChoice {
    /// The policy that applies where the network has this one.
    pub fn with_network(self, network: Option<QosPolicyId>) -> Option<QosPolicyId> {
        self.own.or(network.filter(|_| self.follows_network))
    }
}

impl Port {
    /// By whose word it has a QoS policy.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub fn qos(&self) -> Result<QosChoice, ConvertError> {
        let subject = Subject { kind: "Port", id: &self.id };
        let id = |field, text: &Option<String>| {
            text.as_deref().map(|text| subject.parse(field, text)).transpose()
        };
        let owned_by = |prefix: &&str| self.device_owner.starts_with(prefix);
        let is_device = NETWORK_DEVICES.iter().any(owned_by) && !GATEWAYS.iter().any(owned_by);
        Ok(QosChoice {
            own: id("qos_policy_id", &self.qos_policy_id)?,
            network: id("qos_network_policy_id", &self.qos_network_policy_id)?,
            follows_network: !is_device,
        })
    }
}

impl Network {
    /// Its id, and that of its QoS policy.
    ///
    /// # Errors
    ///
    /// An id that is none.
    pub fn qos(&self) -> Result<(NetworkId, Option<QosPolicyId>), ConvertError> {
        let subject = Subject { kind: "Network", id: &self.id };
        let policy = self.qos_policy_id.as_deref();
        let policy = policy.map(|text| subject.parse("qos_policy_id", text)).transpose()?;
        Ok((subject.parse("id", &self.id)?, policy))
    }
}

impl QosPolicy {
    /// The policy as the model has it. A limit of 0 is none. Rules of a type that is not known here
    /// are left out, as Neutron's agent does; so are minimum packet rates, which are for a scheduler.
    ///
    /// # Errors
    ///
    /// An id, a direction or a mark that is none.
    pub fn to_model(&self) -> Result<model::QosPolicy, ConvertError> {
        let subject = Subject { kind: "QosPolicy", id: &self.id };
        let direction = |text: &str| -> Result<Direction, ConvertError> {
            subject.parse("rules.direction", text)
        };
        let mut policy = model::QosPolicy::empty(subject.parse("id", &self.id)?);
        for rule in &self.rules {
            match rule {
                QosRule::BandwidthLimit(rule) => {
                    let direction = direction(&rule.direction)?;
                    if let Some(rate) = rule.max_kbps.and_then(Kbps::new) {
                        let burst = rule.max_burst_kbps.and_then(Kbps::new);
                        policy.bandwidth.insert(direction, BandwidthLimit { rate, burst });
                    }
                }
                QosRule::DscpMarking(rule) => {
                    let error = |_| {
                        subject.error(
                            "rules.dscp_mark",
                            rule.dscp_mark,
                            FieldError::Range { high: 63 },
                        )
                    };
                    policy.dscp = Some(Dscp::new(rule.dscp_mark).map_err(error)?);
                }
                QosRule::MinimumBandwidth(rule) => {
                    let direction = direction(&rule.direction)?;
                    if let Some(least) = rule.min_kbps.and_then(Kbps::new) {
                        policy.minimum_bandwidth.insert(direction, least);
                    }
                }
                QosRule::PacketRateLimit(rule) => {
                    let direction = direction(&rule.direction)?;
                    let packets = |kilo: Option<u32>| match kilo {
                        None | Some(0) => None,
                        Some(kilo) => Some(kilo.saturating_mul(KILO)),
                    };
                    if let Some(rate) = packets(rule.max_kpps) {
                        let burst = packets(rule.max_burst_kpps);
                        policy.packet_rate.insert(direction, PacketRateLimit { rate, burst });
                    }
                }
                QosRule::MinimumPacketRate(_) | QosRule::Other(_) => {}
            }
        }
        Ok(policy)
    }
}
