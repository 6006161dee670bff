//! Reads one batch's output line by line and record by record.

use super::finding::{Finding, Staged};
use super::pattern::Counter;
use super::record::{RecordRule, find_document};
use super::spec::{Format, Means, Rule, Stream, Unknown};
use super::tally::Tally;
use super::text::{Line, MAX_LINE, decode, lines, quote};
use super::{Output, Parsed, Parser};

/// Reads a batch's output.
pub fn read(
    parser: &Parser,
    output: Output<'_>,
    files: &[&str],
    sentinel: Option<&str>,
) -> Vec<Parsed> {
    let all: Vec<&str> = files.iter().copied().chain(sentinel).collect();
    let mut reading = Reading {
        parser,
        staged: Staged::new(&all, &parser.spec.paths),
        tally: Tally::new(all.len()),
        seen: Seen::default(),
        sentinel: sentinel.map(|_| files.len()),
    };
    reading.exit_code(output);
    reading.stream(Stream::Stdout, &decode(output.stdout));
    reading.stream(Stream::Stderr, &decode(output.stderr));
    reading.prove();
    reading.tally.verdicts(files.len(), parser.spec.proof.rule)
}

/// What the lines showed besides findings.
#[derive(Debug, Default)]
struct Seen {
    ended: bool,
    after_end: bool,
    after_sentinel: bool,
    scanned: Option<u64>,
    detected: Option<u64>,
    errors: Option<u64>,
}

struct Reading<'a> {
    parser: &'a Parser,
    staged: Staged<'a>,
    tally: Tally,
    seen: Seen,
    sentinel: Option<usize>,
}

