//! Ends the demo at the next good moment after a signal, so that everything is put away.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// How long the demo waits for anything that Weir or the switch should do at once.
const DEADLINE: Duration = Duration::from_secs(30);

/// The demo was asked to end.
#[derive(Debug)]
pub(super) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Whether a signal has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt {
    came: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP from now on.
    ///
    /// # Errors
    /// When the process may not.
    pub(super) fn on_signals() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
            let mut signal = signal(kind).context("cannot listen for signals")?;
            let interrupt = interrupt.clone();
            tokio::spawn(async move {
                signal.recv().await;
                interrupt.set();
            });
        }
        Ok(interrupt)
    }

    /// # Errors
    /// [`Interrupted`] once a signal has come.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if *self.lock() { Err(Interrupted.into()) } else { Ok(()) }
    }

    /// Waits for a signal.
    pub(super) fn wait(&self) {
        let (_, changed) = &*self.came;
        let waited = changed.wait_while(self.lock(), |came| !*came);
        drop(waited);
    }

    /// Asks until there is a value.
    ///
    /// # Errors
    /// The condition's own, [`Interrupted`], or that `what` did not come in time.
    pub(super) fn until<T>(
        &self,
        what: &str,
        mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        testkit::eventually(DEADLINE, || self.check().and_then(|()| condition()).transpose())
            .with_context(|| format!("waited for {what}"))?
    }

    fn set(&self) {
        *self.lock() = true;
        self.came.1.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.came.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
