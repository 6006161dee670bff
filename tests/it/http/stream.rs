//! What is going on, as it is told: to whom, what of it, and until when.

use std::collections::VecDeque;
use std::time::Duration;

use acquit::flow::events::{Draft, raise};
use acquit::model::{
    About, ApiKey, Dispute, EngineState, EventKind, Incident, KeyRole, Seat, Timestamp, Verdict,
};
use acquit::store::{DISPUTES, INCIDENTS};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::appliance::{Appliance, client, file, malicious, refused};
use crate::people::{detected, done, ledger};
use crate::roles::{key_of, of_publisher, of_vendor, parties};

const SOON: Duration = Duration::from_secs(10);
/// Longer than anything that is to be told takes.
const QUIET: Duration = Duration::from_millis(2500);

/// One who listens.
struct Listener {
    response: Response,
    text: String,
    events: VecDeque<(String, Value)>,
}

impl Listener {
    async fn open(appliance: &Appliance, key: &str) -> Self {
        let request = client(key).get(appliance.api("/acquit/stream"));
        let response = request.header("accept-encoding", "gzip");
        let mut response = response.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(!headers.contains_key("content-encoding"));
        let first = timeout(SOON, response.chunk()).await.unwrap();
        assert_eq!(first.unwrap().unwrap(), "retry: 2000\n: listening\n\n");
        Self {
            response,
            text: String::new(),
            events: VecDeque::new(),
        }
    }

    /// Reads on; tells whether there is more to come.
    async fn read(&mut self) -> bool {
        let Ok(Some(bytes)) = self.response.chunk().await else {
            return false;
        };
        self.text += std::str::from_utf8(&bytes).unwrap();
        let mut rest = self.text.as_str();
        while let Some((block, after)) = rest.split_once("\n\n") {
            self.events.extend(event(block));
            rest = after;
        }
        self.text = rest.to_owned();
        true
    }

    /// Returns the next event, which must come.
    async fn next(&mut self) -> (String, Value) {
        let reading = async {
            while self.events.is_empty() {
                assert!(self.read().await, "the stream has ended");
            }
        };
        timeout(SOON, reading).await.expect("something is told");
        self.events.pop_front().unwrap()
    }

    /// Returns what the next event of a kind says.
    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let (seen, data) = self.next().await;
            if seen == kind {
                return data;
            }
        }
    }

    /// Checks that nothing is told for a while.
    async fn hears_nothing(&mut self) {
        let until = Instant::now() + QUIET;
        while let Ok(more) = tokio::time::timeout_at(until, self.read()).await {
            assert!(more, "the stream has ended");
        }
        assert_eq!(self.events, []);
    }

    /// Checks that the stream ends, and soon.
    async fn ends(&mut self) {
        let reading = async { while self.read().await {} };
        timeout(SOON, reading).await.expect("the stream ends");
    }
}

/// Reads an event; nothing if it is a comment only.
fn event(block: &str) -> Option<(String, Value)> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let kind = field("event: ")?.to_owned();
    assert!(field("id: ").is_some(), "{block}");
    let data = field("data: ").unwrap();
    Some((kind, serde_json::from_str(data).unwrap()))
}

async fn upload(appliance: &Appliance, client: &Client, bytes: &[u8]) -> String {
    let sent = client.post(appliance.api("/files"));
    let sent = done(sent.multipart(file("a.exe", bytes))).await;
    sent["data"]["id"].as_str().unwrap().to_owned()
}

/// Writes down that something happened.
async fn happens(appliance: &Appliance, kind: EventKind, engine: &str, about: About) -> u64 {
    let draft = Draft {
        engine: Some(engine.parse().unwrap()),
        ..Draft::about(now(), kind, about, "what happened".to_owned())
    };
    let event = appliance.store.write(move |change| raise(change, draft));
    event.await.unwrap().number
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(since.unwrap().as_millis().try_into().unwrap())
}

