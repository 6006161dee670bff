//! Starts what looks after collections without anybody asking.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::collection::Collections;
use crate::flow::dispute::{Disputes, Post};
use crate::flow::facts::Reader;
use crate::flow::incident::watch::Watch;
use crate::flow::ingest::Ingest;
use crate::flow::mail::Mailer;
use crate::flow::notify::Notifier;
use crate::flow::statistics;
use crate::flow::vendor::daily;
use crate::metrics::Metrics;
use crate::model::EngineTable;
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
    /// The way to the engines.
    pub ingest: Ingest,
    /// Which engines there are.
    pub engines: watch::Receiver<EngineTable>,
}

impl Monitor {
    /// Starts every stage.
    pub fn run(self, tasks: &mut JoinSet<&'static str>, shutdown: &CancellationToken) {
        let mut start = |name, stage: Stage| {
            let shutdown = shutdown.clone();
            tasks.spawn(async move {
                stage.run(&shutdown).await;
                name
            });
        };
        start("disputes", Stage::Disputes(self.post()));
        start("facts", Stage::Facts(self.reader()));
        start("incidents", Stage::Incidents(self.watch()));
        start("bundles", Stage::Bundles(self.store.clone(), self.config));
        start("statistics", Stage::Statistics(self.store));
        start("notifications", Stage::Notifications(self.notifier));
        start("collections", Stage::Collections(self.collections));
    }

    /// Sends disputes and follows them.
    fn post(&self) -> Post {
        let mailer = Mailer::open(&self.config.mail).unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "No mail can be sent");
            None
        });
        let disputes = Disputes::new(
            self.store.clone(),
            Arc::clone(&self.config),
            self.engines.clone(),
        );
        Post::new(disputes, mailer, self.ingest.clone())
    }

    /// Reads what files say of themselves.
    fn reader(&self) -> Reader {
        let roots = self.config.collections.signer_roots.clone();
        Reader::new(self.store.clone(), roots)
    }

    /// Looks for incidents whose time is over.
    fn watch(&self) -> Watch {
        Watch {
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            deadline_days: self.config.collections.deadline_days,
        }
    }
}

/// What runs until the daemon ends.
enum Stage {
    Bundles(Store, Arc<Config>),
    Collections(Collections),
    Disputes(Post),
    Facts(Reader),
    Incidents(Watch),
    Notifications(Arc<Notifier>),
    Statistics(Store),
}

impl Stage {
    async fn run(self, shutdown: &CancellationToken) {
        match self {
            Self::Bundles(store, config) => daily::run(store, config, shutdown.clone()).await,
            Self::Collections(it) => drop(shutdown.run_until_cancelled(it.look_after()).await),
            Self::Disputes(post) => post.run(shutdown).await,
            Self::Facts(reader) => reader.run(shutdown).await,
            Self::Incidents(watch) => watch.run(shutdown.clone()).await,
            Self::Notifications(notifier) => notifier.run(shutdown).await,
            Self::Statistics(store) => statistics::run(store, shutdown.clone()).await,
        }
    }
}
