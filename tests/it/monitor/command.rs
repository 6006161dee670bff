//! The command line on a collection, against the real API.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use acquit::model::Verdict;
use serde_json::Value;

use super::{Lab, id, item, ok};
use crate::http::appliance::{malicious, refused};

/// Runs a command while the engines give their answers.
async fn acquit(lab: &Lab, key: &str, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acquit"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("ACQUIT_ADMIN_KEY", "/nonexistent/admin.key")
        .env("ACQUIT_SERVER", &lab.appliance.url)
        .env("ACQUIT_APIKEY", key)
        .args(["--patience", "5"])
        .args(arguments);
    let command = tokio::task::spawn_blocking(move || command.output().unwrap());
    let engines = async {
        loop {
            lab.appliance.answer("clamav", malicious("Win.Test")).await;
            lab.appliance.answer("yara", Verdict::Undetected).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let output: Output = tokio::select! {
        output = command => output.unwrap(),
        () = engines => unreachable!(),
    };
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text + &said)
}

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("dist/sub dir")).unwrap();
    std::fs::write(dir.path().join("dist/a.bin"), "one").unwrap();
    std::fs::write(dir.path().join("dist/sub dir/日本.exe"), "two").unwrap();
    dir
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_is_pushed_once_listed_moved_and_pulled() {
    let lab = Lab::start().await;
    let dir = tree();
    let dist = dir.path().join("dist");
    let dist = dist.to_str().unwrap();
    let me = async |arguments: &[&str]| acquit(&lab, &lab.acme, arguments).await;
    let (code, text) = me(&["push", dist, "/r/"]).await;
    assert_eq!(
        (code, text.contains("2 files uploaded, 0 there")),
        (0, true),
        "{text}"
    );
    let (code, text) = me(&["push", "--json", dist, "/r/"]).await;
    let again: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &again["files"][0]["state"]),
        (0, &Value::from("skipped"))
    );
    let (code, text) = me(&["push", "--wait", dist, "/r/"]).await;
    assert_eq!((code, text.contains("Win.Test")), (1, true), "{text}");
    let (_, text) = me(&["ls", "-R", "--json"]).await;
    let list: Value = serde_json::from_str(&text).unwrap();
    let items = list["items"].as_array().unwrap();
    let file = items
        .iter()
        .find(|i| i["path"] == "/r/sub dir/日本.exe")
        .unwrap();
    assert_eq!(file["last_detections_count"], 1);
    let (code, text) = me(&["mv", "/r/sub dir", "/r/two"]).await;
    assert_eq!(code, 0, "{text}");
    ok(lab.get(&item("/r/two/日本.exe"))).await;
    let (code, text) = me(&["cp", "/r/a.bin", "/r/two"]).await;
    assert_eq!(code, 0, "{text}");
    ok(lab.get(&item("/r/two/a.bin"))).await;
    let to = dir.path().join("back");
    let to = to.to_str().unwrap();
    let (code, text) = me(&["pull", "/r", to]).await;
    assert_eq!(
        (code, text.contains("3 files downloaded")),
        (0, true),
        "{text}"
    );
    let back = std::fs::read_to_string(format!("{to}/two/日本.exe")).unwrap();
    assert_eq!(back, "two");
    std::fs::write(format!("{to}/a.bin"), "changed here").unwrap();
    me(&["pull", "/r", to]).await;
    assert_eq!(
        std::fs::read(format!("{to}/a.bin")).unwrap(),
        b"changed here"
    );
    me(&["pull", "--force", "/r/a.bin", to]).await;
    assert_eq!(std::fs::read(format!("{to}/a.bin")).unwrap(), b"one");
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_follows_no_link_out_of_its_folder() {
    let lab = Lab::start().await;
    lab.file("/d/a.bin", b"abc").await;
    lab.file("/b.bin", b"def").await;
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
    std::fs::create_dir(&inside).unwrap();
    std::fs::create_dir(&outside).unwrap();
    symlink(&outside, inside.join("d")).unwrap();
    symlink(outside.join("target"), inside.join("b.bin")).unwrap();
    let (code, text) = acquit(
        &lab,
        &lab.acme,
        &["pull", "--force", "/", inside.to_str().unwrap()],
    )
    .await;
    assert_eq!(code, 3, "{text}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let left = std::fs::read_dir(&inside)
        .unwrap()
        .map(|e| name(&e.unwrap().path()));
    assert!(!left.into_iter().any(|name| name.ends_with(".part")));
    assert_eq!(std::fs::read(inside.join("b.bin")).unwrap(), b"def");
}

#[tokio::test(flavor = "multi_thread")]
async fn trash_details_cards_and_policies_are_handled() {
    let lab = Lab::start().await;
    lab.file("/d/a.bin", b"abc").await;
    let me = async |arguments: &[&str]| acquit(&lab, &lab.acme, arguments).await;
    let (code, text) = me(&["details", "/d/a.bin", "told to vendors"]).await;
    assert_eq!((code, text.as_str()), (0, "told to vendors\n"));
    let (code, text) = me(&["card", "/d", "--set", "product=Editor"]).await;
    assert_eq!((code, text.contains("Editor")), (0, true), "{text}");
    let (_, text) = me(&["card", "/d/a.bin"]).await;
    assert!(text.contains("stated at /d/"), "{text}");
    let (_, text) = me(&["policy", "/d", "never"]).await;
    assert_eq!(text, "/d/: never (said at /d/)\n");
    let (code, text) = me(&["rm", "/d"]).await;
    assert_eq!((code, text.contains("-r deletes it")), (2, true), "{text}");
    let (code, text) = me(&["rm", "-r", "--json", "/d"]).await;
    assert_eq!(code, 0, "{text}");
    let deleted: Value = serde_json::from_str(&text).unwrap();
    let act = deleted["deleted"][0]["act"].as_str().unwrap();
    let (_, text) = me(&["trash", "list"]).await;
    assert!(text.contains(act) && text.contains("/d/a.bin"), "{text}");
    let (code, text) = me(&["trash", "restore", act]).await;
    assert_eq!(code, 0, "{text}");
    ok(lab.get(&item("/d/a.bin"))).await;
    me(&["rm", "/d/a.bin"]).await;
    let (code, text) = me(&["trash", "empty"]).await;
    assert_eq!((code, text.contains("gone for good")), (0, true), "{text}");
    refused(
        lab.get(&format!("/monitor/items/{}", id("/d/a.bin"))),
        404,
        "NotFoundError",
    )
    .await;
    let (code, text) = acquit(&lab, &lab.appliance.admin, &["ls", "acme:/"]).await;
    assert_eq!((code, text.contains("/d/")), (0, true), "{text}");
    let (code, _) = acquit(&lab, &lab.rival, &["ls", "acme:/"]).await;
    assert_eq!(code, 1);
}
