//! How far a measurement is: bars on a terminal, plain lines elsewhere. Standard error only.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

/// One step of a measurement.
#[derive(Debug)]
pub(super) struct Step {
    bar: ProgressBar,
}

impl Step {
    /// A step of `length` parts; of one part if nothing can be told in between.
    pub(super) fn begin(what: &str, length: usize) -> Self {
        let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
        if bar.is_hidden() {
            // Whoever has closed standard error does not want to know.
            let _told = writeln!(io::stderr(), "{what}");
        }
        if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:30} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.tick();
        Self { bar }
    }

    /// So many parts are done in all.
    pub(super) fn reached(&self, parts: usize) {
        self.bar.set_position(u64::try_from(parts).unwrap_or(u64::MAX));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
