//! `PATCH /acquit/upload_sessions/{id}`: the next part, and what comes of the whole.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::envelope::{Answer, Base, Descriptor, Object};
use super::super::error::{ApiError, ErrorBody};
use super::super::{App, files, form, monitor, now, upload};
use super::{OFFSET, SessionAttributes, find, object};
use crate::flow::collection::Actor;
use crate::flow::ingest::Submission;
use crate::flow::uploads::{Appending, Hold, Placed, Session, Target, UploadError};
use crate::model::{ItemId, Priority, Reuse};
use crate::store::Sealed;

/// What is answered to a part.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Progress {
    /// There is more to come.
    Session(Answer<Object<SessionAttributes>>),
    /// The file was put into a collection; as `POST /monitor/items` answers.
    Item(Box<monitor::Submitted>),
    /// The file is analyzed; as `POST /files` answers.
    Analysis(Answer<Descriptor>),
}

/// Adds a part to a session, beginning at `Upload-Offset`; with the last one the file is placed.
///
/// What came before a connection broke counts. Every answer says in `Upload-Offset` where the next
/// part begins. If the whole file is refused, an empty part at its end tries again; so does who
/// did not hear the answer, and hears it then. The session goes when the file was placed, or is
/// deleted.
#[utoipa::path(
    patch, path = "/api/v3/acquit/upload_sessions/{id}", tag = "files",
    params(
        ("id" = String, Path, description = "Id of the session"),
        ("Upload-Offset" = u64, Header, description = "Where the part begins"),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = Progress),
        (status = 404, body = ErrorBody, description = "Begin anew"),
        (status = 409, body = ErrorBody, description = "The part begins elsewhere, another is \
            coming in, or something is in the way of the file"),
        (status = 413, body = ErrorBody, description = "More than was announced"),
        (status = 429, body = ErrorBody, description = "The quota of bytes or files is used up"),
        (status = 507, body = ErrorBody, description = "No room"),
    )
)]
pub async fn append(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
    request: Request,
) -> Result<Response, ApiError> {
    let session = find(&app, &caller, &id)?;
    let taken = take(&app, caller, (&session, request)).await;
    let answer = match taken.and_then(|()| progress(&app, &session, &base)) {
        Ok(progress) => Json(progress).into_response(),
        Err(error) => error.into_response(),
    };
    let offset = [(OFFSET, session.offset().to_string())];
    Ok((offset, answer).into_response())
}

/// Takes a part; places the file if it is whole.
async fn take(
    app: &Arc<App>,
    caller: Caller,
    (session, request): (&Arc<Session>, Request),
) -> Result<(), ApiError> {
    let offset = offset(request.headers())?;
    let size = session.draft.size_bytes;
    let length = upload::length(request.headers()).unwrap_or(0);
    if offset.saturating_add(length) > size && offset == session.offset() {
        return Err(UploadError::Beyond { size }.into());
    }
    let mut appending = match app.uploads.append(session, (offset, now())).await {
        Ok(appending) => appending,
        // It was placed in the meantime, or before: who asks did not hear it.
        Err(UploadError::Gone) if session.placed().is_some() => {
            return heard(session, (offset, length));
        }
        Err(error) => return Err(error.into()),
    };
    let silence = Duration::from_secs(app.api.config.http.body_timeout_seconds);
    let poured = pour(request.into_body(), &mut appending, silence).await;
    let ended = appending.end().await;
    session.touch(now());
    // Why nothing could be written is the better reason.
    let mut hold = ended?;
    poured?;
    let Some(sealed) = hold.whole.take() else {
        return Ok(());
    };
    let begun = app.begun.clone();
    let (app, session) = (Arc::clone(app), Arc::clone(session));
    // Once begun it goes on, also if nobody waits for the answer any more.
    let placing = async move {
        let placed = place(&app, &caller, (&session, sealed)).await;
        let size = session.draft.size_bytes;
        upload::count(&app, placed.as_ref().map(|_| Some(size)));
        app.uploads.finish(&session, placed?).await;
        drop::<Hold>(hold);
        Ok(())
    };
    let placed = begun.spawn(placing).await;
    placed.unwrap_or_else(|error| Err(ApiError::internal(&error)))
}

/// Tells whether a request only asks what became of a file that was placed.
fn heard(session: &Session, (offset, length): (u64, u64)) -> Result<(), ApiError> {
    let size = session.draft.size_bytes;
    if offset != size {
        return Err(UploadError::Misplaced { offset: size }.into());
    }
    if length > 0 {
        return Err(UploadError::Beyond { size }.into());
    }
    Ok(())
}

fn offset(headers: &HeaderMap) -> Result<u64, ApiError> {
    let mut values = headers.get_all(&OFFSET).iter();
    let (value, second) = (values.next(), values.next());
    let value = value.filter(|_| second.is_none());
    let value = value.and_then(|value| value.to_str().ok()?.parse().ok());
    value.ok_or_else(|| {
        ApiError::invalid_argument(
            "the header Upload-Offset must say at which byte the part begins",
        )
    })
}

/// Takes a body to its end.
async fn pour(body: Body, appending: &mut Appending, silence: Duration) -> Result<(), ApiError> {
    let mut body = body.into_data_stream();
    loop {
        let chunk = timeout(silence, body.next()).await;
        match chunk.map_err(|_| form::stalled(silence))? {
            Some(Ok(chunk)) => appending.write(chunk).await?,
            Some(Err(error)) => return Err(form::ended_early(&error)),
            None => return Ok(()),
        }
    }
}

/// Places the whole file as its upload in one piece would be.
async fn place(
    app: &App,
    caller: &Caller,
    (session, sealed): (&Session, Sealed),
) -> Result<Placed, ApiError> {
    let now = now();
    match session.draft.target.clone() {
        Target::Item { publisher, path } => {
            let id = ItemId { publisher, path };
            let actor = Actor {
                id: caller.actor(),
                now,
            };
            let put = monitor::put(app, (&id, actor), sealed).await?;
            Ok(Placed::Item(Box::new(put)))
        }
        Target::Scan {
            name,
            engines,
            reuse,
        } => {
            let submission = Submission {
                name,
                engines,
                priority: Priority::Interactive,
                reuse: reuse.unwrap_or(Reuse::Known),
                now,
            };
            let (analysis, _) = upload::submit(app, caller, (sealed, submission)).await?;
            Ok(Placed::Scan(Box::new(analysis)))
        }
    }
}

/// Words how far a session is, or what became of its file.
fn progress(app: &App, session: &Session, base: &Base) -> Result<Progress, ApiError> {
    Ok(match (session.placed(), &session.draft.target) {
        (Some(Placed::Item(put)), Target::Item { publisher, path }) => {
            let (publisher, path) = (publisher.clone(), path.clone());
            let submitted = monitor::submitted(app, (&ItemId { publisher, path }, put), base)?;
            Progress::Item(Box::new(submitted))
        }
        (Some(Placed::Scan(analysis)), _) => {
            let Json(answer) = files::opened(analysis, base);
            Progress::Analysis(answer)
        }
        (_, _) => {
            let data = object(session, base);
            Progress::Session(Answer { data })
        }
    })
}
