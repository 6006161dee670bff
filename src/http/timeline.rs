//! The timeline of a file: when an engine's word on it changed, and with which signatures.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::engines::Versions;
use super::envelope::{Base, Collection, Links, Object, PageQuery, Paging};
use super::error::{ApiError, ErrorBody};
use super::signatures::Word;
use super::{App, files};
use crate::model::{EngineId, Verdict};
use crate::store::{RowKey, TIMELINE, TimelineRow};

/// Most changes of a file that are read to show the newest.
const MOST_CHANGES: usize = 10_000;

/// A change of an engine's word on a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct ChangeAttributes {
    /// When it was noticed; seconds since 1970.
    date: u64,
    /// Id of the engine.
    engine: String,
    /// `first` word, detection `introduced` or `removed`, or otherwise `changed`.
    change: &'static str,
    /// VirusTotal's word for what the engine says now.
    category: &'static str,
    /// The engine's own name for what it found.
    result: Option<String>,
    /// Why there is no answer on the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What it says it with.
    versions: Versions,
    /// What it said before.
    before: Option<Word>,
    /// What it last said that with.
    versions_before: Option<Versions>,
    /// The analysis in which the change was noticed.
    analysis: String,
}

/// Whose changes are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EngineQuery {
    /// Id of the one engine; all if absent.
    engine: Option<String>,
}

/// Lists the changes of the engines' words on a file, newest first.
#[utoipa::path(
    get, path = "/api/v3/files/{id}/timeline", tag = "files",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5"), EngineQuery, PageQuery),
    responses((status = 200, body = Collection<Object<ChangeAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<EngineQuery>,
    paging: Paging,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Object<ChangeAttributes>>>, ApiError> {
    let sha256 = files::find(&app, &caller, &id)?.digests.sha256;
    let engine = query.engine.filter(|id| !id.is_empty());
    let engine = engine.map(|id| id.parse::<EngineId>()).transpose();
    let engine = engine.map_err(|error| ApiError::invalid_argument(error.to_string()))?;
    let rows = app
        .api
        .store
        .list(&TIMELINE, (sha256.as_bytes(), None), MOST_CHANGES)?;
    let rows = rows.rows.into_iter();
    let rows = rows.filter(|((_, id, _), _)| engine.as_ref().is_none_or(|wanted| wanted == id));
    let keyed = rows.map(|((_, engine, number), row)| {
        // By time, then by engine: the table itself has each engine's changes together.
        let key = [
            row.at.millis().to_bytes(),
            (engine.clone(), number).to_bytes(),
        ]
        .concat();
        (key, (engine, number, row))
    });
    let (changes, next) = paging.cut(keyed.collect());
    let path = format!("/files/{sha256}/timeline");
    let url = base.url(&match &engine {
        Some(engine) => format!("{path}?engine={engine}"),
        None => path,
    });
    let data = changes.into_iter();
    let data = data.map(|(engine, number, row)| Object {
        kind: "timeline_entry",
        id: format!("{sha256}-{engine}-{number}"),
        links: Links::to(url.clone()),
        attributes: attributes(&engine, row),
    });
    let data = data.collect();
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

fn attributes(engine: &EngineId, row: TimelineRow) -> ChangeAttributes {
    let change = change(row.before.as_ref(), &row.verdict);
    let Word {
        category,
        result,
        reason,
    } = row.verdict.into();
    ChangeAttributes {
        date: row.at.seconds(),
        engine: engine.to_string(),
        change,
        category,
        result,
        reason,
        versions: row.versions.into(),
        before: row.before.map(Word::from),
        versions_before: row.versions_before.map(Versions::from),
        analysis: row.analysis.to_string(),
    }
}

fn change(before: Option<&Verdict>, verdict: &Verdict) -> &'static str {
    let before = before.map(Verdict::is_detection);
    match (before, verdict.is_detection(), verdict.is_answer()) {
        (None, _, _) => "first",
        (Some(false), true, _) => "introduced",
        (Some(true), false, true) => "removed",
        // An engine that does not answer has not taken its word back.
        (Some(_), _, _) => "changed",
    }
}
