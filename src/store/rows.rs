//! The rows: what the tables hold besides the model's own values.

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::model::{
    AnalysisId, ApiKey, Digests, EngineId, EngineVersions, Event, EventKind, ItemPath, KeyId,
    Priority, ProbeCheck, PublisherId, Seat, Sha256, SharePolicy, SignatureSetId, Timestamp,
    UpdateOutcome, UserId, Verdict,
};

/// What is known of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRow {
    /// Its names by hash.
    pub digests: Digests,
    /// Its length.
    pub size_bytes: u64,
    /// When it first came.
    pub first_submission_at: Timestamp,
    /// When it last came.
    pub last_submission_at: Timestamp,
    /// How often it came.
    pub times_submitted: u64,
    /// Names it came under, newest last, bounded.
    pub names: Vec<String>,
    /// What its first bytes say it is, e.g. `pe`, `elf`, `zip`.
    #[serde(default)]
    pub type_tag: Option<String>,
    /// The newest analysis that is complete.
    #[serde(default)]
    pub last_analysis: Option<AnalysisId>,
    /// Numbers of the analyses that are not complete, oldest first, bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<u64>,
}

/// An API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Its public name.
    pub id: KeyId,
    /// Digest of the secret.
    pub digest: Sha256,
    /// What the operator calls it.
    pub name: String,
    /// What it may do, and in whose name.
    #[serde(flatten)]
    pub seat: Seat,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was withdrawn.
    #[serde(default)]
    pub revoked_at: Option<Timestamp>,
    /// When it ceases to work by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute or so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The user who signed in with it made; nothing for a key that an administrator made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The key with which this one was opened for a session; it works only as long as that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<KeyId>,
}

impl KeyRow {
    /// Makes the row of a new key.
    pub fn new(key: &ApiKey, name: String, seat: Seat, now: Timestamp) -> Self {
        Self {
            id: key.id(),
            digest: key.digest(),
            name,
            seat,
            created_at: now,
            revoked_at: None,
            expires_at: None,
            last_used_at: None,
            user: None,
            parent: None,
        }
    }

    /// Tells whether somebody came in with it: such a key ends by itself, and can be signed out.
    pub const fn is_session(&self) -> bool {
        self.user.is_some() || self.parent.is_some()
    }

    /// Returns whose doing it is what is done with it, if no user did it: of a session's the key it
    /// was opened with.
    pub fn holder(&self) -> &KeyId {
        self.parent.as_ref().unwrap_or(&self.id)
    }
}

/// A publisher's hold on a blob: how many of its items point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRow {
    /// Items that point at the blob now.
    pub items: u64,
    /// Since when the publisher has had it.
    pub since: Timestamp,
}

/// An act on a tree of items that takes more than one change: it goes on after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeActRow {
    /// Who does it.
    pub actor: String,
    /// Since when.
    pub at: Timestamp,
    /// Whether it was found to be possible: until then nothing is changed.
    pub ready: bool,
    /// The last item that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<ItemPath>,
    /// Items that were moved, copied, deleted or brought back.
    pub count: u64,
    /// What the folder says of itself now, so that vendors have no more of it than before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<SharePolicy>,
    /// What is done.
    #[serde(flatten)]
    pub what: TreeAct,
}

/// What is done to a tree of items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum TreeAct {
    /// A folder and all below it become another.
    Move {
        /// From where.
        from: ItemPath,
        /// To where.
        to: ItemPath,
    },
    /// A folder and all below it are copied.
    Copy {
        /// From where.
        from: ItemPath,
        /// To where.
        to: ItemPath,
    },
    /// A folder and all below it go to the trash, under the act's own number.
    Delete {
        /// Which.
        path: ItemPath,
    },
    /// What was deleted in one act comes back.
    Restore {
        /// The number of the act in which it was deleted.
        act: u64,
        /// Where it was.
        path: ItemPath,
    },
    /// What was deleted in one act goes for good.
    Purge {
        /// The number of the act in which it was deleted.
        act: u64,
    },
}

/// A URL that works by itself for a while: to upload one file, or to download one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum TicketRow {
    /// One upload, in the name of a key.
    Upload {
        /// Who asked for it.
        key: KeyId,
        /// When it ceases to work.
        expires_at: Timestamp,
    },
    /// One upload into a publisher's collection, in the name of a key.
    MonitorUpload {
        /// Who asked for it.
        key: KeyId,
        /// Whose collection.
        publisher: PublisherId,
        /// When it ceases to work.
        expires_at: Timestamp,
    },
    /// Downloads of one blob.
    Download {
        /// Which.
        sha256: Sha256,
        /// When it ceases to work.
        expires_at: Timestamp,
        /// The key in whose name; its right is looked at again when the URL is used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyId>,
    },
}

/// What can be told of a publisher's event without reading it: that it does not fit a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventGlance {
    /// What kind of event.
    pub kind: EventKind,
    /// Mark of who did it; nothing if it was Acquit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<u32>,
    /// Mark of where in the collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<u32>,
}

impl EventGlance {
    /// Glances at an event.
    pub fn of(event: &Event) -> Self {
        let about = &event.about;
        Self {
            kind: event.kind,
            actor: about.actor.as_deref().map(Self::mark),
            path: about.path.as_ref().map(|path| Self::mark(path.as_str())),
        }
    }

    /// Returns the mark of a text: equal texts have equal ones, other texts seldom.
    pub fn mark(text: &str) -> u32 {
        let digest: [u8; 32] = sha2::Sha256::digest(text).into();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

/// The signature set an engine scans with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureSetRow {
    /// Its name.
    pub id: SignatureSetId,
    /// Since when.
    pub created_at: Timestamp,
    /// Where it came from: `seed`, `update` or `bundle`.
    pub source: String,
    /// The set before it.
    #[serde(default)]
    pub previous: Option<SignatureSetId>,
    /// Whether an administrator holds it in service.
    #[serde(default)]
    pub held: bool,
}

/// When an engine was updated last, and how that went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockRow {
    /// Number of the last update.
    pub number: u64,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When the engine was last known to have the newest signatures.
    pub success_at: Option<Timestamp>,
    /// Updates that failed since.
    pub failures: u32,
    /// How the last one ended.
    pub outcome: Option<UpdateOutcome>,
    /// Since when this clock runs: what was due before was never missed.
    #[serde(default)]
    pub since: Timestamp,
}

/// A change of an engine's word on a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineRow {
    /// When it was noticed.
    pub at: Timestamp,
    /// The analysis in which it was.
    pub analysis: AnalysisId,
    /// What the engine says now.
    pub verdict: Verdict,
    /// What it says it with.
    pub versions: EngineVersions,
    /// What it said before; nothing if this is its first word.
    #[serde(default)]
    pub before: Option<Verdict>,
    /// What it last said that with.
    #[serde(default)]
    pub versions_before: Option<EngineVersions>,
    /// Number of the analysis in which it last said that.
    #[serde(default)]
    pub analysis_before: Option<u64>,
}

/// A proof that the sandbox holds for an engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofRow {
    /// Content id of the image it was made with.
    pub image: String,
    /// The boot, machine, Docker and program it was made on.
    pub ground: String,
    /// What the probe saw.
    pub checks: Vec<ProbeCheck>,
}

/// Place of a job in its lane: engine, who waits, order of arrival.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    /// Whose lane.
    pub engine: EngineId,
    /// Who waits.
    pub priority: Priority,
    /// Order of arrival.
    pub number: u64,
}

/// One engine's result in one analysis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResultKey {
    /// Which analysis.
    pub analysis: AnalysisId,
    /// Which engine.
    pub engine: EngineId,
}
