//! Incidents as the wire shows them.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::flow::incident::family::Families;
use crate::flow::incident::of_blob;
use crate::http::App;
use crate::http::engines::Versions;
use crate::http::envelope::{Base, Links, Object};
use crate::http::error::ApiError;
use crate::model::{Entry, Incident, Side, Timestamp};
use crate::store::{BLOB_ITEMS, Read, blob_items_prefix};

/// Paths of an incident's file that are shown.
const PATHS: usize = 10;

/// What is known of an incident.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentAttributes {
    /// Whose collection.
    publisher: String,
    /// Whose detection.
    engine: String,
    /// That engine's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_name: Option<String>,
    /// The family the engine belongs to; its own id if it shares its signatures with nobody.
    family: String,
    /// Which file.
    sha256: String,
    /// Where that is in the collection, up to ten places.
    paths: Vec<String>,
    /// `open`, `notified`, `acknowledged`, `resolved` or `kept`.
    state: &'static str,
    state_date: u64,
    opened_date: u64,
    /// When it was opened the last time.
    reopened_date: u64,
    reopened_count: u32,
    /// The engine's name for what it detects.
    detection: String,
    /// What the engine last said so with.
    detected: SideView,
    /// What it first said so with.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<SideView>,
    /// What it last called the file clean with before.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<SideView>,
    /// What it called the file clean with afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<SideView>,
    /// Why it is kept: `vendor`, `publisher` or `removed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<serde_json::Value>,
    /// Who looks after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_date: Option<u64>,
    /// Whether it is not over though the deadline has passed.
    overdue: bool,
    /// In which version or set the vendor says it is fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed_in: Option<String>,
    /// Entries of its thread.
    entries: u64,
    /// Incidents of this file in this collection that are not over.
    detections: usize,
    /// Opinions these are: engines that share signatures are one.
    opinions: usize,
    /// Number of the incident that stands for the family in a dispute.
    #[serde(skip_serializing_if = "Option::is_none")]
    leading: Option<String>,
    /// Where the family's other engines stand.
    propagation: Vec<Kin>,
}

/// Where another engine of the same family stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct Kin {
    /// Its incident.
    incident: String,
    engine: String,
    state: &'static str,
    state_date: u64,
    detection: String,
}

/// What an engine said something with, and when.
#[derive(Debug, Serialize, ToSchema)]
pub struct SideView {
    date: u64,
    /// In which analysis.
    analysis: String,
    versions: Versions,
}

impl From<Side> for SideView {
    fn from(side: Side) -> Self {
        Self {
            date: side.at.seconds(),
            analysis: side.analysis.to_string(),
            versions: side.versions.into(),
        }
    }
}

/// One entry of an incident's thread.
#[derive(Debug, Serialize, ToSchema)]
pub struct EntryAttributes {
    date: u64,
    /// Id of a key or user, or `acquit`.
    author: String,
    /// `state`, `note`, `vendor`, `reply` or `dispute`; a vendor sees those of `vendor` and `reply`.
    kind: serde_json::Value,
    text: String,
}

/// What all incidents of an answer are shown by.
pub struct View<'a> {
    pub app: &'a App,
    pub base: &'a Base,
    pub now: Timestamp,
    pub families: Families,
}

impl<'a> View<'a> {
    pub fn new(app: &'a App, base: &'a Base) -> Self {
        let families = Families::of(&app.api.engines.borrow());
        Self {
            app,
            base,
            now: crate::http::now(),
            families,
        }
    }

    pub fn object(&self, incident: Incident) -> Result<Object<IncidentAttributes>, ApiError> {
        let id = incident.id.to_string();
        let this = self.base.url(&format!("/acquit/incidents/{id}"));
        Ok(Object {
            kind: "incident",
            id,
            links: Links::to(this),
            attributes: self.attributes(incident)?,
        })
    }

    fn attributes(&self, incident: Incident) -> Result<IncidentAttributes, ApiError> {
        let mut all = of_blob(&self.app.api.store, &incident.sha256)?;
        all.retain(|it| it.publisher == incident.publisher);
        let live = || all.iter().filter(|it| it.state.is_live());
        let kin = self.families.kin(&incident, &all);
        let kin = kin.filter(|it| it.id != incident.id).map(kin_view);
        let leading = self.families.leading(&incident, &all);
        let deadline = self.deadline(&incident);
        let late = deadline.is_some_and(|deadline| deadline < self.now);
        let family = self.families.name(&incident.engine).to_owned();
        let name = self.app.api.engines.borrow();
        let name = name.get(&incident.engine).map(|status| status.name.clone());
        Ok(IncidentAttributes {
            engine_name: name,
            family,
            sha256: incident.sha256.to_string(),
            paths: self.paths(&incident)?,
            state: incident.state.as_str(),
            state_date: incident.state_at.seconds(),
            opened_date: incident.opened_at.seconds(),
            reopened_date: incident.reopened_at.seconds(),
            reopened_count: incident.reopened_count,
            detections: live().count(),
            opinions: self.families.opinions(live()),
            leading: leading.map(|it| it.id.to_string()),
            propagation: kin.collect(),
            deadline_date: deadline.map(Timestamp::seconds),
            overdue: late && incident.state.is_live(),
            publisher: incident.publisher.into(),
            engine: incident.engine.into(),
            detection: incident.detection.to_string(),
            detected: incident.detected.into(),
            first: incident.first.map(SideView::from),
            before: incident.before.map(SideView::from),
            resolved: incident.resolved.map(SideView::from),
            kept: incident.kept.map(|kept| serde_json::json!(kept)),
            owner: incident.owner,
            fixed_in: incident.fixed_in,
            entries: incident.entries,
        })
    }

    /// Returns the deadline, also where it is not written down yet.
    fn deadline(&self, incident: &Incident) -> Option<Timestamp> {
        let days = self.app.api.config.collections.deadline_days;
        let usual = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
        let usual = || incident.reopened_at.after(usual);
        let open = days > 0 && incident.state.is_live();
        incident.deadline.or_else(|| open.then(usual))
    }

    fn paths(&self, incident: &Incident) -> Result<Vec<String>, ApiError> {
        let prefix = blob_items_prefix(&incident.sha256, &incident.publisher);
        let rows = self
            .app
            .api
            .store
            .rows(&BLOB_ITEMS, (&prefix, None), PATHS)?;
        Ok(rows
            .into_iter()
            .map(|((_, _, path), ())| path.into())
            .collect())
    }

    pub fn entry(&self, incident: u64, (number, entry): (u64, Entry)) -> Object<EntryAttributes> {
        let this = format!("/acquit/incidents/{incident}/thread");
        Object {
            kind: "incident_entry",
            id: format!("{incident}-{number}"),
            // An entry is only ever shown in its thread.
            links: Links::to(self.base.url(&this)),
            attributes: EntryAttributes {
                date: entry.at.seconds(),
                author: entry.author,
                kind: serde_json::json!(entry.kind),
                text: entry.text,
            },
        }
    }
}

fn kin_view(it: &Incident) -> Kin {
    Kin {
        incident: it.id.to_string(),
        engine: it.engine.to_string(),
        state: it.state.as_str(),
        state_date: it.state_at.seconds(),
        detection: it.detection.to_string(),
    }
}
