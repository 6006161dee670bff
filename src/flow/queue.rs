//! Lanes: one durable queue of jobs per engine, people before the night.
//!
//! ```text
//!        push (a row, in the change that opens the analysis)
//!          │
//!          ▼        lease               settle (the row goes, with the result)
//!        waiting ─────────→ leased ─────────────────────────────→ gone
//!          ▲                  │
//!          └──────────────────┘ release, or the lease runs out
//! ```
//!
//! People come first, but what is leased is not taken back: who wants to keep
//! room for them asks whether some are about ([`Lanes::has_people`]).
//!
//! The rows are the truth; wake-ups are hints. Leases are only in memory: a
//! daemon that starts treats each as run out. A lane and its engine need not
//! share a process, so a lease is a claim with an end, not a lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::model::{EngineId, Job, Priority};
use crate::store::{Change, JOBS, LaneKey, Store, StoreError};

const PRIORITIES: [Priority; 2] = [Priority::Interactive, Priority::Nightly];
/// How long after a person's last job the next one is counted on.
const ABOUT: Duration = Duration::from_secs(10);
/// Rows read at a time while looking for jobs that are not leased.
const LOOK: usize = 512;

/// A job somebody has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Its place in its lane.
    pub key: LaneKey,
    /// What is to be done.
    pub job: Job,
}

/// How much to lease at once.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimit {
    /// Most jobs.
    pub files: usize,
    /// Most bytes, unless the first job alone is larger.
    pub bytes: u64,
    /// How long the claim holds.
    pub lease: Duration,
}

/// How many jobs are where in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Waiting or leased, and somebody waits.
    pub interactive: u64,
    /// Waiting or leased, for the night.
    pub nightly: u64,
    /// Leased.
    pub leased: u64,
}

#[derive(Debug, Default)]
struct Lane {
    leases: Mutex<HashMap<LaneKey, Instant>>,
    depths: [AtomicI64; 2],
    arrived: [Notify; 2],
    people: Mutex<Option<Instant>>,
}

impl Lane {
    fn wake(&self, priority: Priority) {
        self.arrived[index(priority)].notify_one();
    }

