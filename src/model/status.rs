//! How an engine fares right now, as the scan flow publishes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EngineId, EngineVersions, SignatureStatus, Timestamp};

/// Where an engine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineState {
    /// The operator switched it off.
    Disabled,
    /// It is outside of this machine, and the operator has not consented that files go there.
    NeedsConsent,
    /// Its image is not built.
    ImageMissing,
    /// The probe has not yet shown that the sandbox holds for it.
    Proving,
    /// The probe showed that the sandbox does not hold; it does not scan.
    Unproven,
    /// Its container is coming up.
    Starting,
    /// It scans, or would at once.
    Ready,
    /// Its container is stopped until there is work.
    Idle,
    /// It failed and is tried again later.
    BackingOff,
}

impl EngineState {
    /// Returns the state's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NeedsConsent => "needs-consent",
            Self::ImageMissing => "image-missing",
            Self::Proving => "proving",
            Self::Unproven => "unproven",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Idle => "idle",
            Self::BackingOff => "backing-off",
        }
    }

    /// Tells whether the engine is one of those that are asked about files.
    pub const fn takes_part(self) -> bool {
        !matches!(self, Self::Disabled | Self::NeedsConsent)
    }

    /// Tells whether a job given to the engine now would be scanned.
    pub const fn can_scan(self) -> bool {
        matches!(self, Self::Ready | Self::Idle)
    }
}

/// One attempt of the probe to leave the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeCheck {
    /// What was tried, e.g. `network`.
    pub name: String,
    /// Whether the sandbox held.
    pub held: bool,
    /// What was seen, in one sentence.
    pub seen: String,
}

/// Where an engine is that is not in a container of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideStatus {
    /// Its address.
    pub address: String,
    /// What goes there: `file` or `hash`.
    pub sends: String,
    /// The operator's words by which it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
}

/// Engines that carry the same signatures: they are one opinion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// Its name; that of the engine whose signatures they are, if it is known here.
    pub of: String,
    /// Where it is said that the engine carries them.
    pub source: String,
}

/// What an engine got done lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// Files it answered for.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Seconds in which it did.
    pub seconds: u64,
}

impl Throughput {
    /// Returns files and bytes a second.
    pub fn rates(self) -> (f64, f64) {
        let seconds = self.seconds.max(1) as f64;
        (self.files as f64 / seconds, self.bytes as f64 / seconds)
    }
}

/// How one engine fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineStatus {
    /// Whose status.
    pub id: EngineId,
    /// Display name, VirusTotal's `engine_name`.
    pub name: String,
    /// Who makes it.
    pub vendor: String,
    /// What it looks at.
    pub description: String,
    /// Under which license it is, if its manifest says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Whose signatures it carries, if they are also another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// Whether it names families by what other engines say, and looks at no file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub labeler: bool,
    /// Where it is, if it is not in a container of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<OutsideStatus>,
    /// Where it stands.
    pub state: EngineState,
    /// Versions read from the running container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<EngineVersions>,
    /// The last thing that went wrong, kept until the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error_at: Option<Timestamp>,
    /// Jobs that wait and somebody waits for.
    pub queued_interactive: u64,
    /// Jobs that wait for the night.
    pub queued_nightly: u64,
    /// Jobs under way.
    pub running: u64,
    /// Batches that may run at the same time.
    pub slots: u16,
    /// Jobs answered since the daemon started.
    pub answered: u64,
    /// Jobs that ended in a timeout or a failure since the daemon started.
    pub failed: u64,
    /// What it got done in the last minutes.
    #[serde(default)]
    pub throughput: Throughput,
    /// Memory its container may use, in mebibytes; 0 if it has none.
    pub memory_mb: u64,
    /// Memory its container uses, in mebibytes, when it was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_used_mb: Option<u64>,
    /// How its signatures fare, if they are not in its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signatures: Option<SignatureStatus>,
    /// What the probe saw, if it ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<ProbeCheck>,
}

impl EngineStatus {
    /// Tells whether a file given to it now would be scanned.
    pub const fn can_scan(&self) -> bool {
        !self.labeler && self.state.can_scan()
    }
}

/// Every engine's status, by id.
pub type EngineTable = BTreeMap<EngineId, EngineStatus>;
