//! Brokers that hang, crash, stop, and are full.

use std::time::Duration;

use amqp::{Confirmation, Connection, Consume, Error, Options, Publication, Queue, ReplyCode};
use testkit::Broker;

use crate::broker::{channel, connect, connect_with, options, soon};

/// Long enough for a busy machine.
const BEAT: Duration = Duration::from_secs(3);

/// One broker for all of it, because each takes seconds to start.
#[tokio::test]
async fn a_broker_in_trouble_is_noticed() {
    let broker = Broker::start().unwrap();
    frozen(&broker).await;
    full(&broker).await;
    killed(&broker).await;
    stopped(&broker).await;
}

/// It is there, but silent: nothing but the heartbeat tells.
async fn frozen(broker: &Broker) {
    let options = Options { heartbeat: BEAT, ..options() };
    let connection = connect_with(broker, &options).await;
    let channel = connection.channel().await.unwrap();
    channel.declare_queue(&Queue::new("frozen")).await.unwrap();
    let mut consumer = channel.consume(&Consume::new("frozen", "1")).await.unwrap();
    // Both hearts beat while nothing else is said.
    let alive = tokio::time::timeout(BEAT * 3, connection.closed()).await;
    alive.unwrap_err();

    broker.freeze();
    let error = soon(consumer.next()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} was silent for 6s", broker.address()));
    assert!(matches!(soon(connection.closed()).await, Error::Silent { .. }));
    broker.thaw();
    connect(broker).await;
}

/// It takes in nothing until it has memory again.
async fn full(broker: &Broker) {
    let (mut connection, channel) = channel(broker).await;
    channel.declare_queue(&Queue::new("full")).await.unwrap();
    let publisher = channel.confirm().await.unwrap();
    let routing_key = "full".to_owned();
    let publication = Publication { routing_key, ..Publication::default() };
    broker.ctl(&["set_vm_memory_high_watermark", "absolute", "1"]).unwrap();
    // The broker says so to those who publish, and may take the message that it hears of them by.
    let publishing = tokio::spawn({
        let (publisher, publication) = (publisher.clone(), publication.clone());
        async move { publisher.publish(publication).await }
    });
    let reason = soon(connection.blocked_changed()).await;
    assert_eq!(reason.as_deref(), Some("low on memory"));
    assert_eq!(connection.blocked(), reason);
    let mut late = Box::pin(publisher.publish(publication));
    tokio::time::timeout(Duration::from_secs(1), &mut late).await.unwrap_err();

    broker.ctl(&["set_vm_memory_high_watermark", "0.4"]).unwrap();
    assert_eq!(soon(connection.blocked_changed()).await, None);
    assert_eq!(soon(publishing).await.unwrap().unwrap(), Confirmation::Acked);
    assert_eq!(soon(late).await.unwrap(), Confirmation::Acked);
}

/// It crashes in the middle of something, and comes back where it was.
async fn killed(broker: &Broker) {
    let (connection, channel) = channel(broker).await;
    let durable = Queue { durable: true, ..Queue::new("durable") };
    channel.declare_queue(&durable).await.unwrap();
    let mut consumer = channel.consume(&Consume::new("durable", "1")).await.unwrap();
    broker.kill();
    let error = soon(consumer.next()).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    assert!(matches!(soon(connection.closed()).await, Error::Lost { .. }));
    assert!(matches!(channel.qos(1).await, Err(Error::Lost { .. })));
    let (endpoint, login) = (crate::broker::endpoint(broker), crate::broker::login(broker));
    let error = Connection::open(&endpoint, &login, &options()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");

    broker.run().unwrap();
    let channel = connect(broker).await.channel().await.unwrap();
    channel.declare_queue(&Queue { passive: true, ..durable }).await.unwrap();
}

/// It stops in order, and says so.
async fn stopped(broker: &Broker) {
    let (connection, channel) = channel(broker).await;
    channel.declare_queue(&Queue::new("stopped")).await.unwrap();
    let mut consumer = channel.consume(&Consume::new("stopped", "1")).await.unwrap();
    broker.stop().unwrap();
    let error = soon(connection.closed()).await;
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    assert_eq!(error.refusal().unwrap().code, ReplyCode::CONNECTION_FORCED);
    assert!(soon(consumer.next()).await.is_err());
}
