//! Recorded outputs of the engines, read through their manifests.
//!
//! `tests/fixtures/engines/<id>/<case>.out` is what an engine left behind,
//! `<case>.json` what must be read from it. `UPDATE_GOLDEN=1` writes the latter.
//! A `.out` without a line `files:` is output that others recorded of the engine's
//! own command line: every path it names is a file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use acquit::engine::manifest::{Manifest, Standing};
use acquit::engine::parser::{Output, Parsed, Parser, Recorded};
use acquit::model::Verdict;
use proptest::prelude::*;

/// What an engine left behind for one batch.
#[derive(Clone, Debug)]
pub struct Golden {
    /// Exit code; none if it was ended by a signal.
    pub exit: Option<i32>,
    /// Staged paths in the order of the batch.
    pub files: Vec<String>,
    /// The staged EICAR file, if the batch had one.
    pub sentinel: Option<String>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained.
    pub stderr: Vec<u8>,
}

impl Golden {
    /// Tells whether its output names a staged file more often than another's.
    fn names_more_than(&self, other: &Self) -> bool {
        let names = |golden: &Self, path: &str| {
            String::from_utf8_lossy(&golden.stdout)
                .matches(path)
                .count()
        };
        let mut staged = self.files.iter().chain(&self.sentinel);
        staged.any(|path| names(self, path) > names(other, path))
    }

    /// Reads a recorded output.
    pub fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let (head, rest) = split(&bytes, b"--- stdout\n");
        let (stdout, stderr) = split(rest, b"--- stderr\n");
        let head = String::from_utf8(head.to_vec()).unwrap();
        let field = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        Self {
            exit: field("exit").unwrap().parse().ok(),
            files: field("files").map(words).unwrap_or_default(),
            sentinel: field("sentinel").map(str::to_owned),
            stdout: stdout.to_vec(),
            stderr: stderr.to_vec(),
        }
    }

    /// Writes a recorded output.
    pub fn write(&self, path: &Path) {
        let exit = self
            .exit
            .map_or_else(|| "signal".to_owned(), |code| code.to_string());
        let mut text = format!("exit: {exit}\nfiles: {}\n", self.files.join(" ")).into_bytes();
        if let Some(sentinel) = &self.sentinel {
            text.extend(format!("sentinel: {sentinel}\n").into_bytes());
        }
        for (name, bytes) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            text.extend(format!("--- {name}\n").into_bytes());
            text.extend(bytes);
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads it as the engine's manifest says.
    pub fn parse(&self, parser: &Parser) -> Vec<Parsed> {
        let files: Vec<&str> = self.files.iter().map(String::as_str).collect();
        let output = Output {
            exit_code: self.exit,
            stdout: &self.stdout,
            stderr: &self.stderr,
        };
        parser.parse(output, &files, self.sentinel.as_deref())
    }

    /// Tells whether it is of a scan as Acquit makes it.
    fn is_staged(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads it as output of which nobody knows what was scanned.
    fn parse_recorded(&self, parser: &Parser) -> Vec<Recorded> {
        parser
            .parse_recorded(self.exit, &self.stdout, &self.stderr)
            .results
    }

    fn clean(&self, parser: &Parser) -> BTreeSet<usize> {
        let parsed = self.parse(parser).into_iter().enumerate();
        parsed
            .filter(|(_, parsed)| parsed.verdict == Verdict::Undetected)
            .map(|(index, _)| index)
            .collect()
    }
}

fn split<'a>(bytes: &'a [u8], marker: &[u8]) -> (&'a [u8], &'a [u8]) {
    let mut windows = bytes.windows(marker.len());
    match windows.position(|window| window == marker) {
        Some(at) => (&bytes[..at], &bytes[at + marker.len()..]),
        None => (bytes, &[]),
    }
}

/// Returns where recorded outputs lie.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/engines")
}

/// Returns an engine's manifest and its parser.
pub fn engine(id: &str) -> (Manifest, Parser) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = Manifest::load(&root.join("engines").join(format!("{id}.toml"))).unwrap();
    let parser = Parser::new(&manifest.parse).unwrap();
    (manifest, parser)
}

/// A recorded output, where it lies, and what reads it.
type Case = (PathBuf, Golden, Parser);

/// Every output of a scan with its engine's parser, made ready once.
static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let mut all = read_all();
    all.retain(|(_, golden, _)| golden.is_staged());
    all
});

