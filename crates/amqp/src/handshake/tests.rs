//! What is answered, and what is agreed on.

use super::*;

fn login(mechanism: Mechanism) -> Login {
    Login { user: "weir".to_owned(), password: "secret".into(), vhost: "v".to_owned(), mechanism }
}

fn start(mechanisms: &str) -> Method {
    Method::ConnectionStart {
        version_major: 0,
        version_minor: 9,
        server_properties: Table::new().with("product", "RabbitMQ"),
        mechanisms: LongString(mechanisms.as_bytes().to_vec()),
        locales: LongString(b"en_US".to_vec()),
    }
}

fn tune(channel_max: u16, frame_max: u32, heartbeat: u16) -> Method {
    Method::ConnectionTune { channel_max, frame_max, heartbeat }
}

/// What is agreed on with a broker that wishes this.
fn agreed(options: &Options, wish: Method) -> Result<Tuned> {
    let login = login(Mechanism::Plain);
    let mut handshake = Handshake::new("peer", &login, options);
    handshake.receive(start("PLAIN AMQPLAIN"))?;
    handshake.receive(wish)?;
    match handshake.receive(Method::ConnectionOpenOk { reserved: ShortString::default() })? {
        Step::Done(tuned, server) => {
            assert_eq!(server, Table::new().with("product", "RabbitMQ"));
            Ok(tuned)
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn each_mechanism_says_who_it_is() {
    let table = b"\x05LOGINS\x00\x00\x00\x04weir\x08PASSWORDS\x00\x00\x00\x06secret";
    let expected: [(Mechanism, &str, &[u8]); 3] = [
        (Mechanism::AmqPlain, "AMQPLAIN", table),
        (Mechanism::Plain, "PLAIN", b"\0weir\0secret"),
        (Mechanism::External, "EXTERNAL", b""),
    ];
    for (mechanism, name, words) in expected {
        let login = login(mechanism);
        let options = Options { connection_name: "me".to_owned(), ..Options::default() };
        let mut handshake = Handshake::new("peer", &login, &options);
        let step = handshake.receive(start("AMQPLAIN PLAIN EXTERNAL")).unwrap();
        let Step::Send(methods) = step else { panic!("{step:?}") };
        let [Method::ConnectionStartOk { client_properties, mechanism, response, locale }] =
            &methods[..]
        else {
            panic!("{methods:?}")
        };
        assert_eq!(mechanism.as_str(), name);
        assert_eq!(response.0, words);
        assert_eq!(locale.as_str(), "en_US");
        assert_eq!(client_properties.get("connection_name"), Some(&"me".into()));
        let Some(crate::Value::Table(able)) = client_properties.get("capabilities") else {
            panic!("{client_properties:?}")
        };
        for capability in
            ["authentication_failure_close", "connection.blocked", "consumer_cancel_notify"]
        {
            assert_eq!(able.get(capability), Some(&true.into()), "{capability}");
        }
    }
}

#[test]
fn a_mechanism_must_be_offered_by_its_whole_name() {
    let (login, options) = (login(Mechanism::Plain), Options::default());
    let mut handshake = Handshake::new("peer", &login, &options);
    let error = handshake.receive(start("AMQPLAIN")).unwrap_err();
    assert_eq!(error.to_string(), "peer does not let log in by PLAIN, only by AMQPLAIN");
}

#[test]
fn the_smaller_wish_counts_and_zero_is_no_wish() {
    let ours = Options::default();
    let minute = Duration::from_secs(60);
    let all = Tuned { channel_max: 2047, frame_max: 131_072, heartbeat: minute };
    assert_eq!(agreed(&ours, tune(2047, 131_072, 60)).unwrap(), all);
    assert_eq!(agreed(&ours, tune(0, 0, 0)).unwrap(), all);
    assert_eq!(agreed(&ours, tune(u16::MAX, u32::MAX, u16::MAX)).unwrap(), all);
    let small = Tuned { channel_max: 1, frame_max: 4096, heartbeat: Duration::from_secs(5) };
    assert_eq!(agreed(&ours, tune(1, 4096, 5)).unwrap(), small);

    let none = Options { heartbeat: Duration::ZERO, channel_max: 0, frame_max: 0, ..ours };
    let tuned = agreed(&none, tune(0, 131_072, 60)).unwrap();
    let expected = Tuned { channel_max: u16::MAX, heartbeat: Duration::ZERO, ..all };
    assert_eq!(tuned, expected);
    for wish in [tune(0, 4095, 60), tune(0, 0, 0)] {
        let error = agreed(&none, wish).unwrap_err();
        assert!(matches!(error, Error::Peer { fault: Fault::Tune { .. }, .. }), "{error:?}");
    }
}

#[test]
fn nothing_comes_before_its_time() {
    let (login, options) = (login(Mechanism::Plain), Options::default());
    for method in crate::method::tests::samples() {
        let mut handshake = Handshake::new("peer", &login, &options);
        let error = match handshake.receive(method.clone()) {
            Ok(_) => {
                assert!(matches!(method, Method::ConnectionStart { .. }), "{method:?}");
                continue;
            }
            Err(error) => error,
        };
        match method {
            Method::ConnectionClose { .. } => assert!(matches!(error, Error::Closed { .. })),
            _ => assert!(matches!(error, Error::Peer { .. }), "{method:?}"),
        }
    }
    let other = Method::ConnectionStart {
        version_major: 1,
        version_minor: 0,
        server_properties: Table::new(),
        mechanisms: LongString::default(),
        locales: LongString::default(),
    };
    let error = Handshake::new("peer", &login, &options).receive(other).unwrap_err();
    assert!(matches!(error, Error::NotAmqp { .. }), "{error:?}");
}
