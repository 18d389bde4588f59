//! The rules of a QoS policy: at most one of each type and direction, and no two that contradict
//! each other.

use neutron::object::{self, QosRule as Wire};
use neutron::rest::{self, QOS_RULE_TYPES, QosRule, QosRuleRequest, QosRuleType};
use serde_json::{Map, Value};
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use super::{QosPolicy, get, touch};
use crate::error::ApiError;
use crate::store::Unit;
use crate::time::Timestamp;

const BANDWIDTH_LIMIT: &str = "bandwidth_limit";
const MINIMUM_BANDWIDTH: &str = "minimum_bandwidth";
const MINIMUM_PACKET_RATE: &str = "minimum_packet_rate";
/// The direction that stands for both.
const ANY: &str = "any";

/// A rule with its type.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    kind: &'static QosRuleType,
    rule: QosRule,
}

#[derive(Debug, FromRow)]
struct Row {
    id: String,
    policy_id: String,
    r#type: String,
    amount: u32,
    burst: u32,
    direction: String,
}

/// The rules of these policies, oldest first.
pub(super) async fn of_policies(
    connection: &mut SqliteConnection,
    policies: &str,
) -> Result<Vec<Rule>, ApiError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, policy_id, type, amount, burst, direction FROM qos_rules
         WHERE policy_id IN (SELECT value FROM json_each(?)) ORDER BY created_at, rowid",
    )
    .bind(policies)
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Rule::try_from).collect()
}

/// The rules of this type that a policy has.
pub(crate) async fn list(
    connection: &mut SqliteConnection,
    kind: &'static QosRuleType,
    policy: &str,
) -> Result<Vec<Map<String, Value>>, ApiError> {
    let QosPolicy { rules, .. } = get(connection, policy).await?;
    Ok(rules.iter().filter(|rule| rule.is(kind)).map(Rule::body).collect())
}

/// A rule of this type that a policy has.
pub(crate) async fn show(
    connection: &mut SqliteConnection,
    kind: &'static QosRuleType,
    policy: &str,
    id: &str,
) -> Result<Map<String, Value>, ApiError> {
    let QosPolicy { rules, .. } = get(connection, policy).await?;
    Ok(find(&rules, kind, policy, id)?.body())
}

/// Makes a rule, and tells agents of the policy.
pub(crate) async fn create(
    unit: &mut Unit,
    kind: &'static QosRuleType,
    policy: &str,
    request: QosRuleRequest,
) -> Result<Map<String, Value>, ApiError> {
    let QosPolicy { rules, .. } = get(unit.connection(), policy).await?;
    let direction = request.direction.unwrap_or_else(|| kind.default_direction().to_owned());
    let rule = QosRule {
        id: Uuid::new_v4().to_string(),
        policy: policy.to_owned(),
        amount: request.amount.unwrap_or_default(),
        burst: request.burst.unwrap_or_default(),
        direction,
    };
    let rule = Rule { kind, rule };
    rule.refuse_conflicts(&rules)?;
    sqlx::query(
        "INSERT INTO qos_rules (id, policy_id, type, amount, burst, direction, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(&rule.rule.id)
    .bind(policy)
    .bind(kind.name)
    .bind(rule.rule.amount)
    .bind(rule.rule.burst)
    .bind(&rule.rule.direction)
    .bind(Timestamp::now())
    .execute(unit.connection())
    .await?;
    touch(unit, policy).await?;
    Ok(rule.body())
}

/// Changes a rule, and tells agents of the policy.
pub(crate) async fn update(
    unit: &mut Unit,
    kind: &'static QosRuleType,
    policy: &str,
    id: &str,
    request: QosRuleRequest,
) -> Result<Map<String, Value>, ApiError> {
    let QosPolicy { rules, .. } = get(unit.connection(), policy).await?;
    let mut rule = find(&rules, kind, policy, id)?.clone();
    rule.rule.amount = request.amount.unwrap_or(rule.rule.amount);
    rule.rule.burst = request.burst.unwrap_or(rule.rule.burst);
    rule.rule.direction = request.direction.unwrap_or(rule.rule.direction);
    rule.refuse_conflicts(&rules)?;
    sqlx::query("UPDATE qos_rules SET amount = ?2, burst = ?3, direction = ?4 WHERE id = ?1")
        .bind(id)
        .bind(rule.rule.amount)
        .bind(rule.rule.burst)
        .bind(&rule.rule.direction)
        .execute(unit.connection())
        .await?;
    touch(unit, policy).await?;
    Ok(rule.body())
}

/// Removes a rule, and tells agents of the policy.
pub(crate) async fn delete(
    unit: &mut Unit,
    kind: &'static QosRuleType,
    policy: &str,
    id: &str,
) -> Result<(), ApiError> {
    let QosPolicy { rules, .. } = get(unit.connection(), policy).await?;
    find(&rules, kind, policy, id)?;
    unit.remove("qos_rules", id).await?;
    touch(unit, policy).await
}

fn find<'a>(
    rules: &'a [Rule],
    kind: &'static QosRuleType,
    policy: &str,
    id: &str,
) -> Result<&'a Rule, rest::Error> {
    let not_found =
        || rest::Error::QosRuleNotFound { id: id.to_owned(), policy: policy.to_owned() };
    rules.iter().find(|rule| rule.is(kind) && rule.rule.id == id).ok_or_else(not_found)
}

