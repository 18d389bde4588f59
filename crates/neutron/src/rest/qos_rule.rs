//! The rules of QoS policies: the extensions `qos`, `qos-bw-limit-direction`,
//! `qos-bw-minimum-ingress`, `qos-pps` and `qos-pps-minimum`; and their types.
//!
//! All types are alike: an amount, for some a burst, for most a direction. [`QosRuleType`] says by
//! which names.

use serde_json::{Map, Value, json};

use super::{Attribute, Error, Resource, check};

const DIRECTION: &str = "direction";
/// The direction of rules that name none.
const EGRESS: &str = "egress";

/// A type of rules.
#[derive(Debug)]
pub struct QosRuleType {
    /// Its name: `bandwidth_limit`.
    pub name: &'static str,
    /// Its rules. The path stands below that of the policy.
    pub rules: &'static Resource,
    /// The attribute that says how much.
    pub amount: &'static str,
    /// The attribute that says how much at once.
    pub burst: Option<&'static str>,
    /// What the amount may be, as the API shows it.
    amounts: fn() -> Value,
    /// The directions that it may have; none where its rules have no direction.
    directions: &'static [&'static str],
}

/// A rule of whatever type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QosRule {
    /// UUID.
    pub id: String,
    /// UUID of its policy.
    pub policy: String,
    /// How much: kilobits or thousands of packets a second, or the mark.
    pub amount: u32,
    /// How much at once; 0 where the type has no burst.
    pub burst: u32,
    /// ingress, egress or any; empty where the type has no direction.
    pub direction: String,
}

/// What is said of a rule that is to be made or changed; what is missing stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QosRuleRequest {
    /// How much.
    pub amount: Option<u32>,
    /// How much at once.
    pub burst: Option<u32>,
    /// ingress, egress or any.
    pub direction: Option<String>,
}

/// Every type, in the order of their names.
pub static QOS_RULE_TYPES: [QosRuleType; 5] = [
    QosRuleType {
        name: "bandwidth_limit",
        rules: &QOS_BANDWIDTH_LIMIT_RULE,
        amount: "max_kbps",
        burst: Some("max_burst_kbps"),
        amounts: range,
        directions: &["ingress", "egress"],
    },
    QosRuleType {
        name: "dscp_marking",
        rules: &QOS_DSCP_MARKING_RULE,
        amount: "dscp_mark",
        burst: None,
        amounts: || json!(check::DSCP_MARKS),
        directions: &[],
    },
    QosRuleType {
        name: "minimum_bandwidth",
        rules: &QOS_MINIMUM_BANDWIDTH_RULE,
        amount: "min_kbps",
        burst: None,
        amounts: range,
        directions: &["ingress", "egress"],
    },
    QosRuleType {
        name: "minimum_packet_rate",
        rules: &QOS_MINIMUM_PACKET_RATE_RULE,
        amount: "min_kpps",
        burst: None,
        amounts: range,
        directions: &["any", "ingress", "egress"],
    },
    QosRuleType {
        name: "packet_rate_limit",
        rules: &QOS_PACKET_RATE_LIMIT_RULE,
        amount: "max_kpps",
        burst: Some("max_burst_kpps"),
        amounts: range,
        directions: &["ingress", "egress"],
    },
];

/// The attributes of a bandwidth limit.
pub const QOS_BANDWIDTH_LIMIT_RULE: Resource = Resource {
    name: "bandwidth_limit_rule",
    plural: "bandwidth_limit_rules",
    path: "qos/policies/{policy}/bandwidth_limit_rules",
    attributes: &[
        Attribute::shown("id"),
        Attribute::needed("max_kbps", check::amount),
        Attribute::open("max_burst_kbps", check::amount),
        Attribute::open(DIRECTION, check::direction),
    ],
};

/// The attributes of a DSCP mark.
pub const QOS_DSCP_MARKING_RULE: Resource = Resource {
    name: "dscp_marking_rule",
    plural: "dscp_marking_rules",
    path: "qos/policies/{policy}/dscp_marking_rules",
    attributes: &[Attribute::shown("id"), Attribute::needed("dscp_mark", check::dscp_mark)],
};

/// The attributes of a minimum bandwidth.
pub const QOS_MINIMUM_BANDWIDTH_RULE: Resource = Resource {
    name: "minimum_bandwidth_rule",
    plural: "minimum_bandwidth_rules",
    path: "qos/policies/{policy}/minimum_bandwidth_rules",
    attributes: &[
        Attribute::shown("id"),
        Attribute::needed("min_kbps", check::amount),
        Attribute::open(DIRECTION, check::direction),
    ],
};

