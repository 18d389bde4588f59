//! Declarations, and how the broker refuses them.

use amqp::{
    Binding, Consume, Error, Exchange, ExchangeKind, Publication, Queue, ReplyCode, Table, Value,
};

use crate::broker::{channel, connect, next, shared};

#[tokio::test]
async fn queues_and_exchanges_are_made_and_unmade() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    let exchange = Exchange::new("made", ExchangeKind::TOPIC);
    channel.declare_exchange(&exchange).await.unwrap();
    let queue = Queue::new("made");
    let declared = channel.declare_queue(&queue).await.unwrap();
    assert_eq!((declared.name.as_str(), declared.messages, declared.consumers), ("made", 0, 0));
    let binding = Binding::new("made", "made", "a.*");
    channel.bind(&binding).await.unwrap();

    let publisher = channel.confirm().await.unwrap();
    let publication = |key: &str| Publication {
        exchange: "made".to_owned(),
        routing_key: key.to_owned(),
        ..Publication::default()
    };
    for key in ["a.b", "a.b.c", "a.c"] {
        publisher.publish(publication(key)).await.unwrap();
    }
    assert_eq!(channel.declare_queue(&Queue { passive: true, ..queue }).await.unwrap().messages, 2);
    assert_eq!(channel.purge_queue("made").await.unwrap(), 2);

    channel.unbind(&binding).await.unwrap();
    publisher.publish(publication("a.b")).await.unwrap();
    assert_eq!(channel.delete_queue("made").await.unwrap(), 0);
    channel.delete_exchange("made").await.unwrap();
    channel.delete_exchange("made").await.unwrap();
    let passive = Exchange { passive: true, ..exchange };
    let error = channel.declare_exchange(&passive).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code, ReplyCode::NOT_FOUND);
}

#[tokio::test]
async fn a_queue_without_a_name_gets_one() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    let queue = Queue { exclusive: true, ..Queue::new("") };
    let declared = channel.declare_queue(&queue).await.unwrap();
    assert!(declared.name.starts_with("amq.gen-"), "{declared:?}");
    let other = connect(&broker).await.channel().await.unwrap();
    let error = other.consume(&Consume::new(&declared.name, "1")).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code, ReplyCode::RESOURCE_LOCKED);
}

#[tokio::test]
async fn arguments_reach_the_broker_as_they_are() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    let arguments = Table::new()
        .with("x-queue-type", "quorum")
        .with("x-expires", 1_800_000_i64)
        .with("x-delivery-limit", 3_000_000_000_i64);
    let queue = Queue { durable: true, arguments, ..Queue::new("quorum") };
    channel.declare_queue(&queue).await.unwrap();
    channel.declare_queue(&queue).await.unwrap();
    let listed = broker.ctl(&["list_queues", "-p", "weir", "name", "type", "arguments"]).unwrap();
    let line = listed.lines().find(|line| line.starts_with("quorum\t")).unwrap();
    assert!(line.starts_with("quorum\tquorum\t"), "{line}");
    for argument in ["x-expires\",1800000", "x-delivery-limit\",3000000000"] {
        assert!(line.contains(argument), "{line}");
    }
    let with = queue.arguments.clone().with("x-expires", Value::I64(1));
    let other = Queue { arguments: with, ..queue };
    let error = channel.declare_queue(&other).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code, ReplyCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_stream_is_read_from_its_beginning() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    let arguments = Table::new().with("x-queue-type", "stream");
    let queue = Queue { durable: true, arguments, ..Queue::new("stream") };
    channel.declare_queue(&queue).await.unwrap();
    let publisher = channel.confirm().await.unwrap();
    for body in [&b"first"[..], b"second"] {
        let (routing_key, body) = ("stream".to_owned(), body.to_vec());
        publisher.publish(Publication { routing_key, body, ..Default::default() }).await.unwrap();
    }
    for tag in ["1", "2"] {
        let arguments = Table::new().with("x-stream-offset", "first");
        let consume = Consume { arguments, ..Consume::new("stream", tag) };
        let mut consumer = channel.consume(&consume).await.unwrap();
        for body in [&b"first"[..], b"second"] {
            let delivery = next(&mut consumer).await;
            assert_eq!(delivery.body, body);
            channel.ack(delivery.tag).await.unwrap();
        }
    }
}

#[tokio::test]
async fn another_declaration_is_refused_with_the_name_of_the_queue() {
    let broker = shared();
    let (connection, channel) = channel(&broker).await;
    let queue = Queue::new("q-plugin");
    channel.declare_queue(&queue).await.unwrap();
    let durable = Queue { durable: true, ..queue };
    let error = channel.declare_queue(&durable).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert_eq!(error.refusal().unwrap().code, ReplyCode::PRECONDITION_FAILED);
    let message = error.to_string();
    assert!(message.starts_with("cannot declare the queue 'q-plugin': 406 PRECONDITION_FAILED"));
    assert!(message.contains("durable"), "{message}");

    // The channel is over and says why; the connection goes on.
    let again = channel.qos(1).await.unwrap_err();
    assert_eq!(again.to_string(), message);
    let next = connection.channel().await.unwrap();
    assert_eq!(next.delete_queue("q-plugin").await.unwrap(), 0);
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let broker = shared();
    let connection = connect(&broker).await;
    let channel = connection.channel().await.unwrap();
    let error = channel.consume(&Consume::new("missing", "1")).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code, ReplyCode::NOT_FOUND);
    assert!(error.to_string().starts_with("cannot consume the queue 'missing': 404 NOT_FOUND"));

    let channel = connection.channel().await.unwrap();
    channel.declare_queue(&Queue::new("there")).await.unwrap();
    // Others who wait on the channel are told the same.
    let binding = Binding::new("there", "missing", "");
    let (bound, limited) = tokio::join!(channel.bind(&binding), channel.qos(1));
    let expected = "cannot bind the queue 'there' to the exchange 'missing': 404 NOT_FOUND";
    let message = bound.unwrap_err().to_string();
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(limited.unwrap_err().to_string(), message);
}

#[tokio::test]
async fn a_name_that_is_too_long_is_not_sent() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    let error = channel.declare_queue(&Queue::new("x".repeat(256))).await.unwrap_err();
    assert!(matches!(error, Error::TooLong { .. }), "{error:?}");
    channel.declare_queue(&Queue::new("x".repeat(255))).await.unwrap();
}
