//! How far the rescans are that are not complete: their rows, events and gauges.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::survey::Survey;
use crate::flow::events::{self, Draft};
use crate::flow::queue::Lanes;
use crate::metrics::Metrics;
use crate::model::{About, EngineId, EventKind, Rescan, RescanShare, Timestamp};
use crate::store::{Change, RESCANS, Store, StoreError};

/// Rescans that are remembered.
const KEEP: u64 = 200;
/// How often a row is written while its rescan goes on.
const WRITE: Duration = Duration::from_secs(2);

/// The rescans that are not complete, oldest first.
#[derive(Debug)]
pub struct Progress {
    pub rows: Vec<Rescan>,
    last: u64,
    written: Option<Instant>,
    is_stale: bool,
}

impl Progress {
    /// Reads them. Blocks for a moment.
    pub fn load(store: &Store, metrics: &Metrics) -> Result<Self, StoreError> {
        let mut rows = store
            .rescans(None, usize::try_from(KEEP).unwrap_or(1))?
            .rows;
        let last = rows.first().map_or(0, |row| row.number);
        if let Some(at) = rows.iter().filter_map(|row| row.completed_at).max() {
            metrics.rescan_completed.set(seconds(at));
        }
        rows.retain(|row| row.completed_at.is_none());
        rows.reverse();
        Ok(Self {
            rows,
            last,
            written: None,
            is_stale: false,
        })
    }

    /// Returns the number of the next rescan.
    pub const fn next_number(&self) -> u64 {
        self.last + 1
    }

    /// Writes a new rescan down.
    pub async fn begin(
        &mut self,
        (store, metrics): (&Store, &Metrics),
        row: Rescan,
    ) -> Result<(), StoreError> {
        let new = row.clone();
        let write = move |change: &mut Change<'_>| {
            change.put(&RESCANS, &new.number, &new)?;
            if let Some(oldest) = new.number.checked_sub(KEEP) {
                change.remove(&RESCANS, &oldest);
            }
            if new.totals().wanted > 0 {
                events::raise(change, started(&new))?;
            }
            Ok(())
        };
        store.write(write).await?;
        self.last = row.number;
        self.rows.retain(|old| old.number + KEEP > row.number);
        match row.completed_at {
            Some(at) => metrics.rescan_completed.set(seconds(at)),
            None => self.rows.push(row),
        }
        Ok(())
    }

    /// Reads from the lanes how far all are, and writes it down now and then, and at the end.
    pub async fn refresh(
        &mut self,
        (store, lanes, metrics): (&Store, &Lanes, &Metrics),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let before = self.rows.clone();
        settle(&mut self.rows, |engine| lanes.depth(engine).nightly, now);
        show(&self.rows, metrics);
        self.is_stale |= self.rows != before;
        let completed = self.rows.iter().any(|row| row.completed_at.is_some());
        let is_due = || self.written.is_none_or(|at| at.elapsed() >= WRITE);
        let wants = completed || (self.is_stale && is_due());
        if !wants {
            return Ok(false);
        }
        let rows = self.rows.clone();
        store.write(move |change| write(change, &rows)).await?;
        (self.written, self.is_stale) = (Some(Instant::now()), false);
        if completed {
            metrics.rescan_completed.set(seconds(now));
        }
        self.rows.retain(|row| row.completed_at.is_none());
        Ok(completed)
    }
}

fn write(change: &mut Change<'_>, rows: &[Rescan]) -> Result<(), StoreError> {
    for row in rows {
        change.put(&RESCANS, &row.number, row)?;
        if let Some(at) = row.completed_at {
            events::raise(change, completed(row, at))?;
        }
    }
    Ok(())
}

