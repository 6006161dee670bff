//! When an engine's word on a blob became another, and with what.
//!
//! Only answers count: a failure keeps the engine's last word. Looks are put in
//! order by when they began, so that a slow scan with old signatures that ends
//! after a quick one with new ones does not take the new word back.

use crate::model::Timestamp;
use crate::model::{AnalysisId, Change as Changed, ChangeKind, EngineResult, EngineVersions};
use crate::store::{
    Answered, Change, Pair, RESULTS, ResultKey, SeenRow, StoreError, TIMELINE, TimelineRow, word,
};

/// An engine's look at a blob.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What came of it.
    pub result: &'a EngineResult,
    /// What the engine looked with; nothing if there was no engine to look.
    pub versions: Option<&'a EngineVersions>,
    /// When it began.
    pub began: Timestamp,
}

/// Writes down that an engine looked at a blob; returns how its word changed, if it did.
///
/// # Errors
/// If the store fails.
pub fn note(
    change: &mut Change<'_>,
    place: &ResultKey,
    look: &Look<'_>,
    now: Timestamp,
) -> Result<Option<Changed>, StoreError> {
    let is_answer = look.result.verdict.is_answer();
    let looked = is_answer || !look.result.versions.image.is_empty();
    let Some(versions) = look.versions.filter(|_| looked) else {
        return Ok(None);
    };
    let key = (place.engine.clone(), place.analysis.sha256);
    let last = change.seen(&key)?;
    // Unless the clock went back: then what is on record is no later look.
    if last.is_some_and(|last| look.began < last.at && last.at <= now) {
        return Ok(None);
    }
    let (pair, analysis) = (Pair::of(versions), place.analysis.number);
    let mut row = SeenRow {
        pair,
        at: look.began,
        analysis,
        answer: last.and_then(|last| last.answer),
        changes: last.map_or(0, |last| last.changes),
    };
    let mut changed = None;
    if is_answer {
        let word = Some(word(&look.result.verdict));
        if row.answer.is_none_or(|answer| answer.word != word) {
            let told = tell(change, place, (look.result, versions, now), &row)?;
            row.changes += u32::from(told.is_told);
            changed = told.changed;
        }
        row.answer = Some(Answered {
            pair,
            analysis,
            word,
        });
    }
    change.put_seen(&key, row);
    Ok(changed)
}

/// Whether the timeline has another row now, and what changed since the one before.
struct Told {
    is_told: bool,
    changed: Option<Changed>,
}

fn tell(
    change: &mut Change<'_>,
    place: &ResultKey,
    (result, versions, now): (&EngineResult, &EngineVersions, Timestamp),
    last: &SeenRow,
) -> Result<Told, StoreError> {
    let before = match last.answer {
        Some(answer) => before(change, place, answer)?,
        None => None,
    };
    let changed = before.map(|before| Changed {
        kind: ChangeKind::between(&before.verdict, &result.verdict),
        before: before.verdict,
        versions_before: before.versions,
    });
    let same = changed
        .as_ref()
        .is_some_and(|changed| word(&changed.before) == word(&result.verdict));
    // A first word that is no detection needs no row of its own: the first change names it.
    let is_told = match &changed {
        Some(_) => !same,
        None => last.answer.is_some() || result.verdict.is_detection(),
    };
    if !is_told {
        return Ok(Told {
            is_told,
            changed: None,
        });
    }
    let row = TimelineRow {
        at: now,
        analysis: place.analysis,
        verdict: result.verdict.clone(),
        versions: versions.clone(),
        before: changed.as_ref().map(|changed| changed.before.clone()),
        versions_before: changed.as_ref().map(|c| c.versions_before.clone()),
        analysis_before: last.answer.map(|answer| answer.analysis),
    };
    let number = u64::from(last.changes);
    let key = (place.analysis.sha256, place.engine.clone(), number);
    change.put(&TIMELINE, &key, &row)?;
    Ok(Told { is_told, changed })
}

/// Reads what an engine last answered.
fn before(
    change: &Change<'_>,
    place: &ResultKey,
    answer: Answered,
) -> Result<Option<EngineResult>, StoreError> {
    let analysis = AnalysisId {
        number: answer.analysis,
        ..place.analysis
    };
    let engine = place.engine.clone();
    change.get(&RESULTS, &ResultKey { analysis, engine })
}
