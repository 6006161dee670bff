//! With what each engine last looked at each blob: one small row per pair of them.
//!
//! There are as many of these rows as files times engines, one is written with
//! every answer, and a rescan reads them all: so they are packed, about forty
//! bytes each, and name an image and a signature set by a digest of both.

use sha2::Digest;

use super::commit::Change;
use super::keys::RowKey;
use super::tables::{RESULTS, SEEN};
use super::{ResultKey, Store, StoreError};
use crate::model::{
    AnalysisId, EngineId, EngineResult, EngineVersions, Sha256, Timestamp, Verdict,
};

/// An image and a signature set, by the first bytes of a digest of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair([u8; 8]);

impl Pair {
    /// Names what an engine scans with.
    pub fn of(versions: &EngineVersions) -> Self {
        let set = versions.signature_set.as_ref().map(|set| set.0.as_str());
        if versions.is_outside() {
            // A server elsewhere has neither image nor set; what it says of itself stands for them.
            let said = [&versions.engine, &versions.signatures].map(|said| said.as_deref());
            let said = said.map(Option::unwrap_or_default).join("\n");
            return Self::named(&versions.image, Some(&said));
        }
        Self::named(&versions.image, set)
    }

    pub(super) fn named(image: &str, set: Option<&str>) -> Self {
        let parts = [image, "\0", set.unwrap_or("\0")].concat();
        Self(first_bytes(parts.as_bytes()))
    }
}

/// With what an engine last looked at a blob, and what it last answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// What it looked with.
    pub pair: Pair,
    /// When it began to look.
    pub at: Timestamp,
    /// Number of the analysis that has what came of it, an answer or not.
    pub analysis: u64,
    /// Its last answer; nothing if it never gave one.
    pub answer: Option<Answered>,
    /// How many rows its timeline on this blob has.
    pub changes: u32,
}

/// An engine's last answer on a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What it answered with.
    pub pair: Pair,
    /// Number of the analysis that has the result.
    pub analysis: u64,
    /// Digest of category and detection name; nothing if it was not kept.
    pub word: Option<u64>,
}

/// Length of a row without the answer.
const SHORT: usize = 28;
/// Length of a row with it.
const LONG: usize = SHORT + 24;
/// Length of a row whose answer is what the last look brought.
const SAME: usize = SHORT + 8;

impl SeenRow {
    /// Packs the row: its length tells how much of an answer it has.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LONG);
        bytes.extend(self.pair.0);
        bytes.extend(self.at.millis().to_be_bytes());
        bytes.extend(self.analysis.to_be_bytes());
        bytes.extend(self.changes.to_be_bytes());
        let Some(answer) = self.answer else {
            return bytes;
        };
        bytes.extend(answer.word.unwrap_or(0).to_be_bytes());
        if (answer.pair, answer.analysis) != (self.pair, self.analysis) {
            bytes.extend(answer.pair.0);
            bytes.extend(answer.analysis.to_be_bytes());
        }
        bytes
    }

    /// Reads a packed row.
    ///
    /// # Errors
    /// If the bytes are no such row.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        if ![SHORT, SAME, LONG].contains(&bytes.len()) {
            return Err(damaged(bytes));
        }
        let (pair, analysis) = (Pair(array(bytes, 0)), u64::from_be_bytes(array(bytes, 16)));
        let word = (bytes.len() > SHORT).then(|| u64::from_be_bytes(array(bytes, SHORT)));
        let answer = word.map(|word| {
            let own = bytes.len() == LONG;
            Answered {
                pair: if own { Pair(array(bytes, SAME)) } else { pair },
                analysis: if own {
                    u64::from_be_bytes(array(bytes, SAME + 8))
                } else {
                    analysis
                },
                word: (word != 0).then_some(word),
            }
        });
        Ok(Self {
            pair,
            at: Timestamp::from_millis(u64::from_be_bytes(array(bytes, 8))),
            analysis,
            answer,
            changes: u32::from_be_bytes(array(bytes, 24)),
        })
    }
}

fn damaged(bytes: &[u8]) -> StoreError {
    StoreError::Row {
        table: SEEN.name,
        reason: format!("{} bytes are none of its rows or keys", bytes.len()),
    }
}

/// Digests what of a verdict makes it another one: its category and its name.
pub fn word(verdict: &Verdict) -> u64 {
    let name = verdict.name().map_or("", |name| name.as_str());
    let text = [verdict.category(), "\0", name].concat();
    u64::from_be_bytes(first_bytes(text.as_bytes())).max(1)
}

