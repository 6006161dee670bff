//! Finds the files below the given paths, one at a time.
//!
//! Memory grows with the depth of the tree, not with its size. Symbolic links
//! inside a tree are counted, not followed; one named on the command line is.

use std::fs::{FileType, ReadDir};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Deepest nesting that is entered; each level holds a descriptor.
const DEPTH: usize = 256;

/// A file to scan, or why there is none.
#[derive(Debug)]
pub enum Found {
    /// A regular file.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Its size when it was found.
        size: u64,
    },
    /// Something that should have been scanned and cannot be.
    Unreadable {
        /// Where it lies.
        path: PathBuf,
        /// Why, in one sentence.
        reason: String,
    },
    /// A symbolic link, a socket, a pipe or a device inside a folder.
    Passed,
}

/// The files below some paths.
#[derive(Debug)]
pub struct Walk {
    roots: std::vec::IntoIter<PathBuf>,
    open: Vec<(PathBuf, ReadDir)>,
}

impl Walk {
    /// Starts at the given paths.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            roots: paths.into_iter(),
            open: Vec::new(),
        }
    }

    fn root(&mut self, path: PathBuf) -> Option<Found> {
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => self.enter(path),
            Ok(metadata) if metadata.is_file() => Some(Found::File {
                path,
                size: metadata.len(),
            }),
            Ok(metadata) => Some(unreadable(path, kind(metadata.file_type()))),
            Err(error) => Some(unreadable(path, &describe(&error))),
        }
    }

    fn enter(&mut self, path: PathBuf) -> Option<Found> {
        if self.open.len() >= DEPTH {
            return Some(unreadable(path, "folders are nested too deeply"));
        }
        match std::fs::read_dir(&path) {
            Ok(entries) => {
                self.open.push((path, entries));
                None
            }
            Err(error) => Some(unreadable(path, &describe(&error))),
        }
    }

    fn entry(&mut self, entry: io::Result<std::fs::DirEntry>, dir: &Path) -> Option<Found> {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                // A directory that fails once fails on: it is left.
                self.open.pop();
                return Some(unreadable(dir.to_path_buf(), &describe(&error)));
            }
        };
        let path = entry.path();
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => self.enter(path),
            Ok(metadata) if metadata.is_file() => Some(Found::File {
                path,
                size: metadata.len(),
            }),
            Ok(_) => Some(Found::Passed),
            Err(error) => Some(unreadable(path, &describe(&error))),
        }
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let found = match self.open.last_mut() {
                Some((dir, entries)) => {
                    let dir = dir.clone();
                    match entries.next() {
                        Some(entry) => self.entry(entry, &dir),
                        None => {
                            self.open.pop();
                            None
                        }
                    }
                }
                None => {
                    let path = self.roots.next()?;
                    self.root(path)
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

fn unreadable(path: PathBuf, reason: &str) -> Found {
    Found::Unreadable {
        path,
        reason: reason.to_owned(),
    }
}

/// Says what a thing that is no regular file is.
pub fn kind(file_type: FileType) -> &'static str {
    if file_type.is_fifo() {
        "is a pipe, not a file"
    } else if file_type.is_socket() {
        "is a socket, not a file"
    } else if file_type.is_dir() {
        "is a folder, not a file"
    } else {
        "is not a regular file"
    }
}

/// Says what went wrong without the operating system's error number.
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn tree_is_walked_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir(root.join("sub")).unwrap();
        std::fs::write(root.join("sub/a"), "aa").unwrap();
        std::fs::write(root.join("b"), "b").unwrap();
        symlink(root, root.join("sub/loop")).unwrap();
        let (mut files, mut passed) = (Vec::new(), 0);
        for found in Walk::new(vec![root.to_path_buf()]) {
            match found {
                Found::File { path, size } => {
                    files.push((path.strip_prefix(root).unwrap().to_path_buf(), size));
                }
                Found::Passed => passed += 1,
                Found::Unreadable { path, reason } => panic!("{path:?}: {reason}"),
            }
        }
        files.sort();
        assert_eq!(files, [("b".into(), 1), ("sub/a".into(), 2)]);
        assert_eq!(passed, 1);
    }

    #[test]
    fn missing_path_is_said_to_be_missing() {
        let found: Vec<Found> = Walk::new(vec!["/nonexistent/x".into()]).collect();
        let [Found::Unreadable { reason, .. }] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(reason, "there is no such file");
    }
}
