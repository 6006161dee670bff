//! How an engine's answer is read, as the manifest's `[parse]` says it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How an engine's answer is read, the manifest's `[parse]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParserSpec {
    /// What its exit codes mean.
    pub exit: ExitSpec,
    /// How a file earns `undetected`.
    pub proof: ProofSpec,
    /// Lines it prints; the first pattern that matches a line decides.
    #[serde(default)]
    pub lines: Vec<LineSpec>,
    /// JSON documents, JSON lines or rows it prints.
    #[serde(default)]
    pub records: Vec<RecordSpec>,
    /// How its detection names are cleaned and weighed.
    #[serde(default)]
    pub names: NameSpec,
    /// How it writes paths.
    #[serde(default)]
    pub paths: PathSpec,
    /// What a line means that nothing above understands.
    #[serde(default)]
    pub unknown: Unknown,
    /// In which encoding it prints, by its WHATWG label, e.g. `windows-1252`; UTF-8 if not given.
    #[serde(default)]
    pub encoding: Option<String>,
}

/// What exit codes mean.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitSpec {
    /// Codes with which the engine says that it looked at everything; any other fails the batch.
    pub complete: Vec<i32>,
    /// Sentences for codes of failure whose meaning is known.
    #[serde(default)]
    pub failures: Vec<ExitFailure>,
    /// Codes that say something themselves; they are complete, too.
    #[serde(default)]
    pub verdicts: Vec<ExitVerdict>,
}

impl ExitSpec {
    /// Tells whether the engine came to its end.
    pub fn is_complete(&self, code: i32) -> bool {
        self.complete.contains(&code) || self.verdict(code).is_some()
    }

    /// Returns what a code says itself.
    pub fn verdict(&self, code: i32) -> Option<&ExitVerdict> {
        self.verdicts.iter().find(|verdict| verdict.code == code)
    }
}

/// An exit code that says something of files.
///
/// `undetected` holds for every file of which nothing else was said. Anything else holds for the
/// file of a batch of one; of more, it says that there must be a line which names the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitVerdict {
    /// The code.
    pub code: i32,
    /// What it means.
    pub means: Means,
    /// Name or reason.
    #[serde(default)]
    pub label: Option<String>,
}

/// One exit code of failure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitFailure {
    /// The code.
    pub code: i32,
    /// What it means, e.g. `the license has expired`.
    pub reason: String,
}

/// How a file earns `undetected`. Nothing else gives it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofSpec {
    /// Which kind of proof.
    pub rule: Rule,
    /// Whether a staged EICAR file must be detected in every batch; always so with `silence`.
    #[serde(default)]
    pub sentinel: bool,
    /// Pattern of the line with which complete output ends.
    #[serde(default)]
    pub end: Option<String>,
    /// Pattern whose group `n` is the number of files looked at.
    #[serde(default)]
    pub scanned: Option<String>,
    /// Pattern whose group `n` is the number of files with a detection.
    #[serde(default)]
    pub detected: Option<String>,
    /// Pattern whose group `n` is the number of errors, which must be 0.
    #[serde(default)]
    pub errors: Option<String>,
}

/// Which kind of proof a clean file needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The engine says it for that very file.
    PerFile,
    /// The engine's counters agree with what was staged and with what was read.
    Summary,
    /// The engine says nothing; the sentinel shows that it looked.
    Silence,
}

/// One kind of line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSpec {
    /// Regular expression over the whole line, from `^` to `$`, with the groups `path`, `member`,
    /// `name` and `reason`.
    pub pattern: String,
    /// What such a line means.
    pub means: Means,
    /// Where it is printed.
    #[serde(default)]
    pub stream: Stream,
    /// Name or reason where the pattern has no such group.
    #[serde(default)]
    pub label: Option<String>,
    /// Whether any other detection, and that the engine could not look into the file, says more.
    #[serde(default)]
    pub weak: bool,
}

/// What a line or a record means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// A detection.
    Malicious,
    /// A suspicion.
    Suspicious,
    /// The engine looked and found nothing.
    Undetected,
    /// The engine cannot look into the file.
    TypeUnsupported,
    /// The engine failed: on the file if there is a path, else on the batch.
    Failure,
    /// The lines that follow and name no path are about this one.
    Subject,
    /// Nothing.
    Ignored,
}

/// Where something is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
    /// Either.
    Any,
}

/// One kind of record in structured output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSpec {
    /// How the output is structured.
    pub format: Format,
    /// Where it is printed.
    #[serde(default)]
    pub stream: Stream,
    /// Where the records are in a document, e.g. `report.files.*`; the document itself if empty.
    #[serde(default)]
    pub list: String,
    /// Where a record has the file's path.
    #[serde(default)]
    pub path: Option<String>,
    /// Where a record has the archive member.
    #[serde(default)]
    pub member: Option<String>,
    /// Where a record has the detection's name; of several the first.
    #[serde(default)]
    pub name: Option<String>,
    /// Where a record has the reason of a failure.
    #[serde(default)]
    pub reason: Option<String>,
    /// Where a record has the value that decides.
    #[serde(default)]
    pub verdict: Option<String>,
    /// What each of those values means; any other is a failure. A key that begins with `^` is a
    /// regular expression, tried in the order of the keys after all others.
    #[serde(default)]
    pub verdicts: BTreeMap<String, Means>,
    /// What every record means, where no value decides.
    #[serde(default)]
    pub means: Option<Means>,
    /// What it means that `list` leads to an empty list, in a batch of one file.
    #[serde(default)]
    pub empty: Option<Means>,
    /// Name or reason where the record has none.
    #[serde(default)]
    pub label: Option<String>,
    /// `csv`: what stands between two columns.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// `csv`: whether the first row names the columns; else they are `0`, `1`, ….
    #[serde(default)]
    pub header: bool,
}

/// How output is structured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One JSON document, with or without lines before and after it.
    Json,
    /// One XML document, with or without lines before and after it; read as if it were JSON.
    Xml,
    /// One JSON document a line.
    Ndjson,
    /// One row of columns a line.
    Csv,
}

/// How detection names are cleaned and weighed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NameSpec {
    /// Removed from the start of a name.
    pub strip_prefixes: Vec<String>,
    /// Removed from the end of a name.
    pub strip_suffixes: Vec<String>,
    /// Regular expressions of what is removed wherever it stands in a name.
    pub strip: Vec<String>,
    /// Regular expression of the names that are only a suspicion.
    pub suspicious: Option<String>,
    /// Regular expression of the names that say the engine could not look into the file.
    pub unsupported: Option<String>,
}

/// How paths are written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathSpec {
    /// The engine prints only the end of a path; the staged file's own name is enough.
    pub shortened: bool,
    /// What stands between a path and an archive member, e.g. `|>`.
    pub member_separators: Vec<String>,
}

/// What a line means that no rule understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// Nothing in the batch is clean.
    #[default]
    Failure,
    /// Only a file whose path is in it is not clean.
    Ignored,
}

const fn comma() -> char {
    ','
}
