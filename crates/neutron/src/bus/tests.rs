//! The ends, with the local transport between them.

use std::collections::BTreeMap;
use std::time::Duration;

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
async fn each_of_several_agents_has_its_own_answers() {
    let (bus, mut server) = LocalBus::with_capacity(1, 1);
    let serve = async {
        // Everybody asks before anybody is answered, and the last to ask is answered first.
        let mut waiting = Vec::new();
        while waiting.len() < 4 {
            match server.next_request().await {
                Some(Request::UpdateDeviceDown(call, responder)) => waiting.push((call, responder)),
                other => panic!("{other:?}"),
            }
        }
        for (call, responder) in waiting.into_iter().rev() {
            responder.reply(crate::rpc::DeviceDown { device: call.host, exists: true });
        }
    };
    let ask = async |host: &str| {
        let (device, host) = (PORT.to_owned(), host.to_owned());
        let call = UpdateDeviceDown { device, agent_id: agent_id(&host), host: host.clone() };
        let (caller, _casts) = bus.join(&host).split();
        assert_eq!(caller.call(call).await.unwrap().device, host);
    };
    tokio::join!(serve, ask("node1"), ask("node2"), ask("node3"), ask("node4"));
}

#[tokio::test]
async fn an_agent_that_was_cut_off_is_told_on_its_return() {
    let (bus, server) = LocalBus::new();
    let caster = server.caster();
    let (_, mut cut) = bus.join("node1").split();
    let (_, mut other) = bus.join("node2").split();
    caster.cast(deletion("a"));
    assert_eq!(cut.recv().await, Some(deletion("a")));

    let first = bus.cut("node1");
    let second = bus.cut("node1");
    caster.cast(deletion("b"));
    drop(first);
    caster.cast_to("node1", deletion("c"));
    assert!(tokio::time::timeout(Duration::ZERO, cut.recv()).await.is_err(), "still cut");
    drop(second);
    caster.cast(deletion("d"));
    assert_eq!(cut.recv().await, Some(Cast::Lagged));
    caster.cast(deletion("e"));
    assert_eq!(cut.recv().await, Some(deletion("e")), "what came before it listened is lost");
    for id in ["a", "b", "d", "e"] {
        assert_eq!(other.recv().await, Some(deletion(id)), "nobody else is cut");
    }

    // It waits for the next cast while it is cut, and while it returns.
    let held = async {
        let hold = bus.cut("node1");
        tokio::task::yield_now().await;
        caster.cast(deletion("f"));
        drop(hold);
    };
    let (heard, ()) = tokio::join!(cut.recv(), held);
    assert_eq!(heard, Some(Cast::Lagged));

    // An agent that comes anew is cut as the one before, and has nothing to be told of.
    let hold = bus.cut("node1");
    let (_, mut anew) = bus.join("node1").split();
    assert!(tokio::time::timeout(Duration::ZERO, anew.recv()).await.is_err());
    drop(hold);
    assert_eq!(anew.recv().await, Some(Cast::Lagged));
}

#[tokio::test(start_paused = true)]
async fn calls_wait_while_the_agent_is_cut_off() {
    let (bus, mut server) = LocalBus::new();
    let (caller, _casts) = bus.join("node1").split();
    let alive = || caller.call(HasAliveNeutronServer);

    let hold = bus.cut("node1");
    let timeout = CallError::Timeout { method: "has_alive_neutron_server", seconds: 60 };
    assert_eq!(alive().await.unwrap_err(), timeout);
    let nothing = tokio::time::timeout(Duration::from_secs(1), server.next_request()).await;
    assert!(nothing.is_err(), "nothing reached the server");

    // One that waits is sent on the return; one that is under way is answered on it.
    let serve = async {
        drop(hold);
        let Some(Request::HasAliveNeutronServer(_, responder)) = server.next_request().await else {
            panic!("another request");
        };
        let hold = bus.cut("node1");
        responder.reply(true);
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(hold);
    };
    let began = Instant::now();
    let (answer, ()) = tokio::join!(alive(), serve);
    assert_eq!((answer.unwrap(), began.elapsed()), (true, Duration::from_secs(30)));
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

    // It may be another one, but not of heartbeats.
    let (impatient, _casts) =
        bus.join("node1").with_response_timeout(Duration::from_secs(5)).split();
    let began = Instant::now();
    let timeout = CallError::Timeout { method: "has_alive_neutron_server", seconds: 5 };
    assert_eq!(impatient.call(HasAliveNeutronServer).await.unwrap_err(), timeout);
    assert_eq!(began.elapsed(), Duration::from_secs(5));

    // An answer to somebody who has given up is no harm.
    match server.next_request().await {
        Some(Request::HasAliveNeutronServer(_, responder)) => responder.reply(true),
        other => panic!("{other:?}"),
    }
}
