//! Removes containers of ours that nobody leads.
//!
//! Docker that went away in the wrong moment leaves them: one that was not there
//! to remove a container, or that made one after it was given up. A probe leads
//! its container without any owner here, as a command line may on its own, so a
//! stranger is given time before it is taken for a leftover.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::{info, warn};

use super::board::Board;
use crate::engine::led::Led;
use crate::engine::sandbox::{ContainerState, Sandbox};
use crate::model::EngineState;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(15);
/// How long a container without an owner may run.
const RUNNING: Duration = Duration::from_secs(900);
/// How long one may lie there that has ended.
const ENDED: Duration = Duration::from_secs(30);

/// What is needed to tell leftovers from containers in use.
#[derive(Debug)]
pub struct Leftovers {
    /// Docker.
    pub sandbox: Sandbox,
    /// What has an owner.
    pub led: Led,
    /// Which engine is being proven, in a container of its own.
    pub board: Board,
    /// Whether those of before this daemon are gone already; if not, no stranger gets any time.
    pub swept: bool,
}

impl Leftovers {
    /// Looks for ever.
    pub async fn run(mut self) {
        let mut strangers = HashMap::new();
        loop {
            sleep(LOOK).await;
            // Without Docker there is nothing to see; the keepers tell of it.
            if let Ok(listed) = self.sandbox.list().await {
                self.look(listed, &mut strangers).await;
            }
        }
    }

    async fn look(
        &mut self,
        listed: Vec<ContainerState>,
        strangers: &mut HashMap<String, Instant>,
    ) {
        let now = Instant::now();
        let swept = self.swept || self.is_proving();
        let unled = listed.into_iter().filter(|state| !self.is_led(state));
        let unled: Vec<_> = unled.collect();
        strangers.retain(|id, _| unled.iter().any(|state| state.container == *id));
        for state in unled {
            let since = *strangers.entry(state.container.clone()).or_insert(now);
            let patience = if state.running { RUNNING } else { ENDED };
            if !swept || now.duration_since(since) >= patience {
                self.remove(&state).await;
            }
        }
        self.swept |= !swept;
    }

    fn is_proving(&self) -> bool {
        let table = self.board.subscribe();
        let table = table.borrow();
        table.values().any(|s| s.state == EngineState::Proving)
    }

    fn is_led(&self, state: &ContainerState) -> bool {
        self.led.contains(&state.generation)
    }

    async fn remove(&self, state: &ContainerState) {
        match self.sandbox.stop(&state.container).await {
            Ok(()) => info!(
                container.id = state.container,
                "Removed a leftover container"
            ),
            Err(error) => {
                warn!(container.id = state.container, %error, "Cannot remove a container");
            }
        }
    }
}
