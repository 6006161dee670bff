//! Recorded output, of which nobody knows what was scanned: every path it names is a file.
//!
//! The rules are those of a scan. What cannot be known afterwards is left out: there
//! is no sentinel, and counters are compared only as far as the output itself goes.

use super::finding::{Finding, Target};
use super::heard::{Event, Heard, listen};
use super::reading::{Reading, end_doubts, exit_failure};
use super::spec::{Means, Rule};
use super::text::decode;
use super::{Output, Parser};
use crate::model::{DetectionName, Verdict};

/// Endings of names that may have members behind a `/`.
const CONTAINERS: [&str; 14] = [
    ".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".cab", ".arj", ".jar", ".iso",
    ".eml", ".msi",
];

/// What was read about one path, or one member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The path as printed; none if the output names no file.
    pub path: Option<String>,
    /// The member as printed; none if it is about the file as a whole.
    pub member: Option<String>,
    /// The normalized answer.
    pub verdict: Verdict,
}

/// One line or record and the rule that read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// The line as printed.
    pub text: String,
    /// Where the rule stands in the manifest; none if no rule understands the line.
    pub rule: Option<String>,
    /// What the rule makes of it.
    pub means: Option<Means>,
}

/// How output was read.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Every line and record in the order of the output.
    pub lines: Vec<TraceLine>,
    /// What holds for the output as a whole, besides its lines.
    pub doubts: Vec<String>,
    /// What it says of which file.
    pub results: Vec<Recorded>,
}

/// Reads recorded output.
pub fn read(parser: &Parser, exit_code: Option<i32>, (stdout, stderr): (&[u8], &[u8])) -> Trace {
    let output = Output {
        exit_code,
        stdout,
        stderr,
    };
    let stdout = decode(stdout, parser.encoding);
    let stderr = decode(stderr, parser.encoding);
    let heard = listen(parser, &stdout, &stderr);
    let paths = paths(parser, &heard);
    let named: Vec<&str> = match paths.is_empty() {
        // Whatever is said is said of the one file that is not named.
        true => vec![""],
        false => paths.iter().map(String::as_str).collect(),
    };
    let mut reading = Reading::new(parser, &named);
    if exit_code.is_some() {
        reading.exit_code(output);
    }
    reading.events(&heard.events);
    reading.exit_verdict(exit_code);
    let doubts = doubts(parser, exit_code, &heard);
    for doubt in &doubts {
        reading.tally.fail(doubt.clone(), "");
    }
    let members = members(parser, &heard, &reading);
    let whole = reading.tally.verdicts(named.len(), parser.spec.proof.rule);
    let whole = named.iter().zip(whole).map(|(path, parsed)| Recorded {
        path: (!path.is_empty()).then(|| (*path).to_owned()),
        member: None,
        verdict: parsed.verdict,
    });
    let run = exit_code.and_then(|_| exit_failure(parser, output));
    Trace {
        lines: heard.events.iter().map(trace).collect(),
        results: with_run(whole.chain(members).collect(), run),
        doubts,
    }
}

/// Adds that the run as a whole failed, where what was detected before would hide it.
fn with_run(mut results: Vec<Recorded>, failure: Option<String>) -> Vec<Recorded> {
    let hidden = results
        .iter()
        .all(|recorded| recorded.verdict.is_detection());
    results.extend(failure.filter(|_| hidden).map(|reason| Recorded {
        path: None,
        member: None,
        verdict: Verdict::failure(reason),
    }));
    results
}

fn findings<'h>(heard: &'h Heard<'_>) -> impl Iterator<Item = &'h Finding<'h>> {
    heard.events.iter().filter_map(|event| match event {
        Event::Finding(finding) => Some(finding),
        Event::Marker(_) | Event::Unknown(_) | Event::NoDocument(_) => None,
    })
}

/// Returns the files that the output names, each once, in order.
fn paths(parser: &Parser, heard: &Heard<'_>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let named = findings(heard).filter(|finding| finding.means != Means::Ignored);
    let named = named.filter_map(|finding| {
        let path = finding.path.as_deref()?;
        let whole = match finding.member {
            Some(_) => path,
            None => split(parser, path).0,
        };
        (!whole.is_empty() && seen.insert(whole.to_owned())).then(|| whole.to_owned())
    });
    named.collect()
}

