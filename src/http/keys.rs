//! API keys: made, listed, revoked. The key itself is answered once and never kept.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{self, Caller};
use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::error::{ApiError, ErrorBody};
use super::people::parties::{self, SeatOrder, seat_text};
use super::{App, now, random, views};
use crate::model::{ApiKey, KeyId, KeyRole, LedgerEntry, LedgerKind, Timestamp};
use crate::store::{Change, KEYS, KeyRow, Store, StoreError};

/// Keys read at a time while they are counted.
const LOOK: usize = 256;
/// Longest life of a key that ends by itself.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86400);

/// What is known of a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct KeyAttributes {
    /// What the operator calls it.
    name: String,
    /// `admin`, `publisher`, `viewer` or `vendor`.
    role: &'static str,
    /// `active`, `expired` or `revoked`.
    status: &'static str,
    /// Id of the publisher whose collection it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    /// Id of the vendor it is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<String>,
    /// Id of the user who signed in with it made.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Id of the key with which it was opened for a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_of: Option<String>,
    creation_date: u64,
    /// When it ceases to work by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_date: Option<u64>,
    /// When it was last used, to the minute or so.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_use_date: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation_date: Option<u64>,
    /// The key itself, only in the answer that makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    apikey: Option<String>,
}

/// A key to be made; its attributes may also be in VirusTotal's `data.attributes`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KeyOrder {
    /// What the operator calls it.
    name: String,
    /// `admin`, `publisher`, `viewer` or `vendor`; `publisher` if absent.
    role: Option<String>,
    /// Id of the publisher whose collection it is about; without one a publisher's key only scans
    /// files, and a viewer's sees everything.
    publisher: Option<String>,
    /// Id of the vendor, which the role `vendor` needs.
    vendor: Option<String>,
    /// When it ceases to work: a time as in RFC 3339, or a span such as `12h`, `90d`, `8w`, `1y`.
    expires: Option<String>,
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
    let rows = rows.map(|(id, row)| KeyRow {
        last_used_at: row.last_used_at.max(app.uses.of(&id)),
        ..row
    });
    let data = rows.map(|row| object(row, None, &base)).collect();
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
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<KeyAttributes>>>, ApiError> {
    let order: KeyOrder = parties::attributes(&body)?;
    let name = parties::name(&order.name)?;
    let expires = order.expires.as_deref().filter(|text| !text.is_empty());
    let expires_at = expires.map(|text| expiry(text, now())).transpose()?;
    let seat = SeatOrder {
        role: order.role,
        publisher: order.publisher,
        vendor: order.vendor,
    };
    // No party can go between the look and the key.
    let _alone = app.keys.lock().await;
    let seat = seat.seat(&app.api.store)?;
    let key = ApiKey::new(random()?);
    let row = KeyRow {
        expires_at,
        ..KeyRow::new(&key, name, seat, now())
    };
    let text = format!("key {} is made: {}", row.id, seat_text(&row.seat));
    note(&app, &caller, (&row, text)).await?;
    insert(&app.api.store, row.clone()).await?;
    let data = object(row, Some(&key), &base);
    Ok(Json(Answer { data }))
}

/// Writes down that an administrator changes who may what.
async fn note(app: &App, caller: &Caller, (row, text): (&KeyRow, String)) -> Result<(), ApiError> {
    let entry = LedgerEntry {
        publisher: row.seat.publisher.clone(),
        ..LedgerEntry::new(now(), LedgerKind::Admin, caller.actor(), text)
    };
    auth::append(app, entry).await
}

