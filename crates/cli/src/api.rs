//! A client of the API: JSON over HTTP/1.1 (RFC 9112), one connection that is kept.
//!
//! Just enough for the commands of this program, which only ever talk to Weir or to a Neutron
//! server in front of them: no TLS, no redirects, no authentication.

use std::{fmt, io, str::FromStr, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// The longest line of a header, in bytes.
const LONGEST_LINE: u64 = 16 * 1024;
/// The longest body, in bytes.
const LONGEST_BODY: u64 = 256 * 1024 * 1024;
/// The most lines of a header.
const MOST_LINES: usize = 256;

/// Where an API is: `http://HOST:PORT` and a path in front of `/v2.0`, usually none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port, as in the header `Host`.
    authority: String,
    /// What precedes every path, without a slash at its end.
    prefix: String,
}

/// Text that is no [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no address of an API; it looks like http://127.0.0.1:9696")]
pub(crate) struct ParseEndpointError {
    text: String,
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, ParseEndpointError> {
        let bad = || ParseEndpointError { text: text.to_owned() };
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let legal = |part: &str| part.chars().all(|c| c.is_ascii_graphic() && c != '@');
        if authority.is_empty() || !legal(authority) || !legal(prefix) {
            return Err(bad());
        }
        // The colons of an IPv6 address stand in brackets.
        let after_host = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
        let authority = match after_host.rsplit_once(':') {
            None => format!("{authority}:80"),
            Some((_, port)) if port.parse::<u16>().is_ok() => authority.to_owned(),
            Some(_) => return Err(bad()),
        };
        let prefix = prefix.trim_end_matches('/');
        let slash = if prefix.is_empty() { "" } else { "/" };
        Ok(Self { authority, prefix: format!("{slash}{prefix}") })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// Why the API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Nobody answers there.
    #[error("cannot reach the API at {endpoint}; is 'weir up' running?")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("{method} {url}")]
    Exchange {
        /// The method.
        method: &'static str,
        /// The whole address.
        url: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The server refuses.
    #[error("{method} {url}: {status}: {message}")]
    Refused {
        /// The method.
        method: &'static str,
        /// The whole address.
        url: String,
        /// The HTTP status.
        status: u16,
        /// Neutron's message, or the body as it is.
        message: String,
    },
    /// The answer has another form than the API's.
    #[error("{method} {url}: the answer cannot be read")]
    Answer {
        /// The method.
        method: &'static str,
        /// The whole address.
        url: String,
        /// Where it went wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// A user of the API. It connects when first asked, and again when the server has hung up.
#[derive(Debug)]
pub(crate) struct Api {
    endpoint: Endpoint,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Debug)]
struct Response {
    status: u16,
    body: Vec<u8>,
    /// Whether the server takes another request on this connection.
    keep: bool,
}

impl Api {
    /// A user of the API that is there.
    pub(crate) const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, connection: None }
    }

    /// Reads `kind` of what lies under `path`: `get("/v2.0/ports/<id>", "port")`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn get<T: DeserializeOwned>(
        &mut self,
        path: &str,
        kind: &str,
    ) -> Result<T, ApiError> {
        self.request("GET", path, kind, None).await
    }

    /// Creates `{kind: resource}` under `path` and returns `kind` of the answer.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn create<T: DeserializeOwned>(
        &mut self,
        path: &str,
        kind: &str,
        resource: &(impl Serialize + Sync),
    ) -> Result<T, ApiError> {
        let body = serde_json::json!({ kind: resource });
        self.request("POST", path, kind, Some(body)).await
    }

    /// Deletes what lies under `path`.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub(crate) async fn delete(&mut self, path: &str) -> Result<(), ApiError> {
        self.request("DELETE", path, "", None).await
    }

    async fn request<T: DeserializeOwned>(
        &mut self,
        method: &'static str,
        path: &str,
        kind: &str,
        body: Option<Value>,
    ) -> Result<T, ApiError> {
        let url = || format!("{}{path}", self.endpoint);
        let target = format!("{}{path}", self.endpoint.prefix);
        let message = message(method, &target, &self.endpoint.authority, body.as_ref());

        // A connection that lay idle may have been closed by the server; that is no failure.
        let kept = match self.connection.take() {
            Some(mut connection) => exchange(&mut connection, &message)
                .await
                .ok()
                .map(|response| (connection, response)),
            None => None,
        };
        let (connection, response) = match kept {
            Some(kept) => kept,
            None => {
                let mut connection = self.connect().await?;
                let response = exchange(&mut connection, &message)
                    .await
                    .map_err(|source| ApiError::Exchange { method, url: url(), source })?;
                (connection, response)
            }
        };
        if !(200..300).contains(&response.status) {
            let (url, status) = (url(), response.status);
            return Err(ApiError::Refused { method, url, status, message: said(&response.body) });
        }
        let unreadable = |source| ApiError::Answer { method, url: url(), source };
        let mut answer: Value = match response.body.as_slice() {
            [] => Value::Null,
            body => serde_json::from_slice(body).map_err(unreadable)?,
        };
        let inner = answer.get_mut(kind).map(Value::take).unwrap_or_default();
        let value = serde_json::from_value(inner).map_err(unreadable)?;
        if response.keep {
            self.connection = Some(connection);
        }
        Ok(value)
    }

    async fn connect(&self) -> Result<BufReader<TcpStream>, ApiError> {
        let connected = timeout(DEADLINE, TcpStream::connect(&self.endpoint.authority)).await;
        let stream = in_time(connected).and_then(|stream| {
            stream.set_nodelay(true)?;
            Ok(stream)
        });
        let endpoint = || self.endpoint.clone();
        let stream = stream.map_err(|source| ApiError::Connect { endpoint: endpoint(), source })?;
        Ok(BufReader::new(stream))
    }
}

