//! Uploads in parts: cut, resumed, misplaced, foreign, too many, two at once, after a restart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use acquit::flow::uploads::{Draft, LIFETIME, PER_OWNER, Target, Uploads};
use acquit::model::{KeyRole, Quota, Seat, Timestamp, User};
use acquit::store::{IncomingError, PUBLISHERS, Store, USERS};
use bytes::Bytes;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sha2::Digest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::appliance::{Appliance, answer, client, file, refused};
use crate::roles::{key_of, key_with, of_publisher, parties, publisher};

const SOON: Duration = Duration::from_secs(10);
const SESSIONS: &str = "/acquit/upload_sessions";

fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

/// Bytes that repeat nowhere near, so that a part at the wrong place is another file.
fn content(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[1]
    };
    (0..size).map(|_| next()).collect()
}

/// An appliance, and a publisher's key.
struct Lab {
    appliance: Appliance,
    key: String,
    client: Client,
}

impl Lab {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut acquit::config::Config)) -> Self {
        let appliance = Appliance::start_with(change).await;
        parties(&appliance).await;
        let key = key_of(&appliance, of_publisher(KeyRole::Publisher, "acme")).await;
        let client = client(&key);
        Self {
            appliance,
            key,
            client,
        }
    }

    fn order(&self, order: &Value) -> RequestBuilder {
        self.client.post(self.appliance.api(SESSIONS)).json(order)
    }

    /// Opens a session and returns its id.
    async fn open(&self, order: Value) -> String {
        let (status, body) = answer(self.order(&order)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["data"]["type"], "upload_session");
        assert_eq!(body["data"]["attributes"]["offset"], 0);
        body["data"]["id"].as_str().unwrap().to_owned()
    }

    fn ask(&self, method: Method, id: &str) -> RequestBuilder {
        let url = self.appliance.api(&format!("{SESSIONS}/{id}"));
        self.client.request(method, url)
    }

    fn part(&self, id: &str, offset: usize, bytes: &[u8]) -> RequestBuilder {
        let part = self.ask(Method::PATCH, id).header("upload-offset", offset);
        part.body(bytes.to_vec())
    }

    /// Sends a part that must be taken; returns the answer.
    async fn send(&self, id: &str, offset: usize, bytes: &[u8]) -> Value {
        let response = self.part(id, offset, bytes).send().await.unwrap();
        let (status, next) = (response.status(), offset_of(&response));
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(next, offset + bytes.len());
        body
    }

    async fn offset(&self, id: &str) -> usize {
        let response = self.ask(Method::HEAD, id).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        offset_of(&response)
    }

    /// Waits until so many bytes are there.
    async fn until(&self, id: &str, offset: usize) {
        let started = Instant::now();
        while self.offset(id).await != offset {
            assert!(started.elapsed() < SOON, "{}", self.offset(id).await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Begins a part on a connection of its own, which can be cut.
    async fn begin(&self, id: &str, offset: usize, (length, sent): (usize, &[u8])) -> TcpStream {
        let head = format!(
            "PATCH /api/v3{SESSIONS}/{id} HTTP/1.1\r\nHost: localhost\r\nx-apikey: {}\r\n\
             Upload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n",
            self.key
        );
        let mut stream = TcpStream::connect(self.appliance.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stream
    }

    async fn item(&self, path: &str) -> Value {
        let id = acquit::model::ItemId {
            publisher: "acme".parse().unwrap(),
            path: path.parse().unwrap(),
        };
        let id = id.to_string().replace('/', "%2F").replace('+', "%2B");
        let url = self.appliance.api(&format!("/monitor/items/{id}"));
        let (status, body) = answer(self.client.get(url)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    async fn quota(&self, bytes: Option<u64>) {
        let mut row = publisher("acme");
        row.quota = Quota { bytes, files: None };
        let write = self.appliance.store.write(move |change| {
            let key = row.id.clone();
            change.put(&PUBLISHERS, &key, &row)
        });
        write.await.unwrap();
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        assert_eq!(self.appliance.kept("uploads"), [""; 0]);
        assert_eq!(self.appliance.kept("incoming"), [""; 0]);
    }
}

#[track_caller]
fn offset_of(response: &reqwest::Response) -> usize {
    let offset = response.headers()["upload-offset"].to_str().unwrap();
    offset.parse().unwrap()
}

#[tokio::test]
async fn cut_connection_keeps_what_came_and_the_rest_makes_the_same_file() {
    let lab = Lab::start().await;
    let bytes = content(3_000_000);
    let size = bytes.len();
    let id = lab
        .open(json!({"path": "/a b/setup.exe", "size": size}))
        .await;
    lab.send(&id, 0, &bytes[..700_000]).await;
    let rest = size - 700_000;
    let sent = &bytes[700_000..1_900_001];
    let stream = lab.begin(&id, 700_000, (rest, sent)).await;
    lab.until(&id, 1_900_001).await;
    drop(stream);
    assert_eq!(lab.offset(&id).await, 1_900_001);
    assert_eq!(lab.appliance.kept("blobs"), [""; 0]);
    let placed = lab.send(&id, 1_900_001, &bytes[1_900_001..]).await;
    assert_eq!(placed["data"]["type"], "monitor_item");
    assert_eq!(placed["data"]["attributes"]["sha256"], sha256(&bytes));
    assert_eq!(lab.appliance.kept("blobs"), [sha256(&bytes)]);
    lab.assert_nothing_is_left();
    let item = lab.item("/a b/setup.exe").await;
    assert_eq!(item["data"]["attributes"]["size"], size);
    let analysis = placed["meta"]["analysis"].as_str().unwrap();
    let url = lab.appliance.api(&format!("/analyses/{analysis}"));
    assert_eq!(answer(lab.client.get(url)).await.0, StatusCode::OK);
    let url = lab
        .appliance
        .api(&format!("/files/{}/download", sha256(&bytes)));
    let download = lab.client.get(url).send().await.unwrap();
    assert!(download.bytes().await.unwrap() == bytes);
}

#[tokio::test]
async fn answer_is_that_of_the_upload_in_one_piece() {
    let lab = Lab::start().await;
    let url = lab.appliance.api("/monitor/items");
    let form = file("x", b"abc").text("path", "/one");
    let (_, mut whole) = answer(lab.client.post(url).multipart(form)).await;
    let id = lab.open(json!({"path": "/two", "size": 3})).await;
    let mut parts = lab.send(&id, 0, b"abc").await;
    for body in [&mut whole, &mut parts] {
        let attributes = body["data"]["attributes"].as_object_mut().unwrap();
        assert!(attributes["path"] == "/one" || attributes["path"] == "/two");
        for differs in ["path", "creation_date", "last_modification_date"] {
            assert!(attributes.remove(differs).is_some(), "{differs}");
        }
        body["data"]["id"] = Value::Null;
        body["data"]["links"] = Value::Null;
        assert!(body["meta"]["analysis"].take().is_string());
    }
    assert_eq!(parts, whole);
}

#[tokio::test]
async fn part_at_another_place_or_beyond_the_end_is_refused_and_changes_nothing() {
    let lab = Lab::start().await;
    let id = lab.open(json!({"path": "/a", "size": 10})).await;
    lab.send(&id, 0, b"0123").await;
    for offset in [0, 3, 5, 10, 11] {
        let response = lab.part(&id, offset, b"xx").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CONFLICT, "{offset}");
        assert_eq!(offset_of(&response), 4);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "ConflictError");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("byte 4"), "{message}");
    }
    let beyond = lab.part(&id, 4, b"4567890");
    refused(beyond, 413, "InvalidArgumentError").await;
    assert_eq!(lab.offset(&id).await, 4);
    // Without an announced length it is known only once it is there.
    let chunks = ["45", "67", "89x"].map(|text| Ok::<_, std::io::Error>(Bytes::from(text)));
    let chunks = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let part = lab.ask(Method::PATCH, &id).header("upload-offset", 4);
    refused(part.body(chunks), 413, "InvalidArgumentError").await;
    let there = lab.offset(&id).await;
    assert!((4..10).contains(&there), "{there}");
    for value in ["", "x", "-1", "4, 4"] {
        let part = lab.ask(Method::PATCH, &id).header("upload-offset", value);
        refused(part, 400, "InvalidArgumentError").await;
    }
    refused(lab.ask(Method::PATCH, &id), 400, "InvalidArgumentError").await;
    let placed = lab.send(&id, there, &b"0123456789"[there..]).await;
    let expected = sha256(b"0123456789");
    assert_eq!(placed["data"]["attributes"]["sha256"], expected);
}

#[tokio::test]
async fn order_that_cannot_be_is_refused() {
    let lab = Lab::start_with(|config| config.http.upload_mb = 1).await;
    let url = lab.appliance.api("/monitor/items");
    let form = file("x", b"abc").text("path", "/taken/a");
    answer(lab.client.post(url).multipart(form)).await;
    for (order, status, code) in [
        (json!({}), 400, "BadRequestError"),
        (json!({"size": 1}), 400, "BadRequestError"),
        (json!({"path": "/a"}), 400, "BadRequestError"),
        (json!({"path": "/a", "size": -1}), 400, "BadRequestError"),
        (
            json!({"path": "/a", "size": 1, "x": 1}),
            400,
            "BadRequestError",
        ),
        (
            json!({"path": "a//b", "size": 1}),
            400,
            "InvalidArgumentError",
        ),
        (
            json!({"path": "/a/", "size": 1}),
            400,
            "InvalidArgumentError",
        ),
        (
            json!({"path": "/taken", "size": 1}),
            409,
            "AlreadyExistsError",
        ),
        (
            json!({"path": "/taken/a/b", "size": 1}),
            409,
            "AlreadyExistsError",
        ),
        (
            json!({"path": "/a", "size": 1, "owner": "other"}),
            404,
            "NotFoundError",
        ),
        (
            json!({"path": "/a", "size": (1 << 20) + 1}),
            413,
            "InvalidArgumentError",
        ),
        (
            json!({"size": 1, "purpose": "keep"}),
            400,
            "InvalidArgumentError",
        ),
        (
            json!({"size": 1, "purpose": "scan", "engines": "../etc"}),
            400,
            "InvalidArgumentError",
        ),
        (
            json!({"size": 1, "purpose": "scan", "reuse": "perhaps"}),
            400,
            "InvalidArgumentError",
        ),
    ] {
        let message = refused(lab.order(&order), status, code).await;
        assert!(!message.is_empty(), "{order}");
    }
    lab.assert_nothing_is_left();
}

#[tokio::test]
async fn session_is_there_for_nobody_but_who_opened_it() {
    let lab = Lab::start().await;
    let id = lab.open(json!({"path": "/a", "size": 3})).await;
    let colleague = key_of(&lab.appliance, of_publisher(KeyRole::Publisher, "acme")).await;
    let rival = key_of(&lab.appliance, of_publisher(KeyRole::Publisher, "other")).await;
    for key in [&colleague, &rival, &lab.appliance.admin] {
        let other = client(key);
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            for id in [id.as_str(), "0123456789abcdef0123456789abcdef"] {
                let url = lab.appliance.api(&format!("{SESSIONS}/{id}"));
                let request = other
                    .request(method.clone(), url)
                    .header("upload-offset", 0);
                let message = refused(request.body("abc"), 404, "NotFoundError").await;
                assert!(message.contains(id), "{message}");
            }
        }
        let listed = other.get(lab.appliance.api(SESSIONS));
        assert_eq!(answer(listed).await.1["data"], json!([]));
    }
    let listed = lab.client.get(lab.appliance.api(SESSIONS));
    assert_eq!(answer(listed).await.1["data"][0]["id"], *id);
    // Who comes in with the same key is the same.
    let come_in = lab.client.post(lab.appliance.api("/acquit/session"));
    let (_, session) = answer(come_in).await;
    let key = session["data"]["attributes"]["apikey"].as_str().unwrap();
    let url = lab.appliance.api(&format!("{SESSIONS}/{id}"));
    let part = client(key).patch(url).header("upload-offset", 0).body("a");
    assert_eq!(answer(part).await.0, StatusCode::OK);
    lab.send(&id, 1, b"bc").await;
}

#[tokio::test]
async fn session_of_a_user_goes_on_when_he_signs_in_again() {
    let lab = Lab::start().await;
    let seat = of_publisher(KeyRole::Publisher, "acme");
    let user = User {
        id: "jane".parse().unwrap(),
        name: "Jane".to_owned(),
        email: None,
        password: None,
        seat: seat.clone(),
        created_at: Timestamp::from_millis(1),
        last_login_at: None,
        disabled_at: None,
    };
    let row = user.clone();
    let write = lab
        .appliance
        .store
        .write(move |c| c.put(&USERS, &row.id, &row));
    write.await.unwrap();
    let of_jane = |row: &mut acquit::store::KeyRow| row.user = Some("jane".parse().unwrap());
    let first = client(&key_with(&lab.appliance, seat.clone(), of_jane).await);
    let again = client(&key_with(&lab.appliance, seat, of_jane).await);
    let order = json!({"path": "/a", "size": 3});
    let opened = first.post(lab.appliance.api(SESSIONS)).json(&order);
    let id = answer(opened).await.1["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = lab.appliance.api(&format!("{SESSIONS}/{id}"));
    refused(lab.client.get(&url), 404, "NotFoundError").await;
    let part = again.patch(&url).header("upload-offset", 0).body("abc");
    let (status, placed) = answer(part).await;
    assert_eq!(status, StatusCode::OK, "{placed}");
    assert_eq!(placed["data"]["attributes"]["creator_id"], "jane");
    // Who is moved elsewhere finds nothing of it there.
    let opened = first.post(lab.appliance.api(SESSIONS)).json(&order);
    let id = answer(opened).await.1["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let moved = User {
        seat: of_publisher(KeyRole::Publisher, "other"),
        ..user
    };
    let write = lab
        .appliance
        .store
        .write(move |c| c.put(&USERS, &moved.id, &moved));
    write.await.unwrap();
    let url = lab.appliance.api(&format!("{SESSIONS}/{id}"));
    let part = first.patch(url).header("upload-offset", 0).body("abc");
    refused(part, 404, "NotFoundError").await;
}

#[tokio::test]
async fn quota_is_looked_at_when_it_begins_and_when_it_ends_which_can_be_tried_again() {
    let lab = Lab::start().await;
    lab.quota(Some(100)).await;
    let over = lab.order(&json!({"path": "/a", "size": 101}));
    refused(over, 429, "QuotaExceededError").await;
    let id = lab.open(json!({"path": "/a", "size": 60})).await;
    let other = lab.open(json!({"path": "/b", "size": 50})).await;
    lab.send(&other, 0, &[7; 50]).await;
    let bytes = content(60);
    let response = lab.part(&id, 0, &bytes).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(offset_of(&response), 60);
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "QuotaExceededError");
    assert_eq!(lab.appliance.kept("blobs").len(), 1);
    assert_eq!(lab.appliance.kept("incoming"), [""; 0]);
    lab.quota(None).await;
    let placed = lab.send(&id, 60, b"").await;
    assert_eq!(placed["data"]["attributes"]["sha256"], sha256(&bytes));
    lab.assert_nothing_is_left();
    // The same file once more needs no more room.
    lab.quota(Some(110)).await;
    let same = lab.open(json!({"path": "/a", "size": 60})).await;
    lab.send(&same, 0, &bytes).await;
}

#[tokio::test]
async fn who_did_not_hear_the_answer_hears_it_again() {
    let lab = Lab::start().await;
    let id = lab.open(json!({"path": "/a", "size": 3})).await;
    let placed = lab.send(&id, 0, b"abc").await;
    assert_eq!(lab.offset(&id).await, 3);
    assert_eq!(lab.send(&id, 3, b"").await, placed);
    let part = lab.part(&id, 0, b"abc");
    refused(part, 409, "ConflictError").await;
    let part = lab.part(&id, 3, b"d");
    refused(part, 413, "InvalidArgumentError").await;
    let listed = lab.client.get(lab.appliance.api(SESSIONS));
    assert_eq!(answer(listed).await.1["data"], json!([]));
    let (status, _) = answer(lab.ask(Method::DELETE, &id)).await;
    assert_eq!(status, StatusCode::OK);
    refused(lab.part(&id, 3, b""), 404, "NotFoundError").await;
    let item = lab.item("/a").await;
    assert_eq!(item["data"]["id"], placed["data"]["id"]);
}

#[tokio::test]
async fn of_two_who_send_at_once_one_is_refused_and_the_other_is_not_disturbed() {
    let lab = Lab::start().await;
    let bytes = content(200_000);
    let id = lab.open(json!({"path": "/a", "size": bytes.len()})).await;
    let mut first = lab.begin(&id, 0, (bytes.len(), &bytes[..100_000])).await;
    lab.until(&id, 100_000).await;
    for offset in [0, 100_000] {
        let second = lab.part(&id, offset, &[0; 1000]).send().await.unwrap();
        assert_eq!(second.status(), StatusCode::CONFLICT);
        assert_eq!(offset_of(&second), 100_000);
    }
    first.write_all(&bytes[100_000..]).await.unwrap();
    let started = Instant::now();
    while lab.appliance.kept("blobs").is_empty() {
        assert!(started.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(lab.appliance.kept("blobs"), [sha256(&bytes)]);
    // Many at once with the whole file: one makes the item, nobody makes it twice.
    let id = lab.open(json!({"path": "/b", "size": bytes.len()})).await;
    let parts = (0..8).map(|_| answer(lab.part(&id, 0, &bytes)));
    let answers = futures_util::future::join_all(parts).await;
    let taken = answers
        .iter()
        .filter(|(status, _)| *status == StatusCode::OK);
    assert_eq!(taken.count(), 1, "{answers:?}");
    let conflicts = answers
        .iter()
        .filter(|(status, _)| *status == StatusCode::CONFLICT);
    assert_eq!(conflicts.count(), 7, "{answers:?}");
    let item = lab.item("/b").await;
    assert_eq!(item["data"]["attributes"]["sha256"], sha256(&bytes));
    lab.assert_nothing_is_left();
}

#[tokio::test]
async fn dropped_session_leaves_nothing_also_while_a_part_is_coming_in() {
    let lab = Lab::start().await;
    let id = lab.open(json!({"path": "/a", "size": 1000})).await;
    let mut stream = lab.begin(&id, 0, (1000, &[1; 500])).await;
    lab.until(&id, 500).await;
    assert_eq!(lab.appliance.kept("uploads").len(), 2);
    let (status, _) = answer(lab.ask(Method::DELETE, &id)).await;
    assert_eq!(status, StatusCode::OK);
    lab.assert_nothing_is_left();
    stream.write_all(&[1; 500]).await.unwrap();
    refused(lab.ask(Method::GET, &id), 404, "NotFoundError").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    lab.assert_nothing_is_left();
    assert_eq!(lab.appliance.kept("blobs"), [""; 0]);
}

#[tokio::test]
async fn silent_part_is_given_up_and_what_came_of_it_counts() {
    let lab = Lab::start_with(|config| config.http.body_timeout_seconds = 1).await;
    let id = lab.open(json!({"path": "/a", "size": 1000})).await;
    let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![1; 400]))]);
    let chunks = futures_util::StreamExt::chain(chunks, futures_util::stream::pending());
    let part = lab.ask(Method::PATCH, &id).header("upload-offset", 0);
    let part = part.body(reqwest::Body::wrap_stream(chunks));
    let response = part.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    assert_eq!(offset_of(&response), 400);
    lab.send(&id, 400, &[1; 600]).await;
}

