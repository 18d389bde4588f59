//! QoS policies over real HTTP: what is made, shown, refused and removed, who has which policy, and
//! what agents are told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use neutron::object::{Object, QosRule, ResourceType};
use neutron::rpc::{EventType, Pull};
use serde_json::{Value, json};
use support::{Answer, Fixture, id};

fn policy(fixture: &mut Fixture, values: Value) -> String {
    id(&fixture.make("qos/policies", "policy", values))
}

fn rule(fixture: &mut Fixture, policy: &str, kind: &str, values: Value) -> Value {
    let path = format!("qos/policies/{policy}/{kind}_rules");
    fixture.make(&path, &format!("{kind}_rule"), values)
}

/// What a refused request is told: status, type and message.
fn refusal(answer: &Answer) -> (u16, &str, &str) {
    let error = &answer.body["NeutronError"];
    (answer.status, error["type"].as_str().unwrap(), error["message"].as_str().unwrap())
}

#[test]
fn rules_of_every_type_come_change_and_go() {
    let mut fixture = Fixture::new();
    let gold = policy(&mut fixture, json!({ "name": "gold", "shared": true }));
    let below = format!("qos/policies/{gold}");
    for (kind, asked, made, change) in [
        (
            "bandwidth_limit",
            json!({ "max_kbps": "1000" }),
            json!({ "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress" }),
            json!({ "max_burst_kbps": 800 }),
        ),
        (
            "bandwidth_limit",
            json!({ "max_kbps": 0, "max_burst_kbps": 5, "direction": "ingress" }),
            json!({ "max_kbps": 0, "max_burst_kbps": 5, "direction": "ingress" }),
            json!({ "max_kbps": 2147483647 }),
        ),
        (
            "dscp_marking",
            json!({ "dscp_mark": 26 }),
            json!({ "dscp_mark": 26 }),
            json!({ "dscp_mark": 0 }),
        ),
        (
            "minimum_bandwidth",
            json!({ "min_kbps": 10 }),
            json!({ "min_kbps": 10, "direction": "egress" }),
            json!({ "direction": "ingress" }),
        ),
        (
            "minimum_packet_rate",
            json!({ "min_kpps": 3, "direction": "any" }),
            json!({ "min_kpps": 3, "direction": "any" }),
            json!({ "min_kpps": 4 }),
        ),
        (
            "packet_rate_limit",
            json!({ "max_kpps": 7, "max_burst_kpps": 2 }),
            json!({ "max_kpps": 7, "max_burst_kpps": 2, "direction": "egress" }),
            json!({ "max_burst_kpps": 0 }),
        ),
    ] {
        let mut shown = rule(&mut fixture, &gold, kind, asked);
        let path = format!("{below}/{kind}_rules/{}", id(&shown));
        assert_eq!(fixture.api.get(&path).body, json!({ format!("{kind}_rule"): shown }));
        let mut expected = made.clone();
        expected["id"] = shown["id"].clone();
        assert_eq!(shown, expected);
        support::extend(&mut shown, change.clone());
        let changed = fixture.api.put(&path, json!({ format!("{kind}_rule"): change }));
        assert_eq!(changed.body, json!({ format!("{kind}_rule"): shown }), "{kind}");

        // The policy shows it with its type.
        let of_policy = fixture.api.get(&below).body["policy"]["rules"].clone();
        support::extend(&mut shown, json!({ "type": kind, "qos_policy_id": gold }));
        assert!(of_policy.as_array().unwrap().contains(&shown), "{of_policy}");
        let listed = fixture.api.get(&format!("{below}/{kind}_rules?fields=id")).body;
        let listed = listed[format!("{kind}_rules")].as_array().unwrap().clone();
        assert!(listed.contains(&json!({ "id": shown["id"] })), "{listed:?}");
    }
    let rules = fixture.api.get(&below).body["policy"]["rules"].as_array().unwrap().clone();
    assert_eq!(rules.len(), 6);
    // A rule is found by its type only.
    let [mark] = rules.iter().filter(|rule| rule["type"] == "dscp_marking").collect::<Vec<_>>()[..]
    else {
        panic!("{rules:?}")
    };
    let wrong = fixture.api.get(&format!("{below}/packet_rate_limit_rules/{}", id(mark)));
    assert_eq!(refusal(&wrong).1, "QosRuleNotFound");
    for rule in &rules {
        let path = format!("{below}/{}_rules/{}", rule["type"].as_str().unwrap(), id(rule));
        assert_eq!(fixture.api.delete(&path).status, 204);
        assert_eq!(fixture.api.get(&path).status, 404);
    }
    assert_eq!(fixture.api.get(&below).body["policy"]["rules"], json!([]));
}

