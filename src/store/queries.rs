//! Reads: single rows, pages of rows, and the few joins the API needs.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde::de::DeserializeOwned;

use super::commit::Change;
use super::keys::RowKey;
use super::keys::engine_prefix;
use super::rows::{BlobRow, ResultKey, TimelineRow};
use super::tables::{
    ANALYSES, BLOBS, MD5S, RAW_OUTPUTS, RESCANS, RESULTS, RawRow, SHA1S, TIMELINE, Table, decode,
};
use super::{Store, StoreError, failed};
use crate::model::{
    Analysis, AnalysisId, EngineId, EngineResult, FileHash, RawOutputId, Rescan, Sha256,
};

/// A bounded part of a list, and where the next part starts.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// What to ask for next, if there is more.
    pub next: Option<Vec<u8>>,
}

/// What can be read alike from the store and within a change.
pub trait Read {
    /// Reads a row.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    fn row<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError>;

    /// Reads up to `limit` rows whose keys start with `prefix`, from `from` on.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    fn rows<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        span: (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError>;
}

impl Read for Store {
    fn row<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        self.get(table, key)
    }

    fn rows<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        span: (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        self.list(table, span, limit).map(|page| page.rows)
    }
}

impl Read for Change<'_> {
    fn row<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        self.get(table, key)
    }

    fn rows<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        span: (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Vec<(K, V)>, StoreError> {
        self.list(table, span, limit)
    }
}

