//! Collections: what is done to a publisher's tree of folders and items.
//!
//! A file is put, edited, moved, copied or deleted in one change. So is a folder with little in
//! it; one with more is an act that is written down first and then done in steps, each a change of
//! its own, so that a million items stop nobody and a crash stops nothing. What an act is about
//! cannot be touched until it is done.

mod act;
mod detected;
mod edit;
mod error;
mod folders;
mod hold;
mod list;
mod place;
mod resume;
mod sieve;
mod sorted;
mod trash;
mod tree;

use std::sync::Arc;

use act::{Act, Survey};
pub use error::CollectionError;
pub use sieve::{Looked, Sieve};

use crate::config;
use crate::flow::ingest::{Accepted, Ingest, IngestError, Submission};
use crate::model::{
    Analysis, Item, ItemId, ItemPath, Priority, PublisherId, Quota, ReleaseCard, Reuse, Sha256,
    SharePolicy, Timestamp, Trashed, Usage,
};
use crate::store::{
    BLOB_ITEMS, Change, Incoming, PUBLISHERS, Page, Sealed, Store, StoreError, TRASH, TREE_ACTS,
    USAGE, blob_items_prefix, party_prefix,
};

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
    /// Whether another content was there before.
    pub replaced: bool,
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
    /// What else must hold of each; a page may be short, or empty, where few fit.
    pub sieve: Sieve,
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
pub struct Collections {
    store: Store,
    orders: detected::Orders,
    ingest: Ingest,
    config: Arc<config::Config>,
}

impl Collections {
    /// Joins the store, the way in and the settings.
    pub fn new(store: Store, ingest: Ingest, config: Arc<config::Config>) -> Self {
        Self {
            store,
            orders: detected::Orders::default(),
            ingest,
            config,
        }
    }

    /// Tells whether a file of so many bytes may be put at a path, before there is any of it.
    ///
    /// # Errors
    /// If it may not be there.
    pub fn may_put(&self, id: &ItemId, size_bytes: u64) -> Result<(), CollectionError> {
        let history = self.config.collections.history;
        place::may_place(&self.store, id, (None, size_bytes), history)
    }

    /// Puts a file that has come in wholly at a path: a new item, or a new content of the one that
    /// is there. Folders above it are made.
    ///
    /// # Errors
    /// If it may not be there; then nothing is acknowledged.
    pub async fn put(
        &self,
        id: ItemId,
        incoming: Incoming,
        actor: Actor,
    ) -> Result<Put, CollectionError> {
        let sealed = incoming.seal().await.map_err(IngestError::from)?;
        self.put_sealed(id, sealed, actor).await
    }

