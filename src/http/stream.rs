//! What is going on, as server-sent events: hints on which a page looks again at what it shows.
//!
//! ```text
//! what was written ──┐                                                   nobody: the stream ends
//! engines changed  ──┼→ wait a moment, each once ──→ who listens now? ──┤
//! keys, and a tick ──┘                                                   └→ what may be told ──→ events
//! ```
//!
//! A hint says of what the caller may see anyhow that it is perhaps another now, and no more. Who
//! lost some, because there were too many, is told so and looks at everything again. A vendor is
//! only told that something of theirs changed, by the rule of what they are notified of, and at
//! fixed moments.

mod hints;
mod places;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, Interval, interval_at, sleep, sleep_until};
use utoipa::OpenApi;

use super::access::{ALL, Area, rule};
use super::auth::{self, Caller};
use super::error::{ApiError, ErrorBody};
use super::{App, now};
use crate::model::{EngineTable, KeyId, KeyRole, Timestamp};
use crate::store::{News, StoreError};
use hints::Hints;
use places::Place;
pub use places::Streams;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: &[rule("GET", "/acquit/stream", ALL)],
    document: Document::openapi,
};

/// How long hints are gathered: what is written again and again in it is told once.
const GATHER: Duration = Duration::from_millis(100);
/// From one telling of engines to the next: their counts change with every batch.
const ENGINES: Duration = Duration::from_millis(500);
/// From one moment at which a vendor may be told something to the next.
const VENDORS: Duration = Duration::from_secs(2);
/// How often is looked whether the key still works, and a sign of life sent.
const RECHECK: Duration = Duration::from_secs(15);
/// After how long a client comes again whose stream broke off.
const RETRY: Duration = Duration::from_secs(2);

#[derive(OpenApi)]
#[openapi(paths(open))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new().route("/acquit/stream", get(open))
}