fn of(publisher: &str) -> About {
    About {
        publisher: Some(publisher.parse().unwrap()),
        sha256: Some("ab".repeat(32).parse().unwrap()),
        incident: Some(7),
        ..About::default()
    }
}

#[tokio::test]
async fn answers_are_told_one_by_one_to_whose_file_it_is_and_to_no_other() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let acme = key_of(&appliance, of_publisher(KeyRole::Publisher, "acme")).await;
    let other = key_of(&appliance, of_publisher(KeyRole::Publisher, "other")).await;
    let vendor = key_of(&appliance, of_vendor("clam")).await;
    let mut own = Listener::open(&appliance, &acme).await;
    let mut foreign = Listener::open(&appliance, &other).await;
    let mut all = Listener::open(&appliance, &appliance.admin).await;
    let mut vendor = Listener::open(&appliance, &vendor).await;
    let id = upload(&appliance, &client(&acme), b"abc").await;
    let shown = client(&acme).get(appliance.api(&format!("/analyses/{id}")));
    let sha256 = done(shown).await["meta"]["file_info"]["sha256"].clone();
    let told = |status: &str, answered: u64| {
        json!({
            "id": format!("f-{}-{}", sha256.as_str().unwrap(), number(&id)),
            "sha256": sha256, "status": status, "answered": answered, "engines": 2,
        })
    };
    assert_eq!(own.next_of("analysis").await, told("queued", 0));
    assert_eq!(all.next_of("analysis").await, told("queued", 0));
    appliance.answer("clamav", malicious("Win.Test")).await;
    assert_eq!(own.next_of("analysis").await, told("in-progress", 1));
    appliance.answer("yara", Verdict::Undetected).await;
    assert_eq!(own.next_of("analysis").await, told("completed", 2));
    loop {
        let data = all.next_of("analysis").await;
        if data == told("completed", 2) {
            break;
        }
    }
    // The first analysis the other hears of is its own.
    upload(&appliance, &client(&other), b"abcd").await;
    let data = foreign.next_of("analysis").await;
    assert_ne!(data["sha256"], sha256);
    vendor.hears_nothing().await;
}

/// Reads an analysis' number out of its id.
fn number(id: &str) -> String {
    use base64::Engine as _;
    let alphabet = base64::engine::general_purpose::STANDARD_NO_PAD;
    let text = alphabet.decode(id.trim_end_matches('=')).ok();
    let text = text.and_then(|text| String::from_utf8(text).ok());
    let text = text.unwrap_or_else(|| id.to_owned());
    text.rsplit([':', '-']).next().unwrap().to_owned()
}

#[tokio::test]
async fn change_of_an_engine_is_told_to_who_may_look_at_engines() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let vendor = key_of(&appliance, of_vendor("yara")).await;
    let mut vendor = Listener::open(&appliance, &vendor).await;
    let mut publisher = Listener::open(&appliance, &appliance.publisher).await;
    let yara = "yara".parse().unwrap();
    appliance.board.state(&yara, EngineState::BackingOff);
    let (kind, data) = publisher.next().await;
    assert_eq!((&*kind, data), ("engine", json!({"engine": "yara"})));
    // However often it changes, it is told twice a second at most.
    let began = Instant::now();
    let mut told = 0;
    while began.elapsed() < Duration::from_millis(1200) {
        appliance.board.answered(&yara, (1, 0), (0, 0));
        let read = timeout(Duration::from_millis(20), publisher.read()).await;
        assert!(read.is_err() || read.unwrap());
        told += publisher.events.drain(..).count();
    }
    assert!((1..=4).contains(&told), "{told}");
    vendor.hears_nothing().await;
}

