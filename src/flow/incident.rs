//! Incidents: opened, told, answered, resolved, kept, opened again.
//!
//! There is one for each blob, engine and publisher, for ever. It follows what its engine says of
//! the file's content, in the change that learns of it: opened by a detection, resolved only when
//! the same engine, by newer signatures or in a greater version, calls the file clean. A failure, a
//! timeout, a file the engine cannot read, an engine that is gone, an answer by older signatures
//! and an image that was only built again end nothing.

pub mod desk;
pub mod family;
pub mod find;
mod newer;
mod record;
mod version;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    DetectionName, EngineId, Entry, EntryKind, EventKind, Incident, IncidentState, ItemPath,
    KeptReason, PublisherId, Sha256, Side, Standing, Timestamp,
};
use crate::store::{
    BLOB_ITEMS, Change, INCIDENT_OF, INCIDENTS, META, Read, StoreError, blob_items_prefix,
};
use newer::Newer;
use record::{Act, Told};

pub use desk::{Confirmed, confirmed, enter, notified};
pub use record::with;

/// Who writes into a thread what nobody else did.
pub const ACQUIT: &str = "acquit";
/// Incidents of one blob: engines times publishers.
const OF_ONE_BLOB: usize = 100_000;
/// The counter of incidents in the table of single values.
const COUNTER: &str = "incidents";

/// What an engine thinks of a blob's content.
#[derive(Clone, Debug)]
pub enum Opinion {
    /// It detects something.
    Detects(Box<Detects>),
    /// It found nothing.
    Clean(Side),
    /// It never could look into it, or cannot any more and had found nothing.
    Silent,
}

/// A detection, and what came before it.
#[derive(Clone, Debug)]
pub struct Detects {
    /// The engine's name for it.
    pub name: DetectionName,
    /// Whether the engine only suspects.
    pub suspicious: bool,
    /// What it last said so with.
    pub side: Side,
    /// Since when it does without a break.
    pub since: Timestamp,
    /// What it last called the file clean with; nothing if it never did.
    pub clean_before: Option<Side>,
}

impl Opinion {
    /// Returns what the engine said it with.
    pub fn side(&self) -> Option<&Side> {
        match self {
            Self::Detects(detects) => Some(&detects.side),
            Self::Clean(side) => Some(side),
            Self::Silent => None,
        }
    }

    /// Returns what a detecting engine last called the file clean with.
    pub fn clean_before(&self) -> Option<&Side> {
        match self {
            Self::Detects(detects) => detects.clean_before.as_ref(),
            Self::Clean(_) | Self::Silent => None,
        }
    }
}

/// A blob in one publisher's collection.
#[derive(Clone, Copy, Debug)]
pub struct Seat<'a> {
    /// Which blob.
    pub sha256: Sha256,
    /// Whose collection.
    pub publisher: &'a PublisherId,
}

/// What an engine says, if an incident may follow from it.
#[derive(Clone, Copy, Debug)]
pub struct News<'a> {
    engine: &'a EngineId,
    opinion: &'a Opinion,
    /// Whether it detected the blob until now.
    detected: bool,
}

/// Picks the opinions from which something may follow: most of a night is silent on most files.
pub fn news<'a>(opinions: &'a BTreeMap<EngineId, Opinion>, before: &Standing) -> Vec<News<'a>> {
    let all = opinions.iter().map(|(engine, opinion)| News {
        engine,
        opinion,
        detected: before.detections.contains_key(engine),
    });
    let matter = all.filter(|news| {
        let detects = matches!(news.opinion, Opinion::Detects(_));
        detects || news.detected || before.watched.contains(news.engine)
    });
    matter.collect()
}

