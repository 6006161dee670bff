//! Everything an engine said, line by line and record by record, before it is judged.

use std::borrow::Cow;

use super::finding::Finding;
use super::pattern::Counter;
use super::record::{self, RecordRule};
use super::spec::{Format, Means, Stream};
use super::text::{Line, MAX_LINE, lines};
use super::{Parser, xml};

/// One thing that was heard.
#[derive(Debug)]
pub enum Event<'a> {
    /// A rule understood it.
    Finding(Finding<'a>),
    /// It is the end marker or a counter.
    Marker(&'a str),
    /// No rule understands it.
    Unknown(&'a str),
    /// A document that must be there is not, or not whole.
    NoDocument(&'static str),
}

/// Everything that was heard.
#[derive(Debug, Default)]
pub struct Heard<'a> {
    /// In the order in which it was printed, stdout first.
    pub events: Vec<Event<'a>>,
    /// Whether the end marker came.
    pub ended: bool,
    /// Whether anything came behind it.
    pub after_end: bool,
    /// The number of files looked at.
    pub scanned: Option<u64>,
    /// The number of files with a detection.
    pub detected: Option<u64>,
    /// The number of errors.
    pub errors: Option<u64>,
}

/// Listens to both streams.
pub fn listen<'a>(parser: &'a Parser, stdout: &'a str, stderr: &'a str) -> Heard<'a> {
    let mut listener = Listener {
        parser,
        heard: Heard::default(),
        subject: None,
    };
    listener.stream(Stream::Stdout, stdout);
    listener.subject = None;
    listener.stream(Stream::Stderr, stderr);
    listener.heard
}

struct Listener<'a> {
    parser: &'a Parser,
    heard: Heard<'a>,
    subject: Option<Cow<'a, str>>,
}

impl<'a> Listener<'a> {
    fn stream(&mut self, stream: Stream, text: &'a str) {
        let format = |format| {
            let mut rules = self.parser.records.iter();
            rules.any(|rule| rule.is(format) && on(rule, stream))
        };
        let (found, missing) = match (format(Format::Json), format(Format::Xml)) {
            (true, _) => (
                record::find_document(text),
                "there is no whole JSON document in the output",
            ),
            (_, true) => (
                xml::find_document(text),
                "there is no whole XML document in the output",
            ),
            (false, false) => return self.lines(stream, text),
        };
        let Some((document, range)) = found else {
            self.heard.events.push(Event::NoDocument(missing));
            return self.lines(stream, text);
        };
        let rules = self.parser.records.iter();
        for rule in rules.filter(|rule| rule.is_document() && on(rule, stream)) {
            let findings = rule.document(&document).into_iter();
            self.heard.events.extend(findings.map(Event::Finding));
        }
        self.lines(stream, &text[..range.start]);
        self.lines(stream, &text[range.end..]);
    }

    fn lines(&mut self, stream: Stream, text: &'a str) {
        let mut header: Option<Vec<String>> = None;
        for line in lines(text) {
            if !self.is_header(stream, line, &mut header) {
                let event = self.line(stream, line, header.as_deref().unwrap_or_default());
                self.heard.events.extend(event);
            }
        }
    }

    fn is_header(&self, stream: Stream, line: Line<'_>, header: &mut Option<Vec<String>>) -> bool {
        let mut rules = self.parser.records.iter().map(|rule| (rule, rule.spec()));
        let named = rules.find(|(rule, spec)| spec.header && on(rule, stream));
        match (named, &header) {
            (Some((_, spec)), None) if line.text.contains(spec.delimiter) => {
                *header = Some(record::split_row(line.text, spec.delimiter));
                true
            }
            _ => false,
        }
    }

    fn line(&mut self, stream: Stream, line: Line<'a>, header: &[String]) -> Option<Event<'a>> {
        if line.text.len() > MAX_LINE {
            return Some(Event::Unknown(line.text));
        }
        if line.terminated && stream == Stream::Stdout && self.is_marker(line.text) {
            return Some(Event::Marker(line.text));
        }
        let Some(mut finding) = find(self.parser, stream, line, header) else {
            return Some(Event::Unknown(line.text));
        };
        if finding.means == Means::Subject {
            self.subject = finding.path.clone();
        } else if finding.path.is_none() && finding.means != Means::Failure {
            finding.path.clone_from(&self.subject);
        }
        Some(Event::Finding(finding))
    }

    /// Reads the end marker and the counters.
    fn is_marker(&mut self, text: &str) -> bool {
        let (parser, heard) = (self.parser, &mut self.heard);
        let is_end = parser.end.as_ref().is_some_and(|end| end.is_match(text));
        heard.after_end |= heard.ended && !is_end;
        heard.ended |= is_end;
        let read = |counter: &Option<Counter>| counter.as_ref().and_then(|c| c.read(text));
        let counts = [
            (read(&parser.scanned), &mut heard.scanned),
            (read(&parser.detected), &mut heard.detected),
            (read(&parser.errors), &mut heard.errors),
        ];
        let mut is_counter = false;
        for (count, slot) in counts {
            is_counter |= count.is_some();
            *slot = count.or(*slot);
        }
        is_end || is_counter
    }
}

fn on(rule: &RecordRule, stream: Stream) -> bool {
    rule.spec().stream == Stream::Any || rule.spec().stream == stream
}

/// Finds the first rule that understands a line.
fn find<'a>(
    parser: &'a Parser,
    stream: Stream,
    line: Line<'a>,
    header: &[String],
) -> Option<Finding<'a>> {
    let mut rules = parser.lines.iter();
    if let Some(finding) = rules.find_map(|rule| rule.read(stream, line.text)) {
        // What was cut off might have taken the words back.
        let is_bad = matches!(finding.means, Means::Malicious | Means::Suspicious);
        return (line.terminated || is_bad).then_some(finding);
    }
    let mut records = parser.records.iter().filter(|rule| on(rule, stream));
    records.find_map(|rule| match rule.spec().format {
        Format::Ndjson => rule.line(line.text),
        Format::Csv if line.terminated => rule.row(line.text, header),
        Format::Csv | Format::Json | Format::Xml => None,
    })
}