#[test]
fn rules_that_cannot_be_are_refused() {
    let mut fixture = Fixture::new();
    let gold = policy(&mut fixture, json!({}));
    let below = format!("qos/policies/{gold}");
    rule(&mut fixture, &gold, "bandwidth_limit", json!({ "max_kbps": 100 }));
    let marked = rule(&mut fixture, &gold, "dscp_marking", json!({ "dscp_mark": 8 }));
    let least = json!({ "min_kbps": 50, "direction": "ingress" });
    let least = rule(&mut fixture, &gold, "minimum_bandwidth", least);
    rule(&mut fixture, &gold, "minimum_packet_rate", json!({ "min_kpps": 1 }));
    for (kind, values, status, says) in [
        ("bandwidth_limit", json!({}), 400, "Required attribute 'max_kbps' not specified"),
        ("bandwidth_limit", json!({ "max_kbps": -1 }), 400, "'-1' is too small"),
        ("bandwidth_limit", json!({ "max_kbps": 2147483648_u32 }), 400, "is too large"),
        ("bandwidth_limit", json!({ "max_kbps": "fast" }), 400, "'fast' is not an integer"),
        ("bandwidth_limit", json!({ "max_kbps": 1, "direction": "any" }), 400, "'any' is not in"),
        ("bandwidth_limit", json!({ "max_kbps": 1, "min_kbps": 1 }), 400, "'min_kbps'"),
        ("dscp_marking", json!({ "dscp_mark": 9 }), 400, "'9' is not in [0, 8, 10"),
        ("minimum_packet_rate", json!({ "min_kpps": 1, "direction": "up" }), 400, "'up' is not"),
        ("dscp_marking", json!({ "dscp_mark": 10 }), 409, "Rule dscp_marking conflicts with rule"),
        ("bandwidth_limit", json!({ "max_kbps": 9 }), 409, "Rule bandwidth_limit conflicts"),
        (
            "bandwidth_limit",
            json!({ "max_kbps": 49, "direction": "ingress" }),
            409,
            "as the existing rule of type minimum_bandwidth has value 50",
        ),
        ("minimum_bandwidth", json!({ "min_kbps": 101 }), 409, "bandwidth_limit has value 100"),
        (
            "minimum_packet_rate",
            json!({ "min_kpps": 1, "direction": "any" }),
            409,
            "Unable to add the rule with value any",
        ),
    ] {
        let path = format!("{below}/{kind}_rules");
        let answer = fixture.api.post(&path, json!({ format!("{kind}_rule"): values }));
        let (is, _, message) = refusal(&answer);
        assert_eq!(is, status, "{kind} {values}: {message}");
        assert!(message.contains(says), "{kind} {values}: {message}");
    }
    // What is changed must go with the others, too.
    let path = format!("{below}/minimum_bandwidth_rules/{}", id(&least));
    let moved = json!({ "minimum_bandwidth_rule": { "direction": "egress", "min_kbps": 101 } });
    assert_eq!(refusal(&fixture.api.put(&path, moved)).1, "QoSRuleParameterConflict");
    let path = format!("{below}/dscp_marking_rules/{}", id(&marked));
    let same = json!({ "dscp_marking_rule": { "dscp_mark": 8 } });
    assert_eq!(fixture.api.put(&path, same).status, 200);

    let nowhere = "qos/policies/0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e01";
    let answer = fixture.api.get(nowhere);
    assert_eq!(refusal(&answer).1, "QosPolicyNotFound");
    let answer = fixture.api.get(&format!("{nowhere}/dscp_marking_rules"));
    assert_eq!(refusal(&answer).1, "QosPolicyNotFound");
}

