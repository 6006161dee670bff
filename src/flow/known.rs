//! Orange, not red: a file that belongs to a publisher's collection is known, and what engines
//! detect in it is disputed.
//!
//! Whoever scans a file by himself learns that only as far as the publisher's policy lets others
//! know of it: of a file that is never shared, nothing at all.

use std::collections::BTreeSet;

use super::policy;
use crate::model::{ItemPath, PublisherId, Sha256};
use crate::store::{BLOB_ITEMS, FACTS, HOLDERS, PUBLISHERS, Read, StoreError, blob_items_prefix};

/// Publishers of one file that are named.
const MOST_HOLDERS: usize = 100;
/// Items of one publisher that are looked at.
const MOST_ITEMS: usize = 100;

/// Who distributes a file, and as what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Names of publishers.
    pub distributors: BTreeSet<String>,
    /// Names of products.
    pub products: BTreeSet<String>,
    /// Names of the file; only for those who may see the collection.
    pub filenames: BTreeSet<String>,
    /// Where to read about it and where to get it; only for those too.
    pub links: BTreeSet<String>,
}

/// Returns who distributes a file, as far as the viewer may know; `sees` tells whose collections he
/// may look at.
///
/// # Errors
/// If the store fails.
pub fn known(
    read: &impl Read,
    sha256: &Sha256,
    sees: &dyn Fn(&PublisherId) -> bool,
) -> Result<Option<Known>, StoreError> {
    let mut known = Known::default();
    let span = (sha256.as_bytes().as_slice(), None);
    for ((_, publisher), _) in read.rows(&HOLDERS, span, MOST_HOLDERS)? {
        let paths = if sees(&publisher) {
            every_path(read, sha256, &publisher)?
        } else {
            shared_paths(read, sha256, &publisher)?
        };
        let Some(row) = read
            .row(&PUBLISHERS, &publisher)?
            .filter(|_| !paths.is_empty())
        else {
            continue;
        };
        known.distributors.insert(row.name);
        for path in paths {
            known.add(read, (&publisher, &path), sees(&publisher))?;
        }
    }
    if known.distributors.is_empty() {
        return Ok(None);
    }
    if known.products.is_empty() {
        let facts = read.row(&FACTS, sha256)?.unwrap_or_default();
        known.products.extend(facts.product);
    }
    Ok(Some(known))
}

impl Known {
    /// Adds what is stated of one item.
    fn add(
        &mut self,
        read: &impl Read,
        (publisher, path): (&PublisherId, &ItemPath),
        sees: bool,
    ) -> Result<(), StoreError> {
        let card = policy::card_at(read, publisher, path)?;
        self.products.extend(card.product);
        if sees {
            self.filenames.insert(path.name().to_owned());
            self.links.extend(card.homepage);
            self.links.extend(card.download_url);
        }
        Ok(())
    }
}

fn every_path(
    read: &impl Read,
    sha256: &Sha256,
    publisher: &PublisherId,
) -> Result<Vec<ItemPath>, StoreError> {
    let prefix = blob_items_prefix(sha256, publisher);
    let rows = read.rows(&BLOB_ITEMS, (&prefix, None), MOST_ITEMS)?;
    Ok(rows.into_iter().map(|((_, _, path), ())| path).collect())
}

/// Returns where the file is as far as others may know.
fn shared_paths(
    read: &impl Read,
    sha256: &Sha256,
    publisher: &PublisherId,
) -> Result<Vec<ItemPath>, StoreError> {
    let consent = policy::consent(read, sha256, publisher)?;
    let items = consent.map(|consent| consent.items).unwrap_or_default();
    Ok(items.into_iter().map(|(path, _)| path).collect())
}
