//! Opens analyses, records what engines answer, and closes them.
//!
//! ```text
//! open ──→ queued ──→ in-progress ──→ completed
//!   └── every engine's answer is known already ──→ completed
//! ```

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::broadcast;

use crate::model::{
    Analysis, AnalysisId, EngineId, EngineResult, EngineTable, EngineVersions, Job, JobId,
    Priority, Sha256, Timestamp, Verdict,
};
use crate::store::{
    ANALYSES, BLOBS, Change, JOBS, LaneKey, Pair, RESULTS, ResultKey, Store, StoreError, UNLABELED,
};

use super::board::Board;
use super::queue::{Lanes, Leased};
use super::raw::RawOutput;
use super::standing;
use super::timeline::{self, Look};
use crate::engine::ask::Run;
use crate::metrics::Metrics;
use crate::system::now;

pub use crate::model::Reuse;

/// Open analyses of a blob that are remembered.
const OPEN: usize = 64;

/// What an analysis is to be.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which blob.
    pub sha256: Sha256,
    /// Its length.
    pub size_bytes: u64,
    /// The extension engines may see.
    pub extension: Option<String>,
    /// Which engines.
    pub engines: BTreeMap<EngineId, Option<EngineVersions>>,
    /// Who waits.
    pub priority: Priority,
    /// Whether known answers count.
    pub reuse: Reuse,
    /// The present.
    pub now: Timestamp,
}

/// Returns the engines that take part in analyses, with what they scan with now.
pub fn enabled(table: &EngineTable) -> BTreeMap<EngineId, Option<EngineVersions>> {
    let enabled = table
        .iter()
        .filter(|(_, status)| status.state.takes_part() && !status.labeler);
    enabled
        .map(|(id, status)| (id.clone(), status.versions.clone()))
        .collect()
}

/// Opens an analysis inside a change; the keys are those of its jobs.
///
/// # Errors
/// If the store fails.
pub fn open(
    change: &mut Change<'_>,
    lanes: &Lanes,
    order: &Order,
) -> Result<(Analysis, Vec<LaneKey>), StoreError> {
    let id = unused_id(change, order)?;
    let engines: BTreeSet<_> = order.engines.keys().cloned().collect();
    let mut analysis = Analysis {
        id,
        created_at: order.now,
        completed_at: None,
        pending: engines.clone(),
        engines,
        priority: order.priority,
    };
    let mut keys = Vec::new();
    for (engine, versions) in &order.engines {
        if let Some(known) = known(change, order, (engine, versions.as_ref()))? {
            change.put(
                &RESULTS,
                &ResultKey {
                    analysis: id,
                    engine: engine.clone(),
                },
                &known,
            )?;
            analysis.pending.remove(engine);
        } else {
            keys.push(lanes.push(change, &job(order, id, engine))?);
        }
    }
    if analysis.pending.is_empty() {
        close_if_complete(change, &mut analysis, order.now)?;
    } else {
        note_open(change, id)?;
    }
    change.put(&ANALYSES, &id, &analysis)?;
    Ok((analysis, keys))
}

/// Writes at the blob that an analysis of it is open, so that a rescan finds what waits.
fn note_open(change: &mut Change<'_>, id: AnalysisId) -> Result<(), StoreError> {
    let Some(mut blob) = change.get(&BLOBS, &id.sha256)? else {
        return Ok(());
    };
    let surplus = (blob.open.len() + 1).saturating_sub(OPEN);
    blob.open.drain(..surplus);
    blob.open.push(id.number);
    change.put(&BLOBS, &id.sha256, &blob)
}

fn unused_id(change: &Change<'_>, order: &Order) -> Result<AnalysisId, StoreError> {
    let mut id = AnalysisId {
        sha256: order.sha256,
        number: order.now.millis(),
    };
    while change.get(&ANALYSES, &id)?.is_some() {
        id.number += 1;
    }
    Ok(id)
}

