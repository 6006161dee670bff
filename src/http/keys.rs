//! API keys: made, listed, revoked. The key itself is answered once and never kept.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::engines::parse_body;
use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::error::{ApiError, ErrorBody};
use super::{App, now, random};
use crate::model::{ApiKey, KeyId, KeyRole, Seat};
use crate::store::{Change, KEYS, KeyRow, Store, StoreError};

/// Longest name of a key, in characters.
const NAME_CHARS: usize = 100;
/// Keys read at a time while they are counted.
const LOOK: usize = 256;

/// What is known of a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyAttributes {
    /// What the operator calls it.
    name: String,
    /// `admin` or `publisher`.
    role: &'static str,
    creation_date: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_date: Option<u64>,
    /// The key itself, only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    apikey: Option<String>,
}

/// A key to be made; its attributes may also be in VirusTotal's `data.attributes`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct KeyOrder {
    /// What the operator calls it.
    name: String,
    /// `admin` or `publisher`; `publisher` if absent.
    role: Option<String>,
    #[schema(ignore)]
    data: Option<KeyOrderData>,
}

/// The same in VirusTotal's envelope.
#[derive(Debug, Deserialize)]
struct KeyOrderData {
    attributes: Box<KeyOrder>,
}

/// Lists the keys.
#[utoipa::path(
    get, path = "/api/v3/acquit/keys", tag = "keys", params(PageQuery),
    responses((status = 200, body = Collection<Object<KeyAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<KeyAttributes>>>, ApiError> {
    let from = paging.cursor.as_deref();
    let page = app.api.store.list(&KEYS, (&[], from), paging.limit)?;
    let rows = page.rows.into_iter();
    let data = rows.map(|(_, row)| object(row, None, &base)).collect();
    let url = base.url("/acquit/keys");
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Makes a key and answers it, this once.
#[utoipa::path(
    post, path = "/api/v3/acquit/keys", tag = "keys", request_body = KeyOrder,
    responses((status = 200, body = Answer<Object<KeyAttributes>>), (status = 400, body = ErrorBody))
)]
pub async fn create(
    State(app): State<Arc<App>>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<KeyAttributes>>>, ApiError> {
    let order: KeyOrder = parse_body(&body)?;
    let order = order.data.map_or(
        KeyOrder {
            data: None,
            ..order
        },
        |data| *data.attributes,
    );
    let name = order.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_CHARS {
        let message = format!("a key needs a name of 1 to {NAME_CHARS} characters");
        return Err(ApiError::invalid_argument(message));
    }
    let role = parse_role(order.role.as_deref().unwrap_or("publisher"))?;
    let key = ApiKey::new(random()?);
    let row = KeyRow::new(&key, name, Seat::of(role), now());
    let _alone = app.keys.lock().await;
    insert(&app.api.store, row.clone()).await?;
    let data = object(row, Some(&key), &base);
    Ok(Json(Answer { data }))
}

async fn insert(store: &Store, row: KeyRow) -> Result<(), ApiError> {
    let insert = move |change: &mut Change<'_>| {
        let free = change.get(&KEYS, &row.id)?.is_none();
        if free {
            change.put(&KEYS, &row.id, &row)?;
        }
        Ok::<_, StoreError>(free)
    };
    if store.write(insert).await? {
        Ok(())
    } else {
        // One chance in four thousand million for each key there is.
        Err(ApiError::unavailable("the key's id is taken; try again"))
    }
}

/// Revokes a key, for good.
#[utoipa::path(
    delete, path = "/api/v3/acquit/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "First 8 digits of the key")),
    responses(
        (status = 200, body = Answer<Object<KeyAttributes>>),
        (status = 403, body = ErrorBody, description = "It is the last admin key"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<KeyAttributes>>>, ApiError> {
    let none = || ApiError::not_found(format!("key {id:?} not found"));
    let key = KeyId(id.clone());
    let _alone = app.keys.lock().await;
    let row = app.api.store.get(&KEYS, &key)?.ok_or_else(none)?;
    if is_live_admin(&row) && live_admins(&app.api.store)? < 2 {
        let message = "this is the last admin key; make another before you revoke it";
        return Err(ApiError::forbidden(message));
    }
    let row = KeyRow {
        revoked_at: row.revoked_at.or_else(|| Some(now())),
        ..row
    };
    let kept = row.clone();
    let write = move |change: &mut Change<'_>| change.put(&KEYS, &kept.id, &kept);
    app.api.store.write(write).await?;
    let data = object(row, None, &base);
    Ok(Json(Answer { data }))
}

fn live_admins(store: &Store) -> Result<usize, ApiError> {
    let (mut count, mut from) = (0, None::<Vec<u8>>);
    loop {
        let page = store.list(&KEYS, (&[], from.as_deref()), LOOK)?;
        count += page
            .rows
            .iter()
            .filter(|(_, row)| is_live_admin(row))
            .count();
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(count),
        }
    }
}

fn is_live_admin(row: &KeyRow) -> bool {
    row.seat.role == KeyRole::Admin && row.revoked_at.is_none()
}

fn parse_role(text: &str) -> Result<KeyRole, ApiError> {
    match text {
        "admin" => Ok(KeyRole::Admin),
        "publisher" => Ok(KeyRole::Publisher),
        _ => Err(ApiError::invalid_argument(
            "role is either \"admin\" or \"publisher\"",
        )),
    }
}

fn object(row: KeyRow, key: Option<&ApiKey>, base: &Base) -> Object<KeyAttributes> {
    let id = row.id.to_string();
    Object {
        kind: "api_key",
        links: Links::to(base.url(&format!("/acquit/keys/{id}"))),
        id,
        attributes: KeyAttributes {
            name: row.name,
            role: row.seat.role.as_str(),
            creation_date: row.created_at.seconds(),
            revocation_date: row.revoked_at.map(|at| at.seconds()),
            apikey: key.map(ApiKey::reveal),
        },
    }
}
