//! Takes files in: bytes become a blob, a blob gets an analysis.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use tokio::sync::watch;
use tracing::warn;

use super::analysis::{self, Order, Reuse};
use super::queue::Lanes;
use crate::model::{
    Analysis, AnalysisId, EngineId, EngineTable, EngineVersions, Priority, Sha256, Timestamp,
};
use crate::store::{
    ANALYSES, BLOBS, BlobRow, Change, Incoming, IncomingError, LaneKey, MD5S, Pair, Pin, SHA1S,
    Sealed, Store, StoreError,
};

/// Names of a blob that are kept.
const NAMES: usize = 32;
/// Longest name that is kept, in characters.
const NAME_CHARS: usize = 255;

/// What can go wrong while a file is taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Less is free than is kept in reserve.
    #[error("only {free_mb} MB are free on the disk and {reserve_mb} MB are kept in reserve")]
    NoRoom {
        /// What is free.
        free_mb: u64,
        /// What is not given away.
        reserve_mb: u64,
    },
    /// An engine was asked for that is not enabled.
    #[error("there is no enabled engine {engine}; `acquit engines list` shows those there are")]
    UnknownEngine {
        /// Its id.
        engine: EngineId,
    },
    /// No engine is enabled, so that there would be nobody to answer.
    #[error("no engine is enabled; `acquit engines list` shows why")]
    NoEngine,
    /// The file could not be stored.
    #[error(transparent)]
    Incoming(#[from] IncomingError),
    /// The rows could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is asked of an analysis.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The name the file came under; metadata only.
    pub name: Option<String>,
    /// Which engines; all enabled ones if not given.
    pub engines: Option<BTreeSet<EngineId>>,
    /// Who waits.
    pub priority: Priority,
    /// Whether known answers count.
    pub reuse: Reuse,
    /// The present.
    pub now: Timestamp,
}

/// A blob, and which engines are to look at it again, with what they scan with now.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which blob.
    pub sha256: Sha256,
    /// Which engines.
    pub engines: BTreeMap<EngineId, EngineVersions>,
}

/// A file that was taken in.
#[derive(Debug)]
pub struct Accepted<T> {
    /// Its analysis.
    pub analysis: Analysis,
    /// The blob.
    pub blob: BlobRow,
    /// What came of placing it.
    pub placed: T,
}

/// Why a file was not placed; nothing of it is kept.
enum Unplaced<E> {
    Refused(E, Pin),
    Store(StoreError),
}

impl<E> From<StoreError> for Unplaced<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The way in; clones share it.
#[derive(Clone, Debug)]
pub struct Ingest {
    store: Store,
    lanes: Lanes,
    engines: watch::Receiver<EngineTable>,
    reserve_mb: u64,
}

impl Ingest {
    /// Joins the store, the lanes and what is known of the engines.
    pub const fn new(
        store: Store,
        lanes: Lanes,
        engines: watch::Receiver<EngineTable>,
        reserve_mb: u64,
    ) -> Self {
        Self {
            store,
            lanes,
            engines,
            reserve_mb,
        }
    }

    /// Refuses bytes that would leave less free than is kept in reserve.
    ///
    /// # Errors
    /// [`IngestError::NoRoom`] before the disk is full.
    pub fn check_room(&self, bytes: u64) -> Result<(), IngestError> {
        let free_mb = self.store.blobs().free_bytes().map_err(IncomingError::Io)? >> 20;
        if free_mb.saturating_sub(bytes >> 20) < self.reserve_mb {
            return Err(IngestError::NoRoom {
                free_mb,
                reserve_mb: self.reserve_mb,
            });
        }
        Ok(())
    }

    /// Opens a place for a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`IngestError::NoRoom`] before the disk is full.
    pub fn receive(&self, limit: u64) -> Result<Incoming, IngestError> {
        self.check_room(0)?;
        let reserve = self.reserve_mb << 20;
        Ok(self.store.blobs().receive(limit, reserve)?)
    }

    /// Stores a file that has come in wholly and opens its analysis.
    ///
    /// When this returns, both survive a power cut.
    ///
    /// # Errors
    /// If anything of it failed; then nothing is acknowledged.
    pub async fn accept(
        &self,
        incoming: Incoming,
        submission: Submission,
    ) -> Result<(Analysis, BlobRow), IngestError> {
        let nothing = |_: &mut Change<'_>, _: &BlobRow| Ok(Ok::<_, Infallible>(()));
        let sealed = incoming.seal().await?;
        let accepted = self.accept_into(sealed, submission, nothing).await?;
        let Ok(Accepted { analysis, blob, .. }) = accepted;
        Ok((analysis, blob))
    }

