//! The command line against a small server that speaks the API's wire.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

mod engines;
mod fake;
mod night;
mod offline;
mod real;
mod script;

use std::path::Path;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_match};
use serde_json::{Value, json};

use self::fake::{Fake, Reply};

const KEY: &str = "abababababababababababababababababababababababababababababababab";

/// The binary with nothing of this machine's own settings.
fn acquit(fake: &Fake) -> Command {
    let mut command = bare();
    command
        .env("ACQUIT_SERVER", &fake.url)
        .env("ACQUIT_APIKEY", KEY);
    command
}

fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acquit"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        // An appliance may be installed on the machine that runs the tests.
        .env("ACQUIT_ADMIN_KEY", "/nonexistent/admin.key")
        .args(["--patience", "5"]);
    command
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

/// Two engines; what each says depends on the file's first word.
fn verdicts(content: &[u8]) -> Value {
    let word = content
        .split(|byte| *byte == b' ')
        .next()
        .unwrap_or_default();
    let alpha = match word {
        b"bad" => json!({ "category": "malicious", "result": "Test.Bad" }),
        b"odd" => json!({ "category": "suspicious", "result": "Heur.Odd" }),
        b"own" => json!({ "category": "malicious", "result": "Test.Own", "disputed": true }),
        b"evil" => json!({ "category": "malicious", "result": "A\u{1b}[2J\u{202e}B" }),
        b"other" => json!({ "category": "type-unsupported", "result": null, "reason": "a text" }),
        _ => json!({ "category": "undetected", "result": null }),
    };
    let beta = match word {
        b"slow" => json!({ "category": "timeout", "result": null }),
        b"broken" => json!({ "category": "failure", "result": null, "reason": "exit code 9" }),
        b"other" => json!({ "category": "type-unsupported", "result": null, "reason": "no PDF" }),
        _ => json!({ "category": "undetected", "result": null }),
    };
    json!({ "Alpha": alpha, "Beta": beta })
}

#[test]
fn clean_folder_exits_with_0() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("a.txt", "fine"), ("empty", "")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(0)
        .stdout(contains("nothing detected").and(contains("4 of 4 engine answers (100.0 %)")));
}

#[test]
fn detection_exits_with_1_and_wins_over_incomplete() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("a", "bad one"), ("b", "slow one")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(1)
        .stdout(contains("Alpha: Test.Bad").and(contains("Beta: timeout")));
}

#[test]
fn disputed_detection_counts_unless_it_is_said_that_it_shall_not() {
    let fake = Fake::start(verdicts);
    let own = folder(&[("a.txt", "own a")]);
    let scan = |more: &[&str]| {
        let mut command = acquit(&fake);
        command.arg("scan").arg(own.path()).args(more).assert()
    };
    scan(&[])
        .code(1)
        .stdout(contains("DISPUTED: software of its publisher"))
        .stdout(contains("Alpha: Test.Own (disputed)"));
    scan(&["--disputed-is-clean"])
        .code(0)
        .stdout(contains("Test.Own (disputed)"))
        .stdout(contains(
            "Disputed detections count as clean for the exit code.",
        ));
    scan(&["--disputed-is-clean", "--json"])
        .code(0)
        .stdout(contains("\"disputed_is_clean\": true"))
        .stdout(contains("\"disputed\": true"));
    let both = folder(&[("a.txt", "own a"), ("b.txt", "bad b")]);
    acquit(&fake)
        .args(["scan", "--disputed-is-clean"])
        .arg(both.path())
        .assert()
        .code(1);
    let silent = folder(&[("a.txt", "own a"), ("b.txt", "slow b")]);
    acquit(&fake)
        .args(["scan", "--disputed-is-clean"])
        .arg(silent.path())
        .assert()
        .code(3);
}

#[test]
fn missing_answer_is_named_and_exits_with_3() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("a", "broken one")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(3)
        .stdout(contains("1 of 2").and(contains("Beta: failure: exit code 9")));
}

#[test]
fn file_no_engine_can_look_into_is_not_called_clean() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("a", "other type")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(3)
        .stdout(contains("no engine can look into it").and(contains("  nothing detected").not()));
}

#[test]
fn engine_missing_from_the_results_did_not_answer() {
    let fake = Fake::start(|_| json!({ "Alpha": { "category": "undetected" } }));
    let dir = folder(&[("a", "fine")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(3)
        .stdout(contains("Beta: missing"));
}

#[test]
fn unreadable_file_is_reported_and_the_others_are_scanned() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("a", "fine")]);
    acquit(&fake)
        .arg("scan")
        .args([dir.path(), Path::new("/nonexistent/x")])
        .assert()
        .code(3)
        .stdout(contains("NOT SCANNED: there is no such file").and(contains("2 of 2")));
}

