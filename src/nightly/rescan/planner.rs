//! Opens a rescan's analyses group by group, each with how far it has come.
//!
//! The row of the rescan changes with the analyses it opens, or neither does: a
//! planner that is made from the row after a crash goes on where that one stopped.

use std::collections::VecDeque;

use super::survey::{self, Present};
use crate::flow::ingest::{Ingest, Plan};
use crate::model::{Analysis, Rescan, Reuse, Sha256, Timestamp};
use crate::store::{RESCANS, Store, StoreError};

/// Analyses opened in one change.
pub const GROUP: usize = 128;

/// Plans one rescan.
#[derive(Debug)]
pub struct Planner {
    store: Store,
    ingest: Ingest,
    reuse: Reuse,
    ahead: VecDeque<Plan>,
    read_to: Option<Sha256>,
    at_end: bool,
}

impl Planner {
    /// Makes a planner that goes on where a rescan's row says.
    pub fn new(store: Store, ingest: Ingest, row: &Rescan) -> Self {
        let read_to = row.cursor.as_deref().and_then(|text| text.parse().ok());
        Self {
            store,
            ingest,
            reuse: row.reuse,
            ahead: VecDeque::new(),
            read_to,
            at_end: false,
        }
    }

    /// Opens the next group and returns the row as it is then; `planned` says whether it was the
    /// last.
    ///
    /// # Errors
    /// If the store fails; then nothing was opened.
    pub async fn step(
        &mut self,
        row: &Rescan,
        present: &Present,
        now: Timestamp,
    ) -> Result<Rescan, StoreError> {
        while self.ahead.len() < GROUP && !self.at_end {
            self.read(present, now).await?;
        }
        let count = self.ahead.len().min(GROUP);
        let group: Vec<_> = self.ahead.drain(..count).collect();
        let planned = self.at_end && self.ahead.is_empty();
        let cursor = match (self.ahead.is_empty(), group.last()) {
            (false, Some(last)) => Some(last.sha256),
            (false, None) | (true, _) => self.read_to,
        };
        let mut next = row.clone();
        next.cursor = cursor.filter(|_| !planned).map(|last| last.to_string());
        next.planned = planned;
        self.ingest
            .open_planned(group, (self.reuse, now), move |change, opened| {
                count_opened(&mut next, opened);
                change.put(&RESCANS, &next.number, &next)?;
                Ok(next)
            })
            .await
    }

    async fn read(&mut self, present: &Present, now: Timestamp) -> Result<(), StoreError> {
        let (store, present) = (self.store.clone(), present.clone());
        let (after, reuse) = (self.read_to, self.reuse);
        let read = move || survey::chunk(&store, &present, after.as_ref(), (reuse, now));
        match super::off_thread(read).await? {
            Some(chunk) => {
                self.ahead.extend(chunk.plans);
                self.read_to = Some(chunk.last);
            }
            None => self.at_end = true,
        }
        Ok(())
    }
}

/// Counts what was opened; at the end what is wanted is what was opened, for in the meantime
/// some of what was counted has been looked at.
fn count_opened(row: &mut Rescan, opened: &[Analysis]) {
    row.analyses += opened.len() as u64;
    for engine in opened.iter().flat_map(|analysis| &analysis.engines) {
        row.engines.entry(engine.clone()).or_default().opened += 1;
    }
    if row.planned {
        for share in row.engines.values_mut() {
            share.wanted = share.opened;
        }
    }
}
