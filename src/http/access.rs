//! Who may use which route: one table, and what is not in it is refused.
//!
//! A role only opens the route. Whether what a request names is there for its caller is for the
//! handler to find out, through the one who owns it; what is not, does not exist for the caller.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};

use super::auth::Caller;
use super::error::ApiError;
use super::{
    App, disputes, incidents, ledger, monitor, notices, overview, partner, people, search,
    settings, stream, upload_sessions, views,
};
use crate::model::KeyRole;

/// A part of the API: its routes, who may use them, its description.
#[derive(Debug)]
pub struct Area {
    /// The routes, below `/api/v3`.
    pub(super) routes: fn() -> Router<Arc<App>>,
    /// Who may use them.
    pub rules: &'static [Rule],
    /// Their description.
    pub document: fn() -> utoipa::openapi::OpenApi,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// `GET`, `POST`, …; `HEAD` goes with `GET`.
    pub method: &'static str,
    /// The route as it is written where it is made, below `/api/v3`.
    pub path: &'static str,
    /// Roles that may.
    pub who: &'static [KeyRole],
}

/// Makes a rule.
pub const fn rule(method: &'static str, path: &'static str, who: &'static [KeyRole]) -> Rule {
    Rule { method, path, who }
}

/// Only administrators.
pub const ADMIN: &[KeyRole] = &[KeyRole::Admin];
/// Who brings files and changes collections.
pub const WRITERS: &[KeyRole] = &[KeyRole::Admin, KeyRole::Publisher];
/// Who looks at files and collections.
pub const READERS: &[KeyRole] = &[KeyRole::Admin, KeyRole::Publisher, KeyRole::Viewer];
/// Vendors.
pub const VENDORS: &[KeyRole] = &[KeyRole::Vendor];
/// Everybody with a key.
pub const ALL: &[KeyRole] = &KeyRole::ALL;

/// Every part with rules of its own.
pub const AREAS: &[Area] = &[
    monitor::AREA,
    partner::AREA,
    incidents::AREA,
    overview::AREA,
    views::AREA,
    search::AREA,
    settings::AREA,
    disputes::AREA,
    notices::AREA,
    ledger::AREA,
    people::AREA,
    stream::AREA,
    upload_sessions::AREA,
];

/// Files, engines, signatures, keys.
const RULES: &[Rule] = &[
    rule("POST", "/files", WRITERS),
    rule("GET", "/files/upload_url", WRITERS),
    rule("GET", "/files/{id}", READERS),
    rule("POST", "/files/{id}/analyse", WRITERS),
    rule("GET", "/files/{id}/analyses", READERS),
    rule("GET", "/files/{id}/relationships/analyses", READERS),
    rule("GET", "/files/{id}/download", WRITERS),
    rule("GET", "/files/{id}/download_url", WRITERS),
    rule("GET", "/files/{id}/timeline", READERS),
    rule("PUT", "/files/{id}/reference", ADMIN),
    rule("DELETE", "/files/{id}/reference", ADMIN),
    rule("GET", "/analyses/{id}", READERS),
    rule("GET", "/analyses/{id}/item", READERS),
    rule("GET", "/analyses/{id}/relationships/item", READERS),
    rule("GET", "/acquit/analyses/{id}/raw/{engine}", READERS),
    rule("GET", "/search", READERS),
    rule("GET", "/metadata", ALL),
    rule("GET", "/users/{id}", ALL),
    rule("GET", "/users/{id}/overall_quotas", ALL),
    rule("GET", "/acquit/engines", READERS),
    rule("GET", "/acquit/engines/{id}", READERS),
    rule("GET", "/acquit/engines/{id}/signature_sets", READERS),
    rule("GET", "/acquit/engines/{id}/signature_sets/{set}", READERS),
    rule("GET", "/acquit/engines/{id}/updates", READERS),
    rule("GET", "/acquit/engines/{id}/updates/{number}", READERS),
    rule(
        "GET",
        "/acquit/engines/{id}/updates/{number}/output",
        READERS,
    ),
    rule("POST", "/acquit/engines/{id}/restart", ADMIN),
    rule("POST", "/acquit/engines/{id}/update", ADMIN),
    rule("POST", "/acquit/engines/{id}/rollback", ADMIN),
    rule("POST", "/acquit/engines/{id}/promote", ADMIN),
    rule("POST", "/acquit/engines/{id}/hold", ADMIN),
    rule("POST", "/acquit/engines/{id}/release", ADMIN),
    rule("GET", "/acquit/signatures/export", READERS),
    rule("GET", "/acquit/signatures/key", READERS),
    rule("POST", "/acquit/signatures/import", ADMIN),
    rule("GET", "/acquit/rescans", READERS),
    rule("GET", "/acquit/rescans/{number}", READERS),
    rule("POST", "/acquit/rescan", ADMIN),
    rule("GET", "/acquit/events", READERS),
    rule("GET", "/acquit/references", READERS),
    rule("GET", "/acquit/keys", ADMIN),
    rule("POST", "/acquit/keys", ADMIN),
    rule("DELETE", "/acquit/keys/{id}", ADMIN),
];

/// Returns every rule there is.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    let areas = AREAS.iter().flat_map(|area| area.rules);
    RULES.iter().chain(areas)
}

/// Refuses a request whose caller's role the route is not for.
///
/// # Errors
/// If it is not, or nobody wrote down for whom it is.
pub fn check(caller: &Caller, request: &Request) -> Result<(), ApiError> {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or("", |path| path.as_str());
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let method = match *request.method() {
        Method::HEAD => "GET",
        ref method => method.as_str(),
    };
    let mut ours = rules().filter(|rule| rule.path == path).peekable();
    if ours.peek().is_none() {
        return Err(forbidden(&[]));
    }
    match ours.find(|rule| rule.method == method) {
        Some(rule) if rule.who.contains(&caller.role()) => Ok(()),
        Some(rule) => Err(forbidden(rule.who)),
        None => Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this URL has no such method",
        )),
    }
}

fn forbidden(who: &[KeyRole]) -> ApiError {
    let roles: Vec<_> = who.iter().map(|role| role.as_str()).collect();
    ApiError::forbidden(match roles.as_slice() {
        [] => "nobody may do this".to_owned(),
        [role] => format!("only a key of role {role} may do this"),
        roles => format!(
            "only a key of one of the roles {} may do this",
            roles.join(", ")
        ),
    })
}
