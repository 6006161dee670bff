//! Where a blob stands: what the engines say of it now, and how that changed last.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{AnalysisId, DetectionName, EngineId, EngineVersions, Timestamp};

/// What the engines say of a blob after its last completed analysis. An engine that failed keeps
/// its last word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The analysis compared last.
    pub analysis: Option<AnalysisId>,
    /// When it was completed.
    pub at: Timestamp,
    /// Who detects it now.
    pub detections: BTreeMap<EngineId, Detection>,
    /// Engines that have an answer on it.
    pub answered: u32,
    /// When the first engine detected it, ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_detection_at: Option<Timestamp>,
    /// How it changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<StandingChange>,
}

impl Standing {
    /// Returns VirusTotal's tags: `detected`, the change of the day, and the engines that detect.
    pub fn tags(&self) -> BTreeSet<String> {
        let mut tags: BTreeSet<_> = self.detections.keys().map(ToString::to_string).collect();
        if !self.detections.is_empty() {
            tags.insert("detected".to_owned());
        }
        if let Some(change) = &self.change {
            tags.insert(change.kind.tag().to_owned());
        }
        tags
    }
}

/// One engine's standing detection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detection {
    /// The engine's own name for it.
    pub name: DetectionName,
    /// Whether the engine only suspects.
    #[serde(default)]
    pub suspicious: bool,
    /// Since when it detects without a break.
    pub since: Timestamp,
    /// What it last detected with.
    pub versions: EngineVersions,
}

/// How a blob's standing changed in one analysis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingChange {
    /// In which way.
    pub kind: DetectionChange,
    /// When.
    pub at: Timestamp,
}

/// VirusTotal's words for how detections changed between two analyses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DetectionChange {
    /// None before, some now.
    New,
    /// More than before.
    Increasing,
    /// Fewer than before, and some left.
    Decreasing,
    /// As many, by other engines or under other names.
    Swapped,
    /// Some before, none now.
    Solved,
}

impl DetectionChange {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::New,
        Self::Increasing,
        Self::Decreasing,
        Self::Swapped,
        Self::Solved,
    ];

    /// Returns VirusTotal's tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::New => "new-detections",
            Self::Increasing => "increasing-detections",
            Self::Decreasing => "decreasing-detections",
            Self::Swapped => "swapped-detections",
            Self::Solved => "solved-detections",
        }
    }
}
