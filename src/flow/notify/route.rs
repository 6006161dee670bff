//! Decides who is told of an event, once for each.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256 as Hasher};

use super::{Notifier, pace, words};
use crate::model::{
    Audience, Channel, Delivery, DeliveryState, Event, EventKind, LedgerEntry, LedgerKind, Pace,
    Subscription, Timestamp, VendorId,
};
use crate::store::{
    Change, DELIVERIES, EVENTS, OUTBOX, PUBLISHERS, Read, SUBSCRIPTIONS, Store, StoreError,
    UNROUTED, VENDORS,
};

/// Events routed in one change.
const BATCH: usize = 50;
/// Most subscriptions there can be.
pub const SUBSCRIPTIONS_MAX: usize = 10_000;
/// Vendors looked at for an event.
const VENDORS_MAX: usize = 1000;
/// Set in the numbers of subscriptions that addresses of publishers and vendors are.
const IMPLICIT: u64 = 1 << 52;

/// One event and the subscriptions it goes to.
type Routed = (u64, Vec<Subscription>);

impl Notifier {
    /// Routes the oldest events; returns how many.
    pub(super) async fn route_some(
        &self,
        noted: &mut BTreeSet<u64>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let numbers = self.store.keys_after(&UNROUTED, None, BATCH)?;
        if numbers.is_empty() {
            return Ok(0);
        }
        let mut events = Vec::new();
        for number in &numbers {
            events.extend(self.store.get(&EVENTS, number)?);
        }
        self.note(&events, noted).await?;
        let page = self
            .store
            .list(&SUBSCRIPTIONS, (&[], None), SUBSCRIPTIONS_MAX)?;
        let all: Vec<Subscription> = page.rows.into_iter().map(|(_, row)| row).collect();
        let mut routed: Vec<Routed> = Vec::new();
        for event in &events {
            routed.push((event.number, targets(&self.store, event, &all)?));
        }
        let count = numbers.len();
        let done = numbers.clone();
        let write = move |change: &mut Change<'_>| write(change, &numbers, &routed, now);
        self.store.write(write).await?;
        for number in done {
            noted.remove(&number);
        }
        Ok(count)
    }

    /// Writes events into the ledger that are not in it yet.
    async fn note(&self, events: &[Event], noted: &mut BTreeSet<u64>) -> Result<(), StoreError> {
        let fresh: Vec<_> = events
            .iter()
            .filter(|event| !noted.contains(&event.number))
            .collect();
        let ledger = self.store.ledger();
        let lines = fresh.iter().map(|event| ledger.append(line(event)));
        let written = futures_util::future::join_all(lines).await;
        for (event, written) in fresh.iter().zip(written) {
            written.map_err(|error| StoreError::Failed {
                reason: error.to_string(),
            })?;
            noted.insert(event.number);
        }
        Ok(())
    }
}

fn line(event: &Event) -> LedgerEntry {
    let actor = event.about.actor.clone();
    let actor = actor.unwrap_or_else(|| "acquit".to_owned());
    LedgerEntry {
        publisher: event.about.publisher.clone(),
        sha256: event.about.sha256,
        event: Some(event.number),
        ..LedgerEntry::new(event.at, LedgerKind::Event, actor, event.text.clone())
    }
}

/// Writes what was decided; an event that is routed already is passed over.
fn write(
    change: &mut Change<'_>,
    numbers: &[u64],
    routed: &[Routed],
    now: Timestamp,
) -> Result<(), StoreError> {
    for (event, targets) in routed {
        if change.get(&UNROUTED, event)?.is_none() {
            continue;
        }
        for subscription in targets {
            enqueue(change, *event, subscription, now)?;
        }
    }
    for number in numbers {
        change.remove(&UNROUTED, number);
    }
    Ok(())
}

fn enqueue(
    change: &mut Change<'_>,
    event: u64,
    subscription: &Subscription,
    now: Timestamp,
) -> Result<(), StoreError> {
    let id = subscription.id;
    if is_implicit(id) && change.get(&SUBSCRIPTIONS, &id)?.is_none() {
        change.put(&SUBSCRIPTIONS, &id, subscription)?;
    }
    let key = (event, id);
    if change.get(&DELIVERIES, &key)?.is_some() {
        return Ok(());
    }
    let due = pace::due(subscription, now);
    let delivery = Delivery {
        event,
        subscription: id,
        created_at: now,
        state: DeliveryState::Pending,
        due_at: Some(due),
        attempts: Vec::new(),
        replayed_at: None,
    };
    change.put(&DELIVERIES, &key, &delivery)?;
    change.put(&OUTBOX, &(due.millis(), event, id), &())
}

/// Tells whether a subscription is the address of a publisher or a vendor.
pub fn is_implicit(id: u64) -> bool {
    id & IMPLICIT != 0
}

