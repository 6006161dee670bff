//! Typed tables over one sled tree; only this file and `layout` know sled's types.
//!
//! A row's key is its table's number, one byte, and then its key in the table:
//! in one tree a batch is atomic by itself, without a transaction that reads
//! whatever it writes. sled 0.34.7 with its edges covered: its `flush` is no
//! fsync, so the database file is synced after it; after an I/O error it stays
//! stuck until reopened, so it can be reopened in place.

use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::rows::{
    BlobRow, ClockRow, EventGlance, HoldRow, KeyRow, LaneKey, ProofRow, ResultKey, SignatureSetRow,
    TicketRow, TimelineRow, TreeActRow,
};
use super::{StoreError, failed, layout};
use crate::model::{
    Analysis, AnalysisId, Comment, Delivery, Dispute, EngineId, EngineResult, Entry, Event,
    FileFacts, FileRequest, Incident, Item, ItemPath, Job, KeyId, Label, Md5, Publisher,
    PublisherId, Rescan, Sha1, Sha256, SignatureSet, SignatureSetId, Standing, Subscription,
    Timestamp, Trashed, Update, Usage, User, UserId, Vendor, VendorId, View,
};

/// One table: its name, the type of its keys and of its rows.
#[derive(Debug)]
pub struct Table<K, V> {
    /// The table's name.
    pub name: &'static str,
    index: usize,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    const fn new(index: usize) -> Self {
        Self {
            name: NAMES[index],
            index,
            types: PhantomData,
        }
    }

    pub(super) const fn index(&self) -> usize {
        self.index
    }
}

pub(super) const TABLES: usize = 56;

/// A table's place here is part of its rows' keys: new tables come last, none ever moves.
pub(super) const NAMES: [&str; TABLES] = [
    "blobs",
    "md5s",
    "sha1s",
    "analyses",
    "results",
    "jobs",
    "keys",
    "tickets",
    "signature_sets",
    "raw_outputs",
    "meta",
    "proofs",
    "sets",
    "updates",
    "clocks",
    "events",
    "seen",
    "timeline",
    "rescans",
    "references",
    "publishers",
    "vendors",
    "users",
    "items",
    "holders",
    "blob_items",
    "tagged",
    "trash",
    "tree_acts",
    "usage",
    "facts",
    "grants",
    "standings",
    "incidents",
    "incident_of",
    "incident_index",
    "threads",
    "comments",
    "file_requests",
    "disputes",
    "subscriptions",
    "unrouted",
    "deliveries",
    "outbox",
    "publisher_events",
    "statistics",
    "dispute_due",
    "disputes_of",
    "kept",
    "deadlines",
    "unread",
    "doomed",
    "labels",
    "unlabeled",
    "views",
    "folders",
];

/// Blobs by SHA-256.
pub const BLOBS: Table<Sha256, BlobRow> = Table::new(0);
/// SHA-256 by MD5.
pub const MD5S: Table<Md5, Sha256> = Table::new(1);
/// SHA-256 by SHA-1.
pub const SHA1S: Table<Sha1, Sha256> = Table::new(2);
/// Analyses; those of a blob lie together, oldest first.
pub const ANALYSES: Table<AnalysisId, Analysis> = Table::new(3);
/// Results; those of an analysis lie together.
pub const RESULTS: Table<ResultKey, EngineResult> = Table::new(4);
/// Jobs that are not done, by their place in their lane.
pub const JOBS: Table<LaneKey, Job> = Table::new(5);
/// API keys.
pub const KEYS: Table<KeyId, KeyRow> = Table::new(6);
/// Upload and download URLs, by the digest of their secret.
pub const TICKETS: Table<Sha256, TicketRow> = Table::new(7);
/// The signature set each engine scans with.
pub const SIGNATURE_SETS: Table<EngineId, SignatureSetRow> = Table::new(8);
/// Raw output, compressed, by the digest of its stored form.
pub const RAW_OUTPUTS: Table<Sha256, Vec<u8>> = Table::new(9);
/// Single values: the commit number.
pub const META: Table<String, u64> = Table::new(10);

/// The last proof that an engine's sandbox holds.
pub const PROOFS: Table<EngineId, ProofRow> = Table::new(11);

