//! The daemon and Docker, killed in every phase of a night.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::stage::Feed;
use crate::faults::cable::Cable;
use crate::faults::daemon::Daemon;
use crate::http::appliance::answer;

/// Bound of everything that must happen at all.
const PATIENCE: Duration = Duration::from_secs(120);
/// Tries to be there while a short phase lasts.
const TRIES: usize = 12;

/// A daemon with YARA alone, fed from a directory.
struct Night {
    // Before the daemon, with whose directory its socket goes.
    cable: Option<Cable>,
    daemon: Daemon,
    feed: Feed,
    rules: usize,
}

impl Night {
    async fn begin() -> Self {
        Self::begin_with(|_, _| None).await
    }

    async fn begin_with(
        plug: impl FnOnce(&mut acquit::config::Config, &std::path::Path) -> Option<Cable>,
    ) -> Self {
        let feed = Feed::new();
        let mut cable = None;
        let mut daemon = Daemon::with(|config, dir| {
            feed.configure(config);
            config.docker.runner = crate::support::runner();
            cable = plug(config, dir);
        });
        daemon.start();
        daemon.becomes_ready(true).await;
        let night = Self {
            cable,
            daemon,
            feed,
            rules: 0,
        };
        night.order("update").await;
        night.wait_for_end().await;
        night
    }

    async fn get(&self, path: &str) -> Value {
        let get = self.daemon.client.get(self.daemon.url(path));
        let (status, mut body) = answer(get).await;
        assert!(
            status.is_success(),
            "{status}: {body}: {}",
            self.daemon.log()
        );
        body["data"].take()
    }

    async fn signatures(&self) -> Value {
        let mut engine = self.get("/api/v3/acquit/engines/yara").await;
        engine["attributes"]["signatures"].take()
    }

    async fn order(&self, what: &str) -> Value {
        let path = format!("/api/v3/acquit/engines/yara/{what}");
        let post = self
            .daemon
            .client
            .post(self.daemon.url(&path))
            .json(&json!({}));
        let (status, mut body) = answer(post).await;
        assert!(
            status.is_success(),
            "{status}: {body}: {}",
            self.daemon.log()
        );
        body["data"].take()
    }

    /// Brings rules that were not there before, and so a new set.
    fn bring_something_new(&mut self) {
        self.rules += 1;
        let n = self.rules;
        let rule = format!("rule N{n} {{ strings: $a = \"number {n}\" condition: $a }}");
        self.feed.bring(&rule);
    }

