//! When a vendor hears that something is not there.
//!
//! For what is hidden more rows are read than for what was never here, and how long that takes
//! could tell them apart. So such an answer comes at fixed moments only.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// From one of these moments to the next: many times as long as it takes to look.
const STEP: Duration = Duration::from_millis(10);

/// Waits until the next moment at which a vendor may hear it.
pub async fn wait(began: Instant) {
    let steps = began.elapsed().as_micros() / STEP.as_micros() + 1;
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    sleep_until(began + STEP.saturating_mul(steps)).await;
}
