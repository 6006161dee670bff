//! Writes disputes: the row, when it is due, and the incident's thread change together.

use super::Doer;
use crate::flow::incident;
use crate::model::{Dispute, DisputeState, Entry, EntryKind, IncidentState, Timestamp};
use crate::store::{Change, DISPUTE_DUE, DISPUTES, DISPUTES_OF, Read, StoreError};

/// Disputes of one incident that are looked at.
const OF_ONE_INCIDENT: usize = 1000;

/// Returns when a vendor that is told now is to be reminded; never if reminders are switched off.
pub fn remind_at(days: u32, now: Timestamp) -> Option<Timestamp> {
    let pause = std::time::Duration::from_secs(u64::from(days) * 86_400);
    (days > 0).then(|| now.after(pause))
}

/// Returns the number of a dispute of the incident that is not over.
///
/// # Errors
/// If the store fails.
pub fn under_way(read: &impl Read, incident: u64) -> Result<Option<u64>, StoreError> {
    let prefix = incident.to_be_bytes();
    for ((_, id), ()) in read.rows(&DISPUTES_OF, (&prefix, None), OF_ONE_INCIDENT)? {
        let dispute = read.row(&DISPUTES, &id)?;
        if dispute.is_some_and(|dispute: Dispute| !dispute.state.is_over()) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Writes a dispute, when it is due next, and what happened into its incident's thread.
///
/// # Errors
/// If the store fails.
pub fn put(
    change: &mut Change<'_>,
    dispute: &mut Dispute,
    (text, doer): (&str, &Doer),
) -> Result<(), StoreError> {
    let now = doer.now;
    dispute.state_at = now;
    let before: Option<Dispute> = change.get(&DISPUTES, &dispute.id)?;
    let was_sent = before.is_some_and(|before| before.state == DisputeState::Sent);
    let due = match dispute.state {
        DisputeState::Queued => Some(now),
        DisputeState::Sent => dispute.remind_at,
        _ => None,
    };
    save(change, dispute, due)?;
    let entry = Entry {
        at: now,
        author: doer.id.clone(),
        kind: EntryKind::Dispute,
        text: text.to_owned(),
    };
    let incident = incident::enter(change, dispute.incident, entry)?;
    let open = incident.is_some_and(|incident| incident.state == IncidentState::Open);
    // Only now the vendor knows: what is prepared or waits has told nobody.
    if open && dispute.state == DisputeState::Sent && !was_sent {
        incident::notified(change, dispute.incident, &dispute.to, now)?;
    }
    Ok(())
}

/// Writes a dispute and when it is due next. Rows that are due twice find nothing to do.
///
/// # Errors
/// If the store fails.
pub fn save(
    change: &mut Change<'_>,
    dispute: &Dispute,
    due: Option<Timestamp>,
) -> Result<(), StoreError> {
    change.put(&DISPUTES, &dispute.id, dispute)?;
    if let Some(due) = due {
        change.put(&DISPUTE_DUE, &(due.millis(), dispute.id), &())?;
    }
    Ok(())
}