    /// As [`Self::accept`], and in the same change puts the blob where `place` says, before its
    /// analysis is opened. If `place` refuses, nothing is written and no bytes are kept.
    ///
    /// # Errors
    /// If anything of it failed; then nothing is acknowledged.
    pub async fn accept_into<T, E, F>(
        &self,
        sealed: Sealed,
        submission: Submission,
        place: F,
    ) -> Result<Result<Accepted<T>, E>, IngestError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut Change<'_>, &BlobRow) -> Result<Result<T, E>, StoreError> + Send + 'static,
    {
        let order = self.order(&submission)?;
        let stored = sealed.keep().await?;
        let name = submission.name.as_deref().map(bounded_name);
        let fresh = BlobRow {
            digests: stored.digests,
            size_bytes: stored.size_bytes,
            first_submission_at: submission.now,
            last_submission_at: submission.now,
            times_submitted: 0,
            names: Vec::new(),
            type_tag: type_tag(&stored.head),
            last_analysis: None,
            open: Vec::new(),
        };
        let order = Order {
            sha256: stored.digests.sha256,
            size_bytes: stored.size_bytes,
            extension: name.as_deref().and_then(extension),
            ..order
        };
        let (lanes, pin) = (self.lanes.clone(), stored.pin);
        // The pin goes through the change and comes back after it: whatever becomes of who waits,
        // the file stays until its row is there.
        let submit = move |change: &mut Change<'_>| {
            let row = submit(change, fresh, name, order.now)?;
            match place(change, &row)? {
                Ok(placed) => Ok((analysis::open(change, &lanes, &order)?, placed, pin)),
                Err(refusal) => Err(Unplaced::Refused(refusal, pin)),
            }
        };
        let ((analysis, keys), placed) = match self.store.attempt(submit).await {
            Ok((opened, placed, pin)) => {
                pin.settle();
                (opened, placed)
            }
            Err(Unplaced::Refused(refusal, pin)) => {
                self.give_up(pin).await;
                return Ok(Err(refusal));
            }
            Err(Unplaced::Store(error)) => return Err(error.into()),
        };
        let (analysis, blob) = self.finish(analysis, &keys)?;
        Ok(Ok(Accepted {
            analysis,
            blob,
            placed,
        }))
    }

    /// Lets a file go that was not placed. What cannot be removed now is looked at again.
    async fn give_up(&self, pin: Pin) {
        drop(pin);
        let store = self.store.clone();
        let cleaned = tokio::task::spawn_blocking(move || store.clean_blobs()).await;
        if let Ok(Err(error)) = cleaned {
            warn!(%error, "Cannot remove a file that was refused");
        }
    }

    /// Opens a new analysis of a blob that is here already; nothing if it is not.
    ///
    /// # Errors
    /// If the store fails or an engine is unknown.
    pub async fn reanalyze(
        &self,
        sha256: Sha256,
        submission: Submission,
    ) -> Result<Option<Analysis>, IngestError> {
        Ok(self.reanalyze_all(vec![sha256], submission).await?.pop())
    }

    /// Opens new analyses of blobs, all in one change; blobs that are not here are passed over.
    ///
    /// # Errors
    /// If the store fails or an engine is unknown.
    pub async fn reanalyze_all(
        &self,
        blobs: Vec<Sha256>,
        submission: Submission,
    ) -> Result<Vec<Analysis>, IngestError> {
        let order = self.order(&submission)?;
        let lanes = self.lanes.clone();
        let open = move |change: &mut Change<'_>| {
            let (mut opened, mut keys) = (Vec::new(), Vec::new());
            for sha256 in blobs {
                let Some(row) = change.get(&BLOBS, &sha256)? else {
                    continue;
                };
                let extension = row.names.last().and_then(|name| extension(name));
                let order = Order {
                    sha256,
                    size_bytes: row.size_bytes,
                    extension,
                    ..order.clone()
                };
                let (analysis, jobs) = analysis::open(change, &lanes, &order)?;
                opened.push(analysis);
                keys.extend(jobs);
            }
            Ok((opened, keys))
        };
        let (opened, keys) = self.store.write(open).await?;
        self.lanes.arrived(&keys);
        Ok(opened)
    }

    /// Opens nightly analyses as planned, and what `note` writes, in one change.
    ///
    /// Engines whose job on the blob waits already are left out and, unless `reuse` is never,
    /// those that have looked at it with the same in the meantime; so planning twice opens once.
    ///
    /// # Errors
    /// If the store fails; then nothing is opened and nothing noted.
    pub async fn open_planned<T, F>(
        &self,
        plans: Vec<Plan>,
        (reuse, now): (Reuse, Timestamp),
        note: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Change<'_>, &[Analysis]) -> Result<T, StoreError> + Send + 'static,
    {
        let lanes = self.lanes.clone();
        let open = move |change: &mut Change<'_>| {
            let (mut opened, mut keys) = (Vec::new(), Vec::new());
            for plan in plans {
                let Some(order) = planned_order(change, plan, (reuse, now))? else {
                    continue;
                };
                let (analysis, jobs) = analysis::open(change, &lanes, &order)?;
                opened.push(analysis);
                keys.extend(jobs);
            }
            Ok((note(change, &opened)?, keys))
        };
        let (noted, keys) = self.store.write(open).await?;
        self.lanes.arrived(&keys);
        Ok(noted)
    }

    fn finish(
        &self,
        analysis: Analysis,
        keys: &[LaneKey],
    ) -> Result<(Analysis, BlobRow), IngestError> {
        self.lanes.arrived(keys);
        let row = self.store.get(&BLOBS, &analysis.id.sha256)?;
        let gone = || StoreError::Failed {
            reason: "a row just written is not there".to_owned(),
        };
        Ok((analysis, row.ok_or_else(gone)?))
    }

    fn order(&self, submission: &Submission) -> Result<Order, IngestError> {
        let mut engines = analysis::enabled(&self.engines.borrow());
        if let Some(wanted) = &submission.engines {
            if let Some(engine) = wanted.iter().find(|id| !engines.contains_key(*id)) {
                return Err(IngestError::UnknownEngine {
                    engine: engine.clone(),
                });
            }
            engines.retain(|id, _| wanted.contains(id));
        }
        if engines.is_empty() {
            return Err(IngestError::NoEngine);
        }
        Ok(Order {
            sha256: Sha256::new([0; 32]),
            size_bytes: 0,
            extension: None,
            engines,
            priority: submission.priority,
            reuse: submission.reuse,
            now: submission.now,
        })
    }
}