#[test]
fn empty_folder_is_no_proof() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[]);
    acquit(&fake).arg("scan").arg(dir.path()).assert().code(3);
}

#[test]
fn suspicion_is_let_pass_only_if_asked_for() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("a", "odd one")]);
    let scan = |more: &[&str]| {
        let mut command = acquit(&fake);
        command.arg("scan").arg(dir.path()).args(more).assert()
    };
    scan(&[]).code(1);
    scan(&["--fail-on", "malicious"])
        .code(0)
        .stdout(contains("Heur.Odd (suspicious)"));
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("x\x1b]0;gotcha\x07\u{202e}.txt", "evil one")]);
    let harmless = || is_match("[\x1b\x07\u{202e}\u{9b}]").unwrap().not();
    for more in [&[][..], &["--json"]] {
        acquit(&fake)
            .arg("scan")
            .arg(dir.path())
            .args(more)
            .assert()
            .code(1)
            .stdout(harmless().and(contains("gotcha")))
            .stderr(harmless());
    }
    assert!(
        !fake
            .names()
            .iter()
            .any(|name| name.contains(char::is_control))
    );
}

#[test]
fn json_is_one_document_with_everything() {
    let fake = Fake::start(verdicts);
    let dir = folder(&[("a", "bad one"), ("b", "broken one")]);
    let output = acquit(&fake)
        .args(["scan", "--json"])
        .arg(dir.path())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["exit"], 1);
    assert_eq!(output.status.code(), Some(1));
    let file = &report["files"][0];
    assert_eq!(file["coverage"], json!({ "answered": 2, "engines": 2 }));
    let detection = json!({ "engine": "Alpha", "category": "malicious", "name": "Test.Bad" });
    assert_eq!(file["detections"], json!([detection]));
    assert_eq!(file["stats"]["malicious"], 1);
    assert_eq!(file["size"], 7);
    let sha256 = file["sha256"].as_str().unwrap();
    assert_eq!(
        file["permalink"],
        format!("{}/api/v3/files/{sha256}", fake.url)
    );
    let unanswered = json!({ "engine": "Beta", "category": "failure", "reason": "exit code 9" });
    assert_eq!(report["files"][1]["unanswered"], json!([unanswered]));
    assert_eq!(
        report["totals"]["coverage"],
        json!({ "answered": 3, "engines": 4 })
    );
}

#[test]
fn table_reads_as_it_always_did() {
    let fake = Fake::start(verdicts);
    let files = [
        ("bad.exe", "bad one"),
        ("broken.bin", "broken one"),
        ("fine.txt", "fine"),
        ("other.doc", "other type"),
    ];
    let dir = folder(&files);
    let output = acquit(&fake)
        .current_dir(dir.path())
        .args([
            "scan",
            "bad.exe",
            "broken.bin",
            "fine.txt",
            "other.doc",
            "gone",
        ])
        .output()
        .unwrap();
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    FILE        ENGINES  RESULT
    bad.exe     2 of 2   DETECTED by 1 engine
                           Alpha: Test.Bad
    broken.bin  1 of 2   INCOMPLETE: no answer from 1 engine
                           Beta: failure: exit code 9
    fine.txt    2 of 2   nothing detected
    gone        -        NOT SCANNED: there is no such file
    other.doc   0 of 2   INCOMPLETE: no engine can look into it
                           Alpha: cannot look into it: a text
                           Beta: cannot look into it: no PDF

    5 files, 31 B: 1 detected, 1 with nothing detected, 2 incomplete, 1 not scanned
    Coverage: 5 of 8 engine answers (62.5 %); 2 do not read the type
    ");
}

