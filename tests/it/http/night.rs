//! What the API tells of a night: sets, updates, rescans, events, timelines.

use acquit::flow::events::{Draft, raise};
use acquit::model::{
    About, AnalysisId, CanaryReport, EngineId, EngineVersions, Event, EventKind, Evidence,
    Expected, FileHash, LeftOut, Progress, Rescan, RescanShare, Reuse, SetSource, SetState, Sha256,
    SignatureSet, SignatureSetId, SignatureStatus, Timestamp, Trigger, Update, UpdateOutcome,
    UpdatePhase, Verdict,
};
use acquit::store::{
    EVENTS, RAW_OUTPUTS, RESCANS, SETS, SIGNATURE_SETS, SignatureSetRow, TIMELINE, TimelineRow,
    UPDATES,
};
use serde_json::{Value, json};
use sha2::Digest;

use super::appliance::{Appliance, malicious, refused};

/// SHA-256 of `abc`.
pub const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

pub fn clamav() -> EngineId {
    "clamav".parse().unwrap()
}

fn set_id(number: u64) -> SignatureSetId {
    SignatureSetId(format!("{number:016x}"))
}

pub fn set(number: u64, state: SetState) -> SignatureSet {
    SignatureSet {
        engine: clamav(),
        id: set_id(0xa0 + number),
        state,
        state_at: at(1000 + number),
        created_at: at(1000 + number),
        source: SetSource::Update { number },
        digest: "00".repeat(32),
        files: 3,
        size_bytes: 1000,
        own_bytes: 10,
        parent: None,
        versions: None,
        canary: None,
        reason: None,
        left_out: Vec::new(),
        on_disk: true,
    }
}

fn rejected(number: u64) -> SignatureSet {
    let evidence = Evidence {
        file: "/usr/bin/ls".to_owned(),
        sha256: Sha256::new([9; 32]),
        expected: Expected::Silence,
        verdict: malicious("Win.Poison"),
    };
    SignatureSet {
        canary: Some(CanaryReport {
            at: at(1000),
            bad: 1,
            good: 32,
            evidence: vec![evidence],
            passed_over: Vec::new(),
        }),
        reason: Some("it detects /usr/bin/ls".to_owned()),
        left_out: vec![LeftOut {
            name: "broken.yar".to_owned(),
            reason: "syntax error".to_owned(),
        }],
        ..set(number, SetState::Rejected)
    }
}

pub fn update(number: u64) -> Update {
    Update {
        engine: clamav(),
        number,
        trigger: Trigger::Schedule,
        started_at: at(900 + number),
        ended_at: None,
        phase: UpdatePhase::Download,
        outcome: None,
        reason: None,
        exit_code: None,
        output: None,
        signature_set: None,
    }
}

fn rescan(number: u64) -> Rescan {
    let share = RescanShare {
        wanted: 10,
        opened: 10,
        done: 4,
    };
    Rescan {
        number,
        reason: "new signatures of clamav".to_owned(),
        engine: Some(clamav()),
        reuse: Reuse::Known,
        started_at: at(1000),
        completed_at: (number == 1).then(|| at(1002)),
        files: 10,
        analyses: 4,
        engines: [(clamav(), share)].into(),
        cursor: None,
        planned: true,
    }
}

fn event(number: u64, kind: EventKind) -> Event {
    Event {
        number,
        at: at(number),
        kind,
        engine: Some(clamav()),
        text: format!("event {number}"),
        details: json!({ "number": number }),
        about: About::default(),
    }
}

fn change(before: Option<Verdict>, verdict: Verdict, seconds: u64) -> TimelineRow {
    let versions = |number| EngineVersions {
        image: "sha256:1".to_owned(),
        signature_set: Some(set_id(number)),
        ..EngineVersions::default()
    };
    let FileHash::Sha256(sha256) = ABC.parse().unwrap() else {
        panic!("it is a SHA-256")
    };
    TimelineRow {
        analysis_before: None,
        at: at(seconds),
        analysis: AnalysisId {
            sha256,
            number: seconds * 1000,
        },
        verdict,
        versions: versions(seconds),
        versions_before: before.is_some().then(|| versions(seconds - 1)),
        before,
    }
}