#[test]
fn a_project_has_one_default_policy_for_its_new_networks() {
    let mut fixture = Fixture::new();
    let before = fixture.network(json!({}));
    let gold = policy(&mut fixture, json!({ "is_default": true }));
    let answer = fixture.api.post("qos/policies", json!({ "policy": { "is_default": true } }));
    assert_eq!(
        refusal(&answer),
        (409, "QoSPolicyDefaultAlreadyExists", "A default QoS policy exists for project default.")
    );
    let other = policy(&mut fixture, json!({ "is_default": true, "project_id": "other" }));
    let silver = policy(&mut fixture, json!({}));
    let path = format!("qos/policies/{silver}");
    let default = |is: bool| json!({ "policy": { "is_default": is } });
    assert_eq!(fixture.api.put(&path, default(true)).status, 409);
    // It may be said again of the one that is.
    let path = format!("qos/policies/{gold}");
    assert_eq!(fixture.api.put(&path, default(true)).status, 200);

    let of = |fixture: &mut Fixture, network: &str| {
        fixture.api.get(&format!("networks/{network}")).body["network"]["qos_policy_id"].clone()
    };
    assert_eq!(of(&mut fixture, &before), Value::Null);
    let by_default = fixture.network(json!({}));
    assert_eq!(of(&mut fixture, &by_default), json!(gold));
    let own = fixture.network(json!({ "qos_policy_id": silver }));
    assert_eq!(of(&mut fixture, &own), json!(silver));
    let foreign = fixture.network(json!({ "project_id": "other" }));
    assert_eq!(of(&mut fixture, &foreign), json!(other));
    assert_eq!(fixture.api.put(&path, default(false)).status, 200);
    let path = format!("networks/{by_default}");
    let without = json!({ "network": { "qos_policy_id": null } });
    assert_eq!(fixture.api.put(&path, without).body["network"]["qos_policy_id"], Value::Null);
}

#[test]
fn ports_have_the_policy_of_their_own_and_show_that_of_their_network() {
    let mut fixture = Fixture::new();
    let gold = policy(&mut fixture, json!({ "name": "gold" }));
    let silver = policy(&mut fixture, json!({ "name": "silver" }));
    let network = fixture.network(json!({ "qos_policy_id": silver }));
    let port = fixture.port(&network, json!({ "qos_policy_id": gold }));
    assert_eq!(
        (&port["qos_policy_id"], &port["qos_network_policy_id"]),
        (&json!(gold), &json!(silver))
    );
    for (kind, path) in
        [("port", format!("ports/{}", id(&port))), ("network", format!("networks/{network}"))]
    {
        let unknown = json!({ kind: { "qos_policy_id": "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e01" } });
        let answer = fixture.api.put(&path, unknown);
        assert_eq!(refusal(&answer).1, "QosPolicyNotFound");
        let answer = fixture.api.put(&path, json!({ kind: { "qos_policy_id": "gold" } }));
        assert_eq!(answer.status, 400);
    }
    for (policy, says) in [
        (&gold, format!("QoS Policy {gold} is used by port {}.", id(&port))),
        (&silver, format!("QoS Policy {silver} is used by network {network}.")),
    ] {
        let answer = fixture.api.delete(&format!("qos/policies/{policy}"));
        assert_eq!(refusal(&answer), (409, "QosPolicyInUse", says.as_str()));
    }
    let path = format!("ports/{}", id(&port));
    let renamed = fixture.api.put(&path, json!({ "port": { "name": "web" } }));
    assert_eq!(renamed.body["port"]["qos_policy_id"], json!(gold), "what is not said stays");
    let without = json!({ "port": { "qos_policy_id": null } });
    assert_eq!(fixture.api.put(&path, without).body["port"]["qos_policy_id"], Value::Null);
    assert_eq!(fixture.api.delete(&format!("qos/policies/{gold}")).status, 204);
}

