//! The life of signature sets, as rows: every transition is one change, with its event.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::config::Storage;
use crate::engine::signatures::{self, Kept};
use crate::flow::events::{Draft, raise};
use crate::model::{
    About, EngineId, EngineVersions, EventKind, LeftOut, SetSource, SetState, SignatureSet,
    SignatureSetId, Timestamp,
};
use crate::store::{
    Change, SETS, SIGNATURE_SETS, SignatureSetRow, Store, StoreError, engine_prefix,
};

use super::canary::Tried;

/// Sets that are not in service whose files are kept, for a rollback or a promotion by hand.
const KEPT: usize = 3;
/// Sets of an engine that are looked through for files to remove.
const LOOKED_THROUGH: usize = 10_000;

/// The sets of one engine; clones share them.
#[derive(Clone, Debug)]
pub struct Sets {
    /// Whose.
    pub engine: EngineId,
    /// Where their rows are.
    pub store: Store,
    /// Where their files are.
    pub storage: Storage,
}

/// How a set came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its files.
    pub kept: Kept,
    /// From where.
    pub source: SetSource,
    /// The set it was made from.
    pub parent: Option<SignatureSetId>,
    /// What is not in it.
    pub left_out: Vec<LeftOut>,
    /// When.
    pub at: Timestamp,
}

impl Sets {
    /// Returns the row of the set in service.
    ///
    /// # Errors
    /// If the store fails.
    pub fn active(&self) -> Result<Option<SignatureSetRow>, StoreError> {
        self.store.get(&SIGNATURE_SETS, &self.engine)
    }

    /// Returns a set.
    ///
    /// # Errors
    /// If the store fails.
    pub fn get(&self, id: &SignatureSetId) -> Result<Option<SignatureSet>, StoreError> {
        self.store.get(&SETS, &(self.engine.clone(), id.clone()))
    }

    /// Returns where a set's files are.
    pub fn dir(&self, id: &SignatureSetId) -> PathBuf {
        self.storage.signatures_dir(&self.engine, id)
    }

    /// Returns where all sets of the engine are.
    pub fn root(&self) -> PathBuf {
        self.storage.sets_dir(&self.engine)
    }

