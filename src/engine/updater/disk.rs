//! Room on the disk: what an update takes of it, and what it leaves behind.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::{Job, Shared, UpdateError};
use crate::engine::names::random_name;
use crate::engine::sandbox::Role;

/// How the names of directories begin that a container is to remove from its cache.
pub const TRASH: &str = ".trash-";
/// Directories deeper than this are not followed, nor removed by the daemon itself.
const MAX_DEPTH: usize = 64;
/// How often a container that should be gone is looked for.
const LOOKS: u32 = 50;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What an update takes of the disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Files of the candidate that the active set has not.
    pub candidate: u64,
    /// Files of the download cache.
    pub cache: u64,
}

impl Taken {
    /// Tells whether either has come to the limit in mebibytes.
    pub const fn is_over(self, limit_mb: u64) -> bool {
        let limit = limit_mb << 20;
        self.candidate >= limit || self.cache >= limit
    }
}

impl Shared {
    /// Makes the directories updates need. Blocks.
    pub fn make_dirs(&self) -> io::Result<()> {
        let cache = self.cache_dir();
        let engine = &self.parts.manifest.id;
        for dir in [&cache, &self.parts.config.storage.updates_dir(engine)] {
            // What is in there may be written by anybody, so nobody may get there.
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        fs::set_permissions(&cache, Permissions::from_mode(0o777))
    }
}

impl Job {
    /// Removes containers and directories that a killed update left.
    pub async fn clear(&self) -> Result<(), UpdateError> {
        self.quiet().await?;
        let parts = &self.shared.parts;
        let updates = parts.config.storage.updates_dir(&parts.manifest.id);
        for entry in fs::read_dir(updates)? {
            let name = entry?.file_name();
            self.discard(&name.to_string_lossy()).await?;
        }
        Ok(())
    }

    /// Stops the engine's update containers; returns when there is none.
    ///
    /// # Errors
    /// If Docker does not answer or one does not go: then it may still write.
    pub async fn quiet(&self) -> Result<(), crate::engine::sandbox::SandboxError> {
        let parts = &self.shared.parts;
        for _ in 0..LOOKS {
            let listed = parts.sandbox.list().await?.into_iter();
            let ours =
                listed.filter(|it| it.role == Role::Update && it.engine == parts.manifest.id);
            let ours: Vec<_> = ours.collect();
            if ours.is_empty() {
                return Ok(());
            }
            for state in ours {
                parts.sandbox.stop(&state.container).await?;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(crate::engine::sandbox::SandboxError::Docker {
            action: "remove an update container".to_owned(),
            reason: "it does not go".to_owned(),
        })
    }

    /// Removes a candidate's directory; what is not the daemon's to remove becomes trash.
    pub async fn discard(&self, work: &str) -> io::Result<()> {
        let (work, cache) = (self.work_dir(work), self.shared.cache_dir());
        let discarded = spawn_blocking(move || discard(&work, &cache));
        discarded.await.map_err(io::Error::other)?
    }

    /// Measures what the update takes of the disk.
    pub async fn measure(&self, work: &str) -> io::Result<Taken> {
        let (work, cache) = (self.work_dir(work), self.shared.cache_dir());
        let active = self.active_dir();
        let measured = spawn_blocking(move || {
            let mut known = HashSet::new();
            if let Some(active) = active {
                size_of(&active, &mut known, 0);
            }
            Taken {
                candidate: size_of(&work, &mut known, 0),
                cache: size_of(&cache, &mut known, 0),
            }
        });
        measured.await.map_err(io::Error::other)
    }

    /// # Errors
    /// [`UpdateError::Reserve`] if the disk has not enough room.
    pub async fn check_reserve(&self) -> Result<(), UpdateError> {
        let free_mb = self.free_mb().await?;
        let reserve_mb = self.shared.parts.config.storage.reserve_mb;
        if free_mb >= reserve_mb {
            return Ok(());
        }
        Err(UpdateError::Reserve {
            free_mb,
            reserve_mb,
            output: Vec::new(),
        })
    }

    /// Returns the mebibytes that are free where the data are.
    pub async fn free_mb(&self) -> io::Result<u64> {
        let data_dir = self.shared.parts.config.storage.data_dir.clone();
        let looked = spawn_blocking(move || statvfs(&data_dir)).await;
        let seen = looked.map_err(io::Error::other)??;
        Ok(seen.blocks_available().saturating_mul(seen.fragment_size()) >> 20)
    }
}

/// Sums up what files take on disk, each once; what cannot be looked at counts nothing.
///
/// A command may hide files from the daemon so; that is why it is measured from inside too.
fn size_of(dir: &Path, known: &mut HashSet<(u64, u64)>, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    let mut sum = 0_u64;
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if !known.insert((meta.dev(), meta.ino())) {
            continue;
        }
        sum = sum.saturating_add(meta.blocks() * 512);
        if meta.is_dir() && depth < MAX_DEPTH {
            sum = sum.saturating_add(size_of(&entry.path(), known, depth + 1));
        }
    }
    sum
}

fn discard(work: &Path, cache: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(work) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !kind.is_dir() {
        return fs::remove_file(work);
    }
    // Removing goes down as deep as the directories do.
    if depth_of(work, 0) < MAX_DEPTH && fs::remove_dir_all(work).is_ok() {
        return Ok(());
    }
    let trash: PathBuf = cache.join(format!("{TRASH}{}", random_name()));
    fs::rename(work, &trash).inspect_err(|error| {
        warn!(%error, "Cannot remove {}", work.display());
    })
}

fn depth_of(dir: &Path, depth: usize) -> usize {
    if depth == MAX_DEPTH {
        return depth;
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let depths = dirs.map(|entry| depth_of(&entry.path(), depth + 1));
    depths.max().unwrap_or(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_counts_once_and_only_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let (active, work) = (dir.path().join("active"), dir.path().join("work"));
        fs::create_dir(&active).unwrap();
        fs::create_dir_all(work.join("sub")).unwrap();
        fs::write(active.join("a"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(active.join("a"), work.join("a")).unwrap();
        let mut known = HashSet::new();
        size_of(&active, &mut known, 0);
        assert!(size_of(&work, &mut known.clone(), 0) < 64 << 10);
        fs::write(work.join("sub/b"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(work.join("sub/b"), work.join("c")).unwrap();
        let size = size_of(&work, &mut known, 0);
        assert!((1 << 20..2 << 20).contains(&size), "{size}");
    }

    #[test]
    fn what_is_too_deep_to_remove_becomes_trash() {
        let dir = tempfile::tempdir().unwrap();
        let (work, cache) = (dir.path().join("work"), dir.path().join("cache"));
        fs::create_dir(&cache).unwrap();
        fs::create_dir_all(work.join("d/".repeat(MAX_DEPTH + 10))).unwrap();
        discard(&work, &cache).unwrap();
        let trash = fs::read_dir(&cache).unwrap().next().unwrap().unwrap();
        assert!(trash.file_name().to_string_lossy().starts_with(TRASH));
        fs::create_dir_all(work.join("d/e")).unwrap();
        discard(&work, &cache).unwrap();
        discard(&work, &cache).unwrap();
        assert!(!work.exists());
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
    }
}
