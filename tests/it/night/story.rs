//! A whole night with the shipped engines and a mirror on this machine: by the clock, for real.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use acquit::config::{Config, EngineUpdates, Source};
use acquit::model::EngineId;
use serde_json::Value;

use crate::faults::daemon::Daemon;
use crate::feeds::mirror::Mirror;
use crate::http::appliance::answer;
use crate::support;

/// Bound of everything that must happen at all; a minute of it is the clock's.
const PATIENCE: Duration = Duration::from_secs(180);
/// The engines that are updated, and one that has nothing to update.
const ENGINES: [&str; 4] = ["clamav", "oletools", "yara", "yara-x"];
/// A program of the publisher's.
const OURS: &[u8] = b"a program made in our own house, number 4711\n";
/// A rule that flags it falsely.
const FLAGS_OURS: &str = "rule False_Positive { strings: $a = \"number 4711\" condition: $a }\n";
/// A rule that flags every program of the machine.
const POISON: &str = "rule Poison { condition: uint32(0) == 0x464c457f }\n";

struct Night {
    mirror: Mirror,
    daemon: Daemon,
    _engines: tempfile::TempDir,
}

impl Night {
    async fn begin() -> Self {
        let (mirror, engines) = (Mirror::start(), tempfile::tempdir().unwrap());
        serve(&mirror, ("yara", 1), "");
        serve(&mirror, ("yara-x", 1), "");
        mirror.put("/clamav/own.hsb", signature(1).as_bytes());
        let mut daemon = Daemon::with(|config, _| configure(config, &mirror, engines.path()));
        daemon.start();
        daemon.becomes_ready(true).await;
        Self {
            mirror,
            daemon,
            _engines: engines,
        }
    }

    async fn get(&self, path: &str) -> Value {
        let get = self.daemon.client.get(self.daemon.url(path));
        let (status, mut body) = answer(get).await;
        assert!(status.is_success(), "{path}: {status}: {body}");
        body["data"].take()
    }

    /// Waits until an engine has ended so many updates; returns the last.
    async fn update(&self, engine: &str, number: u64) -> Value {
        let path = format!("/api/v3/acquit/engines/{engine}/updates");
        self.until(&path, |updates| {
            let ended = |u: &&Value| u["attributes"]["outcome"].is_string();
            let last = updates.as_array()?.iter().find(ended)?;
            (last["attributes"]["number"].as_u64()? >= number).then(|| last["attributes"].clone())
        })
        .await
    }

