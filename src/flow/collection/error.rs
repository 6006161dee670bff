//! Why something cannot be done to a collection, by what the caller can do about it.

use crate::flow::ingest::IngestError;
use crate::model::{InvalidPath, ItemPath, PublisherId};
use crate::store::StoreError;

/// Why something cannot be done to a collection.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// There is no such publisher.
    #[error("there is no publisher {publisher}")]
    UnknownPublisher {
        /// Its id.
        publisher: PublisherId,
    },
    /// There is nothing at that path.
    #[error("there is nothing at {path}")]
    NotFound {
        /// Which path.
        path: ItemPath,
    },
    /// Something else is at that path.
    #[error("there is already {what} at {path}; move it away or choose another path")]
    Occupied {
        /// Which path.
        path: ItemPath,
        /// What is there: `a file` or `a folder`.
        what: &'static str,
    },
    /// The quota of bytes is used up.
    #[error(
        "the storage quota of {allowed} bytes is exhausted: {used} are used and {wanted} more are \
         needed; delete items and empty the trash, or ask an administrator for more"
    )]
    BytesExhausted {
        /// What may be kept.
        allowed: u64,
        /// What is.
        used: u64,
        /// What is to be added.
        wanted: u64,
    },
    /// The quota of files is used up.
    #[error(
        "the quota of {allowed} files is exhausted; delete items and empty the trash, or ask an \
         administrator for more"
    )]
    FilesExhausted {
        /// How many may be kept.
        allowed: u64,
    },
    /// A folder cannot be moved or copied into itself.
    #[error("{to} lies in {from}: a folder cannot go into itself")]
    IntoItself {
        /// The folder.
        from: ItemPath,
        /// Where it was to go.
        to: ItemPath,
    },
    /// What was asked for is only for files, or only for folders.
    #[error("{path} is {what}, for which this cannot be done")]
    WrongKind {
        /// Which path.
        path: ItemPath,
        /// What it is: `a file` or `a folder`.
        what: &'static str,
    },
    /// Nothing was deleted in that act, or it is gone for good.
    #[error("nothing in the trash was deleted in act {act}")]
    NotInTrash {
        /// Its number.
        act: u64,
    },
    /// An act on the same part of the collection is still under way.
    #[error("{path} is still being moved, copied or deleted; try again shortly")]
    Busy {
        /// Which path.
        path: ItemPath,
    },
    /// A path cannot be.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// A value is not as it should be.
    #[error("{0}")]
    Invalid(String),
    /// The file could not be taken in.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The rows could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}
