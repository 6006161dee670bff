//! The first signature set of an engine: what its build context carries.
//!
//! A set is a directory named after the digest of its files, never changed
//! once it has its name, so that a verdict's set says exactly what was used.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::model::SignatureSetId;

/// Copies a directory to `sets/<digest>` unless it is there; returns its name. Blocks.
///
/// # Errors
/// If the seed cannot be read or the file system fails.
pub fn import(seed: &Path, sets: &Path) -> io::Result<SignatureSetId> {
    let mut files = Vec::new();
    collect(seed, Path::new(""), &mut files)?;
    files.sort();
    let id = digest(seed, &files)?;
    let target = sets.join(&id.0);
    if target.exists() {
        return Ok(id);
    }
    fs::create_dir_all(sets)?;
    let partial = tempfile::Builder::new()
        .prefix("partial-")
        .tempdir_in(sets)?;
    for file in &files {
        let to = partial.path().join(file);
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::copy(seed.join(file), &to)?;
        fs::File::open(&to)?.sync_all()?;
    }
    open_to_all(partial.path())?;
    fs::rename(partial.keep(), &target)?;
    Ok(id)
}

/// Lists regular files below a directory; links and devices are no signatures.
fn collect(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

fn digest(root: &Path, files: &[PathBuf]) -> io::Result<SignatureSetId> {
    let mut all = Sha256::new();
    for file in files {
        let mut one = Sha256::new();
        io::copy(&mut fs::File::open(root.join(file))?, &mut one)?;
        all.update(file.as_os_str().as_encoded_bytes());
        all.update([0]);
        all.update(one.finalize());
    }
    let digest = hex::encode(all.finalize());
    Ok(SignatureSetId(digest[..16].to_owned()))
}

/// Lets the engine's own user read the set, whatever the daemon's umask.
fn open_to_all(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        return fs::set_permissions(path, Permissions::from_mode(0o444));
    }
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    fs::read_dir(path)?.try_for_each(|entry| open_to_all(&entry?.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_is_named_after_its_files_and_copied_once() {
        let dir = tempfile::tempdir().unwrap();
        let (seed, sets) = (dir.path().join("seed"), dir.path().join("sets"));
        fs::create_dir_all(seed.join("sub")).unwrap();
        fs::write(seed.join("sub/a.yar"), "rule a { condition: true }").unwrap();
        let first = import(&seed, &sets).unwrap();
        assert_eq!(import(&seed, &sets).unwrap(), first);
        fs::write(seed.join("b.yar"), "").unwrap();
        let second = import(&seed, &sets).unwrap();
        assert_ne!(first, second);
        assert_eq!(fs::read_dir(&sets).unwrap().count(), 2);
        let mode = fs::metadata(sets.join(&second.0).join("sub/a.yar"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o444);
    }
}
