//! Makes what deliveries are due, writes down what came of each, and when it is tried again.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::account::hand_over;
use super::channel::{Outcome, Parcel, name, target};
use super::outbox::{self, Bundle, Busy};
use super::record::{Record, chance, disable};
use super::words::{self, Told};
use super::{Notifier, TICK, TROUBLE, pace, route};
use crate::model::{Subscription, Timestamp};
use crate::store::{Change, DELIVERIES, EVENTS, OUTBOX, SUBSCRIPTIONS, StoreError};

/// Deliveries under way at the same time.
const SLOTS: usize = 32;
/// How long those under way may take to end when the daemon does; it waits a little longer itself.
const DRAIN: Duration = Duration::from_secs(15);

impl Notifier {
    /// Makes what is due. Told to end it takes nothing new, and waits for the answers to what it
    /// has begun: what was sent without its answer being written down is sent again.
    pub(super) async fn send_all(&self, shutdown: &CancellationToken) {
        let (mut busy, mut slots) = (Busy::default(), FuturesUnordered::new());
        while !shutdown.is_cancelled() {
            for (bundle, endpoint) in self.due(&busy, SLOTS.saturating_sub(slots.len())).await {
                busy.take(bundle.subscription, &endpoint);
                slots.push(self.exchange(bundle, endpoint));
            }
            tokio::select! {
                Some((subscription, endpoint)) = slots.next() => {
                    busy.free(subscription, &endpoint);
                }
                () = self.work.notified() => {}
                () = tokio::time::sleep(TICK) => {}
                () = shutdown.cancelled() => {}
            }
        }
        let drained = async { while slots.next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("Grace period over, giving up deliveries without an answer");
        }
    }

    /// Returns what may be sent now, with its endpoint.
    async fn due(&self, busy: &Busy, free: usize) -> Vec<(Bundle, String)> {
        let (store, now) = (self.store.clone(), crate::system::now());
        let busy = busy.clone();
        let look = move || outbox::due(&store, (busy, free), now);
        let due = tokio::task::spawn_blocking(look).await;
        let due = due.map_err(|error| StoreError::Failed {
            reason: error.to_string(),
        });
        match due.and_then(|due| due) {
            Ok(due) => {
                if free > 0 {
                    let waiting = i64::try_from(due.waiting).unwrap_or(i64::MAX);
                    self.metrics.outbox_waiting.set(waiting);
                }
                due.bundles
            }
            Err(error) => {
                tracing::error!(error = %error, "Cannot read the outbox");
                tokio::time::sleep(TROUBLE).await;
                Vec::new()
            }
        }
    }

    async fn exchange(&self, bundle: Bundle, endpoint: String) -> (u64, String) {
        if let Err(error) = self.send(&bundle).await {
            tracing::error!(error = %error, "Cannot make a delivery");
            tokio::time::sleep(TROUBLE).await;
        }
        (bundle.subscription, endpoint)
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
        if !route::is_current(&self.store, &row)? {
            let never = Outcome::Never("the address was removed".to_owned());
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
        let count = bundle.places.len();
        Ok(match slot {
            Some(slot) => format!("digest_{}_{event}_{subscription}", slot.seconds()),
            None if count > 1 => format!("burst_{count}_{event}_{subscription}"),
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
        let (places, id) = (bundle.places.clone(), bundle.subscription);
        let write = move |change: &mut Change<'_>| {
            for place in &places {
                record.write(change, *place)?;
            }
            match &record.outcome {
                Outcome::Gone(reason) => disable(change, id, reason, record.now),
                Outcome::Accepted(_) | Outcome::Later(..) | Outcome::Never(_) => Ok(()),
            }
        };
        self.store.write(write).await
    }
}
