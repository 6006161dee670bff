//! Opens analyses, records what engines answer, and closes them.
//!
//! ```text
//! open ──→ queued ──→ in-progress ──→ completed
//!   └── every engine's answer is known already ──→ completed
//! ```

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Analysis, AnalysisId, EngineId, EngineResult, EngineTable, EngineVersions, Job, JobId,
    Priority, Sha256, Timestamp,
};
use crate::store::{
    ANALYSES, BLOBS, Change, JOBS, LaneKey, RESULTS, ResultKey, Store, StoreError, VERDICTS,
    VerdictRow,
};

use super::queue::{Lanes, Leased};

pub use crate::model::Reuse;

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
        .filter(|(_, s)| s.state != crate::model::EngineState::Disabled);
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
    close_if_complete(change, &mut analysis, order.now)?;
    change.put(&ANALYSES, &id, &analysis)?;
    Ok((analysis, keys))
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
    let Some(row) = change.get(&VERDICTS, &(order.sha256, engine.clone()))? else {
        return Ok(None);
    };
    if row.image != versions.image || row.signature_set != versions.signature_set {
        return Ok(None);
    }
    change.get(
        &RESULTS,
        &ResultKey {
            analysis: row.analysis,
            engine: engine.clone(),
        },
    )
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

/// Records answers: results, analyses and lanes change together or not at all.
///
/// A job that is gone already (its lease ran out and another run settled it)
/// is passed over, so that no job is counted twice.
///
/// # Errors
/// If the store fails; then nothing is recorded and the jobs are still leased.
pub async fn record(
    store: &Store,
    lanes: &Lanes,
    answers: Vec<(Leased, EngineResult)>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let settle = move |change: &mut Change<'_>| {
        let record = |(leased, result): (Leased, EngineResult)| {
            let gone = record_one(change, &leased, &result, now)?;
            Ok((leased.key, gone))
        };
        answers
            .into_iter()
            .map(record)
            .collect::<Result<Vec<_>, _>>()
    };
    let keys = store.write(settle).await?;
    lanes.settled(&keys);
    Ok(())
}

fn record_one(
    change: &mut Change<'_>,
    leased: &Leased,
    result: &EngineResult,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if change.get(&JOBS, &leased.key)?.is_none() {
        return Ok(false);
    }
    change.remove(&JOBS, &leased.key);
    let JobId {
        engine,
        analysis: id,
    } = leased.job.id.clone();
    change.put(
        &RESULTS,
        &ResultKey {
            analysis: id,
            engine: engine.clone(),
        },
        result,
    )?;
    if result.verdict.is_answer() {
        change.put(
            &VERDICTS,
            &(id.sha256, engine.clone()),
            &verdict_row(id, result),
        )?;
    }
    let Some(mut analysis) = change.get(&ANALYSES, &id)? else {
        return Ok(true);
    };
    analysis.pending.remove(&engine);
    close_if_complete(change, &mut analysis, now)?;
    change.put(&ANALYSES, &id, &analysis)?;
    Ok(true)
}

fn verdict_row(analysis: AnalysisId, result: &EngineResult) -> VerdictRow {
    VerdictRow {
        image: result.versions.image.clone(),
        signature_set: result.versions.signature_set.clone(),
        analysis,
    }
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
    if blob
        .last_analysis
        .is_none_or(|last| last.number < analysis.id.number)
    {
        blob.last_analysis = Some(analysis.id);
        change.put(&BLOBS, &sha256, &blob)?;
    }
    Ok(())
}
