//! Where a database is: `unix:`, `tcp:` and `ssl:` as in `ovsdb(7)`, section "Connection Methods".

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port that IANA assigned to OVSDB, taken when none is given.
const DEFAULT_PORT: u16 = 6640;

/// Where a database is and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A host (name or address, IPv6 without brackets) and a port.
    Tcp(String, u16),
    /// The same under TLS.
    Tls {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// The key and the certificates.
        files: TlsFiles,
    },
}

/// Files in PEM form. They are read at each connection, so they may be renewed at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificates of the authority that must have signed the server's.
    pub ca: PathBuf,
    /// The client's certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// The client's private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The files where `ovs-pki(8)` and `ovs-vsctl(8)` have them in their examples.
    pub fn conventional() -> Self {
        Self {
            ca: "/etc/openvswitch/cacert.pem".into(),
            cert: "/etc/openvswitch/sc-cert.pem".into(),
            key: "/etc/openvswitch/sc-privkey.pem".into(),
        }
    }
}

impl Remote {
    /// The remote with other TLS files; one without TLS stays as it is.
    #[must_use]
    pub fn with_tls_files(mut self, new: TlsFiles) -> Self {
        if let Self::Tls { files, .. } = &mut self {
            *files = new;
        }
        self
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) => ("tcp", host, port),
            Self::Tls { host, port, .. } => ("ssl", host, port),
        };
        if host.contains(':') {
            write!(f, "{method}:[{host}]:{port}")
        } else {
            write!(f, "{method}:{host}:{port}")
        }
    }
}

impl FromStr for Remote {
    type Err = ParseRemoteError;

    /// Reads `unix:PATH`, `tcp:HOST[:PORT]` or `ssl:HOST[:PORT]`; an IPv6 address stands in
    /// brackets. `ssl:` names no files, so it gets the conventional ones.
    fn from_str(text: &str) -> Result<Self, ParseRemoteError> {
        let method = || ParseRemoteError::Method { text: text.to_owned() };
        let (name, rest) = text.split_once(':').ok_or_else(method)?;
        match name {
            "unix" if rest.is_empty() => Err(ParseRemoteError::Empty { text: text.to_owned() }),
            "unix" => Ok(Self::Unix(rest.into())),
            "tcp" => host_and_port(text, rest).map(|(host, port)| Self::Tcp(host, port)),
            "ssl" => host_and_port(text, rest).map(|(host, port)| Self::Tls {
                host,
                port,
                files: TlsFiles::conventional(),
            }),
            _ => Err(method()),
        }
    }
}

fn host_and_port(text: &str, rest: &str) -> Result<(String, u16), ParseRemoteError> {
    let bracketed = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or_default())),
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    if host.is_empty() {
        return Err(ParseRemoteError::Empty { text: text.to_owned() });
    }
    let bad_port = || ParseRemoteError::Port { text: text.to_owned() };
    let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok()).filter(|&port| port != 0);
    Ok((host.to_owned(), port.ok_or_else(bad_port)?))
}

/// Text that names no database.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRemoteError {
    /// It begins with no known method.
    #[error("'{text}' does not begin with unix:, tcp: or ssl:")]
    Method {
        /// What was given.
        text: String,
    },
    /// The path or the host is missing.
    #[error("'{text}' names no path or host")]
    Empty {
        /// What was given.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("'{text}' names no port from 1 to 65535 (IPv6 addresses need brackets)")]
    Port {
        /// What was given.
        text: String,
    },
}

#[cfg(test)]
mod tests;
