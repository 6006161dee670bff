//! One update from its beginning to its end, as rows: what a crash leaves is what is known.

use serde_json::json;

use crate::flow::events::raise;
use crate::flow::raw::RawOutput;
use crate::model::{
    EventKind, RawOutputId, Timestamp, Trigger, Update, UpdateOutcome, UpdatePhase,
};
use crate::store::{CLOCKS, Change, ClockRow, StoreError, UPDATES, engine_prefix};

use super::sets::Sets;

/// Updates of an engine that are remembered.
const REMEMBERED: u64 = 400;

/// How an update ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub outcome: UpdateOutcome,
    /// Why, if there is something to say.
    pub reason: Option<String>,
}

impl End {
    /// Returns the end of an update that failed.
    pub fn failed(reason: impl std::fmt::Display) -> Self {
        Self {
            outcome: UpdateOutcome::Failed,
            reason: Some(reason.to_string()),
        }
    }
}

/// The updates of one engine, as rows.
#[derive(Clone, Debug)]
pub struct Updates {
    /// The engine's sets, and where the rows are.
    pub sets: Sets,
}

impl Updates {
    /// Returns when the engine was updated last; a clock that never ran begins now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn clock(&self, now: Timestamp) -> Result<ClockRow, StoreError> {
        if let Some(clock) = self.sets.store.get(&CLOCKS, &self.sets.engine)? {
            return Ok(clock);
        }
        let fresh = ClockRow {
            since: now,
            ..ClockRow::default()
        };
        let (engine, row) = (self.sets.engine.clone(), fresh.clone());
        let keep = move |change: &mut Change<'_>| change.put(&CLOCKS, &engine, &row);
        self.sets.store.write(keep).await?;
        Ok(fresh)
    }

    /// Writes down that an update begins.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn begin(&self, trigger: Trigger, now: Timestamp) -> Result<Update, StoreError> {
        let engine = self.sets.engine.clone();
        let begin = move |change: &mut Change<'_>| {
            let mut clock = change.get(&CLOCKS, &engine)?.unwrap_or_default();
            clock.number += 1;
            clock.started_at = Some(now);
            let update = Update {
                engine: engine.clone(),
                number: clock.number,
                trigger,
                started_at: now,
                ended_at: None,
                phase: UpdatePhase::Download,
                outcome: None,
                reason: None,
                exit_code: None,
                output: None,
                signature_set: None,
            };
            change.put(&CLOCKS, &engine, &clock)?;
            change.put(&UPDATES, &(engine.clone(), clock.number), &update)?;
            if let Some(old) = clock.number.checked_sub(REMEMBERED) {
                change.remove(&UPDATES, &(engine.clone(), old));
            }
            Ok(update)
        };
        self.sets.store.write(begin).await
    }

    /// Writes down how far an update is.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn keep(&self, update: &Update) -> Result<(), StoreError> {
        let update = update.clone();
        let key = (update.engine.clone(), update.number);
        let keep = move |change: &mut Change<'_>| change.put(&UPDATES, &key, &update);
        self.sets.store.write(keep).await
    }

    /// Keeps what the update command printed; returns its name.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn keep_output(&self, output: &[u8]) -> Result<Option<RawOutputId>, StoreError> {
        let Some(raw) = RawOutput::new(output)? else {
            return Ok(None);
        };
        let id = raw.id();
        let keep = move |change: &mut Change<'_>| {
            raw.put(change);
            Ok(())
        };
        self.sets.store.write(keep).await?;
        Ok(Some(id))
    }

    /// Writes down how an update ended.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn end(&self, update: Update, end: End, now: Timestamp) -> Result<(), StoreError> {
        let updates = self.clone();
        let finish = move |change: &mut Change<'_>| updates.finish(change, update, end, now);
        self.sets.store.write(finish).await
    }

    fn finish(
        &self,
        change: &mut Change<'_>,
        mut update: Update,
        end: End,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let engine = &self.sets.engine;
        let mut clock = change.get(&CLOCKS, engine)?.unwrap_or_default();
        clock.outcome = Some(end.outcome);
        match end.outcome {
            UpdateOutcome::Unchanged | UpdateOutcome::Promoted => {
                clock.failures = 0;
                clock.success_at = Some(now);
            }
            UpdateOutcome::Rejected | UpdateOutcome::Failed | UpdateOutcome::Interrupted => {
                clock.failures = clock.failures.saturating_add(1);
            }
        }
        change.put(&CLOCKS, engine, &clock)?;
        update.ended_at = Some(now);
        update.phase = UpdatePhase::Done;
        update.outcome = Some(end.outcome);
        update.reason = end.reason;
        change.put(&UPDATES, &(engine.clone(), update.number), &update)?;
        self.announce(change, &update)
    }

    /// Raises the event of an update's end, unless the set's own event says it all.
    fn announce(&self, change: &mut Change<'_>, update: &Update) -> Result<(), StoreError> {
        let (engine, number) = (&self.sets.engine, update.number);
        let reason = update.reason.as_deref().unwrap_or("no reason is known");
        let (kind, text) = match update.outcome {
            Some(UpdateOutcome::Unchanged) => (
                EventKind::UpdateUnchanged,
                format!("There are no newer signatures of {engine}"),
            ),
            Some(UpdateOutcome::Failed | UpdateOutcome::Interrupted) => (
                EventKind::UpdateFailed,
                format!("Update {number} of {engine} failed: {reason}"),
            ),
            Some(UpdateOutcome::Promoted | UpdateOutcome::Rejected) | None => return Ok(()),
        };
        let at = update.ended_at.unwrap_or(update.started_at);
        let details = json!({ "update": number, "reason": update.reason });
        raise(change, self.sets.draft((kind, at), (text, details)))?;
        Ok(())
    }

    /// Ends an update that a crash cut off.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn recover(&self, now: Timestamp) -> Result<(), StoreError> {
        let prefix = engine_prefix(&self.sets.engine);
        let page = self.sets.store.list(&UPDATES, (&prefix, None), 10_000)?;
        let open = page.rows.into_iter().map(|(_, update)| update);
        let open: Vec<_> = open.filter(|update| update.ended_at.is_none()).collect();
        let active = self.sets.active()?.map(|row| row.id);
        for update in open {
            let serves = update.signature_set.is_some() && update.signature_set == active;
            let end = End {
                outcome: match serves {
                    true => UpdateOutcome::Promoted,
                    false => UpdateOutcome::Interrupted,
                },
                reason: (!serves).then(|| "the daemon ended while it was under way".to_owned()),
            };
            self.end(update, end, now).await?;
        }
        Ok(())
    }
}
