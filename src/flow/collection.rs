//! Collections: what is done to a publisher's tree of folders and items.

use std::sync::Arc;

use crate::config;
use crate::flow::ingest::{Ingest, IngestError};
use crate::model::{
    Analysis, InvalidPath, Item, ItemId, ItemPath, PublisherId, Quota, ReleaseCard, Sha256,
    SharePolicy, Timestamp, Trashed, Usage,
};
use crate::store::{Incoming, Page, Store, StoreError};

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

/// Who does something, and when.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Id of the key or user.
    pub id: String,
    /// The present.
    pub now: Timestamp,
}

/// A file that was put into a collection.
#[derive(Debug)]
pub struct Put {
    /// The item.
    pub item: Item,
    /// The analysis of its content.
    pub analysis: Analysis,
}

/// What is changed of an item; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// What vendors are told of it; `Some(None)` takes it back.
    pub details: Option<Option<String>>,
    /// What is stated of it.
    pub card: Option<ReleaseCard>,
    /// What vendors may have; `Some(None)` inherits again.
    pub policy: Option<Option<SharePolicy>>,
}

/// Which items of a collection are listed: all conditions together.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// In this folder.
    pub folder: Option<ItemPath>,
    /// Also in the folders below it.
    pub recursive: bool,
    /// With every one of these tags; an engine's id is one.
    pub tags: Vec<String>,
    /// In which order.
    pub order: Order,
}

/// In which order items are listed: by folder and name unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub by: OrderBy,
    /// The last first.
    pub descending: bool,
}

/// By what items are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrderBy {
    /// Folder and name.
    #[default]
    Path,
    /// Length.
    Size,
    /// When the content was last replaced.
    Modified,
    /// How many engines detect it.
    Detections,
}

/// Collections, and what is done to them; clones share it.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "not built yet")]
pub struct Collections {
    store: Store,
    ingest: Ingest,
    config: Arc<config::Config>,
}

impl Collections {
    /// Joins the store, the way in and the settings.
    pub const fn new(store: Store, ingest: Ingest, config: Arc<config::Config>) -> Self {
        Self {
            store,
            ingest,
            config,
        }
    }

    /// Puts a file that has come in wholly at a path: a new item, or a new content of the one that
    /// is there. Folders above it are made.
    ///
    /// # Errors
    /// If it may not be there; then nothing is acknowledged.
    pub async fn put(
        &self,
        _id: ItemId,
        _incoming: Incoming,
        _actor: Actor,
    ) -> Result<Put, CollectionError> {
        Err(unbuilt())
    }

    /// Makes a folder, and those above it; one that is there stays as it is.
    ///
    /// # Errors
    /// If a file is in the way.
    pub async fn make_folder(&self, _id: ItemId, _actor: Actor) -> Result<Item, CollectionError> {
        Err(unbuilt())
    }

    /// Reads an item.
    ///
    /// # Errors
    /// If the store fails.
    pub fn get(&self, _id: &ItemId) -> Result<Option<Item>, CollectionError> {
        Err(unbuilt())
    }

    /// Lists items, folders among them; `cursor` is the `next` of the page before.
    ///
    /// # Errors
    /// If the folder is not there, or the query cannot be answered.
    pub fn list(
        &self,
        _publisher: &PublisherId,
        _query: &Query,
        _page: (Option<&[u8]>, usize),
    ) -> Result<Page<(ItemPath, Item)>, CollectionError> {
        Err(unbuilt())
    }

    /// Changes what is said of an item.
    ///
    /// # Errors
    /// If it is not there, or cannot be said of it.
    pub async fn edit(
        &self,
        _id: ItemId,
        _edit: Edit,
        _actor: Actor,
    ) -> Result<Item, CollectionError> {
        Err(unbuilt())
    }

    /// Moves or renames an item, a folder with all in it.
    ///
    /// # Errors
    /// If it is not there, or something is in the way.
    pub async fn relocate(
        &self,
        _id: ItemId,
        _to: ItemPath,
        _actor: Actor,
    ) -> Result<Item, CollectionError> {
        Err(unbuilt())
    }

    /// Copies an item, a folder with all in it.
    ///
    /// # Errors
    /// If it is not there, something is in the way, or the quota is used up.
    pub async fn copy(
        &self,
        _id: ItemId,
        _to: ItemPath,
        _actor: Actor,
    ) -> Result<Item, CollectionError> {
        Err(unbuilt())
    }

    /// Moves an item to the trash, a folder with all in it; returns the act's number.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn delete(&self, _id: ItemId, _actor: Actor) -> Result<u64, CollectionError> {
        Err(unbuilt())
    }

    /// Lists the trash, what was deleted last first.
    ///
    /// # Errors
    /// If the store fails.
    pub fn trash(
        &self,
        _publisher: &PublisherId,
        _page: (Option<&[u8]>, usize),
    ) -> Result<Page<(u64, Trashed)>, CollectionError> {
        Err(unbuilt())
    }

    /// Brings back what was deleted in one act; returns how many items came back.
    ///
    /// # Errors
    /// If there is none, or something is in the way.
    pub async fn restore(
        &self,
        _publisher: PublisherId,
        _act: u64,
        _actor: Actor,
    ) -> Result<u64, CollectionError> {
        Err(unbuilt())
    }

    /// Removes what was deleted before a time for good; returns how many items went.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn empty_trash(
        &self,
        _publisher: PublisherId,
        _before: Timestamp,
        _actor: Actor,
    ) -> Result<u64, CollectionError> {
        Err(unbuilt())
    }

    /// Returns what a publisher keeps, and what it may.
    ///
    /// # Errors
    /// If there is no such publisher.
    pub fn usage(&self, _publisher: &PublisherId) -> Result<(Usage, Quota), CollectionError> {
        Err(unbuilt())
    }

    /// Lists where a blob is in a publisher's collection.
    ///
    /// # Errors
    /// If the store fails.
    pub fn paths(
        &self,
        _sha256: &Sha256,
        _publisher: &PublisherId,
        _limit: usize,
    ) -> Result<Vec<ItemPath>, CollectionError> {
        Err(unbuilt())
    }
}

fn unbuilt() -> CollectionError {
    CollectionError::Invalid("not built yet".to_owned())
}
