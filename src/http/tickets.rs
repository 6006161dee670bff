//! URLs that work by themselves for an hour: one upload, or downloads of one blob.
//!
//! The URL holds 256 random bits and the store only their digest, so that
//! neither a log nor a backup opens anything.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use sha2::Digest;

use super::auth::{self, Caller, admit};
use super::egress::{self, Parting};
use super::envelope::{Answer, Base, Descriptor};
use super::error::{ApiError, ErrorBody};
use super::files::opened;
use super::{App, access, files, now, partner, random, upload};
use crate::model::{KeyRole, PublisherId, Sha256, Timestamp};
use crate::store::{Change, StoreError, TICKETS, TicketRow};

/// How long a URL works.
pub const LIFETIME: Duration = Duration::from_secs(3600);
/// Old tickets looked at for each new one: more than one, so that they never pile up.
const SWEEP: usize = 8;

/// Makes a URL that takes one file, also one too large for `POST /files`.
#[utoipa::path(
    get, path = "/api/v3/files/upload_url", tag = "files",
    responses((status = 200, body = Answer<String>, description = "Works once, for an hour"))
)]
pub async fn upload_url(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<String>>, ApiError> {
    let ticket = TicketRow::Upload {
        key: caller.0.id,
        expires_at: now().after(LIFETIME),
    };
    let secret = issue(&app, ticket).await?;
    let data = base.url(&format!("/acquit/uploads/{secret}"));
    Ok(Json(Answer { data }))
}

/// Takes the one file an upload URL is for.
#[utoipa::path(
    post, path = "/api/v3/acquit/uploads/{secret}", tag = "files",
    params(("secret" = String, Path, description = "From `GET /files/upload_url`")),
    request_body(content = files::UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Answer<Descriptor>),
        (status = 404, body = ErrorBody, description = "Used already, expired, or never given"),
    ),
    security(())
)]
pub async fn use_upload_url(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
    base: Base,
    request: Request,
) -> Result<Json<Answer<Descriptor>>, ApiError> {
    let limit_bytes = app.api.config.http.upload_mb << 20;
    upload::check_length(request.headers(), limit_bytes)?;
    let caller = redeem_upload(&app, &secret).await?;
    let (analysis, _) = upload::receive(&app, &caller, request, limit_bytes).await?;
    Ok(opened(&analysis, &base))
}

/// Makes a URL to download a file from.
#[utoipa::path(
    get, path = "/api/v3/files/{id}/download_url", tag = "files",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5")),
    responses((status = 200, body = Answer<String>, description = "Works for an hour"))
)]
pub async fn download_url(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<String>>, ApiError> {
    let blob = files::find(&app, &caller, &id)?;
    let ticket = TicketRow::Download {
        sha256: blob.digests.sha256,
        expires_at: now().after(LIFETIME),
        key: Some(caller.0.id),
    };
    let secret = issue(&app, ticket).await?;
    let data = base.url(&format!("/acquit/downloads/{secret}"));
    Ok(Json(Answer { data }))
}

/// Sends the file a download URL is for.
#[utoipa::path(
    get, path = "/api/v3/acquit/downloads/{secret}", tag = "files",
    params(("secret" = String, Path, description = "From `GET /files/{id}/download_url`")),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The bytes"),
        (status = 206, content_type = "application/octet-stream", description = "A range of them"),
        (status = 404, body = ErrorBody, description = "Expired, or never given"),
    ),
    security(())
)]
pub async fn use_download_url(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let ticket = app.api.store.get(&TICKETS, &digest(&secret))?;
    let Some(TicketRow::Download {
        sha256,
        expires_at,
        key: Some(key),
    }) = ticket
    else {
        return Err(gone());
    };
    // The right is that of the moment, not that of the hour before.
    let caller = auth::caller_of(&app.api.store, &key)?.ok_or_else(gone)?;
    if expires_at <= now() {
        return Err(gone());
    }
    if caller.role() == KeyRole::Vendor {
        let sent = partner::redeem(&app, (caller.0, sha256), (&method, &headers)).await?;
        return sent.ok_or_else(gone);
    }
    if !egress::may_have(&app, &caller, &sha256)? {
        return Err(gone());
    }
    let parting = Parting::by_hash(&app.api.store, &caller, sha256)?;
    let sent = egress::send(&app, parting, (&method, &headers)).await?;
    Ok(sent.0)
}

/// Writes a ticket down and returns its secret.
///
/// # Errors
/// If the store fails.
pub async fn issue(app: &App, ticket: TicketRow) -> Result<String, ApiError> {
    let secret = hex::encode(random()?);
    let key = digest(&secret);
    let from: [u8; 32] = random()?;
    let old = app
        .api
        .store
        .list(&TICKETS, (&[], Some(from.as_slice())), SWEEP)?;
    let present = now();
    let expired = old
        .rows
        .into_iter()
        .filter(move |(_, t)| expiry(t) <= present);
    let write = move |change: &mut Change<'_>| {
        expired.for_each(|(key, _)| change.remove(&TICKETS, &key));
        change.put(&TICKETS, &key, &ticket)
    };
    app.api.store.write(write).await?;
    Ok(secret)
}

/// Takes an upload ticket out of the store: of two who come with it, one gets it.
async fn redeem_upload(app: &App, secret: &str) -> Result<Caller, ApiError> {
    let ticket_key = digest(secret);
    let present = now();
    let take = move |change: &mut Change<'_>| -> Result<_, StoreError> {
        let Some(TicketRow::Upload { key, expires_at }) = change.get(&TICKETS, &ticket_key)? else {
            return Ok(None);
        };
        change.remove(&TICKETS, &ticket_key);
        Ok((present < expires_at).then_some(key))
    };
    let key = app.api.store.write(take).await?.ok_or_else(gone)?;
    let caller = auth::caller_of(&app.api.store, &key)?;
    let caller = caller.filter(|caller| access::WRITERS.contains(&caller.role()));
    let caller = caller.ok_or_else(gone)?;
    admit(app, &caller)?;
    Ok(caller)
}

/// Takes the ticket of an upload into a collection out of the store; returns whose key it was made
/// with, if that key may still change that collection.
///
/// # Errors
/// If there is no such ticket any more, or the key has made too many requests.
pub async fn redeem_monitor_upload(
    app: &App,
    secret: &str,
) -> Result<(Caller, PublisherId), ApiError> {
    let ticket_key = digest(secret);
    let take = move |change: &mut Change<'_>| -> Result<_, StoreError> {
        let ticket = change.get(&TICKETS, &ticket_key)?;
        let Some(TicketRow::MonitorUpload {
            key,
            publisher,
            expires_at,
        }) = ticket
        else {
            return Ok(None);
        };
        change.remove(&TICKETS, &ticket_key);
        Ok((now() < expires_at).then_some((key, publisher)))
    };
    let (key, publisher) = app.api.store.write(take).await?.ok_or_else(gone)?;
    let caller = auth::caller_of(&app.api.store, &key)?;
    let caller = caller.filter(|caller| caller.may_change(&publisher));
    let caller = caller.ok_or_else(gone)?;
    admit(app, &caller)?;
    Ok((caller, publisher))
}

fn gone() -> ApiError {
    ApiError::not_found("this URL was used already, has expired or was never given")
}

fn digest(secret: &str) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(secret.as_bytes()).into())
}

const fn expiry(ticket: &TicketRow) -> Timestamp {
    match ticket {
        TicketRow::Upload { expires_at, .. }
        | TicketRow::MonitorUpload { expires_at, .. }
        | TicketRow::Download { expires_at, .. } => *expires_at,
    }
}
