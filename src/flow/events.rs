//! What happened, written down in the change that made it happen.

use crate::model::{EngineId, Event, EventKind, Timestamp};
use crate::store::{Change, EVENTS, StoreError};

/// An event that has no number yet.
#[derive(Clone, Debug)]
pub struct Draft {
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: EventKind,
    /// Which engine it is about, if one.
    pub engine: Option<EngineId>,
    /// What happened, in one sentence.
    pub text: String,
    /// The same for programs.
    pub details: serde_json::Value,
}

/// Writes an event within a change; returns it with its number.
///
/// # Errors
/// If the store fails.
pub fn raise(change: &mut Change<'_>, draft: Draft) -> Result<Event, StoreError> {
    // Microseconds: in order, and with room for those of the same millisecond.
    let mut number = draft.at.millis() * 1000;
    while change.get(&EVENTS, &number)?.is_some() {
        number += 1;
    }
    let Draft {
        at,
        kind,
        engine,
        text,
        details,
    } = draft;
    let event = Event {
        number,
        at,
        kind,
        engine,
        text,
        details,
    };
    match kind {
        EventKind::UpdateFailed | EventKind::CandidateRejected | EventKind::LicenseExpiring => {
            tracing::warn!(event.name = kind.as_str(), "{}", event.text);
        }
        _ => tracing::info!(event.name = kind.as_str(), "{}", event.text),
    }
    change.put(&EVENTS, &number, &event)?;
    Ok(event)
}
