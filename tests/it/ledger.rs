//! The ledger from outside: its process killed at any moment, its routes, its command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails there")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acquit::model::{KeyRole, LedgerEntry, LedgerKind, Seat, Timestamp};
use acquit::store::{KEYS, Store};
use reqwest::StatusCode;
use serde_json::Value;

use crate::http::appliance::{Appliance, answer, refused};

/// Tells a copy of this program where to write.
const PLACE: &str = "ACQUIT_TEST_LEDGER";
/// Starts the line on which the copy says what was acknowledged.
const SAYS: &str = "acknowledged: ";
const ROUNDS: u64 = 20;
const WRITERS: u64 = 4;

fn entry(text: String) -> LedgerEntry {
    let at = Timestamp::from_millis(1_790_000_000_000);
    LedgerEntry::new(at, LedgerKind::Egress, "acquit".to_owned(), text)
}

#[test]
fn killed_process_has_every_line_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = std::collections::BTreeSet::new();
    for round in 0..ROUNDS {
        acknowledged.extend(append_until_killed(dir.path(), round));
    }
    assert!(acknowledged.len() as u64 > ROUNDS * WRITERS);
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    store.ledger().verify().unwrap().unwrap();
    for (path, _) in store.ledger().parts().unwrap() {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            acknowledged.remove(line["entry"]["text"].as_str().unwrap());
        }
    }
    assert!(acknowledged.is_empty(), "{acknowledged:?}");
}

fn append_until_killed(dir: &Path, round: u64) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "ledger::copy_of_this_program"])
        .env(PLACE, dir)
        .env("ACQUIT_TEST_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().contains(SAYS));
    let moment = Duration::from_millis(random() % 150);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let killer = std::thread::spawn(move || {
        std::thread::sleep(moment);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    });
    let lines = first.into_iter().chain(lines).map(Result::unwrap);
    let said = lines.filter_map(|line| {
        let (_, said) = line.split_once(SAYS)?;
        // The last line may be cut off.
        said.strip_suffix(" end").map(str::to_owned)
    });
    let said = said.collect();
    killer.join().unwrap();
    child.wait().unwrap();
    said
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_ne_bytes(bytes)
}

/// Not a test by itself: the program that the other test starts and kills.
#[test]
fn copy_of_this_program() {
    let Some(dir) = std::env::var_os(PLACE) else {
        return;
    };
    let round = std::env::var_os("ACQUIT_TEST_ROUND").unwrap();
    let round = round.into_string().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Store::open(Path::new(&dir), 1 << 20).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (store, round) = (store.clone(), round.clone());
            writers.spawn(async move {
                for number in 0.. {
                    let text = format!("{round} {writer} {number}");
                    store.ledger().append(entry(text.clone())).await.unwrap();
                    println!("\n{SAYS}{text} end");
                }
            });
        }
        tokio::time::sleep_until(until.into()).await;
    });
}

/// Gives the appliance's publisher key to a publisher.
async fn seat(appliance: &Appliance, role: KeyRole, publisher: &str) {
    let key: acquit::model::ApiKey = appliance.publisher.parse().unwrap();
    let mut row = appliance.store.get(&KEYS, &key.id()).unwrap().unwrap();
    row.seat = Seat {
        publisher: Some(publisher.parse().unwrap()),
        ..Seat::of(role)
    };
    let write = appliance
        .store
        .write(move |change| change.put(&KEYS, &row.id, &row));
    write.await.unwrap();
}

#[tokio::test]
async fn everybody_sees_their_own_lines_and_administrators_all() {
    let appliance = Appliance::start().await;
    for publisher in ["acme", "globex", "acme"] {
        let mut line = entry(format!("a file of {publisher} left"));
        line.publisher = Some(publisher.parse().unwrap());
        appliance.store.ledger().append(line).await.unwrap();
    }
    let all = appliance
        .admin()
        .get(appliance.api("/acquit/ledger?kind=egress&limit=2"));
    let (status, body) = answer(all).await;
    assert_eq!(
        (status, body["data"].as_array().unwrap().len()),
        (StatusCode::OK, 2)
    );
    assert_eq!(body["data"][0]["id"], "3");
    let next = body["links"]["next"].as_str().unwrap();
    let (_, body) = answer(appliance.admin().get(next)).await;
    assert_eq!(body["data"][0]["id"], "1");
    assert_eq!(body["links"]["next"], Value::Null);
    // A key of no publisher has no lines of its own.
    refused(appliance.get("/acquit/ledger"), 400, "BadRequestError").await;
    for role in [KeyRole::Publisher, KeyRole::Viewer] {
        seat(&appliance, role, "acme").await;
        let body = appliance.json("/acquit/ledger").await;
        assert_eq!(body["data"].as_array().unwrap().len(), 2, "{body}");
        let other = appliance.get("/acquit/ledger?publisher=globex");
        refused(other, 404, "NotFoundError").await;
        refused(
            appliance.get("/acquit/ledger/export"),
            403,
            "ForbiddenError",
        )
        .await;
        refused(
            appliance.get("/acquit/ledger/verify"),
            403,
            "ForbiddenError",
        )
        .await;
    }
}