/// A request as it goes over the wire.
fn message(method: &str, target: &str, authority: &str, body: Option<&Value>) -> Vec<u8> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: {authority}\r\nAccept: application/json\r\n\
         {content}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What the body of a refusal says.
fn said(body: &[u8]) -> String {
    match serde_json::from_slice::<neutron::rest::ErrorBody>(body) {
        Ok(body) => body.error.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

async fn exchange(connection: &mut BufReader<TcpStream>, message: &[u8]) -> io::Result<Response> {
    let exchange = async {
        connection.get_mut().write_all(message).await?;
        read_response(connection).await
    };
    in_time(timeout(DEADLINE, exchange).await)
}

fn in_time<T>(outcome: Result<io::Result<T>, tokio::time::error::Elapsed>) -> io::Result<T> {
    outcome.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads one response: RFC 9112 sections 4 to 7.
async fn read_response(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Response> {
    let line = read_line(reader).await?;
    let bad_line = || invalid(format!("no HTTP status line: '{line}'"));
    let (version, rest) = line.split_once(' ').ok_or_else(bad_line)?;
    if !version.starts_with("HTTP/1.") {
        return Err(bad_line());
    }
    let status = rest.split(' ').next().and_then(|status| status.parse().ok());
    let status: u16 = status.ok_or_else(bad_line)?;

    let mut length = None;
    let mut chunked = false;
    let mut keep = version == "HTTP/1.1";
    for (name, value) in read_fields(reader).await? {
        match name.as_str() {
            "content-length" => {
                let bad = || invalid(format!("no length of a body: '{value}'"));
                length = Some(value.parse::<u64>().map_err(|_| bad())?);
            }
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => keep &= !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    let mut body = Vec::new();
    match (status, chunked, length) {
        (204 | 304, ..) => {}
        (_, true, _) => read_chunks(reader, &mut body).await?,
        (_, false, Some(length)) => read_exactly(reader, length, &mut body).await?,
        (_, false, None) => {
            reader.take(LONGEST_BODY).read_to_end(&mut body).await?;
            keep = false;
        }
    }
    Ok(Response { status, body, keep })
}

/// The fields of a header or trailer, with their names in lower case, up to the empty line.
async fn read_fields(
    reader: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(reader).await?;
        if line.is_empty() {
            return Ok(fields);
        }
        let Some((name, value)) = line.split_once(':') else {
            return Err(invalid(format!("no field of a header: '{line}'")));
        };
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        if fields.len() > MOST_LINES {
            return Err(invalid("the header has no end".to_owned()));
        }
    }
}

async fn read_chunks(
    reader: &mut (impl AsyncBufRead + Unpin),
    body: &mut Vec<u8>,
) -> io::Result<()> {
    loop {
        let line = read_line(reader).await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let bad = || invalid(format!("no size of a chunk: '{line}'"));
        let size = u64::from_str_radix(size, 16).map_err(|_| bad())?;
        if size == 0 {
            return read_fields(reader).await.map(drop);
        }
        read_exactly(reader, size, body).await?;
        if !read_line(reader).await?.is_empty() {
            return Err(invalid("a chunk is longer than it says".to_owned()));
        }
    }
}

async fn read_exactly(
    reader: &mut (impl AsyncBufRead + Unpin),
    length: u64,
    body: &mut Vec<u8>,
) -> io::Result<()> {
    let so_far = u64::try_from(body.len()).unwrap_or(u64::MAX);
    if so_far.saturating_add(length) > LONGEST_BODY {
        return Err(invalid(format!("the body is longer than {LONGEST_BODY} bytes")));
    }
    let read = reader.take(length).read_to_end(body).await?;
    if u64::try_from(read) == Ok(length) {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A line without its end.
async fn read_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    let Some(line) = line.strip_suffix(b"\n") else {
        return Err(io::ErrorKind::UnexpectedEof.into());
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map_err(|_| invalid("the header is not text".to_owned()))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests;
