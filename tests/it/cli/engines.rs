//! The way of a new engine on the command line, as far as it needs no Docker.

use std::path::{Path, PathBuf};

use assert_cmd::assert::Assert;
use predicates::str::contains;
use serde_json::Value;

use super::bare;

/// A configuration that knows a checkout's engines and a directory of the operator's.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = format!(
            "[engines]\nmanifests = [{:?}, {:?}]\ncontainers = {:?}\ninstallers = {:?}\nenabled = [\"fickling\"]\n",
            root.join("engines"),
            bench.path("engines"),
            bench.path("containers"),
            bench.path("installers"),
        );
        std::fs::write(bench.path("acquit.toml"), text).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn engines(&self, arguments: &[&str]) -> Assert {
        let mut command = bare();
        command.arg("--config").arg(self.path("acquit.toml"));
        command.arg("engines").args(arguments).assert()
    }

    /// Reads output as that of an engine; returns the results.
    fn parse(&self, arguments: &[&str], output: &[u8]) -> Vec<Value> {
        let file = self.path("output");
        std::fs::write(&file, output).unwrap();
        let file = file.to_str().unwrap().to_owned();
        let all = [&["--json", "parse"], arguments, &[file.as_str()]].concat();
        let assert = self.engines(&all).code(0);
        serde_json::from_slice(&assert.get_output().stdout).unwrap()
    }
}

#[test]
fn skeleton_of_an_engine_is_right_and_is_written_once() {
    let bench = Bench::new();
    bench
        .engines(&["new", "house-scanner"])
        .code(0)
        .stdout(contains("acquit engines check"));
    let manifest = bench.path("engines/house-scanner.toml");
    bench
        .engines(&["check", manifest.to_str().unwrap()])
        .code(0)
        .stdout(contains("nothing is wrong"));
    bench
        .engines(&["new", "house-scanner"])
        .code(2)
        .stderr(contains("is there already; nothing was written"));
    bench.engines(&["new", "House Scanner"]).code(2);
}

#[test]
fn recorded_output_is_read_file_by_file() {
    let bench = Bench::new();
    let output = b"in/a b.exe: Win.Test-1 FOUND\nin/clean: OK\n";
    let results = bench.parse(&["clamav", "--exit-code", "1"], output);
    let seen: Vec<_> = results
        .iter()
        .map(|it| [&it["path"], &it["category"], &it["result"]])
        .map(|it| it.map(|value| value.as_str().unwrap_or("-")))
        .collect();
    let expected = [
        ["in/a b.exe", "malicious", "Win.Test-1"],
        ["in/clean", "undetected", "-"],
    ];
    assert_eq!(seen, expected);
    assert!(results[0]["member"].is_null());
}

#[test]
fn exit_code_and_standard_error_count() {
    let bench = Bench::new();
    let failed = bench.parse(&["clamav", "--exit-code", "2"], b"in/clean: OK\n");
    assert_eq!(failed[0]["category"], "failure");
    let stderr = bench.path("stderr");
    std::fs::write(&stderr, "error: can't open `nofile`\n").unwrap();
    let stderr = stderr.to_str().unwrap();
    let missing = bench.parse(&["yara-x", "--exit-code", "0", "--stderr", stderr], b"");
    assert_eq!(missing[0]["category"], "failure");
}

#[test]
fn files_that_are_known_are_read_as_in_a_scan() {
    let bench = Bench::new();
    let output = b"/s/a: OK\n/s/b: OK\n";
    let driver = [
        "clamav",
        "--driver",
        "--exit-code",
        "0",
        "--scanned",
        "/s/a",
        "--scanned",
        "/s/c",
    ];
    let results = bench.parse(&driver, output);
    let categories: Vec<_> = results.iter().map(|it| it["category"].as_str()).collect();
    assert_eq!(categories, [Some("undetected"), Some("failure")]);
}

#[test]
fn rules_stand_beside_the_lines_they_read() {
    let bench = Bench::new();
    let file = bench.path("output");
    std::fs::write(&file, "x: OK\nwhat?\n").unwrap();
    bench
        .engines(&["parse", "avast", file.to_str().unwrap()])
        .code(0)
        .stdout(contains("no rule"))
        .stdout(contains("failure"));
    bench
        .engines(&["parse", "no-such-engine", file.to_str().unwrap()])
        .code(2)
        .stderr(contains("acquit engines catalog"));
}

#[test]
fn catalog_says_who_takes_part() {
    let bench = Bench::new();
    let assert = bench.engines(&["--json", "catalog"]).code(0);
    let listed: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let part = |id: &str| {
        let engines = listed["engines"].as_array().unwrap();
        let engine = engines.iter().find(|engine| engine["id"] == id).unwrap();
        (engine["standing"].clone(), engine["takes_part"].clone())
    };
    assert_eq!(part("clamav"), ("installed".into(), true.into()));
    assert_eq!(part("fickling"), ("optional".into(), true.into()));
    assert_eq!(part("modelscan"), ("optional".into(), false.into()));
    assert_eq!(part("avast"), ("recipe".into(), false.into()));
}
