//! A rescan: every file that an engine has not yet seen with what it scans with now.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EngineId, Reuse, Timestamp};

/// One rescan, as it is kept and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescan {
    /// Order of rescans.
    pub number: u64,
    /// Why it was made, in one sentence.
    pub reason: String,
    /// The one engine it is for; all enabled ones if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineId>,
    /// Whether known answers count.
    pub reuse: Reuse,
    /// When it began.
    pub started_at: Timestamp,
    /// When everything planned was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Files in the collection when it was planned.
    pub files: u64,
    /// Analyses opened.
    pub analyses: u64,
    /// Each engine's share of it.
    pub engines: BTreeMap<EngineId, RescanShare>,
    /// Where planning goes on: the last blob planned, in hexadecimal; nothing once all are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Whether every blob was looked at.
    pub planned: bool,
}

/// One engine's share of a rescan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescanShare {
    /// Files the engine has not seen with what it scans with now: as counted at the beginning,
    /// and once all is planned, as opened.
    pub wanted: u64,
    /// Jobs opened so far.
    #[serde(default)]
    pub opened: u64,
    /// Of these, those it has settled.
    pub done: u64,
}

impl Rescan {
    /// Returns how many (file, engine) pairs are wanted and how many are done.
    pub fn totals(&self) -> RescanShare {
        let add = |sum: RescanShare, share: &RescanShare| RescanShare {
            wanted: sum.wanted + share.wanted,
            opened: sum.opened + share.opened,
            done: sum.done + share.done,
        };
        self.engines.values().fold(RescanShare::default(), add)
    }

    /// Returns the pairs settled a second, and when the rest will be at that rate.
    pub fn rate(&self, now: Timestamp) -> Option<(f64, Timestamp)> {
        let (totals, end) = (self.totals(), self.completed_at.unwrap_or(now));
        let seconds = end.since(self.started_at).as_secs_f64();
        if totals.done == 0 || seconds <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
        let (done, left) = (
            totals.done as f64,
            totals.wanted.saturating_sub(totals.done) as f64,
        );
        let rate = done / seconds;
        Some((
            rate,
            end.after(std::time::Duration::from_secs_f64(left / rate)),
        ))
    }
}
