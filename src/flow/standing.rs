//! Compares every completed analysis with the one before: new, increasing, decreasing, swapped and
//! solved detections of the blobs that are in collections.
//!
//! What counts is each engine's last word on the content: an engine that failed, ran out of time or
//! says that it cannot look into the file keeps the word it gave before.

mod heard;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::events::{self, Draft};
use super::incident::{self, Opinion};
use super::tally::{self, Step};
use crate::model::{
    About, Analysis, AnalysisId, Detection, DetectionChange, EngineId, EventKind, PublisherId,
    Sha256, Standing, StandingChange, Timestamp,
};
use crate::store::{Change, HOLDERS, Read, STANDINGS, StoreError, TAGGED};

/// Publishers that hold one blob: more than there ever are.
const HOLDERS_MOST: usize = 100_000;
/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Compares an analysis that is complete with what was known of its blob, in the change that
/// completes it. A blob that nobody holds has no standing.
///
/// # Errors
/// If the store fails.
pub fn compare(
    change: &mut Change<'_>,
    analysis: &Analysis,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sha256 = analysis.id.sha256;
    let holders = holders(change, &sha256)?;
    if holders.is_empty() {
        return Ok(());
    }
    let before: Standing = change.get(&STANDINGS, &sha256)?.unwrap_or_default();
    let opinions = heard::opinions(change, &sha256, &analysis.engines)?;
    let after = next(&before, (analysis.id, now), &opinions);
    let renewal = Renewal {
        sha256,
        before,
        after,
        opinions,
        now,
    };
    renewal.write(change, &holders)
}

/// Notes that a publisher holds a blob from now on: its first item points at it.
///
/// # Errors
/// If the store fails.
pub fn held(
    change: &mut Change<'_>,
    sha256: Sha256,
    publisher: &PublisherId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let known: Option<Standing> = change.get(&STANDINGS, &sha256)?;
    let Some(standing) = known else {
        return first_held(change, sha256, publisher, now);
    };
    retag(
        change,
        (publisher, &sha256),
        (&BTreeSet::new(), &standing.tags()),
    )?;
    let seat = incident::Seat { sha256, publisher };
    let mut standing = standing;
    // Incidents that ended when the file was removed go on where it is now.
    standing
        .watched
        .extend(incident::unresolved(change, &seat)?);
    let detecting = standing.detections.keys();
    let engines: BTreeSet<_> = detecting.chain(&standing.watched).cloned().collect();
    let opinions = heard::opinions(change, &sha256, &engines)?;
    let watched = incident::follow(change, &seat, &incident::news(&opinions, &standing), now)?;
    let mut after = standing;
    after.watched.extend(watched);
    change.put(&STANDINGS, &sha256, &after)
}

/// Builds the standing of a blob that was scanned before anybody had it in a collection.
fn first_held(
    change: &mut Change<'_>,
    sha256: Sha256,
    publisher: &PublisherId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some((last, engines)) = heard::known(change, &sha256)? else {
        return Ok(());
    };
    let opinions = heard::opinions(change, &sha256, &engines)?;
    if opinions.is_empty() {
        return Ok(());
    }
    let seat = incident::Seat { sha256, publisher };
    let before = Standing {
        watched: incident::unresolved(change, &seat)?,
        ..Standing::default()
    };
    let mut after = next(&before, (last, now), &opinions);
    after.first_detection_at = heard::first_detection(change, &sha256)?;
    let renewal = Renewal {
        sha256,
        before,
        after,
        opinions,
        now,
    };
    renewal.write(change, std::slice::from_ref(publisher))
}

/// Notes that a publisher holds a blob no more: its last item is gone.
///
/// # Errors
/// If the store fails.
pub fn released(
    change: &mut Change<'_>,
    sha256: Sha256,
    publisher: &PublisherId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let standing: Option<Standing> = change.get(&STANDINGS, &sha256)?;
    if let Some(standing) = standing {
        retag(
            change,
            (publisher, &sha256),
            (&standing.tags(), &BTreeSet::new()),
        )?;
    }
    incident::removed(change, &incident::Seat { sha256, publisher }, now)?;
    let others = holders(change, &sha256)?;
    if others.iter().all(|other| other == publisher) {
        change.remove(&STANDINGS, &sha256);
    }
    Ok(())
}

/// Takes the tag of a change away that is older than the day just ended; returns how many blobs
/// were looked at and where to go on.
///
/// # Errors
/// If the store fails.
pub fn fade(change: &mut Change<'_>, blobs: &[Sha256], now: Timestamp) -> Result<(), StoreError> {
    for sha256 in blobs {
        let Some(before) = change.get(&STANDINGS, sha256)? else {
            continue;
        };
        let before: Standing = before;
        let old = before
            .change
            .as_ref()
            .is_some_and(|it| day(it.at) + 1 < day(now));
        if !old {
            continue;
        }
        let mut after = before.clone();
        after.change = None;
        let tags = (before.tags(), after.tags());
        for publisher in holders(change, sha256)? {
            retag(change, (&publisher, sha256), (&tags.0, &tags.1))?;
        }
        change.put(&STANDINGS, sha256, &after)?;
    }
    Ok(())
}

/// Returns who holds a blob.
fn holders(read: &impl Read, sha256: &Sha256) -> Result<Vec<PublisherId>, StoreError> {
    let span = (sha256.as_bytes().as_slice(), None);
    let rows = read.rows(&HOLDERS, span, HOLDERS_MOST)?;
    Ok(rows
        .into_iter()
        .map(|((_, publisher), _)| publisher)
        .collect())
}

