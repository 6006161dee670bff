//! Figures: what each day left behind, what is true now, and how long fixes take.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::incident::find::Wanted;
use super::{incident, standing, tally};
use crate::model::{
    DetectionChange, EngineId, Incident, IncidentState, ItemId, PublisherId, Sha256, Standing,
    Timestamp, UpdateOutcome, Usage,
};
use crate::store::{
    Change, HOLDERS, HoldRow, META, PUBLISHERS, Page, Read, RowKey, STANDINGS, STATISTICS, Store,
    StoreError, TAGGED, UPDATES, USAGE, engine_prefix, tag_prefix,
};
use crate::system::now;

/// Blobs looked at in one step.
const STEP: usize = 500;
/// Detected blobs of a publisher that a day's figures look at; of more, these stand for all.
const DETECTED: usize = 100_000;
/// Detected blobs whose items are counted for a request.
const COUNTED_NOW: usize = 1000;
/// Entries of each list of the top ones.
const TOP: usize = 10;
/// Incidents that figures on fixes look at, the newest ones.
const INCIDENTS_LOOKED_AT: usize = 10_000;
/// Updates of an engine that figures on fixes look at.
const UPDATES_LOOKED_AT: usize = 1000;
/// Days without figures that are caught up with, the last ones.
const CAUGHT_UP: u64 = 31;
/// Until it is tried again, if figures cannot be written.
const TRY_AGAIN: Duration = Duration::from_secs(600);
/// Where the last day that has figures is noted, counted from 1970.
const CLOSED: &str = "statistics";
/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Writes every day's figures after it is over, until told to end.
pub async fn run(store: Store, shutdown: CancellationToken) {
    loop {
        let now = now();
        let pause = match close_due(&store, now).await {
            Ok(()) => Duration::from_millis(DAY - now.millis() % DAY),
            Err(error) => {
                error!(%error, "Cannot write the day's figures");
                TRY_AGAIN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Writes the figures of the days that are over and have none yet. While the daemon was down nothing
/// changed, so what is true now was true at the end of each of these days.
///
/// # Errors
/// If the store fails; the days that were written stay.
pub async fn close_due(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let today = now.millis() / DAY;
    let Some(last) = store.get(&META, &CLOSED.to_owned())? else {
        // Of what was before the first start there is nothing to say.
        let begin = move |change: &mut Change<'_>| note_closed(change, today.saturating_sub(1));
        return store.write(begin).await;
    };
    for day in (last + 1).max(today.saturating_sub(CAUGHT_UP))..today {
        close(store, Timestamp::from_millis(day * DAY)).await?;
    }
    Ok(())
}

fn note_closed(change: &mut Change<'_>, day: u64) -> Result<(), StoreError> {
    let last = change.get(&META, &CLOSED.to_owned())?.unwrap_or(0);
    change.put(&META, &CLOSED.to_owned(), &last.max(day))
}

/// Writes the figures of a day that is over, and takes tags of changes away that are older.
///
/// # Errors
/// If the store fails.
pub async fn close(store: &Store, day: Timestamp) -> Result<(), StoreError> {
    let end = Timestamp::from_millis(day.millis() + DAY);
    let mut rows = Vec::new();
    let mut after = None::<PublisherId>;
    loop {
        let publishers = store.keys_after(&PUBLISHERS, after.as_ref(), STEP)?;
        let Some(last) = publishers.last().cloned() else {
            break;
        };
        for publisher in &publishers {
            // First, so that the day counts its own changes only.
            fade(store, publisher, end).await?;
            let key = (format!("p:{publisher}"), date(day));
            rows.push((key, of_day(store, publisher, end)?));
        }
        after = Some(last);
    }
    for (engine, states) in engines(store)? {
        rows.push(((format!("e:{engine}"), date(day)), json!(states)));
    }
    let write = store.write(move |change| {
        let mut rows = rows.iter();
        rows.try_for_each(|(key, row)| change.put(&STATISTICS, key, row))?;
        note_closed(change, day.millis() / DAY)
    });
    write.await
}

/// Writes a day as `YYYY-MM-DD`.
pub fn date(day: Timestamp) -> String {
    let seconds = i64::try_from(day.seconds()).unwrap_or(0);
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string()
}

/// Writes a time as `YYYY-MM-DDTHH:MM:SSZ`.
pub fn date_and_time(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(0);
    let at = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    at.to_string()
}

/// Returns every engine's incidents by state.
fn engines(store: &Store) -> Result<BTreeMap<String, BTreeMap<String, u64>>, StoreError> {
    let prefix = b"n:incidents:".as_slice();
    let rows = store.rows(&STATISTICS, (prefix, None), DETECTED)?;
    let mut engines = BTreeMap::<String, BTreeMap<String, u64>>::new();
    for ((of, state), number) in rows {
        let engine = of.trim_start_matches("n:incidents:").to_owned();
        let states = engines.entry(engine).or_default();
        states.insert(state, number.as_u64().unwrap_or(0));
    }
    Ok(engines)
}

/// Takes the tags of changes away that have had their day.
async fn fade(store: &Store, publisher: &PublisherId, now: Timestamp) -> Result<(), StoreError> {
    for kind in DetectionChange::ALL {
        let prefix = tag_prefix(publisher, kind.tag());
        let mut from = None::<Vec<u8>>;
        loop {
            let page = store.list(&TAGGED, (&prefix, from.as_deref()), STEP)?;
            let blobs: Vec<_> = page.rows.into_iter().map(|((_, _, it), ())| it).collect();
            let fade = move |change: &mut Change<'_>| standing::fade(change, &blobs, now);
            store.write(fade).await?;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Returns VirusTotal's figures of a publisher as they are now.
///
/// # Errors
/// If the store fails.
pub fn realtime(store: &Store, publisher: &PublisherId) -> Result<Value, StoreError> {
    let tags = tally::read(store, &tally::tags_of(publisher))?;
    let detected = tags.get("detected").copied().unwrap_or(0);
    // Few are counted item by item; where there are many, each content counts once.
    let items = if detected <= COUNTED_NOW as u64 {
        let mut items = 0;
        for (sha256, _) in detected_blobs(store, publisher, COUNTED_NOW)? {
            items += held(store, &sha256, publisher)?;
        }
        items
    } else {
        detected
    };
    let mut figures = changes(&tags);
    figures["items_detected_count"] = items.into();
    Ok(figures)
}

fn changes(tags: &BTreeMap<String, u64>) -> Value {
    let mut figures = json!({});
    for kind in DetectionChange::ALL {
        let name = format!("{}_count", kind.tag().replace('-', "_"));
        figures[name] = tags.get(kind.tag()).copied().unwrap_or(0).into();
    }
    figures
}

fn held(store: &Store, sha256: &Sha256, publisher: &PublisherId) -> Result<u64, StoreError> {
    let row: Option<HoldRow> = store.get(&HOLDERS, &(*sha256, publisher.clone()))?;
    Ok(row.map_or(0, |row| row.items))
}

fn detected_blobs(
    store: &Store,
    publisher: &PublisherId,
    most: usize,
) -> Result<Vec<(Sha256, Standing)>, StoreError> {
    let prefix = tag_prefix(publisher, "detected");
    let rows = store.rows(&TAGGED, (&prefix, None), most)?;
    let mut blobs = Vec::new();
    for ((_, _, sha256), ()) in rows {
        blobs.extend(store.get(&STANDINGS, &sha256)?.map(|row| (sha256, row)));
    }
    Ok(blobs)
}

/// Returns VirusTotal's figures of a publisher for a day that ends now.
fn of_day(store: &Store, publisher: &PublisherId, end: Timestamp) -> Result<Value, StoreError> {
    let usage: Usage = store.get(&USAGE, publisher)?.unwrap_or_default();
    let tags = tally::read(store, &tally::tags_of(publisher))?;
    let blobs = detected_blobs(store, publisher, DETECTED)?;
    let (mut items, mut engines, mut names) = (0, BTreeMap::new(), BTreeMap::new());
    for (sha256, standing) in &blobs {
        let count = held(store, sha256, publisher)?;
        items += count;
        for (engine, detection) in &standing.detections {
            *engines.entry(engine.to_string()).or_insert(0) += count;
            *names.entry(detection.name.to_string()).or_insert(0) += count;
        }
    }
    let mut figures = changes(&tags);
    figures["date"] = (end.seconds() - DAY / 1000).into();
    figures["owner_id"] = publisher.as_str().into();
    figures["period"] = "day".into();
    figures["items_detected_count"] = items.into();
    figures["storage_bytes_count"] = usage.bytes.into();
    figures["storage_files_count"] = usage.files.into();
    figures["top_engines"] = top_counts("engine", engines);
    figures["top_signatures"] = top_counts("signature", names);
    let age = |standing: &Standing| {
        let since = standing.detections.values().map(|one| one.since).min();
        since.map_or(0, |since| end.since(since).as_secs())
    };
    let by_age = top_blobs(&blobs, age);
    let oldest = by_age.into_iter().map(|(sha256, standing)| {
        let mut line = line(store, publisher, (sha256, standing))?;
        line["age"] = age(standing).into();
        Ok(line)
    });
    figures["top_age_items"] = oldest.collect::<Result<Vec<_>, StoreError>>()?.into();
    let by_count = top_blobs(&blobs, |standing| standing.detections.len() as u64);
    let most = by_count
        .into_iter()
        .map(|blob| line(store, publisher, blob));
    figures["top_detected_items"] = most.collect::<Result<Vec<_>, StoreError>>()?.into();
    Ok(figures)
}

fn top_counts(key: &str, counts: BTreeMap<String, u64>) -> Value {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    counts.truncate(TOP);
    let lines = counts
        .into_iter()
        .map(|(name, count)| json!({ "count": count, key: name }));
    lines.collect()
}

fn top_blobs(
    blobs: &[(Sha256, Standing)],
    weight: impl Fn(&Standing) -> u64,
) -> Vec<(&Sha256, &Standing)> {
    let mut blobs: Vec<_> = blobs.iter().map(|(sha256, it)| (sha256, it)).collect();
    blobs.sort_by_key(|(sha256, it)| (std::cmp::Reverse(weight(it)), **sha256));
    blobs.truncate(TOP);
    blobs
}

fn line(
    store: &Store,
    publisher: &PublisherId,
    (sha256, standing): (&Sha256, &Standing),
) -> Result<Value, StoreError> {
    let path = incident::path(store, sha256, publisher)?;
    let item = path.map(|path| ItemId {
        publisher: publisher.clone(),
        path,
    });
    Ok(json!({
        "detections_count": standing.detections.len(),
        "monitor_key": item.map(|item| item.to_string()).unwrap_or_default(),
        "total_engines_count": standing.answered,
    }))
}

/// How an engine, or a vendor's engines together, fare with false positives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixes {
    /// Seconds from opening to fix, of each time an incident was fixed; in order.
    pub seconds: Vec<u64>,
    /// Seconds since opening, of each incident that is not over; in order.
    pub open_seconds: Vec<u64>,
    /// Incidents by the signature set that brought them.
    pub sets: BTreeMap<String, u64>,
    /// Incidents looked at.
    pub incidents: u64,
    /// Updates promoted since the oldest of these.
    pub updates: u64,
}

impl Fixes {
    fn add(&mut self, incident: &Incident, now: Timestamp) {
        self.incidents += 1;
        let set = incident.first.as_ref();
        let set = set.and_then(|side| side.versions.signature_set.as_ref());
        if let Some(set) = set {
            *self.sets.entry(set.to_string()).or_default() += 1;
        }
        // A regression takes nothing from how long the fix before had taken.
        self.seconds.extend(&incident.fixes);
        if incident.state == IncidentState::Resolved {
            let took = incident.state_at.since(incident.reopened_at);
            self.seconds.push(took.as_secs());
        } else if incident.state.is_live() {
            self.open_seconds
                .push(now.since(incident.reopened_at).as_secs());
        }
    }

    /// Adds another's figures.
    pub fn join(&mut self, other: &Self) {
        self.seconds.extend(&other.seconds);
        self.open_seconds.extend(&other.open_seconds);
        self.seconds.sort_unstable();
        self.open_seconds.sort_unstable();
        for (set, number) in &other.sets {
            *self.sets.entry(set.clone()).or_default() += number;
        }
        self.incidents += other.incidents;
        self.updates += other.updates;
    }
}

/// Returns the value below which that share of a sorted list lies, by nearest rank.
pub fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.max(1) - 1).copied()
}

/// Returns how each engine fares with the incidents looked for, newest first; and whether older
/// ones were left out.
///
/// # Errors
/// If the store fails.
pub fn fixes(
    store: &Store,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<(BTreeMap<EngineId, Fixes>, bool), StoreError> {
    let mut engines = BTreeMap::<EngineId, Fixes>::new();
    let mut oldest = BTreeMap::<EngineId, Timestamp>::new();
    let (mut before, mut looked) = (None, 0);
    let cut = loop {
        let (incidents, next) = wanted.step(store, before)?;
        looked += incidents.len();
        for incident in &incidents {
            let fixes = engines.entry(incident.engine.clone()).or_default();
            fixes.add(incident, now);
            oldest.insert(incident.engine.clone(), incident.opened_at);
        }
        before = next;
        if before.is_none() || looked >= INCIDENTS_LOOKED_AT {
            break before.is_some();
        }
    };
    for (engine, fixes) in &mut engines {
        fixes.seconds.sort_unstable();
        fixes.open_seconds.sort_unstable();
        let since = oldest.get(engine).copied().unwrap_or(now);
        fixes.updates = updates(store, engine, since)?;
    }
    Ok((engines, cut))
}

/// Counts an engine's updates that were promoted since a time, and the one before that.
fn updates(store: &Store, engine: &EngineId, since: Timestamp) -> Result<u64, StoreError> {
    let page = store.list_back(&UPDATES, (&engine_prefix(engine), None), UPDATES_LOOKED_AT)?;
    let promoted = page
        .rows
        .iter()
        .filter(|(_, update)| update.outcome == Some(UpdateOutcome::Promoted));
    let since = promoted.filter(|(_, update)| update.started_at.millis() + DAY >= since.millis());
    Ok(since.count() as u64)
}

/// A day's figures: whose and which day, and what they are.
pub type Day = ((String, String), Value);

/// Reads a page of a publisher's days, newest first.
///
/// # Errors
/// If the store fails.
pub fn days(
    store: &Store,
    publisher: &PublisherId,
    (before, limit): (Option<&[u8]>, usize),
) -> Result<Page<Day>, StoreError> {
    let prefix = (format!("p:{publisher}"), String::new()).to_bytes();
    store.list_back(&STATISTICS, (&prefix, before), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_of_the_list() {
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(percentile(&[7], 90), Some(7));
        let ten: Vec<u64> = (1..=10).collect();
        assert_eq!(percentile(&ten, 50), Some(5));
        assert_eq!(percentile(&ten, 90), Some(9));
    }

    #[test]
    fn day_is_written_as_a_date() {
        assert_eq!(
            date(Timestamp::from_millis(1_517_270_400_000)),
            "2018-01-30"
        );
    }
}
