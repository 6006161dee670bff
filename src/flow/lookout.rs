//! Looks after a server outside: whether it is there, and what it scans with.
//!
//! ```text
//! starting ──→ ready ──→ (a day later, or told to) ──→ looked at again
//!     │ ▲
//!     ▼ │ a minute later
//!  backing-off: it is not there, or does not behave as it must
//! ```
//!
//! What it scans with is read once a day and not whenever it may be another:
//! whatever is new has every file looked at again, and every file that goes there
//! leaves the machine.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::board::Board;
use super::gate::Gate;
use super::scan::outside::look;
use crate::engine::outside::Outside;
use crate::model::EngineState;
use crate::store::Store;
use crate::system::now;

/// How often a server is asked what it scans with.
const LOOK: Duration = Duration::from_secs(24 * 3600);
/// How long one that was not there is left alone.
const REST: Duration = Duration::from_secs(60);

/// Who looks after one server.
#[derive(Debug)]
pub struct Lookout {
    /// The server.
    pub outside: Arc<Outside>,
    /// Where it is written down what leaves.
    pub store: Store,
    /// Whether it may be asked.
    pub gate: Gate,
    /// Where its state is written.
    pub board: Board,
    /// Who wants it looked at now.
    pub wanted: Arc<Notify>,
}

impl Lookout {
    /// Looks until told to stop.
    pub async fn run(&self, shutdown: &CancellationToken) {
        // The operator consented, and there is no sandbox to be proven: whether it is there shows
        // when it is asked.
        self.gate.open();
        while !shutdown.is_cancelled() {
            let pause = self.look().await;
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wanted.notified() => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn look(&self) -> Duration {
        let manifest = &self.outside.manifest;
        match look(&self.outside, &self.store).await {
            Ok(versions) => {
                info!(engine.name = %manifest.id, "Engine {} answers", manifest.name);
                self.gate.started();
                self.board.ready(&manifest.id, &versions);
                LOOK
            }
            Err(broken) => {
                let reason = broken.to_string();
                warn!(engine.name = %manifest.id, "Engine {}: {reason}", manifest.name);
                let state = EngineState::BackingOff;
                self.board.trouble(&manifest.id, state, (&reason, now()));
                REST
            }
        }
    }
}