/// Signature sets, whatever became of them; those of an engine lie together.
pub const SETS: Table<(EngineId, SignatureSetId), SignatureSet> = Table::new(12);
/// Updates of signatures; those of an engine lie together, oldest first.
pub const UPDATES: Table<(EngineId, u64), Update> = Table::new(13);
/// When each engine was updated last, and how that went.
pub const CLOCKS: Table<EngineId, ClockRow> = Table::new(14);
/// What happened, oldest first.
pub const EVENTS: Table<u64, Event> = Table::new(15);
/// With what an engine last looked at a blob, packed; those of an engine lie together.
pub const SEEN: Table<(EngineId, Sha256), Vec<u8>> = Table::new(16);
/// Every change of an engine's word on a blob, oldest first.
pub const TIMELINE: Table<(Sha256, EngineId, u64), TimelineRow> = Table::new(17);
/// Rescans, oldest first.
pub const RESCANS: Table<u64, Rescan> = Table::new(18);

/// Blobs that every new signature set must be silent on, and since when they are marked so.
pub const REFERENCES: Table<Sha256, Timestamp> = Table::new(19);

/// Publishers.
pub const PUBLISHERS: Table<PublisherId, Publisher> = Table::new(20);
/// Vendors.
pub const VENDORS: Table<VendorId, Vendor> = Table::new(21);
/// Users.
pub const USERS: Table<UserId, User> = Table::new(22);
/// Items; those in a folder lie together, in the order of their names, subfolders' after them.
pub const ITEMS: Table<(PublisherId, ItemPath), Item> = Table::new(23);
/// Which publishers hold a blob, and by how many items.
pub const HOLDERS: Table<(Sha256, PublisherId), HoldRow> = Table::new(24);
/// Which items point at a blob now.
pub const BLOB_ITEMS: Table<(Sha256, PublisherId, ItemPath), ()> = Table::new(25);
/// Which blobs of a publisher have a tag of [`crate::model::Standing::tags`].
pub const TAGGED: Table<(PublisherId, String, Sha256), ()> = Table::new(26);
/// Items in the trash, by when they got there.
pub const TRASH: Table<(PublisherId, u64), Trashed> = Table::new(27);
/// Acts on trees of items that are not done.
pub const TREE_ACTS: Table<(PublisherId, u64), TreeActRow> = Table::new(28);
/// What each publisher keeps.
pub const USAGE: Table<PublisherId, Usage> = Table::new(29);
/// What a blob says of itself.
pub const FACTS: Table<Sha256, FileFacts> = Table::new(30);
/// Who may see a blob: `p:<publisher>` or `k:<key>` brought it here.
pub const GRANTS: Table<(Sha256, String), Timestamp> = Table::new(31);
/// Where blobs of collections stand.
pub const STANDINGS: Table<Sha256, Standing> = Table::new(32);
/// Incidents, oldest first.
pub const INCIDENTS: Table<u64, Incident> = Table::new(33);
/// The incident of a blob, an engine and a publisher.
pub const INCIDENT_OF: Table<(Sha256, EngineId, PublisherId), u64> = Table::new(34);
/// Incidents of a publisher by state, oldest first.
pub const INCIDENT_INDEX: Table<(PublisherId, String, u64), ()> = Table::new(35);
/// Entries of incidents' threads, oldest first.
pub const THREADS: Table<(u64, u64), Entry> = Table::new(36);
/// Vendors' comments: one for each blob and engine.
pub const COMMENTS: Table<(Sha256, EngineId), Comment> = Table::new(37);
/// Vendors' requests for files.
pub const FILE_REQUESTS: Table<(Sha256, PublisherId, VendorId), FileRequest> = Table::new(38);
/// Disputes, oldest first.
pub const DISPUTES: Table<u64, Dispute> = Table::new(39);
/// Who wants to be told of what.
pub const SUBSCRIPTIONS: Table<u64, Subscription> = Table::new(40);
/// Events of which it is not decided yet who is told.
pub const UNROUTED: Table<u64, ()> = Table::new(41);
/// Deliveries by event and subscription.
pub const DELIVERIES: Table<(u64, u64), Delivery> = Table::new(42);
/// When deliveries are due: milliseconds, event, subscription.
pub const OUTBOX: Table<(u64, u64, u64), ()> = Table::new(43);
/// Events that concern a publisher, oldest first; nothing is told of those of an older version.
pub const PUBLISHER_EVENTS: Table<(PublisherId, u64), Option<EventGlance>> = Table::new(44);
/// Daily figures: `p:<publisher>` or `e:<engine>`, and the day as `YYYY-MM-DD`. Present ones:
/// `n:tags:<publisher>` or `n:incidents:<engine>`, and the tag or the state that is counted.
pub const STATISTICS: Table<(String, String), serde_json::Value> = Table::new(45);
/// When something is to be done about a dispute: milliseconds, dispute.
pub const DISPUTE_DUE: Table<(u64, u64), ()> = Table::new(46);
/// Disputes of an incident, oldest first.
pub const DISPUTES_OF: Table<(u64, u64), ()> = Table::new(47);

