//! Which vendor was shown which hash today, so that the ledger says so once a day.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::super::App;
use super::super::error::ApiError;
use crate::flow::policy::{Consent, Sight};
use crate::flow::vendor::Analyst;
use crate::flow::vendor::daily::day;
use crate::model::{LedgerEntry, LedgerKind, PublisherId, Sha256, VendorId};

/// Most that is remembered; beyond that the ledger says some of it twice.
const REMEMBERED: usize = 100_000;

/// Lines written at a time.
const AT_ONCE: usize = 500;

type Fact = (VendorId, Sha256, PublisherId, Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Metadata,
    PartOfFile,
}

/// What vendors were shown today.
#[derive(Debug, Default)]
pub struct Shown(Mutex<(String, HashSet<Fact>)>);

impl Shown {
    /// Writes into the ledger that a vendor is about to be shown blobs, once a day for each.
    ///
    /// # Errors
    /// If the ledger cannot be written: then nothing may be shown.
    pub async fn note(
        &self,
        app: &App,
        analyst: &Analyst,
        blobs: &[(&Sha256, &Sight)],
    ) -> Result<(), ApiError> {
        let all = blobs.iter().flat_map(|&(sha256, sight)| {
            let consents = sight.consents.iter();
            consents.map(move |consent| (sha256, consent))
        });
        let mut fresh = Vec::new();
        for (sha256, consent) in all {
            let publisher = consent.publisher.clone();
            let fact = (analyst.vendor.clone(), *sha256, publisher, Kind::Metadata);
            if !self.is_known(&fact, analyst) {
                fresh.push((fact, line(analyst, (sha256, consent))));
            }
        }
        // Many lines at a time share their way to the disk.
        for some in fresh.chunks(AT_ONCE) {
            let ledger = app.api.store.ledger();
            let lines = some.iter().map(|(_, line)| ledger.append(line.clone()));
            for written in futures_util::future::join_all(lines).await {
                written.map_err(|error| ApiError::internal(&error))?;
            }
            for (fact, _) in some {
                self.remember(fact.clone(), analyst);
            }
        }
        Ok(())
    }

    /// Tells whether this is the first part of a file that a vendor gets today.
    pub fn is_first_part(
        &self,
        analyst: &Analyst,
        (sha256, publisher): (&Sha256, &PublisherId),
    ) -> bool {
        let fact = (
            analyst.vendor.clone(),
            *sha256,
            publisher.clone(),
            Kind::PartOfFile,
        );
        let known = self.is_known(&fact, analyst);
        self.remember(fact, analyst);
        !known
    }

    fn is_known(&self, fact: &Fact, analyst: &Analyst) -> bool {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.0 == day(analyst.now) && shown.1.contains(fact)
    }

    /// Remembers what the ledger has already: a line too many is better than one too few.
    fn remember(&self, fact: Fact, analyst: &Analyst) {
        let today = day(analyst.now);
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.0 != today || shown.1.len() >= REMEMBERED {
            *shown = (today, HashSet::new());
        }
        shown.1.insert(fact);
    }
}

fn line(analyst: &Analyst, (sha256, consent): (&Sha256, &Consent)) -> LedgerEntry {
    let text = format!("Vendor {} is shown what is known of a file", analyst.vendor);
    LedgerEntry {
        publisher: Some(consent.publisher.clone()),
        sha256: Some(*sha256),
        to: Some(format!("vendor {}", analyst.vendor)),
        rule: Some(super::files::rule(consent)),
        ..LedgerEntry::new(analyst.now, LedgerKind::Access, analyst.actor.clone(), text)
    }
}
