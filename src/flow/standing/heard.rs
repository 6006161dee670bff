//! Finds each engine's last word on the content of a blob, and what it said before.

use std::collections::{BTreeMap, BTreeSet};

use crate::flow::incident::{Detects, Opinion};
use crate::model::{
    Analysis, AnalysisId, EngineId, EngineResult, Sha256, Side, Timestamp, Verdict,
};
use crate::store::{
    ANALYSES, BLOBS, BlobRow, Change, RESULTS, ResultKey, RowKey, StoreError, TIMELINE, TimelineRow,
};

/// Changes of an engine's word that are looked through, back from the last.
const CHANGES: u32 = 100;
/// Rows of a blob's timeline that are looked at.
const TIMELINE_ROWS: usize = 10_000;
/// Analyses that are looked at for engines that answered.
const ANALYSES_BACK: usize = 200;
/// How far back these may lie, in milliseconds.
const BACK: u64 = 90 * 24 * 60 * 60 * 1000;

/// Returns what those of the engines think of a blob that ever answered.
pub fn opinions(
    change: &Change<'_>,
    sha256: &Sha256,
    engines: &BTreeSet<EngineId>,
) -> Result<BTreeMap<EngineId, Opinion>, StoreError> {
    let mut opinions = BTreeMap::new();
    for engine in engines {
        if let Some(opinion) = opinion(change, sha256, engine)? {
            opinions.insert(engine.clone(), opinion);
        }
    }
    Ok(opinions)
}

fn opinion(
    change: &Change<'_>,
    sha256: &Sha256,
    engine: &EngineId,
) -> Result<Option<Opinion>, StoreError> {
    let Some(seen) = change.seen(&(engine.clone(), *sha256))? else {
        return Ok(None);
    };
    let Some(answer) = seen.answer else {
        return Ok(None);
    };
    let place = place(sha256, engine, answer.analysis);
    let Some(result) = change.get(&RESULTS, &place)? else {
        return Ok(None);
    };
    let past = Past {
        change,
        sha256,
        engine,
        rows: seen.changes,
    };
    let side = side(&place, &result);
    match result.verdict {
        Verdict::Undetected => Ok(Some(Opinion::Clean(side))),
        Verdict::Malicious { .. } | Verdict::Suspicious { .. } => {
            past.detects(&result.verdict, side).map(Some)
        }
        // It cannot look into the file now: what it found when it could stands.
        Verdict::TypeUnsupported { .. } => match past.last_content()? {
            Some((verdict, side)) if verdict.is_detection() => {
                past.detects(&verdict, side).map(Some)
            }
            _ => Ok(Some(Opinion::Silent)),
        },
        Verdict::Timeout | Verdict::Failure { .. } => Ok(None),
    }
}

fn place(sha256: &Sha256, engine: &EngineId, number: u64) -> ResultKey {
    ResultKey {
        analysis: AnalysisId {
            sha256: *sha256,
            number,
        },
        engine: engine.clone(),
    }
}

fn side(place: &ResultKey, result: &EngineResult) -> Side {
    Side {
        at: result.finished_at,
        analysis: place.analysis,
        versions: result.versions.clone(),
    }
}

/// An engine's words on a blob, one after the other.
struct Past<'a, 'c> {
    change: &'a Change<'c>,
    sha256: &'a Sha256,
    engine: &'a EngineId,
    rows: u32,
}

impl Past<'_, '_> {
    fn detects(&self, verdict: &Verdict, side: Side) -> Result<Opinion, StoreError> {
        let Some(name) = verdict.name().cloned() else {
            return Ok(Opinion::Silent);
        };
        let since = self.since()?.unwrap_or(side.at);
        Ok(Opinion::Detects(Box::new(Detects {
            name,
            suspicious: matches!(verdict, Verdict::Suspicious { .. }),
            side,
            since,
            clean_before: self.clean_before()?,
        })))
    }

    /// Reads the rows of its timeline, last first.
    fn back(&self) -> impl Iterator<Item = Result<TimelineRow, StoreError>> + '_ {
        let numbers = (0..self.rows).rev().take(CHANGES as usize);
        numbers.filter_map(|number| {
            let key = (*self.sha256, self.engine.clone(), u64::from(number));
            self.change.get(&TIMELINE, &key).transpose()
        })
    }

    /// Returns what it said before its last word.
    fn last_content(&self) -> Result<Option<(Verdict, Side)>, StoreError> {
        let Some(row) = self.back().next().transpose()? else {
            return Ok(None);
        };
        let side = self.side_before(&row)?;
        Ok(row.before.zip(side))
    }

    /// Returns since when it detects without a break.
    fn since(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut since = None;
        for row in self.back() {
            let row = row?;
            match (row.verdict.is_detection(), &row.before) {
                (true, Some(before)) if before.is_detection() => since = Some(row.at),
                (true, Some(Verdict::TypeUnsupported { .. })) => since = Some(row.at),
                (true, _) => return Ok(Some(row.at)),
                (false, _) if matches!(row.verdict, Verdict::TypeUnsupported { .. }) => {}
                (false, _) => return Ok(since),
            }
        }
        Ok(since)
    }

    /// Returns what it last called the file clean with.
    fn clean_before(&self) -> Result<Option<Side>, StoreError> {
        for row in self.back() {
            let row = row?;
            if row.before == Some(Verdict::Undetected) {
                return self.side_before(&row);
            }
        }
        Ok(None)
    }

    fn side_before(&self, row: &TimelineRow) -> Result<Option<Side>, StoreError> {
        let Some(number) = row.analysis_before else {
            return Ok(None);
        };
        let place = place(self.sha256, self.engine, number);
        let result = self.change.get(&RESULTS, &place)?;
        Ok(result.map(|result| side(&place, &result)))
    }
}

/// Returns a blob's last analysis and the engines that may have answered on it; nothing if it was
/// never analyzed to the end.
pub fn known(
    change: &Change<'_>,
    sha256: &Sha256,
) -> Result<Option<(AnalysisId, BTreeSet<EngineId>)>, StoreError> {
    let blob: Option<BlobRow> = change.get(&BLOBS, sha256)?;
    let Some(last) = blob.and_then(|blob| blob.last_analysis) else {
        return Ok(None);
    };
    let from = AnalysisId {
        number: last.number.saturating_sub(BACK),
        ..last
    };
    let span = (sha256.as_bytes().as_slice(), Some(from.to_bytes()));
    let analyses = change.list(&ANALYSES, (span.0, span.1.as_deref()), ANALYSES_BACK)?;
    let mut engines: BTreeSet<EngineId> = analyses
        .into_iter()
        .flat_map(|(_, analysis): (_, Analysis)| analysis.engines)
        .collect();
    if let Some(last) = change.get(&ANALYSES, &last)? {
        let last: Analysis = last;
        engines.extend(last.engines);
    }
    // Whoever ever detected it is in its timeline, however long ago.
    let rows = change.list(&TIMELINE, (span.0, None), TIMELINE_ROWS)?;
    engines.extend(rows.into_iter().map(|((_, engine, _), _)| engine));
    Ok(Some((last, engines)))
}

/// Returns when the first engine detected a blob, ever.
pub fn first_detection(
    change: &Change<'_>,
    sha256: &Sha256,
) -> Result<Option<Timestamp>, StoreError> {
    let span = (sha256.as_bytes().as_slice(), None);
    let rows = change.list(&TIMELINE, span, TIMELINE_ROWS)?;
    let detections = rows
        .into_iter()
        .filter(|(_, row)| row.verdict.is_detection());
    Ok(detections.map(|(_, row)| row.at).min())
}
