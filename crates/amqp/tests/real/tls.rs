//! TLS with certificates made on the spot.

use std::{fs, path::Path};

use amqp::{
    Confirmation, Connection, Consume, Endpoint, Error, Identity, Publication, Queue, Tls, Trust,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use testkit::{Broker, BrokerOptions, BrokerTls};

use crate::broker::{login, next, options, soon};

#[tokio::test]
async fn tls_trusts_whom_it_should() {
    let broker = Broker::prepare(&BrokerOptions::default()).unwrap();
    let dir = broker.run_dir().to_owned();
    let ours = Authority::new("ours");
    let theirs = Authority::new("theirs");
    let server = ours.issue(&dir, "server", &[&broker.address().ip().to_string(), "rabbit.test"]);
    let client = ours.issue(&dir, "client", &[]).identity;
    let stranger = theirs.issue(&dir, "stranger", &[]);
    let tls = |client_must_have_one| BrokerOptions {
        tls: Some(BrokerTls {
            ca: server.ca.clone(),
            cert: server.identity.cert.clone(),
            key: server.identity.key.clone(),
            client_must_have_one,
        }),
        ..BrokerOptions::default()
    };
    broker.configure(&tls(true)).unwrap();
    broker.run().unwrap();

    let (ca, other_ca) = (server.ca.clone(), stranger.ca);
    let named = |name: &str| Trust::Named { ca: ca.clone(), name: name.to_owned() };
    let open = async |trust: Trust, identity: Option<Identity>| {
        let address = broker.tls_address();
        let tls = Some(Tls { trust, identity });
        let endpoint = Endpoint { host: address.ip().to_string(), port: address.port(), tls };
        soon(Connection::open(&endpoint, &login(&broker), &options())).await
    };
    for trust in [
        Trust::Anybody,
        Trust::Authority { ca: ca.clone() },
        named("rabbit.test"),
        named(&broker.address().ip().to_string()),
    ] {
        let connection = open(trust, Some(client.clone())).await.unwrap();
        exchange(&connection).await;
        connection.close().await.unwrap();
    }

    for trust in [Trust::Authority { ca: other_ca }, named("other.test")] {
        let error = open(trust, Some(client.clone())).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{error:?}");
        let expected = format!("the certificate of {} is not trusted", broker.tls_address());
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    for identity in [None, Some(stranger.identity)] {
        let error = open(Trust::Anybody, identity).await.unwrap_err();
        assert!(matches!(error, Error::Lost { .. } | Error::Connect { .. }), "{error:?}");
    }
    let missing = Trust::Authority { ca: "/nonexistent/ca.pem".into() };
    let error = open(missing, None).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nonexistent/ca.pem");
    let key_for_ca = Trust::Authority { ca: client.key.clone() };
    let error = open(key_for_ca, None).await.unwrap_err();
    assert!(matches!(error, Error::Tls(peer::tls::Error::Pem { .. })), "{error:?}");

    // Without TLS where TLS is spoken, and the other way round.
    let address = broker.tls_address();
    let plain = Endpoint { host: address.ip().to_string(), port: address.port(), tls: None };
    let error = soon(Connection::open(&plain, &login(&broker), &options())).await.unwrap_err();
    assert!(matches!(error, Error::NotAmqp { .. } | Error::Lost { .. }), "{error:?}");
    let tls = Some(Tls { trust: Trust::Anybody, identity: None });
    let wrong = Endpoint { port: broker.address().port(), tls, ..plain };
    let error = soon(Connection::open(&wrong, &login(&broker), &options())).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

/// More than one TLS record can hold, in both directions.
async fn exchange(connection: &Connection) {
    let channel = connection.channel().await.unwrap();
    channel.declare_queue(&Queue::new("tls")).await.unwrap();
    let mut consumer = channel.consume(&Consume::new("tls", "1")).await.unwrap();
    let publisher = channel.confirm().await.unwrap();
    let (routing_key, body) = ("tls".to_owned(), vec![7; 300_000]);
    let publication = Publication { routing_key, body, ..Publication::default() };
    assert_eq!(publisher.publish(publication).await.unwrap(), Confirmation::Acked);
    let delivery = next(&mut consumer).await;
    assert!(delivery.body == vec![7; 300_000]);
    channel.ack(delivery.tag).await.unwrap();
}

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

struct Issued {
    ca: std::path::PathBuf,
    identity: Identity,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// Writes a key and its certificate, for these names and addresses, and the authority's.
    fn issue(&self, dir: &Path, name: &str, subjects: &[&str]) -> Issued {
        let key = KeyPair::generate().unwrap();
        let subjects: Vec<_> = subjects.iter().map(|subject| (*subject).to_owned()).collect();
        let mut params = CertificateParams::new(subjects).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let write = |what: &str, pem: &str| {
            let path = dir.join(format!("{name}-{what}.pem"));
            fs::write(&path, pem).unwrap();
            path
        };
        Issued {
            ca: write("ca", &self.certificate),
            identity: Identity {
                cert: write("cert", &certificate),
                key: write("key", &key.serialize_pem()),
            },
        }
    }
}