    fn last_person(&self) -> MutexGuard<'_, Option<Instant>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All lanes; clones share them.
#[derive(Clone, Debug)]
pub struct Lanes {
    store: Store,
    lanes: Arc<Mutex<HashMap<EngineId, Arc<Lane>>>>,
    number: Arc<AtomicU64>,
}

impl Lanes {
    /// Counts what waits. Blocks for as long as it takes to read the jobs.
    ///
    /// # Errors
    /// If the store fails.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        let lanes = Self {
            store,
            lanes: Arc::default(),
            number: Arc::new(AtomicU64::new(1)),
        };
        let mut from: Option<Vec<u8>> = None;
        loop {
            let page = lanes.store.list(&JOBS, (&[], from.as_deref()), LOOK)?;
            for (key, _) in &page.rows {
                lanes.lane(&key.engine).depths[index(key.priority)].fetch_add(1, Ordering::Relaxed);
                lanes.number.fetch_max(key.number + 1, Ordering::Relaxed);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(lanes),
            }
        }
    }

    /// Gives a job its place. The row becomes durable with the change; call
    /// [`Self::arrived`] once it is.
    ///
    /// # Errors
    /// If the row cannot be written.
    pub fn push(&self, change: &mut Change<'_>, job: &Job) -> Result<LaneKey, StoreError> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let key = LaneKey {
            engine: job.id.engine.clone(),
            priority: job.priority,
            number,
        };
        change.put(&JOBS, &key, job)?;
        Ok(key)
    }

    /// Tells the engines of jobs that are now durable.
    pub fn arrived(&self, keys: &[LaneKey]) {
        // Counted before anybody is woken, so that the first batch takes its share of all.
        for key in keys {
            let lane = self.lane(&key.engine);
            lane.depths[index(key.priority)].fetch_add(1, Ordering::Relaxed);
            if key.priority == Priority::Interactive {
                *lane.last_person() = Some(Instant::now());
            }
        }
        for key in keys {
            self.lane(&key.engine).wake(key.priority);
        }
    }

    /// Claims the next jobs of a lane, people's first. A batch has one priority.
    ///
    /// # Errors
    /// If the store fails.
    pub fn lease(&self, engine: &EngineId, limit: BatchLimit) -> Result<Vec<Leased>, StoreError> {
        self.lease_of(&PRIORITIES, engine, limit)
    }

    /// Claims the next jobs of a lane that people wait for.
    ///
    /// # Errors
    /// If the store fails.
    pub fn lease_interactive(
        &self,
        engine: &EngineId,
        limit: BatchLimit,
    ) -> Result<Vec<Leased>, StoreError> {
        self.lease_of(&[Priority::Interactive], engine, limit)
    }

    fn lease_of(
        &self,
        priorities: &[Priority],
        engine: &EngineId,
        limit: BatchLimit,
    ) -> Result<Vec<Leased>, StoreError> {
        let lane = self.lane(engine);
        for &priority in priorities {
            if lane.depths[index(priority)].load(Ordering::Relaxed) <= 0 {
                continue;
            }
            let batch = self.lease_from(&lane, (engine, priority), limit)?;
            if !batch.is_empty() {
                return Ok(batch);
            }
        }
        Ok(Vec::new())
    }

    fn lease_from(
        &self,
        lane: &Lane,
        (engine, priority): (&EngineId, Priority),
        limit: BatchLimit,
    ) -> Result<Vec<Leased>, StoreError> {
        let now = Instant::now();
        let prefix = LaneKey::prefix(engine, priority);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut leases = lane.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from: Option<Vec<u8>> = None;
        loop {
            let page = self.store.list(&JOBS, (&prefix, from.as_deref()), LOOK)?;
            for (key, job) in page.rows {
                if leases.get(&key).is_some_and(|until| *until > now) {
                    continue;
                }
                bytes += job.size_bytes;
                let full = !batch.is_empty() && bytes > limit.bytes;
                if full || batch.len() >= limit.files {
                    return Ok(batch);
                }
                leases.insert(key.clone(), now + limit.lease);
                batch.push(Leased { key, job });
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(batch),
            }
        }
    }

    /// Prolongs claims, as long as the work on them goes on.
    pub fn extend(&self, jobs: &[Leased], lease: Duration) {
        let Some(first) = jobs.first() else { return };
        let lane = self.lane(&first.key.engine);
        let until = Instant::now() + lease;
        let mut leases = lane.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for leased in jobs {
            leases.insert(leased.key.clone(), until);
        }
    }

    /// Gives claims back: the jobs wait again.
    pub fn release(&self, jobs: &[Leased]) {
        for leased in jobs {
            let lane = self.lane(&leased.key.engine);
            lane.leases
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&leased.key);
            lane.wake(leased.key.priority);
        }
    }

    /// Ends claims on jobs whose rows are gone; `gone` tells whether this run removed the row.
    pub fn settled(&self, keys: &[(LaneKey, bool)]) {
        for (key, gone) in keys {
            let lane = self.lane(&key.engine);
            lane.leases
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(key);
            // A job may be settled before its arrival is counted, so this may pass below zero.
            lane.depths[index(key.priority)].fetch_sub(i64::from(*gone), Ordering::Relaxed);
        }
    }

    /// Waits until something may have arrived in the lane.
    pub async fn wait(&self, engine: &EngineId) {
        let lane = self.lane(engine);
        let [interactive, nightly] = &lane.arrived;
        tokio::select! {
            () = interactive.notified() => {}
            () = nightly.notified() => {}
        }
    }

    /// Waits until a job that people wait for may have arrived in the lane.
    pub async fn wait_interactive(&self, engine: &EngineId) {
        let lane = self.lane(engine);
        lane.arrived[index(Priority::Interactive)].notified().await;
    }

    /// Tells whether people have just given the engine something to do, and so may again.
    pub fn has_people(&self, engine: &EngineId) -> bool {
        let last = *self.lane(engine).last_person();
        last.is_some_and(|last| last.elapsed() < ABOUT)
    }

    /// Tells how full a lane is.
    pub fn depth(&self, engine: &EngineId) -> Depth {
        let lane = self.lane(engine);
        let leased = lane
            .leases
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len() as u64;
        Depth {
            interactive: count(&lane.depths[0]),
            nightly: count(&lane.depths[1]),
            leased,
        }
    }

    fn lane(&self, engine: &EngineId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(engine.clone()).or_default())
    }
}

fn count(depth: &AtomicI64) -> u64 {
    depth.load(Ordering::Relaxed).try_into().unwrap_or(0)
}

