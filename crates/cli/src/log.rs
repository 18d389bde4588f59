//! Logs: lines on standard error, for people and journald, or in a file.

use std::{
    fs::{File, OpenOptions},
    io::{self, IsTerminal as _, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Where a service logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// A file; standard error alone without one.
    pub(crate) file: Option<PathBuf>,
    /// Whether standard error has it, too.
    pub(crate) stderr: bool,
}

/// The log of a service: what it has, and its file, can be changed while it runs.
pub(crate) struct Log {
    output: Arc<Output>,
    set: Box<dyn Fn(EnvFilter)>,
}

/// Where lines go.
struct Output {
    destination: Destination,
    file: Mutex<Option<File>>,
}

/// Writes to all places of an output.
struct Lines(Arc<Output>);

/// Logs from now on what `directives` let through.
///
/// # Errors
/// When they are no directives.
pub(crate) fn start(directives: &str) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(filter(directives)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}

impl Log {
    /// Logs from now on what `directives` let through, to that destination.
    ///
    /// # Errors
    /// When they are no directives, or the file cannot be opened.
    pub(crate) fn start(directives: &str, destination: Destination) -> anyhow::Result<Self> {
        let is_terminal = destination.file.is_none() && io::stderr().is_terminal();
        let file = Mutex::new(open(&destination)?);
        let output = Arc::new(Output { destination, file });
        let lines = Arc::clone(&output);
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(directives)?)
            .with_writer(move || Lines(Arc::clone(&lines)))
            .with_ansi(is_terminal)
            .with_filter_reloading();
        let handle = subscriber.reload_handle();
        subscriber.init();
        let set = move |filter| {
            if let Err(error) = handle.reload(filter) {
                tracing::error!(%error, "what is logged stays as it is");
            }
        };
        Ok(Self { output, set: Box::new(set) })
    }

    /// Logs what `directives` let through, if they are directives.
    pub(crate) fn set(&self, directives: &str) {
        match filter(directives) {
            Ok(filter) => (self.set)(filter),
            Err(error) => tracing::error!(%error, "what is logged stays as it is"),
        }
    }

    /// Opens the file anew: the old one may have been moved away.
    pub(crate) fn reopen(&self) {
        match open(&self.output.destination) {
            Ok(file) => *self.output.file.lock().unwrap_or_else(PoisonError::into_inner) = file,
            Err(error) => tracing::error!(%error, "the log stays where it is"),
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.as_mut().map(|file| file.write_all(line));
        if file.is_none() || self.0.destination.stderr || matches!(written, Some(Err(_))) {
            io::stderr().write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(destination: &Destination) -> anyhow::Result<Option<File>> {
    let Some(path) = &destination.file else { return Ok(None) };
    let file = OpenOptions::new().create(true).append(true).open(path);
    Ok(Some(file.with_context(|| format!("cannot open the log {}", path.display()))?))
}

fn filter(directives: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(directives).with_context(|| {
        format!("--log '{directives}' is neither a level such as 'debug' nor a list of directives")
    })
}
