//! One thread writes, in groups: a flush and two syncs serve all who wait.
//!
//! ```text
//! change ──→ channel ──→ run closures over one overlay ──→ one batch ──→ flush + sync
//!                                                                           │
//! caller ←── result ←── sequence number outside the database, synced ←──────┘
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, oneshot};
use tracing::error;

use super::keys::RowKey;
use super::news::{self, News};
use super::sequence::Sequence;
use super::tables::{Database, META, TABLES, Table, Writes, decode, encode};
use super::{StoreError, failed};

/// Most changes in one group.
const GROUP: usize = 512;
/// Changes that may wait for the writer before callers do.
const WAITING: usize = 1024;

type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Run = Box<dyn FnOnce(&mut Change<'_>) -> (bool, Acknowledge) + Send>;

/// A change being made: reads see its own writes.
#[derive(Debug)]
pub struct Change<'a> {
    database: &'a Database,
    group: &'a [Writes; TABLES],
    own: [Writes; TABLES],
}

impl<'a> Change<'a> {
    fn new(database: &'a Database, group: &'a [Writes; TABLES]) -> Self {
        Self {
            database,
            group,
            own: none(),
        }
    }

    /// Reads a row.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn get<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        let value = self.bytes(table.index(), &key.to_bytes())?;
        value.map(|value| decode(table.name, &value)).transpose()
    }

    /// Reads a row that is bytes as they are.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn get_bytes<K: RowKey>(
        &self,
        table: &Table<K, Vec<u8>>,
        key: &K,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.bytes(table.index(), &key.to_bytes())
    }

    fn bytes(&self, table: usize, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let staged = self.own[table].get(key);
        match staged.or_else(|| self.group[table].get(key)) {
            Some(staged) => Ok(staged.clone()),
            None => self.database.get(table, key),
        }
    }

    /// Reads up to `limit` rows whose keys start with `prefix`, from `from` on.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn list<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        (prefix, from): (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let from = from.unwrap_or(prefix).max(prefix).to_vec();
        let index = table.index();
        let staged = [&self.group[index], &self.own[index]];
        let staged = staged.into_iter().flat_map(|writes| {
            let ours = writes.range(from.clone()..);
            ours.take_while(|(key, _)| key.starts_with(prefix))
        });
        let staged: Writes = staged
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect();
        // Whatever is staged may hide a row on the disk.
        let span = (prefix, from.as_slice());
        let rows = self.database.range(index, span, limit + staged.len())?;
        let mut rows: Writes = rows.into_iter().map(|(k, row)| (k, Some(row))).collect();
        rows.extend(staged);
        let rows = rows.into_iter().filter_map(|(key, row)| Some((key, row?)));
        rows.take(limit)
            .map(|(key, row)| {
                let damaged = || StoreError::Row {
                    table: table.name,
                    reason: "its key is damaged".to_owned(),
                };
                let key = K::from_bytes(&key).ok_or_else(damaged)?;
                Ok((key, decode(table.name, &row)?))
            })
            .collect()
    }

    /// Writes a row.
    ///
    /// # Errors
    /// If the row cannot be encoded.
    pub fn put<K: RowKey, V: Serialize>(
        &mut self,
        table: &Table<K, V>,
        key: &K,
        row: &V,
    ) -> Result<(), StoreError> {
        let value = encode(table.name, row)?;
        self.own[table.index()].insert(key.to_bytes(), Some(value));
        Ok(())
    }

    /// Writes a row that is bytes as they are.
    pub fn put_bytes<K: RowKey>(&mut self, table: &Table<K, Vec<u8>>, key: &K, row: Vec<u8>) {
        self.own[table.index()].insert(key.to_bytes(), Some(row));
    }

    /// Removes a row; it need not be there.
    pub fn remove<K: RowKey, V>(&mut self, table: &Table<K, V>, key: &K) {
        self.own[table.index()].insert(key.to_bytes(), None);
    }
}

/// The writing thread's end.
#[derive(Debug)]
pub(super) struct Writer {
    changes: SyncSender<Ticket>,
    news: broadcast::Sender<News>,
}

struct Ticket(Run);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

