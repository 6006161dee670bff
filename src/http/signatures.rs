//! Signature sets: which there are, what the canary saw of them, and the orders about them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::auth::Caller;
use super::engines::{Versions, known, parse_body};
use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging};
use super::error::{ApiError, ErrorBody};
use super::updates::{UpdateAttributes, update_object};
use crate::model::{
    CanaryReport, EngineId, Evidence, Progress, SetSource, SignatureSet, SignatureSetId,
    SignatureStatus, Verdict,
};
use crate::store::{RowKey, SETS, Store, StoreError, engine_prefix};

/// Most sets of an engine that are read to show the newest.
const MOST_SETS: usize = 20_000;

/// How an engine's signatures fare.
#[derive(Debug, Serialize, ToSchema)]
pub struct SignatureAttributes {
    /// The set in service.
    active: Option<String>,
    /// When it came; seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    active_date: Option<u64>,
    /// The set before it, to which a rollback leads.
    previous: Option<String>,
    /// Whether an administrator holds it in service.
    held: bool,
    /// Whether the engine can be updated at all.
    updatable: bool,
    /// The update under way.
    updating: Option<Updating>,
    /// When the last update began.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_date: Option<u64>,
    /// How it ended: `unchanged`, `promoted`, `rejected`, `failed` or `interrupted`.
    last_outcome: Option<String>,
    /// When the engine was last known to have the newest signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_date: Option<u64>,
    /// Updates that failed or were rejected since.
    failures: u32,
    /// When the next update is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_update_date: Option<u64>,
}

/// An update under way.
#[derive(Debug, Serialize, ToSchema)]
pub struct Updating {
    /// Its number.
    number: u64,
    /// `download`, `canary` or `promotion`.
    phase: String,
    /// When it began.
    start_date: u64,
    /// Bytes the candidate has that the active set has not.
    new_bytes: u64,
    /// Bytes its command has printed; its `output` shows the end of them.
    output_bytes: u64,
}

impl From<SignatureStatus> for SignatureAttributes {
    fn from(status: SignatureStatus) -> Self {
        Self {
            active: status.active.map(|set| set.0),
            active_date: status.active_since.map(|at| at.seconds()),
            previous: status.previous.map(|set| set.0),
            held: status.held,
            updatable: status.updatable,
            updating: status.updating.map(Updating::from),
            last_update_date: status.last_update_at.map(|at| at.seconds()),
            last_outcome: status.last_outcome.map(|outcome| outcome.as_str()),
            last_success_date: status.last_success_at.map(|at| at.seconds()),
            failures: status.failures,
            next_update_date: status.next_update_at.map(|at| at.seconds()),
        }
    }
}

impl From<Progress> for Updating {
    fn from(progress: Progress) -> Self {
        Self {
            number: progress.number,
            phase: progress.phase.as_str(),
            start_date: progress.started_at.seconds(),
            new_bytes: progress.new_bytes,
            output_bytes: progress.output_bytes,
        }
    }
}

/// What is known of a signature set.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetAttributes {
    /// Id of its engine.
    engine: String,
    /// `candidate`, `active`, `retired` or `rejected`.
    state: &'static str,
    /// Since when.
    state_date: u64,
    /// When it came.
    creation_date: u64,
    /// `seed`, `update` or `bundle`.
    source: &'static str,
    /// Number of the update it came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<u64>,
    /// The key that signed the bundle it came in.
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle_key: Option<String>,
    /// Digest of its files.
    digest: String,
    /// How many files it has.
    files: u64,
    /// Their size in bytes.
    size: u64,
    /// Bytes it does not share with the set it was made from.
    own_size: u64,
    /// The set it was made from.
    parent: Option<String>,
    /// What the engine says of itself with this set.
    versions: Option<Versions>,
    /// What the canary saw.
    canary: Option<Canary>,
    /// Why it was rejected.
    reason: Option<String>,
    /// Rules the update left out because they do not compile.
    left_out: Vec<LeftOut>,
    /// Whether its files are still here.
    on_disk: bool,
}

/// A rule file, or a part of it, that is not in a set.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftOut {
    name: String,
    /// Why.
    reason: String,
}

/// What the canary saw of a candidate.
#[derive(Debug, Serialize, ToSchema)]
pub struct Canary {
    /// When.
    date: u64,
    /// Whether the candidate may serve.
    passed: bool,
    /// Known-bad files shown.
    known_bad: u64,
    /// Known-good files shown.
    known_good: u64,
    /// Why the candidate may not serve.
    evidence: Vec<CanaryFile>,
    /// Files that were answered otherwise and say nothing against the candidate.
    passed_over: Vec<CanaryFile>,
}

