//! Tells those whom events concern, through a durable outbox.
//!
//! ```text
//! raise ──→ UNROUTED ──route──→ DELIVERIES + OUTBOX ──send──→ the other side
//!              │                     one change                    │
//!              └→ ledger, once                       attempt, state, next try: one change
//! ```
//!
//! An event leaves UNROUTED in the change that writes its deliveries, so it is routed once. A
//! delivery leaves OUTBOX in the change that writes down the other side's answer, so it is made
//! again only if that answer was never written down; it then has the same id, by which the other
//! side can tell. What a vendor may know is looked up when it is told, not when it happened.

mod account;
mod channel;
mod guard;
mod outbox;
pub mod pace;
mod record;
mod route;
mod send;
pub mod subscriptions;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::flow::mail::Mailer;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};

pub use channel::{Channels, Outcome};
pub use subscriptions::NoticeError;
pub use words::tell;

/// How often the rows are looked at without anybody asking.
const TICK: Duration = Duration::from_millis(200);
/// How long to wait after the store or the ledger failed.
const TROUBLE: Duration = Duration::from_secs(5);

/// Routes events and makes deliveries.
#[derive(Debug)]
pub struct Notifier {
    store: Store,
    config: Arc<Config>,
    metrics: Metrics,
    channels: Channels,
    /// Said by the router when there is something to send.
    work: Notify,
}

impl Notifier {
    /// Prepares every channel the configuration allows.
    ///
    /// # Errors
    /// Says what of the configuration cannot be used.
    pub fn open(config: Arc<Config>, store: Store, metrics: Metrics) -> anyhow::Result<Self> {
        let mailer = Mailer::open(&config.mail)?;
        let channels = Channels::new(&config.notifications, mailer)
            .context("cannot prepare the channels of notifications")?;
        Ok(Self {
            store,
            config,
            metrics,
            channels,
            work: Notify::new(),
        })
    }

    /// Routes and sends until told to end, and a little longer for the answers to what was sent.
    pub async fn run(&self, shutdown: &CancellationToken) {
        let routing = shutdown.run_until_cancelled(self.route_all());
        tokio::join!(routing, self.send_all(shutdown));
    }

    async fn route_all(&self) {
        let mut noted = self.noted().await;
        loop {
            match self.route_some(&mut noted, crate::system::now()).await {
                Ok(0) => tokio::time::sleep(TICK).await,
                Ok(_) => self.work.notify_one(),
                Err(error) => {
                    tracing::error!(error = %error, "Cannot route events");
                    tokio::time::sleep(TROUBLE).await;
                }
            }
        }
    }

    /// Returns the events that are in the ledger already but perhaps not routed.
    async fn noted(&self) -> BTreeSet<u64> {
        loop {
            let store = self.store.clone();
            let read = tokio::task::spawn_blocking(move || store.events_in_ledger()).await;
            let read = read.map_err(|error| StoreError::Failed {
                reason: error.to_string(),
            });
            match read.and_then(|read| read) {
                Ok(noted) => return noted,
                Err(error) => {
                    tracing::error!(error = %error, "Cannot read the end of the ledger");
                    tokio::time::sleep(TROUBLE).await;
                }
            }
        }
    }
}
