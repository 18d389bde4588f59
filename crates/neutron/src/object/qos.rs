//! QosPolicy 1.10 and its rules 1.5.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::envelope::{Envelope, Versioned, null_is_default, wrap};

/// A QoS policy with its rules.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QosPolicy {
    /// UUID.
    pub id: String,
    /// The owner.
    #[serde(default)]
    pub project_id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
    /// Whether other projects may use it.
    #[serde(default)]
    pub shared: bool,
    /// Its rules, in any order.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rules: Vec<QosRule>,
    /// Whether new networks of its project have it.
    #[serde(default)]
    pub is_default: bool,
    /// Counts the changes.
    #[serde(default)]
    pub revision_number: u64,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A rule of a QoS policy.
#[derive(Debug, Clone, PartialEq)]
pub enum QosRule {
    /// So much bandwidth at most.
    BandwidthLimit(QosBandwidthLimitRule),
    /// IP packets are marked.
    DscpMarking(QosDscpMarkingRule),
    /// So much bandwidth at least.
    MinimumBandwidth(QosMinimumBandwidthRule),
    /// So many packets at least.
    MinimumPacketRate(QosMinimumPacketRateRule),
    /// So many packets at most.
    PacketRateLimit(QosPacketRateLimitRule),
    /// A type that is not known here, as it came.
    Other(Value),
}

/// So much bandwidth at most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QosBandwidthLimitRule {
    /// UUID.
    pub id: String,
    /// UUID of the policy.
    pub qos_policy_id: String,
    /// Kilobits a second; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_kbps: Option<u32>,
    /// Kilobits at once; 0 leaves it to the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_burst_kbps: Option<u32>,
    /// ingress or egress.
    #[serde(default = "egress")]
    pub direction: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// IP packets are marked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QosDscpMarkingRule {
    /// UUID.
    pub id: String,
    /// UUID of the policy.
    pub qos_policy_id: String,
    /// The mark, 0 to 56.
    pub dscp_mark: u32,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// So much bandwidth at least.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QosMinimumBandwidthRule {
    /// UUID.
    pub id: String,
    /// UUID of the policy.
    pub qos_policy_id: String,
    /// Kilobits a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_kbps: Option<u32>,
    /// ingress or egress.
    #[serde(default = "egress")]
    pub direction: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// So many packets at least. Nobody but a scheduler looks at it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QosMinimumPacketRateRule {
    /// UUID.
    pub id: String,
    /// UUID of the policy.
    pub qos_policy_id: String,
    /// Thousands of packets a second.
    pub min_kpps: u32,
    /// ingress, egress or any.
    #[serde(default = "egress")]
    pub direction: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// So many packets at most.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct QosPacketRateLimitRule {
    /// UUID.
    pub id: String,
    /// UUID of the policy.
    pub qos_policy_id: String,
    /// Thousands of packets a second; 0 is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_kpps: Option<u32>,
    /// Thousands of packets at once; 0 leaves it to the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_burst_kpps: Option<u32>,
    /// ingress or egress.
    #[serde(default = "egress")]
    pub direction: String,
    /// Every other field, as it came.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The direction of rules that name none.
fn egress() -> String {
    "egress".to_owned()
}

impl Serialize for QosRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::BandwidthLimit(rule) => wrap(rule).serialize(serializer),
            Self::DscpMarking(rule) => wrap(rule).serialize(serializer),
            Self::MinimumBandwidth(rule) => wrap(rule).serialize(serializer),
            Self::MinimumPacketRate(rule) => wrap(rule).serialize(serializer),
            Self::PacketRateLimit(rule) => wrap(rule).serialize(serializer),
            Self::Other(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for QosRule {
    /// Only the name of a rule says what it is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fn read<T: Versioned + DeserializeOwned, E: serde::de::Error>(
            value: Value,
        ) -> Result<T, E> {
            let envelope: Envelope<T> = serde_json::from_value(value).map_err(E::custom)?;
            envelope.open(T::NAME, T::VERSION).map_err(E::custom)
        }
        let value = Value::deserialize(deserializer)?;
        let name = value.get("versioned_object.name").and_then(Value::as_str);
        match name {
            Some(QosBandwidthLimitRule::NAME) => read(value).map(Self::BandwidthLimit),
            Some(QosDscpMarkingRule::NAME) => read(value).map(Self::DscpMarking),
            Some(QosMinimumBandwidthRule::NAME) => read(value).map(Self::MinimumBandwidth),
            Some(QosMinimumPacketRateRule::NAME) => read(value).map(Self::MinimumPacketRate),
            Some(QosPacketRateLimitRule::NAME) => read(value).map(Self::PacketRateLimit),
            Some(_) => Ok(Self::Other(value)),
            None => Err(D::Error::custom("a rule of a QosPolicy has no name")),
        }
    }
}

impl Versioned for QosPolicy {
    const NAME: &'static str = "QosPolicy";
    const VERSION: &'static str = "1.10";
}

impl Versioned for QosBandwidthLimitRule {
    const NAME: &'static str = "QosBandwidthLimitRule";
    const VERSION: &'static str = "1.5";
}

impl Versioned for QosDscpMarkingRule {
    const NAME: &'static str = "QosDscpMarkingRule";
    const VERSION: &'static str = "1.5";
}

impl Versioned for QosMinimumBandwidthRule {
    const NAME: &'static str = "QosMinimumBandwidthRule";
    const VERSION: &'static str = "1.5";
}

impl Versioned for QosMinimumPacketRateRule {
    const NAME: &'static str = "QosMinimumPacketRateRule";
    const VERSION: &'static str = "1.5";
}

impl Versioned for QosPacketRateLimitRule {
    const NAME: &'static str = "QosPacketRateLimitRule";
    const VERSION: &'static str = "1.5";
}