/// Lets a publisher's incidents of a blob follow what the engines say; returns the engines among
/// these whose incident they have not ended.
///
/// # Errors
/// If the store fails.
pub fn follow(
    change: &mut Change<'_>,
    seat: &Seat<'_>,
    news: &[News<'_>],
    now: Timestamp,
) -> Result<BTreeSet<EngineId>, StoreError> {
    let mut watched = BTreeSet::new();
    for one in news {
        let key = (seat.sha256, one.engine.clone(), seat.publisher.clone());
        let known = match change.get(&INCIDENT_OF, &key)? {
            Some(id) => change.get(&INCIDENTS, &id)?,
            None => None,
        };
        let after = match (one.opinion, known) {
            (Opinion::Detects(detects), None) => {
                Some(open(change, seat, (one.engine, detects), now)?)
            }
            (Opinion::Detects(detects), Some(incident)) => {
                Some(detected_again(change, incident, detects, now)?)
            }
            (Opinion::Clean(side), Some(incident)) => {
                Some(called_clean(change, incident, (side, one.detected), now)?)
            }
            (Opinion::Silent, known) => known,
            (Opinion::Clean(_), None) => None,
        };
        if after.is_some_and(|incident| incident.state != IncidentState::Resolved) {
            watched.insert(one.engine.clone());
        }
    }
    Ok(watched)
}

fn open(
    change: &mut Change<'_>,
    seat: &Seat<'_>,
    (engine, detects): (&EngineId, &Detects),
    now: Timestamp,
) -> Result<Incident, StoreError> {
    let counter = COUNTER.to_owned();
    let id = change.get(&META, &counter)?.unwrap_or(0) + 1;
    change.put(&META, &counter, &id)?;
    let mut incident = Incident {
        id,
        publisher: seat.publisher.clone(),
        engine: engine.clone(),
        sha256: seat.sha256,
        state: IncidentState::Open,
        state_at: now,
        opened_at: now,
        reopened_at: now,
        detection: detects.name.clone(),
        detected: detects.side.clone(),
        first: Some(detects.side.clone()),
        before: detects.clean_before.clone(),
        resolved: None,
        kept: None,
        reopened_count: 0,
        fixes: Vec::new(),
        owner: None,
        deadline: None,
        overdue: false,
        fixed_in: None,
        entries: 0,
    };
    let key = (seat.sha256, engine.clone(), seat.publisher.clone());
    change.put(&INCIDENT_OF, &key, &id)?;
    let text = format!("opened: {}", detection_text(&incident));
    let act = Act::of(IncidentState::Open, now, text);
    record::create(change, &mut incident, act)?;
    record::tell(change, &incident, Told::of(EventKind::IncidentOpened, now))?;
    Ok(incident)
}

/// Says what is detected, by what, and what the engine said before.
fn detection_text(incident: &Incident) -> String {
    let before = match &incident.before {
        Some(side) => format!("it called the file clean with {}", with(&side.versions)),
        None => "it never called the file clean before".to_owned(),
    };
    format!(
        "{} detects {} with {}; {before}",
        incident.engine,
        incident.detection,
        with(&incident.detected.versions)
    )
}

fn detected_again(
    change: &mut Change<'_>,
    mut incident: Incident,
    detects: &Detects,
    now: Timestamp,
) -> Result<Incident, StoreError> {
    let removed = incident.kept == Some(KeptReason::Removed);
    if incident.state == IncidentState::Resolved || removed {
        incident.first = Some(detects.side.clone());
        incident.before = detects.clean_before.clone().or(incident.before);
        incident.detection = detects.name.clone();
        incident.detected = detects.side.clone();
        let why = if removed {
            "the file is in the collection again, and "
        } else {
            ""
        };
        let text = format!("opened again: {why}{}", detection_text(&incident));
        record::reopen(
            change,
            &mut incident,
            Act::of(IncidentState::Open, now, text),
        )?;
        return Ok(incident);
    }
    if incident.detected.analysis == detects.side.analysis {
        return Ok(incident);
    }
    if incident.detection != detects.name {
        let text = format!(
            "{} names it {} with {}; it was {} with {}",
            incident.engine,
            detects.name,
            with(&detects.side.versions),
            incident.detection,
            with(&incident.detected.versions)
        );
        record::write(change, &mut incident, entry(now, text))?;
    }
    incident.detection = detects.name.clone();
    incident.detected = detects.side.clone();
    record::save(change, &incident)?;
    Ok(incident)
}

fn called_clean(
    change: &mut Change<'_>,
    mut incident: Incident,
    (side, detected): (&Side, bool),
    now: Timestamp,
) -> Result<Incident, StoreError> {
    if incident.state == IncidentState::Resolved {
        return Ok(incident);
    }
    let told = format!(
        "{} calls the file clean with {}; it detected {} with {}",
        incident.engine,
        with(&side.versions),
        incident.detection,
        with(&incident.detected.versions)
    );
    let pair = (&incident.detected.versions, &side.versions);
    match newer::newer(change, &incident.engine, pair)? {
        Newer::Yes => {
            incident.resolved = Some(side.clone());
            let text = format!("resolved: {told}");
            record::resolve(
                change,
                &mut incident,
                Act::of(IncidentState::Resolved, now, text),
            )?;
        }
        // Said once, when it begins: the same answer comes every night.
        Newer::No(why) if detected => {
            let text = format!("still {}: {told}, which is {why}", incident.state.as_str());
            record::write(change, &mut incident, entry(now, text))?;
            record::save(change, &incident)?;
        }
        Newer::No(_) => {}
    }
    Ok(incident)
}

fn entry(at: Timestamp, text: String) -> Entry {
    Entry {
        at,
        author: ACQUIT.to_owned(),
        kind: EntryKind::State,
        text,
    }
}

/// Ends a publisher's incidents of a blob that is in its collection no more.
///
/// # Errors
/// If the store fails.
pub fn removed(change: &mut Change<'_>, seat: &Seat<'_>, now: Timestamp) -> Result<(), StoreError> {
    for mut incident in of_blob(change, &seat.sha256)? {
        if incident.publisher != *seat.publisher || !incident.state.is_live() {
            continue;
        }
        incident.kept = Some(KeptReason::Removed);
        let text = "kept: the file is in the collection no more".to_owned();
        record::keep(
            change,
            &mut incident,
            Act::of(IncidentState::Kept, now, text),
        )?;
    }
    Ok(())
}

/// Returns the engines whose incident with a publisher they have not ended, whoever else did.
///
/// # Errors
/// If the store fails.
pub fn unresolved(read: &impl Read, seat: &Seat<'_>) -> Result<BTreeSet<EngineId>, StoreError> {
    let all = of_blob(read, &seat.sha256)?.into_iter();
    let theirs = all.filter(|it| it.publisher == *seat.publisher);
    let unresolved = theirs.filter(|it| it.state != IncidentState::Resolved);
    Ok(unresolved.map(|it| it.engine).collect())
}

/// Reads every incident of a blob, of whatever engine and publisher.
///
/// # Errors
/// If the store fails.
pub fn of_blob(read: &impl Read, sha256: &Sha256) -> Result<Vec<Incident>, StoreError> {
    let span = (sha256.as_bytes().as_slice(), None);
    let mut incidents = Vec::new();
    for (_, id) in read.rows(&INCIDENT_OF, span, OF_ONE_BLOB)? {
        incidents.extend(read.row(&INCIDENTS, &id)?);
    }
    Ok(incidents)
}

/// Returns where one of a publisher's items with a blob is.
///
/// # Errors
/// If the store fails.
pub fn path(
    read: &impl Read,
    sha256: &Sha256,
    publisher: &PublisherId,
) -> Result<Option<ItemPath>, StoreError> {
    let prefix = blob_items_prefix(sha256, publisher);
    let rows = read.rows(&BLOB_ITEMS, (&prefix, None), 1)?;
    Ok(rows.into_iter().next().map(|((_, _, path), ())| path))
}
