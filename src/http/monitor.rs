//! The Monitor for publishers: items, their history, their trash, events.
//!
//! VirusTotal's routes are below `/monitor`; what it has no word for is below `/acquit`.

mod address;
mod archive;
mod batch;
mod card;
mod event_filter;
mod events;
mod export;
mod filter;
mod item;
mod list;
mod object;
mod refusal;
mod related;
mod submit;
mod trash;
mod tree;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

pub use object::url as item_url;
pub use refusal::of_collection as refused;
pub use submit::{Submitted, may_put, put, submitted, use_upload_url};

use super::App;
use super::access::{Area, READERS, Rule, WRITERS, rule};

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    rule("GET", "/monitor/items", READERS),
    rule("POST", "/monitor/items", WRITERS),
    rule("GET", "/monitor/items/upload_url", WRITERS),
    rule("GET", "/monitor/items/{*rest}", READERS),
    rule("DELETE", "/monitor/items/{*rest}", WRITERS),
    rule("PATCH", "/monitor/items/{*rest}", WRITERS),
    rule("GET", "/monitor/events", READERS),
    rule("POST", "/acquit/items", WRITERS),
    rule("GET", "/acquit/items/export", READERS),
    rule("GET", "/acquit/items/{*rest}", READERS),
    rule("PATCH", "/acquit/items/{*rest}", WRITERS),
    rule("POST", "/acquit/items/{*rest}", WRITERS),
    rule("GET", "/acquit/collection", READERS),
    rule("GET", "/acquit/trash", READERS),
    rule("DELETE", "/acquit/trash", WRITERS),
    rule("POST", "/acquit/trash/{act}/restore", WRITERS),
];

#[derive(OpenApi)]
#[openapi(
    paths(
        list::list,
        export::export,
        submit::submit,
        batch::submit,
        submit::upload_url,
        submit::use_upload_url,
        item::get,
        item::delete,
        item::patch,
        events::list,
        tree::get,
        tree::patch,
        tree::post,
        trash::list,
        trash::restore,
        trash::empty,
        trash::collection,
    ),
    components(schemas(
        related::MonitorAnalysisAttributes,
        related::CommentAttributes,
        related::OwnerAttributes,
        tree::PolicyAttributes,
        tree::VersionAttributes,
    ))
)]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/monitor/items", get(list::list).post(submit::submit))
        .route("/monitor/items/upload_url", get(submit::upload_url))
        .route(
            "/monitor/items/{*rest}",
            get(item::get).delete(item::delete).patch(item::patch),
        )
        .route("/monitor/events", get(events::list))
        .route("/acquit/items", post(batch::submit))
        .route("/acquit/items/export", get(export::export))
        .route(
            "/acquit/items/{*rest}",
            get(tree::get).patch(tree::patch).post(tree::post),
        )
        .route("/acquit/collection", get(trash::collection))
        .route("/acquit/trash", get(trash::list).delete(trash::empty))
        .route("/acquit/trash/{act}/restore", post(trash::restore))
}
