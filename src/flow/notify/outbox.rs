//! What waits to be sent, and which of it may be now.
//!
//! Where much waits, looking through it takes its time: it is done off the async threads.

use std::collections::{BTreeMap, BTreeSet};

use super::channel::endpoint;
use super::pace;
use crate::model::{Channel, Delivery, Pace, Subscription, Timestamp};
use crate::store::{DELIVERIES, OUTBOX, SUBSCRIPTIONS, Store, StoreError};

/// Deliveries under way to the same endpoint.
const SLOTS_PER_ENDPOINT: usize = 8;
/// Rows of the outbox looked at for free slots.
const LOOK: usize = 100_000;
/// Rows read at a time.
const STEP: usize = 500;
/// Events in one digest.
const DIGEST: usize = 200;
/// More letters than so many at once to one address are one letter.
const FLOOD: usize = 10;

/// Place of a delivery in the outbox.
pub type Place = (u64, u64, u64);

/// What is being sent, so that nothing is sent twice at once and nobody holds all slots.
#[derive(Clone, Debug, Default)]
pub struct Busy {
    subscriptions: BTreeSet<u64>,
    endpoints: BTreeMap<String, usize>,
}

impl Busy {
    /// Takes a slot, if one is free for it.
    pub fn take(&mut self, subscription: u64, endpoint: &str) -> bool {
        let used = self.endpoints.entry(endpoint.to_owned()).or_default();
        if *used >= SLOTS_PER_ENDPOINT || !self.subscriptions.insert(subscription) {
            return false;
        }
        *used += 1;
        true
    }

    /// Gives a slot back.
    pub fn free(&mut self, subscription: u64, endpoint: &str) {
        self.subscriptions.remove(&subscription);
        if let Some(used) = self.endpoints.get_mut(endpoint) {
            *used -= 1;
            if *used == 0 {
                self.endpoints.remove(endpoint);
            }
        }
    }
}

/// Deliveries that are made together: one, or those of a digest.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// To which subscription.
    pub subscription: u64,
    /// Which deliveries, first the one that was due first.
    pub places: Vec<Place>,
}

/// What is due and may be sent now, and how much waits.
#[derive(Debug, Default)]
pub struct Due {
    /// What is sent, with its endpoint.
    pub bundles: Vec<(Bundle, String)>,
    /// Deliveries looked at.
    pub waiting: usize,
}

/// Looks for what may be sent beside what is: at most so much as there are free slots.
///
/// # Errors
/// If the store fails.
pub fn due(
    store: &Store,
    (mut busy, free): (Busy, usize),
    now: Timestamp,
) -> Result<Due, StoreError> {
    let (mut due, mut after) = (Due::default(), None::<Place>);
    while due.waiting < LOOK && due.bundles.len() < free {
        let places = store.keys_after(&OUTBOX, after.as_ref(), STEP)?;
        let last = places.last().copied();
        due.waiting += places.len();
        for place in places {
            if place.0 > now.millis() || due.bundles.len() >= free {
                break;
            }
            if busy.subscriptions.contains(&place.2) {
                continue;
            }
            let row = store.get(&SUBSCRIPTIONS, &place.2)?;
            let bundle = bundle(store, (place, row.as_ref()), now)?;
            let endpoint = row.map_or_else(String::new, |row| endpoint(&row.channel));
            if !bundle.places.is_empty() && busy.take(place.2, &endpoint) {
                due.bundles.push((bundle, endpoint));
            }
        }
        match last {
            Some(last) if last.0 <= now.millis() => after = Some(last),
            _ => break,
        }
    }
    Ok(due)
}

/// Returns what is delivered together with what is at a place.
fn bundle(
    store: &Store,
    (place, row): (Place, Option<&Subscription>),
    now: Timestamp,
) -> Result<Bundle, StoreError> {
    let delivery = store.get(&DELIVERIES, &(place.1, place.2))?;
    let places = match row.zip(delivery) {
        Some((row, first)) => together(store, (place, row, &first), now)?,
        None => vec![place],
    };
    Ok(Bundle {
        subscription: place.2,
        places,
    })
}

/// Returns the places of what goes with the first: the rest of its digest, or of a flood.
///
/// What was tried already is together again with what it was together with, and nothing else, so
/// that it has the same id: all of it is due in the same moment.
fn together(
    store: &Store,
    (place, row, first): (Place, &Subscription, &Delivery),
    now: Timestamp,
) -> Result<Vec<Place>, StoreError> {
    let slot = pace::slot(row, first.created_at);
    let tried = first.tries() > 0;
    let (until, fewest) = match (row.pace, &row.channel) {
        (Pace::Daily { .. }, _) => (place.0, 1),
        (Pace::Immediate, Channel::Mail { .. }) if tried => (place.0, 1),
        (Pace::Immediate, Channel::Mail { .. }) => (now.millis(), FLOOD),
        (Pace::Immediate, _) => return Ok(vec![place]),
    };
    let same = |other: &Delivery| {
        pace::slot(row, other.created_at) == slot && (other.tries() > 0) == tried
    };
    let found = gather(store, (row.id, until), same)?;
    Ok(match found.len() {
        count if count >= fewest => found,
        _ => vec![place],
    })
}

/// Finds the first places of a subscription, due until a moment, whose deliveries are the same.
fn gather(
    store: &Store,
    (subscription, until): (u64, u64),
    same: impl Fn(&Delivery) -> bool,
) -> Result<Vec<Place>, StoreError> {
    let (mut found, mut after, mut looked) = (Vec::new(), None::<Place>, 0);
    while looked < LOOK {
        let places = store.keys_after(&OUTBOX, after.as_ref(), STEP)?;
        looked += places.len();
        after = places.last().copied();
        let due = places.iter().filter(|place| place.0 <= until);
        for place in due.filter(|place| place.2 == subscription) {
            let delivery = store.get(&DELIVERIES, &(place.1, place.2))?;
            if delivery.as_ref().is_some_and(&same) {
                found.push(*place);
            }
            if found.len() == DIGEST {
                return Ok(found);
            }
        }
        if after.is_none_or(|last| last.0 > until) {
            break;
        }
    }
    Ok(found)
}
