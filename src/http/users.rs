//! Users and metadata: what VirusTotal's clients ask before they work.
//!
//! A user here is an API key; its id is the key's public one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::envelope::{Answer, Base, Links, Object};
use super::error::{ApiError, ErrorBody};
use super::limit::PERIODS;
use super::{App, now};
use crate::model::{ApiKey, KeyId};
use crate::store::{KEYS, KeyRow};

/// What is known of the holder of a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAttributes {
    /// What the operator calls the key.
    first_name: String,
    /// `admin` or `publisher`.
    role: &'static str,
    /// `active` or `inactive`.
    status: &'static str,
    user_since: u64,
    privileges: BTreeMap<&'static str, Privilege>,
    quotas: BTreeMap<&'static str, Used>,
}

/// Whether something may be done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Privilege {
    granted: bool,
}

/// How much of what is allowed is used.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Used {
    allowed: u64,
    used: u64,
}

/// The same at each level clients look for it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quota {
    allowed: u64,
    used: u64,
    user: Used,
    group: Used,
}

/// Shows the holder of a key: by the key's id, by the key itself, or `me`.
#[utoipa::path(
    get, path = "/api/v3/users/{id}", tag = "users",
    params(("id" = String, Path, description = "Key id, key, or `me`")),
    responses((status = 200, body = Answer<Object<UserAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<UserAttributes>>>, ApiError> {
    let row = find(&app, &id, caller)?;
    let used = used(&app, &row.id);
    let id = row.id.to_string();
    let granted = |granted| Privilege { granted };
    let admin = Caller(row.clone()).is_admin();
    let data = Object {
        kind: "user",
        links: Links::to(base.url(&format!("/users/{id}"))),
        id,
        attributes: UserAttributes {
            role: row.seat.role.as_str(),
            status: if row.revoked_at.is_none() {
                "active"
            } else {
                "inactive"
            },
            user_since: row.created_at.seconds(),
            first_name: row.name,
            privileges: [("file-upload", granted(true)), ("admin", granted(admin))].into(),
            quotas: used.collect(),
        },
    };
    Ok(Json(Answer { data }))
}

/// Shows how many requests a key may make and has made.
#[utoipa::path(
    get, path = "/api/v3/users/{id}/overall_quotas", tag = "users",
    params(("id" = String, Path, description = "Key id, key, or `me`")),
    responses((status = 200, body = Answer<BTreeMap<String, Quota>>), (status = 404, body = ErrorBody))
)]
pub async fn quotas(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Answer<BTreeMap<&'static str, Quota>>>, ApiError> {
    let row = find(&app, &id, caller)?;
    let quota = |(name, used): (&'static str, Used)| {
        let Used {
            allowed,
            used: count,
        } = used;
        let quota = Quota {
            allowed,
            used: count,
            user: used,
            group: used,
        };
        (name, quota)
    };
    let data = used(&app, &row.id).map(quota).collect();
    Ok(Json(Answer { data }))
}

fn used(app: &App, key: &KeyId) -> impl Iterator<Item = (&'static str, Used)> {
    let counts = app.limiter.allowed().into_iter();
    let counts = counts.zip(app.limiter.used(key, now()));
    let quotas = PERIODS.into_iter().zip(counts);
    quotas.map(|((name, _), (allowed, used))| (name, Used { allowed, used }))
}

/// Finds whom an id means; a publisher sees nobody but himself.
fn find(app: &App, id: &str, caller: Caller) -> Result<KeyRow, ApiError> {
    let named = id.parse::<ApiKey>().map(|key| (key.id(), Some(key)));
    let (wanted, key) = named.unwrap_or_else(|_| (KeyId(id.to_owned()), None));
    if id == "me" || wanted == caller.0.id {
        return Ok(caller.0);
    }
    // What was asked for may be a secret, so it is not repeated.
    let none = || ApiError::not_found("user not found");
    if !caller.is_admin() {
        return Err(none());
    }
    let row = app.api.store.get(&KEYS, &wanted)?.ok_or_else(none)?;
    match key {
        Some(key) if key.digest() != row.digest => Err(none()),
        _ => Ok(row),
    }
}

/// What this server knows of.
#[derive(Debug, Serialize, ToSchema)]
pub struct Metadata {
    /// Display names of the engines.
    #[schema(value_type = Object)]
    engines: BTreeMap<String, BTreeMap<String, String>>,
    privileges: Vec<&'static str>,
    /// What can be asked for of each type of object.
    relationships: BTreeMap<&'static str, Vec<Relationship>>,
}

/// One thing that can be asked for of an object.
#[derive(Debug, Serialize, ToSchema)]
pub struct Relationship {
    name: &'static str,
    description: &'static str,
}

/// Shows what this server knows of.
#[utoipa::path(
    get, path = "/api/v3/metadata", tag = "users",
    responses((status = 200, body = Answer<Metadata>))
)]
pub async fn metadata(State(app): State<Arc<App>>) -> Json<Answer<Metadata>> {
    let table = app.api.engines.borrow();
    let engines = table
        .values()
        .map(|status| (status.name.clone(), BTreeMap::new()));
    let relation = |name, description| vec![Relationship { name, description }];
    let data = Metadata {
        engines: engines.collect(),
        privileges: vec!["file-upload", "admin"],
        relationships: [
            ("file", relation("analyses", "Analyses of the file")),
            ("analysis", relation("item", "The file the analysis is of")),
        ]
        .into(),
    };
    Json(Answer { data })
}
