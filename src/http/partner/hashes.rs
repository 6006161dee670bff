//! Hashes: the blobs that a vendor's engines detect now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Answer, Base, Collection, Descriptor, Links, Paging, invalid_cursor};
use super::super::error::{ApiError, ErrorBody};
use super::super::results::{EngineAnswer, named};
use super::{Asking, asking, display_name, failed, not_found, own_engine, see};
use super::{analyses, comments, items};
use crate::flow::policy::Sight;
use crate::flow::vendor::{Found, Ignored, Selection, hashes, is_ignored, requests};
use crate::model::{EngineId, FileHash, Sha256, SharePolicy, Standing};
use crate::store::{STANDINGS, StoreError};

/// VirusTotal's own script asks for up to so many.
const MAX_LIMIT: i64 = 100;
const DEFAULT_LIMIT: i64 = 10;
/// Related objects named within an object; the relationship's own URL has them all.
const INLINE: usize = 40;

/// A hash, as VirusTotal's partners know it.
#[derive(Debug, Serialize, ToSchema)]
pub struct HashObject {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    links: Links,
    attributes: HashAttributes,
    #[serde(skip_serializing_if = "Option::is_none")]
    relationships: Option<BTreeMap<&'static str, Collection<Descriptor>>>,
}

/// What a vendor is told of a blob.
#[derive(Debug, Serialize, ToSchema)]
pub struct HashAttributes {
    sha256: String,
    sha1: String,
    md5: String,
    /// Bytes.
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_analysis_date: Option<u64>,
    /// Since when the first of the vendor's engines detects it without a break.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_detection_date: Option<u64>,
    /// How many of the vendor's engines detect it.
    last_detections_count: usize,
    /// What the vendor's engines said last, by display name.
    last_analysis_results: BTreeMap<String, EngineAnswer>,
    /// The vendor's engines that detect it, by display name.
    detections: BTreeMap<String, OwnDetection>,
    /// How many other engines found nothing when they looked last.
    other_engines_silent_count: usize,
    /// Which those are; only where the owner gives out the file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_engines_silent: Option<Vec<String>>,
    /// `available`, `requested`, `on-request`, `refused` or `metadata-only`.
    file_access: &'static str,
    tags: Vec<String>,
}

/// One engine's standing detection.
#[derive(Debug, Serialize, ToSchema)]
pub struct OwnDetection {
    /// The engine's own name for it.
    result: String,
    since_date: u64,
    engine_version: Option<String>,
    engine_update: Option<String>,
    signature_set: Option<String>,
    /// Whether the vendor stands by it.
    confirmed: bool,
}

/// Which hashes are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// `engine:<name>`, several times for any of them, and `tag:ignored` for what the vendor
    /// stands by, which is left out else.
    filter: Option<String>,
    /// `items`, `comments`, `analyses`: named within each hash.
    relationships: Option<String>,
    /// Objects on a page, 1 to 100; beyond that the nearest.
    #[param(value_type = Option<i64>)]
    limit: Option<String>,
    /// `meta.cursor` of the page before.
    cursor: Option<String>,
}

