//! Structured output: JSON documents, JSON lines and rows of columns.

use std::borrow::Cow;
use std::ops::Range;

use regex::Regex;
use serde_json::{Map, Value};

use super::finding::Finding;
use super::pattern::compile;
use super::select::{Found, select};
use super::spec::{Format, Means, RecordSpec};
use super::text::quote;
use super::{SpecError, UNNAMED};

/// One kind of record, ready to be read.
#[derive(Debug)]
pub struct RecordRule {
    key: String,
    spec: RecordSpec,
    patterns: Vec<(Regex, Means)>,
}

impl RecordRule {
    /// Checks a record's description; `key` is where it stands in the manifest.
    pub fn new(key: &str, spec: &RecordSpec) -> Result<Self, SpecError> {
        let decides = (spec.means.is_some(), spec.verdict.is_some());
        if decides.0 == decides.1 {
            let what = "either every record means the same or a value decides".to_owned();
            return Err(SpecError::new(
                key,
                what,
                "give `means`, or `verdict` and `verdicts`",
            ));
        }
        if decides.1 && spec.verdicts.is_empty() {
            let what = "no value of `verdict` means anything".to_owned();
            return Err(SpecError::new(
                key,
                what,
                "give `verdicts = { value = \"malicious\", … }`",
            ));
        }
        let patterns = spec
            .verdicts
            .iter()
            .filter(|(word, _)| word.starts_with('^'));
        let compiled = |(word, means): (&String, &Means)| {
            let key = format!("{key}.verdicts");
            Ok((compile(&key, word)?, *means))
        };
        Ok(Self {
            key: key.to_owned(),
            spec: spec.clone(),
            patterns: patterns.map(compiled).collect::<Result<_, SpecError>>()?,
        })
    }

    /// Tells whether the rule reads a document and not lines.
    pub fn is_document(&self) -> bool {
        matches!(self.spec.format, Format::Json | Format::Xml)
    }

    /// Tells which way of writing records this rule reads.
    pub fn is(&self, format: Format) -> bool {
        self.spec.format == format
    }

    /// Returns the rule as the manifest wrote it.
    pub fn spec(&self) -> &RecordSpec {
        &self.spec
    }

    /// Tells whether such a record only makes sense where a batch is one file.
    pub fn needs_single_file(&self) -> bool {
        self.spec.path.is_none()
    }

