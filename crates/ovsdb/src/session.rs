//! One connection to a database server, without I/O: bytes in, bytes and [`Incoming`] out
//! (RFC 7047 section 4; `monitor_cond` and `monitor_cond_since` of `ovsdb-server(7)`).
//!
//! A session begins by asking for the monitored tables, with the newest of three methods that the
//! server knows. It answers the server's echo requests by itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::datum::excerpt;
use crate::framing::{Framer, FramingError};
use crate::message::{Message, MessageError, answer, refusal, request};
use crate::schema::{Bridge, Interface, OpenVswitch, Port, Qos, Queue, TableRow};
use crate::update::{Update, UpdateError};

/// The name of our one monitor, which the server repeats in its notifications.
const MONITOR: &str = "replica";

/// What the server said that the session does not settle by itself.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Incoming {
    /// The tables as they are. What was known before is void.
    Initial { update: Update, transaction: Option<Uuid> },
    /// What happened since the transaction that the session was told to resume from.
    Resumed { update: Update, transaction: Option<Uuid> },
    /// Rows changed.
    Changed { update: Update, transaction: Option<Uuid> },
    /// The answer to the transaction that was sent under this id.
    Answer { id: u64, result: Result<Value, Value> },
}

/// The state of a connection.
#[derive(Debug)]
pub(crate) struct Session {
    database: String,
    framer: Framer,
    output: Vec<u8>,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    resume_from: Uuid,
}

/// What a request of ours that has no answer yet was for.
#[derive(Debug, Clone, Copy)]
enum Pending {
    Monitor(Method),
    Transact,
    Echo,
}

/// The ways to ask for tables, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// Open vSwitch 2.12.
    CondSince,
    /// Open vSwitch 2.6.
    Cond,
    /// RFC 7047.
    Plain,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
            Self::Plain => "monitor",
        }
    }

    const fn older(self) -> Option<Self> {
        match self {
            Self::CondSince => Some(Self::Cond),
            Self::Cond => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

impl Session {
    /// A session on a fresh connection, with the first request in its output. `resume_from` is
    /// the last transaction that the replica has seen.
    pub(crate) fn new(database: &str, resume_from: Option<Uuid>) -> Self {
        let mut session = Self {
            database: database.to_owned(),
            framer: Framer::default(),
            output: Vec::new(),
            next_id: 1,
            pending: BTreeMap::new(),
            // No transaction has the nil identity, so the server will not find it.
            resume_from: resume_from.unwrap_or_default(),
        };
        session.monitor(Method::CondSince);
        session
    }

    /// Asks for a transaction; the answer comes under the id that is returned.
    pub(crate) fn transact(&mut self, params: &Value) -> u64 {
        self.request("transact", params, Pending::Transact)
    }

    /// Asks the server for a sign of life.
    pub(crate) fn probe(&mut self) {
        self.request("echo", &json!([]), Pending::Echo);
    }

    /// Takes the bytes of one read; [`Session::next`] then tells what they said.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.framer.push(bytes);
    }

    /// What the server said next, or `None` when more bytes are needed. An error ends the session.
    pub(crate) fn next(&mut self) -> Result<Option<Incoming>, SessionError> {
        while let Some(json) = self.framer.next()? {
            if let Some(incoming) = self.handle(Message::from_json(json)?)? {
                return Ok(Some(incoming));
            }
        }
        Ok(None)
    }

    /// Forgets the first bytes of the output: they were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.output.drain(..count.min(self.output.len()));
    }

    /// The bytes to send.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    fn handle(&mut self, message: Message) -> Result<Option<Incoming>, SessionError> {
        match message {
            Message::Request { id, method, params } => {
                let reply = match method.as_str() {
                    "echo" => answer(&id, &params),
                    _ => refusal(&id, "unknown method"),
                };
                self.send(&reply);
                Ok(None)
            }
            Message::Notification { method, params } => notification(&method, &params),
            Message::Answer { id, result } => match (self.pending.remove(&id), result) {
                (None, _) => Err(SessionError::UnknownAnswer { id }),
                (Some(Pending::Echo), _) => Ok(None),
                (Some(Pending::Transact), result) => Ok(Some(Incoming::Answer { id, result })),
                (Some(Pending::Monitor(method)), Ok(result)) => {
                    monitored(method, &result).map(Some)
                }
                (Some(Pending::Monitor(method)), Err(error)) => match method.older() {
                    Some(older) if error == "unknown method" => {
                        self.monitor(older);
                        Ok(None)
                    }
                    _ => Err(SessionError::Monitor {
                        method: method.as_str(),
                        error: excerpt(&error),
                    }),
                },
            },
        }
    }

    fn monitor(&mut self, method: Method) {
        let mut params = vec![json!(self.database), json!(MONITOR), monitored_columns()];
        if method == Method::CondSince {
            params.push(json!(self.resume_from.to_string()));
        }
        self.request(method.as_str(), &Value::Array(params), Pending::Monitor(method));
    }

    fn request(&mut self, method: &str, params: &Value, purpose: Pending) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, purpose);
        self.send(&request(id, method, params));
        id
    }

    fn send(&mut self, message: &Value) {
        self.output.extend_from_slice(message.to_string().as_bytes());
    }
}

