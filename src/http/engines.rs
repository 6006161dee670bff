//! Engines: how they fare, and the orders an administrator gives.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use utoipa::ToSchema;

use super::App;
use super::envelope::{Answer, Base, Collection, Links, Object};
use super::error::{ApiError, ErrorBody};
use super::signatures::SignatureAttributes;
use crate::model::{
    Control, EngineId, EngineStatus, EngineVersions, ProbeCheck, Reuse, Throughput,
};

/// How an engine fares.
#[derive(Debug, Serialize, ToSchema)]
pub struct EngineAttributes {
    /// Display name.
    name: String,
    /// Who makes it.
    vendor: String,
    /// What it looks at.
    description: String,
    /// Under which license it is, in the words of its manifest; nothing if that is not stated.
    license: Option<String>,
    /// Whose signatures it carries, if they are also another's: they are one opinion then.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<FamilyOf>,
    /// Where it is, if it is a server that is not in a container here: files go there.
    #[serde(skip_serializing_if = "Option::is_none")]
    outside: Option<OutsideOf>,
    /// `disabled`, `needs-consent`, `image-missing`, `proving`, `unproven`, `starting`, `ready`,
    /// `idle` or `backing-off`.
    state: &'static str,
    /// Whether a file given to it now would be scanned.
    can_scan: bool,
    /// Set on what names families by what other engines say, and looks at no file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    labeler: bool,
    /// What it scans with, read from its running container.
    versions: Option<Versions>,
    /// The last thing that went wrong.
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error_date: Option<u64>,
    /// Jobs that wait and somebody waits for.
    queued_interactive: u64,
    /// Jobs that wait for the night.
    queued_nightly: u64,
    /// Jobs under way.
    running: u64,
    /// Batches that may run at the same time.
    slots: u16,
    /// How its jobs ended since the daemon started.
    coverage: Jobs,
    /// What it got done in the last minutes.
    throughput: ThroughputOf,
    /// Memory its container may use, in mebibytes.
    memory_mb: u64,
    /// Memory its container uses, in mebibytes, as `docker stats` counts it, if one runs.
    memory_used_mb: Option<u64>,
    /// How its signatures fare, if they are not in its image.
    #[serde(skip_serializing_if = "Option::is_none")]
    signatures: Option<SignatureAttributes>,
    /// What the sandbox held against.
    probe: Vec<Check>,
}

/// What an engine scans with.
#[derive(Debug, Serialize, ToSchema)]
pub struct Versions {
    /// Program version, in the engine's own words.
    engine: Option<String>,
    /// Version of the signatures, in the engine's own words.
    signatures: Option<String>,
    /// Date of the signatures, `YYYYMMDD`.
    signatures_date: Option<String>,
    /// Content id of the image.
    image: String,
    /// The signature set, if it is not in the image.
    signature_set: Option<String>,
    /// Day on which the license ends, `YYYYMMDD`, where the engine tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    license_expires: Option<String>,
}

impl From<EngineVersions> for Versions {
    fn from(versions: EngineVersions) -> Self {
        Self {
            engine: versions.engine,
            signatures: versions.signatures,
            signatures_date: versions.signatures_date,
            image: versions.image,
            signature_set: versions.signature_set.map(|set| set.0),
            license_expires: versions.license_expires,
        }
    }
}

/// Engines that share signatures.
#[derive(Debug, Serialize, ToSchema)]
pub struct FamilyOf {
    /// The family's name.
    of: String,
    /// Where it is said.
    source: String,
}

/// A server that is not in a container here.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutsideOf {
    /// Its address.
    address: String,
    /// What goes there: `file` or `hash`.
    sends: String,
    /// The operator's words by which it may; without them nothing goes.
    consent: Option<String>,
}

/// How jobs ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct Jobs {
    /// With an answer.
    answered: u64,
    /// With a timeout or a failure.
    failed: u64,
}

/// What an engine got done lately.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThroughputOf {
    /// Files it answered for.
    files: u64,
    /// Their bytes.
    bytes: u64,
    /// Seconds that are looked back on; 300, or less when the daemon has just begun.
    seconds: u64,
    files_per_second: f64,
    bytes_per_second: f64,
}

impl From<Throughput> for ThroughputOf {
    fn from(done: Throughput) -> Self {
        let Throughput {
            files,
            bytes,
            seconds,
        } = done;
        let (files_per_second, bytes_per_second) = done.rates();
        Self {
            files,
            bytes,
            seconds,
            files_per_second,
            bytes_per_second,
        }
    }
}

/// One attempt to leave the sandbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct Check {
    /// What was tried.
    name: String,
    /// Whether the sandbox held.
    held: bool,
    /// What was seen.
    seen: String,
}