impl Store {
    /// Reads a row.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn get<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        key: &K,
    ) -> Result<Option<V>, StoreError> {
        let bytes = self.database.get(table.index(), &key.to_bytes())?;
        bytes.map(|bytes| decode(table.name, &bytes)).transpose()
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
    ) -> Result<Page<(K, V)>, StoreError> {
        let page = self.on(table.index(), (prefix, from), limit)?;
        rows_of(table, page)
    }

    /// Reads the keys of up to `limit` rows, from the first after `after` on, without the rows.
    ///
    /// # Errors
    /// If the disk fails or a key is damaged.
    pub fn keys_after<K: RowKey, V>(
        &self,
        table: &Table<K, V>,
        after: Option<&K>,
        limit: usize,
    ) -> Result<Vec<K>, StoreError> {
        // A zero byte makes of a key the first one after it.
        let from = after.map(|key| [key.to_bytes(), vec![0]].concat());
        let span = ([].as_slice(), from.as_deref().unwrap_or_default());
        let rows = self.database.range(table.index(), span, limit)?;
        keys_of(table, &rows)
    }

    /// As [`Self::list`], the keys only.
    ///
    /// # Errors
    /// If the disk fails or a key is damaged.
    pub fn keys<K: RowKey, V>(
        &self,
        table: &Table<K, V>,
        (prefix, from): (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Page<K>, StoreError> {
        let Page { rows, next } = self.on(table.index(), (prefix, from), limit)?;
        let rows = keys_of(table, &rows)?;
        Ok(Page { rows, next })
    }

    /// As [`Self::list_back`], the keys only.
    ///
    /// # Errors
    /// If the disk fails or a key is damaged.
    pub fn keys_back<K: RowKey, V>(
        &self,
        table: &Table<K, V>,
        (prefix, before): (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Page<K>, StoreError> {
        let Page { rows, next } = self.back(table.index(), (prefix, before), limit)?;
        let rows = keys_of(table, &rows)?;
        Ok(Page { rows, next })
    }

    /// Reads up to `limit` rows whose keys start with `prefix`, last first; `before` is the `next`
    /// of the page before.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn list_back<K: RowKey, V: DeserializeOwned>(
        &self,
        table: &Table<K, V>,
        (prefix, before): (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Page<(K, V)>, StoreError> {
        let page = self.back(table.index(), (prefix, before), limit)?;
        rows_of(table, page)
    }

    /// Reads a page of rows as they are; the next starts with the first that is not on it.
    fn on(
        &self,
        table: usize,
        (prefix, from): (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Page<RawRow>, StoreError> {
        let span = (prefix, from.unwrap_or(prefix));
        let mut rows = self.database.range(table, span, limit + 1)?;
        let next = (rows.len() > limit).then(|| rows.pop()).flatten();
        let next = next.map(|(key, _)| key);
        Ok(Page { rows, next })
    }

    /// As [`Self::on`], last first; the next ends before the last that is on it.
    fn back(
        &self,
        table: usize,
        (prefix, before): (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<Page<RawRow>, StoreError> {
        let end = [prefix, &[0xff; 64]].concat();
        let span = (prefix, before.unwrap_or(&end));
        let mut rows = self.database.range_back(table, span, limit + 1)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = more.then(|| rows.last().map(|(key, _)| key.clone()));
        let next = next.flatten();
        Ok(Page { rows, next })
    }

    /// Finds a blob by any of its hashes.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn blob(&self, hash: &FileHash) -> Result<Option<BlobRow>, StoreError> {
        let sha256 = match hash {
            FileHash::Sha256(sha256) => Some(*sha256),
            FileHash::Sha1(sha1) => self.get(&SHA1S, sha1)?,
            FileHash::Md5(md5) => self.get(&MD5S, md5)?,
        };
        sha256.map_or(Ok(None), |sha256| self.get(&BLOBS, &sha256))
    }

    /// Reads an analysis.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn analysis(&self, id: &AnalysisId) -> Result<Option<Analysis>, StoreError> {
        self.get(&ANALYSES, id)
    }

    /// Reads what the engines have answered in an analysis so far.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn results(&self, id: &AnalysisId) -> Result<BTreeMap<EngineId, EngineResult>, StoreError> {
        let prefix = id.to_bytes();
        let page = self.list(&RESULTS, (&prefix, None), 1000)?;
        let named = |(key, result): (ResultKey, EngineResult)| (key.engine, result);
        Ok(page.rows.into_iter().map(named).collect())
    }

    /// Reads a blob's analyses, newest first; `before` is the `next` of the page before.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn analyses_of(
        &self,
        sha256: &Sha256,
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page<Analysis>, StoreError> {
        let prefix = sha256.to_bytes();
        let page = self.list_back(&ANALYSES, (&prefix, before), limit)?;
        Ok(values(page))
    }

    /// Reads rescans, newest first; `before` is the `next` of the page before.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn rescans(&self, before: Option<&[u8]>, limit: usize) -> Result<Page<Rescan>, StoreError> {
        let page = self.list_back(&RESCANS, (&[], before), limit)?;
        Ok(values(page))
    }

    /// Reads how engines' words on a blob changed: by engine, oldest first.
    ///
    /// An engine that never detected anything has no row; its first word that is no detection
    /// is what the first row of it says was before.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn timeline(
        &self,
        (sha256, engine): (&Sha256, Option<&EngineId>),
        from: Option<&[u8]>,
        limit: usize,
    ) -> Result<Page<(EngineId, TimelineRow)>, StoreError> {
        let engine = engine.map(engine_prefix).unwrap_or_default();
        let prefix = [sha256.to_bytes(), engine].concat();
        let page = self.list(&TIMELINE, (&prefix, from), limit)?;
        let named = |((_, engine, _), row)| (engine, row);
        Ok(Page {
            rows: page.rows.into_iter().map(named).collect(),
            next: page.next,
        })
    }

    /// Reads kept raw output: what an engine printed, with how it ended on the first line.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn raw_output(&self, id: &RawOutputId) -> Result<Option<Vec<u8>>, StoreError> {
        let Ok(key) = id.0.parse::<Sha256>() else {
            return Ok(None);
        };
        let Some(stored) = self.database.get(RAW_OUTPUTS.index(), &key.to_bytes())? else {
            return Ok(None);
        };
        let mut output = Vec::new();
        let mut decoder = flate2::read::DeflateDecoder::new(stored.as_slice());
        decoder
            .read_to_end(&mut output)
            .map_err(|error| failed(&error))?;
        Ok(Some(output))
    }
}

fn values<K, V>(page: Page<(K, V)>) -> Page<V> {
    Page {
        rows: page.rows.into_iter().map(|(_, row)| row).collect(),
        next: page.next,
    }
}

fn keys_of<K: RowKey, V>(table: &Table<K, V>, rows: &[RawRow]) -> Result<Vec<K>, StoreError> {
    let keys = rows.iter().map(|(key, _)| K::from_bytes(key));
    let keys: Option<Vec<_>> = keys.collect();
    keys.ok_or_else(|| StoreError::Row {
        table: table.name,
        reason: "its key is damaged".to_owned(),
    })
}

fn rows_of<K: RowKey, V: DeserializeOwned>(
    table: &Table<K, V>,
    Page { rows, next }: Page<RawRow>,
) -> Result<Page<(K, V)>, StoreError> {
    let rows = rows.iter().map(|row| typed(table, row));
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(Page { rows, next })
}

fn typed<K: RowKey, V: DeserializeOwned>(
    table: &Table<K, V>,
    (key, row): &RawRow,
) -> Result<(K, V), StoreError> {
    let damaged = || StoreError::Row {
        table: table.name,
        reason: "its key is damaged".to_owned(),
    };
    Ok((
        K::from_bytes(key).ok_or_else(damaged)?,
        decode(table.name, row)?,
    ))
}
