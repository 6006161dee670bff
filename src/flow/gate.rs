//! Whether an engine may scan: only after the probe has shown that its sandbox holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::watch;

/// The gate before an engine's slots; clones share it.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
    failed_starts: Arc<AtomicU32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Undecided,
    Open,
    Closed(String),
}

/// What stands at the gate once it is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The engine may scan.
    Open,
    /// It may not, and this is why.
    Closed(String),
}

impl Default for Gate {
    fn default() -> Self {
        let state = Arc::new(watch::Sender::new(State::Undecided));
        Self {
            state,
            failed_starts: Arc::default(),
        }
    }
}

impl Gate {
    /// Lets the engine scan.
    pub fn open(&self) {
        self.state.send_replace(State::Open);
    }

    /// Keeps it from scanning; its jobs are answered with the reason.
    pub fn close(&self, reason: String) {
        self.state.send_replace(State::Closed(reason));
    }

    /// Tells whether the engine may scan.
    pub fn is_open(&self) -> bool {
        *self.state.borrow() == State::Open
    }

    /// Waits until it is decided and says how.
    pub async fn pass(&self) -> Pass {
        let mut state = self.state.subscribe();
        let decided = state.wait_for(|state| *state != State::Undecided).await;
        match decided.as_deref() {
            Ok(State::Open) => Pass::Open,
            Ok(State::Closed(reason)) => Pass::Closed(reason.clone()),
            Ok(State::Undecided) | Err(_) => Pass::Closed("the daemon is stopping".to_owned()),
        }
    }

    /// Counts a container that did not start; returns how many in a row.
    pub fn failed_start(&self) -> u32 {
        self.failed_starts.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that a container started.
    pub fn started(&self) {
        self.failed_starts.store(0, Ordering::Relaxed);
    }
}