impl Writer {
    /// Checks that the database is not behind what it acknowledged and starts the thread.
    pub fn start(database: Arc<Database>, data_dir: &Path) -> Result<Self, StoreError> {
        let sequence = Sequence::open(&data_dir.join("sequence")).map_err(|e| failed(&e))?;
        let found = number(&database)?;
        if found < sequence.last() {
            let dir = database.dir().to_owned();
            return Err(StoreError::Behind {
                dir,
                found,
                acknowledged: sequence.last(),
            });
        }
        let (changes, waiting) = sync_channel(WAITING);
        let news = news::channel();
        let mut thread = WriterThread {
            database,
            sequence,
            number: found,
            news: news.clone(),
        };
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run(&waiting))
            .map_err(|error| failed(&error))?;
        Ok(Self { changes, news })
    }

    /// Returns hints of what is written from now on.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    /// Writes a number without waiting for it; not at all if too many others wait.
    pub fn note(&self, name: &'static str, number: u64) {
        let (answer, _) = oneshot::channel();
        let note = move |change: &mut Change<'_>| change.put(&META, &name.to_owned(), &number);
        let _ = self
            .changes
            .try_send(Ticket(run_and_acknowledge(note, answer)));
    }

    pub async fn write<T, E, F>(&self, change: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Change<'_>) -> Result<T, E> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket(run_and_acknowledge(change, answer));
        if let Err(error) = self.changes.try_send(ticket) {
            self.send_blocking(error).await?;
        }
        answered
            .await
            .map_err(|_| failed(&"the writer has stopped"))?
    }

    /// Waits for room off the async threads.
    async fn send_blocking(
        &self,
        error: std::sync::mpsc::TrySendError<Ticket>,
    ) -> Result<(), StoreError> {
        let std::sync::mpsc::TrySendError::Full(ticket) = error else {
            return Err(failed(&"the writer has stopped"));
        };
        let changes = self.changes.clone();
        let sent = tokio::task::spawn_blocking(move || changes.send(ticket).is_ok()).await;
        if matches!(sent, Ok(true)) {
            Ok(())
        } else {
            Err(failed(&"the writer has stopped"))
        }
    }
}

