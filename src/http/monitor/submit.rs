//! `POST /monitor/items`: a file, a new content of one, or a folder.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::header;
use axum::{Extension, Form, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::auth::Caller;
use super::super::envelope::{Answer, Base, Object};
use super::super::error::{ApiError, ErrorBody};
use super::super::{App, now, tickets, upload};
use super::address::{check, missing};
use super::item::actor;
use super::object::{ItemAttributes, object};
use super::refusal;
use crate::flow::collection::{Actor, Put};
use crate::model::{ItemId, ItemPath, PublisherId};
use crate::store::{Incoming, Sealed, TicketRow};

/// How much of a refused body is read, and for how long.
const DRAINED_BYTES: usize = 256 << 10;
const DRAINED_FOR: Duration = Duration::from_secs(2);

/// The form an item comes as.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the form itself is never in memory"
)]
pub struct ItemForm {
    /// The file; none makes a folder.
    #[schema(content_media_type = "application/octet-stream")]
    file: Option<Vec<u8>>,
    /// Where to put it, with its name; a folder's ends with a slash.
    path: Option<String>,
    /// Id of the item whose content it becomes, instead of a path.
    item: Option<String>,
}

/// Whose collection is meant.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// Whose collection, if not the caller's own.
    pub owner: Option<String>,
}

/// An item that was put into a collection.
#[derive(Debug, Serialize, ToSchema)]
pub struct Submitted {
    data: Object<ItemAttributes>,
    meta: SubmittedMeta,
}

/// What goes with it.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct SubmittedMeta {
    /// Id of the analysis of its content, for `GET /analyses/{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    analysis: Option<String>,
    /// Whether another content was there before, which is the last of its history now.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<bool>,
}

/// What a form asks for.
#[derive(Default)]
struct Wish {
    file: Option<Incoming>,
    path: Option<String>,
    item: Option<String>,
}

/// A form without a file.
#[derive(Deserialize)]
struct ShortForm {
    path: Option<String>,
    item: Option<String>,
}

/// Puts a file into a collection, replaces the content of one, or makes a folder.
#[utoipa::path(
    post, path = "/api/v3/monitor/items", tag = "monitor", params(OwnerQuery),
    request_body(content = ItemForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Submitted),
        (status = 409, body = ErrorBody, description = "A folder or a file is in the way"),
        (status = 413, body = ErrorBody, description = "Larger files go to an upload URL"),
        (status = 429, body = ErrorBody, description = "The quota of bytes or files is used up"),
    )
)]
pub async fn submit(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OwnerQuery>,
    base: Base,
    request: Request,
) -> Result<Json<Submitted>, ApiError> {
    // An administrator may also say by `item` whose collection it is.
    let named = query.owner.as_deref();
    let publisher = match caller.publisher(named) {
        Err(_) if named.is_none() && caller.is_admin() => None,
        publisher => Some(publisher?),
    };
    let limit_bytes = app.api.config.http.direct_upload_mb << 20;
    receive(&app, (&caller, publisher), (request, limit_bytes), &base).await
}

/// Makes a URL that takes one file, also one too large for `POST /monitor/items`.
#[utoipa::path(
    get, path = "/api/v3/monitor/items/upload_url", tag = "monitor", params(OwnerQuery),
    responses((status = 200, body = Answer<String>, description = "Works once, for an hour"))
)]
pub async fn upload_url(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OwnerQuery>,
    base: Base,
) -> Result<Json<Answer<String>>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let known = app.api.collections.usage(&publisher);
    known.map_err(|error| refusal::of_collection(error, &publisher))?;
    let ticket = TicketRow::MonitorUpload {
        key: caller.0.id,
        publisher,
        expires_at: now().after(tickets::LIFETIME),
    };
    let secret = tickets::issue(&app, ticket).await?;
    let data = base.url(&format!("/acquit/monitor_uploads/{secret}"));
    Ok(Json(Answer { data }))
}

/// Takes the one form an upload URL of a collection is for.
#[utoipa::path(
    post, path = "/api/v3/acquit/monitor_uploads/{secret}", tag = "monitor",
    params(("secret" = String, Path, description = "From `GET /monitor/items/upload_url`")),
    request_body(content = ItemForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Submitted),
        (status = 404, body = ErrorBody, description = "Used already, expired, or never given"),
    ),
    security(())
)]
pub async fn use_upload_url(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
    base: Base,
    request: Request,
) -> Result<Json<Submitted>, ApiError> {
    let limit_bytes = app.api.config.http.upload_mb << 20;
    upload::check_length(request.headers(), limit_bytes).map_err(refusal::too_large)?;
    let redeemed = tickets::redeem_monitor_upload(&app, &secret).await;
    let (caller, publisher) = match redeemed {
        Ok(redeemed) => redeemed,
        Err(error) => {
            drain(request).await;
            return Err(error);
        }
    };
    let owner = (&caller, Some(publisher));
    receive(&app, owner, (request, limit_bytes), &base).await
}

