//! The ends, with the local transport between them.

use std::collections::BTreeMap;

use super::local::LocalBus;
use super::*;
use crate::object::{Object, ResourceType};
use crate::rpc::{BulkPull, EventType, HasAliveNeutronServer, UpdateDeviceDown, agent_id};

const PORT: &str = "0b6f3c1e-6a54-4b0f-9c36-5d1f4b8a7e01";

fn deletion(id: &str) -> Cast {
    let objects = vec![Object::deleted(ResourceType::Port, id)];
    Cast::Push { event: EventType::Deleted, objects }
}

fn pull() -> BulkPull {
    let filter = BTreeMap::from([("id".to_owned(), vec![PORT.to_owned()])]);
    BulkPull { resource: ResourceType::Port, filter }
}

#[tokio::test]
async fn a_call_is_answered() {
    let (bus, mut server) = LocalBus::new();
    let (caller, _casts) = bus.join("node1").split();
    let serve = async {
        match server.next_request().await {
            Some(Request::BulkPull(call, responder)) => {
                assert_eq!(call, pull());
                responder.reply(vec![Object::deleted(ResourceType::Port, PORT)]);
            }
            other => panic!("{other:?}"),
        }
        match server.next_request().await {
            Some(Request::UpdateDeviceDown(call, responder)) => {
                assert_eq!(call.agent_id, "ovs-agent-node1");
                responder.fail(Failure::new("PortNotFound", "no port"));
            }
            other => panic!("{other:?}"),
        }
    };
    let ask = async {
        let objects = caller.call(pull()).await.unwrap();
        assert_eq!(objects, [Object::deleted(ResourceType::Port, PORT)]);
        let (device, host) = (PORT.to_owned(), "node1".to_owned());
        let down = UpdateDeviceDown { device, agent_id: agent_id(&host), host };
        let error = caller.call(down).await.unwrap_err();
        assert_eq!(
            error,
            CallError::Failure {
                method: "update_device_down",
                failure: Failure::new("PortNotFound", "no port"),
            }
        );
    };
    tokio::join!(serve, ask);
}

#[tokio::test]
async fn every_agent_hears_what_is_cast_after_it_joined() {
    let (bus, server) = LocalBus::new();
    let caster = server.caster();
    caster.cast(deletion("nobody"));
    let (_, mut first) = bus.join("node1").split();
    caster.cast(deletion("a"));
    let (_, mut second) = bus.clone().join("node2").split();
    caster.cast(deletion("b"));
    assert_eq!(first.recv().await, Some(deletion("a")));
    assert_eq!(first.recv().await, Some(deletion("b")));
    assert_eq!(second.recv().await, Some(deletion("b")));
}

#[tokio::test]
async fn what_is_for_one_host_reaches_its_agent_alone_and_in_order() {
    let (bus, server) = LocalBus::new();
    let mut agents = ["node1", "node2", "node3"].map(|host| bus.join(host).split().1);
    let caster = server.caster();
    caster.cast(deletion("before"));
    caster.cast_to("node2", deletion("second"));
    caster.cast_to("node4", deletion("nobody"));
    caster.cast_to("node3", deletion("third"));
    caster.cast(deletion("after"));
    for (agent, wanted) in agents.iter_mut().zip([None, Some("second"), Some("third")]) {
        for id in ["before"].into_iter().chain(wanted).chain(["after"]) {
            assert_eq!(agent.recv().await, Some(deletion(id)));
        }
    }
}

#[tokio::test]
async fn a_slow_agent_is_told_and_holds_up_nobody() {
    let (bus, server) = LocalBus::with_capacity(1, 2);
    let (_, mut slow) = bus.join("slow").split();
    let (_, mut quick) = bus.join("quick").split();
    for id in ["a", "b", "c"] {
        server.caster().cast(deletion(id));
        assert_eq!(quick.recv().await, Some(deletion(id)));
    }
    assert_eq!(slow.recv().await, Some(Cast::Lagged));
    assert_eq!(slow.recv().await, Some(deletion("b")));
    assert_eq!(slow.recv().await, Some(deletion("c")));
}

#[tokio::test]
async fn agents_see_the_server_go() {
    let (bus, mut server) = LocalBus::new();
    let (caller, mut casts) = bus.join("node1").split();
    let gone = CallError::Disconnected { method: "has_alive_neutron_server" };

    let serve = async { drop(server.next_request().await) };
    let (waiting, ()) = tokio::join!(caller.call(HasAliveNeutronServer), serve);
    assert_eq!(waiting.unwrap_err(), gone, "the request was dropped");

    drop(server);
    assert_eq!(caller.call(HasAliveNeutronServer).await.unwrap_err(), gone);
    assert_eq!(casts.recv().await, None);
    let (_, mut late) = bus.join("late").split();
    assert_eq!(late.recv().await, None);
}

#[tokio::test]
async fn the_server_sees_the_last_agent_go() {
    let (bus, mut server) = LocalBus::new();
    let agent = bus.join("node1");
    drop(bus);
    drop(agent);
    assert!(server.next_request().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_deadline() {
    let (bus, mut server) = LocalBus::with_capacity(1, 1);
    let (caller, _casts) = bus.join("node1").split();
    let timeout = CallError::Timeout { method: "has_alive_neutron_server", seconds: 60 };

    // The first waits for its answer, the second for a place in the queue.
    let (first, second) =
        tokio::join!(caller.call(HasAliveNeutronServer), caller.call(HasAliveNeutronServer));
    assert_eq!(first.unwrap_err(), timeout);
    assert_eq!(second.unwrap_err(), timeout);

    // An answer to somebody who has given up is no harm.
    match server.next_request().await {
        Some(Request::HasAliveNeutronServer(_, responder)) => responder.reply(true),
        other => panic!("{other:?}"),
    }
}
