//! Reports of false positives to vendors: what left, to whom, and what came of it.

mod acts;
mod list;
pub mod model;
mod show;

use axum::Router;
use axum::routing::get;

use crate::Web;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/disputes", get(list::page))
        .route("/disputes/{id}", get(show::page).post(acts::act))
}