#[test]
fn server_that_stumbles_is_asked_again() {
    let fake = Fake::start(verdicts);
    fake.next(&[Reply::Unavailable, Reply::Hangup, Reply::TooMany]);
    let dir = folder(&[("a", "fine"), ("b", "bad one")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(1)
        .stdout(contains("Test.Bad"));
}

#[test]
fn answer_that_is_not_held_back_is_polled() {
    let fake = Fake::start(verdicts);
    fake.pending(3);
    let dir = folder(&[("a", "fine")]);
    acquit(&fake).arg("scan").arg(dir.path()).assert().code(0);
}

#[test]
fn analysis_that_does_not_end_is_incomplete() {
    let fake = Fake::start(verdicts);
    fake.pending(1_000_000);
    let dir = folder(&[("a", "fine")]);
    acquit(&fake)
        .args(["scan", "--timeout", "1"])
        .arg(dir.path())
        .assert()
        .code(3)
        .stdout(contains("Alpha: missing: it has not answered"));
}

#[test]
fn large_file_goes_to_an_upload_url_on_the_named_server() {
    let fake = Fake::start(verdicts);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(31 << 20).unwrap();
    acquit(&fake).arg("scan").arg(&path).assert().code(0);
    assert_eq!(fake.uploads(), (0, 1));
}

#[test]
fn file_too_large_for_the_direct_way_takes_the_other() {
    let fake = Fake::start(verdicts);
    fake.next(&[Reply::TooLarge]);
    let dir = folder(&[("a", "fine")]);
    acquit(&fake).arg("scan").arg(dir.path()).assert().code(0);
    assert_eq!(fake.uploads(), (0, 1));
}

#[test]
fn refusal_is_told_in_the_servers_words() {
    let fake = Fake::start(verdicts);
    fake.next(&[Reply::TooLarge, Reply::TooLarge]);
    let dir = folder(&[("a", "fine")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(3)
        .stdout(contains("NOT SCANNED: the server refused: at most 1 MB"));
}

#[test]
fn chosen_engines_and_freshness_are_sent() {
    let fake = Fake::start(|_| json!({ "Alpha": { "category": "undetected" } }));
    let dir = folder(&[("a", "fine")]);
    acquit(&fake)
        .args(["scan", "--engine", "alpha", "--fresh"])
        .arg(dir.path())
        .assert()
        .code(0);
    assert_eq!(
        fake.fields(),
        [("engines", "alpha"), ("reuse", "never")].map(fake::field)
    );
}

#[test]
fn engine_that_is_not_there_is_a_usage_error() {
    let fake = Fake::start(verdicts);
    acquit(&fake)
        .args(["scan", "--engine", "gamma", "/bin"])
        .assert()
        .code(2)
        .stderr(contains(
            "there is no enabled engine gamma; there are: alpha, beta",
        ));
}

#[test]
fn server_that_is_not_there_is_said_so() {
    bare()
        .args([
            "--patience",
            "0",
            "--server",
            "http://127.0.0.1:9",
            "scan",
            "/bin/true",
        ])
        .assert()
        .code(3)
        .stderr(contains("no answer from http://127.0.0.1:9").and(contains("acquit doctor")));
}

#[test]
fn wrong_key_is_said_so() {
    let fake = Fake::start(verdicts);
    let mut command = bare();
    command
        .env("ACQUIT_SERVER", &fake.url)
        .args(["engines", "list"]);
    command
        .assert()
        .code(1)
        .stderr(contains("X-Apikey header is missing"));
    command.env("ACQUIT_APIKEY", "xyz");
    command
        .assert()
        .code(2)
        .stderr(contains("not an API key").and(contains("xyz").not()));
}

#[test]
fn redirect_to_another_host_is_not_followed() {
    let fake = Fake::start(verdicts);
    fake.next(&[Reply::Elsewhere]);
    let dir = folder(&[("a", "fine")]);
    acquit(&fake)
        .arg("scan")
        .arg(dir.path())
        .assert()
        .code(3)
        .stdout(contains("HTTP 307"));
}

#[test]
fn engines_are_listed() {
    let fake = Fake::start(verdicts);
    acquit(&fake)
        .args(["engines", "list"])
        .assert()
        .code(0)
        .stdout(contains("alpha").and(contains("2 of 2 enabled engines can scan")));
    let output = acquit(&fake)
        .args(["engines", "list", "--json"])
        .output()
        .unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list["engines"][1]["id"], "beta");
}

#[test]
fn engine_test_judges_each_engine() {
    let fake = Fake::start(|content| {
        let hit = json!({ "category": "malicious", "result": "Eicar" });
        let none = json!({ "category": "undetected", "result": null });
        let bad = content.starts_with(b"X5O!P%@AP") && content.len() == 68;
        json!({ "Alpha": if bad { hit } else { none.clone() }, "Beta": none })
    });
    acquit(&fake)
        .args(["engines", "test"])
        .assert()
        .code(1)
        .stdout(
            is_match("alpha +works\n")
                .unwrap()
                .and(is_match("beta +FAILS\n").unwrap()),
        );
    acquit(&fake)
        .args(["engines", "test", "alpha"])
        .assert()
        .code(0);
}

#[test]
fn scan_ends_at_once_when_interrupted() {
    let fake = Fake::start(verdicts);
    fake.pending(1_000_000);
    let dir = folder(&[("a", "fine")]);
    let mut scan = std::process::Command::new(env!("CARGO_BIN_EXE_acquit"))
        .args(["scan", "--apikey", KEY, "--server", &fake.url])
        .arg(dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while fake.uploads() == (0, 0) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let id = nix::unistd::Pid::from_raw(i32::try_from(scan.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(scan.wait().unwrap().code(), Some(130));
}
