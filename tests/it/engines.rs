//! The free engines for real: each image, each manifest's command, in the
//! sandbox's own restrictions.
//!
//! `UPDATE_GOLDEN=1` records what they print as the fixtures of the parsers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod optional;
pub mod samples;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use acquit::engine::manifest::{Catalog, Manifest, Transport, check};
use acquit::engine::parser::{Parsed, Parser};
use tempfile::TempDir;

use crate::parsers::{Golden, engine, fixtures};

const SAME_NAME: &str = "0000000000000000";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A batch as the daemon would stage it: fixed names, read by anybody.
struct Batch {
    dir: TempDir,
    files: Vec<String>,
    sentinel: Option<String>,
}

impl Batch {
    fn stage(samples: &[(&str, Vec<u8>)], sentinel: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join(SAME_NAME)).unwrap();
        let mut batch = Self {
            dir,
            files: Vec::new(),
            sentinel: None,
        };
        for (number, (extension, bytes)) in samples.iter().enumerate() {
            let path = batch.add(number, extension, bytes);
            batch.files.push(path);
        }
        if sentinel {
            batch.sentinel = Some(batch.add(0xffff, "", &crate::support::eicar()));
        }
        let listed: Vec<&str> = batch.all().collect();
        let list = listed.join("\n") + "\n";
        fs::write(batch.dir.path().join(format!("{SAME_NAME}.list")), list).unwrap();
        batch
    }

    fn add(&self, number: usize, extension: &str, bytes: &[u8]) -> String {
        let dot = if extension.is_empty() { "" } else { "." };
        let name = format!("{SAME_NAME}/{number:016x}{dot}{extension}");
        let path = self.dir.path().join(&name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        format!("/scan/{name}")
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.files.iter().chain(&self.sentinel).map(String::as_str)
    }
}

/// Puts a batch in a manifest's command; a daemon is asked with its own client.
fn command(manifest: &Manifest, batch: &Batch) -> Vec<String> {
    if manifest.run.transport == Transport::Clamd {
        let files: Vec<&str> = batch.all().collect();
        let client = "clamdscan --config-file=/etc/clamav/clamd.conf --no-summary";
        let script = format!(
            "{} >/dev/null 2>&1 & for i in $(seq 200); do [ -S /tmp/clamd.sock ] && break; \
             sleep 0.1; done; {client} {}",
            manifest.run.daemon.join(" "),
            files.join(" ")
        );
        return vec!["sh".to_owned(), "-c".to_owned(), script];
    }
    let mut words = Vec::new();
    for word in &manifest.run.command {
        if word == "{files}" {
            words.extend(batch.all().map(str::to_owned));
        } else {
            let word = word.replace("{list}", &format!("/scan/{SAME_NAME}.list"));
            words.push(word.replace("{dir}", &format!("/scan/{SAME_NAME}")));
        }
    }
    words
}

/// Runs a batch through an engine's image and keeps what it printed.
fn run(manifest: &Manifest, batch: &Batch, signatures: Option<&Path>) -> Golden {
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--network=none", "--read-only"]);
    docker.args(["--cap-drop=ALL", "--security-opt=no-new-privileges"]);
    docker.args(["--user=65534:65534", "--log-driver=none"]);
    let seccomp = root().join("src/engine/sandbox/seccomp.json");
    docker.arg(format!("--security-opt=seccomp={}", seccomp.display()));
    let tmp = manifest.limits.tmp_mb;
    docker.arg(format!("--tmpfs=/tmp:rw,noexec,nosuid,nodev,size={tmp}m"));
    docker.arg(format!("--memory={}m", manifest.limits.memory_mb));
    docker.arg(format!("--pids-limit={}", manifest.limits.pids));
    docker.arg(format!("--volume={}:/scan:ro", batch.dir.path().display()));
    if let (Some(spec), Some(set)) = (&manifest.signatures, signatures) {
        docker.arg(format!(
            "--volume={}:{}:ro",
            set.display(),
            spec.path.display()
        ));
    }
    for (name, value) in &manifest.run.env {
        docker.arg(format!("--env={name}={value}"));
    }
    docker
        .arg(manifest.image_tag())
        .args(command(manifest, batch));
    let output = docker.output().unwrap();
    Golden {
        exit: output.status.code(),
        files: batch.files.clone(),
        sentinel: batch.sentinel.clone(),
        stdout: output.stdout,
        stderr: output.stderr,
    }
}

