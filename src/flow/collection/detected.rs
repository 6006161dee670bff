//! The order in which what is most detected comes first, over a collection of any size.
//!
//! No index knows how many engines detect an item, and nearly none is detected: those that are
//! are put in order in memory, which is kept for a while, and the others follow by folder and
//! name. Of more than can be put in order, the rest come among the others.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::list::{READ, fits, is_wanted, prefix, resolve};
use super::place::item;
use super::{CollectionError, Order, OrderBy, Query, sorted};
use crate::flow::budget::Budget;
use crate::flow::lately::LatelyBy;
use crate::model::{DetectionChange, Item, ItemId, ItemPath, PublisherId, Sha256, Standing};
use crate::store::{
    BLOB_ITEMS, ITEMS, Page, RowKey, STANDINGS, Store, StoreError, TAGGED, blob_items_prefix,
    tag_prefix,
};

/// The order.
pub(super) const FIRST: Order = Order {
    by: OrderBy::Detections,
    descending: true,
};
/// Items that are put in order.
const RANKED: usize = 100_000;
/// What is put in order sooner is so for every page.
const QUICK: Duration = Duration::from_millis(5);
/// Publishers whose order is kept; of more, all are made anew.
const PUBLISHERS: usize = 8;
/// First byte of a cursor into the detected ones, and into the others.
const PARTS: (u8, u8) = (1, 2);
/// Bytes of a cursor before the path.
const HEAD: usize = 9;

/// Where an item is in the order: fewer than all by its detections, and its path.
type Rank = (u64, ItemPath);

/// A publisher's detected items in order.
#[derive(Debug, Default)]
struct Ranks {
    order: Vec<Rank>,
    blobs: HashSet<Sha256>,
    /// Whether there are more.
    cut: bool,
}

/// The orders that are kept; clones share them.
#[derive(Clone, Debug)]
pub(super) struct Orders(Arc<LatelyBy<PublisherId, Ranks>>);

impl Default for Orders {
    fn default() -> Self {
        Self(Arc::new(LatelyBy::new(PUBLISHERS, QUICK)))
    }
}

impl Orders {
    /// Returns a publisher's order, which may be a minute old if it takes long to make.
    fn of(&self, store: &Store, owner: &PublisherId) -> Result<Arc<Ranks>, StoreError> {
        let (store, of) = (store.clone(), owner.clone());
        let ranks = self.0.of(owner);
        ranks.get_blocking(move || Ranks::read(&store, &of))
    }
}

impl Ranks {
    fn read(store: &Store, owner: &PublisherId) -> Result<Self, StoreError> {
        let tagged = tag_prefix(owner, "detected");
        let page = store.keys(&TAGGED, (&tagged, None), RANKED)?;
        let (mut ranks, mut cut) = (Self::default(), page.next.is_some());
        for (_, _, sha256) in page.rows {
            let Some(standing) = store.get::<_, Standing>(&STANDINGS, &sha256)? else {
                continue;
            };
            let weight = u64::MAX - standing.detections.len() as u64;
            let left = RANKED - ranks.order.len();
            let prefix = blob_items_prefix(&sha256, owner);
            let items = store.keys(&BLOB_ITEMS, (&prefix, None), left)?;
            if items.next.is_some() || left == 0 {
                cut = true;
                break;
            }
            let paths = items.rows.into_iter().map(|(_, _, path)| (weight, path));
            ranks.order.extend(paths);
            ranks.blobs.insert(sha256);
        }
        ranks.order.sort_unstable();
        ranks.cut = cut;
        Ok(ranks)
    }
}

