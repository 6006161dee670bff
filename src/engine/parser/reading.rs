//! Judges one batch by what was heard of it.

use super::finding::{Finding, Staged, Target};
use super::heard::{Event, Heard, listen};
use super::spec::{ExitVerdict, Means, Rule, Unknown};
use super::tally::Tally;
use super::text::{MAX_LINE, decode, lines, quote};
use super::{Output, Parsed, Parser, UNNAMED};

/// How the names of rules begin that read lines; others read documents, which name many files.
const LINE_RULES: &str = "parse.lines";

/// Reads a batch's output.
pub fn read(
    parser: &Parser,
    output: Output<'_>,
    files: &[&str],
    sentinel: Option<&str>,
) -> Vec<Parsed> {
    let stdout = decode(output.stdout, parser.encoding);
    let stderr = decode(output.stderr, parser.encoding);
    let heard = listen(parser, &stdout, &stderr);
    let all: Vec<&str> = files.iter().copied().chain(sentinel).collect();
    let mut reading = Reading::new(parser, &all);
    reading.sentinel = sentinel.map(|_| files.len());
    reading.exit_code(output);
    reading.events(&heard.events);
    reading.exit_verdict(output.exit_code);
    for doubt in reading.doubts(&heard) {
        reading.tally.fail(doubt, "");
    }
    reading.tally.verdicts(files.len(), parser.spec.proof.rule)
}

/// One batch being judged.
pub(super) struct Reading<'a> {
    parser: &'a Parser,
    paths: Vec<&'a str>,
    staged: Staged<'a>,
    /// What was said of each file.
    pub tally: Tally,
    sentinel: Option<usize>,
    after_sentinel: bool,
}