#[tokio::test]
async fn event_is_told_to_whom_it_concerns() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let acme = key_of(&appliance, of_publisher(KeyRole::Viewer, "acme")).await;
    let other = key_of(&appliance, of_publisher(KeyRole::Publisher, "other")).await;
    let mut own = Listener::open(&appliance, &acme).await;
    let mut foreign = Listener::open(&appliance, &other).await;
    let number = happens(&appliance, EventKind::IncidentOpened, "clamav", of("acme")).await;
    let told = json!({
        "number": number, "kind": "incident-opened", "incident": 7, "engine": "clamav",
    });
    assert_eq!(own.next().await, ("event".to_owned(), told));
    let everybody = About::default();
    let number = happens(&appliance, EventKind::UpdateFailed, "yara", everybody).await;
    for listener in [&mut own, &mut foreign] {
        let (_, data) = listener.next().await;
        assert_eq!(data["number"], number);
    }
}

fn incident(publisher: &str, engine: &str) -> Incident {
    let sha256 = "ab".repeat(32);
    let side = json!({
        "analysis": format!("f-{sha256}-1"), "at": 1,
        "versions": super::appliance::versions(),
    });
    let row = json!({
        "id": 7, "publisher": publisher, "engine": engine, "sha256": sha256, "state": "open",
        "state_at": 1, "opened_at": 1, "reopened_at": 1, "detection": "Win.Test", "detected": side,
        "entries": 0,
    });
    serde_json::from_value(row).unwrap()
}

fn dispute(publisher: &str, incident: u64) -> Dispute {
    let row = json!({
        "id": 3, "incident": incident, "publisher": publisher, "sha256": "ab".repeat(32),
        "vendor": "clam", "state": "queued", "created_at": 1, "state_at": 1, "author": "tests",
        "to": "fp@clam.test", "by_mail": true, "subject": "", "text": "", "with_file": false,
        "rule": "", "problem": "the mail server is away",
    });
    serde_json::from_value(row).unwrap()
}

#[tokio::test]
async fn what_is_said_of_an_incident_is_told_to_whose_it_is() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    let acme = key_of(&appliance, of_publisher(KeyRole::Viewer, "acme")).await;
    let other = key_of(&appliance, of_publisher(KeyRole::Publisher, "other")).await;
    let clam = key_of(&appliance, of_vendor("clam")).await;
    let mut own = Listener::open(&appliance, &acme).await;
    let mut foreign = Listener::open(&appliance, &other).await;
    let mut vendor = Listener::open(&appliance, &clam).await;
    let incident = incident("acme", "clamav");
    let write = appliance
        .store
        .write(move |change| change.put(&INCIDENTS, &incident.id, &incident));
    write.await.unwrap();
    assert_eq!(own.next_of("incident").await, json!({"incident": 7}));
    let notes = appliance.api("/acquit/incidents/7/notes");
    done(
        appliance
            .admin()
            .post(notes)
            .json(&json!({"text": "Ours."})),
    )
    .await;
    assert_eq!(own.next_of("incident").await, json!({"incident": 7}));
    let dispute = dispute("acme", 7);
    let write = appliance
        .store
        .write(move |change| change.put(&DISPUTES, &dispute.id, &dispute));
    write.await.unwrap();
    assert_eq!(own.next_of("incident").await, json!({"incident": 7}));
    foreign.hears_nothing().await;
    vendor.hears_nothing().await;
}

#[tokio::test]
async fn vendor_is_told_only_that_something_of_theirs_changed() {
    let appliance = Appliance::start().await;
    parties(&appliance).await;
    detected(&appliance, "acme", "clamav").await;
    let clam = key_of(&appliance, of_vendor("clam")).await;
    let yara = key_of(&appliance, of_vendor("yara")).await;
    let mut own = Listener::open(&appliance, &clam).await;
    let mut foreign = Listener::open(&appliance, &yara).await;
    happens(&appliance, EventKind::IncidentOpened, "clamav", of("acme")).await;
    assert_eq!(own.next().await, ("changed".to_owned(), json!({})));
    // What the owner keeps to itself is told nobody, nor that there was something.
    let policy = appliance.api("/acquit/publishers/acme");
    let policy = appliance.admin().patch(policy);
    done(policy.json(&json!({"policy": "never"}))).await;
    happens(
        &appliance,
        EventKind::IncidentReopened,
        "clamav",
        of("acme"),
    )
    .await;
    own.hears_nothing().await;
    foreign.hears_nothing().await;
}

