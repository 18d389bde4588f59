//! What an agent asked of the server, and how long it waited: messages to spans of time. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Map, Value};

use super::exchange::{Message, Said};

/// Everything that was asked and told so far.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    calls: Vec<Call>,
    by_id: BTreeMap<String, usize>,
    /// When each rule was first told of.
    rules: BTreeMap<String, Instant>,
}

/// A call of the agent.
#[derive(Debug)]
struct Call {
    purpose: Purpose,
    /// The ports that are reported up with it.
    up: Vec<String>,
    asked: Instant,
    answered: Option<Instant>,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To learn what there is.
    Fetch,
    /// To tell of ports.
    Report,
    /// To be taken for alive: nobody waits for the answer.
    Heartbeat,
    /// Something else that is waited for.
    Other,
}

impl Timeline {
    /// Takes note of a message.
    pub(super) fn take(&mut self, message: Message) {
        let Message { at, said } = message;
        match said {
            Said::Call { id, method, args } => {
                self.by_id.insert(id, self.calls.len());
                let purpose = Purpose::of(&method);
                let up = texts(&args, "devices_up");
                self.calls.push(Call { purpose, up, asked: at, answered: None });
            }
            Said::Answer { id } => {
                let call = self.by_id.remove(&id).and_then(|index| self.calls.get_mut(index));
                if let Some(call) = call {
                    call.answered = Some(at);
                }
            }
            Said::Told { args, .. } => {
                for rule in rules(&args) {
                    self.rules.entry(rule).or_insert(at);
                }
            }
        }
    }

    /// How many of the ports the server has taken note of as up.
    pub(super) fn reported(&self) -> usize {
        let answered = self.calls.iter().filter(|call| call.answered.is_some());
        answered.flat_map(|call| &call.up).collect::<BTreeSet<_>>().len()
    }

    /// How many calls there were for this.
    pub(super) fn count(&self, purpose: Purpose) -> usize {
        self.calls.iter().filter(|call| call.purpose == purpose).count()
    }

    /// When the last call for this was made or answered, if every one is answered.
    pub(super) fn idle_since(&self, purpose: Purpose) -> Option<Instant> {
        let calls = self.calls.iter().filter(|call| call.purpose == purpose);
        let answers: Option<Vec<Instant>> = calls.map(|call| call.answered).collect();
        answers?.into_iter().max()
    }

    /// From the first call for this to the last answer.
    pub(super) fn span(&self, purpose: Purpose) -> Duration {
        let calls = || self.calls.iter().filter(|call| call.purpose == purpose);
        let first = calls().map(|call| call.asked).min();
        let last = calls().filter_map(|call| call.answered).max();
        let span = first.zip(last).map(|(first, last)| last.saturating_duration_since(first));
        span.unwrap_or_default()
    }

    /// When the last port was reported.
    pub(super) fn last_report(&self) -> Option<Instant> {
        let reports = self.calls.iter().filter(|call| !call.up.is_empty());
        reports.filter_map(|call| call.answered).max()
    }

    /// How long the agent waited for at least one answer in this time, heartbeats left out.
    pub(super) fn waited(&self, from: Instant, until: Instant) -> Duration {
        let mut spans: Vec<(Instant, Instant)> = self
            .calls
            .iter()
            .filter(|call| call.purpose != Purpose::Heartbeat)
            .map(|call| (call.asked.max(from), call.answered.unwrap_or(until).min(until)))
            .collect();
        spans.sort_unstable();
        let (mut waited, mut covered) = (Duration::ZERO, from);
        for (asked, answered) in spans {
            waited += answered.saturating_duration_since(asked.max(covered));
            covered = covered.max(answered);
        }
        waited
    }

    /// When the server has told of this rule.
    pub(super) fn told_of(&self, rule: &str) -> Option<Instant> {
        self.rules.get(rule).copied()
    }
}

impl Purpose {
    fn of(method: &str) -> Self {
        match method {
            "report_state" => Self::Heartbeat,
            "update_device_list" | "update_device_up" | "update_device_down" => Self::Report,
            "bulk_pull" | "pull" | "get_network_details" => Self::Fetch,
            _ if method.starts_with("get_device") || method.starts_with("security_group") => {
                Self::Fetch
            }
            _ => Self::Other,
        }
    }
}

/// The rules that a push is about.
fn rules(args: &Map<String, Value>) -> Vec<String> {
    let objects = args.get("resource_list").and_then(Value::as_array);
    let is_rule = |object: &&Value| object["versioned_object.name"] == "SecurityGroupRule";
    let rules = objects.into_iter().flatten().filter(is_rule);
    let ids = rules.filter_map(|rule| rule.pointer("/versioned_object.data/id")?.as_str());
    ids.map(str::to_owned).collect()
}

fn texts(args: &Map<String, Value>, name: &str) -> Vec<String> {
    let values = args.get(name).and_then(Value::as_array);
    let texts = values.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_overlaps_is_waited_for_once_and_heartbeats_never() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut timeline = Timeline::default();
        let mut call = |id: &str, method: &str, args: Value, asked, answered| {
            let (id, method) = (id.to_owned(), method.to_owned());
            let args = args.as_object().unwrap().clone();
            let answer = Said::Answer { id: id.clone() };
            timeline.take(Message { at: at(asked), said: Said::Call { id, method, args } });
            if let Some(answered) = answered {
                timeline.take(Message { at: at(answered), said: answer });
            }
        };
        call("1", "has_alive_neutron_server", json!({}), 5, Some(10));
        call("2", "report_state", json!({}), 10, Some(100));
        call("3", "bulk_pull", json!({}), 20, Some(40));
        call("4", "bulk_pull", json!({}), 30, Some(50));
        call("5", "update_device_list", json!({ "devices_up": ["a", "b"] }), 60, Some(70));
        call("6", "update_device_list", json!({ "devices_up": ["b", "c"] }), 65, None);

        assert_eq!(timeline.reported(), 2);
        assert_eq!(timeline.count(Purpose::Fetch), 2);
        assert_eq!(timeline.span(Purpose::Fetch), Duration::from_millis(30));
        assert_eq!(timeline.idle_since(Purpose::Fetch), Some(at(50)));
        assert_eq!(timeline.idle_since(Purpose::Report), None);
        assert_eq!(timeline.last_report(), Some(at(70)));
        assert_eq!(timeline.waited(start, at(80)), Duration::from_millis(5 + 30 + 20));
        assert_eq!(timeline.waited(at(25), at(65)), Duration::from_millis(25 + 5));
    }

    #[test]
    fn a_rule_is_known_from_the_first_message_on() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut timeline = Timeline::default();
        let args = json!({ "event_type": "updated", "resource_list": [
            { "versioned_object.name": "SecurityGroupRule", "versioned_object.data": { "id": "r" } },
            { "versioned_object.name": "Port", "versioned_object.data": { "id": "p" } },
        ]});
        for at in [start, later] {
            let args = args.as_object().unwrap().clone();
            timeline.take(Message { at, said: Said::Told { method: "push".to_owned(), args } });
        }
        assert_eq!(timeline.told_of("r"), Some(start));
        assert_eq!(timeline.told_of("p"), None);
    }
}
