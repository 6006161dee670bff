//! Scans: one loop per slot of an engine leases jobs, shows the files, asks,
//! and records the answers.
//!
//! A batch is all or nothing to nobody: files that got an answer are recorded,
//! those that did not are asked again in smaller batches until the one bad file
//! stands alone, and only then does its failure count. Nothing here assumes
//! that the lane is in this process: it is leased from, extended and settled.

pub mod outside;

use std::time::Duration;

use tokio::sync::RwLock;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::analysis::{Answer, Recorder};
use super::board::Board;
use super::gate::{Gate, Pass};
use super::queue::{BatchLimit, Lanes, Leased};
use crate::engine::ask::{Asked, Engine, Health, Run};
use crate::engine::resident::ResidentError;
use crate::engine::respondent::Respondent;
use crate::engine::sandbox::SandboxError;
use crate::engine::staging::Shown;
use crate::model::{EngineState, Verdict};
use crate::store::Blobs;
use crate::system::now;

/// How often a lane is looked at without being told; catches leases that ran out.
const POLL: Duration = Duration::from_secs(5);
/// Part of a full batch that is worth a start of the engine while more waits.
const LEAST_PART: u64 = 4;
/// Parts a batch without answers is cut into.
const PARTS: usize = 4;

/// What one engine's slots share.
#[derive(Debug)]
pub struct Scanner {
    /// Who is asked.
    pub respondent: Respondent,
    /// Where its jobs come from.
    pub lanes: Lanes,
    /// Where the files are.
    pub blobs: Blobs,
    /// Where its answers go.
    pub recorder: Recorder,
    /// Where its state is written.
    pub board: Board,
    /// Whether it may scan.
    pub gate: Gate,
    /// Runs of a job that may fail before the failure is its verdict.
    pub attempts: u32,
    /// Shared by the slots, except by a file's last attempt.
    pub floor: RwLock<()>,
}

/// How an attempt at a batch ended.
enum Attempt {
    /// The engine was asked.
    Asked(Box<Asked>),
    /// Nobody could be asked, and trying again may help.
    Later(String),
    /// Nobody can be asked, and that is the answer.
    Never(String),
}

/// Whether a batch may be asked about while other slots ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It may.
    Shared,
    /// Not for the last time: what befell the container may be the doing of another slot's file.
    Alone,
}

impl Turn {
    fn after(asked: &Asked) -> Self {
        let mut answers = asked.answers.iter();
        // A command's deadline is its own.
        if asked.health == Health::Fine || answers.all(|said| said.verdict == Verdict::Timeout) {
            Self::Shared
        } else {
            Self::Alone
        }
    }
}

