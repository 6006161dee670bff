//! Makes disputes of incidents that open, where that can be done without a person, and ends those
//! of incidents that are over.

use super::draft::{Order, Wish};
use super::family::Kin;
use super::post::ours;
use super::record::put;
use super::words::Words;
use super::{DisputeError, Disputes};
use crate::model::{DisputeState, Event, EventKind, Incident, Timestamp};
use crate::store::{Change, DISPUTES, DISPUTES_OF, EVENTS, INCIDENTS, META, RowKey, StoreError};

/// Events are written down in nearly the order of their numbers: those of the last seconds are
/// looked at again. In microseconds.
const AGAIN: u64 = 10_000_000;
/// Name of the number of the last event looked at.
const SEEN: &str = "dispute events";

/// Makes disputes of incidents that open, if that is wanted, and ends those that are over.
///
/// # Errors
/// If the store fails.
pub async fn events(disputes: &Disputes, now: Timestamp) -> Result<(), StoreError> {
    let store = &disputes.store;
    let last = match store.get(&META, &SEEN.to_owned())? {
        Some(last) => last,
        // What happened before disputes were looked after is left to people.
        None => return seen(disputes, now.millis() * 1000).await,
    };
    let (mut from, mut newest) = (last.saturating_sub(AGAIN), last);
    loop {
        let page = store.list(&EVENTS, (&[], Some(&from.to_bytes())), 500)?;
        for (number, event) in &page.rows {
            follow(disputes, event, now).await?;
            newest = newest.max(*number);
            from = number + 1;
        }
        if page.next.is_none() {
            break;
        }
    }
    match newest > last {
        true => seen(disputes, newest).await,
        false => Ok(()),
    }
}

async fn seen(disputes: &Disputes, number: u64) -> Result<(), StoreError> {
    let write = move |change: &mut Change<'_>| change.put(&META, &SEEN.to_owned(), &number);
    disputes.store.write(write).await
}

async fn follow(disputes: &Disputes, event: &Event, now: Timestamp) -> Result<(), StoreError> {
    let Some(incident) = event.about.incident else {
        return Ok(());
    };
    match event.kind {
        EventKind::IncidentResolved | EventKind::IncidentKept => {
            close(disputes, incident, now).await
        }
        EventKind::IncidentOpened | EventKind::IncidentReopened
            if disputes.config.disputes.automatic =>
        {
            make(disputes, incident, event, now).await
        }
        _ => Ok(()),
    }
}

/// Makes and sends a dispute of an incident, where that can be done without a person; of a family
/// only the incident that stands for it has one.
async fn make(
    disputes: &Disputes,
    incident: u64,
    event: &Event,
    now: Timestamp,
) -> Result<(), StoreError> {
    let store = &disputes.store;
    let prefix = incident.to_be_bytes();
    for ((_, id), ()) in store.list(&DISPUTES_OF, (&prefix, None), 1000)?.rows {
        let made = store.get(&DISPUTES, &id)?;
        // There is one already; whoever took it back knew why.
        if made.is_some_and(|made| made.created_at >= event.at || !made.state.is_over()) {
            return Ok(());
        }
    }
    let order = Order {
        incident,
        file: Wish::Policy,
        vendor: None,
        send: true,
        kin: Kin::Together,
        words: Words::default(),
    };
    match disputes.preview(&order) {
        Ok(draft) if !draft.by_mail => return Ok(()),
        Ok(_) => {}
        Err(DisputeError::Store(error)) => return Err(error),
        Err(reason) => {
            tracing::info!(incident, %reason, "No dispute is made by itself");
            return Ok(());
        }
    }
    match disputes.create(&order, &ours(now)).await {
        Err(DisputeError::Store(error)) => Err(error),
        Err(reason) => {
            tracing::info!(incident, %reason, "No dispute is made by itself");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

async fn close(disputes: &Disputes, incident: u64, now: Timestamp) -> Result<(), StoreError> {
    let write = move |change: &mut Change<'_>| {
        let over = change.get(&INCIDENTS, &incident)?;
        if over.is_some_and(|it: Incident| it.state.is_live()) {
            return Ok(());
        }
        let prefix = incident.to_be_bytes();
        for ((_, id), ()) in change.list(&DISPUTES_OF, (&prefix, None), 1000)? {
            let Some(mut dispute) = change.get(&DISPUTES, &id)? else {
                continue;
            };
            if dispute.state.is_over() {
                continue;
            }
            dispute.state = DisputeState::Closed;
            put(
                change,
                &mut dispute,
                (&format!("Dispute {id} is closed"), &ours(now)),
            )?;
        }
        Ok(())
    };
    disputes.store.write(write).await
}