fn first_bytes(text: &[u8]) -> [u8; 8] {
    array(&sha2::Sha256::digest(text), 0)
}

/// Copies bytes out; zeros where there are none.
fn array<const N: usize>(bytes: &[u8], from: usize) -> [u8; N] {
    let mut array = [0; N];
    let there = bytes.get(from..from + N).unwrap_or(&[0; N]);
    array.copy_from_slice(there);
    array
}

impl Change<'_> {
    /// Reads with what an engine last looked at a blob.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn seen(&self, key: &(EngineId, Sha256)) -> Result<Option<SeenRow>, StoreError> {
        let bytes = self.get_bytes(&SEEN, key)?;
        bytes.map(|bytes| SeenRow::from_bytes(&bytes)).transpose()
    }

    /// Writes with what an engine last looked at a blob.
    pub fn put_seen(&mut self, key: &(EngineId, Sha256), row: SeenRow) {
        self.put_bytes(&SEEN, key, row.to_bytes());
    }
}

impl Store {
    /// Reads with what an engine last looked at a blob.
    ///
    /// # Errors
    /// If the disk fails or the row is damaged.
    pub fn seen(&self, key: &(EngineId, Sha256)) -> Result<Option<SeenRow>, StoreError> {
        let bytes = self.database.get(SEEN.index(), &key.to_bytes())?;
        bytes.map(|bytes| SeenRow::from_bytes(&bytes)).transpose()
    }

    /// Reads what an engine's looks at the blobs from one to another were, in order.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn seen_between(
        &self,
        engine: &EngineId,
        (first, last): (&Sha256, &Sha256),
    ) -> Result<Vec<(Sha256, SeenRow)>, StoreError> {
        let key = |sha256: &Sha256| (engine.clone(), *sha256).to_bytes();
        let rows = self
            .database
            .between(SEEN.index(), (&key(first), &key(last)))?;
        let typed = rows.iter().map(|(key, row)| {
            let sha256 = key.get(key.len().saturating_sub(32)..);
            let sha256 = sha256.and_then(Sha256::from_bytes);
            let sha256 = sha256.ok_or_else(|| damaged(key))?;
            Ok((sha256, SeenRow::from_bytes(row)?))
        });
        typed.collect()
    }

    /// Reads what became of the last look of each engine at a blob, whatever analysis it was in.
    ///
    /// # Errors
    /// If the disk fails or a row is damaged.
    pub fn last_results<'a>(
        &self,
        sha256: &Sha256,
        engines: impl IntoIterator<Item = &'a EngineId>,
    ) -> Result<Vec<(EngineId, EngineResult)>, StoreError> {
        let mut results = Vec::new();
        for engine in engines {
            let Some(row) = self.seen(&(engine.clone(), *sha256))? else {
                continue;
            };
            let analysis = AnalysisId {
                sha256: *sha256,
                number: row.analysis,
            };
            let key = ResultKey {
                analysis,
                engine: engine.clone(),
            };
            let result = self.get(&RESULTS, &key)?;
            results.extend(result.map(|result| (key.engine, result)));
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(set: &str) -> Pair {
        Pair::named("sha256:00", Some(set))
    }

    #[track_caller]
    fn check(answer: Option<Answered>, length: usize) {
        let row = SeenRow {
            pair: pair("b"),
            at: Timestamp::from_millis(1_700_000_000_123),
            analysis: 7,
            answer,
            changes: 3,
        };
        assert_eq!(row.to_bytes().len(), length);
        assert_eq!(SeenRow::from_bytes(&row.to_bytes()).unwrap(), row);
    }

    #[test]
    fn packed_row_is_the_row() {
        let answer = |set, analysis, word| Answered {
            pair: pair(set),
            analysis,
            word,
        };
        check(None, SHORT);
        check(Some(answer("b", 7, Some(9))), SAME);
        check(Some(answer("b", 7, None)), SAME);
        check(Some(answer("a", 7, Some(9))), LONG);
        check(Some(answer("b", 6, Some(9))), LONG);
        assert!(SeenRow::from_bytes(&[0; 29]).is_err());
    }

    #[test]
    fn another_image_or_set_is_another_pair() {
        let none = Pair::named("sha256:00", None);
        let all = [
            pair("a"),
            pair("b"),
            pair(""),
            none,
            Pair::named("sha256:00a", None),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
