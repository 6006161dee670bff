//! An analysis: all enabled engines over one blob, once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{EngineId, Sha256, Timestamp, Verdict};

/// Text that is no analysis id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an analysis id: expected f-<sha256>-<number>")]
pub struct InvalidAnalysisId;

/// Name of an analysis, `f-<sha256>-<milliseconds since 1970>` as VirusTotal writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnalysisId {
    /// The blob analyzed.
    pub sha256: Sha256,
    /// When it was opened; made unique per blob by the store.
    pub number: u64,
}

impl FromStr for AnalysisId {
    type Err = InvalidAnalysisId;

    fn from_str(text: &str) -> Result<Self, InvalidAnalysisId> {
        let rest = text.strip_prefix("f-").ok_or(InvalidAnalysisId)?;
        let (hash, number) = rest.split_once('-').ok_or(InvalidAnalysisId)?;
        let sha256 = hash.parse().map_err(|_| InvalidAnalysisId)?;
        let number = number.parse().map_err(|_| InvalidAnalysisId)?;
        Ok(Self { sha256, number })
    }
}

impl TryFrom<String> for AnalysisId {
    type Error = InvalidAnalysisId;

    fn try_from(text: String) -> Result<Self, InvalidAnalysisId> {
        text.parse()
    }
}

impl From<AnalysisId> for String {
    fn from(id: AnalysisId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for AnalysisId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "f-{}-{}", self.sha256, self.number)
    }
}

/// Where an analysis stands, in VirusTotal's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnalysisStatus {
    /// No engine has answered yet.
    Queued,
    /// Some engines have.
    InProgress,
    /// All have, or are known not to.
    Completed,
}

impl AnalysisStatus {
    /// Returns VirusTotal's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
        }
    }
}

/// Who waits: a person before the night.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// Somebody is waiting for the answer.
    Interactive,
    /// The nightly rescan.
    Nightly,
}

impl Priority {
    /// Returns the priority's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Nightly => "nightly",
        }
    }
}

/// An analysis as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Analysis {
    /// Its name.
    pub id: AnalysisId,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When the last engine answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// Every engine that is to answer.
    pub engines: BTreeSet<EngineId>,
    /// Those that have not yet.
    pub pending: BTreeSet<EngineId>,
    /// Who waits for it.
    pub priority: Priority,
}

impl Analysis {
    /// Returns where the analysis stands.
    pub fn status(&self) -> AnalysisStatus {
        if self.pending.is_empty() {
            AnalysisStatus::Completed
        } else if self.pending.len() == self.engines.len() {
            AnalysisStatus::Queued
        } else {
            AnalysisStatus::InProgress
        }
    }
}

/// Verdicts counted by category, with the coverage that gives the counts a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Engines that name malware.
    pub malicious: u32,
    /// Engines that suspect.
    pub suspicious: u32,
    /// Engines that found nothing.
    pub undetected: u32,
    /// Engines that do not read such files.
    pub type_unsupported: u32,
    /// Engines that ran out of time.
    pub timeout: u32,
    /// Engines that failed.
    pub failure: u32,
}

impl Stats {
    /// Counts verdicts.
    pub fn of<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>) -> Self {
        let mut stats = Self::default();
        for verdict in verdicts {
            let count = match verdict {
                Verdict::Malicious { .. } => &mut stats.malicious,
                Verdict::Suspicious { .. } => &mut stats.suspicious,
                Verdict::Undetected => &mut stats.undetected,
                Verdict::TypeUnsupported { .. } => &mut stats.type_unsupported,
                Verdict::Timeout => &mut stats.timeout,
                Verdict::Failure { .. } => &mut stats.failure,
            };
            *count += 1;
        }
        stats
    }

    /// Counts the verdicts of an analysis' results.
    pub fn of_results(results: &BTreeMap<EngineId, super::EngineResult>) -> Self {
        Self::of(results.values().map(|result| &result.verdict))
    }

    /// Returns how many engines say something of the content; see [`Verdict::is_opinion`].
    pub const fn answered(&self) -> u32 {
        self.malicious + self.suspicious + self.undetected
    }
}

/// Name of a job: one engine's part of one analysis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId {
    /// Whose lane it is in.
    pub engine: EngineId,
    /// Which analysis it belongs to.
    pub analysis: AnalysisId,
}

/// One engine × one blob, in that engine's lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Who waits for it.
    pub priority: Priority,
    /// Size of the blob in bytes.
    pub size_bytes: u64,
    /// How often a run of it has failed.
    pub attempts: u32,
    /// The lower-case extension of the submitted name, if the engine may see one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_counts_opinions_and_nothing_else() {
        let name = crate::model::DetectionName::new("X");
        let reason = || "no".to_owned();
        let verdicts = [
            (Verdict::Malicious { name: name.clone() }, 1),
            (Verdict::Suspicious { name }, 1),
            (Verdict::Undetected, 1),
            (Verdict::TypeUnsupported { reason: reason() }, 0),
            (Verdict::Timeout, 0),
            (Verdict::Failure { reason: reason() }, 0),
        ];
        for (verdict, counted) in verdicts {
            assert_eq!(Stats::of([&verdict]).answered(), counted, "{verdict:?}");
            assert_eq!(verdict.is_opinion(), counted == 1, "{verdict:?}");
        }
    }
}
