//! References: files of the collection on which every new signature set must be silent.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::auth::Caller;
use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::error::{ApiError, ErrorBody};
use super::people::Emptied;
use super::{App, files, now};
use crate::flow::doom;
use crate::model::{Sha256, Timestamp};
use crate::store::{BLOBS, Change, REFERENCES, RowKey, Store};

/// Rows read at a time.
const STEP: usize = 100;

/// What is known of a reference.
#[derive(Debug, Serialize, ToSchema)]
pub struct ReferenceAttributes {
    /// Since when the file is one.
    date: u64,
}

/// Lists the references.
#[utoipa::path(
    get, path = "/api/v3/acquit/references", tag = "signatures",
    params(PageQuery),
    responses((status = 200, body = Collection<Object<ReferenceAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<ReferenceAttributes>>>, ApiError> {
    let (rows, next) = visible(&app.api.store, &caller, &paging)?;
    let rows = rows.into_iter();
    let data = rows.map(|(sha256, at)| object(sha256, at, &base)).collect();
    let url = base.url("/acquit/references");
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Rows of a page, and the key of the row after it.
type Rows = (Vec<(Sha256, Timestamp)>, Option<Vec<u8>>);

/// Reads a page of the references that are there for the caller.
///
/// They are few, so that all of others may be passed over to fill a page.
fn visible(store: &Store, caller: &Caller, paging: &Paging) -> Result<Rows, ApiError> {
    let (mut found, mut from) = (Vec::new(), paging.cursor.clone());
    loop {
        let page = store.list(&REFERENCES, (&[], from.as_deref()), STEP)?;
        for (sha256, at) in page.rows {
            if !caller.sees_blob(store, &sha256)? {
                continue;
            }
            // Only a row that is there makes a further page: none is ever empty.
            if found.len() == paging.limit {
                return Ok((found, Some(sha256.to_bytes())));
            }
            found.push((sha256, at));
        }
        from = page.next;
        if from.is_none() {
            return Ok((found, None));
        }
    }
}

/// Makes a file a reference: the canary shows it to every new signature set.
#[utoipa::path(
    put, path = "/api/v3/files/{id}/reference", tag = "signatures",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5")),
    responses((status = 200, body = Answer<Object<ReferenceAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn mark(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<ReferenceAttributes>>>, ApiError> {
    let sha256 = files::find(&app, &caller, &id)?.digests.sha256;
    let mark = move |change: &mut Change<'_>| {
        if change.get(&BLOBS, &sha256)?.is_none() {
            return Ok(None);
        }
        let at = change.get(&REFERENCES, &sha256)?.unwrap_or_else(now);
        change.put(&REFERENCES, &sha256, &at)?;
        Ok(Some(at))
    };
    let gone = || ApiError::not_found(format!("File {id:?} not found"));
    let at = app.api.store.write(mark).await?.ok_or_else(gone)?;
    let data = object(sha256, at, &base);
    Ok(Json(Answer { data }))
}

/// Makes a file no reference any more.
#[utoipa::path(
    delete, path = "/api/v3/files/{id}/reference", tag = "signatures",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5")),
    responses((status = 200, body = Answer<Emptied>), (status = 404, body = ErrorBody))
)]
pub async fn unmark(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Answer<Emptied>>, ApiError> {
    let sha256 = files::find(&app, &caller, &id)?.digests.sha256;
    let unmark = move |change: &mut Change<'_>| {
        change.remove(&REFERENCES, &sha256);
        doom::note(change, sha256)
    };
    app.api.store.write(unmark).await?;
    Ok(Json(Answer { data: Emptied {} }))
}

fn object(sha256: Sha256, at: Timestamp, base: &Base) -> Object<ReferenceAttributes> {
    Object {
        kind: "reference",
        id: sha256.to_string(),
        links: Links::to(base.url(&format!("/files/{sha256}"))),
        attributes: ReferenceAttributes { date: at.seconds() },
    }
}