/// How often a publisher's histories and trash have a blob.
pub const KEPT: Table<(Sha256, PublisherId), u64> = Table::new(48);
/// When incidents are overdue: milliseconds, incident; zero where no deadline is set yet.
pub const DEADLINES: Table<(u64, u64), ()> = Table::new(49);
/// Blobs of which it is still to be read what they say of themselves.
pub const UNREAD: Table<Sha256, ()> = Table::new(50);
/// Blobs that somebody let go of: whether anybody still holds them is to be looked at.
pub const DOOMED: Table<Sha256, ()> = Table::new(51);
/// What family the engines' names for a blob are of.
pub const LABELS: Table<Sha256, Label> = Table::new(52);
/// Blobs of which that is still to be found out.
pub const UNLABELED: Table<Sha256, ()> = Table::new(53);
/// Views by whose they are, `u:<user>` or `k:<key>`, and id.
pub const VIEWS: Table<(String, String), View> = Table::new(54);
/// The folders among the items.
pub const FOLDERS: Table<(PublisherId, ItemPath), ()> = Table::new(55);

/// How often opening the files is tried again.
const REOPENINGS: usize = 100;
/// A file system with fewer free blocks is full to a database.
const FULL_BLOCKS: u64 = 256;

/// Staged writes of one table: a row, or nothing where it is removed.
pub(super) type Writes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A row as sled has it: key and value.
pub(super) type RawRow = (Vec<u8>, Vec<u8>);

#[derive(Debug)]
struct Opened {
    db: sled::Db,
    rows: sled::Tree,
    file: File,
}

/// The database, reopenable in place.
#[derive(Debug)]
pub(super) struct Database {
    dir: PathBuf,
    cache_bytes: u64,
    opened: RwLock<Option<Opened>>,
}

impl Database {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let opened = open_patiently(dir, cache_bytes)?;
        Ok(Self {
            dir: dir.to_owned(),
            cache_bytes,
            opened: RwLock::new(Some(opened)),
        })
    }

    /// Closes and opens the files again, the only way out of an I/O error.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        *opened = None;
        *opened = Some(open_patiently(&self.dir, self.cache_bytes)?);
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the bytes of one row.
    pub fn get(&self, table: usize, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|opened| {
            let value = opened.rows.get(row_key(table, key)).map_err(sled_failed)?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    /// Reads up to `limit` rows after `from`, inclusive, that start with `prefix`.
    pub fn range(
        &self,
        table: usize,
        (prefix, from): (&[u8], &[u8]),
        limit: usize,
    ) -> Result<Vec<RawRow>, StoreError> {
        let (prefix, from) = (row_key(table, prefix), row_key(table, from.max(prefix)));
        self.with(|opened| {
            let rows = opened.rows.range(from..);
            let rows =
                rows.take_while(|row| row.as_ref().map_or(true, |(k, _)| k.starts_with(&prefix)));
            rows.take(limit).map(owned).collect()
        })
    }

    /// Reads the rows from one key to another, both inclusive, however many they are.
    pub fn between(
        &self,
        table: usize,
        (first, last): (&[u8], &[u8]),
    ) -> Result<Vec<RawRow>, StoreError> {
        let (first, last) = (row_key(table, first), row_key(table, last));
        self.with(|opened| opened.rows.range(first..=last).map(owned).collect())
    }

    /// As [`Self::range`], backwards, from the last row before `before`.
    pub fn range_back(
        &self,
        table: usize,
        (prefix, before): (&[u8], &[u8]),
        limit: usize,
    ) -> Result<Vec<RawRow>, StoreError> {
        let (prefix, before) = (row_key(table, prefix), row_key(table, before));
        self.with(|opened| {
            let rows = opened.rows.range(prefix.clone()..before).rev();
            let rows =
                rows.take_while(|row| row.as_ref().map_or(true, |(k, _)| k.starts_with(&prefix)));
            rows.take(limit).map(owned).collect()
        })
    }

    /// Applies writes to all tables at once and makes them durable.
    pub fn apply(&self, writes: Vec<(usize, Writes)>) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        let count: usize = writes.iter().map(|(_, writes)| writes.len()).sum();
        for (table, writes) in writes {
            for (key, value) in writes {
                match value {
                    Some(value) => batch.insert(row_key(table, &key), value),
                    None => batch.remove(row_key(table, &key)),
                }
            }
        }
        self.with(|opened| {
            opened.rows.apply_batch(batch).map_err(sled_failed)?;
            free(&opened.rows, count)?;
            opened.db.flush().map_err(sled_failed)?;
            opened.file.sync_data().map_err(|error| failed(&error))
        })
    }

    /// Says of an error that it came of a full disk, if that is so.
    pub fn explain(&self, error: StoreError) -> StoreError {
        match nix::sys::statvfs::statvfs(&self.dir) {
            Ok(space) if space.blocks_available() < FULL_BLOCKS => StoreError::DiskFull {
                dir: self.dir.clone(),
            },
            Ok(_) | Err(_) => error,
        }
    }

    /// Opens the files if they could not be opened again when that was needed: whoever wants to
    /// read would else wait for somebody who writes.
    fn ensure_open(&self) -> Result<(), StoreError> {
        let is_open = || {
            let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
            opened.is_some()
        };
        if is_open() {
            return Ok(());
        }
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.is_none() {
            let files = open_files(&self.dir, self.cache_bytes);
            *opened = Some(files.map_err(|error| self.explain(error))?);
        }
        Ok(())
    }

    fn with<T>(&self, f: impl FnOnce(&Opened) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.ensure_open()?;
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        match opened.as_ref() {
            Some(opened) => f(opened),
            None => Err(failed(&"it could not be reopened")),
        }
    }
}

