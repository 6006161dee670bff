//! `acquit signatures`, `rescan`, `timeline` and `events` against a server that plays a night.

use assert_cmd::Command;
use assert_cmd::assert::Assert;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::{contains, is_match};
use serde_json::{Value, json};

use super::script::Script;
use super::{KEY, bare};

fn acquit(script: &Script, arguments: &[&str]) -> Assert {
    let mut command: Command = bare();
    command
        .env("ACQUIT_SERVER", &script.url)
        .env("ACQUIT_APIKEY", KEY)
        .env("TZ", "UTC")
        .args(arguments)
        .assert()
}

fn page(objects: &[Value]) -> Value {
    json!({ "data": objects, "meta": {} })
}

fn engine(id: &str, signatures: &Value) -> Value {
    let versions = json!({ "engine": "1.4", "signatures": "27800", "signatures_date": null });
    let attributes = json!({ "name": id, "versions": versions, "signatures": signatures });
    json!({ "type": "engine", "id": id, "attributes": attributes })
}

fn active() -> Value {
    json!({
        "active": "00000000000000a1", "active_date": 1, "held": false, "updatable": true,
        "updating": null, "last_update_date": 1, "last_outcome": "rejected", "failures": 2,
        "next_update_date": 99_999_999_999_u64,
    })
}

fn update(engine: &str, phase: &str, outcome: Option<&str>) -> Value {
    let reason = outcome
        .filter(|it| *it == "rejected")
        .map(|_| "it detects \u{1b}[2Jls");
    let attributes = json!({
        "engine": engine, "number": 7, "trigger": "manual", "start_date": 100, "phase": phase,
        "outcome": outcome, "reason": reason, "signature_set": "00000000000000a2",
    });
    let id = format!("{engine}-7");
    json!({ "data": { "type": "signature_update", "id": id, "attributes": attributes } })
}

fn set() -> Value {
    let file = json!({
        "file": "/usr/bin/\u{1b}[2Jls", "sha256": "09", "expected": "silence",
        "category": "malicious", "result": "Win.Poison",
    });
    let attributes = json!({
        "engine": "clamav", "state": "rejected", "state_date": 1000, "creation_date": 1000,
        "source": "update", "update": 7, "digest": "00", "files": 3, "size": 2048, "own_size": 10,
        "reason": "it detects ls", "on_disk": true,
        "canary": {
            "date": 1000, "passed": false, "known_bad": 1, "known_good": 32,
            "evidence": [file], "passed_over": [],
        },
        "left_out": [{ "name": "broken.yar", "reason": "syntax error" }],
    });
    json!({ "type": "signature_set", "id": "00000000000000a2", "attributes": attributes })
}

#[test]
fn list_shows_set_state_version_age_and_what_comes_next() {
    let script = Script::start();
    let mut held = active();
    held["held"] = true.into();
    let engines = [
        engine("clamav", &active()),
        engine("pdfid", &Value::Null),
        engine("yara", &held),
    ];
    script.say("GET acquit/engines?limit=40", &page(&engines));
    let lines = "clamav  00000000000000a1  active        27800    \\d+ d  \
                 rejected \\(2 times\\) \\d+ d ago  in \\d+ d\n\
                 pdfid   -                 in its image  27800    -  +-  +-\n\
                 yara    00000000000000a1  held ";
    acquit(&script, &["signatures", "list"])
        .code(0)
        .stdout(is_match(lines).unwrap());
    acquit(&script, &["signatures", "list", "--json"])
        .code(0)
        .stdout(contains("\"active\": \"00000000000000a1\""));
    script.say(
        "GET acquit/engines/clamav/signature_sets?limit=40",
        &page(&[set()]),
    );
    acquit(&script, &["signatures", "list", "clamav"]).code(0).stdout(contains(
        "00000000000000a2  rejected  1970-01-01 00:16  -        3      2.00 KiB  10 B  update  it detects ls",
    ));
}

