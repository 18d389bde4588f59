//! Why something did not happen: who is to blame and what to do.

use std::{fmt, io, sync::Arc, time::Duration};

use crate::Fault;

/// The outcome of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The broker refused, or could not be talked to. Everybody who waited gets the same, so it can be
/// cloned.
#[non_exhaustive]
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Nobody answers there.
    #[error("cannot connect to {peer}")]
    Connect {
        /// Host and port.
        peer: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// It took too long.
    #[error("no connection to {peer} within {limit:?}")]
    ConnectDeadline {
        /// Host and port.
        peer: String,
        /// How long it was tried.
        limit: Duration,
    },
    /// Somebody else is there, or something that speaks another version, or TLS.
    #[error("{peer} does not speak AMQP 0-9-1 (if it expects TLS, switch TLS on)")]
    NotAmqp {
        /// Host and port.
        peer: String,
    },
    /// TLS cannot be spoken with what was given.
    #[error(transparent)]
    Tls(#[from] peer::tls::Error),
    /// The broker's certificate is not of the authority that it should be of, or not for its name.
    #[error("the certificate of {peer} is not trusted; look at the file of the authority")]
    Untrusted {
        /// Host and port.
        peer: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// None of the ways to log in suits both.
    #[error("{peer} does not let log in by {wanted}, only by {offered}")]
    Mechanism {
        /// Host and port.
        peer: String,
        /// What was asked for.
        wanted: &'static str,
        /// What it offers.
        offered: String,
    },
    /// Wrong user or password.
    #[error("{peer} does not know the user '{user}' with this password: {refusal}")]
    Login {
        /// Host and port.
        peer: String,
        /// The user.
        user: String,
        /// What the broker said.
        refusal: Refusal,
    },
    /// There is no such virtual host, or the user may not use it.
    #[error("{peer} does not open virtual host '{vhost}' to the user '{user}': {refusal}")]
    VirtualHost {
        /// Host and port.
        peer: String,
        /// The virtual host.
        vhost: String,
        /// The user.
        user: String,
        /// What the broker said.
        refusal: Refusal,
    },
    /// The broker ended the connection and said why.
    #[error("{peer} closed the connection: {refusal}")]
    Closed {
        /// Host and port.
        peer: String,
        /// What it said.
        refusal: Refusal,
    },
    /// The connection ended without a word.
    #[error("lost the connection to {peer}")]
    Lost {
        /// Host and port.
        peer: String,
        /// How.
        #[source]
        source: Arc<io::Error>,
    },
    /// Nothing came, not even a heartbeat.
    #[error("{peer} was silent for {period:?}")]
    Silent {
        /// Host and port.
        peer: String,
        /// How long.
        period: Duration,
    },
    /// The broker said what it must not.
    #[error("{peer} broke the protocol")]
    Peer {
        /// Host and port.
        peer: String,
        /// How.
        #[source]
        fault: Fault,
    },
    /// The broker refused what was asked and closed the channel.
    #[error("cannot {action}: {refusal}")]
    Refused {
        /// What was asked, with the names it was about.
        action: String,
        /// What the broker said.
        refusal: Refusal,
    },
    /// The broker takes back a consumer: its queue was deleted, or moved.
    #[error("the broker cancelled the consumer '{tag}' of queue '{queue}'")]
    Cancelled {
        /// The queue.
        queue: String,
        /// The consumer's tag.
        tag: String,
    },
    /// A name or property has more than 255 bytes.
    #[error("'{text}' is longer than 255 bytes")]
    TooLong {
        /// Its beginning.
        text: String,
    },
    /// The connection has as many channels as both sides agreed on.
    #[error("there is no room for another channel, {most} are open")]
    NoChannel {
        /// How many that is.
        most: u16,
    },
    /// It was closed from here, or all handles are gone.
    #[error("the connection or channel has been closed on this side")]
    Finished,
}

/// What a broker says when it closes a connection or a channel, or returns a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ReplyCode,
    /// The broker's words, with the name of what it is about.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.0, self.text)
    }
}

/// A reply code of AMQP 0-9-1 (section 1.2 of the reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(pub u16);

impl ReplyCode {
    /// Nothing is wrong.
    pub const SUCCESS: Self = Self(200);
    /// A mandatory message reached no queue.
    pub const NO_ROUTE: Self = Self(312);
    /// The broker stops, or an operator closes the connection.
    pub const CONNECTION_FORCED: Self = Self(320);
    /// The user may not do that.
    pub const ACCESS_REFUSED: Self = Self(403);
    /// There is no such queue, exchange or virtual host.
    pub const NOT_FOUND: Self = Self(404);
    /// Somebody else has the queue to himself.
    pub const RESOURCE_LOCKED: Self = Self(405);
    /// It exists already, but is declared otherwise; or an acknowledgement for nothing.
    pub const PRECONDITION_FAILED: Self = Self(406);
    /// It must not be done, by anybody.
    pub const NOT_ALLOWED: Self = Self(530);
    /// The broker itself failed.
    pub const INTERNAL_ERROR: Self = Self(541);
}

impl Error {
    /// The broker's words, if this is a refusal.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Login { refusal, .. }
            | Self::VirtualHost { refusal, .. }
            | Self::Closed { refusal, .. }
            | Self::Refused { refusal, .. } => Some(refusal),
            _ => None,
        }
    }

    pub(crate) fn too_long(text: &str) -> Self {
        Self::TooLong { text: text.chars().take(40).collect() }
    }
}
