//! Recorded outputs of the engines, read through their manifests.
//!
//! `tests/fixtures/engines/<id>/<case>.out` is what an engine left behind,
//! `<case>.json` what must be read from it. `UPDATE_GOLDEN=1` writes the latter.
//! A `.out` without a line `files:` is output that others recorded of the engine's
//! own command line: every path it names is a file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use acquit::engine::manifest::{Manifest, Standing, Transport};
use acquit::engine::parser::{Means, Output, Parsed, Parser, Recorded};
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

    /// Tells whether a file is clean that was not before, though no rule says so of it.
    ///
    /// What a product adds on a second line, and what is lost of it, nobody can know; but
    /// nothing is clean by what is not there.
    fn acquits(&self, parser: &Parser, before: &BTreeSet<usize>) -> bool {
        let clean = self.clean(parser);
        let mut newly = clean.difference(before);
        newly.any(|index| !self.says_clean(parser, &self.files[*index]))
    }

    /// Tells whether a line of it, or the counters, say of a file that it is clean.
    fn says_clean(&self, parser: &Parser, file: &str) -> bool {
        let trace = parser.parse_recorded(self.exit, &self.stdout, &self.stderr);
        let only = self.files.len() <= 1;
        trace.lines.iter().any(|line| {
            let counts = line.rule.as_deref() == Some("parse.proof");
            let clean = line.means == Some(Means::Undetected);
            counts || clean && (only || line.text.contains(file))
        })
    }

    fn clean(&self, parser: &Parser) -> BTreeSet<usize> {
        self.files_that(parser, |verdict| *verdict == Verdict::Undetected)
    }

    /// Files that are not clean only because a line about another names them, which it need not.
    fn named_in_passing(&self, parser: &Parser) -> BTreeSet<usize> {
        let reason = "a line about something else names this file, too";
        self.files_that(parser, |verdict| {
            verdict.reason().is_some_and(|it| it.starts_with(reason))
        })
    }

    fn detects(&self, parser: &Parser) -> BTreeSet<usize> {
        self.files_that(parser, Verdict::is_detection)
    }

    fn files_that(&self, parser: &Parser, is: impl Fn(&Verdict) -> bool) -> BTreeSet<usize> {
        let parsed = self.parse(parser).into_iter().enumerate();
        let chosen = parsed.filter(|(_, parsed)| is(&parsed.verdict));
        chosen.map(|(index, _)| index).collect()
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
    let manifest = crate::support::shipped(id);
    let parser = Parser::new(&manifest.parse).unwrap();
    (manifest, parser)
}

/// A recorded output, where it lies, and what reads it.
type Case = (PathBuf, Golden, Arc<Parser>);

/// Engines that run in these tests; they are held to more.
static RUN_HERE: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let here =
        |manifest: &Manifest| matches!(manifest.standing, Standing::Installed | Standing::Optional);
    let manifests = manifests().into_iter().filter(here);
    manifests.map(|manifest| manifest.id.to_string()).collect()
});

/// Engines that answer over a connection.
static SERVED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let served = |manifest: &Manifest| {
        use Transport as T;
        matches!(
            manifest.run.transport,
            T::Dialog | T::Icap | T::Http | T::Drwebd
        )
    };
    let manifests = manifests().into_iter().filter(served);
    manifests.map(|manifest| manifest.id.to_string()).collect()
});

fn id_of(path: &Path) -> String {
    let dir = path.parent().unwrap().file_name().unwrap();
    dir.to_str().unwrap().to_owned()
}

