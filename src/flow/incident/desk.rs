//! What people, vendors and notifications do with an incident.

use super::record::{self, Act, Told};
use super::{Seat, entry};
use crate::flow::policy;
use crate::model::{
    EngineId, Entry, EntryKind, EventKind, Incident, IncidentState, KeptReason, Timestamp,
};
use crate::store::{Change, DEADLINES, HOLDERS, INCIDENT_OF, INCIDENTS, StoreError};

/// Why nothing can be said to a vendor.
pub const NO_VENDOR: &str = "the policy of this file is `never`: to vendors it does not exist; \
                             allow at least metadata-only for it or its folder first";

/// Who does something, and when.
#[derive(Clone, Debug)]
pub struct Hand {
    /// Id of the key or user.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// What a person wants of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Somebody looks after it: his name, or nobody.
    Owner(Option<String>),
    /// It should be over by then.
    Deadline(Timestamp),
    /// A note the vendor does not see.
    Note(String),
    /// A word to the vendor, which sees it with its own words.
    Reply(String),
    /// It has been seen and is being worked on.
    Acknowledge,
    /// It is let be, for a reason.
    Close(String),
    /// It is not let be after all, for a reason.
    Reopen(String),
}

/// What became of a wish.
#[derive(Clone, Debug)]
pub enum Done {
    /// It is fulfilled.
    Yes(Box<Incident>),
    /// There is no such incident.
    Missing,
    /// It cannot be, and why.
    Refused(String),
}

/// Does what a person wants of an incident.
///
/// # Errors
/// If the store fails.
pub fn act(
    change: &mut Change<'_>,
    incident: u64,
    wish: Wish,
    hand: &Hand,
) -> Result<Done, StoreError> {
    let Some(mut incident) = change.get(&INCIDENTS, &incident)? else {
        return Ok(Done::Missing);
    };
    if let Some(why) = refusal(change, &incident, &wish)? {
        return Ok(Done::Refused(why));
    }
    let step = |to, text: String| Act {
        to,
        at: hand.at,
        author: hand.author.clone(),
        text,
    };
    let it = &mut incident;
    match wish {
        Wish::Owner(owner) => {
            let name = owner.as_deref().unwrap_or("nobody");
            let text = format!("{name} looks after it");
            it.owner = owner;
            note(change, it, (hand, EntryKind::State), text)?;
        }
        Wish::Deadline(deadline) => {
            record::undate(change, it)?;
            it.deadline = Some(deadline);
            change.put(&DEADLINES, &(deadline.millis(), it.id), &())?;
            let text = format!("should be over by {}", day(deadline));
            note(change, it, (hand, EntryKind::State), text)?;
        }
        Wish::Note(text) => note(change, it, (hand, EntryKind::Note), text)?,
        Wish::Reply(text) => note(change, it, (hand, EntryKind::Reply), text)?,
        Wish::Acknowledge => {
            let act = step(IncidentState::Acknowledged, "acknowledged".to_owned());
            record::answer(change, it, (act, EventKind::IncidentAcknowledged))?;
        }
        Wish::Close(why) => {
            it.kept = Some(KeptReason::Publisher);
            let text = format!("kept by the publisher: {why}");
            record::keep(change, it, step(IncidentState::Kept, text))?;
        }
        Wish::Reopen(why) => {
            let text = format!("opened again by the publisher: {why}");
            record::reopen(change, it, step(IncidentState::Open, text))?;
        }
    }
    Ok(Done::Yes(Box::new(incident)))
}

fn day(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_second(seconds);
    at.map_or_else(|_| seconds.to_string(), |at| at.to_string())
}

fn note(
    change: &mut Change<'_>,
    incident: &mut Incident,
    (hand, kind): (&Hand, EntryKind),
    text: String,
) -> Result<(), StoreError> {
    let entry = Entry {
        at: hand.at,
        author: hand.author.clone(),
        kind,
        text,
    };
    record::write(change, incident, entry)?;
    record::save(change, incident)
}

