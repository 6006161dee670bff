//! Incidents listed and shown, with their threads.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::find;
use super::view::{EntryAttributes, IncidentAttributes, View};
use crate::flow::incident::find::Wanted;
use crate::flow::incident::of_blob;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::envelope::{Answer, Base, Collection, Object, PageQuery, Paging, invalid_cursor};
use crate::http::error::{ApiError, ErrorBody};
use crate::model::{Incident, IncidentState, KeyRole};
use crate::store::{RowKey, THREADS};

/// Which incidents are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterQuery {
    /// Words `state:…`, `engine:…`, `publisher:…`, `owner:…`, `path:…` and `overdue:true`,
    /// separated by spaces; what has spaces itself stands in double quotes. Of several states or
    /// engines one must fit. A path that ends with a slash means all below it.
    filter: Option<String>,
    /// `family`: of engines that share signatures only the one that stands for all.
    group: Option<String>,
}

/// Lists incidents, newest first.
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
    let wanted = scoped(&caller, parse(filter)?)?;
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
    let mut query = form_urlencoded(&[("filter", filter)]);
    if grouped == Group::Family {
        query.push_str("&group=family");
    }
    let url = base.url("/acquit/incidents");
    let url = match filter.is_empty() && grouped == Group::None {
        true => url,
        false => format!("{url}?{query}"),
    };
    Ok(Json(Collection::new(data, (url, &paging), next)))
}

/// Whether engines of a family are one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    None,
    Family,
}

fn form_urlencoded(pairs: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (key, value) in pairs {
        query.push_str(key);
        query.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    query.push(char::from(byte));
                }
                byte => query.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    query
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

/// Reads a page. It goes on until something fits, so that no page is empty but the last.
fn page(
    view: &View<'_>,
    (wanted, group): (&Wanted, Group),
    paging: &Paging,
) -> Result<(Vec<Incident>, Option<Vec<u8>>), ApiError> {
    let cursor = paging.cursor.as_deref();
    let before = cursor.map(|key| u64::from_bytes(key).ok_or_else(invalid_cursor));
    let (mut before, mut found) = (before.transpose()?, Vec::new());
    let store = &view.app.api.store;
    loop {
        let (incidents, next) = wanted.step(store, before)?;
        for incident in incidents {
            if group == Group::Family && !stands_for_family(view, &incident)? {
                continue;
            }
            if found.len() == paging.limit {
                let last: Option<&Incident> = found.last();
                return Ok((found.clone(), last.map(|last| last.id.to_bytes())));
            }
            found.push(incident);
        }
        before = next;
        if before.is_none() {
            return Ok((found, None));
        }
    }
}

fn stands_for_family(view: &View<'_>, incident: &Incident) -> Result<bool, ApiError> {
    let all = of_blob(&view.app.api.store, &incident.sha256)?;
    let leading = view.families.leading(incident, &all);
    Ok(leading.is_none_or(|leading| leading.id == incident.id))
}

/// Reads a filter: words, or what stands in double quotes after a colon.
fn parse(text: &str) -> Result<Wanted, ApiError> {
    let mut wanted = Wanted::default();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = rest.split_once(':').ok_or_else(|| unknown(rest))?;
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted
                .split_once('"')
                .ok_or_else(|| ApiError::invalid_argument("filter: a double quote is missing"))?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        add(&mut wanted, (key, value))?;
        rest = left.trim_start();
    }
    Ok(wanted)
}

fn unknown(word: &str) -> ApiError {
    ApiError::invalid_argument(format!(
        "filter: {word:?} is none of state:…, engine:…, publisher:…, owner:…, path:…, overdue:true"
    ))
}

fn add(wanted: &mut Wanted, (key, value): (&str, &str)) -> Result<(), ApiError> {
    let bad =
        |error: &dyn std::fmt::Display| ApiError::invalid_argument(format!("filter: {error}"));
    match key {
        "state" => {
            let states = IncidentState::ALL.into_iter();
            let state = states.into_iter().find(|state| state.as_str() == value);
            let state = state.ok_or_else(|| bad(&format!("there is no state {value:?}")))?;
            wanted.states.insert(state);
        }
        "engine" => {
            let engine = value.parse().map_err(|error| bad(&error))?;
            wanted.engines.insert(engine);
        }
        "publisher" => wanted.publisher = Some(value.parse().map_err(|error| bad(&error))?),
        "owner" => wanted.owner = Some(value.to_owned()),
        "path" => wanted.path = Some(value.parse().map_err(|error| bad(&error))?),
        "overdue" if value == "true" => wanted.overdue_at = Some(crate::http::now()),
        _ => return Err(unknown(&format!("{key}:{value}"))),
    }
    Ok(())
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
