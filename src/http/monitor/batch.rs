//! `POST /acquit/items`: several small files in one form, where a request for each costs more
//! than the file. What becomes of one is nothing to the others.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::envelope::{Answer, Base};
use super::super::error::{ApiError, ErrorBody};
use super::super::form::{NAME_BYTES, Part, Parts};
use super::super::{App, upload};
use super::item::actor;
use super::submit::{OwnerQuery, Submitted, put, submitted};
use crate::flow::collection::Actor;
use crate::model::{InvalidPath, ItemId, ItemPath, PublisherId};
use crate::store::Sealed;

/// Files of a form: each of them is open until it has its place.
const FILES: usize = 32;
/// Files that are given their places at the same time.
const AT_ONCE: usize = 8;

/// The form several items come as.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the form itself is never in memory"
)]
pub struct ItemsForm {
    /// Where to put a file, with its name; that file is the next part.
    path: Vec<String>,
    /// The file.
    #[schema(content_media_type = "application/octet-stream")]
    file: Vec<Vec<u8>>,
}

/// What became of one file.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fate {
    /// Where it was to go, as the form says.
    path: String,
    #[serde(flatten)]
    ended: Ended,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Ended {
    /// It is there.
    Put(Box<Submitted>),
    /// It is not.
    Refused {
        /// The status it would have been refused with alone.
        status: u16,
        /// In how many seconds it may be taken, if that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
        #[serde(flatten)]
        error: ErrorBody,
    },
}

/// A file that came, and where it is to go.
struct Arrival {
    path: String,
    place: Result<ItemPath, InvalidPath>,
    file: Sealed,
}

/// Puts up to 32 files into a collection, together no larger than a form of one file may be.
///
/// The form has a part `path` before each part `file`. Nothing is put anywhere before it was read
/// to its end. Then each file is put as `POST /monitor/items` would: one that is refused keeps none
/// of the others out, so the answer, in the order of the form, tells what became of each.
#[utoipa::path(
    post, path = "/api/v3/acquit/items", tag = "monitor", params(OwnerQuery),
    request_body(content = ItemsForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Answer<Vec<Fate>>, description = "What became of each file"),
        (status = 400, body = ErrorBody, description = "The form is not as it should be"),
        (status = 413, body = ErrorBody, description = "Together they are too large"),
    )
)]
pub async fn submit(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OwnerQuery>,
    base: Base,
    request: Request,
) -> Result<Json<Answer<Vec<Fate>>>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let files = read(&app, request).await;
    let files = files.inspect_err(|error| upload::count(&app, Err(error)))?;
    let actor = actor(&caller);
    let placed = files.into_iter().map(|file| {
        let whose = (publisher.clone(), actor.clone());
        place(&app, whose, file, &base)
    });
    let data = stream::iter(placed).buffered(AT_ONCE).collect().await;
    Ok(Json(Answer { data }))
}

/// Reads a form to its end: its files are on the disk then, and gone if they are dropped.
async fn read(app: &App, request: Request) -> Result<Vec<Arrival>, ApiError> {
    let limit_bytes = app.api.config.http.direct_upload_mb << 20;
    upload::check_length(request.headers(), limit_bytes).map_err(too_large)?;
    let mut parts = Parts::of(app, request, 2 * FILES)?;
    let (mut files, mut places) = (Vec::new(), BTreeSet::new());
    let mut left_bytes = limit_bytes;
    while let Some(part) = parts.next().await? {
        let path = expected(part, "path")?.text(NAME_BYTES).await?;
        let place = path.parse::<ItemPath>();
        if place.as_ref().is_ok_and(|it| !places.insert(it.clone())) {
            let message = format!("the form names {path:?} more than once: send one file for it");
            return Err(ApiError::bad_request(message));
        }
        let part = parts.next().await?.ok_or_else(out_of_turn)?;
        let incoming = app.api.ingest.receive(left_bytes)?;
        let incoming = expected(part, "file")?.store(incoming).await;
        let file = incoming.map_err(too_large)?.seal().await?;
        left_bytes = left_bytes.saturating_sub(file.size_bytes());
        files.push(Arrival { path, place, file });
    }
    match files.is_empty() {
        true => Err(out_of_turn()),
        false => Ok(files),
    }
}

fn expected<'a>(part: Part<'a>, name: &str) -> Result<Part<'a>, ApiError> {
    match part.name() == name {
        true => Ok(part),
        false => Err(out_of_turn()),
    }
}

/// Says of all files what is said of one that is larger than is taken here.
fn too_large(error: ApiError) -> ApiError {
    if error.status() != StatusCode::PAYLOAD_TOO_LARGE {
        return error;
    }
    let message = "the files are together larger than is taken in one form: send fewer at once, \
                   large ones alone";
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn out_of_turn() -> ApiError {
    ApiError::bad_request("the form must have parts \"path\" and \"file\" in turn, a pair a file")
}

async fn place(
    app: &App,
    (publisher, actor): (PublisherId, Actor),
    file: Arrival,
    base: &Base,
) -> Fate {
    let Arrival { path, place, file } = file;
    let size_bytes = file.size_bytes();
    let placed = async {
        let path = place.map_err(|error| ApiError::invalid_argument(error.to_string()))?;
        let id = ItemId { publisher, path };
        let placed = put(app, (&id, actor), file).await?;
        submitted(app, (&id, &placed), base)
    };
    let placed = placed.await;
    upload::count(app, placed.as_ref().map(|_| Some(size_bytes)));
    let ended = placed.map_or_else(refused, |placed| Ended::Put(Box::new(placed)));
    Fate { path, ended }
}

fn refused(error: ApiError) -> Ended {
    Ended::Refused {
        status: error.status().as_u16(),
        retry_after: error.again_seconds(),
        error: error.into_body(),
    }
}