fn seed(manifest: &Manifest) -> Option<PathBuf> {
    let context = manifest.build_context(&root().join("containers"));
    let signatures = manifest.signatures.as_ref();
    signatures.map(|signatures| context.join(&signatures.seed))
}

/// Scans samples and returns what is read; with `UPDATE_GOLDEN` the output becomes a fixture.
fn scan(id: &str, case: &str, samples: &[(&str, Vec<u8>)]) -> Vec<Parsed> {
    let (manifest, parser) = engine(id);
    let batch = Batch::stage(samples, parser.needs_sentinel());
    let golden = run(&manifest, &batch, seed(&manifest).as_deref());
    record(id, case, &golden);
    golden.parse(&parser)
}

fn record(id: &str, case: &str, golden: &Golden) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        golden.write(&fixtures().join(id).join(format!("{case}.out")));
    }
}

/// Scans samples and compares with `category` or `category name` of each.
#[track_caller]
fn check_scan(id: &str, case: &str, samples: &[(&str, Vec<u8>)], expected: &[&str]) {
    let parsed = scan(id, case, samples);
    let seen: Vec<String> = parsed.iter().map(describe).collect();
    let matches = seen.len() == expected.len()
        && seen
            .iter()
            .zip(expected)
            .all(|(seen, expected)| seen.starts_with(expected));
    assert!(matches, "{id} {case}: {seen:#?} instead of {expected:#?}");
}

fn describe(parsed: &Parsed) -> String {
    let verdict = &parsed.verdict;
    let name = verdict.name().map(|name| name.as_str());
    let words = name.or_else(|| verdict.reason()).unwrap_or_default();
    format!("{} {words}", verdict.category())
}

/// Runs the cases every engine must have: what it detects, what it does not, what it cannot read.
#[track_caller]
fn check_engine(id: &str, bad: (&str, Vec<u8>), clean: (&str, Vec<u8>), name: &str) {
    let bad_verdict = name;
    check_scan(id, "known-bad", std::slice::from_ref(&bad), &[bad_verdict]);
    check_scan(id, "clean", std::slice::from_ref(&clean), &["undetected"]);
    let several = [clean.clone(), bad.clone(), clean.clone(), bad];
    let expected = ["undetected", bad_verdict, "undetected", bad_verdict];
    check_scan(id, "several", &several, &expected);
    check_killed(id);
    check_missing(id, clean);
}

/// A recorded output that ends in the middle has nothing clean.
fn check_killed(id: &str) {
    let whole = Golden::read(&fixtures().join(id).join("several.out"));
    let half = Golden {
        exit: None,
        stdout: whole.stdout[..whole.stdout.len() / 2].to_vec(),
        ..whole
    };
    record(id, "killed", &half);
    let parsed = half.parse(&engine(id).1);
    let answers: Vec<String> = parsed.iter().map(describe).collect();
    assert!(
        answers.iter().all(|a| !a.starts_with("undetected")),
        "{id}: {answers:?}"
    );
}

/// A listed file that is not there, or signatures that are not: nothing is clean.
fn check_missing(id: &str, clean: (&str, Vec<u8>)) {
    let (manifest, parser) = engine(id);
    let batch = Batch::stage(&[clean], parser.needs_sentinel());
    let nothing = tempfile::tempdir().unwrap();
    let golden = if manifest.signatures.is_some() {
        run(&manifest, &batch, Some(nothing.path()))
    } else {
        let staged = batch.files[0].replace("/scan", &batch.dir.path().display().to_string());
        fs::remove_file(staged).unwrap();
        run(&manifest, &batch, None)
    };
    record(id, "broken", &golden);
    let answer = describe(&golden.parse(&parser)[0]);
    assert!(answer.starts_with("failure"), "{id}: {answer}");
}

#[test]
fn every_shipped_manifest_is_right() {
    let containers = root().join("containers");
    let catalog = Catalog::load(&[root().join("engines")]);
    assert!(catalog.broken.is_empty(), "{:?}", catalog.broken);
    assert!(catalog.engines.len() >= 8);
    for id in catalog.engines.keys() {
        let problems = check(&root().join(format!("engines/{id}.toml")), &containers);
        assert!(problems.is_empty(), "{id}: {problems:?}");
    }
}

