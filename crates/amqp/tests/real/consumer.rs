//! Receiving.

use std::time::Duration;

use amqp::{Channel, Connection, Consume, Error, Options, Publication, Queue, ReplyCode};
use testkit::Broker;

use crate::broker::{channel, connect_with, next, options, shared, soon};

/// A queue with messages whose bodies are numbers.
async fn fill(broker: &Broker, queue: &str, count: u32) -> (Connection, Channel) {
    let (connection, channel) = channel(broker).await;
    channel.declare_queue(&Queue::new(queue)).await.unwrap();
    publish(&channel, queue, count).await;
    (connection, channel)
}

async fn publish(channel: &Channel, queue: &str, count: u32) {
    let publisher = channel.confirm().await.unwrap();
    let publish = |number: u32| {
        let (routing_key, body) = (queue.to_owned(), number.to_string().into_bytes());
        let publisher = publisher.clone();
        let publication = Publication { routing_key, body, ..Publication::default() };
        async move { publisher.publish(publication).await }
    };
    let tasks: Vec<_> = (0..count).map(|number| tokio::spawn(publish(number))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

async fn waiting(channel: &Channel, queue: &str) -> u32 {
    let queue = Queue { passive: true, ..Queue::new(queue) };
    channel.declare_queue(&queue).await.unwrap().messages
}

#[tokio::test]
async fn messages_come_in_order_and_as_many_as_allowed() {
    let broker = shared();
    let (connection, filling) = fill(&broker, "limited", 10).await;
    let channel = connection.channel().await.unwrap();
    channel.qos(3).await.unwrap();
    let mut consumer = channel.consume(&Consume::new("limited", "c")).await.unwrap();
    assert_eq!(consumer.tag(), "c");
    let mut tags = Vec::new();
    for number in 0..3 {
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.body, number.to_string().into_bytes());
        tags.push(delivery.tag);
    }
    assert_eq!(waiting(&filling, "limited").await, 7, "three are under way");
    channel.ack_up_to(tags[1]).await.unwrap();
    for number in 3..5 {
        assert_eq!(next(&mut consumer).await.body, number.to_string().into_bytes());
    }
    assert_eq!(waiting(&filling, "limited").await, 5);

    // Refused ones come again, or never.
    channel.reject(tags[2], true).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((again.body, again.redelivered), (b"2".to_vec(), true));
    channel.reject_up_to(again.tag, false).await.unwrap();
    assert_eq!(next(&mut consumer).await.body, b"5");
}

#[tokio::test]
async fn a_message_that_was_not_acknowledged_comes_again() {
    let broker = shared();
    let (connection, channel) = fill(&broker, "again", 2).await;
    let mut consumer = channel.consume(&Consume::new("again", "1")).await.unwrap();
    let first = next(&mut consumer).await;
    channel.ack(first.tag).await.unwrap();
    assert!(!next(&mut consumer).await.redelivered);
    channel.close().await.unwrap();
    assert!(matches!(consumer.next().await, Err(Error::Finished)));

    let channel = connection.channel().await.unwrap();
    let mut consumer = channel.consume(&Consume::new("again", "1")).await.unwrap();
    let again = next(&mut consumer).await;
    assert_eq!((again.body, again.redelivered), (b"1".to_vec(), true));
}

#[tokio::test]
async fn a_cancelled_consumer_hands_out_what_it_has() {
    let broker = shared();
    let (_connection, channel) = fill(&broker, "cancelled", 2).await;
    let mut consumer = channel.consume(&Consume::new("cancelled", "1")).await.unwrap();
    next(&mut consumer).await;
    consumer.cancel().await.unwrap();
    publish(&channel, "cancelled", 1).await;
    assert_eq!(next(&mut consumer).await.body, b"1");
    assert!(matches!(consumer.next().await, Err(Error::Finished)));
    assert_eq!(waiting(&channel, "cancelled").await, 1, "what came later");
}

#[tokio::test]
async fn what_a_dropped_consumer_has_not_seen_goes_back() {
    let broker = shared();
    let (_connection, channel) = fill(&broker, "dropped", 5).await;
    let mut consumer = channel.consume(&Consume::new("dropped", "1")).await.unwrap();
    let seen = next(&mut consumer).await;
    drop(consumer);
    soon(async {
        while waiting(&channel, "dropped").await < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The tag is free again, and the channel is the same: what was seen can be acknowledged.
    let mut consumer = channel.consume(&Consume::new("dropped", "1")).await.unwrap();
    channel.ack(seen.tag).await.unwrap();
    for _ in 0..4 {
        let delivery = next(&mut consumer).await;
        assert!(delivery.body != b"0");
        channel.ack(delivery.tag).await.unwrap();
    }
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_is_told() {
    let broker = shared();
    let (_connection, channel) = fill(&broker, "deleted", 1).await;
    let mut consumer = channel.consume(&Consume::new("deleted", "tag")).await.unwrap();
    next(&mut consumer).await;
    broker.ctl(&["delete_queue", "-p", "weir", "deleted"]).unwrap();
    let error = soon(consumer.next()).await.unwrap_err();
    let expected = "the broker cancelled the consumer 'tag' of queue 'deleted'";
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, Error::Cancelled { .. }), "{error:?}");
    // The channel goes on.
    channel.declare_queue(&Queue::new("deleted")).await.unwrap();
    channel.consume(&Consume::new("deleted", "tag")).await.unwrap();
}

#[tokio::test]
async fn a_wrong_acknowledgement_closes_the_channel_and_says_so() {
    let broker = shared();
    let (_connection, channel) = fill(&broker, "twice", 1).await;
    let mut consumer = channel.consume(&Consume::new("twice", "1")).await.unwrap();
    let delivery = next(&mut consumer).await;
    channel.ack(delivery.tag).await.unwrap();
    channel.ack(delivery.tag).await.unwrap();
    let error = soon(consumer.next()).await.unwrap_err();
    assert_eq!(error.refusal().unwrap().code, ReplyCode::PRECONDITION_FAILED);
    assert!(error.to_string().starts_with("cannot acknowledge: 406"), "{error}");
}

/// With this heartbeat the broker hangs up on those who are silent for twice as long.
const BEAT: Duration = Duration::from_secs(3);

#[tokio::test]
async fn one_who_does_not_read_holds_up_nobody_and_no_heartbeat() {
    let broker = shared();
    let (_filling, _channel) = fill(&broker, "slow", 2000).await;
    let options = Options { heartbeat: BEAT, ..options() };
    let connection = connect_with(&broker, &options).await;
    let channel = connection.channel().await.unwrap();
    let mut slow = channel.consume(&Consume::new("slow", "1")).await.unwrap();
    let quick = connection.channel().await.unwrap();
    quick.declare_queue(&Queue::new("quick")).await.unwrap();
    let mut beats = tokio::time::interval(BEAT);
    for _ in 0..4 {
        beats.tick().await;
        assert_eq!(waiting(&quick, "quick").await, 0, "the connection lives and is read");
    }
    for number in 0..2000 {
        let delivery = next(&mut slow).await;
        assert_eq!(delivery.body, number.to_string().into_bytes());
        channel.ack(delivery.tag).await.unwrap();
    }
}

#[tokio::test]
async fn one_who_does_not_acknowledge_gets_everything() {
    let broker = shared();
    let (_filling, _channel) = fill(&broker, "unlimited", 3000).await;
    let options = Options { heartbeat: BEAT, ..options() };
    let connection = connect_with(&broker, &options).await;
    let channel = connection.channel().await.unwrap();
    channel.qos(10).await.unwrap();
    let consume = Consume { no_ack: true, ..Consume::new("unlimited", "1") };
    // It has room for ten, and is not read for longer than the broker waits for a heartbeat.
    let mut consumer = channel.consume(&consume).await.unwrap();
    tokio::time::timeout(BEAT * 3, connection.closed()).await.unwrap_err();
    for number in 0..2000 {
        assert_eq!(next(&mut consumer).await.body, number.to_string().into_bytes());
    }
    consumer.cancel().await.unwrap();
    channel.qos(1).await.unwrap();
}
