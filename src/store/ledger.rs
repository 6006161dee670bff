//! The ledger: append-only files of what happened and what left, written before it did.
//!
//! ```text
//! ledger/2026-11.jsonl   one file a month; a line is described in `model::ledger`
//! ledger/head            number, hash, file and end of the last acknowledged line; by rename
//! META "ledger"          number of the last acknowledged line, in the database, a moment later
//! ```
//!
//! One thread writes, in groups: the lines of all who wait, one sync of the file, then the head,
//! then everybody is told. So whatever lies beyond the head was never acknowledged: after a crash
//! it is kept if it is whole and cut if it is torn. Whatever the head names and is not there was
//! removed by somebody. What finds what:
//!
//! - a line changed, removed, moved or repeated: the chain of hashes;
//! - lines removed at the end: the head, or, if it was edited too, the number in the database;
//! - the last line replaced: the hash in the head, or the line after it;
//! - the head edited or damaged: that it does not fit the lines. What cannot be understood is put
//!   aside as `head.bad`, which stays a fault until somebody has looked into it.
//!
//! A daemon that finds lines missing goes on: it counts on from the last number that was
//! acknowledged, so that the gap stays to be seen.

mod head;
mod read;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::model::{
    LedgerEntry, LedgerFault, LedgerKind, LedgerLine, PublisherId, Sha256, Timestamp,
};
use head::Head;
use writer::{Ticket, WriterThread};

pub use read::{LedgerFilter, Place};

/// Lines that may wait for the writer before callers do.
const WAITING: usize = 1024;

/// A line could not be written: what it is about must not be done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger cannot be written: {reason}")]
pub struct LedgerError {
    /// In the words of what failed.
    pub reason: String,
}

/// Tells somebody else how many lines there are, without waiting for it.
pub(super) type Witness = Box<dyn Fn(u64) + Send>;

/// Where the ledger ends, as acknowledged.
#[derive(Clone, Debug)]
struct End {
    head: Head,
    /// Number of the last line according to the database when it was opened.
    witnessed: u64,
}

/// The ledger; clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    dir: PathBuf,
    lines: SyncSender<Ticket>,
    end: Arc<Mutex<End>>,
}

impl Ledger {
    /// Opens the ledger in a directory, or begins it; `witnessed` is the number of lines that
    /// `witness` was last told of.
    ///
    /// # Errors
    /// If its files cannot be read or made.
    pub(super) fn open(dir: &Path, witnessed: u64, witness: Witness) -> Result<Self, LedgerError> {
        let found = writer::recover(dir, witnessed).map_err(|error| failed(&error))?;
        let end = Arc::new(Mutex::new(End {
            head: found.clone(),
            witnessed,
        }));
        let (lines, waiting) = sync_channel(WAITING);
        let mut thread = WriterThread::new(dir, found, Arc::clone(&end));
        thread.witness = Some(witness);
        std::thread::Builder::new()
            .name("ledger-writer".to_owned())
            .spawn(move || thread.run(&waiting))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            dir: dir.to_owned(),
            lines,
            end,
        })
    }

    /// Writes a line and waits until it would survive a power cut.
    ///
    /// # Errors
    /// If it cannot be written; then what it is about must not be done.
    pub async fn append(&self, entry: LedgerEntry) -> Result<(), LedgerError> {
        let stopped = || failed(&"its writer has stopped");
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket { entry, answer };
        match self.lines.try_send(ticket) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(_)) => return Err(stopped()),
            Err(TrySendError::Full(ticket)) => {
                let lines = self.lines.clone();
                let sent = tokio::task::spawn_blocking(move || lines.send(ticket).is_ok()).await;
                if !matches!(sent, Ok(true)) {
                    return Err(stopped());
                }
            }
        }
        answered.await.map_err(|_| stopped())?
    }

    /// Notes that somebody with a privilege reads what is another's, before it is read.
    ///
    /// # Errors
    /// If it cannot be written; then it must not be read.
    pub async fn access(
        &self,
        (actor, at): (String, Timestamp),
        publisher: Option<PublisherId>,
        sha256: Option<Sha256>,
        text: String,
    ) -> Result<(), LedgerError> {
        let mut entry = LedgerEntry::new(at, LedgerKind::Access, actor, text);
        (entry.publisher, entry.sha256) = (publisher, sha256);
        self.append(entry).await
    }

    /// Follows the chain from the first line to the last acknowledged one, in constant memory;
    /// returns number and hash of the last. Blocks.
    ///
    /// # Errors
    /// If a file cannot be read; inside, the first line that something is wrong with.
    pub fn verify(&self) -> std::io::Result<Result<(u64, Sha256), LedgerFault>> {
        let end = self.end();
        read::verify(&self.dir, &end.head, end.witnessed)
    }

    /// Reads lines that fit, newest first, from `before` on, and where to go on. Blocks.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn list(
        &self,
        filter: &LedgerFilter,
        before: Option<Place>,
        limit: usize,
    ) -> std::io::Result<(Vec<LedgerLine>, Option<Place>)> {
        let from = before.unwrap_or_else(|| Place::end(&self.end().head));
        read::list(&self.dir, filter, from, limit)
    }

    /// Returns the files of the ledger, oldest first, and how much of each belongs to it now: what
    /// an export is made of. Blocks.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn parts(&self) -> std::io::Result<Vec<(PathBuf, u64)>> {
        read::parts(&self.dir, &self.end().head)
    }

    fn end(&self) -> End {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.clone()
    }
}

fn failed(error: &dyn std::fmt::Display) -> LedgerError {
    LedgerError {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
