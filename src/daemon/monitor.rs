//! Starts what looks after collections without anybody asking.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::collection::Collections;
use crate::flow::incident::watch::Watch;
use crate::flow::statistics;
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
        let watch = Watch {
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            deadline_days: self.config.collections.deadline_days,
        };
        let stop = shutdown.clone();
        tasks.spawn(async move {
            watch.run(stop).await;
            "incidents"
        });
        let (store, stop) = (self.store.clone(), shutdown.clone());
        tasks.spawn(async move {
            statistics::run(store, stop).await;
            "statistics"
        });
    }
}
