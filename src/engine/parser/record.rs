//! Structured output: JSON documents, JSON lines and rows of columns.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value};

use super::SpecError;
use super::finding::Finding;
use super::spec::{Format, Means, RecordSpec};
use super::text::quote;

/// Name of a detection whose record has none.
const UNNAMED: &str = "unnamed detection";

/// One kind of record, ready to be read.
#[derive(Debug)]
pub struct RecordRule {
    spec: RecordSpec,
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
        Ok(Self { spec: spec.clone() })
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
    pub fn document(&self, value: &Value) -> Vec<Finding<'static>> {
        let records = select(value, &self.spec.list).into_iter();
        let read = |record: &Value| Some(self.read(record, Cow::Owned(record.to_string())));
        records.filter_map(|record| read(record)?).collect()
    }

    /// Reads a line that is a JSON document of its own, if it is of this kind.
    pub fn line<'a>(&self, line: &'a str) -> Option<Finding<'a>> {
        let value: Value = serde_json::from_str(line).ok()?;
        self.read(&value, Cow::Borrowed(line))
    }

    /// Reads a row of columns, if it is of this kind.
    pub fn row<'a>(&self, line: &'a str, header: &[String]) -> Option<Finding<'a>> {
        let columns = split_row(line, self.spec.delimiter);
        let mut record = Map::new();
        for (index, column) in columns.into_iter().enumerate() {
            let name = header.get(index).cloned();
            record.insert(name.unwrap_or_else(|| index.to_string()), column.into());
        }
        self.read(&Value::Object(record), Cow::Borrowed(line))
    }

    /// Reads one record; nothing if it has no path where this kind has one.
    fn read<'a>(&self, record: &Value, line: Cow<'a, str>) -> Option<Finding<'a>> {
        let field = |path: &Option<String>| first_text(record, path.as_deref()?);
        let path = field(&self.spec.path);
        if self.spec.path.is_some() && path.is_none() {
            return None;
        }
        let (means, unknown) = self.weigh(record);
        let label = || self.spec.label.clone();
        let name = field(&self.spec.name).or_else(label);
        let reason = unknown.or_else(|| field(&self.spec.reason)).or_else(label);
        Some(Finding {
            means,
            path: path.map(Cow::Owned),
            member: field(&self.spec.member).is_some_and(|member| !member.is_empty()),
            name: name.or_else(|| Some(UNNAMED.to_owned())).map(Cow::Owned),
            reason: reason.map(Cow::Owned),
            line,
        })
    }

    /// Tells what a record means, and what was not understood.
    fn weigh(&self, record: &Value) -> (Means, Option<String>) {
        let Some(path) = &self.spec.verdict else {
            return (self.spec.means.unwrap_or(Means::Failure), None);
        };
        let word = first_text(record, path).unwrap_or_default();
        match self.spec.verdicts.get(&word) {
            Some(means) => (*means, None),
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
            let value = values.next()?.ok()?;
            return Some((value, start..start + values.byte_offset()));
        }
        start += line.len();
    }
    None
}

/// Returns what a path like `report.files.*.name` leads to; `*` is every one.
pub fn select<'a>(root: &'a Value, path: &str) -> Vec<&'a Value> {
    let steps = path.split('.').filter(|step| !step.is_empty());
    steps.fold(vec![root], |values, step| {
        values
            .into_iter()
            .flat_map(|value| follow(value, step))
            .collect()
    })
}

fn follow<'a>(value: &'a Value, step: &str) -> Vec<&'a Value> {
    match (value, step) {
        (Value::Array(values), "*") => values.iter().collect(),
        (Value::Object(fields), "*") => fields.values().collect(),
        (Value::Array(values), step) => {
            let index = step.parse::<usize>().ok();
            index
                .and_then(|index| values.get(index))
                .into_iter()
                .collect()
        }
        (Value::Object(fields), step) => fields.get(step).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Returns the first plain value at a path, as text.
fn first_text(record: &Value, path: &str) -> Option<String> {
    select(record, path)
        .into_iter()
        .find_map(|value| match value {
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

    #[track_caller]
    fn check(json: &str, path: &str, expected: &[&str]) {
        let value: Value = serde_json::from_str(json).unwrap();
        let found: Vec<String> = select(&value, path).iter().map(|v| v.to_string()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_lead_through_objects_and_arrays() {
        check(r#"{"a":{"b":[1,2]}}"#, "a.b.*", &["1", "2"]);
        check(r#"{"a":{"b":[1,2]}}"#, "a.b.1", &["2"]);
        check(r#"{"a":{"x":{"n":1},"y":{"n":2}}}"#, "a.*.n", &["1", "2"]);
        check(r#"{"a":1}"#, "", &[r#"{"a":1}"#]);
        check(r#"{"a":1}"#, "a.b.c", &[]);
    }

    #[test]
    fn quoted_columns_may_hold_delimiters() {
        assert_eq!(split_row(r#"a;"b;""c""";d"#, ';'), ["a", r#"b;"c""#, "d"]);
    }

    #[test]
    fn document_is_found_behind_a_banner() {
        let text = "Engine 1.0\n{\"a\": [\n1]}\nbye\n";
        let (value, range) = find_document(text).unwrap();
        assert_eq!(value.to_string(), r#"{"a":[1]}"#);
        assert_eq!(&text[range.end..], "\nbye\n");
    }

    #[test]
    fn cut_document_is_none() {
        assert!(find_document("{\"a\": [1").is_none());
    }
}
