//! `GET /monitor/events`: what became of a publisher's files, in VirusTotal's words.
//!
//! The elements are plain dictionaries there; ours have a type, an id and attributes besides, so
//! that clients that know only objects can page through them.

use std::sync::Arc;

use axum::extract::{Query, RawQuery, State};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::super::auth::Caller;
use super::super::envelope::{Base, Collection, PageQuery, Paging, invalid_cursor};
use super::super::error::ApiError;
use super::super::{App, query};
use super::event_filter::{ACQUIT, Filter};
use super::submit::OwnerQuery;
use crate::model::{Event, EventKind, ItemId, PublisherId, Timestamp};
use crate::store::{EVENTS, PUBLISHER_EVENTS, RowKey, party_prefix};

/// Events looked at in one go; only those that may fit are read.
const STEP: usize = 200;

/// An event of VirusTotal's Monitor.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MonitorEvent {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    #[serde(flatten)]
    fields: EventFields,
    attributes: EventFields,
}

/// What is said of an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventFields {
    /// `UPLOAD`, `DELETE`, `DETECTED`, `CLEAN`, `RESOLVED` or `COMMENT`.
    pub action: &'static str,
    /// `FILE`, `ANALYSIS` or `QUOTA`.
    pub source: &'static str,
    /// How grave, `0` to `4`.
    pub level: String,
    /// Id of the key or user that did it, or `acquit`.
    pub creator_id: String,
    pub owner_id: String,
    /// Id of the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitor_key: Option<String>,
    /// SHA-256 of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    details: Vec<Detail>,
    plaintext_description: String,
    /// When, UTC.
    timestamp: String,
    /// The same in seconds since 1970.
    date: u64,
}

impl MonitorEvent {
    /// Returns what is said of it.
    pub const fn fields(&self) -> &EventFields {
        &self.fields
    }

    /// Returns when it happened, in seconds since 1970.
    pub const fn date(&self) -> u64 {
        self.fields.date
    }
}

/// One thing more that is known of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Detail {
    v: String,
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsPage {
    data: Vec<MonitorEvent>,
    meta: EventsMeta,
    links: super::super::envelope::PageLinks,
}

/// Where the next page starts.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsMeta {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// Goes back together with the cursor; nothing depends on it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
}

/// Lists what became of files, newest first.
#[utoipa::path(
    get, path = "/api/v3/monitor/events", tag = "monitor",
    params(
        OwnerQuery, PageQuery,
        ("filter" = Option<String>, Query, description = "Words `action:`, `creator_id:`, `level:`, \
            `monitor_key:`, `owner_id:`, `source:`, `timestamp:`; after the value of a level or a \
            timestamp `+` is that or more, `-` that or less"),
        ("job_id" = Option<String>, Query, description = "From `meta` of the page before"),
    ),
    responses((status = 200, body = EventsPage))
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    RawQuery(raw): RawQuery,
    Query(query): Query<OwnerQuery>,
    paging: Paging,
    base: Base,
) -> Result<Json<EventsPage>, ApiError> {
    let filter = Filter::of_query(raw.as_deref().unwrap_or(""))?;
    let publisher = caller.publisher(query.owner.as_deref())?;
    let parts = [
        ("filter", filter.text()),
        ("owner", query.owner.as_deref().unwrap_or("")),
    ];
    let url = base.url(&format!("/monitor/events{}", query::of(parts)));
    let read = tokio::task::spawn_blocking(move || {
        let (data, next) = find(&app, (&publisher, &filter), &paging)?;
        Ok(Collection::new(data, (url, &paging), next))
    });
    let read = read.await.map_err(|error| ApiError::internal(&error))?;
    read.map(|page: Collection<MonitorEvent>| {
        let cursor = page.meta.cursor;
        Json(EventsPage {
            data: page.data,
            meta: EventsMeta {
                job_id: cursor.as_ref().map(|_| "events".to_owned()),
                cursor,
            },
            links: page.links,
        })
    })
}

type Found = (Vec<MonitorEvent>, Option<Vec<u8>>);