/// A standing that becomes another.
struct Renewal {
    sha256: Sha256,
    before: Standing,
    after: Standing,
    opinions: BTreeMap<EngineId, Opinion>,
    now: Timestamp,
}

impl Renewal {
    fn write(mut self, change: &mut Change<'_>, holders: &[PublisherId]) -> Result<(), StoreError> {
        let sha256 = self.sha256;
        let tags = (self.before.tags(), self.after.tags());
        let news = incident::news(&self.opinions, &self.before);
        let mut watched = BTreeSet::new();
        for publisher in holders {
            retag(change, (publisher, &sha256), (&tags.0, &tags.1))?;
            self.tell(change, publisher)?;
            let seat = incident::Seat { sha256, publisher };
            watched.extend(incident::follow(change, &seat, &news, self.now)?);
        }
        let silent = self.before.watched.iter();
        let silent = silent.filter(|engine| !self.opinions.contains_key(*engine));
        watched.extend(silent.cloned());
        self.after.watched = watched;
        change.put(&STANDINGS, &sha256, &self.after)
    }

    /// Tells a publisher that detections of its file changed, if they did.
    fn tell(&self, change: &mut Change<'_>, publisher: &PublisherId) -> Result<(), StoreError> {
        let (old, new) = (&self.before.detections, &self.after.detections);
        let Some(kind) = DetectionChange::between(old, new) else {
            return Ok(());
        };
        let path = incident::path(change, &self.sha256, publisher)?;
        let file = path.as_ref().map_or_else(
            || self.sha256.to_string(),
            |path| format!("{:?}", path.as_str()),
        );
        let text = format!(
            "{} of {} engines detect {file}, {} did before",
            new.len(),
            self.after.answered,
            old.len()
        );
        let about = About {
            publisher: Some(publisher.clone()),
            path,
            sha256: Some(self.sha256),
            ..About::default()
        };
        let mut draft = Draft::about(self.now, EventKind::DetectionsChanged, about, text);
        draft.details = json!({
            "change": kind.tag(),
            "analysis": self.after.analysis.map(|id| id.to_string()),
            "detections": new.len(),
            "detections_before": old.len(),
            "answered": self.after.answered,
            "engines": self.changes(),
        });
        events::raise(change, draft)?;
        Ok(())
    }

    /// Describes each engine whose word changed, with what it gave both by.
    fn changes(&self) -> Vec<serde_json::Value> {
        let (old, new) = (&self.before.detections, &self.after.detections);
        let name = |one: Option<&Detection>| one.map(|one| one.name.clone());
        let engines: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let changed = engines
            .into_iter()
            .filter(|id| name(old.get(*id)) != name(new.get(*id)));
        let described = changed.map(|engine| {
            let opinion = self.opinions.get(engine);
            let now = opinion.and_then(Opinion::side).map(|side| &side.versions);
            let then = old.get(engine).map(|one| &one.versions);
            let then = then.or_else(|| opinion?.clean_before().map(|side| &side.versions));
            json!({
                "engine": engine,
                "detection": name(new.get(engine)),
                "detection_before": name(old.get(engine)),
                "versions": now,
                "versions_before": then,
            })
        });
        described.collect()
    }
}

/// Returns the standing that follows from what the engines say now.
fn next(
    before: &Standing,
    (analysis, now): (AnalysisId, Timestamp),
    opinions: &BTreeMap<EngineId, Opinion>,
) -> Standing {
    let mut after = before.clone();
    after.analysis = before.analysis.max(Some(analysis));
    after.at = now;
    for (engine, opinion) in opinions {
        match opinion {
            Opinion::Detects(_) | Opinion::Clean(_) => after.engines.insert(engine.clone()),
            Opinion::Silent => after.engines.remove(engine),
        };
        match opinion {
            Opinion::Detects(detects) => {
                let known = before.detections.get(engine);
                let detection = Detection {
                    name: detects.name.clone(),
                    suspicious: detects.suspicious,
                    since: known.map_or(detects.since, |known| known.since),
                    versions: detects.side.versions.clone(),
                };
                after.detections.insert(engine.clone(), detection);
            }
            Opinion::Clean(_) | Opinion::Silent => drop(after.detections.remove(engine)),
        }
    }
    after.answered = u32::try_from(after.engines.len()).unwrap_or(u32::MAX);
    if !after.detections.is_empty() && after.first_detection_at.is_none() {
        after.first_detection_at = Some(now);
    }
    match DetectionChange::between(&before.detections, &after.detections) {
        Some(kind) => after.change = Some(StandingChange { kind, at: now }),
        // The day's change stays for the day, however often it is looked again.
        None => after.change = after.change.filter(|it| day(it.at) >= day(now)),
    }
    after
}

/// Numbers the day, in UTC.
const fn day(at: Timestamp) -> u64 {
    at.millis() / DAY
}

/// Writes a publisher's tags of a blob.
fn retag(
    change: &mut Change<'_>,
    (publisher, sha256): (&PublisherId, &Sha256),
    (before, after): (&BTreeSet<String>, &BTreeSet<String>),
) -> Result<(), StoreError> {
    let counters = tally::tags_of(publisher);
    let key = |tag: &String| (publisher.clone(), tag.clone(), *sha256);
    for tag in before.difference(after) {
        if change.get(&TAGGED, &key(tag))?.is_some() {
            change.remove(&TAGGED, &key(tag));
            tally::count(change, (&counters, tag), Step::Down)?;
        }
    }
    for tag in after {
        if change.get(&TAGGED, &key(tag))?.is_none() {
            change.put(&TAGGED, &key(tag), &())?;
            tally::count(change, (&counters, tag), Step::Up)?;
        }
    }
    Ok(())
}
