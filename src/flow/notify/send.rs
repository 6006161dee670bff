//! Makes what deliveries are due, writes down what came of each, and when it is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::account::hand_over;
use super::channel::{Outcome, Parcel, endpoint, name, target};
use super::record::{Record, chance, disable};
use super::words::{self, Told};
use super::{Notifier, TICK, TROUBLE, pace};
use crate::model::{Subscription, Timestamp};
use crate::store::{Change, DELIVERIES, EVENTS, OUTBOX, SUBSCRIPTIONS, StoreError};

/// Deliveries under way at the same time.
const SLOTS: usize = 32;
/// Of these to the same endpoint.
const SLOTS_PER_ENDPOINT: usize = 8;
/// Rows of the outbox looked at for free slots.
const LOOK: usize = 100_000;
/// Rows read at a time.
const STEP: usize = 500;
/// Events in one digest.
const DIGEST: usize = 200;

/// Place of a delivery in the outbox.
pub type Place = (u64, u64, u64);

/// What is being sent, so that nothing is sent twice at once and nobody holds all slots.
#[derive(Debug, Default)]
struct Busy {
    subscriptions: BTreeSet<u64>,
    endpoints: BTreeMap<String, usize>,
}

impl Busy {
    fn take(&mut self, subscription: u64, endpoint: &str) -> bool {
        let used = self.endpoints.entry(endpoint.to_owned()).or_default();
        if *used >= SLOTS_PER_ENDPOINT || !self.subscriptions.insert(subscription) {
            return false;
        }
        *used += 1;
        true
    }

