//! Writes down what came of a try, and when it is made again.

use std::time::Duration;

use serde_json::json;

use super::channel::{Outcome, target};
use super::outbox::Place;
use super::pace;
use crate::flow::events::{Draft, raise};
use crate::flow::incident;
use crate::model::{
    About, Attempt, Audience, Delivery, DeliveryState, Event, EventKind, Timestamp,
};
use crate::store::{Change, DELIVERIES, EVENTS, OUTBOX, SUBSCRIPTIONS, StoreError};

/// Tries that are kept.
const ATTEMPTS: usize = 50;

/// What came of a try, to be written down.
#[derive(Debug)]
pub struct Record {
    /// When.
    pub now: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// Who was told, without what may be a secret.
    pub to: String,
    /// After how long a delivery is given up.
    pub give_up: Duration,
    /// Any number.
    pub chance: u64,
}

impl Record {
    /// Writes it down for one delivery.
    ///
    /// # Errors
    /// If the store fails.
    pub fn write(&self, change: &mut Change<'_>, place: Place) -> Result<(), StoreError> {
        let key = (place.1, place.2);
        // A replay may have put it elsewhere meanwhile.
        if change.get(&OUTBOX, &place)?.is_none() {
            return Ok(());
        }
        change.remove(&OUTBOX, &place);
        let Some(mut delivery) = change.get(&DELIVERIES, &key)? else {
            return Ok(());
        };
        if delivery.attempts.len() >= ATTEMPTS {
            delivery.attempts.remove(1);
        }
        delivery.attempts.push(Attempt {
            at: self.now,
            outcome: self.outcome.text().to_owned(),
        });
        (delivery.state, delivery.due_at) = self.next(&delivery);
        if let Some(due) = delivery.due_at {
            change.put(&OUTBOX, &(due.millis(), key.0, key.1), &())?;
        }
        change.put(&DELIVERIES, &key, &delivery)?;
        if delivery.state == DeliveryState::Delivered {
            self.notify(change, key.0)?;
        }
        Ok(())
    }

    /// Returns where a delivery stands now, and when it is tried again.
    fn next(&self, delivery: &Delivery) -> (DeliveryState, Option<Timestamp>) {
        let asked = match &self.outcome {
            Outcome::Accepted(_) => return (DeliveryState::Delivered, None),
            Outcome::Never(_) | Outcome::Gone(_) => return (DeliveryState::Failed, None),
            Outcome::Later(_, asked) => *asked,
        };
        // What is to be made once more has all its time again.
        let first = delivery
            .current()
            .first()
            .map_or(self.now, |first| first.at);
        if self.now.since(first) >= self.give_up {
            return (DeliveryState::Failed, None);
        }
        let pause = pace::pause(delivery.tries(), asked, self.chance);
        (DeliveryState::Pending, Some(self.now.after(pause)))
    }

    /// Notes that somebody was told of an incident.
    fn notify(&self, change: &mut Change<'_>, event: u64) -> Result<(), StoreError> {
        let event: Option<Event> = change.get(&EVENTS, &event)?;
        let opened = |event: &Event| {
            let kinds = [EventKind::IncidentOpened, EventKind::IncidentReopened];
            kinds.contains(&event.kind)
        };
        if let Some(number) = event.filter(opened).and_then(|event| event.about.incident) {
            incident::notified(change, number, &self.to, self.now)?;
        }
        Ok(())
    }
}

/// Switches a subscription off because its other side wants nothing any more.
///
/// # Errors
/// If the store fails.
pub fn disable(
    change: &mut Change<'_>,
    id: u64,
    reason: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    // It may have been changed or removed while the other side was asked.
    let Some(mut row) = change.get(&SUBSCRIPTIONS, &id)? else {
        return Ok(());
    };
    row.disabled = Some((now, reason.to_owned()));
    change.put(&SUBSCRIPTIONS, &id, &row)?;
    let publisher = match &row.audience {
        Audience::Publisher(id) => Some(id.clone()),
        Audience::Admin | Audience::Vendor(_) => None,
    };
    let about = About {
        publisher,
        ..About::default()
    };
    let text = format!(
        "the subscription of {} was switched off: its other side answered {reason}",
        target(&row.channel)
    );
    let details = json!({ "subscription": row.id.to_string() });
    let draft = Draft::about(now, EventKind::SubscriptionDisabled, about, text);
    raise(change, Draft { details, ..draft })?;
    Ok(())
}

/// Returns any number, so that not all tries of an hour come in the same moment.
pub fn chance() -> u64 {
    let mut bits = [0; 8];
    // Without chance all tries of an hour would come in the same moment, and no worse.
    let _ = getrandom::fill(&mut bits);
    u64::from_ne_bytes(bits)
}