impl Scanner {
    /// Works as one slot, by its number, until told to stop.
    pub async fn run(&self, slot: u16, shutdown: &CancellationToken) {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let lane = &self.respondent.manifest().id;
            let kept = self.is_kept_for_people(slot);
            let leased = match kept {
                true => self.lanes.lease_interactive(lane, self.batch_limit()),
                false => self.lanes.lease(lane, self.batch_limit()),
            };
            match leased {
                Ok(batch) if batch.is_empty() => self.rest(kept, shutdown).await,
                Ok(batch) => {
                    let worked = self.work(batch, shutdown).await;
                    failures = if worked { 0 } else { failures + 1 };
                    self.back_off(failures, shutdown).await;
                }
                Err(error) => {
                    error!(engine.name = %lane, %error, "Cannot lease a job");
                    sleep(POLL).await;
                }
            }
        }
    }

    /// Tells whether a slot stays out of the night's work: a batch of the night that is under way
    /// is not broken off, so the last free slot is for people as long as they are about.
    fn is_kept_for_people(&self, slot: u16) -> bool {
        let manifest = self.respondent.manifest();
        slot == 0 && manifest.run.slots > 1 && self.lanes.has_people(&manifest.id)
    }

    async fn rest(&self, kept: bool, shutdown: &CancellationToken) {
        let lane = &self.respondent.manifest().id;
        let arrived = async {
            match kept {
                // The night's wake-ups are for the other slots.
                true => self.lanes.wait_interactive(lane).await,
                false => self.lanes.wait(lane).await,
            }
        };
        tokio::select! {
            () = arrived => {}
            () = sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn back_off(&self, failures: u32, shutdown: &CancellationToken) {
        if failures == 0 {
            return;
        }
        let pause = Duration::from_millis(500).saturating_mul(1 << failures.min(6));
        tokio::select! {
            () = sleep(pause) => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Takes its share of what waits, so that every slot has something to do, but
    /// no crumbs while there is more: a batch costs a start of the engine.
    fn batch_limit(&self) -> BatchLimit {
        let manifest = self.respondent.manifest();
        let run = &manifest.run;
        let depth = self.lanes.depth(&manifest.id);
        let waiting = (depth.interactive + depth.nightly).saturating_sub(depth.leased);
        let (slots, most) = (u64::from(run.slots), self.respondent.most_files());
        let least = if waiting > 2 * slots {
            (most / LEAST_PART).max(1)
        } else {
            1
        };
        let share = waiting.div_ceil(slots).clamp(least, most);
        BatchLimit {
            files: usize::try_from(share).unwrap_or(1),
            bytes: run.batch_mb << 20,
            lease: self.lease(self.respondent.most_files()),
        }
    }

    /// How long a batch may hold its claim: its deadline, a new container, and some.
    fn lease(&self, files: u64) -> Duration {
        let startup = Duration::from_secs(self.respondent.manifest().run.startup_seconds);
        self.respondent.deadline(files) + startup + Duration::from_secs(60)
    }

    /// Brings a leased batch to an end; false if nobody could be asked and the jobs went back.
    async fn work(&self, batch: Vec<Leased>, shutdown: &CancellationToken) -> bool {
        let mut todo = match self.pass_over_oversize(batch).await {
            Ok(batch) if batch.is_empty() => return true,
            Ok(batch) => vec![(batch, Turn::Shared)],
            Err(batch) => {
                self.lanes.release(&batch);
                return false;
            }
        };
        while let Some((batch, turn)) = todo.pop() {
            if shutdown.is_cancelled() {
                todo.push((batch, turn));
                break;
            }
            // As for the longest batch: its turn may come only after another slot's.
            self.lanes
                .extend(&batch, self.lease(self.respondent.most_files()));
            let settled = match self.attempt_in_turn(&batch, turn).await {
                Attempt::Asked(asked) => {
                    let next = Turn::after(&asked);
                    let again = self.settle(batch, *asked).await;
                    again.map(|again| again.into_iter().map(|batch| (batch, next)).collect())
                }
                Attempt::Never(reason) => self.fail(batch, &reason).await.map(|()| Vec::new()),
                Attempt::Later(reason) => {
                    warn!(engine.name = %self.respondent.manifest().id, reason, "Jobs wait");
                    Err(batch)
                }
            };
            match settled {
                Ok(again) => todo.extend::<Vec<_>>(again),
                Err(batch) => {
                    todo.push((batch, turn));
                    todo.iter().for_each(|(batch, _)| self.lanes.release(batch));
                    return false;
                }
            }
        }
        todo.iter().for_each(|(batch, _)| self.lanes.release(batch));
        true
    }

    /// Lets a file's last attempt run alone if it may have failed for another slot's file.
    async fn attempt_in_turn(&self, batch: &[Leased], turn: Turn) -> Attempt {
        let last = batch.len() == 1 && batch[0].job.attempts + 1 >= self.attempts;
        if last && turn == Turn::Alone {
            let _alone = self.floor.write().await;
            self.attempt(batch).await
        } else {
            let _shared = self.floor.read().await;
            self.attempt(batch).await
        }
    }

    async fn attempt(&self, batch: &[Leased]) -> Attempt {
        match self.gate.pass().await {
            Pass::Open => {}
            Pass::Closed(reason) => return Attempt::Never(reason),
        }
        match &self.respondent {
            Respondent::Contained(engine) => self.attempt_contained(engine, batch).await,
            Respondent::Outside(outside) => self.attempt_outside(outside, batch).await,
        }
    }

    async fn attempt_contained(&self, engine: &Engine, batch: &[Leased]) -> Attempt {
        let lease = match engine.resident.acquire().await {
            Ok(lease) => lease,
            Err(error) => return self.no_container(&error),
        };
        self.gate.started();
        self.board.ready(&engine.manifest.id, &lease.live.versions);
        let asked = engine.ask(&lease, self.show(batch)).await;
        match &asked.health {
            Health::Fine => engine.resident.release(lease, batch.len() as u64).await,
            Health::Suspect(reason) => {
                self.trouble(EngineState::Ready, reason);
                engine.resident.retire(lease).await;
            }
        }
        Attempt::Asked(Box::new(asked))
    }

    fn show(&self, batch: &[Leased]) -> Vec<Shown> {
        let extensions = &self.respondent.manifest().run.extensions;
        let show = |leased: &Leased| Shown {
            blob: self.blobs.path(&leased.job.id.analysis.sha256),
            extension: leased
                .job
                .extension
                .clone()
                .filter(|e| extensions.contains(e)),
        };
        batch.iter().map(show).collect()
    }

    fn no_container(&self, error: &ResidentError) -> Attempt {
        let reason = error.to_string();
        self.trouble(EngineState::BackingOff, &reason);
        match error {
            ResidentError::Sandbox(SandboxError::Unreachable { .. }) => Attempt::Later(reason),
            ResidentError::Sandbox(SandboxError::ImageMissing { .. }) => Attempt::Never(reason),
            ResidentError::Sandbox(SandboxError::Refused { .. }) => Attempt::Never(reason),
            ResidentError::Sandbox(SandboxError::Docker { .. })
            | ResidentError::Died { .. }
            | ResidentError::Silent { .. } => {
                // Every slot counts each start it waited for.
                let slots = u32::from(self.respondent.manifest().run.slots);
                if self.gate.failed_start() >= self.attempts * slots {
                    Attempt::Never(format!("the engine does not start: {reason}"))
                } else {
                    Attempt::Later(reason)
                }
            }
        }
    }

    fn trouble(&self, state: EngineState, reason: &str) {
        self.board
            .trouble(&self.respondent.manifest().id, state, (reason, now()));
    }

    /// Records what was answered; returns what must be asked again, in batches.
    ///
    /// # Errors
    /// The whole batch, if its answers could not be recorded.
    async fn settle(
        &self,
        batch: Vec<Leased>,
        asked: Asked,
    ) -> Result<Vec<Vec<Leased>>, Vec<Leased>> {
        let (alone, count) = (batch.len() == 1, batch.len());
        let (mut answers, mut again) = (Vec::new(), Vec::new());
        for (mut leased, answer) in batch.into_iter().zip(asked.answers) {
            leased.job.attempts += u32::from(alone);
            if answer.verdict.is_answer() || (alone && leased.job.attempts >= self.attempts) {
                answers.push(Answer {
                    leased,
                    verdict: answer.verdict,
                    staged: answer.staged,
                });
            } else {
                debug!(engine.name = %self.respondent.manifest().id, verdict = ?answer.verdict, "Again");
                again.push(leased);
            }
        }
        match self.record(answers, &asked.run).await {
            Ok(()) => Ok(split(again, count)),
            Err(unrecorded) => Err(again.into_iter().chain(unrecorded).collect()),
        }
    }

    /// Records answers; jobs whose answers cannot be kept come back and wait again.
    async fn record(&self, answers: Vec<Answer>, run: &Run) -> Result<(), Vec<Leased>> {
        let jobs = answers.iter().map(|answer| answer.leased.clone()).collect();
        let recorded = self.recorder.record(answers, run).await;
        recorded.map_err(|error| {
            error!(engine.name = %self.respondent.manifest().id, %error, "Cannot record answers");
            jobs
        })
    }

    async fn fail(&self, batch: Vec<Leased>, reason: &str) -> Result<(), Vec<Leased>> {
        let failure = |leased| Answer {
            leased,
            verdict: Verdict::failure(reason),
            staged: None,
        };
        let answers = batch.into_iter().map(failure).collect();
        self.record(answers, &Run::none()).await
    }

    /// Answers for files the engine is not given because of their size; returns the others.
    ///
    /// # Errors
    /// The whole batch, if that could not be recorded.
    async fn pass_over_oversize(&self, batch: Vec<Leased>) -> Result<Vec<Leased>, Vec<Leased>> {
        let limit_mb = self.respondent.manifest().limits.file_mb;
        let (large, rest): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|leased| leased.job.size_bytes > limit_mb << 20);
        if large.is_empty() {
            return Ok(rest);
        }
        let reason = format!("larger than this engine's limit of {limit_mb} MB");
        let unsupported = |leased| {
            let reason = reason.clone();
            Answer {
                leased,
                verdict: Verdict::TypeUnsupported { reason },
                staged: None,
            }
        };
        let answers = large.into_iter().map(unsupported).collect();
        match self.record(answers, &Run::none()).await {
            Ok(()) => Ok(rest),
            Err(unrecorded) => Err(rest.into_iter().chain(unrecorded).collect()),
        }
    }
}

/// Cuts what must be asked again: alone if few of many failed, else in parts.
fn split(again: Vec<Leased>, batch: usize) -> Vec<Vec<Leased>> {
    let part = if again.len() < batch {
        1
    } else {
        again.len().div_ceil(PARTS)
    };
    again.chunks(part.max(1)).map(<[Leased]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AnalysisId, Job, JobId, Priority, Sha256};
    use crate::store::LaneKey;

    fn leased(number: u64) -> Leased {
        let engine: crate::model::EngineId = "a".parse().unwrap();
        let analysis = AnalysisId {
            sha256: Sha256::new([0; 32]),
            number,
        };
        let priority = Priority::Interactive;
        Leased {
            key: LaneKey {
                engine: engine.clone(),
                priority,
                number,
            },
            job: Job {
                id: JobId { engine, analysis },
                priority,
                size_bytes: 1,
                attempts: 0,
                extension: None,
            },
        }
    }

    #[track_caller]
    fn check(again: u64, batch: usize, expected: &[usize]) {
        let again = (0..again).map(leased).collect();
        let sizes: Vec<_> = split(again, batch).iter().map(Vec::len).collect();
        assert_eq!(sizes, expected);
    }

    #[test]
    fn failed_batch_is_cut_until_the_bad_file_stands_alone() {
        check(8, 8, &[2, 2, 2, 2]);
        check(2, 2, &[1, 1]);
        check(1, 1, &[1]);
        check(3, 8, &[1, 1, 1]);
        check(0, 8, &[]);
    }
}
