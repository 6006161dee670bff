//! Files that come in over many requests: `uploads/<name>`, and what is noted of each beside it,
//! `uploads/<name>.json`. Both survive a restart; whoever kept the note says when they go.
//!
//! A file is hashed while it is written. What is there already, after a restart or after an error,
//! is read once and hashed before the next part: the file on the disk is the truth.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

use super::hashes::Hashes;
use super::{Blobs, IncomingError, LOOK_BYTES, Room, Sealed, Written, from_io, pins};

/// Bytes read at a time.
const READ_BYTES: usize = 1 << 20;
/// How the name of a note ends.
const NOTE: &str = ".json";

/// A file of which a part is there.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    room: Room,
    /// Bytes there will be.
    whole: u64,
    hashes: Hashes,
    looked_at: Option<u64>,
    file: Option<File>,
}

/// What is left of a file that came in over many requests.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What was noted of it; nothing if the note is gone.
    pub note: Vec<u8>,
    /// Bytes that are there.
    pub size_bytes: u64,
    /// When the last of them came, or the note.
    pub modified_at: SystemTime,
}

impl Blobs {
    /// Opens a file as far as it is there; it may become `whole` bytes long. Blocks as long as it
    /// takes to read it.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn resume(
        &self,
        name: &str,
        (whole, reserve): (u64, u64),
    ) -> Result<Partial, IncomingError> {
        let path = self.upload(name);
        let hashes = match File::open(&path) {
            Ok(file) => hash(file).map_err(from_io)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Hashes::default(),
            Err(error) => return Err(from_io(error)),
        };
        if hashes.size_bytes() > whole {
            return Err(IncomingError::TooLarge { limit: whole });
        }
        let blobs = self.clone();
        Ok(Partial {
            path,
            room: Room { blobs, reserve },
            whole,
            hashes,
            looked_at: None,
            file: None,
        })
    }

    /// Returns how many bytes of a file are there. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn resumable_bytes(&self, name: &str) -> io::Result<u64> {
        match fs::metadata(self.upload(name)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Notes what a file is, before there is any of it. Blocks.
    ///
    /// A power cut may tear the note, and then takes the upload with it.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn note_upload(&self, name: &str, note: &[u8]) -> Result<(), IncomingError> {
        fs::write(self.upload(&format!("{name}{NOTE}")), note).map_err(from_io)
    }

    /// Returns all files that are coming in over many requests. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn uploads(&self) -> io::Result<Vec<Found>> {
        let mut names = BTreeSet::new();
        for entry in fs::read_dir(self.data_dir.join("uploads"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.insert(name.strip_suffix(NOTE).unwrap_or(&name).to_owned());
        }
        names.into_iter().map(|name| self.find(name)).collect()
    }

    fn find(&self, name: String) -> io::Result<Found> {
        let note_at = self.upload(&format!("{name}{NOTE}"));
        let note = fs::read(&note_at).unwrap_or_default();
        let path = self.upload(&name);
        let metadata = fs::metadata(&path).or_else(|_| fs::metadata(&note_at))?;
        Ok(Found {
            size_bytes: self.resumable_bytes(&name)?,
            name,
            note,
            modified_at: metadata.modified()?,
        })
    }

    /// Removes a file and what is noted of it. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn forget_upload(&self, name: &str) -> io::Result<()> {
        for name in [name, &format!("{name}{NOTE}")] {
            pins::remove(&self.upload(name))?;
        }
        Ok(())
    }

    fn upload(&self, name: &str) -> PathBuf {
        self.data_dir.join("uploads").join(name)
    }
}

impl Partial {
    /// Returns how many bytes are there.
    pub const fn size_bytes(&self) -> u64 {
        self.hashes.size_bytes()
    }

    /// Tells whether all are.
    pub const fn is_whole(&self) -> bool {
        self.size_bytes() == self.whole
    }

    /// Takes the next part. Blocks.
    ///
    /// # Errors
    /// If it is too much, or the file system fails. Some of it may be there then: this is of no
    /// further use, and the file is to be opened again.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), IncomingError> {
        if chunk.is_empty() {
            return Ok(());
        }
        let size = self.size_bytes();
        if size + chunk.len() as u64 > self.whole {
            return Err(IncomingError::TooLarge { limit: self.whole });
        }
        if self.looked_at.is_none_or(|at| size - at >= LOOK_BYTES) {
            self.room.check()?;
            self.looked_at = Some(size);
        }
        let written = self.append_to().and_then(|file| file.write_all(chunk));
        written.map_err(from_io)?;
        self.hashes.update(chunk);
        Ok(())
    }

    /// Opens the file for writing. Never done once it is whole: it may be a blob's by then.
    fn append_to(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let options = options.append(true).create(true).mode(0o600);
                options.open(&self.path)?
            }
        };
        Ok(self.file.insert(file))
    }

    /// Makes what is there survive a power cut and closes the file until the next part. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn rest(&mut self) -> Result<(), IncomingError> {
        match self.file.take() {
            Some(file) => file.sync_data().map_err(from_io),
            None => Ok(()),
        }
    }

    /// Takes the whole file as it is; what comes of it touches nothing of what is here, so that it
    /// can be taken again. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn seal(&mut self) -> Result<Sealed, IncomingError> {
        if self.whole == 0 {
            // Nothing was written, so nothing is there yet.
            self.append_to().map_err(from_io)?;
        }
        self.file = None;
        let incoming = self.room.blobs.data_dir.join("incoming");
        let link = |path: &std::path::Path| {
            fs::hard_link(&self.path, path)?;
            File::open(path)
        };
        let file = tempfile::Builder::new().make_in(incoming, link);
        Ok(Sealed {
            written: Written {
                file: file.map_err(from_io)?,
                digests: self.hashes.digests(),
                size_bytes: self.size_bytes(),
                head: self.hashes.head().to_vec(),
            },
            blobs: self.room.blobs.clone(),
        })
    }
}

fn hash(mut file: File) -> io::Result<Hashes> {
    let (mut hashes, mut buffer) = (Hashes::default(), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hashes),
            read => hashes.update(&buffer[..read]),
        }
    }
}
