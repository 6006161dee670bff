//! The trash of a collection: what was deleted, and its way back.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::super::error::{ApiError, ErrorBody};
use super::super::{App, now};
use super::item::actor;
use super::refusal;
use super::submit::OwnerQuery;
use crate::flow::collection::CollectionError;
use crate::model::Trashed;

/// What is known of an item in the trash.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrashedAttributes {
    /// Where it was.
    path: String,
    /// `file` or `folder`.
    item_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    deletion_date: u64,
    deleted_by: String,
    /// What was deleted in one act comes back in one.
    act: String,
}

/// What an act on the trash did.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActAttributes {
    /// Items that came back, or went for good.
    items_count: u64,
}

/// What a publisher keeps, and may.
#[derive(Debug, Serialize, ToSchema)]
pub struct CollectionAttributes {
    /// Bytes of items, their history and the trash.
    storage_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_bytes_allowed: Option<u64>,
    /// Files, also those in the trash.
    storage_files: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_files_allowed: Option<u64>,
}

/// Shows whose collection is meant where none is named, and how full it is.
#[utoipa::path(
    get, path = "/api/v3/acquit/collection", tag = "monitor", params(OwnerQuery),
    responses((status = 200, body = Answer<Object<CollectionAttributes>>))
)]
pub async fn collection(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OwnerQuery>,
    base: Base,
) -> Result<Json<Answer<Object<CollectionAttributes>>>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let usage = app.api.collections.usage(&publisher);
    let (usage, quota) = usage.map_err(|error| refusal::of_collection(error, &publisher))?;
    let data = Object {
        kind: "monitor_collection",
        id: publisher.to_string(),
        links: Links::to(base.url(&format!("/acquit/collection?owner={publisher}"))),
        attributes: CollectionAttributes {
            storage_bytes: usage.bytes,
            storage_bytes_allowed: quota.bytes,
            storage_files: usage.files,
            storage_files_allowed: quota.files,
        },
    };
    Ok(Json(Answer { data }))
}

/// Lists the trash, what was deleted last first.
#[utoipa::path(
    get, path = "/api/v3/acquit/trash", tag = "monitor", params(OwnerQuery, PageQuery),
    responses((status = 200, body = Collection<Object<TrashedAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OwnerQuery>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<TrashedAttributes>>>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let span = (paging.cursor.as_deref(), paging.limit);
    let page = app.api.collections.trash(&publisher, span);
    let page = page.map_err(|error| refusal::of_collection(error, &publisher))?;
    let mut url = base.url("/acquit/trash");
    let data = page.rows.into_iter();
    let data = data.map(|(number, trashed)| object((number, trashed), url.clone()));
    let data = data.collect();
    if query.owner.is_some() {
        url.push_str(&format!("?owner={publisher}"));
    }
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

fn object((number, trashed): (u64, Trashed), url: String) -> Object<TrashedAttributes> {
    let Trashed {
        path,
        item,
        deleted_at,
        deleted_by,
        act,
        ..
    } = trashed;
    Object {
        kind: "trashed_item",
        id: number.to_string(),
        links: Links::to(url),
        attributes: TrashedAttributes {
            item_type: if path.is_folder() { "folder" } else { "file" },
            path: path.to_string(),
            size: item.file.as_ref().map(|file| file.size_bytes),
            sha256: item.file.map(|file| file.sha256.to_string()),
            deletion_date: deleted_at.seconds(),
            deleted_by,
            act: act.to_string(),
        },
    }
}

/// Brings back what was deleted in one act.
#[utoipa::path(
    post, path = "/api/v3/acquit/trash/{act}/restore", tag = "monitor",
    params(("act" = String, Path, description = "Number of the act"), OwnerQuery),
    responses(
        (status = 200, body = Answer<Object<ActAttributes>>),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "Something is in the way"),
    )
)]
pub async fn restore(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(act): Path<String>,
    Query(query): Query<OwnerQuery>,
    base: Base,
) -> Result<Json<Answer<Object<ActAttributes>>>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let none = || ApiError::not_found(format!("act {act:?} not found in the trash"));
    let number = act.parse::<u64>().map_err(|_| none())?;
    let collections = &app.api.collections;
    let restored = collections.restore(publisher.clone(), number, actor(&caller));
    let count = restored.await.map_err(|error| match error {
        CollectionError::NotFound { .. } | CollectionError::NotInTrash { .. } => none(),
        error => refusal::of_collection(error, &publisher),
    })?;
    Ok(Json(done(act, count, &base)))
}

/// Removes everything in the trash for good.
#[utoipa::path(
    delete, path = "/api/v3/acquit/trash", tag = "monitor", params(OwnerQuery),
    responses((status = 200, body = Answer<Object<ActAttributes>>))
)]
pub async fn empty(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OwnerQuery>,
    base: Base,
) -> Result<Json<Answer<Object<ActAttributes>>>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let collections = &app.api.collections;
    // What is deleted from now on was not meant.
    let emptied = collections.empty_trash(publisher.clone(), now(), actor(&caller));
    let count = emptied.await;
    let count = count.map_err(|error| refusal::of_collection(error, &publisher))?;
    Ok(Json(done("all".to_owned(), count, &base)))
}

fn done(id: String, items_count: u64, base: &Base) -> Answer<Object<ActAttributes>> {
    Answer {
        data: Object {
            kind: "trash_act",
            id,
            links: Links::to(base.url("/acquit/trash")),
            attributes: ActAttributes { items_count },
        },
    }
}