/// Tells whether output that was changed acquits a file: of an engine that runs here, any file
/// that was not clean before; of another, one of which no rule says so.
fn acquits((path, _, parser): &Case, changed: &Golden, before: &BTreeSet<usize>) -> bool {
    let id = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap();
    match RUN_HERE.contains(id) {
        true => !changed.clean(parser).is_subset(before),
        false => changed.acquits(parser, before),
    }
}

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
    let mut readers = BTreeMap::new();
    for directory in fs::read_dir(fixtures()).unwrap() {
        let directory = directory.unwrap();
        let id = directory.file_name().into_string().unwrap();
        for file in fs::read_dir(directory.path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "out") {
                let golden = Golden::read(&path);
                let key = (id.clone(), golden.is_staged());
                let parser = readers.entry(key);
                let parser = parser.or_insert_with(|| Arc::new(reader(&id, &golden)));
                let parser = Arc::clone(parser);
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

/// What is cut off in recorded output never turns a file that was detected into a clean one,
/// unless what is left says in so many words that it is.
#[test]
fn recorded_output_cut_anywhere_never_acquits_what_was_detected() {
    let mut wrong = Vec::new();
    for (path, golden, parser) in PLAIN.iter() {
        let bad = detected(&golden.parse_recorded(parser));
        for end in 0..golden.stdout.len() {
            let mut cut = golden.clone();
            cut.stdout.truncate(end);
            let clean = cut.parse_recorded(parser).into_iter();
            let clean = clean.filter(|recorded| recorded.verdict == Verdict::Undetected);
            let mut named = clean.filter_map(|recorded| recorded.path);
            if named.any(|file| bad.contains(&Some(file.clone())) && !cut.says_clean(parser, &file))
            {
                wrong.push(format!("{} cut at byte {end}", path.display()));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn detected(results: &[Recorded]) -> BTreeSet<Option<String>> {
    let bad = results
        .iter()
        .filter(|recorded| recorded.verdict.is_detection());
    bad.map(|recorded| recorded.path.clone()).collect()
}

#[test]
fn output_cut_anywhere_never_makes_a_file_clean() {
    let mut wrong = Vec::new();
    // What a server says is read only once it is whole by its protocol; the tests of the transports
    // cut that.
    for case in ALL
        .iter()
        .filter(|(path, ..)| !SERVED.contains(&id_of(path)))
    {
        let (path, golden, parser) = case;
        let clean = golden.clean(parser);
        let cuts = (0..golden.stdout.len()).map(|end| {
            let mut cut = golden.clone();
            cut.stdout.truncate(end);
            (cut, format!("byte {end} of stdout"))
        });
        let more = (0..golden.stderr.len()).map(|end| {
            let mut cut = golden.clone();
            cut.stderr.truncate(end);
            (cut, format!("byte {end} of stderr"))
        });
        let found = cuts.chain(more).find(|(cut, _)| acquits(case, cut, &clean));
        wrong.extend(found.map(|(_, place)| format!("{} cut at {place}", path.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

/// All outputs of an engine give their files the same names, so that what one says of its file is
/// said of the other's too; but what was detected stays detected.
#[test]
fn outputs_spliced_together_never_make_a_file_clean() {
    let mut wrong = Vec::new();
    for case in ALL.iter() {
        let (path, golden, parser) = case;
        let clean = golden.clean(parser);
        let same = ALL.iter().filter(|(name, other, _)| {
            let batch = golden.files == other.files || RUN_HERE.contains(&id_of(path));
            batch && name.parent() == path.parent()
        });
        for (name, other, _) in same {
            let mut spliced = golden.clone();
            spliced.stdout.extend(&other.stdout);
            spliced.stderr.extend(&other.stderr);
            let lost = golden
                .detects(parser)
                .intersection(&spliced.clean(parser))
                .count();
            let mut known = clean.clone();
            if !RUN_HERE.contains(&id_of(path)) {
                known.extend(other.clean(parser));
            }
            if lost > 0 || acquits(case, &spliced, &known) {
                wrong.push(format!("{} and {}", path.display(), name.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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

/// One output of each engine.
fn one_of_each() -> impl Iterator<Item = &'static Case> {
    let mut seen = BTreeSet::new();
    ALL.iter()
        .filter(move |(path, ..)| seen.insert(path.parent()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_give_a_verdict_and_none_is_clean(
        stdout in proptest::collection::vec(any::<u8>(), 0..2048),
        stderr in proptest::collection::vec(any::<u8>(), 0..512),
        exit in proptest::option::of(-2..130),
    ) {
        for (path, golden, parser) in one_of_each() {
            let noise = Golden { exit, stdout: stdout.clone(), stderr: stderr.clone(), ..golden.clone() };
            prop_assert!(noise.clean(parser).is_empty(), "{}", path.display());
            prop_assert_eq!(noise.parse(parser).len(), noise.files.len());
            noise.parse_recorded(parser);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn flipped_bytes_never_make_a_file_clean(
        which in any::<proptest::sample::Index>(),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let case = which.get(ALL.as_slice());
        let (path, golden, parser) = case;
        if !golden.stdout.is_empty() {
            let mut clean = golden.clean(parser);
            clean.extend(golden.named_in_passing(parser));
            let mut flipped = golden.clone();
            let at = at.index(flipped.stdout.len());
            flipped.stdout[at] = byte;
            // Real names are random: no single byte makes one of them another.
            let renamed = flipped.names_more_than(golden);
            prop_assert!(renamed || !acquits(case, &flipped, &clean), "{}", path.display());
        }
    }
}