    /// Reads a path until something is found in it.
    async fn until<T>(&self, path: &str, find: impl Fn(&Value) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            let data = self.get(path).await;
            if let Some(found) = find(&data) {
                return found;
            }
            assert!(Instant::now() < until, "{data:#}: {}", self.daemon.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Uploads a file and waits for its verdicts; returns its SHA-256.
    async fn upload(&self, bytes: &[u8]) -> String {
        let id = self.daemon.upload(bytes).await.unwrap();
        self.daemon.verdicts(&id).await;
        id.split('-').nth(1).unwrap().to_owned()
    }

    /// Waits for changes of an engine's word on a file; newest first.
    async fn timeline(&self, sha256: &str, engine: &str, length: usize) -> Vec<Value> {
        let path = format!("/api/v3/files/{sha256}/timeline?engine={engine}");
        self.until(&path, |entries| {
            let entries = entries.as_array()?;
            let attributes = |entry: &Value| entry["attributes"].clone();
            (entries.len() >= length).then(|| entries.iter().map(attributes).collect())
        })
        .await
    }

    async fn analyses(&self, sha256: &str) -> Vec<Value> {
        let path = format!("/api/v3/files/{sha256}/analyses?limit=40");
        self.get(&path).await.as_array().unwrap().clone()
    }

    /// Runs the command line as a user would.
    fn acquit(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_acquit"));
        command.env("ACQUIT_SERVER", self.daemon.url(""));
        command.env("ACQUIT_APIKEY", Daemon::key());
        command.args(arguments).output().unwrap()
    }

    #[track_caller]
    fn says(&self, arguments: &[&str], words: &[&str]) {
        let output = self.acquit(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        for word in words {
            assert!(
                text.contains(word),
                "{arguments:?} without {word:?}: {text}"
            );
        }
    }
}

fn configure(config: &mut Config, mirror: &Mirror, engines: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(engines, open).unwrap();
    for engine in ENGINES {
        let name = format!("{engine}.toml");
        std::fs::copy(root.join("engines").join(&name), engines.join(&name)).unwrap();
    }
    config.engines.manifests = vec![engines.to_owned()];
    config.engines.containers = root.join("containers");
    config.docker.runner = support::runner();
    let updates = &mut config.updates;
    updates.enabled = true;
    updates.system_files = 8;
    updates.jitter_minutes = 0;
    updates.timezone = "UTC".to_owned();
    updates.schedule = in_a_minute();
    updates.known_good = engines.join("none");
    updates.known_bad = engines.join("none");
    let paths = [
        ("yara", "/yara/rules.yar"),
        ("yara-x", "/yara-x/rules.yar"),
        ("clamav", "/clamav/own.hsb"),
    ];
    for (engine, path) in paths {
        let source = Source {
            url: Some(mirror.url(path)),
            ..Source::default()
        };
        let own = EngineUpdates {
            sources: Some(vec![source]),
            ..EngineUpdates::default()
        };
        let engine: EngineId = engine.parse().unwrap();
        updates.engines.insert(engine, own);
    }
}

/// A line for cron whose time is after the first updates, and soon.
fn in_a_minute() -> String {
    let then = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(100);
    let then = then.to_zoned(jiff::tz::TimeZone::UTC);
    format!("{} {} * * *", then.minute(), then.hour())
}

fn serve(mirror: &Mirror, (engine, version): (&str, u32), rules: &str) {
    let own = format!(
        "rule V{version} {{ strings: $a = \"house rules, edition {version}\" condition: $a }}\n"
    );
    mirror.put(&format!("/{engine}/rules.yar"), (own + rules).as_bytes());
}

/// A signature of ClamAV's for a file nobody has.
fn signature(number: u32) -> String {
    format!("{number:064x}:{number}:Acquit.Test.N{number}:73\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn night_updates_proves_rejects_rescans_and_remembers() {
    let night = Night::begin().await;
    // Whoever was never updated is updated at once.
    for engine in ["clamav", "yara", "yara-x"] {
        let first = night.update(engine, 1).await;
        assert_eq!(first["outcome"], "promoted", "{engine}: {first}");
        assert_eq!(first["trigger"], "missed");
    }
    let ours = night.upload(OURS).await;
    let eicar = night.upload(&support::eicar()).await;
    assert_eq!(night.analyses(&ours).await.len(), 1);
    let before = night.get("/api/v3/acquit/engines/yara").await;
    let before = &before["attributes"]["signatures"]["active"];

    // In the evening the vendors publish: one a false positive, one poison, one nothing of note.
    night.mirror.requests();
    serve(&night.mirror, ("yara", 2), FLAGS_OURS);
    serve(&night.mirror, ("yara-x", 2), POISON);
    night
        .mirror
        .put("/clamav/own.hsb", (signature(1) + &signature(2)).as_bytes());

    // The clock does the rest.
    for (engine, outcome) in [
        ("yara", "promoted"),
        ("clamav", "promoted"),
        ("yara-x", "rejected"),
    ] {
        let update = night.update(engine, 2).await;
        assert_eq!(update["outcome"], outcome, "{engine}: {update}");
        assert_eq!(update["trigger"], "schedule", "{engine}: {update}");
    }
    let rejected = night
        .get("/api/v3/acquit/engines/yara-x/signature_sets")
        .await;
    let rejected = &rejected[0]["attributes"];
    assert_eq!(rejected["state"], "rejected");
    let evidence = rejected["canary"]["evidence"].as_array().unwrap();
    assert!(
        evidence.iter().all(|e| e["expected"] == "silence"),
        "{evidence:?}"
    );
    assert!(evidence[0]["file"].as_str().unwrap().starts_with("/usr/"));

    // One analysis by the two engines that have something new, and no other.
    let introduced = night.timeline(&ours, "yara", 1).await.remove(0);
    assert_eq!(introduced["change"], "introduced", "{introduced}");
    assert_eq!(introduced["before"]["category"], "undetected");
    assert_eq!(introduced["versions_before"]["signature_set"], *before);
    let second = introduced["versions"]["signature_set"].clone();
    night
        .until("/api/v3/acquit/rescans", |rescans| {
            let done = |r: &Value| r["attributes"]["status"] == "completed";
            rescans.as_array()?.iter().all(done).then_some(())
        })
        .await;
    let mut asked: Vec<String> = Vec::new();
    for analysis in &night.analyses(&ours).await[..] {
        let results = analysis["attributes"]["results"].as_object().unwrap();
        asked.push(results.keys().cloned().collect::<Vec<_>>().join(" "));
    }
    let changed = night.analyses(&ours).await;
    let yara = |analysis: &Value| analysis["attributes"]["results"]["YARA"]["change"].clone();
    let changed: Vec<_> = changed.iter().map(yara).filter(Value::is_object).collect();
    assert_eq!(changed.len(), 1, "{changed:?}");
    assert_eq!(changed[0]["kind"], "introduced");
    assert_eq!(changed[0]["signature_set_before"], *before);
    let all: Vec<_> = asked
        .iter()
        .filter(|names| names.split(' ').count() == 4)
        .collect();
    assert_eq!(all.len(), 1, "{asked:?}");
    let again: Vec<_> = asked
        .iter()
        .filter(|names| names.split(' ').count() < 4)
        .collect();
    assert!(!again.is_empty() && again.len() <= 2, "{asked:?}");
    assert!(
        !again
            .iter()
            .any(|names| names.contains("X") || names.contains("oletools")),
        "{asked:?}"
    );
    // The file still shows what every engine said last.
    let file = night.get(&format!("/api/v3/files/{ours}")).await;
    let last = file["attributes"]["last_analysis_results"]
        .as_object()
        .unwrap();
    assert_eq!(last.len(), 4, "{last:?}");

    // In the morning the vendor takes it back.
    serve(&night.mirror, ("yara", 3), "");
    night.says(&["signatures", "update", "yara"], &["promoted"]);
    let removed = night.timeline(&ours, "yara", 2).await.remove(0);
    assert_eq!(removed["change"], "removed", "{removed}");
    assert_eq!(removed["versions_before"]["signature_set"], second);
    assert_eq!(removed["category"], "undetected");
    let third = removed["versions"]["signature_set"]
        .as_str()
        .unwrap()
        .to_owned();
    night.says(
        &["timeline", &ours],
        &["introduced", "removed", second.as_str().unwrap(), &third],
    );
    assert_eq!(night.timeline(&eicar, "yara", 1).await.len(), 1);

    // Nothing new: nothing is fetched, no set is made, nothing is looked at.
    let (sets, looks) = (
        night
            .get("/api/v3/acquit/engines/yara/signature_sets")
            .await,
        night.analyses(&ours).await.len(),
    );
    night.mirror.requests();
    night.says(&["signatures", "update", "yara"], &["unchanged"]);
    let asked = night.mirror.requests();
    assert!(
        !asked.is_empty() && asked.iter().all(|r| r["status"] == 304),
        "{asked:?}"
    );
    assert_eq!(
        night
            .get("/api/v3/acquit/engines/yara/signature_sets")
            .await,
        sets
    );
    assert_eq!(night.analyses(&ours).await.len(), looks);
    night.says(
        &["signatures", "list"],
        &["clamav", "yara", "rejected", "rules"],
    );
    night.says(&["events"], &["rejected", "scans with signature set"]);
}
