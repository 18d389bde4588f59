//! Publishing, and what the broker says to it.

use amqp::{
    Confirmation, Consume, Options, Properties, Publication, Queue, Refusal, ReplyCode, Table,
};

use crate::broker::{channel, connect_with, next, options, shared, soon};

#[tokio::test]
async fn a_message_comes_back_as_it_was_sent() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    channel.declare_queue(&Queue::new("whole")).await.unwrap();
    let publisher = channel.confirm().await.unwrap();
    let properties = Properties {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        headers: Some(Table::new().with("ünï", true).with("inner", Table::new().with("n", -1))),
        delivery_mode: Some(2),
        priority: Some(0),
        correlation_id: Some("c".to_owned()),
        reply_to: Some("r".to_owned()),
        expiration: Some("60000".to_owned()),
        message_id: Some("m".to_owned()),
        timestamp: Some(1_700_000_000),
        kind: Some("k".to_owned()),
        user_id: Some("weir".to_owned()),
        app_id: Some("a".to_owned()),
        cluster_id: Some("l".to_owned()),
    };
    let sent = Publication {
        exchange: String::new(),
        routing_key: "whole".to_owned(),
        mandatory: true,
        properties,
        body: b"{}".to_vec(),
    };
    assert_eq!(publisher.publish(sent.clone()).await.unwrap(), Confirmation::Acked);
    let mut consumer = channel.consume(&Consume::new("whole", "1")).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.properties, sent.properties);
    assert_eq!((delivery.exchange, delivery.routing_key), (sent.exchange, sent.routing_key));
    assert_eq!(delivery.body, sent.body);
    assert!(!delivery.redelivered);
}

#[tokio::test]
async fn bodies_of_every_size_come_through() {
    let broker = shared();
    let connection = connect_with(&broker, &Options { frame_max: 4096, ..options() }).await;
    let channel = connection.channel().await.unwrap();
    channel.declare_queue(&Queue::new("sizes")).await.unwrap();
    let publisher = channel.confirm().await.unwrap();
    let mut consumer = channel.consume(&Consume::new("sizes", "1")).await.unwrap();
    // Around one and two frames, and more than the driver puts together at once.
    for size in [0, 1, 4087, 4088, 4089, 8176, 8177, 3 << 20] {
        let body: Vec<u8> = (0..=250).cycle().take(size).collect();
        let (routing_key, sent) = ("sizes".to_owned(), body.clone());
        let publication = Publication { routing_key, body: sent, ..Publication::default() };
        assert_eq!(publisher.publish(publication).await.unwrap(), Confirmation::Acked);
        let delivery = next(&mut consumer).await;
        assert!(delivery.body == body, "{size} bytes");
        channel.ack(delivery.tag).await.unwrap();
    }
}

#[tokio::test]
async fn a_mandatory_message_that_reaches_nobody_comes_back() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    channel.declare_queue(&Queue::new("somebody")).await.unwrap();
    let publisher = channel.confirm().await.unwrap();
    let publish = |number: usize| {
        let publisher = publisher.clone();
        async move {
            let routed = number.is_multiple_of(3);
            let publication = Publication {
                routing_key: if routed { "somebody" } else { "nobody" }.to_owned(),
                mandatory: number.is_multiple_of(2),
                body: number.to_string().into_bytes(),
                ..Publication::default()
            };
            publisher.publish(publication).await.unwrap()
        }
    };
    // All at once, so that the broker confirms many with one word.
    let tasks: Vec<_> = (0..300).map(|number| tokio::spawn(publish(number))).collect();
    let text = "NO_ROUTE".to_owned();
    let no_route = Confirmation::Returned(Refusal { code: ReplyCode::NO_ROUTE, text });
    for (number, task) in tasks.into_iter().enumerate() {
        let lost = !number.is_multiple_of(3) && number.is_multiple_of(2);
        let expected = if lost { no_route.clone() } else { Confirmation::Acked };
        assert_eq!(soon(task).await.unwrap(), expected, "message {number}");
    }
}

#[tokio::test]
async fn a_missing_exchange_fails_all_that_is_under_way() {
    let broker = shared();
    let (connection, channel) = channel(&broker).await;
    let publisher = channel.confirm().await.unwrap();
    let exchange = "missing".to_owned();
    let lost = Publication { exchange, ..Publication::default() };
    let (first, second) =
        soon(async { tokio::join!(publisher.publish(lost.clone()), publisher.publish(lost)) })
            .await;
    for outcome in [first, second] {
        let error = outcome.unwrap_err();
        assert_eq!(error.refusal().unwrap().code, ReplyCode::NOT_FOUND);
        let message = error.to_string();
        assert!(message.starts_with("cannot publish: 404 NOT_FOUND"), "{message}");
        assert!(message.contains("'missing'"), "{message}");
    }
    connection.channel().await.unwrap();
}

#[tokio::test]
async fn a_message_that_a_full_queue_rejects_is_nacked() {
    let broker = shared();
    let (_connection, channel) = channel(&broker).await;
    let arguments = Table::new().with("x-max-length", 1).with("x-overflow", "reject-publish");
    channel.declare_queue(&Queue { arguments, ..Queue::new("full") }).await.unwrap();
    let publisher = channel.confirm().await.unwrap();
    let routing_key = "full".to_owned();
    let publication = Publication { routing_key, ..Publication::default() };
    let mut outcomes = Vec::new();
    for _ in 0..3 {
        outcomes.push(publisher.publish(publication.clone()).await.unwrap());
    }
    assert_eq!(outcomes.first(), Some(&Confirmation::Acked));
    assert_eq!(outcomes.last(), Some(&Confirmation::Nacked));
}
