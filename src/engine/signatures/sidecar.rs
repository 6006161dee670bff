//! The digests of a set's files, beside the set and never inside.
//!
//! They spare reading an unchanged database again. Without them, or with some
//! that make no sense, the files are read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Returns the digests of a set's files, by path; none if they are not known.
pub fn read(set: &Path) -> BTreeMap<PathBuf, String> {
    let text = fs::read(path(set)).unwrap_or_default();
    let digests: BTreeMap<PathBuf, String> = serde_json::from_slice(&text).unwrap_or_default();
    let is_digest = |text: &str| text.len() == 64 && hex::decode(text).is_ok();
    let sane = digests.values().all(|digest| is_digest(digest));
    if sane { digests } else { BTreeMap::new() }
}

/// Writes the digests of a set's files down.
pub fn write(set: &Path, digests: &BTreeMap<PathBuf, String>) -> io::Result<()> {
    let sets = set.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new()
        .prefix(super::PARTIAL)
        .tempfile_in(sets)?;
    file.write_all(&serde_json::to_vec(digests)?)?;
    file.as_file().sync_all()?;
    file.persist(path(set))?;
    Ok(())
}

/// Removes them.
pub fn forget(set: &Path) -> io::Result<()> {
    match fs::remove_file(path(set)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn path(set: &Path) -> PathBuf {
    let mut name = OsString::from(set);
    name.push(".digests");
    PathBuf::from(name)
}
