//! Analyses of a hash: what the vendor's own engines said, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Base, Collection, Links, Object, PageQuery, Paging, invalid_cursor};
use super::super::error::{ApiError, ErrorBody};
use super::super::results::{EngineAnswer, answers, named};
use super::{Asking, asking, see};
use crate::model::{Analysis, AnalysisId, Sha256};
use crate::store::RowKey;

/// Analyses looked at for one page; those that asked other engines only are passed over.
const LOOK: usize = 5000;
const STEP: usize = 100;

/// What the vendor's engines said in one analysis.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnalysisAttributes {
    date: u64,
    sha256: String,
    /// How many of the vendor's engines detected it.
    detections_count: usize,
    tags: Vec<String>,
    /// What the vendor's engines said, by display name.
    analysis_results: BTreeMap<String, EngineAnswer>,
}

/// Lists the analyses of a hash that asked engines of the vendor's, newest first.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/hashes/{sha256}/analyses", tag = "partner",
    params(("sha256" = String, Path, description = "SHA-256"), PageQuery),
    responses(
        (status = 200, body = Collection<Object<AnalysisAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<AnalysisAttributes>>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let (sha256, _) = see(&app, &asking, &id).await?;
    let (analyses, next) = page(&app, &asking, (&sha256, &paging))?;
    let url = base.url(&format!("/monitor_partner/hashes/{sha256}/analyses"));
    let objects = analyses
        .iter()
        .map(|analysis| object(&app, &asking, analysis, &url));
    let data = objects.collect::<Result<_, _>>()?;
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Returns the id of an analysis, as VirusTotal writes it for partners.
pub fn id(id: AnalysisId) -> String {
    format!("{}-{}", id.sha256, id.number)
}

/// Returns a page of the analyses in which an engine of the vendor's has answered.
///
/// # Errors
/// If the store fails, or the cursor is of another list.
pub fn page(
    app: &App,
    asking: &Asking,
    (sha256, paging): (&Sha256, &Paging),
) -> Result<(Vec<Analysis>, Option<Vec<u8>>), ApiError> {
    let ours = |key: &Vec<u8>| key.len() == 40 && key.starts_with(sha256.as_bytes());
    if paging.cursor.as_ref().is_some_and(|key| !ours(key)) {
        return Err(invalid_cursor());
    }
    let own = |analysis: &Analysis| {
        let answered: BTreeSet<_> = analysis.engines.difference(&analysis.pending).collect();
        answered
            .into_iter()
            .any(|engine| asking.vendor.engines.contains(engine))
    };
    let (mut found, mut before, mut looked) = (Vec::new(), paging.cursor.clone(), 0);
    while looked < LOOK && found.len() <= paging.limit {
        let page = app.api.store.analyses_of(sha256, before.as_deref(), STEP)?;
        looked += page.rows.len();
        found.extend(page.rows.into_iter().filter(own));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let more = found.len() > paging.limit;
    found.truncate(paging.limit);
    let next = found.last().map(|analysis| analysis.id.to_bytes());
    Ok((found, next.filter(|_| more)))
}

fn object(
    app: &App,
    asking: &Asking,
    analysis: &Analysis,
    url: &str,
) -> Result<Object<AnalysisAttributes>, ApiError> {
    let mut given = answers(&app.api.store, analysis)?;
    given.retain(|engine, _| asking.vendor.engines.contains(engine));
    let detecting = given
        .iter()
        .filter(|(_, result)| result.verdict.is_detection());
    let detecting: Vec<_> = detecting.map(|(engine, _)| engine.to_string()).collect();
    let answered = given.values().map(|result| result.finished_at).max();
    let mut tags = Vec::new();
    tags.extend((!detecting.is_empty()).then(|| "detected".to_owned()));
    tags.extend(detecting.iter().cloned());
    Ok(Object {
        kind: "monitor_analysis",
        id: id(analysis.id),
        links: Links::to(url.to_owned()),
        attributes: AnalysisAttributes {
            date: answered.unwrap_or(analysis.created_at).seconds(),
            sha256: analysis.id.sha256.to_string(),
            detections_count: detecting.len(),
            tags,
            analysis_results: named(app, given),
        },
    })
}
