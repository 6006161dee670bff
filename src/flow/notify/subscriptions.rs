//! Subscriptions as people make, change, try and remove them.

use std::collections::BTreeSet;

use serde_json::json;

use super::account;
use super::channel::{self, Channels, Outcome, Parcel};
use super::guard::Allowed;
use super::route::{self, SUBSCRIPTIONS_MAX};
use super::words::Told;
use crate::config::Config;
use crate::flow::mail::{Mailer, is_address};
use crate::model::{
    Audience, Channel, Delivery, DeliveryState, EventKind, Pace, QuietHours, Subscription,
    Timestamp,
};
use crate::store::{Change, DELIVERIES, OUTBOX, SUBSCRIPTIONS, Store, StoreError};

pub use super::channel::{name, target};
pub use super::route::is_implicit;

/// Subscriptions one audience may have.
const PER_AUDIENCE: usize = 100;
/// Secrets that sign at the same time.
const SECRETS: usize = 2;

/// Why a subscription is not made or changed.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// It cannot be as it is wanted.
    #[error("{0}")]
    Invalid(String),
    /// There are too many.
    #[error("there are {PER_AUDIENCE} subscriptions already; remove one first")]
    TooMany,
    /// There is none, or no delivery, of that number.
    #[error("not found")]
    Unknown,
    /// It cannot be done with this one.
    #[error("{0}")]
    Unfit(String),
    /// The store or the ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A subscription to be made.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Whose events.
    pub audience: Audience,
    /// By which way; a webhook without secrets gets one.
    pub channel: Channel,
    /// Which kinds of events.
    pub kinds: BTreeSet<EventKind>,
    /// Whether at once or together.
    pub pace: Pace,
    /// When not to disturb.
    pub quiet: Option<QuietHours>,
    /// Who makes it.
    pub creator: String,
}

/// What is changed of a subscription; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Which kinds of events.
    pub kinds: Option<BTreeSet<EventKind>>,
    /// Whether at once or together.
    pub pace: Option<Pace>,
    /// When not to disturb.
    pub quiet: Option<Option<QuietHours>>,
    /// Since when and why it is off.
    pub disabled: Option<Option<(Timestamp, String)>>,
}

/// Makes a subscription.
///
/// # Errors
/// If it cannot be as it is wanted, or there are too many.
pub async fn create(
    store: &Store,
    config: &Config,
    wanted: Wanted,
    now: Timestamp,
) -> Result<Subscription, NoticeError> {
    let channel = with_secret(checked(config, wanted.channel)?)?;
    check_times(wanted.pace, wanted.quiet.as_ref())?;
    let row = Subscription {
        id: now.millis() * 1000,
        audience: wanted.audience,
        channel,
        kinds: wanted.kinds,
        pace: wanted.pace,
        quiet: wanted.quiet,
        created_at: now,
        creator: wanted.creator,
        disabled: None,
    };
    let made = store.write(move |change| insert(change, row)).await?;
    made.ok_or(NoticeError::TooMany)
}

fn insert(
    change: &mut Change<'_>,
    mut row: Subscription,
) -> Result<Option<Subscription>, StoreError> {
    let all = change.list(&SUBSCRIPTIONS, (&[], None), SUBSCRIPTIONS_MAX)?;
    let same =
        |(id, other): &&(u64, Subscription)| !is_implicit(*id) && other.audience == row.audience;
    if all.len() >= SUBSCRIPTIONS_MAX || all.iter().filter(same).count() >= PER_AUDIENCE {
        return Ok(None);
    }
    while change.get(&SUBSCRIPTIONS, &row.id)?.is_some() {
        row.id += 1;
    }
    change.put(&SUBSCRIPTIONS, &row.id, &row)?;
    Ok(Some(row))
}

fn checked(config: &Config, channel: Channel) -> Result<Channel, NoticeError> {
    let refused = match &channel {
        Channel::Mail { to } if is_address(to) => None,
        Channel::Mail { to } => Some(format!("{to:?} is no mail address")),
        Channel::Webhook { url, .. } | Channel::Slack { url } | Channel::Teams { url } => {
            let allowed = Allowed::new(&config.notifications.allowed_hosts);
            allowed.check(url).err()
        }
        Channel::Command { name } if config.notifications.commands.contains_key(name) => None,
        Channel::Command { name } => Some(format!(
            "there is no command {name:?}; the operator names them in notifications.commands"
        )),
    };
    refused.map_or(Ok(channel), |reason| Err(NoticeError::Invalid(reason)))
}

fn with_secret(channel: Channel) -> Result<Channel, NoticeError> {
    match channel {
        Channel::Webhook { url, secrets } if secrets.is_empty() => {
            let secrets = vec![secret()?];
            Ok(Channel::Webhook { url, secrets })
        }
        other => Ok(other),
    }
}

fn secret() -> Result<String, NoticeError> {
    let made = channel::new_secret();
    made.map_err(|error| failed(&error))
}

fn failed(error: &dyn std::fmt::Display) -> NoticeError {
    NoticeError::Store(StoreError::Failed {
        reason: error.to_string(),
    })
}