/// Lists the engines.
#[utoipa::path(
    get, path = "/api/v3/acquit/engines", tag = "engines",
    responses((status = 200, body = Collection<Object<EngineAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    base: Base,
) -> Json<Collection<Object<EngineAttributes>>> {
    let table = app.api.engines.borrow();
    let data = table.values().map(|status| object(status, &base)).collect();
    Json(Collection::whole(data, base.url("/acquit/engines")))
}

/// Shows an engine.
#[utoipa::path(
    get, path = "/api/v3/acquit/engines/{id}", tag = "engines",
    params(("id" = String, Path, description = "Engine id")),
    responses((status = 200, body = Answer<Object<EngineAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<EngineAttributes>>>, ApiError> {
    let (_, data) = find(&app, &id, &base)?;
    Ok(Json(Answer { data }))
}

/// Replaces an engine's container.
#[utoipa::path(
    post, path = "/api/v3/acquit/engines/{id}/restart", tag = "engines",
    params(("id" = String, Path, description = "Engine id")),
    responses((status = 200, body = Answer<Object<EngineAttributes>>), (status = 404, body = ErrorBody))
)]
pub async fn restart(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<EngineAttributes>>>, ApiError> {
    let (engine, data) = find(&app, &id, &base)?;
    order(&app, Control::Restart { engine })?;
    Ok(Json(Answer { data }))
}

/// What to analyze again; everything by every engine if it says nothing.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RescanOrder {
    /// Id of the one engine to ask; all enabled ones if absent.
    engine: Option<String>,
    /// `never` scans again although the same engines with the same signatures have answered.
    reuse: Option<String>,
}

/// A rescan that was ordered.
#[derive(Debug, Serialize, ToSchema)]
pub struct RescanAttributes {
    engine: Option<String>,
    reuse: &'static str,
}

/// Analyzes every file again, with the priority of the night.
#[utoipa::path(
    post, path = "/api/v3/acquit/rescan", tag = "engines",
    request_body = Option<RescanOrder>,
    responses((status = 200, body = Answer<Object<RescanAttributes>>))
)]
pub async fn rescan(
    State(app): State<Arc<App>>,
    base: Base,
    body: Bytes,
) -> Result<Json<Answer<Object<RescanAttributes>>>, ApiError> {
    let wanted: RescanOrder = parse_body(&body)?;
    let reuse = wanted.reuse.as_deref().unwrap_or("known");
    let reuse = super::upload::parse_reuse(reuse)?;
    let engine = wanted.engine.map(|id| find(&app, &id, &base)).transpose()?;
    let engine = engine.map(|(id, _)| id);
    let attributes = RescanAttributes {
        engine: engine.as_ref().map(ToString::to_string),
        reuse: match reuse {
            Reuse::Known => "known",
            Reuse::Never => "never",
        },
    };
    order(&app, Control::Rescan { engine, reuse })?;
    let data = Object {
        kind: "rescan",
        id: format!("rescan-{}", super::now().millis()),
        links: Links::to(base.url("/acquit/rescan")),
        attributes,
    };
    Ok(Json(Answer { data }))
}

/// Reads a JSON body; an empty one is the default.
///
/// # Errors
/// If it is no such JSON.
pub fn parse_body<T: serde::de::DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the body is not what it should be: {error}"))
    })
}

fn order(app: &App, control: Control) -> Result<(), ApiError> {
    app.api.control.try_send(control).map_err(|error| {
        ApiError::unavailable(match error {
            TrySendError::Full(_) => "too many orders are waiting; try again",
            TrySendError::Closed(_) => "the daemon is ending",
        })
    })
}

/// Reads the id of an engine that is here.
///
/// # Errors
/// If there is none of this name.
pub fn known(app: &App, id: &str) -> Result<EngineId, ApiError> {
    let none = || ApiError::not_found(format!("engine {id:?} not found"));
    let id: EngineId = id.parse().map_err(|_| none())?;
    let here = app.api.engines.borrow().contains_key(&id);
    here.then_some(id).ok_or_else(none)
}

fn find(
    app: &App,
    id: &str,
    base: &Base,
) -> Result<(EngineId, Object<EngineAttributes>), ApiError> {
    let none = || ApiError::not_found(format!("engine {id:?} not found"));
    let id: EngineId = id.parse().map_err(|_| none())?;
    let table = app.api.engines.borrow();
    let status = table.get(&id).ok_or_else(none)?;
    Ok((id.clone(), object(status, base)))
}

fn object(status: &EngineStatus, base: &Base) -> Object<EngineAttributes> {
    let id = status.id.to_string();
    let links = Links::to(base.url(&format!("/acquit/engines/{id}")));
    let kind = "engine";
    Object {
        kind,
        id,
        links,
        attributes: attributes(status.clone()),
    }
}

fn attributes(status: EngineStatus) -> EngineAttributes {
    EngineAttributes {
        state: status.state.as_str(),
        can_scan: status.can_scan(),
        labeler: status.labeler,
        versions: status.versions.map(Versions::from),
        name: status.name,
        vendor: status.vendor,
        description: status.description,
        license: status.license,
        family: status.family.map(|family| FamilyOf {
            of: family.of,
            source: family.source,
        }),
        outside: status.outside.map(|outside| OutsideOf {
            address: outside.address,
            sends: outside.sends,
            consent: outside.consent,
        }),
        last_error: status.last_error,
        last_error_date: status.last_error_at.map(|at| at.seconds()),
        queued_interactive: status.queued_interactive,
        queued_nightly: status.queued_nightly,
        running: status.running,
        slots: status.slots,
        coverage: Jobs {
            answered: status.answered,
            failed: status.failed,
        },
        throughput: ThroughputOf::from(status.throughput),
        memory_mb: status.memory_mb,
        memory_used_mb: status.memory_used_mb,
        signatures: status.signatures.map(SignatureAttributes::from),
        probe: status.probe.into_iter().map(check).collect(),
    }
}

fn check(check: ProbeCheck) -> Check {
    let ProbeCheck { name, held, seen } = check;
    Check { name, held, seen }
}
