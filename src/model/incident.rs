//! Incidents: one engine's detection of one blob in one publisher's collection, until it is over.
//!
//! ```text
//! open ──→ notified ──→ acknowledged ──→ resolved ──the engine detects again──→ open
//!   └──────────┴──────────────┴────────→ kept ──the vendor withdraws, the publisher
//!                                         │      asks, or the file comes back──→ open
//!                                         └──the engine calls it clean──→ resolved
//! ```

use serde::{Deserialize, Serialize};

use super::{AnalysisId, DetectionName, EngineId, EngineVersions, PublisherId, Sha256, Timestamp};

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IncidentState {
    /// The engine detects, and nobody has been told yet.
    Open,
    /// Somebody has been told.
    Notified,
    /// The publisher or the vendor has answered.
    Acknowledged,
    /// The same engine, with newer signatures or in a newer version, calls the file clean.
    Resolved,
    /// The vendor stands by the detection, or the publisher let it be.
    Kept,
}

impl IncidentState {
    /// Every one.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Notified,
        Self::Acknowledged,
        Self::Resolved,
        Self::Kept,
    ];

    /// Returns the state's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Notified => "notified",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
            Self::Kept => "kept",
        }
    }

    /// Tells whether somebody still has to do something.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Open | Self::Notified | Self::Acknowledged)
    }
}

/// One engine's detection of one blob in one publisher's collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its number.
    pub id: u64,
    /// Whose collection.
    pub publisher: PublisherId,
    /// Whose detection.
    pub engine: EngineId,
    /// Which blob.
    pub sha256: Sha256,
    /// Where it stands.
    pub state: IncidentState,
    /// Since when.
    pub state_at: Timestamp,
    /// When it was first opened.
    pub opened_at: Timestamp,
    /// When it was opened the last time.
    pub reopened_at: Timestamp,
    /// The engine's name for what it detects.
    pub detection: DetectionName,
    /// What the engine last said so with.
    pub detected: Side,
    /// What it first said so with since the incident was last opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Side>,
    /// What it last called the file clean with before; nothing if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Side>,
    /// What it called the file clean with afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Side>,
    /// Why it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptReason>,
    /// How often it was opened again.
    #[serde(default)]
    pub reopened_count: u32,
    /// Seconds from opening to fix of the times it was resolved and opened again since, the last
    /// hundred of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<u64>,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Until when it should be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Whether that has passed and was told.
    #[serde(default)]
    pub overdue: bool,
    /// In which version or set the vendor says it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_in: Option<String>,
    /// Entries of its thread.
    #[serde(default)]
    pub entries: u64,
}

/// What an engine said something with, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// When it said so.
    pub at: Timestamp,
    /// In which analysis.
    pub analysis: AnalysisId,
    /// With what.
    pub versions: EngineVersions,
}

/// Why an incident is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeptReason {
    /// The vendor confirmed the detection.
    Vendor,
    /// The publisher let it be.
    Publisher,
    /// The file is in the collection no more.
    Removed,
}

/// One entry of an incident's thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who: id of a key or user, or `acquit`.
    pub author: String,
    /// What kind of entry.
    pub kind: EntryKind,
    /// What was said, or what happened.
    pub text: String,
}

/// What kind of entry of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// The state changed.
    State,
    /// A note of the publisher's that the vendor does not see.
    Note,
    /// The vendor's word, which both see.
    Vendor,
    /// The publisher's word to the vendor, which both see.
    Reply,
    /// Something was sent to the vendor, or came back.
    Dispute,
}

/// What a vendor says of a detection of its engine: one for each hash and engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    /// What it says.
    pub text: String,
    /// When it last said so.
    pub at: Timestamp,
    /// Id of the key or user.
    pub author: String,
    /// Whether it stands by the detection.
    pub confirmed: bool,
    /// In which version or set it is fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_in: Option<String>,
}

/// A vendor's request for the file itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRequest {
    /// When it asked.
    pub asked_at: Timestamp,
    /// Why it wants the file.
    pub reason: String,
    /// When and by whom it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted: Option<(Timestamp, String)>,
    /// When and by whom it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<(Timestamp, String)>,
}
