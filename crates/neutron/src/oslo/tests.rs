//! Bodies and topologies as stock Neutron 29.0.0 had them on the wire, with the ids changed.

use std::time::Duration;

use expect_test::{Expect, expect};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::rpc::{Failure, HasAliveNeutronServer, Message, Request, Responder};

const CALL: &str = r#"{"oslo.version": "2.0", "oslo.message": "{\"method\": \"has_alive_neutron_server\", \"args\": {}, \"version\": \"1.2\", \"_msg_id\": \"00000000000000000000000000000001\", \"_reply_q\": \"reply_00000000000000000000000000000002\", \"_timeout\": null, \"_unique_id\": \"00000000000000000000000000000003\", \"_context_user\": null, \"_context_is_admin\": true, \"_context_roles\": [\"member\", \"reader\", \"admin\"]}"}"#;
const REPLY: &str = r#"{"oslo.version": "2.0", "oslo.message": "{\"result\": true, \"failure\": null, \"ending\": true, \"_msg_id\": \"00000000000000000000000000000001\", \"_unique_id\": \"00000000000000000000000000000004\"}"}"#;
const FAILURE: &str = r#"{"oslo.version": "2.0", "oslo.message": "{\"result\": null, \"failure\": \"{\\\"class\\\": \\\"NoSuchMethod\\\", \\\"module\\\": \\\"oslo_messaging.rpc.dispatcher\\\", \\\"message\\\": \\\"Endpoint does not support RPC method no_such_method\\\", \\\"tb\\\": [], \\\"args\\\": [\\\"Endpoint does not support RPC method no_such_method\\\"], \\\"kwargs\\\": {}}\", \"ending\": true, \"_msg_id\": \"00000000000000000000000000000001\", \"_unique_id\": \"00000000000000000000000000000004\"}"}"#;

fn simple(n: u128) -> String {
    Uuid::from_u128(n).simple().to_string()
}

fn message() -> Message {
    let (responder, _) = Responder::new();
    Request::HasAliveNeutronServer(HasAliveNeutronServer, responder).into_message().unwrap().0
}

fn reply_to() -> ReplyTo {
    ReplyTo { msg_id: simple(1), queue: format!("reply_{}", simple(2)) }
}

/// What is in the envelope.
fn content(body: &[u8]) -> Value {
    let envelope: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(envelope["oslo.version"], "2.0");
    assert_eq!(envelope.as_object().unwrap().len(), 2);
    serde_json::from_str(envelope["oslo.message"].as_str().unwrap()).unwrap()
}

#[test]
fn a_recorded_call_is_read() {
    let call = Invocation::read(CALL.as_bytes()).unwrap();
    let unique_id = Some(simple(3));
    assert_eq!(call, Invocation { message: message(), reply_to: Some(reply_to()), unique_id });
}

