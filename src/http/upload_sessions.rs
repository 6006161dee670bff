//! Uploads in parts: `/acquit/upload_sessions`. A session is opened for a file of a known length;
//! parts go on where the last one ended, also after a broken connection or a restart; the part
//! that makes the file whole is answered as its upload in one piece would be.

mod append;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{OpenApi, ToSchema};

use super::access::{Area, Rule, WRITERS, rule};
use super::auth::Caller;
use super::envelope::{Answer, Base, Collection, Links, Object};
use super::error::{ApiError, ErrorBody};
use super::people::{Emptied, parties};
use super::{App, monitor, now, random, upload};
use crate::flow::uploads::{Draft, Session, Target, UploadError};
use crate::model::{ItemId, ItemPath};

/// Says where a part begins, and in answers where the next one would.
const OFFSET: HeaderName = HeaderName::from_static("upload-offset");
/// VirusTotal has no such thing.
const KIND: &str = "upload_session";
/// Bytes of a session's id.
const ID_BYTES: usize = 16;
/// How often those are looked for to which nothing is added any more.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Longest name of a file that is scanned, in bytes.
const NAME_BYTES: usize = 4096;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    rule("GET", "/acquit/upload_sessions", WRITERS),
    rule("POST", "/acquit/upload_sessions", WRITERS),
    rule("GET", "/acquit/upload_sessions/{id}", WRITERS),
    rule("PATCH", "/acquit/upload_sessions/{id}", WRITERS),
    rule("DELETE", "/acquit/upload_sessions/{id}", WRITERS),
];

#[derive(OpenApi)]
#[openapi(paths(list, open, show, append::append, remove))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/acquit/upload_sessions", get(list).post(open))
        .route(
            "/acquit/upload_sessions/{id}",
            get(show).patch(append::append).delete(remove),
        )
}

/// A file that is to come in parts; its attributes may also be in VirusTotal's `data.attributes`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionOrder {
    /// Bytes of the whole file.
    #[schema(required)]
    size: Option<u64>,
    /// `item`, which is put into a collection, or `scan`; `item` if absent.
    purpose: Option<String>,
    /// Where the item is to be, with its name.
    path: Option<String>,
    /// Whose collection, if not the caller's own.
    owner: Option<String>,
    /// The name of a file that is scanned.
    name: Option<String>,
    /// Ids of the engines to ask in a scan, separated by commas; all enabled ones if absent.
    engines: Option<String>,
    /// `never` scans again although the same engines with the same signatures have answered.
    reuse: Option<String>,
}

/// How far a file is that comes in parts.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionAttributes {
    /// `item` or `scan`.
    purpose: &'static str,
    /// Where the item is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Whose collection.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// The name of a file that is scanned.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Bytes of the whole file.
    size: u64,
    /// Bytes that are here: where the next part begins.
    offset: u64,
    creation_date: u64,
    /// When it goes if nothing more comes.
    expiration_date: u64,
}

/// Drops sessions to which nothing is added any more, until told to end.
pub async fn sweep(app: &App, end: &CancellationToken) {
    while !end.is_cancelled() {
        app.uploads.sweep(now()).await;
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = end.cancelled() => {}
        }
    }
}

type Shown = (
    [(HeaderName, String); 1],
    Json<Answer<Object<SessionAttributes>>>,
);

/// Lists the caller's own open sessions.
#[utoipa::path(
    get, path = "/api/v3/acquit/upload_sessions", tag = "files",
    responses((status = 200, body = Collection<Object<SessionAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Json<Collection<Object<SessionAttributes>>> {
    let sessions = app.uploads.of(&owner(&caller), now());
    let data = sessions.iter().map(|session| object(session, &base));
    let url = base.url("/acquit/upload_sessions");
    Json(Collection::whole(data.collect(), url))
}

/// Opens a session: a file of a known length that comes in parts, for an item or for a scan.
///
/// What would be refused of the whole file is refused now, as far as that can be told by its
/// length. At most 16 are open at a time; one to which nothing is added for a day goes.
#[utoipa::path(
    post, path = "/api/v3/acquit/upload_sessions", tag = "files", request_body = SessionOrder,
    responses(
        (status = 200, body = Answer<Object<SessionAttributes>>),
        (status = 409, body = ErrorBody, description = "A folder or a file is in the way"),
        (status = 413, body = ErrorBody, description = "Larger than is taken"),
        (status = 429, body = ErrorBody, description = "Too many are open, or the quota is used up"),
        (status = 507, body = ErrorBody, description = "No room"),
    )
)]
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    body: Bytes,
) -> Result<Shown, ApiError> {
    let order: SessionOrder = parties::attributes(&body)?;
    let size_bytes = order
        .size
        .ok_or_else(|| ApiError::bad_request("size is missing: the bytes of the whole file"))?;
    let limit_mb = app.api.config.http.upload_mb;
    if size_bytes > limit_mb << 20 {
        let message = format!("the file is larger than the {limit_mb} MB taken here");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let target = target(&app, &caller, (order, size_bytes))?;
    app.api.ingest.check_room(size_bytes)?;
    let draft = Draft {
        owner: owner(&caller),
        size_bytes,
        target,
        opened_at: now(),
    };
    let id = hex::encode(&random()?[..ID_BYTES]);
    let session = app.uploads.begin(id, draft).await?;
    Ok(shown(&session, &base))
}

/// Tells how far a session is; `HEAD` does, too, by `Upload-Offset`.
#[utoipa::path(
    get, path = "/api/v3/acquit/upload_sessions/{id}", tag = "files",
    params(("id" = String, Path, description = "Id of the session")),
    responses(
        (status = 200, body = Answer<Object<SessionAttributes>>),
        (status = 404, body = ErrorBody, description = "Begin anew"),
    )
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Shown, ApiError> {
    let session = find(&app, &caller, &id)?;
    Ok(shown(&session, &base))
}

/// Drops a session and what came of its file.
#[utoipa::path(
    delete, path = "/api/v3/acquit/upload_sessions/{id}", tag = "files",
    params(("id" = String, Path, description = "Id of the session")),
    responses((status = 200, body = Answer<Emptied>), (status = 404, body = ErrorBody))
)]
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Answer<Emptied>>, ApiError> {
    let session = find(&app, &caller, &id)?;
    app.uploads.remove(&session).await;
    Ok(Json(Answer { data: Emptied {} }))
}

