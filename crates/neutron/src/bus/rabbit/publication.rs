//! What a message is on the broker: oslo.messaging's properties, and the topology as the client
//! declares it.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::{Properties, Publication, Table, Value};

use crate::oslo::{Argument, Binding, Exchange, ExchangeKind, Queue};

/// A message to this exchange.
pub(super) fn publication(exchange: &str, routing_key: &str, body: Vec<u8>) -> Publication {
    let properties = Properties {
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        headers: Some(Table::new()),
        delivery_mode: Some(2),
        priority: Some(0),
        ..Properties::default()
    };
    let (exchange, routing_key) = (exchange.to_owned(), routing_key.to_owned());
    Publication { exchange, routing_key, mandatory: false, properties, body }
}

/// The message of which nobody has any use after this time.
pub(super) fn expiring(mut publication: Publication, after: Duration) -> Publication {
    publication.properties.expiration = Some(after.as_millis().max(1).to_string());
    publication
}

pub(super) fn exchange(exchange: &Exchange) -> amqp::Exchange {
    let kind = match exchange.kind {
        ExchangeKind::Topic => amqp::ExchangeKind::TOPIC,
        ExchangeKind::Fanout => amqp::ExchangeKind::FANOUT,
    };
    let (durable, auto_delete) = (exchange.durable, exchange.auto_delete);
    amqp::Exchange { durable, auto_delete, ..amqp::Exchange::new(exchange.name.as_str(), kind) }
}

pub(super) fn queue(queue: &Queue) -> amqp::Queue {
    let (durable, auto_delete) = (queue.durable, queue.auto_delete);
    let arguments = table(&queue.arguments);
    amqp::Queue { durable, auto_delete, arguments, ..amqp::Queue::new(queue.name.as_str()) }
}

pub(super) fn binding(binding: &Binding) -> amqp::Binding {
    let Binding { queue, exchange, routing_key } = binding;
    amqp::Binding::new(queue.as_str(), exchange.as_str(), routing_key.as_str())
}

pub(super) fn table(arguments: &BTreeMap<&'static str, Argument>) -> Table {
    let mut table = Table::new();
    for (name, argument) in arguments {
        let value: Value = match argument {
            Argument::Number(number) => i64::try_from(*number).unwrap_or(i64::MAX).into(),
            Argument::Text(text) => text.as_str().into(),
            Argument::Bool(value) => (*value).into(),
        };
        table.insert(name, value);
    }
    table
}