/// One file the canary was shown.
#[derive(Debug, Serialize, ToSchema)]
pub struct CanaryFile {
    /// The file, as the operator knows it.
    file: String,
    /// Absent for a reference that is not there for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// `detection` or `silence`.
    expected: String,
    #[serde(flatten)]
    seen: Word,
}

/// What an engine said.
#[derive(Debug, Serialize, ToSchema)]
pub struct Word {
    /// VirusTotal's word for it.
    pub category: &'static str,
    /// The engine's own name for what it found.
    pub result: Option<String>,
    /// Why there is no answer on the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Verdict> for Word {
    fn from(verdict: Verdict) -> Self {
        Self {
            category: verdict.category(),
            result: verdict.name().map(ToString::to_string),
            reason: verdict.reason().map(str::to_owned),
        }
    }
}

/// Lists the signature sets of an engine, newest first.
#[utoipa::path(
    get, path = "/api/v3/acquit/engines/{id}/signature_sets", tag = "signatures",
    params(("id" = String, Path, description = "Engine id"), PageQuery),
    responses((status = 200, body = Collection<Object<SetAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<SetAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let (sets, next) = paging.cut(by_age(&app.api.store, &engine)?);
    let data = sets.into_iter();
    let data = data.map(|set| shown(&app, &caller, set, &base));
    let data = data.collect::<Result<_, _>>()?;
    let url = base.url(&format!("/acquit/engines/{engine}/signature_sets"));
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Shows a signature set.
#[utoipa::path(
    get, path = "/api/v3/acquit/engines/{id}/signature_sets/{set}", tag = "signatures",
    params(
        ("id" = String, Path, description = "Engine id"),
        ("set" = String, Path, description = "Signature set"),
    ),
    responses((status = 200, body = Answer<Object<SetAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path((id, set)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<Object<SetAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let key = (engine, SignatureSetId(set));
    let none = || ApiError::not_found(format!("{} has no signature set {:?}", key.0, key.1.0));
    let set = app.api.store.get(&SETS, &key)?.ok_or_else(none)?;
    let data = shown(&app, &caller, set, &base)?;
    Ok(Json(Answer { data }))
}

/// A set and what it sorts by.
type Aged = (Vec<u8>, SignatureSet);

/// Reads an engine's sets with what they sort by: when they came.
fn by_age(store: &Store, engine: &EngineId) -> Result<Vec<Aged>, StoreError> {
    let page = store.list(&SETS, (&engine_prefix(engine), None), MOST_SETS)?;
    let aged = |set: SignatureSet| {
        (
            [set.created_at.millis().to_bytes(), set.id.to_bytes()].concat(),
            set,
        )
    };
    Ok(page.rows.into_iter().map(|(_, set)| aged(set)).collect())
}

/// Begins an update and shows it as it begins.
#[utoipa::path(
    post, path = "/api/v3/acquit/engines/{id}/update", tag = "signatures",
    params(("id" = String, Path, description = "Engine id")),
    responses(
        (status = 200, body = Answer<Object<UpdateAttributes>>),
        (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody, description = "An update is under way, or the signatures are held or part of the image"),
    )
)]
pub async fn update(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<UpdateAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let update = app.api.desk.update(&engine).await?;
    let data = update_object(update, &base);
    Ok(Json(Answer { data }))
}

/// Goes back to the set before the active one, and holds it.
#[utoipa::path(
    post, path = "/api/v3/acquit/engines/{id}/rollback", tag = "signatures",
    params(("id" = String, Path, description = "Engine id")),
    responses((status = 200, body = Answer<Object<SetAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn rollback(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<SetAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let data = set_object(app.api.desk.rollback(&engine).await?, &base);
    Ok(Json(Answer { data }))
}

/// Which set to put into service; it may also be in VirusTotal's `data`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PromoteOrder {
    /// Its id.
    signature_set: Option<String>,
    #[schema(ignore)]
    data: Option<Box<PromoteOrder>>,
}

/// Puts a set into service, whatever the canary said.
#[utoipa::path(
    post, path = "/api/v3/acquit/engines/{id}/promote", tag = "signatures",
    params(("id" = String, Path, description = "Engine id")), request_body = PromoteOrder,
    responses((status = 200, body = Answer<Object<SetAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn promote(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<SetAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let order: PromoteOrder = parse_body(&body)?;
    let set = order.signature_set;
    let set = set.or_else(|| order.data.and_then(|data| data.signature_set));
    let set = set.ok_or_else(|| ApiError::bad_request("the body must name a signature_set"))?;
    let promoted = app.api.desk.promote(&engine, SignatureSetId(set)).await?;
    let data = set_object(promoted, &base);
    Ok(Json(Answer { data }))
}

/// Keeps the active set in service until it is released.
#[utoipa::path(
    post, path = "/api/v3/acquit/engines/{id}/hold", tag = "signatures",
    params(("id" = String, Path, description = "Engine id")),
    responses((status = 200, body = Answer<Object<SetAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn hold(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<SetAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let data = set_object(app.api.desk.hold(&engine).await?, &base);
    Ok(Json(Answer { data }))
}

/// Lets updates go on.
#[utoipa::path(
    post, path = "/api/v3/acquit/engines/{id}/release", tag = "signatures",
    params(("id" = String, Path, description = "Engine id")),
    responses((status = 200, body = Answer<Object<SetAttributes>>), (status = 409, body = ErrorBody))
)]
pub async fn release(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<SetAttributes>>>, ApiError> {
    let engine = known(&app, &id)?;
    let data = set_object(app.api.desk.release(&engine).await?, &base);
    Ok(Json(Answer { data }))
}

/// Returns a set as an object, without the names of references that are not there for the caller.
fn shown(
    app: &App,
    caller: &Caller,
    set: SignatureSet,
    base: &Base,
) -> Result<Object<SetAttributes>, ApiError> {
    let reports = set.canary.iter();
    let files = reports.flat_map(|report| report.evidence.iter().chain(&report.passed_over));
    let mut hidden = BTreeSet::new();
    for evidence in files.filter(|evidence| evidence.is_reference()) {
        if !caller.sees_blob(&app.api.store, &evidence.sha256)? {
            hidden.insert(evidence.sha256.to_string());
        }
    }
    let mut object = set_object(set, base);
    if let Some(canary) = &mut object.attributes.canary {
        for file in canary.evidence.iter_mut().chain(&mut canary.passed_over) {
            if file
                .sha256
                .as_ref()
                .is_some_and(|sha256| hidden.contains(sha256))
            {
                file.file = "a reference".to_owned();
                file.sha256 = None;
            }
        }
    }
    Ok(object)
}

fn set_object(set: SignatureSet, base: &Base) -> Object<SetAttributes> {
    let id = set.id.0.clone();
    let path = format!("/acquit/engines/{}/signature_sets/{id}", set.engine);
    Object {
        kind: "signature_set",
        id,
        links: Links::to(base.url(&path)),
        attributes: set_attributes(set),
    }
}

fn set_attributes(set: SignatureSet) -> SetAttributes {
    let source = set.source.as_str();
    let (update, bundle_key) = match set.source {
        SetSource::Seed => (None, None),
        SetSource::Update { number } => (Some(number), None),
        SetSource::Bundle { key } => (None, Some(key)),
    };
    let left_out = set.left_out.into_iter().map(|left| LeftOut {
        name: left.name,
        reason: left.reason,
    });
    SetAttributes {
        engine: set.engine.to_string(),
        state: set.state.as_str(),
        state_date: set.state_at.seconds(),
        creation_date: set.created_at.seconds(),
        source,
        update,
        bundle_key,
        digest: set.digest,
        files: set.files,
        size: set.size_bytes,
        own_size: set.own_bytes,
        parent: set.parent.map(|parent| parent.0),
        versions: set.versions.map(Versions::from),
        canary: set.canary.map(canary),
        reason: set.reason,
        left_out: left_out.collect(),
        on_disk: set.on_disk,
    }
}

fn canary(report: CanaryReport) -> Canary {
    Canary {
        date: report.at.seconds(),
        passed: report.is_fine(),
        known_bad: report.bad,
        known_good: report.good,
        evidence: report.evidence.into_iter().map(canary_file).collect(),
        passed_over: report.passed_over.into_iter().map(canary_file).collect(),
    }
}

fn canary_file(evidence: Evidence) -> CanaryFile {
    CanaryFile {
        file: evidence.file,
        sha256: Some(evidence.sha256.to_string()),
        expected: evidence.expected.as_str(),
        seen: evidence.verdict.into(),
    }
}
