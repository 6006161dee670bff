//! The ledger: an append-only file of what happened and what left, written before it did.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::LedgerEntry;

/// A line could not be written: what it is about must not be done.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ledger cannot be written: {reason}")]
pub struct LedgerError {
    /// In the words of what failed.
    pub reason: String,
}

/// The ledger; clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    file: Arc<Mutex<File>>,
}

impl Ledger {
    /// Opens the ledger in a directory, or begins it.
    ///
    /// # Errors
    /// If its files cannot be read or made.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(dir).map_err(|error| failed(&error))?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("ledger.jsonl"))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// Writes a line and waits until it would survive a power cut.
    ///
    /// # Errors
    /// If it cannot be written; then what it is about must not be done.
    pub async fn append(&self, entry: LedgerEntry) -> Result<(), LedgerError> {
        let file = Arc::clone(&self.file);
        let write = move || {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(&line)?;
            file.sync_data()
        };
        let written = tokio::task::spawn_blocking(write).await;
        let written = written.map_err(|error| failed(&error))?;
        written.map_err(|error| failed(&error))
    }
}

fn failed(error: &dyn std::fmt::Display) -> LedgerError {
    LedgerError {
        reason: error.to_string(),
    }
}
