//! Files: upload, look-up by any hash, new analyses, download.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::analyses::{self, AnalysisAttributes};
use super::auth::Caller;
use super::egress::{self, Parting, Story};
use super::envelope::{
    Answer, Base, Collection, Descriptor, Links, Object, PageQuery, Paging, invalid_cursor,
};
use super::error::{ApiError, ErrorBody};
use super::results::{
    Coverage, EngineAnswer, KnownDistributors, ThreatClassification, WireStats, answers, named,
};
use super::{App, now, upload};
use crate::flow::ingest::Submission;
use crate::model::{Analysis, EngineId, EngineResult, FileHash, Priority, Reuse, Stats};
use crate::store::{BlobRow, Page};

/// The form an upload comes as.
#[derive(Debug, ToSchema)]
#[expect(
    dead_code,
    reason = "only described: the form itself is never in memory"
)]
pub struct UploadForm {
    /// The file.
    #[schema(content_media_type = "application/octet-stream")]
    file: Vec<u8>,
    /// Ids of the engines to ask, separated by commas; all enabled ones if absent.
    engines: Option<String>,
    /// `never` scans again although the same engines with the same signatures have answered.
    reuse: Option<String>,
}

/// What is known of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileAttributes {
    sha256: String,
    sha1: String,
    md5: String,
    /// Bytes.
    size: u64,
    /// Names it came under, newest first.
    names: Vec<String>,
    /// The newest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    meaningful_name: Option<String>,
    /// What its first bytes say it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    type_tag: Option<String>,
    first_submission_date: u64,
    last_submission_date: u64,
    last_modification_date: u64,
    times_submitted: u64,
    tags: Vec<String>,
    reputation: i64,
    total_votes: Votes,
    downloadable: bool,
    /// Whose software it is, if it is anybody's here.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_distributors: Option<KnownDistributors>,
    /// What family the detections are of, once that is found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    popular_threat_classification: Option<ThreatClassification>,
    #[serde(flatten)]
    last_analysis: Option<LastAnalysis>,
}

/// The newest complete analysis; absent as a whole until there is one.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastAnalysis {
    /// When it was completed.
    pub last_analysis_date: u64,
    last_analysis_stats: WireStats,
    /// What every engine said last, by display name.
    pub last_analysis_results: BTreeMap<String, EngineAnswer>,
    /// How many engines the counts stand on, of those asked or enabled now.
    pub coverage: Coverage,
}

/// VirusTotal's votes; there are none here.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Votes {
    harmless: u64,
    malicious: u64,
}

/// Takes a file in and opens its analysis.
#[utoipa::path(
    post, path = "/api/v3/files", tag = "files",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 200, body = Answer<Descriptor>),
        (status = 413, body = ErrorBody, description = "Larger files go to an upload URL"),
        (status = 507, body = ErrorBody, description = "No room"),
    )
)]
pub async fn submit(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    base: Base,
    request: Request,
) -> Result<Json<Answer<Descriptor>>, ApiError> {
    let limit_bytes = app.api.config.http.direct_upload_mb << 20;
    let (analysis, _) = upload::receive(&app, &caller, request, limit_bytes).await?;
    Ok(opened(&analysis, &base))
}

/// Answers with the name of an analysis that was opened.
pub fn opened(analysis: &Analysis, base: &Base) -> Json<Answer<Descriptor>> {
    let id = analysis.id.to_string();
    let links = Some(Links {
        this: base.url(&format!("/analyses/{id}")),
        item: Some(base.url(&format!("/files/{}", analysis.id.sha256))),
    });
    let kind = "analysis";
    Json(Answer {
        data: Descriptor { kind, id, links },
    })
}

