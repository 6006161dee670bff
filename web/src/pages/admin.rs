//! Administration: who takes part, who is told, what happened.
//!
//! - `publishers`, `users`, `keys`, `vendors`: who takes part, and what they may.
//! - `notices`, [`deliveries`]: who is told of what; publishers and vendors have the same pages.
//! - `schedule`, [`settings`], `rescans`: what is done by itself, and when. `ledger`, `events`: what was.
//! - `forms`, `parties`, [`kinds`]: what they have in common.

pub mod deliveries;
mod events;
mod forms;
mod keys;
pub mod kinds;
mod ledger;
mod notices;
mod overview;
mod parties;
mod publishers;
mod rescans;
mod schedule;
pub mod settings;
mod users;
mod vendors;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::Web;
use crate::fault::Fault;
use crate::session::Viewer;

/// Parts of administration, as tabs: where below `/admin`, and what they are called.
pub const TABS: [(&str, &str); 11] = [
    ("", "Overview"),
    ("publishers", "Publishers"),
    ("users", "People"),
    ("keys", "API keys"),
    ("vendors", "Vendors"),
    ("notifications", "Notifications"),
    ("schedule", "Schedule"),
    ("rescans", "Rescans"),
    ("settings", "Settings"),
    ("ledger", "Ledger"),
    ("events", "Events"),
];

/// What vendors may have of a publisher's files, in words.
pub const POLICIES: [(&str, &str, &str); 4] = [
    (
        "never",
        "Nothing",
        "To vendors the files do not exist. False positives can only be disputed by hand.",
    ),
    (
        "metadata-only",
        "Metadata only",
        "Hashes, detections, the release card and history of files a vendor detects; never the file.",
    ),
    (
        "file-on-request",
        "File on request",
        "A vendor asks for a file it detects; each request is granted or refused by hand.",
    ),
    (
        "file",
        "The file",
        "A vendor can download each file it detects, as long as it detects it.",
    ),
];

/// Tells whether two texts are the same, however they are borrowed in a template.
pub fn same(one: &str, other: &str) -> bool {
    one == other
}

/// Returns a role in words.
pub fn role_name(role: &str) -> &str {
    match role {
        "admin" => "Administrator",
        "publisher" => "Publisher",
        "viewer" => "Viewer",
        "vendor" => "Vendor",
        other => other,
    }
}

/// The routes.
pub fn routes() -> Router<Web> {
    let admin = Router::new()
        .merge(overview::routes())
        .merge(publishers::routes())
        .merge(users::routes())
        .merge(keys::routes())
        .merge(vendors::routes())
        .merge(schedule::routes())
        .merge(settings::routes())
        .merge(rescans::routes())
        .merge(events::routes())
        .merge(notices::routes("/admin/notifications"))
        .merge(deliveries::routes("/admin/notifications"))
        .merge(ledger::routes("/admin/ledger"))
        .route_layer(from_fn(administrators));
    admin
        .merge(notices::routes("/notifications"))
        .merge(deliveries::routes("/notifications"))
        .merge(ledger::routes("/ledger"))
}

/// Says who these pages are for before the API refuses parts of them.
async fn administrators(viewer: Viewer, request: Request, next: Next) -> Response {
    if viewer.is_admin() {
        return next.run(request).await;
    }
    let message = "administration is for administrators of this appliance".to_owned();
    let fault = Fault::api(axum::http::StatusCode::FORBIDDEN, String::new(), message);
    fault.into_response()
}
