//! What the API tells a dashboard.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::backend::Object;

/// How collections fare.
#[derive(Debug, Deserialize)]
pub struct Overview {
    /// What is kept.
    pub storage: Storage,
    /// How many engines answer.
    pub engines: Answering,
    /// What changed since yesterday began.
    pub changes: Changes,
    /// Nothing until it was counted once.
    pub collection: Option<Collection>,
    /// Nothing until they were counted once.
    pub incidents: Option<Incidents>,
}

/// What is kept, and may be.
#[derive(Debug, Deserialize)]
pub struct Storage {
    /// Bytes of items, their history and the trash.
    pub bytes: u64,
    /// As many as there may be; no limit if absent.
    #[serde(default)]
    pub bytes_allowed: Option<u64>,
    /// Files, also those in the trash.
    pub files: u64,
    /// As many as there may be; no limit if absent.
    #[serde(default)]
    pub files_allowed: Option<u64>,
}

/// How many engines answer.
#[derive(Debug, Deserialize)]
pub struct Answering {
    /// Would scan a file now.
    pub answering: u64,
    /// Are asked about files.
    pub enabled: u64,
}

/// Contents whose detections changed, by kind.
#[derive(Debug, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the API's names")]
pub struct Changes {
    new_detections: u64,
    increasing_detections: u64,
    decreasing_detections: u64,
    swapped_detections: u64,
    solved_detections: u64,
}

/// One kind of change.
#[derive(Debug)]
pub struct Change {
    /// What it is called.
    pub name: &'static str,
    /// What it means.
    pub note: &'static str,
    /// The tag of what changed so.
    pub tag: &'static str,
    /// The tile's colour, if it is not nothing.
    pub kind: &'static str,
    /// Contents.
    pub count: u64,
}

impl Changes {
    /// Returns the kinds in order.
    pub fn kinds(&self) -> [Change; 5] {
        let kind = |(name, note, tag, kind), count| Change {
            name,
            note,
            tag,
            kind,
            count,
        };
        [
            kind(
                (
                    "New",
                    "clean before, detected now",
                    "new-detections",
                    "orange",
                ),
                self.new_detections,
            ),
            kind(
                (
                    "Increasing",
                    "more engines detect it",
                    "increasing-detections",
                    "orange",
                ),
                self.increasing_detections,
            ),
            kind(
                (
                    "Swapped",
                    "as many, but other engines",
                    "swapped-detections",
                    "orange",
                ),
                self.swapped_detections,
            ),
            kind(
                (
                    "Decreasing",
                    "fewer engines detect it",
                    "decreasing-detections",
                    "clean",
                ),
                self.decreasing_detections,
            ),
            kind(
                (
                    "Solved",
                    "no engine detects it any more",
                    "solved-detections",
                    "clean",
                ),
                self.solved_detections,
            ),
        ]
    }
}

/// How much is held, looked at and detected.
#[derive(Debug, Deserialize)]
pub struct Collection {
    /// When it was counted.
    pub as_of: u64,
    /// Items that point at a file.
    pub items: u64,
    /// Different contents of these.
    pub files: u64,
    /// Items looked at within a day.
    pub items_rescanned: u64,
    /// When that day began.
    pub rescanned_after: u64,
    /// Items nobody looked at.
    pub items_unscanned: u64,
    /// Items an engine detects.
    pub items_detected: u64,
    /// Those that detect most.
    pub top_engines: Vec<EngineCount>,
    /// Names under which most is detected.
    pub top_detections: Vec<NameCount>,
}

/// Items that an engine detects.
#[derive(Debug, Deserialize)]
pub struct EngineCount {
    /// The engine's id.
    pub engine: String,
    /// What it is called.
    pub name: String,
    /// How many.
    pub items: u64,
}

/// Items that are detected under a name.
#[derive(Debug, Deserialize)]
pub struct NameCount {
    /// The name.
    pub detection: String,
    /// How many.
    pub items: u64,
}

/// How incidents come and go.
#[derive(Debug, Deserialize)]
pub struct Incidents {
    /// Those that are not over.
    pub live: u64,
    /// Those of them that nobody answered in time.
    pub overdue: u64,
    /// The last thirty days, today last.
    pub days: Vec<Day>,
    /// Those that are not over and were opened first.
    pub oldest: Vec<Object<Incident>>,
}

/// What became of incidents on a day.
#[derive(Debug, Deserialize)]
pub struct Day {
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
    /// Opened, or opened again.
    pub opened: u64,
    /// Solved.
    pub solved: u64,
}

/// One engine's detection of one content.
#[derive(Debug, Deserialize)]
pub struct Incident {
    /// Whose.
    pub publisher: String,
    /// What the engine is called.
    pub engine_name: String,
    /// Where the content is.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The content.
    pub sha256: String,
    /// `open`, `notified` or `acknowledged`.
    pub state: String,
    /// When it was opened.
    pub opened_date: u64,
    /// Under which name.
    pub detection: String,
    /// Whether nobody answered in time.
    #[serde(default)]
    pub overdue: bool,
}

impl Incident {
    /// Returns what is detected: its first path, or its hash.
    pub fn place(&self) -> &str {
        self.paths.first().unwrap_or(&self.sha256)
    }
}

/// How long fixes take.
#[derive(Debug, Deserialize)]
pub struct Fixes {
    /// By who makes the engine.
    pub vendors: BTreeMap<String, Fix>,
    /// Whether older incidents were left out.
    #[serde(default)]
    pub truncated: bool,
}

/// How a vendor fares.
#[derive(Debug, Deserialize)]
pub struct Fix {
    /// Incidents looked at.
    pub incidents: u64,
    /// How many of these were fixed.
    pub fixed: u64,
    /// Seconds; half of them took no longer.
    pub median_seconds_to_fix: Option<u64>,
    /// Seconds; nine in ten took no longer.
    pub p90_seconds_to_fix: Option<u64>,
    /// How many are not over.
    pub open: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incident_without_a_place_is_named_by_its_hash() {
        let json = serde_json::json!({
            "publisher": "acme", "engine_name": "A", "sha256": "00ff", "state": "open",
            "opened_date": 1, "detection": "X",
        });
        let mut incident: Incident = serde_json::from_value(json).unwrap();
        assert_eq!(incident.place(), "00ff");
        incident.paths.push("/a".to_owned());
        assert_eq!(incident.place(), "/a");
    }
}