/// Shows a file.
#[utoipa::path(
    get, path = "/api/v3/files/{id}", tag = "files",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5")),
    responses((status = 200, body = Answer<Object<FileAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<FileAttributes>>>, ApiError> {
    let data = file_object(&app, &caller, &find(&app, &caller, &id)?, &base)?;
    Ok(Json(Answer { data }))
}

/// What is asked of a new analysis.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AnalyseQuery {
    /// Ids of the engines to ask, separated by commas; all enabled ones if absent.
    engines: Option<String>,
    /// `never` scans again although the same engines with the same signatures have answered.
    reuse: Option<String>,
}

/// Analyzes a file again that is here already.
#[utoipa::path(
    post, path = "/api/v3/files/{id}/analyse", tag = "files",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5"), AnalyseQuery),
    responses((status = 200, body = Answer<Descriptor>), (status = 404, body = ErrorBody))
)]
pub async fn analyse(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<AnalyseQuery>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Descriptor>>, ApiError> {
    let blob = find(&app, &caller, &id)?;
    let reuse = query.reuse.as_deref().map(upload::parse_reuse);
    let submission = Submission {
        name: None,
        engines: upload::parse_engines(query.engines.as_deref().unwrap_or(""))?,
        priority: Priority::Interactive,
        reuse: reuse.transpose()?.unwrap_or(Reuse::Known),
        now: now(),
    };
    let opening = app.api.ingest.reanalyze(blob.digests.sha256, submission);
    let analysis = opening.await?.ok_or_else(|| not_found(&id))?;
    Ok(opened(&analysis, &base))
}

/// Lists the analyses of a file, newest first.
#[utoipa::path(
    get, path = "/api/v3/files/{id}/analyses", tag = "files",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5"), PageQuery),
    responses((status = 200, body = Collection<Object<AnalysisAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn analyses(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    paging: Paging,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Object<AnalysisAttributes>>>, ApiError> {
    let (blob, page) = page(&app, &caller, &id, &paging)?;
    let objects = page.rows.iter();
    let objects = objects.map(|analysis| analyses::object(&app, analysis, &base, &caller));
    let url = base.url(&format!("/files/{}/analyses", blob.digests.sha256));
    let data = objects.collect::<Result<_, _>>()?;
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Lists the names of the analyses of a file, newest first.
#[utoipa::path(
    get, path = "/api/v3/files/{id}/relationships/analyses", tag = "files",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5"), PageQuery),
    responses((status = 200, body = Collection<Descriptor>), (status = 404, body = ErrorBody))
)]
pub async fn analysis_descriptors(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    paging: Paging,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Descriptor>>, ApiError> {
    let (blob, page) = page(&app, &caller, &id, &paging)?;
    let sha256 = blob.digests.sha256;
    let url = base.url(&format!("/files/{sha256}/relationships/analyses"));
    let descriptors = page.rows.iter();
    let descriptors = descriptors.map(|analysis| opened(analysis, &base).0.data);
    let data = descriptors.collect();
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Sends a file's bytes.
#[utoipa::path(
    get, path = "/api/v3/files/{id}/download", tag = "files",
    params(("id" = String, Path, description = "SHA-256, SHA-1 or MD5")),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The bytes"),
        (status = 206, content_type = "application/octet-stream", description = "A range of them"),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn download(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let sha256 = find(&app, &caller, &id)?.digests.sha256;
    let parting = Parting::by_hash(&app.api.store, &caller, sha256)?;
    let sent = egress::send(&app, parting, (&method, &headers)).await?;
    Ok(sent.0)
}

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// A SHA-256, SHA-1 or MD5.
    query: String,
}

/// Finds a file by its hash.
#[utoipa::path(
    get, path = "/api/v3/search", tag = "files", params(SearchQuery),
    responses((status = 200, body = Collection<Object<FileAttributes>>))
)]
pub async fn search(
    State(app): State<Arc<App>>,
    Query(SearchQuery { query }): Query<SearchQuery>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Object<FileAttributes>>>, ApiError> {
    let hash = parse_hash(query.trim())?;
    let blob = visible(&app, &caller, &hash)?;
    let objects = blob
        .iter()
        .map(|blob| file_object(&app, &caller, blob, &base));
    let data = objects.collect::<Result<_, _>>()?;
    let url = base.url(&format!("/search?query={}", query.trim()));
    Ok(Json(Collection::whole(data, url)))
}

/// Finds a blob by any of its hashes, if it is there for the caller.
///
/// # Errors
/// If it is none, or there is no such blob, which to others than its owners is the same.
pub fn find(app: &App, caller: &Caller, id: &str) -> Result<BlobRow, ApiError> {
    let blob = visible(app, caller, &parse_hash(id)?)?;
    blob.ok_or_else(|| not_found(id))
}

fn visible(app: &App, caller: &Caller, hash: &FileHash) -> Result<Option<BlobRow>, ApiError> {
    let store = &app.api.store;
    match store.blob(hash)? {
        Some(blob) if caller.sees_blob(store, &blob.digests.sha256)? => Ok(Some(blob)),
        Some(_) | None => Ok(None),
    }
}

fn parse_hash(text: &str) -> Result<FileHash, ApiError> {
    text.parse()
        .map_err(|error| ApiError::invalid_argument(format!("{text:?} is {error}")))
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("File {id:?} not found"))
}

fn page(
    app: &App,
    caller: &Caller,
    id: &str,
    paging: &Paging,
) -> Result<(BlobRow, Page<Analysis>), ApiError> {
    let blob = find(app, caller, id)?;
    let sha256 = blob.digests.sha256;
    let ours = |key: &Vec<u8>| key.len() == 40 && key.starts_with(sha256.as_bytes());
    if paging.cursor.as_ref().is_some_and(|key| !ours(key)) {
        return Err(invalid_cursor());
    }
    let before = paging.cursor.as_deref();
    let page = app.api.store.analyses_of(&sha256, before, paging.limit)?;
    Ok((blob, page))
}

/// Returns a file as an object.
///
/// # Errors
/// If the store fails.
pub fn file_object(
    app: &App,
    caller: &Caller,
    blob: &BlobRow,
    base: &Base,
) -> Result<Object<FileAttributes>, ApiError> {
    let mut last = last_analysis(app, blob)?;
    let known = KnownDistributors::find(&app.api.store, &blob.digests.sha256, caller)?;
    if let (Some(known), Some(last)) = (&known, &mut last) {
        known.dispute(
            &mut last.last_analysis_stats,
            &mut last.last_analysis_results,
        );
    }
    let stats = last.as_ref().map(|last| &last.last_analysis_stats);
    let label = |stats| ThreatClassification::find(&app.api.store, &blob.digests.sha256, stats);
    let classification = stats.map(label).transpose()?.flatten();
    let id = blob.digests.sha256.to_string();
    let analyzed = last.as_ref().map_or(0, |last| last.last_analysis_date);
    let story = Story::of(&app.api.store, caller, blob)?;
    let submitted = story.last.seconds();
    let attributes = FileAttributes {
        sha256: id.clone(),
        sha1: blob.digests.sha1.to_string(),
        md5: blob.digests.md5.to_string(),
        size: blob.size_bytes,
        meaningful_name: story.names.first().cloned(),
        names: story.names,
        type_tag: blob.type_tag.clone(),
        first_submission_date: story.first.seconds(),
        last_submission_date: submitted,
        last_modification_date: submitted.max(analyzed),
        times_submitted: story.times,
        tags: known
            .iter()
            .map(|_| "known-distributor".to_owned())
            .collect(),
        reputation: 0,
        total_votes: Votes::default(),
        downloadable: true,
        known_distributors: known,
        popular_threat_classification: classification,
        last_analysis: last,
    };
    let links = Links::to(base.url(&format!("/files/{id}")));
    let kind = "file";
    Ok(Object {
        kind,
        id,
        links,
        attributes,
    })
}

/// Returns the newest complete analysis of a blob.
///
/// # Errors
/// If the store fails.
pub fn last_analysis(app: &App, blob: &BlobRow) -> Result<Option<LastAnalysis>, ApiError> {
    let Some(id) = blob.last_analysis else {
        return Ok(None);
    };
    let analysis = analyses::find(&app.api.store, id)?;
    let given = last_words(app, &analysis)?;
    let stats = Stats::of_results(&given);
    let date = analysis.completed_at.unwrap_or(analysis.created_at);
    Ok(Some(LastAnalysis {
        last_analysis_date: date.seconds(),
        last_analysis_stats: stats.into(),
        last_analysis_results: named(app, given),
        coverage: Coverage::of(&stats, enabled(app, &analysis)),
    }))
}

/// Returns what every engine said last.
///
/// A rescan asks only the engines that have something new to scan with; the others' last words
/// still hold.
fn last_words(
    app: &App,
    analysis: &Analysis,
) -> Result<BTreeMap<EngineId, EngineResult>, ApiError> {
    let mut given = answers(&app.api.store, analysis)?;
    let others = app.api.engines.borrow();
    let others = others
        .iter()
        .filter(|(_, status)| status.state.takes_part());
    let others: BTreeSet<_> = others
        .map(|(id, _)| id.clone())
        .filter(|id| !analysis.engines.contains(id))
        .collect();
    let last = app.api.store.last_results(&analysis.id.sha256, &others)?;
    given.extend(last);
    Ok(given)
}

/// Counts the engines that should have answered: those asked and those enabled since.
fn enabled(app: &App, analysis: &Analysis) -> usize {
    let table = app.api.engines.borrow();
    let more = table
        .values()
        .filter(|status| status.state.takes_part() && !analysis.engines.contains(&status.id));
    analysis.engines.len() + more.count()
}
