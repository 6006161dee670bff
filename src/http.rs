//! The HTTP API: VirusTotal API v3 on the wire, and what has no counterpart
//! there under `/api/v3/acquit`.
//!
//! ```text
//! connection → measure → headers → compress → panics → host ─┬→ envelope ─┬→ open routes
//!                                                            │    ↑       └→ key → rate → role → handler
//!                                                            └→ pages (`acquit_web`), a client of it
//! ```
//!
//! Nothing here reaches Docker: what needs it is sent to the flow as a
//! [`Control`].

mod access;
mod analyses;
mod auth;
mod bundles;
mod connection;
mod disputes;
mod download;
mod egress;
mod engines;
mod envelope;
mod error;
mod events;
mod files;
mod form;
mod guard;
mod health;
mod incidents;
mod keys;
mod ledger;
mod limit;
mod monitor;
mod newest;
mod notices;
mod openapi;
mod overview;
mod parallel;
mod partner;
mod people;
mod query;
mod references;
mod rescans;
mod results;
mod search;
mod settings;
mod signatures;
mod stream;
mod tickets;
mod timeline;
mod updates;
mod upload;
mod upload_sessions;
mod users;
mod views;
mod written;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{any, delete, get, post, put};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use crate::model::Control;
pub use access::{Rule, rules};
pub use auth::import_keys;
pub use connection::Peer;

use crate::config::Config;
use crate::flow::collection::Collections;
use crate::flow::ingest::Ingest;
use crate::flow::uploads::Uploads;
use crate::metrics::Metrics;
use crate::model::{AnalysisId, EngineTable, Timestamp};
use crate::nightly::Desk;
use crate::store::Store;
use connection::Server;
use error::ApiError;
use limit::{Limiter, Uses};
use people::oidc::Pending;
use people::signin::Door;

/// Largest body of a request that is no upload.
const BODY_BYTES: usize = 64 << 10;

/// Lists of items that are written at the same time.
const EXPORTS: usize = 4;

/// What the API stands on.
#[derive(Clone, Debug)]
pub struct Api {
    /// Limits, names and places.
    pub config: Arc<Config>,
    /// Rows and blobs.
    pub store: Store,
    /// The way in for files.
    pub ingest: Ingest,
    /// Publishers' collections.
    pub collections: Collections,
    /// Every series.
    pub metrics: Metrics,
    /// How the engines fare.
    pub engines: watch::Receiver<EngineTable>,
    /// Where orders of administrators go.
    pub control: mpsc::Sender<Control>,
    /// Where orders about signatures go.
    pub desk: Desk,
    /// Names of analyses as they are completed; a hint for those who wait.
    pub completed: broadcast::Sender<AnalysisId>,
}

/// What handlers share.
#[derive(Debug)]
struct App {
    api: Api,
    limiter: Limiter,
    /// Which vendor the ledger says was shown what today.
    shown: partner::Shown,
    /// Which privileged reads the ledger has already.
    looks: auth::Looks,
    /// Which subscriptions were tried just now.
    trials: notices::Trials,
    /// Held while keys are counted and changed, so that one admin key always stays.
    keys: tokio::sync::Mutex<()>,
    /// Keys that were used and of which that is not written down yet.
    uses: Uses,
    /// Who listens to what is going on.
    streams: stream::Streams,
    /// What is counted behind requests' backs.
    overview: overview::Counts,
    /// How many lists of items may be written at the same time.
    exports: Arc<tokio::sync::Semaphore>,
    /// Files that come in parts.
    uploads: Uploads,
    /// How people come in.
    door: Door,
    /// Who is at the provider of OpenID Connect to come in.
    oidc: Pending,
    /// What goes on to its end although nobody waits for it any more.
    begun: TaskTracker,
    shutdown: CancellationToken,
}

/// Serves the API on a socket until told to end, then lets requests under way end.
///
/// # Errors
/// If the socket does not work at all.
pub async fn serve(
    api: Api,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "Serving the API");
    let app = app(api, shutdown.clone());
    let server = Server {
        http: app.api.config.http.clone(),
        metrics: app.api.metrics.clone(),
        router: routes(&app),
        shutdown: shutdown.clone(),
    };
    let ended = CancellationToken::new();
    let serving = async {
        server.run(listener).await;
        app.begun.close();
        app.begun.wait().await;
        ended.cancel();
    };
    // The first who asks should not have to wait.
    let counts = app
        .overview
        .get((&app.api.store, &app.shutdown), Duration::ZERO);
    let uses = app.uses.keep(&app.api.store, &ended);
    let uploads = upload_sessions::sweep(&app, &ended);
    tokio::join!(serving, uses, counts, uploads);
    Ok(())
}

/// Returns the whole API as a router.
pub fn router(api: Api) -> Router {
    routes(&app(api, CancellationToken::new()))
}

fn app(api: Api, shutdown: CancellationToken) -> Arc<App> {
    Arc::new(App {
        door: Door::new(&api.config.login),
        oidc: Pending::default(),
        limiter: Limiter::new(api.config.http.requests_per_minute),
        shown: partner::Shown::default(),
        looks: auth::Looks::default(),
        trials: notices::Trials::default(),
        overview: overview::Counts::default(),
        exports: Arc::new(tokio::sync::Semaphore::new(EXPORTS)),
        uploads: Uploads::open(&api.store, api.config.storage.reserve_mb),
        api,
        keys: tokio::sync::Mutex::default(),
        uses: Uses::default(),
        streams: stream::Streams::default(),
        begun: TaskTracker::new(),
        shutdown,
    })
}

