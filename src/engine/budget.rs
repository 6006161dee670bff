//! The memory all running engines may be promised together.
//!
//! An engine that needs more than is left asks the idle ones to stop.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long a second container of an engine waits for room.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Mebibytes to give out; clones share them.
#[derive(Clone, Debug)]
pub struct Budget {
    free: Arc<Semaphore>,
    total_mb: u32,
    wanted: Arc<Notify>,
}

impl Budget {
    /// Makes a budget of so many mebibytes.
    pub fn new(total_mb: u64) -> Self {
        let total_mb = u32::try_from(total_mb).unwrap_or(u32::MAX).max(1);
        // A semaphore holds at most `usize::MAX >> 3` permits, far above any u32 here.
        let free = Arc::new(Semaphore::new(total_mb as usize));
        Self {
            free,
            total_mb,
            wanted: Arc::default(),
        }
    }

    /// Takes memory for one container, waiting until idle engines have made room.
    ///
    /// An engine that wants more than there is in all gets all of it.
    pub async fn take(&self, memory_mb: u64) -> OwnedSemaphorePermit {
        let share = u32::try_from(memory_mb)
            .unwrap_or(u32::MAX)
            .min(self.total_mb);
        let free = || Arc::clone(&self.free);
        if let Ok(permit) = free().try_acquire_many_owned(share) {
            return permit;
        }
        let mut waiting = std::pin::pin!(free().acquire_many_owned(share));
        loop {
            self.wanted.notify_waiters();
            let again = tokio::time::sleep(std::time::Duration::from_millis(250));
            tokio::select! {
                permit = &mut waiting => return permit.expect("the budget is never closed"),
                () = again => {}
            }
        }
    }

    /// Takes memory for a container beside one of the same size, if idle engines soon make room.
    pub async fn take_second(&self, memory_mb: u64) -> Option<OwnedSemaphorePermit> {
        if memory_mb.saturating_mul(2) > u64::from(self.total_mb) {
            return None;
        }
        tokio::time::timeout(PATIENCE, self.take(memory_mb))
            .await
            .ok()
    }

    /// Waits until somebody wants memory that is not there.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }
}