/// The attributes of a minimum packet rate.
pub const QOS_MINIMUM_PACKET_RATE_RULE: Resource = Resource {
    name: "minimum_packet_rate_rule",
    plural: "minimum_packet_rate_rules",
    path: "qos/policies/{policy}/minimum_packet_rate_rules",
    attributes: &[
        Attribute::shown("id"),
        Attribute::needed("min_kpps", check::amount),
        Attribute::open(DIRECTION, check::direction_or_any),
    ],
};

/// The attributes of a limit of packets.
pub const QOS_PACKET_RATE_LIMIT_RULE: Resource = Resource {
    name: "packet_rate_limit_rule",
    plural: "packet_rate_limit_rules",
    path: "qos/policies/{policy}/packet_rate_limit_rules",
    attributes: &[
        Attribute::shown("id"),
        Attribute::needed("max_kpps", check::amount),
        Attribute::open("max_burst_kpps", check::amount),
        Attribute::open(DIRECTION, check::direction),
    ],
};

/// The attributes of a type of rules.
pub const QOS_RULE_TYPE: Resource = Resource {
    name: "rule_type",
    plural: "rule_types",
    path: "qos/rule-types",
    attributes: &[Attribute::shown("type"), Attribute::shown("drivers")],
};

fn range() -> Value {
    json!({ "start": 0, "end": check::MOST })
}

impl QosRuleType {
    /// The type of this name.
    pub fn from_name(name: &str) -> Option<&'static Self> {
        QOS_RULE_TYPES.iter().find(|kind| kind.name == name)
    }

    /// Whether its rules have a direction.
    pub fn has_direction(&self) -> bool {
        !self.directions.is_empty()
    }

    /// The direction of rules that name none.
    pub fn default_direction(&self) -> &'static str {
        if self.has_direction() { EGRESS } else { "" }
    }

    /// What a checked body says.
    ///
    /// # Errors
    ///
    /// A number that its check has let through and that is none: no body does that.
    pub fn request(&self, values: &Map<String, Value>) -> Result<QosRuleRequest, Error> {
        let number = |name: &str| -> Result<Option<u32>, Error> {
            let number = values.get(name).map(|value| serde_json::from_value(value.clone()));
            number.transpose().map_err(|error| Error::InvalidBody { reason: error.to_string() })
        };
        Ok(QosRuleRequest {
            amount: number(self.amount)?,
            burst: self.burst.map(number).transpose()?.flatten(),
            direction: values.get(DIRECTION).and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// A rule as it is shown by itself.
    pub fn body(&self, rule: &QosRule) -> Map<String, Value> {
        let mut body = Map::new();
        body.insert("id".to_owned(), rule.id.clone().into());
        body.insert(self.amount.to_owned(), rule.amount.into());
        if let Some(burst) = self.burst {
            body.insert(burst.to_owned(), rule.burst.into());
        }
        if self.has_direction() {
            body.insert(DIRECTION.to_owned(), rule.direction.clone().into());
        }
        body
    }

    /// A rule as it is shown among those of its policy.
    pub fn body_in_policy(&self, rule: &QosRule) -> Map<String, Value> {
        let mut body = self.body(rule);
        body.insert("type".to_owned(), self.name.into());
        body.insert("qos_policy_id".to_owned(), rule.policy.clone().into());
        body
    }

    /// The type as it is shown in a list.
    pub fn listed(&self) -> Value {
        json!({ "type": self.name })
    }

    /// The type as it is shown by itself: who serves it, and with what values.
    pub fn shown(&self) -> Value {
        let parameter = |name: &str, values: Value, kind: &str| {
            json!({
                "parameter_name": name, "parameter_type": kind, "parameter_values": values,
            })
        };
        let kind = |values: &Value| if values.is_array() { "choices" } else { "range" };
        let amounts = (self.amounts)();
        let mut parameters = vec![parameter(self.amount, amounts.clone(), kind(&amounts))];
        parameters.extend(self.burst.map(|burst| parameter(burst, range(), "range")));
        if self.has_direction() {
            parameters.push(parameter(DIRECTION, json!(self.directions), "choices"));
        }
        let driver = json!({ "name": "openvswitch", "supported_parameters": parameters });
        json!({ "type": self.name, "drivers": [driver] })
    }
}
