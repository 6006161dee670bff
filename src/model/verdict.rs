//! What one engine concluded about one blob.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{EngineVersions, Timestamp};

/// The engine's own name for what it found: sanitized text, never translated.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DetectionName(String);

impl DetectionName {
    /// Longest name kept, in characters.
    pub const MAX_CHARS: usize = 256;

    /// Takes an engine's text, makes control characters visible and cuts it to length.
    pub fn new(raw: &str) -> Self {
        let clean: String = raw
            .trim()
            .chars()
            .map(visible)
            .take(Self::MAX_CHARS)
            .collect();
        Self(clean)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Replaces what could steer a terminal, a log or the direction of text.
fn visible(c: char) -> char {
    let steers = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    if steers { '\u{fffd}' } else { c }
}

impl fmt::Display for DetectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one engine concluded about one blob, in VirusTotal's categories.
///
/// There is no default: what is not understood is [`Verdict::Failure`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "category", rename_all = "kebab-case")]
pub enum Verdict {
    /// The engine names malware.
    Malicious {
        /// The engine's own name for it.
        name: DetectionName,
    },
    /// The engine suspects: heuristics, unwanted programs, riskware.
    Suspicious {
        /// The engine's own name for it.
        name: DetectionName,
    },
    /// The engine said, in so many words or by a documented rule, that it found nothing.
    Undetected,
    /// The engine cannot look into this file: other type, encrypted, beyond its limits.
    TypeUnsupported {
        /// Why, in one sentence.
        reason: String,
    },
    /// The engine did not answer in time.
    Timeout,
    /// The engine did not give an answer that could be understood.
    Failure {
        /// Why, in one sentence.
        reason: String,
    },
}

impl Verdict {
    /// Returns VirusTotal's word for the category.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Malicious { .. } => "malicious",
            Self::Suspicious { .. } => "suspicious",
            Self::Undetected => "undetected",
            Self::TypeUnsupported { .. } => "type-unsupported",
            Self::Timeout => "timeout",
            Self::Failure { .. } => "failure",
        }
    }

    /// Tells whether the engine detected something.
    pub const fn is_detection(&self) -> bool {
        matches!(self, Self::Malicious { .. } | Self::Suspicious { .. })
    }

    /// Tells whether the engine says something of the content: it detects, or it looked and found
    /// nothing.
    ///
    /// This is what coverage counts. Whoever does not look into such files has not called one of
    /// them clean, no more than one who failed or ran out of time.
    pub const fn is_opinion(&self) -> bool {
        self.is_detection() || matches!(self, Self::Undetected)
    }

    /// Tells whether the engine did what it was asked to, so that nobody need ask again: a timeout
    /// or a failure is no answer.
    pub const fn is_answer(&self) -> bool {
        !matches!(self, Self::Timeout | Self::Failure { .. })
    }

    /// Returns the detection name, if there is a detection.
    pub const fn name(&self) -> Option<&DetectionName> {
        match self {
            Self::Malicious { name } | Self::Suspicious { name } => Some(name),
            Self::Undetected | Self::TypeUnsupported { .. } | Self::Timeout => None,
            Self::Failure { .. } => None,
        }
    }

    /// Returns why there is no verdict on the content, if there is none.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::TypeUnsupported { reason } | Self::Failure { reason } => Some(reason),
            Self::Malicious { .. } | Self::Suspicious { .. } => None,
            Self::Undetected | Self::Timeout => None,
        }
    }

    /// Makes a failure with its reason.
    pub fn failure(reason: impl Into<String>) -> Self {
        Self::Failure {
            reason: reason.into(),
        }
    }
}

/// Name of kept raw output: the SHA-256 of its stored form, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RawOutputId(pub String);

/// A verdict with everything needed to explain and to repeat it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineResult {
    /// The normalized answer.
    pub verdict: Verdict,
    /// What the engine scanned with.
    pub versions: EngineVersions,
    /// When the answer came.
    pub finished_at: Timestamp,
    /// How long the engine's command for this file's batch ran, in milliseconds.
    pub duration_ms: u64,
    /// Where the engine's output is kept, if it gave any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_output: Option<RawOutputId>,
    /// The name under which the engine saw the file, to find it in that output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_name: Option<String>,
    /// How the answer differs from the engine's last one on the same bytes, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
}

/// How an engine's answer differs from its last one on the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What came of it.
    pub kind: ChangeKind,
    /// The answer before.
    pub before: Verdict,
    /// What the engine scanned with when it last gave that.
    pub versions_before: EngineVersions,
}

/// What came of a change of an engine's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// There is a detection that was not there.
    Introduced,
    /// A detection is gone.
    Removed,
    /// The detection has another name or category, or there is none for another reason.
    Changed,
}

impl ChangeKind {
    /// Names the change from one answer to another.
    pub const fn between(before: &Verdict, after: &Verdict) -> Self {
        match (before.is_detection(), after.is_detection()) {
            (false, true) => Self::Introduced,
            (true, false) => Self::Removed,
            (true, true) | (false, false) => Self::Changed,
        }
    }

    /// Returns the kind's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Introduced => "introduced",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}
