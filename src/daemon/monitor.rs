//! Starts what looks after collections without anybody asking.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::collection::Collections;
use crate::flow::facts::Reader;
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
        self.read_facts(tasks, shutdown.clone());
    }

    /// Has files read for what they say of themselves.
    fn read_facts(&self, tasks: &mut JoinSet<&'static str>, shutdown: CancellationToken) {
        let roots = self.config.collections.signer_roots.clone();
        let reader = Reader::new(self.store.clone(), roots);
        tasks.spawn(async move {
            reader.run(&shutdown).await;
            "facts"
        });
    }
}
