//! Removes blobs that are nobody's any more.
//!
//! ```text
//! held ──a hold goes──→ doomed ──nobody's, nothing open──→ row gone ──→ file gone ──→ forgotten
//!                          └──held again──→ held
//! ```
//!
//! Each step is done again after a crash: the note stays until file and row are both gone. Between
//! the row and the file the same content may come in again; it is pinned then, and its file stays
//! for the row that comes. What engines said of a blob stays: incidents stand on it.

use futures_util::future::try_join_all;
use tracing::info;

use crate::model::{Analysis, LedgerEntry, LedgerKind, Sha256, Timestamp};
use crate::store::{
    ANALYSES, BLOBS, BlobRow, Change, DOOMED, Discarded, FACTS, GRANTS, HOLDERS, KEPT, LABELS,
    MD5S, REFERENCES, Read, SHA1S, Store, StoreError, UNLABELED, UNREAD,
};

/// Blobs that are looked at in one change.
const STEP: usize = 100;

/// Notes that somebody let go of a blob.
///
/// # Errors
/// If the store fails.
pub fn note(change: &mut Change<'_>, sha256: Sha256) -> Result<(), StoreError> {
    change.put(&DOOMED, &sha256, &())
}

/// Removes the blobs that nobody holds; returns how many files went.
///
/// # Errors
/// If the store or the ledger fails; what was begun is ended the next time.
pub async fn sweep(store: &Store, now: Timestamp) -> Result<usize, StoreError> {
    let (mut count, mut after) = (0, None);
    loop {
        let doomed = store.keys_after(&DOOMED, after.as_ref(), STEP)?;
        let Some(last) = doomed.last().copied() else {
            break;
        };
        let reading = store.clone();
        let idle = blocking(move || idle(&reading, doomed)).await?;
        count += remove(store, idle, now).await?;
        after = Some(last);
    }
    let cleaning = store.clone();
    blocking(move || cleaning.clean_blobs()).await?;
    Ok(count)
}

/// Leaves out blobs that are nobody's and have an analysis that is not complete, however old it is.
fn idle(store: &Store, doomed: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
    let mut idle = Vec::with_capacity(doomed.len());
    for sha256 in doomed {
        if is_held(store, &sha256)? || !is_open(store, &sha256)? {
            idle.push(sha256);
        }
    }
    Ok(idle)
}

fn is_open(store: &Store, sha256: &Sha256) -> Result<bool, StoreError> {
    let mut from = None::<Vec<u8>>;
    loop {
        let page = store.list(&ANALYSES, (sha256.as_bytes(), from.as_deref()), STEP)?;
        let is_pending = |(_, analysis): &(_, Analysis)| !analysis.pending.is_empty();
        if page.rows.iter().any(is_pending) {
            return Ok(true);
        }
        from = page.next;
        if from.is_none() {
            return Ok(false);
        }
    }
}

async fn remove(store: &Store, blobs: Vec<Sha256>, now: Timestamp) -> Result<usize, StoreError> {
    let judge = move |change: &mut Change<'_>| {
        let gone = blobs.into_iter().map(|sha256| judge(change, sha256));
        let gone: Result<Vec<_>, StoreError> = gone.collect();
        Ok(gone?.into_iter().flatten().collect::<Vec<_>>())
    };
    let gone = store.write(judge).await?;
    let told = gone.iter().map(|sha256| tell(store, *sha256, now));
    try_join_all(told).await?;
    let unlinking = store.clone();
    let gone = blocking(move || discard(&unlinking, gone)).await?;
    let count = gone.len();
    store.write(move |change| forget(change, gone)).await?;
    Ok(count)
}

/// Removes the rows of a blob that is nobody's and of which nothing is awaited; returns it if it
/// has none any more.
fn judge(change: &mut Change<'_>, sha256: Sha256) -> Result<Option<Sha256>, StoreError> {
    if is_held(change, &sha256)? {
        change.remove(&DOOMED, &sha256);
        return Ok(None);
    }
    let row: Option<BlobRow> = change.get(&BLOBS, &sha256)?;
    match row {
        Some(row) if !row.open.is_empty() => return Ok(None),
        Some(row) => remove_rows(change, &row)?,
        None => {}
    }
    Ok(Some(sha256))
}

/// Tells whether anybody has a blob: in a collection, a history or a trash, by having brought it,
/// or as a reference.
///
/// # Errors
/// If the store fails.
pub fn is_held(read: &impl Read, sha256: &Sha256) -> Result<bool, StoreError> {
    let span = (sha256.as_bytes().as_slice(), None);
    Ok(!read.rows(&HOLDERS, span, 1)?.is_empty()
        || !read.rows(&KEPT, span, 1)?.is_empty()
        || !read.rows(&GRANTS, span, 1)?.is_empty()
        || read.row(&REFERENCES, sha256)?.is_some())
}

fn remove_rows(change: &mut Change<'_>, row: &BlobRow) -> Result<(), StoreError> {
    let digests = row.digests;
    change.remove(&BLOBS, &digests.sha256);
    change.remove(&FACTS, &digests.sha256);
    change.remove(&UNREAD, &digests.sha256);
    change.remove(&LABELS, &digests.sha256);
    change.remove(&UNLABELED, &digests.sha256);
    // Another file may have the same weak digest.
    if change.get(&MD5S, &digests.md5)? == Some(digests.sha256) {
        change.remove(&MD5S, &digests.md5);
    }
    if change.get(&SHA1S, &digests.sha1)? == Some(digests.sha256) {
        change.remove(&SHA1S, &digests.sha1);
    }
    Ok(())
}

/// Writes into the ledger that a file goes, before it does.
async fn tell(store: &Store, sha256: Sha256, now: Timestamp) -> Result<(), StoreError> {
    let Ok(file) = tokio::fs::metadata(store.blobs().path(&sha256)).await else {
        return Ok(());
    };
    let text = format!("nobody holds {sha256} any more: its bytes are removed");
    info!(blob.sha256 = %sha256, size_bytes = file.len(), "Nobody holds {sha256} any more");
    let entry = LedgerEntry {
        sha256: Some(sha256),
        bytes: Some(file.len()),
        ..LedgerEntry::new(now, LedgerKind::Event, "acquit".to_owned(), text)
    };
    let written = store.ledger().append(entry).await;
    written.map_err(|error| StoreError::Failed {
        reason: error.to_string(),
    })
}

/// Removes files that have no row; returns those that are gone.
fn discard(store: &Store, blobs: Vec<Sha256>) -> Result<Vec<Sha256>, StoreError> {
    let mut gone = Vec::with_capacity(blobs.len());
    for sha256 in blobs {
        match store.discard_blob(&sha256)? {
            Discarded::Gone => gone.push(sha256),
            // It came in again, or is about to: the note is looked at again.
            Discarded::Wanted | Discarded::Pinned => {}
        }
    }
    Ok(gone)
}

/// Removes the notes of blobs that are gone, but for those that have come in again.
fn forget(change: &mut Change<'_>, gone: Vec<Sha256>) -> Result<(), StoreError> {
    for sha256 in gone {
        if change.get(&BLOBS, &sha256)?.is_none() {
            change.remove(&DOOMED, &sha256);
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Failed {
        reason: error.to_string(),
    })?
}
