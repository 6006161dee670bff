//! Events in VirusTotal's words.

use serde_json::json;

use super::{Lab, id, item, ok};
use crate::http::appliance::refused;

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