fn routes(app: &Arc<App>) -> Router {
    let api = api_routes(app);
    Router::new()
        .merge(acquit_web::router(api.clone(), pages(app)))
        .merge(api)
        .layer(from_fn_with_state(Arc::clone(app), guard::check_host))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(CompressionLayer::new().compress_when(guard::OnlyText))
        .layer(from_fn(guard::add_headers))
        .layer(from_fn_with_state(Arc::clone(app), guard::measure))
}

/// Routes for programs, which answer in the envelope whatever happens.
fn api_routes(app: &Arc<App>) -> Router {
    let areas = access::AREAS.iter().map(|area| (area.routes)());
    let keyed = key_routes().merge(admin_routes());
    let keyed = areas.fold(keyed, Router::merge);
    let keyed = keyed.route_layer(from_fn_with_state(Arc::clone(app), auth::authenticate));
    Router::new()
        .nest("/api/v3", keyed.merge(open_routes()))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/api", any(guard::no_route))
        .route(guard::REST, any(guard::no_route))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn(guard::envelop))
        .with_state(Arc::clone(app))
}

/// What the web pages, a client of the API in this process, need to know.
fn pages(app: &App) -> acquit_web::Settings {
    let config = &app.api.config;
    acquit_web::Settings {
        carry: |from, to| {
            if let Some(peer) = from.get::<connection::Peer>() {
                to.insert(*peer);
            }
        },
        secure: config.http.public_url.starts_with("https:"),
        single_sign_on: !config.login.oidc_issuer.is_empty(),
    }
}

/// Routes of files, engines and signatures; [`access`] says who may use them.
fn key_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/files", post(files::submit))
        .route("/files/upload_url", get(tickets::upload_url))
        .route("/files/{id}", get(files::show))
        .route("/files/{id}/analyse", post(files::analyse))
        .route("/files/{id}/analyses", get(files::analyses))
        .route(
            "/files/{id}/relationships/analyses",
            get(files::analysis_descriptors),
        )
        .route("/files/{id}/download", get(files::download))
        .route("/files/{id}/download_url", get(tickets::download_url))
        .route("/analyses/{id}", get(analyses::show))
        .route("/analyses/{id}/item", get(analyses::item))
        .route(
            "/analyses/{id}/relationships/item",
            get(analyses::item_descriptor),
        )
        .route("/acquit/analyses/{id}/raw/{engine}", get(analyses::raw))
        .route("/search", get(files::search))
        .route("/metadata", get(users::metadata))
        .route("/users/{id}", get(users::show))
        .route("/users/{id}/overall_quotas", get(users::quotas))
        .route("/acquit/engines", get(engines::list))
        .route("/acquit/engines/{id}", get(engines::show))
        .merge(signature_routes())
}

/// Routes that show how signatures come and go.
fn signature_routes() -> Router<Arc<App>> {
    let engine = Router::new()
        .route("/signature_sets", get(signatures::list))
        .route("/signature_sets/{set}", get(signatures::show))
        .route("/updates", get(updates::list))
        .route("/updates/{number}", get(updates::show))
        .route("/updates/{number}/output", get(updates::output));
    Router::new()
        .nest("/acquit/engines/{id}", engine)
        .route("/acquit/signatures/export", get(bundles::export))
        .route("/acquit/signatures/key", get(bundles::key))
        .route("/acquit/rescans", get(rescans::list))
        .route("/acquit/rescans/{number}", get(rescans::show))
        .route("/acquit/events", get(events::list))
        .route("/acquit/references", get(references::list))
        .route("/files/{id}/timeline", get(timeline::list))
}

/// Routes that change engines, signatures and keys.
fn admin_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/acquit/engines/{id}/restart", post(engines::restart))
        .route("/acquit/engines/{id}/update", post(signatures::update))
        .route("/acquit/engines/{id}/rollback", post(signatures::rollback))
        .route("/acquit/engines/{id}/promote", post(signatures::promote))
        .route("/acquit/engines/{id}/hold", post(signatures::hold))
        .route("/acquit/engines/{id}/release", post(signatures::release))
        .route("/acquit/signatures/import", post(bundles::import))
        .route(
            "/files/{id}/reference",
            put(references::mark).delete(references::unmark),
        )
        .route("/acquit/rescan", post(engines::rescan))
        .route("/acquit/keys", get(keys::list).post(keys::create))
        .route("/acquit/keys/{id}", delete(keys::revoke))
}

/// Routes that need no key.
fn open_routes() -> Router<Arc<App>> {
    ticket_routes()
        .merge(page_routes())
        .merge(people::open_routes())
}

/// Routes whose URL is the authorization.
fn ticket_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/acquit/uploads/{secret}", post(tickets::use_upload_url))
        .route("/acquit/downloads/{secret}", get(tickets::use_download_url))
        .route(
            "/acquit/monitor_uploads/{secret}",
            post(monitor::use_upload_url),
        )
}

/// Routes that show nothing of anyone's.
fn page_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .route("/docs/page.css", get(openapi::style))
        .route("/docs/page.js", get(openapi::script))
}

/// Returns the present.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp::from_millis(millis.try_into().unwrap_or(u64::MAX))
}

/// Returns bits nobody can guess.
fn random() -> Result<[u8; 32], ApiError> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(|error| ApiError::internal(&error))?;
    Ok(bits)
}
