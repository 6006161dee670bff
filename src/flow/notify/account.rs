//! The account of what notifications tell: in the ledger before it leaves, with its real size.

use super::channel::{Outcome, Parcel, name, target};
use super::{Channels, words::Told};
use crate::model::{Channel, LedgerEntry, LedgerKind};
use crate::store::{Store, StoreError};

/// Makes what leaves, writes it down, and lets it leave; `actor` is who has it sent.
///
/// # Errors
/// If the ledger cannot be written: then nothing left.
pub async fn hand_over(
    (channels, store): (&Channels, &Store),
    channel: &Channel,
    parcel: &Parcel,
    actor: &str,
) -> Result<Outcome, StoreError> {
    let load = match channels.make(channel, parcel).await {
        Ok(load) => load,
        Err(outcome) => return Ok(outcome),
    };
    let lines = parcel.items.iter().enumerate().map(|(at, told)| {
        let entry = line((parcel, told), channel, actor);
        // What is told together has one size, that of the whole.
        let bytes = (at == 0).then(|| load.size());
        store.ledger().append(LedgerEntry { bytes, ..entry })
    });
    for written in futures_util::future::join_all(lines).await {
        written.map_err(|error| StoreError::Failed {
            reason: error.to_string(),
        })?;
    }
    Ok(channels.send(load, &parcel.id).await)
}

fn line((parcel, told): (&Parcel, &Told), channel: &Channel, actor: &str) -> LedgerEntry {
    let text = format!(
        "notification {} of {} by {}",
        parcel.id,
        told.kind,
        name(channel)
    );
    LedgerEntry {
        publisher: told.publisher.clone(),
        sha256: told.sha256,
        to: Some(target(channel)),
        rule: Some(told.rule.clone()),
        ..LedgerEntry::new(parcel.at, LedgerKind::Egress, actor.to_owned(), text)
    }
}