/// Reckons what is done: a lane is first come first served, so what waits in it is the newest.
pub fn settle(rows: &mut [Rescan], depth: impl Fn(&EngineId) -> u64, now: Timestamp) {
    let mut waiting = BTreeMap::new();
    for row in rows.iter_mut().rev() {
        for (engine, share) in &mut row.engines {
            let left = waiting
                .entry(engine.clone())
                .or_insert_with(|| depth(engine));
            let own = share.opened.min(*left);
            *left -= own;
            share.done = share.opened - own;
        }
        let RescanShare { opened, done, .. } = row.totals();
        if row.planned && row.completed_at.is_none() && done == opened {
            row.completed_at = Some(now);
        }
    }
}

fn show(rows: &[Rescan], metrics: &Metrics) {
    if rows.is_empty() {
        return;
    }
    let totals = rows.iter().map(Rescan::totals);
    let (wanted, done) = totals.fold((0, 0), |(wanted, done), share| {
        (wanted + share.wanted, done + share.done)
    });
    for (state, count) in [("wanted", wanted), ("done", done)] {
        let gauge = metrics.rescan_files.with_label_values(&[state]);
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

/// Shows what share of the collection each engine has looked at.
pub fn show_survey(survey: &Survey, metrics: &Metrics) {
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    let share = |count: u64| match survey.files {
        0 => 1.0,
        files => count as f64 / files as f64,
    };
    for (engine, found) in &survey.engines {
        let labels = [engine.as_str()];
        let coverage = metrics.rescan_coverage.with_label_values(&labels);
        coverage.set(share(found.seen));
        let recent = metrics.rescan_recent.with_label_values(&labels);
        recent.set(share(found.recent));
    }
}

fn started(row: &Rescan) -> Draft {
    let engines = row
        .engines
        .values()
        .filter(|share| share.wanted > 0)
        .count();
    let wanted = row.totals().wanted;
    Draft {
        at: row.started_at,
        kind: EventKind::RescanStarted,
        engine: row.engine.clone(),
        text: format!(
            "A rescan began: {wanted} scans by {engines} engines of {} files, because {}",
            row.files, row.reason
        ),
        details: json!({"rescan": row.number, "engines": row.engines}),
        about: About::default(),
    }
}

fn completed(row: &Rescan, at: Timestamp) -> Draft {
    let seconds = at.since(row.started_at).as_secs();
    Draft {
        at,
        kind: EventKind::RescanCompleted,
        engine: row.engine.clone(),
        text: format!(
            "Rescan {} is complete: {} scans in {seconds} seconds",
            row.number,
            row.totals().done
        ),
        details: json!({"rescan": row.number, "engines": row.engines}),
        about: About::default(),
    }
}

fn seconds(at: Timestamp) -> i64 {
    i64::try_from(at.seconds()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reuse;

    fn row(number: u64, opened: u64, planned: bool) -> Rescan {
        let share = RescanShare {
            wanted: opened,
            opened,
            done: 0,
        };
        Rescan {
            number,
            reason: "a test wants it".to_owned(),
            engine: None,
            reuse: Reuse::Known,
            started_at: Timestamp::from_millis(1),
            completed_at: None,
            files: opened,
            analyses: opened,
            engines: BTreeMap::from([("a".parse().unwrap(), share)]),
            cursor: None,
            planned,
        }
    }

    #[track_caller]
    fn check(waiting: u64, expected: [(u64, bool); 2]) {
        let mut rows = [row(1, 10, true), row(2, 5, true)];
        settle(&mut rows, |_| waiting, Timestamp::from_millis(9));
        let found = rows.map(|row| (row.totals().done, row.completed_at.is_some()));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_waits_belongs_to_the_newest_rescan() {
        check(15, [(0, false), (0, false)]);
        check(7, [(8, false), (0, false)]);
        check(5, [(10, true), (0, false)]);
        check(1, [(10, true), (4, false)]);
        check(0, [(10, true), (5, true)]);
    }

    #[test]
    fn rescan_that_is_not_planned_to_its_end_is_not_complete() {
        let mut rows = [row(1, 10, false)];
        settle(&mut rows, |_| 0, Timestamp::from_millis(9));
        assert_eq!((rows[0].totals().done, rows[0].completed_at), (10, None));
    }
}
