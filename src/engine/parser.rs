//! Turns an engine's output into one verdict per file.
//!
//! Everything an engine needs is declared in its manifest's `[parse]`
//! ([`ParserSpec`]). A parser is total: any bytes give a verdict for every file,
//! in time linear in the output. A file gets `undetected` only by the proof that
//! the manifest names; a detection stands whatever else went wrong; everything
//! else is a failure that quotes what was seen.

mod finding;
mod heard;
mod pattern;
mod reading;
mod record;
mod recorded;
mod select;
mod spec;
mod tally;
pub(super) mod text;
mod xml;

use encoding_rs::Encoding;
use regex::Regex;

use self::pattern::{Counter, LineRule, Names};
use self::record::RecordRule;
pub use self::recorded::{Recorded, Trace, TraceLine};
pub use self::spec::{
    ExitFailure, ExitSpec, ExitVerdict, Format, LineSpec, Means, NameSpec, ParserSpec, PathSpec,
    ProofSpec, RecordSpec, Rule, Stream, Unknown,
};
use crate::model::Verdict;

/// Most bytes kept of what an engine said about one file.
pub const EVIDENCE_BYTES: usize = 4096;

/// Name of a detection of which the engine says no name.
const UNNAMED: &str = "unnamed detection";

/// A `[parse]` that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}; {remedy}")]
pub struct SpecError {
    /// Where in the manifest, e.g. `parse.lines.0.pattern`.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub remedy: String,
}

impl SpecError {
    fn new(key: &str, what: String, remedy: &str) -> Self {
        Self {
            key: key.to_owned(),
            what,
            remedy: remedy.to_owned(),
        }
    }
}

/// What the engine left behind for one batch.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Exit code, if the command ended by itself.
    pub exit_code: Option<i32>,
    /// Kept bytes of stdout.
    pub stdout: &'a [u8],
    /// Kept bytes of stderr.
    pub stderr: &'a [u8],
}

/// What was read about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The normalized answer.
    pub verdict: Verdict,
    /// The lines it was read from, made safe to show, at most [`EVIDENCE_BYTES`].
    pub evidence: String,
}

/// A parser made ready from its manifest.
#[derive(Debug)]
pub struct Parser {
    spec: ParserSpec,
    lines: Vec<LineRule>,
    records: Vec<RecordRule>,
    names: Names,
    end: Option<Regex>,
    scanned: Option<Counter>,
    detected: Option<Counter>,
    errors: Option<Counter>,
    encoding: &'static Encoding,
}

impl Parser {
    /// Compiles a manifest's `[parse]`.
    ///
    /// # Errors
    /// Says which key cannot be used, why, and what would be right.
    pub fn new(spec: &ParserSpec) -> Result<Self, SpecError> {
        let proof = &spec.proof;
        let counter = |key: &str, pattern: &Option<String>| {
            let key = format!("parse.proof.{key}");
            let pattern = pattern.as_deref();
            pattern
                .map(|pattern| Counter::new(&key, pattern))
                .transpose()
        };
        let end = proof.end.as_deref();
        let end = end.map(|end| pattern::compile_line("parse.proof.end", end));
        let parser = Self {
            lines: each("parse.lines", &spec.lines, LineRule::new)?,
            records: each("parse.records", &spec.records, RecordRule::new)?,
            names: Names::new(&spec.names)?,
            end: end.transpose()?,
            scanned: counter("scanned", &proof.scanned)?,
            detected: counter("detected", &proof.detected)?,
            errors: counter("errors", &proof.errors)?,
            encoding: encoding(spec.encoding.as_deref())?,
            spec: spec.clone(),
        };
        parser.check()?;
        Ok(parser)
    }

    /// Tells whether every batch must hold an EICAR file that must be detected.
    pub fn needs_sentinel(&self) -> bool {
        self.spec.proof.sentinel || self.spec.proof.rule == Rule::Silence
    }

