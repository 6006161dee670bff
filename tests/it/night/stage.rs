//! A real engine whose signatures come from a directory that the test changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acquit::config::{Config, EngineUpdates, Source};
use acquit::model::{Analysis, EngineId, SetState, SignatureSet, Update, UpdateOutcome, Verdict};
use acquit::nightly::Desk;
use acquit::store::{SETS, UPDATES, engine_prefix};

use crate::flow::Flow;

/// Bound of everything that must happen at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// Takes over whatever the directory holds; a script in it runs first.
const COMMAND: &str = "if [ -f /sources/0/script ]; then . /sources/0/script; fi; \
                       rm -rf /candidate/*; cp -r /sources/0/rules/. /candidate/";

/// An appliance with YARA alone, fed from a directory.
pub struct Stage {
    pub flow: Flow,
    feed: Feed,
}

/// What the next update will bring.
pub struct Feed {
    dir: tempfile::TempDir,
}

impl Feed {
    /// Makes a feed with rules that find EICAR and nothing else.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rules")).unwrap();
        open_to_all(dir.path());
        let feed = Self { dir };
        feed.bring("");
        feed
    }

    /// Brings rules that find EICAR, and these.
    pub fn bring(&self, rules: &str) {
        let eicar = "rule Eicar { strings: $a = \"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*\" \
                     condition: $a at 35 or $a }\n";
        self.bring_only(&format!("{eicar}{rules}\n"));
    }

    /// Brings rules that need not find EICAR.
    pub fn bring_only(&self, rules: &str) {
        self.write("rules/index.yar", rules);
    }

    /// Lets the update command run this first.
    pub fn script(&self, script: &str) {
        self.write("script", script);
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::write(&path, text).unwrap();
        open_to_all(&path);
    }

    /// Changes a configuration so that YARA is the only engine, and fed from here.
    pub fn configure(&self, config: &mut Config) {
        let manifests = self.dir.path().join("engines");
        fs::create_dir_all(&manifests).unwrap();
        open_to_all(&manifests);
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        config.engines.manifests = vec![manifests.clone()];
        config.engines.containers = root.join("containers");
        config.updates.enabled = false;
        config.updates.system_files = 8;
        config.updates.known_bad = self.dir.path().join("bad");
        config.updates.known_good = self.dir.path().join("good");
        let engine: EngineId = "yara".parse().unwrap();
        let own = EngineUpdates {
            sources: Some(vec![Source {
                directory: Some(self.dir.path().to_owned()),
                ..Source::default()
            }]),
            ..EngineUpdates::default()
        };
        config.updates.engines.insert(engine, own);
        fs::write(manifests.join("yara.toml"), manifest(&root)).unwrap();
        open_to_all(&manifests.join("yara.toml"));
    }
}

/// The shipped manifest of YARA with another update command.
fn manifest(root: &Path) -> String {
    let shipped = fs::read_to_string(root.join("engines/yara.toml")).unwrap();
    let mut manifest: toml::Table = shipped.parse().unwrap();
    let command = toml::Value::from(vec!["sh", "-ec", COMMAND]);
    let update = [
        ("command", command),
        ("timeout_seconds", 20.into()),
        ("disk_mb", 16.into()),
    ];
    let update = update.map(|(key, value)| (key.to_owned(), value));
    manifest.insert("update".to_owned(), toml::Table::from_iter(update).into());
    let version: toml::Table = "command = ['yara', '--version']\npattern = '^(?<engine>[0-9.]+)$'"
        .parse()
        .unwrap();
    manifest.insert("version".to_owned(), version.into());
    toml::to_string(&manifest).unwrap()
}

fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Stage {
    /// Opens the appliance and brings its first set into service.
    pub async fn open() -> Self {
        Self::open_with(|_| ()).await
    }

    /// As [`Self::open`], with more changes to the configuration.
    pub async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let feed = Feed::new();
        let flow = Flow::open_with(|config| {
            feed.configure(config);
            change(config);
        })
        .await;
        let stage = Self { flow, feed };
        stage.becomes_ready().await;
        stage.promotes().await;
        stage
    }

    /// Returns what the next update will bring.
    pub const fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Returns the desk at which orders are given.
    pub const fn desk(&self) -> &Desk {
        &self.flow.desk
    }

    /// Returns the engine.
    pub fn engine(&self) -> EngineId {
        "yara".parse().unwrap()
    }

    async fn becomes_ready(&self) {
        let mut engines = self.flow.engines.clone();
        let ready = engines.wait_for(|table| table.values().all(|s| s.state.can_scan()));
        let _ = tokio::time::timeout(PATIENCE, ready).await.unwrap();
    }

    /// Makes an update; returns it as it ended.
    pub async fn update(&self) -> Update {
        let begun = self.desk().update(&self.engine()).await.unwrap();
        self.ended(begun.number).await
    }

    /// Waits for the end of an update.
    pub async fn ended(&self, number: u64) -> Update {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let key = (self.engine(), number);
            let update = self.flow.store.get(&UPDATES, &key).unwrap().unwrap();
            if update.ended_at.is_some() {
                return update;
            }
            assert!(tokio::time::Instant::now() < until, "{update:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes an update that must be promoted; returns its set.
    #[track_caller]
    pub fn promotes(&self) -> impl Future<Output = SignatureSet> {
        let at = std::panic::Location::caller();
        async move {
            let update = self.update().await;
            assert_eq!(
                update.outcome,
                Some(UpdateOutcome::Promoted),
                "{at}: {update:?}"
            );
            self.active()
        }
    }

    /// Makes an update that must not be; returns why it was not.
    #[track_caller]
    pub fn ends_as(&self, outcome: UpdateOutcome) -> impl Future<Output = String> {
        let at = std::panic::Location::caller();
        async move {
            let before = self.active();
            let update = self.update().await;
            assert_eq!(update.outcome, Some(outcome), "{at}: {update:?}");
            assert_eq!(self.active().id, before.id, "{at}");
            update.reason.unwrap_or_default()
        }
    }

    /// Returns the set in service, by its row.
    pub fn active(&self) -> SignatureSet {
        let active = |set: &SignatureSet| set.state == SetState::Active;
        let mut active: Vec<_> = self.sets().into_iter().filter(active).collect();
        assert_eq!(active.len(), 1, "{active:?}");
        active.remove(0)
    }

    /// Returns every set there ever was.
    pub fn sets(&self) -> Vec<SignatureSet> {
        let prefix = engine_prefix(&self.engine());
        let page = self.flow.store.list(&SETS, (&prefix, None), 100).unwrap();
        page.rows.into_iter().map(|(_, set)| set).collect()
    }

    /// Scans a file as an upload does; returns what YARA says.
    pub async fn scan(&self, bytes: &[u8]) -> Verdict {
        let analysis: Analysis = self.flow.submit(bytes, "file.bin").await;
        let mut verdicts = self.flow.completed(&analysis).await;
        verdicts.remove(0).1
    }
}
