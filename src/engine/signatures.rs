//! Signature sets on disk: kept, handed to an update, taken back, removed.
//!
//! ```text
//! signatures/<engine>/<id>          the files of a set, never changed
//! signatures/<engine>/<id>.digests  their digests, so that they are not read again
//! signatures/<engine>/partial-…     what is being made or removed
//! ```
//!
//! A set is a directory named after the digest of its files, never changed
//! once it has its name, so that a verdict's set says exactly what was used.
//! What two sets have in common they share by hard links.

mod adopt;
mod sidecar;
mod walk;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use self::adopt::{AdoptError, adopt};
pub use self::walk::{Found, WalkError, walk};
use crate::model::SignatureSetId;

/// Prefix of a set that has no name yet or has lost it.
const PARTIAL: &str = "partial-";

/// A set that is on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name: the first 16 digits of its digest.
    pub id: SignatureSetId,
    /// Digest of its files: SHA-256 in hexadecimal.
    pub digest: String,
    /// How many files it has.
    pub files: u64,
    /// Their size in bytes.
    pub size_bytes: u64,
    /// Bytes that were written for it; 0 if it was there already.
    pub own_bytes: u64,
}

/// Copies a directory to `sets/<id>` unless it is there. Blocks.
///
/// # Errors
/// If the seed cannot be read, has something in it that is no signature, or the file system fails.
pub fn import(seed: &Path, sets: &Path) -> io::Result<Kept> {
    adopt(seed, None, sets).map_err(io::Error::other)
}

/// Fills a new directory with links to the files of a set, for an update to work on. Blocks.
///
/// The engine's user may replace and delete in it, but not change a file that is a link: those
/// are the daemon's.
///
/// # Errors
/// If the directory is there already, or the file system fails.
pub fn prepare(active: Option<&Path>, work: &Path) -> io::Result<()> {
    fs::create_dir(work)?;
    open_dir(work)?;
    let Some(active) = active else {
        return Ok(());
    };
    for found in walk(active).map_err(io::Error::other)? {
        let to = work.join(&found.path);
        let parents = found.path.ancestors().skip(1);
        let missing: Vec<_> = parents.map(|it| work.join(it)).collect();
        for dir in missing.iter().rev().filter(|dir| !dir.exists()) {
            fs::create_dir(dir)?;
            open_dir(dir)?;
        }
        link_or_copy(&active.join(&found.path), &to)?;
    }
    Ok(())
}

/// Removes a set that is not in service. Blocks.
///
/// A crash in the middle leaves no half set under its name.
///
/// # Errors
/// If the file system fails.
pub fn remove(set: &Path) -> io::Result<()> {
    let sets = set.parent().ok_or(io::ErrorKind::InvalidInput)?;
    sidecar::forget(set)?;
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(sets)?;
    match fs::rename(set, partial.path().join("set")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => partial.close(),
    }
}

/// Reads every file of a set and tells whether they are what its digest says. Blocks.
///
/// # Errors
/// If the set is not there, has something in it that is no signature, or cannot be read.
pub fn verify(set: &Path, digest: &str) -> io::Result<bool> {
    let mut digests = BTreeMap::new();
    for found in walk(set).map_err(io::Error::other)? {
        let read = digest_of(&set.join(&found.path))?;
        digests.insert(found.path, read);
    }
    Ok(digest_of_all(&digests) == digest)
}

/// Removes what a crash left of sets that were being made or removed. Blocks.
///
/// # Errors
/// If the file system fails.
pub fn sweep(sets: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(sets) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            continue;
        }
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// Digest of a set: each path and the digest of its bytes, in order.
fn digest_of_all(digests: &BTreeMap<PathBuf, String>) -> String {
    let mut all = Sha256::new();
    for (path, digest) in digests {
        all.update(path.as_os_str().as_encoded_bytes());
        all.update([0]);
        all.update(hex::decode(digest).unwrap_or_default());
    }
    hex::encode(all.finalize())
}

/// Digest of one file, read through no link.
fn digest_of(path: &Path) -> io::Result<String> {
    let mut one = Sha256::new();
    io::copy(&mut walk::open(path)?, &mut one)?;
    Ok(hex::encode(one.finalize()))
}

/// Links a file of a set; a file system that allows no more links gets a copy.
///
/// Returns the bytes that were written.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<u64> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::TooManyLinks => copy(from, to),
        Err(error) => Err(error),
    }
}

/// Copies a file through no link, durably, readable for the engine's user and for nobody to change.
fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let mut file = fs::File::create_new(to)?;
    let bytes = io::copy(&mut walk::open(from)?, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o444))?;
    file.sync_all()?;
    Ok(bytes)
}

/// Lets the engine's user make and remove files, whatever the daemon's umask.
fn open_dir(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(0o777))
}

#[cfg(test)]
mod tests;
