//! Starts what looks after collections without anybody asking.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::collection::Collections;
use crate::flow::notify::Notifier;
use crate::metrics::Metrics;
use crate::store::Store;

/// What the stages stand on.
#[derive(Debug)]
pub struct Monitor {
    /// The settings.
    pub config: Arc<Config>,
    /// Rows and blobs.
    pub store: Store,
    /// Publishers' collections.
    pub collections: Collections,
    /// Tells those whom events concern.
    pub notifier: Arc<Notifier>,
    /// Every series.
    pub metrics: Metrics,
}

impl Monitor {
    /// Starts every stage.
    pub fn run(self, tasks: &mut JoinSet<&'static str>, shutdown: &CancellationToken) {
        self.notify(tasks, shutdown);
    }

    /// Tells those whom events concern.
    fn notify(&self, tasks: &mut JoinSet<&'static str>, shutdown: &CancellationToken) {
        let (notifier, shutdown) = (Arc::clone(&self.notifier), shutdown.clone());
        tasks.spawn(async move {
            notifier.run(&shutdown).await;
            "notifications"
        });
    }
}