/// Every output of an engine's own command line, with what reads that.
static PLAIN: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let mut all = read_all();
    all.retain(|(_, golden, _)| !golden.is_staged());
    all
});

fn read_all() -> Vec<Case> {
    let mut found = Vec::new();
    for directory in fs::read_dir(fixtures()).unwrap() {
        let directory = directory.unwrap();
        let id = directory.file_name().into_string().unwrap();
        for file in fs::read_dir(directory.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "out") {
                let golden = Golden::read(&path);
                let parser = reader(&id, &golden);
                found.push((path, golden, parser));
            }
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

/// Returns what reads a recorded output.
fn reader(id: &str, golden: &Golden) -> Parser {
    let (manifest, parser) = engine(id);
    match manifest.plain {
        Some(plain) if !golden.is_staged() => Parser::new(&plain.parse).unwrap(),
        _ => parser,
    }
}

/// What was read of recorded output, in the form it is kept in.
fn plain_results(golden: &Golden, parser: &Parser) -> String {
    let results = golden.parse_recorded(parser).into_iter().map(|recorded| {
        let verdict = &recorded.verdict;
        serde_json::json!({
            "path": recorded.path,
            "member": recorded.member,
            "category": verdict.category(),
            "result": verdict.name().map(|name| name.as_str()),
            "reason": verdict.reason(),
        })
    });
    let results: Vec<_> = results.collect();
    serde_json::to_string_pretty(&results).unwrap() + "\n"
}

/// What was read, in the form it is kept in.
fn results(golden: &Golden, parsed: &[Parsed]) -> String {
    let results = golden.files.iter().zip(parsed).map(|(path, parsed)| {
        let verdict = &parsed.verdict;
        serde_json::json!({
            "path": path,
            "category": verdict.category(),
            "result": verdict.name().map(|name| name.as_str()),
            "reason": verdict.reason(),
        })
    });
    let results: Vec<_> = results.collect();
    serde_json::to_string_pretty(&results).unwrap() + "\n"
}

#[test]
fn every_recorded_output_is_read_as_expected() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for (path, golden, parser) in ALL.iter().chain(PLAIN.iter()) {
        let seen = match golden.is_staged() {
            true => results(golden, &golden.parse(parser)),
            false => plain_results(golden, parser),
        };
        let expected = path.with_extension("json");
        if update {
            fs::write(&expected, &seen).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(seen, expected, "{}", path.display());
    }
}

/// What must be seen of every engine that runs here.
const HARD_CASES: [&str; 6] = [
    "clean",
    "known-bad",
    "several",
    "encrypted",
    "killed",
    "broken",
];
/// Staged cases an engine has at least, as far as what is known of it gives them.
const LEAST_CASES: usize = 6;

#[test]
fn every_engine_has_its_hard_cases() {
    for manifest in manifests() {
        let dir = fixtures().join(manifest.id.as_str());
        let runs_here = matches!(manifest.standing, Standing::Installed | Standing::Optional);
        // No label is encrypted.
        if runs_here && !manifest.labeler {
            for case in HARD_CASES {
                let golden = dir.join(format!("{case}.out"));
                assert!(golden.is_file(), "{} is missing", golden.display());
            }
        }
        let cases = ALL
            .iter()
            .filter(|(path, ..)| path.starts_with(&dir))
            .count();
        assert!(cases >= LEAST_CASES, "{} has {cases} cases", manifest.id);
    }
}

#[test]
fn catalog_is_as_large_as_it_says() {
    let (engines, cases) = (manifests().len(), ALL.len() + PLAIN.len());
    assert!(engines >= 100, "{engines} engines");
    assert!(cases >= 600, "{cases} golden cases");
}

fn manifests() -> Vec<Manifest> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines");
    let paths = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|it| it == "toml"));
    paths.map(|path| Manifest::load(&path).unwrap()).collect()
}

/// A file whose name is printed as clean is no proof for another, and what is cut
/// off in recorded output never turns a file that was detected into a clean one.
#[test]
fn recorded_output_cut_anywhere_never_acquits_what_was_detected() {
    for (path, golden, parser) in PLAIN.iter() {
        let bad = detected(&golden.parse_recorded(parser));
        for end in 0..golden.stdout.len() {
            let mut cut = golden.clone();
            cut.stdout.truncate(end);
            let clean = cut.parse_recorded(parser).into_iter();
            let clean = clean.filter(|recorded| recorded.verdict == Verdict::Undetected);
            for recorded in clean.filter(|recorded| recorded.path.is_some()) {
                let acquitted = bad.contains(&recorded.path);
                assert!(!acquitted, "{} cut at byte {end}", path.display());
            }
        }
    }
}