fn run_and_acknowledge<T, E, F>(change: F, answer: oneshot::Sender<Result<T, E>>) -> Run
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: FnOnce(&mut Change<'_>) -> Result<T, E> + Send + 'static,
{
    Box::new(move |staged| {
        let result = change(staged);
        let keep = result.is_ok();
        let acknowledge: Acknowledge = Box::new(move |committed| {
            // The caller may have gone; the change stands all the same.
            let _ = answer.send(result.and_then(|value| Ok(committed.map(|()| value)?)));
        });
        (keep, acknowledge)
    })
}

fn number(database: &Database) -> Result<u64, StoreError> {
    noted(database, COMMIT)
}

/// Reads a number of [`META`]; zero if it was never written.
pub(super) fn noted(database: &Database, name: &str) -> Result<u64, StoreError> {
    let bytes = database.get(META.index(), name.as_bytes())?;
    bytes.map_or(Ok(0), |bytes| decode(META.name, &bytes))
}

const COMMIT: &str = "commit";

struct WriterThread {
    database: Arc<Database>,
    sequence: Sequence,
    number: u64,
    news: broadcast::Sender<News>,
}

impl WriterThread {
    fn run(&mut self, waiting: &Receiver<Ticket>) {
        while let Ok(first) = waiting.recv() {
            let rest = std::iter::from_fn(|| waiting.try_recv().ok());
            let group = std::iter::once(first).chain(rest).take(GROUP).collect();
            self.commit(group);
        }
    }

    fn commit(&mut self, tickets: Vec<Ticket>) {
        let mut group = none();
        let mut waiting = Vec::with_capacity(tickets.len());
        for Ticket(run) in tickets {
            let mut change = Change::new(&self.database, &group);
            let (keep, acknowledge) = run(&mut change);
            let own = change.own;
            if keep {
                merge(&mut group, own);
            }
            waiting.push(acknowledge);
        }
        let news = match self.news.receiver_count() {
            0 => Vec::new(),
            _ => news::of(&group),
        };
        let committed = self.persist(group);
        if let Err(error) = &committed {
            error!(error = %error, "Cannot commit {} changes", waiting.len());
            self.recover();
        }
        for acknowledge in waiting {
            acknowledge(committed.clone());
        }
        if committed.is_ok() {
            // Whoever listened may have gone; that is no error.
            news.into_iter().for_each(|it| drop(self.news.send(it)));
        }
    }

    fn persist(&mut self, group: [Writes; TABLES]) -> Result<(), StoreError> {
        let mut writes: Vec<_> = group.into_iter().enumerate().collect();
        writes.retain(|(_, writes)| !writes.is_empty());
        if writes.is_empty() {
            return Ok(());
        }
        let next = self.number + 1;
        let commit = encode(META.name, &next)?;
        let meta = Writes::from([(COMMIT.as_bytes().to_vec(), Some(commit))]);
        writes.push((META.index(), meta));
        self.database
            .apply(writes)
            .map_err(|error| self.database.explain(error))?;
        self.number = next;
        self.sequence
            .advance(next)
            .map_err(|error| self.database.explain(failed(&error)))
    }

    /// Reopens the database after an error, so that the next change has a chance.
    fn recover(&mut self) {
        match self.database.reopen().and_then(|()| number(&self.database)) {
            Ok(number) => self.number = number.max(self.sequence.last()),
            Err(error) => error!(error = %error, "Cannot reopen the database"),
        }
    }
}

fn none() -> [Writes; TABLES] {
    std::array::from_fn(|_| Writes::new())
}

fn merge(group: &mut [Writes; TABLES], own: [Writes; TABLES]) {
    for (group, own) in group.iter_mut().zip(own) {
        group.extend(own);
    }
}

#[cfg(test)]
mod tests {
    use crate::model::Sha256;
    use crate::store::{META, RAW_OUTPUTS, Store, StoreError};

    fn open(dir: &std::path::Path) -> Result<Store, StoreError> {
        Store::open(dir, 1 << 20)
    }

    #[tokio::test]
    async fn failed_change_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let failed = store.write(|change| {
            change.put(&META, &"a".to_owned(), &1)?;
            Err::<(), _>(StoreError::Failed {
                reason: "no".to_owned(),
            })
        });
        assert!(failed.await.is_err());
        assert_eq!(store.get(&META, &"a".to_owned()).unwrap(), None);
    }

    #[tokio::test]
    async fn change_sees_its_own_writes_and_those_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let key = "count".to_owned();
        let add = |key: String| {
            store.write(move |change| {
                let count = change.get(&META, &key)?.unwrap_or(0);
                change.put(&META, &key, &(count + 1))?;
                change.get(&META, &key)
            })
        };
        let all = futures_util::future::join_all((0..100).map(|_| add(key.clone()))).await;
        assert!(all.into_iter().all(|sum| sum.is_ok()));
        assert_eq!(store.get(&META, &key).unwrap(), Some(100));
    }

    #[tokio::test]
    async fn change_lists_what_is_stored_and_what_is_staged() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let fill = |change: &mut crate::store::Change<'_>| {
            for key in ["a1", "a2", "a3", "b1"] {
                change.put(&META, &key.to_owned(), &1)?;
            }
            Ok(())
        };
        store.write(fill).await.unwrap();
        let listed = store.write(|change| {
            change.remove(&META, &"a1".to_owned());
            change.put(&META, &"a4".to_owned(), &1)?;
            change.put(&META, &"b0".to_owned(), &1)?;
            let two = change.list(&META, (b"a", None), 2)?;
            let all = change.list(&META, (b"a", Some(b"a3")), 9)?;
            Ok((two, all))
        });
        let names =
            |rows: Vec<(String, u64)>| -> Vec<_> { rows.into_iter().map(|(key, _)| key).collect() };
        let (two, all) = listed.await.unwrap();
        assert_eq!(names(two), ["a2", "a3"]);
        assert_eq!(names(all), ["a3", "a4"]);
    }

    #[tokio::test]
    async fn database_behind_its_sequence_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let key = Sha256::new([1; 32]);
        store
            .write(move |c| c.put(&RAW_OUTPUTS, &key, &vec![1]))
            .await
            .unwrap();
        drop(store);
        // The writer thread lets go of the files a moment after its last sender.
        let moved = dir.path().join("db.old");
        std::fs::rename(dir.path().join("db"), &moved).unwrap();
        assert!(matches!(
            open(dir.path()),
            Err(StoreError::Behind {
                acknowledged: 1,
                ..
            })
        ));
    }
}
