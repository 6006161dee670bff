//! What keeps a blob's file while its row is still to be written, and how a file goes.
//!
//! ```text
//! pinned ──file named, marked──→ row written ──→ settled: the mark goes
//!    └── no row comes of it (refused, cancelled, killed) ──→ the mark stays until a look at it
//! ```
//!
//! Nothing removes the file of a blob that is pinned or has a row: both are looked at under one
//! lock, and a pin goes only after its row is there. A mark is a second name of the file in
//! `incoming/`; it tells after a kill which files may lack a row.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::tables::sync_dir;
use super::super::{StoreError, failed};
use super::Blobs;
use crate::model::Sha256;

/// How often each blob is pinned.
#[derive(Clone, Debug, Default)]
pub struct Pins(Arc<Mutex<BTreeMap<Sha256, usize>>>);

impl Pins {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Sha256, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pins a blob.
    pub fn pin(&self, sha256: Sha256) -> Pin {
        *self.lock().entry(sha256).or_insert(0) += 1;
        Pin {
            sha256,
            pins: self.clone(),
            mark: None,
        }
    }
}

/// A blob whose file stays; dropped, it may go if there is no row.
#[derive(Debug)]
pub struct Pin {
    sha256: Sha256,
    pins: Pins,
    mark: Option<PathBuf>,
}

impl Pin {
    /// Returns which blob.
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Notes where the mark is.
    pub(super) fn marked(&mut self, mark: PathBuf) {
        self.mark = Some(mark);
    }

    /// Ends it after the row was written.
    pub fn settle(self) {
        if let Some(mark) = &self.mark {
            // What stays is looked at again.
            let _ = fs::remove_file(mark);
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = self.pins.lock();
        if let Some(times) = pins.get_mut(&self.sha256) {
            *times -= 1;
            if *times == 0 {
                pins.remove(&self.sha256);
            }
        }
    }
}

/// What became of a file that was to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// It is gone.
    Gone,
    /// It has a row.
    Wanted,
    /// It is coming in again.
    Pinned,
}

type HasRow<'f> = &'f dyn Fn(&Sha256) -> Result<bool, StoreError>;

impl Blobs {
    /// Removes a blob's file unless it is wanted. Blocks.
    ///
    /// # Errors
    /// If the store or the file system fails.
    pub(in super::super) fn discard(
        &self,
        sha256: &Sha256,
        has_row: HasRow<'_>,
    ) -> Result<Discarded, StoreError> {
        let path = self.path(sha256);
        let pins = self.pins.lock();
        if pins.contains_key(sha256) {
            return Ok(Discarded::Pinned);
        }
        if has_row(sha256)? {
            return Ok(Discarded::Wanted);
        }
        let removed = fs::remove_file(&path);
        drop(pins);
        match removed {
            Ok(()) => sync_dir(path.parent().unwrap_or(&path)).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
        Ok(Discarded::Gone)
    }

    /// Looks at the marks that nobody holds, and removes what got no row. Blocks.
    ///
    /// # Errors
    /// If the store or the file system fails.
    pub(in super::super) fn clean(&self, has_row: HasRow<'_>) -> Result<(), StoreError> {
        let entries = fs::read_dir(self.data_dir.join("incoming")).map_err(|e| failed(&e))?;
        for entry in entries {
            let mark = entry.map_err(|error| failed(&error))?.path();
            let Some(sha256) = marked(&mark) else {
                continue;
            };
            if self.discard(&sha256, has_row)? != Discarded::Pinned {
                remove(&mark).map_err(|error| failed(&error))?;
            }
        }
        Ok(())
    }
}

/// Returns where the mark of a blob is, made of the name under which it came in.
pub fn mark(came_as: &Path, sha256: &Sha256) -> PathBuf {
    let name = came_as.file_name().unwrap_or_default().to_string_lossy();
    came_as.with_file_name(format!("{sha256}-{name}"))
}

/// Returns which blob's mark a file is, if it is one.
pub fn marked(path: &Path) -> Option<Sha256> {
    let (sha256, _) = path.file_name()?.to_str()?.split_once('-')?;
    sha256.parse().ok()
}

/// Removes a file that may be gone already.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
