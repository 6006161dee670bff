//! The files themselves: only while an engine of the vendor's detects them and an owner gives them
//! out, each time written into the ledger before the first byte leaves.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::{Extension, Json};

use super::super::auth::Caller;
use super::super::egress::{self, Parting};
use super::super::envelope::{Answer, Base};
use super::super::error::{ApiError, ErrorBody};
use super::super::{App, now, tickets};
use super::{Asking, asking, failed, not_found};
use crate::flow::events::{self, Draft};
use crate::flow::policy::Consent;
use crate::flow::vendor;
use crate::model::{About, EventKind, KeyRole, Sha256, SharePolicy};
use crate::store::{KeyRow, TicketRow};

/// Sends the bytes of a file that the vendor may have.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/files/{sha256}/download", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256")),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The bytes"),
        (status = 206, content_type = "application/octet-stream", description = "A range of them"),
        (status = 403, body = ErrorBody, description = "Its owners do not give it out"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn download(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    method: Method,
    headers: HeaderMap,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, consent) = right(&app, &asking, &id)?;
    send(&app, &asking, (sha256, &consent), (&method, &headers)).await
}

/// Makes a URL to download a file from; the right is looked at again when it is used.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/files/{sha256}/download_url", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256")),
    responses(
        (status = 200, body = Answer<String>, description = "Works for an hour"),
        (status = 403, body = ErrorBody, description = "Its owners do not give it out"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn download_url(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<String>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, _) = right(&app, &asking, &id)?;
    let ticket = TicketRow::Download {
        sha256,
        expires_at: now().after(tickets::LIFETIME),
        key: Some(caller.0.id),
    };
    let secret = tickets::issue(&app, ticket).await?;
    let data = base.url(&format!("/acquit/downloads/{secret}"));
    Ok(Json(Answer { data }))
}

/// Sends the file that a download URL of a vendor's is for; nothing if the right has ended.
///
/// # Errors
/// If the ledger or the disk fails.
pub async fn redeem(
    app: &App,
    (key, sha256): (KeyRow, Sha256),
    request: (&Method, &HeaderMap),
) -> Result<Option<Response>, ApiError> {
    debug_assert_eq!(key.seat.role, KeyRole::Vendor);
    let absent = [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN];
    let asking = asking(app, &Caller(key));
    let right = asking.and_then(|asking| {
        let right = right(app, &asking, &sha256.to_string())?;
        Ok((asking, right))
    });
    match right {
        Ok((asking, (sha256, consent))) => {
            let sent = send(app, &asking, (sha256, &consent), request);
            sent.await.map(Some)
        }
        Err(error) if absent.contains(&error.status()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns by whose consent a vendor may have a file.
fn right(app: &App, asking: &Asking, id: &str) -> Result<(Sha256, Consent), ApiError> {
    let store = &app.api.store;
    let sha256: Sha256 = id.parse().map_err(|_| not_found(id))?;
    let sight = vendor::see(store, &asking.vendor, &sha256);
    let sight = sight.map_err(|error| failed(error, id))?;
    let consent = sight.file(store, &sha256, &asking.vendor.id)?.cloned();
    if let Some(consent) = consent {
        return Ok((sha256, consent));
    }
    let on_request = |c: &Consent| c.policy == SharePolicy::FileOnRequest;
    Err(ApiError::forbidden(
        if sight.consents.iter().any(on_request) {
            "the owner of this file wants to be asked: POST a reason to \
         /monitor_partner/files/{sha256}/request"
        } else {
            "the owner of this file lets vendors have its metadata only"
        },
    ))
}

async fn send(
    app: &App,
    asking: &Asking,
    (sha256, consent): (Sha256, &Consent),
    request: (&Method, &HeaderMap),
) -> Result<Response, ApiError> {
    let analyst = &asking.analyst;
    let parting = Parting {
        sha256,
        what: "a file".to_owned(),
        publisher: Some(consent.publisher.clone()),
        actor: analyst.actor.clone(),
        to: format!("vendor {}", analyst.vendor),
        rule: rule(consent),
    };
    let (response, bytes) = egress::send(app, parting, request).await?;
    if bytes.is_none() {
        return Ok(response);
    }
    let whole = response.status() == StatusCode::OK;
    // Of a file that is fetched in parts the owner hears once a day.
    if whole
        || app
            .shown
            .is_first_part(analyst, (&sha256, &consent.publisher))
    {
        tell(app, asking, (sha256, consent, bytes)).await?;
    }
    Ok(response)
}

/// Returns the rule and the consent by which something of a publisher's may leave.
pub fn rule(consent: &Consent) -> String {
    let policy = match consent.policy {
        SharePolicy::File => "policy file",
        SharePolicy::FileOnRequest => "policy file-on-request",
        SharePolicy::MetadataOnly => "policy metadata-only",
        SharePolicy::Never => "policy never",
    };
    format!(
        "{policy} of {}; an engine of the vendor detects it",
        consent.said_at
    )
}

async fn tell(
    app: &App,
    asking: &Asking,
    (sha256, consent, bytes): (Sha256, &Consent, Option<u64>),
) -> Result<(), ApiError> {
    let vendor = asking.analyst.vendor.clone();
    let about = About {
        publisher: Some(consent.publisher.clone()),
        path: consent.items.first().map(|(path, _)| path.clone()),
        sha256: Some(sha256),
        incident: None,
        actor: Some(asking.analyst.actor.clone()),
    };
    let text = format!("Vendor {vendor} downloads the file {sha256}");
    let mut draft = Draft::about(now(), EventKind::FileDownloaded, about, text);
    draft.details = serde_json::json!({"vendor": vendor, "bytes": bytes, "rule": rule(consent)});
    let raise = app
        .api
        .store
        .write(move |change| events::raise(change, draft));
    raise.await?;
    Ok(())
}
