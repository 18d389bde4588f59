//! Where a broker is, who logs in, and how the connection shall behave.

use std::{fmt, time::Duration};

use peer::tls::{Identity, Trust};

use crate::Secret;

/// Where a broker is and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// With TLS, or without.
    pub tls: Option<Tls>,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How TLS is spoken. Files are in PEM form and are read at each connection, so they may be
/// renewed at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Whom to believe.
    pub trust: Trust,
    /// What to show to a broker that asks for it.
    pub identity: Option<Identity>,
}

/// Who logs in, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// The virtual host.
    pub vhost: String,
    /// How.
    pub mechanism: Mechanism,
}

/// How a client logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mechanism {
    /// User and password in a table: what oslo.messaging does unless told otherwise.
    #[default]
    AmqPlain,
    /// User and password as RFC 4616 has them.
    Plain,
    /// The certificate says who it is.
    External,
}

impl Mechanism {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::AmqPlain => "AMQPLAIN",
            Self::Plain => "PLAIN",
            Self::External => "EXTERNAL",
        }
    }
}

/// How a connection behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the broker shows as the client's name.
    pub connection_name: String,
    /// The program, for the broker's list of connections.
    pub product: String,
    /// Its version.
    pub version: String,
    /// How long both sides may be silent, in whole seconds; the broker may ask for less. After
    /// twice as long without a byte the broker is taken for dead. Zero: no heartbeats.
    pub heartbeat: Duration,
    /// The longest frame; the broker may ask for shorter ones.
    pub frame_max: u32,
    /// The most channels; the broker may ask for fewer.
    pub channel_max: u16,
    /// How long a connection may take to come about, log-in included.
    pub connect_deadline: Duration,
    /// The largest message that is taken from the broker, in bytes. A larger one ends the
    /// connection.
    pub most_bytes: u64,
}

impl Default for Options {
    /// What oslo.messaging does, under the name of nobody.
    fn default() -> Self {
        Self {
            connection_name: String::new(),
            product: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            heartbeat: Duration::from_secs(60),
            frame_max: 131_072,
            channel_max: 2047,
            connect_deadline: Duration::from_secs(10),
            most_bytes: 128 << 20,
        }
    }
}
