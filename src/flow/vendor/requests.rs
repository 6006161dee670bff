//! Vendors' requests for files whose owners want to be asked.

use super::{Analyst, VendorError, act, clean, find, see};
use crate::flow::events::{self, Draft};
use crate::flow::policy::Sight;
use crate::model::{
    About, EventKind, FileRequest, PublisherId, Sha256, SharePolicy, Timestamp, VendorId,
};
use crate::store::{Change, FILE_REQUESTS, Page, Read, RowKey, Store, StoreError};

/// Longest reason, in characters.
const REASON_CHARS: usize = 2000;
/// How long a refusal stands before the vendor may ask again.
const PAUSE_SECONDS: u64 = 24 * 3600;
/// Rows read at once, and at most for one page.
const STEP: usize = 256;
const LOOK: usize = 100_000;

/// One vendor's request for one publisher's file.
pub type RequestKey = (Sha256, PublisherId, VendorId);

/// How a vendor stands with a file it may know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileAccess {
    /// Nobody lets the file itself out.
    MetadataOnly,
    /// The owner refused.
    Refused,
    /// The owner wants to be asked.
    OnRequest,
    /// The owner was asked.
    Requested,
    /// The file may be downloaded.
    Available,
}

impl FileAccess {
    /// Returns its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MetadataOnly => "metadata-only",
            Self::Refused => "refused",
            Self::OnRequest => "on-request",
            Self::Requested => "requested",
            Self::Available => "available",
        }
    }
}

/// Returns how a vendor stands with a file: the best that one of its owners lets it have.
///
/// # Errors
/// If the store fails.
pub fn access(
    read: &impl Read,
    (sha256, vendor): (&Sha256, &VendorId),
    sight: &Sight,
) -> Result<FileAccess, StoreError> {
    let mut best = FileAccess::MetadataOnly;
    for consent in &sight.consents {
        let access = match consent.policy {
            SharePolicy::File => FileAccess::Available,
            SharePolicy::FileOnRequest => {
                let key = (*sha256, consent.publisher.clone(), vendor.clone());
                read.row(&FILE_REQUESTS, &key)?
                    .map_or(FileAccess::OnRequest, |request| stands(&request))
            }
            SharePolicy::MetadataOnly | SharePolicy::Never => FileAccess::MetadataOnly,
        };
        best = best.max(access);
    }
    Ok(best)
}

/// Returns how a vendor stands with a file that it asked for.
pub const fn stands(request: &FileRequest) -> FileAccess {
    match (&request.granted, &request.refused) {
        (_, Some(_)) => FileAccess::Refused,
        (Some(_), None) => FileAccess::Available,
        (None, None) => FileAccess::Requested,
    }
}

/// Asks every owner that wants to be asked for a file.
///
/// # Errors
/// If the vendor may not know of it, has it, has asked, or nobody wants to be asked.
pub async fn ask(
    store: &Store,
    analyst: Analyst,
    (sha256, reason): (Sha256, String),
) -> Result<FileRequest, VendorError> {
    let ask = move |change: &mut Change<'_>| {
        let vendor = find(change, &analyst.vendor)?;
        let sight = see(change, &vendor, &sha256)?;
        let request = FileRequest {
            asked_at: analyst.now,
            reason: clean(&reason, REASON_CHARS),
            granted: None,
            refused: None,
        };
        let owners = to_ask(change, &sight, (&sha256, &analyst))?;
        if request.reason.is_empty() {
            let message = "say in `reason` why the file is needed";
            return Err(VendorError::Invalid(message.to_owned()));
        }
        for (publisher, path) in owners {
            let key = (sha256, publisher.clone(), analyst.vendor.clone());
            change.put(&FILE_REQUESTS, &key, &request)?;
            let text = format!("Vendor {} asks for the file {sha256}", analyst.vendor);
            let about = About {
                publisher: Some(publisher),
                path,
                sha256: Some(sha256),
                incident: None,
                actor: Some(analyst.actor.clone()),
            };
            let mut draft = Draft::about(analyst.now, EventKind::FileRequested, about, text);
            draft.details = serde_json::json!({"vendor": analyst.vendor, "reason": request.reason});
            events::raise(change, draft)?;
        }
        Ok(request)
    };
    act(store, ask).await
}

