//! Analyses: where they stand, what the engines answered, what they printed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::envelope::{Answer, Base, Descriptor, Links, Object};
use super::error::{ApiError, ErrorBody};
use super::files::{FileAttributes, file_object};
use super::results::{
    Coverage, EngineAnswer, KnownDistributors, ThreatClassification, WireStats, answers, named,
};
use super::{App, download};
use crate::model::{Analysis, AnalysisId, AnalysisStatus, EngineId, FileHash, Md5, Stats};
use crate::store::{BlobRow, Store, StoreError};

/// Longest a request may wait for an analysis to be completed.
const MAX_WAIT_SECONDS: u64 = 60;
/// The wake-up is only a hint: the row is read again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Numbers below this are seconds: as milliseconds they would lie in 1973.
const SECONDS_END: u64 = 100_000_000_000;

/// How the first line of an output begins, if it says how the engine ended.
const ENDS: [&str; 3] = ["exit", "signal:", "ended:"];

/// What is known of an analysis.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalysisAttributes {
    /// `queued`, `in-progress` or `completed`.
    status: &'static str,
    /// When it was completed, or opened if it is not; seconds since 1970.
    date: u64,
    /// Answers by category.
    stats: WireStats,
    /// Answers by the engines' display names; who has not answered is not in it.
    results: BTreeMap<String, EngineAnswer>,
    /// How many engines the counts stand on.
    coverage: Coverage,
    /// Whose software the file is, if it is anybody's here.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_distributors: Option<KnownDistributors>,
    /// What family the detections are of, once that is found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    popular_threat_classification: Option<ThreatClassification>,
}

/// What an analysis stands on, beside it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalysisAnswer {
    data: Object<AnalysisAttributes>,
    meta: AnalysisMeta,
}

/// What an analysis is of.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalysisMeta {
    file_info: FileInfo,
}

/// The names and the length of the file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "FileInfo")]
pub struct FileInfo {
    sha256: String,
    sha1: String,
    md5: String,
    size: u64,
}

/// How long to wait for completion.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Seconds to wait for the analysis to be completed, at most 60; the answer comes then in any
    /// case.
    wait: Option<u64>,
}

