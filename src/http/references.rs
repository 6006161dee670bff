//! References: files of the collection on which every new signature set must be silent.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::error::{ApiError, ErrorBody};
use super::{App, files, now};
use crate::model::{Sha256, Timestamp};
use crate::store::{Change, REFERENCES};

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
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<ReferenceAttributes>>>, ApiError> {
    let span = ([].as_slice(), paging.cursor.as_deref());
    let page = app.api.store.list(&REFERENCES, span, paging.limit)?;
    let rows = page.rows.into_iter();
    let data = rows.map(|(sha256, at)| object(sha256, at, &base)).collect();
    let url = base.url("/acquit/references");
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
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
    base: Base,
) -> Result<Json<Answer<Object<ReferenceAttributes>>>, ApiError> {
    let sha256 = files::find(&app, &id)?.digests.sha256;
    let mark = move |change: &mut Change<'_>| {
        let at = change.get(&REFERENCES, &sha256)?.unwrap_or_else(now);
        change.put(&REFERENCES, &sha256, &at)?;
        Ok(at)
    };
    let at = app.api.store.write(mark).await?;
    let data = object(sha256, at, &base);
    Ok(Json(Answer { data }))
}

/// Makes a file no reference any more.
#[utoipa::path(
    delete, path = "/api/v3/files/{id}/reference", tag = "signatures",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5")),
    responses((status = 204), (status = 404, body = ErrorBody))
)]
pub async fn unmark(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let sha256 = files::find(&app, &id)?.digests.sha256;
    let unmark = move |change: &mut Change<'_>| {
        change.remove(&REFERENCES, &sha256);
        Ok(())
    };
    app.api.store.write(unmark).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn object(sha256: Sha256, at: Timestamp, base: &Base) -> Object<ReferenceAttributes> {
    Object {
        kind: "reference",
        id: sha256.to_string(),
        links: Links::to(base.url(&format!("/files/{sha256}"))),
        attributes: ReferenceAttributes { date: at.seconds() },
    }
}
