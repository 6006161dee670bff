//! Servers that are asked over HTTP.

use acquit::engine::outside::Files;

use super::lab::{Server, Step, ask, check, outside, outside_with, say, words};

const HEAD: &str = r#"
id = "remote"
name = "Remote"
vendor = "Nobody"
description = "a server that is asked over HTTP"
[limits]
timeout_seconds = 1
output_kb = 4
[outside]
address = "http://ADDRESS"
consent = "The test allows that its own files go to its own server."
sends = "file"
canary = false
"#;

/// Kaspersky Scan Engine with its first interface.
const RAW: &str = r#"
[run]
transport = "http"
[run.http]
path = "/scanmemory"
body = "file"
headers = { X-Test = "1" }
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
[[parse.lines]]
pattern = '^CLEAN$'
means = "undetected"
[[parse.lines]]
pattern = '^DETECT (?<name>.+)$'
means = "malicious"
"#;

fn raw() -> String {
    [HEAD, RAW].concat()
}

fn response(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The first connection only shows that somebody listens.
async fn check_raw(answer: &str, expected: &str) {
    let script = vec![Step::Hear("\r\n\r\n"), Step::Take(10), say(answer)];
    check(&raw(), script, b"some bytes", expected).await;
}

#[tokio::test]
async fn answers_are_read() {
    check_raw(&response("200 OK", "CLEAN\n"), "undetected").await;
    check_raw(
        &response("200 OK", "DETECT EICAR-Test-File\n"),
        "malicious EICAR",
    )
    .await;
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nCLEA\r\n2\r\nN\n\r\n0\r\n\r\n";
    check_raw(chunked, "undetected").await;
    let interim = format!("HTTP/1.1 102 Wait\r\n\r\n{}", response("200 OK", "CLEAN\n"));
    check_raw(&interim, "undetected").await;
    check_raw(&response("500 Oops", "CLEAN\n"), "failure exit code 500").await;
    check_raw(&response("302 Found", "CLEAN\n"), "failure exit code 302").await;
    check_raw(&response("403 No", "DETECT X\n"), "malicious X").await;
}

#[tokio::test]
async fn whatever_is_no_whole_answer_is_a_failure() {
    let whole = response("200 OK", "CLEAN\n");
    for cut in 0..whole.len() {
        check_raw(&whole[..cut], "failure").await;
    }
    check_raw(
        "HTTP/1.0 200 OK\r\n\r\nCLEAN\n",
        "failure the answer does not say how long",
    )
    .await;
    check_raw(
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nCLEAN\n",
        "failure",
    )
    .await;
    let twice = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nContent-Length: 7\r\n\r\nCLEAN\n";
    check_raw(twice, "failure").await;
    let packed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nCLEAN\n";
    check_raw(packed, "failure").await;
    check_raw(
        &response("200 OK", &"CLEAN\n".repeat(2000)),
        "failure answered more",
    )
    .await;
    check_raw(&response("200 OK", "all is well\n"), "failure").await;
    check_raw("ICAP/1.0 204 No\r\n\r\n", "failure no status line").await;
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let script = vec![Step::Hear("\r\n\r\n"), Step::Hang];
    check(&raw(), script, b"some bytes", "timeout").await;
}

#[tokio::test]
async fn file_goes_as_it_is_with_its_length() {
    let script = vec![
        Step::Hear("\r\n\r\n"),
        Step::Take(10),
        say(&response("200 OK", "CLEAN\n")),
    ];
    let server = Server::tcp(script).await;
    ask(&outside(&raw(), &server.address), b"some bytes")
        .await
        .unwrap();
    let heard = server.all();
    assert!(
        heard.starts_with("POST /scanmemory HTTP/1.1\r\nHost: 127.0.0.1:"),
        "{heard}"
    );
    assert!(heard.contains("X-Test: 1\r\n") && heard.contains("Content-Length: 10\r\n"));
    assert!(heard.ends_with("\r\n\r\nsome bytes"), "{heard}");
}

/// Kaspersky Scan Engine with its third interface.
const JSON: &str = r#"
[run]
transport = "http"
[run.http]
path = "/api/v3.0/scanmemory"
body = "json"
json = '{"timeout": "10000", "object": "{base64}"}'
[version]
ask = "/api/v3.0/version"
pattern = '"KAVSDKVersion"\s*:\s*"(?<engine>[^"]+)"'
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
[[parse.records]]
format = "json"
verdict = "scanResult"
name = "detectionName"
verdicts = { CLEAN = "undetected", DETECT = "malicious", NON_SCANNED = "type-unsupported" }
"#;

#[tokio::test]
async fn file_goes_as_base64_in_a_template() {
    let version = vec![
        Step::Hear("\r\n\r\n"),
        say(&response("200 OK", r#"{"KAVSDKVersion": "8.9.1"}"#)),
    ];
    let object = r#""object": "c29tZSBieXRlcw=="}"#;
    let scan = vec![
        Step::Hear(object),
        say(&response(
            "200 OK",
            r#"{"scanResult":"DETECT","detectionName":"EICAR-Test-File"}"#,
        )),
    ];
    let server = Server::tcp_scripts(vec![version, scan]).await;
    let outside = outside(&[HEAD, JSON].concat(), &server.address);
    let said = words(&ask(&outside, b"some bytes").await);
    assert_eq!(said, "malicious EICAR-Test-File");
    let heard = server.all();
    assert!(
        heard.starts_with("GET /api/v3.0/version HTTP/1.1\r\n"),
        "{heard}"
    );
    let body = r#"{"timeout": "10000", "object": "c29tZSBieXRlcw=="}"#;
    assert!(
        heard.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{heard}"
    );
    assert!(heard.ends_with(body), "{heard}");
}

/// MetaDefender: handed in, then asked until it is done.
const POLL: &str = r#"
[run]
transport = "http"
[run.http]
path = "/file"
body = "file"
headers = { apikey = "{key}" }
[run.http.poll]
id = "data_id"
path = "/file/{id}"
done = { path = "scan_results.progress_percentage", value = "100" }
interval_seconds = 0.05
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
[[parse.records]]
format = "json"
verdict = "scan_results.scan_all_result_i"
verdicts = { 0 = "undetected", 1 = "malicious", 2 = "suspicious" }
"#;

fn key(dir: &tempfile::TempDir) -> Files {
    let path = dir.path().join("key");
    std::fs::write(&path, "s3cret\n").unwrap();
    Files {
        key: Some(path),
        ..Files::default()
    }
}

fn result(percent: u32, result: u32) -> Vec<Step> {
    let body = format!(
        r#"{{"scan_results":{{"progress_percentage":{percent},"scan_all_result_i":{result}}}}}"#
    );
    vec![Step::Hear("\r\n\r\n"), say(&response("200 OK", &body))]
}

fn handed_in(body: &str) -> Vec<Step> {
    vec![
        Step::Hear("\r\n\r\n"),
        Step::Take(10),
        say(&response("200 OK", body)),
    ]
}

async fn poll(scripts: Vec<Vec<Step>>) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    // The first connection only shows that somebody listens.
    let scripts = [vec![vec![]], scripts].concat();
    let server = Server::tcp_scripts(scripts).await;
    let outside = outside_with(&[HEAD, POLL].concat(), &server.address, key(&dir));
    (words(&ask(&outside, b"some bytes").await), server.all())
}

#[tokio::test]
async fn work_is_waited_for() {
    let id = r#"{"data_id":"abc-1"}"#;
    let (said, heard) = poll(vec![handed_in(id), result(10, 255), result(100, 1)]).await;
    assert!(said.starts_with("malicious"), "{said}");
    assert_eq!(
        heard.matches("GET /file/abc-1 HTTP/1.1\r\n").count(),
        2,
        "{heard}"
    );
    assert_eq!(heard.matches("apikey: s3cret\r\n").count(), 3, "{heard}");
    let (said, _) = poll(vec![handed_in(id), result(100, 0)]).await;
    assert_eq!(said, "undetected");
    let (said, _) = poll(vec![handed_in(id), result(10, 0)]).await;
    assert_eq!(said, "timeout");
    let (said, _) = poll(vec![handed_in(r#"{"data_id":"../x"}"#)]).await;
    assert!(said.starts_with("failure the id makes no sense"), "{said}");
    let (said, _) = poll(vec![handed_in("{}")]).await;
    assert!(
        said.starts_with("failure the answer has no data_id"),
        "{said}"
    );
    let gone = vec![Step::Hear("\r\n\r\n"), say(&response("404 Gone", "{}"))];
    let (said, _) = poll(vec![handed_in(id), gone]).await;
    assert!(said.starts_with("failure exit code 404"), "{said}");
}

#[tokio::test]
async fn without_the_operator_s_key_nothing_is_asked() {
    let server = Server::tcp(vec![]).await;
    let outside = outside(&[HEAD, POLL].concat(), &server.address);
    let said = words(&ask(&outside, b"secret").await);
    assert!(said.contains("engines.keys.remote"), "{said}");
    assert_eq!(server.all(), "");
}

#[tokio::test]
async fn who_cannot_prove_who_it_is_is_told_nothing() {
    let text = raw().replace("http://ADDRESS", "https://ADDRESS");
    let server = Server::tcp(vec![Step::Take(1), say(&response("200 OK", "CLEAN\n"))]).await;
    let said = words(&ask(&outside(&text, &server.address), b"secret").await);
    assert!(said.starts_with("closed: https://127.0.0.1:"), "{said}");
    assert!(!server.all().contains("secret") && !server.all().contains("POST"));
}

/// A list of hashes.
const HASH: &str = r#"
[run]
transport = "http"
[run.http]
method = "GET"
path = "/lookup/sha256/{sha256}"
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
[[parse.records]]
format = "json"
verdict = "verdict"
verdicts = { good = "undetected", bad = "malicious" }
"#;

#[tokio::test]
async fn where_the_hash_goes_the_file_does_not() {
    let text = [HEAD, HASH]
        .concat()
        .replace("sends = \"file\"", "sends = \"hash\"");
    let script = vec![
        Step::Hear("\r\n\r\n"),
        say(&response("200 OK", r#"{"verdict":"good"}"#)),
    ];
    let server = Server::tcp(script).await;
    let said = words(&ask(&outside(&text, &server.address), b"secret words").await);
    assert_eq!(said, "undetected");
    let heard = server.all();
    assert!(heard.contains("GET /lookup/sha256/"), "{heard}");
    assert!(
        !heard.contains("secret") && !heard.contains("Content-Length"),
        "{heard}"
    );
}