    /// As [`Self::put`], for a file that is sealed already.
    ///
    /// # Errors
    /// If it may not be there; then nothing is acknowledged.
    pub async fn put_sealed(
        &self,
        id: ItemId,
        sealed: Sealed,
        actor: Actor,
    ) -> Result<Put, CollectionError> {
        let history = self.config.collections.history;
        let content = (Some(sealed.sha256()), sealed.size_bytes());
        place::may_place(&self.store, &id, content, history)?;
        let submission = Submission {
            name: Some(id.path.name().to_owned()),
            engines: None,
            priority: Priority::Interactive,
            reuse: Reuse::Known,
            now: actor.now,
        };
        let placing = move |change: &mut Change<'_>, blob: &_| {
            kept_apart(place::place(change, (&id, blob), &actor, history))
        };
        let accepted = self.ingest.accept_into(sealed, submission, placing);
        let Accepted {
            analysis,
            placed: (item, replaced),
            ..
        } = accepted.await??;
        Ok(Put {
            item,
            analysis,
            replaced,
        })
    }

    /// Makes a folder, and those above it; one that is there stays as it is.
    ///
    /// # Errors
    /// If a file is in the way.
    pub async fn make_folder(&self, id: ItemId, actor: Actor) -> Result<Item, CollectionError> {
        let make = move |change: &mut Change<'_>| place::make_folder(change, &id, &actor);
        self.store.attempt(make).await
    }

    /// Reads an item; the collection itself is one too, with what the publisher's row says.
    ///
    /// # Errors
    /// If the store fails.
    pub fn get(&self, id: &ItemId) -> Result<Option<Item>, CollectionError> {
        if id.path.is_root() {
            let publisher = self.store.get(&PUBLISHERS, &id.publisher)?;
            return Ok(publisher.as_ref().map(place::root));
        }
        Ok(place::item(&self.store, id)?)
    }

    /// Lists items, folders among them; `cursor` is the `next` of the page before.
    ///
    /// With tags and no other order, items come by their content. The orders that look at all
    /// that fits take a while for many items: not for the threads that serve others. What is most
    /// detected first does not, however many there are.
    ///
    /// # Errors
    /// If the folder is not there, or the query cannot be answered.
    pub fn list(
        &self,
        publisher: &PublisherId,
        query: &Query,
        (cursor, limit): (Option<&[u8]>, usize),
    ) -> Result<Page<(ItemPath, Item)>, CollectionError> {
        let span = (cursor, limit.max(1));
        if query.order == detected::FIRST {
            return detected::list((&self.store, &self.orders), publisher, query, span);
        }
        list::list(&self.store, publisher, query, span)
    }

    /// Tells whether an item has every one of a query's tags, and all else that it asks for.
    ///
    /// # Errors
    /// If the store fails.
    pub fn fits(&self, id: &ItemId, item: &Item, query: &Query) -> Result<bool, CollectionError> {
        list::fits(&self.store, &id.publisher, query, (&id.path, item))
    }

    /// Changes what is said of an item.
    ///
    /// # Errors
    /// If it is not there, or cannot be said of it.
    pub async fn edit(
        &self,
        id: ItemId,
        edit: Edit,
        actor: Actor,
    ) -> Result<Item, CollectionError> {
        let change = move |change: &mut Change<'_>| edit::edit(change, &id, edit, &actor);
        self.store.attempt(change).await
    }

    /// Moves or renames an item, a folder with all in it. A folder's path, said of a file, means
    /// into that folder.
    ///
    /// # Errors
    /// If it is not there, or something is in the way.
    pub async fn relocate(
        &self,
        id: ItemId,
        to: ItemPath,
        actor: Actor,
    ) -> Result<Item, CollectionError> {
        let change = move |change: &mut Change<'_>| edit::relocate(change, &id, to, &actor);
        let (to, act) = self.store.attempt(change).await?;
        self.finish(act.as_ref()).await?;
        let path = to.path.clone();
        self.get(&to)?.ok_or(CollectionError::NotFound { path })
    }

    /// Copies an item, a folder with all in it; as [`Self::relocate`]. What is said of it goes
    /// along, its history does not.
    ///
    /// # Errors
    /// If it is not there, something is in the way, or the quota is used up.
    pub async fn copy(
        &self,
        id: ItemId,
        to: ItemPath,
        actor: Actor,
    ) -> Result<Item, CollectionError> {
        let change = move |change: &mut Change<'_>| edit::copy(change, &id, to, &actor);
        let (to, act) = self.store.attempt(change).await?;
        self.finish(act.as_ref()).await?;
        let path = to.path.clone();
        self.get(&to)?.ok_or(CollectionError::NotFound { path })
    }

    /// Moves an item to the trash, a folder with all in it; returns the act's number.
    ///
    /// # Errors
    /// If it is not there.
    pub async fn delete(&self, id: ItemId, actor: Actor) -> Result<u64, CollectionError> {
        let change = move |change: &mut Change<'_>| edit::delete(change, &id, &actor);
        let (number, act) = self.store.attempt(change).await?;
        self.finish(act.as_ref()).await?;
        Ok(number)
    }

    /// Lists the trash, what was deleted last first.
    ///
    /// # Errors
    /// If the store fails.
    pub fn trash(
        &self,
        publisher: &PublisherId,
        (cursor, limit): (Option<&[u8]>, usize),
    ) -> Result<Page<(u64, Trashed)>, CollectionError> {
        let prefix = party_prefix(publisher);
        let span = (prefix.as_slice(), cursor);
        let page = self.store.list_back(&TRASH, span, limit.max(1))?;
        let rows = page
            .rows
            .into_iter()
            .map(|((_, number), row)| (number, row));
        Ok(Page {
            rows: rows.collect(),
            next: page.next,
        })
    }

    /// Brings back what was deleted in one act, where it was; returns how many items came back.
    ///
    /// If something is there now, nothing comes back. Vendors may have no more of it than before,
    /// whatever is said above it now.
    ///
    /// # Errors
    /// If there is none, or something is in the way.
    pub async fn restore(
        &self,
        publisher: PublisherId,
        act: u64,
        actor: Actor,
    ) -> Result<u64, CollectionError> {
        let path = ItemPath::root();
        let id = ItemId { publisher, path };
        let change = move |change: &mut Change<'_>| edit::restore(change, (&id, act), &actor);
        let act = self.store.attempt(change).await?;
        self.finish(Some(&act)).await
    }

    /// Removes what was deleted before a time for good; returns how many items went.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn empty_trash(
        &self,
        publisher: PublisherId,
        before: Timestamp,
        actor: Actor,
    ) -> Result<u64, CollectionError> {
        let (mut count, mut from) = (0, Some(0));
        while let Some(start) = from {
            let (publisher, actor) = (publisher.clone(), actor.clone());
            let change = move |change: &mut Change<'_>| {
                trash::empty(change, (&publisher, before), start, &actor)
            };
            let emptied = self.store.attempt(change).await?;
            count += emptied.count + self.finish(emptied.going.as_ref()).await?;
            from = emptied.next;
        }
        Ok(count)
    }

    /// Returns what a publisher keeps, and what it may.
    ///
    /// # Errors
    /// If there is no such publisher.
    pub fn usage(&self, publisher: &PublisherId) -> Result<(Usage, Quota), CollectionError> {
        let quota = place::publisher(&self.store, publisher)?.quota;
        let usage = self.store.get(&USAGE, publisher)?;
        Ok((usage.unwrap_or_default(), quota))
    }

    /// Lists where a blob is in a publisher's collection.
    ///
    /// # Errors
    /// If the store fails.
    pub fn paths(
        &self,
        sha256: &Sha256,
        publisher: &PublisherId,
        limit: usize,
    ) -> Result<Vec<ItemPath>, CollectionError> {
        let prefix = blob_items_prefix(sha256, publisher);
        let page = self.store.list(&BLOB_ITEMS, (&prefix, None), limit)?;
        Ok(page.rows.into_iter().map(|(key, ())| key.2).collect())
    }

    /// Waits for the end of an act, doing it; returns how many items it was about.
    async fn finish(&self, act: Option<&Act>) -> Result<u64, CollectionError> {
        let Some(act) = act else {
            return Ok(0);
        };
        if !act.is_written {
            return Ok(act.row.count);
        }
        let going = self.drive(&(act.publisher.clone(), act.number)).await?;
        Ok(going.max(act.row.count))
    }

    /// Does an act that was written down, to its end; returns how many items it was about.
    async fn drive(&self, key: &(PublisherId, u64)) -> Result<u64, CollectionError> {
        let mut count = 0;
        loop {
            let Some(act) = Act::load(&self.store, key)? else {
                return Ok(count);
            };
            if !act.row.ready {
                self.approve(act).await?;
            }
            let step = key.clone();
            let step = move |change: &mut Change<'_>| Act::advance(change, &step);
            let Some((act, is_done)) = self.store.attempt(step).await? else {
                return Ok(count);
            };
            count = act.row.count;
            if is_done {
                return Ok(count);
            }
        }
    }

    /// Looks at all an act is about before anything is changed; what is not possible is gone.
    async fn approve(&self, act: Act) -> Result<(), CollectionError> {
        let key = (act.publisher.clone(), act.number);
        let store = self.store.clone();
        let survey = tokio::task::spawn_blocking(move || Survey::make(&store, &act)).await;
        let survey = survey.map_err(|error| StoreError::Failed {
            reason: error.to_string(),
        })??;
        let approved = key.clone();
        let approve = move |change: &mut Change<'_>| Act::approve(change, &approved, &survey);
        let refused = match self.store.attempt(approve).await {
            Ok(()) => return Ok(()),
            Err(CollectionError::Store(error)) => return Err(error.into()),
            Err(refused) => refused,
        };
        let give_up = move |change: &mut Change<'_>| {
            change.remove(&TREE_ACTS, &key);
            Ok(())
        };
        self.store.write(give_up).await?;
        Err(refused)
    }
}

/// Keeps what fails apart from what is refused.
fn kept_apart<T>(
    result: Result<T, CollectionError>,
) -> Result<Result<T, CollectionError>, StoreError> {
    match result {
        Err(CollectionError::Store(error)) => Err(error),
        result => Ok(result),
    }
}
