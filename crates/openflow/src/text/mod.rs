//! Flows as ovs-ofctl(8) writes and reads them, `ovs-ofctl --no-stats --no-names dump-flows`.

mod format_action;
mod format_match;
mod value;

use crate::flow::{Command, Flow, FlowMod};
use crate::number::{Cookie, Priority, TableId};
use std::fmt;

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
