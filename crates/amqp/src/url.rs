//! Where brokers are, as OpenStack's services are told: oslo.messaging's `transport_url`.

use std::{fmt, str::FromStr};

use crate::Secret;

const DEFAULT_PORT: u16 = 5672;
/// What RabbitMQ is installed with, and what oslo.messaging takes when nothing is said.
const DEFAULT_USER: &str = "guest";

/// `rabbit://user:password@host:port,…/virtual-host?option=value&…`, read.
///
/// As in oslo.messaging, everything but the host may be left out, each host has its own user and
/// password, and everything but the host may be percent-encoded. An IPv6 address stands in
/// brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportUrl {
    /// At least one.
    pub hosts: Vec<TransportHost>,
    /// The virtual host; `/` if none is named.
    pub virtual_host: String,
    /// The options after the question mark, in their order.
    pub options: Vec<(String, String)>,
}

/// One host of a [`TransportUrl`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransportHost {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// The port; 5672 if none is named.
    pub port: u16,
    /// The user; `guest` if none is named.
    pub user: String,
    /// The password; `guest` if none is named.
    pub password: Secret,
}

impl FromStr for TransportUrl {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(ParseUrlError::Scheme)?;
        if !matches!(scheme, "rabbit" | "kombu") {
            return Err(ParseUrlError::Driver { driver: scheme.to_owned() });
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = hosts.split(',').filter(|host| !host.is_empty());
        let hosts: Vec<_> = hosts.map(TransportHost::from_str).collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            return Err(ParseUrlError::NoHost);
        }
        let options = query.split('&').filter_map(|option| option.split_once('='));
        let options = options.filter(|(_, value)| !value.is_empty());
        let decode = |text: &str| unquote(&text.replace('+', " "));
        let options = options.map(|(name, value)| (decode(name), decode(value))).collect();
        let virtual_host = if path.is_empty() { "/".to_owned() } else { unquote(path) };
        Ok(Self { hosts, virtual_host, options })
    }
}

impl FromStr for TransportHost {
    type Err = ParseUrlError;

    fn from_str(text: &str) -> Result<Self, ParseUrlError> {
        let (login, place) = text.rsplit_once('@').map_or((None, text), |(a, b)| (Some(a), b));
        let login = login.unwrap_or_default();
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let or_default = |text: &str| {
            if text.is_empty() { DEFAULT_USER.to_owned() } else { unquote(text) }
        };
        let (host, port) = host_and_port(place)?;
        Ok(Self { host, port, user: or_default(user), password: or_default(password).into() })
    }
}

fn host_and_port(place: &str) -> Result<(String, u16), ParseUrlError> {
    let bad_port = || ParseUrlError::Port { place: place.to_owned() };
    let bracketed = place.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(bad_port)?)),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err(ParseUrlError::NoHost);
    }
    let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok()).filter(|&port| port != 0);
    Ok((host.to_owned(), port.ok_or_else(bad_port)?))
}

/// Undoes percent-encoding. A percent sign that is not followed by two digits stands for itself,
/// and what is not UTF-8 afterwards becomes U+FFFD, both as in Python.
fn unquote(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let decoded = (first == b'%').then(|| after.split_first_chunk::<2>()).flatten();
        let decoded = decoded.and_then(|(&[high, low], after)| Some((hex(high, low)?, after)));
        if let Some((byte, after)) = decoded {
            bytes.push(byte);
            rest = after;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// Without passwords, for logs. It can be read again, but nobody can log in with it.
impl fmt::Display for TransportUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rabbit://")?;
        for (number, host) in self.hosts.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        write!(f, "/{}", Quoted(&self.virtual_host))?;
        for (number, (name, value)) in self.options.iter().enumerate() {
            let mark = if number == 0 { '?' } else { '&' };
            write!(f, "{mark}{}={}", Quoted(name), Quoted(value))?;
        }
        Ok(())
    }
}

impl fmt::Display for TransportHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***@", Quoted(&self.user))?;
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Text with everything percent-encoded that could be taken for something else.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                write!(f, "{}", char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        Ok(())
    }
}

/// Text that is no `transport_url` of RabbitMQ. It does not show the text, which has passwords.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseUrlError {
    /// There is no driver in it.
    #[error("a transport URL begins with rabbit://")]
    Scheme,
    /// Another message bus.
    #[error("the transport '{driver}' is not supported, only rabbit is")]
    Driver {
        /// What stands before `://`.
        driver: String,
    },
    /// Nowhere to go to.
    #[error("a transport URL needs a host after rabbit://")]
    NoHost,
    /// The port is not a number from 1 to 65535.
    #[error("'{place}' names no port from 1 to 65535 (IPv6 addresses need brackets)")]
    Port {
        /// The host with its port.
        place: String,
    },
}

#[cfg(test)]
mod tests;