    /// Writes a new set down as a candidate; one that was here before becomes one again, and is
    /// no newer for that.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn arrive(&self, arrival: Arrival) -> Result<(), StoreError> {
        let set = self.set(arrival, SetState::Candidate);
        self.store.write(move |change| write(change, &set)).await
    }

    /// Writes down, within a change, that the set of the build context is in service.
    ///
    /// # Errors
    /// If the store fails.
    pub fn plant(
        &self,
        change: &mut Change<'_>,
        kept: Kept,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = (self.engine.clone(), kept.id.clone());
        let before = change.get(&SIGNATURE_SETS, &self.engine)?;
        let stays = before.as_ref().is_some_and(|row| row.id == kept.id);
        if stays && change.get(&SETS, &key)?.is_some() {
            return Ok(());
        }
        if let Some(before) = before.filter(|_| !stays) {
            self.retire(change, &before.id, at)?;
        }
        let arrival = Arrival {
            kept,
            source: SetSource::Seed,
            parent: None,
            left_out: Vec::new(),
            at,
        };
        write(change, &self.set(arrival, SetState::Active))?;
        let row = SignatureSetRow {
            id: key.1,
            created_at: at,
            source: SetSource::Seed.as_str().to_owned(),
            previous: None,
            held: false,
        };
        change.put(&SIGNATURE_SETS, &self.engine, &row)
    }

    fn set(&self, arrival: Arrival, state: SetState) -> SignatureSet {
        SignatureSet {
            engine: self.engine.clone(),
            id: arrival.kept.id,
            state,
            state_at: arrival.at,
            created_at: arrival.at,
            source: arrival.source,
            digest: arrival.kept.digest,
            files: arrival.kept.files,
            size_bytes: arrival.kept.size_bytes,
            own_bytes: arrival.kept.own_bytes,
            parent: arrival.parent,
            versions: None,
            canary: None,
            reason: None,
            left_out: arrival.left_out,
            on_disk: true,
        }
    }

    fn retire(
        &self,
        change: &mut Change<'_>,
        id: &SignatureSetId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(change, id, |set| {
            set.state = SetState::Retired;
            set.state_at = at;
        })
    }

    /// Writes down that the canary refused a candidate, with the evidence.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn reject(
        &self,
        id: &SignatureSetId,
        (tried, reason): (Tried, String),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (sets, id) = (self.clone(), id.clone());
        let reject = move |change: &mut Change<'_>| {
            // Whose references there are is not for everybody who reads events.
            let seen = tried.report.evidence.iter();
            let (theirs, ours): (Vec<_>, Vec<_>) = seen.partition(|one| one.is_reference());
            let evidence = json!({
                "signature_set": id,
                "reason": reason,
                "evidence": ours,
                "references": theirs.len(),
            });
            let text = format!(
                "The canary refused new signatures of {}: {reason}",
                sets.engine
            );
            raise(
                change,
                sets.draft((EventKind::CandidateRejected, now), (text, evidence)),
            )?;
            sets.change(change, &id, |set| {
                set.state = SetState::Rejected;
                set.state_at = now;
                set.versions = tried.versions;
                set.canary = Some(tried.report);
                set.reason = Some(reason);
            })
        };
        self.store.write(reject).await
    }

    /// Writes down what the canary saw of a candidate that may serve.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn prove(&self, id: &SignatureSetId, tried: Tried) -> Result<(), StoreError> {
        let (sets, id) = (self.clone(), id.clone());
        let prove = move |change: &mut Change<'_>| {
            sets.change(change, &id, |set| {
                set.versions = tried.versions;
                set.canary = Some(tried.report);
                set.reason = None;
            })
        };
        self.store.write(prove).await
    }

    /// Puts a set into service within a change; the one before is retired.
    ///
    /// # Errors
    /// If the store fails.
    pub fn activate(
        &self,
        change: &mut Change<'_>,
        (id, versions): (&SignatureSetId, Option<EngineVersions>),
        (kind, now): (EventKind, Timestamp),
    ) -> Result<(), StoreError> {
        let old = change.get(&SIGNATURE_SETS, &self.engine)?;
        let back = kind == EventKind::SignaturesRolledBack;
        if let Some(old) = old.as_ref().filter(|old| old.id != *id) {
            self.retire(change, &old.id, now)?;
        }
        let mut source = SetSource::Seed;
        self.change(change, id, |set| {
            set.state = SetState::Active;
            set.state_at = now;
            set.versions = versions.or_else(|| set.versions.take());
            source = set.source.clone();
        })?;
        let before = old.map(|old| old.id).filter(|old| old != id);
        let row = SignatureSetRow {
            id: id.clone(),
            created_at: now,
            source: source.as_str().to_owned(),
            // One step back is all there is: behind it lies what was left.
            previous: before.clone().filter(|_| !back),
            held: back,
        };
        change.put(&SIGNATURE_SETS, &self.engine, &row)?;
        let how = if back { "is back to" } else { "scans with" };
        let text = format!("{} {how} signature set {id}", self.engine);
        let details = json!({ "signature_set": id, "before": before });
        raise(change, self.draft((kind, now), (text, details)))?;
        Ok(())
    }

    /// Holds the set in service, or lets it go; returns it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn hold(
        &self,
        held: bool,
        now: Timestamp,
    ) -> Result<Option<SignatureSet>, StoreError> {
        let sets = self.clone();
        let hold = move |change: &mut Change<'_>| {
            let Some(mut row) = change.get(&SIGNATURE_SETS, &sets.engine)? else {
                return Ok(None);
            };
            let (kind, what) = match held {
                true => (EventKind::SignaturesHeld, "held"),
                false => (EventKind::SignaturesReleased, "released"),
            };
            if row.held != held {
                row.held = held;
                change.put(&SIGNATURE_SETS, &sets.engine, &row)?;
                let text = format!("Signature set {} of {} is {what}", row.id, sets.engine);
                let details = json!({ "signature_set": row.id });
                raise(change, sets.draft((kind, now), (text, details)))?;
            }
            change.get(&SETS, &(sets.engine.clone(), row.id))
        };
        self.store.write(hold).await
    }

    /// Removes the files of sets nobody will go back to. The rows stay: verdicts name them.
    ///
    /// # Errors
    /// If the store or the file system fails.
    pub async fn clean(&self) -> Result<(), StoreError> {
        let prefix = engine_prefix(&self.engine);
        let page = self.store.list(&SETS, (&prefix, None), LOOKED_THROUGH)?;
        let mut idle: Vec<_> = page
            .rows
            .into_iter()
            .map(|(_, set)| set)
            .filter(|set| set.on_disk && set.state != SetState::Active)
            .collect();
        idle.sort_by_key(|set| std::cmp::Reverse(set.state_at));
        let previous = self.active()?.and_then(|row| row.previous);
        let gone = idle
            .into_iter()
            .skip(KEPT)
            .filter(|set| Some(&set.id) != previous.as_ref());
        for set in gone {
            let (sets, id) = (self.clone(), set.id.clone());
            self.store
                .write(move |change| sets.change(change, &id, |set| set.on_disk = false))
                .await?;
            self.remove(&set.id).await;
        }
        Ok(())
    }

    /// Removes sets without a row, which a crash left between the two.
    ///
    /// # Errors
    /// If the store or the file system fails.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let root = self.root();
        let listed = tokio::task::spawn_blocking(move || names_of_sets(&root)).await;
        for id in listed.unwrap_or_default() {
            if self.get(&id)?.is_none() && self.active()?.is_none_or(|row| row.id != id) {
                self.remove(&id).await;
            }
        }
        Ok(())
    }

    async fn remove(&self, id: &SignatureSetId) {
        let dir = self.dir(id);
        let removed = tokio::task::spawn_blocking(move || signatures::remove(&dir)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(engine.name = %self.engine, %error, "Cannot remove signature set {id}");
        }
    }

    /// Makes an event of this engine.
    pub fn draft(
        &self,
        (kind, at): (EventKind, Timestamp),
        (text, details): (String, serde_json::Value),
    ) -> Draft {
        let engine = Some(self.engine.clone());
        Draft {
            at,
            kind,
            engine,
            text,
            details,
            about: About::default(),
        }
    }

    fn change(
        &self,
        change: &mut Change<'_>,
        id: &SignatureSetId,
        edit: impl FnOnce(&mut SignatureSet),
    ) -> Result<(), StoreError> {
        let key = (self.engine.clone(), id.clone());
        if let Some(mut set) = change.get(&SETS, &key)? {
            edit(&mut set);
            change.put(&SETS, &key, &set)?;
        }
        Ok(())
    }
}

