//! Adds one part to a session: on a thread of its own, which keeps what has come whatever becomes
//! of the request, and lets the next one in when it is done.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Session, UploadError, Uploads};
use crate::model::Timestamp;
use crate::store::{Blobs, IncomingError, Partial, Sealed};

/// Chunks that may wait for the disk before the network does.
const WAITING_CHUNKS: usize = 16;
/// How long a request waits for the one before it, whose connection may just have broken.
const PATIENCE: Duration = Duration::from_secs(1);

type Part = OwnedMutexGuard<Option<Partial>>;
type Outcome = Result<Option<Sealed>, UploadError>;

/// A session that one request adds to.
#[derive(Debug)]
pub struct Appending {
    session: Arc<Session>,
    chunks: mpsc::Sender<Bytes>,
    writer: JoinHandle<(Part, Outcome)>,
    /// Where the next chunk goes.
    at: u64,
}

/// A session after a part; until this is dropped nobody else adds to it.
#[derive(Debug)]
pub struct Hold {
    /// The file, if it is whole.
    pub whole: Option<Sealed>,
    _part: Part,
}

impl Uploads {
    /// Begins to add a part to a session.
    ///
    /// # Errors
    /// If the part does not begin where the last one ended, or another request is adding.
    pub async fn append(
        &self,
        session: &Arc<Session>,
        (offset, now): (u64, Timestamp),
    ) -> Result<Appending, UploadError> {
        let lock = Arc::clone(&session.part).lock_owned();
        let part = timeout(PATIENCE, lock).await.map_err(|_| {
            let offset = session.offset();
            UploadError::Busy { offset }
        })?;
        if session.is_gone() {
            return Err(UploadError::Gone);
        }
        let there = session.offset();
        if offset != there {
            return Err(UploadError::Misplaced { offset: there });
        }
        session.touch(now);
        let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
        let (blobs, reserve) = (self.blobs.clone(), self.reserve_bytes);
        let writing = Arc::clone(session);
        let write = move || write(&writing, (&blobs, reserve), (part, waiting));
        Ok(Appending {
            session: Arc::clone(session),
            chunks,
            writer: tokio::task::spawn_blocking(write),
            at: offset,
        })
    }
}

impl Appending {
    /// Takes a chunk; if that fails, [`Self::end`] may know a better reason.
    ///
    /// # Errors
    /// If it goes beyond the file's length, or the chunks before it could not be written.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), UploadError> {
        let size = self.session.draft.size_bytes;
        self.at += chunk.len() as u64;
        if self.at > size {
            return Err(UploadError::Beyond { size });
        }
        let sent = self.chunks.send(chunk).await;
        sent.map_err(|_| UploadError::Incoming(failed("the part could not be written")))
    }

    /// Waits until all chunks are on the disk.
    ///
    /// # Errors
    /// If they are not.
    pub async fn end(self) -> Result<Hold, UploadError> {
        drop(self.chunks);
        let ended = self.writer.await;
        let (part, outcome) = ended.map_err(|error| failed(&error.to_string()))?;
        let whole = outcome?;
        Ok(Hold { whole, _part: part })
    }
}

/// Writes chunks until there are no more; seals the file if it is whole then.
fn write(
    session: &Session,
    (blobs, reserve): (&Blobs, u64),
    (mut held, mut chunks): (Part, mpsc::Receiver<Bytes>),
) -> (Part, Outcome) {
    let whole = (session.draft.size_bytes, reserve);
    let mut partial = match held.take() {
        Some(partial) => partial,
        None => match blobs.resume(&session.id, whole) {
            Ok(partial) => partial,
            Err(error) => return (held, Err(error.into())),
        },
    };
    let mut outcome = pour(session, &mut partial, &mut chunks);
    let rested = partial.rest();
    match (&mut outcome, rested) {
        (Ok(()), Err(error)) => outcome = Err(error.into()),
        (Ok(()), Ok(())) => *held = Some(partial),
        // What is on the disk now is found out, and hashed when it goes on.
        (Err(_), _) => {
            if let Ok(there) = blobs.resumable_bytes(&session.id) {
                session.offset.store(there, Ordering::Relaxed);
            }
        }
    }
    let sealed = outcome.and_then(|()| match held.as_mut() {
        Some(partial) if partial.is_whole() => Ok(Some(partial.seal()?)),
        _ => Ok(None),
    });
    (held, sealed)
}

fn pour(
    session: &Session,
    partial: &mut Partial,
    chunks: &mut mpsc::Receiver<Bytes>,
) -> Result<(), UploadError> {
    while let Some(chunk) = chunks.blocking_recv() {
        if session.is_gone() {
            return Err(UploadError::Gone);
        }
        partial.write(&chunk)?;
        session
            .offset
            .store(partial.size_bytes(), Ordering::Relaxed);
    }
    Ok(())
}

fn failed(reason: &str) -> IncomingError {
    IncomingError::Io(std::io::Error::other(reason.to_owned()))
}
