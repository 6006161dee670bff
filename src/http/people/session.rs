//! Sessions: keys that end by themselves, of a user who signed in or of a key that does not leave
//! its place.
//!
//! A session has no right of its own: what its user, or its key, may now, it may, and it is over
//! when they are.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};

use super::{Emptied, signin};
use crate::http::auth::Caller;
use crate::http::connection::Peer;
use crate::http::envelope::{Answer, Base, Object};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::users::{self, UserAttributes};
use crate::http::{App, keys, now, random};
use crate::model::{ApiKey, Timestamp, User};
use crate::store::{Change, KEYS, KeyRow, USERS};

/// Where a session is opened with a key, as the router knows it.
pub const PATH: &str = "/api/v3/acquit/session";
/// Old sessions looked at for each new one: more than one, so that they never pile up.
const SWEEP: usize = 8;

/// Opens a session of a user.
///
/// # Errors
/// If the store fails.
pub async fn of_user(
    app: &App,
    user: User,
    base: &Base,
) -> Result<Object<UserAttributes>, ApiError> {
    let key = ApiKey::new(random()?);
    let row = KeyRow {
        expires_at: Some(end(app)),
        user: Some(user.id.clone()),
        ..KeyRow::new(&key, format!("session of {}", user.id), user.seat, now())
    };
    keep(app, row.clone()).await?;
    users::object(app, (row, Some(&key)), base)
}

/// Opens a session with a key, so that a browser need not hold the key itself: the answer's
/// `apikey` works until the session ends, or the key does.
#[utoipa::path(
    post, path = "/api/v3/acquit/session", tag = "people",
    responses(
        (status = 200, body = Answer<Object<UserAttributes>>),
        (status = 401, body = ErrorBody, description = "The key is wrong, or works no more"),
        (status = 403, body = ErrorBody, description = "The key is itself that of a session"),
        (status = 429, body = ErrorBody, description = "Too many attempts"),
    )
)]
pub async fn open(
    State(app): State<Arc<App>>,
    peer: Option<Extension<Peer>>,
    Extension(Caller(parent)): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<UserAttributes>>>, ApiError> {
    if parent.is_session() {
        let message = "a session opens no other; come in with the key, or sign in again";
        return Err(ApiError::forbidden(message));
    }
    let from = signin::from(peer);
    let text = format!("key {} signs in from {from}", parent.id);
    signin::access_line(&app, &parent.id.0, text).await?;
    let key = ApiKey::new(random()?);
    let name = format!("session of key {}", parent.id);
    let ends = end(&app);
    let row = KeyRow {
        expires_at: Some(parent.expires_at.map_or(ends, |at| at.min(ends))),
        parent: Some(parent.id),
        ..KeyRow::new(&key, name, parent.seat, now())
    };
    keep(&app, row.clone()).await?;
    let shown = KeyRow {
        name: parent.name,
        ..row
    };
    let data = users::object(&app, (shown, Some(&key)), &base)?;
    Ok(Json(Answer { data }))
}

/// Ends the session the request is made in.
#[utoipa::path(
    post, path = "/api/v3/acquit/signout", tag = "people",
    responses(
        (status = 200, body = Answer<Emptied>),
        (status = 403, body = ErrorBody, description = "The key is that of no session"),
    )
)]
pub async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(Caller(row)): Extension<Caller>,
) -> Result<Json<Answer<Emptied>>, ApiError> {
    if !row.is_session() {
        let message = "this key is no session; an administrator can revoke it";
        return Err(ApiError::forbidden(message));
    }
    keys::take_away(&app.api.store, row.id).await?;
    Ok(Json(Answer { data: Emptied {} }))
}

/// Returns when a session ends that begins now.
fn end(app: &App) -> Timestamp {
    let hours = app.api.config.login.session_hours.max(1);
    now().after(Duration::from_secs(u64::from(hours) * 3600))
}

/// Keeps the key of a session, and removes some that have ended.
async fn keep(app: &App, row: KeyRow) -> Result<(), ApiError> {
    let user = row.user.clone();
    keys::insert(&app.api.store, row).await?;
    let from = hex::encode(&random()?[..4]);
    let span = ([].as_slice(), Some(from.as_bytes()));
    let old = app.api.store.list(&KEYS, span, SWEEP)?.rows;
    let present = now();
    let is_over = move |row: &KeyRow| row.expires_at.is_some_and(|at| at < present);
    let ended = old.into_iter();
    let ended = ended.filter(move |(_, row)| row.is_session() && is_over(row));
    let write = move |change: &mut Change<'_>| {
        ended.for_each(|(key, _)| change.remove(&KEYS, &key));
        let Some(id) = user else { return Ok(()) };
        if let Some(mut user) = change.get(&USERS, &id)? {
            user.last_login_at = Some(present);
            change.put(&USERS, &id, &user)?;
        }
        Ok(())
    };
    Ok(app.api.store.write(write).await?)
}
