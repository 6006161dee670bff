//! Which items point at which blobs, who may see these for it, and what that counts for.
//!
//! Everything that makes an item point at a blob, or ends it, goes through here, so that the
//! holders, the items of a blob, the grants and the usage are always what a recount would find.

use super::CollectionError;
use crate::flow::events::{self, Draft};
use crate::flow::{doom, facts, standing};
use crate::model::{
    About, EventKind, Item, ItemFile, ItemId, ItemPath, Publisher, PublisherId, Quota, Sha256,
    Timestamp, Usage,
};
use crate::store::{BLOB_ITEMS, Change, GRANTS, HOLDERS, HoldRow, KEPT, StoreError, USAGE};

/// Percent of a quota at which its publisher is told.
const NEARLY: u64 = 90;

/// What items count for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Files.
    pub files: u64,
    /// Bytes, with those of the histories.
    pub bytes: u64,
}

impl Load {
    /// Returns what an item counts for.
    pub fn of(item: &Item) -> Self {
        let Some(file) = &item.file else {
            return Self::default();
        };
        let past = file.history.iter().map(|past| past.size_bytes);
        Self {
            files: 1,
            bytes: file.size_bytes + past.sum::<u64>(),
        }
    }

    /// Returns how much more it is than another one.
    pub const fn beyond(self, other: Self) -> Self {
        Self {
            files: self.files.saturating_sub(other.files),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// Notes that an item points at a blob.
pub fn point(
    change: &mut Change<'_>,
    id: &ItemId,
    sha256: Sha256,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ItemId { publisher, path } = id.clone();
    change.put(&BLOB_ITEMS, &(sha256, publisher.clone(), path), &())?;
    let grant = (sha256, format!("p:{publisher}"));
    if change.get(&GRANTS, &grant)?.is_none() {
        change.put(&GRANTS, &grant, &now)?;
    }
    let key = (sha256, publisher);
    let hold = change.get(&HOLDERS, &key)?;
    let (items, since) = hold.map_or((0, now), |hold: HoldRow| (hold.items, hold.since));
    let hold = HoldRow {
        items: items + 1,
        since,
    };
    change.put(&HOLDERS, &key, &hold)?;
    if items > 0 {
        return Ok(());
    }
    facts::wanted(change, sha256)?;
    standing::held(change, sha256, &key.1, now)
}

/// Notes that an item points at a blob no more. Whether the publisher still keeps the blob is the
/// business of [`unkeep`], which is called after it.
pub fn unpoint(
    change: &mut Change<'_>,
    id: &ItemId,
    sha256: Sha256,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ItemId { publisher, path } = id.clone();
    change.remove(&BLOB_ITEMS, &(sha256, publisher.clone(), path));
    let key = (sha256, publisher);
    let Some(hold) = change.get(&HOLDERS, &key)? else {
        return Ok(());
    };
    if hold.items > 1 {
        let items = hold.items - 1;
        return change.put(&HOLDERS, &key, &HoldRow { items, ..hold });
    }
    change.remove(&HOLDERS, &key);
    standing::released(change, sha256, &key.1, now)
}

/// Notes that an item that points at a blob has another path.
pub fn repoint(
    change: &mut Change<'_>,
    (publisher, sha256): (&PublisherId, Sha256),
    from: &ItemPath,
    to: &ItemPath,
) -> Result<(), StoreError> {
    change.remove(&BLOB_ITEMS, &(sha256, publisher.clone(), from.clone()));
    change.put(&BLOB_ITEMS, &(sha256, publisher.clone(), to.clone()), &())
}

/// Notes that a history or the trash has a blob.
pub fn keep(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    sha256: Sha256,
) -> Result<(), StoreError> {
    let key = (sha256, publisher.clone());
    let times = change.get(&KEPT, &key)?.unwrap_or(0);
    change.put(&KEPT, &key, &(times + 1))
}

/// Notes that a history or the trash has a blob no more. A publisher who has it nowhere may not
/// see it any longer; if nobody else may, it goes.
pub fn unkeep(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    sha256: Sha256,
) -> Result<(), StoreError> {
    let key = (sha256, publisher.clone());
    let times = change.get(&KEPT, &key)?.unwrap_or(0);
    if times > 1 {
        return change.put(&KEPT, &key, &(times - 1));
    }
    change.remove(&KEPT, &key);
    if change.get(&HOLDERS, &key)?.is_none() {
        change.remove(&GRANTS, &(sha256, format!("p:{publisher}")));
        doom::note(change, sha256)?;
    }
    Ok(())
}

/// As [`unkeep`], of everything a file in the trash is and was.
pub fn unkeep_all(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    file: &ItemFile,
) -> Result<(), StoreError> {
    let past = file.history.iter().map(|past| past.sha256);
    for sha256 in past.chain([file.sha256]) {
        unkeep(change, publisher, sha256)?;
    }
    Ok(())
}

/// Counts items that are added.
///
/// # Errors
/// If the publisher may not keep them too.
pub fn charge(
    change: &mut Change<'_>,
    publisher: &Publisher,
    (load, now): (Load, Timestamp),
) -> Result<(), CollectionError> {
    let usage = change.get(&USAGE, &publisher.id)?.unwrap_or_default();
    fits(publisher.quota, usage, load)?;
    let after = Usage {
        bytes: usage.bytes + load.bytes,
        files: usage.files + load.files,
        ..usage
    };
    change.put(&USAGE, &publisher.id, &after)?;
    if is_nearly(publisher.quota, after) && !is_nearly(publisher.quota, usage) {
        warn_of_quota(change, publisher, (after, now))?;
    }
    Ok(())
}

/// Counts items that are gone.
pub fn discharge(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    load: Load,
) -> Result<(), StoreError> {
    let usage = change.get(&USAGE, publisher)?.unwrap_or_default();
    let after = Usage {
        bytes: usage.bytes.saturating_sub(load.bytes),
        files: usage.files.saturating_sub(load.files),
        ..usage
    };
    change.put(&USAGE, publisher, &after)
}

/// Counts an upload among those there ever were.
pub fn count_upload(
    change: &mut Change<'_>,
    publisher: &PublisherId,
    bytes: u64,
) -> Result<(), StoreError> {
    let mut usage = change.get(&USAGE, publisher)?.unwrap_or_default();
    usage.uploaded_files += 1;
    usage.uploaded_bytes += bytes;
    change.put(&USAGE, publisher, &usage)
}

/// Tells whether more would fit into a quota.
///
/// # Errors
/// If it would not: which of the two is used up.
pub fn fits(quota: Quota, usage: Usage, load: Load) -> Result<(), CollectionError> {
    if let Some(allowed) = quota.files
        && load.files > 0
        && usage.files + load.files > allowed
    {
        return Err(CollectionError::FilesExhausted { allowed });
    }
    if let Some(allowed) = quota.bytes
        && load.bytes > 0
        && usage.bytes + load.bytes > allowed
    {
        return Err(CollectionError::BytesExhausted {
            allowed,
            used: usage.bytes,
            wanted: load.bytes,
        });
    }
    Ok(())
}

fn is_nearly(quota: Quota, usage: Usage) -> bool {
    let nearly = |used: u64, allowed: Option<u64>| {
        allowed.is_some_and(|allowed| {
            u128::from(used) * 100 >= u128::from(allowed) * u128::from(NEARLY)
        })
    };
    nearly(usage.bytes, quota.bytes) || nearly(usage.files, quota.files)
}

fn warn_of_quota(
    change: &mut Change<'_>,
    publisher: &Publisher,
    (usage, now): (Usage, Timestamp),
) -> Result<(), StoreError> {
    let about = About {
        publisher: Some(publisher.id.clone()),
        ..About::default()
    };
    let text = format!("{} has used {NEARLY} % of its quota or more", publisher.id);
    let mut draft = Draft::about(now, EventKind::QuotaReached, about, text);
    draft.details = serde_json::json!({"usage": usage, "quota": publisher.quota});
    events::raise(change, draft).map(drop)
}
