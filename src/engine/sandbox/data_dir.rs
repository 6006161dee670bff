//! The directories of the host that containers see, opened without following a link.
//!
//! The data directory belongs to the daemon, which the broker does not trust:
//! it may put a link where a directory should be, and it may do so between the
//! broker's look and Docker's. So every source is opened component by component
//! without following links, kept open, and compared with what the started
//! container really has.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::fstat;

use super::policy::update::{CACHE_DIR, CANDIDATE_DIR};
use super::{Role, SandboxError};
use crate::model::{EngineId, SignatureSetId};

/// The data directory, with links in its own path already resolved.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
}

/// A directory or file of the host that a container is to see.
#[derive(Debug)]
pub struct Source {
    /// Its path without any link.
    pub path: PathBuf,
    /// Where a container sees it.
    pub target: PathBuf,
    device: u64,
    inode: u64,
    _open: OwnedFd,
}

impl DataDir {
    /// Opens the data directory.
    ///
    /// # Errors
    /// Fails if there is none.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let path = std::fs::canonicalize(path)
            .with_context(|| format!("cannot open the data directory {}", path.display()))?;
        Ok(Self { path })
    }

    /// Returns the appliance's id, which its containers carry.
    ///
    /// # Errors
    /// Fails if it can neither be read nor made.
    pub fn instance(&self) -> anyhow::Result<String> {
        crate::system::instance(&self.path)
    }

    /// Finds the directory with the files staged for the engine, or for its canary.
    ///
    /// # Errors
    /// Refuses a missing one and one behind a link.
    pub fn staging(&self, engine: &EngineId, role: Role) -> Result<Source, SandboxError> {
        let target = acquit_runner::wire::SCAN_DIR;
        let name = format!("{engine}{}", role.suffix());
        self.source(&["staging", &name], Path::new(target))
    }

    /// Finds the directory of the socket the engine's runners dial.
    ///
    /// # Errors
    /// Refuses a missing one and one behind a link.
    pub fn runners(&self, engine: &EngineId, role: Role) -> Result<Source, SandboxError> {
        let target = acquit_runner::wire::SOCKET_DIR;
        let name = format!("{engine}{}", role.suffix());
        self.source(&["runners", &name], Path::new(target))
    }

    /// Finds the directory of the candidate that an update works on.
    ///
    /// # Errors
    /// Refuses what is no name of one, a missing one and one behind a link.
    pub fn candidate(&self, engine: &EngineId, work: &str) -> Result<Source, SandboxError> {
        if work.len() != 16 || !is_hex(work) {
            let reason = format!("{work:?} is no name of a candidate");
            return Err(SandboxError::Refused { reason });
        }
        let target = Path::new(CANDIDATE_DIR);
        self.source(&["updates", engine.as_str(), work], target)
    }

    /// Finds the directory of a download cache.
    ///
    /// # Errors
    /// Refuses a missing one and one behind a link.
    pub fn cache(&self, cache: &EngineId) -> Result<Source, SandboxError> {
        self.source(&["cache", cache.as_str()], Path::new(CACHE_DIR))
    }

    /// Opens a directory of the operator's, whose links may be followed: it is root's choice.
    ///
    /// # Errors
    /// Refuses a missing one, and one that shows anything of the data directory.
    pub fn foreign(&self, path: &Path, target: &Path) -> Result<Source, SandboxError> {
        let source = Source::file(path, target)?;
        let path = source.path.display();
        // An update container has a network.
        if source.path.starts_with(&self.path) || self.path.starts_with(&source.path) {
            let reason = format!("{path} would show the data directory to an update");
            return Err(SandboxError::Refused { reason });
        }
        if !source.path.is_dir() {
            let reason = format!("{path} is no directory");
            return Err(SandboxError::Refused { reason });
        }
        Ok(source)
    }

    /// Finds a signature set that the container is to see at `target`.
    ///
    /// # Errors
    /// Refuses what is no id of a set, a missing one and one behind a link.
    pub fn signatures(
        &self,
        engine: &EngineId,
        set: &SignatureSetId,
        target: &Path,
    ) -> Result<Source, SandboxError> {
        if !(8..=64).contains(&set.0.len()) || !is_hex(&set.0) {
            let reason = format!("{:?} is no signature set", set.0);
            return Err(SandboxError::Refused { reason });
        }
        self.source(&["signatures", engine.as_str(), &set.0], target)
    }

    fn source(&self, parts: &[&str], target: &Path) -> Result<Source, SandboxError> {
        let relative: PathBuf = parts.iter().collect();
        let path = self.path.join(&relative);
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH);
        let refuse = |reason: std::io::Error| SandboxError::Refused {
            reason: format!("{} cannot be shown to an engine: {reason}", path.display()),
        };
        let top = File::open(&self.path).map_err(refuse)?;
        let open = openat2(&top, &relative, how).map_err(|errno| refuse(errno.into()))?;
        Source::new(path.clone(), target, open).map_err(refuse)
    }
}

