//! Whether an engine's detection is what it would say now: a set may serve that the file was not
//! yet scanned with, and vendors close what they cannot reproduce.

use std::collections::BTreeSet;

use crate::flow::ingest::{Ingest, IngestError, Submission};
use crate::model::{
    Dispute, EngineId, Incident, Priority, Reuse, SignatureSet, SignatureSetId, Standing, Timestamp,
};
use crate::store::{INCIDENTS, Read, SETS, SIGNATURE_SETS, STANDINGS, StoreError};

/// Returns the engine of a dispute if it scans with a newer set than it detected the file with.
///
/// # Errors
/// If the store fails.
pub fn outdated(read: &impl Read, dispute: &Dispute) -> Result<Option<EngineId>, StoreError> {
    let Some(incident) = read.row(&INCIDENTS, &dispute.incident)? else {
        return Ok(None);
    };
    let Incident { engine, .. } = incident;
    let Some(active) = read.row(&SIGNATURE_SETS, &engine)? else {
        return Ok(None);
    };
    let standing: Standing = read.row(&STANDINGS, &dispute.sha256)?.unwrap_or_default();
    let detection = standing.detections.get(&engine);
    let Some(used) = detection.and_then(|it| it.versions.signature_set.as_ref()) else {
        return Ok(None);
    };
    let came = |set: &SignatureSetId| {
        let row: Option<SignatureSet> = read.row(&SETS, &(engine.clone(), set.clone()))?;
        Ok::<_, StoreError>(row.map(|row| row.created_at))
    };
    let newer = active.id != *used && came(&active.id)? > came(used)?;
    Ok(newer.then_some(engine))
}

/// Lets one engine look at a dispute's file at once.
///
/// # Errors
/// If the order cannot be written.
pub async fn look_again(
    ingest: &Ingest,
    (dispute, engine): (&Dispute, EngineId),
    now: Timestamp,
) -> Result<(), IngestError> {
    let submission = Submission {
        name: None,
        engines: Some(BTreeSet::from([engine])),
        priority: Priority::Interactive,
        reuse: Reuse::Never,
        now,
    };
    ingest.reanalyze(dispute.sha256, submission).await.map(drop)
}
