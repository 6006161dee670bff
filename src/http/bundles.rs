//! Signature bundles over the wire: out in one stream, in through a file nobody else sees.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::envelope::{Answer, Base, Links, Object};
use super::error::{ApiError, ErrorBody, no_room};
use super::updates::{UpdateAttributes, update_object};
use super::upload::{check_length, parse_engines};
use super::{App, download, now};
use crate::model::EngineId;
use crate::nightly::Refusal;
use crate::nightly::bundle::{self, Candidate, Export, Terms, Verified};

/// What goes into one chunk of an answer.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for a slow client.
const WAITING_CHUNKS: usize = 4;
/// After so many bytes it is looked whether there is still room.
const LOOK_BYTES: u64 = 16 << 20;

/// Whose signatures are exported.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// Ids of engines, separated by commas; all that have signature sets if absent.
    engines: Option<String>,
}

/// Sends the active signature sets of engines as one signed bundle.
#[utoipa::path(
    get, path = "/api/v3/acquit/signatures/export", tag = "signatures", params(ExportQuery),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "A tar with a signed list of its files"),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "An engine has no signatures to export"),
    )
)]
pub async fn export(
    State(app): State<Arc<App>>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, ApiError> {
    let engines = exported(&app, query.engines.as_deref().unwrap_or(""))?;
    let (config, store) = (Arc::clone(&app.api.config), app.api.store.clone());
    let prepared = spawn_blocking(move || bundle::prepare((&config, &store), &engines, now()));
    let prepared = prepared
        .await
        .map_err(|error| ApiError::internal(&error))??;
    let name = format!("acquit-signatures-{}.tar", now().seconds());
    Ok((download::attachment(&name), body(prepared)).into_response())
}

fn exported(app: &App, text: &str) -> Result<Vec<EngineId>, ApiError> {
    let table = app.api.engines.borrow();
    let named = parse_engines(text)?;
    let Some(named) = named else {
        let able = table.values().filter(|status| status.signatures.is_some());
        let all: Vec<_> = able.map(|status| status.id.clone()).collect();
        let none = || ApiError::conflict("no engine has signature sets");
        return (!all.is_empty()).then_some(all).ok_or_else(none);
    };
    match named.iter().find(|id| !table.contains_key(id)) {
        Some(unknown) => Err(ApiError::not_found(format!("engine {unknown} not found"))),
        None => Ok(named.into_iter().collect()),
    }
}

/// Makes a body of a bundle; if it cannot be written to its end the connection breaks.
fn body(export: Export) -> Body {
    let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
    spawn_blocking(move || {
        let out = Chunks(chunks.clone());
        let written = export.write(io::BufWriter::with_capacity(CHUNK_BYTES, out));
        if let Err(error) = written {
            tracing::warn!(%error, "The export of signatures ended early");
            // Who went away needs no error.
            let _ = chunks.blocking_send(Err(io::Error::other(error)));
        }
    });
    let next = async |mut waiting: mpsc::Receiver<io::Result<Bytes>>| {
        waiting.recv().await.map(|chunk| (chunk, waiting))
    };
    Body::from_stream(stream::unfold(waiting, next))
}

/// Writes into a body.
struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = Ok(Bytes::copy_from_slice(bytes));
        let sent = self.0.blocking_send(chunk);
        sent.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What an import began.
#[derive(Debug, Serialize, ToSchema)]
pub struct Imported {
    /// The updates as they begin, one for each engine.
    data: Vec<Object<UpdateAttributes>>,
    meta: ImportMeta,
}

/// Where a bundle came from, and what of it was not taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportMeta {
    /// The key that signed it.
    key: String,
    /// The appliance that made it.
    appliance: String,
    /// When it was made.
    creation_date: u64,
    /// Engines whose worker would not take its set, and why.
    refused: Vec<Refused>,
}

/// An engine whose set was not taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refused {
    engine: String,
    /// Why.
    message: String,
}

/// Takes a bundle: verifies it as a whole, then gives each set to its engine as a candidate.
#[utoipa::path(
    post, path = "/api/v3/acquit/signatures/import", tag = "signatures",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses(
        (status = 200, body = Imported),
        (status = 400, body = ErrorBody, description = "It is damaged or altered"),
        (status = 403, body = ErrorBody, description = "Nobody trusts the key that signed it"),
        (status = 409, body = ErrorBody, description = "No engine takes its set now"),
        (status = 413, body = ErrorBody),
        (status = 507, body = ErrorBody, description = "No room"),
    )
)]
pub async fn import(
    State(app): State<Arc<App>>,
    base: Base,
    request: Request,
) -> Result<Json<Imported>, ApiError> {
    let file = receive(&app, request).await?;
    let (verified, key) = verify(&app, file).await?;
    let (appliance, created) = (verified.index.appliance.clone(), verified.index.created);
    let data_dir = app.api.config.storage.data_dir.clone();
    let unpacked = spawn_blocking(move || verified.unpack(&data_dir));
    let unpacked = unpacked
        .await
        .map_err(|error| ApiError::internal(&error))??;
    let (mut data, mut refused) = (Vec::new(), Vec::new());
    for candidate in unpacked {
        match give(&app, &candidate, &key).await {
            Ok(update) => data.push(update_object(update, &base)),
            Err(refusal) => refused.push((candidate.engine, refusal)),
        }
    }
    if let (true, Some((_, refusal))) = (data.is_empty(), refused.first()) {
        return Err(refusal.clone().into());
    }
    let refused = refused.into_iter().map(|(engine, refusal)| Refused {
        engine: engine.into(),
        message: refusal.to_string(),
    });
    let meta = ImportMeta {
        key,
        appliance,
        creation_date: created.seconds(),
        refused: refused.collect(),
    };
    Ok(Json(Imported { data, meta }))
}