impl<'a> Reading<'a> {
    /// Begins with a batch of these paths.
    pub fn new(parser: &'a Parser, paths: &[&'a str]) -> Self {
        Self {
            parser,
            paths: paths.to_vec(),
            staged: Staged::new(paths, &parser.spec.paths),
            tally: Tally::new(paths.len()),
            sentinel: None,
            after_sentinel: false,
        }
    }

    /// Fails the batch unless the exit code says that the engine came to its end.
    pub fn exit_code(&mut self, output: Output<'_>) {
        if let Some(reason) = exit_failure(self.parser, output) {
            self.tally.fail(reason, "");
        }
    }

    /// Takes in all that was heard.
    pub fn events(&mut self, events: &[Event<'_>]) {
        for event in events {
            match event {
                Event::Finding(finding) if self.hides(finding) => {
                    self.not_understood(&finding.line);
                }
                Event::Finding(finding) => self.take(finding),
                Event::Marker(_) => {}
                Event::Unknown(text) => self.not_understood(text),
                Event::NoDocument(reason) => self.tally.fail((*reason).to_owned(), ""),
            }
        }
    }

    /// Tells whether a line that means nothing names a file of an engine that is silent about clean
    /// ones: two lines may have become one.
    fn hides(&self, finding: &Finding<'_>) -> bool {
        let silent = self.parser.spec.proof.rule == Rule::Silence;
        let nothing = finding.means == Means::Ignored && finding.path.is_none();
        silent && nothing && !self.staged.mentioned(&finding.line).is_empty()
    }

    /// Tells whom a finding concerns.
    pub fn target(&self, finding: &Finding<'_>) -> Target {
        self.staged.target(finding)
    }

    /// Returns the path of a file.
    pub fn path(&self, index: usize) -> &'a str {
        self.paths.get(index).copied().unwrap_or_default()
    }

    fn take(&mut self, finding: &Finding<'_>) {
        let target = self.staged.target(finding);
        let is_sentinel = self.sentinel.is_some_and(|index| target.is_of(index));
        let is_noise = matches!(finding.means, Means::Ignored | Means::Subject);
        self.after_sentinel |= self.sentinel_detected() && !is_sentinel && !is_noise;
        self.tally.take(finding, target, &self.parser.names);
        self.fail_others(finding, target);
    }

    /// Fails other files that a line names, of an engine that need not name those that are clean:
    /// two lines may have become one, and the second detection the end of the first one's name.
    fn fail_others(&mut self, finding: &Finding<'_>, target: Target) {
        let named = self.parser.spec.proof.rule == Rule::PerFile;
        if named || !finding.rule.starts_with(LINE_RULES) {
            return;
        }
        let reason = "a line about something else names this file, too";
        for index in self.staged.mentioned(&finding.line) {
            if !target.is_of(index) {
                let reason = format!("{reason}: {:?}", quote(&finding.line));
                self.tally.fail_file(index, reason, &finding.line);
            }
        }
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

    /// Takes in what the exit code says of files.
    pub fn exit_verdict(&mut self, code: Option<i32>) {
        let Some(verdict) = code.and_then(|code| self.parser.spec.exit.verdict(code)) else {
            return;
        };
        let finding = exit_finding(verdict);
        let silent = (0..self.tally.len()).filter(|index| !self.tally.is_mentioned(*index));
        let silent: Vec<usize> = silent.collect();
        if verdict.means == Means::Undetected {
            for index in silent {
                self.tally
                    .take(&finding, Target::File(index), &self.parser.names);
            }
        } else if self.tally.len() == 1 && !self.tally.is_detected(0) {
            self.tally
                .take(&finding, Target::File(0), &self.parser.names);
        } else if self.tally.detected_count() == 0 {
            let code = verdict.code;
            let reason = format!("exit code {code} speaks of a file and no line names it");
            self.tally.fail(reason, "");
        }
    }

    fn sentinel_detected(&self) -> bool {
        self.sentinel
            .is_some_and(|index| self.tally.is_detected(index))
    }

    /// Says what must hold before anything may be called clean, and does not.
    fn doubts(&self, heard: &Heard<'_>) -> Vec<String> {
        let mut doubts = end_doubts(self.parser, heard);
        let mut doubt = |is: bool, reason: &str| {
            if is {
                doubts.push(reason.to_owned());
            }
        };
        let staged = self.sentinel.is_some() || !self.parser.needs_sentinel();
        doubt(!staged, "no sentinel was staged");
        let detected = self.sentinel.is_none() || self.sentinel_detected();
        doubt(
            !detected,
            "the engine did not detect the sentinel, an EICAR file",
        );
        let in_order = self.parser.spec.proof.rule != Rule::Silence || !self.after_sentinel;
        doubt(!in_order, "the sentinel was not answered last");
        doubts.extend(self.counter_doubts(heard));
        doubts
    }

    fn counter_doubts(&self, heard: &Heard<'_>) -> Vec<String> {
        let parser = self.parser;
        let detected = self.tally.detected_count() as u64;
        let counters = [
            (
                &parser.scanned,
                "files scanned",
                heard.scanned,
                self.tally.len() as u64,
            ),
            (&parser.detected, "files detected", heard.detected, detected),
            (&parser.errors, "errors", heard.errors, 0),
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

/// Says why the exit code lets nothing be believed, if it does.
pub(super) fn exit_failure(parser: &Parser, output: Output<'_>) -> Option<String> {
    let exit = &parser.spec.exit;
    let reason = match output.exit_code {
        Some(code) if exit.is_complete(code) => return None,
        Some(code) => {
            let known = exit.failures.iter().find(|failure| failure.code == code);
            let known = known.map(|failure| format!(": {}", failure.reason));
            format!("exit code {code}{}", known.unwrap_or_default())
        }
        None => "the engine was ended by a signal".to_owned(),
    };
    Some(format!("{reason}{}", last_words(parser, output)))
}

/// Says whether complete output ended as it must.
pub(super) fn end_doubts(parser: &Parser, heard: &Heard<'_>) -> Vec<String> {
    let mut doubts = Vec::new();
    if parser.end.is_some() && !heard.ended {
        doubts.push("the line that ends complete output is missing".to_owned());
    }
    if heard.after_end {
        doubts.push("the output goes on behind its end".to_owned());
    }
    doubts
}

/// What an exit code says, as if a line had said it.
fn exit_finding(verdict: &ExitVerdict) -> Finding<'static> {
    let label = verdict.label.clone();
    let name = label.clone().unwrap_or_else(|| UNNAMED.to_owned());
    Finding {
        means: verdict.means,
        path: None,
        member: None,
        name: Some(name.into()),
        reason: label.map(Into::into),
        line: format!("exit code {}", verdict.code).into(),
        weak: true,
        rule: "parse.exit.verdicts",
    }
}

/// Quotes the last line of output, which mostly says why there is no more.
fn last_words(parser: &Parser, output: Output<'_>) -> String {
    let tail = |bytes: &[u8]| {
        let from = bytes.len().saturating_sub(MAX_LINE);
        let text = decode(&bytes[from..], parser.encoding);
        lines(&text).last().map(|line| quote(line.text))
    };
    let words = tail(output.stderr).or_else(|| tail(output.stdout));
    let words = words.map(|words| format!(", its last words were {words:?}"));
    words.unwrap_or_else(|| ", it said nothing".to_owned())
}
