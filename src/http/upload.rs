//! Receives one file as a multipart form, straight to disk, in constant memory.
//!
//! The form's other fields may come before or after the file, so nothing is
//! decided before the end of the form has been seen: a form that is cut off
//! leaves nothing.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use multer::{Field, Multipart};
use tokio::time::timeout;

use super::auth::Caller;
use super::error::ApiError;
use super::{App, now};
use crate::flow::ingest::{Accepted, Submission};
use crate::model::{Analysis, EngineId, Priority, Reuse};
use crate::store::{BlobRow, Change, Incoming};

/// What a form may hold besides the file.
const OVERHEAD_BYTES: u64 = 64 << 10;
/// What may come in without the form going on: bounds the memory a form takes.
const STUCK_BYTES: usize = 2 << 20;
/// Longest value of a text field.
const TEXT_BYTES: usize = 4096;
/// Longest value of a field that names an item: the id of the longest path there is.
const NAME_BYTES: usize = 6144;
/// Most parts of a form.
const PARTS: usize = 16;

/// A body that ended before its time.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    #[error("the connection broke: {0}")]
    Broken(axum::Error),
    #[error("a part of the form has no end")]
    Stuck,
}

/// A form as far as it has been read.
#[derive(Debug, Default)]
pub struct Form {
    /// The file, wholly received and not yet kept.
    pub file: Option<Incoming>,
    /// The name it came under.
    pub name: Option<String>,
    /// The path of an item.
    pub path: Option<String>,
    /// The id of an item.
    pub item: Option<String>,
    engines: Option<BTreeSet<EngineId>>,
    reuse: Option<Reuse>,
}

/// Receives the form of a request, stores its file and opens the analysis.
///
/// # Errors
/// If the form is not as it should be, too large, too slow, or there is no room.
pub async fn receive(
    app: &App,
    caller: &Caller,
    request: Request,
    limit_bytes: u64,
) -> Result<(Analysis, BlobRow), ApiError> {
    let received = async {
        let form = read(app, request, limit_bytes).await?;
        form.submit(app, caller).await
    };
    let received = received.await;
    let stored = received.as_ref().map(|(_, blob)| Some(blob.size_bytes));
    count(app, stored);
    received
}

/// Counts how an upload ended: with how many bytes stored, or none if there was no file in it.
pub fn count(app: &App, ended: Result<Option<u64>, &ApiError>) {
    let outcome = match ended {
        Ok(None) => return,
        Ok(Some(bytes)) => {
            app.api.metrics.upload_bytes.inc_by(bytes);
            "stored"
        }
        Err(error) => outcome(error.status()),
    };
    app.api.metrics.uploads.with_label_values(&[outcome]).inc();
}

fn outcome(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => "too-large",
        StatusCode::REQUEST_TIMEOUT => "stalled",
        StatusCode::INSUFFICIENT_STORAGE => "no-room",
        status if status.is_client_error() => "refused",
        _ => "failed",
    }
}

/// Reads the form of a request to its end; its file is on disk then and gone if it is dropped.
///
/// # Errors
/// If the form is not as it should be, too large, too slow, or there is no room.
pub async fn read(app: &App, request: Request, limit_bytes: u64) -> Result<Form, ApiError> {
    check_length(request.headers(), limit_bytes)?;
    let boundary = boundary(request.headers())?;
    let silence = Duration::from_secs(app.api.config.http.body_timeout_seconds);
    let unread = Arc::new(AtomicUsize::new(0));
    let chunks = chunks(request.into_body(), silence, Arc::clone(&unread));
    let mut multipart = Multipart::new(chunks, boundary);
    let mut form = Form::default();
    for _ in 0..PARTS {
        let field = multipart.next_field().await.map_err(form_failed)?;
        unread.store(0, Ordering::Relaxed);
        match field {
            Some(field) => form.take(app, field, (limit_bytes, &unread)).await?,
            None => return Ok(form),
        }
    }
    Err(ApiError::bad_request("the form has too many parts"))
}

/// Refuses by the announced length, before anything is read.
///
/// # Errors
/// If more is announced than a file within the limit can need.
pub fn check_length(headers: &HeaderMap, limit_bytes: u64) -> Result<(), ApiError> {
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let most = limit_bytes.saturating_add(OVERHEAD_BYTES);
    match length {
        Some(length) if length > most => Err(ApiError::too_large(limit_bytes)),
        _ => Ok(()),
    }
}

fn boundary(headers: &HeaderMap) -> Result<String, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("");
    multer::parse_boundary(kind).map_err(|_| {
        ApiError::bad_request("expected a multipart/form-data form with a part named \"file\"")
    })
}

/// Cuts a body into chunks, one per poll: the form's reader buffers all it can get.
fn chunks(
    body: Body,
    silence: Duration,
    unread: Arc<AtomicUsize>,
) -> impl Stream<Item = Result<Bytes, Interrupted>> + Send {
    stream::try_unfold(body.into_data_stream(), move |mut body| {
        let unread = Arc::clone(&unread);
        async move {
            tokio::task::yield_now().await;
            let chunk = timeout(silence, body.next()).await;
            let Some(chunk) = chunk.map_err(|_| Interrupted::Stalled(silence))? else {
                return Ok(None);
            };
            let chunk = chunk.map_err(Interrupted::Broken)?;
            if unread.fetch_add(chunk.len(), Ordering::Relaxed) > STUCK_BYTES {
                return Err(Interrupted::Stuck);
            }
            Ok(Some((chunk, body)))
        }
    })
}

