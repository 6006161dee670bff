//! Content-addressed files: `blobs/ab/cd/<sha256>`, mode 0444, never changed.
//!
//! A file comes in through `incoming/`, is hashed while it is written, and gets
//! its name at once: either it is wholly there or not at all. One that comes in
//! over many requests grows in `uploads/` before that.

mod hashes;
mod partial;
mod pins;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

pub use partial::{Found, Partial};
pub use pins::{Discarded, Pin};

use super::tables::sync_dir;
use crate::model::{Digests, Sha256};
use hashes::Hashes;

/// Chunks that may wait for the disk before the network does.
const WAITING_CHUNKS: usize = 16;
/// Bytes written between two looks at what is free.
const LOOK_BYTES: u64 = 4 << 20;

/// Directories of the data directory that are always there.
const DIRS: [&str; 6] = [
    "blobs",
    "incoming",
    "uploads",
    "staging",
    "runners",
    "signatures",
];

/// What can go wrong with a file that comes in.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// The file is larger than was allowed.
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// What was allowed.
        limit: u64,
    },
    /// The file system failed.
    #[error("cannot store the file")]
    Io(#[source] io::Error),
}

/// The directory of blobs; clones share it.
#[derive(Clone, Debug)]
pub struct Blobs {
    data_dir: Arc<Path>,
    pins: pins::Pins,
}

type Writing = tokio::task::JoinHandle<Result<Written, IncomingError>>;

/// A file that is coming in. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    chunks: mpsc::Sender<Bytes>,
    writer: Option<Writing>,
    blobs: Blobs,
    limit: u64,
    size: u64,
}

/// A file that has come in wholly and has no name yet. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct Sealed {
    written: Written,
    blobs: Blobs,
}

/// A blob that is safely stored.
#[derive(Debug)]
pub struct Stored {
    /// Its names.
    pub digests: Digests,
    /// Its length.
    pub size_bytes: u64,
    /// Its first bytes, to tell what it is.
    pub head: Vec<u8>,
    /// What keeps it until its row is written.
    pub pin: Pin,
}

#[derive(Debug)]
struct Written {
    file: tempfile::NamedTempFile,
    digests: Digests,
    size_bytes: u64,
    head: Vec<u8>,
}

impl Blobs {
    /// Makes the directories and removes what a crash left in `incoming/`, but for the marks of
    /// blobs that may lack a row. Blocks.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        for name in DIRS {
            fs::create_dir_all(data_dir.join(name))?;
        }
        for entry in fs::read_dir(data_dir.join("incoming"))? {
            let path = entry?.path();
            if pins::marked(&path).is_none() {
                pins::remove(&path)?;
            }
        }
        sync_dir(data_dir)?;
        Ok(Self {
            data_dir: data_dir.into(),
            pins: pins::Pins::default(),
        })
    }

    /// Returns where a blob lies, whether or not it is there.
    pub fn path(&self, sha256: &Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.data_dir
            .join("blobs")
            .join(&name[..2])
            .join(&name[2..4])
            .join(name)
    }

    /// Returns how many bytes of the disk are free.
    ///
    /// # Errors
    /// If the file system does not say.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let space = nix::sys::statvfs::statvfs(&*self.data_dir)?;
        Ok(space.blocks_available() as u64 * space.fragment_size() as u64)
    }

    /// Opens a place for a file of at most `limit` bytes; what is in `reserve` stays free.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn receive(&self, limit: u64, reserve: u64) -> Result<Incoming, IncomingError> {
        let incoming = self.data_dir.join("incoming");
        let file = tempfile::NamedTempFile::new_in(incoming).map_err(from_io)?;
        let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
        let room = Room {
            blobs: self.clone(),
            reserve,
        };
        let writer = tokio::task::spawn_blocking(move || write_chunks(file, waiting, &room));
        Ok(Incoming {
            chunks,
            writer: Some(writer),
            blobs: self.clone(),
            limit,
            size: 0,
        })
    }

    /// Gives a file its name. It is pinned before it is looked for, so that it cannot go after it
    /// was found.
    fn keep(&self, written: Written) -> Result<Stored, IncomingError> {
        let Written {
            file,
            digests,
            size_bytes,
            head,
        } = written;
        let mut pin = self.pins.pin(digests.sha256);
        if !self.path(&digests.sha256).exists() {
            self.name(file, &mut pin).map_err(from_io)?;
        }
        Ok(Stored {
            digests,
            size_bytes,
            head,
            pin,
        })
    }

    fn name(&self, file: tempfile::NamedTempFile, pin: &mut Pin) -> io::Result<()> {
        let path = self.path(&pin.sha256());
        let mode = fs::Permissions::from_mode(0o444);
        file.as_file().set_permissions(mode)?;
        file.as_file().sync_all()?;
        fs::create_dir_all(path.parent().unwrap_or(&self.data_dir))?;
        let mark = pins::mark(file.path(), &pin.sha256());
        file.persist(&mark).map_err(|error| error.error)?;
        pin.marked(mark.clone());
        match fs::hard_link(&mark, &path) {
            // The same content came a second time in this moment.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for dir in path.ancestors().skip(1).take(3) {
            sync_dir(dir)?;
        }
        Ok(())
    }
}

