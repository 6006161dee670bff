//! Lists of items: a folder, a whole tree, or what has tags.
//!
//! A folder is listed in the order of its names, folders below it behind it. What has tags is
//! found by blob, and listed in that order: putting ten thousand detected files in the order of
//! their paths for each page would cost more than the page. Any other order looks at everything
//! that fits the query, which is bounded.

use std::ops::ControlFlow;

use super::place::{item, publisher};
use super::sieve::{self, Sieve};
use super::{CollectionError, Order, OrderBy, Query, sorted};
use crate::flow::budget::Budget;
use crate::model::{Item, ItemId, ItemPath, PublisherId, Sha256};
use crate::store::{
    BLOB_ITEMS, Depth, ITEMS, Page, RowKey, Store, TAGGED, blob_items_prefix, folder_prefix,
    party_prefix, tag_prefix,
};

/// Rows that are read at once.
pub(super) const READ: usize = 200;
/// Rows of a tag that are counted to find out which is the rarest.
const COUNTED: usize = 1000;

/// An item, and where a page that starts with it starts.
pub(super) type Found = (Vec<u8>, ItemPath, Item);

/// What is come by on the way through what has tags.
pub(super) enum Step {
    /// A blob, before the items that point at it.
    Blob(Sha256),
    /// An item.
    Item(Found),
}

/// Takes what is come by, and says whether to go on.
type Visit<'a> = &'a mut dyn FnMut(Step) -> Result<ControlFlow<()>, CollectionError>;

