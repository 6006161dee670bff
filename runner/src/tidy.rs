//! Puts in order what an update left, as the user who owns it.
//!
//! The daemon is another user: it can neither read nor remove what the command
//! keeps to itself. Nothing here follows a link, and what fails stays as it is;
//! the daemon sees for itself what came of it.

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getuid};

use crate::args::Tidy;

/// Deeper directories are nobody's signatures.
const MAX_DEPTH: usize = 64;

/// Puts in order; says on stderr what cannot be done.
pub fn run(tidy: &Tidy) -> ExitCode {
    let done = match tidy {
        Tidy::Open(dir) => open(dir, 0),
        Tidy::Discard { dir, prefix } => discard(dir, prefix),
        Tidy::Measure(dir) => {
            println!("{}", size_of(dir, &mut HashSet::new(), 0));
            Ok(())
        }
        Tidy::End => kill(Pid::from_raw(-1), Signal::SIGKILL).map_err(io::Error::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("acquit-runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn open(dir: &Path, depth: usize) -> io::Result<()> {
    // Those of the daemon are open already, and not ours to change.
    let _ = fs::set_permissions(dir, Permissions::from_mode(0o777));
    if depth == MAX_DEPTH {
        return Err(io::Error::other("directories are too deep"));
    }
    let mut last = Ok(());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let opened = open(&entry.path(), depth + 1);
            last = last.and(opened);
        } else if kind.is_file() {
            let mode = entry.metadata()?.permissions().mode() & 0o777;
            let _ = fs::set_permissions(entry.path(), Permissions::from_mode(mode | 0o444));
        }
    }
    last
}

fn discard(dir: &Path, prefix: &str) -> io::Result<()> {
    let mut last = Ok(());
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let removed = match entry.file_type()?.is_dir() {
            true => {
                // What cannot be opened may be empty.
                let _ = open(&path, 0);
                fs::remove_dir_all(&path)
            }
            false => fs::remove_file(&path),
        };
        last = last.and(removed);
    }
    last
}

/// Sums up what this user's files take on disk, each once: the others were there before.
fn size_of(dir: &Path, seen: &mut HashSet<u64>, depth: usize) -> u64 {
    let mut sum = 0_u64;
    // What is gone meanwhile takes nothing.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.uid() == getuid().as_raw() && seen.insert(meta.ino()) {
            sum = sum.saturating_add(meta.blocks() * 512);
        }
        if meta.is_dir() && depth < MAX_DEPTH {
            sum = sum.saturating_add(size_of(&entry.path(), seen, depth + 1));
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("acquit-tidy-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn everything_is_opened_but_what_links_lead_to() {
        let (dir, other) = (scratch("open"), scratch("other"));
        fs::create_dir(dir.join("closed")).unwrap();
        fs::write(dir.join("closed/file"), "").unwrap();
        fs::set_permissions(dir.join("closed/file"), Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(dir.join("closed"), Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(&other, Permissions::from_mode(0o700)).unwrap();
        symlink(&other, dir.join("link")).unwrap();
        open(&dir, 0).unwrap();
        assert_eq!(mode(&dir.join("closed")), 0o777);
        assert_eq!(mode(&dir.join("closed/file")), 0o644);
        assert_eq!(mode(&other), 0o700);
        fs::remove_dir_all(dir).unwrap();
        fs::remove_dir_all(other).unwrap();
    }

    #[test]
    fn every_file_is_measured_once() {
        let dir = scratch("measure");
        fs::create_dir(dir.join("closed")).unwrap();
        fs::write(dir.join("closed/a"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(dir.join("closed/a"), dir.join("b")).unwrap();
        fs::set_permissions(dir.join("closed"), Permissions::from_mode(0o700)).unwrap();
        let size = size_of(&dir, &mut HashSet::new(), 0);
        assert!((1 << 20..2 << 20).contains(&size), "{size}");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_what_is_named_so_is_discarded() {
        let dir = scratch("discard");
        fs::create_dir_all(dir.join(".trash-1/a/b")).unwrap();
        fs::write(dir.join(".trash-2"), "").unwrap();
        fs::write(dir.join("kept"), "").unwrap();
        discard(&dir, ".trash-").unwrap();
        let left: Vec<_> = fs::read_dir(&dir).unwrap().collect();
        assert_eq!(left.len(), 1);
        discard(&dir, "").unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        fs::remove_dir_all(dir).unwrap();
    }
}