fn check_times(pace: Pace, quiet: Option<&QuietHours>) -> Result<(), NoticeError> {
    let hours = match pace {
        Pace::Daily { hour } => vec![hour],
        Pace::Immediate => Vec::new(),
    };
    let quiet_hours = quiet
        .into_iter()
        .flat_map(|quiet| [quiet.from, quiet.until]);
    if hours.into_iter().chain(quiet_hours).any(|hour| hour > 23) {
        let reason = "an hour is a number from 0 to 23".to_owned();
        return Err(NoticeError::Invalid(reason));
    }
    let zone = quiet.and_then(|quiet| quiet.zone.as_deref());
    match zone.filter(|zone| jiff::tz::TimeZone::get(zone).is_err()) {
        Some(zone) => Err(NoticeError::Invalid(format!(
            "there is no time zone {zone:?}; say e.g. \"Europe/Berlin\""
        ))),
        None => Ok(()),
    }
}

/// Changes a subscription.
///
/// # Errors
/// If there is none, or it cannot be so.
pub async fn edit(store: &Store, id: u64, edit: Edit) -> Result<Subscription, NoticeError> {
    let row = store.get(&SUBSCRIPTIONS, &id)?;
    let row = row.ok_or(NoticeError::Unknown)?;
    let pace = edit.pace.unwrap_or(row.pace);
    let quiet = edit.quiet.clone().unwrap_or(row.quiet);
    check_times(pace, quiet.as_ref())?;
    let write = move |change: &mut Change<'_>| {
        let Some(mut row) = change.get(&SUBSCRIPTIONS, &id)? else {
            return Ok(None);
        };
        row.pace = pace;
        row.quiet = quiet;
        row.kinds = edit.kinds.unwrap_or(row.kinds);
        row.disabled = edit.disabled.unwrap_or(row.disabled);
        change.put(&SUBSCRIPTIONS, &id, &row)?;
        Ok(Some(row))
    };
    store.write(write).await?.ok_or(NoticeError::Unknown)
}

/// Removes a subscription; what is on its way to it is given up.
///
/// # Errors
/// If there is none, or it is an address a publisher or a vendor still has.
pub async fn remove(store: &Store, id: u64) -> Result<(), NoticeError> {
    let row = store.get(&SUBSCRIPTIONS, &id)?;
    let row = row.ok_or(NoticeError::Unknown)?;
    if is_implicit(id) && route::is_current(store, &row)? {
        let reason = "this is an address of a publisher or a vendor: remove it there, or switch \
                      the subscription off";
        return Err(NoticeError::Unfit(reason.to_owned()));
    }
    let write = move |change: &mut Change<'_>| {
        change.remove(&SUBSCRIPTIONS, &id);
        Ok(())
    };
    Ok(store.write(write).await?)
}

/// Gives a webhook another secret; the one before signs too until the next time.
///
/// # Errors
/// If there is none, or it is no webhook.
pub async fn rotate(store: &Store, id: u64) -> Result<(Subscription, String), NoticeError> {
    let fresh = secret()?;
    let added = fresh.clone();
    let write = move |change: &mut Change<'_>| {
        let Some(mut row) = change.get(&SUBSCRIPTIONS, &id)? else {
            return Ok(Err(NoticeError::Unknown));
        };
        let Channel::Webhook { secrets, .. } = &mut row.channel else {
            let reason = "only a webhook has a secret".to_owned();
            return Ok(Err(NoticeError::Unfit(reason)));
        };
        secrets.insert(0, added);
        secrets.truncate(SECRETS);
        change.put(&SUBSCRIPTIONS, &id, &row)?;
        Ok(Ok(row))
    };
    Ok((store.write(write).await??, fresh))
}

/// Makes a delivery once more, at once, and again as long as a new one if it fails.
///
/// # Errors
/// If there is none.
pub async fn replay(
    store: &Store,
    key: (u64, u64),
    now: Timestamp,
) -> Result<Delivery, NoticeError> {
    let write = move |change: &mut Change<'_>| {
        let Some(mut delivery) = change.get(&DELIVERIES, &key)? else {
            return Ok(None);
        };
        if let Some(due) = delivery.due_at {
            change.remove(&OUTBOX, &(due.millis(), key.0, key.1));
        }
        delivery.state = DeliveryState::Pending;
        (delivery.due_at, delivery.replayed_at) = (Some(now), Some(now));
        change.put(&OUTBOX, &(now.millis(), key.0, key.1), &())?;
        change.put(&DELIVERIES, &key, &delivery)?;
        Ok(Some(delivery))
    };
    store.write(write).await?.ok_or(NoticeError::Unknown)
}

/// Tells a subscription that it works; returns what the other side says.
///
/// # Errors
/// If the configuration cannot be used or the ledger cannot be written.
pub async fn try_out(
    store: &Store,
    config: &Config,
    row: &Subscription,
    now: Timestamp,
) -> Result<Outcome, NoticeError> {
    let mailer = Mailer::open(&config.mail).map_err(|error| failed(&format!("{error:#}")))?;
    let channels = Channels::new(&config.notifications, mailer);
    let channels = channels.map_err(|error| failed(&format!("{error:#}")))?;
    if let Some(reason) = channels.obstacle(&row.channel) {
        return Ok(Outcome::Later(reason, None));
    }
    let parcel = Parcel {
        id: format!("test_{}_{}", row.id, now.millis()),
        items: vec![trial()],
        at: now,
    };
    let means = (&channels, store);
    Ok(account::hand_over(means, &row.channel, &parcel, &row.creator).await?)
}

fn trial() -> Told {
    let text = "Acquit can reach you here".to_owned();
    Told {
        facts: Vec::new(),
        json: json!({ "text": text }),
        rule: "test of a subscription".to_owned(),
        kind: "test".to_owned(),
        publisher: None,
        sha256: None,
        text,
    }
}

/// Tells how many subscriptions there can be.
pub const fn most() -> usize {
    route::SUBSCRIPTIONS_MAX
}