#[tokio::test]
async fn scan_in_parts_is_a_scan_and_an_empty_file_is_a_file() {
    let lab = Lab::start().await;
    let bytes = content(100_000);
    let order = json!({"size": bytes.len(), "purpose": "scan", "name": "a.bin", "engines": "yara"});
    let id = lab.open(order).await;
    let progress = lab.send(&id, 0, &bytes[..1]).await;
    assert_eq!(progress["data"]["type"], "upload_session");
    let opened = lab.send(&id, 1, &bytes[1..]).await;
    assert_eq!(opened["data"]["type"], "analysis");
    let analysis = opened["data"]["id"].as_str().unwrap();
    let url = lab.appliance.api(&format!("/analyses/{analysis}"));
    let (_, analysis) = answer(lab.client.get(url)).await;
    let coverage = &analysis["data"]["attributes"]["coverage"];
    assert_eq!(*coverage, json!({"answered": 0, "enabled": 1}));
    let url = lab.appliance.api(&format!("/files/{}", sha256(&bytes)));
    let (_, seen) = answer(lab.client.get(url)).await;
    assert_eq!(seen["data"]["attributes"]["meaningful_name"], "a.bin");
    // A key of no publisher scans, too.
    let nobody = client(&key_of(&lab.appliance, Seat::of(KeyRole::Publisher)).await);
    let order = json!({"size": 0, "purpose": "scan"});
    let opened = nobody.post(lab.appliance.api(SESSIONS)).json(&order);
    let id = answer(opened).await.1["data"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = lab.appliance.api(&format!("{SESSIONS}/{id}"));
    let (status, body) = answer(nobody.patch(url).header("upload-offset", 0)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(lab.appliance.kept("blobs").contains(&sha256(b"")));
    lab.assert_nothing_is_left();
}

#[tokio::test]
async fn full_disk_is_told_before_anything_comes() {
    let lab = Lab::start_with(|config| config.storage.reserve_mb = 1 << 40).await;
    let order = lab.order(&json!({"path": "/a", "size": 1}));
    let response = order.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(response.headers()["retry-after"], "60");
    lab.assert_nothing_is_left();
}

#[tokio::test]
async fn so_many_are_open_at_a_time_and_no_more() {
    let lab = Lab::start().await;
    let mut ids = Vec::new();
    for n in 0..PER_OWNER {
        ids.push(lab.open(json!({"path": format!("/{n}"), "size": 1})).await);
    }
    let more = json!({"path": "/more", "size": 1});
    refused(lab.order(&more), 429, "QuotaExceededError").await;
    let other = key_of(&lab.appliance, of_publisher(KeyRole::Publisher, "acme")).await;
    let opened = client(&other).post(lab.appliance.api(SESSIONS)).json(&more);
    assert_eq!(answer(opened).await.0, StatusCode::OK);
    lab.send(&ids[3], 0, b"x").await;
    let id = lab.open(more).await;
    answer(lab.ask(Method::DELETE, &id)).await;
    lab.open(json!({"size": 1, "purpose": "scan"})).await;
}

fn draft(owner: &str, size_bytes: u64, millis: u64) -> Draft {
    Draft {
        owner: owner.to_owned(),
        size_bytes,
        target: Target::Scan {
            name: None,
            engines: None,
            reuse: None,
        },
        opened_at: Timestamp::from_millis(millis),
    }
}

/// The present, as the file system has it.
fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(since.as_millis().try_into().unwrap())
}

#[tokio::test]
async fn session_survives_a_restart_and_leftovers_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = content(500_000);
    let size = bytes.len() as u64;
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    let uploads = Uploads::open(&store, 0);
    let session = uploads
        .begin("one".to_owned(), draft("k:a", size, now().millis()))
        .await
        .unwrap();
    let mut part = uploads.append(&session, (0, now())).await.unwrap();
    part.write(Bytes::copy_from_slice(&bytes[..300_000]))
        .await
        .unwrap();
    assert!(part.end().await.unwrap().whole.is_none());
    drop((session, uploads, store));
    let at = dir.path().join("uploads");
    std::fs::write(at.join("orphan"), "bytes without a note").unwrap();
    std::fs::write(at.join("torn.json"), "{\"owner\": \"k:").unwrap();
    std::fs::write(dir.path().join("incoming").join("half"), "x").unwrap();

    let store = Store::open(dir.path(), 1 << 20).unwrap();
    let uploads = Uploads::open(&store, 0);
    let mut left: Vec<_> = std::fs::read_dir(&at)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["one", "one.json"]);
    assert!(uploads.find("one", "k:b", now()).is_none());
    let session = uploads.find("one", "k:a", now()).unwrap();
    assert_eq!(session.offset(), 300_000);
    let mut part = uploads.append(&session, (300_000, now())).await.unwrap();
    part.write(Bytes::copy_from_slice(&bytes[300_000..]))
        .await
        .unwrap();
    let sealed = part.end().await.unwrap().whole.unwrap();
    assert_eq!(sealed.sha256().to_string(), sha256(&bytes));
    assert_eq!(sealed.size_bytes(), size);
    drop((sealed, session, uploads, store));

    // A whole file that was not placed is hashed anew, and can be.
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    let uploads = Uploads::open(&store, 0);
    let session = uploads.find("one", "k:a", now()).unwrap();
    let part = uploads.append(&session, (size, now())).await.unwrap();
    let sealed = part.end().await.unwrap().whole.unwrap();
    assert_eq!(sealed.sha256().to_string(), sha256(&bytes));
    sealed.keep().await.unwrap().pin.settle();
    uploads.remove(&session).await;
    assert_eq!(std::fs::read_dir(&at).unwrap().count(), 0);
    let kept = store.blobs().path(&sha256(&bytes).parse().unwrap());
    assert!(std::fs::read(kept).unwrap() == bytes);
}

