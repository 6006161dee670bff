//! Uploads: forms of every kind, names with tricks, races, limits.

use acquit::model::{KeyId, Timestamp};
use acquit::store::{TICKETS, TicketRow};
use bytes::Bytes;
use futures_util::stream;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, StatusCode};
use serde_json::json;
use sha2::Digest;

use super::appliance::{Appliance, answer, client, file, refused};

fn sha256(bytes: &[u8]) -> String {
    hex::encode(sha2::Sha256::digest(bytes))
}

#[tokio::test]
async fn empty_file_is_a_file() {
    let appliance = Appliance::start().await;
    appliance.upload("empty", b"").await;
    let file = appliance.json(&format!("/files/{}", sha256(b""))).await;
    assert_eq!(file["data"]["attributes"]["size"], 0);
    let path = format!("/files/{}/download", sha256(b""));
    let bytes = appliance.get(&path).send().await.unwrap();
    assert_eq!(bytes.status(), StatusCode::OK);
    assert_eq!(bytes.bytes().await.unwrap().len(), 0);
}

#[tokio::test]
async fn fields_count_before_and_after_the_file() {
    let appliance = Appliance::start().await;
    let part = || Part::bytes(b"abc".to_vec()).file_name("a.bin");
    let before = Form::new().text("engines", "yara").part("file", part());
    let after = Form::new().part("file", part()).text("engines", " yara, ");
    for form in [before, after] {
        let (status, body) = answer(appliance.post("/files").multipart(form)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let id = body["data"]["id"].as_str().unwrap();
        let analysis = appliance.json(&format!("/analyses/{id}")).await;
        let coverage = &analysis["data"]["attributes"]["coverage"];
        assert_eq!(*coverage, json!({"answered": 0, "enabled": 1}));
    }
}

#[tokio::test]
async fn form_that_is_not_as_it_should_be_is_refused_and_leaves_nothing() {
    let appliance = Appliance::start().await;
    let abc = || file("a.bin", b"abc");
    let cases = [
        (Form::new().text("path", "/x"), "BadRequestError"),
        (abc().part("file", Part::bytes(vec![1])), "BadRequestError"),
        (abc().text("password", "infected"), "InvalidArgumentError"),
        (abc().text("engines", "nobody"), "InvalidArgumentError"),
        (abc().text("engines", "../etc"), "InvalidArgumentError"),
        (abc().text("reuse", "perhaps"), "InvalidArgumentError"),
        (abc().text("other", "x".repeat(5000)), "BadRequestError"),
        (
            (0..20).fold(abc(), |f, n| f.text(format!("f{n}"), "")),
            "BadRequestError",
        ),
    ];
    for (form, code) in cases {
        refused(appliance.post("/files").multipart(form), 400, code).await;
    }
    let plain = appliance.post("/files").body("abc");
    refused(plain, 400, "BadRequestError").await;
    let boundless = appliance
        .post("/files")
        .header("content-type", "multipart/form-data")
        .body("abc");
    refused(boundless, 400, "BadRequestError").await;
    assert_eq!(appliance.kept("incoming"), [""; 0]);
    assert_eq!(appliance.kept("blobs"), [""; 0]);
}

#[tokio::test]
async fn header_of_a_part_without_end_is_refused_in_bounded_memory() {
    let appliance = Appliance::start_with(|config| config.http.direct_upload_mb = 64).await;
    let start = "--B\r\nContent-Disposition: form-data; name=\"";
    let chunks = std::iter::once(Bytes::from(start))
        .chain((0..512).map(|_| Bytes::from(vec![b'a'; 64 << 10])));
    let chunks = stream::iter(chunks.map(Ok::<_, std::io::Error>));
    let request = appliance
        .post("/files")
        .header("content-type", "multipart/form-data; boundary=B")
        .body(Body::wrap_stream(chunks));
    let message = refused(request, 400, "BadRequestError").await;
    assert!(message.contains("no end"), "{message}");
}

#[tokio::test]
async fn upload_url_takes_one_large_file_and_no_second() {
    let appliance = Appliance::start_with(|config| config.http.direct_upload_mb = 1).await;
    let bytes = vec![7; 3 << 20];
    let direct = appliance.post("/files").multipart(file("a.bin", &bytes));
    refused(direct, 413, "InvalidArgumentError").await;
    let url = appliance.json("/files/upload_url").await;
    let url = url["data"].as_str().unwrap();
    assert!(url.starts_with(&appliance.url), "{url}");
    let bare = reqwest::Client::builder().no_proxy().build().unwrap();
    let upload = || bare.post(url).multipart(file("a.bin", &bytes));
    let (status, body) = answer(upload()).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(appliance.kept("blobs"), [sha256(&bytes)]);
    refused(upload(), 404, "NotFoundError").await;
    let get = bare.get(url);
    refused(get, 405, "BadRequestError").await;
}

#[tokio::test]
async fn upload_url_that_expired_or_whose_key_is_unknown_is_refused() {
    let appliance = Appliance::start().await;
    let key: acquit::model::ApiKey = appliance.publisher.parse().unwrap();
    let past = Timestamp::from_millis(1);
    let future = Timestamp::from_millis(u64::MAX);
    for (secret, key, expires_at) in [
        ("expired", key.id(), past),
        ("unknown", KeyId("00000000".to_owned()), future),
    ] {
        let digest = acquit::model::Sha256::new(sha2::Sha256::digest(secret).into());
        let ticket = TicketRow::Upload { key, expires_at };
        let put = appliance
            .store
            .write(move |change| change.put(&TICKETS, &digest, &ticket));
        put.await.unwrap();
        let request = appliance.post(&format!("/acquit/uploads/{secret}"));
        refused(request.multipart(file("a", b"a")), 404, "NotFoundError").await;
    }
}

#[tokio::test]
async fn file_over_the_limit_leaves_nothing_whether_its_length_is_announced_or_not() {
    let appliance = Appliance::start_with(|config| config.http.direct_upload_mb = 1).await;
    let chunks = (0..40).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![1; 64 << 10])));
    let unannounced = Part::stream(Body::wrap_stream(stream::iter(chunks))).file_name("a");
    let form = Form::new().part("file", unannounced);
    refused(
        appliance.post("/files").multipart(form),
        413,
        "InvalidArgumentError",
    )
    .await;
    let just_over = vec![1; (1 << 20) + 1];
    let request = appliance.post("/files").multipart(file("a", &just_over));
    refused(request, 413, "InvalidArgumentError").await;
    appliance.upload("a", &just_over[1..]).await;
    assert_eq!(appliance.kept("blobs").len(), 1);
    assert_eq!(appliance.kept("incoming"), [""; 0]);
}

