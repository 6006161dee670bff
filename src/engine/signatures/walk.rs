//! Lists the files of a set, of which nothing is believed.
//!
//! A candidate was written by a container that had a network: it may hold
//! links, devices, pipes, names that are none, and more of anything than there
//! should be.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// Most files and directories a set may have.
const MAX_ENTRIES: usize = 100_000;
/// Most directories above a file.
const MAX_DEPTH: usize = 16;
/// Most bytes of a name.
const MAX_NAME: usize = 255;

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path below the set.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Device and inode: what makes two names the same file.
    pub file: (u64, u64),
}

/// Why a directory is no set.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// There is something in it that no set may have.
    #[error("{file} {reason}")]
    Refused {
        /// What, as a path below the set that is safe to show.
        file: String,
        /// Why not.
        reason: String,
    },
    /// There is more in it than a set may have.
    #[error("there are more than {MAX_ENTRIES} files and directories")]
    TooMany,
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Lists the regular files below a directory, in order. Follows no link. Blocks.
///
/// # Errors
/// If there is anything else in it than directories and regular files with plain names.
pub fn walk(root: &Path) -> Result<Vec<Found>, WalkError> {
    // What is above the set is the daemon's, but the set itself is not.
    if !fs::symlink_metadata(root)?.is_dir() {
        let error = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(error.into());
    }
    let mut walk = Walk {
        root,
        found: Vec::new(),
        entries: 0,
    };
    walk.below(Path::new(""), 0)?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

/// Opens a regular file for reading, through no link and without waiting for a pipe.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

struct Walk<'a> {
    root: &'a Path,
    found: Vec<Found>,
    entries: usize,
}

impl Walk<'_> {
    fn below(&mut self, dir: &Path, depth: usize) -> Result<(), WalkError> {
        if depth > MAX_DEPTH {
            return Err(refused(dir, "is too deep"));
        }
        let readable = fs::read_dir(self.root.join(dir));
        for entry in readable.map_err(|error| unreadable(dir, &error))? {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(WalkError::TooMany);
            }
            let entry = entry?;
            let name = entry.file_name();
            let path = dir.join(&name);
            if !is_plain(&name) {
                return Err(refused(&path, "has a name that no file of a set may have"));
            }
            let meta = entry.metadata();
            let meta = meta.map_err(|error| unreadable(&path, &error))?;
            if meta.is_dir() {
                self.below(&path, depth + 1)?;
            } else {
                self.file(path, &meta)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PathBuf, meta: &Metadata) -> Result<(), WalkError> {
        if meta.is_symlink() {
            return Err(refused(&path, "is a link"));
        }
        if !meta.is_file() {
            return Err(refused(&path, "is no regular file"));
        }
        self.found.push(Found {
            path,
            size_bytes: meta.len(),
            file: (meta.dev(), meta.ino()),
        });
        Ok(())
    }
}

fn is_plain(name: &OsStr) -> bool {
    let text = name.to_str();
    text.is_some_and(|text| text.len() <= MAX_NAME && !text.chars().any(char::is_control))
}

/// Says what cannot be a part of a set; its name may be anything.
pub(super) fn refused(path: &Path, reason: &str) -> WalkError {
    let shown = path.to_string_lossy();
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    WalkError::Refused {
        file: shown.chars().take(MAX_NAME).map(visible).collect(),
        reason: reason.to_owned(),
    }
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> WalkError {
    refused(path, &format!("cannot be read: {error}"))
}
