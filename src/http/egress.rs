//! What an answer may tell of a file that several brought, and the account of bytes that leave.

use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;

use super::auth::{self, Caller};
use super::error::ApiError;
use super::{App, download, now};
use crate::model::{KeyRole, LedgerEntry, LedgerKind, PublisherId, Sha256, Timestamp};
use crate::store::{
    BLOB_ITEMS, BlobRow, GRANTS, HOLDERS, Read, Store, StoreError, blob_items_prefix,
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

/// Tells whether the caller may have the bytes of a blob now. Vendors have routes of their own.
///
/// # Errors
/// If the store fails.
pub fn may_have(app: &App, caller: &Caller, sha256: &Sha256) -> Result<bool, ApiError> {
    match caller.role() {
        KeyRole::Admin | KeyRole::Publisher => Ok(caller.sees_blob(&app.api.store, sha256)?),
        KeyRole::Viewer | KeyRole::Vendor => Ok(false),
    }
}

/// A file on its way to somebody: what the ledger says of it.
#[derive(Debug)]
pub struct Parting {
    /// Which file.
    pub sha256: Sha256,
    /// What it is called there, e.g. `file 4e1f…`.
    pub what: String,
    /// Whose it is.
    pub publisher: Option<PublisherId>,
    /// Who asks for it.
    pub actor: String,
    /// To whom it goes.
    pub to: String,
    /// By which rule and consent.
    pub rule: String,
}

impl Parting {
    /// Makes that of a file that a key asks for by its hash.
    ///
    /// # Errors
    /// If the store fails.
    pub fn by_hash(store: &Store, caller: &Caller, sha256: Sha256) -> Result<Self, StoreError> {
        let own = caller.owns_blob(store, &sha256)?;
        let seat = caller.0.seat.publisher.clone();
        let publisher = match seat.filter(|_| own) {
            Some(publisher) => Some(publisher),
            None => {
                let span = (sha256.as_bytes().as_slice(), None);
                let holder = store.rows(&HOLDERS, span, 1)?.pop();
                holder.map(|((_, holder), _)| holder)
            }
        };
        let rule = match own {
            true => "who brought a file may have it".to_owned(),
            false => format!("role {}", caller.role().as_str()),
        };
        Ok(Self {
            what: format!("file {sha256}"),
            publisher,
            rule,
            ..Self::to_key(caller, sha256)
        })
    }

    /// Makes that of a file that goes to a key; the rest is for whoever knows by which rule.
    pub fn to_key(caller: &Caller, sha256: Sha256) -> Self {
        Self {
            sha256,
            what: String::new(),
            publisher: None,
            actor: caller.actor(),
            to: format!("key {}", caller.0.holder()),
            rule: String::new(),
        }
    }

    fn line(self, bytes: u64, whole: bool) -> LedgerEntry {
        let part = if whole { "" } else { "a part of " };
        let text = format!("{} downloads {part}{}", self.to, self.what);
        LedgerEntry {
            publisher: self.publisher,
            sha256: Some(self.sha256),
            bytes: Some(bytes),
            to: Some(self.to),
            rule: Some(self.rule),
            ..LedgerEntry::new(now(), LedgerKind::Egress, self.actor, text)
        }
    }
}

/// Sends what of a file is asked for, after the ledger has a line with just as many bytes; returns
/// how many, if any leave.
///
/// # Errors
/// If the line cannot be written, then nothing leaves; or if the file cannot be read.
pub async fn send(
    app: &App,
    parting: Parting,
    (method, headers): (&Method, &HeaderMap),
) -> Result<(Response, Option<u64>), ApiError> {
    // The answer is made, but its body is not read before the ledger has the line.
    let response = download::send(app, parting.sha256, headers).await?;
    if method == Method::HEAD || !response.status().is_success() {
        return Ok((response, None));
    }
    let bytes = response.headers().get(header::CONTENT_LENGTH);
    let bytes = bytes.and_then(|bytes| bytes.to_str().ok()?.parse().ok());
    let bytes = bytes.ok_or_else(|| ApiError::internal(&"an answer without a length"))?;
    let whole = response.status() == StatusCode::OK;
    auth::append(app, parting.line(bytes, whole)).await?;
    Ok((response, Some(bytes)))
}

/// Writes down that all of a file leaves in something else; only then it may.
///
/// # Errors
/// If the line cannot be written.
pub async fn note(app: &App, parting: Parting, bytes: u64) -> Result<(), ApiError> {
    auth::append(app, parting.line(bytes, true)).await
}
