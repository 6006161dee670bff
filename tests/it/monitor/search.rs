//! The search: whatever has a name is found by it, by who may see it.

use acquit::model::{KeyRole, Verdict};
use reqwest::Client;
use serde_json::Value;

use super::{Lab, id, ok, seat};
use crate::http::appliance::{client, malicious, refused};

const SHA256: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";
const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

impl Lab {
    async fn searched(&self, client: &Client, query: &str) -> Value {
        let request = client.get(self.api("/acquit/search"));
        ok(request.query(&[("query", query)])).await
    }

    /// Types and ids of what a client finds.
    async fn finds(&self, client: &Client, query: &str) -> Vec<String> {
        let body = self.searched(client, query).await;
        let finds = body["data"].as_array().unwrap().iter();
        let name = |find: &Value| {
            let (kind, id) = (find["type"].as_str(), find["id"].as_str());
            format!("{} {}", kind.unwrap(), id.unwrap())
        };
        finds.map(name).collect()
    }
}

/// `abc` at two places of one publisher, detected; something else at a rival's.
async fn lab() -> Lab {
    let lab = Lab::start().await;
    lab.file("/tools/setup.exe", b"abc").await;
    lab.file("/old/Setup-2.exe", b"abc").await;
    lab.appliance
        .answer("clamav", malicious("Win.Test.Abc-1"))
        .await;
    lab.appliance.answer("yara", Verdict::Undetected).await;
    lab
}

#[tokio::test]
async fn everything_is_found_by_its_name() {
    let lab = lab().await;
    let (setup, old) = (
        format!("monitor_item {}", id("/tools/setup.exe")),
        format!("monitor_item {}", id("/old/Setup-2.exe")),
    );
    let (file, incident) = (format!("file {SHA256}"), "incident 1".to_owned());
    let number = ok(lab.get("/acquit/incidents")).await["data"][0]["id"].clone();
    assert_eq!(number, "1");
    let acme = lab.acme();
    for hash in [SHA256, SHA1, MD5, &SHA256.to_uppercase()] {
        let found = lab.finds(&acme, hash).await;
        assert_eq!(found, [&*file, &*old, &*setup], "{hash}");
    }
    for (query, expected) in [
        ("ba7816b", vec![&file]),
        ("#1", vec![&incident]),
        (" SETUP ", vec![&old, &setup]),
        ("/tools/setup.exe", vec![&setup]),
        ("tools/se", vec![&setup]),
        ("nothing at all", vec![]),
        ("#2", vec![]),
    ] {
        let found = lab.finds(&acme, query).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    assert_eq!(lab.finds(&acme, "clam").await[0], "engine clamav");
    assert_eq!(lab.finds(&acme, "YARA").await[0], "engine yara");
    assert_eq!(lab.finds(&acme, "Acme Ltd").await, ["publisher acme"]);
    assert_eq!(lab.finds(&acme, "detected").await, ["tag acme:detected"]);
    let folder = lab.finds(&acme, "/tools").await;
    assert_eq!(folder[0], format!("monitor_item {}", id("/tools/")));
    for query in ["", "  ", &"x".repeat(501)] {
        let request = acme
            .get(lab.api("/acquit/search"))
            .query(&[("query", query)]);
        refused(request, 400, "InvalidArgumentError").await;
    }
}

#[tokio::test]
async fn detection_is_found_by_a_part_and_its_link_is_a_list() {
    let lab = lab().await;
    // The names are counted behind the request's back.
    let mut found = Value::Null;
    for _ in 0..200 {
        found = lab.searched(&lab.acme(), "test.ABC").await;
        if found["data"][0] != Value::Null {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let find = &found["data"][0];
    assert_eq!(find["type"], "detection");
    assert_eq!(find["attributes"]["title"], "Win.Test.Abc-1");
    assert_eq!(find["attributes"]["items"], 2);
    let list = find["links"]["self"].as_str().unwrap();
    let list = ok(lab.acme().get(list)).await;
    assert_eq!(list["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn nobody_finds_what_is_not_there_for_him() {
    let lab = lab().await;
    let rival = client(&lab.rival);
    let store = &lab.appliance.store;
    let nobody = client(&seat(store, KeyRole::Publisher, None).await);
    for query in [
        SHA256, SHA1, MD5, "ba7816b", "#1", "1", "setup", "/tools/", "acme", "detected", "win.test",
    ] {
        for asker in [&rival, &nobody] {
            assert_eq!(lab.finds(asker, query).await, [""; 0], "{query}");
        }
    }
    let foreign = rival.get(lab.api("/acquit/search?query=setup&owner=acme"));
    refused(foreign, 404, "NotFoundError").await;
    let viewer = client(&seat(store, KeyRole::Viewer, None).await);
    assert_eq!(lab.finds(&viewer, "setup").await.len(), 2);
    assert_eq!(
        lab.finds(&viewer, "Ltd").await,
        ["publisher acme", "publisher rival"]
    );
}

#[tokio::test]
async fn finds_are_bounded_and_say_so() {
    let lab = Lab::start().await;
    for number in 0..25 {
        lab.file(&format!("/many/file-{number}.bin"), b"abc").await;
    }
    let found = lab.searched(&lab.acme(), "file-").await;
    assert_eq!(found["data"].as_array().unwrap().len(), 20);
    assert_eq!(found["meta"]["partial"], true);
    let request = lab.get("/acquit/search?query=file-&limit=3");
    assert_eq!(ok(request).await["data"].as_array().unwrap().len(), 3);
}
