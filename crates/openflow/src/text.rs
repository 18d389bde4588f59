//! Flows as ovs-ofctl(8) writes and reads them, `ovs-ofctl --no-stats --no-names dump-flows`.

mod error;
mod format_action;
mod format_match;
mod parse_action;
mod parse_learn;
mod parse_match;
mod parse_nat;
mod parse_value;
#[cfg(test)]
mod tests;
mod value;

pub use error::ParseFlowError;
pub(crate) use value::exact;

use crate::flow::{Command, Flow, FlowMod};
use crate::number::{Cookie, Priority, TableId};
use std::{fmt, str::FromStr};

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cookie != Cookie(0) {
            write!(f, "cookie={}, ", self.cookie)?;
        }
        if self.table != TableId(0) {
            write!(f, "table={}, ", self.table)?;
        }
        if self.priority != Priority::DEFAULT {
            write!(f, "priority={}", self.priority)?;
            if !self.matches.is_empty() {
                f.write_str(",")?;
            }
        }
        if self.matches.is_empty() {
            if self.priority != Priority::DEFAULT {
                f.write_str(" ")?;
            }
        } else {
            write!(f, "{} ", self.matches)?;
        }
        f.write_str("actions=")?;
        format_action::list(f, &self.actions)
    }
}

impl fmt::Display for FlowMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = match self.command {
            Command::Add => "add",
            Command::Modify => "modify",
            Command::ModifyStrict => "modify_strict",
            Command::Delete => "delete",
            Command::DeleteStrict => "delete_strict",
        };
        write!(f, "{command} {}", self.flow)
    }
}

impl FromStr for Flow {
    type Err = ParseFlowError;

    /// Reads a flow as ovs-ofctl takes and prints it; counters and age are skipped.
    fn from_str(text: &str) -> Result<Self, ParseFlowError> {
        let (head, actions) = split_actions(text)
            .ok_or_else(|| ParseFlowError::NoActions { text: text.to_owned() })?;
        let mut flow = Self { actions: parse_action::list(actions)?.into(), ..Self::default() };
        let mut terms = Vec::new();
        for word in parse_match::words(head) {
            match word.split_once('=').unwrap_or((word, "")) {
                (key @ "table", value) => flow.table = TableId(parse_value::fitting(key, value)?),
                (key @ "priority", value) => {
                    flow.priority = Priority(parse_value::fitting(key, value)?);
                }
                (key @ "cookie", value) => flow.cookie = Cookie(parse_value::fitting(key, value)?),
                ("duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age", _) => {}
                _ => terms.push(word),
            }
        }
        flow.matches = parse_match::terms(terms.into_iter())?;
        Ok(flow)
    }
}

/// What stands before `actions=` and behind it.
fn split_actions(text: &str) -> Option<(&str, &str)> {
    let (head, actions) = text.split_once("actions=")?;
    (head.is_empty() || head.ends_with([' ', ','])).then_some((head, actions.trim()))
}
