//! VirusTotal's daily figures, and how long fixes take.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::list::scoped;
use crate::flow::incident::find::Wanted;
use crate::flow::statistics::{self, Fixes, percentile};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base, Links, Object, PageLinks, PageQuery};
use crate::http::envelope::{Collection, invalid_cursor};
use crate::http::error::{ApiError, ErrorBody};
use crate::model::PublisherId;
use crate::store::{RowKey, STATISTICS};

/// Signature sets that are shown for each engine.
const SETS: usize = 5;

/// Whose figures.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnerQuery {
    /// The publisher; the key's own if absent.
    owner: Option<String>,
}

/// Whose incidents.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PublisherQuery {
    /// In this publisher's collection; in all the key may see if absent.
    publisher: Option<String>,
}

/// A page of days, with what is true now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Days {
    data: Vec<Object<Value>>,
    meta: DaysMeta,
    links: PageLinks,
}

/// What is true now, and where the next page starts.
#[derive(Debug, Serialize, ToSchema)]
pub struct DaysMeta {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// The present figures.
    realtime: Value,
}

/// Lists a publisher's daily figures, newest first.
#[utoipa::path(
    get, path = "/api/v3/monitor/statistics", tag = "monitor", params(OwnerQuery, PageQuery),
    responses((status = 200, body = Days))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<OwnerQuery>,
    Query(page): Query<PageQuery>,
    base: Base,
) -> Result<Json<Days>, ApiError> {
    let publisher = caller.publisher(query.owner.as_deref())?;
    let paging = page.by_day(|day| (format!("p:{publisher}"), day).to_bytes())?;
    let store = &app.api.store;
    let start = format!("p:{publisher}\0");
    let before = paging.cursor.as_deref();
    if before.is_some_and(|key| !key.starts_with(start.as_bytes())) {
        return Err(invalid_cursor());
    }
    let page = statistics::days(store, &publisher, (before, paging.limit))?;
    let rows = page.rows.into_iter();
    let data = rows.map(|((_, day), row)| object(&publisher, (&day, row), &base));
    let mut url = base.url("/monitor/statistics");
    if query.owner.is_some() {
        url.push_str(&format!("?owner={publisher}"));
    }
    let page = Collection::new(data.collect(), (url, &paging), page.next);
    Ok(Json(Days {
        data: page.data,
        meta: DaysMeta {
            cursor: page.meta.cursor,
            realtime: statistics::realtime(store, &publisher)?,
        },
        links: page.links,
    }))
}

fn object(publisher: &PublisherId, (day, row): (&str, Value), base: &Base) -> Object<Value> {
    let id = format!("{publisher}-day-{day}");
    let this = base.url(&format!("/monitor/statistics/{id}"));
    Object {
        kind: "monitor_statistics",
        id,
        links: Links::to(this),
        attributes: row,
    }
}

/// Shows a publisher's figures of one day.
#[utoipa::path(
    get, path = "/api/v3/monitor/statistics/{id}", tag = "monitor",
    params(("id" = String, Path, description = "`<publisher>-day-<YYYY-MM-DD>`")),
    responses((status = 200, body = Answer<Object<Value>>), (status = 404, body = ErrorBody))
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<Value>>>, ApiError> {
    let none = || ApiError::not_found(format!("statistics {id:?} not found"));
    let (owner, day) = id.rsplit_once("-day-").ok_or_else(none)?;
    let publisher = owner.parse::<PublisherId>().map_err(|_| none())?;
    if !caller.may_see(&publisher) {
        return Err(none());
    }
    let key = (format!("p:{publisher}"), day.to_owned());
    let row = app.api.store.get(&STATISTICS, &key)?.ok_or_else(none)?;
    let data = object(&publisher, (day, row), &base);
    Ok(Json(Answer { data }))
}

/// How fixes fare.
#[derive(Debug, Serialize, ToSchema)]
pub struct FixAttributes {
    /// Engine by engine.
    engines: BTreeMap<String, FixView>,
    /// The same by who makes the engine.
    vendors: BTreeMap<String, FixView>,
    /// Whether only the newest incidents were looked at, because there are too many.
    truncated: bool,
}

