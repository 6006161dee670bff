//! The ledger: what happened and what left; shown, exported, proven whole.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::access::{ADMIN, Area, READERS, Rule, rule};
use super::auth::Caller;
use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging, invalid_cursor};
use super::error::ApiError;
use super::{App, now, query};
use crate::model::{LedgerLine, PublisherId, Timestamp};
use crate::store::{LedgerFilter, Place};

/// Bytes of an export that are read at a time.
const BLOCK_BYTES: usize = 64 << 10;

/// What is here, who may use it, and its description.
pub const AREA: Area = Area {
    routes,
    rules: RULES,
    document: Document::openapi,
};

const RULES: &[Rule] = &[
    rule("GET", "/acquit/ledger", READERS),
    rule("GET", "/acquit/ledger/export", ADMIN),
    rule("GET", "/acquit/ledger/verify", ADMIN),
];

#[derive(OpenApi)]
#[openapi(paths(list, export, verify))]
struct Document;

fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/acquit/ledger", get(list))
        .route("/acquit/ledger/export", get(export))
        .route("/acquit/ledger/verify", get(verify))
}

/// A line of the ledger.
#[derive(Debug, Serialize, ToSchema)]
pub struct LineAttributes {
    /// When; seconds since 1970.
    date: u64,
    /// `event`, `egress`, `access` or `admin`.
    kind: &'static str,
    /// Who did it.
    actor: String,
    /// What was done, or what left, in one sentence.
    text: String,
    /// Whose it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<String>,
    /// The file it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// How many bytes left.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// To whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// By which rule and consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The event it repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// Hash of the line before.
    before: String,
    /// The line's own hash.
    hash: String,
}

/// Which lines are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LineQuery {
    /// `event`, `egress`, `access` or `admin`.
    kind: Option<String>,
    /// Of this publisher.
    publisher: Option<String>,
    /// About this file.
    sha256: Option<String>,
    /// Done by this key or user, by its id, or by `acquit` itself. Whatever is asked for, a page may
    /// be short, even empty, and have a cursor.
    actor: Option<String>,
    /// Not before; seconds since 1970.
    #[param(value_type = Option<u64>)]
    from: Option<String>,
    /// Not after; seconds since 1970.
    #[param(value_type = Option<u64>)]
    to: Option<String>,
}

impl LineQuery {
    /// Returns what is asked for, as far as the caller may see it.
    fn filter(&self, caller: &Caller) -> Result<LedgerFilter, ApiError> {
        let kind = given(&self.kind).map(|kind| {
            let known = serde_json::from_value(kind.into());
            known.map_err(|_| ApiError::invalid_argument(format!("there is no kind {kind:?}")))
        });
        let sha256 = given(&self.sha256).map(|hash| {
            let hash = hash.parse();
            hash.map_err(|error| ApiError::invalid_argument(format!("sha256: {error}")))
        });
        let from = given(&self.from).map(|text| seconds(text, 0));
        let to = given(&self.to).map(|text| seconds(text, 999));
        Ok(LedgerFilter {
            kind: kind.transpose()?,
            publisher: whose(caller, given(&self.publisher))?,
            sha256: sha256.transpose()?,
            actor: given(&self.actor).map(str::to_owned),
            from: from.transpose()?,
            to: to.transpose()?,
        })
    }

    fn url(&self, base: &Base) -> String {
        let words = [
            ("kind", &self.kind),
            ("publisher", &self.publisher),
            ("sha256", &self.sha256),
            ("from", &self.from),
            ("to", &self.to),
            ("actor", &self.actor),
        ];
        let words = words.map(|(name, value)| (name, given(value).unwrap_or("")));
        base.url(&format!("/acquit/ledger{}", query::of(words)))
    }
}

fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

fn seconds(text: &str, rest: u64) -> Result<Timestamp, ApiError> {
    let number = text.parse::<u64>().ok();
    let millis = number.and_then(|number| number.checked_mul(1000)?.checked_add(rest));
    let wrong = || ApiError::invalid_argument(format!("{text:?} is no number of seconds"));
    millis.map(Timestamp::from_millis).ok_or_else(wrong)
}

/// Whoever may see everything may name a publisher; everybody else sees their own lines.
fn whose(caller: &Caller, named: Option<&str>) -> Result<Option<PublisherId>, ApiError> {
    let sees_all = caller.is_admin()
        || (caller.role() == crate::model::KeyRole::Viewer && caller.0.seat.publisher.is_none());
    match named {
        None if sees_all => Ok(None),
        named => caller.publisher(named).map(Some),
    }
}

