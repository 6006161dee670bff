//! Who sees all and looks at what is a publisher's is in the ledger, and its owner finds the line.

use acquit::model::Verdict;
use serde_json::Value;

use super::{Lab, item, ok};
use crate::http::appliance::{answer, malicious};
use crate::people::ledger;

/// Returns the looks the ledger has: at what, and whose it is.
fn looks(lab: &Lab) -> Vec<(String, Option<String>)> {
    let lines = ledger(&lab.appliance);
    let entries = lines.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        Some(line["entry"].clone())
    });
    let looks = entries.filter_map(|entry| {
        let text = entry["text"].as_str()?.strip_prefix("admin reads ")?;
        let whose = entry["publisher"].as_str().map(str::to_owned);
        Some((text.to_owned(), whose))
    });
    looks.collect()
}

#[tokio::test]
async fn every_way_to_a_publisher_s_file_is_written_down_with_its_publisher() {
    let lab = Lab::start().await;
    let made = lab.file("/a.bin", b"abc").await;
    let sha256 = made["data"]["attributes"]["sha256"].as_str().unwrap();
    lab.appliance.answer("clamav", malicious("Win.X")).await;
    lab.appliance.answer("yara", Verdict::Undetected).await;
    let analyses = ok(lab.get(&format!("/files/{sha256}/analyses"))).await;
    let analysis = analyses["data"][0]["id"].as_str().unwrap();
    let incidents = ok(lab.get("/acquit/incidents")).await;
    let incident = incidents["data"][0]["id"].as_str().unwrap();
    let owned = [
        item("/a.bin"),
        format!("{}/analyses", item("/a.bin")),
        format!("/files/{sha256}"),
        format!("/files/{sha256}/analyses"),
        format!("/files/{sha256}/timeline"),
        format!("/analyses/{analysis}"),
        format!("/acquit/analyses/{analysis}/raw/clamav"),
        format!("/acquit/incidents/{incident}"),
        "/acquit/publishers/acme".to_owned(),
    ];
    let lists = ["/acquit/events", "/acquit/deliveries", "/acquit/incidents"];
    let admin = lab.appliance.admin();
    for path in owned.iter().map(String::as_str).chain(lists) {
        let seen = admin.get(lab.api(path)).send().await.unwrap();
        assert!(seen.status().is_success(), "{path}: {}", seen.status());
    }
    ok(admin.get(lab.api(&format!("/search?query={sha256}")))).await;
    let looks = looks(&lab);
    let acme = Some("acme".to_owned());
    for path in &owned {
        let look = (format!("/api/v3{path}"), acme.clone());
        let short = (path.clone(), acme.clone());
        assert!(
            looks.contains(&look) || looks.contains(&short),
            "{path}: {looks:#?}"
        );
    }
    assert!(
        looks
            .iter()
            .any(|(at, of)| at.ends_with("/search") && *of == acme)
    );
    for path in lists {
        let looked = looks
            .iter()
            .any(|(at, of)| at.ends_with(path) && of.is_none());
        assert!(looked, "{path}: {looks:#?}");
    }
}

#[tokio::test]
async fn what_an_administrator_brought_himself_is_no_look() {
    let lab = Lab::start().await;
    let form = crate::http::appliance::file("own.bin", b"mine");
    let admin = lab.appliance.admin();
    let sent = admin.post(lab.api("/files")).multipart(form);
    let (status, body) = answer(sent).await;
    assert!(status.is_success(), "{body}");
    let id = body["data"]["id"].as_str().unwrap();
    ok(admin.get(lab.api(&format!("/analyses/{id}")))).await;
    assert_eq!(looks(&lab), []);
}
