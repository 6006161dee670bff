//! ICAP against a server that says what real products say, and what none should.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::lab::{ask, outside, words};

pub const MANIFEST: &str = r#"
id = "remote"
name = "Remote"
vendor = "Nobody"
description = "a service that speaks ICAP"
[run]
transport = "icap"
[limits]
timeout_seconds = 2
output_kb = 64
[outside]
address = "icap://ADDRESS/avscan"
consent = "The test allows that its own files go to its own server."
sends = "file"
canary = false
[parse]
exit = { complete = [0] }
proof = { rule = "per-file" }
unknown = "ignored"
[[parse.lines]]
pattern = '^X-Infection-Found: Type=0; Resolution=\d+; Threat=(?<name>[^;]*);?$'
means = "malicious"
[[parse.lines]]
pattern = '^X-Infection-Found: Type=2; Resolution=\d+; Threat=(?<reason>[^;]*);?$'
means = "type-unsupported"
[[parse.lines]]
pattern = '^ICAP/1\.0 204 .*$'
means = "undetected"
[[parse.lines]]
pattern = '^ICAP/1\.0 (?<reason>[45]\d\d .*)$'
means = "failure"
"#;

const OPTIONS: &str = "ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nService: Fake 1.0\r\nISTag: \"tag-7\"\r\nPreview: 1024\r\nAllow: 204\r\nMax-Connections: 3\r\nOptions-TTL: 60\r\nEncapsulated: null-body=0\r\n\r\n";
pub const FOUND: &str = "ICAP/1.0 200 OK\r\nISTag: \"tag-7\"\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Troj/DocDl-OYC;\r\nEncapsulated: res-hdr=0, res-body=44\r\n\r\nHTTP/1.1 403 Forbidden\r\nX-Blocked: Virus\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const CLEAN: &str = "ICAP/1.0 204 No Modifications Needed\r\nISTag: \"tag-7\"\r\n\r\n";

/// What the fake does with one file.
#[derive(Clone, Debug)]
pub struct Play {
    /// What it says of itself.
    pub options: String,
    /// What it says of the file.
    pub answer: String,
    /// Whether it wants what follows the preview.
    pub curious: bool,
    /// Whether it says nothing at all.
    pub silent: bool,
    /// Whether it answers before it has heard the body.
    pub hasty: bool,
}

impl Default for Play {
    fn default() -> Self {
        Self {
            options: OPTIONS.to_owned(),
            answer: CLEAN.to_owned(),
            curious: true,
            silent: false,
            hasty: false,
        }
    }
}

impl Play {
    pub fn answering(answer: &str) -> Self {
        Self {
            answer: answer.to_owned(),
            ..Self::default()
        }
    }
}

/// One request as the fake understood it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub head: String,
    pub http: String,
    pub body: Vec<u8>,
}

/// A fake of an ICAP server.
pub struct Fake {
    pub address: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Fake {
    pub async fn start(play: Play) -> Self {
        Self::start_with(play, || ()).await
    }

    /// Starts one that calls `first` when the first byte of a file's request has come.
    pub async fn start_with(play: Play, first: impl Fn() + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (mut tasks, log) = (JoinSet::new(), Arc::clone(&seen));
        tasks.spawn(async move {
            let mut players = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                players.spawn(serve(stream, play.clone(), Arc::clone(&log), first.clone()));
            }
        });
        Self {
            address,
            seen,
            _tasks: tasks,
        }
    }
}