/// Reads a page of events that fit. A page that is empty is the last: for clients an empty one is,
/// so all events are looked at if it takes that.
fn find(
    app: &App,
    (publisher, filter): (&PublisherId, &Filter),
    paging: &Paging,
) -> Result<Found, ApiError> {
    let prefix = party_prefix(publisher);
    let ours = |key: &Vec<u8>| key.len() == prefix.len() + 8 && key.starts_with(&prefix);
    if paging.cursor.as_ref().is_some_and(|key| !ours(key)) {
        return Err(invalid_cursor());
    }
    let start = filter
        .before()
        .map(|at| (publisher.clone(), at.millis() * 1000).to_bytes());
    let mut before = paging.cursor.clone().or(start);
    let (mut found, mut last) = (Vec::new(), None);
    loop {
        let span = (prefix.as_slice(), before.as_deref());
        let page = app.api.store.list_back(&PUBLISHER_EVENTS, span, STEP)?;
        for (key, glance) in page.rows {
            // Its number is the moment or a little later.
            if filter.is_past(Timestamp::from_millis(key.1 / 1000)) {
                return Ok((found, None));
            }
            if glance.is_some_and(|glance| !filter.may_fit(&glance)) {
                continue;
            }
            let Some(event) = app.api.store.get(&EVENTS, &key.1)? else {
                continue;
            };
            let Some(event) = monitor_event(event, publisher).filter(|e| filter.fits(e)) else {
                continue;
            };
            if found.len() == paging.limit {
                return Ok((found, last));
            }
            found.push(event);
            last = Some(key.to_bytes());
        }
        before = page.next;
        if before.is_none() {
            return Ok((found, None));
        }
    }
}

fn monitor_event(event: Event, publisher: &PublisherId) -> Option<MonitorEvent> {
    if event.kind == EventKind::DetectionsChanged && !is_solved(&event) {
        return None;
    }
    let (action, source, level) = words(event.kind)?;
    let about = &event.about;
    let id = about.path.clone().map(|path| ItemId {
        publisher: publisher.clone(),
        path,
    });
    let fields = EventFields {
        action,
        source,
        level: level.to_string(),
        creator_id: about.actor.clone().unwrap_or_else(|| ACQUIT.to_owned()),
        owner_id: publisher.to_string(),
        monitor_key: id.map(|id| id.to_string()),
        subject: about.sha256.map(|sha256| sha256.to_string()),
        details: details(&event, action),
        timestamp: time(event.at.seconds()),
        date: event.at.seconds(),
        plaintext_description: event.text,
    };
    Some(MonitorEvent {
        kind: "monitor_event",
        id: event.number.to_string(),
        attributes: fields.clone(),
        fields,
    })
}

/// Returns VirusTotal's action, source and level; nothing for events it has no word for, which
/// `/acquit/events` shows.
pub fn words(kind: EventKind) -> Option<(&'static str, &'static str, u8)> {
    match kind {
        EventKind::ItemUploaded | EventKind::ItemMoved | EventKind::ItemRestored => {
            Some(("UPLOAD", "FILE", 0))
        }
        EventKind::ItemDeleted | EventKind::TrashEmptied => Some(("DELETE", "FILE", 1)),
        EventKind::QuotaReached => Some(("UPLOAD", "QUOTA", 4)),
        EventKind::IncidentOpened | EventKind::IncidentReopened => {
            Some(("DETECTED", "ANALYSIS", 3))
        }
        EventKind::IncidentResolved => Some(("RESOLVED", "ANALYSIS", 1)),
        // Detections are told one by one; only the last one's end is a word of its own.
        EventKind::DetectionsChanged => Some(("CLEAN", "ANALYSIS", 0)),
        EventKind::VendorCommented => Some(("COMMENT", "ANALYSIS", 2)),
        EventKind::UpdateFailed
        | EventKind::UpdateUnchanged
        | EventKind::CandidateRejected
        | EventKind::SignaturesPromoted
        | EventKind::SignaturesRolledBack
        | EventKind::SignaturesHeld
        | EventKind::SignaturesReleased
        | EventKind::BundleImported
        | EventKind::RescanStarted
        | EventKind::RescanCompleted
        | EventKind::LicenseExpiring
        | EventKind::PolicyChanged
        | EventKind::IncidentNotified
        | EventKind::IncidentAcknowledged
        | EventKind::IncidentKept
        | EventKind::IncidentOverdue
        | EventKind::FileRequested
        | EventKind::FileAnswered
        | EventKind::FileDownloaded
        | EventKind::DisputeSent
        | EventKind::DisputeBounced
        | EventKind::DisputeUnanswered
        | EventKind::DisputeDelayed
        | EventKind::SubscriptionDisabled => None,
    }
}