    fn free(&mut self, subscription: u64, endpoint: &str) {
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
#[derive(Debug)]
struct Bundle {
    subscription: u64,
    places: Vec<Place>,
}

impl Notifier {
    pub(super) async fn send_all(&self) {
        let (mut busy, mut slots) = (
            Busy::default(),
            futures_util::stream::FuturesUnordered::new(),
        );
        loop {
            match self.next(&mut busy, SLOTS - slots.len().min(SLOTS)) {
                Ok(bundles) => {
                    slots.extend(bundles.into_iter().map(|(bundle, endpoint)| async move {
                        if let Err(error) = self.send(&bundle).await {
                            tracing::error!(error = %error, "Cannot make a delivery");
                            tokio::time::sleep(TROUBLE).await;
                        }
                        (bundle.subscription, endpoint)
                    }))
                }
                Err(error) => {
                    tracing::error!(error = %error, "Cannot read the outbox");
                    tokio::time::sleep(TROUBLE).await;
                }
            }
            tokio::select! {
                Some((subscription, endpoint)) = futures_util::StreamExt::next(&mut slots) => {
                    busy.free(subscription, &endpoint);
                }
                () = self.work.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Returns what is due and may be sent now, with its endpoint.
    fn next(&self, busy: &mut Busy, free: usize) -> Result<Vec<(Bundle, String)>, StoreError> {
        let now = crate::system::now().millis();
        let (mut found, mut after, mut looked) = (Vec::new(), None::<Place>, 0);
        let mut waiting = 0_i64;
        while looked < LOOK && found.len() < free {
            let places = self.store.keys_after(&OUTBOX, after.as_ref(), STEP)?;
            let last = places.last().copied();
            looked += places.len();
            waiting = i64::try_from(looked).unwrap_or(i64::MAX);
            for place in places {
                if place.0 > now || found.len() >= free {
                    break;
                }
                if !busy.subscriptions.contains(&place.2)
                    && let Some(bundle) = self.bundle(place)?
                {
                    let channel = self.store.get(&SUBSCRIPTIONS, &place.2)?;
                    let endpoint = channel.map_or_else(String::new, |row| endpoint(&row.channel));
                    if busy.take(place.2, &endpoint) {
                        found.push((bundle, endpoint));
                    }
                }
            }
            match last {
                Some(last) if last.0 <= now => after = Some(last),
                _ => break,
            }
        }
        if free > 0 {
            self.metrics.outbox_waiting.set(waiting);
        }
        Ok(found)
    }

    /// Returns what is delivered together with what is at a place.
    fn bundle(&self, place: Place) -> Result<Option<Bundle>, StoreError> {
        let (_, event, subscription) = place;
        let mut places = vec![place];
        let row = self.store.get(&SUBSCRIPTIONS, &subscription)?;
        let delivery = self.store.get(&DELIVERIES, &(event, subscription))?;
        let slot = row
            .as_ref()
            .zip(delivery.as_ref())
            .and_then(|(row, delivery)| pace::slot(row, delivery.created_at));
        if let (Some(row), Some(slot)) = (&row, slot) {
            places = self.digest(row, slot, place.0)?;
        }
        Ok((!places.is_empty()).then_some(Bundle {
            subscription,
            places,
        }))
    }

    /// Returns what is in the digest of a slot and due in the same moment: tried again, it is the
    /// same digest with the same id.
    fn digest(
        &self,
        row: &Subscription,
        slot: Timestamp,
        due: u64,
    ) -> Result<Vec<Place>, StoreError> {
        let (mut found, mut after) = (Vec::new(), None::<Place>);
        while found.len() < DIGEST {
            let places = self.store.keys_after(&OUTBOX, after.as_ref(), STEP)?;
            after = places.last().copied();
            let ours = places.iter();
            for place in ours.filter(|place| place.0 == due && place.2 == row.id) {
                let delivery = self.store.get(&DELIVERIES, &(place.1, place.2))?;
                let same = delivery.and_then(|delivery| pace::slot(row, delivery.created_at));
                if same == Some(slot) && found.len() < DIGEST {
                    found.push(*place);
                }
            }
            if after.is_none_or(|last| last.0 > due) {
                break;
            }
        }
        Ok(found)
    }

    /// Makes one delivery, or a digest of them.
    async fn send(&self, bundle: &Bundle) -> Result<(), StoreError> {
        let now = crate::system::now();
        let Some(row) = self.store.get(&SUBSCRIPTIONS, &bundle.subscription)? else {
            let never = Outcome::Never("the subscription was removed".to_owned());
            return self.record(bundle, None, &never).await;
        };
        if row.disabled.is_some() {
            let never = Outcome::Never("the subscription is switched off".to_owned());
            return self.record(bundle, None, &never).await;
        }
        if let Some(until) = pace::quiet_until(&row, now) {
            return self.postpone(bundle, until).await;
        }
        let (told, hidden) = self.told(bundle, &row)?;
        if !hidden.places.is_empty() {
            let never = Outcome::Never("the other side may not know of it any more".to_owned());
            self.record(&hidden, Some(&row), &never).await?;
        }
        if told.0.places.is_empty() {
            return Ok(());
        }
        let (bundle, items) = told;
        let outcome = match self.channels.obstacle(&row.channel) {
            Some(reason) => Outcome::Later(reason, None),
            None => self.hand_over(&bundle, &row, items).await?,
        };
        let channel = name(&row.channel);
        let count = &self.metrics.deliveries;
        count.with_label_values(&[channel, outcome.as_str()]).inc();
        self.record(&bundle, Some(&row), &outcome).await
    }

    /// Puts into words what may be told, and sets apart what may not.
    fn told(
        &self,
        bundle: &Bundle,
        row: &Subscription,
    ) -> Result<((Bundle, Vec<Told>), Bundle), StoreError> {
        let (mut items, mut open, mut hidden) = (Vec::new(), Vec::new(), Vec::new());
        for place in &bundle.places {
            let event = self.store.get(&EVENTS, &place.1)?;
            let told = match &event {
                Some(event) => words::tell(&self.store, event, &row.audience)?,
                None => None,
            };
            match told {
                Some(told) => {
                    items.push(told);
                    open.push(*place);
                }
                None => hidden.push(*place),
            }
        }
        let of = |places| Bundle {
            subscription: bundle.subscription,
            places,
        };
        Ok(((of(open), items), of(hidden)))
    }

    async fn hand_over(
        &self,
        bundle: &Bundle,
        row: &Subscription,
        items: Vec<Told>,
    ) -> Result<Outcome, StoreError> {
        let parcel = Parcel {
            id: self.parcel_id(bundle, row)?,
            items,
            at: crate::system::now(),
        };
        let means = (&self.channels, &self.store);
        hand_over(means, &row.channel, &parcel, "acquit").await
    }

    /// Returns an id that is the same whenever the same is delivered again.
    fn parcel_id(&self, bundle: &Bundle, row: &Subscription) -> Result<String, StoreError> {
        let Some((_, event, subscription)) = bundle.places.first().copied() else {
            return Ok(String::new());
        };
        let delivery = self.store.get(&DELIVERIES, &(event, subscription))?;
        let slot = delivery.and_then(|delivery| pace::slot(row, delivery.created_at));
        Ok(match slot {
            Some(slot) => format!("digest_{}_{event}_{subscription}", slot.seconds()),
            None => format!("msg_{event}_{subscription}"),
        })
    }

    async fn postpone(&self, bundle: &Bundle, until: Timestamp) -> Result<(), StoreError> {
        let places = bundle.places.clone();
        let write = move |change: &mut Change<'_>| {
            for place in &places {
                let key = (place.1, place.2);
                change.remove(&OUTBOX, place);
                if let Some(mut delivery) = change.get(&DELIVERIES, &key)? {
                    delivery.due_at = Some(until);
                    change.put(&DELIVERIES, &key, &delivery)?;
                    change.put(&OUTBOX, &(until.millis(), key.0, key.1), &())?;
                }
            }
            Ok(())
        };
        self.store.write(write).await
    }

    /// Writes down what came of a try, for every delivery that was in it.
    async fn record(
        &self,
        bundle: &Bundle,
        row: Option<&Subscription>,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let record = Record {
            now: crate::system::now(),
            outcome: outcome.clone(),
            to: row.map(|row| target(&row.channel)).unwrap_or_default(),
            give_up: Duration::from_secs(u64::from(self.config.notifications.give_up_hours) * 3600),
            chance: chance(),
        };
        let (places, row) = (bundle.places.clone(), row.cloned());
        let write = move |change: &mut Change<'_>| {
            for place in &places {
                record.write(change, *place)?;
            }
            match (&record.outcome, row) {
                (Outcome::Gone(reason), Some(row)) => disable(change, row, reason, record.now),
                _ => Ok(()),
            }
        };
        self.store.write(write).await
    }
}
