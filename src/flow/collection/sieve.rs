//! Conditions on items that no index answers, and how far one request looks for what fits them.
//!
//! Each row in question is looked at, in the order of the list, until the page is full or the
//! request has done its share: then the page is short, and its cursor goes on from there.

use std::collections::BTreeSet;

use super::list::{READ, prefix};
use super::place::item;
use super::{CollectionError, Query, folders};
use crate::flow::budget::Budget;
use crate::model::{EngineId, Item, ItemId, ItemPath, PublisherId, Standing, Timestamp};
use crate::store::{Page, RowKey, STANDINGS, Store, StoreError};

/// Conditions on an item beyond its folder and tags: all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sieve {
    /// A part of its path below the folder that is listed, in lower case.
    pub name: Option<String>,
    /// A part of a name it is detected by, in lower case; by an engine among the query's tags, if
    /// there is one.
    pub detection: Option<String>,
    /// The last analysis was completed then or later.
    pub after: Option<Timestamp>,
    /// The last analysis was completed before.
    pub before: Option<Timestamp>,
    /// What is known of it.
    pub states: BTreeSet<Looked>,
    /// Engines that are asked about files: whose last answers [`Looked::Failed`] is about.
    pub engines: BTreeSet<EngineId>,
}

/// What looking at an item brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Looked {
    /// It is a file, whatever else.
    File,
    /// It is a folder.
    Folder,
    /// An engine detects it.
    Detected,
    /// It was looked at, and no engine detects it.
    Undetected,
    /// An engine did not answer when it was last asked: it failed or ran out of time.
    Failed,
    /// No analysis of it was ever completed.
    Unscanned,
}

impl Looked {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::File,
        Self::Folder,
        Self::Detected,
        Self::Undetected,
        Self::Failed,
        Self::Unscanned,
    ];

    /// Returns its name in filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Detected => "detected",
            Self::Undetected => "undetected",
            Self::Failed => "failed",
            Self::Unscanned => "unscanned",
        }
    }
}

impl Sieve {
    /// Tells whether everything passes.
    pub fn is_open(&self) -> bool {
        self.name.is_none() && self.is_open_to_content() && self.states.is_empty()
    }

    fn is_open_to_content(&self) -> bool {
        self.detection.is_none() && self.after.is_none() && self.before.is_none()
    }

    /// Tells whether a detected content is wanted, and nothing else can be.
    pub(super) fn takes_detected(&mut self) -> bool {
        self.states.remove(&Looked::Detected) || self.detection.is_some()
    }

    /// Tells whether an item's path is as wanted.
    fn has_name(&self, folder: Option<&ItemPath>, path: &ItemPath) -> bool {
        let Some(name) = &self.name else {
            return true;
        };
        let folder = folder.map_or("/", ItemPath::as_str);
        let below = path.as_str().strip_prefix(folder);
        below
            .unwrap_or_else(|| path.as_str())
            .to_lowercase()
            .contains(name)
    }

