//! Users as administrators see them: made, shown, changed, disabled, never removed.
//!
//! What a user brought stays the user's; an id that were given again would bring it to another.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parties::{self, SeatOrder, given, seat_text};
use super::{admin_line, signin};
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::{App, now};
use crate::model::{Timestamp, User, UserId};
use crate::store::{Change, KeyRow, USERS};

/// What is known of a user.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountAttributes {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// `admin`, `publisher`, `viewer` or `vendor`.
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<String>,
    /// Whether they can sign in with a password.
    has_password: bool,
    creation_date: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_login_date: Option<u64>,
    /// Since when they may not sign in.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_date: Option<u64>,
}

/// A user to be made, or what is changed of one; what is absent stays.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccountOrder {
    /// The name to sign in with, made of the name if absent; it never changes.
    id: Option<String>,
    name: Option<String>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// `admin`, `publisher`, `viewer` or `vendor`; a change of it names the party again.
    role: Option<String>,
    /// Id of the publisher whose collection it is about.
    publisher: Option<String>,
    /// Id of the vendor, which the role `vendor` needs.
    vendor: Option<String>,
    /// At least 10 characters; null takes it away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    password: Option<Option<String>>,
    /// Whether they may not sign in; sessions end at once.
    disabled: Option<bool>,
}

type Shown = Json<Answer<Object<AccountAttributes>>>;

/// Lists the users.
#[utoipa::path(
    get, path = "/api/v3/acquit/users", tag = "people", params(PageQuery),
    responses((status = 200, body = Collection<Object<AccountAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<AccountAttributes>>>, ApiError> {
    let span = ([].as_slice(), paging.cursor.as_deref());
    let page = app.api.store.list(&USERS, span, paging.limit)?;
    let rows = page.rows.into_iter();
    let data = rows.map(|(_, row)| object(row, &base)).collect();
    let url = base.url("/acquit/users");
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Makes a user.
#[utoipa::path(
    post, path = "/api/v3/acquit/users", tag = "people", request_body = AccountOrder,
    responses(
        (status = 200, body = Answer<Object<AccountAttributes>>),
        (status = 400, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "The id is taken"),
    )
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Shown, ApiError> {
    let order: AccountOrder = parties::attributes(&body)?;
    let name = parties::name(order.name.as_deref().or(order.id.as_deref()).unwrap_or(""))?;
    let id = super::id_of::<UserId>(order.id.as_deref(), &name)?;
    let hash = hashed(&app, order.password.clone()).await?;
    let _alone = app.keys.lock().await;
    if app.api.store.get(&USERS, &id)?.is_some() {
        let message = format!("there is already a user {id}; choose another id");
        return Err(ApiError::conflict(message).coded("AlreadyExistsError"));
    }
    let seat = seat(&order).seat(&app.api.store)?;
    let mut user = User {
        id,
        name,
        email: None,
        password: None,
        seat,
        created_at: now(),
        last_login_at: None,
        disabled_at: None,
    };
    change(&mut user, order, hash)?;
    let text = format!("user {} is made: {}", user.id, seat_text(&user.seat));
    keep(&app, &caller, (&user, text)).await?;
    let data = object(user, &base);
    Ok(Json(Answer { data }))
}

/// Shows a user.
#[utoipa::path(
    get, path = "/api/v3/acquit/users/{id}", tag = "people",
    params(("id" = String, Path, description = "Id of the user")),
    responses((status = 200, body = Answer<Object<AccountAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Shown, ApiError> {
    let data = object(find(&app, &id)?, &base);
    Ok(Json(Answer { data }))
}

/// Changes a user: what they may do, their password, whether they may sign in.
#[utoipa::path(
    patch, path = "/api/v3/acquit/users/{id}", tag = "people", request_body = AccountOrder,
    params(("id" = String, Path, description = "Id of the user")),
    responses((status = 200, body = Answer<Object<AccountAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Shown, ApiError> {
    let order: AccountOrder = parties::attributes(&body)?;
    if order.id.as_ref().is_some_and(|other| *other != id) {
        return Err(ApiError::invalid_argument("an id never changes"));
    }
    let hash = hashed(&app, order.password.clone()).await?;
    let _alone = app.keys.lock().await;
    let mut user = find(&app, &id)?;
    let says_seat = order.role.is_some() || order.publisher.is_some() || order.vendor.is_some();
    if says_seat {
        user.seat = seat(&order).seat(&app.api.store)?;
    }
    let password = if hash.is_some() {
        ", with another password"
    } else {
        ""
    };
    change(&mut user, order, hash)?;
    let state = if user.disabled_at.is_some() {
        ", disabled"
    } else {
        ""
    };
    let seat = seat_text(&user.seat);
    let text = format!("user {id} is changed: {seat}{password}{state}");
    keep(&app, &caller, (&user, text)).await?;
    let data = object(user, &base);
    Ok(Json(Answer { data }))
}

fn seat(order: &AccountOrder) -> SeatOrder {
    SeatOrder {
        role: order.role.clone(),
        publisher: order.publisher.clone(),
        vendor: order.vendor.clone(),
    }
}

/// Hashes a password that is given; `Some(None)` takes it away.
async fn hashed(
    app: &App,
    password: Option<Option<String>>,
) -> Result<Option<Option<String>>, ApiError> {
    match password {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(password)) => Ok(Some(Some(signin::hash(app, password).await?))),
    }
}

fn change(
    user: &mut User,
    order: AccountOrder,
    hash: Option<Option<String>>,
) -> Result<(), ApiError> {
    if let Some(name) = order.name {
        user.name = parties::name(&name)?;
    }
    if let Some(email) = order.email {
        user.email = email.as_deref().map(parties::email).transpose()?;
    }
    if let Some(hash) = hash {
        user.password = hash;
    }
    match order.disabled {
        Some(true) => user.disabled_at = user.disabled_at.or_else(|| Some(now())),
        Some(false) => user.disabled_at = None,
        None => {}
    }
    Ok(())
}

async fn keep(app: &App, caller: &Caller, (user, text): (&User, String)) -> Result<(), ApiError> {
    admin_line(app, caller, (user.seat.publisher.as_ref(), text)).await?;
    let row = user.clone();
    let write = move |change: &mut Change<'_>| {
        let before = change.get(&USERS, &row.id)?;
        // Whoever knew the old password may still have a session.
        if before.is_some_and(|before| before.password != row.password) {
            let own = |key: &KeyRow| key.user.as_ref() == Some(&row.id);
            parties::revoke_keys(change, now(), own)?;
        }
        change.put(&USERS, &row.id, &row)
    };
    Ok(app.api.store.write(write).await?)
}

fn find(app: &App, id: &str) -> Result<User, ApiError> {
    let none = || ApiError::not_found(format!("user {id:?} not found"));
    let user = id.parse::<UserId>().map_err(|_| none())?;
    app.api.store.get(&USERS, &user)?.ok_or_else(none)
}

fn object(row: User, base: &Base) -> Object<AccountAttributes> {
    let id = row.id.to_string();
    Object {
        kind: "account",
        links: Links::to(base.url(&format!("/acquit/users/{id}"))),
        id,
        attributes: AccountAttributes {
            name: row.name,
            email: row.email,
            role: row.seat.role.as_str(),
            publisher: row.seat.publisher.map(String::from),
            vendor: row.seat.vendor.map(String::from),
            has_password: row.password.is_some(),
            creation_date: row.created_at.seconds(),
            last_login_date: row.last_login_at.map(Timestamp::seconds),
            disabled_date: row.disabled_at.map(Timestamp::seconds),
        },
    }
}
