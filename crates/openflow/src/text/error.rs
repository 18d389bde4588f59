//! What can be wrong with a flow's text.

/// A text that is not a flow, a match or an action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFlowError {
    /// No `actions=`.
    #[error("no 'actions=' in '{text}'")]
    NoActions {
        /// The text.
        text: String,
    },
    /// A word that is no field, no protocol and no setting of a flow.
    #[error("'{key}' is not a field")]
    UnknownField {
        /// The word.
        key: String,
    },
    /// A field that a match cannot have here, e.g. `tp_dst` without a protocol.
    #[error("'{key}' needs a match on a protocol that has it")]
    Prerequisite {
        /// The field.
        key: String,
    },
    /// A value that its field cannot have.
    #[error("'{value}' is not a value for '{key}'")]
    Value {
        /// The field.
        key: String,
        /// The value.
        value: String,
    },
    /// A word that is no action.
    #[error("'{text}' is not an action")]
    UnknownAction {
        /// The word.
        text: String,
    },
    /// Parentheses that do not match.
    #[error("unbalanced parentheses in '{text}'")]
    Parentheses {
        /// The text.
        text: String,
    },
}

impl ParseFlowError {
    pub(super) fn value(key: &str, value: &str) -> Self {
        Self::Value { key: key.to_owned(), value: value.to_owned() }
    }
}
