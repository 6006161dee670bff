//! A set is put into service: a container warms up on it, the change is written down, and then
//! the container takes over.

use tracing::warn;

use super::Worker;
use crate::engine::resident::Warm;
use crate::flow::gate::Pass;
use crate::model::{
    EngineVersions, EventKind, SignatureSet, SignatureSetId, Update, UpdateOutcome, UpdatePhase,
};
use crate::nightly::canary::Tried;
use crate::nightly::desk::Refusal;
use crate::nightly::update::End;
use crate::store::{Change, StoreError};
use crate::system::now;

impl Worker {
    pub(super) async fn prove_and_promote(
        &self,
        update: &mut Update,
        id: &SignatureSetId,
        tried: Tried,
    ) -> Result<End, StoreError> {
        let versions = tried.versions.clone();
        self.sets.prove(id, tried).await?;
        self.enter(update, UpdatePhase::Promotion, id).await?;
        let warm = match self.engine.resident.warm(id.clone()).await {
            Ok(warm) => warm,
            Err(error) => return Ok(End::failed(error)),
        };
        let (sets, set) = (self.sets.clone(), id.clone());
        let read = warm.as_ref().map(|warm| warm.live.versions.clone());
        let versions = read.or(versions);
        let promote = move |change: &mut Change<'_>| {
            let how = (EventKind::SignaturesPromoted, now());
            sets.activate(change, (&set, versions), how)
        };
        let written = self.sets.store.write(promote).await;
        self.settle(id, warm, written).await?;
        Ok(End {
            outcome: UpdateOutcome::Promoted,
            reason: None,
        })
    }

    /// Lets the new set take over once that is written down; if it is not, the old one goes on.
    async fn settle(
        &self,
        id: &SignatureSetId,
        warm: Option<Warm>,
        written: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let resident = &self.engine.resident;
        match (written, warm) {
            (Ok(()), Some(warm)) => {
                let versions = warm.live.versions.clone();
                resident.take_over(warm).await;
                self.board.ready(&self.sets.engine, &versions);
            }
            (Ok(()), None) => {
                warn!(engine.name = %self.sets.engine, "No memory for two containers: scans wait");
                resident.use_signatures(Some(id.clone()));
                resident.retire_current().await;
            }
            (Err(error), warm) => {
                if let Some(warm) = warm {
                    resident.cool(warm).await;
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) async fn roll_back(&self) -> Result<SignatureSet, Refusal> {
        let previous = self.sets.active()?.and_then(|row| row.previous);
        let Some(previous) = previous else {
            let engine = &self.sets.engine;
            return Err(Refusal::Impossible(format!(
                "there is no signature set of {engine} to go back to; \
                 `acquit signatures list {engine}` shows those there are"
            )));
        };
        self.put_into_service(&previous, EventKind::SignaturesRolledBack)
            .await
    }

    /// Puts a set that is here into service, at an administrator's word.
    pub(super) async fn put_into_service(
        &self,
        id: &SignatureSetId,
        kind: EventKind,
    ) -> Result<SignatureSet, Refusal> {
        let (engine, set) = (self.sets.engine.clone(), id.clone());
        let found = self
            .sets
            .get(id)?
            .ok_or(Refusal::UnknownSet { engine, set })?;
        if !found.on_disk || !self.sets.dir(id).is_dir() {
            return Err(Refusal::Impossible(format!(
                "the files of {id} were removed; `acquit signatures list` shows which sets are \
                 still on the disk"
            )));
        }
        if let Pass::Closed(reason) = self.gate.pass().await {
            return Err(Refusal::Impossible(reason));
        }
        let warm = self.engine.resident.warm(id.clone()).await;
        let warm = warm.map_err(|error| Refusal::Impossible(error.to_string()))?;
        let versions: Option<EngineVersions> = warm.as_ref().map(|w| w.live.versions.clone());
        let (sets, set) = (self.sets.clone(), id.clone());
        let activate =
            move |change: &mut Change<'_>| sets.activate(change, (&set, versions), (kind, now()));
        let written = self.sets.store.write(activate).await;
        self.settle(id, warm, written).await?;
        Ok(self.sets.get(id)?.unwrap_or(found))
    }

    pub(super) async fn clean(&self) {
        if let Err(error) = self.sets.clean().await {
            warn!(engine.name = %self.sets.engine, %error, "Cannot remove retired sets");
        }
    }
}