/// Writes the rows a night leaves.
pub async fn one_night(appliance: &Appliance) {
    let printed = b"exit 1\nwhat the update command printed";
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, printed).unwrap();
    let packed = packed.finish().unwrap();
    let output = Sha256::new(sha2::Sha256::digest(&packed).into());
    let write = appliance.store.write(move |night| {
        night.put_bytes(&RAW_OUTPUTS, &output, packed);
        for set in [set(1, SetState::Active), rejected(2)] {
            night.put(&SETS, &(clamav(), set.id.clone()), &set)?;
        }
        let row = SignatureSetRow {
            id: set_id(0xa1),
            created_at: at(1001),
            source: "update".to_owned(),
            previous: None,
            held: false,
        };
        night.put(&SIGNATURE_SETS, &clamav(), &row)?;
        let ended = Update {
            ended_at: Some(at(950)),
            phase: UpdatePhase::Done,
            outcome: Some(UpdateOutcome::Rejected),
            reason: Some("it detects /usr/bin/ls".to_owned()),
            exit_code: Some(0),
            output: Some(acquit::model::RawOutputId(output.to_string())),
            signature_set: Some(set_id(0xa2)),
            ..update(1)
        };
        night.put(&UPDATES, &(clamav(), 1), &ended)?;
        night.put(&UPDATES, &(clamav(), 2), &update(2))?;
        for number in [1, 2] {
            night.put(&RESCANS, &number, &rescan(number))?;
        }
        for number in 1..=30 {
            let kind = match number {
                5 | 25 => EventKind::CandidateRejected,
                _ => EventKind::UpdateUnchanged,
            };
            night.put(&EVENTS, &number, &event(number, kind))?;
        }
        let bad = || malicious("Win.Poison");
        let rows = [
            ("clamav", change(None, Verdict::Undetected, 10)),
            ("clamav", change(Some(Verdict::Undetected), bad(), 12)),
            ("yara", change(None, bad(), 11)),
            ("clamav", change(Some(bad()), Verdict::Timeout, 13)),
            ("clamav", change(Some(bad()), Verdict::Undetected, 14)),
        ];
        for (engine, row) in rows {
            let key = (
                row.analysis.sha256,
                engine.parse().unwrap(),
                row.at.millis(),
            );
            night.put(&TIMELINE, &key, &row)?;
        }
        Ok(())
    });
    write.await.unwrap();
}

