//! What a command prints: one JSON document for programs, or text and tables for people.
//!
//! The only module that writes to standard output, `demo` aside. A reader who goes away early
//! (`weir status | head`) is no error.

use std::io::{self, Write as _};

use comfy_table::{Table, presets};
use serde::Serialize;

/// In which form a command prints.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Format {
    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

impl Format {
    /// Prints `value` as JSON, or the text that `people` makes of it.
    ///
    /// # Errors
    /// When standard output takes nothing.
    pub(crate) fn print<T: Serialize>(
        self,
        value: &T,
        people: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(value)? } else { people(value) };
        let mut out = io::stdout().lock();
        match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => Ok(printed?),
        }
    }
}

/// A table without lines, as wide as it must be.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.set_header(heading.map(str::to_uppercase));
    draw(table, rows)
}

/// Names and what they stand for, one pair a line.
pub(crate) fn pairs(rows: Vec<[String; 2]>) -> String {
    draw(Table::new(), rows)
}

fn draw<const N: usize>(mut table: Table, rows: Vec<[String; N]>) -> String {
    table.load_style(presets::NOTHING).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