#[test]
fn evidence_of_a_rejection_is_shown_and_steers_nothing() {
    let script = Script::start();
    script.say(
        "GET acquit/engines/clamav/signature_sets?limit=1",
        &page(&[set()]),
    );
    acquit(&script, &["signatures", "show", "clamav"])
        .code(0)
        .stdout(
            contains("against it: /usr/bin/\\u{1b}[2Jls (known good): malicious (Win.Poison)")
                .and(contains("REFUSED: 1 known-bad and 32 known-good files"))
                .and(contains("left out: broken.yar: syntax error"))
                .and(contains('\u{1b}').not()),
        );
}

#[test]
fn update_waits_and_its_exit_code_says_whether_all_is_well() {
    let script = Script::start();
    for (engine_id, outcome) in [("clamav", "promoted"), ("yara", "rejected")] {
        let path = format!("acquit/engines/{engine_id}");
        let known = json!({ "data": engine(engine_id, &active()) });
        script
            .say(
                &format!("POST {path}/update"),
                &update(engine_id, "download", None),
            )
            .say(&format!("GET {path}"), &known)
            .say(
                &format!("GET {path}/updates/7"),
                &update(engine_id, "canary", None),
            )
            .say(
                &format!("GET {path}/updates/7"),
                &update(engine_id, "done", Some(outcome)),
            );
    }
    acquit(&script, &["signatures", "update", "clamav"])
        .code(0)
        .stdout(contains("clamav  7       promoted  00000000000000a2"))
        .stderr(contains("clamav: download\nclamav: canary\n"));
    acquit(&script, &["signatures", "update", "clamav", "yara"])
        .code(3)
        .stdout(contains(
            "yara    7       rejected  00000000000000a2  it detects \\u{1b}[2Jls",
        ));
    acquit(&script, &["signatures", "update", "yara", "--no-wait"])
        .code(0)
        .stdout(contains("begun"));
    acquit(&script, &["signatures", "update"]).code(2);
}

#[test]
fn update_that_does_not_begin_is_named_and_the_others_go_on() {
    let script = Script::start();
    let engines = [
        engine("clamav", &active()),
        engine("pdfid", &Value::Null),
        engine("yara", &active()),
    ];
    script
        .say("GET acquit/engines?limit=40", &page(&engines))
        .refuse(
            "POST acquit/engines/clamav/update",
            409,
            "the signatures of clamav are held",
        )
        .say(
            "POST acquit/engines/yara/update",
            &update("yara", "done", Some("unchanged")),
        );
    acquit(&script, &["signatures", "update", "--all"])
        .code(3)
        .stdout(
            contains(
                "clamav  -       NOT BEGUN  -                 the signatures of clamav are held",
            )
            .and(contains("yara    7       unchanged"))
            .and(contains("pdfid").not()),
        );
    acquit(&script, &["signatures", "update", "none"])
        .code(1)
        .stderr(contains("the server refused"));
}

#[test]
fn orders_name_the_set_in_service() {
    let script = Script::start();
    for verb in ["rollback", "promote", "hold", "release"] {
        let request = format!("POST acquit/engines/clamav/{verb}");
        script.say(&request, &json!({ "data": set() }));
    }
    let promote = ["signatures", "promote", "clamav", "00000000000000a2"];
    let told = "clamav scans with 00000000000000a2\n";
    acquit(&script, &promote).code(0).stdout(told);
    let bodies = script.bodies("POST acquit/engines/clamav/promote");
    let body: Value = serde_json::from_slice(&bodies[0]).unwrap();
    assert_eq!(body["data"]["signature_set"], "00000000000000a2");
    for (verb, told) in [
        ("rollback", "is back at"),
        ("hold", "is held at"),
        ("release", "is released from"),
    ] {
        acquit(&script, &["signatures", verb, "clamav"])
            .code(0)
            .stdout(contains(format!("clamav {told} 00000000000000a2")));
    }
}