/// Lists items, those that most engines detect first.
pub fn list(
    (store, orders): (&Store, &Orders),
    owner: &PublisherId,
    query: &Query,
    (cursor, limit): (Option<&[u8]>, usize),
) -> Result<Page<(ItemPath, Item)>, CollectionError> {
    let query = resolve(store, owner, query)?;
    let ranks = orders.of(store, owner)?;
    if !query.tags.is_empty() && (ranks.cut || !is_of_detected(&query)) {
        return sorted::list(store, (owner, &query), (cursor, limit));
    }
    let mut list = List {
        store,
        of: (owner, &query),
        ranks,
        limit,
        rows: Vec::new(),
        budget: Budget::new(),
    };
    let next = match cursor {
        None => list.detected(None)?,
        Some([part, ..]) if *part == PARTS.0 => list.detected(cursor.and_then(rank))?,
        Some([part, key @ ..]) if *part == PARTS.1 => list.others(Some(key.to_vec()))?,
        Some(_) => return Err(CollectionError::Invalid("the cursor is damaged".to_owned())),
    };
    let rows = list.rows;
    Ok(Page { rows, next })
}

/// Tells whether a tag is asked for that only what is detected has.
fn is_of_detected(query: &Query) -> bool {
    let mut tags = query.tags.iter();
    tags.any(|tag| {
        DetectionChange::ALL
            .iter()
            .all(|change| change.tag() != tag)
    })
}

fn rank(cursor: &[u8]) -> Option<Rank> {
    let (head, path) = cursor.split_at_checked(HEAD)?;
    let weight = u64::from_be_bytes(head.get(1..)?.try_into().ok()?);
    Some((weight, std::str::from_utf8(path).ok()?.parse().ok()?))
}

/// A page that is being filled.
struct List<'a> {
    store: &'a Store,
    of: (&'a PublisherId, &'a Query),
    ranks: Arc<Ranks>,
    limit: usize,
    rows: Vec<(ItemPath, Item)>,
    budget: Budget,
}

impl List<'_> {
    /// Fills the page with detected items, then with others; returns where the next starts.
    fn detected(&mut self, from: Option<Rank>) -> Result<Option<Vec<u8>>, CollectionError> {
        let ranks = Arc::clone(&self.ranks);
        let start = from.map_or(0, |from| ranks.order.partition_point(|rank| *rank < from));
        for (weight, path) in &ranks.order[start..] {
            let spent = self.budget.is_spent();
            if !spent && !is_wanted(self.of.1, path) {
                continue;
            }
            if spent || self.rows.len() == self.limit {
                let (part, weight) = (PARTS.0.to_be_bytes(), weight.to_be_bytes());
                let parts = [part.as_slice(), &weight, path.as_str().as_bytes()];
                return Ok(Some(parts.concat()));
            }
            self.take(path)?;
        }
        match self.of.1.tags.is_empty() {
            true => self.others(None),
            false => Ok(None),
        }
    }

    /// Fills the page with items that are not among the detected ones.
    fn others(&mut self, mut from: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, CollectionError> {
        let prefix = prefix(self.of.0, self.of.1);
        loop {
            let page = self.store.list(&ITEMS, (&prefix, from.as_deref()), READ)?;
            for (key, item) in page.rows {
                let spent = self.budget.is_spent();
                if !spent && self.is_ranked(&item) {
                    continue;
                }
                if spent || self.rows.len() == self.limit {
                    return Ok(Some([vec![PARTS.1], key.to_bytes()].concat()));
                }
                self.offer(key.1, item)?;
            }
            from = page.next;
            if from.is_none() {
                return Ok(None);
            }
        }
    }

    /// Tells whether an item's content is among the detected ones.
    fn is_ranked(&self, item: &Item) -> bool {
        let file = item.file.as_ref();
        file.is_some_and(|file| self.ranks.blobs.contains(&file.sha256))
    }

    fn take(&mut self, path: &ItemPath) -> Result<(), CollectionError> {
        let id = ItemId {
            publisher: self.of.0.clone(),
            path: path.clone(),
        };
        if let Some(item) = item(self.store, &id)? {
            // Another content may be there since.
            if self.is_ranked(&item) {
                self.offer(id.path, item)?;
            }
        }
        Ok(())
    }

    /// Puts an item on the page if it fits.
    fn offer(&mut self, path: ItemPath, item: Item) -> Result<(), CollectionError> {
        let (owner, query) = self.of;
        if fits(self.store, owner, query, (&path, &item))? {
            self.rows.push((path, item));
        }
        Ok(())
    }
}