impl Reading<'_> {
    fn exit_code(&mut self, output: Output<'_>) {
        let exit = &self.parser.spec.exit;
        let reason = match output.exit_code {
            Some(code) if exit.complete.contains(&code) => return,
            Some(code) => {
                let known = exit.failures.iter().find(|failure| failure.code == code);
                let known = known.map(|failure| format!(": {}", failure.reason));
                format!("exit code {code}{}", known.unwrap_or_default())
            }
            None => "the engine was ended by a signal".to_owned(),
        };
        let said = last_words(output);
        self.tally.fail(format!("{reason}{said}"), "");
    }

    fn stream(&mut self, stream: Stream, text: &str) {
        let rules = &self.parser.records;
        let mut documents = rules.iter().filter(|rule| rule.is(Format::Json));
        if !documents.any(|rule| on(rule, stream)) {
            return self.lines(stream, text);
        }
        match find_document(text) {
            Some((document, range)) => {
                let rules = rules.iter().filter(|rule| rule.is(Format::Json));
                for rule in rules.filter(|rule| on(rule, stream)) {
                    for finding in rule.document(&document) {
                        self.take(&finding);
                    }
                }
                self.lines(stream, &text[..range.start]);
                self.lines(stream, &text[range.end..]);
            }
            None => {
                self.tally.fail(
                    "there is no whole JSON document in the output".to_owned(),
                    "",
                );
                self.lines(stream, text);
            }
        }
    }

    fn lines(&mut self, stream: Stream, text: &str) {
        let mut header: Option<Vec<String>> = None;
        for line in lines(text) {
            if !self.is_header(stream, line, &mut header) {
                self.line(stream, line, header.as_deref().unwrap_or_default());
            }
        }
    }

    fn is_header(&self, stream: Stream, line: Line<'_>, header: &mut Option<Vec<String>>) -> bool {
        let mut rules = self.parser.records.iter().map(|rule| (rule, rule.spec()));
        let named = rules.find(|(rule, spec)| spec.header && on(rule, stream));
        match (named, &header) {
            (Some((_, spec)), None) if line.text.contains(spec.delimiter) => {
                *header = Some(super::record::split_row(line.text, spec.delimiter));
                true
            }
            _ => false,
        }
    }

    fn line(&mut self, stream: Stream, line: Line<'_>, header: &[String]) {
        if line.text.len() > MAX_LINE {
            return self.not_understood(line.text);
        }
        if line.terminated && stream == Stream::Stdout && self.is_marker(line.text) {
            return;
        }
        match find(self.parser, stream, line, header) {
            Some(finding) => self.take(&finding),
            None => self.not_understood(line.text),
        }
    }

    /// Reads the end marker and the counters.
    fn is_marker(&mut self, text: &str) -> bool {
        let parser = self.parser;
        let is_end = parser.end.as_ref().is_some_and(|end| end.is_match(text));
        self.seen.after_end |= self.seen.ended && !is_end;
        self.seen.ended |= is_end;
        let read = |counter: &Option<Counter>| counter.as_ref().and_then(|c| c.read(text));
        let counts = [
            (read(&parser.scanned), &mut self.seen.scanned),
            (read(&parser.detected), &mut self.seen.detected),
            (read(&parser.errors), &mut self.seen.errors),
        ];
        let mut is_counter = false;
        for (count, slot) in counts {
            is_counter |= count.is_some();
            *slot = count.or(*slot);
        }
        is_end || is_counter
    }

    fn take(&mut self, finding: &Finding<'_>) {
        let target = self.staged.target(finding);
        let is_sentinel = self.sentinel.is_some_and(|index| target.is_of(index));
        self.seen.after_sentinel |= self.sentinel_detected() && !is_sentinel;
        self.tally.take(finding, target, &self.parser.names);
    }

    /// Fails every file a line names that no rule understands; without a name, the batch.
    fn not_understood(&mut self, text: &str) {
        let reason = format!("no rule understands {:?}", quote(text));
        let mentioned = self.staged.mentioned(text);
        if mentioned.is_empty() && self.parser.spec.unknown == Unknown::Failure {
            return self.tally.fail(reason, text);
        }
        for index in mentioned {
            self.tally.fail_file(index, reason.clone(), text);
        }
    }

    /// Checks what must hold before anything may be called clean.
    fn prove(&mut self) {
        for reason in self.doubts() {
            self.tally.fail(reason, "");
        }
    }

    fn sentinel_detected(&self) -> bool {
        self.sentinel
            .is_some_and(|index| self.tally.is_detected(index))
    }

    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let mut doubt = |is: bool, reason: &str| {
            if is {
                doubts.push(reason.to_owned());
            }
        };
        let needs_end = self.parser.end.is_some();
        doubt(
            needs_end && !self.seen.ended,
            "the line that ends complete output is missing",
        );
        doubt(self.seen.after_end, "the output goes on behind its end");
        let staged = self.sentinel.is_some() || !self.parser.needs_sentinel();
        doubt(!staged, "no sentinel was staged");
        let detected = self.sentinel.is_none() || self.sentinel_detected();
        doubt(
            !detected,
            "the engine did not detect the sentinel, an EICAR file",
        );
        let in_order = self.parser.spec.proof.rule != Rule::Silence || !self.seen.after_sentinel;
        doubt(!in_order, "the sentinel was not answered last");
        doubts.extend(self.counter_doubts());
        doubts
    }

    fn counter_doubts(&self) -> Vec<String> {
        let parser = self.parser;
        let detected = self.tally.detected_count() as u64;
        let counters = [
            (
                &parser.scanned,
                "files scanned",
                self.seen.scanned,
                self.tally.len() as u64,
            ),
            (
                &parser.detected,
                "files detected",
                self.seen.detected,
                detected,
            ),
            (&parser.errors, "errors", self.seen.errors, 0),
        ];
        let used = counters
            .into_iter()
            .filter(|(counter, ..)| counter.is_some());
        let wrong = used.filter(|(_, _, seen, expected)| *seen != Some(*expected));
        let doubt = |(_, what, seen, expected): (_, &str, Option<u64>, u64)| match seen {
            Some(seen) => format!("the engine counts {seen} {what} where there are {expected}"),
            None => format!("the engine does not say how many {what} there are"),
        };
        wrong.map(doubt).collect()
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
    let mut lines = parser.lines.iter();
    if let Some(finding) = lines.find_map(|rule| rule.read(stream, line.text)) {
        // What was cut off might have taken the words back.
        let is_bad = matches!(finding.means, Means::Malicious | Means::Suspicious);
        return (line.terminated || is_bad).then_some(finding);
    }
    let mut records = parser.records.iter().filter(|rule| on(rule, stream));
    records.find_map(|rule| match rule.spec().format {
        Format::Ndjson => rule.line(line.text),
        Format::Csv if line.terminated => rule.row(line.text, header),
        Format::Csv | Format::Json => None,
    })
}

/// Quotes the last line of output, which mostly says why there is no more.
fn last_words(output: Output<'_>) -> String {
    let tail = |bytes: &[u8]| {
        let from = bytes.len().saturating_sub(MAX_LINE);
        let text = decode(&bytes[from..]);
        lines(&text).last().map(|line| quote(line.text))
    };
    let words = tail(output.stderr).or_else(|| tail(output.stdout));
    let words = words.map(|words| format!(", its last words were {words:?}"));
    words.unwrap_or_else(|| ", it said nothing".to_owned())
}