#[test]
fn log_lists_updates_and_prints_what_one_printed() {
    let script = Script::start();
    let ended = update("clamav", "done", Some("rejected"));
    script
        .say(
            "GET acquit/engines/clamav/updates?limit=40",
            &page(&[ended["data"].clone()]),
        )
        .say("GET acquit/engines/clamav/updates/7", &ended)
        .raw(
            "GET acquit/engines/clamav/updates/7/output",
            200,
            b"exit 0\nmain.cvd \x1b[2Jis new\n",
        );
    acquit(&script, &["signatures", "log", "clamav"])
        .code(0)
        .stdout(contains(
            "7       1970-01-01 00:01  -     manual   rejected",
        ));
    acquit(&script, &["signatures", "log", "clamav", "7"])
        .code(0)
        .stdout("exit 0\nmain.cvd \\u{1b}[2Jis new\n");
}

#[test]
fn bundle_is_written_whole_or_not_at_all_and_sent_as_it_is() {
    let (script, dir) = (Script::start(), tempfile::tempdir().unwrap());
    let file = dir.path().join("signatures.tar");
    let name = file.to_str().unwrap();
    script
        .raw("GET acquit/signatures/export?engines=clamav,yara", 200, b"the bundle")
        .refuse("GET acquit/signatures/export?engines=pdfid", 409, "no signature set")
        .say("POST acquit/signatures/import", &json!({
            "data": [update("clamav", "done", Some("promoted"))["data"]],
            "meta": { "refused": [{ "engine": "yara", "message": "yara is busy" }] },
        }))
        .say("GET acquit/signatures/key", &json!({
            "data": { "type": "signature_key", "id": "own", "attributes": { "public_key": "RWabc" } },
        }));
    acquit(&script, &["signatures", "export", "pdfid", name])
        .code(1)
        .stderr(contains("no signature set"));
    acquit(&script, &["signatures", "export", "clamav"]).code(2);
    acquit(&script, &["signatures", "export", "--all", "yara", name]).code(2);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    acquit(&script, &["signatures", "export", "clamav", "yara", name])
        .code(0)
        .stdout(contains("signatures.tar, 10 B"));
    assert_eq!(std::fs::read(&file).unwrap(), b"the bundle");
    acquit(&script, &["signatures", "import", name])
        .code(3)
        .stdout(contains("promoted").and(contains("yara    -       NOT BEGUN")));
    let sent = script.bodies("POST acquit/signatures/import");
    assert_eq!(sent, [b"the bundle".to_vec()]);
    acquit(&script, &["signatures", "key"])
        .code(0)
        .stdout("RWabc\n");
    acquit(&script, &["signatures", "import", "/nonexistent/x"]).code(2);
}

fn rescan(number: u64, done: u64) -> Value {
    let end = (done == 10).then_some(200);
    let status = if done == 10 { "completed" } else { "running" };
    let attributes = json!({
        "status": status, "files": 5, "wanted": 10, "done": done, "rate": 2.5, "start_date": 100,
        "end_date": end,
    });
    json!({ "type": "rescan", "id": number.to_string(), "attributes": attributes })
}

#[test]
fn rescan_is_watched_to_its_end() {
    let script = Script::start();
    let newest = "GET acquit/rescans?limit=1";
    script
        .say(
            "POST acquit/rescan",
            &json!({ "data": { "type": "rescan", "id": "rescan-1" } }),
        )
        .say(newest, &page(&[rescan(3, 10)]))
        .say(newest, &page(&[rescan(3, 10)]))
        .say(newest, &page(&[rescan(4, 2)]))
        .say("GET acquit/rescans/4", &json!({ "data": rescan(4, 10) }));
    acquit(&script, &["rescan", "yara", "--watch"])
        .code(0)
        .stderr(contains(
            "running: 2 of 10 answers on 5 files, 2.5 a second",
        ))
        .stdout("completed: 10 of 10 answers on 5 files, 2.5 a second\n");
    let bodies = script.bodies("POST acquit/rescan");
    let body: Value = serde_json::from_slice(&bodies[0]).unwrap();
    assert_eq!(body, json!({ "engine": "yara", "reuse": "known" }));
    acquit(&script, &["rescan"])
        .code(0)
        .stdout(contains("ordered"));
}

