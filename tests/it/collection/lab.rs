//! A publisher's collection without HTTP, which can be killed and opened again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use acquit::config::Config;
use acquit::flow::board::Board;
use acquit::flow::collection::{Actor, CollectionError, Collections, Put, Query};
use acquit::flow::ingest::Ingest;
use acquit::flow::queue::Lanes;
use acquit::model::{
    EngineState, Event, Item, ItemFile, ItemId, ItemPath, Publisher, PublisherId, Quota, Sha256,
    SharePolicy, Timestamp, Usage,
};
use acquit::store::{
    BLOB_ITEMS, EVENTS, FOLDERS, GRANTS, HOLDERS, ITEMS, KEPT, PUBLISHERS, Store, TRASH, TREE_ACTS,
    USAGE,
};
use bytes::Bytes;
use sha2::Digest;

use crate::support::shipped;

/// Contents before the present one that are kept.
pub const HISTORY: usize = 3;

pub struct Lab {
    pub dir: Arc<tempfile::TempDir>,
    pub store: Store,
    pub ingest: Ingest,
    pub collections: Collections,
    clock: AtomicU64,
}

pub fn owner() -> PublisherId {
    "acme".parse().unwrap()
}

#[track_caller]
pub fn path(text: &str) -> ItemPath {
    text.parse().unwrap()
}

#[track_caller]
pub fn id(text: &str) -> ItemId {
    ItemId {
        publisher: owner(),
        path: path(text),
    }
}

pub fn sha256(content: &str) -> Sha256 {
    Sha256::new(sha2::Sha256::digest(content).into())
}

impl Lab {
    pub async fn open() -> Self {
        let lab = Self::open_at(Arc::new(tempfile::tempdir().unwrap()));
        lab.quota(Quota::default()).await;
        lab
    }

    fn open_at(dir: Arc<tempfile::TempDir>) -> Self {
        let store = Store::open(dir.path(), 1 << 22).unwrap();
        let board = Board::new(std::iter::once((&shipped("yara"), EngineState::Ready)));
        let lanes = Lanes::open(store.clone()).unwrap();
        let ingest = Ingest::new(store.clone(), lanes, board.subscribe(), 0);
        let mut config = Config::default();
        config.collections.history = HISTORY;
        let collections = Collections::new(store.clone(), ingest.clone(), Arc::new(config));
        Self {
            dir,
            store,
            ingest,
            collections,
            clock: AtomicU64::new(1_700_000_000_000),
        }
    }

    /// Lets everything go and opens it again, as after a kill.
    pub fn kill(self) -> Self {
        let dir = Arc::clone(&self.dir);
        let clock = self.clock.load(Ordering::Relaxed);
        drop(self);
        let lab = Self::open_at(dir);
        lab.clock.store(clock, Ordering::Relaxed);
        lab
    }

