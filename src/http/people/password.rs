//! How a user changes their own password.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{parties, signin};
use crate::http::auth::Caller;
use crate::http::connection::Peer;
use crate::http::envelope::{Answer, Base, Object};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::users::{self, UserAttributes};
use crate::http::{App, now};
use crate::model::{KeyId, User};
use crate::store::{Change, KeyRow, USERS};

/// What somebody changes of themselves; also in `data.attributes`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OwnChange {
    /// The password until now.
    old_password: String,
    /// The one from now on, at least 10 characters.
    password: String,
}

impl std::fmt::Debug for OwnChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OwnChange")
    }
}

/// Changes one's own password, in a session. All other sessions of the user end.
///
/// Wrong old passwords are counted as wrong sign-ins are.
#[utoipa::path(
    patch, path = "/api/v3/users/{id}", tag = "users", request_body = OwnChange,
    params(("id" = String, Path, description = "`me`, or one's own user id")),
    responses(
        (status = 200, body = Answer<Object<UserAttributes>>),
        (status = 400, body = ErrorBody, description = "The new password is too short or too long"),
        (status = 403, body = ErrorBody, description = "The old password is wrong, or there is none"),
        (status = 404, body = ErrorBody),
        (status = 429, body = ErrorBody, description = "Too many attempts"),
    )
)]
pub async fn change(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    peer: Option<Extension<Peer>>,
    Extension(Caller(session)): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<UserAttributes>>>, ApiError> {
    let order: OwnChange = parties::attributes(&body)?;
    let user = own(&app, &session, &id)?;
    let from = signin::from(peer);
    check_old(&app, (&user, &from), order.old_password).await?;
    let hash = signin::hash(&app, order.password).await?;
    let text = format!("user {} changes their password from {from}", user.id);
    let _alone = app.keys.lock().await;
    signin::access_line(&app, user.id.as_str(), text).await?;
    if !keep(&app, (user, hash), session.id.clone()).await? {
        let message = "the password was changed by somebody else meanwhile";
        return Err(ApiError::conflict(message));
    }
    let data = users::object(&app, (session, None), &base)?;
    Ok(Json(Answer { data }))
}

/// Finds the user a session is of; only themselves, and only one who has a password.
fn own(app: &App, session: &KeyRow, id: &str) -> Result<User, ApiError> {
    let of = session.user.as_ref();
    if id != "me" && of.is_none_or(|user| user.as_str() != id) {
        return Err(ApiError::not_found("user not found"));
    }
    let user = of.map(|user| app.api.store.get(&USERS, user)).transpose()?;
    let user = user.flatten().filter(|user| user.password.is_some());
    user.ok_or_else(|| {
        ApiError::forbidden(
            "there is no password to change: you came in with a key, or by way of your \
             organisation; an administrator can give a user a password",
        )
    })
}

/// Checks the password until now, as often as one may try to sign in.
async fn check_old(app: &App, (user, from): (&User, &str), old: String) -> Result<(), ApiError> {
    let names = signin::names(user.id.as_str(), from);
    signin::knock(app, &names)?;
    if signin::is_right(app, user.password.clone(), old).await? {
        app.door.welcome(&names);
        return Ok(());
    }
    let text = format!(
        "user {} fails to change their password from {from}",
        user.id
    );
    signin::access_line(app, user.id.as_str(), text).await?;
    Err(ApiError::forbidden("the old password is wrong").coded("WrongCredentialsError"))
}

/// Keeps the hash of the new password and ends all other sessions; not if another came first.
async fn keep(app: &App, (user, hash): (User, String), session: KeyId) -> Result<bool, ApiError> {
    let write = move |change: &mut Change<'_>| {
        let Some(mut row) = change.get(&USERS, &user.id)? else {
            return Ok(false);
        };
        if row.password != user.password || row.disabled_at.is_some() {
            return Ok(false);
        }
        row.password = Some(hash);
        // Whoever knew the old password may have one.
        let other = |key: &KeyRow| key.user.as_ref() == Some(&user.id) && key.id != session;
        parties::revoke_keys(change, now(), other)?;
        change.put(&USERS, &user.id, &row)?;
        Ok(true)
    };
    Ok(app.api.store.write(write).await?)
}
