//! The one thread that an agent runs in.
//!
//! A server in the same process computes for tens of milliseconds when an agent asks for many rules;
//! meanwhile the agent plans, and the switch takes in what it was sent. Within the agent one thread is
//! enough: each further one would add its waking to every change.

use std::io;

use tokio::runtime::{self, Handle, Runtime};

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

    /// Waits until it has ended, and its sockets are closed.
    pub(crate) async fn stop(mut self) {
        let runtime = self.runtime.take();
        // Nothing here panics, and only a panic makes this fail.
        let _ = tokio::task::spawn_blocking(move || drop(runtime)).await;
    }
}

impl Drop for AgentThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
