//! How connections come about, and how they do not.

use std::time::Duration;

use amqp::{Connection, Endpoint, Error, Login, Mechanism, Options, ReplyCode, Value};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use crate::broker::{connect, connect_with, endpoint, login, options, shared, soon};

#[tokio::test]
async fn a_connection_says_who_it_is_and_who_the_broker_is() {
    let broker = shared();
    let name = "weir-test:1:2";
    let options = Options { connection_name: name.to_owned(), ..options() };
    let connection = connect_with(&broker, &options).await;
    assert_eq!(connection.server().get("product").and_then(Value::as_text), Some("RabbitMQ"));
    assert_eq!(connection.peer(), broker.address().to_string());
    assert_eq!(connection.heartbeat(), Duration::from_secs(60));
    assert_eq!(connection.blocked(), None);
    let columns = ["list_connections", "client_properties", "frame_max", "channel_max", "timeout"];
    let listed = broker.ctl(&columns).unwrap();
    let line = listed.lines().find(|line| line.contains(name)).unwrap();
    assert!(line.ends_with("131072\t2047\t60"), "{line}");
    assert!(line.contains("consumer_cancel_notify"), "{line}");
}

#[tokio::test]
async fn every_mechanism_and_every_virtual_host() {
    let broker = shared();
    for mechanism in [Mechanism::AmqPlain, Mechanism::Plain] {
        for vhost in ["weir", "/"] {
            let login = Login { mechanism, vhost: vhost.to_owned(), ..login(&broker) };
            let connection = Connection::open(&endpoint(&broker), &login, &options()).await;
            connection.unwrap().close().await.unwrap();
        }
    }
    let external = Login { mechanism: Mechanism::External, ..login(&broker) };
    let error = Connection::open(&endpoint(&broker), &external, &options()).await.unwrap_err();
    let peer = broker.address();
    let message = error.to_string();
    assert!(message.starts_with(&format!("{peer} does not let log in by EXTERNAL, only by ")));
    assert!(message.contains("AMQPLAIN"), "{message}");
}

#[tokio::test]
async fn a_wrong_password_is_told_from_a_wrong_virtual_host() {
    let broker = shared();
    for mechanism in [Mechanism::AmqPlain, Mechanism::Plain] {
        let wrong = Login { password: "wrong".into(), mechanism, ..login(&broker) };
        let error = Connection::open(&endpoint(&broker), &wrong, &options()).await.unwrap_err();
        assert!(matches!(error, Error::Login { .. }), "{error:?}");
        assert_eq!(error.refusal().unwrap().code, ReplyCode::ACCESS_REFUSED);
        let message = error.to_string();
        let start =
            format!("{} does not know the user 'weir' with this password", broker.address());
        assert!(message.starts_with(&start), "{message}");
        assert!(!message.contains("wrong"), "{message}");
    }
    let wrong = Login { vhost: "nowhere".to_owned(), ..login(&broker) };
    let error = Connection::open(&endpoint(&broker), &wrong, &options()).await.unwrap_err();
    assert!(matches!(&error, Error::VirtualHost { vhost, .. } if vhost == "nowhere"), "{error:?}");
    assert_eq!(error.refusal().unwrap().code, ReplyCode::NOT_ALLOWED);
}

#[tokio::test]
async fn the_smaller_of_both_wishes_is_taken() {
    let broker = shared();
    let small =
        Options { heartbeat: Duration::from_secs(7), frame_max: 4096, channel_max: 3, ..options() };
    let connection = connect_with(&broker, &small).await;
    assert_eq!(connection.heartbeat(), Duration::from_secs(7));
    let mut channels = Vec::new();
    for _ in 0..3 {
        channels.push(connection.channel().await.unwrap());
    }
    let error = connection.channel().await.unwrap_err();
    assert!(matches!(error, Error::NoChannel { most: 3 }), "{error:?}");

    // A number is given again, and who had it before is not taken for who has it now.
    let old = channels.remove(1);
    old.close().await.unwrap();
    let new = connection.channel().await.unwrap();
    assert!(matches!(old.qos(1).await, Err(Error::Finished)));
    new.qos(1).await.unwrap();

    // One that is dropped makes room, too.
    drop(new);
    soon(async {
        while connection.channel().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_closed_connection_ends_everything_on_it() {
    let broker = shared();
    let connection = connect(&broker).await;
    let channel = connection.channel().await.unwrap();
    let other = connection.clone();
    let closed = tokio::spawn(async move { other.closed().await });
    connection.close().await.unwrap();
    assert!(matches!(soon(closed).await.unwrap(), Error::Finished));
    assert!(matches!(channel.qos(1).await, Err(Error::Finished)));
    assert!(matches!(connection.channel().await, Err(Error::Finished)));
    assert!(matches!(connection.close().await, Err(Error::Finished)));
}

#[tokio::test]
async fn a_connection_that_nobody_holds_is_closed() {
    let broker = shared();
    let name = "weir-test:dropped";
    let options = Options { connection_name: name.to_owned(), ..options() };
    let connection = connect_with(&broker, &options).await;
    let channel = connection.channel().await.unwrap();
    drop(connection);
    channel.qos(1).await.unwrap();
    let listed = || broker.ctl(&["list_connections", "client_properties"]).unwrap().contains(name);
    assert!(listed());
    drop(channel);
    soon(async {
        while listed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn somebody_who_is_no_broker_is_recognized() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, tls: None };
    let login = Login {
        user: "u".to_owned(),
        password: "p".into(),
        vhost: "/".to_owned(),
        mechanism: Mechanism::Plain,
    };
    let answer = async |words: &[u8]| {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(words).await.unwrap();
        stream
    };
    for words in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"AMQP\x00\x01\x00\x00"] {
        let (opened, _kept) = soon(async {
            let options = options();
            tokio::join!(Connection::open(&endpoint, &login, &options), answer(words))
        })
        .await;
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::NotAmqp { .. }), "{error:?}");
    }

    // One who hangs up, one who says nothing, and one who is not there.
    let options = options();
    let (opened, _) = soon(async {
        tokio::join!(Connection::open(&endpoint, &login, &options), async {
            drop(listener.accept().await.unwrap());
        })
    })
    .await;
    assert!(matches!(opened, Err(Error::Lost { .. })), "{opened:?}");
    let hasty = Options { connect_deadline: Duration::from_millis(50), ..options.clone() };
    let error = soon(Connection::open(&endpoint, &login, &hasty)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("no connection to 127.0.0.1:{port} within 50ms"));
    drop(listener);
    let error = soon(Connection::open(&endpoint, &login, &options)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot connect to 127.0.0.1:{port}"));
}