fn known(
    change: &Change<'_>,
    order: &Order,
    (engine, versions): (&EngineId, Option<&EngineVersions>),
) -> Result<Option<EngineResult>, StoreError> {
    let (Reuse::Known, Some(versions)) = (order.reuse, versions) else {
        return Ok(None);
    };
    let seen = change.seen(&(engine.clone(), order.sha256))?;
    let answer = seen.and_then(|row| row.answer);
    let Some(answer) = answer.filter(|answer| answer.pair == Pair::of(versions)) else {
        return Ok(None);
    };
    let analysis = AnalysisId {
        sha256: order.sha256,
        number: answer.analysis,
    };
    let engine = engine.clone();
    let known: Option<EngineResult> = change.get(&RESULTS, &ResultKey { analysis, engine })?;
    // What changed, changed in the analysis it is taken from.
    Ok(known.map(|known| EngineResult {
        change: None,
        ..known
    }))
}

fn job(order: &Order, analysis: AnalysisId, engine: &EngineId) -> Job {
    Job {
        id: JobId {
            engine: engine.clone(),
            analysis,
        },
        priority: order.priority,
        size_bytes: order.size_bytes,
        attempts: 0,
        extension: order.extension.clone(),
    }
}

/// One answer that is to be recorded.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Whose.
    pub leased: Leased,
    /// The answer.
    pub verdict: Verdict,
    /// The name under which the engine saw the file.
    pub staged: Option<String>,
}

/// Writes answers down and tells who waits for them; clones share it.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Where they are kept.
    pub store: Store,
    /// The lanes their jobs leave.
    pub lanes: Lanes,
    /// Where they are counted.
    pub metrics: Metrics,
    /// The board they are counted on.
    pub board: Board,
    /// Whom to tell that an analysis is complete.
    pub completed: broadcast::Sender<AnalysisId>,
}

impl Recorder {
    /// Records answers: results, analyses and lanes change together or not at all.
    ///
    /// A job that is gone already (its lease ran out and another run settled it)
    /// is passed over, so that no job is counted twice.
    ///
    /// # Errors
    /// If the store fails; then nothing is recorded and the jobs stay leased.
    pub async fn record(&self, answers: Vec<Answer>, run: &Run) -> Result<(), StoreError> {
        let Some(first) = answers.first() else {
            return Ok(());
        };
        let engine = first.leased.key.engine.clone();
        let now = now();
        let raw = RawOutput::new(&run.raw)?;
        let results = answers
            .iter()
            .map(|answer| result(answer, run, (raw.as_ref(), now)));
        let results: Vec<_> = results.collect();
        let answered = results.clone();
        let looked_at = looked_at(&answers, run);
        let ran_ms = u64::try_from(run.duration.as_millis()).unwrap_or(0);
        let began = Timestamp::from_millis(now.millis().saturating_sub(ran_ms));
        let versions = self.versions(&engine, run);
        let settle = move |change: &mut Change<'_>| {
            if let Some(raw) = &raw {
                raw.put(change);
            }
            let pairs = answers.into_iter().zip(&results);
            let record = pairs.map(|(answer, result)| {
                let look = Look {
                    result,
                    versions: versions.as_ref(),
                    began,
                };
                let settled = record_one(change, &answer.leased, &look, now)?;
                Ok((answer.leased, settled))
            });
            record.collect::<Result<Vec<_>, StoreError>>()
        };
        let settled = self.store.write(settle).await?;
        self.count(&engine, (&answered, looked_at), run);
        self.announce(settled, now);
        Ok(())
    }

    /// Returns what the engine looked with; for what it was not shown, what it would have.
    fn versions(&self, engine: &EngineId, run: &Run) -> Option<EngineVersions> {
        if !run.versions.image.is_empty() {
            return Some(run.versions.clone());
        }
        let board = self.board.subscribe();
        let table = board.borrow();
        table.get(engine)?.versions.clone()
    }

    fn count(
        &self,
        engine: &EngineId,
        (results, looked_at): (&[EngineResult], (u64, u64)),
        run: &Run,
    ) {
        let (mut answered, mut failed) = (0, 0);
        for result in results {
            let category = result.verdict.category();
            self.metrics
                .verdicts
                .with_label_values(&[engine.as_str(), category])
                .inc();
            let count = if result.verdict.is_answer() {
                &mut answered
            } else {
                &mut failed
            };
            *count += 1;
        }
        self.board.answered(engine, (answered, failed), looked_at);
        let seconds = self
            .metrics
            .batch_seconds
            .with_label_values(&[engine.as_str()]);
        seconds.observe(run.duration.as_secs_f64());
    }

    fn announce(&self, settled: Vec<(Leased, Settled)>, now: Timestamp) {
        let gone = |(leased, settled): &(Leased, Settled)| {
            (leased.key.clone(), *settled != Settled::Already)
        };
        self.lanes
            .settled(&settled.iter().map(gone).collect::<Vec<_>>());
        for (leased, settled) in settled {
            let Settled::Completed { created_at } = settled else {
                continue;
            };
            self.metrics.analyses.inc();
            let priority = leased.job.priority.as_str();
            let seconds = self.metrics.analysis_seconds.with_label_values(&[priority]);
            seconds.observe(now.since(created_at).as_secs_f64());
            // Nobody may be waiting; that is no error.
            let _ = self.completed.send(leased.job.id.analysis);
        }
    }
}

