//! The blobs a vendor may know of, in the order of their hashes.
//!
//! One list per publisher and engine says what the engine detects there now;
//! merged, they are walked from the cursor on, so that nothing depends on how
//! many items there are. What the policy hides is passed over.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use super::{VendorError, is_ignored};
use crate::flow::policy::{Sight, sight};
use crate::model::{EngineId, PublisherId, Sha256, Vendor};
use crate::store::{PUBLISHERS, Read, StoreError, TAGGED, tag_prefix};

/// Rows read of a list at once.
const STEP: usize = 32;
/// Publishers looked at.
const PUBLISHERS_LOOKED_AT: usize = 10_000;
/// Blobs looked at for one page, most of which policy hides.
const LOOK: usize = 100_000;

/// Which of the blobs a vendor may know of.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Detected by one of these.
    pub engines: BTreeSet<EngineId>,
    /// Whether the vendor stands by the detection.
    pub ignored: Ignored,
}

/// What is done with detections that the vendor stands by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// They are left out.
    Hidden,
    /// Only they are taken.
    Only,
    /// They are taken too.
    Also,
}

/// A blob that a vendor may know of.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which.
    pub sha256: Sha256,
    /// What the vendor may have of it.
    pub sight: Sight,
}

/// Returns up to `limit` blobs after one.
///
/// # Errors
/// [`VendorError::TooMuch`] if there are too many hidden ones before the first that is not.
pub fn hashes(
    read: &impl Read,
    vendor: &Vendor,
    selection: &Selection,
    (after, limit): (Option<Sha256>, usize),
) -> Result<Vec<Found>, VendorError> {
    let publishers = read.rows(&PUBLISHERS, (&[], None), PUBLISHERS_LOOKED_AT)?;
    let publishers = publishers.into_iter().map(|(id, _)| id);
    let engines = selection.engines.intersection(&vendor.engines);
    let engines: Vec<_> = engines.cloned().collect();
    let mut merged = Merged::open(read, publishers, (&engines, after))?;
    let (mut found, mut looked) = (Vec::new(), 0);
    while found.len() < limit {
        let Some(sha256) = merged.next(read)? else {
            break;
        };
        looked += 1;
        if looked > LOOK {
            return Err(VendorError::TooMuch);
        }
        found.extend(chosen(read, vendor, selection, sha256)?);
    }
    Ok(found)
}

fn chosen(
    read: &impl Read,
    vendor: &Vendor,
    selection: &Selection,
    sha256: Sha256,
) -> Result<Option<Found>, StoreError> {
    let Some(sight) = sight(read, vendor, &sha256)? else {
        return Ok(None);
    };
    for engine in sight.engines.intersection(&selection.engines) {
        let fits = match selection.ignored {
            Ignored::Also => true,
            Ignored::Only => is_ignored(read, &sha256, engine)?,
            Ignored::Hidden => !is_ignored(read, &sha256, engine)?,
        };
        if fits {
            return Ok(Some(Found { sha256, sight }));
        }
    }
    Ok(None)
}

/// Tells whether a vendor may know of a publisher: it owns a blob the vendor may know of, with its
/// consent.
///
/// # Errors
/// If the store fails.
pub fn may_see_group(
    read: &impl Read,
    vendor: &Vendor,
    publisher: &PublisherId,
) -> Result<bool, StoreError> {
    let engines: Vec<_> = vendor.engines.iter().cloned().collect();
    let mut merged = Merged::open(read, [publisher.clone()], (&engines, None))?;
    for _ in 0..LOOK {
        let Some(sha256) = merged.next(read)? else {
            break;
        };
        let sight = sight(read, vendor, &sha256)?;
        let consents = sight.map_or_else(Vec::new, |sight| sight.consents);
        if consents.iter().any(|c| c.publisher == *publisher) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What one engine detects of one publisher's.
struct Stream {
    prefix: Vec<u8>,
    waiting: VecDeque<Sha256>,
    after: Option<Sha256>,
    done: bool,
}

impl Stream {
    fn next(&mut self, read: &impl Read) -> Result<Option<Sha256>, StoreError> {
        if self.waiting.is_empty() && !self.done {
            // A zero byte makes of a key the first one after it.
            let from = self
                .after
                .map(|after| [self.prefix.as_slice(), after.as_bytes(), &[0]].concat());
            let rows = read.rows(&TAGGED, (&self.prefix, from.as_deref()), STEP)?;
            self.done = rows.len() < STEP;
            self.waiting = rows
                .into_iter()
                .map(|((_, _, sha256), ())| sha256)
                .collect();
            self.after = self.waiting.back().copied().or(self.after);
        }
        Ok(self.waiting.pop_front())
    }
}

/// All streams as one, each blob once.
struct Merged {
    streams: Vec<Stream>,
    heads: BinaryHeap<Reverse<(Sha256, usize)>>,
    last: Option<Sha256>,
}

impl Merged {
    fn open(
        read: &impl Read,
        publishers: impl IntoIterator<Item = PublisherId>,
        (engines, after): (&[EngineId], Option<Sha256>),
    ) -> Result<Self, StoreError> {
        let mut merged = Self {
            streams: Vec::new(),
            heads: BinaryHeap::new(),
            last: None,
        };
        for publisher in publishers {
            for engine in engines {
                merged.streams.push(Stream {
                    prefix: tag_prefix(&publisher, engine.as_str()),
                    waiting: VecDeque::new(),
                    after,
                    done: false,
                });
                merged.advance(read, merged.streams.len() - 1)?;
            }
        }
        Ok(merged)
    }

    fn advance(&mut self, read: &impl Read, stream: usize) -> Result<(), StoreError> {
        let head = self.streams[stream].next(read)?;
        self.heads
            .extend(head.map(|sha256| Reverse((sha256, stream))));
        Ok(())
    }

    fn next(&mut self, read: &impl Read) -> Result<Option<Sha256>, StoreError> {
        while let Some(Reverse((sha256, stream))) = self.heads.pop() {
            self.advance(read, stream)?;
            if self.last.replace(sha256) != Some(sha256) {
                return Ok(Some(sha256));
            }
        }
        Ok(None)
    }
}