/// Lists lines of the ledger, newest first.
#[utoipa::path(
    get, path = "/api/v3/acquit/ledger", tag = "ledger", params(LineQuery, PageQuery),
    responses((status = 200, body = Collection<Object<LineAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<LineQuery>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<LineAttributes>>>, ApiError> {
    let filter = query.filter(&caller)?;
    let place = paging.cursor.as_deref().map(Place::from_bytes);
    let place = place.map(|place| place.ok_or_else(invalid_cursor));
    let (place, limit) = (place.transpose()?, paging.limit);
    let ledger = app.api.store.ledger().clone();
    let read = move || ledger.list(&filter, place, limit);
    let (lines, next) = blocking(read).await?;
    let data = lines.into_iter().map(|line| object(line, &base)).collect();
    let next = next.map(|place| place.to_bytes());
    let url = query.url(&base);
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|error| ApiError::internal(&error))?;
    read.map_err(|error| ApiError::internal(&error))
}

fn object(line: LedgerLine, base: &Base) -> Object<LineAttributes> {
    let entry = line.entry;
    Object {
        kind: "ledger_line",
        id: line.seq.to_string(),
        // A line is only ever shown in the list.
        links: Links::to(base.url("/acquit/ledger")),
        attributes: LineAttributes {
            date: entry.at.seconds(),
            kind: entry.kind.as_str(),
            actor: entry.actor,
            text: entry.text,
            publisher: entry.publisher.map(String::from),
            sha256: entry.sha256.map(String::from),
            bytes: entry.bytes,
            to: entry.to,
            rule: entry.rule,
            event: entry.event.map(|event| event.to_string()),
            before: line.before.to_string(),
            hash: line.hash.to_string(),
        },
    }
}

/// Sends the whole ledger, one JSON object a line; `acquit ledger verify --file` checks it.
#[utoipa::path(
    get, path = "/api/v3/acquit/ledger/export", tag = "ledger",
    responses((status = 200, content_type = "application/x-ndjson", description = "The lines"))
)]
pub async fn export(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let ledger = app.api.store.ledger().clone();
    let text = "exported the whole ledger".to_owned();
    let noted = ledger.access((caller.actor(), now()), None, None, text);
    noted.await.map_err(|error| ApiError::internal(&error))?;
    let parts = blocking(move || ledger.parts()).await?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = copy(parts, &sender) {
            tracing::error!(%error, "An export of the ledger was cut off");
            let _ = sender.blocking_send(Err(error));
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        let block = receiver.recv().await?;
        Some((block, receiver))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"ledger.jsonl\"",
        ),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn copy(
    parts: Vec<(PathBuf, u64)>,
    sender: &mpsc::Sender<std::io::Result<Bytes>>,
) -> std::io::Result<()> {
    for (path, length) in parts {
        let mut file = std::fs::File::open(path)?.take(length);
        loop {
            let mut block = vec![0; BLOCK_BYTES];
            let read = file.read(&mut block)?;
            block.truncate(read);
            if read == 0 {
                break;
            }
            if sender.blocking_send(Ok(Bytes::from(block))).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// What was found when the chain was followed.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerifyAttributes {
    /// Whether every line is there, as it was written and where it was written.
    intact: bool,
    /// Number of the last line; of a broken ledger, of the first line something is wrong with.
    line: u64,
    /// Hash of the last line; keep it elsewhere to compare later.
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Follows the chain of hashes from the first line to the last one acknowledged.
#[utoipa::path(
    get, path = "/api/v3/acquit/ledger/verify", tag = "ledger",
    responses((status = 200, body = Answer<Object<VerifyAttributes>>))
)]
pub async fn verify(
    State(app): State<Arc<App>>,
    base: Base,
) -> Result<Json<Answer<Object<VerifyAttributes>>>, ApiError> {
    let ledger = app.api.store.ledger().clone();
    let found = blocking(move || ledger.verify()).await?;
    let attributes = match found {
        Ok((line, hash)) => VerifyAttributes {
            intact: true,
            line,
            hash: Some(hash.to_string()),
            problem: None,
        },
        Err(fault) => VerifyAttributes {
            intact: false,
            line: fault.seq(),
            hash: None,
            problem: Some(fault.to_string()),
        },
    };
    let data = Object {
        kind: "ledger_verification",
        id: "ledger".to_owned(),
        links: Links::to(base.url("/acquit/ledger/verify")),
        attributes,
    };
    Ok(Json(Answer { data }))
}
