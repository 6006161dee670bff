//! Signature sets and what happens to them: candidate, active, retired, rejected.
//!
//! ```text
//! update, import ──→ candidate ──canary──→ active ──→ retired ──rollback──→ active
//!                        └──→ rejected ──an administrator's promote──→ active
//! ```

use serde::{Deserialize, Serialize};

use super::{
    EngineId, EngineVersions, ItemPath, PublisherId, RawOutputId, Sha256, SignatureSetId,
    Timestamp, Verdict,
};

/// Where a signature set stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetState {
    /// It came, and the canary has not spoken yet.
    Candidate,
    /// The engine scans with it.
    Active,
    /// The engine scanned with it once.
    Retired,
    /// The canary refused it.
    Rejected,
}

impl SetState {
    /// Returns the state's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Rejected => "rejected",
        }
    }
}

/// Where a signature set came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum SetSource {
    /// From the engine's build context.
    Seed,
    /// From an update.
    Update {
        /// Its number.
        number: u64,
    },
    /// From a bundle of another appliance.
    Bundle {
        /// The key that signed it.
        key: String,
    },
}

impl SetSource {
    /// Returns the source's name on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Update { .. } => "update",
            Self::Bundle { .. } => "bundle",
        }
    }
}

/// One signature set of one engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureSet {
    /// Whose.
    pub engine: EngineId,
    /// Its name.
    pub id: SignatureSetId,
    /// Where it stands.
    pub state: SetState,
    /// Since when.
    pub state_at: Timestamp,
    /// When it came.
    pub created_at: Timestamp,
    /// Where it came from.
    pub source: SetSource,
    /// Digest of its files: SHA-256 in hexadecimal.
    pub digest: String,
    /// How many files it has.
    pub files: u64,
    /// Their size in bytes.
    pub size_bytes: u64,
    /// Bytes it does not share with the set it was made from.
    pub own_bytes: u64,
    /// The set it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SignatureSetId>,
    /// What the engine says of itself with this set; nothing until it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<EngineVersions>,
    /// What the canary saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryReport>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Rules the update left out because they do not compile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Whether its files are still here.
    pub on_disk: bool,
}

/// One rule file, or a part of it, that is not in a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What the canary saw of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryReport {
    /// When.
    pub at: Timestamp,
    /// Known-bad files shown.
    pub bad: u64,
    /// Known-good files shown.
    pub good: u64,
    /// Every file that was not answered as it must be, and why the candidate may not serve.
    pub evidence: Vec<Evidence>,
    /// Files that were answered otherwise and say nothing against the candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<Evidence>,
}

impl CanaryReport {
    /// Tells whether the candidate may serve.
    pub const fn is_fine(&self) -> bool {
        self.evidence.is_empty()
    }
}

/// One file the canary was shown, and what the candidate said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The file, as the operator knows it.
    pub file: String,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// What was expected of it.
    pub expected: Expected,
    /// What the candidate said.
    pub verdict: Verdict,
}

impl Evidence {
    /// Returns by which name a reference is shown to the canary.
    pub fn reference(sha256: &Sha256) -> String {
        format!("reference {sha256}")
    }

    /// Tells whether it is about a reference, a file of somebody's that not everybody may know of.
    pub fn is_reference(&self) -> bool {
        self.file == Self::reference(&self.sha256)
    }
}

/// What a candidate must say of a canary's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// That it is bad.
    Detection,
    /// Nothing.
    Silence,
}

/// One update of one engine's signatures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// Whose.
    pub engine: EngineId,
    /// Its number; those of an engine are in order.
    pub number: u64,
    /// Why it was made.
    pub trigger: Trigger,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What is under way.
    pub phase: UpdatePhase,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<UpdateOutcome>,
    /// Why it ended so, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Exit code of the update command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What the update command printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<RawOutputId>,
    /// The set it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_set: Option<SignatureSetId>,
}

/// Why an update was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    /// It was time.
    Schedule,
    /// It had been time while the daemon was not running.
    Missed,
    /// The one before failed.
    Retry,
    /// An administrator asked.
    Manual,
    /// A bundle was imported.
    Import,
}

/// What is under way in an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdatePhase {
    /// The update command runs.
    Download,
    /// The candidate is shown known files.
    Canary,
    /// A container with the new set warms up and takes over.
    Promotion,
    /// Nothing any more.
    Done,
}

/// How an update ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOutcome {
    /// There was nothing new.
    Unchanged,
    /// The engine scans with the new set.
    Promoted,
    /// The canary refused the new set.
    Rejected,
    /// There is no new set because something failed.
    Failed,
    /// The daemon ended while it was under way.
    Interrupted,
}