impl Incoming {
    /// Takes the next part.
    ///
    /// # Errors
    /// [`IncomingError::TooLarge`] once the limit is passed, and why the file cannot be written.
    /// After an error there is nothing to finish.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), IncomingError> {
        self.size += chunk.len() as u64;
        if self.size > self.limit {
            return Err(IncomingError::TooLarge { limit: self.limit });
        }
        if self.chunks.send(chunk).await.is_ok() {
            return Ok(());
        }
        written(self.writer.take()).await.map(drop)
    }

    /// Ends the file. It is on the disk then, and gone if nobody keeps it.
    ///
    /// # Errors
    /// If the file system failed during any part.
    pub async fn seal(self) -> Result<Sealed, IncomingError> {
        let Self {
            chunks,
            writer,
            blobs,
            ..
        } = self;
        drop(chunks);
        let written = written(writer).await?;
        Ok(Sealed { written, blobs })
    }
}

impl Sealed {
    /// Returns which blob it will be.
    pub const fn sha256(&self) -> Sha256 {
        self.written.digests.sha256
    }

    /// Returns its length.
    pub const fn size_bytes(&self) -> u64 {
        self.written.size_bytes
    }

    /// Gives the file its name. When this returns it survives a power cut.
    ///
    /// # Errors
    /// If the file system fails.
    pub async fn keep(self) -> Result<Stored, IncomingError> {
        let Self { written, blobs } = self;
        let kept = tokio::task::spawn_blocking(move || blobs.keep(written)).await;
        kept.map_err(|error| from_io(io::Error::other(error)))?
    }
}

/// Waits for the end of the writing.
async fn written(writer: Option<Writing>) -> Result<Written, IncomingError> {
    let failed = || from_io(io::Error::other("the file could not be written"));
    let written = writer.ok_or_else(failed)?.await;
    written.map_err(|error| from_io(io::Error::other(error)))?
}

/// What must stay free while a file comes in: the database needs it.
#[derive(Debug)]
struct Room {
    blobs: Blobs,
    reserve: u64,
}

impl Room {
    fn check(&self) -> Result<(), IncomingError> {
        match self.blobs.free_bytes().map_err(from_io)? {
            free if free < self.reserve => Err(IncomingError::DiskFull),
            _ => Ok(()),
        }
    }
}

fn write_chunks(
    mut file: tempfile::NamedTempFile,
    mut chunks: mpsc::Receiver<Bytes>,
    room: &Room,
) -> Result<Written, IncomingError> {
    let (mut hashes, mut looked_at) = (Hashes::default(), 0);
    while let Some(chunk) = chunks.blocking_recv() {
        if hashes.size_bytes() - looked_at >= LOOK_BYTES {
            room.check()?;
            looked_at = hashes.size_bytes();
        }
        file.write_all(&chunk).map_err(from_io)?;
        hashes.update(&chunk);
    }
    Ok(Written {
        file,
        digests: hashes.digests(),
        size_bytes: hashes.size_bytes(),
        head: hashes.head().to_vec(),
    })
}

fn from_io(error: io::Error) -> IncomingError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IncomingError::DiskFull,
        _ => IncomingError::Io(error),
    }
}

/// Opens a blob for reading.
impl Blobs {
    /// Opens a blob for reading. Blocks.
    ///
    /// # Errors
    /// If it is not there or the file system fails.
    pub fn open_blob(&self, sha256: &Sha256) -> io::Result<File> {
        File::open(self.path(sha256))
    }
}
