//! What an answer may tell of a file that several brought, and the account of bytes that leave.

use super::App;
use super::auth::{self, Caller};
use super::error::ApiError;
use super::now;
use crate::flow::policy::{self, Consent};
use crate::model::{FileHash, KeyRole, LedgerEntry, LedgerKind, PublisherId, Sha256, Timestamp};
use crate::store::{
    BLOB_ITEMS, BlobRow, GRANTS, HOLDERS, Read, Store, StoreError, VENDORS, blob_items_prefix,
};

/// Whoever brought a blob that are looked at.
const GRANTS_LOOKED_AT: usize = 100;
/// Names of a blob that are shown.
const NAMES: usize = 32;

/// How a file came here, as far as the caller may know.
#[derive(Debug)]
pub struct Story {
    /// Names it came under, newest first.
    pub names: Vec<String>,
    /// When it first came.
    pub first: Timestamp,
    /// When it last came.
    pub last: Timestamp,
    /// How often it came.
    pub times: u64,
}

impl Story {
    /// Tells a blob's story: all of it, or only the caller's part where others brought it too.
    ///
    /// # Errors
    /// If the store fails.
    pub fn of(store: &Store, caller: &Caller, blob: &BlobRow) -> Result<Self, StoreError> {
        let sha256 = &blob.digests.sha256;
        let span = (sha256.as_bytes().as_slice(), None);
        let grants = store.rows(&GRANTS, span, GRANTS_LOOKED_AT)?;
        let own = caller.grant();
        let holders = store.rows(&HOLDERS, span, 2)?;
        let publisher = caller.0.seat.publisher.as_ref();
        let alone = grants.iter().all(|((_, grant), _)| grant == own.as_str())
            && holders
                .iter()
                .all(|((_, holder), _)| Some(holder) == publisher);
        if caller.sees_all() || alone {
            return Ok(Self {
                names: blob.names.iter().rev().cloned().collect(),
                first: blob.first_submission_at,
                last: blob.last_submission_at,
                times: blob.times_submitted,
            });
        }
        let mine = grants.iter().find(|((_, grant), _)| grant == own.as_str());
        let since = mine.map_or(blob.last_submission_at, |(_, at)| *at);
        let names = publisher.map(|publisher| own_names(store, sha256, publisher));
        Ok(Self {
            names: names.transpose()?.unwrap_or_default(),
            first: since,
            last: since,
            times: 1,
        })
    }
}

fn own_names(
    store: &Store,
    sha256: &Sha256,
    publisher: &PublisherId,
) -> Result<Vec<String>, StoreError> {
    let prefix = blob_items_prefix(sha256, publisher);
    let items = store.rows(&BLOB_ITEMS, (&prefix, None), NAMES)?;
    let names = items.into_iter();
    let names = names.map(|((_, _, path), ())| path.tail().to_owned());
    Ok(names.collect())
}

/// Tells whether the caller may have the bytes of a blob now.
///
/// # Errors
/// If the store fails.
pub fn may_have(app: &App, caller: &Caller, sha256: &Sha256) -> Result<bool, ApiError> {
    let store = &app.api.store;
    match caller.role() {
        KeyRole::Admin | KeyRole::Publisher => Ok(caller.sees_blob(store, sha256)?),
        KeyRole::Viewer => Ok(false),
        KeyRole::Vendor => Ok(consent(store, caller, sha256)?.is_some()),
    }
}

/// Returns by whose consent a vendor may have a file.
fn consent(store: &Store, caller: &Caller, sha256: &Sha256) -> Result<Option<Consent>, ApiError> {
    let Some(vendor) = store.get(&VENDORS, caller.vendor()?)? else {
        return Ok(None);
    };
    let sight = policy::sight(store, &vendor, sha256)?;
    let Some(sight) = sight else { return Ok(None) };
    Ok(sight.file(store, sha256, &vendor.id)?.cloned())
}

/// Writes into the ledger that a file goes to somebody who did not bring it; does so before it does.
///
/// # Errors
/// If it cannot be written: then the file must not go.
pub async fn account(app: &App, caller: &Caller, sha256: &Sha256) -> Result<(), ApiError> {
    let store = &app.api.store;
    if caller.owns_blob(store, sha256)? {
        return Ok(());
    }
    let role = caller.role().as_str();
    let (publisher, rule) = match caller.role() {
        KeyRole::Vendor => {
            let gone = || ApiError::not_found("this file is not there any more");
            let consent = consent(store, caller, sha256)?.ok_or_else(gone)?;
            let policy = consent.policy.as_str();
            let rule = format!("policy {policy} of {}", consent.said_at);
            (Some(consent.publisher), rule)
        }
        KeyRole::Admin | KeyRole::Publisher | KeyRole::Viewer => {
            let span = (sha256.as_bytes().as_slice(), None);
            let holder = store.rows(&HOLDERS, span, 1)?.pop();
            (
                holder.map(|((_, holder), _)| holder),
                format!("role {role}"),
            )
        }
    };
    let text = format!("file {sha256} goes to a key of role {role}");
    let blob = store.blob(&FileHash::Sha256(*sha256))?;
    let entry = LedgerEntry {
        publisher,
        sha256: Some(*sha256),
        bytes: blob.map(|blob| blob.size_bytes),
        to: Some(format!("key {}", caller.0.id)),
        rule: Some(rule),
        ..LedgerEntry::new(now(), LedgerKind::Egress, caller.actor(), text)
    };
    auth::append(app, entry).await
}
