//! Engines' answers as the wire shows them, each with its reasons.
//!
//! An engine that has not answered is absent; an engine that failed is there,
//! as a failure. Counts always come with their coverage.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::auth::Caller;
use crate::flow::known::known;
use crate::model::{
    Analysis, Change, EngineId, EngineResult, EngineVersions, Sha256, Stats, Verdict,
};
use crate::store::{LABELS, Store, StoreError};

/// How many engines say something of the content, of those that were asked.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Coverage {
    /// Engines that detect something, or looked and found nothing. Those that do not look into
    /// such files have not called it clean, no more than those that failed or ran out of time.
    pub answered: u32,
    /// Engines that say they do not look into such files; absent if there are none.
    #[serde(skip_serializing_if = "is_none")]
    pub unsupported: u32,
    /// Engines that were asked.
    pub enabled: u32,
}

const fn is_none(count: &u32) -> bool {
    *count == 0
}

impl Coverage {
    /// Counts answers, of so many engines that were asked.
    pub fn of(stats: &Stats, enabled: usize) -> Self {
        Self {
            answered: stats.answered(),
            unsupported: stats.type_unsupported,
            enabled: enabled.try_into().unwrap_or(u32::MAX),
        }
    }
}

/// Answers counted by VirusTotal's categories.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct WireStats {
    malicious: u32,
    suspicious: u32,
    undetected: u32,
    harmless: u32,
    timeout: u32,
    confirmed_timeout: u32,
    failure: u32,
    type_unsupported: u32,
    /// How many of the detections are of a file that belongs to a publisher's collection; absent
    /// where it belongs to none.
    #[serde(skip_serializing_if = "Option::is_none")]
    disputed: Option<u32>,
}

impl From<Stats> for WireStats {
    fn from(stats: Stats) -> Self {
        Self {
            malicious: stats.malicious,
            suspicious: stats.suspicious,
            undetected: stats.undetected,
            harmless: 0,
            timeout: stats.timeout,
            confirmed_timeout: 0,
            failure: stats.failure,
            type_unsupported: stats.type_unsupported,
            disputed: None,
        }
    }
}

/// One engine's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct EngineAnswer {
    /// VirusTotal's word: `malicious`, `suspicious`, `undetected`, `type-unsupported`, `timeout`
    /// or `failure`.
    category: &'static str,
    /// Display name of the engine.
    engine_name: String,
    /// Its version, in its own words.
    engine_version: Option<String>,
    /// Date of its signatures, `YYYYMMDD`.
    engine_update: Option<String>,
    /// Always `blacklist`.
    method: &'static str,
    /// The engine's name for what it detected.
    result: Option<String>,
    /// The engine's id here.
    engine_id: String,
    /// How long the engine ran, in milliseconds.
    duration_ms: u64,
    /// The signature set it scanned with.
    signature_set: Option<String>,
    /// Why there is no answer on the content.
    reason: Option<String>,
    /// What is otherwise than in its answer before.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<AnswerChange>,
    /// Set on a detection in a file that belongs to a publisher's collection.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disputed: bool,
}

/// How an answer differs from the one before.
#[derive(Debug, Serialize, ToSchema)]
pub struct AnswerChange {
    /// `introduced`, `removed` or `changed`.
    kind: &'static str,
    /// VirusTotal's word for what the engine said before.
    category_before: &'static str,
    /// Its name for what it detected before.
    result_before: Option<String>,
    /// The signature set it last said that with.
    signature_set_before: Option<String>,
}

impl From<Change> for AnswerChange {
    fn from(change: Change) -> Self {
        let set = change.versions_before.signature_set;
        Self {
            kind: change.kind.as_str(),
            category_before: change.before.category(),
            result_before: change.before.name().map(ToString::to_string),
            signature_set_before: set.map(|set| set.0),
        }
    }
}

/// What family the detections are of: VirusTotal's `popular_threat_classification`.
#[derive(Debug, Serialize, ToSchema)]
pub struct ThreatClassification {
    /// One name out of what the engines call it.
    suggested_threat_label: String,
    /// How many engines' names it was made of.
    popular_threat_name: Vec<PopularName>,
    /// Who made it, by its id here.
    labeler: String,
}

/// A name and how many engines it stands on.
#[derive(Debug, Serialize, ToSchema)]
pub struct PopularName {
    count: usize,
    value: String,
}

