//! Incidents listed and shown, with their threads.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::view::{EntryAttributes, IncidentAttributes, View};
use super::{filter, find};
use crate::flow::budget::Budget;
use crate::flow::incident::find::Wanted;
use crate::flow::incident::of_blob;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base, Collection, Object, PageQuery, Paging, invalid_cursor};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::query;
use crate::model::{Incident, KeyRole};
use crate::store::{RowKey, THREADS};

/// Which incidents are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterQuery {
    /// Words `state:…`, `engine:…`, `publisher:…`, `owner:…`, `path:…`, `detection:…`,
    /// `opened_from:…`, `opened_until:…`, `closed_from:…`, `closed_until:…` and `overdue:true`,
    /// separated by spaces; what has spaces itself stands in double quotes, of which two in it mean
    /// one. Of several states or engines one must fit. A path that ends with a slash means all
    /// below it. A detection's name has the word in it, in whatever case; after `=` it is the whole
    /// name as it stands. Days are `YYYY-MM-DD` (UTC), both ends included: opened for the first
    /// time or the last, and resolved or kept since. A page may be short, even empty, and have a
    /// cursor.
    filter: Option<String>,
    /// `-opened` for the newest first, which is so if nothing is said; `opened` for the oldest.
    order: Option<String>,
    /// `family`: of engines that share signatures only the one that stands for all.
    group: Option<String>,
}

/// Lists incidents, newest or oldest first.
#[utoipa::path(
    get, path = "/api/v3/acquit/incidents", tag = "incidents", params(FilterQuery, PageQuery),
    responses((status = 200, body = Collection<Object<IncidentAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<FilterQuery>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<IncidentAttributes>>>, ApiError> {
    let filter = query.filter.as_deref().unwrap_or("").trim();
    let order = query.order.as_deref().unwrap_or("");
    let wanted = Wanted {
        order: filter::order(order)?,
        ..filter::parse(filter)?
    };
    let wanted = scoped(&caller, wanted)?;
    let grouped = match query.group.as_deref().filter(|group| !group.is_empty()) {
        None => Group::None,
        Some("family") => Group::Family,
        Some(_) => return Err(ApiError::invalid_argument("group can only be family")),
    };
    let view = View::new(&app, &base);
    let (found, next) = match wanted {
        Some(wanted) => page(&view, (&wanted, grouped), &paging)?,
        None => (Vec::new(), None),
    };
    let data = found.into_iter().map(|incident| view.object(incident));
    let data = data.collect::<Result<_, _>>()?;
    let group = match grouped {
        Group::Family => "family",
        Group::None => "",
    };
    let words = query::of([("filter", filter), ("group", group), ("order", order)]);
    let url = base.url(&format!("/acquit/incidents{words}"));
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Whether engines of a family are one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    None,
    Family,
}

/// Keeps a caller to what he may see; nothing if that is nothing.
pub fn scoped(caller: &Caller, mut wanted: Wanted) -> Result<Option<Wanted>, ApiError> {
    if let Some(publisher) = &wanted.publisher {
        caller.publisher(Some(publisher.as_str()))?;
        return Ok(Some(wanted));
    }
    let seat = &caller.0.seat;
    match (seat.role, &seat.publisher) {
        (KeyRole::Admin, _) | (KeyRole::Viewer, None) => Ok(Some(wanted)),
        (_, Some(publisher)) => {
            wanted.publisher = Some(publisher.clone());
            Ok(Some(wanted))
        }
        (_, None) => Ok(None),
    }
}

/// Reads a page. What no index answers is looked for until the request has done its share: then the
/// page is short, and its cursor goes on from there.
fn page(
    view: &View<'_>,
    (wanted, group): (&Wanted, Group),
    paging: &Paging,
) -> Result<(Vec<Incident>, Option<Vec<u8>>), ApiError> {
    let cursor = paging.cursor.as_deref();
    let cursor = cursor.map(|key| u64::from_bytes(key).ok_or_else(invalid_cursor));
    let (mut after, mut found) = (cursor.transpose()?, Vec::new());
    let (store, mut budget) = (&view.app.api.store, Budget::new());
    loop {
        let (incidents, next) = wanted.read(store, after)?;
        for incident in incidents {
            if budget.is_spent() {
                return Ok((found, after.map(|last| last.to_bytes())));
            }
            let id = incident.id;
            let fits = wanted.fits(store, &incident)?
                && (group == Group::None || stands_for_family(view, &incident)?);
            if fits && found.len() == paging.limit {
                return Ok((found, after.map(|last| last.to_bytes())));
            }
            found.extend(fits.then_some(incident));
            after = Some(id);
        }
        if next.is_none() {
            return Ok((found, None));
        }
    }
}

fn stands_for_family(view: &View<'_>, incident: &Incident) -> Result<bool, ApiError> {
    let all = of_blob(&view.app.api.store, &incident.sha256)?;
    let leading = view.families.leading(incident, &all);
    Ok(leading.is_none_or(|leading| leading.id == incident.id))
}

/// Shows an incident.
#[utoipa::path(
    get, path = "/api/v3/acquit/incidents/{id}", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident")),
    responses(
        (status = 200, body = Answer<Object<IncidentAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    base: Base,
) -> Result<Json<Answer<Object<IncidentAttributes>>>, ApiError> {
    let incident = find(&app, &caller, &id)?;
    let data = View::new(&app, &base).object(incident)?;
    Ok(Json(Answer { data }))
}

/// Lists an incident's thread, newest first.
#[utoipa::path(
    get, path = "/api/v3/acquit/incidents/{id}/thread", tag = "incidents",
    params(("id" = String, Path, description = "Number of the incident"), PageQuery),
    responses(
        (status = 200, body = Collection<Object<EntryAttributes>>),
        (status = 404, body = ErrorBody),
    )
)]
pub async fn thread(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    paging: Paging,
    base: Base,
) -> Result<Json<Collection<Object<EntryAttributes>>>, ApiError> {
    let incident = find(&app, &caller, &id)?.id;
    let prefix = incident.to_bytes();
    if paging
        .cursor
        .as_ref()
        .is_some_and(|key| !key.starts_with(&prefix))
    {
        return Err(invalid_cursor());
    }
    let span = (prefix.as_slice(), paging.cursor.as_deref());
    let page = app.api.store.list_back(&THREADS, span, paging.limit)?;
    let view = View::new(&app, &base);
    let rows = page.rows.into_iter();
    let data = rows.map(|((_, number), entry)| view.entry(incident, (number, entry)));
    let url = base.url(&format!("/acquit/incidents/{incident}/thread"));
    Ok(Json(Collection::new(
        data.collect(),
        (url, &paging),
        page.next,
    )))
}
