//! What the server sends, as far as the command line reads it.
//!
//! Unknown keys are ignored, so that an older client keeps working.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::text::visible;
use crate::model::{Sha256, Stats};

/// An answer's outer form.
#[derive(Debug, Deserialize)]
pub struct Envelope<T> {
    /// What was asked for.
    pub data: T,
    /// What goes with it.
    #[serde(default)]
    pub meta: Meta,
}

/// What goes with an answer.
#[derive(Debug, Default, Deserialize)]
pub struct Meta {
    /// The file an analysis is of.
    #[serde(default)]
    pub file_info: Option<FileInfo>,
    /// Name of the analysis of what was uploaded into a collection.
    #[serde(default)]
    pub analysis: Option<String>,
    /// Where the next page of a list starts.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// The file an analysis is of.
#[derive(Clone, Debug, Deserialize)]
pub struct FileInfo {
    /// Its name.
    pub sha256: Sha256,
}

/// An object of the API.
#[derive(Clone, Debug, Deserialize)]
pub struct Object<A> {
    /// Its name.
    pub id: String,
    /// Its content.
    pub attributes: A,
}

impl Object<serde_json::Value> {
    /// Returns a text or a number of its attributes, made visible.
    pub fn text(&self, pointer: &str) -> Option<String> {
        use serde_json::Value;
        match self.attributes.pointer(pointer)? {
            Value::Null => None,
            Value::String(text) => Some(visible(text)),
            other => Some(visible(&other.to_string())),
        }
    }

    /// Returns the same, or a dash where there is none.
    pub fn cell(&self, pointer: &str) -> String {
        self.text(pointer).unwrap_or_else(|| "-".to_owned())
    }

    /// Returns a number of its attributes.
    pub fn number(&self, pointer: &str) -> Option<u64> {
        self.attributes.pointer(pointer)?.as_u64()
    }

    /// Returns it as one JSON object.
    pub fn document(&self) -> serde_json::Value {
        let mut object = self.attributes.clone();
        if let Some(object) = object.as_object_mut() {
            object.insert("id".to_owned(), self.id.clone().into());
        }
        object
    }
}

/// The name of an object just made.
#[derive(Debug, Deserialize)]
pub struct Descriptor {
    /// Its name.
    pub id: String,
}

/// An analysis.
#[derive(Clone, Debug, Deserialize)]
pub struct AnalysisAttributes {
    /// `queued`, `in-progress` or `completed`.
    pub status: String,
    /// What each engine answered, by its display name.
    #[serde(default)]
    pub results: BTreeMap<String, ResultAttributes>,
    /// Engines that answered and engines asked, if the server says so.
    #[serde(default)]
    pub coverage: Option<ServerCoverage>,
    /// Whose software the file is, if the server knows.
    #[serde(default)]
    pub known_distributors: Option<KnownDistributors>,
}

/// Whose software a file is.
#[derive(Clone, Debug, Deserialize)]
pub struct KnownDistributors {
    /// Names of publishers.
    #[serde(default)]
    pub distributors: Vec<String>,
}

/// Engines that answered and engines asked.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ServerCoverage {
    /// Engines asked.
    pub enabled: u32,
}

/// One engine's answer.
#[derive(Clone, Debug, Deserialize)]
pub struct ResultAttributes {
    /// VirusTotal's word for it.
    pub category: String,
    /// The detection's name.
    #[serde(default)]
    pub result: Option<String>,
    /// Why there is no verdict on the content.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether the file is a publisher's, who disputes the detection.
    #[serde(default)]
    pub disputed: bool,
}

/// One engine's detection of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// The engine's display name.
    pub engine: String,
    /// `malicious` or `suspicious`.
    pub category: String,
    /// The engine's own name for it.
    pub name: String,
    /// Whether the file is a publisher's, who disputes the detection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disputed: bool,
}

/// One engine that gave no answer, or none on the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unanswered {
    /// The engine's display name.
    pub engine: String,
    /// `timeout`, `failure`, or what else kept it from answering.
    pub category: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// How many of the engines asked answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Engines that detect something, or looked and found nothing.
    pub answered: u32,
    /// Engines that do not read files of such a type.
    #[serde(skip_serializing_if = "is_none")]
    pub unsupported: u32,
    /// Engines asked.
    pub engines: u32,
}

const fn is_none(count: &u32) -> bool {
    *count == 0
}

/// Everything an analysis says of its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// Answers by category.
    pub stats: Stats,
    /// How many answered.
    pub coverage: Coverage,
    /// Who detects what.
    pub detections: Vec<Detection>,
    /// Whose software the file is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub distributors: Vec<String>,
    /// Who did not answer and why.
    pub unanswered: Vec<Unanswered>,
    /// Who cannot look into such files and why.
    pub unsupported: Vec<Unanswered>,
}

