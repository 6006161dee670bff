//! The directory of vendors: where false positives are reported.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::VendorEntry;
use crate::flow::dispute::{DisputeError, bounces_key};
use crate::http::App;
use crate::http::envelope::{Answer, Base, Collection, Links, Object};
use crate::http::error::{ApiError, ErrorBody};
use crate::store::META;

/// How a vendor is told of a false positive.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryAttributes {
    /// How often mail to it came back.
    bounce_count: u64,
    /// What the directory says.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    entry: VendorEntry,
}

/// Lists the directory, by id.
#[utoipa::path(
    get, path = "/api/v3/acquit/vendor_directory", tag = "disputes",
    responses((status = 200, body = Collection<Object<EntryAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    base: Base,
) -> Result<Json<Collection<Object<EntryAttributes>>>, ApiError> {
    let directory = super::disputes(&app).directory()?;
    let objects = directory.entries().map(|entry| object(&app, entry, &base));
    let data = objects.collect::<Result<_, _>>()?;
    let url = base.url("/acquit/vendor_directory");
    Ok(Json(Collection::whole(data, url)))
}

/// Shows an entry of the directory.
#[utoipa::path(
    get, path = "/api/v3/acquit/vendor_directory/{id}", tag = "disputes",
    params(("id" = String, Path, description = "Id of the entry")),
    responses((status = 200, body = Answer<Object<EntryAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<EntryAttributes>>>, ApiError> {
    let directory = super::disputes(&app).directory()?;
    let none = || DisputeError::NotFound(format!("vendor {id:?} of the directory"));
    let data = object(&app, directory.get(&id).ok_or_else(none)?, &base)?;
    Ok(Json(Answer { data }))
}

fn object(
    app: &App,
    entry: &VendorEntry,
    base: &Base,
) -> Result<Object<EntryAttributes>, ApiError> {
    let bounces = app.api.store.get(&META, &bounces_key(&entry.id))?;
    Ok(Object {
        kind: "vendor_directory_entry",
        id: entry.id.clone(),
        links: Links::to(base.url(&format!("/acquit/vendor_directory/{}", entry.id))),
        attributes: EntryAttributes {
            bounce_count: bounces.unwrap_or(0),
            entry: entry.clone(),
        },
    })
}
