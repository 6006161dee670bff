//! Statistics: what an engine detected on each day, of what its vendor may know of.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::super::App;
use super::super::auth::Caller;
use super::super::envelope::{Base, Collection, Links, Object, PageQuery, Paging, invalid_cursor};
use super::super::error::{ApiError, ErrorBody};
use super::{asking, display_name, own_engine};
use crate::flow::vendor::daily;
use crate::store::{RowKey, STATISTICS};

/// Figures of one engine and day; they count what its vendor might know of and nothing else.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatisticsAttributes {
    date: u64,
    /// Display name of the engine.
    engine: String,
    /// Always `day`.
    period: &'static str,
    /// Hashes that the engine detected.
    hashes_count: u64,
    /// Those among them that the vendor did not stand by.
    hashes_detected_count: u64,
    /// Items with these hashes.
    items_count: u64,
    /// Items with hashes that the vendor did not stand by.
    items_detected_count: u64,
}

/// Which figures are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterQuery {
    /// `engine:<name>`; all engines of the vendor's if absent.
    filter: Option<String>,
}

/// Lists the figures of the vendor's engines, the newest day first.
#[utoipa::path(
    get, path = "/api/v3/monitor_partner/statistics", tag = "partner",
    params(FilterQuery, PageQuery),
    responses(
        (status = 200, body = Collection<Object<StatisticsAttributes>>),
        (status = 403, body = ErrorBody, description = "No engine of the vendor's"),
    )
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<FilterQuery>,
    Extension(caller): Extension<Caller>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<StatisticsAttributes>>>, ApiError> {
    let asking = asking(&app, &caller)?;
    let filter = query.filter.as_deref().unwrap_or("").trim();
    let mut url = base.url("/monitor_partner/statistics");
    let engines = match filter.split_once(':') {
        None if filter.is_empty() => asking.vendor.engines.iter().cloned().collect(),
        Some(("engine", name)) => {
            let engine = own_engine(&app, &asking.vendor, name.trim_matches('"'))?;
            url.push_str(&format!("?filter=engine:{engine}"));
            vec![engine]
        }
        _ => {
            let message = format!("filter: {filter:?} is not engine:<name>");
            return Err(ApiError::invalid_argument(message));
        }
    };
    let day = paging.cursor.as_ref().and_then(|key| key.get(..10));
    if paging.cursor.is_some() && day.is_none() {
        return Err(invalid_cursor());
    }
    let mut rows = Vec::new();
    for engine in engines {
        let prefix = (format!("v:{engine}"), String::new()).to_bytes();
        // From the end of the cursor's day on, since of that day some may be left.
        let before = day.map(|day| [&prefix, day, &[0xff]].concat());
        let span = (prefix.as_slice(), before.as_deref());
        let page = app
            .api
            .store
            .list_back(&STATISTICS, span, paging.limit + 2)?;
        let keyed = page.rows.into_iter().map(|((_, day), figures)| {
            let key = format!("{day} {engine}").into_bytes();
            (key, (day, engine.clone(), figures))
        });
        rows.extend(keyed);
    }
    let (rows, next) = paging.cut(rows);
    let object = |(day, engine, figures): (String, _, serde_json::Value)| {
        let count = |name| {
            figures
                .get(name)
                .and_then(serde_json::Value::as_u64)
                .unwrap_or(0)
        };
        Object {
            kind: "monitor_partner_statistics",
            id: format!("{engine}-day-{day}"),
            links: Links::to(url.clone()),
            attributes: StatisticsAttributes {
                date: daily::day_start(&day).map_or(0, crate::model::Timestamp::seconds),
                engine: display_name(&app, &engine),
                period: "day",
                hashes_count: count("hashes_count"),
                hashes_detected_count: count("hashes_detected_count"),
                items_count: count("items_count"),
                items_detected_count: count("items_detected_count"),
            },
        }
    };
    let data = rows.into_iter().map(object).collect();
    Ok(Json(Collection::new(data, (url.clone(), &paging), next)))
}