/// Gives a set to its engine; what is refused is removed.
async fn give(
    app: &App,
    candidate: &Candidate,
    key: &str,
) -> Result<crate::model::Update, Refusal> {
    let Candidate { engine, work, .. } = candidate;
    let order = (work.clone(), key.to_owned());
    let given = app.api.desk.import(engine, order.0, order.1).await;
    if given.is_err() {
        let work: PathBuf = work.clone();
        let removed = spawn_blocking(move || std::fs::remove_dir_all(work)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, "What was unpacked of a bundle cannot be removed");
        }
    }
    given
}

/// Verifies a bundle against the engines and the room there is now.
async fn verify(app: &App, file: File) -> Result<(Verified, String), ApiError> {
    let max_bytes = room(app)?;
    let table = app.api.engines.borrow().clone();
    let enabled = table.into_values();
    let enabled = enabled.filter(|status| status.state.takes_part());
    let engines: BTreeSet<EngineId> = enabled.map(|status| status.id).collect();
    let config = Arc::clone(&app.api.config);
    let verified = spawn_blocking(move || {
        let own = bundle::key(&config.storage.data_dir)?;
        let terms = Terms {
            trusted: &config.updates.trusted_keys,
            own: &own.public,
            engines: &engines,
            max_bytes,
        };
        bundle::verify(file, terms)
    });
    let verified = verified
        .await
        .map_err(|error| ApiError::internal(&error))??;
    let key = verified.key.clone();
    Ok((verified, key))
}

/// Returns how many bytes may be written without touching the reserve.
fn room(app: &App) -> Result<u64, ApiError> {
    let reserve_mb = app.api.config.storage.reserve_mb;
    let free = app.api.store.blobs().free_bytes();
    let free = free.map_err(|error| ApiError::internal(&error))?;
    match free.checked_sub(reserve_mb << 20) {
        Some(room) if room > 0 => Ok(room),
        _ => {
            let free_mb = free >> 20;
            let message = format!("{free_mb} MB are free and {reserve_mb} MB are kept in reserve");
            Err(no_room(message))
        }
    }
}

/// Writes a body to a file without a name: nothing is left of it, however this ends.
async fn receive(app: &App, request: Request) -> Result<File, ApiError> {
    let http = &app.api.config.http;
    let limit = http.upload_mb << 20;
    check_length(request.headers(), limit)?;
    let silence = Duration::from_secs(http.body_timeout_seconds);
    let failed = |error: io::Error| ApiError::internal(&error);
    let incoming = app.api.config.storage.data_dir.join("incoming");
    let file = tempfile::tempfile_in(incoming).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut body = request.into_body().into_data_stream();
    let (mut size, mut look_at) = (0, 0);
    while let Some(chunk) = timeout(silence, body.next())
        .await
        .map_err(|_| stalled(silence))?
    {
        let chunk = chunk
            .map_err(|error| ApiError::bad_request(format!("the upload ended early: {error}")))?;
        size += chunk.len() as u64;
        if size > limit {
            return Err(ApiError::too_large(limit));
        }
        if size >= look_at {
            room(app)?;
            look_at = size + LOOK_BYTES;
        }
        file.write_all(&chunk).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(file.into_std().await)
}

fn stalled(silence: Duration) -> ApiError {
    let message = format!("nothing of the upload came for {} s", silence.as_secs());
    ApiError::new(StatusCode::REQUEST_TIMEOUT, message)
}

/// The key bundles of this appliance are signed with.
#[derive(Debug, Serialize, ToSchema)]
pub struct BundleKeyAttributes {
    /// The public half, as another appliance takes it in `updates.trusted_keys`.
    public_key: String,
}

/// Shows the key bundles of this appliance are signed with.
#[utoipa::path(
    get, path = "/api/v3/acquit/signatures/key", tag = "signatures",
    responses((status = 200, body = Answer<Object<BundleKeyAttributes>>))
)]
pub async fn key(
    State(app): State<Arc<App>>,
    base: Base,
) -> Result<Json<Answer<Object<BundleKeyAttributes>>>, ApiError> {
    let data_dir = app.api.config.storage.data_dir.clone();
    let read = spawn_blocking(move || bundle::key(&data_dir)).await;
    let read = read.map_err(|error| ApiError::internal(&error))??;
    let data = Object {
        kind: "signature_key",
        id: "own".to_owned(),
        links: Links::to(base.url("/acquit/signatures/key")),
        attributes: BundleKeyAttributes {
            public_key: read.public,
        },
    };
    Ok(Json(Answer { data }))
}