#[test]
fn clamav_detects() {
    let eicar = ("", crate::support::eicar());
    check_engine(
        "clamav",
        eicar,
        ("", samples::program()),
        "malicious Acquit.Eicar-Test-File",
    );
    check_scan(
        "clamav",
        "archives",
        &[
            ("zip", samples::zip("a/eicar.com", &crate::support::eicar())),
            ("bas", samples::macro_text()),
            ("", Vec::new()),
        ],
        &[
            "malicious Acquit.Eicar",
            "malicious Acquit.Macro-Downloader",
            "undetected",
        ],
    );
    let encrypted = [("zip", samples::encrypted_zip())];
    check_scan("clamav", "encrypted", &encrypted, &["type-unsupported"]);
}

#[test]
fn yara_detects() {
    check_rules("yara");
}

#[test]
fn yara_x_detects() {
    check_rules("yara-x");
}

fn check_rules(id: &str) {
    let eicar = ("", crate::support::eicar());
    check_engine(
        id,
        eicar,
        ("", samples::program()),
        "malicious Acquit_Eicar_Test_File",
    );
    let rules = [
        ("bas", samples::macro_text()),
        ("pdf", samples::launching_pdf()),
        ("py", samples::dropper()),
        ("", samples::miner()),
        ("", Vec::new()),
    ];
    let expected = [
        "malicious Acquit_Macro_Downloader",
        "malicious Acquit_Pdf_Launch_Command",
        "malicious Acquit_Python_Package_Dropper",
        "suspicious Acquit_Coin_Miner_Configuration",
        "undetected",
    ];
    check_scan(id, "rules", &rules, &expected);
    // Rules see the bytes of an encrypted archive, no more; that is what these engines do.
    let encrypted = [("zip", samples::encrypted_zip())];
    check_scan(id, "encrypted", &encrypted, &["undetected"]);
}

#[test]
fn kicomav_detects() {
    let eicar = ("", crate::support::eicar());
    check_engine(
        "kicomav",
        eicar,
        ("", samples::program()),
        "malicious EICAR-Test-File",
    );
    let inner = samples::zip("eicar.com", &crate::support::eicar());
    let nested = samples::zip("inner.zip", &inner);
    check_scan(
        "kicomav",
        "archives",
        &[("zip", nested)],
        &["malicious EICAR-Test-File"],
    );
    let encrypted = [("zip", samples::encrypted_zip())];
    check_scan("kicomav", "encrypted", &encrypted, &["type-unsupported"]);
}

#[test]
fn oletools_detects() {
    let bad = ("bas", samples::macro_text());
    check_engine(
        "oletools",
        bad,
        ("docx", samples::document()),
        "suspicious MacroRaptor.A",
    );
    let others = [("", samples::program()), ("zip", samples::zip("a", b"b"))];
    check_scan("oletools", "unsupported", &others, &["type-unsupported"; 2]);
    let encrypted = [("docx", samples::encrypted_document())];
    check_scan(
        "oletools",
        "encrypted",
        &encrypted,
        &["type-unsupported the document is"],
    );
}

#[test]
fn pdfid_detects() {
    let bad = ("pdf", samples::launching_pdf());
    check_engine("pdfid", bad, ("pdf", samples::pdf("")), "suspicious PDFiD.");
    let encrypted = [("pdf", samples::pdf("/Encrypt 3 0 R"))];
    check_scan(
        "pdfid",
        "encrypted",
        &encrypted,
        &["type-unsupported the PDF is encrypted"],
    );
    check_scan(
        "pdfid",
        "unsupported",
        &[("", samples::program())],
        &["type-unsupported"],
    );
}

#[test]
fn picklescan_detects() {
    let bad = ("pkl", samples::bad_pickle());
    check_engine(
        "picklescan",
        bad,
        ("pkl", samples::pickle()),
        "malicious Pickle.Dangerous",
    );
    let archives = [("pt", samples::zip("data.pkl", &samples::bad_pickle()))];
    check_scan(
        "picklescan",
        "archives",
        &archives,
        &["malicious Pickle.Dangerous"],
    );
    let encrypted = [("zip", samples::encrypted_zip())];
    check_scan("picklescan", "encrypted", &encrypted, &["type-unsupported"]);
    check_scan(
        "picklescan",
        "unsupported",
        &[("", samples::program())],
        &["type-unsupported"],
    );
}