/// Shows an analysis, at once or as soon as it is completed.
#[utoipa::path(
    get, path = "/api/v3/analyses/{id}", tag = "analyses",
    params(("id" = String, Path, description = "`f-<sha256>-<number>` or base64 of `<md5>:<number>`"), Wait),
    responses((status = 200, body = AnalysisAnswer), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(Wait { wait }): Query<Wait>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<AnalysisAnswer>, ApiError> {
    let id = resolve(&app.api.store, &caller, &id)?;
    let seconds = wait.unwrap_or(0).min(MAX_WAIT_SECONDS);
    let analysis = completed(&app, id, Duration::from_secs(seconds)).await?;
    let blob = blob_of(&app.api.store, &analysis)?;
    let file_info = FileInfo {
        sha256: blob.digests.sha256.to_string(),
        sha1: blob.digests.sha1.to_string(),
        md5: blob.digests.md5.to_string(),
        size: blob.size_bytes,
    };
    Ok(Json(AnalysisAnswer {
        data: object(&app, &analysis, &base, &caller)?,
        meta: AnalysisMeta { file_info },
    }))
}

/// Shows the file an analysis is of.
#[utoipa::path(
    get, path = "/api/v3/analyses/{id}/item", tag = "analyses",
    params(("id" = String, Path, description = "Analysis id")),
    responses((status = 200, body = Answer<Object<FileAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn item(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<FileAttributes>>>, ApiError> {
    let analysis = find(&app.api.store, resolve(&app.api.store, &caller, &id)?)?;
    let blob = blob_of(&app.api.store, &analysis)?;
    let data = file_object(&app, &caller, &blob, &base)?;
    Ok(Json(Answer { data }))
}

/// Names the file an analysis is of.
#[utoipa::path(
    get, path = "/api/v3/analyses/{id}/relationships/item", tag = "analyses",
    params(("id" = String, Path, description = "Analysis id")),
    responses((status = 200, body = Answer<Descriptor>), (status = 404, body = ErrorBody))
)]
pub async fn item_descriptor(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Descriptor>>, ApiError> {
    let analysis = find(&app.api.store, resolve(&app.api.store, &caller, &id)?)?;
    let id = analysis.id.sha256.to_string();
    let links = Some(Links::to(base.url(&format!("/files/{id}"))));
    let data = Descriptor {
        kind: "file",
        id,
        links,
    };
    Ok(Json(Answer { data }))
}

/// Sends what an engine printed, as it printed it; who does not see all gets how it ended and the
/// lines that name the file.
#[utoipa::path(
    get, path = "/api/v3/acquit/analyses/{id}/raw/{engine}", tag = "analyses",
    params(
        ("id" = String, Path, description = "Analysis id"),
        ("engine" = String, Path, description = "Engine id"),
    ),
    responses(
        (status = 200, content_type = "text/plain", description = "How the engine ended, then its output"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn raw(
    State(app): State<Arc<App>>,
    Path((id, engine)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, ApiError> {
    let id = resolve(&app.api.store, &caller, &id)?;
    let none = || ApiError::not_found("there is no kept output of this engine in this analysis");
    let engine: EngineId = engine.parse().map_err(|_| none())?;
    let store = app.api.store.clone();
    let wanted = engine.clone();
    let read = tokio::task::spawn_blocking(move || read_raw(&store, &id, &wanted)).await;
    let read = read.map_err(|error| ApiError::internal(&error))??;
    let Printed { output, staged } = read.ok_or_else(none)?;
    let output = match caller.sees_all() {
        true => output,
        false => own_lines(&output, staged.as_deref()),
    };
    let name = format!("{id}-{engine}.txt");
    // The output may be that of a whole batch; this is the file's name in it.
    let staged = [("x-acquit-staged-name", staged.unwrap_or_default())];
    let mut response = (download::attachment(&name), staged, output).into_response();
    let plain = axum::http::HeaderValue::from_static("text/plain; charset=utf-8");
    let kind = axum::http::header::CONTENT_TYPE;
    response.headers_mut().insert(kind, plain);
    Ok(response)
}

/// What an engine printed, and the name under which it saw the file.
struct Printed {
    output: Vec<u8>,
    staged: Option<String>,
}

/// Leaves of an output how the engine ended and the lines that name a file: what else is in it may
/// be of other files of the batch, which may be anybody's.
fn own_lines(output: &[u8], staged: Option<&str>) -> Vec<u8> {
    let staged = staged.filter(|name| !name.is_empty());
    let is_own = |(number, line): &(usize, &[u8])| {
        let text = String::from_utf8_lossy(line);
        let is_end = ENDS.iter().any(|end| text.starts_with(end));
        (*number == 0 && is_end) || staged.is_some_and(|name| text.contains(name))
    };
    let lines = output.split_inclusive(|byte| *byte == b'\n');
    let own = lines.enumerate().filter(is_own);
    own.flat_map(|(_, line)| line.to_vec()).collect()
}

fn read_raw(
    store: &Store,
    id: &AnalysisId,
    engine: &EngineId,
) -> Result<Option<Printed>, StoreError> {
    let Some(result) = store.results(id)?.remove(engine) else {
        return Ok(None);
    };
    let Some(raw) = result.raw_output else {
        return Ok(None);
    };
    let output = store.raw_output(&raw)?;
    let staged = result.staged_name;
    Ok(output.map(|output| Printed { output, staged }))
}

/// Waits until an analysis is completed, or for as long as it is to be waited.
async fn completed(app: &App, id: AnalysisId, wait: Duration) -> Result<Analysis, ApiError> {
    let until = Instant::now() + wait;
    // Listening starts before looking, so that nothing is missed in between.
    let mut completions = app.api.completed.subscribe();
    loop {
        let analysis = find(&app.api.store, id)?;
        let done = analysis.status() == AnalysisStatus::Completed;
        if done || Instant::now() >= until {
            return Ok(analysis);
        }
        let woken =
            async { while !matches!(completions.recv().await, Ok(other) if other == id) {} };
        tokio::select! {
            _ = timeout_at(until, woken) => {}
            () = sleep(LOOK_AGAIN) => {}
            () = app.shutdown.cancelled() => return Ok(analysis),
        }
    }
}

/// Reads an analysis.
///
/// # Errors
/// If there is none of this name.
pub fn find(store: &Store, id: AnalysisId) -> Result<Analysis, ApiError> {
    store.analysis(&id)?.ok_or_else(|| not_found(&id))
}

fn not_found(id: &AnalysisId) -> ApiError {
    ApiError::not_found(format!("analysis {id} not found"))
}

fn blob_of(store: &Store, analysis: &Analysis) -> Result<BlobRow, ApiError> {
    let blob = store.blob(&FileHash::Sha256(analysis.id.sha256))?;
    blob.ok_or_else(|| ApiError::not_found("the file of this analysis is gone"))
}

/// Reads an analysis id in either of VirusTotal's forms; an analysis of a file that is not there
/// for the caller is none.
fn resolve(store: &Store, caller: &Caller, text: &str) -> Result<AnalysisId, ApiError> {
    if let Ok(id) = text.parse::<AnalysisId>() {
        return match caller.sees_blob(store, &id.sha256)? {
            true => Ok(id),
            false => Err(not_found(&id)),
        };
    }
    let invalid = || ApiError::invalid_argument(format!("{text:?} is no analysis id"));
    let (md5, number) = decode(text).ok_or_else(invalid)?;
    let none = || ApiError::not_found(format!("analysis {text:?} not found"));
    let blob = store.blob(&FileHash::Md5(md5))?.ok_or_else(none)?;
    let sha256 = blob.digests.sha256;
    if !caller.sees_blob(store, &sha256)? {
        return Err(none());
    }
    if number >= SECONDS_END {
        return Ok(AnalysisId { sha256, number });
    }
    // VirusTotal counts seconds where our numbers are milliseconds.
    let end = AnalysisId {
        sha256,
        number: (number + 1) * 1000,
    };
    let newest = store.analyses_of(&sha256, Some(&key(end)), 1)?.rows;
    let newest = newest.first().map(|analysis| analysis.id);
    let within = newest.filter(|id| id.number / 1000 == number);
    within.ok_or_else(none)
}

/// Returns the bytes the store sorts analyses by.
fn key(id: AnalysisId) -> Vec<u8> {
    [id.sha256.as_bytes().as_slice(), &id.number.to_be_bytes()].concat()
}

fn decode(text: &str) -> Option<(Md5, u64)> {
    let bare = text.trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(bare);
    let bytes = bytes.or_else(|_| URL_SAFE_NO_PAD.decode(bare)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (md5, number) = text.split_once(':')?;
    Some((md5.parse().ok()?, number.parse().ok()?))
}

/// Returns an analysis as an object.
///
/// # Errors
/// If the store fails.
pub fn object(
    app: &App,
    analysis: &Analysis,
    base: &Base,
    caller: &Caller,
) -> Result<Object<AnalysisAttributes>, ApiError> {
    let given = answers(&app.api.store, analysis)?;
    let stats = Stats::of_results(&given);
    let id = analysis.id.to_string();
    let links = Links {
        this: base.url(&format!("/analyses/{id}")),
        item: Some(base.url(&format!("/files/{}", analysis.id.sha256))),
    };
    let date = analysis.completed_at.unwrap_or(analysis.created_at);
    let known = KnownDistributors::find(&app.api.store, &analysis.id.sha256, caller)?;
    let (mut wire, mut results) = (stats.into(), named(app, given));
    let classification = ThreatClassification::find(&app.api.store, &analysis.id.sha256, &wire)?;
    if let Some(known) = &known {
        known.dispute(&mut wire, &mut results);
    }
    let attributes = AnalysisAttributes {
        status: analysis.status().as_str(),
        date: date.seconds(),
        stats: wire,
        results,
        known_distributors: known,
        popular_threat_classification: classification,
        coverage: Coverage::of(&stats, analysis.engines.len()),
    };
    Ok(Object {
        kind: "analysis",
        id,
        links,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::own_lines;

    #[track_caller]
    fn check(output: &str, staged: Option<&str>, expected: &str) {
        let own = own_lines(output.as_bytes(), staged);
        assert_eq!(String::from_utf8(own).unwrap(), expected);
    }

    #[test]
    fn output_of_a_batch_is_cut_down_to_the_file() {
        let output =
            "exit: 1\n--- stdout\n/scan/b/aa.exe: OK\n/scan/b/bb: Evil FOUND\n\n--- stderr\n";
        check(output, Some("bb"), "exit: 1\n/scan/b/bb: Evil FOUND\n");
        check(output, None, "exit: 1\n");
        check(output, Some(""), "exit: 1\n");
        check(
            "1: /scan/b/aa: OK\n2: /scan/b/bb: OK",
            Some("bb"),
            "2: /scan/b/bb: OK",
        );
        check("{\"files\": [1, 2]}", Some("bb"), "");
    }
}
