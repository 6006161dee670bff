//! Writes incidents: row, index, counters, thread and event change together or not at all.

use serde_json::json;

use super::ACQUIT;
use crate::flow::events::{self, Draft};
use crate::flow::tally::{self, Step};
use crate::model::{
    About, EngineVersions, Entry, EntryKind, EventKind, Incident, IncidentState, Timestamp,
};
use crate::store::{Change, DEADLINES, INCIDENT_INDEX, INCIDENTS, StoreError, THREADS};

/// The counter of an engine's incidents that are overdue, beside those by state.
pub const OVERDUE: &str = "overdue";

/// Earlier fixes that an incident remembers.
const FIXES: usize = 100;

/// A step of an incident: where to, who says so, and why.
#[derive(Clone, Debug)]
pub struct Act {
    pub to: IncidentState,
    pub at: Timestamp,
    pub author: String,
    pub text: String,
}

impl Act {
    /// Makes a step that Acquit itself takes.
    pub fn of(to: IncidentState, at: Timestamp, text: String) -> Self {
        Self {
            to,
            at,
            author: ACQUIT.to_owned(),
            text,
        }
    }

    fn entry(&self) -> Entry {
        Entry {
            at: self.at,
            author: self.author.clone(),
            kind: EntryKind::State,
            text: self.text.clone(),
        }
    }

    fn told(&self, kind: EventKind) -> Told {
        let actor = (self.author != ACQUIT).then(|| self.author.clone());
        Told {
            kind,
            at: self.at,
            actor,
        }
    }
}

/// What is to be told of an incident.
#[derive(Clone, Debug)]
pub struct Told {
    pub kind: EventKind,
    pub at: Timestamp,
    pub actor: Option<String>,
}

impl Told {
    /// Tells of what Acquit itself did.
    pub const fn of(kind: EventKind, at: Timestamp) -> Self {
        Self {
            kind,
            at,
            actor: None,
        }
    }
}

/// Says what an engine scanned with, in words.
pub fn with(versions: &EngineVersions) -> String {
    let engine = versions.engine.as_ref().map(|it| format!("version {it}"));
    let signatures = versions.signatures.as_ref();
    let signatures = signatures.map(|it| format!("signatures {it}"));
    let set = versions.signature_set.as_ref();
    let set = set.map(|it| format!("signature set {it}"));
    let parts: Vec<_> = [engine, signatures, set].into_iter().flatten().collect();
    if parts.is_empty() {
        format!("image {}", versions.image)
    } else {
        parts.join(", ")
    }
}

/// Writes an incident that was not there.
pub fn create(
    change: &mut Change<'_>,
    incident: &mut Incident,
    act: Act,
) -> Result<(), StoreError> {
    index(change, incident)?;
    change.put(&DEADLINES, &(0, incident.id), &())?;
    write(change, incident, act.entry())?;
    save(change, incident)
}

/// Puts an entry into an incident's thread; the incident is yet to be saved.
pub fn write(
    change: &mut Change<'_>,
    incident: &mut Incident,
    entry: Entry,
) -> Result<(), StoreError> {
    change.put(&THREADS, &(incident.id, incident.entries), &entry)?;
    incident.entries += 1;
    Ok(())
}

/// Saves an incident whose state is as it was.
pub fn save(change: &mut Change<'_>, incident: &Incident) -> Result<(), StoreError> {
    change.put(&INCIDENTS, &incident.id, incident)
}

fn index(change: &mut Change<'_>, incident: &Incident) -> Result<(), StoreError> {
    let state = incident.state.as_str();
    let key = (incident.publisher.clone(), state.to_owned(), incident.id);
    change.put(&INCIDENT_INDEX, &key, &())?;
    let counters = tally::incidents_of(&incident.engine);
    tally::count(change, (&counters, state), Step::Up)
}

/// Takes an incident to another state, with an entry that says why.
pub fn shift(
    change: &mut Change<'_>,
    incident: &mut Incident,
    act: &Act,
) -> Result<(), StoreError> {
    let state = incident.state.as_str();
    let key = (incident.publisher.clone(), state.to_owned(), incident.id);
    change.remove(&INCIDENT_INDEX, &key);
    let counters = tally::incidents_of(&incident.engine);
    tally::count(change, (&counters, state), Step::Down)?;
    incident.state = act.to;
    incident.state_at = act.at;
    index(change, incident)?;
    write(change, incident, act.entry())?;
    save(change, incident)
}

/// Opens an incident again.
pub fn reopen(
    change: &mut Change<'_>,
    incident: &mut Incident,
    act: Act,
) -> Result<(), StoreError> {
    if incident.state == IncidentState::Resolved {
        let took = incident.state_at.since(incident.reopened_at);
        incident.fixes.push(took.as_secs());
        let old = incident.fixes.len().saturating_sub(FIXES);
        incident.fixes.drain(..old);
    }
    incident.reopened_at = act.at;
    incident.reopened_count += 1;
    incident.resolved = None;
    incident.kept = None;
    incident.fixed_in = None;
    undate(change, incident)?;
    incident.deadline = None;
    change.put(&DEADLINES, &(0, incident.id), &())?;
    shift(change, incident, &act)?;
    tell(change, incident, act.told(EventKind::IncidentReopened))
}

