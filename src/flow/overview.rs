//! Figures of whole collections that nobody can read off one row: how much of what is held was
//! looked at and is detected, and how incidents come and go.
//!
//! Two walks over all publishers at once: one over blobs that are held, beside where they stand,
//! which lie in the same order; one over incidents. Both read a bounded part at a time, take as
//! long as there are rows, and are for threads that serve nobody else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::tally;
use crate::model::{
    EngineId, Incident, IncidentState, PublisherId, Sha256, Standing, Timestamp, Usage,
};
use crate::store::{
    HOLDERS, INCIDENTS, Read, RowKey, STANDINGS, STATISTICS, Store, StoreError, Table, USAGE,
};

/// Rows read at a time.
const STEP: usize = 1000;
/// Different detection names that are counted for one publisher; further ones are not.
const NAMES: usize = 10_000;
/// Oldest incidents that are remembered.
const OLDEST: usize = 10;
/// How the keys of all publishers' counters by tag begin.
const TAGS: &[u8] = b"n:tags:";
/// Most rows of all publishers that are summed up for a request.
const COUNTERS: usize = 10_000;
/// Within which a look is recent.
const RECENT: Duration = Duration::from_secs(24 * 60 * 60);
/// Milliseconds of a day.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Something for each publisher, and for all together.
#[derive(Clone, Debug)]
pub struct Figures<T> {
    /// When it was begun to be counted.
    pub as_of: Timestamp,
    /// Of all publishers.
    pub all: T,
    /// Of each that has anything.
    pub publishers: BTreeMap<PublisherId, T>,
}

impl<T: Default + Clone> Figures<T> {
    fn new(as_of: Timestamp) -> Self {
        Self {
            as_of,
            all: T::default(),
            publishers: BTreeMap::new(),
        }
    }

    /// Returns a publisher's, or that of all.
    pub fn of(&self, publisher: Option<&PublisherId>) -> T {
        match publisher {
            None => self.all.clone(),
            Some(publisher) => self.publishers.get(publisher).cloned().unwrap_or_default(),
        }
    }

    fn add(&mut self, publisher: PublisherId, add: impl Fn(&mut T)) {
        add(&mut self.all);
        add(self.publishers.entry(publisher).or_default());
    }
}

/// What is held, counted. Items are those that point at a file: folders are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Items.
    pub items: u64,
    /// Different contents these have.
    pub files: u64,
    /// Items whose content was looked at within a day.
    pub items_rescanned: u64,
    /// Different contents of these.
    pub files_rescanned: u64,
    /// Items whose content nobody has looked at yet.
    pub items_unscanned: u64,
    /// Items an engine detects.
    pub items_detected: u64,
    /// Items each engine detects.
    pub engines: BTreeMap<EngineId, u64>,
    /// Items detected under each name, by whichever engine.
    pub names: BTreeMap<String, u64>,
}

impl Held {
    fn add(&mut self, items: u64, standing: Option<&Standing>, now: Timestamp) {
        self.items += items;
        let Some(standing) = standing.filter(|standing| standing.analysis.is_some()) else {
            self.items_unscanned += items;
            return;
        };
        if now.since(standing.at) < RECENT {
            self.items_rescanned += items;
        }
        if standing.detections.is_empty() {
            return;
        }
        self.items_detected += items;
        for engine in standing.detections.keys() {
            *self.engines.entry(engine.clone()).or_default() += items;
        }
        let names = standing.detections.values().map(|one| one.name.as_str());
        for name in names.collect::<BTreeSet<_>>() {
            if let Some(count) = self.names.get_mut(name) {
                *count += items;
            } else if self.names.len() < NAMES {
                self.names.insert(name.to_owned(), items);
            }
        }
    }

    fn add_file(&mut self, standing: Option<&Standing>, now: Timestamp) {
        let standing = standing.filter(|standing| standing.analysis.is_some());
        self.files += 1;
        self.files_rescanned += u64::from(standing.is_some_and(|it| now.since(it.at) < RECENT));
    }
}

/// Counts what is held; nothing if it was told to end. Blocks.
///
/// # Errors
/// If the store fails.
pub fn held(
    store: &Store,
    now: Timestamp,
    ends: &dyn Fn() -> bool,
) -> Result<Option<Figures<Held>>, StoreError> {
    let mut figures = Figures::<Held>::new(now);
    let mut standings = Rows::new(store, &STANDINGS);
    let mut standing = standings.next()?;
    let mut holders = Rows::new(store, &HOLDERS);
    let mut last = None::<Sha256>;
    while let Some(((sha256, publisher), row)) = holders.next()? {
        if holders.is_read() && ends() {
            return Ok(None);
        }
        while standing.as_ref().is_some_and(|(of, _)| *of < sha256) {
            standing = standings.next()?;
        }
        let stands = standing.as_ref().filter(|(of, _)| *of == sha256);
        let stands = stands.map(|(_, standing)| standing);
        // Holders of one blob lie together: it is one file to all.
        if last.replace(sha256) != Some(sha256) {
            figures.all.add_file(stands, now);
        }
        let own = figures.publishers.entry(publisher).or_default();
        own.add_file(stands, now);
        own.add(row.items, stands, now);
        figures.all.add(row.items, stands, now);
    }
    Ok(Some(figures))
}