/// The answer to a request for the tables.
fn monitored(method: Method, result: &Value) -> Result<Incoming, SessionError> {
    match (method, result.as_array().map(Vec::as_slice)) {
        (Method::CondSince, Some([Value::Bool(found), transaction, updates])) => {
            let update = Update::from_table_updates2(updates)?;
            let transaction = Some(transaction_id(transaction)?);
            Ok(if *found {
                Incoming::Resumed { update, transaction }
            } else {
                Incoming::Initial { update, transaction }
            })
        }
        (Method::CondSince, _) => Err(unexpected(method.as_str(), result)),
        (Method::Cond, _) => {
            let update = Update::from_table_updates2(result)?;
            Ok(Incoming::Initial { update, transaction: None })
        }
        (Method::Plain, _) => {
            let update = Update::from_table_updates(result)?;
            Ok(Incoming::Initial { update, transaction: None })
        }
    }
}

fn notification(method: &str, params: &Value) -> Result<Option<Incoming>, SessionError> {
    let (update, transaction) = match (method, params.as_array().map(Vec::as_slice)) {
        ("update", Some([_, updates])) => (Update::from_table_updates(updates)?, None),
        ("update2", Some([_, updates])) => (Update::from_table_updates2(updates)?, None),
        ("update3", Some([_, transaction, updates])) => {
            (Update::from_table_updates2(updates)?, Some(transaction_id(transaction)?))
        }
        ("update" | "update2" | "update3", _) => return Err(unexpected(method, params)),
        // The database was converted to another schema, or is gone.
        ("monitor_canceled", _) => return Err(SessionError::MonitorCanceled),
        // Locks, which this client never asks for, and what later servers may add.
        _ => return Ok(None),
    };
    Ok(Some(Incoming::Changed { update, transaction }))
}

fn transaction_id(json: &Value) -> Result<Uuid, SessionError> {
    json.as_str()
        .and_then(|text| Uuid::try_parse(text).ok())
        .ok_or_else(|| unexpected("transaction id", json))
}

fn unexpected(what: &str, json: &Value) -> SessionError {
    SessionError::Unexpected { what: what.to_owned(), json: excerpt(json) }
}

/// The columns of every table, as a monitor request wants them.
fn monitored_columns() -> Value {
    fn entry<T: TableRow>() -> (String, Value) {
        let columns: Vec<&str> = T::COLUMNS.iter().map(|(column, _)| *column).collect();
        (T::TABLE.to_owned(), json!([{"columns": columns}]))
    }
    let tables = [
        entry::<OpenVswitch>(),
        entry::<Bridge>(),
        entry::<Port>(),
        entry::<Interface>(),
        entry::<Qos>(),
        entry::<Queue>(),
    ];
    Value::Object(tables.into_iter().collect::<Map<_, _>>())
}

/// Something from the server that a session cannot go on after.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The bytes are no JSON objects.
    #[error("cannot read what the server sends")]
    Framing(#[from] FramingError),
    /// A JSON object is no message.
    #[error("cannot read what the server sends")]
    Message(#[from] MessageError),
    /// A report of changed rows cannot be read.
    #[error("cannot read an update")]
    Update(#[from] UpdateError),
    /// The server does not report the tables.
    #[error("the server refused {method}: {error}")]
    Monitor { method: &'static str, error: String },
    /// The server no longer reports the tables.
    #[error("the server canceled the monitor")]
    MonitorCanceled,
    /// An answer to nothing that was asked.
    #[error("the server answered request {id}, which was not sent")]
    UnknownAnswer { id: u64 },
    /// A message that has another form than it must have.
    #[error("unexpected form of {what}: {json}")]
    Unexpected { what: String, json: String },
}

#[cfg(test)]
mod tests;
