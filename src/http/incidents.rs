//! Incidents: what is detected in collections, and what is done about it; and the figures.

mod acts;
mod filter;
mod list;
mod statistics;
pub mod view;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use utoipa::OpenApi;

use super::App;
use super::access::{Area, READERS, Rule, WRITERS, rule};
use super::auth::Caller;
use super::error::ApiError;
use crate::model::Incident;
use crate::store::INCIDENTS;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    rule("GET", "/acquit/incidents", READERS),
    rule("GET", "/acquit/incidents/statistics", READERS),
    rule("GET", "/acquit/incidents/{id}", READERS),
    rule("PATCH", "/acquit/incidents/{id}", WRITERS),
    rule("GET", "/acquit/incidents/{id}/thread", READERS),
    rule("POST", "/acquit/incidents/{id}/notes", WRITERS),
    rule("POST", "/acquit/incidents/{id}/replies", WRITERS),
    rule("POST", "/acquit/incidents/{id}/acknowledge", WRITERS),
    rule("POST", "/acquit/incidents/{id}/close", WRITERS),
    rule("POST", "/acquit/incidents/{id}/reopen", WRITERS),
    rule("GET", "/monitor/statistics", READERS),
    rule("GET", "/monitor/statistics/{id}", READERS),
];

#[derive(OpenApi)]
#[openapi(paths(
    list::list,
    list::show,
    list::thread,
    acts::patch,
    acts::note,
    acts::reply,
    acts::acknowledge,
    acts::close,
    acts::reopen,
    statistics::incidents,
    statistics::list,
    statistics::show
))]
struct Document;

fn routes() -> Router<Arc<App>> {
    let one = Router::new()
        .route("/", get(list::show).patch(acts::patch))
        .route("/thread", get(list::thread))
        .route("/notes", post(acts::note))
        .route("/replies", post(acts::reply))
        .route("/acknowledge", post(acts::acknowledge))
        .route("/close", post(acts::close))
        .route("/reopen", post(acts::reopen));
    Router::new()
        .route("/acquit/incidents", get(list::list))
        .route("/acquit/incidents/statistics", get(statistics::incidents))
        .nest("/acquit/incidents/{id}", one)
        .route("/monitor/statistics", get(statistics::list))
        .route("/monitor/statistics/{id}", get(statistics::show))
}

/// Finds an incident that the caller may see; what he may not see is not there.
fn find(app: &App, caller: &Caller, id: &str) -> Result<Incident, ApiError> {
    let none = || ApiError::not_found(format!("incident {id:?} not found"));
    let number = id.parse::<u64>().map_err(|_| none())?;
    let incident = app.api.store.get(&INCIDENTS, &number)?;
    incident
        .filter(|incident: &Incident| caller.may_see(&incident.publisher))
        .ok_or_else(none)
}
