//! What the end of the ledger says: which events are in it already.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::{Store, StoreError, failed};

/// How far back a file is read.
const TAIL_BYTES: u64 = 4 << 20;
/// How many files, from the last one back.
const FILES: usize = 2;

impl Store {
    /// Returns the numbers of the events that the last lines of the ledger repeat, so that after
    /// a crash none is written a second time.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub fn events_in_ledger(&self) -> Result<BTreeSet<u64>, StoreError> {
        let Some(data_dir) = self.database.dir().parent() else {
            return Ok(BTreeSet::new());
        };
        read(&data_dir.join("ledger")).map_err(|error| failed(&error))
    }
}

fn read(dir: &Path) -> std::io::Result<BTreeSet<u64>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut numbers = BTreeSet::new();
    for path in files.iter().rev().take(FILES) {
        numbers.extend(tail(path)?.lines().filter_map(event_of));
    }
    Ok(numbers)
}

fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// An entry is the line itself, or what the line seals.
fn event_of(line: &str) -> Option<u64> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let entry = line.get("entry").unwrap_or(&line);
    if entry.get("kind")?.as_str()? != "event" {
        return None;
    }
    entry.get("event")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_in_lines_with_and_without_a_seal() {
        let dir = tempfile::tempdir().unwrap();
        let lines = "{\"kind\":\"event\",\"event\":1}\n{\"seq\":2,\"entry\":{\"kind\":\"event\",\"event\":2}}\n{\"kind\":\"egress\",\"event\":3}\ntorn";
        std::fs::write(dir.path().join("2026-11.jsonl"), lines).unwrap();
        assert_eq!(read(dir.path()).unwrap(), BTreeSet::from([1, 2]));
    }
}
