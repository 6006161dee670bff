//! Receives one file as a multipart form, straight to disk, in constant memory.
//!
//! The form's other fields may come before or after the file, so nothing is
//! decided before the end of the form has been seen: a form that is cut off
//! leaves nothing.

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};

use super::auth::Caller;
use super::error::ApiError;
use super::form::{NAME_BYTES, Part, Parts, TEXT_BYTES};
use super::{App, now};
use crate::flow::ingest::{Accepted, Submission};
use crate::model::{Analysis, EngineId, Priority, Reuse};
use crate::store::{BlobRow, Change, Incoming, Sealed};

/// What a form may hold besides the file.
const OVERHEAD_BYTES: u64 = 64 << 10;
/// Most parts of a form.
const PARTS: usize = 16;

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
    let mut parts = Parts::of(app, request, PARTS)?;
    let mut form = Form::default();
    while let Some(part) = parts.next().await? {
        form.take(app, part, limit_bytes).await?;
    }
    Ok(form)
}

/// Refuses by the announced length, before anything is read.
///
/// # Errors
/// If more is announced than a file within the limit can need.
pub fn check_length(headers: &HeaderMap, limit_bytes: u64) -> Result<(), ApiError> {
    let most = limit_bytes.saturating_add(OVERHEAD_BYTES);
    match length(headers) {
        Some(length) if length > most => Err(ApiError::too_large(limit_bytes)),
        _ => Ok(()),
    }
}

/// Returns how long a body is announced to be.
pub fn length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl Form {
    async fn take(&mut self, app: &App, part: Part<'_>, limit_bytes: u64) -> Result<(), ApiError> {
        match part.name() {
            "file" if self.file.is_some() => {
                Err(ApiError::bad_request("the form has more than one file"))
            }
            "file" => {
                self.name = part.file_name().map(str::to_owned);
                let incoming = app.api.ingest.receive(limit_bytes)?;
                self.file = Some(part.store(incoming).await?);
                Ok(())
            }
            "path" => named_once(&mut self.path, part.text(NAME_BYTES).await?),
            "item" => named_once(&mut self.item, part.text(NAME_BYTES).await?),
            "engines" => {
                self.engines = parse_engines(&part.text(TEXT_BYTES).await?)?;
                Ok(())
            }
            "reuse" => {
                self.reuse = Some(parse_reuse(&part.text(TEXT_BYTES).await?)?);
                Ok(())
            }
            "password" => Err(ApiError::invalid_argument(
                "passwords are not supported: upload the file as it is, not in an archive",
            )),
            _ => part.text(TEXT_BYTES).await.map(|_| ()),
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
        submit(app, caller, (file.seal().await?, submission)).await
    }
}

/// Stores a file that a caller brought and opens its analysis.
///
/// # Errors
/// If an engine is unknown, or there is no room.
pub async fn submit(
    app: &App,
    caller: &Caller,
    (sealed, submission): (Sealed, Submission),
) -> Result<(Analysis, BlobRow), ApiError> {
    let grant = caller.grant();
    let place = move |change: &mut Change<'_>, blob: &BlobRow| {
        grant.give(change, &blob.digests.sha256)?;
        Ok(Ok::<_, Infallible>(()))
    };
    let ingest = &app.api.ingest;
    let accepted = ingest.accept_into(sealed, submission, place).await?;
    let Ok(Accepted { analysis, blob, .. }) = accepted;
    Ok((analysis, blob))
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
