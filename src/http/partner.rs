//! The Monitor for vendors: what their own engines detect now, of publishers who consent.
//!
//! Everything that is named by hash is looked up in [`see`]: what is hidden and
//! what was never here take the same way to the same answer. A vendor is shown
//! its own engines' answers only; of the others it learns how many were silent,
//! and which only where the owner gives out the file itself.

mod analyses;
mod bundle;
mod comments;
mod files;
mod hashes;
mod items;
mod requests;
mod shown;
mod statistics;
mod thread;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use super::App;
use super::access::{Area, Rule, VENDORS, WRITERS, rule as access};
use super::auth::Caller;
use super::error::ApiError;
use super::now;
use crate::flow::policy::Sight;
use crate::flow::vendor::{self, Analyst, VendorError};
use crate::model::{EngineId, Sha256, Vendor};

pub use files::{redeem, rule};
pub use shown::Shown;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    access("GET", "/monitor_partner/hashes", VENDORS),
    access("GET", "/monitor_partner/hashes/{sha256}", VENDORS),
    access("GET", "/monitor_partner/hashes/{sha256}/analyses", VENDORS),
    access("GET", "/monitor_partner/hashes/{sha256}/items", VENDORS),
    access("GET", "/monitor_partner/hashes/{sha256}/thread", VENDORS),
    access("GET", "/monitor_partner/hashes/{sha256}/comments", VENDORS),
    access("POST", "/monitor_partner/hashes/{sha256}/comments", VENDORS),
    access("GET", "/monitor_partner/hashes/{sha256}/comments/", VENDORS),
    access(
        "POST",
        "/monitor_partner/hashes/{sha256}/comments/",
        VENDORS,
    ),
    access(
        "GET",
        "/monitor_partner/hashes/{sha256}/relationships/{relationship}",
        VENDORS,
    ),
    access("GET", "/monitor_partner/comments/{id}", VENDORS),
    access("PATCH", "/monitor_partner/comments/{id}", VENDORS),
    access("POST", "/monitor_partner/comments/{id}", VENDORS),
    access("DELETE", "/monitor_partner/comments/{id}", VENDORS),
    access("GET", "/monitor_partner/comments/{id}/", VENDORS),
    access("PATCH", "/monitor_partner/comments/{id}/", VENDORS),
    access("POST", "/monitor_partner/comments/{id}/", VENDORS),
    access("DELETE", "/monitor_partner/comments/{id}/", VENDORS),
    access("GET", "/monitor_partner/files/{sha256}/download", VENDORS),
    access(
        "GET",
        "/monitor_partner/files/{sha256}/download_url",
        VENDORS,
    ),
    access("POST", "/monitor_partner/files/{sha256}/request", VENDORS),
    access(
        "GET",
        "/monitor_partner/detections_bundle/{engine}/download",
        VENDORS,
    ),
    access(
        "GET",
        "/monitor_partner/detections_bundle/{engine}/download_url",
        VENDORS,
    ),
    access(
        "GET",
        "/monitor_partner/detections_bundle/{engine}/{day}/download",
        VENDORS,
    ),
    access(
        "GET",
        "/monitor_partner/detections_bundle/{engine}/{day}/download_url",
        VENDORS,
    ),
    access("GET", "/monitor_partner/statistics", VENDORS),
    access("GET", "/acquit/file_requests", WRITERS),
    access(
        "POST",
        "/acquit/file_requests/{sha256}/{vendor}/grant",
        WRITERS,
    ),
    access(
        "POST",
        "/acquit/file_requests/{sha256}/{vendor}/refuse",
        WRITERS,
    ),
];

#[derive(OpenApi)]
#[openapi(paths(
    hashes::list,
    hashes::show,
    hashes::descriptors,
    analyses::list,
    items::list,
    thread::list,
    comments::list,
    comments::create,
    comments::show,
    comments::edit,
    comments::remove,
    files::download,
    files::download_url,
    requests::ask,
    requests::list,
    requests::grant,
    requests::refuse,
    bundle::today,
    bundle::today_url,
    bundle::dated,
    bundle::dated_url,
    statistics::list,
))]
struct Document;

