//! The way back of a call: typed at both ends, JSON in between where there is a wire.

use std::fmt;
use std::pin::Pin;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::oneshot;

use super::Failure;
use crate::object::set_version;

/// Takes the answer to one call. Dropped without one, the caller is told that the server has
/// gone.
pub struct Responder<T>(oneshot::Sender<Result<T, Failure>>);

/// The answer to one call, when there is one.
pub(crate) type Answer<T> = oneshot::Receiver<Result<T, Failure>>;

/// What the answer to a request from the wire will be on the wire.
pub type JsonReply = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

/// Takes the answer to one call from the wire.
pub struct JsonResponder(Box<dyn FnOnce(Result<Value, Failure>) + Send>);

impl<T> Responder<T> {
    /// A responder, and where its answer arrives.
    pub(crate) fn new() -> (Self, Answer<T>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers. That the caller has given up is no matter of the server's.
    pub fn send(self, answer: Result<T, Failure>) {
        let _ = self.0.send(answer);
    }

    /// Answers with what was asked for.
    pub fn reply(self, value: T) {
        self.send(Ok(value));
    }

    /// Answers that it could not be done.
    pub fn fail(self, failure: Failure) {
        self.send(Err(failure));
    }
}

impl<T: DeserializeOwned + Send + 'static> Responder<T> {
    /// The same for an answer from the wire.
    #[expect(clippy::wrong_self_convention, reason = "from what the answer comes, not the value")]
    pub(crate) fn from_json(self) -> JsonResponder {
        JsonResponder(Box::new(|answer| {
            self.send(answer.and_then(|value| {
                serde_json::from_value(value)
                    .map_err(|error| Failure::new("ValueError", format!("the reply: {error}")))
            }));
        }))
    }
}

impl JsonResponder {
    /// Answers.
    pub fn send(self, answer: Result<Value, Failure>) {
        (self.0)(answer);
    }
}

/// What the answer will be on the wire, its objects in this version if one is given.
pub(crate) fn to_json<T: Serialize + Send + 'static>(
    answer: Answer<T>,
    objects: Option<String>,
) -> JsonReply {
    Box::pin(async move {
        let value = answer
            .await
            .map_err(|_| Failure::new("RuntimeError", "the server dropped the request"))??;
        let mut value = serde_json::to_value(value)
            .map_err(|error| Failure::new("ValueError", format!("the reply: {error}")))?;
        if let (Some(version), Value::Array(list)) = (objects, &mut value) {
            list.iter_mut().for_each(|object| set_version(object, &version));
        }
        Ok(value)
    })
}

impl<T> fmt::Debug for Responder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

impl fmt::Debug for JsonResponder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsonResponder")
    }
}
