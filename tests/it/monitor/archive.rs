//! A folder as one ZIP file.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use acquit::model::Sha256;
use serde_json::Value;
use zip::ZipArchive;

use super::{Lab, escaped, id, ok};
use crate::http::appliance::{client, refused};
use crate::people::ledger;

/// What is in an archive, by name; a folder has nothing in it.
type Members = BTreeMap<String, Vec<u8>>;

fn archive(path: &str) -> String {
    format!("/acquit/items/{}/archive", escaped(&id(path)))
}

async fn members(request: reqwest::RequestBuilder) -> Members {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/zip");
    let bytes = response.bytes().await.unwrap();
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut members = Members::new();
    for number in 0..zip.len() {
        let mut file = zip.by_index(number).unwrap();
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        members.insert(file.name().unwrap().into_owned(), content);
    }
    members
}

/// Returns which paths left, with how many bytes.
fn left(lab: &Lab) -> Vec<(String, u64)> {
    let lines = ledger(&lab.appliance);
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let left = lines.filter(|line| line["entry"]["kind"] == "egress");
    left.map(|line| {
        let text = line["entry"]["text"].as_str().unwrap().to_owned();
        (text, line["entry"]["bytes"].as_u64().unwrap())
    })
    .collect()
}

#[tokio::test]
async fn folder_comes_with_all_that_is_in_it_and_each_file_is_in_the_ledger() {
    let lab = Lab::start().await;
    lab.file("/d/a.bin", b"abc").await;
    lab.file("/d/sub/..\\up.txt", b"").await;
    lab.file("/d/sub/\u{202e}gpj.exe", b"name").await;
    lab.file("/other.bin", b"other").await;
    let seen = members(lab.get(&archive("/d/"))).await;
    let expected = [
        ("d/a.bin", "abc"),
        ("d/sub/", ""),
        ("d/sub/..%5Cup.txt", ""),
        ("d/sub/\u{202e}gpj.exe", "name"),
    ];
    let expected = expected.map(|(name, text)| (name.to_owned(), text.into()));
    assert_eq!(seen, Members::from(expected));
    let sent = left(&lab);
    assert_eq!(sent.iter().map(|(_, bytes)| bytes).sum::<u64>(), 7);
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert!(sent.iter().any(|(text, _)| text.contains("/d/a.bin")));
    let whole = members(lab.get(&archive("/"))).await;
    assert_eq!(whole["acme/other.bin"], b"other");
    assert_eq!(whole["acme/d/a.bin"], b"abc");
}

#[tokio::test]
async fn more_than_a_page_of_items_is_packed() {
    let lab = Lab::start().await;
    for number in 0..120 {
        lab.file(&format!("/m/{number:03}.bin"), b"same").await;
    }
    assert_eq!(members(lab.get(&archive("/m/"))).await.len(), 120);
}

#[tokio::test]
async fn only_who_may_have_the_bytes_gets_a_folder() {
    let lab = Lab::start().await;
    lab.file("/d/a.bin", b"abc").await;
    let url = lab.api(&archive("/d/"));
    let foreign = client(&lab.rival).get(&url);
    refused(foreign, 404, "NotFoundError").await;
    refused(client(&lab.viewer).get(&url), 403, "ForbiddenError").await;
    let file = lab.get(&archive("/d/a.bin"));
    refused(file, 400, "InvalidArgumentError").await;
    refused(lab.get(&archive("/none/")), 404, "NotFoundError").await;
    let head = lab.acme().head(&url).send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(left(&lab), []);
    let admin = members(lab.appliance.admin().get(&url)).await;
    assert_eq!(admin.len(), 1);
    assert!(left(&lab)[0].0.contains("of publisher acme"));
}

#[tokio::test]
async fn archive_that_is_not_whole_is_cut_off() {
    let lab = Lab::start().await;
    lab.file("/d/a.bin", b"abc").await;
    let lost = lab.file("/d/b.bin", b"lost").await;
    let lost: Sha256 = lost["data"]["attributes"]["sha256"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    std::fs::remove_file(lab.appliance.store.blobs().path(&lost)).unwrap();
    let response = lab.get(&archive("/d/")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    ok(lab.get("/monitor/items?filter=path:/d/")).await;
}
