//! Incidents: opened, told, answered, resolved, kept, opened again.

use crate::model::{Entry, Incident, Timestamp};
use crate::store::{Change, StoreError};

/// Notes that somebody was told of an incident: `open` becomes `notified`.
///
/// # Errors
/// If the store fails.
pub fn notified(
    _change: &mut Change<'_>,
    _incident: u64,
    _to: &str,
    _now: Timestamp,
) -> Result<Option<Incident>, StoreError> {
    Ok(None)
}

/// Writes an entry into an incident's thread; a vendor's word, or one sent to a vendor and
/// answered, makes it `acknowledged`.
///
/// # Errors
/// If the store fails.
pub fn enter(
    _change: &mut Change<'_>,
    _incident: u64,
    _entry: Entry,
) -> Result<Option<Incident>, StoreError> {
    Ok(None)
}

/// Notes that the vendor stands by its detection, or does no more, in every incident of the blob
/// and the engine.
///
/// # Errors
/// If the store fails.
pub fn confirmed(
    _change: &mut Change<'_>,
    _detection: (&crate::model::Sha256, &crate::model::EngineId),
    _confirmed: Confirmed,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}

/// Whether a vendor stands by a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It does: the incidents are kept.
    Yes,
    /// It does no more: they are open again.
    No,
}
