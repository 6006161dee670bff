//! The folders by themselves, in step with the items: among a hundred thousand files nobody would
//! find the few of them in time.

use super::Query;
use super::sieve::Looked;
use crate::model::{Item, ItemPath, PublisherId};
use crate::store::{Change, FOLDERS, ITEMS, META, Page, Store, StoreError};

/// Key of the row that is there once all folders are in the index.
const INDEXED: &str = "folders";
/// Items looked at in one change while the index is made.
const STEP: usize = 2000;

type Key = (PublisherId, ItemPath);

/// Writes an item.
pub fn put(change: &mut Change<'_>, key: &Key, item: &Item) -> Result<(), StoreError> {
    if is_indexed(key) {
        change.put(&FOLDERS, key, &())?;
    }
    change.put(&ITEMS, key, item)
}

/// Removes an item.
pub fn remove(change: &mut Change<'_>, key: &Key) {
    if is_indexed(key) {
        change.remove(&FOLDERS, key);
    }
    change.remove(&ITEMS, key);
}

/// Tells whether a path belongs into the index. The root, of which something may be said, is in no
/// folder.
fn is_indexed((_, path): &Key) -> bool {
    path.is_folder() && !path.is_root()
}

/// Reads keys of what a query is about, from the index if it wants folders only.
pub fn keys(
    store: &Store,
    query: &Query,
    (span, limit): ((&[u8], Option<&[u8]>), usize),
) -> Result<Page<Key>, StoreError> {
    let only = query.sieve.states.contains(&Looked::Folder);
    match (only && is_made(store)?, query.order.descending) {
        (true, true) => store.keys_back(&FOLDERS, span, limit),
        (true, false) => store.keys(&FOLDERS, span, limit),
        (false, true) => store.keys_back(&ITEMS, span, limit),
        (false, false) => store.keys(&ITEMS, span, limit),
    }
}

fn is_made(store: &Store) -> Result<bool, StoreError> {
    Ok(store.get(&META, &INDEXED.to_owned())?.is_some())
}

/// Makes the index of collections that were there before it, unless it is made.
///
/// # Errors
/// If the store fails.
pub async fn index(store: &Store) -> Result<(), StoreError> {
    if is_made(store)? {
        return Ok(());
    }
    let mut from = None::<Vec<u8>>;
    loop {
        let page = store.keys(&ITEMS, (&[], from.as_deref()), STEP)?;
        let folders: Vec<Key> = page.rows.into_iter().filter(is_indexed).collect();
        store
            .write(move |change| put_there(change, &folders))
            .await?;
        from = page.next;
        if from.is_none() {
            let made = |change: &mut Change<'_>| change.put(&META, &INDEXED.to_owned(), &1);
            return store.write(made).await;
        }
    }
}

/// Puts folders into the index that are there still.
fn put_there(change: &mut Change<'_>, folders: &[Key]) -> Result<(), StoreError> {
    for key in folders {
        if change.get::<_, Item>(&ITEMS, key)?.is_some() {
            change.put(&FOLDERS, key, &())?;
        }
    }
    Ok(())
}
