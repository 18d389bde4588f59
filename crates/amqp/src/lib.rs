//! A client of RabbitMQ: AMQP 0-9-1 with the broker's own publisher confirms, negative
//! acknowledgements, cancel and blocked notifications.
//!
//! A [`Connection`] is one connection and does not come back by itself: who wants that knows what
//! to declare again, and in which order. Its [`Channel`]s declare exchanges, queues and bindings; a
//! [`Publisher`] sends messages and waits until the broker has them; a [`Consumer`] receives.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use amqp::{Connection, Consume, Endpoint, Login, Mechanism, Options, Publication, Queue, TransportUrl};
//!
//! let url: TransportUrl = "rabbit://guest:guest@localhost/".parse()?;
//! let host = url.hosts.first().ok_or("no host")?;
//! let endpoint = Endpoint { host: host.host.clone(), port: host.port, tls: None };
//! let login = Login {
//!     user: host.user.clone(),
//!     password: host.password.clone(),
//!     vhost: url.virtual_host.clone(),
//!     mechanism: Mechanism::AmqPlain,
//! };
//! let connection = Connection::open(&endpoint, &login, &Options::default()).await?;
//! let channel = connection.channel().await?;
//! channel.declare_queue(&Queue::new("hello")).await?;
//! let publisher = channel.confirm().await?;
//! let routing_key = "hello".to_owned();
//! let body = b"world".to_vec();
//! publisher.publish(Publication { routing_key, body, ..Publication::default() }).await?;
//! let mut consumer = channel.consume(&Consume::new("hello", "1")).await?;
//! let delivery = consumer.next().await?;
//! channel.ack(delivery.tag).await?;
//! # Ok(())
//! # }
//! ```
//!
//! From the wire inwards: `wire` (values), `table`, `properties` and `method` (what frames hold),
//! `frame` (the stream), `handshake` and `session` (one connection, without I/O), `transport`
//! (bytes, TLS), `connection` (the task that owns the stream). `url` reads where OpenStack's
//! services are told their broker is. Nothing here knows what is in a message.
//!
//! Specification: <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>; sections are of that.

mod channel;
mod connection;
mod consumer;
mod declaration;
mod endpoint;
mod error;
mod fault;
mod frame;
mod handshake;
mod message;
mod method;
mod properties;
mod publisher;
mod secret;
mod session;
mod table;
mod transport;
mod url;
mod wire;

pub use channel::Channel;
pub use connection::Connection;
pub use consumer::Consumer;
pub use declaration::{Binding, Consume, Declared, Exchange, ExchangeKind, Queue};
pub use endpoint::{Endpoint, Login, Mechanism, Options, Tls};
pub use error::{Error, Refusal, ReplyCode, Result};
pub use fault::Fault;
pub use message::{Confirmation, Delivery, DeliveryTag, Publication};
pub use peer::tls::{self, Identity, Trust};
pub use properties::Properties;
pub use publisher::Publisher;
pub use secret::Secret;
pub use table::{Table, Value};
pub use url::{ParseUrlError, TransportHost, TransportUrl};