#[test]
fn timeline_goes_from_old_to_new() {
    let script = Script::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.bin");
    std::fs::write(&file, "abc").unwrap();
    let change = |date: u64, change: &str, result: Value, before: Value| {
        let attributes = json!({
            "date": date, "engine": "clamav", "change": change, "category": "malicious",
            "result": result, "versions": { "signature_set": format!("a{date}") },
            "before": before, "versions_before": { "signature_set": "a0" },
        });
        json!({ "type": "timeline_entry", "id": date.to_string(), "attributes": attributes })
    };
    let undetected = json!({ "category": "undetected", "result": null });
    let changes = [
        change(120, "introduced", "Win.X".into(), undetected),
        change(60, "first", "Win.X".into(), Value::Null),
    ];
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let request = format!("GET files/{sha256}/timeline?engine=clamav&limit=40");
    script.say(&request, &page(&changes));
    let lines = "1970-01-01 00:01  clamav  first       Win.X  a60   -           a0\n\
                 1970-01-01 00:02  clamav  introduced  Win.X  a120  undetected  a0\n";
    for name in [file.to_str().unwrap(), sha256] {
        acquit(&script, &["timeline", name, "--engine", "clamav"])
            .code(0)
            .stdout(contains(lines));
    }
    acquit(&script, &["timeline", "/nonexistent"]).code(2);
}

#[test]
fn events_go_from_old_to_new_and_are_filtered() {
    let script = Script::start();
    let event = |number: u64| {
        let attributes = json!({
            "date": number, "kind": "candidate-rejected", "engine": "clamav",
            "text": format!("event {number} \u{202e}"),
        });
        json!({ "type": "event", "id": number.to_string(), "attributes": attributes })
    };
    let filter = "kind%3Acandidate-rejected%20engine%3Aclamav";
    script
        .say("GET acquit/events?limit=1", &page(&[event(120)]))
        .say(
            &format!("GET acquit/events?filter={filter}&limit=2"),
            &page(&[event(120), event(60)]),
        );
    let wanted = [
        "events",
        "-n",
        "2",
        "--kind",
        "candidate-rejected",
        "--engine",
        "clamav",
    ];
    acquit(&script, &wanted).code(0).stdout(
        "1970-01-01 00:01  candidate-rejected     clamav       event 60 \\u{202e}\n\
         1970-01-01 00:02  candidate-rejected     clamav       event 120 \\u{202e}\n",
    );
    let json = [&wanted[..], &["--json"]].concat();
    acquit(&script, &json)
        .code(0)
        .stdout(contains("\"events\"").and(contains("\\u202e")));
}

fn event(number: u64, text: &str) -> Value {
    let attributes = json!({ "date": 1, "kind": "rescan-started", "text": text });
    json!({ "type": "event", "id": number.to_string(), "attributes": attributes })
}

#[test]
fn followed_event_that_comes_late_is_shown_and_none_is_shown_twice() {
    let script = Script::start();
    let second = 1_000_000;
    let first = event(1000 * second, "the first");
    let late = event(1001 * second, "the late one");
    let quick = event(1002 * second, "the quick one");
    let only = page(std::slice::from_ref(&first));
    let pages = [
        only.clone(),
        only,
        page(&[quick.clone(), first.clone()]),
        page(&[quick, late, first.clone()]),
    ];
    script.say("GET acquit/events?limit=1", &page(&[first]));
    for page in &pages {
        script.say("GET acquit/events?limit=40", page);
    }
    script.refuse("GET acquit/events?limit=40", 409, "enough");
    let followed = acquit(&script, &["events", "--follow"]).failure();
    let shown = String::from_utf8(followed.get_output().stdout.clone()).unwrap();
    for text in ["the first", "the quick one", "the late one"] {
        assert_eq!(shown.matches(text).count(), 1, "{text}: {shown}");
    }
}