#[tokio::test]
async fn stream_ends_with_its_key() {
    let appliance = Appliance::start().await;
    let key = key_of(&appliance, Seat::of(KeyRole::Publisher)).await;
    let id = key.parse::<ApiKey>().unwrap().id();
    let opened = client(&key).post(appliance.api("/acquit/session"));
    let session = done(opened).await;
    let session = session["data"]["attributes"]["apikey"].as_str().unwrap();
    let other = client(&key).post(appliance.api("/acquit/session"));
    let other = done(other).await;
    let other = other["data"]["attributes"]["apikey"].as_str().unwrap();
    let mut listeners = Vec::new();
    for key in [&*key, session, other] {
        listeners.push(Listener::open(&appliance, key).await);
    }
    done(client(other).post(appliance.api("/acquit/signout"))).await;
    listeners.pop().unwrap().ends().await;
    let revoke = appliance.api(&format!("/acquit/keys/{id}"));
    done(appliance.admin().delete(revoke)).await;
    for mut listener in listeners {
        listener.ends().await;
    }
}

#[tokio::test]
async fn who_is_too_slow_is_told_to_look_at_everything_again() {
    let appliance = Appliance::start().await;
    let mut listener = Listener::open(&appliance, &appliance.publisher).await;
    // More than wait for anybody, in one change.
    let write = appliance.store.write(|change| {
        for number in 0..5000_u64 {
            let row = json!({
                "number": number, "at": 1, "kind": "rescan-started", "text": "",
            });
            let row = serde_json::from_value(row).unwrap();
            change.put(&acquit::store::EVENTS, &number, &row)?;
        }
        Ok(())
    });
    write.await.unwrap();
    assert_eq!(listener.next_of("lagged").await, json!({}));
    // And goes on.
    let everybody = About::default();
    let number = happens(&appliance, EventKind::UpdateFailed, "yara", everybody).await;
    assert_eq!(listener.next_of("event").await["number"], number);
}

#[tokio::test]
async fn key_has_only_so_many_streams_and_a_closed_one_makes_room() {
    let appliance = Appliance::start().await;
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(Listener::open(&appliance, &appliance.publisher).await);
    }
    let more = || appliance.get("/acquit/stream");
    refused(more(), 429, "TooManyRequestsError").await;
    // A session is its key.
    let session = done(appliance.post("/acquit/session")).await;
    let session = session["data"]["attributes"]["apikey"].as_str().unwrap();
    let more = client(session).get(appliance.api("/acquit/stream"));
    refused(more, 429, "TooManyRequestsError").await;
    Listener::open(&appliance, &appliance.admin).await;
    open.pop();
    let began = Instant::now();
    loop {
        let request = appliance.get("/acquit/stream");
        if request.send().await.unwrap().status() == 200 {
            break;
        }
        assert!(
            began.elapsed() < SOON,
            "the place of a closed stream is not free"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn daemon_that_ends_waits_for_no_stream() {
    let mut appliance = Appliance::start().await;
    let mut listener = Listener::open(&appliance, &appliance.publisher).await;
    let began = Instant::now();
    appliance.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "it waited");
    listener.ends().await;
}

#[tokio::test]
async fn who_sees_all_and_listens_is_in_the_ledger_once_an_hour() {
    let appliance = Appliance::start().await;
    for _ in 0..2 {
        let mut listener = Listener::open(&appliance, &appliance.admin).await;
        happens(
            &appliance,
            EventKind::UpdateFailed,
            "yara",
            About::default(),
        )
        .await;
        listener.next_of("event").await;
    }
    Listener::open(&appliance, &appliance.publisher).await;
    let text = ledger(&appliance);
    let lines = text.matches("admin reads /acquit/stream").count();
    // Two if the hour has just turned.
    assert!((1..=2).contains(&lines), "{lines}: {text}");
}