impl Form {
    async fn take(
        &mut self,
        app: &App,
        field: Field<'_>,
        (limit_bytes, unread): (u64, &AtomicUsize),
    ) -> Result<(), ApiError> {
        match field.name().unwrap_or("") {
            "file" if self.file.is_some() => {
                Err(ApiError::bad_request("the form has more than one file"))
            }
            "file" => {
                self.name = field.file_name().map(str::to_owned);
                let incoming = app.api.ingest.receive(limit_bytes)?;
                self.file = Some(store(field, incoming, unread).await?);
                Ok(())
            }
            "path" => named_once(&mut self.path, text(field, NAME_BYTES).await?),
            "item" => named_once(&mut self.item, text(field, NAME_BYTES).await?),
            "engines" => {
                self.engines = parse_engines(&text(field, TEXT_BYTES).await?)?;
                Ok(())
            }
            "reuse" => {
                self.reuse = Some(parse_reuse(&text(field, TEXT_BYTES).await?)?);
                Ok(())
            }
            "password" => Err(ApiError::invalid_argument(
                "passwords are not supported: upload the file as it is, not in an archive",
            )),
            _ => text(field, TEXT_BYTES).await.map(|_| ()),
        }
    }

    async fn submit(self, app: &App, caller: &Caller) -> Result<(Analysis, BlobRow), ApiError> {
        let no_file = || ApiError::bad_request("the form has no part named \"file\"");
        let file = self.file.ok_or_else(no_file)?;
        let submission = Submission {
            name: self.name,
            engines: self.engines,
            priority: Priority::Interactive,
            reuse: self.reuse.unwrap_or(Reuse::Known),
            now: now(),
        };
        let grant = caller.grant();
        let place = move |change: &mut Change<'_>, blob: &BlobRow| {
            grant.give(change, &blob.digests.sha256)?;
            Ok(Ok::<_, Infallible>(()))
        };
        let sealed = file.seal().await?;
        let accepted = app
            .api
            .ingest
            .accept_into(sealed, submission, place)
            .await?;
        let Ok(Accepted { analysis, blob, .. }) = accepted;
        Ok((analysis, blob))
    }
}

async fn store(
    mut field: Field<'_>,
    mut incoming: Incoming,
    unread: &AtomicUsize,
) -> Result<Incoming, ApiError> {
    while let Some(chunk) = field.chunk().await.map_err(form_failed)? {
        unread.store(0, Ordering::Relaxed);
        incoming.write(chunk).await?;
    }
    Ok(incoming)
}

/// Of two names none is taken to be the one that was meant.
fn named_once(known: &mut Option<String>, name: String) -> Result<(), ApiError> {
    match known.replace(name) {
        None => Ok(()),
        Some(_) => Err(ApiError::bad_request(
            "the form names the item more than once",
        )),
    }
}

async fn text(mut field: Field<'_>, most: usize) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(chunk) = field.try_next().await.map_err(form_failed)? {
        text.extend_from_slice(&chunk);
        if text.len() > most {
            return Err(ApiError::bad_request(
                "a text field of the form is too long",
            ));
        }
    }
    String::from_utf8(text).map_err(|_| ApiError::bad_request("a text field is not UTF-8"))
}

/// Reads a list of engines, `clamav,yara`; an empty one means all.
///
/// # Errors
/// If one of them cannot be an engine.
pub fn parse_engines(text: &str) -> Result<Option<BTreeSet<EngineId>>, ApiError> {
    let ids = text.split(',').map(str::trim).filter(|id| !id.is_empty());
    let ids: Result<BTreeSet<EngineId>, _> = ids.map(str::parse).collect();
    let ids = ids.map_err(|error| ApiError::invalid_argument(error.to_string()))?;
    Ok((!ids.is_empty()).then_some(ids))
}

/// Reads whether known answers count: `known` or `never`.
///
/// # Errors
/// If it is another word.
pub fn parse_reuse(text: &str) -> Result<Reuse, ApiError> {
    match text.trim() {
        "known" => Ok(Reuse::Known),
        "never" => Ok(Reuse::Never),
        _ => Err(ApiError::invalid_argument(
            "reuse is either \"known\" or \"never\"",
        )),
    }
}

fn form_failed(error: multer::Error) -> ApiError {
    let interrupted = match &error {
        multer::Error::StreamReadFailed(cause) => cause.downcast_ref::<Interrupted>(),
        _ => None,
    };
    match interrupted {
        Some(Interrupted::Stalled(silence)) => {
            let message = format!("nothing of the upload came for {} s", silence.as_secs());
            ApiError::new(StatusCode::REQUEST_TIMEOUT, message)
        }
        Some(other) => ApiError::bad_request(format!("the upload ended early: {other}")),
        None => ApiError::bad_request(format!("the form is malformed or cut off: {error}")),
    }
}