fn routes() -> Router<Arc<App>> {
    let comments = || get(comments::list).post(comments::create);
    let hash = Router::new()
        .route("/", get(hashes::show))
        .route("/analyses", get(analyses::list))
        .route("/items", get(items::list))
        .route("/thread", get(thread::list))
        .route("/comments", comments())
        .route("/comments/", comments())
        .route("/relationships/{relationship}", get(hashes::descriptors));
    // VirusTotal's own sample edits by POST.
    let edit = || comments::routes_of_one();
    let bundle = Router::new()
        .route("/download", get(bundle::today))
        .route("/download_url", get(bundle::today_url))
        .route("/{day}/download", get(bundle::dated))
        .route("/{day}/download_url", get(bundle::dated_url));
    let partner = Router::new()
        .route("/hashes", get(hashes::list))
        .nest("/hashes/{sha256}", hash)
        .route("/comments/{id}", edit().get(comments::show))
        .route("/comments/{id}/", edit().get(comments::show_in_list))
        .route("/files/{sha256}/download", get(files::download))
        .route("/files/{sha256}/download_url", get(files::download_url))
        .route("/files/{sha256}/request", post(requests::ask))
        .nest("/detections_bundle/{engine}", bundle)
        .route("/statistics", get(statistics::list));
    let requests = "/acquit/file_requests/{sha256}/{vendor}";
    Router::new()
        .nest("/monitor_partner", partner)
        .route("/acquit/file_requests", get(requests::list))
        .route(&format!("{requests}/grant"), post(requests::grant))
        .route(&format!("{requests}/refuse"), post(requests::refuse))
}

/// A vendor that asks, as it is now.
struct Asking {
    vendor: Vendor,
    analyst: Analyst,
}

/// Returns the vendor that asks.
fn asking(app: &App, caller: &Caller) -> Result<Asking, ApiError> {
    let id = caller.vendor()?;
    let vendor = vendor::find(&app.api.store, id).map_err(|error| failed(error, ""))?;
    let analyst = Analyst {
        vendor: id.clone(),
        actor: caller.actor(),
        now: now(),
    };
    Ok(Asking { vendor, analyst })
}

/// Returns what a vendor may have of a blob, and writes down that it knows of it from now on.
async fn see(app: &App, asking: &Asking, id: &str) -> Result<(Sha256, Sight), ApiError> {
    let sha256: Sha256 = id.parse().map_err(|_| not_found(id))?;
    let sight = vendor::see(&app.api.store, &asking.vendor, &sha256);
    let sight = sight.map_err(|error| failed(error, id))?;
    app.shown
        .note(app, &asking.analyst, &[(&sha256, &sight)])
        .await?;
    Ok((sha256, sight))
}

/// The one answer for what is hidden and what was never here.
fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("hash {id:?} not found"))
}

fn failed(error: VendorError, id: &str) -> ApiError {
    let message = error.to_string();
    match error {
        VendorError::Hidden => not_found(id),
        VendorError::Forbidden(_) => ApiError::forbidden(message),
        VendorError::Exists(_) => ApiError::conflict(message).coded("AlreadyExistsError"),
        VendorError::Invalid(_) => ApiError::invalid_argument(message),
        VendorError::TooMuch => ApiError::unavailable(message),
        VendorError::Store(error) => error.into(),
    }
}

/// Finds the vendor's own engine by id or display name.
///
/// Another's engine and one that does not exist get the same answer.
fn own_engine(app: &App, vendor: &Vendor, name: &str) -> Result<EngineId, ApiError> {
    let table = app.api.engines.borrow();
    let is_it = |id: &&EngineId| {
        let status = table.get(*id);
        id.as_str().eq_ignore_ascii_case(name)
            || status.is_some_and(|status| status.name.eq_ignore_ascii_case(name))
    };
    let own = vendor.engines.iter().find(is_it).cloned();
    own.ok_or_else(|| ApiError::forbidden(format!("{name:?} is no engine of yours")))
}

/// Returns the display name of an engine.
pub fn display_name(app: &App, engine: &EngineId) -> String {
    let table = app.api.engines.borrow();
    let status = table.get(engine);
    status.map_or_else(|| engine.to_string(), |status| status.name.clone())
}