/// Keeps a new key.
///
/// # Errors
/// If the store fails, or the key's id is taken.
pub async fn insert(store: &Store, row: KeyRow) -> Result<(), ApiError> {
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
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<KeyAttributes>>>, ApiError> {
    let none = || ApiError::not_found(format!("key {id:?} not found"));
    let key = KeyId(id.clone());
    let _alone = app.keys.lock().await;
    let row = app.api.store.get(&KEYS, &key)?.ok_or_else(none)?;
    if is_lasting_admin(&row) && lasting_admins(&app.api.store)? < 2 {
        let message = "this is the last admin key; make another before you revoke it";
        return Err(ApiError::forbidden(message));
    }
    note(&app, &caller, (&row, format!("key {key} is revoked"))).await?;
    let row = take_away(&app.api.store, key).await?.ok_or_else(none)?;
    let data = object(row, None, &base);
    Ok(Json(Answer { data }))
}

/// Makes a key useless; nothing if there is none.
///
/// # Errors
/// If the store fails.
pub async fn take_away(store: &Store, key: KeyId) -> Result<Option<KeyRow>, StoreError> {
    let revoke = move |change: &mut Change<'_>| {
        let Some(mut row) = change.get(&KEYS, &key)? else {
            return Ok(None);
        };
        row.revoked_at = row.revoked_at.or_else(|| Some(now()));
        change.put(&KEYS, &key, &row)?;
        views::forget(change, &key)?;
        Ok(Some(row))
    };
    store.write(revoke).await
}

fn lasting_admins(store: &Store) -> Result<usize, ApiError> {
    let (mut count, mut from) = (0, None::<Vec<u8>>);
    loop {
        let page = store.list(&KEYS, (&[], from.as_deref()), LOOK)?;
        let rows = page.rows.iter();
        count += rows.filter(|(_, row)| is_lasting_admin(row)).count();
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(count),
        }
    }
}

/// A key that ends by itself is none to rely on.
fn is_lasting_admin(row: &KeyRow) -> bool {
    let lasts = row.revoked_at.is_none() && row.expires_at.is_none() && !row.is_session();
    row.seat.role == KeyRole::Admin && lasts
}

/// Reads when a key ceases to work: a time, or a span from now on.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let text = text.trim();
    let at = match span(text) {
        Some(span) => Some(now.after(span)),
        None => {
            let at = text.parse::<jiff::Timestamp>().ok();
            let millis = at.map(|at| at.as_millisecond().max(0).unsigned_abs());
            millis.map(Timestamp::from_millis)
        }
    };
    let at = at.ok_or_else(|| {
        ApiError::invalid_argument(
            "expires is neither a time like 2027-01-31T12:00:00Z nor a span like 12h, 90d, 8w, 1y",
        )
    })?;
    if at <= now || at > now.after(LONGEST) {
        return Err(ApiError::invalid_argument(
            "expires lies in the past, or more than 100 years ahead",
        ));
    }
    Ok(at)
}

fn span(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let hours: u64 = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 7 * 24,
        "y" => 365 * 24,
        _ => return None,
    };
    let seconds = count.parse::<u64>().ok()?.checked_mul(hours * 3600)?;
    Some(Duration::from_secs(seconds))
}

fn status(row: &KeyRow) -> &'static str {
    match (row.revoked_at, row.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(at)) if at <= now() => "expired",
        (None, _) => "active",
    }
}

fn object(row: KeyRow, key: Option<&ApiKey>, base: &Base) -> Object<KeyAttributes> {
    let id = row.id.to_string();
    Object {
        kind: "api_key",
        links: Links::to(base.url(&format!("/acquit/keys/{id}"))),
        id,
        attributes: KeyAttributes {
            status: status(&row),
            name: row.name,
            role: row.seat.role.as_str(),
            publisher: row.seat.publisher.map(String::from),
            vendor: row.seat.vendor.map(String::from),
            user: row.user.map(String::from),
            session_of: row.parent.map(|KeyId(id)| id),
            creation_date: row.created_at.seconds(),
            expiration_date: row.expires_at.map(Timestamp::seconds),
            last_use_date: row.last_used_at.map(Timestamp::seconds),
            revocation_date: row.revoked_at.map(Timestamp::seconds),
            apikey: key.map(ApiKey::reveal),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_at_a_time_or_after_a_span_and_never_in_the_past() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let end = |text: &str| expiry(text, now).ok().map(Timestamp::seconds);
        assert_eq!(end("90d"), Some(1_000_000_000 + 90 * 86400));
        assert_eq!(end("12h"), Some(1_000_000_000 + 12 * 3600));
        assert_eq!(end("2002-01-01T00:00:00+01:00"), Some(1_009_839_600));
        for bad in [
            "",
            "0d",
            "-1d",
            "90",
            "d",
            "9x",
            "2000-01-01T00:00:00Z",
            "999y",
            "9é",
        ] {
            assert_eq!(end(bad), None, "{bad}");
        }
    }
}
