//! Whether an agent has a way to the server.
//!
//! It is lost and comes back as that of an agent whose broker is out of reach: a call waits, at
//! most until its deadline; an answer that is ready waits too; casts are lost, and the agent is
//! told so ([`Cast::Lagged`](crate::rpc::Cast::Lagged)) on its return.

use tokio::sync::watch;

/// The link of one agent. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Link(watch::Sender<State>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// How many hold it cut now.
    cuts: u32,
    /// How often it has come back.
    returns: u64,
}

/// Holds an agent off the bus; it returns when this is dropped.
#[derive(Debug)]
#[must_use = "the agent returns when this is dropped"]
pub struct Cut(Link);

impl Link {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(State::default()))
    }

    pub(super) fn cut(&self) -> Cut {
        self.0.send_modify(|state| state.cuts = state.cuts.saturating_add(1));
        Cut(self.clone())
    }

    /// Waits until it is there. Says how often it has come back so far.
    pub(super) async fn established(&self) -> u64 {
        let mut state = self.0.subscribe();
        // It cannot close while this link holds it open.
        state.wait_for(|state| state.cuts == 0).await.map_or(0, |state| state.returns)
    }

    /// Waits until it is cut, or has been since it had come back that often.
    pub(super) async fn broken(&self, returns: u64) {
        let mut state = self.0.subscribe();
        // An error as above.
        let _ = state.wait_for(|state| state.cuts > 0 || state.returns != returns).await;
    }

    /// How often it has come back so far.
    pub(super) fn returns(&self) -> u64 {
        self.0.borrow().returns
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.0.send_modify(|state| {
            state.cuts = state.cuts.saturating_sub(1);
            state.returns = state.returns.wrapping_add(1);
        });
    }
}