async fn serve(stream: TcpStream, play: Play, log: Arc<Mutex<Vec<Seen>>>, first: impl Fn()) {
    let mut stream = BufReader::new(stream);
    if stream.fill_buf().await.unwrap().is_empty() {
        return;
    }
    let is_file = stream.buffer().starts_with(b"R");
    if is_file {
        first();
    }
    let head = blank_line(&mut stream).await;
    if !is_file {
        stream.write_all(play.options.as_bytes()).await.unwrap();
        return;
    }
    if play.silent {
        std::future::pending::<()>().await;
    }
    let mut seen = Seen {
        head,
        ..Seen::default()
    };
    seen.http = blank_line(&mut stream).await + &blank_line(&mut stream).await;
    if !play.hasty {
        let whole = chunks(&mut stream, &mut seen.body).await;
        if seen.head.contains("Preview:") && !whole && play.curious {
            let more = b"ICAP/1.0 100 Continue\r\n\r\n";
            stream.write_all(more).await.unwrap();
            chunks(&mut stream, &mut seen.body).await;
        }
    }
    log.lock().unwrap().push(seen);
    stream.write_all(play.answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let _ = stream.shutdown().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

async fn blank_line(stream: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        if stream.read_line(&mut text).await.unwrap() == 0 {
            break;
        }
    }
    text
}

/// Reads chunks to their end; true if that was the end of the file too.
async fn chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> bool {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap() == 0 {
            return true;
        }
        let digits = line.trim().split(';').next().unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap();
        let mut bytes = vec![0; length + 2];
        stream.read_exact(&mut bytes).await.unwrap();
        assert!(bytes.ends_with(b"\r\n"));
        if length == 0 {
            return line.contains("ieof");
        }
        body.extend_from_slice(&bytes[..length]);
    }
}

async fn check(play: Play, expected: &str) {
    let fake = Fake::start(play).await;
    let said = words(&ask(&outside(MANIFEST, &fake.address), b"a small file").await);
    assert!(said.starts_with(expected), "{said:?} for {expected:?}");
}

#[tokio::test]
async fn answers_of_real_products_are_read() {
    check(Play::default(), "undetected").await;
    check(Play::answering(FOUND), "malicious Troj/DocDl-OYC").await;
    let encrypted = "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=2; Resolution=2; Threat=Encrypted container violation;\r\nEncapsulated: null-body=0\r\n\r\n";
    check(Play::answering(encrypted), "type-unsupported Encrypted").await;
    for (status, reason) in [
        ("539 Aborted - No AV scanning license", "539 Aborted"),
        ("500 Server error", "500 Server"),
        ("404 Service not found", "404 Service"),
        ("400 Bad request", "400 Bad"),
    ] {
        let answer = format!("ICAP/1.0 {status}\r\n\r\n");
        check(
            Play::answering(&answer),
            &format!("failure the engine says \"{reason}"),
        )
        .await;
    }
}

#[tokio::test]
async fn answer_that_says_nothing_of_a_virus_is_no_clean_file() {
    let passed = "ICAP/1.0 200 OK\r\nX-Response-Info: passed\r\nEncapsulated: null-body=0\r\n\r\n";
    check(Play::answering(passed), "failure").await;
}

#[tokio::test]
async fn every_truncation_of_every_answer_is_a_failure() {
    for whole in [CLEAN, FOUND] {
        for cut in 0..whole.len() {
            check(Play::answering(&whole[..cut]), "failure").await;
        }
    }
}

#[tokio::test]
async fn what_is_no_icap_is_a_failure() {
    let long = format!("ICAP/1.0 204 OK\r\nX: {}\r\n\r\n", "y".repeat(70_000));
    let endless = format!("ICAP/1.0 204 OK\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    for garbage in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "\0\0\0\0",
        "hello\n\n",
        "ICAP/1.0 204\0\r\n\r\n",
        "ICAP/1.0 200 OK\r\n\r\n",
        "ICAP/1.0 100 Continue\r\n\r\nICAP/1.0 204 No\r\n\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, null-body=4\r\n\r\nabcd",
        "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\nzz\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\n\r\nffffffffffffffff\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: res-body=0\r\nEncapsulated: null-body=0\r\n\r\n0\r\n\r\n",
        &long,
        &endless,
    ] {
        check(Play::answering(garbage), "failure").await;
    }
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let silent = Play {
        silent: true,
        ..Play::default()
    };
    check(silent, "timeout").await;
}

