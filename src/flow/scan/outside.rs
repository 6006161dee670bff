//! Asks a server outside about a file: what leaves is in the ledger before its first byte goes.

use super::{Attempt, Scanner};
use crate::engine::ask::{Asked, Health};
use crate::engine::manifest::Sends;
use crate::engine::outside::{Outside, Told, judge_canary};
use crate::engine::talk::Broken;
use crate::flow::queue::Leased;
use crate::model::{EngineState, EngineVersions, LedgerEntry, LedgerKind, PublisherId, Sha256};
use crate::store::{HOLDERS, Read, Store, StoreError};
use crate::system::now;

/// Publishers of one file who get a line of their own.
const MOST_HOLDERS: usize = 100;
/// Bytes of a hash as it is sent.
const HASH_BYTES: u64 = 64;

impl Scanner {
    /// Asks about one file after the other; those that could not be told of come back.
    pub(super) async fn attempt_outside(&self, outside: &Outside, batch: &[Leased]) -> Attempt {
        let mut all: Option<Asked> = None;
        for leased in batch {
            let asked = match self.tell(outside, leased).await {
                Ok(asked) => asked,
                Err(attempt) => return attempt,
            };
            match &mut all {
                None => all = Some(asked),
                Some(all) => {
                    all.answers.extend(asked.answers);
                    all.run.raw.extend(asked.run.raw);
                    all.run.duration += asked.run.duration;
                }
            }
        }
        match all {
            Some(asked) => Attempt::Asked(Box::new(asked)),
            None => Attempt::Later("nothing was asked".to_owned()),
        }
    }

    /// Comes to the door, writes down what leaves, and only then lets it leave.
    async fn tell(&self, outside: &Outside, leased: &Leased) -> Result<Asked, Attempt> {
        let store = &self.recorder.store;
        let extensions = &outside.manifest.run.extensions;
        let sha256 = leased.job.id.analysis.sha256;
        let extension = leased.job.extension.clone();
        let told = Told {
            blob: self.blobs.path(&sha256),
            sha256,
            size_bytes: leased.job.size_bytes,
            extension: extension.filter(|extension| extensions.contains(extension)),
        };
        if !outside.is_approved() {
            let looked = look(outside, store).await;
            looked.map_err(|broken| self.no_server(&broken))?;
        }
        let door = outside.open().await;
        let door = door.map_err(|broken| self.no_server(&broken))?;
        self.gate.started();
        if let Err(reason) = account(store, outside, &told).await {
            self.trouble(EngineState::BackingOff, &reason);
            return Err(Attempt::Later(reason));
        }
        let asked = outside.ask(door, &told).await;
        match &asked.health {
            Health::Fine => self.board.ready(&outside.manifest.id, &asked.run.versions),
            Health::Suspect(reason) => self.trouble(EngineState::Ready, reason),
        }
        Ok(asked)
    }

    fn no_server(&self, broken: &Broken) -> Attempt {
        let reason = broken.to_string();
        self.trouble(EngineState::BackingOff, &reason);
        // Every slot counts each connection it tried to make.
        let slots = u32::from(self.respondent.manifest().run.slots);
        if self.gate.failed_start() >= self.attempts * slots {
            Attempt::Never(format!("the server cannot be asked: {reason}"))
        } else {
            Attempt::Later(reason)
        }
    }
}

/// Asks a server what it scans with, and whether it detects EICAR where it must; only then may it
/// be asked about files.
///
/// # Errors
/// If it is not there, does not behave as it must, or the ledger cannot be written.
pub async fn look(outside: &Outside, store: &Store) -> Result<EngineVersions, Broken> {
    outside.approve(None);
    let versions = outside.versions().await?;
    if outside.spec().wants_canary() {
        let told = outside.canary().await?;
        let door = outside.open().await?;
        let accounted = account(store, outside, &told).await;
        accounted.map_err(Broken::Lost)?;
        judge_canary(&outside.ask(door, &told).await)?;
    }
    outside.approve(Some(versions.clone()));
    Ok(versions)
}

/// Writes into the ledger that a file, or its hash, goes to a server.
///
/// # Errors
/// If it cannot be written: then nothing may go.
async fn account(store: &Store, outside: &Outside, told: &Told) -> Result<(), String> {
    let holders = holders(store, &told.sha256).map_err(|error| error.to_string())?;
    for publisher in holders {
        let line = line(outside, told, publisher)?;
        let written = store.ledger().append(line).await;
        written.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Returns whose a file is: each of them has the line; nobody in particular, if nobody holds it.
fn holders(store: &Store, sha256: &Sha256) -> Result<Vec<Option<PublisherId>>, StoreError> {
    let span = (sha256.as_bytes().as_slice(), None);
    let rows = store.rows(&HOLDERS, span, MOST_HOLDERS)?;
    let holders = rows.into_iter().map(|((_, holder), _)| Some(holder));
    let mut holders: Vec<_> = holders.collect();
    if holders.is_empty() {
        holders.push(None);
    }
    Ok(holders)
}

fn line(
    outside: &Outside,
    told: &Told,
    publisher: Option<PublisherId>,
) -> Result<LedgerEntry, String> {
    let (spec, id) = (outside.spec(), &outside.manifest.id);
    let consent = spec.consent.as_deref();
    let consent = consent.ok_or("nobody consented that files go there")?;
    let bytes = match spec.sends {
        Sends::File => told.size_bytes,
        Sends::Hash => HASH_BYTES,
    };
    let (what, sha256) = (spec.sends.as_str(), told.sha256);
    let text = format!("{what} {sha256} goes to the server of engine {id}");
    Ok(LedgerEntry {
        publisher,
        sha256: Some(sha256),
        bytes: Some(bytes),
        to: Some(spec.address.to_string()),
        rule: Some(format!("consent in the manifest of {id}: {consent}")),
        ..LedgerEntry::new(now(), LedgerKind::Egress, "acquit".to_owned(), text)
    })
}
