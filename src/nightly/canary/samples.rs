//! The files a candidate is shown: bad ones it must find, good ones it must not.
//!
//! | file | from | expected |
//! |---|---|---|
//! | EICAR | made here | a detection |
//! | known-bad | the operator's directory | a detection |
//! | known-good | the operator's directory | silence |
//! | system | the machine's own programs | silence, unless the active set already speaks |
//! | reference | files of the collection marked so | the same |
//!
//! Files are copied before they are shown: the operator's may be anywhere, and
//! a copy does not change while it is looked at.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256 as Hasher};

use crate::model::{EngineId, Expected, Sha256};

/// Most files a directory of the operator's may hold.
const MAX_FILES: usize = 5000;
/// Most bytes of them together.
const MAX_BYTES: u64 = 4 << 30;
/// Smallest and largest of the machine's programs taken, in bytes.
const PROGRAM_BYTES: std::ops::RangeInclusive<u64> = 8 << 10..=4 << 20;
/// Where the machine's programs are.
const PROGRAMS: &[&str] = &["/usr/bin", "/usr/sbin"];

/// One file to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What the operator knows it as.
    pub file: String,
    /// Where its copy is.
    pub path: PathBuf,
    /// Its content.
    pub sha256: Sha256,
    /// Its extension, if it has a plain one.
    pub extension: Option<String>,
    /// What must be said of it.
    pub expected: Expected,
    /// Whether what the active set says already counts for nothing.
    pub lenient: bool,
}

/// Copies of files to be shown, in a directory of their own that goes with them.
#[derive(Debug)]
pub struct Samples {
    /// The files.
    pub all: Vec<Sample>,
    dir: tempfile::TempDir,
    bytes: u64,
}

/// Why the files cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum SamplesError {
    /// A file cannot be read or copied.
    #[error("cannot read {}: {error}; make it readable by the daemon's user, or remove it", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is too much.
    #[error("{} holds more than {MAX_FILES} files or {} GiB; remove some", .path.display(), MAX_BYTES >> 30)]
    TooMuch {
        /// Where.
        path: PathBuf,
    },
    /// The file system fails.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a file is to be shown for.
#[derive(Clone, Copy, Debug)]
struct Purpose {
    expected: Expected,
    lenient: bool,
}

impl Samples {
    /// Makes an empty collection below a directory. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn new(below: &Path) -> Result<Self, SamplesError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(below)?;
        let dir = tempfile::Builder::new().prefix("show-").tempdir_in(below)?;
        let all = Vec::new();
        Ok(Self { all, dir, bytes: 0 })
    }

    /// Adds a file that must be found. Blocks.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn add_bad(&mut self, name: &str, path: &Path) -> Result<(), SamplesError> {
        let purpose = Purpose {
            expected: Expected::Detection,
            lenient: false,
        };
        self.add((name.to_owned(), path), purpose)
    }

    /// Adds what is in a directory of the operator's, subdirectories of other engines left out;
    /// one that is not there is empty. Blocks.
    ///
    /// # Errors
    /// If a file cannot be copied, or there are too many.
    pub fn add_directory(
        &mut self,
        root: &Path,
        expected: Expected,
        (own, others): (&EngineId, &[EngineId]),
    ) -> Result<(), SamplesError> {
        let others: Vec<_> = others
            .iter()
            .filter(|id| *id != own)
            .map(EngineId::as_str)
            .collect();
        let purpose = Purpose {
            expected,
            lenient: false,
        };
        for path in files_below(root, &others)? {
            let name = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .display()
                .to_string();
            self.add((name, &path), purpose)?;
        }
        Ok(())
    }

    /// Adds programs of this machine, spread over all there are. Blocks.
    ///
    /// # Errors
    /// If the file system fails; a program that cannot be read is passed over.
    pub fn add_programs(&mut self, count: usize) -> Result<(), SamplesError> {
        let found: Vec<_> = PROGRAMS
            .iter()
            .flat_map(|dir| programs(Path::new(dir)))
            .collect();
        let step = found.len().div_ceil(count.max(1)).max(1);
        for path in found.iter().step_by(step).take(count) {
            self.add_lenient(&path.display().to_string(), path)?;
        }
        Ok(())
    }

    /// Adds a file that is taken for good as long as the active set does not speak of it. Blocks.
    ///
    /// # Errors
    /// If the file system fails; a file that cannot be read is passed over.
    pub fn add_lenient(&mut self, name: &str, path: &Path) -> Result<(), SamplesError> {
        let purpose = Purpose {
            expected: Expected::Silence,
            lenient: true,
        };
        match self.add((name.to_owned(), path), purpose) {
            Err(SamplesError::Unreadable { .. }) => Ok(()),
            added => added,
        }
    }

    fn add(&mut self, (file, from): (String, &Path), purpose: Purpose) -> Result<(), SamplesError> {
        let path = self.dir.path().join(self.all.len().to_string());
        let unreadable = |error| SamplesError::Unreadable {
            path: from.to_owned(),
            error,
        };
        let mut source = File::open(from).map_err(unreadable)?;
        let mut copy = File::create(&path)?;
        let (sha256, length) = copy_hashed(&mut source, &mut copy)?;
        fs::set_permissions(&path, Permissions::from_mode(0o444))?;
        self.bytes += length;
        if self.bytes > MAX_BYTES || self.all.len() >= MAX_FILES {
            let path = from.parent().unwrap_or(from).to_owned();
            return Err(SamplesError::TooMuch { path });
        }
        self.all.push(Sample {
            extension: extension(from),
            file,
            path,
            sha256,
            expected: purpose.expected,
            lenient: purpose.lenient,
        });
        Ok(())
    }
}