    /// Reads every record of a document.
    pub fn document(&self, value: &Value) -> Vec<Finding<'_>> {
        let found = select(value, &self.spec.list);
        if let (Some(means), [only]) = (self.spec.empty, found.as_slice())
            && only.value.as_array().is_some_and(Vec::is_empty)
        {
            return vec![self.nothing(means)];
        }
        let read = |record: &Found<'_>| self.read(record, Cow::Owned(record.value.to_string()));
        let records = found.iter().flat_map(|found| self.records(found));
        records.filter_map(|record| read(&record)).collect()
    }

    /// A list stands for its elements.
    fn records<'v>(&self, found: &Found<'v>) -> Vec<Found<'v>> {
        match found.value.is_array() && !self.spec.list.is_empty() {
            true => found.select("*"),
            false => vec![found.clone()],
        }
    }

    /// What it means that there are no records.
    fn nothing(&self, means: Means) -> Finding<'_> {
        Finding {
            means,
            path: None,
            member: None,
            name: None,
            reason: self.spec.label.as_deref().map(Cow::Borrowed),
            line: Cow::Borrowed("[]"),
            weak: false,
            rule: &self.key,
        }
    }

    /// Reads a line that is a JSON document of its own, if it is of this kind.
    pub fn line<'a>(&'a self, line: &'a str) -> Option<Finding<'a>> {
        let value: Value = serde_json::from_str(line).ok()?;
        self.read(&Found::root(&value), Cow::Borrowed(line))
    }

    /// Reads a row of columns, if it is of this kind.
    pub fn row<'a>(&'a self, line: &'a str, header: &[String]) -> Option<Finding<'a>> {
        let columns = split_row(line, self.spec.delimiter);
        let mut record = Map::new();
        for (index, column) in columns.into_iter().enumerate() {
            let name = header.get(index).cloned();
            record.insert(name.unwrap_or_else(|| index.to_string()), column.into());
        }
        self.read(&Found::root(&Value::Object(record)), Cow::Borrowed(line))
    }

    /// Reads one record; nothing if it has no path where this kind has one.
    fn read<'a>(&'a self, record: &Found<'_>, line: Cow<'a, str>) -> Option<Finding<'a>> {
        let field = |path: &Option<String>| first_text(record, path.as_deref()?);
        let path = field(&self.spec.path);
        if self.spec.path.is_some() && path.is_none() {
            return None;
        }
        let (means, unknown) = self.weigh(record);
        let label = || self.spec.label.clone();
        let name = field(&self.spec.name).or_else(label);
        let reason = unknown.or_else(|| field(&self.spec.reason)).or_else(label);
        let member = field(&self.spec.member).filter(|member| !member.is_empty());
        Some(Finding {
            means,
            path: path.map(Cow::Owned),
            member: member.map(Cow::Owned),
            name: name.or_else(|| Some(UNNAMED.to_owned())).map(Cow::Owned),
            reason: reason.map(Cow::Owned),
            line,
            weak: false,
            rule: &self.key,
        })
    }

    /// Tells what a record means, and what was not understood.
    fn weigh(&self, record: &Found<'_>) -> (Means, Option<String>) {
        let Some(path) = &self.spec.verdict else {
            return (self.spec.means.unwrap_or(Means::Failure), None);
        };
        let word = first_text(record, path).unwrap_or_default();
        let exact = self.spec.verdicts.get(&word).copied();
        let by_pattern = || {
            let mut patterns = self.patterns.iter();
            let found = patterns.find(|(regex, _)| regex.is_match(&word));
            found.map(|(_, means)| *means)
        };
        match exact.or_else(by_pattern) {
            Some(means) => (means, None),
            None => {
                let unknown = format!("the engine's word {:?} is not known", quote(&word));
                (Means::Failure, Some(unknown))
            }
        }
    }
}

/// Finds the JSON document in text that may have lines before and after it.
pub fn find_document(text: &str) -> Option<(Value, Range<usize>)> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with(['{', '[']) {
            let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter();
            match values.next()? {
                Ok(value) => {
                    let end = start + values.byte_offset();
                    // A banner may begin like a document: `[1.0] Engine`.
                    if text[end..]
                        .lines()
                        .next()
                        .is_none_or(|rest| rest.trim().is_empty())
                    {
                        return Some((value, start..end));
                    }
                }
                // A document that is cut off must not be read from a later line on.
                Err(error) if error.is_eof() => return None,
                Err(_) => {}
            }
        }
        start += line.len();
    }
    None
}

/// Returns the first plain value at a path, as text.
fn first_text(record: &Found<'_>, path: &str) -> Option<String> {
    record
        .select(path)
        .into_iter()
        .find_map(|found| match found.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        })
}

/// Splits a row at its delimiters; a quoted column may have them inside.
pub fn split_row(line: &str, delimiter: char) -> Vec<String> {
    let mut columns = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(column) = columns.last_mut() else {
            break;
        };
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => column.push('"'),
            '"' => quoted = !quoted,
            c if c == delimiter && !quoted => columns.push(String::new()),
            c => column.push(c),
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_columns_may_hold_delimiters() {
        assert_eq!(split_row(r#"a;"b;""c""";d"#, ';'), ["a", r#"b;"c""#, "d"]);
    }

    #[test]
    fn document_is_found_behind_a_banner() {
        let text = "[1.0] Engine\n{\"a\": [\n1]}\nbye\n";
        let (value, range) = find_document(text).unwrap();
        assert_eq!(value.to_string(), r#"{"a":[1]}"#);
        assert_eq!(&text[range.end..], "\nbye\n");
    }

    #[test]
    fn cut_document_is_none() {
        assert!(find_document("{\"a\": [1").is_none());
    }
}
