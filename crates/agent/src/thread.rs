//! The one thread that an agent runs in.
//!
//! A server in the same process computes for tens of milliseconds when an agent asks for many rules;
//! meanwhile the agent plans, and the switch takes in what it was sent. Within the agent one thread is
//! enough: each further one would add its waking to every change.

use std::io;
use std::time::Duration;

use tokio::runtime::{self, Handle, Runtime};

/// How long what cannot be interrupted may take to end: a question to a switch that is busy blocks
/// for as long as that takes. It is left behind then; nobody takes its answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The thread of an agent. It ends with this.
#[derive(Debug)]
pub(crate) struct AgentThread {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl AgentThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system refuses another thread.
    pub(crate) fn start() -> io::Result<Self> {
        let mut builder = runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("agent").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where tasks for it are spawned.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits until it has ended, and its sockets are closed, but not for a peer.
    pub(crate) async fn stop(mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // Nothing here panics, and only a panic makes this fail.
        let _ = tokio::task::spawn_blocking(|| runtime.shutdown_timeout(PATIENCE)).await;
    }
}

impl Drop for AgentThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn nobody_waits_for_a_switch_that_does_not_answer() {
        let thread = AgentThread::start().unwrap();
        let (silent, question) = mpsc::channel::<()>();
        let (asks, asked) = mpsc::channel();
        thread.handle().spawn_blocking(move || {
            asks.send(()).unwrap();
            question.recv()
        });
        asked.recv().unwrap();
        let stopped = tokio::time::timeout(Duration::from_secs(60), thread.stop()).await;
        drop(silent);
        assert!(stopped.is_ok());
    }
}
