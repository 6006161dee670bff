//! What the API says of files and items, as far as it is shown.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::coverage::Coverage;
use serde_json::Value;

/// One engine's answer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct EngineAnswer {
    /// VirusTotal's word for it.
    pub category: String,
    /// The engine's display name.
    pub engine_name: String,
    /// Its version, in its own words.
    #[serde(default)]
    pub engine_version: Option<String>,
    /// Date of its signatures, `YYYYMMDD`.
    #[serde(default)]
    pub engine_update: Option<String>,
    /// How it looked.
    #[serde(default)]
    pub method: String,
    /// Its name for what it detected.
    #[serde(default)]
    pub result: Option<String>,
    /// Its id here.
    #[serde(default)]
    pub engine_id: String,
    /// How long it ran, in milliseconds.
    #[serde(default)]
    pub duration_ms: u64,
    /// The signature set it scanned with.
    #[serde(default)]
    pub signature_set: Option<String>,
    /// Why there is no answer on the content.
    #[serde(default)]
    pub reason: Option<String>,
    /// What is otherwise than before.
    #[serde(default)]
    pub change: Option<AnswerChange>,
}

/// How an answer differs from the one before.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct AnswerChange {
    /// `introduced`, `removed` or `changed`.
    pub kind: String,
    /// The name for what it detected before.
    #[serde(default)]
    pub result_before: Option<String>,
}

/// Answers by display name.
pub type Answers = BTreeMap<String, EngineAnswer>;

/// A file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FileAttributes {
    /// The hashes.
    pub sha256: String,
    #[serde(default)]
    pub sha1: String,
    #[serde(default)]
    pub md5: String,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
    /// Names it came under, newest first.
    #[serde(default)]
    pub names: Vec<String>,
    /// What its first bytes say it is.
    #[serde(default)]
    pub type_tag: Option<String>,
    #[serde(default)]
    pub first_submission_date: u64,
    #[serde(default)]
    pub last_submission_date: u64,
    #[serde(default)]
    pub times_submitted: u64,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whose software it is, if it is anybody's here.
    #[serde(default)]
    pub known_distributors: Option<KnownDistributors>,
    /// What family the detections are of.
    #[serde(default)]
    pub popular_threat_classification: Option<Family>,
    /// When it was last analyzed; nothing if it never was.
    #[serde(default)]
    pub last_analysis_date: Option<u64>,
    #[serde(default)]
    pub last_analysis_results: Answers,
    #[serde(default)]
    pub coverage: Coverage,
}

/// Whose software a file is.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct KnownDistributors {
    /// Names of the publishers.
    #[serde(default)]
    pub distributors: BTreeSet<String>,
    /// Products it is of.
    #[serde(default)]
    pub products: BTreeSet<String>,
}

/// What family the detections of a file are of.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Family {
    /// The one name out of the engines'.
    pub suggested_threat_label: String,
    /// How many engines' names it was made of.
    #[serde(default)]
    pub popular_threat_name: Vec<Popular>,
    /// Who made it.
    #[serde(default)]
    pub labeler: String,
}

/// A name and how many engines it stands on.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Popular {
    /// How many.
    pub count: u64,
}

/// An item of a collection.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ItemAttributes {
    /// Where it is.
    pub path: String,
    /// `file` or `folder`.
    pub item_type: String,
    #[serde(default)]
    pub creation_date: u64,
    #[serde(default)]
    pub last_modification_date: u64,
    /// Who made it.
    #[serde(default)]
    pub creator_id: String,
    #[serde(default)]
    pub tags: BTreeSet<String>,
    /// What the publisher tells vendors of it.
    #[serde(default)]
    pub details: Option<String>,
    #[serde(default)]
    pub sha256: String,
    /// When an engine first detected it.
    #[serde(default)]
    pub first_detection_date: Option<u64>,
    /// When it is looked at again.
    #[serde(default)]
    pub next_analysis_date: Option<u64>,
    /// Engines that detect it now, by their last word.
    #[serde(default)]
    pub last_detections_count: Option<u64>,
}

/// An analysis.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AnalysisAttributes {
    /// `queued`, `in-progress` or `completed`.
    pub status: String,
    /// When it was completed, or opened if it is not.
    #[serde(default)]
    pub date: u64,
    #[serde(default)]
    pub results: Answers,
    #[serde(default)]
    pub coverage: Coverage,
    #[serde(default)]
    pub known_distributors: Option<KnownDistributors>,
    #[serde(default)]
    pub popular_threat_classification: Option<Family>,
}

impl AnalysisAttributes {
    /// Tells whether every engine has answered.
    pub fn is_complete(&self) -> bool {
        self.status == "completed"
    }
}

/// An engine, as far as a file's page needs it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EngineBrief {
    /// Display name.
    pub name: String,
    /// Where it stands.
    pub state: String,
    /// Set on what names families and looks at no file.
    #[serde(default)]
    pub labeler: bool,
    #[serde(default)]
    pub signatures: Option<ActiveSet>,
}

impl EngineBrief {
    /// Tells whether it is one of those that are asked about files.
    pub fn takes_part(&self) -> bool {
        !self.labeler && !matches!(self.state.as_str(), "disabled" | "needs-consent")
    }
}