macro_rules! wire_names {
    ($($name:ident),*) => {$(
        impl $name {
            /// Returns the value's name on the wire and in metrics.
            pub fn as_str(self) -> String {
                serde_json::to_value(self)
                    .ok()
                    .and_then(|value| value.as_str().map(str::to_owned))
                    .unwrap_or_default()
            }
        }
    )*};
}

wire_names!(Trigger, UpdatePhase, UpdateOutcome, Expected);

/// How an engine's signatures fare, as the board shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureStatus {
    /// The set in service.
    pub active: Option<SignatureSetId>,
    /// When it came.
    pub active_since: Option<Timestamp>,
    /// The set before it, to which a rollback leads.
    pub previous: Option<SignatureSetId>,
    /// Whether an administrator holds it in service.
    pub held: bool,
    /// Whether the engine can be updated at all.
    pub updatable: bool,
    /// The update under way.
    pub updating: Option<Progress>,
    /// When the last update began.
    pub last_update_at: Option<Timestamp>,
    /// How it ended.
    pub last_outcome: Option<UpdateOutcome>,
    /// When the engine was last known to have the newest signatures.
    pub last_success_at: Option<Timestamp>,
    /// Updates that failed or were rejected since.
    pub failures: u32,
    /// When the next update is due.
    pub next_update_at: Option<Timestamp>,
}

/// How far an update is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Its number.
    pub number: u64,
    /// What is under way.
    pub phase: UpdatePhase,
    /// When it began.
    pub started_at: Timestamp,
    /// Bytes the candidate has that the active set has not.
    pub new_bytes: u64,
    /// Bytes its command has printed.
    pub output_bytes: u64,
}

/// Something that happened and somebody may want to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Order of events.
    pub number: u64,
    /// When.
    pub at: Timestamp,
    /// What kind, e.g. `signatures-promoted`.
    pub kind: EventKind,
    /// Which engine it is about, if one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineId>,
    /// What happened, in one sentence.
    pub text: String,
    /// The same for programs.
    #[serde(default)]
    pub details: serde_json::Value,
    /// Whom and what it concerns.
    #[serde(default)]
    pub about: About,
}

/// Whom and what an event concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// Whose collection; nothing if it concerns the appliance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publisher: Option<PublisherId>,
    /// Where in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<ItemPath>,
    /// Which blob.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// Number of the incident.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<u64>,
    /// Id of the key or user that did it; nothing if it was Acquit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// An update failed or was cut off.
    UpdateFailed,
    /// An update found nothing new.
    UpdateUnchanged,
    /// The canary refused a candidate.
    CandidateRejected,
    /// An engine scans with a new set.
    SignaturesPromoted,
    /// An engine scans with the set before.
    SignaturesRolledBack,
    /// An administrator holds a set in service.
    SignaturesHeld,
    /// The hold is over.
    SignaturesReleased,
    /// A bundle came in.
    BundleImported,
    /// A rescan began.
    RescanStarted,
    /// A rescan is complete.
    RescanCompleted,
    /// An engine says that its licence ends soon or has ended.
    LicenseExpiring,
    /// A file came into a collection, or its content was replaced.
    ItemUploaded,
    /// An item was moved or renamed.
    ItemMoved,
    /// An item went to the trash.
    ItemDeleted,
    /// An item came back from the trash.
    ItemRestored,
    /// Items in the trash are gone for good.
    TrashEmptied,
    /// What vendors may have of files was changed.
    PolicyChanged,
    /// A publisher's quota is used up, or nearly.
    QuotaReached,
    /// Engines' detections of a blob changed.
    DetectionsChanged,
    /// An engine detects a file of a collection.
    IncidentOpened,
    /// It does so again.
    IncidentReopened,
    /// Somebody was told of it.
    IncidentNotified,
    /// Somebody answered.
    IncidentAcknowledged,
    /// The same engine calls the file clean.
    IncidentResolved,
    /// The vendor stands by the detection, or the publisher lets it be.
    IncidentKept,
    /// An incident's deadline has passed.
    IncidentOverdue,
    /// A vendor commented on a detection.
    VendorCommented,
    /// A vendor asks for a file.
    FileRequested,
    /// A publisher granted or refused it.
    FileAnswered,
    /// A vendor downloaded a file.
    FileDownloaded,
    /// A dispute was sent.
    DisputeSent,
    /// A dispute came back.
    DisputeBounced,
    /// The vendor has not answered a dispute and was reminded of it often enough.
    DisputeUnanswered,
    /// A dispute could not be sent for long; it is still tried.
    DisputeDelayed,
    /// A subscription was switched off because its other side does not want it.
    SubscriptionDisabled,
}

wire_names!(EventKind);
