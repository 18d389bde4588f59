//! The body of a message: an envelope with the version and, as text, the message; in it the call
//! with its context, or the answer; in the answer, again as text, the failure.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{context, failure};
use crate::object::covers;
use crate::rpc::{Failure, Message};

/// The version of the envelope.
const VERSION: &str = "2.0";
/// What a message asks for that does not say which version of the interface it wants.
const FIRST: &str = "1.0";

/// A call or a cast that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// What is asked for or told.
    pub message: Message,
    /// Where the answer goes; nowhere, if it is a cast.
    pub reply_to: Option<ReplyTo>,
    /// The same where the same message comes again.
    pub unique_id: Option<String>,
}

/// Where the answer to a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The id of the call.
    pub msg_id: String,
    /// The queue that its sender reads answers from.
    pub queue: String,
}

/// An answer that came.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The id of the call.
    pub msg_id: String,
    /// The same where the same message comes again.
    pub unique_id: Option<String>,
    /// Whether this is the answer, not a sign of life before it.
    pub ending: bool,
    /// The answer.
    pub result: Result<Value, Failure>,
}

/// A body that is no message.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The body is not JSON, or not of the right form.
    #[error("the envelope cannot be read")]
    Envelope(#[source] serde_json::Error),
    /// The envelope has another version.
    #[error("the envelope has version {found}, {VERSION} is spoken")]
    Version {
        /// Which.
        found: String,
    },
    /// The message in the envelope is not JSON, or not of the right form.
    #[error("the message cannot be read")]
    Message(#[source] serde_json::Error),
}

/// The body of a call.
pub fn call(message: Message, reply_to: &ReplyTo, unique_id: Uuid) -> Vec<u8> {
    let mut content = content(message, unique_id);
    content.insert("_msg_id".to_owned(), json!(reply_to.msg_id));
    content.insert("_reply_q".to_owned(), json!(reply_to.queue));
    content.insert("_timeout".to_owned(), Value::Null);
    wrap(content)
}

/// The body of a cast.
pub fn cast(message: Message, unique_id: Uuid) -> Vec<u8> {
    wrap(content(message, unique_id))
}

/// The body of an answer.
///
/// # Errors
///
/// The failure cannot be written.
pub fn reply(
    msg_id: &str,
    unique_id: Uuid,
    result: Result<Value, Failure>,
) -> Result<Vec<u8>, serde_json::Error> {
    let (result, failure) = match result {
        Ok(result) => (result, Value::Null),
        Err(failure) => (Value::Null, Value::String(failure::write(&failure)?)),
    };
    let content = [
        ("result", result),
        ("failure", failure),
        ("ending", json!(true)),
        ("_msg_id", json!(msg_id)),
        ("_unique_id", json!(unique_id.simple().to_string())),
    ];
    Ok(wrap(content.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
}

impl Invocation {
    /// Reads the body of a call or a cast.
    ///
    /// # Errors
    ///
    /// See [`EnvelopeError`].
    pub fn read(body: &[u8]) -> Result<Self, EnvelopeError> {
        #[derive(Deserialize)]
        struct Content {
            #[serde(default)]
            namespace: Option<String>,
            #[serde(default)]
            method: Option<String>,
            #[serde(default)]
            version: Option<String>,
            #[serde(default)]
            args: Option<Map<String, Value>>,
            #[serde(default, rename = "_msg_id")]
            msg_id: Option<String>,
            #[serde(default, rename = "_reply_q")]
            queue: Option<String>,
            #[serde(default, rename = "_unique_id")]
            unique_id: Option<String>,
        }
        let content: Content = open(body)?;
        let message = Message {
            namespace: content.namespace,
            method: content.method.unwrap_or_default(),
            version: content.version.unwrap_or_else(|| FIRST.to_owned()),
            args: content.args.unwrap_or_default(),
        };
        let reply_to = content.msg_id.zip(content.queue);
        let reply_to = reply_to.map(|(msg_id, queue)| ReplyTo { msg_id, queue });
        Ok(Self { message, reply_to, unique_id: content.unique_id })
    }
}

impl Reply {
    /// Reads the body of an answer.
    ///
    /// # Errors
    ///
    /// See [`EnvelopeError`].
    pub fn read(body: &[u8]) -> Result<Self, EnvelopeError> {
        #[derive(Deserialize)]
        struct Content {
            #[serde(default)]
            result: Value,
            #[serde(default)]
            failure: Option<Value>,
            #[serde(default)]
            ending: bool,
            #[serde(rename = "_msg_id")]
            msg_id: String,
            #[serde(default, rename = "_unique_id")]
            unique_id: Option<String>,
        }
        let content: Content = open(body)?;
        let Content { result, failure, ending, msg_id, unique_id } = content;
        let result = match failure {
            None => Ok(result),
            Some(Value::String(text)) => Err(failure::read(&text)),
            Some(other) => Err(failure::read(&other.to_string())),
        };
        Ok(Self { msg_id, unique_id, ending, result })
    }
}

fn content(message: Message, unique_id: Uuid) -> Map<String, Value> {
    let Message { namespace, method, version, args } = message;
    let mut content = Map::new();
    content.insert("method".to_owned(), Value::String(method));
    content.insert("args".to_owned(), Value::Object(args));
    content.insert("version".to_owned(), Value::String(version));
    if let Some(namespace) = namespace {
        content.insert("namespace".to_owned(), Value::String(namespace));
    }
    content.insert("_unique_id".to_owned(), json!(unique_id.simple().to_string()));
    context::add(&mut content, unique_id);
    content
}

fn wrap(content: Map<String, Value>) -> Vec<u8> {
    let text = Value::Object(content).to_string();
    json!({ "oslo.version": VERSION, "oslo.message": text }).to_string().into_bytes()
}

/// The content of a body. One without an envelope is the content itself.
fn open<T: DeserializeOwned>(body: &[u8]) -> Result<T, EnvelopeError> {
    let mut envelope: Map<String, Value> =
        serde_json::from_slice(body).map_err(EnvelopeError::Envelope)?;
    let is_wrapped = ["oslo.version", "oslo.message"].iter().all(|key| envelope.contains_key(*key));
    if !is_wrapped {
        return serde_json::from_value(Value::Object(envelope)).map_err(EnvelopeError::Message);
    }
    let found = match envelope.remove("oslo.version") {
        Some(Value::String(version)) => version,
        other => other.unwrap_or_default().to_string(),
    };
    if !covers(VERSION, &found) {
        return Err(EnvelopeError::Version { found });
    }
    let content: Result<Map<String, Value>, _> = match envelope.remove("oslo.message") {
        Some(Value::String(text)) => serde_json::from_str(&text),
        other => serde_json::from_value(other.unwrap_or_default()),
    };
    let content = content.map_err(EnvelopeError::Message)?;
    serde_json::from_value(Value::Object(content)).map_err(EnvelopeError::Message)
}