    /// Polls a call so many times and then lets it go, as a kill would.
    pub async fn cut<F: Future>(call: F, polls: usize) -> Option<F::Output> {
        let (mut call, mut polled) = (Box::pin(call), 0);
        std::future::poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => {
                polled += 1;
                Poll::Pending
            }
        })
        .await
    }

    pub async fn quota(&self, quota: Quota) {
        let row = Publisher {
            id: owner(),
            name: "Acme".to_owned(),
            created_at: Timestamp::from_millis(1),
            emails: Vec::new(),
            policy: SharePolicy::default(),
            quota,
            profile: acquit::model::Profile::default(),
            card: acquit::model::ReleaseCard::default(),
        };
        let write = self.store.write(move |c| c.put(&PUBLISHERS, &row.id, &row));
        write.await.unwrap();
    }

    /// Somebody who acts, a little later each time.
    pub fn actor(&self) -> Actor {
        let now = self.clock.fetch_add(10, Ordering::Relaxed);
        Actor {
            id: "0a1b2c3d".to_owned(),
            now: Timestamp::from_millis(now),
        }
    }

    pub async fn put(&self, at: &str, content: &str) -> Result<Put, CollectionError> {
        let mut incoming = self.ingest.receive(1 << 20).unwrap();
        let content = Bytes::copy_from_slice(content.as_bytes());
        incoming.write(content).await.unwrap();
        self.collections.put(id(at), incoming, self.actor()).await
    }

    pub async fn make_folder(&self, at: &str) -> Result<Item, CollectionError> {
        self.collections.make_folder(id(at), self.actor()).await
    }

    pub async fn relocate(&self, from: &str, to: &str) -> Result<Item, CollectionError> {
        let (from, to) = (id(from), path(to));
        self.collections.relocate(from, to, self.actor()).await
    }

    pub async fn copy(&self, from: &str, to: &str) -> Result<Item, CollectionError> {
        let (from, to) = (id(from), path(to));
        self.collections.copy(from, to, self.actor()).await
    }

    pub async fn delete(&self, at: &str) -> Result<u64, CollectionError> {
        self.collections.delete(id(at), self.actor()).await
    }

    pub async fn restore(&self, act: u64) -> Result<u64, CollectionError> {
        self.collections.restore(owner(), act, self.actor()).await
    }

    pub async fn empty_trash(&self) -> u64 {
        let before = self.actor().now;
        let emptied = self.collections.empty_trash(owner(), before, self.actor());
        emptied.await.unwrap()
    }

    pub fn item(&self, at: &str) -> Item {
        self.collections.get(&id(at)).unwrap().unwrap()
    }

    pub fn file(&self, at: &str) -> ItemFile {
        self.item(at).file.unwrap()
    }

    /// Lists all pages; none may be empty and have another behind it.
    pub fn list(&self, query: &Query, limit: usize) -> Result<Vec<String>, CollectionError> {
        let (mut paths, mut cursor) = (Vec::new(), None::<Vec<u8>>);
        loop {
            let span = (cursor.as_deref(), limit);
            let page = self.collections.list(&owner(), query, span)?;
            assert!(page.rows.len() <= limit);
            assert!(page.next.is_none() || page.rows.len() == limit);
            paths.extend(page.rows.into_iter().map(|(path, _)| path.to_string()));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(paths),
            }
        }
    }

    pub fn events(&self) -> Vec<Event> {
        let page = self.store.list(&EVENTS, (&[], None), 10_000).unwrap();
        page.rows.into_iter().map(|(_, event)| event).collect()
    }

    /// All there is: paths and the content's hash, nothing for folders.
    pub fn tree(&self) -> BTreeMap<String, Option<Sha256>> {
        let rows = self.store.list(&ITEMS, (&[], None), 1 << 20).unwrap().rows;
        let of = |((_, path), item): ((_, ItemPath), Item)| {
            (path.to_string(), item.file.map(|file| file.sha256))
        };
        rows.into_iter().map(of).collect()
    }

    /// Counts everything anew and compares it with what was kept in step; nothing may be under way.
    #[track_caller]
    pub fn recount(&self) {
        let all: (&[u8], Option<&[u8]>) = (&[], None);
        let items = self.store.list(&ITEMS, all, 1 << 20).unwrap().rows;
        let trash = self.store.list(&TRASH, all, 1 << 20).unwrap().rows;
        let (mut holders, mut kept) = (BTreeMap::new(), BTreeMap::new());
        let (mut pointers, mut usage) = (BTreeSet::new(), Usage::default());
        let mut count = |file: &ItemFile| {
            usage.files += 1;
            usage.bytes += file.size_bytes;
            for past in &file.history {
                usage.bytes += past.size_bytes;
                *kept.entry(past.sha256).or_insert(0) += 1;
            }
        };
        let trashed = trash.iter().filter_map(|(_, row)| row.item.file.as_ref());
        let trashed: Vec<_> = trashed.collect();
        trashed.iter().for_each(|file| count(file));
        for ((_, path), item) in &items {
            let folder = path.parent().unwrap();
            let is_there = |folder: &ItemPath| items.iter().any(|((_, at), _)| at == folder);
            assert!(
                folder.is_root() || items.len() > 500 || is_there(&folder),
                "{path}"
            );
            assert_eq!(item.file.is_none(), path.is_folder(), "{path}");
            if let Some(file) = &item.file {
                count(file);
                *holders.entry(file.sha256).or_insert(0) += 1;
                pointers.insert((file.sha256, path.to_string()));
            }
        }
        for file in trashed {
            *kept.entry(file.sha256).or_insert(0) += 1;
        }
        let seen: BTreeSet<_> = holders.keys().chain(kept.keys()).copied().collect();
        let rows = self.store.list(&HOLDERS, all, 1 << 20).unwrap().rows;
        let rows = rows
            .into_iter()
            .map(|((sha256, _), row)| (sha256, row.items));
        assert_eq!(rows.collect::<BTreeMap<_, u64>>(), holders);
        let rows = self.store.list(&BLOB_ITEMS, all, 1 << 20).unwrap().rows;
        let rows = rows.into_iter().map(|(key, ())| (key.0, key.2.to_string()));
        assert_eq!(rows.collect::<BTreeSet<_>>(), pointers);
        let rows = self.store.list(&KEPT, all, 1 << 20).unwrap().rows;
        let rows = rows.into_iter().map(|((sha256, _), times)| (sha256, times));
        assert_eq!(rows.collect::<BTreeMap<_, u64>>(), kept);
        let rows = self.store.list(&GRANTS, all, 1 << 20).unwrap().rows;
        let rows = rows.into_iter().map(|((sha256, _), _)| sha256);
        assert_eq!(rows.collect::<BTreeSet<_>>(), seen);
        let stored = self
            .store
            .get(&USAGE, &owner())
            .unwrap()
            .unwrap_or_default();
        assert_eq!((stored.files, stored.bytes), (usage.files, usage.bytes));
        let rows = self.store.keys(&FOLDERS, all, 1 << 20).unwrap().rows;
        let folders = items.iter().map(|(key, _)| key);
        let folders = folders.filter(|(_, path)| path.is_folder());
        assert_eq!(rows, folders.cloned().collect::<Vec<_>>());
        let acts = self.store.list(&TREE_ACTS, all, 10).unwrap().rows;
        assert_eq!(acts, []);
    }
}
