//! What belongs to the process and not to any stage.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::model::Timestamp;

/// Returns the present.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