impl Rule {
    /// The id of its policy.
    pub(super) fn policy(&self) -> &str {
        &self.rule.policy
    }

    /// As the API shows it among those of its policy.
    pub(super) fn body_in_policy(&self) -> Map<String, Value> {
        self.kind.body_in_policy(&self.rule)
    }

    /// As agents are told of it.
    pub(super) fn object(self) -> Wire {
        let Self { kind, rule: QosRule { id, policy: qos_policy_id, amount, burst, direction } } =
            self;
        match kind.name {
            BANDWIDTH_LIMIT => Wire::BandwidthLimit(object::QosBandwidthLimitRule {
                id,
                qos_policy_id,
                max_kbps: Some(amount),
                max_burst_kbps: Some(burst),
                direction,
                ..Default::default()
            }),
            MINIMUM_BANDWIDTH => Wire::MinimumBandwidth(object::QosMinimumBandwidthRule {
                id,
                qos_policy_id,
                min_kbps: Some(amount),
                direction,
                ..Default::default()
            }),
            MINIMUM_PACKET_RATE => Wire::MinimumPacketRate(object::QosMinimumPacketRateRule {
                id,
                qos_policy_id,
                min_kpps: amount,
                direction,
                ..Default::default()
            }),
            "packet_rate_limit" => Wire::PacketRateLimit(object::QosPacketRateLimitRule {
                id,
                qos_policy_id,
                max_kpps: Some(amount),
                max_burst_kpps: Some(burst),
                direction,
                ..Default::default()
            }),
            _ => Wire::DscpMarking(object::QosDscpMarkingRule {
                id,
                qos_policy_id,
                dscp_mark: amount,
                ..Default::default()
            }),
        }
    }

    fn is(&self, kind: &'static QosRuleType) -> bool {
        self.kind.name == kind.name
    }

    fn body(&self) -> Map<String, Value> {
        self.kind.body(&self.rule)
    }

    /// Refuses what goes with none of the other rules of its policy, as Neutron does: a minimum above
    /// the limit, a minimum packet rate for both directions beside one for one, and a second rule of
    /// its type and direction.
    fn refuse_conflicts(&self, rules: &[Self]) -> Result<(), ApiError> {
        let Self { kind, rule } = self;
        let conflict = |value: &dyn ToString, other: &Self, existing: &dyn ToString| {
            ApiError::from(rest::Error::QosRuleParameterConflict {
                value: value.to_string(),
                policy: rule.policy.clone(),
                kind: other.kind.name,
                existing: existing.to_string(),
            })
        };
        for other in rules.iter().filter(|other| other.rule.id != rule.id) {
            let (mine, theirs) = (rule.amount, other.rule.amount);
            let same_direction = rule.direction == other.rule.direction;
            let contradicts = match (kind.name, other.kind.name) {
                (BANDWIDTH_LIMIT, MINIMUM_BANDWIDTH) => same_direction && theirs > mine,
                (MINIMUM_BANDWIDTH, BANDWIDTH_LIMIT) => same_direction && theirs < mine,
                _ => false,
            };
            if contradicts {
                return Err(conflict(&mine, other, &theirs));
            }
            let both = (kind.name, other.kind.name) == (MINIMUM_PACKET_RATE, MINIMUM_PACKET_RATE);
            if both
                && !same_direction
                && [&rule.direction, &other.rule.direction].contains(&&ANY.to_owned())
            {
                return Err(conflict(&rule.direction, other, &other.rule.direction));
            }
        }
        let is_like = |other: &&Self| {
            other.is(kind) && other.rule.id != rule.id && other.rule.direction == rule.direction
        };
        match rules.iter().find(is_like) {
            Some(other) => Err(rest::Error::QosRulesConflict {
                kind: kind.name,
                rule: other.rule.id.clone(),
                policy: rule.policy.clone(),
            }
            .into()),
            None => Ok(()),
        }
    }
}

impl TryFrom<Row> for Rule {
    type Error = ApiError;

    fn try_from(row: Row) -> Result<Self, ApiError> {
        let kind = QOS_RULE_TYPES.iter().find(|kind| kind.name == row.r#type);
        let kind =
            kind.ok_or(ApiError::Broken { what: "type of a QoS rule", value: row.r#type })?;
        let Row { id, policy_id: policy, amount, burst, direction, .. } = row;
        Ok(Self { kind, rule: QosRule { id, policy, amount, burst, direction } })
    }
}
