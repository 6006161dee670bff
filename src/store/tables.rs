//! Typed tables over sled, the only file that knows sled's types.
//!
//! sled 0.34.7 with its edges covered: its `flush` is no fsync, so the
//! database file is synced after it; after an I/O error it stays stuck until
//! reopened, so it can be reopened in place.

use std::fs::File;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};

use super::rows::{
    BlobRow, ClockRow, KeyRow, LaneKey, ProofRow, ResultKey, SeenRow, SignatureSetRow, TicketRow,
    TimelineRow, VerdictRow,
};
use super::{StoreError, failed};
use crate::model::{
    Analysis, AnalysisId, EngineId, EngineResult, Event, Job, KeyId, Md5, Rescan, Sha1, Sha256,
    SignatureSet, SignatureSetId, Timestamp, Update,
};

/// One table: its name, the type of its keys and of its rows.
#[derive(Debug)]
pub struct Table<K, V> {
    /// Name of the sled tree.
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

pub(super) const TABLES: usize = 21;

const NAMES: [&str; TABLES] = [
    "blobs",
    "md5s",
    "sha1s",
    "analyses",
    "results",
    "jobs",
    "keys",
    "tickets",
    "verdicts",
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
/// Last answer of an engine on a blob.
pub const VERDICTS: Table<(Sha256, EngineId), VerdictRow> = Table::new(8);
/// The signature set each engine scans with.
pub const SIGNATURE_SETS: Table<EngineId, SignatureSetRow> = Table::new(9);
/// Raw output, compressed, by the digest of its stored form.
pub const RAW_OUTPUTS: Table<Sha256, Vec<u8>> = Table::new(10);
/// Single values: the commit number.
pub const META: Table<String, u64> = Table::new(11);

/// The last proof that an engine's sandbox holds.
pub const PROOFS: Table<EngineId, ProofRow> = Table::new(12);

/// Signature sets, whatever became of them; those of an engine lie together.
pub const SETS: Table<(EngineId, SignatureSetId), SignatureSet> = Table::new(13);
/// Updates of signatures; those of an engine lie together, oldest first.
pub const UPDATES: Table<(EngineId, u64), Update> = Table::new(14);
/// When each engine was updated last, and how that went.
pub const CLOCKS: Table<EngineId, ClockRow> = Table::new(15);
/// What happened, oldest first.
pub const EVENTS: Table<u64, Event> = Table::new(16);
/// With what an engine last looked at a blob; those of an engine lie together.
pub const SEEN: Table<(EngineId, Sha256), SeenRow> = Table::new(17);
/// Every change of an engine's word on a blob, oldest first.
pub const TIMELINE: Table<(Sha256, EngineId, u64), TimelineRow> = Table::new(18);
/// Rescans, oldest first.
pub const RESCANS: Table<u64, Rescan> = Table::new(19);

/// Blobs that every new signature set must be silent on, and since when they are marked so.
pub const REFERENCES: Table<Sha256, Timestamp> = Table::new(20);

/// A file system with fewer free blocks is full to a database.
const FULL_BLOCKS: u64 = 256;

/// Staged writes of one table: a row, or nothing where it is removed.
pub(super) type Writes = std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A row as sled has it: key and value.
pub(super) type RawRow = (Vec<u8>, Vec<u8>);

#[derive(Debug)]
struct Trees {
    db: sled::Db,
    trees: Vec<sled::Tree>,
    file: File,
}

/// The database, reopenable in place.
#[derive(Debug)]
pub(super) struct Database {
    dir: PathBuf,
    cache_bytes: u64,
    trees: RwLock<Option<Trees>>,
}

impl Database {
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let trees = open_trees(dir, cache_bytes)?;
        Ok(Self {
            dir: dir.to_owned(),
            cache_bytes,
            trees: RwLock::new(Some(trees)),
        })
    }

    /// Closes and opens the files again, the only way out of an I/O error.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        *trees = None;
        *trees = Some(open_trees(&self.dir, self.cache_bytes)?);
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads the bytes of one row.
    pub fn get(&self, table: usize, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|trees| {
            Ok(trees.trees[table]
                .get(key)
                .map_err(sled_failed)?
                .map(|v| v.to_vec()))
        })
    }

