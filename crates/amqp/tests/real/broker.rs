//! Brokers, and connections to them.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use amqp::{Channel, Connection, Consumer, Delivery, Endpoint, Login, Mechanism, Options};
use testkit::Broker;
use tokio::time::timeout;

/// How long anything may take; nothing does.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// The broker of all tests that leave it as it is. It lives as long as one of them runs.
pub(crate) fn shared() -> Arc<Broker> {
    static SHARED: Mutex<Weak<Broker>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let broker = Arc::new(Broker::start().unwrap());
        *shared = Arc::downgrade(&broker);
        broker
    })
}

pub(crate) fn endpoint(broker: &Broker) -> Endpoint {
    let address = broker.address();
    Endpoint { host: address.ip().to_string(), port: address.port(), tls: None }
}

pub(crate) fn login(broker: &Broker) -> Login {
    Login {
        user: broker.user().to_owned(),
        password: broker.password().into(),
        vhost: broker.vhost().to_owned(),
        mechanism: Mechanism::AmqPlain,
    }
}

pub(crate) fn options() -> Options {
    Options { connect_deadline: SOON, ..Options::default() }
}

pub(crate) async fn connect(broker: &Broker) -> Connection {
    connect_with(broker, &options()).await
}

pub(crate) async fn connect_with(broker: &Broker, options: &Options) -> Connection {
    Connection::open(&endpoint(broker), &login(broker), options).await.unwrap()
}

pub(crate) async fn channel(broker: &Broker) -> (Connection, Channel) {
    let connection = connect(broker).await;
    let channel = connection.channel().await.unwrap();
    (connection, channel)
}

/// The next message, which must come.
pub(crate) async fn next(consumer: &mut Consumer) -> Delivery {
    soon(consumer.next()).await.unwrap()
}

/// What must not take for ever.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(SOON, work).await.expect("not within the time that a test may take")
}
