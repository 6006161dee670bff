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
    /// Engines that say something of it; see [`super::Verdict::is_opinion`].
    pub answered: u32,
    /// Which these are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub engines: BTreeSet<EngineId>,
    /// Engines with an incident that the engine itself has not ended.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub watched: BTreeSet<EngineId>,
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

    /// Names how detections changed; nothing if they did not.
    pub fn between(
        before: &BTreeMap<EngineId, Detection>,
        after: &BTreeMap<EngineId, Detection>,
    ) -> Option<Self> {
        let named = |it: &BTreeMap<EngineId, Detection>| -> Vec<_> {
            let names = it.iter().map(|(id, one)| (id.clone(), one.name.clone()));
            names.collect()
        };
        match (before.len(), after.len()) {
            (0, 0) => None,
            (0, _) => Some(Self::New),
            (_, 0) => Some(Self::Solved),
            (one, other) if one < other => Some(Self::Increasing),
            (one, other) if one > other => Some(Self::Decreasing),
            _ => (named(before) != named(after)).then_some(Self::Swapped),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `engine=name engine=name`.
    fn detections(text: &str) -> BTreeMap<EngineId, Detection> {
        let pairs = text.split_whitespace().map(|pair| {
            let (engine, name) = pair.split_once('=').unwrap();
            let detection = Detection {
                name: DetectionName::new(name),
                suspicious: false,
                since: Timestamp::from_millis(1),
                versions: EngineVersions::default(),
            };
            (engine.parse().unwrap(), detection)
        });
        pairs.collect()
    }

    #[track_caller]
    fn check(before: &str, after: &str, expected: Option<DetectionChange>) {
        let change = DetectionChange::between(&detections(before), &detections(after));
        assert_eq!(change, expected, "{before:?} to {after:?}");
    }

    #[test]
    fn change_is_named_as_virustotal_does() {
        check("", "", None);
        check("", "a=X", Some(DetectionChange::New));
        check("a=X", "", Some(DetectionChange::Solved));
        check("a=X", "a=X b=Y", Some(DetectionChange::Increasing));
        check("a=X b=Y", "b=Y", Some(DetectionChange::Decreasing));
        check("a=X", "b=X", Some(DetectionChange::Swapped));
        check("a=X", "a=Y", Some(DetectionChange::Swapped));
        check("a=X b=Y", "a=X b=Y", None);
        // Fewer, though one of them is new.
        check("a=X b=Y", "c=Z", Some(DetectionChange::Decreasing));
    }
}
