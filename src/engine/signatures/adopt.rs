//! Takes a candidate that an update left: what is new is copied, the rest is linked.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::walk::{Found, WalkError, unreadable, walk};
use super::{Kept, PARTIAL, copy, digest_of, digest_of_all, link_or_copy, sidecar};
use crate::model::SignatureSetId;

/// Most bytes a set may have.
const MAX_BYTES: u64 = 64 << 30;

/// Why a candidate cannot become a set. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// There is something in it that no set may have.
    #[error("{file} {reason}")]
    Refused {
        /// What, as a path below the candidate that is safe to show.
        file: String,
        /// Why not.
        reason: String,
    },
    /// It has no file, or more than a set may have.
    #[error("{0}")]
    Size(String),
    /// The file system failed.
    #[error("the signature set cannot be kept: {0}")]
    Io(#[from] io::Error),
}

/// One file of the set to be, and where its bytes are.
struct Item {
    from: PathBuf,
    digest: String,
    size_bytes: u64,
    shared: bool,
}

/// Makes a set of the files an update left, unless it is there. Blocks.
///
/// Nobody may write to `work` any more. What is the very file of the parent, or has the same
/// bytes at the same path, is linked from it; everything else is copied, and is the daemon's.
///
/// # Errors
/// [`AdoptError`]; then the sets are as they were.
pub fn adopt(work: &Path, parent: Option<&Path>, sets: &Path) -> Result<Kept, AdoptError> {
    let found = walk(work)?;
    let size_bytes = found
        .iter()
        .fold(0_u64, |sum, file| sum.saturating_add(file.size_bytes));
    if found.is_empty() {
        return Err(AdoptError::Size("there are no files in it".to_owned()));
    }
    if size_bytes > MAX_BYTES {
        let limit = MAX_BYTES >> 30;
        return Err(AdoptError::Size(format!("it is larger than {limit} GB")));
    }
    let parent = Parent::open(parent)?;
    let mut items = BTreeMap::new();
    for file in found {
        let item = parent.item(work, &file)?;
        items.insert(file.path, item);
    }
    let digests = items
        .iter()
        .map(|(path, item)| (path.clone(), item.digest.clone()))
        .collect();
    let digest = digest_of_all(&digests);
    let set = sets.join(&digest[..16]);
    let own_bytes = match fs::symlink_metadata(&set) {
        Ok(_) => 0,
        Err(_) => keep(&items, &set)?,
    };
    sidecar::write(&set, &digests)?;
    Ok(Kept {
        id: SignatureSetId(digest[..16].to_owned()),
        digest,
        files: items.len() as u64,
        size_bytes,
        own_bytes,
    })
}

/// The set a candidate was made from.
#[derive(Default)]
struct Parent {
    dir: PathBuf,
    paths: HashMap<(u64, u64), PathBuf>,
    digests: BTreeMap<PathBuf, String>,
}

impl Parent {
    fn open(parent: Option<&Path>) -> Result<Self, AdoptError> {
        let Some(dir) = parent else {
            return Ok(Self::default());
        };
        let files = walk(dir)?.into_iter();
        Ok(Self {
            dir: dir.to_owned(),
            paths: files.map(|file| (file.file, file.path)).collect(),
            digests: known_digests(dir),
        })
    }

    /// Finds out what a file of the candidate is.
    fn item(&self, work: &Path, file: &Found) -> Result<Item, AdoptError> {
        let size_bytes = file.size_bytes;
        if let Some(path) = self.paths.get(&file.file) {
            let from = self.dir.join(path);
            let known = self.digests.get(path).cloned();
            return Ok(Item {
                digest: known.map_or_else(|| digest_of(&from), Ok)?,
                from,
                size_bytes,
                shared: true,
            });
        }
        let from = work.join(&file.path);
        let digest = digest_of(&from).map_err(|error| unreadable(&file.path, &error))?;
        if self.digest(&file.path, size_bytes).as_ref() == Some(&digest) {
            return Ok(Item {
                from: self.dir.join(&file.path),
                digest,
                size_bytes,
                shared: true,
            });
        }
        Ok(Item {
            from,
            digest,
            size_bytes,
            shared: false,
        })
    }

    /// Returns the digest of the file at this path, if there is one of that size.
    fn digest(&self, path: &Path, size_bytes: u64) -> Option<String> {
        if self.dir.as_os_str().is_empty() {
            return None;
        }
        let own = self.dir.join(path);
        let meta = fs::symlink_metadata(&own).ok()?;
        if meta.len() != size_bytes {
            return None;
        }
        let known = self.digests.get(path).cloned();
        known.or_else(|| digest_of(&own).ok())
    }
}

/// Returns the digests of a set's files, if they are those the set is named after.
fn known_digests(set: &Path) -> BTreeMap<PathBuf, String> {
    let digests = sidecar::read(set);
    let name = set.file_name().and_then(|name| name.to_str());
    if name == Some(&digest_of_all(&digests)[..16]) {
        return digests;
    }
    BTreeMap::new()
}

/// Writes a set down, all of it or nothing; returns the bytes that were written.
fn keep(items: &BTreeMap<PathBuf, Item>, set: &Path) -> io::Result<u64> {
    let sets = set.parent().ok_or(io::ErrorKind::InvalidInput)?;
    fs::create_dir_all(sets)?;
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempdir_in(sets)?;
    let mut own_bytes = 0;
    for (path, item) in items {
        let to = partial.path().join(path);
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir)?;
        }
        let written = match item.shared {
            true => link_or_copy(&item.from, &to)?,
            false => copy(&item.from, &to)?,
        };
        if !item.shared && written != item.size_bytes {
            return Err(io::Error::other("a file changed while it was copied"));
        }
        own_bytes += written;
    }
    seal(partial.path())?;
    fs::rename(partial.keep(), set)?;
    fs::File::open(sets)?.sync_all()?;
    Ok(own_bytes)
}

/// Lets the engine's user read the directories, whatever the daemon's umask, and makes them durable.
fn seal(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            seal(&entry.path())?;
        }
    }
    fs::File::open(dir)?.sync_all()
}

impl From<WalkError> for AdoptError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Refused { file, reason } => Self::Refused { file, reason },
            WalkError::TooMany => Self::Size(error.to_string()),
            WalkError::Io(error) => Self::Io(error),
        }
    }
}
