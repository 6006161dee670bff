//! What the command line does without a server.

use predicates::str::{contains, is_match};
use serde_json::Value;

use super::{bare, folder};

#[test]
fn first_key_is_made_once() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let (config, key) = (
        dir.path().join("acquit.toml"),
        dir.path().join("sub/admin.key"),
    );
    let data_dir = dir.path().to_str().unwrap();
    std::fs::write(&config, format!("[storage]\ndata_dir = {data_dir:?}\n")).unwrap();
    let init = || {
        let mut command = bare();
        command.arg("--config").arg(&config);
        command
            .args(["keys", "init", "--out"])
            .arg(&key)
            .assert()
            .code(0)
    };
    init().stdout(contains("made admin key"));
    let text = std::fs::read_to_string(&key).unwrap();
    assert_eq!(text.trim().len(), 64);
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let digest = std::fs::read_to_string(dir.path().join("keys.d/admin.sha256")).unwrap();
    let parts: Vec<&str> = digest.split_whitespace().collect();
    assert_eq!(parts, [&text[..8], &sha256(&text), "admin"]);
    init().stdout(contains("kept admin key"));
    assert_eq!(std::fs::read_to_string(&key).unwrap(), text);
}

fn sha256(key: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(hex::decode(key.trim()).unwrap()))
}

#[test]
fn configuration_is_checked_to_the_column() {
    let dir = folder(&[("good.toml", ""), ("bad.toml", "[http]\nlisen = 1\n")]);
    let check = |name: &str| {
        let mut command = bare();
        command
            .arg("check-config")
            .arg(dir.path().join(name))
            .assert()
    };
    check("good.toml")
        .code(0)
        .stdout(contains("data_dir = \"/var/lib/acquit\""));
    check("bad.toml")
        .code(2)
        .stderr(contains("bad.toml:2:1: unknown field `lisen`"));
}

/// A configuration of an appliance that does not run.
const NOWHERE: &str =
    "[http]\nlisten = \"127.0.0.1:9\"\n[docker]\nsocket = \"/nonexistent.sock\"\n";

#[test]
fn doctor_says_how_to_mend_what_is_wrong() {
    let dir = folder(&[("acquit.toml", NOWHERE)]);
    let mut command = bare();
    command
        .args([
            "doctor",
            "--json",
            "--server",
            "http://127.0.0.1:9",
            "--config",
        ])
        .arg(dir.path().join("acquit.toml"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let check = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|it| it["check"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(check("configuration")["level"], "ok");
    assert_eq!(check("Docker socket")["level"], "fail");
    assert_eq!(check("daemon")["level"], "fail");
    let mend = check("daemon")["mend"].as_str().unwrap().to_owned();
    assert!(mend.contains("start it"), "{mend}");
}

#[test]
fn manifest_is_judged_to_the_line() {
    let dir = folder(&[("x.toml", "id = \"x\"\nnmae = \"X\"\n")]);
    bare()
        .args(["engines", "check"])
        .arg(dir.path().join("x.toml"))
        .assert()
        .code(2)
        .stdout(is_match("x.toml:2:1: .*nmae").unwrap());
}