/// Makes a plan an order, as far as it still holds.
fn planned_order(
    change: &Change<'_>,
    plan: Plan,
    (reuse, now): (Reuse, Timestamp),
) -> Result<Option<Order>, StoreError> {
    let Some(row) = change.get(&BLOBS, &plan.sha256)? else {
        return Ok(None);
    };
    let waiting = waiting(&row, |id| change.get(&ANALYSES, id))?;
    let mut engines = BTreeMap::new();
    for (engine, versions) in plan.engines {
        let seen = match reuse {
            Reuse::Known => change.seen(&(engine.clone(), plan.sha256))?,
            Reuse::Never => None,
        };
        let is_seen = seen.is_some_and(|seen| seen.pair == Pair::of(&versions));
        if !is_seen && !waiting.contains(&engine) {
            engines.insert(engine, Some(versions));
        }
    }
    Ok((!engines.is_empty()).then(|| Order {
        sha256: plan.sha256,
        size_bytes: row.size_bytes,
        extension: row.names.last().and_then(|name| extension(name)),
        engines,
        priority: Priority::Nightly,
        // What is known is not wanted: the pair is another one.
        reuse: Reuse::Never,
        now,
    }))
}

/// Returns the engines whose jobs on a blob wait, as far back as its open analyses are remembered.
///
/// # Errors
/// If an analysis cannot be read.
pub fn waiting(
    row: &BlobRow,
    read: impl Fn(&AnalysisId) -> Result<Option<Analysis>, StoreError>,
) -> Result<BTreeSet<EngineId>, StoreError> {
    let mut waiting = BTreeSet::new();
    for number in &row.open {
        let sha256 = row.digests.sha256;
        let analysis = read(&AnalysisId {
            sha256,
            number: *number,
        })?;
        waiting.extend(analysis.into_iter().flat_map(|analysis| analysis.pending));
    }
    Ok(waiting)
}

fn submit(
    change: &mut Change<'_>,
    fresh: BlobRow,
    name: Option<String>,
    now: Timestamp,
) -> Result<BlobRow, StoreError> {
    let digests = fresh.digests;
    let mut row = change.get(&BLOBS, &digests.sha256)?.unwrap_or(fresh);
    row.times_submitted += 1;
    row.last_submission_at = now;
    if let Some(name) = name {
        row.names.retain(|known| *known != name);
        row.names.push(name);
        let surplus = row.names.len().saturating_sub(NAMES);
        row.names.drain(..surplus);
    }
    change.put(&BLOBS, &digests.sha256, &row)?;
    change.put(&MD5S, &digests.md5, &digests.sha256)?;
    change.put(&SHA1S, &digests.sha1, &digests.sha256)?;
    Ok(row)
}

/// Returns the last part of a path, cut to length; it is shown, never used as a path.
fn bounded_name(name: &str) -> String {
    let last = name
        .rsplit(['/', '\\'])
        .find(|part| !part.is_empty())
        .unwrap_or(name);
    last.chars().take(NAME_CHARS).collect()
}

fn extension(name: &str) -> Option<String> {
    let (_, extension) = name.rsplit_once('.')?;
    let plain = (1..=8).contains(&extension.len())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| extension.to_ascii_lowercase())
}

fn type_tag(head: &[u8]) -> Option<String> {
    infer::get(head).map(|kind| kind.extension().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, bounded: &str, expected: Option<&str>) {
        assert_eq!(bounded_name(name), bounded);
        assert_eq!(extension(&bounded_name(name)).as_deref(), expected);
    }

    #[test]
    fn names_are_metadata_and_extensions_are_plain() {
        check("../../etc/passwd", "passwd", None);
        check("C:\\Program Files\\Setup.EXE", "Setup.EXE", Some("exe"));
        check("a.tar.gz", "a.tar.gz", Some("gz"));
        check("x.e xe", "x.e xe", None);
        check("x.; rm -rf", "x.; rm -rf", None);
        check("dir/", "dir", None);
        check("x.verylongextension", "x.verylongextension", None);
    }
}