/// Opens the files, which sled's own threads let go of a moment after the last handle went.
fn open_patiently(dir: &Path, cache_bytes: u64) -> Result<Opened, StoreError> {
    for _ in 0..REOPENINGS {
        match open_files(dir, cache_bytes) {
            // sled has no other way to tell this from an error that stays.
            Err(StoreError::Failed { reason }) if reason.contains("acquire lock") => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
    open_files(dir, cache_bytes)
}

fn open_files(dir: &Path, cache_bytes: u64) -> Result<Opened, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(cache_bytes)
        .flush_every_ms(None);
    let db = config.open().map_err(sled_failed)?;
    let file = File::open(dir.join("db")).map_err(|error| failed(&error))?;
    let rows = layout::rows(&db, &file)?;
    sync_dir(dir).map_err(|error| failed(&error))?;
    Ok(Opened { db, rows, file })
}

/// Lets sled give back the memory of what a batch replaced.
///
/// A write replaces the whole page of its row. Of what was replaced some is freed each time sled is
/// asked something, and a batch asks once however many rows it has: without more questions all
/// pages that were ever replaced stay in memory, 40 KiB for each item that comes in.
fn free(rows: &sled::Tree, count: usize) -> Result<(), StoreError> {
    for _ in 0..count {
        rows.get([]).map_err(sled_failed)?;
    }
    Ok(())
}

/// Returns where a row is in the one tree.
pub(super) fn row_key(table: usize, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + key.len());
    bytes.extend(u8::try_from(table));
    bytes.extend_from_slice(key);
    bytes
}

fn owned(row: Result<(sled::IVec, sled::IVec), sled::Error>) -> Result<RawRow, StoreError> {
    row.map(|(key, value)| (key[1..].to_vec(), value.to_vec()))
        .map_err(sled_failed)
}

pub(super) fn sled_failed(error: sled::Error) -> StoreError {
    failed(&error)
}

/// Makes the names in a directory survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(super) fn encode<V: Serialize>(table: &'static str, row: &V) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(row).map_err(|error| StoreError::Row {
        table,
        reason: error.to_string(),
    })
}

pub(super) fn decode<V: DeserializeOwned>(
    table: &'static str,
    bytes: &[u8],
) -> Result<V, StoreError> {
    serde_json::from_slice(bytes).map_err(|error| StoreError::Row {
        table,
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Store};
    use super::*;

    /// Mebibytes of memory this process has.
    fn memory() -> u64 {
        let status = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = status.split(' ').nth(1).unwrap().parse().unwrap();
        (pages * 4096) >> 20
    }

    #[tokio::test]
    async fn memory_does_not_grow_with_what_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let mut before = 0;
        for round in 0..60_u64 {
            let write = move |change: &mut Change<'_>| {
                let mut rows = (0..2000).map(|row| format!("a key of some length {row:04}{round}"));
                rows.try_for_each(|key| change.put(&META, &key, &round))
            };
            store.write(write).await.unwrap();
            if round == 9 {
                before = memory();
            }
        }
        let grown = memory().saturating_sub(before);
        assert!(grown < 60, "{grown} MiB for 100,000 rows");
    }
}