    /// Tells whether an item fits.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn fits(
        store: &Store,
        query: &Query,
        (path, item): (&ItemPath, &Item),
    ) -> Result<bool, StoreError> {
        let sieve = &query.sieve;
        if !sieve.has_name(query.folder.as_ref(), path) {
            return Ok(false);
        }
        if sieve.is_open_to_content() && sieve.states.is_empty() {
            return Ok(true);
        }
        let Some(file) = &item.file else {
            let folder = |it: &Looked| *it == Looked::Folder;
            return Ok(sieve.is_open_to_content() && sieve.states.iter().all(folder));
        };
        if sieve.states.contains(&Looked::Folder) {
            return Ok(false);
        }
        if sieve.is_open_to_content() && sieve.states.iter().all(|it| *it == Looked::File) {
            return Ok(true);
        }
        let standing = store.get(&STANDINGS, &file.sha256)?;
        let standing = standing.filter(|it: &Standing| it.analysis.is_some());
        let Some(standing) = standing else {
            let unscanned = |it: &Looked| matches!(it, Looked::File | Looked::Unscanned);
            return Ok(sieve.is_open_to_content() && sieve.states.iter().all(unscanned));
        };
        Ok(sieve.stands(&standing, &query.tags)
            && (!sieve.states.contains(&Looked::Failed) || sieve.failed(store, &standing)?))
    }

    /// Tells whether what is known of a content that was looked at is as wanted, but for failures.
    fn stands(&self, standing: &Standing, tags: &[String]) -> bool {
        let by_tag = |engine: &EngineId| tags.iter().any(|tag| tag == engine.as_str());
        let is_any = !standing.detections.keys().any(by_tag);
        let named = |part: &String| {
            let mut by = standing.detections.iter();
            by.any(|(engine, detection)| {
                (is_any || by_tag(engine))
                    && detection
                        .name
                        .as_str()
                        .to_lowercase()
                        .contains(part.as_str())
            })
        };
        self.detection.as_ref().is_none_or(named)
            && self.after.is_none_or(|after| standing.at >= after)
            && self.before.is_none_or(|before| standing.at < before)
            && self.states.iter().all(|state| match state {
                Looked::File | Looked::Failed => true,
                Looked::Detected => !standing.detections.is_empty(),
                Looked::Undetected => standing.detections.is_empty(),
                Looked::Folder | Looked::Unscanned => false,
            })
    }

    /// Tells whether an engine gave no answer when it was last asked.
    fn failed(&self, store: &Store, standing: &Standing) -> Result<bool, StoreError> {
        let Some(id) = &standing.analysis else {
            return Ok(false);
        };
        let Some(analysis) = store.analysis(id)? else {
            return Ok(false);
        };
        let results = store.results(id)?;
        let mut answered = analysis.engines.difference(&analysis.pending);
        // An answer that should be there and is not counts as a failure, as it is shown.
        if results.values().any(|result| !result.verdict.is_answer())
            || answered.any(|engine| !results.contains_key(engine))
        {
            return Ok(true);
        }
        let others = self.engines.difference(&analysis.engines);
        let others = store.last_results(&id.sha256, others)?;
        Ok(others.iter().any(|(_, result)| !result.verdict.is_answer()))
    }
}

/// Lists what fits by folder and name.
pub(super) fn by_key(
    store: &Store,
    (owner, query): (&PublisherId, &Query),
    (cursor, limit): (Option<&[u8]>, usize),
) -> Result<Page<(ItemPath, Item)>, CollectionError> {
    let mut walk = Walk {
        store,
        of: (owner, query),
        prefix: prefix(owner, query),
        from: cursor.map(<[u8]>::to_vec),
        last: None,
    };
    let (mut rows, mut budget) = (Vec::new(), Budget::new());
    loop {
        let (paths, next) = walk.read()?;
        for path in paths {
            if rows.len() == limit || budget.is_spent() {
                let next = Some(walk.cursor(path));
                return Ok(Page { rows, next });
            }
            if query.sieve.has_name(query.folder.as_ref(), &path) {
                let found = walk.item(&path)?;
                rows.extend(found.map(|item| (path.clone(), item)));
            }
            walk.last = Some(path);
        }
        if next.is_none() {
            return Ok(Page { rows, next });
        }
        walk.from = next;
    }
}

/// A walk over the paths of a list.
struct Walk<'a> {
    store: &'a Store,
    of: (&'a PublisherId, &'a Query),
    prefix: Vec<u8>,
    from: Option<Vec<u8>>,
    /// The last path that was looked at.
    last: Option<ItemPath>,
}

type Paths = (Vec<ItemPath>, Option<Vec<u8>>);

impl Walk<'_> {
    /// Reads the next paths, without what is there.
    fn read(&self) -> Result<Paths, StoreError> {
        let span = (self.prefix.as_slice(), self.from.as_deref());
        let page = folders::keys(self.store, self.of.1, (span, READ))?;
        let paths = page.rows.into_iter().map(|(_, path)| path);
        Ok((paths.collect(), page.next))
    }

    /// Reads an item if it fits.
    fn item(&self, path: &ItemPath) -> Result<Option<Item>, StoreError> {
        let id = ItemId {
            publisher: self.of.0.clone(),
            path: path.clone(),
        };
        let Some(item) = item(self.store, &id)? else {
            return Ok(None);
        };
        let fits = Sieve::fits(self.store, self.of.1, (path, &item))?;
        Ok(fits.then_some(item))
    }

    /// Returns where a page starts whose first path was not looked at yet: there, or, backwards,
    /// before the last that was.
    fn cursor(self, next: ItemPath) -> Vec<u8> {
        let at = match self.of.1.order.descending {
            true => self.last.unwrap_or(next),
            false => next,
        };
        (self.of.0.clone(), at).to_bytes()
    }
}