    /// Tells whether answers name no file, so that a batch must be a single one.
    pub fn needs_single_file(&self) -> bool {
        let has_subject = self.lines.iter().any(LineRule::is_subject);
        !has_subject && self.lines.iter().any(LineRule::needs_single_file)
            || self.records.iter().any(RecordRule::needs_single_file)
    }

    /// Gives one verdict per staged path, in the same order.
    ///
    /// `sentinel` is the staged path of the EICAR file of a batch that has one.
    pub fn parse(&self, output: Output<'_>, files: &[&str], sentinel: Option<&str>) -> Vec<Parsed> {
        reading::read(self, output, files, sentinel)
    }

    /// Reads output of which nobody knows what was scanned: every path it names is a file.
    ///
    /// This is for people who look at recorded output. What is scanned here is read with
    /// [`Parser::parse`], which knows the files and asks for the sentinel.
    pub fn parse_recorded(&self, exit_code: Option<i32>, stdout: &[u8], stderr: &[u8]) -> Trace {
        recorded::read(self, exit_code, (stdout, stderr))
    }

    fn check(&self) -> Result<(), SpecError> {
        let exit = &self.spec.exit;
        if exit.complete.is_empty() && exit.verdicts.is_empty() {
            let what = "no exit code means that the engine came to its end".to_owned();
            return Err(SpecError::new(
                "parse.exit.complete",
                what,
                "list at least one",
            ));
        }
        self.check_silent_exit()?;
        match self.spec.proof.rule {
            Rule::PerFile if !self.has_clean_rule() => {
                let what = "no line or record means `undetected`".to_owned();
                let remedy = "add the one that the engine prints for a clean file";
                Err(SpecError::new("parse.proof.rule", what, remedy))
            }
            Rule::Summary if self.scanned.is_none() || self.detected.is_none() => {
                let what = "the summary has no counters".to_owned();
                let remedy = "give `scanned` and `detected`";
                Err(SpecError::new("parse.proof", what, remedy))
            }
            Rule::PerFile | Rule::Summary | Rule::Silence => Ok(()),
        }
    }

    /// An exit code alone acquits nobody: a program that looked at nothing has one, too.
    fn check_silent_exit(&self) -> Result<(), SpecError> {
        let mut verdicts = self.spec.exit.verdicts.iter();
        let silent = verdicts.any(|verdict| verdict.means == Means::Undetected);
        let more = self.end.is_some() || self.scanned.is_some() || self.needs_sentinel();
        if silent && !more {
            let what = "the exit code alone would make files clean".to_owned();
            let remedy = "give parse.proof.end or parse.proof.scanned, or set parse.proof.sentinel";
            return Err(SpecError::new("parse.exit.verdicts", what, remedy));
        }
        Ok(())
    }

    fn has_clean_rule(&self) -> bool {
        let lines = self.spec.lines.iter().map(|line| line.means);
        let records = self.spec.records.iter().flat_map(|record| {
            let values = record.verdicts.values().copied();
            values.chain(record.means).chain(record.empty)
        });
        let exits = self.spec.exit.verdicts.iter().map(|verdict| verdict.means);
        lines
            .chain(records)
            .chain(exits)
            .any(|means| means == Means::Undetected)
    }
}

/// Finds an encoding by its label.
fn encoding(label: Option<&str>) -> Result<&'static Encoding, SpecError> {
    let Some(label) = label else {
        return Ok(encoding_rs::UTF_8);
    };
    Encoding::for_label(label.as_bytes()).ok_or_else(|| {
        let what = format!("there is no encoding `{label}`");
        let remedy = "name one of the WHATWG list, e.g. windows-1252, utf-16le or shift_jis";
        SpecError::new("parse.encoding", what, remedy)
    })
}

/// Compiles every entry of a list of the manifest.
fn each<S, T>(
    key: &str,
    specs: &[S],
    compile: impl Fn(&str, &S) -> Result<T, SpecError>,
) -> Result<Vec<T>, SpecError> {
    let numbered = specs.iter().enumerate();
    numbered
        .map(|(number, spec)| compile(&format!("{key}.{number}"), spec))
        .collect()
}

#[cfg(test)]
mod tests;