fn is_solved(event: &Event) -> bool {
    let said = ["change", "kind"]
        .into_iter()
        .filter_map(|key| event.details.get(key)?.as_str());
    said.into_iter().any(|change| change.starts_with("solved"))
}

/// Says of each engine what it calls the file now, and by which name it detects or did.
///
/// Only what ends a detection says `clean`: a comment, an upload or a deletion is no verdict.
fn details(event: &Event, action: &str) -> Vec<Detail> {
    let (state, when) = match action {
        "DETECTED" => ("malicious", "current"),
        "RESOLVED" | "CLEAN" => ("clean", "last"),
        _ => return Vec::new(),
    };
    let said = engines(event).into_iter().flat_map(|(engine, name)| {
        let name = name.map(|name| format!("{engine}:{when}:signature:{name}"));
        std::iter::once(format!("{engine}:current:{state}")).chain(name)
    });
    said.map(|v| Detail { v }).collect()
}

/// Returns the engines an event is about, and the names of their detections.
fn engines(event: &Event) -> Vec<(&str, Option<&str>)> {
    if let Some(engine) = &event.engine {
        return vec![(engine.as_str(), text(&event.details, "detection"))];
    }
    let changed = event.details.get("engines").and_then(Value::as_array);
    let changed = changed.into_iter().flatten();
    let named =
        changed.filter_map(|one| Some((text(one, "engine")?, text(one, "detection_before"))));
    named.collect()
}

fn text<'a>(details: &'a Value, key: &str) -> Option<&'a str> {
    details.get(key)?.as_str()
}

fn time(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok();
    let at = at.and_then(|at| chrono::DateTime::from_timestamp(at, 0));
    at.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::About;

    #[track_caller]
    fn check(kind: EventKind, details: Value, (action, said): (&str, &[&str])) {
        let about_one = !matches!(kind, EventKind::DetectionsChanged);
        let event = Event {
            number: 1,
            at: Timestamp::from_millis(1),
            kind,
            engine: about_one.then(|| "clamav".parse().unwrap()),
            text: String::new(),
            details,
            about: About::default(),
        };
        let event = monitor_event(event, &"acme".parse().unwrap()).unwrap();
        let details: Vec<_> = event.fields.details.iter().map(|one| &*one.v).collect();
        assert_eq!((event.fields.action, details.as_slice()), (action, said));
    }

    #[test]
    fn only_what_ends_a_detection_says_clean() {
        let detected = [
            "clamav:current:malicious",
            "clamav:current:signature:Win.Test",
        ];
        let clean = ["clamav:current:clean", "clamav:last:signature:Win.Test"];
        let name = || json!({"detection": "Win.Test"});
        check(EventKind::IncidentOpened, name(), ("DETECTED", &detected));
        check(EventKind::IncidentReopened, name(), ("DETECTED", &detected));
        check(EventKind::IncidentResolved, name(), ("RESOLVED", &clean));
        let engines = json!([{"engine": "clamav", "detection_before": "Win.Test"}]);
        let solved = json!({"change": "solved-detections", "engines": engines});
        check(EventKind::DetectionsChanged, solved, ("CLEAN", &clean));
        let stands_by_it = json!({"comment": "it is bad", "confirmed": true});
        check(EventKind::VendorCommented, stands_by_it, ("COMMENT", &[]));
        check(EventKind::ItemUploaded, json!({}), ("UPLOAD", &[]));
        check(EventKind::QuotaReached, json!({}), ("UPLOAD", &[]));
        check(EventKind::ItemDeleted, json!({}), ("DELETE", &[]));
    }
}