fn copy_hashed(from: &mut File, to: &mut File) -> io::Result<(Sha256, u64)> {
    let (mut hasher, mut length, mut buffer) = (Hasher::new(), 0, vec![0; 128 << 10]);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((Sha256::new(hasher.finalize().into()), length));
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        length += read as u64;
    }
}

fn extension(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let plain = extension.len() <= 8 && extension.bytes().all(|c| c.is_ascii_alphanumeric());
    plain.then_some(extension)
}

/// Lists regular files below a directory, in order; links are followed to files only.
fn files_below(root: &Path, left_out: &[&str]) -> Result<Vec<PathBuf>, SamplesError> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| SamplesError::Unreadable {
            path: root.to_owned(),
            error,
        })?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if !left_out.iter().any(|other| name == **other) {
                found.extend(files_below(&entry.path(), &[])?);
            }
        } else if entry.path().is_file() {
            found.push(entry.path());
        }
        if found.len() > MAX_FILES {
            let path = root.to_owned();
            return Err(SamplesError::TooMuch { path });
        }
    }
    found.sort();
    Ok(found)
}

/// Lists programs of a directory, in order.
fn programs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let fits = |path: &PathBuf| {
        let meta = fs::symlink_metadata(path);
        meta.is_ok_and(|meta| meta.is_file() && PROGRAM_BYTES.contains(&meta.len()))
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<_> = paths.filter(fits).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_other_engines_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("bad");
        for path in ["a.exe", "set/b.doc", "yara/c", "clamav/deep/d"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, path.display().to_string()).unwrap();
        }
        let engines: Vec<EngineId> = ["clamav", "yara"].map(|id| id.parse().unwrap()).to_vec();
        let mut samples = Samples::new(dir.path()).unwrap();
        let whose = (&engines[0], engines.as_slice());
        samples
            .add_directory(&root, Expected::Detection, whose)
            .unwrap();
        let names: Vec<_> = samples.all.iter().map(|s| s.file.as_str()).collect();
        assert_eq!(names, ["a.exe", "clamav/deep/d", "set/b.doc"]);
        assert_eq!(samples.all[0].extension.as_deref(), Some("exe"));
        let copy = fs::read_to_string(&samples.all[1].path).unwrap();
        assert!(copy.ends_with("clamav/deep/d"));
    }

    #[test]
    fn directory_that_is_not_there_is_empty_and_a_file_that_is_closed_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let engine: EngineId = "yara".parse().unwrap();
        let mut samples = Samples::new(dir.path()).unwrap();
        let whose = (&engine, [].as_slice());
        let missing = dir.path().join("missing");
        samples
            .add_directory(&missing, Expected::Silence, whose)
            .unwrap();
        assert_eq!(samples.all, []);
        let error = samples.add_bad("x", &missing).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
    }

    #[test]
    fn programs_of_this_machine_are_known_good() {
        let dir = tempfile::tempdir().unwrap();
        let mut samples = Samples::new(dir.path()).unwrap();
        samples.add_programs(5).unwrap();
        assert_eq!(samples.all.len(), 5);
        assert!(samples.all.iter().all(|sample| sample.lenient));
    }
}