impl ThreatClassification {
    /// Returns the label of a file that is detected now.
    ///
    /// # Errors
    /// If the store fails.
    pub fn find(
        store: &Store,
        sha256: &Sha256,
        stats: &WireStats,
    ) -> Result<Option<Self>, StoreError> {
        if stats.malicious + stats.suspicious == 0 {
            return Ok(None);
        }
        let label = store.get(&LABELS, sha256)?;
        Ok(label.map(|label| Self {
            suggested_threat_label: label.family.to_string(),
            popular_threat_name: vec![PopularName {
                count: label.names.len(),
                value: label.family.to_string(),
            }],
            labeler: label.labeler.to_string(),
        }))
    }
}

/// Whose software a file is, as far as the caller may know: VirusTotal's `known_distributors`.
#[derive(Debug, Serialize, ToSchema)]
pub struct KnownDistributors {
    /// Names of the publishers in whose collections it is.
    distributors: BTreeSet<String>,
    /// Names it has there.
    filenames: BTreeSet<String>,
    /// Products it is of.
    products: BTreeSet<String>,
    /// Where to read about them and to get them.
    links: BTreeSet<String>,
    /// Where this is known from.
    data_sources: Vec<&'static str>,
}

impl KnownDistributors {
    /// Looks whose software a file is, as far as a caller may know.
    ///
    /// # Errors
    /// If the store fails.
    pub fn find(
        store: &Store,
        sha256: &Sha256,
        caller: &Caller,
    ) -> Result<Option<Self>, StoreError> {
        let known = known(store, sha256, &|publisher| caller.may_see(publisher))?;
        Ok(known.map(|known| Self {
            distributors: known.distributors,
            filenames: known.filenames,
            products: known.products,
            links: known.links,
            data_sources: vec!["Acquit"],
        }))
    }

    /// Marks the detections of such a file as disputed; the categories stay the engines' words.
    pub fn dispute(&self, stats: &mut WireStats, answers: &mut BTreeMap<String, EngineAnswer>) {
        let detections = answers
            .values_mut()
            .filter(|answer| matches!(answer.category, "malicious" | "suspicious"));
        let mut count = 0;
        for detection in detections {
            detection.disputed = true;
            count += 1;
        }
        stats.disputed = Some(count);
    }
}

/// Returns what the engines answered; an answer that should be there and is not is a failure.
///
/// The analysis was read before its results, so that there can only be more results than it says.
///
/// # Errors
/// If the store fails.
pub fn answers(
    store: &Store,
    analysis: &Analysis,
) -> Result<BTreeMap<EngineId, EngineResult>, StoreError> {
    let mut answers = store.results(&analysis.id)?;
    for engine in analysis.engines.difference(&analysis.pending) {
        answers
            .entry(engine.clone())
            .or_insert_with(|| EngineResult {
                verdict: Verdict::failure("the stored answer of this engine is missing"),
                versions: EngineVersions::default(),
                finished_at: analysis.completed_at.unwrap_or(analysis.created_at),
                duration_ms: 0,
                raw_output: None,
                staged_name: None,
                change: None,
            });
    }
    Ok(answers)
}

/// Puts answers under the engines' display names; no answer may hide behind another's name.
pub fn named(
    app: &App,
    answers: BTreeMap<EngineId, EngineResult>,
) -> BTreeMap<String, EngineAnswer> {
    let table = app.api.engines.borrow();
    let mut named = BTreeMap::new();
    for (id, result) in answers {
        let name = table.get(&id).map(|status| status.name.clone());
        let mut name = name.unwrap_or_else(|| id.to_string());
        if named.contains_key(&name) {
            name = format!("{name} ({id})");
        }
        named.insert(name.clone(), engine_answer(&id, name, result));
    }
    named
}

impl EngineAnswer {
    /// Tells whether the engine detects something.
    pub fn is_detection(&self) -> bool {
        matches!(self.category, "malicious" | "suspicious")
    }
}

fn engine_answer(id: &EngineId, engine_name: String, result: EngineResult) -> EngineAnswer {
    let EngineResult {
        verdict,
        versions,
        change,
        ..
    } = result;
    EngineAnswer {
        category: verdict.category(),
        engine_name,
        engine_version: versions.engine,
        engine_update: versions.signatures_date,
        method: "blacklist",
        result: verdict.name().map(ToString::to_string),
        engine_id: id.to_string(),
        duration_ms: result.duration_ms,
        signature_set: versions.signature_set.map(|set| set.0),
        reason: verdict.reason().map(str::to_owned),
        disputed: false,
        change: change.map(AnswerChange::from),
    }
}