#[tokio::test]
async fn session_to_which_nothing_is_added_goes_after_a_day_and_makes_room_after_an_hour() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    let uploads = Uploads::open(&store, 0);
    let began = Timestamp::from_millis(1_700_000_000_000);
    let later = |seconds| began.after(Duration::from_secs(seconds));
    let begin = async |id: &str, at: Timestamp| {
        let draft = draft("k:a", 9, at.millis());
        uploads.begin(id.to_owned(), draft).await
    };
    for n in 0..PER_OWNER as u64 {
        begin(&format!("{n}"), later(n)).await.unwrap();
    }
    assert!(begin("more", later(3599)).await.is_err());
    // Number 0 is not idle: a part of it came just now.
    let zero = uploads.find("0", "k:a", later(3598)).unwrap();
    let part = uploads.append(&zero, (0, later(3598))).await.unwrap();
    part.end().await.unwrap();
    begin("more", later(3601)).await.unwrap();
    let there = |id: &str, at| uploads.find(id, "k:a", at).is_some();
    assert!(there("0", later(3601)) && !there("1", later(3601)) && there("2", later(3601)));
    let end = zero.expires_at();
    assert_eq!(end, later(3598).after(LIFETIME));
    assert!(!there("0", end) && there("more", end));
    uploads.sweep(end).await;
    let left = std::fs::read_dir(dir.path().join("uploads")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["more.json"]);
    assert!(uploads.append(&zero, (0, end)).await.is_err());
}

