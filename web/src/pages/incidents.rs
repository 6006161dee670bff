//! Detections of files in collections, until they are over: a list, each with its story, what a
//! dispute would tell the vendor, and the files that vendors ask for.

mod acts;
mod filter;
mod list;
pub mod model;
mod preview;
mod raw;
mod requests;
mod show;
mod steps;

use axum::Router;
use axum::routing::get;

use crate::Web;

/// The routes.
pub fn routes() -> Router<Web> {
    Router::new()
        .route("/incidents", get(list::page))
        .route(
            "/incidents/requests",
            get(requests::page).post(requests::answer),
        )
        .route("/incidents/{id}", get(show::page).post(acts::act))
        .route(
            "/incidents/{id}/dispute",
            get(preview::page).post(preview::order),
        )
}
