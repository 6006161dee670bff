//! Lists of items in another order than their own: by length, by time, by detections.
//!
//! Everything that fits the query is looked at for each page, so there is a limit to how much
//! that may be. Among equals the path decides, so that the order is always the same.

use std::collections::HashMap;
use std::ops::ControlFlow;

use super::list::{Found, each};
use super::place::item;
use super::{CollectionError, Order, OrderBy, Query};
use crate::model::{Item, ItemId, ItemPath, PublisherId, Sha256, Standing};
use crate::store::{Page, STANDINGS, Store, TAGGED, tag_prefix};

/// Items that are put in order.
const SORTED: usize = 100_000;
/// Bytes of what is sorted by, in a cursor.
const WEIGHT: usize = 8;

/// Where an item is in an order: what is sorted by, turned round where the last come first.
type Rank = (u64, ItemPath);

/// Lists items in an order of its own.
pub fn list(
    store: &Store,
    (owner, query): (&PublisherId, &Query),
    (cursor, limit): (Option<&[u8]>, usize),
) -> Result<Page<(ItemPath, Item)>, CollectionError> {
    let from = cursor.map(rank).transpose()?;
    let detections = match query.order.by {
        OrderBy::Detections => detections(store, owner)?,
        OrderBy::Path | OrderBy::Size | OrderBy::Modified => HashMap::new(),
    };
    let (mut ranks, mut seen) = (Vec::<Rank>::new(), 0);
    each(store, (owner, query), &mut |(_, path, item): Found| {
        seen += 1;
        if seen > SORTED {
            return Err(too_many());
        }
        ranks.push((weight(query.order, &item, &detections), path));
        Ok(ControlFlow::Continue(()))
    })?;
    ranks.sort_unstable();
    if query.order == backwards() {
        ranks.reverse();
    }
    let start = from.map_or(0, |from| start(&ranks, query.order, &from));
    read(store, owner, (&ranks[start..], limit))
}

/// Finds the first item of a page.
fn start(ranks: &[Rank], order: Order, from: &Rank) -> usize {
    if order == backwards() {
        ranks.partition_point(|rank| rank > from)
    } else {
        ranks.partition_point(|rank| rank < from)
    }
}

/// The one order in which paths run backwards.
const fn backwards() -> Order {
    Order {
        by: OrderBy::Path,
        descending: true,
    }
}

fn read(
    store: &Store,
    owner: &PublisherId,
    (ranks, limit): (&[Rank], usize),
) -> Result<Page<(ItemPath, Item)>, CollectionError> {
    let (mut rows, mut next) = (Vec::new(), None);
    for rank in ranks {
        let id = ItemId {
            publisher: owner.clone(),
            path: rank.1.clone(),
        };
        let Some(item) = item(store, &id)? else {
            continue;
        };
        if rows.len() == limit {
            next = Some([&rank.0.to_be_bytes(), rank.1.as_str().as_bytes()].concat());
            break;
        }
        rows.push((id.path, item));
    }
    Ok(Page { rows, next })
}

fn rank(cursor: &[u8]) -> Result<Rank, CollectionError> {
    let read = || {
        let (weight, path) = cursor.split_at_checked(WEIGHT)?;
        let weight = u64::from_be_bytes(weight.try_into().ok()?);
        Some((weight, std::str::from_utf8(path).ok()?.parse().ok()?))
    };
    read().ok_or_else(|| CollectionError::Invalid("the cursor is damaged".to_owned()))
}

fn weight(order: Order, item: &Item, detections: &HashMap<Sha256, u64>) -> u64 {
    let file = item.file.as_ref();
    let weight = match order.by {
        OrderBy::Path => 0,
        OrderBy::Size => file.map_or(0, |file| file.size_bytes),
        OrderBy::Modified => item.modified_at.millis(),
        OrderBy::Detections => file.map_or(0, |f| detections.get(&f.sha256).copied().unwrap_or(0)),
    };
    if order.descending && order.by != OrderBy::Path {
        u64::MAX - weight
    } else {
        weight
    }
}

/// Returns how many engines detect each blob that any does.
fn detections(store: &Store, owner: &PublisherId) -> Result<HashMap<Sha256, u64>, CollectionError> {
    let prefix = tag_prefix(owner, "detected");
    let page = store.list(&TAGGED, (&prefix, None), SORTED)?;
    if page.next.is_some() {
        return Err(too_many());
    }
    let mut counts = HashMap::new();
    for ((_, _, sha256), ()) in page.rows {
        let standing: Standing = store.get(&STANDINGS, &sha256)?.unwrap_or_default();
        counts.insert(sha256, standing.detections.len() as u64);
    }
    Ok(counts)
}

fn too_many() -> CollectionError {
    CollectionError::Invalid(format!(
        "more than {SORTED} items cannot be put in that order; choose a folder or a tag, or the \
         order of the paths"
    ))
}
