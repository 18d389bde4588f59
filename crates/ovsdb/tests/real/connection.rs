//! Connections are lost, noticed and made again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ovsdb::{Client, Datum, Options, Remote, Row, Transaction};

use crate::relay::{Mode, Relay, Transcript};
use crate::server::{
    Database, LIMIT, Server, add_bridge, add_port, appctl, connected, disconnected, poll, until,
};

#[tokio::test]
async fn a_server_that_crashed_is_found_again() {
    let mut server = Server::start().await;
    let (client, mut events) = server.connect().await;
    let bridge = add_bridge(&client, "br0").await;
    server.kill();
    let reason = disconnected(&mut events).await;
    assert!(!reason.is_empty() && !client.is_connected());
    assert!(client.replica().bridges.contains_key(&bridge), "the last replica stays");

    server.resume();
    let since = Instant::now();
    connected(&mut events).await;
    assert!(since.elapsed() < LIMIT / 2, "it took {:?}", since.elapsed());
    assert!(client.is_connected() && client.replica().bridges.contains_key(&bridge));
    client.transact(add_port(Transaction::new(), bridge, "tap1")).await.unwrap();
    assert!(client.replica().port("tap1").is_some());
}

#[tokio::test]
async fn a_server_that_comes_late_is_found() {
    let mut server = Server::start().await;
    server.kill();
    let (_client, mut events) = server.client(server.remote());
    disconnected(&mut events).await;
    server.resume();
    connected(&mut events).await;
}

#[tokio::test]
async fn what_happened_meanwhile_comes_as_a_difference_where_the_server_remembers() {
    let heard = reconnects(Database::Clustered).await;
    let (_, resumed) = heard.split_once("\"result\":[true,").expect("the server resumed");
    assert!(!resumed.contains("\"initial\""), "{resumed}");
}

#[tokio::test]
async fn what_happened_meanwhile_comes_as_a_whole_where_the_server_does_not_remember() {
    let heard = reconnects(Database::Standalone).await;
    assert_eq!(heard.matches("\"result\":[false,").count(), 2);
}

/// Changes the database while a client is cut off, and checks that the client never sees anything
/// between the old state and the new. Returns what the server said.
async fn reconnects(database: Database) -> String {
    let server = Server::start_with(database, &[]).await;
    let (changing, _events) = server.connect().await;
    let bridge = add_bridge(&changing, "br0").await;
    // A server remembers transactions only as long as they are smaller than the database.
    let many =
        (0..50).fold(Transaction::new(), |all, port| add_port(all, bridge, &format!("tap{port}")));
    changing.transact(many).await.unwrap();
    let transaction = add_port(Transaction::new(), bridge, "stays");
    changing.transact(add_port(transaction, bridge, "goes")).await.unwrap();

    let relay = Relay::start(&server.dir, server.socket());
    let (client, mut events) = server.client(relay.remote());
    connected(&mut events).await;
    until(&client, &mut events, |replica| *replica == *changing.replica()).await;
    let before = client.replica();
    relay.set(Mode::Cut);
    disconnected(&mut events).await;

    let goes = before.port("goes").unwrap().0;
    let stays = before.port("stays").unwrap().0;
    let tag = BTreeMap::from([("tag".to_owned(), "9".to_owned())]);
    let transaction = Transaction::new().del_port(bridge, goes).set_port_tag(stays, 9, &tag);
    changing.transact(add_port(transaction, bridge, "comes")).await.unwrap();
    let after = changing.replica();
    assert_eq!(client.replica(), before);

    relay.set(Mode::Open);
    until(&client, &mut events, |replica| {
        assert!(*replica == *before || *replica == *after, "half of a change is seen");
        *replica == *after
    })
    .await;
    assert!(client.is_connected());
    relay.heard(|heard| heard.from_server.clone())
}

#[tokio::test]
async fn a_server_that_closes_connections_is_asked_again_at_once() {
    let server = Server::start().await;
    let (client, mut events) = server.connect().await;
    appctl(&server.dir, &["ovsdb-server/reconnect"]);
    assert_eq!(disconnected(&mut events).await, "the server closed the connection");
    connected(&mut events).await;
    add_bridge(&client, "br0").await;
}

#[tokio::test]
async fn a_silent_server_is_probed_and_given_up() {
    let server = Server::start().await;
    let relay = Relay::start(&server.dir, server.socket());
    let options = Options { inactivity_probe: Duration::from_millis(100), ..Options::default() };
    let (client, mut events) = Client::start(relay.remote(), options);
    connected(&mut events).await;
    poll("three probes", || {
        relay.heard(|heard| heard.from_client.matches("\"echo\"").count() >= 3).then_some(())
    })
    .await;
    assert!(client.is_connected(), "a server that answers is kept");

    relay.set(Mode::Mute);
    assert_eq!(disconnected(&mut events).await, "the server was silent for 200ms");
}

#[tokio::test]
async fn the_server_gets_its_own_probes_answered() {
    let arguments = ["--remote=db:Open_vSwitch,Open_vSwitch,manager_options".to_owned()];
    let server = Server::start_with(Database::Standalone, &arguments).await;
    let (client, _events) = server.connect().await;
    let socket = server.dir.join("probing.sock");
    // A second is the shortest interval that a server accepts; its first is five all the same.
    let manager = Row::new()
        .with("target", format!("punix:{}", socket.display()))
        .with("inactivity_probe", 1000_i64);
    let transaction = Transaction::new().insert("Manager", Some("manager"), manager).update(
        "Open_vSwitch",
        Vec::new(),
        Row::new().with("manager_options", Datum::named("manager")),
    );
    client.transact(transaction).await.unwrap();

    let relay = Relay::start(&server.dir, socket);
    let options = Options { inactivity_probe: Duration::ZERO, ..Options::default() };
    let (client, mut events) = Client::start(relay.remote(), options);
    connected(&mut events).await;
    // After one probe without an answer the server would have closed the connection.
    poll("second probe", || {
        let probes = |heard: &Transcript| heard.from_server.matches("\"method\":\"echo\"").count();
        relay.heard(|heard| probes(heard) >= 2).then_some(())
    })
    .await;
    assert!(client.is_connected());
}

#[tokio::test]
async fn a_database_that_the_server_does_not_have_is_named() {
    let server = Server::start().await;
    let options = Options { database: "Nowhere".to_owned(), ..Options::default() };
    let (_client, mut events) = Client::start(server.remote(), options);
    let reason = disconnected(&mut events).await;
    assert!(reason.contains("monitor_cond_since") && reason.contains("Nowhere"), "{reason}");
}

#[tokio::test]
async fn tcp_is_spoken_too() {
    let arguments = ["--remote=ptcp:0:127.0.0.1".to_owned()];
    let server = Server::start_with(Database::Standalone, &arguments).await;
    let remote: Remote = format!("tcp:127.0.0.1:{}", server.tcp_port()).parse().unwrap();
    let (client, mut events) = server.client(remote);
    connected(&mut events).await;
    add_bridge(&client, "br0").await;
}