#[tokio::test]
async fn service_that_cannot_do_what_is_needed_is_not_shown_a_file() {
    for options in [
        "ICAP/1.0 404 Service not found\r\n\r\n",
        "ICAP/1.0 200 OK\r\nMethods: REQMOD\r\nEncapsulated: null-body=0\r\n\r\n",
        "ICAP/1.0 200 OK\r\nPreview: lots\r\n\r\n",
        "nonsense\r\n\r\n",
        "",
    ] {
        let fake = Fake::start(Play {
            options: options.to_owned(),
            ..Play::default()
        });
        let fake = fake.await;
        let said = words(&ask(&outside(MANIFEST, &fake.address), b"secret").await);
        assert!(said.starts_with("closed: "), "{said}");
        assert!(fake.seen.lock().unwrap().is_empty());
    }
}

/// Asks about a file of so many bytes and returns what the server had seen of it.
async fn shown(play: Play, size: usize) -> (Seen, Vec<u8>) {
    let bytes: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
    let fake = Fake::start(play).await;
    let said = words(&ask(&outside(MANIFEST, &fake.address), &bytes).await);
    assert_eq!(said, "undetected", "{size}");
    let seen = fake.seen.lock().unwrap()[0].clone();
    (seen, bytes)
}

#[tokio::test]
async fn file_arrives_as_it_is_with_and_without_a_preview() {
    for options in [OPTIONS.to_owned(), OPTIONS.replace("Preview: 1024\r\n", "")] {
        for size in [0, 1, 1023, 1024, 1025, 65_536, 300_000] {
            let play = Play {
                options: options.clone(),
                ..Play::default()
            };
            let (seen, bytes) = shown(play, size).await;
            assert!(seen.body == bytes, "{size} of {options}");
            assert!(seen.http.contains(&format!("Content-Length: {size}\r\n")));
            assert!(seen.head.starts_with("RESPMOD icap://127.0.0.1:"));
            assert!(seen.head.contains("/avscan ICAP/1.0\r\n"));
            assert!(seen.head.contains("Allow: 204\r\n"));
        }
    }
}

#[tokio::test]
async fn service_that_knows_enough_from_the_preview_sees_no_more() {
    let play = Play {
        curious: false,
        ..Play::default()
    };
    let (seen, bytes) = shown(play, 50_000).await;
    assert_eq!(seen.body, bytes[..1024]);
}

#[tokio::test]
async fn who_answers_before_it_has_the_file_can_detect_and_not_acquit() {
    let options = OPTIONS.replace("Preview: 1024\r\n", "");
    for (answer, expected) in [(CLEAN, "failure exit code 1"), (FOUND, "malicious")] {
        let fake = Fake::start(Play {
            options: options.clone(),
            answer: answer.to_owned(),
            hasty: true,
            ..Play::default()
        });
        let fake = fake.await;
        let large = vec![0; 32 << 20];
        let said = words(&ask(&outside(MANIFEST, &fake.address), &large).await);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[tokio::test]
async fn service_says_what_it_scans_with() {
    let fake = Fake::start(Play::default()).await;
    let outside = outside(MANIFEST, &fake.address);
    let versions = outside.versions().await.unwrap();
    assert_eq!(versions.engine.as_deref(), Some("Fake 1.0"));
    assert_eq!(versions.signatures.as_deref(), Some("tag-7"));
    assert_eq!(versions.image, format!("icap://{}/avscan", fake.address));
}

#[tokio::test]
async fn no_more_connections_are_made_than_the_service_wishes() {
    let options = OPTIONS.replace("Max-Connections: 3", "Max-Connections: 1");
    let fake = Fake::start(Play {
        options,
        ..Play::default()
    });
    let fake = fake.await;
    let text = MANIFEST.replace("[limits]", "slots = 4\n[limits]");
    let outside = outside(&text, &fake.address);
    outside.versions().await.unwrap();
    let door = outside.open().await.unwrap();
    let soon = Duration::from_millis(200);
    assert!(timeout(soon, outside.open()).await.is_err());
    drop(door);
    assert!(timeout(soon, outside.open()).await.is_ok());
}

#[tokio::test]
async fn nobody_there_is_told_and_is_no_answer() {
    let said = words(&ask(&outside(MANIFEST, "127.0.0.1:9"), b"x").await);
    assert!(
        said.starts_with("closed: icap://127.0.0.1:9/avscan does not answer"),
        "{said}"
    );
}