/// Ends an incident whose engine calls the file clean.
pub fn resolve(
    change: &mut Change<'_>,
    incident: &mut Incident,
    act: Act,
) -> Result<(), StoreError> {
    incident.kept = None;
    undate(change, incident)?;
    shift(change, incident, &act)?;
    tell(change, incident, act.told(EventKind::IncidentResolved))
}

/// Ends an incident that stays as it is.
pub fn keep(change: &mut Change<'_>, incident: &mut Incident, act: Act) -> Result<(), StoreError> {
    undate(change, incident)?;
    shift(change, incident, &act)?;
    tell(change, incident, act.told(EventKind::IncidentKept))
}

/// Notes in an incident's state that somebody was told, or answered.
pub fn answer(
    change: &mut Change<'_>,
    incident: &mut Incident,
    (act, kind): (Act, EventKind),
) -> Result<(), StoreError> {
    shift(change, incident, &act)?;
    tell(change, incident, act.told(kind))
}

/// Takes an incident's deadline from the clock.
///
/// # Errors
/// If the store fails.
pub fn undate(change: &mut Change<'_>, incident: &mut Incident) -> Result<(), StoreError> {
    change.remove(&DEADLINES, &(0, incident.id));
    if let Some(deadline) = incident.deadline {
        change.remove(&DEADLINES, &(deadline.millis(), incident.id));
    }
    if std::mem::take(&mut incident.overdue) {
        let counters = tally::incidents_of(&incident.engine);
        tally::count(change, (&counters, OVERDUE), Step::Down)?;
    }
    Ok(())
}

/// Notes that an incident's deadline has passed.
///
/// # Errors
/// If the store fails.
pub fn overdue(change: &mut Change<'_>, incident: &mut Incident) -> Result<(), StoreError> {
    if !std::mem::replace(&mut incident.overdue, true) {
        let counters = tally::incidents_of(&incident.engine);
        tally::count(change, (&counters, OVERDUE), Step::Up)?;
    }
    save(change, incident)
}

/// Raises an event about an incident.
pub fn tell(change: &mut Change<'_>, incident: &Incident, told: Told) -> Result<(), StoreError> {
    let path = super::path(change, &incident.sha256, &incident.publisher)?;
    let file = path.as_ref().map_or_else(
        || incident.sha256.to_string(),
        |path| format!("{:?}", path.as_str()),
    );
    let about = About {
        publisher: Some(incident.publisher.clone()),
        path,
        sha256: Some(incident.sha256),
        incident: Some(incident.id),
        actor: told.actor,
    };
    let text = text(incident, told.kind, &file);
    let mut draft = Draft::about(told.at, told.kind, about, text);
    draft.engine = Some(incident.engine.clone());
    draft.details = json!({
        "state": incident.state,
        "detection": incident.detection,
        "detected": incident.detected,
        "first": incident.first,
        "before": incident.before,
        "resolved": incident.resolved,
        "kept": incident.kept,
        "deadline_date": incident.deadline.map(Timestamp::seconds),
        "seconds": incident.state_at.since(incident.reopened_at).as_secs(),
    });
    events::raise(change, draft)?;
    Ok(())
}

fn text(incident: &Incident, kind: EventKind, file: &str) -> String {
    let Incident {
        id,
        engine,
        detection,
        ..
    } = incident;
    let by = with(&incident.detected.versions);
    match kind {
        EventKind::IncidentOpened => {
            format!("incident {id}: {engine} detects {file} as {detection} with {by}")
        }
        EventKind::IncidentReopened => {
            format!("incident {id} is open again: {engine} detects {file} as {detection} with {by}")
        }
        EventKind::IncidentResolved => {
            let clean = incident.resolved.as_ref();
            let clean = clean.map(|side| with(&side.versions)).unwrap_or_default();
            format!(
                "incident {id} is resolved: {engine} calls {file} clean with {clean}; it detected \
                 {detection} with {by}"
            )
        }
        EventKind::IncidentKept => {
            let why = match incident.kept {
                Some(crate::model::KeptReason::Vendor) => "the vendor stands by it",
                Some(crate::model::KeptReason::Publisher) => "the publisher lets it be",
                Some(crate::model::KeptReason::Removed) | None => {
                    "the file is in the collection no more"
                }
            };
            format!("incident {id} is kept: {engine} detects {file} as {detection}, and {why}")
        }
        EventKind::IncidentOverdue => format!(
            "incident {id} is overdue: {engine} still detects {file} as {detection} with {by}"
        ),
        kind => format!(
            "incident {id} is {}: {engine} detects {file} as {detection} ({})",
            incident.state.as_str(),
            kind.as_str()
        ),
    }
}
