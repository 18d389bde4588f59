//! Just enough HTTP/1.1 (RFC 9112) to be a user of the API: JSON in, JSON out, one connection.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, bail};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to the API server.
#[derive(Debug)]
pub(super) struct Api {
    connection: BufReader<TcpStream>,
    host: SocketAddr,
}

impl Api {
    /// Talks through an open connection.
    ///
    /// # Errors
    /// When the socket takes no timeout.
    pub(super) fn new(connection: TcpStream) -> anyhow::Result<Self> {
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_nodelay(true)?;
        let host = connection.peer_addr()?;
        Ok(Self { connection: BufReader::new(connection), host })
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub(super) fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        self.request("GET", path, None)
    }

    /// Creates `{kind: {...}}` under `path` and returns what is inside `kind` of the answer.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub(super) fn create(&mut self, path: &str, kind: &str, body: &Value) -> anyhow::Result<Value> {
        let mut answer = self.request("POST", path, Some(body))?;
        Ok(answer.get_mut(kind).map(Value::take).unwrap_or_default())
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub(super) fn delete(&mut self, path: &str) -> anyhow::Result<()> {
        self.request("DELETE", path, None).map(drop)
    }

    fn request(&mut self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let (status, answer) =
            self.exchange(method, path, body).with_context(|| format!("{method} {path}"))?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status} {answer}");
        }
        Ok(answer)
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.connection.get_mut().write_all(request.as_bytes())?;
        let line = self.line()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("not an HTTP status line: {line:?}"))?;
        let mut length = 0;
        loop {
            let line = self.line()?;
            match line.split_once(':') {
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().context("content-length")?;
                }
                Some(_) => {}
            }
        }
        let mut bytes = vec![0; length];
        self.connection.read_exact(&mut bytes)?;
        let answer = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok((status, answer))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.connection.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}

/// A string attribute of a resource.
///
/// # Errors
/// When the resource has no such attribute.
pub(super) fn text<'a>(resource: &'a Value, attribute: &str) -> anyhow::Result<&'a str> {
    let found = resource.get(attribute).and_then(Value::as_str);
    found.with_context(|| format!("no {attribute} in {resource}"))
}
