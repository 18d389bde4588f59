//! A failure on the wire: JSON text inside the message. A stock receiver raises the exception
//! itself if `module` is one that it trusts and has the class; otherwise it says `RemoteError`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rpc::{Failure, NO_METHOD, NO_VERSION};

/// Exceptions of Python's own.
const BUILTIN: [&str; 8] = [
    "AttributeError",
    "Exception",
    "IndexError",
    "KeyError",
    "NotImplementedError",
    "RuntimeError",
    "TypeError",
    "ValueError",
];
/// Exceptions of the dispatcher.
const DISPATCHER: [&str; 2] = [NO_METHOD, NO_VERSION];

#[derive(Serialize)]
struct Written<'a> {
    class: &'a str,
    module: &'static str,
    message: &'a str,
    tb: [&'a str; 0],
    args: Vec<&'a str>,
    kwargs: Value,
}

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    class: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// The text that stands for the failure.
pub(super) fn write(failure: &Failure) -> Result<String, serde_json::Error> {
    let class = failure.class.as_str();
    // The constructors of Neutron's own take no positional arguments.
    let (module, args) = match class {
        _ if BUILTIN.contains(&class) => ("builtins", vec![failure.message.as_str()]),
        _ if DISPATCHER.contains(&class) => {
            ("oslo_messaging.rpc.dispatcher", vec![failure.message.as_str()])
        }
        _ => ("neutron_lib.exceptions", Vec::new()),
    };
    let kwargs = Value::Object(serde_json::Map::new());
    let message = failure.message.as_str();
    serde_json::to_string(&Written { class, module, message, tb: [], args, kwargs })
}

/// The failure that the text stands for. Text of another form is what it says.
pub(super) fn read(text: &str) -> Failure {
    match serde_json::from_str::<Read>(text) {
        Ok(Read { class, message }) => Failure::new(
            class.unwrap_or_else(|| "RemoteError".to_owned()),
            message.unwrap_or_default(),
        ),
        Err(_) => Failure::new("RemoteError", text),
    }
}