/// How an engine, or a vendor's engines, fare.
#[derive(Debug, Serialize, ToSchema)]
pub struct FixView {
    /// Incidents looked at.
    incidents: u64,
    /// How many of these were fixed.
    fixed: usize,
    /// Seconds from opening to fix, of half of them at most.
    median_seconds_to_fix: Option<u64>,
    /// The same of nine in ten.
    p90_seconds_to_fix: Option<u64>,
    /// How many are not over.
    open: usize,
    /// Seconds since these were opened, of half of them at most.
    median_open_seconds: Option<u64>,
    /// Seconds since the oldest of them was opened.
    oldest_open_seconds: Option<u64>,
    /// Signature updates that went into service meanwhile.
    updates: u64,
    /// Incidents for each of these.
    detections_per_update: Option<f64>,
    /// The signature sets that brought most of them.
    top_signature_sets: Vec<SetCount>,
}

/// Incidents a signature set brought.
#[derive(Debug, Serialize, ToSchema)]
pub struct SetCount {
    signature_set: String,
    incidents: u64,
}

impl From<&Fixes> for FixView {
    fn from(fixes: &Fixes) -> Self {
        let mut sets: Vec<_> = fixes.sets.iter().collect();
        sets.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
        let sets = sets.into_iter().take(SETS).map(|(set, number)| SetCount {
            signature_set: set.clone(),
            incidents: *number,
        });
        let rate = |updates: u64| fixes.incidents as f64 / updates as f64;
        Self {
            incidents: fixes.incidents,
            fixed: fixes.seconds.len(),
            median_seconds_to_fix: percentile(&fixes.seconds, 50),
            p90_seconds_to_fix: percentile(&fixes.seconds, 90),
            open: fixes.open_seconds.len(),
            median_open_seconds: percentile(&fixes.open_seconds, 50),
            oldest_open_seconds: fixes.open_seconds.last().copied(),
            updates: fixes.updates,
            detections_per_update: (fixes.updates > 0).then(|| rate(fixes.updates)),
            top_signature_sets: sets.collect(),
        }
    }
}

/// Shows how long fixes take, by engine and by vendor.
#[utoipa::path(
    get, path = "/api/v3/acquit/incidents/statistics", tag = "incidents", params(PublisherQuery),
    responses((status = 200, body = Answer<Object<FixAttributes>>))
)]
pub async fn incidents(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<PublisherQuery>,
    base: Base,
) -> Result<Json<Answer<Object<FixAttributes>>>, ApiError> {
    let named = query.publisher.as_deref().filter(|it| !it.is_empty());
    let named = named.map(|it| caller.publisher(Some(it))).transpose()?;
    let wanted = Wanted {
        publisher: named,
        ..Wanted::default()
    };
    let fixes = match scoped(&caller, wanted)? {
        Some(wanted) => app.overview.fixes(&app.api.store, wanted.publisher).await?,
        None => Arc::default(),
    };
    let (engines, truncated) = &*fixes;
    let table = app.api.engines.borrow();
    let mut vendors = BTreeMap::<String, Fixes>::new();
    for (engine, fixes) in engines {
        let maker = table.get(engine).map(|status| status.vendor.clone());
        let maker = maker.unwrap_or_else(|| engine.to_string());
        vendors.entry(maker).or_default().join(fixes);
    }
    let engines = engines.iter();
    let engines = engines.map(|(id, fixes)| (id.to_string(), FixView::from(fixes)));
    let vendors = vendors.iter();
    let vendors = vendors.map(|(name, fixes)| (name.clone(), FixView::from(fixes)));
    let data = Object {
        kind: "incident_statistics",
        id: "incidents".to_owned(),
        links: Links::to(base.url("/acquit/incidents/statistics")),
        attributes: FixAttributes {
            engines: engines.collect(),
            vendors: vendors.collect(),
            truncated: *truncated,
        },
    };
    Ok(Json(Answer { data }))
}