/// Says why a wish cannot be fulfilled as things stand.
fn refusal(
    change: &Change<'_>,
    incident: &Incident,
    wish: &Wish,
) -> Result<Option<String>, StoreError> {
    let state = incident.state.as_str();
    let refused = match wish {
        Wish::Owner(_) | Wish::Note(_) => None,
        Wish::Reply(_) => {
            let consent = policy::consent(change, &incident.sha256, &incident.publisher)?;
            consent.is_none().then(|| NO_VENDOR.to_owned())
        }
        Wish::Deadline(_) | Wish::Close(_) | Wish::Acknowledge if !incident.state.is_live() => {
            Some(format!("the incident is {state}; open it again first"))
        }
        Wish::Acknowledge if incident.state == IncidentState::Acknowledged => {
            Some("the incident is acknowledged already".to_owned())
        }
        Wish::Deadline(_) | Wish::Close(_) | Wish::Acknowledge => None,
        Wish::Reopen(_) if incident.state != IncidentState::Kept => Some(format!(
            "the incident is {state}; only one that is kept can be opened again"
        )),
        Wish::Reopen(_) => {
            let key = (incident.sha256, incident.publisher.clone());
            let held = change.get(&HOLDERS, &key)?.is_some();
            (!held).then(|| "the file is in the collection no more".to_owned())
        }
    };
    Ok(refused)
}

/// Notes that somebody was told of an incident: `open` becomes `notified`.
///
/// # Errors
/// If the store fails.
pub fn notified(
    change: &mut Change<'_>,
    incident: u64,
    to: &str,
    now: Timestamp,
) -> Result<Option<Incident>, StoreError> {
    let Some(mut incident) = change.get(&INCIDENTS, &incident)? else {
        return Ok(None);
    };
    let text = format!("told {to}");
    if incident.state == IncidentState::Open {
        let act = Act::of(IncidentState::Notified, now, text);
        record::answer(change, &mut incident, (act, EventKind::IncidentNotified))?;
    } else {
        record::write(change, &mut incident, entry(now, text))?;
        record::save(change, &incident)?;
    }
    Ok(Some(incident))
}

/// Writes an entry into an incident's thread; a vendor's word makes it `acknowledged`.
///
/// # Errors
/// If the store fails.
pub fn enter(
    change: &mut Change<'_>,
    incident: u64,
    entry: Entry,
) -> Result<Option<Incident>, StoreError> {
    let Some(mut incident) = change.get(&INCIDENTS, &incident)? else {
        return Ok(None);
    };
    let (kind, at, author) = (entry.kind, entry.at, entry.author.clone());
    record::write(change, &mut incident, entry)?;
    record::save(change, &incident)?;
    let waits = matches!(
        incident.state,
        IncidentState::Open | IncidentState::Notified
    );
    if kind == EntryKind::Vendor && waits {
        let act = Act {
            to: IncidentState::Acknowledged,
            at,
            author,
            text: "acknowledged: the vendor answered".to_owned(),
        };
        record::answer(
            change,
            &mut incident,
            (act, EventKind::IncidentAcknowledged),
        )?;
    }
    Ok(Some(incident))
}

/// Notes that the vendor stands by its detection, or does no more, in one publisher's incident of
/// the blob and the engine: only who lets the vendor know of the blob hears of its word.
///
/// # Errors
/// If the store fails.
pub fn confirmed(
    change: &mut Change<'_>,
    (seat, engine): (&Seat<'_>, &EngineId),
    confirmed: Confirmed,
    now: Timestamp,
) -> Result<(), StoreError> {
    let key = (seat.sha256, engine.clone(), seat.publisher.clone());
    let Some(id) = change.get(&INCIDENT_OF, &key)? else {
        return Ok(());
    };
    let Some(mut incident) = change.get(&INCIDENTS, &id)? else {
        return Ok(());
    };
    let kept = incident.kept == Some(KeptReason::Vendor);
    match confirmed {
        Confirmed::Yes if incident.state.is_live() => {
            incident.kept = Some(KeptReason::Vendor);
            let text = "kept: the vendor stands by the detection".to_owned();
            let act = Act::of(IncidentState::Kept, now, text);
            record::keep(change, &mut incident, act)
        }
        Confirmed::No if kept && incident.state == IncidentState::Kept => {
            let text = "opened again: the vendor stands by it no more".to_owned();
            let act = Act::of(IncidentState::Open, now, text);
            record::reopen(change, &mut incident, act)
        }
        Confirmed::Yes | Confirmed::No => Ok(()),
    }
}

/// Raises that an incident is overdue.
pub(super) fn overdue(
    change: &mut Change<'_>,
    incident: &mut Incident,
    now: Timestamp,
) -> Result<(), StoreError> {
    record::write(change, incident, entry(now, "overdue".to_owned()))?;
    record::overdue(change, incident)?;
    record::tell(change, incident, Told::of(EventKind::IncidentOverdue, now))
}

/// Whether a vendor stands by a detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// It does: the incidents are kept.
    Yes,
    /// It does no more: they are open again.
    No,
}
