//! What happened, newest first.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::auth::Caller;
use super::envelope::{Base, Collection, Links, Object, PageQuery, Paging, invalid_cursor};
use super::error::ApiError;
use super::newest::{Span, newest};
use super::query;
use crate::model::{About, EngineId, Event, EventKind};
use crate::store::EVENTS;

/// What is known of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventAttributes {
    /// When; seconds since 1970.
    date: u64,
    /// What kind, e.g. `signatures-promoted`.
    kind: String,
    /// Id of the engine it is about.
    engine: Option<String>,
    /// What happened, in one sentence.
    text: String,
    /// The same for programs.
    details: serde_json::Value,
    /// Whose collection, where in it, which file, which incident, and who did it.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    about: About,
}

/// Which events are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterQuery {
    /// Words `kind:…` and `engine:…`, separated by spaces; of several of a sort one must fit.
    filter: Option<String>,
}

#[derive(Debug, Default)]
struct Filter {
    text: String,
    kinds: BTreeSet<String>,
    engines: BTreeSet<EngineId>,
}

impl Filter {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut filter = Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            ..Self::default()
        };
        for word in text.split_whitespace() {
            match word.split_once(':') {
                Some(("kind", kind)) => drop(filter.kinds.insert(kind_named(kind)?)),
                Some(("engine", id)) => {
                    let id = id.parse::<EngineId>();
                    let id = id.map_err(|error| ApiError::invalid_argument(error.to_string()))?;
                    filter.engines.insert(id);
                }
                _ => {
                    let message = format!("filter: {word:?} is neither kind:… nor engine:…");
                    return Err(ApiError::invalid_argument(message));
                }
            }
        }
        Ok(filter)
    }

    fn fits(&self, event: &Event) -> bool {
        let engine = event.engine.as_ref();
        (self.kinds.is_empty() || self.kinds.contains(&event.kind.as_str()))
            && (self.engines.is_empty() || engine.is_some_and(|id| self.engines.contains(id)))
    }
}

/// A misspelt kind would show nothing and look like nothing happened.
fn kind_named(kind: &str) -> Result<String, ApiError> {
    let known = serde_json::from_value::<EventKind>(kind.into());
    known
        .map(EventKind::as_str)
        .map_err(|_| ApiError::invalid_argument(format!("filter: there is no kind {kind:?}")))
}

/// Lists what happened, newest first.
///
/// With a filter a page may be short, even empty, and yet not the last: there is more as long as there is a
/// cursor.
#[utoipa::path(
    get, path = "/api/v3/acquit/events", tag = "signatures", params(FilterQuery, PageQuery),
    responses((status = 200, body = Collection<Object<EventAttributes>>))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<FilterQuery>,
    paging: Paging,
    Extension(caller): Extension<Caller>,
    base: Base,
) -> Result<Json<Collection<Object<EventAttributes>>>, ApiError> {
    let filter = Filter::parse(query.filter.as_deref().unwrap_or(""))?;
    if paging.cursor.as_ref().is_some_and(|key| key.len() != 8) {
        return Err(invalid_cursor());
    }
    let words = query::of([("filter", &*filter.text)]);
    let url = base.url(&format!("/acquit/events{words}"));
    let fits = move |event: &Event| Ok(filter.fits(event) && concerns(&caller, event));
    let span = Span::new(Vec::new(), &paging);
    let page = newest(&app.api.store, &EVENTS, span, fits).await?;
    let events = page.rows.into_iter();
    let data = events.map(|(_, event)| object(event, &base)).collect();
    Ok(Json(Collection::new(data, (url, &paging), page.next)))
}

/// Tells whether the caller may know of an event: of the appliance, or of its own collection.
pub fn concerns(caller: &Caller, event: &Event) -> bool {
    match &event.about.publisher {
        Some(publisher) => caller.may_see(publisher),
        None => caller.sees_all() || (is_everybodys(event.kind) && event.about.sha256.is_none()),
    }
}

/// Tells whether a kind of event is of the appliance itself. Of the others, one that names no
/// publisher is about a vendor, an administrator or a file of somebody.
const fn is_everybodys(kind: EventKind) -> bool {
    use EventKind as K;
    match kind {
        K::UpdateFailed
        | K::UpdateUnchanged
        | K::CandidateRejected
        | K::SignaturesPromoted
        | K::SignaturesRolledBack
        | K::SignaturesHeld
        | K::SignaturesReleased
        | K::BundleImported
        | K::RescanStarted
        | K::RescanCompleted
        | K::LicenseExpiring => true,
        K::ItemUploaded
        | K::ItemMoved
        | K::ItemDeleted
        | K::ItemRestored
        | K::TrashEmptied
        | K::PolicyChanged
        | K::QuotaReached
        | K::DetectionsChanged
        | K::IncidentOpened
        | K::IncidentReopened
        | K::IncidentNotified
        | K::IncidentAcknowledged
        | K::IncidentResolved
        | K::IncidentKept
        | K::IncidentOverdue
        | K::VendorCommented
        | K::FileRequested
        | K::FileAnswered
        | K::FileDownloaded
        | K::DisputeSent
        | K::DisputeBounced
        | K::DisputeUnanswered
        | K::DisputeDelayed
        | K::SubscriptionDisabled => false,
    }
}

fn object(event: Event, base: &Base) -> Object<EventAttributes> {
    Object {
        kind: "event",
        id: event.number.to_string(),
        // An event is only ever shown in the list.
        links: Links::to(base.url("/acquit/events")),
        attributes: EventAttributes {
            date: event.at.seconds(),
            kind: event.kind.as_str(),
            engine: event.engine.map(String::from),
            text: event.text,
            details: event.details,
            about: event.about,
        },
    }
}