#[tokio::test]
async fn disk_that_fills_up_stops_a_part_and_the_next_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    let full = Uploads::open(&store, u64::MAX >> 20);
    let bytes = content(100_000);
    let size = bytes.len() as u64;
    let begun = full.begin("one".to_owned(), draft("k:a", size, now().millis()));
    let session = begun.await.unwrap();
    let mut part = full.append(&session, (0, now())).await.unwrap();
    let sent = Bytes::copy_from_slice(&bytes);
    let _ = part.write(sent.clone()).await;
    let error = part.end().await.unwrap_err();
    let acquit::flow::uploads::UploadError::Incoming(IncomingError::DiskFull) = error else {
        panic!("{error}");
    };
    assert_eq!(session.offset(), 0);
    // What was written of a chunk that did not fit counts.
    std::fs::write(dir.path().join("uploads/one"), &bytes[..40_000]).unwrap();
    drop((session, full));
    let uploads = Arc::new(Uploads::open(&store, 0));
    let session = uploads.find("one", "k:a", now()).unwrap();
    let mut part = uploads.append(&session, (40_000, now())).await.unwrap();
    part.write(sent.slice(40_000..)).await.unwrap();
    let sealed = part.end().await.unwrap().whole.unwrap();
    assert_eq!(sealed.sha256().to_string(), sha256(&bytes));
}
