//! Events in VirusTotal's words.

use acquit::model::{EventKind, PublisherId};
use acquit::store::{Change, EventGlance, PUBLISHER_EVENTS};
use serde_json::json;

use super::{Lab, id, item, ok};
use crate::http::appliance::{malicious, refused};

#[tokio::test]
async fn events_are_dictionaries_and_objects_and_filters_are_read_raw() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"abc").await;
    lab.file("/日本.exe", b"def").await;
    ok(lab.acme().delete(lab.api(&item("/a.bin")))).await;
    let all = ok(lab.get("/monitor/events")).await;
    let events = all["data"].as_array().unwrap();
    let actions: Vec<_> = events
        .iter()
        .map(|e| e["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["DELETE", "UPLOAD", "UPLOAD"]);
    let event = &events[1];
    assert_eq!(event["type"], "monitor_event");
    assert!(event["id"].is_string());
    assert_eq!(event["monitor_key"], *id("/日本.exe"));
    assert_eq!(
        (&event["owner_id"], &event["level"]),
        (&json!("acme"), &json!("0"))
    );
    assert_eq!(event["attributes"]["action"], "UPLOAD");
    let count = async |query: &str| {
        let page = ok(lab.get(&format!("/monitor/events?{query}"))).await;
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(count("filter=level:1+").await, 1);
    assert_eq!(count("filter=level:0-").await, 2);
    assert_eq!(count("filter=action:UPLOAD").await, 2);
    assert_eq!(
        count(&format!(
            "filter=level:0+%20monitor_key:{}",
            id("/日本.exe")
        ))
        .await,
        1
    );
    assert_eq!(count("filter=timestamp:2001-01-01%2B").await, 3);
    assert_eq!(count("filter=timestamp:2001-01-01-").await, 0);
    assert_eq!(count("filter=source:QUOTA").await, 0);
    refused(
        lab.get("/monitor/events?filter=colour:red"),
        400,
        "InvalidArgumentError",
    )
    .await;
}

#[tokio::test]
async fn events_are_paged_by_cursor_and_job() {
    let lab = Lab::start().await;
    for number in 0..5 {
        lab.file(&format!("/{number}"), &[number]).await;
    }
    let (mut seen, mut query) = (0, "/monitor/events?limit=2&filter=action:UPLOAD".to_owned());
    loop {
        let page = ok(lab.get(&query)).await;
        seen += page["data"].as_array().unwrap().len();
        assert!(!page["data"].as_array().unwrap().is_empty());
        let (Some(cursor), Some(job)) = (
            page["meta"]["cursor"].as_str(),
            page["meta"]["job_id"].as_str(),
        ) else {
            assert!(page["links"].get("next").is_none());
            break;
        };
        query =
            format!("/monitor/events?limit=2&filter=action:UPLOAD&cursor={cursor}&job_id={job}");
    }
    assert_eq!(seen, 5);
}

#[tokio::test]
async fn what_a_filter_wants_is_found_behind_any_number_of_others() {
    let lab = Lab::start().await;
    lab.file("/a.bin", b"abc").await;
    lab.file("/b.bin", b"def").await;
    lab.appliance.answer("clamav", malicious("Win.Test")).await;
    lab.appliance.settle().await;
    let others = |change: &mut Change<'_>| {
        let acme: PublisherId = "acme".parse().unwrap();
        for number in 0..60_000 {
            let glance = EventGlance {
                kind: EventKind::ItemUploaded,
                actor: Some(EventGlance::mark("somebody")),
                path: Some(EventGlance::mark("/else")),
            };
            let key = (acme.clone(), 4_000_000_000_000_000 + number);
            change.put(&PUBLISHER_EVENTS, &key, &Some(glance))?;
        }
        Ok(())
    };
    lab.appliance.store.write(others).await.unwrap();
    for (filter, count) in [
        ("action:DETECTED", 2),
        ("source:ANALYSIS", 2),
        ("level:3+", 2),
        ("action:UPLOAD level:0 creator_id:nobody", 0),
        ("level:4+", 0),
    ] {
        let (mut seen, mut next) = (0, Some(format!("limit=1&filter={filter}")));
        while let Some(query) = next {
            let page = ok(lab.get(&format!("/monitor/events?{query}"))).await;
            seen += page["data"].as_array().unwrap().len();
            let cursor = page["meta"]["cursor"].as_str();
            next = cursor.map(|cursor| format!("limit=1&filter={filter}&cursor={cursor}"));
        }
        assert_eq!(seen, count, "{filter}");
    }
    let key = id("/a.bin");
    let page = ok(lab.get(&format!("/monitor/events?filter=monitor_key:{key}"))).await;
    let events = page["data"].as_array().unwrap();
    assert!(events.len() >= 2, "{page}");
    assert!(events.iter().all(|event| event["monitor_key"] == *key));
    let detected = events.iter().find(|event| event["action"] == "DETECTED");
    let said = json!([
        {"v": "clamav:current:malicious"},
        {"v": "clamav:current:signature:Win.Test"},
    ]);
    assert_eq!(detected.unwrap()["details"], said);
}
