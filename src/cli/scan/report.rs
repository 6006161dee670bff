//! What a scan found, for people and for machines.

use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::text::{Color, Paint, count, padded, size, visible};
use crate::cli::wire::{Answers, Coverage};
use crate::model::Sha256;
use unicode_width::UnicodeWidthStr;

/// Files up to which each gets a line; beyond it only the noteworthy do.
const LINES: usize = 200;
/// Widest a path may make its column.
const PATH_WIDTH: usize = 60;

/// One file's line.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// Its path as it was found.
    pub path: String,
    /// Its hash, if it was sent.
    pub sha256: Option<Sha256>,
    /// Its size in bytes.
    pub size: u64,
    /// What the engines answered.
    #[serde(flatten)]
    pub answers: Answers,
    /// Why it was not scanned at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the server shows the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permalink: Option<String>,
}

/// What became of one file; the order is that of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Some engine detected something.
    Detected,
    /// So it did, in a publisher's software, who disputes it.
    Disputed,
    /// It was not scanned.
    NotScanned,
    /// Some engine did not answer, or none looked into it.
    Incomplete,
    /// Every engine answered, none detected anything.
    Undetected,
}

/// From which category on a detection makes the exit code 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FailOn {
    /// Every detection.
    #[default]
    Suspicious,
    /// Only what an engine calls malicious.
    Malicious,
}

/// How detections count that a publisher disputes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disputed {
    /// As any other.
    #[default]
    Detected,
    /// Not at all.
    Clean,
}

/// What makes the exit code 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule {
    /// Which category.
    pub fail_on: FailOn,
    /// Whether disputed detections count.
    pub disputed: Disputed,
}

impl FileReport {
    /// Reports what the engines answered.
    pub fn answered(path: String, bytes: u64, answers: Answers) -> Self {
        Self {
            path,
            sha256: None,
            size: bytes,
            answers,
            error: None,
            permalink: None,
        }
    }

    /// Reports a file that was not scanned.
    pub fn failed(path: String, bytes: u64, error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::answered(path, bytes, Answers::default())
        }
    }

    /// Returns what became of the file. Nothing but a full answer is `Undetected`.
    pub fn fate(&self) -> Fate {
        if self.answers.detections.iter().any(|found| !found.disputed) {
            Fate::Detected
        } else if !self.answers.detections.is_empty() {
            Fate::Disputed
        } else if self.error.is_some() {
            Fate::NotScanned
        } else if self.answers.is_complete() {
            Fate::Undetected
        } else {
            Fate::Incomplete
        }
    }

    fn is_complete(&self) -> bool {
        self.error.is_none() && self.answers.is_complete()
    }

    fn fails(&self, rule: Rule) -> bool {
        let mut detections = self.answers.detections.iter();
        detections.any(|found| {
            let counts = !found.disputed || rule.disputed == Disputed::Detected;
            let severe = match rule.fail_on {
                FailOn::Suspicious => true,
                FailOn::Malicious => found.category == "malicious",
            };
            counts && severe
        })
    }
}

/// Sums over all files.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Files found.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files in which something was detected.
    pub detected: u64,
    /// Files in which all that was detected is disputed by their publisher.
    pub disputed: u64,
    /// Files that engines looked into, none failed on and none detected anything in.
    pub undetected: u64,
    /// Files some engine did not answer for, without a detection.
    pub incomplete: u64,
    /// Files that could not be read or sent.
    pub not_scanned: u64,
    /// Links, pipes, sockets and devices that were passed by.
    pub passed_by: u64,
    /// Engine answers given and asked for.
    pub coverage: Coverage,
}

/// The whole scan.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Every file, by path.
    pub files: Vec<FileReport>,
    /// Their sums.
    pub totals: Totals,
    /// The exit code.
    pub exit: u8,
    /// Whether disputed detections were counted as clean for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub disputed_is_clean: bool,
}

impl Report {
    /// Puts the files in order and adds them up.
    pub fn new(mut files: Vec<FileReport>, passed_by: u64, rule: Rule) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let mut totals = Totals {
            passed_by,
            ..Totals::default()
        };
        for file in &files {
            totals.add(file);
        }
        let mut report = Self {
            files,
            totals,
            exit: 0,
            disputed_is_clean: rule.disputed == Disputed::Clean,
        };
        report.exit = report.exit(rule).code();
        report
    }

    /// Returns the exit code; a detection weighs more than a missing answer.
    pub fn exit(&self, rule: Rule) -> Exit {
        if self.files.iter().any(|file| file.fails(rule)) {
            Exit::Found
        } else if self.files.is_empty() || !self.files.iter().all(FileReport::is_complete) {
            // Nothing scanned is no proof of anything.
            Exit::Incomplete
        } else {
            Exit::Fine
        }
    }

    /// Writes the table a person reads.
    pub fn text(&self, paint: Paint, all: bool) -> String {
        let short = !all && self.files.len() > LINES;
        let shown: Vec<&FileReport> = self
            .files
            .iter()
            .filter(|file| !short || file.fate() != Fate::Undetected)
            .collect();
        let width = shown.iter().map(|file| visible(&file.path).width()).max();
        let width = width.unwrap_or(0).clamp(4, PATH_WIDTH);
        let mut text = String::new();
        if !shown.is_empty() {
            let head = format!("{}  ENGINES  RESULT", padded("FILE", width));
            text.push_str(&paint.paint(Color::Bold, &head));
            text.push('\n');
        }
        for file in &shown {
            row(&mut text, paint, file, width);
        }
        let hidden = (self.files.len() - shown.len()) as u64;
        if hidden > 0 {
            let files = count(hidden, "more file");
            text.push_str(&format!("{files}: nothing detected (--all lists them)\n"));
        }
        text.push_str(&self.totals.text(paint));
        if self.disputed_is_clean && self.totals.disputed > 0 {
            text.push_str("Disputed detections count as clean for the exit code.\n");
        }
        text
    }
}

