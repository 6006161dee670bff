//! Starts what looks after collections without anybody asking.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::collection::Collections;
use crate::flow::vendor;
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
    /// Every series.
    pub metrics: Metrics,
}

impl Monitor {
    /// Starts every stage.
    pub fn run(self, tasks: &mut JoinSet<&'static str>, shutdown: &CancellationToken) {
        let bundles = vendor::daily::run(self.store, self.config, shutdown.clone());
        tasks.spawn(async move {
            bundles.await;
            "bundles"
        });
    }
}
