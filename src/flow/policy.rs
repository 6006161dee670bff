//! What may leave: the policy that holds for an item, and what a vendor may have of a blob.
//!
//! A policy is said of an item, of a folder or of the publisher; the nearest holds. A vendor has
//! anything of a blob only while one of its engines detects it.

use std::collections::BTreeSet;

use crate::model::{
    EngineId, Item, ItemPath, PublisherId, ReleaseCard, Sha256, SharePolicy, Vendor, VendorId,
};
use crate::store::{
    BLOB_ITEMS, FILE_REQUESTS, HOLDERS, ITEMS, PUBLISHERS, Read, STANDINGS, StoreError,
    blob_items_prefix,
};

/// Items of a publisher with the same blob that are looked at; of more, these stand for all.
const ITEMS_LOOKED_AT: usize = 100;
/// Publishers that hold the same blob and are looked at.
const HOLDERS_LOOKED_AT: usize = 1000;

/// A policy, and where it is said: the nearest folder, the item itself, or the whole collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What may leave.
    pub policy: SharePolicy,
    /// Where that is said.
    pub at: ItemPath,
}

/// Returns the policy that holds at a path.
///
/// # Errors
/// If the store fails.
pub fn policy_at(
    read: &impl Read,
    publisher: &PublisherId,
    path: &ItemPath,
) -> Result<Said, StoreError> {
    let mut at = path.clone();
    loop {
        let item = read.row(&ITEMS, &(publisher.clone(), at.clone()))?;
        if let Some(policy) = item.and_then(|item: Item| item.policy) {
            return Ok(Said { policy, at });
        }
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    // Of a publisher that is not there nothing may leave.
    let row = read.row(&PUBLISHERS, publisher)?;
    let policy = row.map_or(SharePolicy::Never, |row| row.policy);
    Ok(Said { policy, at })
}

/// Returns what is stated at a path, with what is inherited from above.
///
/// # Errors
/// If the store fails.
pub fn card_at(
    read: &impl Read,
    publisher: &PublisherId,
    path: &ItemPath,
) -> Result<ReleaseCard, StoreError> {
    let (mut card, mut at) = (ReleaseCard::default(), Some(path.clone()));
    while let Some(here) = at {
        let item = read.row(&ITEMS, &(publisher.clone(), here.clone()))?;
        if let Some(stated) = item.and_then(|item: Item| item.card) {
            card = card.inherit(&stated);
        }
        at = here.parent();
    }
    let row = read.row(&PUBLISHERS, publisher)?;
    Ok(match row {
        Some(row) => card.inherit(&row.card),
        None => card,
    })
}

/// What a publisher lets vendors have of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Whose consent.
    pub publisher: PublisherId,
    /// The most that one of its items allows: the bytes are the same in all.
    pub policy: SharePolicy,
    /// Where that is said.
    pub said_at: ItemPath,
    /// The items vendors may know of.
    pub items: Vec<(ItemPath, Item)>,
}

/// Returns what a publisher lets vendors have of a blob; nothing if they may not know of it.
///
/// # Errors
/// If the store fails.
pub fn consent(
    read: &impl Read,
    sha256: &Sha256,
    publisher: &PublisherId,
) -> Result<Option<Consent>, StoreError> {
    let prefix = blob_items_prefix(sha256, publisher);
    let mut consent = None::<Consent>;
    for ((_, _, path), ()) in read.rows(&BLOB_ITEMS, (&prefix, None), ITEMS_LOOKED_AT)? {
        let said = policy_at(read, publisher, &path)?;
        if said.policy == SharePolicy::Never {
            continue;
        }
        let Some(item) = read.row(&ITEMS, &(publisher.clone(), path.clone()))? else {
            continue;
        };
        let consent = consent.get_or_insert_with(|| Consent {
            publisher: publisher.clone(),
            policy: said.policy,
            said_at: said.at.clone(),
            items: Vec::new(),
        });
        if said.policy > consent.policy {
            (consent.policy, consent.said_at) = (said.policy, said.at);
        }
        consent.items.push((path, item));
    }
    Ok(consent)
}

/// What a vendor may have of a blob now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Its engines that detect the blob now.
    pub engines: BTreeSet<EngineId>,
    /// Publishers who consent, each with what it lets out; never empty.
    pub consents: Vec<Consent>,
}

impl Sight {
    /// Returns by whose consent the vendor may have the file itself.
    ///
    /// # Errors
    /// If the store fails.
    pub fn file(
        &self,
        read: &impl Read,
        sha256: &Sha256,
        vendor: &VendorId,
    ) -> Result<Option<&Consent>, StoreError> {
        for consent in &self.consents {
            let may = match consent.policy {
                SharePolicy::File => true,
                SharePolicy::FileOnRequest => {
                    let key = (*sha256, consent.publisher.clone(), vendor.clone());
                    let request = read.row(&FILE_REQUESTS, &key)?;
                    request.is_some_and(|r| r.granted.is_some() && r.refused.is_none())
                }
                SharePolicy::MetadataOnly | SharePolicy::Never => false,
            };
            if may {
                return Ok(Some(consent));
            }
        }
        Ok(None)
    }
}

/// Returns what a vendor may have of a blob now; nothing if for it the blob does not exist.
///
/// # Errors
/// If the store fails.
pub fn sight(
    read: &impl Read,
    vendor: &Vendor,
    sha256: &Sha256,
) -> Result<Option<Sight>, StoreError> {
    let standing = read.row(&STANDINGS, sha256)?.unwrap_or_default();
    let engines = standing.detections.into_keys();
    let engines: BTreeSet<_> = engines.filter(|id| vendor.engines.contains(id)).collect();
    if engines.is_empty() {
        return Ok(None);
    }
    let mut consents = Vec::new();
    let span = (sha256.as_bytes().as_slice(), None);
    for ((_, publisher), _) in read.rows(&HOLDERS, span, HOLDERS_LOOKED_AT)? {
        consents.extend(consent(read, sha256, &publisher)?);
    }
    Ok((!consents.is_empty()).then_some(Sight { engines, consents }))
}
