//! The Monitor for publishers: items, their history, events, statistics.

use std::sync::Arc;

use axum::Router;
use utoipa::OpenApi;

use super::App;
use super::access::{Area, Rule};

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[];

#[derive(OpenApi)]
#[openapi(paths())]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new()
}