const fn index(priority: Priority) -> usize {
    match priority {
        Priority::Interactive => 0,
        Priority::Nightly => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AnalysisId, JobId, Sha256};

    const LIMIT: BatchLimit = BatchLimit {
        files: 2,
        bytes: 100,
        lease: Duration::from_secs(60),
    };

    fn job(number: u64, priority: Priority, size_bytes: u64) -> Job {
        let analysis = AnalysisId {
            sha256: Sha256::new([0; 32]),
            number,
        };
        let id = JobId {
            engine: "a".parse().unwrap(),
            analysis,
        };
        Job {
            id,
            priority,
            size_bytes,
            attempts: 0,
            extension: None,
        }
    }

    async fn push(lanes: &Lanes, job: Job) {
        let pushing = lanes.clone();
        let key = lanes
            .store
            .write(move |change| pushing.push(change, &job))
            .await
            .unwrap();
        lanes.arrived(&[key]);
    }

    fn numbers(batch: &[Leased]) -> Vec<u64> {
        batch
            .iter()
            .map(|leased| leased.job.id.analysis.number)
            .collect()
    }

    async fn lanes(dir: &std::path::Path, jobs: Vec<Job>) -> Lanes {
        let lanes = Lanes::open(Store::open(dir, 1 << 20).unwrap()).unwrap();
        for job in jobs {
            push(&lanes, job).await;
        }
        lanes
    }

    #[tokio::test]
    async fn people_come_before_the_night() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = vec![
            job(1, Priority::Nightly, 1),
            job(2, Priority::Interactive, 1),
        ];
        let lanes = lanes(dir.path(), jobs).await;
        let engine = "a".parse().unwrap();
        assert_eq!(numbers(&lanes.lease(&engine, LIMIT).unwrap()), [2]);
        assert_eq!(numbers(&lanes.lease(&engine, LIMIT).unwrap()), [1]);
        assert!(lanes.lease(&engine, LIMIT).unwrap().is_empty());
    }

    #[tokio::test]
    async fn who_keeps_room_for_people_leaves_the_night_alone() {
        let dir = tempfile::tempdir().unwrap();
        let lanes = lanes(dir.path(), vec![job(1, Priority::Nightly, 1)]).await;
        let engine = "a".parse().unwrap();
        assert!(!lanes.has_people(&engine));
        assert!(lanes.lease_interactive(&engine, LIMIT).unwrap().is_empty());
        push(&lanes, job(2, Priority::Interactive, 1)).await;
        assert!(lanes.has_people(&engine));
        // The night's job woke the other slot, a person's wakes this one.
        lanes.wait_interactive(&engine).await;
        let batch = lanes.lease_interactive(&engine, LIMIT).unwrap();
        assert_eq!(numbers(&batch), [2]);
        lanes.wait(&engine).await;
        assert_eq!(numbers(&lanes.lease(&engine, LIMIT).unwrap()), [1]);
    }

    #[tokio::test]
    async fn batch_ends_at_its_limits_but_a_large_file_goes_alone() {
        let dir = tempfile::tempdir().unwrap();
        let sizes = [60, 60, 500, 10, 10, 10];
        let jobs = sizes
            .iter()
            .zip(1..)
            .map(|(size, n)| job(n, Priority::Nightly, *size));
        let lanes = lanes(dir.path(), jobs.collect()).await;
        let engine = "a".parse().unwrap();
        let mut batches = Vec::new();
        for _ in 0..5 {
            batches.push(numbers(&lanes.lease(&engine, LIMIT).unwrap()));
        }
        assert_eq!(batches, [vec![1], vec![2], vec![3], vec![4, 5], vec![6]]);
    }

    #[tokio::test]
    async fn released_and_run_out_jobs_are_leased_again() {
        let dir = tempfile::tempdir().unwrap();
        let lanes = lanes(dir.path(), vec![job(1, Priority::Nightly, 1)]).await;
        let engine = "a".parse().unwrap();
        let batch = lanes.lease(&engine, LIMIT).unwrap();
        lanes.release(&batch);
        let short = BatchLimit {
            lease: Duration::ZERO,
            ..LIMIT
        };
        assert_eq!(lanes.lease(&engine, short).unwrap(), batch);
        assert_eq!(lanes.lease(&engine, LIMIT).unwrap(), batch);
    }

    #[tokio::test]
    async fn lanes_are_the_same_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = lanes(dir.path(), vec![job(1, Priority::Nightly, 1)]).await;
        let engine = "a".parse().unwrap();
        first.lease(&engine, LIMIT).unwrap();
        let again = Lanes::open(first.store.clone()).unwrap();
        assert_eq!(again.depth(&engine).nightly, 1);
        assert_eq!(numbers(&again.lease(&engine, LIMIT).unwrap()), [1]);
    }
}
