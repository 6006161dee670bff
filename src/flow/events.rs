//! What happened, written down in the change that made it happen.

use crate::model::{About, EngineId, Event, EventKind, Timestamp};
use crate::store::{Change, EVENTS, EventGlance, PUBLISHER_EVENTS, StoreError, UNROUTED};

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
    /// Whom and what it concerns.
    pub about: About,
}

impl Draft {
    /// Makes an event of a kind that concerns somebody's files.
    pub fn about(at: Timestamp, kind: EventKind, about: About, text: String) -> Self {
        Self {
            at,
            kind,
            engine: None,
            text,
            details: serde_json::Value::Null,
            about,
        }
    }
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
        about,
    } = draft;
    let event = Event {
        number,
        at,
        kind,
        engine,
        text,
        details,
        about,
    };
    match kind {
        EventKind::UpdateFailed | EventKind::CandidateRejected | EventKind::LicenseExpiring => {
            tracing::warn!(event.name = kind.as_str(), "{}", event.text);
        }
        _ => tracing::info!(event.name = kind.as_str(), "{}", event.text),
    }
    change.put(&EVENTS, &number, &event)?;
    if let Some(publisher) = &event.about.publisher {
        let glance = Some(EventGlance::of(&event));
        change.put(&PUBLISHER_EVENTS, &(publisher.clone(), number), &glance)?;
    }
    // Who is told of it is decided from here: a crash in between loses nothing.
    change.put(&UNROUTED, &number, &())?;
    Ok(event)
}