type Owner = (PublisherId, Option<crate::model::ItemPath>);

fn to_ask(
    change: &Change<'_>,
    sight: &Sight,
    (sha256, analyst): (&Sha256, &Analyst),
) -> Result<Vec<Owner>, VendorError> {
    match access(change, (sha256, &analyst.vendor), sight)? {
        FileAccess::Available => {
            let message = "the file is yours to download already";
            return Err(VendorError::Exists(message.to_owned()));
        }
        FileAccess::MetadataOnly => {
            let message = "the owner of this file lets nobody have it: comment on the hash instead";
            return Err(VendorError::Forbidden(message.to_owned()));
        }
        FileAccess::Refused | FileAccess::OnRequest | FileAccess::Requested => {}
    }
    let mut owners = Vec::new();
    let asked = |c: &&crate::flow::policy::Consent| c.policy == SharePolicy::FileOnRequest;
    for consent in sight.consents.iter().filter(asked) {
        let key = (*sha256, consent.publisher.clone(), analyst.vendor.clone());
        let request = change.get(&FILE_REQUESTS, &key)?;
        let again = match request.as_ref().map(|request| &request.refused) {
            None => true,
            Some(None) => false,
            Some(Some((at, _))) => analyst.now.since(*at).as_secs() >= PAUSE_SECONDS,
        };
        if again {
            let path = consent.items.first().map(|(path, _)| path.clone());
            owners.push((consent.publisher.clone(), path));
        }
    }
    if owners.is_empty() {
        let message = "you have asked for this file; a refusal stands for a day at least";
        return Err(VendorError::Exists(message.to_owned()));
    }
    Ok(owners)
}

/// What a publisher answers a vendor that asks for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It may have the file.
    Granted,
    /// It may not, or not any more.
    Refused,
}

/// Writes down what a publisher answers.
///
/// # Errors
/// If nobody asked.
pub async fn answer(
    store: &Store,
    (key, answered): (RequestKey, Answered),
    (actor, now): (String, Timestamp),
) -> Result<FileRequest, VendorError> {
    let write = move |change: &mut Change<'_>| {
        let request = change.get(&FILE_REQUESTS, &key)?;
        let mut request = request.ok_or(VendorError::Hidden)?;
        let by = Some((now, actor.clone()));
        (request.granted, request.refused) = match answered {
            Answered::Granted => (by, None),
            Answered::Refused => (None, by),
        };
        change.put(&FILE_REQUESTS, &key, &request)?;
        let (sha256, publisher, vendor) = key;
        let did = match answered {
            Answered::Granted => "granted",
            Answered::Refused => "refused",
        };
        let text = format!("Vendor {vendor} was {did} the file {sha256}");
        let about = About {
            publisher: Some(publisher),
            sha256: Some(sha256),
            actor: Some(actor),
            ..About::default()
        };
        let mut draft = Draft::about(now, EventKind::FileAnswered, about, text);
        draft.details = serde_json::json!({"vendor": vendor, "answer": did});
        events::raise(change, draft)?;
        Ok(request)
    };
    act(store, write).await
}

/// Lists up to `limit` requests for a publisher's files, from a key on, and where to go on.
///
/// # Errors
/// If the store fails, or there are too many requests for others' files.
pub fn list(
    read: &impl Read,
    publisher: &PublisherId,
    (from, limit): (Option<Vec<u8>>, usize),
) -> Result<Page<(RequestKey, FileRequest)>, VendorError> {
    let (mut found, mut from, mut looked) = (Vec::new(), from, 0);
    loop {
        let rows = read.rows(&FILE_REQUESTS, (&[], from.as_deref()), STEP)?;
        let more = rows.len() == STEP;
        looked += rows.len();
        for (key, request) in rows {
            let bytes = key.to_bytes();
            if key.1 == *publisher {
                if found.len() == limit {
                    let next = Some(bytes);
                    return Ok(Page { rows: found, next });
                }
                found.push((key, request));
            }
            from = Some([bytes, vec![0]].concat());
        }
        if !more {
            return Ok(Page {
                rows: found,
                next: None,
            });
        }
        if looked > LOOK {
            return Err(VendorError::TooMuch);
        }
    }
}
