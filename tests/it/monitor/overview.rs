//! The overview: what it counts, of whom, and that lists have what it counts.

use std::time::Duration;

use acquit::model::{KeyRole, Verdict};
use reqwest::Client;
use serde_json::{Value, json};

use super::{Lab, ok, seat};
use crate::http::appliance::{client, malicious, refused};

/// Asks until a counted figure is as expected: a request waits for the count only for a moment.
async fn overview(client: &Client, url: String, (place, expected): (&str, u64)) -> Value {
    let mut seen = Value::Null;
    for _ in 0..200 {
        seen = ok(client.get(&url)).await["data"].take();
        assert_eq!(seen["type"], "overview");
        if *seen["attributes"].pointer(place).unwrap_or(&Value::Null) == expected {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{place} does not become {expected}: {seen}");
}

async fn own(lab: &Lab, (place, expected): (&str, u64)) -> Value {
    let url = lab.api("/acquit/overview");
    let seen = overview(&lab.acme(), url.clone(), (place, expected)).await;
    // Both are counted by then, or were before.
    let seen = match seen["attributes"].pointer("/incidents/as_of") {
        Some(_) => seen,
        None => overview(&lab.acme(), url, ("/incidents/overdue", 0)).await,
    };
    assert_eq!(seen["id"], "acme");
    seen["attributes"].clone()
}

async fn count(lab: &Lab, filter: &str) -> Value {
    let url = format!("/monitor/items?recursive=true&limit=40&filter={filter}");
    let page = ok(lab.get(&url)).await;
    assert_eq!(page["meta"]["cursor"], Value::Null);
    page["data"].as_array().unwrap().len().into()
}

#[tokio::test]
async fn overview_counts_what_lists_have() {
    let lab = Lab::start().await;
    // The same content at two places, and at a rival's.
    lab.file("/a/one.exe", b"one").await;
    lab.file("/b/again.exe", b"one").await;
    lab.file("/b/two.exe", b"two").await;
    lab.appliance.answer("clamav", malicious("Win.Test")).await;
    lab.appliance.answer("yara", Verdict::Undetected).await;
    lab.file("/b/new.exe", b"new").await;
    let seen = own(&lab, ("/collection/items", 4)).await;
    let collection = &seen["collection"];
    for (figure, expected, filter) in [
        ("items", 4, "is:file"),
        ("items_unscanned", 1, "is:unscanned"),
        ("items_detected", 3, "is:detected"),
    ] {
        assert_eq!(collection[figure], expected, "{seen}");
        assert_eq!(collection[figure], count(&lab, filter).await, "{filter}");
    }
    let after = collection["rescanned_after"].as_u64().unwrap();
    assert_eq!(collection["items_rescanned"], 3);
    assert_eq!(count(&lab, &format!("after:{after}")).await, 3);
    assert_eq!(
        (&collection["files"], &collection["files_rescanned"]),
        (&json!(3), &json!(2))
    );
    let engines = json!([{ "engine": "clamav", "name": "ClamAV", "items": 3 }]);
    assert_eq!(collection["top_engines"], engines);
    assert_eq!(count(&lab, "engine:clamav").await, 3);
    let detections = json!([{ "detection": "Win.Test", "items": 3 }]);
    assert_eq!(collection["top_detections"], detections);
    assert_eq!(seen["changes"]["new_detections"], 2);
    assert_eq!(seen["changes"]["solved_detections"], 0);
    assert_eq!(seen["storage"]["files"], 4);
    assert_eq!(seen["engines"], json!({ "answering": 2, "enabled": 2 }));
    assert_eq!(seen["owner"], "acme");
}

#[tokio::test]
async fn incidents_come_and_go_by_day_and_at_once() {
    let lab = Lab::start().await;
    lab.file("/a/one.exe", b"one").await;
    lab.file("/b/two.exe", b"two").await;
    lab.appliance.answer("clamav", malicious("Win.Test")).await;
    lab.appliance.answer("yara", Verdict::Undetected).await;
    let incidents = own(&lab, ("/incidents/live", 2)).await["incidents"].clone();
    let live = ok(lab.get("/acquit/incidents?limit=40")).await;
    assert_eq!(
        (&incidents["live"], &incidents["overdue"]),
        (&json!(2), &json!(0))
    );
    let oldest = incidents["oldest"].as_array().unwrap();
    let mut listed = live["data"].as_array().unwrap().clone();
    listed.reverse();
    assert_eq!(oldest, &listed);
    assert_eq!(oldest[0]["attributes"]["engine"], "clamav");
    let days = incidents["days"].as_array().unwrap();
    assert_eq!(days.len(), 30);
    assert_eq!(
        (&days[29]["opened"], &days[29]["solved"]),
        (&json!(2), &json!(0))
    );
    assert!(
        days[..29]
            .iter()
            .all(|day| day["opened"] == 0 && day["solved"] == 0)
    );
    let id = listed[0]["id"].as_str().unwrap();
    let close = format!("/acquit/incidents/{id}/close");
    let close = lab
        .acme()
        .post(lab.api(&close))
        .json(&json!({ "reason": "known" }));
    ok(close).await;
    let incidents = own(&lab, ("/incidents/live", 1)).await["incidents"].clone();
    assert_eq!(incidents["states"]["kept"], 1);
    assert_eq!(incidents["oldest"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn overview_is_of_those_the_caller_sees() {
    let lab = Lab::start().await;
    lab.file("/a/one.exe", b"one").await;
    lab.appliance.answer("clamav", malicious("Win.Test")).await;
    lab.appliance.answer("yara", Verdict::Undetected).await;
    let store = &lab.appliance.store;
    let viewer = client(&seat(store, KeyRole::Viewer, None).await);
    let url = lab.api("/acquit/overview");
    let all = overview(&viewer, url.clone(), ("/collection/items", 1)).await;
    assert_eq!(all["id"], "all");
    assert_eq!(all["attributes"]["owner"], Value::Null);
    assert_eq!(all["attributes"]["changes"]["new_detections"], 1);
    assert_eq!(all["attributes"]["storage"]["files"], 1);
    let one = lab.api("/acquit/overview?owner=acme");
    overview(&viewer, one, ("/collection/items", 1)).await;
    refused(
        viewer.get(lab.api("/acquit/overview?owner=none")),
        404,
        "NotFoundError",
    )
    .await;
    let rival = client(&lab.rival);
    let seen = overview(&rival, url, ("/collection/items", 0)).await;
    assert_eq!(seen["id"], "rival");
    let seen = &seen["attributes"];
    assert!(seen["incidents"]["live"].is_null() || seen["incidents"]["live"] == 0);
    assert_eq!(seen["storage"]["files"], 0);
    refused(
        rival.get(lab.api("/acquit/overview?owner=acme")),
        404,
        "NotFoundError",
    )
    .await;
}