/// Lists items.
pub fn list(
    store: &Store,
    owner: &PublisherId,
    query: &Query,
    (cursor, limit): (Option<&[u8]>, usize),
) -> Result<Page<(ItemPath, Item)>, CollectionError> {
    let query = resolve(store, owner, query)?;
    let by_path = query.order.by == OrderBy::Path;
    if by_path && query.tags.is_empty() {
        return match query.sieve.is_open() {
            true => by_key(store, (owner, &query), (cursor, limit)),
            false => sieve::by_key(store, (owner, &query), (cursor, limit)),
        };
    }
    if query.order != Order::default() {
        return sorted::list(store, (owner, &query), (cursor, limit));
    }
    let (mut rows, mut next) = (Vec::new(), None);
    // What is found by tags alone fills a page, however far apart it lies.
    let mut budget = (!query.sieve.is_open()).then(Budget::new);
    tagged(store, (owner, &query), cursor, &mut |step| {
        let (key, path, item) = match step {
            Step::Blob(sha256) => {
                if !budget.as_mut().is_some_and(Budget::is_spent) {
                    return Ok(ControlFlow::Continue(()));
                }
                next = Some(sha256.to_bytes());
                return Ok(ControlFlow::Break(()));
            }
            Step::Item(found) => found,
        };
        if rows.len() == limit || budget.as_mut().is_some_and(Budget::is_spent) {
            next = Some(key);
            return Ok(ControlFlow::Break(()));
        }
        if Sieve::fits(store, &query, (&path, &item))? {
            rows.push((path, item));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Page { rows, next })
}

/// Checks that there is what a query is about.
pub(super) fn resolve(
    store: &Store,
    owner: &PublisherId,
    query: &Query,
) -> Result<Query, CollectionError> {
    publisher(store, owner)?;
    let folder = query.folder.as_ref().map(ItemPath::as_folder);
    if let Some(path) = folder.clone().filter(|path| !path.is_root()) {
        let publisher = owner.clone();
        let id = ItemId { publisher, path };
        if item(store, &id)?.is_none() {
            return Err(CollectionError::NotFound { path: id.path });
        }
    }
    let mut query = Query {
        folder,
        ..query.clone()
    };
    // There is an index of these.
    if query.sieve.takes_detected() {
        query.tags.push("detected".to_owned());
    }
    Ok(query)
}

pub(super) fn prefix(owner: &PublisherId, query: &Query) -> Vec<u8> {
    let depth = match query.recursive {
        true => Depth::Recursive,
        false => Depth::Direct,
    };
    match &query.folder {
        Some(folder) => folder_prefix(owner, folder, depth),
        None => party_prefix(owner),
    }
}

fn by_key(
    store: &Store,
    (owner, query): (&PublisherId, &Query),
    (cursor, limit): (Option<&[u8]>, usize),
) -> Result<Page<(ItemPath, Item)>, CollectionError> {
    let prefix = prefix(owner, query);
    let span = (prefix.as_slice(), cursor);
    let page = if query.order.descending {
        store.list_back(&ITEMS, span, limit)?
    } else {
        store.list(&ITEMS, span, limit)?
    };
    let rows = page.rows.into_iter().map(|((_, path), item)| (path, item));
    Ok(Page {
        rows: rows.collect(),
        next: page.next,
    })
}

/// Goes through all that fits a query, until `visit` has enough.
pub(super) fn each(
    store: &Store,
    of: (&PublisherId, &Query),
    visit: &mut dyn FnMut(Found) -> Result<ControlFlow<()>, CollectionError>,
) -> Result<(), CollectionError> {
    let mut visit = |found: Found| match Sieve::fits(store, of.1, (&found.1, &found.2))? {
        true => visit(found),
        false => Ok(ControlFlow::Continue(())),
    };
    if !of.1.tags.is_empty() {
        return tagged(store, of, None, &mut |step| match step {
            Step::Blob(_) => Ok(ControlFlow::Continue(())),
            Step::Item(found) => visit(found),
        });
    }
    let (prefix, mut from) = (prefix(of.0, of.1), None::<Vec<u8>>);
    loop {
        let page = store.list(&ITEMS, (&prefix, from.as_deref()), READ)?;
        for ((_, path), item) in page.rows {
            if visit((Vec::new(), path, item))?.is_break() {
                return Ok(());
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

/// Goes through the items whose blobs have all tags, by blob and path.
fn tagged(
    store: &Store,
    (owner, query): (&PublisherId, &Query),
    cursor: Option<&[u8]>,
    visit: Visit<'_>,
) -> Result<(), CollectionError> {
    let tags = rarest_first(store, owner, &query.tags)?;
    let Some((first, others)) = tags.split_first() else {
        return Ok(());
    };
    let prefix = tag_prefix(owner, first);
    let start = cursor.map(|cursor| cursor.get(..32).unwrap_or(cursor));
    let mut from = start.map(|sha256| [&prefix, sha256].concat());
    loop {
        let page = store.list(&TAGGED, (&prefix, from.as_deref()), READ)?;
        for ((_, _, sha256), ()) in page.rows {
            if visit(Step::Blob(sha256))?.is_break() {
                return Ok(());
            }
            if !has_all(store, owner, (others, sha256))? {
                continue;
            }
            let from = cursor.filter(|cursor| cursor.starts_with(sha256.as_bytes()));
            if items_of(store, (owner, query), (sha256, from), visit)?.is_break() {
                return Ok(());
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(()),
        }
    }
}

/// Goes through the items that point at a blob.
fn items_of(
    store: &Store,
    (owner, query): (&PublisherId, &Query),
    (sha256, from): (Sha256, Option<&[u8]>),
    visit: Visit<'_>,
) -> Result<ControlFlow<()>, CollectionError> {
    let prefix = blob_items_prefix(&sha256, owner);
    let mut from = from.map(<[u8]>::to_vec);
    loop {
        let page = store.list(&BLOB_ITEMS, (&prefix, from.as_deref()), READ)?;
        for (key, ()) in page.rows {
            if !is_wanted(query, &key.2) {
                continue;
            }
            let bytes = key.to_bytes();
            let id = ItemId {
                publisher: key.1,
                path: key.2,
            };
            let Some(item) = item(store, &id)? else {
                continue;
            };
            if visit(Step::Item((bytes, id.path, item)))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(ControlFlow::Continue(())),
        }
    }
}

pub(super) fn is_wanted(query: &Query, path: &ItemPath) -> bool {
    match &query.folder {
        None => true,
        Some(folder) if query.recursive => path.is_below(folder),
        Some(folder) => path.parent().as_ref() == Some(folder),
    }
}

/// Tells whether an item has every one of a query's tags, and all else that it asks for.
pub(super) fn fits(
    store: &Store,
    owner: &PublisherId,
    query: &Query,
    (path, item): (&ItemPath, &Item),
) -> Result<bool, CollectionError> {
    let tagged = match &item.file {
        None => query.tags.is_empty(),
        Some(file) => has_all(store, owner, (&query.tags, file.sha256))?,
    };
    Ok(tagged && Sieve::fits(store, query, (path, item))?)
}

/// Tells whether a blob has all tags.
fn has_all(
    store: &Store,
    owner: &PublisherId,
    (tags, sha256): (&[String], Sha256),
) -> Result<bool, CollectionError> {
    for tag in tags {
        let key = (owner.clone(), tag.clone(), sha256);
        if store.get(&TAGGED, &key)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Puts the tag of the fewest blobs first: those are looked at.
fn rarest_first(
    store: &Store,
    owner: &PublisherId,
    tags: &[String],
) -> Result<Vec<String>, CollectionError> {
    let mut tags = tags.to_vec();
    tags.sort();
    tags.dedup();
    if tags.len() < 2 {
        return Ok(tags);
    }
    let mut counted = Vec::with_capacity(tags.len());
    for tag in tags {
        let span = (&*tag_prefix(owner, &tag), None);
        counted.push((store.list(&TAGGED, span, COUNTED)?.rows.len(), tag));
    }
    counted.sort();
    Ok(counted.into_iter().map(|(_, tag)| tag).collect())
}