    /// Reads up to `limit` rows after `from`, inclusive, that start with `prefix`.
    pub fn range(
        &self,
        table: usize,
        (prefix, from): (&[u8], &[u8]),
        limit: usize,
    ) -> Result<Vec<RawRow>, StoreError> {
        self.with(|trees| {
            let rows = trees.trees[table].range(from.max(prefix)..);
            let rows =
                rows.take_while(|row| row.as_ref().map_or(true, |(k, _)| k.starts_with(prefix)));
            rows.take(limit).map(owned).collect()
        })
    }

    /// As [`Self::range`], backwards, from the last row before `before`.
    pub fn range_back(
        &self,
        table: usize,
        (prefix, before): (&[u8], &[u8]),
        limit: usize,
    ) -> Result<Vec<RawRow>, StoreError> {
        self.with(|trees| {
            let rows = trees.trees[table]
                .range(prefix.to_vec()..before.to_vec())
                .rev();
            let rows =
                rows.take_while(|row| row.as_ref().map_or(true, |(k, _)| k.starts_with(prefix)));
            rows.take(limit).map(owned).collect()
        })
    }

    /// Applies writes to all tables at once and makes them durable.
    pub fn apply(&self, writes: &[(usize, Writes)]) -> Result<(), StoreError> {
        self.with(|trees| {
            let touched: Vec<_> = writes
                .iter()
                .map(|(t, _)| trees.trees[*t].clone())
                .collect();
            transact(&touched, writes)?;
            trees.db.flush().map_err(sled_failed)?;
            trees.file.sync_data().map_err(|error| failed(&error))
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
            let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
            trees.is_some()
        };
        if is_open() {
            return Ok(());
        }
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        if trees.is_none() {
            let opened = open_trees(&self.dir, self.cache_bytes);
            *trees = Some(opened.map_err(|error| self.explain(error))?);
        }
        Ok(())
    }

    fn with<T>(&self, f: impl FnOnce(&Trees) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.ensure_open()?;
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        match trees.as_ref() {
            Some(trees) => f(trees),
            None => Err(failed(&"it could not be reopened")),
        }
    }
}

fn open_trees(dir: &Path, cache_bytes: u64) -> Result<Trees, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(cache_bytes)
        .flush_every_ms(None);
    let db = config.open().map_err(sled_failed)?;
    let open = |name: &&str| db.open_tree(name).map_err(sled_failed);
    let trees = NAMES.iter().map(open).collect::<Result<_, _>>()?;
    let file = File::open(dir.join("db")).map_err(|error| failed(&error))?;
    sync_dir(dir).map_err(|error| failed(&error))?;
    Ok(Trees { db, trees, file })
}

fn transact(trees: &[sled::Tree], writes: &[(usize, Writes)]) -> Result<(), StoreError> {
    let done = trees.transaction(|views| {
        for (view, (_, writes)) in views.iter().zip(writes) {
            for (key, value) in writes {
                match value {
                    Some(value) => view.insert(key.as_slice(), value.as_slice())?,
                    None => view.remove(key.as_slice())?,
                };
            }
        }
        Ok::<(), ConflictableTransactionError<()>>(())
    });
    done.map_err(|error| match error {
        TransactionError::Storage(error) => sled_failed(error),
        TransactionError::Abort(()) => failed(&"a transaction was aborted"),
    })
}

fn owned(row: Result<(sled::IVec, sled::IVec), sled::Error>) -> Result<RawRow, StoreError> {
    row.map(|(key, value)| (key.to_vec(), value.to_vec()))
        .map_err(sled_failed)
}

fn sled_failed(error: sled::Error) -> StoreError {
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
