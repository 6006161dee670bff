//! Bundles: what an engine detected on a day, as a table for a spreadsheet.
//!
//! A bundle is filled when it is asked for: what the vendor may not know of any
//! more is in none, however old it is.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use sha2::Digest;

use super::super::auth::Caller;
use super::super::envelope::{Answer, Base};
use super::super::error::{ApiError, ErrorBody};
use super::super::{App, download, now};
use super::{Asking, asking, own_engine};
use crate::flow::policy::{self, Sight};
use crate::flow::vendor::daily;
use crate::model::{EngineId, LedgerEntry, LedgerKind, PublisherId, Sha256, Vendor};
use crate::store::{PUBLISHERS, Store, StoreError};

const HEAD: &str = "organization,sha256,analyses,download\r\n";

/// Sends today's bundle of an engine; made at 01:00 UTC.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/detections_bundle/{engine}/download", tag = "partner",
    params(("engine" = String, Path, description = "Name of an engine of the vendor's")),
    responses(
        (status = 200, content_type = "text/csv", description = "organization, sha256, analyses, download"),
        (status = 400, body = ErrorBody, description = "NotAvailableYet"),
        (status = 403, body = ErrorBody, description = "No engine of the vendor's"),
    )
)]
pub async fn today(
    State(app): State<Arc<App>>,
    Path(engine): Path<String>,
    method: Method,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Response, ApiError> {
    let asking = asking(&app, &caller)?;
    let engine = own_engine(&app, &asking.vendor, &engine)?;
    send(&app, &asking, (engine, daily::day(now())), (&method, base)).await
}

/// Sends the bundle of an engine of a day.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/detections_bundle/{engine}/{day}/download",
    tag = "partner",
    params(
        ("engine" = String, Path, description = "Name of an engine of the vendor's"),
        ("day" = String, Path, description = "`YYYY-MM-DD`, UTC; kept for 90 days"),
    ),
    responses(
        (status = 200, content_type = "text/csv", description = "organization, sha256, analyses, download"),
        (status = 400, body = ErrorBody, description = "NotAvailableYet"),
        (status = 404, body = ErrorBody, description = "Too old, or never made"),
    )
)]
pub async fn dated(
    State(app): State<Arc<App>>,
    Path((engine, day)): Path<(String, String)>,
    method: Method,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Response, ApiError> {
    let asking = asking(&app, &caller)?;
    let engine = own_engine(&app, &asking.vendor, &engine)?;
    send(&app, &asking, (engine, day), (&method, base)).await
}

/// Returns the URL of today's bundle; it needs the key.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/detections_bundle/{engine}/download_url",
    tag = "partner",
    params(("engine" = String, Path, description = "Name of an engine of the vendor's")),
    responses((status = 200, body = Answer<String>), (status = 400, body = ErrorBody))
)]
pub async fn today_url(
    app: State<Arc<App>>,
    Path(engine): Path<String>,
    caller: Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<String>>, ApiError> {
    dated_url(app, Path((engine, daily::day(now()))), caller, base).await
}

/// Returns the URL of the bundle of a day; it needs the key.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/detections_bundle/{engine}/{day}/download_url",
    tag = "partner",
    params(
        ("engine" = String, Path, description = "Name of an engine of the vendor's"),
        ("day" = String, Path, description = "`YYYY-MM-DD`, UTC"),
    ),
    responses((status = 200, body = Answer<String>), (status = 400, body = ErrorBody))
)]
pub async fn dated_url(
    State(app): State<Arc<App>>,
    Path((engine, day)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<String>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let engine = own_engine(&app, &asking.vendor, &engine)?;
    lines(&app, &engine, &day)?;
    let data = base.url(&format!(
        "/monitor_partner/detections_bundle/{engine}/{day}/download"
    ));
    Ok(Json(Answer { data }))
}

/// Reads a bundle; tells one that is still to be made from one that is not there.
fn lines(app: &App, engine: &EngineId, day: &str) -> Result<Vec<(PublisherId, Sha256)>, ApiError> {
    let start = daily::day_start(day);
    let start = start.ok_or_else(|| ApiError::invalid_argument("the day is not YYYY-MM-DD"))?;
    let data_dir = &app.api.config.storage.data_dir;
    let lines = daily::read(data_dir, engine, day).map_err(|error| ApiError::internal(&error))?;
    lines.ok_or_else(|| {
        if day == daily::day(now()) || start > now() {
            let message = format!("the bundle of {day} is made at 01:00 UTC of that day");
            let error = ApiError::new(StatusCode::BAD_REQUEST, message);
            return error.coded("NotAvailableYet").retry_after(60);
        }
        ApiError::not_found(format!(
            "there is no bundle of {day}; they are kept for 90 days"
        ))
    })
}

async fn send(
    app: &App,
    asking: &Asking,
    (engine, day): (EngineId, String),
    (method, base): (&Method, Base),
) -> Result<Response, ApiError> {
    let lines = lines(app, &engine, &day)?;
    let (store, vendor) = (app.api.store.clone(), asking.vendor.clone());
    let own = engine.clone();
    let fill = move || fill(&store, (&vendor, &own), lines, &base);
    let filled = tokio::task::spawn_blocking(fill).await;
    let (text, told) = filled.map_err(|error| ApiError::internal(&error))??;
    if method != Method::HEAD {
        let (analyst, count) = (&asking.analyst, told.len());
        // Each owner finds in the ledger which of its files the vendor was told of; once a day.
        let blobs: Vec<_> = told.iter().map(|(sha256, sight)| (sha256, sight)).collect();
        app.shown.note(app, analyst, &blobs).await?;
        let digest = hex::encode(sha2::Sha256::digest(&text));
        let line = format!(
            "Vendor {} downloads the bundle of {engine} of {day}: {count} hashes, a table of \
             SHA-256 {digest}",
            analyst.vendor
        );
        let mut line = LedgerEntry::new(now(), LedgerKind::Egress, analyst.actor.clone(), line);
        line.bytes = u64::try_from(text.len()).ok();
        line.to = Some(format!("vendor {}", analyst.vendor));
        line.rule = Some("policy of each item; an engine of the vendor detects it".to_owned());
        let written = app.api.store.ledger().append(line).await;
        written.map_err(|error| ApiError::internal(&error))?;
    }
    let name = format!("detections-{engine}-{day}.csv");
    let mut response = (download::attachment(&name), text).into_response();
    let kind = HeaderValue::from_static("text/csv; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A line of a bundle: a blob, and what of it leaves by whose consent.
type Line = (Sha256, Sight);

/// Writes the table of what the vendor may still know of; returns it and what it tells.
fn fill(
    store: &Store,
    (vendor, engine): (&Vendor, &EngineId),
    lines: Vec<(PublisherId, Sha256)>,
    base: &Base,
) -> Result<(String, Vec<Line>), StoreError> {
    let (mut text, mut told) = (HEAD.to_owned(), Vec::new());
    for (publisher, sha256) in lines {
        let Some(mut sight) = policy::sight(store, vendor, &sha256)? else {
            continue;
        };
        sight.consents.retain(|c| c.publisher == publisher);
        if sight.consents.is_empty() || !sight.engines.contains(engine) {
            continue;
        }
        let owner = store.get(&PUBLISHERS, &publisher)?;
        let owner = cell(&owner.map_or_else(String::new, |owner| owner.name));
        let analyses = base.url(&format!("/monitor_partner/hashes/{sha256}/analyses"));
        let file = base.url(&format!("/monitor_partner/files/{sha256}/download"));
        let (analyses, file) = (cell(&analyses), cell(&file));
        // Writing into a string cannot fail.
        let _ = write!(text, "{owner},{sha256},{analyses},{file}\r\n");
        told.push((sha256, sight));
    }
    Ok((text, told))
}

/// Quotes a cell; one that a spreadsheet would take for a formula gets an apostrophe before it.
fn cell(text: &str) -> String {
    let flat: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let formula = flat
        .trim_start()
        .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", flat.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_is_a_formula_or_breaks_out() {
        assert_eq!(cell("Acme, Inc."), "\"Acme, Inc.\"");
        assert_eq!(cell("a\"b\r\n=1"), "\"a\"\"b  =1\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", " \t=1", "\r=1"] {
            assert!(
                cell(formula).starts_with("\"'"),
                "{formula:?}: {}",
                cell(formula)
            );
        }
    }
}
