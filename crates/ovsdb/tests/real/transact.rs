//! Transactions succeed whole or fail whole, and say why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovsdb::{
    Client, Condition, Mutation, OpResult, Options, Remote, Row, RowId, TransactError, Transaction,
};

use crate::relay::{Mode, Relay};
use crate::server::{Server, add_bridge, add_port, connected, poll};

#[tokio::test]
async fn a_wait_that_fails_is_told_from_other_faults() {
    let server = Server::start().await;
    let (client, _events) = server.connect().await;
    let bridge = add_bridge(&client, "br0").await;
    let before = client.replica();

    let twice = Transaction::new().comment("twice").add_bridge("br0", "netdev", None);
    let error = client.transact(twice).await.unwrap_err();
    let operation = "wait on Bridge".to_owned();
    assert_eq!(error, TransactError::WaitFailed { index: 1, operation: operation.clone() });
    assert!(!error.is_transient());

    let nowhere = RowId::new(uuid::Uuid::new_v4());
    let error = client.transact(add_port(Transaction::new(), nowhere, "tap1")).await.unwrap_err();
    assert_eq!(error, TransactError::WaitFailed { index: 0, operation });

    let both = add_port(add_port(Transaction::new(), bridge, "tap1"), bridge, "tap1");
    let error = client.transact(both).await.unwrap_err();
    assert!(matches!(&error, TransactError::WaitFailed { index: 6, .. }), "{error:?}");
    assert_eq!(client.replica(), before);
}

#[tokio::test]
async fn the_operation_that_violates_a_constraint_is_named() {
    let server = Server::start().await;
    let (client, _events) = server.connect().await;
    let bridge = add_bridge(&client, "br0").await;
    let port = *client.replica().bridges[&bridge].ports.first().unwrap();

    let transaction = Transaction::new().comment("a VLAN that there is not").set_port_tag(
        port,
        4096,
        &BTreeMap::new(),
    );
    let error = client.transact(transaction).await.unwrap_err();
    let TransactError::Operation { index, operation, error, details } = error else {
        panic!("{error:?}")
    };
    assert_eq!((index, operation.as_str()), (1, "update of Port"));
    assert_eq!(error, "constraint violation");
    assert!(details.contains("4096"), "{details}");
    assert_eq!(client.replica().ports[&port].tag, None);
}

#[tokio::test]
async fn what_only_the_commit_finds_is_a_commit_error() {
    let server = Server::start().await;
    let (client, _events) = server.connect().await;
    let nowhere = BTreeSet::from([RowId::new(uuid::Uuid::new_v4())]);
    let transaction = Transaction::new().mutate(
        "Open_vSwitch",
        Vec::new(),
        vec![Mutation::insert("bridges", nowhere)],
    );
    let error = client.transact(transaction).await.unwrap_err();
    let TransactError::Commit { error, .. } = error else { panic!("{error:?}") };
    assert_eq!(error, "referential integrity violation");
}

#[tokio::test]
async fn every_kind_of_operation_gives_its_result() {
    let server = Server::start().await;
    let (client, _events) = server.connect().await;
    let bridge = add_bridge(&client, "br0").await;
    let named = || vec![Condition::equal("name", "br0")];
    let transaction = Transaction::new()
        .comment("all of them")
        .insert("Mirror", None, Row::new().with("name", "m"))
        .update("Bridge", named(), Row::new().with("datapath_type", "system"))
        .select("Bridge", named(), &["_uuid", "datapath_type"])
        .delete("Port", vec![Condition::equal("name", "nobody")])
        .bump_next_cfg();
    let results = client.transact(transaction).await.unwrap();
    assert_eq!(results[0], OpResult::Done);
    assert!(results[1].inserted().is_some());
    assert_eq!(results[2].counted(), Some(1));
    let selected =
        Row::new().with("_uuid", BTreeSet::from([bridge])).with("datapath_type", "system");
    assert_eq!(results[3], OpResult::Selected(vec![selected]));
    assert_eq!(results[4].counted(), Some(0));
    assert_eq!(results[6], OpResult::Selected(vec![Row::new().with("next_cfg", 1_i64)]));
    assert_eq!(client.replica().switch().unwrap().1.next_cfg, 1);

    let all = client.transact(Transaction::new().select("Bridge", named(), &[])).await.unwrap();
    let [OpResult::Selected(rows)] = &all[..] else { panic!("{all:?}") };
    let columns: BTreeSet<&str> = rows[0].columns().collect();
    assert!(columns.is_superset(&BTreeSet::from(["_uuid", "name", "stp_enable"])), "{columns:?}");
}