#[tokio::test]
async fn full_disk_is_told_and_nothing_is_taken() {
    let appliance = Appliance::start_with(|config| config.storage.reserve_mb = 1 << 40).await;
    let request = appliance.post("/files").multipart(file("a", b"a"));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(response.headers()["retry-after"], "60");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "TransientError");
    assert_eq!(appliance.kept("blobs"), [""; 0]);
}

#[tokio::test]
async fn racing_uploads_of_one_file_make_one_blob_and_all_succeed() {
    let appliance = Appliance::start().await;
    let bytes = vec![9; 1 << 20];
    let uploads = (0..32).map(|n| {
        let form = file(&format!("name-{n}"), &bytes);
        answer(appliance.post("/files").multipart(form))
    });
    let mut ids = Vec::new();
    for (status, body) in futures_util::future::join_all(uploads).await {
        assert_eq!(status, StatusCode::OK, "{body}");
        ids.push(body["data"]["id"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 32, "each upload has its own analysis");
    assert_eq!(appliance.kept("blobs"), [sha256(&bytes)]);
    assert_eq!(appliance.kept("incoming"), [""; 0]);
    let file = appliance.json(&format!("/files/{}", sha256(&bytes))).await;
    let attributes = &file["data"]["attributes"];
    assert_eq!(attributes["times_submitted"], 32);
    assert_eq!(attributes["names"].as_array().unwrap().len(), 32);
}

/// Names that would be trouble if they were ever more than text, and what is shown of them.
const NAMES: [(&str, &str); 22] = [
    ("../../etc/passwd", "passwd"),
    ("/etc/cron.d/x", "x"),
    ("C:\\Windows\\System32\\a.exe", "a.exe"),
    ("\\\\server\\share\\b.exe", "b.exe"),
    ("..", ".."),
    (".", "."),
    ("....//....//x", "x"),
    ("%2e%2e%2fetc%2fpasswd", "%2e%2e%2fetc%2fpasswd"),
    ("a%00b", "a%00b"),
    ("-rf", "-rf"),
    ("--output=x", "--output=x"),
    ("$(reboot)", "$(reboot)"),
    ("`id`", "`id`"),
    ("a; rm -rf .", "a; rm -rf ."),
    ("<script>alert(1)</script>", "script>"),
    (
        "\"><img src=x onerror=alert(1)>",
        "\"><img src=x onerror=alert(1)>",
    ),
    ("=cmd|' !A0", "=cmd|' !A0"),
    ("{{7*7}}", "{{7*7}}"),
    ("NUL", "NUL"),
    ("a\u{202e}exe.txt", "a\u{202e}exe.txt"),
    ("日本語 emoji 🦀.bin", "日本語 emoji 🦀.bin"),
    ("trailing. ", "trailing. "),
];

#[tokio::test]
async fn names_are_text_and_never_paths() {
    let appliance = Appliance::start().await;
    let mut hashes = Vec::new();
    for (n, (name, shown)) in NAMES.iter().enumerate() {
        let bytes = format!("file {n}");
        appliance.upload(name, bytes.as_bytes()).await;
        let hash = sha256(bytes.as_bytes());
        let file = appliance.json(&format!("/files/{hash}")).await;
        assert_eq!(file["data"]["attributes"]["meaningful_name"], *shown);
        let path = format!("/files/{hash}/download");
        let download = appliance.get(&path).send().await.unwrap();
        let disposition = download.headers()["content-disposition"].to_str().unwrap();
        assert_eq!(disposition, format!("attachment; filename=\"{hash}\""));
        hashes.push(hash);
    }
    for length in [255, 256, 4096] {
        let bytes = format!("long {length}");
        appliance
            .upload(&"ä".repeat(length), bytes.as_bytes())
            .await;
        let hash = sha256(bytes.as_bytes());
        let file = appliance.json(&format!("/files/{hash}")).await;
        let name = file["data"]["attributes"]["meaningful_name"]
            .as_str()
            .unwrap();
        assert_eq!(name.chars().count(), 255);
        hashes.push(hash);
    }
    hashes.sort();
    assert_eq!(appliance.kept("blobs"), hashes);
    assert_eq!(appliance.kept("incoming"), [""; 0]);
}

#[tokio::test]
async fn upload_is_held_back_to_what_the_disk_takes_so_memory_is_constant() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 256;
    let appliance = Appliance::start().await;
    let url = appliance.json("/files/upload_url").await;
    let (sender, receiver) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(1);
    let body = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let part = Part::stream(Body::wrap_stream(body)).file_name("large");
    let form = Form::new().part("file", part);
    let request = client(&appliance.publisher).post(url["data"].as_str().unwrap());
    let uploading = answer(request.multipart(form));
    let (mut sent, mut most) = (0, 0);
    let feeding = async {
        let chunk = Bytes::from(vec![0; CHUNK]);
        for _ in 0..CHUNKS {
            sender.send(Ok(chunk.clone())).await.unwrap();
            sent += CHUNK;
            most = most.max(sent.saturating_sub(written(&appliance)));
        }
        drop(sender);
    };
    let ((status, body), ()) = tokio::join!(uploading, feeding);
    assert_eq!(status, StatusCode::OK, "{body}");
    assert!(most < 24 << 20, "{} MB were under way at once", most >> 20);
    let kept = appliance.kept("blobs");
    let file = appliance.json(&format!("/files/{}", kept[0])).await;
    assert_eq!(file["data"]["attributes"]["size"], CHUNK * CHUNKS);
}

/// Bytes of the one file that is coming in.
fn written(appliance: &Appliance) -> usize {
    let dir = std::fs::read_dir(appliance.dir.path().join("incoming")).unwrap();
    let sizes = dir.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
    usize::try_from(sizes.sum::<u64>()).unwrap()
}