/// The signature set in service.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ActiveSet {
    #[serde(default)]
    pub active: Option<String>,
    /// When it came.
    #[serde(default)]
    pub active_date: Option<u64>,
}

/// What an engine looked with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Versions {
    #[serde(default)]
    pub engine: Option<String>,
    #[serde(default)]
    pub signatures: Option<String>,
    #[serde(default)]
    pub signatures_date: Option<String>,
    #[serde(default)]
    pub signature_set: Option<String>,
}

/// What an engine said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Word {
    /// VirusTotal's word for it.
    pub category: String,
    /// The engine's own name for what it found.
    #[serde(default)]
    pub result: Option<String>,
}

/// A change of an engine's word on a file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ChangeAttributes {
    /// When it was noticed.
    pub date: u64,
    /// Whose word.
    pub engine: String,
    /// What it says now.
    #[serde(flatten)]
    pub word: Word,
    #[serde(default)]
    pub versions: Versions,
    #[serde(default)]
    pub before: Option<Word>,
    #[serde(default)]
    pub versions_before: Option<Versions>,
}

/// A vendor's comment.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CommentAttributes {
    pub comment: String,
    pub date: u64,
    /// `confirmed` if the vendor stands by its detection.
    #[serde(default)]
    pub detection: Option<String>,
    pub engine: String,
    #[serde(default)]
    pub fixed_in: Option<String>,
}

/// An incident, as far as a file's page shows it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct IncidentAttributes {
    pub engine: String,
    #[serde(default)]
    pub engine_name: Option<String>,
    pub state: String,
    pub state_date: u64,
    pub opened_date: u64,
    pub detection: String,
    #[serde(default)]
    pub sha256: String,
    #[serde(default)]
    pub overdue: bool,
    #[serde(default)]
    pub deadline_date: Option<u64>,
}

/// An event of a collection.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EventAttributes {
    /// `UPLOAD`, `DELETE`, `DETECTED`, `CLEAN`, `RESOLVED` or `COMMENT`.
    pub action: String,
    #[serde(default)]
    pub creator_id: String,
    #[serde(default)]
    pub plaintext_description: String,
    pub date: u64,
}

/// A content an item has or had.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct VersionAttributes {
    pub sha256: String,
    pub size: u64,
    pub from_date: u64,
    #[serde(default)]
    pub until_date: Option<u64>,
}

/// A release card.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CardAttributes {
    #[serde(default)]
    pub effective: BTreeMap<String, Field>,
    #[serde(default)]
    pub file: Option<Facts>,
}

/// A field of a card and where it comes from.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Field {
    #[serde(default)]
    pub value: Value,
    /// `stated`, `inherited` or `file`.
    #[serde(default)]
    pub source: String,
    /// Where it is stated.
    #[serde(default)]
    pub at: Option<String>,
}

/// What a file says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Facts {
    #[serde(default)]
    pub format: Option<String>,
    #[serde(default)]
    pub company: Option<String>,
    #[serde(default)]
    pub product: Option<String>,
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub original_name: Option<String>,
    #[serde(default)]
    pub signer: Option<Signer>,
    #[serde(default)]
    pub more: BTreeMap<String, String>,
    #[serde(default)]
    pub problem: Option<String>,
}

/// Who signed a file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Signer {
    pub subject: String,
    #[serde(default)]
    pub issuer: String,
    #[serde(default)]
    pub serial: String,
    #[serde(default)]
    pub thumbprint: String,
    /// Milliseconds since 1970.
    #[serde(default)]
    pub signed_at: Option<u64>,
    #[serde(default)]
    pub verification: Verification,
}

/// Whether a signature fits its file.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Verification {
    /// `trusted`, `intact`, `broken` or `unchecked`.
    #[serde(default)]
    pub result: String,
    #[serde(default)]
    pub reason: Option<String>,
}

/// What a search found.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct FindAttributes {
    #[serde(default)]
    pub owner: Option<String>,
    #[serde(default)]
    pub path: Option<String>,
}

impl Field {
    /// Returns the value's lines.
    pub fn lines(&self) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        match &self.value {
            Value::Array(values) => values.iter().map(text).collect(),
            value => vec![text(value)],
        }
    }
}

impl Facts {
    /// Returns what it says, by what that is called.
    pub fn said(&self) -> Vec<(String, String)> {
        let known = [
            ("Company", &self.company),
            ("Product", &self.product),
            ("Version", &self.version),
            ("Description", &self.description),
            ("Original name", &self.original_name),
        ];
        let known = known.into_iter().filter_map(|(name, value)| {
            let value = value.clone()?;
            Some((name.to_owned(), value))
        });
        let more = self.more.iter();
        known
            .chain(more.map(|(name, value)| (name.clone(), value.clone())))
            .collect()
    }
}

/// Writes the name of a card's field for people: `release_date` is `Release date`.
pub fn field_name(name: &str) -> String {
    let name = name.replace('_', " ");
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_uppercase());
    first.into_iter().flatten().chain(letters).collect()
}