fn row(text: &mut String, paint: Paint, file: &FileReport, width: usize) {
    let coverage = match file.answers.coverage.engines {
        0 => "-".to_owned(),
        engines => format!("{} of {engines}", file.answers.coverage.answered),
    };
    let (color, result) = result(file);
    let path = padded(&visible(&file.path), width);
    let result = paint.paint(color, &result);
    text.push_str(&format!("{path}  {}  {result}\n", padded(&coverage, 7)));
    let indent = " ".repeat(width + 11);
    for detection in &file.answers.detections {
        let name = format!("{}: {}", detection.engine, detection.name);
        let (color, mark) = match (detection.disputed, detection.category.as_str()) {
            (true, _) => (Color::Orange, " (disputed)"),
            (false, "suspicious") => (Color::Red, " (suspicious)"),
            (false, _) => (Color::Red, ""),
        };
        text.push_str(&format!("{indent}  {}{mark}\n", paint.paint(color, &name)));
    }
    for silent in &file.answers.unanswered {
        let reason = format!("{}: {}: {}", silent.engine, silent.category, silent.reason);
        text.push_str(&format!(
            "{indent}  {}\n",
            paint.paint(Color::Yellow, &reason)
        ));
    }
    if file.fate() == Fate::Incomplete && file.answers.stats.undetected == 0 {
        for blind in &file.answers.unsupported {
            let reason = format!("{}: cannot look into it: {}", blind.engine, blind.reason);
            text.push_str(&format!(
                "{indent}  {}\n",
                paint.paint(Color::Yellow, &reason)
            ));
        }
    }
}

fn result(file: &FileReport) -> (Color, String) {
    let blind = file.answers.unsupported.len() as u64;
    match file.fate() {
        Fate::Detected => {
            let engines = count(file.answers.detections.len() as u64, "engine");
            (Color::Red, format!("DETECTED by {engines}"))
        }
        Fate::Disputed => {
            let engines = count(file.answers.detections.len() as u64, "engine");
            let whose = match file.answers.distributors.as_slice() {
                [] => "its publisher".to_owned(),
                names => names.join(", "),
            };
            let text = format!("DISPUTED: software of {whose}, detected by {engines}");
            (Color::Orange, text)
        }
        Fate::NotScanned => {
            let error = file.error.as_deref().unwrap_or_default();
            (Color::Yellow, format!("NOT SCANNED: {error}"))
        }
        Fate::Incomplete if file.answers.coverage.engines == 0 => {
            (Color::Yellow, "INCOMPLETE: no engine was asked".to_owned())
        }
        Fate::Incomplete if file.answers.unanswered.is_empty() => (
            Color::Yellow,
            "INCOMPLETE: no engine can look into it".to_owned(),
        ),
        Fate::Incomplete => {
            let engines = count(file.answers.unanswered.len() as u64, "engine");
            (
                Color::Yellow,
                format!("INCOMPLETE: no answer from {engines}"),
            )
        }
        Fate::Undetected if blind > 0 => {
            let other = format!("nothing detected ({blind} do not read this type)");
            (Color::Green, other)
        }
        Fate::Undetected => (Color::Green, "nothing detected".to_owned()),
    }
}

impl Totals {
    fn add(&mut self, file: &FileReport) {
        self.files += 1;
        self.bytes += file.size;
        self.coverage.answered += file.answers.coverage.answered;
        self.coverage.unsupported += file.answers.coverage.unsupported;
        self.coverage.engines += file.answers.coverage.engines;
        let fate = match file.fate() {
            Fate::Detected => &mut self.detected,
            Fate::Disputed => &mut self.disputed,
            Fate::NotScanned => &mut self.not_scanned,
            Fate::Incomplete => &mut self.incomplete,
            Fate::Undetected => &mut self.undetected,
        };
        *fate += 1;
    }

    fn text(&self, paint: Paint) -> String {
        let part = |number: u64, color: Color, words: &str| {
            let text = format!("{number} {words}");
            if number == 0 {
                text
            } else {
                paint.paint(color, &text)
            }
        };
        let fates = [
            part(self.detected, Color::Red, "detected"),
            part(self.undetected, Color::Green, "with nothing detected"),
            part(self.incomplete, Color::Yellow, "incomplete"),
            part(self.not_scanned, Color::Yellow, "not scanned"),
        ];
        let disputed = part(self.disputed, Color::Orange, "disputed");
        let mut fates = fates.to_vec();
        if self.disputed > 0 {
            fates.insert(1, disputed);
        }
        let files = count(self.files, "file");
        let mut text = format!("\n{files}, {}: {}", size(self.bytes), fates.join(", "));
        if self.passed_by > 0 {
            let links = "links and special files passed by";
            text.push_str(&format!("; {} {links}", self.passed_by));
        }
        let Coverage {
            answered,
            unsupported,
            engines,
        } = self.coverage;
        if engines > 0 {
            // Rounded down, so that only full coverage reads as 100 %.
            let permille = u64::from(answered) * 1000 / u64::from(engines);
            let (whole, tenth) = (permille / 10, permille % 10);
            let share = format!("{answered} of {engines} engine answers ({whole}.{tenth} %)");
            text.push_str(&format!("\nCoverage: {share}"));
            if unsupported > 0 {
                text.push_str(&format!("; {unsupported} do not read the type"));
            }
        }
        text.push('\n');
        text
    }
}