#[test]
fn guarddog_detects() {
    let bad = ("gz", samples::package(&samples::dropper()));
    let clean = (
        "gz",
        samples::package(b"from setuptools import setup\nsetup(name='good')\n"),
    );
    check_engine("guarddog", bad, clean, "malicious GuardDog.");
    let encrypted = [("zip", samples::encrypted_zip())];
    check_scan(
        "guarddog",
        "encrypted",
        &encrypted,
        &["type-unsupported the archive is encrypted"],
    );
    check_scan(
        "guarddog",
        "unsupported",
        &[("", samples::program())],
        &["type-unsupported"],
    );
}

#[test]
fn no_driver_leaves_anything_in_its_container() {
    for id in ["kicomav", "guarddog", "oletools", "yara-x"] {
        let (manifest, _) = engine(id);
        let batch = Batch::stage(&[("zip", samples::zip("a", b"b"))], false);
        let words = command(&manifest, &batch).join(" ");
        let set = seed(&manifest).unwrap_or_else(|| batch.dir.path().to_owned());
        let listed = crate::support::run(Command::new("docker").args([
            "run",
            "--rm",
            "--read-only",
            "--network=none",
            "--user=65534:65534",
            "--tmpfs=/tmp:rw,noexec,nosuid,nodev",
            &format!("--volume={}:/scan:ro", batch.dir.path().display()),
            &format!("--volume={}:/signatures:ro", set.display()),
            &manifest.image_tag(),
            "sh",
            "-c",
            &format!("{words} >/dev/null 2>&1; ls -A /tmp"),
        ]));
        assert_eq!(listed, "", "{id}");
    }
}

/// Keeps the parser's face as other parts use it.
#[test]
fn parser_tells_whether_it_needs_a_sentinel() {
    let needs = |id: &str| Parser::needs_sentinel(&engine(id).1);
    assert!(needs("yara"));
    assert!(!needs("pdfid"));
}

/// Returns the fields of the structs of a source, by struct.
fn fields(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            current = rest.trim_end_matches(" {").to_owned();
        } else if let Some((field, _)) = line
            .strip_prefix("    pub ")
            .filter(|rest| !rest.starts_with("fn ") && !rest.starts_with("const "))
            .and_then(|rest| rest.split_once(':'))
        {
            let of = found.entry(current.clone()).or_default();
            of.insert(field.to_owned());
        }
    }
    found
}

/// Returns the keys of the tables of the README, by heading.
fn documented(readme: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in readme.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            current = heading.trim_matches(|c| "`[]".contains(c)).to_owned();
        } else if let Some((key, _)) = line
            .strip_prefix("| `")
            .and_then(|rest| rest.split_once('`'))
        {
            let of = found.entry(current.clone()).or_default();
            of.insert(key.to_owned());
        }
    }
    found
}

#[test]
fn every_key_of_a_manifest_is_documented_and_no_other() {
    let sections = [
        ("Manifest", "The top"),
        ("Image", "image"),
        ("Run", "run"),
        ("Limits", "limits"),
        ("Signatures", "signatures"),
        ("Update", "update"),
        ("Version", "version"),
        ("ParserSpec", "parse"),
        ("ExitSpec", "parse.exit"),
        ("ExitFailure", "parse.exit.failures"),
        ("ExitVerdict", "parse.exit.verdicts"),
        ("ProofSpec", "parse.proof"),
        ("LineSpec", "parse.lines"),
        ("RecordSpec", "parse.records"),
        ("NameSpec", "parse.names"),
        ("PathSpec", "parse.paths"),
    ];
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let sources = read("src/engine/manifest.rs") + &read("src/engine/parser/spec.rs");
    let (fields, documented) = (fields(&sources), documented(&read("engines/README.md")));
    assert_eq!(fields.len(), sections.len(), "{:?}", fields.keys());
    for (name, heading) in sections {
        assert_eq!(fields.get(name), documented.get(heading), "{name}");
    }
}
