//! The pages, each in a file or a folder of its own.

pub mod account;
pub mod admin;
pub mod analyses;
pub mod collection;
pub mod dashboard;
pub mod disputes;
pub mod engines;
pub mod fault;
pub mod incidents;
pub mod items;
pub mod scan;
pub mod search;
pub mod sign_in;
pub mod vendor;
pub mod welcome;

use axum::Router;

use crate::Web;

/// The routes of all pages.
pub fn routes() -> Router<Web> {
    let pages = [
        dashboard::routes(),
        welcome::routes(),
        collection::routes(),
        items::routes(),
        analyses::routes(),
        incidents::routes(),
        disputes::routes(),
        engines::routes(),
        scan::routes(),
        vendor::routes(),
        account::routes(),
        admin::routes(),
        search::routes(),
        sign_in::routes(),
    ];
    let pages = pages.into_iter().fold(Router::new(), Router::merge);
    pages.fallback(fault::nothing)
}