/// Writes a set down; when it came is when it came first.
fn write(change: &mut Change<'_>, set: &SignatureSet) -> Result<(), StoreError> {
    let key = (set.engine.clone(), set.id.clone());
    let known: Option<SignatureSet> = change.get(&SETS, &key)?;
    let came = known.map_or(set.created_at, |known| known.created_at);
    let set = SignatureSet {
        created_at: came.min(set.created_at),
        ..set.clone()
    };
    change.put(&SETS, &key, &set)
}

/// Lists directories that have a set's name.
fn names_of_sets(root: &Path) -> Vec<SignatureSetId> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.path().is_dir());
    let names = dirs.filter_map(|entry| entry.file_name().into_string().ok());
    let is_set = |name: &String| name.len() == 16 && name.bytes().all(|c| c.is_ascii_hexdigit());
    names.filter(is_set).map(SignatureSetId).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str) -> Kept {
        Kept {
            id: SignatureSetId(id.to_owned()),
            digest: String::new(),
            files: 1,
            size_bytes: 1,
            own_bytes: 1,
        }
    }

    fn arrival(id: &str, at: u64) -> Arrival {
        Arrival {
            kept: kept(id),
            source: SetSource::Seed,
            parent: None,
            left_out: Vec::new(),
            at: Timestamp::from_millis(at),
        }
    }

    #[tokio::test]
    async fn set_that_comes_again_or_is_planted_again_is_as_old_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let sets = Sets {
            engine: "clamav".parse().unwrap(),
            store: Store::open(dir.path(), 1 << 20).unwrap(),
            storage: Storage::default(),
        };
        let plant = async |at| {
            let (planting, at) = (sets.clone(), Timestamp::from_millis(at));
            let plant = move |change: &mut Change<'_>| planting.plant(change, kept("seed"), at);
            sets.store.write(plant).await.unwrap();
        };
        let age = |id: &str| {
            let id = SignatureSetId(id.to_owned());
            sets.get(&id).unwrap().unwrap().created_at.millis()
        };
        plant(1).await;
        sets.arrive(arrival("next", 2)).await.unwrap();
        let next = SignatureSetId("next".to_owned());
        let promoted = (EventKind::SignaturesPromoted, Timestamp::from_millis(3));
        let acting = sets.clone();
        let activate =
            move |change: &mut Change<'_>| acting.activate(change, (&next, None), promoted);
        sets.store.write(activate).await.unwrap();
        // The files of the set in service are gone: the first one serves again.
        plant(4).await;
        sets.arrive(arrival("next", 5)).await.unwrap();
        assert_eq!((age("seed"), age("next")), (1, 2));
    }
}