    /// Waits for a phase of an update; false if the update ended before it was seen.
    async fn sees(&self, phase: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let updating = self.signatures().await["updating"].take();
            if updating["phase"] == phase {
                return true;
            }
            let ended = self.last_update().await["outcome"].is_string();
            if updating.is_null() && ended {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("no end of an update: {}", self.daemon.log());
    }

    async fn last_update(&self) -> Value {
        let mut updates = self.get("/api/v3/acquit/engines/yara/updates").await;
        updates[0]["attributes"].take()
    }

    async fn wait_for_end(&self) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let update = self.last_update().await;
            let idle = self.signatures().await["updating"].is_null();
            if update["outcome"].is_string() && idle {
                return update;
            }
            assert!(Instant::now() < until, "{update}: {}", self.daemon.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Begins updates until one is seen in a phase.
    async fn reach(&mut self, phase: &str) {
        for _ in 0..TRIES {
            self.bring_something_new();
            self.order("update").await;
            if self.sees(phase).await {
                return;
            }
            self.wait_for_end().await;
        }
        panic!("never seen in {phase}: {}", self.daemon.log());
    }

    /// Checks that exactly one set serves, that the engine scans with it, and that nothing is left.
    async fn check(&self) {
        let sets = self
            .get("/api/v3/acquit/engines/yara/signature_sets?limit=40")
            .await;
        let sets = sets.as_array().unwrap();
        let active: Vec<_> = sets
            .iter()
            .filter(|set| set["attributes"]["state"] == "active")
            .collect();
        assert_eq!(active.len(), 1, "{sets:?}");
        let id = self
            .daemon
            .upload(crate::support::eicar().as_slice())
            .await
            .unwrap();
        assert_eq!(
            self.daemon.verdicts(&id).await,
            ["malicious"],
            "{}",
            self.daemon.log()
        );
        let until = Instant::now() + PATIENCE;
        while self.daemon.containers.list().len() != 1 {
            let listed = self.daemon.containers.list();
            assert!(Instant::now() < until, "{listed:?}: {}", self.daemon.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let engine = self.get("/api/v3/acquit/engines/yara").await;
        let serving = &engine["attributes"]["versions"]["signature_set"];
        let named = active[0]["id"].as_str().unwrap();
        assert!(
            named.ends_with(serving.as_str().unwrap()),
            "{named}: {serving}"
        );
    }

    /// Makes updates until one is promoted, as one must soon be.
    async fn goes_on(&mut self) {
        self.feed.script("");
        self.bring_something_new();
        let until = Instant::now() + PATIENCE;
        loop {
            self.order("update").await;
            let update = self.wait_for_end().await;
            if update["outcome"] == "promoted" {
                break;
            }
            assert!(Instant::now() < until, "{update}: {}", self.daemon.log());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.check().await;
    }
}

async fn killed_in(phase: &str, script: &str) {
    let mut night = Night::begin().await;
    night.feed.script(script);
    night.reach(phase).await;
    night.daemon.kill();
    night.daemon.start();
    night.daemon.becomes_ready(true).await;
    night.feed.script("");
    let update = night.last_update().await;
    let outcome = update["outcome"].as_str().unwrap();
    assert!(["interrupted", "promoted"].contains(&outcome), "{update}");
    night.check().await;
    night.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_killed_while_it_downloads() {
    killed_in(
        "download",
        "mkdir -m 700 /candidate/mine; touch /candidate/mine/x; sleep 15",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_killed_in_the_canary() {
    killed_in("canary", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_killed_in_a_promotion() {
    killed_in("promotion", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn daemon_killed_in_a_rescan_looks_at_every_file_once() {
    let mut night = Night::begin().await;
    let mut files = Vec::new();
    for n in 0..200 {
        let text = format!("a file with number 1 and {n}\n");
        files.push(night.daemon.upload(text.as_bytes()).await.unwrap());
    }
    for id in &files {
        assert_eq!(night.daemon.verdicts(id).await, ["undetected"]);
    }
    night.bring_something_new();
    night.order("update").await;
    night.wait_for_end().await;
    night.daemon.kill();
    night.daemon.start();
    night.daemon.becomes_ready(true).await;
    for id in &files {
        let sha256 = id.split('-').nth(1).unwrap();
        let timeline = night.settled_timeline(sha256).await;
        assert_eq!(timeline.len(), 1, "{timeline:?}");
        assert_eq!(timeline[0]["attributes"]["change"], "introduced");
        let analyses = night
            .get(&format!("/api/v3/files/{sha256}/analyses?limit=40"))
            .await;
        assert_eq!(analyses.as_array().unwrap().len(), 2, "{analyses}");
    }
}

impl Night {
    /// Waits until a rescan has changed the word on a file; returns its timeline.
    async fn settled_timeline(&self, sha256: &str) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let timeline = self.get(&format!("/api/v3/files/{sha256}/timeline")).await;
            let timeline = timeline.as_array().unwrap().clone();
            if !timeline.is_empty() || Instant::now() > until {
                return timeline;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn docker_gone_in(phase: &str, script: &str) {
    let mut socket = None;
    let mut night = Night::begin_with(|config, dir| {
        config.docker.socket = dir.join("docker.sock");
        config.docker.timeout_seconds = 5;
        socket = Some(config.docker.socket.clone());
        Some(Cable::plug(&dir.join("docker.sock")))
    })
    .await;
    night.feed.script(script);
    night.reach(phase).await;
    night.cable = None;
    for container in night.daemon.containers.list() {
        // One may end by itself meanwhile.
        let _ = std::process::Command::new("docker")
            .args(["kill", &container])
            .output();
    }
    let update = night.wait_for_end().await;
    assert!(
        ["failed", "promoted"].contains(&update["outcome"].as_str().unwrap()),
        "a Docker that is gone says nothing of a set: {update}"
    );
    night.cable = Some(Cable::plug(&socket.unwrap()));
    night.daemon.becomes_ready(true).await;
    night.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_gone_while_it_downloads() {
    docker_gone_in("download", "sleep 15").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_gone_in_the_canary() {
    docker_gone_in("canary", "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_gone_in_a_promotion() {
    docker_gone_in("promotion", "").await;
}
