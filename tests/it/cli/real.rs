//! The command line against the real API; only the engines are played.

use std::process::Output;
use std::time::Duration;

use acquit::model::{Update, UpdateOutcome, UpdatePhase, Verdict};
use acquit::nightly::desk::Order;
use acquit::store::UPDATES;
use serde_json::Value;

use crate::http::appliance::{Appliance, malicious};
use crate::http::night::{ABC, clamav, one_night, update};
use crate::http::orders::{give_set, shipped};

/// Runs a command while the engines give their answers.
async fn run(appliance: &Appliance, arguments: &[&str], yara: Verdict) -> (i32, String) {
    let mut command = super::bare();
    command
        .env("ACQUIT_SERVER", &appliance.url)
        .env("ACQUIT_APIKEY", &appliance.admin)
        .args(arguments);
    let command = tokio::task::spawn_blocking(move || command.output().unwrap());
    let engines = async {
        loop {
            appliance.answer("clamav", malicious("Win.Test")).await;
            appliance.answer("yara", yara.clone()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn scan_shows_what_the_real_api_says() {
    let appliance = Appliance::start().await;
    let dir = super::folder(&[("a", "one"), ("b", "two")]);
    let path = dir.path().to_str().unwrap();
    let failure = Verdict::failure("it fell over");
    let (code, text) = run(&appliance, &["scan", "--json", path], failure).await;
    assert_eq!(code, 1, "{text}");
    let report: Value = serde_json::from_str(&text).unwrap();
    for file in report["files"].as_array().unwrap() {
        assert_eq!(file["detections"][0]["name"], "Win.Test");
        assert_eq!(file["unanswered"][0]["reason"], "it fell over");
        assert_eq!(file["coverage"]["answered"], 1);
        assert_eq!(file["coverage"]["engines"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn file_above_the_direct_limit_gets_through() {
    let appliance = Appliance::start_with(|config| config.http.direct_upload_mb = 1).await;
    let dir = super::folder(&[("large", &"x".repeat(5 << 20))]);
    let path = dir.path().to_str().unwrap();
    let arguments = ["scan", "--engine", "yara", path];
    let (code, text) = run(&appliance, &arguments, Verdict::Undetected).await;
    assert_eq!(code, 0, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_is_made_listed_and_revoked() {
    let appliance = Appliance::start().await;
    let keys = async |arguments: &[&str]| run(&appliance, arguments, Verdict::Undetected).await;
    let (code, made) = keys(&["keys", "create", "ci", "--json"]).await;
    assert_eq!(code, 0, "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["role"], "publisher");
    assert_eq!(made["apikey"].as_str().unwrap().len(), 64);
    let id = made["id"].as_str().unwrap();
    assert_eq!(keys(&["keys", "revoke", id]).await.0, 0);
    let (_, list) = keys(&["keys", "list"]).await;
    let line = list.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line.contains("revoked"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_of_the_real_api_are_shown() {
    let appliance = Appliance::start().await;
    let (code, list) = run(&appliance, &["engines", "list"], Verdict::Undetected).await;
    assert_eq!(code, 0, "{list}");
    assert!(list.contains("2 of 2 enabled engines can scan"), "{list}");
    for version in ["1.2.3", "20261122"] {
        assert_eq!(list.matches(version).count(), 2, "{list}");
    }
    let (code, shown) = run(
        &appliance,
        &["engines", "show", "yara"],
        Verdict::Undetected,
    )
    .await;
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("can scan             true"), "{shown}");
}

/// Runs a command of an appliance's owner to its end.
async fn told(appliance: &Appliance, arguments: &[&str]) -> (i32, String) {
    run(appliance, arguments, Verdict::Undetected).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_night_left_is_shown() {
    let appliance = Appliance::start().await;
    appliance.upload("a.bin", b"abc").await;
    one_night(&appliance).await;
    for (arguments, shown) in [
        (&["signatures", "list"][..], "clamav"),
        (
            &["signatures", "list", "clamav"],
            "00000000000000a2  rejected",
        ),
        (
            &["signatures", "show", "clamav"],
            "/usr/bin/ls (known good): malicious (Win.Poison)",
        ),
        (
            &["signatures", "log", "clamav", "1"],
            "what the update command printed",
        ),
        (
            &["timeline", ABC, "--engine", "clamav"],
            "introduced  Win.Poison  000000000000000c",
        ),
        (&["events", "--kind", "candidate-rejected"], "event 25"),
    ] {
        let (code, text) = told(&appliance, arguments).await;
        assert_eq!(code, 0, "{text}");
        assert!(text.contains(shown), "{arguments:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bundle_is_carried_from_one_appliance_to_another() {
    let source = Appliance::start_with(shipped).await;
    give_set(&source).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("signatures.tar");
    let file = file.to_str().unwrap();
    let (code, key) = told(&source, &["signatures", "key"]).await;
    assert_eq!(code, 0, "{key}");
    let (code, text) = told(&source, &["signatures", "export", "clamav", file]).await;
    assert_eq!(code, 0, "{text}");

    let trusted = key.trim().to_owned();
    let trusting = |config: &mut acquit::config::Config| {
        config.updates.trusted_keys = vec![trusted];
    };
    let mut target = Appliance::start_with(trusting).await;
    let (store, mut desk) = (target.store.clone(), {
        let (_, unused) = tokio::sync::mpsc::channel(1);
        std::mem::replace(&mut target.desk, unused)
    });
    let worker = async move {
        let Some(Order::Import { answer, .. }) = desk.recv().await else {
            panic!("an import comes");
        };
        let ended = Update {
            phase: UpdatePhase::Done,
            outcome: Some(UpdateOutcome::Promoted),
            ..update(9)
        };
        let write = store.write(move |change| change.put(&UPDATES, &(clamav(), 9), &ended));
        write.await.unwrap();
        answer.send(Ok(update(9))).unwrap();
    };
    let import = ["signatures", "import", file];
    let ((code, text), ()) = tokio::join!(told(&target, &import), worker);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("clamav  9       promoted"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_and_their_keys_are_made_by_command() {
    let appliance = Appliance::start().await;
    let dir = super::folder(&[("password", "correct horse battery\n")]);
    let password = dir.path().join("password");
    let password = password.to_str().unwrap();
    let made = async |arguments: &[&str]| {
        let mut command = super::bare();
        command
            .env("ACQUIT_SERVER", &appliance.url)
            .env("ACQUIT_APIKEY", &appliance.admin)
            .args(arguments);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = run.await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (String::from_utf8(output.stdout).unwrap(), said)
    };
    let (id, said) = made(&["publishers", "create", "Acme Inc"]).await;
    assert_eq!(id, "acme-inc\n", "{said}");
    let (id, said) = made(&["vendors", "create", "Clam", "--engine", "clamav"]).await;
    assert_eq!(id, "clam\n", "{said}");
    let (_, said) = made(&["vendors", "create", "X", "--engine", "nope"]).await;
    assert!(said.contains("clamav, yara"), "{said}");
    for party in [
        &[
            "--role",
            "publisher",
            "--publisher",
            "acme-inc",
            "--expires",
            "90d",
        ][..],
        &["--role", "viewer", "--publisher", "acme-inc"],
        &["--role", "vendor", "--vendor", "clam"],
        &["--role", "admin"],
    ] {
        let arguments = [&["keys", "create"], party].concat();
        let (key, said) = made(&arguments).await;
        assert_eq!(key.trim_end().len(), 64, "the key alone: {key:?} {said}");
    }
    let (list, _) = made(&["keys", "list"]).await;
    assert!(list.contains("publisher acme-inc"), "{list}");
    let create = [
        "users",
        "create",
        "Ann",
        "--role",
        "viewer",
        "--password-file",
        password,
    ];
    assert_eq!(made(&create).await.0, "ann\n");
    let (shown, said) = made(&["users", "disable", "ann"]).await;
    assert!(shown.contains("disabled date"), "{shown} {said}");
    let edit = [
        "publishers",
        "edit",
        "acme-inc",
        "--policy",
        "never",
        "--quota-files",
        "3",
    ];
    let (shown, _) = made(&edit).await;
    assert!(shown.contains("never") && shown.contains('3'), "{shown}");
    let (gone, _) = made(&["publishers", "remove", "acme-inc"]).await;
    assert_eq!(gone, "publisher acme-inc is removed\n");
}