#[tokio::test]
async fn lines_of_one_actor_are_found_among_those_the_caller_may_see() {
    let appliance = Appliance::start().await;
    for (publisher, actor) in [
        ("acme", "paula & co"),
        ("globex", "paula & co"),
        ("acme", "acquit"),
    ] {
        let mut line = entry("something left".to_owned());
        line.publisher = Some(publisher.parse().unwrap());
        line.actor = actor.to_owned();
        appliance.store.ledger().append(line).await.unwrap();
    }
    let by = "/acquit/ledger?actor=paula%20%26%20co";
    let get = appliance
        .admin()
        .get(appliance.api(&format!("{by}&limit=1")));
    let (_, first) = answer(get).await;
    let next = first["links"]["next"].as_str().unwrap();
    let (_, second) = answer(appliance.admin().get(next)).await;
    let shown = (&first["data"][0]["id"], &second["data"][0]["id"]);
    assert_eq!(shown, (&Value::from("2"), &Value::from("1")));
    assert_eq!(second["links"]["next"], Value::Null);
    seat(&appliance, KeyRole::Publisher, "acme").await;
    let own = appliance.json(by).await;
    assert_eq!(own["data"].as_array().unwrap().len(), 1, "{own}");
    let nobody = appliance.json("/acquit/ledger?actor=paula").await;
    assert_eq!(nobody["data"], Value::Array(Vec::new()));
}

fn acquit(appliance: &Appliance, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acquit"));
    command.env_clear().args(arguments);
    command.env("ACQUIT_SERVER", &appliance.url);
    command.env("ACQUIT_APIKEY", &appliance.admin);
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn command_line_names_the_line_that_was_changed() {
    let appliance = Appliance::start().await;
    for number in 0..50 {
        let line = entry(format!("act {number}"));
        appliance.store.ledger().append(line).await.unwrap();
    }
    let said = acquit(&appliance, &["ledger", "verify"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success() && text.contains("50 lines"), "{text}");
    let file = appliance.dir.path().join("export");
    let name = file.to_str().unwrap();
    assert!(
        acquit(&appliance, &["ledger", "export", "--out", name])
            .status
            .success()
    );
    let verify = || acquit(&appliance, &["ledger", "verify", "--file", name]);
    // The export itself is a line.
    let said = verify();
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success() && text.contains("51 lines"), "{text}");
    let export = std::fs::read_to_string(&file).unwrap();
    assert_eq!(export.lines().count(), 51);
    std::fs::write(&file, export.replace("act 16", "act 61")).unwrap();
    let said = verify();
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(text.contains("line 17 was changed"), "{text}");
    let segment = appliance.dir.path().join("ledger/2026-09.jsonl");
    let lines = std::fs::read_to_string(&segment).unwrap();
    let lines: Vec<_> = lines
        .lines()
        .filter(|line| !line.contains("act 20"))
        .collect();
    std::fs::write(&segment, lines.join("\n") + "\n").unwrap();
    let said = acquit(&appliance, &["ledger", "verify"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(text.contains("line 21 was removed"), "{text}");
}

/// Prints how many lines a second are acknowledged; a measurement, so only on request.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_appends() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    for writers in [1_u32, 8] {
        let (start, mut tasks) = (Instant::now(), tokio::task::JoinSet::new());
        for writer in 0..writers {
            let ledger = store.ledger().clone();
            tasks.spawn(async move {
                for number in 0..500 {
                    let text = format!("{writer} {number}");
                    ledger.append(entry(text)).await.unwrap();
                }
            });
        }
        tasks.join_all().await;
        let rate = f64::from(writers * 500) / start.elapsed().as_secs_f64();
        println!("{writers} writers: {rate:.0} lines a second");
    }
}
