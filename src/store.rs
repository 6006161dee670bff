//! Everything that must survive: blobs as files, the rest as rows.
//!
//! A change is acknowledged only when it would survive a power cut: rows are
//! written by one thread, in groups, and each group is flushed and
//! synced before anybody is told. The store knows nothing of what a verdict
//! means.

mod blobs;
mod commit;
mod keys;
mod layout;
mod ledger;
mod news;
mod queries;
mod recent;
mod rows;
mod seen;
mod sequence;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use blobs::{Blobs, Discarded, Found, Incoming, IncomingError, Partial, Pin, Sealed};
pub use commit::Change;
pub use keys::{
    Depth, RowKey, blob_items_prefix, engine_prefix, folder_prefix, party_prefix, tag_prefix,
};
pub use ledger::{Ledger, LedgerError, LedgerFilter, Place};
pub use news::News;
pub use queries::{Page, Read};
pub use rows::{
    BlobRow, ClockRow, EventGlance, HoldRow, KeyRow, LaneKey, ProofRow, ResultKey, SignatureSetRow,
    TicketRow, TimelineRow, TreeAct, TreeActRow,
};
pub use seen::{Answered, Pair, SeenRow, word};
pub use tables::{
    ANALYSES, BLOB_ITEMS, BLOBS, CLOCKS, COMMENTS, DEADLINES, DELIVERIES, DISPUTE_DUE, DISPUTES,
    DISPUTES_OF, DOOMED, EVENTS, FACTS, FILE_REQUESTS, FOLDERS, GRANTS, HOLDERS, INCIDENT_INDEX,
    INCIDENT_OF, INCIDENTS, ITEMS, JOBS, KEPT, KEYS, LABELS, MD5S, META, OUTBOX, PROOFS,
    PUBLISHER_EVENTS, PUBLISHERS, RAW_OUTPUTS, REFERENCES, RESCANS, RESULTS, SEEN, SETS, SHA1S,
    SIGNATURE_SETS, STANDINGS, STATISTICS, SUBSCRIPTIONS, TAGGED, THREADS, TICKETS, TIMELINE,
    TRASH, TREE_ACTS, Table, UNLABELED, UNREAD, UNROUTED, UPDATES, USAGE, USERS, VENDORS, VIEWS,
};

use commit::Writer;
use tables::Database;
use tokio::sync::broadcast;

use crate::model::Sha256;

/// What can go wrong with the store, by what the caller can do about it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: nothing was acknowledged, try again when there is room.
    #[error("the disk of {} is full", .dir.display())]
    DiskFull {
        /// The data directory.
        dir: PathBuf,
    },
    /// The database file is older than what it acknowledged: restore a backup.
    #[error(
        "the database in {} has lost acknowledged changes (it is at {found}, {acknowledged} were \
         acknowledged); move it aside and restore the last backup with `acquit restore`",
        .dir.display()
    )]
    Behind {
        /// The database's directory.
        dir: PathBuf,
        /// Last change in the database.
        found: u64,
        /// Last change that was acknowledged.
        acknowledged: u64,
    },
    /// A row cannot be read: the database is damaged or of another version.
    #[error("a row of table {table} cannot be read: {reason}")]
    Row {
        /// Which table.
        table: &'static str,
        /// Why.
        reason: String,
    },
    /// The database or its file system failed.
    #[error("the database failed: {reason}")]
    Failed {
        /// In the words of what failed.
        reason: String,
    },
}

/// The store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<Database>,
    writer: Arc<Writer>,
    blobs: Blobs,
    ledger: Ledger,
}

impl Store {
    /// Opens the store below `data_dir`, or makes an empty one. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Behind`] if the database has lost what it acknowledged.
    pub fn open(data_dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let blobs = Blobs::open(data_dir).map_err(|error| failed(&error))?;
        let database = Arc::new(Database::open(&data_dir.join("db"), cache_bytes)?);
        let writer = Arc::new(Writer::start(Arc::clone(&database), data_dir)?);
        let ledger = open_ledger(data_dir, (&database, &writer))?;
        let store = Self {
            database,
            writer,
            blobs,
            ledger,
        };
        store.clean_blobs()?;
        Ok(store)
    }

    /// Removes the files of blobs that came in and got no row. Blocks.
    ///
    /// # Errors
    /// If the store or the file system fails.
    pub fn clean_blobs(&self) -> Result<(), StoreError> {
        self.blobs.clean(&|sha256| self.has_blob(sha256))
    }

    /// Removes a blob's file, unless it has a row or is coming in. Blocks.
    ///
    /// # Errors
    /// If the store or the file system fails.
    pub fn discard_blob(&self, sha256: &Sha256) -> Result<Discarded, StoreError> {
        self.blobs.discard(sha256, &|sha256| self.has_blob(sha256))
    }

    fn has_blob(&self, sha256: &Sha256) -> Result<bool, StoreError> {
        let row = self.database.get(BLOBS.index(), sha256.as_bytes())?;
        Ok(row.is_some())
    }

    /// Applies a change and waits until it would survive a power cut.
    ///
    /// The closure sees its own writes; if it fails nothing of it is kept. It
    /// runs on the writer's thread, so it must be quick and do no other I/O.
    ///
    /// # Errors
    /// Those of the closure and of the disk. After an error nothing of the change is visible.
    pub async fn write<T, F>(&self, change: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Change<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(change).await
    }

    /// As [`Self::write`], for a change that may also be refused for reasons of its own.
    ///
    /// # Errors
    /// Those of the closure and of the disk. After an error nothing of the change is visible.
    pub async fn attempt<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Change<'_>) -> Result<T, E> + Send + 'static,
    {
        self.writer.write(change).await
    }

    /// Returns hints of what is written from now on, bounded: one who is slow misses some.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.writer.news()
    }

    /// Returns the ledger: what is written there is written before it is done.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Returns the content-addressed files.
    pub const fn blobs(&self) -> &Blobs {
        &self.blobs
    }
}

/// Opens the ledger, which tells the database how many lines it has.
fn open_ledger(
    data_dir: &Path,
    (database, writer): (&Database, &Arc<Writer>),
) -> Result<Ledger, StoreError> {
    const LINES: &str = "ledger";
    let (witnessed, writer) = (commit::noted(database, LINES)?, Arc::clone(writer));
    let witness = Box::new(move |lines| writer.note(LINES, lines));
    let ledger = Ledger::open(&data_dir.join("ledger"), witnessed, witness);
    ledger.map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed {
        reason: error.to_string(),
    }
}