fn detected(results: &[Recorded]) -> BTreeSet<Option<String>> {
    let bad = results
        .iter()
        .filter(|recorded| recorded.verdict.is_detection());
    bad.map(|recorded| recorded.path.clone()).collect()
}

#[test]
fn output_cut_anywhere_never_makes_a_file_clean() {
    for (path, golden, parser) in ALL.iter() {
        let clean = golden.clean(parser);
        for end in 0..golden.stdout.len() {
            let mut cut = golden.clone();
            cut.stdout.truncate(end);
            assert!(
                cut.clean(parser).is_subset(&clean),
                "{} cut at byte {end} of stdout",
                path.display()
            );
        }
        for end in 0..golden.stderr.len() {
            let mut cut = golden.clone();
            cut.stderr.truncate(end);
            assert!(
                cut.clean(parser).is_subset(&clean),
                "{} cut at byte {end} of stderr",
                path.display()
            );
        }
    }
}

#[test]
fn signal_or_foreign_exit_code_never_leaves_a_file_clean() {
    for (path, golden, parser) in ALL.iter() {
        for exit in [None, Some(99), Some(137), Some(-1)] {
            let broken = Golden {
                exit,
                ..golden.clone()
            };
            assert!(
                broken.clean(parser).is_empty(),
                "{} {exit:?}",
                path.display()
            );
        }
    }
}

#[test]
fn outputs_spliced_together_never_make_a_file_clean() {
    for (path, golden, parser) in ALL.iter() {
        let clean = golden.clean(parser);
        let same = ALL
            .iter()
            .filter(|(other, ..)| other.parent() == path.parent());
        for (_, other, _) in same {
            let mut spliced = golden.clone();
            spliced.stdout.extend(&other.stdout);
            spliced.stderr.extend(&other.stderr);
            assert!(
                spliced.clean(parser).is_subset(&clean),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn hostile_lines_never_make_a_file_clean() {
    let hostile = [
        "{F}: OK",
        "{F}: OK\n{F}: OK",
        "x{F}: OK",
        "{F}: OK {F} FOUND",
        "evil name.exe: OK",
        "{\"path\": \"{F}\", \"verdict\": \"clean\"}",
        "{\"path\": \"{F}\", \"verdict\": \"undetected\"}{}",
        "{\"path\": \"{F}\"}",
        "{\"verdict\": \"undetected\"}",
        "\u{1b}[2K{F}: OK",
        "Acquit_Seen [] {F}.exe",
        "Acquit_Seen [] {F} ",
    ];
    for (path, golden, parser) in ALL.iter() {
        for line in hostile {
            let Some(victim) = golden.files.first() else {
                continue;
            };
            let forged = Golden {
                stdout: line.replace("{F}", victim).into_bytes(),
                stderr: Vec::new(),
                ..golden.clone()
            };
            assert!(
                forged.clean(parser).is_empty(),
                "{}: {line}",
                path.display()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_give_a_verdict_and_none_is_clean(
        stdout in proptest::collection::vec(any::<u8>(), 0..2048),
        stderr in proptest::collection::vec(any::<u8>(), 0..512),
        exit in proptest::option::of(-2..130),
    ) {
        for (_, golden, parser) in ALL.iter() {
            let noise = Golden { exit, stdout: stdout.clone(), stderr: stderr.clone(), ..golden.clone() };
            prop_assert!(noise.clean(parser).is_empty());
            prop_assert_eq!(noise.parse(parser).len(), noise.files.len());
        }
    }

    #[test]
    fn flipped_bytes_never_make_a_file_clean(
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        for (path, golden, parser) in ALL.iter() {
            if golden.stdout.is_empty() {
                continue;
            }
            let clean = golden.clean(parser);
            let mut flipped = golden.clone();
            let at = at.index(flipped.stdout.len());
            flipped.stdout[at] = byte;
            // Real names are random: no single byte makes one of them another.
            if flipped.names_more_than(golden) {
                continue;
            }
            prop_assert!(flipped.clean(parser).is_subset(&clean), "{}", path.display());
        }
    }
}
