//! What a call or a cast is on any wire: method, version, arguments. The transport wraps it (the
//! oslo envelope, for RabbitMQ) and knows no method.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::object::covers;

/// What the dispatcher raises for a method that nobody there has.
pub(crate) const NO_METHOD: &str = "NoSuchMethod";
/// What it raises for one that is spoken in another version or namespace.
pub(crate) const NO_VERSION: &str = "UnsupportedVersion";

/// A call or a cast, without its transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The namespace of the method. Neutron leaves it out for everything that is spoken here but what
    /// concerns trunks; what is not Neutron's has Weir's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The method.
    pub method: String,
    /// The version of the interface that the sender wants.
    pub version: String,
    /// The keyword arguments.
    #[serde(default)]
    pub args: Map<String, Value>,
}

/// A message that cannot be made or understood.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Nobody here has this method.
    #[error("there is no method '{method}'")]
    Method {
        /// What was asked for.
        method: String,
    },
    /// The method is spoken in another version or namespace.
    #[error("method '{method}' is spoken in version {spoken}, not {asked}")]
    Version {
        /// The method.
        method: String,
        /// The version, after the namespace if one was asked for.
        asked: String,
        /// The version that is spoken.
        spoken: &'static str,
    },
    /// The arguments are not those of the method.
    #[error("arguments of '{method}' cannot be read")]
    Arguments {
        /// The method.
        method: String,
        /// What is wrong with them.
        #[source]
        source: serde_json::Error,
    },
    /// The arguments cannot be written as JSON.
    #[error("arguments of '{method}' cannot be written")]
    Encode {
        /// The method.
        method: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// The other side could not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{class}: {message}")]
pub struct Failure {
    /// The name of the exception.
    pub class: String,
    /// What it says.
    pub message: String,
}

impl Message {
    /// The message with these arguments.
    pub(crate) fn new(
        method: &'static str,
        version: &str,
        args: &impl Serialize,
    ) -> Result<Self, MessageError> {
        let args = serde_json::to_value(args)
            .and_then(serde_json::from_value)
            .map_err(|source| MessageError::Encode { method, source })?;
        Ok(Self { namespace: None, method: method.to_owned(), version: version.to_owned(), args })
    }

    /// The same in this namespace.
    pub(crate) fn in_namespace(mut self, namespace: Option<&'static str>) -> Self {
        self.namespace = namespace.map(str::to_owned);
        self
    }

    /// The arguments, for a receiver that speaks this version, in no namespace.
    pub(crate) fn arguments<T: DeserializeOwned>(
        self,
        spoken: &'static str,
    ) -> Result<T, MessageError> {
        self.arguments_in(None, spoken)
    }

    /// The arguments, for a receiver that speaks this version, in this namespace.
    pub(crate) fn arguments_in<T: DeserializeOwned>(
        self,
        served: Option<&'static str>,
        spoken: &'static str,
    ) -> Result<T, MessageError> {
        let Self { namespace, method, version, args } = self;
        if namespace.as_deref() != served || !covers(spoken, &version) {
            let asked = namespace.map_or(version.clone(), |name| format!("{name} {version}"));
            return Err(MessageError::Version { method, asked, spoken });
        }
        serde_json::from_value(Value::Object(args))
            .map_err(|source| MessageError::Arguments { method, source })
    }
}

impl Failure {
    /// The failure with this name of the exception and what it says.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: message.into() }
    }

    /// Whether the other side has no such method, or not in this version.
    pub fn is_not_served(&self) -> bool {
        [NO_METHOD, NO_VERSION].contains(&self.class.as_str())
    }
}

impl From<MessageError> for Failure {
    /// The exception that Neutron's dispatcher raises.
    fn from(error: MessageError) -> Self {
        let class = match &error {
            MessageError::Method { .. } => NO_METHOD,
            MessageError::Version { .. } => NO_VERSION,
            MessageError::Arguments { .. } | MessageError::Encode { .. } => "TypeError",
        };
        let message = match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::new(class, message)
    }
}
