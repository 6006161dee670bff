//! Whether an engine that calls a file clean has learned something since it detected it.

use crate::model::{EngineId, EngineVersions, SignatureSet, SignatureSetId, Timestamp};
use crate::store::{Change, SETS, StoreError};

/// Whether a clean answer ends an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// It does: newer signatures, or another version of the engine.
    Yes,
    /// It does not, and why.
    No(&'static str),
}

/// Tells whether an engine's clean answer is by something newer than its detection.
///
/// # Errors
/// If the store fails.
pub fn newer(
    change: &Change<'_>,
    engine: &EngineId,
    (detected, clean): (&EngineVersions, &EngineVersions),
) -> Result<Newer, StoreError> {
    if is_another(detected, clean) {
        return Ok(Newer::Yes);
    }
    if let (Some(then), Some(now)) = (&detected.signature_set, &clean.signature_set) {
        if then == now {
            return Ok(Newer::No("the same signature set"));
        }
        let ages = (came(change, engine, then)?, came(change, engine, now)?);
        if let (Some(then), Some(now)) = ages {
            return Ok(order(then < now));
        }
    }
    // Sets that are not on record are put in order by the date the engine itself gives.
    match (&detected.signatures_date, &clean.signatures_date) {
        (Some(then), Some(now)) if then != now => Ok(order(then < now)),
        _ => Ok(Newer::No("not known to be newer")),
    }
}

const fn order(later: bool) -> Newer {
    match later {
        true => Newer::Yes,
        false => Newer::No("an older signature set"),
    }
}

fn is_another(detected: &EngineVersions, clean: &EngineVersions) -> bool {
    let versions = detected.engine.as_ref().zip(clean.engine.as_ref());
    detected.image != clean.image || versions.is_some_and(|(then, now)| then != now)
}

fn came(
    change: &Change<'_>,
    engine: &EngineId,
    set: &SignatureSetId,
) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<SignatureSet> = change.get(&SETS, &(engine.clone(), set.clone()))?;
    Ok(row.map(|row| row.created_at))
}