/// Tells what is going on, as server-sent events, until the key ceases to work.
///
/// Each event is a hint, with a little JSON as its data: `analysis` (`id`, `sha256`, `status`,
/// `answered`, `engines`), `engine` (`engine`), `event` (`number`, `kind`, `incident`, `engine`),
/// `incident` (`incident`: it or its dispute is another, or something was said of it), `update` (`engine`,
/// `number`) and `rescan` (`number`); of analyses of the night only that they are complete.
/// `lagged` says that hints were lost: whatever is shown should be looked at again. A vendor gets
/// `changed` when something that concerns their engines is another, and nothing else.
/// What was missed while no stream was open is not told afterwards.
#[utoipa::path(
    get, path = "/api/v3/acquit/stream", tag = "stream",
    responses(
        (status = 200, content_type = "text/event-stream", description = "Hints, as they come up"),
        (status = 429, body = ErrorBody, description = "Too many streams of this key are open"),
    )
)]
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(Caller(key)): Extension<Caller>,
) -> Result<Response, ApiError> {
    let place = Place::take(&app, key.holder())?;
    let keep = KeepAlive::new().interval(RECHECK);
    let told = Sse::new(Watch::new(app, key.id, place).told()).keep_alive(keep);
    let mut response = told.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies would gather the hints until there are enough of them.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// One who listens.
#[derive(Debug)]
struct Watch {
    app: Arc<App>,
    key: KeyId,
    news: broadcast::Receiver<News>,
    engines: watch::Receiver<EngineTable>,
    /// The engines as they were told last.
    seen: EngineTable,
    /// When engines may be told of again.
    engines_due: Instant,
    tick: Interval,
    began: Instant,
    /// When a vendor is told that something changed, if something did.
    vendor_due: Option<Instant>,
    /// When was last looked at what there is for a vendor.
    looked: Timestamp,
    /// How many events were sent.
    sent: u64,
    _place: Place,
}

impl Watch {
    fn new(app: Arc<App>, key: KeyId, place: Place) -> Self {
        let began = Instant::now();
        let mut engines = app.api.engines.clone();
        let seen = engines.borrow_and_update().clone();
        Self {
            news: app.api.store.news(),
            app,
            key,
            engines,
            seen,
            engines_due: began,
            tick: interval_at(began + RECHECK, RECHECK),
            began,
            vendor_due: None,
            looked: now(),
            sent: 0,
            _place: place,
        }
    }

    /// Returns all that is told; it ends with the key, or the daemon.
    fn told(self) -> impl Stream<Item = Result<Event, Infallible>> {
        // Sent at once, so that whoever listens knows that nothing is missed from here on.
        let first = Event::default().retry(RETRY).comment("listening");
        let rest = stream::unfold(self, Self::next);
        let rest = rest.flat_map(stream::iter);
        stream::once(async { first }).chain(rest).map(Ok)
    }

    /// Waits until there is something to tell; nothing if there will not be any more.
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        let shutdown = self.app.shutdown.clone();
        loop {
            let hints = shutdown.run_until_cancelled(self.gather()).await??;
            // The right is that of the moment.
            let caller = auth::caller_of(&self.app.api.store, &self.key);
            let caller = caller.ok().flatten()?;
            let events = match caller.role() {
                KeyRole::Vendor => self.tell_vendor(&caller, &hints),
                KeyRole::Admin | KeyRole::Publisher | KeyRole::Viewer => self.tell(&caller, hints),
            };
            let events = events.inspect_err(|error| {
                tracing::warn!(%error, "A stream of hints ends early");
            });
            let events = events.ok()?;
            if !events.is_empty() {
                return Some((events, self));
            }
        }
    }

    /// Gathers hints for a moment after the first; nothing if the store has gone.
    async fn gather(&mut self) -> Option<Hints> {
        let mut hints = Hints::default();
        tokio::select! {
            news = self.news.recv() => match news {
                Ok(news) => hints.add(news),
                Err(RecvError::Lagged(_)) => hints.lagged = true,
                Err(RecvError::Closed) => return None,
            },
            () = changed(&mut self.engines, self.engines_due) => hints.engines = true,
            () = moment(self.vendor_due) => {}
            _ = self.tick.tick() => return Some(hints),
        }
        sleep(GATHER).await;
        hints.drain(&mut self.news);
        Some(hints)
    }

    fn tell(&mut self, caller: &Caller, hints: Hints) -> Result<Vec<Event>, StoreError> {
        let mut told = hints.tell(&self.app.api.store, caller)?;
        if hints.engines {
            self.engines_due = Instant::now() + ENGINES;
            let table = self.engines.borrow_and_update().clone();
            told.extend(hints::engines(&self.seen, &table));
            self.seen = table;
        }
        let number = |event: Event| {
            self.sent += 1;
            event.id(self.sent.to_string())
        };
        Ok(told.into_iter().map(number).collect())
    }

    /// Notes that something of a vendor's changed; tells so when the moment has come.
    fn tell_vendor(&mut self, caller: &Caller, hints: &Hints) -> Result<Vec<Event>, StoreError> {
        if hints.engines {
            // They are shown to vendors nowhere.
            self.engines_due = Instant::now() + RECHECK;
        }
        let since = std::mem::replace(&mut self.looked, now());
        if hints.concern_vendor(&self.app.api.store, caller, since)? {
            let step = VENDORS.as_millis();
            let steps = self.began.elapsed().as_millis() / step + 1;
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            let due = self.began + VENDORS.saturating_mul(steps);
            self.vendor_due = self.vendor_due.or(Some(due));
        }
        if self.vendor_due.is_none_or(|due| due > Instant::now()) {
            return Ok(Vec::new());
        }
        self.vendor_due = None;
        self.sent += 1;
        let event = hints::event("changed", &serde_json::json!({}));
        Ok(vec![event.id(self.sent.to_string())])
    }
}

/// Waits until engines changed and may be told of.
async fn changed(engines: &mut watch::Receiver<EngineTable>, due: Instant) {
    sleep_until(due).await;
    if engines.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for a moment; for ever if there is none.
async fn moment(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