fn ids(page: &Value) -> Vec<&str> {
    let list = page["data"].as_array().unwrap();
    list.iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn engine_tells_how_its_signatures_fare() {
    let appliance = Appliance::start().await;
    let engine = appliance.json("/acquit/engines/clamav").await;
    assert!(engine["data"]["attributes"].get("signatures").is_none());
    appliance.board.update(&clamav(), |status| {
        status.signatures = Some(SignatureStatus {
            active: Some(set_id(0xa1)),
            held: true,
            updating: Some(Progress {
                number: 2,
                phase: UpdatePhase::Canary,
                started_at: at(902),
                new_bytes: 77,
                output_bytes: 9,
            }),
            next_update_at: Some(at(5000)),
            last_outcome: Some(UpdateOutcome::Rejected),
            ..SignatureStatus::default()
        });
    });
    let engine = appliance.json("/acquit/engines/clamav").await;
    let signatures = &engine["data"]["attributes"]["signatures"];
    assert_eq!(signatures["active"], "00000000000000a1");
    assert_eq!(signatures["held"], true);
    assert_eq!(signatures["last_outcome"], "rejected");
    assert_eq!(signatures["next_update_date"], 5000);
    let updating = json!({
        "number": 2, "phase": "canary", "start_date": 902, "new_bytes": 77, "output_bytes": 9,
    });
    assert_eq!(signatures["updating"], updating);
}

#[tokio::test]
async fn metrics_tell_age_hold_and_failures() {
    let appliance = Appliance::start().await;
    appliance.board.update(&clamav(), |status| {
        status.signatures = Some(SignatureStatus {
            held: true,
            failures: 3,
            last_success_at: Some(at(7)),
            ..SignatureStatus::default()
        });
    });
    let metrics = reqwest::get(format!("{}/metrics", appliance.url)).await;
    let text = metrics.unwrap().text().await.unwrap();
    for line in [
        "acquit_signature_timestamp_seconds{engine=\"clamav\"} 1795305600",
        "acquit_signature_held{engine=\"clamav\"} 1",
        "acquit_signature_update_failures{engine=\"clamav\"} 3",
        "acquit_signature_last_success_timestamp_seconds{engine=\"clamav\"} 7",
        "acquit_engine_info{engine=\"yara\",signature_set=\"0011223344556677\",version=\"1.2.3\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn sets_are_listed_newest_first_with_the_evidence() {
    let appliance = Appliance::start().await;
    one_night(&appliance).await;
    let path = "/acquit/engines/clamav/signature_sets";
    let first = appliance.json(&format!("{path}?limit=1")).await;
    assert_eq!(ids(&first), ["00000000000000a2"]);
    let cursor = first["meta"]["cursor"].as_str().unwrap();
    let second = appliance
        .json(&format!("{path}?limit=1&cursor={cursor}"))
        .await;
    assert_eq!(ids(&second), ["00000000000000a1"]);
    assert!(second["meta"].get("cursor").is_none(), "it was the last");
    let one = appliance.json(&format!("{path}/00000000000000a2")).await;
    let attributes = &one["data"]["attributes"];
    assert_eq!(attributes["state"], "rejected");
    assert_eq!(attributes["update"], 2);
    assert_eq!(attributes["left_out"][0]["name"], "broken.yar");
    let canary = &attributes["canary"];
    assert_eq!(canary["passed"], false);
    let evidence = json!({
        "file": "/usr/bin/ls", "sha256": "09".repeat(32), "expected": "silence",
        "category": "malicious", "result": "Win.Poison",
    });
    assert_eq!(canary["evidence"], json!([evidence]));
    let none = appliance.get(&format!("{path}/00000000000000ff"));
    refused(none, 404, "NotFoundError").await;
    let none = appliance.get("/acquit/engines/none/signature_sets");
    refused(none, 404, "NotFoundError").await;
}

#[tokio::test]
async fn updates_are_listed_newest_first_with_what_they_printed() {
    let appliance = Appliance::start().await;
    one_night(&appliance).await;
    let list = appliance.json("/acquit/engines/clamav/updates").await;
    assert_eq!(ids(&list), ["clamav-2", "clamav-1"]);
    let path = "/acquit/engines/clamav/updates/1";
    let one = appliance.json(path).await;
    assert_eq!(one["data"]["type"], "signature_update");
    assert_eq!(one["data"]["attributes"]["outcome"], "rejected");
    assert_eq!(one["data"]["attributes"]["end_date"], 950);
    let output = appliance
        .get(&format!("{path}/output"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        output.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let text = output.text().await.unwrap();
    assert_eq!(text, "exit 1\nwhat the update command printed");
    for missing in ["2/output", "9", "x"] {
        let path = format!("/acquit/engines/clamav/updates/{missing}");
        refused(appliance.get(&path), 404, "NotFoundError").await;
    }
    let foreign = "/acquit/engines/yara/updates?cursor=Y2xhbWF2AAAA";
    refused(appliance.get(foreign), 400, "InvalidArgumentError").await;
}

#[tokio::test]
async fn rescans_tell_totals_rate_and_end() {
    let appliance = Appliance::start().await;
    one_night(&appliance).await;
    let list = appliance.json("/acquit/rescans").await;
    assert_eq!(ids(&list), ["2", "1"]);
    let running = &list["data"][0]["attributes"];
    assert_eq!(running["status"], "running");
    assert_eq!(
        (&running["wanted"], &running["done"]),
        (&10.into(), &4.into())
    );
    assert!(running["estimated_end_date"].is_u64());
    let done = appliance.json("/acquit/rescans/1").await;
    let done = &done["data"]["attributes"];
    assert_eq!(done["status"], "completed");
    assert_eq!(done["rate"], 2.0);
    assert!(done.get("estimated_end_date").is_none());
    assert_eq!(done["engines"]["clamav"]["wanted"], 10);
    refused(appliance.get("/acquit/rescans/7"), 404, "NotFoundError").await;
}

#[tokio::test]
async fn event_that_names_no_publisher_is_shown_to_all_only_if_it_is_of_the_appliance() {
    let appliance = Appliance::start().await;
    let kinds = [
        EventKind::SubscriptionDisabled,
        EventKind::PolicyChanged,
        EventKind::SignaturesPromoted,
    ];
    for kind in kinds {
        let (at, about) = (Timestamp::from_millis(1), About::default());
        let draft = Draft::about(at, kind, about, "https://hooks.vendor.example".to_owned());
        let write = move |change: &mut acquit::store::Change<'_>| raise(change, draft);
        appliance.store.write(write).await.unwrap();
    }
    let ours = appliance.json("/acquit/events").await;
    assert_eq!(ours["data"].as_array().unwrap().len(), 1, "{ours}");
    let promoted = EventKind::SignaturesPromoted.as_str();
    assert_eq!(ours["data"][0]["attributes"]["kind"], promoted);
    let all = appliance.admin().get(appliance.api("/acquit/events"));
    let (_, all) = crate::http::appliance::answer(all).await;
    assert_eq!(all["data"].as_array().unwrap().len(), 3, "{all}");
}

#[tokio::test]
async fn events_are_filtered_and_paged() {
    let appliance = Appliance::start().await;
    one_night(&appliance).await;
    let (mut seen, mut url) = (Vec::new(), appliance.api("/acquit/events?limit=12"));
    loop {
        let page: Value = appliance
            .admin()
            .get(&url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        seen.extend(ids(&page).into_iter().map(|id| id.parse::<u64>().unwrap()));
        match page["links"]["next"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, (1..=30).rev().collect::<Vec<_>>());
    let rejections = "/acquit/events?filter=kind:candidate-rejected%20engine:clamav&limit=1";
    let first = appliance.json(rejections).await;
    assert_eq!(ids(&first), ["25"]);
    let next = first["links"]["next"].as_str().unwrap();
    let second: Value = appliance
        .admin()
        .get(next)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(ids(&second), ["5"], "the filter goes with the link: {next}");
    assert_eq!(second["data"][0]["attributes"]["details"]["number"], 5);
    let none = appliance.json("/acquit/events?filter=engine:yara").await;
    assert!(ids(&none).is_empty());
    for wrong in ["kind:nonsense", "nonsense", "engine:NO"] {
        let path = format!("/acquit/events?filter={wrong}");
        refused(appliance.get(&path), 400, "InvalidArgumentError").await;
    }
}

#[tokio::test]
async fn timeline_says_which_set_introduced_a_detection_and_which_removed_it() {
    let appliance = Appliance::start().await;
    appliance.upload("a.bin", b"abc").await;
    one_night(&appliance).await;
    let path = format!("/files/{ABC}/timeline");
    let all = appliance.json(&path).await;
    let of = |page: &Value, key: &str| {
        let list = page["data"].as_array().unwrap();
        let texts = list
            .iter()
            .map(|it| it["attributes"][key].as_str().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    };
    let changes = ["removed", "changed", "introduced", "first", "first"];
    assert_eq!(of(&all, "change"), changes);
    assert_eq!(of(&all, "engine")[3], "yara");
    let introduced = &all["data"][2]["attributes"];
    assert_eq!(introduced["result"], "Win.Poison");
    assert_eq!(introduced["versions"]["signature_set"], "000000000000000c");
    assert_eq!(
        introduced["versions_before"]["signature_set"],
        "000000000000000b"
    );
    assert_eq!(introduced["before"]["category"], "undetected");
    let yara = appliance.json(&format!("{path}?engine=yara&limit=1")).await;
    assert_eq!(of(&yara, "engine"), ["yara"]);
    let page = appliance
        .json(&format!("{path}?engine=clamav&limit=3"))
        .await;
    let next = page["links"]["next"].as_str().unwrap();
    let last: Value = appliance
        .admin()
        .get(next)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(of(&last, "change"), ["first"]);
    refused(
        appliance.get("/files/00/timeline"),
        400,
        "InvalidArgumentError",
    )
    .await;
}