/// Reads what is to become of the file, and refuses what could not be.
fn target(
    app: &App,
    caller: &Caller,
    (order, size_bytes): (SessionOrder, u64),
) -> Result<Target, ApiError> {
    match order.purpose.as_deref().unwrap_or("item") {
        "item" => {
            let path = order.path.filter(|path| !path.is_empty());
            let path = path.ok_or_else(|| ApiError::bad_request("path is missing"))?;
            let path = path.parse::<ItemPath>();
            let path = path.map_err(|error| ApiError::invalid_argument(error.to_string()))?;
            let publisher = caller.publisher(order.owner.as_deref())?;
            let id = ItemId { publisher, path };
            monitor::may_put(app, &id, size_bytes)?;
            let ItemId { publisher, path } = id;
            Ok(Target::Item { publisher, path })
        }
        "scan" => {
            let name = order.name.filter(|name| !name.is_empty());
            if name.as_ref().is_some_and(|name| name.len() > NAME_BYTES) {
                let message = format!("name has more than {NAME_BYTES} bytes");
                return Err(ApiError::invalid_argument(message));
            }
            let engines = order.engines.as_deref().map(upload::parse_engines);
            let reuse = order.reuse.as_deref().map(upload::parse_reuse);
            Ok(Target::Scan {
                name,
                engines: engines.transpose()?.flatten(),
                reuse: reuse.transpose()?,
            })
        }
        _ => Err(ApiError::invalid_argument(
            "purpose is either \"item\" or \"scan\"",
        )),
    }
}

/// Returns whose a session is: the user's, whoever signs in again, or the key's.
fn owner(caller: &Caller) -> String {
    let kind = if caller.0.user.is_some() { 'u' } else { 'k' };
    format!("{kind}:{}", caller.actor())
}

/// Finds a session of the caller, who may still put its file where it is to be.
fn find(app: &App, caller: &Caller, id: &str) -> Result<Arc<Session>, ApiError> {
    let session = app.uploads.find(id, &owner(caller), now());
    let session = session.filter(|session| match &session.draft.target {
        Target::Item { publisher, .. } => caller.may_change(publisher),
        Target::Scan { .. } => true,
    });
    session.ok_or_else(|| ApiError::not_found(format!("upload session {id:?} not found")))
}

fn shown(session: &Session, base: &Base) -> Shown {
    let data = object(session, base);
    let offset = data.attributes.offset.to_string();
    ([(OFFSET, offset)], Json(Answer { data }))
}

fn object(session: &Session, base: &Base) -> Object<SessionAttributes> {
    let draft = &session.draft;
    let (purpose, path, owner, name) = match &draft.target {
        Target::Item { publisher, path } => {
            let (path, owner) = (path.to_string(), publisher.to_string());
            ("item", Some(path), Some(owner), None)
        }
        Target::Scan { name, .. } => ("scan", None, None, name.clone()),
    };
    let this = base.url(&format!("/acquit/upload_sessions/{}", session.id));
    Object {
        kind: KIND,
        id: session.id.clone(),
        links: Links::to(this),
        attributes: SessionAttributes {
            purpose,
            path,
            owner,
            name,
            size: draft.size_bytes,
            offset: session.offset(),
            creation_date: draft.opened_at.seconds(),
            expiration_date: session.expires_at().seconds(),
        },
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let message = error.to_string();
        match error {
            UploadError::Gone => Self::not_found(message),
            UploadError::TooMany | UploadError::Full => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, message)
                    .coded("QuotaExceededError")
                    .retry_after(60)
            }
            UploadError::Misplaced { .. } => Self::conflict(message),
            UploadError::Busy { .. } => Self::conflict(message).retry_after(1),
            UploadError::Beyond { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            UploadError::Incoming(error) => error.into(),
        }
    }
}