/// Lists the hashes that the vendor's engines detect now.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/hashes", tag = "partner", params(ListQuery),
    responses((status = 200, body = Collection<HashObject>), (status = 403, body = ErrorBody))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ListQuery>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<HashObject>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let selection = selection(&app, &asking, query.filter.as_deref().unwrap_or(""))?;
    let wanted = relations(query.relationships.as_deref())?;
    let (paging, after) = paging(&query)?;
    let (store, vendor) = (app.api.store.clone(), asking.vendor.clone());
    let (picked, limit) = (selection.clone(), paging.limit);
    let walk = move || hashes(&store, &vendor, &picked, (after, limit + 1));
    let found = tokio::task::spawn_blocking(walk).await;
    let found = found.map_err(|error| ApiError::internal(&error))?;
    let mut found = found.map_err(|error| failed(error, ""))?;
    let more = found.len() > limit;
    found.truncate(limit);
    let shown = found.iter().map(|found| (&found.sha256, &found.sight));
    let shown: Vec<_> = shown.collect();
    app.shown.note(&app, &asking.analyst, &shown).await?;
    let last = found.last().map(|found| found.sha256.as_bytes().to_vec());
    let objects = found.iter().filter_map(|Found { sha256, sight }| {
        object(&app, &asking, (sha256, sight), (&base, &wanted)).transpose()
    });
    let data = objects.collect::<Result<Vec<_>, _>>()?;
    // Never an empty page with a cursor.
    let next = last.filter(|_| more && !data.is_empty());
    let url = base.url(&format!(
        "/monitor_partner/hashes{}",
        words(&selection, &query, &wanted)
    ));
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Shows one hash that the vendor's engines detect now.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/hashes/{sha256}", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256")),
    responses((status = 200, body = Answer<HashObject>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<ListQuery>,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Answer<HashObject>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let wanted = relations(query.relationships.as_deref())?;
    let (sha256, sight) = see(&app, &asking, &id).await?;
    let data = object(&app, &asking, (&sha256, &sight), (&base, &wanted))?;
    let data = data.ok_or_else(|| not_found(&id))?;
    Ok(Json(Answer { data }))
}

/// Names the objects related to a hash.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/hashes/{sha256}/relationships/{relationship}",
    tag = "partner",
    params(
        ("sha256" = String, Path, description = "SHA-256"),
        ("relationship" = String, Path, description = "`items`, `analyses` or `comments`"),
    ),
    responses((status = 200, body = Collection<Descriptor>), (status = 404, body = ErrorBody))
)]
pub async fn descriptors(
    State(app): State<Arc<App>>,
    Path((id, relationship)): Path<(String, String)>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Descriptor>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, sight) = see(&app, &asking, &id).await?;
    let relation = relations(Some(&relationship))?;
    let relation = relation.first().ok_or_else(|| unknown(&relationship))?;
    let place = (&sha256, &sight);
    related(&app, &asking, place, (relation, &paging, &base)).map(Json)
}

fn unknown(relationship: &str) -> ApiError {
    ApiError::invalid_argument(format!(
        "a hash has no relationship {relationship:?}, only items, analyses and comments"
    ))
}

fn relations(text: Option<&str>) -> Result<Vec<&'static str>, ApiError> {
    let names = text.unwrap_or("").split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    let known = names.map(|name| match name {
        "items" => Ok("items"),
        "analyses" => Ok("analyses"),
        "comments" => Ok("comments"),
        name => Err(unknown(name)),
    });
    known.collect()
}

