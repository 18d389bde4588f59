//! Ends the demo at the next good moment after a signal, so that everything is put away.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;

use crate::signal::{Interrupted, Termination};

/// How long the demo waits for anything that Weir or the switch should do at once.
const DEADLINE: Duration = Duration::from_secs(30);

/// Whether a signal has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt {
    came: Arc<(Mutex<bool>, Condvar)>,
}

impl Interrupt {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the process may not.
    pub(super) fn on_signals() -> anyhow::Result<Self> {
        let mut termination = Termination::listen()?;
        let interrupt = Self::default();
        let told = interrupt.clone();
        tokio::spawn(async move {
            termination.came().await;
            told.set();
        });
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

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.came.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