impl Answers {
    /// Reads what the engines answered.
    ///
    /// `asked` are the engines that were to answer. One that is not among the
    /// results did not answer, and a category this client does not know is no
    /// answer either: neither may count as nothing detected.
    pub fn read(analysis: &AnalysisAttributes, asked: &[String]) -> Self {
        let mut answers = Self::default();
        if let Some(known) = &analysis.known_distributors {
            let names = known.distributors.iter();
            answers.distributors = names.map(|name| visible(name)).collect();
        }
        for (engine, result) in &analysis.results {
            answers.add(visible(engine), result);
        }
        let silent = asked
            .iter()
            .filter(|name| !analysis.results.contains_key(*name));
        let results = answers.coverage.engines;
        let missing = match analysis.coverage {
            Some(coverage) => coverage.enabled.saturating_sub(results) as usize,
            None => silent.clone().count(),
        };
        let unknown = "an engine".to_owned();
        for engine in silent.chain(std::iter::repeat(&unknown)).take(missing) {
            answers.miss(visible(engine));
        }
        answers
    }

    fn add(&mut self, engine: String, result: &ResultAttributes) {
        let category = visible(&result.category);
        self.count(&category);
        match category.as_str() {
            "undetected" | "harmless" => {}
            "malicious" | "suspicious" => {
                let name = given(result.result.as_deref(), "(no name)");
                self.detections.push(Detection {
                    engine,
                    category,
                    name,
                    disputed: result.disputed,
                });
            }
            other => {
                let usual = match other {
                    "timeout" | "confirmed-timeout" => "it took too long",
                    "failure" | "type-unsupported" => "no reason given",
                    _ => "this client does not know the category",
                };
                let list = match other {
                    "type-unsupported" => &mut self.unsupported,
                    _ => &mut self.unanswered,
                };
                list.push(Unanswered {
                    engine,
                    reason: given(result.reason.as_deref(), usual),
                    category,
                });
            }
        }
    }

    fn count(&mut self, category: &str) {
        let (count, answered) = match category {
            "malicious" => (&mut self.stats.malicious, true),
            "suspicious" => (&mut self.stats.suspicious, true),
            "undetected" | "harmless" => (&mut self.stats.undetected, true),
            "type-unsupported" => (&mut self.stats.type_unsupported, false),
            "timeout" | "confirmed-timeout" => (&mut self.stats.timeout, false),
            _ => (&mut self.stats.failure, false),
        };
        *count += 1;
        self.coverage.engines += 1;
        self.coverage.answered += u32::from(answered);
        self.coverage.unsupported += u32::from(category == "type-unsupported");
    }

    fn miss(&mut self, engine: String) {
        self.coverage.engines += 1;
        self.unanswered.push(Unanswered {
            engine,
            category: "missing".to_owned(),
            reason: "it has not answered".to_owned(),
        });
    }

    /// Tells whether at least one engine looked into the file and no other failed to: those that do
    /// not read its type need not.
    pub const fn is_complete(&self) -> bool {
        self.coverage.answered > 0 && self.unanswered.is_empty()
    }
}

/// Returns the engine's or server's text made visible, or the usual one if it said nothing.
fn given(text: Option<&str>, usual: &str) -> String {
    match text {
        Some(text) if !text.trim().is_empty() => visible(text),
        _ => usual.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(results: serde_json::Value, asked: &[&str]) -> Answers {
        let analysis = json!({ "status": "completed", "results": results });
        let asked: Vec<String> = asked.iter().map(|&name| name.to_owned()).collect();
        Answers::read(&serde_json::from_value(analysis).unwrap(), &asked)
    }

    #[test]
    fn detection_without_a_name_is_a_detection() {
        let answers = read(
            json!({ "A": { "category": "malicious", "result": "" } }),
            &[],
        );
        assert_eq!(answers.detections[0].name, "(no name)");
    }

    #[test]
    fn names_of_distributors_steer_nothing() {
        let analysis = json!({
            "status": "completed",
            "results": { "A": { "category": "malicious", "disputed": true } },
            "known_distributors": { "distributors": ["Ac\u{1b}me"] },
        });
        let answers = Answers::read(&serde_json::from_value(analysis).unwrap(), &[]);
        assert!(answers.detections[0].disputed);
        assert_eq!(answers.distributors, ["Ac\\u{1b}me"]);
    }

    #[test]
    fn unknown_category_is_no_answer() {
        let answers = read(json!({ "A": { "category": "fine" } }), &[]);
        assert!(!answers.is_complete());
        assert_eq!(answers.coverage.engines, 1);
    }

    #[test]
    fn engine_that_is_missing_did_not_answer() {
        let answers = read(json!({ "A": { "category": "undetected" } }), &["A", "B"]);
        assert!(!answers.is_complete());
        assert_eq!(answers.unanswered[0].engine, "B");
    }

    #[test]
    fn file_nobody_can_look_into_is_not_complete() {
        let unsupported = json!({ "A": { "category": "type-unsupported" } });
        assert!(!read(unsupported, &["A"]).is_complete());
        assert!(!read(json!({}), &[]).is_complete());
    }
}