#[test]
fn a_call_has_the_keys_of_a_stock_call() {
    let body = call(message(), &reply_to(), Uuid::from_u128(3));
    expect![[r#"
        {
          "_context_auth_token": null,
          "_context_can_set_project_id": true,
          "_context_domain": null,
          "_context_global_request_id": null,
          "_context_has_global_access": true,
          "_context_is_admin": true,
          "_context_is_admin_project": true,
          "_context_project": null,
          "_context_project_domain": null,
          "_context_project_id": null,
          "_context_project_name": null,
          "_context_read_only": false,
          "_context_request_id": "req-00000000-0000-0000-0000-000000000003",
          "_context_resource_uuid": null,
          "_context_roles": [
            "admin",
            "member",
            "reader"
          ],
          "_context_show_deleted": false,
          "_context_system_scope": null,
          "_context_user": null,
          "_context_user_domain": null,
          "_context_user_id": null,
          "_context_user_identity": "- - - - -",
          "_context_user_name": null,
          "_msg_id": "00000000000000000000000000000001",
          "_reply_q": "reply_00000000000000000000000000000002",
          "_timeout": null,
          "_unique_id": "00000000000000000000000000000003",
          "args": {},
          "method": "has_alive_neutron_server",
          "version": "1.2"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&content(&body)).unwrap());
    assert_eq!(Invocation::read(&body).unwrap(), Invocation::read(CALL.as_bytes()).unwrap());
}

#[test]
fn a_cast_says_of_no_answer() {
    let body = cast(message(), Uuid::from_u128(3));
    let content = content(&body);
    assert!(["_msg_id", "_reply_q", "_timeout"].iter().all(|key| content.get(key).is_none()));
    assert_eq!(Invocation::read(&body).unwrap().reply_to, None);
}

#[test]
fn answers_are_written_as_recorded_and_read() {
    let failure =
        Failure::new("NoSuchMethod", "Endpoint does not support RPC method no_such_method");
    for (recorded, result) in [(REPLY, Ok(json!(true))), (FAILURE, Err(failure))] {
        let written = reply(&simple(1), Uuid::from_u128(4), result.clone()).unwrap();
        let mut said = content(&written);
        let mut wanted = content(recorded.as_bytes());
        // The order of keys in the text is nobody's concern.
        for content in [&mut said, &mut wanted] {
            if let Some(text) = content["failure"].as_str() {
                content["failure"] = serde_json::from_str(text).unwrap();
            }
        }
        assert_eq!(said, wanted);
        let unique_id = Some(simple(4));
        let wanted = Reply { msg_id: simple(1), unique_id, ending: true, result };
        assert_eq!(Reply::read(recorded.as_bytes()).unwrap(), wanted);
        assert_eq!(Reply::read(&written).unwrap(), wanted);
    }
}

/// A stock client raises the exception itself where it finds the class in the module.
#[test]
fn failures_name_a_module_that_has_the_class() {
    let module = |class: &str| {
        let body = reply("", Uuid::nil(), Err(Failure::new(class, "because"))).unwrap();
        let failure = content(&body)["failure"].as_str().unwrap().to_owned();
        let failure: Value = serde_json::from_str(&failure).unwrap();
        assert_eq!((&failure["class"], &failure["message"]), (&json!(class), &json!("because")));
        (failure["module"].as_str().unwrap().to_owned(), failure["args"].clone())
    };
    assert_eq!(module("TypeError"), ("builtins".to_owned(), json!(["because"])));
    let dispatcher = "oslo_messaging.rpc.dispatcher".to_owned();
    assert_eq!(module("UnsupportedVersion"), (dispatcher, json!(["because"])));
    assert_eq!(module("PortNotFound"), ("neutron_lib.exceptions".to_owned(), json!([])));
}

#[test]
fn what_is_missing_has_a_default_and_what_is_unknown_is_passed_over() {
    // A message without an envelope.
    let bare = Invocation::read(br#"{"method": "push", "other": 1}"#).unwrap();
    assert_eq!((bare.message.method.as_str(), bare.message.version.as_str()), ("push", "1.0"));
    assert_eq!((bare.reply_to, bare.unique_id, bare.message.args.len()), (None, None, 0));
    // An answer of which nothing is said but whose it is: a sign of life, at most.
    let silent = Reply::read(br#"{"_msg_id": "1"}"#).unwrap();
    assert_eq!((silent.ending, silent.result), (false, Ok(Value::Null)));
    // A failure in another form is what it says.
    let odd = Reply::read(br#"{"_msg_id": "1", "failure": "no", "ending": true}"#).unwrap();
    assert_eq!(odd.result, Err(Failure::new("RemoteError", "no")));
}

#[test]
fn bodies_that_are_no_message_are_refused() {
    let read = |body: &str| Invocation::read(body.as_bytes()).unwrap_err().to_string();
    let version = r#"{"oslo.version": "3.0", "oslo.message": "{}"}"#;
    assert_eq!(read(version), "the envelope has version 3.0, 2.0 is spoken");
    let number = r#"{"oslo.version": 2, "oslo.message": "{}"}"#;
    assert_eq!(read(number), "the envelope has version 2, 2.0 is spoken");
    for body in ["", "{", "[]", "\"text\"", "{\"oslo.version\": \"2.0\"", "\u{0}"] {
        assert!(read(body).starts_with("the envelope"), "{body}");
    }
    let text = r#"{"oslo.version": "2.0", "oslo.message": "{\"method\": 1}"}"#;
    assert_eq!(read(text), "the message cannot be read");
    // Cut anywhere, it is no message any more.
    for end in 0..CALL.len() {
        assert!(Invocation::read(&CALL.as_bytes()[..end]).is_err(), "{end}");
    }
}

fn check(topology: &Topology, expect: Expect) {
    use std::fmt::Write;
    let mut text = String::new();
    let arguments = |arguments: &std::collections::BTreeMap<&str, Argument>| {
        arguments.iter().map(|(name, value)| format!(" {name}={value:?}")).collect::<String>()
    };
    let flags = |durable, auto_delete| match (durable, auto_delete) {
        (false, false) => "",
        (true, false) => " durable",
        (false, true) => " auto-delete",
        (true, true) => " durable auto-delete",
    };
    for Exchange { name, kind, durable, auto_delete } in &topology.exchanges {
        let flags = flags(*durable, *auto_delete);
        writeln!(text, "exchange {name} {kind:?}{flags}").unwrap();
    }
    for queue in &topology.queues {
        let Queue { name, durable, auto_delete, own, .. } = queue;
        let (flags, own) = (flags(*durable, *auto_delete), if *own { " own" } else { "" });
        writeln!(text, "queue {name}{flags}{own}{}", arguments(&queue.arguments)).unwrap();
    }
    for Binding { queue, exchange, routing_key } in &topology.bindings {
        writeln!(text, "bind {queue} to {exchange} by {routing_key}").unwrap();
    }
    for consumed in &topology.consumed {
        writeln!(text, "read {}{}", consumed.queue, arguments(&consumed.arguments)).unwrap();
    }
    writeln!(text, "replies {:?}", topology.reply_queue).unwrap();
    expect.assert_eq(&text);
}

fn of_agent(options: &QueueOptions, interests: Interests) -> Topology {
    let mut count = 0;
    agent(options, "host-b", interests, || {
        count += 1;
        format!("u{count}")
    })
}

/// Of objects only ports, of the rest all.
fn of_ports(options: &QueueOptions) -> Topology {
    let mut topology = of_agent(options, Interests { tunnels: true, population: true });
    let other = |name: &str| name.starts_with("neutron-vo-") && !name.contains("-Port-1.11");
    topology.exchanges.retain(|exchange| !other(&exchange.name));
    topology.queues.retain(|queue| !other(&queue.name));
    topology.bindings.retain(|binding| !other(&binding.queue));
    topology.consumed.retain(|consumed| !other(&consumed.queue));
    topology
}

#[test]
fn an_agent_by_default() {
    let all = Interests { tunnels: true, population: true };
    check(
        &of_agent(&QueueOptions::neutron(), all),
        expect![[r#"
            exchange neutron Topic
            exchange q-agent-notifier-tunnel-update_fanout Fanout auto-delete
            exchange q-agent-notifier-tunnel-delete_fanout Fanout auto-delete
            exchange q-agent-notifier-l2population-update_fanout Fanout auto-delete
            exchange neutron-vo-Port-1.9_fanout Fanout auto-delete
            exchange neutron-vo-Port-1.10_fanout Fanout auto-delete
            exchange neutron-vo-Port-1.11_fanout Fanout auto-delete
            exchange neutron-vo-Network-1.1_fanout Fanout auto-delete
            exchange neutron-vo-Network-1.2_fanout Fanout auto-delete
            exchange neutron-vo-Network-1.3_fanout Fanout auto-delete
            exchange neutron-vo-Subnet-1.1_fanout Fanout auto-delete
            exchange neutron-vo-Subnet-1.2_fanout Fanout auto-delete
            exchange neutron-vo-SecurityGroup-1.6_fanout Fanout auto-delete
            exchange neutron-vo-SecurityGroupRule-1.3_fanout Fanout auto-delete
            exchange neutron-vo-AddressGroup-1.2_fanout Fanout auto-delete
            exchange neutron-vo-QosPolicy-1.10_fanout Fanout auto-delete
            exchange neutron-vo-Trunk-1.1_fanout Fanout auto-delete
            exchange neutron-vo-SubPort-1.0_fanout Fanout auto-delete
            queue reply_u1 own x-expires=Number(1800000)
            queue q-agent-notifier-tunnel-update_fanout_u2 own x-expires=Number(1800000)
            queue q-agent-notifier-tunnel-delete_fanout_u3 own x-expires=Number(1800000)
            queue q-agent-notifier-l2population-update.host-b
            queue q-agent-notifier-l2population-update_fanout_u4 own x-expires=Number(1800000)
            queue neutron-vo-Port-1.9_fanout_u5 own x-expires=Number(1800000)
            queue neutron-vo-Port-1.10_fanout_u6 own x-expires=Number(1800000)
            queue neutron-vo-Port-1.11_fanout_u7 own x-expires=Number(1800000)
            queue neutron-vo-Network-1.1_fanout_u8 own x-expires=Number(1800000)
            queue neutron-vo-Network-1.2_fanout_u9 own x-expires=Number(1800000)
            queue neutron-vo-Network-1.3_fanout_u10 own x-expires=Number(1800000)
            queue neutron-vo-Subnet-1.1_fanout_u11 own x-expires=Number(1800000)
            queue neutron-vo-Subnet-1.2_fanout_u12 own x-expires=Number(1800000)
            queue neutron-vo-SecurityGroup-1.6_fanout_u13 own x-expires=Number(1800000)
            queue neutron-vo-SecurityGroupRule-1.3_fanout_u14 own x-expires=Number(1800000)
            queue neutron-vo-AddressGroup-1.2_fanout_u15 own x-expires=Number(1800000)
            queue neutron-vo-QosPolicy-1.10_fanout_u16 own x-expires=Number(1800000)
            queue neutron-vo-Trunk-1.1_fanout_u17 own x-expires=Number(1800000)
            queue neutron-vo-SubPort-1.0_fanout_u18 own x-expires=Number(1800000)
            bind q-agent-notifier-tunnel-update_fanout_u2 to q-agent-notifier-tunnel-update_fanout by q-agent-notifier-tunnel-update
            bind q-agent-notifier-tunnel-delete_fanout_u3 to q-agent-notifier-tunnel-delete_fanout by q-agent-notifier-tunnel-delete
            bind q-agent-notifier-l2population-update.host-b to neutron by q-agent-notifier-l2population-update.host-b
            bind q-agent-notifier-l2population-update_fanout_u4 to q-agent-notifier-l2population-update_fanout by q-agent-notifier-l2population-update
            bind neutron-vo-Port-1.9_fanout_u5 to neutron-vo-Port-1.9_fanout by neutron-vo-Port-1.9
            bind neutron-vo-Port-1.10_fanout_u6 to neutron-vo-Port-1.10_fanout by neutron-vo-Port-1.10
            bind neutron-vo-Port-1.11_fanout_u7 to neutron-vo-Port-1.11_fanout by neutron-vo-Port-1.11
            bind neutron-vo-Network-1.1_fanout_u8 to neutron-vo-Network-1.1_fanout by neutron-vo-Network-1.1
            bind neutron-vo-Network-1.2_fanout_u9 to neutron-vo-Network-1.2_fanout by neutron-vo-Network-1.2
            bind neutron-vo-Network-1.3_fanout_u10 to neutron-vo-Network-1.3_fanout by neutron-vo-Network-1.3
            bind neutron-vo-Subnet-1.1_fanout_u11 to neutron-vo-Subnet-1.1_fanout by neutron-vo-Subnet-1.1
            bind neutron-vo-Subnet-1.2_fanout_u12 to neutron-vo-Subnet-1.2_fanout by neutron-vo-Subnet-1.2
            bind neutron-vo-SecurityGroup-1.6_fanout_u13 to neutron-vo-SecurityGroup-1.6_fanout by neutron-vo-SecurityGroup-1.6
            bind neutron-vo-SecurityGroupRule-1.3_fanout_u14 to neutron-vo-SecurityGroupRule-1.3_fanout by neutron-vo-SecurityGroupRule-1.3
            bind neutron-vo-AddressGroup-1.2_fanout_u15 to neutron-vo-AddressGroup-1.2_fanout by neutron-vo-AddressGroup-1.2
            bind neutron-vo-QosPolicy-1.10_fanout_u16 to neutron-vo-QosPolicy-1.10_fanout by neutron-vo-QosPolicy-1.10
            bind neutron-vo-Trunk-1.1_fanout_u17 to neutron-vo-Trunk-1.1_fanout by neutron-vo-Trunk-1.1
            bind neutron-vo-SubPort-1.0_fanout_u18 to neutron-vo-SubPort-1.0_fanout by neutron-vo-SubPort-1.0
            read reply_u1
            read q-agent-notifier-tunnel-update_fanout_u2
            read q-agent-notifier-tunnel-delete_fanout_u3
            read q-agent-notifier-l2population-update.host-b
            read q-agent-notifier-l2population-update_fanout_u4
            read neutron-vo-Port-1.9_fanout_u5
            read neutron-vo-Port-1.10_fanout_u6
            read neutron-vo-Port-1.11_fanout_u7
            read neutron-vo-Network-1.1_fanout_u8
            read neutron-vo-Network-1.2_fanout_u9
            read neutron-vo-Network-1.3_fanout_u10
            read neutron-vo-Subnet-1.1_fanout_u11
            read neutron-vo-Subnet-1.2_fanout_u12
            read neutron-vo-SecurityGroup-1.6_fanout_u13
            read neutron-vo-SecurityGroupRule-1.3_fanout_u14
            read neutron-vo-AddressGroup-1.2_fanout_u15
            read neutron-vo-QosPolicy-1.10_fanout_u16
            read neutron-vo-Trunk-1.1_fanout_u17
            read neutron-vo-SubPort-1.0_fanout_u18
            replies Some("reply_u1")
        "#]],
    );
}

#[test]
fn an_agent_without_tunnels_hears_nothing_of_them() {
    let topology = of_agent(&QueueOptions::neutron(), Interests::default());
    assert!(topology.queues.iter().all(|queue| !queue.name.contains("q-agent-notifier")));
    let topology =
        of_agent(&QueueOptions::neutron(), Interests { tunnels: true, population: false });
    assert!(topology.queues.iter().all(|queue| !queue.name.contains("l2population")));
}

#[test]
fn a_server_by_default() {
    check(
        &server(&QueueOptions::neutron()),
        expect![[r#"
            exchange neutron Topic
            queue q-plugin
            queue q-reports-plugin
            queue trunk
            bind q-plugin to neutron by q-plugin
            bind q-reports-plugin to neutron by q-reports-plugin
            bind trunk to neutron by trunk
            read q-plugin
            read q-reports-plugin
            read trunk
            replies None
        "#]],
    );
}

#[test]
fn durable_queues() {
    let options = QueueOptions { durable: true, auto_delete: true, ..QueueOptions::neutron() };
    check(
        &server(&options),
        expect![[r#"
            exchange neutron Topic durable auto-delete
            queue q-plugin durable auto-delete
            queue q-reports-plugin durable auto-delete
            queue trunk durable auto-delete
            bind q-plugin to neutron by q-plugin
            bind q-reports-plugin to neutron by q-reports-plugin
            bind trunk to neutron by trunk
            read q-plugin
            read q-reports-plugin
            read trunk
            replies None
        "#]],
    );
}

#[test]
fn quorum_queues() {
    let memory = Memory { delivery_limit: 5, max_length: 0, max_bytes: 4096 };
    let names = QueueNames::Managed { host: "host-b".to_owned(), process: "agent".to_owned() };
    let options = QueueOptions {
        quorum: true,
        transient_quorum: true,
        memory,
        names,
        ..QueueOptions::neutron()
    };
    check(
        &of_ports(&options),
        expect![[r#"
            exchange neutron Topic durable
            exchange q-agent-notifier-tunnel-update_fanout Fanout durable auto-delete
            exchange q-agent-notifier-tunnel-delete_fanout Fanout durable auto-delete
            exchange q-agent-notifier-l2population-update_fanout Fanout durable auto-delete
            exchange neutron-vo-Port-1.11_fanout Fanout durable auto-delete
            queue reply_host-b:agent:1 durable own x-delivery-limit=Number(5) x-expires=Number(1800000) x-max-in-memory-bytes=Number(4096) x-queue-type=Text("quorum")
            queue q-agent-notifier-tunnel-update_fanout_host-b:agent:2 durable own x-delivery-limit=Number(5) x-expires=Number(1800000) x-max-in-memory-bytes=Number(4096) x-queue-type=Text("quorum")
            queue q-agent-notifier-tunnel-delete_fanout_host-b:agent:3 durable own x-delivery-limit=Number(5) x-expires=Number(1800000) x-max-in-memory-bytes=Number(4096) x-queue-type=Text("quorum")
            queue q-agent-notifier-l2population-update.host-b durable x-delivery-limit=Number(5) x-max-in-memory-bytes=Number(4096) x-queue-type=Text("quorum")
            queue q-agent-notifier-l2population-update_fanout_host-b:agent:4 durable own x-delivery-limit=Number(5) x-expires=Number(1800000) x-max-in-memory-bytes=Number(4096) x-queue-type=Text("quorum")
            queue neutron-vo-Port-1.11_fanout_host-b:agent:7 durable own x-delivery-limit=Number(5) x-expires=Number(1800000) x-max-in-memory-bytes=Number(4096) x-queue-type=Text("quorum")
            bind q-agent-notifier-tunnel-update_fanout_host-b:agent:2 to q-agent-notifier-tunnel-update_fanout by q-agent-notifier-tunnel-update
            bind q-agent-notifier-tunnel-delete_fanout_host-b:agent:3 to q-agent-notifier-tunnel-delete_fanout by q-agent-notifier-tunnel-delete
            bind q-agent-notifier-l2population-update.host-b to neutron by q-agent-notifier-l2population-update.host-b
            bind q-agent-notifier-l2population-update_fanout_host-b:agent:4 to q-agent-notifier-l2population-update_fanout by q-agent-notifier-l2population-update
            bind neutron-vo-Port-1.11_fanout_host-b:agent:7 to neutron-vo-Port-1.11_fanout by neutron-vo-Port-1.11
            read reply_host-b:agent:1
            read q-agent-notifier-tunnel-update_fanout_host-b:agent:2
            read q-agent-notifier-tunnel-delete_fanout_host-b:agent:3
            read q-agent-notifier-l2population-update.host-b
            read q-agent-notifier-l2population-update_fanout_host-b:agent:4
            read neutron-vo-Port-1.11_fanout_host-b:agent:7
            replies Some("reply_host-b:agent:1")
        "#]],
    );
    let transient = QueueOptions { quorum: false, memory: Memory::default(), ..options };
    check(
        &of_ports(&transient),
        expect![[r#"
            exchange neutron Topic
            exchange q-agent-notifier-tunnel-update_fanout Fanout durable auto-delete
            exchange q-agent-notifier-tunnel-delete_fanout Fanout durable auto-delete
            exchange q-agent-notifier-l2population-update_fanout Fanout durable auto-delete
            exchange neutron-vo-Port-1.11_fanout Fanout durable auto-delete
            queue reply_host-b:agent:1 durable own x-expires=Number(1800000) x-queue-type=Text("quorum")
            queue q-agent-notifier-tunnel-update_fanout_host-b:agent:2 durable own x-expires=Number(1800000) x-queue-type=Text("quorum")
            queue q-agent-notifier-tunnel-delete_fanout_host-b:agent:3 durable own x-expires=Number(1800000) x-queue-type=Text("quorum")
            queue q-agent-notifier-l2population-update.host-b
            queue q-agent-notifier-l2population-update_fanout_host-b:agent:4 durable own x-expires=Number(1800000) x-queue-type=Text("quorum")
            queue neutron-vo-Port-1.11_fanout_host-b:agent:7 durable own x-expires=Number(1800000) x-queue-type=Text("quorum")
            bind q-agent-notifier-tunnel-update_fanout_host-b:agent:2 to q-agent-notifier-tunnel-update_fanout by q-agent-notifier-tunnel-update
            bind q-agent-notifier-tunnel-delete_fanout_host-b:agent:3 to q-agent-notifier-tunnel-delete_fanout by q-agent-notifier-tunnel-delete
            bind q-agent-notifier-l2population-update.host-b to neutron by q-agent-notifier-l2population-update.host-b
            bind q-agent-notifier-l2population-update_fanout_host-b:agent:4 to q-agent-notifier-l2population-update_fanout by q-agent-notifier-l2population-update
            bind neutron-vo-Port-1.11_fanout_host-b:agent:7 to neutron-vo-Port-1.11_fanout by neutron-vo-Port-1.11
            read reply_host-b:agent:1
            read q-agent-notifier-tunnel-update_fanout_host-b:agent:2
            read q-agent-notifier-tunnel-delete_fanout_host-b:agent:3
            read q-agent-notifier-l2population-update.host-b
            read q-agent-notifier-l2population-update_fanout_host-b:agent:4
            read neutron-vo-Port-1.11_fanout_host-b:agent:7
            replies Some("reply_host-b:agent:1")
        "#]],
    );
}

#[test]
fn mirrored_queues_that_stay() {
    let options = QueueOptions {
        mirrored: true,
        cancel_on_failover: true,
        transient_ttl: Duration::ZERO,
        control_exchange: "cloud".to_owned(),
        ..QueueOptions::neutron()
    };
    check(
        &of_ports(&options),
        expect![[r#"
            exchange cloud Topic
            exchange q-agent-notifier-tunnel-update_fanout Fanout auto-delete
            exchange q-agent-notifier-tunnel-delete_fanout Fanout auto-delete
            exchange q-agent-notifier-l2population-update_fanout Fanout auto-delete
            exchange neutron-vo-Port-1.11_fanout Fanout auto-delete
            queue reply_u1 own x-ha-policy=Text("all")
            queue q-agent-notifier-tunnel-update_fanout_u2 own x-ha-policy=Text("all")
            queue q-agent-notifier-tunnel-delete_fanout_u3 own x-ha-policy=Text("all")
            queue q-agent-notifier-l2population-update.host-b x-ha-policy=Text("all")
            queue q-agent-notifier-l2population-update_fanout_u4 own x-ha-policy=Text("all")
            queue neutron-vo-Port-1.11_fanout_u7 own x-ha-policy=Text("all")
            bind q-agent-notifier-tunnel-update_fanout_u2 to q-agent-notifier-tunnel-update_fanout by q-agent-notifier-tunnel-update
            bind q-agent-notifier-tunnel-delete_fanout_u3 to q-agent-notifier-tunnel-delete_fanout by q-agent-notifier-tunnel-delete
            bind q-agent-notifier-l2population-update.host-b to cloud by q-agent-notifier-l2population-update.host-b
            bind q-agent-notifier-l2population-update_fanout_u4 to q-agent-notifier-l2population-update_fanout by q-agent-notifier-l2population-update
            bind neutron-vo-Port-1.11_fanout_u7 to neutron-vo-Port-1.11_fanout by neutron-vo-Port-1.11
            read reply_u1 x-cancel-on-ha-failover=Bool(true)
            read q-agent-notifier-tunnel-update_fanout_u2 x-cancel-on-ha-failover=Bool(true)
            read q-agent-notifier-tunnel-delete_fanout_u3 x-cancel-on-ha-failover=Bool(true)
            read q-agent-notifier-l2population-update.host-b x-cancel-on-ha-failover=Bool(true)
            read q-agent-notifier-l2population-update_fanout_u4 x-cancel-on-ha-failover=Bool(true)
            read neutron-vo-Port-1.11_fanout_u7 x-cancel-on-ha-failover=Bool(true)
            replies Some("reply_u1")
        "#]],
    );
}

#[test]
fn streams() {
    let options = QueueOptions {
        stream_fanout: true,
        transient_quorum: true,
        prefetch: 10,
        ..QueueOptions::neutron()
    };
    check(
        &of_ports(&options),
        expect![[r#"
        exchange neutron Topic
        exchange q-agent-notifier-tunnel-update_fanout Fanout durable auto-delete
        exchange q-agent-notifier-tunnel-delete_fanout Fanout durable auto-delete
        exchange q-agent-notifier-l2population-update_fanout Fanout durable auto-delete
        exchange neutron-vo-Port-1.11_fanout Fanout durable auto-delete
        queue reply_u1 durable own x-expires=Number(1800000) x-queue-type=Text("quorum")
        queue q-agent-notifier-tunnel-update_fanout durable x-max-age=Text("1800s") x-queue-type=Text("stream")
        queue q-agent-notifier-tunnel-delete_fanout durable x-max-age=Text("1800s") x-queue-type=Text("stream")
        queue q-agent-notifier-l2population-update.host-b
        queue q-agent-notifier-l2population-update_fanout durable x-max-age=Text("1800s") x-queue-type=Text("stream")
        queue neutron-vo-Port-1.11_fanout durable x-max-age=Text("1800s") x-queue-type=Text("stream")
        bind q-agent-notifier-tunnel-update_fanout to q-agent-notifier-tunnel-update_fanout by q-agent-notifier-tunnel-update
        bind q-agent-notifier-tunnel-delete_fanout to q-agent-notifier-tunnel-delete_fanout by q-agent-notifier-tunnel-delete
        bind q-agent-notifier-l2population-update.host-b to neutron by q-agent-notifier-l2population-update.host-b
        bind q-agent-notifier-l2population-update_fanout to q-agent-notifier-l2population-update_fanout by q-agent-notifier-l2population-update
        bind neutron-vo-Port-1.11_fanout to neutron-vo-Port-1.11_fanout by neutron-vo-Port-1.11
        read reply_u1
        read q-agent-notifier-tunnel-update_fanout x-stream-offset=Text("next")
        read q-agent-notifier-tunnel-delete_fanout x-stream-offset=Text("next")
        read q-agent-notifier-l2population-update.host-b
        read q-agent-notifier-l2population-update_fanout x-stream-offset=Text("next")
        read neutron-vo-Port-1.11_fanout x-stream-offset=Text("next")
        replies Some("reply_u1")
    "#]],
    );
}

#[test]
fn options_that_contradict_each_other() {
    let neutron = QueueOptions::neutron();
    assert_eq!(neutron.check(), Ok(()));
    let mirrored = QueueOptions { mirrored: true, quorum: true, ..neutron.clone() };
    assert_eq!(mirrored.check(), Err(QueueOptionsError::MirroredQuorum));
    let mirrored = QueueOptions { mirrored: true, transient_quorum: true, ..neutron.clone() };
    assert_eq!(mirrored.check(), Err(QueueOptionsError::MirroredQuorum));
    let stream = QueueOptions { stream_fanout: true, transient_quorum: true, ..neutron };
    assert_eq!(stream.check(), Err(QueueOptionsError::StreamWithoutPrefetch));
    let stream = QueueOptions { prefetch: 1, ..stream };
    assert_eq!(stream.check(), Ok(()));
    let stream = QueueOptions { transient_quorum: false, ..stream };
    assert_eq!(stream.check(), Err(QueueOptionsError::StreamWithoutQuorum));
}
