//! References of the collection, and what the file shows when only some engines looked again.

use acquit::model::Verdict;
use reqwest::StatusCode;
use serde_json::json;

use super::appliance::{Appliance, answer, client, malicious, refused};

#[tokio::test]
async fn administrator_makes_a_file_a_reference_and_takes_it_back() {
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.exe", b"reference").await;
    let sha256 = id.split('-').nth(1).unwrap().to_owned();
    let url = appliance.api(&format!("/files/{sha256}/reference"));
    let forbidden = client(&appliance.publisher).put(&url);
    refused(forbidden, 403, "ForbiddenError").await;
    let admin = appliance.admin();
    let (status, marked) = answer(admin.put(&url)).await;
    assert_eq!(status, StatusCode::OK, "{marked}");
    assert_eq!(marked["data"]["id"], json!(sha256));
    let listed = appliance.json("/acquit/references").await;
    assert_eq!(listed["data"][0], marked["data"]);
    let (status, gone) = answer(admin.delete(&url)).await;
    assert_eq!((status, gone), (StatusCode::OK, json!({ "data": {} })));
    let listed = appliance.json("/acquit/references").await;
    assert_eq!(listed["data"], json!([]));
    let unknown = appliance.api(&format!("/files/{}/reference", "0".repeat(64)));
    refused(admin.put(unknown), 404, "NotFoundError").await;
}

#[tokio::test]
async fn file_shows_the_last_word_of_engines_that_were_not_asked_again() {
    let appliance = Appliance::start().await;
    let id = appliance.upload("a.exe", b"twice").await;
    appliance.answer("clamav", malicious("Win.Old")).await;
    appliance.answer("yara", Verdict::Undetected).await;
    let sha256 = id.split('-').nth(1).unwrap().to_owned();
    let again = format!("/files/{sha256}/analyse?engines=yara&reuse=never");
    let (status, body) = answer(appliance.post(&again)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    appliance.answer("yara", malicious("New_Rule")).await;
    appliance.settle().await;
    let file = appliance.json(&format!("/files/{sha256}")).await;
    let attributes = &file["data"]["attributes"];
    let results = attributes["last_analysis_results"].as_object().unwrap();
    let said = |name: &str| results[name]["result"].as_str().unwrap().to_owned();
    assert_eq!(
        (said("ClamAV"), said("YARA")),
        ("Win.Old".into(), "New_Rule".into())
    );
    assert_eq!(attributes["last_analysis_stats"]["malicious"], 2);
}
