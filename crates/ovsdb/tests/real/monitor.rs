//! The replica follows the database.

use std::collections::BTreeSet;

use ovsdb::{Condition, Datum, Port, Row, TransactError, Transaction};
use tokio::time::timeout;

use crate::relay::Relay;
use crate::server::{LIMIT, Server, add_bridge, add_port, connected, strings, until};

#[tokio::test]
async fn every_change_of_ours_is_in_the_replica_when_the_transaction_returns() {
    let server = Server::start().await;
    let (client, _events) = server.connect().await;
    assert_eq!(client.replica().open_vswitch.len(), 1);

    let bridge = add_bridge(&client, "br-int").await;
    let replica = client.replica();
    let row = &replica.bridges[&bridge];
    assert_eq!(row.datapath_type, "netdev");
    assert_eq!(row.fail_mode.as_deref(), Some("secure"));
    assert_eq!(replica.switch().unwrap().1.bridges, BTreeSet::from([bridge]));

    client.transact(add_port(Transaction::new(), bridge, "tap1")).await.unwrap();
    let replica = client.replica();
    let (port, row) = replica.port("tap1").unwrap();
    let (interface, interface_row) = replica.interface("tap1").unwrap();
    assert_eq!(row.interfaces, BTreeSet::from([interface]));
    assert_eq!(row.tag, None);
    assert_eq!(interface_row.kind, "internal");
    assert_eq!(interface_row.external_ids, strings(&[("iface-id", "tap1")]));
    assert!(replica.bridges[&bridge].ports.contains(&port));

    let first = strings(&[("net_uuid", "n1"), ("tag", "7")]);
    client.transact(Transaction::new().set_port_tag(port, 7, &first)).await.unwrap();
    let second = strings(&[("tag", "8")]);
    client.transact(Transaction::new().set_port_tag(port, 8, &second)).await.unwrap();
    let row = &client.replica().ports[&port];
    assert_eq!(row.tag, Some(8));
    assert_eq!(row.other_config, strings(&[("net_uuid", "n1"), ("tag", "8")]));

    let keys = BTreeSet::from(["tag".to_owned()]);
    let here = || vec![Condition::row(port)];
    let transaction = Transaction::new()
        .remove_keys::<Port>(port, "other_config", keys)
        .update("Port", here(), Row::new().with("tag", Datum::empty()))
        .update("Port", here(), Row::new().with("trunks", BTreeSet::from([1_u16, 2, 3])));
    client.transact(transaction).await.unwrap();
    let row = &client.replica().ports[&port];
    assert_eq!(row.other_config, strings(&[("net_uuid", "n1")]));
    assert_eq!((row.tag, &row.trunks), (None, &BTreeSet::from([1, 2, 3])));

    let trunks = Row::new().with("trunks", BTreeSet::from([3_u16]));
    client.transact(Transaction::new().update("Port", here(), trunks)).await.unwrap();
    assert_eq!(client.replica().ports[&port].trunks, BTreeSet::from([3]));

    client.transact(Transaction::new().del_port(bridge, port)).await.unwrap();
    let replica = client.replica();
    assert_eq!((replica.port("tap1"), replica.interface("tap1")), (None, None));

    client.transact(Transaction::new().del_bridge(bridge)).await.unwrap();
    let replica = client.replica();
    assert!(replica.bridges.is_empty() && replica.ports.is_empty());
    assert!(replica.interfaces.is_empty());
}

#[tokio::test]
async fn changes_of_others_arrive_as_events() {
    let server = Server::start().await;
    let (watching, mut events) = server.connect().await;
    let (changing, _events) = server.connect().await;
    let bridge = add_bridge(&changing, "br0").await;
    until(&watching, &mut events, |replica| replica.bridges.contains_key(&bridge)).await;
    changing.transact(Transaction::new().del_bridge(bridge)).await.unwrap();
    until(&watching, &mut events, |replica| replica.bridges.is_empty()).await;
}

#[tokio::test]
async fn what_is_not_there_yet_is_waited_for() {
    let server = Server::start().await;
    let (client, _events) = server.connect().await;
    let (other, _other_events) = server.connect().await;
    let find =
        || timeout(LIMIT, client.find(|replica| replica.bridge("br-int").map(|(row, _)| row)));
    let (found, made) = tokio::join!(find(), add_bridge(&other, "br-int"));
    assert_eq!(found.unwrap(), made);
    assert_eq!(find().await.unwrap(), made, "what is there is found at once");
}

#[tokio::test]
async fn the_events_end_with_the_last_handle() {
    let server = Server::start().await;
    let (client, mut events) = server.connect().await;
    let other = client.clone();
    drop(client);
    add_bridge(&other, "br0").await;
    drop(other);
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn a_server_without_monitor_cond_since_is_followed_all_the_same() {
    follows_without(&["monitor_cond_since"]).await;
}

#[tokio::test]
async fn a_server_of_rfc_7047_is_followed_all_the_same() {
    follows_without(&["monitor_cond_since", "monitor_cond"]).await;
}

/// Follows a server that does not know these methods.
async fn follows_without(methods: &'static [&'static str]) {
    let server = Server::start().await;
    let (changing, _events) = server.connect().await;
    let bridge = add_bridge(&changing, "br0").await;

    let relay = Relay::start_spoiling(&server.dir, server.socket(), methods);
    let (client, mut events) = server.client(relay.remote());
    connected(&mut events).await;
    relay.heard(|heard| assert!(heard.from_server.contains("unknown method")));
    assert_eq!(client.replica(), changing.replica());

    changing.transact(add_port(Transaction::new(), bridge, "tap1")).await.unwrap();
    let port = changing.replica().port("tap1").unwrap().0;
    let keys = strings(&[("tag", "5")]);
    changing.transact(Transaction::new().set_port_tag(port, 5, &keys)).await.unwrap();
    until(&client, &mut events, |replica| *replica == *changing.replica()).await;
    changing.transact(Transaction::new().del_port(bridge, port)).await.unwrap();
    until(&client, &mut events, |replica| *replica == *changing.replica()).await;

    let again = client.transact(Transaction::new().add_bridge("br0", "netdev", None)).await;
    assert!(matches!(again, Err(TransactError::WaitFailed { .. })), "{again:?}");
}