/// Tells whether a subscription is still somebody's: an address may have been taken away from the
/// publisher or the vendor whose it was.
///
/// # Errors
/// If the store fails.
pub fn is_current(store: &Store, row: &Subscription) -> Result<bool, StoreError> {
    if !is_implicit(row.id) {
        return Ok(true);
    }
    let emails = match &row.audience {
        Audience::Admin => None,
        Audience::Publisher(id) => store.get(&PUBLISHERS, id)?.map(|row| row.emails),
        Audience::Vendor(id) => store.get(&VENDORS, id)?.map(|row| row.emails),
    };
    let ours = |to: String| address(row.audience.clone(), to, row.created_at).id == row.id;
    Ok(emails.unwrap_or_default().into_iter().any(ours))
}

/// Returns whom an event is told to.
fn targets(
    store: &Store,
    event: &Event,
    all: &[Subscription],
) -> Result<Vec<Subscription>, StoreError> {
    let explicit = all.iter().filter(|row| !is_implicit(row.id)).cloned();
    let mut found = Vec::new();
    for subscription in explicit.chain(implicit(store, event, all)?) {
        let wanted = subscription.disabled.is_none() && is_wanted(&subscription, event.kind);
        if wanted && words::tell(store, event, &subscription.audience)?.is_some() {
            found.push(subscription);
        }
    }
    Ok(found)
}

fn is_wanted(subscription: &Subscription, kind: EventKind) -> bool {
    match subscription.kinds.is_empty() {
        true => concerns_people(&subscription.audience, kind),
        false => subscription.kinds.contains(&kind),
    }
}

/// Returns the subscriptions that the addresses of the publisher and the vendors are whom an
/// event may concern; who changed how he is told by one has a row.
fn implicit(
    store: &Store,
    event: &Event,
    all: &[Subscription],
) -> Result<Vec<Subscription>, StoreError> {
    let mut parties: Vec<(Audience, Vec<String>)> = Vec::new();
    if let Some(id) = &event.about.publisher
        && let Some(row) = store.get(&PUBLISHERS, id)?
    {
        parties.push((Audience::Publisher(id.clone()), row.emails));
    }
    if event.about.sha256.is_some() {
        for (id, row) in store.rows(&VENDORS, (&[], None), VENDORS_MAX)? {
            let id: VendorId = id;
            parties.push((Audience::Vendor(id), row.emails));
        }
    }
    let rows = parties.into_iter().flat_map(|(audience, emails)| {
        emails
            .into_iter()
            .map(move |to| address(audience.clone(), to, event.at))
    });
    let kept = |fresh: Subscription| {
        let row = all.iter().find(|row| row.id == fresh.id).cloned();
        row.unwrap_or(fresh)
    };
    Ok(rows.map(kept).collect())
}

/// Makes the subscription that an address is: always the same number for the same address.
fn address(audience: Audience, to: String, now: Timestamp) -> Subscription {
    let whose = serde_json::to_string(&audience).unwrap_or_default();
    let digest = Hasher::digest(format!("{whose} {to}"));
    let mut number = [0; 8];
    number.copy_from_slice(&digest[..8]);
    Subscription {
        id: IMPLICIT | (u64::from_be_bytes(number) & (IMPLICIT - 1)),
        audience,
        channel: Channel::Mail { to },
        kinds: BTreeSet::new(),
        pace: Pace::Immediate,
        quiet: None,
        created_at: now,
        creator: "acquit".to_owned(),
        disabled: None,
    }
}

/// Tells whether a kind of event is told to people who did not say which they want.
fn concerns_people(audience: &Audience, kind: EventKind) -> bool {
    use EventKind as K;
    let of_incidents = matches!(
        kind,
        K::IncidentOpened
            | K::IncidentReopened
            | K::IncidentResolved
            | K::IncidentKept
            | K::IncidentOverdue
            | K::VendorCommented
            | K::FileRequested
            | K::DisputeSent
            | K::DisputeBounced
            | K::DisputeUnanswered
            | K::DisputeDelayed
            | K::QuotaReached
            | K::SubscriptionDisabled
    );
    let of_the_appliance = matches!(
        kind,
        K::UpdateFailed | K::CandidateRejected | K::LicenseExpiring
    );
    match audience {
        Audience::Admin => of_incidents || of_the_appliance,
        Audience::Publisher(_) => {
            let of_the_collection =
                matches!(kind, K::FileAnswered | K::FileDownloaded | K::PolicyChanged);
            of_incidents || of_the_collection
        }
        Audience::Vendor(_) => matches!(
            kind,
            K::IncidentOpened | K::IncidentReopened | K::IncidentResolved | K::FileAnswered
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_person_is_told_to_people_and_no_vendor() {
        let publisher = Audience::Publisher("acme".parse().unwrap());
        let vendor = Audience::Vendor("clam".parse().unwrap());
        for kind in [
            EventKind::DisputeUnanswered,
            EventKind::DisputeDelayed,
            EventKind::DisputeBounced,
        ] {
            assert!(concerns_people(&Audience::Admin, kind));
            assert!(concerns_people(&publisher, kind));
            assert!(!concerns_people(&vendor, kind));
        }
    }
}