impl Source {
    /// Opens what is not the daemon's, and so is trusted: the runner, an operator's directory.
    ///
    /// # Errors
    /// Refuses a missing one.
    pub fn file(path: &Path, target: &Path) -> Result<Self, SandboxError> {
        let refuse = |error: std::io::Error| SandboxError::Refused {
            reason: format!("{} cannot be mounted: {error}", path.display()),
        };
        let path = std::fs::canonicalize(path).map_err(refuse)?;
        let open = File::open(&path).map_err(refuse)?;
        Self::new(path.clone(), target, open.into()).map_err(refuse)
    }

    fn new(path: PathBuf, target: &Path, open: OwnedFd) -> std::io::Result<Self> {
        let stat = fstat(&open)?;
        Ok(Self {
            path,
            target: target.to_owned(),
            device: stat.st_dev,
            inode: stat.st_ino,
            _open: open,
        })
    }

    /// Tells whether the process `pid` sees this very source at its target.
    ///
    /// # Errors
    /// Fails if that process is gone or must not be looked at.
    pub fn is_seen_by(&self, pid: i64) -> std::io::Result<bool> {
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let inside = self.target.strip_prefix("/").unwrap_or(&self.target);
        let seen = std::fs::symlink_metadata(root.join(inside))?;
        Ok((seen.dev(), seen.ino()) == (self.device, self.inode))
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes()
        .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_dir() -> (tempfile::TempDir, DataDir) {
        let temp = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(temp.path()).unwrap();
        (temp, data_dir)
    }

    #[test]
    fn a_directory_behind_a_link_is_refused_at_any_depth() {
        let (temp, data_dir) = data_dir();
        let engine: EngineId = "yara".parse().unwrap();
        let set = SignatureSetId("0123456789abcdef".to_owned());
        let sets = temp.path().join("signatures/yara");
        std::fs::create_dir_all(&sets).unwrap();
        std::os::unix::fs::symlink("/etc", sets.join(&set.0)).unwrap();
        let target = Path::new("/signatures");
        assert!(data_dir.signatures(&engine, &set, target).is_err());
        std::os::unix::fs::symlink("/etc", temp.path().join("staging")).unwrap();
        let apt: EngineId = "apt".parse().unwrap();
        assert!(data_dir.staging(&apt, Role::Scan).is_err());
        std::fs::create_dir_all(temp.path().join("runners/yara")).unwrap();
        assert!(data_dir.runners(&engine, Role::Scan).is_ok());
        assert!(data_dir.runners(&engine, Role::Canary).is_err());
        assert!(data_dir.runners(&engine, Role::Update).is_err());
    }

    #[test]
    fn candidate_and_cache_are_found_by_their_names_only() {
        let (temp, data_dir) = data_dir();
        let engine: EngineId = "yara".parse().unwrap();
        let updates = temp.path().join("updates/yara");
        std::fs::create_dir_all(updates.join("0123456789abcdef")).unwrap();
        std::os::unix::fs::symlink("/etc", updates.join("0000000000000000")).unwrap();
        assert!(data_dir.candidate(&engine, "0123456789abcdef").is_ok());
        for work in ["", "..", "0000000000000000", "0123456789ABCDEF", "../yara"] {
            assert!(data_dir.candidate(&engine, work).is_err(), "{work}");
        }
        std::fs::create_dir_all(temp.path().join("cache")).unwrap();
        std::os::unix::fs::symlink("/etc", temp.path().join("cache/yara")).unwrap();
        assert!(data_dir.cache(&engine).is_err());
    }

    #[test]
    fn directory_of_the_operator_shows_nothing_of_ours() {
        let (temp, data_dir) = data_dir();
        let rules = tempfile::tempdir().unwrap();
        let target = Path::new("/sources/0");
        std::fs::create_dir_all(temp.path().join("blobs")).unwrap();
        let link = rules.path().join("link");
        std::os::unix::fs::symlink(temp.path().join("blobs"), &link).unwrap();
        let parent = temp.path().parent().unwrap();
        let inside = temp.path().join("blobs");
        for path in [Path::new("/"), parent, temp.path(), &inside, &link] {
            assert!(data_dir.foreign(path, target).is_err(), "{path:?}");
        }
        std::fs::write(rules.path().join("file"), "").unwrap();
        let file = rules.path().join("file");
        assert!(data_dir.foreign(&file, target).is_err());
        let other = rules.path().join("other");
        std::os::unix::fs::symlink(rules.path(), &other).unwrap();
        let found = data_dir.foreign(&other, target).unwrap();
        assert_eq!(found.path, rules.path().canonicalize().unwrap());
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let (temp, data_dir) = data_dir();
        let engine: EngineId = "yara".parse().unwrap();
        std::fs::create_dir_all(temp.path().join("signatures/yara/ABCDEF01")).unwrap();
        for set in [
            "..",
            "../../staging",
            "",
            "0123456",
            "ABCDEF01",
            "0123456g",
            "/etc",
        ] {
            let set = SignatureSetId(set.to_owned());
            let found = data_dir.signatures(&engine, &set, Path::new("/signatures"));
            assert!(found.is_err(), "{set}");
        }
    }
}
