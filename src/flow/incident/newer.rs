//! Whether an engine that calls a file clean has learned something since it detected it.
//!
//! What it knows is its signatures: an answer by older ones counts for nothing, whatever program
//! gave it. The program itself decides where the signatures say nothing, which is so for engines
//! that have none, and only if its version is a greater one. An image decides nothing: it is
//! another with every build, of the same program or of an older one. So an incident of an engine
//! whose knowledge is in its image stays until the image carries a greater version; one of the
//! same version that calls the file clean is written into the thread, and a person may close it.

use std::cmp::Ordering;

use super::version;
use crate::model::{EngineId, EngineVersions, SignatureSet, SignatureSetId, Timestamp};
use crate::store::{Change, SETS, StoreError};

/// Whether a clean answer ends an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newer {
    /// It does: newer signatures, or a greater version of the engine.
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
    let age = match of_dates(detected, clean) {
        Some(age) => Some(age),
        None => of_sets(change, engine, (detected, clean))?,
    };
    Ok(match age {
        Some(Ordering::Greater) => Newer::Yes,
        Some(Ordering::Less) => Newer::No("an older signature set"),
        Some(Ordering::Equal) | None => of_programs(detected, clean),
    })
}

/// Compares the days the engine gives its signatures; nothing if it says none, or twice the same:
/// of one day there may be several sets.
fn of_dates(detected: &EngineVersions, clean: &EngineVersions) -> Option<Ordering> {
    let (then, now) = (&detected.signatures_date, &clean.signatures_date);
    let order = now.as_ref()?.cmp(then.as_ref()?);
    (order != Ordering::Equal).then_some(order)
}

/// Compares when the sets came here; nothing if that is not known of both.
fn of_sets(
    change: &Change<'_>,
    engine: &EngineId,
    (detected, clean): (&EngineVersions, &EngineVersions),
) -> Result<Option<Ordering>, StoreError> {
    let (Some(then), Some(now)) = (&detected.signature_set, &clean.signature_set) else {
        return Ok(None);
    };
    if then == now {
        return Ok(Some(Ordering::Equal));
    }
    let (then, now) = (came(change, engine, then)?, came(change, engine, now)?);
    let order = now.zip(then).map(|(now, then)| now.cmp(&then));
    Ok(order)
}

fn of_programs(detected: &EngineVersions, clean: &EngineVersions) -> Newer {
    let versions = detected.engine.as_ref().zip(clean.engine.as_ref());
    if versions.is_some_and(|(then, now)| version::is_greater(now, then)) {
        return Newer::Yes;
    }
    let same = |one: Option<&SignatureSetId>| one.is_some() && one == clean.signature_set.as_ref();
    Newer::No(if same(detected.signature_set.as_ref()) {
        "the same signature set"
    } else if detected.image != clean.image && detected.engine == clean.engine {
        "another image of the same version"
    } else {
        "not known to be newer"
    })
}

fn came(
    change: &Change<'_>,
    engine: &EngineId,
    set: &SignatureSetId,
) -> Result<Option<Timestamp>, StoreError> {
    let row: Option<SignatureSet> = change.get(&SETS, &(engine.clone(), set.clone()))?;
    Ok(row.map(|row| row.created_at))
}
