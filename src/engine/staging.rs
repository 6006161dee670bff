//! Shows files to an engine: hard links under names of ours, gone after the batch.
//!
//! A user's file name is an injection channel into an engine, so it never gets
//! here: a staged name is random, at most with an extension that the manifest
//! lists. An engine sees the files of its own running batches and nothing else.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::names::random_name;

/// Where a container sees its staging directory.
const INSIDE: &str = "/scan";
/// Name of the sentinel inside a batch.
const SENTINEL: &str = "sentinel";

/// A file that is to be shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Where its bytes are.
    pub blob: PathBuf,
    /// The extension the engine may see.
    pub extension: Option<String>,
}

/// Files an engine can see now. Dropped, they are gone.
#[derive(Debug)]
pub struct Batch {
    dir: PathBuf,
    list: PathBuf,
    /// The files' paths inside the container, in the order given.
    pub files: Vec<String>,
    /// The sentinel's path inside the container, if one was staged.
    pub sentinel: Option<String>,
    /// The batch's directory inside the container.
    pub inside_dir: String,
    /// The list file inside the container.
    pub inside_list: String,
}

/// One engine's staging directory.
#[derive(Clone, Debug)]
pub struct Staging {
    root: PathBuf,
    sentinel: PathBuf,
}

impl Staging {
    /// Makes the directory and removes what a crash left in it. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn open(root: &Path, sentinel: &Path) -> io::Result<Self> {
        if root.exists() {
            for entry in fs::read_dir(root)? {
                remove(&entry?.path())?;
            }
        } else {
            DirBuilder::new().recursive(true).create(root)?;
        }
        // Enterable, not listable: another batch's random name cannot be found out.
        fs::set_permissions(root, Permissions::from_mode(0o711))?;
        Ok(Self {
            root: root.to_owned(),
            sentinel: sentinel.to_owned(),
        })
    }

    /// Stages files for one batch, with the sentinel last if the parser wants one. Blocks.
    ///
    /// # Errors
    /// If a blob is gone or the file system fails; then nothing stays staged.
    pub fn stage(&self, shown: &[Shown], sentinel: Sentinel) -> io::Result<Batch> {
        let name = random_name();
        let dir = self.root.join(&name);
        DirBuilder::new().mode(0o755).create(&dir)?;
        fs::set_permissions(&dir, Permissions::from_mode(0o755))?;
        let mut batch = Batch {
            list: self.root.join(format!("{name}.list")),
            dir,
            files: Vec::with_capacity(shown.len()),
            sentinel: None,
            inside_dir: format!("{INSIDE}/{name}"),
            inside_list: format!("{INSIDE}/{name}.list"),
        };
        for file in shown {
            let mut staged = random_name();
            if let Some(extension) = &file.extension {
                staged.push('.');
                staged.push_str(extension);
            }
            batch.link(&file.blob, &staged)?;
            let inside = format!("{}/{staged}", batch.inside_dir);
            batch.files.push(inside);
        }
        if sentinel == Sentinel::Wanted {
            batch.link(&self.sentinel, SENTINEL)?;
            batch.sentinel = Some(format!("{}/{SENTINEL}", batch.inside_dir));
        }
        batch.write_list()?;
        Ok(batch)
    }
}

/// Whether a file that must be detected goes with the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sentinel {
    /// The engine says nothing about clean files: its silence must be proven.
    Wanted,
    /// The engine answers for every file.
    Needless,
}

impl Batch {
    fn link(&self, blob: &Path, name: &str) -> io::Result<()> {
        fs::hard_link(blob, self.dir.join(name))
    }

    fn write_list(&self) -> io::Result<()> {
        let mut list = fs::File::create(&self.list)?;
        let mut text = String::new();
        for path in self.files.iter().chain(&self.sentinel) {
            text.push_str(path);
            text.push('\n');
        }
        list.write_all(text.as_bytes())?;
        list.set_permissions(Permissions::from_mode(0o444))
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next start.
        let _ = fs::remove_dir_all(&self.dir);
        let _ = fs::remove_file(&self.list);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

/// Writes the sentinel, the EICAR test file, put together here so that no copy lies in the program.
///
/// # Errors
/// If the file system fails.
pub fn write_sentinel(path: &Path) -> io::Result<()> {
    let text = [
        r"X5O!P%@AP[4\PZX54(P^)7CC)7}$",
        "EICAR-STANDARD",
        "ANTIVIRUS-TEST-FILE!$H+H*",
    ];
    if fs::read(path).is_ok_and(|bytes| bytes == text_of(&text)) {
        return Ok(());
    }
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&text_of(&text))?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o444))?;
    file.persist(path)?;
    Ok(())
}

fn text_of(parts: &[&str; 3]) -> Vec<u8> {
    format!("{}{}-{}", parts[0], parts[1], parts[2]).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_shows_links_under_names_of_ours_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let blob = dir.path().join("blob");
        fs::write(&blob, "content").unwrap();
        let sentinel = dir.path().join("eicar");
        write_sentinel(&sentinel).unwrap();
        assert_eq!(fs::metadata(&sentinel).unwrap().len(), 68);
        let root = dir.path().join("staging");
        let staging = Staging::open(&root, &sentinel).unwrap();
        let shown = Shown {
            blob,
            extension: Some("exe".to_owned()),
        };
        let batch = staging.stage(&[shown], Sentinel::Wanted).unwrap();
        let staged = root.join(batch.files[0].strip_prefix("/scan/").unwrap());
        assert_eq!(fs::read_to_string(&staged).unwrap(), "content");
        assert!(batch.files[0].ends_with(".exe"));
        let list = root.join(batch.inside_list.strip_prefix("/scan/").unwrap());
        assert_eq!(fs::read_to_string(list).unwrap().lines().count(), 2);
        drop(batch);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_a_crash_are_swept_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("staging");
        fs::create_dir_all(root.join("0123456789abcdef")).unwrap();
        fs::write(root.join("0123456789abcdef/x"), "").unwrap();
        fs::write(root.join("x.list"), "").unwrap();
        Staging::open(&root, &dir.path().join("eicar")).unwrap();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
    }
}