#[test]
fn agents_hear_of_policies_and_pull_them() {
    let mut fixture = Fixture::new();
    let gold = policy(&mut fixture, json!({ "name": "gold" }));
    let limit = rule(&mut fixture, &gold, "bandwidth_limit", json!({ "max_kbps": 100 }));
    let network = fixture.network(json!({}));
    let port = id(&fixture.port(&network, json!({})));
    let path = format!("qos/policies/{gold}");
    let mut client = fixture.client();
    let mut agent = fixture.agent("node1");

    let pull = |id: &str| Pull { resource: ResourceType::QosPolicy, id: id.to_owned() };
    let Some(Object::QosPolicy(pulled)) = agent.call(pull(&gold)) else { panic!("no policy") };
    let [QosRule::BandwidthLimit(rule)] = pulled.rules.as_slice() else { panic!("{pulled:?}") };
    assert_eq!((rule.max_kbps, rule.direction.as_str()), (Some(100), "egress"));
    assert_eq!((&rule.id, &rule.qos_policy_id), (&id(&limit), &gold));
    assert_eq!(agent.call(pull(&port)), None);

    let rule = format!("{path}/bandwidth_limit_rules/{}", id(&limit));
    client.put(&rule, json!({ "bandwidth_limit_rule": { "max_kbps": 200 } }));
    let (event, objects) = agent.hear();
    let [Object::QosPolicy(pushed)] = objects.as_slice() else { panic!("{objects:?}") };
    let [QosRule::BandwidthLimit(rule)] = pushed.rules.as_slice() else { panic!("{pushed:?}") };
    assert_eq!((event, rule.max_kbps), (EventType::Updated, Some(200)));
    assert!(pushed.revision_number > pulled.revision_number);

    // Who has it is told with the network and with the port.
    client.put(&format!("networks/{network}"), json!({ "network": { "qos_policy_id": gold } }));
    let (_, objects) = agent.hear();
    let [Object::Network(told)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!(told.qos_policy_id.as_ref(), Some(&gold));
    client.put(&format!("ports/{port}"), json!({ "port": { "qos_policy_id": gold } }));
    let (_, objects) = agent.hear();
    let [Object::Port(told)] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!(told.qos_policy_id.as_ref(), Some(&gold));
    assert_eq!(told.qos_network_policy_id.as_ref(), Some(&gold));

    let silver = client.post("qos/policies", json!({ "policy": {} }));
    assert_eq!(agent.heard(), Vec::<String>::new(), "nobody has it yet");
    let silver = format!("qos/policies/{}", id(&silver.body["policy"]));
    assert_eq!(client.delete(&silver).status, 204);
    assert_eq!(agent.heard(), ["Deleted QosPolicy 0"]);
}

#[test]
fn the_types_say_what_they_take() {
    let mut fixture = Fixture::new();
    let listed = fixture.api.get("qos/rule-types").body;
    let names: Vec<_> =
        listed["rule_types"].as_array().unwrap().iter().map(|it| it["type"].clone()).collect();
    assert_eq!(names.len(), 5);
    for name in names {
        let shown = fixture.api.get(&format!("qos/rule-types/{}", name.as_str().unwrap())).body;
        assert_eq!(shown["rule_type"]["type"], name);
        assert_eq!(shown["rule_type"]["drivers"][0]["name"], "openvswitch");
    }
    assert_eq!(refusal(&fixture.api.get("qos/rule-types/colour")).0, 404);
}