/// Counts the files an engine answered for, and their bytes; none that it was not shown.
fn looked_at(answers: &[Answer], run: &Run) -> (u64, u64) {
    if run.versions.image.is_empty() {
        return (0, 0);
    }
    let answered = answers.iter().filter(|it| it.verdict.is_answer());
    answered.fold((0, 0), |(files, bytes), answer| {
        (files + 1, bytes + answer.leased.job.size_bytes)
    })
}

/// What recording one answer did to its analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// Another run had recorded it.
    Already,
    /// Others are still to answer.
    Open,
    /// It was the last.
    Completed { created_at: Timestamp },
}

fn result(answer: &Answer, run: &Run, (raw, now): (Option<&RawOutput>, Timestamp)) -> EngineResult {
    EngineResult {
        verdict: answer.verdict.clone(),
        versions: run.versions.clone(),
        finished_at: now,
        duration_ms: u64::try_from(run.duration.as_millis()).unwrap_or(u64::MAX),
        raw_output: raw.map(RawOutput::id),
        staged_name: answer.staged.clone(),
        change: None,
    }
}

fn record_one(
    change: &mut Change<'_>,
    leased: &Leased,
    look: &Look<'_>,
    now: Timestamp,
) -> Result<Settled, StoreError> {
    if change.get(&JOBS, &leased.key)?.is_none() {
        return Ok(Settled::Already);
    }
    change.remove(&JOBS, &leased.key);
    let JobId {
        engine,
        analysis: id,
    } = leased.job.id.clone();
    let key = ResultKey {
        analysis: id,
        engine: engine.clone(),
    };
    let changed = timeline::note(change, &key, look, now)?;
    let result = EngineResult {
        change: changed,
        ..look.result.clone()
    };
    change.put(&RESULTS, &key, &result)?;
    if result.verdict.is_detection() {
        change.put(&UNLABELED, &id.sha256, &())?;
    }
    let Some(mut analysis) = change.get(&ANALYSES, &id)? else {
        return Ok(Settled::Open);
    };
    analysis.pending.remove(&engine);
    close_if_complete(change, &mut analysis, now)?;
    change.put(&ANALYSES, &id, &analysis)?;
    let created_at = analysis.created_at;
    let done = analysis.pending.is_empty();
    Ok(if done {
        Settled::Completed { created_at }
    } else {
        Settled::Open
    })
}

fn close_if_complete(
    change: &mut Change<'_>,
    analysis: &mut Analysis,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !analysis.pending.is_empty() || analysis.completed_at.is_some() {
        return Ok(());
    }
    analysis.completed_at = Some(now);
    let sha256 = analysis.id.sha256;
    let Some(mut blob) = change.get(&BLOBS, &sha256)? else {
        return Ok(());
    };
    blob.open.retain(|number| *number != analysis.id.number);
    let last = blob.last_analysis.filter(|last| *last > analysis.id);
    blob.last_analysis = Some(last.unwrap_or(analysis.id));
    change.put(&BLOBS, &sha256, &blob)?;
    standing::compare(change, analysis, now)
}
