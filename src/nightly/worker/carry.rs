//! One update: download or bundle, candidate, canary.

use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{error, warn};

use super::{Material, Worker};
use crate::engine::signatures::{self, Kept};
use crate::engine::updater::Course;
use crate::model::{LeftOut, SetSource, SignatureSetId, Update, UpdateOutcome, UpdatePhase};
use crate::nightly::sets::Arrival;
use crate::nightly::update::End;
use crate::store::StoreError;
use crate::system::now;

impl Worker {
    /// Brings an update to its end, whatever that is.
    pub(super) async fn carry_out(&self, update: Update, material: Material) {
        let course = self.courses.begin(&update);
        let mut update = update;
        let work = self.attempt(&mut update, material, &course);
        let end = {
            let mut work = pin!(work);
            loop {
                tokio::select! {
                    end = &mut work => break end,
                    () = sleep(Duration::from_millis(500)) => self.show_progress(&course),
                }
            }
        };
        let counted = &self.metrics.signatures;
        counted.update_ended(&self.sets.engine, end.outcome);
        self.closing.set(true);
        if let Err(error) = self.updates().end(update, end, now()).await {
            error!(engine.name = %self.sets.engine, %error, "Cannot write down an update's end");
        }
        self.courses.end(&self.sets.engine);
        self.clean().await;
    }

    /// Makes an update; returns its end.
    async fn attempt(&self, update: &mut Update, material: Material, course: &Course) -> End {
        self.show(Some(update)).await;
        let made = match material {
            Material::Download => self.download(update, course).await,
            Material::Bundle { work, key } => self.unpack(work, key).await,
        };
        let (arrival, active) = match made {
            Ok(made) => made,
            Err(end) => return end,
        };
        if active.as_ref() == Some(&arrival.kept.id) {
            update.signature_set = active;
            return End {
                outcome: UpdateOutcome::Unchanged,
                reason: None,
            };
        }
        match self.consider(update, arrival, active.as_ref()).await {
            Ok(end) => end,
            Err(error) => End::failed(error),
        }
    }

    async fn download(
        &self,
        update: &mut Update,
        course: &Course,
    ) -> Result<(Arrival, Option<SignatureSetId>), End> {
        let Some(updater) = &self.updater else {
            return Err(End::failed("nobody said where signatures come from"));
        };
        let active = self.active()?;
        let fetched = updater.run(active.as_ref(), course).await;
        let output = match &fetched {
            Ok(fetched) => fetched.output.as_slice(),
            Err(error) => error.output(),
        };
        update.exit_code = match &fetched {
            Ok(fetched) => fetched.exit_code,
            Err(error) => error.exit_code(),
        };
        update.output = self
            .updates()
            .keep_output(output)
            .await
            .map_err(End::failed)?;
        let fetched = fetched.map_err(End::failed)?;
        let source = SetSource::Update {
            number: update.number,
        };
        let arrival = self.arrival(fetched.kept, source, (active.clone(), fetched.left_out));
        Ok((arrival, active))
    }

    async fn unpack(
        &self,
        work: PathBuf,
        key: String,
    ) -> Result<(Arrival, Option<SignatureSetId>), End> {
        let active = self.active()?;
        let parent = active.as_ref().map(|active| self.sets.dir(active));
        let sets = self.sets.root();
        let adopt = move || {
            let adopted = signatures::adopt(&work, parent.as_deref(), &sets);
            let removed = std::fs::remove_dir_all(&work);
            if let Err(error) = removed {
                warn!(%error, "Cannot remove what a bundle was unpacked to");
            }
            adopted
        };
        let adopted = tokio::task::spawn_blocking(adopt).await;
        let kept = adopted.map_err(End::failed)?.map_err(End::failed)?;
        let source = SetSource::Bundle { key };
        let arrival = self.arrival(kept, source, (active.clone(), Vec::new()));
        Ok((arrival, active))
    }

    fn active(&self) -> Result<Option<SignatureSetId>, End> {
        let row = self.sets.active().map_err(End::failed)?;
        Ok(row.map(|row| row.id))
    }

    fn arrival(
        &self,
        kept: Kept,
        source: SetSource,
        (parent, left_out): (Option<SignatureSetId>, Vec<LeftOut>),
    ) -> Arrival {
        Arrival {
            kept,
            source,
            parent,
            left_out,
            at: now(),
        }
    }

    /// Shows a candidate to the canary, and puts it into service if it may.
    async fn consider(
        &self,
        update: &mut Update,
        arrival: Arrival,
        active: Option<&SignatureSetId>,
    ) -> Result<End, StoreError> {
        let id = arrival.kept.id.clone();
        self.sets.arrive(arrival).await?;
        self.enter(update, UpdatePhase::Canary, &id).await?;
        let tried = match self.canary.try_set(&id, active).await {
            Ok(tried) => tried,
            Err(error) => return Ok(End::failed(error)),
        };
        if let Some(reason) = tried.refusal.clone() {
            self.sets
                .reject(&id, (tried, reason.clone()), now())
                .await?;
            return Ok(End {
                outcome: UpdateOutcome::Rejected,
                reason: Some(reason),
            });
        }
        self.prove_and_promote(update, &id, tried).await
    }

    pub(super) async fn enter(
        &self,
        update: &mut Update,
        phase: UpdatePhase,
        set: &SignatureSetId,
    ) -> Result<(), StoreError> {
        update.phase = phase;
        update.signature_set = Some(set.clone());
        self.updates().keep(update).await?;
        self.show(Some(update)).await;
        Ok(())
    }
}
