//! How the rows lie in sled, and how those written by the version before get there.
//!
//! That version had a tree for each table. Its rows are copied, synced, and only
//! then is it written down that they are: a crash before means that they are
//! copied again, one after it that only the old trees are still to go.

use std::fs::File;

use serde::Deserialize;

use super::keys::RowKey;
use super::seen::{Answered, Pair, SeenRow};
use super::tables::{META, NAMES, SEEN, decode, row_key, sled_failed};
use super::{StoreError, failed};
use crate::model::{AnalysisId, EngineId, Sha256, SignatureSetId, Timestamp};

/// The one tree.
const ROWS: &str = "rows";
/// Key of the row that says how the rows lie.
const LAYOUT: &str = "layout";
/// One tree, table numbers before the keys.
const ONE_TREE: &[u8] = b"1";
/// The old tree of each engine's last answer on each blob; now a part of [`SEEN`].
const VERDICTS: &str = "verdicts";
/// Rows copied at a time.
const PART: usize = 4096;

/// Opens the tree of all rows; takes over those of the version before.
pub fn rows(db: &sled::Db, file: &File) -> Result<sled::Tree, StoreError> {
    let rows = db.open_tree(ROWS).map_err(sled_failed)?;
    let sync = || {
        db.flush().map_err(sled_failed)?;
        file.sync_data().map_err(|error| failed(&error))
    };
    let marker = row_key(META.index(), LAYOUT.as_bytes());
    if rows.get(&marker).map_err(sled_failed)?.is_none() {
        for name in old_trees(db) {
            let old = db.open_tree(&name).map_err(sled_failed)?;
            copy(&old, &name, &rows)?;
        }
        sync()?;
        rows.insert(marker, ONE_TREE).map_err(sled_failed)?;
        sync()?;
    }
    let old = old_trees(db);
    for name in &old {
        db.drop_tree(name).map_err(sled_failed)?;
    }
    if !old.is_empty() {
        sync()?;
    }
    Ok(rows)
}

fn old_trees(db: &sled::Db) -> Vec<String> {
    let known = |name: &String| NAMES.contains(&name.as_str()) || name == VERDICTS;
    let names = db.tree_names().into_iter();
    let names = names.filter_map(|name| String::from_utf8(name.to_vec()).ok());
    names.filter(known).collect()
}

fn copy(old: &sled::Tree, name: &str, rows: &sled::Tree) -> Result<(), StoreError> {
    let (mut batch, mut count) = (sled::Batch::default(), 0);
    for row in old {
        let (key, value) = row.map_err(sled_failed)?;
        let (key, value) = match NAMES.iter().position(|known| *known == name) {
            Some(table) => (row_key(table, &key), value.to_vec()),
            None => seen(&key, &value)?,
        };
        batch.insert(key, value);
        count += 1;
        if count % PART == 0 {
            rows.apply_batch(std::mem::take(&mut batch))
                .map_err(sled_failed)?;
        }
    }
    rows.apply_batch(batch).map_err(sled_failed)
}

/// The last answer of an engine on a blob, as it was kept.
#[derive(Deserialize)]
struct VerdictRow {
    image: String,
    signature_set: Option<SignatureSetId>,
    analysis: AnalysisId,
}

/// Makes of a last answer what it is now: the last look, and what it was answered with.
fn seen(key: &[u8], value: &[u8]) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
    let damaged = || StoreError::Row {
        table: VERDICTS,
        reason: "its key is damaged".to_owned(),
    };
    let (sha256, engine) = <(Sha256, EngineId)>::from_bytes(key).ok_or_else(damaged)?;
    let row: VerdictRow = decode(VERDICTS, value)?;
    let set = row.signature_set.as_ref().map(|set| set.0.as_str());
    let (pair, analysis) = (Pair::named(&row.image, set), row.analysis.number);
    let answer = Answered {
        pair,
        analysis,
        word: None,
    };
    let row = SeenRow {
        pair,
        at: Timestamp::from_millis(analysis),
        analysis,
        answer: Some(answer),
        changes: 0,
    };
    let key = row_key(SEEN.index(), &(engine, sha256).to_bytes());
    Ok((key, row.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{BLOBS, RAW_OUTPUTS, Store};

    const BLOB: Sha256 = Sha256::new([7; 32]);

    /// Writes what the version before wrote.
    fn write_old(dir: &std::path::Path) {
        let db = open(dir);
        for name in NAMES.iter().chain([&VERDICTS]) {
            db.open_tree(name).unwrap();
        }
        let raw = db.open_tree(RAW_OUTPUTS.name).unwrap();
        for number in 0..10_000_u64 {
            let key = [[0; 24].as_slice(), &number.to_be_bytes()].concat();
            raw.insert(key, b"[1]").unwrap();
        }
        let meta = db.open_tree(META.name).unwrap();
        meta.insert("commit", b"5").unwrap();
        let verdicts = db.open_tree(VERDICTS).unwrap();
        let row = format!(r#"{{"image":"sha256:1","signature_set":"a","analysis":"f-{BLOB}-9"}}"#);
        let key = [BLOB.as_bytes().as_slice(), b"yara"].concat();
        verdicts.insert(key, row.as_bytes()).unwrap();
        db.flush().unwrap();
    }

    fn check(dir: &std::path::Path) {
        let store = Store::open(dir, 1 << 20).unwrap();
        let page = store.list(&RAW_OUTPUTS, (&[], None), 20_000).unwrap();
        assert_eq!(page.rows.len(), 10_000);
        assert!(page.rows.iter().all(|(_, row)| *row == [1]));
        assert_eq!(store.get(&META, &"commit".to_owned()).unwrap(), Some(5));
        assert_eq!(store.list(&BLOBS, (&[], None), 1).unwrap().rows.len(), 0);
        let seen = store
            .seen(&("yara".parse().unwrap(), BLOB))
            .unwrap()
            .unwrap();
        let pair = Pair::named("sha256:1", Some("a"));
        assert_eq!((seen.pair, seen.analysis, seen.changes), (pair, 9, 0));
        assert_eq!(seen.answer.unwrap().pair, pair);
    }

    fn names(dir: &std::path::Path) -> Vec<String> {
        let db = open(dir);
        old_trees(&db)
    }

    #[test]
    fn rows_of_the_version_before_are_all_there() {
        let dir = tempfile::tempdir().unwrap();
        write_old(dir.path());
        check(dir.path());
        assert_eq!(names(dir.path()), Vec::<String>::new());
        check(dir.path());
    }

    #[test]
    fn crash_in_the_middle_of_copying_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        write_old(dir.path());
        let db = open(dir.path());
        let rows = db.open_tree(ROWS).unwrap();
        copy(&db.open_tree("meta").unwrap(), "meta", &rows).unwrap();
        db.flush().unwrap();
        drop((rows, db));
        check(dir.path());
    }

    #[test]
    fn crash_before_the_old_trees_went_does_not_bring_old_rows_back() {
        let dir = tempfile::tempdir().unwrap();
        write_old(dir.path());
        check(dir.path());
        let db = open(dir.path());
        let meta = db.open_tree("meta").unwrap();
        meta.insert("commit", b"1").unwrap();
        db.flush().unwrap();
        drop((meta, db));
        check(dir.path());
    }

    /// Opens the files, which the writer's thread and sled's own let go of a moment after the
    /// last handle went.
    fn open(dir: &std::path::Path) -> sled::Db {
        for _ in 0..500 {
            match sled::open(dir.join("db")) {
                Ok(db) => return db,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
            }
        }
        panic!("the store is still open");
    }
}