/// Incidents, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cases {
    /// How many are in each state.
    pub states: BTreeMap<IncidentState, u64>,
    /// How many are not over though their deadline has passed.
    pub overdue: u64,
    /// How many were opened, and how many solved, on each day, numbered from 1970. One that was
    /// solved more than once counts where it was last; one that was opened more than once on one
    /// day counts once.
    pub days: BTreeMap<u64, Day>,
    /// Numbers of those that are not over and were opened first.
    pub oldest: Vec<u64>,
}

/// What became of incidents on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// Opened, or opened again.
    pub opened: u64,
    /// Solved.
    pub solved: u64,
}

impl Cases {
    fn on(&mut self, at: Timestamp) -> &mut Day {
        self.days.entry(day(at)).or_default()
    }

    fn add(&mut self, incident: &Incident, now: Timestamp) {
        *self.states.entry(incident.state).or_default() += 1;
        self.on(incident.opened_at).opened += 1;
        let again = incident.reopened_count > 0;
        if again && day(incident.reopened_at) != day(incident.opened_at) {
            self.on(incident.reopened_at).opened += 1;
        }
        if incident.state == IncidentState::Resolved {
            self.on(incident.state_at).solved += 1;
        }
        if !incident.state.is_live() {
            return;
        }
        let late = incident.deadline.is_some_and(|deadline| deadline < now);
        self.overdue += u64::from(late);
        // They come in the order in which they were opened.
        if self.oldest.len() < OLDEST {
            self.oldest.push(incident.id);
        }
    }
}

/// Counts incidents; nothing if it was told to end. Blocks.
///
/// # Errors
/// If the store fails.
pub fn cases(
    store: &Store,
    now: Timestamp,
    ends: &dyn Fn() -> bool,
) -> Result<Option<Figures<Cases>>, StoreError> {
    let mut figures = Figures::<Cases>::new(now);
    let mut incidents = Rows::new(store, &INCIDENTS);
    while let Some((_, incident)) = incidents.next()? {
        if incidents.is_read() && ends() {
            return Ok(None);
        }
        figures.add(incident.publisher.clone(), |cases| {
            cases.add(&incident, now)
        });
    }
    Ok(Some(figures))
}

/// Counts a publisher's contents, or those of all, by tag: the counters are always right.
///
/// # Errors
/// If the store fails.
pub fn tags(
    store: &Store,
    publisher: Option<&PublisherId>,
) -> Result<BTreeMap<String, u64>, StoreError> {
    if let Some(publisher) = publisher {
        return tally::read(store, &tally::tags_of(publisher));
    }
    let mut tags = BTreeMap::new();
    for ((_, tag), number) in store.rows(&STATISTICS, (TAGS, None), COUNTERS)? {
        *tags.entry(tag).or_default() += number.as_u64().unwrap_or(0);
    }
    Ok(tags)
}

/// Returns what a publisher keeps, or what all do.
///
/// # Errors
/// If the store fails.
pub fn usage(store: &Store, publisher: Option<&PublisherId>) -> Result<Usage, StoreError> {
    if let Some(publisher) = publisher {
        return Ok(store.get(&USAGE, publisher)?.unwrap_or_default());
    }
    let mut all = Usage::default();
    for (_, usage) in store.rows(&USAGE, (&[], None), COUNTERS)? {
        all.bytes += usage.bytes;
        all.files += usage.files;
        all.uploaded_bytes += usage.uploaded_bytes;
        all.uploaded_files += usage.uploaded_files;
    }
    Ok(all)
}

/// Numbers the day of a time, as [`Cases::days`] does.
pub const fn day(at: Timestamp) -> u64 {
    at.millis() / DAY
}

/// All rows of a table, a bounded part of them in memory.
struct Rows<'a, K: 'static, V: 'static> {
    store: &'a Store,
    table: &'static Table<K, V>,
    read: std::vec::IntoIter<(K, V)>,
    from: Option<Vec<u8>>,
    begun: bool,
}

impl<'a, K: RowKey, V: DeserializeOwned> Rows<'a, K, V> {
    fn new(store: &'a Store, table: &'static Table<K, V>) -> Self {
        Self {
            store,
            table,
            read: Vec::new().into_iter(),
            from: None,
            begun: false,
        }
    }

    fn next(&mut self) -> Result<Option<(K, V)>, StoreError> {
        if let Some(row) = self.read.next() {
            return Ok(Some(row));
        }
        if self.begun && self.from.is_none() {
            return Ok(None);
        }
        self.begun = true;
        let span = ([].as_slice(), self.from.as_deref());
        let page = self.store.list(self.table, span, STEP)?;
        self.from = page.next;
        self.read = page.rows.into_iter();
        Ok(self.read.next())
    }

    /// Tells whether all that is in memory was returned.
    fn is_read(&self) -> bool {
        self.read.len() == 0
    }
}
