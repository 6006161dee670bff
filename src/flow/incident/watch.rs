//! The clock of incidents: sets deadlines, tells once when one has passed, shows the figures.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::error;

use super::desk;
use super::record::OVERDUE;
use crate::flow::tally;
use crate::metrics::Metrics;
use crate::model::{DetectionChange, EngineId, EventKind, Incident, IncidentState, Timestamp};
use crate::store::{Change, DEADLINES, EVENTS, INCIDENTS, Read, RowKey, Store, StoreError};
use crate::system::now;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(15);
/// Deadlines handled in one change.
const STEP: usize = 500;
/// Events read at a time.
const EVENTS_STEP: usize = 1000;
/// How long events may still come that bear an earlier time.
const SETTLED: Duration = Duration::from_secs(30);

/// What looks after incidents without anybody asking.
#[derive(Debug)]
pub struct Watch {
    /// Where they are kept.
    pub store: Store,
    /// Where they are counted.
    pub metrics: Metrics,
    /// Days an incident may take; none is set if zero.
    pub deadline_days: u32,
}

impl Watch {
    /// Looks again and again until told to end.
    pub async fn run(self, shutdown: CancellationToken) {
        // What happened before is counted already, by a daemon that is gone.
        let mut counted = now().millis() * 1000;
        while !shutdown.is_cancelled() {
            if let Err(error) = self.look(&mut counted).await {
                error!(%error, "Cannot look after incidents");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn look(&self, counted: &mut u64) -> Result<(), StoreError> {
        let now = now();
        while pass(&self.store, self.deadline_days, now).await? == STEP {}
        self.show()?;
        *counted = self.count(*counted, now)?;
        Ok(())
    }

    /// Shows how many incidents each engine has in each state.
    fn show(&self) -> Result<(), StoreError> {
        let series = &self.metrics.incidents;
        let prefix = b"n:incidents:".as_slice();
        let mut from = prefix.to_vec();
        let table = &crate::store::STATISTICS;
        loop {
            let rows = self.store.rows(table, (prefix, Some(&from)), 1)?;
            let Some(((of, _), _)) = rows.into_iter().next() else {
                return Ok(());
            };
            let engine = of.trim_start_matches("n:incidents:");
            let counts = tally::read(&self.store, &of)?;
            for state in IncidentState::ALL {
                let number = counts.get(state.as_str()).copied().unwrap_or(0);
                series.show(engine, state.as_str(), number);
            }
            let late = counts.get(OVERDUE).copied().unwrap_or(0);
            series.late(engine, late);
            // The first key after all of this engine's.
            from = [of.as_bytes(), &[1]].concat();
        }
    }

    /// Counts what happened since; returns where to go on.
    fn count(&self, from: u64, now: Timestamp) -> Result<u64, StoreError> {
        let until = now.millis().saturating_sub(SETTLED.as_millis() as u64) * 1000;
        let mut from = from;
        loop {
            let key = (from + 1).to_bytes();
            let events = self.store.rows(&EVENTS, (&[], Some(&key)), EVENTS_STEP)?;
            let read = events.len();
            for (number, event) in events {
                if number >= until {
                    return Ok(from);
                }
                from = number;
                match (event.kind, &event.engine) {
                    (EventKind::DetectionsChanged, _) => {
                        let kind = event.details["change"].as_str();
                        let known = DetectionChange::ALL.map(DetectionChange::tag);
                        let known = known.into_iter().find(|tag| Some(*tag) == kind);
                        if let Some(kind) = known {
                            self.metrics.incidents.changed(kind);
                        }
                    }
                    (EventKind::IncidentResolved, Some(engine)) => {
                        let seconds = event.details["seconds"].as_f64();
                        let engine: &EngineId = engine;
                        self.metrics.incidents.fixed(engine, seconds.unwrap_or(0.0));
                    }
                    _ => {}
                }
            }
            if read < EVENTS_STEP {
                return Ok(from);
            }
        }
    }
}

/// Handles deadlines that are due, and sets those that are not set; returns how many.
///
/// # Errors
/// If the store fails.
pub async fn pass(store: &Store, days: u32, now: Timestamp) -> Result<usize, StoreError> {
    let due = store.rows(&DEADLINES, (&[], None), 1)?;
    let due = due.first().is_some_and(|((at, _), ())| *at <= now.millis());
    if !due {
        return Ok(0);
    }
    let days = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
    store
        .write(move |change| {
            let rows = change.list(&DEADLINES, (&[], None), STEP)?;
            let mut handled = 0;
            for ((at, id), ()) in rows {
                if at > now.millis() {
                    break;
                }
                change.remove(&DEADLINES, &(at, id));
                handled += 1;
                handle(change, (at, id), (days, now))?;
            }
            Ok(handled)
        })
        .await
}

fn handle(
    change: &mut Change<'_>,
    (at, id): (u64, u64),
    (days, now): (Duration, Timestamp),
) -> Result<(), StoreError> {
    let incident: Option<Incident> = change.get(&INCIDENTS, &id)?;
    let Some(mut incident) = incident.filter(|incident| incident.state.is_live()) else {
        return Ok(());
    };
    if at == 0 {
        if incident.deadline.is_some() || days.is_zero() {
            return Ok(());
        }
        let deadline = incident.reopened_at.after(days);
        incident.deadline = Some(deadline);
        change.put(&DEADLINES, &(deadline.millis(), id), &())?;
        return change.put(&INCIDENTS, &id, &incident);
    }
    if incident.deadline.map(Timestamp::millis) == Some(at) {
        desk::overdue(change, &mut incident, now)?;
    }
    Ok(())
}