/// Splits a path at the first separator of a member.
fn split<'p>(parser: &Parser, path: &'p str) -> (&'p str, Option<&'p str>) {
    let separators = parser.spec.paths.member_separators.iter();
    let found = separators.filter_map(|separator| {
        let at = match separator.as_str() {
            "/" => container_end(path)?,
            separator => path.find(separator)?,
        };
        (at > 0).then_some((at, separator.len()))
    });
    match found.min() {
        Some((at, length)) => (&path[..at], Some(&path[at + length..])),
        None => (path, None),
    }
}

/// Finds the slash behind the first name that may have members.
fn container_end(path: &str) -> Option<usize> {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    slashes.find(|at| {
        let before = path[..*at].to_ascii_lowercase();
        CONTAINERS.iter().any(|ending| before.ends_with(ending))
    })
}

/// Returns what was said of members; a clean member says nothing of its container.
fn members(parser: &Parser, heard: &Heard<'_>, reading: &Reading<'_>) -> Vec<Recorded> {
    let about = findings(heard).filter_map(|finding| {
        let Target::Member(index) = reading.target(finding) else {
            return None;
        };
        let path = finding.path.as_deref()?;
        let member = match &finding.member {
            Some(member) => member.as_ref(),
            None => split(parser, path).1?,
        };
        Some(Recorded {
            path: Some(reading.path(index).to_owned()),
            member: Some(member.to_owned()),
            verdict: verdict(parser, finding)?,
        })
    });
    about.collect()
}

fn verdict(parser: &Parser, finding: &Finding<'_>) -> Option<Verdict> {
    let name = parser
        .names
        .clean(finding.name.as_deref().unwrap_or_default());
    let reason = || {
        finding
            .reason
            .as_deref()
            .unwrap_or(&finding.line)
            .to_owned()
    };
    let named = || DetectionName::new(&name);
    match parser.names.weigh_detection(finding.means, &name) {
        Means::Malicious => Some(Verdict::Malicious { name: named() }),
        Means::Suspicious => Some(Verdict::Suspicious { name: named() }),
        Means::TypeUnsupported => Some(Verdict::TypeUnsupported { reason: reason() }),
        Means::Failure => Some(Verdict::failure(reason())),
        Means::Undetected | Means::Subject | Means::Ignored => None,
    }
}

/// Says what must hold before anything may be called clean, and does not.
fn doubts(parser: &Parser, exit_code: Option<i32>, heard: &Heard<'_>) -> Vec<String> {
    let mut doubts = end_doubts(parser, heard);
    let mut doubt = |is: bool, reason: &str| {
        if is {
            doubts.push(reason.to_owned());
        }
    };
    let detection =
        |finding: &Finding<'_>| matches!(finding.means, Means::Malicious | Means::Suspicious);
    let detects = findings(heard).any(detection);
    let unknown = |event: &Event<'_>| matches!(event, Event::Unknown(_));
    let silence = parser.spec.proof.rule == Rule::Silence;
    doubt(
        silence && exit_code.is_none(),
        "a silent engine proves nothing without its exit code",
    );
    doubt(
        silence && heard.events.iter().any(unknown),
        "the engine said something that no rule understands",
    );
    doubt(
        parser.scanned.is_some() && heard.scanned.unwrap_or(0) == 0,
        "the engine does not say that it looked at any file",
    );
    doubt(
        parser.detected.is_some() && heard.detected.is_none_or(|count| count > 0 && !detects),
        "the engine does not count the detections that it names",
    );
    doubt(
        parser.errors.is_some() && heard.errors != Some(0),
        "the engine does not say that there was no error",
    );
    doubts
}

fn trace(event: &Event<'_>) -> TraceLine {
    let (text, rule, means) = match event {
        Event::Finding(finding) => (
            finding.line.as_ref(),
            Some(finding.rule),
            Some(finding.means),
        ),
        Event::Marker(text) => (*text, Some("parse.proof"), None),
        Event::Unknown(text) => (*text, None, None),
        Event::NoDocument(reason) => (*reason, None, Some(Means::Failure)),
    };
    TraceLine {
        text: text.to_owned(),
        rule: rule.map(str::to_owned),
        means,
    }
}
