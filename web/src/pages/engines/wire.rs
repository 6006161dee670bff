//! What the API says of engines, their signature sets and updates, as far as it is shown.

use serde::Deserialize;

use crate::pages::items::wire::Versions;

/// An engine.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EngineAttributes {
    /// Display name.
    pub name: String,
    /// Who makes it.
    pub vendor: String,
    /// What it looks at.
    pub description: String,
    /// Under which license it is, if that is stated.
    #[serde(default)]
    pub license: Option<String>,
    /// Whose signatures it shares.
    #[serde(default)]
    pub family: Option<Family>,
    /// Where it is, if it is not in a container here.
    #[serde(default)]
    pub outside: Option<Outside>,
    /// Where it stands.
    pub state: String,
    /// Whether a file given to it now would be scanned.
    #[serde(default)]
    pub can_scan: bool,
    /// Set on what names families and looks at no file.
    #[serde(default)]
    pub labeler: bool,
    #[serde(default)]
    pub versions: Option<EngineVersions>,
    /// The last thing that went wrong.
    #[serde(default)]
    pub last_error: Option<String>,
    #[serde(default)]
    pub last_error_date: Option<u64>,
    #[serde(default)]
    pub queued_interactive: u64,
    #[serde(default)]
    pub queued_nightly: u64,
    #[serde(default)]
    pub running: u64,
    #[serde(default)]
    pub slots: u64,
    /// How its jobs ended since the daemon started.
    #[serde(default)]
    pub coverage: Jobs,
    /// What it got done lately.
    #[serde(default)]
    pub throughput: Throughput,
    #[serde(default)]
    pub memory_mb: u64,
    /// What its container uses of it now.
    #[serde(default)]
    pub memory_used_mb: Option<u64>,
    /// How its signatures fare, if they are not in its image.
    #[serde(default)]
    pub signatures: Option<Signatures>,
    /// Attempts to leave the sandbox.
    #[serde(default)]
    pub probe: Vec<Check>,
}

impl EngineAttributes {
    /// Returns how many files wait at it.
    pub fn queued(&self) -> u64 {
        self.queued_interactive + self.queued_nightly
    }
}

/// Engines that share signatures.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Family {
    /// The family's name.
    pub of: String,
    /// Where it is said.
    #[serde(default)]
    pub source: String,
}

/// A server outside.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Outside {
    /// Its address.
    pub address: String,
    /// `file` or `hash`.
    #[serde(default)]
    pub sends: String,
    /// The operator's words.
    #[serde(default)]
    pub consent: Option<String>,
}

/// What an engine scans with.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EngineVersions {
    #[serde(default)]
    pub engine: Option<String>,
    #[serde(default)]
    pub signatures: Option<String>,
    /// `YYYYMMDD`.
    #[serde(default)]
    pub signatures_date: Option<String>,
    #[serde(default)]
    pub image: String,
    /// Day on which its license ends, `YYYYMMDD`.
    #[serde(default)]
    pub license_expires: Option<String>,
}

/// How jobs ended.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Jobs {
    #[serde(default)]
    pub answered: u64,
    #[serde(default)]
    pub failed: u64,
}

/// What an engine got done lately.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Throughput {
    pub files: u64,
    pub bytes: u64,
    /// Seconds in which it did.
    pub seconds: u64,
    pub files_per_second: f64,
    pub bytes_per_second: f64,
}

/// One attempt to leave the sandbox.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Check {
    pub name: String,
    /// Whether the sandbox held.
    #[serde(default)]
    pub held: bool,
    #[serde(default)]
    pub seen: String,
}

/// How an engine's signatures fare.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Signatures {
    /// The set in service, and since when.
    #[serde(default)]
    pub active: Option<String>,
    #[serde(default)]
    pub active_date: Option<u64>,
    /// Where a rollback leads.
    #[serde(default)]
    pub previous: Option<String>,
    /// Whether an administrator holds the active one.
    #[serde(default)]
    pub held: bool,
    /// Whether it can be updated at all.
    #[serde(default)]
    pub updatable: bool,
    /// The update under way.
    #[serde(default)]
    pub updating: Option<Updating>,
    #[serde(default)]
    pub last_update_date: Option<u64>,
    #[serde(default)]
    pub last_outcome: Option<String>,
    /// When it was last known to have the newest signatures.
    #[serde(default)]
    pub last_success_date: Option<u64>,
    #[serde(default)]
    pub failures: u64,
    #[serde(default)]
    pub next_update_date: Option<u64>,
}

/// An update under way.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Updating {
    pub number: u64,
    pub phase: String,
    #[serde(default)]
    pub start_date: u64,
    /// Bytes the candidate has that the active set has not.
    #[serde(default)]
    pub new_bytes: u64,
    /// Bytes its command has printed.
    #[serde(default)]
    pub output_bytes: u64,
}

/// A signature set.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SetAttributes {
    /// `candidate`, `active`, `retired` or `rejected`.
    pub state: String,
    pub state_date: u64,
    pub creation_date: u64,
    /// `seed`, `update` or `bundle`.
    #[serde(default)]
    pub source: String,
    /// Number of the update it came by.
    #[serde(default)]
    pub update: Option<u64>,
    #[serde(default)]
    pub bundle_key: Option<String>,
    #[serde(default)]
    pub digest: String,
    #[serde(default)]
    pub files: u64,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub own_size: u64,
    #[serde(default)]
    pub parent: Option<String>,
    #[serde(default)]
    pub versions: Option<Versions>,
    #[serde(default)]
    pub canary: Option<Canary>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    #[serde(default)]
    pub on_disk: bool,
}

/// What the canary saw of a set.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Canary {
    pub date: u64,
    pub passed: bool,
    #[serde(default)]
    pub known_bad: u64,
    #[serde(default)]
    pub known_good: u64,
    /// Why the set may not serve.
    #[serde(default)]
    pub evidence: Vec<CanaryFile>,
    /// Files that say nothing against it.
    #[serde(default)]
    pub passed_over: Vec<CanaryFile>,
}

/// One file the canary was shown.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CanaryFile {
    pub file: String,
    #[serde(default)]
    pub sha256: Option<String>,
    /// `detection` or `silence`.
    #[serde(default)]
    pub expected: String,
    #[serde(default)]
    pub category: String,
    #[serde(default)]
    pub result: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
}

/// A rule that is not in a set.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct LeftOut {
    pub name: String,
    #[serde(default)]
    pub reason: String,
}

/// An update.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct UpdateAttributes {
    pub number: u64,
    /// `schedule`, `missed`, `retry`, `manual` or `import`.
    #[serde(default)]
    pub trigger: String,
    pub start_date: u64,
    #[serde(default)]
    pub end_date: Option<u64>,
    /// `download`, `canary`, `promotion` or `done`.
    #[serde(default)]
    pub phase: String,
    /// `unchanged`, `promoted`, `rejected`, `failed` or `interrupted`.
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Whether all that its command printed is kept.
    #[serde(default)]
    pub has_output: bool,
    #[serde(default)]
    pub signature_set: Option<String>,
}

impl UpdateAttributes {
    /// Returns how many seconds it took; nothing while it is under way.
    pub fn took(&self) -> Option<u64> {
        Some(self.end_date?.saturating_sub(self.start_date))
    }
}
