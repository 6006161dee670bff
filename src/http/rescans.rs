//! Rescans: how far they are, and when they will be through.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::envelope::{Answer, Base, Collection, Links, Object, PageQuery, Paging, invalid_cursor};
use super::error::{ApiError, ErrorBody};
use super::{App, now};
use crate::model::{Rescan, RescanShare, Reuse};
use crate::store::RESCANS;

/// What is known of a rescan.
#[derive(Debug, Serialize, ToSchema)]
pub struct RescanProgress {
    /// `planning`, `running` or `completed`.
    status: &'static str,
    /// Why it was made.
    reason: String,
    /// Id of the one engine it is for; all enabled ones if absent.
    engine: Option<String>,
    /// `known` or `never`.
    reuse: &'static str,
    /// When it began.
    start_date: u64,
    /// When everything planned was settled; absent until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<u64>,
    /// Files in the collection when it was planned.
    files: u64,
    /// Analyses opened.
    analyses: u64,
    /// Pairs of file and engine that are wanted.
    wanted: u64,
    /// Of these, those that are settled.
    done: u64,
    /// Pairs settled a second.
    rate: Option<f64>,
    /// When the rest will be settled at this rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_end_date: Option<u64>,
    /// Each engine's share.
    engines: BTreeMap<String, Share>,
}

/// One engine's share of a rescan.
#[derive(Debug, Serialize, ToSchema)]
pub struct Share {
    /// Files the engine has not seen with what it scans with now.
    wanted: u64,
    /// Of these, those it has settled.
    done: u64,
}

impl From<RescanShare> for Share {
    fn from(share: RescanShare) -> Self {
        Self {
            wanted: share.wanted,
            done: share.done,
        }
    }
}

/// Lists the rescans, newest first.
#[utoipa::path(
    get, path = "/api/v3/acquit/rescans", tag = "rescans", params(PageQuery),
    responses((status = 200, body = Collection<Object<RescanProgress>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<RescanProgress>>>, ApiError> {
    let before = paging.cursor.as_deref();
    if before.is_some_and(|before| before.len() != 8) {
        return Err(invalid_cursor());
    }
    let span = ([].as_slice(), before);
    let page = app.api.store.list_back(&RESCANS, span, paging.limit)?;
    let rows = page.rows.into_iter();
    let data = rows.map(|(_, row)| object(row, &base)).collect();
    let url = base.url("/acquit/rescans");
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Shows a rescan.
#[utoipa::path(
    get, path = "/api/v3/acquit/rescans/{number}", tag = "rescans",
    params(("number" = u64, Path, description = "Number of the rescan")),
    responses((status = 200, body = Answer<Object<RescanProgress>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Path(number): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<RescanProgress>>>, ApiError> {
    let none = || ApiError::not_found(format!("rescan {number:?} not found"));
    let wanted: u64 = number.parse().map_err(|_| none())?;
    let rescan = app.api.store.get(&RESCANS, &wanted)?.ok_or_else(none)?;
    let data = object(rescan, &base);
    Ok(Json(Answer { data }))
}

fn object(rescan: Rescan, base: &Base) -> Object<RescanProgress> {
    let id = rescan.number.to_string();
    Object {
        kind: "rescan",
        links: Links::to(base.url(&format!("/acquit/rescans/{id}"))),
        id,
        attributes: attributes(rescan),
    }
}

fn attributes(rescan: Rescan) -> RescanProgress {
    let totals = rescan.totals();
    let rate = rescan.rate(now());
    let status = match (rescan.completed_at, rescan.planned) {
        (Some(_), _) => "completed",
        (None, true) => "running",
        (None, false) => "planning",
    };
    let estimate = rate.filter(|_| rescan.completed_at.is_none());
    let engines = rescan.engines.into_iter();
    RescanProgress {
        status,
        reason: rescan.reason,
        engine: rescan.engine.map(String::from),
        reuse: match rescan.reuse {
            Reuse::Known => "known",
            Reuse::Never => "never",
        },
        start_date: rescan.started_at.seconds(),
        end_date: rescan.completed_at.map(|at| at.seconds()),
        files: rescan.files,
        analyses: rescan.analyses,
        wanted: totals.wanted,
        done: totals.done,
        rate: rate.map(|(rate, _)| rate),
        estimated_end_date: estimate.map(|(_, end)| end.seconds()),
        engines: engines
            .map(|(id, share)| (id.into(), share.into()))
            .collect(),
    }
}