/// Returns one page of the names of what is related to a hash.
fn related(
    app: &App,
    asking: &Asking,
    (sha256, sight): (&Sha256, &Sight),
    (relation, paging, base): (&&'static str, &Paging, &Base),
) -> Result<Collection<Descriptor>, ApiError> {
    let (named, next) = match *relation {
        "items" => {
            let (items, next) = items::page(sight, paging)?;
            let ids = items.into_iter().map(|item| item.id.to_string());
            (("monitor_item", ids.collect::<Vec<_>>()), next)
        }
        "analyses" => {
            let (analyses, next) = analyses::page(app, asking, (sha256, paging))?;
            let ids = analyses.iter().map(|analysis| analyses::id(analysis.id));
            (("monitor_analysis", ids.collect()), next)
        }
        _ => {
            let comments = comments::own(app, sha256, sight)?;
            let ids = comments
                .iter()
                .map(|(engine, _)| comments::id(sha256, engine));
            (("monitor_hash_comment", ids.collect()), None)
        }
    };
    let url = base.url(&format!(
        "/monitor_partner/hashes/{sha256}/relationships/{relation}"
    ));
    let (kind, ids) = named;
    let descriptor = |id| Descriptor {
        kind,
        id,
        links: None,
    };
    let data = ids.into_iter().map(descriptor).collect();
    Ok(Collection::new(data, (url, paging), next))
}

/// Returns a hash as an object; nothing if its blob is gone.
fn object(
    app: &App,
    asking: &Asking,
    (sha256, sight): (&Sha256, &Sight),
    (base, wanted): (&Base, &[&'static str]),
) -> Result<Option<HashObject>, ApiError> {
    let Some(attributes) = attributes(app, asking, (sha256, sight))? else {
        return Ok(None);
    };
    let paging = Paging {
        limit: INLINE,
        cursor: None,
    };
    let related = wanted.iter().map(|relation| {
        let related = related(app, asking, (sha256, sight), (relation, &paging, base))?;
        Ok::<_, ApiError>((*relation, related))
    });
    let related = related.collect::<Result<BTreeMap<_, _>, _>>()?;
    Ok(Some(HashObject {
        kind: "monitor_hash",
        id: sha256.to_string(),
        links: Links::to(base.url(&format!("/monitor_partner/hashes/{sha256}"))),
        attributes,
        relationships: (!related.is_empty()).then_some(related),
    }))
}

fn attributes(
    app: &App,
    asking: &Asking,
    (sha256, sight): (&Sha256, &Sight),
) -> Result<Option<HashAttributes>, ApiError> {
    let store = &app.api.store;
    let standing = store.get(&STANDINGS, sha256)?.unwrap_or_default();
    let Some(blob) = store.blob(&FileHash::Sha256(*sha256))? else {
        return Ok(None);
    };
    let detections = detections(app, (sha256, sight), &standing)?;
    let ignored = !detections.is_empty() && detections.values().all(|d| d.confirmed);
    let silent = silent(app, asking, (sha256, &standing))?;
    let results = last_results(app, asking, sha256)?;
    let gives = |policy| sight.consents.iter().any(|c| c.policy == policy);
    let access = requests::access(store, (sha256, &asking.vendor.id), sight)?;
    let mut tags = vec!["detected".to_owned()];
    tags.extend(ignored.then(|| "ignored".to_owned()));
    tags.extend(sight.engines.iter().map(ToString::to_string));
    Ok(Some(HashAttributes {
        sha256: sha256.to_string(),
        sha1: blob.digests.sha1.to_string(),
        md5: blob.digests.md5.to_string(),
        size: blob.size_bytes,
        last_analysis_date: results.1,
        first_detection_date: detections.values().map(|d| d.since_date).min(),
        last_detections_count: detections.len(),
        last_analysis_results: results.0,
        detections,
        other_engines_silent_count: silent.len(),
        other_engines_silent: gives(SharePolicy::File).then_some(silent),
        file_access: access.as_str(),
        tags,
    }))
}

/// Returns what the vendor's engines said last of a blob, and when the last of them did.
pub fn last_results(
    app: &App,
    asking: &Asking,
    sha256: &Sha256,
) -> Result<(BTreeMap<String, EngineAnswer>, Option<u64>), StoreError> {
    let results = app.api.store.last_results(sha256, &asking.vendor.engines)?;
    let date = results
        .iter()
        .map(|(_, result)| result.finished_at.seconds())
        .max();
    Ok((named(app, results.into_iter().collect()), date))
}

fn detections(
    app: &App,
    (sha256, sight): (&Sha256, &Sight),
    standing: &Standing,
) -> Result<BTreeMap<String, OwnDetection>, StoreError> {
    let mut own = BTreeMap::new();
    for engine in &sight.engines {
        let Some(detection) = standing.detections.get(engine) else {
            continue;
        };
        let versions = detection.versions.clone();
        let detection = OwnDetection {
            result: detection.name.to_string(),
            since_date: detection.since.seconds(),
            engine_version: versions.engine,
            engine_update: versions.signatures_date,
            signature_set: versions.signature_set.map(|set| set.0),
            confirmed: is_ignored(&app.api.store, sha256, engine)?,
        };
        own.insert(display_name(app, engine), detection);
    }
    Ok(own)
}

/// Returns which engines of others looked and found nothing.
///
/// How many detect it, or did not answer, is not to be seen from this.
fn silent(
    app: &App,
    asking: &Asking,
    (sha256, standing): (&Sha256, &Standing),
) -> Result<Vec<String>, StoreError> {
    let others: BTreeSet<EngineId> = {
        let table = app.api.engines.borrow();
        let others = table.keys().filter(|id| {
            !asking.vendor.engines.contains(*id) && !standing.detections.contains_key(*id)
        });
        others.cloned().collect()
    };
    let results = app.api.store.last_results(sha256, &others)?;
    let silent = results
        .into_iter()
        .filter(|(_, result)| matches!(result.verdict, crate::model::Verdict::Undetected));
    Ok(silent.map(|(id, _)| display_name(app, &id)).collect())
}

fn paging(query: &ListQuery) -> Result<(Paging, Option<Sha256>), ApiError> {
    let limit = match query.limit.as_deref().filter(|text| !text.is_empty()) {
        None => DEFAULT_LIMIT,
        Some(text) => text
            .parse()
            .map_err(|_| ApiError::invalid_argument("limit is no number"))?,
    };
    let cursor = query.cursor.as_deref().filter(|text| !text.is_empty());
    let cursor = cursor.map(|text| URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid_cursor()));
    let cursor = cursor.transpose()?;
    let after = cursor.as_ref().map(|key| {
        let bytes: Result<[u8; 32], _> = key.as_slice().try_into();
        bytes.map(Sha256::new).map_err(|_| invalid_cursor())
    });
    let paging = Paging {
        limit: usize::try_from(limit.clamp(1, MAX_LIMIT)).unwrap_or(1),
        cursor,
    };
    Ok((paging, after.transpose()?))
}

/// Reads a filter; a name of an engine may have spaces.
fn selection(app: &App, asking: &Asking, filter: &str) -> Result<Selection, ApiError> {
    let (mut names, mut ignored) = (Vec::<String>::new(), Ignored::Hidden);
    for word in filter.split_whitespace() {
        match (word.split_once(':'), names.last_mut()) {
            (Some(("engine", name)), _) => names.push(name.to_owned()),
            (Some(("tag", "ignored")), _) => ignored = Ignored::Only,
            (None, Some(name)) => *name = format!("{name} {word}"),
            _ => {
                let message = format!("filter: {word:?} is neither engine:<name> nor tag:ignored");
                return Err(ApiError::invalid_argument(message));
            }
        }
    }
    let engines = names
        .iter()
        .map(|name| own_engine(app, &asking.vendor, name.trim_matches('"')));
    let mut engines = engines.collect::<Result<BTreeSet<_>, _>>()?;
    if engines.is_empty() {
        engines.clone_from(&asking.vendor.engines);
    }
    Ok(Selection { engines, ignored })
}

/// Writes the query again, of ids and fixed words only.
fn words(selection: &Selection, query: &ListQuery, wanted: &[&str]) -> String {
    let mut filter = Vec::new();
    if query
        .filter
        .as_deref()
        .is_some_and(|f| f.contains("engine:"))
    {
        filter.extend(selection.engines.iter().map(|id| format!("engine:{id}")));
    }
    filter.extend((selection.ignored == Ignored::Only).then(|| "tag:ignored".to_owned()));
    let mut words = Vec::new();
    if !filter.is_empty() {
        words.push(format!("filter={}", filter.join("%20")));
    }
    if !wanted.is_empty() {
        words.push(format!("relationships={}", wanted.join(",")));
    }
    match words.is_empty() {
        true => String::new(),
        false => format!("?{}", words.join("&")),
    }
}
