//! Compares every completed analysis with the one before: new, increasing, decreasing, swapped and
//! solved detections of the blobs that are in collections.

use crate::model::{Analysis, PublisherId, Sha256, Timestamp};
use crate::store::{Change, StoreError};

/// Compares an analysis that is complete with what was known of its blob, in the change that
/// completes it. A blob that nobody holds has no standing.
///
/// # Errors
/// If the store fails.
pub fn compare(
    _change: &mut Change<'_>,
    _analysis: &Analysis,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}

/// Notes that a publisher holds a blob from now on: its first item points at it.
///
/// # Errors
/// If the store fails.
pub fn held(
    _change: &mut Change<'_>,
    _sha256: Sha256,
    _publisher: &PublisherId,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}

/// Notes that a publisher holds a blob no more: its last item is gone.
///
/// # Errors
/// If the store fails.
pub fn released(
    _change: &mut Change<'_>,
    _sha256: Sha256,
    _publisher: &PublisherId,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}