#[tokio::test]
async fn a_thousand_ports_go_in_at_once() {
    let server = Server::start().await;
    let (client, _events) = server.connect().await;
    let bridge = add_bridge(&client, "br0").await;
    let transaction = (0..1000)
        .fold(Transaction::new(), |all, port| add_port(all, bridge, &format!("tap{port}")));
    client.transact(transaction).await.unwrap();
    let replica = client.replica();
    assert_eq!(replica.ports.len(), 1001);
    assert_eq!(replica.bridges[&bridge].ports.len(), 1001);
    assert!(replica.interface("tap999").is_some());

    let (other, _events) = server.connect().await;
    assert_eq!(other.replica(), replica);
}

#[tokio::test]
async fn many_callers_share_the_connection() {
    let server = Server::start().await;
    let relay = Relay::start(&server.dir, server.socket());
    let (client, mut events) = server.client(relay.remote());
    connected(&mut events).await;
    let bridge = add_bridge(&client, "br0").await;

    // No answer comes through until all requests were sent, so they must have been pipelined.
    relay.set(Mode::Mute);
    let callers: Vec<_> = (0..100)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                let name = format!("tap{caller}");
                client.transact(add_port(Transaction::new(), bridge, &name)).await.unwrap();
                client.replica().port(&name).is_some()
            })
        })
        .collect();
    poll("hundred requests", || {
        relay
            .heard(|heard| {
                heard.from_client.matches("tap99\"").count() > 0
                    && heard.from_client.matches("\"transact\"").count() == 101
            })
            .then_some(())
    })
    .await;
    relay.set(Mode::Open);
    for caller in callers {
        assert!(caller.await.unwrap(), "the port is in the replica of its caller");
    }
}

#[tokio::test]
async fn without_a_server_nothing_is_sent() {
    let nowhere = Remote::Unix("/nonexistent/db.sock".into());
    let (client, mut events) = Client::start(nowhere, Options::default());
    let reason = crate::server::disconnected(&mut events).await;
    assert!(reason.starts_with("cannot connect to unix:/nonexistent/db.sock: "), "{reason}");
    let error = client.transact(Transaction::new().comment("hello")).await.unwrap_err();
    assert_eq!(error, TransactError::NotConnected);
    assert!(error.is_transient() && !client.is_connected());
}

#[tokio::test]
async fn before_the_replica_is_there_nothing_is_sent() {
    let server = Server::start().await;
    let relay = Relay::start(&server.dir, server.socket());
    relay.set(Mode::Mute);
    let (client, mut events) = server.client(relay.remote());
    poll("first request", || {
        relay.heard(|heard| heard.from_client.contains("monitor_cond_since")).then_some(())
    })
    .await;
    let transaction = || Transaction::new().comment("too early");
    assert_eq!(client.transact(transaction()).await, Err(TransactError::NotConnected));
    relay.set(Mode::Open);
    connected(&mut events).await;
    client.transact(transaction()).await.unwrap();
    relay.heard(|heard| assert_eq!(heard.from_client.matches("too early").count(), 1));
}

#[tokio::test]
async fn no_answer_in_time_is_a_deadline_and_a_lost_connection_is_not() {
    let server = Server::start().await;
    let relay = Relay::start(&server.dir, server.socket());
    let limit = Duration::from_millis(50);
    let (hasty, mut events) =
        Client::start(relay.remote(), Options { transact_deadline: limit, ..Options::default() });
    connected(&mut events).await;
    let (patient, mut events) = server.client(relay.remote());
    connected(&mut events).await;

    relay.set(Mode::Mute);
    let transaction = || Transaction::new().comment("into the void");
    assert_eq!(hasty.transact(transaction()).await, Err(TransactError::Deadline { limit }));

    let waiting = {
        let patient = patient.clone();
        tokio::spawn(async move { patient.transact(transaction()).await })
    };
    poll("second request", || {
        relay.heard(|heard| heard.from_client.matches("into the void").count() == 2).then_some(())
    })
    .await;
    relay.set(Mode::Cut);
    assert_eq!(waiting.await.unwrap(), Err(TransactError::Disconnected));
}