/// Reads what is left of a small body: a connection with unread bytes is closed, and a client that
/// keeps it for its next request would find it gone.
async fn drain(request: Request) {
    let read = axum::body::to_bytes(request.into_body(), DRAINED_BYTES);
    // Whatever comes of it, the answer is the same.
    let _ = tokio::time::timeout(DRAINED_FOR, read).await;
}

async fn receive(
    app: &App,
    (caller, publisher): (&Caller, Option<PublisherId>),
    (request, limit_bytes): (Request, u64),
    base: &Base,
) -> Result<Json<Submitted>, ApiError> {
    let done = async {
        let wish = read(app, request, limit_bytes).await?;
        let id = address(caller, publisher, &wish)?;
        place(app, (id, actor(caller)), wish.file, base).await
    };
    let done = done.await.map_err(refusal::too_large);
    let counted = done.as_ref().map(|(size, _)| *size);
    upload::count(app, counted);
    done.map(|(_, submitted)| Json(submitted))
}

async fn read(app: &App, request: Request, limit_bytes: u64) -> Result<Wish, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if kind.starts_with("application/x-www-form-urlencoded") {
        let form = Form::<ShortForm>::from_request(request, &()).await;
        let Form(form) = form.map_err(|error| ApiError::bad_request(error.body_text()))?;
        return Ok(Wish {
            file: None,
            path: form.path,
            item: form.item,
        });
    }
    let form = upload::read(app, request, limit_bytes).await?;
    Ok(Wish {
        file: form.file,
        path: form.path,
        item: form.item,
    })
}

/// Returns the item a form names, by path, by id, or by both if they agree.
fn address(
    caller: &Caller,
    publisher: Option<PublisherId>,
    wish: &Wish,
) -> Result<ItemId, ApiError> {
    let path = wish.path.as_deref().filter(|path| !path.is_empty());
    let path = path.map(str::parse::<ItemPath>).transpose();
    let path = path.map_err(|error| ApiError::invalid_argument(error.to_string()))?;
    let Some(item) = wish.item.as_deref().filter(|item| !item.is_empty()) else {
        let path =
            path.ok_or_else(|| ApiError::bad_request("the form has neither path nor item"))?;
        let publisher = publisher.map_or_else(|| caller.publisher(None), Ok)?;
        return Ok(ItemId { publisher, path });
    };
    let id = super::address::parse(item.trim())?;
    check(caller, &id)?;
    if publisher.is_some_and(|publisher| publisher != id.publisher) {
        return Err(missing(&id));
    }
    match path {
        Some(path) if path != id.path => Err(ApiError::bad_request(
            "path and item name different items: give one of them",
        )),
        Some(_) | None => Ok(id),
    }
}

async fn place(
    app: &App,
    (id, actor): (ItemId, Actor),
    file: Option<Incoming>,
    base: &Base,
) -> Result<(Option<u64>, Submitted), ApiError> {
    let collections = &app.api.collections;
    let refused = |error| refusal::of(error, &id);
    if let Some(file) = file {
        let put = collections.put(id.clone(), file, actor).await;
        let put = put.map_err(refused)?;
        let size = put.item.file.as_ref().map(|file| file.size_bytes);
        return Ok((size, submitted(app, (&id, &put), base)?));
    }
    if !id.path.is_folder() {
        return Err(ApiError::bad_request(
            "the form has no part named \"file\"; to make a folder, end its path with a slash",
        ));
    }
    let made = collections.make_folder(id.clone(), actor).await;
    let data = object(app, (&id, made.map_err(refused)?), base)?;
    let meta = SubmittedMeta::default();
    Ok((None, Submitted { data, meta }))
}

/// Puts a file where its form would have put it, if it did not come in one.
///
/// # Errors
/// Those of a form.
pub async fn put(
    app: &App,
    (id, actor): (&ItemId, Actor),
    sealed: Sealed,
) -> Result<Put, ApiError> {
    let put = app.api.collections.put_sealed(id.clone(), sealed, actor);
    put.await.map_err(|error| refusal::of(error, id))
}

/// Refuses a file that could not be put where it is to be.
///
/// # Errors
/// Those of a form.
pub fn may_put(app: &App, id: &ItemId, size_bytes: u64) -> Result<(), ApiError> {
    let may = app.api.collections.may_put(id, size_bytes);
    may.map_err(|error| refusal::of(error, id))
}

/// Answers with an item that was put into a collection.
///
/// # Errors
/// If the store fails.
pub fn submitted(
    app: &App,
    (id, put): (&ItemId, &Put),
    base: &Base,
) -> Result<Submitted, ApiError> {
    let meta = SubmittedMeta {
        analysis: Some(put.analysis.id.to_string()),
        replaced: Some(put.replaced),
    };
    Ok(Submitted {
        data: object(app, (id, put.item.clone()), base)?,
        meta,
    })
}
