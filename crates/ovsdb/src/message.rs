//! JSON-RPC 1.0 as RFC 7047 section 4 uses it: requests, notifications and answers.

use serde_json::{Value, json};

use crate::datum::excerpt;

/// A message from the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// A request that wants an answer under its id.
    Request { id: Value, method: String, params: Value },
    /// A notification.
    Notification { method: String, params: Value },
    /// An answer to the request with this id: a result or an error.
    Answer { id: u64, result: Result<Value, Value> },
}

impl Message {
    /// Reads a message.
    pub(crate) fn from_json(mut json: Value) -> Result<Self, MessageError> {
        let Some(object) = json.as_object_mut() else {
            return Err(MessageError { json: excerpt(&json) });
        };
        let mut take = |name| object.remove(name).unwrap_or_default();
        let (id, method, params) = (take("id"), take("method"), take("params"));
        let (result, error) = (take("result"), take("error"));
        match (method, id) {
            (Value::String(method), Value::Null) => Ok(Self::Notification { method, params }),
            (Value::String(method), id) => Ok(Self::Request { id, method, params }),
            (_, id) => {
                let id = id.as_u64().ok_or_else(|| MessageError { json: excerpt(&id) })?;
                let result = if error.is_null() { Ok(result) } else { Err(error) };
                Ok(Self::Answer { id, result })
            }
        }
    }
}

/// JSON that is neither request nor notification nor an answer to a request of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON-RPC message, or not for this client: {json}")]
pub(crate) struct MessageError {
    json: String,
}

/// A request.
pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"id": id, "method": method, "params": params})
}

/// A good answer to the server's request `id`.
pub(crate) fn answer(id: &Value, result: &Value) -> Value {
    json!({"id": id, "result": result, "error": null})
}

/// An answer to the server's request `id` that refuses it.
pub(crate) fn refusal(id: &Value, error: &str) -> Value {
    json!({"id": id, "result": null, "error": error})
}
