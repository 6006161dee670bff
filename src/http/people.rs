//! Publishers, vendors, users and how they sign in.

pub mod accounts;
pub mod groups;
pub mod oidc;
pub mod parties;
pub mod password;
pub mod publishers;
pub mod session;
pub mod signin;
pub mod vendors;

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::access::{ADMIN, ALL, Area, READERS, Rule, rule};
use super::auth::{self, Caller};
use super::error::ApiError;
use super::{App, now};
use crate::model::{InvalidPartyId, LedgerEntry, LedgerKind, PublisherId};
use crate::store::{Change, META, PUBLISHERS, Store, StoreError, VENDORS};

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    rule("GET", "/groups/{id}", ALL),
    rule("PATCH", "/users/{id}", ALL),
    rule("POST", "/acquit/session", ALL),
    rule("POST", "/acquit/signout", ALL),
    rule("GET", "/acquit/publishers", READERS),
    rule("POST", "/acquit/publishers", ADMIN),
    rule("GET", "/acquit/publishers/{id}", READERS),
    rule("PATCH", "/acquit/publishers/{id}", ADMIN),
    rule("DELETE", "/acquit/publishers/{id}", ADMIN),
    rule("GET", "/acquit/vendors", ADMIN),
    rule("POST", "/acquit/vendors", ADMIN),
    rule("GET", "/acquit/vendors/{id}", ADMIN),
    rule("PATCH", "/acquit/vendors/{id}", ADMIN),
    rule("DELETE", "/acquit/vendors/{id}", ADMIN),
    rule("GET", "/acquit/users", ADMIN),
    rule("POST", "/acquit/users", ADMIN),
    rule("GET", "/acquit/users/{id}", ADMIN),
    rule("PATCH", "/acquit/users/{id}", ADMIN),
];

#[derive(OpenApi)]
#[openapi(paths(
    groups::show,
    signin::sign_in,
    session::open,
    session::sign_out,
    password::change,
    oidc::login,
    oidc::callback,
    oidc::page::enter,
    publishers::list,
    publishers::create,
    publishers::show,
    publishers::edit,
    publishers::remove,
    vendors::list,
    vendors::create,
    vendors::show,
    vendors::edit,
    vendors::remove,
    accounts::list,
    accounts::create,
    accounts::show,
    accounts::edit,
))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/groups/{id}", get(groups::show))
        .route("/users/{id}", patch(password::change))
        .route("/acquit/session", post(session::open))
        .route("/acquit/signout", post(session::sign_out))
        .route(
            "/acquit/publishers",
            get(publishers::list).post(publishers::create),
        )
        .route(
            "/acquit/publishers/{id}",
            get(publishers::show)
                .patch(publishers::edit)
                .delete(publishers::remove),
        )
        .route("/acquit/vendors", get(vendors::list).post(vendors::create))
        .route(
            "/acquit/vendors/{id}",
            get(vendors::show)
                .patch(vendors::edit)
                .delete(vendors::remove),
        )
        .route("/acquit/users", get(accounts::list).post(accounts::create))
        .route(
            "/acquit/users/{id}",
            get(accounts::show).patch(accounts::edit),
        )
}

/// Routes by which people come in: they have no key yet.
pub fn open_routes() -> Router<Arc<App>> {
    Router::new()
        .route("/ui/signin", post(signin::sign_in))
        .route("/acquit/oidc/login", get(oidc::login))
        .route("/acquit/oidc/callback", get(oidc::callback))
        .route("/acquit/oidc/session", post(oidc::page::enter))
}

/// What is answered where nothing is left to show.
#[derive(Debug, Serialize, ToSchema)]
pub struct Emptied {}

/// Returns the id that is named, or the one a name makes.
fn id_of<I: FromStr<Err = InvalidPartyId>>(named: Option<&str>, name: &str) -> Result<I, ApiError> {
    match named.filter(|id| !id.is_empty()) {
        Some(id) => id
            .parse()
            .map_err(|error: InvalidPartyId| ApiError::invalid_argument(error.to_string())),
        None => parties::slug(name).parse().map_err(|_| {
            ApiError::invalid_argument(format!("{name:?} makes no id; name one yourself as id"))
        }),
    }
}

/// Refuses the id of another party: groups of publishers and vendors share their names, and what
/// one who is gone was granted must not come to another.
fn taken(store: &Store, id: &str) -> Result<(), ApiError> {
    let publisher = id.parse().map(|id| store.get(&PUBLISHERS, &id));
    let vendor = id.parse().map(|id| store.get(&VENDORS, &id));
    let exists = |what: &str| {
        let message = format!("there is {what} {id:?}; choose another id");
        Err(ApiError::conflict(message).coded("AlreadyExistsError"))
    };
    if publisher.is_ok_and(|row| !matches!(row, Ok(None))) {
        return exists("already a publisher");
    }
    if vendor.is_ok_and(|row| !matches!(row, Ok(None))) {
        return exists("already a vendor");
    }
    match store.get(&META, &retired(id))? {
        Some(_) => exists("no more, but was once, a party"),
        None => Ok(()),
    }
}

/// Remembers an id that is never given again.
fn retire(change: &mut Change<'_>, id: &str) -> Result<(), StoreError> {
    change.put(&META, &retired(id), &now().millis())
}

fn retired(id: &str) -> String {
    format!("retired {id}")
}

/// Writes into the ledger that an administrator changes who may what, before it is done.
async fn admin_line(
    app: &App,
    caller: &Caller,
    (publisher, text): (Option<&PublisherId>, String),
) -> Result<(), ApiError> {
    let entry = LedgerEntry {
        publisher: publisher.cloned(),
        ..LedgerEntry::new(now(), LedgerKind::Admin, caller.actor(), text)
    };
    auth::append(app, entry).await
}
